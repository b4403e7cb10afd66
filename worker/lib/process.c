/*
 * process.c
 *	  Taking answers and notifications as they come: the inside of stent_process().
 *
 * A request is answered by its Sync and not before; until then nobody knows whether it is
 * committed, so all that have none when the connection goes are lost.
 */
#include <string.h>

#include "connect.h"
#include "error.h"
#include "request.h"

static bool
has_code(const PGresult *result, const char *code)
{
	const char *field = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	return field != NULL && strcmp(field, code) == 0;
}

/*
 * Whether a prepared statement has to be made anew: it is not there (a pooler has changed
 * the session, DISCARD ALL), or the extension has changed below it.
 */
static bool
is_stale(const PGresult *result)
{
	const char *function = PQresultErrorField(result, PG_DIAG_SOURCE_FUNCTION);

	return has_code(result, "26000") || (has_code(result, "0A000") && function != NULL &&
										 strcmp(function, "RevalidateCachedQuery") == 0);
}

/* The error of what the extension here does not have, or does not speak. */
static StentStatus
mismatch(StentError *error)
{
	error->status = STENT_MISMATCH;
	if (strcmp(error->code, "3F000") == 0 || strcmp(error->code, "42P01") == 0)
		error_hint(error, "Run CREATE EXTENSION stent in this database, or connect to the one "
						  "that has it.");
	else if (error->hint[0] == '\0' || strcmp(error->code, "ST013") != 0)
		error_hint(error,
				   "This is stent %s, which speaks protocol %d: install an extension that does, "
				   "and run ALTER EXTENSION stent UPDATE; or use the stent of the extension's "
				   "version.",
				   STENT_VERSION, STENT_PROTOCOL);
	return STENT_MISMATCH;
}

/* The error a request ended with; a task's own errors are never taken for a mismatch. */
static void
describe(const Request *request, StentError *error)
{
	static const char *const missing[] = {"3F000", "42883", "42P01", "42703"};
	bool ours = request->not_parsed || request->id == STATEMENT_WORKER_START;

	error_of_result(error, STENT_REFUSED, request->result);
	/* Without a code it is libpq's, which had no memory for the answer. */
	if (error->code[0] == '\0')
		error->status = STENT_NO_MEMORY;
	for (size_t i = 0; ours && i < sizeof(missing) / sizeof(missing[0]); i++)
		if (strcmp(error->code, missing[i]) == 0)
			mismatch(error);
	if (request->id == STATEMENT_WORKER_START && strcmp(error->code, "ST013") == 0)
		mismatch(error);
}

/* The Sync of the oldest request is there: its answer stands. */
static void
answer_first(StentConn *conn)
{
	Request *request = conn->first;
	Answer answer;
	StentError error;

	conn->first = request->next;
	if (conn->first == NULL)
		conn->last = NULL;
	conn->pending--;
	if (request->result != NULL && PQresultStatus(request->result) != PGRES_FATAL_ERROR)
		answer_read(&answer, statement_of(request->id)->answer, request->n_items, request->result);
	else
	{
		if (request->result != NULL)
			describe(request, &error);
		else
			answer_bad(&error, "there is none");
		answer_fail(&answer, &error);
	}
	request_finish(conn, request, &answer);
}

/* Takes a result of the oldest request. */
static void
take(StentConn *conn, PGresult *result)
{
	Request *request = conn->first;
	Prepared *prepared = &conn->prepared[request->id];
	ExecStatusType status = PQresultStatus(result);

	if (status == PGRES_PIPELINE_SYNC)
	{
		PQclear(result);
		answer_first(conn);
		return;
	}
	if (request->parsing && (status == PGRES_COMMAND_OK || status == PGRES_FATAL_ERROR))
	{
		request->parsing = false;
		request->not_parsed = status == PGRES_FATAL_ERROR;
		if (request->names)
			prepared->state = request->not_parsed ? PREPARING_NOT_BEGUN : PREPARING_DONE;
		/* Whether a name was taken is not known for every error; the next has another. */
		if (request->names && request->not_parsed)
			prepared->generation++;
		if (!request->not_parsed)
		{
			PQclear(result);
			return;
		}
	}
	else if (status == PGRES_FATAL_ERROR && prepared->state == PREPARING_DONE && is_stale(result))
	{
		prepared->state = PREPARING_NOT_BEGUN;
		prepared->generation++;
	}
	if (request->result == NULL && status != PGRES_PIPELINE_ABORTED)
		request->result = result;
	else
		PQclear(result);
}

