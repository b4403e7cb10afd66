-- What a dead child finds when it is replayed outlives its root's partition; in the end nothing is left.
\set VERBOSITY terse
SET stent.clock = '2025-05-10 12:00:00';
SET datestyle = ISO;
SET stent.retention = 'off';
CREATE FUNCTION kept_child() RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('kept.cure', true) IS DISTINCT FROM '1' THEN RAISE EXCEPTION 'sick'; END IF;
    PERFORM stent.counter_add('children', 1), stent.progress('child');
    RETURN stent.context_get('k');
END $$;
CREATE FUNCTION kept_leaf() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION kept_root() RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    PERFORM stent.spawn('kept_child'), stent.spawn('kept_leaf'), stent.context_set('k', '"v"'), stent.counter_add('root', 1);
    RETURN 1;
END $$;
CREATE PROCEDURE kept_drain() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT stent.register('kept_root', 'kept_root()');
SELECT stent.register('kept_child', 'kept_child()', retry => '{"max_attempts": 1}');
SELECT stent.register('kept_leaf', 'kept_leaf()');
SELECT stent._add_partitions('2025-05-10', '2025-06-10');
CREATE VIEW kept_rows AS
    SELECT t.function, t.state,
           EXISTS (SELECT FROM stent.archive_kept k WHERE k.id = t.id) AS kept
    FROM stent.tasks t WHERE t.function LIKE 'kept\_%' ORDER BY t.id;
CREATE FUNCTION kept_data(root bigint, OUT counters bigint, OUT context bigint, OUT signals bigint, OUT progress bigint) LANGUAGE sql AS $$
    SELECT (SELECT count(*) FROM stent.counter WHERE execution_id = root), (SELECT count(*) FROM stent.context WHERE execution_id = root),
           (SELECT count(*) FROM stent.signal WHERE execution_id = root), (SELECT count(*) FROM stent.progress_entry WHERE execution_id = root)
$$;

-- by partition
SELECT stent.dispatch('kept_root') AS root \gset
SELECT stent.signal(:root, 's');
CALL kept_drain();
SELECT function, state FROM kept_rows;
SET stent.clock = '2025-05-20 12:00:00';
SELECT stent.cleanup('1 day') > 0 AS cleaned;
SELECT function, state, kept FROM kept_rows;
SET kept.cure = 1;
SELECT id AS child FROM stent.dead_letters WHERE execution_id = :root \gset
SELECT stent.replay(:child) = :child AS replayed;
CALL kept_drain();
SELECT stent.result_of(:child), stent.state_of(:root) -> 'counters' AS counters, stent.state_of(:root) -> 'context' AS context;
SELECT * FROM kept_data(:root);
SET stent.clock = '2025-05-25 12:00:00';
SELECT stent.cleanup('1 day') > 0 AS cleaned;
SELECT function, state, kept FROM kept_rows;
SELECT * FROM kept_data(:root);

-- within a day, with the dead letter purged
RESET kept.cure;
SELECT stent.dispatch('kept_root') AS root \gset
CALL kept_drain();
SET stent.clock = '2025-05-25 15:00:00';
SELECT stent.cleanup('1 hour') > 0 AS cleaned;
SELECT function, state, kept FROM kept_rows;
SELECT stent.purge_dead_letters('0', 'kept_child');
SELECT stent.cleanup('1 hour') > 0 AS cleaned;
SELECT function, state, kept FROM kept_rows;
SELECT * FROM kept_data(:root);
