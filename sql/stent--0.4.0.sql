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
    max_concurrent integer,
    max_per_key integer NOT NULL DEFAULT 1,
    rate_limit integer,
    rate_interval interval,
    rate_burst integer,
    cached boolean NOT NULL DEFAULT false,
    cache_ttl interval,
    idempotent boolean NOT NULL DEFAULT false,
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
    concurrency_key text,
    CONSTRAINT task_pkey PRIMARY KEY (id),
    CONSTRAINT task_priority_in_range CHECK (priority BETWEEN -100 AND 100),
    CONSTRAINT task_state_is_live CHECK (state IN ('s', 'b', 'r', 'u', 'w'))
);
COMMENT ON TABLE stent.task IS 'private: live tasks';

-- One entry per claimable task. bucket packs (role, priority, lane), see
-- extension/ready.c. Deleting the entry is claiming the task. task_tid is where the
-- task row was when the entry was written: a hint, checked against the id. line is
-- that of a task with a concurrency key, see stent.line.
CREATE TABLE stent.ready (
    bucket bigint NOT NULL,
    position bigint NOT NULL,
    task_id bigint NOT NULL,
    task_tid tid NOT NULL,
    line bigint,
    CONSTRAINT ready_pkey PRIMARY KEY (bucket, position)
);
COMMENT ON TABLE stent.ready IS 'private: claimable tasks by role, priority, lane and age';

-- What happens at a time. kind: r becomes ready, d reaches its deadline, k somebody
-- has to look at a line (then task_id is just a number), l a lease may have expired (then
-- task_id is its token). role_key is the role part of the bucket: a role's entries never
-- stand before another's.
CREATE TABLE stent.due (
    role_key integer NOT NULL,
    due_at timestamp NOT NULL,
    task_id bigint NOT NULL,
    kind "char" NOT NULL,
    bucket bigint NOT NULL,
    line bigint,
    CONSTRAINT due_pkey PRIMARY KEY (role_key, due_at, task_id, kind)
);
COMMENT ON TABLE stent.due IS 'private: delays, retries and deadlines by time';

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
    error jsonb,
    concurrency_key text
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

-- Who runs this database's tasks: the server with this system identifier, in the
-- data directory with this mark, in the database with this oid. The name sorts
-- before archive and so before all others: a restore (without --jobs) loads it
-- first, and nothing runs where a dump is being loaded. database_id is an oid, but
-- as a number: neither a dump nor pg_upgrade may translate it.
CREATE TABLE stent.adopted (
    system_identifier text NOT NULL,
    mark text NOT NULL,
    database_id bigint NOT NULL,
    adopted_at timestamp NOT NULL,
    CONSTRAINT adopted_pkey PRIMARY KEY (system_identifier, mark, database_id)
);
COMMENT ON TABLE stent.adopted IS 'private: the one server that runs the tasks of this database';

SELECT pg_catalog.pg_extension_config_dump('stent.adopted', '');
-- How many tasks of a lane ended, and how: rows that each commit appends, folded
-- into one a lane now and then; the sum counts. Totals count events: a dead letter
-- that is replayed and fails again has failed twice. dead is the change of the number
-- of dead letters. run_us is the time of handlers that came to their own end, well
-- or not. last_at is null where nothing ended.
CREATE TABLE stent.tally (
    id bigint NOT NULL,
    lane_id integer NOT NULL,
    completed bigint NOT NULL,
    failed bigint NOT NULL,
    timed_out bigint NOT NULL,
    cancelled bigint NOT NULL,
    retried bigint NOT NULL,
    dead bigint NOT NULL,
    run_us bigint NOT NULL,
    last_at timestamp,
    CONSTRAINT tally_pkey PRIMARY KEY (id)
);
COMMENT ON TABLE stent.tally IS 'private: totals of finished tasks by lane, to be summed';

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
SELECT pg_catalog.pg_extension_config_dump('stent.tally', '');
SELECT pg_catalog.pg_extension_config_dump('stent.line', '');
SELECT pg_catalog.pg_extension_config_dump('stent.rate', '');
SELECT pg_catalog.pg_extension_config_dump('stent.pause', '');
SELECT pg_catalog.pg_extension_config_dump('stent.child', '');
SELECT pg_catalog.pg_extension_config_dump('stent.memo', '');
SELECT pg_catalog.pg_extension_config_dump('stent.signal', '');
SELECT pg_catalog.pg_extension_config_dump('stent.progress_entry', '');
SELECT pg_catalog.pg_extension_config_dump('stent.shared_value', '');
SELECT pg_catalog.pg_extension_config_dump('stent.lease', '');
SELECT pg_catalog.pg_extension_config_dump('stent.place', '');
SELECT pg_catalog.pg_extension_config_dump('stent.worker', '');
SELECT pg_catalog.pg_extension_config_dump('stent.output', '');

