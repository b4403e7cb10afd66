-- spawn: children of a running task.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';
CREATE ROLE spawn_app LOGIN;
CREATE ROLE spawn_other LOGIN;
SELECT stent.grant_usage('spawn_app'), stent.grant_usage('spawn_other');
CREATE FUNCTION spawn_leaf(n int DEFAULT 0, pad text DEFAULT '') RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    IF n < 0 THEN
        RAISE EXCEPTION 'negative: %', n;
    END IF;
    RETURN n;
END $$;
-- spawns what the statements say; fails after that in the first attempts
CREATE FUNCTION spawn_do(sql text, fail int DEFAULT 0) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE sql;
    IF stent.attempt() <= fail THEN
        RAISE EXCEPTION 'after spawning';
    END IF;
END $$;
GRANT EXECUTE ON FUNCTION spawn_leaf(int, text), spawn_do(text, int) TO PUBLIC;
SELECT stent.register('spawn_leaf', 'spawn_leaf(int, text)', queue => 'spawn_q', priority => 3, tags => '{leaf}', timeout => '5m', retry => '{"max_attempts": 1}', max_duration => '1s'),
       stent.register('spawn_do', 'spawn_do(text, int)', retry => '{"max_attempts": 2, "initial_delay": "1s"}'),
       stent.register('spawn_external');
CREATE PROCEDURE spawn_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
-- a tree without ids
CREATE FUNCTION spawn_tree(root bigint) RETURNS TABLE (task text, parent text, in_execution boolean, state text, role text) LANGUAGE sql AS $$
WITH t AS (SELECT t.*, function || '#' || row_number() OVER (ORDER BY id) AS label FROM stent.tasks t WHERE t.execution_id = root)
SELECT t.label, p.label, t.execution_id = root, t.state, t.role FROM t LEFT JOIN t p ON p.id = t.parent_id ORDER BY t.id
$$;
CREATE VIEW spawn_left AS SELECT (SELECT count(*) FROM stent.task) AS tasks, (SELECT count(*) FROM stent.ready) AS ready, (SELECT count(*) FROM stent.due WHERE kind NOT IN ('n', 'f')) AS due, (SELECT count(*) FROM stent.child) AS children;

-- only in a handler
SELECT stent.spawn('spawn_leaf');
\set VERBOSITY sqlstate
SELECT stent.spawn('spawn_leaf');
\set VERBOSITY terse
-- children begin to exist with the commit of the attempt
SELECT stent.dispatch('spawn_do', jsonb_build_object('sql', $$SELECT stent.spawn('spawn_leaf', '{"n": 1}'), stent.spawn('spawn_leaf', '{"n": 2}')$$)) AS root \gset
SELECT stent.run(1);
SELECT * FROM spawn_tree(:root);
SELECT stent.state_of(:root) ->> 'state' AS state, stent.state_of(:root) -> 'live_children' AS children, stent.state_of(:root) -> 'live_tasks' AS tasks;
SELECT count(*) FROM stent.executions WHERE id >= :root;
TABLE spawn_left;
CALL spawn_run();
SELECT * FROM spawn_tree(:root);
SELECT stent.state_of(:root) -> 'live_children' AS children, stent.state_of(:root) -> 'live_tasks' AS tasks;
SELECT result FROM stent.tasks WHERE parent_id = :root ORDER BY id;
TABLE spawn_left;

-- options: as of the child's function, or as given; the execution's deadline bounds it, its own function's does not
SELECT stent.dispatch('spawn_do', jsonb_build_object('sql', $$SELECT stent.spawn('spawn_leaf'),
    stent.spawn('spawn_leaf', '{"n": 7}', 'spawn_r', -3, '{b,a}', delay => '1h', timeout => '7m', retry => '{"max_attempts": 9}', headers => '{"h": 1}'),
    stent.spawn('spawn_leaf', run_at => '2026-01-01 02:00')$$), queue => 'spawn_s', priority => 9, headers => '{"mine": 1}', max_duration => '10h') AS root \gset
SELECT stent.run(1);
SELECT queue, priority, tags, state, due_at, timeout, retry -> 'max_attempts' AS attempts, headers, deadline FROM stent.tasks WHERE parent_id = :root ORDER BY id;
SELECT d.kind, d.due_at FROM stent.due d JOIN stent.tasks t ON t.id = d.task_id WHERE t.parent_id = :root ORDER BY t.id, d.kind;
CALL spawn_run();
SET stent.clock = '2026-01-01 03:00:00';
CALL spawn_run();
SELECT state, count(*) FROM stent.tasks WHERE execution_id = :root GROUP BY state ORDER BY state;
TABLE spawn_left;

