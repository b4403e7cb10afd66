-- Nothing is granted to PUBLIC; roles get what they need by grant_usage.

CREATE FUNCTION stent.grant_usage(role name, kind text DEFAULT 'app') RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    app constant text :=
        'now(), duration(text), run(integer, text[]), execution_id(), task_id(), attempt(), headers(), '
        'dispatch(text, jsonb, text, integer, text[], interval, timestamp, interval, interval, jsonb, text, text, text, text, jsonb, jsonb, jsonb), '
        'dispatch_many(text, jsonb[], text, integer, text[], interval, timestamp, interval, interval, jsonb, jsonb), canonical(jsonb), '
        'counter_add(text, numeric), counter(text), context_set(text, jsonb, text), context_get(text), progress(text, jsonb), '
        'spawn(text, jsonb, text, integer, text[], interval, timestamp, interval, jsonb, text, jsonb, text), '
        'step(text, text, jsonb), record(text, jsonb), sleep(interval, text), await_signal(text, interval, text), continue_as_new(jsonb), '
        'reschedule(bigint, text, integer, interval, timestamp, text[]), '
        'state_of(bigint), result_of(bigint), wait_for(bigint, interval), wait_until_done(bigint, interval, jsonb), cancel(bigint), why(bigint), explain(bigint), explain_rows(bigint), newest(text, text, text, integer), '
        'call(text, jsonb, text, integer, text[], interval, timestamp, interval, jsonb, text, text, jsonb, text), await(bigint, interval, text), '
        'await_all(bigint[], integer, interval, text), promise_all(bigint[], integer, interval, text), '
        'await_all_until_done(bigint[], integer, interval, jsonb), '
        'replay(bigint, text, boolean, boolean), discard(bigint), '
        'replay_many(text, text, interval, text, boolean, integer, boolean), discard_many(text, text, interval, integer), '
        'purge_dead_letters(interval, text, text), start(integer), stop(), '
        'shared_set(text, jsonb), shared_get(text), shared_has(text), shared_delete(text), shared_add_int(text, bigint), '
        'signal(bigint, text, jsonb), set_task_pool_size(integer), get_task_pool_size(), '
        '_is_admin(), _state_name("char"), _is_running(bigint), _running_now(), _board_counts(), _oldest_ready(), '
        'map(text, jsonb, integer, integer, text, text, integer, text[], interval, jsonb, jsonb, text), '
        'starmap(text, jsonb, integer, integer, text, text, integer, text[], interval, jsonb, jsonb, text), '
        'map_query(text, text, integer, integer, text, text, integer, text[], interval, interval, jsonb, jsonb, text), map_results(bigint), '
        'par_map(text, jsonb, integer, text), parallel_map(text, jsonb, integer, text), par_each(text, jsonb, integer, text), '
        'output_of(bigint, integer), _bucket(text, integer, integer), _leased_now(), _leases()';
    admin constant text :=
        'register(text, regprocedure, text, integer, text[], integer, integer, interval, jsonb, interval, interval, boolean, interval, boolean, text, integer, integer), '
        'unregister(text), pause(text, text), resume(text, text), cleanup(interval), adopt(), health()';
    worker constant text :=
        'now(), duration(text), health(), claim(text, integer, text[], text[], text[], interval, boolean), '
        'complete(bigint, bigint, jsonb, jsonb, jsonb, jsonb, jsonb), complete_many(bigint[], bigint[], jsonb[], jsonb[]), '
        'fail(bigint, bigint, jsonb), fail_many(bigint[], bigint[], jsonb[]), release(bigint, bigint), release_many(bigint[], bigint[]), '
        'heartbeat(bigint, bigint, interval), heartbeat_many(bigint[], bigint[], interval), '
        'worker_start(text, integer, text[], text[], text[], integer, jsonb, interval), '
        'worker_heartbeat(text, text, integer, interval), worker_stop(text), worker_wait(text[]), '
        'lease_steps(bigint, bigint), suspend(bigint, bigint, jsonb, jsonb, jsonb, jsonb, jsonb), '
        'append_output(bigint, bigint, text, bytea, bigint), append_output_many(bigint, bigint, text[], bytea[], bigint), '
        '_is_admin(), _leases()';
    functions text;
BEGIN
    IF role IS NULL OR kind IS NULL THEN
        RAISE null_value_not_allowed USING MESSAGE = 'role and kind must not be null';
    END IF;
    functions := CASE kind WHEN 'app' THEN app WHEN 'worker' THEN worker WHEN 'admin' THEN concat_ws(', ', app, worker, admin) END;
    IF functions IS NULL THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('unknown kind of grant: "%s"', kind),
            HINT = 'Known kinds are app, worker and admin.';
    END IF;
    EXECUTE format('GRANT USAGE ON SCHEMA stent TO %I', role);
    EXECUTE format('GRANT SELECT ON stent.functions, stent.workers TO %I', role);
    IF kind <> 'worker' THEN
        EXECUTE format('GRANT SELECT ON stent.tasks, stent.executions, stent.dead_letters, '
                       'stent.running, stent.queues, stent.stats, stent.progress TO %I', role);
    END IF;
    EXECUTE format('GRANT EXECUTE ON ROUTINE %s TO %I',
                   regexp_replace(functions, '(^|\), )', '\1stent.', 'g'), role);
END
$$;
COMMENT ON FUNCTION stent.grant_usage(name, text) IS
  'grants a role what it needs: app (dispatch, run, results, its own tasks), worker (claim and all else that a worker calls, health) or admin (both, register, everybody''s tasks, cleanup, adopt, health). 42704 for an unknown role, 22023 for an unknown kind';

-- For the upgrade scripts: what a grant gives changes with the version.
CREATE FUNCTION stent._regrant_all() RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    held record;
BEGIN
    FOR held IN
        SELECT COALESCE(r.rolname, 'public') AS role,
               CASE p.proname WHEN 'unregister' THEN 'admin' WHEN 'dispatch' THEN 'app' ELSE 'worker' END AS kind
        FROM pg_proc p
        CROSS JOIN LATERAL aclexplode(p.proacl) a
        LEFT JOIN pg_roles r ON r.oid = a.grantee
        WHERE p.pronamespace = 'stent'::regnamespace
          AND p.proname IN ('unregister', 'dispatch', 'health')
          AND a.grantee <> p.proowner
        GROUP BY a.grantee, r.rolname, p.proname
    LOOP
        PERFORM stent.grant_usage(held.role, held.kind);
    END LOOP;
END
$$;
COMMENT ON FUNCTION stent._regrant_all() IS 'private: gives every role that holds a grant what it means in this version';

CREATE FUNCTION stent._regrant() RETURNS void
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_regrant';
COMMENT ON FUNCTION stent._regrant() IS 'private: _regrant_all from an extension script, so that dumps carry the grants';

REVOKE ALL ON ALL ROUTINES IN SCHEMA stent FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA stent FROM PUBLIC;
REVOKE ALL ON SCHEMA stent FROM PUBLIC;
