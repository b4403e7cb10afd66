/*
 * steps.c
 *	  Steps of leased tasks: which there are, and suspending with new ones.
 *
 * What a step says is the server's to check; here steps are but an array.
 */
#include "await.h"
#include "error.h"

static StentStatus
begin_lease_steps(StentConn *conn, int64_t task_id, int64_t token)
{
	Params *params = query_begin(conn);

	params_int8(params, task_id);
	params_int8(params, token);
	return STENT_OK;
}

/* Asks which steps a leased task has. */
StentStatus
stent_send_lease_steps(StentConn *conn, int64_t task_id, int64_t token, StentDone done, void *arg,
					   StentError *error)
{
	StentStatus status = begin_lease_steps(conn, task_id, token);

	return status != STENT_OK ? status
							  : query_send(conn, STATEMENT_LEASE_STEPS, 0, done, arg, error);
}

/* The same, blocking; *steps is the caller's. */
StentStatus
stent_lease_steps(StentConn *conn, int64_t task_id, int64_t token, json_t **steps,
				  StentError *error)
{
	StentStatus status = begin_lease_steps(conn, task_id, token);
	Answer answer;

	*steps = NULL;
	if (status == STENT_OK)
		status = await_send(conn, STATEMENT_LEASE_STEPS, 0, &answer, error);
	if (status != STENT_OK)
		return status;
	*steps = answer.reply.json;
	answer.reply.json = NULL;
	answer_free(&answer);
	return STENT_OK;
}

static StentStatus
begin_suspend(StentConn *conn, int64_t task_id, int64_t token, json_t *steps, json_t *effects,
			  StentError *error)
{
	static const char *const keys[] = {"counters", "context", "shared", "progress"};
	Params *params = query_begin(conn);

	if (!json_is_array(steps))
		return error_set(error, STENT_INVALID, "steps must be an array");
	if (effects != NULL && !json_is_object(effects))
		return error_set(error, STENT_INVALID, "effects must be an object");
	params_int8(params, task_id);
	params_int8(params, token);
	params_json(params, steps);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
	{
		json_t *effect = json_object_get(effects, keys[i]);

		params_json(params, json_is_null(effect) ? NULL : effect);
	}
	return STENT_OK;
}

/* Adds steps to a leased task, ends its lease, and lets it wait for the last. */
StentStatus
stent_send_suspend(StentConn *conn, int64_t task_id, int64_t token, json_t *steps, json_t *effects,
				   StentDone done, void *arg, StentError *error)
{
	StentStatus status = begin_suspend(conn, task_id, token, steps, effects, error);

	return status != STENT_OK ? status : query_send(conn, STATEMENT_SUSPEND, 1, done, arg, error);
}

/* The same, blocking. */
StentStatus
stent_suspend(StentConn *conn, int64_t task_id, int64_t token, json_t *steps, json_t *effects,
			  const char **outcome, StentError *error)
{
	StentStatus status = begin_suspend(conn, task_id, token, steps, effects, error);
	Answer answer;

	if (status == STENT_OK)
		status = await_send(conn, STATEMENT_SUSPEND, 1, &answer, error);
	if (status != STENT_OK)
		return status;
	*outcome = answer.outcomes[0];
	answer_free(&answer);
	return STENT_OK;
}
