/*
 * inline.c
 *	  Calling a registered SQL function in the caller's transaction, without a task.
 *
 * What call() and map() do outside of a handler: the function runs at once, as the current
 * user, with the checks a dispatch makes. There is no task, so nothing is retried, limited
 * or remembered, and an error is the caller's. What runs on workers cannot be called so.
 *
 * The called function may do what makes the registry forget what it knows, such as
 * creating a function or calling stent.run(), so a handler of our own is called.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "attempt.h"
#include "dispatch.h"
#include "errors.h"
#include "inline.h"
#include "json.h"
#include "registry.h"
#include "step_calls.h"

struct InlineFunction
{
	char *name;
	Handler *handler;
};

/* The function to be called, which the current user may; it goes with the memory context. */
InlineFunction *
inline_begin(Store *store, const char *name)
{
	Function *function = function_by_name(store, name);
	InlineFunction *call = palloc_object(InlineFunction);

	if (function->handler_name == NULL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("function \"%s\" is run by workers and cannot be called outside of "
							   "a handler",
							   name),
						errhint("Dispatch it, COMMIT, then wait for it.")));
	call->name = pstrdup(name);
	call->handler =
		handler_describe(handler_oid(function_handler(function)), STENT_ERR_HANDLER_UNUSABLE);
	return call;
}

/* Call it. JSON null for void and SQL NULL, as a task's result. */
Jsonb *
inline_run(InlineFunction *function, Jsonb *args)
{
	Jsonb *result;

	check_stack_depth();
	json_check_size(args, "args");
	handler_check_args(function->handler, function->name, args);
	result = handler_call(function->handler, args);
	return result == NULL ? json_null() : result;
}

/* Call it for an item of a map. */
Jsonb *
inline_run_item(InlineFunction *function, Jsonb *item, bool star)
{
	Jsonb *result;

	check_stack_depth();
	result = handler_call_item(function->handler, function->name, item, star);
	return result == NULL ? json_null() : result;
}

/* Both, for a single call. */
Jsonb *
inline_call(Store *store, const char *function, Jsonb *args)
{
	return inline_run(inline_begin(store, function), args);
}

/* What only a task can have. What would steer one, such as its queue, means nothing here. */
static void
refuse_options_of_tasks(FunctionCallInfo fcinfo)
{
	static const struct
	{
		int arg;
		const char *name;
	} options[] = {{CALL_DELAY, "delay"},
				   {CALL_RUN_AT, "run_at"},
				   {CALL_IDEMPOTENCY_KEY, "idempotency_key"},
				   {CALL_CONCURRENCY_KEY, "concurrency_key"}};

	for (int i = 0; i < (int) lengthof(options); i++)
		if (!PG_ARGISNULL(options[i].arg))
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("%s needs a task, and a call outside of a handler makes none",
								   options[i].name),
							errhint("Leave it out, or stent.dispatch() the function, COMMIT, then "
									"wait for it.")));
}

PG_FUNCTION_INFO_V1(stent_call);
Datum
stent_call(PG_FUNCTION_ARGS)
{
	InlineFunction *function;
	Store *store;

	if (attempt_task() != NULL)
		return step_call(fcinfo);
	if (PG_ARGISNULL(CALL_FUNCTION))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("function must not be null"),
				 errhint("Give the name of a registered function; see the view stent.functions.")));
	if (PG_ARGISNULL(CALL_ARGS))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("args must not be null"),
						errhint("Leave args out, or give '{}'.")));
	refuse_options_of_tasks(fcinfo);
	store = store_open_to_read();
	function = inline_begin(store, text_to_cstring(PG_GETARG_TEXT_PP(CALL_FUNCTION)));
	store_close(store);
	PG_RETURN_JSONB_P(inline_run(function, PG_GETARG_JSONB_P(CALL_ARGS)));
}
