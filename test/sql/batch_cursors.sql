-- A cursor that one task leaves open is closed before the next one of the batch.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';

CREATE FUNCTION batch_cursors_f(n int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    c refcursor := 'batch_cursors_cursor';
    r int;
BEGIN
    OPEN c FOR SELECT n;
    FETCH c INTO r;
    IF n < 0 THEN
        RAISE EXCEPTION 'fails';
    END IF;
    RETURN r;
END $$;
SELECT stent.register('batch_cursors_f', 'batch_cursors_f(int)', retry => '{"max_attempts": 1}');
SELECT stent.dispatch('batch_cursors_f', '{"n": 0}') > 0 AS dispatched;
SELECT stent.run();
SELECT count(*) FROM stent.dispatch_many('batch_cursors_f', ARRAY['{"n": 1}', '{"n": 2}', '{"n": -1}', '{"n": 3}']::jsonb[]);
-- the caller's own stays open
BEGIN;
DECLARE batch_cursors_own CURSOR FOR SELECT generate_series(1, 3);
FETCH batch_cursors_own;
DO $$ BEGIN WHILE stent.run() > 0 LOOP END LOOP; END $$;
SELECT args ->> 'n' AS n, state, result, error ->> 'message' AS message FROM stent.tasks WHERE function = 'batch_cursors_f' ORDER BY id;
FETCH batch_cursors_own;
SELECT name FROM pg_cursors WHERE name LIKE 'batch\_cursors\_%';
COMMIT;

SELECT stent.discard_many('batch_cursors_f');
SELECT stent.unregister('batch_cursors_f');
DROP FUNCTION batch_cursors_f;
