# The worker serves functions: results, errors and output come back, slots and
# limits hold, its configuration is checked and reloaded, and nothing is left
# of a thousand runs.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use IPC::Run ();
use JSON::PP;
use PostgreSQL::Test::Utils;
use Stent;
use StentWorker;
use Test::More;

my $node = stent_node('worker', conf => "stent.databases = 'postgres'");
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION stent;
	SELECT stent.register(f, retry => '{"max_attempts": 1}') FROM unnest('{idle,double,echo,fail,noise,gate,stay,bad}'::text[]) f});

my $directory = PostgreSQL::Test::Utils::tempdir();
my %functions = (
	idle => { noop => {} },
	double => { command => [ 'perl', '-MJSON::PP', '-e', 'my $a = decode_json(join "", <STDIN>); print 2 * $$a{{n}' ] },
	echo => { command => ['cat'] },
	fail => { command => [ 'sh', '-c', 'echo no luck >&2; exit 3' ] },
	noise => { command => [ 'perl', '-e', '$| = 1; binmode STDERR; print STDERR "$_\n" for 1 .. 20000; print STDERR "\xff\0"; print 1' ] },
	# ends when its file is there
	gate => { command => [ 'perl', '-e', 'select(undef, undef, undef, 0.02) until -e "' . $directory . '/gate"; print 1' ], slots => 2 });
my %config = (slots => 5, functions => \%functions);

sub dispatch
{
	my ($function, $args, $more) = @_;

	return $node->safe_psql('postgres', "SELECT stent.dispatch('$function', '$args'" . ($more ? ", $more" : '') . ')');
}

sub state_of
{
	my ($id) = @_;

	return $node->safe_psql('postgres', "SELECT state || ' ' || attempt || ' ' || COALESCE(result::text, error ->> 'code') FROM stent.tasks WHERE id = $id");
}

# ---- serving
my $early = dispatch('double', '{"n": 4}');
my $worker = worker_start($node, 'first', \%config);
comes($node, "SELECT state FROM stent.tasks WHERE id = $early", 'a task from before the worker ends', expected => 'completed');
is(state_of($early), 'completed 1 8', 'with its result');
is($node->safe_psql('postgres', q{SELECT state, live, functions, slots, version <> '' FROM stent.workers WHERE name = 'first'}),
	'ready|t|{double,echo,fail,gate,idle,noise}|5|t', 'the server knows the worker');
my $idle = dispatch('idle', '{}');
comes($node, "SELECT state FROM stent.tasks WHERE id = $idle", 'the handler that does nothing succeeds', expected => 'completed');
my $fail = dispatch('fail', '{}');
comes($node, "SELECT state FROM stent.tasks WHERE id = $fail", 'a command that fails', expected => 'failed');
like($node->safe_psql('postgres', "SELECT error FROM stent.tasks WHERE id = $fail"), qr/no luck/, 'its error tells what it wrote');
is($node->safe_psql('postgres', "SELECT string_agg(text, '' ORDER BY number) FROM stent.output_of($fail) WHERE stream = 'stderr'"), "no luck\n", 'and so does its output');

# a claim takes but some of many tasks that have keys; an idle worker comes for the rest
my $keyed = worker_start($node, 'keyed', { slots => 500, functions => { stay => { noop => {} } } });
$node->safe_psql('postgres', q{SELECT count(stent.dispatch('stay', concurrency_key => 'key ' || i)) FROM generate_series(1, 1000) i});
comes($node, q{SELECT count(*) FROM stent.tasks WHERE function = 'stay' AND state = 'completed'}, 'a thousand tasks with keys are done', expected => 1000);
worker_signal($keyed, 'TERM');
worker_ends($keyed, 0, 'their worker ends');

