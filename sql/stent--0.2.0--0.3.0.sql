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
ALTER TABLE stent.due ADD COLUMN line bigint;
ALTER TABLE stent.archive ADD COLUMN concurrency_key text;
ALTER TABLE stent.archive_kept ADD COLUMN concurrency_key text;
ALTER TABLE stent.dead_letter ADD COLUMN concurrency_key text;

DROP FUNCTION stent.register(text, regprocedure, text, integer, text[], integer, integer, interval, jsonb, interval, interval, boolean, interval, boolean, text);

-- Tasks with a concurrency key, from the moment they could run until they end, by
-- age. line is a hash of function and key; keys that share one share their turns.
-- blocked: too many of the line are older; then this row is the task's lock, as the
-- ready entry is for the others. bucket is that of a blocked task. extension/line.c.
CREATE TABLE stent.line (
    line bigint NOT NULL,
    position bigint NOT NULL,
    task_id bigint NOT NULL,
    blocked boolean NOT NULL,
    bucket bigint NOT NULL,
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
    lane_id integer NOT NULL,
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

ALTER TABLE stent.progress_entry SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
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
  'registers a function, or replaces it: tasks dispatched before keep their queue, priority, tags, retry policy and timeout and run the new handler under the new limits. handler: f(), f(jsonb) or one with named parameters; NULL means run by external workers. Names have 1 to 200 bytes, priority is -100 to 100. max_concurrent: at most so many run at the same time, in all sessions. rate_limit: at most so many start in rate_interval (default 1 s), and rate_burst (default rate_limit) at once after a pause. max_per_key: at most so many of one concurrency_key run at the same time. idempotent: a call with the same arguments is made once and its task remembered for retention; cached: the same for cache_ttl after it completed; another version is another call. 42883 or 42P13 for a handler that cannot serve; 22023 for a limit that is not positive, a rate_interval that is not 1 ms to 366 days or that stands without rate_limit, cache_ttl without cached; 54000 for more than 16 tags';

COMMENT ON FUNCTION stent.dispatch(text, jsonb, text, integer, text[], interval, timestamp, interval, interval, jsonb, text, text, text, text, jsonb, jsonb, jsonb) IS
  'starts an execution of a registered function in the caller''s transaction and returns its id. Options left NULL come from the registration. dedup_key: a live task with the same (role, function, key) decides by on_duplicate: join (returns its id), replace (its args and due time, if not started: ST008), error (23505). A call with an idempotency_key (1 to 1000 bytes, else 22023), or of an idempotent or cached function, that a task of the same role is making or has made returns that task''s id and ignores all other options; a failed, cancelled, timed out or forgotten task does not serve. Above READ COMMITTED, two of them at once: 40001. concurrency_key (1 to 1000 bytes, else 22023): of the tasks of a function and key no more than its max_per_key run at a time, in age order; the others are blocked';

COMMENT ON FUNCTION stent.dispatch_many(text, jsonb[], text, integer, text[], interval, timestamp, interval, interval, jsonb, jsonb) IS
  'starts one execution per array element and returns the ids in order; all or none. A NULL element is 22004 and names its 0-based index. Elements of an idempotent or cached function that a task is making or has made give that task''s id';

CREATE FUNCTION stent.canonical("json" jsonb) RETURNS text
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'stent_canonical';

COMMENT ON FUNCTION stent.canonical(jsonb) IS
  'the one text for all spellings of a JSON value, which idempotency keys are hashes of: no blanks, keys sorted by their bytes in UTF-8, plain decimal numbers, the shortest escapes. 22004 for NULL';

CREATE FUNCTION stent.spawn(
    function text,
    args jsonb DEFAULT '{}',
    queue text DEFAULT NULL,
    priority integer DEFAULT NULL,
    tags text[] DEFAULT NULL,
    delay interval DEFAULT NULL,
    run_at timestamp DEFAULT NULL,
    timeout interval DEFAULT NULL,
    retry jsonb DEFAULT NULL,
    concurrency_key text DEFAULT NULL,
    headers jsonb DEFAULT NULL)
RETURNS bigint
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_spawn';

COMMENT ON FUNCTION stent.spawn(text, jsonb, text, integer, text[], interval, timestamp, interval, jsonb, text, jsonb) IS
  'in a handler: makes a child of its task, in the same execution, and returns its id. The child begins to exist with the commit of the attempt; a failed attempt leaves none. Options left NULL come from the registration; the execution''s max_duration bounds the child as well. 55000 outside a handler';

COMMENT ON FUNCTION stent.run(integer, text[]) IS
  'runs up to max_tasks ready tasks of current_user in this transaction and returns how many, or 1 where it ended none but gave tasks back or went through many due entries; 0 means nothing is claimable. It may return early: commit and call again. 42501 where current_user is not the session user';

-- What a handler tells of its execution. All of it is written with the task's completion.

CREATE FUNCTION stent.counter_add(name text, delta numeric) RETURNS void
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_counter_add';

COMMENT ON FUNCTION stent.counter_add(text, numeric) IS
  'in a handler: adds to a counter of the execution when the attempt commits; a failed attempt adds nothing. Waits for nobody. 22004 for NULL, 22023 for a name without 1 to 200 bytes, NaN or infinity, 22003 for more than 1000 digits, 55000 outside a handler';

CREATE FUNCTION stent.counter(name text) RETURNS numeric
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_counter';

COMMENT ON FUNCTION stent.counter(text) IS
  'in a handler: a counter of the execution: what is committed and what this transaction adds; 0 if nobody has added to it. 22004 for NULL, 22023 for a name without 1 to 200 bytes, 55000 outside a handler';

CREATE FUNCTION stent.context_set(key text, value jsonb, strategy text DEFAULT 'overwrite') RETURNS void
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_context_set';

COMMENT ON FUNCTION stent.context_set(text, jsonb, text) IS
  'in a handler: sets a key of the execution''s context when the attempt commits. strategy: overwrite; preserve (only if the key is absent); smart (null, "", [] and {} do not displace a value). An equal value is not written. 22004 for NULL, 22023 for an unknown strategy or a key without 1 to 200 bytes, 54000 for a value over stent.max_payload_size, 55000 outside a handler';

CREATE FUNCTION stent.context_get(key text) RETURNS jsonb
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_context_get';

COMMENT ON FUNCTION stent.context_get(text) IS
  'in a handler: a key of the execution''s context as committed, with what this transaction sets; NULL if absent. 22004 for NULL, 22023 for a key without 1 to 200 bytes, 55000 outside a handler';

CREATE FUNCTION stent.progress(step text, detail jsonb DEFAULT NULL) RETURNS void
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_progress';

COMMENT ON FUNCTION stent.progress(text, jsonb) IS
  'in a handler: an entry of the view stent.progress when the attempt commits; with preload stent.running shows the step at once. Of one attempt 100 entries are kept (the middle is left out), of an execution the latest 1000. 22004 for a NULL step, 22023 for a step without 1 to 200 bytes, 54000 for a detail over 10000 bytes, 55000 outside a handler';

-- Holding tasks back, and moving those that wait.

CREATE FUNCTION stent.pause(queue text DEFAULT NULL, function text DEFAULT NULL) RETURNS boolean
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_pause';

COMMENT ON FUNCTION stent.pause(text, text) IS
  'no task of the queue, of the function, of the function in that queue, or, with nothing given, no task at all is started any more; false if that was paused already. In force for claims that begin after the commit; running tasks end by themselves, dispatch goes on. 42704 for an unknown function, 22023 for a queue name that is too long or empty';

CREATE FUNCTION stent.resume(queue text DEFAULT NULL, function text DEFAULT NULL) RETURNS boolean
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_resume';

COMMENT ON FUNCTION stent.resume(text, text) IS
  'lifts the pause that the same arguments made, and no other: what a task is still held by tells why(); false if there was none. 42704 for an unknown function';

CREATE FUNCTION stent.reschedule(
    id bigint,
    queue text DEFAULT NULL,
    priority integer DEFAULT NULL,
    delay interval DEFAULT NULL,
    run_at timestamp DEFAULT NULL,
    tags text[] DEFAULT NULL)
RETURNS boolean
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_reschedule';

COMMENT ON FUNCTION stent.reschedule(bigint, text, integer, interval, timestamp, text[]) IS
  'gives a queued task, which may wait for a retry, another queue, priority, tag set or time (UTC); false if it is running, taken or finished. A ready task that stays ready keeps its age; delay 0 or a run_at that has passed makes a scheduled one ready. The deadline stays. An admin may move anybody''s. P0002 for an unknown id, 22004 for NULL, 22023 for delay with run_at, a negative delay, or nothing to change, 54000 for more than 16 tags';

-- What holds a task of this lane back.
CREATE FUNCTION stent._pauses(queue text, function_id integer) RETURNS SETOF stent.pause
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
SELECT p.* FROM stent.pause p WHERE p.queue IN ('', $1) AND p.function_id IN (0, $2)
ORDER BY p.queue, p.function_id
$$;

COMMENT ON FUNCTION stent._pauses(text, integer) IS 'private: the pauses that hold a lane';

CREATE FUNCTION stent._pause_text(pause stent.pause) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET datestyle = 'ISO, YMD' AS $$
SELECT format('%s is paused since %s UTC by %s: stent.resume(%s) lifts that',
              CASE WHEN ($1).queue = '' AND ($1).function_id = 0 THEN 'everything'
                   ELSE concat_ws(' in ', 'function "' || f.name || '"', CASE WHEN ($1).queue <> '' THEN format('queue "%s"', ($1).queue) END) END,
              date_trunc('second', ($1).paused_at), ($1).paused_by,
              concat_ws(', ', CASE WHEN ($1).queue <> '' THEN quote_literal(($1).queue) END, 'function => ' || quote_literal(f.name)))
FROM (SELECT) one LEFT JOIN stent.function f ON f.id = ($1).function_id
$$;

COMMENT ON FUNCTION stent._pause_text(stent.pause) IS 'private: a pause in words';

CREATE FUNCTION stent.shared_set(key text, value jsonb) RETURNS boolean
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_shared_set';

COMMENT ON FUNCTION stent.shared_set(text, jsonb) IS
  'sets a value that all sessions and tasks of the database share, whatever it was; commits with the caller; true. SQL NULL is JSON null. 22004 for a NULL key, 22023 for a key that has not 1 to 1000 bytes, 54000 for a value over stent.max_payload_size';

CREATE FUNCTION stent.shared_get(key text) RETURNS jsonb
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_shared_get';

COMMENT ON FUNCTION stent.shared_get(text) IS
  'a shared value, as committed last or as this transaction left it; P0002 if there is none, 22004 for a NULL key';

CREATE FUNCTION stent.shared_has(key text) RETURNS boolean
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_shared_has';

COMMENT ON FUNCTION stent.shared_has(text) IS 'whether there is such a shared value; 22004 for a NULL key';

CREATE FUNCTION stent.shared_delete(key text) RETURNS boolean
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_shared_delete';

COMMENT ON FUNCTION stent.shared_delete(text) IS
  'removes a shared value; false if there is none; 22004 for a NULL key';

CREATE FUNCTION stent.shared_add_int(key text, delta bigint) RETURNS bigint
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_shared_add_int';

COMMENT ON FUNCTION stent.shared_add_int(text, bigint) IS
  'adds to a shared value that is an integer and returns the new total; waits for transactions that changed it before. P0002 if there is none, 42804 if it is no integer, 22003 beyond bigint, 22004 for NULL, 40001 under REPEATABLE READ if it changed meanwhile';

CREATE FUNCTION stent.set_task_pool_size(size integer) RETURNS integer
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_set_task_pool_size';

COMMENT ON FUNCTION stent.set_task_pool_size(integer) IS
  'sets stent.task_pool_size of this session, as SET would, and returns what it was: how many tasks an await or a map has in flight unless told otherwise. 22004 for NULL, 22023 unless positive';

CREATE FUNCTION stent.get_task_pool_size() RETURNS integer
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_get_task_pool_size';

COMMENT ON FUNCTION stent.get_task_pool_size() IS 'the setting stent.task_pool_size of this session';

CREATE FUNCTION stent.signal(execution bigint, name text, payload jsonb DEFAULT 'null') RETURNS void
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_signal';

COMMENT ON FUNCTION stent.signal(bigint, text, jsonb) IS
  'sends a named value to a live execution, in the caller''s transaction; the latest value of a name wins. P0002 for an unknown execution or a task that is none, ST011 if it has finished, 22004 for NULL execution or name, 22023 for a name that has not 1 to 200 bytes, 54000 for a payload over stent.max_payload_size';

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
       f.idempotent,
       EXISTS (SELECT FROM stent.pause h WHERE h.queue IN ('', f.queue) AND h.function_id IN (0, f.id)) AS paused
FROM stent.function f
JOIN stent.retry_policy p ON p.id = f.policy_id
WHERE f.registered;

COMMENT ON COLUMN stent.functions.paused IS 'in its own queue none of its tasks is started';

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
      JOIN stent.attempt a ON a.task_id = r.id) e
