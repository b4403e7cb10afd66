-- continue_as_new: an endless loop without an endless memory.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';
SET datestyle = ISO;
CREATE TABLE can_t (line text);
CREATE FUNCTION can_leaf(n int) RETURNS int LANGUAGE sql AS $$ SELECT n $$;
CREATE PROCEDURE can_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT stent.register('can_leaf', 'can_leaf(int)');

-- four rounds; own writes of each are committed with it; the same task, its first attempt
CREATE FUNCTION can_loop(round int DEFAULT 1, total int DEFAULT 0) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    total := total + stent.call('can_leaf', jsonb_build_object('n', round))::int;
    INSERT INTO can_t VALUES (format('round %s, attempt %s', round, stent.attempt()));
    PERFORM stent.counter_add('rounds', 1);
    IF round < 4 THEN
        PERFORM stent.continue_as_new(jsonb_build_object('round', round + 1, 'total', total));
        RETURN '"not this"';
    END IF;
    RETURN to_jsonb(total);
END $$;
SELECT stent.register('can_loop', 'can_loop(int, int)');
SELECT stent.dispatch('can_loop') AS id \gset
SELECT stent.run(1), stent.run(1), stent.run(1);
SELECT state, attempt, args, result FROM stent.tasks WHERE id = :id;
SELECT count(*) AS steps FROM stent.step WHERE task_id = :id;
TABLE can_t;
CALL can_run();
SELECT state, attempt, args, result FROM stent.tasks WHERE id = :id;
SELECT count(*) AS children FROM stent.tasks WHERE parent_id = :id;
SELECT stent.state_of(:id) -> 'counters' AS counters;
TABLE can_t;
TRUNCATE can_t;

-- only a success begins anew: a failed attempt does not, and the next one decides for itself
CREATE FUNCTION can_fails(round int DEFAULT 1) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO can_t VALUES (format('round %s, attempt %s', round, stent.attempt()));
    IF round < 3 THEN
        PERFORM stent.continue_as_new(jsonb_build_object('round', round + 1));
    END IF;
    IF stent.attempt() = 1 THEN
        RAISE EXCEPTION 'first attempt of round %', round;
    END IF;
    RETURN to_jsonb(stent.attempt());
END $$;
SELECT stent.register('can_fails', 'can_fails(int)', retry => '{"max_attempts": 2, "initial_delay": "0s"}');
SELECT stent.dispatch('can_fails') AS id \gset
CALL can_run();
SELECT state, attempt, result FROM stent.tasks WHERE id = :id;
TABLE can_t;
TRUNCATE can_t;

-- undone with a block; nothing may follow it but the end
CREATE FUNCTION can_various(how text, round int DEFAULT 1) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    IF round > 1 THEN
        RETURN jsonb_build_array(how, round);
    END IF;
    CASE how
        WHEN 'twice' THEN
            PERFORM stent.continue_as_new('{"how": "lost", "round": 2}');
            PERFORM stent.continue_as_new('{"how": "twice", "round": 3}');
        WHEN 'undone' THEN
            BEGIN
                PERFORM stent.continue_as_new('{"how": "undone", "round": 2}');
                RAISE EXCEPTION 'undone';
            EXCEPTION WHEN raise_exception THEN
                NULL;
            END;
        WHEN 'step' THEN
            PERFORM stent.continue_as_new('{"how": "step", "round": 2}');
            RETURN stent.call('can_leaf', '{"n": 1}');
        WHEN 'wrong' THEN
            PERFORM stent.continue_as_new('{"hov": "wrong"}');
        WHEN 'null' THEN
            PERFORM stent.continue_as_new(NULL);
    END CASE;
    RETURN to_jsonb('ended ' || how);
EXCEPTION WHEN raise_exception OR invalid_parameter_value OR null_value_not_allowed THEN
    RETURN to_jsonb(SQLSTATE || ' ' || SQLERRM);
END $$;
SELECT stent.register('can_various', 'can_various(text, int)', retry => '{"max_attempts": 1}');
CREATE TEMP TABLE can_ids AS SELECT how, stent.dispatch('can_various', jsonb_build_object('how', how)) AS id FROM unnest(ARRAY['twice', 'undone', 'step', 'wrong', 'null']) how;
CALL can_run();
SELECT how, state, result, error ->> 'message' AS error, args FROM can_ids JOIN stent.tasks USING (id) ORDER BY id;

