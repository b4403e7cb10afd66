/*
 * guc.c
 *	  Settings of the extension.
 */
#include "postgres.h"

#include <limits.h>

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/varlena.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "compat.h"
#include "fault.h"
#include "guc.h"
#include "shmem.h"

int stent_batch_time = 100;
int stent_max_payload_size = 16 * 1024;
char *stent_databases;
int stent_max_executors = 4;
int stent_idle_timeout = 60000;
int stent_max_lanes = 10000;
int stent_max_crashes = 5;
int stent_task_pool_size = 256;
int stent_steps_warning = 1000;
int stent_lease_duration = 300000;
int stent_max_lost = 5;

static char *clock_text;
static char *retention_text;
static int64 retention_us;

static bool
databases_check(char **newval, void **extra, GucSource source)
{
	char *copy = pstrdup(*newval);
	List *names;

	if (SplitIdentifierString(copy, ',', &names))
		return true;
	GUC_check_errdetail("Give names of databases, separated by commas.");
	return false;
}

static bool
retention_check(char **newval, void **extra, GucSource source)
{
	Interval parsed;
	int64 *us = compat_guc_malloc(sizeof(int64));

	if (us == NULL)
		return false;
	*us = -1;
	if (*newval != NULL && strcmp(*newval, "off") != 0)
	{
		if (!duration_parse(*newval, &parsed) || interval_us(&parsed) <= 0)
		{
			compat_guc_free(us);
			GUC_check_errdetail("Give a duration such as \"7d\" or \"12h\", or \"off\".");
			return false;
		}
		*us = interval_us(&parsed);
	}
	*extra = us;
	return true;
}

static void
retention_assign(const char *newval, void *extra)
{
	if (extra != NULL)
		retention_us = *(int64 *) extra;
}

int64
guc_retention_us(void)
{
	return retention_us;
}

PG_FUNCTION_INFO_V1(stent_retention);
Datum
stent_retention(PG_FUNCTION_ARGS)
{
	if (retention_us < 0)
		PG_RETURN_NULL();
	PG_RETURN_INTERVAL_P(interval_from_us(retention_us));
}

PG_FUNCTION_INFO_V1(stent_get_task_pool_size);
Datum
stent_get_task_pool_size(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(stent_task_pool_size);
}

/* As SET stent.task_pool_size, but tells the value before. */
PG_FUNCTION_INFO_V1(stent_set_task_pool_size);
Datum
stent_set_task_pool_size(PG_FUNCTION_ARGS)
{
	const char *hint = "Give a number of tasks, such as 256.";
	int previous = stent_task_pool_size;
	int size;

	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("size must not be null"),
						errhint("%s", hint)));
	size = PG_GETARG_INT32(0);
	if (size <= 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("size must be positive, not %d", size), errhint("%s", hint)));
	(void) set_config_option("stent.task_pool_size", psprintf("%d", size),
							 superuser() ? PGC_SUSET : PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SET,
							 true, 0, false);
	PG_RETURN_INT32(previous);
}

