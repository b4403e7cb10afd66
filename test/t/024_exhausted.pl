# No background worker slot is free, or an executor cannot connect: what there
# is does the work, by turns; a lack is told once, not all the time; failing
# starts come further and further apart; and all recovers by itself.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use PostgreSQL::Test::Utils;
use Stent;
use Test::More;
use Time::HiRes qw(usleep);

# Launcher and scheduler of one database leave two for executors and other workers.
my $node = stent_node('exhausted', conf => "stent.max_executors = 4\nmax_logical_replication_workers = 0");
$node->append_conf('postgresql.conf', 'max_worker_processes = 4');
$node->start;
install($node, 'postgres');

sub sql { return $node->safe_psql('postgres', shift) }
sub warnings { return scalar(() = slurp_file($node->logfile) =~ /WARNING:  stent could not start/g) }

sub dispatch_as
{
	my ($role, $tasks) = @_;

	sql("SET SESSION AUTHORIZATION $role; SELECT count(stent.dispatch('work')) FROM generate_series(1, $tasks)");
	return;
}

sql("CREATE ROLE $_ LOGIN; SELECT stent.grant_usage('$_')") for map { "r$_" } 1 .. 8;
dispatch_as("r$_", 100) for 1 .. 8;
all_end($node, 'two executors do the work of eight roles');
cmp_ok(warnings(), '==', 1, 'the lack of slots is told once');
dispatch_as("r$_", 100) for 1 .. 8;
all_end($node, 'and again');
cmp_ok(warnings(), '==', 1, 'and not again');

# Both slots taken for long, and given back.
my $gate = $node->background_psql('postgres');
$gate->query_safe('SELECT pg_advisory_lock(1)');
for my $role ('r1', 'r2')
{
	sql(qq{SET SESSION AUTHORIZATION $role; SELECT stent.dispatch('hold', '{"n": 1}')});
}
my $holding = q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted};
comes($node, $holding, 'both executors are busy for long', expected => 2);
dispatch_as('r3', 10);
$gate->query_safe('SELECT pg_advisory_unlock(1)');
all_end($node, 'who waited for a slot gets it when one is free', patience => 20);

books_balance($node, 'postgres', [], 'the books balance');
$node->stop;

# An executor cannot connect.
$node = stent_node('refused', conf => 'stent.max_executors = 4');
$node->start;
install($node, 'postgres');
sql(q{CREATE ROLE worker LOGIN; SELECT stent.grant_usage('worker'); CREATE ROLE other LOGIN; SELECT stent.grant_usage('other')});

sub refused
{
	my ($refuse, $allow, $pattern, $what) = @_;
	my $log = -s $node->logfile;

	sql(q{SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE backend_type = 'stent executor'});
	comes($node, q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'stent executor'}, "$what: no executor", expected => 0);
	sql($refuse);
	sql(q{SET ROLE worker; SELECT stent.dispatch('work')});
	my $starts = sub { return scalar(() = slurp_file($node->logfile, $log) =~ /$pattern/g) };
	my $end = time + 60;
	usleep(20_000) until $starts->() >= 2 || time > $end;
	sql(q{SET ROLE other; SELECT stent.dispatch('work')});
	comes($node, q{SELECT count(*) FROM stent.tasks WHERE role = 'other' AND finished_at IS NULL}, "$what: others go on", expected => 0);
	usleep(20_000) until $starts->() >= 3 || time > $end;
	my @at = map { /(\d\d):(.*)/; 60 * $1 + $2 } slurp_file($node->logfile, $log) =~ /:(\d\d:\d\d\.\d\d\d) \S+ .*$pattern/g;
	cmp_ok(@at, '>=', 3, "$what: tried again");
	# not before 1 s, then 2 s
	my @apart = map { my $d = $at[$_] - $at[ $_ - 1 ]; $d < 0 ? $d + 3600 : $d } 1 .. $#at;
	cmp_ok($apart[0], '>=', 1, "$what: after a delay") if @at >= 3;
	cmp_ok($apart[1], '>=', 2, "$what: and then a longer one") if @at >= 3;
	is(sql(q{SELECT count(*) FROM stent.tasks WHERE role = 'worker' AND (state, attempt) = ('ready', 0)}), 1, "$what: uncharged");
	sql($allow);
	comes($node, q{SELECT count(*) FROM stent.tasks WHERE role = 'worker' AND finished_at IS NULL}, "$what: runs when it may", expected => 0, patience => 20);
	return;
}

# connection limits are for clients
sql(q{ALTER ROLE worker CONNECTION LIMIT 0; SET ROLE worker; SELECT stent.dispatch('work')});
all_end($node, 'a limit of connections does not concern executors');
refused(q{REVOKE CONNECT ON DATABASE postgres FROM PUBLIC; GRANT CONNECT ON DATABASE postgres TO other},
	q{GRANT CONNECT ON DATABASE postgres TO PUBLIC}, 'FATAL:  permission denied for database "postgres"', 'right to connect');

# a database that takes no connections
sql(q{CREATE DATABASE closed});
sql(q{ALTER SYSTEM SET stent.databases = 'postgres, closed'});
$node->reload;
install($node, 'closed');
comes($node, q{SELECT count(*) FROM stent.dispatch('work')}, 'a database', expected => 1, database => 'closed');
all_end($node, 'is served', database => 'closed');
sql(q{ALTER DATABASE closed ALLOW_CONNECTIONS false});
sql(q{SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = 'closed'});
comes($node, q{SELECT count(*) FROM pg_stat_activity WHERE datname = 'closed'}, 'nobody is in a closed database', expected => 0);
sql(q{SET ROLE other; SELECT stent.dispatch('work')});
all_end($node, 'others go on');
sql(q{ALTER DATABASE closed ALLOW_CONNECTIONS true});
$node->safe_psql('closed', q{SELECT stent.dispatch('work')});
all_end($node, 'it is served when it is open', database => 'closed', patience => 20);
books_balance($node, $_, [], "the books of $_ balance") for 'postgres', 'closed';
$node->stop;

done_testing();
