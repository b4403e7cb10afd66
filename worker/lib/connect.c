/*
 * connect.c
 *	  Opening a connection, blocking with retries or step by step.
 *
 * Which host, user and password, and TLS, are libpq's to find out.
 */
#include "connect.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "error.h"

#define N_KEYWORDS 8

/*
 * Defaults of ours come before what the program says, and so yield to it: a host that
 * vanished is noticed within about a minute. What comes after is not for the program to
 * change.
 */
static void
keywords(const StentConn *conn, const char *names[N_KEYWORDS], const char *values[N_KEYWORDS])
{
	int n = 0;

	names[n] = "keepalives_idle", values[n++] = "30";
	names[n] = "keepalives_interval", values[n++] = "10";
	names[n] = "tcp_user_timeout", values[n++] = "60000";
	if (getenv("PGCONNECT_TIMEOUT") == NULL)
		names[n] = "connect_timeout", values[n++] = "30";
	names[n] = "fallback_application_name", values[n++] = "stent";
	names[n] = "dbname", values[n++] = conn->conninfo;
	names[n] = "client_encoding", values[n++] = "UTF8";
	names[n] = values[n] = NULL;
}

/* Refuses what cannot be connected to, however often one tries. */
static StentStatus
check(const StentConn *conn, StentError *error)
{
	const char *text = conn->conninfo;
	PQconninfoOption *options;
	char *problem = NULL;
	StentStatus status = STENT_OK;

	if (conn->state == STENT_CONN_OPEN)
		return error_set(error, STENT_INVALID, "the connection is open already");
	/* Without one of these libpq takes it for a mere name of a database. */
	if (strchr(text, '=') == NULL && strncmp(text, "postgres://", 11) != 0 &&
		strncmp(text, "postgresql://", 13) != 0)
		return STENT_OK;
	options = PQconninfoParse(text, &problem);
	if (options == NULL)
		status = problem != NULL ? error_set(error, STENT_INVALID, "%s", problem)
								 : error_no_memory(error);
	PQfreemem(problem);
	PQconninfoFree(options);
	return status;
}

/* Keeps what the server says when it closes the connection; all else is not for us. */
static void
on_notice(void *arg, const PGresult *notice)
{
	StentConn *conn = arg;
	const char *severity = PQresultErrorField(notice, PG_DIAG_SEVERITY_NONLOCALIZED);

	if (severity != NULL && (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0))
		error_of_result(&conn->farewell, STENT_LOST, notice);
}

/* What has become of libpq's attempt: open, or closed with libpq's reason. */
static StentStatus
settle(StentConn *conn, StentError *error)
{
	StentError why;

	if (PQstatus(conn->pg) == CONNECTION_OK)
		return conn_opened(conn, error);
	error_of_connection(&why, STENT_NOT_OPEN, conn->pg);
	return conn_close(conn, &why, error);
}

/* Begins one attempt to connect. */
StentStatus
stent_connect_start(StentConn *conn, StentError *error)
{
	const char *names[N_KEYWORDS];
	const char *values[N_KEYWORDS];
	StentStatus status = check(conn, error);

	if (status != STENT_OK)
		return status;
	if (conn->state == STENT_CONN_CONNECTING)
		return error_set(error, STENT_INVALID, "the connection is being opened already");
	keywords(conn, names, values);
	conn->pg = PQconnectStartParams(names, values, 1);
	if (conn->pg == NULL)
		return error_no_memory(error);
	if (PQstatus(conn->pg) == CONNECTION_BAD)
		return settle(conn, error);
	PQsetNoticeReceiver(conn->pg, on_notice, conn);
	conn->state = STENT_CONN_CONNECTING;
	conn->wants_write = true;
	return error_none(error);
}

/* Carries an attempt on as far as the socket lets it. */
StentStatus
connect_continue(StentConn *conn, StentError *error)
{
	while (conn->state == STENT_CONN_CONNECTING)
	{
		struct pollfd ready = {.fd = PQsocket(conn->pg),
							   .events = conn->wants_write ? POLLOUT : POLLIN};

		/* libpq takes being asked for the socket being ready. */
		if (ready.fd >= 0 && poll(&ready, 1, 0) <= 0)
			break;
		switch (PQconnectPoll(conn->pg))
		{
			case PGRES_POLLING_READING:
				conn->wants_write = false;
				break;
			case PGRES_POLLING_WRITING:
				conn->wants_write = true;
				break;
			default:
				return settle(conn, error);
		}
	}
	return error_none(error);
}

/* One attempt, blocking: libpq minds the time, and turns to the next host. */
static StentStatus
attempt(StentConn *conn, StentError *error)
{
	const char *names[N_KEYWORDS];
	const char *values[N_KEYWORDS];

	keywords(conn, names, values);
	conn->pg = PQconnectdbParams(names, values, 1);
	if (conn->pg == NULL)
		return error_no_memory(error);
	PQsetNoticeReceiver(conn->pg, on_notice, conn);
	return settle(conn, error);
}

/* Sleeps, whatever signals come. */
static void
pause_for(double seconds)
{
	struct timespec left = {.tv_sec = (time_t) seconds,
							.tv_nsec = (long) ((seconds - (double) (time_t) seconds) * 1e9)};

	while (nanosleep(&left, &left) != 0 && errno == EINTR)
		;
}

/* Connects, blocking, with retries. */
StentStatus
stent_connect(StentConn *conn, const StentRetry *retry, StentError *error)
{
	StentStatus status = check(conn, error);

	if (status != STENT_OK)
		return status;
	if (conn->state == STENT_CONN_CONNECTING)
		stent_disconnect(conn);
	for (int n = 1;; n++)
	{
		double delay;

		status = attempt(conn, error);
		delay = stent_retry_delay(retry, n);
		if (status == STENT_OK || delay < 0)
			return status;
		pause_for(delay);
	}
}
