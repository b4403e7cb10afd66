-- Orchestrators under limits and keys, paused and rescheduled: a wait holds no place, but it holds its turn.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';
CREATE FUNCTION lim_wait(n int) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN jsonb_build_array(n, stent.await_signal('go')); END $$;
CREATE PROCEDURE lim_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
CREATE VIEW lim_states AS SELECT args -> 'n' AS n, state, result FROM stent.tasks WHERE function = 'lim_wait' ORDER BY id;

-- max_concurrent counts who runs, not who waits
SELECT stent.register('lim_wait', 'lim_wait(int)', max_concurrent => 1);
SELECT stent.dispatch('lim_wait', '{"n": 1}') AS a, stent.dispatch('lim_wait', '{"n": 2}') AS b \gset
CALL lim_run();
TABLE lim_states;
SELECT stent.signal(:b, 'go', '"b"');
CALL lim_run();
TABLE lim_states;
-- paused: it becomes ready, and stays so
SELECT stent.pause(function => 'lim_wait');
SELECT stent.signal(:a, 'go', '"a"');
CALL lim_run();
TABLE lim_states;
SELECT stent.resume(function => 'lim_wait');
CALL lim_run();
TABLE lim_states;

-- each time it goes on takes a token of its rate
SELECT stent.register('lim_wait', 'lim_wait(int)', rate_limit => 1, rate_interval => '1m');
SELECT stent.dispatch('lim_wait', '{"n": 3}') AS a \gset
CALL lim_run();
SELECT stent.signal(:a, 'go', '"c"');
CALL lim_run();
SELECT * FROM lim_states WHERE n = '3';
SET stent.clock = '2026-01-01 00:01:00';
CALL lim_run();
SELECT * FROM lim_states WHERE n = '3';

-- of a concurrency key the next begins when the one before has ended, not when it waits
SELECT stent.register('lim_wait', 'lim_wait(int)');
SELECT stent.dispatch('lim_wait', '{"n": 4}', concurrency_key => 'k') AS a, stent.dispatch('lim_wait', '{"n": 5}', concurrency_key => 'k') AS b \gset
SELECT stent.signal(:b, 'go', '"e"');
CALL lim_run();
SELECT * FROM lim_states WHERE n IN ('4', '5');
SELECT stent.signal(:a, 'go', '"d"');
CALL lim_run();
SELECT * FROM lim_states WHERE n IN ('4', '5');

-- so a call of the same function and key would never begin; with another key, or another place for its key, it does
CREATE FUNCTION lim_self(depth int, key text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN CASE WHEN depth = 0 THEN 'bottom' ELSE stent.call('lim_self', jsonb_build_object('depth', depth - 1, 'key', key), concurrency_key => key) #>> '{}' END;
EXCEPTION WHEN object_not_in_prerequisite_state THEN
    RETURN 'refused';
END $$;
SELECT stent.register('lim_self', 'lim_self(int, text)');
SELECT stent.dispatch('lim_self', '{"depth": 1, "key": "k"}', concurrency_key => 'k') AS a, stent.dispatch('lim_self', '{"depth": 1, "key": "l"}', concurrency_key => 'k') AS b \gset
CALL lim_run();
SELECT stent.result_of(:a) AS same, stent.result_of(:b) AS another;
SELECT stent.register('lim_self', 'lim_self(int, text)', max_per_key => 2);
SELECT stent.dispatch('lim_self', '{"depth": 1, "key": "k"}', concurrency_key => 'k') AS a \gset
CALL lim_run();
SELECT stent.result_of(:a) AS two_at_a_time;

-- a dedup key is kept while it waits; it has started, so nothing replaces it
SELECT stent.dispatch('lim_wait', '{"n": 6}', dedup_key => 'd') AS a \gset
CALL lim_run();
SELECT stent.dispatch('lim_wait', '{"n": 7}', dedup_key => 'd') = :a AS joined;
\set VERBOSITY sqlstate
SELECT stent.dispatch('lim_wait', '{"n": 7}', dedup_key => 'd', on_duplicate => 'replace');
-- another priority and queue, but no other time
SELECT stent.reschedule(:a, priority => 7, queue => 'lim_q');
SELECT stent.reschedule(:a, delay => '0');
\set VERBOSITY terse
SELECT state, queue, priority FROM stent.tasks WHERE id = :a;
SELECT queue, waiting FROM stent.queues WHERE queue = 'lim_q';
SELECT stent.signal(:a, 'go', '"f"');
SELECT stent.run(queues => '{default}');
SELECT state, queue, priority FROM stent.tasks WHERE id = :a;
SELECT stent.run(queues => '{lim_q}');
SELECT state, queue, priority, result FROM stent.tasks WHERE id = :a;

SELECT (SELECT count(*) FROM stent.task) AS tasks, (SELECT count(*) FROM stent.ready) AS ready, (SELECT count(*) FROM stent.due) AS due, (SELECT count(*) FROM stent.line) AS lines, (SELECT count(*) FROM stent.place) AS places;
SELECT stent.unregister('lim_wait'), stent.unregister('lim_self');
DROP VIEW lim_states;
DROP PROCEDURE lim_run;
DROP FUNCTION lim_wait, lim_self;