JOIN stent.lane l ON l.id = e.lane_id
JOIN stent.function f ON f.id = l.function_id
WHERE l.role = current_user OR (SELECT stent._is_admin());

COMMENT ON VIEW stent.progress IS
  'what happened in an execution, in the order of at, id: what handlers told with stent.progress(), and, of its root task, dispatch, failed attempts and end';

COMMENT ON COLUMN stent.progress.id IS 'orders entries of one moment; NULL, which sorts last, for the end';

COMMENT ON COLUMN stent.progress.step IS 'as the handler said; dispatch, attempt <n> or end for the engine''s own; ... where entries were left out';

COMMENT ON COLUMN stent.progress.status IS 'progress for entries of handlers; dispatched; failed for an attempt; the state for the end';

-- What happens now, and how much of it. The functions show a caller what the views
-- show it: they are called with its rights.

CREATE FUNCTION stent._running_now(
    OUT task_id bigint, OUT execution_id bigint, OUT pid integer, OUT started_at timestamp,
    OUT attempt integer, OUT executor boolean, OUT lane_id integer, OUT function_id integer, OUT step text)
RETURNS SETOF record
LANGUAGE c STABLE PARALLEL SAFE ROWS 10 AS 'MODULE_PATHNAME', 'stent_running';

COMMENT ON FUNCTION stent._running_now() IS 'private: tasks whose handlers run now, from shared memory';

