/*
 * lease.c
 *	  Leases: the rows that say which worker has which tasks, and the fence.
 *
 * A claim writes one row for all tasks it took; their ready entries are gone and their
 * own rows are not touched. A member is one attempt at a task: a retry or a replay is
 * another, of which the row knows nothing. So what a task row says now tells whether its
 * member is still there, and completing one task of many writes nothing here.
 *
 * The fence. Whoever ends the hold of a lease on a task writes (deletes, updates) the
 * task's row first: completion, failure, release, expiry, cancellation, deadline. A
 * token holds a task if one snapshot shows a lease row of the token with the member and
 * the task's row with the member's mark. If then that very version of the task's row can
 * be deleted or locked, nobody has ended the hold since: what is done now is done under
 * the fence. If not, somebody has, and nothing is done. test/model/lease.pml checks it.
 *
 * A row goes when its last member does, if whoever ends that sees it; else when it
 * expires or is renewed. Claiming is left to lease_claim.c, ending to lease_end.c,
 * renewing and expiring to lease_renew.c.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

#include "announce.h"
#include "attempt.h"
#include "clock.h"
#include "compat.h"
#include "errors.h"
#include "fault.h"
#include "intern.h"
#include "lease.h"
#include "limit.h"
#include "place.h"
#include "ready.h"
#include "ending.h"

/* A number nobody can guess, nor meet again after a restore. */
int64
lease_new_token(void)
{
	uint64 token;

	do
	{
		if (!pg_strong_random(&token, sizeof(token)))
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate a random token"),
					 errhint("The operating system gives no random numbers now. Nothing was "
							 "claimed; claim again.")));
		token &= (UINT64CONST(1) << LEASE_TOKEN_BITS) - 1;
	} while (token == 0);
	return (int64) token;
}

static ArrayType *
make_array(const void *elements, int n, Oid type, int size)
{
	ArrayType *array = palloc0(ARR_OVERHEAD_NONULLS(1) + (Size) n * size);

	SET_VARSIZE(array, ARR_OVERHEAD_NONULLS(1) + (Size) n * size);
	array->ndim = 1;
	array->elemtype = type;
	ARR_DIMS(array)[0] = n;
	ARR_LBOUND(array)[0] = 1;
	memcpy(ARR_DATA_PTR(array), elements, (Size) n * size);
	return array;
}

static void
fill_row(const Lease *lease, Datum *values)
{
	values[LEASE_TOKEN - 1] = Int64GetDatum(lease->token);
	values[LEASE_PART - 1] = Int64GetDatum(lease->part);
	values[LEASE_WORKER - 1] = CStringGetTextDatum(lease->worker);
	values[LEASE_CLAIMED_AT - 1] = TimestampGetDatum(lease->claimed_at);
	values[LEASE_EXPIRES_AT - 1] = TimestampGetDatum(lease->expires_at);
	values[LEASE_DUE_AT - 1] = TimestampGetDatum(lease->due_at);
	values[LEASE_BUCKET - 1] = Int64GetDatum(lease->bucket);
	values[LEASE_PLACES - 1] = BoolGetDatum(lease->places);
	values[LEASE_TASK_IDS - 1] =
		PointerGetDatum(make_array(lease->task_ids, lease->n, INT8OID, sizeof(int64)));
	values[LEASE_MARKS - 1] =
		PointerGetDatum(make_array(lease->marks, lease->n, INT4OID, sizeof(int32)));
}

static void
copy_array(Datum value, void *elements, int n, int size)
{
	ArrayType *array = DatumGetArrayTypeP(value);

	if (ARR_NDIM(array) != 1 || ARR_HASNULL(array) || ARR_DIMS(array)[0] != n)
		elog(ERROR, "a lease has an array of the wrong shape");
	memcpy(elements, ARR_DATA_PTR(array), (Size) n * size);
}

