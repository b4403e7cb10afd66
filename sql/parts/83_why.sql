-- why(): the reason a task is not running.

CREATE FUNCTION stent._canceller(task_id bigint) RETURNS integer
LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'stent_canceller';
COMMENT ON FUNCTION stent._canceller(bigint) IS 'private: the session that is about to cancel the task';

CREATE FUNCTION stent._ready_entry(task_id bigint, OUT taken_by xid, OUT before bigint, OUT before_exact boolean)
RETURNS SETOF record
LANGUAGE c STABLE STRICT ROWS 1 AS 'MODULE_PATHNAME', 'stent_ready_entry';
COMMENT ON FUNCTION stent._ready_entry(bigint) IS 'private: who has taken a ready task, and how many of its role stand before it';

CREATE FUNCTION stent._next_start(function_id integer) RETURNS timestamp
LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'stent_next_start';
COMMENT ON FUNCTION stent._next_start(integer) IS 'private: when the rate limit lets a task of the function start; NULL: now';

-- The places of a function are locks that extension/place.c takes: the function's id,
-- the number of the place, and the class 0x5700; those of leased tasks are rows. Which no
-- limit allows any more do not count.
CREATE FUNCTION stent._limit_reached(function_id integer) RETURNS text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET datestyle = 'ISO, YMD' AS $$
DECLARE
    f record;
    taken bigint;
    holders text;
    next_start timestamp;
BEGIN
    SELECT * INTO f FROM stent.function v WHERE v.id = function_id;
    IF f.max_concurrent IS NOT NULL THEN
        -- who takes a leased task's place holds its lock until the commit
        SELECT count(DISTINCT h.number), string_agg(DISTINCT h.holder, ', ' ORDER BY h.holder)
        INTO taken, holders
        FROM (SELECT l.objid::bigint AS number,
                     CASE WHEN l.pid IS NULL THEN 'a prepared transaction' ELSE 'pid ' || l.pid END AS holder
              FROM pg_locks l
              WHERE l.locktype = 'advisory' AND l.objsubid = 22272 AND l.granted
                AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
                AND l.classid = f.id::oid AND l.objid::bigint < f.max_concurrent
              UNION ALL
              SELECT p.number, COALESCE(format('worker "%s"', w.worker), 'a worker')
              FROM stent.place p LEFT JOIN stent._leased_now() w ON w.task_id = p.task_id
              WHERE p.kind = 'f' AND p.what = f.id AND p.number < f.max_concurrent) h;
        IF taken >= f.max_concurrent THEN
            RETURN format('function "%s" already runs max_concurrent (%s) tasks, by %s', f.name, f.max_concurrent, holders);
        END IF;
    END IF;
    next_start := stent._next_start(function_id);
    IF next_start IS NOT NULL THEN
        RETURN format('function "%s" has reached its rate limit (%s in %s): the next start is at %s UTC', f.name, f.rate_limit,
                      f.rate_interval, date_trunc('milliseconds', next_start));
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION stent._limit_reached(integer) IS 'private: which limit keeps tasks of the function from starting; NULL: none';

-- Who a transaction id belongs to, for people.
CREATE FUNCTION stent._transaction_name(transaction xid) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
SELECT COALESCE(
    (SELECT format('prepared transaction %L', p.gid) FROM pg_prepared_xacts p WHERE p.transaction = $1),
    (SELECT format('the open transaction of pid %s', l.pid) FROM pg_locks l
     WHERE l.locktype = 'transactionid' AND l.transactionid = $1 AND l.mode = 'ExclusiveLock' AND l.granted LIMIT 1),
    'an open transaction')
$$;
COMMENT ON FUNCTION stent._transaction_name(xid) IS 'private: who a transaction id belongs to';

