/*
 * task_state.c
 *	  The states of a task: every legal move, and the one function that makes it.
 *
 * A state has a place: scheduled and waiting tasks have a due entry, ready tasks a ready
 * entry, blocked tasks a row in their line, finished tasks a row in the archive or the dead letters. The entry is
 * the task's lock; a caller has taken (deleted) it before it moves the task out
 * of that state. Entering a state writes its place. Nothing is written for
 * running: it lasts no longer than the transaction that took the entry, unless a
 * worker leases the task. Such a task has no entry and is stored as ready; whoever
 * ends the lease writes or deletes its row first (lease.c).
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_collation.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

#include "announce.h"
#include "archive.h"
#include "child.h"
#include "due.h"
#include "fault.h"
#include "intern.h"
#include "lease.h"
#include "line.h"
#include "ready.h"
#include "tally.h"
#include "task.h"
#include "waiting.h"

static const struct
{
	TaskState from;
	TaskState to;
	const char *by;
} moves[] = {
	{TASK_NEW, TASK_SCHEDULED, "dispatch with a delay"},
	{TASK_NEW, TASK_READY, "dispatch"},
	{TASK_NEW, TASK_BLOCKED, "dispatch behind others of its key"},
	{TASK_SCHEDULED, TASK_SCHEDULED, "dispatch that replaces, reschedule"},
	{TASK_SCHEDULED, TASK_READY, "promotion, dispatch that replaces, reschedule"},
	{TASK_SCHEDULED, TASK_BLOCKED, "the same, behind others of its key"},
	{TASK_SCHEDULED, TASK_TIMED_OUT, "deadline"},
	{TASK_READY, TASK_SCHEDULED, "dispatch that replaces, reschedule"},
	{TASK_BLOCKED, TASK_READY, "its turn"},
	{TASK_BLOCKED, TASK_BLOCKED, "dispatch that replaces, reschedule"},
	{TASK_BLOCKED, TASK_SCHEDULED, "dispatch that replaces, reschedule"},
	{TASK_BLOCKED, TASK_TIMED_OUT, "deadline"},
	{TASK_BLOCKED, TASK_CANCELLED, "cancel, deadline of a child"},
	{TASK_READY, TASK_READY, "dispatch that replaces"},
	{TASK_READY, TASK_RUNNING, "claim"},
	{TASK_READY, TASK_BLOCKED, "claim that finds an older one of its key"},
	{TASK_READY, TASK_TIMED_OUT, "deadline"},
	{TASK_RUNNING, TASK_COMPLETED, "success"},
	{TASK_RUNNING, TASK_FAILED, "final failure"},
	{TASK_RUNNING, TASK_TIMED_OUT, "deadline"},
	{TASK_RUNNING, TASK_SCHEDULED, "retry"},
	{TASK_RUNNING, TASK_READY, "giving back"},
	{TASK_SCHEDULED, TASK_CANCELLED, "cancel, deadline of a child"},
	{TASK_READY, TASK_CANCELLED, "cancel, deadline of a child"},
	{TASK_RUNNING, TASK_CANCELLED, "deadline of a child"},
	{TASK_RUNNING, TASK_WAITING, "suspension"},
	{TASK_WAITING, TASK_READY, "what it waits for has happened, or its wait ran out"},
	{TASK_WAITING, TASK_CANCELLED, "cancel, deadline of a child"},
	{TASK_WAITING, TASK_TIMED_OUT, "deadline"},
	{TASK_NEW, TASK_WAITING, "a map"},
	{TASK_NEW, TASK_COMPLETED, "dispatch of what an item of a map has done"},
	{TASK_NEW, TASK_FAILED, "an item of a map that failed with others"},
	{TASK_WAITING, TASK_COMPLETED, "the end of a map"},
	{TASK_WAITING, TASK_FAILED, "the same, where items failed"},
	{TASK_FAILED, TASK_WAITING, "replay of a map, or of the child it failed because of"},
	{TASK_FAILED, TASK_READY, "replay"},
	{TASK_FAILED, TASK_BLOCKED, "replay behind others of its key"},
};

static const struct
{
	TaskState state;
	const char *name;
} names[] = {
	{TASK_NEW, "new"},
	{TASK_SCHEDULED, "scheduled"},
	{TASK_BLOCKED, "blocked"},
	{TASK_READY, "ready"},
	{TASK_RUNNING, "running"},
	{TASK_WAITING, "waiting"},
	{TASK_COMPLETED, "completed"},
	{TASK_FAILED, "failed"},
	{TASK_TIMED_OUT, "timed_out"},
	{TASK_CANCELLED, "cancelled"},
};

const char *
task_state_name(TaskState state)
{
	for (int i = 0; i < (int) lengthof(names); i++)
		if (names[i].state == state)
			return names[i].name;
	return "unknown";
}

bool
task_is_terminal(TaskState state)
{
	return state == TASK_COMPLETED || state == TASK_FAILED || state == TASK_TIMED_OUT ||
		   state == TASK_CANCELLED;
}

static void
check_move(const Task *task, TaskState to)
{
	for (int i = 0; i < (int) lengthof(moves); i++)
		if (moves[i].from == task->state && moves[i].to == to)
			return;
	elog(ERROR, "task " INT64_FORMAT " cannot move from %s to %s", task->id,
		 task_state_name(task->state), task_state_name(to));
}

/*
 * The hint an entry carries. None for a task that has crashed a server, or lost a
 * worker: who sees such an entry reads the row before it takes it.
 */
