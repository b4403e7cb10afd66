/*
 * await.c
 *	  Blocking forms: a request, and waiting for its answer.
 *
 * Other requests of the connection go on meanwhile, and are called back.
 */
#include "await.h"

#include <string.h>

#include "error.h"

typedef struct Await
{
	bool done;
	Answer *answer;
} Await;

/* Moves the answer to the one who waits. */
static void
arrived(StentConn *conn, Answer *answer, void *arg)
{
	Await *await = arg;

	(void) conn;
	*await->answer = *answer;
	memset(answer, 0, sizeof(*answer));
	await->done = true;
}

/*
 * Sends the request begun last and waits for its answer, which is the caller's if this
 * is STENT_OK: answer_free().
 */
StentStatus
await_send(StentConn *conn, StatementId id, size_t n_items, Answer *answer, StentError *error)
{
	Await await = {false, answer};
	StentStatus status;

	if (conn->processing)
		return error_set(error, STENT_INVALID, "a callback cannot wait");
	status = query_send_inside(conn, id, n_items, arrived, &await, error);
	if (status != STENT_OK)
		return status;
	/* Whatever goes wrong ends with the connection closed, and so with a call back. */
	while (!await.done)
		if (conn_wait(conn, -1, error) != STENT_OK && !await.done)
			stent_disconnect(conn);
	if (answer->reply.status != STENT_OK)
		return error_copy(error, &answer->error);
	return error_none(error);
}
