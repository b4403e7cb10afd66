/*
 * waiting.c
 *	  Waiting tasks: who wakes them, and when.
 *
 * A waiting task has a due entry, which is its lock: at the time its wait runs out, or at
 * no time. It waits for its last step.
 *
 * A task that ends leaves a nudge for its parent: a due entry that is due at once. It
 * does not read the parent, so a hundred thousand siblings meet at no row. Whoever handles
 * nudges takes the parent's entry first, without waiting, and a snapshot afterwards, and
 * decides by that; if the entry is held, the nudge stays. A parent that does not wait looks
 * itself at what has happened, by a snapshot younger than its hold on the task; so a
 * nudge may be dropped, once it is committed, unless a transaction that holds the parent is
 * in progress, for that may have looked before and may yet commit a wait.
 *
 * Tasks and signals that are not the parent's know nothing of it. Such a wait has a row in
 * stent.waiter. The waiting task writes it, then looks, also at what is not committed; who
 * ends the task, or sends the signal, writes that, then looks for waiter rows, also at
 * what is not committed; a batch of tasks looks once, at its end. One of the two sees the
 * other. If it is the waiting one that sees a transaction in progress, it leaves a nudge
 * for itself, which stays until that transaction is over. test/model has both protocols.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/xact.h"
#include "storage/bufmgr.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

#include "announce.h"
#include "clock.h"
#include "compat.h"
#include "fault.h"
#include "intern.h"
#include "map.h"
#include "ready.h"
#include "signals.h"
#include "step_row.h"
#include "waiting.h"
#include "waiting_decide.h"

enum
{
	WAITER_WHAT = 1,
	WAITER_TASK_ID,
	WAITER_BUCKET,
	WAITER_COLUMNS = WAITER_BUCKET
};

/* whom this transaction has nudged; more than these it may nudge again */
#define NUDGED 256

typedef struct Nudged
{
	int64 task_id; /* NO_ID: nobody */
	bool failed;
} Nudged;

static Nudged nudged[NUDGED];
static bool any_nudged;

uint64 waiting_nudges;

/* Tasks that this batch has ended, whose strangers are to be told. */
#define UNTOLD 256

static struct
{
	int level; /* of the transaction that runs the batch; 0: none does */
	int n;
	Nudged task[UNTOLD];
} untold;

/* The task that was decided last, in one look at what is due. */
static struct
{
	int64 task_id;
	uint64 look;
	bool failed; /* with regard to failures, too */
} decided;

static void
forget_nudged(void)
{
	if (any_nudged)
		memset(nudged, 0, sizeof(nudged));
	any_nudged = false;
}

static void
xact_ended(XactEvent event, void *arg)
{
	if (event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE && event != XACT_EVENT_COMMIT)
		return;
	forget_nudged();
	untold.level = untold.n = 0;
	decided.task_id = NO_ID;
	/* what had ended by this transaction may not have */
	if (event != XACT_EVENT_COMMIT)
		waiting_decide_forget();
}

static void
subxact_ended(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	if (event != SUBXACT_EVENT_ABORT_SUB)
		return;
	if (GetCurrentTransactionNestLevel() <= untold.level)
		untold.level = untold.n = 0;
	forget_nudged();
	decided.task_id = NO_ID;
}

void
waiting_init(void)
{
	RegisterXactCallback(xact_ended, NULL);
	RegisterSubXactCallback(subxact_ended, NULL);
}

static int64
bucket_of(Store *store, const Task *task)
{
	return ready_bucket(lane_get(store, task->lane_id)->role, task->priority, task->lane_id);
}

/* Have somebody decide, once this is committed. */
void
waiting_nudge(Store *store, int64 task_id, int64 bucket, bool failed)
{
	Nudged *slot = &nudged[(uint64) task_id % NUDGED];

	/* one does for all that this transaction changes: it is seen with its commit */
	if (slot->task_id == task_id && (slot->failed || !failed))
		return;
	STENT_FAULT("waiting_before_nudge");
	due_nudge_waiting(store, failed ? DUE_FAILED : DUE_HAPPENED, task_id, bucket);
	*slot = (Nudged){task_id, failed};
	any_nudged = true;
	waiting_nudges++;
}

/* Whether somebody may wait for what is not his. A row is written before its writer looks. */
static bool
any_waiter(Store *store)
{
	/* mostly nobody has ever waited so, or it was vacuumed */
	return RelationGetNumberOfBlocks(store_table(store, STORE_WAITER)->rel) > 0;
}

