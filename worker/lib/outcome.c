/*
 * outcome.c
 *	  What becomes of tasks: waiting for them, looking at them, steering them.
 */
#include <string.h>

#include "await.h"
#include "check.h"
#include "error.h"
#include "memory.h"

/* Sends a request whose answer is JSON, and waits; *value is the caller's. */
static StentStatus
await_json(StentConn *conn, StatementId id, json_t **value, StentError *error)
{
	Answer answer;
	StentStatus status;

	*value = NULL;
	status = await_send(conn, id, 0, &answer, error);
	if (status != STENT_OK)
		return status;
	*value = answer.reply.json;
	answer.reply.json = NULL;
	answer_free(&answer);
	return STENT_OK;
}

/*
 * Begins a wait. The server looks for a client that has gone only if it is told to, and
 * would otherwise wait for nobody.
 */
static StentStatus
begin_wait(StentConn *conn, int64_t id, double seconds, StentError *error)
{
	Params *params = query_begin(conn);

	if (!conn->watched)
	{
		StentStatus status = query_send(conn, STATEMENT_WATCH, 0, NULL, NULL, error);

		if (status != STENT_OK)
			return status;
		conn->watched = true;
		params = query_begin(conn);
	}
	params_int8(params, id);
	params_seconds(params, seconds);
	return STENT_OK;
}

/* Waits for a task's result on the server; requests behind this one wait too. */
StentStatus
stent_send_wait(StentConn *conn, int64_t id, double seconds, StentDone done, void *arg,
				StentError *error)
{
	StentStatus status = begin_wait(conn, id, seconds, error);

	return status != STENT_OK ? status : query_send(conn, STATEMENT_WAIT, 0, done, arg, error);
}

/* The same, blocking. */
StentStatus
stent_wait(StentConn *conn, int64_t id, double seconds, json_t **result, StentError *error)
{
	StentStatus status = begin_wait(conn, id, seconds, error);

	*result = NULL;
	return status != STENT_OK ? status : await_json(conn, STATEMENT_WAIT, result, error);
}

/* All that is known of a task. */
StentStatus
stent_state(StentConn *conn, int64_t id, json_t **state, StentError *error)
{
	params_int8(query_begin(conn), id);
	return await_json(conn, STATEMENT_STATE, state, error);
}

/* Sends a named value to an execution; payload NULL: null. */
StentStatus
stent_signal(StentConn *conn, int64_t execution_id, const char *name, json_t *payload,
			 StentError *error)
{
	Params *params = query_begin(conn);
	StentStatus status = check_name(name, "the signal", error);
	Answer answer;

	if (status != STENT_OK)
		return status;
	params_int8(params, execution_id);
	params_text(params, name);
	params_json(params, payload);
	status = await_send(conn, STATEMENT_SIGNAL, 0, &answer, error);
	if (status == STENT_OK)
		answer_free(&answer);
	return status;
}

/* Cancels a task with all below it; *any (may be NULL): whether there was anything to. */
StentStatus
stent_cancel(StentConn *conn, int64_t id, bool *any, StentError *error)
{
	StentStatus status;
	Answer answer;

	params_int8(query_begin(conn), id);
	status = await_send(conn, STATEMENT_CANCEL, 0, &answer, error);
	if (status != STENT_OK)
		return status;
	if (any != NULL)
		*any = answer.reply.number != 0;
	answer_free(&answer);
	return STENT_OK;
}

/* Executions, the newest first. */
StentStatus
stent_list(StentConn *conn, const char *state, const char *function, const char *queue, int limit,
		   json_t **rows, StentError *error)
{
	Params *params = query_begin(conn);
	StentStatus status;
	StentError own;

	error = error ? error : &own;
	params_text(params, state);
	params_text(params, function);
	params_text(params, queue);
	if (limit > 0)
	{
		params_int4(params, limit);
		status = await_json(conn, STATEMENT_NEWEST, rows, error);
		/* a server of before 0.5 sorts them all */
		if (status == STENT_OK || strcmp(error->code, "42883") != 0)
			return status;
		params = query_begin(conn);
		params_text(params, state);
		params_text(params, function);
		params_text(params, queue);
		params_int8(params, limit);
	}
	else
		params_null(params);
	return await_json(conn, STATEMENT_LIST, rows, error);
}

/* What a task wrote, in order; attempt 0: all attempts. */
StentStatus
stent_output_of(StentConn *conn, int64_t id, int attempt, json_t **rows, StentError *error)
{
	Params *params = query_begin(conn);

	params_int8(params, id);
	if (attempt > 0)
		params_int4(params, attempt);
	else
		params_null(params);
	return await_json(conn, STATEMENT_OUTPUT_OF, rows, error);
}

/* What happened in an execution, in order. */
StentStatus
stent_progress_of(StentConn *conn, int64_t execution_id, json_t **rows, StentError *error)
{
	params_int8(query_begin(conn), execution_id);
	return await_json(conn, STATEMENT_PROGRESS_OF, rows, error);
}

/* Why a task is not running, for people; *text is the caller's. */
StentStatus
stent_why(StentConn *conn, int64_t id, char **text, StentError *error)
{
	json_t *value;
	StentStatus status;

	*text = NULL;
	params_int8(query_begin(conn), id);
	status = await_json(conn, STATEMENT_WHY, &value, error);
	if (status != STENT_OK)
		return status;
	*text = memory_string(json_is_string(value) ? json_string_value(value) : "");
	json_decref(value);
	return *text != NULL ? STENT_OK : error_no_memory(error);
}

/* An execution as a tree, a text a line. */
StentStatus
stent_explain(StentConn *conn, int64_t id, json_t **lines, StentError *error)
{
	params_int8(query_begin(conn), id);
	return await_json(conn, STATEMENT_EXPLAIN, lines, error);
}
