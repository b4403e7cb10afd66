-- health(): whether tasks run here, and if not, what to do. It reads only, and works on
-- a standby, without preload and in a database that nobody serves.

CREATE FUNCTION stent._server(
    OUT library_version text, OUT preloaded boolean, OUT in_recovery boolean, OUT role_must_log_in boolean,
    OUT max_executors integer, OUT state text, OUT problem text, OUT launcher_pid integer, OUT scheduler_pid integer,
    OUT used integer, OUT exhausted_since timestamp, OUT counted boolean, OUT dead_entries bigint, OUT tallies bigint,
    OUT careful_pid integer, OUT careful_wanted boolean, OUT wakeups bigint, OUT cold_starts bigint)
RETURNS SETOF record
LANGUAGE c STABLE ROWS 1 AS 'MODULE_PATHNAME', 'stent_server';
COMMENT ON FUNCTION stent._server() IS 'private: what the library and shared memory say about this database; one row';

CREATE FUNCTION stent._executors(
    OUT database oid, OUT role oid, OUT pid integer, OUT state text, OUT since timestamp, OUT task_id bigint)
RETURNS SETOF record
LANGUAGE c STABLE ROWS 10 AS 'MODULE_PATHNAME', 'stent_executors';
COMMENT ON FUNCTION stent._executors() IS 'private: executor slots in use, of all databases';

CREATE FUNCTION stent._waiting_roles(OUT role oid, OUT since timestamp, OUT retry_at timestamp, OUT problem text)
RETURNS SETOF record
LANGUAGE c STABLE ROWS 10 AS 'MODULE_PATHNAME', 'stent_waiting_roles';
COMMENT ON FUNCTION stent._waiting_roles() IS 'private: roles of this database with work and without an executor';

-- Who keeps dead rows of this database's tables from being removed: the oldest.
CREATE FUNCTION stent._horizon() RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
WITH candidate AS (
    SELECT greatest(age(a.backend_xmin), age(a.backend_xid)) AS xmin_age,
           jsonb_build_object('kind', 'backend', 'pid', a.pid, 'role', a.usename, 'application', a.application_name,
               'state', a.state, 'since', a.xact_start AT TIME ZONE 'UTC',
               'xmin', CASE WHEN age(a.backend_xid) > COALESCE(age(a.backend_xmin), 0) THEN a.backend_xid
                            ELSE a.backend_xmin END::text) AS holder
    FROM pg_stat_activity a
    WHERE a.pid <> pg_backend_pid()
      AND (a.datname = current_database() OR a.datid IS NULL)
      AND (a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL)
      AND a.backend_type NOT IN ('walsender', 'autovacuum worker')
      AND NOT EXISTS (SELECT FROM pg_stat_progress_vacuum v WHERE v.pid = a.pid)
    UNION ALL
    SELECT age(p.transaction),
           jsonb_build_object('kind', 'prepared', 'gid', p.gid, 'role', p.owner, 'since', p.prepared AT TIME ZONE 'UTC',
               'xmin', p.transaction::text)
    FROM pg_prepared_xacts p
    WHERE p.database = current_database()
    UNION ALL
    SELECT age(s.xmin),
           jsonb_build_object('kind', 'replication_slot', 'slot_name', s.slot_name, 'active', s.active, 'xmin', s.xmin::text)
    FROM pg_replication_slots s
    WHERE s.xmin IS NOT NULL
    UNION ALL
    SELECT age(r.backend_xmin),
           jsonb_build_object('kind', 'standby', 'pid', r.pid, 'application', r.application_name,
               'since', r.backend_start AT TIME ZONE 'UTC', 'xmin', r.backend_xmin::text)
    FROM pg_stat_replication r
    WHERE r.backend_xmin IS NOT NULL),
oldest AS (
    SELECT c.xmin_age, c.holder FROM candidate c ORDER BY c.xmin_age DESC LIMIT 1),
