\echo Use "ALTER EXTENSION stent UPDATE TO '0.3.0'" to load this file. \quit

-- Columns come last, as in a fresh database.
ALTER TABLE stent.function
    ADD COLUMN max_concurrent integer,
    ADD COLUMN max_per_key integer NOT NULL DEFAULT 1,
    ADD COLUMN rate_limit integer,
    ADD COLUMN rate_interval interval,
    ADD COLUMN rate_burst integer,
    ADD COLUMN cached boolean NOT NULL DEFAULT false,
    ADD COLUMN cache_ttl interval,
    ADD COLUMN idempotent boolean NOT NULL DEFAULT false;
ALTER TABLE stent.task ADD COLUMN concurrency_key text;
ALTER TABLE stent.ready ADD COLUMN line bigint;
ALTER TABLE stent.archive ADD COLUMN concurrency_key text;
ALTER TABLE stent.archive_kept ADD COLUMN concurrency_key text;
ALTER TABLE stent.dead_letter ADD COLUMN concurrency_key text;

DROP FUNCTION stent.register(text, regprocedure, text, integer, text[], integer, integer, interval, jsonb, interval, interval, boolean, interval, boolean, text);

-- Tasks with a concurrency key, from the moment they could run until they end, by
-- age. line is a hash of function and key; keys that share one share their turns.
-- blocked: too many of the line are older; then this row is the task's lock, as the
-- ready entry is for the others. extension/line.c.
CREATE TABLE stent.line (
    line bigint NOT NULL,
    position bigint NOT NULL,
    task_id bigint NOT NULL,
    blocked boolean NOT NULL,
    CONSTRAINT line_pkey PRIMARY KEY (line, position)
);

COMMENT ON TABLE stent.line IS 'private: tasks with a concurrency key, by age';

-- When the token bucket of a rate-limited function will be full again: full_at and
-- part / rate_limit of a microsecond. Changed in place, outside transactions
-- (extension/rate.c): a call that was made is not undone.
CREATE TABLE stent.rate (
    function_id integer NOT NULL,
    part integer NOT NULL,
    full_at timestamp NOT NULL,
    CONSTRAINT rate_pkey PRIMARY KEY (function_id)
);

COMMENT ON TABLE stent.rate IS 'private: token buckets of rate-limited functions';

-- What is paused. queue '': all queues; function_id 0: all functions.
CREATE TABLE stent.pause (
    queue text NOT NULL,
    function_id integer NOT NULL,
    paused_at timestamp NOT NULL,
    paused_by text NOT NULL,
    CONSTRAINT pause_pkey PRIMARY KEY (queue, function_id)
);

COMMENT ON TABLE stent.pause IS 'private: paused queues and functions';

-- Live tasks that have a parent.
CREATE TABLE stent.child (
    execution_id bigint NOT NULL,
    parent_id bigint NOT NULL,
    task_id bigint NOT NULL,
    CONSTRAINT child_pkey PRIMARY KEY (execution_id, parent_id, task_id)
);

COMMENT ON TABLE stent.child IS 'private: live tasks that have a parent';

-- Calls that need not be made again: the task that made, or makes, the call with this
-- key (extension/memo.c). ttl: how long after its end it serves; NULL: as long as
-- retention keeps it.
CREATE TABLE stent.memo (
    key bytea NOT NULL,
    task_id bigint NOT NULL,
    ttl interval,
    CONSTRAINT memo_pkey PRIMARY KEY (key)
);

CREATE INDEX memo_task_id_idx ON stent.memo (task_id);

COMMENT ON TABLE stent.memo IS 'private: idempotency keys and cached calls';

-- The latest value of each signal; number rises with every send.
CREATE TABLE stent.signal (
    execution_id bigint NOT NULL,
    name text NOT NULL,
    number bigint NOT NULL,
    payload jsonb NOT NULL,
    sent_at timestamp NOT NULL,
    sent_by text NOT NULL,
    CONSTRAINT signal_pkey PRIMARY KEY (execution_id, name)
);

COMMENT ON TABLE stent.signal IS 'private: signals sent to executions';

-- What handlers tell of their progress, the latest entries of each execution.
CREATE TABLE stent.progress_entry (
    execution_id bigint NOT NULL,
    id bigint NOT NULL,
    task_id bigint NOT NULL,
    attempt smallint NOT NULL,
    step text NOT NULL,
    detail jsonb,
    at timestamp NOT NULL,
    CONSTRAINT progress_entry_pkey PRIMARY KEY (execution_id, id)
);

COMMENT ON TABLE stent.progress_entry IS 'private: progress told by handlers';

-- Values shared by all tasks and sessions of the database.
CREATE TABLE stent.shared_value (
    key text NOT NULL,
    value jsonb NOT NULL,
    CONSTRAINT shared_value_pkey PRIMARY KEY (key)
);

COMMENT ON TABLE stent.shared_value IS 'private: shared values';

SELECT pg_catalog.pg_extension_config_dump('stent.line', '');

SELECT pg_catalog.pg_extension_config_dump('stent.rate', '');

SELECT pg_catalog.pg_extension_config_dump('stent.pause', '');

SELECT pg_catalog.pg_extension_config_dump('stent.child', '');

SELECT pg_catalog.pg_extension_config_dump('stent.memo', '');

SELECT pg_catalog.pg_extension_config_dump('stent.signal', '');

