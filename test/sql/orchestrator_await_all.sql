-- await_all and promise_all: order, duplicates, failures, what is checked first, the limit, the timeout.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';
CREATE FUNCTION all_leaf(n int DEFAULT 0, code text DEFAULT NULL) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    IF code IS NOT NULL THEN
        RAISE EXCEPTION 'leaf % fails', n USING ERRCODE = code;
    END IF;
    RETURN n * 10;
END $$;
CREATE PROCEDURE all_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT stent.register('all_leaf', 'all_leaf(int, text)', retry => '{"max_attempts": 1}');
-- spawns leaves n of these delays and codes and evaluates the expression of $1: their ids
CREATE FUNCTION all_do(expression text, delays text[] DEFAULT '{0}', codes text[] DEFAULT '{}') RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    ids bigint[] := '{}';
    answer jsonb;
BEGIN
    FOR i IN 1 .. cardinality(delays) LOOP
        ids := ids || stent.spawn('all_leaf', jsonb_build_object('n', i, 'code', codes[i]), delay => delays[i]::interval);
    END LOOP;
    EXECUTE 'SELECT ' || expression INTO answer USING ids;
    RETURN answer;
END $$;
SELECT stent.register('all_do', 'all_do(text, text[], text[])', retry => '{"max_attempts": 1}');
CREATE FUNCTION all_try(expression text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    answer jsonb;
BEGIN
    EXECUTE 'SELECT ' || expression INTO answer;
    RETURN answer;
EXCEPTION WHEN OTHERS THEN
    RETURN to_jsonb(SQLSTATE || ' ' || regexp_replace(SQLERRM, '\d{2,}', 'N'));
END $$;

-- results in the order of the ids, whichever ended first; an id may come twice
SELECT stent.dispatch('all_do', '{"expression": "stent.await_all($1)", "delays": ["3m", "1m", "2m"]}') AS a,
       stent.dispatch('all_do', '{"expression": "stent.promise_all($1 || $1[1:2] || $1)", "delays": ["1m", "0"]}') AS b \gset
CALL all_run();
SELECT state FROM stent.tasks WHERE id IN (:a, :b) ORDER BY id;
SET stent.clock = '2026-01-01 00:01:00';
CALL all_run();
SELECT state, result FROM stent.tasks WHERE id IN (:a, :b) ORDER BY id;
SET stent.clock = '2026-01-01 00:03:00';
CALL all_run();
SELECT state, result FROM stent.tasks WHERE id IN (:a, :b) ORDER BY id;

-- a failure ends the wait at once; the others go on; of those seen to have failed the first in the order of the ids is told
SELECT stent.dispatch('all_do', '{"expression": "stent.await_all($1)", "delays": ["1h", "0", "0", "0"], "codes": [null, null, "XX123", "XX124"]}') AS id \gset
SELECT stent.run(1);
SELECT stent.run(1), stent.run(1), stent.run(1);
CALL all_run();
SELECT state, error ->> 'code' AS code, error ->> 'message' AS message, error ->> 'detail' ~ '"index": 2' AS told FROM stent.tasks WHERE id = :id;
SELECT args -> 'n' AS n, state FROM stent.tasks WHERE parent_id = :id ORDER BY id;
SET stent.clock = '2026-01-01 01:03:00';
CALL all_run();
SELECT args -> 'n' AS n, state FROM stent.tasks WHERE parent_id = :id ORDER BY id;
SELECT stent.discard_many('all_leaf'), stent.discard_many('all_do');

-- caught, and awaited without the one that failed
CREATE FUNCTION all_rest() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    ids bigint[];
BEGIN
    SELECT array_agg(stent.spawn('all_leaf', jsonb_build_object('n', n, 'code', CASE n WHEN 2 THEN 'XX125' END)) ORDER BY n) INTO ids FROM generate_series(1, 4) n;
    BEGIN
        RETURN stent.await_all(ids);
    EXCEPTION WHEN SQLSTATE 'XX125' THEN
        RETURN stent.await_all(ids[1:1] || ids[3:4]);
    END;
END $$;
SELECT stent.register('all_rest', 'all_rest()');
SELECT stent.dispatch('all_rest') AS id \gset
CALL all_run();
SELECT stent.result_of(:id);
SELECT stent.discard_many('all_leaf');

-- what is checked, in this order: the array, the limit, the empty array, the elements
SELECT stent.dispatch('all_leaf', '{"n": 7}') AS done, stent.dispatch('all_leaf', '{"n": 8, "code": "XX126"}') AS bad \gset
CALL all_run();
CREATE TEMP TABLE all_tries AS SELECT e FROM unnest(ARRAY['stent.await_all(NULL)', 'stent.await_all(NULL, 0)', $$stent.await_all('{{1},{2}}', 0)$$, $$stent.await_all('{}', 0)$$, $$stent.await_all('{}', -1)$$, $$stent.await_all('{}', 1)$$, $$stent.await_all('{}')$$,
    $$stent.await_all('{NULL}', 0)$$, format($$stent.await_all('{%s,NULL,-7}')$$, :done), format($$stent.await_all('{%s,-7,NULL}')$$, :done), format($$stent.await_all('{%s,%s}')$$, :done, :bad),
    format($$stent.await_all('{%s,%s}', 1)$$, :done, :done)]) e;
SELECT all_try(e) AS outside FROM all_tries;
SELECT count(stent.dispatch('all_do', jsonb_build_object('expression', format('all_try(%L)', e), 'delays', '[]'::jsonb))) FROM all_tries;
CALL all_run();
SELECT result AS inside FROM stent.tasks WHERE function = 'all_do' AND id > :bad ORDER BY id;
SELECT stent.discard_many('all_leaf');

-- a limit keeps no failure from being seen
SELECT stent.dispatch('all_do', '{"expression": "stent.await_all($1, 2)", "delays": ["2m", "1m", "0", "0"], "codes": [null, null, null, "XX127"]}') AS id \gset
CALL all_run();
SELECT state FROM stent.tasks WHERE execution_id = :id ORDER BY id;
SET stent.clock = '2026-01-01 02:00:00';
CALL all_run();
SELECT state, error ->> 'message' AS message FROM stent.tasks WHERE id = :id;
SELECT stent.discard_many('all_leaf'), stent.discard_many('all_do');

-- a timeout of the whole wait
SELECT stent.dispatch('all_do', '{"expression": "all_try(''stent.await_all(''''{'' || array_to_string($1, '','') || ''}'''', timeout => ''''1m'''')'')", "delays": ["2m", "0"]}') AS id \gset
CALL all_run();
SET stent.clock = '2026-01-01 02:01:00';
CALL all_run();
SELECT state, result FROM stent.tasks WHERE id = :id;
SET stent.clock = '2026-01-01 03:00:00';
CALL all_run();

-- from a session: ids that are committed, finished or not
SELECT stent.dispatch('all_leaf', '{"n": 9}') AS more \gset
SELECT stent.await_all(ARRAY[:more], timeout => '1ms');
CALL all_run();
SELECT stent.await_all(ARRAY[:more, :done, :more]);
BEGIN;
SELECT stent.dispatch('all_leaf') AS own \gset
\set VERBOSITY sqlstate
SELECT stent.await_all(ARRAY[:own]);
\set VERBOSITY terse
ROLLBACK;

-- a hundred of them, with one wait
CREATE FUNCTION all_hundred() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    ids bigint[] := '{}';
BEGIN
    RAISE NOTICE 'runs';
    FOR i IN 1 .. 100 LOOP
        ids := ids || stent.spawn('all_leaf', jsonb_build_object('n', i));
    END LOOP;
    RETURN stent.await_all(ids);
END $$;
SELECT stent.register('all_hundred', 'all_hundred()');
SELECT stent.dispatch('all_hundred') AS id \gset
CALL all_run();
SELECT jsonb_array_length(r), r -> 0 AS first, r -> 99 AS last, (SELECT sum(x::int) FROM jsonb_array_elements(r) x) FROM stent.result_of(:id) r;

SELECT count(*) AS live FROM stent.task;
SELECT count(stent.unregister('all_' || n)) FROM unnest(ARRAY['leaf', 'do', 'rest', 'hundred']) n;
DROP PROCEDURE all_run;
DROP TABLE all_tries;
DROP FUNCTION all_leaf, all_do, all_try, all_rest, all_hundred;
