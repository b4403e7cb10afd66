-- How steps are found again: by position and by name, and what a change of the code does to executions that wait.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';
CREATE FUNCTION nam_leaf(n int) RETURNS int LANGUAGE sql AS $$ SELECT n * 10 $$;
CREATE FUNCTION nam_other(n int) RETURNS int LANGUAGE sql AS $$ SELECT n * 1000 $$;
CREATE PROCEDURE nam_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT stent.register('nam_leaf', 'nam_leaf(int)'), stent.register('nam_other', 'nam_other(int)');
-- the handler's code, and another that it has when an execution waits for 'go'
CREATE FUNCTION nam_do() RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN '0'; END $$;
SELECT stent.register('nam_do', 'nam_do()', retry => '{"max_attempts": 1}');
CREATE FUNCTION nam_code(body text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE OR REPLACE FUNCTION nam_do() RETURNS jsonb LANGUAGE plpgsql AS %L', 'BEGIN RETURN jsonb_build_array(' || body || '); END');
END $$;
CREATE PROCEDURE nam_change(before text, after text) LANGUAGE plpgsql AS $$
DECLARE
    id bigint;
BEGIN
    PERFORM nam_code(before);
    id := stent.dispatch('nam_do');
    COMMIT;
    CALL nam_run();
    PERFORM nam_code(after);
    PERFORM stent.signal(id, 'go', '"went"');
    COMMIT;
    CALL nam_run();
END $$;
CREATE VIEW nam_last AS SELECT state, result, error ->> 'code' AS code, error ->> 'message' AS message, error ->> 'detail' AS detail, error ->> 'hint' AS hint FROM stent.tasks WHERE function = 'nam_do' ORDER BY id DESC LIMIT 1;
\pset format unaligned
\pset expanded on

-- as it was
CALL nam_change($$stent.call('nam_leaf', '{"n": 1}'), stent.await_signal('go')$$, $$stent.call('nam_leaf', '{"n": 1}'), stent.await_signal('go')$$);
TABLE nam_last;
-- more of it behind what was met
CALL nam_change($$stent.call('nam_leaf', '{"n": 1}'), stent.await_signal('go')$$, $$stent.call('nam_leaf', '{"n": 1}'), stent.await_signal('go'), stent.call('nam_other', '{"n": 2}')$$);
TABLE nam_last;
-- other arguments; another function; another kind; another name of a signal: errors that name both
CALL nam_change($$stent.call('nam_leaf', '{"n": 1}'), stent.await_signal('go')$$, $$stent.call('nam_leaf', '{"n": 2}'), stent.await_signal('go')$$);
TABLE nam_last;
CALL nam_change($$stent.call('nam_leaf', '{"n": 1}'), stent.await_signal('go')$$, $$stent.call('nam_other', '{"n": 1}'), stent.await_signal('go')$$);
TABLE nam_last;
CALL nam_change($$stent.call('nam_leaf', '{"n": 1}'), stent.await_signal('go')$$, $$stent.sleep('1h'), stent.await_signal('go')$$);
TABLE nam_last;
CALL nam_change($$stent.await_signal('go')$$, $$stent.await_signal('stop')$$);
TABLE nam_last;
CALL nam_change($$stent.call('nam_leaf', '{"n": 1}'), stent.await_signal('go')$$, $$stent.record('x', '1'), stent.step('y', 'nam_leaf', '{"n": 3}'), stent.call('nam_leaf', '{"n": 1}'), stent.await_signal('go')$$);
TABLE nam_last;
-- one more in front: it is met first, and does not fit
CALL nam_change($$stent.call('nam_leaf', '{"n": 1}'), stent.await_signal('go')$$, $$stent.call('nam_other', '{"n": 3}'), stent.call('nam_leaf', '{"n": 1}'), stent.await_signal('go')$$);
TABLE nam_last;
-- the same, with a name: the ones without are counted for themselves
CALL nam_change($$stent.call('nam_leaf', '{"n": 1}'), stent.await_signal('go')$$, $$stent.call('nam_other', '{"n": 3}', step_name => 'new'), stent.call('nam_leaf', '{"n": 1}'), stent.await_signal('go')$$);
TABLE nam_last;
-- one fewer: what is left over is told of
CALL nam_change($$stent.call('nam_leaf', '{"n": 1}'), stent.await_signal('go')$$, $$stent.await_signal('go')$$);
TABLE nam_last;
CALL nam_change($$stent.call('nam_leaf', '{"n": 1}'), stent.await_signal('go')$$, $$stent.call('nam_leaf', '{"n": 1}')$$);
TABLE nam_last;

-- names: in another order, fewer, more
CALL nam_change($$stent.call('nam_leaf', '{"n": 1}', step_name => 'a'), stent.call('nam_leaf', '{"n": 2}', step_name => 'b'), stent.await_signal('go', step_name => 'c')$$,
                $$stent.call('nam_leaf', '{"n": 2}', step_name => 'b'), stent.call('nam_leaf', '{"n": 1}', step_name => 'a'), stent.await_signal('go', step_name => 'c')$$);
TABLE nam_last;
CALL nam_change($$stent.call('nam_leaf', '{"n": 1}', step_name => 'a'), stent.call('nam_leaf', '{"n": 2}', step_name => 'b'), stent.await_signal('go', step_name => 'c')$$,
                $$stent.sleep('0', step_name => 'z'), stent.await_signal('go', step_name => 'c'), stent.call('nam_leaf', '{"n": 2}', step_name => 'b')$$);
TABLE nam_last;
-- a name stands for what it stood for
CALL nam_change($$stent.call('nam_leaf', '{"n": 1}', step_name => 'a'), stent.await_signal('go')$$, $$stent.call('nam_leaf', '{"n": 4}', step_name => 'a'), stent.await_signal('go')$$);
TABLE nam_last;
CALL nam_change($$stent.record('a', '1'), stent.await_signal('go')$$, $$stent.step('a', 'nam_leaf', '{"n": 4}'), stent.await_signal('go')$$);
TABLE nam_last;
-- a name used twice: by which use
CALL nam_change($$stent.call('nam_leaf', '{"n": 1}', step_name => 'a'), stent.call('nam_leaf', '{"n": 2}', step_name => 'a'), stent.await_signal('go')$$,
                $$stent.call('nam_leaf', '{"n": 1}', step_name => 'a'), stent.call('nam_leaf', '{"n": 2}', step_name => 'a'), stent.await_signal('go'), stent.call('nam_leaf', '{"n": 3}', step_name => 'a')$$);
TABLE nam_last;
-- a name that looks like a number is none
CALL nam_change($$stent.call('nam_leaf', '{"n": 1}', step_name => '1'), stent.call('nam_leaf', '{"n": 2}'), stent.await_signal('go')$$,
                $$stent.call('nam_leaf', '{"n": 2}'), stent.call('nam_leaf', '{"n": 1}', step_name => '1'), stent.await_signal('go')$$);
TABLE nam_last;
\pset expanded off
\pset format aligned

-- a function that is registered anew, or whose args are spelt otherwise, is the same
CREATE FUNCTION nam_leaf2(n int) RETURNS int LANGUAGE sql AS $$ SELECT n * 20 $$;
SELECT nam_code($$stent.call('nam_leaf', '{"n": 1, "m": 1.0}'::jsonb - 'm'), stent.await_signal('go')$$);
SELECT stent.dispatch('nam_do') AS id \gset
CALL nam_run();
SELECT stent.register('nam_leaf', 'nam_leaf2(int)');
SELECT nam_code($$stent.call('nam_leaf', '{ "n" : 1 }'), stent.await_signal('go'), stent.call('nam_leaf', '{"n": 1}')$$);
SELECT stent.signal(:id, 'go');
CALL nam_run();
SELECT stent.result_of(:id);

-- a mismatch is retried by the policy: with the code of before it goes on where it was
SELECT nam_code($$stent.call('nam_leaf', '{"n": 1}'), stent.await_signal('go'), stent.call('nam_leaf', '{"n": 2}')$$);
SELECT stent.dispatch('nam_do', retry => '{"max_attempts": 2, "initial_delay": "1m", "jitter": 0}') AS id \gset
CALL nam_run();
SELECT nam_code($$stent.call('nam_leaf', '{"n": 5}'), stent.await_signal('go'), stent.call('nam_leaf', '{"n": 2}')$$);
SELECT stent.signal(:id, 'go');
CALL nam_run();
SELECT state, error ->> 'code' AS code FROM stent.tasks WHERE id = :id;
SELECT nam_code($$stent.call('nam_leaf', '{"n": 1}'), stent.await_signal('go'), stent.call('nam_leaf', '{"n": 2}')$$);
SET stent.clock = '2026-01-01 00:01:00';
CALL nam_run();
SELECT state, attempt, result FROM stent.tasks WHERE id = :id;
SELECT count(*) AS calls FROM stent.tasks WHERE parent_id = :id;

SELECT stent.discard_many('nam_do') > 0 AS dead;
SELECT count(*) AS live FROM stent.task;
SELECT count(stent.unregister('nam_' || n)) FROM unnest(ARRAY['leaf', 'other', 'do']) n;
DROP VIEW nam_last;
DROP PROCEDURE nam_run, nam_change;
DROP FUNCTION nam_leaf, nam_leaf2, nam_other, nam_do, nam_code;
