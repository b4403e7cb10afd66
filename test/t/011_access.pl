# Executors of several roles: each task runs as its dispatcher and cannot become
# anybody else, and what it leaves in the session does not reach the next one.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'stent'
stent.databases = 'postgres'
stent.max_executors = 3
max_worker_processes = 12
autovacuum = off
});
$node->start;
my $db = 'postgres';
$node->safe_psql($db, q{
	CREATE EXTENSION stent;
	CREATE ROLE alice LOGIN;
	CREATE ROLE bob LOGIN;
	CREATE ROLE carol LOGIN;
	CREATE ROLE team LOGIN;
	GRANT team TO alice, bob;
	SELECT stent.grant_usage(r) FROM unnest(ARRAY['alice', 'bob', 'carol', 'team']::name[]) r;
	CREATE TABLE witness (at text, cur text, ses text, super bool);
	GRANT ALL ON witness TO PUBLIC;
	CREATE FUNCTION who() RETURNS jsonb LANGUAGE sql AS $$
		SELECT jsonb_build_object('cur', current_user, 'ses', session_user, 'super', (SELECT rolsuper FROM pg_roles WHERE rolname = current_user),
			'setting', current_setting('is_superuser')) $$;
	CREATE FUNCTION witness() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN INSERT INTO witness SELECT 'trigger', current_user, session_user, rolsuper FROM pg_roles WHERE rolname = current_user; RETURN NULL; END $$;
	CREATE TABLE bait (n int);
	CREATE CONSTRAINT TRIGGER witness AFTER INSERT ON bait DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION witness();
	GRANT INSERT ON bait TO PUBLIC;
	-- does something, and says who it has become
	CREATE FUNCTION become(how text) RETURNS jsonb LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO bait VALUES (1);
		EXECUTE how;
		RETURN who();
	END $$;
	SELECT stent.register('who', 'who()'), stent.register('become', 'become(text)', retry => '{"max_attempts": 1}')});

