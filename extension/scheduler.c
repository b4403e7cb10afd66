/*
 * scheduler.c
 *	  The scheduler of one database: starts executors, promotes what comes due.
 *
 * It sleeps until somebody sets its latch (a commit that found no idle executor,
 * an executor that ended) or until something comes due. In an idle database it
 * does nothing but a look every five minutes, which covers what no callback
 * tells. Reading the tables into the board is in board_load.c, vacuum and folding in
 * upkeep.c, telling workers that wait for work in wake.c.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "commands/dbcommands.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "announce.h"
#include "board.h"
#include "board_load.h"
#include "careful.h"
#include "clock.h"
#include "compat.h"
#include "due.h"
#include "fault.h"
#include "guc.h"
#include "identity.h"
#include "process.h"
#include "ready.h"
#include "shmem.h"
#include "slots.h"
#include "store.h"
#include "upkeep.h"
#include "wake.h"

#define BACKSTOP_MS (5 * 60 * 1000)

/* a scheduler that has lived so long is no failing one */
#define HEALTHY_AFTER_MS 10000

/* roles looked at in one pass */
#define ROLES_A_PASS 128

/* who got no slot asks again, for idle executors of others may have stayed long enough */
#define NO_SLOT_AGAIN_S 1

/* due entries that somebody holds are tried again after 1 s, 2 s, ... this */
#define DUE_AGAIN_MAX_S 300

static ProcessStart me;
static bool orderly;
static BackgroundWorkerHandle *handles[MAX_EXECUTORS];
static uint32 generations[MAX_EXECUTORS];
static TimestampTz exhausted_warned;
static TimestampTz served_since;

static void
scheduler_exits(int code, Datum arg)
{
	DatabaseSlot *slot;

	LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
	slot = shmem_database(me.database, false);
	if (stent_shared->counting == me.database)
	{
		/* the log is another database's from now on */
		stent_shared->counting = InvalidOid;
		if (slot != NULL)
		{
			slot->count_epoch++;
			slot->counted = false;
		}
	}
	if (slot != NULL && slot->scheduler == MyProcIndex)
	{
		slot->scheduler = -1;
		slot->scheduler_pid = 0;
		if (!orderly)
		{
			int delay;

			/* one that served for a while has failed for the first time */
			if (served_since != 0 &&
				TimestampDifferenceExceeds(served_since, GetCurrentTimestamp(), HEALTHY_AFTER_MS))
				slot->failures = 0;
			delay = Min(1 << Min(slot->failures, 6), 60);
			slot->state = DATABASE_FAILED;
			slot->failures++;
			slot->retry_at = GetCurrentTimestamp() + delay * USECS_PER_SEC;
			strlcpy(slot->problem, "its scheduler failed; see the server log", PROBLEM_LENGTH);
		}
		else if (slot->state == DATABASE_SERVED)
			slot->state = DATABASE_WANTED;
	}
	LWLockRelease(stent_shared->lock);
	shmem_set_latch(stent_shared->launcher);
}

/* Go, and say why; the launcher starts another when that may have changed. */
static void
leave(DatabaseState state, const char *problem)
{
	DatabaseSlot *slot;

	slots_ask_to_leave(me.database, true);
	LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
	slot = shmem_database(me.database, false);
	if (slot != NULL)
	{
		slot->state = state;
		strlcpy(slot->problem, problem, PROBLEM_LENGTH);
		if (state == DATABASE_NO_EXTENSION)
		{
			slot->loaded = slot->counted = false;
			board_forget(me.database);
		}
	}
	LWLockRelease(stent_shared->lock);
	/* from now on workers that ask are told to look by themselves; the others are now */
	wake_before_leaving();
	orderly = true;
	proc_exit(0);
}

static void
begin(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
}

/* Whether there is something to serve here, of our version, and ours to run. */
static void
check_database(void)
{
	char why[PROBLEM_LENGTH];
	char *version = NULL;
	bool foreign;
	Oid extension;

	begin();
	extension = get_extension_oid("stent", true);
	if (!OidIsValid(extension) || !process_extension_here())
	{
		CommitTransactionCommand();
		leave(DATABASE_NO_EXTENSION, "the extension is not installed");
	}
	version = board_load_version(extension);
	if (strcmp(version, STENT_VERSION) != 0)
	{
		snprintf(why, sizeof(why),
				 "its extension is of version %s, the library of version %s; "
				 "run ALTER EXTENSION stent UPDATE",
				 version, STENT_VERSION);
		ereport(LOG, (errmsg("stent does not serve database \"%s\": %s",
							 get_database_name(MyDatabaseId), why)));
		CommitTransactionCommand();
		leave(DATABASE_OTHER_VERSION, why);
	}
	PushActiveSnapshot(GetTransactionSnapshot());
	foreign = identity_check(why, sizeof(why)) == IDENTITY_FOREIGN;
	PopActiveSnapshot();
	if (foreign)
	{
		ereport(LOG, (errmsg("stent does not serve database \"%s\": %s",
							 get_database_name(MyDatabaseId), why),
					  errhint("If this copy shall run its tasks, call stent.adopt() in it.")));
		CommitTransactionCommand();
		leave(DATABASE_NOT_ADOPTED, why);
	}
	CommitTransactionCommand();
}

