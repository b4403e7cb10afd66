/*
 * wake.c
 *	  Waking workers that wait for work, by NOTIFY.
 *
 * A worker is a client: what can wake it is NOTIFY, for which committing transactions
 * queue up behind one lock of the server. So nobody who commits work sends one.
 * A worker that is about to sleep says so (worker_wait: a mark in shared memory, set at
 * once); who makes something claimable looks at the mark when its rows are visible,
 * takes it away and leaves it to the scheduler to tell (wake_queue; announce.c has the
 * occasions). So a commit pays for a worker only if one waits for that queue, and then
 * the first commit alone.
 *
 * No wake-up is lost: the worker sets its mark first and claims afterwards, who commits
 * makes the rows visible first and looks afterwards, both under the lock; and a mark that
 * was taken away is told, or everybody is. See docs/waking-workers.md, and
 * test/model/notify.pml for the proof.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "commands/async.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "fault.h"
#include "registry.h"
#include "wake.h"

/* how long to sleep at most: where somebody tells, and where nobody does */
#define BACKSTOP_MS (5 * 60 * 1000)
#define POLL_MS 1000

/* what could not be told is tried again after 1 s, 2 s, ... this */
#define TELL_AGAIN_MAX_S 60

/* a queue of this name would be taken for word of a cancellation */
#define CANCELLED "!"

StaticAssertDecl(QUEUE_LENGTH == MAX_NAME_LENGTH + 1, "a queue's name must fit");

static TimestampTz tell_again; /* not before */
static int misses;             /* in a row */

/* The entry of a queue, or a free one if make; NULL: there is none. */
static WakeQueue *
find_queue(Oid database, const char *queue, TimestampTz now, bool make)
{
	uint32 hash = hash_bytes((const unsigned char *) queue, strlen(queue));
	WakeQueue *room = NULL;

	for (int i = 0; i < WAKE_QUEUES; i++)
	{
		WakeQueue *entry = &stent_shared->wake_queues[i];

		if (entry->database == database && entry->hash == hash && strcmp(entry->name, queue) == 0)
			return entry;
		if (!OidIsValid(entry->database))
			room = entry;
	}
	if (!make || room == NULL)
		return NULL;
	*room = (WakeQueue){.database = database, .hash = hash, .since = now};
	strlcpy(room->name, queue, QUEUE_LENGTH);
	return room;
}

/* Nobody waits for a queue any more who began so long ago: make room of such entries. */
static void
drop_old(TimestampTz now)
{
	for (int i = 0; i < WAKE_QUEUES; i++)
	{
		WakeQueue *entry = &stent_shared->wake_queues[i];
		DatabaseSlot *database;

		if (!OidIsValid(entry->database) || !entry->waited || entry->told ||
			!TimestampDifferenceExceeds(entry->since, now, 2 * BACKSTOP_MS))
			continue;
		database = shmem_database(entry->database, false);
		if (database != NULL)
			database->waits--;
		entry->database = InvalidOid;
	}
}

static void
wait_for_queue(DatabaseSlot *database, const char *queue, TimestampTz now)
{
	WakeQueue *entry = find_queue(database->database, queue, now, true);

	if (entry == NULL)
	{
		drop_old(now);
		entry = find_queue(database->database, queue, now, true);
	}
	if (entry == NULL)
	{
		database->waits_more = true;
		return;
	}
	database->waits += !entry->waited;
	entry->waited = true;
	entry->since = now;
}

/* Forget what workers of a database wait for, and what they were to be told. */
void
wake_forget(Oid database)
{
	for (int i = 0; i < WAKE_QUEUES; i++)
		if (stent_shared->wake_queues[i].database == database)
			stent_shared->wake_queues[i].database = InvalidOid;
}

static bool
somebody_waits(const DatabaseSlot *database)
{
	return database->waits > 0 || database->waits_any || database->waits_more;
}

