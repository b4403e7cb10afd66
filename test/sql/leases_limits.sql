-- Limits hold for leased tasks as for those that executors run, and for both together.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';

CREATE FUNCTION leases_limits_f(what text) RETURNS text LANGUAGE sql AS 'SELECT what';
CREATE FUNCTION leases_limits_add(VARIADIC what text[]) RETURNS bigint LANGUAGE sql AS $$
    SELECT count(stent.dispatch('leases_limits_f', jsonb_build_object('what', w))) FROM unnest(what) w
$$;
CREATE FUNCTION leases_limits_key(key text, VARIADIC what text[]) RETURNS bigint LANGUAGE sql AS $$
    SELECT count(stent.dispatch('leases_limits_k', jsonb_build_object('what', w), concurrency_key => key)) FROM unnest(what) w
$$;
CREATE FUNCTION leases_limits_claim(max int DEFAULT 100, functions text[] DEFAULT '{leases_limits_f,leases_limits_k,leases_limits_other}', lease interval DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(args ->> 'what', ' ' ORDER BY n) FROM stent.claim('w', max, functions, lease => lease) WITH ORDINALITY c (
        task_id, token, execution_id, function, queue, priority, attempt, args, headers, version, role, timeout, time_left, lease_for, items, n)
$$;
-- ends what is leased, by the name of the task
CREATE FUNCTION leases_limits_end(verb text, VARIADIC what text[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    words text;
BEGIN
    EXECUTE format('SELECT stent.%s_many(array_agg(t.id ORDER BY t.id, l.claimed_at), array_agg(l.token ORDER BY t.id, l.claimed_at)%s) FROM stent.lease l, unnest(l.task_ids) i JOIN stent.task t ON t.id = i WHERE t.args ->> ''what'' = ANY ($1)',
                   verb, CASE verb WHEN 'fail' THEN $f$, array_agg('{"message": "m"}'::jsonb)$f$ ELSE '' END) INTO words USING what;
    RETURN words;
END $$;
CREATE FUNCTION leases_limits_limit(n int, handler regprocedure DEFAULT NULL) RETURNS void LANGUAGE sql AS $$
    SELECT stent.register('leases_limits_f', handler, max_concurrent => n, retry => '{"max_attempts": 2, "initial_delay": "1m", "jitter": 0}')
$$;
CREATE VIEW leases_limits_places AS
    SELECT (SELECT count(*) FROM stent.place) AS rows, (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid BETWEEN 22272 AND 22275) AS locks,
           (SELECT count(*) FROM stent.place p WHERE NOT EXISTS (SELECT FROM stent.task t WHERE t.id = p.task_id)) AS orphans;

CREATE FUNCTION leases_limits_clear() RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(DISTINCT stent.cancel(id)::text, ' ') FROM stent.tasks WHERE function LIKE 'leases\_limits%' AND finished_at IS NULL
$$;

-- so many and no more, however they are claimed; others are not held up
SELECT leases_limits_limit(2), stent.register('leases_limits_other');
SELECT leases_limits_add('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i'), stent.dispatch('leases_limits_other', '{"what": "other"}', priority => -5) > 0 AS other;
SELECT leases_limits_claim();
SELECT * FROM leases_limits_places;
SELECT leases_limits_claim(), leases_limits_claim(1);
-- a place is free after each end of a lease
SELECT leases_limits_end('complete', 'a', 'other');
SELECT leases_limits_claim();
SELECT leases_limits_end('fail', 'b');
SELECT leases_limits_claim();
SELECT leases_limits_end('release', 'c');
SELECT leases_limits_claim(), leases_limits_claim();
SELECT stent.cancel(id) FROM stent.tasks WHERE function = 'leases_limits_f' AND args ->> 'what' = 'd';
SELECT leases_limits_claim();
SELECT * FROM leases_limits_places;
-- by expiry: both are lost, and their places with them
SET stent.clock = '2026-01-01 01:00:00';
SELECT leases_limits_claim();
SELECT * FROM leases_limits_places;
SELECT leases_limits_end('complete', 'b', 'c', 'e');
SELECT leases_limits_claim();
SELECT * FROM leases_limits_places;
-- by a deadline that a claim promotes
SELECT leases_limits_clear();
SELECT * FROM leases_limits_places;
SELECT count(stent.dispatch('leases_limits_f', '{"what": "late"}', max_duration => '1 min')) FROM generate_series(1, 2);
SELECT leases_limits_claim();
SELECT leases_limits_add('j');
SELECT leases_limits_claim();
SET stent.clock = '2026-01-01 01:02:00';
SELECT leases_limits_claim();
SELECT * FROM leases_limits_places;
SELECT leases_limits_end('complete', 'j');
-- undone: claim and completion
SELECT leases_limits_add('k', 'l', 'm');
BEGIN;
SELECT leases_limits_claim();
SELECT * FROM leases_limits_places;
ROLLBACK;
SELECT * FROM leases_limits_places;
SELECT leases_limits_claim(1);
BEGIN;
SELECT leases_limits_end('complete', 'k');
SELECT leases_limits_claim(2);
SELECT * FROM leases_limits_places;
ROLLBACK;
SELECT * FROM leases_limits_places;
SELECT leases_limits_claim();
SELECT leases_limits_clear();
-- in a savepoint that is undone its places are free again, in the same transaction
SELECT leases_limits_add('m', 'n', 'o');
BEGIN;
SAVEPOINT s;
SELECT leases_limits_claim();
SELECT leases_limits_claim();
SAVEPOINT t;
RELEASE t;
ROLLBACK TO s;
SELECT leases_limits_claim(1);
SAVEPOINT s;
SAVEPOINT t;
SELECT leases_limits_claim();
RELEASE t;
ROLLBACK TO s;
SELECT leases_limits_claim();
SELECT leases_limits_claim();
COMMIT;
SELECT * FROM leases_limits_places;
SELECT leases_limits_clear();
-- a prepared claim holds its places
SELECT leases_limits_add('n', 'o');
BEGIN;
SELECT leases_limits_claim(1);
SELECT leases_limits_add('p', 'q');
PREPARE TRANSACTION 'leases_limits';
SELECT leases_limits_add('r', 's', 't');
SELECT leases_limits_claim();
COMMIT PREPARED 'leases_limits';
SELECT leases_limits_claim();
SELECT leases_limits_end('complete', 'n');
SELECT leases_limits_claim();
SELECT * FROM leases_limits_places;
SELECT leases_limits_clear();
-- lowered and raised while tasks are leased
SELECT leases_limits_limit(4);
SELECT leases_limits_add('a', 'b', 'c', 'd', 'e', 'f', 'g');
SELECT leases_limits_claim();
SELECT leases_limits_limit(2);
SELECT leases_limits_claim();
SELECT leases_limits_end('complete', 'a', 'b');
SELECT leases_limits_claim();
SELECT leases_limits_end('complete', 'c');
SELECT leases_limits_claim(), leases_limits_claim();
SELECT leases_limits_limit(3);
SELECT leases_limits_claim(), leases_limits_claim();
-- without a limit nothing is counted; what was leased then is not, when there is one
SELECT leases_limits_limit(NULL);
SELECT leases_limits_claim();
SELECT leases_limits_end('complete', 'a', 'b', 'c', 'd', 'e', 'f', 'g');
SELECT * FROM leases_limits_places;

SELECT leases_limits_clear();
-- a function that executors run from now on: leased tasks hold their places all the same
SELECT leases_limits_limit(2);
SELECT leases_limits_add('a', 'b', 'c', 'd');
SELECT leases_limits_claim(1);
SELECT leases_limits_limit(2, 'leases_limits_f(text)');
SELECT leases_limits_claim();
BEGIN;
SELECT stent.run(1);
SELECT * FROM leases_limits_places;
COMMIT;
SELECT leases_limits_limit(1, 'leases_limits_f(text)');
SELECT stent.run();
SELECT leases_limits_end('complete', 'a');
SELECT stent.run();
SELECT leases_limits_clear();
-- and in one transaction
SELECT leases_limits_limit(1);
SELECT leases_limits_add('e', 'f', 'g');
BEGIN;
SELECT leases_limits_claim();
SELECT leases_limits_limit(1, 'leases_limits_f(text)');
SELECT stent.run();
SELECT leases_limits_end('complete', 'e');
SELECT stent.run();
COMMIT;
SELECT stent.run();
SELECT args ->> 'what' AS what, state, result FROM stent.tasks WHERE function = 'leases_limits_f' ORDER BY id DESC LIMIT 3;
SELECT leases_limits_clear();
-- the other way round: who has run one has its place until the commit
SELECT leases_limits_add('h', 'i');
BEGIN;
SELECT stent.run(1);
SELECT leases_limits_limit(1);
SELECT leases_limits_claim();
COMMIT;
SELECT leases_limits_claim();
-- a leased task goes on, and fails, under the new handler
SELECT leases_limits_limit(1, 'leases_limits_f(text)');
SELECT leases_limits_end('fail', 'i');
SET stent.clock = '2026-01-01 01:10:00';
SELECT stent.run();
SELECT * FROM leases_limits_places;

SELECT leases_limits_clear();
-- rate_limit: a token for each, given back if there is no task
SELECT stent.register('leases_limits_other', rate_limit => 60, rate_interval => '1 min', rate_burst => 3);
SELECT count(stent.dispatch('leases_limits_other', jsonb_build_object('what', i))) FROM generate_series(1, 8) i;
SELECT leases_limits_claim(2), leases_limits_claim(), leases_limits_claim();
SET stent.clock = '2026-01-01 01:10:01';
SELECT leases_limits_claim(), leases_limits_claim();
SELECT leases_limits_end('release', '1');
SELECT leases_limits_claim();
SET stent.clock = '2026-01-01 01:10:02';
SELECT leases_limits_claim(1), leases_limits_claim(1);
SET stent.clock = '2026-01-01 01:20:00';
SELECT leases_limits_claim(), leases_limits_claim();
SELECT stent.register('leases_limits_other');
SELECT leases_limits_claim();

SELECT leases_limits_clear();
-- keys: one at a time, by age; a retry keeps its turn, a release as well
SELECT stent.register('leases_limits_k', retry => '{"max_attempts": 3, "initial_delay": "1m", "jitter": 0}');
SELECT leases_limits_key('x', 'x1', 'x2', 'x3'), leases_limits_key('y', 'y1', 'y2'), leases_limits_key(NULL, 'free');
SELECT leases_limits_claim(), leases_limits_claim();
SELECT * FROM leases_limits_places;
SELECT leases_limits_end('complete', 'y1');
SELECT leases_limits_claim();
SELECT leases_limits_end('fail', 'x1');
SELECT leases_limits_claim();
SELECT leases_limits_end('release', 'y2');
SELECT leases_limits_claim();
SET stent.clock = '2026-01-01 01:22:00';
SELECT leases_limits_claim();
SELECT leases_limits_end('complete', 'x1', 'y2', 'free');
SELECT leases_limits_claim();
-- expired it keeps its turn, too; cancelled the next one comes
SET stent.clock = '2026-01-01 02:00:00';
SELECT leases_limits_claim();
SELECT stent.cancel(id) FROM stent.tasks WHERE function = 'leases_limits_k' AND args ->> 'what' = 'x2';
SELECT leases_limits_claim();
SELECT leases_limits_end('complete', 'x3');
SELECT * FROM leases_limits_places;
SELECT count(*) FROM stent.line l JOIN stent.task t ON t.id = l.task_id JOIN stent.function f ON f.id = t.function_id WHERE f.name LIKE 'leases%';
SELECT leases_limits_clear();
-- two of a key; a limit for all; handlers in between
SELECT stent.register('leases_limits_k', max_per_key => 2, max_concurrent => 3);
SELECT leases_limits_key('x', 'x1', 'x2', 'x3', 'x4'), leases_limits_key('y', 'y1', 'y2', 'y3');
SELECT leases_limits_claim();
SELECT leases_limits_end('complete', 'x1');
SELECT leases_limits_claim();
SELECT stent.register('leases_limits_k', 'leases_limits_f(text)', max_per_key => 2, max_concurrent => 3);
SELECT stent.run();
SELECT leases_limits_end('complete', 'x2', 'x3');
DO $$ BEGIN WHILE stent.run() > 0 LOOP NULL; END LOOP; END $$;
SELECT state, count(*) FROM stent.tasks WHERE function = 'leases_limits_k' AND finished_at IS NULL OR args ->> 'what' = 'x4' GROUP BY 1;
SELECT leases_limits_end('complete', 'y1', 'y2', 'y3', 'x4');
DO $$ BEGIN WHILE stent.run() > 0 LOOP NULL; END LOOP; END $$;
SELECT count(*) FROM stent.tasks WHERE function = 'leases_limits_k' AND finished_at IS NULL;
SELECT * FROM leases_limits_places;

SELECT leases_limits_clear();
-- pause: nothing new, what is leased goes on
SELECT stent.register('leases_limits_other', queue => 'leases_limits');
SELECT count(stent.dispatch('leases_limits_other', jsonb_build_object('what', i))) FROM unnest('{p1,p2,p3}'::text[]) i;
SELECT leases_limits_claim(1);
SELECT stent.pause('leases_limits');
SELECT leases_limits_claim();
SELECT leases_limits_end('heartbeat', 'p1'), leases_limits_end('release', 'p1');
SELECT leases_limits_claim();
SELECT stent.resume('leases_limits');
SELECT leases_limits_claim(1);
SELECT stent.pause(function => 'leases_limits_other');
SELECT leases_limits_claim();
SELECT leases_limits_end('complete', 'p1');
SELECT stent.resume(function => 'leases_limits_other');
SELECT leases_limits_claim();
SELECT leases_limits_end('complete', 'p2', 'p3');
SET stent.clock = '2026-01-02 00:00:00';
SELECT leases_limits_claim();
SELECT * FROM leases_limits_places;
SELECT (SELECT count(*) FROM stent.lease) AS leases, (SELECT count(*) FROM stent.due WHERE kind = 'l') AS due;
