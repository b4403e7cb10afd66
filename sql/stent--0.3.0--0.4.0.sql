\echo Use "ALTER EXTENSION stent UPDATE TO '0.4.0'" to load this file. \quit



-- Tasks that workers have claimed: a row a claim (extension/lease.c). The ready entries
-- are gone, the rows of the tasks were not touched; who ends the lease of one writes
-- its row first. A member is one attempt: marks has replays * 65536 + attempt as they were
-- in the task's row. token is the fence; heartbeats of some members only split a row
-- into parts. The due entry of a token stands at due_at with the bucket's role; it is there
-- no later than any part expires. places: some member holds rows of stent.place.
CREATE TABLE stent.lease (
    token bigint NOT NULL,
    part bigint NOT NULL,
    worker text NOT NULL,
    claimed_at timestamp NOT NULL,
    expires_at timestamp NOT NULL,
    due_at timestamp NOT NULL,
    bucket bigint NOT NULL,
    places boolean NOT NULL,
    task_ids bigint[] NOT NULL,
    marks integer[] NOT NULL,
    CONSTRAINT lease_pkey PRIMARY KEY (token, part)
);

COMMENT ON TABLE stent.lease IS 'private: tasks that workers have claimed';

-- What leased tasks hold of limits: place number of a function (kind f, what: its id) or
-- of a line (kind k). Others hold places as locks, see extension/place.c.
CREATE TABLE stent.place (
    kind "char" NOT NULL,
    what bigint NOT NULL,
    number integer NOT NULL,
    task_id bigint NOT NULL,
    CONSTRAINT place_pkey PRIMARY KEY (kind, what, number)
);

CREATE INDEX place_task_id_idx ON stent.place (task_id);

COMMENT ON TABLE stent.place IS 'private: places that leased tasks hold under limits';

-- Workers that have told of themselves. alive_until: when they are taken for dead unless
-- they tell again. stopped_at: they said goodbye.
CREATE TABLE stent.worker (
    name text NOT NULL,
    state text NOT NULL,
    protocol integer NOT NULL,
    functions text[],
    queues text[],
    tags text[],
    slots integer,
    busy integer,
    info jsonb NOT NULL,
    role text NOT NULL,
    started_at timestamp NOT NULL,
    seen_at timestamp NOT NULL,
    alive_for interval NOT NULL,
    alive_until timestamp NOT NULL,
    stopped_at timestamp,
    CONSTRAINT worker_pkey PRIMARY KEY (name)
);

COMMENT ON TABLE stent.worker IS 'private: workers that have told of themselves';

-- What the programs that run external tasks have written, in order. claimed_at is the
-- lease's: who takes an attempt over, or claims it after a release, numbers from 1 again.
CREATE TABLE stent.output (
    task_id bigint NOT NULL,
    replay smallint NOT NULL,
    attempt smallint NOT NULL,
    claimed_at timestamp NOT NULL,
    number bigint NOT NULL,
    stream text NOT NULL,
    written_at timestamp NOT NULL,
    data bytea NOT NULL,
    CONSTRAINT output_pkey PRIMARY KEY (task_id, replay, attempt, claimed_at, number)
);

COMMENT ON TABLE stent.output IS 'private: output of external tasks';

SELECT pg_catalog.pg_extension_config_dump('stent.lease', '');

SELECT pg_catalog.pg_extension_config_dump('stent.place', '');

SELECT pg_catalog.pg_extension_config_dump('stent.worker', '');

SELECT pg_catalog.pg_extension_config_dump('stent.output', '');

ALTER TABLE stent.lease SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0);

ALTER TABLE stent.place SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0);

-- Leases: how programs outside the server run external tasks, those of functions without
-- a handler. docs/protocol.md tells how to write one. The batch forms answer with one word
-- for each task: what became of it, or
--   lost   the token does not hold it (any more), somebody else may run it: nothing was changed
--   ended  nobody does, it is over: cancelled, timed out, or finished. Nothing was changed
--   busy   another transaction is at it: try again

CREATE FUNCTION stent.claim(
    worker text,
    max integer DEFAULT 1,
    functions text[] DEFAULT NULL,
    queues text[] DEFAULT NULL,
    tags text[] DEFAULT NULL,
    lease interval DEFAULT NULL,
    OUT task_id bigint,
    OUT token bigint,
    OUT execution_id bigint,
    OUT function text,
    OUT queue text,
    OUT priority integer,
    OUT attempt integer,
    OUT args jsonb,
    OUT headers jsonb,
    OUT version text,
    OUT role text,
    OUT timeout interval,
    OUT time_left interval,
    OUT lease_for interval)
RETURNS SETOF record
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_claim';

COMMENT ON FUNCTION stent.claim(text, integer, text[], text[], text[], interval) IS
  'takes up to max (1 to 1000) ready external tasks, whoever dispatched them, highest priority first, for a lease (100 ms to 7 days; NULL: stent.lease_duration): until it is over, and renewed by heartbeat, they are the worker''s, who ends each by complete, fail or release. NULL for functions, queues: all; they need not exist. A worker with tags is not given tasks that have tags, but none of these. token proves the claim; attempt counts from 1; timeout bounds the attempt and time_left the execution, NULL: nothing does; both are the worker''s to keep. Limits, pauses and keys hold. 22004, 22023 for arguments; 55000 in a handler';

CREATE FUNCTION stent.complete(
    task_id bigint,
    token bigint,
    result jsonb DEFAULT NULL,
    counters jsonb DEFAULT NULL,
    context jsonb DEFAULT NULL,
    shared jsonb DEFAULT NULL,
    progress jsonb DEFAULT NULL)
RETURNS text
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_complete';

COMMENT ON FUNCTION stent.complete(bigint, bigint, jsonb, jsonb, jsonb, jsonb, jsonb) IS
  'the task is done: ''completed'', or ''timed_out'' (of a child ''cancelled'') if its execution''s max_duration was over. With it, and only if the token holds the task, counters {"name": number} are added and context {"key": value} is set, of its execution; shared {"key": whole number} is added to shared values, as shared_add_int does; and progress [{"step": text, "detail": any}] is told. ST012 if the token does not hold the task; then, and after any error, nothing was changed. 22023 for effects of the wrong shape, 54000 for a result over stent.max_payload_size, P0002, 42804, 22003 as shared_add_int';

CREATE FUNCTION stent.complete_many(
    task_ids bigint[],
    tokens bigint[],
    results jsonb[] DEFAULT NULL,
    effects jsonb[] DEFAULT NULL)
RETURNS text[]
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_complete_many';

COMMENT ON FUNCTION stent.complete_many(bigint[], bigint[], jsonb[], jsonb[]) IS
  'complete for 1 to 1000 tasks in one transaction; effects are objects with the keys counters, context, shared and progress. Returns for each completed, timed_out, cancelled, lost, ended or busy. An error, which effects may cause, is one of the whole call: then nothing was changed, and complete them one by one';

CREATE FUNCTION stent.fail(task_id bigint, token bigint, error jsonb) RETURNS text
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_fail';

COMMENT ON FUNCTION stent.fail(bigint, bigint, jsonb) IS
  'the attempt failed: ''retry'' if the policy stored with the task retries it, ''failed'' if it is a dead letter now, ''timed_out'' (of a child ''cancelled'') if its execution''s max_duration was over. error is an object: message, a text; code, a SQLSTATE or the name of an error (default ST014), with which retry_for and no_retry_for compare; detail and hint; retryable, false: whatever the policy says; other keys are kept. ST012 if the token does not hold the task; 22004, 22023 for the error, 54000 for one over stent.max_payload_size';

CREATE FUNCTION stent.fail_many(task_ids bigint[], tokens bigint[], errors jsonb[]) RETURNS text[]
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_fail_many';

COMMENT ON FUNCTION stent.fail_many(bigint[], bigint[], jsonb[]) IS
  'fail for 1 to 1000 tasks in one transaction. Returns for each retry, failed, timed_out, cancelled, lost, ended or busy';

CREATE FUNCTION stent.release(task_id bigint, token bigint) RETURNS text
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_release';

COMMENT ON FUNCTION stent.release(bigint, bigint) IS
  'gives the task back to its old place, for another worker; no attempt is spent. Returns ''released''; ST012 if the token does not hold the task';

