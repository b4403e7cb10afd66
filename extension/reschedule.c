/*
 * reschedule.c
 *	  reschedule(): another queue, priority, tag set or time for a queued task.
 *
 * The entry decides, as always: it is taken without waiting, and the task written to
 * its new place in the same transaction. A task that somebody else has taken is left
 * alone.
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/fmgrprotos.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "access.h"
#include "attempt.h"
#include "clock.h"
#include "fault.h"
#include "intern.h"
#include "json.h"
#include "outcome.h"
#include "registry.h"
#include "task.h"

enum
{
	RESCHEDULE_ID,
	RESCHEDULE_QUEUE,
	RESCHEDULE_PRIORITY,
	RESCHEDULE_DELAY,
	RESCHEDULE_RUN_AT,
	RESCHEDULE_TAGS
};

/* What is to be changed, read and checked. */
typedef struct Change
{
	char *queue;     /* NULL: as it is */
	ArrayType *tags; /* NULL: as they are */
	bool has_priority;
	int priority;
	bool has_time;
	Timestamp due_at; /* NO_TIME: at once */
	Timestamp now;
} Change;

static void
read_time(FunctionCallInfo fcinfo, Change *change)
{
	bool has_delay = !PG_ARGISNULL(RESCHEDULE_DELAY);
	bool has_run_at = !PG_ARGISNULL(RESCHEDULE_RUN_AT);

	change->has_time = has_delay || has_run_at;
	if (!change->has_time)
		return;
	if (has_delay && has_run_at)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("delay and run_at exclude each other"), errhint("Give one of them.")));
	if (has_delay)
	{
		Interval *delay = PG_GETARG_INTERVAL_P(RESCHEDULE_DELAY);

		interval_check(delay, "delay");
		change->due_at = DatumGetTimestamp(DirectFunctionCall2(
			timestamp_pl_interval, TimestampGetDatum(change->now), IntervalPGetDatum(delay)));
	}
	else
		change->due_at = PG_GETARG_TIMESTAMP(RESCHEDULE_RUN_AT);
	if (TIMESTAMP_NOT_FINITE(change->due_at))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("run_at must be finite"),
						errhint("Give a UTC time, such as stent.now() + interval '1 day'.")));
	if (change->due_at <= change->now)
		change->due_at = NO_TIME;
}

static void
read_change(FunctionCallInfo fcinfo, Change *change)
{
	memset(change, 0, sizeof(*change));
	change->now = clock_now();
	if (!PG_ARGISNULL(RESCHEDULE_QUEUE))
		change->queue = check_name(PG_GETARG_TEXT_PP(RESCHEDULE_QUEUE), "queue");
	if (!PG_ARGISNULL(RESCHEDULE_TAGS))
		change->tags = check_tags(PG_GETARG_ARRAYTYPE_P(RESCHEDULE_TAGS));
	change->has_priority = !PG_ARGISNULL(RESCHEDULE_PRIORITY);
	if (change->has_priority)
		change->priority = check_priority(PG_GETARG_INT32(RESCHEDULE_PRIORITY));
	read_time(fcinfo, change);
	if (change->queue == NULL && change->tags == NULL && !change->has_priority && !change->has_time)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("nothing to change"),
						errhint("Give queue, priority, delay, run_at or tags.")));
}

/* Write a task whose entry was taken to its new place. */
static void
apply(Store *store, Task *task, const Lane *old, const Change *change)
{
	int32 lane_id = task->lane_id;
	int priority = change->has_priority ? change->priority : task->priority;

	if (change->queue != NULL || change->tags != NULL)
	{
		/* finding the new lane may forget the old one */
		Lane lane = *old;

		lane.queue = change->queue != NULL ? change->queue : pstrdup(old->queue);
		lane.tags = change->tags != NULL ? change->tags
										 : DatumGetArrayTypePCopy(PointerGetDatum(old->tags));
		lane_id = lane_intern_like(store, &lane);
	}
	if (change->has_time && (change->due_at != NO_TIME || task->state == TASK_SCHEDULED))
	{
		bool later = change->due_at != NO_TIME;

		task->lane_id = lane_id;
		task->priority = priority;
		task->due_at = later ? change->due_at : change->now;
		task_move(store, task, later ? TASK_SCHEDULED : TASK_READY);
	}
	else
		task_change_lane(store, task, lane_id, priority);
}

/* Change the task if it is queued and nobody has taken it. */
static bool
reschedule(Store *store, int64 id, const Change *change)
{
	for (;;)
	{
		TM_Result result = TM_Invisible;
		TransactionId holder;
		const Lane *lane;
		Task *task;

		CHECK_FOR_INTERRUPTS();
		CommandCounterIncrement();
		/* also where the transaction's own snapshot is old */
		PushActiveSnapshot(GetLatestSnapshot());
		task = task_find_live(store, id);
		lane = task == NULL ? NULL : lane_get(store, task->lane_id);
		if (lane != NULL && caller_may_act_for(lane->role))
		{
			/* what runs in this session has no entry any more */
			if (attempt_task() == NULL || attempt_task()->id != id)
				result = task_try_take(store, task, &holder);
			if (result == TM_Ok && change->has_time && task->state == TASK_WAITING)
				ereport(ERROR,
						(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						 errmsg("task " INT64_FORMAT " waits and cannot be given another time", id),
						 errhint("It goes on when what it waits for has happened; "
								 "stent.why() tells what that is.")));
			if (result == TM_Ok)
			{
				STENT_FAULT("reschedule_after_take");
				apply(store, task, lane, change);
			}
		}
		else if (outcome_execution(id) == NO_ID)
			unknown_task(id);
		PopActiveSnapshot();
		/* somebody took it and has committed: see what has become of it */
		if (result != TM_Deleted && result != TM_Updated)
			return result == TM_Ok;
	}
}

PG_FUNCTION_INFO_V1(stent_reschedule);
Datum
stent_reschedule(PG_FUNCTION_ARGS)
{
	int64 id = outcome_require_id(fcinfo);
	Change change;
	Store *store;
	bool done;

	read_change(fcinfo, &change);
	store = store_open("stent.reschedule()");
	done = reschedule(store, id, &change);
	store_close(store);
	PG_RETURN_BOOL(done);
}
