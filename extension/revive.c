/*
 * revive.c
 *	  Bringing back the parents that failed because of a child that is replayed.
 *
 * A parent that failed with the error of its child waits again for that child, and so does
 * the parent's parent, as long as each has failed because of the one below it. What they
 * did in the run that failed was never committed, and the steps that succeeded are
 * kept, so nothing is done twice.
 *
 * A parent that lives needs nothing but to see that the child lives, too, before it looks at
 * it. So its entry is taken and put back: nobody runs it before that is committed.
 *
 * Whoever revives a parent has not seen what else it waits for; so each leaves a
 * nudge for itself (waiting.c). The child itself is left to the caller.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "access.h"
#include "clock.h"
#include "dead_letter.h"
#include "ending.h"
#include "errors.h"
#include "fault.h"
#include "intern.h"
#include "json.h"
#include "lease.h"
#include "map.h"
#include "ready.h"
#include "revive.h"
#include "step_decide.h"
#include "step_row.h"
#include "wait.h"
#include "waiting.h"

/* Why a parent cannot be brought back. */
typedef enum Refusal
{
	REFUSED_NOT,
	REFUSED_OVER,        /* it has ended in another way than as a dead letter */
	REFUSED_FOREIGN,     /* it is not the caller's to steer */
	REFUSED_OTHER_REASON /* it failed with another error than its child's */
} Refusal;

/* A task with a child that is replayed. */
typedef struct Parent
{
	Task *task;       /* NULL where it is neither live nor a dead letter */
	bool lives;       /* else it has failed */
	Refusal refusal;  /* of one that does not live */
	TaskState ending; /* REFUSED_OVER: how; TASK_NEW: nobody knows any more */
	Steps steps;      /* of one that has failed */
	Step *step; /* by which it waited for the child; NULL: it had not come to that, or is a map */
} Parent;

static int64
bucket_of(Store *store, const Task *task)
{
	return ready_bucket(lane_get(store, task->lane_id)->role, task->priority, task->lane_id);
}

/* The ids of the tasks that a step waits for, or has made. */
static int
tasks_of(const Step *step, int64 **ids)
{
	if (step->kind == STEP_AWAIT_ALL)
		return step_ids(step, ids);
	*ids = palloc_object(int64);
	**ids = step->child_id;
	return step->child_id == NO_ID ? 0 : 1;
}

static bool
is_about(const Step *step, int64 id)
{
	int64 *ids;
	int n = tasks_of(step, &ids);
	bool found = false;

	for (int i = 0; i < n && !found; i++)
		found = ids[i] == id;
	pfree(ids);
	return found;
}

/* The last step that is about the child and has not succeeded, or else the one that made it. */
static Step *
find_step(const Steps *steps, int64 child_id)
{
	Step *made = NULL;

	for (int i = steps->n - 1; i >= 0; i--)
	{
		Step *step = steps->steps[i];

		if (!is_about(step, child_id))
			continue;
		if (step->state != STEP_COMPLETED)
			return step;
		made = step;
	}
	return made;
}

/* Whether one of the tasks has ever failed with what was raised as this error. */
static bool
has_failed_with(const int64 *ids, int n, Jsonb *error)
{
	Oid types[2] = {INT8ARRAYOID, TEXTOID};
	Datum values[2];
	Datum *elements = palloc_array(Datum, n);
	char *message = json_string_field(error, "message");
	bool found = false;
	ColdSql cold;

	for (int i = 0; i < n; i++)
		elements[i] = Int64GetDatum(ids[i]);
	values[0] = PointerGetDatum(
		construct_array(elements, n, INT8OID, sizeof(int64), true, TYPALIGN_DOUBLE));
	values[1] = CStringGetTextDatum(message == NULL ? "" : message);
	cold_begin(&cold);
	if (SPI_execute_with_args("SELECT a.error FROM stent.attempt a "
							  "WHERE a.task_id = ANY ($1) AND a.error ->> 'message' = $2",
							  2, types, values, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "looking for failed attempts failed");
	for (uint64 i = 0; i < SPI_processed && !found; i++)
	{
		bool isnull;
		Datum value = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull);

		found = step_is_raised_as(DatumGetJsonbP(value), error);
	}
	cold_end(&cold);
	return found;
}

