-- Progress: entries of handlers and of the engine, bounded.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';
SELECT nextval('stent.id_seq') AS start \gset

CREATE FUNCTION progress_f(failures int DEFAULT 0, n int DEFAULT 2) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1..n LOOP
        PERFORM stent.progress('step ' || i, CASE WHEN i % 2 = 0 THEN jsonb_build_object('i', i) END);
    END LOOP;
    BEGIN
        PERFORM stent.progress('undone');
        RAISE EXCEPTION 'undone';
    EXCEPTION WHEN raise_exception THEN NULL;
    END;
    IF stent.attempt() <= failures THEN
        RAISE EXCEPTION 'attempt % fails', stent.attempt() USING ERRCODE = '22012';
    END IF;
    PERFORM stent.progress('last');
    RETURN 'done';
END $$;
SELECT stent.register('progress_f', 'progress_f(int, int)', retry => '{"max_attempts": 2, "initial_delay": "1s", "jitter": 0}');
CREATE PROCEDURE progress_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;

-- dispatch, failed attempts, entries, end; those of a failed attempt are gone with it
SELECT stent.dispatch('progress_f', '{"failures": 1}') AS a, stent.dispatch('progress_f', '{"failures": 2}') AS b,
       stent.dispatch('progress_f', delay => '1h', max_duration => '1s') AS c, stent.dispatch('progress_f', delay => '1h') AS d \gset
SET stent.clock = '2026-01-01 00:00:01';
BEGIN;
SELECT stent.run() FROM generate_series(1, 2);
SELECT function, step, status, detail, at FROM stent.progress WHERE execution_id = :a ORDER BY at, id;
COMMIT;
SELECT stent.cancel(:d);
SET stent.clock = '2026-01-01 00:00:02';
CALL progress_run();
SELECT execution_id - :a AS n, task_id = execution_id AS root, function, step, status, detail, at, id IS NULL AS is_end FROM stent.progress
WHERE execution_id BETWEEN :a AND :d ORDER BY execution_id, at, id;
SET stent.clock = '2026-01-01 02:00:00';
CALL progress_run();
SELECT step, status, detail, at FROM stent.progress WHERE execution_id = :c ORDER BY at, id;
-- a replay goes on where it ended
SELECT stent.replay(:b) = :b AS replayed;
UPDATE stent.task SET args = '{"n": 0}' WHERE id = :b;
CALL progress_run();
SELECT step, status, detail, at FROM stent.progress WHERE execution_id = :b ORDER BY at, id;

-- tasks below the root add only what their handlers tell
CREATE FUNCTION progress_parent() RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    PERFORM stent.progress('spawning');
    RETURN stent.spawn('progress_f', '{"n": 1, "failures": 1}');
END $$;
SELECT stent.register('progress_parent', 'progress_parent()');
SELECT stent.dispatch('progress_parent') AS a \gset
CALL progress_run();
SELECT stent.result_of(:a) AS b \gset
SET stent.clock = '2026-01-01 03:00:00';
CALL progress_run();
SELECT task_id = :a AS root, function, step, status, at FROM stent.progress WHERE execution_id = :a ORDER BY at, id;
SELECT count(*) FROM stent.progress WHERE execution_id = :b;

-- of an attempt the first and the latest entries are kept
SELECT stent.dispatch('progress_f', '{"n": 99}') AS a, stent.dispatch('progress_f', '{"n": 100}') AS b, stent.dispatch('progress_f', '{"n": 1000}') AS c \gset
CALL progress_run();
SELECT execution_id - :a AS n, count(*), count(*) FILTER (WHERE status = 'progress') AS of_handlers, max(detail ->> 'left_out') AS left_out FROM stent.progress
WHERE execution_id BETWEEN :a AND :c GROUP BY 1 ORDER BY 1;
SELECT step, detail FROM (SELECT step, detail, row_number() OVER (ORDER BY at, id) AS n FROM stent.progress WHERE execution_id = :c) p WHERE n IN (1, 2, 51, 52, 53, 101, 102) ORDER BY n;

