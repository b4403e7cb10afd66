-- The policy is stored whole at dispatch: registering again changes nothing for
-- tasks that wait, and a retry object at dispatch is laid over the registered one.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET datestyle = ISO;

CREATE FUNCTION retry_stored() RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'always'; END $$;
SELECT stent.register('retry_stored', 'retry_stored()', retry => '{"max_attempts": 4, "initial_delay": "10s", "jitter": 0}');
SELECT stent.dispatch('retry_stored') AS old \gset
SELECT stent.dispatch('retry_stored', retry => '{"initial_delay": "1.5h", "max_delay": "2d", "no_retry_for": ["23"]}') AS merged \gset
SELECT stent.dispatch('retry_stored', retry => '{}') AS same \gset

SELECT stent.register('retry_stored', 'retry_stored()', retry => '{"max_attempts": 1}');
SELECT stent.dispatch('retry_stored') AS new \gset
SELECT CASE id WHEN :old THEN 'old' WHEN :merged THEN 'merged' WHEN :same THEN 'same' ELSE 'new' END AS task, retry
FROM stent.tasks WHERE function = 'retry_stored' ORDER BY id;
-- equal policies are stored once
SELECT count(DISTINCT policy_id) FROM stent.task WHERE id IN (:old, :same);

DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
SELECT CASE id WHEN :old THEN 'old' WHEN :merged THEN 'merged' WHEN :same THEN 'same' ELSE 'new' END AS task,
       state, attempt, max_attempts, due_at
FROM stent.tasks WHERE function = 'retry_stored' ORDER BY id;

-- registering again resets to the defaults, it does not merge
SELECT stent.register('retry_stored', 'retry_stored()');
SELECT retry FROM stent.functions WHERE name = 'retry_stored';

-- run them to the end
SELECT stent.register('retry_stored', 'retry_stored()', retry => '{"max_attempts": 10000}');
DO $$
DECLARE
    i int;
BEGIN
    FOR i IN 2 .. 20 LOOP
        PERFORM set_config('stent.clock', to_char(timestamp '2026-01-01' + i * interval '3 hours', 'YYYY-MM-DD HH24:MI'), false);
        WHILE stent.run() > 0 LOOP COMMIT; END LOOP;
    END LOOP;
END $$;
SELECT CASE id WHEN :old THEN 'old' WHEN :merged THEN 'merged' WHEN :same THEN 'same' ELSE 'new' END AS task,
       state, attempt FROM stent.tasks WHERE function = 'retry_stored' ORDER BY id;

SELECT stent.discard_many('retry_stored');
SELECT stent.unregister('retry_stored');
DROP FUNCTION retry_stored;