void
guc_init(void)
{
	/*
	 * stent.clock: for tests. Everything the engine decides by time (due tasks,
	 * deadlines, retention) follows it in the sessions where it is set. Attempt
	 * timeouts keep running on the real clock.
	 */
	DefineCustomStringVariable(
		"stent.clock", "Freezes or shifts the clock of stent, for tests.",
		"Empty: the real clock. A moment freezes it, \"+1h\" or \"-1h\" shifts it.", &clock_text,
		"", PGC_SUSET, 0, clock_check, clock_assign, NULL);

	/*
	 * stent.retention: how long finished tasks stay readable. Whole daily
	 * partitions are dropped, so up to a day more may be kept. Live executions and
	 * dead letters are never removed by it.
	 */
	DefineCustomStringVariable("stent.retention", "How long finished tasks are kept.",
							   "A duration such as \"7d\", or \"off\". Default 7d.",
							   &retention_text, "7d", PGC_SUSET, 0, retention_check,
							   retention_assign, NULL);

	/*
	 * stent.batch_time: stent.run() starts no further task once it has worked for
	 * this long, so that the effects of finished tasks become visible and locks
	 * are freed. A single task may take longer. 0 puts each task in a commit of
	 * its own.
	 */
	DefineCustomIntVariable("stent.batch_time", "How long tasks may share one commit.",
							"Default 100 ms.", &stent_batch_time, 100, 0, 60000, PGC_USERSET,
							GUC_UNIT_MS, NULL, NULL, NULL);

	/*
	 * stent.max_payload_size: the largest args, headers, context value or result
	 * a task may carry. Larger args are refused at dispatch, a larger result fails
	 * the task for good.
	 */
	DefineCustomIntVariable("stent.max_payload_size",
							"Largest size of a task's arguments or result.", "Default 16 MB.",
							&stent_max_payload_size, 16 * 1024, 1, 1024 * 1024 - 1024, PGC_SUSET,
							GUC_UNIT_KB, NULL, NULL, NULL);

	/*
	 * stent.databases: where executors run tasks, if the library is preloaded.
	 * A name that does not exist yet is served once it does. Elsewhere
	 * stent.start() does the same until the server restarts.
	 */
	DefineCustomStringVariable("stent.databases", "Databases whose tasks executors run.",
							   "A list of names. Default \"postgres\".", &stent_databases,
							   "postgres", PGC_SIGHUP, GUC_LIST_INPUT, databases_check, NULL, NULL);

	/*
	 * stent.max_executors: how many executors run at the same time, for all
	 * databases and roles together. Each takes one of max_worker_processes, and so
	 * do the launcher and one scheduler a database. 0: none are started.
	 */
	DefineCustomIntVariable("stent.max_executors", "How many executors may run at a time.",
							"Default 4.", &stent_max_executors, 4, 0, MAX_EXECUTORS, PGC_SIGHUP, 0,
							NULL, NULL, NULL);

	/*
	 * stent.idle_timeout: an executor without work waits for this long before it
	 * goes. While it waits it costs a process and a connection, no query; starting
	 * another one takes some milliseconds.
	 */
	DefineCustomIntVariable("stent.idle_timeout", "How long an executor without work stays.",
							"Default 1 min.", &stent_idle_timeout, 60000, 0, 24 * 3600 * 1000,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);

	/*
	 * stent.max_lanes: for how many combinations of role, function, queue, tags
	 * and priority the shared memory has room to remember where their tasks
	 * begin, about 300 bytes each. Beyond it claims walk the index, which is slower
	 * while dead entries cannot be removed. Only where the library is preloaded.
	 */
	if (process_shared_preload_libraries_in_progress)
		DefineCustomIntVariable("stent.max_lanes", "Lanes remembered in shared memory.",
								"Default 10000.", &stent_max_lanes, 10000, 100, 10000000,
								PGC_POSTMASTER, 0, NULL, NULL, NULL);

	/*
	 * stent.max_crashes: a task that was running in a process when that process
	 * crashed the server is run again, uncharged, until it has done so this often;
	 * then it becomes a dead letter (ST005). 1 gives it no second chance.
	 */
	DefineCustomIntVariable("stent.max_crashes", "How often a task may crash the server.",
							"Default 5.", &stent_max_crashes, 5, 1, 1000, PGC_SUSET, 0, NULL, NULL,
							NULL);

	/*
	 * stent.lease_duration: how long a worker's claim holds, unless the claim says
	 * otherwise, and again after each heartbeat. A worker that does not tell of itself
	 * for that long loses its tasks to whoever claims next.
	 */
	DefineCustomIntVariable("stent.lease_duration", "How long a worker's lease holds.",
							"Default 5 min.", &stent_lease_duration, 300000, 1000, 24 * 3600 * 1000,
							PGC_USERSET, GUC_UNIT_MS, NULL, NULL, NULL);

	/*
	 * stent.max_lost: a task whose lease expired is given to another worker, uncharged,
	 * until that has happened this often; then it becomes a dead letter (ST015). 1 gives
	 * it no second chance.
	 */
	DefineCustomIntVariable("stent.max_lost", "How often a task may lose its worker.", "Default 5.",
							&stent_max_lost, 5, 1, 1000, PGC_SUSET, 0, NULL, NULL, NULL);

	/*
	 * stent.task_pool_size: how many tasks an await or a map of this session has in
	 * flight at most, where the call names no limit. It is not a number of
	 * processes: see stent.max_executors.
	 */
	DefineCustomIntVariable(
		"stent.task_pool_size", "How many tasks an await or a map has in flight by default.",
		"Default 256.", &stent_task_pool_size, 256, 1, INT_MAX, PGC_USERSET, 0, NULL, NULL, NULL);

	/*
	 * stent.steps_warning: a task that has this many steps is warned of in the log of
	 * whoever runs it, once: each time it goes on it passes all of them again. 0: never.
	 */
	DefineCustomIntVariable("stent.steps_warning", "How many steps of one task are warned of.",
							"Default 1000.", &stent_steps_warning, 1000, 0, INT_MAX, PGC_USERSET, 0,
							NULL, NULL, NULL);

	fault_init();
	MarkGUCPrefixReserved("stent");
}
