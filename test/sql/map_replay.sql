-- Dead letters of a map's items, and of maps: replayed, discarded.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';
CREATE TABLE mr_bad (n int);
INSERT INTO mr_bad VALUES (2), (4);
CREATE FUNCTION mr_item(n int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM mr_bad b WHERE b.n = mr_item.n) THEN
        RAISE EXCEPTION 'bad: %', n;
    END IF;
    RETURN 10 * n;
END $$;
CREATE FUNCTION mr_map(on_error text, size int DEFAULT 2) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    RETURN stent.map('mr_item', '[1, 2, 3, 4, 5, 6]', chunk_size => size, concurrency_limit => 1, on_error => on_error);
END $$;
SELECT stent.register('mr_item', 'mr_item(int)', retry => '{"max_attempts": 1}'), stent.register('mr_map', 'mr_map(text, int)', retry => '{"max_attempts": 1}');
CREATE PROCEDURE mr_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
CREATE VIEW mr_last AS SELECT state, result, error - 'context' - 'detail' AS error FROM stent.executions ORDER BY id DESC LIMIT 1;
CREATE VIEW mr_map_task AS SELECT state, result, error ->> 'message' AS message FROM stent.tasks WHERE id = (SELECT max(id) FROM stent.map);
CREATE VIEW mr_dead AS SELECT d.id, args FROM stent.dead_letters d WHERE function = 'mr_item' AND d.execution_id = (SELECT max(id) FROM stent.executions) AND d.args ? 'n';

-- while the map lives: what the replay gives takes the item's place. One chunk at a time here
SELECT count(stent.dispatch('mr_map', '{"on_error": "fail"}'));
SELECT stent.run(1), stent.run(1);
SELECT args FROM mr_dead;
DELETE FROM mr_bad WHERE n = 2;
SELECT count(stent.replay(id)) FROM mr_dead;
CALL mr_run();
SELECT * FROM mr_map_task;
SELECT * FROM mr_last;
SELECT number, completed, failed FROM stent.chunk WHERE map_id = (SELECT max(id) FROM stent.map) ORDER BY number;

-- the map waits for one that is replayed, though all chunks have ended
INSERT INTO mr_bad VALUES (2);
DELETE FROM mr_bad WHERE n = 4;
SELECT count(stent.dispatch('mr_map', '{"on_error": "fail", "size": 3}'));
SELECT stent.run(1), stent.run(1);
DELETE FROM mr_bad;
SELECT count(stent.replay(id, 'mr_later')) FROM mr_dead;
CREATE PROCEDURE mr_run_default() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run(100, '{default}') > 0 LOOP COMMIT; END LOOP; END $$;
CALL mr_run_default();
SELECT number, completed, failed, finished_at IS NOT NULL AS finished FROM stent.chunk WHERE map_id = (SELECT max(id) FROM stent.map) ORDER BY number;
SELECT * FROM mr_map_task;
CALL mr_run();
SELECT * FROM mr_map_task;
SELECT * FROM mr_last;

