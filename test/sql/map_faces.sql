-- map outside of a handler, and its other names: par_map = parallel_map, par_each.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';
CREATE ROLE map_faces_app LOGIN;
SELECT stent.grant_usage('map_faces_app');
CREATE TABLE map_faces_t (n int);
CREATE FUNCTION map_faces_add(a int, b int DEFAULT 10) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    IF a < 0 THEN
        RAISE EXCEPTION 'negative: %', a USING ERRCODE = 'UX001', HINT = 'Be positive.';
    END IF;
    INSERT INTO map_faces_t VALUES (a);
    RETURN a + b;
END $$;
CREATE FUNCTION map_faces_nothing(x jsonb) RETURNS void LANGUAGE sql AS '';
CREATE FUNCTION map_faces_where(x jsonb) RETURNS text LANGUAGE sql AS $$ SELECT concat_ws(' ', current_user, x) $$;
REVOKE ALL ON FUNCTION map_faces_nothing(jsonb) FROM PUBLIC;
SELECT stent.register('map_faces_add', 'map_faces_add(int, int)', retry => '{"max_attempts": 1}'), stent.register('map_faces_nothing', 'map_faces_nothing(jsonb)'),
       stent.register('map_faces_where', 'map_faces_where(jsonb)'), stent.register('map_faces_external');
