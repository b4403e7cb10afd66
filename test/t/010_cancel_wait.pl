# Waiting for and cancelling what executors run.
#
# A cancellation ends the handler it is meant for and nothing else: not the
# executor, not the tasks around it. Who waits is woken by the commit, holds
# nothing more than it must, and who gives up leaves nothing behind.
use strict;
use warnings;
use IPC::Run qw(start finish timeout);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $node = PostgreSQL::Test::Cluster->new('cancel_wait');
$node->init;
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'stent'
stent.databases = 'postgres'
stent.max_executors = 4
max_worker_processes = 16
max_connections = 50
log_min_messages = info
});
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION stent;
	CREATE TABLE effect (task_id bigint);
	CREATE TABLE told (id bigint, cancelled boolean);
	CREATE FUNCTION nap(s float DEFAULT 0) RETURNS float LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO effect VALUES (stent.task_id());
		PERFORM pg_sleep(s);
		RETURN s;
	END $$;
	CREATE FUNCTION gate(key bigint) RETURNS bigint LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM pg_advisory_xact_lock(key);
		RETURN key;
	END $$;
	SELECT stent.register('nap', 'nap(float)', retry => '{"max_attempts": 1}');
	SELECT stent.register('gate', 'gate(bigint)');
});

sub sql { return $node->safe_psql('postgres', shift) }

sub fails
{
	my ($sql, $what, $code) = @_;
	my ($out, $err);
	my $status = $node->psql('postgres', "\\set VERBOSITY sqlstate\n$sql", stdout => \$out, stderr => \$err, on_error_stop => 1);
	like($err, qr/ERROR:\s+$code/, $what);
}

# a session of its own that runs sql; ended() waits for it and returns its output
sub in_background
{
	my ($sql) = @_;
	my ($out, $err) = ('', '');
	my $run = start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', $sql ], '<', \undef, '>', \$out, '2>', \$err, timeout(120));
	return { run => $run, out => \$out };
}

sub ended
{
	my ($session) = @_;
	finish($session->{run});
	chomp ${ $session->{out} };
	return ${ $session->{out} };
}

sub sleepers { return sql(q{SELECT string_agg(pid::text, ',' ORDER BY pid) FROM pg_stat_activity
	WHERE application_name = 'stent executor' AND wait_event = 'PgSleep'}) }

sub until_sleeping
{
	my ($n) = @_;
	$node->poll_query_until('postgres', qq{SELECT count(*) = $n FROM pg_stat_activity
		WHERE application_name = 'stent executor' AND wait_event = 'PgSleep'}) or die 'the handlers did not start';
}

sub until_waiting
{
	my ($pattern, $n, $event) = @_;
	$node->poll_query_until('postgres', qq{SELECT count(*) = $n FROM pg_stat_activity
		WHERE query LIKE '$pattern' AND wait_event_type = '$event'}) or die 'nobody waits';
}

# executors are up and know the function
is(sql(q{SELECT stent.dispatch('nap') AS id \gset
	SELECT stent.wait_for(:id)}), '0', 'a dispatched task is run by itself, and waited for');

# cancelling one of two running tasks
my $one = sql(q{SELECT stent.dispatch('nap', '{"s": 1000}')});
until_sleeping(1);
my $first = sleepers();
my $two = sql(q{SELECT stent.dispatch('nap', '{"s": 1000}')});
until_sleeping(2);
my ($second) = grep { $_ ne $first } split(/,/, sleepers());
my $begin = time;
is(sql("SELECT stent.cancel($one)"), 't', 'a running task is cancelled');
cmp_ok(time - $begin, '<', 10, 'at once');
is(sleepers(), $second, 'the task beside it runs on, in the same process');
is(sql("SELECT count(*) FROM pg_stat_activity WHERE pid = $first AND application_name = 'stent executor'"), '1',
	'the executor survives');
fails("SELECT stent.wait_for($one);", 'who waits for it is told', 'ST004');
is(sql("SELECT state || attempt || stent.cancel($one) FROM stent.tasks WHERE id = $one"), 'cancelled0false', 'no attempt is charged');
is(sql("SELECT count(*) FROM effect WHERE task_id = $one"), '0', 'no effect is left');
is(sql(q{SELECT stent.dispatch('nap') AS id \gset
	SELECT stent.wait_for(:id)}), '0', 'others run meanwhile');
is(sql("SELECT stent.cancel($two)"), 't', 'the other is cancelled as well');

# the cancellation is undone: the task runs again, and not only at the backstop
my $undone = sql(q{SELECT stent.dispatch('nap', '{"s": 1}')});
until_sleeping(1);
is(sql("BEGIN; SELECT stent.cancel($undone); ROLLBACK; SELECT stent.wait_for($undone, '60 s')"), "t\n1", 'an undone cancellation leaves a task that runs');

