# DROP EXTENSION and CREATE EXTENSION under sessions that remember everything.
#
# A session keeps oids, lanes, policies, functions and handlers; none of it may
# outlive the objects. Two databases of one cluster know nothing of each other.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;
$node->safe_psql('postgres', q{
	CREATE FUNCTION one(n int) RETURNS int LANGUAGE sql AS 'SELECT n + 1';
	CREATE FUNCTION two(n int) RETURNS int LANGUAGE sql AS 'SELECT n + 2';
	CREATE EXTENSION stent;
	SELECT stent.register('other', 'two(int)');
	SELECT stent.register('f', 'one(int)', queue => 'first', retry => '{"max_attempts": 7}')});

my @sessions = map { $node->background_psql('postgres', on_error_stop => 0) } 1 .. 2;

# Dispatches and runs in the session; what came of it.
sub works
{
	my ($session) = @_;
	my $id = $session->query_safe('EXECUTE dispatch');

	# an earlier session's task may be there as well
	$session->query_safe('SELECT stent.run()') for 1 .. 3;
	return $session->query_safe("SELECT state, queue, result, retry ->> 'max_attempts' FROM stent.tasks WHERE id = $id");
}

$_->query_safe(q{PREPARE dispatch AS SELECT stent.dispatch('f', '{"n": 1}')}) for @sessions;
is(works($_), 'completed|first|2|7', 'works') for @sessions;
$node->safe_psql('postgres', q{SELECT stent.dispatch('f', '{"n": 1}', delay => '1h', dedup_key => 'k')});

$sessions[0]->query_safe('DROP EXTENSION stent');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_class WHERE relname LIKE 'archive%'}), 0, 'the partitions went with it');
for my $session (@sessions)
{
	$session->{stderr} = '';
	$session->query('EXECUTE dispatch');
	like($session->{stderr}, qr/ERROR:  (schema|function) .*stent.* does not exist/, 'dispatch says so');
	$session->{stderr} = '';
}

# now with other ids, another queue, policy and handler
$sessions[0]->query_safe('CREATE EXTENSION stent');
$sessions[0]->query_safe(q{SELECT stent.register('f', 'two(int)', queue => 'second', retry => '{"max_attempts": 8}')});
is(works($_), 'completed|second|3|8', 'works again') for @sessions;
is($node->safe_psql('postgres', q{SELECT count(*), min(id) FROM stent.tasks}), '2|1', 'nothing is left of the old ones');

# all in one transaction, then undone
$sessions[0]->query_safe('BEGIN');
$sessions[0]->query_safe('DROP EXTENSION stent');
$sessions[0]->query_safe('CREATE EXTENSION stent');
$sessions[0]->query_safe(q{SELECT stent.register('f', 'one(int)', queue => 'third')});
is(works($sessions[0]), 'completed|third|2|3', 'works in the transaction that made it');
$sessions[0]->query_safe('ROLLBACK');
is(works($_), 'completed|second|3|8', 'works as before after a rollback') for @sessions;

# another database
$node->safe_psql('postgres', 'CREATE DATABASE second');
$node->safe_psql('second', q{
	CREATE EXTENSION stent;
	CREATE FUNCTION one(n int) RETURNS int LANGUAGE sql AS 'SELECT n + 10';
	SELECT stent.register('f', 'one(int)');
	SELECT stent.dispatch('f', '{"n": 1}')});
is($node->safe_psql('postgres', 'SELECT stent.run()'), 0, 'a runner sees its own database only');
is($node->safe_psql('second', 'SELECT stent.run()'), 1, 'the other one its own');
is($node->safe_psql('second', 'SELECT state, result FROM stent.tasks'), 'completed|11', 'with its own handler');
$node->safe_psql('postgres', 'DROP DATABASE second');
is(works($_), 'completed|second|3|8', 'the first is untouched') for @sessions;

$_->quit for @sessions;
done_testing();
