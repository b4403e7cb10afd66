-- A task that ends in a deadlock or a serialization failure runs again, uncharged, ten
-- times; then its attempt counts like any other, so that it comes to an end.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
CREATE SEQUENCE conflict_calls;
CREATE FUNCTION conflict_f(code text, healthy int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    n int := nextval('conflict_calls');
BEGIN
    IF n < healthy THEN RAISE EXCEPTION USING ERRCODE = code; END IF;
    RETURN n;
END $$;
SELECT stent.register('conflict_f', 'conflict_f(text, int)', retry => '{"max_attempts": 2, "initial_delay": "1h", "max_delay": "1h", "jitter": 0}');
CREATE VIEW conflict_tasks AS SELECT args ->> 'code' AS code, state, attempt, result, error ->> 'code' AS error,
    jsonb_array_length(stent.state_of(id) -> 'attempts') AS attempts FROM stent.tasks WHERE function = 'conflict_f' ORDER BY id;

-- each run counts: 0 would say that nothing is claimable
SELECT stent.dispatch('conflict_f', '{"code": "40P01", "healthy": 3}') AS id \gset
SELECT stent.run();
TABLE conflict_tasks;
SELECT stent.run();
SELECT stent.run();
SELECT stent.run();
TABLE conflict_tasks;

-- the tenth time is uncharged, the eleventh is not; the next attempt begins anew
SELECT setval('conflict_calls', 1, false);
SELECT stent.dispatch('conflict_f', '{"code": "40001", "healthy": 100}') AS id \gset
DO $$ BEGIN FOR n IN 1..10 LOOP ASSERT stent.run() = 1; COMMIT; END LOOP; END $$;
SELECT state, attempt, attempts FROM conflict_tasks WHERE code = '40001';
SELECT stent.run();
SELECT state, attempt, attempts FROM conflict_tasks WHERE code = '40001';
SELECT stent.run();
SET stent.clock = '2026-01-01 01:00:00';
DO $$ BEGIN FOR n IN 1..10 LOOP ASSERT stent.run() = 1; COMMIT; END LOOP; END $$;
SELECT state, attempt, attempts FROM conflict_tasks WHERE code = '40001';
SELECT stent.run();
TABLE conflict_tasks;
SELECT last_value AS calls FROM conflict_calls;

-- a replay has all of its turns
SELECT stent.replay(:id) = :id AS replayed;
SELECT stent.run();
SELECT state, attempt FROM conflict_tasks WHERE code = '40001';
SELECT setval('conflict_calls', 200);
SELECT stent.run();
SELECT state, attempt FROM conflict_tasks WHERE code = '40001';

-- another error is charged at once
SELECT setval('conflict_calls', 1, false);
SELECT stent.dispatch('conflict_f', '{"code": "40003", "healthy": 100}') AS id \gset
SELECT stent.run();
SELECT state, attempt, attempts FROM conflict_tasks WHERE code = '40003';
SELECT stent.cancel(:id);

SELECT stent.unregister('conflict_f');
DROP VIEW conflict_tasks;
DROP FUNCTION conflict_f;
DROP SEQUENCE conflict_calls;
