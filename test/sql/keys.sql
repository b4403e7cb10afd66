-- concurrency_key: of one (function, key) at most max_per_key run, by age.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';

CREATE TABLE keys_log (n serial, what text);
CREATE FUNCTION keys_note(what text, fails int DEFAULT 0) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF stent.attempt() <= fails THEN
        RAISE EXCEPTION 'attempt % of %', stent.attempt(), what;
    END IF;
    INSERT INTO keys_log (what) VALUES (what);
END $$;
CREATE FUNCTION keys_add(what text, key text, priority int DEFAULT 0, delay interval DEFAULT NULL, fails int DEFAULT 0,
    function text DEFAULT 'keys_f', max_duration interval DEFAULT NULL, dedup_key text DEFAULT NULL, on_duplicate text DEFAULT 'join', queue text DEFAULT 'keys')
RETURNS bigint LANGUAGE sql AS $$
    SELECT stent.dispatch(function, jsonb_build_object('what', what, 'fails', fails), priority => priority, delay => delay, queue => queue,
                          concurrency_key => key, max_duration => max_duration, dedup_key => dedup_key, on_duplicate => on_duplicate)
$$;
-- runs everything, and says what ran in which order
CREATE FUNCTION keys_seen(max int DEFAULT 100) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    seen text;
BEGIN
    WHILE stent.run(max) > 0 LOOP END LOOP;
    SELECT string_agg(what, ' ' ORDER BY n) INTO seen FROM keys_log;
    TRUNCATE keys_log;
    RETURN seen;
END $$;
-- what waits, in the order of age; every state has exactly its place
CREATE FUNCTION keys_live(OUT what text, OUT state text, OUT misplaced boolean) RETURNS SETOF record LANGUAGE sql AS $$
    SELECT t.args ->> 'what', stent._state_name(t.state),
           (r.task_id IS NOT NULL) <> (t.state = 'r') OR (d.task_id IS NOT NULL) <> (t.state = 's') OR COALESCE(l.blocked, false) <> (t.state = 'b')
           OR (r.line IS NOT NULL AND r.line <> stent._line(t.function_id, t.concurrency_key))
           OR (l.task_id IS NULL AND t.concurrency_key IS NOT NULL AND t.state IN ('r', 'b'))
    FROM stent.task t JOIN stent.function f ON f.id = t.function_id
    LEFT JOIN stent.ready r ON r.task_id = t.id LEFT JOIN stent.due d ON d.task_id = t.id AND d.kind = 'r'
    LEFT JOIN stent.line l ON l.task_id = t.id
    WHERE f.name LIKE 'keys%' ORDER BY COALESCE(t.position, t.id)
$$;
SELECT stent.register('keys_f', 'keys_note(text, int)', retry => '{"max_attempts": 3, "initial_delay": "1m", "jitter": 0}');
SELECT stent.register('keys_two', 'keys_note(text, int)', max_per_key => 2, retry => '{"max_attempts": 3, "initial_delay": "1m", "jitter": 0}');
SELECT keys_add('warm', 'k') > 0, keys_add('warm', 'k', function => 'keys_two') > 0;
SELECT keys_seen();

-- age within a key, whatever the priority; other keys and tasks without key pass by
SELECT keys_add('a1', 'a', -5) > 0, keys_add('a2', 'a', 50) > 0, keys_add('b1', 'b', -1) > 0, keys_add('a3', 'a', 100) > 0,
       keys_add('free', NULL, -2) > 0, keys_add('b2', 'b', 99) > 0;
SELECT * FROM keys_live();
SELECT keys_seen();
SELECT count(*) FROM stent.line;
-- one a batch, the same
SELECT count(keys_add(c || n, c, -n)) FROM generate_series(1, 3) n, unnest('{x,y}'::text[]) c;
SELECT keys_seen(1);
-- a key is of a function; those of others are other keys
SELECT keys_add('f', 'same') > 0, keys_add('two', 'same', function => 'keys_two') > 0;
SELECT what, state FROM keys_live();
SELECT keys_seen() IN ('f two', 'two f') AS both;

