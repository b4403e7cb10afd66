CREATE FUNCTION stent.now() RETURNS timestamp
LANGUAGE c VOLATILE PARALLEL SAFE AS 'MODULE_PATHNAME', 'stent_now';
COMMENT ON FUNCTION stent.now() IS
  'the only clock: UTC without time zone, the moment of the call; stent.clock freezes or shifts it';

CREATE FUNCTION stent.duration(value text) RETURNS interval
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'stent_duration';
COMMENT ON FUNCTION stent.duration(text) IS
  'interval of a text such as 30s, 5m, 1h30m, 2d8h or 1.5h (units s m h d w); 22007 for anything else, 22004 for NULL';
