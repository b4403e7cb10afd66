\echo Use "CREATE EXTENSION stent" to load this file. \quit

-- The schema is made here and so belongs to the extension: it must not exist
-- before, since whoever owns it could shadow what is in it, and it goes with the
-- extension.

CREATE SCHEMA stent;

COMMENT ON SCHEMA stent IS
  'durable tasks inside PostgreSQL: functions and views are the interface, tables are private';
