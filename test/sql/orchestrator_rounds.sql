-- continue_as_new: what a round leaves is forgotten, but for the signals that were taken, whichever step has taken the newest.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';
CREATE PROCEDURE rou_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;

-- the first wait runs out, the second has a signal; in the next attempt the first one has a newer one
CREATE FUNCTION rou_signals(round int DEFAULT 1, seen jsonb DEFAULT '[]') RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    BEGIN
        seen := seen || jsonb_build_array(round, 'a', stent.await_signal('go', timeout => '1 minute', step_name => 'a'));
    EXCEPTION WHEN SQLSTATE 'ST010' THEN NULL;
    END;
    IF round = 1 THEN
        seen := seen || jsonb_build_array(round, 'b', stent.await_signal('go', step_name => 'b'));
        IF stent.attempt() = 1 THEN
            RAISE EXCEPTION 'first attempt';
        END IF;
        PERFORM stent.continue_as_new(jsonb_build_object('round', 2, 'seen', seen));
    END IF;
    RETURN seen;
END $$;
SELECT stent.register('rou_signals', 'rou_signals(int, jsonb)', retry => '{"max_attempts": 2, "initial_delay": "1m", "jitter": 0}');
SELECT stent.dispatch('rou_signals') AS id \gset
CALL rou_run();
SET stent.clock = '2026-01-01 00:01:00';
CALL rou_run();
SELECT stent.signal(:id, 'go', '"first"');
CALL rou_run();
SELECT stent.signal(:id, 'go', '"second"');
SET stent.clock = '2026-01-01 00:02:00';
CALL rou_run();
-- nothing newer comes in the second round
SET stent.clock = '2026-01-01 00:03:00';
CALL rou_run();
SELECT state, result FROM stent.tasks WHERE id = :id;

-- large arguments go with their round
CREATE FUNCTION rou_large(round int, text text) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    IF round < 4 THEN
        PERFORM stent.continue_as_new(jsonb_build_object('round', round + 1, 'text', CASE WHEN round < 3 THEN text ELSE '' END));
    END IF;
    RETURN length(text);
END $$;
SELECT stent.register('rou_large', 'rou_large(int, text)');
SELECT count(*) AS before FROM stent.payload \gset
SELECT stent.dispatch('rou_large', jsonb_build_object('round', 1, 'text', repeat('x', 5000))) AS id \gset
SELECT stent.run(1);
SELECT state, args ->> 'round' AS round, length(args ->> 'text') AS length FROM stent.tasks WHERE id = :id;
SELECT count(*) - :before AS payloads FROM stent.payload;
CALL rou_run();
SELECT state, result FROM stent.tasks WHERE id = :id;
SELECT count(*) - :before AS payloads FROM stent.payload;

SELECT count(*) AS live FROM stent.task;
SELECT count(stent.unregister('rou_' || n)) FROM unnest(ARRAY['signals', 'large']) n;
DROP PROCEDURE rou_run;
DROP FUNCTION rou_signals, rou_large;
