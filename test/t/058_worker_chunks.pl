# Chunks of maps in a worker: items run one after the other in one slot and end one by
# one; leases, drains, kills, cancellation and timeouts in the middle of a chunk; a
# database that knows no chunks, and then does.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Stent;
use StentWorker;
use Test::More;

my $node = stent_node('chunks', conf => "stent.databases = 'postgres,old'");
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION stent;
	SELECT stent.register(f, retry => '{"max_attempts": 1}') FROM unnest('{doubles,waits,counts}'::text[]) f});

my $directory = PostgreSQL::Test::Utils::tempdir();

# notes what it runs, and complains if two of one task run at a time
my $note = 'read item; mkdir lock.$STENT_TASK_ID || echo "$STENT_TASK_ID" >> overlaps; echo "$item" >> ran; trap "rmdir lock.$STENT_TASK_ID" EXIT; ';
my %functions = (
	doubles => { cwd => $directory,
		command => [ 'sh', '-c', $note . q~case $item in 13) echo '{{"error": {{"code": "Unlucky", "message": "no 13"}}'; exit 1;; {{*) echo '"ordinary"';; *) echo $((item * 2));; esac~ ] },
	waits => { cwd => $directory, grace => '0.2s',
		command => [ 'sh', '-c', $note . ': > began.$item; while [ ! -e go.$item ]; do sleep 0.05; done; echo $item' ] },
	counts => { result => { fd => 3, envelope => JSON::PP::true() },
		command => [ 'sh', '-c', 'read n; echo "says $n"; echo "{{\"result\": $n, \"counters\": {{\"sum\": $n, \"items\": 1}, \"context\": {{\"last\": $n}}" >&3' ] });

sub query
{
	return $node->safe_psql('postgres', $_[0]);
}

# A map of some numbers.
sub map_of
{
	my ($function, $numbers, $size, $more) = @_;

	return query("SELECT stent.map_query('$function', 'SELECT n FROM unnest(''{$numbers}''::int[]) WITH ORDINALITY u(n, i) ORDER BY i', $size" . ($more ? ", $more" : '') . ')');
}

