# Kills the whole server while two runners are each in the middle of a batch, and
# stops it in immediate mode; runs the rest after each restart.
#
# Afterwards every task has ended exactly once, every effect is there exactly
# once, and a crash cost nobody an attempt.
use strict;
use warnings;
use IPC::Run qw(start);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION stent;
	CREATE TABLE effect (task_id bigint, round int, n int);
	CREATE FUNCTION work(round int, n int) RETURNS int LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO effect VALUES (stent.task_id(), round, n);
		-- a gate that is closed until the server goes down
		IF n IN (1005, 1055) THEN PERFORM pg_advisory_xact_lock_shared(round); END IF;
		IF n % 50 = 0 AND stent.attempt() = 1 THEN RAISE EXCEPTION 'once'; END IF;
		IF n % 500 = 1 THEN RAISE EXCEPTION 'always'; END IF;
		RETURN n;
	END $$;
	SELECT stent.register('work', 'work(int, int)', retry => '{"initial_delay": "0s", "max_attempts": 2}');
});

sub session
{
	my ($sql) = @_;
	my ($in, $out, $err) = ('', '', '');

	return start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', $sql ], '<', \$in, '>', \$out, '2>', \$err);
}

# One runner: a transaction a batch until nothing is left.
sub runner
{
	return session('DO $$ BEGIN LOOP PERFORM stent.run(20); COMMIT; EXIT WHEN NOT EXISTS (SELECT FROM stent.task); END LOOP; END $$');
}

sub wait_for_locks
{
	my ($granted, $n) = @_;

	$node->poll_query_until('postgres', "SELECT count(*) = $n FROM pg_locks WHERE locktype = 'advisory' AND granted = $granted")
	  or die "not $n advisory locks with granted = $granted";
}

my $each = 2000;
my $round = 0;
for my $how ('kill', 'immediate', 'kill', 'immediate')
{
	$round++;
	is($node->safe_psql('postgres', qq{
		SELECT count(*) FROM stent.dispatch_many('work',
			(SELECT array_agg(jsonb_build_object('round', $round, 'n', n) ORDER BY n) FROM generate_series(1, $each) n))}),
		$each, "round $round: dispatched");
	my @sessions = (session("SELECT pg_advisory_lock($round); SELECT pg_sleep(3600)"));
	wait_for_locks('true', 1);
	push @sessions, runner(), runner();
	wait_for_locks('false', 2);

	if ($how eq 'immediate')
	{
		$node->stop('immediate');
		$node->start;
	}
	else
	{
		# without a postmaster its children would finish the backlog
		my @pids = split(/\n/, $node->safe_psql('postgres', 'SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()'));
		$node->kill9;
		kill('KILL', @pids);
		# the shared memory is theirs until the last one is gone
		my $tries = 10 * $PostgreSQL::Test::Utils::timeout_default;
		until ($node->start(fail_ok => 1))
		{
			die "server does not come back" if --$tries <= 0;
			$node->stop('fast', fail_ok => 1);
		}
	}
	$_->finish for @sessions;

	my ($ended, $live) = split(/\|/, $node->safe_psql('postgres', q{
		SELECT count(*) FILTER (WHERE finished_at IS NOT NULL), count(*) FILTER (WHERE finished_at IS NULL) FROM stent.tasks}));
	is($ended + $live, $round * $each, "round $round, $how: no task lost");
	cmp_ok($ended, '>', ($round - 1) * $each, "round $round, $how: finished tasks stay finished");
	is($node->safe_psql('postgres', "SELECT count(*) FROM stent.tasks WHERE state = 'ready' AND (args ->> 'round')::int = $round AND args ->> 'n' IN ('1005', '1055')"),
		2, "round $round, $how: unfinished tasks are ready again");
	is($node->safe_psql('postgres', q{
		SELECT count(*) FROM effect e FULL JOIN (SELECT id FROM stent.tasks WHERE state = 'completed') t ON t.id = e.task_id
		WHERE e.task_id IS NULL OR t.id IS NULL}),
		0, "round $round, $how: effects and completed tasks agree");
}

$_->finish for runner(), runner();
is($node->safe_psql('postgres', 'SELECT state, attempt, count(*) FROM stent.tasks GROUP BY 1, 2 ORDER BY 1, 2'),
	"completed|1|7824\ncompleted|2|160\nfailed|2|16", 'every task ended, none charged for a crash');
is($node->safe_psql('postgres', 'SELECT count(*), count(DISTINCT id) FROM stent.tasks'), '8000|8000', 'each exactly once');
is($node->safe_psql('postgres', 'SELECT count(*), count(DISTINCT task_id), count(DISTINCT (round, n)) FROM effect'),
	'7984|7984|7984', 'each effect exactly once');
is($node->safe_psql('postgres', q{
	SELECT (SELECT count(*) FROM stent.ready) + (SELECT count(*) FROM stent.due) + (SELECT count(*) FROM stent.task)}),
	0, 'nothing is left over');

done_testing();
