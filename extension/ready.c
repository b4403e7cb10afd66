/*
 * ready.c
 *	  The ready table: one narrow entry per claimable task.
 *
 * The key begins with a bucket that packs, from the high bits down,
 *
 *	  role      23 bits  hash of the role's name
 *	  rank       8 bits  100 - priority, so that the first comes first
 *	  lane      32 bits  id of the lane
 *
 * so one index walk meets a role's entries by priority, then lane, then age, and
 * the next lane or priority is one index descent away however many empty lanes
 * exist. Two roles may share a hash; a claimer therefore looks at the lane's role
 * as well.
 *
 * An entry is its task's lock: whoever deletes it owns the task row until the
 * transaction ends. Deleting without waiting is SKIP LOCKED in a single write.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/xact.h"
#include "common/hashfn.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "announce.h"
#include "line.h"
#include "ready.h"
#include "registry.h"

#define ROLE_BITS 23
#define ROLE_SHIFT 40
#define RANK_SHIFT 32

uint64 ready_inserts = 0;
int64 ready_inserted_bucket;
int64 ready_inserted_position;
uint64 ready_takes = 0;

static int64
role_key(const char *role)
{
	uint32 hash = hash_bytes((const unsigned char *) role, strlen(role));

	return (int64) (hash & ((1U << ROLE_BITS) - 1)) << ROLE_SHIFT;
}

int64
ready_bucket(const char *role, int priority, int32 lane_id)
{
	return role_key(role) | ((int64) (PRIORITY_MAX - priority) << RANK_SHIFT) | (uint32) lane_id;
}

/* All buckets of a role lie in [first, end). */
int64
ready_first_bucket(const char *role)
{
	return role_key(role);
}

int64
ready_end_bucket(const char *role)
{
	return role_key(role) + ((int64) 1 << ROLE_SHIFT);
}

/* The same, from any bucket of the role. */
int64
ready_role_start(int64 bucket)
{
	return (bucket >> ROLE_SHIFT) << ROLE_SHIFT;
}

int64
ready_role_end(int64 bucket)
{
	return ((bucket >> ROLE_SHIFT) + 1) << ROLE_SHIFT;
}

/* The buckets of the same role and priority lie in [start, end). */
int64
ready_rank_start(int64 bucket)
{
	return (bucket >> RANK_SHIFT) << RANK_SHIFT;
}

int64
ready_rank_end(int64 bucket)
{
	return ((bucket >> RANK_SHIFT) + 1) << RANK_SHIFT;
}

/* The role part by itself, for the due index. */
int32
ready_role_key(int64 bucket)
{
	return (int32) (bucket >> ROLE_SHIFT);
}

/* The first bucket of the roles with that part. */
int64
ready_role_bucket(int32 role_key)
{
	return (int64) role_key << ROLE_SHIFT;
}

int32
ready_bucket_lane(int64 bucket)
{
	return (int32) (bucket & PG_UINT32_MAX);
}

int
ready_bucket_priority(int64 bucket)
{
	return PRIORITY_MAX - (int) ((bucket >> RANK_SHIFT) & 0xFF);
}

/* The queue whose workers run the lane's tasks; NULL: executors do. */
static const char *
workers_queue(Store *store, const Lane *lane)
{
	const Function *function = function_by_id(store, lane->function_id);

	announce_as_of(function->as_of);
	return function->handler_name == NULL ? lane->queue : NULL;
}

/* Tell others, at the commit, that n entries from position on are there. */
void
ready_announce(Store *store, int64 bucket, int64 position, int n)
{
	const Lane *lane = lane_get(store, ready_bucket_lane(bucket));

	announce_ready(lane_role(lane), bucket, position, n, workers_queue(store, lane));
}

/* Tell others, should this be undone, that the entry is there again. */
void
ready_announce_taken(Store *store, int64 bucket, int64 position)
{
	const Lane *lane = lane_get(store, ready_bucket_lane(bucket));

	announce_taken(lane_role(lane), bucket, position, workers_queue(store, lane));
}

void
ready_insert(Store *store, int64 bucket, int64 position, int64 task_id, ItemPointer task_tid,
			 int64 line)
{
	Datum values[READY_COLUMNS];
	bool nulls[READY_COLUMNS] = {0};

	values[READY_BUCKET - 1] = Int64GetDatum(bucket);
	values[READY_POSITION - 1] = Int64GetDatum(position);
	values[READY_TASK_ID - 1] = Int64GetDatum(task_id);
	values[READY_TASK_TID - 1] = PointerGetDatum(task_tid);
	values[READY_LINE - 1] = Int64GetDatum(line);
	nulls[READY_LINE - 1] = line == NO_LINE;
	store_insert(store, store_table(store, STORE_READY), values, nulls);
	ready_inserts++;
	ready_inserted_bucket = bucket;
	ready_inserted_position = position;
	ready_announce(store, bucket, position, 1);
}

/* Take a task by deleting its known entry; false if it is gone or taken. */
bool
ready_take(Store *store, int64 bucket, int64 position)
{
	TransactionId holder;

	return ready_try_take(store, bucket, position, &holder) == TM_Ok;
}

/*
 * The same. TM_BeingModified: a transaction that has not ended took it, holder;
 * TM_Deleted: one that has; TM_Invisible: there is no such entry.
 */
TM_Result
ready_try_take(Store *store, int64 bucket, int64 position, TransactionId *holder)
{
	StoreRel *table = store_table(store, STORE_READY);
	ScanKeyData keys[2];
	TM_Result result;

	ScanKeyInit(&keys[0], READY_BUCKET, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(bucket));
	ScanKeyInit(&keys[1], READY_POSITION, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(position));
	*holder = InvalidTransactionId;
	if (!store_find(table, GetActiveSnapshot(), keys, 2))
		return TM_Invisible;
	result = store_try_delete(table, &table->out->tts_tid, holder);
	ExecClearTuple(table->out);
	if (result == TM_Ok)
	{
		ready_takes++;
		ready_announce_taken(store, bucket, position);
	}
	return result;
}

/* Whether [from, end) has an entry; the first is left in the table's slot. */
bool
ready_seek(Store *store, int64 from_bucket, int64 end_bucket)
{
	StoreRel *table = store_table(store, STORE_READY);
	ScanKeyData keys[2];

	if (from_bucket >= end_bucket)
		return false;
	ScanKeyInit(&keys[0], READY_BUCKET, BTGreaterEqualStrategyNumber, F_INT8GE,
				Int64GetDatum(from_bucket));
	ScanKeyInit(&keys[1], READY_BUCKET, BTLessStrategyNumber, F_INT8LT, Int64GetDatum(end_bucket));
	return store_find(table, GetActiveSnapshot(), keys, 2);
}

/* The key of the entry that ready_seek found. */
int64
ready_found(Store *store, int64 *position)
{
	StoreRel *table = store_table(store, STORE_READY);
	bool isnull;
	int64 bucket = DatumGetInt64(slot_getattr(table->out, READY_BUCKET, &isnull));

	*position = DatumGetInt64(slot_getattr(table->out, READY_POSITION, &isnull));
	ExecClearTuple(table->out);
	return bucket;
}
