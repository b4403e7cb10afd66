-- Named parameters are filled from the args object; casts run at execution.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET datestyle = ISO;
SET intervalstyle = postgres;

CREATE TYPE args_pair AS (a int, b text);
CREATE DOMAIN args_positive AS int CHECK (VALUE > 0);
CREATE TYPE args_mood AS ENUM ('sad', 'ok');
CREATE FUNCTION args_none() RETURNS text LANGUAGE sql AS $$ SELECT 'none' $$;
CREATE FUNCTION args_whole(anything jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT anything';
CREATE FUNCTION args_scalars(i int, t text, n numeric, b boolean, f float8, u uuid, ts timestamp, iv interval, by bytea)
RETURNS text LANGUAGE sql AS $$ SELECT concat_ws('|', i, t, n, b, f, u, ts, iv, by) $$;
CREATE FUNCTION args_composed(p args_pair, ps args_pair[], ia int[], tt text[], j jsonb, js json, d args_positive, m args_mood, r int4range)
RETURNS text LANGUAGE sql AS $$ SELECT concat_ws('|', p, ps, ia, tt, j, js, d, m, r) $$;
CREATE FUNCTION args_default_text() RETURNS text LANGUAGE sql AS $$ SELECT '-default' $$;
CREATE FUNCTION args_defaults(a int, b int DEFAULT 5, c text DEFAULT lower('C') || args_default_text(), d int DEFAULT NULL)
RETURNS text LANGUAGE sql AS $$ SELECT concat_ws('|', a, coalesce(b::text, 'null'), coalesce(c, 'null'), coalesce(d::text, 'null')) $$;
CREATE FUNCTION args_strict(a int, b int) RETURNS text STRICT LANGUAGE sql AS $$ SELECT 'called' $$;
CREATE FUNCTION args_inout(INOUT a int, b int, OUT c int) LANGUAGE sql AS $$ SELECT a + 1, a + b $$;
CREATE FUNCTION args_odd("The Arg" int, "the-arg" int) RETURNS int LANGUAGE sql AS $$ SELECT $1 + $2 $$;
CREATE FUNCTION args_one_json(j json) RETURNS text LANGUAGE sql AS $$ SELECT j #>> '{a}' $$;
CREATE FUNCTION args_two(a jsonb, b jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT a || b $$;

CREATE TABLE args_case (n serial, function text, args jsonb, task bigint);
SELECT count(stent.register(proname, oid::regprocedure, retry => '{"max_attempts": 1}')) FROM pg_proc
WHERE proname LIKE 'args\_%' AND pronamespace = 'public'::regnamespace AND proname <> 'args_default_text';
INSERT INTO args_case (function, args) VALUES
    ('args_none', '{}'),
    ('args_whole', '{}'), ('args_whole', '[1, 2]'), ('args_whole', '"text"'), ('args_whole', 'null'), ('args_whole', '{"anything": 1}'),
    ('args_scalars', '{"i": 1, "t": "x", "n": 12345678901234567890.5, "b": true, "f": 1e300, "u": "00000000-0000-0000-0000-000000000001",
                       "ts": "2026-02-28 12:00", "iv": "1 day", "by": "\\x00ff"}'),
    ('args_scalars', '{"i": "7", "t": 5, "n": "1", "b": "f", "f": "NaN", "u": null, "ts": "2026-01-01T00:00:00Z", "iv": null, "by": null}'),
    ('args_composed', '{"p": {"a": 1, "b": "x"}, "ps": [{"a": 2}, null], "ia": [1, null, 3], "tt": ["a b", ""], "j": {"k": [1]}, "js": {"z": 1, "a": 2},
                        "d": 1, "m": "ok", "r": "[1,5)"}'),
    ('args_composed', '{"p": null, "ps": [], "ia": null, "tt": null, "j": null, "js": null, "d": null, "m": null, "r": null}'),
    ('args_defaults', '{"a": 1}'), ('args_defaults', '{"a": null, "b": null, "c": null, "d": 4}'), ('args_defaults', '{"a": 1, "c": "given"}'),
    ('args_strict', '{"a": 1, "b": 2}'), ('args_strict', '{"a": 1, "b": null}'),
    ('args_inout', '{"a": 1, "b": 10}'),
    ('args_odd', '{"The Arg": 1, "the-arg": 2}'),
    ('args_one_json', '{"j": {"a": "inner"}}'),
    ('args_two', '{"a": {"x": 1}, "b": {"y": 2}}'),
    -- values that do not cast fail the task, not the dispatch
    ('args_scalars', '{"i": "one", "t": "", "n": 0, "b": true, "f": 0, "u": null, "ts": null, "iv": null, "by": null}'),
    ('args_scalars', '{"i": 1.5, "t": "", "n": 0, "b": true, "f": 0, "u": null, "ts": null, "iv": null, "by": null}'),
    ('args_scalars', '{"i": 99999999999, "t": "", "n": 0, "b": true, "f": 0, "u": null, "ts": null, "iv": null, "by": null}'),
    ('args_composed', '{"p": 5, "ps": [], "ia": null, "tt": null, "j": null, "js": null, "d": null, "m": null, "r": null}'),
    ('args_composed', '{"p": null, "ps": [], "ia": 5, "tt": null, "j": null, "js": null, "d": null, "m": null, "r": null}'),
    ('args_composed', '{"p": null, "ps": [], "ia": null, "tt": null, "j": null, "js": null, "d": 0, "m": null, "r": null}'),
    ('args_composed', '{"p": null, "ps": [], "ia": null, "tt": null, "j": null, "js": null, "d": null, "m": "mad", "r": null}');
UPDATE args_case SET task = stent.dispatch(function, args);
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
\pset format unaligned
\pset tuples_only on
SELECT c.function, t.state, t.result, t.error ->> 'code', t.error ->> 'message' FROM args_case c JOIN stent.tasks t ON t.id = c.task ORDER BY n;
-- names are checked at dispatch
SELECT stent.dispatch('args_none', '{"a": 1}');
SELECT stent.dispatch('args_defaults', '{"b": 1}');
SELECT stent.dispatch('args_defaults', '{"a": 1, "e": 1}');
SELECT stent.dispatch('args_inout', '{"a": 1, "b": 1, "c": 1}');
SELECT stent.dispatch('args_odd', '{"the arg": 1, "the-arg": 1}');
SELECT stent.dispatch('args_one_json', '{"a": 1}');

SELECT stent.discard_many() > 0;
SELECT count(stent.unregister(name)) FROM stent.functions WHERE name LIKE 'args\_%';
DROP TABLE args_case;
DROP FUNCTION args_none, args_whole, args_scalars, args_composed, args_defaults, args_default_text, args_strict, args_inout, args_odd, args_one_json, args_two;
DROP TYPE args_pair, args_mood;
DROP DOMAIN args_positive;
