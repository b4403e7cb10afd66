-- What the views show of leased tasks: nothing is written for them, they are running.
\set VERBOSITY terse
SET datestyle = ISO;
SET stent.clock = '2024-02-01 00:00:00';
SELECT stent.register('ls_f', queue => 'ls_q', timeout => '90 seconds', retry => '{"max_attempts": 3, "initial_delay": "1s", "jitter": 0}');
CREATE TABLE ls_task (name text, id bigint);
CREATE FUNCTION ls_id(name text) RETURNS bigint LANGUAGE sql AS $$ SELECT id FROM ls_task t WHERE t.name = $1 $$;
CREATE VIEW ls_states AS
    SELECT n.name, t.state, e.state AS execution, stent.state_of(n.id) ->> 'state' AS state_of, t.attempt
    FROM ls_task n JOIN stent.tasks t ON t.id = n.id JOIN stent.executions e ON e.id = n.id ORDER BY n.id;
CREATE VIEW ls_running AS
    SELECT n.name, r.function, r.queue, r.state, r.pid, r.attempt, r.started_at, r.running_for, r.executor, r.timeout, r.priority, r.worker, r.lease_expires_at
    FROM stent.running r JOIN ls_task n ON n.id = r.id ORDER BY n.id;
CREATE VIEW ls_counts AS
    SELECT q.ready, q.scheduled, q.running, s.ready AS s_ready, s.scheduled AS s_scheduled, s.running AS s_running
    FROM stent.queues q JOIN stent.stats s ON s.queue = q.queue AND s.function = 'ls_f' WHERE q.queue = 'ls_q';

INSERT INTO ls_task SELECT n, stent.dispatch('ls_f', priority => 5) FROM unnest(ARRAY['done', 'failed', 'released', 'kept', 'other', 'waits']) n;
SELECT * FROM ls_states;
SELECT * FROM ls_running;
SELECT * FROM ls_counts;
SELECT token, count(*) FROM stent.claim('ls_w1', 4, '{ls_f}', lease => '1 minute') GROUP BY token \gset
SELECT token AS token2 FROM stent.claim('ls_w2', 1, '{ls_f}', lease => '1 hour') \gset
SET stent.clock = '2024-02-01 00:00:10';
SELECT * FROM ls_states;
SELECT * FROM ls_running;
SELECT * FROM ls_counts;
-- by position too, for many at once
SET enable_indexscan = off;
SET enable_indexonlyscan = off;
SET enable_bitmapscan = off;
SELECT n.name, t.state FROM ls_task n JOIN stent.tasks t ON t.id = n.id ORDER BY n.id;
RESET enable_indexscan;
RESET enable_indexonlyscan;
RESET enable_bitmapscan;
-- in a transaction that is undone
BEGIN;
SELECT count(*) FROM stent.claim('ls_w3', 1, '{ls_f}');
SELECT state FROM stent.tasks WHERE id = ls_id('waits');
ROLLBACK;
SELECT state FROM stent.tasks WHERE id = ls_id('waits');

-- each goes its way, the others stay with the worker
SELECT stent.complete(ls_id('done'), :token), stent.fail(ls_id('failed'), :token, '{"message": "no"}'), stent.release(ls_id('released'), :token);
SELECT * FROM ls_states;
SELECT name, attempt, worker FROM ls_running;
SELECT * FROM ls_counts;
-- the retry is another attempt, which the old lease does not have
SET stent.clock = '2024-02-01 00:00:12';
SELECT count(*) FROM stent.claim('ls_w3', 1, '{ls_none}');
SELECT * FROM ls_states;
SELECT name, attempt, worker FROM ls_running;
SELECT * FROM ls_counts;
SELECT token AS token3 FROM stent.claim('ls_w3', 5, '{ls_f}') LIMIT 1 \gset
SELECT name, attempt, started_at, worker, lease_expires_at FROM ls_running;
-- renewed, expired, taken over
SELECT stent.heartbeat(ls_id('other'), :token2, '2 hours');
SELECT lease_expires_at FROM ls_running WHERE name = 'other';
SET stent.clock = '2024-02-01 00:01:30';
SELECT name, worker, lease_expires_at FROM ls_running WHERE name = 'kept';
SELECT state FROM stent.tasks WHERE id = ls_id('kept');
SELECT count(*) FROM stent.claim('ls_w3', 1, '{ls_none}');
SELECT name, worker FROM ls_running;
SELECT state, attempt FROM stent.tasks WHERE id = ls_id('kept');

-- each role sees its own; the token is shown nowhere
CREATE ROLE ls_app LOGIN;
SELECT stent.grant_usage('ls_app');
GRANT SELECT, INSERT ON ls_task TO ls_app;
SET ROLE ls_app;
SELECT count(*) AS none FROM stent.running;
INSERT INTO ls_task SELECT 'of app', stent.dispatch('ls_f', queue => 'ls_q9');
RESET ROLE;
SELECT count(*) FROM stent.claim('ls_w4', 9, queues => '{ls_q9}');
SET ROLE ls_app;
SELECT n.name, t.state, r.worker FROM stent.tasks t JOIN ls_task n ON n.id = t.id LEFT JOIN stent.running r ON r.id = t.id;
SELECT queue, ready, running FROM stent.queues WHERE queue = 'ls_q9';
SELECT count(*) FROM stent.lease;
RESET ROLE;
SELECT count(*) AS columns FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
WHERE c.relnamespace = 'stent'::regnamespace AND c.relkind = 'v' AND a.attname LIKE '%token%';
-- what workers hold, by worker; told of themselves or not
SELECT worker, leased, expired FROM stent._leases() WHERE worker LIKE 'ls\_%' ORDER BY 1;
SELECT stent.worker_start('ls_w2') IS NOT NULL AS started;
SELECT name, leased FROM stent.workers WHERE name LIKE 'ls\_%';

SELECT count(stent.cancel(t.id)) AS cancelled FROM stent.tasks t WHERE t.function = 'ls_f' AND t.finished_at IS NULL;
SELECT count(*) FROM ls_running;
SELECT * FROM ls_counts;
-- what is left of the leases goes when they expire
SET stent.clock = '2024-02-01 05:00:00';
SELECT count(*) FROM stent.claim('ls_w3', 1, '{ls_none}');
SELECT count(*) FROM stent.lease;
SELECT count(*) FROM stent.due;
SELECT stent.unregister('ls_f');
DELETE FROM stent.worker WHERE name LIKE 'ls\_%';
DROP VIEW ls_states, ls_running, ls_counts;
DROP FUNCTION ls_id;
DROP TABLE ls_task;
DROP OWNED BY ls_app;
DROP ROLE ls_app;