/* The rows of those who wait for something, also if they are not committed: nudge them. */
static void
tell_strangers(Store *store, int64 what, bool failed)
{
	StoreRel *table = store_table(store, STORE_WAITER);
	SnapshotData dirty;
	IndexScanDesc scan;
	ScanKeyData key;
	bool isnull;

	if (!any_waiter(store))
		return;
	InitDirtySnapshot(dirty);
	scan = compat_index_beginscan(table->rel, table->pkey, &dirty, 1);
	ScanKeyInit(&key, WAITER_WHAT, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(what));
	index_rescan(scan, &key, 1, NULL, 0);
	while (index_getnext_slot(scan, ForwardScanDirection, table->out))
	{
		int64 task_id = DatumGetInt64(slot_getattr(table->out, WAITER_TASK_ID, &isnull));
		int64 bucket = DatumGetInt64(slot_getattr(table->out, WAITER_BUCKET, &isnull));

		waiting_nudge(store, task_id, bucket, failed);
	}
	index_endscan(scan);
	ExecClearTuple(table->out);
}

/* The same for the tasks that were noted for later. */
static void
tell_all(Store *store)
{
	int n = untold.n;

	untold.n = 0;
	if (n > 0 && any_waiter(store))
		for (int i = 0; i < n; i++)
			tell_strangers(store, untold.task[i].task_id, untold.task[i].failed);
}

/* Whether the tables of this database know of waiting tasks. */
static bool
knows_waiting(void)
{
	static bool there;
	static uint64 generation;

	if (generation != store_generation() || !there)
	{
		(void) store_owner();
		there = store_has_relation("waiter");
		generation = store_generation();
	}
	return there;
}

void
waiting_tell(Store *store, const Task *task, int64 parent_bucket)
{
	bool failed = task->state != TASK_COMPLETED;

	if (!knows_waiting())
		return;
	if (task->parent_id != NO_ID && parent_bucket != 0)
		waiting_nudge(store, task->parent_id, parent_bucket, failed);
	if (untold.level == 0)
		tell_strangers(store, task->id, failed);
	else
	{
		if (untold.n == UNTOLD)
			tell_all(store);
		untold.task[untold.n++] = (Nudged){task->id, failed};
	}
}

void
waiting_tell_later(void)
{
	untold.level = GetCurrentTransactionNestLevel();
	untold.n = 0;
}

void
waiting_tell_now(Store *store)
{
	tell_all(store);
	untold.level = 0;
}

void
waiting_tell_signal(Store *store, int64 execution_id)
{
	if (knows_waiting())
		tell_strangers(store, execution_id, false);
}

/*
 * Whether a task that does not wait, NULL if it does not live, is in the hands of a transaction
 * in progress, or was since the snapshot; only then it may have looked too early at what
 * has happened. It may be replayed, and run, by one.
 */
static bool
in_hands(Store *store, int64 id, Task *task)
{
	Look look = waiting_look(store, id, task == NULL ? NULL : &task->tid);

	return task == NULL ? look != LOOK_GONE : look != LOOK_SETTLED || task_is_taken(store, task);
}

/* Note who waits for what does not know it, and see whether that has happened meanwhile. */
void
waiting_begin(Store *store, Task *task, Step *step)
{
	StoreRel *table;
	int64 bucket;
	int64 *strangers;
	int n = waiting_ids(step->detail, "strangers", &strangers);
	bool again = false;

	if (n == 0)
		return;
	table = store_table(store, STORE_WAITER);
	bucket = bucket_of(store, task);
	for (int i = 0; i < n; i++)
	{
		Datum values[WAITER_COLUMNS];
		bool nulls[WAITER_COLUMNS] = {0};
		bool twice = false;

		for (int j = 0; j < i && !twice; j++)
			twice = strangers[j] == strangers[i];
		if (twice)
			continue;
		values[WAITER_WHAT - 1] = Int64GetDatum(strangers[i]);
		values[WAITER_TASK_ID - 1] = Int64GetDatum(task->id);
		values[WAITER_BUCKET - 1] = Int64GetDatum(bucket);
		store_insert(store, table, values, nulls);
		STENT_FAULT("waiting_after_waiter");
		again |= step->kind == STEP_SIGNAL
					 ? signal_may_be_newer(store, strangers[i], step->detail)
					 : waiting_look(store, strangers[i], NULL) != LOOK_SETTLED;
	}
	if (again)
		waiting_nudge(store, task->id, bucket, true);
}

