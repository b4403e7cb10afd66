/*
 * process.c
 *	  What launcher, scheduler and executors have in common.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"

#include "compat.h"
#include "process.h"
#include "store.h"

static const struct
{
	const char *type; /* as in pg_stat_activity.backend_type */
	const char *function;
	const char *wait_event;
} kinds[] = {
	[PROCESS_LAUNCHER] = {"stent launcher", "stent_launcher_main", "StentLauncherMain"},
	[PROCESS_SCHEDULER] = {"stent scheduler", "stent_scheduler_main", "StentSchedulerMain"},
	[PROCESS_EXECUTOR] = {"stent executor", "stent_executor_main", "StentExecutorMain"},
};

/* Fill in how to start a process. */
void
process_describe(BackgroundWorker *worker, ProcessKind kind, const ProcessStart *start,
				 const char *name)
{
	memset(worker, 0, sizeof(*worker));
	strlcpy(worker->bgw_name, name, BGW_MAXLEN);
	strlcpy(worker->bgw_type, kinds[kind].type, BGW_MAXLEN);
	worker->bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	/* on a standby nothing runs; after its promotion everything does */
	worker->bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker->bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker->bgw_library_name, "stent", sizeof(worker->bgw_library_name));
	strlcpy(worker->bgw_function_name, kinds[kind].function, BGW_MAXLEN);
	if (start != NULL)
		memcpy(worker->bgw_extra, start, sizeof(*start));
	worker->bgw_main_arg = Int32GetDatum((int) kind);
}

/* The first thing a process does. */
void
process_begin(ProcessStart *start)
{
	memcpy(start, MyBgworkerEntry->bgw_extra, sizeof(*start));
	pqsignal(SIGTERM, die);
	pqsignal(SIGINT, StatementCancelHandler);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
}

/* Wait for the latch, and reset it; -1 = as long as it takes. */
void
process_wait(long timeout_ms)
{
	static uint32 event = 0;
	int wake = WL_LATCH_SET | WL_EXIT_ON_PM_DEATH;

	if (event == 0)
		event = compat_wait_event(kinds[DatumGetInt32(MyBgworkerEntry->bgw_main_arg)].wait_event);
	if (timeout_ms >= 0)
		wake |= WL_TIMEOUT;
	(void) WaitLatch(MyLatch, wake, timeout_ms, event);
	ResetLatch(MyLatch);
	/* there is nothing to cancel while we wait */
	QueryCancelPending = false;
	CHECK_FOR_INTERRUPTS();
}

void
process_reload(void)
{
	if (!ConfigReloadPending)
		return;
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
}

/* Whether the extension is installed in this database; in a transaction. */
bool
process_extension_here(void)
{
	return OidIsValid(get_namespace_oid("stent", true)) && OidIsValid(store_relation_oid("task"));
}