static ItemPointer
entry_hint(Task *task)
{
	static ItemPointerData none = {{0, 0}, InvalidOffsetNumber};

	return task->crashed > 0 || task->lost > 0 ? &none : &task->tid;
}

static void
write_live(Store *store, Task *task, bool exists)
{
	Datum values[TASK_COLUMNS];
	bool nulls[TASK_COLUMNS];
	StoreRel *table = store_table(store, STORE_TASK);

	task_live_values(task, values, nulls);
	if (exists)
		task->tid = store_update(store, table, &task->tid, values, nulls);
	else
		task->tid = store_insert(store, table, values, nulls);
	task->changed = false;
}

static void
release_dedup_key(Store *store, const Task *task, const char *role)
{
	StoreRel *table = store_table(store, STORE_DEDUP);
	ScanKeyData keys[3];

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(task->function_id));
	ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_TEXTEQ, CStringGetTextDatum(task->dedup_key));
	ScanKeyInit(&keys[2], 3, BTEqualStrategyNumber, F_TEXTEQ, CStringGetTextDatum(role));
	keys[1].sk_collation = keys[2].sk_collation = DEFAULT_COLLATION_OID;
	if (!store_find(table, GetActiveSnapshot(), keys, 3))
		elog(ERROR, "dedup key of task " INT64_FORMAT " is missing", task->id);
	store_delete_found(table);
	ExecClearTuple(table->out);
}

/* Leave the live table: the row, and what only a live task has. */
static void
erase_live(Store *store, Task *task, TaskState from)
{
	ItemPointerData tid = task->tid;
	TM_Result result =
		task->row_taken ? TM_Ok : store_delete(store_table(store, STORE_TASK), &tid, true);

	if (result != TM_Ok)
		elog(ERROR, "task " INT64_FORMAT " changed under its owner (%d)", task->id, (int) result);
	if (task->deadline != NO_TIME)
		(void) due_take(
			store,
			ready_bucket(lane_get(store, task->lane_id)->role, task->priority, task->lane_id),
			task->deadline, task->id, DUE_DEADLINE);
	if (task->dedup_key != NULL)
		release_dedup_key(store, task, lane_get(store, task->lane_id)->role);
	if (task->parent_id != NO_ID)
		child_delete(store, task);
	if (task->leased)
		lease_over(store, task);
	if (task->concurrency_key != NULL)
		line_leave(store, task, from);
}

