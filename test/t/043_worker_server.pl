# The server goes away under a worker and comes back: what runs goes on while
# its lease holds, ends that could not be told are told then, and each task has
# been done once.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Stent;
use StentWorker;
use Test::More;
use Time::HiRes qw(usleep);

my $node = stent_node('server', allows_streaming => 1, conf => "stent.databases = 'postgres'");
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION stent;
	SELECT stent.register(f) FROM unnest('{through,meanwhile,lots}'::text[]) f});

my $directory = PostgreSQL::Test::Utils::tempdir();
sub waits_for
{
	my ($file, $more) = (@_, '');

	return { command => [ 'sh', '-c', "echo \$\$ >> $directory/$file.pids; echo begun >&2; while [ ! -e $directory/$file ]; do sleep 0.05; done; $more echo ended >&2; echo 7; : > $directory/$file.done" ] };
}
my %config = (lease => '1m', slots => 20, functions => { through => waits_for('through'), meanwhile => waits_for('meanwhile'), lots => waits_for('lots', q{head -c 200000 /dev/zero | tr '\0' x >&2;}) });
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

# ---- an end, and output ahead of it, is on its way when its connection is lost
my $work = $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE query ~ 'stent\.(claim|worker_wait|complete_many)' AND pid <> pg_backend_pid()});
like($work, qr/^\d+$/, 'the connection for claims and ends');
my $told = $node->safe_psql('postgres', q{SELECT stent.dispatch('lots', '{}')});
ok(in_time(sub { -e "$directory/lots.pids" }), 'a command runs');
kill('STOP', $work);
append_to_file("$directory/lots", '');
ok(in_time(sub { worker_children($worker) == 0 }), 'it ends');
my $offset = -s $worker->{log};
worker_signal($worker, 'USR1');
worker_says($worker, qr/msg="state".* ends_sent=1 /, 'its end is on its way', $offset);
is($node->safe_psql('postgres', "SELECT pg_terminate_backend($work)"), 't', 'its connection is to end');
# what a stopped backend was sent is read before it ends, or not: both must do
kill('CONT', $work);
comes($node, "SELECT state || ' ' || attempt || ' ' || result FROM stent.tasks WHERE id = $told", 'the end is told', expected => 'completed 1 7');
is(runs_once('lots'), 1, 'of its only run');
is($node->safe_psql('postgres', "SELECT md5(string_agg(data, '' ORDER BY number)) = md5(convert_to(E'begun\\n' || repeat('x', 200000) || E'ended\\n', 'UTF8')) FROM stent.output_of($told)"), 't', 'with all its output');
worker_says($worker, qr/msg="connected" link=work/, 'the connection is back', $offset);
worker_signal($worker, 'TERM');
worker_ends($worker, 0, 'the worker ends, with nothing left to tell');

# ---- the server fails, and its standby takes its place
unlink(glob("$directory/*"));
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->safe_psql('postgres', q{ALTER SYSTEM SET synchronous_standby_names = 'standby'});
$node->reload;
comes($node, q{SELECT sync_state FROM pg_stat_replication WHERE application_name = 'standby'}, 'the standby is synchronous', expected => 'sync');
my @nodes = ($node, $standby);
$worker = worker_start($node, 'loyal', \%config,
	connection => 'dbname=postgres target_session_attrs=read-write host=' . join(',', map { $_->host } @nodes) . ' port=' . join(',', map { $_->port } @nodes));
my $moved = $node->safe_psql('postgres', q{SELECT stent.dispatch('through', '{}')});
ok(in_time(sub { -e "$directory/through.pids" }), 'a command runs');
comes($node, "SELECT count(*) FROM stent.output_of($moved)", 'and its output is there', expected => 1);
$node->stop('immediate');
$standby->promote;
$standby->safe_psql('postgres', q{ALTER SYSTEM SET synchronous_standby_names = ''});
$standby->reload;
comes($standby, q{SELECT state FROM stent.workers WHERE name = 'loyal'}, 'the worker finds the new primary', expected => 'ready');
append_to_file("$directory/through", '');
comes($standby, "SELECT state || ' ' || attempt || ' ' || result FROM stent.tasks WHERE id = $moved", 'the task ends there', expected => 'completed 1 7');
is(runs_once('through'), 1, 'by its only run');
is($standby->safe_psql('postgres', "SELECT string_agg(text, '' ORDER BY number) FROM stent.output_of($moved)"), "begun\nended\n", 'with its output');
worker_signal($worker, 'TERM');
worker_ends($worker, 0, 'the worker ends');

$standby->stop;
done_testing();
