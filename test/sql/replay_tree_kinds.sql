-- Dead children brought back with their parents: items and chunks of maps, parents of workers, with keys, of other roles; and children that are given up.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';
CREATE TABLE rk_bad (n int);
CREATE FUNCTION rk_leaf(n int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM rk_bad b WHERE b.n = rk_leaf.n) THEN
        RAISE EXCEPTION 'leaf % is bad', n USING ERRCODE = 'RK001';
    END IF;
    RETURN 10 * n;
END $$;
CREATE FUNCTION rk_map(on_error text DEFAULT 'fail') RETURNS jsonb LANGUAGE sql AS $$
  SELECT stent.map('rk_leaf', '[1, 2, 3, 4]', chunk_size => 2, on_error => on_error)
$$;
CREATE FUNCTION rk_query() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    map bigint := stent.map_query('rk_leaf', 'SELECT n FROM generate_series(1, 4) n', chunk_size => 2);
BEGIN
    RETURN stent.await(map);
END $$;
CREATE FUNCTION rk_top() RETURNS jsonb LANGUAGE sql AS $$ SELECT stent.call('rk_map') $$;
CREATE FUNCTION rk_call() RETURNS jsonb LANGUAGE sql AS $$ SELECT stent.call('rk_leaf', '{"n": 1}') $$;
CREATE FUNCTION rk_all() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    ids bigint[] := ARRAY[stent.spawn('rk_leaf', '{"n": 1}'), stent.spawn('rk_leaf', '{"n": 2}', queue => 'slow')];
BEGIN
    RETURN stent.await_all(ids);
EXCEPTION WHEN OTHERS THEN
    RETURN to_jsonb(SQLSTATE);
END $$;
SELECT stent.register('rk_leaf', 'rk_leaf(int)', retry => '{"max_attempts": 1}'), stent.register('rk_map', 'rk_map(text)'), stent.register('rk_top', 'rk_top()'),
       stent.register('rk_query', 'rk_query()'), stent.register('rk_call', 'rk_call()'), stent.register('rk_all', 'rk_all()'), stent.register('rk_worker', retry => '{"max_attempts": 1}');
CREATE PROCEDURE rk_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
CREATE VIEW rk_tree AS
  SELECT function, args, state, attempt, replays, result, error ->> 'message' AS error
  FROM stent.tasks WHERE execution_id = (SELECT max(id) FROM stent.executions) ORDER BY id;
CREATE VIEW rk_dead AS SELECT id FROM stent.dead_letters WHERE function = 'rk_leaf' AND args ? 'n' OR function = 'rk_leaf' AND args IN ('1', '2', '3', '4') ORDER BY args;
CREATE VIEW rk_left AS
  SELECT (SELECT count(*) FROM stent.task) AS tasks, (SELECT count(*) FROM stent.ready) AS ready, (SELECT count(*) FROM stent.due) AS due,
         (SELECT count(*) FROM stent.child) AS children, (SELECT count(*) FROM stent.waiter) AS waiters, (SELECT count(*) FROM stent.dedup) AS keys, (SELECT count(*) FROM stent.line) AS lines;

