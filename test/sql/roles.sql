-- What the grants give: app sees and steers its own tasks, admin all; PUBLIC has nothing.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';

CREATE ROLE roles_app LOGIN;
CREATE ROLE roles_app2 LOGIN;
CREATE ROLE roles_admin LOGIN;
CREATE ROLE roles_none LOGIN;
CREATE FUNCTION roles_f(code text DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    IF code IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = code;
    END IF;
    RETURN current_user;
END $$;
CREATE FUNCTION roles_try(sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    code text; msg text;
BEGIN
    EXECUTE sql INTO msg;
    RETURN 'returns ' || coalesce(msg, 'null');
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, msg = MESSAGE_TEXT;
    RETURN code || ': ' || regexp_replace(msg, 'task \d+', 'task N');
END $$;

-- PUBLIC
SELECT count(*) FROM pg_proc WHERE pronamespace = 'stent'::regnamespace AND has_function_privilege('roles_none', oid, 'EXECUTE');
SELECT count(*) FROM pg_class WHERE relnamespace = 'stent'::regnamespace AND relkind IN ('r', 'v', 'p') AND has_table_privilege('roles_none', oid, 'SELECT, INSERT, UPDATE, DELETE');
SELECT has_schema_privilege('roles_none', 'stent', 'USAGE');

-- grants
SELECT stent.grant_usage('roles_app'), stent.grant_usage('roles_app2', 'app'), stent.grant_usage('roles_admin', 'admin');
SELECT roles_try($$SELECT stent.grant_usage('roles_nobody')$$);
SELECT roles_try($$SELECT stent.grant_usage('roles_app', 'owner')$$);
SELECT roles_try($$SELECT stent.grant_usage(NULL)$$);
SELECT roles_try($$SELECT stent.grant_usage('roles_app', NULL)$$);
-- no grant gives a table, and only the admin grant these functions
SELECT count(*) FROM pg_class, unnest(ARRAY['roles_app', 'roles_admin']) r WHERE relnamespace = 'stent'::regnamespace AND relkind IN ('r', 'p', 'S')
    AND CASE relkind WHEN 'S' THEN has_sequence_privilege(r, oid, 'USAGE') ELSE has_table_privilege(r, oid, 'SELECT, INSERT, UPDATE, DELETE') END;
SELECT proname FROM pg_proc WHERE pronamespace = 'stent'::regnamespace AND has_function_privilege('roles_app', oid, 'EXECUTE') ORDER BY 1;
SELECT proname FROM pg_proc WHERE pronamespace = 'stent'::regnamespace AND NOT has_function_privilege('roles_app', oid, 'EXECUTE')
    AND has_function_privilege('roles_admin', oid, 'EXECUTE') ORDER BY 1;
SELECT proname FROM pg_proc WHERE pronamespace = 'stent'::regnamespace AND NOT has_function_privilege('roles_admin', oid, 'EXECUTE') ORDER BY 1;

-- the admin registers, the apps dispatch and run
SET SESSION AUTHORIZATION roles_admin;
SELECT stent.register('roles_f', 'roles_f(text)', retry => '{"max_attempts": 1}');
SET SESSION AUTHORIZATION roles_app;
SELECT roles_try($$SELECT stent.register('roles_x', 'roles_f(text)')$$);
SELECT roles_try($$SELECT stent.unregister('roles_f')$$);
SELECT roles_try($$SELECT stent.cleanup('1 day')$$);
SELECT roles_try($$SELECT stent.grant_usage('roles_none')$$);
SELECT roles_try('SELECT count(*) FROM stent.task');
SELECT stent.dispatch('roles_f', dedup_key => 'k') AS ok, stent.dispatch('roles_f', '{"code": "22012"}') AS bad \gset
SET SESSION AUTHORIZATION roles_app2;
-- a key is its role's own
SELECT stent.dispatch('roles_f', dedup_key => 'k') AS ok2, stent.dispatch('roles_f', '{"code": "22003"}') AS bad2 \gset
SELECT :ok <> :ok2 AS two_tasks;
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT stent.result_of(:ok2);
SET SESSION AUTHORIZATION roles_app;
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;

-- each sees its own in every view and function; dead letters of others are unknown
SELECT role, function, state FROM stent.tasks ORDER BY id;
SELECT role, function, state FROM stent.executions ORDER BY id;
SELECT role, function, error_code FROM stent.dead_letters;
SELECT name FROM stent.functions WHERE name = 'roles_f';
SELECT stent.state_of(:ok) ->> 'state' AS own;
SELECT roles_try('SELECT stent.state_of(' || :ok2 || ')'), roles_try('SELECT stent.result_of(' || :ok2 || ')');
SELECT roles_try('SELECT stent.replay(' || :bad2 || ')'), roles_try('SELECT stent.discard(' || :bad2 || ')');
SELECT roles_try($$SELECT stent.replay_many('roles_f', '22003')$$), roles_try($$SELECT stent.discard_many(error_code => '22003')$$),
       roles_try($$SELECT stent.discard_many('roles_f', max_tasks => 100)$$);
SELECT count(*) FROM stent.dead_letters;
-- a leaky function in a query sees no more
CREATE FUNCTION pg_temp.leak(text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS $$ BEGIN RAISE NOTICE 'saw %', $1; RETURN true; END $$;
SELECT count(*) FROM stent.tasks WHERE pg_temp.leak(role);
RESET SESSION AUTHORIZATION;
-- SET ROLE is enough to see, as it is to dispatch
SET ROLE roles_app2;
SELECT role, state FROM stent.tasks ORDER BY id;
RESET ROLE;

-- the admin sees and steers all
SET SESSION AUTHORIZATION roles_admin;
SELECT role, state FROM stent.tasks WHERE function = 'roles_f' ORDER BY id;
SELECT stent.result_of(:ok), stent.result_of(:ok2);
SELECT stent.replay(:bad2) = :bad2 AS replayed;
SELECT role, state FROM stent.tasks WHERE id = :bad2;
SELECT stent.run();
SET SESSION AUTHORIZATION roles_app2;
SELECT stent.run();
SET SESSION AUTHORIZATION roles_admin;
SELECT stent.discard_many('roles_f');
SELECT stent.unregister('roles_f');

-- who has nothing gets nothing
SET SESSION AUTHORIZATION roles_none;
SELECT roles_try('SELECT stent.run()');
SELECT roles_try('SELECT count(*) FROM stent.tasks');
RESET SESSION AUTHORIZATION;

-- a role that lost its grant keeps its tasks; a dropped one's stay readable for admins
DROP FUNCTION roles_f, roles_try;
DROP OWNED BY roles_app, roles_app2, roles_admin, roles_none;
DROP ROLE roles_app, roles_app2, roles_admin, roles_none;
SELECT role, state FROM stent.tasks WHERE function = 'roles_f' ORDER BY id;
