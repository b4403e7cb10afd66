-- What a handler tells of its execution. All of it is written with the task's completion.

CREATE FUNCTION stent.counter_add(name text, delta numeric) RETURNS void
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_counter_add';
COMMENT ON FUNCTION stent.counter_add(text, numeric) IS
  'in a handler: adds to a counter of the execution when the attempt commits; a failed attempt adds nothing. Waits for nobody. 22004 for NULL, 22023 for a name without 1 to 200 bytes, NaN or infinity, 22003 for more than 1000 digits, 55000 outside a handler';

CREATE FUNCTION stent.counter(name text) RETURNS numeric
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_counter';
COMMENT ON FUNCTION stent.counter(text) IS
  'in a handler: a counter of the execution: what is committed and what this transaction adds; 0 if nobody has added to it. 22004 for NULL, 22023 for a name without 1 to 200 bytes, 55000 outside a handler';

CREATE FUNCTION stent.context_set(key text, value jsonb, strategy text DEFAULT 'overwrite') RETURNS void
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_context_set';
COMMENT ON FUNCTION stent.context_set(text, jsonb, text) IS
  'in a handler: sets a key of the execution''s context when the attempt commits. strategy: overwrite; preserve (only if the key is absent); smart (null, "", [] and {} do not displace a value). An equal value is not written. 22004 for NULL, 22023 for an unknown strategy or a key without 1 to 200 bytes, 54000 for a value over stent.max_payload_size, 55000 outside a handler';

CREATE FUNCTION stent.context_get(key text) RETURNS jsonb
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_context_get';
COMMENT ON FUNCTION stent.context_get(text) IS
  'in a handler: a key of the execution''s context as committed, with what this transaction sets; NULL if absent. 22004 for NULL, 22023 for a key without 1 to 200 bytes, 55000 outside a handler';

CREATE FUNCTION stent.progress(step text, detail jsonb DEFAULT NULL) RETURNS void
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_progress';
COMMENT ON FUNCTION stent.progress(text, jsonb) IS
  'in a handler: an entry of the view stent.progress when the attempt commits; with preload stent.running shows the step at once. Of one attempt 100 entries are kept (the middle is left out), of an execution the latest 1000. 22004 for a NULL step, 22023 for a step without 1 to 200 bytes, 54000 for a detail over 10000 bytes, 55000 outside a handler';