CREATE PROCEDURE map_faces_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
CREATE FUNCTION map_faces_try(sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    code text; msg text; detail text; hint text;
BEGIN
    EXECUTE sql INTO msg;
    RETURN 'returns ' || coalesce(msg, 'null');
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, msg = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(' / ', code, msg, nullif(detail, ''), nullif(regexp_replace(hint, 'functions:.*', 'functions: ...'), ''));
END $$;

-- outside of a handler the items run in the caller's transaction, without tasks
SELECT stent.map('map_faces_add', '[{"a": 2}, {"a": 3, "b": 4}]'), stent.starmap('map_faces_add', '[[1, 2], [3], {"a": 4}, {"a": 5, "b": 5}]');
SELECT stent.map('map_faces_nothing', '[1, null, {}, [2]]'), stent.map('map_faces_where', '[0, 1]'), stent.map('map_faces_add', '[]');
SELECT stent.par_map('map_faces_add', '[{"a": 1}, {"a": 2}]'), stent.parallel_map('map_faces_add', '[{"a": 1}, {"a": 2}]', 1), stent.par_each('map_faces_add', '[{"a": 1}, {"a": 2}]'), stent.par_each('map_faces_add', '[]') IS NULL AS sql_null;
SELECT array_agg(n) FROM map_faces_t;
TRUNCATE map_faces_t;
BEGIN;
SELECT stent.par_map('map_faces_add', '[{"a": 1}, {"a": 2}]');
ROLLBACK;
TABLE map_faces_t;
SELECT count(*) FROM stent.tasks WHERE function LIKE 'map\_faces%';
-- an error is the caller's, and says of which item; what was done is undone with the statement
SELECT map_faces_try($$SELECT stent.map('map_faces_add', '[{"a": 1}, {"a": -2}, {"a": -3}]')$$);
SELECT map_faces_try($$SELECT stent.map('map_faces_add', '[{"a": 1}, {"c": 2}]')$$);
SELECT map_faces_try($$SELECT stent.map('map_faces_add', '[{"a": 1}, {"a": "x"}]')$$);
TABLE map_faces_t;
-- collected, only what failed is undone
SELECT stent.map('map_faces_add', '[{"a": 1}, {"a": -2}, {"a": 3}]', on_error => 'collect') #- '{1,error,context}';
TABLE map_faces_t;
TRUNCATE map_faces_t;
-- many
SELECT jsonb_array_length(m), m -> 0 AS first, m -> 4999 AS last FROM stent.map('map_faces_where', (SELECT jsonb_agg(n) FROM generate_series(1, 5000) n)) m;
-- a cancellation is none of an item
SET statement_timeout = '100ms';
CREATE FUNCTION map_faces_slow(s float) RETURNS void LANGUAGE sql AS 'SELECT pg_sleep(s)';
SELECT stent.register('map_faces_slow', 'map_faces_slow(float)');
SELECT stent.map('map_faces_slow', '[{"s": 0}, {"s": 600}]');
SELECT stent.map('map_faces_slow', '[{"s": 0}, {"s": 600}]', on_error => 'collect');
RESET statement_timeout;
-- with the caller's rights
SET ROLE map_faces_app;
SELECT map_faces_try($$SELECT stent.map('map_faces_nothing', '[1]')$$);
SELECT stent.map('map_faces_where', '[1]');
RESET ROLE;
-- what runs on workers does not run here
SELECT map_faces_try($$SELECT stent.map('map_faces_external', '[1]')$$);
-- inside another item, and a map within a map
CREATE FUNCTION map_faces_nested(n int) RETURNS jsonb LANGUAGE sql AS $$ SELECT stent.map('map_faces_add', jsonb_build_array(jsonb_build_object('a', n))) $$;
SELECT stent.register('map_faces_nested', 'map_faces_nested(int)', retry => '{"max_attempts": 1}');
SELECT stent.map('map_faces_nested', '[{"n": 1}, {"n": 2}]');

-- both names of one function fail alike: the order of checks is that of map
CREATE VIEW map_faces_bad AS SELECT a, n FROM unnest(ARRAY['NULL, ''[]''', '''map_faces_add'', NULL', '''map_faces_none'', ''[]''', '''map_faces_add'', ''{}''', '''map_faces_add'', ''7''', '''map_faces_add'', ''[]'', 0', '''map_faces_none'', ''[]'', 0', '''map_faces_add'', ''[]'', -1', '''map_faces_external'', ''[]''',
    '''map_faces_add'', ''[]'', 1', '''map_faces_add'', ''[{"a": -1}]''', '''map_faces_add'', ''[{"a": 1}, 2, [3]]''']) WITH ORDINALITY u(a, n);
SELECT a, map_faces_try(format('SELECT stent.par_map(%s)', a)) FROM map_faces_bad ORDER BY n;
SELECT bool_and(map_faces_try(format('SELECT stent.par_map(%s)', a)) = map_faces_try(format('SELECT stent.parallel_map(%s)', a))) AS alike FROM map_faces_bad;
SELECT a, map_faces_try(format('SELECT stent.par_each(%s)', a)) AS each, map_faces_try(format('SELECT stent.par_map(%s)', a)) AS map FROM map_faces_bad WHERE map_faces_try(format('SELECT stent.par_each(%s)', a)) <> map_faces_try(format('SELECT stent.par_map(%s)', a));

-- in a handler they are steps
CREATE FUNCTION map_faces_workflow(how text, items jsonb, fail text DEFAULT '') RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    RETURN CASE how WHEN 'par_map' THEN stent.par_map('map_faces_add', items, 1)
                    WHEN 'parallel_map' THEN stent.parallel_map('map_faces_add', items, step_name => 'named')
                    WHEN 'par_each' THEN stent.par_each('map_faces_add', items) END;
EXCEPTION WHEN SQLSTATE 'UX001' THEN
    RETURN jsonb_build_object('caught', SQLERRM);
END $$;
SELECT stent.register('map_faces_workflow', 'map_faces_workflow(text, jsonb, text)', retry => '{"max_attempts": 1}');
TRUNCATE map_faces_t;
SELECT h.how, stent.dispatch('map_faces_workflow', jsonb_build_object('how', h.how, 'items', i.items)) AS id, i.items INTO map_faces_runs
FROM unnest('{par_map,parallel_map,par_each}'::text[]) h(how), (VALUES ('[{"a": 1}, {"a": 2}, {"a": 3, "b": 0}]'::jsonb), ('[]'), ('[{"a": 4}, {"a": -5}]')) i(items);
CALL map_faces_run();
SELECT how, items, stent.result_of(id) AS result FROM map_faces_runs ORDER BY items, how;
SELECT s.kind, s.name, f.name AS function, s.state, count(*) FROM stent.step s JOIN map_faces_runs r ON r.id = s.task_id JOIN stent.function f ON f.id = s.function_id GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4;
SELECT array_agg(n ORDER BY n) FROM map_faces_t;
-- not within an item, whatever the name
CREATE FUNCTION map_faces_inner(how text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    result jsonb;
BEGIN
    EXECUTE format('SELECT stent.%I(''map_faces_add'', ''[]'')', how) INTO result;
    RETURN result;
END $$;
CREATE FUNCTION map_faces_outer() RETURNS jsonb LANGUAGE sql AS $$ SELECT stent.map('map_faces_inner', '[{"how": "par_map"}, {"how": "parallel_map"}, {"how": "par_each"}, {"how": "map"}, {"how": "starmap"}]', on_error => 'collect') $$;
SELECT stent.register('map_faces_inner', 'map_faces_inner(text)', retry => '{"max_attempts": 1}'), stent.register('map_faces_outer', 'map_faces_outer()');
SELECT stent.dispatch('map_faces_outer') AS id \gset
CALL map_faces_run();
SELECT e -> 'error' ->> 'code' AS code, e -> 'error' ->> 'message' AS message FROM jsonb_array_elements(stent.result_of(:id)) e;
SELECT bool_and(stent.discard(id)) AS discarded FROM stent.dead_letters WHERE function LIKE 'map\_faces%';
SELECT count(stent.unregister('map_faces_' || n)) FROM unnest('{add,nothing,where,external,slow,nested,workflow,inner,outer}'::text[]) n;