-- Hot tables turn over completely: vacuum them by count, not by share.
ALTER TABLE stent.task SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 10000);
ALTER TABLE stent.ready SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 10000);
ALTER TABLE stent.due SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 10000);
ALTER TABLE stent.line SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 10000);
ALTER TABLE stent.child SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 10000);
ALTER TABLE stent.counter SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0);
ALTER TABLE stent.progress_entry SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0);
ALTER TABLE stent.tally SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0);
ALTER TABLE stent.lease SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0);
ALTER TABLE stent.place SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0);
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
    version text DEFAULT NULL,
    rate_burst integer DEFAULT NULL,
    max_per_key integer DEFAULT 1)
RETURNS void
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_register';
COMMENT ON FUNCTION stent.register(text, regprocedure, text, integer, text[], integer, integer, interval, jsonb, interval, interval, boolean, interval, boolean, text, integer, integer) IS
  'registers a function, or replaces it: tasks dispatched before keep their queue, priority, tags, retry policy and timeout and run the new handler under the new limits. handler: f(), f(jsonb) or one with named parameters; NULL means run by external workers. Names have 1 to 200 bytes, priority is -100 to 100. max_concurrent: at most so many run at the same time, in all sessions. rate_limit: at most so many start in rate_interval (default 1 s), and rate_burst (default rate_limit) at once after a pause. max_per_key: at most so many of one concurrency_key run at the same time. idempotent: a call with the same arguments is made once and its task remembered for retention; cached: the same for cache_ttl after it completed; another version is another call. 42883 or 42P13 for a handler that cannot serve; 22023 for a limit that is not positive, a rate_interval that is not 1 ms to 366 days or that stands without rate_limit, cache_ttl without cached; 54000 for more than 16 tags';

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
  'starts an execution of a registered function in the caller''s transaction and returns its id. Options left NULL come from the registration. dedup_key: a live task with the same (role, function, key) decides by on_duplicate: join (returns its id), replace (its args and due time, if not started: ST008), error (23505). A call with an idempotency_key (1 to 1000 bytes, else 22023), or of an idempotent or cached function, that a task of the same role is making or has made returns that task''s id and ignores all other options; a failed, cancelled, timed out or forgotten task does not serve. Above READ COMMITTED, two of them at once: 40001. concurrency_key (1 to 1000 bytes, else 22023): of the tasks of a function and key no more than its max_per_key run at a time, in age order; the others are blocked';

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
CREATE FUNCTION stent.run(max_tasks integer DEFAULT 100, queues text[] DEFAULT NULL)
RETURNS integer
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_run';
COMMENT ON FUNCTION stent.run(integer, text[]) IS
  'runs up to max_tasks ready tasks of current_user in this transaction and returns how many, or 1 where it ended none but gave tasks back or went through many due entries; 0 means nothing is claimable. It may return early: commit and call again. 42501 where current_user is not the session user';

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
-- Waking workers that wait for work (extension/wake.c).

CREATE FUNCTION stent.worker_wait(queues text[] DEFAULT NULL) RETURNS interval
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_worker_wait';
COMMENT ON FUNCTION stent.worker_wait(text[]) IS
  'asks to be woken, at once and whatever becomes of the transaction: when something becomes claimable in one of these queues (NULL: in any), NOTIFY stent_work follows, with the queue''s name, or empty: everybody looks. Given once; ask again. The result is how long to sleep at most: 1 s where nobody can notify, else 5 minutes. LISTEN stent_work first and commit that; when idle: worker_wait, then claim, each in a statement of its own; if that is empty, sleep. Payload ''!'': a leased task was cancelled, heartbeat what you hold. 22004 for a NULL in the array, 22023 for an empty array, or a name that is too long or empty';
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

