# Limits under load: never exceeded by any mix of executors and sessions, free at
# once when a holder is lost, and whoever was held back is woken, not by a timer.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use PostgreSQL::Test::Utils;
use Stent;
use Test::More;
use Time::HiRes qw(usleep);

my $node = stent_node('limits', conf => "stent.max_executors = 4\nstent.idle_timeout = '1h'");
$node->start;
install($node, 'postgres');
sub sql { return $node->safe_psql('postgres', shift) }
sub as { my ($role, $sql) = @_; return sql("SET SESSION AUTHORIZATION $role; $sql") }
sub ends { my ($id, $name) = @_; return comes($node, "SELECT state FROM stent.tasks WHERE id = $id", $name, expected => 'completed') }
sub executors { return comes($node, q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'stent executor'}, $_[1], expected => $_[0]) }
my $executor = q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'stent executor'};
my $holders = q{FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND objid = 1 AND NOT granted};

sql(q{
	CREATE ROLE one LOGIN;
	CREATE ROLE two LOGIN;
	SELECT stent.grant_usage('one'), stent.grant_usage('two');
	CREATE UNLOGGED TABLE seen (function text, n int);
	GRANT SELECT, INSERT ON seen TO PUBLIC;
	-- how many run at this moment, told by locks that last as long as the handler
	CREATE FUNCTION overlap(key int, name text) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM pg_advisory_lock_shared(77, key);
		INSERT INTO public.seen SELECT name, count(*) FROM pg_locks
			WHERE locktype = 'advisory' AND classid = 77 AND objid = key AND granted;
		PERFORM pg_sleep(0.002);
		PERFORM pg_advisory_unlock_shared(77, key);
		INSERT INTO public.effect VALUES (stent.task_id(), stent.attempt());
	END $$;
	SELECT stent.register('three', 'overlap(int,text)', max_concurrent => 3);
	SELECT stent.register('all', 'overlap(int,text)');
	SELECT stent.register('one_hold', 'hold(int)', max_concurrent => 1);
	SELECT stent.register('limited_work', 'work(int)', max_concurrent => 1)});

# four executors and three sessions
sub hammer
{
	my ($until) = @_;
	my @sessions = map { $node->background_psql('postgres') } 1 .. 3;

	# a procedure would stop with the first 0, for that is what a full function gives
	my $loop = q{DO $$ BEGIN WHILE EXISTS (SELECT FROM stent.task) LOOP PERFORM stent.run(10); COMMIT; PERFORM pg_sleep(0.001); COMMIT; END LOOP; END $$};
	$_->query_until(qr/begun/, "\\echo begun\n$loop;\n") for @sessions;
	all_end($node, $until, patience => 120);
	$_->quit for @sessions;
	return;
}
sql(q{SELECT count(stent.dispatch('all', '{"key": 1, "name": "all"}')), count(stent.dispatch('three', '{"key": 2, "name": "three"}', queue => 'q' || i % 3)) FROM generate_series(1, 300) i});
hammer('all tasks of both functions end');
is(sql(q{SELECT max(n) FROM seen WHERE function = 'three'}), 3, 'three at once, never four');
cmp_ok(sql(q{SELECT max(n) FROM seen WHERE function = 'all'}), '>', 3, 'and more without a limit');
is(sql(q{SELECT count(*), count(*) FILTER (WHERE (state, attempt) = ('completed', 1)) FROM stent.tasks WHERE function IN ('three', 'all')}), '600|600', 'each ran once');

