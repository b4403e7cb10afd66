# Crashes the backend at every fault point of maps, while maps are made, run and ended.
#
# After a crash in the middle no effect of a finished chunk is repeated and none of an
# unfinished one is there: each item has its effect once, each result is in its place,
# failed items are dead letters once, and nothing is left over.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my %points;
for my $file (glob("extension/*.c"))
{
	$points{$_} = 1 for grep { /^(map|chunk|memo_remembered)/ } slurp_file($file) =~ /\bSTENT_FAULT\("(\w+)"\)/g;
}
cmp_ok(scalar(keys %points), '>=', 9, 'fault points of maps found in extension/*.c');

my $node = PostgreSQL::Test::Cluster->new('map_crash');
$node->init;
$node->append_conf('postgresql.conf', "restart_after_crash = on\nautovacuum = off\njit = off");
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION stent;
	CREATE TABLE effect (run int, item int);
	CREATE FUNCTION item(run int, n int) RETURNS int LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO effect VALUES (run, n);
		IF n = 4 OR (n = 5 AND stent.attempt() = 1) THEN RAISE EXCEPTION 'item %', n; END IF;
		RETURN 10 * n;
	END $$;
	CREATE FUNCTION work(run int) RETURNS jsonb LANGUAGE plpgsql AS $$
	DECLARE
		items jsonb := (SELECT jsonb_agg(jsonb_build_object('run', run, 'n', n)) FROM generate_series(1, 7) n);
	BEGIN
		RETURN stent.map('item', items, chunk_size => 2, concurrency_limit => 2, on_error => 'collect') || stent.map('once', items - 3 - 3, chunk_size => 3);
	END $$;
	SELECT stent.register('item', 'item(int, int)', retry => '{"max_attempts": 2, "initial_delay": "1s"}');
	SELECT stent.register('once', 'item(int, int)', idempotent => true, retry => '{"max_attempts": 1}');
	SELECT stent.register('work', 'work(int)', retry => '{"max_attempts": 1}');
});

# Everything to its end, on a clock that runs ahead.
my $drain = q{DO $$ DECLARE stop timestamptz := clock_timestamp() + '60 s'; shift int := 0; BEGIN LOOP
	PERFORM set_config('stent.clock', '+' || shift || 's', false), stent.run(); COMMIT;
	EXIT WHEN NOT EXISTS (SELECT FROM stent.task);
	shift := shift + 5;
	IF clock_timestamp() > stop THEN RAISE 'stuck: %', (SELECT jsonb_agg(t) FROM stent.task t); END IF;
	END LOOP;
	PERFORM stent.run(); COMMIT; PERFORM stent.run(); END $$};

# Every broken promise as a line.
my $broken = q{
	SELECT 'effects of ' || n || ' in run RUN: ' || count(e.item) FROM generate_series(1, 7) n LEFT JOIN effect e ON e.run IN (RUN, -RUN) AND e.item = n
		GROUP BY n HAVING count(e.item) <> CASE n WHEN 4 THEN 0 WHEN 5 THEN 2 ELSE 3 END
	UNION ALL SELECT 'outcome ' || state || ' ' || result FROM stent.executions WHERE function = 'work' AND args = '{"run": RUN}'
		AND (state, jsonb_path_query_array(result, '$[*].result')) IS DISTINCT FROM ('completed', '[10, 20, 30, 50, 60, 70]')
	UNION ALL SELECT 'map ' || state FROM stent.executions WHERE function = 'item' AND args ->> 'items' = '7' AND state <> 'completed'
	UNION ALL SELECT 'dead letters: ' || count(*) FROM stent.dead_letters WHERE args = '{"n": 4, "run": RUN}' OR args = '{"n": 4, "run": -RUN}' HAVING count(*) <> 2
	UNION ALL SELECT 'items and dead letters' FROM stent.item i WHERE NOT EXISTS (SELECT FROM stent.dead_letter d WHERE d.id = i.task_id)
	UNION ALL SELECT 'left in task' FROM stent.task UNION ALL SELECT 'left in ready' FROM stent.ready UNION ALL SELECT 'left in due' FROM stent.due
	UNION ALL SELECT 'left in child' FROM stent.child
	UNION ALL SELECT 'chunk without map' FROM stent.chunk c WHERE NOT EXISTS (SELECT FROM stent.map m WHERE m.id = c.map_id)
	UNION ALL SELECT 'map without task' FROM stent.map m WHERE NOT EXISTS (SELECT FROM stent.tasks t WHERE t.id = m.id)
	UNION ALL SELECT 'unfinished chunk' FROM stent.chunk WHERE finished_at IS NULL
	UNION ALL SELECT 'value of nobody' FROM stent.payload p WHERE p.id NOT IN (SELECT unnest(ARRAY[args_ref, results_ref]) FROM stent.chunk UNION ALL SELECT unnest(ARRAY[args_ref, result_ref]) FROM stent.archive
		UNION ALL SELECT unnest(ARRAY[args_ref, result_ref]) FROM stent.archive_kept UNION ALL SELECT args_ref FROM stent.dead_letter UNION ALL SELECT result_ref FROM stent.step)};
$broken =~ s/WHERE p.id NOT IN \((.*)\)$/WHERE NOT EXISTS (SELECT FROM ($1) r (id) WHERE r.id = p.id)/s;

my $run = 0;
sub start_work
{
	$run++;
	# a map of an orchestrator, one of a query, and what they lead to
	return "SELECT stent.dispatch('work', '{\"run\": $run}');\n"
	  . "SELECT stent.map_query('item', 'SELECT -$run AS run, n FROM generate_series(1, 7) n', chunk_size => 3, on_error => 'collect');\n";
}

sub check
{
	my ($what) = @_;

	$node->safe_psql('postgres', $drain);
	is($node->safe_psql('postgres', $broken =~ s/RUN/$run/gr), '', $what);
}

$node->safe_psql('postgres', start_work());
check('without a crash');

for my $point (sort keys %points)
{
	for my $pass (1, 3)
	{
		my $work = start_work();
		my ($status, $out, $err);

		# where it crashes before its commit, the dispatch is what the client repeats
		$status = $node->psql('postgres', "SET stent.fault = '$point:crash:$pass';\n$work$drain", stderr => \$err);
		if ($pass == 1)
		{
			isnt($status, 0, "$point is passed");
		}
		elsif ($status == 0)
		{
			next;
		}
		ok($node->poll_query_until('postgres', 'SELECT true'), "$point: up again");
		for my $sql (split /\n/, $work)
		{
			my $there = $sql =~ /dispatch/ ? "SELECT count(*) FROM stent.executions WHERE function = 'work' AND args = '{\"run\": $run}'"
			  : "SELECT count(*) FROM stent.map m JOIN stent.chunk c ON c.map_id = m.id LEFT JOIN stent.payload p ON p.id = c.args_ref WHERE c.number = 0 AND COALESCE(c.args, p.value) -> 0 ->> 'run' = '-$run'";
			$node->safe_psql('postgres', $sql) if $node->safe_psql('postgres', $there) == 0;
		}
		check("$point, pass $pass");
	}
}
$node->stop;
done_testing();
