-- cancel and max_duration over whole trees; retention of executions that live.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';
SET stent.retention = 'off';
CREATE ROLE tree_app LOGIN;
CREATE ROLE tree_other LOGIN;
SELECT stent.grant_usage('tree_app'), stent.grant_usage('tree_other');
CREATE FUNCTION tree_leaf(n int DEFAULT 0, fail boolean DEFAULT false) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    IF fail THEN
        RAISE EXCEPTION 'fails';
    END IF;
    RETURN n;
END $$;
-- width leaves, and as many of itself, down to depth 0; delay holds the leaves back
CREATE FUNCTION tree_node(depth int, width int, delay text DEFAULT NULL, leaf text DEFAULT '{}') RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. width LOOP
        IF depth > 0 THEN
            PERFORM stent.spawn('tree_node', jsonb_build_object('depth', depth - 1, 'width', width, 'delay', delay, 'leaf', leaf));
        END IF;
        PERFORM stent.spawn('tree_leaf', leaf::jsonb, delay => delay::interval);
    END LOOP;
END $$;
GRANT EXECUTE ON FUNCTION tree_leaf(int, boolean), tree_node(int, int, text, text) TO PUBLIC;
SELECT stent.register('tree_leaf', 'tree_leaf(int, boolean)', priority => -5, retry => '{"max_attempts": 1}'), stent.register('tree_node', 'tree_node(int, int, text, text)');
CREATE PROCEDURE tree_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
-- runs the nodes only
CREATE FUNCTION tree_grow() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM stent.pause(function => 'tree_leaf');
    WHILE stent.run() > 0 LOOP END LOOP;
    PERFORM stent.resume(function => 'tree_leaf');
END $$;
CREATE FUNCTION tree_counts(root bigint) RETURNS TABLE (function text, state text, code text, message text, n bigint) LANGUAGE sql AS $$
SELECT t.function, t.state, t.error ->> 'code', regexp_replace(t.error ->> 'message', 'task \d+', 'task N'), count(*) FROM stent.tasks t
WHERE t.execution_id = root GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 4
$$;
CREATE VIEW tree_left AS SELECT (SELECT count(*) FROM stent.task) AS tasks, (SELECT count(*) FROM stent.ready) AS ready, (SELECT count(*) FROM stent.due WHERE kind NOT IN ('n', 'f')) AS due, (SELECT count(*) FROM stent.child) AS children;

-- the root, before it ran: no children yet
SELECT stent.dispatch('tree_node', '{"depth": 2, "width": 2}') AS root \gset
SELECT stent.cancel(:root);
CALL tree_run();
SELECT * FROM tree_counts(:root);

-- three levels, ready and scheduled, by the root that has finished
SELECT stent.dispatch('tree_node', '{"depth": 2, "width": 2}', max_duration => '1d') AS root, stent.dispatch('tree_node', '{"depth": 2, "width": 2, "delay": "1h"}') AS later,
       stent.dispatch('tree_node', '{"depth": 0, "width": 1}') AS bystander \gset
SELECT tree_grow();
SELECT * FROM tree_counts(:root);
TABLE tree_left;
SELECT stent.cancel(:root);
SELECT stent.cancel(:root) AS again;
SELECT * FROM tree_counts(:root);
SELECT count(DISTINCT error ->> 'message') AS messages, bool_and(error ->> 'message' = format('cancelled with task %s by %s', :root, current_user)) AS told FROM stent.tasks WHERE execution_id = :root AND state = 'cancelled';
SELECT stent.why(min(id)) = format('It was cancelled at 2026-01-01 00:00:00 UTC: cancelled with task %s by %s.', :root, current_user) AS why FROM stent.tasks WHERE execution_id = :root AND state = 'cancelled';
SELECT stent.cancel(:later);
SELECT * FROM tree_counts(:later);
TABLE tree_left;
CALL tree_run();
SELECT * FROM tree_counts(:bystander);
TABLE tree_left;

-- a subtree, by its top, finished or not; the rest of the tree goes on
SELECT stent.dispatch('tree_node', '{"depth": 2, "width": 2}') AS root \gset
SELECT tree_grow();
SELECT min(id) FILTER (WHERE function = 'tree_node') AS node, min(id) FILTER (WHERE function = 'tree_leaf') AS leaf FROM stent.tasks WHERE parent_id = :root \gset
SELECT stent.cancel(:leaf);
SELECT stent.cancel(:node);
SELECT stent.cancel(:node) AS again;
WITH RECURSIVE below AS (SELECT id, 0 AS level FROM stent.tasks WHERE id = :node UNION ALL SELECT t.id, level + 1 FROM stent.tasks t JOIN below b ON t.parent_id = b.id)
SELECT t.function, t.state, b.id IS NOT NULL AS below, count(*) FROM stent.tasks t LEFT JOIN below b USING (id) WHERE t.execution_id = :root GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
CALL tree_run();
SELECT * FROM tree_counts(:root);
-- nothing live below: a no-op
SELECT stent.cancel(:root), stent.cancel(:node);
TABLE tree_left;
-- the top of a subtree that has not run takes what would have come below with it
SELECT stent.dispatch('tree_node', '{"depth": 1, "width": 1}') AS root \gset
SELECT stent.run(1);
SELECT stent.cancel(id) FROM stent.tasks WHERE parent_id = :root AND function = 'tree_node';
CALL tree_run();
SELECT * FROM tree_counts(:root);

