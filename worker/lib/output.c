/*
 * output.c
 *	  Storing what a task writes to stdout, stderr and other streams.
 */
#include <string.h>

#include "await.h"
#include "check.h"
#include "error.h"
#include "types.h"

static StentStatus
begin_output(StentConn *conn, int64_t task_id, int64_t token, int64_t first_number,
			 const StentChunk *chunks, size_t n, StentError *error)
{
	Params *params = query_begin(conn);

	if (n < 1 || n > INT32_MAX)
		return error_set(error, STENT_INVALID, "there is no output to store");
	if (first_number < 0)
		return error_set(error, STENT_INVALID, "output is numbered from 1");
	for (size_t i = 0; i < n; i++)
		if (check_name(chunks[i].stream, "a stream", error) != STENT_OK)
			return STENT_INVALID;
	params_int8(params, task_id);
	params_int8(params, token);
	params_array(params, TYPE_TEXT, n);
	for (size_t i = 0; i < n; i++)
		params_element_bytes(params, chunks[i].stream, strlen(chunks[i].stream));
	params_array_end(params);
	params_array(params, TYPE_BYTEA, n);
	for (size_t i = 0; i < n; i++)
		params_element_bytes(params, chunks[i].data, chunks[i].size);
	params_array_end(params);
	if (first_number > 0)
		params_int8(params, first_number);
	else
		params_null(params);
	return STENT_OK;
}

/* Stores output of an attempt. */
StentStatus
stent_send_output(StentConn *conn, int64_t task_id, int64_t token, int64_t first_number,
				  const StentChunk *chunks, size_t n, StentDone done, void *arg, StentError *error)
{
	StentStatus status = begin_output(conn, task_id, token, first_number, chunks, n, error);

	return status != STENT_OK ? status : query_send(conn, STATEMENT_OUTPUT, 0, done, arg, error);
}

/* The same, blocking. */
StentStatus
stent_output(StentConn *conn, int64_t task_id, int64_t token, int64_t first_number,
			 const StentChunk *chunks, size_t n, StentError *error)
{
	StentStatus status = begin_output(conn, task_id, token, first_number, chunks, n, error);
	Answer answer;

	if (status == STENT_OK)
		status = await_send(conn, STATEMENT_OUTPUT, 0, &answer, error);
	if (status == STENT_OK)
		answer_free(&answer);
	return status;
}
