# wal_level = minimal: a table made in a transaction is not logged but synced at
# its commit. Direct access must obey that too.
#
# Crashes right after a commit that made the extension, its tables or archive
# partitions and wrote to them; everything committed must be there.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('minimal');
$node->init;
$node->append_conf('postgresql.conf', "wal_level = minimal\nmax_wal_senders = 0\nrestart_after_crash = on\nautovacuum = off\nstent.retention = 'off'");
$node->start;

# Runs the statements in one session; the last one crashes after its commit.
sub crash_after
{
	my ($database, $commits, @statements) = @_;
	my $log = -s $node->logfile;

	# LOAD and SET pass the point, too: SET its own commit
	my $status = $node->psql($database, join(";\n", "LOAD 'stent'", "SET stent.fault = 'after_commit:crash:" . ($commits + 1) . "'", @statements) . ";");
	is($status, 2, 'crashed');
	$node->wait_for_log(qr/reinitializing.*ready to accept connections/s, $log);
}

my $handler = q{CREATE FUNCTION work(n int) RETURNS text LANGUAGE plpgsql AS $$ BEGIN
	INSERT INTO effect VALUES (stent.task_id()); RETURN repeat('r', n); END $$};
my $register = "SELECT stent.register('work', 'work(int)', retry => '{\"max_attempts\": 9}')";
my $summary = q{SELECT string_agg(state || ' ' || n, ', ' ORDER BY state) FROM (SELECT state, count(*) AS n FROM stent.tasks GROUP BY 1) s};

# below the threshold new tables are logged at commit, above they are synced
for my $threshold ('0', '1GB')
{
	my $database = "threshold_$threshold";

	$node->safe_psql('postgres', "CREATE DATABASE \"$database\"");
	crash_after($database, 2, "SET wal_skip_threshold = '$threshold'",
		'BEGIN', 'CREATE EXTENSION stent', 'CREATE TABLE effect (id bigint)', $handler, $register,
		"SELECT stent.dispatch('work', '{\"n\": 1}', dedup_key => 'a', counters => '{\"c\": 1}')",
		"SELECT stent.dispatch('work', '{\"n\": 5000}', delay => '1d', max_duration => '1d', dedup_key => 'b')",
		"SELECT count(*) FROM stent.dispatch_many('work', array_fill('{\"n\": 2000}'::jsonb, ARRAY[600]))",
		(map { 'SELECT stent.run(7)' } 1 .. 4), 'COMMIT');
	my $ended = $node->safe_psql($database, "SELECT count(*) FROM stent.tasks WHERE state = 'completed'");
	cmp_ok($ended, '>', 3, "$threshold: tasks of the transaction that made the extension are there");
	is($node->safe_psql($database, $summary), "completed $ended, ready " . (601 - $ended) . ', scheduled 1', "$threshold: and so is the rest");
	is($node->safe_psql($database, 'SELECT count(*), count(DISTINCT id) FROM effect'), "$ended|$ended", "$threshold: with their effects");
	is($node->safe_psql($database, q{SELECT count(*) FROM stent.tasks t WHERE state = 'completed' AND length(stent.result_of(id) #>> '{}') <> (args ->> 'n')::int}),
		0, "$threshold: with their results");

	# a batch that makes the partitions, then one that writes to them
	$node->safe_psql($database, 'SET stent.clock = \'+40d\'; SELECT stent.run()');
	for my $pass (1 .. 2)
	{
		my $done = $node->safe_psql($database, "SELECT count(*) FROM stent.tasks WHERE state = 'completed'");

		crash_after($database, 3, "SET wal_skip_threshold = '$threshold'", "SET stent.clock = '+" . (60 * $pass) . "d'", 'SELECT stent.run(5)');
		cmp_ok($node->safe_psql($database, "SELECT count(*) FROM stent.tasks WHERE state = 'completed'"), '>', $done, "$threshold: pass $pass stays");
		my $next = $node->safe_psql($database, "SET stent.clock = '+" . (60 * $pass) . "d'; SELECT stent.run(5)");
		cmp_ok($next, '>', 0, "$threshold: and goes on, pass $pass");
	}
	$node->safe_psql($database, q{DO $$ BEGIN PERFORM set_config('stent.clock', '+1d', false);
		LOOP PERFORM stent.run(); COMMIT; EXIT WHEN NOT EXISTS (SELECT FROM stent.task); END LOOP; END $$});
	is($node->safe_psql($database, q{SELECT count(*), count(*) FILTER (WHERE attempt = 1) FROM stent.tasks WHERE state IN ('completed', 'timed_out')}),
		'602|601', "$threshold: everything ends");
}

done_testing();
