# Waiting for many tasks that executors run, with and without preload.
#
# Wrong: an end or a failure that wakes nobody, so that the waiter sleeps until the
# backstop; a waiter that is woken by what is none of its business; a thousand tasks that
# take a thousand looks.
use strict;
use warnings;
use IPC::Run qw(start finish timeout);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $definitions = q{
	CREATE EXTENSION stent;
	CREATE FUNCTION number(n int, ms float DEFAULT 0) RETURNS int LANGUAGE plpgsql AS $$
	BEGIN
		IF ms > 0 THEN
			PERFORM pg_sleep(ms / 1000);
		END IF;
		RETURN n;
	END $$;
	CREATE FUNCTION fails(n int) RETURNS int LANGUAGE plpgsql AS $$
	BEGIN
		RAISE EXCEPTION USING ERRCODE = '22012', MESSAGE = 'raised by ' || n;
	END $$;
	CREATE FUNCTION gate(key bigint) RETURNS bigint LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM pg_advisory_xact_lock(key);
		RETURN key;
	END $$;
	SELECT stent.register('number', 'number(int, float)'), stent.register('gate', 'gate(bigint)');
	SELECT stent.register('fails', 'fails(int)', retry => '{"max_attempts": 1}');
	CREATE FUNCTION numbers(n int) RETURNS bigint[] LANGUAGE sql AS $$
		SELECT array_agg(id) FROM stent.dispatch_many('number', ARRAY(SELECT jsonb_build_object('n', i) FROM generate_series(1, n) i)) id
	$$;
};

my $node = PostgreSQL::Test::Cluster->new('await_all');
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
$node->safe_psql('postgres', $definitions);

sub sql { return $node->safe_psql('postgres', shift) }

sub fails
{
	my ($sql, $what, $code) = @_;
	my ($out, $err);
	$node->psql('postgres', "\\set VERBOSITY sqlstate\n$sql", stdout => \$out, stderr => \$err, on_error_stop => 1);
	like($err, qr/ERROR:\s+$code/, $what);
}

# a session of its own that runs sql; ended() waits for it and returns its output and errors
sub in_background
{
	my ($sql, %env) = @_;
	my ($out, $err) = ('', '');
	local @ENV{ keys %env } = values %env;
	my $run = start([ 'psql', '-XAtq', '-v', 'VERBOSITY=sqlstate', '-d', $node->connstr('postgres'), '-c', $sql ], '<', \undef, '>', \$out, '2>', \$err, timeout(120));
	return { run => $run, out => \$out, err => \$err };
}

sub ended
{
	my ($session) = @_;
	finish($session->{run});
	my $told = ${ $session->{out} } . ${ $session->{err} };
	chomp $told;
	return $told;
}

sub until_waiting
{
	my ($pattern, $n) = @_;
	$node->poll_query_until('postgres', qq{SELECT count(*) = $n FROM pg_stat_activity
		WHERE query LIKE '$pattern' AND wait_event_type = 'Extension'}) or die 'nobody waits';
}

# so often a process has gone to sleep
sub sleeps
{
	my ($pid) = @_;
	slurp_file("/proc/$pid/status") =~ /^voluntary_ctxt_switches:\s+(\d+)/m or die 'no such process';
	return $1;
}

sub gated
{
	my ($keeper) = @_;
	$keeper->query_safe('SELECT pg_advisory_lock(1);');
	my $id = sql(q{SELECT stent.dispatch('gate', '{"key": 1}')});
	$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity
		WHERE application_name = 'stent executor' AND wait_event_type = 'Lock'}) or die 'the handler did not start';
	return $id;
}

