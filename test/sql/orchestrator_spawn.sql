-- spawn and await: children that run side by side, awaited later, or never.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';
CREATE FUNCTION spw_leaf(n int DEFAULT 0, fail boolean DEFAULT false) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    IF fail THEN
        RAISE EXCEPTION 'leaf % fails', n USING ERRCODE = 'XX123';
    END IF;
    RETURN n * 10;
END $$;
CREATE PROCEDURE spw_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
CREATE VIEW spw_left AS SELECT (SELECT count(*) FROM stent.task) AS tasks, (SELECT count(*) FROM stent.ready) AS ready, (SELECT count(*) FROM stent.due) AS due,
    (SELECT count(*) FROM stent.child) AS children, (SELECT count(*) FROM stent.waiter) AS waiters;
SELECT stent.register('spw_leaf', 'spw_leaf(int, boolean)', retry => '{"max_attempts": 1}');

-- all begin with the first suspension; awaited in another order than they were made; the id is the same in each run
CREATE FUNCTION spw_three() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    a bigint := stent.spawn('spw_leaf', '{"n": 1}');
    b bigint := stent.spawn('spw_leaf', '{"n": 2}');
    c bigint := stent.spawn('spw_leaf', '{"n": 3}');
    seen jsonb := stent.record('ids', to_jsonb(ARRAY[a, b, c]));
BEGIN
    RETURN jsonb_build_array(stent.await(c), stent.await(a), stent.await(b), stent.await(a), seen = to_jsonb(ARRAY[a, b, c]));
END $$;
SELECT stent.register('spw_three', 'spw_three()');
SELECT stent.dispatch('spw_three') AS id \gset
SELECT stent.run(1);
SELECT function, args, state FROM stent.tasks WHERE parent_id = :id ORDER BY id;
CALL spw_run();
SELECT stent.result_of(:id);
SELECT stent.state_of(:id) -> 'live_tasks' AS live, (SELECT count(*) FROM stent.tasks WHERE parent_id = :id) AS children;
TABLE spw_left;

-- never awaited: nobody minds how it ends, and it may outlive its parent
CREATE FUNCTION spw_forget() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM stent.spawn('spw_leaf', '{"n": 1, "fail": true}');
    PERFORM stent.spawn('spw_leaf', '{"n": 2}', delay => '1h');
    PERFORM stent.call('spw_leaf', '{"n": 3}');
    RETURN 'done';
END $$;
SELECT stent.register('spw_forget', 'spw_forget()');
SELECT stent.dispatch('spw_forget') AS id \gset
CALL spw_run();
SELECT function, args, state FROM stent.tasks WHERE execution_id = :id ORDER BY id;
SELECT stent.cancel(:id);

-- a child's error is raised where it is awaited, each time
CREATE FUNCTION spw_fails() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    id bigint := stent.spawn('spw_leaf', '{"n": 4, "fail": true}');
    answer jsonb := '[]';
BEGIN
    FOR i IN 1 .. 2 LOOP
        BEGIN
            PERFORM stent.await(id);
        EXCEPTION WHEN SQLSTATE 'XX123' THEN
            answer := answer || jsonb_build_array(SQLERRM);
        END;
    END LOOP;
    RETURN answer;
END $$;
SELECT stent.register('spw_fails', 'spw_fails()');
SELECT stent.dispatch('spw_fails') AS id \gset
CALL spw_run();
SELECT stent.result_of(:id);
SELECT stent.discard_many('spw_leaf');

-- a wait that runs out ends the wait, never the work: ST010; a later await gets the result
CREATE FUNCTION spw_timeout() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    id bigint := stent.spawn('spw_leaf', '{"n": 5}', delay => '1h');
    answer jsonb := '[]';
BEGIN
    BEGIN
        PERFORM stent.await(id, '10m');
    EXCEPTION WHEN SQLSTATE 'ST010' THEN
        answer := answer || jsonb_build_array(regexp_replace(SQLERRM, '\d{2,}', 'N'));
    END;
    RETURN answer || stent.await(id, '0');
END $$;
SELECT stent.register('spw_timeout', 'spw_timeout()');
SELECT stent.dispatch('spw_timeout') AS id \gset
CALL spw_run();
SET stent.clock = '2026-01-01 00:09:59';
CALL spw_run();
SELECT function, state FROM stent.tasks WHERE execution_id = :id ORDER BY id;
SET stent.clock = '2026-01-01 00:10:00';
CALL spw_run();
SELECT name, kind, state FROM stent.step WHERE task_id = :id ORDER BY position;
SET stent.clock = '2026-01-01 01:00:00';
CALL spw_run();
SELECT stent.result_of(:id);

-- a block that was undone has started nothing, unless it had been left since
CREATE FUNCTION spw_undone() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    a bigint;
BEGIN
    BEGIN
        a := stent.spawn('spw_leaf', '{"n": 1}');
        RAISE EXCEPTION 'undone';
    EXCEPTION WHEN raise_exception THEN
        NULL;
    END;
    BEGIN
        a := stent.spawn('spw_leaf', '{"n": 2}');
        PERFORM stent.call('spw_leaf', '{"n": 3}');
        RAISE EXCEPTION 'undone';
    EXCEPTION WHEN raise_exception THEN
        NULL;
    END;
    RETURN stent.await(a);
