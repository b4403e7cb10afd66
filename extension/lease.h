/*
 * lease.h
 *	  Leases: the rows that say which worker has which tasks, and the fence.
 */
#ifndef STENT_LEASE_H
#define STENT_LEASE_H

#include "postgres.h"

#include "compat.h"

#include "due.h"
#include "store.h"
#include "task.h"

/* Most tasks of one claim, and of one call that ends or renews leases. */
#define LEASE_MAX_BATCH 1000

/* Tokens are below 2^53: every JSON library carries them exactly. */
#define LEASE_TOKEN_BITS 53

/* How long a lease may be asked for. */
#define LEASE_LEAST_US INT64CONST(100000)
#define LEASE_MOST_US (INT64CONST(7) * USECS_PER_DAY)

/* A row of stent.lease. */
typedef struct Lease
{
	int64 token;
	int64 part; /* 0 for the first */
	const char *worker;
	Timestamp claimed_at;
	Timestamp expires_at;
	Timestamp due_at; /* of the token's due entry */
	int64 bucket;     /* whose role the due entry stands with */
	bool places;      /* some member holds places */
	int n;
	int64 *task_ids; /* rising */
	int32 *marks;
	bool *gone;  /* members that this call has ended */
	bool locked; /* by this call */
	ItemPointerData tid;
} Lease;

/* What became of an item that a worker named. */
typedef enum LeaseOutcome
{
	LEASE_HELD,  /* the token holds it; what was asked for is done */
	LEASE_LOST,  /* it does not: others may run the task */
	LEASE_ENDED, /* nor does anybody: the task is over */
	LEASE_BUSY   /* another transaction is at it */
} LeaseOutcome;

/* The leases that one call has to do with, each row read once. */
typedef struct LeaseBook
{
	Store *store;
	int n;
	int max;
	Lease **leases;
	int64 last_token; /* whose rows were looked for last */
	int last_from;
	int last_to;
} LeaseBook;

/* Which attempt at a task a member is. */
static inline int32
lease_mark(const Task *task)
{
	return (int32) ((uint32) task->replays << 16 | (uint32) (task->attempt & 0xFFFF));
}

extern int64 lease_new_token(void);
extern void lease_insert(Store *store, Lease *lease);
extern bool lease_lock(Store *store, Lease *lease, bool wait);
extern bool lease_update(Store *store, Lease *lease, bool wait);
extern bool lease_delete(Store *store, Lease *lease);
extern bool lease_member_lives(Store *store, const Lease *lease, int member);
extern int lease_member(const Lease *lease, int64 task_id);
extern void lease_book_begin(LeaseBook *book, Store *store);
extern Lease *lease_book_find(LeaseBook *book, int64 token, int64 task_id, int *member);
extern void lease_book_parts(LeaseBook *book, int64 token, int *from, int *to);
extern void lease_book_close(LeaseBook *book);
extern Task *lease_find_task(LeaseBook *book, int64 token, int64 task_id, Lease **lease,
							 int *member, LeaseOutcome *outcome);
extern LeaseOutcome lease_lock_task(Store *store, Task *task, LockTupleMode mode, bool wait);
extern void lease_touch_task(Store *store, Task *task);
extern LeaseOutcome lease_delete_task(Store *store, Task *task, bool wait);
extern TM_Result lease_try_end(Store *store, Task *task, TransactionId *holder);
extern void lease_over(Store *store, const Task *task);
extern bool lease_due(Store *store, const DueEntry *entry);
pg_noreturn extern void lease_refuse(int64 task_id, int64 token, LeaseOutcome outcome);

#endif
