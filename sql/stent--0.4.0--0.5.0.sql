\echo Use "ALTER EXTENSION stent UPDATE TO '0.5.0'" to load this file. \quit

-- Columns come last, as in a fresh database.
ALTER TABLE stent.lane ADD COLUMN chunks boolean NOT NULL DEFAULT false;
ALTER TABLE stent.task ADD COLUMN chunk integer;
ALTER TABLE stent.child ADD COLUMN bucket bigint;
ALTER TABLE stent.memo ADD COLUMN item bigint;
ALTER TABLE stent.archive ADD COLUMN chunk integer;
ALTER TABLE stent.archive_kept ADD COLUMN chunk integer;
ALTER TABLE stent.dead_letter ADD COLUMN chunk integer;
ALTER TABLE stent.step ADD COLUMN number integer;
ALTER TABLE stent.step ADD COLUMN mark integer;
ALTER TABLE stent.step ADD COLUMN wake_at timestamp;
ALTER TABLE stent.step ADD COLUMN detail jsonb;

-- Partitions made from now on have the index from their beginning.
DO $$
DECLARE
    leaf regclass;
BEGIN
    FOR leaf IN SELECT inhrelid FROM pg_catalog.pg_inherits WHERE inhparent = 'stent.archive'::pg_catalog.regclass LOOP
        EXECUTE pg_catalog.format('CREATE INDEX %I ON %s (execution_id, parent_id, id) WHERE parent_id IS NOT NULL',
            (SELECT relname || '_child_idx' FROM pg_catalog.pg_class WHERE oid = leaf), leaf);
    END LOOP;
END
$$;

-- These have more arguments, or results, now.
DROP FUNCTION stent.spawn(text, jsonb, text, integer, text[], interval, timestamp, interval, jsonb, text, jsonb);
DROP FUNCTION stent.claim(text, integer, text[], text[], text[], interval);
DROP FUNCTION stent.replay(bigint, text, boolean);
DROP FUNCTION stent.replay_many(text, text, interval, text, boolean, integer);

COMMENT ON TABLE stent.lane IS
  'private: (role, function, queue, tag set, chunks of maps or not); all ready tasks of a lane are equally claimable';

-- Here, in the archive and among the dead letters: the tasks of an execution but its root,
-- whose id is the execution's. Who has no parent is not in it and costs no entry.
CREATE INDEX task_child_idx ON stent.task (execution_id, parent_id, id) WHERE parent_id IS NOT NULL;

CREATE INDEX archive_kept_child_idx ON stent.archive_kept (execution_id, parent_id, id) WHERE parent_id IS NOT NULL;

CREATE INDEX dead_letter_child_idx ON stent.dead_letter (execution_id, parent_id, id) WHERE parent_id IS NOT NULL;

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

SELECT pg_catalog.pg_extension_config_dump('stent.waiter', '');

-- Storage of maps. extension/map_row.h numbers the columns.

-- One row a map, beside its task. concurrency_limit: items in flight at once. started: chunks that
-- were made tasks so far, the first ones. at_once: all items of a chunk are in flight at once,
-- else one after the other. collect: failed items do not fail the map. star: items are argument lists.
-- peak: most items in flight at once, known at the end. lane_id: the task's.
CREATE TABLE stent.map (
    id bigint NOT NULL,
    execution_id bigint NOT NULL,
    items bigint NOT NULL,
    chunks integer NOT NULL,
    started integer NOT NULL,
    chunk_size integer NOT NULL,
    concurrency_limit integer NOT NULL,
    collect boolean NOT NULL,
    star boolean NOT NULL,
    at_once boolean NOT NULL,
    peak integer NOT NULL,
    lane_id integer NOT NULL,
    CONSTRAINT map_pkey PRIMARY KEY (id)
);

CREATE INDEX map_execution_id_idx ON stent.map (execution_id);

COMMENT ON TABLE stent.map IS 'private: maps: options and what is known of all their chunks';

-- One row a chunk: its items, and what has become of them. task_id: the task that runs
-- it, once it was made. results: an array as long as the items, null where an item has
-- no result. open: places in the chunk of items to be run again; null: before the first
-- attempt all, after the last (finished_at) none.
CREATE TABLE stent.chunk (
    map_id bigint NOT NULL,
    number integer NOT NULL,
    first_item bigint NOT NULL,
    items integer NOT NULL,
    task_id bigint NOT NULL,
    attempt smallint NOT NULL,
    completed integer NOT NULL,
    failed integer NOT NULL,
    hits integer NOT NULL,
    started_at timestamp,
    finished_at timestamp,
    open integer[],
    args jsonb,
    args_ref bigint,
    results jsonb,
    results_ref bigint,
    CONSTRAINT chunk_pkey PRIMARY KEY (map_id, number)
);

CREATE INDEX chunk_task_id_idx ON stent.chunk (task_id);

COMMENT ON TABLE stent.chunk IS 'private: chunks of maps: items, progress and results';

-- Items that failed for good; number counts from 0 through all chunks. task_id: the dead
-- letter that stands for the item; its chunk's task, where that came to no good end. replaced:
-- it was replayed, and its result took the item's place before the map ended.
CREATE TABLE stent.item (
    map_id bigint NOT NULL,
    number bigint NOT NULL,
    attempt smallint NOT NULL,
    task_id bigint NOT NULL,
    error jsonb NOT NULL,
    replaced boolean NOT NULL,
    CONSTRAINT item_pkey PRIMARY KEY (map_id, number)
);

COMMENT ON TABLE stent.item IS 'private: items of maps that failed for good';

SELECT pg_catalog.pg_extension_config_dump('stent.map', '');

SELECT pg_catalog.pg_extension_config_dump('stent.chunk', '');

SELECT pg_catalog.pg_extension_config_dump('stent.item', '');

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
    headers jsonb DEFAULT NULL,
    step_name text DEFAULT NULL)
RETURNS bigint
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_spawn';

COMMENT ON FUNCTION stent.spawn(text, jsonb, text, integer, text[], interval, timestamp, interval, jsonb, text, jsonb, text) IS
  'in a handler: a step that makes a child of its task, in the same execution, and returns its id. The child begins to exist with the commit of the attempt, or of the wait the handler comes to; a failed attempt leaves none. Options left NULL come from the registration; the execution''s max_duration bounds the child as well. 55000 outside a handler';

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
    chunks boolean DEFAULT false,
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
    OUT lease_for interval,
    OUT items integer)
RETURNS SETOF record
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_claim';

COMMENT ON FUNCTION stent.claim(text, integer, text[], text[], text[], interval, boolean) IS
  'takes up to max (1 to 1000) ready external tasks, whoever dispatched them, highest priority first, for a lease (100 ms to 7 days; NULL: stent.lease_duration): until it is over, and renewed by heartbeat, they are the worker''s, who ends each by complete, fail or release. NULL for functions, queues: all; they need not exist. A worker with tags is not given tasks that have tags, but none of these. token proves the claim; attempt counts from 1; timeout bounds the attempt and time_left the execution, NULL: nothing does; both are the worker''s to keep. With chunks, chunks of maps are given, too: items says how many items args, an array, has; NULL: it is no chunk. Limits, pauses and keys hold. 22004, 22023 for arguments; 55000 in a handler';

COMMENT ON FUNCTION stent.complete(bigint, bigint, jsonb, jsonb, jsonb, jsonb, jsonb) IS
  'the task is done: ''completed'', or ''timed_out'' (of a child ''cancelled'') if its execution''s max_duration was over. With it, and only if the token holds the task, counters {"name": number} are added and context {"key": value} is set, of its execution; shared {"key": whole number} is added to shared values, as shared_add_int does; and progress [{"step": text, "detail": any}] is told. Of a chunk, result is an array with one outcome for each item in order: {"result": any}, {"error": object as fail takes it}, or null, not run; then also ''retry'', failed items are tried again by the policy, or ''released'', only such that were not run are left. ST012 if the token does not hold the task; then, and after any error, nothing was changed. 22023 for outcomes or effects of the wrong shape, 54000 for a result over stent.max_payload_size, P0002, 42804, 22003 as shared_add_int';

COMMENT ON FUNCTION stent.complete_many(bigint[], bigint[], jsonb[], jsonb[]) IS
  'complete for 1 to 1000 tasks in one transaction; effects are objects with the keys counters, context, shared and progress. Returns for each completed, of chunks also retry and released, timed_out, cancelled, lost, ended or busy. An error, which effects may cause, is one of the whole call: then nothing was changed, and complete them one by one';

COMMENT ON FUNCTION stent.fail(bigint, bigint, jsonb) IS
  'the attempt failed (of a chunk: that of all its items): ''retry'' if the policy stored with the task retries it, ''failed'' if it is a dead letter now, ''timed_out'' (of a child ''cancelled'') if its execution''s max_duration was over. error is an object: message, a text; code, a SQLSTATE or the name of an error (default ST014), with which retry_for and no_retry_for compare; detail and hint; retryable, false: whatever the policy says; other keys are kept. ST012 if the token does not hold the task; 22004, 22023 for the error, 54000 for one over stent.max_payload_size';

-- Steps for handlers that workers run: docs/protocol.md teaches them.

CREATE FUNCTION stent.lease_steps(task_id bigint, token bigint)
RETURNS TABLE (
    "position" integer,
    number integer,
    name text,
    kind text,
    function text,
    state text,
    task_id bigint,
    result jsonb,
    error jsonb,
    created_at timestamp,
    finished_at timestamp)
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_lease_steps';

COMMENT ON FUNCTION stent.lease_steps(bigint, bigint) IS
  'the steps that a leased task has made, in their order. state is waiting, completed or failed; what has finished meanwhile is decided, and remembered, by this call. number: which use of the name, or which of those without one, from 1. task_id: the child of a call or spawn, or what an await waits for. result is JSON null where a completed step has none; error is {code, message, ...}, ST010 for a wait that ran out. Of a new attempt, failed steps of earlier ones are not there: make them anew. ST012 if the token does not hold the task';

CREATE FUNCTION stent.suspend(
    task_id bigint,
    token bigint,
    steps jsonb,
    counters jsonb DEFAULT NULL,
    context jsonb DEFAULT NULL,
    shared jsonb DEFAULT NULL,
    progress jsonb DEFAULT NULL)
RETURNS text
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_suspend';