CREATE FUNCTION stent._board_now(
    OUT role oid, OUT lane_id integer, OUT priority integer, OUT ready bigint, OUT scheduled bigint, OUT exact boolean, OUT blocked bigint)
RETURNS SETOF record
LANGUAGE c STABLE PARALLEL SAFE ROWS 100 AS 'MODULE_PATHNAME', 'stent_board';
COMMENT ON FUNCTION stent._board_now() IS
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
       sum(l.blocked)::bigint AS blocked
FROM stent._lanes l
LEFT JOIN (SELECT o.lane_id, min(o.ready_at) AS ready_at FROM stent._oldest_ready() o GROUP BY o.lane_id) o
       ON o.lane_id = l.id
GROUP BY l.queue
HAVING bool_or(l.registered) OR sum(l.ready + l.scheduled + l.blocked + l.running + l.dead) > 0;
COMMENT ON VIEW stent.queues IS
  'what waits and runs in each queue; counts of what is committed, exact unless the column says otherwise';
COMMENT ON COLUMN stent.queues.blocked IS 'behind older tasks of their concurrency key';
COMMENT ON COLUMN stent.queues.dead IS 'dead letters';
COMMENT ON COLUMN stent.queues.oldest_ready_at IS 'since when the oldest task that nobody has taken is ready';
COMMENT ON COLUMN stent.queues.exact IS 'false: at least so many ready, scheduled and blocked ones';
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
       sum(l.blocked)::bigint AS blocked
FROM stent._lanes l
GROUP BY l.function, l.role, l.queue
HAVING bool_or(l.registered)
    OR sum(l.ready + l.scheduled + l.blocked + l.running + l.completed + l.failed + l.timed_out + l.cancelled + l.retried) > 0;
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
CREATE FUNCTION stent.state_of(id bigint) RETURNS jsonb
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_state_of';
COMMENT ON FUNCTION stent.state_of(bigint) IS
  'one task as jsonb: state, times (UTC), attempts and their errors, result, error, counters, context, signals, how many children of it and tasks of its whole execution live; P0002 for an unknown id';

CREATE FUNCTION stent.result_of(id bigint) RETURNS jsonb
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_result_of';
COMMENT ON FUNCTION stent.result_of(bigint) IS
  'the result of a completed task (JSON null for a void handler). Raises the task''s own error if it failed, ST001 while it is unfinished, ST002 if it timed out, ST004 if it was cancelled, P0002 for an unknown id';

CREATE FUNCTION stent.wait_for(id bigint, timeout interval DEFAULT NULL) RETURNS jsonb
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_wait_for';
COMMENT ON FUNCTION stent.wait_for(bigint, interval) IS
  'waits until a task has finished, then does what result_of does. timeout NULL or 0: no limit; negative: 22023. A wait that runs out raises ST010 and leaves the task alone. The transaction stays open meanwhile: where that hurts, CALL wait_until_done. 55000 for a task this transaction dispatched, above READ COMMITTED, and in a handler; P0002 for an unknown id';

CREATE PROCEDURE stent.wait_until_done(id bigint, timeout interval DEFAULT NULL, INOUT result jsonb DEFAULT NULL)
LANGUAGE c AS 'MODULE_PATHNAME', 'stent_wait_until_done';
COMMENT ON PROCEDURE stent.wait_until_done(bigint, interval, jsonb) IS
  'the same as wait_for, holding no snapshot and no transaction while it waits: it commits. 2D000 in a transaction block, a function or an exception block; 55000 in a handler';

CREATE FUNCTION stent.cancel(id bigint) RETURNS boolean
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_cancel';
COMMENT ON FUNCTION stent.cancel(bigint) IS
  'ends a task that has not finished, and all that live below it, whoever dispatched those: true if this call ended any, false if all had finished. A running handler is interrupted and its effects are undone (with preload; else cancel waits for it). Final once committed; returns when it is decided, so it may wait for a transaction that holds the task. An admin may cancel anybody''s. P0002 for an unknown id, 55000 for the task whose handler calls it, and for one above that';

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
           FROM stent.attempt a WHERE a.task_id = $1), '[]'),
       'signals', COALESCE((
           SELECT pg_catalog.jsonb_object_agg(s.name, pg_catalog.jsonb_build_object('payload', s.payload, 'sent_at', s.sent_at))
           FROM stent.signal s WHERE s.execution_id = $2), '{}'),
       'live_children', (SELECT pg_catalog.count(*) FROM stent.child k WHERE k.execution_id = $2 AND k.parent_id = $1),
       'live_tasks', (SELECT pg_catalog.count(*) FROM stent.child k WHERE k.execution_id = $2)
           + (SELECT pg_catalog.count(*) FROM stent.task t WHERE t.id = $2))
