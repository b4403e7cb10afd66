-- Who may call run, and where.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';

CREATE ROLE rules_login LOGIN;
CREATE ROLE rules_group LOGIN;
GRANT rules_group TO rules_login;
SELECT stent.grant_usage('rules_login');
SELECT stent.grant_usage('rules_group');
CREATE FUNCTION rules_who() RETURNS text LANGUAGE sql AS $$ SELECT current_user || ' ' || session_user $$;
CREATE FUNCTION rules_try(sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    code text; msg text; detail text; hint text;
BEGIN
    EXECUTE sql INTO msg;
    RETURN 'returns ' || msg;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, msg = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(E'\n', code || ': ' || msg, nullif(detail, ''), nullif(hint, ''));
END $$;
SELECT stent.register('rules_who', 'rules_who()');
SELECT stent.dispatch('rules_who') AS id \gset

-- current_user must be session_user
SET ROLE rules_login;
SELECT stent.dispatch('rules_who') AS id2 \gset
SELECT replace(rules_try('SELECT stent.run()'), session_user, 'superuser');
RESET ROLE;
CREATE FUNCTION rules_definer() RETURNS text LANGUAGE sql SECURITY DEFINER AS $$ SELECT rules_try('SELECT stent.run()') $$;
ALTER FUNCTION rules_definer() OWNER TO rules_login;
SELECT replace(rules_definer(), session_user, 'superuser');
-- a definer of the same role is no other role
CREATE FUNCTION rules_definer_self() RETURNS text LANGUAGE sql SECURITY DEFINER AS $$ SELECT rules_try('SELECT stent.run()') $$;
SELECT rules_definer_self();
SELECT replace(stent.result_of(:id)::text, session_user, 'superuser');

-- under SET SESSION AUTHORIZATION a task runs as that role, and cannot undo it
SET SESSION AUTHORIZATION rules_login;
SELECT stent.run();
RESET SESSION AUTHORIZATION;
SELECT stent.result_of(:id2);
CREATE FUNCTION rules_escape(how text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE how;
    RETURN current_user || ' ' || session_user;
END $$;
SELECT stent.register('rules_escape', 'rules_escape(text)', retry => '{"max_attempts": 1}');
SET SESSION AUTHORIZATION rules_login;
SELECT count(stent.dispatch('rules_escape', jsonb_build_object('how', h))) FROM unnest(ARRAY['RESET SESSION AUTHORIZATION', 'SET SESSION AUTHORIZATION DEFAULT',
    'RESET ROLE', 'SET ROLE rules_group', 'RESET ALL', 'DISCARD ALL', 'SET LOCAL ROLE NONE', 'RESET role; RESET session_authorization']) h;
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT current_user, session_user;
SELECT args ->> 'how' AS how, state, result, error ->> 'code' AS code, error ->> 'message' AS message FROM stent.tasks WHERE function = 'rules_escape' ORDER BY id;
RESET SESSION AUTHORIZATION;

-- tasks dispatched under SET ROLE belong to the role that was current
SET SESSION AUTHORIZATION rules_login;
SET ROLE rules_group;
SELECT stent.dispatch('rules_who') AS id \gset
RESET ROLE;
SELECT stent.run();
SELECT regexp_replace(rules_try(format('SELECT stent.state_of(%s)', :id)), 'task \d+', 'task N');
RESET SESSION AUTHORIZATION;
SELECT role, state FROM stent.tasks WHERE id = :id;
SET SESSION AUTHORIZATION rules_group;
SELECT stent.run();
RESET SESSION AUTHORIZATION;
SELECT stent.result_of(:id);

-- not in a handler: the attempt fails with a hint
CREATE FUNCTION rules_nested() RETURNS int LANGUAGE sql AS 'SELECT stent.run()';
CREATE FUNCTION rules_nested_caught() RETURNS text LANGUAGE sql AS $$ SELECT rules_try('SELECT stent.run()') $$;
CREATE FUNCTION rules_commit() RETURNS int LANGUAGE plpgsql AS $$ BEGIN COMMIT; RETURN 1; END $$;
SELECT count(stent.register('rules_' || n, ('rules_' || n || '()')::regprocedure, retry => '{"max_attempts": 1}')),
       count(stent.dispatch('rules_' || n)) FROM unnest(ARRAY['nested', 'nested_caught', 'commit']) n;
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT function, state, result, error ->> 'code' AS code, error ->> 'message' AS message, error ->> 'hint' AS hint FROM stent.tasks
WHERE function IN ('rules_nested', 'rules_nested_caught', 'rules_commit') ORDER BY function COLLATE "C";

-- an error of run itself, caught or rolled back to a savepoint, leaves run usable
SELECT stent.dispatch('rules_who') AS id \gset
BEGIN;
SET LOCAL stent.fault = 'claim_after_take:error';
SELECT rules_try('SELECT stent.run()');
SELECT rules_try('SELECT stent.run()');
SELECT stent.task_id();
ROLLBACK;
SELECT stent.run();
SELECT state, attempt FROM stent.tasks WHERE id = :id;

-- read only and isolation levels
SELECT stent.dispatch('rules_who') AS id \gset
BEGIN READ ONLY;
SELECT stent.run();
ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT stent.run();
COMMIT;
SELECT state FROM stent.tasks WHERE id = :id;

SELECT count(stent.discard(id)) FROM stent.dead_letters WHERE function LIKE 'rules\_%';
SELECT count(stent.unregister(name)) FROM stent.functions WHERE name LIKE 'rules\_%';
DROP FUNCTION rules_who, rules_try, rules_definer, rules_definer_self, rules_escape, rules_nested, rules_nested_caught, rules_commit;
DROP OWNED BY rules_login, rules_group;
DROP ROLE rules_login, rules_group;
