-- What happens now, and how much of it. The functions show a caller what the views
-- show it: they are called with its rights.

CREATE FUNCTION stent._running_now(
    OUT task_id bigint, OUT execution_id bigint, OUT pid integer, OUT started_at timestamp,
    OUT attempt integer, OUT executor boolean, OUT lane_id integer, OUT function_id integer, OUT step text)
RETURNS SETOF record
LANGUAGE c STABLE PARALLEL SAFE ROWS 10 AS 'MODULE_PATHNAME', 'stent_running';
COMMENT ON FUNCTION stent._running_now() IS 'private: tasks whose handlers run now, from shared memory';

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

CREATE FUNCTION stent._board_counts(
    OUT role oid, OUT lane_id integer, OUT priority integer, OUT ready bigint, OUT scheduled bigint, OUT exact boolean, OUT blocked bigint,
    OUT waiting bigint)
RETURNS SETOF record
LANGUAGE c STABLE PARALLEL SAFE ROWS 100 AS 'MODULE_PATHNAME', 'stent_board';
COMMENT ON FUNCTION stent._board_counts() IS
  'private: how many tasks wait, by lane and priority; a row without lane: there may be more';

CREATE FUNCTION stent._oldest_ready(
    OUT lane_id integer, OUT function_id integer, OUT task_id bigint, OUT ready_at timestamp, OUT external boolean)
RETURNS SETOF record
LANGUAGE c STABLE PARALLEL SAFE ROWS 100 AS 'MODULE_PATHNAME', 'stent_oldest_ready';
COMMENT ON FUNCTION stent._oldest_ready() IS 'private: the oldest claimable task of each lane and priority';

CREATE VIEW stent.running WITH (security_barrier) AS
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
COMMENT ON COLUMN stent.running.step IS 'the latest that its handler told with stent.progress(), cut at 63 bytes';

CREATE VIEW stent._lanes WITH (security_barrier) AS
WITH board AS MATERIALIZED (SELECT b.lane_id, b.ready, b.scheduled, b.blocked, b.exact, b.waiting FROM stent._board_counts() b)
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
       COALESCE(b.blocked, 0) AS blocked,
       COALESCE(b.waiting, 0) AS waiting
FROM stent.lane l
JOIN stent.function f ON f.id = l.function_id
LEFT JOIN (SELECT b.lane_id, sum(b.ready) AS ready, sum(b.scheduled) AS scheduled, sum(b.blocked) AS blocked, sum(b.waiting) AS waiting,
                  bool_and(b.exact) AS exact
           FROM board b GROUP BY b.lane_id) b ON b.lane_id = l.id
LEFT JOIN (SELECT r.lane_id, count(*) AS running FROM stent._running_now() r GROUP BY r.lane_id) r ON r.lane_id = l.id
LEFT JOIN (SELECT w.lane_id, count(*) AS leased FROM stent._leased_now() w GROUP BY w.lane_id) w ON w.lane_id = l.id
LEFT JOIN (SELECT t.lane_id, sum(t.completed) AS completed, sum(t.failed) AS failed, sum(t.timed_out) AS timed_out,
                  sum(t.cancelled) AS cancelled, sum(t.retried) AS retried, sum(t.dead) AS dead,
                  sum(t.run_us) AS run_us, max(t.last_at) AS last_at
           FROM stent.tally t GROUP BY t.lane_id) t ON t.lane_id = l.id
WHERE l.role = current_user OR (SELECT stent._is_admin());
COMMENT ON VIEW stent._lanes IS 'private: the counts of each lane the caller may see';

CREATE VIEW stent.queues WITH (security_barrier) AS
SELECT l.queue,
       sum(l.ready)::bigint AS ready,
       sum(l.scheduled)::bigint AS scheduled,
       sum(l.running)::bigint AS running,
       sum(l.dead)::bigint AS dead,
       min(o.ready_at) AS oldest_ready_at,
       CASE WHEN min(o.ready_at) IS NOT NULL
            THEN greatest(stent.now() - min(o.ready_at), interval '0') END AS oldest_age,
       bool_and(l.exact) AS exact,
       EXISTS (SELECT FROM stent.pause h WHERE h.queue IN ('', l.queue) AND h.function_id = 0) AS paused,
       sum(l.blocked)::bigint AS blocked,
       sum(l.waiting)::bigint AS waiting
FROM stent._lanes l
LEFT JOIN (SELECT o.lane_id, min(o.ready_at) AS ready_at FROM stent._oldest_ready() o GROUP BY o.lane_id) o
       ON o.lane_id = l.id
GROUP BY l.queue
HAVING bool_or(l.registered) OR sum(l.ready + l.scheduled + l.blocked + l.waiting + l.running + l.dead) > 0;
COMMENT ON VIEW stent.queues IS
  'what waits and runs in each queue; counts of what is committed, exact unless the column says otherwise';
COMMENT ON COLUMN stent.queues.blocked IS 'behind older tasks of their concurrency key';
COMMENT ON COLUMN stent.queues.waiting IS 'orchestrators that wait for a child, a signal or a time, and maps';
COMMENT ON COLUMN stent.queues.dead IS 'dead letters';
COMMENT ON COLUMN stent.queues.oldest_ready_at IS 'since when the oldest task that nobody has taken is ready';
COMMENT ON COLUMN stent.queues.exact IS 'false: at least so many ready, scheduled, blocked and waiting ones';
COMMENT ON COLUMN stent.queues.paused IS 'no task of the queue is started; single functions in it may be paused besides';

CREATE VIEW stent.stats WITH (security_barrier) AS
SELECT l.function,
       l.role,
       l.queue,
       sum(l.ready)::bigint AS ready,
       sum(l.scheduled)::bigint AS scheduled,
       sum(l.running)::bigint AS running,
       sum(l.completed)::bigint AS completed,
       sum(l.failed)::bigint AS failed,
       sum(l.timed_out)::bigint AS timed_out,
       sum(l.cancelled)::bigint AS cancelled,
       sum(l.retried)::bigint AS retried,
       (sum(l.run_us) / NULLIF(sum(l.completed + l.failed + l.retried), 0))::float8
           * interval '1 microsecond' AS mean_run_time,
       max(l.last_at) AS last_at,
       bool_and(l.exact) AS exact,
       sum(l.blocked)::bigint AS blocked,
       sum(l.waiting)::bigint AS waiting
FROM stent._lanes l
GROUP BY l.function, l.role, l.queue
HAVING bool_or(l.registered)
    OR sum(l.ready + l.scheduled + l.blocked + l.waiting + l.running + l.completed + l.failed + l.timed_out + l.cancelled + l.retried) > 0;
COMMENT ON VIEW stent.stats IS
  'how the tasks of each function went since the extension was installed; totals count events, so a task that was replayed and failed again failed twice';
COMMENT ON COLUMN stent.stats.retried IS 'attempts that failed and were followed by another';
COMMENT ON COLUMN stent.stats.mean_run_time IS 'of handlers that returned or raised an error';

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
