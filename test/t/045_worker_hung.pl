# A run that should be over long ago keeps nobody from its task: its lease is
# not renewed any more. And what a worker cannot start, it gives back.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Utils;
use Stent;
use StentWorker;
use Test::More;

my $node = stent_node('hung', conf => "stent.databases = 'postgres'");
$node->start;
$node->safe_psql('postgres', q{CREATE EXTENSION stent; SELECT stent.register(f) FROM unnest('{deaf,waits,other}'::text[]) f});

# ---- told to end by its timeout, it does not listen, and may for an hour
my $deaf = { command => [ 'sh', '-c', "trap '' TERM; while :; do sleep 0.05; done" ], grace => '1h' };
my $first = worker_start($node, 'first', { lease => '2s', hung_after => '1s', functions => { deaf => $deaf, other => { noop => {} } } });
my $task = $node->safe_psql('postgres', q{SELECT stent.dispatch('deaf', '{}', timeout => interval '1 second')});
comes($node, "SELECT worker FROM stent.running WHERE id = $task", 'it runs', expected => 'first');
worker_says($first, qr/msg="run hangs: its lease is not renewed any more" task=$task /, 'it hangs');
worker_says($first, qr/msg="task is not ours any more: its run is stopped" task=$task /, 'the first knows');
ok(in_time(sub { worker_children($first) == 0 }), 'and kills what hangs');
# it serves the function, has slots and is woken, and yet leaves the next try to others
comes($node, "SELECT state FROM stent.tasks WHERE id = $task", 'the task is there for others', expected => 'ready');
$node->safe_psql('postgres', q{SELECT stent.dispatch('other', '{}')});
comes($node, "SELECT count(*) FROM stent.tasks WHERE function = 'other' AND state = 'completed'", 'the first does what is not that function', expected => '1');
my $second = worker_start($node, 'second', { functions => { deaf => { command => [ 'echo', '2' ] } } });
comes($node, "SELECT state || ' ' || result FROM stent.tasks WHERE id = $task", 'another worker does it', expected => 'completed 2');
my @hung = (slurp_file($first->{log}) =~ /run hangs/g);
is(scalar @hung, 1, 'it hung once');

# ---- the same by the timeout that its configuration says
$deaf->{timeout} = '1s';
worker_signal($second, 'TERM');
worker_ends($second, 0, 'the second ends');
my $offset = -s $first->{log};
worker_configure($first, { lease => '2s', hung_after => '1s', functions => { deaf => $deaf } });
worker_signal($first, 'HUP');
worker_says($first, qr/msg="configuration reloaded"/, 'the first is told of a timeout', $offset);
$task = $node->safe_psql('postgres', q{SELECT stent.dispatch('deaf', '{}')});
worker_says($first, qr/msg="run hangs: its lease is not renewed any more" task=$task /, 'it hangs');
worker_signal($first, 'TERM');
worker_says($first, qr/msg="draining"/, 'told to stop, the worker drains');
worker_signal($first, 'TERM');
worker_ends($first, 5, 'the first ends');
$node->safe_psql('postgres', "SELECT stent.cancel($task)");

# ---- no descriptors left: what cannot be started is given back, and done later
my $directory = PostgreSQL::Test::Utils::tempdir();
my %waits = (command => [ 'sh', '-c', "while [ ! -e $directory/go ]; do sleep 0.05; done; echo 3" ]);
my $poor = worker_start($node, 'poor', { slots => 40, functions => { waits => \%waits } }, files => 40);
my $tasks = $node->safe_psql('postgres', q{SELECT string_agg(stent.dispatch('waits', '{}')::text, ',') FROM generate_series(1, 40)});
worker_says($poor, qr/msg="task cannot be started" task=\d+ function=waits error=/, 'a worker is short of descriptors');
append_to_file("$directory/go", '');
comes($node, "SELECT count(*) FROM stent.tasks WHERE id IN ($tasks) AND state = 'completed' AND attempt = 1", 'all end, in their first attempt', expected => 40);
# what it can start at a time, it goes on with as fast as that ends
my $many = $node->safe_psql('postgres', q{SELECT string_agg(stent.dispatch('waits', '{}')::text, ',') FROM generate_series(1, 600)});
comes($node, "SELECT count(*) FROM stent.tasks WHERE id IN ($many) AND state = 'completed' AND attempt = 1", 'many more end, in their first attempt', expected => 600);
worker_signal($poor, 'TERM');
worker_ends($poor, 0, 'it ends');

$node->stop;
done_testing();
