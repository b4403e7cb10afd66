-- why() and health() of tasks that wait, or wait behind one that does: what for, where to look
-- next, and that it is over although nobody looks.
\set VERBOSITY terse
\pset format unaligned
\pset tuples_only on
SET stent.clock = '2026-01-01 00:00:00';

CREATE ROLE wq_app LOGIN;
CREATE ROLE wq_other LOGIN;
SELECT stent.grant_usage('wq_app'), stent.grant_usage('wq_other');
CREATE FUNCTION wq_leaf(code text DEFAULT NULL) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    IF code IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = code, MESSAGE = 'told so';
    END IF;
    RETURN 1;
END $$;
CREATE FUNCTION wq_signal() RETURNS jsonb LANGUAGE sql AS $$ SELECT stent.await_signal('go', timeout => '1 hour') $$;
CREATE FUNCTION wq_sleep() RETURNS void LANGUAGE sql AS $$ SELECT stent.sleep('1 hour') $$;
CREATE FUNCTION wq_calls() RETURNS jsonb LANGUAGE sql AS $$ SELECT stent.call('wq_outside') $$;
CREATE FUNCTION wq_all(n int) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    ids bigint[];
BEGIN
    FOR i IN 1 .. n LOOP
        ids := ids || stent.spawn('wq_leaf');
    END LOOP;
    ids := ids || stent.spawn('wq_outside') || stent.spawn('wq_outside');
    RETURN stent.await_all(ids);
END $$;
CREATE FUNCTION wq_map(function text) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    RETURN stent.map(function, '[null, null, null]', chunk_size => 1, concurrency_limit => 2);
END $$;
GRANT EXECUTE ON FUNCTION wq_leaf(text), wq_signal(), wq_sleep(), wq_calls(), wq_all(int), wq_map(text) TO PUBLIC;
SELECT count(stent.register(f, (f || '(' || a || ')')::regprocedure))
FROM (VALUES ('wq_leaf', 'text'), ('wq_signal', ''), ('wq_sleep', ''), ('wq_calls', ''), ('wq_all', 'int'), ('wq_map', 'text')) v (f, a);
SELECT stent.register('wq_outside', retry => '{"max_attempts": 1}'), stent.register('wq_flow');
-- nobody serves this database, preloaded or not
CREATE FUNCTION wq_plain(t text) RETURNS text LANGUAGE sql AS $$
    SELECT regexp_replace(regexp_replace(t, 'but (the library is not preloaded|database "[^"]*" is not served).*', 'but NOT SERVED'),
                          '(task |why\(|replay\()\d+', '\1N', 'g')
$$;
CREATE FUNCTION wq(id bigint) RETURNS text LANGUAGE sql AS $$ SELECT wq_plain(stent.why(id)) $$;
CREATE FUNCTION wq_problems() RETURNS SETOF text LANGUAGE sql AS $$
    SELECT wq_plain(p) FROM jsonb_array_elements_text(stent.health() -> 'problems') p WHERE p LIKE '%wq\_%'
$$;
CREATE PROCEDURE wq_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;

-- behind a workflow of the same key: what that waits for, unless it is another role's
SET SESSION AUTHORIZATION wq_app;
SELECT stent.dispatch('wq_signal', concurrency_key => 'k') AS first, stent.dispatch('wq_signal', concurrency_key => 'k') AS second \gset
CALL wq_run();
SELECT wq(:first);
SELECT wq(:second);
SET SESSION AUTHORIZATION wq_other;
SELECT stent.dispatch('wq_signal', concurrency_key => 'k') AS third \gset
SELECT wq(:third);

-- it has what it waits for
SET SESSION AUTHORIZATION wq_app;
SELECT stent.signal(:first, 'go', '1');
SELECT wq(:first);
SELECT wq(:second);
RESET SESSION AUTHORIZATION;
SELECT wq_problems();
SET stent.clock = '2026-01-01 00:00:59';
SELECT wq_problems();
SET stent.clock = '2026-01-01 00:02:00';
SELECT wq_problems();
SELECT wq(:first);
SET SESSION AUTHORIZATION wq_app;
CALL wq_run();
SELECT wq(:first);
SELECT wq(:second);
RESET SESSION AUTHORIZATION;
SELECT wq_problems();
-- or its time is over
SET stent.clock = '2026-01-01 01:04:00';
SELECT wq(:second);
SELECT wq_problems();
SELECT stent.cancel(:second), stent.cancel(:third);
SET SESSION AUTHORIZATION wq_app;
SELECT stent.dispatch('wq_sleep') AS sleeper, stent.dispatch('wq_leaf', delay => '1 hour') AS delayed \gset
CALL wq_run();
RESET SESSION AUTHORIZATION;
SET stent.clock = '2026-01-01 03:00:00';
SELECT wq(:sleeper);
SELECT wq(:delayed);
SELECT wq_problems();
-- of a role that is gone
ALTER ROLE wq_app RENAME TO wq_gone;
SELECT wq_problems();
SELECT wq(:sleeper);
ALTER ROLE wq_gone RENAME TO wq_app;
SELECT stent.cancel(:sleeper);
SELECT wq_problems();
SET SESSION AUTHORIZATION wq_app;
CALL wq_run();

