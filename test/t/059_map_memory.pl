# However many rows a query has, making a map of them, running it and reading its
# results takes the memory of a chunk.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Stent;
use Test::More;

plan skip_all => 'needs /proc' if !-r '/proc/self/status';

# what of the shared memory a session has touched counts as its own: there must be little
my $node = stent_node('memory', conf => "stent.databases = ''\nshared_buffers = '2MB'\nwork_mem = '1MB'\nmax_wal_size = '4GB'\nstent.batch_time = '1s'");
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION stent;
	CREATE FUNCTION plain(item jsonb) RETURNS jsonb LANGUAGE plpgsql AS 'BEGIN RETURN item; END';
	SELECT stent.register('plain', 'plain(jsonb)');
	CREATE PROCEDURE run_all() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
	-- the most memory this session has had, in kB
	CREATE FUNCTION most() RETURNS int LANGUAGE sql AS $$ SELECT substring(pg_read_file('/proc/self/status') FROM 'VmHWM:\s+(\d+)')::int $$;
	CREATE VIEW made AS SELECT max(id) AS id FROM stent.executions});

# The most memory that a session has had after some statements.
sub most
{
	my ($statements) = @_;

	return (split(/\n/, $node->safe_psql('postgres', "$statements; SELECT most()")))[-1];
}

my $query = 'SELECT n, repeat(md5(n::text), 3) AS pad FROM generate_series(1, %d) n';
my %most;
for my $n (30_000, 300_000)
{
	my $rows = sprintf($query, $n);

	$most{$n}{making} = most("SELECT stent.map_query('plain', '$rows')");
	is($node->safe_psql('postgres', 'SELECT items FROM stent.map JOIN made USING (id)'), $n, "a map of $n items is made");
	$most{$n}{running} = most('CALL run_all()');
	is($node->safe_psql('postgres', "SELECT result ->> 'completed' FROM stent.tasks JOIN made USING (id)"), $n, 'and run');
	$most{$n}{reading} = most(q{SELECT count(*), sum(length(result ->> 'pad')) FROM made, stent.map_results(made.id)});
	is($node->safe_psql('postgres', "SELECT count(*) FROM stent.chunk WHERE map_id = (SELECT id FROM made)"), $n / 1000, 'with one row a chunk');
}
for my $what (qw(making running reading))
{
	cmp_ok($most{300_000}{$what}, '<=', 1.1 * $most{30_000}{$what}, "$what ten times as many items takes no more memory");
	note("$what: $most{30_000}{$what} kB for 30,000, $most{300_000}{$what} kB for 300,000");
}
# the same as an array shows that it would be seen
cmp_ok(most("SELECT length(stent.map('plain', (SELECT jsonb_agg(q) FROM (" . sprintf($query, 300_000) . ") q))::text)"), '>', 2 * $most{300_000}{making}, 'an array of them takes a multiple');

# hits: the results of a chunk that was done before are read once for each that wants some of them
$node->safe_psql('postgres', q{
	CREATE FUNCTION known(n int) RETURNS text LANGUAGE sql AS $$ SELECT repeat(md5(n::text), 30) $$;
	SELECT stent.register('known', 'known(int)', cached => true);
	SELECT stent.map_query('known', 'SELECT generate_series(1, 5000)')});
my $first = most('CALL run_all()');
$node->safe_psql('postgres', q{SELECT stent.map_query('known', 'SELECT n FROM generate_series(1, 5000) n ORDER BY md5(n::text)')});
my $again = most('CALL run_all()');
is($node->safe_psql('postgres', "SELECT result ->> 'hits' FROM stent.tasks JOIN made USING (id)"), 5000, 'all items were done before, in another order');
cmp_ok($again, '<=', 2 * $first, 'and take no multiple of the memory');
note("known: $first kB, again: $again kB");

# a chunk has no room for more results than an array may have: the items without fail, the others stay
$node->safe_psql('postgres', q{
	CREATE FUNCTION large(n int) RETURNS text LANGUAGE sql AS $$ SELECT repeat(n::text, 10000000) $$;
	SELECT stent.register('large', 'large(int)', cached => true, retry => '{"max_attempts": 1}');
	SELECT stent.map_query('large', 'SELECT 1 FROM generate_series(1, 30)', on_error => 'collect')});
$node->safe_psql('postgres', 'CALL run_all()');
is($node->safe_psql('postgres', q{SELECT result - 'peak' FROM stent.tasks JOIN made USING (id)}),
	'{"hits": 25, "items": 30, "chunks": 1, "failed": 4, "completed": 1}', 'equal items with large results');
is($node->safe_psql('postgres', q{SELECT min(index), max(index), count(*), min(error ->> 'code') FROM made, stent.map_results(made.id) WHERE error IS NOT NULL}), '26|29|4|54000', 'the last ones have failed');

$node->stop;
done_testing();
