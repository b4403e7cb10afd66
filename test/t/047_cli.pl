# The command line: every command, every exit code, what is refused before a
# server is asked, and what people, pipes and programs are shown.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use IPC::Run ();
use JSON::PP;
use PostgreSQL::Test::Utils;
use Stent;
use Test::More;

{
	# what is built by the make that runs us is none of its business
	local %ENV = map { $_ => $ENV{$_} } grep { !/^(MAKE|MFLAGS)/ } keys %ENV;
	system('make', '-s', '-C', 'worker') == 0 or die 'cannot build the program';
}
my $program = 'worker/build/stent';
my $json = JSON::PP->new->allow_nonref;
my $directory = PostgreSQL::Test::Utils::tempdir();

my $node = stent_node('cli', conf => "stent.databases = 'postgres'\nstent.max_executors = 2");
$node->start;
install($node, 'postgres');
$node->safe_psql('postgres', q{
	CREATE DATABASE bare;
	CREATE ROLE alice LOGIN;
	SELECT stent.grant_usage('alice', 'app');
	GRANT CREATE ON SCHEMA public TO PUBLIC;
	CREATE FUNCTION echo(args jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT args';
	CREATE FUNCTION nothing() RETURNS void LANGUAGE sql AS '';
	CREATE FUNCTION quarrel() RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		RAISE EXCEPTION 'no % today', E'\033[31mfish' USING ERRCODE = 'UX123', DETAIL = 'It is Monday.', HINT = 'Come again.';
	END $$;
	CREATE FUNCTION tale() RETURNS text LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM stent.progress('halfway', '{"rows": 12}');
		PERFORM stent.counter_add('rows', 12);
		PERFORM stent.context_set('city', '"Köln"');
		RETURN 'the end';
	END $$;
	SELECT stent.register('echo', 'echo(jsonb)');
	SELECT stent.register('nothing', 'nothing()');
	SELECT stent.register('quarrel', 'quarrel()', retry => '{"max_attempts": 2, "initial_delay": "0.01s"}');
	SELECT stent.register('tale', 'tale()');
	CREATE FUNCTION leaf() RETURNS int LANGUAGE sql AS 'SELECT 1';
	CREATE FUNCTION flow() RETURNS jsonb LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM stent.call('leaf', step_name => 'first');
		RETURN stent.await_signal('go');
	END $$;
	SELECT stent.register('leaf', 'leaf()'), stent.register('flow', 'flow()');
	SELECT stent.register('outside', queue => 'far away', retry => '{"max_attempts": 1}')});
$ENV{PGHOST} = $node->host;
$ENV{PGPORT} = $node->port;
$ENV{PGDATABASE} = 'postgres';
delete @ENV{qw(NO_COLOR PGAPPNAME)};

# Runs the program: its exit code, standard output and standard error.
sub stent_with_input
{
	my ($input, @arguments) = @_;
	my ($out, $err) = ('', '');

	IPC::Run::run([ $program, @arguments ], '<', \$input, '>', \$out, '2>', \$err, IPC::Run::timeout(120));
	return ($? & 127 ? 'signal ' . ($? & 127) : $? >> 8, $out, $err);
}
sub stent { return stent_with_input('', @_) }

# A test: it ends with a code, its output and its complaints are like that.
sub ends
{
	my ($arguments, $code, $out, $err, $name) = @_;
	my @is = stent(@$arguments);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return is_like(\@is, $code, $out, $err, $name);
}

sub is_like
{
	my ($is, $code, $out, $err, $name) = @_;
	my $ok = $is->[0] eq $code && $is->[1] =~ $out && $is->[2] =~ $err;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok($ok, $name);
	diag("code $is->[0], not $code\nout: " . substr($is->[1], 0, 1000) . "\nlike: $out\nerr: $is->[2]\nlike: $err") if !$ok;
	return $ok;
}

my $none = qr/\A\z/;

sub sql { return $node->safe_psql('postgres', shift) }

# An id by the command line.
sub dispatched
{
	my ($code, $out, $err) = stent('dispatch', @_);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	die "dispatch @_: $code $err" if $code ne '0' || $out !~ /\A(\d+)\n\z/;
	return $1;
}

sub slurp { return PostgreSQL::Test::Utils::slurp_file(shift) }

sub file
{
	my ($name, $text) = @_;

	unlink("$directory/$name");
	PostgreSQL::Test::Utils::append_to_file("$directory/$name", $text);
	return "$directory/$name";
}

# ---------------------------------------------------------------- the program
my @commands = qw(worker dispatch wait list show);
my $page = slurp('docs/cli.md');
my $worker_page = slurp('docs/worker.md');

ends([], 2, $none, qr/Usage: stent COMMAND/, 'no command: its page, as an error');
ends(['--help'], 0, qr/Usage: stent COMMAND/, $none, '--help');
ends(['help'], 0, qr/Usage: stent COMMAND/, $none, 'help');
ends(['--version'], 0, qr/\Astent \d+\.\d+\.\d+\n\z/, $none, '--version');
ends(['wiat'], 2, $none, qr/unknown command "wiat"; is wait meant\?/, 'a slip of the pen');
ends(['frobnicate'], 2, $none, qr/unknown command "frobnicate"\n/, 'no command at all');
ends([ 'help', 'shwo' ], 2, $none, qr/is show meant/, 'help for a slip of the pen');
ends([ '-h', 'there', 'list' ], 2, $none, qr/options of a command follow it/, 'options before the command');
ends([ 'list', "\033[31m" ], 2, $none, qr/\A[^\033]*\\x1b\[31m[^\033]*\z/, 'a complaint cannot command the terminal');

my ($code, $overview) = stent('--help');
for my $command (@commands)
{
	like($overview, qr/^  $command /m, "--help names $command");
}
my %told = $overview =~ /^ +(\d+)  (\S+)/mg;
my %documented = $page =~ /^\| (\d+) \| (\S+)/mg;
my %defined = reverse map { /(EXIT_\w+) = (\d+)/ ? ($1 => $2) : () } split(/\n/, slurp('worker/src/exit_codes.h'));
is_deeply([ sort keys %told ], [ sort keys %defined ], '--help tells every exit code');
is_deeply([ sort keys %documented ], [ sort keys %defined ], 'so does the page');

# Each option of --help is in the command's section of the page, with a default
# if --help has one, and each option of the page exists. The worker has a page of its own.
for my $command (@commands)
{
	my ($status, $help, $complaints) = stent($command, '--help');
	my ($section) = $command eq 'worker' ? $worker_page =~ /^## Options\b(.*?)^## /ms : $page =~ /^## stent $command\b(.*?)^## /ms;
	my ($connecting) = $page =~ /^## Connecting\b(.*?)^## /ms;
	my @options = $help =~ /^  (?:-\w, |    )--([\w-]+)/mg;
	my @there = "$section$connecting" =~ /^\| (?:`-\w`, )?`--([\w-]+)`/mg;

	is("$status$complaints", '0', "$command --help");
	like($help, qr/^Usage: stent $command /, "$command --help begins with the usage");
	like($help, $command eq 'worker' ? qr/\{"functions": / : qr/^Examples:/m, "$command --help has examples");
	is_deeply([ sort @there ], [ sort @options ], "the page has the options of $command");
	is((stent('help', $command))[1], $help, "help $command");
	is((stent($command, '-?'))[1], $help, "$command -?");
	for my $option (@there)
	{
		next if $option eq 'help';
		my ($code, $out, $err) = stent($command, "--$option", ('--no-such-option') x 2);
		unlike($err, qr/unknown option "--$option"/, "$command knows --$option");
		is($code, 2, "$command --$option and an unknown one are refused");
	}
}

# ---------------------------------------------------------------- what is refused before a server is asked
{
	local $ENV{PGHOST} = '/nonexistent';    # it would be 3
	my @wrong = (
		[ [ 'list', '--lmit=3' ], qr/unknown option "--lmit=3"; is --limit meant/ ],
		[ [ 'list', '-X' ], qr/unknown option "-X"/ ],
		[ [ 'list', '-n' ], qr/option "-n" needs an argument/ ],
		[ [ 'list', '--limit' ], qr/option "--limit" needs an argument/ ],
		[ [ 'list', '--json=3' ], qr/option "--json" takes no argument/ ],
		[ [ 'list', '-n', 'x' ], qr/--limit: "x" is not an integer/ ],
		[ [ 'list', '-n', '-1' ], qr/not an integer from 0/ ],
		[ [ 'list', '--state=raedy' ], qr/unknown state "raedy"; is ready meant/ ],
		[ [ 'list', '42' ], qr/"42" is too much/ ],
		[ ['wait'], qr/An id is missing/ ],
		[ [ 'wait', 'x' ], qr/"x" is not the id/ ],
		[ [ 'wait', '1', '0' ], qr/"0" is not the id/ ],
		[ [ 'wait', '9223372036854775808' ], qr/is not the id/ ],
		[ [ 'wait', ' 1' ], qr/is not the id/ ],
		[ [ 'wait', '1', '--timeout=3x' ], qr/--timeout: "3x" is not a duration/ ],
		[ [ 'wait', '1', '--timeout=5' ], qr/not a duration/ ],
		[ ['show'], qr/Its id is missing/ ],
		[ [ 'show', '1', '2' ], qr/"2" is too much/ ],
		[ [ 'show', '1', '--output=hex' ], qr/none of text, raw/ ],
		[ [ 'show', '1', '--stream=stdout' ], qr/are of --output/ ],
		[ [ 'show', '1', '--output=raw', '--json' ], qr/exclude each other/ ],
		[ ['dispatch'], qr/Its name is missing/ ],
		[ [ 'dispatch', 'work', '{}', 'x' ], qr/"x" is too much/ ],
		[ [ 'dispatch', 'work', "{\"n\":\n  x}" ], qr/ARGS: no JSON: line 2, column 3/ ],
		[ [ 'dispatch', 'work', '[1]' ], qr/ARGS: not a JSON object/ ],
		[ [ 'dispatch', 'work', '{"n": 1, "n": 2}' ], qr/duplicate/ ],
		[ [ 'dispatch', 'work', '--wait', '5m' ], qr/a time to wait is --wait=5m/ ],
		[ [ 'dispatch', 'work', '{"n": 1}', '--arg', 'n=2' ], qr/"n" is in ARGS and in --arg/ ],
		[ [ 'dispatch', 'work', '--arg', 'n' ], qr/is not KEY=VALUE/ ],
		[ [ 'dispatch', 'work', '--arg', 'n:=x' ], qr/--arg n: no JSON: line 1, column 1/ ],
		[ [ 'dispatch', 'work', '--header', '=x' ], qr/is not KEY=VALUE/ ],
		[ [ 'dispatch', 'work', '--retry', '3' ], qr/--retry: not a JSON object/ ],
		[ [ 'dispatch', 'work', '--priority=101' ], qr/not an integer from -100 to 100/ ],
		[ [ 'dispatch', 'work', '--delay=-5s' ], qr/--delay: "-5s" is not a duration/ ],
		[ [ 'dispatch', 'work', '--timeout=x' ], qr/--timeout: "x" is not a duration/ ],
		[ [ 'dispatch', 'work', '--max-duration=x' ], qr/--max-duration: "x" is not a duration/ ],
		[ [ 'dispatch', 'work', '--wait=x' ], qr/--wait: "x" is not a duration/ ],
		[ [ 'dispatch', 'work', '--run-at=tomorrow' ], qr/is not a time in UTC/ ],
		[ [ 'dispatch', 'work', '--run-at=2026-01-31 12:00+02' ], qr/is not a time in UTC/ ],
		[ [ 'dispatch', 'work', '--delay=5s', '--run-at=2026-01-31' ], qr/exclude each other/ ],
		[ [ 'dispatch', 'work', '--on-duplicate=joni' ], qr/none of join, replace, error/ ],
		[ [ 'dispatch', 'work', '--many=/nonexistent' ], qr/cannot read "\/nonexistent"/ ],
		[ [ 'dispatch', 'work', '{}', '--many=-' ], qr/lines of the file are the args/ ],
		[ [ 'dispatch', 'work', '--wait', '--many=-' ], qr/--many excludes/ ],
		[ [ 'dispatch', 'work', '--dedup-key=k', '--many=-' ], qr/--many excludes/ ],
	);

	for my $wrong (@wrong)
	{
		my ($arguments, $complaint) = @$wrong;

		ends($arguments, 2, $none, qr/^stent $arguments->[0]: .*$complaint.*\nTry "stent $arguments->[0] --help"/s, "refused: @$arguments");
	}
	is_like([ stent_with_input("{\n\n", 'dispatch', 'work', '-') ], 2, $none, qr/ARGS: no JSON: line 3/, 'refused: args from standard input');

	# no connection
	for my $arguments ([ 'dispatch', 'work' ], [ 'wait', 1 ], ['list'], [ 'show', 1 ])
	{
		ends($arguments, 3, $none, qr/\Astent $arguments->[0]: cannot connect: .*nonexistent/, "no server: $arguments->[0]");
	}
}

# ---------------------------------------------------------------- connecting
ends([ 'list', '-d', 'nowhere' ], 3, $none, qr/cannot connect: .*database "nowhere" does not exist/s, 'no such database');
ends([ 'list', '-U', 'nobody' ], 3, $none, qr/role "nobody" does not exist/, 'no such role');
ends([ 'list', '-w', '-h', $node->host, '-p', $node->port, '-d', 'postgres' ], 0, qr/\A *id  state/, $none, 'connection options');
{
	my ($host, $port) = ($node->host, $node->port);

	local $ENV{PGHOST} = '/nonexistent';
	local $ENV{PGPORT} = 1;
	ends([ 'list', '-d', "host='$host' port=$port dbname=postgres" ], 0, qr/\A *id  state/, $none, 'a conninfo');
	ends([ 'list', '-d', "postgresql:///postgres?host=$host&port=1", '-p', $port ], 0, qr/\A *id  state/, $none, 'an URI, with another port');
	ends([ 'list', '-d', 'postgresql://[' ], 3, $none, qr/cannot connect/, 'a bad URI');
}
for my $arguments ([ 'dispatch', 'work' ], [ 'wait', 1 ], ['list'], [ 'show', 1 ])
{
	ends([ @$arguments, '-d', 'bare' ], 4, $none, qr/hint: .*CREATE EXTENSION stent/, "$arguments->[0] in a database without the extension");
}

# ---------------------------------------------------------------- dispatch
my $id = dispatched('echo', '{"a": [1, 0.1, "ü"]}', '--arg', 'b=2', '-a', 'c:=3', '--arg', 'd=x:=y');
all_end($node, 'it runs');
is(sql("SELECT result = '{\"a\": [1, 0.1, \"ü\"], \"b\": \"2\", \"c\": 3, \"d\": \"x:=y\"}' FROM stent.tasks WHERE id = $id"), 't', 'args');
($code, my $out, my $err) = stent_with_input("{\"n\":\n 7}\n", 'dispatch', 'work', '-', '--json');
my $made = $json->decode($out);
is_deeply([ keys %$made ], ['id'], 'dispatch --json');
is(sql("SELECT args ->> 'n' FROM stent.tasks WHERE id = $made->{id}"), '7', 'args from standard input');

$id = dispatched('outside', '--queue=near', '--priority=-7', '-t', 'a', '--tag', 'b c', '--delay=1h30m', '--max-duration=2d',
	'--timeout=1.5h', '--retry={"max_attempts": 9}', '--dedup-key=once', '--concurrency-key=line', '--header=who=me', '--header', 'n:=1');
is( sql("SELECT concat_ws('|', queue, priority, tags, due_at - created_at, deadline - due_at, timeout, retry ->> 'max_attempts', dedup_key, concurrency_key, headers, state)
		FROM stent.tasks WHERE id = $id"),
	'near|-7|{a,"b c"}|01:30:00|2 days|01:30:00|9|once|line|{"n": 1, "who": "me"}|scheduled', 'options');
is(dispatched('outside', '--dedup-key=once'), $id, 'a duplicate joins');
is(dispatched('outside', '--dedup-key=once', '--on-duplicate=replace', '--run-at=2099-01-31T12:00Z', '--arg=n=1'), $id, 'or replaces');
is(sql("SELECT due_at, args FROM stent.tasks WHERE id = $id"), '2099-01-31 12:00:00|{"n": "1"}', 'with other args, at another time');
ends([ 'dispatch', 'outside', '--dedup-key=once', '--on-duplicate=error' ], 1, $none, qr/\(23505\)/, 'or is refused');
sql("SELECT stent.cancel($id)");
is(dispatched('work', '--idempotency-key=k'), dispatched('work', '--idempotency-key=k'), 'the same key is done once');
ends([ 'dispatch', 'wrok' ], 1, $none, qr/\Astent dispatch: .*wrok.* \(42704\)\n.*hint: .*work/s, 'unknown function');
ends([ 'dispatch', 'work', '{"m": 1}' ], 1, $none, qr/\(22023\)/, 'args that do not fit');

ends([ 'dispatch', 'work', '--arg=n:=3', '--wait' ], 0, qr/\A3\n\z/, $none, 'dispatch --wait');
ends([ 'dispatch', 'nothing', '--wait=1m', '--json' ], 0, qr/\A\{"id": \d+, "state": "completed", "result": null\}\n\z/, $none, 'dispatch --wait --json');
ends([ 'dispatch', 'outside', '--wait=10ms' ], 2, $none, qr/not a duration/, 'milliseconds are no duration');
ends([ 'dispatch', 'outside', '--wait=0.01s' ], 6, $none, qr/task \d+ is still ready.*\(ST010\)/, 'dispatch --wait that runs out');
ends([ 'dispatch', 'quarrel', '--wait' ], 1, $none, qr/task \d+ failed: no \\x1b\[31mfish today \(UX123\)\nstent dispatch: detail: It is Monday\.\n.*hint: Come again\.\n/,
	'dispatch --wait for a task that fails');

# ---------------------------------------------------------------- dispatch --many
my $before = sql('SELECT count(*) FROM stent.tasks');
my $lines = join('', map { "{\"n\": $_}\n" . ($_ % 100 ? '' : "\n") } 1 .. 2500);

($code, $out, $err) = stent('dispatch', 'echo', '--queue=bulk', '--many=' . file('many', $lines));
is("$code$err", '0', 'dispatch --many of a file');
my @ids = split(/\n/, $out);
is(scalar @ids, 2500, 'an id for each line');
is(sql("SELECT count(*) FROM unnest('{" . join(',', @ids) . "}'::bigint[]) WITH ORDINALITY i (id, n) JOIN stent.tasks t USING (id)
	WHERE (t.args ->> 'n')::int = i.n AND t.queue = 'bulk'"), '2500', 'in the order of the lines');
is_like([ stent_with_input("{\"n\": 1}\n{}", 'dispatch', 'echo', '--many=-', '--json') ], 0, qr/\A\{"id": \d+\}\n\{"id": \d+\}\n\z/, $none,
	'dispatch --many of standard input');
ends([ 'dispatch', 'echo', '--many=' . file('none', "\n\n") ], 0, $none, $none, 'dispatch --many of nothing');
$before = sql('SELECT count(*) FROM stent.tasks');
ends([ 'dispatch', 'echo', '--many=' . file('bad', "$lines\n{\"n\":}\n") ], 2, $none, qr/bad, line 2527, column 6: /, 'a file with a bad line');
ends([ 'dispatch', 'echo', '--many=' . file('bad', "{}\n[]\n") ], 2, $none, qr/bad, line 2: not a JSON object/, 'a line that is no object');
is(sql('SELECT count(*) FROM stent.tasks'), $before, 'made nothing');
is_like([ stent_with_input("$lines\{", 'dispatch', 'echo', '--many=-') ], 2, qr/\A(?:\d+\n){2000}\z/,
	qr/standard input, line 2526, column 1: .*\n.*nothing was made from line 2020 on/, 'standard input with a bad line: what came before is there');
is(sql('SELECT count(*) FROM stent.tasks'), $before + 2000, 'and nothing else');
is_like([ stent_with_input("{\"n\": 1}\n" x 1000 . "{\"m\": 1}\n", 'dispatch', 'work', '--many=-') ], 1, qr/\A(?:\d+\n){1000}\z/,
	qr/lines 1001 to 1001 were refused, nothing was made from line 1001 on: .*\(22023\)/, 'a batch that is refused');
all_end($node, 'all of them run') if sql("SELECT count(stent.cancel(id)) > 0 FROM stent.tasks WHERE function = 'outside' AND finished_at IS NULL") eq 't';

# ---------------------------------------------------------------- wait
my $done = dispatched('work', '--arg=n:=4');
my $failed = dispatched('quarrel');
my $cancelled = dispatched('outside');
my $open = dispatched('outside');
sql("SELECT stent.cancel($cancelled)");

ends([ 'wait', $done ], 0, qr/\A4\n\z/, $none, 'wait');
ends([ 'wait', $failed ], 1, $none, qr/\Astent wait: task $failed failed: no .*fish today \(UX123\)\n/, 'wait for a task that fails');
ends([ 'wait', $cancelled ], 1, $none, qr/task $cancelled cancelled: cancelled by .*\(ST004\)/, 'wait for a cancelled task');
ends([ 'wait', '999999999' ], 7, $none, qr/task 999999999 does not exist \(P0002\)/, 'wait for an unknown id');
ends([ 'wait', $done, '-U', 'alice' ], 7, $none, qr/\(P0002\)/, q{wait for another role's task});
ends([ 'wait', $open, '-t', '0.01s' ], 6, $none, qr/task $open .*\(ST010\)/, 'a wait that runs out');
ends([ 'wait', $open, $done, $failed, '-t', '0.2s' ], 6, qr/\A4\n\z/, qr/ST010.*UX123/s, 'several: the first that did not complete');
ends([ 'wait', $done, $failed, $open, '-t', '0.2s' ], 1, qr/\A4\n\z/, qr/UX123.*ST010/s, 'in the order of the ids');
ends([ 'wait', $open, $open, '-t', '0.2s' ], 6, $none, qr/ST010.*ST010/s, 'several that run out together');
($code, $out, $err) = stent('wait', $done, $failed, $cancelled, 999999999, $open, '--json', '--timeout=0.2s');
is($code, 1, 'wait --json');
my @objects = map { $json->decode($_) } split(/\n/, $out);
is_deeply($objects[0], { id => $done, state => 'completed', result => 4 }, 'a completed task');
is(delete($objects[1]{error}{message}), "no \033[31mfish today", 'the error of a failed one');
is($objects[1]{error}{code}, 'UX123', 'with its code');
is($objects[1]{state}, 'failed', 'and state');
is("$objects[2]{state} $objects[2]{error}{code}", 'cancelled ST004', 'a cancelled task');
is_deeply($objects[3], { id => 999999999, state => undef }, 'an unknown id');
is_deeply($objects[4], { id => $open, state => 'ready' }, 'a wait that ran out');

# A command in the background, whose session is seen to run a query.
sub begin
{
	my ($query, @arguments) = @_;
	my %run = (out => '', err => '');

	$run{run} = IPC::Run::start([ $program, @arguments ], '<', \'', '>', \$run{out}, '2>', \$run{err}, IPC::Run::timeout(120));
	comes($node, "SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'stent $arguments[0]' AND state = 'active' AND query LIKE '%$query%'",
		"$arguments[0] asks the server");
	return \%run;
}

sub end
{
	my ($run) = @_;

	IPC::Run::finish($run->{run});
	return [ $? & 127 ? 'signal ' . ($? & 127) : $? >> 8, $run->{out}, $run->{err} ];
}

my $gone = q{SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name LIKE 'stent %' AND backend_type = 'client backend')};

for my $signal (qw(INT TERM HUP))
{
	my $run = begin('wait_for', 'wait', $open);

	$run->{run}->signal($signal);
	is_like(end($run), 130, $none, qr/\Astent wait: interrupted: task $open goes on\n\z/, "wait, interrupted by $signal");
	comes($node, $gone, 'and nothing of it is left');
}
{
	my $run = begin('wait_for', 'dispatch', 'outside', '--wait');

	$run->{run}->signal('INT');
	is_like(end($run), 130, $none, qr/interrupted: task \d+ goes on/, 'dispatch --wait, interrupted');

	my $holder = $node->background_psql('postgres');
	$holder->query_safe(q{BEGIN; SELECT stent.dispatch('work', dedup_key => 'held')});
	$run = begin('dispatch', 'dispatch', 'work', '--dedup-key=held');
	$run->{run}->signal('INT');
	is_like(end($run), 130, $none, qr/interrupted: no task was made/, 'dispatch, interrupted');
	$holder->query_safe('ROLLBACK');
	$holder->quit;

	$run = begin('wait_for', 'wait', $open, $done);
	sql(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'stent wait'});
	is_like(end($run), 3, $none, qr/stent wait: /, 'wait, its connection lost');
}

# ---------------------------------------------------------------- list
my $tale = dispatched('tale');
ends([ 'wait', $tale ], 0, qr/\A"the end"\n\z/, $none, 'a text is printed as JSON');
($code, $out, $err) = stent('list', '-n', 4);
my @rows = split(/\n/, $out);
like($rows[0], qr/\A *id  state +function +queue +attempt  created +duration\z/, 'list: titles');
is(scalar @rows, 5, 'list -n');
like($rows[1], qr/\A *$tale  completed  tale +default +1  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d +\d+\.\d{3}s\z/, 'list: the newest first');
unlike($out, qr/\033| $/m, 'list: a pipe gets no colours, and no blanks at the ends of lines');
($code, $out) = stent('list');
is(() = $out =~ /\n/g, 21, 'list: 20 by default');
($code, $out) = stent('list', '-n', 0, '--json');
is(scalar @{ $json->decode($out) }, sql('SELECT count(*) FROM stent.executions'), 'list -n 0: all of them');
for my $filter ([ '--state=failed', q{state = 'failed'} ], [ '--function=echo', q{function = 'echo'} ], [ '--queue=far away', q{queue = 'far away'} ],
	[ '--state=cancelled', q{state = 'cancelled'} ])
{
	my $rows = $json->decode((stent('list', '--json', '-n0', $filter->[0]))[1]);

	is(join(',', map { $_->{id} } @$rows), sql("SELECT string_agg(id::text, ',' ORDER BY id DESC) FROM stent.executions WHERE $filter->[1]"), "list $filter->[0]");
	cmp_ok(scalar @$rows, '>', 0, 'which are some');
}
is_deeply($json->decode((stent('list', '--json', '-U', 'alice'))[1]), [], q{list: not others' tasks});
is((stent('list', '--function=no such'))[1], "id  state  function  queue  attempt  created  duration\n", 'list of nothing');
{
	my @terminal = ('script', '-qec', "$program list -n 1", '/dev/null');
	my ($out, $plain);

	IPC::Run::run(\@terminal, '<', \undef, '>', \$out);
	like($out, qr/\033\[32mcompleted\033\[0m/, 'colours on a terminal');
	local $ENV{NO_COLOR} = 1;
	IPC::Run::run(\@terminal, '<', \undef, '>', \$plain);
	like($plain, qr/^[^\033]*completed[^\033]*$/, 'none with NO_COLOR');
}

{
	# as a server of before 0.5 has it
	my @new = stent('list', '--json', '--function=echo', '-n', 3);

	sql('ALTER FUNCTION stent.newest(text, text, text, integer) RENAME TO not_yet');
	is_deeply([ stent('list', '--json', '--function=echo', '-n', 3) ], \@new, 'list where there is no newest()');
	sql('ALTER FUNCTION stent.not_yet(text, text, text, integer) RENAME TO newest');
	is(scalar @{ $json->decode($new[1]) }, 3, 'the newest three');
}

# ---------------------------------------------------------------- show
($code, $out, $err) = stent('show', $tale);
is("$code$err", '0', 'show');
like($out, $_, "show: $_")
  for (qr/\Atask $tale: tale, completed$/m, qr/^  queue +default$/m, qr/^times \(UTC\)$/m, qr/^  ran for +\d/m, qr/^attempts: 1 of 3$/m,
	qr/^progress of the execution\n.*dispatch: dispatched\n.*halfway  \{"rows": 12\}\n.*end: completed\n/m, qr/^counters of the execution\n  rows +12$/m,
	qr/^context of the execution\n  city +"Köln"$/m, qr/^result\n  "the end"\n\z/m);
unlike($out, qr/why it is/, 'show: no why for what has finished');
($code, $out, $err) = stent('show', $failed);
like($out, qr/^attempts: 2 of 2\n *attempt  started +ran for  error\n +1  .* UX123: no \\x1b\[31mfish today\n +2? /m, 'show: attempts and their errors');
like($out, qr/^error\n  UX123: no \\x1b\[31mfish today\n  detail +It is Monday\.\n  hint +Come again\.\n/m, 'show: the error');
unlike($out, qr/\033/, 'show: an error cannot command the terminal');
sql(qq{SELECT stent.signal($open, 'go', '{"fast": true}')});
($code, $out, $err) = stent('show', $open);
like($out, qr/^why it is where it is\n  \S.+$/m, 'show: why it does not run');
like($out, qr/^signals of the execution\n  \S+ \S+  go  \{"fast": true\}$/m, 'show: signals');
($code, $out, $err) = stent('show', $tale, '--json');
my $shown = $json->decode($out);
is("$shown->{id} $shown->{state} $shown->{result} $shown->{counters}{rows} $shown->{context}{city}", "$tale completed the end 12 K\x{c3}\x{b6}ln", 'show --json')
  or diag($out);
is($shown->{why}, undef, 'show --json: no why for what has finished');
is(join(' ', map { $_->{step} } @{ $shown->{progress} }), 'dispatch halfway end', 'show --json: progress');
isnt($json->decode((stent('show', $open, '--json'))[1])->{why}, undef, 'show --json: why');
unlike((stent('show', $tale))[1], qr/^steps and tasks/m, 'show: a task alone is no tree');
{
	my $flow = sql("SELECT stent.dispatch('flow')");
	my $tree = qr/^steps and tasks below it\n  task $flow flow: waiting for \S+; waits for signal "go"\n    1 call "first" leaf, task \d+: completed in \S+\n    2 signal "go": waiting for \S+\n\z/m;

	comes($node, "SELECT state FROM stent.tasks WHERE id = $flow", 'an orchestrator waits', expected => 'waiting');
	($code, $out, $err) = stent('show', $flow);
	is("$code$err", '0', 'show of an orchestrator');
	like($out, $tree, 'show: its steps');
	like($out, qr/^why it is where it is\n  It waits for signal "go", since [^\n]*\n/m, 'show: what it waits for');
	$shown = $json->decode((stent('show', $flow, '--json'))[1]);
	is("$shown->{waits_for}, " . scalar @{ $shown->{explain} }, 'waits for signal "go", 3', 'show --json: the same');
	# as a server of before 0.5 has it
	sql('ALTER FUNCTION stent.explain(bigint) RENAME TO not_yet');
	($code, $out, $err) = stent('show', $flow);
	is("$code$err", '0', 'show where there is no explain()');
	unlike($out, qr/^steps and tasks/m, 'then there is no tree');
	is($json->decode((stent('show', $flow, '--json'))[1])->{explain}, undef, 'nor with --json');
	sql('ALTER FUNCTION stent.not_yet(bigint) RENAME TO explain');
	sql("SELECT stent.cancel($flow)");
}
ends([ 'show', '999999999' ], 7, $none, qr/task 999999999 does not exist \(P0002\)/, 'show of an unknown id');
ends([ 'show', $done, '-U', 'alice' ], 7, $none, qr/\(P0002\)/, q{show of another role's task});
my $long = dispatched('echo', '--arg=text=' . 'ü' x 5000);
($code, $out, $err) = stent('show', $long);
like($out, qr/^  args +\{"text": "(?:ü)+ \.\.\. \(--json has all\)$/m, 'show: long values are cut between characters');
like((stent('show', $long, '--json'))[1], qr/"(?:ü){5000}"/, 'show --json: nothing is cut');

# what a handler wrote, as a worker hands it in
my $written = dispatched('outside', '--queue=writing');
sql(q{DO $$
DECLARE t record;
BEGIN
	SELECT * INTO t FROM stent.claim('test', functions => '{outside}', queues => '{writing}');
	PERFORM stent.append_output_many(t.task_id, t.token, '{stdout,stdout,stderr,stdout}', ARRAY['\x67c3', '\xbc0a', '\x1b5b', '\xff00']::bytea[]);
	PERFORM stent.complete(t.task_id, t.token, '1');
END $$});
($code, $out, $err) = stent('show', $written, '--output');
like($out, qr/^output\n--- attempt 1, stdout ---\ngü\n--- attempt 1, stderr ---\n\\x1b\[\n--- attempt 1, stdout ---\n\\xff\\x00\n\z/m, 'show --output');
is((stent('show', $written, '--output=raw'))[1], "g\xc3\xbc\n\033[\xff\0", 'show --output=raw');
is((stent('show', $written, '--output=raw', '--stream=stderr'))[1], "\033[", 'show --output=raw --stream');
is((stent('show', $written, '--output=raw', '--attempt=2'))[1], '', 'show --output=raw --attempt');
is(join(' ', map { $_->{text} // "x$_->{hex}" } @{ $json->decode((stent('show', $written, '--output', '--json'))[1])->{output} }),
	"x67c3 xbc0a \033[ xff00", 'show --output --json');
like((stent('show', $tale, '--output'))[1], qr/^output\n  none\n\z/m, 'show --output of nothing');

# ---------------------------------------------------------------- a full disk
for my $arguments ("wait $done", 'list', "show $tale", 'dispatch work', '--help', 'list --help')
{
	my $err;

	IPC::Run::run([ 'sh', '-c', "exec $program $arguments > /dev/full" ], '2>', \$err);
	is($? >> 8, 1, "$arguments to a full disk");
	like($err, qr/cannot write to standard output/, 'which it tells');
}

# ---------------------------------------------------------------- the server leaves
{
	my $run = begin('wait_for', 'wait', $open);

	$node->stop('immediate');
	is_like(end($run), 3, $none, qr/stent wait: /, 'wait, the server gone');
}
done_testing();
