CREATE FUNCTION stent.state_of(id bigint) RETURNS jsonb
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_state_of';
COMMENT ON FUNCTION stent.state_of(bigint) IS
  'one task as jsonb: state, times (UTC), attempts and their errors, result, error, counters, context; P0002 for an unknown id';

CREATE FUNCTION stent.result_of(id bigint) RETURNS jsonb
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_result_of';
COMMENT ON FUNCTION stent.result_of(bigint) IS
  'the result of a completed task (JSON null for a void handler). Raises the task''s own error if it failed, ST001 while it is unfinished, ST002 if it timed out, ST004 if it was cancelled, P0002 for an unknown id';

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
           FROM stent.attempt a WHERE a.task_id = $1), '[]'))
$$;
COMMENT ON FUNCTION stent._state_of(bigint, bigint) IS 'private: what state_of adds to a row of tasks';
REVOKE ALL ON FUNCTION stent._state_of(bigint, bigint) FROM PUBLIC;
