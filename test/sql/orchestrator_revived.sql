-- A parent that is brought back, and had not come to its child: it goes on, whatever it has waited for before.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';
CREATE TABLE rev_bad (n int);
CREATE FUNCTION rev_leaf(n int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM rev_bad b WHERE b.n = rev_leaf.n) THEN
        RAISE EXCEPTION 'leaf % is bad', n USING ERRCODE = 'RV001';
    END IF;
    RETURN 10 * n;
END $$;
CREATE FUNCTION rev_parent(how text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    a bigint := stent.spawn('rev_leaf', '{"n": 1}');
    b bigint := stent.spawn('rev_leaf', '{"n": 2}', queue => 'slow');
BEGIN
    BEGIN
        IF how = 'signal' THEN
            PERFORM stent.await_signal('go', timeout => '1 hour');
        ELSE
            PERFORM stent.await(b, timeout => '1 hour');
        END IF;
    EXCEPTION WHEN SQLSTATE 'ST010' THEN NULL;
    END;
    RETURN stent.await(a);
END $$;
SELECT stent.register('rev_leaf', 'rev_leaf(int)', retry => '{"max_attempts": 1}'), stent.register('rev_parent', 'rev_parent(text)');
CREATE PROCEDURE rev_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run(queues => '{default}') > 0 LOOP COMMIT; END LOOP; END $$;
-- the wait runs out in the run in which it fails because of its child: what is remembered last is that wait
INSERT INTO rev_bad VALUES (1);
CREATE TEMP TABLE rev_ids AS SELECT how, stent.dispatch('rev_parent', jsonb_build_object('how', how)) AS id FROM unnest(ARRAY['signal', 'await']) how;
CALL rev_run();
SELECT how, state FROM rev_ids JOIN stent.tasks USING (id) ORDER BY id;
SET stent.clock = '2026-01-01 02:00:00';
CALL rev_run();
SELECT how, state, error ->> 'code' AS code FROM rev_ids JOIN stent.tasks USING (id) ORDER BY id;
SELECT r.how, s.position, s.kind, s.state FROM stent.step s JOIN rev_ids r ON r.id = s.task_id ORDER BY r.id, s.position;
DELETE FROM rev_bad;
SELECT count(stent.replay(id, revive_parent => true)) FROM stent.dead_letters WHERE function = 'rev_leaf';
CALL rev_run();
SELECT how, state, result FROM rev_ids JOIN stent.tasks USING (id) ORDER BY id;
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT (SELECT count(*) FROM stent.task) AS live, (SELECT count(*) FROM stent.due) AS due, (SELECT count(*) FROM stent.waiter) AS waiters;

SELECT count(stent.unregister('rev_' || n)) FROM unnest(ARRAY['leaf', 'parent']) n;
DROP PROCEDURE rev_run;
DROP FUNCTION rev_leaf, rev_parent;
DROP TABLE rev_bad, rev_ids;
