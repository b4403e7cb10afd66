-- Counters and context given at dispatch belong to the execution.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';

CREATE FUNCTION cc_f(fail boolean DEFAULT false) RETURNS int LANGUAGE plpgsql AS $$ BEGIN IF fail THEN RAISE EXCEPTION 'fails'; END IF; RETURN 1; END $$;
SELECT stent.register('cc_f', 'cc_f(boolean)', retry => '{"max_attempts": 2, "initial_delay": "0s"}');

SELECT stent.dispatch('cc_f', counters => '{"done": 0, "total": 12345678901234567890, "share": 0.25, "minus": -3}',
                      context => '{"user": "ann", "n": null, "deep": {"list": [1, {"x": true}]}, "f": false, "empty": {}}') AS a,
       stent.dispatch('cc_f', counters => '{}', context => '{}') AS b,
       stent.dispatch('cc_f') AS c,
       stent.dispatch('cc_f', '{"fail": true}', counters => '{"done": 5}', context => '{"user": "bob"}') AS d \gset
SELECT stent.state_of(:a) -> 'counters' AS counters, stent.state_of(:a) -> 'context' AS context;
SELECT stent.state_of(:b) -> 'counters' AS b, stent.state_of(:b) -> 'context' AS b, stent.state_of(:c) -> 'counters' AS c, stent.state_of(:c) -> 'context' AS c;
-- the same after the end, after failed attempts, in the dead letters and after replay
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT stent.state_of(:a) ->> 'state' AS state, stent.state_of(:a) -> 'counters' AS counters, stent.state_of(:a) -> 'context' AS context;
SELECT stent.state_of(:d) ->> 'state' AS state, stent.state_of(:d) -> 'counters' AS counters, stent.state_of(:d) -> 'context' AS context;
SELECT stent.replay(:d) = :d AS replayed;
SELECT stent.state_of(:d) ->> 'state' AS state, stent.state_of(:d) -> 'counters' AS counters, stent.state_of(:d) -> 'context' AS context;
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;

-- a join keeps those of the live task
SELECT stent.dispatch('cc_f', dedup_key => 'k', counters => '{"done": 1}', context => '{"user": "ann"}') AS id \gset
SELECT stent.dispatch('cc_f', dedup_key => 'k', counters => '{"done": 7, "more": 1}', context => '{"user": "bob"}') = :id AS joined;
SELECT stent.state_of(:id) -> 'counters' AS counters, stent.state_of(:id) -> 'context' AS context;
SELECT stent.run();

-- bad values write nothing
SELECT count(*) AS tasks FROM stent.task \gset
SELECT stent.dispatch('cc_f', counters => '{"ok": 1, "bad": "x"}');
SELECT stent.dispatch('cc_f', counters => '{"bad": [1]}');
SELECT stent.dispatch('cc_f', counters => '{"bad": true}');
SELECT stent.dispatch('cc_f', counters => '[["done", 1]]');
SELECT stent.dispatch('cc_f', counters => '5');
SELECT stent.dispatch('cc_f', context => '[]');
SELECT stent.dispatch('cc_f', context => 'null');
SELECT count(*) = :tasks AS nothing_new FROM stent.task;

-- discarded and cleaned up, they are gone
SELECT stent.discard_many('cc_f');
SET stent.clock = '2026-01-01 12:00:00';
SELECT stent.cleanup('1h') > 0 AS cleaned;
SELECT count(*) FROM stent.counter WHERE execution_id IN (:a, :d, :id);
SELECT count(*) FROM stent.context WHERE execution_id IN (:a, :d, :id);
SELECT stent.unregister('cc_f');
DROP FUNCTION cc_f;
