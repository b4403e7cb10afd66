/*
 * settle.c
 *	  What the steps of a handler leave behind when it is over: rows, children, a wait.
 *
 * All of it is written outside the handler's subtransaction, in the transaction that took
 * the task, and so commits with whatever became of the handler:
 *
 *	suspension	the new steps and children, and the task waits
 *	success		the children it made, the steps for those who ask what happened
 *	failure		the steps that have succeeded, for the next attempt; no children
 *
 * A worker that suspends a task it leases comes here as well, with steps it names.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/snapmgr.h"

#include "announce.h"
#include "clock.h"
#include "due.h"
#include "ending.h"
#include "fault.h"
#include "guc.h"
#include "intern.h"
#include "ready.h"
#include "settle.h"
#include "step_calls.h"
#include "step_local.h"
#include "step_row.h"
#include "waiting.h"

/* Make the children of the steps that have none yet. */
static void
make_children(Store *store, Steps *steps)
{
	for (int i = 0; i < steps->n; i++)
	{
		Step *step = steps->steps[i];

		if (step->make == NULL || step->undone)
			continue;
		step->child_id = step->make(store, steps->task, step->arg);
		step->make = NULL;
		if (step->kind == STEP_SPAWN)
		{
			step->state = STEP_COMPLETED;
			step->finished_at = step->created_at;
		}
		step->dirty = true;
		STENT_FAULT("settle_child_made");
	}
	steps->all_made = true;
}

/*
 * The handler was left at a step that is done on the spot. What it has spawned before is
 * made now, as if it had to wait: the step may know the ids.
 */
void
settle_children(Store *store, Steps *steps)
{
	Step *blocking = steps->blocking;
	StepMake make = blocking->make;

	blocking->make = NULL;
	make_children(store, steps);
	blocking->make = make;
}

/* Write what differs from the rows. */
static void
write_rows(Store *store, Steps *steps, bool successes_only)
{
	int n = 0;

	for (int i = 0; i < steps->n; i++)
	{
		Step *step = steps->steps[i];

		if (step->dirty && step->make == NULL && !step_is_hollow(step) &&
			(!successes_only || step->state == STEP_COMPLETED))
		{
			step_row_write(store, steps, step);
			n++;
		}
	}
	if (stent_steps_warning > 0 && steps->n >= stent_steps_warning &&
		steps->n - n < stent_steps_warning)
		ereport(WARNING,
				(errmsg("task " INT64_FORMAT " has %d steps", steps->task->id, steps->n),
				 errdetail("Each time it goes on, all of them are read and passed again, so the "
						   "time this takes grows with their square."),
				 errhint("Begin anew with stent.continue_as_new(), or give parts to children; "
						 "stent.steps_warning sets when this is said.")));
}

/* The step waits for a task that tells nobody but its own parent. */
static void
note_stranger(Steps *steps, Step *step, int64 id)
{
	MemoryContext old = MemoryContextSwitchTo(steps->cxt);

	step->detail = DatumGetJsonbP(DirectFunctionCall1(
		jsonb_in, CStringGetDatum(psprintf("{\"strangers\": [" INT64_FORMAT "]}", id))));
	MemoryContextSwitchTo(old);
}

/*
 * A suspended task: write its steps and let it wait for the blocking one, which is
 * written as the last. Where that is done already, the handler may run again at once.
 */
SettleEnd
settle_suspended(Store *store, Steps *steps)
{
	Task *task = steps->task;
	Step *blocking = steps->blocking;
	bool made = blocking->make != NULL;
	bool leased = task->leased;

	STENT_FAULT("settle_begin");
	make_children(store, steps);
	if (made && blocking->child_id != NO_ID)
	{
		Ending ending;
		bool above;

		CommandCounterIncrement();
		PushActiveSnapshot(GetLatestSnapshot());
		ending_read(store, blocking->child_id, &ending);
		above =
			ending.parent_id != task->id && step_is_above(store, task, blocking->child_id, &ending);
		PopActiveSnapshot();
		if (above)
			step_failed(blocking, step_error_above(task, blocking->child_id));
		else if (ending.parent_id != task->id)
			note_stranger(steps, blocking, blocking->child_id);
		/* another task has done, or does, the same */
		if (above || task_is_terminal(ending.state))
			return SETTLE_GO_ON;
	}
	if (blocking->position != steps->next_position - 1)
	{
		blocking->position = steps->next_position++;
		blocking->dirty = true;
	}
	write_rows(store, steps, false);
	STENT_FAULT("settle_written");
	task->due_at = blocking->wake_at == NO_TIME ? DT_NOEND : blocking->wake_at;
	task_move(store, task, TASK_WAITING);
	waiting_begin(store, task, blocking);
	/* nudges that were left because of this transaction: else who held it looks again itself */
	if (leased)
		announce_nudge(
			lane_role(lane_get(store, task->lane_id)),
			ready_bucket(lane_get(store, task->lane_id)->role, task->priority, task->lane_id));
	steps->waited = true;
	STENT_FAULT("settle_end");
	return SETTLE_WAITS;
}

/* A worker's task that need not wait: its children and steps. */
void
settle_go_on(Store *store, Steps *steps)
{
	make_children(store, steps);
	write_rows(store, steps, false);
}

/* A task that is given back in the middle of its local steps: those stay done. */
void
settle_given_back(Store *store, Steps *steps)
{
	write_rows(store, steps, false);
}

/* The handler has come to its end. */
void
settle_success(Store *store, Steps *steps)
{
	bool only_spawned = !steps->waited;

	for (int i = 0; only_spawned && i < steps->n; i++)
		only_spawned = steps->steps[i]->kind == STEP_SPAWN;
	make_children(store, steps);
	/* children without more are seen as such */
	if (!only_spawned)
		write_rows(store, steps, false);
}

/* The attempt has failed: what has succeeded need not be done again. */
void
settle_failure(Store *store, Steps *steps)
{
	write_rows(store, steps, true);
}

/*
 * A signal that was taken stays taken: of each name the step that took the newest is written
 * again, with a number by which no handler finds it.
 */
static void
keep_signals(Store *store, Steps *steps)
{
	int64 *numbers = palloc_array(int64, steps->n);
	int position = 0;

	for (int i = 0; i < steps->n; i++)
		numbers[i] = step_signal_number(steps->steps[i]);
	for (int i = 0; i < steps->n; i++)
	{
		Step *step = steps->steps[i];
		bool newest = numbers[i] > 0;

		/* in a later attempt an earlier step may have taken a newer one */
		for (int j = 0; j < steps->n && newest; j++)
			newest = numbers[j] <= numbers[i] || steps->steps[j]->digest != step->digest;
		if (!newest)
			continue;
		step->stored = false;
		step->name = NULL;
		step->position = step->number = --position;
		step->result = NULL;
		step->result_ref = NO_ID;
		step_row_write(store, steps, step);
	}
}

/*
 * After a success: whether the task begins anew, with other arguments. Its children go
 * on; its steps and failed attempts are forgotten.
 */
bool
settle_continued(Store *store, Steps *steps)
{
	if (!steps->continued)
		return false;
	make_children(store, steps);
	if (!steps->loaded)
	{
		CommandCounterIncrement();
		PushActiveSnapshot(GetLatestSnapshot());
		steps_load(steps, store);
		PopActiveSnapshot();
	}
	if (steps->n > 0)
	{
		step_rows_delete(store, steps->task->id);
		keep_signals(store, steps);
	}
	return true;
}
