# Which server runs a database's tasks: stent.adopted against what a copy cannot
# keep.
#
# The first start adopts; so does a promoted standby. A clone, a restored
# dump, a database made from a template, an upgraded cluster and a database that was
# loaded into another one run nothing until somebody calls stent.adopt().
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $conf = q{
shared_preload_libraries = 'stent'
stent.databases = ''
};
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', $conf);
$node->start;

my $functions = q{
	CREATE FUNCTION identity_check() RETURNS text LANGUAGE c AS '$libdir/stent', 'stent_fault_identity_check'};

sub check { my ($node, $database) = @_; return $node->safe_psql($database, 'SELECT public.identity_check()') }
sub adopt { my ($node, $database) = @_; return $node->safe_psql($database, 'SELECT stent.adopt()') }

sub report
{
	my ($node, $database) = @_;
	return $node->safe_psql($database, q{BEGIN READ ONLY; SELECT r ->> 'adopted', r ->> 'why' FROM stent._identity_report() r; COMMIT});
}

# the verdict, and that adopt() changes it
sub adopted_by_hand
{
	my ($node, $database, $why, $what) = @_;

	like(check($node, $database), qr/^foreign: .*$why.*call stent\.adopt\(\)/, "$what: nothing runs");
	like(report($node, $database), qr/^false\|.*$why/, "$what: the report says why");
	is(adopt($node, $database), 't', "$what: adopted");
	is(check($node, $database), 'ours: ', "$what: runs from now on");
	is(adopt($node, $database), 'f', "$what: again changes nothing");
	is($node->safe_psql($database, 'SELECT count(*) FROM stent.adopted'), 1, "$what: one row");
}

$node->safe_psql('postgres', 'CREATE DATABASE work');
$node->safe_psql('work', 'CREATE EXTENSION stent');
$node->safe_psql('work', $functions);
like(report($node, 'work'), qr/^false\|no server has adopted/, 'nobody yet');
is(check($node, 'work'), 'ours: ', 'the first start adopts');
is(report($node, 'work'), 'true|', 'the report says so');
is(check($node, 'work'), 'ours: ', 'it stays');
is(adopt($node, 'work'), 'f', 'adopting what is ours changes nothing');
my $row = $node->safe_psql('work', 'SELECT a FROM stent.adopted a');
like($row, qr/^\(\d+,[0-9a-f]{32},\d+,/, 'system, mark, database');
$node->restart;
is(check($node, 'work'), 'ours: ', 'after a restart');

# a template
$node->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE work');
adopted_by_hand($node, 'copy', 'oid \d+ was adopted', 'template');

# a dump, into a new database and into one that has its own row
my $dump = $node->basedir . '/work.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, $node->connstr('work') ], 'pg_dump');
my ($loaded_first) = slurp_file($dump) =~ /^COPY stent\.(\w+)/m;
is($loaded_first, 'adopted', 'the row comes before the tasks');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
$node->command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('restored'), '-f', $dump ], 'restore');
adopted_by_hand($node, 'restored', 'oid \d+ was adopted', 'restore in the same cluster');
$node->safe_psql('restored', "INSERT INTO stent.adopted SELECT '1', mark, database_id, adopted_at FROM stent.adopted");
adopted_by_hand($node, 'restored', '2 rows', 'loaded over');
$node->safe_psql('restored', "UPDATE stent.adopted SET system_identifier = '18446744073709551615'");
adopted_by_hand($node, 'restored', 'system identifier 18446744073709551615', 'another cluster');

# a clone and a standby
$node->backup('base');
my $clone = PostgreSQL::Test::Cluster->new('clone');
$clone->init_from_backup($node, 'base');
$clone->start;
adopted_by_hand($clone, 'work', 'data directory [0-9a-f]{32} adopted', 'clone');
is(check($node, 'work'), 'ours: ', 'the original is not touched');
$clone->stop;

my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
like(report($standby, 'work'), qr/^false\|.*standby/, 'a standby reports');
isnt($standby->psql('work', 'SELECT stent.adopt()', stderr => \my $stderr), 0, 'it cannot adopt');
like($stderr, qr/cannot execute stent\.adopt\(\) during recovery/, 'and says why');
$standby->promote;
like(report($standby, 'work'), qr/^false\|.*once it is primary/, 'promoted, it will');
is(check($standby, 'work'), 'ours: ', 'it adopts by itself');
is(report($standby, 'work'), 'true|', 'the report says so');
is($standby->safe_psql('work', 'SELECT count(*) FROM stent.adopted'), 1, 'with one row');
$standby->backup('base2');

# the clone of one that was a standby is a clone
my $second = PostgreSQL::Test::Cluster->new('second');
$second->init_from_backup($standby, 'base2');
$second->start;
adopted_by_hand($second, 'work', 'data directory [0-9a-f]{32} adopted', 'clone of a promoted standby');
$second->stop;

# and a backup that is recovered, not followed
my $recovered = PostgreSQL::Test::Cluster->new('recovered');
$recovered->init_from_backup($node, 'base', has_restoring => 1, standby => 0);
$recovered->append_conf('postgresql.conf', "restore_command = 'false'");
$recovered->start;
$recovered->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()') or die;
adopted_by_hand($recovered, 'work', 'data directory [0-9a-f]{32} adopted', 'recovered backup');
$recovered->stop;

# without preloading there is no mark
$node->stop;
$node->adjust_conf('postgresql.conf', 'shared_preload_libraries', undef);
$node->start;
like(check($node, 'work'), qr/^unknown: the mark of this data directory is not known/, 'without preloading');
like(report($node, 'work'), qr/^false\|the mark/, 'the report says so');
$node->safe_psql('work', "UPDATE stent.adopted SET database_id = 1");
like(check($node, 'work'), qr/^foreign: /, 'what can be told is told');
is($node->psql('work', 'SELECT stent.adopt()', stdout => \my $out, stderr => \$stderr), 0, 'adopt');
is($out, 't', 'forgets the others');
like($stderr, qr/NOTICE:  this server does not know its data directory/, 'and says what will happen');
is($node->safe_psql('work', 'SELECT count(*) FROM stent.adopted'), 0, 'no row');
is(adopt($node, 'work'), 'f', 'again changes nothing');
like(check($node, 'work'), qr/^unknown: /, 'nothing speaks against it');
$node->stop;
$node->append_conf('postgresql.conf', $conf);
$node->start;
is(check($node, 'work'), 'ours: ', 'the first start with preloading adopts');

# a cluster upgraded by pg_upgrade has another system identifier
my $new = PostgreSQL::Test::Cluster->new('new');
$new->init;
$new->append_conf('postgresql.conf', $conf);
$node->safe_psql('postgres', "DROP DATABASE copy");
$node->stop;
my $bin = $node->config_data('--bindir');
chdir $new->basedir or die;
$node->command_ok([ 'pg_upgrade', '--no-sync', '-b', $bin, '-B', $bin, '-d', $node->data_dir, '-D', $new->data_dir,
		'-p', $node->port, '-P', $new->port, '-s', $new->host ], 'pg_upgrade');
$new->start;
adopted_by_hand($new, 'work', 'system identifier \d+ adopted', 'pg_upgrade');
$new->stop;
$standby->stop;

done_testing();
