-- A task is retried by the policy stored with it, until its attempts are spent.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET datestyle = ISO;

CREATE TABLE retries_log (seen text);
CREATE FUNCTION retries_raise(code text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE SQLSTATE 'XX001' USING MESSAGE = 'never' ;
EXCEPTION WHEN SQLSTATE 'XX001' THEN
    RAISE EXCEPTION USING ERRCODE = code, MESSAGE = 'raised ' || code, DETAIL = 'd', HINT = 'h';
END $$;
CREATE FUNCTION retries_third_time() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO retries_log VALUES ('attempt ' || stent.attempt());
    IF stent.attempt() < 3 THEN
        RAISE EXCEPTION 'not yet';
    END IF;
    RETURN 'done';
END $$;

-- default policy, jitter off: 1 s, 2 s, and the third attempt succeeds
SELECT stent.register('retries_third', 'retries_third_time()', retry => '{"jitter": 0}');
SELECT retry FROM stent.functions WHERE name = 'retries_third';
SELECT stent.dispatch('retries_third') AS id \gset
SELECT stent.run();
SELECT state, attempt, due_at, error ->> 'message' AS error FROM stent.tasks WHERE id = :id;
SELECT stent.run();
SET stent.clock = '2026-01-01 00:00:00.999999';
SELECT stent.run();
SET stent.clock = '2026-01-01 00:00:01';
SELECT stent.run();
SELECT state, attempt, due_at FROM stent.tasks WHERE id = :id;
SET stent.clock = '2026-01-01 00:00:03';
SELECT stent.run();
SELECT state, attempt, result, error, finished_at FROM stent.tasks WHERE id = :id;
-- what failed attempts wrote is undone; their errors are remembered
SELECT * FROM retries_log;
SELECT a ->> 'attempt' AS attempt, a ->> 'started_at' AS started, a ->> 'finished_at' AS finished,
       a -> 'error' ->> 'code' AS code, a -> 'error' ->> 'message' AS message
FROM jsonb_array_elements(stent.state_of(:id) -> 'attempts') a;

-- growth and cap: 1 s, 3 s, 9 s, then 10 s for ever
SELECT stent.register('retries_raise', 'retries_raise(text)', retry =>
    '{"max_attempts": 6, "initial_delay": "1s", "backoff_factor": 3, "max_delay": "10s", "jitter": 0}');
SELECT stent.dispatch('retries_raise', '{"code": "22012"}') AS id \gset
CREATE PROCEDURE retries_live(task bigint) LANGUAGE plpgsql AS $$
DECLARE
    t record;
BEGIN
    LOOP
        PERFORM stent.run();
        COMMIT;
        SELECT state, attempt, due_at, due_at - stent.now() AS delay INTO t FROM stent.tasks WHERE id = task;
        RAISE INFO 'attempt % -> % %', t.attempt, t.state,
            CASE WHEN t.state = 'scheduled' THEN 'in ' || t.delay END;
        EXIT WHEN t.state <> 'scheduled';
        PERFORM set_config('stent.clock', to_char(t.due_at, 'YYYY-MM-DD HH24:MI:SS.US'), false);
        COMMIT;
    END LOOP;
END $$;
CALL retries_live(:id);
SELECT state, error - 'context' AS error FROM stent.tasks WHERE id = :id;

-- jitter 0.5 of 8 s: between 4 and 12 s, and not always the same
SELECT count(*) FROM stent.dispatch_many('retries_raise', array_fill('{"code": "22012"}'::jsonb, ARRAY[20]),
    retry => '{"initial_delay": "8s", "jitter": 0.5}');
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT bool_and(due_at - stent.now() BETWEEN '4s' AND '12s') AS in_bounds, count(DISTINCT due_at) > 10 AS varied
FROM stent.tasks WHERE function = 'retries_raise' AND state = 'scheduled';
SET stent.clock = '2026-01-02 00:00:00';
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SET stent.clock = '2026-01-03 00:00:00';
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SET stent.clock = '2026-01-04 00:00:00';
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SET stent.clock = '2026-01-05 00:00:00';
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SET stent.clock = '2026-01-06 00:00:00';
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT state, attempt, count(*) FROM stent.tasks WHERE function = 'retries_raise' GROUP BY state, attempt ORDER BY 1, 2;

SELECT stent.discard_many('retries_raise');
SELECT stent.unregister('retries_raise');
SELECT stent.unregister('retries_third');
DROP TABLE retries_log;
DROP FUNCTION retries_raise, retries_third_time;
DROP PROCEDURE retries_live;
