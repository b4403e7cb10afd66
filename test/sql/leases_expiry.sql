-- A lease that is over: who claims next gives its tasks back, and counts; the old token
-- changes nothing from then on, and not before.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';

CREATE FUNCTION leases_expiry_try(sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    code text; msg text;
BEGIN
    EXECUTE sql INTO msg;
    RETURN 'returns ' || coalesce(msg, 'null');
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, msg = MESSAGE_TEXT;
    RETURN code || ': ' || regexp_replace(regexp_replace(msg, 'token \d+', 'token N'), 'task \d+', 'task N', 'g');
END $$;
-- claims all, and says how: by lease, the names of its tasks
CREATE FUNCTION leases_expiry_claim(worker text, max int DEFAULT 100, lease interval DEFAULT '10 min') RETURNS SETOF text LANGUAGE sql AS $$
    SELECT string_agg(args ->> 'what', ' ' ORDER BY n) FROM stent.claim(worker, max, '{leases_expiry_f}', lease => lease) WITH ORDINALITY c (
        task_id, token, execution_id, function, queue, priority, attempt, args, headers, version, role, timeout, time_left, lease_for, items, n)
    GROUP BY token ORDER BY min(n)
$$;
CREATE FUNCTION leases_expiry_add(VARIADIC what text[]) RETURNS bigint LANGUAGE sql AS $$
    SELECT count(stent.dispatch('leases_expiry_f', jsonb_build_object('what', w))) FROM unnest(what) w
$$;
CREATE VIEW leases_expiry_state AS
    SELECT t.args ->> 'what' AS what, t.attempt, t.lost, t.replays, r.task_id IS NOT NULL AS ready, l.worker, l.expires_at - stent.now() AS left, l.n AS of,
           (SELECT count(*) FROM stent.lease x WHERE t.id = ANY (x.task_ids)) AS rows
    FROM stent.task t JOIN stent.function f ON f.id = t.function_id AND f.name = 'leases_expiry_f'
    LEFT JOIN stent.ready r ON r.task_id = t.id
    LEFT JOIN LATERAL (SELECT x.worker, x.expires_at, cardinality(x.task_ids) AS n FROM stent.lease x WHERE t.id = ANY (x.task_ids) ORDER BY x.claimed_at DESC LIMIT 1) l ON true
    ORDER BY 1;
CREATE VIEW leases_expiry_rows AS
    SELECT (SELECT string_agg(worker || cardinality(task_ids), ' ' ORDER BY worker, cardinality(task_ids)) FROM stent.lease) AS leases,
           (SELECT count(*) FROM stent.due WHERE kind = 'l') AS due, (SELECT count(*) FROM stent.place) AS places;
-- what is known of a task by its name: the id and the token a worker had
CREATE TABLE leases_expiry_held (what text, id bigint, token bigint, worker text);
CREATE FUNCTION leases_expiry_note() RETURNS void LANGUAGE sql AS $$
    INSERT INTO leases_expiry_held SELECT t.args ->> 'what', t.id, l.token, l.worker FROM stent.lease l, unnest(l.task_ids) i JOIN stent.task t ON t.id = i
    WHERE NOT EXISTS (SELECT FROM leases_expiry_held h WHERE h.id = t.id AND h.token = l.token)
$$;
CREATE FUNCTION leases_expiry_do(verb text, worker text, VARIADIC what text[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    words text;
BEGIN
    EXECUTE format('SELECT stent.%s_many(array_agg(h.id ORDER BY o), array_agg(h.token ORDER BY o)%s) FROM unnest($2) WITH ORDINALITY w (name, o) JOIN leases_expiry_held h ON h.what = w.name AND h.worker = $1',
                   verb, CASE verb WHEN 'fail' THEN $f$, array_agg('{"message": "m", "retryable": false}'::jsonb)$f$ ELSE '' END) INTO words USING worker, what;
    RETURN words;
END $$;
SELECT stent.register('leases_expiry_f', retry => '{"max_attempts": 3, "initial_delay": "1m", "jitter": 0}');

-- partial: two are completed, one is renewed, the rest goes at its old time
SELECT leases_expiry_add('a', 'b', 'c', 'd', 'e', 'f');
SELECT leases_expiry_claim('w');
SELECT leases_expiry_note();
SET stent.clock = '2026-01-01 00:05:00';
SELECT leases_expiry_do('complete', 'w', 'b', 'e'), leases_expiry_do('heartbeat', 'w', 'c');
SELECT what, attempt, lost, ready, worker, "left", "of", rows FROM leases_expiry_state;
SELECT * FROM leases_expiry_rows;
-- an older lease is not shortened
SELECT stent.heartbeat(id, token, '1 min') FROM leases_expiry_held WHERE what = 'a';
SELECT what, "left" FROM leases_expiry_state WHERE what = 'a';
-- one moment before
SET stent.clock = '2026-01-01 00:09:59.999999';
SELECT leases_expiry_claim('x');
-- it is over, and nobody has looked: the token holds, all is still possible
SET stent.clock = '2026-01-01 00:10:30';
SELECT leases_expiry_do('complete', 'w', 'a'), leases_expiry_do('heartbeat', 'w', 'd');
SELECT leases_expiry_claim('x');
SELECT what, attempt, lost, ready, worker, "left" FROM leases_expiry_state;
SELECT leases_expiry_note();
SELECT * FROM leases_expiry_rows;
-- taken over: the old token is nobody's, in every form, and changes nothing
SELECT leases_expiry_do('complete', 'w', 'f'), leases_expiry_do('fail', 'w', 'f'), leases_expiry_do('release', 'w', 'f'), leases_expiry_do('heartbeat', 'w', 'f');
SELECT leases_expiry_try(format('SELECT stent.complete(%s, %s, ''1'', ''{"c": 1}'', ''{"k": 1}'', ''{"leases_expiry": 1}'', ''[{"step": "s"}]'')', id, token)) FROM leases_expiry_held WHERE what = 'f' AND worker = 'w';
SELECT leases_expiry_try(format('SELECT stent.fail(%s, %s, ''{"message": "m"}'')', id, token)), leases_expiry_try(format('SELECT stent.release(%s, %s)', id, token)),
       leases_expiry_try(format('SELECT stent.heartbeat(%s, %s)', id, token)) FROM leases_expiry_held WHERE what = 'f' AND worker = 'w';
SELECT what, attempt, lost, ready, worker, "left", rows FROM leases_expiry_state WHERE what = 'f';
SELECT (SELECT count(*) FROM stent.attempt a WHERE a.task_id = h.id) AS attempts, (SELECT count(*) FROM stent.counter c WHERE c.execution_id = h.id) AS counters,
       (SELECT count(*) FROM stent.context c WHERE c.execution_id = h.id) AS context, stent.shared_has('leases_expiry') AS shared FROM leases_expiry_held h WHERE what = 'f' AND worker = 'w';
-- the new one holds; d, which was renewed late, is still the old worker's
SELECT leases_expiry_do('complete', 'x', 'c', 'f'), leases_expiry_do('complete', 'w', 'c', 'd');
SELECT * FROM leases_expiry_rows;
SELECT what, state, attempt FROM stent.tasks t, LATERAL (SELECT args ->> 'what') w (what) WHERE function = 'leases_expiry_f' ORDER BY 1;
TRUNCATE leases_expiry_held;

-- those that lost a worker are leased alone, each by itself; the others together. In the order of age
SELECT leases_expiry_add('a', 'b', 'c');
SELECT leases_expiry_claim('w');
SET stent.clock = '2026-01-01 00:30:00';
SELECT leases_expiry_add('d', 'e');
SELECT leases_expiry_claim('x');
SELECT * FROM leases_expiry_rows;
SELECT what, attempt, lost, ready, worker, "of" FROM leases_expiry_state;
SELECT leases_expiry_note();
-- released, they stay what they are
SELECT leases_expiry_do('release', 'x', 'a', 'd'), leases_expiry_do('complete', 'x', 'b', 'c', 'e');
SELECT leases_expiry_claim('y');
-- again and again, up to stent.max_lost; then it is a dead letter
SHOW stent.max_lost;
CREATE PROCEDURE leases_expiry_lose(n int) LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. n LOOP
        PERFORM set_config('stent.clock', to_char(stent.now() + interval '11 min', 'YYYY-MM-DD HH24:MI:SS'), false), leases_expiry_claim('z' || i);
    END LOOP;
END $$;
CALL leases_expiry_lose(3);
SELECT what, attempt, lost, ready, worker, "of" FROM leases_expiry_state;
CALL leases_expiry_lose(1);
SELECT what, attempt, lost, ready, worker, "of" FROM leases_expiry_state;
SELECT state, attempt, started_at < finished_at AS took_time, error FROM stent.tasks WHERE function = 'leases_expiry_f' AND args ->> 'what' = 'a' AND state = 'failed';
SELECT count(*) AS attempts, min(a.error ->> 'code') AS code FROM stent.attempt a JOIN stent.tasks t ON t.id = a.task_id WHERE function = 'leases_expiry_f';
SELECT leases_expiry_note();
SELECT leases_expiry_do('complete', 'x', 'a');
-- replayed it begins again; without a reset it has no more to lose
SELECT id AS a FROM stent.dead_letters WHERE function = 'leases_expiry_f' \gset
SELECT stent.replay(:a) = :a AS replayed;
SELECT what, attempt, lost, replays, ready FROM leases_expiry_state WHERE what = 'a';
SELECT leases_expiry_claim('r', 1);
CALL leases_expiry_lose(4);
SELECT what, attempt, lost, replays FROM leases_expiry_state WHERE what = 'a';
CALL leases_expiry_lose(1);
SELECT state, error ->> 'code' AS code FROM stent.tasks WHERE id = :a;
SELECT stent.replay(:a, reset_retries => false) = :a AS replayed;
SELECT count(*) FROM stent.claim('r', 1, '{leases_expiry_f}', lease => '1s') WHERE task_id = :a;
CALL leases_expiry_lose(1);
SELECT state, error ->> 'code' AS code FROM stent.tasks WHERE id = :a;
SELECT stent.discard(:a);
-- d was lost as well
SELECT what, attempt, lost, ready FROM leases_expiry_state;
SELECT count(stent.discard(id)) FROM stent.dead_letters WHERE function = 'leases_expiry_f';
SELECT stent.cancel(id) FROM stent.tasks WHERE function = 'leases_expiry_f' AND finished_at IS NULL;
CALL leases_expiry_lose(1);
SELECT * FROM leases_expiry_rows;

-- a limit of one: the first loss is the last
SET stent.max_lost = 1;
SELECT leases_expiry_add('once', 'too');
SELECT leases_expiry_claim('w');
CALL leases_expiry_lose(1);
SELECT args ->> 'what' AS what, state, error ->> 'code' AS code, error ->> 'message' AS message FROM stent.tasks WHERE function = 'leases_expiry_f' AND state = 'failed' ORDER BY 1;
SELECT count(stent.discard(id)) FROM stent.dead_letters WHERE function = 'leases_expiry_f';
RESET stent.max_lost;
-- a retry between losses: attempts and losses are counted by themselves
SELECT leases_expiry_add('both');
SELECT stent.fail(task_id, token, '{"message": "first"}') FROM stent.claim('w', 1, '{leases_expiry_f}');
CALL leases_expiry_lose(2);
SELECT what, attempt, lost, ready, worker FROM leases_expiry_state;
SELECT attempt, stent.complete(task_ids[1], token, '1') FROM stent.lease, stent.task WHERE id = task_ids[1];
-- expired past the deadline: it is over, and not lost
SELECT stent.dispatch('leases_expiry_f', '{"what": "late"}', max_duration => '15 min') AS late \gset
SELECT leases_expiry_claim('w', lease => '20 min');
CALL leases_expiry_lose(2);
SELECT state, attempt, error ->> 'code' AS code FROM stent.tasks WHERE id = :late;
SELECT * FROM leases_expiry_rows;

-- parts: renewed here and there, completed across them, in one call
SELECT leases_expiry_add('p', 'q', 'r', 's', 't');
SELECT leases_expiry_claim('w');
TRUNCATE leases_expiry_held;
SELECT leases_expiry_note();
SELECT leases_expiry_do('heartbeat', 'w', 'p', 'r'), leases_expiry_do('heartbeat', 'w', 'r'), leases_expiry_do('heartbeat', 'w', 's', 'q');
SELECT * FROM leases_expiry_rows;
SELECT leases_expiry_do('heartbeat', 'w', 'p', 'q', 'r', 's', 't');
SELECT * FROM leases_expiry_rows;
SELECT leases_expiry_do('release', 'w', 'r', 's'), leases_expiry_do('complete', 'w', 't', 'q');
SELECT what, ready, worker, "of", rows FROM leases_expiry_state;
SELECT leases_expiry_do('complete', 'w', 'p', 'r');
SELECT * FROM leases_expiry_rows;
SELECT leases_expiry_claim('v');
TRUNCATE leases_expiry_held;
SELECT leases_expiry_note();
SELECT leases_expiry_do('complete', 'v', 'r', 's');
SELECT * FROM leases_expiry_rows;
-- promoted by whoever looks, whatever role and function he serves
SELECT leases_expiry_add('u');
SELECT leases_expiry_claim('w');
SET stent.clock = '2026-01-03 00:00:00';
SELECT count(*) FROM stent.claim('v', 1, '{no_such_function}');
SELECT what, lost, ready FROM leases_expiry_state;
SELECT leases_expiry_claim('w');
SELECT stent.complete(task_ids[1], token) FROM stent.lease;
SELECT * FROM leases_expiry_rows;