static Lease *
from_slot(TupleTableSlot *slot)
{
	Lease *lease = palloc0_object(Lease);
	ArrayType *ids;
	bool isnull;

	slot_getallattrs(slot);
	lease->token = DatumGetInt64(slot_getattr(slot, LEASE_TOKEN, &isnull));
	lease->part = DatumGetInt64(slot_getattr(slot, LEASE_PART, &isnull));
	lease->worker = TextDatumGetCString(slot_getattr(slot, LEASE_WORKER, &isnull));
	lease->claimed_at = DatumGetTimestamp(slot_getattr(slot, LEASE_CLAIMED_AT, &isnull));
	lease->expires_at = DatumGetTimestamp(slot_getattr(slot, LEASE_EXPIRES_AT, &isnull));
	lease->due_at = DatumGetTimestamp(slot_getattr(slot, LEASE_DUE_AT, &isnull));
	lease->bucket = DatumGetInt64(slot_getattr(slot, LEASE_BUCKET, &isnull));
	lease->places = DatumGetBool(slot_getattr(slot, LEASE_PLACES, &isnull));
	ids = DatumGetArrayTypeP(slot_getattr(slot, LEASE_TASK_IDS, &isnull));
	lease->n = ArrayGetNItems(ARR_NDIM(ids), ARR_DIMS(ids));
	lease->task_ids = palloc_array(int64, Max(lease->n, 1));
	lease->marks = palloc_array(int32, Max(lease->n, 1));
	lease->gone = palloc0_array(bool, Max(lease->n, 1));
	if (lease->n > 0)
	{
		copy_array(PointerGetDatum(ids), lease->task_ids, lease->n, sizeof(int64));
		copy_array(slot_getattr(slot, LEASE_MARKS, &isnull), lease->marks, lease->n, sizeof(int32));
	}
	lease->tid = slot->tts_tid;
	return lease;
}

/* Write a new row; members are put in order. */
void
lease_insert(Store *store, Lease *lease)
{
	Datum values[LEASE_COLUMNS];
	bool nulls[LEASE_COLUMNS] = {0};

	/* insertion sort: they are nearly in order, being so by age */
	for (int i = 1; i < lease->n; i++)
	{
		int64 id = lease->task_ids[i];
		int32 mark = lease->marks[i];
		int at = i;

		for (; at > 0 && lease->task_ids[at - 1] > id; at--)
		{
			lease->task_ids[at] = lease->task_ids[at - 1];
			lease->marks[at] = lease->marks[at - 1];
		}
		lease->task_ids[at] = id;
		lease->marks[at] = mark;
	}
	fill_row(lease, values);
	lease->tid = store_insert(store, store_table(store, STORE_LEASE), values, nulls);
}

/* Lock the row as it was read; false if somebody has changed or is changing it. */
bool
lease_lock(Store *store, Lease *lease, bool wait)
{
	StoreRel *table = store_table(store, STORE_LEASE);
	ItemPointerData tid = lease->tid;
	TM_FailureData tmfd;
	TM_Result result;

	result = table_tuple_lock(table->rel, &tid, GetActiveSnapshot(), table->out,
							  GetCurrentCommandId(true), LockTupleExclusive,
							  wait ? LockWaitBlock : LockWaitSkip, 0, &tmfd);
	ExecClearTuple(table->out);
	lease->locked |= result == TM_Ok;
	return result == TM_Ok;
}

/* Replace the row by what lease says; false if somebody else has changed it, or is at it. */
bool
lease_update(Store *store, Lease *lease, bool wait)
{
	Datum values[LEASE_COLUMNS];
	bool nulls[LEASE_COLUMNS] = {0};

	if (!lease_lock(store, lease, wait))
		return false;
	fill_row(lease, values);
	lease->tid = store_update(store, store_table(store, STORE_LEASE), &lease->tid, values, nulls);
	return true;
}

/*
 * Remove the row, not waiting for others; false if somebody else has changed it, or is at it.
 */
bool
lease_delete(Store *store, Lease *lease)
{
	ItemPointerData tid = lease->tid;

	return store_delete(store_table(store, STORE_LEASE), &tid, false) == TM_Ok;
}

