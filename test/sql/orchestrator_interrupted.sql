-- A real cancel, statement_timeout and the attempt's timeout keep their meaning in handlers that wait.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';
CREATE TABLE itr_t (line text);
CREATE FUNCTION itr_leaf() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$;
CREATE PROCEDURE itr_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
-- what happens when it goes on
CREATE FUNCTION itr_do(sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    waits boolean := true;
BEGIN
    BEGIN
        INSERT INTO itr_t VALUES ('own');
        PERFORM stent.await_signal('go');
        EXECUTE sql;
    EXCEPTION WHEN OTHERS THEN
        RETURN 'caught ' || SQLSTATE;
    END;
    PERFORM stent.call('itr_leaf');
    RETURN 'done';
END $$;
SELECT stent.register('itr_leaf', 'itr_leaf()'), stent.register('itr_do', 'itr_do(text)', retry => '{"max_attempts": 1}');

-- pg_cancel_backend: run ends, its transaction is undone, the task is where it was, uncharged
SELECT stent.dispatch('itr_do', '{"sql": "SELECT pg_cancel_backend(pg_backend_pid()), pg_sleep(60)"}') AS id \gset
CALL itr_run();
SELECT stent.signal(:id, 'go');
SELECT stent.run(1);
SELECT state, attempt FROM stent.tasks WHERE id = :id;
SELECT stent.run(1);
SELECT state, attempt FROM stent.tasks WHERE id = :id;
SELECT stent.cancel(:id);

-- statement_timeout of the session
SELECT stent.dispatch('itr_do', '{"sql": "SELECT pg_sleep(60)"}') AS id \gset
CALL itr_run();
SELECT stent.signal(:id, 'go');
SET statement_timeout = '300ms';
SELECT stent.run(1);
RESET statement_timeout;
SELECT state, attempt FROM stent.tasks WHERE id = :id;
SELECT stent.cancel(:id);

-- the attempt's own timeout: each run of the handler has all of it
SELECT stent.dispatch('itr_do', '{"sql": "SELECT pg_sleep(60)"}', timeout => '1s') AS id \gset
CALL itr_run();
SELECT stent.signal(:id, 'go');
CALL itr_run();
SELECT state, attempt, error ->> 'code' AS code, error ->> 'message' AS message FROM stent.tasks WHERE id = :id;
-- a wait is no part of it
CREATE FUNCTION itr_waits() RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM stent.sleep('1h'); RETURN 'done'; END $$;
SELECT stent.register('itr_waits', 'itr_waits()', timeout => '1s');
SELECT stent.dispatch('itr_waits') AS id \gset
CALL itr_run();
SET stent.clock = '2026-01-01 01:00:00';
CALL itr_run();
SELECT state, result FROM stent.tasks WHERE id = :id;
TABLE itr_t;

-- the interruption comes in the step itself: while the suspension is being written, or in a local step
CREATE FUNCTION itr_step() RETURNS int LANGUAGE plpgsql AS $$ BEGIN INSERT INTO itr_t VALUES ('step'); PERFORM pg_sleep(60); RETURN 1; END $$;
CREATE FUNCTION itr_local() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM stent.step('slow', 'itr_step');
    RETURN 'done';
EXCEPTION WHEN OTHERS THEN
    RETURN 'caught ' || SQLSTATE;
END $$;
SELECT stent.register('itr_step', 'itr_step()', retry => '{"max_attempts": 1}'), stent.register('itr_local', 'itr_local()', retry => '{"max_attempts": 1}');
SELECT stent.dispatch('itr_local') AS id \gset
SET statement_timeout = '300ms';
SELECT stent.run(1);
RESET statement_timeout;
SELECT state, attempt FROM stent.tasks WHERE id = :id;
SELECT stent.cancel(:id);
SELECT stent.dispatch('itr_local', timeout => '1s') AS id \gset
CALL itr_run();
SELECT state, attempt, result, error ->> 'code' AS code, error ->> 'message' AS message FROM stent.tasks WHERE id = :id;
TABLE itr_t;

-- a child that was cancelled by itself, or had its timeout, is an error that can be caught
CREATE FUNCTION itr_parent(span text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM stent.call('itr_step', timeout => span::interval, delay => CASE WHEN span IS NULL THEN interval '1h' END);
    RETURN 'done';
EXCEPTION WHEN OTHERS THEN
    RETURN 'caught ' || SQLSTATE;
END $$;
SELECT stent.register('itr_parent', 'itr_parent(text)');
SELECT stent.dispatch('itr_parent', '{"span": "100ms"}') AS id \gset
CALL itr_run();
SELECT stent.result_of(:id);
SELECT stent.dispatch('itr_parent', '{"span": null}') AS id \gset
CALL itr_run();
SELECT stent.cancel(id) FROM stent.tasks WHERE parent_id = :id;
CALL itr_run();
SELECT stent.result_of(:id);

SELECT stent.discard_many('itr_do') + stent.discard_many('itr_step') + stent.discard_many('itr_local') AS dead;
SELECT count(*) AS live FROM stent.task;
SELECT count(stent.unregister('itr_' || n)) FROM unnest(ARRAY['leaf', 'do', 'waits', 'step', 'local', 'parent']) n;
DROP PROCEDURE itr_run;
DROP FUNCTION itr_leaf, itr_do, itr_waits, itr_step, itr_local, itr_parent;
DROP TABLE itr_t;
