-- Exception blocks around steps: suspension passes through, errors of children are caught as any error.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';
CREATE TABLE exc_t (line text);
CREATE FUNCTION exc_leaf(n int DEFAULT 0, code text DEFAULT NULL) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    IF code IS NOT NULL THEN
        RAISE EXCEPTION 'leaf % fails', n USING ERRCODE = code, DETAIL = 'in detail', HINT = 'A hint.';
    END IF;
    RETURN n;
END $$;
CREATE PROCEDURE exc_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT stent.register('exc_leaf', 'exc_leaf(int, text)', retry => '{"max_attempts": 1}');

-- WHEN OTHERS at three depths, each with an own write, none of which sees the suspension
CREATE FUNCTION exc_nested() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    seen text[] := '{}';
    n int;
BEGIN
    BEGIN
        INSERT INTO exc_t VALUES ('outer');
        BEGIN
            INSERT INTO exc_t VALUES ('middle');
            BEGIN
                INSERT INTO exc_t VALUES ('inner');
                n := stent.call('exc_leaf', '{"n": 1}')::int;
            EXCEPTION WHEN OTHERS THEN
                seen := seen || ('inner ' || SQLSTATE);
            END;
            n := n + stent.call('exc_leaf', '{"n": 2}')::int;
        EXCEPTION WHEN OTHERS THEN
            seen := seen || ('middle ' || SQLSTATE);
        END;
        n := n + stent.call('exc_leaf', '{"n": 3}')::int;
    EXCEPTION WHEN OTHERS THEN
        seen := seen || ('outer ' || SQLSTATE);
    END;
    RETURN jsonb_build_object('n', n, 'seen', seen);
END $$;
SELECT stent.register('exc_nested', 'exc_nested()');
SELECT stent.dispatch('exc_nested') AS id \gset
CALL exc_run();
SELECT stent.result_of(:id);
SELECT * FROM exc_t ORDER BY line;
TRUNCATE exc_t;

-- a child's error: by SQLSTATE, by condition name, with message, detail and hint
CREATE FUNCTION exc_catch() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    answer jsonb := '[]';
    m text;
    d text;
    h text;
BEGIN
    BEGIN
        PERFORM stent.call('exc_leaf', '{"n": 1, "code": "XX123"}');
    EXCEPTION WHEN SQLSTATE 'XX123' THEN
        GET STACKED DIAGNOSTICS m = MESSAGE_TEXT, d = PG_EXCEPTION_DETAIL, h = PG_EXCEPTION_HINT;
        answer := answer || jsonb_build_array(jsonb_build_object('message', m, 'detail', d, 'hint', h));
    END;
    BEGIN
        PERFORM stent.call('exc_leaf', '{"n": 2, "code": "23505"}');
    EXCEPTION WHEN unique_violation THEN
        answer := answer || jsonb_build_array(SQLSTATE || ' ' || SQLERRM);
    END;
    BEGIN
        PERFORM stent.call('exc_leaf', '{"n": 3, "code": "22012"}');
    EXCEPTION WHEN unique_violation THEN
        answer := answer || jsonb_build_array('wrong'::text);
    WHEN OTHERS THEN
        answer := answer || jsonb_build_array(SQLSTATE || ' ' || SQLERRM);
    END;
    -- a step in the handler of an exception
    BEGIN
        PERFORM stent.call('exc_leaf', '{"n": 4, "code": "22012"}');
    EXCEPTION WHEN division_by_zero THEN
        answer := answer || stent.call('exc_leaf', '{"n": 5}');
        BEGIN
            PERFORM stent.call('exc_leaf', '{"n": 6, "code": "22012"}');
        EXCEPTION WHEN OTHERS THEN
            answer := answer || stent.call('exc_leaf', '{"n": 7}');
        END;
    END;
    RETURN answer;
END $$;
SELECT stent.register('exc_catch', 'exc_catch()');
SELECT stent.dispatch('exc_catch') AS id \gset
CALL exc_run();
SELECT jsonb_array_elements(stent.result_of(:id));
SELECT args -> 'n' AS n, state FROM stent.tasks WHERE parent_id = :id ORDER BY id;

