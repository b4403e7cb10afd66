-- Partitions: stent.archive_pYYYYMMDD holds what finished that day (UTC).

CREATE FUNCTION stent._add_partitions(first date, last date) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning AS $$
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
DELETE FROM stent.payload WHERE id = ANY (refs);
DELETE FROM stent.attempt WHERE task_id = ANY (ids);
DELETE FROM stent.step WHERE task_id = ANY (ids);
DELETE FROM stent.counter WHERE execution_id = ANY (ids);
DELETE FROM stent.context WHERE execution_id = ANY (ids);
$$;
COMMENT ON FUNCTION stent._forget(bigint[], bigint[]) IS 'private: removes what belongs to tasks that left the archive';

-- Only rows that own something elsewhere need _forget: large values, failed
-- attempts, steps, counters, context. The aggregate reads the leaf once.
CREATE FUNCTION stent._drop_partition(leaf regclass) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    gone bigint;
    kept bigint;
BEGIN
    EXECUTE format('INSERT INTO stent.archive_kept SELECT a.* FROM %s a '
                   'WHERE a.id <> a.execution_id AND EXISTS (SELECT FROM stent.task t WHERE t.id = a.execution_id) '
                   'ON CONFLICT DO NOTHING', leaf);
    GET DIAGNOSTICS kept = ROW_COUNT;
    EXECUTE format('SELECT count(*) FROM %s', leaf) INTO gone;
    EXECUTE format('WITH gone AS MATERIALIZED (SELECT a.id, a.args_ref, a.result_ref FROM %s a '
                   'WHERE NOT EXISTS (SELECT FROM stent.archive_kept k WHERE k.id = a.id)), '
                   'p AS (DELETE FROM stent.payload p USING gone g WHERE p.id IN (g.args_ref, g.result_ref)), '
                   'a AS (DELETE FROM stent.attempt a USING gone g WHERE a.task_id = g.id), '
                   's AS (DELETE FROM stent.step s USING gone g WHERE s.task_id = g.id), '
                   'c AS (DELETE FROM stent.counter c USING gone g WHERE c.execution_id = g.id) '
                   'DELETE FROM stent.context c USING gone g WHERE c.execution_id = g.id', leaf);
    EXECUTE format('DROP TABLE %s', leaf);
    RETURN gone - kept;
END
$$;
COMMENT ON FUNCTION stent._drop_partition(regclass) IS 'private: drops one archive partition with what belongs to its rows';

-- Partitions that ended before the cutoff go whole. The parent is locked for a
-- moment; if someone reads it for longer than lock_timeout, the rest waits for
-- the next call.
CREATE FUNCTION stent._retire(cutoff timestamp) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET lock_timeout = '100ms' AS $$
DECLARE
    leaf regclass;
    gone bigint := 0;
BEGIN
    FOR leaf IN SELECT c.oid::regclass
                FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                WHERE i.inhparent = 'stent.archive'::regclass
                  AND c.relname ~ '^archive_p[0-9]{8}$'
                  AND to_date(right(c.relname, 8), 'YYYYMMDD') + 1 <= cutoff::date
                ORDER BY c.relname LOOP
        BEGIN
            gone := gone + stent._drop_partition(leaf);
        EXCEPTION WHEN lock_not_available OR undefined_table THEN
            EXIT;
        END;
    END LOOP;
    WITH done AS (
        DELETE FROM stent.archive_kept k
        WHERE k.finished_at < cutoff
          AND NOT EXISTS (SELECT FROM stent.task t WHERE t.id = k.execution_id)
        RETURNING k.id, k.args_ref, k.result_ref)
    SELECT gone + count(*) FROM done,
           LATERAL (SELECT stent._forget(ARRAY[done.id], ARRAY[done.args_ref, done.result_ref])) f
    INTO gone;
    RETURN gone;
END
$$;
COMMENT ON FUNCTION stent._retire(timestamp) IS 'private: what retention does';

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
    gone := stent._retire(cutoff);
    WITH done AS (
        DELETE FROM stent.archive a
        WHERE a.finished_at < cutoff
          AND NOT EXISTS (SELECT FROM stent.task t WHERE t.id = a.execution_id)
        RETURNING a.id, a.args_ref, a.result_ref)
    SELECT count(*) FROM done,
           LATERAL (SELECT stent._forget(ARRAY[done.id], ARRAY[done.args_ref, done.result_ref])) f
    INTO rest;
    RETURN gone + rest;
END
$$;
COMMENT ON FUNCTION stent.cleanup(interval) IS
  'removes finished tasks older than older_than (default: stent.retention) and returns how many; live executions and dead letters stay. 22023 for a negative age';
