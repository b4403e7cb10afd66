-- pause and resume: a queue, a function, a function in a queue, everything.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';
CREATE ROLE pause_app LOGIN;
CREATE ROLE pause_admin LOGIN;
SELECT stent.grant_usage('pause_app'), stent.grant_usage('pause_admin', 'admin');
CREATE FUNCTION pause_f(n int) RETURNS int LANGUAGE sql AS 'SELECT n';
GRANT EXECUTE ON FUNCTION pause_f(int) TO PUBLIC;
SELECT stent.register('pause_f', 'pause_f(int)', queue => 'pause_a'), stent.register('pause_g', 'pause_f(int)', queue => 'pause_a'),
       stent.register('pause_external', queue => 'pause_x');
-- one task of each function in each queue
CREATE FUNCTION pause_fill() RETURNS void LANGUAGE sql AS $$
SELECT stent.dispatch(f, '{"n": 1}', queue => q) FROM unnest('{pause_f,pause_g}'::text[]) f, unnest('{pause_a,pause_b}'::text[]) q;
$$;
CREATE PROCEDURE pause_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
CREATE VIEW pause_held AS SELECT function, queue, count(*) FROM stent.tasks WHERE state = 'ready' AND function LIKE 'pause_%' GROUP BY 1, 2 ORDER BY 1, 2;

-- a queue: claimers step over it, dispatch goes on
SELECT stent.pause('pause_a');
SELECT stent.pause('pause_a') AS again;
SELECT pause_fill();
CALL pause_run();
TABLE pause_held;
SELECT name, paused FROM stent.functions WHERE name IN ('pause_f', 'pause_g', 'pause_external') ORDER BY name;
SELECT queue, ready, paused FROM stent.queues WHERE queue LIKE 'pause%' ORDER BY queue;
-- other pauses are other pauses
SELECT stent.resume(), stent.resume(function => 'pause_f'), stent.resume('pause_a', 'pause_f'), stent.resume('pause_b');
CALL pause_run();
SELECT count(*) FROM pause_held;
SELECT stent.resume('pause_a');
SELECT stent.resume('pause_a') AS again;
CALL pause_run();
TABLE pause_held;

-- a function
SELECT stent.pause(function => 'pause_f');
SELECT pause_fill();
CALL pause_run();
TABLE pause_held;
SELECT name, paused FROM stent.functions WHERE name IN ('pause_f', 'pause_g') ORDER BY name;
SELECT bool_or(paused) AS queues FROM stent.queues;
SELECT stent.resume(function => 'pause_f');
CALL pause_run();

-- a function in a queue
SELECT stent.pause('pause_b', 'pause_g');
SELECT pause_fill();
CALL pause_run();
TABLE pause_held;
SELECT name, paused FROM stent.functions WHERE name IN ('pause_f', 'pause_g') ORDER BY name;
SELECT stent.resume('pause_b', 'pause_g');
CALL pause_run();

-- everything; each pause holds by itself, and why() names them
SELECT stent.pause(), stent.pause('pause_b'), stent.pause(function => 'pause_f'), stent.pause('pause_b', 'pause_f');
SELECT pause_fill();
CALL pause_run();
TABLE pause_held;
SELECT replace(stent.why(id), '; ', E'\n') FROM stent.tasks WHERE state = 'ready' AND function LIKE 'pause_%' ORDER BY function, queue;
SELECT replace(stent.why(stent.dispatch('pause_external')), '; ', E'\n');
SELECT jsonb_pretty(stent.health() -> 'paused'), stent.health() ->> 'notes' LIKE '%everything is paused since 2026-01-01 00:00:00 UTC by %' AS told,
       stent.health() ->> 'problems' LIKE '%paused%' AS problem;
SELECT name, paused FROM stent.functions WHERE name = 'pause_external';
SELECT stent.resume();
CALL pause_run();
TABLE pause_held;
SELECT stent.resume('pause_b');
CALL pause_run();
TABLE pause_held;
SELECT stent.resume('pause_b', 'pause_f'), stent.resume(function => 'pause_f');
CALL pause_run();
TABLE pause_held;
SELECT stent.health() -> 'paused';