-- raised again, as it was and as something else
CREATE FUNCTION exc_again(other boolean) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM stent.call('exc_leaf', '{"n": 1, "code": "XX123"}');
EXCEPTION WHEN OTHERS THEN
    IF other THEN
        RAISE EXCEPTION 'instead of: %', SQLERRM USING ERRCODE = 'XX124';
    END IF;
    RAISE;
END $$;
SELECT stent.register('exc_again', 'exc_again(boolean)', retry => '{"max_attempts": 1}');
SELECT stent.dispatch('exc_again', '{"other": false}') AS same, stent.dispatch('exc_again', '{"other": true}') AS other \gset
CALL exc_run();
SELECT state, attempt, error - 'context' AS error FROM stent.tasks WHERE id IN (:same, :other) ORDER BY id;

-- a block that is undone after a step was done: the step is remembered, the block's own writes are not
CREATE FUNCTION exc_undone() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    n jsonb;
BEGIN
    BEGIN
        INSERT INTO exc_t VALUES ('undone');
        n := stent.call('exc_leaf', '{"n": 8}');
        RAISE EXCEPTION 'own';
    EXCEPTION WHEN OTHERS THEN
        INSERT INTO exc_t VALUES ('in the handler: ' || SQLERRM);
    END;
    RETURN jsonb_build_array(n, stent.call('exc_leaf', '{"n": 9}'));
END $$;
SELECT stent.register('exc_undone', 'exc_undone()');
SELECT stent.dispatch('exc_undone') AS id \gset
CALL exc_run();
SELECT stent.result_of(:id);
SELECT count(*) AS children FROM stent.tasks WHERE parent_id = :id;
TABLE exc_t;
TRUNCATE exc_t;

-- an interrupted child comes under another code: its own would be taken for one's own interruption
CREATE FUNCTION exc_interrupted() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    code text;
    answer jsonb := '[]';
BEGIN
    FOREACH code IN ARRAY ARRAY['57014', 'P0004', 'ST007', 'P0002', 'P0001'] LOOP
        BEGIN
            PERFORM stent.call('exc_leaf', jsonb_build_object('code', code));
        EXCEPTION WHEN OTHERS THEN
            answer := answer || jsonb_build_array(SQLSTATE || ' ' || SQLERRM);
        END;
    END LOOP;
    RETURN answer;
END $$;
SELECT stent.register('exc_interrupted', 'exc_interrupted()');
SELECT stent.dispatch('exc_interrupted') AS id \gset
CALL exc_run();
SELECT jsonb_array_elements(stent.result_of(:id));
SELECT error ->> 'code' AS code FROM stent.tasks WHERE parent_id = :id ORDER BY id;

-- the last attempt counts: a child that succeeds at its second attempt is no error
CREATE FUNCTION exc_second() RETURNS int LANGUAGE plpgsql AS $$ BEGIN IF stent.attempt() = 1 THEN RAISE EXCEPTION 'first'; END IF; RETURN stent.attempt(); END $$;
CREATE FUNCTION exc_patient() RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN stent.call('exc_second'); END $$;
SELECT stent.register('exc_second', 'exc_second()', retry => '{"max_attempts": 2, "initial_delay": "1m", "jitter": 0}'), stent.register('exc_patient', 'exc_patient()');
SELECT stent.dispatch('exc_patient') AS id \gset
CALL exc_run();
SELECT function, state FROM stent.tasks WHERE execution_id = :id ORDER BY id;
SET stent.clock = '2026-01-01 00:01:00';
CALL exc_run();
SELECT function, state, attempt, result FROM stent.tasks WHERE execution_id = :id ORDER BY id;

SELECT stent.discard_many('exc_leaf'), stent.discard_many('exc_again');
SELECT count(*) AS live FROM stent.task;
SELECT count(stent.unregister('exc_' || n)) FROM unnest(ARRAY['leaf', 'nested', 'catch', 'again', 'undone', 'interrupted', 'second', 'patient']) n;
DROP PROCEDURE exc_run;
DROP FUNCTION exc_leaf, exc_nested, exc_catch, exc_again, exc_undone, exc_interrupted, exc_second, exc_patient;
DROP TABLE exc_t;
