-- Items of a chunk share a transaction, and leave nothing for the next one.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';
CREATE PROCEDURE mh_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
CREATE FUNCTION mh_map(f text, n int DEFAULT 3, chunk_size int DEFAULT 1000) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN stent.map(f, (SELECT jsonb_agg(i) FROM generate_series(1, n) i), chunk_size => chunk_size, on_error => 'collect', retry => '{"max_attempts": 1}'); END $$;
SELECT stent.register('mh_map', 'mh_map(text, int, int)', retry => '{"max_attempts": 1}');
CREATE VIEW mh_last AS SELECT state, jsonb_path_query_array(result, '$[*].result') AS results, jsonb_path_query_array(result, '$[*].error.message') AS errors FROM stent.executions ORDER BY id DESC LIMIT 1;

-- settings
CREATE FUNCTION mh_setting(n int) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    seen jsonb := jsonb_build_array(current_setting('work_mem'), current_setting('mh.x', true), current_setting('search_path'));
BEGIN
    PERFORM set_config('work_mem', '77kB', n % 2 = 0), set_config('mh.x', 'left', false), set_config('search_path', 'nowhere', false);
    RETURN seen;
END $$;
SELECT stent.register('mh_setting', 'mh_setting(int)');
SELECT count(stent.dispatch('mh_map', '{"f": "mh_setting"}'));
CALL mh_run();
SELECT * FROM mh_last;
SELECT current_setting('work_mem') AS work_mem, current_setting('mh.x', true) AS x, current_setting('search_path') AS search_path;

-- temporary objects, also with deferred constraints
CREATE FUNCTION mh_temp(n int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    CREATE TEMP TABLE mh_t (x int UNIQUE DEFERRABLE INITIALLY DEFERRED);
    INSERT INTO mh_t VALUES (n), (CASE n WHEN 2 THEN 2 ELSE 0 END);
    RETURN (SELECT sum(x) FROM mh_t);
END $$;
SELECT stent.register('mh_temp', 'mh_temp(int)');
SELECT count(stent.dispatch('mh_map', '{"f": "mh_temp"}'));
CALL mh_run();
SELECT * FROM mh_last;
SELECT to_regclass('pg_temp.mh_t');

-- cursors
CREATE FUNCTION mh_cursor(n int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    c refcursor := 'mh_c';
BEGIN
    OPEN c FOR SELECT n;
    RETURN (SELECT count(*) FROM pg_cursors WHERE name = 'mh_c');
END $$;
SELECT stent.register('mh_cursor', 'mh_cursor(int)');
SELECT count(stent.dispatch('mh_map', '{"f": "mh_cursor"}'));
CALL mh_run();
SELECT * FROM mh_last;
SELECT count(*) FROM pg_cursors WHERE name = 'mh_c';

-- each sees what those before it did, and what the handler notes is noted once
CREATE TABLE mh_row (n int);
CREATE FUNCTION mh_see(n int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    PERFORM stent.counter_add('seen', 1), stent.progress('item ' || n), stent.context_set('last', to_jsonb(n));
    INSERT INTO mh_row VALUES (n);
    IF n = 4 THEN
        RAISE EXCEPTION 'four';
    END IF;
    RETURN (SELECT count(*) FROM mh_row);
END $$;
SELECT stent.register('mh_see', 'mh_see(int)');
SELECT count(stent.dispatch('mh_map', '{"f": "mh_see", "n": 100}'));
CALL mh_run();
SELECT results = (SELECT jsonb_agg(i) FROM generate_series(1, 99) i) AS all_seen, errors FROM mh_last;
SELECT sum(delta) FROM stent.counter WHERE name = 'seen';
SELECT value FROM stent.context WHERE key = 'last';
SELECT count(*), count(DISTINCT step), bool_or(step = 'item 4') AS four FROM stent.progress WHERE step LIKE 'item %';

-- who an item is, as far as its chunk is
CREATE FUNCTION mh_who(n int) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN jsonb_build_array(stent.task_id() = (SELECT max(task_id) FROM stent.chunk), stent.execution_id() = (SELECT max(id) FROM stent.executions), stent.attempt(), current_user); END $$;
SELECT stent.register('mh_who', 'mh_who(int)');
SELECT count(stent.dispatch('mh_map', '{"f": "mh_who", "n": 1}'));
CALL mh_run();
SELECT * FROM mh_last;

-- few subtransactions: a chunk that writes leaves room for others in the commit
CREATE FUNCTION mh_write(n int) RETURNS int LANGUAGE sql AS 'INSERT INTO mh_row VALUES (n) RETURNING n';
SELECT stent.register('mh_write', 'mh_write(int)');
SELECT count(stent.dispatch('mh_map', '{"f": "mh_write", "n": 1000}'));
CALL mh_run();
SELECT jsonb_array_length(results) AS results, errors FROM mh_last;
BEGIN;
TRUNCATE mh_row;
SELECT count(stent.dispatch('mh_map', '{"f": "mh_write", "n": 10000, "chunk_size": 10000}'));
SELECT stent.run(1);
SELECT stent.run(1);
SELECT count(DISTINCT xmin::text) BETWEEN 2 AND 32 AS few FROM mh_row;
COMMIT;
CALL mh_run();
-- progress is told by chunk, by what is there anyway
SELECT count(stent.dispatch('mh_map', '{"f": "mh_write", "n": 25, "chunk_size": 10}'));
CALL mh_run();
SELECT function, step, status, detail FROM stent.progress WHERE execution_id = (SELECT max(id) FROM stent.executions) AND step LIKE 'chunk%' ORDER BY step;
SET stent.clock = '2026-03-01';
SELECT stent.purge_dead_letters('0') >= 0 AS purged;
