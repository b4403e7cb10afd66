-- step: a function run by the orchestrator's own task, remembered, with no child.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';
CREATE TABLE loc_t (line text);
CREATE FUNCTION loc_put(line text, fail boolean DEFAULT false) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO loc_t VALUES (line);
    IF fail THEN
        RAISE EXCEPTION 'put % fails', line USING ERRCODE = 'XX123';
    END IF;
    RETURN (SELECT count(*) FROM loc_t);
END $$;
CREATE PROCEDURE loc_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT stent.register('loc_put', 'loc_put(text, boolean)');

-- done in the same transaction as the handler's next run; no child; not repeated
CREATE FUNCTION loc_two() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    a jsonb;
    b jsonb;
BEGIN
    RAISE NOTICE 'runs';
    a := stent.step('a', 'loc_put', '{"line": "a"}');
    RAISE NOTICE 'a is %', a;
    b := stent.step('b', 'loc_put', '{"line": "b"}');
    RETURN jsonb_build_array(a, b);
END $$;
SELECT stent.register('loc_two', 'loc_two()');
SELECT stent.dispatch('loc_two') AS id \gset
BEGIN;
SELECT stent.run(1);
SELECT state, result FROM stent.tasks WHERE id = :id;
ROLLBACK;
SELECT count(*) AS undone FROM loc_t;
CALL loc_run();
SELECT state, result, attempt FROM stent.tasks WHERE id = :id;
SELECT count(*) AS tasks FROM stent.tasks WHERE execution_id = :id;
TABLE loc_t;
TRUNCATE loc_t;

-- it does not see the handler's own writes, nor is it undone with a block that is
CREATE FUNCTION loc_undone() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    seen jsonb;
BEGIN
    BEGIN
        INSERT INTO loc_t VALUES ('own');
        seen := stent.step('put', 'loc_put', '{"line": "step"}');
        RAISE EXCEPTION 'undone';
    EXCEPTION WHEN raise_exception THEN
        NULL;
    END;
    RETURN seen;
END $$;
SELECT stent.register('loc_undone', 'loc_undone()');
SELECT stent.dispatch('loc_undone') AS id \gset
CALL loc_run();
SELECT stent.result_of(:id);
TABLE loc_t;
TRUNCATE loc_t;

-- a failure undoes what the step wrote, can be caught, and is remembered for this attempt
CREATE FUNCTION loc_fails() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    answer jsonb := '[]';
BEGIN
    RAISE NOTICE 'runs';
    BEGIN
        PERFORM stent.step('bad', 'loc_put', '{"line": "bad", "fail": true}');
    EXCEPTION WHEN SQLSTATE 'XX123' THEN
        answer := answer || jsonb_build_array(SQLERRM);
    END;
    RETURN answer || stent.step('good', 'loc_put', '{"line": "good"}');
END $$;
SELECT stent.register('loc_fails', 'loc_fails()');
SELECT stent.dispatch('loc_fails') AS id \gset
CALL loc_run();
SELECT stent.result_of(:id);
TABLE loc_t;
TRUNCATE loc_t;

-- one that is not caught fails the attempt; the next one makes it anew, and only it
CREATE FUNCTION loc_sometimes() RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO loc_t VALUES (format('attempt %s', stent.attempt()));
    IF stent.attempt() = 1 THEN
        RAISE EXCEPTION 'not yet' USING ERRCODE = 'XX124';
    END IF;
    RETURN stent.attempt();
END $$;
CREATE FUNCTION loc_retried() RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    RETURN jsonb_build_array(stent.step('a', 'loc_put', '{"line": "a"}'), stent.step('b', 'loc_sometimes'));
END $$;
SELECT stent.register('loc_sometimes', 'loc_sometimes()'), stent.register('loc_retried', 'loc_retried()', retry => '{"initial_delay": "1m", "jitter": 0}');
SELECT stent.dispatch('loc_retried') AS id \gset
CALL loc_run();
SELECT state, attempt, error ->> 'code' AS code, due_at FROM stent.tasks WHERE id = :id;
SET stent.clock = '2026-01-01 00:01:00';
CALL loc_run();
SELECT state, attempt, result FROM stent.tasks WHERE id = :id;
TABLE loc_t;
TRUNCATE loc_t;

-- it is a task's own work: its ids, its counters; but no steps within it
CREATE FUNCTION loc_inside() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    sql text;
    answer jsonb := jsonb_build_array(stent.headers(), stent.attempt());
