-- Every night each customer gets an invoice: one map over a query, in chunks.
--
--     psql -f nightly-batch.sql mydb
--
-- Everything is in the schema billing, which is made anew. 5,000 customers; one of them has a
-- negative balance, for which there is no invoice.
\set ON_ERROR_STOP on
\set QUIET on
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS billing CASCADE;
CREATE SCHEMA billing;
SET search_path = billing;

CREATE TABLE customer (id int PRIMARY KEY, cents int NOT NULL);
CREATE TABLE invoice (customer_id int NOT NULL, night date NOT NULL, cents int NOT NULL);   -- nothing forbids duplicates
CREATE TABLE report (night date, invoices int, failed int, cents bigint, errors text);
INSERT INTO customer SELECT n, CASE n WHEN 4242 THEN -1 ELSE n END FROM generate_series(1, 5000) n;

-- Called for each item. 500 of them share a task, its commit and its row of progress.
CREATE FUNCTION make_invoice(customer_id int, night date) RETURNS int LANGUAGE plpgsql SET search_path = billing AS $$
DECLARE
    owed int;
BEGIN
    SELECT cents INTO owed FROM customer WHERE id = customer_id;
    IF owed < 0 THEN
        RAISE EXCEPTION 'customer % has a negative balance', customer_id USING ERRCODE = 'INV01';
    END IF;
    INSERT INTO invoice VALUES (customer_id, night, owed);
    RETURN owed;
END $$;

-- The query runs once, in the transaction that starts the map; its rows go to chunks as they
-- come, so memory does not depend on how many there are. on_error 'collect': an item that
-- fails does not fail the map.
CREATE FUNCTION nightly(night date) RETURNS jsonb LANGUAGE plpgsql SET search_path = billing AS $$
DECLARE
    map bigint;
    line report;
BEGIN
    map := stent.map_query('make_invoice',
        format('SELECT jsonb_build_object(''customer_id'', id, ''night'', %L) FROM billing.customer ORDER BY id', night),
        chunk_size => 500, on_error => 'collect');
    PERFORM stent.await(map);

    SELECT night, count(result), count(error), sum(result::int), string_agg(error ->> 'message', ', ')
    INTO line FROM stent.map_results(map);
    INSERT INTO report SELECT line.*;
    RETURN to_jsonb(line);
END $$;
SELECT stent.register('make_invoice', 'make_invoice(int, date)', retry => '{"no_retry_for": ["INV01"]}'), stent.register('nightly', 'nightly(date)');

-- A dedup key makes the batch of one night run once, however often cron asks for it.
SELECT stent.dispatch('nightly', '{"night": "2026-01-31"}', dedup_key => '2026-01-31') AS id \gset

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

\echo The report, as the orchestrator returned it, and as it wrote it:
SELECT stent.result_of(:id);
SELECT invoices, failed, cents, errors FROM report;
\echo Each customer has one invoice:
SELECT count(*) AS invoices, count(DISTINCT customer_id) AS customers FROM invoice;
