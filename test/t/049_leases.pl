# Leases under fire: backends and the server are killed while tasks are held, executors
# and workers share a limit, and many workers claim, complete, fail and abandon at once.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Stent;
use Test::More;
use Time::HiRes qw(usleep);

my $node = stent_node('leases', conf => "stent.max_executors = 4");
$node->start;
install($node, 'postgres');
sub sql { return $node->safe_psql('postgres', shift) }
my $left = q{SELECT concat_ws(' ', (SELECT count(*) FROM stent.task), (SELECT count(*) FROM stent.lease), (SELECT count(*) FROM stent.place),
	(SELECT count(*) FROM stent.ready), (SELECT count(*) FROM stent.due), (SELECT count(*) FROM stent.line))};

sql(q{
	CREATE TABLE held (id bigint, token bigint);
	CREATE FUNCTION claim(n int, lease interval DEFAULT '1h') RETURNS bigint LANGUAGE sql AS $$
		WITH c AS (INSERT INTO held SELECT task_id, token FROM stent.claim('w', n, '{ext}', lease => lease) RETURNING id) SELECT count(*) FROM c
	$$;
	CREATE FUNCTION words(verb text) RETURNS text LANGUAGE plpgsql AS $$
	DECLARE answer text;
	BEGIN
		EXECUTE format('SELECT string_agg(w || '' '' || n, '', '') FROM (SELECT w, count(*) AS n FROM
			(SELECT stent.%s_many(array_agg(id), array_agg(token)) AS a FROM held) x, unnest(a) w GROUP BY w ORDER BY w) y', verb) INTO answer;
		RETURN answer;
	END $$;
	SELECT stent.register('ext', retry => '{"initial_delay": "0.01s"}')});

# kill -9 of a claiming and of a completing backend, and of the server, with 500 leases held
sub crash
{
	my ($what, @statements) = @_;
	my $session = $node->background_psql('postgres', on_error_stop => 0);
	my $log = -s $node->logfile;
	my $pid = $session->query_safe('SELECT pg_backend_pid()');

	$session->query_safe($_) for 'BEGIN', @statements;
	kill('KILL', $pid);
	$node->wait_for_log(qr/reinitializing.*ready to accept connections/s, $log);
	eval { $session->quit };
	is(sql(q{SELECT words('heartbeat')}), 'held 500', "$what: the committed leases hold");
	is(sql(q{SELECT count(*) FROM stent.ready}), 100, "$what: and nothing else is taken");
}
sql(q{SELECT count(*) FROM stent.dispatch_many('ext', array_fill('{}'::jsonb, ARRAY[600]))});
is(sql('SELECT claim(500)'), 500, '500 are leased');
crash('a claiming backend is killed', "SELECT count(*) FROM stent.claim('dead', 100)");
crash('a completing backend is killed', "SELECT words('complete')");
crash('a releasing backend is killed', "SELECT words('release')");
my @pids = split(/\n/, sql('SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()'));
$node->kill9;
kill('KILL', @pids);
# the shared memory is theirs until the last one is gone
my $tries = 10 * $PostgreSQL::Test::Utils::timeout_default;
until ($node->start(fail_ok => 1))
{
	die 'server does not come back' if --$tries <= 0;
	$node->stop('fast', fail_ok => 1);
}
is(sql(q{SELECT words('heartbeat')}), 'held 500', 'the server was killed: the leases hold');
is(sql(q{SELECT words('complete')}), 'completed 500', 'and are completed');
is(sql('SELECT claim(1000, NULL); TRUNCATE held; SELECT count(*) FROM stent.lease') =~ /(\d+)$/ && $1, 1, 'the other 100 are leased');
sql(q{SELECT stent.complete_many(task_ids, array_fill(token, ARRAY[cardinality(task_ids)])) FROM stent.lease});
comes($node, $left, 'nothing is left', expected => '0 0 0 0 0 0');

# a prepared claim: nobody's but its own, over a restart
sql(q{SELECT count(*) FROM stent.dispatch_many('ext', array_fill('{}'::jsonb, ARRAY[4]))});
sql(q{BEGIN; SELECT claim(2); PREPARE TRANSACTION 'claimed'});
$node->restart;
is(sql('SELECT claim(10)'), 2, 'others get the rest');
sql(q{COMMIT PREPARED 'claimed'});
is(sql(q{SELECT words('complete')}), 'completed 4', 'it is committed and completed');
sql(q{TRUNCATE held; SELECT stent.dispatch('ext')});
sql(q{BEGIN; SELECT claim(2); PREPARE TRANSACTION 'claimed'});
$node->restart;
sql(q{ROLLBACK PREPARED 'claimed'});
comes($node, 'SELECT claim(10)', 'undone it is ready again', expected => 1);
is(sql(q{SELECT words('complete')}), 'completed 1', 'and completed');
sql('TRUNCATE held');