COMMENT ON FUNCTION stent.suspend(bigint, bigint, jsonb, jsonb, jsonb, jsonb, jsonb) IS
  'adds steps to a leased task, ends the lease, and lets the task wait for the last one: ''waiting''; or, if that is done or does not block, ''ready'' to be claimed again at once; ''timed_out'' (of a child ''cancelled'') if its execution''s max_duration was over. No attempt is spent: the next claim has the same attempt. steps is an array of objects with a kind: call and spawn (function, args and the options of stent.call and stent.spawn), map and starmap (function, items and the options of stent.map), step (name, and result or error), record (name, value), sleep (duration), await (id), await_all (ids), signal (name); waits take a timeout. Only the last may be a call, map, starmap, sleep, await, await_all or signal; none: wait again for a last step that is still waiting. All is written in one transaction, or nothing is; counters, context, shared and progress as in complete. ST012 if the token does not hold the task; 22004, 22023 for steps that are none, 42501 for a SQL function that the worker''s role may not call as the role that dispatched the task, ST016 for a number that does not fit, 55000 for a chunk of a map; errors of stent.dispatch for options';

COMMENT ON FUNCTION stent.worker_start(text, integer, text[], text[], text[], integer, jsonb, interval) IS
  'tells that a worker has started, what it serves (NULL: all) and how many tasks at a time; shown by the view workers and used by why(), claims do not need it. The worker is starting until its first worker_heartbeat, and taken for lost once it was silent for alive_for (1 second to 1 day). A name that is there already is that of a worker which was restarted. Returns {"protocol", "version", "lease_seconds", "chunks"}: whether claim() takes chunks => true. ST013 for a protocol that this version does not speak (the hint names those it does), 55000 in a copy of a database, until stent.adopt(), 22004 for NULL, 22023 for a value out of range, 54000 for more than 1000 names or an info over 8000 bytes';

-- Steps: what makes a handler an orchestrator. When what a step is for is not done, the
-- handler is left, its effects so far are undone, and the task waits; then the
-- handler runs again from its top, and steps that are done return what they returned before.
-- docs/orchestrators.md teaches it. Steps without a name are known by their order; step_name
-- (1 to 200 bytes, else 22023) lets others be added or left out while executions are under
-- way. A step that is not what it was: ST016.

CREATE FUNCTION stent.step(name text, function text, args jsonb DEFAULT '{}') RETURNS jsonb
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_step';

COMMENT ON FUNCTION stent.step(text, text, jsonb) IS
  'in a handler: runs a registered SQL function as a step, in a subtransaction of its own right after the handler was left, without a task of its own; remembers what it returns, and goes on in the same commit. It does not see what the handler has written so far. An error of it is raised here. 22004 for NULL, 22023 for a function that workers run, 42704 for an unknown one, 55000 outside a handler';

CREATE FUNCTION stent.record(name text, value jsonb) RETURNS jsonb
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_record';

COMMENT ON FUNCTION stent.record(text, jsonb) IS
  'in a handler: remembers a value when it comes here for the first time, and returns that value ever after: for what changes between runs, such as random numbers, the time, or rows of others. SQL NULL is JSON null. 22004 for a NULL name, 54000 for a value over stent.max_payload_size, 55000 outside a handler';

CREATE FUNCTION stent.sleep(duration interval, step_name text DEFAULT NULL) RETURNS void
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_sleep';

COMMENT ON FUNCTION stent.sleep(interval, text) IS
  'in a handler: the task waits for so long, from when it first comes here, and holds nothing meanwhile. 22004 for NULL, 22023 for a negative or infinite duration, 55000 outside a handler';

CREATE FUNCTION stent.await_signal(name text, timeout interval DEFAULT NULL, step_name text DEFAULT NULL) RETURNS jsonb
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_await_signal';

COMMENT ON FUNCTION stent.await_signal(text, interval, text) IS
  'in a handler: the payload of a signal to its execution, as it is when the handler comes here and finds one: the latest, whether sent before or during the wait. A second wait for a name waits for a newer signal. timeout NULL or 0: no limit; a wait that runs out raises ST010. 22004 for a NULL name, 22023 for a name that has not 1 to 200 bytes or a negative timeout, 55000 outside a handler';

CREATE FUNCTION stent.continue_as_new(args jsonb DEFAULT '{}') RETURNS void
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_continue_as_new';

COMMENT ON FUNCTION stent.continue_as_new(jsonb) IS
  'in a handler: when it has returned, its effects are committed, its steps are forgotten, and the task begins anew with these args, as if it had never run; what the handler returns is ignored. For loops without end. 22004 for NULL, 22023 for args that do not fit the handler, 54000 for args over stent.max_payload_size, 55000 outside a handler and for a step called after it';

-- Calls and waits that work in a handler, where they are steps, and outside of one.

CREATE FUNCTION stent.call(
    function text,
    args jsonb DEFAULT '{}',
    queue text DEFAULT NULL,
    priority integer DEFAULT NULL,
    tags text[] DEFAULT NULL,
    delay interval DEFAULT NULL,
    run_at timestamp DEFAULT NULL,
    timeout interval DEFAULT NULL,
    retry jsonb DEFAULT NULL,
    idempotency_key text DEFAULT NULL,
    concurrency_key text DEFAULT NULL,
    headers jsonb DEFAULT NULL,
    step_name text DEFAULT NULL)
RETURNS jsonb
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_call';

COMMENT ON FUNCTION stent.call(text, jsonb, text, integer, text[], interval, timestamp, interval, jsonb, text, text, jsonb, text) IS
  'calls a registered function and returns its result. In a handler: a step; the call is a child task, for which the handler is suspended, and whose error is raised here with its own SQLSTATE. Outside of one: a SQL function runs at once in the caller''s transaction, as the current user, without a task: nothing is retried, limited or remembered, what steers a task is ignored, and delay, run_at, idempotency_key and concurrency_key are refused (22023); a function that workers run is refused (55000). 22004 for a NULL function or args, 42704 for an unknown function';

CREATE FUNCTION stent.await(id bigint, timeout interval DEFAULT NULL, step_name text DEFAULT NULL) RETURNS jsonb
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_await';

COMMENT ON FUNCTION stent.await(bigint, interval, text) IS
  'the result of a task once it has finished, or its error. In a handler: a step, the handler is suspended meanwhile. Outside of one: the same as wait_for';

CREATE FUNCTION stent.await_all(ids bigint[], concurrency_limit integer DEFAULT NULL, timeout interval DEFAULT NULL, step_name text DEFAULT NULL) RETURNS jsonb
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_await_all';

COMMENT ON FUNCTION stent.await_all(bigint[], integer, interval, text) IS
  'the results of tasks as one array, in the order of ids, once all have finished; the same id may be given more than once. The first failure seen, of those the one with the lowest index, is raised with the task''s SQLSTATE and message; its detail is JSON {index, task_id, error}; the other tasks go on. concurrency_limit (NULL: stent.task_pool_size): so many unfinished ones are watched at a time. timeout NULL or 0: no limit; a wait that runs out raises ST010 and leaves the tasks alone. Checked in this order: NULL ids 22004, more than one dimension 22023, concurrency_limit below 1 22023; [] is []; a NULL id 22004 by its 0-based index, a negative timeout 22023, an unknown id P0002 by index. In a handler: a step. Outside of one the transaction stays open meanwhile: where that hurts, CALL await_all_until_done; 55000 for a task this transaction dispatched, and above READ COMMITTED';

CREATE FUNCTION stent.promise_all(ids bigint[], concurrency_limit integer DEFAULT NULL, timeout interval DEFAULT NULL, step_name text DEFAULT NULL) RETURNS jsonb
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_await_all';

COMMENT ON FUNCTION stent.promise_all(bigint[], integer, interval, text) IS 'another name of await_all';

CREATE PROCEDURE stent.await_all_until_done(ids bigint[], concurrency_limit integer DEFAULT NULL, timeout interval DEFAULT NULL, INOUT results jsonb DEFAULT NULL)
LANGUAGE c AS 'MODULE_PATHNAME', 'stent_await_all_until_done';

COMMENT ON PROCEDURE stent.await_all_until_done(bigint[], integer, interval, jsonb) IS
  'the same as await_all outside of a handler, holding no snapshot and no transaction while it waits: it commits. 2D000 in a transaction block, a function or an exception block; 55000 in a handler';

-- Maps: one function called for many items, in chunks. docs/maps.md teaches them.

CREATE FUNCTION stent.map(
    function text,
    items jsonb,
    chunk_size integer DEFAULT 1000,
    concurrency_limit integer DEFAULT NULL,
    on_error text DEFAULT 'fail',
    queue text DEFAULT NULL,
    priority integer DEFAULT NULL,
    tags text[] DEFAULT NULL,
    timeout interval DEFAULT NULL,
    retry jsonb DEFAULT NULL,
    headers jsonb DEFAULT NULL,
    step_name text DEFAULT NULL)
RETURNS jsonb
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_map';

COMMENT ON FUNCTION stent.map(text, jsonb, integer, integer, text, text, integer, text[], interval, jsonb, jsonb, text) IS
  'calls a registered function once for each element of an array and returns the results in the same order. An object fills parameters by name, f(jsonb) takes any item as it is, another item fills the one parameter. In a handler that is a step: items run in chunks of chunk_size (1 to 100000), no more than concurrency_limit (default stent.task_pool_size) in flight at once; each has its own attempts, and its own dead letter if it fails for good. on_error: fail (the map fails with the error of the first failed item, when all others have ended) or collect (each element is {"result": ...} or {"error": {...}}). Elsewhere the items run at once, in the caller''s transaction, without tasks. 22004 for NULL where a value is needed, 22023 for items that are no array or an option out of range, 42704 for an unknown function, 54000 for an item over stent.max_payload_size';

CREATE FUNCTION stent.starmap(
    function text,
    items jsonb,
    chunk_size integer DEFAULT 1000,
    concurrency_limit integer DEFAULT NULL,
    on_error text DEFAULT 'fail',
    queue text DEFAULT NULL,
    priority integer DEFAULT NULL,
    tags text[] DEFAULT NULL,
    timeout interval DEFAULT NULL,
    retry jsonb DEFAULT NULL,
    headers jsonb DEFAULT NULL,
    step_name text DEFAULT NULL)
RETURNS jsonb
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_starmap';

COMMENT ON FUNCTION stent.starmap(text, jsonb, integer, integer, text, text, integer, text[], interval, jsonb, jsonb, text) IS
  'as stent.map(), but an item that is an array is a list of arguments: it fills the parameters by position';

-- Maps over the rows of a query, and what became of the items of any map. docs/map-queries.md.

