-- max_concurrent and rate_limit: what register() takes, stores and refuses.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET intervalstyle = postgres;
CREATE FUNCTION limits_options_f() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION limits_options_try(options text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    code text; msg text; hint text;
BEGIN
    EXECUTE format('SELECT stent.register(''limits_options'', ''limits_options_f()'', %s)', options);
    RETURN (SELECT concat_ws(' ', max_concurrent, '/', rate_limit, rate_interval, rate_burst) FROM stent.functions WHERE name = 'limits_options');
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, msg = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
    RETURN code || ': ' || msg || ' ' || hint;
END $$;
\pset format unaligned
\pset tuples_only on

-- taken, with the defaults of the rest
SELECT o || ' -> ' || limits_options_try(o) FROM unnest(ARRAY[
    'max_concurrent => 1', 'max_concurrent => 2147483647', 'max_concurrent => NULL',
    'rate_limit => 100', 'rate_limit => 100, rate_interval => ''1 minute''', 'rate_limit => 100, rate_burst => 1',
    'rate_limit => 3, rate_interval => ''1 ms'', rate_burst => 2147483647',
    'rate_limit => 2147483647, rate_interval => ''366 days''',
    'max_concurrent => 5, rate_limit => 1, rate_interval => ''1 day 02:00'', rate_burst => 10',
    'rate_limit => NULL']) o;
-- refused
SELECT o || ' -> ' || limits_options_try(o) FROM unnest(ARRAY[
    'max_concurrent => 0', 'max_concurrent => -1', 'rate_limit => 0', 'rate_limit => -5',
    'rate_limit => 1, rate_burst => 0', 'rate_limit => 1, rate_burst => -1',
    'rate_interval => ''1 s''', 'rate_burst => 1', 'rate_interval => ''1 s'', rate_burst => 1', 'rate_limit => NULL, rate_interval => ''1 s''',
    'rate_limit => 1, rate_interval => ''0''', 'rate_limit => 1, rate_interval => ''-1 s''', 'rate_limit => 1, rate_interval => ''0.000999''',
    'rate_limit => 1, rate_interval => ''367 days''', 'rate_limit => 1, rate_interval => ''1000 years''',
    'rate_limit => 1, rate_interval => ''1 day'', rate_burst => 40000']) o;
-- what was refused changed nothing
SELECT max_concurrent, rate_limit, rate_interval, rate_burst FROM stent.functions WHERE name = 'limits_options';
-- the bucket is made with the first rate, full, and stays; without a rate there is none
SELECT count(*), min(full_at), min(part) FROM stent.rate r JOIN stent.function f ON f.id = r.function_id WHERE f.name = 'limits_options';
SELECT stent.register('limits_options_none', 'limits_options_f()', max_concurrent => 1);
SELECT count(*) FROM stent.rate r JOIN stent.function f ON f.id = r.function_id WHERE f.name = 'limits_options_none';
-- external functions have them too
SELECT stent.register('limits_options_ext', max_concurrent => 3, rate_limit => 2);
SELECT kind, max_concurrent, rate_limit, rate_interval, rate_burst FROM stent.functions WHERE name = 'limits_options_ext';

SELECT count(stent.unregister(name)) FROM stent.functions WHERE name LIKE 'limits\_options%';
DROP FUNCTION limits_options_f, limits_options_try;
