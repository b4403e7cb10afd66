/*
 * rate.c
 *	  Rate limits: how many tasks of a function may start in a time.
 *
 * A token bucket: it holds rate_burst tokens, rate_limit of them flow in evenly in each
 * rate_interval, and each start takes one. So in any time t at most
 *
 *	  rate_burst + rate_limit * t / rate_interval
 *
 * tasks start. All there is to remember is when the bucket will be full again: a start
 * moves that on by rate_interval / rate_limit, and may do so up to rate_burst times
 * that ahead of the clock. Times have a fraction, so that 3 a second are exactly 3.
 *
 * The row is changed in place, under the lock of its page and through WAL, but outside
 * of transactions, as a sequence is: the start is counted for everybody at once, no
 * rollback undoes it (the call may have been made), nobody waits for anybody's commit,
 * and no dead rows are left. What a crash of the server forgets is the end of the WAL
 * that was never flushed: starts of batches that had not committed.
 *
 * The clock is read under the lock, so that starts are in its order. One that was set
 * back leaves the bucket empty, not locked up; and so do limits that were lowered.
 */
#include "postgres.h"

#include "access/generic_xlog.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "clock.h"
#include "fault.h"
#include "place.h"
#include "rate.h"

enum RateColumn
{
	RATE_FUNCTION_ID = 1,
	RATE_PART,
	RATE_FULL_AT,
	RATE_COLUMNS = RATE_FULL_AT
};

/* The columns as they lie in a tuple: of fixed width and never null. */
typedef struct RateRow
{
	int32 function_id;
	int32 part; /* of a microsecond, over full_at, in 1 / rate_limit */
	Timestamp full_at;
} RateRow;

/* Where a function's row was found last. */
typedef struct RateTid
{
	int32 function_id; /* hash key */
	ItemPointerData tid;
} RateTid;

/* A row in its page, which is locked. */
typedef struct RatePin
{
	Buffer buffer;
	OffsetNumber offset;
	RateRow row; /* as it was found */
} RatePin;

static HTAB *tids;

/* a bucket that takes longer to fill is a mistake, and would not fit */
#define MAX_FILL_US ((double) MAX_DURATION_DAYS * USECS_PER_DAY)

/* Whether a rate is one we can count in. */
bool
rate_fits(int limit, int64 interval_us, int burst)
{
	return (double) interval_us / limit * burst <= MAX_FILL_US;
}

static int
compare(const RateTime *a, const RateTime *b)
{
	if (a->us != b->us)
		return a->us < b->us ? -1 : 1;
	return a->part < b->part ? -1 : a->part > b->part;
}

static RateTime
plus(RateTime a, RateTime b, int limit)
{
	RateTime sum = {a.us + b.us, a.part + b.part};

	if (sum.part >= limit)
	{
		sum.us++;
		sum.part -= limit;
	}
	return sum;
}

static RateTime
minus(RateTime a, RateTime b, int limit)
{
	RateTime rest = {a.us - b.us, a.part - b.part};

	if (rest.part < 0)
	{
		rest.us--;
		rest.part += limit;
	}
	return rest;
}

/* How long n tokens take to flow in. */
static RateTime
time_of(const Function *function, int64 n)
{
	int64 parts = n * (function->rate_us % function->rate_limit);

	return (RateTime){n * (function->rate_us / function->rate_limit) + parts / function->rate_limit,
					  parts % function->rate_limit};
}

/* When the bucket will be full, as the row says, but no further ahead than if it were empty. */
static RateTime
full_at(const Function *function, const RateRow *row, RateTime now)
{
	RateTime full = {row->full_at, row->part};
	RateTime empty = plus(now, time_of(function, function->rate_burst), function->rate_limit);

	if (full.part >= function->rate_limit)
		full = (RateTime){full.us + 1, 0}; /* written under another limit */
	if (compare(&full, &now) < 0)
		return now;
	return compare(&full, &empty) > 0 ? empty : full;
}

