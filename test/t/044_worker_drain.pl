# A worker is told to stop: it finishes what runs, or gives it back when that
# takes too long, without an attempt spent; told twice, it leaves at once.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Utils;
use Stent;
use StentWorker;
use Test::More;

my $node = stent_node('drain', conf => "stent.databases = 'postgres'");
$node->start;
$node->safe_psql('postgres', q{CREATE EXTENSION stent; SELECT stent.register(f) FROM unnest('{waits,stays,deaf}'::text[]) f});

my $directory = PostgreSQL::Test::Utils::tempdir();
my %functions = (
	waits => { command => [ 'sh', '-c', "while [ ! -e $directory/go ]; do sleep 0.05; done; echo 1" ] },
	stays => { command => [ 'sleep', '600' ] },
	deaf => { command => [ 'sh', '-c', "trap '' TERM; : > $directory/deaf; while :; do sleep 0.05; done" ], grace => '0.5s' });

sub dispatch
{
	my ($function) = @_;

	return $node->safe_psql('postgres', "SELECT stent.dispatch('$function', '{}')");
}

sub runs
{
	my ($id) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return comes($node, "SELECT state FROM stent.tasks WHERE id = $id", "task $id runs", expected => 'running');
}

# ---- finishes what runs, claims nothing
my $worker = worker_start($node, 'patient', { drain_timeout => '1h', functions => \%functions });
my $runs = dispatch('waits');
runs($runs);
worker_signal($worker, 'TERM');
comes($node, q{SELECT state FROM stent.workers WHERE name = 'patient'}, 'it says that it drains', expected => 'draining');
my $left = dispatch('waits');
append_to_file("$directory/go", '');
worker_ends($worker, 0, 'it ends when its tasks have ended');
is($node->safe_psql('postgres', "SELECT state FROM stent.tasks WHERE id = $runs"), 'completed', 'with their ends told');
is($node->safe_psql('postgres', "SELECT state FROM stent.tasks WHERE id = $left"), 'ready', 'and nothing claimed since');
is($node->safe_psql('postgres', q{SELECT state FROM stent.workers WHERE name = 'patient'}), 'stopped', 'it said that it stops');

# ---- gives back what takes too long, also what does not listen to SIGTERM
$worker = worker_start($node, 'hasty', { drain_timeout => '0.2s', functions => \%functions });
comes($node, "SELECT state FROM stent.tasks WHERE id = $left", 'what it left is done by the next', expected => 'completed');
my @given = (dispatch('stays'), dispatch('deaf'));
runs($_) for @given;
ok(in_time(sub { -e "$directory/deaf" }), 'one does not listen');
my $children = join('|', map { /^\S+\s+(.*)/ } worker_children($worker));
worker_signal($worker, 'TERM');
worker_ends($worker, 0, 'it ends when its drain is over');
like(slurp_file($worker->{log}), qr/msg="drain takes too long: runs are stopped and their tasks released" running=2/, 'it says what it did');
is($node->safe_psql('postgres', "SELECT string_agg(state || ' ' || attempt, ', ') FROM stent.tasks WHERE id IN ($given[0], $given[1])"), 'ready 0, ready 0',
	'the tasks are ready again, without an attempt spent');
is($node->safe_psql('postgres', q{SELECT count(*) FROM stent.running}), 0, 'nobody holds them');

# ---- told twice
$worker = worker_start($node, 'rude', { drain_timeout => '1h', lease => '2s', functions => \%functions });
runs($_) for @given;
my @pids = split(' ', `ps --ppid $worker->{pid} -o pid=`);
worker_signal($worker, 'TERM');
worker_says($worker, qr/msg="draining"/, 'it drains');
worker_signal($worker, 'TERM');
worker_ends($worker, 5, 'told again, it leaves at once, and says so by its exit code');
ok(in_time(sub { !grep { -e "/proc/$_" } @pids }), 'its children are gone');
comes($node, "SELECT bool_and(state = 'ready') FROM stent.tasks WHERE id IN ($given[0], $given[1])", 'its tasks come back with the end of their leases');

# ---- told before there is a server
$worker = worker_start($node, 'lonely', { functions => \%functions }, connection => "host=$directory port=1", options => [ '--connect-timeout', '0s' ], ready => 0);
worker_says($worker, qr/msg="no connection"/, 'it tries to connect');
worker_signal($worker, 'TERM');
worker_ends($worker, 0, 'it ends, holding nothing');

# ---- told while the server is away: ends that cannot be told are told when it is back
unlink("$directory/go");
$node->safe_psql('postgres', "SELECT stent.cancel(id) FROM unnest('{$given[0],$given[1]}'::bigint[]) id");
$worker = worker_start($node, 'loyal', { drain_timeout => '1h', functions => \%functions });
$runs = dispatch('waits');
runs($runs);
$node->stop('immediate');
worker_signal($worker, 'TERM');
worker_says($worker, qr/msg="draining"/, 'it drains without a server');
append_to_file("$directory/go", '');
ok(in_time(sub { worker_children($worker) == 0 }), 'its run ends');
$node->start;
worker_ends($worker, 0, 'it ends when it could tell');
is($node->safe_psql('postgres', "SELECT state FROM stent.tasks WHERE id = $runs"), 'completed', 'and it told');

$node->stop;
done_testing();
