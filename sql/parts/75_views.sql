-- What people see. Every view shows an app role its own rows and an admin (who
-- may execute stent.unregister) all rows.

CREATE FUNCTION stent._is_admin() RETURNS boolean
LANGUAGE sql STABLE
RETURN pg_catalog.has_function_privilege(current_user, 'stent.unregister(pg_catalog.text)', 'EXECUTE');
COMMENT ON FUNCTION stent._is_admin() IS 'private: whether current_user holds the admin grant';

CREATE FUNCTION stent._state_name(state "char") RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE state
    WHEN 's' THEN 'scheduled' WHEN 'b' THEN 'blocked' WHEN 'r' THEN 'ready'
    WHEN 'u' THEN 'running' WHEN 'w' THEN 'waiting' WHEN 'c' THEN 'completed'
    WHEN 'f' THEN 'failed' WHEN 't' THEN 'timed_out' WHEN 'x' THEN 'cancelled' END;
COMMENT ON FUNCTION stent._state_name("char") IS 'private: name of a stored state';

CREATE FUNCTION stent._is_running(task_id bigint) RETURNS boolean
LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'stent_is_running';
COMMENT ON FUNCTION stent._is_running(bigint) IS
  'private: whether a session runs the handler of this task now, as far as the caller may know; false without preload';

CREATE FUNCTION stent._bucket(role text, priority integer, lane_id integer) RETURNS bigint
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'stent_bucket';
COMMENT ON FUNCTION stent._bucket(text, integer, integer) IS 'private: the bucket of a task in the ready table';

CREATE VIEW stent.functions WITH (security_barrier) AS
SELECT f.name,
       f.handler,
       CASE WHEN f.handler IS NULL THEN 'external' ELSE 'sql' END AS kind,
       f.queue,
       f.priority::integer AS priority,
       f.tags,
       p.policy AS retry,
       f.timeout,
       f.max_duration,
       f.version,
       f.registered_at,
       f.max_concurrent,
       f.max_per_key,
       f.rate_limit,
       f.rate_interval,
       f.rate_burst,
       f.cached,
       f.cache_ttl,
       f.idempotent,
       EXISTS (SELECT FROM stent.pause h WHERE h.queue IN ('', f.queue) AND h.function_id IN (0, f.id)) AS paused
FROM stent.function f
JOIN stent.retry_policy p ON p.id = f.policy_id
WHERE f.registered;
COMMENT ON VIEW stent.functions IS 'registered functions and the defaults their tasks are dispatched with';
COMMENT ON COLUMN stent.functions.paused IS 'in its own queue none of its tasks is started';

-- Each table twice: who asks for an execution finds its root by the primary key, and
-- the tasks below by the index that has only those. (With = instead of <= and >= the planner
-- would expect a single root.) The wait of a waiting task is no due time.
CREATE VIEW stent._task_rows AS
SELECT id, id AS execution_id, function_id, lane_id, policy_id, state, priority, attempt, replays,
       parent_id, created_at, CASE WHEN state <> 'w' THEN due_at END AS due_at, NULL::timestamp AS started_at,
       NULL::timestamp AS finished_at, deadline, timeout, args, args_ref,
       NULL::jsonb AS result, NULL::bigint AS result_ref, NULL::jsonb AS error,
       headers, dedup_key, concurrency_key, COALESCE(position, id) AS position, chunk
FROM stent.task WHERE id <= execution_id AND id >= execution_id
UNION ALL
SELECT id, execution_id, function_id, lane_id, policy_id, state, priority, attempt, replays,
       parent_id, created_at, CASE WHEN state <> 'w' THEN due_at END AS due_at, NULL::timestamp AS started_at,
       NULL::timestamp AS finished_at, deadline, timeout, args, args_ref,
       NULL::jsonb AS result, NULL::bigint AS result_ref, NULL::jsonb AS error,
       headers, dedup_key, concurrency_key, COALESCE(position, id) AS position, chunk
