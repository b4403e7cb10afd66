-- duration(text): numbers with units, nothing else.
SET intervalstyle = postgres;
CREATE FUNCTION duration_try(t text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    code text; msg text; hint text;
BEGIN
    RETURN stent.duration(t)::text;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, msg = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(' / ', code || ': ' || msg, nullif(hint, ''));
END $$;
SELECT t, duration_try(t) FROM unnest(ARRAY['0s', '30s', '5m', '90m', '1h30m', '2d8h', '1.5h', '1w', '0.25s', '1s1s', '01h', '  10s ',
    '36h', '1.5d', '1h0.5s', '0.000001s', '30m1h', '100000d']) t;
\pset tuples_only on
\pset format unaligned
SELECT duration_try(t) FROM unnest(ARRAY['', ' ', '5', '1.5', 's', '1 h', '1h 30m', '-5s', '+5s', '1,5h', '.5h', '1.h', '1e3s', '5S', '5min',
    '5 minutes', '1h30', 'one hour', '00:05:00', 'P1D', '1y', '5ms', '9999999999999999999s', '999999999999w', '1h;', 'infinity']) t;
SELECT duration_try(NULL);
SELECT stent.duration('1h') = interval '1 hour', stent.duration('60m') = stent.duration('1h'), stent.duration('1d') = interval '1 day';
DROP FUNCTION duration_try;
