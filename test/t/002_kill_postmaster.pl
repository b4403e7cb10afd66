# Kills the whole server while two runners drain a backlog, and stops it in
# immediate mode; runs the rest after each restart.
#
# Afterwards every task is archived or dead exactly once, every effect is there
# exactly once, and a crash cost nobody an attempt.
use strict;
use warnings;
use IPC::Run qw(start finish);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "wal_sync_method = open_sync\nstent.retention = 'off'");
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION stent;
	CREATE TABLE effect (task_id bigint, n int);
	CREATE SEQUENCE pass;
	CREATE FUNCTION work(n int) RETURNS int LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM nextval('pass');
		INSERT INTO effect VALUES (stent.task_id(), n);
		IF n % 50 = 0 AND stent.attempt() = 1 THEN RAISE EXCEPTION 'once'; END IF;
		IF n % 500 = 1 THEN RAISE EXCEPTION 'always'; END IF;
		RETURN n;
	END $$;
	SELECT stent.register('work', 'work(int)', retry => '{"initial_delay": "0s", "max_attempts": 2}');
});

my $tasks = 6000;
my $made = $node->safe_psql('postgres', qq{
	SELECT count(*) FROM stent.dispatch_many('work', (SELECT array_agg(jsonb_build_object('n', n)) FROM generate_series(1, $tasks) n))});
is($made, $tasks, 'dispatched');

# One runner: batches in transactions of their own until nothing is left.
sub start_runner
{
	my $in = '';
	my $out = '';
	my $err = '';
	my $sql = "DO \$\$ BEGIN LOOP PERFORM stent.run(20); COMMIT; EXIT WHEN NOT EXISTS (SELECT FROM stent.task); END LOOP; END \$\$";

	return start(['psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', $sql], '<', \$in, '>', \$out, '2>', \$err);
}

my $progress = 0;
for my $how ('kill', 'immediate', 'kill', 'immediate')
{
	my @runners = (start_runner(), start_runner());

	# both are at work, in the middle of the backlog
	$node->poll_query_until('postgres', "SELECT last_value > $progress + 500 FROM pass")
	  or die "runners make no progress";
	my @pids = split(/\n/, $node->safe_psql('postgres', 'SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()'));
	$how eq 'kill' ? $node->kill9 : $node->stop('immediate');
	# without a postmaster its children would finish the backlog
	kill('KILL', @pids) if $how eq 'kill';
	$_->finish for @runners;
	if ($how eq 'kill')
	{
		# the dead hold the shared memory until the kernel has cleared them away
		my $tries = 10 * $PostgreSQL::Test::Utils::timeout_default;
		while (!$node->start(fail_ok => 1))
		{
			die "server does not come back" if --$tries <= 0;
			$node->stop('fast', fail_ok => 1);
		}
	}
	else
	{
		$node->start;
	}
	$progress = $node->safe_psql('postgres', 'SELECT last_value FROM pass');
	my $done = $node->safe_psql('postgres', 'SELECT count(*) FROM stent.archive');
	cmp_ok($done, '>', 0, "$how: committed tasks stay archived");
	cmp_ok($done, '<', $tasks, "$how: in the middle of the work");
	is($node->safe_psql('postgres', q{
		SELECT count(*) FROM effect e FULL JOIN stent.archive a ON a.id = e.task_id WHERE e.task_id IS NULL OR a.id IS NULL}),
		0, "$how: effects and archived tasks agree");
}

my @runners = (start_runner(), start_runner());
$_->finish for @runners;
is($node->safe_psql('postgres', q{
	SELECT state, attempt, count(*) FROM stent.tasks GROUP BY 1, 2 ORDER BY 1, 2}),
	"completed|1|5868\ncompleted|2|120\nfailed|2|12", 'every task ended, none charged for a crash');
is($node->safe_psql('postgres', 'SELECT count(*), count(DISTINCT id) FROM stent.tasks'), "$tasks|$tasks", 'each exactly once');
is($node->safe_psql('postgres', 'SELECT count(*), count(DISTINCT task_id), sum(n) FROM effect'),
	$node->safe_psql('postgres', q{SELECT count(*), count(DISTINCT id), sum((args ->> 'n')::int) FROM stent.tasks WHERE state = 'completed'}),
	'each effect exactly once');
is($node->safe_psql('postgres', q{
	SELECT (SELECT count(*) FROM stent.ready) + (SELECT count(*) FROM stent.due) + (SELECT count(*) FROM stent.task)}), 0, 'nothing is left over');

done_testing();