/* Everybody is to be told, so nobody waits any more. */
static void
tell_everybody(DatabaseSlot *database)
{
	wake_forget(database->database);
	database->waits = database->tells = 0;
	database->waits_any = database->waits_more = false;
	database->tells_all = true;
}

/* Something of every queue may be claimable: all who wait are to be told. */
bool
wake_everybody(DatabaseSlot *database)
{
	if (!somebody_waits(database))
		return false;
	tell_everybody(database);
	return true;
}

/* Something of the queue is claimable: those who wait for it are to be told. */
bool
wake_queue(DatabaseSlot *database, const char *queue)
{
	WakeQueue *entry;

	if (!somebody_waits(database))
		return false;
	entry = database->waits > 0 || database->tells > 0
				? find_queue(database->database, queue, 0, false)
				: NULL;
	if (!database->waits_any && !database->waits_more && (entry == NULL || !entry->waited))
		return false;
	if (entry == NULL)
		entry = find_queue(database->database, queue, 0, true);
	if (entry == NULL || database->waits_more || database->tells_all ||
		strcmp(queue, CANCELLED) == 0)
	{
		tell_everybody(database);
		return true;
	}
	database->waits -= entry->waited;
	database->tells += !entry->told;
	database->waits_any = entry->waited = false;
	entry->told = true;
	return true;
}

/* Send what was to be told; names of queues, or everybody if there are none. */
static void
notify(char (*names)[QUEUE_LENGTH], int n, bool all, bool cancelled)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	/* what is lost with a crash of the server finds no listener after it */
	(void) set_config_option("synchronous_commit", "off", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_LOCAL, true, 0, false);
	if (all)
		Async_Notify(WAKE_CHANNEL, "");
	for (int i = 0; i < n; i++)
		Async_Notify(WAKE_CHANNEL, names[i]);
	if (cancelled)
		Async_Notify(WAKE_CHANNEL, CANCELLED);
	STENT_FAULT("wake_before_notify");
	CommitTransactionCommand();
}

