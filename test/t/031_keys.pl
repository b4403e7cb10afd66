# Concurrency keys under executors, sessions and kills.
#
# 200 keys of 50 tasks each, one of 2,000, and one that two may run of at a time, run
# by four executors and two sessions while backends are killed: each task runs once,
# in the order of age within its key, never beside another of it, and none is left.
# Then what waits for a decision that somebody else holds is made ready by the
# end of that one, not by a timer; and 100,000 tasks, of as many keys and of one.
use strict;
use warnings;
use lib 'test/t/lib';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Stent;
use Test::More;
use Time::HiRes qw(usleep);

my $node = stent_node('keys', conf => "stent.max_executors = 4\nstent.databases = 'postgres'\nstent.retention = 'off'");
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION stent;
	CREATE SEQUENCE ran;
	CREATE TABLE log (key text, n int, at bigint);
	-- A row for each that may run at a time. Who finds none that it can lock runs
	-- beside too many of its key. Not an advisory lock: that ends after our own.
	CREATE TABLE turns (key text, number int, taken_by bigint);
	INSERT INTO turns SELECT 'k' || n, 1 FROM generate_series(1, 200) n
		UNION ALL SELECT 'hot', 1 UNION ALL SELECT 'held', 1 UNION ALL SELECT 'pair', 1 UNION ALL SELECT 'pair', 2;
	CREATE INDEX ON turns (key);
	CREATE FUNCTION turn(key text, n int, fails int DEFAULT 0) RETURNS void LANGUAGE plpgsql AS $$
	DECLARE mine int;
	BEGIN
		IF NOT EXISTS (SELECT FROM public.turns t WHERE t.key = turn.key AND t.taken_by = txid_current()) THEN
			-- two statements: the second sees the version that the first has locked
			SELECT t.number INTO mine FROM public.turns t WHERE t.key = turn.key LIMIT 1 FOR UPDATE SKIP LOCKED;
			UPDATE public.turns t SET taken_by = txid_current() WHERE t.key = turn.key AND t.number = mine;
			IF NOT FOUND THEN
				RAISE EXCEPTION USING ERRCODE = 'ZZ001', MESSAGE = format('%s overlaps in %s', n, key);
			END IF;
		END IF;
		IF stent.attempt() <= fails THEN
			RAISE EXCEPTION 'not yet';
		END IF;
		INSERT INTO public.log VALUES (key, n, nextval('public.ran'));
	END $$;
	CREATE FUNCTION hold(key text, n int) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM pg_advisory_xact_lock_shared(7, n);
		INSERT INTO public.log VALUES (key, n, nextval('public.ran'));
	END $$;
	SELECT stent.register('turn', 'turn(text, int, int)', retry => '{"initial_delay": "0.01s", "no_retry_for": ["ZZ001"]}');
	SELECT stent.register('pair', 'turn(text, int, int)', max_per_key => 2, retry => '{"initial_delay": "0.01s", "no_retry_for": ["ZZ001"]}');
	SELECT stent.register('hold', 'hold(text, int)', retry => '{"max_attempts": 1}');
	SELECT stent.register('hold_pair', 'hold(text, int)', max_per_key => 2);
});

# Every broken promise as a line.
my $broken = q{
	SELECT 'failed', id, error ->> 'message' FROM stent.tasks WHERE state <> 'completed'
	UNION ALL SELECT 'runs', t.id, count(l)::text FROM stent.tasks t LEFT JOIN log l
		ON l.key = t.args ->> 'key' AND l.n = (t.args ->> 'n')::int GROUP BY t.id HAVING count(l) <> 1
	UNION ALL SELECT 'out of order', n, key FROM (SELECT key, n, at, lag(n) OVER (PARTITION BY key ORDER BY at) AS before FROM log WHERE key <> 'pair') o
		WHERE before > n
	UNION ALL SELECT 'left in line', task_id, line::text FROM stent.line
	UNION ALL SELECT 'left in due', task_id, kind::text FROM stent.due
	UNION ALL SELECT 'left in ready', task_id, '' FROM stent.ready LIMIT 20};
