-- What a handler returns is stored as jsonb, as to_jsonb makes it.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';

CREATE TYPE results_pair AS (a int, b text);
CREATE DOMAIN results_domain AS int CHECK (VALUE < 10);
CREATE DOMAIN results_json AS jsonb;
CREATE TABLE results_table (id int, t text);
CREATE FUNCTION results_void() RETURNS void LANGUAGE sql AS '';
CREATE FUNCTION results_int() RETURNS int LANGUAGE sql AS 'SELECT 5';
CREATE FUNCTION results_text() RETURNS text LANGUAGE sql AS $$ SELECT 'say "hi"' $$;
CREATE FUNCTION results_bool() RETURNS bool LANGUAGE sql AS 'SELECT false';
CREATE FUNCTION results_empty() RETURNS text LANGUAGE sql AS $$ SELECT '' $$;
CREATE FUNCTION results_null() RETURNS int LANGUAGE sql AS 'SELECT NULL::int';
CREATE FUNCTION results_jsonb() RETURNS jsonb LANGUAGE sql AS $$ SELECT '{"a": [1, null]}'::jsonb $$;
CREATE FUNCTION results_jsonb_null() RETURNS jsonb LANGUAGE sql AS $$ SELECT 'null'::jsonb $$;
CREATE FUNCTION results_jsonb_sqlnull() RETURNS jsonb LANGUAGE sql AS $$ SELECT NULL::jsonb $$;
CREATE FUNCTION results_json() RETURNS json LANGUAGE sql AS $$ SELECT '{"b": 1, "a": 2, "b": 3}'::json $$;
CREATE FUNCTION results_composite() RETURNS results_pair LANGUAGE sql AS $$ SELECT ROW(1, NULL)::results_pair $$;
CREATE FUNCTION results_row() RETURNS results_table LANGUAGE sql AS $$ SELECT 7, 'seven' $$;
CREATE FUNCTION results_out(OUT x int, OUT y text) LANGUAGE sql AS $$ SELECT 1, 'y' $$;
CREATE FUNCTION results_record() RETURNS record LANGUAGE sql AS $$ SELECT 1, 'two'::text $$;
CREATE FUNCTION results_record_plpgsql() RETURNS record LANGUAGE plpgsql AS $$ DECLARE r record; BEGIN SELECT 1 AS one, 'two' AS two INTO r; RETURN r; END $$;
CREATE FUNCTION results_domain() RETURNS results_domain LANGUAGE plpgsql AS $$ BEGIN RETURN 9; END $$;
CREATE FUNCTION results_domain_bad() RETURNS results_domain LANGUAGE plpgsql AS $$ BEGIN RETURN 10; END $$;
CREATE FUNCTION results_domain_json() RETURNS results_json LANGUAGE sql AS $$ SELECT '{"d": 1}'::results_json $$;
CREATE FUNCTION results_array() RETURNS int[] LANGUAGE sql AS 'SELECT ARRAY[[1, 2], [3, NULL]]';
CREATE FUNCTION results_composites() RETURNS results_pair[] LANGUAGE sql AS $$ SELECT ARRAY[ROW(1, 'x')::results_pair] $$;
CREATE FUNCTION results_timestamp() RETURNS timestamp LANGUAGE sql AS 'SELECT stent.now()';
CREATE FUNCTION results_numeric() RETURNS numeric LANGUAGE sql AS 'SELECT 1.50';
CREATE FUNCTION results_float() RETURNS float8 LANGUAGE sql AS $$ SELECT 'NaN'::float8 $$;

SELECT count(stent.register(proname, oid::regprocedure, retry => '{"max_attempts": 1}')), count(stent.dispatch(proname)) FROM pg_proc
WHERE proname LIKE 'results\_%' AND pronamespace = 'public'::regnamespace AND prorettype <> 0 AND prokind = 'f' AND pronargs = 0
  AND proname NOT IN (SELECT typname FROM pg_type WHERE typtype = 'r');
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT function, state, result, result IS NULL AS "null", error ->> 'code' AS code FROM stent.tasks WHERE function LIKE 'results\_%'
ORDER BY function COLLATE "C";
SELECT DISTINCT stent.result_of(id) FROM stent.tasks WHERE function IN ('results_void', 'results_null', 'results_jsonb_null');

SELECT stent.discard_many('results_domain_bad');
SELECT count(stent.unregister(name)) FROM stent.functions WHERE name LIKE 'results\_%';
DROP FUNCTION results_void, results_int, results_text, results_bool, results_empty, results_null, results_jsonb, results_jsonb_null, results_jsonb_sqlnull,
    results_json, results_composite, results_row, results_out, results_record, results_record_plpgsql, results_domain, results_domain_bad, results_domain_json,
    results_array, results_composites, results_timestamp, results_numeric, results_float;
DROP TABLE results_table;
DROP DOMAIN results_domain, results_json;
DROP TYPE results_pair;
