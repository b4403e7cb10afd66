-- An app role cannot raise its rights by what it leaves in anybody's way: shadowing schemas, casts, operators,
-- default arguments, temporary functions, deferred triggers, SET ROLE.
\set VERBOSITY terse
\pset format unaligned
\pset tuples_only on
SET stent.clock = '2026-01-01 00:00:00';
CREATE ROLE hostile_app LOGIN;
CREATE ROLE hostile_group LOGIN;
CREATE ROLE hostile_admin LOGIN;
GRANT hostile_group TO hostile_app;
SELECT stent.grant_usage('hostile_app'), stent.grant_usage('hostile_group'), stent.grant_usage('hostile_admin', 'admin');
CREATE SCHEMA hostile AUTHORIZATION hostile_app;
GRANT USAGE ON SCHEMA hostile TO PUBLIC;
-- who ran what: only the owner of the log may read it, all may be tricked into writing it
CREATE TABLE hostile.log (what text, who text, session text, super boolean);
GRANT INSERT ON hostile.log TO PUBLIC;
CREATE FUNCTION hostile.note(what text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO hostile.log VALUES (what, current_user, session_user, (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user));
    RETURN true;
END $$;
GRANT CREATE ON DATABASE :DBNAME TO hostile_app;

SET SESSION AUTHORIZATION hostile_app;
-- types whose input, casts, operators and checks are the app's
CREATE DOMAIN hostile.checked AS text CHECK (hostile.note('domain check'));
CREATE TYPE hostile.pair AS (a hostile.checked, b int);
CREATE TYPE hostile.mood AS ENUM ('calm', 'cross');
CREATE FUNCTION hostile.from_jsonb(jsonb) RETURNS hostile.pair LANGUAGE plpgsql AS $$ BEGIN PERFORM hostile.note('cast from jsonb'); RETURN ROW($1 ->> 'a', 1)::hostile.pair; END $$;
CREATE CAST (jsonb AS hostile.pair) WITH FUNCTION hostile.from_jsonb(jsonb) AS IMPLICIT;
CREATE FUNCTION hostile.to_jsonb(hostile.pair) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN PERFORM hostile.note('cast to jsonb'); RETURN '{}'; END $$;
CREATE CAST (hostile.pair AS jsonb) WITH FUNCTION hostile.to_jsonb(hostile.pair) AS IMPLICIT;
CREATE FUNCTION hostile.to_json(hostile.mood) RETURNS json LANGUAGE plpgsql AS $$ BEGIN PERFORM hostile.note('cast to json'); RETURN '"m"'; END $$;
CREATE CAST (hostile.mood AS json) WITH FUNCTION hostile.to_json(hostile.mood);
-- a handler with all of them, and defaults that act
CREATE FUNCTION hostile.handler(p hostile.pair DEFAULT (CASE WHEN hostile.note('default of p') THEN ROW('x', 1)::hostile.pair END),
                                c hostile.checked DEFAULT CASE WHEN hostile.note('default of c') THEN 'y' END,
                                m hostile.mood DEFAULT 'calm') RETURNS hostile.pair LANGUAGE plpgsql AS $$
BEGIN
    PERFORM hostile.note('handler');
    RETURN ROW('z', 2)::hostile.pair;
END $$;
CREATE FUNCTION hostile.moody() RETURNS hostile.mood LANGUAGE plpgsql AS $$ BEGIN RETURN 'cross'; END $$;
-- functions and operators that shadow those of pg_catalog
CREATE FUNCTION hostile.shadow(a text, b text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RETURN hostile.note('operator'); END $$;
CREATE OPERATOR hostile.= (LEFTARG = text, RIGHTARG = text, FUNCTION = hostile.shadow);
CREATE OPERATOR hostile.|| (LEFTARG = text, RIGHTARG = text, FUNCTION = hostile.shadow);
CREATE FUNCTION hostile.shadow(a name, b text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RETURN hostile.note('operator'); END $$;
CREATE OPERATOR hostile.= (LEFTARG = name, RIGHTARG = text, FUNCTION = hostile.shadow);
CREATE FUNCTION hostile.shadow(a bigint, b bigint) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RETURN hostile.note('operator'); END $$;
CREATE OPERATOR hostile.= (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = hostile.shadow);
CREATE OPERATOR hostile.> (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = hostile.shadow);
DO $$
DECLARE f text;
BEGIN
    FOREACH f IN ARRAY ARRAY['format(text)', 'format(text, bigint)', 'format(text, text)', 'age(xid)', 'count(bigint)', 'greatest(bigint)', 'current_database()', 'pg_backend_pid()',
        'date_trunc(text, timestamp)', 'to_regprocedure(text)', 'jsonb_build_object()', 'aclexplode(aclitem[])', 'has_function_privilege(name, text, text)', 'now()',
        'concat_ws(text, text)', 'pg_get_userbyid(oid)', 'nextval(regclass)', 'array_remove(text[], text)', 'rtrim(text, text)', 'regexp_replace(text, text, text, text)'] LOOP
        EXECUTE format('CREATE FUNCTION hostile.%s RETURNS boolean LANGUAGE sql AS ''SELECT hostile.note(''''function'''')''', f);
        EXECUTE format('CREATE FUNCTION pg_temp.%s RETURNS boolean LANGUAGE sql AS ''SELECT hostile.note(''''function'''')''', f);
    END LOOP;
    FOREACH f IN ARRAY ARRAY['pg_class', 'pg_proc', 'pg_roles', 'pg_stat_activity', 'pg_extension', 'pg_locks', 'pg_prepared_xacts', 'task', 'tasks', 'lane', 'tally'] LOOP
        EXECUTE format('CREATE VIEW hostile.%I AS SELECT hostile.note(''view'') AS note', f);
        EXECUTE format('CREATE TEMP VIEW %I AS SELECT hostile.note(''view'') AS note', f);
    END LOOP;
END $$;
CREATE FUNCTION hostile.deferred() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM hostile.note('deferred trigger'); RETURN NULL; END $$;
CREATE TABLE hostile.bait (n int);
CREATE CONSTRAINT TRIGGER bait AFTER INSERT ON hostile.bait DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION hostile.deferred();

-- the app calls everything with its own path first
SET search_path = hostile, pg_temp, pg_catalog;
SELECT pg_catalog.count(*) FROM stent.tasks;
SELECT pg_catalog.count(*) FROM stent.running;
SELECT pg_catalog.count(*) FROM stent.queues;
SELECT pg_catalog.count(*) FROM stent.stats;
RESET SESSION AUTHORIZATION;
SET search_path = hostile, pg_catalog;
-- an admin registers and looks, with the same path
SET SESSION AUTHORIZATION hostile_admin;
SELECT stent.register('hostile_handler', 'hostile.handler(hostile.pair, hostile.checked, hostile.mood)', retry => '{"max_attempts": 1}');
SELECT stent.register('hostile_moody', 'hostile.moody()', retry => '{"max_attempts": 1}');
SET SESSION AUTHORIZATION hostile_app;
SELECT stent.dispatch('hostile_handler') AS defaults, stent.dispatch('hostile_handler', '{"p": {"a": "1", "b": 2}, "c": "3", "m": "cross"}') AS given,
       stent.dispatch('hostile_moody') AS moody \gset
SET SESSION AUTHORIZATION hostile_admin;
SELECT function, state FROM stent.tasks WHERE role OPERATOR(pg_catalog.=) 'hostile_app' ORDER BY id;
SELECT function, ready FROM stent.stats WHERE role OPERATOR(pg_catalog.=) 'hostile_app' ORDER BY function;
SELECT stent.why(:given) OPERATOR(pg_catalog.~) '^It is ready';
SELECT (stent.health() OPERATOR(pg_catalog.->>) 'ok') IS NOT NULL;
RESET SESSION AUTHORIZATION;
SELECT stent.why(:given) OPERATOR(pg_catalog.~) '^It is ready';
SELECT (stent.health() OPERATOR(pg_catalog.->>) 'ok') IS NOT NULL;
SELECT stent._fold_tallies();
SELECT stent.grant_usage('hostile_group');
SELECT stent._regrant();
SELECT stent.cleanup() OPERATOR(pg_catalog.>=) 0;
-- nobody has been tricked so far; what comes is the app's own doing
SELECT what, who FROM hostile.log GROUP BY 1, 2 ORDER BY 1, 2;
SET SESSION AUTHORIZATION hostile_app;
DO $$ BEGIN WHILE stent.run() OPERATOR(pg_catalog.>) 0 LOOP COMMIT; END LOOP; END $$;
SELECT function, state, result, error FROM stent.tasks ORDER BY id;
RESET SESSION AUTHORIZATION;
SELECT what, who, session, super FROM hostile.log GROUP BY 1, 2, 3, 4 ORDER BY what COLLATE "C";
TRUNCATE hostile.log;
-- looking at the results runs nothing of the app's
SELECT pg_catalog.count(stent.state_of(id)), pg_catalog.count(stent.why(id)) FROM stent.tasks WHERE role OPERATOR(pg_catalog.=) 'hostile_app';
SELECT pg_catalog.count(*) FROM hostile.log;
RESET search_path;
DISCARD TEMP;

-- deferred triggers run within the task, as its role, whatever role the handler left
CREATE FUNCTION hostile_defer(how text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO hostile.bait VALUES (1);
    EXECUTE how;
    INSERT INTO hostile.bait VALUES (2);
    RETURN current_user || ' ' || session_user;
END $$;
GRANT INSERT ON hostile.bait TO hostile_group;
SELECT stent.register('hostile_defer', 'hostile_defer(text)', retry => '{"max_attempts": 1}');
CREATE FUNCTION hostile_super() RETURNS text LANGUAGE sql AS $$ SELECT current_user || ' ' || session_user || ' ' || (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) $$;
SELECT stent.register('hostile_super', 'hostile_super()', retry => '{"max_attempts": 1}');
SET SESSION AUTHORIZATION hostile_app;
SELECT count(stent.dispatch('hostile_defer', jsonb_build_object('how', h))), count(stent.dispatch('hostile_super'))
FROM unnest(ARRAY['SET ROLE hostile_group', 'RESET ROLE', 'RESET SESSION AUTHORIZATION', 'SET SESSION AUTHORIZATION DEFAULT', 'SET SESSION AUTHORIZATION hostile_group',
                  'SET LOCAL SESSION AUTHORIZATION DEFAULT', 'SET CONSTRAINTS ALL IMMEDIATE', 'SET ROLE NONE', 'RESET ALL',
                  'SELECT set_config(''session_authorization'', ''hostile_admin'', false)', 'SELECT set_config(''role'', ''hostile_admin'', false)']) h;
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT args ->> 'how', state, result #>> '{}', error ->> 'code', error ->> 'message' FROM stent.tasks WHERE function = 'hostile_defer' ORDER BY id;
SELECT DISTINCT result #>> '{}' FROM stent.tasks WHERE function = 'hostile_super';
RESET SESSION AUTHORIZATION;
SELECT what, who, session, super, count(*) FROM hostile.log GROUP BY 1, 2, 3, 4 ORDER BY what COLLATE "C", who;

-- a temporary function is no handler: the next session to have the schema could make another; one that a task makes goes with it
CREATE FUNCTION pg_temp.hostile_temp() RETURNS int LANGUAGE sql AS 'SELECT 1';
DO $$ BEGIN PERFORM stent.register('hostile_temp', 'pg_temp.hostile_temp()'::regprocedure);
EXCEPTION WHEN OTHERS THEN RAISE NOTICE '%', regexp_replace(SQLERRM, 'pg_temp_\d+', 'pg_temp_N'); END $$;
CREATE FUNCTION hostile_leave() RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE 'CREATE FUNCTION pg_temp.hostile_left() RETURNS int LANGUAGE sql AS ''SELECT 1''';
    EXECUTE 'CREATE TEMP TABLE hostile_left (n int)';
    RETURN (SELECT count(*) FROM pg_proc WHERE proname = 'hostile_left');
END $$;
SELECT stent.register('hostile_leave', 'hostile_leave()');
SELECT stent.dispatch('hostile_leave') AS id \gset
SELECT stent.run();
SELECT stent.result_of(:id), (SELECT count(*) FROM pg_proc WHERE proname = 'hostile_left'), (SELECT count(*) FROM pg_class WHERE relname = 'hostile_left');
DROP FUNCTION hostile_leave;

SELECT count(stent.unregister(name)) FROM stent.functions WHERE name LIKE 'hostile\_%';
SET client_min_messages = warning;
DISCARD TEMP;
DROP FUNCTION hostile_defer, hostile_super;
DROP OWNED BY hostile_app, hostile_group, hostile_admin CASCADE;
DROP SCHEMA IF EXISTS hostile CASCADE;
DROP ROLE hostile_app, hostile_group, hostile_admin;