/* Whether a parent has failed because of the child: its error is the child's. */
static bool
failed_because_of(Store *store, Parent *parent, const Task *child)
{
	Step *step;
	int64 *ids;
	int n;

	parent->steps = (Steps){.task = parent->task, .cxt = CurrentMemoryContext, .next_position = 1};
	step_rows_load(store, &parent->steps);
	step = find_step(&parent->steps, child->id);
	if (step == NULL || parent->task->error == NULL)
		return false;
	if (step->state != STEP_COMPLETED)
		parent->step = step;
	/* of many it may have been another, and this one would have been the next */
	n = tasks_of(step, &ids);
	return (child->error != NULL && step_is_raised_as(child->error, parent->task->error)) ||
		   has_failed_with(ids, n, parent->task->error);
}

/* Look at the parent of a task that has failed, by the active snapshot. */
static void
look(Store *store, const Task *child, Parent *parent)
{
	memset(parent, 0, sizeof(*parent));
	parent->task = task_find_live(store, child->parent_id);
	parent->lives = parent->task != NULL;
	if (parent->lives)
		return;
	parent->task = dead_letter_find(store, child->parent_id, true);
	if (parent->task == NULL)
	{
		Ending ending;

		ending_read(store, child->parent_id, &ending);
		parent->ending = ending.state;
		parent->refusal = REFUSED_OVER;
	}
	else if (!caller_may_act_for(lane_get(store, parent->task->lane_id)->role))
		parent->refusal = REFUSED_FOREIGN;
	/* a map fails because of its items, whichever it names */
	else if (parent->task->chunk != A_MAP && !failed_because_of(store, parent, child))
		parent->refusal = REFUSED_OTHER_REASON;
}

/* Whether the parent of a dead letter lives, or can be brought back. */
bool
revive_is_possible(Store *store, const Task *child)
{
	Parent parent;

	if (child->parent_id == NO_ID)
		return true;
	look(store, child, &parent);
	return parent.refusal == REFUSED_NOT;
}

pg_noreturn static void
refuse_over(const Task *child, TaskState ending)
{
	static const char *const alone =
		"Without revive_parent the child is replayed alone: its parent does not go on.";

	switch (ending)
	{
		case TASK_COMPLETED:
			ereport(ERROR, (errcode(STENT_ERR_FINISHED),
							errmsg("task " INT64_FORMAT ", the parent of task " INT64_FORMAT
								   ", has completed",
								   child->parent_id, child->id),
							errdetail("What it did is committed."), errhint("%s", alone)));
		case TASK_CANCELLED:
			ereport(ERROR, (errcode(STENT_ERR_FINISHED),
							errmsg("task " INT64_FORMAT ", the parent of task " INT64_FORMAT
								   ", was cancelled",
								   child->parent_id, child->id),
							errdetail("A cancellation is final."), errhint("%s", alone)));
		case TASK_TIMED_OUT:
			ereport(ERROR, (errcode(STENT_ERR_FINISHED),
							errmsg("task " INT64_FORMAT ", the parent of task " INT64_FORMAT
								   ", has exceeded its max_duration",
								   child->parent_id, child->id),
							errhint("%s", alone)));
		case TASK_FAILED:
			ereport(ERROR, (errcode(STENT_ERR_FINISHED),
							errmsg("task " INT64_FORMAT ", the parent of task " INT64_FORMAT
								   ", was discarded",
								   child->parent_id, child->id),
							errhint("%s", alone)));
		default:
			ereport(ERROR, (errcode(STENT_ERR_FINISHED),
							errmsg("task " INT64_FORMAT ", the parent of task " INT64_FORMAT
								   ", does not exist any more",
								   child->parent_id, child->id),
							errhint("%s", alone)));
	}
}

pg_noreturn static void
refuse(Store *store, const Task *child, const Parent *parent)
{
	if (parent->refusal == REFUSED_OVER)
		refuse_over(child, parent->ending);
	if (parent->refusal == REFUSED_FOREIGN)
		ereport(
			ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("task " INT64_FORMAT ", above task " INT64_FORMAT ", belongs to role \"%s\"",
					parent->task->id, child->id, lane_get(store, parent->task->lane_id)->role),
			 errhint("That role, or an admin, can bring it back; leave revive_parent out to replay "
					 "the child alone.")));
	ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					errmsg("task " INT64_FORMAT ", the parent of task " INT64_FORMAT
						   ", has failed for another reason",
						   parent->task->id, child->id),
					parent->task->error == NULL
						? 0
						: errdetail("Its error is \"%s\" (%s).",
									json_string_field(parent->task->error, "message"),
									json_string_field(parent->task->error, "code")),
					errhint("Replay the parent itself, which makes anew what failed in it.")));
}

