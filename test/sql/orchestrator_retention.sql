-- What a waiting execution needs is kept, however long it waits; with its end all of it goes.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';
SET stent.retention = '2d';
CREATE FUNCTION kep_leaf(size int) RETURNS text LANGUAGE sql AS $$ SELECT repeat('x', size) $$;
CREATE PROCEDURE kep_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
CREATE FUNCTION kep_do() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    long jsonb := stent.call('kep_leaf', '{"size": 50000}');
    local jsonb := stent.step('local', 'kep_leaf', '{"size": 40000}');
    kept jsonb := stent.record('kept', to_jsonb(repeat('y', 30000)));
    spawned bigint := stent.spawn('kep_leaf', '{"size": 20000}');
    got jsonb;
BEGIN
    PERFORM stent.sleep('60 days');
    got := stent.await(spawned);
    RETURN jsonb_build_array(length(long #>> '{}'), length(local #>> '{}'), length(kept #>> '{}'), length(got #>> '{}'));
END $$;
SELECT stent.register('kep_leaf', 'kep_leaf(int)'), stent.register('kep_do', 'kep_do()');
SELECT stent.dispatch('kep_do') AS id \gset
CALL kep_run();
SELECT stent.state_of(:id) ->> 'state' AS state, (SELECT count(*) FROM stent.step WHERE task_id = :id) AS steps;
-- thirty days with their housekeeping
SET stent.clock = '2026-01-15 00:00:00';
SELECT stent.cleanup('1d') >= 0 AS cleaned;
CALL kep_run();
SET stent.clock = '2026-01-31 00:00:00';
SELECT stent.cleanup('1d') >= 0 AS cleaned;
CALL kep_run();
SELECT count(*) AS tasks FROM stent.tasks WHERE execution_id = :id;
SET stent.clock = '2026-03-02 00:00:00';
CALL kep_run();
SELECT state, result FROM stent.tasks WHERE id = :id;
-- steps are kept with the history of the task, and go with it
SELECT (SELECT count(*) FROM stent.step WHERE task_id = :id) AS steps;
SET stent.clock = '2026-03-10 00:00:00';
SELECT stent.cleanup('1d') > 0 AS cleaned;
SELECT (SELECT count(*) FROM stent.step WHERE task_id = :id) AS steps, (SELECT count(*) FROM stent.tasks WHERE execution_id = :id) AS tasks, (SELECT array_agg(length(p.value #>> '{}')) FROM stent.payload p WHERE length(p.value::text) > 15000) AS payloads;

-- a dead letter keeps what its next attempt needs, however long it was dead
SET stent.clock = '2026-04-01 00:00:00';
CREATE FUNCTION kep_dead() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    long jsonb := stent.call('kep_leaf', '{"size": 50000}');
    short jsonb := stent.call('kep_leaf', '{"size": 5}');
    kept jsonb := stent.record('kept', to_jsonb(repeat('y', 30000)));
    spawned bigint := stent.spawn('kep_leaf', '{"size": 20000}');
BEGIN
    PERFORM stent.sleep('1s');
    IF stent.now() < '2026-05-01' THEN
        RAISE EXCEPTION 'not yet';
    END IF;
    RETURN jsonb_build_array(length(long #>> '{}'), length(short #>> '{}'), length(kept #>> '{}'), length(stent.await(spawned) #>> '{}'));
END $$;
SELECT stent.register('kep_dead', 'kep_dead()', retry => '{"max_attempts": 1}');
SELECT stent.dispatch('kep_dead') AS id \gset
CALL kep_run();
SET stent.clock = '2026-04-01 00:00:01';
CALL kep_run();
SELECT state FROM stent.tasks WHERE id = :id;
SET stent.clock = '2026-05-01 00:00:00';
SELECT stent.cleanup('1d') >= 0 AS cleaned;
CALL kep_run();
SELECT stent.replay(:id) = :id AS replayed;
CALL kep_run();
SELECT state, result, error ->> 'message' AS error FROM stent.tasks WHERE id = :id;
SET stent.clock = '2026-05-10 00:00:00';
SELECT stent.cleanup('1d') > 0 AS cleaned;
SELECT (SELECT count(*) FROM stent.step WHERE task_id = :id) AS steps, (SELECT count(*) FROM stent.tasks WHERE execution_id = :id) AS tasks, (SELECT array_agg(length(p.value #>> '{}')) FROM stent.payload p WHERE length(p.value::text) > 15000) AS payloads;

-- a result that was taken from a call which somebody else had made is kept as well
SET stent.clock = '2026-06-01 00:00:00';
CREATE FUNCTION kep_once(size int) RETURNS text LANGUAGE sql AS $$ SELECT repeat('z', size) $$;
CREATE FUNCTION kep_joins() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    long jsonb := stent.call('kep_once', '{"size": 60000}');
BEGIN
    PERFORM stent.sleep('60 days');
    RETURN to_jsonb(length(long #>> '{}'));
END $$;
SELECT stent.register('kep_once', 'kep_once(int)', idempotent => true), stent.register('kep_joins', 'kep_joins()', retry => '{"max_attempts": 1}');
SELECT stent.dispatch('kep_once', '{"size": 60000}') AS other \gset
CALL kep_run();
SELECT stent.dispatch('kep_joins') AS id \gset
CALL kep_run();
SET stent.clock = '2026-07-01 00:00:00';
SELECT stent.cleanup('1d') >= 0 AS cleaned;
SELECT count(*) AS others FROM stent.tasks WHERE id = :other;
SET stent.clock = '2026-08-01 00:00:00';
CALL kep_run();
SELECT state, result, error ->> 'message' AS error FROM stent.tasks WHERE id = :id;
SET stent.clock = '2026-08-10 00:00:00';
SELECT stent.cleanup('1d') > 0 AS cleaned;
SELECT (SELECT count(*) FROM stent.step WHERE task_id = :id) AS steps, (SELECT array_agg(length(p.value #>> '{}')) FROM stent.payload p WHERE length(p.value::text) > 15000) AS payloads;

-- the same where it is removed before its day is over
SET stent.clock = '2026-09-01 00:00:00';
SELECT stent._add_partitions('2026-09-01', '2026-09-02');
CREATE FUNCTION kep_today(ready boolean DEFAULT false) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    long jsonb := stent.call('kep_leaf', '{"size": 50000}');
BEGIN
    IF stent.now() < '2026-09-01 02:00' THEN
        RAISE EXCEPTION 'not yet';
    END IF;
    RETURN length(long #>> '{}');
END $$;
SELECT stent.register('kep_today', 'kep_today(boolean)', retry => '{"max_attempts": 1}');
SELECT stent.dispatch('kep_today') AS id \gset
CALL kep_run();
SET stent.clock = '2026-09-01 03:00:00';
SELECT stent.cleanup('1h') >= 0 AS cleaned;
SELECT stent.replay(:id) = :id AS replayed;
CALL kep_run();
SELECT state, result, error ->> 'message' AS error FROM stent.tasks WHERE id = :id;

-- items of maps: what they were replayed to, and what their chunk needs to be run again, as long as it may be wanted
SET stent.clock = '2026-10-01 00:00:00';
CREATE TABLE kep_bad AS SELECT 2 AS n;
CREATE FUNCTION kep_item(n int) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM kep_bad b WHERE b.n = kep_item.n) THEN
        RAISE EXCEPTION 'bad: %', n;
    END IF;
    RETURN repeat(n::text, 16000);
END $$;
CREATE FUNCTION kep_map() RETURNS int[] LANGUAGE plpgsql AS $$
DECLARE
    outcomes jsonb := stent.map('kep_item', '[1, 2, 3]', chunk_size => 1, concurrency_limit => 1);
BEGIN
    IF stent.now() < '2026-11-01' THEN
        RAISE EXCEPTION 'not yet';
    END IF;
    RETURN (SELECT array_agg(length(o)) FROM jsonb_array_elements_text(outcomes) o);
END $$;
CREATE FUNCTION kep_lost() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN stent.map('kep_ext', '[{"pad": "x"}]', on_error => 'collect') -> 0 -> 'error' ->> 'code'; END $$;
SELECT stent.register('kep_item', 'kep_item(int)', retry => '{"max_attempts": 1}'), stent.register('kep_map', 'kep_map()', retry => '{"max_attempts": 1}'), stent.register('kep_lost', 'kep_lost()'), stent.register('kep_ext', queue => 'kep');
SELECT stent.dispatch('kep_map') AS id \gset
CREATE PROCEDURE kep_some() LANGUAGE plpgsql AS $$ BEGIN WHILE NOT EXISTS (SELECT FROM stent.dead_letters WHERE function = 'kep_item') LOOP PERFORM stent.run(1); COMMIT; END LOOP; END $$;
CALL kep_some();
DELETE FROM kep_bad;
SELECT count(stent.replay(d.id)) FROM stent.dead_letters d WHERE function = 'kep_item';
CALL kep_run();
SELECT error ->> 'message' AS error FROM stent.tasks WHERE id = :id;
SELECT stent.dispatch('kep_lost') AS lost \gset
CALL kep_run();
SELECT array_agg(m.id) AS maps FROM stent.map m WHERE m.execution_id IN (:id, :lost) \gset
SET stent.max_lost = 1;
SELECT count(*) FROM stent.claim('w', 10, '{kep_ext}', chunks => true);
SET stent.clock = '2026-10-01 12:00:00';
SELECT count(*) FROM stent.claim('w', 10, '{kep_ext}', chunks => true);
CALL kep_run();
SELECT stent.result_of(:lost);
SET stent.clock = '2026-11-01 00:00:00';
SELECT stent.cleanup('1d') > 0 AS cleaned;
SELECT stent.replay(:id) = :id AS replayed;
CALL kep_run();
SELECT state, result, error ->> 'message' AS error FROM stent.tasks WHERE id = :id;
SELECT count(stent.replay(d.id)) FROM stent.dead_letters d WHERE function = 'kep_ext';
SELECT stent.complete(task_id, token, '[{"result": 1}]'), args FROM stent.claim('w', 10, '{kep_ext}', chunks => true);
RESET stent.max_lost;
-- with the last of it everything goes
SET stent.clock = '2026-12-01 00:00:00';
SELECT stent.cleanup('1d') > 0 AS cleaned, stent.cleanup('1d') >= 0 AS rest;
SELECT (SELECT count(*) FROM stent.tasks WHERE execution_id IN (:id, :lost)) AS tasks, (SELECT count(*) FROM stent.item WHERE map_id = ANY (:'maps')) AS items, (SELECT count(*) FROM stent.chunk WHERE map_id = ANY (:'maps')) AS chunks,
       (SELECT count(*) FROM stent.map WHERE id = ANY (:'maps')) AS maps, (SELECT array_agg(length(p.value #>> '{}')) FROM stent.payload p WHERE length(p.value::text) > 15000) AS payloads;

SELECT count(stent.unregister('kep_' || n)) FROM unnest(ARRAY['leaf', 'do', 'dead', 'once', 'joins', 'today', 'item', 'map', 'lost', 'ext']) n;
DROP PROCEDURE kep_run, kep_some;
DROP TABLE kep_bad;
DROP FUNCTION kep_leaf, kep_do, kep_dead, kep_once, kep_joins, kep_today, kep_item, kep_map, kep_lost;
