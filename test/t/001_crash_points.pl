# Crashes the backend at every fault point, in the first four of the scenarios that pass
# it; at those of the commit in all of them, and with STENT_CRASH_ALL at all points.
#
# A crash must leave the transaction undone, or, after the commit, wholly done:
# no task lost, doubled or stuck, no effect doubled, no attempt charged. The
# points are read from the sources, so a new one that no scenario passes fails.
#
# The scenarios of leases are crashed by 001_crash_points_of_leases.pl, which runs this
# file for them; here they are only looked at for the points they pass.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $leases = $ENV{STENT_CRASH_LEASES} // 0;
my %points;
for my $file (glob("extension/*.c"))
{
	# those of processes are in 021_executor_kills.pl, those of maps in 055_map_crash.pl, of revived parents in 057_revive_crash.pl
	$points{$_} = 1 for grep { !/^(executor|scheduler|upkeep|map|chunk|memo_remembered|revive)/ } slurp_file($file) =~ /\bSTENT_FAULT\("(\w+)"\)/g;
}
cmp_ok(scalar(keys %points), '>', 10, 'fault points found in extension/*.c');

my $node = PostgreSQL::Test::Cluster->new('crash');
$node->init;
$node->append_conf('postgresql.conf', "restart_after_crash = on\nstent.retention = 'off'\nautovacuum = off\njit = off");
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION stent;
	CREATE TABLE effect (task_id bigint, attempt int);
	CREATE TABLE told (task_id bigint);
	CREATE FUNCTION ok(size int DEFAULT 1, pad text DEFAULT '', tell boolean DEFAULT false) RETURNS text LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO effect VALUES (stent.task_id(), stent.attempt());
		IF tell THEN
			INSERT INTO told VALUES (stent.task_id());
			PERFORM stent.counter_add('told', 1), stent.context_set('told', '1'), stent.progress('told');
		END IF;
		RETURN repeat('r', size);
	END $$;
	CREATE FUNCTION flaky() RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO effect VALUES (stent.task_id(), stent.attempt());
		IF stent.attempt() = 1 THEN RAISE EXCEPTION 'not yet'; END IF;
	END $$;
	CREATE FUNCTION doomed() RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO effect VALUES (stent.task_id(), stent.attempt());
		RAISE EXCEPTION 'never';
	END $$;
	SELECT stent.register('ok', 'ok(int, text, boolean)');
	SELECT stent.register('limited', 'ok(int, text, boolean)', max_concurrent => 2, rate_limit => 1000, rate_burst => 3);
	CREATE FUNCTION spawner() RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO effect VALUES (stent.task_id(), stent.attempt());
		PERFORM stent.spawn('ok', jsonb_build_object('size', 3000, 'pad', repeat('x', 3000))), stent.spawn('ok', delay => '10s'), stent.spawn('ok');
	END $$;
	SELECT stent.register('spawner', 'spawner()');
	-- orchestrators: each has one effect, and its local step another kind of one
	CREATE TABLE noted (task_id bigint);
	CREATE FUNCTION note() RETURNS void LANGUAGE sql AS 'INSERT INTO noted VALUES (stent.task_id())';
	CREATE FUNCTION orc() RETURNS void LANGUAGE plpgsql AS $$
	DECLARE
		child bigint;
	BEGIN
		INSERT INTO effect VALUES (stent.task_id(), stent.attempt());
		PERFORM stent.step('note', 'note');
		PERFORM stent.call('ok', jsonb_build_object('size', 3000));
		child := stent.spawn('ok');
		PERFORM stent.call('ok'), stent.await(child), stent.sleep('3s');
	END $$;
	CREATE FUNCTION orc_signal() RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM stent.await_signal('go', '20s');
		INSERT INTO effect VALUES (stent.task_id(), stent.attempt());
	EXCEPTION WHEN SQLSTATE 'ST010' THEN
		INSERT INTO effect VALUES (stent.task_id(), stent.attempt());
	END $$;
	CREATE FUNCTION orc_spot() RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM stent.call('ok'), stent.step('note', 'note'), stent.call('ok');
		INSERT INTO effect VALUES (stent.task_id(), stent.attempt());
	END $$;
	SELECT stent.register('note', 'note()'), stent.register('orc', 'orc()'), stent.register('orc_signal', 'orc_signal()'), stent.register('orc_spot', 'orc_spot()');
	SELECT stent.register('flaky', 'flaky()', retry => '{"initial_delay": "10s"}');
	SELECT stent.register('doomed', 'doomed()', retry => '{"max_attempts": 2, "initial_delay": "10s"}');
	SELECT stent.register('ext', retry => '{"initial_delay": "10s"}');
	SELECT stent.register('ext_limited', max_concurrent => 2);
	SELECT stent.shared_set('ext', '0');
	CREATE VIEW everything AS
		SELECT id, function_id, 'live' AS state, attempt, replays, headers, args_ref, NULL::bigint AS result_ref FROM stent.task
		UNION ALL SELECT id, function_id, stent._state_name(state), attempt, replays, headers, args_ref, result_ref
			FROM (SELECT * FROM stent.archive UNION ALL SELECT * FROM stent.archive_kept) a
		UNION ALL SELECT id, function_id, 'dead', attempt, replays, headers, args_ref, result_ref FROM stent.dead_letter;
});