/* Count it. Only handlers that came to their own end tell how long they take. */
static void
tally(const Task *task)
{
	int64 run_us = task->started_at == NO_TIME ? 0 : task->finished_at - task->started_at;

	switch (task->state)
	{
		case TASK_COMPLETED:
			tally_note(task->lane_id, TALLY_COMPLETED, run_us);
			break;
		case TASK_FAILED:
			tally_note(task->lane_id, TALLY_FAILED, run_us);
			tally_dead_letter(task->lane_id, 1);
			break;
		case TASK_TIMED_OUT:
			tally_note(task->lane_id, TALLY_TIMED_OUT, 0);
			break;
		case TASK_CANCELLED:
			tally_note(task->lane_id, TALLY_CANCELLED, 0);
			break;
		default:
			elog(ERROR, "task " INT64_FORMAT " has not ended", task->id);
	}
}

static void
finish(Store *store, Task *task, TaskState from)
{
	if (from != TASK_NEW)
		erase_live(store, task, from);
	/* when its wait would have run out is no due time */
	if (from == TASK_WAITING)
		task->due_at = NO_TIME;
	tally(task);
	announce_finished(task->id, task->state != TASK_COMPLETED);
	waiting_tell(store, task, task->parent_bucket);
	STENT_FAULT("complete_after_delete");
	payload_place(store, &task->result, &task->result_ref);
	if (task->state == TASK_FAILED)
		dead_letter_insert(store, task);
	else
		archive_insert(store, task);
	STENT_FAULT("complete_after_archive");
}

/*
 * Move a task to another state and write its new place. What the move changes
 * beside the state (due_at, attempt, result ...) is already set in the task.
 */
void
task_move(Store *store, Task *task, TaskState to)
{
	TaskState from = task->state;
	int64 bucket;
	bool exists = from != TASK_NEW && !task_is_terminal(from);

	if (task->concurrency_key != NULL)
		to = line_destination(store, task, to);
	check_move(task, to);
	task->state = to;
	if (task->leased && from == TASK_RUNNING && !task_is_terminal(to))
	{
		lease_over(store, task);
		task->leased = false;
	}
	if (from == TASK_WAITING && to != TASK_READY)
		waiting_over(store, task, NULL);
	switch (to)
	{
		case TASK_READY:
			bucket =
				ready_bucket(lane_get(store, task->lane_id)->role, task->priority, task->lane_id);
			if (from == TASK_RUNNING)
			{
				/* given back: same age, the stored row never said otherwise */
				if (task->changed)
					write_live(store, task, exists);
				ready_insert(store, bucket, task_position(task), task->id, entry_hint(task),
							 line_of_task(task));
				break;
			}
			/* in a line it has, and keeps, its place */
			if (from != TASK_NEW && task->concurrency_key == NULL)
				task->position = store_next_id();
			write_live(store, task, exists);
			STENT_FAULT("ready_between");
			ready_insert(store, bucket, task_position(task), task->id, entry_hint(task),
						 line_of_task(task));
			break;
		case TASK_BLOCKED:
			write_live(store, task, exists);
			STENT_FAULT("blocked_after_task");
			announce_blocked(
				lane_role(lane_get(store, task->lane_id)),
				ready_bucket(lane_get(store, task->lane_id)->role, task->priority, task->lane_id));
			break;
		case TASK_SCHEDULED:
			bucket =
				ready_bucket(lane_get(store, task->lane_id)->role, task->priority, task->lane_id);
			write_live(store, task, exists);
			STENT_FAULT("scheduled_between");
			due_insert(store, task->due_at, task->id, DUE_READY, bucket);
			break;
		case TASK_WAITING:
			bucket =
				ready_bucket(lane_get(store, task->lane_id)->role, task->priority, task->lane_id);
			write_live(store, task, exists);
			STENT_FAULT("waiting_between");
			due_insert(store, task->due_at, task->id, DUE_WAIT, bucket);
			break;
		case TASK_RUNNING:
			break;
		case TASK_COMPLETED:
		case TASK_FAILED:
		case TASK_TIMED_OUT:
		case TASK_CANCELLED:
			finish(store, task, from);
			return;
		case TASK_NEW:
			elog(ERROR, "state %s has no place", task_state_name(to));
	}
	if (task->deadline != NO_TIME && (from == TASK_NEW || from == TASK_FAILED))
		due_insert(
			store, task->deadline, task->id, DUE_DEADLINE,
			ready_bucket(lane_get(store, task->lane_id)->role, task->priority, task->lane_id));
	if (task->parent_id != NO_ID && (from == TASK_NEW || from == TASK_FAILED))
		child_insert(store, task);
}

