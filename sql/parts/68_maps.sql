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
