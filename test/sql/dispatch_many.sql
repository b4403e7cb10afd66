-- dispatch_many: one execution an element, ids in order, all or none.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET datestyle = ISO;

CREATE TABLE many_log (n int);
CREATE FUNCTION many_f(n int, t text DEFAULT NULL) RETURNS int LANGUAGE sql AS $$ INSERT INTO many_log VALUES (n) RETURNING n $$;
SELECT stent.register('many_f', 'many_f(int, text)', timeout => '1m');

-- more than one internal batch; ids rise with the elements
CREATE TABLE many_ids AS SELECT n, id FROM stent.dispatch_many('many_f',
    (SELECT array_agg(jsonb_build_object('n', n) ORDER BY n) FROM generate_series(1, 1203) n), queue => 'many') WITH ORDINALITY u (id, n);
SELECT count(*), count(DISTINCT id), bool_and(t.args = jsonb_build_object('n', n)), bool_and(state = 'ready'), bool_and(timeout = '1m'), bool_and(queue = 'many')
FROM many_ids JOIN stent.tasks t USING (id);
SELECT count(*) FROM (SELECT id > lag(id) OVER (ORDER BY n) AS rises FROM many_ids) s WHERE NOT rises;
DO $$ BEGIN WHILE stent.run(500) > 0 LOOP COMMIT; END LOOP; END $$;
SELECT count(*), count(DISTINCT n), min(n), max(n) FROM many_log;
SELECT bool_and(t.state = 'completed' AND t.result = to_jsonb(n)) FROM many_ids JOIN stent.tasks t USING (id);

-- none, one, and the options that need the slower way
SELECT count(*) FROM stent.dispatch_many('many_f', '{}');
SELECT count(*) FROM stent.dispatch_many('many_f', ARRAY['{"n": 5000}'::jsonb]);
SELECT count(*) FROM stent.dispatch_many('many_f', ARRAY['{"n": 5001}', '{"n": 5002}']::jsonb[], priority => 7, tags => '{b,a}', delay => '1h',
    max_duration => '10m', timeout => '5s', retry => '{"max_attempts": 4}', headers => '{"h": 1}');
SELECT args, priority, tags, state, due_at, deadline, timeout = '5s' AS timeout, max_attempts, headers FROM stent.tasks WHERE priority = 7 AND function = 'many_f' ORDER BY id;
SELECT count(*) FROM stent.dispatch_many('many_f', ARRAY['{"n": 5003}', '{"n": 5004}']::jsonb[], max_duration => '10m');
-- a two-dimensional array is its elements; large elements are stored apart
SELECT count(*) FROM stent.dispatch_many('many_f', ARRAY[ARRAY['{"n": 5005}', '{"n": 5006}'], ARRAY['{"n": 5007}', '{"n": 5008}']]::jsonb[]);
SELECT count(*) FROM stent.dispatch_many('many_f', ARRAY[jsonb_build_object('n', 5009, 't', repeat('x', 2000)), jsonb_build_object('n', 5010, 't', repeat('y', 2000))]);
SELECT args_ref IS NOT NULL AS apart, args IS NULL AS not_inline FROM stent.task ORDER BY id DESC LIMIT 2;
SET stent.clock = '2026-01-01 01:00:00';
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT n FROM many_log WHERE n >= 5000 ORDER BY n;

-- one bad element: none is dispatched
SELECT count(*) AS before FROM stent.task \gset
SELECT stent.dispatch_many('many_f', (SELECT array_agg(CASE n WHEN 900 THEN NULL ELSE jsonb_build_object('n', n) END ORDER BY n) FROM generate_series(1, 1000) n));
SELECT stent.dispatch_many('many_f', (SELECT array_agg(CASE n WHEN 900 THEN '{"m": 1}' ELSE jsonb_build_object('n', n) END ORDER BY n) FROM generate_series(1, 1000) n));
SELECT stent.dispatch_many('many_none', ARRAY['{}'::jsonb]);
SELECT stent.dispatch_many('many_f', ARRAY['{"n": 1}'::jsonb], priority => 200);
SELECT count(*) = :before AS nothing_new FROM stent.task;
BEGIN;
SELECT count(*) FROM stent.dispatch_many('many_f', ARRAY['{"n": 1}', '{"n": 2}']::jsonb[]);
ROLLBACK;
SELECT count(*) = :before AS nothing_new FROM stent.task;

SELECT stent.unregister('many_f');
DROP TABLE many_log, many_ids;
DROP FUNCTION many_f;
