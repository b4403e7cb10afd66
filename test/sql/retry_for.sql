-- retry_for and no_retry_for decide by SQLSTATE, class, condition or category name.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
\pset null '-'

CREATE FUNCTION retry_for_raise(code text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = code, MESSAGE = 'raised';
END $$;
SELECT stent.register('retry_for_f', 'retry_for_raise(text)');

CREATE TABLE retry_for_case (n int, code text, policy jsonb, task bigint);
INSERT INTO retry_for_case (n, code, policy) VALUES
    (1, '22012', '{}'),
    (2, '22012', '{"retry_for": null}'),
    (3, '22012', '{"retry_for": []}'),
    (4, '22012', '{"retry_for": ["22012"]}'),
    (5, '22012', '{"retry_for": ["22003"]}'),
    (6, '22012', '{"retry_for": ["22"]}'),
    (7, '22012', '{"retry_for": ["40", "23"]}'),
    (8, '22012', '{"retry_for": ["division_by_zero"]}'),
    (9, '22012', '{"retry_for": ["data_exception"]}'),
    (10, '22012', '{"retry_for": ["unique_violation", "serialization_failure"]}'),
    (11, '40P01', '{"retry_for": ["deadlock_detected"]}'),
    (12, '40P01', '{"retry_for": ["transaction_rollback"]}'),
    (13, '22012', '{"no_retry_for": ["22012"]}'),
    (14, '22012', '{"no_retry_for": ["22"]}'),
    (15, '22012', '{"no_retry_for": ["division_by_zero"]}'),
    (16, '22012', '{"no_retry_for": ["data_exception"]}'),
    (17, '22012', '{"no_retry_for": ["23"]}'),
    (18, '22012', '{"retry_for": ["22"], "no_retry_for": ["22012"]}'),
    (19, '22003', '{"retry_for": ["22"], "no_retry_for": ["22012"]}'),
    (20, 'P0001', '{"retry_for": ["raise_exception"]}'),
    (21, 'P0001', '{"retry_for": ["P0"]}'),
    (22, 'MY001', '{"retry_for": ["MY001"]}'),
    (23, 'MY001', '{"retry_for": ["my001"]}'),
    (24, '22012', '{"max_attempts": 1}'),
    (25, '22012', '{"retry_for": ["22000"]}'),
    (26, '22012', '{"retry_for": ["no_such_condition"]}'),
    (27, '57014', '{"retry_for": ["query_canceled"]}'),
    (28, 'P0004', '{"no_retry_for": ["assert_failure"]}');
UPDATE retry_for_case SET task = stent.dispatch('retry_for_f', jsonb_build_object('code', code), retry => policy);
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT c.n, c.code, c.policy, t.state, t.error ->> 'code' AS error, t.error -> 'retryable' AS retryable
FROM retry_for_case c JOIN stent.tasks t ON t.id = c.task ORDER BY c.n;

-- an error of the data itself reaches the policy like any other
CREATE FUNCTION retry_for_div() RETURNS int LANGUAGE sql AS 'SELECT 1 / 0';
SELECT stent.register('retry_for_div', 'retry_for_div()', retry => '{"no_retry_for": ["division_by_zero"]}');
SELECT stent.dispatch('retry_for_div') AS id \gset
SELECT stent.run();
SELECT state, attempt, error - 'context' AS error FROM stent.tasks WHERE id = :id;

-- all that is scheduled now ends in the dead letters
SET stent.clock = '2026-01-02 00:00:00';
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SET stent.clock = '2026-01-03 00:00:00';
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT t.state, t.attempt, array_agg(c.n ORDER BY c.n) FROM retry_for_case c JOIN stent.tasks t ON t.id = c.task
GROUP BY 1, 2 ORDER BY 2;

SELECT stent.discard_many('retry_for_f') + stent.discard_many('retry_for_div') AS discarded;
SELECT stent.unregister('retry_for_f');
SELECT stent.unregister('retry_for_div');
DROP TABLE retry_for_case;
DROP FUNCTION retry_for_raise, retry_for_div;
