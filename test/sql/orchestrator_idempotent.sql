-- Calls that need not be made again: joined while they run, taken from memory when they are done.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';
CREATE TABLE oid_t (n int);
CREATE FUNCTION oid_quote(n int) RETURNS int LANGUAGE sql AS $$ INSERT INTO oid_t VALUES (n); SELECT n * 10 $$;
CREATE FUNCTION oid_plain(n int) RETURNS int LANGUAGE sql AS $$ INSERT INTO oid_t VALUES (n); SELECT n * 10 $$;
CREATE PROCEDURE oid_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
CREATE FUNCTION oid_do(n int) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN jsonb_build_array(stent.call('oid_quote', jsonb_build_object('n', n)), stent.call('oid_quote', jsonb_build_object('n', n))); END $$;
CREATE FUNCTION oid_key(n int, key text) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN stent.call('oid_plain', jsonb_build_object('n', n), idempotency_key => key); END $$;
SELECT stent.register('oid_quote', 'oid_quote(int)', cached => true, cache_ttl => '1h'), stent.register('oid_plain', 'oid_plain(int)'), stent.register('oid_do', 'oid_do(int)'), stent.register('oid_key', 'oid_key(int, text)');

-- three orchestrators wait for one call; the second call of each finds it done
SELECT stent.pause(function => 'oid_quote');
SELECT stent.dispatch('oid_do', '{"n": 1}') AS a, stent.dispatch('oid_do', '{"n": 1}') AS b, stent.dispatch('oid_do', '{"n": 1}') AS c \gset
CALL oid_run();
SELECT function, state, count(*) FROM stent.tasks WHERE function LIKE 'oid%' GROUP BY 1, 2 ORDER BY 1;
SELECT count(*) AS waiters FROM stent.waiter;
SELECT stent.resume(function => 'oid_quote');
CALL oid_run();
SELECT stent.result_of(:a), stent.result_of(:b), stent.result_of(:c);
SELECT count(*) AS calls FROM oid_t;
SELECT count(*) AS waiters FROM stent.waiter;

-- done before: no task is made, the handler is not even suspended for it
SELECT stent.dispatch('oid_do', '{"n": 1}') AS id \gset
CALL oid_run();
SELECT state, result FROM stent.tasks WHERE id = :id;
SELECT count(*) AS children FROM stent.tasks WHERE parent_id = :id;
SELECT count(*) AS calls FROM oid_t;

-- its time is over between two runs of the handler: what a step has returned once it returns again
CREATE FUNCTION oid_slow() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    a jsonb := stent.call('oid_quote', '{"n": 2}');
BEGIN
    PERFORM stent.sleep('2h');
    RETURN jsonb_build_array(a, stent.call('oid_quote', '{"n": 2}'));
END $$;
SELECT stent.register('oid_slow', 'oid_slow()');
SELECT stent.dispatch('oid_slow') AS id \gset
CALL oid_run();
SET stent.clock = '2026-01-01 02:00:00';
CALL oid_run();
SELECT stent.result_of(:id);
SELECT count(*) AS calls FROM oid_t WHERE n = 2;

-- by a key of one's own, also one that an execution uses
SELECT stent.pause(function => 'oid_plain');
SELECT stent.dispatch('oid_plain', '{"n": 3}', idempotency_key => 'k') AS own \gset
SELECT stent.dispatch('oid_key', '{"n": 3, "key": "k"}') AS a, stent.dispatch('oid_key', '{"n": 4, "key": "k"}') AS b, stent.dispatch('oid_key', '{"n": 5, "key": "other"}') AS c \gset
CALL oid_run();
SELECT function, args, state FROM stent.tasks WHERE function = 'oid_plain' ORDER BY id;
SELECT stent.resume(function => 'oid_plain');
CALL oid_run();
SELECT stent.result_of(:a), stent.result_of(:b), stent.result_of(:c);

-- cancelling one who joined leaves the call to the others
SELECT stent.pause(function => 'oid_plain');
SELECT stent.dispatch('oid_plain', '{"n": 6}', idempotency_key => 'l') AS own, stent.dispatch('oid_key', '{"n": 6, "key": "l"}') AS a, stent.dispatch('oid_key', '{"n": 6, "key": "l"}') AS b \gset
CALL oid_run();
SELECT stent.cancel(:a);
SELECT state FROM stent.tasks WHERE id IN (:own, :a, :b) ORDER BY id;
SELECT stent.resume(function => 'oid_plain');
CALL oid_run();
SELECT state, result FROM stent.tasks WHERE id IN (:own, :a, :b) ORDER BY id;

-- a joined call that fails, fails for all; a failure is not remembered
CREATE OR REPLACE FUNCTION oid_plain(n int) RETURNS int LANGUAGE sql AS $$ SELECT 1 / (n - n) $$;
SELECT stent.register('oid_plain', 'oid_plain(int)', retry => '{"max_attempts": 1}');
SELECT stent.dispatch('oid_key', '{"n": 7, "key": "m"}') AS a, stent.dispatch('oid_key', '{"n": 7, "key": "m"}') AS b \gset
CALL oid_run();
SELECT state, attempt, error ->> 'code' AS code FROM stent.tasks WHERE id IN (:a, :b) ORDER BY id;
SELECT count(*) AS calls FROM stent.tasks WHERE function = 'oid_plain' AND args = '{"n": 7}';

SELECT stent.discard_many('oid_plain') > 0 AS leaves, stent.discard_many('oid_key') > 0 AS parents;
SELECT (SELECT count(*) FROM stent.task) AS tasks, (SELECT count(*) FROM stent.due) AS due, (SELECT count(*) FROM stent.waiter) AS waiters, (SELECT count(*) FROM stent.child) AS children;
SELECT count(stent.unregister('oid_' || n)) FROM unnest(ARRAY['quote', 'plain', 'do', 'key', 'slow']) n;
DROP PROCEDURE oid_run;
DROP FUNCTION oid_quote, oid_plain, oid_do, oid_key, oid_slow;
DROP TABLE oid_t;
