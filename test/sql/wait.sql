-- wait_for and wait_until_done: finished tasks, waits that run out, what is refused.
\set VERBOSITY terse
SET stent.batch_time = '60s';

CREATE FUNCTION wait_f(code text DEFAULT NULL, size int DEFAULT 1) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    IF code IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = code, MESSAGE = 'raised', HINT = 'the hint';
    END IF;
    RETURN repeat('r', size);
END $$;
CREATE FUNCTION wait_void() RETURNS void LANGUAGE sql AS '';
CREATE FUNCTION wait_waits(id bigint) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    RETURN stent.wait_for(id);
END $$;
CREATE FUNCTION wait_calls(id bigint) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    r jsonb;
BEGIN
    CALL stent.wait_until_done(id, NULL, r);
    RETURN r;
END $$;
CREATE PROCEDURE wait_steps(INOUT r jsonb DEFAULT NULL) LANGUAGE plpgsql AS $$
DECLARE
    id bigint := stent.dispatch('wait_f');
BEGIN
    PERFORM stent.run();
    CALL stent.wait_until_done(id, NULL, r);
    ROLLBACK; -- undoes nothing: the wait has committed
END $$;
-- tells the result or the error, without ids
CREATE FUNCTION wait_try(id bigint, timeout interval DEFAULT NULL, call text DEFAULT 'stent.wait_for($1, $2)') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    code text; msg text; detail text; hint text; result text;
BEGIN
    EXECUTE 'SELECT ' || call INTO result USING id, timeout;
    RETURN result;
EXCEPTION WHEN OTHERS OR query_canceled OR assert_failure THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, msg = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN regexp_replace(concat_ws(E'\n', code || ': ' || msg, 'DETAIL: ' || nullif(detail, ''), 'HINT: ' || nullif(hint, '')), '([Tt]ask) \d+', '\1 N', 'g');
END $$;
SELECT stent.register('wait_f', 'wait_f(text, int)', retry => '{"max_attempts": 1}');
SELECT stent.register('wait_void', 'wait_void()');
SELECT stent.register('wait_waits', 'wait_waits(bigint)', retry => '{"max_attempts": 1}');
SELECT stent.register('wait_calls', 'wait_calls(bigint)', retry => '{"max_attempts": 1}');

