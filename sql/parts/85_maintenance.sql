-- Partitions: stent.archive_pYYYYMMDD holds what finished that day (UTC).

CREATE FUNCTION stent._add_partitions(first date, last date) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning SET default_tablespace = '' SET default_table_access_method = 'heap' AS $$
DECLARE
    day date;
    leaf text;
BEGIN
    -- Self-conflicting, but compatible with every reader and writer of rows.
    LOCK TABLE stent.archive IN SHARE UPDATE EXCLUSIVE MODE;
    FOR day IN SELECT first + n FROM generate_series(0, last - first) n LOOP
        leaf := 'archive_p' || to_char(day, 'YYYYMMDD');
        CONTINUE WHEN to_regclass('stent.' || leaf) IS NOT NULL;
        -- Built aside and attached: CREATE TABLE ... PARTITION OF would lock
        -- the parent against readers.
        EXECUTE format('CREATE TABLE stent.%I (LIKE stent.archive INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', leaf);
        EXECUTE format('ALTER TABLE stent.%I ADD CONSTRAINT %I PRIMARY KEY (id)', leaf, leaf || '_pkey');
        EXECUTE format('CREATE INDEX %I ON stent.%I (execution_id, parent_id, id) WHERE parent_id IS NOT NULL',
                       leaf || '_child_idx', leaf);
        EXECUTE format('ALTER TABLE stent.%I ADD CONSTRAINT %I CHECK (finished_at >= %L AND finished_at < %L)',
                       leaf, leaf || '_range', day::timestamp, (day + 1)::timestamp);
        EXECUTE format('ALTER TABLE stent.archive ATTACH PARTITION stent.%I FOR VALUES FROM (%L) TO (%L)',
                       leaf, day::timestamp, (day + 1)::timestamp);
        EXECUTE format('ALTER TABLE stent.%I DROP CONSTRAINT %I', leaf, leaf || '_range');
    END LOOP;
END
$$;
COMMENT ON FUNCTION stent._add_partitions(date, date) IS 'private: makes missing archive partitions';

CREATE FUNCTION stent._forget(ids bigint[], refs bigint[]) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
-- items and results of a chunk belong to the map as long as that is known
DELETE FROM stent.payload WHERE id = ANY (refs) AND NOT EXISTS (SELECT FROM stent.chunk c WHERE c.task_id = ANY (ids));
DELETE FROM stent.payload p USING stent.chunk c WHERE c.map_id = ANY (ids) AND p.id IN (c.args_ref, c.results_ref);
-- a step's result is its child's, or else its own; OFFSET 0: one look for each, never a join with all history
DELETE FROM stent.payload p USING stent.step s
WHERE s.task_id = ANY (ids) AND p.id = s.result_ref
  AND NOT EXISTS (SELECT FROM stent.archive a WHERE a.id = s.child_id AND a.result_ref = s.result_ref OFFSET 0)
  AND NOT EXISTS (SELECT FROM stent.archive_kept a WHERE a.id = s.child_id AND a.result_ref = s.result_ref OFFSET 0);
DELETE FROM stent.chunk WHERE map_id = ANY (ids);
DELETE FROM stent.item WHERE map_id = ANY (ids);
DELETE FROM stent.map WHERE id = ANY (ids);
DELETE FROM stent.attempt WHERE task_id = ANY (ids);
DELETE FROM stent.output WHERE task_id = ANY (ids);
DELETE FROM stent.step WHERE task_id = ANY (ids);
DELETE FROM stent.counter WHERE execution_id = ANY (ids);
DELETE FROM stent.context WHERE execution_id = ANY (ids);
DELETE FROM stent.signal WHERE execution_id = ANY (ids);
DELETE FROM stent.memo WHERE task_id = ANY (ids);
DELETE FROM stent.progress_entry WHERE execution_id = ANY (ids);
$$;
COMMENT ON FUNCTION stent._forget(bigint[], bigint[]) IS 'private: removes what belongs to tasks that left the archive';

-- Whether a chunk of the map is remembered, and its results serve.
CREATE FUNCTION stent._map_serves(map_id bigint, finished_at timestamp) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
SELECT EXISTS (SELECT FROM stent.chunk c JOIN stent.memo m ON m.task_id = c.task_id
               WHERE c.map_id = _map_serves.map_id AND _map_serves.finished_at + m.ttl > stent.now())
$$;
COMMENT ON FUNCTION stent._map_serves(bigint, timestamp) IS 'private: whether results of the map still serve as cached ones';

-- Reads the leaf once for what its rows own elsewhere (large values, failed
-- attempts, output, steps, signals, counters, context, progress, memos) and for what must be kept. The leaf is
-- locked against the few who may still write to it; the parent is not.
CREATE FUNCTION stent._empty_partition(leaf regclass) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    gone bigint;
    kept bigint;
    remembered bigint;
    kept_maps bigint;
    kept_items bigint;
    kept_of_trees bigint;
