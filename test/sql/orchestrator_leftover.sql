-- A function that does not come to any step any more has not ended well either.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';
CREATE FUNCTION lef_leaf() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$;
CREATE PROCEDURE lef_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
CREATE FUNCTION lef_do(named boolean) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_array(stent.call('lef_leaf', step_name => CASE WHEN named THEN 'one' END), stent.await_signal('go', step_name => CASE WHEN named THEN 'two' END))
$$;
SELECT stent.register('lef_leaf', 'lef_leaf()'), stent.register('lef_do', 'lef_do(boolean)', retry => '{"max_attempts": 1}');
SELECT stent.dispatch('lef_do', '{"named": false}') AS a, stent.dispatch('lef_do', '{"named": true}') AS b, stent.dispatch('lef_do', '{"named": false}', delay => '1 minute') AS c \gset
CALL lef_run();
SELECT state FROM stent.tasks WHERE id IN (:a, :b, :c) ORDER BY id;
CREATE OR REPLACE FUNCTION lef_do(named boolean) RETURNS jsonb LANGUAGE sql AS $$ SELECT '"nothing"'::jsonb $$;
SELECT stent.signal(:a, 'go'), stent.signal(:b, 'go');
SET stent.clock = '2026-01-01 00:01:00';
CALL lef_run();
SELECT state, result, error ->> 'code' AS code, error ->> 'message' AS message FROM stent.tasks WHERE id IN (:a, :b, :c) ORDER BY id;

SELECT stent.discard_many('lef_do') AS dead;
SELECT count(stent.unregister('lef_' || n)) FROM unnest(ARRAY['leaf', 'do']) n;
DROP PROCEDURE lef_run;
DROP FUNCTION lef_leaf, lef_do;
