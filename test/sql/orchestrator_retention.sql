-- What a waiting execution needs is kept, however long it waits; with its end all of it goes.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';
SET stent.retention = '2d';
CREATE FUNCTION kep_leaf(size int) RETURNS text LANGUAGE sql AS $$ SELECT repeat('x', size) $$;
CREATE PROCEDURE kep_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
CREATE FUNCTION kep_do() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    long jsonb := stent.call('kep_leaf', '{"size": 50000}');
    local jsonb := stent.step('local', 'kep_leaf', '{"size": 40000}');
    kept jsonb := stent.record('kept', to_jsonb(repeat('y', 30000)));
    spawned bigint := stent.spawn('kep_leaf', '{"size": 20000}');
    got jsonb;
BEGIN
    PERFORM stent.sleep('60 days');
    got := stent.await(spawned);
    RETURN jsonb_build_array(length(long #>> '{}'), length(local #>> '{}'), length(kept #>> '{}'), length(got #>> '{}'));
END $$;
SELECT stent.register('kep_leaf', 'kep_leaf(int)'), stent.register('kep_do', 'kep_do()');
SELECT stent.dispatch('kep_do') AS id \gset
CALL kep_run();
SELECT stent.state_of(:id) ->> 'state' AS state, (SELECT count(*) FROM stent.step WHERE task_id = :id) AS steps;
-- thirty days with their housekeeping
SET stent.clock = '2026-01-15 00:00:00';
SELECT stent.cleanup('1d') >= 0 AS cleaned;
CALL kep_run();
SET stent.clock = '2026-01-31 00:00:00';
SELECT stent.cleanup('1d') >= 0 AS cleaned;
CALL kep_run();
SELECT count(*) AS tasks FROM stent.tasks WHERE execution_id = :id;
SET stent.clock = '2026-03-02 00:00:00';
CALL kep_run();
SELECT state, result FROM stent.tasks WHERE id = :id;
-- steps are kept with the history of the task, and go with it
SELECT (SELECT count(*) FROM stent.step WHERE task_id = :id) AS steps;
SET stent.clock = '2026-03-10 00:00:00';
SELECT stent.cleanup('1d') > 0 AS cleaned;
SELECT (SELECT count(*) FROM stent.step WHERE task_id = :id) AS steps, (SELECT count(*) FROM stent.tasks WHERE execution_id = :id) AS tasks, (SELECT array_agg(length(p.value #>> '{}')) FROM stent.payload p WHERE length(p.value::text) > 15000) AS payloads;
SELECT count(stent.unregister('kep_' || n)) FROM unnest(ARRAY['leaf', 'do']) n;
DROP PROCEDURE kep_run;
DROP FUNCTION kep_leaf, kep_do;
