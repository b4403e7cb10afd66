-- max_per_key raised: those that may run now do, though none of their key ends.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
CREATE TABLE keys_raised_log (n serial, what text);
CREATE FUNCTION keys_raised_f(what text, fails boolean) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF fails THEN
        RAISE EXCEPTION 'fails';
    END IF;
    INSERT INTO keys_raised_log (what) VALUES (what);
END $$;
CREATE PROCEDURE keys_raised_register(n int) LANGUAGE sql AS $$
    SELECT stent.register('keys_raised_f', 'keys_raised_f(text, boolean)', max_per_key => n, retry => '{"initial_delay": "1h", "max_delay": "1h"}')
$$;
CREATE PROCEDURE keys_raised_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
CREATE VIEW keys_raised_states AS
    SELECT args ->> 'what' AS what, state FROM stent.tasks WHERE function = 'keys_raised_f' ORDER BY id;

-- the first of each key waits for its retry
CALL keys_raised_register(1);
SELECT count(stent.dispatch('keys_raised_f', jsonb_build_object('what', key || n, 'fails', n = 1), concurrency_key => key))
FROM unnest('{a,b}'::text[]) key, generate_series(1, 3) n;
CALL keys_raised_run();
SELECT * FROM keys_raised_states;
-- registered again as it was, or with less: nothing to decide
CALL keys_raised_register(1);
SELECT count(*) FROM stent.due WHERE kind = 'k';
-- undone
BEGIN;
CALL keys_raised_register(2);
ROLLBACK;
CALL keys_raised_run();
SELECT count(*) FROM keys_raised_log;
-- one more of each
CALL keys_raised_register(2);
CALL keys_raised_run();
SELECT what FROM keys_raised_log ORDER BY what;
SELECT * FROM keys_raised_states;
CALL keys_raised_register(1);
SELECT count(*) FROM stent.due WHERE kind = 'k';

SELECT count(stent.cancel(id)) FROM stent.tasks WHERE function = 'keys_raised_f' AND state = 'scheduled';
CALL keys_raised_run();
SELECT stent.unregister('keys_raised_f');
DROP VIEW keys_raised_states;
DROP PROCEDURE keys_raised_register, keys_raised_run;
DROP FUNCTION keys_raised_f;
DROP TABLE keys_raised_log;