-- two at a time
SELECT count(keys_add('t' || n, 't', function => 'keys_two')) FROM generate_series(1, 4) n;
SELECT * FROM keys_live();
SELECT stent.run(1);
SELECT * FROM keys_live();
SELECT keys_seen();

-- a retry keeps its turn: the younger wait for it, and another key does not
SELECT keys_add('r1', 'r', fails => 2) > 0, keys_add('r2', 'r') > 0, keys_add('other', 'o') > 0;
SELECT keys_seen();
SELECT * FROM keys_live();
SELECT keys_add('r3', 'r', 100) > 0;
SET stent.clock = '2026-01-01 00:01:00';
SELECT keys_seen();
SELECT * FROM keys_live();
SET stent.clock = '2026-01-01 00:10:00';
SELECT keys_seen();
-- with two at a time, one that waits for its retry takes one of the turns
SELECT keys_add('w1', 'w', fails => 1, function => 'keys_two') > 0, keys_add('w2', 'w', function => 'keys_two') > 0,
       keys_add('w3', 'w', function => 'keys_two') > 0;
SELECT keys_seen();
SET stent.clock = '2026-01-01 00:20:00';
SELECT keys_seen();
-- a final failure frees the key; its replay stands at the end
SELECT keys_add('d1', 'd', fails => 9) AS dead, keys_add('d2', 'd') AS d2 \gset
SELECT keys_seen();
SET stent.clock = '2026-01-01 00:30:00';
SELECT keys_seen();
SET stent.clock = '2026-01-01 00:40:00';
SELECT keys_seen();
SELECT keys_add('d3', 'd') > 0, keys_add('d4', 'd') > 0;
SELECT stent.replay(:dead) = :dead;
SELECT * FROM keys_live();
SELECT stent.cancel(:dead);
SELECT keys_seen();
SELECT state, concurrency_key FROM stent.tasks WHERE id = :dead;

-- delayed ones join when their delay ends
SELECT keys_add('late', 'l', delay => '1m') > 0, keys_add('l1', 'l') > 0, keys_add('l2', 'l') > 0;
SELECT * FROM keys_live();
SET stent.clock = '2026-01-01 00:50:00';
SELECT keys_seen();
SELECT keys_add('c1', 'c', delay => '1m') > 0, keys_add('c2', 'c', delay => '2m') > 0, keys_add('c3', 'c', delay => '3m') > 0;
SET stent.clock = '2026-01-01 01:00:00';
SELECT keys_seen();

-- cancel: of a blocked one, of the first, of one that waits for its retry
SELECT keys_add('c1', 'c', fails => 1) AS c1, keys_add('c2', 'c') AS c2, keys_add('c3', 'c') AS c3, keys_add('c4', 'c') AS c4 \gset
SELECT stent.cancel(:c3);
SELECT * FROM keys_live();
SELECT stent.cancel(:c1);
SELECT * FROM keys_live();
SELECT keys_seen();
SELECT keys_add('c1', 'c', fails => 1) AS c1, keys_add('c2', 'c') AS c2, keys_add('c3', 'c', delay => '1h') AS c3 \gset
SELECT keys_seen();
SELECT stent.cancel(:c3), stent.cancel(:c1);
SELECT keys_seen();

-- max_duration: of a blocked one, of the first
SELECT keys_add('m1', 'm', fails => 1) > 0, keys_add('m2', 'm', max_duration => '10s') > 0, keys_add('m3', 'm', max_duration => '1d') > 0;
SELECT keys_seen();
SET stent.clock = '2026-01-01 01:00:30';
SELECT keys_seen();
SELECT * FROM keys_live();
SET stent.clock = '2026-01-01 01:02:00';
SELECT keys_seen();
SELECT keys_add('m1', 'm', fails => 1, max_duration => '10s') > 0, keys_add('m2', 'm') > 0;
SELECT keys_seen();
SET stent.clock = '2026-01-01 01:02:10';
SELECT keys_seen();

