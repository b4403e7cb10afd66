-- Finished tasks go with their day; live executions and dead letters never.
\set VERBOSITY terse
SET stent.clock = '2030-05-10 12:00:00';
SET datestyle = ISO;

CREATE FUNCTION cleanup_f(n int, fail int DEFAULT 0, t text DEFAULT '') RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    IF stent.attempt() <= fail THEN
        RAISE EXCEPTION 'fails';
    END IF;
    RETURN jsonb_build_object('n', n, 't', t);
END $$;
CREATE VIEW cleanup_partitions AS SELECT relname FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid
    WHERE inhparent = 'stent.archive'::regclass AND relname > 'archive_p2030' ORDER BY relname;
CREATE VIEW cleanup_rows AS
    SELECT (SELECT count(*) FROM stent.tasks WHERE function = 'cleanup_f') AS tasks,
           (SELECT count(*) FROM stent.attempt a WHERE a.finished_at > '2030-01-01') AS attempts,
           (SELECT count(*) FROM stent.payload p WHERE p.value ->> 't' ~ '^z+$') AS payloads,
           (SELECT count(*) FROM stent.counter WHERE name = 'cleanup') AS counters,
           (SELECT count(*) FROM stent.context WHERE key = 'cleanup') AS contexts;
SET stent.retention = 'off';
SELECT stent.register('cleanup_f', 'cleanup_f(int, int, text)', retry => '{"initial_delay": "0s"}');

-- partitions are made ahead at the end of a batch; what finished before the first is kept apart
SELECT stent.dispatch('cleanup_f', '{"n": 10}') > 0 AS dispatched;
TABLE cleanup_partitions;
SELECT stent.run();
TABLE cleanup_partitions;
SELECT count(*) FROM stent.archive WHERE finished_at > '2030-01-01';
SELECT tableoid::regclass AS leaf, finished_at FROM stent.archive_kept WHERE finished_at > '2030-01-01';
SELECT state, finished_at FROM stent.tasks WHERE function = 'cleanup_f';

-- three days of history: an ordinary task, one with everything, a failed attempt, a dead letter, a live one
DO $$
BEGIN
    FOR d IN 11 .. 13 LOOP
        PERFORM set_config('stent.clock', format('2030-05-%s 23:59:59.999999', d), false);
        PERFORM stent.dispatch('cleanup_f', jsonb_build_object('n', d)),
                stent.dispatch('cleanup_f', jsonb_build_object('n', d, 'fail', 1, 't', repeat('z', 2000)), counters => '{"cleanup": 1}', context => '{"cleanup": 1}'),
                stent.dispatch('cleanup_f', jsonb_build_object('n', d, 'fail', 99)),
                stent.dispatch('cleanup_f', jsonb_build_object('n', d), delay => '100 days', counters => '{"cleanup": 1}', context => '{"cleanup": 1}');
        COMMIT;
        WHILE stent.run() > 0 LOOP COMMIT; END LOOP;
    END LOOP;
END $$;
SELECT tableoid::regclass AS leaf, count(*) FROM stent.archive WHERE finished_at > '2030-01-01' GROUP BY 1 ORDER BY 1;
TABLE cleanup_rows;

-- nothing is old enough; retention off means nothing unless an age is given
SET stent.clock = '2030-05-14 00:00:00';
SELECT stent.cleanup('10 days') >= 0 AS cleaned;
TABLE cleanup_rows;
SELECT stent.cleanup();
SELECT stent.cleanup('-1s');

-- by age: rows of the day the cutoff falls in, whole partitions before
SELECT stent.cleanup('2 days');
TABLE cleanup_partitions;
TABLE cleanup_rows;
SELECT stent.cleanup('1 day 00:00:01');
SELECT stent.cleanup('1 day');
TABLE cleanup_rows;
SELECT args ->> 'n' AS n, state FROM stent.tasks WHERE function = 'cleanup_f' ORDER BY id;

-- retention, on by default: run itself drops what is past it, when it has nothing else to do
RESET stent.retention;
SHOW stent.retention;
SET stent.clock = '2030-05-20 23:59:00';
SELECT stent.dispatch('cleanup_f', '{"n": 20}') > 0 AS dispatched;
SELECT stent.run();
SELECT count(*) FROM stent.tasks WHERE function = 'cleanup_f' AND state = 'completed' AND finished_at < '2030-05-14';
SET stent.clock = '2030-05-21 00:20:00';
SELECT stent.dispatch('cleanup_f', '{"n": 21}') > 0 AS dispatched;
SELECT stent.run();
SELECT stent.run();
SELECT relname FROM cleanup_partitions WHERE relname < 'archive_p20300515';
SELECT args ->> 'n' AS n, state FROM stent.tasks WHERE function = 'cleanup_f' ORDER BY id;
TABLE cleanup_rows;
-- junk
SET stent.retention = '7';
SET stent.retention = '0s';
SET stent.retention = 'forever';

-- a dead letter discarded past retention goes with the next cleanup
SET stent.clock = '2030-07-01 00:00:00';
SELECT stent.cleanup();
SELECT count(*) FROM stent.dead_letters WHERE function = 'cleanup_f';
SELECT stent.discard_many('cleanup_f');
SELECT args ->> 'n' AS n, state FROM stent.tasks WHERE function = 'cleanup_f' ORDER BY id;
SELECT stent.cleanup();
TABLE cleanup_rows;
-- the delayed ones run, long after all else is gone
SET stent.clock = '2030-09-01 00:00:00';
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT args ->> 'n' AS n, state, finished_at, stent.state_of(id) -> 'counters' AS counters FROM stent.tasks WHERE function = 'cleanup_f' ORDER BY id;
SET stent.clock = '2030-09-09 00:00:00';
SELECT stent.cleanup();
TABLE cleanup_rows;

SELECT stent.unregister('cleanup_f');
DROP VIEW cleanup_partitions, cleanup_rows;
DROP FUNCTION cleanup_f;
