-- What handlers add to counters counts once, with the completion.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';
SELECT nextval('stent.id_seq') AS start \gset

CREATE FUNCTION counters_f(failures int DEFAULT 0, n numeric DEFAULT 1) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    seen jsonb := jsonb_build_array(stent.counter('n'), stent.counter('new'));
BEGIN
    PERFORM stent.counter_add('n', n);
    PERFORM stent.counter_add('attempts', 1);
    IF stent.attempt() <= failures THEN
        RAISE EXCEPTION 'attempt % fails', stent.attempt();
    END IF;
    RETURN seen || jsonb_build_array(stent.counter('n'));
END $$;
SELECT stent.register('counters_f', 'counters_f(int, numeric)', retry => '{"max_attempts": 3, "initial_delay": "0s", "jitter": 0}');
CREATE PROCEDURE counters_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
CREATE FUNCTION counters_of(id bigint) RETURNS jsonb LANGUAGE sql AS $$ SELECT stent.state_of(id) -> 'counters' $$;

-- absent is 0; a handler sees what it adds; a failed attempt adds nothing, nor does one that fails for good
SELECT stent.dispatch('counters_f') AS a,
       stent.dispatch('counters_f', '{"failures": 2, "n": 5}', counters => '{"n": 100}') AS b,
       stent.dispatch('counters_f', '{"failures": 3}', counters => '{"n": 7}') AS c \gset
CALL counters_run();
SELECT stent.result_of(:a), counters_of(:a);
SELECT stent.result_of(:b), counters_of(:b);
SELECT stent.state_of(:c) ->> 'state' AS state, counters_of(:c);
-- nor a replay of it, until it succeeds
SELECT stent.replay(:c) = :c AS replayed;
UPDATE stent.task SET args = '{"failures": 0}' WHERE id = :c;
CALL counters_run();
SELECT stent.state_of(:c) ->> 'state' AS state, counters_of(:c);

-- sums are exact, also of many calls for many names
CREATE FUNCTION counters_many() RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1..500 LOOP
        FOR k IN 1..40 LOOP
            PERFORM stent.counter_add('c' || k, 0.1 * k);
        END LOOP;
    END LOOP;
    PERFORM stent.counter_add('big', 12345678901234567890123456789), stent.counter_add('big', 1e-20), stent.counter_add('zero', 0),
            stent.counter_add('back', 5), stent.counter_add('back', -5.0);
    RETURN jsonb_build_array(stent.counter('c1'), stent.counter('c40'), stent.counter('big'));
END $$;
SELECT stent.register('counters_many', 'counters_many()');
SELECT stent.dispatch('counters_many') AS id \gset
CALL counters_run();
SELECT stent.result_of(:id), counters_of(:id) ->> 'c7' AS c7, counters_of(:id) ->> 'big' AS big, counters_of(:id) ->> 'zero' AS zero, counters_of(:id) ->> 'back' AS back;
-- and one row each
SELECT count(*) FROM stent.counter WHERE execution_id = :id;

-- an exception block that is undone takes its additions with it, also those merged with others of the same name
CREATE FUNCTION counters_block() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE seen jsonb := '[]';
BEGIN
    PERFORM stent.counter_add('n', 1);
    BEGIN
        PERFORM stent.counter_add('n', 10);
        BEGIN
            PERFORM stent.counter_add('n', 100);
            seen := seen || to_jsonb(stent.counter('n'));
            RAISE EXCEPTION 'inner';
        EXCEPTION WHEN raise_exception THEN NULL;
        END;
        seen := seen || to_jsonb(stent.counter('n'));
        BEGIN
            PERFORM stent.counter_add('n', 1000);
        EXCEPTION WHEN raise_exception THEN NULL;
        END;
        seen := seen || to_jsonb(stent.counter('n'));
        FOR i IN 1..200 LOOP PERFORM stent.counter_add('m' || i, 1); END LOOP;
        RAISE EXCEPTION 'outer';
    EXCEPTION WHEN raise_exception THEN NULL;
    END;
    PERFORM stent.counter_add('n', 10000);
    RETURN seen || to_jsonb(stent.counter('n')) || to_jsonb(stent.counter('m1'));
END $$;
SELECT stent.register('counters_block', 'counters_block()');
SELECT stent.dispatch('counters_block') AS id \gset
CALL counters_run();
SELECT stent.result_of(:id), counters_of(:id);

-- the tasks of an execution share its counters; those of a batch write one row
SELECT count(*), min(d) AS first FROM stent.dispatch_many('counters_f', array_fill('{}'::jsonb, ARRAY[10])) d \gset
UPDATE stent.task SET execution_id = :first WHERE id >= :first;
BEGIN;
SELECT stent.run();
SELECT counters_of(:first) AS not_before_the_commit;
COMMIT;
SELECT counters_of(:first);
SELECT name, count(*), sum(delta) FROM stent.counter WHERE execution_id = :first GROUP BY 1 ORDER BY 1;
SELECT result AS last_saw FROM stent.archive WHERE id = :first + 9;
-- children and their parent
CREATE FUNCTION counters_parent(failures int DEFAULT 0) RETURNS numeric LANGUAGE plpgsql AS $$
BEGIN
    PERFORM stent.counter_add('n', 1000);
    FOR i IN 1..5 LOOP PERFORM stent.spawn('counters_f', '{"failures": 1}'); END LOOP;
    IF stent.attempt() <= failures THEN
        RAISE EXCEPTION 'attempt % fails', stent.attempt();
    END IF;
    RETURN stent.counter('n');
