-- An orchestrator in the database that calls functions which workers run.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';
CREATE PROCEDURE ext_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
CREATE FUNCTION ext_do(how text) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    BEGIN
        RETURN jsonb_build_array(stent.call('ext_program', jsonb_build_object('how', how)));
    EXCEPTION WHEN OTHERS THEN
        RETURN jsonb_build_array(SQLSTATE, SQLERRM);
    END;
END $$;
SELECT stent.register('ext_program', retry => '{"max_attempts": 1}'), stent.register('ext_do', 'ext_do(text)');
CREATE FUNCTION ext_claim() RETURNS TABLE (id bigint, token bigint, args jsonb) LANGUAGE sql AS $$ SELECT task_id, token, args FROM stent.claim('ext_worker', 1) $$;

-- it waits while nobody claims, and while somebody works
SELECT stent.dispatch('ext_do', '{"how": "well"}') AS id \gset
CALL ext_run();
SELECT function, state FROM stent.tasks WHERE execution_id = :id ORDER BY id;
SELECT * FROM ext_claim() \gset c_
SELECT :'c_args' AS args;
CALL ext_run();
SELECT function, state FROM stent.tasks WHERE execution_id = :id ORDER BY id;
SELECT stent.complete(:c_id, :c_token, '{"done": true}');
CALL ext_run();
SELECT function, state, result FROM stent.tasks WHERE execution_id = :id ORDER BY id;

-- an error with a SQLSTATE, one with a name, one without
SELECT stent.dispatch('ext_do', '{"how": "sqlstate"}') AS id \gset
CALL ext_run();
SELECT * FROM ext_claim() \gset c_
SELECT stent.fail(:c_id, :c_token, '{"code": "XX123", "message": "with a code"}');
CALL ext_run();
SELECT stent.result_of(:id);
SELECT stent.dispatch('ext_do', '{"how": "name"}') AS id \gset
CALL ext_run();
SELECT * FROM ext_claim() \gset c_
SELECT stent.fail(:c_id, :c_token, '{"code": "Declined", "message": "with a name"}');
CALL ext_run();
SELECT stent.result_of(:id);
SELECT stent.dispatch('ext_do', '{"how": "nothing"}') AS id \gset
CALL ext_run();
SELECT * FROM ext_claim() \gset c_
SELECT stent.fail(:c_id, :c_token, '{"message": "with nothing"}');
CALL ext_run();
SELECT stent.result_of(:id);

-- a worker that is lost: the next one's result comes
SELECT stent.dispatch('ext_do', '{"how": "lost"}') AS id \gset
CALL ext_run();
SELECT * FROM ext_claim() \gset c_
SET stent.clock = '2026-01-01 01:00:00';
CALL ext_run();
SELECT * FROM ext_claim() \gset d_
SELECT :d_id = :c_id AS same, :d_token <> :c_token AS another;
SELECT stent.complete(:d_id, :d_token, '"second"');
CALL ext_run();
SELECT stent.result_of(:id);

-- cancelled while its child is worked at
SELECT stent.dispatch('ext_do', '{"how": "cancelled"}') AS id \gset
CALL ext_run();
SELECT * FROM ext_claim() \gset c_
SELECT stent.cancel(:id);
\set VERBOSITY sqlstate
SELECT stent.complete(:c_id, :c_token, '"late"');
\set VERBOSITY terse
SELECT function, state FROM stent.tasks WHERE execution_id = :id ORDER BY id;

SELECT stent.discard_many('ext_program') AS dead;
SET stent.clock = '2026-01-01 02:00:00';
CALL ext_run();
SELECT (SELECT count(*) FROM stent.task) AS tasks, (SELECT count(*) FROM stent.lease) AS leases, (SELECT count(*) FROM stent.child) AS children, (SELECT count(*) FROM stent.ready) AS ready;
SELECT count(stent.unregister('ext_' || n)) FROM unnest(ARRAY['program', 'do']) n;
DROP PROCEDURE ext_run;
DROP FUNCTION ext_do, ext_claim;
