-- What each grant gives, and that nobody without it gets anywhere.
\set VERBOSITY terse
\pset format unaligned
\pset tuples_only on
SET stent.clock = '2026-01-01 00:00:00';

CREATE ROLE access_app LOGIN;
CREATE ROLE access_app2 LOGIN;
CREATE ROLE access_worker LOGIN;
CREATE ROLE access_admin LOGIN;
CREATE ROLE access_none LOGIN;
CREATE ROLE access_group;
CREATE FUNCTION access_f(code text DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    IF code IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = code;
    END IF;
    RETURN current_user || ' ' || session_user;
END $$;
CREATE FUNCTION access_try(sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    code text; msg text; hint text;
BEGIN
    EXECUTE sql INTO msg;
    RETURN 'returns ' || coalesce(msg, 'null');
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, msg = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
    RETURN code || ': ' || concat_ws(' / ', regexp_replace(msg, 'task \d+', 'task N'), nullif(hint, ''));
END $$;

-- kinds
SELECT access_try($$SELECT stent.grant_usage('access_app', 'root')$$);
SELECT access_try($$SELECT stent.grant_usage('access_app', '')$$);
SELECT access_try($$SELECT stent.grant_usage('access_nobody', 'worker')$$);
SELECT stent.grant_usage('access_app'), stent.grant_usage('access_app2', 'app'), stent.grant_usage('access_worker', 'worker'),
       stent.grant_usage('access_admin', 'admin'), stent.grant_usage('access_group');
SELECT r, string_agg(proname, ' ' ORDER BY proname COLLATE "C") FROM pg_proc, unnest(ARRAY['access_worker', 'access_none']) r
WHERE pronamespace = 'stent'::regnamespace AND has_function_privilege(r, oid, 'EXECUTE') GROUP BY r;
SELECT r, string_agg(relname, ' ' ORDER BY relname COLLATE "C") FROM pg_class, unnest(ARRAY['access_app', 'access_worker', 'access_admin', 'access_none']) r
WHERE relnamespace = 'stent'::regnamespace AND relkind IN ('r', 'p', 'v') AND has_table_privilege(r, oid, 'SELECT') GROUP BY r ORDER BY r;
-- nobody writes to a table or a sequence
SELECT count(*) FROM pg_class, unnest(ARRAY['access_app', 'access_worker', 'access_admin', 'access_none']) r
WHERE relnamespace = 'stent'::regnamespace AND CASE relkind WHEN 'S' THEN has_sequence_privilege(r, oid, 'USAGE, SELECT, UPDATE')
    WHEN 'i' THEN false WHEN 'I' THEN false ELSE has_table_privilege(r, oid, 'INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER') END;
-- PUBLIC has nothing: no function, no relation, not the schema
SELECT count(*) FROM pg_proc WHERE pronamespace = 'stent'::regnamespace AND (proacl IS NULL OR EXISTS (SELECT FROM aclexplode(proacl) WHERE grantee = 0));
SELECT count(*) FROM pg_class WHERE relnamespace = 'stent'::regnamespace AND EXISTS (SELECT FROM aclexplode(relacl) WHERE grantee = 0);
SELECT count(*) FROM pg_namespace WHERE nspname = 'stent' AND EXISTS (SELECT FROM aclexplode(nspacl) WHERE grantee = 0);
-- functions with the owner's rights have a path of their own
SELECT proname FROM pg_proc WHERE pronamespace = 'stent'::regnamespace AND prosecdef
    AND NOT coalesce(proconfig, '{}') @> '{"search_path=pg_catalog, pg_temp"}';
SELECT proname FROM pg_proc p JOIN pg_language l ON l.oid = prolang WHERE pronamespace = 'stent'::regnamespace AND lanname IN ('sql', 'plpgsql')
    AND prosqlbody IS NULL AND NOT coalesce(proconfig, '{}') @> '{"search_path=pg_catalog, pg_temp"}';

-- a role that has nothing
SELECT stent.register('access_f', 'access_f(text)', queue => 'access', retry => '{"max_attempts": 1}');
SELECT stent.register('access_external');
SET SESSION AUTHORIZATION access_none;
SELECT access_try($$SELECT stent.dispatch('access_f')$$);
SELECT access_try('SELECT stent.health()');
SELECT access_try('SELECT count(*) FROM stent.running');
-- a worker: no tasks of others, not even by views
SET SESSION AUTHORIZATION access_worker;
SELECT access_try($$SELECT count(*) > 0 FROM stent.functions$$);
SELECT access_try($$SELECT (stent.health() ->> 'ok') IS NOT NULL$$);
SELECT access_try($$SELECT stent.dispatch('access_f')$$);
SELECT access_try($$SELECT count(*) FROM stent.tasks$$);
SELECT access_try($$SELECT stent.unregister('access_f')$$);

-- an app sees and steers its own
SET SESSION AUTHORIZATION access_app2;
SELECT stent.dispatch('access_f') AS theirs, stent.dispatch('access_f', '{"code": "22012"}') AS theirs_dead, stent.dispatch('access_f', delay => '1h') AS theirs_later \gset
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT stent.dispatch('access_f') AS theirs_ready \gset
SET SESSION AUTHORIZATION access_app;
SELECT f, access_try(format('SELECT stent.%s(%s)', f, id)) FROM unnest(ARRAY[:theirs, :theirs_dead, :theirs_later, :theirs_ready]) WITH ORDINALITY i (id, n),
    unnest(ARRAY['state_of', 'result_of', 'why', 'replay', 'discard']) f ORDER BY n, f COLLATE "C";
SELECT v, access_try('SELECT count(*) FROM stent.' || v) FROM unnest(ARRAY['tasks', 'executions', 'dead_letters', 'running', 'queues', 'stats']) v;
SELECT v, access_try('SELECT count(*) FROM stent.' || v || ' WHERE lane_id IS NOT NULL') FROM unnest(ARRAY['_running_now()', '_board_counts()', '_oldest_ready()']) v;
SELECT access_try('SELECT count(*) FROM stent.' || t) FROM unnest(ARRAY['task', 'ready', 'tally', 'function', 'lane', '_lanes', 'archive']) t;
SELECT access_try('SELECT stent.' || f) FROM unnest(ARRAY['health()', '_server()', '_executors()', '_why(1)', '_fold_tallies()', '_regrant()', '_regrant_all()',
    'cleanup()', 'grant_usage(''access_none'')', '_ready_entry(1)', '_horizon()']) f;
SET SESSION AUTHORIZATION access_admin;
SELECT count(*) FROM stent.tasks WHERE function = 'access_f';
SELECT queue, ready, scheduled, dead FROM stent.queues WHERE queue = 'access';
SELECT function, role, ready, scheduled, completed, failed FROM stent.stats WHERE function = 'access_f';
SELECT access_try(format('SELECT stent.why(%s)', :theirs));
SELECT stent.discard(:theirs_dead);

-- a role that cannot log in: no executor could run its tasks, before 17
SET SESSION AUTHORIZATION access_group;
SELECT CASE WHEN current_setting('server_version_num')::int < 170000 THEN access_try(sql) ELSE
       '42501: role "access_group" cannot log in, so its tasks could not run / ALTER ROLE access_group LOGIN, or dispatch as a role that can log in.' END
FROM unnest(ARRAY[$$SELECT stent.dispatch('access_f')$$, $$SELECT count(*) FROM stent.dispatch_many('access_f', '{"{}"}')$$]) sql;
-- external ones run elsewhere
SELECT access_try($$SELECT stent.dispatch('access_external') > 0$$);
SELECT access_try($$SELECT count(*) FROM stent.dispatch_many('access_external', '{"{}"}')$$);
RESET SESSION AUTHORIZATION;
-- the attribute counts, not who set the role
SET ROLE access_group;
SELECT CASE WHEN current_setting('server_version_num')::int < 170000 THEN left(access_try($$SELECT stent.dispatch('access_f')$$), 5) ELSE '42501' END;
RESET ROLE;
ALTER ROLE access_group SUPERUSER;
SET ROLE access_group;
SELECT CASE WHEN current_setting('server_version_num')::int < 170000 THEN left(access_try($$SELECT stent.dispatch('access_f')$$), 5) ELSE '42501' END;
RESET ROLE;
ALTER ROLE access_group NOSUPERUSER LOGIN;
SET SESSION AUTHORIZATION access_group;
SELECT stent.dispatch('access_f') AS id \gset
SELECT stent.run();
SELECT stent.result_of(:id);
RESET SESSION AUTHORIZATION;

-- start and stop: preloaded an admin's business, else each one's own
SET SESSION AUTHORIZATION access_app;
SELECT access_try('SELECT stent.stop()') IN ('42501: permission denied for stent.stop() / Ask for the admin grant, see stent.grant_usage().', 'returns 0');
RESET SESSION AUTHORIZATION;

-- what a grant gives is renewed by an update
REVOKE EXECUTE ON FUNCTION stent._is_running(bigint), stent.why(bigint) FROM access_app, access_admin;
REVOKE EXECUTE ON FUNCTION stent.now() FROM access_worker;
-- one may hold two
SELECT stent.grant_usage('access_app2', 'worker');
REVOKE EXECUTE ON FUNCTION stent.why(bigint), stent.worker_stop(text) FROM access_app2;
SELECT stent._regrant();
SELECT has_function_privilege('access_app2', 'stent.why(bigint)', 'EXECUTE'), has_function_privilege('access_app2', 'stent.worker_stop(text)', 'EXECUTE'),
       has_function_privilege('access_app', 'stent.worker_stop(text)', 'EXECUTE'), has_function_privilege('access_admin', 'stent.worker_stop(text)', 'EXECUTE'),
       has_function_privilege('access_worker', 'stent.worker_stop(text)', 'EXECUTE');
SELECT r, has_function_privilege(r, 'stent._is_running(bigint)', 'EXECUTE'), has_function_privilege(r, 'stent.health()', 'EXECUTE'),
       has_function_privilege(r, 'stent.unregister(text)', 'EXECUTE'), has_function_privilege(r, 'stent.now()', 'EXECUTE')
FROM unnest(ARRAY['access_app', 'access_worker', 'access_admin', 'access_none']) r;

-- nothing stays for other tests
SELECT count(stent.cancel(id)) > 0 AS cancelled FROM stent.tasks WHERE finished_at IS NULL AND role LIKE 'access\_%';
SELECT stent.unregister('access_f'), stent.unregister('access_external');
DROP FUNCTION access_f, access_try;
DROP OWNED BY access_app, access_app2, access_worker, access_admin, access_none, access_group;
DROP ROLE access_app, access_app2, access_worker, access_admin, access_none, access_group;
