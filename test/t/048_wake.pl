# Waiting workers are woken by NOTIFY: when their queue has work, whatever made it
# claimable, and at no other time; once a wait; by the scheduler, whatever happens to it.
#
# What was sent is read by a session that listens, up to a notification that is known
# to come after all of it.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use PostgreSQL::Test::Utils;
use Stent;
use Test::More;
use Time::HiRes qw(usleep);

my $node = stent_node('wake', conf => "stent.max_executors = 2\nstent.idle_timeout = '1h'");
$node->start;
install($node, 'postgres');
sub sql { return $node->safe_psql('postgres', shift) }
sub dispatch { return sql('SELECT ' . join(', ', map { "stent.dispatch($_)" } @_)) }
sub waits { return sql("SELECT stent.worker_wait('{$_[0]}')") }
my $scheduler = q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'stent scheduler'};
my $served = q{SELECT stent.worker_wait('{}') > '1s'};
my $patience = 40;

my $ear = $node->background_psql('postgres');
$ear->query_safe('LISTEN stent_work');
my @heard;

# Reads on until this payload has come.
sub listen_for
{
	my ($payload) = @_;
	my $end = time + $patience;

	until (grep { $_ eq $payload } @heard)
	{
		die "no \"$payload\" after " . join(', ', map { "\"$_\"" } @heard) if time > $end;
		my $out = $ear->query('SELECT 1');
		push @heard, $1 // '' while $out =~ /notification "stent_work"(?: with payload "(.*?)")? received/g;
		usleep(10_000);
	}
	return;
}