/* The same; what goes wrong, such as a full queue of notifications, is tried again later. */
static void
try_notify(char (*names)[QUEUE_LENGTH], int n, bool all, bool cancelled)
{
	MemoryContext cxt = CurrentMemoryContext;

	PG_TRY();
	{
		notify(names, n, all, cancelled);
		tell_again = misses = 0;
	}
	PG_CATCH();
	{
		DatabaseSlot *database;

		HOLD_INTERRUPTS();
		MemoryContextSwitchTo(cxt);
		EmitErrorReport();
		AbortCurrentTransaction();
		FlushErrorState();
		LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
		database = shmem_database(MyDatabaseId, false);
		if (database != NULL)
		{
			tell_everybody(database);
			database->tells_cancelled |= cancelled;
		}
		LWLockRelease(stent_shared->lock);
		tell_again =
			GetCurrentTimestamp() + Min(1 << Min(misses, 10), TELL_AGAIN_MAX_S) * USECS_PER_SEC;
		misses++;
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(cxt);
}

/* Take what is to be told; false: nothing. */
static bool
take(char (**names)[QUEUE_LENGTH], int *n, bool *all, bool *cancelled)
{
	DatabaseSlot *database;
	bool some;

	*n = 0;
	*all = *cancelled = false;
	LWLockAcquire(stent_shared->lock, LW_SHARED);
	database = shmem_database(MyDatabaseId, false);
	some = database != NULL &&
		   (database->tells_all || database->tells_cancelled || database->tells > 0);
	LWLockRelease(stent_shared->lock);
	if (!some)
		return false;
	*names = palloc(WAKE_QUEUES * sizeof(**names));
	LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
	database = shmem_database(MyDatabaseId, false);
	for (int i = 0; i < WAKE_QUEUES && database != NULL; i++)
	{
		WakeQueue *entry = &stent_shared->wake_queues[i];

		if (entry->database != MyDatabaseId || !entry->told)
			continue;
		strlcpy((*names)[(*n)++], entry->name, QUEUE_LENGTH);
		entry->told = false;
		if (!entry->waited)
			entry->database = InvalidOid;
	}
	if (database != NULL)
	{
		*all = database->tells_all;
		*cancelled = database->tells_cancelled;
		database->tells = 0;
		database->tells_all = database->tells_cancelled = false;
	}
	LWLockRelease(stent_shared->lock);
	return *n > 0 || *all || *cancelled;
}

/* Tell workers what others left to us to tell; again is lowered to when to come back. */
void
wake_tell(TimestampTz *again)
{
	char(*names)[QUEUE_LENGTH];
	int n;
	bool all;
	bool cancelled;

	if (tell_again != 0 && GetCurrentTimestamp() < tell_again)
	{
		*again = Min(*again, tell_again);
		return;
	}
	if (!take(&names, &n, &all, &cancelled))
		return;
	try_notify(names, n, all, cancelled);
	if (tell_again != 0)
		*again = Min(*again, tell_again);
}

/*
 * Have everybody told, whatever was known of them: a scheduler before us may have taken a
 * mark away and told nobody, and what a prepared transaction did nobody announced.
 */
void
wake_again(void)
{
	DatabaseSlot *database;

	LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
	database = shmem_database(MyDatabaseId, false);
	if (database != NULL)
	{
		tell_everybody(database);
		database->tells_cancelled = true;
	}
	LWLockRelease(stent_shared->lock);
}

/* There will be nobody to tell workers: those who wait look once more, and are told so. */
void
wake_before_leaving(void)
{
	TimestampTz again = DT_NOEND;
	DatabaseSlot *database;

	LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
	database = shmem_database(MyDatabaseId, false);
	if (database != NULL)
		(void) wake_everybody(database);
	LWLockRelease(stent_shared->lock);
	tell_again = 0;
	wake_tell(&again);
}

/* Whether a scheduler will tell the workers of this database. */
static bool
is_served(const DatabaseSlot *database)
{
	return database != NULL && database->state == DATABASE_SERVED && database->scheduler >= 0 &&
		   database->evicting == 0 && !database->stopped && (database->listed || database->started);
}

/* The names in an array of queues, checked. */
static int
names_of(ArrayType *queues, char ***names)
{
	Datum *elements;
	bool *nulls;
	int n;

	deconstruct_array(queues, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &n);
	if (n == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("queues must not be empty"),
				 errhint("Leave queues NULL to wait for all.")));
	*names = palloc_array(char *, n);
	for (int i = 0; i < n; i++)
	{
		if (nulls[i])
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("queues must not have a null, as element %d has", i + 1),
							errhint("Leave queues NULL to wait for all.")));
		(*names)[i] = check_name(DatumGetTextPP(elements[i]), "queue");
	}
	return n;
}

PG_FUNCTION_INFO_V1(stent_worker_wait);
Datum
stent_worker_wait(PG_FUNCTION_ARGS)
{
	TimestampTz now = GetCurrentTimestamp();
	DatabaseSlot *database;
	char **names = NULL;
	bool told = false;
	int n = 0;

	if (!PG_ARGISNULL(0))
		n = names_of(PG_GETARG_ARRAYTYPE_P(0), &names);
	/* in a transaction that sees no later commits the mark would be set too late */
	if (stent_shared != NULL && !RecoveryInProgress() &&
		!(IsolationUsesXactSnapshot() && IsTransactionBlock()))
	{
		LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
		database = shmem_database(MyDatabaseId, false);
		told = is_served(database);
		if (told && names == NULL)
			database->waits_any = true;
		for (int i = 0; told && i < n; i++)
			wait_for_queue(database, names[i], now);
		LWLockRelease(stent_shared->lock);
	}
	PG_RETURN_INTERVAL_P(interval_from_us((told ? BACKSTOP_MS : POLL_MS) * INT64CONST(1000)));
}
