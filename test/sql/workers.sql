-- Workers tell of themselves: worker_start, worker_heartbeat, worker_stop, and the view workers.
\set VERBOSITY terse
SET datestyle = ISO;
SET stent.clock = '2024-01-01 00:00:00';
CREATE FUNCTION wk_try(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE answer text; code text; msg text; detail text; hint text;
BEGIN
    EXECUTE 'SELECT ' || call INTO answer;
    RETURN answer;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, msg = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN regexp_replace(concat_ws(E'\n', code || ': ' || msg, 'DETAIL: ' || nullif(detail, ''), 'HINT: ' || nullif(hint, '')),
                          'stent \d+\.\d+\.\d+', 'stent X.Y.Z');
END $$;
CREATE VIEW wk_seen AS
    SELECT name, state, live, functions, queues, tags, slots, busy, leased FROM stent.workers WHERE name LIKE 'wk\_%' ORDER BY name;

-- what it is told
SELECT stent.worker_start('wk_a') - 'version' AS answer, stent.worker_start('wk_a') ->> 'version' = (stent.health() ->> 'library_version') AS of_us;
SET stent.lease_duration = '1500ms';
SELECT stent.worker_start('wk_b', 1, '{f,g}', '{q}', '{red,blue}', 8, '{"version": "0.4.0", "host": "here"}', '10 seconds') -> 'lease_seconds' AS lease;
RESET stent.lease_duration;
SELECT * FROM wk_seen;
SELECT name, protocol, version, role = current_user AS ours, started_at, seen_at, alive_until, info FROM stent.workers WHERE name LIKE 'wk\_%' ORDER BY name;

-- alive as long as it tells so
SELECT stent.worker_heartbeat('wk_a'), stent.worker_heartbeat('wk_b', 'ready', 3);
SET stent.clock = '2024-01-01 00:00:10';
SELECT * FROM wk_seen;
SELECT stent.worker_heartbeat('wk_b', 'draining');
SET stent.clock = '2024-01-01 00:00:20.000001';
SELECT * FROM wk_seen;
-- late is not too late; another alive_for holds from now on
SELECT stent.worker_heartbeat('wk_b', alive_for => '1 hour', busy => 0);
SET stent.clock = '2024-01-01 00:01:00.000001';
SELECT stent.worker_heartbeat('wk_b');
SELECT * FROM wk_seen;
SELECT name, started_at, seen_at, alive_until FROM stent.workers WHERE name LIKE 'wk\_%' ORDER BY name;
SELECT n FROM jsonb_array_elements_text(stent.health() -> 'notes') n WHERE n LIKE '%wk\_%';
SELECT stent.health() -> 'workers' AS workers;

-- stopped, by itself; it may start again, as anything else
SELECT stent.worker_stop('wk_b'), stent.worker_stop('wk_b'), stent.worker_stop('wk_c'), stent.worker_heartbeat('wk_b'), stent.worker_heartbeat('wk_c');
SELECT * FROM wk_seen;
SELECT stent.worker_start('wk_b', functions => '{}', tags => '{}') IS NOT NULL AS again;
SELECT * FROM wk_seen;
SELECT started_at, alive_until, version, info FROM stent.workers WHERE name = 'wk_b';
BEGIN;
SELECT stent.worker_start('wk_c') IS NOT NULL AS started;
ROLLBACK;
SELECT stent.worker_heartbeat('wk_c');

-- protocols
SELECT wk_try($$stent.worker_start('wk_p', 0)$$);
SELECT wk_try($$stent.worker_start('wk_p', 2)$$);
-- NULL where a value is needed, and bounds
SELECT wk_try('stent.worker_start(' || a || ')') FROM unnest(ARRAY[
    'NULL', $$''$$, $$repeat('n', 201)$$, $$'wk_p', NULL$$, $$'wk_p', functions => '{a,NULL}'$$, $$'wk_p', queues => '{""}'$$,
    $$'wk_p', tags => '{{a},{b}}'$$, $$'wk_p', tags => ARRAY[repeat('t', 201)]$$, $$'wk_p', queues => array_fill('q'::text, '{1001}')$$,
    $$'wk_p', slots => 0$$, $$'wk_p', slots => 100001$$, $$'wk_p', info => '[1]'$$, $$'wk_p', info => jsonb_build_object('x', repeat('x', 8000))$$,
    $$'wk_p', alive_for => NULL$$, $$'wk_p', alive_for => '999 milliseconds'$$, $$'wk_p', alive_for => '1 day 1 microsecond'$$,
    $$'wk_p', alive_for => '-1 minute'$$]) a;
SELECT wk_try('stent.worker_heartbeat(' || a || ')') FROM unnest(ARRAY[
    'NULL', $$'wk_a', NULL$$, $$'wk_a', 'stopped'$$, $$'wk_a', 'Ready'$$, $$'wk_a', busy => -1$$, $$'wk_a', busy => 100001$$,
    $$'wk_a', alive_for => '0'$$]) a;
SELECT wk_try('stent.worker_stop(NULL)');
SELECT count(*) AS none FROM stent.workers WHERE name = 'wk_p';
SELECT wk_try('stent.worker_start(' || a || ')') IS NOT NULL AS fits FROM unnest(ARRAY[
    $$repeat('n', 200), slots => 1$$, $$'wk_p', slots => 100000, alive_for => '1 second', info => NULL$$, $$'wk_p', alive_for => '1 day'$$]) a;
SELECT stent.worker_stop(repeat('n', 200));
BEGIN READ ONLY;
SELECT stent.worker_heartbeat('wk_a');
ROLLBACK;

-- who may
CREATE ROLE wk_worker LOGIN;
CREATE ROLE wk_app LOGIN;
CREATE ROLE wk_none LOGIN;
SELECT stent.grant_usage('wk_worker', 'worker'), stent.grant_usage('wk_app');
GRANT EXECUTE ON FUNCTION wk_try TO wk_worker, wk_app, wk_none;
SET ROLE wk_worker;
SELECT wk_try($$stent.worker_start('wk_w', info => '{"mine": 1}') - 'version'$$), wk_try($$stent.worker_heartbeat('wk_w')$$), wk_try($$stent.worker_stop('wk_w')$$);
SELECT name, state, role, info IS NOT NULL AS info FROM stent.workers WHERE name LIKE 'wk\_%' AND role = current_user;
SELECT count(*) AS info_of_others FROM stent.workers WHERE info IS NOT NULL AND role <> current_user;
SET ROLE wk_app;
SELECT wk_try($$stent.worker_start('wk_w')$$);
SELECT name, state, info IS NOT NULL AS info FROM stent.workers WHERE name LIKE 'wk\_%' ORDER BY name;
SELECT count(*) FROM stent.worker;
SET ROLE wk_none;
SELECT wk_try($$stent.worker_stop('wk_w')$$);
SELECT count(*) FROM stent.workers;
RESET ROLE;

-- forgotten with retention, or after a day if that is shorter or off, by who starts and by cleanup
SET stent.retention = '3d';
SELECT stent.worker_stop('wk_a');
SET stent.clock = '2024-01-04 00:00:59';
SELECT stent.worker_start('wk_new') IS NOT NULL AS started;
SELECT name, state FROM stent.workers WHERE name LIKE 'wk\_%' ORDER BY name;
SET stent.clock = '2024-01-04 00:01:01';
SELECT stent.worker_start('wk_new', alive_for => '1 hour') IS NOT NULL AS started;
SELECT name, state FROM stent.workers WHERE name LIKE 'wk\_%' ORDER BY name;
SET stent.retention = '1h';
SET stent.clock = '2024-01-05 00:59:00';
SELECT stent.cleanup() >= 0 AS cleaned;
SELECT name, state FROM stent.workers WHERE name LIKE 'wk\_%' ORDER BY name;
SET stent.clock = '2024-01-05 01:02:00';
SELECT stent.cleanup() >= 0 AS cleaned;
SELECT name, state FROM stent.workers WHERE name LIKE 'wk\_%' ORDER BY name;
SET stent.retention = 'off';
SELECT stent.worker_start('wk_new', alive_for => '1 second') IS NOT NULL AS started;
SET stent.clock = '2024-01-06 01:02:02';
SELECT stent.worker_start('wk_late') IS NOT NULL AS started;
SELECT name, state FROM stent.workers WHERE name LIKE 'wk\_%' ORDER BY name;

DELETE FROM stent.worker WHERE name LIKE 'wk\_%';
DROP VIEW wk_seen;
DROP OWNED BY wk_worker, wk_app, wk_none;
DROP FUNCTION wk_try;
DROP ROLE wk_worker, wk_app, wk_none;
