-- A handler that changes between dispatch and run: a clean failed attempt or a wait, nothing lost.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';

CREATE SCHEMA changes_s;
CREATE ROLE changes_role LOGIN;
SELECT stent.grant_usage('changes_role');
CREATE FUNCTION changes_f(n int) RETURNS int LANGUAGE sql AS 'SELECT n';
CREATE FUNCTION changes_report() RETURNS TABLE (state text, attempt int, result jsonb, code text, message text, hint text) LANGUAGE sql AS $$
    SELECT state, attempt, result, error ->> 'code', error ->> 'message', error ->> 'hint'
    FROM stent.tasks WHERE function = 'changes' ORDER BY id DESC LIMIT 1 $$;
SELECT stent.register('changes', 'changes_f(int)', retry => '{"max_attempts": 2, "initial_delay": "0s"}');
SELECT stent.dispatch('changes', '{"n": 1}') > 0 AS dispatched;
SELECT stent.run();

\pset null -
\pset format unaligned
\pset tuples_only on
-- another body is simply run
SELECT stent.dispatch('changes', '{"n": 1}') > 0 AS dispatched;
CREATE OR REPLACE FUNCTION changes_f(n int) RETURNS int LANGUAGE sql AS 'SELECT n + 100';
SELECT stent.run();
SELECT * FROM changes_report();

-- dropped: fails, and runs once it is there again
SELECT stent.dispatch('changes', '{"n": 2}') > 0 AS dispatched;
DROP FUNCTION changes_f(int);
SELECT stent.run();
SELECT * FROM changes_report();
SELECT stent.dispatch('changes', '{"n": 2}');
CREATE FUNCTION changes_f(n int) RETURNS int LANGUAGE sql AS 'SELECT n';
SELECT stent.run();
SELECT * FROM changes_report();

-- parameters renamed: args do not fit
SELECT stent.dispatch('changes', '{"n": 3}') > 0 AS dispatched;
DROP FUNCTION changes_f(int);
CREATE FUNCTION changes_f(m int) RETURNS int LANGUAGE sql AS 'SELECT m';
SELECT stent.run();
SELECT * FROM changes_report();
DROP FUNCTION changes_f(int);
CREATE FUNCTION changes_f(n int) RETURNS int LANGUAGE sql AS 'SELECT n';
SELECT stent.run();
SELECT * FROM changes_report();

-- made into something no handler can be
SELECT stent.dispatch('changes', '{"n": 4}') > 0 AS dispatched;
DROP FUNCTION changes_f(int);
CREATE FUNCTION changes_f(n int) RETURNS SETOF int LANGUAGE sql AS 'SELECT n';
SELECT stent.run();
SELECT * FROM changes_report();
DROP FUNCTION changes_f(int);
CREATE FUNCTION changes_f(n int) RETURNS int LANGUAGE sql AS 'SELECT n';
SELECT stent.run();
SELECT * FROM changes_report();

-- moved, or renamed
SELECT stent.dispatch('changes', '{"n": 5}') > 0 AS dispatched;
ALTER FUNCTION changes_f(int) SET SCHEMA changes_s;
SELECT stent.run();
SELECT * FROM changes_report();
SELECT stent.register('changes', 'changes_s.changes_f(int)', retry => '{"max_attempts": 2, "initial_delay": "0s"}');
SELECT stent.run();
SELECT * FROM changes_report();

-- EXECUTE or USAGE taken away from the task's role
REVOKE EXECUTE ON FUNCTION changes_s.changes_f(int) FROM PUBLIC;
SET SESSION AUTHORIZATION changes_role;
SELECT stent.dispatch('changes', '{"n": 6}');
RESET SESSION AUTHORIZATION;
GRANT USAGE ON SCHEMA changes_s TO changes_role;
SET SESSION AUTHORIZATION changes_role;
SELECT stent.dispatch('changes', '{"n": 6}');
RESET SESSION AUTHORIZATION;
GRANT EXECUTE ON FUNCTION changes_s.changes_f(int) TO changes_role;
SET SESSION AUTHORIZATION changes_role;
SELECT stent.dispatch('changes', '{"n": 6}') > 0 AS dispatched;
RESET SESSION AUTHORIZATION;
REVOKE EXECUTE ON FUNCTION changes_s.changes_f(int) FROM changes_role;
SET SESSION AUTHORIZATION changes_role;
SELECT stent.run();
RESET SESSION AUTHORIZATION;
SELECT * FROM changes_report();
GRANT EXECUTE ON FUNCTION changes_s.changes_f(int) TO changes_role;
SET SESSION AUTHORIZATION changes_role;
SELECT stent.run();
RESET SESSION AUTHORIZATION;
SELECT * FROM changes_report();

-- external now: the task waits for a worker; SQL again: it runs
SELECT stent.dispatch('changes', '{"n": 7}') > 0 AS dispatched;
SELECT stent.register('changes');
SELECT stent.run();
SELECT * FROM changes_report();
SELECT stent.register('changes', 'changes_s.changes_f(int)');
SELECT stent.run();
SELECT * FROM changes_report();

-- spent attempts end in the dead letters with the reason; replay after the repair
SELECT stent.dispatch('changes', '{"n": 8}') AS id \gset
DROP FUNCTION changes_s.changes_f(int);
DO $$
BEGIN
    FOR i IN 0 .. 3 LOOP
        PERFORM set_config('stent.clock', to_char(timestamp '2026-01-01' + i * interval '10min', 'YYYY-MM-DD HH24:MI'), false);
        WHILE stent.run() > 0 LOOP COMMIT; END LOOP;
    END LOOP;
END $$;
SELECT function, error_code, reason, attempt FROM stent.dead_letters WHERE id = :id;
CREATE FUNCTION changes_s.changes_f(n int) RETURNS int LANGUAGE sql AS 'SELECT n';
SELECT stent.replay(:id) = :id AS replayed;
SELECT stent.run();
SELECT * FROM changes_report();

-- dropped while its batch runs
CREATE FUNCTION changes_drop(n int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    IF n = 1 THEN
        DROP FUNCTION changes_s.changes_f(int);
    END IF;
    RETURN n;
END $$;
SELECT stent.register('changes_drop', 'changes_drop(int)');
SELECT stent.dispatch('changes_drop', '{"n": 0}') > 0 AS dispatched;
SELECT stent.run();
SELECT stent.dispatch('changes_drop', '{"n": 1}', priority => 1) > 0, stent.dispatch('changes', '{"n": 9}', retry => '{"max_attempts": 1}') > 0;
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT * FROM changes_report();

SELECT stent.discard_many('changes');
SELECT stent.unregister('changes');
SELECT stent.unregister('changes_drop');
DROP SCHEMA changes_s CASCADE;
DROP FUNCTION changes_report, changes_drop;
DROP OWNED BY changes_role;
DROP ROLE changes_role;
