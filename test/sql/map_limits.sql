-- How many chunks of a map are tasks at once; cancel, timeout and deadline.
\set VERBOSITY terse
-- what other tests have left, after it was cleaned up
SET stent.clock = '2026-02-01 12:00';
SELECT count(stent.purge_dead_letters('1h')), count(stent.cleanup('1h')) FROM generate_series(1, 1);
CREATE VIEW ml_rows AS
SELECT (SELECT count(*) FROM stent.map) AS maps, (SELECT count(*) FROM stent.chunk) AS chunks, (SELECT count(*) FROM stent.item) AS items, (SELECT count(*) FROM stent.payload) AS values, (SELECT count(*) FROM stent.step) AS steps;
CREATE TABLE ml_before AS TABLE ml_rows;
CREATE VIEW ml_more_than_before AS
SELECT r.maps - b.maps AS maps, r.chunks - b.chunks AS chunks, r.items - b.items AS items, r.values - b.values AS values, r.steps - b.steps AS steps FROM ml_rows r, ml_before b;
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';
CREATE PROCEDURE ml_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
CREATE TABLE ml_effect (n int);
CREATE FUNCTION ml_item(n int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ml_effect VALUES (n);
    -- the clock is part of the story: see timeout and deadline
    IF n < 0 THEN
        PERFORM pg_sleep(600);
    END IF;
    RETURN n;
END $$;
CREATE FUNCTION ml_map(f text, items jsonb, size int, lim int DEFAULT NULL, timeout text DEFAULT NULL, attempts int DEFAULT 1, on_error text DEFAULT 'fail') RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    RETURN stent.map(f, items, chunk_size => size, concurrency_limit => lim, timeout => timeout::interval, on_error => on_error, retry => jsonb_build_object('max_attempts', attempts, 'initial_delay', '1s', 'jitter', 0));
END $$;
SELECT stent.register('ml_item', 'ml_item(int)'), stent.register('ml_map', 'ml_map(text, jsonb, int, int, text, int, text)', retry => '{"max_attempts": 1}'),
       stent.register('ml_rated', 'ml_item(int)', rate_limit => 2, rate_interval => '1s'), stent.register('ml_external'), stent.register('ml_external_max', max_concurrent => 2), stent.register('ml_sql_max', 'ml_item(int)', max_concurrent => 1);
CREATE FUNCTION ml_dispatch(f text, n int, size int, lim int DEFAULT NULL, more jsonb DEFAULT '{}') RETURNS bigint LANGUAGE sql AS $$
SELECT stent.dispatch('ml_map', jsonb_build_object('f', f, 'items', (SELECT jsonb_agg(i) FROM generate_series(1, n) i), 'size', size, 'lim', lim) || more) $$;
CREATE VIEW ml_state AS SELECT m.items, m.chunk_size, m.chunks, m.started, m.at_once, (SELECT count(*) FROM stent.child c WHERE c.parent_id = m.id) AS live, (SELECT count(*) FROM stent.chunk c WHERE c.map_id = m.id AND c.finished_at IS NOT NULL) AS finished, m.peak FROM stent.map m ORDER BY id DESC LIMIT 1;
CREATE VIEW ml_last AS SELECT state, result, error ->> 'code' AS code, error ->> 'message' AS message FROM stent.executions ORDER BY id DESC LIMIT 1;

-- no more than the limit
SELECT count(ml_dispatch('ml_item', 10, 2, 2));
SELECT stent.run(1);
SELECT * FROM ml_state;
SELECT stent.run(1);
SELECT * FROM ml_state;
SELECT stent.run(1), stent.run(1);
SELECT * FROM ml_state;
CALL ml_run();
SELECT * FROM ml_state;
SELECT * FROM ml_last;
-- the session's pool by default
SET stent.task_pool_size = 3;
SELECT count(ml_dispatch('ml_item', 10, 1));
SELECT stent.run(1);
SELECT * FROM ml_state;
CALL ml_run();
RESET stent.task_pool_size;
-- a limit of any size
SELECT count(ml_dispatch('ml_item', 5, 1, 2147483647));
SELECT stent.run(1);
SELECT * FROM ml_state;
CALL ml_run();
-- what runs on workers has all items of a chunk in flight
SELECT count(ml_dispatch('ml_external', 20, 1000, 6));
SELECT count(ml_dispatch('ml_external', 20, 3, 7));
SELECT count(ml_dispatch('ml_external_max', 4, 1000, 10));
SELECT stent.run(3);
SELECT chunk_size, chunks, started, at_once, (SELECT max(items) FROM stent.chunk WHERE map_id = m.id) FROM stent.map m ORDER BY id DESC LIMIT 3;
SELECT count(stent.cancel(id)) FROM stent.executions WHERE finished_at IS NULL;
-- a token for each item; a place for each chunk that runs its items one after the other
SELECT count(ml_dispatch('ml_rated', 5, 1000, 10));
SELECT count(ml_dispatch('ml_sql_max', 5, 3, 10));
CALL ml_run();
SELECT chunk_size, chunks, started, (SELECT count(*) FROM stent.chunk c WHERE c.map_id = m.id AND c.finished_at IS NOT NULL) AS finished FROM stent.map m ORDER BY id DESC LIMIT 2;
SET stent.clock = '2026-01-01 00:00:10';
CALL ml_run();
SELECT count(*) FROM stent.chunk c WHERE c.map_id = (SELECT max(id) FROM stent.map WHERE chunk_size = 1) AND c.finished_at IS NOT NULL;
SET stent.clock = '2026-01-01 00:00:11';
CALL ml_run();
SELECT state, result FROM stent.executions ORDER BY id DESC LIMIT 2;

-- cancelled in the middle: what is done stays done, nothing runs any more
TRUNCATE ml_effect;
SELECT ml_dispatch('ml_item', 10, 2, 2) AS id \gset
SELECT stent.run(1);
SELECT stent.run(1);
SELECT stent.cancel(:id);
CALL ml_run();
SELECT * FROM ml_state;
SELECT state, count(*) FROM stent.tasks WHERE execution_id = :id GROUP BY state ORDER BY state;
SELECT count(*) FROM ml_effect;
SELECT * FROM ml_last;
-- one chunk that is cancelled, by whoever knows its id, fails the map
SELECT ml_dispatch('ml_item', 6, 2, 2) AS id \gset
SELECT stent.run(1);
SELECT stent.cancel(task_id) FROM stent.chunk WHERE map_id = (SELECT max(id) FROM stent.map) AND number = 1;
CALL ml_run();
SELECT * FROM ml_state;
SELECT * FROM ml_last;

-- an attempt that takes too long: what was done stays, what was not is tried again or fails
TRUNCATE ml_effect;
SELECT count(ml_dispatch('ml_item', 40, 1000, NULL, '{"items": [1, 2, 3, -4, 5], "timeout": "500ms", "attempts": 2, "on_error": "collect"}'));
CALL ml_run();
SELECT attempt, completed, failed, open FROM stent.chunk WHERE map_id = (SELECT max(id) FROM stent.map);
SELECT * FROM ml_effect ORDER BY n;
SET stent.clock = '2026-01-01 00:00:30';
CALL ml_run();
SELECT attempt, completed, failed, open FROM stent.chunk WHERE map_id = (SELECT max(id) FROM stent.map);
SELECT number, attempt, error ->> 'code' AS code, error ->> 'message' AS message FROM stent.item WHERE map_id = (SELECT max(id) FROM stent.map) ORDER BY number;
SELECT args, error_code FROM stent.dead_letters WHERE execution_id = (SELECT max(id) FROM stent.executions) ORDER BY id;
-- the execution's time is over
SELECT count(stent.dispatch('ml_map', '{"f": "ml_item", "items": [1, 2, 3], "size": 1, "lim": 1}', max_duration => '10s'));
SELECT stent.run(1);
SELECT stent.run(1);
SET stent.clock = '2026-01-01 00:00:41';
CALL ml_run();
SELECT * FROM ml_state;
SELECT state, count(*) FROM stent.tasks WHERE execution_id = (SELECT max(id) FROM stent.executions) GROUP BY state ORDER BY state;

-- when history goes, all of a map goes
SELECT count(*) > 0 AS chunks, (SELECT count(*) > 0 FROM stent.map) AS maps, (SELECT count(*) > 0 FROM stent.item) AS items FROM stent.chunk;
SELECT count(ml_dispatch('ml_item', 2000, 500, 2));
CALL ml_run();
SELECT count(*) > 0 AS values FROM stent.payload;
SET stent.clock = '2026-02-01';
SELECT stent.purge_dead_letters('1h') > 0 AS purged;
SELECT stent.cleanup() > 0 AS cleaned;
SELECT * FROM ml_more_than_before;
-- those of a single day, too
SELECT count(ml_dispatch('ml_item', 2000, 500, 2));
CALL ml_run();
SET stent.clock = '2026-02-01 12:00';
SELECT stent.cleanup('1h') > 0 AS cleaned;
SELECT * FROM ml_more_than_before;
SELECT (SELECT count(*) FROM stent.task) AS tasks, (SELECT count(*) FROM stent.ready) AS ready, (SELECT count(*) FROM stent.due) AS due, (SELECT count(*) FROM stent.child) AS children;