-- Why nobody runs tasks of the role; NULL if somebody does.
CREATE FUNCTION stent._role_not_served(task_role text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    server record;
    waiting record;
    role_oid oid;
    can_login boolean;
    used integer;
BEGIN
    SELECT * INTO server FROM stent._server();
    SELECT r.oid, r.rolcanlogin INTO role_oid, can_login FROM pg_roles r WHERE r.rolname = task_role;
    IF role_oid IS NULL THEN
        RETURN format('its role %I does not exist any more: create it again, or rename it back', task_role);
    ELSIF server.role_must_log_in AND NOT can_login THEN
        RETURN format('its role %I cannot log in: ALTER ROLE %1$I LOGIN', task_role);
    ELSIF server.in_recovery THEN
        RETURN stent._not_served();
    ELSIF NOT server.preloaded THEN
        RETURN CASE WHEN NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.backend_type = 'stent executor'
                                     AND a.datname = current_database() AND a.usename = task_role)
                    THEN stent._not_served() END;
    ELSIF stent._not_served() IS NOT NULL THEN
        RETURN stent._not_served();
    ELSIF server.max_executors = 0 THEN
        RETURN 'stent.max_executors is 0: raise it and reload';
    END IF;
    SELECT count(*) INTO used FROM stent._executors() e
    JOIN pg_database d ON d.oid = e.database WHERE d.datname = current_database() AND e.role = role_oid;
    IF used > 0 THEN
        RETURN NULL;
    END IF;
    SELECT * INTO waiting FROM stent._waiting_roles() w WHERE w.role = role_oid;
    IF server.exhausted_since IS NOT NULL THEN
        RETURN format('no background worker slot is free since %s UTC: raise max_worker_processes, or lower stent.max_executors',
                      date_trunc('second', server.exhausted_since));
    ELSIF waiting.problem IS NOT NULL THEN
        RETURN format('no executor of role %I could be started: %s%s', task_role, waiting.problem,
                      '; tried again at ' || date_trunc('second', waiting.retry_at) || ' UTC');
    ELSIF server.used >= server.max_executors THEN
        RETURN format('all executors are busy with other roles (%s of %s)%s; stent.max_executors limits them', server.used,
                      server.max_executors, ', role ' || task_role || ' waits since ' || date_trunc('second', waiting.since) || ' UTC');
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION stent._role_not_served(text) IS 'private: why nobody runs tasks of a role; NULL if somebody does, or is about to';

-- Workers and a lane: which of the three things it asks for each of them serves, as claim
-- does. One that only claims has not told; it serves what it has leased tasks like.
CREATE FUNCTION stent._workers_of(
    lane_function text, lane_queue text, lane_tags text[],
    OUT name text, OUT state text, OUT live boolean, OUT slots integer, OUT busy integer, OUT ended_at timestamp,
    OUT of_function boolean, OUT of_queue boolean, OUT of_tags boolean)
RETURNS SETOF record
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
SELECT w.name,
       CASE WHEN w.stopped_at IS NULL AND w.alive_until < stent.now() THEN 'lost' ELSE w.state END,
       w.stopped_at IS NULL AND w.alive_until >= stent.now(),
       w.slots, w.busy, COALESCE(w.stopped_at, w.alive_until),
       w.functions IS NULL OR $1 = ANY (w.functions),
       w.queues IS NULL OR $2 = ANY (w.queues),
       cardinality($3) = 0 OR COALESCE(cardinality(w.tags), 0) = 0 OR $3 && w.tags
FROM stent.worker w
UNION ALL
SELECT DISTINCT n.worker, 'ready', true, NULL::integer, NULL::integer, NULL::timestamp, true, true, true
FROM stent._leased_now() n
JOIN stent.lane l ON l.id = n.lane_id
JOIN stent.function f ON f.id = n.function_id
WHERE f.name = $1 AND l.queue = $2 AND l.tags = $3
  AND NOT EXISTS (SELECT FROM stent.worker w WHERE w.name = n.worker)
  -- spares the walk over all leased tasks where there is no such worker
  AND EXISTS (SELECT FROM stent.lease x WHERE NOT EXISTS (SELECT FROM stent.worker w WHERE w.name = x.worker))
$$;
COMMENT ON FUNCTION stent._workers_of(text, text, text[]) IS 'private: workers, and which of a function, a queue and tags they serve';

-- Why no live worker serves such tasks; NULL if one does.
CREATE FUNCTION stent._no_worker(lane_function text, lane_queue text, lane_tags text[]) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET datestyle = 'ISO, YMD' AS $$
DECLARE
    n_live integer;
    served boolean;
    gone text;
    near text;
