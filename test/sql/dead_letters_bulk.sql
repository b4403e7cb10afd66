-- Bulk replay, discard and purge choose dead letters by function, error code and age, oldest first.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';

CREATE TABLE bulk_log (n int);
CREATE FUNCTION bulk_f(code text, n int, big text DEFAULT '') RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    IF stent.headers() ? 'heal' AND (SELECT replays FROM stent.tasks WHERE id = stent.task_id()) > 0 THEN
        INSERT INTO bulk_log VALUES (n);
        RETURN 'healed';
    END IF;
    RAISE EXCEPTION USING ERRCODE = code;
END $$;
CREATE PROCEDURE bulk_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
CREATE VIEW bulk_dead AS
    SELECT coalesce(string_agg(CASE function WHEN 'bulk_f' THEN 'f' ELSE 'g' END || (args ->> 'n'), ' ' ORDER BY died_at, id), '-') AS dead
    FROM stent.dead_letters;
SELECT stent.register('bulk_f', 'bulk_f(text, int, text)', retry => '{"max_attempts": 1}');
SELECT stent.register('bulk_g', 'bulk_f(text, int, text)', retry => '{"max_attempts": 1}');
-- nine dead letters, one an hour, of two functions and three codes
DO $$
BEGIN
    FOR i IN 1 .. 9 LOOP
        PERFORM set_config('stent.clock', to_char(timestamp '2026-01-01' + i * interval '1h', 'YYYY-MM-DD HH24:MI'), false);
        PERFORM stent.dispatch(CASE WHEN i % 2 = 0 THEN 'bulk_g' ELSE 'bulk_f' END,
            jsonb_build_object('n', i, 'code', (ARRAY['22012', '22003', '40P01'])[i % 3 + 1]), headers => '{"heal": true}');
        COMMIT;
        WHILE stent.run() > 0 LOOP COMMIT; END LOOP;
    END LOOP;
END $$;
SELECT args ->> 'n' AS n, function, error_code FROM stent.dead_letters ORDER BY 1;

SET stent.clock = '2026-01-01 10:00:00';
-- discard: by function, code, class, age, count; each rolled back
BEGIN; SELECT stent.discard_many('bulk_g'); TABLE bulk_dead; ROLLBACK;
BEGIN; SELECT stent.discard_many(error_code => '22012'); TABLE bulk_dead; ROLLBACK;
BEGIN; SELECT stent.discard_many(error_code => '22'); TABLE bulk_dead; ROLLBACK;
BEGIN; SELECT stent.discard_many(error_code => '2'); TABLE bulk_dead; ROLLBACK;
BEGIN; SELECT stent.discard_many(older_than => '6h'); TABLE bulk_dead; ROLLBACK;
BEGIN; SELECT stent.discard_many('bulk_f', '22', '5 hours'); TABLE bulk_dead; ROLLBACK;
BEGIN; SELECT stent.discard_many(max_tasks => 2); TABLE bulk_dead; ROLLBACK;
BEGIN; SELECT stent.discard_many(); TABLE bulk_dead; ROLLBACK;
SELECT stent.discard_many('bulk_f', '40P01');
TABLE bulk_dead;

-- replay: the same choice, with queue and attempts
SELECT stent.replay_many('bulk_g', older_than => '4h', queue => 'bulk_q', max_tasks => 2);
TABLE bulk_dead;
SELECT args ->> 'n' AS n, state, queue, attempt, replays FROM stent.tasks WHERE queue = 'bulk_q' ORDER BY 1;
SELECT stent.replay_many(error_code => '22', reset_retries => false, max_tasks => 1);
SELECT args ->> 'n' AS n, state, queue, attempt, replays FROM stent.tasks WHERE function = 'bulk_f' AND state = 'ready';
CALL bulk_run();
SELECT * FROM bulk_log ORDER BY n;
TABLE bulk_dead;
SELECT stent.replay_many();
CALL bulk_run();
TABLE bulk_dead;

-- purge: nothing is kept, of large values and attempts neither
SELECT stent.dispatch('bulk_f', jsonb_build_object('n', 20, 'code', '22012', 'big', repeat('x', 2000)), counters => '{"c": 1}', context => '{"k": 1}') AS big,
       stent.dispatch('bulk_g', '{"n": 21, "code": "23505"}') AS small \gset
CALL bulk_run();
TABLE bulk_dead;
SELECT args_ref AS ref FROM stent.dead_letter WHERE id = :big \gset
SET stent.clock = '2026-01-01 11:00:00';
SELECT stent.purge_dead_letters('2h'), stent.purge_dead_letters('30m', 'bulk_g', '22'), stent.purge_dead_letters('0s', error_code => '22012');
TABLE bulk_dead;
SELECT (SELECT count(*) FROM stent.tasks WHERE id = :big) AS task, (SELECT count(*) FROM stent.payload WHERE id = :ref) AS payload,
       (SELECT count(*) FROM stent.attempt WHERE task_id = :big) AS attempt, (SELECT count(*) FROM stent.counter WHERE execution_id = :big) AS counter,
       (SELECT count(*) FROM stent.context WHERE execution_id = :big) AS context;
SELECT stent.purge_dead_letters('30m', 'bulk_g');
TABLE bulk_dead;

SELECT stent.unregister('bulk_f');
SELECT stent.unregister('bulk_g');
DROP VIEW bulk_dead;
DROP TABLE bulk_log;
DROP FUNCTION bulk_f;
DROP PROCEDURE bulk_run;
