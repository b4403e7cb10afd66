-- Dead letters of a function that is registered no more can still be chosen by its name.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';

CREATE FUNCTION gone_f(n int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT replays FROM stent.tasks WHERE id = stent.task_id()) = 0 THEN
        RAISE EXCEPTION 'fails';
    END IF;
    RETURN n;
END $$;
SELECT stent.register('gone_f', 'gone_f(int)', retry => '{"max_attempts": 1}');
SELECT count(*) FROM stent.dispatch_many('gone_f', ARRAY['{"n": 1}', '{"n": 2}', '{"n": 3}', '{"n": 4}']::jsonb[]);
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT stent.unregister('gone_f');
SELECT function, state, args FROM stent.dead_letters WHERE function = 'gone_f' ORDER BY id;

SELECT stent.replay_many('gone_f', max_tasks => 2);
DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT stent.discard_many('gone_f', max_tasks => 1);
SET stent.clock = '2026-01-01 01:00:00';
SELECT stent.purge_dead_letters('30m', 'gone_f');
SELECT args, state, result FROM stent.tasks WHERE function = 'gone_f' ORDER BY id;
SELECT stent.discard_many('gone_never');
SELECT count(stent.discard(id)) FROM stent.dead_letters WHERE function = 'gone_f';
DROP FUNCTION gone_f;
