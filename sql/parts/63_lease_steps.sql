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
