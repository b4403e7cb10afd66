# Crashes the backend at every fault point in the scenarios of leases: see 001_crash_points.pl.
use strict;
use warnings;

$ENV{STENT_CRASH_LEASES} = 1;
defined(do './test/t/001_crash_points.pl') or die $@ || $!;
