# What people see of workers and leased tasks where executors and a scheduler run.
#
# Leases expire by themselves in a database that is served, a worker falls silent by real
# time, both survive a crash of the server, a standby shows them, a dump carries them.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Stent;
use Test::More;

my $node = stent_node('workers_seen', conf => "stent.databases = 'postgres'", allows_streaming => 1);
$node->start;
install($node, 'postgres');

sub sql { return $node->safe_psql('postgres', shift) }

sub becomes
{
	my ($query, $expected, $name) = @_;
	ok($node->poll_query_until('postgres', $query, $expected), $name);
}

sql(q{SELECT stent.register('outside', queue => 'o', retry => '{"max_attempts": 2}')});
my $id = sql(q{SELECT stent.dispatch('outside')});
is(sql(qq{SELECT stent.why($id)}), 'It is ready, but function "outside" is external and no live worker serves it: none has told of itself.',
	'nobody serves it');

# -- a worker that falls silent, and a lease that nobody renews
sql(q{SELECT stent.worker_start('silent', slots => 2, alive_for => '1 second'), stent.worker_heartbeat('silent', busy => 1)});
my $token = sql(q{SELECT token FROM stent.claim('silent', 1, lease => '1 hour')});
sql(qq{SELECT stent.append_output($id, $token, 'stdout', 'begun', 1)});
is(sql(qq{SELECT state, worker, attempt FROM stent.running WHERE id = $id}), 'running|silent|1', 'leased is running');
is(sql(qq{SELECT running FROM stent.queues WHERE queue = 'o'}), '1', 'in queues, too');
becomes(q{SELECT state || live::text || leased FROM stent.workers WHERE name = 'silent'}, 'lostfalse1', 'it is lost, and its lease is not');
like(sql(qq{SELECT stent.why($id)}), qr/^It is leased by worker "silent" since .* unless the worker renews it\.$/, 'why says so');
is(sql(qq{SELECT stent.heartbeat($id, $token, '1 hour') IS NOT NULL, stent.worker_heartbeat('silent', alive_for => '1 day')}), 't|t', 'it speaks again');
is(sql(q{SELECT state FROM stent.workers WHERE name = 'silent'}), 'ready', 'it is back');

my $short = sql(q{SELECT stent.dispatch('outside')});
sql(qq{SELECT token FROM stent.claim('silent', 1, lease => '100 milliseconds')});
becomes(qq{SELECT state FROM stent.tasks WHERE id = $short}, 'ready', 'the scheduler takes over what nobody renews');
like(sql(qq{SELECT stent.why($short)}), qr/^It is ready and waits for one of its workers to claim it: "silent" \(1 of 2 slots busy\)\. Its worker was lost once before;/,
	'why tells of the loss');

# -- a crash: leases, workers and output are rows like others
$node->stop('immediate');
$node->start;
is(sql(qq{SELECT state, worker FROM stent.running WHERE id = $id}), 'running|silent', 'still leased after a crash');
is(sql(q{SELECT state, leased FROM stent.workers WHERE name = 'silent'}), 'ready|1', 'and the worker is alive');
sql(qq{SELECT stent.append_output_many($id, $token, '{stdout,stderr}', '{begun,on}', 1)});
is(sql(qq{SELECT string_agg(number || stream || text, ' ' ORDER BY number) FROM stent.output_of($id)}), '1stdoutbegun 2stderron', 'a repeat after it adds what is new');

