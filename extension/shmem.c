/*
 * shmem.c
 *	  Shared memory: who runs what, who waits, which databases are served.
 *
 * Reserved and laid out by the postmaster where the library is preloaded. What
 * the parts mean is in shmem.h; the board, which is in the same memory, in board.c.
 */
#include "postgres.h"

#include <signal.h>

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/pmsignal.h"
#include "storage/proc.h"
#include "storage/shmem.h"

#include "board.h"
#include "careful.h"
#include "compat.h"
#include "shmem.h"
#include "state_file.h"
#include "store.h"

StentShared *stent_shared;

static shmem_request_hook_type previous_request_hook;
static shmem_startup_hook_type previous_startup_hook;
static bool exit_registered;

static Size
shared_size(void)
{
	return add_size(offsetof(StentShared, procs), mul_size(MaxBackends, sizeof(StentProc)));
}

static void
shmem_request(void)
{
	if (previous_request_hook)
		previous_request_hook();
	RequestAddinShmemSpace(add_size(shared_size(), board_size()));
	RequestNamedLWLockTranche("stent", 1);
}

static void
clear_proc(StentProc *proc)
{
	proc->pid = 0;
	pg_atomic_write_u64(&proc->task_id, NO_ID);
	pg_atomic_write_u64(&proc->claims, NO_ID);
	pg_atomic_write_u64(&proc->waits_for, NO_ID);
	pg_atomic_write_u64(&proc->cancels, NO_ID);
	pg_atomic_write_u64(&proc->cancels_tree, NO_ID);
	pg_atomic_write_u64(&proc->interrupt_task, NO_ID);
}

static void
lay_out(void)
{
	StentShared *shared = stent_shared;

	memset(shared, 0, offsetof(StentShared, procs));
	shared->lock = &(GetNamedLWLockTranche("stent"))->lock;
	shared->launcher = -1;
	shared->careful = -1;
	shared->n_procs = MaxBackends;
	pg_atomic_init_u32(&shared->running, 0);
	pg_atomic_init_u32(&shared->waiting, 0);
	pg_atomic_init_u32(&shared->cancelling, 0);
	pg_atomic_init_u32(&shared->cancelling_trees, 0);
	pg_atomic_init_u32(&shared->pauses, 0);
	pg_atomic_init_u32(&shared->registrations, 0);
	for (int i = 0; i < WANTED_PLACES; i++)
		pg_atomic_init_u32(&shared->wanted_places[i], 0);
	for (int i = 0; i < MAX_EXECUTORS; i++)
		shared->executors[i].proc = -1;
	for (int i = 0; i < MAX_DATABASES; i++)
		shared->databases[i].scheduler = -1;
	memset(shared->procs, 0, mul_size(MaxBackends, sizeof(StentProc)));
	for (int i = 0; i < MaxBackends; i++)
	{
		pg_atomic_init_u64(&shared->procs[i].task_id, NO_ID);
		pg_atomic_init_u64(&shared->procs[i].claims, NO_ID);
		pg_atomic_init_u64(&shared->procs[i].waits_for, NO_ID);
		pg_atomic_init_u64(&shared->procs[i].waits_from, NO_ID);
		pg_atomic_init_u64(&shared->procs[i].waits_to, NO_ID);
		pg_atomic_init_u64(&shared->procs[i].cancels, NO_ID);
		pg_atomic_init_u64(&shared->procs[i].cancels_tree, NO_ID);
		pg_atomic_init_u64(&shared->procs[i].interrupt_task, NO_ID);
	}
}

static void
shmem_startup(void)
{
	bool found;

	if (previous_startup_hook)
		previous_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	stent_shared = ShmemInitStruct("stent", shared_size(), &found);
	if (!found)
		lay_out();
	board_startup();
	LWLockRelease(AddinShmemInitLock);
	if (!IsUnderPostmaster)
		state_file_startup(MaxBackends);
}

/* Ask for shared memory; only while the postmaster loads its libraries. */
void
shmem_init(void)
{
	previous_request_hook = shmem_request_hook;
	shmem_request_hook = shmem_request;
	previous_startup_hook = shmem_startup_hook;
	shmem_startup_hook = shmem_startup;
}

/* Whatever the session promised others is void once it is gone. */
static void
backend_exits(int code, Datum arg)
{
	StentProc *proc = &stent_shared->procs[MyProcIndex];

	state_file_forget(MyProcIndex);
	if (pg_atomic_read_u64(&proc->waits_for) != NO_ID)
		pg_atomic_fetch_sub_u32(&stent_shared->waiting, 1);
	if (pg_atomic_read_u64(&proc->cancels) != NO_ID)
		pg_atomic_fetch_sub_u32(&stent_shared->cancelling, 1);
	if (pg_atomic_read_u64(&proc->cancels_tree) != NO_ID)
		pg_atomic_fetch_sub_u32(&stent_shared->cancelling_trees, 1);
	if (pg_atomic_read_u64(&proc->task_id) != NO_ID)
		pg_atomic_fetch_sub_u32(&stent_shared->running, 1);
	careful_leave();
	LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
	/* who interrupts a task holds the lock, so that it does not signal another process */
	clear_proc(proc);
	LWLockRelease(stent_shared->lock);
}

