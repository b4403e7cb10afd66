-- Dead children that are replayed: alone, under a parent that lives, or with those that failed because of them.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';
CREATE TABLE rt_bad (n int);
CREATE TABLE rt_log (line text);
CREATE FUNCTION rt_leaf(n int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM rt_bad b WHERE b.n = rt_leaf.n) THEN
        RAISE EXCEPTION 'leaf % is bad', n USING ERRCODE = 'RT001', DETAIL = 'very';
    END IF;
    INSERT INTO rt_log VALUES (format('leaf %s', n));
    RETURN 10 * n;
END $$;
-- its own write, its good call before and the one after are each there once, however often it fails
CREATE FUNCTION rt_mid(n int) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    answer jsonb := jsonb_build_array(stent.call('rt_leaf', '{"n": 100}'));
BEGIN
    INSERT INTO rt_log VALUES (format('mid %s', n));
    answer := answer || stent.call('rt_leaf', jsonb_build_object('n', n));
    RETURN answer || stent.call('rt_leaf', '{"n": 200}');
END $$;
CREATE FUNCTION rt_root(n int) RETURNS jsonb LANGUAGE sql AS $$ SELECT jsonb_build_object('mid', stent.call('rt_mid', jsonb_build_object('n', n))) $$;
CREATE FUNCTION rt_top(n int) RETURNS jsonb LANGUAGE sql AS $$ SELECT jsonb_build_object('root', stent.call('rt_root', jsonb_build_object('n', n))) $$;
SELECT stent.register('rt_leaf', 'rt_leaf(int)', retry => '{"max_attempts": 1}'),
       stent.register('rt_mid', 'rt_mid(int)', retry => '{"max_attempts": 2, "initial_delay": "0s"}'),
       stent.register('rt_root', 'rt_root(int)'),
       stent.register('rt_top', 'rt_top(int)', max_duration => '1 day');
CREATE PROCEDURE rt_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
CREATE VIEW rt_tree AS
  SELECT function, args -> 'n' AS n, state, attempt, replays, result, error ->> 'message' AS error
  FROM stent.tasks WHERE execution_id = (SELECT max(id) FROM stent.executions) ORDER BY id;
CREATE VIEW rt_dead AS
  SELECT id, function, args FROM stent.dead_letters WHERE execution_id = (SELECT max(id) FROM stent.executions) ORDER BY id;
CREATE VIEW rt_left AS
  SELECT (SELECT count(*) FROM stent.task) AS tasks, (SELECT count(*) FROM stent.ready) AS ready, (SELECT count(*) FROM stent.due) AS due,
         (SELECT count(*) FROM stent.child) AS children, (SELECT count(*) FROM stent.waiter) AS waiters, (SELECT count(*) FROM stent.dedup) AS keys;

-- the whole tree has failed: the leaf brings all of it back
INSERT INTO rt_bad VALUES (1);
SELECT stent.dispatch('rt_top', '{"n": 1}', dedup_key => 'top') AS top \gset
CALL rt_run();
SELECT * FROM rt_tree;
SET stent.clock = '2026-01-03 00:00:00';
DELETE FROM rt_bad;
SELECT stent.replay(id, queue => 'rt_other', revive_parent => true) = id AS replayed FROM rt_dead WHERE function = 'rt_leaf';
SELECT * FROM rt_tree;
-- the days it was dead do not count; queue is the leaf's
SELECT function, queue, l.deadline FROM stent.tasks t JOIN stent.task l USING (id) WHERE t.execution_id = :top ORDER BY id;
SELECT t.function, s.position, s.state, s.mark, s.error FROM stent.step s JOIN stent.tasks t ON t.id = s.task_id WHERE t.execution_id = :top ORDER BY t.id, s.position;
SELECT * FROM rt_left;
CALL rt_run();
SELECT * FROM rt_tree;
SELECT line, count(*) FROM rt_log GROUP BY 1 ORDER BY 1;
SELECT * FROM rt_left;
SELECT count(*) FROM rt_dead;
TRUNCATE rt_log;