/* Lock the page of a row that may be at tid; false if it is not there. */
static bool
pin_at(StoreRel *table, ItemPointer tid, int32 function_id, int mode, RatePin *pin)
{
	HeapTupleData tuple;
	ItemId item;
	Page page;

	if (!store_has_block(table, tid))
		return false;
	pin->buffer = ReadBuffer(table->rel, ItemPointerGetBlockNumber(tid));
	pin->offset = ItemPointerGetOffsetNumber(tid);
	LockBuffer(pin->buffer, mode);
	page = BufferGetPage(pin->buffer);
	if (pin->offset <= PageGetMaxOffsetNumber(page))
	{
		item = PageGetItemId(page, pin->offset);
		if (ItemIdIsNormal(item))
		{
			tuple.t_data = (HeapTupleHeader) PageGetItem(page, item);
			tuple.t_len = ItemIdGetLength(item);
			tuple.t_tableOid = RelationGetRelid(table->rel);
			tuple.t_self = *tid;
			pin->row = *(RateRow *) GETSTRUCT(&tuple);
			/* ours or committed, and not deleted */
			if (pin->row.function_id == function_id &&
				HeapTupleSatisfiesVisibility(&tuple, SnapshotSelf, pin->buffer))
				return true;
		}
	}
	UnlockReleaseBuffer(pin->buffer);
	return false;
}