-- an item of a map, in a tree
INSERT INTO rk_bad VALUES (2);
SELECT count(stent.dispatch('rk_top'));
CALL rk_run();
SELECT * FROM rk_tree;
DELETE FROM rk_bad;
SELECT count(stent.replay(id, revive_parent => true)) FROM rk_dead;
SELECT * FROM rk_tree;
CALL rk_run();
SELECT * FROM rk_tree;
-- one of two: the map fails with the other; in bulk both
INSERT INTO rk_bad VALUES (2), (3);
SELECT count(stent.dispatch('rk_map'));
CALL rk_run();
DELETE FROM rk_bad;
SELECT stent.replay(max(id), revive_parent => true) = max(id) AS replayed FROM rk_dead;
CALL rk_run();
SELECT * FROM rk_tree;
INSERT INTO rk_bad VALUES (3);
SELECT stent.replay_many('rk_leaf', revive_parent => true);
CALL rk_run();
SELECT * FROM rk_tree;
-- a map that is waited for by its id
INSERT INTO rk_bad VALUES (2), (3);
SELECT count(stent.dispatch('rk_query'));
CALL rk_run();
SELECT * FROM rk_tree;
DELETE FROM rk_bad;
SELECT stent.replay_many('rk_leaf', revive_parent => true);
SELECT function, state FROM rk_tree;
CALL rk_run();
SELECT * FROM rk_tree;
-- one that collects has completed
INSERT INTO rk_bad VALUES (2);
SELECT count(stent.dispatch('rk_map', '{"on_error": "collect"}'));
CALL rk_run();
DELETE FROM rk_bad;
DO $$ BEGIN PERFORM stent.replay(id, revive_parent => true) FROM rk_dead; EXCEPTION WHEN SQLSTATE 'ST011' THEN RAISE NOTICE '%', regexp_replace(SQLERRM, '\d+', 'N', 'g'); END $$;
SELECT stent.discard_many('rk_leaf');

-- a parent of a worker, which passes the error on
SELECT stent.dispatch('rk_worker') AS id \gset
SELECT token FROM stent.claim('w', 1, '{rk_worker}') \gset
SELECT stent.suspend(:id, :token, '[{"kind": "call", "function": "rk_leaf", "args": {"n": 1}}]');
INSERT INTO rk_bad VALUES (1);
CALL rk_run();
SELECT token FROM stent.claim('w', 1, '{rk_worker}') \gset
SELECT kind, state, error ->> 'code' AS code FROM stent.lease_steps(:id, :token);
SELECT stent.fail(:id, :token, '{"code": "RK001", "message": "leaf 1 is bad"}');
SELECT * FROM rk_tree;
DELETE FROM rk_bad;
SELECT count(stent.replay(id, revive_parent => true)) FROM rk_dead;
SELECT * FROM rk_tree;
CALL rk_run();
SELECT token FROM stent.claim('w', 1, '{rk_worker}') \gset
SELECT kind, state, result FROM stent.lease_steps(:id, :token);
SELECT stent.complete(:id, :token, '"done"');
SELECT * FROM rk_tree;

-- a parent with a concurrency key joins its line
INSERT INTO rk_bad VALUES (1);
SELECT stent.dispatch('rk_call', concurrency_key => 'k') AS id \gset
CALL rk_run();
SELECT count(stent.dispatch('rk_leaf', '{"n": 7}', concurrency_key => 'k'));
SELECT count(stent.replay(id, revive_parent => true)) FROM rk_dead;
DELETE FROM rk_bad;
SELECT function, state, replays FROM stent.tasks WHERE id IN (SELECT id FROM stent.task) ORDER BY id;
CALL rk_run();
SELECT state, attempt, replays, result FROM stent.tasks WHERE id = :id;
-- one whose dedup key is in use cannot come back, and so its child does not
INSERT INTO rk_bad VALUES (1);
SELECT stent.dispatch('rk_call', dedup_key => 'd') AS id \gset
CALL rk_run();
DELETE FROM rk_bad;
SELECT stent.dispatch('rk_call', dedup_key => 'd') <> :id AS another;
DO $$ BEGIN PERFORM stent.replay(id, revive_parent => true) FROM rk_dead; EXCEPTION WHEN unique_violation THEN RAISE NOTICE '%', regexp_replace(SQLERRM, '\d+', 'N', 'g'); END $$;
CALL rk_run();
SELECT count(stent.replay(id, revive_parent => true)) FROM rk_dead;
SELECT * FROM rk_left;
CALL rk_run();
SELECT state, attempt, replays, result FROM stent.tasks WHERE id = :id;

