/*
 * backlog.c
 *	  How much work waits, and since when.
 *
 * Where the board is counted, it knows. Elsewhere (no preload, a database that
 * was never served) the entries are counted by walking the index, no further than
 * COUNT_LIMIT entries a bucket, dead ones included: nothing here ever reads
 * millions of rows, and what was cut says so.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/transam.h"
#include "executor/tuptable.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/procarray.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/snapmgr.h"

#include "board.h"
#include "compat.h"
#include "due.h"
#include "observe.h"
#include "ready.h"
#include "registry.h"
#include "shmem.h"
#include "store.h"

/* index entries looked at in a bucket, and in one whose turn comes when many were */
#define COUNT_LIMIT 10000
#define COUNT_LIMIT_LATE 100
#define COUNT_MANY 200000

/* entries looked at to find one that nobody has taken */
#define OLDEST_LIMIT 1000

typedef struct BucketCount
{
	int64 bucket; /* hash key */
	int64 ready;
	int64 scheduled;
	int64 blocked;
	int64 waiting;
	bool exact;
} BucketCount;

typedef struct Counter
{
	Store *store;
	Viewer viewer;
	HTAB *counts;
	bool cut; /* there may be more, in lanes that were not seen */
	int64 seen;
} Counter;

static BucketCount *
count_of(Counter *counter, int64 bucket)
{
	bool found;
	BucketCount *count = hash_search(counter->counts, &bucket, HASH_ENTER, &found);

	if (!found)
	{
		count->ready = count->scheduled = count->blocked = count->waiting = 0;
		count->exact = true;
	}
	return count;
}

static int64
limit_now(const Counter *counter)
{
	return counter->seen < COUNT_MANY ? COUNT_LIMIT : COUNT_LIMIT_LATE;
}

/* The buckets the caller may see, more or less: roles may share a hash. */
static int64
first_bucket(const Viewer *viewer)
{
	return viewer->admin ? 0 : ready_first_bucket(viewer->name);
}

static int64
end_bucket(const Viewer *viewer)
{
	return viewer->admin ? PG_INT64_MAX : ready_end_bucket(viewer->name);
}

/* Walk [from, end) of the ready index, with the index's own columns at hand. */
static void
seek_ready(IndexScanDesc scan, int64 from, int64 end)
{
	ScanKeyData keys[2];

	ScanKeyInit(&keys[0], READY_BUCKET, BTGreaterEqualStrategyNumber, F_INT8GE,
				Int64GetDatum(from));
	ScanKeyInit(&keys[1], READY_BUCKET, BTLessStrategyNumber, F_INT8LT, Int64GetDatum(end));
	index_rescan(scan, keys, 2, NULL, 0);
}

/* Walk the bucket from the position on, and what comes after it. */
static void
seek_position(IndexScanDesc scan, int64 bucket, int64 position)
{
	ScanKeyData keys[2];

	ScanKeyInit(&keys[0], READY_BUCKET, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(bucket));
	ScanKeyInit(&keys[1], READY_POSITION, BTGreaterEqualStrategyNumber, F_INT8GE,
				Int64GetDatum(position));
	index_rescan(scan, keys, 2, NULL, 0);
}

static int64
index_column(IndexScanDesc scan, int column)
{
	bool isnull;

	return DatumGetInt64(index_getattr(scan->xs_itup, column, scan->xs_itupdesc, &isnull));
}

