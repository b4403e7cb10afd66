# More roles wait for an executor than a scheduler looks at in one pass: each gets its turn.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Stent;
use Test::More;

my $roles = 300;
my $node = stent_node('roles', conf => 'stent.max_executors = 3');
$node->start;
install($node, 'postgres');
$node->safe_psql('postgres', "SELECT stent.stop();
	SELECT format('CREATE ROLE many_%s LOGIN', n) FROM generate_series(1, $roles) n \\gexec
	SELECT stent.grant_usage(format('many_%s', n)::name) FROM generate_series(1, $roles) n;
	SELECT format('SET SESSION AUTHORIZATION many_%s; SELECT stent.dispatch(''work'')', n) FROM generate_series(1, $roles) n \\gexec
	RESET SESSION AUTHORIZATION");
is($node->safe_psql('postgres', "SELECT count(DISTINCT role) FROM stent.tasks WHERE state = 'ready'"), $roles, 'so many roles wait');
$node->safe_psql('postgres', 'SELECT stent.start()');
all_end($node, 'each of them is served');
is($node->safe_psql('postgres', "SELECT count(DISTINCT role), count(*) FROM stent.tasks WHERE state = 'completed' AND attempt = 1"), "$roles|$roles", 'as it should');
$node->stop;

done_testing();
