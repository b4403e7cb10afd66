/*
 * step_local.c
 *	  Steps that are about no other task: step, sleep, await_signal, record, and
 *	  continue_as_new.
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "attempt.h"
#include "clock.h"
#include "dispatch.h"
#include "errors.h"
#include "fault.h"
#include "json.h"
#include "registry.h"
#include "signals.h"
#include "step.h"
#include "step_local.h"

static const char *const belongs =
	"It is a step of the task that stent runs in this session; it has no meaning elsewhere.";

/* Read an interval that must not be negative; 0 where it is NULL. */
static Interval *
interval_argument(FunctionCallInfo fcinfo, int arg, const char *what)
{
	if (PG_ARGISNULL(arg))
		return NULL;
	interval_check(PG_GETARG_INTERVAL_P(arg), what);
	return PG_GETARG_INTERVAL_P(arg);
}

/* The moment so long after now. */
Timestamp
step_moment_after(const Interval *interval, const char *what)
{
	Timestamp moment =
		DatumGetTimestamp(DirectFunctionCall2(timestamp_pl_interval, TimestampGetDatum(clock_now()),
											  IntervalPGetDatum(unconstify(Interval *, interval))));

	if (TIMESTAMP_NOT_FINITE(moment))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s must be finite", what),
						errhint("Give an interval such as '1 month'.")));
	return moment;
}

typedef struct LocalCall
{
	int32 function_id;
	Jsonb *args;
} LocalCall;

/* Call the function of a local step, in a subtransaction of its own. */
static Jsonb *
call_function(const Task *task, void *arg)
{
	LocalCall *call = arg;
	Store *store = store_open_to_read();
	Function *function = function_by_id(store, call->function_id);
	Handler *handler = function_handler(function);
	char *name = pstrdup(function->name);
	Jsonb *result;

	store_close(store);
	if (handler == NULL)
		ereport(ERROR, (errcode(STENT_ERR_HANDLER_UNUSABLE),
						errmsg("function \"%s\" has no handler", name),
						errhint("Only SQL functions can be local steps: call it instead.")));
	handler_check_args(handler, name, call->args);
	result = handler_call(handler, call->args);
	return result;
}

PG_FUNCTION_INFO_V1(stent_step);
Datum
stent_step(PG_FUNCTION_ARGS)
{
	int32 function_id;
	Jsonb *args;
	char *name;
	char *what;
	Step *step;

	(void) steps_require("stent.step()", belongs);
	name = step_name_argument(fcinfo, 0, "name");
	if (name == NULL || PG_ARGISNULL(1) || PG_ARGISNULL(2))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("%s must not be null", name == NULL      ? "name"
													  : PG_ARGISNULL(1) ? "function"
																		: "args"),
						errhint("Give a name, a registered SQL function and its arguments.")));
	args = PG_GETARG_JSONB_P(2);
	what = text_to_cstring(PG_GETARG_TEXT_PP(1));
	function_id = step_function(what);
	step = step_next(STEP_LOCAL, name, function_id, step_digest_json(args), what);
	if (step->fresh)
	{
		Store *store = store_open_to_read();
		Function *function = function_by_name(store, what);
		MemoryContext old;
		LocalCall *call;

		if (function->handler_name == NULL)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("function \"%s\" cannot be a local step: workers run it",
								   function->name),
							errhint("Use stent.call().")));
		dispatch_check_args(function, function_handler(function), args);
		old = MemoryContextSwitchTo(step_context());
		call = palloc_object(LocalCall);
		call->function_id = function_id;
		call->args =
			(Jsonb *) DatumGetPointer(PointerGetDatum(PG_DETOAST_DATUM_COPY(JsonbPGetDatum(args))));
		step->arg = call;
		step->act = call_function;
		MemoryContextSwitchTo(old);
		store_close(store);
	}
	if (step->state == STEP_FAILED)
		step_raise_again(step);
	if (step->state == STEP_WAITING)
		step_wait(step);
	PG_RETURN_JSONB_P(step_result(step));
}

PG_FUNCTION_INFO_V1(stent_sleep);
Datum
stent_sleep(PG_FUNCTION_ARGS)
{
	Interval *duration;
	Step *step;

	(void) steps_require("stent.sleep()", belongs);
	duration = interval_argument(fcinfo, 0, "duration");
	if (duration == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("duration must not be null"),
				 errhint("Give an interval such as '1 month'.")));
	step = step_next(STEP_SLEEP, step_name_argument(fcinfo, 1, "step_name"), 0,
					 step_digest(duration, sizeof(*duration)), NULL);
	if (step->fresh)
		step->wake_at = step_moment_after(duration, "duration");
	if (step->state == STEP_WAITING && clock_now() < step->wake_at)
		step_wait(step);
	if (step->state == STEP_WAITING)
		step_done(step, NULL);
	PG_RETURN_VOID();
}

/* The number of the signal that a step has taken; 0: none. */
int64
step_signal_number(const Step *step)
{
	JsonbValue buf;
	JsonbValue *number;

	if (step->kind != STEP_SIGNAL || step->state != STEP_COMPLETED || step->detail == NULL)
		return 0;
	number = getKeyJsonValueFromContainer(&step->detail->root, "number", strlen("number"), &buf);
	return number == NULL || number->type != jbvNumeric
			   ? 0
			   : DatumGetInt64(
					 DirectFunctionCall1(numeric_int8, NumericGetDatum(number->val.numeric)));
}