BEGIN
    EXECUTE format('LOCK TABLE %s IN SHARE MODE', leaf);
    EXECUTE format('INSERT INTO stent.archive_kept SELECT a.* FROM %s a '
                   'WHERE a.id <> a.execution_id AND EXISTS (SELECT FROM stent.task t WHERE t.id = a.execution_id) '
                   'ON CONFLICT DO NOTHING', leaf);
    GET DIAGNOSTICS kept = ROW_COUNT;
    EXECUTE format('INSERT INTO stent.archive_kept SELECT a.* FROM %s a WHERE a.state = ''c'' '
                   'AND EXISTS (SELECT FROM stent.memo m WHERE m.task_id = a.id AND a.finished_at + m.ttl > $1) '
                   'ON CONFLICT DO NOTHING', leaf) USING stent.now();
    GET DIAGNOSTICS remembered = ROW_COUNT;
    -- the results of a chunk that still serve are with its map
    EXECUTE format('INSERT INTO stent.archive_kept SELECT a.* FROM %s a WHERE a.chunk = -1 '
                   'AND stent._map_serves(a.id, a.finished_at) ON CONFLICT DO NOTHING', leaf);
    GET DIAGNOSTICS kept_maps = ROW_COUNT;
    -- what became of an item that was replayed belongs to its map as long as that is known
    EXECUTE format('INSERT INTO stent.archive_kept SELECT a.* FROM %s a WHERE a.parent_id IS NOT NULL '
                   'AND EXISTS (SELECT FROM stent.item i WHERE i.map_id = a.parent_id AND i.task_id = a.id) '
                   'ON CONFLICT DO NOTHING', leaf);
    GET DIAGNOSTICS kept_items = ROW_COUNT;
    -- an execution lives as long as any of its tasks, whatever has become of its root;
    -- what a dead letter that is replayed finds there, the context, goes with its root, and
    -- the results that its steps have taken with its children; a chunk has its items with its map
    EXECUTE format('INSERT INTO stent.archive_kept SELECT a.* FROM %s a '
                   'JOIN (SELECT o.execution_id, bool_or(o.lives) AS lives '
                         'FROM (SELECT c.execution_id, true AS lives FROM stent.child c '
                               'UNION ALL SELECT d.execution_id, false FROM stent.dead_letter d) o '
                         'GROUP BY o.execution_id) e ON e.execution_id = a.execution_id '
                   'WHERE e.lives OR a.id = a.execution_id '
                   'OR EXISTS (SELECT FROM stent.dead_letter d WHERE d.id = a.parent_id) '
                   'OR (a.chunk = -1 AND EXISTS (SELECT FROM stent.dead_letter d '
                        'WHERE d.execution_id = a.execution_id AND d.parent_id = a.id AND d.chunk >= 0)) '
                   'ON CONFLICT DO NOTHING', leaf);
    GET DIAGNOSTICS kept_of_trees = ROW_COUNT;
    EXECUTE format('SELECT count(*) FROM %s', leaf) INTO gone;
    EXECUTE format('WITH gone AS MATERIALIZED (SELECT a.id, a.args_ref, a.result_ref, '
                   'EXISTS (SELECT FROM stent.chunk c WHERE c.map_id = a.parent_id AND c.number = a.chunk) AS of_map '
                   'FROM %s a '
                   'WHERE NOT EXISTS (SELECT FROM stent.archive_kept k WHERE k.id = a.id)), '
                   'p AS (DELETE FROM stent.payload p USING gone g WHERE p.id IN (g.args_ref, g.result_ref) AND NOT g.of_map), '
                   'h AS (DELETE FROM stent.chunk c USING gone g WHERE c.map_id = g.id RETURNING c.args_ref, c.results_ref), '
                   'q AS (DELETE FROM stent.payload p USING h WHERE p.id IN (h.args_ref, h.results_ref)), '
                   'i AS (DELETE FROM stent.item i USING gone g WHERE i.map_id = g.id), '
                   'b AS (DELETE FROM stent.map b USING gone g WHERE b.id = g.id), '
                   'a AS (DELETE FROM stent.attempt a USING gone g WHERE a.task_id = g.id), '
                   'o AS (DELETE FROM stent.output o USING gone g WHERE o.task_id = g.id), '
                   'r AS (DELETE FROM stent.payload p USING gone g JOIN stent.step s ON s.task_id = g.id WHERE p.id = s.result_ref '
                         'AND NOT EXISTS (SELECT FROM stent.archive a WHERE a.id = s.child_id AND a.result_ref = s.result_ref OFFSET 0) '
                         'AND NOT EXISTS (SELECT FROM stent.archive_kept a WHERE a.id = s.child_id AND a.result_ref = s.result_ref OFFSET 0)), '
                   's AS (DELETE FROM stent.step s USING gone g WHERE s.task_id = g.id), '
                   'n AS (DELETE FROM stent.signal n USING gone g WHERE n.execution_id = g.id), '
                   'm AS (DELETE FROM stent.memo m USING gone g WHERE m.task_id = g.id), '
                   'c AS (DELETE FROM stent.counter c USING gone g WHERE c.execution_id = g.id), '
                   'e AS (DELETE FROM stent.progress_entry e USING gone g WHERE e.execution_id = g.id) '
                   'DELETE FROM stent.context c USING gone g WHERE c.execution_id = g.id', leaf);
    RETURN gone - kept - remembered - kept_maps - kept_items - kept_of_trees;
