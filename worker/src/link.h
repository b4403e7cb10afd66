/*
 * link.h
 *	  A connection to the server that lives in the loop and comes back when it is lost.
 */
#ifndef STENT_WORKER_LINK_H
#define STENT_WORKER_LINK_H

#include <event2/event.h>
#include <stdbool.h>

#include "stent.h"

typedef struct Link Link;

typedef struct LinkEvents
{
	/* It is open; nothing was sent yet. */
	void (*opened)(Link *link, void *arg);
	/* It was lost, or an attempt to connect failed; all its requests have been called back. */
	void (*lost)(Link *link, const StentError *error, void *arg);
	void (*notified)(Link *link, const char *payload, void *arg); /* may be NULL */
} LinkEvents;

/*
 * patience: seconds without any answer to a pending request after which the connection is
 * taken for dead; 0: any time. name is for the log and borrowed. NULL for want of memory.
 */
extern Link *link_new(struct event_base *base, const char *name, const char *conninfo,
					  double patience, const LinkEvents *events, void *arg);
extern void
link_free(Link *link); /* of NULL: nothing; requests end with STENT_LOST, nothing else is told */

/* Connects, and connects again from now on whenever it is lost. */
extern void link_begin(Link *link);

/* For requests; NULL while it is not open. Call link_kick() when some were queued. */
extern StentConn *link_conn(Link *link);

/* What was queued is sent at the end of this turn of the loop. */
extern void link_kick(Link *link);

/* Seconds since the last answer, while requests are pending; else 0. */
extern double link_silence(const Link *link);

/* Takes the connection for dead and connects again. Not from within a request's callback. */
extern void link_drop(Link *link, const char *reason);

#endif
