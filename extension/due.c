/*
 * due.c
 *	  The due index: delays, retries and deadlines, by time.
 *
 * Whoever claims next promotes what of its role has come due, in bounded batches,
 * so nothing depends on one process being alive, and no role can hold up another. An entry is looked at first (peek) and
 * taken by deleting it, without waiting: what another session holds is its to
 * finish.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

#include "announce.h"
#include "compat.h"
#include "due.h"
#include "fault.h"
#include "intern.h"
#include "json.h"
#include "lease.h"
#include "line.h"
#include "ready.h"
#include "waiting.h"
#include "errors.h"
#include "complete.h"

uint64 due_looks;

static void
insert(Store *store, Timestamp due_at, int64 task_id, char kind, int64 bucket, int64 line)
{
	Datum values[DUE_COLUMNS];
	bool nulls[DUE_COLUMNS] = {0};

	values[DUE_ROLE_KEY - 1] = Int32GetDatum(ready_role_key(bucket));
	values[DUE_AT - 1] = TimestampGetDatum(due_at);
	values[DUE_TASK_ID - 1] = Int64GetDatum(task_id);
	values[DUE_KIND - 1] = CharGetDatum(kind);
	values[DUE_BUCKET - 1] = Int64GetDatum(bucket);
	values[DUE_LINE - 1] = Int64GetDatum(line);
	nulls[DUE_LINE - 1] = line == NO_LINE;
	store_insert(store, store_table(store, STORE_DUE), values, nulls);
	announce_due(lane_role(lane_get(store, ready_bucket_lane(bucket))), bucket, due_at, kind);
}

void
due_insert(Store *store, Timestamp due_at, int64 task_id, char kind, int64 bucket)
{
	insert(store, due_at, task_id, kind, bucket, NO_LINE);
}

/* Have whoever claims next of the bucket's role look at a line. */
void
due_nudge(Store *store, int64 line, int64 bucket)
{
	insert(store, DUE_NUDGE_AT, store_next_id(), DUE_NUDGE, bucket, line);
	announce_nudge(lane_role(lane_get(store, ready_bucket_lane(bucket))), bucket);
}

/* The same at a waiting task. */
void
due_nudge_waiting(Store *store, char kind, int64 task_id, int64 bucket)
{
	insert(store, DUE_NUDGE_AT, store_next_id(), kind, bucket, task_id);
	announce_nudge(lane_role(lane_get(store, ready_bucket_lane(bucket))), bucket);
}

/* Take a known entry; false if it is gone or taken. */
bool
due_take(Store *store, int64 bucket, Timestamp due_at, int64 task_id, char kind)
{
	TransactionId holder;

	return due_try_take(store, bucket, due_at, task_id, kind, &holder) == TM_Ok;
}

/*
 * The same. TM_BeingModified: a transaction that has not ended took it, holder;
 * TM_Deleted: one that has; TM_Invisible: there is no such entry.
 */
TM_Result
due_try_take(Store *store, int64 bucket, Timestamp due_at, int64 task_id, char kind,
			 TransactionId *holder)
{
	StoreRel *table = store_table(store, STORE_DUE);
	ScanKeyData keys[4];
	TM_Result result;

	ScanKeyInit(&keys[0], DUE_ROLE_KEY, BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum(ready_role_key(bucket)));
	ScanKeyInit(&keys[1], DUE_AT, BTEqualStrategyNumber, F_TIMESTAMP_EQ, TimestampGetDatum(due_at));
	ScanKeyInit(&keys[2], DUE_TASK_ID, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(task_id));
	ScanKeyInit(&keys[3], DUE_KIND, BTEqualStrategyNumber, F_CHAREQ, CharGetDatum(kind));
	*holder = InvalidTransactionId;
	if (!store_find(table, GetActiveSnapshot(), keys, 4))
		return TM_Invisible;
	result = store_try_delete(table, &table->out->tts_tid, holder);
	ExecClearTuple(table->out);
	if (result == TM_Ok)
		announce_due_taken(lane_role(lane_get(store, ready_bucket_lane(bucket))), bucket, due_at,
						   kind);
	return result;
}

