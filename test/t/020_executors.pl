# Executors: what is dispatched runs by itself, as the right role, with what the
# role's sessions have; slots are shared; an idle server is idle.
#
# Everything is waited for as a state, for much less than the five minutes after
# which the backstop would find what a wake-up missed.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use PostgreSQL::Test::Utils;
use Stent;
use Test::More;
use Time::HiRes qw(usleep);

my $node = stent_node('main', conf => "stent.databases = 'postgres, second'\nstent.max_executors = 4");
$node->start;

sub sql { return $node->safe_psql('postgres', shift) }
sub as { my ($role, $sql) = @_; return sql("SET SESSION AUTHORIZATION $role; $sql") }
sub dispatch { return sql('SELECT ' . join(', ', map { "stent.dispatch($_)" } @_)) }
sub dispatch_as { my ($role, @tasks) = @_; return as($role, 'SELECT ' . join(', ', map { "stent.dispatch($_)" } @tasks)) }
sub reload { sql("ALTER SYSTEM SET $_[0]"); $node->reload; return }
sub ends { my ($id, $name) = @_; return comes($node, "SELECT state FROM stent.tasks WHERE id = $id", $name, expected => 'completed') }

sub add_role
{
	my ($role, $options) = @_;

	sql("CREATE ROLE $role " . ($options // 'LOGIN') . "; SELECT stent.grant_usage('$role')");
	return;
}

# Has the scheduler read the tables again, as it does every five minutes, and
# whenever a prepared transaction with tasks ends.
sub read_again
{
	sql(q{BEGIN; SELECT stent.dispatch('work'); PREPARE TRANSACTION 'again'; COMMIT PREPARED 'again'});
	return;
}

# What the expression is in an executor of the role; it took one attempt.
sub told_to
{
	my ($role, $expression, $expected, $name) = @_;
	my $id = dispatch_as($role, "'tell', jsonb_build_object('expression', \$\$$expression\$\$)");

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	comes($node, "SELECT concat_ws('|', state, attempt, result #>> '{}') FROM stent.tasks WHERE id = $id", $name, expected => "completed|1|$expected");
	return;
}

# CREATE EXTENSION after the start
comes($node, q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'stent %'}, 'without the extension there is the launcher', expected => 1);
install($node, 'postgres');
my $id = dispatch(q{'work'});
ends($id, 'a task starts by itself after CREATE EXTENSION');
$id = dispatch(q{'work', delay => '500ms'});
ends($id, 'a delayed task starts by itself');
is(sql("SELECT started_at >= due_at FROM stent.tasks WHERE id = $id"), 't', 'and not too early');
$id = dispatch(q{'work', '{"n": 50}'});
ends($id, 'a retry comes by itself');
is(sql("SELECT attempt FROM stent.tasks WHERE id = $id"), 2, 'as the second attempt');
sql(q{SELECT stent.register('abroad')});
$id = dispatch(q{'abroad', max_duration => '300ms'});
comes($node, "SELECT state FROM stent.tasks WHERE id = $id", 'a deadline passes by itself', expected => 'timed_out');

# An idle server does nothing: no transaction, no change of state.
sql(q{CREATE DATABASE observer});
comes($node, q{SELECT bool_and(state = 'idle') AND count(*) >= 3 FROM pg_stat_activity WHERE backend_type LIKE 'stent %'}, 'all processes become idle');
my $activity = q{SELECT string_agg(format('%s %s %s %s', pid, backend_type, state, state_change), E'\n' ORDER BY pid),
	(SELECT pg_stat_get_db_xact_commit(oid) + pg_stat_get_db_xact_rollback(oid) FROM pg_database WHERE datname = 'postgres')
	FROM pg_stat_activity WHERE backend_type LIKE 'stent %'};
usleep(1_100_000);    # sessions report what they did at most so much later
my $before = $node->safe_psql('observer', $activity);
usleep(3_000_000);
is($node->safe_psql('observer', $activity), $before, 'nothing happens in an idle server');
is($node->safe_psql('observer', q{SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE backend_type LIKE 'stent %'}), 0, 'nor is anything locked');

# What is undone wakes nobody.
$before = $node->safe_psql('observer', $activity);
sql(q{
	BEGIN;
	SAVEPOINT s;
	SELECT stent.dispatch('work'), stent.dispatch('work', delay => '1ms');
	ROLLBACK TO s;
	COMMIT;
	BEGIN;
	SELECT stent.dispatch('work'), stent.dispatch('work', delay => '1ms');
	ROLLBACK;
	DO $$ BEGIN PERFORM stent.dispatch('work'); RAISE 'undone'; EXCEPTION WHEN raise_exception THEN NULL; END $$});
is($node->safe_psql('observer', $activity) =~ s/\|.*//sr, $before =~ s/\|.*//sr, 'a dispatch that is undone wakes nobody');
is(sql(q{SELECT count(*) FROM stent.task}), 0, 'and leaves nothing');
$id = sql(q{
	BEGIN;
	SELECT stent.dispatch('work');
	SAVEPOINT s;
	DO $$ BEGIN PERFORM stent.dispatch('work'); END $$;
	ROLLBACK TO s;
	COMMIT});
ends($id, 'what was dispatched before the savepoint runs');
is(sql(q{SELECT count(*) FROM stent.task}), 0, 'what came after it is gone');

# idle shutdown, then cold start
reload(q{stent.idle_timeout = '100ms'});
comes($node, q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'stent executor'}, 'executors without work go', expected => 0);
$id = dispatch(q{'work'});
ends($id, 'and another one starts');
comes($node, q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'stent executor'}, 'and goes', expected => 0);
reload(q{stent.idle_timeout = '60s'});

