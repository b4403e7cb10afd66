# A primary goes down under load and its synchronous standby is promoted.
#
# On a standby nothing runs; after its promotion work goes on by itself. What
# was acknowledged is there, ended exactly once, and so are its effects.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Stent;
use Test::More;
use Time::HiRes qw(usleep);

my $primary = stent_node('primary', allows_streaming => 1, conf => "synchronous_standby_names = 'standby'\nsynchronous_commit = local");
$primary->start;
install($primary, 'postgres');
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;
$primary->safe_psql('postgres', 'ALTER SYSTEM SET synchronous_commit = remote_write');
$primary->reload;
$primary->poll_query_until('postgres', q{SELECT sync_state = 'sync' FROM pg_stat_replication WHERE application_name = 'standby'});

my $load = begin_load($primary, 'postgres', 2);
my $ended = 'SELECT count(*) FROM stent.tasks WHERE finished_at IS NOT NULL';
comes($primary, "SELECT ($ended) > 300", 'tasks run on the primary');
# what lasts is under way, what is due is not due, when the primary goes
my @more = split(/\|/, $primary->safe_psql('postgres', q{
	SELECT stent.dispatch('tell', '{"expression": "pg_sleep(2)"}'), stent.dispatch('work', delay => '3s'), stent.dispatch('work', delay => '1h')}));
comes($primary, qq{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'stent executor' AND query LIKE 'tell (task $more[0],%'}, 'one lasts', expected => 1);
comes($standby, "SELECT ($ended) > 300", 'the standby follows');
is($standby->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'stent %'}), 0, 'on the standby none of our processes runs');
my ($code, $out, $error) = $standby->psql('postgres', 'SELECT stent.run()');
isnt($code, 0, 'and nobody can make one run there');
unlike($error, qr/server closed/, 'by an error');

$primary->stop('immediate');
my @acknowledged = (end_load($load), @more);
$standby->promote;
$standby->safe_psql('postgres', q{ALTER SYSTEM RESET synchronous_standby_names});
$standby->reload;
comes($standby, q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'stent %'} =~ s/count\(\*\)/count(*) >= 3/r, 'after its promotion processes start');
$load = begin_load($standby, 'postgres', 2);
comes($standby, "SELECT count(*) > 300 FROM stent.tasks WHERE finished_at IS NOT NULL AND id > (SELECT max(a) FROM unnest('{" . join(',', @acknowledged) . "}'::bigint[]) a)",
	'new tasks run there');
push @acknowledged, end_load($load);
comes($standby, "SELECT state FROM stent.tasks WHERE id = $_", 'what was under way, or not due, ends', expected => 'completed') for @more[0, 1];
comes($standby, 'SELECT count(*) FROM stent.task', 'all ends but what is not due', expected => 1);
is($standby->safe_psql('postgres', 'SELECT task_id, due_at > stent.now() FROM stent.due'), "$more[2]|t", 'which is left');
$standby->safe_psql('postgres', 'DELETE FROM stent.due; DELETE FROM stent.task');
books_balance($standby, 'postgres', [ grep { $_ ne $more[2] } @acknowledged ], 'the books balance');
is($standby->safe_psql('postgres', "SELECT string_agg(attempt::text, ',') FROM stent.tasks WHERE id IN ($more[0], $more[1])"), '1,1', 'uncharged');
$standby->stop;

done_testing();