-- one that is replayed while the map lives, and fails in another way: that is its error now
INSERT INTO mr_bad VALUES (2);
SELECT count(stent.dispatch('mr_map', '{"on_error": "collect"}'));
SELECT stent.run(1), stent.run(1);
CREATE OR REPLACE FUNCTION mr_item(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN IF n = 2 THEN RAISE EXCEPTION 'worse: %', n; END IF; RETURN 10 * n; END $$;
SELECT count(stent.replay(id)) FROM mr_dead;
CALL mr_run();
SELECT state, result -> 1 -> 'error' ->> 'message' AS message FROM mr_last;
SELECT index, error ->> 'message' AS message FROM stent.map_results((SELECT max(id) FROM stent.map)) WHERE error IS NOT NULL;
SELECT bool_and(stent.discard(id)) FROM mr_dead;
CREATE OR REPLACE FUNCTION mr_item(n int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM mr_bad b WHERE b.n = mr_item.n) THEN
        RAISE EXCEPTION 'bad: %', n;
    END IF;
    RETURN 10 * n;
END $$;
DELETE FROM mr_bad;

-- a map that has failed: its item is replayed alone
INSERT INTO mr_bad VALUES (2), (4);
SELECT count(stent.dispatch('mr_map', '{"on_error": "fail"}'));
CALL mr_run();
SELECT * FROM mr_map_task;
DELETE FROM mr_bad WHERE n = 4;
SELECT count(stent.replay(id)) FROM mr_dead WHERE args = '{"n": 4}';
CALL mr_run();
SELECT * FROM mr_map_task;
SELECT args FROM mr_dead;
-- or with the map, which then is what its items are
SELECT stent.replay((SELECT max(id) FROM stent.map)) = (SELECT max(id) FROM stent.map) AS replayed;
CALL mr_run();
SELECT * FROM mr_map_task;
DELETE FROM mr_bad;
SELECT stent.replay((SELECT max(id) FROM stent.map)) = (SELECT max(id) FROM stent.map) AS replayed;
SELECT * FROM mr_map_task;
CALL mr_run();
SELECT * FROM mr_map_task;
SELECT count(*) FROM mr_dead;
SELECT attempt, replays FROM stent.tasks WHERE id = (SELECT max(id) FROM stent.map);

-- collect: replayed or discarded afterwards, the results stay what they were told to be
INSERT INTO mr_bad VALUES (2), (4);
SELECT count(stent.dispatch('mr_map', '{"on_error": "collect"}'));
CALL mr_run();
SELECT jsonb_path_query_array(result, '$[*].error.message') AS errors, jsonb_path_query_array(result, '$[*].result') AS results FROM mr_last;
SELECT * FROM mr_map_task;
DELETE FROM mr_bad WHERE n = 2;
SELECT count(stent.replay(id)) FROM mr_dead WHERE args = '{"n": 2}';
CALL mr_run();
SELECT bool_and(stent.discard(id)) FROM mr_dead;
SELECT count(*) FROM mr_dead;
SELECT count(*) FROM stent.item WHERE map_id = (SELECT max(id) FROM stent.map);

-- bulk forms see them like others
SELECT count(stent.dispatch('mr_map', '{"on_error": "collect"}'));
CALL mr_run();
DELETE FROM mr_bad;
SELECT stent.replay_many(function => 'mr_item') >= 2 AS replayed;
CALL mr_run();
SELECT count(*) FROM stent.dead_letters WHERE function = 'mr_item' AND args ? 'n';

-- items that failed without their handler: what they mean is found out when they are replayed
CREATE FUNCTION mr_gone(a int, b int DEFAULT 1) RETURNS int LANGUAGE sql AS 'SELECT 10 * a + b';
CREATE FUNCTION mr_gone_map(star boolean) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    IF star THEN
        RETURN stent.starmap('mr_gone', '[[3, 4], 8]', on_error => 'collect', queue => 'mr_later');
    END IF;
    RETURN stent.map('mr_gone', '[5, {"a": 6, "b": 7}]', on_error => 'collect', queue => 'mr_later');
END $$;
SELECT stent.register('mr_gone', 'mr_gone(int, int)', retry => '{"max_attempts": 1}'), stent.register('mr_gone_map', 'mr_gone_map(boolean)');
SELECT count(stent.dispatch('mr_gone_map', jsonb_build_object('star', star))) FROM unnest('{f,t}'::boolean[]) star;
CALL mr_run_default();
ALTER FUNCTION mr_gone RENAME TO mr_there;
CALL mr_run();
ALTER FUNCTION mr_there RENAME TO mr_gone;
SELECT args, error_code FROM stent.dead_letters WHERE function = 'mr_gone' ORDER BY id;
SELECT count(stent.replay(id)) FROM stent.dead_letters WHERE function = 'mr_gone';
CALL mr_run();
SELECT args, result, error ->> 'code' AS code FROM stent.tasks t WHERE EXISTS (SELECT FROM stent.item i WHERE i.task_id = t.id) AND function = 'mr_gone' ORDER BY id;

SELECT (SELECT count(*) FROM stent.task) AS tasks, (SELECT count(*) FROM stent.ready) AS ready, (SELECT count(*) FROM stent.due) AS due, (SELECT count(*) FROM stent.child) AS children;
SET stent.clock = '2026-03-01';
SELECT stent.purge_dead_letters('0') >= 0 AS purged;
