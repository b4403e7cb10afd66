-- stent.clock freezes or shifts the only clock; times are naive UTC.
\set VERBOSITY terse
SET datestyle = ISO;

-- frozen
SET stent.clock = '2026-01-31 10:20:30.25';
SELECT stent.now(), pg_typeof(stent.now()), stent.now() = stent.now() AS still;
SET stent.clock = '2026-01-31';
SELECT stent.now();
SET stent.clock = '2024-02-29T23:59';
SELECT stent.now();
SET timezone = 'Asia/Kathmandu';
SELECT stent.now();
SET stent.clock = '2026-03-29 01:30:00';
SET timezone = 'Europe/Berlin';
SELECT stent.now();
-- shifted: from the real clock, in UTC
SET stent.clock = '+1h30m';
SELECT stent.now() - (clock_timestamp() AT TIME ZONE 'UTC') BETWEEN '1h29m59s' AND '1h30m' AS shifted;
SET stent.clock = '-2d';
SELECT stent.now() - (clock_timestamp() AT TIME ZONE 'UTC') BETWEEN '-2d -1s' AND '-2d' AS shifted;
-- real: UTC, and it moves within a transaction
SET stent.clock = '';
SELECT stent.now() - (clock_timestamp() AT TIME ZONE 'UTC') BETWEEN '-1s' AND '0s' AS utc;
BEGIN;
SELECT stent.now() AS before \gset
SELECT pg_sleep(0.002);
SELECT stent.now() > :'before' AS moves;
ROLLBACK;

-- SET LOCAL ends with the transaction
BEGIN;
SET LOCAL stent.clock = '2026-01-01';
SELECT stent.now();
ROLLBACK;
SELECT stent.now() > '2026-01-02' AS real;

-- junk
SET stent.clock = 'noon';
SET stent.clock = '2026-13-01';
SET stent.clock = '2026-02-29';
SET stent.clock = '2026-01-01 24:00';
SET stent.clock = '2026-01-01 10:60';
SET stent.clock = '2026-01-01 10:00:60';
SET stent.clock = '2026-01-01 10:00:00 UTC';
SET stent.clock = '2026-01-01 10';
SET stent.clock = '+1';
SET stent.clock = '+-1h';
SET stent.clock = '1h';
SET stent.clock = ' ';
SHOW stent.clock;

-- only a superuser may
CREATE ROLE clock_role;
SET ROLE clock_role;
SET stent.clock = '2026-01-01';
SELECT stent.now();
RESET ROLE;
DROP ROLE clock_role;