/* What crashed the last server is counted before anything runs again. */
static void
account_for_crashes(void)
{
	begin();
	(void) careful_account();
	CommitTransactionCommand();
	careful_settle();
}

/* Why no executor can serve the role, or NULL. */
static const char *
unservable(Oid role)
{
	HeapTuple tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(role));
	bool can_login;

	if (!HeapTupleIsValid(tuple))
		return "the role does not exist";
	can_login = ((Form_pg_authid) GETSTRUCT(tuple))->rolcanlogin;
	ReleaseSysCache(tuple);
	if (ROLE_MUST_LOG_IN && !can_login)
		return "the role cannot log in, which executors need before PostgreSQL 17";
	return NULL;
}

static void
warn_exhausted(void)
{
	TimestampTz now = GetCurrentTimestamp();

	if (!TimestampDifferenceExceeds(exhausted_warned, now, 60000))
		return;
	exhausted_warned = now;
	ereport(WARNING,
			(errmsg("stent could not start an executor: no background worker slot is free"),
			 errhint("Raise max_worker_processes, or lower stent.max_executors.")));
}

static void
not_exhausted(void)
{
	LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
	stent_shared->exhausted_at = 0;
	LWLockRelease(stent_shared->lock);
}

/* Start an executor of the role; false if it is not its turn. */
static bool
start_executor(Oid role)
{
	ProcessStart start = {.database = me.database, .role = role};
	BackgroundWorker worker;
	BackgroundWorkerHandle *handle;
	MemoryContext old;
	const char *problem;
	char *name;

	start.slot = slots_take(me.database, role, &start.generation);
	if (start.slot < 0)
		return false;
	begin();
	problem = unservable(role);
	name = psprintf("stent executor for %s", problem ? "nobody" : GetUserNameFromId(role, false));
	process_describe(&worker, PROCESS_EXECUTOR, &start, name);
	CommitTransactionCommand();
	if (problem != NULL)
	{
		slots_start_failed(start.slot, start.generation, problem);
		return true;
	}
	worker.bgw_notify_pid = MyProcPid;
	old = MemoryContextSwitchTo(TopMemoryContext);
	if (RegisterDynamicBackgroundWorker(&worker, &handle))
	{
		if (handles[start.slot] != NULL)
			pfree(handles[start.slot]);
		handles[start.slot] = handle;
		generations[start.slot] = start.generation;
		not_exhausted();
	}
	else
	{
		/* the slot's last process may not be quite gone: its handle tells when */
		slots_no_worker(start.slot, start.generation);
		warn_exhausted();
	}
	MemoryContextSwitchTo(old);
	return true;
}

/* Give back the slots of executors that never came to life. */
static void
reap(void)
{
	for (int i = 0; i < MAX_EXECUTORS; i++)
	{
		pid_t pid;

		if (handles[i] == NULL || GetBackgroundWorkerPid(handles[i], &pid) != BGWH_STOPPED)
			continue;
		slots_start_failed(i, generations[i], "its process could not start; see the server log");
		slots_worker_ended();
		pfree(handles[i]);
		handles[i] = NULL;
	}
}

/* When something of the role is to be promoted, by the server's clock. */
static TimestampTz
promote_at(const BoardRole *role, TimestampTz now, Timestamp moment)
{
	TimestampTz at = DT_NOEND;

	if (role->due_failed)
		return role->due_again;
	if (role->next_due != DT_NOEND)
		at = now + (role->next_due - moment);
	return role->due_again != 0 ? Min(at, role->due_again) : at;
}