CREATE FUNCTION stent.map_query(
    function text,
    query text,
    chunk_size integer DEFAULT 1000,
    concurrency_limit integer DEFAULT NULL,
    on_error text DEFAULT 'fail',
    queue text DEFAULT NULL,
    priority integer DEFAULT NULL,
    tags text[] DEFAULT NULL,
    max_duration interval DEFAULT NULL,
    timeout interval DEFAULT NULL,
    retry jsonb DEFAULT NULL,
    headers jsonb DEFAULT NULL,
    step_name text DEFAULT NULL)
RETURNS bigint
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_map_query';

COMMENT ON FUNCTION stent.map_query(text, text, integer, integer, text, text, integer, text[], interval, interval, jsonb, jsonb, text) IS
  'calls a registered function for each row of a query, and returns the id of the map. The query runs now, as the caller, in the caller''s transaction, and no more than a chunk of its rows is in memory. A row of a single jsonb column is the item as it is, any other single column its to_jsonb, of several to_jsonb of the row. In a plain session the map is an execution: its result, when it ends, is {"items", "completed", "failed", "hits", "chunks", "peak"}; map_results() gives those of the items. In a handler the query is a step, which does not see the handler''s own uncommitted writes. Options as map() and dispatch(); on_error ''collect'': failed items do not fail the map. 22004 for NULL, 42P11 for a query that gives no rows, 42701 for columns of the same name, 22023 for options out of range';

CREATE FUNCTION stent.map_results(id bigint)
RETURNS TABLE (index bigint, result jsonb, error jsonb)
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'stent_map_results';

COMMENT ON FUNCTION stent.map_results(bigint) IS
  'what became of the items of a map, in their order, index from 0: result, or error where the item has failed for good; also while the map runs, then of the items that have ended. P0002 for an unknown id, 42809 for a task that is no map, 22004 for NULL';

CREATE FUNCTION stent.par_map(
    function text,
    items jsonb,
    concurrency_limit integer DEFAULT NULL,
    step_name text DEFAULT NULL)
RETURNS jsonb
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_par_map';

COMMENT ON FUNCTION stent.par_map(text, jsonb, integer, text) IS
  'map() with its defaults: calls a registered function for each element of an array, and returns an array of the results in the same order';

CREATE FUNCTION stent.parallel_map(
    function text,
    items jsonb,
    concurrency_limit integer DEFAULT NULL,
    step_name text DEFAULT NULL)
RETURNS jsonb
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_par_map';

COMMENT ON FUNCTION stent.parallel_map(text, jsonb, integer, text) IS
  'another name of par_map()';

CREATE FUNCTION stent.par_each(
    function text,
    items jsonb,
    concurrency_limit integer DEFAULT NULL,
    step_name text DEFAULT NULL)
RETURNS jsonb
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_par_each';

COMMENT ON FUNCTION stent.par_each(text, jsonb, integer, text) IS
  'par_map() for what the function does, not for what it returns: JSON null';

CREATE FUNCTION stent.replay(id bigint, queue text DEFAULT NULL, reset_retries boolean DEFAULT true, revive_parent boolean DEFAULT false)
RETURNS bigint
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_replay';

COMMENT ON FUNCTION stent.replay(bigint, text, boolean, boolean) IS
  'makes a dead letter a ready task again, under the same id, and returns that id. With reset_retries its attempts count from 1, else they go on counting; it has at least one. The time it was dead does not count towards max_duration. A parent that waits for it goes on when it completes; with revive_parent so does one that has failed because of it, and that one''s parent likewise: they wait again. P0002 for an id that is not a dead letter of yours; ST011 if the parent to be revived has ended otherwise, 55000 if it failed for another reason';

CREATE FUNCTION stent.replay_many(
    function text DEFAULT NULL,
    error_code text DEFAULT NULL,
    older_than interval DEFAULT NULL,
    queue text DEFAULT NULL,
    reset_retries boolean DEFAULT true,
    max_tasks integer DEFAULT 1000,
    revive_parent boolean DEFAULT false)
RETURNS bigint
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_replay_many';

COMMENT ON FUNCTION stent.replay_many(text, text, interval, text, boolean, integer, boolean) IS
  'replays dead letters by function, error code (SQLSTATE, 2-character class or error name) and age, oldest first; returns how many. Dead letters locked by others, and those whose dedup key is in use, are passed over; with revive_parent also those whose parents cannot be brought back';

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
FROM stent._task_rows t
JOIN stent.function f ON f.id = t.function_id
JOIN stent.lane l ON l.id = t.lane_id
JOIN stent.retry_policy p ON p.id = t.policy_id
WHERE l.role = current_user OR (SELECT stent._is_admin());

-- Entries of handlers are stored. Those of the engine are what other rows tell:
-- nothing is written for them, and there is none for a task below the root.
CREATE OR REPLACE VIEW stent.progress WITH (security_barrier) AS
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

COMMENT ON COLUMN stent.progress.step IS 'as the handler said; dispatch, attempt <n>, end or chunk <n> for the engine''s own; ... where entries were left out';

COMMENT ON COLUMN stent.progress.status IS 'progress for entries of handlers; dispatched; failed for an attempt; completed for a chunk; the state for the end';

CREATE FUNCTION stent._board_counts(
    OUT role oid, OUT lane_id integer, OUT priority integer, OUT ready bigint, OUT scheduled bigint, OUT exact boolean, OUT blocked bigint,
    OUT waiting bigint)
RETURNS SETOF record
LANGUAGE c STABLE PARALLEL SAFE ROWS 100 AS 'MODULE_PATHNAME', 'stent_board';

COMMENT ON FUNCTION stent._board_counts() IS
  'private: how many tasks wait, by lane and priority; a row without lane: there may be more';

CREATE OR REPLACE VIEW stent._lanes WITH (security_barrier) AS
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
       sum(l.blocked)::bigint AS blocked,
       sum(l.waiting)::bigint AS waiting
FROM stent._lanes l
LEFT JOIN (SELECT o.lane_id, min(o.ready_at) AS ready_at FROM stent._oldest_ready() o GROUP BY o.lane_id) o
       ON o.lane_id = l.id
GROUP BY l.queue
HAVING bool_or(l.registered) OR sum(l.ready + l.scheduled + l.blocked + l.waiting + l.running + l.dead) > 0;

COMMENT ON COLUMN stent.queues.waiting IS 'orchestrators that wait for a child, a signal or a time, and maps';

COMMENT ON COLUMN stent.queues.exact IS 'false: at least so many ready, scheduled, blocked and waiting ones';

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
       sum(l.blocked)::bigint AS blocked,
       sum(l.waiting)::bigint AS waiting
FROM stent._lanes l
GROUP BY l.function, l.role, l.queue
HAVING bool_or(l.registered)
    OR sum(l.ready + l.scheduled + l.blocked + l.waiting + l.running + l.completed + l.failed + l.timed_out + l.cancelled + l.retried) > 0;

COMMENT ON FUNCTION stent.state_of(bigint) IS
  'one task as jsonb: state, what a waiting one waits for, times (UTC), attempts and their errors, result, error, counters, context, signals, how many children of it and tasks of its whole execution live; P0002 for an unknown id';

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
       'waits_for', (SELECT w.what FROM stent._waits_for($1) w),
       'live_children', (SELECT pg_catalog.count(*) FROM stent.child k WHERE k.execution_id = $2 AND k.parent_id = $1),
       'live_tasks', (SELECT pg_catalog.count(*) FROM stent.child k WHERE k.execution_id = $2)
           + (SELECT pg_catalog.count(*) FROM stent.task t WHERE t.id = $2))
$$;

-- Of each role, the task that could have gone on, or become ready, for the longest time, and that
-- nobody has looked at: of entries that are due at a time the first, of the nudges the first some.
CREATE FUNCTION stent._unpromoted(OUT task_id bigint, OUT waits boolean, OUT since timestamp)
RETURNS SETOF record
LANGUAGE plpgsql STABLE ROWS 10 SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off
SET jit = off SET max_parallel_workers_per_gather = 0 AS $$
DECLARE
    nudges_at constant timestamp := '2000-01-01';
    nudges constant integer := 100;
    waits_looked_at constant integer := 20;
    role integer := -1;
BEGIN
    LOOP
        role := (SELECT min(d.role_key) FROM stent.due d WHERE d.role_key > role);
        EXIT WHEN role IS NULL;
        SELECT o.task_id, o.waits, o.since INTO task_id, waits, since
        FROM ((SELECT d.task_id, d.kind = 'w' AS waits, d.due_at AS since
               FROM stent.due d
               WHERE d.role_key = role AND d.due_at > nudges_at AND d.due_at <= stent.now() AND d.kind IN ('r', 'w')
               ORDER BY d.due_at, d.task_id LIMIT 1)
              UNION ALL
              SELECT n.line, true, w.since
              FROM (SELECT DISTINCT f.line
                    FROM (SELECT d.line FROM stent.due d
                          WHERE d.role_key = role AND d.due_at = nudges_at AND d.kind IN ('n', 'f') ORDER BY d.task_id LIMIT nudges) f
                    LIMIT waits_looked_at) n
              CROSS JOIN LATERAL stent._wait_over(n.line) w
              WHERE w.how IS NOT NULL) o
        ORDER BY o.since, o.task_id LIMIT 1;
        IF task_id IS NOT NULL THEN
            RETURN NEXT;
        END IF;
    END LOOP;
END
$$;

COMMENT ON FUNCTION stent._unpromoted() IS 'private: the task of each role that is due, or whose wait is over, for the longest time without anybody looking';

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
    unpromoted jsonb;
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
        SELECT COALESCE(jsonb_agg(to_jsonb(u)), '[]') INTO unpromoted FROM stent._unpromoted() u;
        -- roles whose tasks nobody can run
        FOR item IN
            SELECT l.role, bool_or(r.oid IS NULL) AS missing
            FROM (SELECT o.lane_id, o.external FROM stent._oldest_ready() o
                  UNION ALL
                  SELECT t.lane_id, f.handler IS NULL
                  FROM jsonb_to_recordset(unpromoted) u (task_id bigint) JOIN stent.task t ON t.id = u.task_id JOIN stent.function f ON f.id = t.function_id) o
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
        -- tasks that nobody lets go on
        FOR item IN
            SELECT u.task_id, u.waits, f.name AS function, l.queue, l.role, extract(epoch FROM stent.now() - u.since)::bigint AS age
            FROM jsonb_to_recordset(unpromoted) u (task_id bigint, waits boolean, since timestamp)
            JOIN stent.task t ON t.id = u.task_id
            JOIN stent.lane l ON l.id = t.lane_id
            JOIN stent.function f ON f.id = t.function_id
            WHERE u.since < stent.now() - interval '1 minute'
              AND NOT EXISTS (SELECT FROM stent._running_now() r JOIN stent.lane rl ON rl.id = r.lane_id WHERE rl.role = l.role)
            ORDER BY u.since, u.task_id LIMIT 5
        LOOP
            problems := problems || format('task %s (%s, queue %s, role %I) %s %s seconds ago, and nobody %s: see stent.why(%1$s)',
                                           item.task_id, item.function, item.queue, item.role,
                                           CASE WHEN item.waits THEN 'waits for what happened' ELSE 'came due' END, item.age,
                                           CASE WHEN item.waits THEN 'lets it go on' ELSE 'makes it ready' END);
        END LOOP;
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

