-- Steps while cursors are open: in loops over queries, between fetches, with portals of several depths.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';
SET jit = off;
CREATE TABLE cur_t (n int PRIMARY KEY);
INSERT INTO cur_t SELECT generate_series(1, 20);
CREATE FUNCTION cur_leaf(n int) RETURNS int LANGUAGE sql AS $$ SELECT n * 10 $$;
CREATE PROCEDURE cur_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT stent.register('cur_leaf', 'cur_leaf(int)');

-- FOR over a query, in a FOR over a query
CREATE FUNCTION cur_for() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    a int;
    b int;
    answer int[] := '{}';
BEGIN
    FOR a IN SELECT n FROM cur_t WHERE n <= 3 ORDER BY n LOOP
        FOR b IN SELECT n FROM cur_t WHERE n < a ORDER BY n DESC LOOP
            answer := answer || stent.call('cur_leaf', jsonb_build_object('n', 100 * a + b))::int;
        END LOOP;
    END LOOP;
    RETURN to_jsonb(answer);
END $$;
-- a cursor with a name and one without, open over calls, in an exception block
CREATE FUNCTION cur_explicit() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    named CURSOR FOR SELECT n FROM cur_t ORDER BY n;
    other refcursor := 'cur_other';
    a int;
    b int;
    answer int[] := '{}';
BEGIN
    OPEN named;
    OPEN other FOR SELECT n FROM cur_t ORDER BY n DESC;
    BEGIN
        FOR i IN 1 .. 4 LOOP
            FETCH named INTO a;
            FETCH other INTO b;
            answer := answer || stent.call('cur_leaf', jsonb_build_object('n', a + 100 * b))::int;
        END LOOP;
    EXCEPTION WHEN OTHERS THEN
        RETURN to_jsonb(SQLERRM);
    END;
    CLOSE named;
    -- the other one is left open
    RETURN to_jsonb(answer);
END $$;
-- changes what it reads: undone with each suspension, so that each run finds the table as it was
CREATE FUNCTION cur_change() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    a CURSOR FOR SELECT n FROM cur_t WHERE n BETWEEN 5 AND 8 ORDER BY n FOR UPDATE;
    answer int[] := '{}';
BEGIN
    FOR r IN a LOOP
        UPDATE cur_t SET n = 1000 + n WHERE CURRENT OF a;
        answer := answer || stent.call('cur_leaf', jsonb_build_object('n', r.n))::int;
    END LOOP;
    RETURN to_jsonb(answer);
END $$;
-- a query whose rows are the calls, and one that returns a set in between
CREATE FUNCTION cur_query() RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_agg(x ORDER BY n) FROM (SELECT n, stent.call('cur_leaf', jsonb_build_object('n', n)) AS x FROM cur_t WHERE n <= 3 ORDER BY n) q
$$;
CREATE FUNCTION cur_set() RETURNS SETOF int LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. 3 LOOP
        RETURN NEXT stent.call('cur_leaf', jsonb_build_object('n', i))::int;
    END LOOP;
    RETURN QUERY SELECT stent.call('cur_leaf', '{"n": 9}')::int;
END $$;
CREATE FUNCTION cur_from_set() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    n int;
    answer int[] := '{}';
BEGIN
    FOR n IN SELECT * FROM cur_set() LOOP
        answer := answer || n;
    END LOOP;
    RETURN to_jsonb(answer);
END $$;
SELECT count(stent.register('cur_' || n, ('cur_' || n || '()')::regprocedure)) FROM unnest(ARRAY['for', 'explicit', 'change', 'query', 'from_set']) n;
CREATE TEMP TABLE cur_run_ids AS SELECT n, stent.dispatch('cur_' || n) AS id FROM unnest(ARRAY['for', 'explicit', 'change', 'query', 'from_set']) WITH ORDINALITY u (n, o) ORDER BY o;
CALL cur_run();
SELECT r.n, t.state, t.result, t.error ->> 'message' AS error, (SELECT count(*) FROM stent.tasks c WHERE c.parent_id = r.id) AS children FROM cur_run_ids r JOIN stent.tasks t USING (id) ORDER BY r.id;
SELECT n FROM cur_t WHERE n NOT BETWEEN 1 AND 20 ORDER BY n;
SELECT name FROM pg_cursors WHERE name LIKE 'cur%' OR name LIKE 'named%';
-- the session is as it was
BEGIN;
DECLARE cur_other CURSOR FOR SELECT 1 AS still;
FETCH cur_other;
COMMIT;

SELECT count(*) AS live FROM stent.task;
SELECT count(stent.unregister('cur_' || n)) FROM unnest(ARRAY['leaf', 'for', 'explicit', 'change', 'query', 'from_set']) n;
DROP PROCEDURE cur_run;
DROP FUNCTION cur_leaf, cur_for, cur_explicit, cur_change, cur_query, cur_set, cur_from_set;
DROP TABLE cur_t, cur_run_ids;
