-- await_all and promise_all outside of a handler: results in order, the lowest failure, what is refused.
\set VERBOSITY terse
SET stent.batch_time = '60s';

CREATE FUNCTION await_f(x jsonb DEFAULT 'null', code text DEFAULT NULL) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    IF code IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = code, MESSAGE = 'raised', DETAIL = 'its detail', HINT = 'its hint';
    END IF;
    RETURN x;
END $$;
CREATE FUNCTION await_void() RETURNS void LANGUAGE sql AS '';
CREATE FUNCTION await_calls(ids bigint[]) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    r jsonb;
BEGIN
    CALL stent.await_all_until_done(ids, results => r);
    RETURN r;
END $$;
-- tells the result or the error of both names, without ids; once if they agree
CREATE FUNCTION await_try(ids bigint[], concurrency_limit int DEFAULT NULL, timeout interval DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    code text; msg text; detail text; hint text; result text; told text[]; name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['await_all', 'promise_all'] LOOP
        BEGIN
            EXECUTE format('SELECT stent.%I($1, $2, $3)', name) INTO result USING ids, concurrency_limit, timeout;
            told := told || result;
        EXCEPTION WHEN OTHERS OR query_canceled OR assert_failure THEN
            GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, msg = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
            told := told || regexp_replace(regexp_replace(
                concat_ws(E'\n', code || ': ' || msg, 'DETAIL: ' || nullif(detail, ''), 'HINT: ' || nullif(hint, '')),
                '([Tt]ask) \d+', '\1 N', 'g'), '"task_id": \d+', '"task_id": N');
        END;
    END LOOP;
    RETURN CASE WHEN told[1] = told[2] THEN told[1] ELSE array_to_string(told, ' but ') END;
END $$;
CREATE PROCEDURE await_run() LANGUAGE plpgsql AS $$
BEGIN
    WHILE stent.run() > 0 LOOP
        COMMIT;
    END LOOP;
END $$;
SELECT stent.register('await_f', 'await_f(jsonb, text)', retry => '{"max_attempts": 1}');
SELECT stent.register('await_void', 'await_void()');
SELECT stent.register('await_calls', 'await_calls(bigint[])', retry => '{"max_attempts": 1}');

SELECT stent.dispatch('await_f', '{"x": 1}') AS one, stent.dispatch('await_f', '{"x": {"a": [2]}}') AS two,
       stent.dispatch('await_f', '{"x": ["three"]}') AS three, stent.dispatch('await_void') AS void,
       stent.dispatch('await_f', '{"x": "text"}') AS text,
       stent.dispatch('await_f', '{"code": "22012"}') AS failed, stent.dispatch('await_f', '{"code": "57014"}') AS interrupted,
       stent.dispatch('await_f', max_duration => '1 microsecond') AS late, stent.dispatch('await_f', delay => '1 day') AS cancelled,
       stent.dispatch('await_f', delay => '1 hour') AS later \gset
SELECT stent.cancel(:cancelled);
CALL await_run();

-- in the order they were given in, whatever the order of the ids
SELECT stent.await_all(ARRAY[:three, :one, :void, :two, :text]);
SELECT await_try(ARRAY[:one, :three, :one, :one, :void, :void, :three]);
SELECT await_try(ARRAY[:one]), await_try(('[5:6]={' || :two || ',' || :one || '}')::bigint[]) AS other_bounds;
SELECT await_try(ARRAY[:one, :two], 1), await_try(ARRAY[:one, :two], 2147483647, '0'), await_try(ARRAY[:one, :two], timeout => '1 day');
SELECT stent.await_all(ARRAY[:one, :two], step_name => 'means nothing here');
CALL stent.await_all_until_done(ARRAY[:three, :one, :three]);
SELECT stent.await(:two), stent.await(:two, '1 s', 'means nothing here');

-- the order of the checks
SELECT await_try(NULL, 0, '-1 s');
SELECT await_try(ARRAY[[:one], [NULL::bigint]], 0, '-1 s');
SELECT await_try('{}', 0);
SELECT await_try('{}', -7);
SELECT await_try(ARRAY[:one, -5, NULL], 0, '-1 s');
SELECT await_try('{}'), await_try('{}', 1), await_try('{}', timeout => '-1 s');
SELECT await_try(ARRAY[-5, :one, NULL, NULL], 1, '-1 s');
SELECT await_try(ARRAY[:one, -5], 1, '-1 s');
SELECT await_try(ARRAY[:one], 1, '200 years');
SELECT await_try(ARRAY[:one, :failed, -5, -6, :later]);
\set VERBOSITY default
CALL stent.await_all_until_done(NULL);
CALL stent.await_all_until_done('{}', 0);
CALL stent.await_all_until_done('{}');
CALL stent.await_all_until_done(ARRAY[:one, -5, :later]);
\set VERBOSITY terse

-- the limit is that of the session, if none is given
SELECT stent.set_task_pool_size(1);
SELECT await_try(ARRAY[:one, :two, :three]);
SELECT await_try(ARRAY[:one], 0);
RESET stent.task_pool_size;

-- of the failures that are seen, the one with the lowest index, though others have not finished
SELECT await_try(ARRAY[:later, :one, :interrupted, :failed, :later, :failed], timeout => '1 hour');
SELECT await_try(ARRAY[:later, :failed, :interrupted], 1);
SELECT await_try(ARRAY[:late, :later]);
SELECT await_try(ARRAY[:later, :cancelled]);
CALL stent.await_all_until_done(ARRAY[:cancelled, :later]);
DO $$
BEGIN
    PERFORM stent.await_all(ARRAY(SELECT id FROM stent.tasks WHERE function = 'await_f' AND state IN ('completed', 'failed') AND (args IS NULL OR NOT args @> '{"code": "57014"}') ORDER BY id));
EXCEPTION WHEN division_by_zero THEN
    DECLARE
        detail text;
    BEGIN
        GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
        RAISE NOTICE 'index %, the task itself: %, its detail: %', detail::jsonb -> 'index',
            (SELECT t.args FROM stent.tasks t WHERE t.id = (detail::jsonb ->> 'task_id')::bigint), detail::jsonb -> 'error' -> 'detail';
    END;
END $$;

-- a wait that runs out ends the wait, not the work
SELECT await_try(ARRAY[:one, :later, :two, :later], timeout => '10 ms');
\set VERBOSITY sqlstate
CALL stent.await_all_until_done(ARRAY[:later, :one], NULL, '1 microsecond');
SET statement_timeout = '20ms';
SELECT stent.await_all(ARRAY[:later]);
CALL stent.await_all_until_done(ARRAY[:later]);
RESET statement_timeout;
\set VERBOSITY terse
SELECT state FROM stent.tasks WHERE id = :later;

-- what waits for this very transaction
SELECT await_try(ARRAY[:one, stent.dispatch('await_f')]);
BEGIN;
SAVEPOINT s;
SELECT stent.dispatch('await_f') AS id \gset
RELEASE s;
SELECT await_try(ARRAY[:later, :id, :one], timeout => '1 hour');
SELECT stent.replay(:failed) IS NOT NULL AS replayed;
SELECT await_try(ARRAY[:one, :later, :failed], 1);
SELECT stent.run();
SELECT await_try(ARRAY[:id, :one]);
ROLLBACK;
BEGIN;
SAVEPOINT s;
SELECT stent.dispatch('await_f') AS id \gset
ROLLBACK TO s;
SELECT await_try(ARRAY[:id, :one]);
SELECT await_try(ARRAY[:one, :later], timeout => '10 ms');
ROLLBACK;

-- isolation levels: one snapshot would never see the end
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT await_try(ARRAY[:one]);
SELECT await_try('{}'), await_try('{}', 0);
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT await_try(ARRAY[:one, :later]);
SELECT stent.await(:one);
ROLLBACK;
SET default_transaction_isolation = 'serializable';
CALL stent.await_all_until_done(ARRAY[:two, :one]);
RESET default_transaction_isolation;
BEGIN READ ONLY;
SELECT await_try(ARRAY[:one]);
ROLLBACK;

-- the procedure commits, so it belongs where that is possible
BEGIN;
CALL stent.await_all_until_done(ARRAY[:one]);
ROLLBACK;
SELECT await_calls(ARRAY[:one]);
DO $$
DECLARE
    r jsonb;
    ids bigint[] := ARRAY(SELECT stent.dispatch_many('await_f', ARRAY['{"x": 7}', '{"x": 8}']::jsonb[]));
BEGIN
    PERFORM stent.run();
    CALL stent.await_all_until_done(ids, results => r);
    ROLLBACK; -- undoes nothing: the wait has committed
    RAISE NOTICE '% of %', r, (SELECT array_agg(args -> 'x' ORDER BY id) FROM stent.tasks WHERE id = ANY (ids));
END $$;
-- in a handler it does not
SELECT stent.dispatch('await_calls', jsonb_build_object('ids', ARRAY[:one])) AS id \gset
CALL await_run();
SELECT await_try(ARRAY[:id]);

-- other roles' tasks are unknown, unless one is an admin
CREATE ROLE await_app LOGIN;
SELECT stent.grant_usage('await_app');
SET ROLE await_app;
SELECT await_try(ARRAY[:one]);
SELECT await_try(ARRAY[:later, :one], timeout => '10 ms');
RESET ROLE;
SELECT stent.grant_usage('await_app', 'admin');
SET ROLE await_app;
SELECT stent.promise_all(ARRAY[:one, :two]);
RESET ROLE;

-- a thousand, with results stored out of line among them
SELECT array_agg(id) AS ids FROM stent.dispatch_many('await_f', ARRAY(
    SELECT jsonb_build_object('x', CASE WHEN i % 100 = 0 THEN repeat('r', 5000 + i)::text ELSE i::text END) FROM generate_series(0, 999) i)) id \gset
CALL await_run();
SELECT count(*), count(*) FILTER (WHERE CASE WHEN i % 100 = 1 THEN length(r #>> '{}') = 5000 + i - 1 ELSE r #>> '{}' = (i - 1)::text END) AS right_place
FROM jsonb_array_elements(stent.await_all(:'ids', 7)) WITH ORDINALITY AS e(r, i);
SELECT stent.await_all(ARRAY(SELECT id FROM unnest(:'ids'::bigint[]) id ORDER BY id DESC)) -> 0;

SELECT stent.cancel(:later);
SELECT count(*) AS cancelled FROM (SELECT stent.cancel(id) FROM stent.tasks WHERE function = 'await_f' AND finished_at IS NULL) c;
SELECT count(*) AS discarded FROM (SELECT stent.discard(id) FROM stent.dead_letters WHERE function LIKE 'await\_%') d;
SELECT count(stent.unregister(name)) FROM stent.functions WHERE name LIKE 'await\_%';
DROP OWNED BY await_app;
DROP ROLE await_app;
DROP PROCEDURE await_run;
DROP FUNCTION await_f, await_void, await_calls, await_try;
