-- await_signal: the latest value, sent before, during or after; each wait takes a newer one.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';
CREATE PROCEDURE osg_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
-- waits for these names in turn
CREATE FUNCTION osg_wait(names text[], span interval DEFAULT NULL) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    name text;
    answer jsonb := '[]';
BEGIN
    FOREACH name IN ARRAY names LOOP
        BEGIN
            answer := answer || jsonb_build_array(stent.await_signal(name, span));
        EXCEPTION WHEN SQLSTATE 'ST010' THEN
            answer := answer || jsonb_build_array(SQLERRM);
        END;
    END LOOP;
    RETURN answer;
END $$;
SELECT stent.register('osg_wait', 'osg_wait(text[], interval)');

-- during the wait
SELECT stent.dispatch('osg_wait', '{"names": ["a"]}') AS id \gset
CALL osg_run();
SELECT state FROM stent.tasks WHERE id = :id;
SELECT what = :id AS what, task_id = :id AS task FROM stent.waiter;
SELECT stent.signal(:id, 'other', '1');
CALL osg_run();
SELECT state FROM stent.tasks WHERE id = :id;
SELECT stent.signal(:id, 'a', '{"x": 1}');
CALL osg_run();
SELECT state, result FROM stent.tasks WHERE id = :id;
SELECT count(*) AS waiters FROM stent.waiter;

-- before it; JSON null is a value as any other
SELECT stent.dispatch('osg_wait', '{"names": ["a", "b"]}') AS id \gset
SELECT stent.signal(:id, 'b'), stent.signal(:id, 'a', '1');
CALL osg_run();
SELECT state, result FROM stent.tasks WHERE id = :id;

-- the latest counts, before the wait and during it, up to the moment when it is taken
SELECT stent.dispatch('osg_wait', '{"names": ["a", "b"]}') AS id \gset
SELECT stent.signal(:id, 'a', '1');
SELECT stent.signal(:id, 'a', '2');
SELECT stent.run(1);
SELECT stent.signal(:id, 'b', '3');
SELECT stent.signal(:id, 'b', '4');
CALL osg_run();
SELECT stent.result_of(:id);

-- two names in turn: the second may be sent first, and one of the first that comes again is not lost on the second
SELECT stent.dispatch('osg_wait', '{"names": ["a", "b", "a"]}') AS id \gset
CALL osg_run();
SELECT stent.signal(:id, 'b', '"b1"');
CALL osg_run();
SELECT state FROM stent.tasks WHERE id = :id;
SELECT stent.signal(:id, 'a', '"a1"');
CALL osg_run();
-- a second wait for a name takes a newer one: the first is still there, and does not count again
SELECT state, stent.state_of(id) #> '{signals,a,payload}' AS a FROM stent.tasks WHERE id = :id;
CALL osg_run();
SELECT stent.signal(:id, 'a', '"a1"');
CALL osg_run();
SELECT stent.result_of(:id);

-- sent between two runs of the handler: the second wait finds it
SELECT stent.dispatch('osg_wait', '{"names": ["a", "a"]}') AS id \gset
SELECT stent.signal(:id, 'a', '1');
SELECT stent.run(1);
SELECT state FROM stent.tasks WHERE id = :id;
SELECT stent.signal(:id, 'a', '2');
CALL osg_run();
SELECT stent.result_of(:id);

-- timeouts; a signal sent after one is there for the next wait; 0 is none
SELECT stent.dispatch('osg_wait', '{"names": ["a", "a"], "span": "1h"}') AS id, stent.dispatch('osg_wait', '{"names": ["a"], "span": "0"}') AS none \gset
CALL osg_run();
SELECT task_id = :none AS none, state, wake_at FROM stent.step WHERE task_id IN (:id, :none) ORDER BY 1;
SET stent.clock = '2026-01-01 01:00:00';
CALL osg_run();
SELECT state, wake_at FROM stent.step WHERE task_id = :id ORDER BY position;
SELECT stent.signal(:id, 'a', '"late"');
SET stent.clock = '2026-01-01 09:00:00';
CALL osg_run();
-- both the signal and the timeout are there: the signal counts
SELECT stent.result_of(:id);
SELECT state FROM stent.tasks WHERE id = :none;
SELECT stent.signal(:none, 'a');
CALL osg_run();
SELECT stent.result_of(:none);

-- undone with its transaction: nothing was sent
SELECT stent.dispatch('osg_wait', '{"names": ["a"]}') AS id \gset
CALL osg_run();
BEGIN;
SELECT stent.signal(:id, 'a', '1');
ROLLBACK;
CALL osg_run();
SELECT state FROM stent.tasks WHERE id = :id;
-- by a handler, also by one below
CREATE FUNCTION osg_send(execution bigint, value jsonb) RETURNS void LANGUAGE sql AS $$ SELECT stent.signal(execution, 'a', value) $$;
SELECT stent.register('osg_send', 'osg_send(bigint, jsonb)');
SELECT stent.dispatch('osg_send', jsonb_build_object('execution', :id, 'value', 'from a handler'::text)) \gset
CALL osg_run();
SELECT stent.result_of(:id);

-- a child waits for the signals of its execution, beside its parent
CREATE FUNCTION osg_parent() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    child bigint := stent.spawn('osg_wait', '{"names": ["a"]}');
BEGIN
    RETURN jsonb_build_array(stent.await_signal('a'), stent.await(child));
END $$;
SELECT stent.register('osg_parent', 'osg_parent()');
SELECT stent.dispatch('osg_parent') AS id \gset
CALL osg_run();
SELECT function, state FROM stent.tasks WHERE execution_id = :id ORDER BY id;
SELECT stent.signal(:id, 'a', '"for both"');
CALL osg_run();
SELECT stent.result_of(:id);

-- what is wrong
CREATE FUNCTION osg_wrong() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    sql text;
    answer jsonb := '[]';
BEGIN
    FOREACH sql IN ARRAY ARRAY['NULL', $a$''$a$, $a$repeat('s', 201)$a$, $a$'a', '-1s'$a$, $a$'a', '36501 days'$a$] LOOP
        BEGIN
            EXECUTE 'SELECT stent.await_signal(' || sql || ')';
        EXCEPTION WHEN OTHERS THEN
            answer := answer || jsonb_build_array(SQLSTATE || ' ' || left(SQLERRM, 80));
        END;
    END LOOP;
    RETURN answer;
END $$;
SELECT stent.register('osg_wrong', 'osg_wrong()');
SELECT stent.dispatch('osg_wrong') AS id \gset
CALL osg_run();
SELECT jsonb_array_elements(stent.result_of(:id));

SELECT (SELECT count(*) FROM stent.task) AS tasks, (SELECT count(*) FROM stent.due) AS due, (SELECT count(*) FROM stent.waiter) AS waiters;
SELECT count(stent.unregister('osg_' || n)) FROM unnest(ARRAY['wait', 'send', 'parent', 'wrong']) n;
DROP PROCEDURE osg_run;
DROP FUNCTION osg_wait, osg_send, osg_parent, osg_wrong;
