/*
 * cancel.c
 *	  cancel(): a task that shall not run any more, whether it waits or runs.
 *
 * The entry decides: who deletes it owns the task, and a cancellation is one more
 * taker of it. What is special is an entry that somebody else holds:
 *
 *	- The id is published before the entry is tried, and claimers pass over it from
 *	  then on. A claimer publishes what it is about to take before it looks whether
 *	  that is to be cancelled, so a claimer that comes first is seen here, and after
 *	  the moment it needs, its handler is interrupted. It gives the task back
 *	  uncharged and commits.
 *	- Then the transaction that holds the entry is waited for like a row lock, which
 *	  makes its batch end and lets the deadlock detector see it, and everything is
 *	  looked at again. A task that finished meanwhile stays finished.
 *
 * Without preload there is no interruption, only the waiting.
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/procarray.h"
#include "utils/snapmgr.h"

#include "access.h"
#include "attempt.h"
#include "compat.h"
#include "complete.h"
#include "due.h"
#include "fault.h"
#include "intern.h"
#include "outcome.h"
#include "ready.h"
#include "shmem.h"
#include "slots.h"
#include "task.h"

/* how long to wait, first and at most, for a claimer to reach its handler */
#define CLAIMER_MS 1
#define CLAIMER_MAX_MS 20

typedef struct Cancel
{
	int64 id;
	Oid role; /* whose task it is */
	bool published;
	bool taken;
} Cancel;

/* Have claimers pass over the task. */
static void
publish(Cancel *cancel, Oid role)
{
	StentProc *proc = shmem_my_proc();

	if (proc == NULL || cancel->published)
		return;
	cancel->role = role;
	cancel->published = true;
	pg_atomic_write_u64(&proc->cancels, (uint64) cancel->id);
	/* also the barrier between publishing and looking for claimers */
	pg_atomic_fetch_add_u32(&stent_shared->cancelling, 1);
}

/*
 * It is decided, or given up. A task that was taken is nobody's until this transaction
 * ends, and should it abort, that is announced; what was not taken is told here to
 * those who passed over it.
 */
static void
withdraw(int code, Datum arg)
{
	Cancel *cancel = (Cancel *) DatumGetPointer(arg);

	if (!cancel->published)
		return;
	cancel->published = false;
	pg_atomic_write_u64(&shmem_my_proc()->cancels, NO_ID);
	pg_atomic_fetch_sub_u32(&stent_shared->cancelling, 1);
	if (!cancel->taken)
		slots_look_again(cancel->role);
}

/* Take the task's entry; if another transaction holds it, that is the holder. */
static bool
take(Store *store, const Task *task, const char *role, TransactionId *holder)
{
	int64 bucket = ready_bucket(role, task->priority, task->lane_id);
	TM_Result result = TM_Invisible;

	if (task->state == TASK_READY)
		result = ready_try_take(store, bucket, task_position(task), holder);
	else if (task->state == TASK_SCHEDULED)
		result = due_try_take(store, bucket, task->due_at, task->id, DUE_READY, holder);
	if (result == TM_Invisible)
		elog(ERROR, "task " INT64_FORMAT " is %s and has no entry", task->id,
			 task_state_name(task->state));
	return result == TM_Ok;
}

/*
 * See to it that the task's handler does not keep us waiting: if it runs, interrupt
 * it; if somebody is about to run it, wait until it does.
 */
static void
interrupt(int64 id, TransactionId holder)
{
	static uint32 event = 0;
	long ms = CLAIMER_MS;

	if (event == 0)
		event = compat_wait_event("StentCancel");
	while (!shmem_interrupt(MyDatabaseId, id) && shmem_being_claimed(MyDatabaseId, id) &&
		   TransactionIdIsInProgress(holder))
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, ms, event);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		ms = Min(2 * ms, CLAIMER_MAX_MS);
	}
}

/* Cancel the task; false if it has finished already. */
static bool
decide(Store *store, Cancel *cancel)
{
	for (;;)
	{
		TransactionId holder = InvalidTransactionId;
		const Lane *lane;
		Task *task;
		bool known;

		CHECK_FOR_INTERRUPTS();
		CommandCounterIncrement();
		/* also where the transaction's own snapshot is old */
		PushActiveSnapshot(GetLatestSnapshot());
		task = task_find_live(store, cancel->id);
		lane = task == NULL ? NULL : lane_get(store, task->lane_id);
		known = lane != NULL && caller_may_act_for(lane->role);
		if (known)
		{
			publish(cancel, lane_role(lane));
			cancel->taken = take(store, task, lane->role, &holder);
			if (cancel->taken)
			{
				STENT_FAULT("cancel_after_take");
				complete_cancelled(store, task, GetUserNameFromId(GetUserId(), false));
			}
		}
		else if (!outcome_known(cancel->id))
			unknown_task(cancel->id);
		PopActiveSnapshot();
		if (cancel->taken || !known)
			return cancel->taken;
		if (TransactionIdIsValid(holder))
		{
			interrupt(cancel->id, holder);
			XactLockTableWait(holder, NULL, NULL, XLTW_None);
		}
	}
}

PG_FUNCTION_INFO_V1(stent_cancel);
Datum
stent_cancel(PG_FUNCTION_ARGS)
{
	Cancel cancel = {.id = outcome_require_id(fcinfo)};
	Store *store;

	if (attempt_task() != NULL && attempt_task()->id == cancel.id)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("a handler cannot cancel its own task"),
						errhint("Raise an error that the task's retry policy does not retry.")));
	store = store_open("stent.cancel()");
	/* what it registers for the exit must be older than what we do */
	(void) shmem_my_proc();
	PG_ENSURE_ERROR_CLEANUP(withdraw, PointerGetDatum(&cancel));
	{
		(void) decide(store, &cancel);
	}
	PG_END_ENSURE_ERROR_CLEANUP(withdraw, PointerGetDatum(&cancel));
	withdraw(0, PointerGetDatum(&cancel));
	store_close(store);
	PG_RETURN_BOOL(cancel.taken);
}
