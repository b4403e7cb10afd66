-- why() and health() of external tasks: which workers serve them, which nearly do, who has leased them.
\set VERBOSITY terse
\pset format unaligned
\pset tuples_only on
SET datestyle = ISO;
SET stent.clock = '2026-01-01 00:00:00';
CREATE FUNCTION ww(id bigint) RETURNS text LANGUAGE sql AS $$ SELECT regexp_replace(stent.why(id), '[Tt]ask \d+', 'task N', 'g') $$;
SELECT stent.register('ww_f', queue => 'ww_q', max_concurrent => 2, retry => '{"max_attempts": 2, "initial_delay": "1m", "jitter": 0}');
SELECT stent.register('ww_key', queue => 'ww_q');
SELECT stent.dispatch('ww_f') AS plain, stent.dispatch('ww_f', tags => '{red,blue}') AS tagged, stent.dispatch('ww_f', queue => 'ww_q2') AS other \gset

-- nobody
SELECT ww(:plain);
-- one of another function; one of the queue, of another function; of the function, not of the queue
SELECT stent.worker_start('ww_w1', functions => '{ww_g}') IS NOT NULL;
SELECT ww(:plain);
SELECT stent.worker_start('ww_w2', functions => '{ww_g}', queues => '{ww_q,ww_q3}') IS NOT NULL;
SELECT ww(:plain);
SELECT ww(:other);
SELECT stent.worker_start('ww_w3', functions => '{ww_f,ww_g}', queues => '{ww_q2}', tags => '{green}', slots => 4) IS NOT NULL;
SELECT ww(:plain);
SELECT ww(:tagged);
-- it is starting, ready, busy, draining
SELECT ww(:other);
SELECT stent.worker_heartbeat('ww_w3', busy => 4);
SELECT ww(:other);
-- two, of which one has room; one that takes everything
SELECT stent.worker_start('ww_w4', slots => 1) IS NOT NULL, stent.worker_heartbeat('ww_w4', busy => 0), stent.worker_heartbeat('ww_w3', 'draining');
SELECT ww(:other);
SELECT ww(:plain);
-- tags: one in common will do, on one side none as well
SELECT stent.worker_stop('ww_w4');
SELECT ww(:tagged);
SELECT stent.worker_start('ww_w5', queues => '{ww_q}', tags => '{blue,yellow}') IS NOT NULL, stent.worker_start('ww_w6', tags => '{green}') IS NOT NULL;
SELECT ww(:tagged);
SELECT ww(:plain);
-- lost
SET stent.clock = '2026-01-01 00:01:01';
SELECT ww(:tagged);
-- nobody for a minute: a problem; not where it is paused
SELECT regexp_replace(p, 'task \d+', 'task N') FROM jsonb_array_elements_text(stent.health() -> 'problems') p WHERE p LIKE '%ww\_%';
SELECT stent.pause(function => 'ww_f');
SELECT ww(:tagged);
SELECT p FROM jsonb_array_elements_text(stent.health() -> 'problems') p WHERE p LIKE '%ww\_%';
SELECT stent.resume(function => 'ww_f');
SELECT stent.worker_heartbeat('ww_w5');
SELECT regexp_replace(p, 'task \d+', 'task N') FROM jsonb_array_elements_text(stent.health() -> 'problems') p WHERE p LIKE '%ww\_%';
-- more than are listed
SELECT count(stent.worker_start('ww_x' || n)) FROM generate_series(1, 7) n;
SELECT ww(:plain);
DELETE FROM stent.worker WHERE name LIKE 'ww\_x%';

-- a claim that has not committed
SET stent.clock = '2026-01-01 00:02:00';
BEGIN;
SELECT count(*) FROM stent.claim('ww_w1', 1, queues => '{ww_q2}');
PREPARE TRANSACTION 'ww';
SELECT ww(:other);
ROLLBACK PREPARED 'ww';

-- leased: by whom, since when, until when
SELECT stent.worker_start('ww_w1', slots => 4, alive_for => '1 hour') IS NOT NULL, stent.worker_heartbeat('ww_w1');
SELECT token AS token1 FROM stent.claim('ww_w1', 1, queues => '{ww_q2}', lease => '1 minute') \gset
SELECT ww(:other);
SELECT count(*) AS claimed FROM stent.claim('ww_w1', 5, '{ww_f}', '{ww_q}', lease => '1 hour');
-- the limit is reached by leases
SELECT ww(:plain);
SELECT ww(:tagged);
SELECT leased FROM stent.workers WHERE name = 'ww_w1';
SELECT stent.health() -> 'workers';
SET stent.clock = '2026-01-01 00:03:00';
SELECT ww(:other);
SELECT p FROM jsonb_array_elements_text(stent.health() -> 'problems') p WHERE p LIKE '%the lease%';
SET stent.clock = '2026-01-01 00:04:00.5';
SELECT p FROM jsonb_array_elements_text(stent.health() -> 'problems') p WHERE p LIKE '%the lease%';
SELECT stent.health() -> 'workers';
-- renewed
SELECT stent.heartbeat(:other, :token1, '10 minutes');
SELECT ww(:other);
-- lost, and taken over by a claim of another, which does not say what it serves
SET stent.clock = '2026-01-01 00:14:00.5';
SELECT stent.worker_stop('ww_w1');
SELECT count(*) AS claimed FROM stent.claim('ww_sh', 1, queues => '{ww_none}');
SELECT ww(:other);
SELECT token AS token2 FROM stent.claim('ww_sh', 1, queues => '{ww_q2}') \gset
SELECT ww(:other);
SELECT ww(stent.dispatch('ww_f', queue => 'ww_q2'));
SELECT stent.fail(:other, :token2, '{"message": "told so"}');
SELECT ww(:other);

-- behind a leased task of the same concurrency key
SELECT stent.dispatch('ww_key', concurrency_key => 'k') AS first, stent.dispatch('ww_key', concurrency_key => 'k') AS second \gset
SELECT ww(:second);
SELECT count(*) AS claimed FROM stent.claim('ww_sh', 5, '{ww_key}');
SELECT ww(:second);

SELECT count(stent.cancel(t.id)) FROM stent.tasks t WHERE t.function LIKE 'ww\_%' AND t.finished_at IS NULL;
SET stent.clock = '2026-01-01 05:00:00';
SELECT count(*) FROM stent.claim('ww_sh', 1, '{ww_none}');
SELECT count(*) FROM stent.lease;
SELECT stent.unregister('ww_f'), stent.unregister('ww_key');
DELETE FROM stent.worker WHERE name LIKE 'ww\_%';
DROP FUNCTION ww;