/* Whether a member is still there, by the active snapshot. */
bool
lease_member_lives(Store *store, const Lease *lease, int member)
{
	StoreRel *table = store_table(store, STORE_TASK);
	Task task;
	bool lives;
	bool isnull;

	if (!store_find_id(table, GetActiveSnapshot(), lease->task_ids[member]))
		return false;
	task.attempt = DatumGetInt16(slot_getattr(table->out, TASK_ATTEMPT, &isnull));
	task.replays = DatumGetInt16(slot_getattr(table->out, TASK_REPLAYS, &isnull));
	lives = lease_mark(&task) == lease->marks[member] &&
			DatumGetChar(slot_getattr(table->out, TASK_STATE, &isnull)) == TASK_READY;
	ExecClearTuple(table->out);
	return lives;
}

/* Where in the row the task is, or -1. */
int
lease_member(const Lease *lease, int64 task_id)
{
	int from = 0;
	int to = lease->n;

	while (from < to)
	{
		int middle = (from + to) / 2;

		if (lease->task_ids[middle] < task_id)
			from = middle + 1;
		else
			to = middle;
	}
	return from < lease->n && lease->task_ids[from] == task_id ? from : -1;
}

void
lease_book_begin(LeaseBook *book, Store *store)
{
	memset(book, 0, sizeof(*book));
	book->store = store;
	book->last_token = -1;
}

static void
read_rows(LeaseBook *book, int64 token)
{
	StoreRel *table = store_table(book->store, STORE_LEASE);
	IndexScanDesc scan = compat_index_beginscan(table->rel, table->pkey, GetActiveSnapshot(), 1);
	ScanKeyData key;

	book->last_token = token;
	book->last_from = book->n;
	ScanKeyInit(&key, LEASE_TOKEN, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(token));
	index_rescan(scan, &key, 1, NULL, 0);
	while (index_getnext_slot(scan, ForwardScanDirection, table->out))
	{
		if (book->n == book->max)
		{
			book->max = Max(2 * book->max, 8);
			book->leases = book->leases == NULL ? palloc_array(Lease *, book->max)
												: repalloc_array(book->leases, Lease *, book->max);
		}
		book->leases[book->n++] = from_slot(table->out);
	}
	index_endscan(scan);
	ExecClearTuple(table->out);
	book->last_to = book->n;
}

/* The rows of a token are leases [from, to) of the book. */
void
lease_book_parts(LeaseBook *book, int64 token, int *from, int *to)
{
	if (book->last_token != token)
	{
		int i = 0;

		while (i < book->n && book->leases[i]->token != token)
			i++;
		if (i == book->n)
			read_rows(book, token);
		else
		{
			book->last_token = token;
			book->last_from = i;
			while (i < book->n && book->leases[i]->token == token)
				i++;
			book->last_to = i;
		}
	}
	*from = book->last_from;
	*to = book->last_to;
}

/* The row of the token that has the task as a member, or NULL. */
Lease *
lease_book_find(LeaseBook *book, int64 token, int64 task_id, int *member)
{
	int from;
	int to;

	lease_book_parts(book, token, &from, &to);
	for (int i = from; i < to; i++)
	{
		*member = lease_member(book->leases[i], task_id);
		if (*member >= 0)
			return book->leases[i];
	}
	return NULL;
}

/*
 * The task, if by the active snapshot the token holds it; else NULL and why. The row may
 * have been changed since: see lease_lock_task, lease_delete_task.
 */
Task *
lease_find_task(LeaseBook *book, int64 token, int64 task_id, Lease **lease, int *member,
				LeaseOutcome *outcome)
{
	Task *task = task_find_live(book->store, task_id);

	*outcome = LEASE_ENDED;
	if (task == NULL)
		return NULL;
	*outcome = LEASE_LOST;
	*lease = lease_book_find(book, token, task_id, member);
	if (*lease == NULL || task->state != TASK_READY || (*lease)->marks[*member] != lease_mark(task))
		return NULL;
	*outcome = LEASE_HELD;
	task->leased = true;
	task->started_at = (*lease)->claimed_at;
	return task;
}

