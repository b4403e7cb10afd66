-- What an orchestrator itself writes: not seen by its children, undone at each suspension, committed once with its end.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';
CREATE TABLE own_t (line text);
CREATE SEQUENCE own_seq;
CREATE FUNCTION own_count() RETURNS bigint LANGUAGE sql AS $$ SELECT count(*) FROM own_t $$;
CREATE FUNCTION own_put(line text) RETURNS bigint LANGUAGE sql AS $$ INSERT INTO own_t VALUES (line); SELECT count(*) FROM own_t $$;
CREATE PROCEDURE own_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT stent.register('own_count', 'own_count()'), stent.register('own_put', 'own_put(text)');

-- the trap: the row is there for the orchestrator, not for the child, nor for others
CREATE FUNCTION own_trap() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    before bigint;
    child jsonb;
BEGIN
    INSERT INTO own_t VALUES ('own');
    before := own_count();
    child := stent.call('own_count');
    RETURN jsonb_build_object('own', before, 'child', child, 'own again', own_count());
END $$;
SELECT stent.register('own_trap', 'own_trap()');
SELECT stent.dispatch('own_trap') AS id \gset
SELECT stent.run(1);
SELECT count(*) AS suspended FROM own_t;
CALL own_run();
SELECT stent.result_of(:id);
SELECT count(*) AS completed FROM own_t;
TRUNCATE own_t;

-- what is to be seen earlier goes into a step or a call
CREATE FUNCTION own_way() RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    PERFORM stent.step('first', 'own_put', '{"line": "step"}');
    PERFORM stent.call('own_put', '{"line": "call"}');
    INSERT INTO own_t VALUES ('own');
    RETURN jsonb_build_object('child', stent.call('own_count'), 'own', own_count());
END $$;
SELECT stent.register('own_way', 'own_way()');
SELECT stent.dispatch('own_way') AS id \gset
SELECT stent.run(1);
TABLE own_t;
SELECT stent.run(1);
TABLE own_t;
CALL own_run();
SELECT stent.result_of(:id);
SELECT * FROM own_t ORDER BY line;
TRUNCATE own_t;

-- ten suspensions, and each own write is there once; what a transaction does not take back tells how often the handler ran
CREATE FUNCTION own_many() RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    PERFORM nextval('own_seq');
    FOR i IN 1 .. 10 LOOP
        INSERT INTO own_t VALUES (format('before %s', i));
        PERFORM stent.call('own_count');
        INSERT INTO own_t VALUES (format('after %s', i));
        PERFORM stent.counter_add('rounds', 1);
        PERFORM stent.context_set('round', to_jsonb(i));
        PERFORM stent.shared_add_int('own/rounds', 1);
        PERFORM stent.progress('round', to_jsonb(i));
    END LOOP;
    RETURN (SELECT count(*) FROM own_t);
END $$;
SELECT stent.register('own_many', 'own_many()');
SELECT stent.shared_set('own/rounds', '0');
SELECT stent.dispatch('own_many') AS id \gset
CALL own_run();
SELECT stent.result_of(:id), (SELECT count(*) FROM own_t) AS rows, (SELECT count(DISTINCT line) FROM own_t) AS lines, currval('own_seq') AS runs;
SELECT stent.state_of(:id) -> 'counters' AS counters, stent.state_of(:id) -> 'context' AS context, stent.shared_get('own/rounds') AS shared;
SELECT count(*) AS progress FROM stent.progress WHERE execution_id = :id AND step = 'round';
SELECT stent.shared_delete('own/rounds');
TRUNCATE own_t;

-- a task that it dispatches itself, settings, temporary tables, listens: as with any handler, but only of the last run
CREATE FUNCTION own_session() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    found text := current_setting('own.x', true);
    n bigint;
BEGIN
    PERFORM set_config('own.x', 'left behind', false);
    CREATE TEMP TABLE own_temp AS SELECT 1 AS x;
    PERFORM stent.dispatch('own_put', '{"line": "dispatched"}');
    PERFORM stent.call('own_count');
    SELECT count(*) INTO n FROM own_temp;
    RETURN jsonb_build_object('setting', found, 'temporary rows', n);
END $$;
SELECT stent.register('own_session', 'own_session()');
SELECT stent.dispatch('own_session') AS id \gset
CALL own_run();
SELECT stent.result_of(:id), COALESCE(current_setting('own.x', true), '') AS setting, to_regclass('own_temp') AS temporary;
TABLE own_t;
TRUNCATE own_t;