/*
 * Give a queued task whose entry the caller has taken another lane and priority. It
 * keeps its state, its age and its due time.
 */
void
task_change_lane(Store *store, Task *task, int32 lane_id, int priority)
{
	int64 bucket = ready_bucket(lane_get(store, lane_id)->role, priority, lane_id);

	task->lane_id = lane_id;
	task->priority = priority;
	if (task->state == TASK_BLOCKED)
	{
		/* back into its line, where it was; it may be its turn */
		task_move(store, task, TASK_READY);
		return;
	}
	write_live(store, task, true);
	STENT_FAULT("change_lane_between");
	switch (task->state)
	{
		case TASK_READY:
			ready_insert(store, bucket, task_position(task), task->id, entry_hint(task),
						 line_of_task(task));
			break;
		case TASK_SCHEDULED:
			due_insert(store, task->due_at, task->id, DUE_READY, bucket);
			break;
		case TASK_WAITING:
			due_insert(store, task->due_at, task->id, DUE_WAIT, bucket);
			break;
		default:
			elog(ERROR, "task " INT64_FORMAT " is %s and has no entry", task->id,
				 task_state_name(task->state));
	}
}

/*
 * Take a live task's entry without waiting. TM_BeingModified: a transaction that has
 * not ended took it, holder; TM_Deleted: one that has; TM_Invisible: a worker leases it.
 */
TM_Result
task_try_take(Store *store, const Task *task, TransactionId *holder)
{
	int64 bucket =
		ready_bucket(lane_get(store, task->lane_id)->role, task->priority, task->lane_id);
	TM_Result result = TM_Invisible;

	if (task->state == TASK_READY)
		return ready_try_take(store, bucket, task_position(task), holder);
	if (task->state == TASK_SCHEDULED)
		result = due_try_take(store, bucket, task->due_at, task->id, DUE_READY, holder);
	else if (task->state == TASK_WAITING)
		result = due_try_take(store, bucket, task->due_at, task->id, DUE_WAIT, holder);
	else if (task->state == TASK_BLOCKED)
		result = line_try_take(store, task, holder);
	if (result == TM_Invisible)
		elog(ERROR, "task " INT64_FORMAT " is %s and has no entry", task->id,
			 task_state_name(task->state));
	return result;
}

/*
 * Whether a transaction in progress has taken a ready task, or one that has ended since
 * the task was read. A worker that leases it has not: it holds no transaction.
 */
bool
task_is_taken(Store *store, const Task *task)
{
	StoreRel *ready = store_table(store, STORE_READY);
	StoreRel *live = store_table(store, STORE_TASK);
	ItemPointerData tid = task->tid;
	SnapshotData dirty;
	ScanKeyData keys[2];
	bool taken;

	if (task->state != TASK_READY)
		return false;
	InitDirtySnapshot(dirty);
	ScanKeyInit(&keys[0], READY_BUCKET, BTEqualStrategyNumber, F_INT8EQ,
				Int64GetDatum(ready_bucket(lane_get(store, task->lane_id)->role, task->priority,
										   task->lane_id)));
	ScanKeyInit(&keys[1], READY_POSITION, BTEqualStrategyNumber, F_INT8EQ,
				Int64GetDatum(task_position(task)));
	if (store_find(ready, &dirty, keys, 2))
		taken = TransactionIdIsValid(dirty.xmax);
	else
	{
		InitDirtySnapshot(dirty);
		taken = !table_tuple_fetch_row_version(live->rel, &tid, &dirty, live->out) ||
				TransactionIdIsValid(dirty.xmax);
		ExecClearTuple(live->out);
	}
	ExecClearTuple(ready->out);
	return taken;
}

/* The same to end it, also where a worker leases it; TM_Updated as TM_Deleted. */
TM_Result
task_try_end(Store *store, Task *task, TransactionId *holder)
{
	TM_Result result = task_try_take(store, task, holder);

	return result == TM_Invisible ? lease_try_end(store, task, holder) : result;
}
