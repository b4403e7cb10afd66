-- dedup_key: a live task with the same (role, function, key) decides by on_duplicate.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET datestyle = ISO;

CREATE TABLE dedup_log (n int);
CREATE FUNCTION dedup_f(n int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    IF n < 0 THEN
        RAISE EXCEPTION 'negative';
    END IF;
    INSERT INTO dedup_log VALUES (n);
    RETURN n;
END $$;
CREATE FUNCTION dedup_try(sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    code text; msg text; hint text;
BEGIN
    EXECUTE sql;
    RETURN 'ok';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, msg = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
    RETURN code || ': ' || regexp_replace(msg, 'task \d+', 'task N') || E'\n' || hint;
END $$;
SELECT stent.register('dedup_f', 'dedup_f(int)', retry => '{"initial_delay": "1h", "jitter": 0, "max_attempts": 2, "max_delay": "1h"}');
SELECT stent.register('dedup_g', 'dedup_f(int)');

-- join: the same id, the first args; other keys, functions and no key are other tasks
SELECT stent.dispatch('dedup_f', '{"n": 1}', dedup_key => 'a') AS first \gset
SELECT stent.dispatch('dedup_f', '{"n": 2}', dedup_key => 'a') = :first AS joined,
       stent.dispatch('dedup_f', '{"n": 3}', dedup_key => 'a', on_duplicate => 'join', delay => '1h', priority => 5) = :first AS joined_too,
       stent.dispatch('dedup_f', '{"n": 4}', dedup_key => 'A') = :first AS other_key,
       stent.dispatch('dedup_g', '{"n": 5}', dedup_key => 'a') = :first AS other_function,
       stent.dispatch('dedup_f', '{"n": 6}') = :first AS no_key;
SELECT state, args, due_at, priority, dedup_key FROM stent.tasks WHERE id = :first;

-- error, and bad arguments
SELECT dedup_try($$SELECT stent.dispatch('dedup_f', '{"n": 2}', dedup_key => 'a', on_duplicate => 'error')$$);
SELECT dedup_try($$SELECT stent.dispatch('dedup_f', '{"n": 2}', dedup_key => 'a', on_duplicate => 'Join')$$);
SELECT dedup_try($$SELECT stent.dispatch('dedup_f', '{"n": 2}', dedup_key => 'a', on_duplicate => NULL)$$);
SELECT dedup_try($$SELECT stent.dispatch('dedup_f', '{"n": 2}', dedup_key => '')$$);
SELECT dedup_try($$SELECT stent.dispatch('dedup_f', '{"n": 2}', dedup_key => repeat('x', 1001))$$);
SELECT dedup_try($$SELECT stent.dispatch('dedup_f', '{"x": 2}', dedup_key => 'a')$$);

-- replace: args and due time of a task not yet started, back and forth
SELECT stent.dispatch('dedup_f', '{"n": 10}', dedup_key => 'a', on_duplicate => 'replace', delay => '1h', max_duration => '2h') = :first AS same;
SELECT state, args, due_at, deadline FROM stent.tasks WHERE id = :first;
SELECT stent.dispatch('dedup_f', '{"n": 11}', dedup_key => 'a', on_duplicate => 'replace', run_at => '2026-01-01 00:30') = :first AS same;
SELECT state, args, due_at, deadline FROM stent.tasks WHERE id = :first;
SELECT stent.dispatch('dedup_f', jsonb_build_object('n', -1), dedup_key => 'a', on_duplicate => 'replace') = :first AS same;
SELECT state, args, due_at, deadline FROM stent.tasks WHERE id = :first;
SELECT count(*) FROM stent.due WHERE kind NOT IN ('n', 'f');

-- a rollback frees a new key and undoes a replacement
BEGIN;
SELECT stent.dispatch('dedup_f', '{"n": 7}', dedup_key => 'gone') > 0 AS dispatched;
SELECT stent.dispatch('dedup_f', '{"n": 8}', dedup_key => 'a', on_duplicate => 'replace', delay => '1 day') = :first AS same;
ROLLBACK;
SELECT args, due_at FROM stent.tasks WHERE id = :first;
SELECT count(*) FROM stent.dedup;

-- within one transaction a key is seen at once
BEGIN;
SELECT stent.dispatch('dedup_f', '{"n": 7}', dedup_key => 'tx') = stent.dispatch('dedup_f', '{"n": 8}', dedup_key => 'tx') AS same;
ROLLBACK;

-- started (first attempt failed): join joins, replace is refused
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT state, attempt, due_at FROM stent.tasks WHERE id = :first;
SELECT stent.dispatch('dedup_f', '{"n": 12}', dedup_key => 'a') = :first AS joined;
SELECT dedup_try($$SELECT stent.dispatch('dedup_f', '{"n": 2}', dedup_key => 'a', on_duplicate => 'replace')$$);

-- finished, dead or alive: the key is free
SET stent.clock = '2026-01-01 02:00:00';
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT state, attempt FROM stent.tasks WHERE id = :first;
SELECT count(*) FROM stent.dedup;
SELECT stent.dispatch('dedup_f', '{"n": 20}', dedup_key => 'a') AS second \gset
SELECT :second <> :first AS new_task;

-- a dead letter cannot come back while another task holds its key
SELECT dedup_try(format('SELECT stent.replay(%s)', :first));
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT dedup_try(format('SELECT stent.replay(%s)', :first));
SELECT stent.dispatch('dedup_f', '{"n": 21}', dedup_key => 'a') = :first AS joins_the_replayed;
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SET stent.clock = '2026-01-01 04:00:00';
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT n FROM dedup_log ORDER BY n;
SELECT count(*) FROM stent.dedup;

SELECT stent.discard_many('dedup_f');
SELECT count(stent.unregister(name)) FROM stent.functions WHERE name LIKE 'dedup\__';
DROP TABLE dedup_log;
DROP FUNCTION dedup_f, dedup_try;
