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