BEGIN
    SELECT count(*) FILTER (WHERE w.live), bool_or(w.live AND w.of_function AND w.of_queue AND w.of_tags)
    INTO n_live, served FROM stent._workers_of(lane_function, lane_queue, lane_tags) w;
    IF served THEN
        RETURN NULL;
    END IF;
    SELECT format('worker "%s" did, and %s at %s UTC', w.name, CASE w.state WHEN 'stopped' THEN 'stopped' ELSE 'was lost' END,
                  date_trunc('second', w.ended_at))
    INTO gone
    FROM stent._workers_of(lane_function, lane_queue, lane_tags) w
    WHERE NOT w.live AND w.of_function AND w.of_queue AND w.of_tags
    ORDER BY w.ended_at DESC, w.name LIMIT 1;
    SELECT string_agg(format('worker "%s" serves %s', m.name,
               CASE WHEN NOT m.of_function THEN format('queue "%s"%s, but not the function', lane_queue,
                                                       CASE WHEN m.of_tags THEN '' ELSE ' without its tags' END)
                    ELSE 'the function, but ' || concat_ws(' and ', CASE WHEN NOT m.of_queue THEN format('not queue "%s"', lane_queue) END,
                         CASE WHEN NOT m.of_tags THEN format('none of the tags %s', lane_tags) END) END), '; '
               ORDER BY m.of_function DESC, m.missing, m.name)
    INTO near
    FROM (SELECT w.*, 3 - w.of_function::integer - w.of_queue::integer - w.of_tags::integer AS missing
          FROM stent._workers_of(lane_function, lane_queue, lane_tags) w
          -- one that names the queue by itself, and tasks of other functions in it
          WHERE w.live AND (w.of_function
                            OR EXISTS (SELECT FROM stent.worker k WHERE k.name = w.name AND lane_queue = ANY (k.queues)))
          ORDER BY w.of_function DESC, missing, w.name LIMIT 3) m;
    RETURN 'no live worker serves it: ' || COALESCE(near, gone, CASE n_live WHEN 0 THEN 'none has told of itself'
               WHEN 1 THEN 'the only one serves other functions' ELSE format('all %s serve other functions', n_live) END);
END
$$;
COMMENT ON FUNCTION stent._no_worker(text, text, text[]) IS 'private: why no live worker serves tasks of a lane; NULL if one does';

CREATE FUNCTION stent._lost_text(lost integer) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
SELECT CASE WHEN $1 > 0 THEN format(' Its worker was lost %s before; after %s such losses in all it is a dead letter (stent.max_lost).',
                                    CASE $1 WHEN 1 THEN 'once' ELSE $1 || ' times' END, current_setting('stent.max_lost'))
            ELSE '' END
$$;
COMMENT ON FUNCTION stent._lost_text(integer) IS 'private: a sentence about lost workers of a task, or nothing';

-- What a ready task of an external function waits for.
CREATE FUNCTION stent._why_external(task_function text, task_queue text, task_tags text[], function_id integer, lost integer) RETURNS text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET datestyle = 'ISO, YMD' AS $$
DECLARE
    reason text := stent._no_worker(task_function, task_queue, task_tags);
    serving text;
BEGIN
    IF reason IS NOT NULL THEN
        RETURN format('It is ready, but function "%s" is external and %s.%s', task_function, reason, stent._lost_text(lost));
    END IF;
    reason := stent._limit_reached(function_id);
    IF reason IS NOT NULL THEN
        RETURN format('It is ready, but %s.%s', reason, stent._lost_text(lost));
    END IF;
    SELECT string_agg(format('"%s"%s', s.name, ' (' || nullif(concat_ws(', ',
               CASE WHEN s.state <> 'ready' THEN s.state END,
               CASE WHEN s.busy IS NOT NULL THEN format('%s%s slots busy', s.busy, ' of ' || s.slots) END), '') || ')'), ', ')
           || CASE WHEN count(*) < max(s.n) THEN format(' and %s more', max(s.n) - count(*)) ELSE '' END
    INTO serving
    FROM (SELECT w.*, count(*) OVER () AS n
          FROM stent._workers_of(task_function, task_queue, task_tags) w
          WHERE w.live AND w.of_function AND w.of_queue AND w.of_tags
          ORDER BY w.state = 'ready' DESC, w.busy < w.slots DESC NULLS LAST, w.name LIMIT 5) s;
    RETURN format('It is ready and waits for one of its workers to claim it: %s.%s', serving, stent._lost_text(lost));
END
$$;
COMMENT ON FUNCTION stent._why_external(text, text, text[], integer, integer) IS 'private: what a ready task of an external function waits for';

CREATE FUNCTION stent._line(function_id integer, concurrency_key text) RETURNS bigint
LANGUAGE c IMMUTABLE STRICT AS 'MODULE_PATHNAME', 'stent_line';
COMMENT ON FUNCTION stent._line(integer, text) IS 'private: the line of a concurrency key';

-- Why a blocked task is so: the first of those before it, which has to end.
CREATE FUNCTION stent._why_blocked(id bigint) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    me record;
    first record;
    older bigint;