-- whoever replays the child must be allowed to steer each parent
CREATE ROLE rk_low LOGIN;
CREATE ROLE rk_high LOGIN;
SELECT stent.grant_usage('rk_low'), stent.grant_usage('rk_high');
GRANT USAGE ON SCHEMA public TO rk_low, rk_high;
GRANT SELECT ON rk_bad TO rk_low, rk_high;
-- spawns as another role
CREATE FUNCTION rk_lower() RETURNS jsonb LANGUAGE sql SECURITY DEFINER AS $$ SELECT stent.call('rk_call') $$;
ALTER FUNCTION rk_lower() OWNER TO rk_low;
SELECT stent.register('rk_lower', 'rk_lower()');
INSERT INTO rk_bad VALUES (1);
SET SESSION AUTHORIZATION rk_high;
SELECT stent.dispatch('rk_lower') AS id \gset
RESET SESSION AUTHORIZATION;
CREATE PROCEDURE rk_run_all() LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. 10 LOOP
        SET SESSION AUTHORIZATION rk_high;
        PERFORM stent.run();
        COMMIT;
        SET SESSION AUTHORIZATION rk_low;
        PERFORM stent.run();
        COMMIT;
    END LOOP;
    RESET SESSION AUTHORIZATION;
END $$;
CALL rk_run_all();
RESET SESSION AUTHORIZATION;
SELECT function, role, state, error ->> 'message' AS error FROM stent.tasks WHERE execution_id = :id ORDER BY id;
DELETE FROM rk_bad;
SET SESSION AUTHORIZATION rk_low;
SELECT id AS leaf FROM stent.dead_letters WHERE function = 'rk_leaf' \gset
DO $$ BEGIN
    PERFORM stent.replay(id, revive_parent => true) FROM stent.dead_letters WHERE function = 'rk_leaf';
EXCEPTION WHEN insufficient_privilege THEN RAISE NOTICE '%', regexp_replace(SQLERRM, '\d+', 'N', 'g'); END $$;
RESET SESSION AUTHORIZATION;
SELECT stent.replay(:leaf, revive_parent => true) = :leaf AS admin;
CALL rk_run_all();
RESET SESSION AUTHORIZATION;
SELECT function, role, state, result FROM stent.tasks WHERE execution_id = :id ORDER BY id;

-- a dead child that is given up does not keep its parent: discarded or purged before the parent looks
INSERT INTO rk_bad VALUES (1);
SELECT stent.dispatch('rk_all') AS id \gset
BEGIN;
SELECT stent.run(1, '{default}');
SELECT stent.run(1, '{default}');
SELECT bool_and(stent.discard(id)) FROM rk_dead;
SELECT state FROM stent.tasks WHERE id = :id;
COMMIT;
SELECT stent.run(5, '{default}') > 0 AS went_on;
SELECT state, result FROM stent.tasks WHERE id = :id;
SELECT stent.dispatch('rk_all') AS id \gset
BEGIN;
SELECT stent.run(1, '{default}');
SELECT stent.run(1, '{default}');
SET LOCAL stent.clock = '2026-01-01 00:00:01';
SELECT stent.purge_dead_letters('0', 'rk_leaf');
COMMIT;
SELECT stent.run(5, '{default}') > 0 AS went_on;
SELECT state, result FROM stent.tasks WHERE id = :id;
-- nor one that was replayed, fails again and is given up
CREATE FUNCTION rk_wait() RETURNS jsonb LANGUAGE sql AS $$ SELECT stent.call('rk_leaf', '{"n": 1}', queue => 'slow') $$;
SELECT stent.register('rk_wait', 'rk_wait()');
CALL rk_run();
SELECT stent.dispatch('rk_wait') AS id \gset
SELECT stent.run(1, '{default}');
SELECT stent.run(1, '{slow}');
SELECT count(stent.replay(id)) FROM rk_dead;
SELECT stent.run(1, '{default}');
SELECT state FROM stent.tasks WHERE id = :id;
BEGIN;
SELECT stent.run(1, '{slow}');
SELECT bool_and(stent.discard(id)) FROM rk_dead;
COMMIT;
SELECT state FROM stent.tasks WHERE id = :id;
CALL rk_run();
SELECT state, error ->> 'message' AS error FROM stent.tasks WHERE id = :id;
SELECT stent.discard_many('rk_wait');