BEGIN
    PERFORM stent.counter_add('inside', 1);
    FOREACH sql IN ARRAY ARRAY[$a$call('loc_put', '{"line": "x"}')$a$, $a$step('x', 'loc_put', '{"line": "x"}')$a$, $a$spawn('loc_put', '{"line": "x"}')$a$, $a$await(1)$a$, $a$await_all('{1}')$a$, $a$sleep('1s')$a$,
                               $a$await_signal('x')$a$, $a$record('x', '1')$a$, $a$continue_as_new()$a$] LOOP
        BEGIN
            EXECUTE 'SELECT stent.' || sql;
            answer := answer || to_jsonb('no error: ' || sql);
        EXCEPTION WHEN OTHERS THEN
            answer := answer || to_jsonb(SQLSTATE || ' ' || SQLERRM);
        END;
    END LOOP;
    RETURN answer;
END $$;
CREATE FUNCTION loc_outside() RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN stent.step('inside', 'loc_inside'); END $$;
SELECT stent.register('loc_inside', 'loc_inside()'), stent.register('loc_outside', 'loc_outside()');
SELECT stent.dispatch('loc_outside', headers => '{"h": 1}') AS id \gset
CALL loc_run();
SELECT jsonb_array_elements(stent.result_of(:id));
SELECT stent.state_of(:id) -> 'counters' AS counters;

-- many of them, in one transaction
CREATE FUNCTION loc_many() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    last bigint;
BEGIN
    FOR i IN 1 .. 200 LOOP
        last := stent.step('n', 'loc_put', jsonb_build_object('line', i))::bigint;
    END LOOP;
    RETURN last;
END $$;
SELECT stent.register('loc_many', 'loc_many()');
SELECT stent.dispatch('loc_many') AS id \gset
CALL loc_run();
SELECT stent.result_of(:id);
SELECT count(*), count(DISTINCT line) FROM loc_t;
TRUNCATE loc_t;

-- settings and temporary tables of a step are gone when the handler goes on
CREATE FUNCTION loc_dirty() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('loc.x', 'left behind', false), set_config('work_mem', '77kB', false);
    CREATE TEMP TABLE loc_temp (x int);
    RETURN 'dirty';
END $$;
CREATE FUNCTION loc_clean() RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    PERFORM stent.step('dirty', 'loc_dirty');
    RETURN jsonb_build_array(COALESCE(current_setting('loc.x', true), ''), current_setting('work_mem') = '77kB', to_regclass('loc_temp'));
END $$;
SELECT stent.register('loc_dirty', 'loc_dirty()'), stent.register('loc_clean', 'loc_clean()');
SELECT stent.dispatch('loc_clean') AS id \gset
CALL loc_run();
SELECT stent.result_of(:id);

-- what is wrong: no name, no such function, one that workers run, args that do not fit
CREATE FUNCTION loc_wrong() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    sql text;
    answer jsonb := '[]';
BEGIN
    FOREACH sql IN ARRAY ARRAY[$a$NULL, 'loc_put'$a$, $a$'', 'loc_put'$a$, $a$'x', NULL$a$, $a$'x', 'loc_none'$a$, $a$'x', 'loc_external'$a$, $a$'x', 'loc_put', '{}'$a$, $a$'x', 'loc_put', NULL$a$] LOOP
        BEGIN
            EXECUTE 'SELECT stent.step(' || sql || ')';
        EXCEPTION WHEN OTHERS THEN
            answer := answer || jsonb_build_array(SQLSTATE || ' ' || SQLERRM);
        END;
    END LOOP;
    RETURN answer;
END $$;
SELECT stent.register('loc_external'), stent.register('loc_wrong', 'loc_wrong()');
SELECT stent.dispatch('loc_wrong') AS id \gset
CALL loc_run();
SELECT jsonb_array_elements(stent.result_of(:id));

SELECT count(*) AS live FROM stent.task;
SELECT count(stent.unregister('loc_' || n)) FROM unnest(ARRAY['put', 'two', 'undone', 'fails', 'sometimes', 'retried', 'inside', 'outside', 'many', 'dirty', 'clean', 'external', 'wrong']) n;
DROP PROCEDURE loc_run;
DROP FUNCTION loc_put, loc_two, loc_undone, loc_fails, loc_sometimes, loc_retried, loc_inside, loc_outside, loc_many, loc_dirty, loc_clean, loc_wrong;
DROP TABLE loc_t;