-- a failed attempt leaves no children, nor does a subtransaction that was undone, nor a transaction
SELECT stent.dispatch('spawn_do', jsonb_build_object('sql', $$SELECT stent.spawn('spawn_leaf')$$, 'fail', 1)) AS root \gset
SELECT stent.run(1);
SELECT * FROM spawn_tree(:root);
TABLE spawn_left;
SET stent.clock = '2026-01-01 04:00:00';
CALL spawn_run();
SELECT * FROM spawn_tree(:root);
SELECT stent.dispatch('spawn_do', jsonb_build_object('sql', $$DO $a$ BEGIN
    PERFORM stent.spawn('spawn_leaf', '{"n": 1}');
    BEGIN
        PERFORM stent.spawn('spawn_leaf', '{"n": 2}');
        RAISE division_by_zero;
    EXCEPTION WHEN division_by_zero THEN
        PERFORM stent.spawn('spawn_leaf', '{"n": 3}');
    END;
END $a$ $$)) AS root \gset
BEGIN;
SELECT stent.run(1);
SELECT count(*) FROM stent.child;
ROLLBACK;
TABLE spawn_left;
CALL spawn_run();
SELECT args FROM stent.tasks WHERE parent_id = :root ORDER BY id;
TABLE spawn_left;

-- three levels, in one batch; large arguments; an external child
SELECT stent.dispatch('spawn_do', jsonb_build_object('sql', $$SELECT stent.spawn('spawn_do', jsonb_build_object('sql',
    'SELECT stent.spawn(''spawn_leaf'', jsonb_build_object(''pad'', repeat(''x'', 3000))), stent.spawn(''spawn_external'')'))$$)) AS root \gset
CALL spawn_run();
SELECT * FROM spawn_tree(:root);
SELECT length(args ->> 'pad') FROM stent.tasks WHERE execution_id = :root AND function = 'spawn_leaf';
SELECT stent.state_of(:root) -> 'live_children' AS children, stent.state_of(:root) -> 'live_tasks' AS tasks;
SELECT stent.cancel(:root);

-- the child's role is the current user
SET SESSION AUTHORIZATION spawn_app;
SELECT stent.dispatch('spawn_do', jsonb_build_object('sql', $$SELECT stent.spawn('spawn_leaf')$$)) AS root \gset
SELECT stent.run(1);
SELECT * FROM spawn_tree(:root);
CALL spawn_run();
RESET SESSION AUTHORIZATION;
SELECT * FROM spawn_tree(:root);
CREATE FUNCTION spawn_definer() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS $$ SELECT stent.spawn('spawn_leaf') $$;
ALTER FUNCTION spawn_definer() OWNER TO spawn_other;
SELECT stent.register('spawn_definer', 'spawn_definer()');
SELECT stent.dispatch('spawn_definer') AS root \gset
CALL spawn_run();
SELECT t.parent_id IS NULL AS root, t.state, t.role = current_user AS mine, t.role = 'spawn_other' AS others FROM stent.tasks t WHERE execution_id = :root ORDER BY id;
SET SESSION AUTHORIZATION spawn_other;
SELECT function, parent_id = :root AS child FROM stent.tasks WHERE execution_id = :root;
CALL spawn_run();
RESET SESSION AUTHORIZATION;

-- a dead child that is replayed is a child again
SELECT stent.dispatch('spawn_do', jsonb_build_object('sql', $$SELECT stent.spawn('spawn_leaf', '{"n": -1}')$$), max_duration => '1h') AS root \gset
CALL spawn_run();
SELECT * FROM spawn_tree(:root);
TABLE spawn_left;
SELECT id AS dead FROM stent.dead_letters WHERE execution_id = :root \gset
SELECT stent.replay(:dead) = :dead AS replayed;
SELECT * FROM spawn_tree(:root);
TABLE spawn_left;
CALL spawn_run();
TABLE spawn_left;
SELECT stent.replay_many(function => 'spawn_leaf');
SELECT stent.cancel(:root);
SELECT * FROM spawn_tree(:root);
TABLE spawn_left;

-- checked as dispatch does
SELECT stent.dispatch('spawn_do', jsonb_build_object('sql', q), retry => '{"max_attempts": 1}') > 0 FROM unnest(ARRAY[
    $$SELECT stent.spawn('spawn_unknown')$$, $$SELECT stent.spawn(NULL)$$, $$SELECT stent.spawn('spawn_leaf', NULL)$$, $$SELECT stent.spawn('spawn_leaf', '{"x": 1}')$$,
    $$SELECT stent.spawn('spawn_leaf', delay => '1s', run_at => '2030-01-01')$$, $$SELECT stent.spawn('spawn_leaf', priority => 1000)$$]) q;
CALL spawn_run();
SELECT error ->> 'code' AS code, error ->> 'message' AS message FROM stent.dead_letters WHERE function = 'spawn_do' ORDER BY id;
TABLE spawn_left;