$$;
COMMENT ON FUNCTION stent._state_of(bigint, bigint) IS 'private: what state_of adds to a row of tasks';
REVOKE ALL ON FUNCTION stent._state_of(bigint, bigint) FROM PUBLIC;
-- health(): whether tasks run here, and if not, what to do. It reads only, and works on
-- a standby, without preload and in a database that nobody serves.

CREATE FUNCTION stent._server(
    OUT library_version text, OUT preloaded boolean, OUT in_recovery boolean, OUT role_must_log_in boolean,
    OUT max_executors integer, OUT state text, OUT problem text, OUT launcher_pid integer, OUT scheduler_pid integer,
    OUT used integer, OUT exhausted_since timestamp, OUT counted boolean, OUT dead_entries bigint, OUT tallies bigint,
    OUT careful_pid integer, OUT careful_wanted boolean, OUT wakeups bigint, OUT cold_starts bigint)
RETURNS SETOF record
LANGUAGE c STABLE ROWS 1 AS 'MODULE_PATHNAME', 'stent_server';
COMMENT ON FUNCTION stent._server() IS 'private: what the library and shared memory say about this database; one row';

CREATE FUNCTION stent._executors(
    OUT database oid, OUT role oid, OUT pid integer, OUT state text, OUT since timestamp, OUT task_id bigint)
RETURNS SETOF record
LANGUAGE c STABLE ROWS 10 AS 'MODULE_PATHNAME', 'stent_executors';
COMMENT ON FUNCTION stent._executors() IS 'private: executor slots in use, of all databases';

CREATE FUNCTION stent._waiting_roles(OUT role oid, OUT since timestamp, OUT retry_at timestamp, OUT problem text)
RETURNS SETOF record
LANGUAGE c STABLE ROWS 10 AS 'MODULE_PATHNAME', 'stent_waiting_roles';
COMMENT ON FUNCTION stent._waiting_roles() IS 'private: roles of this database with work and without an executor';

-- Who keeps dead rows of this database's tables from being removed: the oldest.
CREATE FUNCTION stent._horizon() RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
WITH candidate AS (
    SELECT greatest(age(a.backend_xmin), age(a.backend_xid)) AS xmin_age,
           jsonb_build_object('kind', 'backend', 'pid', a.pid, 'role', a.usename, 'application', a.application_name,
               'state', a.state, 'since', a.xact_start AT TIME ZONE 'UTC',
               'xmin', CASE WHEN age(a.backend_xid) > COALESCE(age(a.backend_xmin), 0) THEN a.backend_xid
                            ELSE a.backend_xmin END::text) AS holder
    FROM pg_stat_activity a
    WHERE a.pid <> pg_backend_pid()
      AND (a.datname = current_database() OR a.datid IS NULL)
      AND (a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL)
      AND a.backend_type NOT IN ('walsender', 'autovacuum worker')
      AND NOT EXISTS (SELECT FROM pg_stat_progress_vacuum v WHERE v.pid = a.pid)
    UNION ALL
    SELECT age(p.transaction),
           jsonb_build_object('kind', 'prepared', 'gid', p.gid, 'role', p.owner, 'since', p.prepared AT TIME ZONE 'UTC',
               'xmin', p.transaction::text)
    FROM pg_prepared_xacts p
    WHERE p.database = current_database()
    UNION ALL
    SELECT age(s.xmin),
           jsonb_build_object('kind', 'replication_slot', 'slot_name', s.slot_name, 'active', s.active, 'xmin', s.xmin::text)
    FROM pg_replication_slots s
    WHERE s.xmin IS NOT NULL
    UNION ALL
    SELECT age(r.backend_xmin),
           jsonb_build_object('kind', 'standby', 'pid', r.pid, 'application', r.application_name,
               'since', r.backend_start AT TIME ZONE 'UTC', 'xmin', r.backend_xmin::text)
    FROM pg_stat_replication r
    WHERE r.backend_xmin IS NOT NULL),
