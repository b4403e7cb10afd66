/*
 * dispatch.c
 *	  Starting tasks.
 */
#include "await.h"
#include "check.h"
#include "error.h"
#include "types.h"

static void
put_priority(Params *params, const int *priority)
{
	if (priority != NULL)
		params_int4(params, *priority);
	else
		params_null(params);
}

static StentStatus
check(const StentDispatch *dispatch, StentError *error)
{
	StentStatus status = check_name(dispatch->function, "the function", error);

	if (status == STENT_OK)
		status = check_names(dispatch->tags, "tags", error);
	return status;
}

/* The options between args and headers that both statements have. */
static void
put_options(Params *params, const StentDispatch *dispatch)
{
	params_text(params, dispatch->queue);
	put_priority(params, dispatch->priority);
	params_names(params, dispatch->tags);
	params_text(params, dispatch->delay);
	params_timestamp(params, dispatch->run_at);
	params_text(params, dispatch->max_duration);
	params_text(params, dispatch->timeout);
	params_json(params, dispatch->retry);
}

static StentStatus
begin_dispatch(StentConn *conn, const StentDispatch *dispatch, StentError *error)
{
	Params *params = query_begin(conn);
	StentStatus status = check(dispatch, error);

	if (status != STENT_OK)
		return status;
	params_text(params, dispatch->function);
	params_json(params, dispatch->args);
	put_options(params, dispatch);
	params_text(params, dispatch->dedup_key);
	params_text(params, dispatch->on_duplicate);
	params_text(params, dispatch->idempotency_key);
	params_text(params, dispatch->concurrency_key);
	params_json(params, dispatch->headers);
	return STENT_OK;
}

/* Starts a task. */
StentStatus
stent_send_dispatch(StentConn *conn, const StentDispatch *dispatch, StentDone done, void *arg,
					StentError *error)
{
	StentStatus status = begin_dispatch(conn, dispatch, error);

	return status != STENT_OK ? status : query_send(conn, STATEMENT_DISPATCH, 0, done, arg, error);
}

/* The same, blocking. */
StentStatus
stent_dispatch(StentConn *conn, const StentDispatch *dispatch, int64_t *id, StentError *error)
{
	StentStatus status = begin_dispatch(conn, dispatch, error);
	Answer answer;

	if (status == STENT_OK)
		status = await_send(conn, STATEMENT_DISPATCH, 0, &answer, error);
	if (status != STENT_OK)
		return status;
	*id = answer.reply.number;
	answer_free(&answer);
	return STENT_OK;
}

/* Starts a task for each element of an array, all or none. */
StentStatus
stent_send_dispatch_many(StentConn *conn, const StentDispatch *dispatch, json_t *args,
						 StentDone done, void *arg, StentError *error)
{
	Params *params = query_begin(conn);
	StentStatus status = check(dispatch, error);

	if (status != STENT_OK)
		return status;
	if (!json_is_array(args))
		return error_set(error, STENT_INVALID, "args is not an array");
	if (dispatch->args != NULL || dispatch->dedup_key != NULL || dispatch->on_duplicate != NULL ||
		dispatch->idempotency_key != NULL || dispatch->concurrency_key != NULL)
		return error_set(error, STENT_INVALID, "many tasks share neither args nor keys");
	params_text(params, dispatch->function);
	params_array(params, TYPE_JSONB, json_array_size(args));
	for (size_t i = 0; i < json_array_size(args); i++)
		params_element_json(params, json_array_get(args, i));
	params_array_end(params);
	put_options(params, dispatch);
	params_json(params, dispatch->headers);
	return query_send(conn, STATEMENT_DISPATCH_MANY, json_array_size(args), done, arg, error);
}
