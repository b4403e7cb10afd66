-- What handlers set in the context of their execution, by each strategy.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';
SELECT nextval('stent.id_seq') AS start \gset

CREATE FUNCTION context_f(sets jsonb, failures int DEFAULT 0) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    s jsonb;
    seen jsonb := '[]';
BEGIN
    FOR s IN SELECT jsonb_array_elements(sets) LOOP
        PERFORM stent.context_set(s ->> 0, s -> 1, COALESCE(s ->> 2, 'overwrite'));
        seen := seen || jsonb_build_array(stent.context_get(s ->> 0));
    END LOOP;
    IF stent.attempt() <= failures THEN
        RAISE EXCEPTION 'attempt % fails', stent.attempt();
    END IF;
    RETURN seen;
END $$;
SELECT stent.register('context_f', 'context_f(jsonb, int)', retry => '{"max_attempts": 2, "initial_delay": "0s", "jitter": 0}');
CREATE PROCEDURE context_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
CREATE FUNCTION context_of(id bigint) RETURNS jsonb LANGUAGE sql AS $$ SELECT stent.state_of(id) -> 'context' $$;

-- overwrite
SELECT stent.dispatch('context_f', '{"sets": [["a", 1], ["a", null], ["b", {"x": [1]}], ["old", "new"]]}', context => '{"old": "old", "other": 1}') AS id \gset
CALL context_run();
SELECT stent.result_of(:id), context_of(:id);

-- preserve: present is present, whatever the value
SELECT stent.dispatch('context_f', '{"sets": [["a", 1, "preserve"], ["a", 2, "preserve"], ["a", 3], ["a", 4, "preserve"],
    ["null", 1, "preserve"], ["empty", 1, "preserve"], ["zero", 1, "preserve"], ["absent", null, "preserve"]]}', context => '{"null": null, "empty": "", "zero": 0}') AS id \gset
CALL context_run();
SELECT stent.result_of(:id), context_of(:id);

-- smart: null, "", [] and {} never displace a value, but are set where there is none; 0 and false are values
CREATE TABLE context_values (n int, v jsonb);
INSERT INTO context_values VALUES (1, 'null'), (2, '""'), (3, '[]'), (4, '{}'), (5, '0'), (6, 'false'), (7, '" "'), (8, '[null]'), (9, '{"a": null}');
SELECT stent.dispatch('context_f', jsonb_build_object('sets', (SELECT jsonb_agg(jsonb_build_array('over' || n, v, 'smart') ORDER BY n)
            || jsonb_agg(jsonb_build_array('new' || n, v, 'smart') ORDER BY n)
            || jsonb_agg(jsonb_build_array('own' || n, 'mine', 'smart') ORDER BY n) || jsonb_agg(jsonb_build_array('own' || n, v, 'smart') ORDER BY n)
            || jsonb_agg(jsonb_build_array('at' || n, 'new', 'smart') ORDER BY n) FROM context_values)),
        context => (SELECT jsonb_object_agg('over' || n, 'old') || jsonb_object_agg('at' || n, v) FROM context_values)) AS id \gset
CALL context_run();
SELECT v, c -> ('over' || n) AS over, c -> ('new' || n) AS absent, c -> ('own' || n) AS own, c -> ('at' || n) AS displaced
FROM context_values, context_of(:id) c ORDER BY n;
DROP TABLE context_values;
-- null, then a value, then null again
SELECT stent.dispatch('context_f', '{"sets": [["a", null, "smart"], ["a", 1, "smart"], ["a", {}, "smart"], ["a", 2, "preserve"]]}') AS id \gset
CALL context_run();
SELECT stent.result_of(:id), context_of(:id);

-- an equal value is no change: the row is not written again
SELECT stent.dispatch('context_f', '{"sets": [["a", {"x": 1.0}, "smart"], ["b", [1, 2]], ["c", "z", "preserve"], ["d", 2]]}',
                      context => '{"a": {"x": 1}, "b": [1, 2], "c": "y", "d": 1}') AS id \gset
CREATE TEMP TABLE context_before AS SELECT key, ctid AS at FROM stent.context WHERE execution_id = :id;
CALL context_run();
SELECT c.key, c.value, c.ctid = b.at AND c.xmax = 0 AS untouched FROM stent.context c JOIN context_before b USING (key) WHERE c.execution_id = :id ORDER BY 1;
DROP TABLE context_before;

-- a failed attempt sets nothing, nor does an exception block that is undone
SELECT stent.dispatch('context_f', '{"sets": [["a", 1]], "failures": 1}') AS a, stent.dispatch('context_f', '{"sets": [["a", 1]], "failures": 2}', context => '{"a": 0}') AS b \gset
BEGIN;
SELECT stent.run() FROM generate_series(1, 2);
COMMIT;
SELECT context_of(:a), context_of(:b);
CALL context_run();
SELECT context_of(:a), context_of(:b), stent.state_of(:b) ->> 'state' AS state;
CREATE FUNCTION context_block() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE seen jsonb;
BEGIN
    PERFORM stent.context_set('a', '1'), stent.context_set('p', '1', 'preserve');
    BEGIN
        PERFORM stent.context_set('a', '2'), stent.context_set('b', '2'), stent.context_set('p', '2');
        seen := jsonb_build_array(stent.context_get('a'), stent.context_get('b'), stent.context_get('p'));
        RAISE EXCEPTION 'undone';
    EXCEPTION WHEN raise_exception THEN NULL;
    END;
    BEGIN
        PERFORM stent.context_set('c', '3'), stent.context_set('p', '3', 'preserve');
    EXCEPTION WHEN raise_exception THEN NULL;
    END;
    FOR i IN 1..300 LOOP PERFORM stent.context_set('k' || i % 70, to_jsonb(i)); END LOOP;
    RETURN seen || jsonb_build_array(stent.context_get('a'), stent.context_get('b'), stent.context_get('p'), stent.context_get('c'));