my $dispatched = 0;

# Clients that dispatch: n rises with the age of each key, for each is one client's.
sub load
{
	my ($function, $key, $count, $more) = @_;

	$dispatched += $count;
	return "SELECT count(stent.dispatch('$function', jsonb_build_object('key', '$key', 'n', n, 'fails', (n % 17 = 3)::int), concurrency_key => '$key'"
	  . ", priority => (n % 3 - 1), retry => '{\"initial_delay\": \"0.01s\", \"no_retry_for\": [\"ZZ001\"]}' $more)) FROM generate_series(1, $count) n;\n";
}

my $hot = load('turn', 'hot', 2000, '') . load('pair', 'pair', 500, '');
my $cold = '';
for my $round (0 .. 4)
{
	# ten of each of the 200 keys a round; transactions of one task and of many
	$cold .= "SELECT count(stent.dispatch('turn', jsonb_build_object('key', 'k' || k, 'n', 10 * $round + n), concurrency_key => 'k' || k, priority => k % 5))
		FROM generate_series(1, 10) n, generate_series(1, 200) k WHERE k % 20 <> 0;\n";
	$cold .= join('', map { my $n = 10 * $round + $_; map { my $k = 20 * $_;
		"SELECT stent.dispatch('turn', '{\"key\": \"k$k\", \"n\": $n}', concurrency_key => 'k$k');\n" } 1 .. 10 } 1 .. 10);
}
$dispatched += 200 * 50;

my $base = PostgreSQL::Test::Utils::tempdir() . '/keys';
append_to_file("$base.hot", $hot);
append_to_file("$base.cold", $cold);
append_to_file("$base.on", '');
my $connection = $node->connstr('postgres');
my @runs;
push @runs, IPC::Run::start(['bash', '-c', "while [ -e '$base.on' ]; do psql -XAtq -v ON_ERROR_STOP=1 -c 'SELECT stent.run(20)' '$connection' >/dev/null 2>&1 || sleep 0.05; done"], '<', '/dev/null')
  for 1 .. 2;

# 1: nothing is killed while it is dispatched, else a client would not know what was
my @clients = map { IPC::Run::start(['psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-f', $_, $connection], '<', '/dev/null', '>', '/dev/null') } "$base.hot", "$base.cold";
ok($_->finish, 'clients dispatched all') for @clients;
for my $time (1, 2)
{
	comes($node, "SELECT count(*) >= $time * 1500 FROM log", "some ran before kill $time");
	my $left = value($node, 'postgres', 'SELECT count(*) FROM stent.task') // 0;
	my $log = -s $node->logfile;
	my ($pid) = pids($node, 'executor', $left > 0 ? "state = 'active'" : '');
	$pid = (pids($node, 'executor'))[0] if !$pid;

	SKIP: {
		skip 'no executor is there', 1 if !$pid;
		kill 'KILL', $pid;
		ok($node->wait_for_log(qr/reinitializing.*ready to accept connections/s, $log), "kill $time");
	}
}
all_end($node, 'every task ended', patience => 300);
unlink("$base.on");
$_->finish for @runs;
comes($node, 'SELECT NOT EXISTS (SELECT FROM stent.due)', 'no nudge is left');
is($node->safe_psql('postgres', $broken), '', 'each once, in order, none beside another of its key');
is($node->safe_psql('postgres', 'SELECT count(*) FROM log'), $dispatched, 'all ran');
is($node->safe_psql('postgres', "SELECT sum(ready), sum(scheduled), sum(blocked), bool_and(exact) FROM stent.queues"), '0|0|0|t', 'counts are exact');

