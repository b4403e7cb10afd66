-- call outside of a handler: the function runs at once, in the caller's transaction, without a task.
\set VERBOSITY terse
CREATE TABLE call_effect (who name, x int);
CREATE TYPE call_pair AS (a int, b text);
CREATE FUNCTION call_double(x int, y int DEFAULT 1) RETURNS int LANGUAGE sql AS 'SELECT x * 2 + y';
CREATE FUNCTION call_whole(args jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT args';
CREATE FUNCTION call_none() RETURNS void LANGUAGE sql AS 'INSERT INTO call_effect VALUES (current_user, 0)';
CREATE FUNCTION call_null() RETURNS int LANGUAGE sql AS 'SELECT NULL::int';
CREATE FUNCTION call_composite() RETURNS call_pair LANGUAGE sql AS $$SELECT 1, 'two'$$;
CREATE FUNCTION call_fails(code text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO call_effect VALUES (current_user, 1);
    RAISE EXCEPTION USING ERRCODE = code, MESSAGE = 'raised', DETAIL = 'its detail';
END $$;
CREATE FUNCTION call_nests(n int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    RETURN CASE WHEN n > 0 THEN 1 + stent.call('call_nests', jsonb_build_object('n', n - 1))::int ELSE 0 END;
END $$;
CREATE FUNCTION call_task() RETURNS bigint LANGUAGE sql AS 'SELECT stent.task_id()';
-- makes the session forget what it knows of handlers, its own among them, and runs tasks
CREATE FUNCTION call_changes(n int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    told text := '';
BEGIN
    EXECUTE format('CREATE FUNCTION call_made_%s(x int DEFAULT %s) RETURNS int LANGUAGE sql AS ''SELECT x''', n, n);
    PERFORM stent.register('call_made', format('call_made_%s(int)', n)::regprocedure);
    told := stent.call('call_made');
    IF n < 3 THEN
        told := told || ' ' || (stent.call('call_changes', jsonb_build_object('n', n + 1)) #>> '{}');
    END IF;
    PERFORM stent.dispatch('call_double', '{"x": 1}'), stent.run();
    EXECUTE format('DROP FUNCTION call_made_%s', n);
    RETURN told || ' ' || n;
END $$;
CREATE FUNCTION call_try(function text, args jsonb DEFAULT '{}') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    code text; msg text; detail text; hint text;
BEGIN
    RETURN stent.call(function, args);
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, msg = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(E'\n', code || ': ' || msg, 'DETAIL: ' || nullif(detail, ''), 'HINT: ' || nullif(hint, ''));
END $$;
SELECT count(stent.register(f, f::regproc::regprocedure)) FROM unnest(ARRAY['call_double', 'call_whole', 'call_none', 'call_null',
    'call_composite', 'call_fails', 'call_nests', 'call_task', 'call_changes']) f;
SELECT stent.register('call_external');
SELECT stent.register('call_cached', 'call_none()', cached => true, idempotent => true, max_concurrent => 1, rate_limit => 1, rate_interval => '1 day');
SELECT count(*) AS before FROM stent.tasks \gset

-- results as those of a task
SELECT stent.call('call_double', '{"x": 4}'), stent.call('call_double', '{"x": 4, "y": null}'), stent.call('call_whole', '[1, {"a": null}]'),
       stent.call('call_whole', '"text"'), stent.call('call_composite');
SELECT stent.call('call_none'), stent.call('call_null'), stent.call('call_none') IS NULL AS is_null;
-- as the caller, in its transaction
BEGIN;
SELECT stent.call('call_none');
SELECT * FROM call_effect;
ROLLBACK;
BEGIN READ ONLY;
SELECT stent.call('call_double', '{"x": 4}');
SELECT call_try('call_none');
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT stent.call('call_double', '{"x": 5}');
ROLLBACK;
-- its error is the caller's
SELECT call_try('call_fails', '{"code": "22012"}');
SELECT call_try('call_fails', '{"code": "P0002"}');
SELECT call_try('call_double', '{"x": "no number"}');
SELECT count(*) FROM call_effect WHERE x = 1;
-- nested, and very much so
SELECT stent.call('call_nests', '{"n": 20}');
SET max_stack_depth = '200kB';
SELECT split_part(call_try('call_nests', '{"n": 1000000}'), E'\n', 1);
RESET max_stack_depth;
SELECT call_try('call_task');
SELECT stent.call('call_changes', '{"n": 1}');
-- neither remembered nor limited
SELECT stent.call('call_cached'), stent.call('call_cached'), stent.call('call_cached');
SELECT count(*) FROM call_effect WHERE x = 0;

-- arguments
SELECT stent.call(NULL);
SELECT stent.call('call_double', NULL);
SELECT call_try('call_double');
SELECT call_try('call_double', '{"x": 1, "z": 2}');
SELECT call_try('call_double', '[1]');
SELECT split_part(call_try('call_unknown'), E'\n', 1);
SELECT call_try('call_external');
SET stent.max_payload_size = '1kB';
SELECT split_part(call_try('call_whole', to_jsonb(repeat('x', 2000))), E'\n', 1);
RESET stent.max_payload_size;
-- what needs a task is refused, what steers one means nothing
\set VERBOSITY default
SELECT stent.call('call_double', '{"x": 1}', delay => '1 s');
SELECT stent.call('call_double', '{"x": 1}', run_at => stent.now());
SELECT stent.call('call_double', '{"x": 1}', idempotency_key => 'k');
SELECT stent.call('call_double', '{"x": 1}', concurrency_key => 'k');
\set VERBOSITY terse
SELECT stent.call('call_double', '{"x": 1}', queue => 'q', priority => 7, tags => ARRAY['t'], timeout => '1 microsecond', retry => '{"max_attempts": 9}',
                  headers => '{}', step_name => 's');

-- privileges are those of the current user
CREATE ROLE call_app LOGIN;
SELECT stent.grant_usage('call_app');
CREATE SCHEMA call_schema;
CREATE FUNCTION call_schema.hidden() RETURNS name LANGUAGE sql AS 'SELECT current_user';
CREATE FUNCTION call_denied() RETURNS name LANGUAGE sql AS 'SELECT current_user';
REVOKE EXECUTE ON FUNCTION call_denied() FROM PUBLIC;
SELECT stent.register('call_hidden', 'call_schema.hidden()'), stent.register('call_denied', 'call_denied()');
SELECT stent.call('call_hidden'), stent.call('call_denied');
SET ROLE call_app;
SELECT call_try('call_hidden');
SELECT call_try('call_denied');
RESET ROLE;
GRANT USAGE ON SCHEMA call_schema TO call_app;
GRANT EXECUTE ON FUNCTION call_denied() TO call_app;
SET ROLE call_app;
SELECT call_try('call_hidden'), call_try('call_denied');
RESET ROLE;
DROP FUNCTION call_denied();
SELECT call_try('call_denied');
SELECT stent.unregister('call_denied');
SELECT split_part(call_try('call_denied'), E'\n', 1);

-- no task was made but by call_changes
SELECT count(*) - :before AS made FROM stent.tasks;
SELECT count(stent.unregister(name)) FROM stent.functions WHERE name LIKE 'call\_%';
DROP OWNED BY call_app;
DROP ROLE call_app;
DROP SCHEMA call_schema CASCADE;
DROP FUNCTION call_double, call_whole, call_none, call_null, call_composite, call_fails, call_nests, call_task, call_changes, call_try;
DROP TABLE call_effect;
DROP TYPE call_pair;
