-- rate_limit: at most rate_burst + rate_limit * t / rate_interval starts in any time t.
\set VERBOSITY terse
SET datestyle = ISO;
SET intervalstyle = postgres;
SET stent.clock = '2026-01-01 00:00:00';

CREATE TABLE limits_rate_log (f text, at timestamp, attempt int);
GRANT SELECT, INSERT ON limits_rate_log TO PUBLIC;
CREATE FUNCTION limits_rate_f(f text DEFAULT 'a', fail boolean DEFAULT false) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF fail THEN
        RAISE EXCEPTION 'fails';
    END IF;
    INSERT INTO limits_rate_log VALUES (f, stent.now(), stent.attempt());
END $$;
CREATE PROCEDURE limits_rate_run(INOUT n int DEFAULT 0) LANGUAGE plpgsql AS $$
DECLARE
    m int;
BEGIN
    LOOP
        m := stent.run();
        COMMIT;
        EXIT WHEN m = 0;
        n := n + m;
    END LOOP;
END $$;
-- how many start at each of these times
CREATE PROCEDURE limits_rate_at(VARIADIC times text[]) LANGUAGE plpgsql AS $$
DECLARE
    t text; n int;
BEGIN
    FOREACH t IN ARRAY times LOOP
        PERFORM set_config('stent.clock', t, false);
        COMMIT;
        n := 0;
        CALL limits_rate_run(n);
        RAISE INFO '%: %', t, n;
    END LOOP;
END $$;
CREATE FUNCTION limits_rate_dispatch(f text, n int) RETURNS bigint LANGUAGE sql AS
    $$ SELECT count(*) FROM stent.dispatch_many(f, array_fill(jsonb_build_object('f', f), ARRAY[n])) $$;

-- a burst of three, then one a third of a second, exactly: the fraction is kept
SELECT stent.register('limits_rate_a', 'limits_rate_f(text,boolean)', rate_limit => 3);
SELECT limits_rate_dispatch('limits_rate_a', 110);
CALL limits_rate_at('2026-01-01 00:00:00', '2026-01-01 00:00:00.333333', '2026-01-01 00:00:00.333334', '2026-01-01 00:00:00.666666',
    '2026-01-01 00:00:00.666667', '2026-01-01 00:00:00.999999', '2026-01-01 00:00:01', '2026-01-01 00:00:01.333334',
    '2026-01-01 00:00:03', '2026-01-01 00:00:04');
-- a pause fills the bucket, and no more than that
CALL limits_rate_at('2026-01-01 01:00:00', '2026-01-01 01:00:00', '2026-01-01 01:00:00.333333', '2026-01-01 01:00:00.333334');
-- over a long time exactly the rate
CALL limits_rate_at('2026-01-01 02:00:00');
DO $$
DECLARE
    n int; total int := 0;
BEGIN
    FOR i IN 1 .. 20 LOOP
        PERFORM set_config('stent.clock', to_char('2026-01-01 02:00:00'::timestamp + i * interval '1 s', 'YYYY-MM-DD HH24:MI:SS'), false);
        n := 0;
        CALL limits_rate_run(n);
        total := total + n;
    END LOOP;
    RAISE INFO '%', total;
END $$;

-- the clock is set back: the bucket is empty, not locked up for as long
CALL limits_rate_at('2025-12-31 12:00:00', '2025-12-31 12:00:00.333333', '2025-12-31 12:00:00.333334', '2025-12-31 12:00:02', '2025-12-31 12:00:02');

-- registering it again gives no tokens; another limit holds at once
SELECT stent.register('limits_rate_a', 'limits_rate_f(text,boolean)', rate_limit => 3);
CALL limits_rate_at('2025-12-31 12:00:02');
SELECT stent.register('limits_rate_a', 'limits_rate_f(text,boolean)', rate_limit => 1, rate_interval => '1 minute', rate_burst => 2);
CALL limits_rate_at('2025-12-31 12:00:02', '2025-12-31 12:00:30', '2025-12-31 12:01:02', '2025-12-31 12:02:01', '2025-12-31 12:02:02', '2025-12-31 12:10:00');
SELECT stent.register('limits_rate_a', 'limits_rate_f(text,boolean)', rate_limit => 100, rate_burst => 1);
CALL limits_rate_at('2025-12-31 12:10:00', '2025-12-31 12:10:00.01', '2025-12-31 12:10:00.02', '2025-12-31 12:10:05');
-- and without one all may start
SELECT stent.register('limits_rate_a', 'limits_rate_f(text,boolean)');
CALL limits_rate_at('2025-12-31 12:10:05');
-- limited again, the starts of the time without a limit do not count
SELECT stent.register('limits_rate_a', 'limits_rate_f(text,boolean)', rate_limit => 1, rate_interval => '1 hour');
SELECT limits_rate_dispatch('limits_rate_a', 2);
CALL limits_rate_at('2025-12-31 12:10:06', '2025-12-31 13:10:05.999999', '2025-12-31 13:10:06');