# A test: since the last time these payloads were sent, and no others. The first of
# them may take its time, the others come before it.
sub told
{
	my ($expected, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	listen_for($expected->[0]) if @$expected;
	waits('fence');
	dispatch(q{'fence'});
	listen_for('fence');
	is_deeply([ sort grep { $_ ne 'fence' } @heard ], [ sort @$expected ], $name);
	@heard = ();
	return;
}

# A test: a wait for the queue ends by what is done, and does so once.
sub woken
{
	my ($queue, $expected, $name, @causes) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$queue eq '*' ? sql('SELECT stent.worker_wait()') : waits($queue);
	$_->() for @causes;
	return told($expected, $name);
}

sql(q{
	CREATE ROLE other LOGIN;
	SELECT stent.grant_usage('other');
	SELECT stent.register('ext', queue => 'q'), stent.register('fence', queue => 'fence')});
comes($node, $served, 'the database is served');
told([], 'there was nothing to tell');

# by dispatch, to the queue, once
is(waits('q'), '00:05:00', 'where somebody tells a wait may be long');
dispatch(q{'ext', queue => 'r'});
told([], 'work of another queue wakes nobody');
dispatch(q{'ext'});
told(['q'], 'work of the queue does, though the wait was before');
dispatch(q{'ext'});
told([], 'once');
woken('q', ['q'], 'many in one transaction are one', sub { dispatch(q{'ext'}, q{'ext', priority => 5}) });
woken('q', ['q'], 'as those of another role', sub { sql(q{SET SESSION AUTHORIZATION other; SELECT stent.dispatch('ext')}) });
woken('q,r', [ 'q', 'r' ], 'each queue is told', sub { dispatch(q{'ext', queue => 'r'}, q{'ext'}) });
woken('*', ['s'], 'any queue for who waits for any', sub { dispatch(q{'ext', queue => 's'}) });
waits('r');
woken('*', ['s'], 'but those who wait for another are not told', sub { dispatch(q{'ext', queue => 's'}) });
dispatch(q{'ext', queue => 'r'});
told(['r'], 'before it is their turn');
woken('q', [], 'a rollback tells nobody', sub { sql(q{BEGIN; SELECT stent.dispatch('ext'); ROLLBACK}) },
	sub { sql(q{BEGIN; SAVEPOINT s; SELECT stent.dispatch('ext'); ROLLBACK TO s; COMMIT}) });
sql(q{BEGIN; SAVEPOINT s; SELECT stent.dispatch('ext'); RELEASE s; SAVEPOINT s; SELECT stent.dispatch('work'); ROLLBACK TO s; COMMIT});
told(['q'], 'a savepoint that is released does');
sql(q{BEGIN; SELECT stent.worker_wait('{q}'); ROLLBACK});
dispatch(q{'ext'});
told(['q'], 'a wait counts whatever becomes of its transaction');
woken('!', [''], 'a queue with the name of another message is told to everybody', sub { dispatch(q{'ext', queue => '!'}) });
waits(join(',', map { "many$_" } 1 .. 200));
dispatch(q{'ext', queue => 'many200'});
told([''], 'and of more queues than are remembered');
woken('many1', ['many1'], 'which is over then', sub { dispatch(q{'ext', queue => 'many1'}) });

# executors and workers leave each other alone
my $idle = q{SELECT string_agg(pid || ' ' || state_change, ',' ORDER BY pid) FROM pg_stat_activity WHERE backend_type = 'stent executor'};
my $id = dispatch(q{'work', queue => 'q'});
comes($node, "SELECT state FROM stent.tasks WHERE id = $id", 'an executor runs', expected => 'completed');
comes($node, q{SELECT bool_and(state = 'idle') FROM pg_stat_activity WHERE backend_type = 'stent executor'}, 'and idles');
my $before = sql($idle);
woken('q', ['q'], 'a worker is told of its work', sub { dispatch(q{'ext'}) });
is(sql($idle), $before, 'an executor is not');
woken('q', [], 'nor a worker of what executors run', sub { dispatch(q{'work', queue => 'q'}) });
dispatch(q{'ext'});
told(['q'], 'for that it goes on waiting');

# by time, by the scheduler
woken('q', ['q'], 'a delayed task wakes when it is due', sub { $id = dispatch(q{'ext', delay => '200ms'}) });
is(sql("SELECT state FROM stent.tasks WHERE id = $id"), 'ready', 'and is claimable then');

# by what was held back, or was elsewhere
sql(q{SELECT stent.pause('p')});
woken('p', ['p'], 'dispatch to a paused queue tells', sub { dispatch(q{'ext', queue => 'p'}) });
woken('p', [''], 'resume() tells everybody', sub { sql(q{SELECT stent.resume('p')}) });
$id = dispatch(q{'ext', queue => 'r'});
woken('q', ['q'], 'a task that moves into the queue', sub { sql("SELECT stent.reschedule($id, queue => 'q')") });
$id = dispatch(q{'ext', delay => '1h'});
woken('q', ['q'], 'one that is made ready', sub { sql("SELECT stent.reschedule($id, delay => '0')") });
$id = dispatch(q{'ext'});
my $session = $node->background_psql('postgres');
$session->query_safe("BEGIN; SELECT stent.cancel($id)");
woken('q', ['q'], 'one that was taken and is given back by a rollback', sub { $session->query_safe('ROLLBACK') });
$session->query_safe("BEGIN; SAVEPOINT s; SELECT stent.cancel($id)");
woken('q', ['q'], 'or by that of a savepoint', sub { $session->query_safe('ROLLBACK TO s') });
$session->query_safe("COMMIT; SELECT stent.cancel($id)");

# by another registration: who runs it changes
sql(q{SELECT stent.register('fickle', queue => 'f')});
$id = dispatch(q{'fickle'});
woken('q', [''], 'register() tells everybody', sub { sql(q{SELECT stent.register('fickle', 'work(int)', queue => 'f')}) });
comes($node, "SELECT state FROM stent.tasks WHERE id = $id", 'and executors, who run it now', expected => 'completed');
sql(q{SELECT stent.pause('f')});
dispatch(q{'fickle'});
sql(q{SELECT stent.worker_wait('{f}')});
sql(q{SELECT stent.register('fickle', queue => 'f')});
told([''], 'and workers the other way round');

# and what was dispatched by a transaction that did not know of it
$session->query_safe(q{BEGIN; SELECT stent.dispatch('fickle')});
sql(q{SELECT stent.register('fickle', 'work(int)', queue => 'f')});
waits('f');
sql(q{SELECT stent.resume('f')});
told([''], 'by resume()');
$session->query_safe('COMMIT');
comes($node, q{SELECT count(*) FROM stent.tasks WHERE function = 'fickle' AND state = 'completed'}, 'executors are told of it', expected => 3);
$session->query_safe(q{BEGIN; SELECT stent.dispatch('fickle')});
sql(q{SELECT stent.register('fickle', queue => 'f')});
waits('f');
$session->query_safe('COMMIT');
told([''], 'and workers');
woken('f', ['f'], 'once', sub { $session->query_safe(q{SELECT stent.dispatch('fickle')}) });

# prepared transactions, which nobody announces
sql(q{BEGIN; SELECT stent.dispatch('ext'); PREPARE TRANSACTION 'p'});
woken('q', [ '', '!' ], 'their end tells everybody everything', sub { sql(q{COMMIT PREPARED 'p'}) });

# who cannot be told
is(sql(q{BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT stent.worker_wait('{q}')}), '00:00:01', 'a transaction that would not see the work cannot wait');
dispatch(q{'ext'});
told([], 'and does not');
waits('q');
sql(q{SELECT stent.stop()});
listen_for('');
is(waits('q'), '00:00:01', 'who waits is told when nobody will tell any more');
comes($node, $scheduler, 'the scheduler goes', expected => '');
@heard = ();
sql(q{SELECT stent.start()});
listen_for('!');
is_deeply([ sort @heard ], [ '', '!' ], 'everybody is told when it is back');
@heard = ();
comes($node, $served, 'and waits may be long again');

# a scheduler that is lost
waits('q');
my $pid = sql($scheduler);
kill('STOP', $pid);
dispatch(q{'ext'});
sql("SELECT pg_terminate_backend($pid)");
kill('CONT', $pid);
listen_for('');
comes($node, "SELECT ($scheduler) <> $pid", 'another scheduler comes');
told([ '', '!' ], 'and tells everybody');

# a notification that fails
waits('q');
sql(q{ALTER SYSTEM SET stent.fault = 'wake_before_notify:error'});
$node->reload;
my $log = -s $node->logfile;
dispatch(q{'ext'});
$node->wait_for_log(qr/fault injected at "wake_before_notify"/, $log);
sql(q{ALTER SYSTEM RESET stent.fault});
$node->reload;
told([''], 'is made up for');
is(sql("SELECT ($scheduler) = pid FROM pg_stat_activity WHERE backend_type = 'stent scheduler'"), 't', 'by the same scheduler');

# An idle server does nothing, though workers wait.
$_->quit for $ear, $session;
sql(q{SELECT stent.worker_wait(), stent.worker_wait('{q}')});
sql(q{CREATE DATABASE observer});
comes($node, q{SELECT bool_and(state = 'idle') FROM pg_stat_activity WHERE backend_type LIKE 'stent %'}, 'all processes are idle');
my $activity = q{SELECT string_agg(format('%s %s %s %s', pid, backend_type, state, state_change), E'\n' ORDER BY pid),
	(SELECT pg_stat_get_db_xact_commit(oid) + pg_stat_get_db_xact_rollback(oid) FROM pg_database WHERE datname = 'postgres')
	FROM pg_stat_activity WHERE backend_type LIKE 'stent %'};
usleep(1_100_000);    # sessions report what they did at most so much later
$before = $node->safe_psql('observer', $activity);
usleep(3_000_000);
is($node->safe_psql('observer', $activity), $before, 'nothing happens in an idle server');
$node->stop;

done_testing();