-- it fails again: so do they, and can be brought back again
INSERT INTO rt_bad VALUES (1);
SELECT count(stent.dispatch('rt_root', '{"n": 1}'));
CALL rt_run();
SELECT count(stent.replay(id, revive_parent => true)) FROM rt_dead WHERE function = 'rt_leaf';
CALL rt_run();
SELECT * FROM rt_tree;
DELETE FROM rt_bad;
-- from the middle: the leaf stays dead, and is called anew
SELECT count(stent.replay(id, revive_parent => true)) FROM rt_dead WHERE function = 'rt_mid';
CALL rt_run();
SELECT * FROM rt_tree;
SELECT line, count(*) FROM rt_log GROUP BY 1 ORDER BY 1;
SELECT stent.discard_many('rt_leaf');
TRUNCATE rt_log;

-- without revive_parent it runs alone
INSERT INTO rt_bad VALUES (1);
SELECT count(stent.dispatch('rt_mid', '{"n": 1}'));
CALL rt_run();
DELETE FROM rt_bad;
SELECT count(stent.replay(id)) FROM rt_dead WHERE function = 'rt_leaf';
CALL rt_run();
SELECT * FROM rt_tree;
-- and what it returned is there for the parent that is replayed
SELECT count(stent.replay(id)) FROM rt_dead;
CALL rt_run();
SELECT * FROM rt_tree;
SELECT line, count(*) FROM rt_log GROUP BY 1 ORDER BY 1;
TRUNCATE rt_log;

-- the parent replayed instead keeps what succeeded and calls anew; the dead child stays dead
INSERT INTO rt_bad VALUES (1);
SELECT count(stent.dispatch('rt_mid', '{"n": 1}'));
CALL rt_run();
DELETE FROM rt_bad;
SELECT count(stent.replay(id)) FROM rt_dead WHERE function = 'rt_mid';
CALL rt_run();
SELECT * FROM rt_tree;
SELECT function, args FROM rt_dead;
SELECT line, count(*) FROM rt_log GROUP BY 1 ORDER BY 1;
SELECT stent.discard_many('rt_leaf');
TRUNCATE rt_log;

-- a parent that was woken by the failure and has not run yet waits again; it need not be revived
CREATE FUNCTION rt_one(n int) RETURNS jsonb LANGUAGE sql AS $$ SELECT stent.call('rt_leaf', jsonb_build_object('n', n), queue => 'rt_q') $$;
SELECT stent.register('rt_one', 'rt_one(int)');
INSERT INTO rt_bad VALUES (1);
SELECT count(stent.dispatch('rt_one', '{"n": 1}'));
SELECT stent.run(1, '{default}'), stent.run(1, '{rt_q}'), stent.run(5, '{none}');
SELECT * FROM rt_tree;
DELETE FROM rt_bad;
SELECT count(stent.replay(id)) FROM rt_dead;
SELECT stent.run(1, '{default}');
SELECT * FROM rt_tree;
CALL rt_run();
SELECT * FROM rt_tree;
-- the same by its nudge only, and with revive_parent, which finds it alive
INSERT INTO rt_bad VALUES (1);
SELECT count(stent.dispatch('rt_one', '{"n": 1}'));
SELECT stent.run(1, '{default}');
BEGIN;
SELECT stent.run(1, '{rt_q}');
DELETE FROM rt_bad;
SELECT count(stent.replay(id, revive_parent => true)) FROM rt_dead;
COMMIT;
SELECT stent.run(5, '{default}');
SELECT * FROM rt_tree;
CALL rt_run();
SELECT * FROM rt_tree;
SELECT * FROM rt_left;

SELECT count(stent.unregister('rt_' || n)) FROM unnest(ARRAY['leaf', 'mid', 'root', 'top', 'one']) n;
DROP VIEW rt_tree, rt_dead, rt_left;
DROP PROCEDURE rt_run;
DROP FUNCTION rt_leaf, rt_mid, rt_root, rt_top, rt_one;
DROP TABLE rt_bad, rt_log;