/*
 * Lock the version of the task's row that was read: nobody has ended the hold since, and
 * nobody does before this transaction is over. LEASE_LOST: somebody has; LEASE_BUSY: is
 * doing so, or, after waiting, has: look again to see how.
 */
LeaseOutcome
lease_lock_task(Store *store, Task *task, LockTupleMode mode, bool wait)
{
	StoreRel *table = store_table(store, STORE_TASK);
	ItemPointerData tid = task->tid;
	TM_FailureData tmfd;
	TM_Result result = table_tuple_lock(table->rel, &tid, GetActiveSnapshot(), table->out,
										GetCurrentCommandId(true), mode,
										wait ? LockWaitBlock : LockWaitSkip, 0, &tmfd);

	ExecClearTuple(table->out);
	if (result == TM_Ok)
		return LEASE_HELD;
	return wait || result == TM_WouldBlock ? LEASE_BUSY : LEASE_LOST;
}

/*
 * Write a row anew that was locked, as it is: from now on others see that it is being
 * changed, which a lock does not tell those who look without waiting.
 */
void
lease_touch_task(Store *store, Task *task)
{
	Datum values[TASK_COLUMNS];
	bool nulls[TASK_COLUMNS];

	task_live_values(task, values, nulls);
	task->tid = store_update(store, store_table(store, STORE_TASK), &task->tid, values, nulls);
}

/* The same by deleting it: the task is to be archived, or buried. */
LeaseOutcome
lease_delete_task(Store *store, Task *task, bool wait)
{
	StoreRel *table = store_table(store, STORE_TASK);
	ItemPointerData tid = task->tid;
	TM_Result result = store_delete(table, &tid, wait);

	task->row_taken = result == TM_Ok;
	if (result == TM_Ok)
		return LEASE_HELD;
	return wait || result == TM_BeingModified ? LEASE_BUSY : LEASE_LOST;
}

/*
 * End a task that a worker leases, whatever its token: as task_try_take, by deleting the
 * row. Nothing is waited for.
 */
TM_Result
lease_try_end(Store *store, Task *task, TransactionId *holder)
{
	ItemPointerData tid = task->tid;
	TM_Result result;

	*holder = InvalidTransactionId;
	/* what this session itself runs has no entry either */
	if (attempt_task() != NULL && attempt_task()->id == task->id)
		return TM_WouldBlock;
	result = store_try_delete(store_table(store, STORE_TASK), &tid, holder);
	if (result != TM_Ok)
		return result;
	task->row_taken = task->leased = true;
	STENT_FAULT("lease_end_after_delete");
	announce_lease_cancelled();
	return TM_Ok;
}

/* A task is leased no more: what it holds of limits is given up with the commit. */
void
lease_over(Store *store, const Task *task)
{
	if (!task->holds_no_places)
		place_leave(store, task->id);
}

/* Refuse a single request of a worker. */
void
lease_refuse(int64 task_id, int64 token, LeaseOutcome outcome)
{
	Timestamp finished_at;

	if (outcome == LEASE_ENDED)
	{
		TaskState state = whereabouts(task_id, &finished_at);

		ereport(ERROR,
				(errcode(STENT_ERR_LEASE_LOST),
				 errmsg("token " INT64_FORMAT " does not hold task " INT64_FORMAT, token, task_id),
				 state == TASK_NEW ? errdetail("There is no such task.")
								   : errdetail("The task is %s.", task_state_name(state)),
				 errhint("Nothing was changed; drop the work.")));
	}
	ereport(ERROR,
			(errcode(STENT_ERR_LEASE_LOST),
			 errmsg("token " INT64_FORMAT " does not hold task " INT64_FORMAT, token, task_id),
			 errdetail("It was released, given to a retry, or its lease expired."),
			 errhint("Nothing was changed; drop the work: another worker may have the task. "
					 "Heartbeat in time, or ask for a longer lease.")));
}