# Runs everything to its end, on a clock that runs ahead.
my $drain = q{DO $$ DECLARE stop timestamptz := clock_timestamp() + '60 s'; shift int := 0; BEGIN LOOP
	PERFORM set_config('stent.clock', '+' || shift || 's', false), stent.run(); COMMIT;
	PERFORM stent.complete(task_id, token, (SELECT jsonb_agg('{"result": 1}'::jsonb) FROM generate_series(1, items)))
		FROM stent.claim('drain', 100, lease => '1s', chunks => true); COMMIT;
	EXIT WHEN NOT EXISTS (SELECT FROM stent.task UNION ALL SELECT FROM stent.lease UNION ALL SELECT FROM stent.due WHERE kind = 'l');
	shift := shift + 5;
	IF clock_timestamp() > stop THEN RAISE 'stuck: %', (SELECT jsonb_agg(t) FROM stent.task t); END IF;
	END LOOP; END $$;};

# Every broken promise as a line: what, which task.
my $broken = q{
	WITH e AS MATERIALIZED (SELECT e.*, f.name FROM everything e JOIN stent.function f ON f.id = e.function_id),
	one AS MATERIALIZED (SELECT id, count(*) AS places FROM e GROUP BY id),
	x AS MATERIALIZED (SELECT task_id, count(*) AS effects FROM effect GROUP BY task_id),
	t AS MATERIALIZED (SELECT task_id, count(*) AS attempts FROM stent.attempt GROUP BY task_id),
	r AS MATERIALIZED (SELECT ref, count(*) AS owners FROM e, unnest(ARRAY[args_ref, result_ref]) ref WHERE ref IS NOT NULL GROUP BY ref)
	SELECT 'acknowledged but not there', a FROM unnest('{ACKED}'::bigint[]) a LEFT JOIN one ON one.id = a WHERE one.id IS NULL
	UNION ALL SELECT 'in two places', id FROM one WHERE places > 1
	UNION ALL SELECT 'effects', COALESCE(id, task_id) FROM e FULL JOIN x ON x.task_id = e.id
		WHERE COALESCE(effects, 0) <> CASE WHEN state = 'completed' AND name NOT LIKE 'ext%' THEN 1 ELSE 0 END
	UNION ALL SELECT 'charged', id FROM e
		WHERE attempt <> CASE WHEN state IN ('timed_out', 'cancelled') THEN 0
			WHEN name LIKE 'ext%' THEN (state = 'completed')::int + (SELECT count(*) FROM stent.attempt a WHERE a.task_id = e.id) WHEN name IN ('ok', 'limited', 'spawner') OR name LIKE 'orc%' THEN 1 ELSE 2 END
	UNION ALL SELECT 'attempts kept', COALESCE(id, task_id) FROM e FULL JOIN t ON t.task_id = e.id
		WHERE COALESCE(attempts, 0) <> CASE name WHEN 'flaky' THEN 1 WHEN 'doomed' THEN 2 * (replays + 1)
			WHEN 'ext' THEN COALESCE(attempts % 2, 0) ELSE 0 END
	UNION ALL SELECT 'told', task_id FROM told GROUP BY task_id
		HAVING count(*) <> 1 OR task_id <> ALL (SELECT id FROM e WHERE state = 'completed')
			OR (SELECT sum(delta) FROM stent.counter WHERE execution_id = task_id AND name = 'told') IS DISTINCT FROM 1
			OR (SELECT count(*) FROM stent.context WHERE execution_id = task_id AND key = 'told') <> 1
			OR (SELECT count(*) FROM stent.progress_entry p WHERE p.execution_id = told.task_id) <> 1
	UNION ALL SELECT 'noted', id FROM e LEFT JOIN noted ON noted.task_id = id WHERE name IN ('orc', 'orc_spot')
		GROUP BY id, state HAVING count(noted.task_id) > 1 OR (state = 'completed' AND count(noted.task_id) = 0)
	UNION ALL SELECT 'told by nobody', x FROM (SELECT execution_id FROM stent.counter WHERE name = 'told' UNION ALL SELECT execution_id FROM stent.context WHERE key = 'told'
			UNION ALL SELECT execution_id FROM stent.progress_entry) u (x) WHERE x NOT IN (SELECT task_id FROM told)
	UNION ALL SELECT 'shared', added FROM (SELECT stent.shared_get('ext')::bigint AS added) s
		WHERE added <> (SELECT count(*) FROM e JOIN told ON told.task_id = e.id WHERE name LIKE 'ext%')
	UNION ALL SELECT 'left in lease', token FROM stent.lease
	UNION ALL SELECT 'left in place', task_id FROM stent.place
	UNION ALL SELECT 'left in waiter', task_id FROM stent.waiter
	UNION ALL SELECT 'left in live', id FROM stent.task
	UNION ALL SELECT 'left in ready', task_id FROM stent.ready
	UNION ALL SELECT 'left in due', task_id FROM stent.due
	UNION ALL SELECT 'left in dedup', task_id FROM stent.dedup
	UNION ALL SELECT 'memo of nothing', m.task_id FROM stent.memo m LEFT JOIN one ON one.id = m.task_id WHERE one.id IS NULL
	UNION ALL SELECT 'left in child', task_id FROM stent.child
	UNION ALL SELECT 'children', e.id FROM e WHERE name = 'spawner' AND (SELECT count(*) FROM stent.tasks c WHERE c.parent_id = e.id)
		<> CASE state WHEN 'completed' THEN 3 ELSE 0 END
	UNION ALL SELECT 'left in line', task_id FROM stent.line
	UNION ALL SELECT 'payload', COALESCE(p.id, ref) FROM stent.payload p FULL JOIN r ON r.ref = p.id
		WHERE p.id IS NULL OR owners IS DISTINCT FROM 1};