CREATE FUNCTION stent._board_now(
    OUT role oid, OUT lane_id integer, OUT priority integer, OUT ready bigint, OUT scheduled bigint, OUT exact boolean, OUT blocked bigint)
RETURNS SETOF record
LANGUAGE c STABLE PARALLEL SAFE ROWS 100 AS 'MODULE_PATHNAME', 'stent_board';

COMMENT ON FUNCTION stent._board_now() IS
  'private: how many tasks wait, by lane and priority; a row without lane: there may be more';

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
       l.tags
FROM stent._running_now() r
JOIN stent.lane l ON l.id = r.lane_id
JOIN stent.function f ON f.id = r.function_id
LEFT JOIN stent.task t ON t.id = r.task_id
WHERE l.role = current_user OR (SELECT stent._is_admin());

COMMENT ON COLUMN stent.running.step IS 'the latest that its handler told with stent.progress(), cut at 63 bytes';

CREATE OR REPLACE VIEW stent._lanes WITH (security_barrier) AS
WITH board AS MATERIALIZED (SELECT b.lane_id, b.ready, b.scheduled, b.blocked, b.exact FROM stent._board_now() b)
SELECT l.id,
       f.name AS function,
       l.role,
       l.queue,
       f.registered,
       greatest(COALESCE(b.ready, 0) - COALESCE(r.running, 0), 0) AS ready,
       COALESCE(b.scheduled, 0) AS scheduled,
       COALESCE(r.running, 0) AS running,
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
LEFT JOIN (SELECT t.lane_id, sum(t.completed) AS completed, sum(t.failed) AS failed, sum(t.timed_out) AS timed_out,
                  sum(t.cancelled) AS cancelled, sum(t.retried) AS retried, sum(t.dead) AS dead,
                  sum(t.run_us) AS run_us, max(t.last_at) AS last_at
           FROM stent.tally t GROUP BY t.lane_id) t ON t.lane_id = l.id