-- such a slot holds back the system catalogs, not the tables of tasks
catalogs AS (
    SELECT age(s.catalog_xmin) AS xmin_age,
           jsonb_build_object('kind', 'replication_slot', 'slot_name', s.slot_name, 'active', s.active,
               'catalog_xmin', s.catalog_xmin::text) AS holder
    FROM pg_replication_slots s
    WHERE s.catalog_xmin IS NOT NULL ORDER BY 1 DESC LIMIT 1)
SELECT jsonb_build_object('xmin_age', COALESCE((SELECT o.xmin_age FROM oldest o), 0),
                          'holder', (SELECT o.holder FROM oldest o),
                          'catalog_xmin_age', (SELECT c.xmin_age FROM catalogs c),
                          'catalog_holder', (SELECT c.holder FROM catalogs c))
$$;
COMMENT ON FUNCTION stent._horizon() IS 'private: who holds the vacuum horizon back';

CREATE FUNCTION stent._processes() RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    server record;
    executors jsonb;
    waiting jsonb;
BEGIN
    SELECT * INTO server FROM stent._server();
    IF server.preloaded THEN
        SELECT jsonb_agg(jsonb_build_object('role', pg_get_userbyid(e.role), 'pid', e.pid, 'state', e.state,
                   'since', e.since, 'task_id', e.task_id) ORDER BY e.pid)
        INTO executors
        FROM stent._executors() e JOIN pg_database d ON d.oid = e.database
        WHERE d.datname = current_database();
        SELECT jsonb_agg(jsonb_build_object('role', r.rolname, 'since', w.since,
                   'retry_at', w.retry_at, 'problem', w.problem) ORDER BY w.since)
        INTO waiting
        FROM stent._waiting_roles() w LEFT JOIN pg_roles r ON r.oid = w.role
        WHERE server.state = 'served'; -- elsewhere nobody notices what they want
    ELSE
        SELECT jsonb_agg(jsonb_build_object('role', a.usename, 'pid', a.pid,
                   'state', CASE WHEN a.state = 'idle' THEN 'idle' ELSE 'busy' END,
                   'since', a.state_change AT TIME ZONE 'UTC', 'task_id', NULL) ORDER BY a.pid)
        INTO executors
        FROM pg_stat_activity a
        WHERE a.backend_type = 'stent executor' AND a.datname = current_database();
    END IF;
    RETURN jsonb_build_object(
        'launcher', server.launcher_pid,
        'scheduler', server.scheduler_pid,
        'executors', COALESCE(executors, '[]'),
        'max_executors', server.max_executors,
        'used', COALESCE(server.used, jsonb_array_length(executors), 0),
        'waiting_roles', COALESCE(waiting, '[]'),
        'exhausted_since', server.exhausted_since,
        'careful', CASE WHEN server.careful_pid IS NOT NULL OR server.careful_wanted
                        THEN jsonb_build_object('pid', server.careful_pid, 'others_wait', server.careful_wanted) END,
        'wakeups', server.wakeups,
        'cold_starts', server.cold_starts);
END
$$;
COMMENT ON FUNCTION stent._processes() IS 'private: launcher, scheduler and executors of this database';

-- Why the executors of this database do not run at all, or NULL.
CREATE FUNCTION stent._not_served() RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET datestyle = 'ISO, YMD' AS $$
DECLARE
    server record;
    installed text;
