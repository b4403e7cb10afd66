/*
 * stent.c
 *	  Entry of the library.
 *
 * The words used everywhere: a dispatch makes an execution, whose root is a
 * task; a task is one call of a function; an attempt is one try at running it; a
 * lane is (role, function, queue, tag set); a dead letter is a task that failed
 * for good.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"

#include "announce.h"
#include "archive.h"
#include "commit_guard.h"
#include "evict.h"
#include "guc.h"
#include "intern.h"
#include "launcher.h"
#include "line.h"
#include "notes.h"
#include "pause.h"
#include "place.h"
#include "progress.h"
#include "registry.h"
#include "run.h"
#include "shmem.h"
#include "step.h"
#include "state_file.h"
#include "store.h"
#include "tally.h"
#include "waiting.h"

PG_MODULE_MAGIC;

void _PG_init(void);

void
_PG_init(void)
{
	guc_init();
	store_init();
	intern_init();
	registry_init();
	archive_init();
	announce_init();
	run_init();
	/* before announce's: who is told of what we committed finds our places free */
	place_init();
	line_init();
	step_init();
	waiting_init();
	pause_init();
	/* callbacks registered last are called first: totals are written before others look, */
	tally_init();
	notes_init();
	progress_init();
	/* and whose commit fails is known also if that is what fails */
	commit_guard_init();
	if (process_shared_preload_libraries_in_progress)
	{
		state_file_init();
		shmem_init();
		evict_init();
		launcher_register();
	}
}
