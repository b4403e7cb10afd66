-- Deadlines and delays of one key that have come due together are all acted on.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
CREATE FUNCTION keys_deadlines_f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'fails'; END $$;
SELECT stent.register('keys_deadlines_f', 'keys_deadlines_f()', retry => '{"initial_delay": "20s", "jitter": 0}');
CREATE VIEW keys_deadlines_states AS
    SELECT concurrency_key AS key, state, attempt, count(*) FROM stent.tasks WHERE function = 'keys_deadlines_f' GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;

-- a retry that comes before the deadline, one that comes after it, and two without a key
SELECT count(stent.dispatch('keys_deadlines_f', concurrency_key => key, max_duration => duration))
FROM (VALUES ('b', interval '30s'), ('c', '10s'), (NULL, '30s'), (NULL, '10s')) v (key, duration);
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
-- each that ends makes the next one ready, whose deadline has come as well
SELECT count(stent.dispatch('keys_deadlines_f', concurrency_key => 'a', max_duration => '10s')) FROM generate_series(1, 9);
-- a delay
SELECT count(stent.dispatch('keys_deadlines_f', concurrency_key => 'd', max_duration => '1s', delay => '5s'));
SELECT * FROM keys_deadlines_states;

SET stent.clock = '2026-01-01 01:00:00';
DO $$ BEGIN FOR i IN 1..20 LOOP PERFORM stent.run(); COMMIT; END LOOP; END $$;
SELECT * FROM keys_deadlines_states;
-- nothing is left of them
SELECT count(*) FROM stent.due d JOIN stent.lane l ON l.id = d.bucket & 4294967295 JOIN stent.function f ON f.id = l.function_id WHERE f.name = 'keys_deadlines_f';
SELECT count(*) FROM stent.line n JOIN stent.lane l ON l.id = n.bucket & 4294967295 JOIN stent.function f ON f.id = l.function_id WHERE f.name = 'keys_deadlines_f';

DROP VIEW keys_deadlines_states;
SELECT stent.unregister('keys_deadlines_f');
DROP FUNCTION keys_deadlines_f;
