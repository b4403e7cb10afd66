-- timeout bounds an attempt and cannot be swallowed; a cancel of the session stays one.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET intervalstyle = postgres;

CREATE FUNCTION timeouts_sleep() RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(60); RETURN 'slept'; END $$;
CREATE FUNCTION timeouts_swallow() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. 100 LOOP
        BEGIN
            PERFORM pg_sleep(60);
        EXCEPTION WHEN query_canceled THEN
            NULL;
        END;
    END LOOP;
    RETURN 'swallowed';
END $$;
CREATE FUNCTION timeouts_others() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_sleep(60);
    RETURN 'slept';
EXCEPTION WHEN OTHERS OR query_canceled THEN
    RETURN 'caught';
END $$;
CREATE FUNCTION timeouts_convert() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_sleep(60);
    RETURN 'slept';
EXCEPTION WHEN query_canceled THEN
    RAISE EXCEPTION 'something else' USING ERRCODE = '22012';
END $$;
-- looks for no interrupt while it multiplies, nor after; a parameter keeps that out of the planner
CREATE FUNCTION timeouts_busy(n int DEFAULT 60000) RETURNS int LANGUAGE sql AS $$
    SELECT length((repeat('9', n)::numeric * repeat('9', n)::numeric)::text)
$$;
CREATE FUNCTION timeouts_quick() RETURNS text LANGUAGE sql AS $$ SELECT 'quick' $$;
CREATE FUNCTION timeouts_raise() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RAISE query_canceled USING MESSAGE = 'own 57014';
END $$;
SELECT count(stent.register('timeouts_' || n, ('timeouts_' || n || CASE n WHEN 'busy' THEN '(int)' ELSE '()' END)::regprocedure,
                            timeout => CASE WHEN n IN ('quick', 'raise') THEN interval '1min' ELSE '20ms' END,
                            retry => '{"max_attempts": 1}'))
FROM unnest(ARRAY['sleep', 'swallow', 'others', 'convert', 'busy', 'quick', 'raise']) n;

-- each fails with the timeout's own SQLSTATE, whatever the handler catches
SELECT count(stent.dispatch('timeouts_' || n)) FROM unnest(ARRAY['sleep', 'swallow', 'others', 'convert', 'busy', 'quick', 'raise']) n;
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT function, state, attempt, result, error - 'context' AS error FROM stent.tasks
WHERE function LIKE 'timeouts\_%' ORDER BY function COLLATE "C";

-- the policy may name it, and the session lives on with nothing pending
SELECT stent.dispatch('timeouts_sleep', retry => '{"max_attempts": 2, "retry_for": ["ST003"], "initial_delay": "0s"}') AS id \gset
SELECT stent.run();
SELECT state, attempt FROM stent.tasks WHERE id = :id;
SELECT stent.run();
SELECT state, attempt FROM stent.tasks WHERE id = :id;
SELECT pg_sleep(0.05);

-- 0 at dispatch lifts the registered timeout
SELECT stent.dispatch('timeouts_quick', timeout => '0') AS id \gset
SELECT timeout FROM stent.tasks WHERE id = :id;
SELECT stent.run() > 0 AS ran;

-- statement_timeout of the session is its own cancel: run is undone, nobody is charged
SELECT stent.dispatch('timeouts_sleep', timeout => '1h') AS id \gset
SET statement_timeout = '300ms';
SELECT stent.run();
RESET statement_timeout;
SELECT state, attempt, error FROM stent.tasks WHERE id = :id;
SELECT stent.register('timeouts_sleep', 'timeouts_quick()');
SELECT stent.run();
SELECT state, attempt, result FROM stent.tasks WHERE id = :id;
-- a handler that catches it has returned
SELECT stent.dispatch('timeouts_others', timeout => '1h') AS id \gset
SET statement_timeout = '300ms';
SELECT stent.run();
RESET statement_timeout;
SELECT state, attempt, result FROM stent.tasks WHERE id = :id;
SELECT count(*) FROM stent.tasks WHERE function LIKE 'timeouts\_%' AND finished_at IS NULL;

SELECT stent.discard_many() > 0 AS discarded;
SELECT count(stent.unregister(name)) FROM stent.functions WHERE name LIKE 'timeouts\_%';
DROP FUNCTION timeouts_sleep, timeouts_swallow, timeouts_others, timeouts_convert, timeouts_busy, timeouts_quick, timeouts_raise;
