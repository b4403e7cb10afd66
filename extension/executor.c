/*
 * executor.c
 *	  An executor: a session of one role in one database that runs its tasks.
 *
 * It loops over run_batch, one transaction a batch, as anybody could over
 * stent.run(). Which slot it has, when it idles and when it makes room for others
 * is in slots.c; who starts it in scheduler.c. Without preload it was started by
 * stent.start(), has no slot, and looks for work once a second.
 */
#include "postgres.h"

#include <signal.h>

#include "access/xact.h"
#include "commands/prepare.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "attempt.h"
#include "compat.h"
#include "fault.h"
#include "guc.h"
#include "process.h"
#include "run.h"
#include "shmem.h"
#include "slots.h"

#define EXECUTOR_BATCH 100

/* how often to look for work without preload */
#define POLL_MS 1000

/* batches that fail in a row, for reasons no task is charged with, before it gives up */
#define MAX_FAILURES 10

/* busy for this long with work left over: another executor would help */
#define HELP_AFTER_MS 5

/*
 * A batch that took all there was needs no empty one after it to tell. But
 * housekeeping wants one from time to time (archive.c).
 */
#define EMPTY_BATCH_EVERY_MS (10 * 60 * 1000)

static ProcessStart me;
static TimeoutId help_timer;
static bool healthy; /* a batch has succeeded */
static bool orderly; /* there was a reason to go, and no error */
static bool failed;
static bool work_left = true;
static volatile sig_atomic_t stop_wanted; /* by stent.stop(), without preload */

static void
stop_handler(SIGNAL_ARGS)
{
	int save_errno = errno;

	stop_wanted = true;
	SetLatch(MyLatch);
	errno = save_errno;
}

static void
executor_exits(int code, Datum arg)
{
	SlotEnd end = SLOT_GIVEN_BACK;

	if (failed)
		end = SLOT_FAILED;
	else if (!healthy && !orderly && !stent_shared->executors[me.slot].leave)
		end = ProcDiePending ? SLOT_KILLED : SLOT_FAILED;
	slots_end(me.slot, end, work_left);
}

/* One batch in a transaction of its own; false if there is nothing to serve any more. */
static bool
one_batch(RunReport *report)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	if (!process_extension_here())
	{
		CommitTransactionCommand();
		return false;
	}
	run_batch(EXECUTOR_BATCH, NULL, 0, report);
	STENT_FAULT("executor_before_commit");
	CommitTransactionCommand();
	return true;
}

/* The same, and an error is logged. */
static bool
try_batch(RunReport *report, bool *error)
{
	MemoryContext cxt = CurrentMemoryContext;
	volatile bool goes_on = true;

	*error = false;
	PG_TRY();
	{
		goes_on = one_batch(report);
	}
	PG_CATCH();
	{
		HOLD_INTERRUPTS();
		MemoryContextSwitchTo(cxt);
		EmitErrorReport();
		AbortCurrentTransaction();
		FlushErrorState();
		RESUME_INTERRUPTS();
		*error = true;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(cxt);
	MemoryContextReset(cxt);
	return goes_on;
}

/*
 * A task that was thought to be quick is not, and there is more to do: the scheduler
 * shall find somebody for it. Runs in a signal handler.
 */
static void
help_due(void)
{
	DatabaseSlot *database;

	if (!run_saw_more)
		return;
	database = shmem_database(me.database, false);
	stent_shared->executors[me.slot].overdue = true;
	if (database != NULL)
		shmem_set_latch(database->scheduler);
}

/* Wait for work; false if none came in time. */
static bool
wait_for_work(uint64 seen)
{
	TimestampTz since = GetCurrentTimestamp();
	TimestampTz until = TimestampTzPlusMilliseconds(since, (int64) stent_idle_timeout);

	if (!slots_go_idle(me.slot, seen))
		return true;
	pgstat_report_activity(STATE_IDLE, NULL);
	pgstat_report_stat(true);
	for (;;)
	{
		long left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), until);

		/* before the first wait, too: while it was busy nobody could ask it to go at once */
		if (slots_should_leave(me.slot))
		{
			/* somebody may have made it busy a moment ago and counts on it */
			work_left = slots_woken(me.slot, false);
			return false;
		}
		process_wait(left);
		process_reload();
		until = TimestampTzPlusMilliseconds(since, (int64) stent_idle_timeout);
		left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), until);
		if (slots_woken(me.slot, left <= 0))
			return true;
		if (left <= 0)
			return false;
	}
}

