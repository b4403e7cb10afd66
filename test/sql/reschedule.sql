-- reschedule: another queue, priority, tag set or time for a queued task.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';
CREATE ROLE reschedule_app LOGIN;
CREATE ROLE reschedule_other LOGIN;
CREATE ROLE reschedule_admin LOGIN;
SELECT stent.grant_usage('reschedule_app'), stent.grant_usage('reschedule_other'), stent.grant_usage('reschedule_admin', 'admin');
CREATE TABLE reschedule_effect (at int GENERATED ALWAYS AS IDENTITY, n int, said text);
GRANT ALL ON reschedule_effect TO PUBLIC;
CREATE FUNCTION reschedule_f(n int, fail boolean DEFAULT false) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO reschedule_effect (n) VALUES (n);
    IF fail AND stent.attempt() = 1 THEN
        RAISE EXCEPTION 'not yet';
    END IF;
    RETURN n;
END $$;
GRANT EXECUTE ON FUNCTION reschedule_f(int, boolean) TO PUBLIC;
SELECT stent.register('reschedule_f', 'reschedule_f(int, boolean)', retry => '{"max_attempts": 2, "initial_delay": "1h", "max_delay": "1h", "jitter": 0}');
CREATE PROCEDURE reschedule_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
-- a task of each number, with its entries
CREATE VIEW reschedule_tasks AS
SELECT t.args ->> 'n' AS n, t.state, t.queue, t.priority, t.tags, t.due_at, t.deadline, t.attempt,
       (SELECT count(*) FROM stent.ready r WHERE r.task_id = t.id) AS ready,
       (SELECT string_agg(d.kind::text || ' ' || d.due_at, ', ' ORDER BY d.kind) FROM stent.due d WHERE d.task_id = t.id) AS due
FROM stent.tasks t WHERE t.function LIKE 'reschedule%';

-- a ready task: moved, it keeps its age
SELECT stent.dispatch('reschedule_f', '{"n": 1}') AS a, stent.dispatch('reschedule_f', '{"n": 2}') AS b, stent.dispatch('reschedule_f', '{"n": 3}', queue => 'reschedule_q') AS c,
       stent.dispatch('reschedule_f', '{"n": 4}', queue => 'reschedule_q') AS d \gset
SELECT stent.reschedule(:b, 'reschedule_q'), stent.reschedule(:d, priority => 5, tags => '{y,x,y}');
SELECT * FROM reschedule_tasks ORDER BY n;
SELECT stent.run(100, '{reschedule_q}');
SELECT stent.run();
SELECT array_agg(n ORDER BY at) AS order_run FROM reschedule_effect;
SELECT count(*) FROM stent.ready;

-- to a lane that exists, and back; all at once; later; now
SELECT stent.dispatch('reschedule_f', '{"n": 5}', queue => 'reschedule_q') AS e \gset
SELECT stent.reschedule(:e, queue => 'default'), stent.reschedule(:e, queue => 'reschedule_q'), stent.reschedule(:e, queue => 'default');
SELECT * FROM reschedule_tasks WHERE n = '5';
SELECT stent.reschedule(:e, 'reschedule_r', -7, interval '2 hours', tags => '{z}');
SELECT * FROM reschedule_tasks WHERE n = '5';
SELECT stent.run() AS nothing;
SELECT stent.reschedule(:e, priority => 8);
SELECT * FROM reschedule_tasks WHERE n = '5';
SELECT stent.reschedule(:e, run_at => '2026-01-01 05:00');
SELECT * FROM reschedule_tasks WHERE n = '5';
SELECT stent.reschedule(:e, delay => '0', tags => '{}');
SELECT * FROM reschedule_tasks WHERE n = '5';
SELECT stent.reschedule(:e, delay => '0', queue => 'reschedule_s') AS ready_anyway;
SELECT * FROM reschedule_tasks WHERE n = '5';
SELECT stent.run();
SELECT stent.reschedule(:e, priority => 0) AS finished;
-- made ready, it is the youngest of its lane
TRUNCATE reschedule_effect;
SELECT stent.dispatch('reschedule_f', '{"n": 6}', delay => '1h') AS f, stent.dispatch('reschedule_f', '{"n": 7}') AS g \gset
SELECT stent.reschedule(:f, run_at => '2020-01-01');
SELECT stent.run();
SELECT array_agg(n ORDER BY at) AS order_run FROM reschedule_effect;

-- waiting for a retry: sooner, uncharged
SELECT stent.dispatch('reschedule_f', '{"n": 8, "fail": true}') AS h \gset
CALL reschedule_run();
SELECT * FROM reschedule_tasks WHERE n = '8';
SELECT stent.reschedule(:h, delay => '0');
SELECT * FROM reschedule_tasks WHERE n = '8';
CALL reschedule_run();
SELECT * FROM reschedule_tasks WHERE n = '8';