# the place of another role's task: who was held back starts at its commit
my $gate = $node->background_psql('postgres');
$gate->query_safe('SELECT pg_advisory_lock(1)');
my $first = as('one', q{SELECT stent.dispatch('one_hold', '{"n": 1}')});
comes($node, "SELECT count(*) $holders", 'role one holds the place', expected => 1);
my $second = as('two', q{SELECT stent.dispatch('one_hold', '{"n": 1}')});
my $free = as('two', q{SELECT stent.dispatch('work')});
ends($free, 'role two runs what is not limited');
comes($node, "$executor AND usename = 'two' AND state <> 'idle'", 'and idles', expected => 0);
my $pid = sql("SELECT pid $holders");
is(sql("SELECT stent.why($second)"), qq{It is ready, but function "one_hold" already runs max_concurrent (1) tasks, by pid $pid.}, 'why() says so');
usleep(1_100_000);
my $idle = q{SELECT string_agg(pid || ' ' || state_change, ',' ORDER BY pid) FROM pg_stat_activity WHERE backend_type = 'stent executor' AND usename = 'two'};
my $before = sql($idle);
usleep(1_500_000);
is(sql($idle), $before, 'who is held back does not look meanwhile');
$gate->query_safe('SELECT pg_advisory_unlock(1)');
ends($_, 'one after the other ends') for $first, $second;
is(sql("SELECT (SELECT finished_at FROM stent.tasks WHERE id = $first) <= (SELECT started_at FROM stent.tasks WHERE id = $second)"), 't', 'the second after the first');

# the same by a rollback, of a session
$second = $node->background_psql('postgres');
sql(q{ALTER SYSTEM SET stent.max_executors = 0});
$node->reload;
executors(0, 'no executor');
$first = sql(q{SELECT stent.dispatch('limited_work')});
$second->query_safe('BEGIN');
is($second->query_safe('SELECT stent.run(1)'), 1, 'a session takes the place');
sql(q{ALTER SYSTEM SET stent.max_executors = 4});
$node->reload;
my $held = as('one', q{SELECT stent.dispatch('limited_work')});
ends(as('one', q{SELECT stent.dispatch('work')}), 'role one is held back, and runs others');
comes($node, "$executor AND state <> 'idle'", 'it idles', expected => 0);
$second->query_safe('ROLLBACK');
ends($_, 'what was held back ends, and what was given up') for $held, $first;

# a place of a prepared transaction
sql(q{ALTER SYSTEM SET stent.max_executors = 0});
$node->reload;
executors(0, 'no executor');
$first = sql(q{SELECT stent.dispatch('limited_work')});
sql(q{BEGIN; SELECT stent.run(1); PREPARE TRANSACTION 'place'});
sql(q{ALTER SYSTEM SET stent.max_executors = 4});
$node->reload;
$held = as('one', q{SELECT stent.dispatch('limited_work')});
ends(as('one', q{SELECT stent.dispatch('work')}), 'role one is held back by a prepared transaction');
comes($node, "$executor AND state <> 'idle'", 'it idles', expected => 0);
like(sql("SELECT stent.why($held)"), qr/by a prepared transaction\./, 'and why() says by whom');
sql(q{COMMIT PREPARED 'place'});
ends($_, 'its end frees the place') for $held, $first;

