-- A call that is run on the spot has no row yet: where it asks for itself, it runs as a task like any other.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';
CREATE TABLE oci_t (line text);
CREATE PROCEDURE oci_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
CREATE FUNCTION oci_leaf(how text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO oci_t VALUES (how);
    IF how = 'state_of' THEN
        RETURN stent.state_of(stent.task_id()) ->> 'function';
    ELSIF how = 'why' THEN
        RETURN stent.why(stent.task_id()) IS NOT NULL;
    ELSIF how = 'nobody' THEN
        RETURN stent.state_of(-1);
    END IF;
    RETURN 'nothing';
EXCEPTION WHEN no_data_found THEN
    RETURN 'not found';
END $$;
CREATE FUNCTION oci_do(how text) RETURNS jsonb LANGUAGE sql AS $$ SELECT stent.call('oci_leaf', jsonb_build_object('how', how)) $$;
SELECT stent.register('oci_leaf', 'oci_leaf(text)', retry => '{"max_attempts": 1}'), stent.register('oci_do', 'oci_do(text)', retry => '{"max_attempts": 1}');
-- both are known to be quick
SELECT count(stent.dispatch('oci_do', '{"how": "first"}')) FROM generate_series(1, 2);
CALL oci_run();
SELECT count(stent.dispatch('oci_do', jsonb_build_object('how', how))) FROM unnest(ARRAY['state_of', 'why', 'nobody']) how;
CALL oci_run();
SELECT function, args ->> 'how' AS how, state, attempt, result, error ->> 'message' AS error FROM stent.tasks WHERE function LIKE 'oci%' AND args ->> 'how' <> 'first' ORDER BY args ->> 'how', id;
SELECT line, count(*) FROM oci_t WHERE line <> 'first' GROUP BY 1 ORDER BY 1;
SELECT count(*) AS live FROM stent.task;
SELECT count(stent.unregister('oci_' || n)) FROM unnest(ARRAY['leaf', 'do']) n;
DROP PROCEDURE oci_run;
DROP FUNCTION oci_leaf, oci_do;
DROP TABLE oci_t;
