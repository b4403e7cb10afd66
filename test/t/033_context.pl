# Counters, context and progress where executors run the tasks.
#
# What a handler tells of its step is seen while it runs; what it adds to a counter
# counts once, whatever happens to the session that runs it; the scheduler folds
# counters that have many rows.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => [ "--encoding=UTF8", "--no-locale" ]);
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'stent'
stent.databases = 'postgres'
stent.max_executors = 4
max_worker_processes = 12
autovacuum = off
});
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION stent;
	CREATE ROLE app LOGIN;
	CREATE ROLE other LOGIN;
	SELECT stent.grant_usage('app'), stent.grant_usage('other');
	CREATE FUNCTION gate(step text DEFAULT NULL) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		IF step IS NOT NULL THEN
			PERFORM stent.progress('before'), stent.progress(step);
		END IF;
		PERFORM pg_advisory_xact_lock_shared(42);
	END $$;
	CREATE FUNCTION adds(fails boolean DEFAULT false) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM stent.counter_add('n', 1);
		PERFORM pg_sleep(0.01);
		IF fails AND stent.attempt() = 1 THEN
			RAISE EXCEPTION 'once';
		END IF;
	END $$;
	CREATE FUNCTION many() RETURNS void LANGUAGE sql AS $$ SELECT stent.counter_add('c' || n, n) FROM generate_series(1, 50) n $$;
	SELECT stent.register('gate', 'gate(text)'), stent.register('many', 'many()'),
		stent.register('adds', 'adds(boolean)', retry => '{"initial_delay": "0.01s", "jitter": 0}')});

sub value { my ($sql) = @_; return $node->safe_psql('postgres', $sql) }

sub value_as { my ($role, $sql) = @_; return $node->safe_psql('postgres', $sql, extra_params => [ '-U', $role ]) }

sub becomes
{
	my ($sql, $wanted, $name) = @_;
	ok($node->poll_query_until('postgres', $sql, $wanted), $name) or diag('instead of ' . $wanted . ': ' . value($sql));
}

# -- the step of a running handler
my $keeper = $node->background_psql('postgres');
$keeper->query_safe('SELECT pg_advisory_lock(42)');
my $id = value_as('app', "SELECT stent.dispatch('gate', jsonb_build_object('step', 'now'))");
becomes("SELECT step FROM stent.running WHERE id = $id", 'now', 'the latest step is seen while the handler runs');
is(value_as('app', "SELECT step FROM stent.running"), 'now', 'by its role');
is(value_as('other', "SELECT count(*) FROM stent.running"), 0, 'by no other');
is(value("SELECT string_agg(status, ',') FROM stent.progress WHERE execution_id = $id"), 'dispatched', 'its entries are not there yet');
my $long = value_as('app', "SELECT stent.dispatch('gate', jsonb_build_object('step', 'x' || repeat(chr(228), 90)))");
becomes("SELECT step = 'x' || repeat(chr(228), 31) FROM stent.running WHERE id = $long", 't', 'a long step is cut between characters');
$keeper->query_safe('SELECT pg_advisory_unlock(42)');
value_as('app', "SELECT stent.wait_for($_)") for $id, $long;
is(value("SELECT string_agg(step, ',' ORDER BY at, id) FROM stent.progress WHERE execution_id = $id"), 'dispatch,before,now,end', 'they come with the end');
$keeper->query_safe('SELECT pg_advisory_lock(42)');
my @silent = split(/\n/, value_as('app', "SELECT stent.dispatch('gate') FROM generate_series(1, 3)"));
becomes('SELECT count(*) FROM stent.running', '3', 'the same executors run others');
is(value('SELECT count(step) FROM stent.running'), 0, 'that have told no step');
$keeper->query_safe('SELECT pg_advisory_unlock(42)');
value_as('app', "SELECT stent.wait_for($_)") for @silent;

# -- one counter, many sessions, some of which die
my $first = value(q{
	BEGIN;
	SELECT min(d) FROM stent.dispatch_many('adds', (SELECT array_agg(jsonb_build_object('fails', n % 10 = 0)) FROM generate_series(1, 600) n)) d;
	UPDATE stent.task SET execution_id = (SELECT min(id) FROM stent.task);
	COMMIT});
my $kills = 0;
for my $round (1 .. 8)
{
	$node->poll_query_until('postgres', "SELECT EXISTS (SELECT FROM stent.running WHERE function = 'adds') OR NOT EXISTS (SELECT FROM stent.task)");
	$kills += value("SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM stent.running WHERE function = 'adds' ORDER BY random() LIMIT 1) r");
}
cmp_ok($kills, '>', 0, 'sessions were killed');
becomes("SELECT count(*) FROM stent.task", '0', 'all tasks have ended');
is(value("SELECT count(*), count(*) FILTER (WHERE state = 'c'), count(*) FILTER (WHERE attempt = 2) FROM stent.archive WHERE function_id = (SELECT id FROM stent.function WHERE name = 'adds')"),
	'600|600|60', 'well, those that fail once at the second attempt');
is(value("SELECT stent.state_of($first) #>> '{counters,n}'"), 600, 'each has counted once');

# -- the scheduler folds counters with many rows
value(q{DO $$
	DECLARE first bigint; id bigint;
	BEGIN
		FOR i IN 1..60 LOOP
			id := stent.dispatch('many');
			first := COALESCE(first, id);
			UPDATE stent.task t SET execution_id = first WHERE t.id = currval('stent.id_seq');
			PERFORM stent.run(1);
			COMMIT;
		END LOOP;
	END $$});
becomes("SELECT max(n) < 60 FROM (SELECT count(*) AS n FROM stent.counter WHERE name LIKE 'c%' GROUP BY execution_id, name) c", 't', 'counters are folded');
is(value("SELECT count(*), bool_and(total = 60 * n) FROM (SELECT substr(name, 2)::int AS n, sum(delta) AS total FROM stent.counter WHERE name LIKE 'c%' GROUP BY name) c"),
	'50|t', 'and hold what was added');

# a server that restarts
value_as('app', "SELECT stent.dispatch('many')");
becomes('SELECT count(*) FROM stent.task', '0', 'it has run');
$node->restart;
is(value("SELECT stent.state_of($first) #>> '{counters,n}'"), 600, 'what was counted stays');

$keeper->quit;
done_testing();