-- undone
SELECT stent.dispatch('tree_node', '{"depth": 1, "width": 2}') AS root \gset
SELECT tree_grow();
BEGIN;
SELECT stent.cancel(:root);
SELECT count(*) FROM stent.child;
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SAVEPOINT s;
SELECT stent.cancel(:root);
ROLLBACK TO s;
COMMIT;
TABLE tree_left;
CALL tree_run();
SELECT * FROM tree_counts(:root);

-- whose: the task that is named decides, what lies below follows, whoever dispatched it
CREATE FUNCTION tree_definer() RETURNS void LANGUAGE sql SECURITY DEFINER AS $$ SELECT stent.spawn('tree_leaf'), stent.spawn('tree_leaf', delay => '1h') $$;
ALTER FUNCTION tree_definer() OWNER TO tree_other;
SELECT stent.register('tree_definer', 'tree_definer()');
SET SESSION AUTHORIZATION tree_app;
SELECT stent.dispatch('tree_definer') AS root \gset
CALL tree_run();
SELECT count(*) AS seen FROM stent.tasks WHERE execution_id = :root;
SET SESSION AUTHORIZATION tree_other;
\set VERBOSITY sqlstate
SELECT stent.cancel(:root);
\set VERBOSITY terse
SELECT state FROM stent.tasks WHERE execution_id = :root ORDER BY id;
SET SESSION AUTHORIZATION tree_app;
SELECT stent.cancel(:root);
RESET SESSION AUTHORIZATION;
SELECT t.function, t.role, t.state, regexp_replace(t.error ->> 'message', '\d+', 'N') FROM stent.tasks t WHERE execution_id = :root ORDER BY id;
TABLE tree_left;

-- in a handler: another tree, but no task above its own
CREATE FUNCTION tree_canceller(id bigint) RETURNS boolean LANGUAGE sql AS $$ SELECT stent.cancel(id) $$;
CREATE FUNCTION tree_parent(up int, other bigint DEFAULT NULL) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    RETURN CASE up WHEN 0 THEN stent.spawn('tree_canceller', jsonb_build_object('id', coalesce(other, stent.task_id())))
                   ELSE stent.spawn('tree_parent', jsonb_build_object('up', up - 1, 'other', coalesce(other, stent.task_id()))) END;
END $$;
SELECT stent.register('tree_canceller', 'tree_canceller(bigint)', retry => '{"max_attempts": 1}'), stent.register('tree_parent', 'tree_parent(int, bigint)', retry => '{"max_attempts": 1}');
SELECT stent.dispatch('tree_node', '{"depth": 0, "width": 2, "delay": "1h"}') AS victim \gset
SELECT tree_grow();
SELECT stent.dispatch('tree_parent', '{"up": 0}') AS own, stent.dispatch('tree_parent', '{"up": 2}') AS grandparent,
       stent.dispatch('tree_parent', jsonb_build_object('up', 0, 'other', :victim)) AS another \gset
CALL tree_run();
SELECT * FROM tree_counts(:own);
SELECT * FROM tree_counts(:grandparent);
SELECT * FROM tree_counts(:another);
SELECT * FROM tree_counts(:victim);
-- the middle of its own ancestry
SELECT stent.dispatch('tree_node', '{"depth": 0, "width": 0}') AS root \gset
CREATE FUNCTION tree_middle() RETURNS bigint LANGUAGE sql AS $$ SELECT stent.spawn('tree_parent', '{"up": 1}') $$;
SELECT stent.register('tree_middle', 'tree_middle()');
SELECT stent.dispatch('tree_middle') AS root \gset
CALL tree_run();
SELECT * FROM tree_counts(:root);
-- nor a sibling's trouble: a sibling may be cancelled
CREATE FUNCTION tree_siblings() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    sibling bigint := stent.spawn('tree_leaf', delay => '1h');
BEGIN
    PERFORM stent.spawn('tree_canceller', jsonb_build_object('id', sibling));
