/*
 * leased.c
 *	  Who has leased what, for the views: running, workers, why(), health().
 *
 * A lease row names the tasks of a claim; those that have ended since, or gone on to another
 * attempt, are told from the others by their live rows. So this reads the rows of all
 * leased tasks, by key: as many as workers are busy with. Nothing here writes.
 */
#include "postgres.h"

#include "access/genam.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "compat.h"
#include "intern.h"
#include "lease.h"
#include "observe.h"
#include "ready.h"
#include "store.h"
#include "task.h"

/* One task that is leased. */
typedef struct Leased
{
	const Task *task;
	Datum worker;
	Timestamp claimed_at;
	Timestamp expires_at;
} Leased;

typedef void (*LeasedVisitor)(Store *store, const Leased *leased, void *state);

static void
visit_members(Store *store, TupleTableSlot *slot, LeasedVisitor visit, void *state)
{
	bool isnull;
	ArrayType *ids = DatumGetArrayTypeP(slot_getattr(slot, LEASE_TASK_IDS, &isnull));
	ArrayType *marks = DatumGetArrayTypeP(slot_getattr(slot, LEASE_MARKS, &isnull));
	int n = ArrayGetNItems(ARR_NDIM(ids), ARR_DIMS(ids));
	Leased leased;

	leased.worker = slot_getattr(slot, LEASE_WORKER, &isnull);
	leased.claimed_at = DatumGetTimestamp(slot_getattr(slot, LEASE_CLAIMED_AT, &isnull));
	leased.expires_at = DatumGetTimestamp(slot_getattr(slot, LEASE_EXPIRES_AT, &isnull));
	for (int i = 0; i < n; i++)
	{
		Task *task = task_find_live(store, ((int64 *) ARR_DATA_PTR(ids))[i]);

		CHECK_FOR_INTERRUPTS();
		if (task == NULL || task->state != TASK_READY ||
			((int32 *) ARR_DATA_PTR(marks))[i] != lease_mark(task))
			continue;
		leased.task = task;
		visit(store, &leased, state);
	}
}

/* Visit all tasks that are leased, by the active snapshot. */
static void
visit_leased(Store *store, LeasedVisitor visit, void *state)
{
	StoreRel *table = store_table(store, STORE_LEASE);
	IndexScanDesc scan = compat_index_beginscan(table->rel, table->pkey, GetActiveSnapshot(), 0);
	MemoryContext row_cxt =
		AllocSetContextCreate(CurrentMemoryContext, "stent leased", ALLOCSET_DEFAULT_SIZES);

	index_rescan(scan, NULL, 0, NULL, 0);
	while (index_getnext_slot(scan, ForwardScanDirection, table->out))
	{
		MemoryContext old = MemoryContextSwitchTo(row_cxt);

		visit_members(store, table->out, visit, state);
		MemoryContextSwitchTo(old);
		MemoryContextReset(row_cxt);
	}
	ExecClearTuple(table->out);
	index_endscan(scan);
}

typedef struct ListState
{
	ReturnSetInfo *set;
	Viewer viewer;
} ListState;

static void
put_leased(Store *store, const Leased *leased, void *state)
{
	ListState *list = state;
	const Lane *lane = lane_find(store, leased->task->lane_id);
	Datum values[8];
	bool nulls[8] = {0};

	if (lane == NULL || !viewer_may_see(&list->viewer, lane))
		return;
	values[0] = Int64GetDatum(leased->task->id);
	values[1] = Int64GetDatum(leased->task->execution_id);
	values[2] = leased->worker;
	values[3] = TimestampGetDatum(leased->claimed_at);
	values[4] = TimestampGetDatum(leased->expires_at);
	values[5] = Int32GetDatum(leased->task->attempt + 1);
	values[6] = Int32GetDatum(leased->task->lane_id);
	values[7] = Int32GetDatum(leased->task->function_id);
	tuplestore_putvalues(list->set->setResult, list->set->setDesc, values, nulls);
}

/* Leased tasks that the caller may see. */
PG_FUNCTION_INFO_V1(stent_leased);
Datum
stent_leased(PG_FUNCTION_ARGS)
{
	ListState list = {.set = observe_begin_set(fcinfo)};
	Store *store = store_open_to_read();

	viewer_init(&list.viewer);
	visit_leased(store, put_leased, &list);
	store_close(store);
	return (Datum) 0;
}

#define WORKER_KEY_LENGTH 204 /* longer than any worker's name may be */

typedef struct WorkerCount
{
	char worker[WORKER_KEY_LENGTH]; /* hash key */
	int64 leased;
	int64 expired;
	Timestamp expires_at; /* the first of them */
} WorkerCount;

typedef struct CountState
{
	HTAB *counts;
	Timestamp now;
} CountState;

static void
count_leased(Store *store, const Leased *leased, void *state)
{
	CountState *counting = state;
	char key[WORKER_KEY_LENGTH];
	WorkerCount *count;
	bool found;

	strlcpy(key, TextDatumGetCString(leased->worker), WORKER_KEY_LENGTH);
	count = hash_search(counting->counts, key, HASH_ENTER, &found);
	if (!found)
	{
		count->leased = count->expired = 0;
		count->expires_at = leased->expires_at;
	}
	count->leased++;
	count->expires_at = Min(count->expires_at, leased->expires_at);
	if (leased->expires_at <= counting->now)
		count->expired++;
}

/* How many tasks each worker has leased, whosever they are, and how many too long ago. */
PG_FUNCTION_INFO_V1(stent_leases);
Datum
stent_leases(PG_FUNCTION_ARGS)
{
	HASHCTL ctl = {.keysize = WORKER_KEY_LENGTH, .entrysize = sizeof(WorkerCount)};
	ReturnSetInfo *set = observe_begin_set(fcinfo);
	CountState counting = {.now = clock_now()};
	Store *store = store_open_to_read();
	HASH_SEQ_STATUS status;
	WorkerCount *count;

	ctl.hcxt = CurrentMemoryContext;
	counting.counts =
		hash_create("stent leases", 64, &ctl, HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	visit_leased(store, count_leased, &counting);
	store_close(store);
	hash_seq_init(&status, counting.counts);
	while ((count = hash_seq_search(&status)) != NULL)
	{
		Datum values[4];
		bool nulls[4] = {0};

		values[0] = CStringGetTextDatum(count->worker);
		values[1] = Int64GetDatum(count->leased);
		values[2] = Int64GetDatum(count->expired);
		values[3] = TimestampGetDatum(count->expires_at);
		tuplestore_putvalues(set->setResult, set->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* The bucket that the ready entry of such a task is in. */
PG_FUNCTION_INFO_V1(stent_bucket);
Datum
stent_bucket(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(ready_bucket(text_to_cstring(PG_GETARG_TEXT_PP(0)), PG_GETARG_INT32(1),
								 PG_GETARG_INT32(2)));
}
