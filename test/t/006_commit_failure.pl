# A batch whose COMMIT fails: write skew with another session, under SERIALIZABLE.
#
# All tasks of the batch rerun, one a commit. A task that is alone when the commit
# fails again is charged an attempt with the commit's error; the others are not.
# The memory is the session's: a new session simply runs them.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;
$node->safe_psql('postgres', q{
	ALTER SYSTEM SET default_transaction_isolation = 'serializable';
	SELECT pg_reload_conf();
	CREATE EXTENSION stent;
	CREATE TABLE theirs (n bigint);
	CREATE TABLE ours (n bigint);
	CREATE TABLE effect (id bigint, what text);
	CREATE FUNCTION plain() RETURNS void LANGUAGE sql AS $$ INSERT INTO effect VALUES (stent.task_id(), 'plain') $$;
	CREATE FUNCTION skewed() RETURNS void LANGUAGE sql AS $$
		INSERT INTO effect VALUES (stent.task_id(), 'skewed');
		INSERT INTO ours SELECT count(*) FROM theirs;
	$$;
	SELECT stent.register('plain', 'plain()');
	SELECT stent.register('skewed', 'skewed()', retry => '{"max_attempts": 2, "initial_delay": "0s"}');
	SELECT stent.dispatch('plain'), stent.dispatch('skewed');
});

# Reads what the batch writes, writes what it read, and commits first.
sub interfere
{
	$node->safe_psql('postgres', 'BEGIN ISOLATION LEVEL SERIALIZABLE; INSERT INTO theirs SELECT count(*) FROM ours; COMMIT');
}

my $session;

sub new_session
{
	$session->quit if $session;
	$session = $node->background_psql('postgres', on_error_stop => 0);
	$session->query("SET stent.batch_time = '60s'");
}

# The SQLSTATE of a COMMIT that fails, or an empty string.
sub commit_state
{
	$session->{stderr} = '';
	$session->query('COMMIT');
	my $state = $session->query('\echo :LAST_ERROR_SQLSTATE');
	return $session->{stderr} eq '' ? '' : $state;
}

sub states
{
	return $node->safe_psql('postgres', q{
		SELECT string_agg(function || ' ' || state || ' ' || attempt, ', ' ORDER BY id) FROM stent.tasks WHERE function IN ('plain', 'skewed') AND id > } . shift);
}

# the session learns how long both take
new_session();
$session->query('SELECT stent.run()') for 1 .. 3;
my $first = $node->safe_psql('postgres', 'SELECT max(id) FROM stent.tasks');
is(states(0), 'plain completed 1, skewed completed 1', 'both work');

# a shared batch fails: nobody is charged
$node->safe_psql('postgres', q{SELECT stent.dispatch('plain'), stent.dispatch('skewed'), stent.dispatch('plain')});
$session->query('BEGIN');
is(scalar($session->query('SELECT stent.run()')), 3, 'three tasks share a batch');
interfere();
is(commit_state(), '40001', 'whose commit fails');
is(states($first), 'plain ready 0, skewed ready 0, plain ready 0', 'all are ready again, uncharged');
is(join(',', map { scalar($session->query('SELECT stent.run()')) } 1 .. 4), '1,1,1,0', 'they rerun one a commit');
is(states($first), 'plain completed 1, skewed completed 1, plain completed 1', 'and complete with their first attempt');

# the guilty one fails again when it is alone: only it is charged
$first = $node->safe_psql('postgres', 'SELECT max(id) FROM stent.tasks');
$node->safe_psql('postgres', q{SELECT stent.dispatch('plain'), stent.dispatch('skewed', priority => 5), stent.dispatch('plain')});
$session->query('BEGIN');
is(scalar($session->query('SELECT stent.run()')), 3, 'three again');
interfere();
is(commit_state(), '40001', 'their commit fails');
$session->query('BEGIN');
is(scalar($session->query('SELECT stent.run()')), 1, 'the first is alone');
interfere();
is(commit_state(), '40001', 'its commit fails');
is(states($first), 'plain ready 0, skewed ready 0, plain ready 0', 'not charged yet');
is(scalar($session->query('SELECT stent.run()')), 1, 'its next turn');
is(states($first), 'plain ready 0, skewed ready 1, plain ready 0', 'records the failed attempt');
is($node->safe_psql('postgres', "SELECT error ->> 'code' FROM stent.tasks WHERE function = 'skewed' AND id > $first"), '40001', 'with the error of the commit');
$session->query('SELECT stent.run()') for 1 .. 4;
is(states($first), 'plain completed 1, skewed completed 2, plain completed 1', 'only the guilty one was charged');

# a new session knows nothing of it
$first = $node->safe_psql('postgres', 'SELECT max(id) FROM stent.tasks');
$node->safe_psql('postgres', q{SELECT stent.dispatch('skewed')});
$session->query('BEGIN');
is(scalar($session->query('SELECT stent.run()')), 1, 'alone from the start');
interfere();
is(commit_state(), '40001', 'the commit fails');
new_session();
is(scalar($session->query('SELECT stent.run()')), 1, 'a new session runs it');
is(states($first), 'skewed completed 1', 'uncharged');

# a rollback is nobody's fault
$node->safe_psql('postgres', q{SELECT stent.dispatch('skewed')});
$session->query('BEGIN');
$session->query('SELECT stent.run()');
$session->query('ROLLBACK');
is(scalar($session->query('SELECT stent.run()')), 1, 'run again after a rollback');
is(states($first), 'skewed completed 1, skewed completed 1', 'uncharged');

is($node->safe_psql('postgres', q{
	SELECT count(*) FROM effect e FULL JOIN (SELECT id FROM stent.tasks WHERE state = 'completed') t USING (id)
	WHERE e.what IS NULL OR t.id IS NULL OR (SELECT count(*) FROM effect x WHERE x.id = t.id) <> 1}), 0, 'each effect once');
$session->quit;

done_testing();
