-- A signal that a handler sends itself is undone when it waits: it cannot be waited for, but for one that a local step has sent.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';
CREATE PROCEDURE osi_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
CREATE FUNCTION osi_send() RETURNS void LANGUAGE sql AS $$ SELECT stent.signal(stent.execution_id(), 'go', '"sent"') $$;
CREATE FUNCTION osi_do(how text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    seen jsonb := '[]';
BEGIN
    FOR i IN 1 .. 2 LOOP
        BEGIN
            IF i = 1 AND how = 'step' THEN
                PERFORM stent.step('send', 'osi_send');
            ELSIF i = 1 THEN
                PERFORM osi_send();
            END IF;
            seen := seen || stent.await_signal('go', timeout => '1 minute');
        EXCEPTION WHEN SQLSTATE 'ST010' OR object_not_in_prerequisite_state THEN
            seen := seen || to_jsonb(SQLSTATE);
            IF how = 'raised' THEN
                RAISE;
            END IF;
        END;
        PERFORM stent.sleep('1 minute');
    END LOOP;
    RETURN seen;
END $$;
SELECT stent.register('osi_send', 'osi_send()'), stent.register('osi_do', 'osi_do(text)', retry => '{"max_attempts": 1}');
CREATE TEMP TABLE osi_ids AS SELECT how, stent.dispatch('osi_do', jsonb_build_object('how', how)) AS id FROM unnest(ARRAY['step', 'caught', 'raised']) how;
CALL osi_run();
SELECT how, state, error ->> 'code' AS code, error ->> 'message' AS message FROM osi_ids JOIN stent.tasks USING (id) ORDER BY id;
SET stent.clock = '2026-01-01 00:01:00';
CALL osi_run();
SET stent.clock = '2026-01-01 00:02:00';
CALL osi_run();
SET stent.clock = '2026-01-01 00:03:00';
CALL osi_run();
SELECT how, state, result FROM osi_ids JOIN stent.tasks USING (id) ORDER BY id;
SELECT stent.discard_many('osi_do') AS dead;
SELECT count(*) AS live FROM stent.task;
SELECT count(stent.unregister('osi_' || n)) FROM unnest(ARRAY['send', 'do']) n;
DROP PROCEDURE osi_run;
DROP FUNCTION osi_send, osi_do;
DROP TABLE osi_ids;
