/*
 * step_calls.c
 *	  Steps that are about other tasks: call, spawn, await, await_all.
 *
 * What they wait for is looked at when the handler comes to them, by a snapshot taken
 * then. A task that is no child of the handler's tells nobody here when it ends; such
 * strangers are noted in the step (waiting.c).
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "access.h"
#include "await_all.h"
#include "child_make.h"
#include "clock.h"
#include "fault.h"
#include "intern.h"
#include "json.h"
#include "outcome.h"
#include "step.h"
#include "step_calls.h"

static const char *const elsewhere =
	"It is a step of the task that stent runs in this session. Elsewhere use stent.dispatch().";

enum
{
	SPAWN_FUNCTION,
	SPAWN_ARGS,
	SPAWN_QUEUE,
	SPAWN_PRIORITY,
	SPAWN_TAGS,
	SPAWN_DELAY,
	SPAWN_RUN_AT,
	SPAWN_TIMEOUT,
	SPAWN_RETRY,
	SPAWN_CONCURRENCY_KEY,
	SPAWN_HEADERS,
	SPAWN_STEP_NAME
};

static Jsonb *
args_argument(FunctionCallInfo fcinfo, int arg)
{
	if (PG_ARGISNULL(arg))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("args must not be null"),
						errhint("Leave args out, or give '{}'.")));
	return PG_GETARG_JSONB_P(arg);
}

/* The id of the function that is called; it need not be registered any more. */
static int32
function_argument(FunctionCallInfo fcinfo, char **name)
{
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("function must not be null"),
				 errhint("Give the name of a registered function; see the view stent.functions.")));
	*name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	return step_function(*name);
}

/* Note the child that a step is to make. */
static void
prepare(FunctionCallInfo fcinfo, Step *step, const Steps *steps, const OptionArgs *at, int key_arg,
		int memo_arg, Jsonb *args)
{
	Store *store = store_open(memo_arg >= 0 ? "stent.call()" : "stent.spawn()");
	char *concurrency_key = dispatch_key_option(fcinfo, key_arg, "concurrency_key");
	char *idempotency_key =
		memo_arg < 0 ? NULL : dispatch_key_option(fcinfo, memo_arg, "idempotency_key");
	Options options;
	MemoryContext old;

	dispatch_read_options(fcinfo, store, at, &options);
	dispatch_check_args(options.function, function_handler(options.function), args);
	old = MemoryContextSwitchTo(step_context());
	step_to_make(step, child_make,
				 child_prepare(store, &options, steps->task, args, concurrency_key, idempotency_key,
							   memo_arg >= 0));
	MemoryContextSwitchTo(old);
	store_close(store);
}

/* call() in a handler. */
Datum
step_call(FunctionCallInfo fcinfo)
{
	static const OptionArgs at = {.queue = CALL_QUEUE,
								  .priority = CALL_PRIORITY,
								  .tags = CALL_TAGS,
								  .delay = CALL_DELAY,
								  .run_at = CALL_RUN_AT,
								  .max_duration = -1,
								  .timeout = CALL_TIMEOUT,
								  .retry = CALL_RETRY,
								  .headers = CALL_HEADERS};
	const Steps *steps = steps_require("stent.call()", elsewhere);
	Jsonb *args = args_argument(fcinfo, CALL_ARGS);
	char *name;
	int32 function_id = function_argument(fcinfo, &name);
	Step *step = step_next(STEP_CALL, step_name_argument(fcinfo, CALL_STEP_NAME, "step_name"),
						   function_id, step_digest_json(args), name);

	if (step->fresh)
		prepare(fcinfo, step, steps, &at, CALL_CONCURRENCY_KEY, CALL_IDEMPOTENCY_KEY, args);
	PG_RETURN_JSONB_P(step_child_result(step));
}

PG_FUNCTION_INFO_V1(stent_spawn);
Datum
stent_spawn(PG_FUNCTION_ARGS)
{
	static const OptionArgs at = {.queue = SPAWN_QUEUE,
								  .priority = SPAWN_PRIORITY,
								  .tags = SPAWN_TAGS,
								  .delay = SPAWN_DELAY,
								  .run_at = SPAWN_RUN_AT,
								  .max_duration = -1,
								  .timeout = SPAWN_TIMEOUT,
								  .retry = SPAWN_RETRY,
								  .headers = SPAWN_HEADERS};
	const Steps *steps = steps_require("stent.spawn()", elsewhere);
	Jsonb *args = args_argument(fcinfo, SPAWN_ARGS);
	char *step_name = PG_NARGS() > SPAWN_STEP_NAME
						  ? step_name_argument(fcinfo, SPAWN_STEP_NAME, "step_name")
						  : NULL; /* before 0.5 */
	char *name;
	int32 function_id = function_argument(fcinfo, &name);
	Step *step = step_next(STEP_SPAWN, step_name, function_id, step_digest_json(args), name);

	STENT_FAULT("spawn_begin");
	if (step->fresh)
	{
		prepare(fcinfo, step, steps, &at, SPAWN_CONCURRENCY_KEY, -1, args);
		step->child_id = ((NewChild *) step->arg)->task.id;
	}
	else if (step->make != NULL)
	{
		/* met again before it was made: in this block now */
		step->undone = false;
		steps_current()->all_made = false;
		step->subid = GetCurrentSubTransactionId();
	}
	STENT_FAULT("spawn_end");
	PG_RETURN_INT64(step->child_id);
}

