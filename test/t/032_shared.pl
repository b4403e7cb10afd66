# Shared values under many sessions, restarts, kills and deadlocks.
#
# Adds from 50 sessions are exact and each total is returned once; what is committed
# outlives a restart and kill -9; a handler whose process is killed after its add
# counts once; tasks that deadlock over two values complete at their first attempt.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Stent;
use Test::More;

my $SESSIONS = 50;
my $ADDS = 200;
my $GUN = 4711;
my $GATE = 4712;

my $node = stent_node('main', conf => "stent.max_executors = 4\ndeadlock_timeout = 10ms");
$node->start;
install($node, 'postgres');
$node->safe_psql('postgres', qq{
	CREATE FUNCTION count_me(gate int) RETURNS bigint LANGUAGE plpgsql AS \$\$
	DECLARE total bigint := stent.shared_add_int('counted', 1);
	BEGIN
		PERFORM pg_advisory_xact_lock_shared(gate);
		RETURN total;
	END \$\$;
	CREATE FUNCTION ring(first int, second int) RETURNS bigint LANGUAGE plpgsql AS \$\$
	BEGIN
		PERFORM stent.shared_add_int('ring' || first, 1);
		PERFORM pg_advisory_xact_lock_shared($GATE);
		RETURN stent.shared_add_int('ring' || second, 1);
	END \$\$;
	SELECT stent.register('count_me', 'count_me(int)'), stent.register('ring', 'ring(int, int)', retry => '{"max_attempts": 1}');
	SELECT stent.shared_set('n', '0'), stent.shared_set('counted', '0');
	SELECT stent.shared_set('ring' || n, '0') FROM generate_series(0, 3) n;
});

# Stands for a session that holds a lock, or an open transaction.
sub session
{
	my ($sql) = @_;
	my $session = $node->background_psql('postgres');

	$session->query_safe($sql);
	return $session;
}

# 50 sessions begin at once
my $script = "SET client_min_messages = warning;\nDO \$\$ BEGIN PERFORM pg_advisory_lock_shared($GUN); END \$\$;\n"
  . "SELECT 'made' WHERE stent.shared_set('made', to_jsonb(pg_backend_pid()));\n"
  . "SELECT stent.shared_add_int('n', 1);\n" x $ADDS;
my $starter = session("SELECT pg_advisory_lock($GUN)");
my $file = PostgreSQL::Test::Utils::tempdir() . '/adds.sql';
my (@runs, @out, @err);

append_to_file($file, $script);
for my $n (0 .. $SESSIONS - 1)
{
	push @runs, IPC::Run::start([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-f', $file, '-d', $node->connstr('postgres') ], '>', \$out[$n], '2>', \$err[$n]);
}
comes($node, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = $GUN", "$SESSIONS sessions wait for the start", expected => $SESSIONS);
$starter->query_safe("SELECT pg_advisory_unlock($GUN)");
$_->finish for @runs;
is(join('', @err), '', 'no add and no set failed');
my @totals = grep { $_ ne 'made' } map { split(/\n/, $_) } @out;
my %seen = map { $_ => 1 } @totals;
is(scalar(@totals), $SESSIONS * $ADDS, 'each add returned a total');
is(scalar(keys %seen), $SESSIONS * $ADDS, 'and all totals are distinct');
is((sort { $b <=> $a } @totals)[0], $SESSIONS * $ADDS, 'the highest is the number of adds');
is($node->safe_psql('postgres', q{SELECT stent.shared_get('n')}), $SESSIONS * $ADDS, 'and the value is exact');
$starter->quit;

# restarts and kill -9
$node->restart;
is($node->safe_psql('postgres', q{SELECT stent.shared_get('n')}), $SESSIONS * $ADDS, 'a restart keeps it');
is($node->safe_psql('postgres', q{SELECT stent.shared_add_int('n', 5)}), $SESSIONS * $ADDS + 5, 'added to');
my $open = session(q{BEGIN; SELECT stent.shared_add_int('n', 1000), stent.shared_delete('made')});
$node->kill9;
for my $try (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
{
	# the shared memory is theirs until the last one is gone
	last if $node->start(fail_ok => 1);
	$node->stop('fast', fail_ok => 1);
}
is($node->safe_psql('postgres', q{SELECT stent.shared_get('n'), stent.shared_has('made')}), ($SESSIONS * $ADDS + 5) . '|t', 'kill -9 keeps what was committed, and no more');
eval { $open->quit };

# a handler has added, and its process goes
for my $how ('is killed with -9', 'is terminated')
{
	my $gate = session("SELECT pg_advisory_lock($GATE)");
	my $before = $node->safe_psql('postgres', q{SELECT stent.shared_get('counted')});
	my $id = $node->safe_psql('postgres', "SELECT stent.dispatch('count_me', '{\"gate\": $GATE}')");
	my $waits = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = $GATE";

	comes($node, "SELECT count(*) FROM ($waits) w", "$how: the handler has added", expected => 1);
	my $pid = $node->safe_psql('postgres', $waits);
	is($node->safe_psql('postgres', q{SELECT stent.shared_get('counted')}), $before, "$how: nobody sees it yet");
	if ($how =~ /-9/)
	{
		my $log = -s $node->logfile;

		kill('KILL', $pid);
		$node->wait_for_log(qr/reinitializing.*ready to accept connections/s, $log);
	}
	else
	{
		$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
	}
	eval { $gate->quit };
	comes($node, "SELECT concat_ws('|', state, attempt, result) FROM stent.tasks WHERE id = $id", "$how: the task runs again", expected => 'completed|1|' . ($before + 1));
	is($node->safe_psql('postgres', q{SELECT stent.shared_get('counted')}), $before + 1, "$how: counted once");
}

# four tasks, each with the value the next one wants
for my $round (1 .. 3)
{
	my $deadlocks = "(SELECT deadlocks FROM pg_stat_database WHERE datname = 'postgres')";
	my $before = $node->safe_psql('postgres', "SELECT $deadlocks");
	my $gate = session("SELECT pg_advisory_lock($GATE)");

	$node->safe_psql('postgres', q{SELECT stent.dispatch('ring', jsonb_build_object('first', n, 'second', (n + 1) % 4)) FROM generate_series(0, 3) n});
	comes($node, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = $GATE", "round $round: each has its first", expected => 4);
	$gate->quit;
	all_end($node, "round $round: all come to an end");
	comes($node, "SELECT $deadlocks > $before", "round $round: there was a deadlock");
}
is($node->safe_psql('postgres', q{SELECT state, attempt, count(*) FROM stent.tasks WHERE function = 'ring' GROUP BY 1, 2}), 'completed|1|12', 'all completed at the first attempt');
is($node->safe_psql('postgres', q{SELECT count(*) FROM stent.attempt}), 0, 'no attempt was charged');
is($node->safe_psql('postgres', q{SELECT string_agg(stent.shared_get('ring' || n)::text, ' ') FROM generate_series(0, 3) n}), '6 6 6 6', 'each add counts once');

# overwriting a signal is told to who wants to know
my $id = $node->safe_psql('postgres', q{SELECT stent.dispatch('work', delay => '1h')});
for my $again (0, 1)
{
	my $err = '';

	$node->psql('postgres', "SET client_min_messages = debug1; SELECT stent.signal($id, 's', '$again')", stderr => \$err);
	is(scalar($err =~ /signal "s" of execution $id overwritten/), $again ? 1 : '', 'a signal is' . ($again ? '' : ' not') . ' overwritten');
}

done_testing();