-- finished: the same as result_of, at once
SELECT stent.dispatch('wait_f') AS done, stent.dispatch('wait_void') AS void, stent.dispatch('wait_f', '{"code": "22012"}') AS failed,
       stent.dispatch('wait_f', '{"code": "57014"}') AS cancelled, stent.dispatch('wait_f', '{"code": "ST010"}') AS ran_out,
       stent.dispatch('wait_f', max_duration => '1 microsecond') AS late, stent.dispatch('wait_f', '{"size": 100000}') AS big \gset
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT stent.wait_for(:done), stent.wait_for(:done, '0'), stent.wait_for(:done, timeout => '1 day');
SELECT stent.wait_for(:void), stent.wait_for(:void) IS NULL AS is_null;
SELECT wait_try(:failed) = wait_try(:failed, call => 'stent.result_of($1)') AS as_result_of;
SELECT wait_try(:failed);
SELECT wait_try(:cancelled);
SELECT wait_try(:ran_out);
SELECT wait_try(:late);
SELECT length(stent.wait_for(:big) #>> '{}');
CALL stent.wait_until_done(:done);
CALL stent.wait_until_done(:void, '1s');
CALL stent.wait_until_done(:failed);

-- a large result, which is stored out of line, and no transaction of the caller's
DO $$
DECLARE
    r jsonb;
    big bigint := (SELECT id FROM stent.tasks WHERE function = 'wait_f' AND args ? 'size');
BEGIN
    CALL stent.wait_until_done(big, result => r);
    RAISE NOTICE 'got % bytes', length(r #>> '{}');
END $$;

-- arguments
SELECT wait_try(NULL);
SELECT wait_try(:done, '-1 s');
SELECT wait_try(:done, '200 years');
SELECT wait_try(-5);
CALL stent.wait_until_done(NULL);
CALL stent.wait_until_done(:done, '-1 s');
CALL stent.wait_until_done(-5);

-- a wait that runs out ends the wait, not the work
SELECT stent.dispatch('wait_f') AS id, stent.dispatch('wait_f', delay => '1 hour') AS later \gset
SELECT wait_try(:id, '10 ms');
SELECT wait_try(:later, '1.5 ms');
SELECT regexp_replace(wait_try(:later, '1 microsecond'), '\n.*', '');
\set VERBOSITY sqlstate
CALL stent.wait_until_done(:id, '10 ms');
-- an interrupt ends it as well
SET statement_timeout = '20ms';
SELECT stent.wait_for(:id);
CALL stent.wait_until_done(:id);
RESET statement_timeout;
\set VERBOSITY terse
SELECT stent.run();
SELECT stent.wait_for(:id, '10 ms');

-- what waits for this very transaction
BEGIN;
SELECT stent.dispatch('wait_f') AS id, stent.dispatch('wait_f', delay => '1 hour') AS later \gset
SELECT wait_try(:id);
SELECT wait_try(:later, '1 s');
SELECT stent.run();
SELECT stent.wait_for(:id) AS of_this_transaction_but_finished;
SELECT stent.replay(:failed) IS NOT NULL AS replayed;
SELECT wait_try(:failed);
ROLLBACK;
-- given back by a batch of this transaction
SELECT stent.dispatch('wait_f') AS id, stent.dispatch('wait_f', '{"code": "40P01"}') AS id2 \gset
BEGIN;
SELECT stent.run();
SELECT wait_try(:id2);
ROLLBACK;
-- a subtransaction's that was undone is nobody's
BEGIN;
SAVEPOINT s;
SELECT stent.dispatch('wait_f') AS id3 \gset
ROLLBACK TO s;
SELECT wait_try(:id3);
SELECT wait_try(:id, '10 ms');
ROLLBACK;
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;

-- isolation levels: one snapshot would never see the end
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT wait_try(:done);
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT stent.wait_for(:done);
ROLLBACK;
SET default_transaction_isolation = 'repeatable read';
CALL stent.wait_until_done(:done);
RESET default_transaction_isolation;
BEGIN READ ONLY;
SELECT stent.wait_for(:done);
ROLLBACK;

-- wait_until_done commits, so it belongs where that is possible
CALL wait_steps();
BEGIN;
CALL stent.wait_until_done(:done);
ROLLBACK;
SELECT wait_try(:done, call => 'wait_calls($1)');
DO $$
DECLARE
    r jsonb;
BEGIN
    BEGIN
        CALL stent.wait_until_done(1, NULL, r);
    EXCEPTION WHEN invalid_transaction_termination THEN
        RAISE NOTICE '%', SQLERRM;
    END;
END $$;
SELECT count(*) AS before FROM stent.tasks WHERE function = 'wait_f' \gset
DO $$
DECLARE
    r jsonb;
BEGIN
    CALL stent.wait_until_done(stent.dispatch('wait_f'), '1 ms', r);
EXCEPTION WHEN SQLSTATE 'ST010' THEN
    RAISE NOTICE 'not reached, for an exception block is refused';
END $$;
DO $$
DECLARE
    r jsonb;
    id bigint := stent.dispatch('wait_f');
BEGIN
    PERFORM stent.run();
    CALL stent.wait_until_done(id, result => r);
    RAISE EXCEPTION 'after the wait, with %', r;
END $$;
SELECT count(*) - :before AS committed_by_the_wait FROM stent.tasks WHERE function = 'wait_f';

-- in a handler neither
SELECT stent.dispatch('wait_waits', jsonb_build_object('id', :done)) AS id, stent.dispatch('wait_calls', jsonb_build_object('id', :done)) AS id2 \gset
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT wait_try(:id);
SELECT wait_try(:id2);

-- nobody is left as waiting: the next commit has no one to wake
SELECT stent.dispatch('wait_void') AS id \gset
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT stent.wait_for(:id);

SELECT count(*) AS discarded FROM (SELECT stent.discard(id) FROM stent.dead_letters WHERE function LIKE 'wait\_%') d;
SELECT count(stent.unregister(name)) FROM stent.functions WHERE name LIKE 'wait\_%';
DROP PROCEDURE wait_steps;
DROP FUNCTION wait_f, wait_void, wait_waits, wait_calls, wait_try;