/* When the bucket's role has something due first after a time; DT_NOEND: never. */
Timestamp
due_first(Store *store, int64 bucket, Timestamp after)
{
	StoreRel *table = store_table(store, STORE_DUE);
	Timestamp due_at = DT_NOEND;
	ScanKeyData keys[2];
	bool isnull;

	ScanKeyInit(&keys[0], DUE_ROLE_KEY, BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum(ready_role_key(bucket)));
	ScanKeyInit(&keys[1], DUE_AT, BTGreaterStrategyNumber, F_TIMESTAMP_GT,
				TimestampGetDatum(after));
	if (store_find(table, GetActiveSnapshot(), keys, 2))
		due_at = DatumGetTimestamp(slot_getattr(table->out, DUE_AT, &isnull));
	ExecClearTuple(table->out);
	return due_at;
}

/* The first entry of the first role with a key of at least from. */
bool
due_seek(Store *store, int64 from_role_key, int64 *bucket, Timestamp *due_at)
{
	StoreRel *table = store_table(store, STORE_DUE);
	ScanKeyData key;
	bool found;
	bool isnull;

	if (from_role_key > PG_INT32_MAX)
		return false;
	ScanKeyInit(&key, DUE_ROLE_KEY, BTGreaterEqualStrategyNumber, F_INT4GE,
				Int32GetDatum((int32) from_role_key));
	found = store_find(table, GetActiveSnapshot(), &key, 1);
	if (found)
	{
		*bucket = DatumGetInt64(slot_getattr(table->out, DUE_BUCKET, &isnull));
		*due_at = DatumGetTimestamp(slot_getattr(table->out, DUE_AT, &isnull));
	}
	ExecClearTuple(table->out);
	return found;
}

/*
 * The first role with a key of at least from that has entries, dead or alive: its first
 * bucket. Only the index is read, so what cannot be vacuumed costs nothing, unlike due_seek.
 */
bool
due_next_role(Store *store, int64 from_role_key, int64 *bucket)
{
	StoreRel *table = store_table(store, STORE_DUE);
	IndexScanDesc scan;
	ScanKeyData key;
	bool found;
	bool isnull;

	if (from_role_key > PG_INT32_MAX)
		return false;
	scan = compat_index_beginscan(table->rel, table->pkey, GetActiveSnapshot(), 1);
	scan->xs_want_itup = true;
	scan->ignore_killed_tuples = false;
	ScanKeyInit(&key, DUE_ROLE_KEY, BTGreaterEqualStrategyNumber, F_INT4GE,
				Int32GetDatum((int32) from_role_key));
	index_rescan(scan, &key, 1, NULL, 0);
	found = index_getnext_tid(scan, ForwardScanDirection) != NULL;
	if (found)
		*bucket = ready_role_bucket(
			DatumGetInt32(index_getattr(scan->xs_itup, DUE_ROLE_KEY, scan->xs_itupdesc, &isnull)));
	index_endscan(scan);
	return found;
}

/* Begin to look at what has come due of the bucket's role, earliest first. */
void
due_scan_begin(DueScan *scan, Store *store, int64 bucket, Timestamp now)
{
	ScanKeyData keys[2];

	due_looks++;
	scan->ended = false;
	scan->table = store_table(store, STORE_DUE);
	scan->scan =
		compat_index_beginscan(scan->table->rel, scan->table->pkey, GetActiveSnapshot(), 2);
	ScanKeyInit(&keys[0], DUE_ROLE_KEY, BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum(ready_role_key(bucket)));
	ScanKeyInit(&keys[1], DUE_AT, BTLessEqualStrategyNumber, F_TIMESTAMP_LE,
				TimestampGetDatum(now));
	index_rescan(scan->scan, keys, 2, NULL, 0);
}

bool
due_scan_next(DueScan *scan, DueEntry *entry)
{
	TupleTableSlot *slot = scan->table->out;
	bool isnull;

	CHECK_FOR_INTERRUPTS();
	if (scan->ended || !index_getnext_slot(scan->scan, ForwardScanDirection, slot))
	{
		scan->ended = true;
		return false;
	}
	entry->due_at = DatumGetTimestamp(slot_getattr(slot, DUE_AT, &isnull));
	entry->task_id = DatumGetInt64(slot_getattr(slot, DUE_TASK_ID, &isnull));
	entry->kind = DatumGetChar(slot_getattr(slot, DUE_KIND, &isnull));
	entry->bucket = DatumGetInt64(slot_getattr(slot, DUE_BUCKET, &isnull));
	entry->line = DatumGetInt64(store_column(slot, DUE_LINE, &isnull));
	if (isnull)
		entry->line = NO_LINE;
	entry->tid = slot->tts_tid;
	entry->own = due_is_nudge(entry->kind) &&
				 TransactionIdIsCurrentTransactionId(DatumGetTransactionId(
					 slot_getsysattr(slot, MinTransactionIdAttributeNumber, &isnull)));
	ExecClearTuple(slot);
	return true;
}

