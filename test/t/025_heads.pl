# The board remembers where the ready tasks of a lane begin. Nothing may lie below
# such a head: what commits late, is given back, or arrives elsewhere lowers it.
#
# With one executor it is known who passes what. A task that a head has lost is
# found by nobody but the backstop after five minutes.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use PostgreSQL::Test::Utils;
use Stent;
use Test::More;

my $node = stent_node('heads', conf => "stent.max_executors = 1\nstent.idle_timeout = '1h'");
$node->start;
install($node, 'postgres');
my $gate = $node->background_psql('postgres');
my $second = $node->background_psql('postgres');

sub sql { return $node->safe_psql('postgres', shift) }
sub dispatch { return sql('SELECT ' . join(', ', map { "stent.dispatch($_)" } @_)) }
sub dispatch_n { my ($n, $rest) = @_; sql("SELECT count(stent.dispatch('work'" . ($rest // '') . ")) FROM generate_series(1, $n)"); return }
sub ends { my ($id, $name) = @_; return comes($node, "SELECT state FROM stent.tasks WHERE id = $id", $name, expected => 'completed') }
sub executors { return comes($node, q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'stent executor'}, $_[1], expected => $_[0]) }
sub waits_for { my ($key, $name) = @_; return comes($node, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = $key AND NOT granted", $name, expected => 1) }
sub idle { return comes($node, q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'stent executor' AND state = 'idle'}, 'the executor is idle', expected => 1) }

sub set
{
	sql("ALTER SYSTEM SET $_[0]");
	$node->reload;
	return;
}

# sessions that make a lane at the same time each make one of their own
ends(dispatch($_), 'a lane is made') for q{'work'}, q{'hold', '{"n": 0}'};

# a commit below a head, nobody at work
$gate->query_safe('BEGIN');
my $late = $gate->query_safe(q{SELECT stent.dispatch('work')});
dispatch_n(300);
comes($node, 'SELECT count(*) FROM stent.task', 'all is done that is visible', expected => 0);
idle();
$gate->query_safe('COMMIT');
ends($late, 'what commits below the head runs');

# a commit below what an executor has looked at, before it raises the head
$gate->query_safe('SELECT pg_advisory_lock(1)');
$second->query_safe('BEGIN');
$late = $second->query_safe(q{SELECT stent.dispatch('hold', '{"n": 2}')});
my $first = dispatch(q{'hold', '{"n": 1}'});
waits_for(1, 'an executor runs a later one');
my $next = dispatch(q{'hold', '{"n": 3}'});
$second->query_safe('COMMIT');
$gate->query_safe('SELECT pg_advisory_unlock(1)');
ends($_, 'all of them end') for $first, $next, $late;

# what a session had taken and gives back
for my $how ('transaction', 'savepoint')
{
	set('stent.max_executors = 0');
	executors(0, 'no executor');
	dispatch_n(20);
	$second->query_safe('BEGIN');
	$second->query_safe('SAVEPOINT s') if $how eq 'savepoint';
	is(join(',', map { scalar($second->query_safe('SELECT stent.run(3)')) } 1 .. 3) =~ tr/0//, 0, "a session takes some ($how)");
	set('stent.max_executors = 1');
	comes($node, q{SELECT count(*) < 20 FROM stent.task}, 'an executor runs the rest');
	comes($node, q{SELECT count(*) BETWEEN 1 AND 19 AND NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'stent executor' AND state <> 'idle') FROM stent.task},
		'and finds no more');
	my $left = sql('SELECT count(*) FROM stent.task');
	$second->query_safe($how eq 'savepoint' ? 'ROLLBACK TO s' : 'ROLLBACK');
	all_end($node, "it gives $left back, and they run ($how)");
	$second->query_safe('COMMIT') if $how eq 'savepoint';
}

# what an executor gives back at its old place: a conflict in a shared batch
sql(q{
	CREATE SEQUENCE calls;
	CREATE FUNCTION conflict() RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		IF nextval('calls') = 5 THEN RAISE serialization_failure; END IF;
		INSERT INTO public.effect VALUES (stent.task_id(), stent.attempt());
	END $$;
	SELECT stent.register('conflict', 'conflict()')});
my $conflict = sql(q{SELECT stent.dispatch('conflict')});
ends($conflict, 'a function becomes known');
sql(q{SELECT count(stent.dispatch('conflict')) FROM generate_series(1, 30)});
all_end($node, 'a task given back runs again');
is(sql(q{SELECT attempt, count(*) FROM stent.tasks WHERE function = 'conflict' GROUP BY 1}), '1|31', 'uncharged');

# what is committed after an executor has looked, and before it idles
$gate->query_safe('SELECT pg_advisory_lock(42)');
set(q{stent.fault = 'executor_before_commit:lock:42'});
$first = dispatch(q{'work'});
waits_for(42, 'an executor is about to commit all it found');
$next = dispatch(q{'work'});
$gate->query_safe('SELECT pg_advisory_unlock(42)');
ends($first, 'it has committed');
ends($next, 'what came in between runs');
sql('ALTER SYSTEM RESET stent.fault');
$node->reload;

# a session with an old snapshot sees nothing, and must not conclude anything
set('stent.max_executors = 0');
executors(0, 'no executor');
$second->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
$second->query_safe('SELECT count(*) FROM stent.task');
dispatch_n(10);
is($second->query_safe('SELECT stent.run()'), 0, 'an old snapshot shows nothing');
$second->query_safe('COMMIT');
set('stent.max_executors = 1');
all_end($node, 'the tasks run');

# and somebody's old snapshot keeps all dead entries
$second->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
$second->query_safe('SELECT count(*) FROM stent.task');
for my $round (1 .. 5)
{
	dispatch_n(400);
	all_end($node, "round $round under a held snapshot");
}
is($second->query_safe('SELECT count(*) FROM stent.task'), 0, 'it was held all the time');
$second->query_safe('COMMIT');

# priorities: the highest first, those that arrive later too; lanes take turns
sub order
{
	my ($from) = @_;

	return sql("SELECT string_agg(queue, '' ORDER BY finished_at, id) FROM stent.tasks WHERE id > $from AND function = 'work'");
}
$gate->query_safe('SELECT pg_advisory_lock(1)');
$first = dispatch(q{'hold', '{"n": 1}'});
waits_for(1, 'the executor is busy');
dispatch_n(20, ", queue => 'c', priority => -5");
dispatch_n(20, ", queue => 'b'");
dispatch_n(20, ", queue => 'a', priority => 5");
$gate->query_safe('SELECT pg_advisory_unlock(1)');
all_end($node, 'three priorities');
is(order($first), ('a' x 20) . ('b' x 20) . ('c' x 20), 'in their order');

$gate->query_safe('SELECT pg_advisory_lock(1)');
$first = dispatch(q{'hold', '{"n": 1}'});
waits_for(1, 'the executor is busy');
dispatch_n(20, ", queue => '$_'") for 'x', 'y', 'z';
$gate->query_safe('SELECT pg_advisory_unlock(1)');
all_end($node, 'three lanes of a priority');
like(order($first), qr/^(xyz|yzx|zxy){18}/, 'by turns');

# a handler that dispatches to a higher priority: next of its batch
sql(q{
	CREATE FUNCTION urgent() RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO public.effect VALUES (stent.task_id(), stent.attempt());
		PERFORM stent.dispatch('work', queue => 'u', priority => 100);
	END $$;
	SELECT stent.register('urgent', 'urgent()')});
ends(dispatch(q{'urgent'}), 'a function becomes known');
$gate->query_safe('SELECT pg_advisory_lock(1)');
$first = dispatch(q{'hold', '{"n": 1}'});
waits_for(1, 'the executor is busy');
dispatch(q{'urgent', queue => 'd'});
dispatch_n(40, ", queue => 'd', priority => -1");
$gate->query_safe('SELECT pg_advisory_unlock(1)');
all_end($node, 'what a handler dispatched');
is(order($first), 'u' . 'd' x 40, 'comes before what waited');

# Two roles whose names have the same hash share their buckets.
my ($one, $other) = split(/\|/, sql(q{
	SELECT min(name), max(name) FROM (SELECT 'role' || n AS name FROM generate_series(1, 30000) n) r
	GROUP BY hashtext(name) & ((1 << 23) - 1) HAVING count(*) > 1 ORDER BY 1 LIMIT 1}));
sql("CREATE ROLE $_ LOGIN; SELECT stent.grant_usage('$_')") for $one, $other;
my @ids;
for my $round (1 .. 20)
{
	push @ids, sql(join('', map { "SET SESSION AUTHORIZATION $_; SELECT stent.dispatch('tell', '{\"expression\": \"session_user\"}', delay => '" . ($round % 2) . "ms'); RESET SESSION AUTHORIZATION;" } $one, $other));
}
all_end($node, "$one and $other");
is(sql("SELECT role, result #>> '{}', state, attempt, count(*) FROM stent.tasks WHERE role IN ('$one', '$other') GROUP BY 1, 2, 3, 4 ORDER BY 1"),
	"$one|$one|completed|1|20\n$other|$other|completed|1|20", 'each runs its own');
books_balance($node, 'postgres', [], 'the books balance');
$_->quit for $gate, $second;
$node->stop;

# More lanes than the board has room for, of one role and of twenty, by four executors.
$node = stent_node('lanes', conf => "stent.max_lanes = 100\nstent.max_executors = 4");
$node->start;
install($node, 'postgres');
sql(q{SELECT count(stent.dispatch('work', queue => 'q' || n, priority => n % 3)) FROM generate_series(1, 300) n});
all_end($node, '300 lanes with room for 100');
sql(join('', map { "CREATE ROLE r$_ LOGIN; SELECT stent.grant_usage('r$_');" } 1 .. 20));
for my $round (1 .. 2)
{
	sql(join('', map { "SET SESSION AUTHORIZATION r$_; SELECT count(stent.dispatch('work', queue => 'q' || n % 15, delay => CASE n % 4 WHEN 0 THEN interval '10ms' END)) FROM generate_series(1, 60) n; RESET SESSION AUTHORIZATION;" } 1 .. 20));
	all_end($node, "20 roles with 15 lanes each, round $round");
}
dispatch_n(100);
all_end($node, 'the first role, again');
books_balance($node, 'postgres', [], 'the books balance');
$node->stop;

done_testing();
