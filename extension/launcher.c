/*
 * launcher.c
 *	  The launcher: keeps a scheduler in each database that is to be served.
 *
 * Connected to no database, so that it stands in nobody's way. It reads
 * stent.databases when the configuration changes and looks for databases that
 * appeared or went when it is told (evict.c) or every five minutes.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"

#include "board.h"
#include "compat.h"
#include "guc.h"
#include "launcher.h"
#include "process.h"
#include "shmem.h"
#include "slots.h"
#include "wake.h"

#define LOOK_AGAIN_MS (5 * 60 * 1000)

static BackgroundWorkerHandle *handles[MAX_DATABASES];
static Oid handle_databases[MAX_DATABASES];

static void
launcher_exits(int code, Datum arg)
{
	LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
	if (stent_shared->launcher == MyProcIndex)
	{
		stent_shared->launcher = -1;
		stent_shared->launcher_pid = 0;
	}
	LWLockRelease(stent_shared->lock);
}

/* The databases that exist and take connections. */
typedef struct Existing
{
	Oid oid;
	char *name;
} Existing;

/* A session without a database has no indexes to read by. */
static List *
existing_databases(void)
{
	MemoryContext cxt = CurrentMemoryContext;
	List *databases = NIL;
	Relation rel;
	TableScanDesc scan;
	HeapTuple tuple;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while (HeapTupleIsValid(tuple = heap_getnext(scan, ForwardScanDirection)))
	{
		Form_pg_database database = (Form_pg_database) GETSTRUCT(tuple);
		MemoryContext old;
		Existing *entry;

		if (!database->datallowconn)
			continue;
		old = MemoryContextSwitchTo(cxt);
		entry = palloc_object(Existing);
		entry->oid = database->oid;
		entry->name = pstrdup(NameStr(database->datname));
		databases = lappend(databases, entry);
		MemoryContextSwitchTo(old);
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	CommitTransactionCommand();
	MemoryContextSwitchTo(cxt);
	return databases;
}

/* Those of them that stent.databases names. */
static int
listed_databases(List *databases, Oid *oids, int max)
{
	char *copy = pstrdup(stent_databases);
	List *names;
	ListCell *cell;
	ListCell *name;
	int n = 0;

	if (!SplitIdentifierString(copy, ',', &names))
		return 0;
	foreach (cell, databases)
	{
		Existing *database = lfirst(cell);

		foreach (name, names)
			if (strcmp(lfirst(name), database->name) == 0 && n < max)
				oids[n++] = database->oid;
	}
	return n;
}

static bool
contains(const Oid *oids, int n, Oid oid)
{
	for (int i = 0; i < n; i++)
		if (oids[i] == oid)
			return true;
	return false;
}

static bool
exists(List *databases, Oid oid)
{
	ListCell *cell;

	foreach (cell, databases)
		if (((Existing *) lfirst(cell))->oid == oid)
			return true;
	return false;
}

/* Give each database that is to be served a slot, and forget those that are gone. */
static void
update_slots(void)
{
	Oid listed[MAX_DATABASES];
	Oid known[MAX_DATABASES];
	List *databases;
	int n_listed;

	LWLockAcquire(stent_shared->lock, LW_SHARED);
	for (int i = 0; i < MAX_DATABASES; i++)
		known[i] = stent_shared->databases[i].database;
	LWLockRelease(stent_shared->lock);

	/* read after that: a slot made since is not judged by an older list */
	databases = existing_databases();
	n_listed = listed_databases(databases, listed, MAX_DATABASES);

	LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < n_listed; i++)
		(void) shmem_database(listed[i], true);
	for (int i = 0; i < MAX_DATABASES; i++)
	{
		DatabaseSlot *slot = &stent_shared->databases[i];

		if (!OidIsValid(slot->database))
			continue;
		slot->listed = contains(listed, n_listed, slot->database);
		if (slot->scheduler >= 0 && !(slot->listed || slot->started))
			shmem_set_latch(slot->scheduler);
		if (slot->database == known[i] && !exists(databases, slot->database) &&
			slot->scheduler < 0 && slot->evicting == 0)
		{
			board_forget(slot->database);
			wake_forget(slot->database);
			memset(slot, 0, sizeof(*slot));
			slot->scheduler = -1;
		}
	}
	LWLockRelease(stent_shared->lock);
}

/* Whether a scheduler should be started for the slot; under the lock. */
static bool
wants_scheduler(DatabaseSlot *slot, TimestampTz now, TimestampTz *again)
{
	if (!OidIsValid(slot->database) || slot->scheduler >= 0 || slot->evicting > 0 ||
		slot->stopped || !(slot->listed || slot->started))
		return false;
	if (slot->nudged && slot->state != DATABASE_STARTING)
	{
		slot->retry_at = 0;
		slot->failures = 0;
		return true;
	}
	switch (slot->state)
	{
		case DATABASE_WANTED:
		case DATABASE_SERVED:
			break;
		case DATABASE_FAILED:
			if (slot->retry_at > now)
			{
				*again = Min(*again, slot->retry_at);
				return false;
			}
			break;
		case DATABASE_STARTING:
		case DATABASE_NO_EXTENSION:
		case DATABASE_OTHER_VERSION:
		case DATABASE_NOT_ADOPTED:
			return false;
	}
	return true;
}

