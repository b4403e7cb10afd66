# The workflows of examples/ run as they are, to their ends: by stent.run() in their own
# session, and by executors, which are killed in the middle.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use PostgreSQL::Test::Utils;
use Stent;
use Test::More;

my $node = stent_node('workflows', conf => "stent.databases = ''");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION stent');

# A test: psql runs the file without an error.
sub script_runs
{
	my ($name, $how) = @_;
	my ($out, $err);
	my $ok = IPC::Run::run([ 'psql', '-X', '-d', $node->connstr('postgres'), '-f', "examples/workflows/$name.sql" ],
		'<', '/dev/null', '>', \$out, '2>', \$err);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok($ok && $err eq '', "$name, $how") or diag($out, $err);
	return;
}

# A test: the query says so.
sub finds
{
	my ($query, $expected, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($node->safe_psql('postgres', $query), $expected, $name);
	return;
}

# A test: what the scripts of all databases leave behind.
sub scripts_were_right
{
	my ($how) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	finds('SELECT id, state, note FROM shop.orders ORDER BY id', "1|shipped|parcel-1\n2|cancelled|card is declined\n3|cancelled|nobody delivers to the moon",
		"$how: each order has its end");
	finds('SELECT pieces FROM shop.stock', '9', "$how: what was reserved in vain is released");
	finds('SELECT order_id, cents FROM shop.ledger ORDER BY 1, 2 DESC', "1|4900\n3|4900\n3|-4900", "$how: what was charged in vain is refunded, once");
	finds('SELECT id, state, decided_by FROM office.expense ORDER BY id', "1|approved|bob\n2|refused|nobody\n3|approved|ann", "$how: expenses are decided");
	finds('SELECT expense_id, count(*) FROM office.mail GROUP BY 1 ORDER BY 1', "1|1\n2|3\n3|1", "$how: who did not answer was reminded twice");
	finds('SELECT invoices, failed, cents, errors FROM billing.report', '4999|1|12498258|customer 4242 has a negative balance', "$how: the batch has its report");
	finds('SELECT count(*), count(DISTINCT customer_id), sum(cents) FROM billing.invoice', '4999|4999|12498258', "$how: one invoice for each customer but one");
	finds('SELECT count(*), count(DISTINCT address), max(at) - min(at) >= interval \'1.2 s\' FROM geo.request', '30|30|t', "$how: each address was asked for once, not too fast");
	return;
}

# A moment of an execution: the next transaction that comes to this table, or row, waits there.
sub hold
{
	my ($sql) = @_;

	$node->safe_psql('postgres', "BEGIN; $sql; PREPARE TRANSACTION 'hold'");
	return;
}

# Kill the executor that came there, and let go.
sub kill_there
{
	my ($name) = @_;
	my $held = q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'stent executor' AND wait_event_type = 'Lock'};

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	comes($node, "SELECT count(*) = 1 FROM ($held) e", "$name: an executor is there");
	my $pid = $node->safe_psql('postgres', $held);

	kill 'KILL', $pid;
	# only a server that has recovered does not list it
	comes($node, "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)", "$name: killed, the server is back");
	$node->safe_psql('postgres', "ROLLBACK PREPARED 'hold'");
	return;
}

my $id;
my @all = ('order-saga', 'approval', 'nightly-batch', 'rate-limited-calls', 'subscription');

#
# By the scripts' own sessions.
#
script_runs($_, 'by its own session') for @all;
scripts_were_right('by their own sessions');
finds('SELECT customer, month FROM subs.payment ORDER BY month', "7|1\n7|2\n7|3", 'three months were charged');
finds(q{SELECT DISTINCT state FROM stent.executions}, 'completed', 'all executions are completed');
finds('SELECT count(*) FROM stent.step s WHERE NOT EXISTS (SELECT FROM stent.tasks t WHERE t.id = s.task_id)', '0', 'no step without its task');

#
# By executors.
#
$node->append_conf('postgresql.conf', "stent.databases = 'postgres'");
$node->restart;
script_runs($_, 'by executors') for grep { $_ ne 'subscription' } @all;
scripts_were_right('by executors');
finds(q{SELECT count(*) FROM stent.executions WHERE state <> 'completed'}, '0', 'all executions are completed');

#
# Killed: in a local step of the orchestrator, in a child, in the orchestrator's own last write.
#
sub place_order
{
	$node->safe_psql('postgres', q{DELETE FROM shop.ledger; UPDATE shop.stock SET pieces = 10; UPDATE shop.orders SET state = 'new', note = NULL});
	return;
}

my @moments = (
	[ 'in a local step', 'SELECT FROM shop.orders WHERE id = 1 FOR UPDATE' ],
	[ 'in a child that reserves', 'SELECT FROM shop.stock FOR UPDATE' ],
	[ 'in a child that charges', 'LOCK TABLE shop.ledger IN SHARE MODE' ]);

for my $moment (@moments)
{
	my ($name, $sql) = @$moment;

	place_order();
	hold($sql);
	$id = $node->safe_psql('postgres', q{SELECT stent.dispatch('place_order', '{"order_id": 1}')});
	kill_there($name);
	finds("SELECT stent.wait_for($id, '100 s')", '"shipped"', "$name: the order goes through all the same");
	finds('SELECT state, note FROM shop.orders WHERE id = 1', 'shipped|parcel-1', "$name: it says so");
	finds('SELECT (SELECT pieces FROM shop.stock), (SELECT count(*) FROM shop.ledger)', '9|1', "$name: reserved and charged once");
	finds("SELECT function, attempt, count(*) FROM stent.tasks WHERE execution_id = $id GROUP BY 1, 2 ORDER BY 1",
		"charge|1|1\nplace_order|1|1\nreserve|1|1\nship|1|1", "$name: each step was made once, nobody was charged an attempt");
}

