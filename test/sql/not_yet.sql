-- Options of a later version say so, instead of being ignored.
CREATE FUNCTION not_yet_f() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION not_yet_try(sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    code text; msg text; hint text;
BEGIN
    EXECUTE sql;
    RETURN 'ok';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, msg = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
    RETURN code || ': ' || msg || ' / ' || hint;
END $$;
SELECT stent.register('not_yet', 'not_yet_f()');
\pset format unaligned
\pset tuples_only on
SELECT o || ' -> ' || not_yet_try(format('SELECT stent.register(''not_yet'', ''not_yet_f()'', %s)', o))
FROM unnest(ARRAY['max_concurrent => 1', 'max_concurrent => 0', 'rate_limit => 1', 'rate_limit => -1', 'rate_interval => ''1s''',
                  'cached => true', 'cached => NULL', 'cache_ttl => ''1s''', 'idempotent => true', 'idempotent => NULL']) o;
SELECT o || ' -> ' || not_yet_try(format('SELECT stent.dispatch(''not_yet'', %s)', o))
FROM unnest(ARRAY['idempotency_key => ''k''', 'concurrency_key => ''k''']) o;
SELECT handler FROM stent.functions WHERE name = 'not_yet';
SELECT stent.unregister('not_yet');
DROP FUNCTION not_yet_f, not_yet_try;
