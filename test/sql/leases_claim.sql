-- claim(): what it gives to whom, and in which order.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';

CREATE ROLE leases_claim_one LOGIN;
CREATE ROLE leases_claim_two LOGIN;
CREATE ROLE leases_claim_worker LOGIN;
SELECT stent.grant_usage('leases_claim_one'), stent.grant_usage('leases_claim_two'), stent.grant_usage('leases_claim_worker', 'worker');
CREATE FUNCTION leases_claim_try(sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    code text; msg text; hint text;
BEGIN
    EXECUTE sql INTO msg;
    RETURN 'returns ' || coalesce(msg, 'null');
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, msg = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
    RETURN code || ': ' || msg || ' / ' || hint;
END $$;
-- dispatches, and says by what the task is known
CREATE FUNCTION leases_claim_add(what text, function text DEFAULT 'leases_claim_f', queue text DEFAULT NULL, tags text[] DEFAULT NULL, priority int DEFAULT NULL)
RETURNS text LANGUAGE sql AS $$
    SELECT what FROM (SELECT stent.dispatch(function, jsonb_build_object('what', what), queue => queue, tags => tags, priority => priority)) d
$$;
CREATE FUNCTION leases_claim_seen(max int DEFAULT 100, functions text[] DEFAULT '{leases_claim_f,leases_claim_g}', queues text[] DEFAULT NULL, tags text[] DEFAULT NULL)
RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(args ->> 'what', ' ' ORDER BY n) FROM stent.claim('w', max, functions, queues, tags) WITH ORDINALITY c (
        task_id, token, execution_id, function, queue, priority, attempt, args, headers, version, role, timeout, time_left, lease_for, items, n)
$$;
-- gives back all that is leased here
CREATE FUNCTION leases_claim_back() RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(DISTINCT o, ' ') FROM (SELECT stent.release_many(l.task_ids, array_fill(l.token, ARRAY[cardinality(l.task_ids)])) AS w FROM stent.lease l) r, unnest(w) o
$$;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO PUBLIC;
SELECT stent.register('leases_claim_f', queue => 'leases', timeout => '90s', version => '7'), stent.register('leases_claim_g', queue => 'leases', priority => 5, max_duration => '1h');

-- all columns
SELECT leases_claim_add('a'), leases_claim_add('b', 'leases_claim_g', tags => '{x,y}');
SELECT stent.dispatch('leases_claim_f', '{"what": "c"}', headers => '{"h": 1}', timeout => '5s') AS c \gset
SET stent.clock = '2026-01-01 00:00:10';
SELECT task_id = execution_id AS root, token > 0 AND token < 2 ^ 53 AS token, function, queue, priority, attempt, args, headers, version, role = session_user AS role,
       timeout, time_left, lease_for FROM stent.claim('w', 10, '{leases_claim_f,leases_claim_g}', lease => '90 min');
SELECT worker, cardinality(task_ids) AS tasks, cardinality(marks) AS marks, part, claimed_at, expires_at, due_at, places FROM stent.lease;
SELECT count(*) AS ready FROM stent.ready r JOIN stent.task t ON t.id = r.task_id WHERE t.id = :c;
SELECT kind, due_at FROM stent.due WHERE task_id IN (SELECT token FROM stent.lease);
SELECT leases_claim_seen();
-- released in any order they come back in the old one, and are the first attempt still
SELECT leases_claim_back();
SELECT count(*) AS leases FROM stent.lease;
SELECT attempt, args ->> 'what' AS what FROM stent.claim('v', 10, '{leases_claim_f,leases_claim_g}');
SELECT leases_claim_back(), (SELECT count(*) FROM stent.due WHERE kind = 'l') AS due;

-- functions
SELECT leases_claim_seen(functions => '{leases_claim_g}'), leases_claim_seen(functions => '{leases_claim_g,no_such_function}');
SELECT leases_claim_seen(functions => '{no_such_function}');
SELECT leases_claim_seen(functions => '{leases_claim_f,leases_claim_f}');
SELECT leases_claim_back();
-- queues
SELECT leases_claim_add('other', queue => 'leases_other');
SELECT leases_claim_seen(queues => '{no_such_queue}');
SELECT leases_claim_seen(queues => '{leases_other,no_such_queue}'), leases_claim_seen(queues => '{leases}'), leases_claim_seen();
SELECT leases_claim_back();
-- both
SELECT leases_claim_seen(functions => '{leases_claim_g}', queues => '{leases_other}');
-- max
SELECT leases_claim_seen(1), leases_claim_seen(2), leases_claim_seen(1000);
SELECT stent.complete_many(task_ids, array_fill(token, ARRAY[cardinality(task_ids)])) FROM stent.lease;
SELECT count(*) AS leases FROM stent.lease;
SELECT count(*) AS due FROM stent.due WHERE kind = 'l';

-- tags: a task with tags needs one in common with a worker that has some
SELECT leases_claim_add('none'), leases_claim_add('x', tags => '{x}'), leases_claim_add('xy', tags => '{y,x}'), leases_claim_add('z', tags => '{z}'), leases_claim_add('empty', tags => '{}');
SELECT leases_claim_seen(tags => '{w}');
SELECT leases_claim_seen(tags => '{y}');
SELECT leases_claim_seen(tags => '{y,x,v}');
SELECT leases_claim_seen(tags => '{X}');
SELECT leases_claim_seen(tags => '{}');
SELECT leases_claim_back();
SELECT leases_claim_seen();
SELECT leases_claim_back();
SELECT leases_claim_seen(tags => '{z,x}', queues => '{leases}', functions => '{leases_claim_f}');
SELECT leases_claim_seen();
SELECT stent.complete_many(task_ids, array_fill(token, ARRAY[cardinality(task_ids)])) FROM stent.lease ORDER BY cardinality(task_ids) DESC;

-- several roles: the highest priority first, whoever dispatched it; equals take turns
SET SESSION AUTHORIZATION leases_claim_one;
SELECT leases_claim_add('1a'), leases_claim_add('1b'), leases_claim_add('1c'), leases_claim_add('1high', priority => 50), leases_claim_add('1low', priority => -50);
SET SESSION AUTHORIZATION leases_claim_two;
SELECT leases_claim_add('2a'), leases_claim_add('2b'), leases_claim_add('2c'), leases_claim_add('2high', priority => 40), leases_claim_add('2low', priority => -40);
SELECT leases_claim_try('SELECT stent.claim(''w'')');
SET SESSION AUTHORIZATION leases_claim_worker;
SELECT string_agg(what, ' ' ORDER BY n) FILTER (WHERE priority <> 0) AS by_priority,
       string_agg(what, ' ' ORDER BY n) FILTER (WHERE priority = 0 AND role = 'leases_claim_one') AS one,
       string_agg(what, ' ' ORDER BY n) FILTER (WHERE priority = 0 AND role = 'leases_claim_two') AS two,
       count(*) FILTER (WHERE priority = 0 AND role = before) AS twice
FROM (SELECT n, role, priority, args ->> 'what' AS what, lag(role) OVER (PARTITION BY priority ORDER BY n) AS before
      FROM stent.claim('w', 10, '{leases_claim_f}') WITH ORDINALITY c (
        task_id, token, execution_id, function, queue, priority, attempt, args, headers, version, role, timeout, time_left, lease_for, items, n)) c;
RESET SESSION AUTHORIZATION;
SELECT cardinality(task_ids) AS tasks, worker FROM stent.lease;
SELECT leases_claim_back();
-- one at a time
SELECT left(string_agg(leases_claim_seen(1), ' ' ORDER BY i), 11) FROM generate_series(1, 2) i;
SELECT count(DISTINCT role) AS roles, count(*) FROM (SELECT c.role FROM generate_series(1, 6) i, LATERAL stent.claim('w' || i, 1, '{leases_claim_f}') c LIMIT 4) s;
SELECT leases_claim_back();
-- what a role dispatched, completed by a worker who is nobody
SET SESSION AUTHORIZATION leases_claim_worker;
SELECT stent.complete(task_id, token, args) FROM stent.claim('w', 10, '{leases_claim_f}');
RESET SESSION AUTHORIZATION;
SELECT result ->> 'what' AS result, role = 'leases_claim_' || CASE left(result ->> 'what', 1) WHEN '1' THEN 'one' ELSE 'two' END AS of_role, state
FROM stent.tasks WHERE role LIKE 'leases\_claim%' ORDER BY 1;
-- lanes of one role take turns
SELECT count(leases_claim_add('q' || q || n, queue => 'leases' || q)) FROM generate_series(1, 3) q, generate_series(1, 4) n;
SELECT count(DISTINCT queue) AS queues, count(*) FROM stent.claim('w', 6, '{leases_claim_f}');
SELECT count(DISTINCT queue) AS queues, count(*) FROM stent.claim('w', 3, '{leases_claim_f}');
SELECT count(DISTINCT queue) AS queues, count(*) FROM stent.claim('w', 9, '{leases_claim_f}');
SELECT stent.complete_many(task_ids, array_fill(token, ARRAY[cardinality(task_ids)])) FROM stent.lease ORDER BY cardinality(task_ids) DESC;

-- a role of which nothing is left but its tasks: they are nobody's to run, for workers as for executors
SET SESSION AUTHORIZATION leases_claim_two;
SELECT leases_claim_add('dropped');
RESET SESSION AUTHORIZATION;
DROP OWNED BY leases_claim_two;
DROP ROLE leases_claim_two;
SELECT leases_claim_seen();
CREATE ROLE leases_claim_two;
SELECT leases_claim_seen();
SELECT stent.complete_many(task_ids, array_fill(token, ARRAY[cardinality(task_ids)])) FROM stent.lease;

-- unregistered: what was dispatched is still served; what has a handler is not for workers
CREATE FUNCTION leases_claim_handler(what text) RETURNS text LANGUAGE sql AS 'SELECT what';
SELECT leases_claim_add('unregistered'), leases_claim_add('sql', 'leases_claim_g');
SELECT stent.unregister('leases_claim_f'), stent.register('leases_claim_g', 'leases_claim_handler(text)', queue => 'leases');
SELECT stent.run();
SELECT leases_claim_seen();
SELECT stent.complete_many(task_ids, array_fill(token, ARRAY[cardinality(task_ids)])) FROM stent.lease;
SELECT state, args ->> 'what' AS what, result FROM stent.tasks WHERE args ->> 'what' IN ('sql', 'unregistered') ORDER BY 2;
SELECT stent.register('leases_claim_f', queue => 'leases');

-- what is delayed or waits for a retry is promoted by the claim
SELECT stent.dispatch('leases_claim_f', '{"what": "later"}', delay => '1 min') AS later \gset
SELECT leases_claim_seen();
SET stent.clock = '2026-01-01 00:02:00';
SELECT leases_claim_seen();
SELECT stent.fail(:later, token, '{"message": "no"}') FROM stent.lease;
SELECT leases_claim_seen();
SET stent.clock = '2026-01-01 00:03:00';
SELECT attempt, time_left, lease_for FROM stent.claim('w', 5, '{leases_claim_f}');
SELECT stent.complete(:later, max(token)) FROM stent.lease;

-- the default lease, and its bounds
SET stent.lease_duration = '20s';
SELECT leases_claim_add('lease');
SELECT lease_for FROM stent.claim('w', 5, '{leases_claim_f}', lease => NULL);
SELECT leases_claim_back();
SELECT lease_for FROM stent.claim('w', 5, '{leases_claim_f}', lease => '100 ms');
SELECT leases_claim_back();
SELECT lease_for FROM stent.claim('w', 5, '{leases_claim_f}', lease => '7 days');
SELECT leases_claim_back();
RESET stent.lease_duration;
SELECT leases_claim_try($$SELECT stent.claim('w', lease => '99 ms')$$);
SELECT leases_claim_try($$SELECT stent.claim('w', lease => '0')$$);
SELECT leases_claim_try($$SELECT stent.claim('w', lease => '-1s')$$);
SELECT leases_claim_try($$SELECT stent.claim('w', lease => '-90 minutes 0.5 seconds')$$);
SELECT leases_claim_try($$SELECT stent.claim('w', lease => '7 days 1 ms')$$);
SELECT leases_claim_try($$SELECT stent.claim('w', lease => '178000000 years')$$);
-- arguments
SELECT leases_claim_try($$SELECT stent.claim(NULL)$$);
SELECT leases_claim_try($$SELECT stent.claim('')$$);
SELECT leases_claim_try($$SELECT stent.claim(repeat('n', 201))$$);
SELECT leases_claim_try($$SELECT stent.claim('w', NULL)$$);
SELECT leases_claim_try($$SELECT stent.claim('w', 0)$$);
SELECT leases_claim_try($$SELECT stent.claim('w', 1001)$$);
SELECT leases_claim_try($$SELECT stent.claim('w', 1, '{}')$$);
SELECT leases_claim_try($$SELECT stent.claim('w', 1, '{a,NULL}')$$);
SELECT leases_claim_try($$SELECT stent.claim('w', 1, NULL, '{}')$$);
SELECT leases_claim_try($$SELECT stent.claim('w', 1, NULL, '{NULL}')$$);
SELECT leases_claim_try($$SELECT stent.claim('w', 1, NULL, NULL, '{a,NULL}')$$);
-- in a read-only transaction, and in a handler
BEGIN READ ONLY;
SELECT leases_claim_try($$SELECT stent.claim('w')$$);
SELECT leases_claim_try($$SELECT stent.complete(1, 1)$$);
ROLLBACK;
CREATE FUNCTION leases_claim_handler() RETURNS text[] LANGUAGE sql AS $$
    SELECT array_agg(leases_claim_try(sql)) FROM unnest(ARRAY['SELECT stent.claim(''w'')', 'SELECT stent.complete(1, 1)', 'SELECT stent.fail_many(''{1}'', ''{1}'', ''{"{}"}'')',
        'SELECT stent.release(1, 1)', 'SELECT stent.heartbeat(1, 1)']) sql
$$;
SELECT stent.register('leases_claim_h', 'leases_claim_handler()');
SELECT stent.dispatch('leases_claim_h') AS h \gset
SELECT stent.run();
SELECT jsonb_array_elements_text(stent.result_of(:h)) AS refused;
-- a claim in a savepoint that is undone: others, or the same, may claim it
BEGIN;
SAVEPOINT s;
SELECT leases_claim_seen();
ROLLBACK TO s;
SELECT leases_claim_seen();
SELECT leases_claim_seen();
ROLLBACK;
SELECT count(*) AS leases FROM stent.lease;
SELECT leases_claim_seen();
SELECT leases_claim_back();
-- old snapshots and strict ones
SELECT stent.dispatch('leases_claim_g', '{"what": "sql"}') > 0 AS dispatched;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) > 0 AS old FROM stent.functions;
SELECT leases_claim_add('own');
SELECT stent.run();
SELECT leases_claim_seen();
SELECT stent.complete_many(task_ids, array_fill(token, ARRAY[cardinality(task_ids)])) FROM stent.lease;
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT leases_claim_add('serializable');
SELECT leases_claim_seen();
SELECT stent.heartbeat(task_ids[1], token) FROM stent.lease;
SELECT stent.release(task_ids[1], token) FROM stent.lease;
SELECT leases_claim_seen();
SELECT stent.complete(task_ids[1], token, '1') FROM stent.lease;
COMMIT;
SELECT args ->> 'what' AS what, state, attempt FROM stent.tasks WHERE args ->> 'what' IN ('own', 'lease', 'serializable') ORDER BY 1;
SELECT (SELECT count(*) FROM stent.lease) AS leases, (SELECT count(*) FROM stent.place) AS places, (SELECT count(*) FROM stent.due WHERE kind = 'l') AS due;

DROP OWNED BY leases_claim_one, leases_claim_two, leases_claim_worker;
DROP ROLE leases_claim_one, leases_claim_two, leases_claim_worker;
