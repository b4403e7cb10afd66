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
       f.idempotent
FROM stent.function f
JOIN stent.retry_policy p ON p.id = f.policy_id
WHERE f.registered;
COMMENT ON VIEW stent.functions IS 'registered functions and the defaults their tasks are dispatched with';

CREATE VIEW stent.tasks WITH (security_barrier) AS
SELECT t.id,
       t.execution_id,
       f.name AS function,
       l.queue,
       CASE WHEN t.state = 'r' AND stent._is_running(t.id) THEN 'running'
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
             headers, dedup_key, concurrency_key
      FROM stent.task
      UNION ALL
      SELECT id, execution_id, function_id, lane_id, policy_id, state, priority, attempt, replays,
             parent_id, created_at, due_at, started_at, finished_at, deadline, timeout, args, args_ref,
             result, result_ref, error, headers, dedup_key, concurrency_key
      FROM stent.archive
      UNION ALL
      SELECT id, execution_id, function_id, lane_id, policy_id, state, priority, attempt, replays,
             parent_id, created_at, due_at, started_at, finished_at, deadline, timeout, args, args_ref,
             result, result_ref, error, headers, dedup_key, concurrency_key
      FROM stent.dead_letter
      UNION ALL
      SELECT id, execution_id, function_id, lane_id, policy_id, state, priority, attempt, replays,
             parent_id, created_at, due_at, started_at, finished_at, deadline, timeout, args, args_ref,
             result, result_ref, error, headers, dedup_key, concurrency_key
      FROM stent.archive_kept) t
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
