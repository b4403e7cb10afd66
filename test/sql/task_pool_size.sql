-- The default bound of awaits and maps is a setting of the session.
SELECT stent.get_task_pool_size();
SELECT stent.set_task_pool_size(7), stent.get_task_pool_size(), current_setting('stent.task_pool_size');
SELECT stent.set_task_pool_size(2147483647);
SET stent.task_pool_size = 9;
SELECT stent.get_task_pool_size();

\set VERBOSITY sqlstate
SELECT stent.set_task_pool_size(NULL);
SELECT stent.set_task_pool_size(2.5);
SELECT stent.set_task_pool_size('5'::text);
SELECT stent.get_task_pool_size(1);
SELECT stent.set_task_pool_size(0);
SELECT stent.set_task_pool_size(-1);
\set VERBOSITY default
SELECT stent.set_task_pool_size(0);
SELECT stent.set_task_pool_size(NULL);
SET stent.task_pool_size = 0;
SELECT stent.get_task_pool_size();

-- as SET: undone with its transaction or subtransaction
BEGIN;
SELECT stent.set_task_pool_size(10);
SAVEPOINT s;
SELECT stent.set_task_pool_size(11);
ROLLBACK TO s;
SELECT stent.get_task_pool_size();
ROLLBACK;
SELECT stent.get_task_pool_size();
BEGIN;
SELECT stent.set_task_pool_size(12);
COMMIT;
SELECT stent.get_task_pool_size();

-- a task's own ends with it
CREATE FUNCTION tps_f() RETURNS int[] LANGUAGE sql AS $$ SELECT ARRAY[stent.set_task_pool_size(3), stent.get_task_pool_size()] $$;
SELECT stent.register('tps_f', 'tps_f()');
SELECT stent.dispatch('tps_f') AS id \gset
SELECT stent.run();
SELECT stent.result_of(:id), stent.get_task_pool_size();

-- another session begins with the default
\c -
SELECT stent.get_task_pool_size();
SELECT stent.unregister('tps_f');
DROP FUNCTION tps_f;
