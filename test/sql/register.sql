-- register: what may be a handler, what is stored, replacing, unregistering, external functions.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET datestyle = ISO;
SET intervalstyle = postgres;

CREATE SCHEMA "register Schema";
CREATE TYPE register_pair AS (a int, b text);
CREATE FUNCTION register_none() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION register_whole(jsonb) RETURNS int LANGUAGE sql AS 'SELECT 2';
CREATE FUNCTION register_named(a int, b text DEFAULT 'x') RETURNS int LANGUAGE sql AS 'SELECT 3';
CREATE FUNCTION register_out(a int, OUT x int, OUT y text) LANGUAGE sql AS $$ SELECT a, 'y' $$;
CREATE FUNCTION register_inout(INOUT a int) LANGUAGE sql AS 'SELECT a';
CREATE FUNCTION register_composite(p register_pair) RETURNS register_pair LANGUAGE sql AS 'SELECT p';
CREATE FUNCTION "register Schema"."Odd Name"("The Arg" int) RETURNS int LANGUAGE sql AS 'SELECT 4';
CREATE FUNCTION register_setof() RETURNS SETOF int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION register_table() RETURNS TABLE (a int) LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION register_variadic(VARIADIC a int[]) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION register_unnamed(int, b int) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION register_json(json) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION register_any(a anyelement) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION register_trigger() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END';
CREATE FUNCTION register_record() RETURNS record LANGUAGE sql AS 'SELECT 1, 2';
CREATE PROCEDURE register_procedure() LANGUAGE sql AS '';
CREATE AGGREGATE register_aggregate(int) (sfunc = int4pl, stype = int);
CREATE FUNCTION register_try(name text, handler regprocedure DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    code text; msg text; hint text;
BEGIN
    PERFORM stent.register(name, handler);
    PERFORM stent.unregister(name);
    RETURN 'ok';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, msg = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
    RETURN code || ': ' || msg || E'\n' || hint;
END $$;

\pset format unaligned
\pset tuples_only on
SELECT register_try('register_f', h::regprocedure) FROM unnest(ARRAY['register_none()', 'register_whole(jsonb)', 'register_named(int,text)',
    'register_out(int)', 'register_inout(int)', 'register_composite(register_pair)', '"register Schema"."Odd Name"(int)', 'register_record()']) h;
SELECT register_try('register_f', h::regprocedure) FROM unnest(ARRAY['register_setof()', 'register_table()', 'register_variadic(int[])',
    'register_unnamed(int,int)', 'register_json(json)', 'register_any(anyelement)', 'register_trigger()', 'register_procedure()',
    'register_aggregate(int)', 'row_number()']) h;
SELECT register_try('register_f', 0), register_try('register_f', 4294967295::oid);
\pset format aligned
\pset tuples_only off
SELECT stent.register('register_f', 'register_missing()');
SELECT count(*) FROM stent.functions WHERE name LIKE 'register\_%';

-- defaults, and every option stored
SELECT stent.register('register_f', 'register_none()');
SELECT * FROM stent.functions WHERE name = 'register_f' \gx
SELECT stent.register('register_f', '"register Schema"."Odd Name"(int)', 'register_q', -100, ARRAY['b', 'a', 'b'],
                      retry => '{"max_attempts": 5}', timeout => '1h', max_duration => '1 day 02:00', version => '2.0');
SELECT * FROM stent.functions WHERE name = 'register_f' \gx
-- registering again replaces all of it: options left out are the defaults again
SELECT stent.register('register_f', 'register_named(int,text)', timeout => '0', max_duration => '0');
SELECT * FROM stent.functions WHERE name = 'register_f' \gx
-- by handler null it becomes external; the name in other letters is another function
SELECT stent.register('register_f');
SELECT stent.register('Register_f', 'register_none()');
SELECT name, handler, kind FROM stent.functions WHERE lower(name) = 'register_f' ORDER BY name COLLATE "C";

-- unregister: no more dispatches; a task dispatched before still runs
SELECT stent.dispatch('Register_f') AS id \gset
SELECT stent.unregister('Register_f');
SELECT stent.dispatch('Register_f');
SELECT stent.unregister('Register_f');
SELECT stent.unregister('register_nobody');
SELECT stent.unregister(NULL);
SELECT stent.run();
SELECT function, state, result FROM stent.tasks WHERE id = :id;
-- and registered again it is the same function
SELECT stent.register('Register_f', 'register_none()');
SELECT stent.dispatch('Register_f') AS id \gset
SELECT stent.run();
SELECT state FROM stent.tasks WHERE id = :id;

SELECT count(stent.unregister(name)) FROM stent.functions WHERE lower(name) = 'register_f';
DROP SCHEMA "register Schema" CASCADE;
DROP FUNCTION register_none, register_whole, register_named, register_out, register_inout, register_composite, register_setof, register_table,
    register_variadic, register_unnamed, register_json, register_any, register_trigger, register_record, register_try;
DROP PROCEDURE register_procedure;
DROP AGGREGATE register_aggregate(int);
DROP TYPE register_pair;
