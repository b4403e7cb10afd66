-- What has come due is promoted in bounded batches by whoever runs, all of it and each once.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';

CREATE TABLE promotion_log (id bigint, n int);
CREATE FUNCTION promotion_f(n int) RETURNS int LANGUAGE sql AS $$ INSERT INTO promotion_log VALUES (stent.task_id(), n) RETURNING n $$;
CREATE PROCEDURE promotion_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run(1000) > 0 LOOP COMMIT; END LOOP; END $$;
CREATE FUNCTION promotion_some(n int) RETURNS jsonb[] LANGUAGE sql AS $$ SELECT array_agg(jsonb_build_object('n', i) ORDER BY i) FROM generate_series(1, n) i $$;
SELECT stent.register('promotion_f', 'promotion_f(int)');

-- many at one moment, and many at moments of their own
SELECT count(*) FROM stent.dispatch_many('promotion_f', promotion_some(2500), delay => '1h');
SELECT count(stent.dispatch('promotion_f', jsonb_build_object('n', n), delay => n * interval '1s', queue => 'promotion_q')) FROM generate_series(1, 1500) n;
SELECT stent.run();
SET stent.clock = '2026-01-01 00:59:59';
CALL promotion_run();
SELECT count(*), max(n) FROM promotion_log;
SET stent.clock = '2026-01-01 01:00:00';
CALL promotion_run();
SELECT count(*), count(DISTINCT id) FROM promotion_log;
SELECT state, count(*) FROM stent.tasks WHERE function = 'promotion_f' GROUP BY state;
SELECT count(*) FROM stent.due;

-- in the order of their due times
TRUNCATE promotion_log;
SELECT count(stent.dispatch('promotion_f', jsonb_build_object('n', n), run_at => timestamp '2026-01-01 03:00' + n * 7919 % 1000 * interval '1s')) FROM generate_series(1, 1000) n;
SET stent.clock = '2026-01-01 04:00:00';
CALL promotion_run();
SELECT count(*) FROM (SELECT t.due_at < lag(t.due_at) OVER (ORDER BY l.ctid) AS early FROM promotion_log l JOIN stent.tasks t USING (id)) s WHERE early;

-- what falls due during a batch of others runs too, high priorities first
TRUNCATE promotion_log;
SELECT count(*) FROM stent.dispatch_many('promotion_f', ARRAY['{"n": 1}', '{"n": 2}']::jsonb[], delay => '1m');
SELECT count(*) FROM stent.dispatch_many('promotion_f', ARRAY['{"n": 3}']::jsonb[], delay => '2m', priority => 1);
SET stent.clock = '2026-01-01 04:10:00';
CALL promotion_run();
SELECT array_agg(n ORDER BY ctid) FROM promotion_log;

-- many deadlines at once, ready and delayed
TRUNCATE promotion_log;
SELECT count(*) FROM stent.dispatch_many('promotion_f', promotion_some(1500), max_duration => '10m');
SELECT count(*) FROM stent.dispatch_many('promotion_f', promotion_some(1500), delay => '1m', max_duration => '9m', queue => 'promotion_q');
SELECT count(*) FROM stent.dispatch_many('promotion_f', promotion_some(3));
SET stent.clock = '2026-01-01 04:20:00';
CALL promotion_run();
SELECT count(*) FROM promotion_log;
SELECT state, count(*) FROM stent.tasks WHERE function = 'promotion_f' AND created_at = '2026-01-01 04:10' GROUP BY state ORDER BY state;
SELECT (SELECT count(*) FROM stent.due) AS due, (SELECT count(*) FROM stent.ready) AS ready, (SELECT count(*) FROM stent.task) AS live;

-- another role's due tasks are left alone
CREATE ROLE promotion_role LOGIN;
SELECT stent.grant_usage('promotion_role');
GRANT ALL ON promotion_log TO promotion_role;
SET SESSION AUTHORIZATION promotion_role;
SELECT stent.dispatch('promotion_f', '{"n": 50}', delay => '1m') AS id \gset
RESET SESSION AUTHORIZATION;
SET stent.clock = '2026-01-01 05:00:00';
SELECT stent.run();
SELECT state FROM stent.tasks WHERE id = :id;
SET SESSION AUTHORIZATION promotion_role;
SELECT stent.run();
SELECT state FROM stent.tasks WHERE id = :id;
RESET SESSION AUTHORIZATION;

SELECT stent.unregister('promotion_f');
DROP TABLE promotion_log;
DROP FUNCTION promotion_f, promotion_some;
DROP PROCEDURE promotion_run;
DROP OWNED BY promotion_role;
DROP ROLE promotion_role;
