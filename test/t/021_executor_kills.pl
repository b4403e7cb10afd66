# Kills, ends and cancels executors, scheduler, launcher and the whole server
# while two clients dispatch, and crashes them where they are about to commit.
#
# Afterwards every acknowledged task has ended exactly once, every effect is
# there exactly once, and nobody was charged an attempt for it.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use PostgreSQL::Test::Utils;
use Stent;
use Test::More;
use Time::HiRes qw(usleep);

my $node = stent_node('kills', conf => "stent.idle_timeout = '1s'");
$node->start;
install($node, 'postgres');
# some tasks last, so that something is under way whenever it happens
$node->safe_psql('postgres', q{
	CREATE FUNCTION slow(ms int) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO public.effect VALUES (stent.task_id(), stent.attempt());
		PERFORM pg_sleep(ms / 1000.0);
	END $$;
	SELECT stent.register('slow', 'slow(int)')});

my $load = begin_load($node, 'postgres', 2);
my @slow;

# Batches are under way: what ended since the last call grows.
sub goes_on
{
	my ($what) = @_;
	my $ended;

	usleep(10_000) until defined($ended = value($node, 'postgres', 'SELECT count(*) FROM stent.tasks WHERE finished_at IS NOT NULL'));
	push @slow, value($node, 'postgres', q{SELECT stent.dispatch('slow', '{"ms": 300}')}) // ();
	comes($node, "SELECT count(*) > $ended + 200 FROM stent.tasks WHERE finished_at IS NOT NULL", "$what: tasks go on");
	return;
}

# A process of the kind; an executor in the middle of a task.
sub one_of
{
	my ($kind) = @_;
	my $query = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'stent $kind'";

	if ($kind eq 'executor')
	{
		push @slow, $node->safe_psql('postgres', q{SELECT stent.dispatch('slow', '{"ms": 1000}')});
		$query .= " AND state = 'active' AND query LIKE 'slow (%'";
	}
	$node->poll_query_until('postgres', "SELECT count(*) > 0 FROM ($query) p") or die "no $kind";
	return (split(/\n/, $node->safe_psql('postgres', $query)))[0];
}

goes_on('before');
for my $kind ('executor', 'scheduler', 'launcher')
{
	my $log = -s $node->logfile;

	kill('KILL', one_of($kind));
	$node->wait_for_log(qr/reinitializing.*ready to accept connections/s, $log);
	goes_on("$kind killed");
}
for my $kind ('executor', 'scheduler', 'launcher')
{
	my $pid = one_of($kind);

	is(value($node, 'postgres', "SELECT pg_terminate_backend($pid, 10000)"), 't', "$kind ended");
	goes_on("$kind ended");
	comes($node, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'stent $kind' AND pid <> $pid", "there is another $kind", expected => 1)
	  if $kind ne 'executor';
}
for (1 .. 5)
{
	$node->safe_psql('postgres', q{SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE backend_type = 'stent executor'});
	usleep(20_000);
}
goes_on('executors cancelled');
$node->safe_psql('postgres', q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE backend_type = 'stent scheduler'});
goes_on('scheduler cancelled');

for my $how ('fast', 'immediate', 'kill')
{
	if ($how eq 'kill')
	{
		my @pids = split(/\n/, $node->safe_psql('postgres', 'SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()'));

		$node->kill9;
		kill('KILL', @pids);
		# the shared memory is theirs until the last one is gone
		my $tries = 10 * $PostgreSQL::Test::Utils::timeout_default;
		until ($node->start(fail_ok => 1))
		{
			die "server does not come back" if --$tries <= 0;
			$node->stop('fast', fail_ok => 1);
			usleep(50_000);
		}
	}
	else
	{
		$node->stop($how);
		$node->start;
	}
	goes_on("server stopped: $how");
}
my @acknowledged = (end_load($load), @slow);
cmp_ok(scalar(@acknowledged), '>', 1000, 'enough was acknowledged');
all_end($node, 'everything ends');
books_balance($node, 'postgres', \@acknowledged, 'the books balance after kills');

# Crash points that processes pass. A point is set until somebody has crashed
# there; late enough for batches to succeed in between.
my %points;
for my $file (glob("extension/*.c"))
{
	$points{$_} = 1 for grep { /^(executor|scheduler|upkeep)_/ } slurp_file($file) =~ /\bSTENT_FAULT\("(\w+)"\)/g;
}
my $tallies = value($node, 'postgres', q{SELECT to_regproc('stent._fold_tallies') IS NOT NULL}) eq 't';
delete $points{upkeep_before_commit} if !$tallies;
my %pass = (claim_after_take => 150, before_commit => 40, after_commit => 40, upkeep_before_commit => 1, scheduler_before_commit => 1);
$load = begin_load($node, 'postgres', 2);
for my $point (sort(keys %points), 'before_commit', 'after_commit', 'claim_after_take', 'complete_after_archive')
{
	my $log = -s $node->logfile;

	$node->safe_psql('postgres', "ALTER SYSTEM SET stent.fault = '$point:crash:" . ($pass{$point} // 20) . "'");
	$node->reload;
	$node->wait_for_log(qr/reinitializing.*ready to accept connections/s, $log);
	usleep(10_000) until defined value($node, 'postgres', 'ALTER SYSTEM RESET stent.fault');
	usleep(10_000) until value($node, 'postgres', 'SELECT pg_reload_conf()');
	goes_on("crash at $point");
}
push @acknowledged, end_load($load), @slow;
all_end($node, 'everything ends');
books_balance($node, 'postgres', \@acknowledged, 'the books balance after crashes');
is($node->safe_psql('postgres', q{SELECT count(*) FROM stent.tasks WHERE function = 'slow' AND (state, attempt) IS DISTINCT FROM ('completed', 1)}),
	0, 'no task that lasted was charged');
$node->stop;

done_testing();