CREATE FUNCTION stent.release_many(task_ids bigint[], tokens bigint[]) RETURNS text[]
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_release_many';

COMMENT ON FUNCTION stent.release_many(bigint[], bigint[]) IS
  'release for 1 to 1000 tasks in one transaction. Returns for each released, lost, ended or busy';

CREATE FUNCTION stent.heartbeat(task_id bigint, token bigint, lease interval DEFAULT NULL) RETURNS interval
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_heartbeat';

COMMENT ON FUNCTION stent.heartbeat(bigint, bigint, interval) IS
  'the worker is at the task and keeps it for a lease from now (100 ms to 7 days; NULL: stent.lease_duration); a longer one it has is not shortened. Returns how long it has the task from now. Tasks of the same claim that are not named expire at their old time. ST012 if the token does not hold the task any more: stop';

CREATE FUNCTION stent.heartbeat_many(task_ids bigint[], tokens bigint[], lease interval DEFAULT NULL) RETURNS text[]
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_heartbeat_many';

COMMENT ON FUNCTION stent.heartbeat_many(bigint[], bigint[], interval) IS
  'heartbeat for 1 to 1000 tasks. Returns for each held, lost, ended or busy';

-- What workers tell of themselves, and what their programs write. They are of the grant
-- 'worker'; output_of() is of 'app'.

CREATE FUNCTION stent.worker_start(
    worker text,
    protocol integer DEFAULT 1,
    functions text[] DEFAULT NULL,
    queues text[] DEFAULT NULL,
    tags text[] DEFAULT NULL,
    slots integer DEFAULT NULL,
    info jsonb DEFAULT '{}',
    alive_for interval DEFAULT '1 minute')
RETURNS jsonb
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_worker_start';

COMMENT ON FUNCTION stent.worker_start(text, integer, text[], text[], text[], integer, jsonb, interval) IS
  'tells that a worker has started, what it serves (NULL: all) and how many tasks at a time; shown by the view workers and used by why(), claims do not need it. The worker is starting until its first worker_heartbeat, and taken for lost once it was silent for alive_for (1 second to 1 day). A name that is there already is that of a worker which was restarted. Returns {"protocol", "version", "lease_seconds"}. ST013 for a protocol that this version does not speak (the hint names those it does), 55000 in a copy of a database, until stent.adopt(), 22004 for NULL, 22023 for a value out of range, 54000 for more than 1000 names or an info over 8000 bytes';

CREATE FUNCTION stent.worker_heartbeat(
    worker text,
    state text DEFAULT 'ready',
    busy integer DEFAULT NULL,
    alive_for interval DEFAULT NULL)
RETURNS boolean
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_worker_heartbeat';

COMMENT ON FUNCTION stent.worker_heartbeat(text, text, integer, interval) IS
  'tells that a worker is alive, its state (starting, ready, draining), and how many of its slots are busy; NULL leaves busy and alive_for as they were. False for a worker that is not known or has stopped: start it again. Leases are renewed by heartbeat(), not by this. 22004 for NULL, 22023 for another state or a value out of range';

CREATE FUNCTION stent.worker_stop(worker text) RETURNS boolean
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_worker_stop';

COMMENT ON FUNCTION stent.worker_stop(text) IS
  'tells that a worker has ended; false if it is not known or has stopped already. What it has leased stays leased: it releases that before';

CREATE FUNCTION stent._forget_workers() RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DELETE FROM stent.worker
WHERE name IN (SELECT w.name FROM stent.worker w
               WHERE COALESCE(w.stopped_at, w.alive_until)
                     < stent.now() - greatest(stent._retention(), interval '1 day')
               FOR UPDATE SKIP LOCKED)
$$;

COMMENT ON FUNCTION stent._forget_workers() IS
  'private: removes workers that stopped or fell silent before retention, and at least a day ago; where retention is off, a day';

CREATE FUNCTION stent.append_output(task_id bigint, token bigint, stream text, data bytea, number bigint DEFAULT NULL) RETURNS void
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_append_output';

COMMENT ON FUNCTION stent.append_output(bigint, bigint, text, bytea, bigint) IS
  'stores what the program of a leased task wrote to stdout, stderr or any stream of a name of 1 to 63 bytes. Rows are numbered from 1 after each claim: number NULL takes the next; a number that is there already is left as it is, so that a call may be repeated. ST012 if the token does not hold the task any more, 22004 for NULL, 22023 for a bad stream or number, 54000 for more than 1 MB of data';

CREATE FUNCTION stent.append_output_many(task_id bigint, token bigint, streams text[], data bytea[], first_number bigint DEFAULT NULL) RETURNS void
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_append_output_many';

COMMENT ON FUNCTION stent.append_output_many(bigint, bigint, text[], bytea[], bigint) IS
  'the same for 1 to 1000 rows, numbered from first_number on; all or nothing';

CREATE FUNCTION stent.output_of(id bigint, attempt integer DEFAULT NULL)
RETURNS TABLE (attempt integer, number bigint, stream text, written_at timestamp, data bytea, text text)
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'stent_output_of';

COMMENT ON FUNCTION stent.output_of(bigint, integer) IS
  'what the program of an external task wrote, in order: of all attempts, those before a replay first, or of one attempt since the latest replay. text is data as UTF-8, NULL where it is not. P0002 for an unknown id, 22004 for NULL';

-- Waking workers that wait for work (extension/wake.c).

CREATE FUNCTION stent.worker_wait(queues text[] DEFAULT NULL) RETURNS interval
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_worker_wait';

COMMENT ON FUNCTION stent.worker_wait(text[]) IS
  'asks to be woken, at once and whatever becomes of the transaction: when something becomes claimable in one of these queues (NULL: in any), NOTIFY stent_work follows, with the queue''s name, or empty: everybody looks. Given once; ask again. The result is how long to sleep at most: 1 s where nobody can notify, else 5 minutes. LISTEN stent_work first and commit that; when idle: worker_wait, then claim, each in a statement of its own; if that is empty, sleep. Payload ''!'': a leased task was cancelled, heartbeat what you hold. 22004 for a NULL in the array, 22023 for an empty array, or a name that is too long or empty';

CREATE FUNCTION stent._bucket(role text, priority integer, lane_id integer) RETURNS bigint
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'stent_bucket';

COMMENT ON FUNCTION stent._bucket(text, integer, integer) IS 'private: the bucket of a task in the ready table';

CREATE OR REPLACE VIEW stent.tasks WITH (security_barrier) AS
SELECT t.id,
       t.execution_id,
       f.name AS function,
       l.queue,
       -- a worker that claims a task takes its entry and leaves its row alone
       CASE WHEN t.state = 'r'
                 AND (stent._is_running(t.id)
                      OR NOT EXISTS (SELECT FROM stent.ready e
                                     WHERE e.bucket = stent._bucket(l.role, t.priority, t.lane_id) AND e.position = t.position))
            THEN 'running'
            ELSE stent._state_name(t.state) END AS state,
       t.priority::integer AS priority,
       l.tags,
       l.role,
       t.attempt::integer AS attempt,
       (p.policy ->> 'max_attempts')::integer AS max_attempts,
       t.replays::integer AS replays,
       t.parent_id,
       t.created_at,
       t.due_at,
       t.started_at,
       t.finished_at,
       t.deadline,
       t.timeout,
       COALESCE(t.args, (SELECT v.value FROM stent.payload v WHERE v.id = t.args_ref)) AS args,
       COALESCE(t.result, (SELECT v.value FROM stent.payload v WHERE v.id = t.result_ref)) AS result,
       CASE WHEN t.finished_at IS NULL AND t.attempt > 0
            THEN (SELECT a.error FROM stent.attempt a WHERE a.task_id = t.id
                  ORDER BY a.replay DESC, a.attempt DESC LIMIT 1)
            ELSE t.error END AS error,
       t.headers,
       t.dedup_key,
       p.policy AS retry,
       f.handler IS NULL AS external,
       t.concurrency_key