/* Look at up to max entries. */
int
due_scan_page(DueScan *scan, DueEntry *entries, int max)
{
	int n = 0;

	while (n < max && due_scan_next(scan, &entries[n]))
		n++;
	return n;
}

void
due_scan_end(DueScan *scan)
{
	index_endscan(scan->scan);
	ExecClearTuple(scan->table->out);
}

/*
 * A task whose deadline has come and that no session runs: take it and time it out.
 * One that is run here is judged by whoever runs it; the entry stays for later.
 */
static bool
expire(Store *store, const DueEntry *entry)
{
	Task *task = task_find_live(store, entry->task_id);
	TransactionId holder;
	bool taken;

	if (task == NULL)
		return false;
	taken = task_try_end(store, task, &holder) == TM_Ok;
	if (!taken)
		return false;
	complete_past_deadline(store, task);
	return true;
}

/* Take one task out of its delay; false if somebody else has it. */
static bool
end_delay(Store *store, const DueEntry *entry)
{
	ItemPointerData tid = entry->tid;
	Task *task;

	if (store_delete(store_table(store, STORE_DUE), &tid, false) != TM_Ok)
		return false;
	announce_due_taken(lane_role(lane_get(store, ready_bucket_lane(entry->bucket))), entry->bucket,
					   entry->due_at, DUE_READY);
	STENT_FAULT("promote_after_take");
	task = task_find_live(store, entry->task_id);
	if (task == NULL || task->state != TASK_SCHEDULED)
		elog(ERROR, "due entry of task " INT64_FORMAT " has no scheduled task", entry->task_id);
	task_move(store, task, TASK_READY);
	return true;
}

static bool
act_on(Store *store, const DueEntry *entry)
{
	switch (entry->kind)
	{
		case DUE_DEADLINE:
			return expire(store, entry);
		case DUE_NUDGE:
			return line_nudged(store, entry);
		case DUE_LEASE:
			return lease_due(store, entry);
		case DUE_WAIT:
			return waiting_ran_out(store, entry);
		case DUE_HAPPENED:
		case DUE_FAILED:
			return waiting_nudged(store, entry);
		default:
			return end_delay(store, entry);
	}
}

static bool
is_there(Store *store, const DueEntry *entry)
{
	StoreRel *table = store_table(store, STORE_DUE);
	ItemPointerData tid = entry->tid;
	bool there = table_tuple_fetch_row_version(table->rel, &tid, GetActiveSnapshot(), table->out);

	ExecClearTuple(table->out);
	return there;
}

/* Act on one entry; false if somebody else has it. */
bool
due_promote_one(Store *store, const DueEntry *entry)
{
	bool done;

	if (!due_is_nudge(entry->kind) && GetActiveSnapshot()->curcid == GetCurrentCommandId(false))
		return act_on(store, entry);
	/*
	 * What this very transaction did since it looked may have taken the entry, or moved
	 * its task: others of its key have ended, or its own deadline came first. A nudge is
	 * acted on by a later command than looked.
	 */
	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	done = is_there(store, entry) && act_on(store, entry);
	PopActiveSnapshot();
	return done;
}

/*
 * Promote up to max entries of the bucket's role that have come due, passing over those that others
 * hold. Returns how many were acted on; the caller advances its command id.
 */
int
due_promote(Store *store, int64 bucket, Timestamp now, int max)
{
	DueScan scan;
	DueEntry entry;
	int64 undecided = NO_LINE;
	int done = 0;

	due_scan_begin(&scan, store, bucket, now);
	while (done < max && due_scan_next(&scan, &entry))
	{
		/* what somebody else is deciding may have many nudges */
		if (due_is_nudge(entry.kind) && entry.line == undecided)
			continue;
		if (due_promote_one(store, &entry))
			done++;
		else if (due_is_nudge(entry.kind))
			undecided = entry.line;
	}
	due_scan_end(&scan);
	return done;
}
