/*
 * archive.c
 *	  Finished tasks, one partition a day, and large values.
 *
 * The hot path touches only the partition of today, found by its name. Making
 * partitions and dropping them is SQL (sql/parts/85_maintenance.sql), done ahead
 * of need: whoever runs tasks and sees tomorrow's partition missing makes a week,
 * at the end of a batch. Where today's is missing (nothing ran for a week), rows go
 * to archive_kept until it is there: nobody waits for a partition.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/partition.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

#include "archive.h"
#include "compat.h"
#include "fault.h"
#include "guc.h"
#include "shmem.h"

/* Values larger than this are stored once and referenced. */
#define PAYLOAD_INLINE_LIMIT 1000

#define DAYS_AHEAD 7
#define HOUSEKEEPING_INTERVAL (10 * USECS_PER_MINUTE)

static int64 leaf_day = -1; /* day of the remembered leaf */
static Oid leaf_oid;
static uint64 leaf_generation;
static int64 ahead_checked_day = -1; /* tomorrow's partition was seen on this day */
static uint64 ahead_generation;
static Timestamp next_drop = DT_NOBEGIN;
static Timestamp next_fold = DT_NOBEGIN;
static Timestamp next_try = DT_NOBEGIN; /* to make partitions, after a failure */

static void
xact_ended(XactEvent event, void *arg)
{
	/* a partition made by this transaction is gone with it */
	if (event == XACT_EVENT_ABORT)
		leaf_day = ahead_checked_day = -1;
}

static void
subxact_ended(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	/* one that has written nothing has made no partition */
	if (event == SUBXACT_EVENT_ABORT_SUB && TransactionIdIsValid(GetCurrentTransactionIdIfAny()))
		leaf_day = ahead_checked_day = -1;
}

void
archive_init(void)
{
	RegisterXactCallback(xact_ended, NULL);
	RegisterSubXactCallback(subxact_ended, NULL);
}

/* Days since 2000-01-01. */
static int64
day_of(Timestamp moment)
{
	int64 day = moment / USECS_PER_DAY;

	return moment < 0 && moment % USECS_PER_DAY != 0 ? day - 1 : day;
}

static Oid
partition_of_day(int64 day)
{
	int year;
	int month;
	int mday;
	Oid oid;

	j2date((int) (day + POSTGRES_EPOCH_JDATE), &year, &month, &mday);
	oid = store_relation_oid(psprintf("archive_p%04d%02d%02d", year, month, mday));
	if (OidIsValid(oid) && (!get_rel_relispartition(oid) ||
							get_partition_parent(oid, true) != store_relation_oid("archive")))
		return InvalidOid;
	return oid;
}

/* The partition that takes what finishes at this moment, or InvalidOid. */
static Oid
leaf_for(Timestamp moment)
{
	int64 day = day_of(moment);

	if (day == leaf_day && leaf_generation == store_generation())
		return leaf_oid;
	/* so that a change of the archive is noticed: its oid must be remembered */
	(void) store_owner();
	leaf_oid = partition_of_day(day);
	leaf_generation = store_generation();
	leaf_day = OidIsValid(leaf_oid) ? day : -1;
	return leaf_oid;
}

/*
 * Run housekeeping SQL as the owner, in a subtransaction: whatever stands in its
 * way (an event trigger, a lock, a full disk), the finished tasks of the batch
 * must not be undone by it.
 */
static bool
housekeep(const char *sql, int nargs, Oid *types, Datum *values)
{
	MemoryContext outer = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool done = false;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(outer);
	PG_TRY();
	{
		ColdSql cold;

		cold_begin(&cold);
		if (SPI_execute_with_args(sql, nargs, types, values, NULL, false, 0) < 0)
			elog(ERROR, "SPI failed: %s", sql);
		cold_end(&cold);
		ReleaseCurrentSubTransaction();
		done = true;
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(outer);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(outer);
		CurrentResourceOwner = owner;
		if (error->sqlerrcode == ERRCODE_QUERY_CANCELED)
			ReThrowError(error);
		ereport(WARNING, (errcode(error->sqlerrcode),
						  errmsg("housekeeping of stent failed: %s", error->message),
						  errdetail("Tasks are not affected; it is tried again in ten minutes."),
						  errhint("Finished tasks are kept in stent.archive_kept meanwhile.")));
	}
	PG_END_TRY();
	MemoryContextSwitchTo(outer);
	CurrentResourceOwner = owner;
	return done;
}

/* Make the missing partitions from this day on. */
static bool
make_partitions(Timestamp moment)
{
	Oid types[2] = {DATEOID, DATEOID};
	Datum values[2];
	int64 day = day_of(moment);

	values[0] = DateADTGetDatum((DateADT) day);
	values[1] = DateADTGetDatum((DateADT) (day + DAYS_AHEAD));
	leaf_day = -1;
	return housekeep("SELECT stent._add_partitions($1, $2)", 2, types, values);
}