-- a handler replays its own child: in a step, for what it does itself is undone when it waits
CREATE FUNCTION rk_replay(id bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM rk_bad;
    PERFORM stent.replay(id, revive_parent => true);
END $$;
CREATE FUNCTION rk_again() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    child bigint := stent.spawn('rk_leaf', '{"n": 1}');
BEGIN
    RETURN stent.await(child);
EXCEPTION WHEN SQLSTATE 'RK001' THEN
    PERFORM stent.step('replay', 'rk_replay', jsonb_build_object('id', child));
    RETURN stent.await(child, step_name => 'again');
END $$;
SELECT stent.register('rk_replay', 'rk_replay(bigint)');
SELECT stent.register('rk_again', 'rk_again()');
SELECT count(stent.dispatch('rk_again'));
CALL rk_run();
SELECT * FROM rk_tree;
-- a parent that waits for its retry
CREATE FUNCTION rk_retry() RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    RETURN stent.call('rk_leaf', '{"n": 1}');
EXCEPTION WHEN SQLSTATE 'RK001' THEN
    RAISE EXCEPTION 'my own' USING ERRCODE = 'RK002';
END $$;
SELECT stent.register('rk_retry', 'rk_retry()', retry => '{"max_attempts": 2, "initial_delay": "1m"}');
INSERT INTO rk_bad VALUES (1);
SELECT count(stent.dispatch('rk_retry'));
CALL rk_run();
DELETE FROM rk_bad;
SELECT count(stent.replay(id, revive_parent => true)) FROM rk_dead;
SELECT function, state, attempt FROM rk_tree;
SET stent.clock = '2026-01-01 00:02:00';
CALL rk_run();
SELECT * FROM rk_tree;
-- one that waits for a task that is not its child, too
CREATE FUNCTION rk_stranger(id bigint) RETURNS jsonb LANGUAGE sql AS $$ SELECT stent.await_all(ARRAY[id, stent.spawn('rk_leaf', '{"n": 1}')]) $$;
SELECT stent.register('rk_stranger', 'rk_stranger(bigint)');
INSERT INTO rk_bad VALUES (1);
SELECT stent.dispatch('rk_leaf', '{"n": 5}', queue => 'slow') AS stranger \gset
SELECT stent.dispatch('rk_stranger', jsonb_build_object('id', :stranger)) AS id \gset
DO $$ BEGIN WHILE stent.run(queues => '{default}') > 0 LOOP COMMIT; END LOOP; END $$;
SELECT state, (SELECT count(*) FROM stent.waiter) AS waiters FROM stent.tasks WHERE id = :id;
DELETE FROM rk_bad;
SELECT count(stent.replay(id, revive_parent => true)) FROM rk_dead;
DO $$ BEGIN WHILE stent.run(queues => '{default}') > 0 LOOP COMMIT; END LOOP; END $$;
SELECT state, (SELECT count(*) FROM stent.waiter) AS waiters FROM stent.tasks WHERE id = :id;
CALL rk_run();
SELECT state, result FROM stent.tasks WHERE id = :id;
SELECT * FROM rk_left;

SELECT count(stent.unregister('rk_' || n)) FROM unnest(ARRAY['leaf', 'map', 'top', 'query', 'call', 'all', 'worker', 'lower', 'wait', 'replay', 'again', 'retry', 'stranger']) n;
DROP VIEW rk_tree, rk_dead, rk_left;
DROP PROCEDURE rk_run, rk_run_all;
DROP FUNCTION rk_leaf, rk_map, rk_query, rk_top, rk_call, rk_all, rk_lower, rk_wait, rk_replay, rk_again, rk_retry, rk_stranger;
DROP TABLE rk_bad;
DROP OWNED BY rk_low, rk_high;
DROP ROLE rk_low, rk_high;
