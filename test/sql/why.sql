-- why() says in a sentence why a task is not running.
\set VERBOSITY terse
\pset format unaligned
\pset tuples_only on
SET stent.clock = '2026-01-01 00:00:00';

CREATE ROLE why_app LOGIN;
CREATE ROLE why_other LOGIN;
SELECT stent.grant_usage('why_app'), stent.grant_usage('why_other');
CREATE FUNCTION why_f(code text DEFAULT NULL) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    IF code IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = code, MESSAGE = 'told so.';
    END IF;
    RETURN 1;
END $$;
SELECT stent.register('why_f', 'why_f(text)', retry => '{"max_attempts": 2, "initial_delay": "1m", "jitter": 0}');
SELECT stent.register('why_external');
-- nobody serves this database, preloaded or not
CREATE FUNCTION why(id bigint) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    code text; msg text;
BEGIN
    RETURN regexp_replace(regexp_replace(stent.why(id), '(but|ready;) (the library is not preloaded|database "[^"]*" is not served).*', '\1 NOT SERVED'),
                          'task \d+|pid \d+|\(\d+\)', 'N', 'g');
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, msg = MESSAGE_TEXT;
    RETURN code || ': ' || msg;
END $$;
CREATE PROCEDURE why_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
GRANT EXECUTE ON FUNCTION why(bigint), why_f(text) TO PUBLIC;

-- ready, external, scheduled, due
SET SESSION AUTHORIZATION why_app;
SELECT stent.dispatch('why_f') AS ready, stent.dispatch('why_external') AS external, stent.dispatch('why_f', delay => '1h') AS delayed,
       stent.dispatch('why_f', '{"code": "22012"}') AS bad, stent.dispatch('why_f', delay => '2h', max_duration => '1s') AS late \gset
SELECT why(:ready);
SELECT why(:external);
SELECT why(:delayed);
SELECT why(NULL);
SELECT why(-1);
-- as the views, it shows a role its own tasks
SET SESSION AUTHORIZATION why_other;
SELECT regexp_replace(why(:ready), 'task \d+', 'task N');
RESET SESSION AUTHORIZATION;
SELECT why(:ready);

-- an open transaction holds it
SET SESSION AUTHORIZATION why_app;
BEGIN;
SELECT stent.run(1, NULL);
PREPARE TRANSACTION 'why';
SELECT why(:ready);
ROLLBACK PREPARED 'why';
SELECT why(:ready);

-- ended, well or not; to be retried
CALL why_run();
SELECT why(:ready);
SELECT why(:bad);
SET SESSION AUTHORIZATION DEFAULT;
SET stent.clock = '2026-01-01 00:30:00';
SET SESSION AUTHORIZATION why_app;
SELECT why(:bad);
CALL why_run();
SELECT why(:bad);
SELECT stent.replay(:bad) = :bad;
SELECT why(:bad);
SET SESSION AUTHORIZATION DEFAULT;
SET stent.clock = '2026-01-01 03:00:00';
SET SESSION AUTHORIZATION why_app;
SELECT why(:delayed);
CALL why_run();
SELECT why(:delayed);
SELECT why(:late);
SET SESSION AUTHORIZATION DEFAULT;
SET stent.clock = '2026-01-01 04:00:00';
SET SESSION AUTHORIZATION why_app;
CALL why_run();
SELECT stent.discard(:bad);
SELECT why(:bad);

-- the function has changed: external now, or without its handler
SELECT stent.dispatch('why_f') AS id \gset
RESET SESSION AUTHORIZATION;
SELECT stent.register('why_f');
SELECT why(:id);
SELECT stent.register('why_f', 'why_f(text)', retry => '{"max_attempts": 1}');
DROP FUNCTION why_f;
SELECT why(:id);

-- its role has changed (the wording before 17, where executors need LOGIN)
ALTER ROLE why_app NOLOGIN;
SELECT CASE WHEN current_setting('server_version_num')::int >= 170000
       THEN 'It is ready, but its role why_app cannot log in: ALTER ROLE why_app LOGIN; the handler public.why_f(pg_catalog.text) of function "why_f" does not exist any more: an attempt would fail.'
       ELSE why(:id) END;
ALTER ROLE why_app RENAME TO why_gone;
SELECT why(:id);
ALTER ROLE why_gone RENAME TO why_app;
ALTER ROLE why_app LOGIN;

-- on a read-only transaction too
BEGIN READ ONLY;
SELECT why(:id);
COMMIT;
SET SESSION AUTHORIZATION why_app;
CALL why_run();
SELECT why(:id);
RESET SESSION AUTHORIZATION;

-- leave nothing behind: what no session of this test may run
WITH t AS (DELETE FROM stent.task t USING stent.function f WHERE f.id = t.function_id AND f.name LIKE 'why\_%' RETURNING t.id),
r AS (DELETE FROM stent.ready r USING t WHERE r.task_id = t.id)
DELETE FROM stent.due d USING t WHERE d.task_id = t.id;
SELECT stent.unregister('why_f'), stent.unregister('why_external');
DROP FUNCTION why;
DROP PROCEDURE why_run;
DROP OWNED BY why_app, why_other;
DROP ROLE why_app, why_other;
