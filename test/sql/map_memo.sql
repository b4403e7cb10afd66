-- Items of idempotent and cached functions: what was done before is a hit.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';
CREATE TABLE mm_effect (item jsonb);
CREATE FUNCTION mm_item(j jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO mm_effect VALUES (j);
    IF j ->> 'fail' = 'yes' THEN
        RAISE EXCEPTION 'as asked for';
    END IF;
    RETURN jsonb_build_array(j);
END $$;
CREATE FUNCTION mm_map(f text, items jsonb, size int DEFAULT 1000) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN stent.map(f, items, chunk_size => size, on_error => 'collect', retry => '{"max_attempts": 1}'); END $$;
SELECT stent.register('mm_once', 'mm_item(jsonb)', idempotent => true), stent.register('mm_cached', 'mm_item(jsonb)', cached => true, cache_ttl => '1h'),
       stent.register('mm_plain', 'mm_item(jsonb)'), stent.register('mm_map', 'mm_map(text, jsonb, int)', retry => '{"max_attempts": 1}');
CREATE PROCEDURE mm_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
CREATE FUNCTION mm_do(f text, items jsonb, size int DEFAULT 1000) RETURNS bigint LANGUAGE sql AS $$ DELETE FROM mm_effect; SELECT stent.dispatch('mm_map', jsonb_build_object('f', f, 'items', items, 'size', size)) $$;
CREATE VIEW mm_last AS SELECT (SELECT jsonb_path_query_array(result, '$[*].result') FROM stent.executions ORDER BY id DESC LIMIT 1) AS results, (SELECT jsonb_agg(item) FROM mm_effect) AS ran, (SELECT string_agg(format('%s+%s-%s', completed, hits, failed), ' ' ORDER BY number) FROM stent.chunk WHERE map_id = (SELECT max(id) FROM stent.map)) AS chunks;

-- a function that remembers nothing
SELECT count(mm_do('mm_plain', '[1, 1, 2]'));
CALL mm_run();
SELECT * FROM mm_last;
-- equal items of a chunk run once, and the next map hits what this one did
SELECT count(mm_do('mm_once', '[1, 2, 1, {"a": 3}, 2.0]'));
CALL mm_run();
SELECT * FROM mm_last;
SELECT count(mm_do('mm_once', '[5, {"a": 3}, 1, 6]'));
CALL mm_run();
SELECT * FROM mm_last;
SELECT result FROM stent.tasks WHERE id = (SELECT max(id) FROM stent.map);
-- also in another chunk of the same map
SELECT count(mm_do('mm_once', '[7, 8, 7, 8, 1]', 2));
CALL mm_run();
SELECT * FROM mm_last;
-- presence decides
SELECT count(mm_do('mm_once', '[0, false, "", [], {}, null]'));
CALL mm_run();
SELECT count(mm_do('mm_once', '[0, false, "", [], {}, null]'));
CALL mm_run();
SELECT * FROM mm_last;
-- failures are not remembered, and fail equal items with them
SELECT count(mm_do('mm_once', '[{"fail": "yes"}, 9, {"fail": "yes"}]'));
CALL mm_run();
SELECT * FROM mm_last;
SELECT count(mm_do('mm_once', '[{"fail": "yes"}, 9]'));
CALL mm_run();
SELECT * FROM mm_last;
-- what a task of its own did is a hit as well
SELECT count(stent.dispatch('mm_once', '{"b": 1}'));
CALL mm_run();
SELECT count(mm_do('mm_once', '[{"b": 1}]'));
CALL mm_run();
SELECT * FROM mm_last;
-- and the other way round: a task that is done at once
DELETE FROM mm_effect;
SELECT stent.dispatch('mm_once', '{"a": 3}') AS id \gset
CALL mm_run();
SELECT state, result, (SELECT count(*) FROM mm_effect) AS ran FROM stent.executions WHERE id = :id;
SELECT stent.dispatch('mm_once', '{"a": 3}') = :id AS same;
CREATE TABLE mm_many AS SELECT * FROM stent.dispatch_many('mm_once', ARRAY['{"c": 1}', '5']::jsonb[]) WITH ORDINALITY d (id, n);
SELECT n, state, result FROM mm_many JOIN stent.executions USING (id) ORDER BY n;
CALL mm_run();
SELECT * FROM mm_effect;

-- cached: as long as its time lasts, from the end of the chunk
SELECT count(mm_do('mm_cached', '[1, 2]'));
CALL mm_run();
SELECT * FROM mm_last;
SET stent.clock = '2026-01-01 00:59:59';
SELECT count(mm_do('mm_cached', '[2, 3]'));
CALL mm_run();
SELECT * FROM mm_last;
SET stent.clock = '2026-01-01 01:00:00';
SELECT count(mm_do('mm_cached', '[1, 2, 3]'));
CALL mm_run();
SELECT * FROM mm_last;
SET stent.clock = '2026-01-01 01:30:00';
SELECT count(mm_do('mm_cached', '[1, 2, 3]'));
CALL mm_run();
SELECT * FROM mm_last;
-- a list of arguments is another call than an equal array, and the same as an equal list
CREATE FUNCTION mm_star(f text, items jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN stent.starmap(f, items, on_error => 'collect'); END $$;
SELECT stent.register('mm_star', 'mm_star(text, jsonb)');
SELECT count(mm_do('mm_once', '[["x"], "x"]'));
CALL mm_run();
SELECT * FROM mm_last;
SELECT count(stent.dispatch('mm_star', '{"f": "mm_once", "items": [["x"], "x", [["x"]]]}'));
CALL mm_run();
SELECT results, chunks FROM mm_last;
SELECT count(stent.dispatch('mm_star', '{"f": "mm_once", "items": [[["x"]], ["x"]]}'));
CALL mm_run();
SELECT results, chunks FROM mm_last;
-- many hits, in another order than they were made
SELECT count(mm_do('mm_once', (SELECT jsonb_agg(jsonb_build_object('many', n)) FROM generate_series(1, 300) n), 10));
CALL mm_run();
SELECT count(mm_do('mm_once', (SELECT jsonb_agg(jsonb_build_object('many', n * 37 % 311)) FROM generate_series(1, 310) n), 100));
CALL mm_run();
SELECT chunks, (SELECT bool_and(r = jsonb_build_array(jsonb_build_object('many', n * 37 % 311))) FROM jsonb_array_elements(results) WITH ORDINALITY e (r, n)) AS right_places FROM mm_last;
SET stent.clock = '2026-03-01';
SELECT stent.purge_dead_letters('0') >= 0 AS purged;
