-- An expense waits for somebody to decide. Who does not answer is reminded; after the second
-- reminder the expense is refused.
--
--     psql -f approval.sql mydb
--
-- Everything is in the schema office, which is made anew. The waits are short here: a day
-- would be written '1 day', and cost as much: one row.
\set ON_ERROR_STOP on
\set QUIET on
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS office CASCADE;
CREATE SCHEMA office;
SET search_path = office;

CREATE TABLE expense (id int PRIMARY KEY, cents int NOT NULL, state text NOT NULL DEFAULT 'asked', decided_by text);
CREATE TABLE mail (id bigint GENERATED ALWAYS AS IDENTITY, expense_id int NOT NULL, words text NOT NULL);
INSERT INTO expense (id, cents) VALUES (1, 12000), (2, 990000), (3, 500);

CREATE FUNCTION send_mail(expense_id int, words text) RETURNS void LANGUAGE sql SET search_path = office AS $$
    INSERT INTO mail (expense_id, words) VALUES (expense_id, words)
$$;

CREATE FUNCTION approve(expense_id int, patience interval) RETURNS text LANGUAGE plpgsql SET search_path = office AS $$
DECLARE
    decision jsonb;
    words text := 'please decide';
BEGIN
    FOR reminders IN 0 .. 2 LOOP
        PERFORM stent.call('send_mail', jsonb_build_object('expense_id', expense_id, 'words', words));
        BEGIN
            decision := stent.await_signal('decision', timeout => patience);
            EXIT;
        EXCEPTION WHEN SQLSTATE 'ST010' THEN
            -- The wait ran out. A signal that comes now is not lost: the next wait finds it.
            words := format('reminder %s: please decide', reminders + 1);
        END;
    END LOOP;

    -- The orchestrator's own write: committed once, with its end.
    UPDATE expense SET state = COALESCE(decision ->> 'state', 'refused'), decided_by = COALESCE(decision ->> 'by', 'nobody') WHERE id = expense_id;
    RETURN COALESCE(decision ->> 'state', 'refused');
END $$;
SELECT stent.register('send_mail', 'send_mail(int, text)'), stent.register('approve', 'approve(int, interval)');

-- Runs tasks until a condition holds: what executors do by themselves. Needed only where there
-- are none.
CREATE PROCEDURE run_until(condition text) LANGUAGE plpgsql AS $$
DECLARE
    holds boolean;
BEGIN
    LOOP
        EXECUTE 'SELECT ' || condition INTO holds;
        EXIT WHEN holds;
        IF stent.run() = 0 THEN
            PERFORM pg_sleep(0.01);
        END IF;
        COMMIT;
    END LOOP;
END $$;

SELECT stent.dispatch('approve', '{"expense_id": 1, "patience": "30 days"}') AS one,
       stent.dispatch('approve', '{"expense_id": 2, "patience": "0.2 seconds"}') AS two \gset

-- A signal is kept from the moment it is sent, so it does not matter whether the wait for it has
-- begun; and the latest one counts. The third expense is decided before it begins.
BEGIN;
SELECT stent.dispatch('approve', '{"expense_id": 3, "patience": "30 days"}') AS three \gset
SELECT stent.signal(:three, 'decision', '{"state": "refused", "by": "ann"}');
SELECT stent.signal(:three, 'decision', '{"state": "approved", "by": "ann"}');
COMMIT;

-- The first is decided while it waits.
CALL run_until(format('(SELECT state = ''waiting'' FROM stent.executions WHERE id = %s)', :one));
\echo The first expense waits:
SELECT function, state FROM stent.executions WHERE id = :one;
SELECT stent.signal(:one, 'decision', '{"state": "approved", "by": "bob"}');
CALL run_until(format('NOT EXISTS (SELECT FROM stent.executions WHERE id IN (%s, %s, %s) AND finished_at IS NULL)', :one, :two, :three));

\echo How they ended:
SELECT id, state, decided_by FROM expense ORDER BY id;
\echo The second was asked, reminded twice, and given up:
SELECT words FROM mail WHERE expense_id = 2 ORDER BY id;
