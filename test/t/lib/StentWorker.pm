# What the tests of the worker share: a worker as a process, with its
# configuration and its log.
package StentWorker;

use strict;
use warnings;
use Exporter 'import';
use IPC::Run ();
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

our @EXPORT = qw(worker_program worker_start worker_configure worker_says worker_signal worker_ends worker_children in_time);

my $PATIENCE_S = 40 * $PostgreSQL::Test::Utils::timeout_default / 180;
my $program;
my $workers = 0;

# The program: STENT_WORKER, or what the tree builds.
sub worker_program
{
	return $program if $program;
	$program = $ENV{STENT_WORKER};
	if (!$program)
	{
		# what is built by the make that runs us is none of its business
		local %ENV = map { $_ => $ENV{$_} } grep { !/^(MAKE|MFLAGS)/ } keys %ENV;
		system('make', '-s', '-C', 'worker') == 0 or die 'cannot build the program';
		$program = 'worker/build/stent';
	}
	return $program;
}

# Writes the configuration of a worker.
sub worker_configure
{
	my ($worker, $config) = @_;
	my $text = ref($config) ? JSON::PP->new->canonical->encode($config) : $config;

	open(my $file, '>', "$worker->{base}.json") or die $!;
	print $file $text;
	close($file) or die $!;
	return;
}

# Starts a worker on a node's database, and waits until it is ready.
sub worker_start
{
	my ($node, $name, $config, %params) = @_;
	my $base = PostgreSQL::Test::Utils::tempdir() . "/worker" . ++$workers;
	my $worker = { name => $name, base => $base, log => "$base.log" };
	my @limit = $params{files} ? ('prlimit', "--nofile=$params{files}") : ();

	worker_configure($worker, $config);
	open(my $log, '>', $worker->{log}) or die $!;
	close($log);
	$worker->{run} = IPC::Run::start(
		[ @limit, worker_program(), 'worker', '-c', "$base.json", '--name', $name,
			'-d', $params{connection} // $node->connstr($params{database} // 'postgres'), @{ $params{options} // [] } ],
		'<', '/dev/null', '>', "$base.out", '2>', $worker->{log});
	$worker->{pid} = $worker->{run}->{KIDS}->[0]->{PID};
	worker_says($worker, qr/msg="ready"/, "$name is ready") if $params{ready} // 1;
	return $worker;
}

# Waits until a condition holds; false: it did not in time.
sub in_time
{
	my ($condition) = @_;
	my $end = time + $PATIENCE_S;

	until ($condition->())
	{
		return 0 if time >= $end;
		usleep(20_000);
	}
	return 1;
}

# A test: the log comes to have a line, behind an offset.
sub worker_says
{
	my ($worker, $pattern, $name, $offset) = @_;
	my $good = in_time(sub { substr(slurp_file($worker->{log}), $offset // 0) =~ $pattern });

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok($good, $name) and return 1;
	diag("expected $pattern in the log of $worker->{name}:\n" . slurp_file($worker->{log}));
	die 'waited in vain';
}

sub worker_signal
{
	my ($worker, $signal) = @_;

	kill($signal, $worker->{pid}) or die "no worker $worker->{name}: $!";
	return;
}

# A test: the worker ends, with an exit code or by a signal ("signal 9").
sub worker_ends
{
	my ($worker, $expected, $name) = @_;
	my $pid = $worker->{pid};
	# gone, or a zombie: finish reaps it
	my $gone = in_time(sub { my $stat = eval { slurp_file("/proc/$pid/stat") } // ''; $stat !~ /^\d+ \(.*\) [^Z]/ });
	my $is = 'still there';

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	if ($gone)
	{
		$worker->{run}->finish;
		my $status = $worker->{run}->full_result(0);
		$is = $status & 127 ? 'signal ' . ($status & 127) : $status >> 8;
	}
	is($is, $expected, $name) or diag(slurp_file($worker->{log}));
	return;
}

# Its children, as lines of state and command.
sub worker_children
{
	my ($worker) = @_;

	return grep { /\S/ } split(/\n/, `ps --ppid $worker->{pid} -o stat=,args=`);
}

1;