-- Why a blocked task is so: the first of those before it, which has to end.
CREATE OR REPLACE FUNCTION stent._why_blocked(id bigint) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    me record;
    first record;
    older bigint;
BEGIN
    SELECT stent._line(t.function_id, t.concurrency_key) AS line, COALESCE(t.position, t.id) AS position,
           t.concurrency_key, f.max_per_key, w.role INTO me
    FROM stent.task t JOIN stent.function f ON f.id = t.function_id JOIN stent.lane w ON w.id = t.lane_id WHERE t.id = _why_blocked.id;
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
                       -- what a workflow of another role waits for is that role's to know
                       WHEN first.state = 'w' THEN COALESCE((SELECT format('%s: see stent.why(%s)', n.what, first.id)
                                                             FROM stent._waits_for(first.id) n WHERE first.role = me.role), 'waits')
                       WHEN first.state = 'b' THEN 'becomes ready at any moment'
                       ELSE 'is ready' || COALESCE(', but ' || COALESCE(first.paused,
                           CASE WHEN first.external THEN COALESCE(stent._no_worker(first.function, first.queue, first.tags),
                                                             'waits for a worker to claim it') ELSE stent._role_not_served(first.role) END), '') END);
END
$$;

-- What a waiting task waits for, where to look next, and, if the wait is over, why it does not go on.
CREATE FUNCTION stent._why_waiting(id bigint, task_role text, external boolean) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    w record;
    ended record;
    other text;
    other_role text;
BEGIN
    SELECT * INTO w FROM stent._waits_for(id);
    IF w.what IS NULL THEN
        RETURN 'It waits, but for nothing any more: it goes on at any moment.';
    END IF;
    SELECT * INTO ended FROM stent._wait_over(id);
    IF w.on_task IS NOT NULL THEN
        SELECT v.state, v.role INTO other, other_role FROM stent.tasks v WHERE v.id = w.on_task;
        other := CASE WHEN other IS NULL THEN 'is gone' WHEN other IN ('completed', 'failed') THEN 'has ' || other
                      WHEN other = 'timed_out' THEN 'has timed out' WHEN other = 'cancelled' THEN 'was cancelled' ELSE 'is ' || other END;
        other := format('; task %s %s%s', w.on_task, other, CASE WHEN ended.how IS NULL AND other_role = task_role THEN format(': see stent.why(%s)', w.on_task) ELSE '' END);
    END IF;
    RETURN format('It %s, since %s%s%s.', w.what, stent._at(w.since), other,
                  CASE WHEN w.on_task IS NOT NULL AND ended.how = 'that is over' THEN '' ELSE '; ' || ended.how END ||
                  CASE WHEN external THEN COALESCE(', but ' || stent._not_served() || ', or have a worker claim', '; it goes on at any moment')
                       ELSE COALESCE(', but ' || stent._role_not_served(task_role), '; it goes on at any moment') END);
END
$$;

COMMENT ON FUNCTION stent._why_waiting(bigint, text, boolean) IS 'private: what a waiting task waits for';

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
    SELECT v.*, f.id AS function_id, f.handler, COALESCE(k.crashed, 0) AS crashed, COALESCE(k.lost, 0)::integer AS lost, l.chunks INTO t
    FROM stent.tasks v
    JOIN stent.function f ON f.name = v.function
    LEFT JOIN stent.task k ON k.id = v.id
    LEFT JOIN stent.lane l ON l.id = k.lane_id
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
                                    -- whether because of this one, that call finds out
                                    || COALESCE((SELECT format(' Its parent, task %s, has failed, too: revive_parent => true brings that back with it.', p.id)
                                                 FROM stent.dead_letter p WHERE p.id = t.parent_id), '')
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
    ELSIF t.state = 'waiting' THEN
        RETURN stent._why_waiting(id, t.role, t.handler IS NULL);
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
        -- nobody tells whether it takes chunks
        RETURN stent._why_external(t.function, t.queue, t.tags, t.function_id, t.lost)
               || CASE WHEN t.chunks THEN ' It is a chunk of a map: only workers that claim chunks take it, such as stent worker since 0.5.' ELSE '' END;
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

-- explain(): an execution as a tree. Who may see what is decided by extension/explain.c.

CREATE FUNCTION stent._at(moment timestamp) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET datestyle = 'ISO, YMD' AS $$
SELECT date_trunc('second', $1) || ' UTC'
$$;

COMMENT ON FUNCTION stent._at(timestamp) IS 'private: a moment for people';

CREATE FUNCTION stent._span(span interval) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
SELECT CASE WHEN s < 10 THEN round(greatest(s, 0), 3) || 's'
            WHEN s < 60 THEN round(s, 1) || 's'
            WHEN s < 3600 THEN format('%sm%ss', trunc(s / 60), trunc(s % 60))
            WHEN s < 86400 THEN format('%sh%sm', trunc(s / 3600), trunc(s % 3600 / 60))
            ELSE format('%sd%sh', trunc(s / 86400), trunc(s % 86400 / 3600)) END
FROM extract(epoch FROM $1) s
$$;

COMMENT ON FUNCTION stent._span(interval) IS 'private: how long, for people';

-- What a map has done. Items that failed, were replayed and took their place have completed.
CREATE FUNCTION stent._map_counts(map_id bigint) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
SELECT jsonb_build_object('chunks', m.chunks, 'chunks_done', c.done, 'items', m.items,
                          'completed', c.completed + r.n, 'failed', c.failed - r.n)
FROM stent.map m
CROSS JOIN LATERAL (SELECT count(*) FILTER (WHERE k.finished_at IS NOT NULL) AS done,
                           COALESCE(sum(k.completed), 0) AS completed, COALESCE(sum(k.failed), 0) AS failed
                    FROM stent.chunk k WHERE k.map_id = m.id) c
CROSS JOIN LATERAL (SELECT count(*) AS n FROM stent.item i WHERE i.map_id = m.id AND i.replaced) r
WHERE m.id = $1
$$;

COMMENT ON FUNCTION stent._map_counts(bigint) IS 'private: how far a map is; NULL: nothing is known of it';

-- How many of these tasks live, and the first of them in this order.
CREATE FUNCTION stent._still_live(ids jsonb, OUT n bigint, OUT first bigint)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off AS $$
SELECT count(DISTINCT t.id), (array_agg(t.id ORDER BY w.at))[1]
FROM (SELECT e::bigint AS id, at FROM jsonb_array_elements_text($1) WITH ORDINALITY a (e, at)) w
CROSS JOIN LATERAL (SELECT k.id FROM stent.task k WHERE k.id = w.id OFFSET 0) t
$$;

COMMENT ON FUNCTION stent._still_live(jsonb) IS 'private: how many of these tasks have not ended, and the first of them';

CREATE FUNCTION stent._step_waits_for(
    kind text, name text, child_id bigint, wake_at timestamp, detail jsonb)
RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    until constant text := CASE WHEN isfinite(wake_at) THEN ' until ' || stent._at(wake_at) ELSE '' END;
    counts jsonb;
BEGIN
    CASE kind
        WHEN 'sleep' THEN
            RETURN 'sleeps' || until;
        WHEN 'signal' THEN
            RETURN format('waits for signal "%s"%s', COALESCE(detail ->> 'name', name), until);
        WHEN 'await_all' THEN
            RETURN format('waits for %s of %s tasks%s', (SELECT l.n FROM stent._still_live(detail -> 'ids') l),
                          jsonb_array_length(detail -> 'ids'), until);
        WHEN 'map' THEN
            counts := stent._map_counts(child_id);
            IF counts IS NOT NULL THEN
                RETURN format('waits for task %s%s: %s of %s chunks done', child_id, until, counts ->> 'chunks_done', counts ->> 'chunks');
            END IF;
        ELSE NULL;
    END CASE;
    RETURN CASE WHEN child_id IS NOT NULL THEN format('waits for task %s%s', child_id, until)
                ELSE format('waits for step "%s"%s', COALESCE(name, kind), until) END;
END
$$;

COMMENT ON FUNCTION stent._step_waits_for(text, text, bigint, timestamp, jsonb) IS 'private: what a step that is not done waits for';

-- What a waiting task waits for, and since when; which task that is, the first one if they are many.
CREATE FUNCTION stent._waits_for(id bigint, OUT what text, OUT since timestamp, OUT on_task bigint)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off SET max_parallel_workers_per_gather = 0 AS $$
DECLARE
    t record;
    s record;
    counts jsonb;
BEGIN
    SELECT k.chunk, k.state, k.created_at, k.execution_id INTO t FROM stent.task k WHERE k.id = _waits_for.id;
    IF t.state IS DISTINCT FROM 'w' THEN
        RETURN;
    END IF;
    IF t.chunk = -1 THEN
        counts := stent._map_counts(id);
        what := format('waits for its chunks: %s of %s done', counts ->> 'chunks_done', counts ->> 'chunks');
        since := t.created_at;
        on_task := (SELECT min(k.task_id) FROM stent.child k WHERE k.execution_id = t.execution_id AND k.parent_id = _waits_for.id);
        RETURN;
    END IF;
    SELECT * INTO s FROM stent.step k WHERE k.task_id = _waits_for.id ORDER BY k.position DESC LIMIT 1;
    IF s.state = 'w' THEN
        what := stent._step_waits_for(s.kind, s.name, s.child_id, s.wake_at, s.detail);
        since := s.created_at;
        on_task := CASE s.kind WHEN 'await_all' THEN (SELECT l.first FROM stent._still_live(s.detail -> 'ids') l) ELSE s.child_id END;
    END IF;