# ---- output
my $noise = dispatch('noise', '{}');
comes($node, "SELECT state FROM stent.tasks WHERE id = $noise", 'a command that writes a lot ends', expected => 'completed');
is($node->safe_psql('postgres', "SELECT md5(string_agg(data, '' ORDER BY number)) = md5(convert_to((SELECT string_agg(n || E'\\n', '' ORDER BY n) FROM generate_series(1, 20000) n), 'UTF8') || '\\xff00')
	FROM stent.output_of($noise) WHERE stream = 'stderr'"), 't', 'all of it is there, in order, bytes that are no text as well');
is($node->safe_psql('postgres', "SELECT count(*) = max(number) AND min(number) = 1 FROM stent.output_of($noise)"), 't', 'its rows are numbered from 1');
is($node->safe_psql('postgres', "SELECT max(o.written_at) <= max(t.finished_at) FROM stent.output_of($noise) o, stent.tasks t WHERE t.id = $noise"), 't', 'none came after the end');

# ---- slots
my @gates = map { dispatch('gate', "{\"n\": $_}") } 1 .. 4;
my $gates = join(',', @gates);
comes($node, "SELECT count(*) FROM stent.tasks WHERE id IN ($gates) AND state = 'running'", 'two run, as its slots say', expected => 2);
$idle = dispatch('idle', '{}');
comes($node, "SELECT state FROM stent.tasks WHERE id = $idle", 'other functions are served all the same', expected => 'completed');
is($node->safe_psql('postgres', "SELECT count(*) FROM stent.tasks WHERE id IN ($gates) AND state = 'running'"), 2, 'and still two run');
is(scalar(worker_children($worker)), 2, 'as processes, too');

# ---- what it does, when asked
my $offset = -s $worker->{log};
worker_signal($worker, 'USR1');
worker_says($worker, qr/msg="state" worker=first state=ready slots=5 running=2 held=2 .*work=open keeping=open.*msg="held" task=$gates[0] attempt=1 function=gate run=running/s,
	'SIGUSR1 logs what it does', $offset);

# ---- reload
for my $bad (
	[ '{', qr/line 1, column/ ],
	[ { slots => 0, functions => \%functions }, qr/slots must be an integer from 1 to 1000/ ],
	[ { slots => 5, sloths => 3, functions => \%functions }, qr/unknown setting \\"sloths\\"/ ],
	[ { slots => 5 }, qr/functions must be an object of 1 to/ ],
	[ { lease => '10 parsecs', functions => \%functions }, qr/lease must be a duration/ ],
	[ { functions => { f => { command => [ 'true' ], slots => 0 } } }, qr/functions\.f\.slots must be an integer/ ],
	[ { functions => { f => { command => [] } } }, qr/functions\.f: \\"command\\"/ ],
	[ { functions => { f => { noop => {}, grace => '1s' } } }, qr/functions\.f: / ])
{
	$offset = -s $worker->{log};
	worker_configure($worker, $bad->[0]);
	worker_signal($worker, 'HUP');
	worker_says($worker, qr/configuration refused, the old one stays" error="[^ ]*json: $bad->[1]/, "refused: $bad->[1]", $offset);
	is(system(worker_program() . " worker --check -c $worker->{base}.json 2>/dev/null") >> 8, 8, 'and by --check');
}
$functions{gate}{slots} = 3;
$functions{stay} = { command => [ 'sleep', '600' ] };
$config{log_level} = 'debug';
$offset = -s $worker->{log};
worker_configure($worker, \%config);
worker_signal($worker, 'HUP');
worker_says($worker, qr/msg="configuration reloaded"/, 'a good one is taken', $offset);
comes($node, "SELECT count(*) FROM stent.tasks WHERE id IN ($gates) AND state = 'running'", 'new slots hold, what ran counts', expected => 3);
comes($node, "SELECT 'stay' = ANY (functions) FROM stent.workers WHERE name = 'first'", 'the server knows the new functions');
append_to_file("$directory/gate", '');
comes($node, "SELECT count(*) FROM stent.tasks WHERE id IN ($gates) AND state = 'completed'", 'all of them end', expected => 4);
worker_says($worker, qr/level=debug msg="task ended" task=$gates[3]/, 'the new level of the log holds', $offset);

# ---- cancelled while it runs: the worker is told, and its child ends
my $stay = dispatch('stay', '{}');
comes($node, "SELECT state FROM stent.tasks WHERE id = $stay", 'a long one runs', expected => 'running');
$node->safe_psql('postgres', "SELECT stent.cancel($stay)");
worker_says($worker, qr/msg="task is not ours any more: its run is stopped" task=$stay .*reason="it was ended by others"/, 'a cancelled task stops', $offset);
ok(in_time(sub { worker_children($worker) == 0 }), 'its child is gone');

# ---- nothing is left of a thousand runs
sub descriptors { return scalar(() = glob("/proc/$worker->{pid}/fd/*")) }
my $before = descriptors();
$node->safe_psql('postgres', q{SELECT count(*) FROM stent.dispatch_many('echo', (SELECT array_agg(jsonb_build_object('n', n)) FROM generate_series(1, 1000) n))});
comes($node, q{SELECT count(*) FROM stent.tasks WHERE function = 'echo' AND state = 'completed'}, 'a thousand commands ran', expected => 1000, patience => 180);
is($node->safe_psql('postgres', q{SELECT count(*) FROM stent.tasks WHERE function = 'echo' AND result <> args}), 0, 'each with its own result');
ok(in_time(sub { descriptors() == $before }), 'and left no descriptor') or diag(`ls -l /proc/$worker->{pid}/fd`);
is(join("\n", worker_children($worker)), '', 'nor a process, nor a zombie');
worker_signal($worker, 'TERM');
worker_ends($worker, 0, 'SIGTERM ends it, with 0');
is($node->safe_psql('postgres', q{SELECT state FROM stent.workers WHERE name = 'first'}), 'stopped', 'and the server knows it');

# ---- an end that the server refuses is the task's failure, and nobody else's
# one has a result that is too large; both end when the file is there; while the server does not answer, ends gather
my $until = "while [ ! -e $directory/gate2 ]; do sleep 0.05; done;";
$functions{bad} = { command => [ 'sh', '-c', "$until printf '\"%05000d\"' 1" ] };
$functions{gate} = { command => [ 'sh', '-c', "$until echo 1" ] };
$worker = worker_start($node, 'second', { %config, slots => 50 }, options => [ '--log-format', 'json' ], ready => 0);
ok(in_time(sub { slurp_file($worker->{log}) =~ /"msg": "ready"/ }), 'a worker that logs JSON is ready');
$node->safe_psql('postgres', q{ALTER SYSTEM SET stent.max_payload_size = '4kB'});
$node->reload;
my $work = $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE query ~ 'stent\.(claim|worker_wait)' AND pid <> pg_backend_pid()});
like($work, qr/^\d+$/, 'its connection for ends');
my $mixed = $node->safe_psql('postgres', q{
	SELECT string_agg(stent.dispatch(CASE WHEN n % 5 = 0 THEN 'bad' ELSE 'gate' END)::text, ',') FROM generate_series(1, 20) n});
