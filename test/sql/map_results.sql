-- map_results: what became of the items of a map, in order, while it runs and later.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';
CREATE ROLE map_results_app LOGIN;
CREATE ROLE map_results_other LOGIN;
CREATE ROLE map_results_admin LOGIN;
SELECT stent.grant_usage('map_results_app'), stent.grant_usage('map_results_other'), stent.grant_usage('map_results_admin', 'admin');
CREATE TABLE map_results_bad (n int);
GRANT SELECT ON map_results_bad TO PUBLIC;
-- fails for what is in the table; of odd numbers there is no result
CREATE FUNCTION map_results_f(n int) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    IF n IN (SELECT b.n FROM public.map_results_bad b) THEN
        RAISE EXCEPTION 'bad: %', n USING ERRCODE = 'UX001';
    END IF;
    RETURN CASE WHEN n % 2 = 0 THEN jsonb_build_object('n', n) END;
END $$;
SELECT stent.register('map_results_f', 'map_results_f(int)', retry => '{"max_attempts": 2, "initial_delay": "1m", "jitter": 0}');
CREATE FUNCTION map_results_of(map bigint) RETURNS TABLE (index bigint, result jsonb, error text) LANGUAGE sql AS $$
SELECT r.index, r.result, r.error ->> 'code' || ' ' || (r.error ->> 'message') FROM stent.map_results(map) r $$;
CREATE PROCEDURE map_results_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;

-- chunk by chunk
SELECT stent.map_query('map_results_f', 'SELECT generate_series(0, 6)', 3) AS map \gset
SELECT * FROM map_results_of(:map);
SELECT stent.run(1);
SELECT * FROM map_results_of(:map);
SELECT stent.run(1);
SELECT count(*) FROM map_results_of(:map);
CALL map_results_run();
SELECT * FROM map_results_of(:map);
SELECT stent.state_of(:map) ->> 'state' AS state;

-- items to be retried have not ended; those that have failed for good say how
INSERT INTO map_results_bad VALUES (1), (4), (5);
SELECT stent.map_query('map_results_f', 'SELECT generate_series(0, 6)', 3) AS map \gset
CALL map_results_run();
SELECT * FROM map_results_of(:map);
DELETE FROM map_results_bad WHERE n = 5;
SET stent.clock = '2026-01-01 00:01:00';
CALL map_results_run();
SELECT * FROM map_results_of(:map);
-- a dead letter that is replayed: not ended, then in its place; or failed again
SELECT d.id AS dead, d.args FROM stent.dead_letters d WHERE d.execution_id = :map AND d.id <> :map ORDER BY d.id LIMIT 1 \gset
SELECT :'args' AS args;
SELECT stent.replay(:dead) = :dead AS replayed;
SELECT index, result, error FROM map_results_of(:map) WHERE index IN (0, 1, 2);
DELETE FROM map_results_bad WHERE n = 1;
CALL map_results_run();
SELECT index, result, error FROM map_results_of(:map) WHERE index IN (0, 1, 2);
-- one that is discarded is remembered
SELECT stent.discard(d.id) FROM stent.dead_letters d WHERE d.execution_id = :map AND d.id <> :map;
SELECT index, result, error FROM map_results_of(:map) WHERE error IS NOT NULL;

-- many failures, more than are read together
TRUNCATE map_results_bad;
INSERT INTO map_results_bad SELECT generate_series(3, 750, 3);
SELECT stent.map_query('map_results_f', 'SELECT generate_series(0, 999)', 400, on_error => 'collect', retry => '{"max_attempts": 1}') AS map \gset
CALL map_results_run();
SELECT count(*), count(result) AS results, count(error) AS errors, bool_and(index = n) AS in_order FROM (SELECT r.*, row_number() OVER () - 1 AS n FROM map_results_of(:map) r) r;
SELECT index, result, error FROM map_results_of(:map) r WHERE index IN (2, 3, 399, 400, 401, 402, 750, 753, 999);
SELECT bool_and((error IS NOT NULL) = (index > 0 AND index % 3 = 0 AND index <= 750)) AS right_ones, bool_and(error = 'UX001 bad: ' || index) AS named FROM map_results_of(:map);
TRUNCATE map_results_bad;

-- large results
CREATE FUNCTION map_results_large(n int) RETURNS text LANGUAGE sql AS 'SELECT repeat(n::text, 2000)';
SELECT stent.register('map_results_large', 'map_results_large(int)');
SELECT stent.map_query('map_results_large', 'SELECT generate_series(1, 20)', 8) AS map \gset
CALL map_results_run();
SELECT count(*), sum(length(result #>> '{}')) AS length, bool_and(result #>> '{}' LIKE (index + 1) || '%') AS right_ones FROM stent.map_results(:map);

-- a map in a handler has results like any
CREATE FUNCTION map_results_parent() RETURNS jsonb LANGUAGE sql AS $$ SELECT stent.map('map_results_f', '[2, 4]') $$;
SELECT stent.register('map_results_parent', 'map_results_parent()');
SELECT stent.dispatch('map_results_parent') AS root \gset
CALL map_results_run();
SELECT t.id AS map FROM stent.tasks t WHERE t.parent_id = :root \gset
SELECT index, result FROM stent.map_results(:map);

-- for whoever may see the execution
SET SESSION AUTHORIZATION map_results_app;
SELECT stent.map_query('map_results_f', 'SELECT 2') AS map \gset
SELECT stent.run() > 0 AS ran, stent.run() > 0 AS ended;
SELECT index, result FROM stent.map_results(:map);
RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION map_results_other;
\set VERBOSITY sqlstate
SELECT * FROM stent.map_results(:map);
RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION map_results_admin;
SELECT index, result FROM stent.map_results(:map);
RESET SESSION AUTHORIZATION;
-- what is none
\set VERBOSITY terse
SELECT * FROM stent.map_results(NULL);
SELECT * FROM stent.map_results(-1);
\set VERBOSITY sqlstate
SELECT * FROM stent.map_results(:root);
SELECT t.id AS chunk FROM stent.tasks t WHERE t.parent_id = :map LIMIT 1 \gset
SELECT * FROM stent.map_results(:chunk);
\set VERBOSITY terse
SELECT bool_and(stent.discard(id)) AS discarded FROM stent.dead_letters WHERE function LIKE 'map\_results%';
SELECT count(stent.unregister('map_results_' || n)) FROM unnest('{f,large,parent}'::text[]) n;
