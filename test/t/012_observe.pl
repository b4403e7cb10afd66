# What people see of a server that runs tasks: running, queues, stats, health(), why().
#
# Counts are maintained in shared memory; after a prepared transaction, a crash or a
# restart they are made anew and must be right again.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'stent'
stent.databases = 'postgres'
stent.max_executors = 2
max_prepared_transactions = 5
max_worker_processes = 12
restart_after_crash = on
autovacuum = off
});
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION stent;
	CREATE ROLE app LOGIN;
	CREATE ROLE ops LOGIN;
	SELECT stent.grant_usage('app'), stent.grant_usage('ops', 'admin');
	CREATE FUNCTION quick() RETURNS int LANGUAGE sql AS 'SELECT 1';
	CREATE FUNCTION gate() RETURNS void LANGUAGE sql AS 'SELECT pg_advisory_xact_lock_shared(42)';
	SELECT stent.register('quick', 'quick()', queue => 'bulk'), stent.register('gate', 'gate()', queue => 'gates', timeout => '1h'),
		stent.register('outside', queue => 'outside')});

sub value { my ($sql, $db) = @_; return $node->safe_psql($db // 'postgres', $sql) }

sub value_as { my ($role, $sql) = @_; return $node->safe_psql('postgres', $sql, extra_params => [ '-U', $role ]) }

sub becomes
{
	my ($sql, $wanted, $name) = @_;
	ok($node->poll_query_until('postgres', $sql, $wanted), $name) or diag('instead of ' . $wanted . ': ' . value($sql));
}

sub why { my ($id) = @_; return value("SELECT stent.why($id)") }

sub problems { return value(q{SELECT string_agg(p, E'\n') FROM jsonb_array_elements_text(stent.health() -> 'problems') p}, @_) }

# held by a session of ours, the lock keeps gates running
my $keeper = $node->background_psql('postgres');
$keeper->query_safe('SELECT pg_advisory_lock(42)');

becomes("SELECT stent.health() #>> '{database,state}'", 'served', 'the database is served');
is(value("SELECT stent.health() ->> 'ok'"), 'true', 'and well') or diag(problems());

# -- running
my $gate = value_as('app', "SELECT stent.dispatch('gate', max_duration => '1 day')");
becomes("SELECT id FROM stent.running", $gate, 'a running task is seen');
my $pid = value("SELECT pid FROM stent.running WHERE id = $gate");
is(value("SELECT execution_id = id, function, queue, state, role, attempt, started_at <= stent.now(), running_for >= '0', executor, timeout, deadline IS NOT NULL FROM stent.running"),
	't|gate|gates|running|app|1|t|t|t|01:00:00|t', 'what running says of it');
is(value("SELECT state FROM stent.tasks WHERE id = $gate"), 'running', 'so does tasks');
is(value("SELECT state FROM stent.executions WHERE id = $gate"), 'running', 'so does executions');
is(value("SELECT stent.state_of($gate) ->> 'state'"), 'running', 'so does state_of');
is(value_as('app', "SELECT id, pid FROM stent.running"), "$gate|$pid", 'its role sees it');
is(value_as('app', "SELECT state FROM stent.tasks WHERE id = $gate"), 'running', 'as running');
is(value("SELECT query, usename, backend_type FROM pg_stat_activity WHERE pid = $pid"), "gate (task $gate, attempt 1)|app|stent executor",
	'pg_stat_activity shows function and task');
like(why($gate), qr/^It is running since \d{4}-\S+ \S+ UTC in attempt 1, by pid $pid \(an executor\)\.$/, 'why: running');
is(value("SELECT e ->> 'role', e ->> 'pid', e ->> 'state', e ->> 'task_id' FROM jsonb_array_elements(stent.health() #> '{processes,executors}') e"),
	"app|$pid|busy|$gate", 'health lists the executor');
is(value("SELECT queue, ready, scheduled, running, dead, oldest_ready_at IS NULL, exact FROM stent.queues WHERE queue = 'gates'"), 'gates|0|0|1|0|t|t',
	'queues: a running task is not ready');
is(value("SELECT ready, running, completed FROM stent.stats WHERE function = 'gate'"), '0|1|0', 'stats: the same');

# -- why a ready task waits
value("SELECT stent.dispatch('gate')");
becomes('SELECT count(*) FROM stent.running', '2', 'both executors are busy');

my $second = value("SELECT stent.dispatch('gate')");
my $third = value("SELECT stent.dispatch('gate')");
is(why($second), 'It is ready, but all executors are busy (2 of 2, 1 with tasks of its role); it is the next of its role.', 'why: the next');
is(why($third), 'It is ready, but all executors are busy (2 of 2, 1 with tasks of its role); 1 task of its role stands before it.', 'why: one is before it');
value('CREATE ROLE late LOGIN');
value("SELECT stent.grant_usage('late')");
my $late = value_as('late', "SELECT stent.dispatch('quick')");
like(why($late), qr/^It is ready, but all executors are busy with other roles \(2 of 2\), role late waits since \d{4}-.* UTC; stent.max_executors limits them\.$/,
	'why: no executor is free');
is(value(q{SELECT string_agg(w ->> 'role', ',') FROM jsonb_array_elements(stent.health() #> '{processes,waiting_roles}') w}), 'late', 'health: who waits');
like(why(value("SELECT stent.dispatch('outside')")), qr/external and no live worker serves it: none has told of itself\.$/, 'why: external');

# each sees its own
is(value_as('late', 'SELECT count(*) FROM stent.running'), 0, 'a role does not see what others run');
is(value_as('late', 'SELECT queue, ready FROM stent.queues'), 'bulk|1', 'nor their queues');
is(value_as('late', 'SELECT function, role, ready FROM stent.stats'), 'quick|late|1', 'nor their statistics');
is(value_as('late', "SELECT count(*) FROM stent._running_now()"), 0, 'nor by the functions below');
is(value_as('late', "SELECT sum(ready) FROM stent._board_counts()"), 1, 'of which each shows it its own');
is(value_as('late', "SELECT stent._is_running($gate)"), 'f', 'and no other');
is(value_as('ops', 'SELECT count(*) FROM stent.running'), 2, 'an admin sees all');
is(value_as('ops', "SELECT queue, ready FROM stent.queues ORDER BY 1"), "bulk|1\ngates|2\noutside|1", 'in queues as well');

# a delayed task is counted where it is, though its deadline, or its dedup key, was noted elsewhere
value(q{CREATE FUNCTION moving() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END'; SELECT stent.register('moving', 'moving()')});
value(q{SELECT stent.pause(function => 'moving')});
my $moved = value(q{SELECT stent.dispatch('moving', queue => 'noted', run_at => stent.now() + interval '0.1 s', max_duration => '0.3 s')});
value("SELECT stent.reschedule($moved, queue => 'moved', run_at => stent.now() + interval '1 hour')");
becomes("SELECT state FROM stent.tasks WHERE id = $moved", 'timed_out', 'a rescheduled task reaches its deadline');
my $replaced = value(q{SELECT stent.dispatch('moving', queue => 'noted', delay => '1 hour', dedup_key => 'replaced')});
value(q{SELECT stent.dispatch('moving', queue => 'moved', dedup_key => 'replaced', on_duplicate => 'replace')});
value("SELECT stent.cancel($replaced)");
is(value(q{SELECT COALESCE(sum(abs(ready)), 0), COALESCE(sum(abs(scheduled)), 0), COALESCE(bool_and(exact), true) FROM stent.queues WHERE queue IN ('noted', 'moved')}),
	'0|0|t', 'and none of them is counted any more');
value(q{SELECT stent.resume(function => 'moving')});

# -- counts
value("SELECT count(*) FROM stent.dispatch_many('outside', array_fill('{}'::jsonb, ARRAY[20000]))");
my $outside = "SELECT ready, scheduled, exact FROM stent.queues WHERE queue = 'outside'";
is(value($outside), '20001|0|t', '20,000 dispatched are 20,000 ready');
value("SELECT stent.dispatch('outside', delay => '1h') FROM generate_series(1, 5)");
is(value($outside), '20001|5|t', 'and scheduled ones');
value("BEGIN; SELECT stent.dispatch('outside'); SAVEPOINT s; SELECT stent.dispatch('outside'); ROLLBACK TO s; COMMIT; BEGIN; SELECT stent.dispatch('outside'); ROLLBACK");
is(value($outside), '20002|5|t', 'what is undone does not count');
value("BEGIN; SELECT count(*) FROM stent.dispatch_many('outside', array_fill('{}'::jsonb, ARRAY[100])); PREPARE TRANSACTION 'p'");
is(value("SELECT ready FROM stent.queues WHERE queue = 'outside'"), 20002, 'what is prepared does not count');
value("COMMIT PREPARED 'p'");
becomes($outside, '20102|5|t', 'until it commits');

# -- the executors are free again; 20,000 tasks and their totals
$keeper->query_safe('SELECT pg_advisory_unlock(42)');
becomes("SELECT sum(completed) FROM stent.stats WHERE function = 'gate'", '4', 'gates have completed');
is(value("SELECT count(*) FROM stent.running"), 0, 'none runs');
becomes("SELECT completed FROM stent.stats WHERE role = 'late'", '1', 'the late role has had its turn');
my $holder = $node->background_psql('postgres');
$holder->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
my $holder_pid = $holder->query_safe('SELECT pg_backend_pid()');
value("SELECT count(*) FROM stent.dispatch_many('quick', array_fill('{}'::jsonb, ARRAY[20000]))");
becomes("SELECT ready, running, completed, failed FROM stent.stats WHERE function = 'quick' AND role = 'postgres'", '0|0|20000|0', '20,000 have completed');
is(value("SELECT count(*) FROM stent.tasks WHERE function = 'quick' AND state = 'completed'"), 20001, 'the archive agrees');
is(value("SELECT mean_run_time >= '0' AND mean_run_time < '1 s' AND last_at <= stent.now() FROM stent.stats WHERE function = 'quick' AND role = 'postgres'"), 't', 'mean and last');
becomes("SELECT count(*) <= 2000 + 10 FROM stent.tally", 't', 'totals are folded');

# -- orchestrators that wait
value(q{CREATE FUNCTION flow() RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN stent.await_signal('go', '1 day'); END $$;
	SELECT stent.register('flow', 'flow()', queue => 'flows')});
my $flows = "SELECT ready, scheduled, running, waiting, exact FROM stent.queues WHERE queue = 'flows'";
my @flows = map { value("SELECT stent.dispatch('flow')") } 1 .. 3;
becomes($flows, '0|0|0|3|t', 'waiting tasks are counted, not as scheduled');
is(value("SELECT ready, scheduled, waiting FROM stent.stats WHERE function = 'flow'"), '0|0|3', 'in stats as well');
value("BEGIN; SELECT stent.cancel($flows[0]); ROLLBACK");
is(value($flows), '0|0|0|3|t', 'and where a transaction is undone');
value("SELECT stent.cancel($flows[0])");
is(value($flows), '0|0|0|2|t', 'until they end');
value("SELECT stent.signal($flows[1], 'go')");
becomes("SELECT state FROM stent.tasks WHERE id = $flows[1]", 'completed', 'or go on');
is(value($flows), '0|0|0|1|t', 'one still waits');
like(why($flows[2]), qr/^It waits for signal "go" until \S+ \S+ UTC, since \S+ \S+ UTC\.$/, 'why: for what');
unlike(problems(), qr/flow/, 'and that is no problem');

# -- an old snapshot
is(value("SELECT h ->> 'kind', h ->> 'pid' FROM (SELECT stent.health() #> '{horizon,holder}' AS h) h"), "backend|$holder_pid", 'health names who holds the horizon');
like(problems(), qr/^pid $holder_pid \(role \w+, idle in transaction\), whose transaction is open since \S+ \S+ UTC, keeps VACUUM from .* \(\d+ entries of taken tasks wait\)/m,
	'and what it does');
$holder->quit;
becomes(q{SELECT count(*) FROM jsonb_array_elements_text(stent.health() -> 'problems') p WHERE p LIKE '%keeps VACUUM%'}, '0', 'no longer when it is gone');

# -- settings and roles
value('ALTER SYSTEM SET stent.max_executors = 0');
$node->reload;
becomes("SELECT stent.health() #>> '{processes,used}'", '0', 'no executor is left');
my $waits = value_as('app', "SELECT stent.dispatch('quick')");
is(why($waits), 'It is ready, but stent.max_executors is 0: raise it and reload.', 'why: no executors allowed');
like(problems(), qr/^stent.max_executors is 0/m, 'health: the same');
SKIP:
{
	skip 'roles without LOGIN are served', 3 if value("SELECT current_setting('server_version_num')::int >= 170000") eq 't';
	value('ALTER ROLE app NOLOGIN; ALTER SYSTEM RESET stent.max_executors');
	$node->reload;
	is(why($waits), 'It is ready, but its role app cannot log in: ALTER ROLE app LOGIN.', 'why: a role that cannot log in');
	like(problems(), qr/^tasks wait of role app, which cannot log in: ALTER ROLE app LOGIN$/m, 'health: the same');
	value('ALTER ROLE app LOGIN');
}
value('ALTER SYSTEM RESET stent.max_executors');
$node->reload;
becomes("SELECT state FROM stent.tasks WHERE id = $waits", 'completed', 'it runs when it can') or diag(why($waits));

value('SELECT stent.stop()');
becomes("SELECT stent.health() #>> '{database,state}'", 'stopped', 'stopped');
my $stopped = value("SELECT stent.dispatch('quick')");
is(why($stopped), 'It is ready, but database "postgres" is stopped: call stent.start().', 'why: stopped');
like(problems(), qr/^database "postgres" is stopped: call stent.start\(\)$/m, 'health: the same');
value('SELECT stent.start()');
becomes("SELECT state FROM stent.tasks WHERE id = $stopped", 'completed', 'started again');

# -- what an open transaction holds
value('SELECT stent.stop()');
becomes("SELECT stent.health() #>> '{processes,used}'", '0', 'no executor is left');
my $held = value("SELECT stent.dispatch('quick')");
my $runner = $node->background_psql('postgres');
$runner->query_safe('BEGIN');
my $runner_pid = $runner->query_safe('SELECT pg_backend_pid()');
is($runner->query_safe('SELECT stent.run(1)'), 1, 'a session runs it');
is(value("SELECT state FROM stent.tasks WHERE id = $held"), 'ready', 'whose handler has ended, so it does not run');
is(why($held), "It was taken by the open transaction of pid $runner_pid, which has not committed yet.", 'why: an open transaction');
$runner->query_safe('COMMIT');
like(why($held), qr/^It completed at \S+ \S+ UTC, in attempt 1\.$/, 'why: completed');

# a session that calls run() is seen as well
value("SELECT stent.dispatch('gate')");
$keeper->query_safe('SELECT pg_advisory_lock(42)');
$runner->query_until(qr/running/, "\\echo running\nSELECT stent.run(1);\n");
becomes("SELECT pid, executor FROM stent.running", "$runner_pid|f", 'running shows a session');
like(why(value('SELECT id FROM stent.running')), qr/by pid $runner_pid \(a session that called stent.run\(\)\)\.$/, 'so does why');
$keeper->query_safe('SELECT pg_advisory_unlock(42)');
becomes('SELECT count(*) FROM stent.running', '0', 'until it has ended');
$runner->quit;
value('SELECT stent.start()');

# -- a database that nobody serves: counted by a bounded walk
value('CREATE DATABASE other');
value('CREATE EXTENSION stent', 'other');
value("SELECT stent.register('outside', queue => 'few'); SELECT stent.dispatch('outside') FROM generate_series(1, 7); SELECT stent.dispatch('outside', delay => '1h')", 'other');
is(value("SELECT queue, ready, scheduled, exact, oldest_ready_at IS NOT NULL FROM stent.queues", 'other'), 'few|7|1|t|t', 'a few are counted');
value("SELECT count(*) FROM stent.dispatch_many('outside', array_fill('{}'::jsonb, ARRAY[15000]), queue => 'many')", 'other');
value("SELECT count(*) FROM stent.dispatch_many('outside', array_fill('{}'::jsonb, ARRAY[3]), queue => 'after')", 'other');
is(value("SELECT queue, ready, exact FROM stent.queues ORDER BY queue", 'other'), "after|3|t\nfew|7|t\nmany|10000|f", 'not more than 10,000 are');
like(problems('other'), qr/^database "other" is not served: add it to stent.databases and reload, or call stent.start\(\)$/m, 'health says so');

# -- a crash: everything is counted anew
$node->append_conf('postgresql.conf', 'stent.max_executors = 2');
kill_backend();
becomes($outside, '20102|5|t', 'counts are right after a crash');
is(value($flows), '0|0|0|1|t', 'of waiting ones as well');
is(value("SELECT completed FROM stent.stats WHERE function = 'quick' AND role = 'postgres'"), 20002, 'so are totals');
$node->stop('immediate');
$node->start;
becomes($outside, '20102|5|t', 'counts are right after a restart');

sub kill_backend
{
	my $log = -s $node->logfile;
	my $victim = $node->background_psql('postgres');
	kill 'KILL', $victim->query_safe('SELECT pg_backend_pid()');
	$node->wait_for_log(qr/all server processes terminated; reinitializing/, $log);
	$node->poll_query_until('postgres', 'SELECT true') or die 'no recovery';
	eval { $victim->quit };
}

# -- a standby
$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby);
is($standby->safe_psql('postgres', "SELECT h ->> 'ok', h ->> 'in_recovery', h #>> '{notes,0}' FROM stent.health() h"),
	'true|true|this server is a standby: nothing runs here until it is promoted', 'health of a standby');
is($standby->safe_psql('postgres', "SELECT queue, ready, scheduled, exact FROM stent.queues WHERE queue = 'outside'"), 'outside|10000|5|f', 'queues of a standby');
is($standby->safe_psql('postgres', "SELECT completed FROM stent.stats WHERE function = 'gate' AND role = 'postgres'"), 4, 'stats of a standby');
is($standby->safe_psql('postgres', 'SELECT count(*) FROM stent.running'), 0, 'nothing runs there');
is($standby->safe_psql('postgres', "SELECT stent.why(id) FROM stent.tasks WHERE queue = 'outside' AND state = 'ready' LIMIT 1"),
	'It is ready, but function "outside" is external and no live worker serves it: none has told of itself.', 'why of a standby');
$standby->stop;

# -- no background worker slot is left; no preload at all
$node->adjust_conf('postgresql.conf', 'max_worker_processes', '3');
$node->restart;
my $slot = value("SELECT stent.dispatch('quick')");
becomes("SELECT stent.health() #>> '{processes,exhausted_since}' IS NOT NULL", 't', 'health: no background worker slot');
like(why($slot), qr/^It is ready, but no background worker slot is free since \S+ \S+ UTC: raise max_worker_processes, or lower stent.max_executors\.$/, 'why: the same');
like(problems(), qr/^no background worker slot is free since/m, 'named as a problem');

$node->adjust_conf('postgresql.conf', 'shared_preload_libraries', "''");
$node->adjust_conf('postgresql.conf', 'max_worker_processes', '8');
$node->restart;
like(why($slot), qr/^It is ready, but the library is not preloaded, so nothing runs by itself: .*stent.run\(\)\.$/, 'why without preload');
like(problems(), qr/^the library is not preloaded/, 'health without preload');
is(value("SELECT ready, exact FROM stent.queues WHERE queue = 'outside'"), '10000|f', 'queues without preload');
value('SELECT stent.start()');
becomes("SELECT state FROM stent.tasks WHERE id = $slot", 'completed', 'a polling executor runs it');
is(value("SELECT e ->> 'role', e ->> 'task_id' IS NULL FROM jsonb_array_elements(stent.health() #> '{processes,executors}') e"), 'postgres|t', 'health lists it');
value('SELECT stent.stop()');

done_testing();