static void
serve(void)
{
	TimestampTz busy_since = GetCurrentTimestamp();
	TimestampTz found_nothing = 0;
	int failures = 0;

	for (;;)
	{
		RunReport report = {0};
		uint64 seen = me.slot >= 0 ? slots_loop(me.slot) : 0;
		bool error;
		bool goes_on;

		/* a cancellation that came when nothing ran any more is for nobody */
		QueryCancelPending = false;
		CHECK_FOR_INTERRUPTS();
		process_reload();
		if (stop_wanted)
			return;
		work_left = true;
		run_saw_more = false;
		if (me.slot >= 0)
			enable_timeout_after(help_timer, HELP_AFTER_MS);
		goes_on = try_batch(&report, &error);
		if (me.slot >= 0)
			disable_timeout(help_timer, false);
		if (!goes_on)
		{
			work_left = false;
			return;
		}
		if (error)
		{
			if (++failures >= MAX_FAILURES)
			{
				failed = true;
				return;
			}
			process_wait(10L << failures);
			continue;
		}
		failures = 0;
		if (!healthy && me.slot >= 0)
			slots_healthy(me.slot);
		healthy = true;
		work_left = report.done > 0 || report.given_back > 0 || report.more_due;
		if (!work_left)
			found_nothing = GetCurrentTimestamp();
		else if (me.slot >= 0 && report.drained && report.given_back == 0 &&
				 !TimestampDifferenceExceeds(found_nothing, GetCurrentTimestamp(),
											 EMPTY_BATCH_EVERY_MS))
			work_left = false;
		if (me.slot >= 0 && slots_should_leave(me.slot))
			return;
		if (work_left)
		{
			if (report.more && me.slot >= 0 &&
				TimestampDifferenceExceeds(busy_since, GetCurrentTimestamp(), HELP_AFTER_MS))
				slots_want_help(me.role);
			continue;
		}
		if (me.slot < 0)
		{
			pgstat_report_activity(STATE_IDLE, NULL);
			process_wait(POLL_MS);
		}
		else if (!wait_for_work(seen))
			return;
		busy_since = GetCurrentTimestamp();
	}
}

void
stent_executor_main(Datum arg)
{
	process_begin(&me);
	if (me.slot >= 0)
	{
		if (stent_shared == NULL || !slots_begin(me.slot, me.generation))
			proc_exit(0);
		before_shmem_exit(executor_exits, (Datum) 0);
	}
	else
		pqsignal(SIGUSR2, stop_handler);
	BackgroundWorkerInitializeConnectionByOid(me.database, me.role, EXECUTOR_CONNECTION_FLAGS);
	SetConfigOption("application_name", "stent executor", PGC_USERSET, PGC_S_SESSION);
	/* ALTER ROLE ... SET role: tasks run as the role itself, and only its own */
	SetConfigOption("role", "none", PGC_USERSET, PGC_S_SESSION);
	if (GetUserId() != me.role || GetSessionUserId() != me.role)
		ereport(FATAL, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("the session of role %u became another role's", me.role),
						errhint("See the settings of the role, ALTER ROLE ... SET.")));
	/* completing a task writes, whatever the role's sessions do by default */
	SetConfigOption("default_transaction_read_only", "off", PGC_USERSET, PGC_S_SESSION);
	attempt_own_session();
	CurrentMemoryContext =
		AllocSetContextCreate(TopMemoryContext, "stent executor", ALLOCSET_DEFAULT_SIZES);
	help_timer = RegisterTimeout(USER_TIMEOUT, help_due);
	serve();
	orderly = !failed;
	proc_exit(failed ? 1 : 0);
}
