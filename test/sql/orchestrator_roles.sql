-- Orchestrators of ordinary roles: children are the session's, or the owner's of a SECURITY DEFINER handler; local steps are the session's.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';
CREATE ROLE rol_app LOGIN;
CREATE ROLE rol_owner LOGIN;
CREATE ROLE rol_none LOGIN;
SELECT stent.grant_usage('rol_app'), stent.grant_usage('rol_owner');
CREATE FUNCTION rol_who() RETURNS text LANGUAGE sql AS $$ SELECT current_user::text $$;
CREATE PROCEDURE rol_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
CREATE FUNCTION rol_all() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    a bigint := stent.spawn('rol_who');
BEGIN
    RETURN jsonb_build_array(current_user, stent.call('rol_who'), stent.step('here', 'rol_who'), stent.await(a), stent.await_all(ARRAY[a]), stent.record('r', '1'), stent.await_signal('go'));
END $$;
CREATE FUNCTION rol_definer() RETURNS jsonb LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    RETURN jsonb_build_array(current_user, session_user, stent.step('here', 'rol_who'), stent.call('rol_who'));
END $$;
ALTER FUNCTION rol_definer() OWNER TO rol_owner;
SELECT stent.register('rol_who', 'rol_who()'), stent.register('rol_all', 'rol_all()'), stent.register('rol_definer', 'rol_definer()');

-- all steps are open to the app grant
SET SESSION AUTHORIZATION rol_app;
SELECT stent.dispatch('rol_all') AS id \gset
CALL rol_run();
SELECT stent.signal(:id, 'go', '"went"');
CALL rol_run();
SELECT stent.result_of(:id);
SELECT function, role, state FROM stent.tasks WHERE execution_id = :id ORDER BY id;
SELECT count(*) > 0 AS explained FROM stent.explain(:id);

-- tasks of others are not there for it: neither to wait for, nor to be told of
SET SESSION AUTHORIZATION rol_owner;
SELECT stent.dispatch('rol_who') AS foreign \gset
SET SESSION AUTHORIZATION rol_app;
\set VERBOSITY sqlstate
SELECT count(*) AS explained FROM stent.explain(:foreign);
\set VERBOSITY terse
RESET SESSION AUTHORIZATION;
CREATE FUNCTION rol_foreign(id bigint) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    RETURN stent.await(id);
EXCEPTION WHEN OTHERS THEN
    RETURN to_jsonb(SQLSTATE);
END $$;
SELECT stent.register('rol_foreign', 'rol_foreign(bigint)');
SET SESSION AUTHORIZATION rol_app;
SELECT stent.dispatch('rol_foreign', jsonb_build_object('id', :foreign)) AS id \gset
CALL rol_run();
SELECT stent.result_of(:id);

-- a SECURITY DEFINER handler: its children are its owner's, and run in sessions of that role only
SELECT stent.dispatch('rol_definer') AS id \gset
CALL rol_run();
SELECT state FROM stent.tasks WHERE id = :id;
SET SESSION AUTHORIZATION rol_owner;
CALL rol_run();
SET SESSION AUTHORIZATION rol_app;
CALL rol_run();
SELECT state, result FROM stent.tasks WHERE id = :id;
RESET SESSION AUTHORIZATION;
SELECT function, role, state FROM stent.tasks WHERE execution_id = :id ORDER BY id;

-- what the role may not call is an error of the call
REVOKE EXECUTE ON FUNCTION rol_who() FROM PUBLIC;
CREATE FUNCTION rol_refused() RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    RETURN stent.call('rol_who');
EXCEPTION WHEN insufficient_privilege THEN
    RETURN to_jsonb(SQLSTATE);
END $$;
SELECT stent.register('rol_refused', 'rol_refused()');
SET SESSION AUTHORIZATION rol_app;
SELECT stent.dispatch('rol_refused') AS id \gset
CALL rol_run();
SELECT stent.result_of(:id);
-- without the grant there is nothing
SET SESSION AUTHORIZATION rol_none;
SELECT stent.call('rol_all');
RESET SESSION AUTHORIZATION;

SELECT count(*) AS live FROM stent.task;
SELECT count(stent.unregister('rol_' || n)) FROM unnest(ARRAY['who', 'all', 'definer', 'foreign', 'refused']) n;
DROP PROCEDURE rol_run;
DROP FUNCTION rol_who, rol_all, rol_definer, rol_foreign, rol_refused;
DROP OWNED BY rol_app, rol_owner, rol_none;
DROP ROLE rol_app, rol_owner, rol_none;
