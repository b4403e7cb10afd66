-- Memos go with their tasks; a cached result whose time has not run out outlives its partition.
\set VERBOSITY terse
SET stent.clock = '2031-05-10 12:00:00';
SET datestyle = ISO;
SET stent.retention = 'off';

CREATE FUNCTION memo_f(n int) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    IF n < 0 THEN
        RAISE EXCEPTION 'negative';
    END IF;
    RETURN repeat('m', n);
END $$;
CREATE PROCEDURE memo_drain() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT stent.register('memo_idem', 'memo_f(int)', idempotent => true, retry => '{"max_attempts": 1}');
SELECT stent.register('memo_1d', 'memo_f(int)', cached => true, cache_ttl => '1 day');
SELECT stent.register('memo_9d', 'memo_f(int)', cached => true, cache_ttl => '9 days');
SELECT stent.register('memo_plain', 'memo_f(int)');
CREATE VIEW memo_rows AS
    SELECT t.function, t.state, t.args ->> 'n' AS n, t.finished_at, length(t.result #>> '{}') AS result,
           (SELECT count(*) FROM stent.memo m WHERE m.task_id = t.id) AS memos,
           EXISTS (SELECT FROM stent.archive_kept k WHERE k.id = t.id) AS kept
    FROM stent.tasks t WHERE t.function LIKE 'memo\_%' ORDER BY t.finished_at, t.id;
CREATE VIEW memo_orphans AS
    SELECT (SELECT count(*) FROM stent.memo m WHERE NOT EXISTS (SELECT FROM stent.tasks t WHERE t.id = m.task_id)) AS memos,
           (SELECT count(*) FROM stent.payload p WHERE p.value #>> '{}' ~ '^m+$') AS results;
-- so that there are partitions
SELECT stent._add_partitions('2031-05-10', '2031-06-10');

-- one day: idempotent, cached for a day and for nine (twice, once under an own key too), a failure, an own key
SELECT stent.dispatch(f, '{"n": 2000}') > 0 AS dispatched FROM unnest(ARRAY['memo_idem', 'memo_1d', 'memo_9d', 'memo_plain']) f;
SELECT stent.dispatch('memo_9d', '{"n": 1}', dedup_key => 'd') = stent.dispatch('memo_9d', '{"n": 2}', dedup_key => 'd', idempotency_key => 'k') AS one_task;
SELECT stent.dispatch('memo_idem', '{"n": -1}') > 0 AS dispatched, stent.dispatch('memo_plain', '{"n": 4}', idempotency_key => 'k') > 0 AS dispatched;
SELECT stent.cancel(stent.dispatch('memo_9d', '{"n": 5}')) AS cancelled;
CALL memo_drain();
-- and another
SET stent.clock = '2031-05-11 12:00:00';
SELECT stent.dispatch('memo_9d', '{"n": 6}') > 0 AS dispatched, stent.dispatch('memo_idem', '{"n": 6}') > 0 AS dispatched;
CALL memo_drain();
TABLE memo_rows;
TABLE memo_orphans;

-- rows of the day the cutoff falls in
SET stent.clock = '2031-05-11 13:00:00';
SELECT stent.cleanup('0') > 0 AS cleaned;
TABLE memo_rows;
TABLE memo_orphans;
-- the kept ones still serve, those that went do not
SELECT stent.state_of(stent.dispatch('memo_9d', '{"n": 2000}')) ->> 'state' AS nine_days,
       stent.state_of(stent.dispatch('memo_9d', '{"n": 7}', idempotency_key => 'k')) ->> 'state' AS own_key,
       stent.state_of(stent.dispatch('memo_idem', '{"n": 2000}')) ->> 'state' AS idempotent;
CALL memo_drain();

-- whole partitions, by retention: run itself keeps what has to be kept
SET stent.retention = '2d';
SET stent.clock = '2031-05-15 00:00:00';
DO $$ BEGIN
    FOR i IN 1 .. 6 LOOP
        PERFORM set_config('stent.clock', format('2031-05-15 %s:00:00', i), false), stent.run();
        COMMIT;
    END LOOP;
END $$;
SELECT min(relname) FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid WHERE inhparent = 'stent.archive'::regclass AND relname > 'archive_p2031';
TABLE memo_rows;
TABLE memo_orphans;
SELECT stent.state_of(stent.dispatch('memo_9d', '{"n": 6}')) ->> 'state' AS nine_days;
-- their time runs out: they go with the next cleanup; those that are made anew do not
SET stent.clock = '2031-05-19 12:00:00';
SELECT stent.dispatch('memo_9d', '{"n": 2000}') > 0 AS anew;
SELECT stent.cleanup();
TABLE memo_rows;
CALL memo_drain();
SET stent.clock = '2031-05-20 12:00:00';
SELECT stent.cleanup();
TABLE memo_rows;
TABLE memo_orphans;

-- dead letters keep theirs until they are purged or retention finds them discarded
SELECT stent.dispatch('memo_idem', '{"n": -2}') > 0 AS dispatched;
CALL memo_drain();
SET stent.clock = '2031-05-20 13:00:00';
SELECT function, state, n, memos FROM memo_rows WHERE state = 'failed' ORDER BY finished_at;
SELECT stent.discard(id) FROM stent.dead_letters WHERE args = '{"n": -1}';
SELECT stent.purge_dead_letters('0', 'memo_idem');
SELECT function, state, n, memos FROM memo_rows WHERE state = 'failed' ORDER BY finished_at;
SET stent.clock = '2031-06-20 00:00:00';
SELECT stent.cleanup();
TABLE memo_rows;
TABLE memo_orphans;

SELECT count(stent.unregister(name)) FROM stent.functions WHERE name LIKE 'memo\_%';
DROP VIEW memo_rows, memo_orphans;
DROP PROCEDURE memo_drain;
DROP FUNCTION memo_f;