-- of an execution the latest 1000, whether they come in one commit or in many
CREATE FUNCTION progress_kept(execution bigint) RETURNS TABLE (at_most_1000_ok boolean, all_latest boolean) LANGUAGE sql AS $$
    SELECT count(*) BETWEEN 1000 AND 1100, count(*) FILTER (WHERE task_id = max_task) = 100
    FROM (SELECT p.task_id, max(p.task_id) OVER () AS max_task FROM stent.progress p WHERE p.execution_id = execution AND p.status = 'progress') p $$;
SELECT min(d) AS first FROM stent.dispatch_many('progress_f', array_fill('{"n": 120}'::jsonb, ARRAY[15])) d \gset
UPDATE stent.task SET execution_id = :first WHERE id >= :first;
DO $$ BEGIN FOR i IN 1..15 LOOP PERFORM stent.run(1); COMMIT; END LOOP; END $$;
SELECT * FROM progress_kept(:first);
SELECT min(d) AS first FROM stent.dispatch_many('progress_f', array_fill('{"n": 120}'::jsonb, ARRAY[15])) d \gset
UPDATE stent.task SET execution_id = :first WHERE id >= :first;
BEGIN;
SELECT sum(stent.run()) FROM generate_series(1, 15);
COMMIT;
SELECT * FROM progress_kept(:first);
SELECT count(*) FROM stent.progress_entry WHERE execution_id = :first;

-- refused
SELECT stent.progress('step');
CREATE FUNCTION progress_bad(step text, size int DEFAULT 0) RETURNS void LANGUAGE sql AS $$ SELECT stent.progress(CASE step WHEN 'long' THEN repeat('x', 201) ELSE step END, to_jsonb(repeat('x', size))) $$;
SELECT stent.register('progress_bad', 'progress_bad(text, int)', retry => '{"max_attempts": 1}');
SELECT min(d) AS first FROM stent.dispatch_many('progress_bad', ARRAY['{"step": null}', '{"step": ""}', '{"step": "long"}', '{"step": "s", "size": 10000}', '{"step": "s", "size": 9900}']::jsonb[]) d \gset
CALL progress_run();
SELECT state, error ->> 'code' AS code, error ->> 'message' AS message FROM stent.tasks WHERE id BETWEEN :first AND :first + 4 ORDER BY id;

-- everybody sees their own; an admin sees all
CREATE ROLE progress_other LOGIN;
CREATE ROLE progress_admin;
SELECT stent.grant_usage('progress_other'), stent.grant_usage('progress_admin', 'admin');
SELECT count(*) AS visible FROM stent.progress \gset
SET ROLE progress_other;
SELECT count(*) FROM stent.progress;
SELECT stent.dispatch('progress_f') AS id \gset
SELECT status FROM stent.progress;
SELECT count(*) FROM stent._roots;
SET ROLE progress_admin;
SELECT count(*) = :visible + 1 AS all FROM stent.progress;
RESET ROLE;
SELECT stent.cancel(:id);

-- one execution is found by keys
CREATE FUNCTION progress_scans() RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE line text;
BEGIN
    SET LOCAL enable_seqscan = off;
    FOR line IN EXPLAIN (COSTS OFF) SELECT * FROM stent.progress WHERE execution_id = 1 LOOP
        IF line ~ 'Seq Scan on (task|archive|dead|attempt|progress)' OR line ~ 'Index Cond: \((id|execution_id|task_id) = 1' THEN
            RETURN NEXT substring(line FROM 'Seq Scan.*|Index Cond.*');
        END IF;
    END LOOP;
END $$;
SELECT DISTINCT progress_scans();

-- retention forgets them
SELECT stent.discard_many('progress_f'), stent.discard_many('progress_bad');
SET stent.clock = '2026-01-02 00:00:00';
SELECT stent.cleanup('1h') > 0 AS cleaned;
SELECT count(*) FROM stent.progress_entry WHERE execution_id > :start;
SELECT count(stent.unregister(name)) FROM stent.functions WHERE name LIKE 'progress\_%';
DROP PROCEDURE progress_run;
DROP FUNCTION progress_f, progress_parent, progress_kept, progress_bad, progress_scans;
DROP OWNED BY progress_other, progress_admin;
DROP ROLE progress_other, progress_admin;