-- a call: its task tells more
SELECT stent.dispatch('wq_calls') AS calls \gset
CALL wq_run();
SELECT wq(:calls);
SELECT wq(id) FROM stent.tasks WHERE parent_id = :calls;
RESET SESSION AUTHORIZATION;
SELECT task_id AS task, token FROM stent.claim('wq_w') \gset
SELECT kind, state, created_at, started_at FROM stent.explain_rows(:calls);
SELECT stent.complete(:task, :token, '1');
SELECT wq(:calls);
SET stent.clock = '2026-01-01 03:02:00';
SELECT wq_problems();
SET SESSION AUTHORIZATION wq_app;
CALL wq_run();
SELECT wq(:calls);

-- what another role's task waits for is to be asked by that role
RESET SESSION AUTHORIZATION;
CREATE FUNCTION wq_hidden() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS $$ SELECT stent.spawn('wq_leaf', delay => '1 hour') $$;
CREATE FUNCTION wq_awaits() RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN stent.await(wq_hidden()); END $$;
SELECT stent.register('wq_awaits', 'wq_awaits()');
SET SESSION AUTHORIZATION wq_app;
SELECT stent.dispatch('wq_awaits') AS awaits \gset
CALL wq_run();
SELECT wq(:awaits);
SELECT stent.cancel(:awaits);

-- many: the first that lives tells more; one that has failed ends the wait
SELECT stent.dispatch('wq_all', '{"n": 3}') AS all \gset
CALL wq_run();
SELECT wq(:all);
SELECT wq((regexp_match(stent.why(:all), 'task (\d+)'))[1]::bigint);
RESET SESSION AUTHORIZATION;
SELECT task_id AS task, token FROM stent.claim('wq_w') \gset
SELECT stent.fail(:task, :token, '{"message": "told so"}');
SELECT wq(:all);
SET SESSION AUTHORIZATION wq_app;
CALL wq_run();
SELECT wq(:all);
SELECT wq(d.id) FROM stent.dead_letters d WHERE d.id <> :all;
SELECT stent.discard_many('wq_all'), stent.discard_many('wq_outside');
SELECT stent.cancel(id) FROM stent.tasks WHERE parent_id = :all AND state = 'ready';
-- also where they are more than a few thousand
RESET SESSION AUTHORIZATION;
SET stent.steps_warning = 0;
SET SESSION AUTHORIZATION wq_app;
SELECT stent.dispatch('wq_all', '{"n": 10001}') AS all \gset
CALL wq_run();
SELECT wq(:all);
SELECT stent.cancel(:all);

-- a map: its first chunk tells more
SELECT stent.dispatch('wq_map', '{"function": "wq_leaf"}') AS flow \gset
SELECT stent.run(1) > 0;
SELECT id AS map FROM stent.tasks WHERE parent_id = :flow \gset
SELECT wq(:flow);
SELECT wq(:map);
SELECT wq((regexp_match(stent.why(:map), 'task (\d+)'))[1]::bigint);
CALL wq_run();
SELECT wq(:flow);
-- whose chunks have ended, where nobody starts the next ones
RESET SESSION AUTHORIZATION;
SELECT stent.worker_start('wq_w', slots => 4) IS NOT NULL, stent.worker_heartbeat('wq_w');
SET SESSION AUTHORIZATION wq_app;
SELECT stent.dispatch('wq_map', '{"function": "wq_outside"}') AS flow \gset
CALL wq_run();
SELECT id AS map FROM stent.tasks WHERE parent_id = :flow \gset
SELECT wq((regexp_match(stent.why(:map), 'task (\d+)'))[1]::bigint);
RESET SESSION AUTHORIZATION;
SELECT task_id AS task, token, items FROM stent.claim('wq_w', 1, chunks => true) \gset
SELECT task_id AS task2, token AS token2, items FROM stent.claim('wq_w', 1, chunks => true) \gset
SELECT stent.complete(:task, :token, '[{"result": 1}]'), stent.complete(:task2, :token2, '[{"result": 1}]');
SELECT wq(:map);
SET stent.clock = '2026-01-01 03:04:00';
SELECT wq_problems();
SELECT stent.cancel(:flow);

-- a workflow of a worker: who claims lets it go on
SELECT stent.dispatch('wq_flow') AS flow \gset
SELECT task_id AS task, token FROM stent.claim('wq_w', 1, '{wq_flow}') \gset
SELECT stent.suspend(:task, :token, '[{"kind": "sleep", "duration": "1m"}]');
SELECT wq(:flow);
SET stent.clock = '2026-01-01 03:06:00';
SELECT wq(:flow);
SELECT stent.cancel(:flow);

-- the end of a wait is no due time, least of all of a task that has ended
SELECT function, state, due_at FROM stent.tasks WHERE id IN (:sleeper, :map, :flow) ORDER BY id;
SELECT count(*) FROM stent.tasks WHERE due_at = 'infinity';

-- for the tests that follow
SELECT count(*) FROM stent.claim('wq_w');
SET SESSION AUTHORIZATION wq_app;
CALL wq_run();
RESET SESSION AUTHORIZATION;
DELETE FROM stent.worker WHERE name = 'wq_w';
SELECT count(stent.unregister(name)) FROM stent.functions WHERE name LIKE 'wq\_%';
DROP PROCEDURE wq_run;
DROP FUNCTION wq_awaits, wq_hidden, wq_problems, wq, wq_plain, wq_map, wq_all, wq_calls, wq_sleep, wq_signal, wq_leaf;
DROP OWNED BY wq_app, wq_other;
DROP ROLE wq_app, wq_other;