static void
count_ready(Counter *counter)
{
	StoreRel *table = store_table(counter->store, STORE_READY);
	IndexScanDesc scan = compat_index_beginscan(table->rel, table->pkey, GetActiveSnapshot(), 2);
	int64 end = end_bucket(&counter->viewer);
	BucketCount *count = NULL;
	int64 in_bucket = 0;

	scan->xs_want_itup = true;
	seek_ready(scan, first_bucket(&counter->viewer), end);
	while (index_getnext_tid(scan, ForwardScanDirection) != NULL)
	{
		int64 bucket = index_column(scan, READY_BUCKET);

		CHECK_FOR_INTERRUPTS();
		if (count == NULL || count->bucket != bucket)
		{
			count = count_of(counter, bucket);
			in_bucket = 0;
		}
		counter->seen++;
		if (++in_bucket > limit_now(counter))
		{
			count->exact = false;
			count = NULL;
			seek_ready(scan, bucket + 1, end);
			continue;
		}
		if (index_fetch_heap(scan, table->out))
			count->ready++;
	}
	index_endscan(scan);
	ExecClearTuple(table->out);
}

static void
count_due_entry(Counter *counter, TupleTableSlot *slot)
{
	bool isnull;
	char kind = DatumGetChar(slot_getattr(slot, DUE_KIND, &isnull));
	BucketCount *count;

	if (kind != DUE_READY && kind != DUE_WAIT)
		return;
	count = count_of(counter, DatumGetInt64(slot_getattr(slot, DUE_BUCKET, &isnull)));
	count->scheduled += kind == DUE_READY;
	count->waiting += kind == DUE_WAIT;
}

/* Scheduled and waiting tasks stand by role and time: a bucket's are among its role's. */
static void
count_due(Counter *counter)
{
	StoreRel *table = store_table(counter->store, STORE_DUE);
	IndexScanDesc scan = compat_index_beginscan(table->rel, table->pkey, GetActiveSnapshot(), 1);
	bool admin = counter->viewer.admin;
	int64 role_key = admin ? 0 : ready_role_key(first_bucket(&counter->viewer));
	ScanKeyData key;
	int64 of_role = 0;
	bool isnull;

	scan->xs_want_itup = true;
	ScanKeyInit(&key, DUE_ROLE_KEY, BTGreaterEqualStrategyNumber, F_INT4GE,
				Int32GetDatum((int32) role_key));
	index_rescan(scan, &key, 1, NULL, 0);
	while (index_getnext_tid(scan, ForwardScanDirection) != NULL)
	{
		int32 found =
			DatumGetInt32(index_getattr(scan->xs_itup, DUE_ROLE_KEY, scan->xs_itupdesc, &isnull));

		CHECK_FOR_INTERRUPTS();
		if (found != role_key)
		{
			if (!admin)
				break;
			role_key = found;
			of_role = 0;
		}
		counter->seen++;
		if (++of_role > limit_now(counter))
		{
			counter->cut = true;
			if (role_key == PG_INT32_MAX)
				break;
			ScanKeyInit(&key, DUE_ROLE_KEY, BTGreaterEqualStrategyNumber, F_INT4GE,
						Int32GetDatum((int32) role_key + 1));
			index_rescan(scan, &key, 1, NULL, 0);
			continue;
		}
		if (index_fetch_heap(scan, table->out))
			count_due_entry(counter, table->out);
	}
	index_endscan(scan);
	ExecClearTuple(table->out);
}

/* Blocked tasks stand by line, whosever they are. */
static void
count_blocked(Counter *counter)
{
	StoreRel *table = store_table(counter->store, STORE_LINE);
	IndexScanDesc scan = compat_index_beginscan(table->rel, table->pkey, GetActiveSnapshot(), 0);
	int64 seen = 0;
	bool isnull;

	index_rescan(scan, NULL, 0, NULL, 0);
	while (index_getnext_tid(scan, ForwardScanDirection) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		if (++seen > COUNT_MANY)
		{
			counter->cut = true;
			break;
		}
		if (index_fetch_heap(scan, table->out) &&
			DatumGetBool(slot_getattr(table->out, LINE_BLOCKED, &isnull)))
			count_of(counter, DatumGetInt64(slot_getattr(table->out, LINE_BUCKET, &isnull)))
				->blocked++;
	}
	index_endscan(scan);
	ExecClearTuple(table->out);
}

