\echo Use "CREATE EXTENSION stent" to load this file. \quit

-- The schema is made here and so belongs to the extension: it must not exist
-- before, since whoever owns it could shadow what is in it, and it goes with the
-- extension.

CREATE SCHEMA stent;

COMMENT ON SCHEMA stent IS
  'durable tasks inside PostgreSQL: functions and views are the interface, tables are private';
-- Storage. Private: only the extension reads or writes these tables, and their
-- shapes may change with any release. docs/data-model.md draws them.
--
-- extension/store.h numbers the columns; a column added here is added there.

-- Ids of tasks and values, and positions in the ready table. One sequence for
-- all, so that a task ready at once needs a single number for id and position.
CREATE SEQUENCE stent.id_seq AS bigint;
CREATE SEQUENCE stent.small_id_seq AS integer;

CREATE TABLE stent.function (
    id integer NOT NULL,
    name text NOT NULL,
    handler text,
    queue text NOT NULL,
    priority smallint NOT NULL,
    tags text[] NOT NULL,
    policy_id integer NOT NULL,
    timeout interval,
    max_duration interval,
    version text,
    registered boolean NOT NULL,
    registered_at timestamp NOT NULL,
    CONSTRAINT function_pkey PRIMARY KEY (id),
    CONSTRAINT function_name_key UNIQUE (name)
);
COMMENT ON TABLE stent.function IS
  'private: registered names; an unregistered one keeps its row while tasks or history refer to it';

-- Lanes and policies are immutable and found by digest. Two open transactions
-- may each add the same one: the twins mean the same and nobody waits.
CREATE TABLE stent.lane (
    id integer NOT NULL,
    digest bigint NOT NULL,
    role text NOT NULL,
    function_id integer NOT NULL,
    queue text NOT NULL,
    tags text[] NOT NULL,
    CONSTRAINT lane_pkey PRIMARY KEY (id)
);
CREATE INDEX lane_digest_idx ON stent.lane (digest);
COMMENT ON TABLE stent.lane IS
  'private: (role, function, queue, tag set); all ready tasks of a lane are equally claimable';

CREATE TABLE stent.retry_policy (
    id integer NOT NULL,
    digest bigint NOT NULL,
    policy jsonb NOT NULL,
    CONSTRAINT retry_policy_pkey PRIMARY KEY (id)
);
CREATE INDEX retry_policy_digest_idx ON stent.retry_policy (digest);
COMMENT ON TABLE stent.retry_policy IS
  'private: immutable retry policies, shared by the tasks that were dispatched with them';

-- Values over about 1 kB are written here once and referenced from live and
-- archived rows.
CREATE TABLE stent.payload (
    id bigint NOT NULL,
    value jsonb NOT NULL,
    CONSTRAINT payload_pkey PRIMARY KEY (id)
);
COMMENT ON TABLE stent.payload IS 'private: large arguments and results';

-- Live tasks only. state: s scheduled, b blocked, r ready, u running (leased),
-- w waiting. position is null until the task leaves the position it was
-- dispatched with (its id).
CREATE TABLE stent.task (
    id bigint NOT NULL,
    execution_id bigint NOT NULL,
    created_at timestamp NOT NULL,
    function_id integer NOT NULL,
    lane_id integer NOT NULL,
    policy_id integer NOT NULL,
    attempt smallint NOT NULL,
    replays smallint NOT NULL,
    lost smallint NOT NULL,
    crashed smallint NOT NULL,
    priority smallint NOT NULL,
    state "char" NOT NULL,
    parent_id bigint,
    due_at timestamp,
    deadline timestamp,
    position bigint,
    timeout interval,
    args jsonb,
    args_ref bigint,
    headers jsonb,
    dedup_key text,
    CONSTRAINT task_pkey PRIMARY KEY (id),
    CONSTRAINT task_priority_in_range CHECK (priority BETWEEN -100 AND 100),
    CONSTRAINT task_state_is_live CHECK (state IN ('s', 'b', 'r', 'u', 'w'))
);
COMMENT ON TABLE stent.task IS 'private: live tasks';