-- on_duplicate => 'replace' keeps the turn, unless it brings a delay
SELECT keys_add('p1', 'p') AS p1, keys_add('p2', 'p', dedup_key => 'dk') AS p2, keys_add('p3', 'p') AS p3 \gset
SELECT keys_add('p2new', 'p', dedup_key => 'dk', on_duplicate => 'replace') = :p2;
SELECT * FROM keys_live();
SELECT keys_add('p2later', 'p', dedup_key => 'dk', on_duplicate => 'replace', delay => '1h') = :p2;
SELECT * FROM keys_live();
SELECT keys_add('p2now', 'p', dedup_key => 'dk', on_duplicate => 'replace') = :p2;
SELECT * FROM keys_live();
SELECT keys_seen();
SELECT keys_add('p1', 'p', dedup_key => 'dk') AS p1, keys_add('p2', 'p') AS p2 \gset
SELECT keys_add('p1new', 'p', dedup_key => 'dk', on_duplicate => 'replace') = :p1;
SELECT * FROM keys_live();
SELECT keys_add('p1later', 'p', dedup_key => 'dk', on_duplicate => 'replace', delay => '1h') = :p1;
SELECT * FROM keys_live();
SELECT keys_seen();
SELECT stent.cancel(:p1);

-- reschedule: to another lane in the same turn; a delay gives the turn up
SELECT keys_add('v1', 'v') AS v1, keys_add('v2', 'v') AS v2, keys_add('v3', 'v') AS v3 \gset
SELECT stent.reschedule(:v2, queue => 'keys_q', priority => 7);
SELECT queue, ready, blocked FROM stent.queues WHERE queue LIKE 'keys%' ORDER BY queue;
SELECT stent.reschedule(:v3, delay => '1h'), stent.reschedule(:v1, delay => '2h');
SELECT * FROM keys_live();
SELECT stent.reschedule(:v3, delay => '0');
SELECT keys_seen();
SELECT stent.cancel(:v1);

-- what a savepoint undoes stands before nobody
BEGIN;
SAVEPOINT s;
SELECT keys_add('s1', 's') > 0;
ROLLBACK TO s;
SELECT keys_add('s2', 's') > 0;
SAVEPOINT s;
SELECT keys_add('s3', 's') > 0;
ROLLBACK TO s;
SELECT keys_add('s4', 's') > 0;
COMMIT;
SELECT * FROM keys_live();
SELECT keys_seen();
-- the same while an older one is there
SELECT keys_add('s1', 's', fails => 1) > 0;
SELECT keys_seen();
BEGIN;
SAVEPOINT s;
SELECT keys_add('s2', 's') > 0;
ROLLBACK TO s;
SELECT keys_add('s3', 's') > 0;
COMMIT;
SET stent.clock = '2026-01-01 02:00:00';
SELECT keys_seen();
-- dispatched, cancelled and run in one transaction
BEGIN;
SELECT keys_add('s1', 's') AS s1, keys_add('s2', 's') AS s2, keys_add('s3', 's') AS s3 \gset
SELECT stent.cancel(:s1);
SELECT * FROM keys_live();
SELECT stent.run(1);
SELECT stent.cancel(:s3);
COMMIT;
SELECT keys_seen();
-- run, and undone
BEGIN;
SELECT count(keys_add('u' || n, 'u')) FROM generate_series(1, 3) n;
COMMIT;
BEGIN;
SELECT stent.run(2);
ROLLBACK;
SELECT * FROM keys_live();
SELECT keys_seen();

-- max_per_key is that of the present registration
SELECT count(keys_add('n' || n, 'n')) FROM generate_series(1, 4) n;
SELECT stent.register('keys_f', 'keys_note(text, int)', max_per_key => 3);
SELECT stent.run(1);
SELECT * FROM keys_live();
SELECT stent.register('keys_f', 'keys_note(text, int)', retry => '{"max_attempts": 3, "initial_delay": "1m", "jitter": 0}');
SELECT keys_seen();

