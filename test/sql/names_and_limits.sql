-- Bad input: each a SQLSTATE, the value and a hint; nothing is written.
SET stent.clock = '2026-01-01 00:00:00';

CREATE FUNCTION limits_f(n int, t text DEFAULT '') RETURNS int LANGUAGE sql AS 'SELECT n';
CREATE FUNCTION limits_try(sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    code text; msg text; detail text; hint text;
BEGIN
    EXECUTE sql;
    RETURN 'ok    ' || sql;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, msg = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(E'\n      ', code || ' ' || left(msg, 200), nullif(detail, ''),
                     nullif(CASE WHEN hint LIKE 'Registered functions: %limits_f%' THEN 'Registered functions: ... limits_f ...' ELSE hint END, ''));
END $$;
SELECT stent.register('limits_f', 'limits_f(int, text)');
SELECT count(*) AS tasks FROM stent.task \gset
\pset format unaligned
\pset tuples_only on

-- the function's name
SELECT limits_try($$SELECT stent.dispatch('limits_none')$$);
SELECT limits_try($$SELECT stent.dispatch('LIMITS_F')$$);
SELECT limits_try($$SELECT stent.dispatch('')$$);
SELECT limits_try($$SELECT stent.dispatch(NULL)$$);
SELECT limits_try($$SELECT stent.register('')$$);
SELECT limits_try($$SELECT stent.register(NULL)$$);
SELECT limits_try($$SELECT stent.register(repeat('n', 201))$$);
SELECT limits_try($$SELECT stent.register(repeat('n', 200)), stent.unregister(repeat('n', 200))$$);

-- args that do not fit the parameters
SELECT limits_try($$SELECT stent.dispatch('limits_f')$$);
SELECT limits_try($$SELECT stent.dispatch('limits_f', '{"n": 1, "m": 2}')$$);
SELECT limits_try($$SELECT stent.dispatch('limits_f', '{"N": 1}')$$);
SELECT limits_try($$SELECT stent.dispatch('limits_f', '[1]')$$);
SELECT limits_try($$SELECT stent.dispatch('limits_f', '1')$$);
SELECT limits_try($$SELECT stent.dispatch('limits_f', 'null')$$);
SELECT limits_try($$SELECT stent.dispatch('limits_f', NULL)$$);
SELECT limits_try($$SELECT stent.dispatch_many('limits_f', NULL)$$);
SELECT limits_try($$SELECT stent.dispatch_many('limits_f', ARRAY['{"n": 1}', NULL]::jsonb[])$$);
SELECT limits_try($$SELECT stent.dispatch_many('limits_f', ARRAY['{"n": 1}', '{}']::jsonb[])$$);

-- priority, queue, tags
SELECT limits_try($$SELECT stent.dispatch('limits_f', '{"n": 1}', priority => 101)$$);
SELECT limits_try($$SELECT stent.dispatch('limits_f', '{"n": 1}', priority => -101)$$);
SELECT limits_try($$SELECT stent.dispatch('limits_f', '{"n": 1}', priority => 2147483647)$$);
SELECT limits_try($$SELECT stent.register('limits_f', 'limits_f(int,text)', priority => 101)$$);
SELECT limits_try($$SELECT stent.register('limits_f', 'limits_f(int,text)', priority => NULL)$$);
SELECT limits_try($$SELECT stent.dispatch('limits_f', '{"n": 1}', queue => '')$$);
SELECT limits_try($$SELECT stent.dispatch('limits_f', '{"n": 1}', queue => repeat('q', 201))$$);
SELECT limits_try($$SELECT stent.register('limits_f', 'limits_f(int,text)', queue => NULL)$$);
SELECT limits_try($$SELECT stent.dispatch('limits_f', '{"n": 1}', tags => ARRAY['a', ''])$$);
SELECT limits_try($$SELECT stent.dispatch('limits_f', '{"n": 1}', tags => ARRAY['a', NULL])$$);
SELECT limits_try($$SELECT stent.dispatch('limits_f', '{"n": 1}', tags => ARRAY[['a'], ['b']])$$);
SELECT limits_try($$SELECT stent.dispatch('limits_f', '{"n": 1}', tags => array_fill('t'::text, ARRAY[10000]))$$);
SELECT limits_try($$SELECT stent.register('limits_f', 'limits_f(int,text)', version => '')$$);

-- times
SELECT limits_try($$SELECT stent.dispatch('limits_f', '{"n": 1}', delay => '-1s')$$);
SELECT limits_try($$SELECT stent.dispatch('limits_f', '{"n": 1}', delay => '1s', run_at => '2026-01-02')$$);
SELECT limits_try($$SELECT stent.dispatch('limits_f', '{"n": 1}', run_at => 'infinity')$$);
SELECT limits_try($$SELECT stent.dispatch('limits_f', '{"n": 1}', run_at => '-infinity')$$);
SELECT limits_try($$SELECT stent.dispatch('limits_f', '{"n": 1}', delay => '300000 years')$$);
SELECT limits_try($$SELECT stent.dispatch('limits_f', '{"n": 1}', max_duration => '-1s')$$);
SELECT limits_try($$SELECT stent.dispatch('limits_f', '{"n": 1}', timeout => '-1 day')$$);
SELECT limits_try($$SELECT stent.register('limits_f', 'limits_f(int,text)', timeout => '-1s')$$);
SELECT limits_try($$SELECT stent.register('limits_f', 'limits_f(int,text)', max_duration => '-1s')$$);

-- retry policies
SELECT limits_try(format('SELECT stent.dispatch(''limits_f'', ''{"n": 1}'', retry => %L)', r)) FROM unnest(ARRAY[
    '[]', '5', '{"attempts": 3}', '{"max_attempts": 0}', '{"max_attempts": -1}', '{"max_attempts": 1.5}', '{"max_attempts": "3"}',
    '{"max_attempts": 10001}', '{"max_attempts": null}', '{"initial_delay": 1}', '{"initial_delay": "1"}', '{"initial_delay": "1 s"}',
    '{"initial_delay": "-1s"}', '{"max_delay": "soon"}', '{"backoff_factor": 0.5}', '{"backoff_factor": "2"}', '{"jitter": 1.1}',
    '{"jitter": -0.1}', '{"retry_for": "40001"}', '{"retry_for": [40001]}', '{"retry_for": [""]}', '{"no_retry_for": {}}']) r;
SELECT limits_try($$SELECT stent.register('limits_f', 'limits_f(int,text)', retry => '{"max_attempts": 0}')$$);

-- headers, counters, context
SELECT limits_try(format('SELECT stent.dispatch(''limits_f'', ''{"n": 1}'', %s)', o)) FROM unnest(ARRAY[
    'headers => ''[]''', 'headers => ''1''', 'counters => ''[]''', 'counters => ''{"c": "1"}''', 'counters => ''{"c": null}''',
    'counters => ''{"": 1}''', 'counters => jsonb_build_object(repeat(''c'', 201), 1)', 'context => ''"x"''', 'context => ''{"": 1}''',
    'context => jsonb_build_object(repeat(''c'', 201), 1)']) o;

-- running
SELECT limits_try('SELECT stent.run(0)');
SELECT limits_try('SELECT stent.run(-1)');
SELECT limits_try('SELECT stent.run(NULL)');
SELECT limits_try($$SELECT stent.run(1, '{}')$$);
SELECT limits_try('SELECT stent.run(1, ARRAY[NULL])');

-- size
SET stent.max_payload_size = '2kB';
SELECT limits_try($$SELECT stent.dispatch('limits_f', jsonb_build_object('n', 1, 't', repeat('x', 3000)))$$);
SELECT limits_try($$SELECT stent.dispatch_many('limits_f', ARRAY[jsonb_build_object('n', 1, 't', repeat('x', 3000))])$$);
SELECT limits_try($$SELECT stent.dispatch('limits_f', '{"n": 1}', headers => jsonb_build_object('t', repeat('x', 3000)))$$);
SELECT limits_try($$SELECT stent.dispatch('limits_f', '{"n": 1}', context => jsonb_build_object('t', repeat('x', 3000)))$$);
RESET stent.max_payload_size;

-- nothing was written
SELECT count(*) = :tasks FROM stent.task;
SELECT stent.unregister('limits_f');
DROP FUNCTION limits_f, limits_try;
