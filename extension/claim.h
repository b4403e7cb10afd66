/*
 * claim.h
 *	  Choosing and taking the next ready task of a role.
 */
#ifndef STENT_CLAIM_H
#define STENT_CLAIM_H

#include "postgres.h"

#include "due.h"
#include "store.h"
#include "task.h"

#define CLAIM_LANES 64
#define CLAIM_AHEAD 32

/* An entry that was looked at; nothing is taken until claim_take. */
typedef struct Candidate
{
	int64 bucket;
	int64 position;
	int64 task_id;
	ItemPointerData task_tid; /* where its row probably is */
	ItemPointerData tid;      /* of the entry */
} Candidate;

/* Where a lane's scan stands in this batch. */
typedef struct LaneCursor
{
	int64 bucket;
	int64 position; /* of the last entry looked at */
	bool fresh;     /* nothing read yet in this batch */
	int n;          /* candidates read ahead */
	int next;
	Candidate candidates[CLAIM_AHEAD];
} LaneCursor;

typedef struct Claimer
{
	Store *store;
	const char *role;
	char **queues; /* NULL: all */
	int n_queues;
	int64 first; /* the role's buckets are [first, end) */
	int64 end;
	bool from_memory; /* serving lanes remembered from an earlier batch */
	int64 rank_start; /* the rank being served is [rank_start, rank_end) */
	int64 rank_end;
	int64 found_bucket; /* the rank's first served bucket and its first entry */
	int64 found_position;
	int64 discover_from; /* lanes of the rank not looked for yet: */
	int64 discover_end;  /* [discover_from, discover_end) */
	int64 wrap_end;      /* and then [rank_start, wrap_end) */
	int want;            /* lanes worth knowing at a time */
	int ahead;           /* entries worth reading at a time */
	int n_lanes;
	int next_lane;
	int claims; /* since higher priorities were looked for */
	uint64 inserts;
	uint64 takes;
	LaneCursor *lanes;
} Claimer;

extern void claim_begin(Claimer *claimer, Store *store, const char *role, char **queues,
						int n_queues, int max);
extern bool claim_peek(Claimer *claimer, Candidate *candidate);
extern bool claim_take(Claimer *claimer, const Candidate *candidate);
extern void claim_skip(Claimer *claimer);
extern bool claim_may_serve(Claimer *claimer, int64 bucket);

#endif
