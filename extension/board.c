/*
 * board.c
 *	  The board: heads and counts of each bucket, in shared memory.
 *
 * A head may rise only over entries that are taken. Who looks at a bucket begins
 * an epoch, before it takes its snapshot; what becomes claimable afterwards
 * (a commit, or the abort of one who had taken it) is noted in the epoch's low;
 * so who then wants to raise the head knows whether anything came below that its
 * snapshot did not show. See docs/executors.md, and test/model/heads.pml for the proof.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/shmem.h"
#include "utils/hsearch.h"
#include "utils/timestamp.h"

#include "board.h"
#include "compat.h"
#include "guc.h"
#include "shmem.h"
#include "store.h"

static HTAB *buckets;
static HTAB *roles;

/* Each role with work has a bucket, so there are no more of them. */
static long
max_roles(void)
{
	return stent_max_lanes;
}

Size
board_size(void)
{
	return add_size(hash_estimate_size(stent_max_lanes, sizeof(BoardBucket)),
					hash_estimate_size(max_roles(), sizeof(BoardRole)));
}

/* Called with AddinShmemInitLock held. */
void
board_startup(void)
{
	HASHCTL ctl = {.keysize = sizeof(BoardBucketKey), .entrysize = sizeof(BoardBucket)};
	HASHCTL role_ctl = {.keysize = sizeof(BoardRoleKey), .entrysize = sizeof(BoardRole)};

	buckets = ShmemInitHash("stent buckets", stent_max_lanes, stent_max_lanes, &ctl,
							HASH_ELEM | HASH_BLOBS | HASH_FIXED_SIZE);
	roles = ShmemInitHash("stent roles", max_roles(), max_roles(), &role_ctl,
						  HASH_ELEM | HASH_BLOBS | HASH_FIXED_SIZE);
}

BoardRole *
board_role(Oid database, Oid role, bool make)
{
	BoardRoleKey key = {database, role};
	BoardRole *entry;
	bool found;

	entry = hash_search(roles, &key, make ? HASH_ENTER_NULL : HASH_FIND, &found);
	if (entry != NULL && !found)
	{
		memset((char *) entry + sizeof(BoardRoleKey), 0, sizeof(BoardRole) - sizeof(BoardRoleKey));
		entry->next_due = entry->due_low = entry->token_at = DT_NOEND;
	}
	return entry;
}

/* A later bucket of the same key must not be taken for this one. */
static void
remove_bucket(BoardBucket *bucket)
{
	stent_shared->epoch_base = Max(stent_shared->epoch_base, bucket->epoch + BOARD_EPOCHS);
	(void) hash_search(buckets, &bucket->key, HASH_REMOVE, NULL);
}

/* Remove buckets that say nothing, to make room; true if there is some. */
static bool
make_room(void)
{
	HASH_SEQ_STATUS status;
	BoardRole *role;
	bool removed = false;

	hash_seq_init(&status, roles);
	while ((role = hash_seq_search(&status)) != NULL)
	{
		BoardBucket **link = &role->first;

		while (*link != NULL)
		{
			BoardBucket *bucket = *link;

			if (bucket->head == HEAD_END && bucket->ready == 0 && bucket->scheduled == 0 &&
				bucket->blocked == 0 && bucket->waiting == 0)
			{
				*link = bucket->next;
				role->n_buckets--;
				remove_bucket(bucket);
				removed = true;
			}
			else
				link = &bucket->next;
		}
	}
	return removed;
}

/*
 * A bucket of the role. A new one begins without claimable entries: who makes it
 * lowers its head. Without room the role's work is no longer on the board.
 */
BoardBucket *
board_bucket(BoardRole *role, int64 bucket, bool make)
{
	BoardBucketKey key = {role->key.database, role->key.role, bucket};
	BoardBucket *entry;
	bool found;

	entry = hash_search(buckets, &key, make ? HASH_ENTER_NULL : HASH_FIND, &found);
	if (entry == NULL && make && make_room())
		entry = hash_search(buckets, &key, HASH_ENTER_NULL, &found);
	if (entry == NULL)
	{
		if (make)
			role->incomplete = true;
		return NULL;
	}
	if (!found)
	{
		entry->head = HEAD_END;
		entry->epoch = stent_shared->epoch_base;
		for (int i = 0; i < BOARD_EPOCHS; i++)
			entry->low[i] = HEAD_END;
		entry->ready = entry->scheduled = entry->blocked = entry->waiting = 0;
		entry->next = role->first;
		role->first = entry;
		role->n_buckets++;
	}
	return entry;
}

/* An entry became claimable: its rows are visible, or its taker has gone. */
void
board_lower(BoardRole *role, int64 bucket, int64 position)
{
	BoardBucket *entry = board_bucket(role, bucket, true);
	int64 *low;

	if (entry == NULL)
		return;
	low = &entry->low[entry->epoch % BOARD_EPOCHS];
	*low = Min(*low, position);
	entry->head = Min(entry->head, position);
}

/* Forget a database: its extension, or itself, is gone. */
void
board_forget(Oid database)
{
	HASH_SEQ_STATUS status;
	BoardRole *role;

	hash_seq_init(&status, roles);
	while ((role = hash_seq_search(&status)) != NULL)
	{
		if (role->key.database != database)
			continue;
		while (role->first != NULL)
		{
			BoardBucket *bucket = role->first;

			role->first = bucket->next;
			remove_bucket(bucket);
		}
		role->n_buckets = 0;
		/* executors that still run will be subtracted from it */
		if (role->executors == 0)
			(void) hash_search(roles, &role->key, HASH_REMOVE, NULL);
	}
}