END $$;
SELECT stent.register('tree_siblings', 'tree_siblings()');
SELECT stent.dispatch('tree_siblings') AS root \gset
CALL tree_run();
SELECT * FROM tree_counts(:root);
TABLE tree_left;

-- children of one concurrency key: those that wait for their turn are cancelled as well, and meet their deadline
CREATE FUNCTION tree_line() RETURNS void LANGUAGE sql AS $$ SELECT stent.spawn('tree_leaf', concurrency_key => 'tree') FROM generate_series(1, 3) $$;
SELECT stent.register('tree_line', 'tree_line()');
SELECT stent.dispatch('tree_line') AS root \gset
SELECT tree_grow();
SELECT * FROM tree_counts(:root);
SELECT stent.reschedule(id, 'elsewhere') FROM stent.tasks WHERE execution_id = :root AND state = 'blocked' ORDER BY id LIMIT 1;
SELECT * FROM tree_counts(:root);
SELECT stent.cancel(:root);
SELECT * FROM tree_counts(:root);
SELECT stent.dispatch('tree_line', max_duration => '30m') AS root \gset
SELECT tree_grow();
SET stent.clock = '2026-01-01 00:30:00';
CALL tree_run();
SELECT * FROM tree_counts(:root);
SELECT stent.dispatch('tree_line') AS root \gset
CALL tree_run();
SELECT * FROM tree_counts(:root);
SELECT count(*) FROM stent.line;
TABLE tree_left;
SET stent.clock = '2026-01-01 00:00:00';

-- max_duration: children past it are cancelled, each by its own entry; a root that finished in time stays so
SELECT stent.dispatch('tree_node', '{"depth": 1, "width": 2, "delay": "3h"}', max_duration => '1h') AS done,
       stent.dispatch('tree_node', '{"depth": 0, "width": 1, "delay": "3h"}') AS unbounded \gset
SELECT tree_grow();
SELECT count(*) FROM stent.due WHERE kind = 'd';
SET stent.clock = '2026-01-01 01:00:00';
CALL tree_run();
SELECT * FROM tree_counts(:done);
SELECT * FROM tree_counts(:unbounded);
\set VERBOSITY sqlstate
SELECT stent.result_of(id) FROM stent.tasks WHERE execution_id = :done AND function = 'tree_leaf' LIMIT 1;
\set VERBOSITY terse
SELECT stent.cancel(:unbounded);
TABLE tree_left;
-- a dead child that is replayed gets as much time as it had left
SELECT stent.dispatch('tree_node', '{"depth": 0, "width": 1, "leaf": "{\"fail\": true}"}', max_duration => '1h') AS root \gset
CALL tree_run();
SELECT * FROM tree_counts(:root);
SET stent.clock = '2026-01-01 12:00:00';
SELECT count(stent.replay(id)) FROM stent.dead_letters WHERE execution_id = :root;
SET stent.clock = '2026-01-01 13:00:00';
CALL tree_run();
SELECT * FROM tree_counts(:root);
TABLE tree_left;

-- retention: nothing of an execution goes while any of its tasks lives
SELECT stent.dispatch('tree_node', '{"depth": 1, "width": 1, "delay": "30 days"}') AS root, stent.dispatch('tree_node', '{"depth": 0, "width": 0}') AS plain \gset
CALL tree_run();
SET stent.clock = '2026-01-05 00:00:00';
SELECT stent.dispatch('tree_leaf') AS unrelated \gset
CALL tree_run();
SET stent.clock = '2026-01-15 12:00:00';
SELECT stent.cleanup('5 days') >= 3 AS cleaned;
SELECT count(*) FROM stent.tasks WHERE id IN (:plain, :unrelated);
SELECT * FROM tree_counts(:root);
SELECT count(*) AS kept FROM stent.archive_kept WHERE execution_id = :root;
-- also within the day of the cutoff
SELECT stent.dispatch('tree_node', '{"depth": 0, "width": 1, "delay": "30 days"}') AS young, stent.dispatch('tree_node', '{"depth": 0, "width": 0}') AS plain \gset
CALL tree_run();
SET stent.clock = '2026-01-15 18:00:00';
SELECT stent.cleanup('1 hour') > 0 AS cleaned;
SELECT count(*) FROM stent.tasks WHERE id = :plain;
SELECT * FROM tree_counts(:young);
SELECT stent.cancel(:young);
-- when the last has ended it goes
SELECT stent.cancel(:root);
SELECT stent.cleanup('0') > 0 AS cleaned;
SELECT count(*) FROM stent.tasks WHERE execution_id IN (:root, :young) AND finished_at < '2026-01-15 18:00:00';
TABLE tree_left;
-- for the tests that follow
SET stent.clock = '2026-02-01 00:00:00';
SELECT stent.purge_dead_letters('1h', 'tree_canceller');
