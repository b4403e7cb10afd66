-- health() in a database that nobody serves: preloaded or not, read only, for admin and worker.
\set VERBOSITY terse
\pset format unaligned
\pset tuples_only on
CREATE ROLE health_admin LOGIN;
CREATE ROLE health_worker LOGIN;
CREATE ROLE health_app LOGIN;
SELECT stent.grant_usage('health_admin', 'admin'), stent.grant_usage('health_worker', 'worker'), stent.grant_usage('health_app');
CREATE FUNCTION health_f() RETURNS int LANGUAGE sql AS 'SELECT 1';
SELECT stent.register('health_f', 'health_f()');

-- what is told, in which form
SELECT string_agg(key || ' ' || jsonb_typeof(value), E'\n' ORDER BY key COLLATE "C") FROM jsonb_each(stent.health())
WHERE key <> 'oldest_claimable';
SELECT string_agg(key, ' ' ORDER BY key COLLATE "C") FROM jsonb_each(stent.health() -> 'database');
SELECT string_agg(key, ' ' ORDER BY key COLLATE "C") FROM jsonb_each(stent.health() -> 'processes');
SELECT string_agg(key, ' ' ORDER BY key COLLATE "C") FROM jsonb_each(stent.health() -> 'horizon');
SELECT h ->> 'ok', h ->> 'in_recovery', (h ->> 'library_version') = (h ->> 'extension_version'), h #>> '{database,served}', h #>> '{processes,executors}',
       h #>> '{processes,waiting_roles}', h #>> '{processes,used}'
FROM stent.health() h;

-- the first problem: nobody serves this database
SELECT regexp_replace(stent.health() #>> '{problems,0}', '^(the library is not preloaded.*|database "[^"]*" is not served.*)$', 'NOT SERVED');

-- work that waits for long is another, and so is a role that cannot log in or is gone
SET stent.clock = '2020-01-01 00:00:00';
SET SESSION AUTHORIZATION health_app;
SELECT stent.dispatch('health_f', queue => 'health') AS id \gset
RESET SESSION AUTHORIZATION;
SET stent.clock = '2020-01-01 00:02:00';
SELECT h #>> '{oldest_claimable,function}', h #>> '{oldest_claimable,queue}', h #>> '{oldest_claimable,role}', h #>> '{oldest_claimable,age_seconds}',
       h #>> '{oldest_claimable,id}' = :'id'
FROM stent.health() h;
SELECT regexp_replace(p, '\m' || :'id' || '\M', 'ID', 'g') FROM jsonb_array_elements_text(stent.health() -> 'problems') p WHERE p LIKE 'task % is ready for %';
ALTER ROLE health_app RENAME TO health_gone;
SELECT p FROM jsonb_array_elements_text(stent.health() -> 'problems') p WHERE p LIKE '%health!_app%does not exist%' ESCAPE '!';
ALTER ROLE health_gone RENAME TO health_app;
ALTER ROLE health_app NOLOGIN;
SELECT count(*) = (current_setting('server_version_num')::int < 170000)::int
FROM jsonb_array_elements_text(stent.health() -> 'problems') p WHERE p = 'tasks wait of role health_app, which cannot log in: ALTER ROLE health_app LOGIN';
ALTER ROLE health_app LOGIN;
SET SESSION AUTHORIZATION health_app;
SELECT stent.run();
RESET SESSION AUTHORIZATION;
SELECT count(*) FROM jsonb_array_elements_text(stent.health() -> 'problems') p WHERE p LIKE 'task % is ready for %';
RESET stent.clock;

-- who holds the horizon back: a prepared transaction
BEGIN;
CREATE TABLE health_table (n int);
PREPARE TRANSACTION 'health';
SELECT h #>> '{horizon,holder,kind}', h #>> '{horizon,holder,gid}', (h #>> '{horizon,xmin_age}')::int > 0 FROM stent.health() h;
SELECT stent._horizon_problem(stent._horizon(), 1) IS NULL;
SELECT regexp_replace(stent._horizon_problem(stent._horizon(), 30000), 'of \d{4}-.* keeps|for \d+', '...', 'g');
ROLLBACK PREPARED 'health';

-- the sentences for the other kinds
SELECT stent._horizon_problem(jsonb_build_object('xmin_age', 2000000, 'holder', h), 0) FROM (VALUES
    ('{"kind": "backend", "pid": 1, "role": "r", "state": "idle in transaction", "since": "2026-01-01T00:00:00"}'::jsonb),
    ('{"kind": "replication_slot", "slot_name": "s"}'), ('{"kind": "standby", "pid": 2, "application": "a"}')) v (h);

-- read only; for whom
BEGIN READ ONLY;
SELECT stent.health() ->> 'ok';
COMMIT;
SET SESSION AUTHORIZATION health_admin;
SELECT stent.health() ->> 'ok';
SET SESSION AUTHORIZATION health_worker;
SELECT stent.health() ->> 'ok';
SET SESSION AUTHORIZATION health_app;
SELECT stent.health() ->> 'ok';
RESET SESSION AUTHORIZATION;

SELECT stent.unregister('health_f');
DROP FUNCTION health_f;
DROP OWNED BY health_admin, health_worker, health_app;
DROP ROLE health_admin, health_worker, health_app;