/* Whether the partitions of today and tomorrow are there; remembered for the day. */
static bool
partitions_ahead(Timestamp moment)
{
	int64 day = day_of(moment);

	if (ahead_generation != store_generation())
		ahead_checked_day = -1;
	if (ahead_checked_day != day && OidIsValid(partition_of_day(day)) &&
		OidIsValid(partition_of_day(day + 1)))
	{
		ahead_checked_day = day;
		ahead_generation = store_generation();
	}
	return ahead_checked_day == day;
}

/* Whether it is too early yet; a clock that was set back makes nothing early. */
static bool
earlier(Timestamp moment, Timestamp next)
{
	return moment < next && moment >= next - HOUSEKEEPING_INTERVAL;
}

/* Whether a scheduler serves this database. */
static bool
is_served(void)
{
	DatabaseSlot *slot;
	bool served;

	if (stent_shared == NULL)
		return false;
	LWLockAcquire(stent_shared->lock, LW_SHARED);
	slot = shmem_database(MyDatabaseId, false);
	served = slot != NULL && slot->scheduler >= 0;
	LWLockRelease(stent_shared->lock);
	return served;
}

/* Fold totals and counters where no scheduler does. */
static void
fold_totals(Timestamp moment)
{
	if (earlier(moment, next_fold) || is_served() || IsolationUsesXactSnapshot() ||
		!store_has_relation("tally"))
		return;
	next_fold = moment + HOUSEKEEPING_INTERVAL;
	(void) housekeep("SELECT stent._fold_tallies()", 0, NULL, NULL);
	/* a database of an older version has no function for them */
	if (store_has_relation("progress_entry"))
		(void) housekeep("SELECT stent._fold_counters()", 0, NULL, NULL);
}

/*
 * At the end of a batch: make partitions ahead, and, when there was nothing to
 * run, drop one that is past retention. Waits for nobody but, 100 ms at
 * most, for readers of a partition to be dropped.
 */
void
archive_housekeeping(Timestamp moment, bool may_drop)
{
	bool ahead = partitions_ahead(moment);
	bool drop = may_drop && guc_retention_us() >= 0 && !earlier(moment, next_drop);
	Oid types[1] = {TIMESTAMPOID};
	Datum values[1];

	if (may_drop)
		fold_totals(moment);
	if (!drop && (ahead || earlier(moment, next_try)))
		return;
	(void) store_owner();
	if (!ConditionalLockRelationOid(store_relation_oid("archive"), ShareUpdateExclusiveLock))
		return;
	if (!ahead && !make_partitions(moment))
		next_try = moment + HOUSEKEEPING_INTERVAL;
	if (!drop)
		return;
	next_drop = moment + HOUSEKEEPING_INTERVAL;
	values[0] = TimestampGetDatum(moment - guc_retention_us());
	(void) housekeep("SELECT stent._retire($1, 1)", 1, types, values);
}

/* Store a finished task. */
void
archive_insert(Store *store, const Task *task)
{
	Datum values[ARCHIVE_COLUMNS];
	bool nulls[ARCHIVE_COLUMNS];
	Oid leaf = leaf_for(task->finished_at);

	task_archive_values(task, values, nulls);
	store_insert(
		store, OidIsValid(leaf) ? store_leaf(store, leaf) : store_table(store, STORE_ARCHIVE_KEPT),
		values, nulls);
}

/* The partition of what finishes at a moment, or NULL. */
StoreRel *
archive_leaf(Store *store, Timestamp moment)
{
	Oid leaf = leaf_for(moment);

	return OidIsValid(leaf) ? store_leaf(store, leaf) : NULL;
}

void
dead_letter_insert(Store *store, const Task *task)
{
	Datum values[ARCHIVE_COLUMNS];
	bool nulls[ARCHIVE_COLUMNS];

	task_archive_values(task, values, nulls);
	store_insert(store, store_table(store, STORE_DEAD_LETTER), values, nulls);
}

int64
payload_insert(Store *store, Jsonb *value)
{
	Datum values[2];
	bool nulls[2] = {0};
	int64 id = store_next_id();

	values[0] = Int64GetDatum(id);
	values[1] = JsonbPGetDatum(value);
	store_insert(store, store_table(store, STORE_PAYLOAD), values, nulls);
	return id;
}

Jsonb *
payload_get(Store *store, int64 ref)
{
	StoreRel *table = store_table(store, STORE_PAYLOAD);
	bool isnull;
	Jsonb *value;

	if (!store_find_id(table, GetActiveSnapshot(), ref))
		elog(ERROR, "payload " INT64_FORMAT " does not exist", ref);
	value = DatumGetJsonbPCopy(slot_getattr(table->out, 2, &isnull));
	ExecClearTuple(table->out);
	return value;
}

/* Nothing refers to it any more. */
void
payload_delete(Store *store, int64 ref)
{
	StoreRel *table = store_table(store, STORE_PAYLOAD);

	if (!store_find_id(table, GetActiveSnapshot(), ref))
		return;
	store_delete_found(table);
	ExecClearTuple(table->out);
}

/* Store a large value once and leave a reference in its place. */
void
payload_place(Store *store, Jsonb **value, int64 *ref)
{
	*ref = NO_ID;
	if (*value == NULL || VARSIZE(*value) <= PAYLOAD_INLINE_LIMIT)
		return;
	*ref = payload_insert(store, *value);
	*value = NULL;
}