-- One entry per claimable task. bucket packs (role, priority, lane), see
-- extension/ready.c. Deleting the entry is claiming the task. task_tid is where the
-- task row was when the entry was written: a hint, checked against the id.
CREATE TABLE stent.ready (
    bucket bigint NOT NULL,
    position bigint NOT NULL,
    task_id bigint NOT NULL,
    task_tid tid NOT NULL,
    CONSTRAINT ready_pkey PRIMARY KEY (bucket, position)
);
COMMENT ON TABLE stent.ready IS 'private: claimable tasks by role, priority, lane and age';

-- What happens at a time. kind: r becomes ready, d reaches its deadline. role_key
-- is the role part of the bucket: a role's entries never stand before another's.
CREATE TABLE stent.due (
    role_key integer NOT NULL,
    due_at timestamp NOT NULL,
    task_id bigint NOT NULL,
    kind "char" NOT NULL,
    bucket bigint NOT NULL,
    CONSTRAINT due_pkey PRIMARY KEY (role_key, due_at, task_id, kind)
);
COMMENT ON TABLE stent.due IS 'private: delays, retries and deadlines by time';

-- Finished tasks by the day they finished. state: c completed, f failed,
-- t timed_out, x cancelled. Partitions are made at run time, never by this
-- script, so that pg_dump carries their rows. Each has its own primary key (id):
-- one of the parent's would come with CREATE EXTENSION and clash with the dump's.
CREATE TABLE stent.archive (
    id bigint NOT NULL,
    execution_id bigint NOT NULL,
    created_at timestamp NOT NULL,
    finished_at timestamp NOT NULL,
    function_id integer NOT NULL,
    lane_id integer NOT NULL,
    policy_id integer NOT NULL,
    attempt smallint NOT NULL,
    replays smallint NOT NULL,
    lost smallint NOT NULL,
    crashed smallint NOT NULL,
    priority smallint NOT NULL,
    state "char" NOT NULL,
    parent_id bigint,
    due_at timestamp,
    started_at timestamp,
    deadline timestamp,
    timeout interval,
    args jsonb,
    args_ref bigint,
    headers jsonb,
    dedup_key text,
    result jsonb,
    result_ref bigint,
    error jsonb
) PARTITION BY RANGE (finished_at);
COMMENT ON TABLE stent.archive IS 'private: finished tasks, one partition a day';

-- Archived rows without a partition: theirs was dropped while their execution
-- lives, or there was none when they finished.
CREATE TABLE stent.archive_kept (
    LIKE stent.archive,
    CONSTRAINT archive_kept_pkey PRIMARY KEY (id)
);
COMMENT ON TABLE stent.archive_kept IS
  'private: finished tasks without a partition';

CREATE TABLE stent.dead_letter (
    LIKE stent.archive,
    CONSTRAINT dead_letter_pkey PRIMARY KEY (id)
);
CREATE INDEX dead_letter_finished_at_idx ON stent.dead_letter (finished_at);
COMMENT ON TABLE stent.dead_letter IS 'private: failed tasks kept for replay; a task is here or in the archive, never in both';

-- One row a failed attempt; successful attempts leave none.
CREATE TABLE stent.attempt (
    task_id bigint NOT NULL,
    replay smallint NOT NULL,
    attempt smallint NOT NULL,
    started_at timestamp,
    finished_at timestamp NOT NULL,
    error jsonb NOT NULL,
    CONSTRAINT attempt_pkey PRIMARY KEY (task_id, replay, attempt)
);
COMMENT ON TABLE stent.attempt IS 'private: failed attempts and their errors';

