-- explain() shows an execution as a tree. Steps are written by hand here: what handlers
-- make of them is explain_steps' business.
\set VERBOSITY terse
\pset format unaligned
\pset tuples_only on
SET stent.clock = '2026-01-01 00:00:00';

CREATE ROLE explain_app LOGIN;
CREATE ROLE explain_other LOGIN;
CREATE ROLE explain_admin LOGIN;
SELECT stent.grant_usage('explain_app'), stent.grant_usage('explain_other'), stent.grant_usage('explain_admin', 'admin');
CREATE FUNCTION explain_leaf(code text DEFAULT NULL) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    IF code IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = code, MESSAGE = E'the card\nis declined ' || repeat('x', 200);
    END IF;
    RETURN 1;
END $$;
-- leaves: children that no step knows of
CREATE FUNCTION explain_flow(leaves int, code text DEFAULT NULL) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM stent.spawn('explain_leaf') FROM generate_series(1, leaves);
    IF code IS NOT NULL THEN
        PERFORM stent.spawn('explain_leaf', jsonb_build_object('code', code), retry => '{"max_attempts": 2, "initial_delay": "1m", "jitter": 0}');
    END IF;
END $$;
GRANT EXECUTE ON FUNCTION explain_leaf(text), explain_flow(int, text) TO PUBLIC;
SELECT stent.register('explain_leaf', 'explain_leaf(text)'), stent.register('explain_flow', 'explain_flow(int,text)'),
       stent.register('explain_ext');
-- ids are those of the run
CREATE FUNCTION explain(root bigint) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    code text; msg text;
BEGIN
    RETURN QUERY SELECT replace(regexp_replace(e, '(task|map) \d+', '\1 N', 'g'), repeat('x', 50), 'X') FROM stent.explain(root) e;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, msg = MESSAGE_TEXT;
    RETURN NEXT code || ': ' || regexp_replace(msg, 'task \d+', 'task N');
END $$;
GRANT EXECUTE ON FUNCTION explain(bigint) TO PUBLIC;
CREATE PROCEDURE explain_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;

SELECT explain(NULL);
SELECT explain(-1);

-- live, finished, and dead; children without steps
SET SESSION AUTHORIZATION explain_app;
SELECT stent.dispatch('explain_flow', '{"leaves": 2, "code": "P0001"}') AS flow \gset
SELECT explain(:flow);
SELECT stent.run(1) > 0;
SELECT explain(:flow);
CALL explain_run();
SELECT explain(:flow);
SET SESSION AUTHORIZATION DEFAULT;
SET stent.clock = '2026-01-01 00:01:05.5';
SET SESSION AUTHORIZATION explain_app;
CALL explain_run();
SELECT explain(:flow);
-- the part below a task
SELECT explain(d.id) FROM stent.dead_letters d;

-- own tasks only, unless the reader is an admin
SET SESSION AUTHORIZATION explain_other;
SELECT explain(:flow);
SET SESSION AUTHORIZATION explain_admin;
SELECT explain(:flow);

-- a wide fan-out is counted: 20 are shown, or 21
SET SESSION AUTHORIZATION explain_app;
SELECT stent.dispatch('explain_flow', '{"leaves": 21}') AS narrow, stent.dispatch('explain_flow', '{"leaves": 1000}') AS wide \gset
CALL explain_run();
SELECT count(*) FROM explain(:narrow);
SELECT count(*) FROM explain(:wide);
SELECT e FROM explain(:wide) e OFFSET 20;
SELECT kind, depth, detail FROM stent.explain_rows(:wide) OFFSET 21;
RESET SESSION AUTHORIZATION;

-- steps, and what a waiting task waits for
CREATE FUNCTION explain_wait(id bigint) RETURNS void LANGUAGE sql AS $$
    DELETE FROM stent.ready r WHERE r.task_id = $1;
    UPDATE stent.task t SET state = 'w', due_at = 'infinity' WHERE t.id = $1;
