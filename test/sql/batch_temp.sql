-- Temporary objects of a task are gone before the next; those of the session stay.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';

CREATE FUNCTION batch_temp_make() RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    CREATE TEMP TABLE scratch (n int) ON COMMIT DROP;
    CREATE TEMP TABLE kept (n serial PRIMARY KEY, t text);
    CREATE TEMP VIEW kept_view AS SELECT n FROM kept;
    CREATE TEMP SEQUENCE counted;
    CREATE TYPE pg_temp.pair AS (a int, b int);
    CREATE FUNCTION pg_temp.helper() RETURNS int LANGUAGE sql AS 'SELECT 1';
    INSERT INTO scratch SELECT generate_series(1, 10);
    INSERT INTO kept (t) VALUES ('x'), ('y');
    RETURN (SELECT count(*) FROM scratch) + (SELECT count(*) FROM kept_view) + pg_temp.helper();
END $$;
CREATE FUNCTION batch_temp_fail() RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    CREATE TEMP TABLE scratch (n int);
    RAISE EXCEPTION 'fails';
END $$;
CREATE FUNCTION batch_temp_use() RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO batch_temp_session VALUES (2);
    CREATE TEMP TABLE more AS SELECT * FROM batch_temp_session;
    RETURN (SELECT sum(n) FROM more);
END $$;
CREATE FUNCTION batch_temp_exists() RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(relname::text, ' ' ORDER BY relname) FROM pg_class
    WHERE relnamespace = pg_my_temp_schema() AND relkind IN ('r', 'v', 'S', 'c')
$$;
SELECT count(stent.register('batch_temp_' || n, ('batch_temp_' || n || '()')::regprocedure, retry => '{"max_attempts": 1}'))
FROM unnest(ARRAY['make', 'fail', 'use', 'exists']) n;
SELECT count(stent.dispatch('batch_temp_make')) FROM generate_series(1, 4);
-- each of them ends its batch; ON COMMIT DROP tables of consecutive tasks do not meet
SELECT stent.run();
SELECT stent.run();
-- nor two batches in one transaction
BEGIN;
SELECT stent.run();
SELECT batch_temp_exists();
SELECT stent.run();
COMMIT;
SELECT state, result, error FROM stent.tasks WHERE function = 'batch_temp_make' ORDER BY id;
SELECT to_regtype('pg_temp.pair') IS NULL AS no_type, to_regprocedure('pg_temp.helper()') IS NULL AS no_function;

-- the session's own
CREATE TEMP TABLE batch_temp_session (n int);
INSERT INTO batch_temp_session VALUES (1);
BEGIN;
CREATE TEMP TABLE batch_temp_transaction (n int) ON COMMIT DROP;
SELECT stent.dispatch('batch_temp_make') AS make, stent.dispatch('batch_temp_fail') AS fail, stent.dispatch('batch_temp_use') AS use \gset
SELECT stent.run();
SELECT stent.run();
SELECT stent.run();
SELECT stent.run();
SELECT batch_temp_exists();
COMMIT;
SELECT batch_temp_exists();
TABLE batch_temp_session;
SELECT function, state, result, error ->> 'message' AS error FROM stent.tasks WHERE id IN (:make, :fail, :use) ORDER BY id;

-- a task dispatched to look sees none of another's
SELECT stent.dispatch('batch_temp_exists') AS id \gset
SELECT stent.run();
SELECT stent.result_of(:id);
DROP TABLE batch_temp_session;
SELECT stent.discard_many('batch_temp_fail');
SELECT count(stent.unregister(name)) FROM stent.functions WHERE name LIKE 'batch\_temp\_%';
DROP FUNCTION batch_temp_make, batch_temp_fail, batch_temp_use, batch_temp_exists;
