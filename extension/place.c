/*
 * place.c
 *	  Places: the right to run one more of something, until the transaction ends.
 *
 * A limit of n is n locks of the server's lock table, and who runs tasks under it
 * holds one of them to the end of the transaction that commits them: so the limit
 * holds for any mix of executors and sessions, with or without preload, and who is
 * lost gives its place back at once. Nobody ever waits for a place, so nobody can
 * deadlock: without one, the tasks are passed over.
 *
 * No wake-up is lost: who finds no place says so (shared memory: wanted, and the role
 * is held back) and tries once more; who gives one up does so first and looks
 * afterwards whether anybody wanted it. Without preload others look once a second.
 */
#include "postgres.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "announce.h"
#include "attempt.h"
#include "place.h"
#include "shmem.h"

/* in field 4 of an advisory lock's tag; SQL functions use 1 and 2 */
#define PLACE_LOCK_CLASS 0x5700

typedef struct Held
{
	PlaceKind kind;
	int64 what;
	LOCKTAG tag;
} Held;

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

static Held *
find(PlaceKind kind, int64 what)
{
	/* the last one is asked for most */
	for (int i = n_held - 1; i >= 0; i--)
		if (held[i].what == what && held[i].kind == kind)
			return &held[i];
	return NULL;
}

static bool
try_all(PlaceKind kind, int64 what, int n, LOCKTAG *tag)
{
	int from = n == 1 ? 0 : MyProcPid % n;

	for (int i = 0; i < n; i++)
	{
		set_tag(tag, kind, what, (from + i) % n);
		if (lock(tag))
			return true;
	}
	return false;
}

/*
 * Have one of the n places of something; false if others hold them all, and then the
 * role will be woken when that changes. *fresh: this transaction had none before.
 */
bool
place_take(PlaceKind kind, int64 what, int n, Oid role, bool *fresh)
{
	LOCKTAG tag;

	*fresh = false;
	if (find(kind, what) != NULL)
		return true;
	if (n_held == max_held)
	{
		int max = Max(2 * max_held, 64);

		if (held == NULL)
			held = MemoryContextAlloc(TopMemoryContext, max * sizeof(Held));
		else
			held = repalloc_array(held, Held, max);
		max_held = max;
	}
	if (!try_all(kind, what, n, &tag))
	{
		if (stent_shared == NULL)
			return false;
		announce_held_back(role);
		pg_atomic_write_u32(wanted(kind, what), 1);
		pg_memory_barrier();
		if (!try_all(kind, what, n, &tag))
			return false;
	}
	held[n_held++] = (Held){kind, what, tag};
	*fresh = true;
	return true;
}

/* Nothing was done under a place that was just taken. */
void
place_give_back(PlaceKind kind, int64 what)
{
	Held *place = find(kind, what);

	if (place == NULL)
		return;
	unlock(&place->tag);
	*place = held[--n_held];
	if (stent_shared == NULL)
		return;
	pg_memory_barrier();
	if (pg_atomic_exchange_u32(wanted(kind, what), 0) != 0)
		announce_places_free(InvalidOid);
}

bool
place_is_held(PlaceKind kind, int64 what)
{
	return find(kind, what) != NULL;
}

int
place_count(void)
{
	return n_held;
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

void
place_init(void)
{
	RegisterXactCallback(xact_ended, NULL);
}
