-- explain(): an execution as a tree. Who may see what is decided by extension/explain.c.

CREATE FUNCTION stent._at(moment timestamp) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET datestyle = 'ISO, YMD' AS $$
SELECT date_trunc('second', $1) || ' UTC'
$$;
COMMENT ON FUNCTION stent._at(timestamp) IS 'private: a moment for people';

CREATE FUNCTION stent._span(span interval) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
SELECT CASE WHEN s < 10 THEN round(greatest(s, 0), 3) || 's'
            WHEN s < 60 THEN round(s, 1) || 's'
            WHEN s < 3600 THEN format('%sm%ss', trunc(s / 60), trunc(s % 60))
            WHEN s < 86400 THEN format('%sh%sm', trunc(s / 3600), trunc(s % 3600 / 60))
            ELSE format('%sd%sh', trunc(s / 86400), trunc(s % 86400 / 3600)) END
FROM extract(epoch FROM $1) s
$$;
COMMENT ON FUNCTION stent._span(interval) IS 'private: how long, for people';

-- What a map has done. Items that failed, were replayed and took their place have completed.
CREATE FUNCTION stent._map_counts(map_id bigint) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
SELECT jsonb_build_object('chunks', m.chunks, 'chunks_done', c.done, 'items', m.items,
                          'completed', c.completed + r.n, 'failed', c.failed - r.n)
FROM stent.map m
CROSS JOIN LATERAL (SELECT count(*) FILTER (WHERE k.finished_at IS NOT NULL) AS done,
                           COALESCE(sum(k.completed), 0) AS completed, COALESCE(sum(k.failed), 0) AS failed
                    FROM stent.chunk k WHERE k.map_id = m.id) c
CROSS JOIN LATERAL (SELECT count(*) AS n FROM stent.item i WHERE i.map_id = m.id AND i.replaced) r
WHERE m.id = $1
$$;
COMMENT ON FUNCTION stent._map_counts(bigint) IS 'private: how far a map is; NULL: nothing is known of it';

-- How many of these tasks live, and the first of them in this order.
CREATE FUNCTION stent._still_live(ids jsonb, OUT n bigint, OUT first bigint)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off AS $$
SELECT count(DISTINCT t.id), (array_agg(t.id ORDER BY w.at))[1]
FROM (SELECT e::bigint AS id, at FROM jsonb_array_elements_text($1) WITH ORDINALITY a (e, at)) w
CROSS JOIN LATERAL (SELECT k.id FROM stent.task k WHERE k.id = w.id OFFSET 0) t
$$;
COMMENT ON FUNCTION stent._still_live(jsonb) IS 'private: how many of these tasks have not ended, and the first of them';

CREATE FUNCTION stent._step_waits_for(
    kind text, name text, child_id bigint, wake_at timestamp, detail jsonb)
RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    until constant text := CASE WHEN isfinite(wake_at) THEN ' until ' || stent._at(wake_at) ELSE '' END;
    counts jsonb;
BEGIN
    CASE kind
        WHEN 'sleep' THEN
            RETURN 'sleeps' || until;
        WHEN 'signal' THEN
            RETURN format('waits for signal "%s"%s', COALESCE(detail ->> 'name', name), until);
        WHEN 'await_all' THEN
            RETURN format('waits for %s of %s tasks%s', (SELECT l.n FROM stent._still_live(detail -> 'ids') l),
                          jsonb_array_length(detail -> 'ids'), until);
        WHEN 'map' THEN
            counts := stent._map_counts(child_id);
            IF counts IS NOT NULL THEN
                RETURN format('waits for task %s%s: %s of %s chunks done', child_id, until, counts ->> 'chunks_done', counts ->> 'chunks');
            END IF;
        ELSE NULL;
    END CASE;
    RETURN CASE WHEN child_id IS NOT NULL THEN format('waits for task %s%s', child_id, until)
                ELSE format('waits for step "%s"%s', COALESCE(name, kind), until) END;
END
$$;
COMMENT ON FUNCTION stent._step_waits_for(text, text, bigint, timestamp, jsonb) IS 'private: what a step that is not done waits for';

-- What a waiting task waits for, and since when; which task that is, the first one if they are many.
CREATE FUNCTION stent._waits_for(id bigint, OUT what text, OUT since timestamp, OUT on_task bigint)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off SET max_parallel_workers_per_gather = 0 AS $$
DECLARE
    t record;
    s record;
    counts jsonb;
