-- Housekeeping at the end of a batch cannot undo the batch.
\set VERBOSITY terse
CREATE TABLE housekeeping_log (n int);
CREATE FUNCTION housekeeping_f() RETURNS void LANGUAGE sql AS 'INSERT INTO housekeeping_log VALUES (1)';
SELECT stent.register('housekeeping_f', 'housekeeping_f()');
CREATE FUNCTION housekeeping_no_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no ddl'; END $$;

SET stent.clock = '2031-07-01 12:00:00';
SET stent.retention = 'off';
SELECT stent.dispatch('housekeeping_f') AS id \gset
CREATE EVENT TRIGGER housekeeping_no_ddl ON ddl_command_start EXECUTE FUNCTION housekeeping_no_ddl();
SELECT stent.run();
SELECT stent.dispatch('housekeeping_f') AS id2 \gset
SELECT stent.run();
ALTER EVENT TRIGGER housekeeping_no_ddl DISABLE;
DROP EVENT TRIGGER housekeeping_no_ddl;
SELECT state FROM stent.tasks WHERE id IN (:id, :id2);
SELECT count(*) FROM housekeeping_log;
SELECT to_regclass('stent.archive_p20310701') AS today;

-- ten minutes later it is tried again
SET stent.clock = '2031-07-01 12:10:00';
SELECT stent.dispatch('housekeeping_f') AS id3 \gset
SELECT stent.run();
SELECT to_regclass('stent.archive_p20310701') AS today, to_regclass('stent.archive_p20310708') AS last, to_regclass('stent.archive_p20310709') AS more;
SELECT stent.dispatch('housekeeping_f') AS id4 \gset
SELECT stent.run();
SELECT count(*) FROM stent.archive_p20310701;
SET stent.clock = '2031-07-01 12:20:00';
-- all that finished, whoever's: other tests leave theirs here, but no dead letters, which keep what they may want
SELECT count(stent.discard(id)) AS discarded FROM stent.dead_letters \gset
-- what became of items that were replayed goes after their map
SELECT count(*) AS finished FROM stent.tasks WHERE finished_at IS NOT NULL \gset
SELECT stent.cleanup('1m') + stent.cleanup('1m') = :finished AS all_finished;
SELECT count(*) FROM stent.tasks WHERE function = 'housekeeping_f';
SELECT stent.unregister('housekeeping_f');
DROP FUNCTION housekeeping_f();
DROP TABLE housekeeping_log;
