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
-- may each add the same one: the twins mean the same and nobody waits. chunks: the lane is
-- of chunks of maps, which not every worker takes.
CREATE TABLE stent.lane (
    id integer NOT NULL,
    digest bigint NOT NULL,
    role text NOT NULL,
    function_id integer NOT NULL,
    queue text NOT NULL,
    tags text[] NOT NULL,
    chunks boolean NOT NULL DEFAULT false,
    CONSTRAINT lane_pkey PRIMARY KEY (id)
);
CREATE INDEX lane_digest_idx ON stent.lane (digest);
COMMENT ON TABLE stent.lane IS
  'private: (role, function, queue, tag set, chunks of maps or not); all ready tasks of a lane are equally claimable';

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
-- dispatched with (its id). chunk: null of an ordinary task, -1 of a map, else the task is
-- that chunk of its parent, a map.
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
    chunk integer,
    CONSTRAINT task_pkey PRIMARY KEY (id),
    CONSTRAINT task_priority_in_range CHECK (priority BETWEEN -100 AND 100),
    CONSTRAINT task_state_is_live CHECK (state IN ('s', 'b', 'r', 'u', 'w'))
);
-- Here, in the archive and among the dead letters: the tasks of an execution but its root,
-- whose id is the execution's. Who has no parent is not in it and costs no entry.
CREATE INDEX task_child_idx ON stent.task (execution_id, parent_id, id) WHERE parent_id IS NOT NULL;
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
-- task_id is its token), w a waiting task's wait runs out (infinity: never), n and f
-- somebody has to look whether the waiting task named in line may go on (then task_id is
-- just a number; f: something it may wait for has failed). role_key is the role part of the bucket: a role's entries never
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

-- Live tasks that have a parent. bucket: the parent's, for its role; null in rows of
-- before 0.5.
CREATE TABLE stent.child (
    execution_id bigint NOT NULL,
    parent_id bigint NOT NULL,
    task_id bigint NOT NULL,
    bucket bigint,
    CONSTRAINT child_pkey PRIMARY KEY (execution_id, parent_id, task_id)
);
COMMENT ON TABLE stent.child IS 'private: live tasks that have a parent';

-- Calls that need not be made again: the task that made, or makes, the call with this
-- key (extension/memo.c). ttl: how long after its end it serves; NULL: as long as
-- retention keeps it. item: the task is a chunk of a map, and this item of it made the call.
CREATE TABLE stent.memo (
    key bytea NOT NULL,
    task_id bigint NOT NULL,
    ttl interval,
    item bigint,
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
    concurrency_key text,
    chunk integer
) PARTITION BY RANGE (finished_at);
COMMENT ON TABLE stent.archive IS 'private: finished tasks, one partition a day';

-- Archived rows without a partition: theirs was dropped while their execution
-- lives, or there was none when they finished.
CREATE TABLE stent.archive_kept (
    LIKE stent.archive,
    CONSTRAINT archive_kept_pkey PRIMARY KEY (id)
);
CREATE INDEX archive_kept_child_idx ON stent.archive_kept (execution_id, parent_id, id) WHERE parent_id IS NOT NULL;
COMMENT ON TABLE stent.archive_kept IS
  'private: finished tasks without a partition';

CREATE TABLE stent.dead_letter (
    LIKE stent.archive,
    CONSTRAINT dead_letter_pkey PRIMARY KEY (id)
);
CREATE INDEX dead_letter_child_idx ON stent.dead_letter (execution_id, parent_id, id) WHERE parent_id IS NOT NULL;
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

-- Remembered points of orchestrators. state: w waiting, c completed, f failed. position is
-- just the order in which they came. What a step is found by is its name, if it has one,
-- or else its place among those that have none, and number: which use of the name, or which
-- of those without (null, in rows of before 0.5: position). mark: the attempt it
-- belongs to, replays * 65536 + attempt. A waiting task waits for its last step.
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
    number integer,
    mark integer,
    wake_at timestamp,
    detail jsonb,
    CONSTRAINT step_pkey PRIMARY KEY (task_id, position)
);
COMMENT ON TABLE stent.step IS 'private: remembered steps of orchestrators';

-- Who waits for something that does not know it: what is the id of a task that is not a
-- child of the waiting one, or of an execution whose signals it waits for. bucket is the
-- waiting task's.
CREATE TABLE stent.waiter (
    what bigint NOT NULL,
    task_id bigint NOT NULL,
    bucket bigint NOT NULL,
    CONSTRAINT waiter_pkey PRIMARY KEY (what, task_id)
);
COMMENT ON TABLE stent.waiter IS 'private: waiting tasks by what they wait for, where that is no child of theirs';

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
SELECT pg_catalog.pg_extension_config_dump('stent.waiter', '');
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
