/*
 * board_load.c
 *	  Reading the tables into the board: heads, due times, counts.
 *
 * Commits announce themselves from the moment the database has a slot, so what a
 * later snapshot shows and what is announced is everything. Loading only ever lowers
 * heads, so it may be repeated at any time: it finds what came without an
 * announcement (a restore, a prepared transaction, logical replication).
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_extension.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "board.h"
#include "board_load.h"
#include "compat.h"
#include "due.h"
#include "intern.h"
#include "ready.h"
#include "registry.h"
#include "shmem.h"
#include "slots.h"
#include "store.h"

static bool no_room; /* the board cannot hold everything */

typedef struct BucketCount
{
	int64 bucket; /* hash key */
	Oid role;
	int64 ready;
	int64 scheduled;
	int64 blocked;
	int64 waiting;
} BucketCount;

/* The version of the installed extension. */
char *
board_load_version(Oid extension)
{
	Relation rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;
	char *version = "unknown";

	ScanKeyInit(&key, Anum_pg_extension_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(extension));
	scan = systable_beginscan(rel, ExtensionOidIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool isnull;
		Datum value =
			heap_getattr(tuple, Anum_pg_extension_extversion, RelationGetDescr(rel), &isnull);

		if (!isnull)
			version = TextDatumGetCString(value);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return version;
}

static bool
runs_here(Store *store, const Lane *lane)
{
	return function_by_id(store, lane->function_id)->handler_name != NULL;
}

static void
load_ready(Store *store)
{
	int64 from = PG_INT64_MIN;

	while (ready_seek(store, from, PG_INT64_MAX))
	{
		int64 position;
		int64 bucket = ready_found(store, &position);
		const Lane *lane = lane_get(store, ready_bucket_lane(bucket));
		Oid role = lane_role(lane);
		bool here = runs_here(store, lane);
		DatabaseSlot *database;
		BoardRole *entry;

		CHECK_FOR_INTERRUPTS();
		LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
		database = shmem_database(MyDatabaseId, false);
		entry = board_role(MyDatabaseId, role, true);
		if (entry == NULL || database == NULL)
			no_room = true;
		else
		{
			/* the first entry was known, but perhaps one behind it was not */
			board_lower(entry, bucket, position);
			entry->changes++;
			if (here)
				shmem_set_latch(slots_notice(database, entry));
		}
		LWLockRelease(stent_shared->lock);
		from = bucket + 1;
	}
}

/* The first due time of each role. */
static void
load_due(Store *store)
{
	int64 from = 0;
	int64 bucket;
	Timestamp due_at;

	while (due_seek(store, from, &bucket, &due_at))
	{
		Oid role = lane_role(lane_get(store, ready_bucket_lane(bucket)));
		BoardRole *entry;

		CHECK_FOR_INTERRUPTS();
		LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
		entry = board_role(MyDatabaseId, role, true);
		if (entry != NULL)
		{
			entry->next_due = Min(entry->next_due, due_at);
			entry->due_low = Min(entry->due_low, due_at);
			entry->due_again = 0;
			entry->due_failed = false;
		}
		LWLockRelease(stent_shared->lock);
		from = ready_role_key(bucket) + INT64CONST(1);
	}
}

/* Begin anew: the tables may be others than those the board was made from. */
void
board_unload(void)
{
	DatabaseSlot *database;

	LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
	database = shmem_database(MyDatabaseId, false);
	if (database != NULL)
		database->loaded = database->counted = false;
	board_forget(MyDatabaseId);
	LWLockRelease(stent_shared->lock);
}

/* Learn where the ready entries of each bucket begin, and when roles have something due. */
void
board_load(void)
{
	Store *store;
	DatabaseSlot *database;

	no_room = false;
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	store = store_open("reading the ready table");
	load_ready(store);
	load_due(store);
	store_close(store);
	PopActiveSnapshot();
	CommitTransactionCommand();

	LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
	database = shmem_database(MyDatabaseId, false);
	if (database != NULL)
		database->loaded = !no_room;
	LWLockRelease(stent_shared->lock);
}

static BucketCount *
bucket_count(HTAB *counts, Store *store, int64 bucket)
{
	bool found;
	BucketCount *entry = hash_search(counts, &bucket, HASH_ENTER, &found);

	if (!found)
	{
		entry->role = lane_role(lane_get(store, ready_bucket_lane(bucket)));
		entry->ready = entry->scheduled = entry->blocked = entry->waiting = 0;
	}
	return entry;
}

static void
count_table(HTAB *counts, Store *store, StoreTable which, Snapshot snapshot)
{
	StoreRel *table = store_table(store, which);
	TableScanDesc scan = table_beginscan(table->rel, snapshot, 0, NULL);
	bool isnull;

	while (table_scan_getnextslot(scan, ForwardScanDirection, table->out))
	{
		CHECK_FOR_INTERRUPTS();
		if (which == STORE_READY)
			bucket_count(counts, store,
						 DatumGetInt64(slot_getattr(table->out, READY_BUCKET, &isnull)))
				->ready++;
		else if (which == STORE_LINE)
		{
			if (DatumGetBool(slot_getattr(table->out, LINE_BLOCKED, &isnull)))
				bucket_count(counts, store,
							 DatumGetInt64(slot_getattr(table->out, LINE_BUCKET, &isnull)))
					->blocked++;
		}
		else
		{
			char kind = DatumGetChar(slot_getattr(table->out, DUE_KIND, &isnull));
			BucketCount *count;

			if (kind != DUE_READY && kind != DUE_WAIT)
				continue;
			count = bucket_count(counts, store,
								 DatumGetInt64(slot_getattr(table->out, DUE_BUCKET, &isnull)));
			count->scheduled += kind == DUE_READY;
			count->waiting += kind == DUE_WAIT;
		}
	}
	table_endscan(scan);
	ExecClearTuple(table->out);
}

static void
add_count(Oid role, int64 bucket, int64 ready, int64 scheduled, int64 blocked, int64 waiting)
{
	BoardRole *entry = board_role(MyDatabaseId, role, true);
	BoardBucket *known = entry == NULL ? NULL : board_bucket(entry, bucket, true);

	if (known == NULL)
		return;
	known->ready += ready;
	known->scheduled += scheduled;
	known->blocked += blocked;
	known->waiting += waiting;
}

/* Put what was counted, and what was committed meanwhile, on the board; under the lock. */
static bool
publish(HTAB *counts, Snapshot snapshot)
{
	HASH_SEQ_STATUS status;
	BucketCount *count;
	BoardRole *role;

	if (stent_shared->n_count_log < 0)
		return false;
	board_scan_begin(&status);
	while ((role = hash_seq_search(&status)) != NULL)
		if (role->key.database == MyDatabaseId)
			for (BoardBucket *bucket = role->first; bucket != NULL; bucket = bucket->next)
				bucket->ready = bucket->scheduled = bucket->blocked = bucket->waiting = 0;
	hash_seq_init(&status, counts);
	while ((count = hash_seq_search(&status)) != NULL)
		add_count(count->role, count->bucket, count->ready, count->scheduled, count->blocked,
				  count->waiting);
	for (int i = 0; i < stent_shared->n_count_log; i++)
	{
		const CountLog *log = &stent_shared->count_log[i];

		if (XidInMVCCSnapshot(log->xid, snapshot) ||
			TransactionIdFollowsOrEquals(log->xid, snapshot->xmax))
			add_count(log->role, log->bucket, log->ready, log->scheduled, log->blocked,
					  log->waiting);
	}
	return true;
}

/*
 * Count the entries of each bucket. Commits during the count are logged with their
 * ids and added if the snapshot did not see them. False: not now, try again.
 */
bool
board_count(void)
{
	HASHCTL ctl = {.keysize = sizeof(int64), .entrysize = sizeof(BucketCount)};
	HTAB *counts;
	DatabaseSlot *database;
	Snapshot snapshot;
	Store *store;
	bool begun;
	bool done;

	LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
	database = shmem_database(MyDatabaseId, false);
	begun = database != NULL && !OidIsValid(stent_shared->counting);
	if (begun)
	{
		stent_shared->counting = MyDatabaseId;
		stent_shared->n_count_log = 0;
		database->count_epoch |= 1;
	}
	LWLockRelease(stent_shared->lock);
	if (!begun)
		return false;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	ctl.hcxt = CurrentMemoryContext;
	counts = hash_create("stent counts", 256, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	snapshot = RegisterSnapshot(GetTransactionSnapshot());
	PushActiveSnapshot(snapshot);
	store = store_open("counting tasks");
	count_table(counts, store, STORE_READY, snapshot);
	count_table(counts, store, STORE_DUE, snapshot);
	count_table(counts, store, STORE_LINE, snapshot);
	store_close(store);

	LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
	database = shmem_database(MyDatabaseId, false);
	done = database != NULL && publish(counts, snapshot);
	stent_shared->counting = InvalidOid;
	if (database != NULL)
	{
		database->count_epoch++;
		database->counted = done;
	}
	LWLockRelease(stent_shared->lock);
	PopActiveSnapshot();
	UnregisterSnapshot(snapshot);
	CommitTransactionCommand();
	return done;
}

/* Whether this database has prepared transactions. */
static bool
some_prepared(void)
{
	bool some;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	if (SPI_connect() != SPI_OK_CONNECT ||
		SPI_execute("SELECT FROM pg_catalog.pg_prepared_xacts "
					"WHERE database OPERATOR(pg_catalog.=) pg_catalog.current_database()",
					true, 1) != SPI_OK_SELECT)
		elog(ERROR, "reading the prepared transactions failed");
	some = SPI_processed > 0;
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
	return some;
}

/*
 * Whether prepared transactions may have changed entries unannounced, so that it is
 * time to count again. Asked again and again until all of them have ended.
 */
bool
board_load_uncertain(void)
{
	DatabaseSlot *database;
	bool prepared;

	LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
	database = shmem_database(MyDatabaseId, false);
	prepared = database != NULL && database->prepared;
	if (prepared)
		database->prepared = false;
	LWLockRelease(stent_shared->lock);
	if (!prepared || !some_prepared())
		return prepared;
	LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
	database = shmem_database(MyDatabaseId, false);
	if (database != NULL)
		database->prepared = true;
	LWLockRelease(stent_shared->lock);
	return true;
}
