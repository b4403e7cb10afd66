CREATE FUNCTION stent.start(executors integer DEFAULT 1) RETURNS integer
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_start';
COMMENT ON FUNCTION stent.start(integer) IS
  'with preload: serves this database until the server restarts, whatever stent.databases says, and ends stop(); 1 if that is a change, admin grant needed (42501), executors is not used. Without preload: starts 1 to 64 executors of the session user, which look for work once a second; returns how many; 22023 for another number, 53400 if no background worker slot is free';

CREATE FUNCTION stent.stop() RETURNS integer
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_stop';
COMMENT ON FUNCTION stent.stop() IS
  'with preload: no longer serves this database until start() or a restart of the server; running batches end first; 1 if that is a change, admin grant needed (42501). Without preload: ends the executors that start() made, one''s own or, for an admin, all; returns how many';

CREATE FUNCTION stent._installed() RETURNS void
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_installed';
COMMENT ON FUNCTION stent._installed() IS 'private: tells the launcher that there is something to serve';