/* The number of the signal of this name that the task has had last; 0: none. */
int64
step_last_signal(const Steps *steps, const char *name)
{
	int64 last = 0;

	for (int i = 0; i < steps->n; i++)
	{
		int64 number = step_signal_number(steps->steps[i]);
		char *its_name = number == 0 ? NULL : json_string_field(steps->steps[i]->detail, "name");

		if (its_name != NULL && strcmp(its_name, name) == 0)
			last = Max(last, number);
	}
	return last;
}

/* {"name": name, what: number}, and whom to tell. */
Jsonb *
step_signal_detail(const char *name, const char *what, int64 number, int64 stranger)
{
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfoString(&text, "{\"name\": ");
	escape_json(&text, name);
	appendStringInfo(&text, ", \"%s\": " INT64_FORMAT, what, number);
	if (stranger != NO_ID)
		appendStringInfo(&text, ", \"strangers\": [" INT64_FORMAT "]", stranger);
	appendStringInfoChar(&text, '}');
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text.data)));
}

/* Refuse to take what the handler itself has sent: leaving it undoes that. */
static void
require_sent(const char *name, const Signal *signal)
{
	if (!step_would_undo(signal->changed_at))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("signal \"%s\" was sent by the handler that waits for it", name),
			 errdetail("It is sent when the handler has ended, and again in each run until then."),
			 errhint("Send it in a stent.step().")));
}

/* Take the signal if there is a newer one than the task had. */
bool
step_take_signal(Step *step, const Task *task, const char *name, int64 after_number)
{
	ResourceOwner owner;
	Store *store = step_look(&owner);
	Signal signal;
	bool found = signal_read(store, task->execution_id, name, after_number, &signal);

	step_look_over(owner);
	if (found)
	{
		MemoryContext old;

		require_sent(name, &signal);
		old = MemoryContextSwitchTo(step_context());
		step->detail = step_signal_detail(name, "number", signal.number, NO_ID);
		MemoryContextSwitchTo(old);
		step_done(step, signal.payload);
	}
	return found;
}

PG_FUNCTION_INFO_V1(stent_await_signal);
Datum
stent_await_signal(PG_FUNCTION_ARGS)
{
	const Steps *steps = steps_require("stent.await_signal()", belongs);
	char *name = step_name_argument(fcinfo, 0, "name");
	Interval *timeout = interval_argument(fcinfo, 1, "timeout");
	Timestamp wake_at = NO_TIME;
	Step *step;
	int64 number;

	if (name == NULL)
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("name must not be null"),
						errhint("Give the name that stent.signal() sends.")));
	step = step_next(STEP_SIGNAL, step_name_argument(fcinfo, 2, "step_name"), 0,
					 step_digest(name, strlen(name)), name);
	if (step->state == STEP_FAILED)
		step_raise_again(step);
	if (step->state == STEP_COMPLETED)
		PG_RETURN_JSONB_P(step_result(step));
	number = step_last_signal(steps, name);
	if (step->fresh && timeout != NULL && interval_us(timeout) > 0)
		wake_at = step_moment_after(timeout, "timeout");
	if (!step_take_signal(step, steps->task, name, number))
	{
		if (step->fresh)
		{
			MemoryContext old = MemoryContextSwitchTo(step_context());

			step->wake_at = wake_at;
			step->detail = step_signal_detail(name, "after", number, steps->task->execution_id);
			MemoryContextSwitchTo(old);
		}
		if (step->wake_at != NO_TIME && clock_now() >= step->wake_at)
			step_ran_out(step);
		step_wait(step);
	}
	PG_RETURN_JSONB_P(step_result(step));
}

PG_FUNCTION_INFO_V1(stent_record);
Datum
stent_record(PG_FUNCTION_ARGS)
{
	char *name;
	Step *step;

	(void) steps_require("stent.record()", belongs);
	name = step_name_argument(fcinfo, 0, "name");
	if (name == NULL)
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("name must not be null"),
						errhint("Give the value a name.")));
	step = step_next(STEP_RECORD, name, 0, 0, NULL);
	if (step->state == STEP_WAITING)
	{
		Jsonb *value = PG_ARGISNULL(1) ? json_null() : PG_GETARG_JSONB_P(1);

		json_check_size(value, "value");
		step_done(step, value);
	}
	PG_RETURN_JSONB_P(step_result(step));
}

PG_FUNCTION_INFO_V1(stent_continue_as_new);
Datum
stent_continue_as_new(PG_FUNCTION_ARGS)
{
	Steps *steps = steps_require("stent.continue_as_new()", belongs);
	Store *store;
	Function *function;
	MemoryContext old;

	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("args must not be null"),
						errhint("Leave args out, or give '{}'.")));
	store = store_open_to_read();
	function = function_by_id(store, steps->task->function_id);
	dispatch_check_args(function, function_handler(function), PG_GETARG_JSONB_P(0));
	store_close(store);
	old = MemoryContextSwitchTo(step_context());
	steps->new_args = PG_GETARG_JSONB_P_COPY(0);
	MemoryContextSwitchTo(old);
	steps->continued = true;
	steps->continued_subid = GetCurrentSubTransactionId();
	PG_RETURN_VOID();
}
