# The file stent.state: which tasks were running in processes that died, and the
# mark of the data directory.
#
# Only the process that died leaves its task's note; bystanders, shutdowns and
# cancelled sessions leave none. A copy of the data directory has another mark.
# The file is read here as it lies on disk.
use strict;
use warnings;
use File::Copy;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'stent'
stent.databases = ''
restart_after_crash = on
autovacuum = off
wal_keep_size = '64MB'
});
$node->start;

# The file's header and its notes, as task/replays/attempt.
sub state_of
{
	my $file = slurp_file((shift // $node)->data_dir . '/stent.state');
	my (undef, $mark, $flags, $procs) = unpack('a8 H32 x24 L x4 L', $file);
	my @notes;

	for (my $at = 4096; $at < length $file; $at += 32)
	{
		my ($task, undef, $replays, $attempt) = unpack('q L l l', substr($file, $at, 32));
		push @{ $notes[ $at < 4096 + 1024 * 32 ? 0 : 1 ] }, "$task/$replays/$attempt" if $task != 0;
	}
	return { mark => $mark, flags => $flags, procs => $procs, pending => join(' ', @{ $notes[0] // [] }), running => join(' ', sort @{ $notes[1] // [] }) };
}

sub pending { return state_of()->{pending} }
sub running { return state_of()->{running} }

sub wait_until
{
	my ($what, $condition) = @_;

	for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		return 1 if $condition->();
		select(undef, undef, undef, 0.1);
	}
	die "waited in vain: $what";
}

my $first = state_of();
like($first->{mark}, qr/^[0-9a-f]{32}$/, 'a mark');
unlike($first->{mark}, qr/^0*$/, 'that was drawn');
is($first->{flags}, 0, 'not a standby');

$node->safe_psql('postgres', q{
	CREATE EXTENSION stent;
	CREATE FUNCTION careful_account() RETURNS int LANGUAGE c AS '$libdir/stent', 'stent_fault_careful_account';
	CREATE FUNCTION careful_settle() RETURNS void LANGUAGE c AS '$libdir/stent', 'stent_fault_careful_settle';
	CREATE TABLE rows AS SELECT n, repeat('x', 1000) AS pad FROM generate_series(1, 1000) n;
	ANALYZE rows;
	CREATE FUNCTION ok() RETURNS void LANGUAGE sql AS '';
	CREATE FUNCTION crash() RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		EXECUTE format('COPY (SELECT 1) TO PROGRAM ''kill -9 %s''', pg_backend_pid());
		PERFORM pg_sleep(600);
	END $$;
	CREATE FUNCTION hang() RETURNS void LANGUAGE sql AS 'SELECT pg_sleep(600)';
	CREATE FUNCTION hang(n int) RETURNS int LANGUAGE plpgsql PARALLEL SAFE AS $$ BEGIN PERFORM pg_sleep(600); RETURN n; END $$;
	CREATE FUNCTION hang_parallel() RETURNS void LANGUAGE plpgsql
		SET parallel_setup_cost = 0 SET parallel_tuple_cost = 0 SET min_parallel_table_scan_size = 0
		SET max_parallel_workers_per_gather = 2 SET parallel_leader_participation = off AS $$
	BEGIN PERFORM sum(hang(n)) FROM rows; END $$;
	SELECT stent.register('ok', 'ok()');
	SELECT stent.register('crash', 'crash()');
	SELECT stent.register('hang', 'hang()', priority => 10);
	SELECT stent.register('hang_parallel', 'hang_parallel()', priority => 20);
	CREATE VIEW live AS SELECT id, state, attempt, crashed, replays, position FROM stent.task;
});

sub sql { return $node->safe_psql('postgres', shift) }

sub restarted
{
	my ($log) = @_;

	$node->wait_for_log(qr/reinitializing.*ready to accept connections/s, $log);
}

# A session that runs one task and does not come back; its pid, once the note is there.
my @sessions;

sub start_running
{
	my ($id, $note) = @_;
	my $session = $node->background_psql('postgres', on_error_stop => 0);
	my $pid = $session->query('SELECT pg_backend_pid()');

	push @sessions, $session;
	$session->query_until(qr/running/, "\\echo running\nSELECT stent.run(1);\n");
	wait_until("a note of task $id", sub { running() =~ $note });
	return $pid;
}

# Sessions the server has ended.
sub forget_sessions
{
	$_->{run}->finish for @sessions;
	@sessions = ();
}

# notes come and go with the transaction
is(running(), '', 'nothing runs');
sql(q{SELECT stent.dispatch('ok')});
my $session = $node->background_psql('postgres');
my $id = sql(q{SELECT max(id) FROM live});
$session->query('BEGIN');
is($session->query('SELECT stent.run()'), 1, 'a task ran');
is(running(), "$id/0/0", 'its note lasts to the end of the transaction');
$session->query('ROLLBACK');
is(running(), '', 'a rollback erases it');
$session->query('SELECT stent.run()');
is(running(), '', 'so does a commit');
$session->quit;

# the process that dies leaves its note, the bystander none
my $hang = sql(q{SELECT stent.dispatch('hang')});
my $crash = sql(q{SELECT stent.dispatch('crash')});
my $log = -s $node->logfile;
start_running($hang, qr(^$hang/0/0$));
$node->psql('postgres', 'SELECT stent.run(1)');
restarted($log);
forget_sessions();
is(pending(), "$crash/0/0", 'the task that crashed the server is pending, the bystander is not');
is(running(), '', 'the notes are empty after the restart');
is(state_of()->{mark}, $first->{mark}, 'a crash keeps the mark');

# nobody's fault
start_running($hang, qr(^$hang/0/0$));
$node->stop('immediate');
forget_sessions();
is(running(), '', 'an immediate shutdown erases the note');
$node->start;
my $pid = start_running($hang, qr(^$hang/0/0$));
sql("SELECT pg_cancel_backend($pid)");
wait_until('a cancellation to erase the note', sub { running() eq '' });
$sessions[0]->quit;
@sessions = ();
$pid = start_running($hang, qr(^$hang/0/0$));
sql("SELECT pg_terminate_backend($pid)");
wait_until('a termination to erase the note', sub { running() eq '' });
forget_sessions();
start_running($hang, qr(^$hang/0/0$));
$node->stop('fast');
forget_sessions();
is(running(), '', 'a fast shutdown erases the note');
$node->start;
is(pending(), "$crash/0/0", 'none of them left anything');
is(state_of()->{mark}, $first->{mark}, 'restarts keep the mark');

# everything is killed at once
$pid = start_running($hang, qr(^$hang/0/0$));
my @others = split(/\n/, sql('SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()'));
kill 'STOP', $pid; # it must not leave in an orderly way once the postmaster is gone
$node->kill9;
kill 'KILL', @others;
forget_sessions();
my $tries = 10 * $PostgreSQL::Test::Utils::timeout_default;
until ($node->start(fail_ok => 1))
{
	die 'the server does not come back' if --$tries <= 0;
	$node->stop('fast', fail_ok => 1);
}
is(pending(), "$crash/0/0 $hang/0/0", 'what ran is pending, after what was');

# a parallel worker dies of its leader's task
my $parallel = sql(q{SELECT stent.dispatch('hang_parallel')});
$log = -s $node->logfile;
start_running($parallel, qr($parallel/0/0));
$node->poll_query_until('postgres', q{SELECT count(*) = 2 FROM pg_stat_activity WHERE backend_type = 'parallel worker' AND wait_event = 'PgSleep'}) or die;
is(running(), join(' ', ("$parallel/0/0") x 3), 'parallel workers note the task of their leader');
kill 9, sql(q{SELECT min(pid) FROM pg_stat_activity WHERE backend_type = 'parallel worker'});
restarted($log);
forget_sessions();
is(pending(), "$crash/0/0 $hang/0/0 $parallel/0/0", 'the task of the worker is pending, once');

# careful mode: each is charged with its crash, without an attempt, in its old place
sub rows { return sql('SELECT id, state, attempt, crashed FROM live ORDER BY id') }
sub places { return sql('SELECT task_id, bucket, position FROM stent.ready ORDER BY 1') }
my $places = places();
sub careful { return sql('SELECT careful_account()') }
sub careful_and_settle { return sql("SELECT careful_account();\nSELECT careful_settle()") =~ s/\s+$//r }

is(careful(), 3, 'three crashes are counted');
is(rows(), "$hang|r|0|1\n$crash|r|0|1\n$parallel|r|0|1", 'durably');
is(places(), $places, 'and everything is where it was');
is(pending(), "$crash/0/0 $hang/0/0 $parallel/0/0", 'the notes are there until they are settled');
is(careful_and_settle(), 3, 'not settled, they count again');
is(pending(), '', 'settled, they are gone');
is(careful_and_settle(), 0, 'nothing is left to count');
$node->restart;
is(pending(), '', 'also after a restart');
is(rows(), "$hang|r|0|2\n$crash|r|0|2\n$parallel|r|0|2", 'the counts stay');

# what somebody else has, and what is not the same any more
sub crash_again
{
	$log = -s $node->logfile;
	$node->psql('postgres', 'SELECT stent.run(1)');
	restarted($log);
}
sql("DELETE FROM stent.ready WHERE task_id IN ($hang, $parallel); DELETE FROM stent.task WHERE id IN ($hang, $parallel)");
crash_again();
is(pending(), "$crash/0/0", 'it crashed again');
$session = $node->background_psql('postgres');
$session->query("BEGIN; DELETE FROM stent.ready");
is(careful_and_settle(), 0, 'a task in other hands is not counted');
is(pending(), "$crash/0/0", 'its note waits');
$session->query('ROLLBACK');
$session->quit;
sql('UPDATE stent.task SET attempt = 1');
is(careful_and_settle(), 0, 'another attempt is not counted');
is(pending(), '', 'and the note is gone');
sql('UPDATE stent.task SET attempt = 0');

# the limit
sql('ALTER SYSTEM SET stent.max_crashes = 4');
sql('SELECT pg_reload_conf()');
crash_again();
is(careful_and_settle(), 1, 'the third crash');
is(rows(), "$crash|r|0|3", 'one is left');
crash_again();
is(careful_and_settle(), 1, 'the fourth crash');
is(rows(), '', 'it is not live any more');
is(sql("SELECT id, state, attempt, error_code, reason FROM stent.dead_letters"),
	"$crash|failed|1|ST005|the task crashed the server 4 times", 'it is a dead letter');
is(sql("SELECT a ->> 'attempt', a -> 'error' ->> 'code', a -> 'error' ->> 'retryable' FROM jsonb_array_elements(stent.state_of($crash) -> 'attempts') a"),
	'1|ST005|false', 'its history shows it');
is(sql('SELECT count(*) FROM stent.ready'), 0, 'no entry is left');
is($node->psql('postgres', "SELECT stent.result_of($crash)", stderr => \my $stderr), 3, 'result_of raises');
like($stderr, qr/ERROR:  the task crashed the server 4 times/, 'the error');
is(sql("SELECT stent.replay($crash)"), $crash, 'replayed');
is(rows(), "$crash|r|0|0", 'its crashes count anew');
crash_again();
is(pending(), "$crash/1/0", 'the note tells the replay');
is(careful_and_settle(), 1, 'counted');
is(rows(), "$crash|r|0|1", 'as the first');
sql('ALTER SYSTEM RESET stent.max_crashes');
sql('SELECT pg_reload_conf()');

# another number of processes
crash_again();
my $before = state_of();
$node->append_conf('postgresql.conf', 'max_connections = 150');
$node->restart;
my $after = state_of();
cmp_ok($after->{procs}, '>', $before->{procs}, 'more processes');
is($after->{mark}, $before->{mark}, 'keep the mark');
is($after->{pending}, "$crash/1/0", 'and what is pending');
$node->append_conf('postgresql.conf', 'max_connections = 20');
$node->restart;
is(pending(), "$crash/1/0", 'so do fewer');
is(careful_and_settle(), 1, 'counted');

# more than there is room for: the oldest go
$node->stop;
open my $file, '+<', $node->data_dir . '/stent.state' or die;
binmode $file;
seek $file, 4096, 0;
print $file pack('q L l l x12', $_, 1, 0, 0) for 1 .. 1024 + 3;
close $file;
$node->start;
is(pending(), join(' ', map { "$_/0/0" } 4 .. 1027), 'the oldest are forgotten');
$node->log_check('and the log says so', 0, log_like => [qr/the oldest are forgotten.*1024 are kept, 3 are not/s]);
is(running(), '', 'no note is left');

# copies

$node->stop;
my $cold = PostgreSQL::Test::Cluster->new('cold');
mkdir $cold->basedir;
system_or_bail('cp', '-a', $node->data_dir, $cold->data_dir);
$cold->append_conf('postgresql.conf', 'port = ' . $cold->port . "\nunix_socket_directories = '" . $cold->host . "'");
is(state_of($cold)->{mark}, $first->{mark}, 'cp copies the mark');
$cold->start;
isnt(state_of($cold)->{mark}, $first->{mark}, 'but the copy has another');
is(state_of($cold)->{pending}, '', 'and no notes');
$cold->log_check('it says so', 0, log_like => [qr/this data directory is a copy/]);
my $cold_mark = state_of($cold)->{mark};
$cold->restart;
is(state_of($cold)->{mark}, $cold_mark, 'which it keeps');
$cold->stop;

$node->start;
is(state_of()->{mark}, $first->{mark}, 'the original keeps its own');
$node->backup('base');
my $clone = PostgreSQL::Test::Cluster->new('clone');
$clone->init_from_backup($node, 'base');
$clone->start;
isnt(state_of($clone)->{mark}, $first->{mark}, 'a base backup has another mark');
is(state_of($clone)->{flags}, 0, 'it is no standby');
$clone->stop;

my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
my $standby_mark = state_of($standby)->{mark};
isnt($standby_mark, $first->{mark}, 'a standby has another mark');
is(state_of($standby)->{flags}, 1, 'and is known to be a standby');
$standby->promote;
$standby->restart;
is(state_of($standby)->{mark}, $standby_mark, 'it keeps it');
is(state_of($standby)->{flags}, 1, 'and remembers that it was a standby');
$standby->backup('base2');
my $second = PostgreSQL::Test::Cluster->new('second');
$second->init_from_backup($standby, 'base2');
$second->start;
isnt(state_of($second)->{mark}, $standby_mark, 'its clone has another mark');
is(state_of($second)->{flags}, 0, 'and was no standby');
$second->stop;
$standby->stop;

# whatever is wrong with the file, the server starts
my $path = $node->data_dir . '/stent.state';
$node->stop;
mkdir "$path.tmp" or die;
$node->start;
is(state_of()->{mark}, $first->{mark}, 'a file that cannot be replaced stays');
$node->log_check('with a warning', 0, log_like => [qr/WARNING:  could not create file "stent.state.tmp"/]);
crash_again();
is(pending(), join(' ', map { "$_/0/0" } 4 .. 1027), 'nothing can be noted');
$node->stop;
rmdir "$path.tmp" or die;
move($path, "$path.kept") or die;
mkdir $path or die;
$node->start;
$node->log_check('a file that cannot be read', 0, log_like => [qr/WARNING:  could not read file "stent.state"/]);
crash_again();
$node->stop;
rmdir $path or die;
move("$path.kept", $path) or die;
$node->start;
is(state_of()->{mark}, $first->{mark}, 'put back, it is known again');
$node->stop;
truncate($path, 100) or die;
$node->start;
isnt(state_of()->{mark}, $first->{mark}, 'a damaged file is made anew');
$node->log_check('with a warning', 0, log_like => [qr/WARNING:  file "stent.state" is damaged/]);
$node->stop;
unlink $path or die;
$node->start;
isnt(state_of()->{mark}, $first->{mark}, 'a missing file is made');
$node->stop;

# without preloading there is none
unlink $path or die;
$node->adjust_conf('postgresql.conf', 'shared_preload_libraries', undef);
$node->start;
crash_again();
ok(!-e $path, 'no file without preloading');
$node->stop;

done_testing();