/* When a wait that begins now has lasted long enough. */
static Timestamp
limit_of(int64 timeout_us)
{
	Timestamp now = clock_now();

	if (timeout_us <= 0)
		return NO_TIME;
	return timeout_us > DT_NOEND - 1 - now ? DT_NOEND : now + timeout_us;
}

/* The detail of a step that waits for tasks: which, and which of them are no children. */
static Jsonb *
tasks_detail(const int64 *ids, int n, const int64 *strangers, int n_strangers)
{
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfoString(&text, "{\"ids\": [");
	for (int i = 0; i < n; i++)
		appendStringInfo(&text, "%s" INT64_FORMAT, i == 0 ? "" : ", ", ids[i]);
	appendStringInfoChar(&text, ']');
	if (n_strangers > 0)
	{
		appendStringInfoString(&text, ", \"strangers\": [");
		for (int i = 0; i < n_strangers; i++)
			appendStringInfo(&text, "%s" INT64_FORMAT, i == 0 ? "" : ", ", strangers[i]);
		appendStringInfoChar(&text, ']');
	}
	appendStringInfoChar(&text, '}');
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text.data)));
}

/* Whether what is to be waited for, which is there, waits for this: the task itself, or one above. */
bool
step_is_above(Store *store, const Task *task, int64 id, const Ending *ending)
{
	int64 at = task->id;

	if (ending->execution_id != task->execution_id || task_is_terminal(ending->state))
		return false;
	while (at != NO_ID && at != id)
	{
		Ending above;

		ending_read(store, at, &above);
		at = above.parent_id;
	}
	return at == id;
}

static char *
above_message(const Task *task, int64 id)
{
	return id == task->id ? psprintf("task " INT64_FORMAT " cannot wait for itself", id)
						  : psprintf("task " INT64_FORMAT " cannot wait for task " INT64_FORMAT
									 ", which is above it",
									 task->id, id);
}

/* The error of a call that the task itself, or one above it, is making. */
Jsonb *
step_error_above(const Task *task, int64 id)
{
	return json_error_parts(
		unpack_sql_state(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), above_message(task, id), NULL,
		"The function is idempotent or cached, and that task makes the same call: each would wait "
		"for the other for ever.",
		NULL, false);
}

/* Refuse to wait for what waits for this. */
static void
check_no_ancestor(Store *store, const Task *task, int64 id, const Ending *ending)
{
	if (step_is_above(store, task, id, ending))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("%s", above_message(task, id)),
						errhint("Each would wait for the other for ever.")));
}

/* Note in a step of which this is the first meeting what it waits for. */
void
step_note_tasks(Step *step, const Steps *steps, const int64 *ids, int n, int64 timeout_us)
{
	MemoryContext old = MemoryContextSwitchTo(step_context());
	Store *store = store_open_to_read();
	int64 *strangers = palloc_array(int64, Max(n, 1));
	int n_strangers = 0;

	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	for (int i = 0; i < n; i++)
	{
		Ending ending;

		CHECK_FOR_INTERRUPTS();
		if (step_is_made(ids[i]))
			continue;
		ending_read(store, ids[i], &ending);
		if (ending.state != TASK_NEW && !task_is_terminal(ending.state))
			step_require_kept(ids[i], &ending);
		if (ending.state != TASK_NEW && ending.parent_id != steps->task->id)
		{
			check_no_ancestor(store, steps->task, ids[i], &ending);
			/* a dead one may be replayed before the handler looks */
			if (!task_is_terminal(ending.state) || ending.state == TASK_FAILED)
				strangers[n_strangers++] = ids[i];
		}
	}
	PopActiveSnapshot();
	store_close(store);
	/* what is refused before leaves nothing that could be waited for */
	step->detail = tasks_detail(ids, n, strangers, n_strangers);
	step->wake_at = limit_of(timeout_us);
	MemoryContextSwitchTo(old);
	STENT_FAULT("step_noted");
}

/* Refuse a task that does not exist, or that is not to be seen by the caller. */
void
step_require_tasks(const int64 *ids, int n)
{
	Store *store = store_open_to_read();

	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	await_all_require(store, ids, n, step_is_made);
	PopActiveSnapshot();
	store_close(store);
}

