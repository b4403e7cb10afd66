-- A commit that fails because of a call which was run on the spot: the call is charged, not the orchestrator that made it.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';
CREATE FUNCTION ocf_leaf(n int) RETURNS int LANGUAGE sql AS $$ SELECT n * 10 $$;
CREATE FUNCTION ocf_do() RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    RETURN stent.call('ocf_leaf', '{"n": 1}');
EXCEPTION WHEN internal_error THEN
    RETURN to_jsonb('caught ' || SQLERRM);
END $$;
SELECT stent.register('ocf_leaf', 'ocf_leaf(int)', retry => '{"max_attempts": 1}'), stent.register('ocf_do', 'ocf_do()', retry => '{"max_attempts": 1}');
CREATE PROCEDURE ocf_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
-- both are known to be quick
SELECT count(stent.dispatch('ocf_do')) FROM generate_series(1, 2);
CALL ocf_run();

-- each commit fails that has what the call has done
CREATE FUNCTION ocf_commit() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    n int := stent.run(10);
    ended text[] := ARRAY(SELECT function || ' ' || state FROM stent.tasks WHERE id >= (SELECT max(id) FROM stent.executions) ORDER BY id);
BEGIN
    IF 'ocf_leaf completed' = ANY (ended) THEN
        SET LOCAL stent.fault = 'before_commit:error';
    END IF;
    RETURN n || ': ' || array_to_string(ended, ', ');
END $$;
SELECT stent.dispatch('ocf_do') AS id \gset
SELECT ocf_commit();
SELECT ocf_commit();
SELECT ocf_commit();
SELECT ocf_commit();
SELECT ocf_commit();
SELECT ocf_commit();
SELECT function, state, attempt, result, error ->> 'message' AS error FROM stent.tasks WHERE execution_id = :id ORDER BY id;

SELECT stent.discard_many('ocf_do') + stent.discard_many('ocf_leaf') AS dead;
SELECT count(stent.unregister('ocf_' || n)) FROM unnest(ARRAY['leaf', 'do']) n;
DROP PROCEDURE ocf_run;
DROP FUNCTION ocf_leaf, ocf_do, ocf_commit;
