-- A child whose own wait has run out, and that does not catch it, has failed like any other: for its parent that is final, and no timeout of its own.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';
CREATE PROCEDURE chw_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
CREATE FUNCTION chw_child() RETURNS jsonb LANGUAGE sql AS $$ SELECT stent.await_signal('never', timeout => '1 minute') $$;
CREATE FUNCTION chw_parent(how text) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    CASE how
        WHEN 'call' THEN RETURN stent.call('chw_child');
        WHEN 'await' THEN RETURN stent.await(stent.spawn('chw_child'), timeout => '1 day');
        WHEN 'await_all' THEN RETURN stent.await_all(ARRAY[stent.spawn('chw_child')], timeout => '1 day');
        WHEN 'own' THEN RETURN stent.await(stent.spawn('chw_child'), timeout => '1 second');
    END CASE;
END $$;
SELECT stent.register('chw_child', 'chw_child()', retry => '{"max_attempts": 1}'), stent.register('chw_parent', 'chw_parent(text)', retry => '{"max_attempts": 2, "initial_delay": "0s"}');
CREATE TEMP TABLE chw_ids AS SELECT how, stent.dispatch('chw_parent', jsonb_build_object('how', how)) AS id FROM unnest(ARRAY['call', 'await', 'await_all', 'own']) how;
CALL chw_run();
SET stent.clock = '2026-01-01 00:00:02';
CALL chw_run();
SELECT how, state, attempt, error ->> 'message' AS message FROM chw_ids JOIN stent.tasks USING (id) ORDER BY id;
SET stent.clock = '2026-01-01 00:01:00';
CALL chw_run();
SELECT how, state, attempt, error ->> 'code' AS code, error ->> 'message' AS message, error -> 'retryable' AS retryable FROM chw_ids JOIN stent.tasks USING (id) ORDER BY id;
SELECT how, count(t.id) AS children FROM chw_ids r LEFT JOIN stent.tasks t ON t.parent_id = r.id GROUP BY r.id, how ORDER BY r.id;

SELECT stent.discard_many('chw_child') AS children, stent.discard_many('chw_parent') AS parents;
SELECT count(*) AS live FROM stent.task;
SELECT count(stent.unregister('chw_' || n)) FROM unnest(ARRAY['child', 'parent']) n;
DROP PROCEDURE chw_run;
DROP FUNCTION chw_child, chw_parent;
DROP TABLE chw_ids;
