-- map_query: rows of a query become the items of a map.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';
CREATE ROLE map_query_app LOGIN;
SELECT stent.grant_usage('map_query_app');
CREATE FUNCTION map_query_echo(item jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT item';
CREATE FUNCTION map_query_add(a int, b int DEFAULT 10) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    IF a < 0 THEN
        RAISE EXCEPTION 'negative: %', a;
    END IF;
    RETURN a + b;
END $$;
GRANT EXECUTE ON FUNCTION map_query_echo(jsonb), map_query_add(int, int) TO PUBLIC;
SELECT stent.register('map_query_echo', 'map_query_echo(jsonb)', queue => 'mq', priority => 3, tags => '{t}', timeout => '5m', max_duration => '1h', retry => '{"max_attempts": 2, "initial_delay": "0s"}'),
       stent.register('map_query_add', 'map_query_add(int, int)', retry => '{"max_attempts": 1}');
CREATE PROCEDURE map_query_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
CREATE FUNCTION map_query_try(sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    code text; msg text; hint text;
BEGIN
    EXECUTE sql INTO msg;
    RETURN 'returns ' || coalesce(msg, 'null');
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, msg = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
    RETURN code || ': ' || regexp_replace(msg, 'task \d+', 'task N') || coalesce(' / ' || nullif(regexp_replace(hint, 'functions:.*', 'functions: ...'), ''), '');
END $$;

-- an item: a jsonb as it is, any other single value and rows as to_jsonb has them; NULL is null
CREATE FUNCTION map_query_items(query text) RETURNS TABLE (index bigint, item jsonb) LANGUAGE plpgsql AS $$
DECLARE
    id bigint := stent.map_query('map_query_echo', query, 2);
BEGIN
    WHILE stent.run() > 0 LOOP END LOOP;
    RETURN QUERY SELECT r.index, r.result FROM stent.map_results(id) r;
END $$;
SELECT * FROM map_query_items($$VALUES ('{"a": [1, {}]}'::jsonb), ('7'), (NULL), ('"x"')$$);
SELECT * FROM map_query_items($$SELECT n FROM generate_series(1, 5) n$$);
SELECT * FROM map_query_items($$SELECT t FROM unnest(ARRAY['a', NULL, 'ü"']) t$$);
SELECT * FROM map_query_items($$SELECT n AS "a b", ARRAY[n, NULL] AS l, NULL::text AS t, '[1]'::jsonb AS j FROM generate_series(1, 2) n$$);
SELECT * FROM map_query_items($$SELECT timestamp '2026-01-01 10:00', 1.50$$);
SELECT * FROM map_query_items($$SELECT x FROM (VALUES (1, 'one')) x(n, t)$$);
SELECT * FROM map_query_items('TABLE stent.workers');
SELECT * FROM map_query_items(' -- nothing else
    WITH a AS (SELECT 1 AS n) SELECT n FROM a ; ');
-- a statement with RETURNING is one with rows
CREATE TABLE map_query_t (n int, s text);
SELECT * FROM map_query_items($$INSERT INTO map_query_t SELECT n, 'x' FROM generate_series(1, 3) n RETURNING n$$);
SELECT * FROM map_query_items($$WITH gone AS (DELETE FROM map_query_t WHERE n < 3 RETURNING n) SELECT n * 10 FROM gone ORDER BY 1$$);
TABLE map_query_t;

-- it is an execution, with the options of a dispatch
SELECT stent.map_query('map_query_echo', 'SELECT generate_series(1, 5)', 2, headers => '{"h": 1}', queue => 'other', priority => -1, tags => '{}', timeout => '1m', retry => '{"max_attempts": 7}', max_duration => '1d') AS map \gset
SELECT function, queue, priority, tags, state, parent_id, id = execution_id AS root, timeout, deadline, headers, retry -> 'max_attempts' AS attempts FROM stent.tasks WHERE id = :map;
SELECT count(*) AS chunks, bool_and(execution_id = :map) AS within, min(queue) AS queue, min(priority) AS priority, min(timeout) AS timeout, min(deadline) AS deadline, min(headers::text) AS headers, min(retry ->> 'max_attempts') AS attempts
FROM stent.tasks WHERE parent_id = :map;
CALL map_query_run();
SELECT stent.result_of(:map);
SELECT index, result FROM stent.map_results(:map);
-- those of the function; max_duration bounds the execution
SELECT stent.map_query('map_query_echo', 'SELECT 1') AS map \gset
SELECT queue, priority, tags, timeout, deadline FROM stent.tasks WHERE id = :map;
SELECT stent.cancel(:map);
-- the limit: chunks that are under way
SELECT stent.map_query('map_query_echo', 'SELECT generate_series(1, 10)', 2, concurrency_limit => 3) AS map \gset
SELECT count(*) FROM stent.tasks WHERE parent_id = :map;
CALL map_query_run();
SELECT stent.result_of(:map);
-- no rows: it has ended, or ends at once
SELECT stent.map_query('map_query_echo', 'SELECT 1 WHERE false') AS map \gset
CALL map_query_run();
SELECT stent.result_of(:map);
SELECT count(*) FROM stent.map_results(:map);
-- one chunk that is not full, some that are, one more
SELECT n, stent.map_query('map_query_echo', format('SELECT generate_series(1, %s)', n), 3) AS map FROM unnest('{2,3,4,6,7}'::int[]) n \g /dev/null
CALL map_query_run();
SELECT stent.result_of(id) -> 'items' AS items, stent.result_of(id) -> 'chunks' AS chunks, stent.result_of(id) -> 'completed' AS completed FROM stent.executions ORDER BY id DESC LIMIT 5;

-- it is in the caller's transaction: nothing of it is left, or seen before
BEGIN;
INSERT INTO map_query_t VALUES (77, 'mine');
SELECT stent.map_query('map_query_echo', 'SELECT n FROM map_query_t') AS map \gset
ROLLBACK;
SELECT map_query_try(format('SELECT stent.state_of(%s)', :map));
SELECT count(*) FROM stent.chunk WHERE map_id = :map;
BEGIN;
INSERT INTO map_query_t VALUES (78, 'mine');
SELECT stent.map_query('map_query_echo', 'SELECT n FROM map_query_t ORDER BY n') AS map \gset
COMMIT;
CALL map_query_run();
SELECT index, result FROM stent.map_results(:map);
-- with the rights and the search_path of the caller
SET ROLE map_query_app;
SELECT map_query_try($$SELECT stent.map_query('map_query_echo', 'SELECT n FROM map_query_t')$$);
SELECT stent.map_query('map_query_echo', 'SELECT current_user::text') AS map \gset
RESET ROLE;
SELECT index, result FROM stent.map_results(:map);
SET SESSION AUTHORIZATION map_query_app;
SELECT stent.run() > 0 AS ran;
SELECT index, result FROM stent.map_results(:map);
RESET SESSION AUTHORIZATION;
CREATE SCHEMA map_query_s;
CREATE TABLE map_query_s.map_query_u AS SELECT 'found'::text AS w;
SET search_path = map_query_s, public;
SELECT index, item FROM map_query_items('TABLE map_query_u');
RESET search_path;

-- what is no query
SELECT map_query_try(format('SELECT stent.map_query(''map_query_echo'', %L)', q)) FROM unnest(ARRAY[
    'INSERT INTO map_query_t VALUES (1, ''never'')', 'DELETE FROM map_query_t', 'CREATE TABLE map_query_v (n int)', 'SELECT 1 AS n INTO map_query_v', 'SHOW work_mem', 'EXPLAIN SELECT 1',
    'SELECT 1; SELECT 2', '', '--', 'SELECT', 'SELECT $1', 'SELEC 1', 'SELECT 1 AS a, 2 AS b, 3 AS a', 'SELECT 1, 2', 'COMMIT', 'COPY map_query_t TO STDOUT', 'DO $$BEGIN END$$', 'CALL map_query_run()',
    'SELECT 1/n FROM generate_series(-1, 1) n', 'TABLE map_query_none']) q;
SELECT map_query_try('SELECT stent.map_query(''map_query_echo'', NULL)');
SELECT map_query_try('SELECT stent.map_query(NULL, ''SELECT 1'')');
SELECT map_query_try('SELECT stent.map_query(''map_query_nobody'', ''SELECT 1'')');
SELECT map_query_try(format('SELECT stent.map_query(''map_query_echo'', ''SELECT 1'', %s)', o)) FROM unnest(ARRAY['0', '-1', '100001', 'NULL', 'concurrency_limit => 0', 'on_error => ''stop''', 'on_error => NULL', 'priority => 101', 'max_duration => ''-1s''', 'step_name => ''s''']) o;
TABLE map_query_t;
-- an item that is too large is refused with its number
SET stent.max_payload_size = '1kB';
SELECT map_query_try('SELECT stent.map_query(''map_query_echo'', ''SELECT repeat(md5(n::text), n * 10) FROM generate_series(1, 10) n'', 2)');
RESET stent.max_payload_size;
SELECT map_query_try('SELECT stent.map_query(''map_query_echo'', ''SELECT 1'') FROM (SELECT set_config(''transaction_read_only'', ''on'', true)) r');

-- items that fail fail the map, with the first of them; with on_error => 'collect' they do not
SELECT stent.map_query('map_query_add', 'SELECT a, 1 AS b FROM (VALUES (1), (2), (-3), (4), (-5), (6)) v(a)', 4) AS map \gset
CALL map_query_run();
SELECT map_query_try(format('SELECT stent.result_of(%s)', :map));
SELECT index, result, error ->> 'message' AS error FROM stent.map_results(:map);
SELECT stent.map_query('map_query_add', 'SELECT a FROM (VALUES (1), (-3), (4)) v(a)', 4, on_error => 'collect') AS map \gset
CALL map_query_run();
SELECT stent.result_of(:map);
SELECT index, result, error ->> 'code' AS code, error ->> 'message' AS error FROM stent.map_results(:map);

-- in a handler: a local step that gives the id, to be awaited or not
CREATE FUNCTION map_query_workflow(n int, mine boolean DEFAULT false) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    first bigint;
    second bigint;
    summary jsonb;
BEGIN
    IF mine THEN
        INSERT INTO map_query_t VALUES (1000, 'uncommitted');
    END IF;
    first := stent.map_query('map_query_add', format('SELECT a FROM generate_series(1, %s) a', n), 2);
    second := stent.map_query('map_query_echo', 'SELECT n FROM map_query_t WHERE n = 1000', step_name => 'own');
    summary := stent.await(first);
    RETURN jsonb_build_object('items', summary -> 'items', 'sum', (SELECT sum((r.result #>> '{}')::int) FROM stent.map_results(first) r),
                              'own', (stent.await(second) -> 'items'));
END $$;
SELECT stent.register('map_query_workflow', 'map_query_workflow(int, boolean)');
SELECT stent.dispatch('map_query_workflow', '{"n": 5, "mine": true}') AS root \gset
CALL map_query_run();
SELECT stent.result_of(:root);
SELECT s.name, s.kind, s.state, f.name AS function, jsonb_typeof(s.result) AS result FROM stent.step s LEFT JOIN stent.function f ON f.id = s.function_id WHERE s.task_id = :root ORDER BY s.position;
SELECT function, parent_id = :root AS child, execution_id = :root AS within, deadline, state FROM stent.tasks WHERE parent_id = :root ORDER BY id;
SELECT count(*) FROM map_query_t WHERE n = 1000;
-- an error of the query is the step's, and can be caught
CREATE FUNCTION map_query_catch() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM stent.map_query('map_query_echo', 'SELECT 1/n FROM generate_series(1, 0, -1) n', 1);
    RETURN 'no error';
EXCEPTION WHEN division_by_zero THEN
    RETURN SQLERRM;
END $$;
SELECT stent.register('map_query_catch', 'map_query_catch()', retry => '{"max_attempts": 1}');
SELECT stent.dispatch('map_query_catch') AS root \gset
CALL map_query_run();
SELECT stent.result_of(:root);
SELECT count(*) FROM stent.tasks WHERE parent_id = :root;
-- max_duration is the execution's; another query than before is a mismatch
CREATE FUNCTION map_query_wrong(what text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    id bigint;
BEGIN
    id := CASE what WHEN 'duration' THEN stent.map_query('map_query_echo', 'SELECT 1', max_duration => '1h')
                    ELSE stent.map_query('map_query_echo', format('SELECT %s', (SELECT count(*) FROM stent.step WHERE task_id = stent.task_id()))) END;
    PERFORM stent.await(id);
    RETURN 'no error';
END $$;
SELECT stent.register('map_query_wrong', 'map_query_wrong(text)', retry => '{"max_attempts": 1}');
SELECT stent.dispatch('map_query_wrong', '{"what": "duration"}') AS duration, stent.dispatch('map_query_wrong', '{"what": "mismatch"}') AS mismatch \gset
CALL map_query_run();
SELECT map_query_try(format('SELECT stent.result_of(%s)', id)) FROM unnest(ARRAY[:duration, :mismatch]) id;

-- cancelled with its chunks
SELECT stent.map_query('map_query_echo', 'SELECT generate_series(1, 10)', 2) AS map \gset
SELECT stent.cancel(:map);
SELECT state, count(*) FROM stent.tasks WHERE execution_id = :map GROUP BY state;
CALL map_query_run();
SELECT count(*) FROM stent.map_results(:map);
SELECT (SELECT count(*) FROM stent.task) AS tasks, (SELECT count(*) FROM stent.ready) AS ready, (SELECT count(*) FROM stent.due) AS due, (SELECT count(*) FROM stent.child) AS children;
SELECT bool_and(stent.discard(id)) AS discarded FROM stent.dead_letters WHERE function LIKE 'map\_query%';
SELECT count(stent.unregister('map_query_' || n)) FROM unnest('{echo,add,workflow,catch,wrong}'::text[]) n;
