/*
 * presence.c
 *	  A worker's own life: start, signs of life, stop, and waiting for work.
 */
#include "await.h"
#include "check.h"
#include "error.h"

static StentStatus
begin_start(StentConn *conn, const StentWorker *worker, StentError *error)
{
	Params *params = query_begin(conn);
	StentStatus status = check_name(worker->name, "the worker", error);

	if (status == STENT_OK)
		status = check_filters(worker->functions, worker->queues, worker->tags, error);
	if (status != STENT_OK)
		return status;
	params_text(params, worker->name);
	params_int4(params, STENT_PROTOCOL);
	params_names(params, worker->functions);
	params_names(params, worker->queues);
	params_names(params, worker->tags);
	if (worker->slots > 0)
		params_int4(params, worker->slots);
	else
		params_null(params);
	params_json(params, worker->info);
	params_seconds(params, worker->alive_for);
	return STENT_OK;
}

/* Says that a worker is there, and that both sides speak the same protocol. */
StentStatus
stent_send_worker_start(StentConn *conn, const StentWorker *worker, StentDone done, void *arg,
						StentError *error)
{
	StentStatus status = begin_start(conn, worker, error);

	return status != STENT_OK ? status
							  : query_send(conn, STATEMENT_WORKER_START, 0, done, arg, error);
}

/* The same, blocking; *answer is the caller's, who may not want it (NULL). */
StentStatus
stent_worker_start(StentConn *conn, const StentWorker *worker, json_t **answer, StentError *error)
{
	StentStatus status = begin_start(conn, worker, error);
	Answer got;

	if (answer != NULL)
		*answer = NULL;
	if (status == STENT_OK)
		status = await_send(conn, STATEMENT_WORKER_START, 0, &got, error);
	if (status != STENT_OK)
		return status;
	if (answer != NULL)
	{
		*answer = got.reply.json;
		got.reply.json = NULL;
	}
	answer_free(&got);
	return STENT_OK;
}

/* A sign of life. */
StentStatus
stent_send_worker_heartbeat(StentConn *conn, const char *worker, const char *state, int busy,
							StentDone done, void *arg, StentError *error)
{
	Params *params = query_begin(conn);
	StentStatus status = check_name(worker, "the worker", error);

	if (status == STENT_OK)
		status = check_name(state, "the worker's state", error);
	if (status != STENT_OK)
		return status;
	params_text(params, worker);
	params_text(params, state);
	params_int4(params, busy);
	return query_send(conn, STATEMENT_WORKER_HEARTBEAT, 0, done, arg, error);
}

static StentStatus
begin_stop(StentConn *conn, const char *worker, StentError *error)
{
	Params *params = query_begin(conn);
	StentStatus status = check_name(worker, "the worker", error);

	if (status == STENT_OK)
		params_text(params, worker);
	return status;
}

/* Says that a worker leaves. */
StentStatus
stent_send_worker_stop(StentConn *conn, const char *worker, StentDone done, void *arg,
					   StentError *error)
{
	StentStatus status = begin_stop(conn, worker, error);

	return status != STENT_OK ? status
							  : query_send(conn, STATEMENT_WORKER_STOP, 0, done, arg, error);
}

/* The same, blocking. */
StentStatus
stent_worker_stop(StentConn *conn, const char *worker, StentError *error)
{
	StentStatus status = begin_stop(conn, worker, error);
	Answer answer;

	if (status == STENT_OK)
		status = await_send(conn, STATEMENT_WORKER_STOP, 0, &answer, error);
	if (status == STENT_OK)
		answer_free(&answer);
	return status;
}

/* Listens for news of work on this connection, until it closes. */
StentStatus
stent_send_listen(StentConn *conn, StentDone done, void *arg, StentError *error)
{
	(void) query_begin(conn);
	return query_send(conn, STATEMENT_LISTEN, 0, done, arg, error);
}

/* Asks for one notification, of the next thing to claim. */
StentStatus
stent_send_worker_wait(StentConn *conn, StentNames queues, StentDone done, void *arg,
					   StentError *error)
{
	Params *params = query_begin(conn);
	StentStatus status = check_names(queues, "queues", error);

	if (status != STENT_OK)
		return status;
	params_names(params, queues);
	return query_send(conn, STATEMENT_WORKER_WAIT, 0, done, arg, error);
}
