-- sleep: a wait for a moment that costs one row and no executor.
\set VERBOSITY terse
SET stent.clock = '2026-01-31 10:00:00';
SET stent.batch_time = '60s';
CREATE PROCEDURE slp_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
CREATE FUNCTION slp_one(span interval) RETURNS timestamp LANGUAGE plpgsql AS $$
BEGIN
    RAISE NOTICE 'runs';
    PERFORM stent.sleep(span);
    RETURN stent.now();
END $$;
SELECT stent.register('slp_one', 'slp_one(interval)', retry => '{"max_attempts": 1}');

-- a month is a month of the calendar
SELECT stent.dispatch('slp_one', '{"span": "1 month"}') AS id \gset
CALL slp_run();
SELECT state, due_at FROM stent.tasks WHERE id = :id;
SELECT kind, state, wake_at FROM stent.step WHERE task_id = :id;
SET stent.clock = '2026-02-28 09:59:59.999';
CALL slp_run();
SET stent.clock = '2026-02-28 10:00:00';
CALL slp_run();
SELECT state, result FROM stent.tasks WHERE id = :id;

-- nothing, a moment, too long, negative, NULL
CREATE FUNCTION slp_try(span interval) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM stent.sleep(span);
    RETURN 'slept';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END $$;
SELECT stent.register('slp_try', 'slp_try(interval)');
SELECT count(stent.dispatch('slp_try', jsonb_build_object('span', s))) FROM unnest(ARRAY['0', '1 microsecond', '-1 s', NULL, '1 month -40 days', '36501 days']) s;
CALL slp_run();
SET stent.clock = '2026-02-28 10:00:01';
CALL slp_run();
SELECT args -> 'span' AS span, state, result FROM stent.tasks WHERE function = 'slp_try' ORDER BY id;

-- in a loop: each span begins when the one before is over, however late that was seen
CREATE FUNCTION slp_loop() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    woken timestamp[] := '{}';
BEGIN
    FOR i IN 1 .. 3 LOOP
        PERFORM stent.sleep('1h');
        woken := woken || (stent.record(format('woken %s', i), to_jsonb(stent.now())) #>> '{}')::timestamp;
    END LOOP;
    RETURN to_jsonb(woken);
END $$;
SELECT stent.register('slp_loop', 'slp_loop()');
SELECT stent.dispatch('slp_loop') AS id \gset
CALL slp_run();
SET stent.clock = '2026-02-28 11:30:00';
CALL slp_run();
SET stent.clock = '2026-02-28 12:29:00';
CALL slp_run();
SELECT state FROM stent.tasks WHERE id = :id;
SET stent.clock = '2026-02-28 12:31:00';
CALL slp_run();
SET stent.clock = '2026-03-01 00:00:00';
CALL slp_run();
SELECT stent.result_of(:id);

-- a sleeper is in nobody's way, and can be cancelled
SELECT stent.dispatch('slp_one', '{"span": "100 years -1 day"}') AS long, stent.dispatch('slp_one', '{"span": "0"}') AS short \gset
CALL slp_run();
SELECT id = :long AS long, state FROM stent.tasks WHERE id IN (:long, :short) ORDER BY id;
SELECT stent.cancel(:long);
SELECT (SELECT count(*) FROM stent.task) AS tasks, (SELECT count(*) FROM stent.due) AS due, (SELECT count(*) FROM stent.ready) AS ready;

-- the setting of a session's time zone changes nothing, nor does summer time
SET timezone = 'Europe/Berlin';
SET stent.clock = '2026-03-29 00:30:00';
SELECT stent.dispatch('slp_one', '{"span": "1 day"}') AS id \gset
CALL slp_run();
SELECT wake_at FROM stent.step WHERE task_id = :id;
SELECT stent.cancel(:id);
RESET timezone;

SELECT stent.discard_many('slp_one') + stent.discard_many('slp_try') AS dead;
SELECT count(*) AS live FROM stent.task;
SELECT count(stent.unregister('slp_' || n)) FROM unnest(ARRAY['one', 'try', 'loop']) n;
DROP PROCEDURE slp_run;
DROP FUNCTION slp_one, slp_try, slp_loop;