sub dispatch_as
{
	my ($role, $function, $args) = @_;
	return $node->safe_psql($db, "SELECT stent.dispatch('$function', \$args\$" . ($args // '{}') . '$args$)', extra_params => [ '-U', $role ]);
}

sub outcome
{
	my ($id) = @_;
	$node->poll_query_until($db, "SELECT finished_at IS NOT NULL FROM stent.tasks WHERE id = $id")
	  or die "task $id has not ended: " . $node->safe_psql($db, "SELECT stent.why($id)");
	return $node->safe_psql($db, "SELECT COALESCE(concat_ws(' ', result ->> 'cur', result ->> 'ses', result ->> 'super', result ->> 'setting', result ->> 'found'), '')
		|| COALESCE(error ->> 'code', '') FROM stent.tasks WHERE id = $id");
}

# -- each as its own
my $super = $node->safe_psql($db, 'SELECT current_user');
my %first = map { $_ => dispatch_as($_, 'who') } 'alice', 'bob', 'carol', 'team';
is(outcome($first{$_}), "$_ $_ false off", "a task of $_ runs as $_") for sort keys %first;
is(outcome(dispatch_as($super, 'who')), "$super $super true on", 'a task of the superuser runs as the superuser');

# -- and stays it
my %attempts = (
	'RESET SESSION AUTHORIZATION' => 'alice alice false off',
	'SET SESSION AUTHORIZATION DEFAULT' => 'alice alice false off',
	"SET SESSION AUTHORIZATION $super" => '42501',
	'SET SESSION AUTHORIZATION bob' => '42501',
	"SET ROLE $super" => '42501',
	'SET ROLE carol' => '42501',
	'SET ROLE team' => 'team alice false off',
	'RESET ROLE' => 'alice alice false off',
	'SET ROLE team; RESET ROLE' => 'alice alice false off',
	'RESET ALL' => 'alice alice false off',
	"SELECT set_config('session_authorization', '$super', false)" => '42501',
	"SELECT set_config('role', '$super', true)" => '42501',
	'SET CONSTRAINTS ALL IMMEDIATE' => 'alice alice false off',
	"COPY (SELECT 1) TO PROGRAM 'true'" => '42501',
	"SET stent.clock = '2030-01-01'" => '42501',
	'ALTER ROLE alice SUPERUSER' => '42501',
	'TABLE stent.task' => '42501',
	'SELECT stent._fold_tallies()' => '42501',
	'SELECT stent.health()' => '42501',
	'DISCARD ALL' => '25001',
	'LISTEN gossip' => '0A000',);
for my $how (sort keys %attempts)
{
	is(outcome(dispatch_as('alice', 'become', '{"how": "' . $how . '"}')), $attempts{$how}, "alice: $how");
	is(outcome(dispatch_as('alice', 'who')), 'alice alice false off', 'the next task is alice again');
}
is($node->safe_psql($db, 'SELECT DISTINCT cur, ses, super FROM witness'), "alice|alice|f\nteam|alice|f", 'deferred triggers ran as the role, or one it may be');
is($node->safe_psql($db, "SELECT count(*) FROM stent.tasks WHERE role <> 'alice' AND function = 'become'"), 0, 'all tasks were hers');

# -- a role's own settings do not hand its session to another
$node->safe_psql($db, "ALTER FUNCTION who() SET search_path = public, pg_catalog;
	ALTER ROLE bob SET role = 'team'; ALTER ROLE bob SET search_path = 'nowhere'; ALTER ROLE bob SET default_transaction_read_only = on;
	ALTER ROLE bob SET default_transaction_isolation = 'repeatable read';
	SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'stent executor'");
$node->poll_query_until($db, "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'stent executor'");
my $bobs = $node->safe_psql($db, "SET transaction_read_only = off; SET default_transaction_read_only = off; SELECT stent.dispatch('who')",
	extra_params => [ '-U', 'bob' ]);
is($node->safe_psql($db, "SELECT role FROM stent.tasks WHERE id = $bobs"), 'team', 'bob dispatches as team, by his settings');
is(outcome($bobs), 'team team false off', 'and that runs in a session of team');
# before 17 nobody serves team then, so that a session of bob that began as team would be the one to take its tasks
$node->safe_psql($db, 'SELECT stent.stop()');
$node->poll_query_until($db, "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'stent executor'");
my $teams = $node->safe_psql($db, "SET SESSION AUTHORIZATION team; SELECT stent.dispatch('who')");
$bobs = $node->safe_psql($db, "SET SESSION AUTHORIZATION bob; SET ROLE none; SELECT stent.dispatch('who')");
$node->safe_psql($db, 'ALTER ROLE team NOLOGIN; SELECT stent.start()');
is(outcome($bobs), 'bob bob false off', 'a task of bob runs as bob');
is($node->safe_psql($db, "SELECT state = 'ready' OR current_setting('server_version_num')::int >= 170000 FROM stent.tasks WHERE id = $teams"), 't',
	'his executor does not run those of team');
$node->safe_psql($db, 'ALTER ROLE team LOGIN; ALTER ROLE bob RESET ALL');
is(outcome($teams), 'team team false off', 'a session of team does');

# -- one executor, one task after the other: nothing is left for the next
$node->safe_psql($db, q{
	CREATE FUNCTION litter() RETURNS jsonb LANGUAGE plpgsql AS $$
	BEGIN
		SET work_mem = '77MB';
		SET search_path = nowhere, public;
		SET ROLE team;
		RESET ROLE;
		PERFORM pg_advisory_lock(4711), pg_advisory_lock_shared(4712);
		EXECUTE 'PREPARE litter AS SELECT 1';
		CREATE TEMP TABLE litter (n int) ON COMMIT PRESERVE ROWS;
		CREATE TEMP SEQUENCE litter_seq;
		EXECUTE 'CREATE FUNCTION pg_temp.litter() RETURNS int LANGUAGE sql AS ''SELECT 1''';
		EXECUTE 'DECLARE litter CURSOR WITH HOLD FOR SELECT 1';
		PERFORM set_config('litter.custom', 'left', false);
		SET CONSTRAINTS ALL IMMEDIATE;
		RETURN jsonb_build_object('found', pg_backend_pid());
	END $$;
	CREATE FUNCTION look() RETURNS jsonb LANGUAGE sql AS $$
		SELECT jsonb_build_object('found', concat_ws(' ', current_setting('work_mem'), current_setting('search_path'), current_user,
			(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()),
			(SELECT count(*) FROM pg_prepared_statements WHERE name = 'litter'),
			(SELECT count(*) FROM pg_class WHERE relname ~ '^litter'), (SELECT count(*) FROM pg_proc WHERE proname = 'litter' AND pronamespace <> 'public'::regnamespace),
			(SELECT count(*) FROM pg_cursors WHERE name = 'litter'), '[' || COALESCE(current_setting('litter.custom', true), '') || ']', pg_backend_pid())) $$;
	SELECT stent.register('litter', 'litter()', retry => '{"max_attempts": 1}'), stent.register('look', 'look()');
	ALTER SYSTEM SET stent.max_executors = 1});
$node->reload;
$node->poll_query_until($db, "SELECT count(*) <= 1 FROM pg_stat_activity WHERE backend_type = 'stent executor'");
outcome(dispatch_as('alice', 'look'));    # so that both are known to be quick and share a commit
outcome(dispatch_as('alice', 'litter'));
for my $round (1 .. 2)
{
	my $litter = dispatch_as('alice', 'litter');
	my $left = outcome($litter);
	like($left, qr/^\d+$/, "litter ran by $left");
	is(outcome(dispatch_as('alice', 'look')), qq{4MB "\$user", public alice 0 0 0 0 0 [] $left}, 'nothing of it is left in the same session');
}
# in one commit
my $ids = $node->safe_psql($db, "BEGIN; SELECT stent.dispatch('look'); SELECT stent.dispatch('litter', priority => -1); SELECT stent.dispatch('look', priority => -2); COMMIT",
	extra_params => [ '-U', 'alice' ]);
my (undef, undef, $last) = split(/\n/, $ids);
like(outcome($last), qr/^4MB "\$user", public alice 0 0 0 0 0 \[\] \d+$/, 'nor in the same commit');
is($node->safe_psql($db, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"), 0, 'no lock is left anywhere');

# -- a role that loses its right to log in
SKIP:
{
	skip 'roles without LOGIN are served', 2 if $node->safe_psql($db, "SELECT current_setting('server_version_num')::int >= 170000") eq 't';
	$node->safe_psql($db, 'ALTER ROLE carol NOLOGIN');
	my ($ret, $out, $err) = $node->psql($db, "SET SESSION AUTHORIZATION carol; SELECT stent.dispatch('who')");
	like($err, qr/role "carol" cannot log in, so its tasks could not run/, 'cannot dispatch');
	like($err, qr/HINT:  ALTER ROLE carol LOGIN/, 'and is told what to do');
}

done_testing();
