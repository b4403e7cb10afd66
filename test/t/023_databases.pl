# Commands that need a database empty, or the extension's tables, while executors
# work there: each succeeds without FORCE, and within the five seconds that the
# server itself would wait; interrupted tasks run again, uncharged.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use PostgreSQL::Test::Utils;
use Stent;
use Test::More;

my $node = stent_node('databases', conf => "stent.databases = 'postgres, app, renamed, moved'\nstent.max_executors = 3");
$node->start;
install($node, 'postgres');
my $session = $node->background_psql('postgres', on_error_stop => 0);

# A statement in a session that never was in the database; it must succeed.
sub succeeds
{
	my ($sql, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$session->{stderr} = '';
	$session->query("SET statement_timeout = '6s'");
	$session->query($sql);
	is($session->{stderr}, '', $name);
	return;
}

sub in_app { return $node->safe_psql($_[1] // 'app', $_[0]) }

# Executors in the middle of long tasks, others waiting.
sub busy
{
	my ($database, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	in_app(q{SELECT stent.dispatch('long', priority => 1) FROM generate_series(1, 2); SELECT stent.dispatch('work') FROM generate_series(1, 300)}, $database);
	comes($node, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'stent executor' AND datname = '$database' AND query LIKE 'long (%' AND state = 'active'",
		"$name: long tasks run", expected => 2);
	comes($node, q{SELECT count(*) = 0 FROM stent.tasks WHERE function = 'work' AND state = 'ready'}, "$name: others have run", database => $database);
	return;
}

# The long tasks are there, uncharged, and run again; then end.
sub runs_again
{
	my ($database, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	comes($node, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'stent executor' AND datname = '$database' AND query LIKE 'long (%' AND state = 'active'",
		"$name: they run again", expected => 2);
	is(in_app(q{SELECT DISTINCT attempt FROM stent.tasks WHERE function = 'long' AND finished_at IS NULL}, $database), 0, "$name: uncharged");
	return;
}

# Lets the long tasks end.
sub ends
{
	my ($database, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	in_app(q{CREATE OR REPLACE FUNCTION long() RETURNS void LANGUAGE sql AS 'INSERT INTO public.effect VALUES (stent.task_id(), stent.attempt())'}, $database);
	# what is being called is still the function of before
	$node->safe_psql('postgres', "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE backend_type = 'stent executor' AND datname = '$database'");
	all_end($node, "$name: everything ends", database => $database);
	books_balance($node, $database, [], "$name: the books balance");
	in_app(q{CREATE OR REPLACE FUNCTION long() RETURNS void LANGUAGE plpgsql AS $$ BEGIN
		INSERT INTO public.effect VALUES (stent.task_id(), stent.attempt()); PERFORM pg_sleep(3600); END $$}, $database);
	return;
}

my $long = q{
	CREATE FUNCTION long() RETURNS void LANGUAGE plpgsql AS $$ BEGIN
		INSERT INTO public.effect VALUES (stent.task_id(), stent.attempt()); PERFORM pg_sleep(3600); END $$;
	SELECT stent.register('long', 'long()')};

succeeds('CREATE DATABASE app', 'a database is made');
install($node, 'app');
in_app($long);
busy('app', 'rename');

# who may not do it disturbs nobody
my $before = $node->safe_psql('postgres', q{SELECT string_agg(pid || ' ' || backend_type, ',' ORDER BY pid) FROM pg_stat_activity WHERE datname = 'app'});
$node->safe_psql('postgres', 'CREATE ROLE nobody LOGIN; CREATE ROLE maker LOGIN CREATEDB');
for my $sql ('DROP DATABASE app', 'ALTER DATABASE app RENAME TO mine', 'CREATE DATABASE mine TEMPLATE app')
{
	$session->{stderr} = '';
	$session->query('SET SESSION AUTHORIZATION nobody');
	$session->query($sql);
	like($session->{stderr}, qr/must be owner|permission denied/, "$sql is refused");
	$session->{stderr} = '';
	$session->query('RESET SESSION AUTHORIZATION');
	if ($sql !~ /TEMPLATE/)
	{
		$session->query('SET SESSION AUTHORIZATION maker');
		$session->query($sql);
		like($session->{stderr}, qr/must be owner|permission denied/, "$sql is refused for who may make databases");
		$session->{stderr} = '';
		$session->query('RESET SESSION AUTHORIZATION');
	}
}
is($node->safe_psql('postgres', q{SELECT string_agg(pid || ' ' || backend_type, ',' ORDER BY pid) FROM pg_stat_activity WHERE datname = 'app'}), $before,
	'nobody was disturbed for it');

succeeds('ALTER DATABASE app RENAME TO renamed', 'ALTER DATABASE RENAME');
runs_again('renamed', 'rename');
succeeds('ALTER DATABASE renamed RENAME TO unlisted', 'renamed to a name that is not listed');
comes($node, q{SELECT count(*) FROM pg_stat_activity WHERE datname = 'unlisted'}, 'nobody goes there', expected => 0);
succeeds('ALTER DATABASE unlisted RENAME TO app', 'renamed back');
runs_again('app', 'rename back');

# a copy, and a move
succeeds('CREATE DATABASE copy TEMPLATE app', 'CREATE DATABASE TEMPLATE');
runs_again('app', 'copy');
is($node->safe_psql('copy', q{SELECT count(*) FROM stent.task}), 2, 'the copy has the tasks');
my $place = PostgreSQL::Test::Utils::tempdir();
$node->safe_psql('postgres', "CREATE TABLESPACE place LOCATION '$place'");
succeeds('ALTER DATABASE app SET TABLESPACE place', 'ALTER DATABASE SET TABLESPACE');
runs_again('app', 'move');
succeeds('ALTER DATABASE app CONNECTION LIMIT 50', 'other changes need no empty database');
ends('app', 'after all that');

# a copy does not run its tasks by itself
SKIP:
{
	skip 'stent.adopt() does not exist yet, so a copy is not told from its original', 5
	  if $node->safe_psql('app', q{SELECT count(*) FROM pg_proc WHERE pronamespace = 'stent'::regnamespace AND proname = 'adopt'}) == 0;
	succeeds('ALTER DATABASE copy RENAME TO moved', 'the copy gets a name that is listed');
	comes($node, q{SELECT count(*) FROM pg_stat_activity WHERE datname = 'moved' AND backend_type = 'stent scheduler'}, 'its scheduler goes', expected => 0);
	comes($node, q{SELECT count(*) FROM stent.dispatch('work')}, 'it takes tasks', expected => 1, database => 'moved');
	is($node->safe_psql('moved', q{SELECT count(*) FILTER (WHERE state = 'ready') FROM stent.tasks WHERE finished_at IS NULL}), 3, 'but runs none');
	$node->safe_psql('moved', 'SELECT stent.adopt()');
	runs_again('moved', 'adopted');
	succeeds('ALTER DATABASE moved RENAME TO copy', 'and back');
}
succeeds('DROP DATABASE copy', 'DROP DATABASE of a copy');

# ALTER EXTENSION and DROP EXTENSION under running tasks
busy('app', 'ALTER EXTENSION');
my $inside = $node->background_psql('app', on_error_stop => 0);
sub inside
{
	my ($sql, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$inside->{stderr} = '';
	$inside->query("SET client_min_messages = error; SET statement_timeout = '6s'");
	$inside->query($_) for split(/;\s*/, $sql);
	is($inside->{stderr}, '', $name);
	return;
}
inside('CREATE FUNCTION more() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$; ALTER EXTENSION stent ADD FUNCTION more(); ALTER EXTENSION stent DROP FUNCTION more()', 'ALTER EXTENSION');
runs_again('app', 'ALTER EXTENSION');
inside('ALTER EXTENSION stent UPDATE', 'ALTER EXTENSION UPDATE');
runs_again('app', 'ALTER EXTENSION UPDATE');
inside('BEGIN; DROP EXTENSION stent; ROLLBACK', 'DROP EXTENSION, rolled back');
runs_again('app', 'DROP EXTENSION, rolled back');
inside('BEGIN; SAVEPOINT s; DROP EXTENSION stent; ROLLBACK TO s; COMMIT', 'DROP EXTENSION, rolled back to a savepoint');
runs_again('app', 'DROP EXTENSION, rolled back to a savepoint');
my $old = in_app('SELECT count(*) FROM stent.task');
is($old, 2, 'the tasks are all there');

my $again = q{CREATE EXTENSION stent; SELECT stent.register('work', 'work(int)', retry => '{"initial_delay": "0.01s", "max_attempts": 2}'); SELECT stent.register('long', 'long()'); TRUNCATE effect};
inside("BEGIN; DROP EXTENSION stent; $again; SELECT count(stent.dispatch('work')) FROM generate_series(1, 200); ROLLBACK", 'DROP and CREATE in one transaction, rolled back');
runs_again('app', 'DROP and CREATE, rolled back');
inside("BEGIN; DROP EXTENSION stent; $again; SELECT count(stent.dispatch('work')) FROM generate_series(1, 200); COMMIT", 'DROP and CREATE in one transaction');
comes($node, q{SELECT count(*) FROM stent.tasks WHERE state = 'completed'}, 'its tasks run', expected => 200, database => 'app');
busy('app', 'DROP EXTENSION');
inside('DROP EXTENSION stent', 'DROP EXTENSION');
comes($node, q{SELECT count(*) FROM pg_stat_activity WHERE datname = 'app' AND backend_type LIKE 'stent %'}, 'nobody stays', expected => 0);
inside($again, 'CREATE EXTENSION');
busy('app', 'CREATE EXTENSION');
$inside->quit;
ends('app', 'CREATE EXTENSION');

busy('app', 'DROP DATABASE');
succeeds('DROP DATABASE app', 'DROP DATABASE');
succeeds('CREATE DATABASE app', 'a database of the same name');
install($node, 'app');
in_app(q{SELECT stent.dispatch('work')});
all_end($node, 'its tasks run', database => 'app');
$node->safe_psql('postgres', q{SELECT stent.dispatch('work')});
all_end($node, 'and those of other databases');
books_balance($node, $_, [], "the books of $_ balance") for 'postgres', 'app';
$session->quit;
$node->stop;

done_testing();