# 2: who is next is decided when the lock is free, woken by its end
my $gate = $node->background_psql('postgres');
$gate->query_safe('SELECT pg_advisory_lock(7, 1)');
$gate->query_safe('SELECT pg_advisory_lock(7, 2)');
$node->safe_psql('postgres', "SELECT stent.dispatch('hold_pair', jsonb_build_object('key', 'gate', 'n', n), concurrency_key => 'gate') FROM generate_series(1, 4) n");
comes($node, 'SELECT count(*) = 2 FROM stent.running', 'two of a key run at a time');
is($node->safe_psql('postgres', "SELECT sum(ready), sum(blocked) FROM stent.queues"), '0|2', 'the others are blocked');
like($node->safe_psql('postgres', "SELECT stent.why(max(id)) FROM stent.tasks WHERE state = 'blocked'"), qr/^It is blocked: 3 older tasks of concurrency key "gate" stand before it, and 2 of them may run at a time; task \d+, the first, is running by pid \d+\.$/, 'why');
$gate->query_safe('SELECT pg_advisory_unlock(7, 2)');
comes($node, "SELECT count(*) = 3 FROM log WHERE key = 'gate'", 'the third and fourth run while the first does');
$gate->query_safe('SELECT pg_advisory_unlock(7, 1)');
all_end($node, 'all ended');

# a session holds the decision: it has run the first and not committed
$node->safe_psql('postgres', 'ALTER SYSTEM SET stent.max_executors = 0; SELECT pg_reload_conf()');
comes($node, "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'stent executor'", 'no executor is left');
$node->safe_psql('postgres', "SELECT stent.dispatch('turn', jsonb_build_object('key', 'held', 'n', n), concurrency_key => 'held') FROM generate_series(1, 2) n");
my $holder = $node->background_psql('postgres');
$holder->query_safe('BEGIN');
is($holder->query_safe('SELECT stent.run(1)'), '1', 'a session runs the first of a key and stays open');
$node->safe_psql('postgres', "SELECT stent.dispatch('turn', '{\"key\": \"held\", \"n\": 3}', concurrency_key => 'held')");
comes($node, "SELECT count(*) = 1 FROM stent.due WHERE kind = 'k'", 'who is behind it has left a nudge');
# time for the scheduler to have tried, in vain, and to be in its pause
comes($node, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'stent scheduler' AND state = 'idle')", 'the scheduler has tried');
# its pauses double; by now the next try is far away
usleep(8_500_000);
my $delayed = $node->safe_psql('postgres', "SELECT stent.dispatch('turn', '{\"key\": \"late\", \"n\": 1}', delay => '0.1s')");
comes($node, "SELECT state = 'ready' FROM stent.tasks WHERE id = $delayed", 'what others hold keeps nothing else from being promoted', patience => 4);
$holder->query_safe('COMMIT');
comes($node, "SELECT NOT EXISTS (SELECT FROM stent.due)", 'the nudge was acted on when it could be', patience => 5);
$node->safe_psql('postgres', 'ALTER SYSTEM SET stent.max_executors = 4; SELECT pg_reload_conf()');
all_end($node, 'all ended');
$holder->quit;
$gate->quit;

# 3: many, in one transaction: no lock each
my $many = $ENV{STENT_KEYS} // 100_000;
$node->safe_psql('postgres', q{CREATE FUNCTION nop() RETURNS void LANGUAGE sql AS ''; SELECT stent.register('nop', 'nop()')});
for my $key ("'k' || n", "'one'")
{
	my $of = $key eq "'one'" ? 'one key' : 'as many keys';

	is($node->safe_psql('postgres', "BEGIN; SELECT count(stent.dispatch('nop', concurrency_key => $key)) FROM generate_series(1, $many) n;
		SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid(); COMMIT"), "$many\n0", "$many tasks of $of, no lock held");
	all_end($node, "$many tasks of $of", patience => 300);
}
is($node->safe_psql('postgres', "SELECT sum(ready), sum(scheduled), sum(blocked), bool_and(exact) FROM stent.queues"), '0|0|0|t', 'counts are exact');
is($node->safe_psql('postgres', 'SELECT count(*) FROM stent.line'), 0, 'no line is left');
$node->stop;
done_testing();