FROM stent.task WHERE parent_id IS NOT NULL
UNION ALL
SELECT id, id AS execution_id, function_id, lane_id, policy_id, state, priority, attempt, replays,
       parent_id, created_at, due_at, started_at, finished_at, deadline, timeout, args, args_ref,
       result, result_ref, error, headers, dedup_key, concurrency_key, NULL::bigint, chunk
FROM stent.archive WHERE id <= execution_id AND id >= execution_id
UNION ALL
SELECT id, execution_id, function_id, lane_id, policy_id, state, priority, attempt, replays,
       parent_id, created_at, due_at, started_at, finished_at, deadline, timeout, args, args_ref,
       result, result_ref, error, headers, dedup_key, concurrency_key, NULL::bigint, chunk
FROM stent.archive WHERE parent_id IS NOT NULL
UNION ALL
SELECT id, id AS execution_id, function_id, lane_id, policy_id, state, priority, attempt, replays,
       parent_id, created_at, due_at, started_at, finished_at, deadline, timeout, args, args_ref,
       result, result_ref, error, headers, dedup_key, concurrency_key, NULL::bigint, chunk
FROM stent.dead_letter WHERE id <= execution_id AND id >= execution_id
UNION ALL
SELECT id, execution_id, function_id, lane_id, policy_id, state, priority, attempt, replays,
       parent_id, created_at, due_at, started_at, finished_at, deadline, timeout, args, args_ref,
       result, result_ref, error, headers, dedup_key, concurrency_key, NULL::bigint, chunk
FROM stent.dead_letter WHERE parent_id IS NOT NULL
UNION ALL
SELECT id, id AS execution_id, function_id, lane_id, policy_id, state, priority, attempt, replays,
       parent_id, created_at, due_at, started_at, finished_at, deadline, timeout, args, args_ref,
       result, result_ref, error, headers, dedup_key, concurrency_key, NULL::bigint, chunk
FROM stent.archive_kept WHERE id <= execution_id AND id >= execution_id
UNION ALL
SELECT id, execution_id, function_id, lane_id, policy_id, state, priority, attempt, replays,
       parent_id, created_at, due_at, started_at, finished_at, deadline, timeout, args, args_ref,
       result, result_ref, error, headers, dedup_key, concurrency_key, NULL::bigint, chunk
FROM stent.archive_kept WHERE parent_id IS NOT NULL;
COMMENT ON VIEW stent._task_rows IS 'private: the rows of all tasks, live and finished';

CREATE VIEW stent.tasks WITH (security_barrier) AS
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
FROM stent._task_rows t
JOIN stent.function f ON f.id = t.function_id
JOIN stent.lane l ON l.id = t.lane_id
JOIN stent.retry_policy p ON p.id = t.policy_id
WHERE l.role = current_user OR (SELECT stent._is_admin());
COMMENT ON VIEW stent.tasks IS
  'all tasks, live and finished, until retention drops them; error is the latest attempt''s while a task is to be retried';
COMMENT ON COLUMN stent.tasks.due_at IS 'when a scheduled or retried task becomes ready, or a replayed one became so; NULL if it was ready at once';
COMMENT ON COLUMN stent.tasks.attempt IS 'attempts finished, or begun where the task has ended';

CREATE VIEW stent.executions WITH (security_barrier) AS
SELECT t.id,
       t.function,
       t.queue,
       t.state,
       t.priority,
       t.tags,
       t.role,
       t.attempt,
       t.created_at,
       t.due_at,
       t.started_at,
       t.finished_at,
       t.deadline,
       t.args,
       t.result,
       t.error,
       t.headers
FROM stent.tasks t
WHERE t.parent_id IS NULL;
COMMENT ON VIEW stent.executions IS 'one row a dispatch: the root task stands for its execution';

CREATE VIEW stent.dead_letters WITH (security_barrier) AS
SELECT d.id,
       d.execution_id,
       f.name AS function,
       l.queue,
       stent._state_name(d.state) AS state,
       d.error ->> 'message' AS reason,
       d.error ->> 'code' AS error_code,
       d.error,
       d.attempt::integer AS attempt,
       d.replays::integer AS replays,
       l.role,
       l.tags,
       COALESCE(d.args, (SELECT v.value FROM stent.payload v WHERE v.id = d.args_ref)) AS args,
       d.headers,
       d.created_at,
       d.finished_at AS died_at