oldest AS (
    SELECT c.xmin_age, c.holder FROM candidate c ORDER BY c.xmin_age DESC LIMIT 1),
-- such a slot holds back the system catalogs, not the tables of tasks
catalogs AS (
    SELECT age(s.catalog_xmin) AS xmin_age,
           jsonb_build_object('kind', 'replication_slot', 'slot_name', s.slot_name, 'active', s.active,
               'catalog_xmin', s.catalog_xmin::text) AS holder
    FROM pg_replication_slots s
    WHERE s.catalog_xmin IS NOT NULL ORDER BY 1 DESC LIMIT 1)
SELECT jsonb_build_object('xmin_age', COALESCE((SELECT o.xmin_age FROM oldest o), 0),
                          'holder', (SELECT o.holder FROM oldest o),
                          'catalog_xmin_age', (SELECT c.xmin_age FROM catalogs c),
                          'catalog_holder', (SELECT c.holder FROM catalogs c))
$$;
COMMENT ON FUNCTION stent._horizon() IS 'private: who holds the vacuum horizon back';

CREATE FUNCTION stent._processes() RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    server record;
    executors jsonb;
    waiting jsonb;
BEGIN
    SELECT * INTO server FROM stent._server();
    IF server.preloaded THEN
        SELECT jsonb_agg(jsonb_build_object('role', pg_get_userbyid(e.role), 'pid', e.pid, 'state', e.state,
                   'since', e.since, 'task_id', e.task_id) ORDER BY e.pid)
        INTO executors
        FROM stent._executors() e JOIN pg_database d ON d.oid = e.database
        WHERE d.datname = current_database();
        SELECT jsonb_agg(jsonb_build_object('role', r.rolname, 'since', w.since,
                   'retry_at', w.retry_at, 'problem', w.problem) ORDER BY w.since)
        INTO waiting
        FROM stent._waiting_roles() w LEFT JOIN pg_roles r ON r.oid = w.role
        WHERE server.state = 'served'; -- elsewhere nobody notices what they want
    ELSE
        SELECT jsonb_agg(jsonb_build_object('role', a.usename, 'pid', a.pid,
                   'state', CASE WHEN a.state = 'idle' THEN 'idle' ELSE 'busy' END,
                   'since', a.state_change AT TIME ZONE 'UTC', 'task_id', NULL) ORDER BY a.pid)
        INTO executors
        FROM pg_stat_activity a
        WHERE a.backend_type = 'stent executor' AND a.datname = current_database();
    END IF;
    RETURN jsonb_build_object(
        'launcher', server.launcher_pid,
        'scheduler', server.scheduler_pid,
        'executors', COALESCE(executors, '[]'),
        'max_executors', server.max_executors,
        'used', COALESCE(server.used, jsonb_array_length(executors), 0),
        'waiting_roles', COALESCE(waiting, '[]'),
        'exhausted_since', server.exhausted_since,
        'careful', CASE WHEN server.careful_pid IS NOT NULL OR server.careful_wanted
                        THEN jsonb_build_object('pid', server.careful_pid, 'others_wait', server.careful_wanted) END,
        'wakeups', server.wakeups,
        'cold_starts', server.cold_starts);
END
$$;
COMMENT ON FUNCTION stent._processes() IS 'private: launcher, scheduler and executors of this database';

-- Why the executors of this database do not run at all, or NULL.
CREATE FUNCTION stent._not_served() RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET datestyle = 'ISO, YMD' AS $$
DECLARE
    server record;
    installed text;
