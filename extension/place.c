/*
 * place.c
 *	  Places: the right to run one more of something, until the transaction ends, or
 *	  as long as a worker leases the task.
 *
 * A limit of n is n locks of the server's lock table, and who runs tasks under it
 * holds one of them to the end of the transaction that commits them: so the limit
 * holds for any mix of executors and sessions, with or without preload, and who is
 * lost gives its place back at once. Nobody ever waits for a place, so nobody can
 * deadlock: without one, the tasks are passed over.
 *
 * A leased task outlives the transaction that claims it, so its place becomes a row:
 * number k is held by whoever has its lock, or by a row. Who wants it takes the lock and
 * looks afterwards, with a snapshot taken since, for a row. The lock of a claim is given
 * up when its rows are visible; so there is always one of the two to be seen. Rows of
 * numbers above a limit that was lowered count as well.
 *
 * No wake-up is lost: who finds no place says so (shared memory: wanted, and the role
 * is held back) and tries once more; who gives one up does so first and looks
 * afterwards whether anybody wanted it. Without preload others look once a second.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/xact.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

#include "announce.h"
#include "attempt.h"
#include "compat.h"
#include "fault.h"
#include "place.h"
#include "shmem.h"

/* in field 4 of an advisory lock's tag; SQL functions use 1 and 2 */
#define PLACE_LOCK_CLASS 0x5700

typedef struct Held
{
	PlaceKind kind;
	int64 what;
	int number;
	bool locked;            /* else a row of it was deleted */
	bool leased;            /* it is for a task that is to be leased, and nobody else's */
	SubTransactionId subid; /* with which such a claim is undone */
	LOCKTAG tag;
} Held;

/* as stored */
static const char stored_kind[] = {[PLACE_FUNCTION] = 'f', [PLACE_LINE] = 'k'};

static Held *held;
static int n_held;
static int max_held;

static void
set_tag(LOCKTAG *tag, PlaceKind kind, int64 what, int number)
{
	/* a function's id and the number fit; of a line's hash each number is another hash */
	uint64 key =
		kind == PLACE_FUNCTION
			? ((uint64) what << 32) | (uint32) number
			: hash_combine64((uint64) what, hash_bytes_uint32_extended((uint32) number, 0));

	SET_LOCKTAG_ADVISORY(*tag, MyDatabaseId, (uint32) (key >> 32), (uint32) key,
						 PLACE_LOCK_CLASS + kind);
}

static pg_atomic_uint32 *
wanted(PlaceKind kind, int64 what)
{
	uint64 hash = hash_combine64(hash_bytes_extended((unsigned char *) &what, sizeof(what), kind),
								 MyDatabaseId);

	return &stent_shared->wanted_places[hash % WANTED_PLACES];
}