BEGIN
    SELECT stent._line(t.function_id, t.concurrency_key) AS line, COALESCE(t.position, t.id) AS position,
           t.concurrency_key, f.max_per_key, w.role INTO me
    FROM stent.task t JOIN stent.function f ON f.id = t.function_id JOIN stent.lane w ON w.id = t.lane_id WHERE t.id = _why_blocked.id;
    SELECT count(*) INTO older FROM (SELECT FROM stent.line l WHERE l.line = me.line AND l.position < me.position LIMIT 10001) o;
    SELECT t.id, t.state, t.due_at, w.role, w.queue, w.tags, f.name AS function, r.pid, k.worker, f.handler IS NULL AS external,
           (SELECT string_agg(stent._pause_text(p), '; ' ORDER BY p.queue, p.function_id)
            FROM stent._pauses(w.queue, t.function_id) p) AS paused INTO first
    FROM (SELECT l.task_id, l.position FROM stent.line l WHERE l.line = me.line AND l.position < me.position ORDER BY l.position LIMIT 1) o
    JOIN stent.task t ON t.id = o.task_id
    JOIN stent.lane w ON w.id = t.lane_id
    JOIN stent.function f ON f.id = t.function_id
    LEFT JOIN stent._running_now() r ON r.task_id = t.id
    LEFT JOIN stent._leased_now() k ON k.task_id = t.id;
    IF older < me.max_per_key OR first.id IS NULL THEN
        RETURN format('It is blocked, but it is its turn by concurrency key "%s": it becomes ready at any moment.', me.concurrency_key);
    END IF;
    RETURN format('It is blocked: %s of concurrency key "%s" stand%s before it%s; %s.',
                  CASE older WHEN 1 THEN '1 older task' WHEN 10001 THEN 'over 10000 older tasks' ELSE older || ' older tasks' END,
                  me.concurrency_key, CASE older WHEN 1 THEN 's' ELSE '' END,
                  CASE me.max_per_key WHEN 1 THEN '' ELSE format(', and %s of them may run at a time', me.max_per_key) END,
                  format('task %s, the first, ', first.id) ||
                  CASE WHEN first.pid IS NOT NULL THEN format('is running by pid %s', first.pid)
                       WHEN first.worker IS NOT NULL THEN format('is leased by worker "%s"', first.worker)
                       WHEN first.state = 's' THEN format('waits for its retry at %s UTC', date_trunc('second', first.due_at))
                       -- what a workflow of another role waits for is that role's to know
                       WHEN first.state = 'w' THEN COALESCE((SELECT format('%s: see stent.why(%s)', n.what, first.id)
                                                             FROM stent._waits_for(first.id) n WHERE first.role = me.role), 'waits')
                       WHEN first.state = 'b' THEN 'becomes ready at any moment'
                       ELSE 'is ready' || COALESCE(', but ' || COALESCE(first.paused,
                           CASE WHEN first.external THEN COALESCE(stent._no_worker(first.function, first.queue, first.tags),
                                                             'waits for a worker to claim it') ELSE stent._role_not_served(first.role) END), '') END);
END
$$;
COMMENT ON FUNCTION stent._why_blocked(bigint) IS 'private: which tasks of its concurrency key a blocked task waits for';

-- What a waiting task waits for, where to look next, and, if the wait is over, why it does not go on.
CREATE FUNCTION stent._why_waiting(id bigint, task_role text, external boolean) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    w record;
    ended record;
    other text;
    other_role text;
BEGIN
    SELECT * INTO w FROM stent._waits_for(id);
    IF w.what IS NULL THEN
        RETURN 'It waits, but for nothing any more: it goes on at any moment.';
    END IF;
    SELECT * INTO ended FROM stent._wait_over(id);
    IF w.on_task IS NOT NULL THEN
        SELECT v.state, v.role INTO other, other_role FROM stent.tasks v WHERE v.id = w.on_task;
        other := CASE WHEN other IS NULL THEN 'is gone' WHEN other IN ('completed', 'failed') THEN 'has ' || other
                      WHEN other = 'timed_out' THEN 'has timed out' WHEN other = 'cancelled' THEN 'was cancelled' ELSE 'is ' || other END;
        other := format('; task %s %s%s', w.on_task, other, CASE WHEN ended.how IS NULL AND other_role = task_role THEN format(': see stent.why(%s)', w.on_task) ELSE '' END);
    END IF;
    RETURN format('It %s, since %s%s%s.', w.what, stent._at(w.since), other,
                  CASE WHEN w.on_task IS NOT NULL AND ended.how = 'that is over' THEN '' ELSE '; ' || ended.how END ||
                  CASE WHEN external THEN COALESCE(', but ' || stent._not_served() || ', or have a worker claim', '; it goes on at any moment')
                       ELSE COALESCE(', but ' || stent._role_not_served(task_role), '; it goes on at any moment') END);