-- Live deduplication keys; the row goes with its task.
CREATE TABLE stent.dedup (
    role text NOT NULL,
    function_id integer NOT NULL,
    key text NOT NULL,
    task_id bigint NOT NULL,
    CONSTRAINT dedup_pkey PRIMARY KEY (function_id, key, role)
);
COMMENT ON TABLE stent.dedup IS 'private: dedup keys of live tasks';

-- Remembered points of orchestrators. state: w waiting, c completed, f failed.
CREATE TABLE stent.step (
    task_id bigint NOT NULL,
    position integer NOT NULL,
    name text,
    kind text NOT NULL,
    function_id integer,
    args_digest bytea,
    state "char" NOT NULL,
    child_id bigint,
    created_at timestamp NOT NULL,
    finished_at timestamp,
    result jsonb,
    result_ref bigint,
    error jsonb,
    CONSTRAINT step_pkey PRIMARY KEY (task_id, position)
);
COMMENT ON TABLE stent.step IS 'private: remembered steps of orchestrators';

-- Execution-scoped counters, as deltas that are summed when read, and context.
CREATE TABLE stent.counter (
    id bigint NOT NULL,
    execution_id bigint NOT NULL,
    name text NOT NULL,
    delta numeric NOT NULL,
    CONSTRAINT counter_pkey PRIMARY KEY (id)
);
CREATE INDEX counter_execution_idx ON stent.counter (execution_id, name);
COMMENT ON TABLE stent.counter IS 'private: deltas of execution counters';

CREATE TABLE stent.context (
    execution_id bigint NOT NULL,
    key text NOT NULL,
    value jsonb NOT NULL,
    CONSTRAINT context_pkey PRIMARY KEY (execution_id, key)
);
COMMENT ON TABLE stent.context IS 'private: key-value context of executions';

SELECT pg_catalog.pg_extension_config_dump('stent.id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('stent.small_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('stent.function', '');
SELECT pg_catalog.pg_extension_config_dump('stent.lane', '');
SELECT pg_catalog.pg_extension_config_dump('stent.retry_policy', '');
SELECT pg_catalog.pg_extension_config_dump('stent.payload', '');
SELECT pg_catalog.pg_extension_config_dump('stent.task', '');
SELECT pg_catalog.pg_extension_config_dump('stent.ready', '');
SELECT pg_catalog.pg_extension_config_dump('stent.due', '');
SELECT pg_catalog.pg_extension_config_dump('stent.archive', '');
SELECT pg_catalog.pg_extension_config_dump('stent.archive_kept', '');
SELECT pg_catalog.pg_extension_config_dump('stent.dead_letter', '');
SELECT pg_catalog.pg_extension_config_dump('stent.attempt', '');
SELECT pg_catalog.pg_extension_config_dump('stent.dedup', '');
SELECT pg_catalog.pg_extension_config_dump('stent.step', '');
SELECT pg_catalog.pg_extension_config_dump('stent.counter', '');
SELECT pg_catalog.pg_extension_config_dump('stent.context', '');

-- Hot tables turn over completely: vacuum them by count, not by share.
ALTER TABLE stent.task SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 10000);
ALTER TABLE stent.ready SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 10000);
ALTER TABLE stent.due SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 10000);
CREATE FUNCTION stent.now() RETURNS timestamp
LANGUAGE c VOLATILE PARALLEL SAFE AS 'MODULE_PATHNAME', 'stent_now';
COMMENT ON FUNCTION stent.now() IS
  'the only clock: UTC without time zone, the moment of the call; stent.clock freezes or shifts it';

CREATE FUNCTION stent.duration(value text) RETURNS interval
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'stent_duration';
COMMENT ON FUNCTION stent.duration(text) IS
  'interval of a text such as 30s, 5m, 1h30m, 2d8h or 1.5h (units s m h d w); 22007 for anything else, 22004 for NULL';
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
    version text DEFAULT NULL)
