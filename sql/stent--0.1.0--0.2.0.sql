\echo Use "ALTER EXTENSION stent UPDATE TO '0.2.0'" to load this file. \quit
-- identity
CREATE TABLE stent.adopted (
    system_identifier text NOT NULL,
    mark text NOT NULL,
    database_id bigint NOT NULL,
    adopted_at timestamp NOT NULL,
    CONSTRAINT adopted_pkey PRIMARY KEY (system_identifier, mark, database_id)
);
COMMENT ON TABLE stent.adopted IS 'private: the one server that runs the tasks of this database';

SELECT pg_catalog.pg_extension_config_dump('stent.adopted', '');
REVOKE ALL ON TABLE stent.adopted FROM PUBLIC;

CREATE FUNCTION stent.adopt() RETURNS boolean
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_adopt';
COMMENT ON FUNCTION stent.adopt() IS
  'makes this server the one that runs the tasks of this database, which was copied, restored or upgraded; true if it was not before. Make sure that the original does not run them any more. Where stent is not in shared_preload_libraries, the next start with it adopts';

CREATE FUNCTION stent._identity_report() RETURNS jsonb
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_identity_report';
COMMENT ON FUNCTION stent._identity_report() IS 'private: whether this server runs the tasks of this database ("adopted"), and what speaks against it ("why")';
REVOKE ALL ON FUNCTION stent.adopt(), stent._identity_report() FROM PUBLIC;

CREATE OR REPLACE FUNCTION stent.grant_usage(role name, kind text DEFAULT 'app') RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    app constant text :=
        'now(), duration(text), run(integer, text[]), execution_id(), task_id(), attempt(), headers(), '
        'dispatch(text, jsonb, text, integer, text[], interval, timestamp, interval, interval, jsonb, text, text, text, text, jsonb, jsonb, jsonb), '
        'dispatch_many(text, jsonb[], text, integer, text[], interval, timestamp, interval, interval, jsonb, jsonb), '
        'state_of(bigint), result_of(bigint), replay(bigint, text, boolean), discard(bigint), '
        'replay_many(text, text, interval, text, boolean, integer), discard_many(text, text, interval, integer), '
        'purge_dead_letters(interval, text, text), '
        '_is_admin(), _state_name("char")';
    admin constant text :=
        'register(text, regprocedure, text, integer, text[], integer, integer, interval, jsonb, interval, interval, boolean, interval, boolean, text), '
        'unregister(text), cleanup(interval), adopt()';
BEGIN
    IF role IS NULL OR kind IS NULL THEN
        RAISE null_value_not_allowed USING MESSAGE = 'role and kind must not be null';
    END IF;
    IF kind NOT IN ('app', 'admin') THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('unknown kind of grant: "%s"', kind),
            HINT = 'Known kinds are app and admin.';
    END IF;
    EXECUTE format('GRANT USAGE ON SCHEMA stent TO %I', role);
    EXECUTE format('GRANT SELECT ON stent.functions, stent.tasks, stent.executions, stent.dead_letters TO %I', role);
    EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I',
                   regexp_replace(app, '(^|\), )', '\1stent.', 'g'), role);
    IF kind = 'admin' THEN
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I',
                       regexp_replace(admin, '(^|\), )', '\1stent.', 'g'), role);
    END IF;
END
$$;
COMMENT ON FUNCTION stent.grant_usage(name, text) IS
  'grants a role what it needs: app (dispatch, run, results, own dead letters) or admin (register, all rows, cleanup, adopt). 42704 for an unknown role, 22023 for an unknown kind';
-- end of identity
