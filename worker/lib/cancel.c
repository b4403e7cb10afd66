/*
 * cancel.c
 *	  Asking the server to cancel what it does for a connection.
 *
 * Its own file because it is the one thing other threads may do with a StentConn: it
 * looks at what cancel_lock guards, and nothing else.
 */
#include "conn.h"
#include "error.h"

/* Sends a cancel request and waits until the server has taken it. */
StentStatus
stent_cancel_request(StentConn *conn, StentError *error)
{
	char problem[256] = "";
	StentStatus status = error_none(error);

	pthread_mutex_lock(&conn->cancel_lock);
	if (conn->cancel == NULL)
		status = error_set(error, STENT_NOT_OPEN, "the connection is not open");
	else if (!PQcancel(conn->cancel, problem, sizeof(problem)))
		status = error_set(error, STENT_LOST, "%s", problem);
	pthread_mutex_unlock(&conn->cancel_lock);
	return status;
}
