-- run() is 0 when nothing is claimable, not when what came due first was in vain.
SET stent.clock = '2026-01-01 00:00:00';
CREATE FUNCTION until_f() RETURNS int LANGUAGE sql AS 'SELECT 1';
SELECT stent.register('until_f', 'until_f()');
CREATE PROCEDURE until_drain() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
-- what is cancelled leaves nudges: somebody has to look at its line
CREATE FUNCTION until_nudges(n int) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    PERFORM stent.cancel(stent.dispatch('until_f', concurrency_key => 'k' || i)) FROM generate_series(1, n) i;
    RETURN (SELECT count(*) FROM stent.due WHERE kind = 'k');
END $$;

-- a function that runs alone, for this session does not know yet how long it takes
SELECT until_nudges(3) AS nudges, stent.dispatch('until_f', delay => '1 s') AS id \gset
SET stent.clock = '2026-01-01 00:00:02';
SELECT :nudges AS nudges, stent.run(), stent.state_of(:id) ->> 'state' AS state;
CALL until_drain();
SELECT count(*) FROM stent.due;

-- one that shares its commit, behind more than are promoted at a time
SELECT until_nudges(250) AS nudges, stent.dispatch('until_f', delay => '1 s') AS id \gset
SET stent.clock = '2026-01-01 00:00:04';
CALL until_drain();
SELECT :nudges AS nudges, stent.state_of(:id) ->> 'state' AS state;
SELECT count(*) FROM stent.due;
SELECT stent.run();
