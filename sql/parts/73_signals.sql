CREATE FUNCTION stent.signal(execution bigint, name text, payload jsonb DEFAULT 'null') RETURNS void
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_signal';
COMMENT ON FUNCTION stent.signal(bigint, text, jsonb) IS
  'sends a named value to a live execution, in the caller''s transaction; the latest value of a name wins. P0002 for an unknown execution or a task that is none, ST011 if it has finished, 22004 for NULL execution or name, 22023 for a name that has not 1 to 200 bytes, 54000 for a payload over stent.max_payload_size';