# stent.max_executors, with one role that holds a task and others that wait
add_role("r$_") for 1 .. 50;
my $holding = q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted};
my $gate = $node->background_psql('postgres');
$gate->query_safe('SELECT pg_advisory_lock(1)');
my @held = map { dispatch_as("r$_", q{'hold', '{"n": 1}'}) } 1 .. 8;
comes($node, $holding, 'four executors run four tasks of eight roles', expected => 4);
is(scalar(pids($node, 'executor')), 4, 'no more of them');
reload('stent.max_executors = 7');
comes($node, $holding, 'seven after the setting was raised', expected => 7);
reload('stent.max_executors = 2');
my $late = dispatch_as('r9', q{'work'});
is(sql($holding), 7, 'lowering it interrupts nobody');
$gate->query_safe('SELECT pg_advisory_unlock(1)');
ends($_, 'a held task ends') for @held;
ends($late, 'and so does one that came late');
comes($node, q{SELECT count(*) <= 2 FROM pg_stat_activity WHERE backend_type = 'stent executor'}, 'two executors are left');
reload('stent.max_executors = 0');
comes($node, q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'stent executor'}, 'none with 0', expected => 0);
$id = dispatch(q{'work'});
reload('stent.max_executors = 3');
ends($id, 'what waited starts when the setting is raised');

# Executors that do nothing make room for a role that has more than enough.
ends($_, 'an executor becomes idle') for map { dispatch_as("r$_", q{'work'}) } 11, 12;
$gate->query_safe('SELECT pg_advisory_lock(1)');
@held = map { dispatch_as('r13', q{'hold', '{"n": 1}'}) } 1 .. 3;
comes($node, $holding, 'the role gets their slots', expected => 3);
$gate->query_safe('SELECT pg_advisory_unlock(1)');
ends($_, 'its tasks end') for @held;

# One role floods, fifty others get their turn.
add_role('flood');
as('flood', q{SELECT count(*) FROM stent.dispatch_many('tell', array_fill('{"expression": "pg_sleep(0.004)"}'::jsonb, ARRAY[5000]))});
comes($node, q{SELECT count(*) = current_setting('stent.max_executors')::int FROM pg_stat_activity
	WHERE backend_type = 'stent executor' AND usename = 'flood'}, 'the flood has all executors');