/* The roles of this database that want an executor, or have something due. */
static int
roles_to_serve(Oid *starts, int *n_starts, Oid *dues, int *n_dues, TimestampTz *again)
{
	TimestampTz now = GetCurrentTimestamp();
	Timestamp moment = clock_now();
	HASH_SEQ_STATUS status;
	BoardRole *role;
	BoardRole *longest = NULL;
	bool listed = false;

	*n_starts = *n_dues = 0;
	LWLockAcquire(stent_shared->lock, LW_SHARED);
	board_scan_begin(&status);
	while ((role = hash_seq_search(&status)) != NULL)
	{
		TimestampTz at;

		if (role->key.database != me.database)
			continue;
		if (slots_wants_executor(role, now, again))
		{
			bool room = *n_starts < ROLES_A_PASS;

			if (room)
				starts[(*n_starts)++] = role->key.role;
			if (role->executors == 0 &&
				(longest == NULL || role->demand_since < longest->demand_since))
			{
				longest = role;
				listed = room;
			}
		}
		at = promote_at(role, now, moment);
		if (at <= now && *n_dues < ROLES_A_PASS)
			dues[(*n_dues)++] = role->key.role;
		else
			*again = Min(*again, at);
	}
	/* no slot is given to anybody before it has one, so it must be asked for */
	if (longest != NULL && !listed)
		starts[0] = longest->key.role;
	LWLockRelease(stent_shared->lock);
	return *n_starts + *n_dues;
}

/*
 * Promote what of a role has come due. What others hold is tried again later, and
 * keeps nothing else waiting.
 */
static void
promote(Oid role)
{
	Timestamp next = DT_NOEND;
	bool held = false;
	BoardRole *entry;
	char *name;
	int done = 0;
	int n;

	LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
	entry = board_role(me.database, role, false);
	if (entry != NULL)
	{
		entry->due_low = DT_NOEND;
		/* who lets go of something from now on makes us try again */
		entry->due_again = DT_NOEND;
		entry->due_failed = false;
	}
	LWLockRelease(stent_shared->lock);
	do
	{
		Store *store;

		begin();
		n = 0;
		name = GetUserNameFromId(role, true);
		if (name != NULL)
		{
			int64 bucket = ready_first_bucket(name);
			Timestamp now = clock_now();

			PushActiveSnapshot(GetTransactionSnapshot());
			store = store_open("promoting tasks");
			n = due_promote(store, bucket, now, DUE_BATCH);
			CommandCounterIncrement();
			PopActiveSnapshot();
			PushActiveSnapshot(GetTransactionSnapshot());
			held = due_first(store, bucket, DT_NOBEGIN) <= now;
			next = due_first(store, bucket, now);
			store_close(store);
			PopActiveSnapshot();
		}
		STENT_FAULT("scheduler_before_commit");
		CommitTransactionCommand();
		done += n;
		CHECK_FOR_INTERRUPTS();
	} while (n == DUE_BATCH);

	LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
	entry = board_role(me.database, role, false);
	if (entry != NULL)
	{
		entry->next_due = Min(next, entry->due_low);
		if (!held || done > 0)
			entry->due_misses = 0;
		entry->due_again = 0;
		if (held)
		{
			/* the first time again at once, for what was done may have made it free */
			int delay = done > 0 ? 0 : Min(1 << Min(entry->due_misses, 10), DUE_AGAIN_MAX_S);

			entry->due_misses += done == 0;
			entry->due_again = GetCurrentTimestamp() + delay * USECS_PER_SEC;
		}
	}
	LWLockRelease(stent_shared->lock);
}