WHERE l.role = current_user OR (SELECT stent._is_admin());

CREATE OR REPLACE VIEW stent.queues WITH (security_barrier) AS
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
       sum(l.blocked)::bigint AS blocked
FROM stent._lanes l
LEFT JOIN (SELECT o.lane_id, min(o.ready_at) AS ready_at FROM stent._oldest_ready() o GROUP BY o.lane_id) o
       ON o.lane_id = l.id
GROUP BY l.queue
HAVING bool_or(l.registered) OR sum(l.ready + l.scheduled + l.blocked + l.running + l.dead) > 0;

COMMENT ON COLUMN stent.queues.blocked IS 'behind older tasks of their concurrency key';

COMMENT ON COLUMN stent.queues.exact IS 'false: at least so many ready, scheduled and blocked ones';

COMMENT ON COLUMN stent.queues.paused IS 'no task of the queue is started; single functions in it may be paused besides';

CREATE OR REPLACE VIEW stent.stats WITH (security_barrier) AS
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
       sum(l.blocked)::bigint AS blocked
FROM stent._lanes l
GROUP BY l.function, l.role, l.queue
HAVING bool_or(l.registered)
    OR sum(l.ready + l.scheduled + l.blocked + l.running + l.completed + l.failed + l.timed_out + l.cancelled + l.retried) > 0;