-- counts
SELECT count(keys_add('q' || n, 'q', queue => 'keys_q')) FROM generate_series(1, 3) n;
SELECT queue, ready, scheduled, blocked FROM stent.queues WHERE queue = 'keys_q';
SELECT function, ready, scheduled, blocked FROM stent.stats WHERE function = 'keys_f' AND queue = 'keys_q';
SELECT stent.run(1);
SELECT queue, ready, scheduled, blocked FROM stent.queues WHERE queue = 'keys_q';
SELECT keys_seen();
SELECT queue, ready, scheduled, blocked FROM stent.queues WHERE queue = 'keys_q';

-- why
CREATE FUNCTION keys_why(id bigint) RETURNS text LANGUAGE sql AS $$
    SELECT regexp_replace(regexp_replace(stent.why(id), 'task \d+', 'task N'), 'but (the library is not preloaded|database "[^"]*" is not served).*', 'but NOT SERVED')
$$;
\pset format unaligned
\pset tuples_only on
SELECT keys_add('y1', 'y', fails => 1) AS y1, keys_add('y2', 'y') AS y2, keys_add('y3', 'y') AS y3 \gset
SELECT keys_why(:y1);
SELECT keys_why(:y2);
SELECT keys_why(:y3);
SELECT stent.pause('keys');
SELECT regexp_replace(keys_why(:y2), 'since .* by [^ ]*:', 'since THEN by ME:');
SELECT stent.resume('keys');
SELECT stent.run(1);
SELECT keys_why(:y2);
SELECT keys_add('z' || n, 'z', function => 'keys_two') AS z FROM generate_series(1, 3) n ORDER BY 1 DESC LIMIT 1 \gset
SELECT keys_why(:z);
SELECT stent.state_of(:z) ->> 'state';
\pset format aligned
\pset tuples_only off
SET stent.clock = '2026-01-01 02:10:00';
SELECT length(keys_seen());

-- a key is common to all roles: what one has not run blocks the younger of others
CREATE ROLE keys_role LOGIN;
SELECT stent.grant_usage('keys_role');
GRANT ALL ON keys_log TO keys_role;
GRANT USAGE ON SEQUENCE keys_log_n_seq TO keys_role;
SELECT keys_add('mine1', 'common') > 0;
SET SESSION AUTHORIZATION keys_role;
SELECT keys_add('theirs1', 'common') > 0, keys_add('theirs2', 'other') > 0;
SELECT stent.run(), stent.run();
SELECT args ->> 'what' AS what, state FROM stent.tasks ORDER BY id;
SELECT queue, ready, blocked FROM stent.queues;
RESET SESSION AUTHORIZATION;
SELECT keys_add('mine2', 'common') > 0;
SELECT * FROM keys_live();
SELECT stent.run(), stent.run();
SELECT * FROM keys_live();
SET SESSION AUTHORIZATION keys_role;
SELECT stent.run(), stent.run();
RESET SESSION AUTHORIZATION;
SELECT keys_seen();

-- a key has 1 to 1000 bytes
SELECT keys_add('x', '');
SELECT keys_add('x', repeat('x', 1001));
SELECT keys_add('x', repeat('x', 1000)) AS id \gset
SELECT length(concurrency_key) FROM stent.tasks WHERE id = :id;
SELECT keys_seen();
SELECT length(concurrency_key) FROM stent.tasks WHERE id = :id;

-- nothing is left
SELECT stent.run();
SELECT (SELECT count(*) FROM stent.line) AS line, (SELECT count(*) FROM stent.due WHERE kind = 'k') AS nudges;
SELECT count(stent.unregister(name)) FROM stent.functions WHERE name LIKE 'keys\_%';
DROP TABLE keys_log;
DROP FUNCTION keys_note, keys_add, keys_seen, keys_live, keys_why;
DROP OWNED BY keys_role;
DROP ROLE keys_role;