/* The same; what goes wrong with one role's entries must not keep others waiting. */
static void
try_promote(Oid role)
{
	MemoryContext cxt = CurrentMemoryContext;

	PG_TRY();
	{
		promote(role);
	}
	PG_CATCH();
	{
		BoardRole *entry;

		HOLD_INTERRUPTS();
		MemoryContextSwitchTo(cxt);
		EmitErrorReport();
		AbortCurrentTransaction();
		FlushErrorState();
		LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
		entry = board_role(me.database, role, false);
		if (entry != NULL)
		{
			entry->due_failed = true;
			entry->due_again =
				GetCurrentTimestamp() +
				Min(1 << Min(entry->due_misses, 10), DUE_AGAIN_MAX_S) * USECS_PER_SEC;
			entry->due_misses++;
		}
		LWLockRelease(stent_shared->lock);
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(cxt);
}

/* Act on what others wrote into our slot. */
static void
look_at_slot(bool *load, bool *recount)
{
	DatabaseSlot *slot;
	bool nudged = false;
	bool go;

	LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
	slot = shmem_database(me.database, false);
	go = slot == NULL || slot->evicting > 0 || slot->stopped || !(slot->listed || slot->started);
	if (slot != NULL)
	{
		nudged = slot->nudged;
		slot->nudged = false;
		*load |= slot->reload;
		*recount |= slot->recount || slot->reload;
		slot->reload = slot->recount = false;
	}
	LWLockRelease(stent_shared->lock);
	if (go)
		leave(DATABASE_WANTED, "it is not to be served now");
	if (nudged)
	{
		board_unload();
		*load = *recount = true;
	}
}

static void
scheduler_loop(void)
{
	MemoryContext cxt =
		AllocSetContextCreate(TopMemoryContext, "stent scheduler", ALLOCSET_DEFAULT_SIZES);
	TimestampTz backstop = 0;
	bool load = true;
	bool recount = true;

	for (;;)
	{
		TimestampTz now = GetCurrentTimestamp();
		TimestampTz again;
		Oid starts[ROLES_A_PASS];
		Oid dues[ROLES_A_PASS];
		int n_starts;
		int n_dues;
		bool progress = false;
		Timestamp moment;
		Timestamp next_token;
		long wait;

		MemoryContextSwitchTo(cxt);
		process_reload();
		look_at_slot(&load, &recount);
		reap();
		if (load || now >= backstop)
		{
			/* a restore may have come: its tasks are not ours to run */
			check_database();
			board_load();
			backstop = now + BACKSTOP_MS * INT64CONST(1000);
			/* who waits may have been waiting for what was not announced */
			if (load)
				wake_again();
			load = false;
			recount |= board_load_uncertain();
		}
		again = backstop;
		wake_tell(&again);
		slots_answer_overdue(me.database);
		next_token = announce_tokens(moment = clock_now());
		if (next_token != DT_NOEND)
			again = Min(again, now + (next_token - moment));
		if (roles_to_serve(starts, &n_starts, dues, &n_dues, &again) > 0)
		{
			for (int i = 0; i < n_starts; i++)
			{
				if (start_executor(starts[i]))
					progress = true;
				else
					again = Min(again, now + NO_SLOT_AGAIN_S * USECS_PER_SEC);
			}
			for (int i = 0; i < n_dues; i++)
			{
				try_promote(dues[i]);
				progress = true;
			}
		}
		if (recount)
		{
			recount = !board_count();
			if (recount)
				again = Min(again, now + USECS_PER_SEC);
		}
		upkeep(&again);
		MemoryContextReset(cxt);
		if (progress)
			continue;
		pgstat_report_activity(STATE_IDLE, NULL);
		pgstat_report_stat(true);
		wait = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), again);
		process_wait(wait);
	}
}

void
stent_scheduler_main(Datum arg)
{
	DatabaseSlot *slot;

	process_begin(&me);
	if (stent_shared == NULL)
		proc_exit(0);
	LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
	slot = shmem_database(me.database, false);
	if (slot != NULL && slot->scheduler < 0)
	{
		slot->scheduler = MyProcIndex;
		slot->scheduler_pid = MyProcPid;
		slot->state = DATABASE_WANTED;
	}
	else
		slot = NULL;
	LWLockRelease(stent_shared->lock);
	if (slot == NULL)
		proc_exit(0);
	before_shmem_exit(scheduler_exits, (Datum) 0);
	BackgroundWorkerInitializeConnectionByOid(me.database, InvalidOid, 0);
	SetConfigOption("application_name", "stent scheduler", PGC_USERSET, PGC_S_SESSION);
	SetConfigOption("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION);
	SetConfigOption("default_transaction_isolation", "read committed", PGC_USERSET, PGC_S_SESSION);
	SetConfigOption("default_transaction_read_only", "off", PGC_USERSET, PGC_S_SESSION);
	SetConfigOption("statement_timeout", "0", PGC_USERSET, PGC_S_SESSION);
	SetConfigOption("lock_timeout", "0", PGC_USERSET, PGC_S_SESSION);
	SetConfigOption("role", "none", PGC_USERSET, PGC_S_SESSION);

	if (IsBinaryUpgrade)
		leave(DATABASE_WANTED, "pg_upgrade is at work");
	check_database();
	account_for_crashes();
	board_unload();
	LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
	slot = shmem_database(me.database, false);
	if (slot != NULL)
	{
		slot->state = DATABASE_SERVED;
		/* some may have been prepared before the server started */
		slot->prepared = true;
		slot->problem[0] = '\0';
	}
	LWLockRelease(stent_shared->lock);
	served_since = GetCurrentTimestamp();
	scheduler_loop();
}
