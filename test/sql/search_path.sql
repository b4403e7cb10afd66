-- A caller's search_path cannot reach into the engine: not by functions, operators, types or tables.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';

CREATE SCHEMA search_path_evil;
CREATE FUNCTION search_path_f(n int) RETURNS int LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF n < 0 THEN
        RAISE EXCEPTION 'negative';
    END IF;
    RETURN n;
END $$;
SELECT stent.register('search_path_f', 'search_path_f(int)', retry => '{"max_attempts": 1}');

-- everything the engine's SQL might call, shadowed by something that raises
CREATE FUNCTION search_path_evil.boom() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'evil was called'; END $$;
DO $$
DECLARE
    t text;
    f text;
BEGIN
    FOREACH t IN ARRAY ARRAY['bigint', 'integer', 'smallint', 'text', 'name', 'timestamp', 'interval', 'jsonb', '"char"', 'oid', 'boolean', 'date'] LOOP
        EXECUTE format('CREATE FUNCTION search_path_evil.op(%s, %s) RETURNS boolean LANGUAGE sql AS ''SELECT search_path_evil.boom()''', t, t);
        FOREACH f IN ARRAY ARRAY['=', '<>', '<', '>', '<=', '>='] LOOP
            EXECUTE format('CREATE OPERATOR search_path_evil.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = search_path_evil.op)', f, t, t);
        END LOOP;
    END LOOP;
    FOREACH f IN ARRAY ARRAY['now()', 'left(text, integer)', 'length(text)', 'to_char(timestamp, text)', 'to_char(date, text)', 'to_date(text, text)', 'right(text, integer)',
            'right(name, integer)', 'to_jsonb(anyelement)', 'to_regclass(text)', 'quote_ident(text)', 'regexp_replace(text, text, text, text)',
            'has_function_privilege(name, text, text)', 'generate_series(integer, integer)', 'jsonb_build_object()', 'format(text)', 'format(text, text)', 'to_regprocedure(text)'] LOOP
        EXECUTE format('CREATE FUNCTION search_path_evil.%s RETURNS boolean LANGUAGE sql AS ''SELECT search_path_evil.boom()''', f);
    END LOOP;
    FOREACH f IN ARRAY ARRAY['task', 'tasks', 'function', 'ready', 'archive', 'dead_letter', 'lane', 'pg_inherits', 'pg_class', 'dedup', 'payload'] LOOP
        EXECUTE format('CREATE TABLE search_path_evil.%I (id bigint CHECK (search_path_evil.boom()))', f);
        EXECUTE format('CREATE TEMP TABLE %I (id bigint CHECK (search_path_evil.boom()))', f);
    END LOOP;
END $$;
CREATE OPERATOR search_path_evil.->> (LEFTARG = jsonb, RIGHTARG = text, FUNCTION = jsonb_exists);
CREATE DOMAIN search_path_evil.jsonb AS int;
CREATE DOMAIN search_path_evil.text AS int;
CREATE DOMAIN search_path_evil.regprocedure AS int;

SET search_path = search_path_evil, pg_temp, pg_catalog, public;
SELECT stent.dispatch('search_path_f', '{"n": 1}', dedup_key => 'k', counters => '{"c": 1}', context => '{"x": 1}', tags => '{a}', queue => 'q', delay => '1h') AS a,
       stent.dispatch('search_path_f', '{"n": 1}', dedup_key => 'k', on_duplicate => 'replace') AS a2,
       stent.dispatch('search_path_f', '{"n": -1}') AS b, stent.dispatch('search_path_f', '{"n": -2}', dedup_key => 'l') AS c \gset
SELECT pg_catalog.count(*) FROM stent.dispatch_many('search_path_f', ARRAY['{"n": 2}']::pg_catalog.jsonb[]);
SELECT stent.run();
SELECT stent.run();
SELECT stent.run();
SELECT stent.run();
SELECT stent.run();
SELECT stent.state_of(:a) OPERATOR(pg_catalog.->>) 'state' AS state, stent.result_of(:a);
SELECT stent.dispatch('search_path_none');
SELECT pg_catalog.count(*) FROM stent.dead_letters WHERE function OPERATOR(pg_catalog.=) 'search_path_f';
SELECT stent.replay(:c) OPERATOR(pg_catalog.>) 0 AS replayed;
SELECT stent.run();
SELECT stent.replay_many('search_path_f', 'P0001', max_tasks => 1);
SELECT stent.run();
SELECT stent.discard(:b);
SELECT stent.discard(:b);
SELECT stent.discard_many('search_path_f', 'P0');
SELECT stent.purge_dead_letters('1h', 'search_path_f');
SET stent.clock = '2026-01-05 00:00:00';
SELECT stent.cleanup('2 days') OPERATOR(pg_catalog.>) 0 AS cleaned;
SELECT stent.duration('1h'), stent.now();
SELECT stent.register('search_path_g', 'public.search_path_f(int)');
SELECT handler FROM stent.functions WHERE name OPERATOR(pg_catalog.=) 'search_path_g';
SELECT stent.unregister('search_path_g');
SELECT stent.unregister('search_path_f');
RESET search_path;
DISCARD TEMP;
SET client_min_messages = warning;
DROP SCHEMA search_path_evil CASCADE;
DROP FUNCTION search_path_f;
