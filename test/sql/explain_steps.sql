-- explain(), why(), state_of() and the counts, of orchestrators that run.
\set VERBOSITY terse
\pset format unaligned
\pset tuples_only on
SET stent.clock = '2026-01-01 00:00:00';

CREATE ROLE xsteps_app LOGIN;
SELECT stent.grant_usage('xsteps_app');
CREATE FUNCTION xsteps_leaf(n int, fails boolean DEFAULT false) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    IF fails THEN
        RAISE EXCEPTION 'no % today', n;
    END IF;
    RETURN n + 1;
END $$;
CREATE FUNCTION xsteps_below(n int) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    PERFORM stent.sleep('1h');
    RETURN stent.call('xsteps_leaf', jsonb_build_object('n', n));
END $$;
CREATE FUNCTION xsteps_flow() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    ids bigint[];
BEGIN
    PERFORM stent.record('today', '"monday"');
    PERFORM stent.step('prepare', 'xsteps_leaf', '{"n": 1}');
    BEGIN
        PERFORM stent.call('xsteps_leaf', '{"n": 2, "fails": true}', step_name => 'charge');
    EXCEPTION WHEN raise_exception THEN
        NULL;
    END;
    SELECT array_agg(stent.spawn('xsteps_leaf', jsonb_build_object('n', g))) INTO ids FROM generate_series(1, 30) g;
    PERFORM stent.await_all(ids);
    PERFORM stent.await(stent.spawn('xsteps_below', '{"n": 7}'));
    RETURN stent.await_signal('approval', '2 days', step_name => 'ask');
END $$;
GRANT EXECUTE ON FUNCTION xsteps_leaf(int, boolean), xsteps_below(int), xsteps_flow() TO xsteps_app;
SELECT stent.register('xsteps_leaf', 'xsteps_leaf(int,boolean)', retry => '{"max_attempts": 2, "initial_delay": "1m", "jitter": 0}'),
       stent.register('xsteps_below', 'xsteps_below(int)'), stent.register('xsteps_flow', 'xsteps_flow()', queue => 'xsteps');
CREATE FUNCTION xsteps_tell(root bigint) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    t text;
BEGIN
    FOR t IN SELECT e FROM stent.explain(root) e UNION ALL SELECT stent.why(root)
             UNION ALL SELECT format('%s: %s', s ->> 'state', s ->> 'waits_for') FROM stent.state_of(root) s LOOP
        RETURN NEXT regexp_replace(regexp_replace(t, 'task \d+', 'task N', 'g'), '(why\()\d+|but (the library|database) .*', '\1N', 'g');
    END LOOP;
END $$;
CREATE PROCEDURE xsteps_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
CREATE VIEW xsteps_counts AS
SELECT queue, ready, scheduled, waiting, exact FROM stent.queues WHERE queue IN ('default', 'xsteps') AND ready + scheduled + waiting > 0;
GRANT SELECT ON xsteps_counts TO xsteps_app;

SET SESSION AUTHORIZATION xsteps_app;
SELECT stent.dispatch('xsteps_flow') AS flow \gset
CALL xsteps_run();
-- a call that is to be retried
SELECT xsteps_tell(:flow);
TABLE xsteps_counts;
SELECT function, ready, scheduled, waiting FROM stent.stats WHERE function LIKE 'xsteps%' ORDER BY 1;
SELECT state, due_at FROM stent.executions WHERE id = :flow;
RESET SESSION AUTHORIZATION;
SET stent.clock = '2026-01-01 00:02:00';
SET SESSION AUTHORIZATION xsteps_app;
CALL xsteps_run();
-- below, a child sleeps
SELECT xsteps_tell(:flow);
TABLE xsteps_counts;
RESET SESSION AUTHORIZATION;
-- its time has come, and nobody has looked
SET stent.clock = '2026-01-01 01:30:00';
SET SESSION AUTHORIZATION xsteps_app;
SELECT regexp_replace(stent.why(id), '(, but|;).*', '\1 ...') FROM stent.tasks WHERE function = 'xsteps_below';
CALL xsteps_run();
SELECT xsteps_tell(:flow);
RESET SESSION AUTHORIZATION;
-- nothing of it is stuck
SELECT count(*) FROM jsonb_array_elements_text(stent.health() -> 'problems') p WHERE p LIKE '%task%';
SET SESSION AUTHORIZATION xsteps_app;
SELECT stent.signal(:flow, 'approval', '"yes"');
SELECT xsteps_tell(:flow) OFFSET 29;
CALL xsteps_run();
SELECT xsteps_tell(:flow) OFFSET 29;
TABLE xsteps_counts;
-- the part below one of its tasks
SELECT stent.explain(id) !~ 'flow' FROM stent.tasks WHERE function = 'xsteps_below';
-- a step that was not done when its task was ended from outside
SELECT stent.dispatch('xsteps_flow') AS flow \gset
SELECT stent.run(3) > 0;
SELECT stent.cancel(:flow);
SELECT xsteps_tell(:flow);
RESET SESSION AUTHORIZATION;
SELECT stent.discard_many('xsteps_leaf');
