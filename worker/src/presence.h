/*
 * presence.h
 *	  The daemon's state, which daemon.c and presence.c share, and how the server is told of it.
 *
 * daemon.c decides on states; presence.c makes the worker known to the server, asks for
 * notifications and gives signs of life.
 */
#ifndef STENT_WORKER_PRESENCE_H
#define STENT_WORKER_PRESENCE_H

#include <event2/event.h>
#include <stdbool.h>

#include "daemon.h"
#include "link.h"
#include "loop.h"
#include "pool.h"

typedef enum DaemonState
{
	DAEMON_STARTING, /* not accepted by the server so far */
	DAEMON_READY,
	DAEMON_DRAINING, /* finishes what runs, claims nothing */
	DAEMON_STOPPED
} DaemonState;

extern const char *const daemon_state_names[];

typedef struct Daemon
{
	const DaemonOptions *options;
	struct event_base *base;
	Config *config;
	Pool *pool;
	Link *work;
	Link *keeping;
	LoopSignals *signals;
	DaemonState state;
	ExitCode exit_code;
	bool accepted;          /* the server knows us, on this connection */
	bool listening;         /* notifications reach us, on this connection */
	bool leaving;           /* the server is being told that we stop */
	struct event *alive;    /* the next sign of life, or try to be accepted */
	struct event *deadline; /* of the state */
	struct event *look;     /* is there nothing left to do? */
	bool gave_back;
} Daemon;

/* Leaves the loop, to end with this code; the first one counts. */
extern void daemon_stop(Daemon *daemon, ExitCode exit_code);
/* Claims, if everything is there for it. */
extern void daemon_look_ready(Daemon *daemon);

/* Makes the worker, as it is configured, known to the server. */
extern void presence_start(Daemon *daemon);
/* Gives a sign of life. */
extern void presence_tell(Daemon *daemon);
/* Asks for notifications on the connection for claims. */
extern void presence_listen(Daemon *daemon);
/* Callback of the timer of signs of life. */
extern void presence_due(evutil_socket_t fd, short what, void *arg);

#endif