FROM stent.dead_letter d
JOIN stent.function f ON f.id = d.function_id
JOIN stent.lane l ON l.id = d.lane_id
WHERE l.role = current_user OR (SELECT stent._is_admin());
COMMENT ON VIEW stent.dead_letters IS
  'tasks that spent their attempts or failed for good, kept until replay, discard or purge_dead_letters';

-- Tasks that stand for an execution: their id is that of the execution.
CREATE VIEW stent._roots AS
SELECT id, lane_id, state, created_at, NULL::timestamp AS finished_at, NULL::jsonb AS error
FROM stent.task WHERE parent_id IS NULL
UNION ALL
SELECT id, lane_id, state, created_at, finished_at, error FROM stent.archive WHERE parent_id IS NULL
UNION ALL
SELECT id, lane_id, state, created_at, finished_at, error FROM stent.dead_letter WHERE parent_id IS NULL
UNION ALL
SELECT id, lane_id, state, created_at, finished_at, error FROM stent.archive_kept WHERE parent_id IS NULL;
COMMENT ON VIEW stent._roots IS 'private: the root task of each execution';

-- Entries of handlers are stored. Those of the engine are what other rows tell:
-- nothing is written for them, and there is none for a task below the root.
CREATE VIEW stent.progress WITH (security_barrier) AS
SELECT e.execution_id,
       e.id,
       e.task_id,
       f.name AS function,
       e.step,
       e.status,
       e.detail,
       e.at
FROM (SELECT p.execution_id, p.id, p.task_id, p.lane_id, p.step, 'progress'::text AS status, p.detail, p.at
      FROM stent.progress_entry p
      UNION ALL
      SELECT r.id, s.id, r.id, r.lane_id, s.step, s.status,
             CASE WHEN s.id IS NULL AND r.error IS NOT NULL
                  THEN jsonb_build_object('code', r.error -> 'code', 'message', r.error -> 'message') END, s.at
      FROM stent._roots r
      CROSS JOIN LATERAL (VALUES (0::bigint, 'dispatch'::text, 'dispatched'::text, r.created_at),
                                 (NULL, 'end', stent._state_name(r.state), r.finished_at)) s (id, step, status, at)
      WHERE s.at IS NOT NULL
      UNION ALL
      SELECT r.id, a.replay * 100000 + a.attempt, r.id, r.lane_id, 'attempt ' || a.attempt, 'failed',
             jsonb_build_object('code', a.error -> 'code', 'message', a.error -> 'message'), a.finished_at
      FROM stent._roots r
      JOIN stent.attempt a ON a.task_id = r.id
      UNION ALL
      SELECT m.execution_id, c.task_id, m.id, m.lane_id, 'chunk ' || c.number, 'completed',
             jsonb_build_object('items', c.items, 'completed', c.completed, 'failed', c.failed, 'hits', c.hits), c.finished_at
      FROM stent.map m
      JOIN stent.chunk c ON c.map_id = m.id
      WHERE c.finished_at IS NOT NULL) e
JOIN stent.lane l ON l.id = e.lane_id
JOIN stent.function f ON f.id = l.function_id
WHERE l.role = current_user OR (SELECT stent._is_admin());
COMMENT ON VIEW stent.progress IS
  'what happened in an execution, in the order of at, id: what handlers told with stent.progress(), of its root task, dispatch, failed attempts and end, and each finished chunk of its maps';
COMMENT ON COLUMN stent.progress.id IS 'orders entries of one moment; NULL, which sorts last, for the end';
COMMENT ON COLUMN stent.progress.step IS 'as the handler said; dispatch, attempt <n>, end or chunk <n> for the engine''s own; ... where entries were left out';
COMMENT ON COLUMN stent.progress.status IS 'progress for entries of handlers; dispatched; failed for an attempt; completed for a chunk; the state for the end';