$$;
-- the call of the new step is that of a child
CREATE FUNCTION explain_child(parent bigint, child_state "char", error jsonb DEFAULT NULL) RETURNS bigint LANGUAGE sql AS $$
    WITH p AS (SELECT t.execution_id, t.lane_id, t.policy_id FROM stent.task t WHERE t.id = parent),
    f AS (SELECT v.id FROM stent.function v WHERE v.name = 'explain_leaf'),
    made AS (INSERT INTO stent.task (id, execution_id, parent_id, created_at, function_id, lane_id, policy_id, attempt, replays, lost, crashed, priority, state)
             SELECT nextval('stent.id_seq'), p.execution_id, parent, '2026-01-01 00:01:00', f.id, p.lane_id, p.policy_id, 0, 0, 0, 0, 0, child_state
             FROM p, f WHERE child_state IN ('r', 'b')
             RETURNING id),
    ended AS (INSERT INTO stent.archive_kept (id, execution_id, parent_id, created_at, started_at, finished_at, function_id, lane_id, policy_id, attempt, replays, lost, crashed, priority, state, error)
             SELECT nextval('stent.id_seq'), p.execution_id, parent, '2026-01-01 00:01:00', '2026-01-01 00:01:01', '2026-01-01 00:01:02.25', f.id, p.lane_id, p.policy_id, 1, 0, 0, 0, 0, child_state, error
             FROM p, f WHERE child_state IN ('c', 'f', 'x')
             RETURNING id)
    SELECT id FROM made UNION ALL SELECT id FROM ended
$$;
CREATE FUNCTION explain_step(task bigint, kind text, state "char", name text DEFAULT NULL, child bigint DEFAULT NULL, wake timestamp DEFAULT NULL,
                             detail jsonb DEFAULT NULL, error jsonb DEFAULT NULL, n int DEFAULT 1) RETURNS void LANGUAGE sql AS $$
    INSERT INTO stent.step (task_id, position, name, kind, function_id, state, child_id, created_at, finished_at, error, number, mark, wake_at, detail)
    SELECT task, COALESCE((SELECT max(s.position) FROM stent.step s WHERE s.task_id = task), 0) + g, name, kind,
           (SELECT f.id FROM stent.function f WHERE f.name = 'explain_leaf' AND kind IN ('call', 'spawn', 'step', 'map')),
           state, child, '2026-01-01 00:01:00', CASE WHEN state <> 'w' THEN timestamp '2026-01-01 00:01:00.125' END, error, 1, 1, wake, detail
    FROM generate_series(1, n) g
$$;
SET SESSION AUTHORIZATION explain_app;
SELECT stent.dispatch('explain_flow', '{"leaves": 0}') AS flow \gset
RESET SESSION AUTHORIZATION;
SELECT explain_wait(:flow);
SELECT explain_step(:flow, 'call', 'c', 'reserve', explain_child(:flow, 'c'));
SELECT explain_step(:flow, 'call', 'f', NULL, explain_child(:flow, 'f', '{"code": "P0001", "message": "declined"}'));
SELECT explain_step(:flow, 'step', 'f', 'undo', error => '{"code": "22012", "message": "division by zero"}');
SELECT explain_step(:flow, 'record', 'c', 'today');
SELECT explain_step(:flow, 'sleep', 'c');
SELECT explain_step(:flow, 'spawn', 'c', NULL, explain_child(:flow, 'b'));
SELECT explain_step(:flow, 'sleep', 'w', wake => '2026-02-01');
SET SESSION AUTHORIZATION explain_app;
SELECT explain(:flow);
RESET SESSION AUTHORIZATION;
DELETE FROM stent.step WHERE kind = 'sleep' AND state = 'w';
-- each kind of wait
CREATE FUNCTION explain_last(id bigint) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY SELECT e FROM explain(id) e WHERE e LIKE '  7%' OR e LIKE 'task%';
    DELETE FROM stent.step s WHERE s.task_id = id AND s.position = 7;
END $$;
SELECT explain_step(:flow, 'signal', 'w', 'approval', wake => '2026-01-01 01:00:00');
SELECT explain_last(:flow);
SELECT explain_step(:flow, 'signal', 'w', detail => '{"name": "approval"}', wake => 'infinity');
SELECT explain_last(:flow);
SELECT explain_step(:flow, 'call', 'w', child => explain_child(:flow, 'r'));
SELECT explain_last(:flow);
SELECT explain_step(:flow, 'await', 'w', child => :wide, wake => '2026-01-01 01:00:00');
SELECT explain_last(:flow);
SELECT explain_step(:flow, 'await_all', 'w', detail => jsonb_build_object('ids', jsonb_build_array(:flow, :flow, :wide, :narrow, -1)));
SELECT explain_last(:flow);
-- a task whose rows are not those of a child is shown, not what is below it
SELECT explain_step(:flow, 'call', 'w', child => :wide);
SELECT explain_last(:flow);
-- no waiting task shows when its wait ends as its due time
SET SESSION AUTHORIZATION explain_app;
SELECT t.state, t.due_at, e.state, e.due_at FROM stent.tasks t JOIN stent.executions e USING (id) WHERE id = :flow;
SELECT count(*) FROM stent.tasks WHERE due_at = 'infinity';
RESET SESSION AUTHORIZATION;

