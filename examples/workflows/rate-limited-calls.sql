-- Thirty addresses are looked up at a service that takes twenty requests a second, five at once.
--
--     psql -f rate-limited-calls.sql mydb
--
-- Everything is in the schema geo, which is made anew. The limit belongs to the function, not
-- to the orchestrator: it holds for all who call it, in all executors and sessions.
\set ON_ERROR_STOP on
\set QUIET on
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS geo CASCADE;
CREATE SCHEMA geo;
SET search_path = geo;

CREATE TABLE request (address text, at timestamp);
CREATE FUNCTION look_up(address text) RETURNS jsonb LANGUAGE sql SET search_path = geo AS $$
    INSERT INTO request VALUES (address, stent.now());
    SELECT jsonb_build_object('address', address, 'lat', length(address));
$$;

-- First all are started, then all are awaited. spawn gives each call its id at once; the calls
-- begin with the commit of this run of the function, that is, when it waits.
CREATE FUNCTION locate(addresses text[]) RETURNS jsonb LANGUAGE plpgsql SET search_path = geo AS $$
DECLARE
    ids bigint[] := '{}';
    address text;
BEGIN
    FOREACH address IN ARRAY addresses LOOP
        ids := ids || stent.spawn('look_up', jsonb_build_object('address', address));
    END LOOP;
    RETURN stent.await_all(ids);        -- the results, in the order of ids
END $$;
SELECT stent.register('look_up', 'look_up(text)', rate_limit => 20, rate_interval => '1 s', rate_burst => 5),
       stent.register('locate', 'locate(text[])');

SELECT stent.dispatch('locate', jsonb_build_object('addresses', (SELECT jsonb_agg(format('Pine Street %s', n) ORDER BY n) FROM generate_series(1, 30) n))) AS id \gset

-- Executors take it up by themselves. Where there are none, this session does their work.
CREATE PROCEDURE run_until_done(id bigint) LANGUAGE plpgsql AS $$
BEGIN
    WHILE stent.state_of(id) ->> 'finished_at' IS NULL LOOP
        IF stent.run() = 0 THEN
            PERFORM pg_sleep(0.01);
        END IF;
        COMMIT;
    END LOOP;
END $$;
CALL run_until_done(:id);

\echo Thirty answers, in the order of the questions:
SELECT jsonb_array_length(result) AS answers, result -> 0 ->> 'address' AS first, result -> 29 ->> 'address' AS last FROM stent.result_of(:id) result;
\echo Five at once, twenty a second: the other twenty-five took at least 1.25 s less the time between two looks:
SELECT count(*) AS requests, max(at) - min(at) >= '1.2 s' AS kept_to_the_limit FROM request;
