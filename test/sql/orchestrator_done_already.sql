-- A call of an idempotent function that is made already, where nobody will tell that it is done: the task must not wait for it.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '10ms';
CREATE FUNCTION oda_quote(n int) RETURNS int LANGUAGE sql AS $$ SELECT n * 10 $$;
CREATE PROCEDURE oda_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT stent.register('oda_quote', 'oda_quote(int)', idempotent => true);

-- done before, when the run has lasted so long that it has to commit at the call: by another execution, and by itself
CREATE FUNCTION oda_slow(n int) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    first jsonb;
BEGIN
    PERFORM pg_sleep(0.05);
    first := stent.call('oda_quote', jsonb_build_object('n', n));
    PERFORM pg_sleep(0.05);
    RETURN jsonb_build_array(first, stent.call('oda_quote', jsonb_build_object('n', n)));
END $$;
SELECT stent.register('oda_slow', 'oda_slow(int)');
SELECT stent.dispatch('oda_quote', '{"n": 1}') > 0 AS dispatched;
CALL oda_run();
SELECT stent.dispatch('oda_slow', '{"n": 1}') AS a, stent.dispatch('oda_slow', '{"n": 2}') AS b \gset
CALL oda_run();
SELECT state, result, (SELECT count(*) FROM stent.tasks c WHERE c.parent_id = t.id) AS children FROM stent.tasks t WHERE id IN (:a, :b) ORDER BY id;

-- the same call by the task that makes it, or by one below: each would wait for the other
CREATE FUNCTION oda_self(n int, catches boolean) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    RETURN stent.call('oda_self', jsonb_build_object('n', n, 'catches', catches));
EXCEPTION WHEN object_not_in_prerequisite_state THEN
    IF catches THEN
        RETURN jsonb_build_array('caught', stent.call('oda_quote', jsonb_build_object('n', n)));
    END IF;
    RAISE;
END $$;
CREATE FUNCTION oda_up(n int) RETURNS jsonb LANGUAGE sql AS $$ SELECT stent.call('oda_down', jsonb_build_object('n', n)) $$;
CREATE FUNCTION oda_down(n int) RETURNS jsonb LANGUAGE sql AS $$ SELECT stent.call('oda_up', jsonb_build_object('n', n)) $$;
SELECT stent.register('oda_self', 'oda_self(int, boolean)', idempotent => true), stent.register('oda_up', 'oda_up(int)', cached => true), stent.register('oda_down', 'oda_down(int)');
SELECT stent.dispatch('oda_self', '{"n": 3, "catches": true}') AS a, stent.dispatch('oda_self', '{"n": 4, "catches": false}') AS b, stent.dispatch('oda_up', '{"n": 5}') AS c \gset
CALL oda_run();
SELECT function, state, attempt, result, error ->> 'code' AS code, regexp_replace(error ->> 'message', '\d+', 'N', 'g') AS message, error ->> 'hint' AS hint
FROM stent.tasks WHERE execution_id IN (:a, :b, :c) ORDER BY id;
SELECT (SELECT count(*) FROM stent.task) AS live, (SELECT count(*) FROM stent.waiter) AS waiters, (SELECT count(*) FROM stent.due) AS due;

SELECT stent.discard_many('oda_self') + stent.discard_many('oda_up') + stent.discard_many('oda_down') AS dead;
SELECT count(stent.unregister('oda_' || n)) FROM unnest(ARRAY['quote', 'slow', 'self', 'up', 'down']) n;
DROP PROCEDURE oda_run;
DROP FUNCTION oda_quote, oda_slow, oda_self, oda_up, oda_down;
