-- execution_id, task_id, attempt and headers have a meaning in a handler only.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';

CREATE FUNCTION context_f(fail boolean DEFAULT false) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    IF fail AND stent.attempt() < 3 THEN
        RAISE EXCEPTION 'attempt % of % with %', stent.attempt(), stent.task_id() = stent.execution_id(), stent.headers();
    END IF;
    RETURN jsonb_build_object('execution', stent.execution_id(), 'task', stent.task_id(), 'attempt', stent.attempt(), 'headers', stent.headers());
END $$;
SELECT stent.register('context_f', 'context_f(boolean)', retry => '{"initial_delay": "0s"}');

-- outside
SELECT stent.execution_id();
SELECT stent.task_id();
SELECT stent.attempt();
SELECT stent.headers();

-- inside
SELECT stent.dispatch('context_f', headers => '{"trace": "abc", "n": [1]}') AS a, stent.dispatch('context_f') AS b,
       stent.dispatch('context_f', '{"fail": true}', headers => '{}') AS c \gset
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT (result ->> 'execution')::bigint = id AS execution, (result ->> 'task')::bigint = id AS task, result -> 'attempt' AS attempt,
       result -> 'headers' AS headers, headers AS stored
FROM stent.tasks WHERE id IN (:a, :b, :c) ORDER BY id;
SELECT a -> 'error' ->> 'message' AS message FROM jsonb_array_elements(stent.state_of(:c) -> 'attempts') a;

-- and outside again, after success, failure and a run that was rolled back
SELECT stent.task_id();
SELECT stent.dispatch('context_f', '{"fail": true}') AS id \gset
SELECT stent.run();
SELECT stent.task_id();
BEGIN;
SELECT stent.run() > 0 AS ran;
SELECT stent.task_id();
ROLLBACK;
SELECT stent.task_id();

-- a handler that dispatches: another execution, in the same commit
CREATE FUNCTION context_parent() RETURNS bigint LANGUAGE sql AS $$ SELECT stent.dispatch('context_f', headers => stent.headers()) $$;
CREATE FUNCTION context_parent_fails() RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    PERFORM stent.dispatch('context_f', queue => 'context_lost');
    RAISE EXCEPTION 'fails';
END $$;
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT stent.register('context_parent', 'context_parent()');
SELECT stent.register('context_parent_fails', 'context_parent_fails()', retry => '{"max_attempts": 1}');
SELECT stent.dispatch('context_parent', headers => '{"from": "parent"}') AS id \gset
SELECT stent.dispatch('context_parent_fails') AS id2 \gset
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT t.state, t.result ->> 'execution' = t.id::text AS own_execution, t.headers, t.parent_id
FROM stent.tasks t WHERE t.id = (SELECT result::text::bigint FROM stent.tasks WHERE id = :id);
SELECT count(*) AS lost FROM stent.tasks WHERE queue = 'context_lost';

SELECT stent.discard_many('context_parent_fails');
SELECT count(stent.unregister(name)) FROM stent.functions WHERE name LIKE 'context\_%';
DROP FUNCTION context_f, context_parent, context_parent_fails;
