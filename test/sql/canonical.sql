-- The canonical text of JSON, by which calls are compared: documented vectors, and what a page cannot show.
\set VERBOSITY terse
SET client_encoding = 'UTF8';
\pset format unaligned

-- docs/idempotency-and-cache.md: input, canonical text and its hash
\getenv abs_srcdir PG_ABS_SRCDIR
\setenv CANONICAL_DOC :abs_srcdir/../docs/idempotency-and-cache.md
\set doc `cat "$CANONICAL_DOC"`
CREATE TEMP TABLE vector AS
SELECT ordinality AS n, v[1]::jsonb AS input, v[2] AS canonical, v[3] AS sha256
FROM regexp_matches(:'doc', '^input +(.*)\ncanonical +(.*)\nsha256 +([0-9a-f]{64})$', 'gn') WITH ORDINALITY AS m (v, ordinality);
SELECT n, stent.canonical(input), stent.canonical(input) = canonical AS as_documented,
       encode(sha256(convert_to(stent.canonical(input), 'UTF8')), 'hex') = sha256 AS hash_as_documented
FROM vector ORDER BY n;
-- canonical is canonical
SELECT count(*) FROM vector WHERE stent.canonical(canonical::jsonb) <> canonical OR canonical::jsonb <> input;

-- control characters, and what is near them
SELECT stent.canonical(to_jsonb(string_agg(chr(n), '' ORDER BY n))) FROM generate_series(1, 33) n;
SELECT stent.canonical(to_jsonb(chr(127) || chr(128) || chr(8232))) = '"' || chr(127) || chr(128) || chr(8232) || '"' AS as_they_are;
SELECT stent.canonical('"\u002f\u003c\u0041\u00E9"');
-- numbers without an exponent
SELECT stent.canonical('1e400') = '1' || repeat('0', 400) AS large,
       stent.canonical('-1e-400') = '-0.' || repeat('0', 399) || '1' AS small,
       stent.canonical('100.000e-2') AS one,
       stent.canonical('[-0, -0.0, 0.000, 0e99, -0e-99]') AS zeros,
       stent.canonical('[10, 100.0, 0.5, 1000000000000000000000000000000000000001]') AS digits;
-- keys: not jsonb's order, which is by length first; the last of equal ones counts
SELECT stent.canonical('{"b": 1, "aa": 2, "a": 3, "": 4, "aaa": 5, "B": 6, "b": 7, "\t": 8, "a\"": 9, "_": 10}');
-- nesting, scalars, emptiness
SELECT stent.canonical(v) FROM unnest(ARRAY['[]', '{}', '""', 'true', 'false', 'null', '0', '[[[]], {"a": {}}]', '[null, {"": null}]']::jsonb[]) v;
SELECT stent.canonical((repeat('[', 3000) || repeat(']', 3000))::jsonb) = repeat('[', 3000) || repeat(']', 3000) AS deep;
SELECT stent.canonical(NULL);
SELECT provolatile, proparallel, proisstrict FROM pg_proc WHERE oid = 'stent.canonical(jsonb)'::regprocedure;