FROM (SELECT id, execution_id, function_id, lane_id, policy_id, state, priority, attempt, replays,
             parent_id, created_at, due_at, NULL::timestamp AS started_at,
             NULL::timestamp AS finished_at, deadline, timeout, args, args_ref,
             NULL::jsonb AS result, NULL::bigint AS result_ref, NULL::jsonb AS error,
             headers, dedup_key, concurrency_key, COALESCE(position, id) AS position
      FROM stent.task
      UNION ALL
      SELECT id, execution_id, function_id, lane_id, policy_id, state, priority, attempt, replays,
             parent_id, created_at, due_at, started_at, finished_at, deadline, timeout, args, args_ref,
             result, result_ref, error, headers, dedup_key, concurrency_key, NULL::bigint
      FROM stent.archive
      UNION ALL
      SELECT id, execution_id, function_id, lane_id, policy_id, state, priority, attempt, replays,
             parent_id, created_at, due_at, started_at, finished_at, deadline, timeout, args, args_ref,
             result, result_ref, error, headers, dedup_key, concurrency_key, NULL::bigint
      FROM stent.dead_letter
      UNION ALL
      SELECT id, execution_id, function_id, lane_id, policy_id, state, priority, attempt, replays,
             parent_id, created_at, due_at, started_at, finished_at, deadline, timeout, args, args_ref,
             result, result_ref, error, headers, dedup_key, concurrency_key, NULL::bigint
      FROM stent.archive_kept) t
JOIN stent.function f ON f.id = t.function_id
JOIN stent.lane l ON l.id = t.lane_id
JOIN stent.retry_policy p ON p.id = t.policy_id
WHERE l.role = current_user OR (SELECT stent._is_admin());

CREATE FUNCTION stent._leased_now(
    OUT task_id bigint, OUT execution_id bigint, OUT worker text, OUT claimed_at timestamp, OUT expires_at timestamp,
    OUT attempt integer, OUT lane_id integer, OUT function_id integer)
RETURNS SETOF record
LANGUAGE c STABLE PARALLEL SAFE ROWS 100 AS 'MODULE_PATHNAME', 'stent_leased';

COMMENT ON FUNCTION stent._leased_now() IS 'private: tasks that workers have leased';

CREATE FUNCTION stent._leases(OUT worker text, OUT leased bigint, OUT expired bigint, OUT expires_at timestamp)
RETURNS SETOF record
LANGUAGE c STABLE PARALLEL SAFE ROWS 10 AS 'MODULE_PATHNAME', 'stent_leases';

COMMENT ON FUNCTION stent._leases() IS 'private: how many tasks each worker has leased, and how many of those leases have expired; the first expiry';

CREATE OR REPLACE VIEW stent.running WITH (security_barrier) AS
SELECT r.task_id AS id,
       r.execution_id,
       f.name AS function,
       l.queue,
       'running'::text AS state,
       l.role,
       r.pid,
       r.attempt,
       r.started_at,
       stent.now() - r.started_at AS running_for,
       r.executor,
       t.timeout,
       t.deadline,
       r.step,
       t.priority::integer AS priority,
       l.tags,
       r.worker,
       r.lease_expires_at
FROM (SELECT n.task_id, n.execution_id, n.pid, n.started_at, n.attempt, n.executor, n.lane_id, n.function_id, n.step,
             NULL::text AS worker, NULL::timestamp AS lease_expires_at
      FROM stent._running_now() n
      UNION ALL
      SELECT w.task_id, w.execution_id, NULL, w.claimed_at, w.attempt, false, w.lane_id, w.function_id, NULL,
             w.worker, w.expires_at
      FROM stent._leased_now() w) r
JOIN stent.lane l ON l.id = r.lane_id
JOIN stent.function f ON f.id = r.function_id
LEFT JOIN stent.task t ON t.id = r.task_id
WHERE l.role = current_user OR (SELECT stent._is_admin());

COMMENT ON VIEW stent.running IS
  'tasks whose handlers run at this moment, if the library is preloaded, and those that workers have leased; pid is that of pg_stat_activity';

COMMENT ON COLUMN stent.running.worker IS 'who has leased it; NULL for a task of a SQL function';

COMMENT ON COLUMN stent.running.lease_expires_at IS 'when others may take it over, unless its worker renews the lease; may have passed';

COMMENT ON COLUMN stent.running.started_at IS 'of a leased task: when it was claimed';

COMMENT ON COLUMN stent.running.executor IS 'in an executor, not in a session that called stent.run(), nor leased';

CREATE OR REPLACE VIEW stent._lanes WITH (security_barrier) AS
WITH board AS MATERIALIZED (SELECT b.lane_id, b.ready, b.scheduled, b.blocked, b.exact FROM stent._board_now() b)
SELECT l.id,
       f.name AS function,
       l.role,
       l.queue,
       f.registered,
       greatest(COALESCE(b.ready, 0) - COALESCE(r.running, 0), 0) AS ready,
       COALESCE(b.scheduled, 0) AS scheduled,
       COALESCE(r.running, 0) + COALESCE(w.leased, 0) AS running,
       COALESCE(t.completed, 0) AS completed,
       COALESCE(t.failed, 0) AS failed,
       COALESCE(t.timed_out, 0) AS timed_out,
       COALESCE(t.cancelled, 0) AS cancelled,
       COALESCE(t.retried, 0) AS retried,
       COALESCE(t.dead, 0) AS dead,
       COALESCE(t.run_us, 0) AS run_us,
       t.last_at,
       COALESCE(b.exact, true) AND NOT EXISTS (SELECT FROM board c WHERE c.lane_id IS NULL) AS exact,
       COALESCE(b.blocked, 0) AS blocked
FROM stent.lane l
JOIN stent.function f ON f.id = l.function_id
LEFT JOIN (SELECT b.lane_id, sum(b.ready) AS ready, sum(b.scheduled) AS scheduled, sum(b.blocked) AS blocked, bool_and(b.exact) AS exact
           FROM board b GROUP BY b.lane_id) b ON b.lane_id = l.id
LEFT JOIN (SELECT r.lane_id, count(*) AS running FROM stent._running_now() r GROUP BY r.lane_id) r ON r.lane_id = l.id
LEFT JOIN (SELECT w.lane_id, count(*) AS leased FROM stent._leased_now() w GROUP BY w.lane_id) w ON w.lane_id = l.id
LEFT JOIN (SELECT t.lane_id, sum(t.completed) AS completed, sum(t.failed) AS failed, sum(t.timed_out) AS timed_out,
                  sum(t.cancelled) AS cancelled, sum(t.retried) AS retried, sum(t.dead) AS dead,
                  sum(t.run_us) AS run_us, max(t.last_at) AS last_at
           FROM stent.tally t GROUP BY t.lane_id) t ON t.lane_id = l.id
WHERE l.role = current_user OR (SELECT stent._is_admin());

CREATE VIEW stent.workers WITH (security_barrier) AS
SELECT w.name,
       CASE WHEN w.stopped_at IS NOT NULL THEN 'stopped' WHEN w.alive_until < stent.now() THEN 'lost' ELSE w.state END AS state,
       w.stopped_at IS NULL AND w.alive_until >= stent.now() AS live,
       w.functions,
       w.queues,
       w.tags,
       w.slots,
       w.busy,
       COALESCE(n.leased, 0) AS leased,
       w.protocol,
       w.info ->> 'version' AS version,
       w.role,
       w.started_at,
       w.seen_at,
       w.alive_until,
       CASE WHEN w.role = current_user OR (SELECT stent._is_admin()) THEN w.info END AS info
FROM stent.worker w
LEFT JOIN stent._leases() n ON n.worker = w.name;

COMMENT ON VIEW stent.workers IS
  'workers that have told of themselves with stent.worker_start(), until a day or retention after they were seen last';

COMMENT ON COLUMN stent.workers.state IS
  'starting, ready or draining as it told; stopped: it said so; lost: it was silent for longer than it said it would be';

COMMENT ON COLUMN stent.workers.live IS 'neither stopped nor lost';

COMMENT ON COLUMN stent.workers.functions IS 'what it claims tasks of; NULL: all external functions';

COMMENT ON COLUMN stent.workers.queues IS 'NULL: all';

COMMENT ON COLUMN stent.workers.tags IS 'a task with tags needs one of these; NULL: it takes all';

COMMENT ON COLUMN stent.workers.slots IS 'how many tasks it runs at a time';

COMMENT ON COLUMN stent.workers.busy IS 'of them, as it told last';

