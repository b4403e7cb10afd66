-- A call that a task is making or has made is not made again: idempotent functions and the caller's own keys.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET datestyle = ISO;

CREATE TABLE idem_log (what text);
CREATE FUNCTION idem_f(r jsonb DEFAULT NULL, fail int DEFAULT 0, note text DEFAULT '') RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    IF stent.attempt() <= fail THEN
        RAISE EXCEPTION 'fails';
    END IF;
    INSERT INTO idem_log VALUES (COALESCE(r::text, 'none') || note);
    RETURN r;
END $$;
-- the number of the task with the given id, by first appearance
CREATE TEMP TABLE idem_seen (n serial, id bigint);
CREATE FUNCTION idem_n(id bigint) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    found_n int;
BEGIN
    SELECT s.n INTO found_n FROM idem_seen s WHERE s.id = idem_n.id;
    IF found_n IS NULL THEN
        INSERT INTO idem_seen (id) VALUES (idem_n.id) RETURNING n INTO found_n;
    END IF;
    RETURN found_n;
END $$;
CREATE FUNCTION idem_try(sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    code text; msg text; hint text;
BEGIN
    EXECUTE sql;
    RETURN 'ok';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, msg = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
    RETURN code || ': ' || regexp_replace(msg, 'task \d+', 'task N') || E'\n' || hint;
END $$;
CREATE PROCEDURE idem_drain() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
CREATE VIEW idem_tasks AS SELECT idem_n(id) AS n, state, args, result FROM stent.tasks WHERE function LIKE 'idem\__';
SELECT stent.register('idem_f', 'idem_f(jsonb, int, text)', idempotent => true, retry => '{"max_attempts": 2, "initial_delay": "1h", "jitter": 0}');
SELECT stent.register('idem_g', 'idem_f(jsonb, int, text)', idempotent => true);
SELECT stent.register('idem_p', 'idem_f(jsonb, int, text)');

-- in flight: the second joins the first, however its args are spelt; other args and functions are other calls
SELECT idem_n(stent.dispatch('idem_f', '{"r": [1, {"b": 0.5, "aa": "x"}], "note": "!"}')) AS first,
       idem_n(stent.dispatch('idem_f', '{"note": "\u0021", "r": [1.00, {"aa": "x", "b": 5e-1}]}')) AS respelt,
       idem_n(stent.dispatch('idem_f', '{"r": [1, {"b": 0.5, "aa": "x"}], "note": "!", "fail": 0}')) AS other_args,
       idem_n(stent.dispatch('idem_f', '{"r": [{"b": 0.5, "aa": "x"}, 1], "note": "!"}')) AS other_order,
       idem_n(stent.dispatch('idem_g', '{"r": [1, {"b": 0.5, "aa": "x"}], "note": "!"}')) AS other_function,
       idem_n(stent.dispatch('idem_f')) AS no_args,
       idem_n(stent.dispatch('idem_f', '{"r": null}')) AS null_arg;
-- a hit ignores the other options of the dispatch, and checks them
SELECT idem_n(stent.dispatch('idem_f', queue => 'other', priority => 9, delay => '1 day', dedup_key => 'k', counters => '{"c": 1}', headers => '{"h": 1}'));
SELECT queue, priority, due_at, dedup_key, headers, stent.state_of(id) -> 'counters' AS counters FROM stent.tasks WHERE function = 'idem_f' AND args = '{}';
SELECT idem_try($$SELECT stent.dispatch('idem_f', priority => 1000)$$);
SELECT idem_try($$SELECT stent.dispatch('idem_f', '{"x": 1}')$$);
-- a function without it makes a task each time
SELECT idem_n(stent.dispatch('idem_p')) <> idem_n(stent.dispatch('idem_p')) AS two;
CALL idem_drain();

-- presence decides, not the value
CREATE TABLE idem_value AS SELECT n, v::jsonb FROM unnest(ARRAY['0', 'false', '""', '[]', '{}', 'null']) WITH ORDINALITY u (v, n);
SELECT v, idem_n(stent.dispatch('idem_g', jsonb_build_object('r', v))) FROM idem_value ORDER BY n;
CALL idem_drain();
TRUNCATE idem_log;
SELECT v, idem_n(stent.dispatch('idem_g', jsonb_build_object('r', v))) FROM idem_value ORDER BY n;
SELECT stent.run();
SELECT count(*) FROM idem_log;
SELECT n, result FROM idem_tasks WHERE args IN (SELECT jsonb_build_object('r', v) FROM idem_value) AND n > 8 ORDER BY n;

-- the caller's own key: whatever the args, per function; such keys and args never meet
SELECT idem_n(stent.dispatch('idem_p', '{"r": 1}', idempotency_key => 'k')) AS own,
       idem_n(stent.dispatch('idem_p', '{"r": 2}', idempotency_key => 'k')) AS other_args,
       idem_n(stent.dispatch('idem_p', '{"r": 1}', idempotency_key => 'K')) AS other_key,
       idem_n(stent.dispatch('idem_p', '{"r": 1}', idempotency_key => 'k ')) AS blank,
       idem_n(stent.dispatch('idem_f', '{"r": 1}', idempotency_key => 'k')) AS other_function,
       idem_n(stent.dispatch('idem_f', '{"r": 1}')) AS no_key,
       idem_n(stent.dispatch('idem_p', '{"r": 1}')) <> idem_n(stent.dispatch('idem_p', '{"r": 1}', idempotency_key => NULL)) AS none;
CALL idem_drain();
SELECT idem_n(stent.dispatch('idem_p', '{"r": 3}', idempotency_key => 'k')) AS completed;
SELECT length(m.key), idem_n(m.task_id),
       m.key = sha256(convert_to(stent.canonical(jsonb_build_array(current_user, 'idem_p', 'k')), 'UTF8')) AS as_documented
FROM stent.memo m JOIN stent.tasks t ON t.id = m.task_id WHERE t.function = 'idem_p' AND t.args = '{"r": 1}' ORDER BY m.task_id LIMIT 1;
SELECT count(*) FROM stent.memo WHERE key = sha256(convert_to(stent.canonical(jsonb_build_array(current_user, 'idem_f', NULL, '{"r": 1}'::jsonb)), 'UTF8'));
SELECT idem_try($$SELECT stent.dispatch('idem_p', idempotency_key => '')$$);
SELECT idem_try($$SELECT stent.dispatch('idem_p', idempotency_key => repeat('x', 1001))$$);
SELECT idem_try($$SELECT stent.dispatch('idem_p', idempotency_key => repeat('é', 501))$$);
SELECT idem_try($$SELECT stent.dispatch('idem_p', idempotency_key => repeat('x', 1000))$$);

-- another version is another call, also none; the caller's own key is above versions
SELECT stent.register('idem_g', 'idem_f(jsonb, int, text)', idempotent => true, version => '2');
SELECT idem_n(stent.dispatch('idem_g', '{"r": 0}')) AS v2, idem_n(stent.dispatch('idem_g', '{"r": 0}')) AS v2_again,
       idem_n(stent.dispatch('idem_g', idempotency_key => 'v')) AS own;
SELECT stent.register('idem_g', 'idem_f(jsonb, int, text)', idempotent => true);
SELECT idem_n(stent.dispatch('idem_g', '{"r": 0}')) AS as_before, idem_n(stent.dispatch('idem_g', idempotency_key => 'v')) AS own;

-- another role's call is another call
CREATE ROLE idem_app LOGIN;
GRANT ALL ON idem_log TO idem_app;
SELECT stent.grant_usage('idem_app');
SET ROLE idem_app;
SELECT stent.dispatch('idem_g', '{"r": 0}') AS a, stent.dispatch('idem_p', idempotency_key => 'k') AS b \gset
SELECT stent.dispatch('idem_g', '{"r": 0}') = :a AS own, stent.dispatch('idem_p', '{"r": 5}', idempotency_key => 'k') = :b AS own_key;
RESET ROLE;
SELECT idem_n(:a) AS a, idem_n(:b) AS b;
SELECT stent.cancel(:a), stent.cancel(:b);

-- dispatch_many: per element, and equal ones of one call share an id; an error names its element
SELECT idem_n(id) FROM stent.dispatch_many('idem_f', ARRAY['{"r": 10}', '{"r": 11}', '{"r": 10.0}', '{}', '{"r": 11}']::jsonb[]) id;
SELECT idem_n(id) FROM stent.dispatch_many('idem_f', ARRAY['{"r": 12}', '{"r": 11}']::jsonb[], delay => '1h') id;
SELECT stent.dispatch_many('idem_f', ARRAY['{"r": 13}', '{"x": 10}']::jsonb[]);
SELECT idem_n(stent.dispatch('idem_f', '{"r": 13}')) AS not_yet_made;
SELECT n, state, args FROM idem_tasks WHERE args -> 'r' BETWEEN '10' AND '13' ORDER BY n;
CALL idem_drain();

-- what failed, was cancelled or timed out does not serve; a retry that is to come does
SELECT idem_n(stent.dispatch('idem_f', '{"fail": 2}')) AS fails, idem_n(stent.dispatch('idem_f', '{"r": 20}', delay => '1h')) AS cancelled,
       idem_n(stent.dispatch('idem_f', '{"r": 21}', max_duration => '1 s', delay => '30 min')) AS times_out;
SELECT stent.run();
SELECT idem_n(stent.dispatch('idem_f', '{"fail": 2}')) AS to_be_retried;
SELECT stent.cancel(id) FROM stent.tasks WHERE args = '{"r": 20}';
SET stent.clock = '2026-01-01 02:00:00';
CALL idem_drain();
SELECT n, state FROM idem_tasks WHERE args IN ('{"fail": 2}', '{"r": 20}', '{"r": 21}') ORDER BY n;
SELECT idem_n(stent.dispatch('idem_f', '{"fail": 2}')) AS failed, idem_n(stent.dispatch('idem_f', '{"fail": 2}')) AS joined,
       idem_n(stent.dispatch('idem_f', '{"r": 20}')) AS cancelled, idem_n(stent.dispatch('idem_f', '{"r": 20}')) AS joined,
       idem_n(stent.dispatch('idem_f', '{"r": 21}')) AS timed_out, idem_n(stent.dispatch('idem_f', '{"r": 21}')) AS joined;
-- a dead letter whose place was taken runs beside; one that is discarded does not serve, one that is replayed does
CALL idem_drain();
SET stent.clock = '2026-01-01 04:00:00';
CALL idem_drain();
SELECT n, state FROM idem_tasks WHERE args = '{"fail": 2}' ORDER BY n;
SELECT idem_n(stent.replay(max(id), reset_retries => false)) FROM stent.dead_letters WHERE function = 'idem_f';
SELECT idem_n(stent.dispatch('idem_f', '{"fail": 2}')) AS replayed;
CALL idem_drain();
SELECT idem_n(stent.dispatch('idem_f', '{"fail": 2}')) AS completed_at_last;
SELECT stent.discard_many('idem_f');

-- a rollback, also to a savepoint, forgets the call; within one transaction it is known at once
BEGIN;
SELECT idem_n(stent.dispatch('idem_f', '{"r": 30}')) AS gone;
ROLLBACK;
BEGIN;
SAVEPOINT s;
SELECT stent.dispatch('idem_f', '{"r": 30}') AS gone \gset
ROLLBACK TO s;
SELECT stent.dispatch('idem_f', '{"r": 30}') AS kept \gset
SELECT :gone <> :kept AS anew, stent.dispatch('idem_f', '{"r": 30}') = :kept AS known;
DO $$ BEGIN
    PERFORM stent.cancel(id) FROM stent.tasks WHERE args = '{"r": 30}';
    RAISE 'undo the cancellation';
EXCEPTION WHEN raise_exception THEN
    NULL;
END $$;
SELECT stent.dispatch('idem_f', '{"r": 30}') = :kept AS live;
SELECT stent.cancel(:kept);
SELECT stent.dispatch('idem_f', '{"r": 30}') = :kept AS cancelled;
ROLLBACK TO s;
SELECT count(*) FROM stent.memo m WHERE m.task_id = :kept;
COMMIT;

-- the same above READ COMMITTED
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT stent.dispatch('idem_f', '{"r": 31}') = stent.dispatch('idem_f', '{"r": 31}') AS joined;
SELECT idem_n(stent.dispatch('idem_f', '{"fail": 2}')) AS hit;
ROLLBACK;

-- in handlers
CREATE FUNCTION idem_h() RETURNS int LANGUAGE sql AS $$ SELECT idem_n(stent.dispatch('idem_f', '{"fail": 2}')) $$;
SELECT stent.register('idem_h', 'idem_h()');
SELECT stent.dispatch('idem_h') AS h \gset
CALL idem_drain();
SELECT stent.result_of(:h);

-- with dedup_key: idempotency first; a live task that is joined or replaced serves from then on
SELECT idem_n(stent.dispatch('idem_f', '{"r": 40}', dedup_key => 'd', delay => '1h')) AS first,
       idem_n(stent.dispatch('idem_f', '{"r": 41}', dedup_key => 'd')) AS dedup_joins;
SELECT idem_n(stent.dispatch('idem_f', '{"r": 41}')) AS hit;
SELECT idem_try($$SELECT stent.dispatch('idem_f', '{"r": 42}', dedup_key => 'd', on_duplicate => 'error')$$);
SELECT idem_n(stent.dispatch('idem_f', '{"r": 40}', dedup_key => 'd', on_duplicate => 'error')) AS hit;
SELECT count(*) FROM stent.memo WHERE key = sha256(convert_to(stent.canonical(jsonb_build_array(current_user, 'idem_f', NULL, '{"r": 42}'::jsonb)), 'UTF8'));
SELECT idem_n(stent.dispatch('idem_f', '{"r": 43}', dedup_key => 'd', on_duplicate => 'replace', delay => '1h')) AS replaced,
       idem_n(stent.dispatch('idem_f', '{"r": 43}')) AS hit,
       idem_n(stent.dispatch('idem_f', '{"r": 40}')) AS other_args_now, idem_n(stent.dispatch('idem_f', '{"r": 41}')) AS these_too;
SELECT n, args FROM idem_tasks WHERE args -> 'r' BETWEEN '40' AND '43' ORDER BY n;

SELECT stent.cancel(id) FROM stent.tasks WHERE function LIKE 'idem\__' AND finished_at IS NULL;
SELECT count(stent.unregister(name)) FROM stent.functions WHERE name LIKE 'idem\__';
-- the rows go with their tasks
SET stent.clock = '2026-01-01 05:00:00';
SELECT stent.cleanup('0') > 0 AS cleaned;
SELECT count(*) FROM idem_tasks;
SELECT count(*) FROM stent.memo m WHERE NOT EXISTS (SELECT FROM stent.tasks t WHERE t.id = m.task_id);
DROP VIEW idem_tasks;
DROP TABLE idem_log, idem_seen, idem_value;
DROP PROCEDURE idem_drain;
DROP FUNCTION idem_f, idem_h, idem_n, idem_try;
DROP OWNED BY idem_app;
DROP ROLE idem_app;
