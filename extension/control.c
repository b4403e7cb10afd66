/*
 * control.c
 *	  start() and stop(): executors by hand.
 *
 * With preload they say whether this database is served, until the server restarts.
 * Without, start() launches executors of the caller's role, which poll, and
 * stop() ends them; they are known by their entries in pg_stat_activity.
 */
#include "postgres.h"

#include <signal.h>

#include "access/xact.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/latch.h"
#include "storage/procarray.h"
#include "utils/acl.h"
#include "utils/builtins.h"

#include "access.h"
#include "announce.h"
#include "compat.h"
#include "process.h"
#include "shmem.h"
#include "slots.h"
#include "store.h"

#define MAX_STARTED 64

static void
require_admin(const char *what)
{
	if (!caller_is_admin())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("permission denied for %s", what),
				 errdetail("The library is preloaded: it concerns all roles of the database."),
				 errhint("Ask for the admin grant, see stent.grant_usage().")));
}

/* Change whether this database is served; true if that is a change. */
static bool
serve(bool yes)
{
	DatabaseSlot *slot;
	bool changed = false;
	int scheduler = -1;

	LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
	slot = shmem_database(MyDatabaseId, true);
	if (slot == NULL)
	{
		LWLockRelease(stent_shared->lock);
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("stent cannot serve more than %d databases", MAX_DATABASES),
				 errhint("Take databases out of stent.databases, or call stent.stop() in some.")));
	}
	changed = yes ? slot->stopped || !(slot->listed || slot->started)
				  : !slot->stopped && (slot->listed || slot->started);
	slot->stopped = !yes;
	slot->started = yes;
	slot->nudged |= yes && changed;
	scheduler = slot->scheduler;
	LWLockRelease(stent_shared->lock);
	if (!yes)
		slots_ask_to_leave(MyDatabaseId, true);
	shmem_set_latch(scheduler);
	shmem_set_latch(stent_shared->launcher);
	return changed;
}

static int
start_polling_executors(int n)
{
	ProcessStart start = {.database = MyDatabaseId, .role = GetUserId(), .slot = -1};
	BackgroundWorker worker;
	int started;

	if (GetUserId() != GetSessionUserId())
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("stent.start() must be called by the session user"),
						errhint("Connect as the role whose tasks shall run.")));
	process_describe(&worker, PROCESS_EXECUTOR, &start, "stent executor");
	/* what ends it with an error may pass; what asks it to go ends it for good */
	worker.bgw_restart_time = 5;
	for (started = 0; started < n; started++)
	{
		BackgroundWorkerHandle *handle;

		if (!RegisterDynamicBackgroundWorker(&worker, &handle))
			break;
	}
	if (started == 0)
		ereport(ERROR, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
						errmsg("no background worker slot is free"),
						errhint("Raise max_worker_processes.")));
	return started;
}

PG_FUNCTION_INFO_V1(stent_start);
Datum
stent_start(PG_FUNCTION_ARGS)
{
	int n;

	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("executors must not be null"), errhint("Leave it out for 1.")));
	n = PG_GETARG_INT32(0);
	if (n < 1 || n > MAX_STARTED)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("executors must be 1 to %d, not %d", MAX_STARTED, n),
						errhint("As many as the machine has processors is a good number.")));
	PreventCommandDuringRecovery("stent.start()");
	if (stent_shared == NULL)
		PG_RETURN_INT32(start_polling_executors(n));
	require_admin("stent.start()");
	PG_RETURN_INT32(serve(true) ? 1 : 0);
}

/*
 * Ask the polling executors of this database to go after their batch: one's own, or
 * all for an admin. pg_terminate_backend would have them come back.
 */
static int
stop_polling_executors(void)
{
	ColdSql cold;
	Oid types[1] = {BOOLOID};
	Datum values[1];
	int n;

	values[0] = BoolGetDatum(caller_is_admin());
	cold_begin(&cold);
	if (SPI_execute_with_args("SELECT pid FROM pg_stat_activity "
							  "WHERE backend_type = 'stent executor' "
							  "AND datname = current_database() "
							  "AND (usename = session_user OR $1)",
							  1, types, values, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "finding executors failed");
	n = (int) SPI_processed;
	for (int i = 0; i < n; i++)
	{
		bool isnull;
		int pid =
			DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull));

		if (BackendPidGetProc(pid) != NULL)
			(void) kill(pid, SIGUSR2);
	}
	cold_end(&cold);
	return n;
}

PG_FUNCTION_INFO_V1(stent_stop);
Datum
stent_stop(PG_FUNCTION_ARGS)
{
	if (stent_shared == NULL)
		PG_RETURN_INT32(stop_polling_executors());
	require_admin("stent.stop()");
	PG_RETURN_INT32(serve(false) ? 1 : 0);
}

/*
 * Workers have been told what the version before offers. They are to start again, which the
 * answer to their next sign of life tells them; what they have leased stays theirs.
 */
static void
dismiss_workers(void)
{
	ColdSql cold;

	if (!store_has_relation("worker"))
		return;
	cold_begin(&cold);
	if (SPI_execute(
			"UPDATE stent.worker SET state = 'stopped', busy = NULL, stopped_at = stent.now() "
			"WHERE stopped_at IS NULL",
			false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "dismissing workers failed");
	cold_end(&cold);
}

/* The end of the install and upgrade scripts: there is something to serve. */
PG_FUNCTION_INFO_V1(stent_installed);
Datum
stent_installed(PG_FUNCTION_ARGS)
{
	dismiss_workers();
	announce_database();
	PG_RETURN_VOID();
}