/* Copy the counts from the board; false if it does not know them. */
static bool
count_by_board(Counter *counter)
{
	BoardBucket *copies = NULL;
	int max = 0;
	int n;
	bool exact;

	if (stent_shared == NULL)
		return false;
	do
	{
		HASH_SEQ_STATUS status;
		BoardRole *role;
		DatabaseSlot *database;

		/* memory is not to be asked for under the lock */
		max = max == 0 ? 256 : 4 * max;
		copies = copies == NULL ? palloc_array(BoardBucket, max)
								: repalloc_huge(copies, (Size) max * sizeof(BoardBucket));
		n = 0;
		LWLockAcquire(stent_shared->lock, LW_SHARED);
		database = shmem_database(MyDatabaseId, false);
		if (database == NULL || !database->counted)
		{
			LWLockRelease(stent_shared->lock);
			return false;
		}
		exact = !database->recount && !database->reload && !database->prepared &&
				database->count_epoch % 2 == 0;
		board_scan_begin(&status);
		while ((role = hash_seq_search(&status)) != NULL)
		{
			if (role->key.database != MyDatabaseId ||
				!(counter->viewer.admin || role->key.role == counter->viewer.role))
				continue;
			exact &= !role->incomplete;
			for (BoardBucket *bucket = role->first; bucket != NULL; bucket = bucket->next, n++)
				if (n < max)
					copies[n] = *bucket;
		}
		LWLockRelease(stent_shared->lock);
	} while (n > max);
	for (int i = 0; i < n; i++)
	{
		BucketCount *count = count_of(counter, copies[i].key.bucket);

		count->ready += Max(copies[i].ready, 0);
		count->scheduled += Max(copies[i].scheduled, 0);
		count->blocked += Max(copies[i].blocked, 0);
		count->waiting += Max(copies[i].waiting, 0);
		count->exact &= exact;
	}
	counter->cut |= !exact;
	return true;
}

/*
 * Ready, scheduled, blocked and waiting tasks of each bucket the caller may see. A row without lane
 * says that there may be more than the others tell.
 */