/* The same of one. */
void
step_require_task(int64 id)
{
	Store *store;
	bool lives;
	Outcome outcome;

	if (step_is_made(id))
		return;
	store = store_open_to_read();
	PushActiveSnapshot(GetLatestSnapshot());
	lives = await_all_lives(store, id);
	PopActiveSnapshot();
	store_close(store);
	if (!lives)
		(void) outcome_read(id, &outcome);
}

/* await() in a handler. */
Datum
step_await(FunctionCallInfo fcinfo)
{
	const Steps *steps = steps_require("stent.await()", elsewhere);
	int64 timeout_us = 0;
	Step *step;
	int64 id;

	if (PG_ARGISNULL(AWAIT_ID))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("id must not be null"),
						errhint("Give the id that stent.spawn() returned.")));
	id = PG_GETARG_INT64(AWAIT_ID);
	if (!PG_ARGISNULL(AWAIT_TIMEOUT))
	{
		interval_check(PG_GETARG_INTERVAL_P(AWAIT_TIMEOUT), "timeout");
		timeout_us = interval_us(PG_GETARG_INTERVAL_P(AWAIT_TIMEOUT));
	}
	step = step_next(STEP_AWAIT, step_name_argument(fcinfo, AWAIT_STEP_NAME, "step_name"), 0,
					 step_digest(&id, sizeof(id)), NULL);
	if (step->fresh)
	{
		step_require_task(id);
		step_note_tasks(step, steps, &id, 1, timeout_us);
		step->child_id = id;
	}
	PG_RETURN_JSONB_P(step_child_result(step));
}

/*
 * Look at all tasks: which of them failed, or -1, how, and whether some have not finished;
 * and if neither is so, their results. A task that there is not has failed as TASK_NEW.
 */
Jsonb *
step_gather(const int64 *ids, int n, int *failed, Ending *failure, bool *waits)
{
	MemoryContext old = MemoryContextSwitchTo(step_context());
	JsonbParseState *state = NULL;
	Store *store = store_open_to_read();
	Jsonb *results = NULL;

	*failed = -1;
	*waits = false;
	(void) pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	for (int i = 0; i < n; i++)
	{
		Ending ending;

		CHECK_FOR_INTERRUPTS();
		if (step_is_made(ids[i]))
		{
			*waits = true;
			continue;
		}
		ending_read(store, ids[i], &ending);
		if (ending.state != TASK_NEW && !task_is_terminal(ending.state))
		{
			step_require_kept(ids[i], &ending);
			*waits = true;
		}
		else if (ending.state != TASK_COMPLETED)
		{
			*failure = ending;
			*failed = i;
			break;
		}
		else if (!*waits)
		{
			JsonbValue value;

			JsonbToJsonbValue(ending_result(store, &ending), &value);
			if (value.type == jbvBinary && JsonContainerIsScalar(value.val.binary.data))
				(void) JsonbExtractScalar(value.val.binary.data, &value);
			(void) pushJsonbValue(&state, WJB_ELEM, &value);
		}
	}
	PopActiveSnapshot();
	store_close(store);
	if (*failed < 0 && !*waits)
		results = JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_ARRAY, NULL));
	MemoryContextSwitchTo(old);
	return results;
}

/* Gather the results of all tasks; the handler is left if some have not finished. */
static Jsonb *
gather(Step *step, const int64 *ids, int n)
{
	Ending failure;
	int failed;
	bool waits;
	Jsonb *results = step_gather(ids, n, &failed, &failure, &waits);

	if (failed >= 0 && failure.state == TASK_NEW)
		await_all_unknown(failed, ids[failed]);
	if (failed >= 0)
		step_fail_child(step, ids[failed], &failure, failed);
	if (waits && step->wake_at != NO_TIME && clock_now() >= step->wake_at)
		step_ran_out(step);
	if (waits)
		step_wait(step);
	return results;
}

/* await_all() in a handler. */
Datum
step_await_all(FunctionCallInfo fcinfo)
{
	const Steps *steps = steps_require("stent.await_all()", elsewhere);
	int64 timeout_us;
	int64 *ids;
	int limit;
	int n = await_all_arguments(fcinfo, &ids, &limit, &timeout_us);
	Step *step =
		step_next(STEP_AWAIT_ALL, step_name_argument(fcinfo, AWAIT_ALL_STEP_NAME, "step_name"), 0,
				  step_digest(n == 0 ? (const void *) "" : ids, n * sizeof(int64)), NULL);

	if (step->fresh)
	{
		step_require_tasks(ids, n);
		step_note_tasks(step, steps, ids, n, timeout_us);
	}
	if (step->state == STEP_FAILED)
		step_raise_again(step);
	if (step->state == STEP_WAITING)
		step_done(step, gather(step, ids, n));
	PG_RETURN_JSONB_P(step_result(step));
}
