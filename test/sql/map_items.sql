-- map and starmap: what items are, chunks, order of results.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';
CREATE FUNCTION mi_whole(j jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN jsonb_build_array(j); END $$;
CREATE FUNCTION mi_add(a int, b int DEFAULT 10, c int DEFAULT 100) RETURNS int LANGUAGE sql AS 'SELECT a + b + c';
CREATE FUNCTION mi_two(a int, b text) RETURNS text LANGUAGE sql AS $$ SELECT a || b $$;
CREATE FUNCTION mi_list(a int[]) RETURNS int LANGUAGE sql AS 'SELECT cardinality(a)';
CREATE FUNCTION mi_void(a int) RETURNS void LANGUAGE sql AS '';
CREATE FUNCTION mi_none() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION mi_strict(a int) RETURNS int LANGUAGE sql STRICT AS 'SELECT 1';
-- runs a statement that gives one jsonb
CREATE FUNCTION mi_do(sql text) RETURNS jsonb LANGUAGE plpgsql AS $$ DECLARE r jsonb; BEGIN EXECUTE sql INTO r; RETURN r; END $$;
SELECT count(stent.register(split_part(f, '(', 1), f::regprocedure)) FROM unnest(ARRAY['mi_whole(jsonb)', 'mi_add(int,int,int)', 'mi_two(int,text)', 'mi_list(int[])', 'mi_void(int)', 'mi_none()', 'mi_strict(int)', 'mi_do(text)']) f;
CREATE PROCEDURE mi_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
CREATE FUNCTION mi_dispatch(sql text) RETURNS bigint LANGUAGE sql AS $$ SELECT stent.dispatch('mi_do', jsonb_build_object('sql', sql), retry => '{"max_attempts": 1}') $$;
CREATE VIEW mi_last AS SELECT state, COALESCE(result, error - 'context' - 'retryable') AS outcome FROM stent.executions ORDER BY id DESC LIMIT 1;

-- any item as it is
SELECT count(mi_dispatch($$SELECT stent.map('mi_whole', '[1, "two", null, true, [3, 4], {"five": 6}, 7.5, [], {}, ""]')$$));
CALL mi_run();
SELECT * FROM mi_last;
-- by name, and by the one parameter that is needed
SELECT count(mi_dispatch($$SELECT stent.map('mi_add', '[1, {"a": 1, "b": 1}, "3", {"a": 1, "c": 0}, null]')$$));
CALL mi_run();
SELECT * FROM mi_last;
SELECT count(mi_dispatch($$SELECT stent.map('mi_list', '[[1, 2, 3], [], {"a": [1]}]')$$));
CALL mi_run();
SELECT * FROM mi_last;
-- an item that does not fit is that item's failure
SELECT count(mi_dispatch($$SELECT stent.map('mi_two', '[{"a": 1, "b": "x"}, 1, {"a": 1}, {"a": 1, "b": "x", "d": 1}, {"a": "no", "b": "x"}]', on_error => 'collect', retry => '{"max_attempts": 1}')$$));
CALL mi_run();
SELECT jsonb_pretty(outcome) FROM mi_last;
-- starmap: by position, by name, or one
SELECT count(mi_dispatch($$SELECT stent.starmap('mi_add', '[[1], [1, 2], [1, 2, 3], {"a": 1, "c": 1}, 5]')$$));
CALL mi_run();
SELECT * FROM mi_last;
SELECT count(mi_dispatch($$SELECT stent.starmap('mi_whole', '[[1], [[1, 2]], {"a": [1]}, 5]')$$));
CALL mi_run();
SELECT * FROM mi_last;
SELECT count(mi_dispatch($$SELECT stent.starmap('mi_two', '[[1, "x"], [], [1, "x", 3], [1]]', on_error => 'collect', retry => '{"max_attempts": 1}')$$));
CALL mi_run();
SELECT jsonb_path_query_array(outcome, '$[*].error.message') AS messages, outcome -> 0 AS first FROM mi_last;
SELECT count(mi_dispatch($$SELECT stent.starmap('mi_whole', '[[], [1, 2]]', on_error => 'collect', retry => '{"max_attempts": 1}')$$));
CALL mi_run();
SELECT jsonb_path_query_array(outcome, '$[*].error.message') AS messages FROM mi_last;
SELECT count(mi_dispatch($$SELECT stent.starmap('mi_none', '[[], {}]')$$));
CALL mi_run();
SELECT * FROM mi_last;
-- nothing is JSON null, and so is what a strict function gives for it
SELECT count(mi_dispatch($$SELECT stent.map('mi_void', '[1, 2]') || stent.map('mi_strict', '[1, null]')$$));
CALL mi_run();
SELECT * FROM mi_last;

-- no items
SELECT count(mi_dispatch($$SELECT stent.map('mi_whole', '[]')$$));
CALL mi_run();
SELECT * FROM mi_last;
SELECT items, chunks, started, peak FROM stent.map ORDER BY id DESC LIMIT 1;
SELECT state, result FROM stent.tasks WHERE id = (SELECT max(id) FROM stent.map);

-- chunks of any size give the same
SELECT count(mi_dispatch(format($$SELECT stent.map('mi_add', (SELECT jsonb_agg(i) FROM generate_series(1, 10) i), chunk_size => %s)$$, n))) FROM unnest(ARRAY[1, 3, 5, 10, 11]) n;
CALL mi_run();
SELECT count(*), result FROM (SELECT * FROM stent.executions ORDER BY id DESC LIMIT 5) e GROUP BY result;
SELECT m.chunk_size, m.chunks, string_agg(format('%s:%s+%s', c.number, c.first_item, c.items), ' ' ORDER BY c.number) AS chunks, sum(c.completed) AS completed
FROM stent.map m JOIN stent.chunk c ON c.map_id = m.id WHERE m.items = 10 GROUP BY m.id ORDER BY m.chunk_size;
-- long arrays: alignment, and the entries that tell where they are
SELECT count(mi_dispatch($$SELECT to_jsonb(stent.map('mi_whole', i, chunk_size => 37) = (SELECT jsonb_agg(jsonb_build_array(v) ORDER BY n) FROM jsonb_array_elements(i) WITH ORDINALITY e (v, n)))
FROM (SELECT jsonb_agg(CASE n % 6 WHEN 0 THEN to_jsonb(n) WHEN 1 THEN to_jsonb(repeat('x', n % 7)) WHEN 2 THEN to_jsonb(n::numeric / 7) WHEN 3 THEN jsonb_build_object(repeat('k', n % 5), n) WHEN 4 THEN 'null' ELSE jsonb_build_array(n, 'y', NULL, n % 2 = 0) END) AS i FROM generate_series(1, 500) n) s$$));
CALL mi_run();
SELECT * FROM mi_last;
-- large items and results, kept beside the rows
SELECT count(mi_dispatch($$SELECT to_jsonb(length(stent.map('mi_whole', (SELECT jsonb_agg(repeat(md5(n::text), 100)) FROM generate_series(1, 40) n), chunk_size => 15)::text))$$));
CALL mi_run();
SELECT * FROM mi_last;

-- options
CREATE FUNCTION mi_attempt(options text) RETURNS bigint LANGUAGE sql AS $$ SELECT mi_dispatch(format('SELECT stent.map(%s)', options)) $$;
SELECT count(mi_attempt(o)) FROM unnest(ARRAY[$$NULL, '[]'$$, $$'mi_whole', NULL$$, $$'nobody', '[]'$$, $$'mi_whole', '{}'$$, $$'mi_whole', '5'$$,
    $$'mi_whole', '[]', chunk_size => 0$$, $$'mi_whole', '[]', chunk_size => NULL$$, $$'mi_whole', '[]', chunk_size => 100001$$, $$'mi_whole', '[]', concurrency_limit => 0$$, $$'mi_whole', '[]', concurrency_limit => -1$$,
    $$'mi_whole', '[]', on_error => 'ignore'$$, $$'mi_whole', '[]', on_error => NULL$$, $$'mi_whole', '[]', step_name => ''$$, $$'mi_whole', '[]', priority => 101$$, $$'mi_whole', '[]', timeout => '-1s'$$]) o;
CALL mi_run();
SELECT error ->> 'code' AS code, error ->> 'message' AS message FROM (SELECT * FROM stent.executions ORDER BY id DESC LIMIT 15) e ORDER BY id;
-- they are those of the chunks
SELECT count(mi_attempt($$'mi_whole', '[1, 2]', chunk_size => 1, concurrency_limit => 7, queue => 'mi_q', priority => 5, tags => '{a,b}', timeout => '3s', retry => '{"max_attempts": 7}', headers => '{"h": 1}', step_name => 'mapped'$$));
CALL mi_run();
SELECT parent_id = execution_id AS of_root, args, queue, state, priority, tags, timeout, max_attempts, headers FROM stent.tasks WHERE execution_id = (SELECT max(id) FROM stent.executions) AND parent_id IS NOT NULL ORDER BY id;
SELECT name, kind, state FROM stent.step WHERE task_id = (SELECT max(id) FROM stent.executions);
-- an item over the limit is refused before anything is made
SET stent.max_payload_size = '1kB';
SELECT count(mi_attempt($$'mi_whole', to_jsonb(ARRAY['a', repeat('x', 2000)])$$));
CALL mi_run();
SELECT error ->> 'code' AS code, error ->> 'message' AS message FROM stent.executions ORDER BY id DESC LIMIT 1;
RESET stent.max_payload_size;

-- nothing is left over
SELECT (SELECT count(*) FROM stent.task) AS tasks, (SELECT count(*) FROM stent.ready) AS ready, (SELECT count(*) FROM stent.due) AS due, (SELECT count(*) FROM stent.child) AS children;
SET stent.clock = '2026-03-01';
SELECT stent.purge_dead_letters('0') >= 0 AS purged;
