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
    headers jsonb DEFAULT NULL,
    step_name text DEFAULT NULL)
RETURNS bigint
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_spawn';
COMMENT ON FUNCTION stent.spawn(text, jsonb, text, integer, text[], interval, timestamp, interval, jsonb, text, jsonb, text) IS
  'in a handler: a step that makes a child of its task, in the same execution, and returns its id. The child begins to exist with the commit of the attempt, or of the wait the handler comes to; a failed attempt leaves none. Options left NULL come from the registration; the execution''s max_duration bounds the child as well. 55000 outside a handler';