static RateTid *
known_tid(int32 function_id)
{
	RateTid *known;
	bool found;

	if (tids == NULL)
	{
		HASHCTL ctl = {
			.keysize = sizeof(int32), .entrysize = sizeof(RateTid), .hcxt = TopMemoryContext};

		tids = hash_create("stent rates", 16, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	known = hash_search(tids, &function_id, HASH_ENTER, &found);
	if (!found)
		ItemPointerSetInvalid(&known->tid);
	return known;
}

/* Find a function's row and lock its page; false if there is none. */
static bool
pin_row(Store *store, int32 function_id, int mode, RatePin *pin)
{
	StoreRel *table = store_table(store, STORE_RATE);
	RateTid *known = known_tid(function_id);
	bool found;

	if (pin_at(table, &known->tid, function_id, mode, pin))
		return true;
	/* it moves when the table is written anew, or its row by hand */
	for (int tries = 0; tries < 3; tries++)
	{
		Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
		ScanKeyData key;

		ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(function_id));
		found = store_find(table, snapshot, &key, 1);
		if (found)
			known->tid = table->out->tts_tid;
		ExecClearTuple(table->out);
		UnregisterSnapshot(snapshot);
		if (!found)
			break;
		if (pin_at(table, &known->tid, function_id, mode, pin))
			return true;
	}
	(void) hash_search(tids, &function_id, HASH_REMOVE, NULL);
	return false;
}

/* Change the row in place, and let go of it. */
static void
write_row(Store *store, RatePin *pin, RateTime full)
{
	GenericXLogState *state = GenericXLogStart(store_table(store, STORE_RATE)->rel);
	Page page = GenericXLogRegisterBuffer(state, pin->buffer, 0);
	HeapTupleHeader tuple = (HeapTupleHeader) PageGetItem(page, PageGetItemId(page, pin->offset));
	RateRow *row = (RateRow *) ((char *) tuple + tuple->t_hoff);

	row->part = (int32) full.part;
	row->full_at = full.us;
	(void) GenericXLogFinish(state);
	UnlockReleaseBuffer(pin->buffer);
}

/*
 * A row that is missing, though register() writes it: somebody removed it. Of this
 * transaction, and no other writes one meanwhile; false if one does.
 */
static bool
make_row(Store *store, const Function *function)
{
	Datum values[RATE_COLUMNS];
	bool nulls[RATE_COLUMNS] = {0};
	bool fresh;
	Oid role = function->handler_name == NULL ? InvalidOid : GetUserId();

	if (!place_take(store, PLACE_RATE, function->id, 1, role, &fresh))
		return false;
	values[RATE_FUNCTION_ID - 1] = Int32GetDatum(function->id);
	values[RATE_PART - 1] = Int32GetDatum(0);
	values[RATE_FULL_AT - 1] = TimestampGetDatum(clock_now());
	store_insert(store, store_table(store, STORE_RATE), values, nulls);
	CommandCounterIncrement();
	return true;
}

/*
 * Whether there is a token: full becomes what it is when that is taken. Else next is when
 * there will be one, and full what it is now.
 */
static bool
has_token(const Function *function, const RateRow *row, RateTime *full, Timestamp *next)
{
	RateTime now = {clock_now(), 0};
	RateTime before = full_at(function, row, now);
	RateTime after = plus(before, time_of(function, 1), function->rate_limit);
	RateTime empty = plus(now, time_of(function, function->rate_burst), function->rate_limit);
	RateTime at;

	if (compare(&after, &empty) <= 0)
	{
		*full = after;
		return true;
	}
	at = plus(now, minus(after, empty, function->rate_limit), function->rate_limit);
	*next = at.us + (at.part > 0);
	*full = before;
	return false;
}

/* Take a token; false if there is none before next. taken is for who gives it back. */
bool
rate_take(Store *store, const Function *function, RateTime *taken, Timestamp *next)
{
	RatePin pin;

	if (!pin_row(store, function->id, BUFFER_LOCK_EXCLUSIVE, &pin) &&
		!(make_row(store, function) && pin_row(store, function->id, BUFFER_LOCK_EXCLUSIVE, &pin)))
	{
		/* who makes the row has its place, and tells us */
		*next = DT_NOEND;
		return false;
	}
	if (!has_token(function, &pin.row, taken, next))
	{
		/* a time too far ahead is corrected for good, or it would be so for ever */
		if (pin.row.full_at > taken->us)
			write_row(store, &pin, *taken);
		else
			UnlockReleaseBuffer(pin.buffer);
		return false;
	}
	write_row(store, &pin, *taken);
	STENT_FAULT("rate_after_take");
	return true;
}

/*
 * Nothing started with the token. Had it not been taken, the bucket might have been full
 * and tokens flowed by, up to the last start of others: so it gets no fuller than if
 * they all had started now.
 */
void
rate_give_back(Store *store, const Function *function, const RateTime *taken)
{
	RatePin pin;
	RateTime now = {0, 0};
	RateTime full;
	RateTime back;
	RateTime least;
	double others = 0;

	if (function->rate_limit == 0 || !pin_row(store, function->id, BUFFER_LOCK_EXCLUSIVE, &pin))
		return;
	now.us = clock_now();
	full = full_at(function, &pin.row, now);
	if (compare(&full, taken) > 0)
		others = (full.us - taken->us + 1.0) * function->rate_limit / function->rate_us + 1;
	least = plus(now, time_of(function, Min(others, function->rate_burst)), function->rate_limit);
	back = minus(full, time_of(function, 1), function->rate_limit);
	if (compare(&back, &least) < 0)
		back = least;
	if (compare(&back, &full) < 0)
		write_row(store, &pin, back);
	else
		UnlockReleaseBuffer(pin.buffer);
}

/* When the next task of a function may start; NULL: now. */
PG_FUNCTION_INFO_V1(stent_next_start);
Datum
stent_next_start(PG_FUNCTION_ARGS)
{
	Store *store = store_open_to_read();
	const Function *function = function_by_id(store, PG_GETARG_INT32(0));
	Timestamp next = 0;
	bool now = true;
	RatePin pin;
	RateTime full;

	if (function->rate_limit > 0 && pin_row(store, function->id, BUFFER_LOCK_SHARE, &pin))
	{
		now = has_token(function, &pin.row, &full, &next);
		UnlockReleaseBuffer(pin.buffer);
	}
	store_close(store);
	if (now)
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMP(next);
}
