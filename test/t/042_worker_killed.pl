# A worker is killed with 500 leases held: other workers do its tasks, each
# once, and each remembers that it lost a worker.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Utils;
use Stent;
use StentWorker;
use Test::More;

my $node = stent_node('killed', conf => "stent.databases = 'postgres'");
$node->start;
$node->safe_psql('postgres', q{CREATE EXTENSION stent; SELECT stent.register('job', retry => '{"max_attempts": 1}')});

my $victim = worker_start($node, 'victim', { slots => 500, lease => '3s', functions => { job => { command => [ 'sleep', '600' ] } } });
$node->safe_psql('postgres', q{SELECT count(*) FROM stent.dispatch_many('job', (SELECT array_agg(jsonb_build_object('n', n)) FROM generate_series(1, 600) n))});
comes($node, q{SELECT leased FROM stent.workers WHERE name = 'victim'}, 'it holds 500 leases', expected => 500);
ok(in_time(sub { worker_children($victim) == 500 }), 'and as many children');
my @children = split(' ', `ps --ppid $victim->{pid} -o pid=`);
worker_signal($victim, 'KILL');
worker_ends($victim, 'signal 9', 'it is killed');
ok(in_time(sub { !grep { -e "/proc/$_" } @children }), 'its children do not outlive it');

# nobody looks at leases while nobody claims: that is the scheduler's, and who claims next
my $heir = worker_start($node, 'heir', { slots => 50, functions => { job => { noop => {} } } });
comes($node, q{SELECT count(*) FROM stent.tasks WHERE state = 'completed'}, 'all tasks are done elsewhere', expected => 600);
is($node->safe_psql('postgres', q{SELECT count(*) FROM stent.tasks WHERE (state, attempt, result) IS DISTINCT FROM ('completed', 1, 'null'::jsonb)}), 0,
	'once each, and no attempt was charged');
is($node->safe_psql('postgres', q{SELECT count(*) FROM stent.running}), 0, 'no lease is left');
worker_signal($heir, 'TERM');
worker_ends($heir, 0, 'the heir ends');

# a task that kills its workers does so a few times only
$node->safe_psql('postgres', 'ALTER SYSTEM SET stent.max_lost = 2');
$node->reload;
my $poison = $node->safe_psql('postgres', q{SELECT stent.dispatch('job')});
for my $n (1, 2)
{
	$victim = worker_start($node, "victim $n", { lease => '0.5s', functions => { job => { command => [ 'sleep', '600' ] } } });
	comes($node, "SELECT worker FROM stent.running WHERE id = $poison", "worker $n has it", expected => "victim $n");
	like($node->safe_psql('postgres', "SELECT stent.why($poison)"), qr/Its worker was lost once/, 'the loss is counted') if $n == 2;
	worker_signal($victim, 'KILL');
	worker_ends($victim, 'signal 9', "worker $n is killed");
}
comes($node, "SELECT error ->> 'code' FROM stent.tasks WHERE id = $poison", 'then it is a dead letter', expected => 'ST015');

$node->stop;
done_testing();