COMMENT ON FUNCTION stent.state_of(bigint) IS
  'one task as jsonb: state, times (UTC), attempts and their errors, result, error, counters, context, signals, how many children of it and tasks of its whole execution live; P0002 for an unknown id';

COMMENT ON FUNCTION stent.cancel(bigint) IS
  'ends a task that has not finished, and all that live below it, whoever dispatched those: true if this call ended any, false if all had finished. A running handler is interrupted and its effects are undone (with preload; else cancel waits for it). Final once committed; returns when it is decided, so it may wait for a transaction that holds the task. An admin may cancel anybody''s. P0002 for an unknown id, 55000 for the task whose handler calls it, and for one above that';

CREATE OR REPLACE FUNCTION stent._state_of(task_id bigint, execution_id bigint) RETURNS jsonb
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
           FROM stent.attempt a WHERE a.task_id = $1), '[]'),
       'signals', COALESCE((
           SELECT pg_catalog.jsonb_object_agg(s.name, pg_catalog.jsonb_build_object('payload', s.payload, 'sent_at', s.sent_at))
           FROM stent.signal s WHERE s.execution_id = $2), '{}'),
       'live_children', (SELECT pg_catalog.count(*) FROM stent.child k WHERE k.execution_id = $2 AND k.parent_id = $1),
       'live_tasks', (SELECT pg_catalog.count(*) FROM stent.child k WHERE k.execution_id = $2)
           + (SELECT pg_catalog.count(*) FROM stent.task t WHERE t.id = $2))
$$;

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
        problems := problems || stent._horizon_problem(horizon, server.dead_entries);
    END IF;
    problems := array_remove(problems, NULL);
    -- somebody wanted that: it is told, and no problem
    SELECT notes || COALESCE(array_agg(stent._pause_text(p) ORDER BY p.queue, f.name), '{}'),
           COALESCE(jsonb_agg(jsonb_build_object('queue', nullif(p.queue, ''), 'function', f.name,
               'since', p.paused_at, 'by', p.paused_by) ORDER BY p.queue, f.name), '[]')
    INTO notes, paused
    FROM stent.pause p LEFT JOIN stent.function f ON f.id = p.function_id;

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
        'oldest_claimable', CASE WHEN oldest.task_id IS NOT NULL THEN jsonb_build_object(
            'id', oldest.task_id, 'function', oldest.function, 'queue', oldest.queue, 'role', oldest.role,
            'external', oldest.external, 'age_seconds', greatest(oldest.age, 0)) END,
        'horizon', horizon);
