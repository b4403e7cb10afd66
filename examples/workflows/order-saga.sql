-- An order is reserved, paid and shipped; what fails half-way is undone, last step first.
--
--     psql -f order-saga.sql mydb
--
-- Everything is in the schema shop, which is made anew. Three orders: one goes through,
-- one has a card that is declined, and one cannot be shipped after it was paid.
\set ON_ERROR_STOP on
\set QUIET on
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS shop CASCADE;
CREATE SCHEMA shop;
SET search_path = shop;

CREATE TABLE stock (item text PRIMARY KEY, pieces int NOT NULL CHECK (pieces >= 0));
CREATE TABLE orders (id int PRIMARY KEY, item text NOT NULL, card text NOT NULL, address text NOT NULL, state text NOT NULL, note text);
CREATE TABLE ledger (order_id int NOT NULL, cents int NOT NULL);
INSERT INTO stock VALUES ('lamp', 10);
INSERT INTO orders VALUES (1, 'lamp', 'good', 'Pine Street 1', 'new'), (2, 'lamp', 'stolen', 'Pine Street 2', 'new'), (3, 'lamp', 'good', 'The Moon', 'new');

-- The activities. Each is a task of its own: what it writes is committed with its end, exactly
-- once, and seen by all from then on. A real one calls a payment service, by a worker.
CREATE FUNCTION reserve(order_id int) RETURNS void LANGUAGE sql SET search_path = shop AS $$
    UPDATE stock SET pieces = pieces - 1 FROM orders o WHERE o.id = order_id AND stock.item = o.item
$$;
CREATE FUNCTION release(order_id int) RETURNS void LANGUAGE sql SET search_path = shop AS $$
    UPDATE stock SET pieces = pieces + 1 FROM orders o WHERE o.id = order_id AND stock.item = o.item
$$;
CREATE FUNCTION charge(order_id int, cents int) RETURNS void LANGUAGE plpgsql SET search_path = shop AS $$
BEGIN
    IF (SELECT card FROM orders WHERE id = order_id) = 'stolen' THEN
        RAISE EXCEPTION 'card is declined' USING ERRCODE = 'PAY01';
    END IF;
    INSERT INTO ledger VALUES (order_id, cents);
END $$;
CREATE FUNCTION refund(order_id int, cents int) RETURNS void LANGUAGE sql SET search_path = shop AS $$
    INSERT INTO ledger VALUES (order_id, -cents)
$$;
CREATE FUNCTION ship(order_id int) RETURNS text LANGUAGE plpgsql SET search_path = shop AS $$
BEGIN
    IF (SELECT address FROM orders WHERE id = order_id) = 'The Moon' THEN
        RAISE EXCEPTION 'nobody delivers to the moon' USING ERRCODE = 'SHP01';
    END IF;
    RETURN format('parcel-%s', order_id);
END $$;
-- What others are to see while the order is under way goes through such a function, too:
-- a write of the orchestrator itself is committed with its end, not before.
CREATE FUNCTION tell(order_id int, state text) RETURNS void LANGUAGE sql SET search_path = shop AS $$
    UPDATE orders SET state = tell.state WHERE id = order_id
$$;

-- The orchestrator. undo is an ordinary variable: the function runs again from the top after
-- each step, finished steps return at once what they returned before, and so undo grows to
-- the same value again.
CREATE FUNCTION place_order(order_id int) RETURNS text LANGUAGE plpgsql SET search_path = shop AS $$
DECLARE
    this constant jsonb := jsonb_build_object('order_id', order_id);
    price constant jsonb := this || '{"cents": 4900}';
    undo text[] := '{}';
    reason text;
    parcel text;
BEGIN
    PERFORM stent.step('accept', 'tell', this || '{"state": "in progress"}');
    BEGIN
        PERFORM stent.call('reserve', this);
        undo := array_prepend('release', undo);
        PERFORM stent.call('charge', price);
        undo := array_prepend('refund', undo);
        parcel := stent.call('ship', this) #>> '{}';
    EXCEPTION WHEN SQLSTATE 'PAY01' OR SQLSTATE 'SHP01' THEN
        -- The error of the child, with its own code. What is not named here fails the order.
        reason := SQLERRM;
    END;

    IF reason IS NULL THEN
        UPDATE orders SET state = 'shipped', note = parcel WHERE id = order_id;
        RETURN 'shipped';
    END IF;
    FOR i IN 1 .. cardinality(undo) LOOP
        PERFORM stent.call(undo[i], CASE undo[i] WHEN 'refund' THEN price ELSE this END);
    END LOOP;
    UPDATE orders SET state = 'cancelled', note = reason WHERE id = order_id;
    RETURN 'cancelled';
END $$;

-- A declined card stays declined; anything else is tried again, three times as usual.
SELECT count(stent.register(name, handler, retry => '{"no_retry_for": ["PAY01", "SHP01"]}')) AS registered
FROM (VALUES ('reserve', 'reserve(int)'::regprocedure), ('release', 'release(int)'), ('charge', 'charge(int, int)'), ('refund', 'refund(int, int)'),
             ('ship', 'ship(int)'), ('tell', 'tell(int, text)'), ('place_order', 'place_order(int)')) f (name, handler);

SELECT stent.dispatch('place_order', '{"order_id": 1}') AS one,
       stent.dispatch('place_order', '{"order_id": 2}') AS two,
       stent.dispatch('place_order', '{"order_id": 3}') AS three \gset

-- Executors take them up by themselves. Where there are none, this session does their work.
CREATE PROCEDURE run_until_done(id bigint) LANGUAGE plpgsql AS $$
BEGIN
    WHILE stent.state_of(id) ->> 'finished_at' IS NULL LOOP
        IF stent.run() = 0 THEN
            PERFORM pg_sleep(0.01);
        END IF;
        COMMIT;
    END LOOP;
END $$;
CALL run_until_done(:one);
CALL run_until_done(:two);
CALL run_until_done(:three);

\echo What the orchestrators returned:
SELECT stent.result_of(:one) AS one, stent.result_of(:two) AS two, stent.result_of(:three) AS three;
\echo The orders:
SELECT id, state, note FROM orders ORDER BY id;
\echo Nine lamps are left, and the only money kept is that of order 1:
SELECT pieces FROM stock;
SELECT order_id, sum(cents) AS cents, count(*) AS entries FROM ledger GROUP BY 1 ORDER BY 1;
\echo What was done for order 3, in order:
SELECT function, state, error ->> 'message' AS error FROM stent.tasks WHERE parent_id = :three ORDER BY id;
