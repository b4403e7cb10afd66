# A task that takes longer than its function ever did: what was sent with it does
# not wait behind it while another executor could run it.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Stent;
use Test::More;

my $node = stent_node('slow', conf => "stent.max_executors = 2\nstent.idle_timeout = '1h'");
$node->start;
install($node, 'postgres');
$node->safe_psql('postgres', q{
	CREATE FUNCTION sudden(slow boolean DEFAULT false) RETURNS int LANGUAGE plpgsql AS $$
	BEGIN
		IF slow THEN PERFORM pg_sleep(3600); END IF;
		RETURN 1;
	END $$;
	SELECT stent.register('sudden', 'sudden(boolean)')});

# both executors know it as a quick one
for my $n (1 .. 3)
{
	$node->safe_psql('postgres', q{SELECT count(*) FROM stent.dispatch_many('sudden', array_fill('{}'::jsonb, ARRAY[400]))});
	all_end($node, "quick tasks end, round $n");
}

# one commit of one lane, which wakes one executor
my ($id) = split(/\n/, $node->safe_psql('postgres', q{
	BEGIN;
	SELECT stent.dispatch('sudden', '{"slow": true}');
	SELECT count(*) FROM stent.dispatch_many('sudden', array_fill('{}'::jsonb, ARRAY[30]));
	COMMIT}));
comes($node, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'sudden (task $id,%' AND state = 'active'", 'one is not quick', expected => 1);
comes($node, "SELECT count(*) FROM stent.tasks WHERE id > $id AND state = 'completed'", 'the others run meanwhile', expected => 30);
is($node->safe_psql('postgres', "SELECT stent.cancel($id)"), 't', 'the slow one is cancelled');
all_end($node, 'nothing is left');
$node->stop;

done_testing();