END $$;
SELECT stent.register('counters_parent', 'counters_parent(int)', retry => '{"max_attempts": 2, "initial_delay": "0s", "jitter": 0}');
SELECT stent.dispatch('counters_parent', '{"failures": 1}') AS id \gset
CALL counters_run();
SELECT stent.result_of(:id), counters_of(:id);

-- what is rolled back is not counted, by whom it may be
SELECT stent.dispatch('counters_f') AS id \gset
BEGIN;
SELECT stent.run();
ROLLBACK;
BEGIN;
SAVEPOINT s;
SELECT stent.run();
ROLLBACK TO s;
COMMIT;
SELECT counters_of(:id);
BEGIN;
SELECT stent.run();
PREPARE TRANSACTION 'counters';
SELECT counters_of(:id);
SELECT counters_of(:id) AS nor_with_another_commit;
COMMIT PREPARED 'counters';
SELECT counters_of(:id);
SELECT stent.dispatch('counters_f') AS id \gset
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT stent.run();
COMMIT;
SELECT counters_of(:id);

-- refused: elsewhere, NULL, names, numbers
SELECT stent.counter_add('n', 1);
SELECT stent.counter('n');
CREATE FUNCTION counters_bad(name text, delta numeric) RETURNS numeric LANGUAGE plpgsql AS $$
BEGIN
    IF name = 'repeat' THEN name := repeat('x', 201); END IF;
    PERFORM stent.counter_add(name, delta);
    RETURN stent.counter(name);
END $$;
SELECT stent.register('counters_bad', 'counters_bad(text, numeric)', retry => '{"max_attempts": 1}');
SELECT min(d) AS first FROM stent.dispatch_many('counters_bad', ARRAY['{"name": null, "delta": 1}', '{"name": "", "delta": 1}',
    '{"name": "repeat", "delta": 1}', '{"name": "n", "delta": null}', '{"name": "n", "delta": "NaN"}', '{"name": "n", "delta": "-Infinity"}',
    '{"name": "n", "delta": 1e1000}', '{"name": "n", "delta": 1e999}']::jsonb[]) d \gset
CALL counters_run();
SELECT state, error ->> 'code' AS code, error ->> 'message' AS message FROM stent.tasks WHERE id BETWEEN :first AND :first + 7 ORDER BY id;
SELECT stent.dispatch('counters_f', counters => '{"n": 1e1000}');
SELECT stent.dispatch('counters_f', counters => jsonb_build_object(repeat('x', 201), 1));

-- folding makes one row of many and changes no sum; few rows stay
SELECT min(d) AS first FROM stent.dispatch_many('counters_f', array_fill('{"n": 0.5}'::jsonb, ARRAY[12])) d \gset
UPDATE stent.task SET execution_id = :first WHERE id >= :first;
DO $$ BEGIN WHILE stent.run(1) > 0 LOOP COMMIT; END LOOP; END $$;
SELECT count(*) FROM stent.counter WHERE execution_id = :first AND name = 'n';
CREATE TEMP TABLE counters_before AS SELECT execution_id, name, sum(delta) FROM stent.counter GROUP BY 1, 2;
SELECT count(*) AS few FROM (SELECT FROM stent.counter GROUP BY execution_id, name HAVING count(*) BETWEEN 2 AND 9) c \gset
SELECT stent._fold_counters();
SELECT execution_id = :first AS mine, name, count(*), sum(delta) FROM stent.counter WHERE execution_id = :first GROUP BY 1, 2 ORDER BY 2;
SELECT count(*) FROM (SELECT execution_id, name, sum(delta) FROM stent.counter GROUP BY 1, 2 EXCEPT ALL TABLE counters_before) d;
SELECT count(*) = :few AS few_stay FROM (SELECT FROM stent.counter GROUP BY execution_id, name HAVING count(*) BETWEEN 2 AND 9) c;
DROP TABLE counters_before;

-- retention forgets them
SELECT stent.discard_many('counters_f'), stent.discard_many('counters_bad');
SET stent.clock = '2026-01-02 00:00:00';
SELECT stent.cleanup('1h') > 0 AS cleaned;
SELECT count(*) FROM stent.counter WHERE execution_id > :start;
SELECT count(stent.unregister(name)) FROM stent.functions WHERE name LIKE 'counters\_%';
DROP PROCEDURE counters_run;
DROP FUNCTION counters_f, counters_parent, counters_of, counters_many, counters_block, counters_bad;