sql(join('', map { "SET SESSION AUTHORIZATION r$_; SELECT count(stent.dispatch('work', jsonb_build_object('n', n))) FROM generate_series(1, 4) n; RESET SESSION AUTHORIZATION;" } 1 .. 50));
all_end($node, 'flood and others end', patience => 120);
is(sql(q{SELECT count(*) FILTER (WHERE role LIKE 'r%' AND function = 'work' AND finished_at < (SELECT max(finished_at) FROM stent.tasks WHERE role = 'flood'))
		FROM stent.tasks WHERE created_at > (SELECT min(created_at) FROM stent.tasks WHERE role = 'flood')}),
	200, 'no role waited until the flood was over');
is(sql(q{SELECT count(*) FROM stent.tasks WHERE role = 'flood' AND (state, attempt) = ('completed', 1)}), 5000, 'the flood ended, uncharged');

# a role that cannot log in
add_role('nologin');
$id = sql(q{BEGIN; SET ROLE nologin; SELECT stent.dispatch('work'); RESET ROLE; ALTER ROLE nologin NOLOGIN; COMMIT});
ends(dispatch_as('r1', q{'work'}), 'others go on');
is(sql("SELECT state, attempt FROM stent.tasks WHERE id = $id"), $node->pg_version->major < 17 ? 'ready|0' : 'completed|1',
	'a task of a role without LOGIN waits, before PostgreSQL 17');
sql(q{ALTER ROLE nologin LOGIN});
ends($id, 'it runs when the role may log in');

# a role that goes, and one that comes with the same name; a role that is renamed
add_role('gone');
my $id2;
($id, $id2) = split(/\n/, sql(q{BEGIN; SET ROLE gone; SELECT stent.dispatch('work'); SELECT stent.dispatch('work', delay => '1ms');
	RESET ROLE; ALTER ROLE gone NOLOGIN; COMMIT}));
sql(q{DROP OWNED BY gone; DROP ROLE gone});
ends(dispatch_as('r1', q{'work'}), 'others go on when a role is dropped');
add_role('gone');
my $id3 = dispatch_as('gone', q{'work'});
ends($id3, 'a new role of the name has its own tasks run');
read_again();
ends($_, 'and then those of the old one') for $id, $id2;

add_role('old');
$id = sql(q{BEGIN; SET ROLE old; SELECT stent.dispatch('work'); RESET ROLE; ALTER ROLE old NOLOGIN; COMMIT});
sql(q{ALTER ROLE old RENAME TO new; ALTER ROLE new LOGIN});
ends(dispatch_as('new', q{'work'}), 'a renamed role runs what it sends');
is(sql("SELECT state, attempt, role FROM stent.tasks WHERE id = $id"), 'ready|0|old', 'but not what was sent under the old name');
sql(q{ALTER ROLE new RENAME TO old});
read_again();
ends($id, 'which runs under its old name');

# what a role's sessions have, its handlers have
add_role('tuned');
sql(q{ALTER ROLE tuned SET work_mem = '7MB'; ALTER ROLE tuned IN DATABASE postgres SET search_path = 'somewhere'; ALTER DATABASE postgres SET extra_float_digits = 0});
told_to('tuned', q{concat_ws(',', current_setting('work_mem'), current_setting('search_path'), current_setting('extra_float_digits'), session_user, current_user)},
	'7MB,somewhere,0,tuned,tuned', 'settings and identity of the role');
sql(q{ALTER DATABASE postgres RESET extra_float_digits});
add_role('reader');
sql(q{ALTER ROLE reader SET default_transaction_read_only = on});
$id = sql(q{SET SESSION AUTHORIZATION reader; SET default_transaction_read_only = off; SELECT stent.dispatch('work')});
ends($id, 'tasks of a role whose transactions are read only');
add_role('other');
add_role('disguised');
sql(q{GRANT other TO disguised; ALTER ROLE disguised SET role = 'other'});
told_to('disguised', q{concat_ws(',', session_user, current_user)}, 'disguised,disguised', 'a role that becomes another when it logs in');
add_role('strict');
sql(q{ALTER ROLE strict SET default_transaction_isolation = 'serializable'});
told_to('strict', q{current_setting('transaction_isolation')}, 'serializable', 'isolation of the role');
as('strict', q{SELECT count(*) FROM stent.dispatch_many('work', (SELECT array_agg(jsonb_build_object('n', 1)) FROM generate_series(1, 300)))});
all_end($node, 'tasks of a serializable role end');