BEGIN
    SELECT * INTO server FROM stent._server();
    SELECT e.extversion INTO installed FROM pg_extension e WHERE e.extname = 'stent';
    IF server.in_recovery THEN
        RETURN 'this server is a standby: nothing runs here until it is promoted';
    ELSIF NOT server.preloaded THEN
        RETURN 'the library is not preloaded, so nothing runs by itself: add stent to shared_preload_libraries and restart'
               || ' the server, or call stent.start() or stent.run()';
    ELSIF server.launcher_pid IS NULL THEN
        RETURN 'the launcher is missing: it comes back after 5 seconds; if not, the server log says why'
               || ' (max_worker_processes?)';
    END IF;
    RETURN CASE server.state
        WHEN 'served' THEN NULL
        WHEN 'not listed' THEN format('database "%s" is not served: add it to stent.databases and reload, or call stent.start()',
                                      current_database())
        WHEN 'stopped' THEN format('database "%s" is stopped: call stent.start()', current_database())
        WHEN 'no extension' THEN format('database "%s" was found without the extension: if it is installed, call stent.start()',
                                        current_database())
        WHEN 'other version' THEN format('database "%s" is not served: %s', current_database(),
                                         COALESCE(server.problem, 'run ALTER EXTENSION stent UPDATE'))
        WHEN 'not adopted' THEN format('database "%s" is not adopted: %s', current_database(),
                                       COALESCE(server.problem, 'call stent.adopt() if its tasks shall run here'))
        WHEN 'failed' THEN format('database "%s" is not served: %s; it is tried again', current_database(),
                                  COALESCE(server.problem, 'its scheduler failed, see the server log'))
        ELSE format('database "%s" is about to be served', current_database()) END;
END
$$;
COMMENT ON FUNCTION stent._not_served() IS 'private: why nobody serves this database, and what to do; NULL if it is served';

CREATE FUNCTION stent._horizon_problem(horizon jsonb, dead_entries bigint) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET datestyle = 'ISO, YMD' AS $$
DECLARE
    holder constant jsonb := horizon -> 'holder';
    since constant timestamp := holder ->> 'since';
    who text;
    what text;
BEGIN
    -- since comes from pg_stat_activity: the server's own clock, whatever stent.clock says
    IF holder IS NULL OR holder = 'null'
       OR NOT (COALESCE(dead_entries, 0) >= 20000
               OR (horizon ->> 'xmin_age')::bigint >= 1000000
               OR since < clock_timestamp() AT TIME ZONE 'UTC' - interval '1 hour') THEN
        RETURN NULL;
    END IF;
    CASE holder ->> 'kind'
        WHEN 'backend' THEN
            who := format('pid %s (role %s, %s), whose transaction is open since %s UTC,', holder ->> 'pid', holder ->> 'role',
                          holder ->> 'state', date_trunc('second', since));
            what := format('end it, if need be by pg_terminate_backend(%s)', holder ->> 'pid');
        WHEN 'prepared' THEN
            who := format('prepared transaction %L of %s', holder ->> 'gid', date_trunc('second', since));
            what := format('COMMIT PREPARED or ROLLBACK PREPARED %L', holder ->> 'gid');
        WHEN 'replication_slot' THEN
            who := format('replication slot %L', holder ->> 'slot_name');
            what := format('bring its consumer up, or drop it by pg_drop_replication_slot(%L)', holder ->> 'slot_name');
        ELSE
            who := format('a query on standby %s (walsender %s)', holder ->> 'application', holder ->> 'pid');
            what := 'end the query there, or set hot_standby_feedback = off';
    END CASE;
    RETURN format('%s keeps VACUUM from removing rows that are dead for %s transactions%s: %s', who, horizon ->> 'xmin_age',
                  CASE WHEN dead_entries > 0 THEN format(' (%s entries of taken tasks wait)', dead_entries) END, what);
END
$$;
COMMENT ON FUNCTION stent._horizon_problem(jsonb, bigint) IS 'private: the sentence about the vacuum horizon, or NULL';

CREATE FUNCTION stent.health() RETURNS jsonb
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
-- why(): the reason a task is not running.

CREATE FUNCTION stent._canceller(task_id bigint) RETURNS integer
LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'stent_canceller';
COMMENT ON FUNCTION stent._canceller(bigint) IS 'private: the session that is about to cancel the task';

CREATE FUNCTION stent._ready_entry(task_id bigint, OUT taken_by xid, OUT before bigint, OUT before_exact boolean)
RETURNS SETOF record
LANGUAGE c STABLE STRICT ROWS 1 AS 'MODULE_PATHNAME', 'stent_ready_entry';
COMMENT ON FUNCTION stent._ready_entry(bigint) IS 'private: who has taken a ready task, and how many of its role stand before it';

CREATE FUNCTION stent._next_start(function_id integer) RETURNS timestamp
LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'stent_next_start';
COMMENT ON FUNCTION stent._next_start(integer) IS 'private: when the rate limit lets a task of the function start; NULL: now';

