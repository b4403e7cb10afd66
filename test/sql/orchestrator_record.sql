-- record: a value that is the same in every run of the handler.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';
CREATE SEQUENCE rec_seq;
CREATE FUNCTION rec_leaf() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$;
CREATE PROCEDURE rec_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT stent.register('rec_leaf', 'rec_leaf()');

-- a sequence, a clock, chance: recorded they stay, unrecorded they move
CREATE FUNCTION rec_three() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    number jsonb;
    chance jsonb;
    loose bigint;
BEGIN
    loose := nextval('rec_seq');
    number := stent.record('number', to_jsonb(nextval('rec_seq')));
    chance := stent.record('chance', to_jsonb(random()));
    PERFORM stent.call('rec_leaf');
    RAISE NOTICE 'loose %, recorded %', loose, number;
    PERFORM stent.call('rec_leaf');
    IF stent.record('chance again', chance) <> chance THEN
        RAISE EXCEPTION 'it changed';
    END IF;
    RETURN number;
END $$;
SELECT stent.register('rec_three', 'rec_three()');
SELECT stent.dispatch('rec_three') AS id \gset
CALL rec_run();
SELECT stent.result_of(:id), currval('rec_seq') AS drawn;

-- a name in a loop: each use is one of its own; no suspension is needed
CREATE FUNCTION rec_loop() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    answer jsonb := '[]';
BEGIN
    RAISE NOTICE 'runs';
    FOR i IN 1 .. 3 LOOP
        answer := answer || stent.record('i', to_jsonb(i * (CASE WHEN stent.attempt() > 1 THEN 100 ELSE 1 END)));
    END LOOP;
    IF stent.attempt() = 1 THEN
        RAISE EXCEPTION 'first attempt';
    END IF;
    RETURN answer;
END $$;
-- what a failed attempt has recorded is kept for the next
SELECT stent.register('rec_loop', 'rec_loop()', retry => '{"initial_delay": "0s"}');
SELECT stent.dispatch('rec_loop') AS id \gset
CALL rec_run();
SELECT stent.result_of(:id);
SELECT error ->> 'message' AS failed FROM jsonb_to_recordset(stent.state_of(:id) -> 'attempts') a (error jsonb);

-- null, false and nothing are values; long ones too
CREATE FUNCTION rec_values() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    first boolean := (stent.record('first', to_jsonb(true)))::boolean;
    answer jsonb;
BEGIN
    answer := jsonb_build_array(stent.record('a', 'null'), stent.record('b', 'false'), stent.record('c', '""'), stent.record('d', NULL),
                                length(stent.record('e', to_jsonb(repeat('x', 50000))) #>> '{}'));
    PERFORM stent.call('rec_leaf');
    RETURN answer;
END $$;
SELECT stent.register('rec_values', 'rec_values()');
SELECT stent.dispatch('rec_values') AS id \gset
CALL rec_run();
SELECT state, result, error ->> 'message' AS error FROM stent.tasks WHERE id = :id;

-- in a block that was undone it is as if it had not been
CREATE FUNCTION rec_undone() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    answer jsonb := '[]';
BEGIN
    FOR i IN 1 .. 2 LOOP
        BEGIN
            answer := answer || stent.record('n', to_jsonb(nextval('rec_seq') > 0));
            RAISE EXCEPTION 'undone';
        EXCEPTION WHEN raise_exception THEN
            NULL;
        END;
    END LOOP;
    PERFORM stent.call('rec_leaf');
    RETURN answer;
END $$;
SELECT stent.register('rec_undone', 'rec_undone()');
SELECT stent.dispatch('rec_undone') AS id \gset
CALL rec_run();
SELECT state, result, error ->> 'message' AS error FROM stent.tasks WHERE id = :id;

-- what is wrong
CREATE FUNCTION rec_wrong() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    sql text;
    answer jsonb := '[]';
BEGIN
    FOREACH sql IN ARRAY ARRAY[$a$NULL, '1'$a$, $a$'', '1'$a$, $a$repeat('s', 201), '1'$a$] LOOP
        BEGIN
            EXECUTE 'SELECT stent.record(' || sql || ')';
        EXCEPTION WHEN OTHERS THEN
            answer := answer || jsonb_build_array(SQLSTATE || ' ' || left(SQLERRM, 80));
        END;
    END LOOP;
    RETURN answer;
END $$;
SELECT stent.register('rec_wrong', 'rec_wrong()');
SELECT stent.dispatch('rec_wrong') AS id \gset
CALL rec_run();
SELECT jsonb_array_elements(stent.result_of(:id));

SELECT stent.discard_many('rec_values') AS dead;
SELECT count(*) AS live FROM stent.task;
SELECT count(stent.unregister('rec_' || n)) FROM unnest(ARRAY['leaf', 'three', 'loop', 'values', 'undone', 'wrong']) n;
DROP PROCEDURE rec_run;
DROP FUNCTION rec_leaf, rec_three, rec_loop, rec_values, rec_undone, rec_wrong;
DROP SEQUENCE rec_seq;
