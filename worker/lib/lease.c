/*
 * lease.c
 *	  Requests about leased tasks: claim, complete, fail, release, heartbeat.
 */
#include <string.h>

#include "await.h"
#include "check.h"
#include "error.h"
#include "types.h"

/* ------------------------------------------------------------------ claim */

static StentStatus
begin_claim(StentConn *conn, const StentClaim *claim, StentError *error)
{
	Params *params = query_begin(conn);
	StentStatus status = check_name(claim->worker, "the worker", error);

	if (status == STENT_OK)
		status = check_filters(claim->functions, claim->queues, claim->tags, error);
	if (status == STENT_OK && (claim->max < 1 || claim->max > STENT_MAX_BATCH))
		status = error_set(error, STENT_INVALID, "a claim takes 1 to %d tasks, not %d",
						   STENT_MAX_BATCH, claim->max);
	if (status != STENT_OK)
		return status;
	params_text(params, claim->worker);
	params_int4(params, claim->max);
	params_names(params, claim->functions);
	params_names(params, claim->queues);
	params_names(params, claim->tags);
	params_seconds(params, claim->lease);
	return STENT_OK;
}

static StatementId
claim_statement(const StentClaim *claim)
{
	return claim->chunks ? STATEMENT_CLAIM_CHUNKS : STATEMENT_CLAIM;
}

/* Asks for tasks to run. */
StentStatus
stent_send_claim(StentConn *conn, const StentClaim *claim, StentDone done, void *arg,
				 StentError *error)
{
	StentStatus status = begin_claim(conn, claim, error);

	return status != STENT_OK ? status
							  : query_send(conn, claim_statement(claim), 0, done, arg, error);
}

/* Takes tasks to run; *tasks is the caller's, and NULL if there are none. */
StentStatus
stent_claim(StentConn *conn, const StentClaim *claim, StentTask **tasks, size_t *n,
			StentError *error)
{
	StentStatus status = begin_claim(conn, claim, error);
	Answer answer;

	*tasks = NULL;
	*n = 0;
	if (status == STENT_OK)
		status = await_send(conn, claim_statement(claim), 0, &answer, error);
	if (status != STENT_OK)
		return status;
	*tasks = answer.reply.tasks;
	*n = answer.reply.n_tasks;
	answer.reply.tasks = NULL;
	answer.reply.n_tasks = 0;
	answer_free(&answer);
	return STENT_OK;
}

/* ------------------------------------------------------------------ batches */

/* Begins a request about items: their ids and tokens, and values and effects as asked for. */
static StentStatus
begin_items(StentConn *conn, const StentItem *items, size_t n, bool values, bool effects,
			StentError *error)
{
	Params *params = query_begin(conn);
	bool any = false;

	if (n < 1 || n > STENT_MAX_BATCH)
		return error_set(error, STENT_INVALID, "a batch has 1 to %d items, not %zu",
						 STENT_MAX_BATCH, n);
	params_array(params, TYPE_INT8, n);
	for (size_t i = 0; i < n; i++)
		params_element_int8(params, items[i].task_id);
	params_array_end(params);
	params_array(params, TYPE_INT8, n);
	for (size_t i = 0; i < n; i++)
		params_element_int8(params, items[i].token);
	params_array_end(params);
	if (values)
	{
		params_array(params, TYPE_JSONB, n);
		for (size_t i = 0; i < n; i++)
			params_element_json(params, items[i].value);
		params_array_end(params);
	}
	if (!effects)
		return STENT_OK;
	for (size_t i = 0; i < n; i++)
		any = any || items[i].effects != NULL;
	if (any)
	{
		params_array(params, TYPE_JSONB, n);
		for (size_t i = 0; i < n; i++)
			params_element_json(params, items[i].effects);
		params_array_end(params);
	}
	else
		params_null(params);
	return STENT_OK;
}

/* A failure has an error object. */
static StentStatus
check_errors(const StentItem *items, size_t n, StentError *error)
{
	for (size_t i = 0; i < n; i++)
		if (!json_is_object(items[i].value))
			return error_set(error, STENT_INVALID, "item %zu has no error object", i);
	return STENT_OK;
}

