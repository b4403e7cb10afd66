-- Steps of leased tasks over several attempts, and what else may end a suspended task.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';

CREATE FUNCTION lease_steps_attempts_try(sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    code text; msg text;
BEGIN
    EXECUTE sql INTO msg;
    RETURN 'returns ' || coalesce(msg, 'null');
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, msg = MESSAGE_TEXT;
    RETURN code || ': ' || regexp_replace(regexp_replace(msg, 'token \d+', 'token N'), 'task \d+', 'task N', 'g');
END $$;
CREATE FUNCTION lease_steps_attempts_echo(v int) RETURNS int LANGUAGE sql AS 'SELECT v';
CREATE FUNCTION lease_steps_attempts_break() RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE division_by_zero; END $$;
CREATE FUNCTION lease_steps_attempts_again(OUT id bigint, OUT token bigint, OUT attempt int) LANGUAGE sql AS $$ SELECT task_id, token, attempt FROM stent.claim('w', 1, '{lease_steps_attempts_f}') $$;
CREATE FUNCTION lease_steps_attempts_list(id bigint, token bigint, OUT "position" int, OUT number int, OUT name text, OUT kind text, OUT function text, OUT state text, OUT value jsonb) RETURNS SETOF record LANGUAGE sql AS $$
    SELECT position, number, name, kind, function, state, coalesce(result, error -> 'message') FROM stent.lease_steps(id, token) $$;
SELECT stent.register('lease_steps_attempts_f', retry => '{"max_attempts": 5, "initial_delay": "0s", "jitter": 0}', max_concurrent => 1);
SELECT stent.register('lease_steps_attempts_external');
SELECT stent.register('lease_steps_attempts_echo', 'lease_steps_attempts_echo(int)');
SELECT stent.register('lease_steps_attempts_break', 'lease_steps_attempts_break()', retry => '{"max_attempts": 1}');

-- a new attempt keeps what has succeeded and forgets what has failed
SELECT stent.dispatch('lease_steps_attempts_f') AS root \gset
SELECT * FROM lease_steps_attempts_again() \gset
SELECT stent.suspend(:id, :token, '[{"kind": "step", "name": "own", "error": {"message": "first try"}}, {"kind": "record", "name": "kept", "value": 1}, {"kind": "call", "function": "lease_steps_attempts_break"}]');
-- a suspended task holds no place: another one may run
SELECT stent.dispatch('lease_steps_attempts_f', '{"other": true}') AS other \gset
SELECT * FROM lease_steps_attempts_again() \gset other_
SELECT :other_id = :other AS other;
SELECT stent.complete(:other_id, :other_token);
SELECT stent.run();
SELECT * FROM lease_steps_attempts_again() \gset
SELECT * FROM lease_steps_attempts_list(:id, :token);
-- the handler catches that and goes on another way; then it fails
SELECT stent.suspend(:id, :token, '[{"kind": "call", "function": "lease_steps_attempts_echo", "args": {"v": 1}}]');
SELECT stent.run();
SELECT * FROM lease_steps_attempts_again() \gset
SELECT * FROM lease_steps_attempts_list(:id, :token);
-- a number must not leave one out, nor be taken; names count for themselves
SELECT s AS step, lease_steps_attempts_try(format('SELECT stent.suspend(%s, %s, %L)', :id, :token, s)) FROM unnest(ARRAY[
    '[{"kind": "sleep", "duration": "0s", "number": 4}]', '[{"kind": "sleep", "duration": "0s", "number": 2}]', '[{"kind": "call", "function": "lease_steps_attempts_echo", "args": {"v": 1}, "number": 2}]',
    '[{"kind": "record", "name": "kept", "value": 2, "number": 1}]', '[{"kind": "record", "name": "kept", "value": 2, "number": 3}]', '[{"kind": "record", "name": "new", "value": 2, "number": 2}]']) s;
SELECT stent.fail(:id, :token, '{"message": "so far"}');
SELECT * FROM lease_steps_attempts_again() \gset
SELECT :attempt AS attempt;
SELECT * FROM lease_steps_attempts_list(:id, :token);
-- the failed ones are made anew, without a number in the order they had; what came after may then be another
SELECT lease_steps_attempts_try(format('SELECT stent.suspend(%s, %s, %L)', :id, :token, '[{"kind": "sleep", "duration": "0s", "number": 3}]'));
SELECT stent.suspend(:id, :token, '[{"kind": "step", "name": "own", "result": "second try"}, {"kind": "sleep", "duration": "0s"}]');
SELECT * FROM lease_steps_attempts_again() \gset
SELECT * FROM lease_steps_attempts_list(:id, :token);
SELECT lease_steps_attempts_try(format('SELECT stent.suspend(%s, %s, %L)', :id, :token, '[{"kind": "sleep", "duration": "0s", "number": 1}]'));
SELECT stent.suspend(:id, :token, '[{"kind": "call", "function": "lease_steps_attempts_echo", "args": {"v": 2}, "number": 2}]');
SELECT stent.run();
SELECT * FROM lease_steps_attempts_again() \gset
SELECT :attempt AS attempt;
SELECT * FROM lease_steps_attempts_list(:id, :token);

-- a lost lease and a release spend no attempt; steps of this attempt stay, also failed ones
SELECT stent.suspend(:id, :token, '[{"kind": "call", "function": "lease_steps_attempts_break"}]');
SELECT stent.run();
SELECT * FROM lease_steps_attempts_again() \gset
SELECT count(*) FROM lease_steps_attempts_list(:id, :token) WHERE state = 'failed';
SELECT stent.release(:id, :token);
SELECT * FROM lease_steps_attempts_again() \gset
SET stent.clock = '2026-01-01 01:00:00';
SELECT :id AS id, :token AS token \gset old_
SELECT * FROM lease_steps_attempts_again() \gset
SELECT :attempt AS attempt, :token <> :old_token AS another;
SELECT lease_steps_attempts_try(format('SELECT count(*) FROM stent.lease_steps(%s, %s)', :old_id, :old_token)), lease_steps_attempts_try(format('SELECT stent.suspend(%s, %s, %L)', :old_id, :old_token, '[{"kind": "sleep", "duration": "1s"}]'));
SELECT count(*) FROM lease_steps_attempts_list(:id, :token) WHERE state = 'failed';
-- several tasks of one lease: one is suspended, the others stay
SELECT stent.suspend(:id, :token, '[{"kind": "sleep", "duration": "0s"}]');
SELECT stent.complete(id, token) FROM lease_steps_attempts_again();
SELECT count(stent.dispatch('lease_steps_attempts_external', jsonb_build_object('n', n))) FROM generate_series(1, 3) n;
SELECT min(task_id) AS id, max(token) AS token FROM stent.claim('w', 3, '{lease_steps_attempts_external}') \gset
SELECT stent.suspend(:id + 1, :token, '[{"kind": "sleep", "duration": "1h"}]');
SELECT stent.heartbeat_many(ARRAY[:id, :id + 1, :id + 2], ARRAY[:token, :token, :token]);
SET stent.clock = '2026-01-01 02:00:00';
SELECT args, token <> :token AS another, attempt FROM stent.claim('w', 3, '{lease_steps_attempts_external}') ORDER BY task_id;
SELECT count(stent.cancel(id)) FROM stent.tasks WHERE function LIKE 'lease\_steps\_attempts%' AND finished_at IS NULL;

-- cancellation ends a suspended task and its children, and one that is claimed again
SELECT stent.dispatch('lease_steps_attempts_f') AS root \gset
SELECT * FROM lease_steps_attempts_again() \gset
SELECT stent.suspend(:id, :token, '[{"kind": "spawn", "function": "lease_steps_attempts_external"}, {"kind": "call", "function": "lease_steps_attempts_external"}]');
SELECT stent.cancel(:root);
SELECT state, parent_id IS NULL AS root, count(*) FROM stent.tasks WHERE execution_id = :root GROUP BY 1, 2 ORDER BY 2;
SELECT * FROM lease_steps_attempts_again();
SELECT stent.dispatch('lease_steps_attempts_f') AS root \gset
SELECT * FROM lease_steps_attempts_again() \gset
SELECT stent.cancel(:root);
SELECT lease_steps_attempts_try(format('SELECT stent.suspend(%s, %s, %L)', :id, :token, '[{"kind": "sleep", "duration": "1s"}]')), lease_steps_attempts_try(format('SELECT count(*) FROM stent.lease_steps(%s, %s)', :id, :token));

-- so does the deadline, of one that waits, and of one that is to wait
SELECT stent.dispatch('lease_steps_attempts_f', max_duration => '1 minute') AS root \gset
SELECT * FROM lease_steps_attempts_again() \gset
SELECT stent.suspend(:id, :token, '[{"kind": "call", "function": "lease_steps_attempts_external"}]');
SET stent.clock = '2026-01-01 02:01:00';
SELECT * FROM lease_steps_attempts_again();
SELECT state, parent_id IS NULL AS root, count(*) FROM stent.tasks WHERE execution_id = :root GROUP BY 1, 2 ORDER BY 2;
SELECT stent.dispatch('lease_steps_attempts_f', max_duration => '1 minute') AS root \gset
SELECT * FROM lease_steps_attempts_again() \gset
SET stent.clock = '2026-01-01 02:02:00';
SELECT stent.suspend(:id, :token, '[{"kind": "spawn", "function": "lease_steps_attempts_external"}]');
SELECT state, count(*) FROM stent.tasks WHERE execution_id = :root GROUP BY 1;

-- a child that a worker suspends
CREATE FUNCTION lease_steps_attempts_parent() RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    RETURN jsonb_build_array('parent', stent.call('lease_steps_attempts_f'));
END $$;
SELECT stent.register('lease_steps_attempts_parent', 'lease_steps_attempts_parent()');
SELECT stent.dispatch('lease_steps_attempts_parent') AS root \gset
SELECT stent.run();
SELECT * FROM lease_steps_attempts_again() \gset
SELECT stent.suspend(:id, :token, '[{"kind": "call", "function": "lease_steps_attempts_echo", "args": {"v": 9}}]');
SELECT stent.run();
SELECT * FROM lease_steps_attempts_again() \gset
SELECT stent.complete(:id, :token, value) FROM lease_steps_attempts_list(:id, :token);
SELECT stent.run();
SELECT stent.result_of(:root);
-- one that waits for what is above it
SELECT stent.dispatch('lease_steps_attempts_parent') AS root \gset
SELECT stent.run();
SELECT * FROM lease_steps_attempts_again() \gset
SELECT lease_steps_attempts_try(format('SELECT stent.suspend(%s, %s, ''[{"kind": "await", "id": %s}]'')', :id, :token, :root));
SELECT stent.cancel(:root);
-- a task that is replayed begins with what its attempts had made
SELECT stent.dispatch('lease_steps_attempts_f', retry => '{"max_attempts": 1}') AS root \gset
SELECT * FROM lease_steps_attempts_again() \gset
SELECT stent.suspend(:id, :token, '[{"kind": "record", "name": "kept", "value": 1}, {"kind": "sleep", "duration": "0s"}]');
SELECT * FROM lease_steps_attempts_again() \gset
SELECT stent.fail(:id, :token, '{"message": "dead"}');
SELECT stent.replay(:root) = :root AS same;
SELECT * FROM lease_steps_attempts_again() \gset
SELECT * FROM lease_steps_attempts_list(:id, :token);
SELECT stent.complete(:id, :token);
SELECT (SELECT count(*) FROM stent.place) AS places, (SELECT count(*) FROM stent.waiter) AS waiters;
SELECT count(stent.cancel(id)) FROM stent.tasks WHERE function LIKE 'lease\_steps\_attempts%' AND finished_at IS NULL;
SET stent.clock = '2026-06-01 00:00:00';
SELECT count(*) FROM stent.claim('w', 1, '{none}');
SELECT (SELECT count(*) FROM stent.lease) AS leases, (SELECT count(*) FROM stent.due WHERE kind = 'l') AS due;
SELECT count(stent.unregister(name)) FROM stent.functions WHERE name LIKE 'lease\_steps%';
