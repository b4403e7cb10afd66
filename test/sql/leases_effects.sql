-- What a completion brings along: once, whole, and only for a task that is held.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';

CREATE FUNCTION leases_effects_try(sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    code text; msg text;
BEGIN
    EXECUTE sql INTO msg;
    RETURN 'returns ' || coalesce(msg, 'null');
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, msg = MESSAGE_TEXT;
    RETURN code || ': ' || msg;
END $$;
CREATE FUNCTION leases_effects_lease(n int, OUT ids text, OUT token bigint, OUT tokens text, OUT id bigint) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM stent.dispatch('leases_effects_f') FROM generate_series(1, n);
    SELECT array_agg(c.task_id ORDER BY c.task_id)::text, max(c.token), array_agg(c.token)::text, min(c.task_id) INTO ids, token, tokens, id FROM stent.claim('w', 1000, '{leases_effects_f}') c;
END $$;
SELECT stent.register('leases_effects_f');
SELECT stent.shared_set('leases_effects_a', '10'), stent.shared_set('leases_effects_b', '20'), stent.shared_set('leases_effects_text', '"t"'), stent.shared_set('leases_effects_max', '9223372036854775807');
CREATE VIEW leases_effects_shared AS SELECT stent.shared_get('leases_effects_a') AS a, stent.shared_get('leases_effects_b') AS b, stent.shared_get('leases_effects_max') AS max;

-- all of them
SELECT stent.dispatch('leases_effects_f', counters => '{"n": 1}', context => '{"k": "old", "kept": true}') AS id \gset
SELECT token FROM stent.claim('w', 1, '{leases_effects_f}') \gset
SELECT stent.complete(:id, :token, '"r"', '{"n": 2.5, "m": -1}', '{"k": {"deep": [1, null]}, "z": null}', '{"leases_effects_b": -3, "leases_effects_a": 1e2}', '[{"step": "one", "detail": {"x": 1}}, {"step": "two"}]');
SELECT stent.state_of(:id) -> 'counters' AS counters, stent.state_of(:id) -> 'context' AS context;
SELECT step, detail FROM stent.progress WHERE task_id = :id ORDER BY step;
SELECT * FROM leases_effects_shared;
-- batch: those that the token does not hold have none; a key of several tasks changes by the sum
SELECT * FROM leases_effects_lease(4) \gset
SELECT (:'ids'::bigint[])[1] AS a, (:'ids'::bigint[])[2] AS b, (:'ids'::bigint[])[3] AS c, (:'ids'::bigint[])[4] AS d \gset
SELECT stent.cancel(:c);
SELECT stent.complete_many(ARRAY[:a, :b, :c, :d, :a, 0], ARRAY[:token, :token, :token, :token + 1, :token, :token], NULL, ARRAY['{"shared": {"leases_effects_a": 1, "leases_effects_b": 1}, "counters": {"x": 1}}',
    '{"shared": {"leases_effects_a": 10}, "context": {"b": 1}, "progress": [{"step": "s"}]}', '{"shared": {"leases_effects_a": 100}, "counters": {"x": 1}}', '{"shared": {"leases_effects_a": 1000}, "context": {"d": 1}}',
    '{"shared": {"leases_effects_a": 10000}, "counters": {"x": 1}}', '{"shared": {"leases_effects_a": 100000, "leases_effects_none": 1}}']::jsonb[]);
SELECT * FROM leases_effects_shared;
SELECT stent.state_of(i) -> 'counters' AS counters, stent.state_of(i) -> 'context' AS context FROM unnest(ARRAY[:a, :b, :c, :d]) i;
SELECT stent.complete_many(ARRAY[:d], ARRAY[:token], NULL, ARRAY['{"counters": null, "shared": null, "context": null, "progress": null}']::jsonb[]);
SELECT * FROM leases_effects_lease(2) \gset
SELECT stent.complete_many(:'ids', :'tokens', NULL, ARRAY['{}', NULL]::jsonb[]);

-- errors roll everything back: of the call, and of all its tasks
SELECT * FROM leases_effects_lease(2) \gset
SELECT leases_effects_try(format('SELECT stent.complete_many(%L, %L, NULL, ARRAY[%L, %L]::jsonb[])', :'ids', :'tokens', '{"shared": {"leases_effects_a": 1}, "counters": {"x": 1}, "context": {"k": 1}, "progress": [{"step": "s"}]}', second))
FROM unnest(ARRAY['{"shared": {"leases_effects_max": 1}}', '{"shared": {"leases_effects_none": 1}}', '{"shared": {"leases_effects_text": 1}}', '{"shared": {"leases_effects_a": 9223372036854775807}}',
    '{"shared": {"leases_effects_a": 9223372036854775808}}', '{"shared": {"leases_effects_a": 1.5}}', '{"shared": {"leases_effects_a": "1"}}', '{"shared": {"leases_effects_a": null}}', '{"shared": []}', '{"shared": {"": 1}}',
    '{"counters": {"x": "1"}}', '{"counters": {"x": null}}', '{"counters": [1]}', '{"counters": 1}', '{"counters": {"": 1}}', '{"context": 1}', '{"context": "x"}', '{"context": {"": 1}}',
    '{"progress": {}}', '{"progress": [{}]}', '{"progress": [1]}', '{"progress": ["s"]}', '{"progress": [null]}', '{"progress": [{"step": 1}]}', '{"progress": [{"step": ""}]}', '{"progress": "s"}',
    '{"other": 1}', '[]', '1', 'null', '"x"']) second;
SELECT stent.heartbeat_many(:'ids', :'tokens');
SELECT * FROM leases_effects_shared;
SELECT (SELECT count(*) FROM stent.counter WHERE execution_id >= :id) AS counters, (SELECT count(*) FROM stent.context WHERE execution_id >= :id) AS context, (SELECT count(*) FROM stent.progress_entry WHERE execution_id >= :id) AS progress;
SELECT leases_effects_try(format('SELECT stent.complete(%s, %s, NULL, %L)', :id, :token, c)) FROM unnest(ARRAY['[]', '1', 'null', '{"x": true}']) c;
SELECT leases_effects_try(format('SELECT stent.complete(%s, %s, NULL, NULL, %L)', :id, :token, c)) FROM unnest(ARRAY['[]', 'null']) c;
SELECT leases_effects_try(format('SELECT stent.complete(%s, %s, NULL, NULL, NULL, %L)', :id, :token, c)) FROM unnest(ARRAY['[]', 'null', '{"leases_effects_max": 1}', '{"leases_effects_none": 1}', '{"leases_effects_a": -9223372036854775808, "leases_effects_b": -9223372036854775808}']) c;
SELECT leases_effects_try(format('SELECT stent.complete(%s, %s, NULL, NULL, NULL, NULL, %L)', :id, :token, c)) FROM unnest(ARRAY['{}', 'null']) c;
SET stent.max_payload_size = '64kB';
SELECT leases_effects_try(format('SELECT stent.complete(%s, %s, NULL, NULL, jsonb_build_object(''k'', repeat(''x'', 70000)))', :id, :token));
SELECT leases_effects_try(format('SELECT stent.complete(%s, %s, NULL, NULL, NULL, NULL, jsonb_build_array(jsonb_build_object(''step'', ''s'', ''detail'', repeat(''x'', 70000))))', :id, :token));
RESET stent.max_payload_size;
SELECT leases_effects_try(format('SELECT stent.complete(%s, %s, NULL, jsonb_build_object(repeat(''x'', 201), 1))', :id, :token));
SELECT * FROM leases_effects_shared;
SELECT stent.complete_many(:'ids', :'tokens');
-- in a savepoint that is undone
SELECT * FROM leases_effects_lease(1) \gset
BEGIN;
SAVEPOINT s;
SELECT stent.complete(:id, :token, NULL, '{"n": 1}', '{"k": 1}', '{"leases_effects_a": 1}', '[{"step": "s"}]');
ROLLBACK TO s;
SELECT stent.complete(:id, :token, NULL, '{"n": 10}', '{"k": 10}', '{"leases_effects_a": 10}', '[{"step": "t"}]');
COMMIT;
SELECT stent.state_of(:id) -> 'counters' AS counters, stent.state_of(:id) -> 'context' AS context;
SELECT step FROM stent.progress WHERE task_id = :id ORDER BY step;
SELECT * FROM leases_effects_shared;

-- a worker is gone before it completes: what the next one brings counts once
SELECT * FROM leases_effects_lease(1) \gset
SET stent.clock = '2026-01-01 01:00:00';
SELECT token AS new FROM stent.claim('next', 1, '{leases_effects_f}') \gset
SELECT stent.complete_many(ARRAY[:id, :id, :id], ARRAY[:token, :new, :new], NULL, array_fill('{"shared": {"leases_effects_a": 1}, "counters": {"n": 1}}'::jsonb, ARRAY[3]));
SELECT leases_effects_try(format('SELECT stent.complete(%s, %s, NULL, NULL, NULL, ''{"leases_effects_a": 1}'')', :id, :new)) LIKE 'ST012%' AS fenced;
SELECT * FROM leases_effects_shared;
SELECT stent.state_of(:id) -> 'counters' AS counters;
-- effects of a child are its execution's
CREATE FUNCTION leases_effects_parent() RETURNS bigint LANGUAGE sql AS $$ SELECT stent.spawn('leases_effects_f') $$;
SELECT stent.register('leases_effects_parent', 'leases_effects_parent()');
SELECT stent.dispatch('leases_effects_parent') AS root \gset
SELECT stent.run();
SELECT execution_id = :root AS of_root, stent.complete(task_id, token, NULL, '{"n": 1}', '{"k": 1}', NULL, '[{"step": "child"}]') FROM stent.claim('w', 1, '{leases_effects_f}');
SELECT stent.state_of(:root) -> 'counters' AS counters, stent.state_of(:root) -> 'context' AS context;
SELECT task_id = execution_id AS root, step FROM stent.progress WHERE execution_id = :root ORDER BY step;
SELECT stent.shared_delete('leases_effects_' || k) FROM unnest('{a,b,text,max}'::text[]) k;
SELECT (SELECT count(*) FROM stent.lease) AS leases, (SELECT count(*) FROM stent.due WHERE kind = 'l') AS due;
