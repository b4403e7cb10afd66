-- The functions of orchestrators where there is none: in a session, and in handlers of workers.
\set VERBOSITY default
\set SHOW_CONTEXT never
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';
CREATE TABLE out_t (line text);
CREATE FUNCTION out_leaf(n int, fail boolean DEFAULT false) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO out_t VALUES (format('leaf %s', n));
    IF fail THEN
        RAISE EXCEPTION 'leaf % fails', n USING ERRCODE = 'XX123';
    END IF;
    RETURN n * 10;
END $$;
SELECT stent.register('out_leaf', 'out_leaf(int, boolean)'), stent.register('out_external');

-- call: the function itself, in the caller's transaction, without a task
BEGIN;
SELECT stent.call('out_leaf', '{"n": 4}');
SELECT count(*) AS tasks FROM stent.tasks WHERE function = 'out_leaf';
TABLE out_t;
ROLLBACK;
TABLE out_t;
SELECT stent.call('out_leaf', '{"n": 5, "fail": true}');
SELECT stent.call('out_leaf', '{"m": 5}');
SELECT stent.call('out_leaf', NULL);
\set VERBOSITY terse
SELECT stent.call('out_none');
\set VERBOSITY default
SELECT stent.call('out_external');
-- a handler that calls is a function as any, when it is called so
CREATE FUNCTION out_outer(n int) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN jsonb_build_array(stent.call('out_leaf', jsonb_build_object('n', n)), stent.call('out_leaf', jsonb_build_object('n', n + 1))); END $$;
SELECT stent.register('out_outer', 'out_outer(int)');
SELECT stent.call('out_outer', '{"n": 1}');
SELECT out_outer(1);

-- the others belong into a handler, and say so
SELECT stent.step('x', 'out_leaf', '{"n": 1}');
SELECT stent.spawn('out_leaf', '{"n": 1}');
SELECT stent.sleep('1s');
SELECT stent.record('x', '1');
SELECT stent.await_signal('x');
SELECT stent.continue_as_new();

-- await: as wait_for
SELECT stent.dispatch('out_leaf', '{"n": 6}') AS id, stent.dispatch('out_leaf', '{"n": 7, "fail": true}', retry => '{"max_attempts": 1}') AS bad \gset
\set VERBOSITY sqlstate
SELECT stent.await(:id, '1ms');
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT stent.await(:id);
SELECT stent.await(:bad);
SELECT stent.await(NULL);
SELECT stent.await(-7);
SELECT stent.await(:id, '-1s');

SELECT stent.discard(:bad);
SELECT count(stent.unregister('out_' || n)) FROM unnest(ARRAY['leaf', 'external', 'outer']) n;
DROP FUNCTION out_leaf, out_outer;
DROP TABLE out_t;
