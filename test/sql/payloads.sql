-- Values over about 1 kB are stored once and referenced; stent.max_payload_size bounds them.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';

CREATE FUNCTION payloads_echo(j jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    IF j ? 'fail' AND stent.attempt() <= (j ->> 'fail')::int THEN
        RAISE EXCEPTION 'fails';
    END IF;
    RETURN j;
END $$;
CREATE FUNCTION payloads_make(bytes int) RETURNS text LANGUAGE sql AS $$ SELECT repeat('x', bytes) $$;
CREATE VIEW payloads_stored AS SELECT count(*) AS n FROM stent.payload p WHERE p.value ->> 'tag' = 'payloads' OR p.value #>> '{}' ~ '^x+$';
SELECT stent.register('payloads_echo', 'payloads_echo(jsonb)', retry => '{"max_attempts": 2, "initial_delay": "0s"}');
SELECT stent.register('payloads_make', 'payloads_make(int)', retry => '{"max_attempts": 3}');

-- small ones stay in the row, large ones go once
SELECT stent.dispatch('payloads_echo', '{"tag": "payloads", "n": 1}') AS small,
       stent.dispatch('payloads_echo', jsonb_build_object('tag', 'payloads', 't', repeat('x', 5000))) AS big \gset
SELECT id = :big AS big, args IS NOT NULL AS inline, args_ref IS NOT NULL AS referenced FROM stent.task WHERE id IN (:small, :big) ORDER BY id;
TABLE payloads_stored;
SELECT length(args::text) FROM stent.tasks WHERE id = :big;
SELECT args_ref AS ref FROM stent.task WHERE id = :big \gset
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
-- args are moved by reference; the result is another value
SELECT id = :big AS big, args_ref = :ref AS same_args, result IS NOT NULL AS inline, result_ref IS NOT NULL AS referenced
FROM (SELECT id, args_ref, result, result_ref FROM stent.archive UNION ALL SELECT id, args_ref, result, result_ref FROM stent.archive_kept) a
WHERE id IN (:small, :big) ORDER BY id;
TABLE payloads_stored;
SELECT args = result AS echoed, length(result::text) FROM stent.tasks WHERE id = :big;
SELECT length(stent.result_of(:big) ->> 't'), length(stent.state_of(:big) #>> '{args,t}');

-- attempts, dead letter and replay keep the one copy
SELECT stent.dispatch('payloads_echo', jsonb_build_object('tag', 'payloads', 'fail', 2, 't', repeat('x', 5000))) AS id \gset
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT state, attempt, length(args ->> 't') FROM stent.tasks WHERE id = :id;
SELECT length(args ->> 't') FROM stent.dead_letters WHERE id = :id;
TABLE payloads_stored;
SELECT stent.replay(:id, reset_retries => false) = :id AS replayed;
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT state, attempt, args = result AS echoed FROM stent.tasks WHERE id = :id;
TABLE payloads_stored;

-- replacing by dedup key replaces the value
SELECT stent.dispatch('payloads_echo', jsonb_build_object('tag', 'payloads', 't', repeat('x', 3000)), dedup_key => 'k', delay => '1h') AS id \gset
TABLE payloads_stored;
SELECT stent.dispatch('payloads_echo', jsonb_build_object('tag', 'payloads', 't', repeat('y', 4000)), dedup_key => 'k', on_duplicate => 'replace', delay => '1h') = :id AS same;
TABLE payloads_stored;
SELECT length(args ->> 't') FROM stent.tasks WHERE id = :id;
SELECT stent.dispatch('payloads_echo', '{"tag": "payloads"}', dedup_key => 'k', on_duplicate => 'replace') = :id AS same;
TABLE payloads_stored;
SELECT stent.dispatch('payloads_echo', jsonb_build_object('tag', 'payloads', 't', repeat('x', 3000)), dedup_key => 'k') = :id AS joined;
TABLE payloads_stored;
SELECT stent.run();
SELECT args, result FROM stent.tasks WHERE id = :id;

-- a result over the limit fails for good, whatever the policy
SET stent.max_payload_size = '4kB';
SELECT stent.dispatch('payloads_make', '{"bytes": 4000}') AS fits, stent.dispatch('payloads_make', '{"bytes": 5000}') AS large \gset
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT state, attempt, length(result::text), error ->> 'code' AS code, error -> 'retryable' AS retryable FROM stent.tasks WHERE id IN (:fits, :large) ORDER BY id;
SELECT error ->> 'hint' AS hint FROM stent.dead_letters WHERE id = :large;
-- args that fitted when dispatched still run
RESET stent.max_payload_size;
SELECT stent.dispatch('payloads_echo', jsonb_build_object('tag', 'payloads', 't', repeat('x', 10000)), priority => 1) AS id,
       stent.dispatch('payloads_make', jsonb_build_object('bytes', 3), priority => 1) AS id2 \gset
SET stent.max_payload_size = '11kB';
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT state FROM stent.tasks WHERE id IN (:id, :id2);
-- the setting is a superuser's, with a range
SET stent.max_payload_size = '0';
SET stent.max_payload_size = '2GB';
RESET stent.max_payload_size;

-- history takes its values along
SELECT stent.discard_many('payloads_make');
SET stent.clock = '2026-01-01 12:00:00';
SELECT stent.cleanup('1h') > 0 AS cleaned;
TABLE payloads_stored;

SELECT count(stent.unregister(name)) FROM stent.functions WHERE name LIKE 'payloads\_%';
DROP VIEW payloads_stored;
DROP FUNCTION payloads_echo, payloads_make;
