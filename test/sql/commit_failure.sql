-- When a commit fails its tasks rerun one per commit, and only the guilty one is charged.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';

CREATE TABLE failure_log (n int);
CREATE FUNCTION failure_f(n int) RETURNS int LANGUAGE sql AS $$ INSERT INTO failure_log VALUES (n) RETURNING n $$;
SELECT stent.register('failure_f', 'failure_f(int)', retry => '{"max_attempts": 2, "initial_delay": "1h", "jitter": 0, "max_delay": "1h"}');
CREATE VIEW failure_tasks AS SELECT args ->> 'n' AS n, state, attempt, error ->> 'code' AS code, error ->> 'message' AS message
    FROM stent.tasks WHERE function = 'failure_f' AND (args ->> 'n')::int > 0 ORDER BY id;
SELECT stent.dispatch('failure_f', '{"n": 0}') > 0 AS warm;
SELECT stent.run();

-- three share a commit that fails: nothing has happened, nobody is charged
SELECT count(*) FROM stent.dispatch_many('failure_f', ARRAY['{"n": 1}', '{"n": 2}', '{"n": 3}']::jsonb[]);
BEGIN;
SET LOCAL stent.fault = 'before_commit:error';
SELECT stent.run();
COMMIT;
TABLE failure_tasks;
SELECT n FROM failure_log WHERE n > 0;
-- then one per commit; the second one's commit fails again
SELECT stent.run();
BEGIN;
SET LOCAL stent.fault = 'before_commit:error';
SELECT stent.run();
COMMIT;
TABLE failure_tasks;
-- it is charged without another call, and the third runs alone
SELECT stent.run();
TABLE failure_tasks;
SELECT n FROM failure_log WHERE n > 0 ORDER BY n;
SELECT stent.run();
SELECT stent.run();
TABLE failure_tasks;
-- its retry is like any other, sharing a commit again
SET stent.clock = '2026-01-01 01:00:00';
SELECT count(*) FROM stent.dispatch_many('failure_f', ARRAY['{"n": 4}', '{"n": 5}']::jsonb[]);
SELECT stent.run();
SELECT stent.run();
TABLE failure_tasks;
SELECT n, count(*) FROM failure_log WHERE n > 0 GROUP BY n ORDER BY n;

-- a task alone in its commit is guilty at once; its attempts end in the dead letters
SELECT stent.dispatch('failure_f', '{"n": 6}') AS id \gset
BEGIN;
SET LOCAL stent.fault = 'before_commit:error';
SELECT stent.run();
COMMIT;
SELECT stent.run();
SET stent.clock = '2026-01-01 02:00:00';
BEGIN;
SET LOCAL stent.fault = 'before_commit:error';
SELECT stent.run();
COMMIT;
SELECT stent.run();
SELECT stent.run();
SELECT * FROM failure_tasks WHERE n = '6';
SELECT error - 'context' AS error FROM stent.dead_letters WHERE id = :id;
SELECT count(*) FROM failure_log WHERE n = 6;

-- ROLLBACK, or an error of the caller, makes nobody a suspect
SELECT count(*) FROM stent.dispatch_many('failure_f', ARRAY['{"n": 7}', '{"n": 8}', '{"n": 9}']::jsonb[]);
BEGIN; SELECT stent.run(); ROLLBACK;
BEGIN; SELECT stent.run(); SELECT 1 / 0; COMMIT;
SELECT stent.run();
SELECT * FROM failure_tasks WHERE n > '6';

-- a real one: what a constraint trigger of the caller's refuses at commit is the caller's
CREATE FUNCTION failure_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused at commit'; END $$;
CREATE TABLE failure_own (n int);
CREATE CONSTRAINT TRIGGER failure_refuse AFTER INSERT ON failure_own DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION failure_refuse();
SELECT count(*) FROM stent.dispatch_many('failure_f', ARRAY['{"n": 10}', '{"n": 11}']::jsonb[]);
BEGIN;
SELECT stent.run();
INSERT INTO failure_own VALUES (1);
COMMIT;
SELECT stent.run() + stent.run() AS ran;
SELECT * FROM failure_tasks WHERE n IN ('10', '11');

SELECT stent.discard_many('failure_f');
SELECT stent.unregister('failure_f');
DROP VIEW failure_tasks;
DROP TABLE failure_log, failure_own;
DROP FUNCTION failure_f, failure_refuse;