# what nobody renews is given back by the scheduler, also if nobody claims
sql(q{SELECT count(*) FROM stent.dispatch_many('ext', array_fill('{}'::jsonb, ARRAY[3]))});
is(sql(q{SELECT claim(3, '0.3s')}), 3, 'three are leased for a moment');
comes($node, 'SELECT count(*) FROM stent.ready', 'they are ready again', expected => 3);
is(sql(q{SELECT words('complete')}), 'lost 3', 'and not the worker\'s');
sql(q{TRUNCATE held; SELECT claim(3)});
is(sql(q{SELECT words('complete')}), 'completed 3', 'the next one completes them');
sql('TRUNCATE held');

# what this transaction has dispatched itself, for a role that nobody knew of
is(sql(q{CREATE ROLE fresh; SELECT stent.grant_usage('fresh'); BEGIN; SET LOCAL SESSION AUTHORIZATION fresh; SELECT stent.dispatch('ext') > 0;
	RESET SESSION AUTHORIZATION; SELECT claim(5); ROLLBACK}), "\nt\n1", 'a claim sees what its transaction has dispatched');

# the board has heard of lanes that are undone: claims and executors pass them over
sql(q{BEGIN; SELECT stent.dispatch('work', queue => 'fresh'); SELECT stent.run(1); ROLLBACK});
is(sql(q{SELECT claim(5)}), 0, 'a claim after one that is undone');
my $work = sql(q{SELECT stent.dispatch('work')});
comes($node, "SELECT state FROM stent.tasks WHERE id = $work", 'an executor, too', expected => 'completed');

