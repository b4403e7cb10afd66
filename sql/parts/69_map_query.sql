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
