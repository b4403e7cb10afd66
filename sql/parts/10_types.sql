\echo Use "CREATE EXTENSION stent" to load this file. \quit

-- The schema itself belongs to the extension (stent.control names it); this
-- section only says what it is.

COMMENT ON SCHEMA stent IS
  'durable tasks inside PostgreSQL: functions and views are the interface, tables are private';
