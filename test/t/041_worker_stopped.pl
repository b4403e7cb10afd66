# A worker that stands still past its leases and then goes on: another worker
# has its tasks by then, and nothing of what it says about them counts.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Utils;
use Stent;
use StentWorker;
use Test::More;

my $node = stent_node('stopped', conf => "stent.databases = 'postgres'");
$node->start;
$node->safe_psql('postgres', q{CREATE EXTENSION stent; SELECT stent.register(f) FROM unnest('{ended,running,quick}'::text[]) f});

# What the first worker runs: ends when its file is there, or never.
my $directory = PostgreSQL::Test::Utils::tempdir();
my $first = worker_start($node, 'first', {
	lease => '2s',
	functions => {
		ended => { command => [ 'sh', '-c', "while [ ! -e $directory/go ]; do sleep 0.05; done; echo '\"first\"'" ] },
		running => { command => [ 'sleep', '600' ] } } });
my $work = $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE query ~ 'stent\.(claim|worker_wait)' AND pid <> pg_backend_pid()});
like($work, qr/^\d+$/, 'its connection for claims and ends');
my $ended = $node->safe_psql('postgres', q{SELECT stent.dispatch('ended', '{}')});
my $running = $node->safe_psql('postgres', q{SELECT stent.dispatch('running', '{}')});
comes($node, q{SELECT count(*) FROM stent.running WHERE worker = 'first'}, 'both run', expected => 2);

# ---- a statement that takes longer than the lease, which is kept on the other connection
sub leases_renewed
{
	my ($name) = @_;
	my $since = $node->safe_psql('postgres', 'SELECT stent.now()');

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	comes($node, "SELECT min(lease_expires_at) > '$since'::timestamp + interval '5 seconds' FROM stent.running WHERE worker = 'first'", $name);
	is($node->safe_psql('postgres', q{SELECT count(*) FROM stent.running WHERE worker = 'first'}), 2, 'and nobody took the tasks');
	return;
}
leases_renewed('leases are renewed');
kill('STOP', $work);
append_to_file("$directory/go", '');
ok(in_time(sub { worker_children($first) == 1 }), 'a child ends');
my $offset = -s $first->{log};
worker_signal($first, 'USR1');
worker_says($first, qr/msg="state".* running=1 held=2 .*ends_sent=1 /, 'its end is on its way, and not answered', $offset);
leases_renewed('both leases are renewed all the same');

# ---- the worker stands still: its leases run out, its end comes too late
worker_signal($first, 'STOP');
my %second = map { $_ => { command => [ 'echo', '"second"' ] } } qw(ended running);
my $second = worker_start($node, 'second', { functions => \%second, log_level => 'debug' });
comes($node, "SELECT string_agg(result::text, ' ') FROM stent.tasks WHERE id IN ($ended, $running) AND state = 'completed'",
	'another worker took both over', expected => '"second" "second"');
my $books = "SELECT string_agg(concat_ws(' ', id, state, result, attempt, finished_at), ', ' ORDER BY id) FROM stent.tasks";
my $before = $node->safe_psql('postgres', $books);
kill('CONT', $work);
worker_signal($first, 'CONT');
worker_says($first, qr/msg="task was not ours any more at its end" task=$ended .*outcome=(lost|ended)/, 'its end is refused');
worker_says($first, qr/msg="task is not ours any more: its run is stopped" task=$running /, 'the other run is stopped');
ok(in_time(sub { worker_children($first) == 0 }), 'its children are gone');
is($node->safe_psql('postgres', $books), $before, 'nothing that it said changed anything');

# it goes on as if nothing had been
worker_signal($second, 'TERM');
worker_ends($second, 0, 'the other worker ends');
my $again = $node->safe_psql('postgres', q{SELECT stent.dispatch('ended', '{}')});
comes($node, "SELECT result FROM stent.tasks WHERE id = $again", 'the first worker goes on', expected => '"first"');
is($node->safe_psql('postgres', q{SELECT live FROM stent.workers WHERE name = 'first'}), 't', 'it is known to live');
worker_signal($first, 'TERM');
worker_ends($first, 0, 'the first worker ends');
is($node->safe_psql('postgres', q{SELECT count(*) FROM stent.running}), 0, 'no lease is left');

$node->stop;
done_testing();
