# The examples run as they are: a worker in shell and psql does what its page says.
use strict;
use warnings;
use IPC::Run qw(start finish);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'stent'\nstent.databases = 'postgres'");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION stent; CREATE ROLE porter LOGIN');
$node->safe_psql('postgres', "SELECT stent.grant_usage('porter', 'worker')");
$node->safe_psql('postgres', q{SELECT stent.register('checksum', retry => '{"max_attempts": 1}')});

my $dir = $node->basedir;
append_to_file("$dir/one", 'abc');
append_to_file("$dir/it's two", '');
my ($one, $two, $none) = map {
	my $path = "$dir/$_" =~ s/'/''/gr;
	$node->safe_psql('postgres', "SELECT stent.dispatch('checksum', jsonb_build_object('path', '$path'))")
} 'one', "it's two", 'missing';

my ($out, $err) = ('', '');
my $worker = start([ 'env', 'PGHOST=' . $node->host, 'PGPORT=' . $node->port, 'PGUSER=porter', 'PGDATABASE=postgres',
		'examples/checksum-worker', '--name', 'shell' ], '>', \$out, '2>', \$err);

ok($node->poll_query_until('postgres', 'SELECT count(*) = 3 FROM stent.executions WHERE finished_at IS NOT NULL'), 'all tasks end')
  or diag($out, $err);
is($node->safe_psql('postgres', "SELECT stent.result_of($one) ->> 'sha256'"),
	'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad', 'a checksum');
is($node->safe_psql('postgres', "SELECT stent.result_of($two) ->> 'sha256'"),
	'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855', 'of a file with a quote in its name');
is($node->safe_psql('postgres', "SELECT error_code, reason FROM stent.dead_letters WHERE id = $none"),
	'ChecksumFailed|sha256sum ended with status 1', 'a file that is not there: a dead letter');
like($node->safe_psql('postgres', "SELECT text FROM stent.output_of($none)"), qr/missing: No such file/, 'what the program said is stored');
is($node->safe_psql('postgres', "SELECT stent.state_of($one) -> 'counters'"), '{"files": 1}', 'a counter came with the completion');
is($node->safe_psql('postgres', q{SELECT state, functions, slots FROM stent.workers WHERE name = 'shell'}), 'ready|{checksum}|1', 'the worker tells of itself');

# SIGTERM: it says goodbye
$worker->signal('TERM');
finish($worker);
is($node->safe_psql('postgres', q{SELECT state FROM stent.workers WHERE name = 'shell'}), 'stopped', 'it says goodbye');
is($node->safe_psql('postgres', 'SELECT count(*) FROM stent.lease'), '0', 'and leaves no lease');

done_testing();
