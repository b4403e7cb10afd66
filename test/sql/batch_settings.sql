-- Settings and role that one task changes are as before in the next task and after the batch.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';

CREATE ROLE batch_settings_role;
CREATE TABLE batch_settings_log (who text, what text);
CREATE FUNCTION batch_settings_state() RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', current_setting('work_mem'), current_setting('search_path'), current_setting('my.name', true),
                     current_setting('role'), current_user = session_user,
                     current_setting('statement_timeout'), current_setting('lock_timeout'), current_setting('stent.clock'));
$$;
CREATE FUNCTION batch_settings_change(fail boolean DEFAULT false) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    seen text := batch_settings_state();
BEGIN
    SET work_mem = '1MB';
    SET LOCAL search_path = pg_catalog;
    PERFORM set_config('my.name', 'changed', false), set_config('stent.clock', '2027-01-01', false);
    SET statement_timeout = '1h';
    SET LOCAL lock_timeout = '1h';
    SET ROLE batch_settings_role;
    IF fail THEN
        RAISE EXCEPTION 'fails';
    END IF;
    RETURN seen;
END $$;
CREATE FUNCTION batch_settings_look() RETURNS text LANGUAGE sql AS 'SELECT batch_settings_state()';
SELECT stent.register('batch_settings_change', 'batch_settings_change(boolean)', retry => '{"max_attempts": 1}');
SELECT stent.register('batch_settings_look', 'batch_settings_look()');
SET my.name = 'mine';
-- time both once, so that the next tasks share a commit
SELECT stent.dispatch('batch_settings_change') AS a, stent.dispatch('batch_settings_look') AS b \gset
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;

SELECT stent.dispatch('batch_settings_change', priority => 3), stent.dispatch('batch_settings_look', priority => 2),
       stent.dispatch('batch_settings_change', '{"fail": true}', priority => 1), stent.dispatch('batch_settings_look') \g /dev/null
-- two of them and the failing one in the first commit, which an error ends
SELECT stent.run();
SELECT batch_settings_state();
SELECT stent.run();
SELECT batch_settings_state();
SELECT function, state, result, error ->> 'message' AS error FROM stent.tasks
WHERE function LIKE 'batch\_settings\_%' ORDER BY id;

-- SET LOCAL of the caller stays the caller's
BEGIN;
SET LOCAL work_mem = '3MB';
SELECT stent.dispatch('batch_settings_change') AS id \gset
SELECT stent.run();
SELECT result FROM stent.tasks WHERE id = :id;
SHOW work_mem;
COMMIT;
SHOW work_mem;

SELECT stent.discard_many('batch_settings_change');
SELECT stent.unregister('batch_settings_change');
SELECT stent.unregister('batch_settings_look');
DROP FUNCTION batch_settings_change, batch_settings_look, batch_settings_state;
DROP TABLE batch_settings_log;
DROP ROLE batch_settings_role;