/* This backend's own entry, or NULL without preload. */
StentProc *
shmem_my_proc(void)
{
	StentProc *proc;

	if (stent_shared == NULL || MyProc == NULL || MyProcIndex >= stent_shared->n_procs)
		return NULL;
	proc = &stent_shared->procs[MyProcIndex];
	if (!exit_registered)
	{
		before_shmem_exit(backend_exits, (Datum) 0);
		exit_registered = true;
		clear_proc(proc);
		proc->database = MyDatabaseId;
		proc->role = GetSessionUserId();
		proc->pid = MyProcPid;
		state_file_quit_handler_install();
	}
	return proc;
}

/* Let others see a step of this backend's handler; it must fit with a zero after it. */
void
shmem_set_step(StentProc *proc, const char *step, int len)
{
	uint32 version = pg_atomic_read_u32(&proc->step_version);

	pg_atomic_write_u32(&proc->step_version, version + 1);
	pg_write_barrier();
	memcpy(proc->step, step, len);
	proc->step[len] = '\0';
	pg_write_barrier();
	pg_atomic_write_u32(&proc->step_version, version + 2);
}

/* A consistent copy of it. */
void
shmem_get_step(StentProc *proc, char *step)
{
	uint32 version;

	do
	{
		version = pg_atomic_read_u32(&proc->step_version);
		pg_read_barrier();
		memcpy(step, proc->step, STEP_LENGTH);
		pg_read_barrier();
	} while ((version & 1) != 0 || pg_atomic_read_u32(&proc->step_version) != version);
}

StentProc *
shmem_proc(int n)
{
	return &stent_shared->procs[n];
}

/* Wake a backend by its number; harmless if it is another one by now. */
void
shmem_set_latch(int proc)
{
	if (proc >= 0)
		SetLatch(&ProcGlobal->allProcs[proc].procLatch);
}

/* The slot of a database, under the lock; NULL if there is none, or no room. */
DatabaseSlot *
shmem_database(Oid database, bool make)
{
	DatabaseSlot *free = NULL;

	for (int i = 0; i < MAX_DATABASES; i++)
	{
		DatabaseSlot *slot = &stent_shared->databases[i];

		if (slot->database == database)
			return slot;
		if (!OidIsValid(slot->database) && free == NULL)
			free = slot;
	}
	if (!make || free == NULL)
		return NULL;
	memset(free, 0, sizeof(*free));
	free->database = database;
	free->scheduler = -1;
	free->token_at = free->workers_token_at = DT_NOEND;
	return free;
}

/* Whether a session runs this task's handler now; proc gets its number. */
bool
shmem_running(Oid database, int64 task_id, int *proc)
{
	if (stent_shared == NULL || pg_atomic_read_u32(&stent_shared->running) == 0)
		return false;
	for (int i = 0; i < stent_shared->n_procs; i++)
	{
		StentProc *other = &stent_shared->procs[i];

		if (pg_atomic_read_u64(&other->task_id) == (uint64) task_id && other->database == database)
		{
			if (proc != NULL)
				*proc = i;
			return true;
		}
	}
	return false;
}

/* Whether another session is about to cancel this task: then nobody starts it. */
static bool
being_cancelled(Oid database, int64 task_id)
{
	if (pg_atomic_read_u32(&stent_shared->cancelling) == 0)
		return false;
	for (int i = 0; i < stent_shared->n_procs; i++)
	{
		StentProc *other = &stent_shared->procs[i];

		if (i != MyProcIndex && other->database == database &&
			pg_atomic_read_u64(&other->cancels) == (uint64) task_id)
			return true;
	}
	return false;
}

/* Tell that this session is about to take a task; false: it is to be passed over. */
bool
shmem_claim(int64 task_id)
{
	StentProc *proc = shmem_my_proc();

	if (proc == NULL)
		return true;
	pg_atomic_write_u64(&proc->claims, (uint64) task_id);
	pg_memory_barrier();
	return !being_cancelled(MyDatabaseId, task_id);
}

/* Whether another session cancels a tree of this execution. */
bool
shmem_tree_cancelled(int64 execution_id)
{
	for (int i = 0; i < stent_shared->n_procs; i++)
	{
		StentProc *other = &stent_shared->procs[i];

		if (i != MyProcIndex && other->database == MyDatabaseId &&
			pg_atomic_read_u64(&other->cancels_tree) == (uint64) execution_id)
			return true;
	}
	return false;
}

/* It was not taken, or its end is written. */
void
shmem_claim_over(void)
{
	StentProc *proc = shmem_my_proc();

	if (proc != NULL)
		pg_atomic_write_u64(&proc->claims, NO_ID);
}

/* Whether another session may be about to run the task, or runs it. */
bool
shmem_being_claimed(Oid database, int64 task_id)
{
	if (stent_shared == NULL)
		return false;
	for (int i = 0; i < stent_shared->n_procs; i++)
	{
		StentProc *other = &stent_shared->procs[i];

		if (i != MyProcIndex && pg_atomic_read_u64(&other->claims) == (uint64) task_id &&
			other->database == database)
			return true;
	}
	return false;
}

/* Interrupt the task's handler wherever it runs; false if it does not run. */
bool
shmem_interrupt(Oid database, int64 task_id)
{
	bool sent = false;
	StentProc *proc;
	int n;

	if (!shmem_running(database, task_id, &n))
		return false;
	proc = shmem_proc(n);
	/* the session cannot leave its entry meanwhile, nor two interrupts mix */
	LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
	if (pg_atomic_read_u64(&proc->task_id) == (uint64) task_id && proc->database == database)
	{
		pg_atomic_write_u64(&proc->interrupt_task, (uint64) task_id);
		sent = kill(proc->pid, SIGUSR2) == 0;
	}
	LWLockRelease(stent_shared->lock);
	return sent;
}
