-- cancel: tasks in every state, what they leave behind, rollback, who may.
\set VERBOSITY terse
SET stent.batch_time = '60s';
CREATE ROLE cancel_app LOGIN;
CREATE ROLE cancel_app2 LOGIN;
CREATE ROLE cancel_admin LOGIN;
SELECT stent.grant_usage('cancel_app'), stent.grant_usage('cancel_app2'), stent.grant_usage('cancel_admin', 'admin');

CREATE TABLE cancel_effect (id bigint);
GRANT ALL ON cancel_effect TO PUBLIC;
CREATE FUNCTION cancel_f(code text DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO cancel_effect VALUES (stent.task_id());
    IF code IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = code;
    END IF;
    RETURN 'done';
END $$;
CREATE FUNCTION cancel_in_handler(id bigint DEFAULT NULL, fail boolean DEFAULT false) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    cancelled boolean := stent.cancel(coalesce(id, stent.task_id()));
BEGIN
    IF fail THEN
        RAISE EXCEPTION 'after cancelling';
    END IF;
    RETURN cancelled;
END $$;
-- tells the result or the error, without ids
CREATE FUNCTION cancel_try(id bigint, call text DEFAULT 'stent.cancel($1)') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    code text; msg text; detail text; hint text; result text;
BEGIN
    EXECUTE 'SELECT ' || call INTO result USING id;
    RETURN result;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, msg = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN regexp_replace(concat_ws(E'\n', code || ': ' || msg, 'DETAIL: ' || nullif(detail, ''), 'HINT: ' || nullif(hint, '')), '([Tt]ask) \d+', '\1 N', 'g');
END $$;
-- what of the task is left where
CREATE VIEW cancel_traces AS
SELECT t.id, t.state, t.attempt, t.error ->> 'code' AS code, t.error ->> 'message' AS message,
       (SELECT count(*) FROM stent.ready r WHERE r.task_id = t.id) AS ready,
       (SELECT string_agg(d.kind, '' ORDER BY d.kind) FROM stent.due d WHERE d.task_id = t.id) AS due,
       (SELECT count(*) FROM stent.dedup d WHERE d.task_id = t.id) AS keys
FROM stent.tasks t;
SELECT stent.register('cancel_f', 'cancel_f(text)', retry => '{"max_attempts": 2, "initial_delay": "1h", "max_delay": "1h"}');
SELECT stent.register('cancel_in_handler', 'cancel_in_handler(bigint, boolean)', retry => '{"max_attempts": 1}');

-- ready, with all that a live task may have
SELECT stent.dispatch('cancel_f', dedup_key => 'k', max_duration => '1h') AS id \gset
SELECT state, ready, due, keys FROM cancel_traces WHERE id = :id;
SELECT stent.cancel(:id);
SELECT state, attempt, code, message, ready, due, keys FROM cancel_traces WHERE id = :id;
SELECT stent.cancel(:id) AS again;
SELECT cancel_try(:id, 'stent.result_of($1)');
SELECT cancel_try(:id, 'stent.wait_for($1)');
SELECT stent.state_of(:id) -> 'error' AS error, stent.state_of(:id) -> 'attempts' AS attempts, stent.state_of(:id) ->> 'started_at' AS started_at;
SELECT finished_at >= created_at AS finished FROM stent.tasks WHERE id = :id;
-- its dedup key is free again
SELECT stent.dispatch('cancel_f', dedup_key => 'k', delay => '1h', max_duration => '1h') <> :id AS another;

-- scheduled
SELECT id FROM stent.tasks WHERE dedup_key = 'k' AND state = 'scheduled' \gset
SELECT state, ready, due, keys FROM cancel_traces WHERE id = :id;
SELECT stent.cancel(:id);
SELECT state, attempt, code, message, ready, due, keys FROM cancel_traces WHERE id = :id;

-- waiting for a retry
SELECT stent.dispatch('cancel_f', '{"code": "22012"}') AS id \gset
SELECT stent.run();
SELECT state, attempt, code, due FROM cancel_traces WHERE id = :id;
SELECT stent.cancel(:id);
SELECT state, attempt, code, due, jsonb_array_length(stent.state_of(id) -> 'attempts') AS attempts FROM cancel_traces WHERE id = :id;

-- finished: a no-op
SELECT stent.dispatch('cancel_f') AS done, stent.dispatch('cancel_f', '{"code": "22012"}', retry => '{"max_attempts": 1}') AS failed,
       stent.dispatch('cancel_f', max_duration => '1 microsecond') AS late \gset
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT stent.cancel(:done), stent.cancel(:failed), stent.cancel(:late);
SELECT state, count(*) FROM stent.tasks WHERE id IN (:done, :failed, :late) GROUP BY state ORDER BY state;
-- alive again, it can be cancelled
SELECT stent.replay(:failed) = :failed AS replayed;
SELECT stent.cancel(:failed);
SELECT state, code FROM cancel_traces WHERE id = :failed;
SELECT count(*) AS dead FROM stent.dead_letters WHERE id = :failed;

-- unknown, NULL, read-only
SELECT cancel_try(-5);
SELECT cancel_try(NULL);
BEGIN READ ONLY;
SELECT stent.cancel(:done);
ROLLBACK;

-- final once committed, not before
SELECT stent.dispatch('cancel_f', dedup_key => 'r', max_duration => '1h') AS id, stent.dispatch('cancel_f', delay => '1h') AS later \gset
BEGIN;
SELECT stent.cancel(:id), stent.cancel(:later);
SELECT stent.run() AS nothing_left;
SELECT stent.cancel(:id) AS again;
SELECT state FROM stent.tasks WHERE id IN (:id, :later);
ROLLBACK;
SELECT state, ready, due, keys FROM cancel_traces WHERE id IN (:id, :later) ORDER BY id;
BEGIN;
SAVEPOINT s;
SELECT stent.cancel(:id);
ROLLBACK TO s;
SELECT stent.run() AS runs_after_all;
COMMIT;
SELECT state FROM stent.tasks WHERE id = :id;
SELECT stent.cancel(:later);

-- in the transaction that dispatched it, or ran it
BEGIN;
SELECT stent.dispatch('cancel_f') AS id, stent.dispatch('cancel_f') AS id2 \gset
SELECT stent.cancel(:id);
SELECT stent.run();
SELECT stent.cancel(:id2);
COMMIT;
SELECT id = :id AS first, state FROM stent.tasks WHERE id IN (:id, :id2) ORDER BY id;

-- whatever the isolation level, the newest state decides
SELECT stent.dispatch('cancel_f') AS id, stent.dispatch('cancel_f') AS id2 \gset
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT stent.cancel(:id);
SELECT stent.cancel(:id), stent.cancel(:done);
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT stent.cancel(:id2);
SELECT stent.cancel(:id2), stent.cancel(:id);
COMMIT;
SELECT state FROM stent.tasks WHERE id IN (:id, :id2);

-- by handlers: others, in their own transaction; not themselves
SELECT stent.dispatch('cancel_f', delay => '1h') AS other, stent.dispatch('cancel_f', delay => '1h') AS other2 \gset
SELECT stent.dispatch('cancel_in_handler', jsonb_build_object('id', :other)) AS id,
       stent.dispatch('cancel_in_handler', jsonb_build_object('id', :other2, 'fail', true)) AS id2,
       stent.dispatch('cancel_in_handler') AS id3, stent.dispatch('cancel_in_handler', jsonb_build_object('id', :done)) AS id4 \gset
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT stent.result_of(:id) AS other, stent.result_of(:id4) AS finished;
SELECT cancel_try(:id3, 'stent.result_of($1)');
SELECT state FROM stent.tasks WHERE id IN (:other, :other2) ORDER BY id;
SELECT stent.cancel(:other2);
-- one that this very batch would have run next, read ahead already
SELECT stent.dispatch('cancel_in_handler', '{}', priority => 1) AS id \gset
SELECT stent.dispatch('cancel_f') AS other \gset
UPDATE stent.task SET args = jsonb_build_object('id', :other) WHERE id = :id;
SELECT stent.run();
SELECT state FROM stent.tasks WHERE id IN (:id, :other) ORDER BY id;

-- one's own, or as an admin
SELECT stent.register('cancel_f', 'cancel_f(text)');
SET SESSION AUTHORIZATION cancel_app;
SELECT stent.dispatch('cancel_f') AS id, stent.dispatch('cancel_f') AS id2 \gset
SET SESSION AUTHORIZATION cancel_app2;
SELECT cancel_try(:id);
SET SESSION AUTHORIZATION cancel_app;
SELECT stent.cancel(:id);
SET SESSION AUTHORIZATION cancel_app2;
SELECT cancel_try(:id);
SET SESSION AUTHORIZATION cancel_admin;
SELECT stent.cancel(:id2), stent.cancel(:id);
SET SESSION AUTHORIZATION cancel_app;
SELECT cancel_try(:id2, 'stent.result_of($1)');
RESET SESSION AUTHORIZATION;

-- nothing of a cancelled task has happened, and nothing is left of it
SELECT count(*) AS effects FROM cancel_effect WHERE id IN (SELECT id FROM stent.tasks WHERE state = 'cancelled');
SELECT count(*) AS live FROM stent.tasks WHERE function LIKE 'cancel\_%' AND finished_at IS NULL;
SELECT count(*) AS entries FROM (SELECT task_id FROM stent.ready UNION ALL SELECT task_id FROM stent.due UNION ALL SELECT task_id FROM stent.dedup) e
WHERE NOT EXISTS (SELECT FROM stent.task t WHERE t.id = e.task_id);

SELECT count(*) AS discarded FROM (SELECT stent.discard(id) FROM stent.dead_letters WHERE function LIKE 'cancel\_%') d;
SELECT count(stent.unregister(name)) FROM stent.functions WHERE name LIKE 'cancel\_%';
DROP VIEW cancel_traces;
DROP FUNCTION cancel_f, cancel_in_handler, cancel_try;
DROP TABLE cancel_effect;
DROP OWNED BY cancel_app, cancel_app2, cancel_admin;
DROP ROLE cancel_app, cancel_app2, cancel_admin;