static StentStatus
begin_complete(StentConn *conn, const StentItem *items, size_t n, StentError *error)
{
	return begin_items(conn, items, n, true, true, error);
}

static StentStatus
begin_fail(StentConn *conn, const StentItem *items, size_t n, StentError *error)
{
	StentStatus status = check_errors(items, n, error);

	return status != STENT_OK ? status : begin_items(conn, items, n, true, false, error);
}

static StentStatus
begin_release(StentConn *conn, const StentItem *items, size_t n, StentError *error)
{
	return begin_items(conn, items, n, false, false, error);
}

static StentStatus
begin_heartbeat(StentConn *conn, const StentItem *items, size_t n, double lease, StentError *error)
{
	StentStatus status = begin_items(conn, items, n, false, false, error);

	if (status == STENT_OK)
		params_seconds(&conn->params, lease);
	return status;
}

/* Sends what was begun, if that went well. */
static StentStatus
send_items(StentConn *conn, StentStatus begun, StatementId id, size_t n, StentDone done, void *arg,
		   StentError *error)
{
	return begun != STENT_OK ? begun : query_send(conn, id, n, done, arg, error);
}

/* The same, and waits for the outcomes. */
static StentStatus
await_items(StentConn *conn, StentStatus begun, StatementId id, size_t n, const char **outcomes,
			StentError *error)
{
	Answer answer;
	StentStatus status = begun != STENT_OK ? begun : await_send(conn, id, n, &answer, error);

	if (status != STENT_OK)
		return status;
	memcpy(outcomes, answer.outcomes, n * sizeof(*outcomes));
	answer_free(&answer);
	return STENT_OK;
}

/* Ends tasks with their results. */
StentStatus
stent_send_complete(StentConn *conn, const StentItem *items, size_t n, StentDone done, void *arg,
					StentError *error)
{
	return send_items(conn, begin_complete(conn, items, n, error), STATEMENT_COMPLETE, n, done, arg,
					  error);
}

/* The same, blocking. */
StentStatus
stent_complete(StentConn *conn, const StentItem *items, size_t n, const char **outcomes,
			   StentError *error)
{
	return await_items(conn, begin_complete(conn, items, n, error), STATEMENT_COMPLETE, n, outcomes,
					   error);
}

/* Ends attempts with their errors; the server decides whether others follow. */
StentStatus
stent_send_fail(StentConn *conn, const StentItem *items, size_t n, StentDone done, void *arg,
				StentError *error)
{
	return send_items(conn, begin_fail(conn, items, n, error), STATEMENT_FAIL, n, done, arg, error);
}

/* The same, blocking. */
StentStatus
stent_fail(StentConn *conn, const StentItem *items, size_t n, const char **outcomes,
		   StentError *error)
{
	return await_items(conn, begin_fail(conn, items, n, error), STATEMENT_FAIL, n, outcomes, error);
}

/* Gives tasks back as if they had not been claimed. */
StentStatus
stent_send_release(StentConn *conn, const StentItem *items, size_t n, StentDone done, void *arg,
				   StentError *error)
{
	return send_items(conn, begin_release(conn, items, n, error), STATEMENT_RELEASE, n, done, arg,
					  error);
}

/* The same, blocking. */
StentStatus
stent_release(StentConn *conn, const StentItem *items, size_t n, const char **outcomes,
			  StentError *error)
{
	return await_items(conn, begin_release(conn, items, n, error), STATEMENT_RELEASE, n, outcomes,
					   error);
}

/* Renews the leases of exactly these tasks. */
StentStatus
stent_send_heartbeat(StentConn *conn, const StentItem *items, size_t n, double lease,
					 StentDone done, void *arg, StentError *error)
{
	return send_items(conn, begin_heartbeat(conn, items, n, lease, error), STATEMENT_HEARTBEAT, n,
					  done, arg, error);
}

/* The same, blocking. */
StentStatus
stent_heartbeat(StentConn *conn, const StentItem *items, size_t n, double lease,
				const char **outcomes, StentError *error)
{
	return await_items(conn, begin_heartbeat(conn, items, n, lease, error), STATEMENT_HEARTBEAT, n,
					   outcomes, error);
}
