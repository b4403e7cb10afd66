CREATE FUNCTION stent.shared_set(key text, value jsonb) RETURNS boolean
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_shared_set';
COMMENT ON FUNCTION stent.shared_set(text, jsonb) IS
  'sets a value that all sessions and tasks of the database share, whatever it was; commits with the caller; true. SQL NULL is JSON null. 22004 for a NULL key, 22023 for a key that has not 1 to 1000 bytes, 54000 for a value over stent.max_payload_size';

CREATE FUNCTION stent.shared_get(key text) RETURNS jsonb
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_shared_get';
COMMENT ON FUNCTION stent.shared_get(text) IS
  'a shared value, as committed last or as this transaction left it; P0002 if there is none, 22004 for a NULL key';

CREATE FUNCTION stent.shared_has(key text) RETURNS boolean
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_shared_has';
COMMENT ON FUNCTION stent.shared_has(text) IS 'whether there is such a shared value; 22004 for a NULL key';

CREATE FUNCTION stent.shared_delete(key text) RETURNS boolean
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_shared_delete';
COMMENT ON FUNCTION stent.shared_delete(text) IS
  'removes a shared value; false if there is none; 22004 for a NULL key';

CREATE FUNCTION stent.shared_add_int(key text, delta bigint) RETURNS bigint
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_shared_add_int';
COMMENT ON FUNCTION stent.shared_add_int(text, bigint) IS
  'adds to a shared value that is an integer and returns the new total; waits for transactions that changed it before. P0002 if there is none, 42804 if it is no integer, 22003 beyond bigint, 22004 for NULL, 40001 under REPEATABLE READ if it changed meanwhile';

CREATE FUNCTION stent.set_task_pool_size(size integer) RETURNS integer
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_set_task_pool_size';
COMMENT ON FUNCTION stent.set_task_pool_size(integer) IS
  'sets stent.task_pool_size of this session, as SET would, and returns what it was: how many tasks an await or a map has in flight unless told otherwise. 22004 for NULL, 22023 unless positive';

CREATE FUNCTION stent.get_task_pool_size() RETURNS integer
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_get_task_pool_size';
COMMENT ON FUNCTION stent.get_task_pool_size() IS 'the setting stent.task_pool_size of this session';