RETURNS void
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_register';
COMMENT ON FUNCTION stent.register(text, regprocedure, text, integer, text[], integer, integer, interval, jsonb, interval, interval, boolean, interval, boolean, text) IS
  'registers a function, or replaces it: tasks dispatched before keep their queue, priority, tags, retry policy and timeout and run the new handler. handler: f(), f(jsonb) or one with named parameters; NULL means run by external workers. Names have 1 to 200 bytes, priority is -100 to 100. 42883, 42P13 or 0A000 for a handler that cannot serve';

CREATE FUNCTION stent.unregister(name text) RETURNS void
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_unregister';
COMMENT ON FUNCTION stent.unregister(text) IS
  'refuses further dispatches of the function; tasks already dispatched still run. 42704 if it is not registered';
CREATE FUNCTION stent.dispatch(
    function text,
    args jsonb DEFAULT '{}',
    queue text DEFAULT NULL,
    priority integer DEFAULT NULL,
    tags text[] DEFAULT NULL,
    delay interval DEFAULT NULL,
    run_at timestamp DEFAULT NULL,
    max_duration interval DEFAULT NULL,
    timeout interval DEFAULT NULL,
    retry jsonb DEFAULT NULL,
    dedup_key text DEFAULT NULL,
    on_duplicate text DEFAULT 'join',
    idempotency_key text DEFAULT NULL,
    concurrency_key text DEFAULT NULL,
    headers jsonb DEFAULT NULL,
    counters jsonb DEFAULT NULL,
    context jsonb DEFAULT NULL)
RETURNS bigint
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_dispatch';
COMMENT ON FUNCTION stent.dispatch(text, jsonb, text, integer, text[], interval, timestamp, interval, interval, jsonb, text, text, text, text, jsonb, jsonb, jsonb) IS
  'starts an execution of a registered function in the caller''s transaction and returns its id. Options left NULL come from the registration. dedup_key: a live task with the same (role, function, key) decides by on_duplicate: join (returns its id), replace (its args and due time, if not started: ST008), error (23505)';

CREATE FUNCTION stent.dispatch_many(
    function text,
    args jsonb[],
    queue text DEFAULT NULL,
    priority integer DEFAULT NULL,
    tags text[] DEFAULT NULL,
    delay interval DEFAULT NULL,
    run_at timestamp DEFAULT NULL,
    max_duration interval DEFAULT NULL,
    timeout interval DEFAULT NULL,
    retry jsonb DEFAULT NULL,
    headers jsonb DEFAULT NULL)
RETURNS SETOF bigint
LANGUAGE c VOLATILE ROWS 1000 AS 'MODULE_PATHNAME', 'stent_dispatch_many';
COMMENT ON FUNCTION stent.dispatch_many(text, jsonb[], text, integer, text[], interval, timestamp, interval, interval, jsonb, jsonb) IS
  'starts one execution per array element and returns the ids in order; all or none. A NULL element is 22004 and names its 0-based index';
CREATE FUNCTION stent.run(max_tasks integer DEFAULT 100, queues text[] DEFAULT NULL)
RETURNS integer
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_run';
COMMENT ON FUNCTION stent.run(integer, text[]) IS
  'runs up to max_tasks ready tasks of current_user in this transaction and returns how many; 0 means nothing is claimable. It may return early: commit and call again. 42501 where current_user is not the session user';

CREATE FUNCTION stent.execution_id() RETURNS bigint
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'stent_execution_id';
COMMENT ON FUNCTION stent.execution_id() IS 'in a handler: id of the execution; 55000 elsewhere';

CREATE FUNCTION stent.task_id() RETURNS bigint
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'stent_task_id';
COMMENT ON FUNCTION stent.task_id() IS 'in a handler: id of the task; 55000 elsewhere';

CREATE FUNCTION stent.attempt() RETURNS integer
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'stent_attempt';
COMMENT ON FUNCTION stent.attempt() IS 'in a handler: number of this attempt, from 1; 55000 elsewhere';

