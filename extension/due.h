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

/* A due entry that was looked at, not taken. */
typedef struct DueEntry
{
	Timestamp due_at;
	int64 task_id;
	char kind;
	int64 bucket;
	ItemPointerData tid;
} DueEntry;

extern void due_insert(Store *store, Timestamp due_at, int64 task_id, char kind, int64 bucket);
extern bool due_take(Store *store, int64 bucket, Timestamp due_at, int64 task_id, char kind);
extern int due_peek(Store *store, int64 bucket, Timestamp from, Timestamp now, DueEntry *entries,
					int max);
extern bool due_promote_one(Store *store, const DueEntry *entry);
extern int due_promote(Store *store, int64 bucket, Timestamp now, int max);

#endif
