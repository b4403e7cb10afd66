/*
 * step_error.c
 *	  Errors of steps: those that are raised in a handler for others, and what comes out.
 *
 * The error of a child, or of a wait that ran out, is raised in the handler as if it were
 * its own, so that it can be caught by its SQLSTATE. A suspension is recognized by its text,
 * for languages other than PL/pgSQL raise it again as something else.
 */
#include "postgres.h"

#include "await_all.h"
#include "errors.h"
#include "json.h"
#include "step.h"

/* Whether an error is that one, also where a language has made it its own. */
bool
step_is_suspension(const ErrorData *error, const Task *task)
{
	return error->message != NULL &&
		   strstr(error->message, psprintf("stent suspends task " INT64_FORMAT, task->id)) != NULL;
}

/* The handler of a suspended task returned, or raised something else. */
ErrorData *
step_swallowed(const Task *task, const ErrorData *error)
{
	ErrorData *swallowed = palloc0_object(ErrorData);

	swallowed->elevel = ERROR;
	swallowed->sqlerrcode = STENT_ERR_SUSPENSION_SWALLOWED;
	swallowed->message = psprintf(
		"task " INT64_FORMAT " was suspended, and its handler did not let that pass", task->id);
	if (error != NULL)
		swallowed->detail = psprintf("It raised \"%s\" (%s) instead.", error->message,
									 unpack_sql_state(error->sqlerrcode));
	swallowed->hint = "Do not catch query_canceled, and raise again what PL/Python, PL/Perl or "
					  "PL/Tcl catch.";
	return swallowed;
}

/* What a child's SQLSTATE is raised as. A parent that catches all catches it. */
static int
code_of(const char *code)
{
	int state;

	if (code == NULL || strlen(code) != 5 ||
		strspn(code, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") != 5)
		return ERRCODE_RAISE_EXCEPTION;
	state = MAKE_SQLSTATE(code[0], code[1], code[2], code[3], code[4]);
	if (state == ERRCODE_QUERY_CANCELED || state == ERRCODE_ASSERT_FAILURE)
		return STENT_ERR_CHILD_INTERRUPTED;
	return state;
}

/* Whether an error of a task is what an error of its child is raised as in it. */
bool
step_is_raised_as(Jsonb *child_error, Jsonb *error)
{
	char *child_code = json_string_field(child_error, "code");
	char *child_message = json_string_field(child_error, "message");
	char *code = json_string_field(error, "code");
	char *message = json_string_field(error, "message");

	/* a worker may pass on what is no SQLSTATE */
	return code != NULL && message != NULL && child_message != NULL &&
		   strcmp(message, child_message) == 0 &&
		   (strcmp(code, unpack_sql_state(code_of(child_code))) == 0 ||
			(child_code != NULL && strcmp(code, child_code) == 0));
}

/* Raise an error that is remembered as that of a child, which has had its retries. */
pg_noreturn static void
raise_child_error(Jsonb *error)
{
	char *code = json_string_field(error, "code");
	char *message = json_string_field(error, "message");
	char *detail = json_string_field(error, "detail");
	char *hint = json_string_field(error, "hint");

	if (code_of(code) == STENT_ERR_CHILD_INTERRUPTED && detail == NULL)
		detail = psprintf("Its SQLSTATE was %s, which no exception block catches.", code);
	ereport(ERROR,
			(errcode(code_of(code)), errmsg("%s", message != NULL ? message : ""),
			 detail != NULL ? errdetail("%s", detail) : 0, hint != NULL ? errhint("%s", hint) : 0));
}

/* The same of one of the handler's own. */
pg_noreturn static void
raise_own_error(Jsonb *error)
{
	char *code = json_string_field(error, "code");
	char *message = json_string_field(error, "message");
	char *detail = json_string_field(error, "detail");
	char *hint = json_string_field(error, "hint");

	ereport(ERROR,
			(errcode(code_of(code)), errmsg("%s", message != NULL ? message : ""),
			 detail != NULL ? errdetail("%s", detail) : 0, hint != NULL ? errhint("%s", hint) : 0));
}

/* Whether an error that no block of the handler has caught is a child's. */
bool
step_is_child_error(const ErrorData *error)
{
	return error->funcname != NULL && strcmp(error->funcname, "raise_child_error") == 0;
}

/* Whether the wait of a failed step has run out; a wait of the child may have as well. */
static bool
has_run_out(const Step *step)
{
	char *code = json_string_field(step->error, "code");

	return step->wake_at != NO_TIME && step->finished_at >= step->wake_at && code != NULL &&
		   strcmp(code, unpack_sql_state(STENT_ERR_WAIT_RAN_OUT)) == 0 &&
		   step_is_raised_as(step->error, step_error_ran_out(step));
}

/* Raise the error of a failed step. */
void
step_raise_again(Step *step)
{
	if (step->kind == STEP_LOCAL || step->kind == STEP_SIGNAL || step->kind == STEP_MAP_QUERY ||
		has_run_out(step))
		raise_own_error(step->error);
	raise_child_error(step->error);
}

/* The same, and that is raised. */
void
step_fail(Step *step, Jsonb *error)
{
	step_failed(step, error);
	step_raise_again(step);
}

/* The error of a step whose wait has run out. */
Jsonb *
step_error_ran_out(const Step *step)
{
	return json_error_parts(
		unpack_sql_state(STENT_ERR_WAIT_RAN_OUT),
		psprintf("%s ran out of time", step_kind_name(step->kind)), NULL,
		"Only the wait is over: what it was for may happen yet, and be waited for again.", NULL,
		false);
}

/* The wait of a step has run out. */
void
step_ran_out(Step *step)
{
	step_fail(step, step_error_ran_out(step));
}

/* The error of one of many tasks: which one is told in the detail. */
static Jsonb *
with_origin(Jsonb *error, int64 child_id, int index)
{
	if (index < 0)
		return error;
	return json_error_parts(json_string_field(error, "code"), json_string_field(error, "message"),
							await_all_detail(index, child_id, error),
							json_string_field(error, "hint"), NULL, false);
}

/*
 * The error of a step if what it waits for has ended, but not well; index: which of those it
 * waits for, or -1.
 */
Jsonb *
step_error_child(int64 child_id, const Ending *ending, int index)
{
	Jsonb *error = ending->error;

	if (ending->state == TASK_TIMED_OUT || ending->state == TASK_CANCELLED || error == NULL)
		error = json_error_parts(
			unpack_sql_state(ending->state == TASK_TIMED_OUT ? STENT_ERR_TIMED_OUT
															 : STENT_ERR_CANCELLED),
			error == NULL ? task_state_name(ending->state) : json_string_field(error, "message"),
			psprintf("Task " INT64_FORMAT " will not run any more.", child_id), NULL, NULL, false);
	return with_origin(error, child_id, index);
}

/* The step has failed with that. */
void
step_fail_child(Step *step, int64 child_id, const Ending *ending, int index)
{
	step_fail(step, step_error_child(child_id, ending, index));
}
