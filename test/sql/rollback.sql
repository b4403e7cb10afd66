-- A rollback of the caller, whole or to a savepoint, leaves nothing in any table.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';

-- rows of every private table but the registry's, by physical count
CREATE FUNCTION rollback_rows() RETURNS TABLE (name text, n bigint) LANGUAGE plpgsql AS $$
BEGIN
    FOR name IN SELECT relname FROM pg_class WHERE relnamespace = 'stent'::regnamespace AND relkind IN ('r', 'p')
                AND NOT relispartition ORDER BY relname LOOP
        EXECUTE format('SELECT count(*) FROM stent.%I', name) INTO n;
        RETURN NEXT;
    END LOOP;
END $$;
CREATE FUNCTION rollback_f(n int) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    IF n < 0 THEN
        RAISE EXCEPTION 'negative';
    END IF;
    RETURN jsonb_build_object('big', repeat('x', n));
END $$;
CREATE FUNCTION rollback_big(j jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT j';
SELECT stent.register('rollback_big', 'rollback_big(jsonb)');
SELECT stent.register('rollback_f', 'rollback_f(int)', retry => '{"max_attempts": 1}');
-- one task to the end first, so that partitions of the day exist
SELECT stent.dispatch('rollback_f', '{"n": 1}') AS id \gset
SELECT stent.run();
CREATE TABLE rollback_before AS SELECT * FROM rollback_rows();

CREATE PROCEDURE rollback_dispatch() LANGUAGE plpgsql AS $$
BEGIN
    PERFORM stent.dispatch('rollback_f', jsonb_build_object('n', 1)),
            stent.dispatch('rollback_f', jsonb_build_object('n', -1), queue => 'rollback', priority => 9, tags => '{new}',
                           retry => '{"max_attempts": 71}', dedup_key => 'key', headers => '{"h": 1}',
                           counters => '{"c": 1}', context => '{"x": 1}', max_duration => '1h', timeout => '1m'),
            stent.dispatch('rollback_f', jsonb_build_object('n', 2), delay => '1h'),
            stent.dispatch_many('rollback_f', ARRAY[jsonb_build_object('n', 3), jsonb_build_object('n', 4)]);
    -- args over a kilobyte go elsewhere
    PERFORM stent.dispatch('rollback_big', jsonb_build_object('text', repeat('x', 3000)));
END $$;

BEGIN;
CALL rollback_dispatch();
SELECT name, r.n - b.n AS added FROM rollback_rows() r JOIN rollback_before b USING (name) WHERE r.n <> b.n;
ROLLBACK;
SELECT name, r.n - b.n AS added FROM rollback_rows() r JOIN rollback_before b USING (name) WHERE r.n <> b.n;

BEGIN;
SAVEPOINT s;
CALL rollback_dispatch();
ROLLBACK TO s;
COMMIT;
SELECT name, r.n - b.n AS added FROM rollback_rows() r JOIN rollback_before b USING (name) WHERE r.n <> b.n;

-- a run that is rolled back has not happened: nothing charged, everything ready
CALL rollback_dispatch();
CREATE TABLE rollback_dispatched AS SELECT * FROM rollback_rows();
BEGIN;
SELECT stent.run() + stent.run() + stent.run() + stent.run() + stent.run() + stent.run() + stent.run() AS ran;
SELECT state, count(*) FROM stent.tasks WHERE function LIKE 'rollback\_%' AND id <> :id GROUP BY state ORDER BY state;
ROLLBACK;
SELECT name, r.n - b.n AS added FROM rollback_rows() r JOIN rollback_dispatched b USING (name) WHERE r.n <> b.n;
SELECT state, attempt, count(*) FROM stent.tasks WHERE function LIKE 'rollback\_%' AND id <> :id GROUP BY state, attempt ORDER BY state;
BEGIN;
SAVEPOINT s;
SELECT stent.run() > 0 AS ran;
ROLLBACK TO s;
SELECT stent.run() > 0 AS ran;
ROLLBACK;
SELECT state, attempt, count(*) FROM stent.tasks WHERE function LIKE 'rollback\_%' AND id <> :id GROUP BY state, attempt ORDER BY state;

-- then they run as if nothing had been
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SET stent.clock = '2026-01-01 12:00:00';
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT state, attempt, count(*) FROM stent.tasks WHERE function LIKE 'rollback\_%' AND id <> :id GROUP BY state, attempt ORDER BY state, attempt;

-- registration is transactional too
BEGIN;
SELECT stent.register('rollback_new', 'rollback_big(jsonb)');
SELECT stent.dispatch('rollback_new') > 0 AS dispatched;
ROLLBACK;
SELECT stent.dispatch('rollback_new');
BEGIN;
SELECT stent.unregister('rollback_big');
ROLLBACK;
SELECT stent.dispatch('rollback_big') > 0 AS dispatched;
SELECT stent.run();

SELECT stent.discard_many('rollback_f');
SELECT count(stent.unregister(name)) FROM stent.functions WHERE name LIKE 'rollback\_%';
DROP TABLE rollback_before, rollback_dispatched;
DROP FUNCTION rollback_rows, rollback_f, rollback_big;
DROP PROCEDURE rollback_dispatch;