END
$$;

COMMENT ON FUNCTION stent.health() IS
  'whether tasks run here by themselves: ok, problems (sentences, most severe first), notes (what is paused), versions, database, processes, the oldest claimable task, and who holds the vacuum horizon back';

CREATE FUNCTION stent._next_start(function_id integer) RETURNS timestamp
LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'stent_next_start';

COMMENT ON FUNCTION stent._next_start(integer) IS 'private: when the rate limit lets a task of the function start; NULL: now';

-- The places of a function are locks that extension/place.c takes: the function's id,
-- the number of the place, and the class 0x5700. Which no limit allows any more do not count.
CREATE FUNCTION stent._limit_reached(function_id integer) RETURNS text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET datestyle = 'ISO, YMD' AS $$
DECLARE
    f record;
    taken bigint;
    holders text;
    next_start timestamp;
BEGIN
    SELECT * INTO f FROM stent.function v WHERE v.id = function_id;
    IF f.max_concurrent IS NOT NULL THEN
        SELECT count(*),
               string_agg(CASE WHEN l.pid IS NULL THEN 'a prepared transaction' ELSE 'pid ' || l.pid END, ', ' ORDER BY l.pid)
        INTO taken, holders
        FROM pg_locks l
        WHERE l.locktype = 'advisory' AND l.objsubid = 22272 AND l.granted
          AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
          AND l.classid = function_id::oid AND l.objid::bigint < f.max_concurrent;
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

COMMENT ON FUNCTION stent._limit_reached(integer) IS 'private: which limit keeps tasks of the function from starting; NULL: none';

CREATE FUNCTION stent._line(function_id integer, concurrency_key text) RETURNS bigint
LANGUAGE c IMMUTABLE STRICT AS 'MODULE_PATHNAME', 'stent_line';

COMMENT ON FUNCTION stent._line(integer, text) IS 'private: the line of a concurrency key';

-- Why a blocked task is so: the first of those before it, which has to end.
CREATE FUNCTION stent._why_blocked(id bigint) RETURNS text
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
    SELECT t.id, t.state, t.due_at, w.role, r.pid, f.handler IS NULL AS external,
           (SELECT string_agg(stent._pause_text(p), '; ' ORDER BY p.queue, p.function_id)
            FROM stent._pauses(w.queue, t.function_id) p) AS paused INTO first
    FROM (SELECT l.task_id, l.position FROM stent.line l WHERE l.line = me.line AND l.position < me.position ORDER BY l.position LIMIT 1) o
    JOIN stent.task t ON t.id = o.task_id
    JOIN stent.lane w ON w.id = t.lane_id
    JOIN stent.function f ON f.id = t.function_id
    LEFT JOIN stent._running_now() r ON r.task_id = t.id;
    IF older < me.max_per_key OR first.id IS NULL THEN
        RETURN format('It is blocked, but it is its turn by concurrency key "%s": it becomes ready at any moment.', me.concurrency_key);
    END IF;
    RETURN format('It is blocked: %s of concurrency key "%s" stand%s before it%s; %s.',
                  CASE older WHEN 1 THEN '1 older task' WHEN 10001 THEN 'over 10000 older tasks' ELSE older || ' older tasks' END,
                  me.concurrency_key, CASE older WHEN 1 THEN 's' ELSE '' END,
                  CASE me.max_per_key WHEN 1 THEN '' ELSE format(', and %s of them may run at a time', me.max_per_key) END,
                  format('task %s, the first, ', first.id) ||
                  CASE WHEN first.pid IS NOT NULL THEN format('is running by pid %s', first.pid)
                       WHEN first.state = 's' THEN format('waits for its retry at %s UTC', date_trunc('second', first.due_at))
                       WHEN first.state = 'b' THEN 'becomes ready at any moment'
                       ELSE 'is ready' || COALESCE(', but ' || COALESCE(first.paused,
                           CASE WHEN first.external THEN 'waits for a worker to claim it' ELSE stent._role_not_served(first.role) END), '') END);