# a thousand, watched all at once or a few at a time
my $sum = 1000 * 1001 / 2;
for my $limit ('NULL', 7, 1)
{
	my $begin = time;
	is(sql("SELECT numbers(1000) AS ids \\gset
		SELECT count(*) || ' ' || sum(n::int) || ' ' || bool_and(n::int = i) FROM jsonb_array_elements(stent.await_all(:'ids', $limit)) WITH ORDINALITY e(n, i)"),
		"1000 $sum true", "a thousand tasks are waited for, limit $limit");
	cmp_ok(time - $begin, '<', 30, 'without a poll or a backstop');
}
is(sql(q{DO $$
	DECLARE
		r jsonb;
		ids bigint[];
	BEGIN
		FOR i IN 1 .. 30 LOOP
			ids := numbers(i);
			CALL stent.await_all_until_done(ids || ids, i, '1 minute', r);
			ASSERT jsonb_array_length(r) = 2 * i;
			ids := numbers(i);
			COMMIT;
			PERFORM stent.await_all(ids || ids[1:1], 1 + i / 2);
		END LOOP;
	END $$;
	SELECT 'ok'}), 'ok', 'many sets are waited for, one after the other');

# sets that overlap, of tasks that end in any order, by many sessions
my $script = PostgreSQL::Test::Utils::tempdir() . '/sets.sql';
append_to_file($script, q{
\set n random(1, 12)
\set limit random(1, 12)
SELECT array_agg(stent.dispatch('number', jsonb_build_object('n', i, 'ms', CASE WHEN random() < 0.2 THEN 3 * random() ELSE 0 END))) AS ids FROM generate_series(1, :n) i \gset
SET statement_timeout = '60s';
SELECT 1 / (stent.await_all(ARRAY(SELECT unnest(':ids'::bigint[]) ORDER BY random()), :limit) IS NOT NULL)::int;
});
my $begin = time;
command_ok([ 'pgbench', '-n', '-f', $script, '-c', '6', '-j', '2', '-t', '100', $node->connstr('postgres') ], 'six sessions wait for sets of tasks');
cmp_ok(time - $begin, '<', 55, 'and none of them sleeps too long');

# a failure is told at once, wherever it stands and though others are not near their end
my $keeper = $node->background_psql('postgres');
my $gate = gated($keeper);
for my $k (0, 1, 5, 8)
{
	my $ids = sql("SELECT array_agg(CASE WHEN i = $k THEN stent.dispatch('fails', '{\"n\": 1}', delay => '500 ms') WHEN i % 2 = 0 THEN $gate
		ELSE stent.dispatch('number', '{\"n\": 2}', delay => '800 ms') END ORDER BY i) FROM generate_series(0, 8) i");
	my $out;
	my $err;
	$begin = time;
	$node->psql('postgres', "\\set VERBOSITY verbose\nSELECT stent.await_all('$ids');", stdout => \$out, stderr => \$err);
	cmp_ok(time - $begin, '<', 20, "a failure at index $k ends the wait");
	like($err, qr/ERROR:\s+22012: raised by 1\n.*DETAIL:\s+\{"index": $k, "task_id": \d+, "error": \{"code": "22012"/s, 'and says which');
	ok($node->poll_query_until('postgres', "SELECT bool_and(state = CASE function WHEN 'number' THEN 'completed' WHEN 'fails' THEN 'failed' ELSE 'running' END)
		FROM stent.tasks WHERE id = ANY ('$ids')"), 'its siblings go on');
}

# nobody is woken for others: not by their ends, nor by failures out of reach
my $first = sql(q{SELECT stent.dispatch('number', '{"n": 1}', delay => '1 hour')});
my $waiter = in_background("SELECT stent.await_all('{$first,$gate}')");
until_waiting("SELECT stent.await_all(''{$first%", 1);
my $pid = sql("SELECT pid FROM pg_stat_activity WHERE query LIKE 'SELECT stent.await_all(''{$first%' AND wait_event_type = 'Extension'");
my $before = sleeps($pid);
sql(q{SELECT numbers(200) AS ids \gset
	SELECT stent.await_all(:'ids')});
fails(q{SELECT ARRAY[stent.dispatch('fails', '{"n": 3}')] AS ids \gset
	SELECT stent.await_all(:'ids');}, 'another fails meanwhile', '22012');
is(sleeps($pid), $before, 'a waiter sleeps through what others do');
sql("SELECT pg_terminate_backend($pid, 30000)");
ended($waiter);

# interrupts; the procedure holds nothing
fails("SET statement_timeout = '100ms'; SELECT stent.await_all('{$gate,$first}');", 'statement_timeout ends a wait', '57014');
fails("SET statement_timeout = '100ms'; CALL stent.await_all_until_done('{$gate,$first}');", 'the same of the procedure', '57014');
fails("SELECT stent.await_all('{$gate,$first}', 1, '100 ms');", 'a wait that runs out', 'ST010');
fails("CALL stent.await_all_until_done('{$gate,$first}', timeout => '100 ms');", 'the same of the procedure', 'ST010');
my $done = sql(q{SELECT stent.dispatch('number', '{"n": 4}')});
my @waiters = (
	(map { in_background("SELECT stent.await_all('{$gate,$done}')") } 1 .. 8),
	(map { in_background("CALL stent.await_all_until_done('{$gate,$done}')") } 1 .. 7),
	in_background("CALL stent.await_all_until_done('{$gate,$done}')", PGOPTIONS => '-c default_transaction_isolation=serializable'));
until_waiting("%stent.await_all%{$gate,$done%", 16);
is(sql(q{SELECT count(*) || ' ' || count(backend_xmin) || ' ' || count(backend_xid) FROM pg_stat_activity
	WHERE query LIKE 'CALL stent.await_all_until_done%' AND wait_event_type = 'Extension'}), '8 0 0', 'a waiting procedure holds neither xmin nor xid');
is(sql(q{SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
	WHERE query LIKE 'CALL stent.await_all_until_done%' AND wait_event_type = 'Extension' AND l.locktype <> 'virtualxid'}), '0', 'nor any lock');
sql("SELECT pg_cancel_backend((SELECT min(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT stent.await_all(''{$gate,$done%'))");
sql("SELECT pg_terminate_backend((SELECT max(pid) FROM pg_stat_activity WHERE query LIKE 'CALL stent.await_all_until_done(''{$gate,$done%'), 30000)");
$begin = time;
$keeper->query_safe('SELECT pg_advisory_unlock(1);');
my @told = map { ended($_) } @waiters;
cmp_ok(time - $begin, '<', 20, 'all are woken at once');
is(scalar(grep { $_ eq '[1, 4]' } @told), 14, 'with the results');
is(scalar(grep { /ERROR:\s+57014/ } @told), 1, 'but for the one that was cancelled');

unlike(slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal|has no entry|changed under/, 'nothing strange in the log');
$node->stop;

# without preload everybody polls
my $plain = PostgreSQL::Test::Cluster->new('await_all_plain');
$plain->init;
$plain->start;
$plain->safe_psql('postgres', $definitions);
$node = $plain;
is(sql('SELECT stent.start(1)'), '1', 'an executor without preload');
is(sql(q{SELECT numbers(1000) AS ids \gset
	SELECT count(*) || ' ' || sum(n::int) FROM jsonb_array_elements(stent.await_all(:'ids', 100)) n}), "1000 $sum", 'a thousand tasks without preload');
my $bad = sql(q{SELECT ARRAY[stent.dispatch('number', '{"n": 1}', delay => '1 hour'), stent.dispatch('fails', '{"n": 7}', delay => '1 s')]});
fails("SELECT stent.await_all('$bad');", 'a failure without preload', '22012');
fails("SELECT stent.await_all(('$bad'::bigint[])[1:1], timeout => '1200 ms');", 'a wait that runs out, without preload', 'ST010');
fails("SET statement_timeout = '1200ms'; SELECT stent.await_all(('$bad'::bigint[])[1:1]);", 'statement_timeout, without preload', '57014');
sql('SELECT stent.stop()');
$plain->stop;
done_testing();