/* Walk over all roles with hash_seq_search, under the lock. */
void
board_scan_begin(HASH_SEQ_STATUS *status)
{
	hash_seq_init(status, roles);
}

static int
compare_looks(const void *a, const void *b)
{
	int64 x = ((const BoardLook *) a)->bucket;
	int64 y = ((const BoardLook *) b)->bucket;

	return x < y ? -1 : x > y ? 1 : 0;
}

/*
 * The roles of this database of which the board knows anything; -1 if it does not know
 * all of them, or not all their heads.
 */
int
board_roles(Oid **roles)
{
	int max = 16;
	int n;

	*roles = palloc_array(Oid, max);
	for (;;)
	{
		HASH_SEQ_STATUS status;
		BoardRole *role;
		DatabaseSlot *database;
		bool complete;

		LWLockAcquire(stent_shared->lock, LW_SHARED);
		database = shmem_database(MyDatabaseId, false);
		complete = database != NULL && database->loaded;
		n = 0;
		board_scan_begin(&status);
		while ((role = hash_seq_search(&status)) != NULL)
		{
			if (role->key.database != MyDatabaseId)
				continue;
			complete &= !role->incomplete;
			if (n < max)
				(*roles)[n] = role->key.role;
			n++;
		}
		LWLockRelease(stent_shared->lock);
		if (!complete)
			return -1;
		if (n <= max)
			return n;
		/* memory is not to be asked for under the lock */
		max = 2 * n;
		*roles = repalloc_array(*roles, Oid, max);
	}
}

void
board_sort(BoardLook *looks, int n)
{
	qsort(looks, n, sizeof(BoardLook), compare_looks);
}

/*
 * Look at all buckets of a role of this database that have claimable entries, in
 * order: highest priority first. To be called before the snapshot is taken with
 * which the entries are read. Returns -1 if the board does not know them all.
 */
int
board_look(Oid role, BoardLook **looks, uint64 *changes)
{
	int max = 16;
	int n = 0;
	BoardRole *entry;
	DatabaseSlot *database;

	*looks = palloc_array(BoardLook, max);
	for (;;)
	{
		LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
		database = shmem_database(MyDatabaseId, false);
		if (database == NULL || !database->loaded)
		{
			LWLockRelease(stent_shared->lock);
			return -1;
		}
		entry = board_role(MyDatabaseId, role, false);
		if (entry == NULL)
		{
			*changes = 0;
			LWLockRelease(stent_shared->lock);
			return 0;
		}
		if (entry->incomplete)
		{
			LWLockRelease(stent_shared->lock);
			return -1;
		}
		if (entry->n_buckets <= max)
			break;
		/* memory is not to be asked for under the lock */
		max = entry->n_buckets + 16;
		LWLockRelease(stent_shared->lock);
		*looks = repalloc_array(*looks, BoardLook, max);
	}
	*changes = entry->changes;
	for (BoardBucket *bucket = entry->first; bucket != NULL; bucket = bucket->next)
	{
		if (bucket->head == HEAD_END)
			continue;
		bucket->epoch++;
		bucket->low[bucket->epoch % BOARD_EPOCHS] = HEAD_END;
		(*looks)[n].bucket = bucket->key.bucket;
		(*looks)[n].head = bucket->head;
		(*looks)[n].epoch = bucket->epoch;
		n++;
	}
	LWLockRelease(stent_shared->lock);
	board_sort(*looks, n);
	return n;
}

/* Rises when anything of the role becomes claimable. */
uint64
board_changes(Oid role)
{
	BoardRole *entry;
	uint64 changes = 0;

	LWLockAcquire(stent_shared->lock, LW_SHARED);
	entry = board_role(MyDatabaseId, role, false);
	if (entry != NULL)
		changes = entry->changes;
	LWLockRelease(stent_shared->lock);
	return changes;
}

/*
 * The buckets below end, of higher priority, in which the role has claimable entries;
 * returns how many, and names max of them.
 */
int
board_above(Oid role, int64 end_bucket, int64 *above, int max)
{
	BoardRole *entry;
	int n = 0;

	LWLockAcquire(stent_shared->lock, LW_SHARED);
	entry = board_role(MyDatabaseId, role, false);
	if (entry != NULL)
		for (BoardBucket *bucket = entry->first; bucket != NULL; bucket = bucket->next)
			if (bucket->key.bucket < end_bucket && bucket->head != HEAD_END && n++ < max)
				above[n - 1] = bucket->key.bucket;
	LWLockRelease(stent_shared->lock);
	return n;
}

/*
 * Everything that the look of this epoch showed below position has been taken.
 * The head rises so far, but not over what became claimable since that look.
 */
void
board_raise(Oid role, int64 bucket, uint64 epoch, int64 position)
{
	BoardRole *entry;
	BoardBucket *known;

	LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
	entry = board_role(MyDatabaseId, role, false);
	known = entry == NULL ? NULL : board_bucket(entry, bucket, false);
	if (known != NULL && known->epoch - epoch < BOARD_EPOCHS)
	{
		for (uint64 e = epoch; e <= known->epoch; e++)
			position = Min(position, known->low[e % BOARD_EPOCHS]);
		known->head = Max(known->head, position);
	}
	LWLockRelease(stent_shared->lock);
}