/*
 * Takes all results that are here; false if libpq has none though requests are pending.
 * Ends early if a callback closes the connection.
 */
static bool
receive(StentConn *conn)
{
	unsigned int closed = conn->closed;
	/* An end of one command, and one of the row of commands, come between results. */
	int ends = 0;

	while (conn->closed == closed && conn->first != NULL && !PQisBusy(conn->pg))
	{
		PGresult *result = PQgetResult(conn->pg);

		if (result != NULL)
		{
			ends = 0;
			take(conn, result);
		}
		else if (++ends > 3)
			return false;
		if (PQstatus(conn->pg) == CONNECTION_BAD)
			break;
	}
	return true;
}

/* Hands out the notifications that are here. */
static void
notify(StentConn *conn)
{
	unsigned int closed = conn->closed;
	PGnotify *notification;

	while (conn->closed == closed && (notification = PQnotifies(conn->pg)) != NULL)
	{
		if (conn->notify != NULL)
			conn->notify(conn, notification->relname, notification->extra, conn->notify_arg);
		PQfreemem(notification);
	}
}

/* Closes a connection that has failed, with the best reason there is. */
static StentStatus
lose(StentConn *conn, StentError *error)
{
	const PGresult *last = conn->first != NULL ? conn->first->result : NULL;
	StentError why;

	if (last != NULL && PQresultStatus(last) == PGRES_FATAL_ERROR &&
		PQresultErrorField(last, PG_DIAG_SQLSTATE) != NULL)
		error_of_result(&why, STENT_LOST, last);
	else if (conn->farewell.status != STENT_OK)
		why = conn->farewell;
	else
		error_of_connection(&why, STENT_LOST, conn->pg);
	return conn_close(conn, &why, error);
}

/* Sends and receives what can be without waiting, and calls back. */
static StentStatus
process_open(StentConn *conn, StentError *error)
{
	unsigned int closed = conn->closed;
	bool alive = !conn->broken;
	/* Of an encrypted record of 16 kB the rest may be with the library, not the socket. */
	int rounds = PQsslInUse(conn->pg) || PQgssEncInUse(conn->pg) ? 3 : 1;

	conn->wants_write = false;
	/* A socket that takes nothing any more may still have the reason to read. */
	if (alive)
		(void) PQflush(conn->pg);
	while (alive && rounds-- > 0 && conn->closed == closed)
	{
		alive = PQconsumeInput(conn->pg) == 1;
		if (!receive(conn))
			alive = false;
	}
	if (conn->closed == closed)
		notify(conn);
	if (conn->closed != closed)
		return error_set(error, STENT_NOT_OPEN, "a callback closed the connection");
	if (!alive || conn->broken || PQstatus(conn->pg) == CONNECTION_BAD)
		return lose(conn, error);
	if (PQflush(conn->pg) == 1)
		conn->wants_write = true;
	return error_none(error);
}

/* Does what can be done without waiting. */
StentStatus
stent_process(StentConn *conn, StentError *error)
{
	StentStatus status;

	if (conn->processing)
		return error_set(error, STENT_INVALID, "a callback cannot process its connection");
	conn->processing = true;
	if (conn->state == STENT_CONN_CONNECTING)
		status = connect_continue(conn, error);
	else if (conn->state == STENT_CONN_OPEN)
		status = process_open(conn, error);
	else
		status = error_set(error, STENT_NOT_OPEN, "the connection is not open");
	conn->processing = false;
	return status;
}

/* Sets who is told of notifications; NULL: nobody. */
void
stent_on_notify(StentConn *conn, StentNotify on_notify, void *arg)
{
	conn->notify = on_notify;
	conn->notify_arg = arg;
}