# many renew the same task at once, and release others of its claim: all of them hold
sub together
{
	my ($n, $statement) = @_;
	my @out = map { '' } 1 .. $n;
	my @runs = map { IPC::Run::start(['psql', '-XAtqv', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'), '-c', $statement =~ s/NUMBER/$_/gr], '<', '/dev/null', '>', \$out[$_ - 1], '2>&1') } 1 .. $n;
	$_->finish for @runs;
	return join('', @out);
}
sql(q{SELECT count(*) FROM stent.dispatch_many('ext', array_fill('{}'::jsonb, ARRAY[8]))});
is(sql(q{SELECT claim(8, '20s')}), 8, 'eight are leased together');
is(together(8, q{DO $$ DECLARE h record; BEGIN SELECT * INTO h FROM held ORDER BY id LIMIT 1;
	FOR i IN 1 .. 50 LOOP PERFORM stent.heartbeat(h.id, h.token, '20s'); PERFORM pg_sleep(0.003); COMMIT; END LOOP; END $$}), '', 'single heartbeats are never told that they lost');
is(together(8, q{DO $$ DECLARE h record; BEGIN SELECT * INTO h FROM held ORDER BY id OFFSET NUMBER - 1 LIMIT 1;
	PERFORM stent.heartbeat(h.id, h.token, '20s'); PERFORM stent.release(h.id, h.token); END $$}), '', 'nor are releases');
sql('TRUNCATE held; SELECT claim(8)');
is(sql(q{SELECT words('complete')}), 'completed 8', 'all are there');
sql('TRUNCATE held');

# executors and workers under one limit, for the function is now one's and now the other's
sql(q{
	CREATE UNLOGGED TABLE seen (who text, n int);
	CREATE FUNCTION look(who text) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM pg_advisory_lock_shared(77, 1);
		INSERT INTO seen SELECT who, count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 77 AND granted;
		PERFORM pg_sleep(0.003);
		PERFORM pg_advisory_unlock_shared(77, 1);
	END $$;
	CREATE FUNCTION by_executor() RETURNS void LANGUAGE sql AS $$ SELECT look('executor') $$;
	SELECT stent.register('both', max_concurrent => 3, priority => 5);
	SELECT count(stent.dispatch('both', queue => 'q' || i % 3)) FROM generate_series(1, 500) i});
my @sessions = map { $node->background_psql('postgres') } 1 .. 5;
$_->query_until(qr/begun/, "\\echo begun\n" . q{DO $$ DECLARE c record; BEGIN WHILE EXISTS (SELECT FROM stent.task) LOOP
	SELECT * INTO c FROM stent.claim('w', 1, '{both}'); COMMIT;
	IF c.task_id IS NULL THEN PERFORM pg_sleep(0.002);
	ELSE PERFORM look('worker'); COMMIT; PERFORM stent.complete(c.task_id, c.token); END IF;
	COMMIT; END LOOP; END $$;} . "\n") for @sessions[0 .. 3];
$sessions[4]->query_until(qr/begun/, "\\echo begun\n" . q{DO $$ BEGIN WHILE EXISTS (SELECT FROM stent.task) LOOP
	PERFORM stent.register('both', 'by_executor()', max_concurrent => 3); COMMIT; PERFORM pg_sleep(0.05); COMMIT;
	PERFORM stent.register('both', max_concurrent => 3); COMMIT; PERFORM pg_sleep(0.05); COMMIT; END LOOP; END $$;} . "\n");
comes($node, 'SELECT NOT EXISTS (SELECT FROM stent.task)', 'all end', patience => 100);
$_->quit for @sessions;
is(sql(q{SELECT max(n) FROM seen}), 3, 'three at once, never four');
is(sql(q{SELECT count(DISTINCT who), count(*) FROM seen}), '2|500', 'of both kinds, each once');
# who ended the last parts of a lease at the same time has left its due entry to its time
comes($node, $left, 'nothing is left', expected => '0 0 0 0 0 0');

# all at once: nothing is lost or doubled
sql(q{
	CREATE TABLE done (id bigint, worker text);
	SELECT stent.shared_set('done', '0');
	SELECT stent.register('limited', max_concurrent => 7, retry => '{"initial_delay": "0.01s"}');
	-- one round of a worker: some it completes, some it fails, gives back or forgets
	CREATE PROCEDURE round(worker text) LANGUAGE plpgsql AS $$
	DECLARE
		c record;
		ids bigint[]; tokens bigint[]; mine bigint[]; its bigint[]; words text[];
		dice float;
	BEGIN
		SELECT array_agg(task_id), array_agg(token) INTO ids, tokens FROM stent.claim(worker, 1 + (random() * 20)::int, '{ext,limited}', lease => '0.4s');
		COMMIT;
		IF ids IS NULL THEN
			PERFORM pg_sleep(0.02);
			RETURN;
		END IF;
		PERFORM pg_sleep(random() * 0.05);
		dice := random();
		IF dice < 0.1 THEN
			PERFORM pg_sleep(0.5); -- too late, or not
		ELSIF dice < 0.2 THEN
			RETURN;
		END IF;
		FOR part IN 0 .. 3 LOOP
			SELECT array_agg(i), array_agg(t) INTO mine, its FROM unnest(ids, tokens) u (i, t) WHERE i % 4 = part;
			CONTINUE WHEN mine IS NULL;
			dice := random();
			IF dice < 0.1 THEN
				PERFORM stent.fail_many(mine, its, array_fill('{"message": "m"}'::jsonb, ARRAY[cardinality(mine)]));
			ELSIF dice < 0.2 THEN
				PERFORM stent.release_many(mine, its);
			ELSIF dice < 0.3 THEN
				PERFORM stent.heartbeat_many(mine, its, '0.5s');
			ELSIF dice < 0.35 THEN
				PERFORM stent.cancel(mine[1]);
			ELSE
				words := stent.complete_many(mine, its, NULL, array_fill('{"shared": {"done": 1}, "counters": {"done": 1}}'::jsonb, ARRAY[cardinality(mine)]));
				INSERT INTO done SELECT i, worker FROM unnest(mine, words) u (i, w) WHERE w = 'completed';
			END IF;
			COMMIT;
		END LOOP;
	END $$;
	SELECT count(stent.dispatch(CASE WHEN i % 3 = 0 THEN 'limited' ELSE 'ext' END, jsonb_build_object('n', i), concurrency_key => CASE WHEN i % 5 = 0 THEN 'k' || i % 50 END,
		max_duration => CASE WHEN i % 7 = 0 THEN interval '5s' END)) FROM generate_series(1, 3000) i});
my $on = PostgreSQL::Test::Utils::tempdir() . '/stress';
append_to_file($on, '');
my $calls = join(' ', map { "-c \"CALL round('wNUMBER')\"" } 1 .. 20);
my @runs = map { IPC::Run::start(['bash', '-c', "while [ -e '$on' ]; do psql -XAtq -d '" . $node->connstr('postgres') . "' " . ($calls =~ s/NUMBER/$_/gr) . " >>'$on.out$_' 2>&1 || sleep 0.05; done"], '<', '/dev/null') } 1 .. 6;
my $log = -s $node->logfile;
for my $i (1 .. 12)
{
	usleep(500_000);
	my $pid = value($node, 'postgres', q{SELECT pid FROM pg_stat_activity WHERE query LIKE 'CALL round%' ORDER BY random() LIMIT 1});
	next unless $pid;
	if ($i == 6) { kill('KILL', $pid) }
	else { value($node, 'postgres', "SELECT pg_terminate_backend($pid)") }
}
comes($node, 'SELECT NOT EXISTS (SELECT FROM stent.task)', 'all tasks end', patience => 120);
unlink($on);
$_->finish for @runs;
my %errors;
$errors{$_}++ for map { s/\d+/N/gr } map { split /\n/, slurp_file($_) } glob("$on.out*");
is(join("\n", grep { /ERROR/ } sort keys %errors), '', 'no worker met an error');
note("$_: $errors{$_}") for sort keys %errors;
is(sql(q{SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM stent.archive UNION ALL SELECT id FROM stent.archive_kept UNION ALL SELECT id FROM stent.dead_letter) a
	WHERE id IN (SELECT id FROM stent.tasks WHERE function IN ('ext', 'limited') AND args ? 'n')}), '3000|3000', 'each is in one place');
is(sql(q{SELECT count(*) FROM stent.tasks WHERE args ? 'n' AND finished_at IS NULL}), 0, 'and over');
is(sql(q{SELECT count(*) FROM (SELECT id FROM stent.tasks WHERE state = 'completed' AND args ? 'n') t FULL JOIN done d ON d.id = t.id WHERE d.id IS NULL OR t.id IS NULL}), 0, 'completed are those that a worker was told it completed');
is(sql(q{SELECT count(*) - count(DISTINCT id) FROM done}), 0, 'by one of them');
is(sql(q{SELECT stent.shared_get('done')::bigint - (SELECT count(*) FROM done)}), 0, 'what they brought along counts once');
is(sql(q{SELECT (SELECT sum(delta) FROM stent.counter WHERE name = 'done') - (SELECT count(*) FROM done)}), 0, 'counters, too');
is(sql(q{SELECT string_agg(DISTINCT state || COALESCE(' ' || (error ->> 'code'), ''), ', ') FROM stent.tasks WHERE args ? 'n' AND NOT (state = 'completed' OR state = 'cancelled' OR
	state = 'failed' AND error ->> 'code' IN ('ST014', 'ST015') OR state = 'timed_out')}), '', 'the others failed, or were lost, cancelled or late');
cmp_ok(sql('SELECT count(*) FROM done'), '>', 1000, 'and most were completed');
comes($node, $left, 'nothing is left', expected => '0 0 0 0 0 0');
is(sql(q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'}), 0, 'no lock is left');

# a snapshot that is held keeps what leases leave behind, here some 40 pages: claims do not
# read it
sql(q{SELECT stent.register('many')});
sql(q{SELECT count(*) FROM stent.dispatch_many('many', array_fill('{}'::jsonb, ARRAY[3010]))});
my $holder = $node->background_psql('postgres');
$holder->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM stent.due');
sub pages
{
	my $plan = sql(q{EXPLAIN (ANALYZE, BUFFERS, COSTS off, TIMING off) SELECT * FROM stent.claim('w', 1, '{many}')});

	# a due entry that lives would stand before those that do not
	sql(q{SELECT stent.complete(t, l.token) FROM stent.lease l, unnest(l.task_ids) t});
	return $plan =~ /shared hit=(\d+)/ ? $1 : die $plan;
}
pages() for 1 .. 4; # what a session reads for the first time is not counted
my $few = pages();
sql(q{DO $$
	DECLARE c record;
	BEGIN
		FOR i IN 1 .. 3000 LOOP
			SELECT * INTO c FROM stent.claim('w', 1, '{many}');
			COMMIT;
			PERFORM stent.complete(c.task_id, c.token);
			COMMIT;
		END LOOP;
	END $$});
my $many = pages();
cmp_ok($many, '<', $few + 20, "a claim reads $few pages at first, and $many after 3,000 others");
$holder->quit;

done_testing();
