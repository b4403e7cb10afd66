# What the tests of executors share: a preloaded server, waiting for states,
# clients that dispatch all the time, and the accounting afterwards.
package Stent;

use strict;
use warnings;
use Exporter 'import';
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

our @EXPORT = qw(stent_node install comes value pids all_end begin_load end_load acknowledged books_balance);

# Far below the backstop of five minutes: what it saved would be seen as late.
my $PATIENCE_S = 40 * $PostgreSQL::Test::Utils::timeout_default / 180;

# A server that preloads the library, not started yet.
sub stent_node
{
	my ($name, %params) = @_;
	my $conf = delete $params{conf} // '';
	my $preload = delete $params{preload} // 1;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init(%params);
	$node->append_conf('postgresql.conf', "shared_preload_libraries = 'stent'") if $preload;
	$node->append_conf('postgresql.conf', <<CONF);
max_connections = 60
max_worker_processes = 16
max_prepared_transactions = 10
restart_after_crash = on
autovacuum = off
log_statement = none
$conf
CONF
	return $node;
}

# The extension in a database, with a table of effects and functions:
#   work(n)   leaves an effect; each 50th fails once, each 500th always
#   hold(n)   leaves an effect once the advisory lock n is free
#   tell(sql) returns what an expression is in its session
sub install
{
	my ($node, $database) = @_;

	$node->safe_psql($database, q{
		CREATE EXTENSION stent;
		CREATE TABLE effect (task_id bigint, attempt int);
		GRANT SELECT, INSERT ON effect TO PUBLIC;
		CREATE FUNCTION work(n int DEFAULT 1) RETURNS int LANGUAGE plpgsql AS $$
		BEGIN
			INSERT INTO public.effect VALUES (stent.task_id(), stent.attempt());
			IF n % 500 = 0 OR n % 50 = 0 AND stent.attempt() = 1 THEN
				RAISE EXCEPTION 'attempt % of %', stent.attempt(), n;
			END IF;
			RETURN n;
		END $$;
		CREATE FUNCTION hold(n int) RETURNS int LANGUAGE plpgsql AS $$
		BEGIN
			INSERT INTO public.effect VALUES (stent.task_id(), stent.attempt());
			PERFORM pg_advisory_xact_lock_shared(n);
			RETURN n;
		END $$;
		CREATE FUNCTION tell(expression text) RETURNS text LANGUAGE plpgsql AS $$
		DECLARE answer text;
		BEGIN
			EXECUTE 'SELECT ' || expression INTO answer;
			INSERT INTO public.effect VALUES (stent.task_id(), stent.attempt());
			RETURN answer;
		END $$;
		SELECT stent.register('work', 'work(int)', retry => '{"initial_delay": "0.01s", "max_attempts": 2}');
		SELECT stent.register('hold', 'hold(int)');
		SELECT stent.register('tell', 'tell(text)')});
	return;
}

# One value by a query, or undef while the server cannot answer.
sub value
{
	my ($node, $database, $query) = @_;
	my ($out, $err);

	# a server that refuses connections may be rid of psql before the query is written to it
	my $status = eval { $node->psql($database, $query, stdout => \$out, stderr => \$err) } // -1;
	return undef if $status != 0;
	return $out;
}

