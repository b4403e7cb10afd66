/*
 * cancel.c
 *	  cancel(): a task that shall not run any more, whether it waits or runs, and all
 *	  that lies below it.
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
 * Then the live tasks below it, page by page, all in one transaction: those that
 * nobody holds are taken without ado, the others in the same way as the first. The
 * execution is published as well, else claimers would keep ahead of us.
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
#include "announce.h"
#include "attempt.h"
#include "child.h"
#include "compat.h"
#include "complete.h"
#include "fault.h"
#include "intern.h"
#include "line.h"
#include "outcome.h"
#include "shmem.h"
#include "slots.h"
#include "task.h"

/* how long to wait, first and at most, for a claimer to reach its handler */
#define CLAIMER_MS 1
#define CLAIMER_MAX_MS 20

/* Children that are looked at together. */
#define CHILD_PAGE 500

typedef struct Cancel
{
	Store *store;
	int64 top; /* the task that was named, */
	int64 execution_id;
	int64 id;         /* the one being decided, */
	Oid role;         /* and whose it is */
	const char *what; /* for the errors of the top and */
	const char *what_below;
	bool published;
	bool tree_published;
	bool taken;
	bool any; /* some task was cancelled */
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

/* Have claimers pass over all tasks of the execution. */
static void
publish_tree(Cancel *cancel)
{
	StentProc *proc = shmem_my_proc();

	if (proc == NULL || cancel->tree_published)
		return;
	cancel->tree_published = true;
	pg_atomic_write_u64(&proc->cancels_tree, (uint64) cancel->execution_id);
	pg_atomic_fetch_add_u32(&stent_shared->cancelling_trees, 1);
}

/* Undo all that was published: some of what was passed over may be claimed after all. */
static void
withdraw_all(int code, Datum arg)
{
	Cancel *cancel = (Cancel *) DatumGetPointer(arg);

	withdraw(code, arg);
	if (!cancel->tree_published)
		return;
	cancel->tree_published = false;
	pg_atomic_write_u64(&shmem_my_proc()->cancels_tree, NO_ID);
	pg_atomic_fetch_sub_u32(&stent_shared->cancelling_trees, 1);
	announce_look_again();
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

/* Cancel a task unless it has finished, whoever holds it. */
static void
decide(Cancel *cancel, int64 id)
{
	bool top = id == cancel->top;

	cancel->id = id;
	cancel->taken = false;
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
		task = task_find_live(cancel->store, id);
		lane = task == NULL ? NULL : lane_get(cancel->store, task->lane_id);
		/* what lies below a task belongs to it, whoever dispatched that */
		known = lane != NULL && (!top || caller_may_act_for(lane->role));
		if (known)
		{
			cancel->execution_id = task->execution_id;
			publish(cancel, lane_role(lane));
			cancel->taken = task_try_end(cancel->store, task, &holder) == TM_Ok;
			if (cancel->taken)
			{
				STENT_FAULT("cancel_after_take");
				complete_cancelled(cancel->store, task, top ? cancel->what : cancel->what_below);
			}
		}
		else if (top && (cancel->execution_id = outcome_execution(id)) == NO_ID)
			unknown_task(id);
		PopActiveSnapshot();
		if (cancel->taken || !known)
			break;
		if (TransactionIdIsValid(holder))
		{
			interrupt(id, holder);
			XactLockTableWait(holder, NULL, NULL, XLTW_None);
		}
	}
	cancel->any |= cancel->taken;
	withdraw(0, PointerGetDatum(cancel));
}

/* Cancel a task below the top: at once if nobody holds it. False if it had finished. */
static bool
decide_below(Cancel *cancel, int64 id)
{
	TransactionId holder;
	Task *task;
	bool taken;

	/* its own, for what was cancelled before may have moved this one */
	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	task = task_find_live(cancel->store, id);
	taken = task != NULL && task_try_end(cancel->store, task, &holder) == TM_Ok;
	if (taken)
	{
		STENT_FAULT("cancel_child_after_take");
		complete_cancelled(cancel->store, task, cancel->what_below);
		cancel->any = true;
	}
	PopActiveSnapshot();
	if (task != NULL && !taken)
		decide(cancel, id);
	return task != NULL;
}

/* Cancel the live children of one task; false if there were none. */
static bool
cancel_children(Cancel *cancel, int64 parent_id, MemoryContext cxt)
{
	int64 *ids = palloc_array(int64, CHILD_PAGE);
	int64 after = NO_ID;
	bool any = false;
	int n;

	do
	{
		CommandCounterIncrement();
		PushActiveSnapshot(GetLatestSnapshot());
		n = child_page(cancel->store, cancel->execution_id, parent_id, after, ids, CHILD_PAGE);
		PopActiveSnapshot();
		for (int i = 0; i < n; i++)
		{
			MemoryContext old = MemoryContextSwitchTo(cxt);

			CHECK_FOR_INTERRUPTS();
			any |= decide_below(cancel, ids[i]);
			MemoryContextSwitchTo(old);
			MemoryContextReset(cxt);
			after = ids[i];
		}
	} while (n > 0);
	pfree(ids);
	return any;
}

/*
 * Cancel what lives below the top. Whoever runs a task that may spawn holds it, and is
 * waited for; what it has left behind is found by looking again, until nothing is.
 */
static void
cancel_below(Cancel *cancel)
{
	MemoryContext cxt;
	Subtree subtree;
	bool any;

	/* a database that was not updated has no trees */
	if (!store_has_relation("child"))
		return;
	cxt = AllocSetContextCreate(CurrentMemoryContext, "stent cancel", ALLOCSET_DEFAULT_SIZES);
	subtree_begin(&subtree, cancel->execution_id, cancel->top);
	do
	{
		int64 parent_id = NO_ID;

		any = false;
		for (;;)
		{
			bool more;
			bool below;

			CommandCounterIncrement();
			PushActiveSnapshot(GetLatestSnapshot());
			more = child_next_parent(cancel->store, cancel->execution_id, &parent_id);
			below = more && subtree_has(&subtree, cancel->store, parent_id);
			PopActiveSnapshot();
			if (!more)
				break;
			if (!below)
				continue;
			publish_tree(cancel);
			any |= cancel_children(cancel, parent_id, cxt);
		}
	} while (any);
	subtree_end(&subtree);
	MemoryContextDelete(cxt);
}

/* A handler that cancelled its own task, or one above it, would wait for itself. */
static void
refuse_own(Store *store, int64 id)
{
	const Task *own = attempt_task();
	Subtree subtree;
	bool above = false;

	if (own == NULL)
		return;
	if (own->id == id)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("a handler cannot cancel its own task"),
						errhint("Raise an error that the task's retry policy does not retry.")));
	if (own->parent_id == NO_ID)
		return;
	if (own->execution_id == id)
		above = true;
	else
	{
		PushActiveSnapshot(GetLatestSnapshot());
		subtree_begin(&subtree, own->execution_id, id);
		above = subtree_has(&subtree, store, own->parent_id);
		subtree_end(&subtree);
		PopActiveSnapshot();
	}
	if (above)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("a handler cannot cancel a task above its own"),
						errdetail("Task " INT64_FORMAT " is cancelled with all below it.", id),
						errhint("Let the handler end, and have a task of another execution, or a "
								"session, cancel it.")));
}

PG_FUNCTION_INFO_V1(stent_cancel);
Datum
stent_cancel(PG_FUNCTION_ARGS)
{
	Cancel cancel = {.top = outcome_require_id(fcinfo)};
	const char *by = GetUserNameFromId(GetUserId(), false);

	cancel.what = psprintf("cancelled by %s", by);
	cancel.what_below = psprintf("cancelled with task " INT64_FORMAT " by %s", cancel.top, by);
	cancel.store = store_open("stent.cancel()");
	refuse_own(cancel.store, cancel.top);
	/* what it registers for the exit must be older than what we do */
	(void) shmem_my_proc();
	PG_ENSURE_ERROR_CLEANUP(withdraw_all, PointerGetDatum(&cancel));
	{
		decide(&cancel, cancel.top);
		cancel_below(&cancel);
	}
	PG_END_ENSURE_ERROR_CLEANUP(withdraw_all, PointerGetDatum(&cancel));
	withdraw_all(0, PointerGetDatum(&cancel));
	store_close(cancel.store);
	PG_RETURN_BOOL(cancel.any);
}
