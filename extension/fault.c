/*
 * fault.c
 *	  Fault points, see fault.h.
 */
#include "postgres.h"

#include <signal.h>
#include <unistd.h>

#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "fault.h"

#ifdef STENT_FAULTS

static char *fault_text;
static int passes;

static void
fault_assign(const char *newval, void *extra)
{
	passes = 0;
}

void
fault_init(void)
{
	/* stent.fault: only in builds for tests, see fault.h. */
	DefineCustomStringVariable("stent.fault", "Point and action of an injected fault.", NULL,
							   &fault_text, "", PGC_SUSET, GUC_NOT_IN_SAMPLE, NULL, fault_assign,
							   NULL);
}

void
fault_point(const char *name)
{
	size_t len = strlen(name);
	const char *action;
	const char *number;
	int64 n = 1;

	if (fault_text == NULL)
		return;
	if (strcmp(fault_text, "trace") == 0)
		ereport(NOTICE, (errmsg("fault point %s", name)));
	if (strncmp(fault_text, name, len) != 0 || fault_text[len] != ':')
		return;
	action = fault_text + len + 1;
	number = strchr(action, ':');
	if (number != NULL)
		n = strtoll(number + 1, NULL, 10);

	if (strncmp(action, "lock", 4) == 0)
	{
		LOCKTAG tag;

		SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, (uint32) (n >> 32), (uint32) n, 1);
		(void) LockAcquire(&tag, ExclusiveLock, true, false);
		LockRelease(&tag, ExclusiveLock, true);
		return;
	}
	if (++passes != n)
		return;
	if (strncmp(action, "crash", 5) == 0)
	{
		kill(getpid(), SIGKILL);
		pause();
	}
	ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("fault injected at \"%s\"", name)));
}

#else

void
fault_init(void)
{
}

#endif
