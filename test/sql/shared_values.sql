-- Values that all sessions and tasks of the database share.
\set VERBOSITY terse

-- anything that is JSON, in place of whatever was there; SQL NULL is JSON null
SELECT stent.shared_set('sv_a', '{"x": [1, 2]}'), stent.shared_get('sv_a'), stent.shared_has('sv_a');
SELECT stent.shared_set('sv_a', '"text"'), stent.shared_get('sv_a');
SELECT stent.shared_set('sv_a', NULL), stent.shared_get('sv_a'), stent.shared_get('sv_a') IS NULL AS is_null, stent.shared_has('sv_a');
SELECT stent.shared_delete('sv_a'), stent.shared_delete('sv_a'), stent.shared_has('sv_a');

-- a missing key is an error that names it, never a null; it is not made
CREATE FUNCTION sv_says(sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE msg text; hint text;
BEGIN
    EXECUTE sql;
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS msg = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(E'\n', SQLSTATE || ': ' || msg, 'HINT: ' || hint);
END $$;
SELECT sv_says($$SELECT stent.shared_get('sv_none')$$);
SELECT sv_says($$SELECT stent.shared_add_int('sv_none', 1)$$);
SELECT stent.shared_has('sv_none');

-- adds
SELECT stent.shared_set('sv_n', '40'), stent.shared_add_int('sv_n', 2), stent.shared_add_int('sv_n', -50), stent.shared_get('sv_n');
SELECT array_agg(stent.shared_add_int('sv_n', 1)) FROM generate_series(1, 10);
SELECT stent.shared_add_int('sv_n', '2');
SELECT sv_says($$SELECT stent.shared_add_int('sv_n', '2'::text)$$), sv_says($$SELECT stent.shared_add_int('sv_n', 2.5)$$);
SELECT stent.shared_set('sv_n', '1e3'), stent.shared_add_int('sv_n', 1);

-- what is no integer is no total, and stays
CREATE FUNCTION sv_try(value jsonb, delta bigint) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM stent.shared_set('sv_odd', value);
    RETURN stent.shared_add_int('sv_odd', delta);
EXCEPTION WHEN OTHERS THEN
    PERFORM stent.shared_set('sv_odd', value);
    RETURN SQLSTATE || ': ' || SQLERRM;
END $$;
SELECT value, sv_try(value, 1) FROM unnest('{2.5,1.0,1e-1,"\"5\"",true,null,[1],"{\"a\": 1}",123456789012345678901234567890}'::jsonb[]) value;
SELECT stent.shared_set('sv_s', '"5"');
SELECT sv_says($$SELECT stent.shared_add_int('sv_s', 1)$$);
SELECT stent.shared_get('sv_s');

-- the ends of bigint
SELECT stent.shared_set('sv_max', '9223372036854775806'), stent.shared_add_int('sv_max', 1);
SELECT sv_says($$SELECT stent.shared_add_int('sv_max', 1)$$);
SELECT stent.shared_get('sv_max');
SELECT stent.shared_set('sv_min', '-9223372036854775807'), stent.shared_add_int('sv_min', -1);
SELECT stent.shared_add_int('sv_min', -1);
SELECT stent.shared_get('sv_min'), stent.shared_add_int('sv_min', 9223372036854775807);

-- NULL where a value is needed, and bounds
\set VERBOSITY sqlstate
SELECT stent.shared_set(NULL, '1');
SELECT stent.shared_get(NULL);
SELECT stent.shared_has(NULL);
SELECT stent.shared_delete(NULL);
SELECT stent.shared_add_int(NULL, 1);
SELECT stent.shared_add_int('sv_n', NULL);
SELECT stent.shared_set('', '1');
SELECT stent.shared_get(repeat('k', 1001));
SELECT stent.shared_set(repeat('ä', 501), '1');
SELECT stent.shared_set(repeat('ä', 500), '1'), stent.shared_delete(repeat('ä', 500));
SET stent.max_payload_size = 10;
SELECT stent.shared_set('sv_big', to_jsonb(repeat('x', 11000)));
RESET stent.max_payload_size;
SELECT stent.shared_set('sv_big', to_jsonb(repeat('x', 300000))), length(stent.shared_get('sv_big') #>> '{}');
SELECT stent.shared_set('sv_big', to_jsonb(repeat('y', 300000))), left(stent.shared_get('sv_big') #>> '{}', 2);
\set VERBOSITY terse

-- transactional: undone with its transaction, or its subtransaction
BEGIN;
SELECT stent.shared_add_int('sv_n', 100);
SAVEPOINT s;
SELECT stent.shared_add_int('sv_n', 1000), stent.shared_delete('sv_s'), stent.shared_set('sv_new', '1');
SELECT stent.shared_has('sv_s'), stent.shared_has('sv_new');
ROLLBACK TO s;
SELECT stent.shared_get('sv_n'), stent.shared_has('sv_s'), stent.shared_has('sv_new');
SELECT stent.shared_delete('sv_n'), stent.shared_has('sv_n');
SELECT stent.shared_set('sv_n', '7'), stent.shared_add_int('sv_n', 1);
ROLLBACK;
SELECT stent.shared_get('sv_n');
BEGIN READ ONLY;
SELECT stent.shared_get('sv_n'), stent.shared_has('sv_n');
SELECT stent.shared_add_int('sv_n', 1);
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT stent.shared_set('sv_n', '10'), stent.shared_add_int('sv_n', 1), stent.shared_set('sv_ser', '1'), stent.shared_delete('sv_ser'), stent.shared_set('sv_ser', '2');
COMMIT;
SELECT stent.shared_get('sv_n'), stent.shared_get('sv_ser');

-- in a handler, with its effects: a failed attempt adds nothing
CREATE FUNCTION sv_f() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE total bigint := stent.shared_add_int('sv_n', 1);
BEGIN
    IF stent.attempt() = 1 THEN RAISE EXCEPTION 'not yet'; END IF;
    RETURN total;
END $$;
SELECT stent.register('sv_f', 'sv_f()', retry => '{"initial_delay": "0s"}');
SELECT count(*) FROM stent.dispatch_many('sv_f', array_fill('{}'::jsonb, ARRAY[3]));
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT result, attempt FROM stent.tasks WHERE function = 'sv_f' ORDER BY result;
SELECT stent.shared_get('sv_n');

SELECT key, stent.shared_delete(key) FROM stent.shared_value ORDER BY key;
SELECT stent.unregister('sv_f');
DROP FUNCTION sv_f, sv_try, sv_says;
