-- newest() lists executions, the newest first, wherever they are.
\set VERBOSITY terse
\pset format unaligned
\pset tuples_only on
SET stent.clock = '2026-01-01 12:00:00';

CREATE ROLE newest_app LOGIN;
CREATE ROLE newest_other LOGIN;
SELECT stent.grant_usage('newest_app'), stent.grant_usage('newest_other');
CREATE FUNCTION newest_f(n int DEFAULT 0, children int DEFAULT 0) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    PERFORM stent.spawn('newest_f') FROM generate_series(1, children);
    RETURN 1 / (n - 1);
END $$;
GRANT EXECUTE ON FUNCTION newest_f(int, int) TO PUBLIC;
SELECT stent.register('newest_f', 'newest_f(int,int)', retry => '{"max_attempts": 1}'), stent.register('newest_external', queue => 'newest');
-- what it says is what a sorted look at the view says
CREATE FUNCTION newest_right(state text DEFAULT NULL, function text DEFAULT NULL, queue text DEFAULT NULL, max_rows int DEFAULT 20)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    found bigint[] := ARRAY(SELECT n FROM stent.newest($1, $2, $3, $4) n);
    wanted bigint[] := ARRAY(SELECT e.id FROM stent.executions e
                             WHERE ($1 IS NULL OR e.state = $1) AND ($2 IS NULL OR e.function = $2) AND ($3 IS NULL OR e.queue = $3)
                             ORDER BY e.id DESC LIMIT $4);
BEGIN
    RETURN CASE WHEN found = wanted THEN format('%s, as they should be', cardinality(found))
                ELSE format('%s instead of %s', found, wanted) END;
END $$;
CREATE PROCEDURE newest_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;

SELECT stent.newest(max_rows => NULL);
SELECT stent.newest(max_rows => 0);
SELECT stent.newest(max_rows => -1);
SET SESSION AUTHORIZATION newest_app;
SELECT newest_right();
-- one that finishes days after later ones: its id is older than all of their day
SELECT stent.dispatch('newest_f', delay => '3 days') AS late \gset
SELECT count(*) FROM stent.dispatch_many('newest_f', ARRAY(SELECT jsonb_build_object('n', g % 3, 'children', g % 2) FROM generate_series(1, 30) g));
CALL newest_run();
RESET SESSION AUTHORIZATION;
SET stent.clock = '2026-01-02 12:00:00';
SET SESSION AUTHORIZATION newest_app;
SELECT count(*) FROM stent.dispatch_many('newest_f', ARRAY(SELECT jsonb_build_object('n', g % 3) FROM generate_series(1, 30) g));
CALL newest_run();
SELECT newest_right(max_rows => 45);
RESET SESSION AUTHORIZATION;
SET stent.clock = '2026-01-04 13:00:00';
SET SESSION AUTHORIZATION newest_app;
CALL newest_run();
SELECT stent.dispatch('newest_external') AS leased, stent.dispatch('newest_external') AS ready, stent.dispatch('newest_f', delay => '1h') AS scheduled,
       stent.dispatch('newest_f', concurrency_key => 'k'), stent.dispatch('newest_f', concurrency_key => 'k'), stent.dispatch('newest_f') AS cancelled \gset
SELECT stent.cancel(:cancelled);
RESET SESSION AUTHORIZATION;
SELECT count(*) FROM stent.claim('newest', 1, '{newest_external}');
SET SESSION AUTHORIZATION newest_app;
SELECT newest_right(), newest_right(max_rows => 1), newest_right(max_rows => 7), newest_right(max_rows => 1000);
SELECT s, newest_right(s), newest_right(s, max_rows => 3), newest_right(s, max_rows => 1000)
FROM unnest('{scheduled,blocked,ready,running,waiting,completed,failed,timed_out,cancelled,no such}'::text[]) s;
SELECT newest_right(function => 'newest_external'), newest_right(queue => 'newest'), newest_right('completed', 'newest_f', 'default', 5),
       newest_right(function => 'no such'), newest_right(queue => 'no such');
SELECT newest_right('completed', max_rows => 1000), count(*) FROM stent.newest(max_rows => 1000) n WHERE n = :late;
SET SESSION AUTHORIZATION newest_other;
SELECT newest_right();
SELECT stent.dispatch('newest_f') > 0;
SELECT newest_right();
RESET SESSION AUTHORIZATION;
SELECT newest_right(), newest_right(max_rows => 1000) LIKE '%as they should be';
-- tasks of an execution are found by index
CREATE FUNCTION newest_plan(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    line text;
BEGIN
    SET LOCAL enable_seqscan = off;
    FOR line IN EXECUTE 'EXPLAIN (COSTS off) ' || query LOOP
        IF line ~ 'on (task|dead_letter|archive_)' THEN
            RETURN NEXT regexp_replace(replace(line, 'Bitmap Heap', 'Index'), '^.*(Index|Seq) Scan.* on (task|dead_letter|archive_kept|archive_p).*$', '\1 \2');
        END IF;
    END LOOP;
END $$;
SELECT p, count(*) > 0 FROM newest_plan('SELECT * FROM stent.tasks WHERE execution_id = 1') p GROUP BY 1 ORDER BY 1;
SET SESSION AUTHORIZATION newest_app;
SELECT stent.cancel(n) FROM stent.newest(max_rows => 1000) n JOIN stent.tasks t ON t.id = n WHERE t.finished_at IS NULL;
SELECT stent.discard_many('newest_f') > 0;
CALL newest_run();
SET SESSION AUTHORIZATION newest_other;
SELECT stent.cancel(n) FROM stent.newest() n;
RESET SESSION AUTHORIZATION;
-- for the tests that follow
SET stent.clock = '2026-01-05 12:00:00';
SELECT count(*) FROM stent.claim('newest', 1);
SELECT count(*) FROM stent.due WHERE kind = 'l';
SELECT count(*) FROM stent.task;