END $$;
SELECT stent.register('spw_undone', 'spw_undone()');
SELECT stent.dispatch('spw_undone') AS id \gset
CALL spw_run();
SELECT stent.result_of(:id);
SELECT args -> 'n' AS n FROM stent.tasks WHERE parent_id = :id ORDER BY id;

-- of a failed attempt there are none, but for those of its suspensions
CREATE FUNCTION spw_failing() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    a bigint := stent.spawn('spw_leaf', '{"n": 1}');
BEGIN
    PERFORM stent.call('spw_leaf', '{"n": 2}');
    PERFORM stent.spawn('spw_leaf', '{"n": 3}');
    IF stent.attempt() = 1 THEN
        RAISE EXCEPTION 'first attempt';
    END IF;
    RETURN stent.await(a);
END $$;
SELECT stent.register('spw_failing', 'spw_failing()', retry => '{"initial_delay": "0s"}');
SELECT stent.dispatch('spw_failing') AS id \gset
CALL spw_run();
SELECT state, attempt, result FROM stent.tasks WHERE id = :id;
SELECT args -> 'n' AS n, state FROM stent.tasks WHERE parent_id = :id ORDER BY 1, id;

-- an id that a step has used stays that of the child, also if the attempt fails then
CREATE FUNCTION spw_same(id bigint) RETURNS bigint LANGUAGE sql AS $$ SELECT id $$;
CREATE FUNCTION spw_noted(how text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    a bigint := stent.spawn('spw_leaf', '{"n": 4}');
    noted jsonb;
BEGIN
    CASE how
        WHEN 'step' THEN noted := stent.step('note', 'spw_same', jsonb_build_object('id', a));
        WHEN 'call' THEN noted := stent.call('spw_same', jsonb_build_object('id', a));
    END CASE;
    IF stent.attempt() = 1 THEN
        RAISE EXCEPTION 'first attempt';
    END IF;
    RETURN jsonb_build_array(how, noted::bigint = a, stent.await(noted::bigint));
END $$;
SELECT stent.register('spw_same', 'spw_same(bigint)'), stent.register('spw_noted', 'spw_noted(text)', retry => '{"max_attempts": 2, "initial_delay": "0s"}');
SELECT count(stent.dispatch('spw_noted', jsonb_build_object('how', how))) FROM unnest(ARRAY['step', 'call', 'step', 'call']) how;
CALL spw_run();
SELECT state, attempt, result, error ->> 'message' AS error FROM stent.tasks WHERE function = 'spw_noted' ORDER BY id;
SELECT count(*) FILTER (WHERE function = 'spw_leaf' AND args = '{"n": 4}') AS leaves, count(*) FILTER (WHERE function = 'spw_same') AS calls FROM stent.tasks;

-- tasks that are no children: an execution of one's own, one of somebody else, one that has finished; NULL, unknown, oneself
CREATE FUNCTION spw_stranger(id bigint) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    RETURN stent.await(id);
EXCEPTION WHEN OTHERS THEN
    RETURN to_jsonb(SQLSTATE || ' ' || regexp_replace(SQLERRM, '\d{2,}', 'N'));
END $$;
SELECT stent.register('spw_stranger', 'spw_stranger(bigint)');
SELECT stent.dispatch('spw_leaf', '{"n": 6}', delay => '1h') AS later, stent.dispatch('spw_leaf', '{"n": 7}') AS soon, stent.dispatch('spw_leaf', '{"fail": true}') AS bad \gset
SELECT stent.dispatch('spw_stranger', jsonb_build_object('id', :later)) AS a, stent.dispatch('spw_stranger', jsonb_build_object('id', :soon)) AS b, stent.dispatch('spw_stranger', jsonb_build_object('id', :bad)) AS c,
       stent.dispatch('spw_stranger', '{"id": null}') AS d, stent.dispatch('spw_stranger', '{"id": -7}') AS e \gset
CALL spw_run();
SELECT state, result FROM stent.tasks WHERE id IN (:a, :b, :c, :d, :e) ORDER BY id;
SELECT what = :later AS what, task_id = :a AS task FROM stent.waiter;
SET stent.clock = '2026-01-01 03:00:00';
CALL spw_run();
SELECT stent.result_of(:a);
SELECT stent.discard_many('spw_leaf');

-- cancelled, timed out: with their own codes
CREATE FUNCTION spw_ended() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    id bigint := stent.spawn('spw_leaf', delay => '1h');
BEGIN
    RETURN stent.await(id);
EXCEPTION WHEN OTHERS THEN
    RETURN to_jsonb(SQLSTATE || ' ' || SQLERRM = format('ST004 cancelled by %s', current_user));
END $$;
SELECT stent.register('spw_ended', 'spw_ended()');
SELECT stent.dispatch('spw_ended') AS id \gset
CALL spw_run();
SELECT stent.cancel(t.id) FROM stent.tasks t WHERE parent_id = :id;
CALL spw_run();
SELECT state, result FROM stent.tasks WHERE id = :id;

TABLE spw_left;
SELECT count(stent.unregister('spw_' || n)) FROM unnest(ARRAY['leaf', 'three', 'forget', 'fails', 'timeout', 'undone', 'failing', 'same', 'noted', 'stranger', 'ended']) n;
DROP PROCEDURE spw_run;
DROP VIEW spw_left;
DROP FUNCTION spw_leaf, spw_three, spw_forget, spw_fails, spw_timeout, spw_undone, spw_failing, spw_same, spw_noted, spw_stranger, spw_ended;
