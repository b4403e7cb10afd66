# Trees of a hundred thousand tasks, cancelled while executors run them.
#
# A cancellation of a tree is one transaction: all of it or nothing. What had finished
# before stays finished, nothing of the tree ends or begins after it, other work goes on
# meanwhile, and memory does not grow with the tree. resume wakes who waits for work.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $children = 100_000;
my $node = PostgreSQL::Test::Cluster->new('trees');
$node->init;
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'stent'
stent.databases = 'postgres'
stent.max_executors = 4
max_worker_processes = 16
restart_after_crash = on
});
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION stent;
	CREATE TABLE effect (task_id bigint);
	CREATE FUNCTION leaf() RETURNS void LANGUAGE sql AS '';
	CREATE FUNCTION fan(n int, child text DEFAULT 'leaf') RETURNS int LANGUAGE plpgsql AS $$
	BEGIN
		FOR i IN 1 .. n LOOP
			PERFORM stent.spawn(child);
		END LOOP;
		RETURN n;
	END $$;
	-- each child has an effect, and makes more
	CREATE FUNCTION grower() RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO effect VALUES (stent.task_id());
		PERFORM stent.spawn('grower'), stent.spawn('grower');
	END $$;
	CREATE FUNCTION nap() RETURNS void LANGUAGE plpgsql AS $$ BEGIN INSERT INTO effect VALUES (stent.task_id()); PERFORM pg_sleep(1000); END $$;
	SELECT stent.register('leaf', 'leaf()'), stent.register('fan', 'fan(int, text)'), stent.register('grower', 'grower()'),
		stent.register('nap', 'nap()'), stent.register('other', 'leaf()');
	-- what of a tree is where
	CREATE FUNCTION tree(root bigint, OUT live bigint, OUT children bigint, OUT completed bigint, OUT cancelled bigint) LANGUAGE sql AS $$
		SELECT count(*) FILTER (WHERE finished_at IS NULL), (SELECT count(*) FROM stent.child c WHERE c.execution_id = root),
			count(*) FILTER (WHERE state = 'completed'), count(*) FILTER (WHERE state = 'cancelled')
		FROM stent.tasks WHERE execution_id = root $$;
});

sub sql { return $node->safe_psql('postgres', shift) }

# memory of a backend beyond what it shares, in kB
my $memory = q{(regexp_match(pg_read_file('/proc/' || pg_backend_pid() || '/status'), 'RssAnon:\s+(\d+)'))[1]::int};

# spawned by one handler, held back; cancelled by one session
sql(q{SELECT stent.pause(function => 'leaf')});
my $begin = time;
my $root = sql(qq{SELECT stent.dispatch('fan', '{"n": $children}') AS id \\gset\nSELECT stent.wait_for(:id) IS NOT NULL AS done \\gset\nSELECT :id});
note sprintf('%d children spawned in %.1f s', $children, time - $begin);
is(sql("SELECT tree($root)"), "($children,$children,1,0)", 'one handler spawns them all');
$begin = time;
my ($before, $after) = split(/\n/, sql(qq{SELECT count(stent.cancel(stent.dispatch('other')));\nSELECT $memory;\nSELECT stent.cancel($root) AS c \\gset\nSELECT $memory}) =~ s/^\d+\n//r);
note sprintf('cancelled in %.1f s; memory %d kB, %d kB afterwards', time - $begin, $before, $after);
is(sql("SELECT tree($root)"), "(0,0,1,$children)", 'and one call cancels them all');
cmp_ok($after - $before, '<', 30_000, 'in bounded memory');
is(sql('SELECT count(*) FROM stent.ready') . sql('SELECT count(*) FROM stent.task'), '00', 'nothing is left over');

# resume wakes the executors, which are idle
sql(q{SELECT stent.dispatch('leaf')});
is(sql(q{SELECT count(*) FROM stent.tasks WHERE function = 'leaf' AND state = 'ready'}), '1', 'a paused task waits');
$begin = time;
sql(q{SELECT stent.resume(function => 'leaf')});
ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM stent.task}), 'resume lets it run');
cmp_ok(time - $begin, '<', 30, 'at once, not at the backstop');

