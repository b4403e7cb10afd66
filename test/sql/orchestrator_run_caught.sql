-- run() ends with an error that its caller catches, while a handler is at a step: nothing of the handler is left in the session.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';
CREATE FUNCTION rca_do() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. 100 LOOP
        PERFORM stent.record('n', to_jsonb(i));
    END LOOP;
    PERFORM stent.spawn('rca_leaf');
    PERFORM pg_cancel_backend(pg_backend_pid()), pg_sleep(60);
END $$;
CREATE FUNCTION rca_leaf() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$;
-- blocks of its own: each of them ends a subtransaction
CREATE FUNCTION rca_blocks(n int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    done int := 0;
BEGIN
    FOR i IN 1 .. n LOOP
        BEGIN
            IF i % 2 = 0 THEN
                RAISE EXCEPTION 'undone %', repeat('x', 1000);
            END IF;
            done := done + 1;
        EXCEPTION WHEN raise_exception THEN NULL;
        END;
    END LOOP;
    RETURN done;
END $$;
SELECT stent.register('rca_leaf', 'rca_leaf()'), stent.register('rca_do', 'rca_do()');
SELECT stent.dispatch('rca_do') AS id \gset
DO $$
BEGIN
    BEGIN
        PERFORM stent.run();
    EXCEPTION WHEN query_canceled THEN
        RAISE NOTICE 'caught: %', SQLERRM;
    END;
    RAISE NOTICE 'blocks: %', rca_blocks(100);
    PERFORM stent.record('n', '1');
EXCEPTION WHEN object_not_in_prerequisite_state THEN
    RAISE NOTICE 'refused: %', SQLERRM;
END $$;
SELECT state, attempt FROM stent.tasks WHERE id = :id;
SELECT stent.cancel(:id);
SELECT count(stent.unregister('rca_' || n)) FROM unnest(ARRAY['leaf', 'do']) n;
DROP FUNCTION rca_leaf, rca_do, rca_blocks;