BEGIN
    SELECT k.chunk, k.state, k.created_at, k.execution_id INTO t FROM stent.task k WHERE k.id = _waits_for.id;
    IF t.state IS DISTINCT FROM 'w' THEN
        RETURN;
    END IF;
    IF t.chunk = -1 THEN
        counts := stent._map_counts(id);
        what := format('waits for its chunks: %s of %s done', counts ->> 'chunks_done', counts ->> 'chunks');
        since := t.created_at;
        on_task := (SELECT min(k.task_id) FROM stent.child k WHERE k.execution_id = t.execution_id AND k.parent_id = _waits_for.id);
        RETURN;
    END IF;
    SELECT * INTO s FROM stent.step k WHERE k.task_id = _waits_for.id ORDER BY k.position DESC LIMIT 1;
    IF s.state = 'w' THEN
        what := stent._step_waits_for(s.kind, s.name, s.child_id, s.wake_at, s.detail);
        since := s.created_at;
        on_task := CASE s.kind WHEN 'await_all' THEN (SELECT l.first FROM stent._still_live(s.detail -> 'ids') l) ELSE s.child_id END;
    END IF;
END
$$;
COMMENT ON FUNCTION stent._waits_for(bigint) IS 'private: what a waiting task waits for; NULL where it does not wait';

-- Whether the wait of a waiting task is over, so that it goes on as soon as somebody looks: in
-- words, and since when.
CREATE FUNCTION stent._wait_over(id bigint, OUT how text, OUT since timestamp)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off SET max_parallel_workers_per_gather = 0 AS $$
DECLARE
    w record;
    t record;
    s record;
BEGIN
    SELECT * INTO w FROM stent._waits_for(_wait_over.id);
    IF w.what IS NULL THEN
        RETURN;
    END IF;
    SELECT k.chunk, k.execution_id, k.deadline INTO t FROM stent.task k WHERE k.id = _wait_over.id;
    IF t.chunk = -1 AND w.on_task IS NULL THEN
        how := 'those that were begun have ended';
        since := (SELECT max(c.finished_at) FROM stent.chunk c WHERE c.map_id = _wait_over.id);
    END IF;
    SELECT * INTO s FROM stent.step k WHERE k.task_id = _wait_over.id ORDER BY k.position DESC LIMIT 1;
    IF s.kind = 'signal' THEN
        SELECT 'it was sent', g.sent_at INTO how, since FROM stent.signal g
        WHERE g.execution_id = t.execution_id AND g.name = s.detail ->> 'name' AND g.number > (s.detail ->> 'after')::bigint;
    ELSIF s.kind = 'await_all' THEN
        SELECT CASE WHEN w.on_task IS NULL THEN 'all have ended' ELSE 'one of them has failed' END,
               CASE WHEN w.on_task IS NULL THEN max(r.finished_at) ELSE min(r.finished_at) END
        INTO how, since
        FROM stent._task_rows r
        WHERE r.id = ANY (ARRAY(SELECT e::bigint FROM jsonb_array_elements_text(s.detail -> 'ids') e))
          AND (w.on_task IS NULL OR r.state IN ('f', 't', 'x'))
        HAVING w.on_task IS NULL OR count(*) > 0;
    ELSIF w.on_task IS NOT NULL AND NOT EXISTS (SELECT FROM stent.task k WHERE k.id = w.on_task) THEN
        how := 'that is over';
        since := (SELECT r.finished_at FROM stent._task_rows r WHERE r.id = w.on_task);
    END IF;
    IF how IS NULL AND s.wake_at <= stent.now() THEN
        how := 'that time is over';
        since := s.wake_at;
    END IF;
    IF how IS NULL AND t.deadline <= stent.now() THEN
        how := 'its max_duration is over';
        since := t.deadline;
    END IF;
    -- what it waited for may be gone
    since := CASE WHEN how IS NOT NULL THEN COALESCE(since, w.since) END;
END
$$;
COMMENT ON FUNCTION stent._wait_over(bigint) IS 'private: how the wait of a waiting task has ended, and when; NULL where it has not';