BEGIN
    SELECT * INTO server FROM stent._server();
    SELECT e.extversion INTO installed FROM pg_extension e WHERE e.extname = 'stent';
    IF server.in_recovery THEN
        RETURN 'this server is a standby: nothing runs here until it is promoted';
    ELSIF NOT server.preloaded THEN
        RETURN 'the library is not preloaded, so nothing runs by itself: add stent to shared_preload_libraries and restart'
               || ' the server, or call stent.start() or stent.run()';
    ELSIF server.launcher_pid IS NULL THEN
        RETURN 'the launcher is missing: it comes back after 5 seconds; if not, the server log says why'
               || ' (max_worker_processes?)';
    END IF;
    RETURN CASE server.state
        WHEN 'served' THEN NULL
        WHEN 'not listed' THEN format('database "%s" is not served: add it to stent.databases and reload, or call stent.start()',
                                      current_database())
        WHEN 'stopped' THEN format('database "%s" is stopped: call stent.start()', current_database())
        WHEN 'no extension' THEN format('database "%s" was found without the extension: if it is installed, call stent.start()',
                                        current_database())
        WHEN 'other version' THEN format('database "%s" is not served: %s', current_database(),
                                         COALESCE(server.problem, 'run ALTER EXTENSION stent UPDATE'))
        WHEN 'not adopted' THEN format('database "%s" is not adopted: %s', current_database(),
                                       COALESCE(server.problem, 'call stent.adopt() if its tasks shall run here'))
        WHEN 'failed' THEN format('database "%s" is not served: %s; it is tried again', current_database(),
                                  COALESCE(server.problem, 'its scheduler failed, see the server log'))
        ELSE format('database "%s" is about to be served', current_database()) END;
END
$$;
COMMENT ON FUNCTION stent._not_served() IS 'private: why nobody serves this database, and what to do; NULL if it is served';

CREATE FUNCTION stent._horizon_problem(horizon jsonb, dead_entries bigint) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET datestyle = 'ISO, YMD' AS $$
DECLARE
    holder constant jsonb := horizon -> 'holder';
    since constant timestamp := holder ->> 'since';
    who text;
    what text;
BEGIN
    -- since comes from pg_stat_activity: the server's own clock, whatever stent.clock says
    IF holder IS NULL OR holder = 'null'
       OR NOT (COALESCE(dead_entries, 0) >= 20000
               OR (horizon ->> 'xmin_age')::bigint >= 1000000
               OR since < clock_timestamp() AT TIME ZONE 'UTC' - interval '1 hour') THEN
        RETURN NULL;
    END IF;
    CASE holder ->> 'kind'
        WHEN 'backend' THEN
            who := format('pid %s (role %s, %s), whose transaction is open since %s UTC,', holder ->> 'pid', holder ->> 'role',
                          holder ->> 'state', date_trunc('second', since));
            what := format('end it, if need be by pg_terminate_backend(%s)', holder ->> 'pid');
        WHEN 'prepared' THEN
            who := format('prepared transaction %L of %s', holder ->> 'gid', date_trunc('second', since));
            what := format('COMMIT PREPARED or ROLLBACK PREPARED %L', holder ->> 'gid');
        WHEN 'replication_slot' THEN
            who := format('replication slot %L', holder ->> 'slot_name');
            what := format('bring its consumer up, or drop it by pg_drop_replication_slot(%L)', holder ->> 'slot_name');
        ELSE
            who := format('a query on standby %s (walsender %s)', holder ->> 'application', holder ->> 'pid');
            what := 'end the query there, or set hot_standby_feedback = off';
    END CASE;
    RETURN format('%s keeps VACUUM from removing rows that are dead for %s transactions%s: %s', who, horizon ->> 'xmin_age',
                  CASE WHEN dead_entries > 0 THEN format(' (%s entries of taken tasks wait)', dead_entries) END, what);
END
$$;
COMMENT ON FUNCTION stent._horizon_problem(jsonb, bigint) IS 'private: the sentence about the vacuum horizon, or NULL';

-- Of each role, the task that could have gone on, or become ready, for the longest time, and that
-- nobody has looked at: of entries that are due at a time the first, of the nudges the first some.
CREATE FUNCTION stent._unpromoted(OUT task_id bigint, OUT waits boolean, OUT since timestamp)
RETURNS SETOF record
LANGUAGE plpgsql STABLE ROWS 10 SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off
SET jit = off SET max_parallel_workers_per_gather = 0 AS $$
DECLARE
    nudges_at constant timestamp := '2000-01-01';
    nudges constant integer := 100;
    waits_looked_at constant integer := 20;
    role integer := -1;
