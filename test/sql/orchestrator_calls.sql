-- call: a handler waits for children, in loops and branches, and gets what they return.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';
CREATE TABLE orc_log (line text);
CREATE FUNCTION orc_double(n int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO orc_log VALUES (format('double %s', n));
    RETURN 2 * n;
END $$;
CREATE FUNCTION orc_echo(value jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT value $$;
CREATE FUNCTION orc_void() RETURNS void LANGUAGE sql AS $$ $$;
CREATE FUNCTION orc_headers() RETURNS jsonb LANGUAGE sql AS $$ SELECT stent.headers() $$;
CREATE PROCEDURE orc_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
CREATE VIEW orc_left AS SELECT (SELECT count(*) FROM stent.task) AS tasks, (SELECT count(*) FROM stent.ready) AS ready, (SELECT count(*) FROM stent.due) AS due,
    (SELECT count(*) FROM stent.child) AS children, (SELECT count(*) FROM stent.waiter) AS waiters;

-- in a row, the later with what the former returned; each run of the handler tells of itself
CREATE FUNCTION orc_row(n int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    once int;
BEGIN
    RAISE NOTICE 'runs';
    once := stent.call('orc_double', jsonb_build_object('n', n))::int;
    RAISE NOTICE 'has %', once;
    RETURN stent.call('orc_double', jsonb_build_object('n', once))::int;
END $$;
SELECT stent.register('orc_double', 'orc_double(int)', queue => 'orc_q', priority => 3, retry => '{"max_attempts": 1}'), stent.register('orc_echo', 'orc_echo(jsonb)'), stent.register('orc_void', 'orc_void()'),
       stent.register('orc_headers', 'orc_headers()'), stent.register('orc_row', 'orc_row(int)');
SELECT stent.dispatch('orc_row', '{"n": 5}') AS id \gset
SELECT stent.run(1);
SELECT state, attempt, result FROM stent.tasks WHERE id = :id;
SELECT function, queue, priority, state, parent_id = :id AS child, execution_id = :id AS in_execution, args FROM stent.tasks WHERE parent_id = :id ORDER BY id;
SELECT stent.run(1);
SELECT state FROM stent.tasks WHERE id = :id;
CALL orc_run();
SELECT state, attempt, result FROM stent.tasks WHERE id = :id;
SELECT function, state, args, result FROM stent.tasks WHERE parent_id = :id ORDER BY id;
TABLE orc_log;
TABLE orc_left;
TRUNCATE orc_log;

-- while it waits nothing can be run, and it is not lost
SELECT stent.dispatch('orc_row', '{"n": 1}') AS id \gset
SELECT stent.pause('orc_q');
CALL orc_run();
SELECT stent.run();
SELECT state FROM stent.tasks WHERE id = :id;
SELECT stent.resume('orc_q');
CALL orc_run();
SELECT stent.result_of(:id);

-- loops and branches; of the same function with the same arguments each call is another
CREATE FUNCTION orc_collatz(n int) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    path int[] := ARRAY[n];
BEGIN
    WHILE n <> 1 AND cardinality(path) < 100 LOOP
        IF n % 2 = 0 THEN
            n := (stent.call('orc_echo', jsonb_build_object('value', n / 2)) ->> 'value')::int;
        ELSE
            n := stent.call('orc_double', jsonb_build_object('n', n))::int + n + 1;
        END IF;
        path := path || n;
    END LOOP;
    RETURN to_jsonb(path);
END $$;
CREATE FUNCTION orc_same() RETURNS int LANGUAGE sql AS $$
    SELECT sum(stent.call('orc_double', '{"n": 7}')::int)::int FROM generate_series(1, 3)
$$;
SELECT stent.register('orc_collatz', 'orc_collatz(int)'), stent.register('orc_same', 'orc_same()');
SELECT stent.dispatch('orc_collatz', '{"n": 6}') AS id, stent.dispatch('orc_same') AS same \gset
CALL orc_run();
SELECT stent.result_of(:id), stent.result_of(:same);
SELECT count(*) FROM stent.tasks WHERE parent_id = :same;
TABLE orc_left;

-- what a child returns comes as it is, also what looks like nothing, and what is long
CREATE FUNCTION orc_values() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    value jsonb;
    answer jsonb := '[]';
BEGIN
    FOR value IN SELECT * FROM jsonb_array_elements('[0, false, "", [], {}, null, 1.50, "\u00e4"]') LOOP
        answer := answer || jsonb_build_array(stent.call('orc_echo', value));
    END LOOP;
    answer := answer || jsonb_build_array(stent.call('orc_void'));
    answer := answer || jsonb_build_array(length(stent.call('orc_echo', to_jsonb(repeat('x', 100000))) #>> '{}'));
    RETURN answer;
END $$;
SELECT stent.register('orc_values', 'orc_values()');
SELECT stent.dispatch('orc_values') AS id \gset
CALL orc_run();
SELECT stent.result_of(:id);

-- options: as of the child's function, or as given
CREATE FUNCTION orc_options() RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    RETURN stent.call('orc_headers', '{}', 'orc_r', -3, '{b,a}', delay => '1h', timeout => '7m', retry => '{"max_attempts": 9}', headers => '{"h": 1}', concurrency_key => 'k');
END $$;
SELECT stent.register('orc_options', 'orc_options()');
SELECT stent.dispatch('orc_options') AS id \gset
CALL orc_run();
SELECT function, queue, priority, tags, state, due_at, timeout, headers, concurrency_key FROM stent.tasks WHERE parent_id = :id;
SET stent.clock = '2026-01-01 01:00:00';
CALL orc_run();
SELECT stent.result_of(:id);

-- what is wrong with a call is an error where it is made, can be caught, in each run again
CREATE FUNCTION orc_wrong() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    sql text;
    answer jsonb := '[]';
BEGIN
    FOREACH sql IN ARRAY ARRAY['NULL', $a$'orc_none'$a$, $a$'orc_double', NULL$a$, $a$'orc_double', '{}'$a$, $a$'orc_double', '{"n": 1, "m": 2}'$a$, $a$'orc_double', '{"n": 1}', delay => '-1s'$a$,
                               $a$'orc_double', '{"n": 1}', priority => 101$a$, $a$'orc_double', '{"n": 1}', step_name => ''$a$] LOOP
        BEGIN
            EXECUTE 'SELECT stent.call(' || sql || ')';
        EXCEPTION WHEN OTHERS THEN
            answer := answer || jsonb_build_array(SQLSTATE || ' ' || SQLERRM);
        END;
    END LOOP;
    RETURN answer || stent.call('orc_double', '{"n": 1}');
END $$;
SELECT stent.register('orc_wrong', 'orc_wrong()');
SELECT stent.dispatch('orc_wrong') AS id \gset
CALL orc_run();
SELECT jsonb_array_elements(stent.result_of(:id));
SELECT count(*) FROM stent.tasks WHERE parent_id = :id;

-- an argument that the child cannot take is the child's error
SELECT stent.dispatch('orc_row', '{"n": 2000000000}') AS id \gset
CALL orc_run();
SELECT state, attempt, error ->> 'code' AS code, error ->> 'message' AS message FROM stent.tasks WHERE execution_id = :id ORDER BY id;
SELECT stent.discard_many('orc_double'), stent.discard_many('orc_row');
TABLE orc_left;
SELECT count(stent.unregister('orc_' || n)) FROM unnest(ARRAY['double', 'echo', 'void', 'headers', 'row', 'collatz', 'same', 'values', 'options', 'wrong']) n;
DROP PROCEDURE orc_run;
DROP VIEW orc_left;
DROP TABLE orc_log;
DROP FUNCTION orc_double, orc_echo, orc_void, orc_headers, orc_row, orc_collatz, orc_same, orc_values, orc_options, orc_wrong;