END $$;
SELECT stent.register('context_block', 'context_block()');
SELECT stent.dispatch('context_block') AS id \gset
CALL context_run();
SELECT stent.result_of(:id), c - array_agg(k.key) AS context, count(*), sum(k.value::text::int) FROM context_of(:id) c, jsonb_each(c) k WHERE k.key LIKE 'k%' GROUP BY c;

-- the tasks of an execution share it, also within a batch and a commit
SELECT min(d) AS first FROM stent.dispatch_many('context_f', ARRAY['{"sets": [["a", 1], ["b", 1, "preserve"]]}', '{"sets": [["b", 2, "preserve"], ["a", 2, "preserve"]]}',
    '{"sets": [["a", 3], ["c", null, "smart"], ["b", null, "smart"]]}']::jsonb[]) d \gset
UPDATE stent.task SET execution_id = :first WHERE id >= :first;
BEGIN;
SELECT stent.run();
SELECT context_of(:first) AS not_before_the_commit;
COMMIT;
SELECT jsonb_agg(result ORDER BY id) AS results, context_of(:first) FROM stent.archive WHERE execution_id = :first;
CREATE FUNCTION context_parent() RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    PERFORM stent.context_set('a', '"parent"'), stent.context_set('b', '"parent"');
    PERFORM stent.spawn('context_f', '{"sets": [["a", "child", "preserve"], ["b", "child"]]}');
    RETURN stent.context_get('b');
END $$;
SELECT stent.register('context_parent', 'context_parent()');
SELECT stent.dispatch('context_parent') AS id \gset
CALL context_run();
SELECT stent.result_of(:id), context_of(:id);
-- not those of others, nor a key nobody has set
CREATE FUNCTION context_get() RETURNS jsonb LANGUAGE sql AS $$ SELECT stent.context_get('a') $$;
SELECT stent.register('context_get', 'context_get()');
SELECT stent.dispatch('context_get') AS a, stent.dispatch('context_get', context => '{"a": [0]}') AS b \gset
CALL context_run();
SELECT stent.result_of(:a), stent.result_of(:b);
SELECT stent.dispatch('context_f', '{"sets": [["a", 1], ["b", 1, "preserve"]]}', context => '{"a": 0}') AS id \gset
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT stent.run();
COMMIT;
SELECT context_of(:id);
SELECT stent.dispatch('context_f', '{"sets": [["a", 1]]}', context => '{"a": 0}') AS id \gset
BEGIN;
SELECT stent.run();
PREPARE TRANSACTION 'context';
SELECT context_of(:id);
COMMIT PREPARED 'context';
SELECT context_of(:id);

-- refused
SELECT stent.context_set('a', '1');
SELECT stent.context_get('a');
CREATE FUNCTION context_bad(key text, value jsonb, strategy text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF key = 'long' THEN key := repeat('x', 201); END IF;
    IF key = 'missing' THEN value := NULL; END IF;
    IF key = 'large' THEN value := to_jsonb(repeat('x', 20000)); END IF;
    IF key = 'get' THEN PERFORM stent.context_get(''); END IF;
    PERFORM stent.context_set(key, value, strategy);
END $$;
SELECT stent.register('context_bad', 'context_bad(text, jsonb, text)', retry => '{"max_attempts": 1}');
SET stent.max_payload_size = '16kB';
SELECT min(d) AS first FROM stent.dispatch_many('context_bad', ARRAY['{"key": null, "value": 1, "strategy": "smart"}', '{"key": "", "value": 1, "strategy": "smart"}',
    '{"key": "long", "value": 1, "strategy": "smart"}', '{"key": "missing", "value": 1, "strategy": "smart"}', '{"key": "a", "value": 1, "strategy": null}',
    '{"key": "a", "value": 1, "strategy": "Smart"}', '{"key": "large", "value": 1, "strategy": "preserve"}', '{"key": "get", "value": 1, "strategy": "smart"}']::jsonb[]) d \gset
CALL context_run();
SELECT error ->> 'code' AS code, error ->> 'message' AS message, error ->> 'hint' AS hint FROM stent.tasks WHERE id BETWEEN :first AND :first + 7 ORDER BY id;
RESET stent.max_payload_size;

SELECT stent.discard_many('context_f'), stent.discard_many('context_bad');
SET stent.clock = '2026-01-02 00:00:00';
SELECT stent.cleanup('1h') > 0 AS cleaned;
SELECT count(*) FROM stent.context WHERE execution_id > :start;
SELECT count(stent.unregister(name)) FROM stent.functions WHERE name LIKE 'context\_%';
DROP PROCEDURE context_run;
DROP FUNCTION context_f, context_parent, context_of, context_block, context_get, context_bad;