END
$$;
COMMENT ON FUNCTION stent._empty_partition(regclass) IS 'private: removes or keeps what belongs to the rows of an archive partition';

-- Partitions that ended before the cutoff go whole. The long work comes first:
-- only the DROPs at the end lock the parent, for a moment; if somebody reads it
-- for longer than lock_timeout, all of this waits for the next call.
CREATE FUNCTION stent._retire(cutoff timestamp, max_leaves integer DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET lock_timeout = '100ms' AS $$
DECLARE
    leaf regclass;
    leaves regclass[];
    gone bigint := 0;
    rest bigint;
BEGIN
    PERFORM stent._forget_workers();
    BEGIN
        WITH done AS (
            DELETE FROM stent.archive_kept k
            WHERE k.finished_at < cutoff
              AND NOT EXISTS (SELECT FROM stent.task t WHERE t.id = k.execution_id)
              AND NOT EXISTS (SELECT FROM stent.child c WHERE c.execution_id = k.execution_id)
              AND NOT EXISTS (SELECT FROM stent.dead_letter d WHERE d.execution_id = k.id)
              AND NOT EXISTS (SELECT FROM stent.dead_letter d WHERE d.id = k.parent_id)
              AND NOT EXISTS (SELECT FROM stent.item i WHERE i.map_id = k.parent_id AND i.task_id = k.id)
              AND (k.chunk IS DISTINCT FROM -1
                   OR NOT EXISTS (SELECT FROM stent.dead_letter d
                                  WHERE d.execution_id = k.execution_id AND d.parent_id = k.id AND d.chunk >= 0))
              AND NOT EXISTS (SELECT FROM stent.memo m WHERE m.task_id = k.id AND k.state = 'c'
                                                         AND k.finished_at + m.ttl > stent.now())
              AND (k.chunk IS DISTINCT FROM -1 OR NOT stent._map_serves(k.id, k.finished_at))
            RETURNING k.id, k.args_ref, k.result_ref)
        SELECT count(*) FROM done,
               LATERAL (SELECT stent._forget(ARRAY[done.id], ARRAY[done.args_ref, done.result_ref])) f
        INTO rest;
    EXCEPTION WHEN lock_not_available THEN
        -- an open transaction is making one of the calls anew
        rest := 0;
    END;
    SELECT array_agg(old.leaf ORDER BY old.relname)
    FROM (SELECT c.oid::regclass AS leaf, c.relname
          FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
          WHERE i.inhparent = 'stent.archive'::regclass
            AND c.relname ~ '^archive_p[0-9]{8}$'
            AND to_date(right(c.relname, 8), 'YYYYMMDD') + 1 <= cutoff::date
          ORDER BY c.relname LIMIT max_leaves) old
    INTO leaves;
    IF leaves IS NULL THEN
        RETURN rest;
    END IF;
    BEGIN
        FOREACH leaf IN ARRAY leaves LOOP
            gone := gone + stent._empty_partition(leaf);
        END LOOP;
        FOREACH leaf IN ARRAY leaves LOOP
            EXECUTE format('DROP TABLE %s', leaf);
        END LOOP;
    EXCEPTION WHEN lock_not_available OR undefined_table THEN
        gone := 0;
    END;
    RETURN gone + rest;
END
$$;
COMMENT ON FUNCTION stent._retire(timestamp, integer) IS 'private: what retention does';

CREATE FUNCTION stent._retention() RETURNS interval
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'stent_retention';
COMMENT ON FUNCTION stent._retention() IS 'private: the setting stent.retention, NULL when off';

CREATE FUNCTION stent.cleanup(older_than interval DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    cutoff timestamp;
    gone bigint;
    rest bigint;
BEGIN
    IF older_than < interval '0' THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('older_than must not be negative: %s', older_than),
            HINT = 'Give an age, such as interval ''7 days''.';
    END IF;
    cutoff := stent.now() - COALESCE(older_than, stent._retention());
    IF cutoff IS NULL THEN
        RETURN 0;
    END IF;
    -- whole days go by _retire; it comes last because it locks the archive
    WITH done AS (
        DELETE FROM stent.archive a
        WHERE a.finished_at < cutoff AND a.finished_at >= cutoff::date
          AND NOT EXISTS (SELECT FROM stent.task t WHERE t.id = a.execution_id)
          AND NOT EXISTS (SELECT FROM stent.memo m WHERE m.task_id = a.id AND a.state = 'c'
                                                     AND a.finished_at + m.ttl > stent.now())
          AND NOT EXISTS (SELECT FROM stent.child c WHERE c.execution_id = a.execution_id)
          AND NOT EXISTS (SELECT FROM stent.dead_letter d WHERE d.execution_id = a.id)
          AND NOT EXISTS (SELECT FROM stent.dead_letter d WHERE d.id = a.parent_id)
          AND NOT EXISTS (SELECT FROM stent.item i WHERE i.map_id = a.parent_id AND i.task_id = a.id)
          AND (a.chunk IS DISTINCT FROM -1
               OR NOT EXISTS (SELECT FROM stent.dead_letter d
                              WHERE d.execution_id = a.execution_id AND d.parent_id = a.id AND d.chunk >= 0))
          AND (a.chunk IS DISTINCT FROM -1 OR NOT stent._map_serves(a.id, a.finished_at))
        RETURNING a.id, a.args_ref, a.result_ref)
    SELECT count(*) FROM done,
           LATERAL (SELECT stent._forget(ARRAY[done.id], ARRAY[done.args_ref, done.result_ref])) f
    INTO rest;
    gone := stent._retire(cutoff);
    RETURN gone + rest;
END
$$;
COMMENT ON FUNCTION stent.cleanup(interval) IS
  'removes finished tasks older than older_than (default: stent.retention) and returns how many; live executions, dead letters and cached results whose time has not run out stay. 22023 for a negative age';

-- One row a lane in place of many. Rows that another fold holds are left to it; what
-- a reader sees is the one or the other, so sums do not change.
CREATE FUNCTION stent._fold_tallies() RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
WITH mine AS MATERIALIZED (
    SELECT t.id FROM stent.tally t
    WHERE t.lane_id IN (SELECT m.lane_id FROM stent.tally m GROUP BY m.lane_id HAVING count(*) > 1)
    FOR UPDATE SKIP LOCKED),
gone AS (
    DELETE FROM stent.tally t USING mine WHERE t.id = mine.id
    RETURNING t.lane_id, t.completed, t.failed, t.timed_out, t.cancelled, t.retried, t.dead, t.run_us, t.last_at)
INSERT INTO stent.tally (id, lane_id, completed, failed, timed_out, cancelled, retried, dead, run_us, last_at)
SELECT nextval('stent.id_seq'), g.lane_id, sum(g.completed), sum(g.failed), sum(g.timed_out), sum(g.cancelled),
       sum(g.retried), sum(g.dead), sum(g.run_us), max(g.last_at)
FROM gone g GROUP BY g.lane_id
$$;
COMMENT ON FUNCTION stent._fold_tallies() IS 'private: makes one row a lane of the totals';

-- One row in place of ten or more of a counter. Looked for among the counters that
-- were added to lately, so that the cost does not grow with history. The newest row
-- is updated to the sum, rather than replaced: retention that deletes it meanwhile
-- waits and then finds it. Rows that another fold holds are left to it.
CREATE FUNCTION stent._fold_counters() RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
WITH lately AS MATERIALIZED (
    SELECT DISTINCT n.execution_id, n.name
    FROM (SELECT c.execution_id, c.name FROM stent.counter c ORDER BY c.id DESC LIMIT 10000) n),
many AS MATERIALIZED (
    SELECT l.execution_id, l.name FROM lately l
    WHERE 10 <= (SELECT count(*) FROM (SELECT FROM stent.counter c
                 WHERE c.execution_id = l.execution_id AND c.name = l.name LIMIT 10) ten)),
mine AS MATERIALIZED (
    SELECT c.id, c.execution_id, c.name, c.delta
    FROM many m JOIN stent.counter c ON c.execution_id = m.execution_id AND c.name = m.name
    FOR UPDATE OF c SKIP LOCKED),
folded AS MATERIALIZED (
    SELECT m.id, max(m.id) OVER same AS newest, sum(m.delta) OVER same AS total
    FROM mine m WINDOW same AS (PARTITION BY m.execution_id, m.name)),
gone AS (
    DELETE FROM stent.counter c USING folded f WHERE c.id = f.id AND f.id <> f.newest)
UPDATE stent.counter c SET delta = f.total FROM folded f
WHERE c.id = f.id AND f.id = f.newest AND c.delta IS DISTINCT FROM f.total
$$;
COMMENT ON FUNCTION stent._fold_counters() IS 'private: makes one row of a counter that has many';
