-- append_output, append_output_many and output_of: output of leased tasks, in order and fenced.
\set VERBOSITY terse
SET datestyle = ISO;
SET stent.clock = '2024-03-01 00:00:00';
CREATE FUNCTION out_try(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE answer text; code text; msg text; hint text;
BEGIN
    EXECUTE 'SELECT ' || call INTO answer;
    RETURN COALESCE(nullif(answer, ''), 'done');
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, msg = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
    RETURN regexp_replace(concat_ws(E'\n', code || ': ' || msg, 'HINT: ' || nullif(hint, '')), '(task|token) -?\d+', '\1 N', 'g');
END $$;
SELECT stent.register('out_f', retry => '{"max_attempts": 2, "initial_delay": "1s", "jitter": 0}');
SELECT stent.dispatch('out_f') AS id, stent.dispatch('out_f') AS mate \gset
SELECT task_id, token FROM stent.claim('out_w', 2, '{out_f}') WHERE task_id = :id \gset

-- numbered in order; bytes of any kind
SELECT stent.append_output(:id, :token, 'stdout', 'one');
SELECT stent.append_output_many(:id, :token, ARRAY['stderr', 'stdout'], ARRAY['\xff00'::bytea, convert_to('zwei é', 'UTF8')]);
SET stent.clock = '2024-03-01 00:00:01';
SELECT stent.append_output(:id, :token, 'a log', ''), stent.append_output(:id, :token, 'stdout', 'a' || '\x00'::bytea || 'b');
SELECT * FROM stent.output_of(:id);
SELECT * FROM stent.output_of(:mate);
-- with numbers of one's own, a repeat is left as it is; NULL goes on after the highest
SELECT stent.append_output(:id, :token, 'stdout', 'other', 1);
SELECT stent.append_output_many(:id, :token, '{stdout,stdout,stdout}', '{five,six,seven}', 5);
SELECT stent.append_output_many(:id, :token, '{stdout,stdout,stdout}', '{V,VI,VII}', 6);
SELECT stent.append_output(:id, :token, 'stdout', 'later', 100), stent.append_output(:id, :token, 'stdout', 'last');
SELECT number, stream, text FROM stent.output_of(:id);
-- undone with its transaction
BEGIN;
SELECT stent.append_output(:id, :token, 'stdout', 'gone');
ROLLBACK;
SELECT max(number) FROM stent.output_of(:id);
-- above READ COMMITTED
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT 1 AS snapshot;
SELECT stent.append_output(:id, :token, 'stdout', 'repeatable');
COMMIT;
SELECT text FROM stent.output_of(:id) ORDER BY number DESC LIMIT 1;

-- bounds
SELECT out_try(format('stent.append_output(%s, %s, %s)', :id, :token, a)) FROM unnest(ARRAY[
    $$NULL, 'x'$$, $$'stdout', NULL$$, $$'', 'x'$$, $$repeat('s', 64), 'x'$$, $$'stdout', 'x', 0$$, $$'stdout', 'x', -1$$,
    $$'stdout', 'x', 9223372036854775807$$, $$'stdout', convert_to(repeat('x', 1048577), 'UTF8')$$]) a;
SELECT out_try(a) FROM unnest(ARRAY[format($$stent.append_output(NULL, %s, 's', 'x')$$, :token), format($$stent.append_output(%s, NULL, 's', 'x')$$, :id)]) a;
SELECT out_try(format('stent.append_output_many(%s, %s, %s)', :id, :token, a)) FROM unnest(ARRAY[
    $$NULL, '{x}'$$, $$'{s}', NULL$$, $$'{}', '{}'$$, $$'{s,s}', '{x}'$$, $$'{s,NULL}', '{x,y}'$$, $$'{s,s}', '{x,NULL}'$$, $$'{{s}}', '{{x}}'$$,
    $$array_fill('s'::text, '{1001}'), array_fill('x'::bytea, '{1001}')$$, $$'{s,s}', '{x,y}', 9223372036854775806$$,
    $$ARRAY['s', ''], '{x,y}'$$]) a;
SELECT count(*) FROM stent.output_of(:id) WHERE stream = 's';
SELECT out_try(format('stent.append_output(%s, %s, %s)', :id, :token, a)) FROM unnest(ARRAY[
    $$repeat('s', 63), 'x'$$, $$'big', convert_to(repeat('x', 1048576), 'UTF8')$$]) a;
SELECT out_try(format('stent.append_output_many(%s, %s, array_fill(%L::text, %L), array_fill(%L::bytea, %L))', :id, :token, 'many', '{1000}', 'x', '{1000}'));
SELECT stream, count(*), sum(length(data)) FROM stent.output_of(:id) WHERE number > 102 GROUP BY stream ORDER BY min(number);
BEGIN READ ONLY;
SELECT stent.append_output(:id, :token, 'stdout', 'x');
ROLLBACK;

-- only with the token that holds it
SELECT out_try(format($$stent.append_output(%s, %s, 'stdout', 'x')$$, :id, :token + 1));
SELECT out_try(format($$stent.append_output(-1, %s, 'stdout', 'x')$$, :token));
SELECT stent.dispatch('out_f') AS third \gset
SELECT out_try(format($$stent.append_output(%s, %s, 'stdout', 'x')$$, :third, :token));
-- the next attempt has numbers of its own
SELECT stent.append_output(:mate, :token, 'stdout', 'first');
SELECT stent.fail(:mate, :token, '{"message": "no"}');
SELECT out_try(format($$stent.append_output(%s, %s, 'stdout', 'x')$$, :mate, :token));
SET stent.clock = '2024-03-01 00:00:03';
SELECT token AS token2, attempt FROM stent.claim('out_w', 5, '{out_f}') WHERE task_id = :mate \gset
SELECT out_try(format($$stent.append_output(%s, %s, 'stdout', 'x')$$, :mate, :token));
SELECT stent.append_output(:mate, :token2, 'stdout', 'second'), stent.append_output(:mate, :token2, 'stdout', 'more');
SELECT attempt, number, text FROM stent.output_of(:mate);
SELECT attempt, number, text FROM stent.output_of(:mate, 2);
SELECT attempt, number, text FROM stent.output_of(:mate, 3);
SELECT attempt, number, text FROM stent.output_of(:mate, -70000);
-- given back, and claimed again: the attempt is the same, the token is not
SET stent.clock = '2024-03-01 00:00:04';
SELECT stent.release(:mate, :token2);
SELECT out_try(format($$stent.append_output(%s, %s, 'stdout', 'x')$$, :mate, :token2));
SELECT token AS token3 FROM stent.claim('out_w', 5, '{out_f}') WHERE task_id = :mate \gset
SELECT out_try(format($$stent.append_output(%s, %s, 'stdout', 'x')$$, :mate, :token2));
SELECT stent.append_output(:mate, :token3, 'stdout', 'third', 1), stent.append_output(:mate, :token3, 'stdout', 'repeat', 1), stent.append_output(:mate, :token3, 'stdout', 'fourth');
-- taken over
SET stent.clock = '2024-03-01 00:30:00';
SELECT count(*) FROM stent.claim('out_other', 5, '{out_none}');
SELECT count(*) > 0 AS claimed FROM stent.claim('out_other', 5, '{out_f}');
SELECT out_try(format($$stent.append_output(%s, %s, 'stdout', 'x')$$, :mate, :token3));
SELECT attempt, number, text FROM stent.output_of(:mate);

-- it stays when the task ends, as a dead letter, and through a replay
SELECT stent.dispatch('out_f') AS dead \gset
SELECT token FROM stent.claim('out_w', 5, '{out_f}') WHERE task_id = :dead \gset
SELECT stent.append_output(:dead, :token, 'stdout', 'dying');
SELECT stent.fail(:dead, :token, '{"message": "no", "retryable": false}');
SELECT text FROM stent.output_of(:dead);
SELECT stent.replay(:dead) = :dead AS replayed;
SELECT attempt, text FROM stent.output_of(:dead, 1);
SELECT token, attempt FROM stent.claim('out_w', 5, '{out_f}') WHERE task_id = :dead \gset
SELECT stent.append_output(:dead, :token, 'stdout', 'living');
SELECT attempt, number, text FROM stent.output_of(:dead);
SELECT attempt, number, text FROM stent.output_of(:dead, 1);
SELECT stent.complete(:dead, :token);
SELECT out_try(format($$stent.append_output(%s, %s, 'stdout', 'x')$$, :dead, :token));
SELECT text FROM stent.output_of(:dead);

-- who may read it: the dispatcher and admins
SELECT out_try('stent.output_of(NULL)'), out_try('stent.output_of(-1)');
CREATE ROLE out_app LOGIN;
CREATE ROLE out_admin LOGIN;
CREATE ROLE out_worker LOGIN;
SELECT stent.grant_usage('out_app'), stent.grant_usage('out_admin', 'admin'), stent.grant_usage('out_worker', 'worker');
GRANT EXECUTE ON FUNCTION out_try TO out_app, out_admin, out_worker;
SET ROLE out_app;
SELECT stent.dispatch('out_f') AS own \gset
SELECT out_try('stent.output_of(' || :dead || ')');
SELECT count(*) FROM stent.output;
SET ROLE out_worker;
SELECT token FROM stent.claim('out_w', 5, '{out_f}') WHERE task_id = :own \gset
SELECT stent.append_output(:own, :token, 'stdout', 'for the app');
SELECT out_try('stent.output_of(' || :own || ')');
SET ROLE out_app;
SELECT text FROM stent.output_of(:own);
SET ROLE out_admin;
SELECT text FROM stent.output_of(:own) UNION ALL SELECT text FROM stent.output_of(:dead);
RESET ROLE;

-- it goes with the task: retention within a day, a whole day, purge
CREATE FUNCTION out_rows() RETURNS TABLE (task text, rows bigint) LANGUAGE sql AS $$
    SELECT COALESCE(t.state, 'gone'), count(*) FROM stent.output o LEFT JOIN stent.tasks t ON t.id = o.task_id GROUP BY 1 ORDER BY 1
$$;
SELECT count(stent.cancel(t.id)) > 0 AS cancelled FROM stent.tasks t WHERE t.function = 'out_f' AND t.finished_at IS NULL AND t.id <> :own;
SELECT stent.fail(:own, :token, '{"message": "no", "retryable": false}');
SELECT * FROM out_rows();
SET stent.clock = '2024-03-01 12:00:00';
SELECT stent.cleanup('1h') > 0 AS cleaned;
SELECT * FROM out_rows();
SELECT stent.purge_dead_letters('0', 'out_f');
SELECT * FROM out_rows();
SELECT stent._add_partitions('2024-03-01', '2024-03-02');
SELECT stent.dispatch('out_f') AS day \gset
SELECT token FROM stent.claim('out_w', 5, '{out_f}') \gset
SELECT stent.append_output(:day, :token, 'stdout', 'a day'), stent.complete(:day, :token);
SELECT * FROM out_rows();
SET stent.clock = '2024-03-05 00:00:00';
SELECT stent.cleanup('1h') > 0 AS cleaned;
SELECT * FROM out_rows();
SELECT out_try('stent.output_of(' || :day || ')');

-- leave nothing behind
SELECT count(*) FROM stent.claim('out_w', 1, '{out_none}');
SELECT count(*) FROM stent.lease;
SELECT stent.unregister('out_f');
DROP OWNED BY out_app, out_admin, out_worker;
DROP ROLE out_app, out_admin, out_worker;
DROP FUNCTION out_try, out_rows;