SELECT pg_catalog.pg_extension_config_dump('stent.progress_entry', '');

SELECT pg_catalog.pg_extension_config_dump('stent.shared_value', '');

ALTER TABLE stent.line SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 10000);

ALTER TABLE stent.child SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 10000);

ALTER TABLE stent.counter SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0);

CREATE FUNCTION stent.register(
    name text,
    handler regprocedure DEFAULT NULL,
    queue text DEFAULT 'default',
    priority integer DEFAULT 0,
    tags text[] DEFAULT '{}',
    max_concurrent integer DEFAULT NULL,
    rate_limit integer DEFAULT NULL,
    rate_interval interval DEFAULT NULL,
    retry jsonb DEFAULT NULL,
    timeout interval DEFAULT NULL,
    max_duration interval DEFAULT NULL,
    cached boolean DEFAULT false,
    cache_ttl interval DEFAULT NULL,
    idempotent boolean DEFAULT false,
    version text DEFAULT NULL,
    rate_burst integer DEFAULT NULL,
    max_per_key integer DEFAULT 1)
RETURNS void
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_register';

COMMENT ON FUNCTION stent.register(text, regprocedure, text, integer, text[], integer, integer, interval, jsonb, interval, interval, boolean, interval, boolean, text, integer, integer) IS
  'registers a function, or replaces it: tasks dispatched before keep their queue, priority, tags, retry policy and timeout and run the new handler under the new limits. handler: f(), f(jsonb) or one with named parameters; NULL means run by external workers. Names have 1 to 200 bytes, priority is -100 to 100. max_concurrent: at most so many run at the same time, in all sessions. rate_limit: at most so many start in rate_interval (default 1 s), and rate_burst (default rate_limit) at once after a pause. max_per_key: at most so many of one concurrency_key run at the same time. idempotent: a call with the same arguments is made once and its task remembered for retention; cached: the same for cache_ttl after it completed; another version is another call. 42883, 42P13 or 0A000 for a handler that cannot serve, 22023 for a limit that is not positive';

CREATE OR REPLACE VIEW stent.functions WITH (security_barrier) AS
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

CREATE OR REPLACE VIEW stent.tasks WITH (security_barrier) AS
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

-- Nothing is granted to PUBLIC; roles get what they need by grant_usage.

CREATE OR REPLACE FUNCTION stent.grant_usage(role name, kind text DEFAULT 'app') RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    app constant text :=
        'now(), duration(text), run(integer, text[]), execution_id(), task_id(), attempt(), headers(), '
        'dispatch(text, jsonb, text, integer, text[], interval, timestamp, interval, interval, jsonb, text, text, text, text, jsonb, jsonb, jsonb), '
        'dispatch_many(text, jsonb[], text, integer, text[], interval, timestamp, interval, interval, jsonb, jsonb), '
        'state_of(bigint), result_of(bigint), wait_for(bigint, interval), wait_until_done(bigint, interval, jsonb), cancel(bigint), why(bigint), '
        'replay(bigint, text, boolean), discard(bigint), '
        'replay_many(text, text, interval, text, boolean, integer), discard_many(text, text, interval, integer), '
        'purge_dead_letters(interval, text, text), start(integer), stop(), '
        '_is_admin(), _state_name("char"), _is_running(bigint), _running(), _board(), _oldest_ready()';
    admin constant text :=
        'register(text, regprocedure, text, integer, text[], integer, integer, interval, jsonb, interval, interval, boolean, interval, boolean, text, integer, integer), '
        'unregister(text), cleanup(interval), adopt(), health()';
    worker constant text :=
        'now(), duration(text), health()';
    functions text;
BEGIN
    IF role IS NULL OR kind IS NULL THEN
        RAISE null_value_not_allowed USING MESSAGE = 'role and kind must not be null';
    END IF;
    functions := CASE kind WHEN 'app' THEN app WHEN 'worker' THEN worker WHEN 'admin' THEN app || ', ' || admin END;
    IF functions IS NULL THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('unknown kind of grant: "%s"', kind),
            HINT = 'Known kinds are app, worker and admin.';
    END IF;
    EXECUTE format('GRANT USAGE ON SCHEMA stent TO %I', role);
    EXECUTE format('GRANT SELECT ON stent.functions TO %I', role);
    IF kind <> 'worker' THEN
        EXECUTE format('GRANT SELECT ON stent.tasks, stent.executions, stent.dead_letters, '
                       'stent.running, stent.queues, stent.stats TO %I', role);
    END IF;
    EXECUTE format('GRANT EXECUTE ON ROUTINE %s TO %I',
                   regexp_replace(functions, '(^|\), )', '\1stent.', 'g'), role);
END
$$;

-- By name: REVOKE ... ON ALL would take what was granted to roles for the extension's own,
-- and dumps would leave it out.
REVOKE ALL ON ROUTINE
    stent.register(text, regprocedure, text, integer, text[], integer, integer, interval, jsonb, interval, interval, boolean, interval, boolean, text, integer, integer)
FROM PUBLIC;

REVOKE ALL ON TABLE stent.line, stent.rate, stent.pause, stent.child, stent.memo, stent.signal, stent.progress_entry, stent.shared_value FROM PUBLIC;

-- Roles that hold a grant get what it means now.
SELECT stent._regrant();

SELECT stent._installed();
