-- A subscription that is charged every month until it is cancelled, for years if need be; here
-- the months pass at once, because the clock is moved.
--
--     psql -f subscription.sql mydb      (superuser, in a database without executors)
--
-- Everything is in the schema subs, which is made anew. stent.clock shifts the clock of
-- this session alone. Executors have the real one and would wait for the month, hence a database that they do
-- not serve (stent.databases), or SELECT stent.stop() first.
\set ON_ERROR_STOP on
\set QUIET on
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS subs CASCADE;
CREATE SCHEMA subs;
SET search_path = subs;

CREATE TABLE payment (customer int NOT NULL, month int NOT NULL, paid_at timestamp NOT NULL);
CREATE FUNCTION charge_month(customer int, month int) RETURNS void LANGUAGE plpgsql SET search_path = subs AS $$
BEGIN
    INSERT INTO payment VALUES (customer, month, stent.now());
END $$;

-- One month of a subscription; then it begins again with new arguments. Without
-- continue_as_new the steps of all months would be kept and gone through again at each step.
CREATE FUNCTION subscription(customer int, month int DEFAULT 1) RETURNS text LANGUAGE plpgsql SET search_path = subs AS $$
DECLARE
    goodbye jsonb;
BEGIN
    IF month = 1 THEN
        PERFORM stent.sleep('1 month');             -- the first one is free
    END IF;
    PERFORM stent.call('charge_month', jsonb_build_object('customer', customer, 'month', month));
    BEGIN
        goodbye := stent.await_signal('cancel', timeout => '1 month');
        RETURN format('cancelled after %s months: %s', month, goodbye ->> 'reason');
    EXCEPTION WHEN SQLSTATE 'ST010' THEN
        NULL;                                       -- nobody cancelled it
    END;
    PERFORM stent.continue_as_new(jsonb_build_object('customer', customer, 'month', month + 1));
    RETURN NULL;                                    -- takes effect with the end of this run
END $$;
SELECT stent.register('charge_month', 'charge_month(int, int)'), stent.register('subscription', 'subscription(int, int)');

SELECT stent.dispatch('subscription', '{"customer": 7}') AS id \gset

-- Runs what can be run now. Without retention: months from now all history of today would be
-- old enough to be dropped.
SET stent.retention = 'off';
CREATE PROCEDURE run_all() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
CALL run_all();
\echo It waits, and costs one row:
SELECT state FROM stent.executions WHERE id = :id;
SET stent.clock = '+32d';
CALL run_all();
SET stent.clock = '+64d';
CALL run_all();
SET stent.clock = '+96d';
CALL run_all();
\echo Three months have passed:
SELECT customer, month FROM payment ORDER BY month;

SELECT stent.signal(:id, 'cancel', '{"reason": "moved away"}');
CALL run_all();
\echo And it is cancelled:
SELECT state, result FROM stent.executions WHERE id = :id;