END
$$;

COMMENT ON FUNCTION stent._waits_for(bigint) IS 'private: what a waiting task waits for; NULL where it does not wait';

-- Whether the wait of a waiting task is over, so that it goes on as soon as somebody looks: in
-- words, and since when.
CREATE FUNCTION stent._wait_over(id bigint, OUT how text, OUT since timestamp)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off SET max_parallel_workers_per_gather = 0 AS $$
DECLARE
    w record;
    t record;
    s record;
BEGIN
    SELECT * INTO w FROM stent._waits_for(_wait_over.id);
    IF w.what IS NULL THEN
        RETURN;
    END IF;
    SELECT k.chunk, k.execution_id, k.deadline INTO t FROM stent.task k WHERE k.id = _wait_over.id;
    IF t.chunk = -1 AND w.on_task IS NULL THEN
        how := 'those that were begun have ended';
        since := (SELECT max(c.finished_at) FROM stent.chunk c WHERE c.map_id = _wait_over.id);
    END IF;
    SELECT * INTO s FROM stent.step k WHERE k.task_id = _wait_over.id ORDER BY k.position DESC LIMIT 1;
    IF s.kind = 'signal' THEN
        SELECT 'it was sent', g.sent_at INTO how, since FROM stent.signal g
        WHERE g.execution_id = t.execution_id AND g.name = s.detail ->> 'name' AND g.number > (s.detail ->> 'after')::bigint;
    ELSIF s.kind = 'await_all' THEN
        SELECT CASE WHEN w.on_task IS NULL THEN 'all have ended' ELSE 'one of them has failed' END,
               CASE WHEN w.on_task IS NULL THEN max(r.finished_at) ELSE min(r.finished_at) END
        INTO how, since
        FROM stent._task_rows r
        WHERE r.id = ANY (ARRAY(SELECT e::bigint FROM jsonb_array_elements_text(s.detail -> 'ids') e))
          AND (w.on_task IS NULL OR r.state IN ('f', 't', 'x'))
        HAVING w.on_task IS NULL OR count(*) > 0;
    ELSIF w.on_task IS NOT NULL AND NOT EXISTS (SELECT FROM stent.task k WHERE k.id = w.on_task) THEN
        how := 'that is over';
        since := (SELECT r.finished_at FROM stent._task_rows r WHERE r.id = w.on_task);
    END IF;
    IF how IS NULL AND s.wake_at <= stent.now() THEN
        how := 'that time is over';
        since := s.wake_at;
    END IF;
    IF how IS NULL AND t.deadline <= stent.now() THEN
        how := 'its max_duration is over';
        since := t.deadline;
    END IF;
    -- what it waited for may be gone
    since := CASE WHEN how IS NOT NULL THEN COALESCE(since, w.since) END;
END
$$;

COMMENT ON FUNCTION stent._wait_over(bigint) IS 'private: how the wait of a waiting task has ended, and when; NULL where it has not';

-- The children of a task, live and finished, by id.
CREATE FUNCTION stent._children(execution_id bigint, parent_id bigint, max integer)
RETURNS TABLE (id bigint, state "char", lane_id integer)
LANGUAGE sql STABLE ROWS 100 SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off AS $$
SELECT t.id, t.state, t.lane_id FROM stent.task t WHERE t.execution_id = $1 AND t.parent_id = $2 AND t.id <> t.execution_id
UNION ALL
SELECT t.id, t.state, t.lane_id FROM stent.archive t WHERE t.execution_id = $1 AND t.parent_id = $2 AND t.id <> t.execution_id
UNION ALL
SELECT t.id, t.state, t.lane_id FROM stent.dead_letter t WHERE t.execution_id = $1 AND t.parent_id = $2 AND t.id <> t.execution_id
UNION ALL
SELECT t.id, t.state, t.lane_id FROM stent.archive_kept t WHERE t.execution_id = $1 AND t.parent_id = $2 AND t.id <> t.execution_id
ORDER BY 1 LIMIT $3
$$;

COMMENT ON FUNCTION stent._children(bigint, bigint, integer) IS 'private: children of a task, live and finished';

-- What stands below a task, in order: nodes of the tree that _explain has yet to look at.
-- Of more than 20 steps of one kind and function in a row, and of more than 20 children that
-- no step knows, the others are just counted; so is the middle where too much is left.
CREATE FUNCTION stent._explain_below(
    of_task bigint, execution_id bigint, of_state text, depth integer, viewer text, admin boolean)
