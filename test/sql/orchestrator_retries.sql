-- Retries of an orchestrator: steps that succeeded are kept, those that failed are made anew, and what escapes from a child is final.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';
CREATE TABLE ret_t (line text);
CREATE FUNCTION ret_leaf(n int, fail boolean DEFAULT false) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ret_t VALUES (format('leaf %s', n));
    IF fail THEN
        RAISE EXCEPTION 'leaf % fails', n USING ERRCODE = 'XX123';
    END IF;
    RETURN n * 10;
END $$;
CREATE PROCEDURE ret_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT stent.register('ret_leaf', 'ret_leaf(int, boolean)', retry => '{"max_attempts": 1}');

-- fails after two steps, twice: the third attempt has them
CREATE FUNCTION ret_third() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    a jsonb := stent.call('ret_leaf', '{"n": 1}');
    b jsonb := stent.step('b', 'ret_leaf', '{"n": 2}');
BEGIN
    INSERT INTO ret_t VALUES (format('attempt %s', stent.attempt()));
    IF stent.attempt() < 3 THEN
        RAISE EXCEPTION 'attempt %', stent.attempt();
    END IF;
    RETURN jsonb_build_array(a, b, stent.call('ret_leaf', '{"n": 3}'));
END $$;
SELECT stent.register('ret_third', 'ret_third()', retry => '{"initial_delay": "1m", "backoff_factor": 1, "jitter": 0}');
SELECT stent.dispatch('ret_third') AS id \gset
CALL ret_run();
SELECT state, attempt, due_at FROM stent.tasks WHERE id = :id;
SELECT position, name, kind, state FROM stent.step WHERE task_id = :id ORDER BY position;
SET stent.clock = '2026-01-01 00:01:00';
CALL ret_run();
SELECT state, attempt, due_at FROM stent.tasks WHERE id = :id;
SET stent.clock = '2026-01-01 00:02:00';
CALL ret_run();
SELECT state, attempt, result FROM stent.tasks WHERE id = :id;
SELECT args -> 'n' AS n, state FROM stent.tasks WHERE parent_id = :id ORDER BY id;
SELECT line, count(*) FROM ret_t GROUP BY 1 ORDER BY 1;
SELECT a ->> 'attempt' AS attempt, a #>> '{error,message}' AS message FROM jsonb_array_elements(stent.state_of(:id) -> 'attempts') a;
TRUNCATE ret_t;

-- a call that failed and was caught is made anew by the next attempt, and what comes then need not be the same
CREATE FUNCTION ret_anew() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    answer jsonb := jsonb_build_array(stent.call('ret_leaf', '{"n": 1}'));
BEGIN
    BEGIN
        answer := answer || stent.call('ret_leaf', jsonb_build_object('n', 2, 'fail', stent.attempt() = 1));
        answer := answer || stent.call('ret_leaf', '{"n": 3}');
    EXCEPTION WHEN SQLSTATE 'XX123' THEN
        answer := answer || to_jsonb(SQLERRM);
        answer := answer || stent.call('ret_leaf', '{"n": 4}');
        RAISE EXCEPTION 'own, with %', answer USING ERRCODE = 'XX124';
    END;
    RETURN answer;
END $$;
SELECT stent.register('ret_anew', 'ret_anew()', retry => '{"max_attempts": 2, "initial_delay": "0s"}');
SELECT stent.dispatch('ret_anew') AS id \gset
CALL ret_run();
SELECT state, attempt, result, error ->> 'message' AS error FROM stent.tasks WHERE id = :id;
SELECT args -> 'n' AS n, state FROM stent.tasks WHERE parent_id = :id ORDER BY id;
SELECT line, count(*) FROM ret_t GROUP BY 1 ORDER BY 1;
TRUNCATE ret_t;
SELECT stent.discard_many('ret_leaf') AS dead;
-- also where the failure was remembered over a wait
CREATE FUNCTION ret_waited() RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    BEGIN
        RETURN stent.call('ret_leaf', jsonb_build_object('n', 5, 'fail', stent.attempt() = 1), step_name => 'five');
    EXCEPTION WHEN SQLSTATE 'XX123' THEN
        PERFORM stent.await_signal('go');
        RAISE EXCEPTION 'own' USING ERRCODE = 'XX124';
    END;
