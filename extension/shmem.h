/*
 * shmem.h
 *	  What the sessions and processes of one server share, where the library is
 *	  preloaded.
 *
 * Everything here is lost with the server and made anew by it: tables are the
 * truth, this is how those who act on them find each other. Without preload
 * there is none of it, stent_shared is NULL, and everything works by polling.
 *
 * One LWLock, stent_shared->lock, guards all fields except those said to be
 * atomic. It is held for well under a microsecond a time and never while
 * anything waits.
 */
#ifndef STENT_SHMEM_H
#define STENT_SHMEM_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "port/atomics.h"
#include "storage/latch.h"
#include "storage/lwlock.h"

#define MAX_DATABASES 64
#define MAX_EXECUTORS 256
#define COUNT_LOG 4096
#define WANTED_PLACES 1024
#define WAKE_QUEUES 128
#define PROBLEM_LENGTH 256

#define STEP_LENGTH 64
#define QUEUE_LENGTH 201

/* so many deleted ready entries are worth a vacuum, so many rows of tally a fold */
#define DEAD_ENTRIES_VACUUM 20000
#define TALLIES_FOLD 2000
#define COUNTERS_FOLD 2000

/*
 * One a backend, by its number (compat.h: MyProcIndex). The backend itself
 * writes; others read, and write interrupt_*. Cleared when the backend exits.
 */
typedef struct StentProc
{
	/* the task whose handler runs; set last and cleared first (atomic; 0: none) */
	pg_atomic_uint64 task_id;
	int pid;
	Oid database;
	Oid role;
	bool executor; /* or an ordinary session in stent.run() */
	int64 execution_id;
	int32 function_id;
	int32 lane_id;
	int32 attempt; /* this one, from 1 */
	Timestamp started_at;
	/* the handler's latest step; its version is odd while it is being written (atomic) */
	pg_atomic_uint32 step_version;
	char step[STEP_LENGTH];

	/*
	 * The task this session is about to take, until its end is written (atomic; 0:
	 * none). Who claims publishes this and then looks at cancels; who cancels does it
	 * the other way round; so at least one of them sees the other.
	 */
	pg_atomic_uint64 claims;

	/* the task this session waits for, in this database (atomic; 0: none) */
	pg_atomic_uint64 waits_for;
	/*
	 * Of who waits for many: the lowest and highest of their ids (atomic). Of these one is
	 * published as waits_for; any of them that fails wakes the session as well.
	 */
	pg_atomic_uint64 waits_from;
	pg_atomic_uint64 waits_to;
	/* the task this session is about to cancel, in this database (atomic; 0: none) */
	pg_atomic_uint64 cancels;
	/*
	 * The execution of which it cancels a tree (atomic; 0: none). Nobody starts tasks of
	 * it meanwhile; who just has is dealt with one by one, as above.
	 */
	pg_atomic_uint64 cancels_tree;

	/*
	 * Somebody wants the handler of this task interrupted: under the lock they see
	 * that it runs, set this and send SIGUSR2. A signal that arrives when another
	 * task runs is ignored.
	 */
	pg_atomic_uint64 interrupt_task;
} StentProc;

typedef enum ExecutorState
{
	EXECUTOR_FREE,
	EXECUTOR_STARTING,
	EXECUTOR_BUSY,
	EXECUTOR_IDLE /* waits for its latch */
} ExecutorState;

/* One a running executor. */
typedef struct ExecutorSlot
{
	ExecutorState state;
	uint32 generation; /* of its use, so that a late starter does not take another's */
	Oid database;
	Oid role;
	int proc; /* its number, once it runs; -1 before */
	int pid;
	uint64 seen;       /* changes of the role when it last looked for work */
	bool overdue;      /* its task takes long and there is more; set by it without the lock */
	bool leave;        /* it is asked to go, after its batch */
	TimestampTz since; /* of the state */
	TimestampTz begun; /* when it was asked for */
} ExecutorSlot;

typedef enum DatabaseState
{
	DATABASE_WANTED,        /* a scheduler shall be started */
	DATABASE_STARTING,      /* it was asked for and has not come to life yet */
	DATABASE_SERVED,        /* its scheduler runs */
	DATABASE_NO_EXTENSION,  /* nothing to do until CREATE EXTENSION */
	DATABASE_OTHER_VERSION, /* ALTER EXTENSION stent UPDATE is needed */
	DATABASE_NOT_ADOPTED,   /* a copy: waits for stent.adopt() */
	DATABASE_FAILED         /* the scheduler failed; tried again at retry_at */
} DatabaseState;