-- a map is one line, and its failed items
INSERT INTO stent.map (id, execution_id, items, chunks, started, chunk_size, concurrency_limit, collect, star, at_once, peak, lane_id)
SELECT explain_child(:flow, 'b'), t.id, 3000, 30, 10, 100, 10, false, false, false, 0, t.lane_id FROM stent.task t WHERE t.id = :flow RETURNING stent.map.id AS map \gset
INSERT INTO stent.chunk (map_id, number, first_item, items, task_id, attempt, completed, failed, hits, finished_at)
SELECT :map, g, 100 * g, 100, -g, 1, 98, 2, 0, '2026-01-01 00:01:04' FROM generate_series(0, 3) g;
INSERT INTO stent.chunk (map_id, number, first_item, items, task_id, attempt, completed, failed, hits)
SELECT :map, g, 100 * g, 100, 0, 0, 0, 0, 0 FROM generate_series(4, 29) g;
INSERT INTO stent.item (map_id, number, attempt, error, task_id, replaced)
SELECT :map, 10 * g, 3, '{"code": "22012", "message": "division by zero"}', -g, false FROM generate_series(1, 8) g;
UPDATE stent.task SET state = 'w', due_at = 'infinity', chunk = -1 WHERE id = :map;
INSERT INTO stent.task (id, execution_id, parent_id, chunk, created_at, function_id, lane_id, policy_id, attempt, replays, lost, crashed, priority, state)
SELECT nextval('stent.id_seq'), m.execution_id, m.id, 4, m.created_at, m.function_id, m.lane_id, m.policy_id, 0, 0, 0, 0, 0, 'r'
FROM stent.task m WHERE m.id = :map;
SELECT explain_step(:flow, 'map', 'w', child => :map);
SELECT e FROM explain(:flow) e OFFSET 7;
SELECT explain(:map);
SELECT kind, name, depth, waits_for, detail FROM stent.explain_rows(:map);
DELETE FROM stent.step WHERE child_id = :map;

-- a series of steps is counted, a loop of several is cut in its middle; the last is shown
SELECT explain_step(:flow, 'call', 'c', n => 30), explain_step(:flow, 'call', 'f', n => 2), explain_step(:flow, 'call', 'w');
SELECT e FROM explain(:flow) e OFFSET 26;
SELECT count(explain_step(:flow, 'sleep', 'c')) + count(explain_step(:flow, 'record', 'c')) FROM generate_series(1, 1000);
SELECT count(*) FROM explain(:flow);
SELECT e FROM explain(:flow) e WHERE e LIKE '%more%';
-- a task of another role is not shown, nor is it counted
SET SESSION AUTHORIZATION explain_other;
SELECT stent.dispatch('explain_leaf') AS other \gset
RESET SESSION AUTHORIZATION;
UPDATE stent.task t SET lane_id = o.lane_id FROM stent.task o WHERE o.id = :other AND t.parent_id = :flow;
SET SESSION AUTHORIZATION explain_app;
SELECT e FROM explain(:flow) e WHERE e LIKE '  6 %' OR e LIKE '  task%' OR e LIKE '  map%';
SET SESSION AUTHORIZATION explain_other;
SELECT explain(:flow);
SELECT e FROM explain((SELECT id FROM stent.tasks WHERE parent_id = :flow ORDER BY id LIMIT 1)) e;
SET SESSION AUTHORIZATION explain_admin;
SELECT e FROM explain(:flow) e WHERE e LIKE '  6 %' OR e LIKE '  task%' OR e LIKE '  map%';
RESET SESSION AUTHORIZATION;

-- for the tests that follow
DELETE FROM stent.step;
DELETE FROM stent.map;
DELETE FROM stent.chunk;
DELETE FROM stent.item;
DELETE FROM stent.task WHERE execution_id = :flow;
DELETE FROM stent.archive_kept WHERE execution_id = :flow;
SELECT stent.cancel(:other);
SELECT stent.discard_many('explain_leaf');
SELECT count(*) FROM stent.task;
SELECT count(*) FROM stent.due WHERE kind NOT IN ('n', 'f');