/*
 * See to it that nobody runs a live parent before this transaction has ended; false: it has
 * changed meanwhile. One that a worker has may look at any time.
 */
static bool
hold(Store *store, Task *parent)
{
	TransactionId holder;
	TM_Result result;

	if (wait_is_own(store, parent->id))
		return true;
	result = task_try_take(store, parent, &holder);
	STENT_FAULT("revive_held");
	if (result == TM_Ok)
	{
		CommandCounterIncrement();
		task_change_lane(store, parent, parent->lane_id, parent->priority);
		return true;
	}
	if (result == TM_BeingModified)
		XactLockTableWait(holder, NULL, NULL, XLTW_None);
	return result == TM_Invisible;
}

/*
 * Have the parent of a task that is taken out of the dead letters: a live one is held, one
 * that failed because of it is taken as well. Waits for others who hold it.
 */
static Parent *
have(Store *store, const Task *child)
{
	Parent *parent = palloc_object(Parent);
	bool done;

	do
	{
		CHECK_FOR_INTERRUPTS();
		CommandCounterIncrement();
		PushActiveSnapshot(GetLatestSnapshot());
		look(store, child, parent);
		if (parent->lives)
			done = hold(store, parent->task);
		else
			done = parent->refusal != REFUSED_NOT || dead_letter_take(store, parent->task);
		PopActiveSnapshot();
	} while (!done);
	return parent;
}

/* The step waits again, as the last one, and as one of the new attempt. */
static void
set_back(Store *store, Parent *parent, Timestamp dead_for)
{
	Step *step = parent->step;

	step->state = STEP_WAITING;
	step->finished_at = NO_TIME;
	step->error = step->result = NULL;
	step->result_ref = NO_ID;
	step->position = parent->steps.next_position;
	step->mark = lease_mark(parent->task);
	if (step->wake_at != NO_TIME && !TIMESTAMP_NOT_FINITE(step->wake_at))
		step->wake_at += dead_for;
	step_row_write(store, &parent->steps, step);
	STENT_FAULT("revive_step_written");
}

/* Let a failed parent that was taken wait again. */
static void
bring_back(Store *store, Parent *parent, bool reset_retries)
{
	Task *task = parent->task;
	Step *step = parent->step;

	dead_letter_begin_anew(task, reset_retries);
	if (task->chunk == A_MAP)
	{
		map_revive(store, task);
		return;
	}
	if (step != NULL)
		set_back(store, parent, clock_now() - task->finished_at);
	if (task->concurrency_key != NULL || step == NULL)
	{
		/* it has to join its line, or to come to the step: then it waits */
		task_move(store, task, TASK_READY);
		return;
	}
	task->due_at = step->wake_at == NO_TIME ? DT_NOEND : step->wake_at;
	task_move(store, task, TASK_WAITING);
	waiting_begin(store, task, step);
	waiting_nudge(store, task->id, bucket_of(store, task), false);
	STENT_FAULT("revive_parent_waits");
}

/*
 * The parents of a task that was taken out of the dead letters, and is about to live, up to
 * the first that did not fail because of the one below: an error if that is its own parent.
 */
void
revive_parents(Store *store, Task *child, bool reset_retries)
{
	List *parents = NIL; /* that were taken, from below */
	Task *below = child;

	while (below->parent_id != NO_ID)
	{
		Parent *parent = have(store, below);

		if (parent->refusal == REFUSED_FOREIGN ||
			(parent->refusal != REFUSED_NOT && below == child))
			refuse(store, below, parent);
		if (parent->task != NULL && (parent->lives || parent->refusal == REFUSED_NOT))
			below->parent_bucket = bucket_of(store, parent->task);
		if (parent->lives || parent->refusal != REFUSED_NOT)
			break;
		if (!dead_letter_own_dedup_key(store, parent->task))
			dead_letter_refuse_dedup_key(parent->task);
		parents = lappend(parents, parent);
		below = parent->task;
	}
	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	for (int i = list_length(parents) - 1; i >= 0; i--)
		bring_back(store, list_nth(parents, i), reset_retries);
	PopActiveSnapshot();
}
