/*
 * conn.h
 *	  What a StentConn is to the files of this library.
 */
#ifndef STENT_CONN_H
#define STENT_CONN_H

#include <libpq-fe.h>
#include <pthread.h>

#include "params.h"
#include "statements.h"
#include "stent.h"

typedef struct Request Request;

/* How far the server is with a prepared statement. */
typedef enum Preparing
{
	PREPARING_NOT_BEGUN,
	PREPARING_SENT,
	PREPARING_DONE
} Preparing;

typedef struct Prepared
{
	Preparing state;
	unsigned int generation; /* part of its name: counts how often it was prepared */
} Prepared;

struct StentConn
{
	char *conninfo;
	StentConnState state;
	PGconn *pg;          /* NULL: closed */
	bool wants_write;    /* connecting, or bytes wait for the socket */
	bool broken;         /* a request was written in part: the connection is of no use */
	unsigned int closed; /* how often it was: a callback may close it, and open it again */
	bool processing;     /* within stent_process(), so perhaps in a callback */
	StentError farewell; /* what the server said when it closed the connection */

	/* requests on their way, the oldest first */
	Request *first;
	Request *last;
	int pending;
	Params params; /* of the request being made */
	Prepared prepared[N_STATEMENTS];
	bool watched; /* the server was told to see whether we are still there */

	StentNotify notify;
	void *notify_arg;

	/* the only part other threads may touch */
	pthread_mutex_t cancel_lock;
	PGcancel *cancel;
};

extern StentStatus conn_opened(StentConn *conn, StentError *error);
extern StentStatus conn_close(StentConn *conn, const StentError *why, StentError *error);
extern StentStatus conn_wait(StentConn *conn, double until, StentError *error);
extern double monotonic_seconds(void);

#endif