/* Locks are the transaction's, whatever subtransaction takes them. */
static bool
lock(const LOCKTAG *tag)
{
	ResourceOwner owner = CurrentResourceOwner;
	bool got;

	CurrentResourceOwner = TopTransactionResourceOwner;
	got = LockAcquire(tag, ExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL;
	CurrentResourceOwner = owner;
	return got;
}

static void
unlock(const LOCKTAG *tag)
{
	ResourceOwner owner = CurrentResourceOwner;

	CurrentResourceOwner = TopTransactionResourceOwner;
	(void) LockRelease(tag, ExclusiveLock, false);
	CurrentResourceOwner = owner;
}

/* The place under which this transaction runs tasks. */
static Held *
find(PlaceKind kind, int64 what)
{
	/* the last one is asked for most */
	for (int i = n_held - 1; i >= 0; i--)
		if (held[i].what == what && held[i].kind == kind && held[i].locked && !held[i].leased)
			return &held[i];
	return NULL;
}

static bool
is_mine(PlaceKind kind, int64 what, int number)
{
	for (int i = n_held - 1; i >= 0; i--)
		if (held[i].what == what && held[i].kind == kind && held[i].number == number &&
			held[i].locked)
			return true;
	return false;
}

static void
make_room(void)
{
	int max = Max(2 * max_held, 64);

	if (n_held < max_held)
		return;
	if (held == NULL)
		held = MemoryContextAlloc(TopMemoryContext, max * sizeof(Held));
	else
		held = repalloc_array(held, Held, max);
	max_held = max;
}

/* Whether leased tasks can hold such places: other kinds they do not, nor in an old database. */
static bool
may_have_rows(PlaceKind kind)
{
	static uint64 looked = 0;
	static bool there;

	if (kind != PLACE_FUNCTION && kind != PLACE_LINE)
		return false;
	if (looked != store_generation())
	{
		there = store_has_relation("place");
		looked = store_generation();
	}
	return there;
}

/* Count the rows of something, and collect their numbers below n if taken is given. */
static int
count_rows(Store *store, PlaceKind kind, int64 what, int n, Bitmapset **taken)
{
	StoreRel *table = store_table(store, STORE_PLACE);
	IndexScanDesc scan;
	ScanKeyData keys[2];
	int rows = 0;
	bool isnull;

	PushActiveSnapshot(GetLatestSnapshot());
	scan = compat_index_beginscan(table->rel, table->pkey, GetActiveSnapshot(), 2);
	ScanKeyInit(&keys[0], PLACE_KIND, BTEqualStrategyNumber, F_CHAREQ,
				CharGetDatum(stored_kind[kind]));
	ScanKeyInit(&keys[1], PLACE_WHAT, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(what));
	index_rescan(scan, keys, 2, NULL, 0);
	while (index_getnext_slot(scan, ForwardScanDirection, table->out))
	{
		int number = DatumGetInt32(slot_getattr(table->out, PLACE_NUMBER, &isnull));

		rows++;
		if (taken != NULL && number < n)
			*taken = bms_add_member(*taken, number);
	}
	index_endscan(scan);
	ExecClearTuple(table->out);
	PopActiveSnapshot();
	return rows;
}

/* Whether a row holds the number, or with -1 any number, by what is committed now. */
static bool
has_row(Store *store, PlaceKind kind, int64 what, int number)
{
	StoreRel *table = store_table(store, STORE_PLACE);
	ScanKeyData keys[3];
	bool found;

	ScanKeyInit(&keys[0], PLACE_KIND, BTEqualStrategyNumber, F_CHAREQ,
				CharGetDatum(stored_kind[kind]));
	ScanKeyInit(&keys[1], PLACE_WHAT, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(what));
	ScanKeyInit(&keys[2], PLACE_NUMBER, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(number));
	PushActiveSnapshot(GetLatestSnapshot());
	found = store_find(table, GetActiveSnapshot(), keys, number < 0 ? 2 : 3);
	ExecClearTuple(table->out);
	PopActiveSnapshot();
	return found;
}

/* The same, for what this transaction has done so far as well. */
static int
count_all_rows(Store *store, PlaceKind kind, int64 what, int n, Bitmapset **taken)
{
	if (!may_have_rows(kind))
		return 0;
	CommandCounterIncrement();
	return count_rows(store, kind, what, n, taken);
}

/*
 * Whether one more place may be held, with the lock of the number in hand. It may, unless
 * rows stand above the limit, which was lowered: then all that is held counts. Locks are
 * looked at before rows: who gives one up in between has committed his row.
 */
static bool
has_room(Store *store, PlaceKind kind, int64 what, int n, int number)
{
	Bitmapset *busy = NULL;
	Bitmapset *taken = NULL;
	int above = count_rows(store, kind, what, n, &taken) - bms_num_members(taken);

	if (above == 0)
		return true;
	if (above >= n)
		return false;
	for (int i = 0; i < n; i++)
	{
		LOCKTAG tag;

		set_tag(&tag, kind, what, i);
		if (i == number || is_mine(kind, what, i) || !lock(&tag))
			busy = bms_add_member(busy, i);
		else
			unlock(&tag);
	}
	taken = NULL;
	above = count_rows(store, kind, what, n, &taken) - bms_num_members(taken);
	return above + bms_num_members(bms_union(busy, taken)) <= n;
}

/* The number of a place nobody has, now locked; -1: there is none. */
static int
try_all(Store *store, PlaceKind kind, int64 what, int n, LOCKTAG *tag)
{
	int from = n == 1 ? 0 : MyProcPid % n;

	for (int i = 0; i < n; i++)
	{
		int number = (from + i) % n;

		set_tag(tag, kind, what, number);
		if (is_mine(kind, what, number) || !lock(tag))
			continue;
		/* with the lock in hand: it may be held by a row, or rows may be enough already */
		if (!may_have_rows(kind) || !has_row(store, kind, what, -1) ||
			(!has_row(store, kind, what, number) && has_room(store, kind, what, n, number)))
			return number;
		unlock(tag);
	}
	return -1;
}

/*
 * Have one of the n places of something; false if others hold them all, and then the
 * role will be woken when that changes. *fresh: this transaction had none before.
 */
bool
place_take(Store *store, PlaceKind kind, int64 what, int n, Oid role, bool *fresh)
{
	LOCKTAG tag;
	int number;

	*fresh = false;
	if (find(kind, what) != NULL)
		return true;
	make_room();
	number = try_all(store, kind, what, n, &tag);
	if (number < 0)
	{
		if (stent_shared == NULL)
			return false;
		announce_held_back(role);
		pg_atomic_write_u32(wanted(kind, what), 1);
		pg_memory_barrier();
		number = try_all(store, kind, what, n, &tag);
		if (number < 0)
			return false;
	}
	held[n_held++] =
		(Held){.kind = kind, .what = what, .number = number, .locked = true, .tag = tag};
	*fresh = true;
	return true;
}

/* Look for a place that no other task has, this transaction's tasks included; -1: none. */
static int
claim_one(Store *store, PlaceSearch *search)
{
	LOCKTAG tag;

	if (!search->begun)
	{
		search->taken = NULL;
		search->rows = count_all_rows(store, search->kind, search->what, search->n, &search->taken);
		search->begun = true;
	}
	if (search->rows + search->mine >= search->n)
		return -1;
	for (int i = 0; i < search->n; i++)
	{
		int number = search->n == 1 ? 0 : (MyProcPid + i) % search->n;

		if (bms_is_member(number, search->taken) || is_mine(search->kind, search->what, number))
			continue;
		set_tag(&tag, search->kind, search->what, number);
		if (!lock(&tag))
			continue;
		if (has_row(store, search->kind, search->what, number))
		{
			unlock(&tag);
			continue;
		}
		if (search->rows > bms_num_members(search->taken) &&
			!has_room(store, search->kind, search->what, search->n, number))
		{
			unlock(&tag);
			return -1;
		}
		make_room();
		held[n_held++] = (Held){.kind = search->kind,
								.what = search->what,
								.number = number,
								.locked = true,
								.leased = true,
								.subid = GetCurrentSubTransactionId(),
								.tag = tag};
		search->mine++;
		return number;
	}
	return -1;
}

/*
 * Have a place for one task that is to be leased; -1 if others hold them all, and then
 * workers will be woken when that changes.
 */
int
place_claim(Store *store, PlaceSearch *search)
{
	int number = claim_one(store, search);

	if (number >= 0 || stent_shared == NULL)
		return number;
	announce_held_back(InvalidOid);
	pg_atomic_write_u32(wanted(search->kind, search->what), 1);
	pg_memory_barrier();
	search->begun = false;
	search->mine = 0;
	for (int i = 0; i < n_held; i++)
		if (held[i].kind == search->kind && held[i].what == search->what && held[i].locked)
			search->mine++;
	return claim_one(store, search);
}

static void
unlock_held(Held *place)
{
	PlaceKind kind = place->kind;
	int64 what = place->what;

	unlock(&place->tag);
	*place = held[--n_held];
	if (stent_shared == NULL)
		return;
	pg_memory_barrier();
	if (pg_atomic_exchange_u32(wanted(kind, what), 0) != 0)
		announce_places_free(InvalidOid);
}

/* The place just claimed is not used. */
void
place_unclaim(PlaceSearch *search, int number)
{
	for (int i = n_held - 1; i >= 0; i--)
		if (held[i].kind == search->kind && held[i].what == search->what &&
			held[i].number == number && held[i].locked)
		{
			unlock_held(&held[i]);
			search->mine--;
			return;
		}
}

/* The place is the task's from now on, until place_leave. */
void
place_keep(Store *store, PlaceKind kind, int64 what, int number, int64 task_id)
{
	Datum values[PLACE_COLUMNS];
	bool nulls[PLACE_COLUMNS] = {0};

	values[PLACE_KIND - 1] = CharGetDatum(stored_kind[kind]);
	values[PLACE_WHAT - 1] = Int64GetDatum(what);
	values[PLACE_NUMBER - 1] = Int32GetDatum(number);
	values[PLACE_TASK_ID - 1] = Int64GetDatum(task_id);
	store_insert(store, store_table(store, STORE_PLACE), values, nulls);
	STENT_FAULT("place_after_keep");
}

/* A task is leased no more: others may have its places, once this is committed. */
void
place_leave(Store *store, int64 task_id)
{
	StoreRel *table = store_table(store, STORE_PLACE);
	Relation index = index_open(store_index_oid("place_task_id_idx"), AccessShareLock);
	IndexScanDesc scan;
	ScanKeyData key;

	PushActiveSnapshot(GetLatestSnapshot());
	scan = compat_index_beginscan(table->rel, index, GetActiveSnapshot(), 1);
	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(task_id));
	index_rescan(scan, &key, 1, NULL, 0);
	while (index_getnext_slot(scan, ForwardScanDirection, table->out))
	{
		bool isnull;
		char kind = DatumGetChar(slot_getattr(table->out, PLACE_KIND, &isnull));
		Held place = {.kind = kind == stored_kind[PLACE_LINE] ? PLACE_LINE : PLACE_FUNCTION,
					  .what = DatumGetInt64(slot_getattr(table->out, PLACE_WHAT, &isnull)),
					  .number = DatumGetInt32(slot_getattr(table->out, PLACE_NUMBER, &isnull))};

		/* nobody else does: who ends a lease has the task's row */
		store_delete_found(table);
		make_room();
		held[n_held++] = place;
	}
	index_endscan(scan);
	ExecClearTuple(table->out);
	index_close(index, NoLock);
	PopActiveSnapshot();
}

