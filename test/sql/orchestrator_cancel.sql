-- cancel and max_duration of orchestrators that wait, and of what they wait for.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';
CREATE FUNCTION ocn_leaf(n int DEFAULT 0) RETURNS int LANGUAGE sql AS $$ SELECT n $$;
CREATE PROCEDURE ocn_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
-- a tree of waits, whose leaves are held back or wait themselves
CREATE FUNCTION ocn_tree(depth int, how text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    ids bigint[] := '{}';
BEGIN
    IF depth = 0 THEN
        CASE how
            WHEN 'sleep' THEN PERFORM stent.sleep('10h');
            WHEN 'signal' THEN RETURN stent.await_signal('never');
            WHEN 'call' THEN RETURN stent.call('ocn_leaf', delay => '10h');
        END CASE;
        RETURN 'null';
    END IF;
    FOR i IN 1 .. 2 LOOP
        ids := ids || stent.spawn('ocn_tree', jsonb_build_object('depth', depth - 1, 'how', how));
    END LOOP;
    RETURN stent.await_all(ids);
END $$;
SELECT stent.register('ocn_leaf', 'ocn_leaf(int)'), stent.register('ocn_tree', 'ocn_tree(int, text)');
CREATE FUNCTION ocn_counts(root bigint) RETURNS TABLE (function text, state text, code text, message text, n bigint) LANGUAGE sql AS $$
SELECT t.function, t.state, t.error ->> 'code', replace(regexp_replace(t.error ->> 'message', 'task \d+', 'task N'), current_user, 'ME'), count(*) FROM stent.tasks t
WHERE t.execution_id = root GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 4
$$;
CREATE VIEW ocn_left AS SELECT (SELECT count(*) FROM stent.task) AS tasks, (SELECT count(*) FROM stent.ready) AS ready, (SELECT count(*) FROM stent.due WHERE kind NOT IN ('n', 'f')) AS due,
    (SELECT count(*) FROM stent.child) AS children, (SELECT count(*) FROM stent.waiter) AS waiters;

-- the whole tree
SELECT stent.dispatch('ocn_tree', '{"depth": 2, "how": "sleep"}') AS a, stent.dispatch('ocn_tree', '{"depth": 2, "how": "signal"}') AS b, stent.dispatch('ocn_tree', '{"depth": 2, "how": "call"}') AS c \gset
CALL ocn_run();
SELECT * FROM ocn_counts(:a);
SELECT * FROM ocn_counts(:c);
SELECT stent.cancel(:a), stent.cancel(:b), stent.cancel(:c);
SELECT stent.cancel(:a) AS again;
SELECT * FROM ocn_counts(:a);
SELECT * FROM ocn_counts(:b);
SELECT * FROM ocn_counts(:c);
TABLE ocn_left;
CALL ocn_run();
SELECT count(*) AS due FROM stent.due;

-- a branch: its parent gets ST004 and, since nobody catches it, fails; the siblings go on
SELECT stent.dispatch('ocn_tree', '{"depth": 2, "how": "sleep"}') AS id \gset
CALL ocn_run();
SELECT min(id) AS branch FROM stent.tasks WHERE parent_id = :id \gset
SELECT stent.cancel(:branch);
CALL ocn_run();
SELECT * FROM ocn_counts(:id);
SET stent.clock = '2026-01-01 11:00:00';
CALL ocn_run();
SELECT * FROM ocn_counts(:id);
SELECT stent.discard_many('ocn_tree') AS dead;

-- ready again, not run yet
SELECT stent.dispatch('ocn_tree', '{"depth": 0, "how": "signal"}') AS id \gset
CALL ocn_run();
SELECT stent.signal(:id, 'never', '1');
SELECT stent.cancel(:id);
CALL ocn_run();
SELECT state FROM stent.tasks WHERE id = :id;
-- a cancel that is undone: it waits as before
SELECT stent.dispatch('ocn_tree', '{"depth": 0, "how": "signal"}') AS id \gset
CALL ocn_run();
BEGIN;
SELECT stent.cancel(:id);
ROLLBACK;
SELECT stent.signal(:id, 'never', '"ever"');
CALL ocn_run();
SELECT state, result FROM stent.tasks WHERE id = :id;

-- max_duration: the root is timed out where it waits, all below it cancelled
SELECT stent.dispatch('ocn_tree', '{"depth": 1, "how": "signal"}', max_duration => '2h') AS a, stent.dispatch('ocn_tree', '{"depth": 1, "how": "sleep"}', max_duration => '2h') AS b,
       stent.dispatch('ocn_tree', '{"depth": 1, "how": "call"}', max_duration => '2h') AS c \gset
CALL ocn_run();
SET stent.clock = '2026-01-01 12:59:59';
CALL ocn_run();
SELECT state FROM stent.tasks WHERE id IN (:a, :b, :c);
SET stent.clock = '2026-01-01 13:00:00';
CALL ocn_run();
SELECT * FROM ocn_counts(:a);
SELECT * FROM ocn_counts(:b);
SELECT * FROM ocn_counts(:c);
-- a wait that ends in time ends well
SELECT stent.dispatch('ocn_tree', '{"depth": 0, "how": "sleep"}', max_duration => '11h') AS a, stent.dispatch('ocn_tree', '{"depth": 0, "how": "signal"}', max_duration => '11h') AS b \gset
CALL ocn_run();
SET stent.clock = '2026-01-01 23:30:00';
SELECT stent.signal(:b, 'never', '1');
CALL ocn_run();
SELECT state, result FROM stent.tasks WHERE id IN (:a, :b) ORDER BY id;

-- an orchestrator cancels a child of its own, and is told so by its wait, that need not begin
CREATE FUNCTION ocn_own() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    a bigint := stent.spawn('ocn_leaf', '{"n": 1}', delay => '1h');
    b bigint := stent.spawn('ocn_leaf', '{"n": 2}');
    fast jsonb := stent.await(b);
BEGIN
    PERFORM stent.cancel(a);
    BEGIN
        PERFORM stent.await(a);
    EXCEPTION WHEN SQLSTATE 'ST004' THEN
        RETURN jsonb_build_array(fast, SQLSTATE);
    END;
END $$;
SELECT stent.register('ocn_own', 'ocn_own()');
SELECT stent.dispatch('ocn_own') AS id \gset
CALL ocn_run();
SELECT state, result FROM stent.tasks WHERE execution_id = :id ORDER BY id;

TABLE ocn_left;
SELECT count(stent.unregister('ocn_' || n)) FROM unnest(ARRAY['leaf', 'tree', 'own']) n;
DROP PROCEDURE ocn_run;
DROP VIEW ocn_left;
DROP FUNCTION ocn_leaf, ocn_tree, ocn_own, ocn_counts;
