-- Chunks of maps of external functions: claimed by those who ask for them, ended item by item.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
CREATE FUNCTION map_lease_try(sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    code text; msg text; hint text;
BEGIN
    EXECUTE sql INTO msg;
    RETURN 'returns ' || coalesce(msg, 'null');
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, msg = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
    RETURN code || ': ' || regexp_replace(regexp_replace(msg, 'token \d+', 'token N'), 'task \d+', 'task N', 'g');
END $$;
SELECT stent.register('map_lease_f', queue => 'ml', timeout => '5m', retry => '{"max_attempts": 2, "initial_delay": "1m", "jitter": 0}'),
       stent.register('map_lease_other', queue => 'ml');
CREATE FUNCTION map_lease_map(n int, size int DEFAULT 3, retry jsonb DEFAULT NULL) RETURNS bigint LANGUAGE sql AS $$
SELECT stent.map_query('map_lease_f', format('SELECT n * 10 FROM generate_series(0, %s) n', n - 1), size, retry => retry) $$;
-- the next chunk, as a worker that takes them is given it
CREATE FUNCTION map_lease_claim(OUT task bigint, OUT token bigint, OUT items int, OUT args jsonb, OUT attempt int) LANGUAGE sql AS $$
SELECT c.task_id, c.token, c.items, c.args, c.attempt FROM stent.claim('w', 1, '{map_lease_f}', chunks => true) c $$;
CREATE VIEW map_lease_left AS
    SELECT (SELECT count(*) FROM stent.lease) AS leases, (SELECT count(*) FROM stent.place) AS places, (SELECT count(*) FROM stent.due WHERE kind = 'l') AS due, (SELECT count(*) FROM stent.task) AS tasks;

-- who does not ask for chunks is given none, and sees the rest
SELECT map_lease_map(7) AS map \gset
SELECT stent.dispatch('map_lease_f', '{"ordinary": 1}') AS ordinary \gset
SELECT count(*) FROM stent.claim('w', 10, '{map_lease_other}', chunks => true);
SELECT task_id = :ordinary AS ordinary, args, items FROM stent.claim('w', 10);
SELECT count(*) FROM stent.claim('w', 10, chunks => false);
SELECT map_lease_try('SELECT count(*) FROM stent.claim(''w'', chunks => NULL)');
SELECT function, queue, args, items, attempt, priority, timeout, execution_id = :map AS within FROM stent.claim('w', 10, chunks => true) ORDER BY task_id;
SELECT stent.release_many(l.task_ids, array_fill(l.token, ARRAY[cardinality(l.task_ids)])) FROM stent.lease l;
SELECT count(*) FROM stent.claim('w', 10);
SELECT stent.complete_many(l.task_ids, array_fill(l.token, ARRAY[cardinality(l.task_ids)])) FROM stent.lease l;

-- one outcome for each item: the chunk is completed with them
SELECT task, token, items, args FROM map_lease_claim() \gset
SELECT :items AS items, :'args' AS args;
SELECT stent.complete(:task, :token, '[{"result": "a"}, {"result": null}, {"result": {"c": [1]}}]');
SELECT state, result, attempt FROM stent.tasks WHERE id = :task;
SELECT index, result, error FROM stent.map_results(:map);
-- failures: final ones are dead letters of their own, others are run again, alone
SELECT task, token, items, args FROM map_lease_claim() \gset
SELECT stent.complete(:task, :token, '[{"error": {"code": "Gone", "message": "no such thing", "retryable": false, "path": "/x"}}, {"result": 4}, {"error": {"message": "later"}}]');
SELECT state, attempt, due_at FROM stent.tasks WHERE id = :task;
SELECT index, result, error FROM stent.map_results(:map) WHERE index IN (3, 4, 5);
SELECT function, state, args, error FROM stent.dead_letters WHERE execution_id = :map;
SELECT task AS last, token AS last_token, items, args FROM map_lease_claim() \gset
SELECT :items AS items, :'args' AS args;
SELECT items FROM map_lease_claim();
SET stent.clock = '2026-01-01 00:01:00';
SELECT task = :task AS same, token, items, args, attempt FROM map_lease_claim() \gset
SELECT :'same' AS same, :items AS items, :'args' AS args, :attempt AS attempt;
SELECT stent.complete(:task, :token, '[{"error": {"message": "not now either"}}]');
SELECT stent.complete_many(ARRAY[:last, :last], ARRAY[:last_token, :last_token], ARRAY['[{"result": 7}]', '[{"result": 8}]']::jsonb[]);
SELECT count(*) FROM stent.claim('w', 10, chunks => true);
SELECT index, result, error ->> 'code' AS code, error ->> 'message' AS error FROM stent.map_results(:map);
SELECT stent.state_of(:map) ->> 'state' AS state;
SELECT map_lease_try(format('SELECT stent.result_of(%s)', :map));
-- the dead letter of an item is an ordinary task again
SELECT id AS dead FROM stent.dead_letters WHERE execution_id = :map AND id <> :map AND error ->> 'code' = 'Gone' \gset
SELECT stent.replay(:dead) = :dead AS replayed;
SELECT task_id = :dead AND items IS NULL AS dead, args FROM stent.claim('w', 10) \gset
SELECT :'dead' AS dead, :'args' AS args;
SELECT stent.complete(l.task_ids[1], l.token, '"at last"') FROM stent.lease l;
SELECT index, result, error FROM stent.map_results(:map) WHERE index = 3;
SELECT stent.discard(id) FROM stent.dead_letters WHERE execution_id = :map;
TABLE map_lease_left;

-- what was not run goes back, unspent, and alone; the token holds no more
SELECT map_lease_map(3) AS map \gset
SELECT task, token FROM map_lease_claim() \gset
SELECT stent.complete(:task, :token, '[null, {"result": 1}, null]');
TABLE map_lease_left;
SELECT state, attempt FROM stent.tasks WHERE id = :task;
SELECT map_lease_try(format('SELECT stent.complete(%s, %s, ''[{"result": 1}, {"result": 1}]'')', :task, :token));
SELECT map_lease_try(format('SELECT stent.heartbeat(%s, %s)', :task, :token));
SELECT task, token, items, args, attempt FROM map_lease_claim() \gset
SELECT :items AS items, :'args' AS args, :attempt AS attempt;
-- together with a failure it is a retry, of both
SELECT stent.complete_many(ARRAY[:task], ARRAY[:token], ARRAY['[{"error": {"message": "no"}}, null]']::jsonb[]);
SELECT count(*) FROM stent.claim('w', 10, chunks => true);
SET stent.clock = '2026-01-01 00:02:00';
SELECT task, token, items, args, attempt FROM map_lease_claim() \gset
SELECT :items AS items, :'args' AS args, :attempt AS attempt;
-- with a failure for good it goes back for the rest
SELECT stent.complete(:task, :token, '[{"error": {"message": "no"}}, null]');
SELECT task, token, items, args, attempt FROM map_lease_claim() \gset
SELECT :items AS items, :'args' AS args, :attempt AS attempt;
SELECT stent.complete(:task, :token, '[{"result": 3}]');
SELECT index, result, error ->> 'message' AS error FROM stent.map_results(:map);
SELECT count(*) FROM stent.claim('w', 10, chunks => true);
SELECT stent.state_of(:map) ->> 'state' AS state;
SELECT stent.discard(id) FROM stent.dead_letters WHERE execution_id = :map;
-- nothing was run
SELECT map_lease_map(2) AS map \gset
SELECT task, token FROM map_lease_claim() \gset
SELECT stent.complete(:task, :token, '[null, null]');
SELECT task, token, items, attempt FROM map_lease_claim() \gset
SELECT :items AS items, :attempt AS attempt;

-- of several under one token only that one goes back
SELECT map_lease_map(2, 1) AS two \gset
SELECT token AS both, array_agg(task_id ORDER BY task_id) AS chunks FROM stent.claim('w', 10, chunks => true) GROUP BY token \gset
SELECT stent.complete((:'chunks'::bigint[])[1], :both, '[null]');
SELECT map_lease_try(format('SELECT stent.complete(%s, %s, ''[{"result": 1}]'')', (:'chunks'::bigint[])[1], :both));
SELECT stent.heartbeat_many(:'chunks', ARRAY[:both, :both]);
SELECT stent.complete((:'chunks'::bigint[])[2], :both, '[{"result": 2}]');
SELECT stent.complete(task_id, c.token, '[{"result": 1}]') FROM stent.claim('w', 10, chunks => true) c;
SELECT count(*) FROM stent.claim('w', 10, chunks => true);
SELECT index, result FROM stent.map_results(:two);

-- outcomes of the wrong shape: nothing is changed
SELECT map_lease_try(format('SELECT stent.complete(%s, %s, %L)', :task, :token, outcomes)) FROM unnest(ARRAY[NULL, 'null', '7', '{"result": 1}', '[]', '[{"result": 1}]', '[{"result": 1}, {"result": 2}, {"result": 3}]', '[{"result": 1}, 2]', '[{"result": 1}, {}]', '[{"result": 1}, {"other": 1}]', '[{"result": 1}, {"result": 1, "error": {"message": "x"}}]',
    '[{"result": 1}, {"error": "x"}]', '[{"result": 1}, {"error": {"code": "x"}}]', '[{"result": 1}, {"error": {"code": "", "message": "x"}}]', '[[], []]']) outcomes;
SELECT map_lease_try(format('SELECT stent.complete(%s, %s, ''[{"result": 1}, {"result": 2}]'', ''{"n": "x"}'')', :task, :token));
SELECT map_lease_try(format('SELECT stent.complete(%s, %s, ''[{"result": 1}, {"result": 2}]'', shared => ''{"map_lease_none": 1}'')', :task, :token));
SELECT count(*) FROM stent.map_results(:map);
-- a result that is too large is the item's failure; effects come with the chunk
SET stent.max_payload_size = '1kB';
SELECT stent.complete(:task, :token, jsonb_build_array(jsonb_build_object('result', repeat('x', 2000)), '{"result": "fits"}'::jsonb), '{"n": 2}', '{"k": "v"}');
RESET stent.max_payload_size;
SELECT index, result, error ->> 'code' AS code, error ->> 'retryable' AS retryable FROM stent.map_results(:map);
SELECT sum(delta) AS n FROM stent.counter WHERE execution_id = :map;
SELECT key, value FROM stent.context WHERE execution_id = :map;
SELECT count(*) FROM stent.claim('w', 10, chunks => true);
SELECT stent.discard(id) FROM stent.dead_letters WHERE execution_id = :map;

-- fail: all of its items
SELECT map_lease_map(2) AS map \gset
SELECT task, token FROM map_lease_claim() \gset
SELECT stent.fail(:task, :token, '{"code": "Broken", "message": "all of them"}');
SELECT attempt, error ->> 'message' AS message FROM stent.attempt WHERE task_id = :task;
SET stent.clock = '2026-01-01 00:03:00';
SELECT task, token, items, attempt FROM map_lease_claim() \gset
SELECT :items AS items, :attempt AS attempt;
SELECT stent.fail_many(ARRAY[:task], ARRAY[:token], ARRAY['{"code": "Broken", "message": "for good", "retryable": false}']::jsonb[]);
SELECT index, error ->> 'code' AS code, error ->> 'message' AS message FROM stent.map_results(:map);
SELECT count(*) FROM stent.claim('w', 10, chunks => true);
SELECT map_lease_try(format('SELECT stent.result_of(%s)', :map));
SELECT count(*) AS dead, bool_and(stent.discard(id)) AS discarded FROM stent.dead_letters WHERE execution_id = :map;

-- release, renewal, losses
SELECT map_lease_map(2) AS map \gset
SELECT task, token FROM map_lease_claim() \gset
SELECT stent.release(:task, :token);
SELECT task, token, items FROM map_lease_claim() \gset
SELECT stent.heartbeat(:task, :token, '1h');
SET stent.clock = '2026-01-01 01:02:59';
SELECT items FROM map_lease_claim();
SET stent.clock = '2026-01-01 01:03:00';
SELECT token AS old, task FROM (SELECT :token AS token, :task AS task) t \gset
SELECT task = :task AS same, token, items, attempt FROM map_lease_claim() \gset
SELECT :'same' AS same, :items AS items, :attempt AS attempt;
SELECT lost, attempt FROM stent.task WHERE id = :task;
SELECT map_lease_try(format('SELECT stent.complete(%s, %s, ''[{"result": 1}, {"result": 1}]'')', :task, :old));
SELECT stent.complete(:task, :token, '[{"result": 1}, {"error": {"message": "x", "retryable": false}}]');
SELECT count(*) FROM stent.claim('w', 10, chunks => true);
SELECT stent.discard(id) FROM stent.dead_letters WHERE execution_id = :map;
-- too many of them: the chunk fails, and with it the map
SET stent.max_lost = 1;
SELECT map_lease_map(2) AS map \gset
SELECT task, token FROM map_lease_claim() \gset
SET stent.clock = '2026-01-01 02:00:00';
SELECT count(*) FROM stent.claim('w', 10, chunks => true);
SELECT count(*) FROM stent.claim('w', 10, chunks => true);
RESET stent.max_lost;
SELECT map_lease_try(format('SELECT stent.result_of(%s)', :map));
SELECT index, error ->> 'code' AS code FROM stent.map_results(:map);
SELECT count(*) > 0 AS dead, bool_and(stent.discard(id)) AS discarded FROM stent.dead_letters WHERE execution_id = :map;
TABLE map_lease_left;

-- the same where errors are collected: its items have failed, for whoever asks, also when it is replayed later
CREATE FUNCTION map_lease_twice() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    outcomes jsonb := stent.map('map_lease_f', '[0, 10, 20, 30, 40]', chunk_size => 2, on_error => 'collect');
    first jsonb := stent.record('first', outcomes);
BEGIN
    PERFORM stent.await_signal('go');
    RETURN jsonb_build_object('same', first = outcomes, 'codes', jsonb_path_query_array(outcomes, '$[*].error.code'), 'results', jsonb_path_query_array(outcomes, '$[*].result'));
END $$;
SELECT stent.register('map_lease_twice', 'map_lease_twice()', retry => '{"max_attempts": 1}');
SET stent.max_lost = 1;
SELECT stent.dispatch('map_lease_twice') AS root \gset
SELECT stent.run() > 0 AS made;
SELECT max(id) AS map FROM stent.map \gset
SELECT task, token FROM map_lease_claim() \gset
SELECT stent.complete(:task, :token, '[{"result": "first"}, null]');
SELECT task = :task AS same FROM map_lease_claim();
SELECT stent.cancel(:task);
SELECT task AS lost FROM map_lease_claim() \gset
SELECT task, token FROM map_lease_claim() \gset
SELECT stent.complete(:task, :token, '[{"result": "last"}]');
SELECT index, result, error ->> 'code' AS code FROM stent.map_results(:map);
SET stent.clock = '2026-01-01 02:30:00';
SELECT count(*) FROM stent.claim('w', 10, chunks => true);
CREATE PROCEDURE map_lease_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
CALL map_lease_run();
SELECT stent.result_of(:map);
SELECT index, result, error ->> 'code' AS code, error ->> 'message' AS message FROM stent.map_results(:map);
SELECT stent.replay(:lost) = :lost AS replayed;
SELECT index, result, error ->> 'code' AS code FROM stent.map_results(:map);
SELECT task = :lost AS same, token, items FROM map_lease_claim() \gset
SELECT stent.complete(:lost, :token, '[{"result": "late"}, {"error": {"code": "Worse", "message": "no", "retryable": false}}]');
SELECT index, result, error ->> 'code' AS code FROM stent.map_results(:map);
SELECT stent.signal(:root, 'go');
CALL map_lease_run();
SELECT stent.result_of(:root);
RESET stent.max_lost;
SELECT bool_and(stent.discard(id)) AS discarded FROM stent.dead_letters WHERE execution_id = :root;
SELECT stent.unregister('map_lease_twice');
SET stent.clock = '2026-01-01 02:00:00';

-- cancelled, or past its max_duration, while a worker has it
SELECT map_lease_map(2) AS map \gset
SELECT task, token FROM map_lease_claim() \gset
SELECT stent.cancel(:map);
SELECT map_lease_try(format('SELECT stent.complete(%s, %s, ''[{"result": 1}, {"result": 1}]'')', :task, :token));
SELECT stent.map_query('map_lease_f', 'SELECT 1', max_duration => '1h') AS map \gset
SELECT task, token FROM map_lease_claim() \gset
SELECT stent.heartbeat(:task, :token, '1d') > '1h' AS long;
SET stent.clock = '2026-01-01 03:00:00';
SELECT stent.complete(:task, :token, '[{"result": 1}]');
SELECT count(*) FROM stent.claim('w', 10, chunks => true);
SELECT stent.state_of(:map) ->> 'state' AS state;
SELECT count(*) FROM stent.map_results(:map);
TABLE map_lease_left;

-- chunks stay chunks where they are moved to
SELECT map_lease_map(3) AS map \gset
SELECT id AS chunk FROM stent.tasks WHERE parent_id = :map \gset
SELECT stent.reschedule(:chunk, queue => 'map_lease_q', priority => 5, tags => '{x}');
SELECT count(*) FROM stent.claim('w', 10, queues => '{map_lease_q}');
SELECT queue, priority, items FROM stent.claim('w', 10, queues => '{map_lease_q}', chunks => true);
SELECT stent.cancel(:map);

-- so many items in flight as the limit says: chunks are no larger, and no more
SELECT stent.map_query('map_lease_f', 'SELECT generate_series(1, 20)', 4, concurrency_limit => 9) AS map \gset
SELECT count(*), sum(items) AS items, max(items) AS most FROM stent.claim('w', 10, chunks => true);
SELECT stent.cancel(:map);
SELECT stent.map_query('map_lease_f', 'SELECT generate_series(1, 20)', 100, concurrency_limit => 6) AS map \gset
SELECT count(*), sum(items) AS items, max(items) AS most FROM stent.claim('w', 10, chunks => true);
SELECT stent.cancel(:map);

-- neither kind waits for the other: lanes of their own take turns
SELECT stent.map_query('map_lease_f', 'SELECT generate_series(1, 200)', 1, concurrency_limit => 200) AS map \gset
SELECT count(*) FROM (SELECT stent.dispatch('map_lease_f') FROM generate_series(1, 200)) d;
SELECT count(*) AS tasks, count(items) AS chunks FROM stent.claim('plain', 20);
SELECT count(*) AS tasks, count(items) BETWEEN 9 AND 11 AS half_are_chunks FROM stent.claim('both', 20, chunks => true);
SELECT count(*) AS tasks, count(items) BETWEEN 9 AND 11 AS half_are_chunks FROM stent.claim('both', 20, chunks => true);
SELECT count(*) AS tasks, count(items) AS chunks FROM stent.claim('plain', 1000);
SELECT count(*) AS tasks, count(items) AS chunks FROM stent.claim('both', 1000, chunks => true);
SELECT stent.cancel(:map);
SELECT count(*) AS ended FROM stent.tasks t, stent.cancel(t.id) WHERE t.finished_at IS NULL;
-- limits hold for both together
SELECT stent.register('map_lease_f', queue => 'ml', max_concurrent => 3);
SELECT stent.map_query('map_lease_f', 'SELECT generate_series(1, 10)', 1) AS map \gset
SELECT count(*) FROM (SELECT stent.dispatch('map_lease_f') FROM generate_series(1, 5)) d;
SELECT count(*) FROM stent.claim('plain', 2);
SELECT count(*), count(items) <= 1 AS limited FROM stent.claim('both', 10, chunks => true);
SELECT count(*) FROM stent.claim('both', 10, chunks => true);
SELECT count(*) AS ended FROM stent.executions e, stent.cancel(e.id) WHERE e.finished_at IS NULL;
SET stent.clock = '2026-01-01 04:00:00';
SELECT count(*) FROM stent.claim('both', 10, chunks => true);
TABLE map_lease_left;

-- calls that were made before are not handed out: of a chunk what is left, of one with nothing left nothing
SELECT stent.register('map_lease_c', cached => true);
SELECT stent.map_query('map_lease_c', 'SELECT n FROM generate_series(1, 2) n') AS map \gset
SELECT task_id AS task, token FROM stent.claim('w', 10, chunks => true) \gset
SELECT stent.complete(:task, :token, '[{"result": "one"}, {"result": "two"}]');
SELECT stent.map_query('map_lease_c', 'SELECT n FROM generate_series(1, 4) n', 2) AS map \gset
SELECT task_id AS task, token, items, args FROM stent.claim('w', 10, chunks => true) \gset
SELECT :items AS items, :'args' AS args;
SELECT stent.complete(:task, :token, '[{"result": "three"}, {"result": "four"}]');
SELECT count(*) FROM stent.claim('w', 10, chunks => true);
SELECT index, result FROM stent.map_results(:map);
SELECT stent.result_of(:map);
SELECT stent.map_query('map_lease_c', 'VALUES (4), (5), (1)', 3) AS map \gset
SELECT task_id AS task, token, items, args FROM stent.claim('w', 10, chunks => true) \gset
SELECT :items AS items, :'args' AS args;
SELECT index, result FROM stent.map_results(:map);
SELECT stent.complete(:task, :token, '[{"result": "five"}]');
SELECT index, result FROM stent.map_results(:map);
SELECT count(*) FROM stent.claim('w', 10, chunks => true);
TABLE map_lease_left;
SELECT bool_and(stent.discard(id)) AS discarded FROM stent.dead_letters WHERE function LIKE 'map\_lease%';
SELECT count(stent.unregister('map_lease_' || n)) FROM unnest('{f,other,c}'::text[]) n;
