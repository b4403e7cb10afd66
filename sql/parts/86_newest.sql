-- newest(): executions as a list, the newest first, however many there are. Ids rise with
-- dispatch, partitions hold what finished on a day: each is walked backwards by its primary
-- key, the last day first, and none that has nothing newer than what was found. With a filter
-- that few rows pass a walk may be long, but it stays one walk.
CREATE FUNCTION stent._newest(
    state text, function text, queue text, max_rows integer, viewer text, admin boolean)
RETURNS SETOF bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off SET max_parallel_workers_per_gather = 0
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
#variable_conflict use_variable
DECLARE
    stored constant "char" := CASE state WHEN 'scheduled' THEN 's' WHEN 'blocked' THEN 'b' WHEN 'ready' THEN 'r' WHEN 'running' THEN 'r'
        WHEN 'waiting' THEN 'w' WHEN 'completed' THEN 'c' WHEN 'failed' THEN 'f' WHEN 'timed_out' THEN 't' WHEN 'cancelled' THEN 'x' END;
    lanes integer[];
    found bigint[] := '{}';
    oldest bigint := 0;
    part record;
    more bigint[];
BEGIN
    SELECT array_agg(l.id) INTO lanes
    FROM stent.lane l JOIN stent.function f ON f.id = l.function_id
    WHERE (admin OR l.role = viewer) AND (function IS NULL OR f.name = function) AND (queue IS NULL OR l.queue = queue);
    IF lanes IS NULL OR (state IS NOT NULL AND stored IS NULL) THEN
        RETURN;
    ELSIF state = 'running' THEN
        -- few, and they are known
        RETURN QUERY SELECT t.id FROM stent.running r JOIN stent.task t ON t.id = r.id
                     WHERE t.parent_id IS NULL AND t.lane_id = ANY (lanes) ORDER BY t.id DESC LIMIT max_rows;
        RETURN;
    END IF;
    FOR part IN
        SELECT p.name
        FROM (SELECT 1 AS place, 'stent.task' AS name, 'sbrw' AS states
              UNION ALL SELECT 2, 'stent.dead_letter', 'f'
              UNION ALL SELECT 3, 'stent.archive_kept', 'cftx'
              UNION ALL SELECT 4, i.inhrelid::regclass::text, 'cftx' FROM pg_inherits i WHERE i.inhparent = 'stent.archive'::regclass) p
        WHERE state IS NULL OR strpos(p.states, stored::text) > 0
        ORDER BY p.place, p.name DESC
    LOOP
        EXECUTE format('SELECT array_agg(n.id) FROM (SELECT t.id FROM %s t WHERE t.id > $1 AND t.parent_id IS NULL '
                       'AND t.lane_id = ANY ($2)%s ORDER BY t.id DESC LIMIT $4) n', part.name,
                       CASE WHEN state IS NULL THEN '' ELSE ' AND t.state = $3' END ||
                       CASE WHEN state = 'ready' THEN ' AND NOT EXISTS (SELECT FROM stent.running r WHERE r.id = t.id)' ELSE '' END)
        INTO more USING oldest, lanes, stored, max_rows;
        IF more IS NOT NULL THEN
            SELECT array_agg(n.id ORDER BY n.id DESC) INTO found
            FROM (SELECT u AS id FROM unnest(found || more) u ORDER BY u DESC LIMIT max_rows) n;
            IF cardinality(found) >= max_rows THEN
                oldest := found[cardinality(found)];
            END IF;
        END IF;
    END LOOP;
    RETURN QUERY SELECT u FROM unnest(found) WITH ORDINALITY o (u, n) ORDER BY o.n;
END
$$;
COMMENT ON FUNCTION stent._newest(text, text, text, integer, text, boolean) IS 'private: what newest() returns, for that role';

CREATE FUNCTION stent.newest(
    state text DEFAULT NULL, function text DEFAULT NULL, queue text DEFAULT NULL, max_rows integer DEFAULT 20)
RETURNS SETOF bigint
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_newest';
COMMENT ON FUNCTION stent.newest(text, text, text, integer) IS
  'ids of the newest executions, the newest first: own ones, or with the admin grant everybody''s; of a state, a function and a queue (NULL: all). Quick however long the history is, unlike a sorted look at the view executions. 22004 for NULL as max_rows, 22023 for one below 1';