/* One a database that is to be served, or that others need to agree about. */
typedef struct DatabaseSlot
{
	Oid database; /* InvalidOid: free */
	DatabaseState state;
	bool listed;   /* named by stent.databases */
	bool started;  /* by stent.start() */
	bool stopped;  /* by stent.stop() */
	int evicting;  /* so many sessions need it empty */
	bool reload;   /* read the ready table again */
	bool nudged;   /* look again: extension made, adopted, prepared transaction ended */
	int scheduler; /* its backend number, -1: none */
	int scheduler_pid;
	int failures; /* of the scheduler, in a row */
	TimestampTz retry_at;
	Timestamp token_at;           /* earliest of its roles */
	bool loaded;                  /* the board knows all ready entries */
	uint32 count_epoch;           /* odd: entries are being counted */
	bool counted;                 /* the board's counts are exact */
	bool recount;                 /* and must be made anew */
	bool prepared;                /* a prepared transaction may change entries unannounced */
	uint64 dead_entries;          /* ready entries deleted since the last vacuum */
	uint64 tallies;               /* rows of tally since they were folded */
	uint64 counters;              /* rows of counter since they were folded */
	char problem[PROBLEM_LENGTH]; /* why it is not served */

	/* wake.c: what workers wait for, and what the scheduler has to tell them */
	int waits;                  /* queues in wake_queues that are waited for */
	bool waits_any;             /* work of any queue is */
	bool waits_more;            /* queues are for which there was no room */
	int tells;                  /* queues in wake_queues that are to be told */
	bool tells_all;             /* everybody shall look */
	bool tells_cancelled;       /* and who holds leases shall ask whether they are still held */
	bool workers_held_back;     /* workers passed over tasks for want of a place (place.c) */
	Timestamp workers_token_at; /* or until a rate limit lets one start then; DT_NOEND: none */
} DatabaseSlot;

/* A queue that workers wait for, or that they are to be told of, or both. */
typedef struct WakeQueue
{
	Oid database; /* InvalidOid: free */
	bool waited;
	bool told;
	uint32 hash;       /* of the name */
	TimestampTz since; /* waited for; after a while all who did have looked by themselves */
	char name[QUEUE_LENGTH];
} WakeQueue;

/* What a commit changed while the entries were being counted. */
typedef struct CountLog
{
	TransactionId xid;
	Oid role;
	int64 bucket;
	int32 ready;
	int32 scheduled;
	int32 blocked;
	int32 waiting;
} CountLog;

typedef struct StentShared
{
	LWLock *lock;
	int launcher; /* backend number, -1: none */
	int launcher_pid;
	int n_procs;
	/*
	 * So many procs have a task_id, waits_for, cancels, cancels_tree (atomic). They rise after it is
	 * set and before its owner looks at anything; 0 tells a reader that there are
	 * none, no other number tells it where to stop.
	 */
	pg_atomic_uint32 running;
	pg_atomic_uint32 waiting;
	pg_atomic_uint32 cancelling;
	pg_atomic_uint32 cancelling_trees;
	/*
	 * Somebody wants a place of this hash (atomic). Set before a last try to take it,
	 * read after it was given up.
	 */
	pg_atomic_uint32 wanted_places[WANTED_PLACES];
	pg_atomic_uint32 pauses;        /* rises with every commit that pauses or resumes something */
	pg_atomic_uint32 registrations; /* rises with every commit that registers something */
	int careful;                /* proc that runs a task which crashed a server before, -1: none */
	bool careful_wanted;        /* somebody passed over such a task meanwhile */
	int yield_wanted;           /* so many executors shall leave to make room for other roles */
	uint64 epoch_base;          /* above the epoch of every bucket that was removed */
	TimestampTz exhausted_at;   /* since when no background worker could be had; 0: not */
	int capacity;               /* while exhausted: so many executors could be had, */
	TimestampTz capacity_until; /* which is taken for true until then */
	uint64 cold_starts;         /* executors started */
	uint64 wakeups;             /* latches set for executors and waiters */
	Oid counting;               /* database whose entries are being counted, one at a time */
	int n_count_log;            /* -1: there were too many */
	CountLog count_log[COUNT_LOG];
	WakeQueue wake_queues[WAKE_QUEUES];
	DatabaseSlot databases[MAX_DATABASES];
	ExecutorSlot executors[MAX_EXECUTORS];
	StentProc procs[FLEXIBLE_ARRAY_MEMBER];
} StentShared;

extern StentShared *stent_shared; /* NULL: not preloaded */

extern void shmem_init(void);
extern StentProc *shmem_my_proc(void);
extern StentProc *shmem_proc(int n);
extern void shmem_set_step(StentProc *proc, const char *step, int len);
extern void shmem_get_step(StentProc *proc, char *step);
extern void shmem_set_latch(int proc);
extern DatabaseSlot *shmem_database(Oid database, bool make);
extern bool shmem_running(Oid database, int64 task_id, int *proc);
extern bool shmem_claim(int64 task_id);
extern void shmem_claim_over(void);
extern bool shmem_tree_cancelled(int64 execution_id);
extern bool shmem_being_claimed(Oid database, int64 task_id);
extern bool shmem_interrupt(Oid database, int64 task_id);

#endif