sub ends_as
{
	my ($map, $state, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return comes($node, "SELECT state FROM stent.tasks WHERE id = $map", $name, expected => $state);
}

sub results
{
	my ($map) = @_;

	return query("SELECT string_agg(index || ':' || coalesce(result::text, error ->> 'code'), ' ' ORDER BY index) FROM stent.map_results($map)");
}

# What was run so far, in order; forgets it.
sub ran
{
	my $file = "$directory/ran";
	my $text = -e $file ? slurp_file($file) : '';

	unlink($file);
	return join(' ', split(' ', $text));
}

# Lets items of waits() go on, or waits until one has begun.
sub go { append_to_file("$directory/go.$_", '') for @_; return }
sub began
{
	my ($item) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok(in_time(sub { -e "$directory/began.$item" }), "item $item has begun");
}

# ---- a chunk takes one slot, and its items come in order; who fails does not keep the others
my $worker = worker_start($node, 'one', { slots => 1, functions => \%functions });
my $map = map_of('doubles', '1,2,13,4,5,6,7', 3, q{on_error => 'collect'});
ends_as($map, 'completed', 'a map of three chunks ends');
is(results($map), '0:2 1:4 2:Unlucky 3:8 4:10 5:12 6:14', 'each item has its result, or its error');
is(ran(), '1 2 13 4 5 6 7', 'they ran one after the other');
is(query("SELECT result FROM stent.tasks WHERE id = $map"), '{"hits": 0, "peak": 3, "items": 7, "chunks": 3, "failed": 1, "completed": 6}', 'and are counted');
is(query("SELECT args::text || ' ' || (error ->> 'exit_code') FROM stent.dead_letters WHERE execution_id = $map"), '13 1', 'the one that failed is a dead letter of its own');

# ---- together with ordinary tasks of the same function, in several slots
worker_signal($worker, 'TERM');
worker_ends($worker, 0, 'the worker leaves');
$worker = worker_start($node, 'three', { slots => 3, functions => \%functions });
my $ordinary = query(q{SELECT array_agg(stent.dispatch('doubles', '{"n": 1}')) FROM generate_series(1, 20)});
$map = map_of('doubles', join(',', 100 .. 139), 5, 'concurrency_limit => 10');
ends_as($map, 'completed', 'a map ends beside ordinary tasks');
comes($node, "SELECT bool_and(state = 'completed' AND result = '\"ordinary\"') FROM stent.tasks WHERE id = ANY('$ordinary')", 'and they beside it');
is(query("SELECT bool_and(result = to_jsonb((100 + index) * 2)) AND count(*) = 40 FROM stent.map_results($map)"), 't', 'with the right results');
is(query("SELECT (result -> 'peak')::int BETWEEN 5 AND 10 FROM stent.tasks WHERE id = $map"), 't', 'not more than ten in flight');
ok(!-e "$directory/overlaps", 'no two items of a chunk ran at a time');
ran();

# ---- effects and output of all items
$map = map_of('counts', '1,2,3,4', 4);
ends_as($map, 'completed', 'a map with effects ends');
is(query("SELECT string_agg(name || '=' || delta, ' ' ORDER BY name) FROM stent.counter WHERE execution_id = $map"), 'items=4 sum=10', 'counters come together');
is(query("SELECT value FROM stent.context WHERE execution_id = $map AND key = 'last'"), '4', 'of the context the last one stays');
is(query("SELECT string_agg(o.text, '' ORDER BY o.number) FROM stent.tasks t, stent.output_of(t.id) o WHERE t.parent_id = $map"),
	"says 1\nsays 2\nsays 3\nsays 4\n", 'the output is that of all of them, in order');

# ---- the lease is kept from item to item
worker_signal($worker, 'TERM');
worker_ends($worker, 0, 'the worker leaves');
$worker = worker_start($node, 'keeper', { slots => 2, lease => '1s', functions => \%functions });
$map = map_of('waits', '1,2,3', 3);
for my $item (1 .. 3)
{
	began($item);
	my $expires = query('SELECT expires_at FROM stent.lease');
	comes($node, "SELECT expires_at > '$expires'::timestamp + interval '0.5 s' FROM stent.lease", "the lease is renewed in item $item");
	go($item);
}
ends_as($map, 'completed', 'a chunk longer than its lease ends');
is(query("SELECT lost || ' ' || attempt FROM stent.archive WHERE parent_id = $map"), '0 1', 'and was not lost');
is(ran(), '1 2 3', 'nothing ran twice');

# ---- a drain in the middle: the item that runs ends, the rest goes back
$map = map_of('waits', '11,12,13', 3);
go(11);
began(12);
worker_signal($worker, 'TERM');
worker_says($worker, qr/msg="draining"/, 'it drains');
go(12);
worker_ends($worker, 0, 'it leaves when the item has ended');
is(results($map), '0:11 1:12', 'what was run is kept');
is(query("SELECT state || ' ' || attempt FROM stent.tasks WHERE parent_id = $map"), 'ready 0', 'the chunk is ready again, without an attempt spent');
is(query('SELECT count(*) FROM stent.lease'), '0', 'and nobody holds it');

# ---- a drain that takes too long: the item that runs is stopped and goes back, too
$worker = worker_start($node, 'hasty', { slots => 1, drain_timeout => '0.2s', functions => \%functions });
go(13);
ends_as($map, 'completed', 'the next worker does the rest');
is(ran(), '11 12 13', 'and nothing again');
my $other = map_of('waits', '21,22,23', 3);
go(21);
began(22);
worker_signal($worker, 'TERM');
worker_ends($worker, 0, 'a worker that is in a hurry leaves');
is(results($other), '0:21', 'what had ended is kept');
is(query("SELECT state || ' ' || attempt FROM stent.tasks WHERE parent_id = $other"), 'ready 0', 'the rest is ready again');

# ---- killed in the middle: the lease runs out, and all of the chunk is run again
$worker = worker_start($node, 'doomed', { slots => 1, lease => '1s', functions => \%functions });
ok(in_time(sub { -e "$directory/ran" && slurp_file("$directory/ran") =~ /22\s+22/ }), 'item 22 runs again');
worker_signal($worker, 'KILL');
worker_ends($worker, 'signal 9', 'its worker is killed');
go(22, 23);
$worker = worker_start($node, 'heir', { slots => 1, lease => '1s', functions => \%functions });
ends_as($other, 'completed', 'another worker does it');
is(query("SELECT lost || ' ' || attempt FROM stent.archive WHERE parent_id = $other"), '1 1', 'the loss is counted, no attempt is spent');
is(results($other), '0:21 1:22 2:23', 'all have their results');
ran();

# ---- cancelled in the middle: the item that runs is stopped, none follows
$map = map_of('waits', '31,32,33', 3);
go(31);
began(32);
query("SELECT stent.cancel($map)");
ok(in_time(sub { worker_children($worker) == 0 }), 'its command is stopped');
go(32, 33);
is(query("SELECT string_agg(DISTINCT state, ' ') FROM stent.tasks WHERE execution_id = $map"), 'cancelled', 'the map is cancelled');
ends_as(map_of('doubles', '9', 1), 'completed', 'the slot is free');
ok(!-e "$directory/began.33", 'and the last item never began');
ran();

# ---- the timeout is that of the chunk
$map = map_of('waits', '41,42,43', 3, q{timeout => '1s', on_error => 'collect'});
go(41);
ends_as($map, 'completed', 'a chunk whose time is over ends');
is(results($map), '0:41 1:ST003 2:ST003', 'with what it had, and failures for the rest');
ok(!-e "$directory/began.43", 'what had no time left did not begin');
is(query("SELECT error ->> 'message' FROM stent.map_results($map) WHERE index = 2"), 'the timeout of the chunk was over before the item began', 'and says so');

ends_as(map_of('counts', '5,6', 2), 'completed', 'the worker goes on');
worker_signal($worker, 'TERM');
worker_ends($worker, 0, 'it leaves');

# ---- a database of before chunks: the worker asks for none, and does its tasks
$node->safe_psql('postgres', 'CREATE DATABASE old');
$node->safe_psql('old', q{CREATE EXTENSION stent VERSION '0.4.0'; SELECT stent.register('doubles')});
$worker = worker_start($node, 'modern', { functions => \%functions }, database => 'old');
my $id = $node->safe_psql('old', q{SELECT stent.dispatch('doubles', '{"n": 1}')});
comes($node, "SELECT result FROM stent.tasks WHERE id = $id", 'a database of 0.4 is served', database => 'old', expected => '"ordinary"');
unlike(slurp_file($worker->{log}), qr/level=(error|warn)/, 'without complaints');
# updated while the worker is there, which learns of chunks
$node->safe_psql('old', 'ALTER EXTENSION stent UPDATE');
$map = $node->safe_psql('old', q{SELECT stent.map_query('doubles', 'SELECT generate_series(1, 3)')});
comes($node, "SELECT state FROM stent.tasks WHERE id = $map", 'once it is updated, the same worker runs chunks', database => 'old', expected => 'completed');
worker_signal($worker, 'TERM');
worker_ends($worker, 0, 'it leaves that, too');

$node->stop;
done_testing();
