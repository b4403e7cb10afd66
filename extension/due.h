/*
 * due.h
 *	  What happens at a time: delays, retries, deadlines.
 */
#ifndef STENT_DUE_H
#define STENT_DUE_H

#include "store.h"
#include "task.h"

/* how many entries are looked at or promoted at a time */
#define DUE_BATCH 100

#define DUE_READY 'r'    /* the task becomes ready */
#define DUE_DEADLINE 'd' /* the task reaches its deadline */
#define DUE_NUDGE 'k'    /* somebody has to decide who is next in a line (line.c) */
#define DUE_LEASE 'l'    /* a lease may have expired; task_id: its token (lease.c) */
#define DUE_WAIT 'w'     /* a waiting task has waited long enough (waiting.c) */
#define DUE_HAPPENED 'n' /* something happened that a waiting task may wait for; line: its id */
#define DUE_FAILED 'f'   /* the same, and it failed */

/* when nudges are due: at once, and before all else, whatever the clock shows */
#define DUE_NUDGE_AT ((Timestamp) 0)

/* A due entry that was looked at, not taken. */
typedef struct DueEntry
{
	Timestamp due_at;
	int64 task_id;
	char kind;
	int64 bucket;
	int64 line; /* of a nudge: what it is about */
	bool own;   /* this transaction has written it */
	ItemPointerData tid;
} DueEntry;

/* Whether an entry asks somebody to decide, and belongs to nobody. */
static inline bool
due_is_nudge(char kind)
{
	return kind == DUE_NUDGE || kind == DUE_HAPPENED || kind == DUE_FAILED;
}

/* how often this session has begun to look at what is due */
extern uint64 due_looks;

/* A walk over what has come due; it takes nothing. */
typedef struct DueScan
{
	StoreRel *table;
	IndexScanDesc scan;
	bool ended; /* asked again, the index would begin anew */
} DueScan;

extern void due_insert(Store *store, Timestamp due_at, int64 task_id, char kind, int64 bucket);
extern void due_nudge(Store *store, int64 line, int64 bucket);
extern void due_nudge_waiting(Store *store, char kind, int64 task_id, int64 bucket);
extern bool due_take(Store *store, int64 bucket, Timestamp due_at, int64 task_id, char kind);
extern TM_Result due_try_take(Store *store, int64 bucket, Timestamp due_at, int64 task_id,
							  char kind, TransactionId *holder);
extern void due_scan_begin(DueScan *scan, Store *store, int64 bucket, Timestamp now);
extern bool due_scan_next(DueScan *scan, DueEntry *entry);
extern int due_scan_page(DueScan *scan, DueEntry *entries, int max);
extern void due_scan_end(DueScan *scan);
extern bool due_promote_one(Store *store, const DueEntry *entry);
extern Timestamp due_first(Store *store, int64 bucket, Timestamp after);
extern bool due_seek(Store *store, int64 from_role_key, int64 *bucket, Timestamp *due_at);
extern bool due_next_role(Store *store, int64 from_role_key, int64 *bucket);
extern int due_promote(Store *store, int64 bucket, Timestamp now, int max);

#endif
