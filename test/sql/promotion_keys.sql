-- What came due of one task twice, with a task of a concurrency key between.
SET stent.clock = '2026-01-01 00:00:00';
CREATE FUNCTION pk_f() RETURNS int LANGUAGE sql AS 'SELECT 1';
SELECT stent.register('pk_f', 'pk_f()');
CREATE PROCEDURE pk_drain() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
-- from now on this session knows that it is quick
SELECT stent.dispatch('pk_f') IS NOT NULL AS dispatched;
CALL pk_drain();

-- delay, deadline
SELECT stent.dispatch('pk_f', delay => '1 s', max_duration => '2 s') AS late,
       stent.dispatch('pk_f', delay => '2 s', concurrency_key => 'k') AS keyed \gset
SET stent.clock = '2026-01-01 00:00:10';
CALL pk_drain();
SELECT stent.state_of(:late) ->> 'state' AS late, stent.state_of(:keyed) ->> 'state' AS keyed;

-- deadline, delay: it was moved behind its deadline
SELECT stent.dispatch('pk_f', delay => '1 s', max_duration => '1 s') AS late,
       stent.dispatch('pk_f', delay => '3 s', concurrency_key => 'k') AS keyed \gset
SELECT stent.reschedule(:late, delay => '4 s');
SET stent.clock = '2026-01-01 00:00:20';
CALL pk_drain();
SELECT stent.state_of(:late) ->> 'state' AS late, stent.state_of(:keyed) ->> 'state' AS keyed;
SELECT count(*) FROM stent.due;
SELECT stent.unregister('pk_f');
