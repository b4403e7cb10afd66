-- What suspend() refuses, without changing anything; and who may have what run.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';

CREATE FUNCTION lease_steps_errors_try(sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    code text; msg text; context text;
BEGIN
    EXECUTE sql INTO msg;
    RETURN 'returns ' || coalesce(msg, 'null');
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, msg = MESSAGE_TEXT, context = PG_EXCEPTION_CONTEXT;
    RETURN code || ': ' || regexp_replace(regexp_replace(msg, 'token \d+', 'token N'), 'task \d+', 'task N', 'g')
        || coalesce(' / ' || substring(context FROM 'step -?\d+ of steps'), '');
END $$;
CREATE FUNCTION lease_steps_errors_sql(n int) RETURNS int LANGUAGE sql AS 'SELECT n';
SELECT stent.register('lease_steps_errors_f', max_concurrent => 5);
SELECT stent.register('lease_steps_errors_sql', 'lease_steps_errors_sql(int)');

SELECT stent.dispatch('lease_steps_errors_f') AS id \gset
SELECT stent.dispatch('lease_steps_errors_f') AS stranger \gset
SELECT token FROM stent.claim('w', 1, '{lease_steps_errors_f}') \gset

-- arguments
SELECT lease_steps_errors_try(format('SELECT stent.suspend(%s)', a)) FROM unnest(ARRAY['NULL, 1, ''[]''', '1, NULL, ''[]''', '1, 1, NULL']) a;
SELECT lease_steps_errors_try(format('SELECT count(*) FROM stent.lease_steps(%s)', a)) FROM unnest(ARRAY['NULL, 1', '1, NULL', '9223372036854775807, 1', :'stranger' || ', ' || :'token', :'id' || ', ' || :'token' || ' + 1']) a;
SELECT lease_steps_errors_try(format('SELECT stent.suspend(%s, ''[{"kind": "sleep", "duration": "1s"}]'')', a)) FROM unnest(ARRAY['9223372036854775807, 1', :'stranger' || ', ' || :'token', :'id' || ', ' || :'token' || ' + 1']) a;

-- steps that are none; each names the step and the key
SELECT s AS steps, lease_steps_errors_try(format('SELECT stent.suspend(%s, %s, %L)', :id, :token, s)) AS said FROM unnest(ARRAY[
    '{}', 'null', '1', '"x"', '[1]', '[null]', '[[]]', '[{}]',
    '[{"kind": null}]', '[{"kind": 1}]', '[{"kind": "wait"}]', '[{"kind": "map_query"}]',
    '[{"kind": "sleep"}]', '[{"kind": "sleep", "duration": 5}]', '[{"kind": "sleep", "duration": "5"}]', '[{"kind": "sleep", "duration": "soon"}]', '[{"kind": "sleep", "duration": "-5m"}]',
    '[{"kind": "sleep", "duration": "-1 day"}]', '[{"kind": "sleep", "duration": "37000 days"}]', '[{"kind": "sleep", "duration": "1s", "until": 1}]', '[{"kind": "sleep", "duration": "1s", "name": ""}]',
    '[{"kind": "sleep", "duration": "1s", "name": 1}]', '[{"kind": "sleep", "duration": "1s", "number": 0.5}]', '[{"kind": "sleep", "duration": "1s", "number": 0}]', '[{"kind": "sleep", "duration": "1s", "number": "1"}]',
    '[{"kind": "sleep", "duration": "1s", "number": 2}]', '[{"kind": "sleep", "duration": "1s", "number": 1e30}]',
    '[{"kind": "step"}]', '[{"kind": "step", "name": "s", "result": 1, "error": {"message": "m"}}]', '[{"kind": "step", "name": "s", "error": "m"}]', '[{"kind": "step", "name": "s", "error": {}}]',
    '[{"kind": "step", "name": "s", "error": {"message": "m", "code": ""}}]', '[{"kind": "step", "name": "s", "function": "f"}]',
    '[{"kind": "record", "value": 1}]', '[{"kind": "record", "name": "s", "result": 1}]',
    '[{"kind": "await"}]', '[{"kind": "await", "id": "1"}]', '[{"kind": "await", "id": 0}]', '[{"kind": "await", "id": -1}]', '[{"kind": "await", "id": 1.5}]', '[{"kind": "await", "id": 1e19}]', '[{"kind": "await", "id": [1]}]',
    '[{"kind": "await", "id": 9223372036854775807}]', '[{"kind": "await", "id": {"step": 0}}]', '[{"kind": "record", "name": "r"}, {"kind": "await", "id": {"step": 0}}]', '[{"kind": "record", "name": "r"}, {"kind": "await", "id": {"step": -1}}]',
    '[{"kind": "record", "name": "r"}, {"kind": "await", "id": {"step": 1}}]', '[{"kind": "await", "id": {"step": 0, "x": 1}}]', '[{"kind": "await", "id": 1, "timeout": "-1s"}]', '[{"kind": "await", "id": 1, "timeout": 3}]',
    '[{"kind": "await_all"}]', '[{"kind": "await_all", "ids": 1}]', '[{"kind": "await_all", "ids": {"step": 0}}]', '[{"kind": "await_all", "ids": [null]}]', '[{"kind": "await_all", "ids": ["1"]}]', '[{"kind": "await_all", "ids": [[1]]}]',
    '[{"kind": "await_all", "ids": [9223372036854775807]}]',
    '[{"kind": "signal"}]', '[{"kind": "signal", "name": ""}]', '[{"kind": "signal", "name": "s", "timeout": "-1s"}]', '[{"kind": "signal", "name": "s", "step_name": ""}]',
    '[{"kind": "call"}]', '[{"kind": "call", "function": 1}]', '[{"kind": "call", "function": "lease_steps_errors_none"}]', '[{"kind": "call", "function": "lease_steps_errors_f", "arg": {}}]',
    '[{"kind": "call", "function": "lease_steps_errors_sql"}]', '[{"kind": "call", "function": "lease_steps_errors_sql", "args": {"m": 1}}]', '[{"kind": "call", "function": "lease_steps_errors_sql", "args": 1}]',
    '[{"kind": "call", "function": "lease_steps_errors_f", "queue": ""}]', '[{"kind": "call", "function": "lease_steps_errors_f", "queue": 1}]', '[{"kind": "call", "function": "lease_steps_errors_f", "priority": 101}]',
    '[{"kind": "call", "function": "lease_steps_errors_f", "priority": 0.5}]', '[{"kind": "call", "function": "lease_steps_errors_f", "priority": "1"}]', '[{"kind": "call", "function": "lease_steps_errors_f", "tags": "a"}]',
    '[{"kind": "call", "function": "lease_steps_errors_f", "tags": [1]}]', '[{"kind": "call", "function": "lease_steps_errors_f", "tags": [null]}]', '[{"kind": "call", "function": "lease_steps_errors_f", "tags": [""]}]',
    '[{"kind": "call", "function": "lease_steps_errors_f", "delay": "1s", "run_at": "2030-01-01T00:00:00"}]', '[{"kind": "call", "function": "lease_steps_errors_f", "delay": "-1s"}]', '[{"kind": "call", "function": "lease_steps_errors_f", "run_at": "tomorrow"}]',
    '[{"kind": "call", "function": "lease_steps_errors_f", "run_at": "2030-02-30 00:00:00"}]', '[{"kind": "call", "function": "lease_steps_errors_f", "run_at": "2030-01-01T00:00:00+05"}]', '[{"kind": "call", "function": "lease_steps_errors_f", "run_at": "2030-01-01 00:00:00 Asia/Kathmandu"}]',
    '[{"kind": "call", "function": "lease_steps_errors_f", "run_at": "infinity"}]', '[{"kind": "call", "function": "lease_steps_errors_f", "run_at": 5}]', '[{"kind": "call", "function": "lease_steps_errors_f", "timeout": "x"}]', '[{"kind": "call", "function": "lease_steps_errors_f", "timeout": "-1s"}]',
    '[{"kind": "call", "function": "lease_steps_errors_f", "retry": 3}]', '[{"kind": "call", "function": "lease_steps_errors_f", "retry": {"attempts": 3}}]', '[{"kind": "call", "function": "lease_steps_errors_f", "headers": []}]',
    '[{"kind": "call", "function": "lease_steps_errors_f", "idempotency_key": ""}]', '[{"kind": "call", "function": "lease_steps_errors_f", "concurrency_key": 1}]', '[{"kind": "call", "function": "lease_steps_errors_f", "max_duration": "1h"}]',
    '[{"kind": "spawn", "function": "lease_steps_errors_f", "idempotency_key": "k"}]',
    '[{"kind": "map", "function": "lease_steps_errors_sql"}]', '[{"kind": "map", "function": "lease_steps_errors_sql", "items": {}}]', '[{"kind": "map", "function": "lease_steps_errors_sql", "items": [], "chunk_size": 0}]',
    '[{"kind": "map", "function": "lease_steps_errors_sql", "items": [], "concurrency_limit": 0}]', '[{"kind": "map", "function": "lease_steps_errors_sql", "items": [], "on_error": "stop"}]', '[{"kind": "map", "function": "lease_steps_errors_sql", "items": [], "args": {}}]',
    '[{"kind": "map", "function": "lease_steps_errors_none", "items": []}]', '[{"kind": "map", "items": []}]', '[{"kind": "map", "function": "lease_steps_errors_sql", "items": [], "delay": "1s"}]',
    '[{"kind": "sleep", "duration": "1s"}, {"kind": "record", "name": "r"}]', '[{"kind": "record", "name": "r"}, {"kind": "call", "function": "lease_steps_errors_f"}, {"kind": "sleep", "duration": "1s"}]',
    '[{"kind": "record", "name": "r"}, {"kind": "spawn", "function": "lease_steps_errors_f"}, {"kind": "sleep", "duration": "x"}]']) s;
SELECT lease_steps_errors_try(format('SELECT stent.suspend(%s, %s, %L, %L)', :id, :token, '[{"kind": "sleep", "duration": "1s"}]', '{"n": "x"}'));
SELECT lease_steps_errors_try(format('SELECT stent.suspend(%s, %s, %L, NULL, NULL, %L)', :id, :token, '[{"kind": "spawn", "function": "lease_steps_errors_f"}]', '{"lease_steps_errors_none": 1}'));
-- tasks above it would wait for it for ever
SELECT lease_steps_errors_try(format('SELECT stent.suspend(%s, %s, ''[{"kind": "await", "id": %s}]'')', :id, :token, :id));
-- too large
SET stent.max_payload_size = '64kB';
SELECT lease_steps_errors_try(format('SELECT stent.suspend(%s, %s, jsonb_build_array(%s))', :id, :token, s)) FROM unnest(ARRAY[
    $$jsonb_build_object('kind', 'step', 'name', 's', 'result', repeat('x', 70000))$$, $$jsonb_build_object('kind', 'record', 'name', 's', 'value', repeat('x', 70000))$$,
    $$jsonb_build_object('kind', 'step', 'name', 's', 'error', jsonb_build_object('message', repeat('x', 70000)))$$, $$jsonb_build_object('kind', 'call', 'function', 'lease_steps_errors_f', 'args', jsonb_build_object('a', repeat('x', 70000)))$$]) s;
RESET stent.max_payload_size;
-- nothing was changed: the token holds, there are no steps, no children
SELECT stent.heartbeat_many(ARRAY[:id], ARRAY[:token]);
SELECT count(*) FROM stent.lease_steps(:id, :token);
SELECT count(*) FROM stent.tasks WHERE parent_id = :id;
SELECT count(*) AS places FROM stent.place;

-- in a handler it has no place
CREATE FUNCTION lease_steps_errors_in(id bigint, token bigint) RETURNS text[] LANGUAGE sql AS $$
    SELECT ARRAY[lease_steps_errors_try(format('SELECT count(*) FROM stent.lease_steps(%s, %s)', id, token)), lease_steps_errors_try(format('SELECT stent.suspend(%s, %s, ''[{"kind": "sleep", "duration": "1s"}]'')', id, token))] $$;
SELECT stent.register('lease_steps_errors_in', 'lease_steps_errors_in(bigint, bigint)');
SELECT stent.dispatch('lease_steps_errors_in', jsonb_build_object('id', :id, 'token', :token)) AS inside \gset
SELECT stent.run();
SELECT jsonb_pretty(stent.result_of(:inside));

-- a worker that may not act for the role that dispatched the task
CREATE ROLE regress_stent_steps_app LOGIN;
CREATE ROLE regress_stent_steps_worker LOGIN;
SELECT stent.grant_usage('regress_stent_steps_app'), stent.grant_usage('regress_stent_steps_worker', 'worker');
GRANT EXECUTE ON FUNCTION lease_steps_errors_try(text) TO PUBLIC;
SET SESSION AUTHORIZATION regress_stent_steps_app;
SELECT stent.dispatch('lease_steps_errors_f', queue => 'lease_steps_errors') AS id \gset
SELECT stent.dispatch('lease_steps_errors_f') AS mine \gset
SET SESSION AUTHORIZATION regress_stent_steps_worker;
SELECT token FROM stent.claim('w', 1, NULL, '{lease_steps_errors}') \gset
SELECT lease_steps_errors_try(format('SELECT stent.suspend(%s, %s, ''[{"kind": "call", "function": "lease_steps_errors_sql", "args": {"n": 1}}]'')', :id, :token));
SELECT lease_steps_errors_try(format('SELECT stent.suspend(%s, %s, ''[{"kind": "map", "function": "lease_steps_errors_sql", "items": [{"n": 1}]}]'')', :id, :token));
SELECT lease_steps_errors_try(format('SELECT stent.suspend(%s, %s, ''[{"kind": "await", "id": %s}]'')', :id, :token, :mine));
SELECT lease_steps_errors_try(format('SELECT stent.suspend(%s, %s, ''[{"kind": "await", "id": %s}]'')', :id, :token, :stranger));
SELECT current_user;
SELECT stent.suspend(:id, :token, '[{"kind": "spawn", "function": "lease_steps_errors_f"}, {"kind": "await", "id": {"step": 0}, "timeout": "1s"}]');
SET SESSION AUTHORIZATION regress_stent_steps_app;
SELECT parent_id = :id AS child, state FROM stent.tasks WHERE id > :id AND function = 'lease_steps_errors_f' ORDER BY id;
RESET SESSION AUTHORIZATION;
SELECT id > :mine AS child, role FROM stent.tasks WHERE id >= :id AND function = 'lease_steps_errors_f' ORDER BY id;
-- one that may
GRANT regress_stent_steps_app TO regress_stent_steps_worker;
SET stent.clock = '2026-01-01 00:00:01';
SET SESSION AUTHORIZATION regress_stent_steps_worker;
SELECT token FROM stent.claim('w', 1, NULL, '{lease_steps_errors}') \gset
SELECT stent.suspend(:id, :token, '[{"kind": "call", "function": "lease_steps_errors_sql", "args": {"n": 1}}]');
SET SESSION AUTHORIZATION regress_stent_steps_app;
SELECT stent.run();
SET SESSION AUTHORIZATION regress_stent_steps_worker;
SELECT token FROM stent.claim('w', 1, NULL, '{lease_steps_errors}') \gset
SELECT kind, state, result FROM stent.lease_steps(:id, :token);
SELECT stent.suspend(:id, :token, format('[{"kind": "await", "id": %s}]', :mine)::jsonb);
RESET SESSION AUTHORIZATION;
SELECT count(stent.cancel(id)) FROM stent.tasks WHERE function LIKE 'lease\_steps\_errors%' AND finished_at IS NULL;
SET stent.clock = '2026-06-01 00:00:00';
SELECT count(*) FROM stent.claim('w', 1, '{none}');
SELECT (SELECT count(*) FROM stent.lease) AS leases, (SELECT count(*) FROM stent.due WHERE kind = 'l') AS due;
DROP OWNED BY regress_stent_steps_app, regress_stent_steps_worker;
DROP ROLE regress_stent_steps_app, regress_stent_steps_worker;
SELECT count(stent.unregister(name)) FROM stent.functions WHERE name LIKE 'lease\_steps%';