CREATE FUNCTION stent.headers() RETURNS jsonb
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'stent_headers';
COMMENT ON FUNCTION stent.headers() IS
  'in a handler: the headers given at dispatch, {} if none; 55000 elsewhere';
CREATE FUNCTION stent.replay(id bigint, queue text DEFAULT NULL, reset_retries boolean DEFAULT true)
RETURNS bigint
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_replay';
COMMENT ON FUNCTION stent.replay(bigint, text, boolean) IS
  'makes a dead letter a ready task again, under the same id, and returns that id. With reset_retries its attempts count from 1, else they go on counting; it has at least one. The time it was dead does not count towards max_duration. P0002 for an id that is not a dead letter of yours';

CREATE FUNCTION stent.discard(id bigint) RETURNS boolean
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_discard';
COMMENT ON FUNCTION stent.discard(bigint) IS
  'gives up a dead letter: it becomes history with state failed and goes with retention. false for a known task that is no dead letter, P0002 for an unknown id';

CREATE FUNCTION stent.replay_many(
    function text DEFAULT NULL,
    error_code text DEFAULT NULL,
    older_than interval DEFAULT NULL,
    queue text DEFAULT NULL,
    reset_retries boolean DEFAULT true,
    max_tasks integer DEFAULT 1000)
RETURNS bigint
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_replay_many';
COMMENT ON FUNCTION stent.replay_many(text, text, interval, text, boolean, integer) IS
  'replays dead letters by function, error code (SQLSTATE, 2-character class or error name) and age, oldest first; returns how many. Dead letters locked by others, and those whose dedup key is in use, are passed over';

CREATE FUNCTION stent.discard_many(
    function text DEFAULT NULL,
    error_code text DEFAULT NULL,
    older_than interval DEFAULT NULL,
    max_tasks integer DEFAULT 1000)
RETURNS bigint
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_discard_many';
COMMENT ON FUNCTION stent.discard_many(text, text, interval, integer) IS
  'discards dead letters by function, error code and age, oldest first; returns how many';

CREATE FUNCTION stent.purge_dead_letters(
    older_than interval,
    function text DEFAULT NULL,
    error_code text DEFAULT NULL)
RETURNS bigint
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_purge_dead_letters';
COMMENT ON FUNCTION stent.purge_dead_letters(interval, text, text) IS
  'removes dead letters that died longer ago than older_than, with their history of attempts; returns how many. Nothing of them is kept';
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
       f.registered_at
FROM stent.function f
JOIN stent.retry_policy p ON p.id = f.policy_id
WHERE f.registered;
COMMENT ON VIEW stent.functions IS 'registered functions and the defaults their tasks are dispatched with';

CREATE VIEW stent.tasks WITH (security_barrier) AS
SELECT t.id,
       t.execution_id,
       f.name AS function,
       l.queue,
       stent._state_name(t.state) AS state,
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
       f.handler IS NULL AS external
FROM (SELECT id, execution_id, function_id, lane_id, policy_id, state, priority, attempt, replays,
             parent_id, created_at, due_at, NULL::timestamp AS started_at,
             NULL::timestamp AS finished_at, deadline, timeout, args, args_ref,
             NULL::jsonb AS result, NULL::bigint AS result_ref, NULL::jsonb AS error,
             headers, dedup_key
      FROM stent.task
      UNION ALL
      SELECT id, execution_id, function_id, lane_id, policy_id, state, priority, attempt, replays,
             parent_id, created_at, due_at, started_at, finished_at, deadline, timeout, args, args_ref,
             result, result_ref, error, headers, dedup_key
      FROM stent.archive
      UNION ALL
      SELECT id, execution_id, function_id, lane_id, policy_id, state, priority, attempt, replays,
             parent_id, created_at, due_at, started_at, finished_at, deadline, timeout, args, args_ref,
             result, result_ref, error, headers, dedup_key
      FROM stent.dead_letter
      UNION ALL
      SELECT id, execution_id, function_id, lane_id, policy_id, state, priority, attempt, replays,
             parent_id, created_at, due_at, started_at, finished_at, deadline, timeout, args, args_ref,
             result, result_ref, error, headers, dedup_key
      FROM stent.archive_kept) t
