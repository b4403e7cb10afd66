-- lease_steps() and suspend(): a worker's handler as an orchestrator, step by step.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';

CREATE FUNCTION lease_steps_double(n int) RETURNS int LANGUAGE sql AS 'SELECT n * 2';
CREATE FUNCTION lease_steps_break(message text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'XY123', MESSAGE = message, DETAIL = 'why', HINT = 'what to do';
END $$;
SELECT stent.register('lease_steps_f');
SELECT stent.register('lease_steps_external');
SELECT stent.register('lease_steps_double', 'lease_steps_double(int)');
SELECT stent.register('lease_steps_break', 'lease_steps_break(text)', retry => '{"max_attempts": 1}');

-- what nobody has suspended has no steps
SELECT stent.dispatch('lease_steps_f', '{"order": 1}') AS root \gset
SELECT task_id AS id, token, attempt, args FROM stent.claim('w', 1, '{lease_steps_f}') \gset
SELECT :attempt AS attempt, :'args' AS args;
SELECT * FROM stent.lease_steps(:id, :token);

-- what the worker has done itself, a child that nobody waits for, and one that it waits for
SELECT stent.suspend(:id, :token, '[
    {"kind": "step", "name": "reserve", "result": {"seat": 7}},
    {"kind": "step", "name": "mail", "error": {"code": "SMTPError", "message": "no such box", "host": "mx"}},
    {"kind": "step", "name": "nothing"},
    {"kind": "record", "name": "dice", "value": 4},
    {"kind": "record", "name": "dice", "value": null},
    {"kind": "spawn", "function": "lease_steps_external", "args": {"n": 1}, "name": "aside", "priority": 7, "queue": "q", "tags": ["b", "a"], "delay": "1h30m", "timeout": "00:05:00", "retry": {"max_attempts": 9}, "headers": {"h": 1}, "concurrency_key": "k"},
    {"kind": "call", "function": "lease_steps_double", "args": {"n": 21}}]');
SELECT state, attempt FROM stent.tasks WHERE id = :root;
SELECT function, state, queue, priority, args, headers, due_at, execution_id = :root AS same, parent_id = :root AS child FROM stent.tasks WHERE parent_id = :root ORDER BY id;
SELECT tags, timeout, concurrency_key, (p.policy ->> 'max_attempts') AS max_attempts FROM stent.task t JOIN stent.lane l ON l.id = t.lane_id JOIN stent.retry_policy p ON p.id = t.policy_id WHERE parent_id = :root ORDER BY t.id;
-- the lease is over
SELECT stent.heartbeat_many(ARRAY[:id], ARRAY[:token]);
SELECT count(*) FROM stent.lease WHERE token = :token;
SELECT count(*) FROM stent.claim('w', 1, '{lease_steps_f}');
SET stent.clock = '2026-01-01 00:01:00';
SELECT stent.run();
SELECT task_id AS id, token, attempt FROM stent.claim('w', 1, '{lease_steps_f}') \gset
SELECT :attempt AS attempt, :id = :root AS same;
SELECT position, number, name, kind, function, state, task_id > :root AS child, result, error, created_at, finished_at FROM stent.lease_steps(:id, :token);
-- the same again
SET stent.clock = '2026-01-01 00:02:00';
SELECT position, number, name, kind, function, state, task_id > :root AS child, result, error, created_at, finished_at FROM stent.lease_steps(:id, :token);

-- waits: for a time
CREATE FUNCTION lease_steps_again(OUT id bigint, OUT token bigint) LANGUAGE sql AS $$ SELECT task_id, token FROM stent.claim('w', 1, '{lease_steps_f}') $$;
CREATE FUNCTION lease_steps_last(id bigint, token bigint, OUT number int, OUT kind text, OUT state text, OUT result jsonb, OUT error jsonb, OUT finished_at timestamp) LANGUAGE sql AS $$
    SELECT number, kind, state, result, error - 'context', finished_at FROM stent.lease_steps(id, token) ORDER BY position DESC LIMIT 1 $$;
SELECT stent.suspend(:id, :token, '[{"kind": "sleep", "duration": "1 month"}]');
SET stent.clock = '2026-02-01 00:01:59.999999';
SELECT * FROM lease_steps_again();
SET stent.clock = '2026-02-01 00:02:00';
SELECT * FROM lease_steps_again() \gset
SELECT * FROM lease_steps_last(:id, :token);
SELECT stent.suspend(:id, :token, '[{"kind": "sleep", "duration": "0s"}]');
SELECT * FROM lease_steps_again() \gset
SELECT * FROM lease_steps_last(:id, :token);

-- for a child that fails
SELECT stent.suspend(:id, :token, '[{"kind": "call", "function": "lease_steps_break", "args": {"message": "broken"}}]');
SELECT stent.run();
SELECT * FROM lease_steps_again() \gset
SELECT * FROM lease_steps_last(:id, :token);
-- for one that is cancelled
SELECT stent.suspend(:id, :token, '[{"kind": "call", "function": "lease_steps_external"}]');
SELECT stent.cancel(max(id)) FROM stent.tasks WHERE parent_id = :root;
SELECT * FROM lease_steps_again() \gset
SELECT number, kind, state, result, error - 'detail' AS error FROM lease_steps_last(:id, :token);

-- for tasks by their ids: children made just now, and others; some have finished already
SELECT stent.dispatch('lease_steps_double', '{"n": 100}') AS done \gset
SELECT stent.run();
SELECT stent.dispatch('lease_steps_external') AS other \gset
SELECT stent.suspend(:id, :token, format('[{"kind": "spawn", "function": "lease_steps_double", "args": {"n": 1}}, {"kind": "spawn", "function": "lease_steps_double", "args": {"n": 2}},
    {"kind": "await_all", "ids": [{"step": 1}, %s, {"step": 0}, %s, %1$s]}]', :done, :other)::jsonb);
SELECT stent.run();
SELECT * FROM lease_steps_again();
SELECT count(*) FROM stent.waiter;
SELECT stent.complete(task_id, token, '{"deep": [null]}') FROM stent.claim('w', 1, '{lease_steps_external}', '{default}');
SELECT * FROM lease_steps_again() \gset
SELECT * FROM lease_steps_last(:id, :token);
SELECT count(*) FROM stent.waiter;
-- what is there already need not be waited for
SELECT stent.suspend(:id, :token, format('[{"kind": "await", "id": %s}]', :done)::jsonb);
SELECT * FROM lease_steps_again() \gset
SELECT * FROM lease_steps_last(:id, :token);
SELECT stent.suspend(:id, :token, '[{"kind": "await_all", "ids": []}]');
SELECT * FROM lease_steps_again() \gset
SELECT * FROM lease_steps_last(:id, :token);
-- the first of many that fails ends the wait
SELECT stent.suspend(:id, :token, '[{"kind": "spawn", "function": "lease_steps_external"}, {"kind": "spawn", "function": "lease_steps_break", "args": {"message": "one of many"}}, {"kind": "await_all", "ids": [{"step": 0}, {"step": 1}]}]');
SELECT stent.run();
SELECT * FROM lease_steps_again() \gset
SELECT number, kind, state, error ->> 'code' AS code, error ->> 'message' AS message, (error ->> 'detail')::jsonb -> 'index' AS index FROM lease_steps_last(:id, :token);
-- one that failed and was replayed meanwhile: the task was woken without need, and waits on
SELECT stent.suspend(:id, :token, '[{"kind": "spawn", "function": "lease_steps_break", "args": {"message": "again"}}, {"kind": "await_all", "ids": [{"step": 0}]}]');
BEGIN;
SELECT stent.run();
SELECT stent.replay(max(id)) IS NOT NULL AS replayed FROM stent.dead_letters WHERE function = 'lease_steps_break';
COMMIT;
SELECT * FROM lease_steps_again() \gset
SELECT * FROM lease_steps_last(:id, :token);
SELECT stent.suspend(:id, :token, '[]');
SELECT * FROM lease_steps_again();
SELECT stent.run();
SELECT * FROM lease_steps_again() \gset
SELECT number, kind, state, error ->> 'message' AS message FROM lease_steps_last(:id, :token);
-- with nothing to wait for it is ready
SELECT stent.suspend(:id, :token, '[]');
SELECT * FROM lease_steps_again() \gset
-- a wait that runs out; what it was for goes on
SELECT stent.suspend(:id, :token, '[{"kind": "spawn", "function": "lease_steps_external", "args": {"n": 2}}, {"kind": "await", "id": {"step": 0}, "timeout": "10s"}]');
SET stent.clock = '2026-02-01 00:02:10';
SELECT * FROM lease_steps_again() \gset
SELECT * FROM lease_steps_last(:id, :token);
SELECT count(*) FROM stent.tasks WHERE parent_id = :root AND state = 'ready' AND args = '{"n": 2}';

-- for signals: before and during the wait, the latest value; the second wait is for a newer one
SELECT stent.signal(:root, 'go', '1'), stent.signal(:root, 'go', '2');
SELECT stent.suspend(:id, :token, '[{"kind": "signal", "name": "go"}]');
SELECT * FROM lease_steps_again() \gset
SELECT * FROM lease_steps_last(:id, :token);
SELECT stent.suspend(:id, :token, '[{"kind": "signal", "name": "go", "timeout": "1h"}]');
SELECT stent.signal(:root, 'other', '0');
SELECT * FROM lease_steps_again();
SELECT stent.signal(:root, 'go', '3'), stent.signal(:root, 'go', '4');
SELECT * FROM lease_steps_again() \gset
SELECT * FROM lease_steps_last(:id, :token);
SELECT stent.suspend(:id, :token, '[{"kind": "signal", "name": "go", "timeout": "1h", "step_name": "approval"}]');
SET stent.clock = '2026-02-01 01:02:10';
SELECT * FROM lease_steps_again() \gset
SELECT * FROM lease_steps_last(:id, :token);
SELECT name, number FROM stent.lease_steps(:id, :token) WHERE kind = 'signal';

-- effects go along; what does not block makes the task ready at once
SELECT stent.shared_set('lease_steps', '1');
SELECT stent.suspend(:id, :token, '[{"kind": "step", "name": "one", "result": 1}]', '{"n": 2}', '{"k": "v"}', '{"lease_steps": 5}', '[{"step": "half", "detail": 1}]');
SELECT stent.state_of(:root) -> 'counters' AS counters, stent.state_of(:root) -> 'context' AS context, stent.shared_get('lease_steps');
SELECT step, detail FROM stent.progress WHERE task_id = :root;
SELECT stent.heartbeat_many(ARRAY[:id], ARRAY[:token]), stent.release_many(ARRAY[:id], ARRAY[:token]);
SELECT * FROM lease_steps_again() \gset
-- a call that another execution makes already, or has made
SELECT stent.suspend(:id, :token, '[{"kind": "call", "function": "lease_steps_double", "args": {"n": 3}, "idempotency_key": "a"}]');
SELECT stent.run();
SELECT * FROM lease_steps_again() \gset
SELECT stent.suspend(:id, :token, '[{"kind": "call", "function": "lease_steps_double", "args": {"n": 4}, "idempotency_key": "a"}]');
SELECT * FROM lease_steps_again() \gset
SELECT * FROM lease_steps_last(:id, :token);
SELECT stent.dispatch('lease_steps_external', idempotency_key => 'b') AS joined \gset
SELECT stent.suspend(:id, :token, '[{"kind": "call", "function": "lease_steps_external", "idempotency_key": "b"}]');
SELECT stent.complete_many(array_agg(task_id), array_agg(token), array_agg(to_jsonb(args || '{"joined": true}'))) IS NOT NULL FROM stent.claim('w', 100, '{lease_steps_external}');
SELECT * FROM lease_steps_again() \gset
SELECT * FROM lease_steps_last(:id, :token);

-- maps: results in order; the item that failed; all of them, whatever they did
SELECT stent.suspend(:id, :token, '[{"kind": "map", "function": "lease_steps_double", "items": [{"n": 1}, {"n": 2}, {"n": 3}], "chunk_size": 2}]');
SELECT stent.run();
SELECT stent.run();
SELECT * FROM lease_steps_again() \gset
SELECT * FROM lease_steps_last(:id, :token);
SELECT function, state FROM stent.lease_steps(:id, :token) WHERE kind = 'map';
SELECT stent.suspend(:id, :token, '[{"kind": "starmap", "function": "lease_steps_double", "items": [[4], [5]]}]');
SELECT stent.run();
SELECT * FROM lease_steps_again() \gset
SELECT * FROM lease_steps_last(:id, :token);
SELECT stent.suspend(:id, :token, '[{"kind": "map", "function": "lease_steps_double", "items": [{"n": 1}, {"n": "x"}], "retry": {"max_attempts": 1}}]');
SELECT stent.run();
SELECT * FROM lease_steps_again() \gset
SELECT number, kind, state, error ->> 'code' AS code, (error ->> 'detail')::jsonb -> 'index' AS index FROM lease_steps_last(:id, :token);
SELECT stent.suspend(:id, :token, '[{"kind": "map", "function": "lease_steps_double", "items": [{"n": 1}, {"n": "x"}], "retry": {"max_attempts": 1}, "on_error": "collect", "concurrency_limit": 1, "chunk_size": 1}]');
SELECT stent.run();
SELECT stent.run();
SELECT * FROM lease_steps_again() \gset
SELECT number, state, result #> '{0}' AS first, result #> '{1,error,code}' AS second FROM lease_steps_last(:id, :token);
SELECT stent.suspend(:id, :token, '[{"kind": "map", "function": "lease_steps_double", "items": []}]');
SELECT stent.run();
SELECT * FROM lease_steps_again() \gset
SELECT * FROM lease_steps_last(:id, :token);
-- of workers; a part of a map has no steps of its own
SELECT stent.suspend(:id, :token, '[{"kind": "map", "function": "lease_steps_external", "items": [1, 2]}]');
SELECT task_id AS part, token AS part_token, args FROM stent.claim('w', 1, '{lease_steps_external}', chunks => true) \gset
SELECT :'args' AS args;
\set VERBOSITY sqlstate
SELECT stent.suspend(:part, :part_token, '[{"kind": "sleep", "duration": "1s"}]');
\set VERBOSITY terse
SELECT stent.complete(:part, :part_token, '[{"result": 10}, {"result": 20}]');
SELECT stent.run();
SELECT * FROM lease_steps_again() \gset
SELECT * FROM lease_steps_last(:id, :token);

-- completed as any other; its steps can be seen
SELECT stent.complete(:id, :token, '"done"');
SELECT state, attempt, result FROM stent.tasks WHERE id = :root;
SELECT count(*), count(*) FILTER (WHERE state = 'w') AS waiting FROM stent.step WHERE task_id = :root;
SELECT count(*) AS leases FROM stent.lease;
SELECT count(stent.cancel(id)) FROM stent.tasks WHERE function LIKE 'lease\_steps%' AND finished_at IS NULL;
SET stent.clock = '2026-06-01 00:00:00';
SELECT count(*) FROM stent.claim('w', 1, '{none}');
SELECT (SELECT count(*) FROM stent.lease) AS leases, (SELECT count(*) FROM stent.due WHERE kind = 'l') AS due;
SELECT count(stent.unregister(name)) FROM stent.functions WHERE name LIKE 'lease\_steps%';
SELECT stent.shared_delete('lease_steps');
