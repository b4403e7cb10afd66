-- What is due and makes nobody ready keeps nothing behind it from being run at once.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';
CREATE FUNCTION keys_idle_f() RETURNS void LANGUAGE sql AS '';
SELECT stent.register('keys_idle_f', 'keys_idle_f()');
SELECT stent.register('keys_idle_g', 'keys_idle_f()');

-- nudges about empty lines, older than a delay that has ended; this session knows neither function
SELECT count(stent.dispatch('keys_idle_f', concurrency_key => 'k' || n)) FROM generate_series(1, 250) n;
SELECT count(stent.cancel(id)) FROM stent.tasks WHERE function = 'keys_idle_f';
SELECT count(*) FROM stent.due WHERE kind = 'k';
SELECT count(stent.dispatch('keys_idle_f', delay => '1s'));
SET stent.clock = '2026-01-01 00:00:02';
SELECT stent.run();

-- the same with a function that is known to be quick
SELECT count(stent.dispatch('keys_idle_f', concurrency_key => 'k' || n)) FROM generate_series(1, 250) n;
SELECT count(stent.cancel(id)) FROM stent.tasks WHERE function = 'keys_idle_f' AND state = 'ready';
SELECT count(stent.dispatch('keys_idle_f', delay => '1s'));
SET stent.clock = '2026-01-01 00:00:04';
SELECT stent.run();

-- delays that end behind one that waits for its retry
CREATE FUNCTION keys_idle_fail() RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'fails'; END $$;
SELECT stent.register('keys_idle_g', 'keys_idle_fail()', retry => '{"initial_delay": "1h", "max_delay": "1h"}');
SELECT count(stent.dispatch('keys_idle_g', concurrency_key => 'k'));
SELECT stent.run();
SELECT count(stent.dispatch('keys_idle_g', concurrency_key => 'k', delay => '1s')) FROM generate_series(1, 250) n;
SELECT count(stent.dispatch('keys_idle_f', delay => '2s'));
SET stent.clock = '2026-01-01 00:00:10';
SELECT stent.run();
SELECT state, count(*) FROM stent.tasks WHERE function = 'keys_idle_g' GROUP BY 1 ORDER BY 1;

SELECT count(stent.cancel(id)) FROM stent.tasks WHERE function = 'keys_idle_g';
DO $$ BEGIN WHILE EXISTS (SELECT FROM stent.due WHERE kind = 'k') LOOP PERFORM stent.run(); COMMIT; END LOOP; END $$;
SELECT stent.unregister('keys_idle_f'), stent.unregister('keys_idle_g');
DROP FUNCTION keys_idle_f, keys_idle_fail;
