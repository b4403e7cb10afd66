-- Which parents come back with a dead child that is replayed, which do not, and why.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';
CREATE TABLE rr_bad (n int);
CREATE FUNCTION rr_leaf(n int, code text DEFAULT 'RR001') RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM rr_bad b WHERE b.n = rr_leaf.n) THEN
        RAISE EXCEPTION 'leaf % is bad', n USING ERRCODE = code;
    END IF;
    RETURN 10 * n;
END $$;
CREATE FUNCTION rr_parent(how text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    a bigint;
    b bigint;
BEGIN
    CASE how
        WHEN 'call' THEN RETURN stent.call('rr_leaf', '{"n": 1}');
        WHEN 'caught' THEN
            BEGIN
                RETURN stent.call('rr_leaf', '{"n": 1}');
            EXCEPTION WHEN SQLSTATE 'RR001' THEN
                RETURN '"caught"';
            END;
        WHEN 'other' THEN
            BEGIN
                RETURN stent.call('rr_leaf', '{"n": 1}');
            EXCEPTION WHEN SQLSTATE 'RR001' THEN
                RAISE EXCEPTION 'my own' USING ERRCODE = 'RR002';
            END;
        WHEN 'other code' THEN
            BEGIN
                RETURN stent.call('rr_leaf', '{"n": 1}');
            EXCEPTION WHEN SQLSTATE 'RR001' THEN
                RAISE EXCEPTION USING MESSAGE = SQLERRM, ERRCODE = 'RR002';
            END;
        WHEN 'saga' THEN
            BEGIN
                RETURN stent.call('rr_leaf', '{"n": 1}');
            EXCEPTION WHEN SQLSTATE 'RR001' THEN
                PERFORM stent.call('rr_leaf', '{"n": 50}');
                RAISE;
            END;
        WHEN 'interrupted' THEN RETURN stent.call('rr_leaf', '{"n": 1, "code": "57014"}');
        WHEN 'spawn' THEN
            RETURN to_jsonb(stent.spawn('rr_leaf', '{"n": 1}') > 0);
        WHEN 'late' THEN
            a := stent.spawn('rr_leaf', '{"n": 1}');
            PERFORM stent.sleep('1m');
            RETURN stent.await(a);
        WHEN 'ran out' THEN RETURN stent.await(stent.spawn('rr_leaf', '{"n": 1}', delay => '2m'), timeout => '1m');
        WHEN 'in time' THEN RETURN stent.await(stent.spawn('rr_leaf', '{"n": 1}'), timeout => '3m');
        WHEN 'all' THEN
            RETURN stent.await_all(ARRAY[stent.spawn('rr_leaf', '{"n": 2}'), stent.spawn('rr_leaf', '{"n": 1}'), stent.spawn('rr_leaf', '{"n": 3}')]);
        WHEN 'all late' THEN
            a := stent.spawn('rr_leaf', '{"n": 1}');
            b := stent.spawn('rr_leaf', '{"n": 2}');
            PERFORM stent.sleep('1m');
            RETURN stent.await_all(ARRAY[a, b]);
    END CASE;
END $$;
CREATE FUNCTION rr_root(how text) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    RETURN stent.call('rr_parent', jsonb_build_object('how', how));
EXCEPTION WHEN SQLSTATE 'RR001' THEN
    RETURN '"root caught it"';
END $$;
SELECT stent.register('rr_leaf', 'rr_leaf(int, text)', retry => '{"max_attempts": 1}'),
       stent.register('rr_parent', 'rr_parent(text)', retry => '{"max_attempts": 1}', max_duration => '1 day'),
       stent.register('rr_root', 'rr_root(text)');
CREATE PROCEDURE rr_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
-- a new parent whose leaves 1 and 2 have failed, with all that comes of it
CREATE PROCEDURE rr_begin(how text, function text DEFAULT 'rr_parent') LANGUAGE plpgsql AS $$
BEGIN
    PERFORM stent.discard_many();
    INSERT INTO rr_bad VALUES (1), (2);
    PERFORM stent.dispatch(function, jsonb_build_object('how', how));
    COMMIT;
    CALL rr_run();
    DELETE FROM rr_bad;
END $$;
CREATE FUNCTION rr_leaf_id(n int DEFAULT 1) RETURNS bigint LANGUAGE sql STABLE AS $$
  SELECT max(id) FROM stent.tasks WHERE function = 'rr_leaf' AND args ->> 'n' = n::text
$$;
CREATE FUNCTION rr_try(id bigint) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
    hint text;
BEGIN
    PERFORM stent.replay(id, revive_parent => true);
    RETURN 'replayed';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN regexp_replace(concat_ws(E'\n', SQLSTATE || ' ' || SQLERRM, NULLIF(detail, ''), NULLIF(hint, '')), 'task \d+', 'task N', 'g');
END $$;
CREATE VIEW rr_tree AS
  SELECT function, args -> 'n' AS n, state, attempt, replays, result, error ->> 'code' AS code, error ->> 'message' AS error
  FROM stent.tasks WHERE execution_id = (SELECT max(id) FROM stent.executions) ORDER BY id;

-- it has completed, was cancelled, discarded, is gone, timed out
CALL rr_begin('caught');
SELECT rr_try(rr_leaf_id());
CALL rr_begin('spawn');
SELECT rr_try(rr_leaf_id());
CALL rr_begin('late');
SELECT stent.cancel(max(id)) FROM stent.executions;
SELECT rr_try(rr_leaf_id());
CALL rr_begin('call');
SELECT stent.discard(max(id)) FROM stent.executions;
SELECT rr_try(rr_leaf_id());
SELECT * FROM rr_tree;
CALL rr_begin('late');
SET stent.clock = '2026-01-03 00:00:00';
CALL rr_run();
SELECT rr_try(rr_leaf_id());
SELECT * FROM rr_tree;
SET stent.clock = '2026-01-01 00:00:00';
CALL rr_begin('call');
SET stent.clock = '2026-01-01 00:00:01';
SELECT stent.purge_dead_letters('0', 'rr_parent');
SELECT rr_try(rr_leaf_id());
-- nothing has changed, and alone it is replayed
SELECT count(*) FROM stent.task;
SELECT stent.replay(rr_leaf_id()) > 0 AS replayed;
CALL rr_run();
SELECT state FROM stent.tasks WHERE id = rr_leaf_id();

-- it has failed, but with another error
CALL rr_begin('other');
SELECT rr_try(rr_leaf_id());
CALL rr_begin('other code');
SELECT rr_try(rr_leaf_id());
CALL rr_begin('ran out');
SET stent.clock = '2026-01-01 00:01:00';
CALL rr_run();
INSERT INTO rr_bad VALUES (1);
SET stent.clock = '2026-01-01 00:02:00';
CALL rr_run();
DELETE FROM rr_bad;
SELECT rr_try(rr_leaf_id());
SELECT * FROM rr_tree;

-- the parent caught it, and that one's parent did not fail: only the first comes back
CALL rr_begin('call', 'rr_root');
SELECT rr_try(rr_leaf_id());
CALL rr_run();
SELECT * FROM rr_tree;

-- with the child's own error behind what undoes it, which is not asked for then
CALL rr_begin('saga');
SELECT rr_try(rr_leaf_id());
CALL rr_run();
SELECT * FROM rr_tree;

-- an error that was raised as another
CALL rr_begin('interrupted');
SELECT * FROM rr_tree;
SELECT rr_try(rr_leaf_id());
CALL rr_run();
SELECT * FROM rr_tree;

-- it had not come to wait for it when it failed
SET stent.clock = '2026-01-01 00:00:00';
CALL rr_begin('late');
SET stent.clock = '2026-01-01 00:01:00';
CALL rr_run();
SELECT * FROM rr_tree;
SELECT rr_try(rr_leaf_id());
CALL rr_run();
SELECT * FROM rr_tree;

-- the time it waits begins where it ended
SET stent.clock = '2026-01-01 00:00:00';
CALL rr_begin('in time');
SELECT * FROM rr_tree;
SET stent.clock = '2026-01-01 01:00:00';
SELECT rr_try(rr_leaf_id());
SELECT s.wake_at, l.due_at FROM stent.task l JOIN stent.step s ON s.task_id = l.id WHERE s.kind = 'await';
SELECT stent.reschedule(rr_leaf_id(), delay => '10m');
SET stent.clock = '2026-01-01 01:02:00';
CALL rr_run();
SELECT * FROM rr_tree;
SELECT stent.cancel(rr_leaf_id());

-- many: one after the other, as each failed
CALL rr_begin('all');
SELECT * FROM rr_tree;
SELECT rr_try(rr_leaf_id(1));
SELECT s.state, s.error, s.mark FROM stent.step s JOIN stent.task l ON l.id = s.task_id WHERE s.kind = 'await_all';
CALL rr_run();
SELECT * FROM rr_tree;
SELECT rr_try(rr_leaf_id(2));
CALL rr_run();
SELECT * FROM rr_tree;
-- or together; and in bulk, in whatever order they failed
CALL rr_begin('all');
SELECT rr_try(rr_leaf_id(1)), rr_try(rr_leaf_id(2));
CALL rr_run();
SELECT * FROM rr_tree;
SET stent.clock = '2026-01-01 00:00:00';
CALL rr_begin('all late');
SET stent.clock = '2026-01-01 00:01:00';
CALL rr_run();
SELECT * FROM rr_tree;
SELECT rr_try(rr_leaf_id(2));
SELECT stent.replay_many('rr_leaf', revive_parent => true);
CALL rr_run();
SELECT * FROM rr_tree;

-- bulk: children before parents, those that are refused stay dead
CALL rr_begin('call', 'rr_root');
INSERT INTO rr_bad VALUES (1);
SELECT count(stent.dispatch('rr_parent', jsonb_build_object('how', how))) FROM unnest(ARRAY['caught', 'call', 'other', 'spawn']) how;
CALL rr_run();
DELETE FROM rr_bad;
SELECT function, args, count(*) FROM stent.dead_letters GROUP BY 1, 2 ORDER BY 1, 2;
SELECT stent.replay_many(revive_parent => true);
SELECT function, state, count(*) FROM stent.tasks WHERE id IN (SELECT id FROM stent.task) GROUP BY 1, 2 ORDER BY 1, 2;
CALL rr_run();
SELECT function, args, count(*) FROM stent.dead_letters GROUP BY 1, 2 ORDER BY 1, 2;
SELECT stent.replay_many(revive_parent => NULL);
SELECT stent.replay(1, revive_parent => NULL);

SELECT stent.discard_many();
SELECT (SELECT count(*) FROM stent.task) AS tasks, (SELECT count(*) FROM stent.ready) AS ready, (SELECT count(*) FROM stent.due) AS due, (SELECT count(*) FROM stent.child) AS children, (SELECT count(*) FROM stent.waiter) AS waiters;
SELECT count(stent.unregister('rr_' || n)) FROM unnest(ARRAY['leaf', 'parent', 'root']) n;
DROP VIEW rr_tree;
DROP PROCEDURE rr_run, rr_begin;
DROP FUNCTION rr_leaf, rr_parent, rr_root, rr_leaf_id, rr_try;
DROP TABLE rr_bad;