-- The children of a task, live and finished, by id.
CREATE FUNCTION stent._children(execution_id bigint, parent_id bigint, max integer)
RETURNS TABLE (id bigint, state "char", lane_id integer)
LANGUAGE sql STABLE ROWS 100 SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off AS $$
SELECT t.id, t.state, t.lane_id FROM stent.task t WHERE t.execution_id = $1 AND t.parent_id = $2 AND t.id <> t.execution_id
UNION ALL
SELECT t.id, t.state, t.lane_id FROM stent.archive t WHERE t.execution_id = $1 AND t.parent_id = $2 AND t.id <> t.execution_id
UNION ALL
SELECT t.id, t.state, t.lane_id FROM stent.dead_letter t WHERE t.execution_id = $1 AND t.parent_id = $2 AND t.id <> t.execution_id
UNION ALL
SELECT t.id, t.state, t.lane_id FROM stent.archive_kept t WHERE t.execution_id = $1 AND t.parent_id = $2 AND t.id <> t.execution_id
ORDER BY 1 LIMIT $3
$$;
COMMENT ON FUNCTION stent._children(bigint, bigint, integer) IS 'private: children of a task, live and finished';

-- What stands below a task, in order: nodes of the tree that _explain has yet to look at.
-- Of more than 20 steps of one kind and function in a row, and of more than 20 children that
-- no step knows, the others are just counted; so is the middle where too much is left.
CREATE FUNCTION stent._explain_below(
    of_task bigint, execution_id bigint, of_state text, depth integer, viewer text, admin boolean)