# many cancel the same
for my $round (1 .. 5)
{
	my $id = sql(q{SELECT stent.dispatch('nap', '{"s": 1000}')});
	until_sleeping(1);
	my @sessions = map { in_background("SELECT stent.cancel($id);") } 1 .. 4;
	is(join('', sort map { ended($_) } @sessions), 'ffft', "one of four cancellations did it, round $round");
}

# a session that is terminated in a handler does not count as running any more, nor twice
my $killed = sql(q{SELECT stent.dispatch('nap', '{"s": 1000}')});
until_sleeping(1);
$first = sleepers();
sql("SELECT pg_terminate_backend($first, 30000)");
until_sleeping(1);
isnt(sleepers(), $first, 'the task of a terminated executor runs again elsewhere');
is(sql("SET statement_timeout = '30s'; SELECT stent.cancel($killed)"), 't', 'and can be cancelled');

# who gives up cancelling wakes those who passed over the task
my $passed = sql(q{SELECT stent.dispatch('nap', delay => '1 hour')});
my $holder = $node->background_psql('postgres');
$holder->query_safe("BEGIN; SELECT stent.cancel($passed);");
fails("SET statement_timeout = '100ms'; SELECT stent.cancel($passed);", 'statement_timeout ends a cancellation', '57014');
fails("SET lock_timeout = '100ms'; SELECT stent.cancel($passed);", 'so does lock_timeout', '55P03');
$holder->query_safe('ROLLBACK');
is(sql("SELECT stent.cancel($passed)"), 't', 'what was given up can be done again');
$passed = sql(q{SELECT stent.dispatch('nap', '{"s": 1000}')});
until_sleeping(1);
$holder->query_safe("BEGIN; SELECT stent.cancel($passed);");
my $stopped = in_background("SELECT stent.cancel($passed);");
until_waiting("SELECT stent.cancel($passed)%", 1, 'Lock');
my $pid = sql("SELECT pid FROM pg_stat_activity WHERE query LIKE 'SELECT stent.cancel($passed)%' AND wait_event_type = 'Lock'");
kill 'STOP', $pid;
$holder->query_safe('ROLLBACK');
usleep(300_000);
is(sleepers(), '', 'a task that somebody is about to cancel is passed over');
kill 'TERM', $pid;
kill 'CONT', $pid;
until_sleeping(1);
pass('and runs when that session is gone');
finish($stopped->{run});
is(sql("SELECT stent.cancel($passed)"), 't', 'at last it is cancelled');
$holder->quit;

# limits hold while a task runs in an executor
$begin = time;
fails(q{SELECT stent.dispatch('nap', '{"s": 1000}', max_duration => '300 ms') AS id \gset
	SELECT stent.wait_for(:id);}, 'max_duration ends a running task', 'ST002');
fails(q{SELECT stent.dispatch('nap', '{"s": 1000}', timeout => '300 ms') AS id \gset
	SELECT stent.wait_for(:id);}, 'timeout ends a running attempt', 'ST003');
cmp_ok(time - $begin, '<', 30, 'both in time');

# waits: prompt, interruptible, bounded
$begin = time;
is(sql(q{DO $$
	DECLARE
		r jsonb;
		id bigint;
	BEGIN
		FOR i IN 1 .. 50 LOOP
			id := stent.dispatch('nap');
			COMMIT;
			PERFORM stent.wait_for(id);
			id := stent.dispatch('nap');
			CALL stent.wait_until_done(id, '1 minute', r);
		END LOOP;
	END $$;
	SELECT 'ok'}), 'ok', 'a hundred tasks are waited for, one after the other');
cmp_ok(time - $begin, '<', 20, 'without a poll or a backstop');
my $keeper = $node->background_psql('postgres');
$keeper->query_safe('SELECT pg_advisory_lock(1);');
my $gated = sql(q{SELECT stent.dispatch('gate', '{"key": 1}')});
fails("SELECT stent.wait_for($gated, '50 ms');", 'a wait that runs out', 'ST010');
fails("CALL stent.wait_until_done($gated, '50 ms');", 'the same of the procedure', 'ST010');
fails("SET statement_timeout = '50ms'; SELECT stent.wait_for($gated);", 'statement_timeout ends a wait', '57014');
fails("SET statement_timeout = '50ms'; CALL stent.wait_until_done($gated);", 'the same of the procedure', '57014');

# twenty wait for one task; the procedures among them hold nothing back
my @waiters;
{
	local $ENV{PGOPTIONS} = '-c default_transaction_isolation=serializable';
	push @waiters, in_background("CALL stent.wait_until_done($gated);");
}
push @waiters, (
	(map { in_background("SELECT stent.wait_for($gated);") } 1 .. 10),
	(map { in_background("CALL stent.wait_until_done($gated);") } 1 .. 8),
	in_background("DO \$\$ DECLARE r jsonb; BEGIN CALL stent.wait_until_done($gated, NULL, r); INSERT INTO told VALUES ($gated, r = '1'); END \$\$"));