-- a rollback gives no token back: the call may have been made
SELECT stent.register('limits_rate_b', 'limits_rate_f(text,boolean)', rate_limit => 2, rate_interval => '10 s');
SELECT limits_rate_dispatch('limits_rate_b', 4);
SET stent.clock = '2026-01-02 00:00:00';
BEGIN;
SELECT stent.run(1);
ROLLBACK;
BEGIN;
SAVEPOINT s;
SELECT stent.run(1);
ROLLBACK TO s;
SELECT stent.run(1);
COMMIT;
CALL limits_rate_at('2026-01-02 00:00:04.999999', '2026-01-02 00:00:05', '2026-01-02 00:00:09.999999', '2026-01-02 00:00:10', '2026-01-02 00:00:30');

-- retries count as starts
SELECT stent.register('limits_rate_b', 'limits_rate_f(text,boolean)', rate_limit => 1, rate_interval => '10 s',
    retry => '{"max_attempts": 2, "initial_delay": "0s"}');
SELECT stent.dispatch('limits_rate_b', '{"fail": true}') AS id \gset
CALL limits_rate_at('2026-01-02 01:00:00', '2026-01-02 01:00:09.999999');
SELECT state, attempt FROM stent.tasks WHERE id = :id;
CALL limits_rate_at('2026-01-02 01:00:10');
SELECT state, attempt FROM stent.tasks WHERE id = :id;
-- a task that is past its deadline, or cancelled, starts nothing
SELECT stent.dispatch('limits_rate_b', max_duration => '1s') AS late, stent.dispatch('limits_rate_b') AS cancelled, stent.dispatch('limits_rate_b') AS next \gset
SELECT stent.cancel(:cancelled);
CALL limits_rate_at('2026-01-02 02:00:00', '2026-01-02 02:00:09');
SELECT id = :late AS late, id = :next AS next, state FROM stent.tasks WHERE id IN (:late, :cancelled, :next) ORDER BY id;

-- others go on meanwhile, of lower priority and in other lanes; a queue is no other function
SELECT stent.register('limits_rate_c', 'limits_rate_f(text,boolean)');
SELECT count(*) FROM generate_series(1, 30) i, stent.dispatch('limits_rate_b', '{"f": "b"}', queue => 'q' || i % 5, priority => i % 3);
SELECT count(*) FROM generate_series(1, 20) i, stent.dispatch('limits_rate_c', '{"f": "c"}', queue => 'q' || i % 5, priority => i % 2 - 1);
TRUNCATE limits_rate_log;
CALL limits_rate_at('2026-01-02 03:00:00');
SELECT f, count(*) FROM limits_rate_log GROUP BY f ORDER BY f;
CALL limits_rate_at('2026-01-02 03:00:10', '2026-01-02 03:00:20');
-- due tasks behind limited ones too
SELECT stent.dispatch('limits_rate_c', delay => '1s', priority => -100) AS id \gset
CALL limits_rate_at('2026-01-02 03:00:29');
SELECT state FROM stent.tasks WHERE id = :id;
SELECT stent.dispatch('limits_rate_c', delay => '1s', priority => -100) AS id, count(stent.dispatch('limits_rate_b', delay => '1s', priority => 50)) FROM generate_series(1, 150) \gset
CALL limits_rate_at('2026-01-02 03:00:29.5', '2026-01-02 03:00:30', '2026-01-02 03:00:31');
SELECT state FROM stent.tasks WHERE id = :id;

-- what why() says; and two functions have a bucket each
SELECT stent.register('limits_rate_c', 'limits_rate_f(text,boolean)', rate_limit => 2, rate_interval => '3 s');
SELECT limits_rate_dispatch('limits_rate_c', 5);
CALL limits_rate_at('2026-01-02 03:00:31');
SELECT stent._limit_reached(id) FROM stent.function WHERE name IN ('limits_rate_b', 'limits_rate_c') ORDER BY name;
SET stent.clock = '2026-01-02 03:00:33';
SELECT stent._limit_reached(id) FROM stent.function WHERE name IN ('limits_rate_b', 'limits_rate_c') ORDER BY name;

-- the row moves, or is gone: nothing starts twice, and nothing is locked up
VACUUM FULL stent.rate;
CALL limits_rate_at('2026-01-02 03:00:33');
UPDATE stent.rate SET full_at = full_at;
CALL limits_rate_at('2026-01-02 03:00:33.999999', '2026-01-02 03:00:34');
DELETE FROM stent.rate;
CALL limits_rate_at('2026-01-02 03:00:35');
SELECT count(*) FROM stent.rate;
CALL limits_rate_at('2026-01-02 03:00:35');

-- leave nothing behind
SELECT stent.register('limits_rate_b', 'limits_rate_f(text,boolean)');
CALL limits_rate_at('2026-01-03 00:00:00');
SELECT stent.discard_many('limits_rate_b');
SELECT count(stent.unregister(name)) FROM stent.functions WHERE name LIKE 'limits\_rate%';
SELECT count(*) FROM stent.task;
DROP TABLE limits_rate_log;
DROP PROCEDURE limits_rate_at;
DROP PROCEDURE limits_rate_run;
DROP FUNCTION limits_rate_f, limits_rate_dispatch;
