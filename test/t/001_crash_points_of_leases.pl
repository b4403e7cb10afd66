# Crashes the backend at every fault point in the scenarios of leases: see 001_crash_points.pl.
use strict;
use warnings;
# when this file is compiled: the modules prepare themselves in INIT blocks, which come too early for a do
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

$ENV{STENT_CRASH_LEASES} = 1;
defined(do './test/t/001_crash_points.pl') or die $@ || $!;
