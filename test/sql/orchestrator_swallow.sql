-- A handler that swallows its suspension fails with ST018, in every way it can do so.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';
CREATE TABLE swa_t (line text);
CREATE FUNCTION swa_leaf() RETURNS int LANGUAGE sql AS $$ INSERT INTO swa_t VALUES ('leaf'); SELECT 1 $$;
CREATE PROCEDURE swa_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
-- returns
CREATE FUNCTION swa_returns() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO swa_t VALUES ('own');
    PERFORM stent.call('swa_leaf');
    RETURN 'done';
EXCEPTION WHEN query_canceled THEN
    INSERT INTO swa_t VALUES ('caught');
    RETURN 'swallowed';
END $$;
-- goes on with another step
CREATE FUNCTION swa_goes_on() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    BEGIN
        PERFORM stent.call('swa_leaf');
    EXCEPTION WHEN query_canceled OR OTHERS THEN
        NULL;
    END;
    PERFORM stent.call('swa_leaf');
    RETURN 'done';
END $$;
-- again and again
CREATE FUNCTION swa_stubborn() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. 5 LOOP
        BEGIN
            PERFORM stent.sleep('1h');
        EXCEPTION WHEN query_canceled THEN
            NULL;
        END;
    END LOOP;
    RETURN 'done';
END $$;
-- raises something else
CREATE FUNCTION swa_converts() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM stent.await_signal('x');
    RETURN 'done';
EXCEPTION WHEN query_canceled THEN
    RAISE EXCEPTION 'something else' USING ERRCODE = '22012';
END $$;
-- raises the same words under another code: that is what other languages make of what passes through them
CREATE FUNCTION swa_wraps() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM stent.step('x', 'swa_leaf');
    RETURN 'done';
EXCEPTION WHEN query_canceled THEN
    RAISE EXCEPTION 'in vain: %', SQLERRM USING ERRCODE = 'XX123';
END $$;
-- raises it again as it was: that is no swallowing
CREATE FUNCTION swa_reraises() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM stent.call('swa_leaf');
    RETURN 'done';
EXCEPTION WHEN query_canceled THEN
    RAISE;
END $$;
-- an own 57014, with a step before: an error as any other
CREATE FUNCTION swa_own() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM stent.call('swa_leaf');
    RAISE query_canceled USING MESSAGE = 'own';
END $$;
SELECT stent.register('swa_leaf', 'swa_leaf()'), count(stent.register('swa_' || n, ('swa_' || n || '()')::regprocedure, retry => '{"max_attempts": 1}')) FROM unnest(ARRAY['returns', 'goes_on', 'stubborn', 'converts', 'wraps', 'reraises', 'own']) n;
CREATE TEMP TABLE swa_ids AS SELECT n, stent.dispatch('swa_' || n) AS id FROM unnest(ARRAY['returns', 'goes_on', 'stubborn', 'converts', 'wraps', 'reraises', 'own']) n;
CALL swa_run();
SELECT n, state, attempt, result, error ->> 'code' AS code, regexp_replace(error ->> 'message', 'task \d+', 'task N') AS message FROM swa_ids JOIN stent.tasks USING (id) ORDER BY id;
SELECT DISTINCT error ->> 'detail' AS detail, error ->> 'hint' AS hint FROM swa_ids JOIN stent.tasks USING (id) WHERE error ->> 'code' = 'ST018';
-- children of those that were suspended properly only
SELECT n, count(t.id) AS children FROM swa_ids s LEFT JOIN stent.tasks t ON t.parent_id = s.id GROUP BY s.id, n ORDER BY s.id;
SELECT line, count(*) FROM swa_t GROUP BY 1 ORDER BY 1;
-- nothing of it is left in the session
SELECT pg_sleep(0.01);
SELECT stent.dispatch('swa_leaf') AS id \gset
CALL swa_run();
SELECT stent.result_of(:id);

-- it is retried as any error
SELECT stent.dispatch('swa_returns', retry => '{"max_attempts": 2, "initial_delay": "0s"}') AS id \gset
CALL swa_run();
SELECT state, attempt, error ->> 'code' AS code FROM stent.tasks WHERE id = :id;

SELECT sum(stent.discard_many('swa_' || n)) FROM unnest(ARRAY['returns', 'goes_on', 'stubborn', 'converts', 'wraps', 'reraises', 'own']) n;
SELECT count(*) AS live FROM stent.task;
SELECT count(stent.unregister('swa_' || n)) FROM unnest(ARRAY['leaf', 'returns', 'goes_on', 'stubborn', 'converts', 'wraps', 'reraises', 'own']) n;
DROP PROCEDURE swa_run;
DROP FUNCTION swa_leaf, swa_returns, swa_goes_on, swa_stubborn, swa_converts, swa_wraps, swa_reraises, swa_own;
DROP TABLE swa_t, swa_ids;