my $mark = q{headers => '{"mark": "MARK"}'};
my $big = q{jsonb_build_object('size', 3000, 'pad', repeat('x', 3000))};
my $claim = q{SELECT count(*) FROM stent.claim('w', 5, lease => '1s')};
my $claim_chunks = q{SELECT count(*) FROM stent.claim('w', 5, lease => '1s', chunks => true)};
my $held = q{held AS (SELECT array_agg(i ORDER BY i) AS ids, array_agg(token) AS tokens FROM stent.lease, unnest(task_ids) i)};
my $told = "WITH $held, told AS (INSERT INTO told SELECT unnest(ids) FROM held)";
my $effects = q{'{"counters": {"told": 1}, "context": {"told": 1}, "shared": {"ext": 1}, "progress": [{"step": "told"}]}'::jsonb};
my $steps = q{'[{"kind": "record", "name": "r", "value": 1}, {"kind": "spawn", "function": "ok"}, {"kind": "call", "function": "ok"}]'::jsonb};
# name => [statement before, acknowledged; statement that crashes; tasks the latter makes]
my %scenarios = (
	dispatch => ['', "SELECT stent.dispatch('ok', $mark)", 1],
	dispatch_later => ['', "SELECT stent.dispatch('ok', delay => '10s', $mark)", 1],
	dispatch_full => ['', "SELECT stent.dispatch('ok', $big, dedup_key => 'k', max_duration => '10d',
		counters => '{\"a\": 1}', context => '{\"b\": 2}', $mark)", 1],
	dispatch_join => ["SELECT stent.dispatch('ok', dedup_key => 'k')", "SELECT stent.dispatch('ok', dedup_key => 'k', $mark)", 0],
	dispatch_replace => ["SELECT stent.dispatch('ok', $big, dedup_key => 'k', delay => '20s', max_duration => '1d')",
		"SELECT stent.dispatch('ok', $big, dedup_key => 'k', delay => '10s', on_duplicate => 'replace')", 0],
	dispatch_memo => ['', "SELECT stent.dispatch('ok', idempotency_key => 'MARK', $mark)", 1],
	dispatch_memo_hit => ["SELECT stent.dispatch('ok', idempotency_key => 'WHAT')", "SELECT stent.dispatch('ok', idempotency_key => 'MARK', $mark)", 0, $drain],
	dispatch_memo_anew => ["SELECT stent.dispatch('doomed', idempotency_key => 'WHAT')", "SELECT stent.dispatch('doomed', idempotency_key => 'MARK', $mark)", 1, $drain],
	dispatch_memo_dedup => ["SELECT stent.dispatch('ok', dedup_key => 'k', delay => '20s', idempotency_key => 'old WHAT')",
		"SELECT stent.dispatch('ok', dedup_key => 'k', delay => '10s', on_duplicate => 'replace', idempotency_key => 'MARK')", 0],
	dispatch_many => ['', "SELECT stent.dispatch_many('ok', array_fill('{}'::jsonb, ARRAY[3]), $mark)", 3],
	dispatch_many_later => ['', "SELECT stent.dispatch_many('ok', array_fill('{}'::jsonb, ARRAY[3]), delay => '10s', $mark)", 3],
	success => ["SELECT stent.dispatch_many('ok', array_fill('{}'::jsonb, ARRAY[4]))", 'SELECT stent.run()'],
	success_told => ["SELECT stent.dispatch_many('ok', array_fill('{\"tell\": true}'::jsonb, ARRAY[2]))", 'SELECT stent.run()'],
	# the clock went back since the last one: the bucket would be empty
	success_limited => ["SELECT stent.dispatch_many('limited', array_fill('{}'::jsonb, ARRAY[4]))", 'SELECT stent.run()', 0,
		"UPDATE stent.rate SET full_at = '2020-01-01'"],
	success_dedup => ["SELECT stent.dispatch('ok', $big, dedup_key => 'k', max_duration => '1d')", 'SELECT stent.run()'],
	first_of_day => ["SELECT stent.dispatch('ok')", 'SELECT stent.run()'],
	retry => ["SELECT stent.dispatch('flaky', dedup_key => 'k')", 'SELECT stent.run()'],
	last_retry => ["SELECT stent.dispatch('doomed', retry => '{\"initial_delay\": \"0s\"}')", 'SELECT stent.run()', 0, 'SELECT stent.run(1)'],
	promotion => ["SELECT stent.dispatch_many('ok', array_fill('{}'::jsonb, ARRAY[3]), delay => '1 microsecond')", 'SELECT stent.run()'],
	deadline => ["SELECT stent.dispatch('ok', max_duration => '1 microsecond', dedup_key => 'k')", 'SELECT stent.run()'],
	replay => ["SELECT stent.dispatch('doomed', dedup_key => 'WHAT')", 'SELECT stent.replay(ID)', 0, $drain],
	replay_many => ["SELECT stent.dispatch('doomed')", 'SELECT stent.replay_many()', 0, $drain],
	orchestrator => ["SELECT stent.dispatch('orc')", 'SELECT stent.run()'],
	orchestrator_resumed => ["SELECT stent.dispatch('orc')", 'SELECT stent.run(); SELECT stent.run()', 0, 'SELECT stent.run(); SELECT stent.run(1)'],
	orchestrator_on_the_spot => ["SELECT stent.dispatch(f, priority => p) FROM (VALUES ('ok', 10), ('orc_spot', 0)) v (f, p)", 'SELECT stent.run(); SELECT stent.run(); SELECT stent.run()'],
	orchestrator_signal => ["SELECT stent.dispatch('orc_signal')", "SELECT stent.signal(ID, 'go')", 0, 'SELECT stent.run()'],
	orchestrator_signalled => ["SELECT stent.dispatch('orc_signal')", 'SELECT stent.run(); SELECT stent.run()', 0, "SELECT stent.run(); SELECT stent.signal(max(id), 'go') FROM stent.task"],
	orchestrator_cancel => ["SELECT stent.dispatch('orc')", 'SELECT stent.cancel(ID)', 0, 'SELECT stent.run()'],
	discard => ["SELECT stent.dispatch('doomed')", 'SELECT stent.discard(ID)', 0, $drain],
	cancel => ["SELECT stent.dispatch('ok', $big, dedup_key => 'k', max_duration => '1d')", 'SELECT stent.cancel(ID)'],
	cancel_later => ["SELECT stent.dispatch('ok', delay => '10s')", 'SELECT stent.cancel(ID)'],
	spawn => ["SELECT stent.dispatch('spawner', max_duration => '1d')", 'SELECT stent.run()'],
	cancel_tree => ["SELECT stent.dispatch('spawner', max_duration => '1d')", 'SELECT stent.cancel(ID)', 0, 'SELECT stent.run(1)'],
	reschedule => ["SELECT stent.dispatch('ok', $big, dedup_key => 'k', max_duration => '1d')", "SELECT stent.reschedule(ID, 'other', 7, tags => '{t}')"],
	reschedule_later => ["SELECT stent.dispatch('ok', max_duration => '1d')", "SELECT stent.reschedule(ID, delay => '10s')"],
	reschedule_sooner => ["SELECT stent.dispatch('ok', delay => '20s', max_duration => '1d')", "SELECT stent.reschedule(ID, delay => '0')"],
	key_dispatch => ['', "SELECT stent.dispatch('ok', concurrency_key => 'k', $mark)", 1],
	key_dispatch_behind => ["SELECT stent.dispatch('ok', concurrency_key => 'k')", "SELECT stent.dispatch('ok', concurrency_key => 'k', $mark)", 1],
	key_run => ["SELECT stent.dispatch('ok', concurrency_key => 'k') FROM generate_series(1, 3)", 'SELECT stent.run()', 0, 'SELECT stent.run(1)'],
	key_nudge => ["SELECT stent.dispatch('ok', concurrency_key => 'k') FROM generate_series(1, 3)", 'SELECT stent.run()', 0,
		"SELECT stent.cancel(min(id)) FROM stent.task"],
	key_retry => ["SELECT stent.dispatch('flaky', concurrency_key => 'k') FROM generate_series(1, 2)", 'SELECT stent.run()'],
	key_cancel => ["SELECT stent.dispatch('ok', concurrency_key => 'k') FROM generate_series(1, 2)", 'SELECT count(stent.cancel(id)) FROM (SELECT id FROM stent.task ORDER BY id DESC LIMIT 1) t'],
	key_replace => ["SELECT stent.dispatch('ok', concurrency_key => 'k', dedup_key => d) FROM unnest('{a,b}'::text[]) d",
		"SELECT stent.dispatch('ok', concurrency_key => 'k', dedup_key => 'b', delay => '10s', on_duplicate => 'replace')", 0],
	lease_claim => ["SELECT stent.dispatch_many('ext', array_fill('{}'::jsonb, ARRAY[3]))", $claim],
	lease_claim_limited => ["SELECT stent.dispatch('ext_limited', concurrency_key => k) FROM unnest('{k,k,l}'::text[]) k", $claim],
	lease_claim_retry => ["SELECT stent.dispatch('ext')", "SELECT count(*) FROM stent.claim('w', 5, lease => '1s')", 0,
		"SET stent.clock = '-1h'; SELECT stent.fail(task_id, token, '{\"message\": \"m\"}') FROM stent.claim('w')"],
	lease_complete => ["SELECT stent.dispatch('ext', dedup_key => d, max_duration => '1d') FROM unnest('{a,b}'::text[]) d", "$told SELECT stent.complete_many(ids, tokens, array_fill('1'::jsonb, ARRAY[2]), array_fill($effects, ARRAY[2])) FROM held", 0, $claim],
	lease_complete_one => ["SELECT stent.dispatch('ext', $big)", "$told SELECT stent.complete(ids[1], tokens[1], to_jsonb(repeat('r', 3000)), '{\"told\": 1}', '{\"told\": 1}', '{\"ext\": 1}', '[{\"step\": \"told\"}]') FROM held", 0, $claim],
	lease_complete_limited => ["SELECT stent.dispatch('ext_limited', concurrency_key => 'k') FROM generate_series(1, 2)", "$told SELECT stent.complete_many(ids, tokens, NULL, array_fill($effects, ARRAY[1])) FROM held", 0, $claim],
	lease_fail => ["SELECT stent.dispatch_many('ext', array_fill('{}'::jsonb, ARRAY[2]))", "WITH $held SELECT stent.fail_many(ids, tokens, array_fill('{\"message\": \"m\"}'::jsonb, ARRAY[2])) FROM held", 0, $claim],
	lease_fail_last => ["SELECT stent.dispatch('ext')", "WITH $held SELECT stent.fail(ids[1], tokens[1], '{\"message\": \"m\", \"retryable\": false}') FROM held", 0, $claim],
	lease_release_limited => ["SELECT stent.dispatch('ext_limited', concurrency_key => 'k')", "WITH $held SELECT stent.release(ids[1], tokens[1]) FROM held", 0, $claim],
	lease_release => ["SELECT stent.dispatch_many('ext', array_fill('{}'::jsonb, ARRAY[3]))", "WITH $held SELECT stent.release_many(ids[2:3], tokens[2:3]) FROM held", 0, $claim],
	lease_heartbeat => ["SELECT stent.dispatch_many('ext', array_fill('{}'::jsonb, ARRAY[3]))", "WITH $held SELECT stent.heartbeat_many(ids[2:3], tokens[2:3], '1s') FROM held", 0, $claim],
	lease_expire => ["SELECT stent.dispatch_many('ext', array_fill('{}'::jsonb, ARRAY[3]))", $claim, 0, "SET stent.clock = '-1h'; $claim"],
	lease_expire_limited => ["SELECT stent.dispatch('ext_limited', concurrency_key => k) FROM unnest('{k,k,l}'::text[]) k", $claim, 0, "SET stent.clock = '-1h'; $claim"],
	lease_expire_part => ["SELECT stent.dispatch_many('ext', array_fill('{}'::jsonb, ARRAY[3]))", $claim, 0,
		"SET stent.clock = '-1h'; $claim; WITH $held SELECT stent.heartbeat_many(ids[2:3], tokens[2:3], '2h') FROM held; RESET stent.clock; WITH $held SELECT stent.complete(ids[3], tokens[3]) FROM held"],
	lease_chunk_claim => ["SELECT stent.map_query('ext', 'SELECT generate_series(1, 5)', 2)", $claim_chunks],
	lease_chunk_complete => ["SELECT stent.map_query('ext', 'SELECT generate_series(1, 4)', 2)", "WITH $held SELECT stent.complete_many(ids, tokens, array_fill('[{\"result\": 1}, {\"result\": 2}]'::jsonb, ARRAY[2])) FROM held", 0, $claim_chunks],
	lease_chunk_part => ["SELECT stent.map_query('ext', 'SELECT generate_series(1, 2)')", "WITH $held SELECT stent.complete(ids[1], tokens[1], '[{\"result\": 1}, null]') FROM held", 0, $claim_chunks],
	lease_chunk_retry => ["SELECT stent.map_query('ext', 'SELECT generate_series(1, 2)')", "WITH $held SELECT stent.complete(ids[1], tokens[1], '[{\"result\": 1}, {\"error\": {\"message\": \"m\"}}]') FROM held", 0, $claim_chunks],
	lease_chunk_fail => ["SELECT stent.map_query('ext', 'SELECT generate_series(1, 2)')", "WITH $held SELECT stent.fail(ids[1], tokens[1], '{\"message\": \"m\"}') FROM held", 0, $claim_chunks],
	lease_suspend => ["SELECT stent.dispatch('ext')", "$told SELECT stent.suspend(ids[1], tokens[1], $steps, '{\"told\": 1}', '{\"told\": 1}', '{\"ext\": 1}', '[{\"step\": \"told\"}]') FROM held", 0, $claim],
	lease_suspend_limited => ["SELECT stent.dispatch('ext_limited', concurrency_key => 'k')", "WITH $held SELECT stent.suspend(ids[1], tokens[1], $steps) FROM held", 0, $claim],
	lease_suspend_for_another => ["SELECT stent.dispatch(f) FROM unnest('{ext,ok}'::text[]) f", "WITH $held SELECT stent.suspend(ids[1], tokens[1], jsonb_build_array(jsonb_build_object('kind', 'await', 'id', (SELECT max(id) FROM stent.task)))) FROM held", 0, $claim],
	lease_checkpoint => ["SELECT stent.dispatch_many('ext', array_fill('{}'::jsonb, ARRAY[3]))", "WITH $held SELECT stent.suspend(ids[2], tokens[2], $steps - 2) FROM held", 0, $claim],
	lease_steps => ["SELECT stent.dispatch('ext')", "WITH $held SELECT count(*) FROM held, stent.lease_steps(ids[1], tokens[1])", 0,
		"$claim; WITH $held SELECT stent.suspend(ids[1], tokens[1], $steps) FROM held; SELECT stent.run(); SELECT stent.run(); $claim"],
	lease_cancel => ["SELECT stent.dispatch('ext_limited', concurrency_key => 'k', max_duration => '1d')", 'SELECT stent.cancel(ID)', 0, $claim],);