comes($node, "SELECT count(*) FROM stent.tasks WHERE id IN ($mixed) AND state = 'running'", 'all run', expected => 20);
ok(in_time(sub { worker_children($worker) == 20 }), 'as processes, too');
kill('STOP', $work);
append_to_file("$directory/gate2", '');
ok(in_time(sub { worker_children($worker) == 0 }), 'all are over');
kill('CONT', $work);
comes($node, "SELECT count(*) FROM stent.tasks WHERE id IN ($mixed) AND finished_at IS NOT NULL", 'all end', expected => 20);
is($node->safe_psql('postgres', "SELECT string_agg(DISTINCT function || ' ' || state || ' ' || attempt, ', ') FROM stent.tasks WHERE id IN ($mixed)"),
	'bad failed 1, gate completed 1', 'those of values the server cannot store fail, others do not');
like(slurp_file($worker->{log}), qr/"ends refused: each is told by itself"/, 'a batch was refused');
is(scalar(grep { !eval { decode_json($_); 1 } } split(/\n/, slurp_file($worker->{log}))), 0, 'every line of the log is JSON');
worker_signal($worker, 'INT');
worker_ends($worker, 0, 'SIGINT ends it, too');

# ---- a failure that cannot be stored as it is stays that failure, and is tried again
$node->safe_psql('postgres', q{CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'});
my $foreign = $node->safe_psql('latin', q{
	CREATE EXTENSION stent;
	SELECT stent.register('euro', retry => '{"max_attempts": 2, "initial_delay": "0s"}') IS NULL AS registered \gset
	SELECT stent.dispatch('euro')});
$worker = worker_start($node, 'latin', { functions => { euro => { command => [ 'sh', '-c', 'printf "\\342\\202\\254" >&2; exit 3' ] } } }, database => 'latin');
ok(in_time(sub { $node->safe_psql('latin', "SELECT state FROM stent.tasks WHERE id = $foreign") eq 'failed' }), 'a command fails with words that the database has not');
is($node->safe_psql('latin', "SELECT attempt, error ->> 'code', error ->> 'exit_code', error ->> 'message' ~ 'LATIN1' FROM stent.tasks WHERE id = $foreign"),
	'2|ST014|3|t', 'it is tried again, and known by its code');
worker_signal($worker, 'TERM');
worker_ends($worker, 0, 'that worker ends');

# ---- a worker that cannot serve says why by its exit code
sub cannot
{
	my ($code, $pattern, $name, %params) = @_;

	my $refused = worker_start($node, 'never', $params{config} // \%config, %params, ready => 0);
	worker_ends($refused, $code, $name);
	like(slurp_file($refused->{log}), $pattern, "$name: its log says why");
	return;
}
cannot(8, qr/line 1/, 'a configuration that is no JSON', config => '[');
cannot(3, qr/no connection in time/, 'nobody there', connection => "host=$directory port=1", options => [ '--connect-timeout', '0.3s' ]);
$node->safe_psql('postgres', 'CREATE DATABASE bare');
cannot(4, qr/does not accept this worker/, 'a database without the extension', database => 'bare');
$node->safe_psql('postgres', 'CREATE ROLE nobody LOGIN');
cannot(1, qr/code=42501/, 'a role without rights', connection => $node->connstr('postgres') . ' user=nobody');
cannot(2, qr/--slots/, 'a wrong option', options => [ '--slots', '0' ]);

$node->stop;
done_testing();
