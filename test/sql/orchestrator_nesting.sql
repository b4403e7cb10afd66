-- Orchestrators below orchestrators, 100 levels, by one session.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';
CREATE PROCEDURE nst_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
CREATE FUNCTION nst_down(n int, fail boolean DEFAULT false) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    IF n = 0 AND fail THEN
        RAISE EXCEPTION 'at the bottom' USING ERRCODE = 'XX123';
    END IF;
    RETURN CASE WHEN n = 0 THEN 0 ELSE 1 + stent.call('nst_down', jsonb_build_object('n', n - 1, 'fail', fail))::int END;
END $$;
SELECT stent.register('nst_down', 'nst_down(int, boolean)', retry => '{"max_attempts": 1}');
SELECT stent.dispatch('nst_down', '{"n": 100}') AS id \gset
CALL nst_run();
SELECT state, result FROM stent.tasks WHERE id = :id;
SELECT count(*) AS tasks, count(*) FILTER (WHERE state = 'completed') AS completed, sum(attempt) AS attempts FROM stent.tasks WHERE execution_id = :id;

-- an error comes up all the way, with the code it had at the bottom
SELECT stent.dispatch('nst_down', '{"n": 100, "fail": true}') AS id \gset
CALL nst_run();
SELECT state, error ->> 'code' AS code, error ->> 'message' AS message FROM stent.tasks WHERE id = :id;
SELECT state, attempt, count(*) FROM stent.tasks WHERE execution_id = :id GROUP BY 1, 2;
SELECT stent.discard_many('nst_down') AS dead;

CREATE FUNCTION nst_wide(n int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    a bigint;
    b bigint;
BEGIN
    IF n = 0 THEN
        RETURN 1;
    END IF;
    a := stent.spawn('nst_wide', jsonb_build_object('n', n - 1));
    b := stent.spawn('nst_wide', jsonb_build_object('n', n - 1));
    RETURN stent.await(a)::int + stent.await(b)::int;
END $$;
SELECT stent.register('nst_wide', 'nst_wide(int)');
-- two at each of eight levels
SELECT stent.dispatch('nst_wide', '{"n": 8}') AS id \gset
CALL nst_run();
SELECT stent.result_of(:id);
SELECT count(*) FROM stent.tasks WHERE execution_id = :id;
SELECT (SELECT count(*) FROM stent.task) AS tasks, (SELECT count(*) FROM stent.ready) AS ready, (SELECT count(*) FROM stent.due) AS due, (SELECT count(*) FROM stent.child) AS children;
SELECT count(stent.unregister('nst_' || n)) FROM unnest(ARRAY['down', 'wide']) n;
DROP PROCEDURE nst_run;
DROP FUNCTION nst_down, nst_wide;