JOIN stent.function f ON f.id = t.function_id
JOIN stent.lane l ON l.id = t.lane_id
JOIN stent.retry_policy p ON p.id = t.policy_id
WHERE l.role = current_user OR (SELECT stent._is_admin());
COMMENT ON VIEW stent.tasks IS
  'all tasks, live and finished, until retention drops them; error is the latest attempt''s while a task is to be retried';
COMMENT ON COLUMN stent.tasks.due_at IS 'when a scheduled or retried task becomes ready; NULL if it was ready at once';
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
CREATE FUNCTION stent.state_of(id bigint) RETURNS jsonb
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_state_of';
COMMENT ON FUNCTION stent.state_of(bigint) IS
  'one task as jsonb: state, times (UTC), attempts and their errors, result, error, counters, context; P0002 for an unknown id';

CREATE FUNCTION stent.result_of(id bigint) RETURNS jsonb
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_result_of';
COMMENT ON FUNCTION stent.result_of(bigint) IS
  'the result of a completed task (JSON null for a void handler). Raises the task''s own error if it failed, ST001 while it is unfinished, ST002 if it timed out, ST004 if it was cancelled, P0002 for an unknown id';

CREATE FUNCTION stent._state_of(task_id bigint, execution_id bigint) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
SELECT pg_catalog.jsonb_build_object('counters', COALESCE((
           SELECT pg_catalog.jsonb_object_agg(c.name, c.total)
           FROM (SELECT c.name, pg_catalog.sum(c.delta) AS total
                 FROM stent.counter c WHERE c.execution_id = $2 GROUP BY c.name) c), '{}'),
       'context', COALESCE((
           SELECT pg_catalog.jsonb_object_agg(x.key, x.value)
           FROM stent.context x WHERE x.execution_id = $2), '{}'),
       'attempts', COALESCE((
           SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('replay', a.replay, 'attempt', a.attempt,
                      'started_at', a.started_at, 'finished_at', a.finished_at, 'error', a.error)
                      ORDER BY a.replay, a.attempt)
           FROM stent.attempt a WHERE a.task_id = $1), '[]'))
$$;
COMMENT ON FUNCTION stent._state_of(bigint, bigint) IS 'private: what state_of adds to a row of tasks';
REVOKE ALL ON FUNCTION stent._state_of(bigint, bigint) FROM PUBLIC;
-- Partitions: stent.archive_pYYYYMMDD holds what finished that day (UTC).

CREATE FUNCTION stent._add_partitions(first date, last date) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning SET default_tablespace = '' SET default_table_access_method = 'heap' AS $$
DECLARE
    day date;
    leaf text;
BEGIN
    -- Self-conflicting, but compatible with every reader and writer of rows.
    LOCK TABLE stent.archive IN SHARE UPDATE EXCLUSIVE MODE;
    FOR day IN SELECT first + n FROM generate_series(0, last - first) n LOOP
        leaf := 'archive_p' || to_char(day, 'YYYYMMDD');
        CONTINUE WHEN to_regclass('stent.' || leaf) IS NOT NULL;
        -- Built aside and attached: CREATE TABLE ... PARTITION OF would lock
        -- the parent against readers.
        EXECUTE format('CREATE TABLE stent.%I (LIKE stent.archive INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', leaf);
        EXECUTE format('ALTER TABLE stent.%I ADD CONSTRAINT %I PRIMARY KEY (id)', leaf, leaf || '_pkey');
        EXECUTE format('ALTER TABLE stent.%I ADD CONSTRAINT %I CHECK (finished_at >= %L AND finished_at < %L)',
                       leaf, leaf || '_range', day::timestamp, (day + 1)::timestamp);
        EXECUTE format('ALTER TABLE stent.archive ATTACH PARTITION stent.%I FOR VALUES FROM (%L) TO (%L)',
                       leaf, day::timestamp, (day + 1)::timestamp);
        EXECUTE format('ALTER TABLE stent.%I DROP CONSTRAINT %I', leaf, leaf || '_range');
    END LOOP;