COMMENT ON COLUMN stent.workers.leased IS 'tasks it has claimed and not given up yet, also where the lease has expired';

COMMENT ON COLUMN stent.workers.info IS 'what it told of itself; for its own role and admins';

CREATE OR REPLACE FUNCTION stent.health() RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET datestyle = 'ISO, YMD' AS $$
DECLARE
    server record;
    installed text;
    identity jsonb;
    processes constant jsonb := stent._processes();
    horizon constant jsonb := stent._horizon();
    not_served constant text := stent._not_served();
    paused jsonb;
    workers record;
    leases record;
    oldest record;
    problems text[] := '{}';
    notes text[] := '{}';
    item record;
BEGIN
    SELECT * INTO server FROM stent._server();
    SELECT e.extversion INTO installed FROM pg_extension e WHERE e.extname = 'stent';
    IF to_regprocedure('stent._identity_report()') IS NOT NULL THEN
        EXECUTE 'SELECT stent._identity_report()' INTO identity;
    END IF;
    SELECT o.task_id, f.name AS function, l.queue, l.role, extract(epoch FROM stent.now() - o.ready_at)::bigint AS age,
           o.external,
           EXISTS (SELECT FROM stent._running_now() r JOIN stent.lane rl ON rl.id = r.lane_id WHERE rl.role = l.role) AS attended
    INTO oldest
    FROM stent._oldest_ready() o
    JOIN stent.lane l ON l.id = o.lane_id
    JOIN stent.function f ON f.id = o.function_id
    WHERE NOT EXISTS (SELECT FROM stent._pauses(l.queue, l.function_id))
    ORDER BY o.external, o.ready_at, o.task_id LIMIT 1;

    SELECT count(*) FILTER (WHERE w.live) AS live, count(*) FILTER (WHERE w.state = 'lost') AS lost INTO workers
    FROM stent.workers w;
    SELECT COALESCE(sum(n.leased), 0) AS leased, COALESCE(sum(n.expired), 0) AS expired,
           min(n.expires_at) FILTER (WHERE n.expired > 0) AS expires_at INTO leases
    FROM stent._leases() n;

    IF installed <> server.library_version THEN
        problems := problems || format('the library is of version %s, the extension of version %s: run ALTER EXTENSION stent UPDATE%s',
            server.library_version, installed,
            CASE WHEN server.preloaded THEN ', or restart the server if the library is the older one' END);
    END IF;
    IF server.in_recovery THEN
        notes := notes || not_served;
    ELSIF not_served IS NOT NULL AND (server.state IS DISTINCT FROM 'other version' OR installed = server.library_version) THEN
        problems := problems || not_served;
    END IF;
    IF NOT server.in_recovery THEN
        IF server.preloaded AND server.max_executors = 0 THEN
            problems := problems || text 'stent.max_executors is 0, so no executor runs: raise it and reload';
        END IF;
        IF server.exhausted_since IS NOT NULL THEN
            problems := problems || format('no background worker slot is free since %s UTC: raise max_worker_processes (restart), or lower stent.max_executors',
                                           date_trunc('second', server.exhausted_since));
        END IF;
        -- roles whose tasks nobody can run
        FOR item IN
            SELECT l.role, bool_or(r.oid IS NULL) AS missing
            FROM stent._oldest_ready() o
            JOIN stent.lane l ON l.id = o.lane_id
            LEFT JOIN pg_roles r ON r.rolname = l.role
            WHERE NOT o.external AND (r.oid IS NULL OR (server.role_must_log_in AND NOT r.rolcanlogin))
            GROUP BY l.role ORDER BY l.role
        LOOP
            problems := problems || CASE WHEN item.missing
                THEN format('tasks wait of role %I, which does not exist any more: create it again, or rename it back', item.role)
                ELSE format('tasks wait of role %I, which cannot log in: ALTER ROLE %1$I LOGIN', item.role) END;
        END LOOP;
        FOR item IN
            SELECT r.rolname AS role, w.since, w.problem
            FROM stent._waiting_roles() w JOIN pg_roles r ON r.oid = w.role
            WHERE server.state = 'served' AND w.problem IS NOT NULL AND (r.rolcanlogin OR NOT server.role_must_log_in)
            ORDER BY w.since
        LOOP
            problems := problems || format('role %I waits for an executor since %s UTC: %s', item.role,
                                           date_trunc('second', item.since), item.problem);
        END LOOP;
        IF oldest.age > 60 AND NOT oldest.external AND NOT oldest.attended THEN
            problems := problems || format('task %s (%s, queue %s, role %I) is ready for %s seconds and nobody runs tasks of its role: see stent.why(%1$s)',
                                           oldest.task_id, oldest.function, oldest.queue, oldest.role, oldest.age);
        END IF;
        -- tasks that nobody claims
        FOR item IN
            SELECT o.task_id, f.name AS function, l.queue, extract(epoch FROM stent.now() - o.ready_at)::bigint AS age,
                   stent._no_worker(f.name, l.queue, l.tags) AS reason
            FROM stent._oldest_ready() o
            JOIN stent.lane l ON l.id = o.lane_id
            JOIN stent.function f ON f.id = o.function_id
            WHERE o.external AND o.ready_at < stent.now() - interval '1 minute'
              AND NOT EXISTS (SELECT FROM stent._pauses(l.queue, l.function_id))
              AND stent._no_worker(f.name, l.queue, l.tags) IS NOT NULL
            ORDER BY o.ready_at, o.task_id LIMIT 5
        LOOP
            problems := problems || format('task %s (%s, queue %s) is ready for %s seconds and %s', item.task_id, item.function,
                                           item.queue, item.age, item.reason);
        END LOOP;
        IF leases.expired > 0 AND leases.expires_at < stent.now() - interval '1 minute' THEN
            problems := problems || format('%s expired, the first at %s UTC, and nobody takes the tasks over: the next claim does, or the scheduler of a database that is served',
                                           CASE leases.expired WHEN 1 THEN 'the lease of 1 task has' ELSE 'the leases of ' || leases.expired || ' tasks have' END,
                                           date_trunc('second', leases.expires_at));
        END IF;
        problems := problems || stent._horizon_problem(horizon, server.dead_entries);
    END IF;
    problems := array_remove(problems, NULL);
    -- somebody wanted that: it is told, and no problem
    SELECT notes || COALESCE(array_agg(stent._pause_text(p) ORDER BY p.queue, f.name), '{}'),
           COALESCE(jsonb_agg(jsonb_build_object('queue', nullif(p.queue, ''), 'function', f.name,
               'since', p.paused_at, 'by', p.paused_by) ORDER BY p.queue, f.name), '[]')
    INTO notes, paused
    FROM stent.pause p LEFT JOIN stent.function f ON f.id = p.function_id;
    -- restarted under another name, or broken: who looks at the worker knows
    SELECT notes || COALESCE(array_agg(format('worker "%s" is lost: it was seen last at %s UTC and did not say that it stops',
                                              w.name, date_trunc('second', w.seen_at)) ORDER BY w.seen_at DESC), '{}')
    INTO notes
    FROM (SELECT v.name, v.seen_at FROM stent.workers v WHERE v.state = 'lost' ORDER BY v.seen_at DESC, v.name LIMIT 10) w;

    RETURN jsonb_build_object(
        'ok', cardinality(problems) = 0,
        'problems', to_jsonb(problems),
        'notes', to_jsonb(notes),
        'library_version', server.library_version,
        'extension_version', installed,
        'preloaded', server.preloaded,
        'in_recovery', server.in_recovery,
        'database', jsonb_build_object(
            'name', current_database(),
            'served', COALESCE(server.state = 'served', false),
            'state', COALESCE(server.state, 'not preloaded'),
            'problem', server.problem,
            'stopped', COALESCE(server.state = 'stopped', false),
            'adopted', COALESCE(identity -> 'adopted', to_jsonb(server.state <> 'not adopted')),
            'adopted_why', identity -> 'why',
            'counted', COALESCE(server.counted, false),
            'dead_entries', server.dead_entries),
        'processes', processes,
        'paused', paused,
        'workers', jsonb_build_object('live', workers.live, 'lost', workers.lost, 'leased', leases.leased,
                                      'expired', leases.expired, 'expired_since', leases.expires_at),
        'oldest_claimable', CASE WHEN oldest.task_id IS NOT NULL THEN jsonb_build_object(
            'id', oldest.task_id, 'function', oldest.function, 'queue', oldest.queue, 'role', oldest.role,
            'external', oldest.external, 'age_seconds', greatest(oldest.age, 0)) END,
        'horizon', horizon);