END
$$;
COMMENT ON FUNCTION stent._why_waiting(bigint, text, boolean) IS 'private: what a waiting task waits for';

CREATE FUNCTION stent._why(id bigint) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET datestyle = 'ISO, YMD' AS $$
DECLARE
    t record;
    running record;
    lease record;
    entry record;
    server record;
    mine record;
    standing text;
    canceller constant integer := stent._canceller(id);
    reason text;
BEGIN
    SELECT v.*, f.id AS function_id, f.handler, COALESCE(k.crashed, 0) AS crashed, COALESCE(k.lost, 0)::integer AS lost, l.chunks INTO t
    FROM stent.tasks v
    JOIN stent.function f ON f.name = v.function
    LEFT JOIN stent.task k ON k.id = v.id
    LEFT JOIN stent.lane l ON l.id = k.lane_id
    WHERE v.id = _why.id;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    SELECT * INTO running FROM stent._running_now() r WHERE r.task_id = id;
    IF running.pid IS NOT NULL THEN
        RETURN format('It is running since %s UTC in attempt %s, by pid %s (%s).%s', date_trunc('second', running.started_at),
                      running.attempt, running.pid, CASE WHEN running.executor THEN 'an executor' ELSE 'a session that called stent.run()' END,
                      ' Pid ' || canceller || ' is cancelling it.');
    END IF;
    CASE t.state
        WHEN 'completed' THEN
            RETURN format('It completed at %s UTC, in attempt %s.', date_trunc('second', t.finished_at), t.attempt);
        WHEN 'failed' THEN
            RETURN format('It failed at %s UTC after %s with %s: %s. %s', date_trunc('second', t.finished_at),
                          CASE t.attempt WHEN 1 THEN '1 attempt' ELSE t.attempt || ' attempts' END,
                          t.error ->> 'code', rtrim(t.error ->> 'message', '.'),
                          CASE WHEN EXISTS (SELECT FROM stent.dead_letter d WHERE d.id = _why.id)
                               THEN format('It is a dead letter: stent.replay(%s) runs it again.', id)
                                    -- whether because of this one, that call finds out
                                    || COALESCE((SELECT format(' Its parent, task %s, has failed, too: revive_parent => true brings that back with it.', p.id)
                                                 FROM stent.dead_letter p WHERE p.id = t.parent_id), '')
                               ELSE 'Its dead letter was discarded.' END);
        WHEN 'timed_out' THEN
            RETURN format('It timed out at %s UTC: %s.', date_trunc('second', t.finished_at), t.error ->> 'message');
        WHEN 'cancelled' THEN
            RETURN format('It was cancelled at %s UTC: %s.', date_trunc('second', t.finished_at), t.error ->> 'message');
        ELSE NULL;
    END CASE;
    IF canceller IS NOT NULL THEN
        RETURN format('It is being cancelled by pid %s.', canceller);
    END IF;
    IF t.state = 'scheduled' AND t.due_at > stent.now() THEN
        IF t.attempt > 0 THEN
            RETURN format('It is scheduled: the next attempt is due at %s UTC, after attempt %s of %s failed with %s: %s.',
                          date_trunc('second', t.due_at), t.attempt, t.max_attempts, t.error ->> 'code',
                          rtrim(t.error ->> 'message', '.'));
        END IF;
        RETURN format('It is scheduled: due at %s UTC.', date_trunc('second', t.due_at));
    ELSIF t.state = 'blocked' THEN
        RETURN stent._why_blocked(id);
    ELSIF t.state = 'running' THEN
        SELECT * INTO lease FROM stent._leased_now() n WHERE n.task_id = id;
        IF lease.worker IS NOT NULL THEN
            RETURN format('It is leased by worker "%s" since %s UTC, in attempt %s; %s.%s', lease.worker,
                          date_trunc('second', lease.claimed_at), lease.attempt,
                          CASE WHEN lease.expires_at <= stent.now()
                               THEN format('the lease expired at %s UTC, and the next claim takes the task over', date_trunc('second', lease.expires_at))
                               ELSE format('the lease expires at %s UTC unless the worker renews it', date_trunc('second', lease.expires_at)) END,
                          stent._lost_text(t.lost));
        END IF;
    ELSIF t.state = 'waiting' THEN
        RETURN stent._why_waiting(id, t.role, t.handler IS NULL);
    ELSIF t.state NOT IN ('scheduled', 'ready') THEN
        RETURN format('It is %s.', t.state);
    END IF;

    -- ready, or due and not made ready yet
    SELECT string_agg(stent._pause_text(p), '; ' ORDER BY p.queue, p.function_id) INTO reason
    FROM stent._pauses(t.queue, t.function_id) p;
    IF reason IS NOT NULL THEN
        RETURN format('It is %s, but %s.', CASE t.state WHEN 'ready' THEN 'ready' ELSE 'due since ' || date_trunc('second', t.due_at) || ' UTC' END,
                      reason);
    END IF;
    IF t.handler IS NOT NULL THEN
        reason := stent._role_not_served(t.role);
    END IF;
    IF t.handler IS NOT NULL AND to_regprocedure(t.handler) IS NULL THEN
        reason := concat_ws('; ', reason, format('the handler %s of function "%s" does not exist any more: an attempt would fail',
                                                 t.handler, t.function));
    END IF;
    SELECT * INTO entry FROM stent._ready_entry(id);
    IF entry.taken_by IS NOT NULL THEN
        RETURN format('It was taken by %s, which has not committed yet.', stent._transaction_name(entry.taken_by));
    END IF;
    IF t.handler IS NULL AND t.state = 'ready' THEN
        -- nobody tells whether it takes chunks
        RETURN stent._why_external(t.function, t.queue, t.tags, t.function_id, t.lost)
               || CASE WHEN t.chunks THEN ' It is a chunk of a map: only workers that claim chunks take it, such as stent worker since 0.5.' ELSE '' END;
    END IF;
    IF reason IS NOT NULL THEN
        RETURN format('It is %s, but %s.', CASE t.state WHEN 'ready' THEN 'ready' ELSE 'due since ' || date_trunc('second', t.due_at) || ' UTC' END,
                      reason);
    END IF;
    SELECT * INTO server FROM stent._server();
    IF t.crashed > 0 AND server.careful_pid IS NOT NULL THEN
        RETURN format('It is ready; it crashed the server %s, and waits until pid %s has ended another such task: they run one at a time.',
                      CASE t.crashed WHEN 1 THEN 'once' ELSE t.crashed || ' times' END, server.careful_pid);
    ELSIF t.state = 'scheduled' THEN
        RETURN format('It is due since %s UTC and becomes ready at any moment.', date_trunc('second', t.due_at));
    END IF;
    reason := stent._limit_reached(t.function_id);
    IF reason IS NOT NULL THEN
        RETURN format('It is ready, but %s.', reason);
    END IF;
    standing := CASE WHEN entry.before = 0 THEN 'is the next of its role'
                     ELSE format('%s%s of its role stand%s before it', CASE WHEN entry.before_exact THEN '' ELSE 'at least ' END,
                                 CASE entry.before WHEN 1 THEN '1 task' ELSE entry.before || ' tasks' END,
                                 CASE entry.before WHEN 1 THEN 's' ELSE '' END) END;
    SELECT count(*) FILTER (WHERE e.state = 'busy') AS busy, count(*) AS n INTO mine
    FROM stent._executors() e JOIN pg_database d ON d.oid = e.database
    WHERE d.datname = current_database() AND pg_get_userbyid(e.role) = t.role;
    IF server.used >= server.max_executors AND mine.n = mine.busy THEN
        RETURN format('It is ready, but all executors are busy (%s of %s, %s with tasks of its role); %s.', server.used,
                      server.max_executors, mine.busy, CASE WHEN entry.before = 0 THEN 'it ' || standing ELSE standing END);
    ELSIF entry.before > 0 THEN
        RETURN format('It is ready and %s.', standing);
    END IF;
    RETURN 'It is ready and should start at any moment.';
END
$$;
COMMENT ON FUNCTION stent._why(bigint) IS 'private: what why() says, whoever asks; NULL for an unknown id';

CREATE FUNCTION stent.why(id bigint) RETURNS text
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_why';
COMMENT ON FUNCTION stent.why(bigint) IS
  'the reason why a task is not running, in a sentence: when it ended or comes due, what it waits for, what to do. P0002 for an unknown id, 22004 for NULL';