-- the deadline stays where it is, and its entry is found when the task ends
SELECT stent.dispatch('reschedule_f', '{"n": 9}', max_duration => '1h', dedup_key => 'k') AS i, stent.dispatch('reschedule_f', '{"n": 10}', max_duration => '1h') AS j \gset
SELECT stent.reschedule(:i, 'reschedule_q', 3), stent.reschedule(:j, 'reschedule_q', 3, '2h');
SELECT * FROM reschedule_tasks WHERE n IN ('9', '10') ORDER BY n;
CALL reschedule_run();
SELECT * FROM reschedule_tasks WHERE n IN ('9', '10') ORDER BY n;
SET stent.clock = '2026-01-01 01:30:00';
CALL reschedule_run();
SELECT * FROM reschedule_tasks WHERE n IN ('9', '10') ORDER BY n;
SELECT (SELECT count(*) FROM stent.due) AS due, (SELECT count(*) FROM stent.ready) AS ready, (SELECT count(*) FROM stent.dedup) AS keys;

-- running, in its own handler: false
CREATE FUNCTION reschedule_own(n int) RETURNS boolean LANGUAGE sql AS $$ SELECT stent.reschedule(stent.task_id(), priority => 9) $$;
SELECT stent.register('reschedule_own', 'reschedule_own(int)');
SELECT stent.dispatch('reschedule_own', '{"n": 11}') AS k \gset
SELECT stent.run();
SELECT stent.result_of(:k);
-- undone; twice in a transaction; in a handler, another task
SELECT stent.dispatch('reschedule_f', '{"n": 12}') AS l \gset
BEGIN;
SELECT stent.reschedule(:l, priority => 1), stent.reschedule(:l, delay => '1h');
ROLLBACK;
SELECT * FROM reschedule_tasks WHERE n = '12';
BEGIN;
SELECT stent.reschedule(:l, priority => 1), stent.reschedule(:l, delay => '1h');
SELECT stent.run() AS nothing;
SELECT stent.reschedule(:l, delay => '0', queue => 'reschedule_q');
SELECT stent.run();
COMMIT;
SELECT * FROM reschedule_tasks WHERE n = '12';
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT stent.dispatch('reschedule_f', '{"n": 13}') AS m \gset
SELECT stent.reschedule(:m, priority => 1);
COMMIT;
SELECT stent.run();

-- whose
SET SESSION AUTHORIZATION reschedule_app;
SELECT stent.dispatch('reschedule_f', '{"n": 14}') AS o \gset
SELECT stent.reschedule(:o, priority => 2);
SET SESSION AUTHORIZATION reschedule_other;
\set VERBOSITY sqlstate
SELECT stent.reschedule(:o, priority => 3);
SET SESSION AUTHORIZATION reschedule_admin;
SELECT stent.reschedule(:o, 'reschedule_t', 3);
RESET SESSION AUTHORIZATION;
SELECT t.role, t.queue, t.priority FROM stent.tasks t WHERE id = :o;
SET SESSION AUTHORIZATION reschedule_app;
SELECT stent.run();
SELECT stent.reschedule(:o, priority => 4) AS finished;
RESET SESSION AUTHORIZATION;

-- refused
SELECT stent.dispatch('reschedule_f', '{"n": 15}') AS p \gset
SELECT stent.reschedule(NULL, priority => 1);
SELECT stent.reschedule(-1, priority => 1);
\set VERBOSITY terse
SELECT stent.reschedule(:p);
SELECT stent.reschedule(:p, delay => '1h', run_at => '2030-01-01');
SELECT stent.reschedule(:p, delay => '-1s');
SELECT stent.reschedule(:p, run_at => 'infinity');
SELECT stent.reschedule(:p, priority => 101);
SELECT stent.reschedule(:p, queue => '');
SELECT stent.reschedule(:p, tags => ARRAY['a', NULL]);
SELECT * FROM reschedule_tasks WHERE n = '15';

-- tags make lanes, and filter in the views
SELECT stent.cancel(:p);
SELECT count(*) FROM (SELECT stent.dispatch('reschedule_f', jsonb_build_object('n', 20 + n), tags => CASE n % 2 WHEN 0 THEN '{eu}'::text[] ELSE '{eu,gdpr}' END) FROM generate_series(1, 4) n) d;
SELECT args ->> 'n' AS n FROM stent.tasks WHERE tags @> '{gdpr}' AND state = 'ready' ORDER BY id;
SELECT l.tags, count(*) FROM stent.ready r JOIN stent.lane l ON l.id = (r.bucket & 4294967295)::int GROUP BY l.tags ORDER BY l.tags;
CALL reschedule_run();
SELECT column_name FROM information_schema.columns WHERE table_schema = 'stent' AND table_name = 'running' AND column_name IN ('tags', 'priority') ORDER BY 1;