END
$$;

COMMENT ON FUNCTION stent.health() IS
  'whether tasks run here by themselves: ok, problems (sentences, most severe first), notes (what is paused), versions, database, processes, workers and leases, the oldest claimable task, and who holds the vacuum horizon back';

-- The places of a function are locks that extension/place.c takes: the function's id,
-- the number of the place, and the class 0x5700; those of leased tasks are rows. Which no
-- limit allows any more do not count.
CREATE OR REPLACE FUNCTION stent._limit_reached(function_id integer) RETURNS text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET datestyle = 'ISO, YMD' AS $$
DECLARE
    f record;
    taken bigint;
    holders text;
    next_start timestamp;
BEGIN
    SELECT * INTO f FROM stent.function v WHERE v.id = function_id;
    IF f.max_concurrent IS NOT NULL THEN
        -- who takes a leased task's place holds its lock until the commit
        SELECT count(DISTINCT h.number), string_agg(DISTINCT h.holder, ', ' ORDER BY h.holder)
        INTO taken, holders
        FROM (SELECT l.objid::bigint AS number,
                     CASE WHEN l.pid IS NULL THEN 'a prepared transaction' ELSE 'pid ' || l.pid END AS holder
              FROM pg_locks l
              WHERE l.locktype = 'advisory' AND l.objsubid = 22272 AND l.granted
                AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
                AND l.classid = f.id::oid AND l.objid::bigint < f.max_concurrent
              UNION ALL
              SELECT p.number, COALESCE(format('worker "%s"', w.worker), 'a worker')
              FROM stent.place p LEFT JOIN stent._leased_now() w ON w.task_id = p.task_id
              WHERE p.kind = 'f' AND p.what = f.id AND p.number < f.max_concurrent) h;
        IF taken >= f.max_concurrent THEN
            RETURN format('function "%s" already runs max_concurrent (%s) tasks, by %s', f.name, f.max_concurrent, holders);
        END IF;
    END IF;
    next_start := stent._next_start(function_id);
    IF next_start IS NOT NULL THEN
        RETURN format('function "%s" has reached its rate limit (%s in %s): the next start is at %s UTC', f.name, f.rate_limit,
                      f.rate_interval, date_trunc('milliseconds', next_start));
    END IF;
    RETURN NULL;
END
$$;

-- Workers and a lane: which of the three things it asks for each of them serves, as claim
-- does. One that only claims has not told; it serves what it has leased tasks like.
CREATE FUNCTION stent._workers_of(
    lane_function text, lane_queue text, lane_tags text[],
    OUT name text, OUT state text, OUT live boolean, OUT slots integer, OUT busy integer, OUT ended_at timestamp,
    OUT of_function boolean, OUT of_queue boolean, OUT of_tags boolean)
RETURNS SETOF record
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
SELECT w.name,
       CASE WHEN w.stopped_at IS NULL AND w.alive_until < stent.now() THEN 'lost' ELSE w.state END,
       w.stopped_at IS NULL AND w.alive_until >= stent.now(),
       w.slots, w.busy, COALESCE(w.stopped_at, w.alive_until),
       w.functions IS NULL OR $1 = ANY (w.functions),
       w.queues IS NULL OR $2 = ANY (w.queues),
       cardinality($3) = 0 OR COALESCE(cardinality(w.tags), 0) = 0 OR $3 && w.tags
FROM stent.worker w
UNION ALL
SELECT DISTINCT n.worker, 'ready', true, NULL::integer, NULL::integer, NULL::timestamp, true, true, true
FROM stent._leased_now() n
JOIN stent.lane l ON l.id = n.lane_id
JOIN stent.function f ON f.id = n.function_id
WHERE f.name = $1 AND l.queue = $2 AND l.tags = $3
  AND NOT EXISTS (SELECT FROM stent.worker w WHERE w.name = n.worker)
  -- spares the walk over all leased tasks where there is no such worker
  AND EXISTS (SELECT FROM stent.lease x WHERE NOT EXISTS (SELECT FROM stent.worker w WHERE w.name = x.worker))
$$;

COMMENT ON FUNCTION stent._workers_of(text, text, text[]) IS 'private: workers, and which of a function, a queue and tags they serve';

-- Why no live worker serves such tasks; NULL if one does.
CREATE FUNCTION stent._no_worker(lane_function text, lane_queue text, lane_tags text[]) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET datestyle = 'ISO, YMD' AS $$
DECLARE
    n_live integer;
    served boolean;
    gone text;
    near text;
BEGIN
    SELECT count(*) FILTER (WHERE w.live), bool_or(w.live AND w.of_function AND w.of_queue AND w.of_tags)
    INTO n_live, served FROM stent._workers_of(lane_function, lane_queue, lane_tags) w;
    IF served THEN
        RETURN NULL;
    END IF;
    SELECT format('worker "%s" did, and %s at %s UTC', w.name, CASE w.state WHEN 'stopped' THEN 'stopped' ELSE 'was lost' END,
                  date_trunc('second', w.ended_at))
    INTO gone
    FROM stent._workers_of(lane_function, lane_queue, lane_tags) w
    WHERE NOT w.live AND w.of_function AND w.of_queue AND w.of_tags
    ORDER BY w.ended_at DESC, w.name LIMIT 1;
    SELECT string_agg(format('worker "%s" serves %s', m.name,
               CASE WHEN NOT m.of_function THEN format('queue "%s"%s, but not the function', lane_queue,
                                                       CASE WHEN m.of_tags THEN '' ELSE ' without its tags' END)
                    ELSE 'the function, but ' || concat_ws(' and ', CASE WHEN NOT m.of_queue THEN format('not queue "%s"', lane_queue) END,
                         CASE WHEN NOT m.of_tags THEN format('none of the tags %s', lane_tags) END) END), '; '
               ORDER BY m.of_function DESC, m.missing, m.name)
    INTO near
    FROM (SELECT w.*, 3 - w.of_function::integer - w.of_queue::integer - w.of_tags::integer AS missing
          FROM stent._workers_of(lane_function, lane_queue, lane_tags) w
          -- one that names the queue by itself, and tasks of other functions in it
          WHERE w.live AND (w.of_function
                            OR EXISTS (SELECT FROM stent.worker k WHERE k.name = w.name AND lane_queue = ANY (k.queues)))
          ORDER BY w.of_function DESC, missing, w.name LIMIT 3) m;
    RETURN 'no live worker serves it: ' || COALESCE(near, gone, CASE n_live WHEN 0 THEN 'none has told of itself'
               WHEN 1 THEN 'the only one serves other functions' ELSE format('all %s serve other functions', n_live) END);
END
$$;

COMMENT ON FUNCTION stent._no_worker(text, text, text[]) IS 'private: why no live worker serves tasks of a lane; NULL if one does';

CREATE FUNCTION stent._lost_text(lost integer) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
SELECT CASE WHEN $1 > 0 THEN format(' Its worker was lost %s before; after %s such losses in all it is a dead letter (stent.max_lost).',
                                    CASE $1 WHEN 1 THEN 'once' ELSE $1 || ' times' END, current_setting('stent.max_lost'))
            ELSE '' END
$$;

COMMENT ON FUNCTION stent._lost_text(integer) IS 'private: a sentence about lost workers of a task, or nothing';

-- What a ready task of an external function waits for.
CREATE FUNCTION stent._why_external(task_function text, task_queue text, task_tags text[], function_id integer, lost integer) RETURNS text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET datestyle = 'ISO, YMD' AS $$
DECLARE
    reason text := stent._no_worker(task_function, task_queue, task_tags);
    serving text;
