-- map: items that fail. What they and their neighbours leave, attempts, dead letters.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';
CREATE TABLE me_effect (item int, attempt int);
CREATE SEQUENCE me_calls;
-- fails where the item says so, in the first attempts
CREATE FUNCTION me_item(n int, fail int DEFAULT 0, code text DEFAULT 'P0001') RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO me_effect VALUES (n, stent.attempt());
    PERFORM nextval('me_calls');
    IF stent.attempt() <= fail THEN
        RAISE EXCEPTION 'item with %', n USING ERRCODE = code, DETAIL = 'as asked for';
    END IF;
    RETURN 10 * n;
END $$;
CREATE FUNCTION me_map(items jsonb, options jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    RETURN stent.map('me_item', items, chunk_size => COALESCE((options ->> 'chunk_size')::int, 1000), on_error => COALESCE(options ->> 'on_error', 'fail'), retry => options -> 'retry', timeout => (options ->> 'timeout')::interval);
END $$;
SELECT stent.register('me_item', 'me_item(int, int, text)', retry => '{"max_attempts": 3, "initial_delay": "1s", "jitter": 0}'), stent.register('me_map', 'me_map(jsonb, jsonb)', retry => '{"max_attempts": 1}');
CREATE PROCEDURE me_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
CREATE FUNCTION me_dispatch(items jsonb, options jsonb DEFAULT '{}') RETURNS bigint LANGUAGE sql AS $$
SELECT setval('me_calls', 1, false); DELETE FROM me_effect; SELECT stent.dispatch('me_map', jsonb_build_object('items', items, 'options', options)) $$;
CREATE VIEW me_last AS SELECT state, result, error - 'context' AS error FROM stent.executions ORDER BY id DESC LIMIT 1;
CREATE VIEW me_chunks AS SELECT number, attempt, completed, failed, hits, open, COALESCE(results, (SELECT value FROM stent.payload p WHERE p.id = results_ref)) AS results, finished_at IS NOT NULL AS finished FROM stent.chunk WHERE map_id = (SELECT max(id) FROM stent.map) ORDER BY number;
CREATE VIEW me_items AS SELECT i.number, i.attempt, i.error ->> 'code' AS code, i.error ->> 'message' AS message, d.attempt AS dead_attempt, d.args, d.parent_id = i.map_id AS of_map, d.chunk FROM stent.item i JOIN stent.dead_letter d ON d.id = i.task_id WHERE i.map_id = (SELECT max(id) FROM stent.map) ORDER BY number;

-- all is well in the second attempt: what was done is not done again, what failed left nothing
SELECT count(me_dispatch('[1, {"n": 2, "fail": 1}, 3, {"n": 4, "fail": 1}, 5]'));
CALL me_run();
SELECT * FROM me_chunks;
SELECT state, attempt, due_at, error ->> 'message' AS message, error -> 'index' AS index FROM stent.tasks WHERE function = 'me_item' AND finished_at IS NULL ORDER BY id;
SELECT * FROM me_effect ORDER BY item;
SET stent.clock = '2026-01-01 00:00:01';
CALL me_run();
SELECT * FROM me_chunks;
SELECT * FROM me_effect ORDER BY item;
SELECT * FROM me_last;
SELECT count(*) FROM stent.item WHERE map_id = (SELECT max(id) FROM stent.map);

-- one that fails every time: the others are kept, the map fails with it, its error tells which
SELECT count(me_dispatch('[1, 2, {"n": 3, "fail": 9}, 4, {"n": 5, "fail": 9, "code": "22012"}]'));
CALL me_run();
SET stent.clock = '2026-01-01 00:00:03';
CALL me_run();
SELECT * FROM me_chunks;
SET stent.clock = '2026-01-01 00:00:09';
CALL me_run();
SELECT * FROM me_chunks;
SELECT * FROM me_items;
SELECT error ->> 'code' AS code, error ->> 'message' AS message, (error ->> 'detail')::jsonb #- '{error,context}' - 'task_id' AS detail FROM me_last;
SELECT jsonb_pretty(error - 'context') FROM stent.tasks WHERE id = (SELECT max(id) FROM stent.map);
SELECT function, state, attempt, error_code, args FROM stent.dead_letters WHERE execution_id = (SELECT max(id) FROM stent.executions) ORDER BY id;
SELECT * FROM me_effect ORDER BY item;

-- siblings in other chunks finish; the lowest index fails the map, whatever came first
SELECT count(me_dispatch('[1, {"n": 2, "fail": 2}, 3, {"n": 4, "fail": 1, "code": "22012"}, 5, 6]', '{"chunk_size": 2, "retry": {"max_attempts": 2, "retry_for": ["P0001"]}}'));
CALL me_run();
SELECT * FROM me_chunks;
SET stent.clock = '2026-01-01 00:00:20';
CALL me_run();
SELECT * FROM me_chunks;
SELECT * FROM me_items;
SELECT state, error ->> 'code' AS code, error ->> 'message' AS message FROM me_last;

-- what is not to be retried fails at once, beside what is
SELECT count(me_dispatch('[{"n": 1, "fail": 1}, {"n": 2, "fail": 1, "code": "22012"}, 3]', '{"retry": {"no_retry_for": ["22012"]}, "on_error": "collect"}'));
CALL me_run();
SELECT * FROM me_chunks;
SELECT * FROM me_items;
SET stent.clock = '2026-01-01 00:00:40';
CALL me_run();
SELECT * FROM me_chunks;
SELECT state, jsonb_pretty(result) FROM me_last;
SELECT result FROM stent.tasks WHERE id = (SELECT max(id) FROM stent.map);

-- groups: an item that fails undoes those before it, which run again; each effect is there once
SELECT count(me_dispatch((SELECT jsonb_agg(CASE WHEN n IN (5, 6, 70, 130, 299) THEN jsonb_build_object('n', n, 'fail', 9) ELSE to_jsonb(n) END) FROM generate_series(1, 300) n), '{"retry": {"max_attempts": 1}, "on_error": "collect"}'));
SELECT stent.run(1);
-- all that is done in one go
SELECT stent.run(1);
SELECT number, attempt, completed, failed, finished FROM me_chunks;
CALL me_run();
SELECT number, message FROM me_items;
SELECT count(*), count(DISTINCT item), (SELECT count(*) FROM me_effect WHERE item IN (5, 6, 70, 130, 299)) AS of_failed FROM me_effect;
SELECT currval('me_calls') BETWEEN 301 AND 400 AS few_ran_twice;
SELECT bool_and(CASE WHEN i IN (5, 6, 70, 130, 299) THEN r #>> '{error,message}' = 'item with ' || i ELSE (r -> 'result')::int = 10 * i END) AS right_places FROM me_last, jsonb_array_elements(result) WITH ORDINALITY e (r, i);
-- all of them
SELECT count(me_dispatch((SELECT jsonb_agg(jsonb_build_object('n', n, 'fail', 9)) FROM generate_series(1, 100) n), '{"retry": {"max_attempts": 1}}'));
CALL me_run();
SELECT number, attempt, completed, failed, finished FROM me_chunks;
SELECT currval('me_calls') AS calls, (SELECT count(*) FROM me_effect) AS effects, (SELECT count(*) FROM me_items) AS dead;
SELECT state, error ->> 'message' AS message FROM me_last;

-- a deferred constraint fails its item, not the chunk and not the commit
CREATE TABLE me_parent (n int PRIMARY KEY);
INSERT INTO me_parent SELECT generate_series(1, 60) EXCEPT SELECT unnest(ARRAY[7, 31]);
CREATE TABLE me_child (n int REFERENCES me_parent DEFERRABLE INITIALLY DEFERRED);
CREATE FUNCTION me_defer(n int) RETURNS int LANGUAGE sql AS 'INSERT INTO me_child VALUES (n) RETURNING n';
CREATE FUNCTION me_defer_map() RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN stent.map('me_defer', (SELECT jsonb_agg(n) FROM generate_series(1, 60) n), on_error => 'collect'); END $$;
SELECT stent.register('me_defer', 'me_defer(int)', retry => '{"max_attempts": 1}'), stent.register('me_defer_map', 'me_defer_map()');
SELECT count(stent.dispatch('me_defer_map'));
CALL me_run();
SELECT number, attempt, completed, failed, finished FROM me_chunks;
SELECT number, code, args FROM me_items;
SELECT count(*), count(DISTINCT n) FROM me_child;

-- a result that is too large, and a handler that is gone
CREATE FUNCTION me_large(n int) RETURNS text LANGUAGE sql AS $$ SELECT repeat('x', n) $$;
CREATE FUNCTION me_large_map() RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN stent.map('me_large', '[10, 2000, 20]', on_error => 'collect'); END $$;
SELECT stent.register('me_large', 'me_large(int)'), stent.register('me_large_map', 'me_large_map()');
SET stent.max_payload_size = '1kB';
SELECT count(stent.dispatch('me_large_map'));
CALL me_run();
SELECT number, attempt, completed, failed, finished FROM me_chunks;
SELECT number, attempt, code, message FROM me_items;
RESET stent.max_payload_size;
SELECT stent.register('me_large', 'me_large(int)', retry => '{"max_attempts": 2, "initial_delay": "1s", "jitter": 0}');
SELECT count(stent.dispatch('me_large_map'));
SELECT stent.run(1);
DROP FUNCTION me_large(int);
CALL me_run();
SELECT number, attempt, completed, failed, open, finished FROM me_chunks;
SET stent.clock = '2026-01-01 00:01:00';
CALL me_run();
SELECT number, attempt, completed, failed, open, finished FROM me_chunks;
SELECT number, attempt, code, message FROM me_items;

-- steps are not for items
CREATE FUNCTION me_stepper(n int) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN stent.record('x', to_jsonb(n)); END $$;
CREATE FUNCTION me_steps() RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN stent.map('me_stepper', '[1]'); END $$;
SELECT stent.register('me_stepper', 'me_stepper(int)', retry => '{"max_attempts": 1}'), stent.register('me_steps', 'me_steps()');
SELECT count(stent.dispatch('me_steps'));
CALL me_run();
SELECT state, error ->> 'code' AS code, error ->> 'message' AS message FROM me_last;

-- caught, the failure of a map is one like others; the steps after it go on
CREATE FUNCTION me_catch() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    r jsonb;
BEGIN
    BEGIN
        r := stent.map('me_item', '[1, {"n": 2, "fail": 9}]', retry => '{"max_attempts": 1}');
    EXCEPTION WHEN raise_exception THEN
        r := to_jsonb(SQLERRM);
    END;
    RETURN jsonb_build_array(r, stent.map('me_item', '[5]'));
END $$;
SELECT stent.register('me_catch', 'me_catch()');
SELECT count(stent.dispatch('me_catch'));
CALL me_run();
SELECT * FROM me_last;
SELECT (SELECT count(*) FROM stent.task) AS tasks, (SELECT count(*) FROM stent.ready) AS ready, (SELECT count(*) FROM stent.due) AS due, (SELECT count(*) FROM stent.child) AS children;
SET stent.clock = '2026-03-01';
SELECT stent.purge_dead_letters('0') >= 0 AS purged;