RETURNS jsonb[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
WITH kid AS MATERIALIZED (
    SELECT k.id, k.lane_id, CASE WHEN k.state IN ('c', 'f', 't', 'x') THEN stent._state_name(k.state) ELSE 'unfinished' END AS state
    FROM stent._children($2, $1, 100000) k),
step AS (
    SELECT s.position, s.kind, s.function_id, s.child_id,
           row_number() OVER (ORDER BY s.position)
               - row_number() OVER (PARTITION BY s.kind, s.function_id ORDER BY s.position) AS series,
           max(s.position) OVER () AS last,
           COALESCE(k.state, CASE WHEN s.kind <> 'spawn' THEN
                                  CASE s.state WHEN 'c' THEN 'completed' WHEN 'f' THEN 'failed' ELSE 'unfinished' END END) AS state
    FROM stent.step s LEFT JOIN kid k ON k.id = s.child_id
    WHERE s.task_id = $1),
numbered AS (
    SELECT s.*, row_number() OVER same AS at, min(s.position) OVER same AS first,
           count(*) OVER (PARTITION BY s.kind, s.function_id, s.series) AS n
    FROM step s WINDOW same AS (PARTITION BY s.kind, s.function_id, s.series ORDER BY s.position)),
line AS (
    SELECT s.position::bigint, false AS stray, NULL::text AS state, NULL::bigint AS n
    FROM numbered s WHERE s.at <= 20 OR s.n = 21 OR s.position = s.last
    UNION ALL
    SELECT s.first + 20, false, s.state, count(*)
    FROM numbered s WHERE s.at > 20 AND s.n > 21 AND s.position <> s.last GROUP BY s.first, s.state),
stray AS (
    SELECT k.id, k.state, row_number() OVER (ORDER BY k.id) AS at, count(*) OVER () AS n
    FROM kid k JOIN stent.lane l ON l.id = k.lane_id
    WHERE (l.role = $5 OR $6)
      AND NOT EXISTS (SELECT FROM step s WHERE s.child_id = k.id)),
node AS (
    SELECT l.stray, l.position,
           CASE WHEN count(l.n) = 0 THEN jsonb_build_object('step', l.position, 'of', $1, 'state', $3)
                ELSE jsonb_build_object('more', sum(l.n), 'by', COALESCE(jsonb_object_agg(l.state, l.n) FILTER (WHERE l.state IS NOT NULL), '{}')) END AS node,
           COALESCE(sum(l.n), 1) AS n
    FROM line l GROUP BY l.stray, l.position, l.n IS NULL
    UNION ALL
    SELECT true, s.id, jsonb_build_object('task', s.id), 1
    FROM stray s WHERE s.at <= 20 OR s.n = 21
    UNION ALL
    SELECT true, max(m.id), jsonb_build_object('more', sum(m.n), 'by', jsonb_object_agg(m.state, m.n)), sum(m.n)
    FROM (SELECT s.state, count(*) AS n, max(s.id) AS id FROM stray s WHERE s.at > 20 AND s.n > 21 GROUP BY s.state) m
    HAVING count(*) > 0),
placed AS (
    SELECT n.*, row_number() OVER (ORDER BY n.stray, n.position, n.node ? 'more') AS place, count(*) OVER () AS places FROM node n)
SELECT COALESCE(array_agg(o.node || jsonb_build_object('depth', $4) ORDER BY o.place), '{}')
FROM (SELECT p.place, p.node FROM placed p WHERE p.places <= 200 OR p.place <= 100 OR p.place > p.places - 99
      UNION ALL
      SELECT 101, jsonb_build_object('more', sum(p.n), 'by', '{}'::jsonb)
      FROM placed p WHERE p.places > 200 AND p.place > 100 AND p.place <= p.places - 99
      HAVING count(*) > 0) o
$$;

COMMENT ON FUNCTION stent._explain_below(bigint, bigint, text, integer, text, boolean) IS 'private: what stands below a task in its tree';

-- The items of a map that failed for good: the first 5.
CREATE FUNCTION stent._explain_items(of_map bigint, depth integer) RETURNS jsonb[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
SELECT COALESCE(array_agg(n.node || jsonb_build_object('depth', $2) ORDER BY n.number), '{}')
FROM (SELECT i.number, jsonb_build_object('item', i.number, 'of', $1) AS node
      FROM (SELECT i.number FROM stent.item i WHERE i.map_id = $1 AND NOT i.replaced ORDER BY i.number LIMIT 5) i
      UNION ALL
      SELECT NULL, jsonb_build_object('more', c.n - 5, 'by', jsonb_build_object('failed', c.n - 5))
      FROM (SELECT count(*) AS n FROM stent.item i WHERE i.map_id = $1 AND NOT i.replaced) c WHERE c.n > 5) n
$$;

COMMENT ON FUNCTION stent._explain_items(bigint, integer) IS 'private: what stands below a map in its tree';

CREATE FUNCTION stent._explain(id bigint, viewer text, admin boolean)
RETURNS TABLE (ordinal integer, depth integer, kind text, step integer, name text, parent_id bigint, task_id bigint,
               function text, state text, created_at timestamp, started_at timestamp, finished_at timestamp,
               duration interval, attempt integer, error jsonb, waits_for text, detail jsonb)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off SET max_parallel_workers_per_gather = 0 SET datestyle = 'ISO, YMD' AS $$
#variable_conflict use_column
DECLARE
    most_lines constant integer := 1000;
    stack jsonb[] := ARRAY[jsonb_build_object('task', _explain.id, 'depth', 0)];
    node jsonb;
    below jsonb[];
    s record;
    t record;
    i record;
    running_of bigint;
    running jsonb;
BEGIN
    ordinal := 0;
    WHILE cardinality(stack) > 0 LOOP
        node := stack[cardinality(stack)];
        stack := trim_array(stack, 1);
        ordinal := ordinal + 1;
        depth := node ->> 'depth';
        step := NULL; name := NULL; parent_id := node -> 'of'; task_id := NULL; function := NULL; state := NULL;
        created_at := NULL; started_at := NULL; finished_at := NULL; duration := NULL; attempt := NULL; error := NULL;
        waits_for := NULL; detail := NULL;
        below := '{}';
        IF ordinal > most_lines THEN
            depth := 0;
            kind := 'cut';
            RETURN NEXT;
            RETURN;
        ELSIF node ? 'more' THEN
            kind := 'more';
            detail := jsonb_build_object('more', node -> 'more', 'by', node -> 'by');
            RETURN NEXT;
            CONTINUE;
        ELSIF node ? 'item' THEN
            SELECT m.number, m.task_id, m.attempt, m.error INTO i
            FROM stent.item m WHERE m.map_id = parent_id AND m.number = (node -> 'item')::bigint;
            kind := 'item';
            name := node ->> 'item';
            task_id := i.task_id;
            -- unless its dead letter was replayed
            state := COALESCE((SELECT v.state FROM stent.tasks v WHERE v.id = i.task_id), 'failed');
            attempt := i.attempt;
            error := CASE WHEN state <> 'completed' THEN i.error END;
            RETURN NEXT;
            CONTINUE;
        ELSIF node ? 'step' THEN
            SELECT p.*, f.name AS function INTO s
            FROM stent.step p LEFT JOIN stent.function f ON f.id = p.function_id
            WHERE p.task_id = parent_id AND p.position = (node -> 'step')::integer;
            -- one of a way that a later attempt did not take is not waited for any more
            CONTINUE WHEN NOT FOUND OR (s.state = 'w' AND node ->> 'state' = 'completed');
            kind := s.kind;
            step := s.position;
            name := s.name;
            task_id := s.child_id;
            function := s.function;
            created_at := s.created_at;
            finished_at := s.finished_at;
            error := s.error;
            -- a spawn that is done says nothing of the task it made
            state := CASE WHEN s.kind = 'spawn' THEN NULL WHEN s.state = 'c' THEN 'completed' WHEN s.state = 'f' THEN 'failed'
                          -- it was what the task waited for when that was ended from outside
                          WHEN node ->> 'state' IN ('cancelled', 'timed_out', 'failed') THEN node ->> 'state'
                          ELSE 'waiting' END;
            IF finished_at IS NULL AND state IN ('cancelled', 'timed_out', 'failed') THEN
                SELECT v.finished_at INTO finished_at FROM stent.tasks v WHERE v.id = parent_id;
            END IF;
            detail := CASE kind WHEN 'signal' THEN jsonb_build_object('signal', COALESCE(s.detail ->> 'name', s.name))
                                WHEN 'await_all' THEN jsonb_build_object('tasks', jsonb_array_length(s.detail -> 'ids')) END;
            IF state = 'waiting' AND node ->> 'state' = 'waiting' THEN
                waits_for := stent._step_waits_for(s.kind, s.name, s.child_id, s.wake_at, s.detail);
            END IF;
        ELSE
            kind := 'task';
            task_id := node -> 'task';
        END IF;

        IF kind IN ('task', 'call', 'spawn', 'map', 'map_query') AND task_id IS NOT NULL THEN
            SELECT v.* INTO t FROM stent.tasks v WHERE v.id = task_id;
            IF FOUND AND (t.role = viewer OR admin) THEN
                function := t.function;
                state := t.state;
                created_at := t.created_at;
                started_at := t.started_at;
                IF state = 'running' THEN
                    -- one look at all leases, which may be many, does for all of the tree
                    IF running_of IS DISTINCT FROM t.execution_id THEN
                        running_of := t.execution_id;
                        SELECT jsonb_object_agg(r.id, r.started_at) INTO running FROM stent.running r WHERE r.execution_id = running_of;
                    END IF;
                    started_at := running ->> t.id::text;
                END IF;
                finished_at := t.finished_at;
                attempt := t.attempt;
                error := COALESCE(t.error, error);
                waits_for := CASE t.state
                    WHEN 'waiting' THEN (SELECT w.what FROM stent._waits_for(t.id) w)
                    WHEN 'scheduled' THEN CASE WHEN t.due_at <= stent.now() THEN 'due since '
                                               WHEN t.attempt > 0 THEN 'next attempt at ' ELSE 'due at ' END || stent._at(t.due_at)
                    WHEN 'blocked' THEN format('waits for its turn by concurrency key "%s"', t.concurrency_key) END;
                detail := stent._map_counts(t.id);
                IF kind = 'task' THEN
                    parent_id := t.parent_id;
                    -- not by the name of a step that the reader may not see
                    kind := CASE WHEN detail IS NOT NULL THEN 'map' ELSE 'task' END;
                END IF;
                -- what another execution has made is shown there
                IF depth = 0 OR t.parent_id = parent_id THEN
                    below := CASE WHEN detail IS NOT NULL THEN stent._explain_items(t.id, depth + 1)
                                  ELSE stent._explain_below(t.id, t.execution_id, t.state, depth + 1, viewer, admin) END;
                END IF;
            END IF;
        END IF;
        duration := COALESCE(finished_at, stent.now()) - created_at;
        RETURN NEXT;
        FOR n IN REVERSE cardinality(below)..1 LOOP
            stack := stack || below[n];
        END LOOP;
    END LOOP;
END
$$;

COMMENT ON FUNCTION stent._explain(bigint, text, boolean) IS 'private: the tree of a task as rows, as much of it as that role may see';

-- A line of the tree.
CREATE FUNCTION stent._explain_line(
    depth integer, kind text, step integer, name text, task_id bigint, function text, state text, finished_at timestamp,
    duration interval, attempt integer, error jsonb, waits_for text, detail jsonb)
RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    what text;
    message text;
BEGIN
    IF kind = 'cut' THEN
        RETURN '... and more: only so many lines are shown, see stent.explain() of a task below';
    ELSIF kind = 'more' THEN
        RETURN repeat('  ', depth) || format('... and %s more', detail ->> 'more')
            || COALESCE(' (' || (SELECT string_agg(format('%s %s', b.value, b.key), ', ' ORDER BY b.key COLLATE "C")
                                 FROM jsonb_each_text(detail -> 'by') b) || ')', '');
    END IF;
    what := concat_ws(' ', step, CASE WHEN kind = 'task' OR step IS NULL AND kind = 'map' THEN format('%s %s', kind, task_id)
                                      WHEN kind = 'item' THEN 'item ' || name ELSE kind END,
                      CASE WHEN kind = 'signal' THEN format('"%s"', detail ->> 'signal') END,
                      CASE WHEN kind = 'await_all' THEN format('of %s tasks', detail ->> 'tasks') END,
                      CASE WHEN kind IN ('signal', 'await_all') THEN '(step "' || name || '")'
                           WHEN kind <> 'item' THEN '"' || name || '"' END, function)
            || CASE WHEN (step IS NOT NULL OR kind = 'item') AND task_id IS NOT NULL THEN format(', task %s', task_id) ELSE '' END;
    IF error IS NOT NULL THEN
        message := regexp_replace(COALESCE(error ->> 'message', 'no message'), '[[:cntrl:]]+', ' ', 'g');
        message := concat_ws(': ', error ->> 'code', CASE WHEN length(message) > 120 THEN left(message, 117) || '...' ELSE message END);
    END IF;
    RETURN repeat('  ', depth) || what || COALESCE(': ' || state, '')
        || CASE WHEN duration IS NULL OR state IS NULL OR kind IN ('record', 'item') THEN ''
                WHEN finished_at IS NOT NULL THEN ' in ' || stent._span(duration)
                ELSE ' for ' || stent._span(duration) END
        || CASE WHEN attempt > 1 AND state IN ('completed', 'failed', 'timed_out', 'cancelled') THEN format(' after %s attempts', attempt)
                WHEN attempt > 1 THEN format(', attempt %s', attempt) ELSE '' END
        || CASE WHEN message IS NULL THEN '' WHEN finished_at IS NOT NULL OR state = 'failed' THEN ' with ' || message ELSE ', last error ' || message END
        || CASE WHEN detail ? 'chunks' THEN format('; %s of %s chunks, %s of %s items done%s', detail ->> 'chunks_done', detail ->> 'chunks',
                    (detail -> 'completed')::bigint + (detail -> 'failed')::bigint, detail ->> 'items',
                    CASE WHEN (detail -> 'failed')::bigint > 0 THEN format(', %s failed', detail ->> 'failed') ELSE '' END)
                -- what the line has told already
                WHEN kind IN ('sleep', 'signal', 'await') THEN COALESCE(', ' || substring(waits_for FROM 'until .*'), '')
                ELSE COALESCE('; ' || waits_for, '') END;
END
$$;

COMMENT ON FUNCTION stent._explain_line(integer, text, integer, text, bigint, text, text, timestamp, interval, integer, jsonb, text, jsonb) IS
  'private: a line of a tree';

CREATE FUNCTION stent._explain_text(id bigint, viewer text, admin boolean) RETURNS SETOF text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
SELECT stent._explain_line(e.depth, e.kind, e.step, e.name, e.task_id, e.function, e.state, e.finished_at, e.duration, e.attempt,
                           e.error, e.waits_for, e.detail)
FROM stent._explain($1, $2, $3) e ORDER BY e.ordinal
$$;

COMMENT ON FUNCTION stent._explain_text(bigint, text, boolean) IS 'private: the tree of a task as lines';

CREATE FUNCTION stent.explain(id bigint) RETURNS SETOF text
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_explain';

COMMENT ON FUNCTION stent.explain(bigint) IS
  'an execution, or the part of it below a task, as a tree: each task and each of its steps in order, with state, how long, attempts, error and what it waits for. Long series are counted after 20. Shows own tasks, or with the admin grant everybody''s. P0002 for an unknown id, 22004 for NULL';

CREATE FUNCTION stent.explain_rows(
    id bigint, OUT ordinal integer, OUT depth integer, OUT kind text, OUT step integer, OUT name text, OUT parent_id bigint,
    OUT task_id bigint, OUT function text, OUT state text, OUT created_at timestamp, OUT started_at timestamp,
    OUT finished_at timestamp, OUT duration interval, OUT attempt integer, OUT error jsonb, OUT waits_for text, OUT detail jsonb)
RETURNS SETOF record
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_explain_rows';

COMMENT ON FUNCTION stent.explain_rows(bigint) IS
  'the same as rows, ordinal in the order of the lines: kind is task, the kind of a step (step: its position in its task, parent_id), item (one that failed of a map, name: its index), more (detail: how many are not shown, by state) or cut (the end is not shown); detail of a map: its chunks and items';

-- Partitions: stent.archive_pYYYYMMDD holds what finished that day (UTC).

CREATE OR REPLACE FUNCTION stent._add_partitions(first date, last date) RETURNS void
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
        EXECUTE format('CREATE INDEX %I ON stent.%I (execution_id, parent_id, id) WHERE parent_id IS NOT NULL',
                       leaf || '_child_idx', leaf);
        EXECUTE format('ALTER TABLE stent.%I ADD CONSTRAINT %I CHECK (finished_at >= %L AND finished_at < %L)',
                       leaf, leaf || '_range', day::timestamp, (day + 1)::timestamp);
        EXECUTE format('ALTER TABLE stent.archive ATTACH PARTITION stent.%I FOR VALUES FROM (%L) TO (%L)',
                       leaf, day::timestamp, (day + 1)::timestamp);
        EXECUTE format('ALTER TABLE stent.%I DROP CONSTRAINT %I', leaf, leaf || '_range');
    END LOOP;
END
$$;

CREATE OR REPLACE FUNCTION stent._forget(ids bigint[], refs bigint[]) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
-- items and results of a chunk belong to the map as long as that is known
DELETE FROM stent.payload WHERE id = ANY (refs) AND NOT EXISTS (SELECT FROM stent.chunk c WHERE c.task_id = ANY (ids));
DELETE FROM stent.payload p USING stent.chunk c WHERE c.map_id = ANY (ids) AND p.id IN (c.args_ref, c.results_ref);
-- a step's result is its child's, or else its own; OFFSET 0: one look for each, never a join with all history
DELETE FROM stent.payload p USING stent.step s
WHERE s.task_id = ANY (ids) AND p.id = s.result_ref
  AND NOT EXISTS (SELECT FROM stent.archive a WHERE a.id = s.child_id AND a.result_ref = s.result_ref OFFSET 0)
  AND NOT EXISTS (SELECT FROM stent.archive_kept a WHERE a.id = s.child_id AND a.result_ref = s.result_ref OFFSET 0);
DELETE FROM stent.chunk WHERE map_id = ANY (ids);
DELETE FROM stent.item WHERE map_id = ANY (ids);
DELETE FROM stent.map WHERE id = ANY (ids);
DELETE FROM stent.attempt WHERE task_id = ANY (ids);
DELETE FROM stent.output WHERE task_id = ANY (ids);
DELETE FROM stent.step WHERE task_id = ANY (ids);
DELETE FROM stent.counter WHERE execution_id = ANY (ids);
DELETE FROM stent.context WHERE execution_id = ANY (ids);
DELETE FROM stent.signal WHERE execution_id = ANY (ids);
DELETE FROM stent.memo WHERE task_id = ANY (ids);
DELETE FROM stent.progress_entry WHERE execution_id = ANY (ids);
$$;

-- Whether a chunk of the map is remembered, and its results serve.
CREATE FUNCTION stent._map_serves(map_id bigint, finished_at timestamp) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
SELECT EXISTS (SELECT FROM stent.chunk c JOIN stent.memo m ON m.task_id = c.task_id
               WHERE c.map_id = _map_serves.map_id AND _map_serves.finished_at + m.ttl > stent.now())
$$;

COMMENT ON FUNCTION stent._map_serves(bigint, timestamp) IS 'private: whether results of the map still serve as cached ones';

-- Reads the leaf once for what its rows own elsewhere (large values, failed
-- attempts, output, steps, signals, counters, context, progress, memos) and for what must be kept. The leaf is
-- locked against the few who may still write to it; the parent is not.
CREATE OR REPLACE FUNCTION stent._empty_partition(leaf regclass) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    gone bigint;
    kept bigint;
    remembered bigint;
    kept_maps bigint;
    kept_items bigint;
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
    -- the results of a chunk that still serve are with its map
    EXECUTE format('INSERT INTO stent.archive_kept SELECT a.* FROM %s a WHERE a.chunk = -1 '
                   'AND stent._map_serves(a.id, a.finished_at) ON CONFLICT DO NOTHING', leaf);
    GET DIAGNOSTICS kept_maps = ROW_COUNT;
    -- what became of an item that was replayed belongs to its map as long as that is known
    EXECUTE format('INSERT INTO stent.archive_kept SELECT a.* FROM %s a WHERE a.parent_id IS NOT NULL '
                   'AND EXISTS (SELECT FROM stent.item i WHERE i.map_id = a.parent_id AND i.task_id = a.id) '
                   'ON CONFLICT DO NOTHING', leaf);
    GET DIAGNOSTICS kept_items = ROW_COUNT;
    -- an execution lives as long as any of its tasks, whatever has become of its root;
    -- what a dead letter that is replayed finds there, the context, goes with its root, and
    -- the results that its steps have taken with its children; a chunk has its items with its map
    EXECUTE format('INSERT INTO stent.archive_kept SELECT a.* FROM %s a '
                   'JOIN (SELECT o.execution_id, bool_or(o.lives) AS lives '
                         'FROM (SELECT c.execution_id, true AS lives FROM stent.child c '
                               'UNION ALL SELECT d.execution_id, false FROM stent.dead_letter d) o '
                         'GROUP BY o.execution_id) e ON e.execution_id = a.execution_id '
                   'WHERE e.lives OR a.id = a.execution_id '
                   'OR EXISTS (SELECT FROM stent.dead_letter d WHERE d.id = a.parent_id) '
                   'OR (a.chunk = -1 AND EXISTS (SELECT FROM stent.dead_letter d '
                        'WHERE d.execution_id = a.execution_id AND d.parent_id = a.id AND d.chunk >= 0)) '
                   'ON CONFLICT DO NOTHING', leaf);
    GET DIAGNOSTICS kept_of_trees = ROW_COUNT;
    EXECUTE format('SELECT count(*) FROM %s', leaf) INTO gone;
    EXECUTE format('WITH gone AS MATERIALIZED (SELECT a.id, a.args_ref, a.result_ref, '
                   'EXISTS (SELECT FROM stent.chunk c WHERE c.map_id = a.parent_id AND c.number = a.chunk) AS of_map '
                   'FROM %s a '
                   'WHERE NOT EXISTS (SELECT FROM stent.archive_kept k WHERE k.id = a.id)), '
                   'p AS (DELETE FROM stent.payload p USING gone g WHERE p.id IN (g.args_ref, g.result_ref) AND NOT g.of_map), '
                   'h AS (DELETE FROM stent.chunk c USING gone g WHERE c.map_id = g.id RETURNING c.args_ref, c.results_ref), '
                   'q AS (DELETE FROM stent.payload p USING h WHERE p.id IN (h.args_ref, h.results_ref)), '
                   'i AS (DELETE FROM stent.item i USING gone g WHERE i.map_id = g.id), '
                   'b AS (DELETE FROM stent.map b USING gone g WHERE b.id = g.id), '
                   'a AS (DELETE FROM stent.attempt a USING gone g WHERE a.task_id = g.id), '
                   'o AS (DELETE FROM stent.output o USING gone g WHERE o.task_id = g.id), '
                   'r AS (DELETE FROM stent.payload p USING gone g JOIN stent.step s ON s.task_id = g.id WHERE p.id = s.result_ref '
                         'AND NOT EXISTS (SELECT FROM stent.archive a WHERE a.id = s.child_id AND a.result_ref = s.result_ref OFFSET 0) '
                         'AND NOT EXISTS (SELECT FROM stent.archive_kept a WHERE a.id = s.child_id AND a.result_ref = s.result_ref OFFSET 0)), '
                   's AS (DELETE FROM stent.step s USING gone g WHERE s.task_id = g.id), '
                   'n AS (DELETE FROM stent.signal n USING gone g WHERE n.execution_id = g.id), '
                   'm AS (DELETE FROM stent.memo m USING gone g WHERE m.task_id = g.id), '
                   'c AS (DELETE FROM stent.counter c USING gone g WHERE c.execution_id = g.id), '
                   'e AS (DELETE FROM stent.progress_entry e USING gone g WHERE e.execution_id = g.id) '
                   'DELETE FROM stent.context c USING gone g WHERE c.execution_id = g.id', leaf);
    RETURN gone - kept - remembered - kept_maps - kept_items - kept_of_trees;
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
              AND NOT EXISTS (SELECT FROM stent.dead_letter d WHERE d.id = k.parent_id)
              AND NOT EXISTS (SELECT FROM stent.item i WHERE i.map_id = k.parent_id AND i.task_id = k.id)
              AND (k.chunk IS DISTINCT FROM -1
                   OR NOT EXISTS (SELECT FROM stent.dead_letter d
                                  WHERE d.execution_id = k.execution_id AND d.parent_id = k.id AND d.chunk >= 0))
              AND NOT EXISTS (SELECT FROM stent.memo m WHERE m.task_id = k.id AND k.state = 'c'
                                                         AND k.finished_at + m.ttl > stent.now())
              AND (k.chunk IS DISTINCT FROM -1 OR NOT stent._map_serves(k.id, k.finished_at))
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
          AND NOT EXISTS (SELECT FROM stent.dead_letter d WHERE d.id = a.parent_id)
          AND NOT EXISTS (SELECT FROM stent.item i WHERE i.map_id = a.parent_id AND i.task_id = a.id)
          AND (a.chunk IS DISTINCT FROM -1
               OR NOT EXISTS (SELECT FROM stent.dead_letter d
                              WHERE d.execution_id = a.execution_id AND d.parent_id = a.id AND d.chunk >= 0))
          AND (a.chunk IS DISTINCT FROM -1 OR NOT stent._map_serves(a.id, a.finished_at))
        RETURNING a.id, a.args_ref, a.result_ref)
    SELECT count(*) FROM done,
           LATERAL (SELECT stent._forget(ARRAY[done.id], ARRAY[done.args_ref, done.result_ref])) f
    INTO rest;
    gone := stent._retire(cutoff);
    RETURN gone + rest;
END
$$;

-- newest(): executions as a list, the newest first, however many there are. Ids rise with
-- dispatch, partitions hold what finished on a day: each is walked backwards by its primary
-- key, the last day first, and none that has nothing newer than what was found. With a filter
-- that few rows pass a walk may be long, but it stays one walk.
CREATE FUNCTION stent._newest(
    state text, function text, queue text, max_rows integer, viewer text, admin boolean)
RETURNS SETOF bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off SET max_parallel_workers_per_gather = 0
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
#variable_conflict use_variable
DECLARE
    stored constant "char" := CASE state WHEN 'scheduled' THEN 's' WHEN 'blocked' THEN 'b' WHEN 'ready' THEN 'r' WHEN 'running' THEN 'r'
        WHEN 'waiting' THEN 'w' WHEN 'completed' THEN 'c' WHEN 'failed' THEN 'f' WHEN 'timed_out' THEN 't' WHEN 'cancelled' THEN 'x' END;
    lanes integer[];
    found bigint[] := '{}';
    oldest bigint := 0;
    part record;
    more bigint[];
BEGIN
    SELECT array_agg(l.id) INTO lanes
    FROM stent.lane l JOIN stent.function f ON f.id = l.function_id
    WHERE (admin OR l.role = viewer) AND (function IS NULL OR f.name = function) AND (queue IS NULL OR l.queue = queue);
    IF lanes IS NULL OR (state IS NOT NULL AND stored IS NULL) THEN
        RETURN;
    ELSIF state = 'running' THEN
        -- few, and they are known
        RETURN QUERY SELECT t.id FROM stent.running r JOIN stent.task t ON t.id = r.id
                     WHERE t.parent_id IS NULL AND t.lane_id = ANY (lanes) ORDER BY t.id DESC LIMIT max_rows;
        RETURN;
    END IF;
    FOR part IN
        SELECT p.name
        FROM (SELECT 1 AS place, 'stent.task' AS name, 'sbrw' AS states
              UNION ALL SELECT 2, 'stent.dead_letter', 'f'
              UNION ALL SELECT 3, 'stent.archive_kept', 'cftx'
              UNION ALL SELECT 4, i.inhrelid::regclass::text, 'cftx' FROM pg_inherits i WHERE i.inhparent = 'stent.archive'::regclass) p
        WHERE state IS NULL OR strpos(p.states, stored::text) > 0
        ORDER BY p.place, p.name DESC
    LOOP
        EXECUTE format('SELECT array_agg(n.id) FROM (SELECT t.id FROM %s t WHERE t.id > $1 AND t.parent_id IS NULL '
                       'AND t.lane_id = ANY ($2)%s ORDER BY t.id DESC LIMIT $4) n', part.name,
                       CASE WHEN state IS NULL THEN '' ELSE ' AND t.state = $3' END ||
                       CASE WHEN state = 'ready' THEN ' AND NOT EXISTS (SELECT FROM stent.running r WHERE r.id = t.id)' ELSE '' END)
        INTO more USING oldest, lanes, stored, max_rows;
        IF more IS NOT NULL THEN
            SELECT array_agg(n.id ORDER BY n.id DESC) INTO found
            FROM (SELECT u AS id FROM unnest(found || more) u ORDER BY u DESC LIMIT max_rows) n;
            IF cardinality(found) >= max_rows THEN
                oldest := found[cardinality(found)];
            END IF;
        END IF;
    END LOOP;
    RETURN QUERY SELECT u FROM unnest(found) WITH ORDINALITY o (u, n) ORDER BY o.n;
END
$$;

COMMENT ON FUNCTION stent._newest(text, text, text, integer, text, boolean) IS 'private: what newest() returns, for that role';

CREATE FUNCTION stent.newest(
    state text DEFAULT NULL, function text DEFAULT NULL, queue text DEFAULT NULL, max_rows integer DEFAULT 20)
RETURNS SETOF bigint
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_newest';

COMMENT ON FUNCTION stent.newest(text, text, text, integer) IS
  'ids of the newest executions, the newest first: own ones, or with the admin grant everybody''s; of a state, a function and a queue (NULL: all). Quick however long the history is, unlike a sorted look at the view executions. 22004 for NULL as max_rows, 22023 for one below 1';

-- Nothing is granted to PUBLIC; roles get what they need by grant_usage.

CREATE OR REPLACE FUNCTION stent.grant_usage(role name, kind text DEFAULT 'app') RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    app constant text :=
        'now(), duration(text), run(integer, text[]), execution_id(), task_id(), attempt(), headers(), '
        'dispatch(text, jsonb, text, integer, text[], interval, timestamp, interval, interval, jsonb, text, text, text, text, jsonb, jsonb, jsonb), '
        'dispatch_many(text, jsonb[], text, integer, text[], interval, timestamp, interval, interval, jsonb, jsonb), canonical(jsonb), '
        'counter_add(text, numeric), counter(text), context_set(text, jsonb, text), context_get(text), progress(text, jsonb), '
        'spawn(text, jsonb, text, integer, text[], interval, timestamp, interval, jsonb, text, jsonb, text), '
        'step(text, text, jsonb), record(text, jsonb), sleep(interval, text), await_signal(text, interval, text), continue_as_new(jsonb), '
        'reschedule(bigint, text, integer, interval, timestamp, text[]), '
        'state_of(bigint), result_of(bigint), wait_for(bigint, interval), wait_until_done(bigint, interval, jsonb), cancel(bigint), why(bigint), explain(bigint), explain_rows(bigint), newest(text, text, text, integer), '
        'call(text, jsonb, text, integer, text[], interval, timestamp, interval, jsonb, text, text, jsonb, text), await(bigint, interval, text), '
        'await_all(bigint[], integer, interval, text), promise_all(bigint[], integer, interval, text), '
        'await_all_until_done(bigint[], integer, interval, jsonb), '
        'replay(bigint, text, boolean, boolean), discard(bigint), '
        'replay_many(text, text, interval, text, boolean, integer, boolean), discard_many(text, text, interval, integer), '
        'purge_dead_letters(interval, text, text), start(integer), stop(), '
        'shared_set(text, jsonb), shared_get(text), shared_has(text), shared_delete(text), shared_add_int(text, bigint), '
        'signal(bigint, text, jsonb), set_task_pool_size(integer), get_task_pool_size(), '
        '_is_admin(), _state_name("char"), _is_running(bigint), _running_now(), _board_counts(), _oldest_ready(), '
        'map(text, jsonb, integer, integer, text, text, integer, text[], interval, jsonb, jsonb, text), '
        'starmap(text, jsonb, integer, integer, text, text, integer, text[], interval, jsonb, jsonb, text), '
        'map_query(text, text, integer, integer, text, text, integer, text[], interval, interval, jsonb, jsonb, text), map_results(bigint), '
        'par_map(text, jsonb, integer, text), parallel_map(text, jsonb, integer, text), par_each(text, jsonb, integer, text), '
        'output_of(bigint, integer), _bucket(text, integer, integer), _leased_now(), _leases()';
    admin constant text :=
        'register(text, regprocedure, text, integer, text[], integer, integer, interval, jsonb, interval, interval, boolean, interval, boolean, text, integer, integer), '
        'unregister(text), pause(text, text), resume(text, text), cleanup(interval), adopt(), health()';
    worker constant text :=
        'now(), duration(text), health(), claim(text, integer, text[], text[], text[], interval, boolean), '
        'complete(bigint, bigint, jsonb, jsonb, jsonb, jsonb, jsonb), complete_many(bigint[], bigint[], jsonb[], jsonb[]), '
        'fail(bigint, bigint, jsonb), fail_many(bigint[], bigint[], jsonb[]), release(bigint, bigint), release_many(bigint[], bigint[]), '
        'heartbeat(bigint, bigint, interval), heartbeat_many(bigint[], bigint[], interval), '
        'worker_start(text, integer, text[], text[], text[], integer, jsonb, interval), '
        'worker_heartbeat(text, text, integer, interval), worker_stop(text), worker_wait(text[]), '
        'lease_steps(bigint, bigint), suspend(bigint, bigint, jsonb, jsonb, jsonb, jsonb, jsonb), '
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

-- By name: REVOKE ... ON ALL would take what was granted to roles for the extension's own,
-- and dumps would leave it out.
REVOKE ALL ON ROUTINE
    stent.spawn(text, jsonb, text, integer, text[], interval, timestamp, interval, jsonb, text, jsonb, text),
    stent.claim(text, integer, text[], text[], text[], interval, boolean),
    stent.lease_steps(bigint, bigint),
    stent.suspend(bigint, bigint, jsonb, jsonb, jsonb, jsonb, jsonb),
    stent.step(text, text, jsonb),
    stent.record(text, jsonb),
    stent.sleep(interval, text),
    stent.await_signal(text, interval, text),
    stent.continue_as_new(jsonb),
    stent.call(text, jsonb, text, integer, text[], interval, timestamp, interval, jsonb, text, text, jsonb, text),
    stent.await(bigint, interval, text),
    stent.await_all(bigint[], integer, interval, text),
    stent.promise_all(bigint[], integer, interval, text),
    stent.await_all_until_done(bigint[], integer, interval, jsonb),
    stent.map(text, jsonb, integer, integer, text, text, integer, text[], interval, jsonb, jsonb, text),
    stent.starmap(text, jsonb, integer, integer, text, text, integer, text[], interval, jsonb, jsonb, text),
    stent.map_query(text, text, integer, integer, text, text, integer, text[], interval, interval, jsonb, jsonb, text),
    stent.map_results(bigint),
    stent.par_map(text, jsonb, integer, text),
    stent.parallel_map(text, jsonb, integer, text),
    stent.par_each(text, jsonb, integer, text),
    stent.replay(bigint, text, boolean, boolean),
    stent.replay_many(text, text, interval, text, boolean, integer, boolean),
    stent._board_counts(),
    stent._unpromoted(),
    stent._why_waiting(bigint, text, boolean),
    stent._at(timestamp),
    stent._span(interval),
    stent._map_counts(bigint),
    stent._still_live(jsonb),
    stent._step_waits_for(text, text, bigint, timestamp, jsonb),
    stent._waits_for(bigint),
    stent._wait_over(bigint),
    stent._children(bigint, bigint, integer),
    stent._explain_below(bigint, bigint, text, integer, text, boolean),
    stent._explain_items(bigint, integer),
    stent._explain(bigint, text, boolean),
    stent._explain_line(integer, text, integer, text, bigint, text, text, timestamp, interval, integer, jsonb, text, jsonb),
    stent._explain_text(bigint, text, boolean),
    stent.explain(bigint),
    stent.explain_rows(bigint),
    stent._map_serves(bigint, timestamp),
    stent._newest(text, text, text, integer, text, boolean),
    stent.newest(text, text, text, integer)
FROM PUBLIC;

REVOKE ALL ON TABLE stent.waiter, stent.map, stent.chunk, stent.item, stent._task_rows FROM PUBLIC;

DROP FUNCTION stent._board_now();

-- Roles that hold a grant get what it means now.
SELECT stent._regrant();

SELECT stent._installed();