static void
start_failed(Oid database, const char *problem)
{
	DatabaseSlot *slot;

	LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
	slot = shmem_database(database, false);
	if (slot != NULL && slot->scheduler < 0)
	{
		int delay = Min(1 << Min(slot->failures, 6), 60);

		slot->state = DATABASE_FAILED;
		slot->failures++;
		slot->retry_at = GetCurrentTimestamp() + delay * USECS_PER_SEC;
		strlcpy(slot->problem, problem, PROBLEM_LENGTH);
	}
	LWLockRelease(stent_shared->lock);
}

static void
start_scheduler(int i, Oid database)
{
	ProcessStart start = {.database = database, .slot = -1};
	BackgroundWorker worker;
	MemoryContext old;

	/* one that was started may not have come to life yet */
	if (handles[i] != NULL)
	{
		pid_t pid;

		if (GetBackgroundWorkerPid(handles[i], &pid) != BGWH_STOPPED)
		{
			/* its end will wake us */
			LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
			if (stent_shared->databases[i].state == DATABASE_STARTING)
				stent_shared->databases[i].state = DATABASE_WANTED;
			LWLockRelease(stent_shared->lock);
			return;
		}
		pfree(handles[i]);
		handles[i] = NULL;
	}
	process_describe(&worker, PROCESS_SCHEDULER, &start, "stent scheduler");
	worker.bgw_notify_pid = MyProcPid;
	old = MemoryContextSwitchTo(TopMemoryContext);
	if (RegisterDynamicBackgroundWorker(&worker, &handles[i]))
		handle_databases[i] = database;
	else
	{
		handles[i] = NULL;
		LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
		if (stent_shared->exhausted_at == 0)
			stent_shared->exhausted_at = GetCurrentTimestamp();
		LWLockRelease(stent_shared->lock);
		ereport(WARNING,
				(errmsg("stent could not start a scheduler: no background worker slot is free"),
				 errhint("Raise max_worker_processes.")));
		start_failed(database, "no background worker slot is free; raise max_worker_processes");
	}
	MemoryContextSwitchTo(old);
}

/* Schedulers that died before they could say so themselves. */
static void
reap(void)
{
	for (int i = 0; i < MAX_DATABASES; i++)
	{
		pid_t pid;

		if (handles[i] == NULL || GetBackgroundWorkerPid(handles[i], &pid) != BGWH_STOPPED)
			continue;
		pfree(handles[i]);
		handles[i] = NULL;
		LWLockAcquire(stent_shared->lock, LW_SHARED);
		if (stent_shared->databases[i].database == handle_databases[i] &&
			stent_shared->databases[i].state == DATABASE_STARTING)
		{
			LWLockRelease(stent_shared->lock);
			start_failed(handle_databases[i], "its scheduler could not start; see the server log");
		}
		else
			LWLockRelease(stent_shared->lock);
	}
}

static void
start_schedulers(TimestampTz *again)
{
	Oid starts[MAX_DATABASES];
	TimestampTz now = GetCurrentTimestamp();

	LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < MAX_DATABASES; i++)
	{
		DatabaseSlot *slot = &stent_shared->databases[i];

		starts[i] = wants_scheduler(slot, now, again) ? slot->database : InvalidOid;
		if (OidIsValid(starts[i]))
		{
			slot->nudged = false;
			slot->state = DATABASE_STARTING;
		}
	}
	LWLockRelease(stent_shared->lock);
	for (int i = 0; i < MAX_DATABASES; i++)
		if (OidIsValid(starts[i]))
			start_scheduler(i, starts[i]);
}

void
stent_launcher_main(Datum arg)
{
	ProcessStart start;
	MemoryContext cxt;

	process_begin(&start);
	before_shmem_exit(launcher_exits, (Datum) 0);
	LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
	stent_shared->launcher = MyProcIndex;
	stent_shared->launcher_pid = MyProcPid;
	LWLockRelease(stent_shared->lock);
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	SetConfigOption("application_name", "stent launcher", PGC_USERSET, PGC_S_SESSION);
	cxt = AllocSetContextCreate(TopMemoryContext, "stent launcher", ALLOCSET_DEFAULT_SIZES);
	for (;;)
	{
		TimestampTz again =
			TimestampTzPlusMilliseconds(GetCurrentTimestamp(), (int64) LOOK_AGAIN_MS);

		MemoryContextSwitchTo(cxt);
		process_reload();
		reap();
		update_slots();
		start_schedulers(&again);
		MemoryContextReset(cxt);
		pgstat_report_activity(STATE_IDLE, NULL);
		process_wait(TimestampDifferenceMilliseconds(GetCurrentTimestamp(), again));
	}
}

/* Have the postmaster start the launcher; while it loads its libraries. */
void
launcher_register(void)
{
	BackgroundWorker worker;

	process_describe(&worker, PROCESS_LAUNCHER, NULL, "stent launcher");
	worker.bgw_restart_time = 5;
	RegisterBackgroundWorker(&worker);
}
