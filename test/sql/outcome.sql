-- state_of tells all about one task; result_of gives its result or raises its error.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';

CREATE FUNCTION outcome_f(code text DEFAULT NULL, msg text DEFAULT 'raised', detail text DEFAULT NULL, hint text DEFAULT NULL)
RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    IF code IS NULL THEN
        RETURN '{"n": 1}';
    ELSIF detail IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = code, MESSAGE = msg;
    END IF;
    RAISE EXCEPTION USING ERRCODE = code, MESSAGE = msg, DETAIL = detail, HINT = hint;
END $$;
CREATE FUNCTION outcome_void() RETURNS void LANGUAGE sql AS '';
CREATE FUNCTION outcome_try(id bigint, call text DEFAULT 'result_of') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    code text; msg text; detail text; hint text; result jsonb;
BEGIN
    EXECUTE format('SELECT stent.%I($1)', call) INTO result USING id;
    RETURN result;
EXCEPTION WHEN OTHERS OR query_canceled OR assert_failure THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, msg = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN regexp_replace(concat_ws(E'\n', code || ': ' || msg, 'DETAIL: ' || nullif(detail, ''), 'HINT: ' || nullif(hint, '')), '([Tt]ask) \d+', '\1 N', 'g');
END $$;
SELECT stent.register('outcome_f', 'outcome_f(text, text, text, text)', retry => '{"max_attempts": 1}');
SELECT stent.register('outcome_void', 'outcome_void()');

-- completed
SELECT stent.dispatch('outcome_f', priority => 7, tags => '{b,a}', headers => '{"h": 1}', counters => '{"c": 2, "d": 0.5}',
                      context => '{"x": {"y": [1]}, "z": null}', timeout => '5m', max_duration => '1h') AS id \gset
SELECT outcome_try(:id);
SELECT stent.state_of(:id) ->> 'state' AS state;
SET stent.clock = '2026-01-01 00:00:01.5';
SELECT stent.run();
SELECT outcome_try(:id);
SELECT key, CASE WHEN key IN ('id', 'execution_id') THEN to_jsonb(value::bigint = :id) WHEN key = 'role' THEN to_jsonb(value #>> '{}' = current_user) ELSE value END
FROM jsonb_each(stent.state_of(:id)) ORDER BY key COLLATE "C";

-- a void handler has the result JSON null
SELECT stent.dispatch('outcome_void') AS id \gset
SELECT stent.run();
SELECT stent.result_of(:id), stent.result_of(:id) IS NULL AS is_null;

-- failed: the task's own SQLSTATE, message, detail and hint
SELECT stent.dispatch('outcome_f', '{"code": "22012", "msg": "told 100%", "detail": "the detail", "hint": "the hint"}') AS id \gset
SELECT stent.dispatch('outcome_f', '{"code": "MY123"}') AS id2 \gset
SELECT stent.dispatch('outcome_f', '{"code": "57014"}') AS id3 \gset
SELECT stent.dispatch('outcome_f', '{"code": "P0004"}') AS id4 \gset
SELECT stent.dispatch('outcome_f', '{"code": "P0002"}') AS id5 \gset
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT outcome_try(:id);
SELECT outcome_try(:id2);
-- the caller must not take these for its own cancellation or assertion
SELECT outcome_try(:id3);
SELECT outcome_try(:id4);
SELECT outcome_try(:id5);
SELECT stent.state_of(:id) -> 'error' ->> 'code' AS code, stent.state_of(:id3) -> 'error' ->> 'code' AS code3,
       jsonb_array_length(stent.state_of(:id) -> 'attempts') AS attempts;

-- not finished: ready, scheduled, waiting for a retry; timed out; unknown; NULL
SELECT stent.dispatch('outcome_f', delay => '1h', max_duration => '1h') AS id \gset
SELECT outcome_try(:id);
SELECT stent.dispatch('outcome_f', '{"code": "22012"}', retry => '{"max_attempts": 2, "initial_delay": "1h", "max_delay": "1h"}') AS id2 \gset
SELECT stent.run();
SELECT outcome_try(:id2);
SELECT stent.state_of(:id2) #>> '{error,code}' AS latest_error;
SET stent.clock = '2026-01-02 00:00:00';
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT outcome_try(:id);
SELECT outcome_try(-5);
SELECT outcome_try(NULL);
SELECT outcome_try(-5, 'state_of');
SELECT outcome_try(NULL, 'state_of');

-- the views agree
SELECT function, state, count(*), count(result) AS results, count(error) AS errors FROM stent.executions
WHERE function LIKE 'outcome\_%' GROUP BY function, state ORDER BY 1, 2;

SELECT stent.discard_many('outcome_f');
SELECT count(stent.unregister(name)) FROM stent.functions WHERE name LIKE 'outcome\_%';
DROP FUNCTION outcome_f, outcome_void, outcome_try;
