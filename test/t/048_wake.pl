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
my $served = q{SELECT stent.worker_wait('{nothing}') > '1s'};
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

# by workers: what they give back, or end
sub claim { my ($queue, $lease) = @_; return split(/\|/, sql(sprintf(q{SELECT task_id, token FROM stent.claim('w', 10, queues => '{%s}', lease => '%s')}, $queue, $lease // '1m'))) }
sql(q{SELECT stent.register('lease', queue => 'lease', retry => '{"initial_delay": "0.1s", "max_attempts": 2}', max_duration => '1h')});
dispatch(q{'lease'});
my ($task, $token) = claim('lease');
woken('lease', ['lease'], 'a task that is released', sub { sql("SELECT stent.release($task, $token)") });
($task, $token) = claim('lease');
woken('lease', ['lease'], 'a retry', sub { sql(qq{SELECT stent.fail($task, $token, '{"message": "no"}')}) });
($task, $token) = claim('lease');
woken('lease', [], 'no retry', sub { sql(qq{SELECT stent.fail($task, $token, '{"message": "no"}')}) });
dispatch(q{'lease'});
told(['lease'], 'until there is other work');
sql('SELECT stent.release_many(array_agg(task_id), array_agg(token)) FROM (SELECT * FROM stent.claim($$w$$, 10, queues => $${lease}$$)) c');
woken('lease', ['lease'], 'a replay', sub { sql("SELECT stent.replay($task)") });
woken('lease', ['lease'], 'a lease that runs out', sub { claim('lease', '100ms') });
$session->query_safe(q{BEGIN; SELECT stent.claim('w', 10, queues => '{lease}')});
woken('lease', ['lease'], 'a claim that is rolled back', sub { $session->query_safe('ROLLBACK') });
($task, $token) = claim('lease');
woken('q', ['!'], 'workers are told that a leased task is cancelled', sub { sql("SELECT stent.cancel($task)") });
sql("BEGIN; SAVEPOINT s; SELECT stent.cancel(task_id) FROM stent.claim('w', 10, queues => '{lease}'); ROLLBACK TO s; COMMIT");
told([], 'not if that is undone');
sql(q{SELECT stent.dispatch('lease', queue => 'brief', max_duration => '2s'); SELECT stent.claim('w', 10, queues => '{brief}')});
told(['!'], 'or timed out');
dispatch(q{'ext'});
told(['q'], 'which ends no wait for work');

# by a free place: whatever held tasks of workers back, they look
sql(q{SELECT stent.register('solo', queue => 'solo', max_concurrent => 1)});
dispatch(q{'solo'}, q{'solo'}, q{'solo'});
($task, $token) = claim('solo');
is(join(' ', claim('solo')), '', 'one of the function at a time');
woken('solo', [''], 'the next when it is done', sub { is(join(' ', claim('solo')), '', 'not before') }, sub { sql("SELECT stent.complete($task, $token)") });
claim('solo', '3s');
waits('solo');
is(join(' ', claim('solo')), '', 'again one');
listen_for('');
comes($node, q{SELECT count(*) = 1 FROM stent.claim('w', 10, queues => '{solo}')}, 'the next when its lease has run out');
@heard = ();
waits('solo');
is(join(' ', claim('solo')), '', 'no third');
sql(q{SELECT stent.register('solo', queue => 'solo', max_concurrent => 2)});
told([''], 'until the limit is raised');
sql(q{SELECT stent.register('keyed', queue => 'keyed')});
dispatch(q{'keyed', concurrency_key => 'k'}, q{'keyed', concurrency_key => 'k'});
($task, $token) = claim('keyed');
waits('keyed');
sql("SELECT stent.complete($task, $token)");
listen_for('keyed');
@heard = ();
is(scalar(my @next = claim('keyed')), 2, 'the next of a key');
sql(q{SELECT stent.register('rated', queue => 'rated', rate_limit => 1, rate_interval => '3s')});
dispatch(q{'rated'}, q{'rated'});
($task, $token) = claim('rated');
woken('rated', [''], 'and when a rate limit lets one start', sub { is(join(' ', claim('rated')), '', 'one has started') });
is(scalar(@next = claim('rated')), 2, 'which it does');

# but not by that of executors
sql(q{SELECT stent.register('one', 'hold(int)', max_concurrent => 1)});
$session->query_safe('SELECT pg_advisory_lock(1)');
sql(q{SELECT stent.dispatch('one', '{"n": 1}') FROM generate_series(1, 4); SET SESSION AUTHORIZATION other; SELECT stent.dispatch('one', '{"n": 1}') FROM generate_series(1, 4)});
comes($node, q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND NOT granted}, 'an executor holds a place', expected => 1);
waits('q');
$session->query_safe('SELECT pg_advisory_unlock(1)');
comes($node, q{SELECT count(*) FROM stent.tasks WHERE function = 'one' AND state = 'completed'}, 'all run', expected => 8);
told([], 'places of executors are none of the workers');
dispatch(q{'ext'});
told(['q'], 'who go on waiting');

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

# a promotion that fails, twice
waits('q');
for my $action ('error', 'error:1')
{
	$log = -s $node->logfile;
	sql("ALTER SYSTEM SET stent.fault = 'promote_after_take:$action'");
	$node->reload;
	dispatch(q{'ext', delay => '50ms'}) if $action eq 'error';
	$node->wait_for_log(qr/fault injected at "promote_after_take"/, $log);
}
sql(q{ALTER SYSTEM RESET stent.fault});
$node->reload;
told(['q'], 'is made up for, too');

# Clients that wait for what they dispatch, each served by a worker of its own which
# looks only when it is told: a wake-up that is lost would be the last one.
my $clients = 4;
my @clients;
my @workers;
for my $i (1 .. $clients)
{
	my $file = PostgreSQL::Test::Utils::tempdir() . "/client$i.sql";
	my $worker = $node->background_psql('postgres');

	append_to_file($file, "SELECT stent.dispatch('ext', queue => 'client$i') AS id \\gset\nSELECT stent.wait_for(:id, '${patience}s');\n" x 300);
	$worker->query_safe('LISTEN stent_work');
	push @workers, { psql => $worker, queue => "client$i", waits => $i % 2 ? "'{client$i}'" : '', look => 1 };
	push @clients, { file => $file, run => IPC::Run::start([ 'bash', '-c', 'psql -XAtq -v ON_ERROR_STOP=1 -f "$1" "$2" && touch "$1.done"; touch "$1.over"', '-', $file, $node->connstr('postgres') ], '<', '/dev/null', '>', '/dev/null') };
}
my $looks = 0;
while (grep { !-e "$_->{file}.over" } @clients)
{
	for my $worker (@workers)
	{
		my $sql = $worker->{look} ? <<SQL : 'SELECT 1';
SELECT stent.worker_wait($worker->{waits});
SELECT 'took ' || count(stent.complete(task_id, token)) FROM stent.claim('w', 10, queues => '{$worker->{queue}}');
SQL
		my $out = $worker->{psql}->query($sql);

		$looks += $worker->{look};
		$worker->{look} = $out =~ /took [1-9]|notification "stent_work"(?: with payload "(?:client.)")? received/ ? 1 : 0;
	}
}
$_->{run}->finish for @clients;
is(scalar(grep { -e "$_->{file}.done" } @clients), $clients, "no wake-up is lost ($looks looks)");
is(sql(q{SELECT count(*) FROM stent.tasks WHERE queue LIKE 'client%' AND state = 'completed'}), 300 * $clients, 'every task was done');
$_->{psql}->quit for @workers;

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