PG_FUNCTION_INFO_V1(stent_board);
Datum
stent_board(PG_FUNCTION_ARGS)
{
	HASHCTL ctl = {.keysize = sizeof(int64), .entrysize = sizeof(BucketCount)};
	ReturnSetInfo *set = observe_begin_set(fcinfo);
	Counter counter = {0};
	HASH_SEQ_STATUS status;
	BucketCount *count;
	Datum values[8] = {0};
	bool nulls[8] = {0};

	ctl.hcxt = CurrentMemoryContext;
	viewer_init(&counter.viewer);
	counter.store = store_open_to_read();
	counter.counts = hash_create("stent counts", 256, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	if (!count_by_board(&counter))
	{
		count_ready(&counter);
		count_due(&counter);
		/* a database of an older version has none, and does not ask */
		if (store_has_relation("line"))
			count_blocked(&counter);
	}
	hash_seq_init(&status, counter.counts);
	while ((count = hash_seq_search(&status)) != NULL)
	{
		const Lane *lane = lane_find(counter.store, ready_bucket_lane(count->bucket));

		if (lane == NULL || !viewer_may_see(&counter.viewer, lane))
			continue;
		values[0] = ObjectIdGetDatum(lane_role(lane));
		values[1] = Int32GetDatum(lane->id);
		values[2] = Int32GetDatum(ready_bucket_priority(count->bucket));
		values[3] = Int64GetDatum(count->ready);
		values[4] = Int64GetDatum(count->scheduled);
		values[5] = BoolGetDatum(count->exact);
		values[6] = Int64GetDatum(count->blocked);
		values[7] = Int64GetDatum(count->waiting);
		tuplestore_putvalues(set->setResult, set->setDesc, values, nulls);
	}
	if (counter.cut)
	{
		memset(nulls, true, sizeof(nulls));
		nulls[5] = false;
		values[5] = BoolGetDatum(false);
		tuplestore_putvalues(set->setResult, set->setDesc, values, nulls);
	}
	store_close(counter.store);
	return (Datum) 0;
}

/* Who deletes the entry in the slot, in a transaction that has not ended yet. */
static TransactionId
taken_by(TupleTableSlot *slot)
{
	bool should_free;
	HeapTuple tuple = ExecFetchSlotHeapTuple(slot, false, &should_free);
	TransactionId xmax;

	if (tuple->t_data->t_infomask & (HEAP_XMAX_INVALID | HEAP_XMAX_IS_MULTI))
		return InvalidTransactionId;
	xmax = HeapTupleHeaderGetRawXmax(tuple->t_data);
	return TransactionIdIsInProgress(xmax) ? xmax : InvalidTransactionId;
}

/* Where the claimable entries of a bucket begin, as far as the board knows. */
static int64
head_of(Oid role, int64 bucket)
{
	int64 head = POSITION_MIN;

	if (stent_shared == NULL || !OidIsValid(role))
		return head;
	LWLockAcquire(stent_shared->lock, LW_SHARED);
	{
		DatabaseSlot *database = shmem_database(MyDatabaseId, false);
		BoardRole *entry =
			database != NULL && database->loaded ? board_role(MyDatabaseId, role, false) : NULL;
		BoardBucket *known =
			entry != NULL && !entry->incomplete ? board_bucket(entry, bucket, false) : NULL;

		if (known != NULL)
			head = known->head;
	}
	LWLockRelease(stent_shared->lock);
	return head;
}

static void
put_oldest(Store *store, ReturnSetInfo *set, const Lane *lane, int64 task_id)
{
	Task *task = task_find_live(store, task_id);
	Datum values[5];
	bool nulls[5] = {0};

	if (task == NULL)
		return;
	values[0] = Int32GetDatum(lane->id);
	values[1] = Int32GetDatum(lane->function_id);
	values[2] = Int64GetDatum(task_id);
	values[3] = TimestampGetDatum(task->due_at != NO_TIME ? task->due_at : task->created_at);
	values[4] = BoolGetDatum(function_by_id(store, lane->function_id)->handler_name == NULL);
	tuplestore_putvalues(set->setResult, set->setDesc, values, nulls);
}

/*
 * The first entry of the bucket that nobody has taken; NO_ID if none was found. The
 * scan stands on the bucket's first entry, dead or alive.
 */
static int64
first_free(StoreRel *table, IndexScanDesc scan, int64 bucket, int64 head)
{
	bool isnull;

	if (head == HEAD_END)
		return NO_ID;
	if (head > index_column(scan, READY_POSITION))
	{
		/* dead entries stand before it */
		seek_position(scan, bucket, head);
		if (index_getnext_tid(scan, ForwardScanDirection) == NULL)
			return NO_ID;
	}
	for (int seen = 0; seen < OLDEST_LIMIT; seen++)
	{
		CHECK_FOR_INTERRUPTS();
		if (index_column(scan, READY_BUCKET) != bucket)
			break;
		if (index_fetch_heap(scan, table->out) && !TransactionIdIsValid(taken_by(table->out)))
			return DatumGetInt64(slot_getattr(table->out, READY_TASK_ID, &isnull));
		if (index_getnext_tid(scan, ForwardScanDirection) == NULL)
			break;
	}
	return NO_ID;
}

/* For each bucket the caller may see, the oldest task that nobody has taken. */
PG_FUNCTION_INFO_V1(stent_oldest_ready);
Datum
stent_oldest_ready(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *set = observe_begin_set(fcinfo);
	Viewer viewer;
	Store *store = store_open_to_read();
	StoreRel *table = store_table(store, STORE_READY);
	IndexScanDesc scan = compat_index_beginscan(table->rel, table->pkey, GetActiveSnapshot(), 2);
	int64 from;

	viewer_init(&viewer);
	scan->xs_want_itup = true;
	for (from = first_bucket(&viewer); from < end_bucket(&viewer);)
	{
		const Lane *lane;
		int64 bucket;
		int64 task_id;

		CHECK_FOR_INTERRUPTS();
		seek_ready(scan, from, end_bucket(&viewer));
		if (index_getnext_tid(scan, ForwardScanDirection) == NULL)
			break;
		bucket = index_column(scan, READY_BUCKET);
		from = bucket + 1;
		lane = lane_find(store, ready_bucket_lane(bucket));
		if (lane == NULL || !viewer_may_see(&viewer, lane))
			continue;
		task_id = first_free(table, scan, bucket, head_of(lane_role(lane), bucket));
		if (task_id != NO_ID)
			put_oldest(store, set, lane, task_id);
	}
	index_endscan(scan);
	ExecClearTuple(table->out);
	store_close(store);
	return (Datum) 0;
}

/*
 * Count visible entries of the role that executors serve in [from, end) of the
 * index, end being (bucket, position); false when there are too many to count.
 */
static bool
count_before(Store *store, const char *role, int64 bucket, int64 position, int64 *count)
{
	StoreRel *table = store_table(store, STORE_READY);
	IndexScanDesc scan = compat_index_beginscan(table->rel, table->pkey, GetActiveSnapshot(), 2);
	int64 seen = 0;

	scan->xs_want_itup = true;
	seek_ready(scan, ready_first_bucket(role), bucket + 1);
	while (seen < COUNT_LIMIT && index_getnext_tid(scan, ForwardScanDirection) != NULL)
	{
		int64 at = index_column(scan, READY_BUCKET);
		const Lane *lane = lane_find(store, ready_bucket_lane(at));

		CHECK_FOR_INTERRUPTS();
		if (at == bucket && index_column(scan, READY_POSITION) >= position)
			break;
		seen++;
		/* lanes of the same priority take turns: only its own stands before it */
		if (at != bucket && at >= ready_rank_start(bucket))
			seek_ready(scan, bucket, bucket + 1);
		else if (lane == NULL || strcmp(lane->role, role) != 0 ||
				 function_by_id(store, lane->function_id)->handler_name == NULL)
			seek_ready(scan, at + 1, bucket + 1);
		else if (index_fetch_heap(scan, table->out) && !TransactionIdIsValid(taken_by(table->out)))
			(*count)++;
	}
	index_endscan(scan);
	ExecClearTuple(table->out);
	return seen < COUNT_LIMIT;
}

/* Where a ready task stands: who has taken its entry, how many are before it. */
PG_FUNCTION_INFO_V1(stent_ready_entry);
Datum
stent_ready_entry(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *set = observe_begin_set(fcinfo);
	Store *store = store_open_to_read();
	Task *task = task_find_live(store, PG_GETARG_INT64(0));
	Datum values[3];
	bool nulls[3] = {0};

	if (task != NULL && task->state == TASK_READY)
	{
		StoreRel *table = store_table(store, STORE_READY);
		const Lane *lane = lane_get(store, task->lane_id);
		int64 bucket = ready_bucket(lane->role, task->priority, task->lane_id);
		ScanKeyData keys[2];
		TransactionId taker = InvalidTransactionId;
		int64 before = 0;

		ScanKeyInit(&keys[0], READY_BUCKET, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(bucket));
		ScanKeyInit(&keys[1], READY_POSITION, BTEqualStrategyNumber, F_INT8EQ,
					Int64GetDatum(task_position(task)));
		if (store_find(table, GetActiveSnapshot(), keys, 2))
			taker = taken_by(table->out);
		ExecClearTuple(table->out);
		values[0] = TransactionIdGetDatum(taker);
		nulls[0] = !TransactionIdIsValid(taker);
		values[2] =
			BoolGetDatum(count_before(store, lane->role, bucket, task_position(task), &before));
		values[1] = Int64GetDatum(before);
		tuplestore_putvalues(set->setResult, set->setDesc, values, nulls);
	}
	store_close(store);
	return (Datum) 0;
}