-- what children wrote and committed is seen by the orchestrator when it goes on
CREATE FUNCTION own_sees() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    before bigint := own_count();
BEGIN
    PERFORM stent.record('before', to_jsonb(before));
    PERFORM stent.call('own_put', '{"line": "child"}');
    RETURN jsonb_build_object('before', before, 'recorded', stent.record('before again', to_jsonb(before)), 'after', own_count());
END $$;
SELECT stent.register('own_sees', 'own_sees()');
SELECT stent.dispatch('own_sees') AS id \gset
CALL own_run();
-- before was 0 in the first run and is 1 in the last: not recorded in time, it follows the table
SELECT stent.result_of(:id);

-- a task that lives only by what it has written itself cannot be waited for: one that it has dispatched, or replayed
CREATE FUNCTION own_dies() RETURNS int LANGUAGE plpgsql AS $$ BEGIN IF (SELECT count(*) FROM own_t) = 0 THEN RAISE 'dies'; END IF; RETURN 1; END $$;
CREATE FUNCTION own_replay(id bigint) RETURNS void LANGUAGE sql AS $$ SELECT stent.replay(id) $$;
CREATE FUNCTION own_waits(how text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    child bigint := stent.spawn('own_dies');
BEGIN
    IF how = 'replay, waiting' THEN
        IF EXISTS (SELECT FROM stent.dead_letters d WHERE d.id = child) THEN
            PERFORM stent.replay(child);
        END IF;
        RETURN stent.await(child);
    END IF;
    BEGIN
        PERFORM stent.await(child);
    EXCEPTION WHEN raise_exception THEN NULL;
    END;
    PERFORM stent.step('once', 'own_put', '{"line": "may live"}');
    CASE how
        WHEN 'dispatch' THEN RETURN stent.await(stent.dispatch('own_count'));
        WHEN 'dispatch, caught' THEN
            BEGIN
                PERFORM stent.await(stent.dispatch('own_count'));
            EXCEPTION WHEN object_not_in_prerequisite_state THEN RETURN to_jsonb('caught'::text);
            END;
        WHEN 'replay' THEN PERFORM stent.replay(child); RETURN stent.await(child, step_name => 'again');
        WHEN 'replay, all' THEN PERFORM stent.replay(child); RETURN stent.await_all(ARRAY[child]);
        WHEN 'replay, step' THEN PERFORM stent.step('replay', 'own_replay', jsonb_build_object('id', child)); RETURN stent.await(child, step_name => 'again');
    END CASE;
END $$;
SELECT stent.register('own_dies', 'own_dies()', retry => '{"max_attempts": 1}'), stent.register('own_replay', 'own_replay(bigint)'), stent.register('own_waits', 'own_waits(text)', retry => '{"max_attempts": 1}');
CREATE PROCEDURE own_ask(VARIADIC hows text[]) LANGUAGE plpgsql AS $$
DECLARE
    how text;
BEGIN
    FOREACH how IN ARRAY hows LOOP
        TRUNCATE own_t;
        PERFORM stent.dispatch('own_waits', jsonb_build_object('how', how));
        COMMIT;
        CALL own_run();
    END LOOP;
END $$;
CALL own_ask('dispatch', 'dispatch, caught', 'replay', 'replay, all', 'replay, waiting', 'replay, step');
SELECT args ->> 'how' AS how, result FROM stent.archive WHERE function_id = (SELECT id FROM stent.function WHERE name = 'own_waits') ORDER BY id;
SELECT args ->> 'how' AS how, error ->> 'code' AS code, regexp_replace(error ->> 'message', '\d+', 'N') AS message, error ->> 'detail' AS detail, error ->> 'hint' AS hint
FROM stent.dead_letter WHERE function_id = (SELECT id FROM stent.function WHERE name = 'own_waits') ORDER BY id;
DROP PROCEDURE own_ask;
TRUNCATE own_t;

SELECT count(*) AS live FROM stent.task;
SELECT count(stent.unregister('own_' || n)) FROM unnest(ARRAY['count', 'put', 'trap', 'way', 'many', 'session', 'sees', 'dies', 'replay', 'waits']) n;
DROP PROCEDURE own_run;
DROP FUNCTION own_count, own_put, own_trap, own_way, own_many, own_session, own_sees, own_dies, own_replay, own_waits;
DROP TABLE own_t;
DROP SEQUENCE own_seq;
