/*
 * conn.c
 *	  One connection: its life from new to free, and its loop.
 *
 * How it is opened is connect.c's; what is sent and answered on it is query.c's.
 */
#include "conn.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <time.h>

#include "error.h"
#include "memory.h"
#include "query.h"

/* A connection that is not open yet; NULL for want of memory. */
StentConn *
stent_conn_new(const char *conninfo)
{
	StentConn *conn = memory_new(sizeof(StentConn));

	if (conn == NULL)
		return NULL;
	conn->conninfo = memory_string(conninfo != NULL ? conninfo : "");
	if (conn->conninfo == NULL)
	{
		memory_free(conn);
		return NULL;
	}
	pthread_mutex_init(&conn->cancel_lock, NULL);
	return conn;
}

/* Closes a connection and forgets it. */
void
stent_conn_free(StentConn *conn)
{
	if (conn == NULL)
		return;
	stent_disconnect(conn);
	params_free(&conn->params);
	pthread_mutex_destroy(&conn->cancel_lock);
	memory_free(conn->conninfo);
	memory_free(conn);
}

/* Takes a connection that libpq has opened into use, or closes it with the reason. */
StentStatus
conn_opened(StentConn *conn, StentError *error)
{
	PGcancel *cancel = PQgetCancel(conn->pg);
	StentError problem;

	if (cancel == NULL || PQsetnonblocking(conn->pg, 1) != 0 || !PQenterPipelineMode(conn->pg))
	{
		if (cancel != NULL)
			PQfreeCancel(cancel);
		error_no_memory(&problem);
		return conn_close(conn, &problem, error);
	}
	pthread_mutex_lock(&conn->cancel_lock);
	conn->cancel = cancel;
	pthread_mutex_unlock(&conn->cancel_lock);
	conn->state = STENT_CONN_OPEN;
	conn->wants_write = false;
	return error_none(error);
}

/*
 * Closes a connection, and calls back what was pending with STENT_LOST and the reason;
 * the reason's own status. The connection is closed when the callbacks run, and they may
 * begin to open it again.
 */
StentStatus
conn_close(StentConn *conn, const StentError *why, StentError *error)
{
	StentError reason = *why;
	PGcancel *cancel;

	pthread_mutex_lock(&conn->cancel_lock);
	cancel = conn->cancel;
	conn->cancel = NULL;
	pthread_mutex_unlock(&conn->cancel_lock);
	if (cancel != NULL)
		PQfreeCancel(cancel);
	if (conn->pg != NULL)
		PQfinish(conn->pg);
	conn->pg = NULL;
	conn->closed++;
	conn->state = STENT_CONN_CLOSED;
	conn->wants_write = conn->broken = conn->watched = false;
	memset(conn->prepared, 0, sizeof(conn->prepared));
	error_none(&conn->farewell);
	error_copy(error, &reason);
	query_lost(conn, &reason);
	return reason.status;
}

/* Closes a connection that is not wanted any more. */
void
stent_disconnect(StentConn *conn)
{
	StentError why;

	if (conn->state == STENT_CONN_CLOSED)
		return;
	error_set(&why, STENT_LOST, "the connection was closed by the program");
	(void) conn_close(conn, &why, NULL);
}

/* Closed, connecting or open. */
StentConnState
stent_conn_state(const StentConn *conn)
{
	return conn->state;
}

/* What to wait for; -1: nothing. */
int
stent_socket(const StentConn *conn)
{
	return conn->pg != NULL ? PQsocket(conn->pg) : -1;
}

/* Whether to wait for the socket to be writable too (while connecting: instead). */
bool
stent_wants_write(const StentConn *conn)
{
	return conn->wants_write || conn->broken;
}

/* How many requests have no answer yet. */
int
stent_pending(const StentConn *conn)
{
	return conn->pending;
}

/* The server's version; 0 if the connection is not open. */
int
stent_server_version(const StentConn *conn)
{
	return conn->state == STENT_CONN_OPEN ? PQserverVersion(conn->pg) : 0;
}

/* A clock for lengths of time only. */
double
monotonic_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}

/*
 * Waits for the socket and does what can be done then, once. STENT_EMPTY: it is later
 * than until (a time of monotonic_seconds; < 0: never).
 */
StentStatus
conn_wait(StentConn *conn, double until, StentError *error)
{
	struct pollfd ready = {.fd = stent_socket(conn)};
	double left = until < 0 ? -1 : until - monotonic_seconds();
	int timeout = -1;

	if (conn->processing)
		return error_set(error, STENT_INVALID, "a callback cannot wait");
	ready.events =
		(short) ((conn->state == STENT_CONN_OPEN || !stent_wants_write(conn) ? POLLIN : 0) |
				 (stent_wants_write(conn) ? POLLOUT : 0));
	if (until >= 0)
		timeout = left <= 0 ? 0 : left > 3600 ? 3600000 : (int) (left * 1000) + 1;
	/* Not being open is told by stent_process(), an interrupt is as good as a wake-up. */
	if (ready.fd >= 0 && poll(&ready, 1, timeout) < 0 && errno != EINTR)
		return error_set(error, STENT_INVALID, "cannot wait: %s", strerror(errno));
	if (ready.fd >= 0 && ready.revents == 0 && until >= 0 && monotonic_seconds() >= until)
		return error_set(error, STENT_EMPTY, "the time is over");
	return stent_process(conn, error);
}

/* Waits until no request is pending, or the time is over. */
StentStatus
stent_drain(StentConn *conn, double seconds, StentError *error)
{
	double until = seconds < 0 ? -1 : monotonic_seconds() + seconds;
	StentStatus status = error_none(error);

	if (conn->processing)
		return error_set(error, STENT_INVALID, "a callback cannot wait");
	while (conn->pending > 0 && status == STENT_OK)
		status = conn_wait(conn, until, error);
	return status;
}
