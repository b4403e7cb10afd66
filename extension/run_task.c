/*
 * run_task.c
 *	  Running one task of a batch, and writing its end.
 *
 * An orchestrator's handler may run several times in one batch: again after each local
 * step, and after each call that was made on the spot. A call that is known to be quick and
 * that nothing limits is run right here, after the handler that wants it was left: the
 * task is then written once, when it has ended. A call that does not succeed so is written
 * as any other, and ends, waits or is retried as such.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "archive.h"
#include "attempt.h"
#include "child_make.h"
#include "clock.h"
#include "commit_guard.h"
#include "complete.h"
#include "fault.h"
#include "guc.h"
#include "intern.h"
#include "json.h"
#include "map.h"
#include "ready.h"
#include "registry.h"
#include "run_batch.h"
#include "settle.h"
#include "shmem.h"
#include "state_file.h"
#include "step.h"
#include "tally.h"

/* How long this session's attempts at a function took. */
typedef struct FunctionTime
{
	int32 function_id; /* hash key */
	double mean_us;
} FunctionTime;

static HTAB *times;

/* How long the batch has lasted. */
double
batch_elapsed_us(const Batch *batch)
{
	instr_time now;

	INSTR_TIME_SET_CURRENT(now);
	INSTR_TIME_SUBTRACT(now, batch->started);
	return INSTR_TIME_GET_DOUBLE(now) * 1000000.0;
}

/* What an attempt is expected to take; -1 if this session does not know yet. */
static double
expected_us(int32 function_id)
{
	FunctionTime *time;

	if (times == NULL)
		return -1;
	time = hash_search(times, &function_id, HASH_FIND, NULL);
	return time == NULL ? -1 : time->mean_us;
}

