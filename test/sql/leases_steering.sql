-- What users do to tasks that workers lease: cancel, reschedule, replace, memos, clean-up.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';

CREATE FUNCTION leases_steering_try(sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    code text; msg text;
BEGIN
    EXECUTE sql INTO msg;
    RETURN 'returns ' || coalesce(msg, 'null');
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, msg = MESSAGE_TEXT;
    RETURN code || ': ' || regexp_replace(regexp_replace(msg, 'token \d+', 'token N'), 'task \d+', 'task N', 'g');
END $$;
CREATE VIEW leases_steering_left AS
    SELECT (SELECT count(*) FROM stent.lease) AS leases, (SELECT count(*) FROM stent.place) AS places, (SELECT count(*) FROM stent.due WHERE kind = 'l') AS due,
           (SELECT count(*) FROM stent.task t JOIN stent.function f ON f.id = t.function_id WHERE f.name LIKE 'leases\_steering%') AS live;
SELECT stent.register('leases_steering_f', max_concurrent => 10);

-- cancel: the worker learns it, and its result is not wanted
SELECT stent.dispatch('leases_steering_f', max_duration => '1 day') AS id, stent.dispatch('leases_steering_f') AS other \gset
SELECT max(token) AS token FROM stent.claim('w', 5, '{leases_steering_f}') \gset
SELECT stent.cancel(:id);
SELECT stent.cancel(:id);
SELECT state, attempt, error ->> 'code' AS code FROM stent.tasks WHERE id = :id;
SELECT stent.heartbeat_many(ARRAY[:id, :other], ARRAY[:token, :token]);
SELECT leases_steering_try(format('SELECT stent.complete(%s, %s, ''1'', ''{"n": 1}'')', :id, :token));
SELECT leases_steering_try(format('SELECT stent.heartbeat(%s, %s)', :id, :token));
SELECT leases_steering_try(format('SELECT stent.fail(%s, %s, ''{"message": "cancelled"}'')', :id, :token));
SELECT stent.release_many(ARRAY[:id, :other], ARRAY[:token, :token]);
SELECT * FROM leases_steering_left;
-- undone: it is leased as before
SELECT token FROM stent.claim('w', 5, '{leases_steering_f}') \gset
BEGIN;
SELECT stent.cancel(:other);
SELECT stent.heartbeat_many(ARRAY[:other], ARRAY[:token]);
ROLLBACK;
SELECT stent.heartbeat_many(ARRAY[:other], ARRAY[:token]), stent.complete(:other, :token, '"done"');
SELECT stent.cancel(:other), stent.result_of(:other);
SELECT * FROM leases_steering_left;

-- trees: leased children go with their root, in one call
CREATE FUNCTION leases_steering_tree(n int DEFAULT 2) RETURNS void LANGUAGE sql AS $$
    SELECT stent.spawn('leases_steering_f', jsonb_build_object('n', i)) FROM generate_series(1, n) i
$$;
SELECT stent.register('leases_steering_tree', 'leases_steering_tree(int)', max_duration => '1 hour');
SELECT stent.dispatch('leases_steering_tree', '{"n": 3}') AS root \gset
SELECT stent.run();
SELECT max(token) AS token, min(task_id) AS child, bool_and(execution_id = :root) AS of_root FROM stent.claim('w', 2, '{leases_steering_f}') \gset
SELECT :'of_root' AS of_root, stent.cancel(:root);
SELECT function, state, error ->> 'code' AS code FROM stent.tasks WHERE execution_id = :root ORDER BY id;
SELECT leases_steering_try(format('SELECT stent.complete(%s, %s)', :child, :token));
SELECT * FROM leases_steering_left;
-- a child alone
SELECT stent.dispatch('leases_steering_tree') AS root \gset
SELECT stent.run();
SELECT max(token) AS token, min(task_id) AS child, max(task_id) AS child2 FROM stent.claim('w', 2, '{leases_steering_f}') \gset
SELECT stent.cancel(:child), stent.complete(:child2, :token, '2');
SELECT state, result FROM stent.tasks WHERE execution_id = :root ORDER BY id;
-- past the deadline of the execution children are cancelled, whoever finds it
SELECT stent.dispatch('leases_steering_tree', '{"n": 3}') AS root \gset
SELECT stent.run();
SELECT max(token) AS token, min(task_id) AS child, max(task_id) AS last, max(time_left) AS time_left FROM stent.claim('w', 5, '{leases_steering_f}', lease => '3 hours') \gset
SET stent.clock = '2026-01-01 01:30:00';
SELECT :'time_left' AS time_left, stent.complete(:child, :token, '1'), stent.fail(:last, :token, '{"message": "m"}');
SELECT count(*) FROM stent.claim('w', 5, '{leases_steering_f}');
SELECT function, state, error ->> 'code' AS code FROM stent.tasks WHERE execution_id = :root ORDER BY id;
SELECT * FROM leases_steering_left;
SET stent.clock = '2026-01-01 04:00:00';
SELECT count(*) FROM stent.claim('w', 5, '{leases_steering_f}');
SELECT * FROM leases_steering_left;

-- reschedule and replace: not what is leased; join finds it
SELECT stent.dispatch('leases_steering_f', '{"v": 1}', dedup_key => 'k') AS id \gset
SELECT token FROM stent.claim('w', 5, '{leases_steering_f}') \gset
SELECT stent.reschedule(:id, priority => 5), stent.reschedule(:id, delay => '1 min'), stent.reschedule(:id, queue => 'q');
SELECT leases_steering_try($$SELECT stent.dispatch('leases_steering_f', '{"v": 2}', dedup_key => 'k', on_duplicate => 'replace')$$);
SELECT leases_steering_try($$SELECT stent.dispatch('leases_steering_f', '{"v": 2}', dedup_key => 'k', on_duplicate => 'error')$$);
SELECT stent.dispatch('leases_steering_f', '{"v": 2}', dedup_key => 'k') = :id AS joined;
SELECT leases_steering_try(format('SELECT stent.replay(%s)', :id));
SELECT stent.discard(:id);
SELECT stent.complete(:id, :token, '"v1"');
SELECT stent.dispatch('leases_steering_f', '{"v": 2}', dedup_key => 'k') > :id AS another;
-- released it can be replaced
SELECT task_id AS id, token FROM stent.claim('w', 5, '{leases_steering_f}') \gset
SELECT stent.release(:id, :token);
SELECT stent.dispatch('leases_steering_f', '{"v": 3}', dedup_key => 'k', on_duplicate => 'replace') = :id AS replaced;
SELECT leases_steering_try(format('SELECT stent.complete(%s, %s)', :id, :token));
SELECT args, stent.complete(task_id, token) FROM stent.claim('w', 5, '{leases_steering_f}');

-- memos of functions that workers serve
SELECT stent.register('leases_steering_memo', idempotent => true), stent.register('leases_steering_cached', cached => true, cache_ttl => '1 hour');
SELECT stent.dispatch('leases_steering_memo', idempotency_key => 'once') AS id, stent.dispatch('leases_steering_cached', '{"a": 1}') AS cached \gset
SELECT max(token) AS token FROM stent.claim('w', 5, '{leases_steering_memo,leases_steering_cached}') \gset
SELECT stent.dispatch('leases_steering_memo', idempotency_key => 'once') = :id AS same, stent.dispatch('leases_steering_cached', '{"a": 1}') = :cached AS same_cached;
SELECT stent.complete_many(ARRAY[:id, :cached], ARRAY[:token, :token], '{1,2}');
SELECT stent.dispatch('leases_steering_memo', idempotency_key => 'once') = :id AS same, stent.dispatch('leases_steering_cached', '{"a": 1}') = :cached AS same_cached;
SELECT count(*) FROM stent.claim('w', 5, '{leases_steering_memo,leases_steering_cached}');
-- of one that failed none is left
SELECT stent.dispatch('leases_steering_memo', idempotency_key => 'fails') AS id \gset
SELECT stent.fail(task_id, token, '{"message": "m", "retryable": false}') FROM stent.claim('w', 5, '{leases_steering_memo}');
SELECT stent.dispatch('leases_steering_memo', idempotency_key => 'fails') > :id AS anew;
SELECT stent.complete(task_id, token) FROM stent.claim('w', 5, '{leases_steering_memo}');
SELECT stent.discard(:id);
SELECT * FROM leases_steering_left;

-- clean-up: nothing of an execution goes while a worker has one of its tasks, nor what a due entry needs
SELECT stent.dispatch('leases_steering_tree', '{"n": 2}', max_duration => '100 days') AS root \gset
SELECT stent.run();
SELECT max(token) AS token, min(task_id) AS child, max(task_id) AS child2 FROM stent.claim('w', 5, '{leases_steering_f}', lease => '7 days') \gset
SELECT stent.complete(:child, :token, '"first"', '{"n": 1}');
SET stent.clock = '2026-01-05 00:00:00';
SELECT stent.cleanup('0') >= 0 AS cleaned;
SELECT function, state, result FROM stent.tasks WHERE execution_id = :root ORDER BY id;
SELECT stent.heartbeat(:child2, :token, '7 days');
SELECT stent.complete(:child2, :token, '"second"', '{"n": 1}');
SELECT stent.state_of(:root) -> 'counters' AS counters;
SELECT stent.cleanup('0') >= 0 AS cleaned;
SELECT count(*) FROM stent.tasks WHERE execution_id = :root;
SELECT * FROM leases_steering_left;
-- the row of a lease outlives its cancelled task, and all that was known of its lane
SELECT stent.dispatch('leases_steering_f', queue => 'leases_steering_lane') AS id \gset
SELECT count(*) FROM stent.claim('w', 5, '{leases_steering_f}', lease => '1 hour');
SELECT stent.cancel(:id);
SELECT stent.cleanup('0') >= 0 AS cleaned;
SET stent.clock = '2026-01-07 00:00:00';
SELECT count(*) FROM stent.claim('w', 5, '{leases_steering_f}');
SELECT * FROM leases_steering_left;