# -- where the encoding is another
sql(q{CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'});
is($node->safe_psql('latin', q{
	CREATE EXTENSION stent;
	SELECT stent.register('outside') IS NULL AS registered \gset
	SELECT stent.dispatch('outside') AS id \gset
	SELECT token FROM stent.claim('w') \gset
	SELECT stent.append_output_many(:id, :token, '{s,s,s,s}', ARRAY['\x61c3a9'::bytea, '\xe282ac', '\xe9', '\x']) IS NULL AS stored \gset
	SELECT string_agg(COALESCE(encode(convert_to(text, 'UTF8'), 'hex'), 'none'), ' ' ORDER BY number) FROM stent.output_of(:id);
}), '61c3a9 none none ', 'output as text of LATIN1');

# what a worker could not be given would fail all claims it is part of
sql(q{CREATE DATABASE bytes TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'});
$node->safe_psql('bytes', q{CREATE EXTENSION stent; SELECT stent.register('outside'), stent.register('inside', 'pg_catalog.jsonb_typeof(jsonb)'::regprocedure)});
for my $case (
	[ 'args', q{'outside', E'{"x": "\\xfc"}'} ],
	[ 'headers', q{'outside', headers => E'{"\\xff": 1}'} ],
	[ 'queue', q{'outside', queue => E'q\\xe4'} ])
{
	my (undef, undef, $refusal) = $node->psql('bytes', "SELECT stent.dispatch($case->[1])");
	like($refusal, qr/^psql:<stdin>:1: ERROR:  $case->[0] must be UTF-8$/m, "$case->[0] of other bytes are refused");
}
{
	my (undef, undef, $refusal) = $node->psql('bytes', q{SELECT stent.map_query('outside', $$SELECT E'a\\xfc'$$)});
	like($refusal, qr/^psql:<stdin>:1: ERROR:  items must be UTF-8$/m, 'and so are items of a map');
}
is($node->safe_psql('bytes', q{SELECT stent.dispatch('inside', E'{"x": "\\xfc"}', queue => E'q\\xe4') > 0, stent.dispatch('outside', E'{"x": "\\xc3\\xbc"}') > 0}),
	't|t', 'but not for a handler in the database, nor UTF-8');
is($node->safe_psql('bytes', q{SET client_encoding = 'UTF8'; SELECT args FROM stent.claim('w')}), qq({"x": "\xc3\xbc"}), 'which a worker is given');

# -- a standby shows them, and changes nothing
$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby);
is($standby->safe_psql('postgres', qq{SELECT t.state, r.worker, w.leased, (SELECT count(*) FROM stent.output_of($id))
	FROM stent.tasks t JOIN stent.running r ON r.id = t.id JOIN stent.workers w ON w.name = r.worker WHERE t.id = $id}), 'running|silent|1|2', 'a standby shows them');
like($standby->safe_psql('postgres', qq{SELECT stent.why($id)}), qr/^It is leased by worker "silent"/, 'why there');
is($standby->safe_psql('postgres', q{SELECT stent.health() #>> '{workers,leased}'}), '1', 'health there');
my ($status, undef, $error) = $standby->psql('postgres', qq{SELECT stent.append_output($id, $token, 'stdout', 'x')});
like($error, qr/cannot execute stent.append_output\(\) (in a read-only transaction|during recovery)/, 'nothing is written there');
$standby->stop;

# -- a dump carries them
my $dump = $node->basedir . '/workers.sql';
$node->command_ok([ 'pg_dump', '--no-sync', '--file', $dump, 'postgres' ], 'a dump');
sql('CREATE DATABASE copy');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, 'copy' ], 'is restored');
is($node->safe_psql('copy', qq{SELECT r.worker, w.leased, (SELECT count(*) FROM stent.output_of($id))
	FROM stent.running r JOIN stent.workers w ON w.name = r.worker WHERE r.id = $id}), 'silent|1|2', 'with the lease, the worker and the output');
is($node->safe_psql('copy', qq{SELECT stent.complete($id, $token, '1')}), 'completed', 'and the token holds there, too');

# no worker starts in a copy, as no executor does, until it is adopted
(undef, undef, $error) = $node->psql('copy', q{SELECT stent.worker_start('second')});
like($error, qr/the tasks of this database are run elsewhere\nDETAIL:  .*\nHINT:  .*stent\.adopt\(\)/, 'no worker starts in a copy');
is($node->safe_psql('copy', q{SELECT stent.adopt(), stent.worker_start('second') ->> 'protocol'}), 't|1', 'until it is adopted');

# -- without preload: the same
$node->adjust_conf('postgresql.conf', 'shared_preload_libraries', "''");
$node->restart;
is(sql(qq{SELECT t.state, r.worker FROM stent.tasks t JOIN stent.running r ON r.id = t.id WHERE t.id = $id}), 'running|silent', 'seen without preload');
is(sql(qq{SELECT stent.complete($id, $token, '1')}), 'completed', 'completed without preload');
is(sql(qq{SELECT string_agg(text, ' ' ORDER BY number) FROM stent.output_of($id)}), 'begun on', 'its output stays');
is(sql(q{SELECT count(*) FROM stent.running}), '0', 'and nothing runs');

done_testing();
