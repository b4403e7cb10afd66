-- Every option of dispatch is stored with the task, or comes from the registration.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET datestyle = ISO;
SET intervalstyle = postgres;

CREATE FUNCTION options_f(j jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT j';
SELECT stent.register('options_f', 'options_f(jsonb)', 'options_q', 3, ARRAY['r1'], retry => '{"max_attempts": 9}',
                      timeout => '7m', max_duration => '3h', version => '1');
CREATE TABLE options_id (what text, id bigint);
INSERT INTO options_id VALUES
    ('1 registered', stent.dispatch('options_f')),
    ('2 given', stent.dispatch('options_f', '{"a": 1}', queue => 'options_other', priority => -100, tags => '{t2,t1,t2}', max_duration => '1 day',
                               timeout => '1s', retry => '{"max_attempts": 2}', headers => '{"h": 1}', dedup_key => 'k')),
    ('3 none', stent.dispatch('options_f', priority => 0, tags => '{}', max_duration => '0', timeout => '0')),
    ('4 delay', stent.dispatch('options_f', delay => '1h30m')),
    ('5 delay 0', stent.dispatch('options_f', delay => '0')),
    ('6 run_at', stent.dispatch('options_f', run_at => '2026-01-01 00:00:00.000001')),
    ('7 run_at now', stent.dispatch('options_f', run_at => '2026-01-01 00:00:00')),
    ('8 run_at past', stent.dispatch('options_f', run_at => '1999-12-31', max_duration => '1h')),
    ('9 by month', stent.dispatch('options_f', delay => '1 month', max_duration => '1 month'));
SELECT what, queue, state, priority, tags, role = current_user AS mine, attempt, max_attempts, due_at, deadline, timeout, args, headers, dedup_key
FROM options_id JOIN stent.tasks USING (id) ORDER BY what;
SELECT count(*) AS roots FROM stent.executions JOIN options_id USING (id);
SELECT bool_and(execution_id = id AND created_at = '2026-01-01' AND parent_id IS NULL) FROM stent.tasks JOIN options_id USING (id);

-- a task holds what it was dispatched with, whatever is registered later
SELECT stent.register('options_f', 'options_f(jsonb)', 'options_new', 0, ARRAY['new'], timeout => '1s', max_duration => '1s');
SELECT what, queue, priority, tags, max_attempts, deadline, timeout FROM options_id JOIN stent.tasks USING (id) WHERE what < '2' ORDER BY what;

-- NULL is the same as left out
SELECT stent.dispatch('options_f', '{}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'join', NULL, NULL, NULL, NULL, NULL) AS id \gset
SELECT queue, priority, tags, timeout, max_attempts, headers, dedup_key FROM stent.tasks WHERE id = :id;

-- run_at is UTC whatever the session's time zone
SET timezone = 'Asia/Tokyo';
SELECT stent.dispatch('options_f', run_at => '2026-01-01 12:00') AS id \gset
SELECT due_at FROM stent.tasks WHERE id = :id;
RESET timezone;

-- all of them run when their time has come
SET stent.clock = '2026-01-01 00:00:00.5';
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT what, state FROM options_id JOIN stent.tasks USING (id) ORDER BY what;
SET stent.clock = '2026-02-02 00:00:00';
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT what, state FROM options_id JOIN stent.tasks USING (id) WHERE what ~ '4|9' ORDER BY what;
SELECT count(*) FROM stent.tasks WHERE function = 'options_f' AND finished_at IS NULL;

SELECT stent.unregister('options_f');
DROP TABLE options_id;
DROP FUNCTION options_f;
