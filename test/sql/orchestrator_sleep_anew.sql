-- A sleep that a failed attempt took behind a failed step is not the sleep of another length that the next attempt comes to.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';
SET datestyle = ISO;
CREATE TABLE san_bad (n int);
CREATE PROCEDURE san_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
CREATE FUNCTION san_leaf() RETURNS text LANGUAGE plpgsql AS $$ BEGIN IF EXISTS (SELECT FROM san_bad) THEN RAISE EXCEPTION 'bad'; END IF; RETURN 'good'; END $$;
CREATE FUNCTION san_do(hours int) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    -- of the same steps the length may be another each time
    PERFORM stent.sleep(make_interval(hours => hours, secs => stent.attempt()));
    BEGIN
        PERFORM stent.call('san_leaf');
    EXCEPTION WHEN raise_exception THEN
        PERFORM stent.sleep('1 minute');
        RAISE EXCEPTION 'given up' USING ERRCODE = 'SA001';
    END;
    PERFORM stent.sleep('1 day');
    RETURN 'done';
END $$;
SELECT stent.register('san_leaf', 'san_leaf()', retry => '{"max_attempts": 1}'), stent.register('san_do', 'san_do(int)', retry => '{"max_attempts": 2, "initial_delay": "0s"}');
INSERT INTO san_bad VALUES (1);
SELECT stent.dispatch('san_do', '{"hours": 1}') AS id \gset
CALL san_run();
SET stent.clock = '2026-01-01 01:00:01';
CALL san_run();
SELECT state, attempt, result FROM stent.tasks WHERE id = :id;
DELETE FROM san_bad;
SET stent.clock = '2026-01-01 01:01:01';
CALL san_run();
SELECT state, attempt, result FROM stent.tasks WHERE id = :id;
SELECT due_at AS until FROM stent.task WHERE id = :id;
SET stent.clock = '2026-01-02 01:01:01';
CALL san_run();
SELECT state, attempt, result FROM stent.tasks WHERE id = :id;
SELECT stent.discard_many('san_leaf') AS dead;
SELECT count(stent.unregister('san_' || n)) FROM unnest(ARRAY['leaf', 'do']) n;
DROP PROCEDURE san_run;
DROP FUNCTION san_leaf, san_do;
DROP TABLE san_bad;
