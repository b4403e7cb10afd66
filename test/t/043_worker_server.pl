# The server goes away under a worker and comes back: what runs goes on while
# its lease holds, ends that could not be told are told then, and each task has
# been done once. A lease that ran out meanwhile stops its run.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Utils;
use Stent;
use StentWorker;
use Test::More;
use Time::HiRes qw(usleep);

my $node = stent_node('server', conf => "stent.databases = 'postgres'");
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION stent;
	SELECT stent.register(f) FROM unnest('{through,meanwhile,over,echo}'::text[]) f});

my $directory = PostgreSQL::Test::Utils::tempdir();
sub waits_for
{
	my ($file) = @_;

	return { command => [ 'sh', '-c', "echo \$\$ >> $directory/$file.pids; echo begun >&2; while [ ! -e $directory/$file ]; do sleep 0.05; done; echo ended >&2; echo 7; : > $directory/$file.done" ] };
}
my %config = (lease => '1m', slots => 20, functions => { through => waits_for('through'), meanwhile => waits_for('meanwhile'), echo => { command => ['cat'] } });
my $worker = worker_start($node, 'steady', \%config);

sub runs_once
{
	my ($file) = @_;

	return scalar(split(/\n/, slurp_file("$directory/$file.pids")));
}

for my $how ('immediate', 'fast')
{
	my $through = $node->safe_psql('postgres', q{SELECT stent.dispatch('through', '{}')});
	my $meanwhile = $node->safe_psql('postgres', q{SELECT stent.dispatch('meanwhile', '{}')});

	comes($node, "SELECT count(*) FROM stent.tasks WHERE id IN ($through, $meanwhile) AND state = 'running'", "$how: two run", expected => 2);
	ok(in_time(sub { -e "$directory/through.pids" && -e "$directory/meanwhile.pids" }), 'their commands, too');
	my $offset = -s $worker->{log};
	$node->stop($how);
	worker_says($worker, qr/msg="no connection" link=work.*msg="no connection" link=|link=keeping.*link=work/s, 'the worker sees it', $offset);
	append_to_file("$directory/meanwhile", '');
	ok(in_time(sub { -e "$directory/meanwhile.done" }), 'one ends while the server is away');
	$node->start;
	comes($node, "SELECT state || ' ' || attempt || ' ' || result FROM stent.tasks WHERE id = $meanwhile", 'its end is told afterwards', expected => 'completed 1 7');
	comes($node, q{SELECT state FROM stent.workers WHERE name = 'steady'}, 'the worker is back', expected => 'ready');
	append_to_file("$directory/through", '');
	comes($node, "SELECT state || ' ' || attempt || ' ' || result FROM stent.tasks WHERE id = $through", 'the other goes on and ends', expected => 'completed 1 7');
	is(runs_once('through') . runs_once('meanwhile'), '11', 'each ran once');
	is($node->safe_psql('postgres', "SELECT string_agg(text, '' ORDER BY id, number) FROM unnest('{$through,$meanwhile}'::bigint[]) id, LATERAL stent.output_of(id) WHERE stream = 'stderr'"),
		"begun\nended\nbegun\nended\n", 'all their output is there, once');
	unlink(glob("$directory/*"));
}

# ---- an end is on its way when its connection is lost
my $work = $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE query ~ 'stent\.(claim|worker_wait|complete_many)' AND pid <> pg_backend_pid()});
like($work, qr/^\d+$/, 'the connection for claims and ends');
my $told = $node->safe_psql('postgres', q{SELECT stent.dispatch('through', '{}')});
ok(in_time(sub { -e "$directory/through.pids" }), 'a command runs');
kill('STOP', $work);
append_to_file("$directory/through", '');
ok(in_time(sub { worker_children($worker) == 0 }), 'it ends');
my $offset = -s $worker->{log};
worker_signal($worker, 'USR1');
worker_says($worker, qr/msg="state".* ends_sent=1 /, 'its end is on its way', $offset);
is($node->safe_psql('postgres', "SELECT pg_terminate_backend($work)"), 't', 'its connection is to end');
# what a stopped backend was sent is read before it ends, or not: both must do
kill('CONT', $work);
comes($node, "SELECT state || ' ' || attempt || ' ' || result FROM stent.tasks WHERE id = $told", 'the end is told', expected => 'completed 1 7');
is(runs_once('through'), 1, 'of its only run');
worker_says($worker, qr/msg="connected" link=work/, 'the connection is back', $offset);
worker_signal($worker, 'TERM');
worker_ends($worker, 0, 'the worker ends, with nothing left to tell');

# ---- connections are cut all the time, while there is a lot to do
my $last = 0;
$worker = worker_start($node, 'busy', { %config, lease => '5s' });
$node->safe_psql('postgres', q{SELECT count(*) FROM stent.dispatch_many('echo', (SELECT array_agg(jsonb_build_object('n', n)) FROM generate_series(1, 1500) n))});
for (1 .. 15)
{
	$node->safe_psql('postgres', q{SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query ~ 'stent\.(complete_many|claim|append_output_many|heartbeat_many|worker_heartbeat)' AND pid <> pg_backend_pid()});
	comes($node, "SELECT count(*) > $last OR count(*) = 1500 FROM stent.tasks WHERE function = 'echo' AND state = 'completed'", 'cut, and it goes on');
	$last = $node->safe_psql('postgres', q{SELECT count(*) FROM stent.tasks WHERE function = 'echo' AND state = 'completed'});
}
# a claim whose answer was lost is known to nobody: its tasks come back with their leases' end
comes($node, q{SELECT count(*) FROM stent.tasks WHERE function = 'echo' AND finished_at IS NOT NULL}, 'everything ends', expected => 1500, patience => 180);
is($node->safe_psql('postgres', q{SELECT count(*) FROM stent.tasks WHERE function = 'echo' AND (state, attempt, result) IS DISTINCT FROM ('completed', 1, args)}), 0,
	'with its own result, in its first attempt');
worker_signal($worker, 'TERM');
worker_ends($worker, 0, 'the worker ends');

# ---- away for longer than the lease
$worker = worker_start($node, 'late', { %config, lease => '1s', functions => { over => { command => [ 'sleep', '600' ] } } });
my $over = $node->safe_psql('postgres', q{SELECT stent.dispatch('over', '{}')});
comes($node, "SELECT state FROM stent.tasks WHERE id = $over", 'one runs', expected => 'running');
$node->stop('immediate');
worker_says($worker, qr/msg="task is not ours any more: its run is stopped" task=$over .*reason="its lease is over"/, 'a run is stopped when its lease is over');
ok(in_time(sub { worker_children($worker) == 0 }), 'its child is gone');
$node->start;
comes($node, "SELECT state FROM stent.tasks WHERE id = $over", 'the task is taken again', expected => 'running');
worker_signal($worker, 'TERM');
worker_says($worker, qr/msg="draining"/, 'told to stop, the worker drains');
worker_signal($worker, 'TERM');
worker_ends($worker, 5, 'told twice, the worker leaves at once');

$node->stop;
done_testing();