END
$$;

COMMENT ON FUNCTION stent._why_blocked(bigint) IS 'private: which tasks of its concurrency key a blocked task waits for';

CREATE OR REPLACE FUNCTION stent._why(id bigint) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET datestyle = 'ISO, YMD' AS $$
DECLARE
    t record;
    running record;
    entry record;
    server record;
    mine record;
    standing text;
    canceller constant integer := stent._canceller(id);
    reason text;
BEGIN
    SELECT v.*, f.id AS function_id, f.handler, COALESCE(k.crashed, 0) AS crashed INTO t
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
    IF t.handler IS NULL THEN
        RETURN format('It is ready, but function "%s" is external: it waits for a worker to claim it.', t.function);
    END IF;
    reason := stent._role_not_served(t.role);
    IF to_regprocedure(t.handler) IS NULL THEN
        reason := concat_ws('; ', reason, format('the handler %s of function "%s" does not exist any more: an attempt would fail',
                                                 t.handler, t.function));
    END IF;
    SELECT * INTO entry FROM stent._ready_entry(id);
    IF entry.taken_by IS NOT NULL THEN
        RETURN format('It was taken by %s, which has not committed yet.', stent._transaction_name(entry.taken_by));
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
DELETE FROM stent.step WHERE task_id = ANY (ids);
DELETE FROM stent.counter WHERE execution_id = ANY (ids);
DELETE FROM stent.context WHERE execution_id = ANY (ids);
DELETE FROM stent.signal WHERE execution_id = ANY (ids);
DELETE FROM stent.memo WHERE task_id = ANY (ids);
DELETE FROM stent.progress_entry WHERE execution_id = ANY (ids);
$$;

-- Reads the leaf once for what its rows own elsewhere (large values, failed
-- attempts, steps, signals, counters, context, progress, memos) and for what must be kept. The leaf is
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

CREATE OR REPLACE FUNCTION stent.cleanup(older_than interval DEFAULT NULL) RETURNS bigint
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
          AND NOT EXISTS (SELECT FROM stent.memo m WHERE m.task_id = a.id AND a.state = 'c'
                                                     AND a.finished_at + m.ttl > stent.now())
          AND NOT EXISTS (SELECT FROM stent.child c WHERE c.execution_id = a.execution_id)
          AND NOT EXISTS (SELECT FROM stent.dead_letter d WHERE d.execution_id = a.id)
        RETURNING a.id, a.args_ref, a.result_ref)
    SELECT count(*) FROM done,
           LATERAL (SELECT stent._forget(ARRAY[done.id], ARRAY[done.args_ref, done.result_ref])) f
    INTO rest;
    gone := stent._retire(cutoff);
    RETURN gone + rest;
END
$$;

COMMENT ON FUNCTION stent.cleanup(interval) IS
  'removes finished tasks older than older_than (default: stent.retention) and returns how many; live executions, dead letters and cached results whose time has not run out stay. 22023 for a negative age';

-- One row in place of ten or more of a counter. Looked for among the counters that
-- were added to lately, so that the cost does not grow with history. The newest row
-- is updated to the sum, rather than replaced: retention that deletes it meanwhile
-- waits and then finds it. Rows that another fold holds are left to it.
CREATE FUNCTION stent._fold_counters() RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
WITH lately AS MATERIALIZED (
    SELECT DISTINCT n.execution_id, n.name
    FROM (SELECT c.execution_id, c.name FROM stent.counter c ORDER BY c.id DESC LIMIT 10000) n),