END
$$;
COMMENT ON FUNCTION stent._add_partitions(date, date) IS 'private: makes missing archive partitions';

CREATE FUNCTION stent._forget(ids bigint[], refs bigint[]) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DELETE FROM stent.payload WHERE id = ANY (refs);
DELETE FROM stent.attempt WHERE task_id = ANY (ids);
DELETE FROM stent.step WHERE task_id = ANY (ids);
DELETE FROM stent.counter WHERE execution_id = ANY (ids);
DELETE FROM stent.context WHERE execution_id = ANY (ids);
$$;
COMMENT ON FUNCTION stent._forget(bigint[], bigint[]) IS 'private: removes what belongs to tasks that left the archive';

-- Reads the leaf once for what its rows own elsewhere (large values, failed
-- attempts, steps, counters, context) and for what must be kept. The leaf is
-- locked against the few who may still write to it; the parent is not.
CREATE FUNCTION stent._empty_partition(leaf regclass) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    gone bigint;
    kept bigint;
BEGIN
    EXECUTE format('LOCK TABLE %s IN SHARE MODE', leaf);
    EXECUTE format('INSERT INTO stent.archive_kept SELECT a.* FROM %s a '
                   'WHERE a.id <> a.execution_id AND EXISTS (SELECT FROM stent.task t WHERE t.id = a.execution_id) '
                   'ON CONFLICT DO NOTHING', leaf);
    GET DIAGNOSTICS kept = ROW_COUNT;
    EXECUTE format('SELECT count(*) FROM %s', leaf) INTO gone;
    EXECUTE format('WITH gone AS MATERIALIZED (SELECT a.id, a.args_ref, a.result_ref FROM %s a '
                   'WHERE NOT EXISTS (SELECT FROM stent.archive_kept k WHERE k.id = a.id)), '
                   'p AS (DELETE FROM stent.payload p USING gone g WHERE p.id IN (g.args_ref, g.result_ref)), '
                   'a AS (DELETE FROM stent.attempt a USING gone g WHERE a.task_id = g.id), '
                   's AS (DELETE FROM stent.step s USING gone g WHERE s.task_id = g.id), '
                   'c AS (DELETE FROM stent.counter c USING gone g WHERE c.execution_id = g.id) '
                   'DELETE FROM stent.context c USING gone g WHERE c.execution_id = g.id', leaf);
    RETURN gone - kept;
END
$$;
COMMENT ON FUNCTION stent._empty_partition(regclass) IS 'private: removes or keeps what belongs to the rows of an archive partition';