until_waiting("%stent.wait_%($gated%", 20, 'Extension');
is(sql(q{SELECT count(*) || ' ' || count(backend_xmin) || ' ' || count(backend_xid) FROM pg_stat_activity
	WHERE query LIKE '%CALL stent.wait_until_done%' AND wait_event_type = 'Extension'}), '10 0 0', 'a waiting procedure holds neither xmin nor xid');
is(sql(q{SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
	WHERE query LIKE '%CALL stent.wait_until_done%' AND wait_event_type = 'Extension' AND l.locktype <> 'virtualxid'}), '0', 'nor any lock');
is(sql(q{SELECT count(*) || ' ' || count(backend_xmin) FROM pg_stat_activity
	WHERE query LIKE 'SELECT stent.wait_for%' AND wait_event_type = 'Extension'}), '10 10', 'a waiting function holds a snapshot');
# one of them is killed, one cancelled
sql(qq{SELECT pg_terminate_backend((SELECT min(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT stent.wait_for($gated%'), 30000)});
sql(qq{SELECT pg_cancel_backend((SELECT max(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT stent.wait_for($gated%'))});
$begin = time;
$keeper->query_safe('SELECT pg_advisory_unlock(1);');
my @results = map { ended($_) } @waiters;
cmp_ok(time - $begin, '<', 20, 'all are woken at once');
is(join(',', sort @results), ',,,' . join(',', (1) x 17), 'with the result, but for those that were ended');
is(sql("SELECT cancelled FROM told WHERE id = $gated"), 't', 'a DO block got it and went on');
sql('TRUNCATE told');
$keeper->quit;

# cancelling what is just being run: true means it left nothing, false that it ended
my $script = PostgreSQL::Test::Utils::tempdir() . '/race.sql';
append_to_file($script, q{
\set ms random(0, 3)
SELECT stent.dispatch('nap', CASE WHEN random() < 0.3 THEN '{"s": 0.002}' ELSE '{}' END::jsonb,
	delay => CASE WHEN random() < 0.2 THEN interval '1 ms' END) AS id \gset
\sleep :ms ms
SELECT stent.cancel(:id)::int AS cancelled \gset
SELECT stent.wait_for(:id) IS NOT NULL FROM (SELECT 1 WHERE :cancelled = 0) w;
INSERT INTO told VALUES (:id, :cancelled = 1);
});
command_ok([ 'pgbench', '-n', '-f', $script, '-c', '8', '-j', '2', '-T', '5', $node->connstr('postgres') ], 'tasks are cancelled while they begin, run and end');
is(sql(q{SELECT count(*) FROM told JOIN stent.tasks USING (id) WHERE cancelled <> (state = 'cancelled')}), '0', 'cancel told the truth');
is(sql(q{SELECT count(*) FROM told WHERE (SELECT count(*) FROM effect WHERE task_id = id) <> CASE WHEN cancelled THEN 0 ELSE 1 END}), '0',
	'a cancelled task has no effect, another has one');
is(sql(q{SELECT bool_and(n > 20) FROM (SELECT count(*) AS n FROM told GROUP BY cancelled) c}), 't', 'of both there were some');
is(sql(q{SELECT count(*) FROM stent.task}), '0', 'nothing is left over');

# two running tasks cancel each other: nobody hangs
sql(q{CREATE FUNCTION rival(me bigint) RETURNS boolean LANGUAGE plpgsql AS $$
	DECLARE
		other bigint;
	BEGIN
		PERFORM pg_advisory_xact_lock_shared(7);
		SELECT t.id INTO other FROM stent.tasks t WHERE t.function = 'rival' AND t.id <> stent.task_id() AND t.finished_at IS NULL;
		IF other IS NULL THEN
			RETURN false;
		END IF;
		RETURN stent.cancel(other);
	END $$;
	SELECT stent.register('rival', 'rival(bigint)')});
$keeper = $node->background_psql('postgres');
$keeper->query_safe('SELECT pg_advisory_lock(7);');
sql(q{SELECT stent.dispatch('rival', '{"me": 1}'), stent.dispatch('rival', '{"me": 2}')});
until_waiting('rival%', 2, 'Lock');
$keeper->query_safe('SELECT pg_advisory_unlock(7);');
ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM stent.tasks WHERE function = 'rival' AND finished_at IS NULL}), 'tasks that cancel each other come to an end');
$keeper->quit;

unlike(slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal|has no entry|changed under/, 'nothing strange in the log');
$node->stop;
done_testing();
