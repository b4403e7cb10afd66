/*
 * careful.c
 *	  Careful mode: counting crashes against the tasks that were running.
 *
 * A process that dies leaves a note of its task in stent.state (state_file.c).
 * Before any executor runs, the scheduler of the database charges each of those
 * tasks with a crash, in a transaction of its own: from then on the next crash finds
 * the count already there, so a task that crashes the server does not do so
 * for ever. Only the process that died leaves a note; bystanders erase theirs.
 *
 * A task that was charged runs alone, one such task in the server at a time: its ready
 * entry carries no hint (task_state.c), so that whoever sees it looks at the row first.
 *
 * A note is removed after the commit. A crash between the two counts twice; a note
 * is never lost.
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "board.h"
#include "careful.h"
#include "compat.h"
#include "complete.h"
#include "fault.h"
#include "intern.h"
#include "ready.h"
#include "shmem.h"
#include "slots.h"
#include "state_file.h"
#include "task.h"

/* Notes that this transaction has dealt with. */
static StateNote *settled;
static int n_settled;

/* Charge the task of a note; false if it must be looked at again another time. */
static bool
account(Store *store, const StateNote *note, int *counted)
{
	Task *task = task_find_live(store, note->task_id);

	if (task == NULL || task->replays != note->replays || task->attempt != note->attempt)
		return true; /* ended, or ran again since */
	if (task->state != TASK_READY || !ready_take(store,
												 ready_bucket(lane_get(store, task->lane_id)->role,
															  task->priority, task->lane_id),
												 task_position(task)))
		return false;
	task_move(store, task, TASK_RUNNING);
	STENT_FAULT("careful_after_take");
	if (complete_crash(store, task))
		ereport(LOG,
				(errmsg("task " INT64_FORMAT " was running in a process that crashed", task->id),
				 errdetail("Crashes counted so far: %d.", task->crashed)));
	else
		ereport(LOG,
				(errmsg("task " INT64_FORMAT " is a dead letter: it crashed the server", task->id),
				 errdetail("stent.max_crashes is reached.")));
	(*counted)++;
	return true;
}

/*
 * Charge the tasks of this database that crashed the server; returns how many. To
 * be called by the database's scheduler in an open transaction, before any of its
 * executors run, and followed by careful_settle() once that has committed.
 */
int
careful_account(void)
{
	StateNote *notes = palloc_array(StateNote, STATE_FILE_MAX_PENDING);
	int n = state_file_pending(MyDatabaseId, notes, STATE_FILE_MAX_PENDING);
	MemoryContext cxt;
	Store *store;
	int counted = 0;

	n_settled = 0;
	if (n == 0)
		return 0;
	if (settled == NULL)
		settled = MemoryContextAlloc(TopMemoryContext, STATE_FILE_MAX_PENDING * sizeof(StateNote));
	store = store_open("careful mode");
	cxt = AllocSetContextCreate(CurrentMemoryContext, "stent careful", ALLOCSET_DEFAULT_SIZES);
	for (int i = 0; i < n; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(cxt);

		CHECK_FOR_INTERRUPTS();
		CommandCounterIncrement();
		PushActiveSnapshot(GetTransactionSnapshot());
		if (account(store, &notes[i], &counted))
			settled[n_settled++] = notes[i];
		PopActiveSnapshot();
		MemoryContextSwitchTo(old);
		MemoryContextReset(cxt);
	}
	store_close(store);
	MemoryContextDelete(cxt);
	return counted;
}

/* Remove the notes that careful_account() dealt with; its transaction has committed. */
void
careful_settle(void)
{
	for (int i = 0; i < n_settled; i++)
		state_file_settle(&settled[i]);
	n_settled = 0;
}

/* One task that has crashed a server runs at a time; false: not now. */
bool
careful_enter(void)
{
	bool mine;

	if (stent_shared == NULL)
		return true;
	LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
	mine = stent_shared->careful == -1 || stent_shared->careful == MyProcIndex;
	if (mine)
		stent_shared->careful = MyProcIndex;
	else
		stent_shared->careful_wanted = true;
	LWLockRelease(stent_shared->lock);
	return mine;
}

/* Its transaction has ended, or it was not taken: the next may run. */
void
careful_leave(void)
{
	HASH_SEQ_STATUS status;
	BoardRole *role;

	if (stent_shared == NULL || stent_shared->careful != MyProcIndex)
		return;
	LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
	stent_shared->careful = -1;
	if (stent_shared->careful_wanted)
	{
		/* somebody passed over such a task; which role's is not known */
		stent_shared->careful_wanted = false;
		board_scan_begin(&status);
		while ((role = hash_seq_search(&status)) != NULL)
		{
			DatabaseSlot *database = shmem_database(role->key.database, false);

			role->changes++;
			if (database != NULL && role->first != NULL)
				shmem_set_latch(slots_notice(database, role));
		}
	}
	LWLockRelease(stent_shared->lock);
}

#ifdef STENT_FAULTS

/* What a scheduler does, for tests. */
PG_FUNCTION_INFO_V1(stent_fault_careful_account);
Datum
stent_fault_careful_account(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(careful_account());
}

PG_FUNCTION_INFO_V1(stent_fault_careful_settle);
Datum
stent_fault_careful_settle(PG_FUNCTION_ARGS)
{
	careful_settle();
	PG_RETURN_VOID();
}

#endif
