/*
 * daemon.h
 *	  The worker as a process: its states, its two connections, its signals.
 */
#ifndef STENT_WORKER_DAEMON_H
#define STENT_WORKER_DAEMON_H

#include "config.h"
#include "exit_codes.h"

typedef struct DaemonOptions
{
	ConfigOverride override;
	const char *conninfo;
	double connect_timeout; /* seconds, for the first connection; 0: without end */
} DaemonOptions;

/* Serves until it is told to stop; takes the configuration. Returns what to leave with. */
extern ExitCode daemon_run(const DaemonOptions *options, Config *config);

#endif
