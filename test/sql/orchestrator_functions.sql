-- Steps in functions that the handler calls: of PL/pgSQL and SQL, in procedures, DO, EXECUTE, triggers and constraints.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';
CREATE TABLE fun_t (n int, answer int);
CREATE FUNCTION fun_leaf(n int) RETURNS int LANGUAGE sql AS $$ SELECT n * 10 $$;
CREATE PROCEDURE fun_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT stent.register('fun_leaf', 'fun_leaf(int)');

CREATE FUNCTION fun_plpgsql(n int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    RETURN stent.call('fun_leaf', jsonb_build_object('n', n))::int;
EXCEPTION WHEN OTHERS THEN
    RETURN -1;
END $$;
CREATE FUNCTION fun_sql(n int) RETURNS int LANGUAGE sql AS $$ SELECT fun_plpgsql(n) + fun_plpgsql(n + 1) $$;
CREATE PROCEDURE fun_procedure(n int, INOUT answer int) LANGUAGE plpgsql AS $$ BEGIN answer := fun_sql(n); END $$;
CREATE FUNCTION fun_all() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    a int;
    b int;
BEGIN
    CALL fun_procedure(1, a);
    EXECUTE 'SELECT fun_sql($1)' INTO b USING 3;
    DO $do$ BEGIN PERFORM fun_sql(5); END $do$;
    RETURN jsonb_build_array(a, b);
END $$;
-- a trigger for each row
CREATE FUNCTION fun_trigger() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.answer := fun_plpgsql(NEW.n); RETURN NEW; END $$;
CREATE TRIGGER fun_before BEFORE INSERT ON fun_t FOR EACH ROW EXECUTE FUNCTION fun_trigger();
CREATE FUNCTION fun_insert() RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO fun_t SELECT generate_series(1, 3);
    RETURN (SELECT jsonb_agg(answer ORDER BY n) FROM fun_t);
END $$;
SELECT stent.register('fun_all', 'fun_all()'), stent.register('fun_insert', 'fun_insert()');
SELECT stent.dispatch('fun_all') AS all, stent.dispatch('fun_insert') AS insert \gset
CALL fun_run();
SELECT stent.result_of(:all), stent.result_of(:insert);
SELECT parent_id = :all AS of_all, args -> 'n' AS n FROM stent.tasks WHERE parent_id IN (:all, :insert) ORDER BY 1 DESC, id;
SELECT * FROM fun_t ORDER BY n;
DROP TRIGGER fun_before ON fun_t;
TRUNCATE fun_t;

-- a deferred constraint trigger runs when the handler has returned, and still belongs to it
CREATE FUNCTION fun_check() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF stent.call('fun_leaf', jsonb_build_object('n', NEW.n))::int > 50 THEN
        RAISE EXCEPTION 'too much' USING ERRCODE = '23514';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER fun_deferred AFTER INSERT ON fun_t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION fun_check();
CREATE FUNCTION fun_checked(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN INSERT INTO fun_t VALUES (n); RETURN n; END $$;
SELECT stent.register('fun_checked', 'fun_checked(int)', retry => '{"max_attempts": 1}');
SELECT stent.dispatch('fun_checked', '{"n": 5}') AS good, stent.dispatch('fun_checked', '{"n": 6}') AS bad \gset
CALL fun_run();
SELECT state, result, error ->> 'code' AS code FROM stent.tasks WHERE id IN (:good, :bad) ORDER BY id;
TABLE fun_t;
DROP TRIGGER fun_deferred ON fun_t;

-- a SQL function as orchestrator, and one that takes the whole args
CREATE FUNCTION fun_plain(args jsonb) RETURNS int LANGUAGE sql AS $$ SELECT stent.call('fun_leaf', args)::int + stent.call('fun_leaf', '{"n": 1}')::int $$;
SELECT stent.register('fun_plain', 'fun_plain(jsonb)');
SELECT stent.dispatch('fun_plain', '{"n": 4}') AS id \gset
CALL fun_run();
SELECT stent.result_of(:id);

-- a handler of another owner, with settings of its own
CREATE FUNCTION fun_definer() RETURNS jsonb LANGUAGE plpgsql SECURITY DEFINER SET search_path = public SET datestyle = 'German' AS $$
BEGIN
    PERFORM stent.call('fun_leaf', '{"n": 1}');
    RETURN jsonb_build_array(current_setting('datestyle'), current_setting('search_path'));
END $$;
SELECT stent.register('fun_definer', 'fun_definer()');
SELECT stent.dispatch('fun_definer') AS id \gset
CALL fun_run();
SELECT stent.result_of(:id);
SHOW search_path;

SELECT stent.discard_many('fun_checked');
SELECT count(*) AS live FROM stent.task;
SELECT count(stent.unregister('fun_' || n)) FROM unnest(ARRAY['leaf', 'all', 'insert', 'checked', 'plain', 'definer']) n;
DROP PROCEDURE fun_run, fun_procedure;
DROP FUNCTION fun_leaf, fun_plpgsql, fun_sql, fun_all, fun_trigger, fun_insert, fun_check, fun_checked, fun_plain, fun_definer;
DROP TABLE fun_t;