-- Partitions that ended before the cutoff go whole. The long work comes first:
-- only the DROPs at the end lock the parent, for a moment; if somebody reads it
-- for longer than lock_timeout, all of this waits for the next call.
CREATE FUNCTION stent._retire(cutoff timestamp, max_leaves integer DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET lock_timeout = '100ms' AS $$
DECLARE
    leaf regclass;
    leaves regclass[];
    gone bigint := 0;
    rest bigint;
BEGIN
    WITH done AS (
        DELETE FROM stent.archive_kept k
        WHERE k.finished_at < cutoff
          AND NOT EXISTS (SELECT FROM stent.task t WHERE t.id = k.execution_id)
        RETURNING k.id, k.args_ref, k.result_ref)
    SELECT count(*) FROM done,
           LATERAL (SELECT stent._forget(ARRAY[done.id], ARRAY[done.args_ref, done.result_ref])) f
    INTO rest;
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
COMMENT ON FUNCTION stent._retire(timestamp, integer) IS 'private: what retention does';

CREATE FUNCTION stent._retention() RETURNS interval
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'stent_retention';
COMMENT ON FUNCTION stent._retention() IS 'private: the setting stent.retention, NULL when off';

CREATE FUNCTION stent.cleanup(older_than interval DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    cutoff timestamp;
    gone bigint;
    rest bigint;
BEGIN
    IF older_than < interval '0' THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('older_than must not be negative: %s', older_than),
            HINT = 'Give an age, such as interval ''7 days''.';
    END IF;
    cutoff := stent.now() - COALESCE(older_than, stent._retention());
    IF cutoff IS NULL THEN
        RETURN 0;
    END IF;
    -- whole days go by _retire; it comes last because it locks the archive
    WITH done AS (
        DELETE FROM stent.archive a
        WHERE a.finished_at < cutoff AND a.finished_at >= cutoff::date
          AND NOT EXISTS (SELECT FROM stent.task t WHERE t.id = a.execution_id)
        RETURNING a.id, a.args_ref, a.result_ref)
    SELECT count(*) FROM done,
           LATERAL (SELECT stent._forget(ARRAY[done.id], ARRAY[done.args_ref, done.result_ref])) f
    INTO rest;
    gone := stent._retire(cutoff);
    RETURN gone + rest;
END
$$;
COMMENT ON FUNCTION stent.cleanup(interval) IS
  'removes finished tasks older than older_than (default: stent.retention) and returns how many; live executions and dead letters stay. 22023 for a negative age';
-- Nothing is granted to PUBLIC; roles get what they need by grant_usage.

CREATE FUNCTION stent.grant_usage(role name, kind text DEFAULT 'app') RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    app constant text :=
        'now(), duration(text), run(integer, text[]), execution_id(), task_id(), attempt(), headers(), '
        'dispatch(text, jsonb, text, integer, text[], interval, timestamp, interval, interval, jsonb, text, text, text, text, jsonb, jsonb, jsonb), '
        'dispatch_many(text, jsonb[], text, integer, text[], interval, timestamp, interval, interval, jsonb, jsonb), '
        'state_of(bigint), result_of(bigint), replay(bigint, text, boolean), discard(bigint), '
        'replay_many(text, text, interval, text, boolean, integer), discard_many(text, text, interval, integer), '
        'purge_dead_letters(interval, text, text), '
        '_is_admin(), _state_name("char")';
    admin constant text :=
        'register(text, regprocedure, text, integer, text[], integer, integer, interval, jsonb, interval, interval, boolean, interval, boolean, text), '
        'unregister(text), cleanup(interval)';
BEGIN
    IF role IS NULL OR kind IS NULL THEN
        RAISE null_value_not_allowed USING MESSAGE = 'role and kind must not be null';
    END IF;
    IF kind NOT IN ('app', 'admin') THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('unknown kind of grant: "%s"', kind),
            HINT = 'Known kinds are app and admin.';
    END IF;
    EXECUTE format('GRANT USAGE ON SCHEMA stent TO %I', role);
    EXECUTE format('GRANT SELECT ON stent.functions, stent.tasks, stent.executions, stent.dead_letters TO %I', role);
    EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I',
                   regexp_replace(app, '(^|\), )', '\1stent.', 'g'), role);
    IF kind = 'admin' THEN
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I',
                       regexp_replace(admin, '(^|\), )', '\1stent.', 'g'), role);
    END IF;
END
$$;
COMMENT ON FUNCTION stent.grant_usage(name, text) IS
  'grants a role what it needs: app (dispatch, run, results, own dead letters) or admin (register, all rows, cleanup). 42704 for an unknown role, 22023 for an unknown kind';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA stent FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA stent FROM PUBLIC;
REVOKE ALL ON SCHEMA stent FROM PUBLIC;