-- a paused task that waits long is no problem of health
SELECT stent.pause('pause_a');
SELECT pause_fill();
CALL pause_run();
SET stent.clock = '2026-01-01 00:10:00';
SELECT stent.health() -> 'oldest_claimable' ->> 'function' AS oldest;
SELECT stent.resume('pause_a');
SELECT stent.health() -> 'oldest_claimable' ->> 'function' AS oldest;
CALL pause_run();

-- what comes due becomes ready, and waits; a task that stands behind paused ones of higher priority runs
SELECT stent.pause('pause_a');
SELECT stent.dispatch('pause_f', '{"n": 1}', delay => '1h', priority => 100) AS later, stent.dispatch('pause_f', '{"n": 1}', priority => 50) > 0 AS high,
       stent.dispatch('pause_f', '{"n": 1}', queue => 'pause_b', priority => -100) AS low \gset
CALL pause_run();
SELECT state FROM stent.tasks WHERE id IN (:later, :low) ORDER BY id;
SET stent.clock = '2026-01-01 02:00:00';
SELECT stent.why(:later);
CALL pause_run();
SELECT state FROM stent.tasks WHERE id = :later;
-- held tasks can be cancelled, moved away, and meet their deadline
SELECT stent.cancel(:later);
SELECT stent.reschedule(id, queue => 'pause_b') FROM stent.tasks WHERE state = 'ready' AND function = 'pause_f';
CALL pause_run();
SELECT state, count(*) FROM stent.tasks WHERE function = 'pause_f' AND created_at >= '2026-01-01 00:10:00' GROUP BY state ORDER BY state;
SELECT stent.dispatch('pause_f', '{"n": 1}', max_duration => '1m') AS late \gset
SET stent.clock = '2026-01-01 03:00:00';
CALL pause_run();
SELECT state FROM stent.tasks WHERE id = :late;
SELECT stent.resume('pause_a');

-- in a transaction: one's own pause holds at once; what is undone never was
BEGIN;
SELECT stent.dispatch('pause_f', '{"n": 2}') > 0 AS dispatched;
SELECT stent.pause();
SELECT stent.run();
SAVEPOINT s;
SELECT stent.resume();
ROLLBACK TO s;
SELECT stent.run();
SAVEPOINT s;
SELECT stent.resume();
RELEASE s;
SELECT stent.run();
ROLLBACK;
SELECT stent.dispatch('pause_f', '{"n": 2}') > 0 AS dispatched;
BEGIN;
SELECT stent.pause();
SELECT stent.run();
PREPARE TRANSACTION 'pause';
SELECT stent.run();
SELECT stent.dispatch('pause_f', '{"n": 2}') > 0 AS dispatched;
COMMIT PREPARED 'pause';
SELECT stent.run();
SELECT stent.resume();
SELECT stent.run();

-- a handler that pauses its queue lets its batch finish nothing more of it
CREATE FUNCTION pause_self() RETURNS boolean LANGUAGE sql AS $$ SELECT stent.pause('pause_c') $$;
SELECT stent.register('pause_self', 'pause_self()', queue => 'pause_c');
SELECT count(*) FROM stent.dispatch_many('pause_self', ARRAY['{}', '{}', '{}']::jsonb[]);
CALL pause_run();
SELECT state, count(*) FROM stent.tasks WHERE function = 'pause_self' GROUP BY state ORDER BY state;
SELECT stent.resume('pause_c');
SELECT stent.unregister('pause_self');

-- an unregistered function may still have tasks
SELECT stent.pause(function => 'pause_self'), stent.resume(function => 'pause_self');
-- refused
SELECT stent.pause(function => 'pause_unknown');
SELECT stent.resume(function => 'pause_unknown');
SELECT stent.pause('');
SELECT stent.pause(repeat('q', 201));
SET SESSION AUTHORIZATION pause_app;
SELECT stent.pause();
SELECT stent.resume();
SET SESSION AUTHORIZATION pause_admin;
SELECT stent.pause('pause_d', 'pause_f');
BEGIN READ ONLY;
SELECT stent.pause('pause_d');
ROLLBACK;
RESET SESSION AUTHORIZATION;
SELECT p.queue, f.name, paused_at, paused_by FROM stent.pause p LEFT JOIN stent.function f ON f.id = p.function_id;
SELECT stent.resume('pause_d', 'pause_f');
-- for the tests that follow
SELECT count(stent.cancel(id)) FROM stent.tasks WHERE function LIKE 'pause\_%' AND finished_at IS NULL;
