/*
 * step_decide.c
 *	  Whether what a step waits for has happened, asked from outside of a handler.
 *
 * A handler looks when it comes to a step (step_calls.c, step_local.c) and may be left
 * there. For a task that a worker has, nobody comes to a step here: all of them are looked
 * at, and the worker is told. Errors are remembered, not raised. What is not remembered
 * as done is looked at again the next time, so nothing depends on this one.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"
#include "utils/snapmgr.h"

#include "clock.h"
#include "ending.h"
#include "json.h"
#include "json_keys.h"
#include "map.h"
#include "step_calls.h"
#include "step_local.h"
#include "step_decide.h"

/* What the step waits for is not there any more. */
static void
fail_unknown(Step *step, int64 id)
{
	step_failed(step, json_error_parts(unpack_sql_state(ERRCODE_NO_DATA_FOUND),
									   psprintf("task " INT64_FORMAT " does not exist", id),
									   "Retention has removed it.", NULL, NULL, false));
}

static void
look_at_child(Store *store, Step *step)
{
	Ending ending;

	ending_read(store, step->child_id, &ending);
	if (ending.state == TASK_NEW)
		fail_unknown(step, step->child_id);
	else if (ending.state == TASK_COMPLETED && step->kind == STEP_MAP)
		step_done(step, NULL); /* its results are gathered each time */
	else if (ending.state == TASK_COMPLETED)
		step_take_result(step, &ending);
	else if (task_is_terminal(ending.state))
		step_failed(step,
					step_error_child(step->child_id, &ending,
									 step->kind == STEP_MAP ? map_failed_index(&ending) : -1));
}

/* The ids of the tasks that a step of many waits for. */
int
step_ids(const Step *step, int64 **ids)
{
	JsonKeys keys = {.object = step->detail, .where = "detail"};
	Jsonb *array = json_keys_array(&keys, "ids");
	JsonbIterator *it = JsonbIteratorInit(&array->root);
	JsonbIteratorToken token;
	JsonbValue value;
	int n = 0;

	*ids = palloc_array(int64, Max(JB_ROOT_COUNT(array), 1));
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
		if (token == WJB_ELEM && json_keys_value_integer(&value, &(*ids)[n]))
			n++;
	return n;
}

static void
look_at_all(Step *step)
{
	int64 *ids;
	int n = step_ids(step, &ids);
	Ending failure;
	int failed;
	bool waits;
	Jsonb *results = step_gather(ids, n, &failed, &failure, &waits);

	if (results != NULL)
		step_done(step, results);
	else if (failed >= 0 && failure.state == TASK_NEW)
		fail_unknown(step, ids[failed]);
	else if (failed >= 0)
		step_failed(step, step_error_child(ids[failed], &failure, failed));
}

static void
look_for_signal(Step *step)
{
	const Steps *steps = steps_current();
	char *name = json_string_field(step->detail, "name");

	(void) step_take_signal(step, steps->task, name, step_last_signal(steps, name));
}

/* Decide a step that waits, if it can be decided; whether it is done now. */
bool
step_decide(Store *store, Step *step)
{
	bool over = step->wake_at != NO_TIME && clock_now() >= step->wake_at;

	if (step->state != STEP_WAITING || step->make != NULL)
		return step->state != STEP_WAITING;
	switch (step->kind)
	{
		case STEP_CALL:
		case STEP_AWAIT:
		case STEP_MAP:
			if (step->child_id != NO_ID && !step_is_made(step->child_id))
				look_at_child(store, step);
			break;
		case STEP_AWAIT_ALL:
			look_at_all(step);
			break;
		case STEP_SIGNAL:
			look_for_signal(step);
			break;
		case STEP_SLEEP:
			if (over)
				step_done(step, NULL);
			break;
		default:
			break; /* they are done when they are made */
	}
	if (step->state == STEP_WAITING && over)
		step_failed(step, step_error_ran_out(step));
	return step->state != STEP_WAITING;
}

/* The same for all that are remembered. */
void
steps_decide(Store *store, Steps *steps)
{
	for (int i = 0; i < steps->n; i++)
		if (step_is_remembered(steps, steps->steps[i]))
			(void) step_decide(store, steps->steps[i]);
}
