-- max_duration bounds the execution from its start or due time; past it, timed_out.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET datestyle = ISO;

CREATE TABLE max_duration_log (what text);
CREATE FUNCTION max_duration_note(what text) RETURNS void LANGUAGE sql AS $$ INSERT INTO max_duration_log VALUES (what) $$;
CREATE FUNCTION max_duration_sleep() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO max_duration_log VALUES ('slept');
    PERFORM pg_sleep(60);
EXCEPTION WHEN query_canceled THEN
    INSERT INTO max_duration_log VALUES ('swallowed');
END $$;
CREATE FUNCTION max_duration_fail() RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'fails'; END $$;
SELECT stent.register('max_duration_note', 'max_duration_note(text)', max_duration => '1h');
SELECT stent.register('max_duration_sleep', 'max_duration_sleep()', max_duration => '30ms', timeout => '10s');
SELECT stent.register('max_duration_fail', 'max_duration_fail()', retry => '{"initial_delay": "40m", "max_delay": "1d", "jitter": 0}');

-- registered default, given, none, from the due time when delayed
SELECT count(*) FROM (VALUES
    (stent.dispatch('max_duration_note', '{"what": "default"}')),
    (stent.dispatch('max_duration_note', '{"what": "given"}', max_duration => '2h')),
    (stent.dispatch('max_duration_note', '{"what": "none"}', max_duration => '0')),
    (stent.dispatch('max_duration_note', '{"what": "delayed"}', delay => '1 day')),
    (stent.dispatch('max_duration_note', '{"what": "run_at"}', run_at => '2026-01-01 03:00', max_duration => '10m')),
    (stent.dispatch('max_duration_note', '{"what": "low"}', priority => -100, queue => 'max_duration_elsewhere'))) v;
SELECT args ->> 'what' AS what, state, due_at, deadline FROM stent.tasks WHERE function = 'max_duration_note' ORDER BY id;

-- at the deadline what still waits in the queue is timed out, without a call
SET stent.clock = '2026-01-01 01:00:00';
DO $$ BEGIN WHILE stent.run(queues => ARRAY['default']) > 0 LOOP COMMIT; END LOOP; END $$;
SELECT args ->> 'what' AS what, state, attempt, started_at, finished_at, error - 'retryable' AS error
FROM stent.tasks WHERE function = 'max_duration_note' ORDER BY id;
SELECT what FROM max_duration_log ORDER BY what;
-- a timed out task is no dead letter
SELECT count(*) FROM stent.dead_letters WHERE function = 'max_duration_note';

-- while running: interrupted, whatever it catches, and what it wrote is undone
SELECT stent.dispatch('max_duration_sleep') AS id \gset
SELECT stent.run(queues => ARRAY['default']);
SELECT state, error ->> 'code' AS code FROM stent.tasks WHERE id = :id;
SELECT what FROM max_duration_log WHERE what IN ('slept', 'swallowed');

-- while waiting for a retry
SELECT stent.dispatch('max_duration_fail', max_duration => '1h') AS id \gset
SELECT stent.run(queues => ARRAY['default']);
SELECT state, due_at, deadline FROM stent.tasks WHERE id = :id;
SET stent.clock = '2026-01-01 01:40:00';
SELECT stent.run(queues => ARRAY['default']);
SELECT state, due_at, deadline FROM stent.tasks WHERE id = :id;
SET stent.clock = '2026-01-01 02:00:00';
SELECT stent.run(queues => ARRAY['default']);
SELECT state, attempt, finished_at, error ->> 'code' AS code FROM stent.tasks WHERE id = :id;

SET stent.clock = '2026-01-02 00:30:00';
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT args ->> 'what' AS what, state, finished_at FROM stent.tasks WHERE function = 'max_duration_note' ORDER BY id;
SELECT count(*) FROM stent.due;

-- ready, past its deadline and next to be claimed, of a function known to be quick
SELECT stent.dispatch('max_duration_note', '{"what": "quick"}') AS id \gset
SELECT stent.run();
SELECT stent.dispatch('max_duration_note', '{"what": "late"}') AS id \gset
SET stent.clock = '2026-01-02 03:00:00';
SELECT stent.run();
SELECT state, attempt FROM stent.tasks WHERE id = :id;

SELECT count(stent.unregister(name)) FROM stent.functions WHERE name LIKE 'max\_duration\_%';
DROP TABLE max_duration_log;
DROP FUNCTION max_duration_note, max_duration_sleep, max_duration_fail;
