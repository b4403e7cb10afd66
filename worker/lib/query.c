/*
 * query.c
 *	  Sending requests, without waiting for the answers.
 *
 * libpq's pipeline mode with a Sync behind every request: each is a transaction of its
 * own, and an error of one leaves the others alone.
 *
 * A statement is prepared by the first request that needs it. Those sent before that is
 * known to have worked are parsed for themselves. Prepared statements live as long as
 * the session: a pooler between has to work by session.
 */
#include "query.h"

#include <stdio.h>
#include <string.h>

#include "error.h"
#include "memory.h"
#include "request.h"

/* Begins a request; its parameters go into what is returned. */
Params *
query_begin(StentConn *conn)
{
	params_begin(&conn->params);
	return &conn->params;
}

/* The name of a prepared statement. */
static void
prepared_name(const StentConn *conn, StatementId id, char name[64])
{
	snprintf(name, 64, "stent_%s_%u", statement_of(id)->name, conn->prepared[id].generation);
}

/* Hands a request to libpq; false if it is not, or not wholly, written. */
static bool
write_request(StentConn *conn, Request *request)
{
	const Statement *statement = statement_of(request->id);
	const Params *params = &conn->params;
	Prepared *prepared = &conn->prepared[request->id];
	const char *values[PARAMS_MAX];
	char name[64] = "";

	for (int i = 0; i < params->n; i++)
		values[i] = params->length[i] < 0 ? NULL : params->data + params->start[i];
	request->parsing = prepared->state != PREPARING_DONE;
	request->names = prepared->state == PREPARING_NOT_BEGUN;
	if (prepared->state != PREPARING_SENT)
		prepared_name(conn, request->id, name);
	if (request->parsing &&
		!PQsendPrepare(conn->pg, name, statement->sql, statement->n_params, statement->types))
		return false;
	if (!PQsendQueryPrepared(conn->pg, name, params->n, values, params->length, params->format, 1))
		return false;
	if (request->names)
		prepared->state = PREPARING_SENT;
	return true;
}

/* Puts a request behind the others. */
static void
append(StentConn *conn, Request *request)
{
	if (conn->last != NULL)
		conn->last->next = request;
	else
		conn->first = request;
	conn->last = request;
	conn->pending++;
}

/* Sends the request begun last; if it fails nothing was done, and nobody is called back. */
static StentStatus
submit(StentConn *conn, StatementId id, size_t n_items, StentDone done, QueryDone done_inside,
	   void *arg, StentError *error)
{
	Request *request;
	bool written;

	if (conn->state != STENT_CONN_OPEN || conn->broken)
		return error_set(error, STENT_NOT_OPEN, "the connection is not open");
	if (conn->params.status == STENT_INVALID)
		return error_set(error, STENT_INVALID,
						 "the request is larger than 1 GB, or a value is nested too deep");
	request = conn->params.status == STENT_OK ? memory_new(sizeof(Request)) : NULL;
	if (request == NULL)
		return error_no_memory(error);
	request->id = id;
	request->n_items = n_items;
	request->done = done;
	request->done_inside = done_inside;
	request->arg = arg;
	written = write_request(conn, request);
	params_end(&conn->params);
	if (!written)
	{
		/* Half of it may be on its way; without a Sync the server never commits that. */
		StentStatus status = PQstatus(conn->pg) == CONNECTION_OK ? STENT_NO_MEMORY : STENT_NOT_OPEN;

		conn->broken = true;
		memory_free(request);
		return error_of_connection(error, status, conn->pg);
	}
	append(conn, request);
	/* If that fails it may still be sent: the request is lost, as all on this connection. */
	if (!PQpipelineSync(conn->pg))
		conn->broken = true;
	/* Never reset here: libpq may have read what only stent_process() will look at. */
	if (PQflush(conn->pg) == 1)
		conn->wants_write = true;
	return error_none(error);
}

/* Sends the request begun last for the program. */
StentStatus
query_send(StentConn *conn, StatementId id, size_t n_items, StentDone done, void *arg,
		   StentError *error)
{
	return submit(conn, id, n_items, done, NULL, arg, error);
}

/* Sends the request begun last for a function of this library. */
StentStatus
query_send_inside(StentConn *conn, StatementId id, size_t n_items, QueryDone done, void *arg,
				  StentError *error)
{
	return submit(conn, id, n_items, NULL, done, arg, error);
}

/* Calls a request back, and forgets it with the answer. */
void
request_finish(StentConn *conn, Request *request, Answer *answer)
{
	if (request->done_inside != NULL)
		request->done_inside(conn, answer, request->arg);
	else if (request->done != NULL)
		request->done(conn, &answer->reply, request->arg);
	answer_free(answer);
	PQclear(request->result);
	memory_free(request);
}

/* Calls all that is pending back with STENT_LOST; they may send again elsewhere. */
void
query_lost(StentConn *conn, const StentError *why)
{
	Request *request = conn->first;
	StentError lost = *why;

	lost.status = STENT_LOST;
	conn->first = conn->last = NULL;
	conn->pending = 0;
	while (request != NULL)
	{
		Request *next = request->next;
		Answer answer;

		answer_fail(&answer, &lost);
		request_finish(conn, request, &answer);
		request = next;
	}
}
