/*
 * guc.c
 *	  Settings of the extension.
 */
#include "postgres.h"

#include <limits.h>

#include "fmgr.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "fault.h"
#include "guc.h"

int stent_batch_time = 100;
int stent_max_payload_size = 16 * 1024;

static char *clock_text;
static char *retention_text;
static int64 retention_us;

static bool
retention_check(char **newval, void **extra, GucSource source)
{
	Interval parsed;
	int64 *us = malloc(sizeof(int64));

	if (us == NULL)
		return false;
	*us = -1;
	if (*newval != NULL && strcmp(*newval, "off") != 0)
	{
		if (!duration_parse(*newval, &parsed) || interval_us(&parsed) <= 0)
		{
			free(us);
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

	fault_init();
	MarkGUCPrefixReserved("stent");
}