# a lost holder frees its place at once
for my $signal ('TERM', 'KILL')
{
	$gate->query_safe('SELECT pg_advisory_lock(1)');
	$first = as('one', q{SELECT stent.dispatch('one_hold', '{"n": 1}')});
	comes($node, "SELECT count(*) $holders", "role one holds the place ($signal)", expected => 1);
	$held = as('two', q{SELECT stent.dispatch('one_hold', '{"n": 1}')});
	ends(as('two', q{SELECT stent.dispatch('work')}), 'role two is held back');
	$pid = sql("SELECT pid $holders");
	if ($signal eq 'TERM')
	{
		sql("SELECT pg_terminate_backend($pid)");
		comes($node, "SELECT count(*) = 1 AND bool_and(pid <> $pid) $holders", 'another has the place');
		$gate->query_safe('SELECT pg_advisory_unlock(1)');
	}
	else
	{
		kill('KILL', $pid);
		# the gate went down with the server
		eval { $gate->quit };
	}
	ends($_, "both end ($signal)") for $first, $held;
}
is(sql(q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'}), 0, 'no lock is left');

# other limits: who was held back is woken at the commit
$gate = $node->background_psql('postgres');
for my $limit ('max_concurrent => 2', 'max_concurrent => NULL')
{
	sql(q{SELECT stent.register('one_hold', 'hold(int)', max_concurrent => 1)});
	$gate->query_safe('SELECT pg_advisory_lock(1)');
	$first = as('one', q{SELECT stent.dispatch('one_hold', '{"n": 1}')});
	comes($node, "SELECT count(*) $holders", 'role one holds the place', expected => 1);
	$held = as('two', q{SELECT stent.dispatch('one_hold', '{"n": 1}')});
	ends(as('two', q{SELECT stent.dispatch('work')}), 'role two is held back');
	comes($node, "$executor AND usename = 'two' AND state <> 'idle'", 'and idles', expected => 0);
	sql("SELECT stent.register('one_hold', 'hold(int)', $limit)");
	comes($node, "SELECT count(*) $holders", "it starts under another limit, $limit", expected => 2);
	$gate->query_safe('SELECT pg_advisory_unlock(1)');
	ends($_, 'and ends') for $first, $held;
}

# A rate: executors idle until there is a token, and are woken then.
sql(q{SELECT stent.register('slow', 'work(int)', rate_limit => 1, rate_interval => '4 s')});
my @ids = map { as($_, q{SELECT stent.dispatch('slow')}) } 'one', 'two';
comes($node, 'SELECT count(*) FROM stent.task', 'one starts', expected => 1);
comes($node, "$executor AND state <> 'idle'", 'the executors idle', expected => 0);
like(sql("SELECT stent.why(id) FROM stent.task"), qr/^It is ready, but function "slow" has reached its rate limit \(1 in 00:00:04\): the next start is at /, 'why() says until when');
$idle = q{SELECT string_agg(pid || ' ' || state_change, ',' ORDER BY pid) FROM pg_stat_activity WHERE backend_type = 'stent executor'};
$before = sql($idle);
usleep(1_000_000);
is(sql($idle), $before, 'they do not look meanwhile') if sql('SELECT count(*) FROM stent.task') == 1;
all_end($node, 'the other starts by itself');
cmp_ok(sql("SELECT extract(epoch FROM max(started_at) - min(started_at)) FROM stent.tasks WHERE id IN ($ids[0], $ids[1])"), '>', 3.5, 'not too early');
sql(q{SELECT stent.register('slow', 'work(int)', rate_limit => 1, rate_interval => '1 day')});
@ids = map { as($_, q{SELECT stent.dispatch('slow')}) } 'one', 'two';
ends(as('one', q{SELECT stent.dispatch('work')}), 'the bucket is empty, others run');
is(sql("SELECT count(*) FROM stent.task"), 2, 'those wait');
sql(q{SELECT stent.register('slow', 'work(int)')});
ends($_, 'without a limit it starts') for @ids;

# by everybody: no more than the formula allows over the whole run
sql(q{SELECT stent.register('rated', 'work(int)', rate_limit => 50, rate_burst => 10)});
sql(q{SELECT count(stent.dispatch('rated', queue => 'q' || i % 3)) FROM generate_series(1, 130) i});
hammer('all of a rate end');
is(sql(q{SELECT count(*) FROM stent.tasks WHERE function = 'rated' AND (state, attempt) = ('completed', 1)}), 130, 'each ran once');
# the first may have started a moment after its token was taken
cmp_ok(sql(q{SELECT extract(epoch FROM max(started_at) - min(started_at)) FROM stent.tasks WHERE function = 'rated'}), '>', (130 - 10) / 50 - 0.2, 'no more than burst and rate allow');
# exactly so: the bucket is full a fiftieth of a second later for each start
is(sql(q{SELECT full_at >= (SELECT min(started_at) FROM stent.tasks WHERE function = 'rated') + 129 * interval '20 ms'
	FROM stent.rate r JOIN stent.function f ON f.id = r.function_id WHERE name = 'rated'}), 't', 'each start took a token');
books_balance($node, 'postgres', [], 'the books balance');
$_->quit for $gate;
eval { $second->quit };
$node->stop;

done_testing();
