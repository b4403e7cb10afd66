-- Order: priority first; lanes of one priority take turns; within a lane the oldest.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';

CREATE TABLE lanes_log (n serial, what text);
CREATE FUNCTION lanes_note(what text) RETURNS void LANGUAGE sql AS $$ INSERT INTO lanes_log (what) VALUES (what) $$;
CREATE FUNCTION lanes_seen() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    seen text;
BEGIN
    WHILE stent.run() > 0 LOOP END LOOP;
    SELECT string_agg(what, ' ' ORDER BY n) INTO seen FROM lanes_log;
    TRUNCATE lanes_log;
    RETURN seen;
END $$;
CREATE FUNCTION lanes_add(function text, what text[], priority int DEFAULT 0, queue text DEFAULT 'lanes', tags text[] DEFAULT '{}')
RETURNS bigint LANGUAGE sql AS $$
    SELECT count(*) FROM stent.dispatch_many(function, (SELECT array_agg(jsonb_build_object('what', w) ORDER BY o)
        FROM unnest(what) WITH ORDINALITY u (w, o)), queue => queue, priority => priority, tags => tags)
$$;
SELECT stent.register('lanes_a', 'lanes_note(text)');
SELECT stent.register('lanes_b', 'lanes_note(text)');
SELECT stent.register('lanes_external');
SELECT lanes_add('lanes_a', '{warm}'), lanes_add('lanes_b', '{warm}');
SELECT lanes_seen();

-- priority over age, from 100 to -100
SELECT lanes_add('lanes_a', '{p-100}', -100), lanes_add('lanes_a', '{p-1}', -1), lanes_add('lanes_a', '{p0}', 0),
       lanes_add('lanes_a', '{p1}', 1), lanes_add('lanes_a', '{p99}', 99), lanes_add('lanes_a', '{p100}', 100);
SELECT lanes_seen();
-- age within a lane
SELECT lanes_add('lanes_a', '{1,2,3,4,5,6,7,8,9,10,11,12}');
SELECT lanes_seen();
-- lanes of a priority (function, queue, tag set) take turns however long they are
SELECT lanes_add('lanes_a', '{a1,a2,a3,a4,a5,a6}'), lanes_add('lanes_b', '{b1,b2,b3}'),
       lanes_add('lanes_a', '{q1,q2}', queue => 'lanes_q'), lanes_add('lanes_a', '{t1,t2}', tags => '{x,y}'),
       lanes_add('lanes_a', '{t3}', tags => '{y,x,x}');
SELECT (o - 1) / 4 + 1 AS turn, string_agg(left(what, 1), ' ' ORDER BY what)
FROM string_to_table(lanes_seen(), ' ') WITH ORDINALITY u (what, o) GROUP BY turn ORDER BY turn;
SELECT DISTINCT tags FROM stent.tasks WHERE function = 'lanes_a' ORDER BY tags;
-- and across batches
SELECT lanes_add('lanes_a', '{a,a,a}'), lanes_add('lanes_b', '{b,b,b}');
SELECT stent.run(1), stent.run(1), stent.run(1), stent.run(1), stent.run(1), stent.run(1);
SELECT lanes_seen() IN ('a b a b a b', 'b a b a b a') AS took_turns;

-- a higher priority that arrives between batches goes first
SELECT lanes_add('lanes_a', '{low1,low2}', -5);
SELECT stent.run(1);
SELECT lanes_add('lanes_b', '{high}', 5);
SELECT lanes_seen();

-- a task of long ago that becomes ready now is as old as that
SELECT stent.dispatch('lanes_a', '{"what": "delayed"}', queue => 'lanes', delay => '1h') AS id \gset
SET stent.clock = '2026-01-01 00:30:00';
SELECT lanes_add('lanes_a', '{first}');
SET stent.clock = '2026-01-01 01:00:00';
SELECT lanes_seen();
-- promoted together: by due time
SELECT stent.dispatch('lanes_a', '{"what": "later"}', queue => 'lanes', delay => '2h') > 0,
       stent.dispatch('lanes_a', '{"what": "sooner"}', queue => 'lanes', delay => '1h') > 0;
SET stent.clock = '2026-01-01 05:00:00';
SELECT lanes_seen();

-- queues
SELECT lanes_add('lanes_a', '{q1}', queue => 'lanes_1'), lanes_add('lanes_a', '{q2}', queue => 'lanes_2'),
       lanes_add('lanes_a', '{q3}', 100, queue => 'lanes_3');
SELECT stent.run(10, ARRAY['lanes_none', 'lanes_2']), stent.run(10, ARRAY['lanes_none', 'lanes_2']);
SELECT string_agg(what, ' ' ORDER BY n) FROM lanes_log;
SELECT stent.run(10, queues => ARRAY['LANES_1']);
SELECT lanes_seen();

-- an external lane is stepped over, ready as it is
SELECT lanes_add('lanes_external', '{e1,e2}', 100), lanes_add('lanes_a', '{sql}', -100);
SELECT lanes_seen();
SELECT state, count(*) FROM stent.tasks WHERE function = 'lanes_external' GROUP BY state;

-- another role's tasks are not seen, and it does not see these
CREATE ROLE lanes_role LOGIN;
SELECT stent.grant_usage('lanes_role');
GRANT ALL ON lanes_log TO lanes_role;
GRANT USAGE ON SEQUENCE lanes_log_n_seq TO lanes_role;
SELECT lanes_add('lanes_a', '{mine}');
SET SESSION AUTHORIZATION lanes_role;
SELECT stent.run();
SELECT lanes_add('lanes_a', '{theirs}', 100);
SELECT state FROM stent.tasks;
RESET SESSION AUTHORIZATION;
SELECT lanes_seen();
SET SESSION AUTHORIZATION lanes_role;
SELECT stent.run();
RESET SESSION AUTHORIZATION;
SELECT what FROM lanes_log;
TRUNCATE lanes_log;
SELECT role = 'lanes_role' AS theirs, state FROM stent.tasks WHERE function = 'lanes_a' AND args ->> 'what' IN ('mine', 'theirs') ORDER BY 1;

-- leave nothing claimable
SELECT stent.register('lanes_external', 'lanes_note(text)');
SELECT lanes_seen();
SELECT count(stent.unregister(name)) FROM stent.functions WHERE name LIKE 'lanes\_%';
DROP TABLE lanes_log;
DROP FUNCTION lanes_note, lanes_seen, lanes_add;
DROP OWNED BY lanes_role;
DROP ROLE lanes_role;
