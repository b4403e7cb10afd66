-- What tasks of one commit share: each sees the effects of those before it, and
-- now(); a failed one leaves no effect; all of it appears with the caller's commit.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';

CREATE TABLE sharing_log (n int PRIMARY KEY, seen bigint, at timestamptz);
CREATE FUNCTION sharing_f(n int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    seen bigint := (SELECT count(*) FROM sharing_log);
BEGIN
    INSERT INTO sharing_log VALUES (n, seen, now());
    IF n = 3 THEN
        RAISE EXCEPTION 'fails';
    END IF;
    RETURN seen;
END $$;
-- a volatile SQL function and a STABLE one see them as well
CREATE FUNCTION sharing_count() RETURNS bigint LANGUAGE sql STABLE AS 'SELECT count(*) FROM sharing_log';
SELECT stent.register('sharing_f', 'sharing_f(int)', retry => '{"max_attempts": 1}');
SELECT stent.register('sharing_count', 'sharing_count()');
SELECT stent.dispatch('sharing_f', '{"n": 0}') > 0, stent.dispatch('sharing_count') > 0;
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;

SELECT count(stent.dispatch('sharing_f', jsonb_build_object('n', n), priority => 10 - n)) FROM generate_series(1, 5) n;
SELECT stent.dispatch('sharing_count', priority => -1) AS id \gset
BEGIN;
SELECT stent.run();
-- the error ended the batch; nothing hinders the next one in the same transaction
SELECT stent.run();
SELECT n, seen, at = now() AS same_now FROM sharing_log WHERE n > 0 ORDER BY n;
COMMIT;
SELECT args ->> 'n' AS n, state, result, error ->> 'message' AS message FROM stent.tasks WHERE function = 'sharing_f' AND args ->> 'n' <> '0' ORDER BY id;
SELECT stent.result_of(:id);

-- an error that comes from another task's effect is the failing task's own
SELECT count(stent.dispatch('sharing_f', '{"n": 7}')) FROM generate_series(1, 2);
SELECT stent.run();
SELECT state, error ->> 'code' AS code FROM stent.tasks WHERE function = 'sharing_f' AND args ->> 'n' = '7' ORDER BY id;

-- a task dispatched by a handler may run in the same commit
CREATE FUNCTION sharing_chain(n int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    IF n > 0 THEN
        PERFORM stent.dispatch('sharing_chain', jsonb_build_object('n', n - 1));
    END IF;
    RETURN n;
END $$;
SELECT stent.register('sharing_chain', 'sharing_chain(int)');
SELECT stent.dispatch('sharing_chain', '{"n": 0}') > 0 AS dispatched;
SELECT stent.run();
SELECT stent.dispatch('sharing_chain', '{"n": 5}') > 0 AS dispatched;
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT array_agg(result ORDER BY id) FROM stent.tasks WHERE function = 'sharing_chain';

-- notifications of the batch arrive once, at the commit
CREATE FUNCTION sharing_notify() RETURNS void LANGUAGE sql AS $$ SELECT pg_notify('sharing_channel', 'x') $$;
SELECT stent.register('sharing_notify', 'sharing_notify()');
SELECT stent.dispatch('sharing_notify') > 0 AS dispatched;
SELECT stent.run();
SELECT count(*) FROM stent.dispatch_many('sharing_notify', array_fill('{}'::jsonb, ARRAY[3]));
SELECT stent.run();

SELECT stent.discard_many('sharing_f');
SELECT count(stent.unregister(name)) FROM stent.functions WHERE name LIKE 'sharing\_%';
DROP TABLE sharing_log;
DROP FUNCTION sharing_f, sharing_count, sharing_chain, sharing_notify;