BEGIN
    IF reason IS NOT NULL THEN
        RETURN format('It is ready, but function "%s" is external and %s.%s', task_function, reason, stent._lost_text(lost));
    END IF;
    reason := stent._limit_reached(function_id);
    IF reason IS NOT NULL THEN
        RETURN format('It is ready, but %s.%s', reason, stent._lost_text(lost));
    END IF;
    SELECT string_agg(format('"%s"%s', s.name, ' (' || nullif(concat_ws(', ',
               CASE WHEN s.state <> 'ready' THEN s.state END,
               CASE WHEN s.busy IS NOT NULL THEN format('%s%s slots busy', s.busy, ' of ' || s.slots) END), '') || ')'), ', ')
           || CASE WHEN count(*) < max(s.n) THEN format(' and %s more', max(s.n) - count(*)) ELSE '' END
    INTO serving
    FROM (SELECT w.*, count(*) OVER () AS n
          FROM stent._workers_of(task_function, task_queue, task_tags) w
          WHERE w.live AND w.of_function AND w.of_queue AND w.of_tags
          ORDER BY w.state = 'ready' DESC, w.busy < w.slots DESC NULLS LAST, w.name LIMIT 5) s;
    RETURN format('It is ready and waits for one of its workers to claim it: %s.%s', serving, stent._lost_text(lost));
END
$$;

COMMENT ON FUNCTION stent._why_external(text, text, text[], integer, integer) IS 'private: what a ready task of an external function waits for';

-- Why a blocked task is so: the first of those before it, which has to end.
CREATE OR REPLACE FUNCTION stent._why_blocked(id bigint) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    me record;
    first record;
    older bigint;
BEGIN
    SELECT stent._line(t.function_id, t.concurrency_key) AS line, COALESCE(t.position, t.id) AS position,
           t.concurrency_key, f.max_per_key INTO me
    FROM stent.task t JOIN stent.function f ON f.id = t.function_id WHERE t.id = _why_blocked.id;
    SELECT count(*) INTO older FROM (SELECT FROM stent.line l WHERE l.line = me.line AND l.position < me.position LIMIT 10001) o;
    SELECT t.id, t.state, t.due_at, w.role, w.queue, w.tags, f.name AS function, r.pid, k.worker, f.handler IS NULL AS external,
           (SELECT string_agg(stent._pause_text(p), '; ' ORDER BY p.queue, p.function_id)
            FROM stent._pauses(w.queue, t.function_id) p) AS paused INTO first
    FROM (SELECT l.task_id, l.position FROM stent.line l WHERE l.line = me.line AND l.position < me.position ORDER BY l.position LIMIT 1) o
    JOIN stent.task t ON t.id = o.task_id
    JOIN stent.lane w ON w.id = t.lane_id
    JOIN stent.function f ON f.id = t.function_id
    LEFT JOIN stent._running_now() r ON r.task_id = t.id
    LEFT JOIN stent._leased_now() k ON k.task_id = t.id;
    IF older < me.max_per_key OR first.id IS NULL THEN
        RETURN format('It is blocked, but it is its turn by concurrency key "%s": it becomes ready at any moment.', me.concurrency_key);
    END IF;
    RETURN format('It is blocked: %s of concurrency key "%s" stand%s before it%s; %s.',
                  CASE older WHEN 1 THEN '1 older task' WHEN 10001 THEN 'over 10000 older tasks' ELSE older || ' older tasks' END,
                  me.concurrency_key, CASE older WHEN 1 THEN 's' ELSE '' END,
                  CASE me.max_per_key WHEN 1 THEN '' ELSE format(', and %s of them may run at a time', me.max_per_key) END,
                  format('task %s, the first, ', first.id) ||
                  CASE WHEN first.pid IS NOT NULL THEN format('is running by pid %s', first.pid)
                       WHEN first.worker IS NOT NULL THEN format('is leased by worker "%s"', first.worker)
                       WHEN first.state = 's' THEN format('waits for its retry at %s UTC', date_trunc('second', first.due_at))
                       WHEN first.state = 'b' THEN 'becomes ready at any moment'
                       ELSE 'is ready' || COALESCE(', but ' || COALESCE(first.paused,
                           CASE WHEN first.external THEN COALESCE(stent._no_worker(first.function, first.queue, first.tags),
                                                             'waits for a worker to claim it') ELSE stent._role_not_served(first.role) END), '') END);
END
$$;

CREATE OR REPLACE FUNCTION stent._why(id bigint) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET datestyle = 'ISO, YMD' AS $$
DECLARE
    t record;
    running record;
    lease record;
    entry record;
    server record;
    mine record;
    standing text;
    canceller constant integer := stent._canceller(id);
    reason text;
BEGIN
    SELECT v.*, f.id AS function_id, f.handler, COALESCE(k.crashed, 0) AS crashed, COALESCE(k.lost, 0)::integer AS lost INTO t
    FROM stent.tasks v
    JOIN stent.function f ON f.name = v.function
    LEFT JOIN stent.task k ON k.id = v.id
    WHERE v.id = _why.id;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    SELECT * INTO running FROM stent._running_now() r WHERE r.task_id = id;
    IF running.pid IS NOT NULL THEN
        RETURN format('It is running since %s UTC in attempt %s, by pid %s (%s).%s', date_trunc('second', running.started_at),
                      running.attempt, running.pid, CASE WHEN running.executor THEN 'an executor' ELSE 'a session that called stent.run()' END,
                      ' Pid ' || canceller || ' is cancelling it.');
    END IF;
    CASE t.state
        WHEN 'completed' THEN
            RETURN format('It completed at %s UTC, in attempt %s.', date_trunc('second', t.finished_at), t.attempt);
        WHEN 'failed' THEN
            RETURN format('It failed at %s UTC after %s with %s: %s. %s', date_trunc('second', t.finished_at),
                          CASE t.attempt WHEN 1 THEN '1 attempt' ELSE t.attempt || ' attempts' END,
                          t.error ->> 'code', rtrim(t.error ->> 'message', '.'),
                          CASE WHEN EXISTS (SELECT FROM stent.dead_letter d WHERE d.id = _why.id)
                               THEN format('It is a dead letter: stent.replay(%s) runs it again.', id)
                               ELSE 'Its dead letter was discarded.' END);
        WHEN 'timed_out' THEN
            RETURN format('It timed out at %s UTC: %s.', date_trunc('second', t.finished_at), t.error ->> 'message');
        WHEN 'cancelled' THEN
            RETURN format('It was cancelled at %s UTC: %s.', date_trunc('second', t.finished_at), t.error ->> 'message');
        ELSE NULL;
    END CASE;
    IF canceller IS NOT NULL THEN
        RETURN format('It is being cancelled by pid %s.', canceller);
    END IF;
    IF t.state = 'scheduled' AND t.due_at > stent.now() THEN
        IF t.attempt > 0 THEN
            RETURN format('It is scheduled: the next attempt is due at %s UTC, after attempt %s of %s failed with %s: %s.',
                          date_trunc('second', t.due_at), t.attempt, t.max_attempts, t.error ->> 'code',
                          rtrim(t.error ->> 'message', '.'));
        END IF;
        RETURN format('It is scheduled: due at %s UTC.', date_trunc('second', t.due_at));
    ELSIF t.state = 'blocked' THEN
        RETURN stent._why_blocked(id);
    ELSIF t.state = 'running' THEN
        SELECT * INTO lease FROM stent._leased_now() n WHERE n.task_id = id;
        IF lease.worker IS NOT NULL THEN
            RETURN format('It is leased by worker "%s" since %s UTC, in attempt %s; %s.%s', lease.worker,
                          date_trunc('second', lease.claimed_at), lease.attempt,
                          CASE WHEN lease.expires_at <= stent.now()
                               THEN format('the lease expired at %s UTC, and the next claim takes the task over', date_trunc('second', lease.expires_at))
                               ELSE format('the lease expires at %s UTC unless the worker renews it', date_trunc('second', lease.expires_at)) END,
                          stent._lost_text(t.lost));
        END IF;
    ELSIF t.state NOT IN ('scheduled', 'ready') THEN
        RETURN format('It is %s.', t.state);
    END IF;

    -- ready, or due and not made ready yet
    SELECT string_agg(stent._pause_text(p), '; ' ORDER BY p.queue, p.function_id) INTO reason
    FROM stent._pauses(t.queue, t.function_id) p;
    IF reason IS NOT NULL THEN
        RETURN format('It is %s, but %s.', CASE t.state WHEN 'ready' THEN 'ready' ELSE 'due since ' || date_trunc('second', t.due_at) || ' UTC' END,
                      reason);
    END IF;
    IF t.handler IS NOT NULL THEN
        reason := stent._role_not_served(t.role);
    END IF;
    IF t.handler IS NOT NULL AND to_regprocedure(t.handler) IS NULL THEN
        reason := concat_ws('; ', reason, format('the handler %s of function "%s" does not exist any more: an attempt would fail',
                                                 t.handler, t.function));
    END IF;
    SELECT * INTO entry FROM stent._ready_entry(id);
    IF entry.taken_by IS NOT NULL THEN
        RETURN format('It was taken by %s, which has not committed yet.', stent._transaction_name(entry.taken_by));
    END IF;
    IF t.handler IS NULL AND t.state = 'ready' THEN
        RETURN stent._why_external(t.function, t.queue, t.tags, t.function_id, t.lost);
    END IF;
    IF reason IS NOT NULL THEN
        RETURN format('It is %s, but %s.', CASE t.state WHEN 'ready' THEN 'ready' ELSE 'due since ' || date_trunc('second', t.due_at) || ' UTC' END,
                      reason);
    END IF;
    SELECT * INTO server FROM stent._server();
    IF t.crashed > 0 AND server.careful_pid IS NOT NULL THEN
        RETURN format('It is ready; it crashed the server %s, and waits until pid %s has ended another such task: they run one at a time.',
                      CASE t.crashed WHEN 1 THEN 'once' ELSE t.crashed || ' times' END, server.careful_pid);
    ELSIF t.state = 'scheduled' THEN
        RETURN format('It is due since %s UTC and becomes ready at any moment.', date_trunc('second', t.due_at));
    END IF;
    reason := stent._limit_reached(t.function_id);
    IF reason IS NOT NULL THEN
        RETURN format('It is ready, but %s.', reason);
    END IF;
    standing := CASE WHEN entry.before = 0 THEN 'is the next of its role'
                     ELSE format('%s%s of its role stand%s before it', CASE WHEN entry.before_exact THEN '' ELSE 'at least ' END,
                                 CASE entry.before WHEN 1 THEN '1 task' ELSE entry.before || ' tasks' END,
                                 CASE entry.before WHEN 1 THEN 's' ELSE '' END) END;
    SELECT count(*) FILTER (WHERE e.state = 'busy') AS busy, count(*) AS n INTO mine
    FROM stent._executors() e JOIN pg_database d ON d.oid = e.database
    WHERE d.datname = current_database() AND pg_get_userbyid(e.role) = t.role;
    IF server.used >= server.max_executors AND mine.n = mine.busy THEN
        RETURN format('It is ready, but all executors are busy (%s of %s, %s with tasks of its role); %s.', server.used,
                      server.max_executors, mine.busy, CASE WHEN entry.before = 0 THEN 'it ' || standing ELSE standing END);
    ELSIF entry.before > 0 THEN
        RETURN format('It is ready and %s.', standing);
    END IF;
    RETURN 'It is ready and should start at any moment.';