-- The places of a function are locks that extension/place.c takes: the function's id,
-- the number of the place, and the class 0x5700; those of leased tasks are rows. Which no
-- limit allows any more do not count.
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
COMMENT ON FUNCTION stent._limit_reached(integer) IS 'private: which limit keeps tasks of the function from starting; NULL: none';

-- Who a transaction id belongs to, for people.
CREATE FUNCTION stent._transaction_name(transaction xid) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
SELECT COALESCE(
    (SELECT format('prepared transaction %L', p.gid) FROM pg_prepared_xacts p WHERE p.transaction = $1),
    (SELECT format('the open transaction of pid %s', l.pid) FROM pg_locks l
     WHERE l.locktype = 'transactionid' AND l.transactionid = $1 AND l.mode = 'ExclusiveLock' AND l.granted LIMIT 1),
    'an open transaction')
$$;
COMMENT ON FUNCTION stent._transaction_name(xid) IS 'private: who a transaction id belongs to';

-- Why nobody runs tasks of the role; NULL if somebody does.
CREATE FUNCTION stent._role_not_served(task_role text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    server record;
    waiting record;
    role_oid oid;
    can_login boolean;
    used integer;
BEGIN
    SELECT * INTO server FROM stent._server();
    SELECT r.oid, r.rolcanlogin INTO role_oid, can_login FROM pg_roles r WHERE r.rolname = task_role;
    IF role_oid IS NULL THEN
        RETURN format('its role %I does not exist any more: create it again, or rename it back', task_role);
    ELSIF server.role_must_log_in AND NOT can_login THEN
        RETURN format('its role %I cannot log in: ALTER ROLE %1$I LOGIN', task_role);
    ELSIF server.in_recovery THEN
        RETURN stent._not_served();
    ELSIF NOT server.preloaded THEN
        RETURN CASE WHEN NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.backend_type = 'stent executor'
                                     AND a.datname = current_database() AND a.usename = task_role)
                    THEN stent._not_served() END;
    ELSIF stent._not_served() IS NOT NULL THEN
        RETURN stent._not_served();
    ELSIF server.max_executors = 0 THEN
        RETURN 'stent.max_executors is 0: raise it and reload';
    END IF;
    SELECT count(*) INTO used FROM stent._executors() e
    JOIN pg_database d ON d.oid = e.database WHERE d.datname = current_database() AND e.role = role_oid;
    IF used > 0 THEN
        RETURN NULL;
    END IF;
    SELECT * INTO waiting FROM stent._waiting_roles() w WHERE w.role = role_oid;
    IF server.exhausted_since IS NOT NULL THEN
        RETURN format('no background worker slot is free since %s UTC: raise max_worker_processes, or lower stent.max_executors',
                      date_trunc('second', server.exhausted_since));
    ELSIF waiting.problem IS NOT NULL THEN
        RETURN format('no executor of role %I could be started: %s%s', task_role, waiting.problem,
                      '; tried again at ' || date_trunc('second', waiting.retry_at) || ' UTC');
    ELSIF server.used >= server.max_executors THEN
        RETURN format('all executors are busy with other roles (%s of %s)%s; stent.max_executors limits them', server.used,
                      server.max_executors, ', role ' || task_role || ' waits since ' || date_trunc('second', waiting.since) || ' UTC');
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION stent._role_not_served(text) IS 'private: why nobody runs tasks of a role; NULL if somebody does, or is about to';

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
COMMENT ON FUNCTION stent._why_blocked(bigint) IS 'private: which tasks of its concurrency key a blocked task waits for';

CREATE FUNCTION stent._why(id bigint) RETURNS text
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
COMMENT ON FUNCTION stent._why(bigint) IS 'private: what why() says, whoever asks; NULL for an unknown id';

CREATE FUNCTION stent.why(id bigint) RETURNS text
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_why';
COMMENT ON FUNCTION stent.why(bigint) IS
  'the reason why a task is not running, in a sentence: when it ended or comes due, what it waits for, what to do. P0002 for an unknown id, 22004 for NULL';
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
DELETE FROM stent.output WHERE task_id = ANY (ids);
DELETE FROM stent.step WHERE task_id = ANY (ids);
DELETE FROM stent.counter WHERE execution_id = ANY (ids);
DELETE FROM stent.context WHERE execution_id = ANY (ids);
DELETE FROM stent.signal WHERE execution_id = ANY (ids);
DELETE FROM stent.memo WHERE task_id = ANY (ids);
DELETE FROM stent.progress_entry WHERE execution_id = ANY (ids);
$$;
COMMENT ON FUNCTION stent._forget(bigint[], bigint[]) IS 'private: removes what belongs to tasks that left the archive';