RETURNS jsonb[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
WITH kid AS MATERIALIZED (
    SELECT k.id, k.lane_id, CASE WHEN k.state IN ('c', 'f', 't', 'x') THEN stent._state_name(k.state) ELSE 'unfinished' END AS state
    FROM stent._children($2, $1, 100000) k),
step AS (
    SELECT s.position, s.kind, s.function_id, s.child_id,
           row_number() OVER (ORDER BY s.position)
               - row_number() OVER (PARTITION BY s.kind, s.function_id ORDER BY s.position) AS series,
           max(s.position) OVER () AS last,
           COALESCE(k.state, CASE WHEN s.kind <> 'spawn' THEN
                                  CASE s.state WHEN 'c' THEN 'completed' WHEN 'f' THEN 'failed' ELSE 'unfinished' END END) AS state
    FROM stent.step s LEFT JOIN kid k ON k.id = s.child_id
    WHERE s.task_id = $1),
numbered AS (
    SELECT s.*, row_number() OVER same AS at, min(s.position) OVER same AS first,
           count(*) OVER (PARTITION BY s.kind, s.function_id, s.series) AS n
    FROM step s WINDOW same AS (PARTITION BY s.kind, s.function_id, s.series ORDER BY s.position)),
line AS (
    SELECT s.position::bigint, false AS stray, NULL::text AS state, NULL::bigint AS n
    FROM numbered s WHERE s.at <= 20 OR s.n = 21 OR s.position = s.last
    UNION ALL
    SELECT s.first + 20, false, s.state, count(*)
    FROM numbered s WHERE s.at > 20 AND s.n > 21 AND s.position <> s.last GROUP BY s.first, s.state),
stray AS (
    SELECT k.id, k.state, row_number() OVER (ORDER BY k.id) AS at, count(*) OVER () AS n
    FROM kid k JOIN stent.lane l ON l.id = k.lane_id
    WHERE (l.role = $5 OR $6)
      AND NOT EXISTS (SELECT FROM step s WHERE s.child_id = k.id)),
node AS (
    SELECT l.stray, l.position,
           CASE WHEN count(l.n) = 0 THEN jsonb_build_object('step', l.position, 'of', $1, 'state', $3)
                ELSE jsonb_build_object('more', sum(l.n), 'by', COALESCE(jsonb_object_agg(l.state, l.n) FILTER (WHERE l.state IS NOT NULL), '{}')) END AS node,
           COALESCE(sum(l.n), 1) AS n
    FROM line l GROUP BY l.stray, l.position, l.n IS NULL
    UNION ALL
    SELECT true, s.id, jsonb_build_object('task', s.id), 1
    FROM stray s WHERE s.at <= 20 OR s.n = 21
    UNION ALL
    SELECT true, max(m.id), jsonb_build_object('more', sum(m.n), 'by', jsonb_object_agg(m.state, m.n)), sum(m.n)
    FROM (SELECT s.state, count(*) AS n, max(s.id) AS id FROM stray s WHERE s.at > 20 AND s.n > 21 GROUP BY s.state) m
    HAVING count(*) > 0),
placed AS (
    SELECT n.*, row_number() OVER (ORDER BY n.stray, n.position, n.node ? 'more') AS place, count(*) OVER () AS places FROM node n)
SELECT COALESCE(array_agg(o.node || jsonb_build_object('depth', $4) ORDER BY o.place), '{}')
FROM (SELECT p.place, p.node FROM placed p WHERE p.places <= 200 OR p.place <= 100 OR p.place > p.places - 99
      UNION ALL
      SELECT 101, jsonb_build_object('more', sum(p.n), 'by', '{}'::jsonb)
      FROM placed p WHERE p.places > 200 AND p.place > 100 AND p.place <= p.places - 99
      HAVING count(*) > 0) o
$$;
COMMENT ON FUNCTION stent._explain_below(bigint, bigint, text, integer, text, boolean) IS 'private: what stands below a task in its tree';

-- The items of a map that failed for good: the first 5.
CREATE FUNCTION stent._explain_items(of_map bigint, depth integer) RETURNS jsonb[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
SELECT COALESCE(array_agg(n.node || jsonb_build_object('depth', $2) ORDER BY n.number), '{}')
FROM (SELECT i.number, jsonb_build_object('item', i.number, 'of', $1) AS node
      FROM (SELECT i.number FROM stent.item i WHERE i.map_id = $1 AND NOT i.replaced ORDER BY i.number LIMIT 5) i
      UNION ALL
      SELECT NULL, jsonb_build_object('more', c.n - 5, 'by', jsonb_build_object('failed', c.n - 5))
      FROM (SELECT count(*) AS n FROM stent.item i WHERE i.map_id = $1 AND NOT i.replaced) c WHERE c.n > 5) n
$$;
COMMENT ON FUNCTION stent._explain_items(bigint, integer) IS 'private: what stands below a map in its tree';

CREATE FUNCTION stent._explain(id bigint, viewer text, admin boolean)
RETURNS TABLE (ordinal integer, depth integer, kind text, step integer, name text, parent_id bigint, task_id bigint,
               function text, state text, created_at timestamp, started_at timestamp, finished_at timestamp,
               duration interval, attempt integer, error jsonb, waits_for text, detail jsonb)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off SET max_parallel_workers_per_gather = 0 SET datestyle = 'ISO, YMD' AS $$
#variable_conflict use_column
DECLARE
    most_lines constant integer := 1000;
    stack jsonb[] := ARRAY[jsonb_build_object('task', _explain.id, 'depth', 0)];
    node jsonb;
    below jsonb[];
    s record;
    t record;
    i record;
    running_of bigint;
    running jsonb;
BEGIN
    ordinal := 0;
    WHILE cardinality(stack) > 0 LOOP
        node := stack[cardinality(stack)];
        stack := trim_array(stack, 1);
        ordinal := ordinal + 1;
        depth := node ->> 'depth';
        step := NULL; name := NULL; parent_id := node -> 'of'; task_id := NULL; function := NULL; state := NULL;
        created_at := NULL; started_at := NULL; finished_at := NULL; duration := NULL; attempt := NULL; error := NULL;
        waits_for := NULL; detail := NULL;
        below := '{}';
        IF ordinal > most_lines THEN
            depth := 0;
            kind := 'cut';
            RETURN NEXT;
            RETURN;
        ELSIF node ? 'more' THEN
            kind := 'more';
            detail := jsonb_build_object('more', node -> 'more', 'by', node -> 'by');
            RETURN NEXT;
            CONTINUE;
        ELSIF node ? 'item' THEN
            SELECT m.number, m.task_id, m.attempt, m.error INTO i
            FROM stent.item m WHERE m.map_id = parent_id AND m.number = (node -> 'item')::bigint;
            kind := 'item';
            name := node ->> 'item';
            task_id := i.task_id;
            -- unless its dead letter was replayed
            state := COALESCE((SELECT v.state FROM stent.tasks v WHERE v.id = i.task_id), 'failed');
            attempt := i.attempt;
            error := CASE WHEN state <> 'completed' THEN i.error END;
            RETURN NEXT;
            CONTINUE;
        ELSIF node ? 'step' THEN
            SELECT p.*, f.name AS function INTO s
            FROM stent.step p LEFT JOIN stent.function f ON f.id = p.function_id
            WHERE p.task_id = parent_id AND p.position = (node -> 'step')::integer;
            -- one of a way that a later attempt did not take is not waited for any more
            CONTINUE WHEN NOT FOUND OR (s.state = 'w' AND node ->> 'state' = 'completed');
            kind := s.kind;
            step := s.position;
            name := s.name;
            task_id := s.child_id;
            function := s.function;
            created_at := s.created_at;
            finished_at := s.finished_at;
            error := s.error;
            -- a spawn that is done says nothing of the task it made
            state := CASE WHEN s.kind = 'spawn' THEN NULL WHEN s.state = 'c' THEN 'completed' WHEN s.state = 'f' THEN 'failed'
                          -- it was what the task waited for when that was ended from outside
                          WHEN node ->> 'state' IN ('cancelled', 'timed_out', 'failed') THEN node ->> 'state'
                          ELSE 'waiting' END;
            IF finished_at IS NULL AND state IN ('cancelled', 'timed_out', 'failed') THEN
                SELECT v.finished_at INTO finished_at FROM stent.tasks v WHERE v.id = parent_id;
            END IF;
            detail := CASE kind WHEN 'signal' THEN jsonb_build_object('signal', COALESCE(s.detail ->> 'name', s.name))
                                WHEN 'await_all' THEN jsonb_build_object('tasks', jsonb_array_length(s.detail -> 'ids')) END;
            IF state = 'waiting' AND node ->> 'state' = 'waiting' THEN
                waits_for := stent._step_waits_for(s.kind, s.name, s.child_id, s.wake_at, s.detail);
            END IF;
        ELSE
            kind := 'task';
            task_id := node -> 'task';
        END IF;

        IF kind IN ('task', 'call', 'spawn', 'map', 'map_query') AND task_id IS NOT NULL THEN
            SELECT v.* INTO t FROM stent.tasks v WHERE v.id = task_id;
            IF FOUND AND (t.role = viewer OR admin) THEN
                function := t.function;
                state := t.state;
                created_at := t.created_at;
                started_at := t.started_at;
                IF state = 'running' THEN
                    -- one look at all leases, which may be many, does for all of the tree
                    IF running_of IS DISTINCT FROM t.execution_id THEN
                        running_of := t.execution_id;
                        SELECT jsonb_object_agg(r.id, r.started_at) INTO running FROM stent.running r WHERE r.execution_id = running_of;
                    END IF;
                    started_at := running ->> t.id::text;
                END IF;
                finished_at := t.finished_at;
                attempt := t.attempt;
                error := COALESCE(t.error, error);
                waits_for := CASE t.state
                    WHEN 'waiting' THEN (SELECT w.what FROM stent._waits_for(t.id) w)
                    WHEN 'scheduled' THEN CASE WHEN t.due_at <= stent.now() THEN 'due since '
                                               WHEN t.attempt > 0 THEN 'next attempt at ' ELSE 'due at ' END || stent._at(t.due_at)
                    WHEN 'blocked' THEN format('waits for its turn by concurrency key "%s"', t.concurrency_key) END;
                detail := stent._map_counts(t.id);
                IF kind = 'task' THEN
                    parent_id := t.parent_id;
                    -- not by the name of a step that the reader may not see
                    kind := CASE WHEN detail IS NOT NULL THEN 'map' ELSE 'task' END;
                END IF;
                -- what another execution has made is shown there
                IF depth = 0 OR t.parent_id = parent_id THEN
                    below := CASE WHEN detail IS NOT NULL THEN stent._explain_items(t.id, depth + 1)
                                  ELSE stent._explain_below(t.id, t.execution_id, t.state, depth + 1, viewer, admin) END;
                END IF;
            END IF;
        END IF;
        duration := COALESCE(finished_at, stent.now()) - created_at;
        RETURN NEXT;
        FOR n IN REVERSE cardinality(below)..1 LOOP
            stack := stack || below[n];
        END LOOP;
    END LOOP;
END
$$;
COMMENT ON FUNCTION stent._explain(bigint, text, boolean) IS 'private: the tree of a task as rows, as much of it as that role may see';

-- A line of the tree.
CREATE FUNCTION stent._explain_line(
    depth integer, kind text, step integer, name text, task_id bigint, function text, state text, finished_at timestamp,
    duration interval, attempt integer, error jsonb, waits_for text, detail jsonb)
RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    what text;
    message text;
BEGIN
    IF kind = 'cut' THEN
        RETURN '... and more: only so many lines are shown, see stent.explain() of a task below';
    ELSIF kind = 'more' THEN
        RETURN repeat('  ', depth) || format('... and %s more', detail ->> 'more')
            || COALESCE(' (' || (SELECT string_agg(format('%s %s', b.value, b.key), ', ' ORDER BY b.key COLLATE "C")
                                 FROM jsonb_each_text(detail -> 'by') b) || ')', '');
    END IF;
    what := concat_ws(' ', step, CASE WHEN kind = 'task' OR step IS NULL AND kind = 'map' THEN format('%s %s', kind, task_id)
                                      WHEN kind = 'item' THEN 'item ' || name ELSE kind END,
                      CASE WHEN kind = 'signal' THEN format('"%s"', detail ->> 'signal') END,
                      CASE WHEN kind = 'await_all' THEN format('of %s tasks', detail ->> 'tasks') END,
                      CASE WHEN kind IN ('signal', 'await_all') THEN '(step "' || name || '")'
                           WHEN kind <> 'item' THEN '"' || name || '"' END, function)
            || CASE WHEN (step IS NOT NULL OR kind = 'item') AND task_id IS NOT NULL THEN format(', task %s', task_id) ELSE '' END;
    IF error IS NOT NULL THEN
        message := regexp_replace(COALESCE(error ->> 'message', 'no message'), '[[:cntrl:]]+', ' ', 'g');
        message := concat_ws(': ', error ->> 'code', CASE WHEN length(message) > 120 THEN left(message, 117) || '...' ELSE message END);
    END IF;
    RETURN repeat('  ', depth) || what || COALESCE(': ' || state, '')
        || CASE WHEN duration IS NULL OR state IS NULL OR kind IN ('record', 'item') THEN ''
                WHEN finished_at IS NOT NULL THEN ' in ' || stent._span(duration)
                ELSE ' for ' || stent._span(duration) END
        || CASE WHEN attempt > 1 AND state IN ('completed', 'failed', 'timed_out', 'cancelled') THEN format(' after %s attempts', attempt)
                WHEN attempt > 1 THEN format(', attempt %s', attempt) ELSE '' END
        || CASE WHEN message IS NULL THEN '' WHEN finished_at IS NOT NULL OR state = 'failed' THEN ' with ' || message ELSE ', last error ' || message END
        || CASE WHEN detail ? 'chunks' THEN format('; %s of %s chunks, %s of %s items done%s', detail ->> 'chunks_done', detail ->> 'chunks',
                    (detail -> 'completed')::bigint + (detail -> 'failed')::bigint, detail ->> 'items',
                    CASE WHEN (detail -> 'failed')::bigint > 0 THEN format(', %s failed', detail ->> 'failed') ELSE '' END)
                -- what the line has told already
                WHEN kind IN ('sleep', 'signal', 'await') THEN COALESCE(', ' || substring(waits_for FROM 'until .*'), '')
                ELSE COALESCE('; ' || waits_for, '') END;
END
$$;
COMMENT ON FUNCTION stent._explain_line(integer, text, integer, text, bigint, text, text, timestamp, interval, integer, jsonb, text, jsonb) IS
  'private: a line of a tree';

CREATE FUNCTION stent._explain_text(id bigint, viewer text, admin boolean) RETURNS SETOF text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
SELECT stent._explain_line(e.depth, e.kind, e.step, e.name, e.task_id, e.function, e.state, e.finished_at, e.duration, e.attempt,
                           e.error, e.waits_for, e.detail)
FROM stent._explain($1, $2, $3) e ORDER BY e.ordinal
$$;
COMMENT ON FUNCTION stent._explain_text(bigint, text, boolean) IS 'private: the tree of a task as lines';

CREATE FUNCTION stent.explain(id bigint) RETURNS SETOF text
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_explain';
COMMENT ON FUNCTION stent.explain(bigint) IS
  'an execution, or the part of it below a task, as a tree: each task and each of its steps in order, with state, how long, attempts, error and what it waits for. Long series are counted after 20. Shows own tasks, or with the admin grant everybody''s. P0002 for an unknown id, 22004 for NULL';

CREATE FUNCTION stent.explain_rows(
    id bigint, OUT ordinal integer, OUT depth integer, OUT kind text, OUT step integer, OUT name text, OUT parent_id bigint,
    OUT task_id bigint, OUT function text, OUT state text, OUT created_at timestamp, OUT started_at timestamp,
    OUT finished_at timestamp, OUT duration interval, OUT attempt integer, OUT error jsonb, OUT waits_for text, OUT detail jsonb)
RETURNS SETOF record
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_explain_rows';
COMMENT ON FUNCTION stent.explain_rows(bigint) IS
  'the same as rows, ordinal in the order of the lines: kind is task, the kind of a step (step: its position in its task, parent_id), item (one that failed of a map, name: its index), more (detail: how many are not shown, by state) or cut (the end is not shown); detail of a map: its chunks and items';