END
$$;

CREATE OR REPLACE FUNCTION stent._forget(ids bigint[], refs bigint[]) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DELETE FROM stent.payload WHERE id = ANY (refs);
DELETE FROM stent.attempt WHERE task_id = ANY (ids);
DELETE FROM stent.output WHERE task_id = ANY (ids);
DELETE FROM stent.step WHERE task_id = ANY (ids);
DELETE FROM stent.counter WHERE execution_id = ANY (ids);
DELETE FROM stent.context WHERE execution_id = ANY (ids);
DELETE FROM stent.signal WHERE execution_id = ANY (ids);
DELETE FROM stent.memo WHERE task_id = ANY (ids);
DELETE FROM stent.progress_entry WHERE execution_id = ANY (ids);
$$;

-- Reads the leaf once for what its rows own elsewhere (large values, failed
-- attempts, output, steps, signals, counters, context, progress, memos) and for what must be kept. The leaf is
-- locked against the few who may still write to it; the parent is not.
CREATE OR REPLACE FUNCTION stent._empty_partition(leaf regclass) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    gone bigint;
    kept bigint;
    remembered bigint;
    kept_of_trees bigint;
BEGIN
    EXECUTE format('LOCK TABLE %s IN SHARE MODE', leaf);
    EXECUTE format('INSERT INTO stent.archive_kept SELECT a.* FROM %s a '
                   'WHERE a.id <> a.execution_id AND EXISTS (SELECT FROM stent.task t WHERE t.id = a.execution_id) '
                   'ON CONFLICT DO NOTHING', leaf);
    GET DIAGNOSTICS kept = ROW_COUNT;
    EXECUTE format('INSERT INTO stent.archive_kept SELECT a.* FROM %s a WHERE a.state = ''c'' '
                   'AND EXISTS (SELECT FROM stent.memo m WHERE m.task_id = a.id AND a.finished_at + m.ttl > $1) '
                   'ON CONFLICT DO NOTHING', leaf) USING stent.now();
    GET DIAGNOSTICS remembered = ROW_COUNT;
    -- an execution lives as long as any of its tasks, whatever has become of its root;
    -- what a dead letter that is replayed finds there, the context, goes with its root
    EXECUTE format('INSERT INTO stent.archive_kept SELECT a.* FROM %s a '
                   'JOIN (SELECT o.execution_id, bool_or(o.lives) AS lives '
                         'FROM (SELECT c.execution_id, true AS lives FROM stent.child c '
                               'UNION ALL SELECT d.execution_id, false FROM stent.dead_letter d) o '
                         'GROUP BY o.execution_id) e ON e.execution_id = a.execution_id '
                   'WHERE e.lives OR a.id = a.execution_id '
                   'ON CONFLICT DO NOTHING', leaf);
    GET DIAGNOSTICS kept_of_trees = ROW_COUNT;
    EXECUTE format('SELECT count(*) FROM %s', leaf) INTO gone;
    EXECUTE format('WITH gone AS MATERIALIZED (SELECT a.id, a.args_ref, a.result_ref FROM %s a '
                   'WHERE NOT EXISTS (SELECT FROM stent.archive_kept k WHERE k.id = a.id)), '
                   'p AS (DELETE FROM stent.payload p USING gone g WHERE p.id IN (g.args_ref, g.result_ref)), '
                   'a AS (DELETE FROM stent.attempt a USING gone g WHERE a.task_id = g.id), '
                   'o AS (DELETE FROM stent.output o USING gone g WHERE o.task_id = g.id), '
                   's AS (DELETE FROM stent.step s USING gone g WHERE s.task_id = g.id), '
                   'n AS (DELETE FROM stent.signal n USING gone g WHERE n.execution_id = g.id), '
                   'm AS (DELETE FROM stent.memo m USING gone g WHERE m.task_id = g.id), '
                   'c AS (DELETE FROM stent.counter c USING gone g WHERE c.execution_id = g.id), '
                   'e AS (DELETE FROM stent.progress_entry e USING gone g WHERE e.execution_id = g.id) '
                   'DELETE FROM stent.context c USING gone g WHERE c.execution_id = g.id', leaf);
    RETURN gone - kept - remembered - kept_of_trees;
END
$$;