BEGIN
    LOOP
        role := (SELECT min(d.role_key) FROM stent.due d WHERE d.role_key > role);
        EXIT WHEN role IS NULL;
        SELECT o.task_id, o.waits, o.since INTO task_id, waits, since
        FROM ((SELECT d.task_id, d.kind = 'w' AS waits, d.due_at AS since
               FROM stent.due d
               WHERE d.role_key = role AND d.due_at > nudges_at AND d.due_at <= stent.now() AND d.kind IN ('r', 'w')
               ORDER BY d.due_at, d.task_id LIMIT 1)
              UNION ALL
              SELECT n.line, true, w.since
              FROM (SELECT DISTINCT f.line
                    FROM (SELECT d.line FROM stent.due d
                          WHERE d.role_key = role AND d.due_at = nudges_at AND d.kind IN ('n', 'f') ORDER BY d.task_id LIMIT nudges) f
                    LIMIT waits_looked_at) n
              CROSS JOIN LATERAL stent._wait_over(n.line) w
              WHERE w.how IS NOT NULL) o
        ORDER BY o.since, o.task_id LIMIT 1;
        IF task_id IS NOT NULL THEN
            RETURN NEXT;
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION stent._unpromoted() IS 'private: the task of each role that is due, or whose wait is over, for the longest time without anybody looking';

CREATE FUNCTION stent.health() RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET datestyle = 'ISO, YMD' AS $$
DECLARE
    server record;
    installed text;
    identity jsonb;
    processes constant jsonb := stent._processes();
    horizon constant jsonb := stent._horizon();
    not_served constant text := stent._not_served();
    paused jsonb;
    workers record;
    leases record;
    oldest record;
    problems text[] := '{}';
    notes text[] := '{}';
    unpromoted jsonb;
    item record;
