-- Totals count every end once, in the commit that made it, and folding changes no sum.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';

CREATE FUNCTION tallies_f(code text DEFAULT NULL, until int DEFAULT 100) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    IF code IS NOT NULL AND stent.attempt() <= until THEN
        RAISE EXCEPTION USING ERRCODE = code;
    END IF;
    RETURN 1;
END $$;
SELECT stent.register('tallies_f', 'tallies_f(text, int)', queue => 'tallies', retry => '{"max_attempts": 3, "initial_delay": "1s", "jitter": 0}');
CREATE VIEW tallies AS SELECT queue, ready, scheduled, running, completed, failed, timed_out, cancelled, retried, mean_run_time, last_at, exact
FROM stent.stats WHERE function = 'tallies_f';
CREATE PROCEDURE tallies_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT * FROM tallies;

-- completed at once, at the second attempt; failed for good; timed out in the queue
SELECT count(*) FROM stent.dispatch_many('tallies_f', array_fill('{}'::jsonb, ARRAY[7]));
SELECT stent.dispatch('tallies_f', '{"code": "22012", "until": 1}') > 0 AS ok, stent.dispatch('tallies_f', '{"code": "22003"}') > 0 AS ok,
       stent.dispatch('tallies_f', delay => '1h', max_duration => '1s', queue => 'tallies_late') > 0 AS ok;
SELECT * FROM tallies ORDER BY queue;
CALL tallies_run();
SELECT * FROM tallies ORDER BY queue;
SET stent.clock = '2026-01-01 00:00:01';
CALL tallies_run();
SET stent.clock = '2026-01-01 00:01:00';
CALL tallies_run();
SET stent.clock = '2026-01-01 02:00:00';
CALL tallies_run();
SELECT * FROM tallies ORDER BY queue;
SELECT queue, ready, scheduled, running, dead, oldest_ready_at, oldest_age, exact FROM stent.queues WHERE queue LIKE 'tallies%' ORDER BY queue;

-- what is undone is not counted: by a savepoint, by a rollback
SELECT count(*) FROM stent.dispatch_many('tallies_f', array_fill('{}'::jsonb, ARRAY[2]));
BEGIN;
SAVEPOINT s;
SELECT stent.run();
ROLLBACK TO s;
SAVEPOINT s;
SELECT stent.run(1);
RELEASE s;
COMMIT;
SELECT completed FROM tallies WHERE queue = 'tallies';
BEGIN;
SELECT stent.run();
ROLLBACK;
SELECT completed, ready FROM tallies WHERE queue = 'tallies';
CALL tallies_run();
SELECT completed, ready FROM tallies WHERE queue = 'tallies';
-- a prepared transaction counts when it commits
SELECT stent.dispatch('tallies_f') > 0 AS ok;
BEGIN;
SELECT stent.run();
PREPARE TRANSACTION 'tallies';
SELECT completed FROM tallies WHERE queue = 'tallies';
COMMIT PREPARED 'tallies';
SELECT completed FROM tallies WHERE queue = 'tallies';

-- totals count events, dead letters are what there is: replay leaves failed as it was
SELECT stent.replay_many('tallies_f');
SELECT q.dead, q.ready, q.oldest_ready_at, q.oldest_age, s.failed FROM stent.queues q, tallies s WHERE q.queue = 'tallies' AND s.queue = 'tallies';
CALL tallies_run();
SET stent.clock = '2026-01-01 03:00:00';
CALL tallies_run();
SET stent.clock = '2026-01-01 04:00:00';
CALL tallies_run();
SELECT q.dead, q.ready, s.failed FROM stent.queues q, tallies s WHERE q.queue = 'tallies' AND s.queue = 'tallies';
SELECT stent.discard_many('tallies_f');
SELECT q.dead, s.failed, s.retried FROM stent.queues q, tallies s WHERE q.queue = 'tallies' AND s.queue = 'tallies';

-- one row a lane and commit; folded to one a lane
SELECT l.queue, count(*) > 1 AS many FROM stent.tally t JOIN stent.lane l ON l.id = t.lane_id WHERE l.queue LIKE 'tallies%' GROUP BY 1 ORDER BY 1;
CREATE TEMP TABLE tallies_before AS SELECT * FROM tallies;
SELECT stent._fold_tallies();
SELECT l.queue, count(*) FROM stent.tally t JOIN stent.lane l ON l.id = t.lane_id WHERE l.queue LIKE 'tallies%' GROUP BY 1 ORDER BY 1;
SELECT count(*) FROM (TABLE tallies EXCEPT ALL TABLE tallies_before) d;
SELECT count(*) FROM stent.tally GROUP BY lane_id HAVING count(*) > 1;
DROP TABLE tallies_before;

-- how long handlers take, by the real clock
RESET stent.clock;
CREATE FUNCTION tallies_slow() RETURNS void LANGUAGE sql AS 'SELECT pg_sleep(0.02)';
SELECT stent.register('tallies_slow', 'tallies_slow()', queue => 'tallies');
SELECT stent.dispatch('tallies_slow') > 0 AS ok;
CALL tallies_run();
SELECT completed, mean_run_time >= interval '20 ms' AND mean_run_time < interval '1 min' AS plausible, last_at <= stent.now() AS past
FROM stent.stats WHERE function = 'tallies_slow';

SELECT count(stent.unregister(name)) FROM stent.functions WHERE name LIKE 'tallies\_%';
-- what is no longer registered and has nothing waiting is shown no more as a queue, but its totals stay
SELECT count(*) FROM stent.queues WHERE queue LIKE 'tallies%';
SELECT function, queue, completed, failed, timed_out FROM stent.stats WHERE function LIKE 'tallies\_%' ORDER BY 1, 2;
DROP VIEW tallies;
DROP PROCEDURE tallies_run;
DROP FUNCTION tallies_f, tallies_slow;
