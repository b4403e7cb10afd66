-- A batch ends at its bounds: count, an error, an untimed function, subtransaction ids, time.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';

CREATE TABLE batch_end_log (n int);
CREATE FUNCTION batch_end_f(fail boolean DEFAULT false) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF fail THEN
        RAISE EXCEPTION 'fails';
    END IF;
END $$;
-- each exception block that writes takes a subtransaction id of its own
CREATE FUNCTION batch_end_blocks(n int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. n LOOP
        BEGIN
            INSERT INTO batch_end_log VALUES (i);
        EXCEPTION WHEN division_by_zero THEN
            NULL;
        END;
    END LOOP;
END $$;
CREATE FUNCTION batch_end_slow() RETURNS void LANGUAGE sql AS 'SELECT pg_sleep(0.02)';
SELECT stent.register('batch_end_f', 'batch_end_f(boolean)', retry => '{"max_attempts": 1}');
SELECT stent.register('batch_end_blocks', 'batch_end_blocks(int)');
SELECT stent.register('batch_end_slow', 'batch_end_slow()');

-- a function that this session has not timed runs alone; then up to max_tasks; 0 at the end
SELECT count(*) FROM stent.dispatch_many('batch_end_f', array_fill('{}'::jsonb, ARRAY[250]));
SELECT stent.run();
SELECT stent.run(10);
SELECT stent.run();
SELECT stent.run(1000);
SELECT stent.run();

-- an error ends the batch, the failed task included
SELECT count(*) FROM stent.dispatch_many('batch_end_f', ARRAY['{}', '{}', '{"fail": true}', '{}', '{}']::jsonb[]);
SELECT stent.run();
SELECT stent.run();
SELECT stent.run();

-- before 64 subtransaction ids are in use: 10 a task and its own
SELECT count(*) FROM stent.dispatch_many('batch_end_blocks', array_fill('{"n": 10}'::jsonb, ARRAY[13]));
SELECT stent.run();
SELECT stent.run();
SELECT stent.run();
SELECT stent.run();
SELECT stent.run();
-- one task may take more
SELECT stent.dispatch('batch_end_blocks', '{"n": 100}') AS id \gset
SELECT stent.run();
SELECT state FROM stent.tasks WHERE id = :id;
SELECT count(*) FROM batch_end_log;

-- time: known to take longer than the bound, each runs alone
SET stent.batch_time = '15ms';
SELECT count(*) FROM stent.dispatch_many('batch_end_slow', array_fill('{}'::jsonb, ARRAY[3]));
SELECT stent.run();
SELECT stent.run();
SELECT stent.run();
SELECT stent.run();
-- 0 puts each task in a commit of its own
SET stent.batch_time = 0;
SELECT count(*) FROM stent.dispatch_many('batch_end_f', array_fill('{}'::jsonb, ARRAY[3]));
SELECT stent.run();
SELECT stent.run();
SELECT stent.run();
SELECT stent.run();

SELECT stent.discard_many('batch_end_f');
SELECT count(stent.unregister(name)) FROM stent.functions WHERE name LIKE 'batch\_end\_%';
DROP TABLE batch_end_log;
DROP FUNCTION batch_end_f, batch_end_blocks, batch_end_slow;
