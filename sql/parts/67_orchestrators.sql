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
