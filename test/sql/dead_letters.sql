-- A task that failed for good is kept for replay, which keeps its id and its history.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET datestyle = ISO;

CREATE TABLE dead_letters_ok (code text);
CREATE FUNCTION dead_letters_f(code text, big text DEFAULT '') RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM dead_letters_ok k WHERE k.code = dead_letters_f.code) THEN
        RETURN 'fine at attempt ' || stent.attempt();
    END IF;
    RAISE EXCEPTION USING ERRCODE = code, MESSAGE = 'raised ' || code || ' at attempt ' || stent.attempt();
END $$;
CREATE PROCEDURE dead_letters_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT stent.register('dead_letters_f', 'dead_letters_f(text, text)',
                      retry => '{"max_attempts": 2, "initial_delay": "0s"}', tags => '{t}');

SELECT stent.dispatch('dead_letters_f', '{"code": "22012"}', headers => '{"trace": 1}', counters => '{"c": 2}') AS id \gset
CALL dead_letters_run();
SELECT id = :id AS same, id = execution_id AS root, function, queue, state, reason, error_code, attempt, replays, tags, args, headers,
       created_at, died_at FROM stent.dead_letters;

-- replay: ready again under its id; attempts count anew, the history stays
SET stent.clock = '2026-01-01 01:00:00';
SELECT stent.replay(:id) = :id AS same;
SELECT count(*) FROM stent.dead_letters;
SELECT state, queue, attempt, replays, error, created_at, finished_at FROM stent.tasks WHERE id = :id;
CALL dead_letters_run();
SELECT state, attempt, replays FROM stent.tasks WHERE id = :id;
-- without reset_retries there is one attempt; another queue
SET stent.clock = '2026-01-01 02:00:00';
SELECT stent.replay(:id, queue => 'dead_letters_q', reset_retries => false) = :id AS same;
SELECT state, queue, attempt, replays FROM stent.tasks WHERE id = :id;
SELECT stent.run(queues => ARRAY['default']), stent.run();
SELECT state, attempt, replays FROM stent.tasks WHERE id = :id;
INSERT INTO dead_letters_ok VALUES ('22012');
SELECT stent.replay(:id, reset_retries => false) = :id AS same;
CALL dead_letters_run();
SELECT state, queue, attempt, replays, result FROM stent.tasks WHERE id = :id;
SELECT a -> 'replay' AS replay, a -> 'attempt' AS attempt, a ->> 'finished_at' AS finished, a -> 'error' ->> 'message' AS message
FROM jsonb_array_elements(stent.state_of(:id) -> 'attempts') a;
SELECT stent.state_of(:id) -> 'counters' AS counters;

-- only dead letters can be replayed; an id is needed
CREATE FUNCTION dead_letters_try(sql text, id bigint DEFAULT -999) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    code text; msg text;
BEGIN
    EXECUTE sql INTO msg;
    RETURN 'returns ' || coalesce(replace(msg, id::text, 'N'), 'null');
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, msg = MESSAGE_TEXT;
    RETURN code || ': ' || replace(msg, id::text, 'N');
END $$;
SELECT dead_letters_try(format('SELECT stent.replay(%s)', :id), :id);
SELECT dead_letters_try('SELECT stent.replay(-1)');
SELECT dead_letters_try('SELECT stent.replay(NULL)');
SELECT dead_letters_try('SELECT stent.replay(1, reset_retries => NULL)');
SELECT dead_letters_try($$SELECT stent.replay(1, queue => '')$$);
SELECT dead_letters_try(format('SELECT stent.discard(%s)', :id), :id);
SELECT dead_letters_try('SELECT stent.discard(-1)');
SELECT dead_letters_try('SELECT stent.discard(NULL)');
SELECT dead_letters_try('SELECT stent.purge_dead_letters(NULL)');
SELECT dead_letters_try($$SELECT stent.purge_dead_letters('-1s')$$);
SELECT dead_letters_try($$SELECT stent.discard_many('dead_letters_f', older_than => '-1s')$$);
SELECT dead_letters_try($$SELECT stent.discard_many('dead_letters_f', max_tasks => 0)$$);
SELECT dead_letters_try($$SELECT stent.replay_many('dead_letters_f', max_tasks => NULL)$$);
SELECT dead_letters_try($$SELECT stent.replay_many('dead_letters_none')$$);

-- discard: history now, and no dead letter
SELECT stent.dispatch('dead_letters_f', '{"code": "23505"}') AS id \gset
CALL dead_letters_run();
SELECT stent.discard(:id), stent.discard(:id);
SELECT count(*) FROM stent.dead_letters;
SELECT state, error ->> 'code' AS code, finished_at FROM stent.tasks WHERE id = :id;
SELECT dead_letters_try(format('SELECT stent.replay(%s)', :id), :id);
SELECT dead_letters_try(format('SELECT stent.result_of(%s)', :id), :id);

-- a rollback undoes each
SELECT stent.dispatch('dead_letters_f', '{"code": "23505"}') AS id \gset
CALL dead_letters_run();
-- twice in one statement is once too often
SELECT dead_letters_try(format('SELECT stent.replay(%1$s), stent.replay(%1$s)', :id), :id);
BEGIN; SELECT stent.replay(:id) = :id; ROLLBACK;
BEGIN; SELECT stent.discard(:id); ROLLBACK;
BEGIN; SELECT stent.purge_dead_letters('0s') = 0; ROLLBACK;
SELECT state, replays FROM stent.tasks WHERE id = :id;
SELECT count(*) FROM stent.ready;

-- max_duration starts anew with each replay
SELECT stent.discard(:id);
SELECT stent.dispatch('dead_letters_f', '{"code": "23505"}', max_duration => '10m') AS id \gset
CALL dead_letters_run();
SET stent.clock = '2026-01-01 10:00:00';
SELECT stent.replay(:id) = :id AS same;
SELECT state, deadline FROM stent.tasks WHERE id = :id;
CALL dead_letters_run();
SET stent.clock = '2026-01-01 20:00:00';
SELECT stent.replay(:id) = :id AS same;
SELECT state, deadline FROM stent.tasks WHERE id = :id;
SET stent.clock = '2026-01-01 20:10:00';
CALL dead_letters_run();
SELECT state, finished_at FROM stent.tasks WHERE id = :id;

SELECT stent.unregister('dead_letters_f');
DROP TABLE dead_letters_ok;
DROP FUNCTION dead_letters_f, dead_letters_try;
DROP PROCEDURE dead_letters_run;
