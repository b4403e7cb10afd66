-- Stored times are UTC: a session's TimeZone and its daylight-saving change (in
-- Berlin 2026-03-29 01:00 UTC, 02:00 becomes 03:00) move nothing.
\set VERBOSITY terse
SET datestyle = ISO;
SET timezone = 'Europe/Berlin';
SET stent.batch_time = '60s';
SET stent.clock = '2026-03-29 00:30:00';

CREATE FUNCTION dst_f(fail boolean DEFAULT false) RETURNS timestamp LANGUAGE plpgsql AS $$
BEGIN
    IF fail THEN
        RAISE EXCEPTION 'fails';
    END IF;
    RETURN stent.now();
END $$;
SELECT stent.register('dst_f', 'dst_f(boolean)', retry => '{"initial_delay": "1h", "max_delay": "1d", "backoff_factor": 24, "jitter": 0, "max_attempts": 3}');
CREATE TABLE dst_id (what text, id bigint);
INSERT INTO dst_id VALUES
    ('delay 1 hour', stent.dispatch('dst_f', delay => '1 hour')),
    ('delay 1 day', stent.dispatch('dst_f', delay => '1 day')),
    ('delay 24 hours', stent.dispatch('dst_f', delay => '24 hours')),
    -- 02:30 does not exist in Berlin, but is a time like any other here
    ('run_at 02:30', stent.dispatch('dst_f', run_at => '2026-03-29 02:30')),
    ('deadline', stent.dispatch('dst_f', delay => '15m', max_duration => '1h', priority => -1, queue => 'dst_idle')),
    ('retry', stent.dispatch('dst_f', '{"fail": true}'));
SELECT what, due_at, deadline FROM dst_id JOIN stent.tasks USING (id) ORDER BY what;
SELECT stent.run(queues => ARRAY['default']);
SELECT what, created_at, due_at FROM dst_id JOIN stent.tasks USING (id) WHERE what = 'retry';

SET stent.clock = '2026-03-29 01:29:59.999999';
SELECT stent.run(queues => ARRAY['default']);
SET stent.clock = '2026-03-29 01:30:00';
SELECT stent.run(queues => ARRAY['default']);
SELECT stent.run(queues => ARRAY['default']);
SELECT what, state, due_at, finished_at FROM dst_id JOIN stent.tasks USING (id) WHERE what IN ('delay 1 hour', 'retry') ORDER BY what;
SET stent.clock = '2026-03-29 01:44:59';
SELECT stent.run(queues => ARRAY['default']);
SELECT what, state FROM dst_id JOIN stent.tasks USING (id) WHERE what = 'deadline';
SET stent.clock = '2026-03-29 01:45:00';
SELECT stent.run(queues => ARRAY['default']);
SELECT what, state, finished_at FROM dst_id JOIN stent.tasks USING (id) WHERE what = 'deadline';
SET stent.clock = '2026-03-29 02:30:00';
SELECT stent.run();
-- both days are 24 hours
SET stent.clock = '2026-03-30 00:29:59';
SELECT stent.run();
SET stent.clock = '2026-03-30 00:30:00';
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SET stent.clock = '2026-03-30 01:30:00';
SELECT stent.run();
SELECT what, state, attempt, started_at, finished_at, result FROM dst_id JOIN stent.tasks USING (id) ORDER BY what;
SELECT a ->> 'finished_at' AS finished FROM dst_id, jsonb_array_elements(stent.state_of(id) -> 'attempts') a WHERE what = 'retry';

SELECT stent.discard_many('dst_f');
SELECT stent.unregister('dst_f');
DROP TABLE dst_id;
DROP FUNCTION dst_f;