# cancelled while four executors run it
for my $round (1 .. 2)
{
	$root = sql(qq{SELECT stent.dispatch('fan', '{"n": $children}') AS id \\gset\nSELECT stent.wait_for(:id) IS NOT NULL AS done \\gset\nSELECT :id});
	$begin = time;
	is(sql("SELECT stent.cancel($root)"), 't', "a tree that runs is cancelled, round $round");
	my ($live, $rows, $completed, $cancelled) = split(/,/, sql("SELECT tree($root)") =~ tr/()//dr);
	note sprintf('%d cancelled, %d completed, in %.1f s', $cancelled, $completed, time - $begin);
	is("$live $rows " . ($completed + $cancelled), "0 0 " . ($children + 1), 'every task of it has ended');
	cmp_ok($cancelled, '>', $children / 2, 'claimers do not keep ahead of the cancellation');
	sql(q{SELECT stent.dispatch('other') AS id \gset
		SELECT stent.wait_for(:id)});
	is(sql("SELECT tree($root)"), "(0,0,$completed,$cancelled)", 'and nothing of it ends afterwards');
}

# a tree that grows as fast as it is run; all or nothing when the canceller is killed
my $many = sql(q{SELECT stent.dispatch('grower')});
ok($node->poll_query_until('postgres', "SELECT count(*) > 500 FROM effect"), 'a tree grows');
my $log = -s $node->logfile;
is($node->psql('postgres', "LOAD 'stent'; SET stent.fault = 'cancel_child_after_take:crash:100'; SELECT stent.cancel($many)"), 2, 'the canceller is killed half way');
$node->wait_for_log(qr/reinitializing.*ready to accept connections/s, $log);
is(sql("SELECT count(*) FROM stent.tasks WHERE execution_id = $many AND state = 'cancelled'"), '0', 'nothing was cancelled');
my $grown = sql('SELECT count(*) FROM effect');
ok($node->poll_query_until('postgres', "SELECT count(*) > $grown + 100 FROM effect"), 'and it grows on');
is(sql("SELECT stent.cancel($many)"), 't', 'then it is cancelled');
$grown = sql('SELECT count(*) FROM effect');
is(sql("SELECT live || ' ' || children || ' ' || (completed = $grown) FROM tree($many)"), '0 0 true', 'all of it: each task has had its effect or was cancelled');
sql(q{SELECT stent.dispatch('other') AS id \gset
	SELECT stent.wait_for(:id)});
is(sql('SELECT count(*) FROM effect'), $grown, 'for good');

# running handlers are interrupted; those that max_duration bounds end by themselves, cancelled
sql('TRUNCATE effect');
my $naps = sql(q{SELECT stent.dispatch('fan', '{"n": 10, "child": "nap"}')});
$node->poll_query_until('postgres', q{SELECT count(*) = 4 FROM pg_stat_activity WHERE wait_event = 'PgSleep'}) or die 'the handlers did not start';
$begin = time;
is(sql("SELECT stent.cancel($naps)"), 't', 'children that run are interrupted');
cmp_ok(time - $begin, '<', 30, 'at once');
is(sql("SELECT tree($naps)"), '(0,0,1,10)', 'none completes');
my $bounded = sql(q{SELECT stent.dispatch('fan', '{"n": 10, "child": "nap"}', max_duration => '2 s')});
ok($node->poll_query_until('postgres', "SELECT live = 0 AND cancelled = 10 FROM tree($bounded)"), 'past max_duration, children are cancelled, running or not');
is(sql("SELECT string_agg(DISTINCT error ->> 'message', ', ') FROM stent.tasks WHERE parent_id = $bounded"), 'execution exceeded its max_duration', 'and tell why');
is(sql('SELECT count(*) FROM effect'), '0', 'no effect is left');

unlike(slurp_file($node->logfile), qr/PANIC|TRAP|has no entry|changed under|not known as a child/, 'nothing strange in the log');
$node->stop;
done_testing();
