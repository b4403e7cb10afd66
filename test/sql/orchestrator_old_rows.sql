-- Rows as versions before 0.5 would have written them: steps without number, mark and
-- digest, children without bucket, a policy without retry_for. They serve beside new ones.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';
CREATE TABLE old_t (line text);
CREATE FUNCTION old_leaf(n int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO old_t VALUES (format('leaf %s', n));
    RETURN 10 * n;
END $$;
CREATE FUNCTION old_flow() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    a int; b int; c int; r jsonb;
BEGIN
    a := stent.call('old_leaf', '{"n": 1}');
    r := stent.record('r', '"kept"');
    b := stent.call('old_leaf', '{"n": 2}');
    PERFORM stent.sleep('1 hour');
    c := stent.call('old_leaf', '{"n": 3}');
    RETURN jsonb_build_array(a, r, b, c);
END $$;
-- fails once, after its wait: the policy says no more than how often
CREATE FUNCTION old_retried() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM stent.sleep('1 hour');
    IF stent.attempt() = 1 THEN
        RAISE EXCEPTION 'once';
    END IF;
    RETURN 'again';
END $$;
SELECT stent.register('old_leaf', 'old_leaf(int)'), stent.register('old_flow', 'old_flow()'), stent.register('old_retried', 'old_retried()', retry => '{"initial_delay": "59s", "jitter": 0}');
CREATE PROCEDURE old_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;

SELECT stent.dispatch('old_flow') AS flow \gset
SELECT stent.dispatch('old_retried') AS retried \gset
CALL old_run();
SELECT position, name, number, kind, state FROM stent.step WHERE task_id = :flow ORDER BY position;
-- those without a name are known by their position then: 1, 2, 3
UPDATE stent.step SET position = position + 100 WHERE task_id = :flow;
UPDATE stent.step SET position = CASE position WHEN 102 THEN 3 WHEN 103 THEN 2 ELSE position - 100 END WHERE task_id = :flow;
UPDATE stent.step SET number = NULL, mark = NULL, args_digest = NULL, detail = NULL WHERE task_id = :flow AND kind <> 'sleep';
UPDATE stent.retry_policy SET policy = policy - 'retry_for' - 'no_retry_for' WHERE id = (SELECT policy_id FROM stent.task WHERE id = :retried);
SELECT policy ? 'retry_for' AS has_retry_for FROM stent.retry_policy WHERE id = (SELECT policy_id FROM stent.task WHERE id = :retried);
SET stent.clock = '2026-01-01 01:00:00';
-- read anew
\c -
\set VERBOSITY terse
SET stent.clock = '2026-01-01 01:00:00';
SET stent.batch_time = '60s';
CALL old_run();
SELECT stent.result_of(:flow);
SELECT line, count(*) FROM old_t GROUP BY line ORDER BY line;
SELECT state, attempt FROM stent.tasks WHERE id = :retried;
SET stent.clock = '2026-01-01 01:01:00';
CALL old_run();
SELECT stent.result_of(:retried);

-- a child whose row does not say where its parent is served
CREATE FUNCTION old_parent() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN stent.call('old_leaf', '{"n": 4}', delay => '1 hour'); END $$;
SELECT stent.register('old_parent', 'old_parent()');
SELECT stent.dispatch('old_parent') AS parent \gset
CALL old_run();
UPDATE stent.child SET bucket = NULL WHERE parent_id = :parent;
SET stent.clock = '2026-01-01 02:01:00';
CALL old_run();
SELECT stent.result_of(:parent);
SELECT stent.unregister('old_parent'), stent.unregister('old_retried'), stent.unregister('old_flow'), stent.unregister('old_leaf');
