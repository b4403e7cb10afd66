-- signal() stores a named value for a live execution; the latest one wins.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
CREATE FUNCTION sig_f(code text DEFAULT NULL) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    PERFORM stent.signal(stent.execution_id(), 'own', to_jsonb(stent.attempt()));
    IF code IS NOT NULL THEN RAISE EXCEPTION USING ERRCODE = code; END IF;
    RETURN 1;
END $$;
CREATE FUNCTION sig_try(id bigint, name text DEFAULT 's', payload jsonb DEFAULT '1') RETURNS text LANGUAGE plpgsql AS $$
DECLARE code text; msg text; detail text; hint text;
BEGIN
    PERFORM stent.signal(id, name, payload);
    RETURN 'sent';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, msg = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN regexp_replace(concat_ws(E'\n', code || ': ' || msg, 'DETAIL: ' || nullif(detail, ''), 'HINT: ' || nullif(hint, '')),
                          '((?:[Tt]ask|[Ee]xecution)) \d+', '\1 N', 'g');
END $$;
SELECT stent.register('sig_f', 'sig_f(text)', retry => '{"max_attempts": 1}');

SELECT stent.dispatch('sig_f') AS id, stent.dispatch('sig_f', '{"code": "22012"}') AS bad,
       stent.dispatch('sig_f', delay => '1h', max_duration => '1h') AS late \gset
SELECT stent.state_of(:id) -> 'signals' AS none;
SELECT stent.signal(:id, 's', '{"v": 1}'), stent.signal(:id, 't'), stent.signal(:id, 'n', NULL);
SELECT name, payload, sent_at, sent_by = current_user AS by_us FROM stent.signal WHERE execution_id = :id ORDER BY name;
SELECT number AS first FROM stent.signal WHERE execution_id = :id AND name = 's' \gset
-- a send overwrites, with a higher number
SET stent.clock = '2026-01-01 00:00:01.5';
SELECT stent.signal(:id, 's', '2');
SELECT number > :first AS newer FROM stent.signal WHERE execution_id = :id AND name = 's';
SELECT stent.state_of(:id) -> 'signals' AS signals;
-- to a task that is not due yet
SELECT sig_try(:late);
-- undone with its transaction
BEGIN;
SELECT stent.signal(:id, 's', '3'), stent.signal(:id, 'u');
SELECT stent.state_of(:id) -> 'signals' -> 's' -> 'payload' AS s, stent.state_of(:id) -> 'signals' ? 'u' AS u;
ROLLBACK;
SELECT stent.state_of(:id) -> 'signals' -> 's' -> 'payload' AS s, stent.state_of(:id) -> 'signals' ? 'u' AS u;

-- a handler may send, too; a failed attempt has sent nothing
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT stent.state_of(:id) #> '{signals,own,payload}' AS own, stent.state_of(:bad) -> 'signals' AS bad;

-- finished executions
SELECT sig_try(:id);
SELECT sig_try(:bad);
SELECT stent.cancel(:late);
SELECT sig_try(:late);
-- dead letters that live again
SELECT stent.replay(:bad) = :bad AS replayed;
SELECT sig_try(:bad);
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT stent.state_of(:bad) #> '{signals,s,payload}' AS kept;

-- in the transaction that dispatches
BEGIN;
SELECT stent.dispatch('sig_f') AS id3 \gset
SELECT sig_try(:id3, 'early', '"bird"');
COMMIT;
SELECT stent.state_of(:id3) #> '{signals,early,payload}' AS early;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT sig_try(:id3, 'early', '"worm"'), sig_try(:id3, 'other');
COMMIT;
SELECT stent.state_of(:id3) #> '{signals,early,payload}' AS early;

-- unknown, a task that is no execution, NULL, bounds
SELECT sig_try(-5);
UPDATE stent.task SET execution_id = :bad, parent_id = :bad WHERE id = :id3;
SELECT sig_try(:id3);
UPDATE stent.task SET execution_id = id, parent_id = NULL WHERE id = :id3;
SELECT sig_try(NULL);
SELECT sig_try(:id3, NULL);
SELECT sig_try(:id3, '');
SELECT sig_try(:id3, repeat('s', 201));
SELECT sig_try(:id3, repeat('s', 200));
SET stent.max_payload_size = 10;
SELECT sig_try(:id3, 's', to_jsonb(repeat('x', 11000)));
RESET stent.max_payload_size;

-- only its own role, or an admin
CREATE ROLE sig_other LOGIN;
CREATE ROLE sig_admin LOGIN;
GRANT EXECUTE ON FUNCTION sig_try TO sig_other, sig_admin;
SELECT stent.grant_usage('sig_other'), stent.grant_usage('sig_admin', 'admin');
SET ROLE sig_other;
SELECT sig_try(:id3);
SELECT sig_try(:id);
SET ROLE sig_admin;
SELECT sig_try(:id3, 'admin');
SELECT sig_try(:id);
RESET ROLE;
SELECT sent_by FROM stent.signal WHERE execution_id = :id3 AND name = 'admin';

-- an execution whose root has finished lives as long as a task below it does
CREATE FUNCTION sig_parent() RETURNS int LANGUAGE plpgsql AS $$ BEGIN PERFORM stent.spawn('sig_f', delay => '1h'); RETURN 1; END $$;
SELECT stent.register('sig_parent', 'sig_parent()');
SELECT stent.dispatch('sig_parent') AS parent \gset
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT stent.state_of(:parent) ->> 'state' AS root, sig_try(:parent, 'below');
SELECT id AS below FROM stent.tasks WHERE parent_id = :parent \gset
SELECT sig_try(:below);
SET ROLE sig_other;
SELECT sig_try(:parent);
RESET ROLE;
SELECT stent.cancel(:parent);
SELECT sig_try(:parent);
SELECT stent.unregister('sig_parent');

-- they leave with their execution
SELECT stent.run();
SELECT stent.discard_many('sig_f');
SELECT count(*) AS kept FROM stent.signal WHERE execution_id IN (:id, :bad, :late, :id3);
SET stent.clock = '2026-01-01 12:00:00';
SELECT stent.cleanup('1h') > 0 AS cleaned;
SELECT count(*) AS left_over FROM stent.signal WHERE execution_id IN (:id, :bad, :late, :id3);
SELECT stent.dispatch('sig_f') AS id \gset
SELECT stent.run();
SELECT count(*) AS kept FROM stent.signal WHERE execution_id = :id;
SET stent.clock = '2026-01-03 00:00:00';
SELECT stent.cleanup('1h') > 0 AS cleaned;
SELECT count(*) AS left_over FROM stent.signal WHERE execution_id = :id;

SELECT stent.unregister('sig_f');
DROP OWNED BY sig_other, sig_admin;
DROP ROLE sig_other, sig_admin;
DROP FUNCTION sig_f, sig_parent, sig_try;