# a handler that ends its session
sql(q{
	CREATE SEQUENCE deaths;
	GRANT USAGE ON deaths TO PUBLIC;
	CREATE FUNCTION die_once() RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		IF nextval('public.deaths') = 1 THEN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(60); END IF;
		INSERT INTO public.effect VALUES (stent.task_id(), stent.attempt());
	END $$;
	SELECT stent.register('die_once', 'die_once()');
	SELECT stent.register('fails', 'tell(text)', retry => '{"max_attempts": 1}')});
$id = dispatch_as('r1', q{'die_once'});
ends($id, 'a task whose session was ended runs again');
is(sql("SELECT attempt FROM stent.tasks WHERE id = $id"), 1, 'uncharged');
$id = dispatch_as('r1', q{'fails', '{"expression": "1/0"}'});
comes($node, "SELECT state || ' ' || (error ->> 'code') FROM stent.tasks WHERE id = $id", 'an error is recorded', expected => 'failed 22012');
ends(dispatch_as('r1', q{'work'}), 'and its executor goes on');

# session locks and prepared statements end with the task, not with the executor
ends(dispatch_as('r1', q{'tell', '{"expression": "pg_advisory_lock(77)"}'}), 'a handler takes a session lock');
comes($node, q{SELECT pg_try_advisory_lock(77) FROM pg_stat_activity WHERE usename = 'r1' AND backend_type = 'stent executor' AND state = 'idle'},
	'which is free when it has ended');

# notifications
my $listener = $node->background_psql('postgres');
$listener->query_safe('LISTEN news');
ends(dispatch_as('r1', q{'tell', '{"expression": "pg_notify(''news'', ''from '' || session_user)"}'}), 'a handler notifies');
like($listener->query('SELECT 1'), qr/notification "news" with payload "from r1"/, 'and the listener is told');
$listener->quit;

# prepared transactions
my $session = $node->background_psql('postgres');
$session->query_safe('BEGIN');
$id = $session->query_safe(q{SELECT stent.dispatch('work')});
$id2 = $session->query_safe(q{SELECT stent.dispatch('work', delay => '1ms')});
$session->query_safe(q{PREPARE TRANSACTION 'one'});
ends(dispatch(q{'work'}), 'others go on');
is(sql("SELECT count(*) FROM stent.tasks WHERE id IN ($id, $id2)"), 0, 'a prepared dispatch is not there');
sql(q{COMMIT PREPARED 'one'});
ends($_, 'once committed it runs') for $id, $id2;
# the same while an older task of the lane is running
$gate->query_safe('SELECT pg_advisory_lock(1)');
my $running = dispatch(q{'hold', '{"n": 1}'});
comes($node, $holding, 'a task is running', expected => 1);
$id = $session->query_safe(q{BEGIN; SELECT stent.dispatch('hold', '{"n": 2}'); PREPARE TRANSACTION 'two'});
sql(q{COMMIT PREPARED 'two'});
ends($id, 'a prepared one is not held up by it');
$gate->query_safe('SELECT pg_advisory_unlock(1)');
ends($running, 'which ends, too');
# tasks that a prepared transaction has taken and gives back
reload('stent.max_executors = 0');
comes($node, q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'stent executor'}, 'no executor', expected => 0);
$id = dispatch(q{'work'});
$session->query_safe(q{BEGIN; SELECT stent.run(); PREPARE TRANSACTION 'three'});
reload('stent.max_executors = 3');
ends(dispatch(q{'tell', '{"expression": "1"}'}), 'others run');
is(sql("SELECT state FROM stent.tasks WHERE id = $id"), 'ready', 'the prepared one does not');
sql(q{ROLLBACK PREPARED 'three'});
ends($id, 'until it is given back');
# and across a restart
$id = $session->query_safe(q{BEGIN; SELECT stent.dispatch('work'); PREPARE TRANSACTION 'four'});
$_->quit for $session, $gate;
$node->restart;
ends(dispatch(q{'work'}), 'executors are back after a restart');
sql(q{COMMIT PREPARED 'four'});
ends($id, 'what was prepared before the restart runs');

