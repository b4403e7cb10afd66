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
  'the task is done: ''completed'', or ''timed_out'' (of a child ''cancelled'') if its execution''s max_duration was over. With it, and only if the token holds the task, counters {"name": number} are added and context {"key": value} is set, of its execution; shared {"key": whole number} is added to shared values, as shared_add_int does; and progress [{"step": text, "detail": any}] is told. Of a chunk, result is an array with one outcome for each item in order: {"result": any}, {"error": object as fail takes it}, or null, not run; then also ''retry'', failed items are tried again by the policy, or ''released'', only such that were not run are left. ST012 if the token does not hold the task; then, and after any error, nothing was changed. 22023 for outcomes or effects of the wrong shape, 54000 for a result over stent.max_payload_size, P0002, 42804, 22003 as shared_add_int';

CREATE FUNCTION stent.complete_many(
    task_ids bigint[],
    tokens bigint[],
    results jsonb[] DEFAULT NULL,
    effects jsonb[] DEFAULT NULL)
RETURNS text[]
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_complete_many';
COMMENT ON FUNCTION stent.complete_many(bigint[], bigint[], jsonb[], jsonb[]) IS
  'complete for 1 to 1000 tasks in one transaction; effects are objects with the keys counters, context, shared and progress. Returns for each completed, of chunks also retry and released, timed_out, cancelled, lost, ended or busy. An error, which effects may cause, is one of the whole call: then nothing was changed, and complete them one by one';

CREATE FUNCTION stent.fail(task_id bigint, token bigint, error jsonb) RETURNS text
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_fail';
COMMENT ON FUNCTION stent.fail(bigint, bigint, jsonb) IS
  'the attempt failed (of a chunk: that of all its items): ''retry'' if the policy stored with the task retries it, ''failed'' if it is a dead letter now, ''timed_out'' (of a child ''cancelled'') if its execution''s max_duration was over. error is an object: message, a text; code, a SQLSTATE or the name of an error (default ST014), with which retry_for and no_retry_for compare; detail and hint; retryable, false: whatever the policy says; other keys are kept. ST012 if the token does not hold the task; 22004, 22023 for the error, 54000 for one over stent.max_payload_size';

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
