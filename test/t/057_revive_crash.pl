# Crashes the backend at every point that a replay with revive_parent passes.
#
# After a crash either nothing has happened, or, after the commit, all of it: the child and
# its parents live. In the end each task of the tree is done once, and nothing is left over.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my %points = map { $_ => 1 } slurp_file('extension/revive.c') =~ /\bSTENT_FAULT\("(\w+)"\)/g;
cmp_ok(scalar(keys %points), '>=', 3, 'fault points found in extension/revive.c');

my $node = PostgreSQL::Test::Cluster->new('revive_crash');
$node->init;
$node->append_conf('postgresql.conf', "restart_after_crash = on\nautovacuum = off\njit = off");
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION stent;
	CREATE TABLE effect (execution_id bigint, line text);
	CREATE TABLE weather (bad boolean);
	INSERT INTO weather VALUES (false);
	CREATE FUNCTION leaf(n int) RETURNS int LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO effect VALUES (stent.execution_id(), 'leaf ' || n);
		IF n = 2 AND (SELECT bad FROM weather) THEN RAISE EXCEPTION 'leaf'; END IF;
		RETURN 10 * n;
	END $$;
	CREATE FUNCTION middle(map boolean) RETURNS jsonb LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO effect VALUES (stent.execution_id(), 'middle');
		IF map THEN
			RETURN stent.map('leaf', '[1, 2, 3]', chunk_size => 2);
		END IF;
		RETURN jsonb_build_array(stent.call('leaf', '{"n": 1}'), stent.call('leaf', '{"n": 2}', queue => 'q'), stent.call('leaf', '{"n": 3}'));
	END $$;
	CREATE FUNCTION root(map boolean) RETURNS jsonb LANGUAGE sql AS $$ SELECT stent.call('middle', jsonb_build_object('map', map)) $$;
	SELECT stent.register('leaf', 'leaf(int)', retry => '{"max_attempts": 1}');
	SELECT stent.register('middle', 'middle(boolean)');
	SELECT stent.register('root', 'root(boolean)');
});

my $drain = q{DO $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;};
my $replay = q{SELECT stent.replay(id, revive_parent => true) FROM stent.dead_letters WHERE function = 'leaf' AND args = '{"n": 2}'};

# until the leaf is dead: with its parents, or before they know
my %scenarios = (
	failed => ['false', $drain],
	map => ['true', $drain],
	alive => ['false', q{DO $$ BEGIN WHILE stent.run(1, '{default}') > 0 LOOP COMMIT; END LOOP; END $$; SELECT stent.run(1, '{q}');}]);

my %passed;
for my $name (sort keys %scenarios)
{
	my ($map, $before) = @{ $scenarios{$name} };
	my @todo = ('');

	while (defined(my $point = shift @todo))
	{
		my $what = $point ? "$name, crashed at $point" : "$name, undisturbed";
		# LOAD and SET pass the commit points, once each
		my $nth = $point eq 'before_commit' || $point eq 'after_commit' ? 2 : 1;
		my $fault = $point ? "$point:crash:$nth" : 'trace';
		my $log = -s $node->logfile;
		my $live = q{SELECT count(*) FROM stent.tasks WHERE state IN ('ready', 'waiting') AND function = 'leaf' AND args = '{"n": 2}'};
		my ($id, $status, $err);

		$node->safe_psql('postgres', 'UPDATE weather SET bad = true');
		$id = $node->safe_psql('postgres', "SELECT stent.dispatch('root', '{\"map\": $map}')");
		$node->safe_psql('postgres', $before);
		$node->safe_psql('postgres', 'UPDATE weather SET bad = false');
		$status = $node->psql('postgres', "LOAD 'stent'; SET stent.fault = '$fault';\n$replay;", stderr => \$err);
		if ($point)
		{
			is($status, 2, "$what: crashed");
			$passed{$point}++;
			$node->wait_for_log(qr/reinitializing.*ready to accept connections/s, $log);
			is($node->safe_psql('postgres', $live), $point eq 'after_commit' ? 1 : 0, "$what: all or nothing");
			$node->safe_psql('postgres', $replay);
		}
		else
		{
			my %seen = map { $_ => 1 } $err =~ /^(?:psql:\S+ )?NOTICE:  fault point (\w+)$/mg;

			is($status, 0, "$what: succeeds");
			@todo = sort keys %seen;
		}
		$node->safe_psql('postgres', $drain);
		is($node->safe_psql('postgres', "SELECT state, result FROM stent.tasks WHERE id = $id"), 'completed|[10, 20, 30]', "$what: done");
		is($node->safe_psql('postgres', "SELECT string_agg(line, ', ' ORDER BY line) FROM effect WHERE execution_id = $id"),
			'leaf 1, leaf 2, leaf 3, middle', "$what: each effect once");
		is($node->safe_psql('postgres', $drain . q{SELECT 'task' FROM stent.task UNION ALL SELECT 'ready' FROM stent.ready UNION ALL SELECT 'due' FROM stent.due
			UNION ALL SELECT 'child' FROM stent.child UNION ALL SELECT 'waiter' FROM stent.waiter UNION ALL SELECT 'dead' FROM stent.dead_letter}), '', "$what: nothing is left");
	}
}
ok($passed{$_}, "a scenario passes fault point $_") for sort keys %points;
$node->stop;
done_testing();
