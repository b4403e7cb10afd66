# Kills executors again and again while hundreds of orchestrators call, spawn, sleep, wait for
# signals, catch errors and are retried.
#
# Afterwards each has ended well, every effect is there exactly once, no child was made
# twice, and nobody was charged an attempt for a kill.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use PostgreSQL::Test::Utils;
use Stent;
use Test::More;

my $KILLS = 4;
my $node = stent_node('flows', conf => "stent.max_crashes = 100");
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION stent;
	CREATE TABLE effect (execution_id bigint, what text);    -- nothing forbids duplicates
	CREATE FUNCTION leaf(what text, fail boolean DEFAULT false) RETURNS text LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO public.effect VALUES (stent.execution_id(), what);
		PERFORM pg_sleep(0.001);
		IF fail THEN
			RAISE EXCEPTION 'cannot' USING ERRCODE = 'XX123';
		END IF;
		RETURN what;
	END $$;
	CREATE FUNCTION sender() RETURNS void LANGUAGE sql AS $$
		INSERT INTO public.effect VALUES (stent.execution_id(), 'sender');
		SELECT stent.signal(stent.execution_id(), 'go', to_jsonb(stent.execution_id()));
	$$;
	CREATE FUNCTION flow(n int) RETURNS jsonb LANGUAGE plpgsql AS $$
	DECLARE
		seen jsonb := '[]';
		ids bigint[] := '{}';
	BEGIN
		INSERT INTO public.effect VALUES (stent.execution_id(), 'own, first');
		seen := seen || stent.call('leaf', '{"what": "call"}');
		seen := seen || stent.step('local', 'leaf', '{"what": "step"}');
		FOR i IN 1 .. 3 LOOP
			ids := ids || stent.spawn('leaf', jsonb_build_object('what', format('spawned %s', i)));
		END LOOP;
		IF n % 3 = 0 THEN
			PERFORM stent.sleep('0.1 s');
		END IF;
		seen := seen || stent.await_all(ids);
		IF n % 5 = 0 THEN
			PERFORM stent.spawn('sender');
			IF stent.await_signal('go') <> to_jsonb(stent.execution_id()) THEN
				RAISE EXCEPTION 'the signal of another';
			END IF;
		END IF;
		BEGIN
			INSERT INTO public.effect VALUES (stent.execution_id(), 'undone');
			PERFORM stent.call('leaf', '{"what": "undone", "fail": true}');
		EXCEPTION WHEN SQLSTATE 'XX123' THEN
			seen := seen || stent.call('leaf', '{"what": "instead"}');
		END;
		IF n % 11 = 0 AND stent.attempt() = 1 THEN
			RAISE EXCEPTION 'first attempt';
		END IF;
		INSERT INTO public.effect VALUES (stent.execution_id(), 'own, last');
		RETURN seen;
	END $$;
	SELECT stent.register('leaf', 'leaf(text, boolean)', retry => '{"max_attempts": 1}'), stent.register('sender', 'sender()'),
		stent.register('flow', 'flow(int)', retry => '{"max_attempts": 2, "initial_delay": "0.01s"}')});

my $FLOWS = 0;

sub dispatch
{
	my ($n) = @_;

	$node->safe_psql('postgres', "SELECT count(*) FROM stent.dispatch_many('flow', ARRAY(SELECT jsonb_build_object('n', $FLOWS + n) FROM generate_series(1, $n) n))");
	$FLOWS += $n;
	return;
}
dispatch(500);

for my $kill (1 .. $KILLS)
{
	my $pid;

	# whichever works just now
	until ($pid)
	{
		my $found = value($node, 'postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'stent executor' AND state = 'active' AND query ~ '^(flow|leaf)' LIMIT 1});

		$pid = $found if $found;
		# a fast machine has done all of them before it is seen at work
		dispatch(200) if !$pid && (value($node, 'postgres', 'SELECT count(*) FROM stent.task') // 1) eq '0';
		die 'never seen at work' if $FLOWS > 10_000;
	}
	ok($pid, "kill $kill: an executor is at work") or last;
	kill 'KILL', $pid;
	# only a server that has recovered does not list it
	comes($node, "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)", "kill $kill: the server is back");
	my $done = value($node, 'postgres', q{SELECT count(*) FROM stent.tasks WHERE finished_at IS NOT NULL}) // 0;
	comes($node, "SELECT count(*) > least($done + 50, 7 * $FLOWS) FROM stent.tasks WHERE finished_at IS NOT NULL", "kill $kill: tasks go on");
}
all_end($node, 'every task comes to its end');

sub finds
{
	my ($query, $expected, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($node->safe_psql('postgres', $query), $expected, $name);
	return;
}

finds('SELECT state, count(*) FROM stent.executions GROUP BY 1', "completed|$FLOWS", 'all are completed');
finds(q{SELECT DISTINCT result FROM stent.executions}, '["call", "step", "spawned 1", "spawned 2", "spawned 3", "instead"]', 'with one result');
finds(q{SELECT what, count(*) - count(DISTINCT execution_id), count(*) FROM effect GROUP BY 1 ORDER BY 1},
	join("\n", map { "$_|0|" . ($_ eq 'sender' ? int($FLOWS / 5) : $FLOWS) } 'call', 'instead', 'own, first', 'own, last', 'sender', 'spawned 1', 'spawned 2', 'spawned 3', 'step'),
	'every effect is there once');
finds(q{SELECT (args ->> 'n')::int % 11 = 0, attempt, count(*) FROM stent.executions GROUP BY 1, 2 ORDER BY 1},
	join("\n", 'f|1|' . ($FLOWS - int($FLOWS / 11)), 't|2|' . int($FLOWS / 11)), 'nobody was charged for a kill');
# what failed is called anew by the second attempt; what was called instead has succeeded
finds(q{SELECT args ->> 'what', state, count(*) FROM stent.tasks WHERE function = 'leaf' GROUP BY 1, 2 ORDER BY 1},
	join("\n", "call|completed|$FLOWS", "instead|completed|$FLOWS", (map { "spawned $_|completed|$FLOWS" } 1 .. 3), 'undone|failed|' . ($FLOWS + int($FLOWS / 11))),
	'each child was made once, that which failed once an attempt');
finds('SELECT (SELECT count(*) FROM stent.ready), (SELECT count(*) FROM stent.due), (SELECT count(*) FROM stent.waiter), (SELECT count(*) FROM stent.child)', '0|0|0|0', 'no entry is left');
$node->stop;
done_testing();