# two databases; one that is listed and made later
sql(q{CREATE DATABASE second});
install($node, 'second');
my $both = q{SELECT count(*) FROM stent.dispatch_many('tell', array_fill('{"expression": "current_database()"}'::jsonb, ARRAY[500]))};
$node->safe_psql($_, $both) for 'postgres', 'second';
all_end($node, "all tasks of $_ end", database => $_) for 'postgres', 'second';
is($node->safe_psql('second', q{SELECT DISTINCT state, result, count(*) FROM stent.tasks GROUP BY 1, 2}), 'completed|"second"|500', 'in their database');
books_balance($node, $_, [], "the books of $_ balance") for 'second';

# start() and stop()
sql(q{CREATE DATABASE third});
install($node, 'third');
$id = $node->safe_psql('third', q{SELECT stent.dispatch('work')});
is(value($node, 'third', 'SELECT stent.start(), stent.start()'), '1|0', 'start() serves a database that is not listed');
all_end($node, 'its tasks run', database => 'third');
is(value($node, 'third', 'SELECT stent.stop(), stent.stop()'), '1|0', 'stop() ends it');
comes($node, q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'stent %' AND datname = 'third'}, 'nobody is left there', expected => 0);
$node->safe_psql('third', q{SELECT stent.dispatch('work')});
ends(dispatch(q{'work'}), 'other databases go on');
is($node->safe_psql('third', 'SELECT count(*) FROM stent.task'), 1, 'there nothing runs');
$node->safe_psql('third', 'SELECT stent.start()');
all_end($node, 'start() goes on', database => 'third');
books_balance($node, 'third', [], 'the books of third balance');

is(sql(q{SELECT string_agg(format('%s %s %s', function, state, attempt), ', ' ORDER BY id) FROM stent.tasks WHERE state <> 'completed' OR attempt <> 1}),
	'work completed 2, abroad timed_out 0, fails failed 1', 'nobody else was charged');
books_balance($node, 'postgres', [], 'the books balance');
$node->stop;

# without preload: executors that poll
my $plain = stent_node('plain', preload => 0);
$plain->start;
install($plain, 'postgres');
$plain->safe_psql('postgres', q{SELECT stent.dispatch('work', jsonb_build_object('n', n)) FROM generate_series(1, 100) n});
is($plain->safe_psql('postgres', 'SELECT stent.start(2)'), 2, 'start() without preload');
all_end($plain, 'tasks run');
is(scalar(pids($plain, 'executor')), 2, 'by two executors');
is(scalar(pids($plain, $_)), 0, "and no $_") for 'scheduler', 'launcher';
$plain->safe_psql('postgres', q{SELECT stent.dispatch('work', delay => '10ms')});
all_end($plain, 'a delayed one, too');
kill('KILL', (pids($plain, 'executor'))[0]);
comes($plain, q{SELECT count(*) FROM stent.dispatch('work')}, 'the server is back after a crash', expected => 1);
all_end($plain, 'and tasks run');
is($plain->safe_psql('postgres', 'SELECT stent.start()'), 1, 'another executor');
comes($plain, q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'stent executor'}, 'beside those who came back', expected => 3);
is($plain->safe_psql('postgres', 'SELECT stent.stop()'), 3, 'stop() without preload');
comes($plain, q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'stent executor'}, 'executors go', expected => 0);
books_balance($plain, 'postgres', [], 'the books of a server without preload balance');
$plain->stop;

done_testing();