END $$;
SELECT stent.register('ret_waited', 'ret_waited()', retry => '{"max_attempts": 2, "initial_delay": "0s"}');
SELECT stent.dispatch('ret_waited') AS id \gset
CALL ret_run();
SELECT name, kind, state FROM stent.step WHERE task_id = :id ORDER BY position;
SELECT stent.signal(:id, 'go');
CALL ret_run();
SELECT state, attempt, result FROM stent.tasks WHERE id = :id;
TRUNCATE ret_t;
SELECT stent.discard_many('ret_leaf') AS dead;

-- the error of a child that nobody catches ends the parent, whatever its policy: the child had its own attempts
CREATE FUNCTION ret_escapes(how text) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    CASE how
        WHEN 'call' THEN RETURN stent.call('ret_leaf', '{"n": 1, "fail": true}');
        WHEN 'await' THEN RETURN stent.await(stent.spawn('ret_leaf', '{"n": 1, "fail": true}'));
        WHEN 'await_all' THEN RETURN stent.await_all(ARRAY[stent.spawn('ret_leaf', '{"n": 1, "fail": true}')]);
        WHEN 'raise' THEN
            BEGIN
                RETURN stent.call('ret_leaf', '{"n": 1, "fail": true}');
            EXCEPTION WHEN OTHERS THEN
                RAISE;
            END;
        WHEN 'other' THEN
            BEGIN
                RETURN stent.call('ret_leaf', '{"n": 1, "fail": true}');
            EXCEPTION WHEN OTHERS THEN
                RAISE EXCEPTION 'instead' USING ERRCODE = SQLSTATE;
            END;
        WHEN 'step' THEN RETURN stent.step('s', 'ret_leaf', '{"n": 1, "fail": true}');
    END CASE;
END $$;
SELECT stent.register('ret_escapes', 'ret_escapes(text)', retry => '{"max_attempts": 2, "initial_delay": "0s"}');
CREATE TEMP TABLE ret_ids AS SELECT how, stent.dispatch('ret_escapes', jsonb_build_object('how', how)) AS id FROM unnest(ARRAY['call', 'await', 'await_all', 'raise', 'other', 'step']) how;
CALL ret_run();
SELECT how, state, attempt, error ->> 'code' AS code, error ->> 'message' AS message, error -> 'retryable' AS retryable FROM ret_ids JOIN stent.tasks USING (id) ORDER BY id;
SELECT how, count(t.id) AS children FROM ret_ids r LEFT JOIN stent.tasks t ON t.parent_id = r.id GROUP BY r.id, how ORDER BY r.id;

-- replayed, the parent makes the call that failed anew, and keeps the rest
SELECT id FROM ret_ids WHERE how = 'call' \gset
SELECT stent.replay(:id) = :id AS replayed;
CREATE OR REPLACE FUNCTION ret_leaf(n int, fail boolean DEFAULT false) RETURNS int LANGUAGE sql AS $$ SELECT n * 11 $$;
CALL ret_run();
SELECT state, attempt, result FROM stent.tasks WHERE id = :id;
SELECT state, result FROM stent.tasks WHERE parent_id = :id ORDER BY id;
SELECT stent.discard_many('ret_leaf') AS leaves, stent.discard_many('ret_escapes') AS parents;

-- a conflict (40001) gives the task back uncharged, in the middle of its steps
CREATE SEQUENCE ret_seq;
CREATE FUNCTION ret_conflict() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    a jsonb := stent.call('ret_leaf', '{"n": 1}');
BEGIN
    IF nextval('ret_seq') < 3 THEN
        RAISE EXCEPTION 'conflict' USING ERRCODE = '40001';
    END IF;
    RETURN jsonb_build_array(a, stent.attempt());
END $$;
SELECT stent.register('ret_conflict', 'ret_conflict()', retry => '{"max_attempts": 1}');
SELECT stent.dispatch('ret_conflict') AS id \gset
CALL ret_run();
SELECT state, attempt, result FROM stent.tasks WHERE id = :id;
SELECT count(*) AS calls FROM stent.tasks WHERE parent_id = :id;

SELECT count(*) AS live FROM stent.task;
SELECT count(stent.unregister('ret_' || n)) FROM unnest(ARRAY['leaf', 'third', 'anew', 'waited', 'escapes', 'conflict']) n;
DROP PROCEDURE ret_run;
DROP FUNCTION ret_leaf, ret_third, ret_anew, ret_waited, ret_escapes, ret_conflict;
DROP TABLE ret_t, ret_ids;
DROP SEQUENCE ret_seq;
