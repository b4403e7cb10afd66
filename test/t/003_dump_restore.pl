# Dumps a database that has tasks in every place and restores it elsewhere; then
# upgrades the cluster with pg_upgrade, to the same version.
#
# Both must bring every task, value and attempt, tasks must run there, and new
# ids must not collide with old ones.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('old');
$node->init;
$node->start;
$node->safe_psql('postgres', q{CREATE DATABASE work});
$node->safe_psql('work', q{
	CREATE EXTENSION stent;
	CREATE TABLE effect (task_id bigint, n int);
	CREATE FUNCTION work(n int, pad text DEFAULT '') RETURNS text LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO effect VALUES (stent.task_id(), n);
		RETURN repeat('r', n);
	END $$;
	CREATE FUNCTION doomed() RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'never'; END $$;
	SELECT stent.register('work', 'work(int, text)', tags => '{a,b}', timeout => '1 min', max_duration => '10 d', version => '7');
	SELECT stent.register('doomed', 'doomed()', retry => '{"max_attempts": 2, "initial_delay": "1h", "jitter": 0}');
	SELECT stent.register('abroad', priority => -7, queue => 'far');
});

# archived: small and large; dead; retried; ready: small, large, keyed; scheduled; external
$node->safe_psql('work', q{SELECT stent.dispatch('work', '{"n": 1}', headers => '{"h": 1}'), stent.dispatch('work', '{"n": 5000}')});
$node->safe_psql('work', q{SELECT stent.run()}) for 1 .. 3;
$node->safe_psql('work', q{SELECT stent.dispatch('doomed', retry => '{"max_attempts": 1}')});
$node->safe_psql('work', q{SELECT stent.run()});
$node->safe_psql('work', q{SELECT stent.dispatch('doomed')});
$node->safe_psql('work', q{SELECT stent.run()});
$node->safe_psql('work', q{
	SELECT stent.dispatch('work', '{"n": 2}', counters => '{"c": 3}', context => '{"x": [1]}');
	SELECT stent.dispatch('work', jsonb_build_object('n', 3, 'pad', repeat('p', 100000)), queue => 'q', priority => 9);
	SELECT stent.dispatch('work', '{"n": 4}', dedup_key => 'k', delay => '2h');
	SELECT stent.dispatch('abroad');
});

# What a database holds, as text.
my $holds = q{
	SELECT 'task', t.id, t::text FROM stent.tasks t
	UNION ALL SELECT 'state', t.id, stent.state_of(t.id)::text FROM stent.tasks t
	UNION ALL SELECT 'dead', d.id, d::text FROM stent.dead_letters d
	UNION ALL SELECT 'function', 0, f::text FROM stent.functions f
	UNION ALL SELECT 'ready', task_id, r::text FROM stent.ready r
	UNION ALL SELECT 'due', task_id, d::text FROM stent.due d
	UNION ALL SELECT 'dedup', task_id, d::text FROM stent.dedup d
	UNION ALL SELECT 'sequence', 0, last_value::text FROM stent.id_seq
	UNION ALL SELECT 'sequence', 1, last_value::text FROM stent.small_id_seq
	UNION ALL SELECT 'partition', 0, inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'stent.archive'::regclass
	ORDER BY 1, 2, 3};
my $before = $node->safe_psql('work', $holds);
is($node->safe_psql('work', q{SELECT string_agg(state || ' ' || n, ', ' ORDER BY state)
		FROM (SELECT state, count(*) AS n FROM stent.tasks GROUP BY state) s}),
	'completed 2, failed 1, ready 3, scheduled 2', 'a task in every place');

# Everything that waits runs to its end here, and new ids are new.
sub runs_there
{
	my ($node, $database, $what) = @_;

	my $top = $node->safe_psql($database, q{SELECT max(id) FROM stent.tasks});
	my $id = $node->safe_psql($database, q{SELECT stent.dispatch('work', '{"n": 8}', dedup_key => 'k2')});
	cmp_ok($id, '>', $top, "$what: ids go on");
	is($node->safe_psql($database, q{SELECT stent.dispatch('work', '{"n": 4}', dedup_key => 'k')
			= (SELECT id FROM stent.tasks WHERE dedup_key = 'k')}), 't', "$what: a live dedup key is joined");
	is($node->safe_psql($database, q{SELECT stent.replay(id) = id FROM stent.dead_letters}), 't', "$what: a dead letter is replayed");
	$node->safe_psql($database, q{
		SET stent.clock = '+3h';
		DO $$ BEGIN
			FOR i IN 1 .. 30 LOOP
				PERFORM stent.run();
				COMMIT;
			END LOOP;
		END $$});
	is($node->safe_psql($database, q{SELECT function, state, attempt, count(*) FROM stent.tasks GROUP BY 1, 2, 3 ORDER BY 1, 2, 3}),
		"abroad|ready|0|1\ndoomed|failed|1|1\ndoomed|failed|2|1\nwork|completed|1|6", "$what: tasks run");
	is($node->safe_psql($database, q{SELECT n, count(*) FROM effect GROUP BY n ORDER BY n}),
		"1|1\n2|1\n3|1\n4|1\n8|1\n5000|1", "$what: each effect once");
	is($node->safe_psql($database, q{SELECT count(*) FROM pg_depend WHERE deptype = 'e' AND objid IN
			(SELECT inhrelid FROM pg_inherits WHERE inhparent = 'stent.archive'::regclass)}),
		0, "$what: partitions are no members of the extension");
}

my $dump = $node->basedir . '/work.dump';
for my $format ('custom', 'plain')
{
	my $database = "restored_$format";

	$node->command_ok([ 'pg_dump', "--format=$format", '-f', $dump, $node->connstr('work') ], "pg_dump, $format");
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->command_ok($format eq 'custom'
		? [ 'pg_restore', '--exit-on-error', '-d', $node->connstr($database), $dump ]
		: [ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr($database), '-f', $dump ], "restore, $format");
	is($node->safe_psql($database, $holds), $before, "$format: all is there");
	runs_there($node, $database, $format);
}
is($node->safe_psql('work', $holds), $before, 'the source is as it was');

my $new = PostgreSQL::Test::Cluster->new('new');
$new->init;
$node->stop;
my $bin = $node->config_data('--bindir');
for my $check ('--check', '--link')
{
	# in a directory of its own: it writes its logs and scripts where it runs
	chdir $new->basedir or die;
	$node->command_ok([ 'pg_upgrade', '--no-sync', '-b', $bin, '-B', $bin, '-d', $node->data_dir, '-D', $new->data_dir,
			'-p', $node->port, '-P', $new->port, '-s', $new->host, $check ], "pg_upgrade $check");
}
$new->start;
is($new->safe_psql('work', $holds), $before, 'pg_upgrade: all is there');
runs_there($new, 'work', 'pg_upgrade');

done_testing();
