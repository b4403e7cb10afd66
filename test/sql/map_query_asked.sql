-- map_query: its query runs as who asked for it, and what it does leaves the map's options alone.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';
CREATE ROLE mqa_app LOGIN;
CREATE ROLE mqa_owner LOGIN;
SELECT stent.grant_usage('mqa_app'), stent.grant_usage('mqa_owner');
CREATE SCHEMA mqa_own;
GRANT USAGE ON SCHEMA mqa_own TO mqa_app, mqa_owner;
CREATE TABLE mqa_own.mqa_t AS SELECT 1 AS n;
GRANT SELECT ON mqa_own.mqa_t TO mqa_app, mqa_owner;
CREATE TABLE mqa_secret AS SELECT 42 AS n;
GRANT SELECT ON mqa_secret TO mqa_app;
CREATE FUNCTION mqa_echo(item jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT item';
CREATE PROCEDURE mqa_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;

-- in a SECURITY DEFINER handler: as its owner, who may less than who dispatched it, with the path of the handler
CREATE FUNCTION mqa_definer(query text) RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = mqa_own, pg_temp AS $$
BEGIN
    RETURN 'map ' || (stent.map_query('mqa_echo', query) > 0);
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END $$;
ALTER FUNCTION mqa_definer(text) OWNER TO mqa_owner;
CREATE FUNCTION mqa_path() RETURNS text LANGUAGE plpgsql SET search_path = mqa_own, pg_temp AS $$
BEGIN
    RETURN 'map ' || (stent.map_query('mqa_echo', $q$SELECT current_user || ' ' || n || ' ' || current_setting('search_path') FROM mqa_t$q$) > 0);
END $$;
SELECT stent.register('mqa_echo', 'mqa_echo(jsonb)'), stent.register('mqa_definer', 'mqa_definer(text)'), stent.register('mqa_path', 'mqa_path()');
SET SESSION AUTHORIZATION mqa_app;
SELECT stent.dispatch('mqa_definer', jsonb_build_object('query', 'SELECT n FROM public.mqa_secret')) AS secret,
       stent.dispatch('mqa_definer', jsonb_build_object('query', 'SELECT current_user || '' '' || n FROM mqa_t')) AS own,
       stent.dispatch('mqa_path') AS path \gset
CALL mqa_run();
SET SESSION AUTHORIZATION mqa_owner;
CALL mqa_run();
SET SESSION AUTHORIZATION mqa_app;
CALL mqa_run();
SELECT stent.result_of(:secret);
SELECT stent.result_of(:own);
SELECT stent.result_of(:path);
SELECT current_user, current_setting('search_path') AS path;
RESET SESSION AUTHORIZATION;
SELECT t.execution_id = :own AS of_definer, r.result FROM stent.tasks t, stent.map_results(t.id) r WHERE t.parent_id IN (:secret, :own, :path) ORDER BY t.id;

-- the query makes the session forget what functions it knows: the map goes on as it began
CREATE FUNCTION mqa_churn(n int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE OR REPLACE FUNCTION mqa_churned() RETURNS int LANGUAGE sql AS ''SELECT %s''', n);
    PERFORM stent.dispatch('mqa_path', delay => '1 day');
    RETURN n;
END $$;
CREATE FUNCTION mqa_timed(n int) RETURNS int LANGUAGE sql AS 'SELECT n';
SELECT stent.register('mqa_timed', 'mqa_timed(int)', timeout => '7m', tags => '{a,b}');
SELECT stent.map_query('mqa_timed', 'SELECT mqa_churn(n) FROM generate_series(1, 200) n', 10) AS map \gset
SELECT timeout, tags, count(*) FROM stent.tasks WHERE parent_id = :map GROUP BY 1, 2;
CALL mqa_run();
SELECT stent.result_of(:map);

SELECT count(stent.cancel(id)) FROM stent.executions WHERE finished_at IS NULL;
SELECT count(stent.unregister('mqa_' || n)) FROM unnest('{echo,definer,path,timed}'::text[]) n;
DROP FUNCTION mqa_churn, mqa_churned, mqa_timed, mqa_path, mqa_definer, mqa_echo;
DROP TABLE mqa_secret;
DROP SCHEMA mqa_own CASCADE;
