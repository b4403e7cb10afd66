-- Many tasks of a key that are cancelled in one transaction leave one nudge, and who is behind them runs.
SET stent.clock = '2026-01-01 00:00:00';
CREATE FUNCTION kc_f() RETURNS int LANGUAGE sql AS 'SELECT 1';
SELECT stent.register('kc_f', 'kc_f()');
CREATE PROCEDURE kc_drain() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
CREATE FUNCTION kc_add(n int) RETURNS bigint[] LANGUAGE sql AS $$
    SELECT array_agg(stent.dispatch('kc_f', concurrency_key => 'k')) FROM generate_series(1, n)
$$;
CREATE FUNCTION kc_cancel(ids bigint[]) RETURNS bigint LANGUAGE sql AS $$
    SELECT count(*) FROM unnest(ids) id WHERE stent.cancel(id)
$$;
CREATE VIEW kc_nudges AS SELECT count(*) AS nudges FROM stent.due WHERE kind = 'k';

SELECT kc_add(50) AS first, kc_add(50) AS second, (kc_add(1))[1] AS last \gset
TABLE kc_nudges;
BEGIN;
SELECT kc_cancel(:'first') AS cancelled;
TABLE kc_nudges;
-- undone with a savepoint, and what comes after that leaves its own
SAVEPOINT s;
SELECT kc_cancel(:'second') AS cancelled;
TABLE kc_nudges;
ROLLBACK TO s;
SELECT kc_cancel(:'second') AS cancelled;
SELECT nudges BETWEEN 1 AND 2 AS few FROM kc_nudges;
COMMIT;
SELECT stent.state_of(:last) ->> 'state' AS last;
CALL kc_drain();
SELECT stent.state_of(:last) ->> 'state' AS last;
TABLE kc_nudges;

-- one that the transaction itself has acted on does not stand for what it does later
SELECT kc_add(3) AS first, kc_add(3) AS second, (kc_add(1))[1] AS last \gset
BEGIN;
SELECT kc_cancel(:'first') AS cancelled;
SELECT stent.pause('default');
SELECT stent.run() IS NOT NULL AS ran;
TABLE kc_nudges;
SELECT stent.resume('default');
SELECT kc_cancel(:'second') AS cancelled;
SELECT nudges > 0 AS nudged FROM kc_nudges;
COMMIT;
CALL kc_drain();
SELECT stent.state_of(:last) ->> 'state' AS last;

-- only what was undone
SELECT kc_add(3) AS first, (kc_add(1))[1] AS last \gset
BEGIN;
SAVEPOINT s;
SELECT kc_cancel((:'first'::bigint[])[2:]) AS cancelled;
ROLLBACK TO s;
TABLE kc_nudges;
SELECT kc_cancel(:'first') AS cancelled;
TABLE kc_nudges;
COMMIT;
CALL kc_drain();
SELECT stent.state_of(:last) ->> 'state' AS last;
SELECT (SELECT count(*) FROM stent.line) AS line, nudges FROM kc_nudges;
SELECT stent.unregister('kc_f');
