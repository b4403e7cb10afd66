# Connections of a worker are cut while it has a lot to do, and the server is away
# for longer than a lease: everything ends once, and what is not surely ours any
# more is stopped.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Utils;
use Stent;
use StentWorker;
use Test::More;

my $node = stent_node('cut', conf => "stent.databases = 'postgres'");
$node->start;
$node->safe_psql('postgres', q{CREATE EXTENSION stent; SELECT stent.register(f) FROM unnest('{over,echo}'::text[]) f});

# ---- connections are cut all the time, while there is a lot to do
my $last = 0;
my $worker = worker_start($node, 'busy', { lease => '5s', slots => 20, functions => { echo => { command => ['cat'] } } });
$node->safe_psql('postgres', q{SELECT count(*) FROM stent.dispatch_many('echo', (SELECT array_agg(jsonb_build_object('n', n)) FROM generate_series(1, 1000) n))});
for (1 .. 10)
{
	$node->safe_psql('postgres', q{SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query ~ 'stent\.(complete_many|claim|append_output_many|heartbeat_many|worker_heartbeat)' AND pid <> pg_backend_pid()});
	comes($node, "SELECT count(*) > $last OR count(*) = 1000 FROM stent.tasks WHERE function = 'echo' AND state = 'completed'", 'cut, and it goes on');
	$last = $node->safe_psql('postgres', q{SELECT count(*) FROM stent.tasks WHERE function = 'echo' AND state = 'completed'});
}
# a claim whose answer was lost is known to nobody: its tasks come back with their leases' end
comes($node, q{SELECT count(*) FROM stent.tasks WHERE function = 'echo' AND finished_at IS NOT NULL}, 'everything ends', expected => 1000, patience => 180);
is($node->safe_psql('postgres', q{SELECT count(*) FROM stent.tasks WHERE function = 'echo' AND (state, attempt, result) IS DISTINCT FROM ('completed', 1, args)}), 0,
	'with its own result, in its first attempt');
worker_signal($worker, 'TERM');
worker_ends($worker, 0, 'the worker ends');

# ---- away for longer than the lease
$worker = worker_start($node, 'late', { lease => '1s', functions => { over => { command => [ 'sleep', '600' ] } } });
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
