-- complete(), fail(), release(), heartbeat(): what becomes of tasks, and the fence.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';

CREATE FUNCTION leases_end_try(sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    code text; msg text; detail text;
BEGIN
    EXECUTE sql INTO msg;
    RETURN 'returns ' || coalesce(msg, 'null');
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, msg = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
    RETURN code || ': ' || regexp_replace(regexp_replace(msg, 'token \d+', 'token N'), 'task \d+', 'task N', 'g') || coalesce(' / ' || nullif(detail, ''), '');
END $$;
-- dispatches n tasks and leases them together
CREATE FUNCTION leases_end_lease(n int, function text DEFAULT 'leases_end_f', OUT ids text, OUT token bigint, OUT tokens text, OUT id bigint) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM stent.dispatch(function) FROM generate_series(1, n);
    SELECT array_agg(c.task_id ORDER BY c.task_id)::text, max(c.token), array_agg(c.token)::text, min(c.task_id) INTO ids, token, tokens, id FROM stent.claim('w', 1000, ARRAY[function]) c;
END $$;
CREATE VIEW leases_end_left AS
    SELECT (SELECT count(*) FROM stent.lease) AS leases, (SELECT count(*) FROM stent.place) AS places, (SELECT count(*) FROM stent.due WHERE kind = 'l') AS due,
           (SELECT count(*) FROM stent.task t JOIN stent.function f ON f.id = t.function_id WHERE f.name LIKE 'leases\_end%') AS live;
SELECT stent.register('leases_end_f', retry => '{"max_attempts": 3, "initial_delay": "1m", "jitter": 0}');
SELECT * FROM leases_end_left;

-- complete: result, times and attempt are kept
SELECT * FROM leases_end_lease(1) \gset
SET stent.clock = '2026-01-01 00:00:07';
SELECT stent.complete(:id, :token, '{"answer": 42}');
SELECT state, attempt, started_at, finished_at, result, error FROM stent.tasks WHERE id = :id;
SELECT stent.state_of(:id) ->> 'state' AS state, stent.result_of(:id);
SELECT * FROM leases_end_left;
-- once: again it says that the task is completed
SELECT leases_end_try(format('SELECT stent.complete(%s, %s, ''2'')', :id, :token));
SELECT leases_end_try(format('SELECT stent.fail(%s, %s, ''{"message": "late"}'')', :id, :token));
SELECT leases_end_try(format('SELECT stent.release(%s, %s)', :id, :token));
SELECT leases_end_try(format('SELECT stent.heartbeat(%s, %s)', :id, :token));
SELECT result FROM stent.tasks WHERE id = :id;
SELECT stent.complete_many(ARRAY[:id], ARRAY[:token]), stent.fail_many(ARRAY[:id], ARRAY[:token], '{"{\"message\": \"late\"}"}'), stent.release_many(ARRAY[:id], ARRAY[:token]), stent.heartbeat_many(ARRAY[:id], ARRAY[:token]);
-- no such task, nor token
SELECT leases_end_try('SELECT stent.complete(9223372036854775807, 1)');
SELECT leases_end_try('SELECT stent.complete(-1, -1)');
SELECT stent.complete_many('{9223372036854775807,-1,0}', '{1,-1,0}');
-- a task that nobody leases; a token of another task; a token that is off by one
SELECT stent.dispatch('leases_end_f') AS other \gset
SELECT leases_end_try(format('SELECT stent.complete(%s, %s)', :other, :token));
SELECT * FROM leases_end_lease(1) \gset a_
SELECT * FROM leases_end_lease(1) \gset b_
SELECT leases_end_try(format('SELECT stent.complete(%s, %s)', :b_id, :a_token));
SELECT leases_end_try(format('SELECT stent.fail(%s, %s, ''{"message": "x"}'')', :b_id, :a_token));
SELECT leases_end_try(format('SELECT stent.release(%s, %s)', :b_id, :a_token));
SELECT leases_end_try(format('SELECT stent.heartbeat(%s, %s)', :b_id, :a_token));
SELECT leases_end_try(format('SELECT stent.complete(%s, %s)', :b_id, :b_token + 1));
SELECT stent.complete_many(ARRAY[:b_id, :other, :a_id, :a_id], ARRAY[:a_token, :a_token, :b_token, 0]);
SELECT stent.heartbeat_many(ARRAY[:b_id, :a_id], ARRAY[:a_token, :b_token]), stent.release_many(ARRAY[:b_id, :a_id], ARRAY[:a_token, :b_token]);
SELECT cardinality(:'a_ids'::bigint[]) AS first, cardinality(:'b_ids'::bigint[]) AS second;
SELECT stent.complete_many(:'a_ids', :'a_tokens'), stent.complete_many(:'b_ids', :'b_tokens');
SELECT * FROM leases_end_left;

-- many: results and nulls in their places, in any order, of several tokens, duplicates
SELECT * FROM leases_end_lease(3) \gset a_
SELECT * FROM leases_end_lease(2) \gset b_
SELECT (:'a_ids'::bigint[])[1] AS a1, (:'a_ids'::bigint[])[2] AS a2, (:'a_ids'::bigint[])[3] AS a3, (:'b_ids'::bigint[])[1] AS b1, (:'b_ids'::bigint[])[2] AS b2 \gset
SELECT stent.complete_many(ARRAY[:b2, :a3, :a3, 12345678901234, :a1, :b2], ARRAY[:b_token, :a_token, :a_token, :a_token, :a_token, :a_token], ARRAY['"b2"', '"a3"', '"twice"', '0', NULL, '"stolen"']::jsonb[]);
SELECT args, result, state FROM stent.tasks WHERE id IN (:a1, :a3, :b2) ORDER BY id;
SELECT cardinality(task_ids) AS members FROM stent.lease ORDER BY 1;
SELECT stent.fail_many(ARRAY[:a2, :a2, :b1], ARRAY[:a_token, :a_token, :b_token], ARRAY['{"message": "one"}', '{"message": "two"}', '{"message": "three", "retryable": false}']::jsonb[]);
SELECT state, attempt, error ->> 'message' AS message FROM stent.tasks WHERE id IN (:a2, :b1) ORDER BY id;
SELECT error ->> 'message' AS message FROM stent.attempt WHERE task_id = :a2;
SELECT * FROM leases_end_left;
SET stent.clock = '2026-01-01 00:02:00';
SELECT * FROM leases_end_lease(1) \gset
SELECT stent.release_many(:'ids'::bigint[] || :'ids', :'tokens'::bigint[] || :'tokens');
SELECT * FROM leases_end_lease(0) \gset
SELECT stent.heartbeat_many(:'ids'::bigint[] || :'ids', :'tokens'::bigint[] || :'tokens');
SELECT stent.complete_many(:'ids', :'tokens', NULL, NULL);
SELECT * FROM leases_end_left;

-- arguments
SELECT leases_end_try('SELECT stent.complete(NULL, 1)'), leases_end_try('SELECT stent.complete(1, NULL)');
SELECT leases_end_try('SELECT stent.fail(NULL, 1, ''{"message": "m"}'')'), leases_end_try('SELECT stent.release(NULL, 1)'), leases_end_try('SELECT stent.heartbeat(1, NULL)');
SELECT leases_end_try('SELECT stent.complete_many(NULL, ''{1}'')'), leases_end_try('SELECT stent.complete_many(''{1}'', NULL)');
SELECT leases_end_try('SELECT stent.complete_many(''{1,NULL}'', ''{1,1}'')'), leases_end_try('SELECT stent.release_many(''{1}'', ''{NULL}'')');
SELECT leases_end_try('SELECT stent.complete_many(''{}'', ''{}'')'), leases_end_try('SELECT stent.heartbeat_many(''{}'', ''{}'')');
SELECT leases_end_try('SELECT stent.complete_many(array_fill(1::bigint, ARRAY[1001]), array_fill(1::bigint, ARRAY[1001]))');
SELECT leases_end_try('SELECT stent.release_many(''{1,2}'', ''{1}'')'), leases_end_try('SELECT stent.heartbeat_many(''{1}'', ''{1,2}'')');
SELECT leases_end_try('SELECT stent.complete_many(''{1}'', ''{1}'', ''{1,2}'')'), leases_end_try('SELECT stent.complete_many(''{1}'', ''{1}'', ''{1}'', ''{}'')');
SELECT leases_end_try('SELECT stent.fail_many(''{1}'', ''{1}'', ''{}'')'), leases_end_try('SELECT stent.fail_many(''{1}'', ''{1}'', NULL)');
SELECT leases_end_try('SELECT stent.fail_many(''{1}'', ''{1}'', ''{NULL}'')'), leases_end_try('SELECT stent.fail(1, 1, NULL)');
SELECT leases_end_try('SELECT stent.heartbeat(1, 1, ''99ms'')'), leases_end_try('SELECT stent.heartbeat_many(''{1}'', ''{1}'', ''8 days'')');
SELECT error, leases_end_try(format('SELECT stent.fail(1, 1, %L)', error)) FROM unnest(ARRAY['{}', '[]', '"m"', 'null', '7', '["message"]', '{"message": null}', '{"message": 7}', '{"code": "C"}',
    '{"message": "m", "code": ""}']) error;
SELECT leases_end_try(format('SELECT stent.fail(1, 1, %L)', jsonb_build_object('message', 'm', 'code', repeat('c', 201))));
-- 1000 are allowed, and answered one by one
SELECT o, count(*) FROM unnest(stent.complete_many((SELECT array_agg(i) FROM generate_series(1::bigint, 1000) i) , array_fill(1::bigint, ARRAY[1000]))) o GROUP BY 1;
SELECT count(*) FROM stent.dispatch_many('leases_end_f', array_fill('{}'::jsonb, ARRAY[1000]));
SELECT o, count(*) FROM (SELECT stent.complete_many(array_agg(task_id ORDER BY task_id DESC), array_agg(token)) AS w FROM stent.claim('w', 1000, '{leases_end_f}')) c, unnest(w) o GROUP BY 1;
SELECT * FROM leases_end_left;

-- a result that is too large: nothing is changed
SELECT * FROM leases_end_lease(2) \gset
SET stent.max_payload_size = '64kB';
SELECT leases_end_try(format('SELECT stent.complete(%s, %s, to_jsonb(repeat(''x'', 70000)))', :id, :token));
SELECT leases_end_try(format('SELECT stent.complete_many(%L, %L, ARRAY[''1'', to_jsonb(repeat(''x'', 70000))])', :'ids', :'tokens'));
SELECT leases_end_try(format('SELECT stent.fail(%s, %s, jsonb_build_object(''message'', repeat(''x'', 70000)))', :id, :token));
RESET stent.max_payload_size;
SELECT live FROM leases_end_left;
SELECT stent.complete_many(:'ids', :'tokens', ARRAY[to_jsonb(repeat('x', 70000)), NULL]);
SELECT length(stent.result_of(:id)::text);
SELECT * FROM leases_end_left;

-- the policy stored with the task: names of errors, SQLSTATEs, classes, condition names
SELECT stent.register('leases_end_g', retry => '{"max_attempts": 3, "initial_delay": "0s", "retry_for": ["ValueError", "40001", "08", "disk_full", "ST014"], "no_retry_for": ["08P01"]}');
CREATE FUNCTION leases_end_fails(error jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    c record;
    word text;
    kept jsonb;
BEGIN
    PERFORM stent.dispatch('leases_end_g');
    SELECT * INTO c FROM stent.claim('w', 1, '{leases_end_g}');
    word := stent.fail(c.task_id, c.token, error);
    SELECT a.error INTO kept FROM stent.attempt a WHERE a.task_id = c.task_id;
    PERFORM stent.cancel(c.task_id);
    RETURN word || ' ' || kept::text;
END $$;
SELECT leases_end_fails(error::jsonb) FROM unnest(ARRAY[
    '{"message": "m", "code": "ValueError"}', '{"message": "m", "code": "valueerror"}', '{"message": "m", "code": "KeyError"}', '{"message": "m", "code": "40001"}',
    '{"message": "m", "code": "08006"}', '{"message": "m", "code": "08P01"}', '{"message": "m", "code": "53100"}', '{"message": "m", "code": "disk_full"}', '{"message": "m"}',
    '{"message": "m", "code": null}', '{"message": "m", "code": 7}',
    '{"message": "m", "code": "ValueError", "retryable": false}', '{"message": "m", "code": "ValueError", "retryable": true}', '{"message": "m", "code": "KeyError", "retryable": true}',
    '{"message": "m", "code": "ValueError", "retryable": "false"}', '{"message": "m", "detail": "d", "hint": "h", "traceback": ["a", {"b": 1}], "exit": 3}', '{"message": ""}']) error;
-- attempts are counted, the last one leaves a dead letter
SELECT stent.dispatch('leases_end_f') AS id \gset
SELECT attempt, stent.fail(task_id, token, '{"message": "first"}') FROM stent.claim('w', 1, '{leases_end_f}');
SELECT state, attempt, due_at FROM stent.tasks WHERE id = :id;
SET stent.clock = '2026-01-01 00:03:00';
SELECT attempt, stent.fail(task_id, token, '{"message": "second"}') FROM stent.claim('w', 1, '{leases_end_f}');
SET stent.clock = '2026-01-01 00:05:00';
SELECT attempt, stent.fail(task_id, token, '{"message": "third", "code": "E"}') FROM stent.claim('w', 1, '{leases_end_f}');
SELECT state, attempt, error FROM stent.tasks WHERE id = :id;
SELECT attempt, started_at, finished_at, error ->> 'message' AS message, error ->> 'retryable' AS retryable FROM stent.attempt WHERE task_id = :id ORDER BY attempt;
SELECT stent.replay(:id) = :id AS replayed;
SELECT attempt, stent.complete(task_id, token, '"at last"') FROM stent.claim('w', 1, '{leases_end_f}');
SELECT stent.result_of(:id);
SELECT * FROM leases_end_left;

-- after a retry, a release, a replay: the old token holds nothing, and changes nothing
SELECT * FROM leases_end_lease(1) \gset
SELECT stent.release(:id, :token);
SELECT leases_end_try(format('SELECT stent.complete(%s, %s)', :id, :token));
SELECT token AS new, attempt FROM stent.claim('v', 1, '{leases_end_f}') \gset
SELECT leases_end_try(format('SELECT stent.complete(%s, %s, ''1'', ''{"c": 1}'', ''{"k": 1}'')', :id, :token));
SELECT leases_end_try(format('SELECT stent.fail(%s, %s, ''{"message": "m"}'')', :id, :token));
SELECT leases_end_try(format('SELECT stent.release(%s, %s)', :id, :token));
SELECT leases_end_try(format('SELECT stent.heartbeat(%s, %s)', :id, :token));
SELECT stent.complete_many(ARRAY[:id], ARRAY[:token]), stent.heartbeat_many(ARRAY[:id], ARRAY[:token]);
SELECT stent.fail(:id, :new, '{"message": "m"}');
SELECT leases_end_try(format('SELECT stent.complete(%s, %s)', :id, :new));
SET stent.clock = '2026-01-01 00:10:00';
SELECT token AS newer FROM stent.claim('v', 1, '{leases_end_f}') \gset
SELECT stent.complete_many(ARRAY[:id, :id], ARRAY[:token, :new]);
SELECT stent.fail(:id, :newer, '{"message": "m", "retryable": false}');
SELECT stent.replay(:id, reset_retries => true) = :id AS replayed;
SELECT token AS newest, attempt FROM stent.claim('v', 1, '{leases_end_f}') \gset
SELECT stent.complete_many(ARRAY[:id, :id, :id], ARRAY[:token, :new, :newer]);
SELECT (SELECT count(*) FROM stent.counter WHERE execution_id = :id) AS counters, (SELECT count(*) FROM stent.context WHERE execution_id = :id) AS context;
SELECT :attempt AS attempt, stent.complete(:id, :newest);
SELECT * FROM leases_end_left;

-- in one transaction: claim, release, claim, fail, and all undone
SELECT stent.dispatch('leases_end_f') AS id \gset
BEGIN;
SELECT token AS one FROM stent.claim('w', 1, '{leases_end_f}') \gset
SELECT stent.release(:id, :one);
SELECT token AS two FROM stent.claim('w', 1, '{leases_end_f}') \gset
SELECT stent.heartbeat(:id, :two);
SAVEPOINT s;
SELECT stent.complete(:id, :two, '1', '{"c": 1}', '{"k": 1}', NULL, '[{"step": "s"}]');
SELECT leases_end_try(format('SELECT stent.complete(%s, %s)', :id, :two));
ROLLBACK TO s;
SELECT stent.fail(:id, :two, '{"message": "m"}');
SELECT leases_end_try(format('SELECT stent.complete(%s, %s)', :id, :two));
ROLLBACK TO s;
SELECT stent.complete(:id, :two, '2', '{"c": 2}');
COMMIT;
SELECT state, attempt, result FROM stent.tasks WHERE id = :id;
SELECT (SELECT sum(delta) FROM stent.counter WHERE execution_id = :id) AS counters, (SELECT count(*) FROM stent.context WHERE execution_id = :id) AS context,
       (SELECT count(*) FROM stent.progress_entry WHERE execution_id = :id) AS progress;
SELECT * FROM leases_end_left;
-- what this transaction itself has locked is not busy
SELECT stent.dispatch('leases_end_f') AS a, stent.dispatch('leases_end_f') AS b \gset
BEGIN;
SELECT * FROM leases_end_lease(0) \gset
SELECT stent.release_many(:'ids', :'tokens');
SELECT * FROM leases_end_lease(0) \gset
SELECT stent.heartbeat_many(:'ids', :'tokens');
SELECT stent.complete_many(ARRAY[:a], ARRAY[:token]), stent.cancel(:b);
COMMIT;
SELECT stent.state_of(:a) ->> 'state' AS a, stent.state_of(:b) ->> 'state' AS b;
-- nor what it has written output of
BEGIN;
SELECT stent.dispatch('leases_end_f') AS a, stent.dispatch('leases_end_f') AS b \gset
SELECT * FROM leases_end_lease(0) \gset
SELECT stent.append_output(:a, :token, 'stdout', 'one'), stent.append_output(:b, :token, 'stdout', 'two');
SAVEPOINT s;
SELECT stent.complete_many(:'ids', :'tokens');
ROLLBACK TO s;
SELECT stent.release_many(ARRAY[:a], ARRAY[:token]), stent.complete_many(ARRAY[:b], ARRAY[:token]);
SELECT text FROM unnest(ARRAY[:a, :b]) id, stent.output_of(id);
ROLLBACK;
SELECT * FROM leases_end_left;
BEGIN;
SELECT * FROM leases_end_lease(2) \gset
SELECT stent.complete(:id, :token);
ROLLBACK;
SELECT * FROM leases_end_left;

-- max_duration is over: when it is claimed, completed or failed, and while it is leased
SELECT stent.register('leases_end_d', max_duration => '1 min', retry => '{"max_attempts": 2, "initial_delay": "1s", "jitter": 0}');
SELECT stent.dispatch('leases_end_d') AS id \gset
SET stent.clock = '2026-01-01 00:12:00';
SELECT count(*) FROM stent.claim('w', 1, '{leases_end_d}');
SELECT state, attempt, started_at, error ->> 'code' AS code FROM stent.tasks WHERE id = :id;
SELECT * FROM leases_end_lease(3, 'leases_end_d') \gset
SET stent.clock = '2026-01-01 00:13:00';
SELECT stent.complete(:id, :token, '1', '{"c": 1}', '{"k": 1}', NULL, '[{"step": "s"}]');
SELECT stent.fail(:id + 1, :token, '{"message": "m"}');
SELECT stent.heartbeat(:id + 2, :token);
SELECT state, attempt, started_at, result, error ->> 'code' AS code FROM stent.tasks WHERE id BETWEEN :id AND :id + 1 ORDER BY id;
SELECT (SELECT count(*) FROM stent.counter WHERE execution_id = :id) AS counters, (SELECT count(*) FROM stent.context WHERE execution_id = :id) AS context,
       (SELECT count(*) FROM stent.progress_entry WHERE execution_id = :id) AS progress;
-- whoever claims next sees it, whatever was asked for
SELECT count(*) FROM stent.claim('other', 1, '{no_such_function}');
SELECT state, attempt, error ->> 'code' AS code FROM stent.tasks WHERE id = :id + 2;
SELECT leases_end_try(format('SELECT stent.complete(%s, %s)', :id + 2, :token)), stent.heartbeat_many(ARRAY[:id + 2], ARRAY[:token]);
-- the row of its lease goes when it expires
SELECT * FROM leases_end_left;
SET stent.clock = '2026-01-01 00:20:00';
SELECT count(*) FROM stent.claim('other', 1, '{no_such_function}');
SELECT * FROM leases_end_left;