static void
learn_time(int32 function_id, double us)
{
	FunctionTime *time;
	bool found;

	if (times == NULL)
	{
		HASHCTL ctl = {
			.keysize = sizeof(int32), .entrysize = sizeof(FunctionTime), .hcxt = TopMemoryContext};

		times =
			hash_create("stent function times", 64, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	time = hash_search(times, &function_id, HASH_ENTER, &found);
	/* quick to believe in slowness, slow to forget it */
	time->mean_us = !found || us > time->mean_us ? us : time->mean_us * 0.9 + us * 0.1;
}

/* Whether a task may share its commit with others: it is known to be quick. */
bool
batch_may_share(const Batch *batch, int32 function_id)
{
	double expected = expected_us(function_id);

	return expected >= 0 && batch_elapsed_us(batch) + expected <= stent_batch_time * 1000.0;
}

int
batch_subxids(void)
{
	if (MyProc->subxidStatus.overflowed)
		return PGPROC_MAX_CACHED_SUBXIDS;
	return MyProc->subxidStatus.count;
}

/*
 * Whether another session waits for this transaction to end. Who waits for a
 * finished subtransaction has moved on to the top one.
 */
bool
batch_somebody_waits(void)
{
	LOCKTAG tag;
	TransactionId top = GetTopTransactionIdIfAny();

	if (!TransactionIdIsValid(top))
		return false;
	SET_LOCKTAG_TRANSACTION(tag, top);
	return LockHasWaiters(&tag, ExclusiveLock, false);
}

/* An error that says less of the task than of who else was at work. */
static bool
is_conflict(int code)
{
	return code == ERRCODE_T_R_DEADLOCK_DETECTED || code == ERRCODE_T_R_SERIALIZATION_FAILURE;
}

/* A local step is done, well or not; false: how it ended is how the attempt ended. */
static bool
act(Batch *batch, Task *task, Steps *steps, Attempt *attempt)
{
	Step *step = steps->blocking;

	steps->acting = true;
	steps->suspended = false;
	attempt_do(batch->store, task, attempt, step->act, step->arg);
	steps->acting = false;
	if (attempt->end == ATTEMPT_SUCCEEDED)
		step_done(step, attempt->result);
	else if (attempt->end == ATTEMPT_RESULT_TOO_LARGE ||
			 (attempt->end == ATTEMPT_FAILED && !is_conflict(attempt->error->sqlerrcode)))
		step_failed(step, json_error(attempt->error, false));
	else
		return false;
	step->act = NULL;
	STENT_FAULT("run_after_step");
	return true;
}

/* Whether what was done so far must be committed before the handler goes on. */
static bool
must_commit(Batch *batch)
{
	return batch_elapsed_us(batch) >= stent_batch_time * 1000.0 ||
		   batch_subxids() + 2 > PGPROC_MAX_CACHED_SUBXIDS || batch_somebody_waits();
}

/* The handler succeeded: the task has ended, or begins anew. */
static void
succeed(Store *store, Task *task, Steps *steps, Jsonb *result)
{
	if (!steps->continued)
	{
		settle_success(store, steps);
		complete_success(store, task, result);
		return;
	}
	settle_continued(store, steps);
	complete_continued(store, task, steps->new_args);
}

/* Undo the claim. What its steps have done stays done. */
static void
give_back(Batch *batch, Task *task, Steps *steps)
{
	settle_given_back(batch->store, steps);
	complete_give_back(batch->store, task);
}

/* Write how an attempt ended; false if the task was given back. */
static bool
end_attempt(Batch *batch, Task *task, Steps *steps, Attempt *attempt)
{
	Store *store = batch->store;

	switch (attempt->end)
	{
		case ATTEMPT_SUCCEEDED:
			succeed(store, task, steps, attempt->result);
			break;
		case ATTEMPT_SUSPENDED:
			if (steps->blocking != NULL && steps->blocking->state == STEP_WAITING &&
				steps->blocking->act == NULL && settle_suspended(store, steps) == SETTLE_WAITS)
				break;
			/* it need not wait, but has to commit */
			give_back(batch, task, steps);
			batch->must_end = true;
			break;
		case ATTEMPT_PAST_DEADLINE:
			complete_past_deadline(store, task);
			break;
		case ATTEMPT_FAILED:
			if (is_conflict(attempt->error->sqlerrcode) &&
				commit_guard_conflict(task->id, task->replays, task->attempt))
			{
				/* it takes two: again, by itself, uncharged */
				give_back(batch, task, steps);
				batch->given_back++;
				return false;
			}
			settle_failure(store, steps);
			complete_failure(store, task, attempt->error, attempt->final);
			break;
		case ATTEMPT_TIMED_OUT:
			settle_failure(store, steps);
			complete_failure(store, task, attempt->error, false);
			break;
		case ATTEMPT_RESULT_TOO_LARGE:
			settle_failure(store, steps);
			complete_failure(store, task, attempt->error, true);
			break;
		case ATTEMPT_CONFLICT:
		case ATTEMPT_INTERRUPTED:
			/* who cancels it decides, once this is committed */
			give_back(batch, task, steps);
			batch->given_back++;
			return false;
	}
	return true;
}

/* Whether a call that the handler was left for may be run on the spot. */
static bool
may_call_here(Batch *batch, const Task *parent, const Step *step)
{
	const NewChild *child = step->arg;
	const Function *function;
	int32 lane_id;

	/* what crashes the server, or fails the commit, is found out alone */
	if (parent->crashed > 0 || commit_guard_is_suspect(parent->id))
		return false;
	if (step->kind != STEP_CALL || step->make != child_make || child->remember ||
		child->task.due_at != NO_TIME || child->task.concurrency_key != NULL ||
		child->task.priority < parent->priority || strcmp(child->role, batch->claimer.role) != 0)
		return false;
	function = function_by_id(batch->store, child->task.function_id);
	if (function->handler_name == NULL || function->max_concurrent > 0 ||
		function->rate_limit > 0 || !batch_may_share(batch, function->id) || must_commit(batch))
		return false;
	lane_id = lane_intern(batch->store, child->role, function->id, child->queue, child->tags);
	return claim_may_serve(&batch->claimer,
						   ready_bucket(child->role, child->task.priority, lane_id));
}

/* The call has succeeded: write the task as one that has ended. */
static void
end_call(Batch *batch, Task *task, Step *step, Jsonb *result)
{
	Store *store = batch->store;

	task->attempt = 1;
	task->finished_at = clock_now();
	task->state = TASK_COMPLETED;
	step_done(step, result);
	task->result = result;
	payload_place(store, &task->args, &task->args_ref);
	payload_place(store, &task->result, &task->result_ref);
	archive_insert(store, task);
	tally_note(task->lane_id, TALLY_COMPLETED, task->finished_at - task->started_at);
	step->result_ref = task->result_ref;
	step->child_id = task->id;
	step->make = NULL;
	commit_guard_add(task->id, task->replays, 0);
	batch->done++;
	STENT_FAULT("run_after_call");
}

/*
 * The call did not succeed at once: write the task as others are, with its first attempt,
 * which has ended as it has.
 */
static void
write_call(Batch *batch, const Task *parent, Step *step, Steps *steps, Attempt *attempt)
{
	Store *store = batch->store;
	TransactionId holder;
	Task *task;

	step->child_id = step->make(store, parent, step->arg);
	step->make = NULL;
	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	task = task_find_live(store, step->child_id);
	if (task == NULL || task_try_take(store, task, &holder) != TM_Ok)
		elog(ERROR, "task " INT64_FORMAT " was taken before it was there", step->child_id);
	task->started_at = steps->task->started_at;
	steps->task = task;
	task_move(store, task, TASK_RUNNING);
	(void) end_attempt(batch, task, steps, attempt);
	PopActiveSnapshot();
}

/* Run the call that the handler was left for; false if that has not ended well. */
static bool
call_here(Batch *batch, Task *parent, Steps *steps)
{
	Step *step = steps->blocking;
	const NewChild *child = step->arg;
	Task task = child->task;
	double begin = batch_elapsed_us(batch);
	Steps its_steps;
	Attempt attempt;

	settle_children(batch->store, steps);
	task.lane_id =
		lane_intern(batch->store, child->role, task.function_id, child->queue, child->tags);
	if (child->policy != NULL)
		task.policy_id = policy_intern(batch->store, child->policy);
	task.on_behalf = parent;
	task.state = TASK_RUNNING;
	task.started_at = clock_now();
	/* what the parent has spawned is no work of this handler */
	CommandCounterIncrement();
	steps_begin(&its_steps, batch->store, &task);
	attempt_run(batch->store, &task, &attempt);
	steps_resume(steps);
	learn_time(task.function_id, batch_elapsed_us(batch) - begin);
	if (attempt.used_temp)
		batch->must_end = true;
	if (attempt.end == ATTEMPT_SUCCEEDED && its_steps.n == 0 && !its_steps.continued)
	{
		end_call(batch, &task, step, attempt.result);
		return true;
	}
	if (attempt.end != ATTEMPT_SUCCEEDED && attempt.end != ATTEMPT_SUSPENDED)
		batch->must_end = true;
	write_call(batch, parent, step, &its_steps, &attempt);
	return false;
}

/*
 * Run the handler, and again after each local step, and each call that was run on the spot.
 * Where that takes long, what is done so far is committed: then the attempt has ended as
 * suspended, and waits for nothing.
 */
static void
run_handler(Batch *batch, Task *task, Steps *steps, Attempt *attempt)
{
	MemoryContext old = CurrentMemoryContext;
	MemoryContext cxt = NULL; /* of a run after the first */

	for (;;)
	{
		Step *step;

		attempt_run(batch->store, task, attempt);
		step = steps->blocking;
		if (attempt->used_temp)
			batch->must_end = true;
		if (attempt->end != ATTEMPT_SUSPENDED)
			break;
		if (step->act != NULL)
		{
			settle_children(batch->store, steps);
			if (!act(batch, task, steps, attempt))
				break;
		}
		else if (!may_call_here(batch, task, step) || !call_here(batch, task, steps))
		{
			/* it waits, unless another task has done the same already */
			MemoryContextSwitchTo(old);
			if (settle_suspended(batch->store, steps) == SETTLE_WAITS)
				break;
			/* also where it has to commit first, there is nothing to wait for */
			steps->blocking = NULL;
		}
		attempt->end = ATTEMPT_SUSPENDED;
		if (must_commit(batch))
			break;
		CommandCounterIncrement();
		steps_rerun(steps);
		if (cxt == NULL)
			cxt = AllocSetContextCreate(old, "stent run", ALLOCSET_DEFAULT_SIZES);
		MemoryContextReset(cxt);
		MemoryContextSwitchTo(cxt);
	}
	MemoryContextSwitchTo(old);
}

/* The attempt at a chunk of a map is over: write its end; false if it was given back. */
static bool
end_chunk(Batch *batch, Task *task, Attempt *attempt)
{
	switch (attempt->end)
	{
		case ATTEMPT_PAST_DEADLINE:
			complete_past_deadline(batch->store, task);
			return true;
		case ATTEMPT_CONFLICT:
		case ATTEMPT_INTERRUPTED:
			complete_give_back(batch->store, task);
			batch->given_back++;
			return false;
		default:
			if (!chunk_settle(batch->store, task, attempt))
				batch->must_end = true;
			return true;
	}
}

/* Run a task that was just taken, and write its end; false if it was given back. */
bool
batch_run_task(Batch *batch, Task *task)
{
	Store *store = batch->store;
	int subxids = batch_subxids();
	double begin;
	Attempt attempt;
	Steps steps;
	ErrorData *charge;

	task_move(store, task, TASK_RUNNING);
	if (task->deadline != NO_TIME && clock_now() >= task->deadline)
	{
		complete_past_deadline(store, task);
		return true;
	}
	charge = commit_guard_charge(task->id, task->replays, task->attempt);
	if (charge != NULL)
	{
		if (task->chunk >= 0)
			(void) chunk_settle(store, task, &(Attempt){.end = ATTEMPT_FAILED, .error = charge});
		else
			complete_failure(store, task, charge, false);
		batch->must_end = true;
		return true;
	}

	limit_use(&batch->hold);
	task->started_at = clock_now();
	begin = batch_elapsed_us(batch);
	if (stent_shared != NULL)
		state_file_note(MyProcIndex, MyDatabaseId, task->id, task->replays, task->attempt);
	STENT_FAULT("run_before_handler");
	if (task->chunk >= 0)
		chunk_run(store, task, &attempt);
	else
	{
		steps_begin(&steps, store, task);
		run_handler(batch, task, &steps, &attempt);
		steps_end();
	}
	STENT_FAULT("run_after_handler");
	learn_time(task->function_id, batch_elapsed_us(batch) - begin);
	batch->most_subxids = Max(batch->most_subxids, batch_subxids() - subxids);
	if (attempt.used_temp || (attempt.end != ATTEMPT_SUCCEEDED && attempt.end != ATTEMPT_SUSPENDED))
		batch->must_end = true;
	if (task->chunk >= 0)
		return end_chunk(batch, task, &attempt);
	/* one that waits is written */
	return task->state == TASK_WAITING || end_attempt(batch, task, &steps, &attempt);
}
