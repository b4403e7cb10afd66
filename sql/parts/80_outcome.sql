CREATE FUNCTION stent.state_of(id bigint) RETURNS jsonb
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_state_of';
COMMENT ON FUNCTION stent.state_of(bigint) IS
  'one task as jsonb: state, what a waiting one waits for, times (UTC), attempts and their errors, result, error, counters, context, signals, how many children of it and tasks of its whole execution live; P0002 for an unknown id';

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
       'waits_for', (SELECT w.what FROM stent._waits_for($1) w),
       'live_children', (SELECT pg_catalog.count(*) FROM stent.child k WHERE k.execution_id = $2 AND k.parent_id = $1),
       'live_tasks', (SELECT pg_catalog.count(*) FROM stent.child k WHERE k.execution_id = $2)
           + (SELECT pg_catalog.count(*) FROM stent.task t WHERE t.id = $2))
$$;
COMMENT ON FUNCTION stent._state_of(bigint, bigint) IS 'private: what state_of adds to a row of tasks';
REVOKE ALL ON FUNCTION stent._state_of(bigint, bigint) FROM PUBLIC;
