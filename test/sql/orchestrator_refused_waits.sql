-- Waits that are refused and caught leave nothing to wait for, in whichever run; and what another handler has made may be waited for.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';
CREATE FUNCTION rfw_leaf(n int) RETURNS int LANGUAGE sql AS $$ SELECT n $$;
CREATE PROCEDURE rfw_run() LANGUAGE plpgsql AS $$ BEGIN FOR i IN 1 .. 20 LOOP EXIT WHEN stent.run() = 0; COMMIT; END LOOP; END $$;
CREATE FUNCTION rfw_do(how text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    caught text := 'no';
BEGIN
    BEGIN
        CASE how
            WHEN 'await' THEN PERFORM stent.await(stent.task_id(), timeout => '1 hour');
            WHEN 'await_all' THEN PERFORM stent.await_all(ARRAY[stent.task_id()], timeout => '1 hour');
            WHEN 'dispatched' THEN PERFORM stent.await(stent.dispatch('rfw_leaf', '{"n": 2}'), timeout => '1 hour');
            WHEN 'dispatched, all' THEN PERFORM stent.await_all(ARRAY[stent.dispatch('rfw_leaf', '{"n": 2}')], timeout => '1 hour');
        END CASE;
    EXCEPTION WHEN object_not_in_prerequisite_state THEN caught := 'yes';
    END;
    PERFORM stent.call('rfw_leaf', '{"n": 1}', queue => 'other');
    PERFORM stent.sleep('1 minute');
    RETURN to_jsonb(caught);
END $$;
SELECT stent.register('rfw_leaf', 'rfw_leaf(int)'), stent.register('rfw_do', 'rfw_do(text)', retry => '{"max_attempts": 1}');
CREATE TEMP TABLE rfw_ids AS SELECT how, stent.dispatch('rfw_do', jsonb_build_object('how', how)) AS id FROM unnest(ARRAY['await', 'await_all', 'dispatched', 'dispatched, all']) how;
CALL rfw_run();
SELECT how, state, due_at FROM rfw_ids JOIN stent.tasks USING (id) ORDER BY id;
SET stent.clock = '2026-01-01 00:01:00';
CALL rfw_run();
SELECT how, state, result, error ->> 'message' AS error FROM rfw_ids JOIN stent.tasks USING (id) ORDER BY id;

-- a call that is run on the spot waits for what its parent has spawned, which is there since then
CREATE FUNCTION rfw_waits(id bigint) RETURNS jsonb LANGUAGE sql AS $$ SELECT stent.await(id) $$;
CREATE FUNCTION rfw_parent() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    a bigint := stent.spawn('rfw_leaf', '{"n": 7}');
BEGIN
    RETURN stent.call('rfw_waits', jsonb_build_object('id', a));
END $$;
SELECT stent.register('rfw_waits', 'rfw_waits(bigint)', retry => '{"max_attempts": 1}'), stent.register('rfw_parent', 'rfw_parent()', retry => '{"max_attempts": 1}');
-- now both are known to be quick
SELECT stent.dispatch('rfw_parent') AS id \gset
CALL rfw_run();
SELECT stent.dispatch('rfw_parent') AS id \gset
CALL rfw_run();
SELECT function, state, result, error ->> 'message' AS error FROM stent.tasks WHERE execution_id = :id ORDER BY id;

SELECT count(*) AS live FROM stent.task;
SELECT stent.discard_many('rfw_do') + stent.discard_many('rfw_waits') + stent.discard_many('rfw_parent') AS dead;
SELECT count(stent.unregister('rfw_' || n)) FROM unnest(ARRAY['leaf', 'do', 'waits', 'parent']) n;
DROP PROCEDURE rfw_run;
DROP FUNCTION rfw_leaf, rfw_do, rfw_waits, rfw_parent;
DROP TABLE rfw_ids;