# The orchestrator itself, where it has come past all its steps.
place_order();
$node->safe_psql('postgres', q{
	CREATE FUNCTION shop.gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN LOCK TABLE shop.gate IN SHARE MODE; RETURN NEW; END $$;
	CREATE TABLE shop.gate ();
	CREATE TRIGGER gate AFTER UPDATE ON shop.orders FOR EACH ROW WHEN (NEW.state = 'shipped') EXECUTE FUNCTION shop.gate()});
hold('LOCK TABLE shop.gate');
$id = $node->safe_psql('postgres', q{SELECT stent.dispatch('place_order', '{"order_id": 1}')});
kill_there('in its last write');
finds("SELECT stent.wait_for($id, '100 s')", '"shipped"', 'in its last write: it is written all the same');
finds('SELECT (SELECT pieces FROM shop.stock), (SELECT count(*) FROM shop.ledger)', '9|1', 'in its last write: reserved and charged once');

# The whole server, while an execution waits for a signal that comes afterwards.
$node->safe_psql('postgres', q{UPDATE office.expense SET state = 'asked', decided_by = NULL; TRUNCATE office.mail});
$id = $node->safe_psql('postgres', q{SELECT stent.dispatch('approve', '{"expense_id": 1, "patience": "30 days"}')});
comes($node, "SELECT state = 'waiting' FROM stent.executions WHERE id = $id", 'an expense waits');
$node->stop('immediate');
$node->start;
$node->safe_psql('postgres', qq{SELECT stent.signal($id, 'decision', '{"state": "approved", "by": "eve"}')});
finds("SELECT stent.wait_for($id, '100 s')", '"approved"', 'the wait outlives the server');
finds('SELECT count(*) FROM office.mail', '1', 'and was asked for once');

# In the middle of a map: finished chunks are not repeated.
$node->safe_psql('postgres', q{
	CREATE TABLE billing.gate ();
	CREATE FUNCTION billing.gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN LOCK TABLE billing.gate IN SHARE MODE; RETURN NEW; END $$;
	CREATE TRIGGER gate BEFORE INSERT ON billing.invoice FOR EACH ROW WHEN (NEW.customer_id = 2600) EXECUTE FUNCTION billing.gate()});
hold('LOCK TABLE billing.gate');
$id = $node->safe_psql('postgres', q{SELECT stent.dispatch('nightly', '{"night": "2026-02-28"}', dedup_key => '2026-02-28')});
comes($node, q{SELECT count(*) >= 1000 FROM billing.invoice WHERE night = '2026-02-28'}, 'chunks of the map are done');
kill_there('in a chunk of the map');
comes($node, "SELECT finished_at IS NOT NULL FROM stent.executions WHERE id = $id", 'the batch ends');
finds(q{SELECT invoices, failed, cents FROM billing.report WHERE night = '2026-02-28'}, '4999|1|12498258', 'its report is that of a night without a kill');
finds(q{SELECT count(*), count(DISTINCT customer_id) FROM billing.invoice WHERE night = '2026-02-28'}, '4999|4999', 'each customer has one invoice');

# Months of executors: the clock of the whole server is moved.
$id = $node->safe_psql('postgres', q{SELECT stent.dispatch('subscription', '{"customer": 8}')});
comes($node, "SELECT state = 'waiting' FROM stent.executions WHERE id = $id", 'the subscription waits');
for my $month (1 .. 3)
{
	my $days = 32 * $month;

	$node->safe_psql('postgres', "ALTER SYSTEM SET stent.clock = '+${days}d'");
	$node->reload;
	comes($node, "SELECT count(*) = $month FROM subs.payment WHERE customer = 8", "month $month is charged");
	comes($node, "SELECT state = 'waiting' FROM stent.executions WHERE id = $id", 'and it waits again');
}
$node->safe_psql('postgres', qq{SELECT stent.signal($id, 'cancel', '{"reason": "test"}')});
finds("SELECT stent.wait_for($id, '100 s')", '"cancelled after 3 months: test"', 'it is cancelled by its signal');
$node->safe_psql('postgres', 'ALTER SYSTEM RESET stent.clock');
$node->reload;

all_end($node, 'nothing is left');
finds('SELECT (SELECT count(*) FROM stent.ready), (SELECT count(*) FROM stent.due), (SELECT count(*) FROM stent.waiter)', '0|0|0', 'no entry is left');
# the first that a new server, which does not serve it, hears of this database
$node->safe_psql('postgres', q{CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1'; SELECT stent.register('one', 'one()')});
$node->append_conf('postgresql.conf', "stent.databases = ''");
$node->restart;
$node->safe_psql('postgres', q{SELECT stent.register('one', 'one()', max_concurrent => 1)});
$node->stop;
unlike(slurp_file($node->logfile), qr/^.*(?:leak|XX000|PANIC|TRAP).*$/m, 'the server has nothing to complain of');

done_testing();