-- Partitions that ended before the cutoff go whole. The long work comes first:
-- only the DROPs at the end lock the parent, for a moment; if somebody reads it
-- for longer than lock_timeout, all of this waits for the next call.
CREATE OR REPLACE FUNCTION stent._retire(cutoff timestamp, max_leaves integer DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET lock_timeout = '100ms' AS $$
DECLARE
    leaf regclass;
    leaves regclass[];
    gone bigint := 0;
    rest bigint;
BEGIN
    PERFORM stent._forget_workers();
    BEGIN
        WITH done AS (
            DELETE FROM stent.archive_kept k
            WHERE k.finished_at < cutoff
              AND NOT EXISTS (SELECT FROM stent.task t WHERE t.id = k.execution_id)
              AND NOT EXISTS (SELECT FROM stent.child c WHERE c.execution_id = k.execution_id)
              AND NOT EXISTS (SELECT FROM stent.dead_letter d WHERE d.execution_id = k.id)
              AND NOT EXISTS (SELECT FROM stent.memo m WHERE m.task_id = k.id AND k.state = 'c'
                                                         AND k.finished_at + m.ttl > stent.now())
            RETURNING k.id, k.args_ref, k.result_ref)
        SELECT count(*) FROM done,
               LATERAL (SELECT stent._forget(ARRAY[done.id], ARRAY[done.args_ref, done.result_ref])) f
        INTO rest;
    EXCEPTION WHEN lock_not_available THEN
        -- an open transaction is making one of the calls anew
        rest := 0;
    END;
    SELECT array_agg(old.leaf ORDER BY old.relname)
    FROM (SELECT c.oid::regclass AS leaf, c.relname
          FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
          WHERE i.inhparent = 'stent.archive'::regclass
            AND c.relname ~ '^archive_p[0-9]{8}$'
            AND to_date(right(c.relname, 8), 'YYYYMMDD') + 1 <= cutoff::date
          ORDER BY c.relname LIMIT max_leaves) old
    INTO leaves;
    IF leaves IS NULL THEN
        RETURN rest;
    END IF;
    BEGIN
        FOREACH leaf IN ARRAY leaves LOOP
            gone := gone + stent._empty_partition(leaf);
        END LOOP;
        FOREACH leaf IN ARRAY leaves LOOP
            EXECUTE format('DROP TABLE %s', leaf);
        END LOOP;
    EXCEPTION WHEN lock_not_available OR undefined_table THEN
        gone := 0;
    END;
    RETURN gone + rest;
END
$$;

-- Nothing is granted to PUBLIC; roles get what they need by grant_usage.

CREATE OR REPLACE FUNCTION stent.grant_usage(role name, kind text DEFAULT 'app') RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    app constant text :=
        'now(), duration(text), run(integer, text[]), execution_id(), task_id(), attempt(), headers(), '
        'dispatch(text, jsonb, text, integer, text[], interval, timestamp, interval, interval, jsonb, text, text, text, text, jsonb, jsonb, jsonb), '
        'dispatch_many(text, jsonb[], text, integer, text[], interval, timestamp, interval, interval, jsonb, jsonb), canonical(jsonb), '
        'counter_add(text, numeric), counter(text), context_set(text, jsonb, text), context_get(text), progress(text, jsonb), '
        'spawn(text, jsonb, text, integer, text[], interval, timestamp, interval, jsonb, text, jsonb), '
        'reschedule(bigint, text, integer, interval, timestamp, text[]), '
        'state_of(bigint), result_of(bigint), wait_for(bigint, interval), wait_until_done(bigint, interval, jsonb), cancel(bigint), why(bigint), '
        'replay(bigint, text, boolean), discard(bigint), '
        'replay_many(text, text, interval, text, boolean, integer), discard_many(text, text, interval, integer), '
        'purge_dead_letters(interval, text, text), start(integer), stop(), '
        'shared_set(text, jsonb), shared_get(text), shared_has(text), shared_delete(text), shared_add_int(text, bigint), '
        'signal(bigint, text, jsonb), set_task_pool_size(integer), get_task_pool_size(), '
        '_is_admin(), _state_name("char"), _is_running(bigint), _running_now(), _board_now(), _oldest_ready(), '
        'output_of(bigint, integer), _bucket(text, integer, integer), _leased_now(), _leases()';
    admin constant text :=
        'register(text, regprocedure, text, integer, text[], integer, integer, interval, jsonb, interval, interval, boolean, interval, boolean, text, integer, integer), '
        'unregister(text), pause(text, text), resume(text, text), cleanup(interval), adopt(), health()';
    worker constant text :=
        'now(), duration(text), health(), claim(text, integer, text[], text[], text[], interval), '
        'complete(bigint, bigint, jsonb, jsonb, jsonb, jsonb, jsonb), complete_many(bigint[], bigint[], jsonb[], jsonb[]), '
        'fail(bigint, bigint, jsonb), fail_many(bigint[], bigint[], jsonb[]), release(bigint, bigint), release_many(bigint[], bigint[]), '
        'heartbeat(bigint, bigint, interval), heartbeat_many(bigint[], bigint[], interval), '
        'worker_start(text, integer, text[], text[], text[], integer, jsonb, interval), '
        'worker_heartbeat(text, text, integer, interval), worker_stop(text), worker_wait(text[]), '
        'append_output(bigint, bigint, text, bytea, bigint), append_output_many(bigint, bigint, text[], bytea[], bigint), '
        '_is_admin(), _leases()';
    functions text;
BEGIN
    IF role IS NULL OR kind IS NULL THEN
        RAISE null_value_not_allowed USING MESSAGE = 'role and kind must not be null';
    END IF;
    functions := CASE kind WHEN 'app' THEN app WHEN 'worker' THEN worker WHEN 'admin' THEN concat_ws(', ', app, worker, admin) END;
    IF functions IS NULL THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('unknown kind of grant: "%s"', kind),
            HINT = 'Known kinds are app, worker and admin.';
    END IF;
    EXECUTE format('GRANT USAGE ON SCHEMA stent TO %I', role);
    EXECUTE format('GRANT SELECT ON stent.functions, stent.workers TO %I', role);
    IF kind <> 'worker' THEN
        EXECUTE format('GRANT SELECT ON stent.tasks, stent.executions, stent.dead_letters, '
                       'stent.running, stent.queues, stent.stats, stent.progress TO %I', role);
    END IF;
    EXECUTE format('GRANT EXECUTE ON ROUTINE %s TO %I',
                   regexp_replace(functions, '(^|\), )', '\1stent.', 'g'), role);
END
$$;

COMMENT ON FUNCTION stent.grant_usage(name, text) IS
  'grants a role what it needs: app (dispatch, run, results, its own tasks), worker (claim and all else that a worker calls, health) or admin (both, register, everybody''s tasks, cleanup, adopt, health). 42704 for an unknown role, 22023 for an unknown kind';

-- For the upgrade scripts: what a grant gives changes with the version.
CREATE OR REPLACE FUNCTION stent._regrant_all() RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    held record;
BEGIN
    FOR held IN
        SELECT COALESCE(r.rolname, 'public') AS role,
               CASE p.proname WHEN 'unregister' THEN 'admin' WHEN 'dispatch' THEN 'app' ELSE 'worker' END AS kind
        FROM pg_proc p
        CROSS JOIN LATERAL aclexplode(p.proacl) a
        LEFT JOIN pg_roles r ON r.oid = a.grantee
        WHERE p.pronamespace = 'stent'::regnamespace
          AND p.proname IN ('unregister', 'dispatch', 'health')
          AND a.grantee <> p.proowner
        GROUP BY a.grantee, r.rolname, p.proname
    LOOP
        PERFORM stent.grant_usage(held.role, held.kind);
    END LOOP;
END
$$;

-- By name: REVOKE ... ON ALL would take what was granted to roles for the extension's own,
-- and dumps would leave it out.
REVOKE ALL ON ROUTINE
    stent.claim(text, integer, text[], text[], text[], interval),
    stent.complete(bigint, bigint, jsonb, jsonb, jsonb, jsonb, jsonb),
    stent.complete_many(bigint[], bigint[], jsonb[], jsonb[]),
    stent.fail(bigint, bigint, jsonb),
    stent.fail_many(bigint[], bigint[], jsonb[]),
    stent.release(bigint, bigint),
    stent.release_many(bigint[], bigint[]),
    stent.heartbeat(bigint, bigint, interval),
    stent.heartbeat_many(bigint[], bigint[], interval),
    stent.worker_start(text, integer, text[], text[], text[], integer, jsonb, interval),
    stent.worker_heartbeat(text, text, integer, interval),
    stent.worker_stop(text),
    stent._forget_workers(),
    stent.append_output(bigint, bigint, text, bytea, bigint),
    stent.append_output_many(bigint, bigint, text[], bytea[], bigint),
    stent.output_of(bigint, integer),
    stent.worker_wait(text[]),
    stent._bucket(text, integer, integer),
    stent._leased_now(),
    stent._leases(),
    stent._workers_of(text, text, text[]),
    stent._no_worker(text, text, text[]),
    stent._lost_text(integer),
    stent._why_external(text, text, text[], integer, integer)
FROM PUBLIC;

REVOKE ALL ON TABLE stent.lease, stent.place, stent.worker, stent.output, stent.workers FROM PUBLIC;

-- Roles that hold a grant get what it means now.
SELECT stent._regrant();

SELECT stent._installed();
