CREATE FUNCTION stent.run(max_tasks integer DEFAULT 100, queues text[] DEFAULT NULL)
RETURNS integer
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_run';
COMMENT ON FUNCTION stent.run(integer, text[]) IS
  'runs up to max_tasks ready tasks of current_user in this transaction and returns how many, or 1 where it ended none but gave tasks back or went through many due entries; 0 means nothing is claimable. It may return early: commit and call again. 42501 where current_user is not the session user';

CREATE FUNCTION stent.execution_id() RETURNS bigint
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'stent_execution_id';
COMMENT ON FUNCTION stent.execution_id() IS 'in a handler: id of the execution; 55000 elsewhere';

CREATE FUNCTION stent.task_id() RETURNS bigint
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'stent_task_id';
COMMENT ON FUNCTION stent.task_id() IS 'in a handler: id of the task; 55000 elsewhere';

CREATE FUNCTION stent.attempt() RETURNS integer
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'stent_attempt';
COMMENT ON FUNCTION stent.attempt() IS 'in a handler: number of this attempt, from 1; 55000 elsewhere';

CREATE FUNCTION stent.headers() RETURNS jsonb
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'stent_headers';
COMMENT ON FUNCTION stent.headers() IS
  'in a handler: the headers given at dispatch, {} if none; 55000 elsewhere';