my (@acked, %passed, %crashed);
my $days = 0;
for my $name (sort keys %scenarios)
{
	my ($before, $action, $makes, $then) = @{ $scenarios{$name} };
	my $elsewhere = ($leases xor $name =~ /^lease/);

	next if $leases && $elsewhere;

	# the first run tells which points there are
	my @todo = ('');
	while (defined(my $point = shift @todo))
	{
		next if !$ENV{STENT_CRASH_ALL} && $point !~ /^$|_commit$/ && $crashed{$point}++ >= 4;
		# LOAD and SET below pass the commit points, once each
		my $nth = $point eq 'before_commit' || $point eq 'after_commit' ? 2 : 1;
		my $what = $point ? "$name crashed at $point" : "$name undisturbed";
		my $fault = $point ? "$point:crash:$nth" : 'trace';
		my ($out, $err, $log, $clock) = ('', '', -s $node->logfile, '');
		my $new = $before ? $node->safe_psql('postgres', $before =~ s/WHAT/$what/r) : '';

		push @acked, split(/\n/, $new);
		$node->safe_psql('postgres', $then) if $then;
		$clock = "SET stent.clock = '+" . (100 + 10 * ++$days) . "d';" if $name eq 'first_of_day';
		my $sql = $action =~ s/\bID\b/$new/r =~ s/MARK/$what/gr;
		my $status = $node->psql('postgres', "$clock LOAD 'stent'; SET stent.fault = '$fault';\n$sql;", stdout => \$out, stderr => \$err);
		if (!$point)
		{
			my %seen = map { $_ => 1 } $err =~ /^(?:psql:\S+ )?NOTICE:  fault point (\w+)$/mg;
			is($status, 0, "$what: succeeds");
			cmp_ok(scalar(keys %seen), '>', 2, "$what: passes points");
			@todo = sort keys %seen;
			if ($elsewhere)
			{
				$passed{$_}++ for @todo;
				@todo = ();
			}
			push @acked, split(/\n/, $out) if $action =~ /^SELECT stent.dispatch/;
		}
		else
		{
			is($status, 2, "$what: crashed");
			$passed{$point}++;
			$node->wait_for_log(qr/reinitializing.*ready to accept connections/s, $log);
			is($node->safe_psql('postgres', "SELECT count(*) FROM everything WHERE headers ->> 'mark' = '$what'"),
				$point eq 'after_commit' ? $makes : 0, "$what: all or nothing")
			  if $makes;
		}
		$node->safe_psql('postgres', $drain);
		my $query = $broken =~ s/ACKED/join(',', @acked)/er;
		is($node->safe_psql('postgres', $query), '', "$what: nothing lost, doubled, stuck or charged");
	}
	# what was found good need not be looked at again and again
	$node->safe_psql('postgres', 'TRUNCATE effect, told, noted, stent.archive, stent.archive_kept, stent.dead_letter, stent.attempt, stent.memo,
		stent.payload, stent.map, stent.chunk, stent.item, stent.counter, stent.context, stent.progress_entry, stent.step');
	$node->safe_psql('postgres', q{SELECT stent.shared_set('ext', '0')});
	@acked = ();
}

if ($leases)
{
	done_testing();
	exit;
}

# Counting crashes, where the library is preloaded: a task that crashed the server
# is in one place whatever happens to the scheduler that counts it, and is counted.
$node->stop;
my $careful = PostgreSQL::Test::Cluster->new('careful');
$careful->init;
$careful->append_conf('postgresql.conf', "restart_after_crash = on\nautovacuum = off\nshared_preload_libraries = 'stent'\nstent.databases = ''");
$careful->start;
$careful->safe_psql('postgres', q{
	CREATE EXTENSION stent;
	CREATE FUNCTION ok() RETURNS void LANGUAGE sql AS '';
	CREATE FUNCTION account() RETURNS int LANGUAGE c AS '$libdir/stent', 'stent_fault_careful_account';
	CREATE FUNCTION settle() RETURNS void LANGUAGE c AS '$libdir/stent', 'stent_fault_careful_settle';
	SELECT stent.register('ok', 'ok()')});

sub crashes
{
	my ($sql, $what) = @_;
	my $log = -s $careful->logfile;

	is($careful->psql('postgres', $sql), 2, $what);
	$careful->wait_for_log(qr/reinitializing.*ready to accept connections/s, $log);
}

for my $max (5, 1)
{
	for my $point ('careful_after_take', 'before_commit', 'after_commit', $max == 1 ? ('complete_after_delete', 'complete_after_archive') : ())
	{
		# SET passes the commit points
		my $nth = $point =~ /_commit$/ ? 3 : 1;
		my $what = "crash counted, limit $max, crashed at $point";
		my $id = $careful->safe_psql('postgres', "SELECT stent.dispatch('ok')");

		crashes("SET stent.fault = 'run_before_handler:crash'; SELECT stent.run()", "$what: a task crashes");
		crashes("SET stent.fault = '$point:crash:$nth'; SET stent.max_crashes = $max; SELECT account(); SELECT settle()", $what);
		$passed{$point}++;
		$careful->safe_psql('postgres', "SET stent.max_crashes = $max; SELECT account(); SELECT settle()");
		# a crash between commit and settle counts once more
		my $crashes = $point eq 'after_commit' ? 2 : 1;
		is($careful->safe_psql('postgres', "SELECT t.state, t.attempt, count(*), count(r), min(COALESCE(l.crashed, d.crashed)) FROM stent.tasks t
				LEFT JOIN stent.ready r ON r.task_id = t.id LEFT JOIN stent.task l ON l.id = t.id
				LEFT JOIN stent.dead_letter d ON d.id = t.id WHERE t.id = $id GROUP BY 1, 2"),
			$max == 1 ? 'failed|1|1|0|1' : "ready|0|1|1|$crashes", "$what: the task is in one place and counted");
		is($careful->safe_psql('postgres', 'SELECT account()'), 0, "$what: nothing is left to count");
		$careful->safe_psql('postgres', $max == 1 ? "SELECT stent.discard($id)" : 'SELECT stent.run()');
	}
}

# those of the processes have a test of their own
my $elsewhere = join('', map { slurp_file($_) } 'test/t/021_executor_kills.pl', 'test/t/048_wake.pl');
ok($passed{$_} || $elsewhere =~ /'$_\b/, "a scenario passes fault point $_") for sort keys %points;

done_testing();