-- Reads the leaf once for what its rows own elsewhere (large values, failed
-- attempts, output, steps, signals, counters, context, progress, memos) and for what must be kept. The leaf is
-- locked against the few who may still write to it; the parent is not.
CREATE FUNCTION stent._empty_partition(leaf regclass) RETURNS bigint
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

-- One row a lane in place of many. Rows that another fold holds are left to it; what
-- a reader sees is the one or the other, so sums do not change.
CREATE FUNCTION stent._fold_tallies() RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
WITH mine AS MATERIALIZED (
    SELECT t.id FROM stent.tally t
    WHERE t.lane_id IN (SELECT m.lane_id FROM stent.tally m GROUP BY m.lane_id HAVING count(*) > 1)
    FOR UPDATE SKIP LOCKED),
gone AS (
    DELETE FROM stent.tally t USING mine WHERE t.id = mine.id
    RETURNING t.lane_id, t.completed, t.failed, t.timed_out, t.cancelled, t.retried, t.dead, t.run_us, t.last_at)
INSERT INTO stent.tally (id, lane_id, completed, failed, timed_out, cancelled, retried, dead, run_us, last_at)
SELECT nextval('stent.id_seq'), g.lane_id, sum(g.completed), sum(g.failed), sum(g.timed_out), sum(g.cancelled),
       sum(g.retried), sum(g.dead), sum(g.run_us), max(g.last_at)
FROM gone g GROUP BY g.lane_id
$$;
COMMENT ON FUNCTION stent._fold_tallies() IS 'private: makes one row a lane of the totals';

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
-- Operation: what an administrator steers.

CREATE FUNCTION stent.adopt() RETURNS boolean
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_adopt';
COMMENT ON FUNCTION stent.adopt() IS
  'makes this server the one that runs the tasks of this database, which was copied, restored or upgraded; true if it was not before. Make sure that the original does not run them any more. Where stent is not in shared_preload_libraries, the next start with it adopts';

CREATE FUNCTION stent._identity_report() RETURNS jsonb
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_identity_report';
COMMENT ON FUNCTION stent._identity_report() IS 'private: whether this server runs the tasks of this database ("adopted"), and what speaks against it ("why")';
CREATE FUNCTION stent.start(executors integer DEFAULT 1) RETURNS integer
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_start';
COMMENT ON FUNCTION stent.start(integer) IS
  'with preload: serves this database until the server restarts, whatever stent.databases says, and ends stop(); 1 if that is a change, admin grant needed (42501), executors is not used. Without preload: starts 1 to 64 executors of the session user, which look for work once a second; returns how many; 22023 for another number, 53400 if no background worker slot is free';

CREATE FUNCTION stent.stop() RETURNS integer
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_stop';
COMMENT ON FUNCTION stent.stop() IS
  'with preload: no longer serves this database until start() or a restart of the server; running batches end first; 1 if that is a change, admin grant needed (42501). Without preload: ends the executors that start() made, one''s own or, for an admin, all; returns how many';

CREATE FUNCTION stent._installed() RETURNS void
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_installed';
COMMENT ON FUNCTION stent._installed() IS 'private: tells the launcher that there is something to serve';
-- Nothing is granted to PUBLIC; roles get what they need by grant_usage.

CREATE FUNCTION stent.grant_usage(role name, kind text DEFAULT 'app') RETURNS void
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
CREATE FUNCTION stent._regrant_all() RETURNS void
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
COMMENT ON FUNCTION stent._regrant_all() IS 'private: gives every role that holds a grant what it means in this version';

CREATE FUNCTION stent._regrant() RETURNS void
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_regrant';
COMMENT ON FUNCTION stent._regrant() IS 'private: _regrant_all from an extension script, so that dumps carry the grants';

REVOKE ALL ON ALL ROUTINES IN SCHEMA stent FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA stent FROM PUBLIC;
REVOKE ALL ON SCHEMA stent FROM PUBLIC;
SELECT stent._installed();
