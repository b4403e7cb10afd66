/*
 * complete.c
 *	  The ends of an attempt: success, failure, deadline, giving back, crash; and cancellation.
 *
 * All of them run in the transaction that took the task, outside the handler's
 * subtransaction, so they share its commit and use its top transaction id.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

#include "archive.h"
#include "clock.h"
#include "complete.h"
#include "errors.h"
#include "fault.h"
#include "guc.h"
#include "intern.h"
#include "json.h"
#include "retry.h"
#include "tally.h"

/* Forget what failed before. */
static void
forget_attempts(Store *store, const Task *task)
{
	StoreRel *table = store_table(store, STORE_ATTEMPT);
	ScanKeyData keys[2];

	if (task->attempt == 0)
		return;
	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(task->id));
	ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_INT2EQ, Int16GetDatum(task->replays));
	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	while (store_find(table, GetActiveSnapshot(), keys, 2))
	{
		store_delete_found(table);
		ExecClearTuple(table->out);
		PopActiveSnapshot();
		CommandCounterIncrement();
		PushActiveSnapshot(GetLatestSnapshot());
	}
	ExecClearTuple(table->out);
	PopActiveSnapshot();
}

/* The handler returned: archive the task with its result. */
void
complete_success(Store *store, Task *task, Jsonb *result)
{
	task->attempt++;
	task->finished_at = clock_now();
	task->result = result;
	task_move(store, task, TASK_COMPLETED);
}

/* The handler wants to begin anew, with other arguments: as a task that never ran. */
void
complete_continued(Store *store, Task *task, Jsonb *args)
{
	if (task->args_ref != NO_ID)
		payload_delete(store, task->args_ref);
	task->args = args;
	payload_place(store, &task->args, &task->args_ref);
	forget_attempts(store, task);
	task->attempt = task->lost = task->crashed = 0;
	task->due_at = clock_now();
	task->changed = true;
	if (task->concurrency_key == NULL)
		task->position = store_next_id();
	task_move(store, task, TASK_READY);
}

static void
remember_attempt(Store *store, const Task *task, Timestamp finished_at, Jsonb *error)
{
	Datum values[6];
	bool nulls[6] = {0};

	values[0] = Int64GetDatum(task->id);
	values[1] = Int16GetDatum(task->replays);
	values[2] = Int16GetDatum(task->attempt);
	values[3] = TimestampGetDatum(task->started_at);
	nulls[3] = task->started_at == NO_TIME;
	values[4] = TimestampGetDatum(finished_at);
	values[5] = JsonbPGetDatum(error);
	store_insert(store, store_table(store, STORE_ATTEMPT), values, nulls);
}

/*
 * The attempt failed: retry by the policy stored with the task, or, when its
 * attempts are spent, or the error is not to be retried, keep it as a dead letter.
 */
static void
end_attempt(Store *store, Task *task, const RetryPolicy *policy, Jsonb *json, bool retryable)
{
	Timestamp now = clock_now();

	task->attempt++;
	remember_attempt(store, task, now, json);
	STENT_FAULT("fail_after_attempt");
	if (retryable && task->attempt < policy->max_attempts)
	{
		task->due_at = now + retry_delay_us(policy, task->attempt);
		tally_note(task->lane_id, TALLY_RETRIED,
				   task->started_at == NO_TIME ? 0 : now - task->started_at);
		task_move(store, task, TASK_SCHEDULED);
		return;
	}
	task->finished_at = now;
	task->error = json;
	task_move(store, task, TASK_FAILED);
}

/* The handler raised an error; final: it is not to be retried whatever the policy says. */
void
complete_failure(Store *store, Task *task, ErrorData *error, bool final)
{
	const RetryPolicy *policy = policy_get(store, task->policy_id);
	bool retryable = !final && retry_allowed(policy, unpack_sql_state(error->sqlerrcode));

	end_attempt(store, task, policy, json_error(error, retryable), retryable);
}

/* A worker says that its handler failed, with this error. */
void
complete_failure_given(Store *store, Task *task, const char *code, Jsonb *error, bool final)
{
	const RetryPolicy *policy = policy_get(store, task->policy_id);
	bool retryable = !final && retry_allowed(policy, code);

	end_attempt(store, task, policy, json_error_given(error, code, retryable), retryable);
}

/*
 * The worker that had the task is lost. That spends no attempt: the task goes back to its
 * place, unless that has happened too often; then it is a dead letter.
 */
void
complete_lost(Store *store, Task *task)
{
	task->lost++;
	if (task->lost < stent_max_lost)
	{
		task->changed = true;
		task_move(store, task, TASK_READY);
		return;
	}
	task->attempt++; /* the one that was lost last */
	task->finished_at = clock_now();
	task->error = json_error_parts(
		unpack_sql_state(STENT_ERR_WORKER_LOST),
		task->lost == 1 ? "the task lost its worker once"
						: psprintf("the task lost its worker %d times", task->lost),
		NULL,
		"Its lease expired each time: the worker died, hung, or did not heartbeat. When the cause "
		"is gone, stent.replay() runs the task again.",
		NULL, false);
	remember_attempt(store, task, task->finished_at, task->error);
	task_move(store, task, TASK_FAILED);
}

/*
 * The execution outlived its max_duration. The root times out; a child is cancelled,
 * for nobody gave it a time.
 */
void
complete_past_deadline(Store *store, Task *task)
{
	task->finished_at = clock_now();
	task->error = json_error_parts(
		unpack_sql_state(task->parent_id == NO_ID ? STENT_ERR_TIMED_OUT : STENT_ERR_CANCELLED),
		"execution exceeded its max_duration", NULL, NULL, NULL, false);
	if (task->started_at != NO_TIME || task->leased)
	{
		/* an attempt was under way */
		task->attempt++;
		remember_attempt(store, task, task->finished_at, task->error);
	}
	task_move(store, task, task->parent_id == NO_ID ? TASK_TIMED_OUT : TASK_CANCELLED);
}

/* Somebody does not want it any more. No attempt is under way, so none is counted. */
void
complete_cancelled(Store *store, Task *task, const char *message)
{
	task->finished_at = clock_now();
	task->error =
		json_error_parts(unpack_sql_state(STENT_ERR_CANCELLED), message, NULL, NULL, NULL, false);
	task_move(store, task, TASK_CANCELLED);
}

/* Undo the claim; the attempt is not counted. */
void
complete_give_back(Store *store, Task *task)
{
	task_move(store, task, TASK_READY);
}

/*
 * The task crashed the server when it ran. That spends no attempt: the task goes
 * back to its place, unless it has done so too often; then it is a dead letter.
 * Returns whether it goes on.
 */
bool
complete_crash(Store *store, Task *task)
{
	task->crashed++;
	if (task->crashed < stent_max_crashes)
	{
		task->changed = true;
		task_move(store, task, TASK_READY);
		return true;
	}
	task->attempt++; /* the one that crashed last */
	task->finished_at = clock_now();
	task->error = json_error_parts(
		unpack_sql_state(STENT_ERR_CRASHED),
		task->crashed == 1 ? "the task crashed the server once"
						   : psprintf("the task crashed the server %d times", task->crashed),
		NULL,
		"The server's log says what happened before each restart. When the cause is gone, "
		"stent.replay() runs the task again.",
		NULL, false);
	remember_attempt(store, task, task->finished_at, task->error);
	task_move(store, task, TASK_FAILED);
	return false;
}
