-- A cached call is remembered for its time to live, by stent.now(), from the end of its task.
\set VERBOSITY terse
SET stent.clock = '2026-02-01 00:00:00';
SET datestyle = ISO;
SET intervalstyle = postgres;

CREATE FUNCTION ttl_f(n int, fail boolean DEFAULT false) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    IF fail THEN
        RAISE EXCEPTION 'fails';
    END IF;
    RETURN n || ' at ' || stent.now();
END $$;
CREATE PROCEDURE ttl_drain() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
-- what a dispatch gives: a result at once, or what has to run first
CREATE FUNCTION ttl_get(function text, n int, key text DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    task bigint := stent.dispatch(function, jsonb_build_object('n', n), idempotency_key => key);
BEGIN
    RETURN COALESCE((SELECT t.result #>> '{}' FROM stent.tasks t WHERE t.id = task), 'to be run');
END $$;
SELECT stent.register('ttl_f', 'ttl_f(int, boolean)', cached => true, cache_ttl => '10 min', retry => '{"max_attempts": 1}');
SELECT stent.register('ttl_month', 'ttl_f(int, boolean)', cached => true, cache_ttl => '1 month');
SELECT stent.register('ttl_none', 'ttl_f(int, boolean)', cached => true);
SELECT stent.register('ttl_zero', 'ttl_f(int, boolean)', cached => true, cache_ttl => '0');
SELECT stent.register('ttl_both', 'ttl_f(int, boolean)', cached => true, cache_ttl => '1 s', idempotent => true);
SELECT name, cached, cache_ttl, idempotent FROM stent.functions WHERE name LIKE 'ttl\_%' ORDER BY name COLLATE "C";

SELECT name, ttl_get(name, 1) FROM stent.functions WHERE name LIKE 'ttl\_%' ORDER BY name COLLATE "C";
SELECT m.ttl, count(*) FROM stent.memo m JOIN stent.tasks t ON t.id = m.task_id WHERE t.function LIKE 'ttl\_%' GROUP BY 1 ORDER BY 1;
-- it waits in the queue for longer than its time to live: live is live
SET stent.clock = '2026-02-01 01:00:00';
SELECT ttl_get('ttl_f', 1);
CALL ttl_drain();
SELECT name, ttl_get(name, 1) FROM stent.functions WHERE name LIKE 'ttl\_%' ORDER BY name COLLATE "C";
-- the edge
SET stent.clock = '2026-02-01 01:09:59.999999';
SELECT ttl_get('ttl_f', 1);
SET stent.clock = '2026-02-01 01:10:00';
SELECT ttl_get('ttl_f', 1), ttl_get('ttl_f', 1) AS joined;
CALL ttl_drain();
SELECT ttl_get('ttl_f', 1), ttl_get('ttl_both', 1), ttl_get('ttl_none', 1), ttl_get('ttl_zero', 1);
SET stent.clock = '2026-02-28 23:59:59';
SELECT ttl_get('ttl_f', 1), ttl_get('ttl_month', 1), ttl_get('ttl_both', 1);
SET stent.clock = '2026-03-01 01:00:00';
SELECT ttl_get('ttl_month', 1);
CALL ttl_drain();

-- the caller's own key: as the function is registered
SELECT ttl_get('ttl_f', 1, 'k'), ttl_get('ttl_both', 1, 'k');
CALL ttl_drain();
SELECT ttl_get('ttl_f', 2, 'k'), ttl_get('ttl_both', 2, 'k');
SET stent.clock = '2026-03-01 01:10:00';
SELECT ttl_get('ttl_f', 2, 'k'), ttl_get('ttl_both', 2, 'k');
CALL ttl_drain();

-- a failure is not cached
SELECT stent.dispatch('ttl_f', '{"n": 3, "fail": true}') AS failed \gset
CALL ttl_drain();
SELECT stent.dispatch('ttl_f', '{"n": 3, "fail": true}') = :failed AS served;
CALL ttl_drain();

-- another time to live: a memo keeps the one it was written with until it is written anew
SELECT ttl_get('ttl_f', 4);
CALL ttl_drain();
SELECT stent.register('ttl_f', 'ttl_f(int, boolean)', cached => true, cache_ttl => '1 day');
SET stent.clock = '2026-03-01 01:20:00';
SELECT ttl_get('ttl_f', 4);
CALL ttl_drain();
SET stent.clock = '2026-03-01 12:00:00';
SELECT ttl_get('ttl_f', 4);
-- no longer cached: nobody asks
SELECT stent.register('ttl_f', 'ttl_f(int, boolean)');
SELECT ttl_get('ttl_f', 4);
SELECT stent.register('ttl_f', 'ttl_f(int, boolean)', cached => true, cache_ttl => '1 day');
SELECT ttl_get('ttl_f', 4);
CALL ttl_drain();

-- a shifted clock ages as well
SET stent.clock = '';
SELECT stent.register('ttl_f', 'ttl_f(int, boolean)', cached => true, cache_ttl => '1 hour');
SELECT ttl_get('ttl_f', 5) = 'to be run' AS to_be_run;
CALL ttl_drain();
SELECT ttl_get('ttl_f', 5) = 'to be run' AS to_be_run;
SET stent.clock = '+59m';
SELECT ttl_get('ttl_f', 5) = 'to be run' AS to_be_run;
SET stent.clock = '+1h';
SELECT ttl_get('ttl_f', 5) = 'to be run' AS to_be_run;
CALL ttl_drain();

SET stent.clock = '+1d';
SELECT stent.discard_many('ttl_f');
SELECT stent.cleanup('0') > 0 AS cleaned;
SET stent.clock = '+100d';
SELECT stent.cleanup('0') >= 0 AS cleaned;
SELECT count(*) FROM stent.tasks WHERE function LIKE 'ttl\_%';
SELECT count(*) FROM stent.memo m WHERE NOT EXISTS (SELECT FROM stent.tasks t WHERE t.id = m.task_id);
SELECT count(stent.unregister(name)) FROM stent.functions WHERE name LIKE 'ttl\_%';
DROP PROCEDURE ttl_drain;
DROP FUNCTION ttl_f, ttl_get;