BEGIN
    SELECT * INTO server FROM stent._server();
    SELECT e.extversion INTO installed FROM pg_extension e WHERE e.extname = 'stent';
    IF to_regprocedure('stent._identity_report()') IS NOT NULL THEN
        EXECUTE 'SELECT stent._identity_report()' INTO identity;
    END IF;
    SELECT o.task_id, f.name AS function, l.queue, l.role, extract(epoch FROM stent.now() - o.ready_at)::bigint AS age,
           o.external,
           EXISTS (SELECT FROM stent._running_now() r JOIN stent.lane rl ON rl.id = r.lane_id WHERE rl.role = l.role) AS attended
    INTO oldest
    FROM stent._oldest_ready() o
    JOIN stent.lane l ON l.id = o.lane_id
    JOIN stent.function f ON f.id = o.function_id
    WHERE NOT EXISTS (SELECT FROM stent._pauses(l.queue, l.function_id))
    ORDER BY o.external, o.ready_at, o.task_id LIMIT 1;

    SELECT count(*) FILTER (WHERE w.live) AS live, count(*) FILTER (WHERE w.state = 'lost') AS lost INTO workers
    FROM stent.workers w;
    SELECT COALESCE(sum(n.leased), 0) AS leased, COALESCE(sum(n.expired), 0) AS expired,
           min(n.expires_at) FILTER (WHERE n.expired > 0) AS expires_at INTO leases
    FROM stent._leases() n;

    IF installed <> server.library_version THEN
        problems := problems || format('the library is of version %s, the extension of version %s: run ALTER EXTENSION stent UPDATE%s',
            server.library_version, installed,
            CASE WHEN server.preloaded THEN ', or restart the server if the library is the older one' END);
    END IF;
    IF server.in_recovery THEN
        notes := notes || not_served;
    ELSIF not_served IS NOT NULL AND (server.state IS DISTINCT FROM 'other version' OR installed = server.library_version) THEN
        problems := problems || not_served;
    END IF;
    IF NOT server.in_recovery THEN
        IF server.preloaded AND server.max_executors = 0 THEN
            problems := problems || text 'stent.max_executors is 0, so no executor runs: raise it and reload';
        END IF;
        IF server.exhausted_since IS NOT NULL THEN
            problems := problems || format('no background worker slot is free since %s UTC: raise max_worker_processes (restart), or lower stent.max_executors',
                                           date_trunc('second', server.exhausted_since));
        END IF;
        SELECT COALESCE(jsonb_agg(to_jsonb(u)), '[]') INTO unpromoted FROM stent._unpromoted() u;
        -- roles whose tasks nobody can run
        FOR item IN
            SELECT l.role, bool_or(r.oid IS NULL) AS missing
            FROM (SELECT o.lane_id, o.external FROM stent._oldest_ready() o
                  UNION ALL
                  SELECT t.lane_id, f.handler IS NULL
                  FROM jsonb_to_recordset(unpromoted) u (task_id bigint) JOIN stent.task t ON t.id = u.task_id JOIN stent.function f ON f.id = t.function_id) o
            JOIN stent.lane l ON l.id = o.lane_id
            LEFT JOIN pg_roles r ON r.rolname = l.role
            WHERE NOT o.external AND (r.oid IS NULL OR (server.role_must_log_in AND NOT r.rolcanlogin))
            GROUP BY l.role ORDER BY l.role
        LOOP
            problems := problems || CASE WHEN item.missing
                THEN format('tasks wait of role %I, which does not exist any more: create it again, or rename it back', item.role)
                ELSE format('tasks wait of role %I, which cannot log in: ALTER ROLE %1$I LOGIN', item.role) END;
        END LOOP;
        FOR item IN
            SELECT r.rolname AS role, w.since, w.problem
            FROM stent._waiting_roles() w JOIN pg_roles r ON r.oid = w.role
            WHERE server.state = 'served' AND w.problem IS NOT NULL AND (r.rolcanlogin OR NOT server.role_must_log_in)
            ORDER BY w.since
        LOOP
            problems := problems || format('role %I waits for an executor since %s UTC: %s', item.role,
                                           date_trunc('second', item.since), item.problem);
        END LOOP;
        IF oldest.age > 60 AND NOT oldest.external AND NOT oldest.attended THEN
            problems := problems || format('task %s (%s, queue %s, role %I) is ready for %s seconds and nobody runs tasks of its role: see stent.why(%1$s)',
                                           oldest.task_id, oldest.function, oldest.queue, oldest.role, oldest.age);
        END IF;
        -- tasks that nobody lets go on
        FOR item IN
            SELECT u.task_id, u.waits, f.name AS function, l.queue, l.role, extract(epoch FROM stent.now() - u.since)::bigint AS age
            FROM jsonb_to_recordset(unpromoted) u (task_id bigint, waits boolean, since timestamp)
            JOIN stent.task t ON t.id = u.task_id
            JOIN stent.lane l ON l.id = t.lane_id
            JOIN stent.function f ON f.id = t.function_id
            WHERE u.since < stent.now() - interval '1 minute'
              AND NOT EXISTS (SELECT FROM stent._running_now() r JOIN stent.lane rl ON rl.id = r.lane_id WHERE rl.role = l.role)
            ORDER BY u.since, u.task_id LIMIT 5
        LOOP
            problems := problems || format('task %s (%s, queue %s, role %I) %s %s seconds ago, and nobody %s: see stent.why(%1$s)',
                                           item.task_id, item.function, item.queue, item.role,
                                           CASE WHEN item.waits THEN 'waits for what happened' ELSE 'came due' END, item.age,
                                           CASE WHEN item.waits THEN 'lets it go on' ELSE 'makes it ready' END);
        END LOOP;
        -- tasks that nobody claims
        FOR item IN
            SELECT o.task_id, f.name AS function, l.queue, extract(epoch FROM stent.now() - o.ready_at)::bigint AS age,
                   stent._no_worker(f.name, l.queue, l.tags) AS reason
            FROM stent._oldest_ready() o
            JOIN stent.lane l ON l.id = o.lane_id
            JOIN stent.function f ON f.id = o.function_id
            WHERE o.external AND o.ready_at < stent.now() - interval '1 minute'
              AND NOT EXISTS (SELECT FROM stent._pauses(l.queue, l.function_id))
              AND stent._no_worker(f.name, l.queue, l.tags) IS NOT NULL
            ORDER BY o.ready_at, o.task_id LIMIT 5
        LOOP
            problems := problems || format('task %s (%s, queue %s) is ready for %s seconds and %s', item.task_id, item.function,
                                           item.queue, item.age, item.reason);
        END LOOP;
        IF leases.expired > 0 AND leases.expires_at < stent.now() - interval '1 minute' THEN
            problems := problems || format('%s expired, the first at %s UTC, and nobody takes the tasks over: the next claim does, or the scheduler of a database that is served',
                                           CASE leases.expired WHEN 1 THEN 'the lease of 1 task has' ELSE 'the leases of ' || leases.expired || ' tasks have' END,
                                           date_trunc('second', leases.expires_at));
        END IF;
        problems := problems || stent._horizon_problem(horizon, server.dead_entries);
    END IF;
    problems := array_remove(problems, NULL);
    -- somebody wanted that: it is told, and no problem
    SELECT notes || COALESCE(array_agg(stent._pause_text(p) ORDER BY p.queue, f.name), '{}'),
           COALESCE(jsonb_agg(jsonb_build_object('queue', nullif(p.queue, ''), 'function', f.name,
               'since', p.paused_at, 'by', p.paused_by) ORDER BY p.queue, f.name), '[]')
    INTO notes, paused
    FROM stent.pause p LEFT JOIN stent.function f ON f.id = p.function_id;
    -- restarted under another name, or broken: who looks at the worker knows
    SELECT notes || COALESCE(array_agg(format('worker "%s" is lost: it was seen last at %s UTC and did not say that it stops',
                                              w.name, date_trunc('second', w.seen_at)) ORDER BY w.seen_at DESC), '{}')
    INTO notes
    FROM (SELECT v.name, v.seen_at FROM stent.workers v WHERE v.state = 'lost' ORDER BY v.seen_at DESC, v.name LIMIT 10) w;

    RETURN jsonb_build_object(
        'ok', cardinality(problems) = 0,
        'problems', to_jsonb(problems),
        'notes', to_jsonb(notes),
        'library_version', server.library_version,
        'extension_version', installed,
        'preloaded', server.preloaded,
        'in_recovery', server.in_recovery,
        'database', jsonb_build_object(
            'name', current_database(),
            'served', COALESCE(server.state = 'served', false),
            'state', COALESCE(server.state, 'not preloaded'),
            'problem', server.problem,
            'stopped', COALESCE(server.state = 'stopped', false),
            'adopted', COALESCE(identity -> 'adopted', to_jsonb(server.state <> 'not adopted')),
            'adopted_why', identity -> 'why',
            'counted', COALESCE(server.counted, false),
            'dead_entries', server.dead_entries),
        'processes', processes,
        'paused', paused,
        'workers', jsonb_build_object('live', workers.live, 'lost', workers.lost, 'leased', leases.leased,
                                      'expired', leases.expired, 'expired_since', leases.expires_at),
        'oldest_claimable', CASE WHEN oldest.task_id IS NOT NULL THEN jsonb_build_object(
            'id', oldest.task_id, 'function', oldest.function, 'queue', oldest.queue, 'role', oldest.role,
            'external', oldest.external, 'age_seconds', greatest(oldest.age, 0)) END,
        'horizon', horizon);
END
$$;
COMMENT ON FUNCTION stent.health() IS
  'whether tasks run here by themselves: ok, problems (sentences, most severe first), notes (what is paused), versions, database, processes, workers and leases, the oldest claimable task, and who holds the vacuum horizon back';