# A test: the query comes to say true (or what is expected). If not, nothing that
# follows would mean anything.
sub comes
{
	my ($node, $query, $name, %params) = @_;
	my $database = $params{database} // 'postgres';
	my $expected = $params{expected} // 't';
	my $end = time + ($params{patience} // $PATIENCE_S);
	my $last;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	for (;;)
	{
		$last = value($node, $database, $query);
		if (defined $last && $last eq $expected)
		{
			pass($name);
			return 1;
		}
		last if time >= $end;
		usleep(20_000);
	}
	fail($name);
	diag("expected: $expected\nlast: " . ($last // 'no answer') . "\nquery: $query");
	diag(value($node, $database, q{SELECT pid, backend_type, datname, usename, state, wait_event, query FROM pg_stat_activity
		WHERE backend_type LIKE 'stent%' OR backend_type = 'client backend'}) // 'no answer');
	diag(value($node, $database, 'SELECT jsonb_pretty(stent.health())') // 'no health');
	diag(value($node, $database, q{SELECT id, function, role, state, attempt, due_at, error FROM stent.tasks
		WHERE finished_at IS NULL ORDER BY id LIMIT 20}) // 'no answer');
	die 'waited in vain';
}

# The processes of a kind.
sub pids
{
	my ($node, $kind, $more) = @_;

	$more = $more ? "AND $more" : '';
	return split(/\n/, $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'stent $kind' $more ORDER BY pid"));
}

# A test: every task comes to its end.
sub all_end
{
	my ($node, $name, %params) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return comes($node, 'SELECT NOT EXISTS (SELECT FROM stent.task)', $name, %params);
}

# Clients that dispatch, one transaction each, until end_load. A client connects
# again when the server comes back; what it got an id for is acknowledged.
my $loads = 0;

sub begin_load
{
	my ($node, $database, $clients) = @_;
	my $base = PostgreSQL::Test::Utils::tempdir() . "/load" . ++$loads;
	my $load = { node => $node, base => $base, runs => [] };
	my $script = join('', map { "SELECT stent.dispatch('work', jsonb_build_object('n', $_));\n" } map { 10 * $_ } 1 .. 50);

	PostgreSQL::Test::Utils::append_to_file("$base.sql", $script);
	PostgreSQL::Test::Utils::append_to_file("$base.on", '');
	for my $n (1 .. $clients)
	{
		my $connection = $node->connstr($database);

		push @{ $load->{runs} }, IPC::Run::start(
			[ 'bash', '-c', "while [ -e '$base.on' ]; do psql -XAtq -f '$base.sql' '$connection' >>'$base.out$n' 2>>'$base.err$n' || sleep 0.05; done" ],
			'<', '/dev/null');
	}
	return $load;
}

sub end_load
{
	my ($load) = @_;

	unlink("$load->{base}.on");
	$_->finish for @{ $load->{runs} };
	return acknowledged($load);
}

# The ids of all tasks whose dispatch was acknowledged so far.
sub acknowledged
{
	my ($load) = @_;

	return map { split(/\n/, PostgreSQL::Test::Utils::slurp_file($_)) } glob("$load->{base}.out*");
}

# A test: every acknowledged task ended exactly once, and so did all others;
# effects are those of completed tasks, once each; attempts are as the arguments
# of work() say, so nobody was charged for a crash.
sub books_balance
{
	my ($node, $database, $acknowledged, $name) = @_;
	my $ids = join(',', grep { /^\d+$/ } @$acknowledged);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($node->safe_psql($database, "CREATE TEMP TABLE acknowledged AS SELECT unnest('{$ids}'::bigint[]) AS id;\n" . q{
		CREATE TEMP TABLE everything AS
			SELECT id, function_id, stent._state_name(state) AS state, attempt::int FROM stent.archive
			UNION ALL SELECT id, function_id, stent._state_name(state), attempt FROM stent.archive_kept
			UNION ALL SELECT id, function_id, 'failed', attempt FROM stent.dead_letter
			UNION ALL SELECT id, function_id, 'live', attempt FROM stent.task;
		CREATE TEMP TABLE arguments AS SELECT id, function, (args ->> 'n')::int AS n FROM stent.tasks;
		CREATE INDEX ON everything (id);
		ANALYZE everything, arguments, acknowledged;
		SELECT 'acknowledged but not there', a.id FROM acknowledged a LEFT JOIN everything e USING (id) WHERE e.id IS NULL
		UNION ALL SELECT 'in two places', id FROM everything GROUP BY id HAVING count(*) > 1
		UNION ALL SELECT 'not ended', id FROM everything WHERE state = 'live'
		UNION ALL SELECT 'effects ' || COALESCE(x.n, 0) || ' of ' || COALESCE(state, 'none'), COALESCE(e.id, x.id) FROM everything e
			FULL JOIN (SELECT task_id AS id, count(*) AS n FROM public.effect GROUP BY 1) x ON x.id = e.id
			WHERE COALESCE(x.n, 0) <> (state = 'completed')::int OR e.id IS NULL
		UNION ALL SELECT 'state ' || state || ' attempt ' || attempt, id FROM everything JOIN arguments USING (id)
			WHERE function = 'work' AND (state, attempt) IS DISTINCT FROM
				(CASE WHEN n % 500 = 0 THEN 'failed' ELSE 'completed' END, CASE WHEN n % 50 = 0 THEN 2 ELSE 1 END)
		UNION ALL SELECT 'left in ready', task_id FROM stent.ready
		UNION ALL SELECT 'left in due', task_id FROM stent.due
		LIMIT 20}), '', $name);
	return;
}

1;
