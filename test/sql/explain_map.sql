-- explain(), why() and the counts of maps.
\set VERBOSITY terse
\pset format unaligned
\pset tuples_only on
SET stent.clock = '2026-01-01 00:00:00';

CREATE ROLE xmap_app LOGIN;
SELECT stent.grant_usage('xmap_app');
CREATE FUNCTION xmap_item(n int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    RETURN 100 / (n % 10);
END $$;
CREATE FUNCTION xmap_flow() RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    RETURN stent.map('xmap_item', (SELECT jsonb_agg(g) FROM generate_series(1, 100) g), chunk_size => 5, concurrency_limit => 3,
                     on_error => 'collect', step_name => 'all of them');
END $$;
GRANT EXECUTE ON FUNCTION xmap_item(int), xmap_flow() TO xmap_app;
SELECT stent.register('xmap_item', 'xmap_item(int)', retry => '{"max_attempts": 2, "initial_delay": "1m", "jitter": 0}'),
       stent.register('xmap_flow', 'xmap_flow()', queue => 'xmap');
CREATE FUNCTION xmap_tell(root bigint) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    t text;
BEGIN
    FOR t IN SELECT e FROM stent.explain(root) e UNION ALL SELECT stent.why(root)
             UNION ALL SELECT format('%s: %s', s ->> 'state', s ->> 'waits_for') FROM stent.state_of(root) s LOOP
        RETURN NEXT regexp_replace(regexp_replace(t, '(task|map) \d+', '\1 N', 'g'), '((?:why|replay)\()\d+|but (the library|database) .*', '\1N', 'g');
    END LOOP;
END $$;
CREATE PROCEDURE xmap_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;

SET SESSION AUTHORIZATION xmap_app;
SELECT stent.dispatch('xmap_flow') AS flow \gset
SELECT stent.run(2) > 0;
SELECT xmap_tell(:flow);
SELECT queue, scheduled, waiting FROM stent.queues WHERE queue IN ('default', 'xmap') ORDER BY 1;
-- items that are to be retried hold their chunks
CALL xmap_run();
SELECT xmap_tell(:flow);
SELECT xmap_tell(id) FROM stent.tasks WHERE parent_id = :flow;
RESET SESSION AUTHORIZATION;
SET stent.clock = '2026-01-01 00:05:00';
SET SESSION AUTHORIZATION xmap_app;
CALL xmap_run();
RESET SESSION AUTHORIZATION;
SET stent.clock = '2026-01-01 00:10:00';
SET SESSION AUTHORIZATION xmap_app;
CALL xmap_run();
RESET SESSION AUTHORIZATION;
SET stent.clock = '2026-01-01 00:15:00';
SET SESSION AUTHORIZATION xmap_app;
CALL xmap_run();
RESET SESSION AUTHORIZATION;
SET stent.clock = '2026-01-01 00:20:00';
SET SESSION AUTHORIZATION xmap_app;
CALL xmap_run();
SELECT xmap_tell(:flow);
-- one that is replayed
SELECT stent.replay(id) > 0 FROM stent.dead_letters ORDER BY id LIMIT 1;
SELECT e FROM xmap_tell(:flow) e OFFSET 2 LIMIT 2;
-- a map of its own
SELECT stent.map_query('xmap_item', 'SELECT 1 FROM generate_series(1, 30)', chunk_size => 10) AS map \gset
SELECT xmap_tell(:map);
CALL xmap_run();
SELECT xmap_tell(:map);
SELECT kind, depth, function, state, waits_for, detail FROM stent.explain_rows(:map);
-- one whose item is replayed while others run, and takes its place
RESET SESSION AUTHORIZATION;
CREATE OR REPLACE FUNCTION xmap_item(n int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    IF n = 3 AND stent.now() < '2026-01-01 00:30:00' OR n = 7 THEN
        RAISE EXCEPTION 'not %', n USING ERRCODE = CASE n WHEN 3 THEN '22023' ELSE 'P0001' END;
    END IF;
    RETURN n;
END $$;
SELECT stent.register('xmap_item', 'xmap_item(int)', retry => '{"max_attempts": 3, "initial_delay": "1h", "max_delay": "1h", "jitter": 0, "no_retry_for": ["22023"]}');
SET SESSION AUTHORIZATION xmap_app;
SELECT stent.discard_many('xmap_item') > 0;
SELECT stent.map_query('xmap_item', 'SELECT generate_series(1, 9)', chunk_size => 3) AS map \gset
CALL xmap_run();
SELECT xmap_tell(:map);
RESET SESSION AUTHORIZATION;
SET stent.clock = '2026-01-01 00:40:00';
SET SESSION AUTHORIZATION xmap_app;
SELECT stent.replay(id) > 0 FROM stent.dead_letters;
CALL xmap_run();
SELECT xmap_tell(:map);
RESET SESSION AUTHORIZATION;
SET stent.clock = '2026-01-01 12:00:00';
SET SESSION AUTHORIZATION xmap_app;
CALL xmap_run();
RESET SESSION AUTHORIZATION;
SET stent.clock = '2026-01-01 18:00:00';
SET SESSION AUTHORIZATION xmap_app;
CALL xmap_run();
SELECT xmap_tell(:map);
SELECT stent.discard_many('xmap_item');
CALL xmap_run();
RESET SESSION AUTHORIZATION;
SELECT count(*) FROM stent.task;