-- children of the round before that were not awaited live on; signals are those of the execution: one that was taken is taken
CREATE FUNCTION can_signals(round int DEFAULT 1) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    value jsonb := stent.await_signal('go');
BEGIN
    INSERT INTO can_t VALUES (format('round %s: %s', round, value));
    PERFORM stent.spawn('can_leaf', jsonb_build_object('n', round), delay => '1h');
    IF round < 2 THEN
        PERFORM stent.continue_as_new('{"round": 2}');
    END IF;
    RETURN value;
END $$;
SELECT stent.register('can_signals', 'can_signals(int)');
SELECT stent.dispatch('can_signals') AS id \gset
SELECT stent.signal(:id, 'go', '1');
CALL can_run();
SELECT state, args FROM stent.tasks WHERE id = :id;
TABLE can_t;
SELECT stent.signal(:id, 'go', '2');
CALL can_run();
SELECT state, result FROM stent.tasks WHERE id = :id;
TABLE can_t;
SELECT function, state FROM stent.tasks WHERE parent_id = :id ORDER BY id;
SELECT stent.cancel(:id);

-- a child may continue, too: its parent waits for the last round
CREATE FUNCTION can_parent() RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN stent.call('can_loop'); END $$;
SELECT stent.register('can_parent', 'can_parent()');
SELECT stent.dispatch('can_parent') AS id \gset
CALL can_run();
SELECT stent.result_of(:id);

-- an endless one, for a while: what is kept does not grow
CREATE FUNCTION can_endless(n int DEFAULT 1) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM stent.sleep('1 day');
    PERFORM stent.call('can_leaf', jsonb_build_object('n', n));
    PERFORM stent.continue_as_new(jsonb_build_object('n', n + 1));
END $$;
SELECT stent.register('can_endless', 'can_endless(int)');
SELECT stent.dispatch('can_endless') AS id \gset
DO $$
BEGIN
    FOR day IN 1 .. 50 LOOP
        PERFORM set_config('stent.clock', (timestamp '2026-01-01' + day * interval '1 day')::text, false);
        CALL can_run();
    END LOOP;
END $$;
SELECT state, args, attempt, (SELECT count(*) FROM stent.step WHERE task_id = :id) AS steps FROM stent.tasks WHERE id = :id;
SELECT stent.cancel(:id);

-- nor do long values of the rounds before stay; those of children are their history's
CREATE FUNCTION can_long(n int DEFAULT 1) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    PERFORM stent.record('long', to_jsonb(repeat('x', 20000)));
    PERFORM stent.step('long', 'can_text', jsonb_build_object('n', 30000));
    PERFORM stent.call('can_text', jsonb_build_object('n', 40000));
    PERFORM stent.sleep('1 day');
    IF n < 3 THEN
        PERFORM stent.continue_as_new(jsonb_build_object('n', n + 1));
    END IF;
    RETURN to_jsonb(n);
END $$;
CREATE FUNCTION can_text(n int) RETURNS text LANGUAGE sql AS $$ SELECT repeat('y', n) $$;
SELECT stent.register('can_text', 'can_text(int)'), stent.register('can_long', 'can_long(int)');
SELECT stent.dispatch('can_long') AS id \gset
CALL can_run();
SET stent.clock = '2026-03-01 00:00:00';
CALL can_run();
SET stent.clock = '2026-03-02 00:00:00';
CALL can_run();
SELECT args, (SELECT count(*) FROM stent.tasks WHERE parent_id = :id) AS children FROM stent.tasks WHERE id = :id;
SELECT length(value #>> '{}') AS length, count(*) FROM stent.payload WHERE length(value #>> '{}') IN (20000, 30000, 40000) GROUP BY 1 ORDER BY 1;
SET stent.clock = '2026-03-03 00:00:00';
CALL can_run();
SELECT stent.result_of(:id);

SELECT stent.discard_many('can_various') AS dead;
SELECT count(*) AS live FROM stent.task;
SELECT count(stent.unregister('can_' || n)) FROM unnest(ARRAY['leaf', 'loop', 'fails', 'various', 'signals', 'parent', 'endless', 'text', 'long']) n;
DROP PROCEDURE can_run;
DROP FUNCTION can_leaf, can_loop, can_fails, can_various, can_signals, can_parent, can_endless, can_text, can_long;
DROP TABLE can_t, can_ids;
