# Tasks that crash the server, with executors: each such task is run alone, ends as a
# dead letter after stent.max_crashes crashes, and harms nobody else. And clones:
# a copy of the data directory does not run the original's tasks until it is adopted.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'stent'
stent.max_crashes = 3
restart_after_crash = on
max_worker_processes = 16
log_min_messages = log
});
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION stent;
	CREATE TABLE effect (task_id bigint, n int);
	CREATE FUNCTION good(n int) RETURNS int LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO effect VALUES (stent.task_id(), n);
		RETURN n;
	END $$;
	-- as a crash in C code would: no goodbye
	CREATE FUNCTION deadly() RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO effect VALUES (stent.task_id(), -1);
		EXECUTE format('COPY (SELECT 1) TO PROGRAM %L', 'kill -9 ' || pg_backend_pid());
		PERFORM pg_sleep(60);
	END $$;
	CREATE FUNCTION bystander(lock int) RETURNS text LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM pg_advisory_xact_lock_shared(lock);
		INSERT INTO effect VALUES (stent.task_id(), 0);
		RETURN 'done';
	END $$;
	SELECT stent.register('good', 'good(int)'), stent.register('deadly', 'deadly()'), stent.register('bystander', 'bystander(int)');
});

sub becomes
{
	my ($sql, $want, $what) = @_;
	my $got = '';

	for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		my $status = $node->psql('postgres', $sql, stdout => \$got);

		last if $status == 0 && $got eq $want;
		select(undef, undef, undef, 0.1);
	}
	is($got, $want, $what);
}

# one deadly task among good ones, while another handler is at work
my $log = -s $node->logfile;
# at once: the first crash takes the session along that dispatches the others
$node->safe_psql('postgres', q{
	BEGIN;
	SELECT stent.dispatch('bystander', '{"lock": 1}', max_duration => '1d');
	SELECT count(*) FROM stent.dispatch_many('good', (SELECT array_agg(jsonb_build_object('n', n)) FROM generate_series(1, 500) n));
	SELECT stent.dispatch('deadly'), stent.dispatch('deadly', priority => 10);
	SELECT count(*) FROM stent.dispatch_many('good', (SELECT array_agg(jsonb_build_object('n', n)) FROM generate_series(501, 1000) n));
	COMMIT;
});
becomes("SELECT function, state, count(*) FROM stent.tasks GROUP BY 1, 2 ORDER BY 1, 2",
	"bystander|completed|1\ndeadly|failed|2\ngood|completed|1000", 'two deadly tasks end as dead letters, all others complete');
is($node->safe_psql('postgres', "SELECT error_code, attempt, (SELECT crashed FROM stent.dead_letter d WHERE d.id = l.id) FROM stent.dead_letters l"),
	"ST005|1|3\nST005|1|3", 'with their own error, after as many crashes as are allowed');
is($node->safe_psql('postgres', 'SELECT count(*), count(DISTINCT task_id), min(n) FROM effect'), '1001|1001|0', 'each effect once, of the deadly ones none');
is($node->safe_psql('postgres', "SELECT max(crashed), max(attempt) FROM (SELECT * FROM stent.archive UNION ALL SELECT * FROM stent.archive_kept) a WHERE state = 'c'"), '0|1', 'bystanders are not charged');
my $crashes = () = slurp_file($node->logfile, $log) =~ /reinitializing/g;
# the first time, two executors may do so together; later the two run one at a time
cmp_ok($crashes, '>=', 5, 'the server crashed for each');
cmp_ok($crashes, '<=', 8, 'and not much more often');
is($node->safe_psql('postgres', 'SELECT count(*) FROM stent.task'), 0, 'nothing is left over');

# a replayed one has a new count
$node->safe_psql('postgres', "CREATE OR REPLACE FUNCTION deadly() RETURNS void LANGUAGE sql AS 'SELECT'; SELECT stent.replay_many()");
becomes("SELECT state, count(*) FROM stent.tasks WHERE function = 'deadly' GROUP BY 1", 'completed|2', 'replayed once they are mended');

# -- a clone does not run the original's tasks
$node->safe_psql('postgres', "SELECT stent.stop()");
$node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'stent executor'");
my $id = $node->safe_psql('postgres', "SELECT stent.dispatch('good', '{\"n\": 2000}')");
$node->backup('clone');
my $clone = PostgreSQL::Test::Cluster->new('clone');
$clone->init_from_backup($node, 'clone');
$clone->start;
$clone->poll_query_until('postgres', "SELECT stent.health() #>> '{database,state}' = 'not adopted'") or die 'not noticed';
like($clone->safe_psql('postgres', "SELECT stent.health() ->> 'problems'"), qr/adopt/, 'a clone asks to be adopted');
like($clone->safe_psql('postgres', "SELECT stent.why($id)"), qr/adopt/, 'so does why()');
is($clone->safe_psql('postgres', "SELECT state FROM stent.tasks WHERE id = $id"), 'ready', 'and runs nothing');
is($clone->safe_psql('postgres', 'SELECT stent.adopt()'), 't', 'adopted');
is($clone->safe_psql('postgres', "SELECT stent.wait_for($id)"), '2000', 'it runs at once');
is($node->safe_psql('postgres', "SELECT state FROM stent.tasks WHERE id = $id"), 'ready', 'the original has its own');
$node->safe_psql('postgres', 'SELECT stent.start()');
is($node->safe_psql('postgres', "SELECT stent.wait_for($id)"), '2000', 'and runs it');

# -- a restored dump, too
$node->safe_psql('postgres', 'SELECT stent.stop()');
$id = $node->safe_psql('postgres', "SELECT stent.dispatch('good', '{\"n\": 3000}')");
$node->safe_psql('postgres', 'CREATE DATABASE restored');
$node->append_conf('postgresql.conf', "stent.databases = 'postgres, restored'");
$node->reload;
$node->command_ok([ 'sh', '-c', 'pg_dump -p ' . $node->port . ' postgres | psql -X -q -v ON_ERROR_STOP=1 -p ' . $node->port . ' restored' ], 'dump and restore into a served database');
$node->poll_query_until('restored', "SELECT stent.health() #>> '{database,adopted}' = 'false'") or die 'not noticed';
is($node->safe_psql('restored', "SELECT state FROM stent.tasks WHERE id = $id"), 'ready', 'the restored task is not run');
is($node->safe_psql('restored', 'SELECT stent.adopt()'), 't', 'adopted');
is($node->safe_psql('restored', "SELECT stent.wait_for($id)"), '3000', 'it runs');

done_testing();