many AS MATERIALIZED (
    SELECT l.execution_id, l.name FROM lately l
    WHERE 10 <= (SELECT count(*) FROM (SELECT FROM stent.counter c
                 WHERE c.execution_id = l.execution_id AND c.name = l.name LIMIT 10) ten)),
mine AS MATERIALIZED (
    SELECT c.id, c.execution_id, c.name, c.delta
    FROM many m JOIN stent.counter c ON c.execution_id = m.execution_id AND c.name = m.name
    FOR UPDATE OF c SKIP LOCKED),
folded AS MATERIALIZED (
    SELECT m.id, max(m.id) OVER same AS newest, sum(m.delta) OVER same AS total
    FROM mine m WINDOW same AS (PARTITION BY m.execution_id, m.name)),
gone AS (
    DELETE FROM stent.counter c USING folded f WHERE c.id = f.id AND f.id <> f.newest)
UPDATE stent.counter c SET delta = f.total FROM folded f
WHERE c.id = f.id AND f.id = f.newest AND c.delta IS DISTINCT FROM f.total
$$;

COMMENT ON FUNCTION stent._fold_counters() IS 'private: makes one row of a counter that has many';

COMMENT ON FUNCTION stent.start(integer) IS
  'with preload: serves this database until the server restarts, whatever stent.databases says, and ends stop(); 1 if that is a change, admin grant needed (42501), executors is not used. Without preload: starts 1 to 64 executors of the session user, which look for work once a second; returns how many; 22023 for another number, 53400 if no background worker slot is free';

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
        '_is_admin(), _state_name("char"), _is_running(bigint), _running_now(), _board_now(), _oldest_ready()';
    admin constant text :=
        'register(text, regprocedure, text, integer, text[], integer, integer, interval, jsonb, interval, interval, boolean, interval, boolean, text, integer, integer), '
        'unregister(text), pause(text, text), resume(text, text), cleanup(interval), adopt(), health()';
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
                       'stent.running, stent.queues, stent.stats, stent.progress TO %I', role);
    END IF;
    EXECUTE format('GRANT EXECUTE ON ROUTINE %s TO %I',
                   regexp_replace(functions, '(^|\), )', '\1stent.', 'g'), role);
END
$$;

-- By name: REVOKE ... ON ALL would take what was granted to roles for the extension's own,
-- and dumps would leave it out.
REVOKE ALL ON ROUTINE
    stent.register(text, regprocedure, text, integer, text[], integer, integer, interval, jsonb, interval, interval, boolean, interval, boolean, text, integer, integer),
    stent.canonical(jsonb),
    stent.spawn(text, jsonb, text, integer, text[], interval, timestamp, interval, jsonb, text, jsonb),
    stent.counter_add(text, numeric),
    stent.counter(text),
    stent.context_set(text, jsonb, text),
    stent.context_get(text),
    stent.progress(text, jsonb),
    stent.pause(text, text),
    stent.resume(text, text),
    stent.reschedule(bigint, text, integer, interval, timestamp, text[]),
    stent._pauses(text, integer),
    stent._pause_text(stent.pause),
    stent.shared_set(text, jsonb),
    stent.shared_get(text),
    stent.shared_has(text),
    stent.shared_delete(text),
    stent.shared_add_int(text, bigint),
    stent.set_task_pool_size(integer),
    stent.get_task_pool_size(),
    stent.signal(bigint, text, jsonb),
    stent._running_now(),
    stent._board_now(),
    stent._next_start(integer),
    stent._limit_reached(integer),
    stent._line(integer, text),
    stent._why_blocked(bigint),
    stent._fold_counters()
FROM PUBLIC;

REVOKE ALL ON TABLE stent.line, stent.rate, stent.pause, stent.child, stent.memo, stent.signal, stent.progress_entry, stent.shared_value, stent._roots, stent.progress FROM PUBLIC;

-- They return one column more under other names.
DROP FUNCTION stent._running();
DROP FUNCTION stent._board();

-- Roles that hold a grant get what it means now.
SELECT stent._regrant();

SELECT stent._installed();
