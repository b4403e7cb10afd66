-- max_concurrent: a function whose places are taken is passed over whole, and costs
-- the others nothing. A prepared transaction holds the places here.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';

CREATE FUNCTION limits_concurrent_f() RETURNS void LANGUAGE sql AS '';
CREATE PROCEDURE limits_concurrent_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
CREATE VIEW limits_concurrent_places AS
    SELECT count(*) AS places FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 22272 AND granted;
CREATE VIEW limits_concurrent_ended AS
    SELECT function, count(*) FROM stent.tasks WHERE function LIKE 'limits\_concurrent%' AND state = 'completed' GROUP BY 1 ORDER BY 1;
SELECT stent.register('limits_concurrent_a', 'limits_concurrent_f()', priority => 10, max_concurrent => 1);
SELECT stent.register('limits_concurrent_b', 'limits_concurrent_f()');
SELECT stent.dispatch('limits_concurrent_a') IS NULL, stent.dispatch('limits_concurrent_b') IS NULL;
CALL limits_concurrent_run();

-- 10,000 tasks of a full function stand before 100 others
SELECT count(*) FROM stent.dispatch_many('limits_concurrent_a', array_fill('{}'::jsonb, ARRAY[10000]));
SELECT count(*) FROM stent.dispatch_many('limits_concurrent_b', array_fill('{}'::jsonb, ARRAY[100]));
BEGIN;
SELECT stent.run(1);
PREPARE TRANSACTION 'limits_concurrent';
BEGIN;
SELECT stent.run(100);
SELECT idx_scan < 50 AS scans, idx_tup_fetch < 250 AS entries FROM pg_stat_xact_all_tables WHERE relid = 'stent.ready'::regclass;
COMMIT;
SELECT * FROM limits_concurrent_ended;
SELECT stent.run();
SELECT * FROM limits_concurrent_places;
-- in many lanes, and by many calls
SELECT count(stent.dispatch('limits_concurrent_a', queue => 'q' || i)) FROM generate_series(1, 100) i;
SELECT count(stent.dispatch('limits_concurrent_b', queue => 'q' || i, priority => 20 - i / 3)) FROM generate_series(1, 100) i;
BEGIN;
SELECT stent.run(200);
SELECT * FROM limits_concurrent_places;
COMMIT;
SELECT * FROM limits_concurrent_ended;
-- a limit of 2 leaves one more place, one that is as good as none takes no lock
SELECT stent.register('limits_concurrent_a', 'limits_concurrent_f()', priority => 10, max_concurrent => 2);
BEGIN;
SELECT stent.run(100);
SELECT * FROM limits_concurrent_places;
COMMIT;
SELECT stent.register('limits_concurrent_a', 'limits_concurrent_f()', priority => 10, max_concurrent => 1000000);
BEGIN;
SELECT stent.run(100);
SELECT * FROM limits_concurrent_places;
COMMIT;
SELECT stent.register('limits_concurrent_a', 'limits_concurrent_f()', priority => 10, max_concurrent => 1);
SELECT stent.run();
-- the place is free when its holder gives up
ROLLBACK PREPARED 'limits_concurrent';
SELECT stent.run();
CALL limits_concurrent_run();
SELECT * FROM limits_concurrent_ended;
-- nothing is left for a task that is past its deadline, or cancelled while it was looked at
SELECT stent.dispatch('limits_concurrent_a', max_duration => '1s') AS late, stent.dispatch('limits_concurrent_a') AS cancelled \gset
SELECT stent.cancel(:cancelled);
SET stent.clock = '2026-01-01 00:01:00';
BEGIN;
SELECT stent.run();
SELECT * FROM limits_concurrent_places;
COMMIT;

-- a batch ends before it holds too many places
SELECT count(stent.register('limits_concurrent_' || i, 'limits_concurrent_f()', max_concurrent => 1)) FROM generate_series(1, 120) i;
SELECT count(stent.dispatch('limits_concurrent_' || i)) FROM generate_series(1, 120) i;
CALL limits_concurrent_run();
SELECT count(stent.dispatch('limits_concurrent_' || i)) FROM generate_series(1, 120) i;
BEGIN;
SELECT stent.run(1000);
SELECT * FROM limits_concurrent_places;
COMMIT;
SELECT stent.run(1000);

SELECT count(stent.unregister(name)) FROM stent.functions WHERE name LIKE 'limits\_concurrent\_%';
SELECT count(*) FROM stent.task;
DROP VIEW limits_concurrent_places, limits_concurrent_ended;
DROP PROCEDURE limits_concurrent_run;
DROP FUNCTION limits_concurrent_f;
