-- For the upgrade script from 0.1.0: waiting and cancelling. grant_usage in
-- 90_grants.sql changed as well: it grants these, and says ROUTINE for FUNCTION.

CREATE FUNCTION stent.wait_for(id bigint, timeout interval DEFAULT NULL) RETURNS jsonb
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_wait_for';
COMMENT ON FUNCTION stent.wait_for(bigint, interval) IS
  'waits until a task has finished, then does what result_of does. timeout NULL or 0: no limit; negative: 22023. A wait that runs out raises ST010 and leaves the task alone. The transaction stays open meanwhile: where that hurts, CALL wait_until_done. 55000 for a task this transaction dispatched, above READ COMMITTED, and in a handler; P0002 for an unknown id';

CREATE PROCEDURE stent.wait_until_done(id bigint, timeout interval DEFAULT NULL, INOUT result jsonb DEFAULT NULL)
LANGUAGE c AS 'MODULE_PATHNAME', 'stent_wait_until_done';
COMMENT ON PROCEDURE stent.wait_until_done(bigint, interval, jsonb) IS
  'the same as wait_for, holding no snapshot and no transaction while it waits: it commits. 2D000 in a transaction block, a function or an exception block; 55000 in a handler';

CREATE FUNCTION stent.cancel(id bigint) RETURNS boolean
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_cancel';
COMMENT ON FUNCTION stent.cancel(bigint) IS
  'ends a task that has not finished: true if this call did, false if it had finished. A running handler is interrupted and its effects are undone (with preload; else cancel waits for it). Final once committed; returns when it is decided, so it may wait for a transaction that holds the task. An admin may cancel anybody''s. P0002 for an unknown id, 55000 for the task whose handler calls it';

REVOKE ALL ON FUNCTION stent.wait_for(bigint, interval), stent.cancel(bigint) FROM PUBLIC;
REVOKE ALL ON PROCEDURE stent.wait_until_done(bigint, interval, jsonb) FROM PUBLIC;

-- Who was granted usage before gets what grant_usage gives now.
DO $$
DECLARE
    grantee name;
BEGIN
    FOR grantee IN
        SELECT r.rolname
        FROM pg_catalog.pg_proc p, pg_catalog.aclexplode(p.proacl) a
        JOIN pg_catalog.pg_roles r ON r.oid OPERATOR(pg_catalog.=) a.grantee
        WHERE p.oid OPERATOR(pg_catalog.=) 'stent.result_of(pg_catalog.int8)'::pg_catalog.regprocedure
          AND a.privilege_type OPERATOR(pg_catalog.=) 'EXECUTE' AND a.grantee OPERATOR(pg_catalog.<>) p.proowner
    LOOP
        EXECUTE pg_catalog.format('GRANT EXECUTE ON ROUTINE stent.wait_for(bigint, interval), stent.cancel(bigint), '
                                  'stent.wait_until_done(bigint, interval, jsonb) TO %I', grantee);
    END LOOP;
END
$$;