/* Nothing was done under a place that was just taken. */
void
place_give_back(PlaceKind kind, int64 what)
{
	Held *place = find(kind, what);

	if (place != NULL)
		unlock_held(place);
}

bool
place_is_held(PlaceKind kind, int64 what)
{
	return find(kind, what) != NULL;
}

/* How many locks of places this transaction has. */
int
place_count(void)
{
	int n = 0;

	for (int i = 0; i < n_held; i++)
		n += held[i].locked;
	return n;
}

/*
 * Our rows are visible, or gone, and the locks are still ours. They are given up here
 * and not by the server a moment later, for who is woken before finds them taken.
 */
static void
give_up(bool committed)
{
	/* an executor looks by itself whether its role has more to do */
	Oid me = committed && attempt_session_is_own() ? GetUserId() : InvalidOid;
	bool left_out = false;
	bool any = false;

	for (int i = 0; i < n_held; i++)
		if (held[i].locked)
			unlock(&held[i].tag);
	if (stent_shared != NULL)
	{
		pg_memory_barrier();
		for (int i = 0; i < n_held; i++)
		{
			if (pg_atomic_exchange_u32(wanted(held[i].kind, held[i].what), 0) == 0)
				continue;
			any = true;
			/* a nudge waits, which is no work that an executor would look for */
			if (held[i].kind == PLACE_DECISION)
				me = InvalidOid;
		}
		if (any)
			left_out = announce_places_free(me);
		for (int i = 0; i < n_held && left_out; i++)
			pg_atomic_write_u32(wanted(held[i].kind, held[i].what), 1);
	}
	n_held = 0;
}

static void
xact_ended(XactEvent event, void *arg)
{
	if (n_held == 0)
		return;
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT)
		give_up(event == XACT_EVENT_COMMIT);
	else if (event == XACT_EVENT_PREPARE)
		n_held = 0; /* the prepared transaction's, until its end */
}

/* What was claimed in a savepoint that is undone is nobody's; what ran in it did run. */
static void
subxact_ended(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	if (event != SUBXACT_EVENT_ABORT_SUB && event != SUBXACT_EVENT_COMMIT_SUB)
		return;
	for (int i = n_held - 1; i >= 0; i--)
	{
		if (!held[i].leased || held[i].subid != mine)
			continue;
		if (event == SUBXACT_EVENT_COMMIT_SUB)
			held[i].subid = parent;
		else
			unlock_held(&held[i]);
	}
}

void
place_init(void)
{
	RegisterXactCallback(xact_ended, NULL);
	RegisterSubXactCallback(subxact_ended, NULL);
}
