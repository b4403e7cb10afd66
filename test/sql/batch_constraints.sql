-- Deferred constraints are checked inside each task: a violation is that task's own failure.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';

CREATE TABLE batch_constraints_parent (id int PRIMARY KEY);
CREATE TABLE batch_constraints_child (n int, parent int,
    CONSTRAINT batch_constraints_fk FOREIGN KEY (parent) REFERENCES batch_constraints_parent DEFERRABLE INITIALLY DEFERRED);
-- children first, as only a deferred constraint allows; a parent only for even numbers
CREATE FUNCTION batch_constraints_pair(n int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO batch_constraints_child VALUES (n, n);
    IF n % 2 = 0 THEN
        INSERT INTO batch_constraints_parent VALUES (n);
    END IF;
    RETURN n;
END $$;
CREATE FUNCTION batch_constraints_immediate(n int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    SET CONSTRAINTS ALL IMMEDIATE;
    INSERT INTO batch_constraints_parent VALUES (n);
    INSERT INTO batch_constraints_child VALUES (n, n);
    RETURN n;
END $$;
SELECT stent.register('batch_constraints_pair', 'batch_constraints_pair(int)', retry => '{"max_attempts": 1}');
SELECT stent.register('batch_constraints_immediate', 'batch_constraints_immediate(int)', retry => '{"max_attempts": 1}');
SELECT count(stent.dispatch('batch_constraints_pair', jsonb_build_object('n', n))) FROM generate_series(2, 6) n;
SELECT count(stent.dispatch('batch_constraints_immediate', jsonb_build_object('n', n), priority => -1)) FROM generate_series(10, 10) n;
SELECT count(stent.dispatch('batch_constraints_pair', jsonb_build_object('n', n), priority => -2)) FROM generate_series(20, 21) n;
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT args ->> 'n' AS n, state, error ->> 'code' AS code, error ->> 'message' AS message
FROM stent.tasks WHERE function LIKE 'batch\_constraints\_%' ORDER BY id;
SELECT n FROM batch_constraints_child ORDER BY n;

-- SET CONSTRAINTS of a handler does not reach the next task of the transaction
SELECT stent.discard_many('batch_constraints_pair');
BEGIN;
SELECT count(stent.dispatch('batch_constraints_immediate', '{"n": 30}', priority => 1)),
       count(stent.dispatch('batch_constraints_pair', '{"n": 32}'));
SELECT stent.run();
SELECT stent.run();
SELECT args ->> 'n' AS n, state FROM stent.tasks WHERE args ->> 'n' IN ('30', '32') AND function LIKE 'batch\_constraints\_%' ORDER BY id;
COMMIT;

-- what the caller deferred is the caller's error: nobody is charged
SELECT stent.dispatch('batch_constraints_pair', '{"n": 40}') AS id \gset
BEGIN;
INSERT INTO batch_constraints_child VALUES (0, 41);
SELECT stent.run();
ROLLBACK;
SELECT state, attempt FROM stent.tasks WHERE id = :id;
SELECT stent.run();
SELECT state, attempt FROM stent.tasks WHERE id = :id;

-- with both kinds of deferrable constraints in the database: still each its own
CREATE TABLE batch_constraints_both (n int CONSTRAINT batch_constraints_both_n UNIQUE DEFERRABLE INITIALLY IMMEDIATE);
CREATE FUNCTION batch_constraints_shift(n int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO batch_constraints_both VALUES (1), (2);
    -- legal only because the check waits for the end of the statement
    UPDATE batch_constraints_both b SET n = b.n + 1;
    BEGIN
        INSERT INTO batch_constraints_both VALUES (2);
        RETURN -1;
    EXCEPTION WHEN unique_violation THEN
        TRUNCATE batch_constraints_both;
        RETURN n;
    END;
END $$;
SELECT stent.register('batch_constraints_shift', 'batch_constraints_shift(int)');
SELECT count(stent.dispatch(f, '{"n": 52}', priority => p)), count(stent.dispatch(f, '{"n": 53}', priority => p))
FROM (VALUES ('batch_constraints_pair', 1), ('batch_constraints_shift', 0)) v (f, p);
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT function, args ->> 'n' AS n, state, result, error ->> 'code' AS code
FROM stent.tasks WHERE args ->> 'n' IN ('52', '53') AND function LIKE 'batch\_constraints\_%' ORDER BY function, n;

SELECT stent.discard_many('batch_constraints_pair');
SELECT count(stent.unregister(name)) FROM stent.functions WHERE name LIKE 'batch\_constraints\_%';
DROP TABLE batch_constraints_child, batch_constraints_parent, batch_constraints_both;
DROP FUNCTION batch_constraints_pair, batch_constraints_immediate, batch_constraints_shift;
