-- What a session remembers about lanes, policies and functions goes when what wrote it is undone.
\set VERBOSITY terse
CREATE FUNCTION undone_f() RETURNS int LANGUAGE sql AS 'SELECT 1';
SELECT stent.register('undone_f', 'undone_f()', retry => '{"max_attempts": 1}');

-- a lane and a policy found again in a savepoint of the transaction that added them
BEGIN;
SELECT stent.dispatch('undone_f', queue => 'undone_q', retry => '{"max_attempts": 7}') > 0 AS id;
SAVEPOINT a;
SELECT 1 / 0;
ROLLBACK TO a;
SELECT stent.dispatch('undone_f', queue => 'undone_q', retry => '{"max_attempts": 7}') > 0 AS id;
ROLLBACK;
SELECT stent.dispatch('undone_f', queue => 'undone_q', retry => '{"max_attempts": 7}') AS id \gset
SELECT queue, state, max_attempts FROM stent.tasks WHERE id = :id;
SELECT stent.run(100, '{undone_q}');
SELECT state, result FROM stent.tasks WHERE id = :id;

-- a function registered and dispatched by a statement that fails
SELECT stent.register('undone_new', 'undone_f()'), stent.dispatch('undone_new'), 1 / (length(current_user) - length(current_user));
SELECT stent.dispatch('undone_new');
BEGIN;
SELECT stent.register('undone_new', 'undone_f()');
SAVEPOINT a;
SELECT stent.dispatch('undone_new') > 0 AS id;
ROLLBACK;
SELECT stent.dispatch('undone_new');

-- a policy that could not be read back, or would overflow
SELECT stent.dispatch('undone_f', retry => '{"initial_delay": "26000000d600000000h"}');
SELECT stent.register('undone_f', 'undone_f()', retry => '{"max_delay": "40000d"}');

-- a task rolled back to a savepoint is not blamed for the commit
SELECT stent.dispatch('undone_f') AS id \gset
BEGIN;
SAVEPOINT a;
SELECT stent.run();
ROLLBACK TO a;
SET LOCAL stent.fault = 'before_commit:error';
COMMIT;
SELECT stent.run();
SELECT state, attempt FROM stent.tasks WHERE id = :id;
SELECT stent.run();
SELECT count(*) FROM stent.ready;
DROP FUNCTION undone_f();