/* Remove the waiter rows of a task that has waited for this step; NULL: for its last. */
void
waiting_over(Store *store, const Task *task, const Step *step)
{
	int64 *ids;
	int n;

	if (task->chunk == A_MAP)
		return;
	if (step == NULL)
		step = step_row_last(store, task->id);
	n = step == NULL ? 0 : waiting_ids(step->detail, "strangers", &ids);
	for (int i = 0; i < n; i++)
	{
		StoreRel *table = store_table(store, STORE_WAITER);
		ScanKeyData keys[2];

		ScanKeyInit(&keys[0], WAITER_WHAT, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(ids[i]));
		ScanKeyInit(&keys[1], WAITER_TASK_ID, BTEqualStrategyNumber, F_INT8EQ,
					Int64GetDatum(task->id));
		if (store_find(table, GetActiveSnapshot(), keys, 2))
			store_delete_found(table);
		ExecClearTuple(table->out);
	}
}

static void
drop_nudge(Store *store, const DueEntry *entry)
{
	ItemPointerData tid = entry->tid;

	if (store_delete(store_table(store, STORE_DUE), &tid, false) == TM_Ok)
		announce_due_taken(lane_role(lane_get(store, ready_bucket_lane(entry->bucket))),
						   entry->bucket, entry->due_at, entry->kind);
}

/* The task goes on: its handler runs again. */
static void
wake(Store *store, Task *task, const Step *step)
{
	waiting_over(store, task, step);
	task->due_at = clock_now();
	task_move(store, task, TASK_READY);
}

/* Let a task whose entry was taken go on, or put the entry back. */
static bool
decide_taken(Store *store, Task *task, bool failed)
{
	Verdict verdict;

	if (task->chunk == A_MAP)
		verdict = map_decide(store, task) ? GO_ON : WAIT_ON;
	else
	{
		Step *step = step_row_last(store, task->id);

		verdict = waiting_decide(store, task, step, failed);
		if (verdict == GO_ON)
			wake(store, task, step);
	}
	if (verdict != GO_ON)
		due_insert(store, task->due_at, task->id, DUE_WAIT, bucket_of(store, task));
	return verdict != UNSETTLED;
}

/* Act on a nudge; false if it has to stay. */
bool
waiting_nudged(Store *store, const DueEntry *entry)
{
	bool failed = entry->kind == DUE_FAILED;
	TransactionId holder;
	Task *task;
	bool done;

	/* it may be our own */
	forget_nudged();
	if (decided.task_id == entry->line && decided.look == due_looks && (decided.failed || !failed))
	{
		/* it was there when that was decided */
		drop_nudge(store, entry);
		return true;
	}
	task = task_find_live(store, entry->line);
	STENT_FAULT("waiting_read");
	if (task == NULL || task->state != TASK_WAITING)
	{
		/* who takes it before we commit does not see what has happened here */
		if (entry->own || in_hands(store, entry->line, task))
			return false;
		drop_nudge(store, entry);
		return true;
	}
	if (task_try_take(store, task, &holder) != TM_Ok)
		return false;
	STENT_FAULT("waiting_taken");
	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	done = decide_taken(store, task, failed);
	if (done)
	{
		drop_nudge(store, entry);
		decided.task_id = task->id;
		decided.look = due_looks;
		decided.failed = failed || task->state != TASK_WAITING;
	}
	PopActiveSnapshot();
	return done;
}

/* The time of a wait has come. */
bool
waiting_ran_out(Store *store, const DueEntry *entry)
{
	ItemPointerData tid = entry->tid;
	Task *task;

	if (store_delete(store_table(store, STORE_DUE), &tid, false) != TM_Ok)
		return false;
	announce_due_taken(lane_role(lane_get(store, ready_bucket_lane(entry->bucket))), entry->bucket,
					   entry->due_at, entry->kind);
	task = task_find_live(store, entry->task_id);
	if (task == NULL || task->state != TASK_WAITING)
		elog(ERROR, "due entry of task " INT64_FORMAT " has no waiting task", entry->task_id);
	wake(store, task, NULL);
	return true;
}
