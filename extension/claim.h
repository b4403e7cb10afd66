/*
 * claim.h
 *	  Choosing and taking the next ready task of a role.
 */
#ifndef STENT_CLAIM_H
#define STENT_CLAIM_H

#include "postgres.h"

#include "board.h"
#include "due.h"
#include "pause.h"
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
	int64 line;               /* NO_LINE: it has no concurrency key */
} Candidate;

/* Where a lane's scan stands in this batch. */
typedef struct LaneCursor
{
	int64 bucket;
	int64 position; /* of the last entry looked at */
	bool fresh;     /* nothing read yet in this batch */
	uint64 epoch;   /* of the look at the board; 0: it is not to be raised */
	int64 raised;   /* the board's head, as far as we raised it */
	int64 floor;    /* lowest position passed over though nobody had taken it */
	int n;          /* candidates read ahead */
	int next;
	Candidate candidates[CLAIM_AHEAD];
} LaneCursor;

/* What a worker serves; of SQL tasks nothing. */
typedef struct ClaimFilter
{
	char **functions; /* NULL: all */
	int n_functions;
	char **tags; /* a task with tags needs one of them; NULL: none needed */
	int n_tags;
	bool chunks; /* takes chunks of maps, too */
} ClaimFilter;

typedef struct Claimer
{
	Store *store;
	const char *role; /* NULL: any, of those in [first, end) */
	Oid role_oid;
	const ClaimFilter *filter; /* of a worker; NULL: it serves SQL tasks */
	char **queues;             /* NULL: all */
	int n_queues;
	int64 first; /* the role's buckets are [first, end) */
	int64 end;
	MemoryContext cxt;
	int32 *full; /* functions whose limit is reached: passed over in this batch */
	int n_full;
	int max_full;

	/* lanes from the board */
	bool board;
	BoardLook *looks; /* all that have work, by bucket */
	int n_looks;
	uint64 changes; /* of the role when it looked */
	int rank_from;  /* the looks of the rank being served are [rank_from, rank_to) */
	int rank_to;
	int look_at;    /* the next of them to serve */
	int looks_left; /* so many of them */

	/* lanes from the index */
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
	const PauseList *paused; /* NULL: nothing */
	LaneCursor *lanes;
} Claimer;

/* the lane served last by this session */
extern int64 claim_last_bucket;

extern void claim_begin(Claimer *claimer, Store *store, const char *role, char **queues,
						int n_queues, int max);
extern void claim_begin_for_worker(Claimer *claimer, Store *store, const char *role,
								   int64 first_bucket, char **queues, int n_queues,
								   const ClaimFilter *filter, int max);
extern bool claim_peek(Claimer *claimer, Candidate *candidate);
extern bool claim_take(Claimer *claimer, const Candidate *candidate);
extern void claim_pass_over(Claimer *claimer);
extern void claim_pass_over_function(Claimer *claimer, int32 function_id);
extern bool claim_has_more(Claimer *claimer);
extern bool claim_may_serve(Claimer *claimer, int64 bucket);
extern void claim_add_lane(Claimer *claimer, int64 bucket, int64 first_position, uint64 epoch);
extern void claim_raise_heads(Claimer *claimer);

extern bool claim_board_begin(Claimer *claimer);
extern bool claim_board_lanes(Claimer *claimer);
extern bool claim_board_has_more(Claimer *claimer);
extern void claim_board_restart(Claimer *claimer);
extern void claim_board_look_up(Claimer *claimer);
extern void claim_board_raise(Claimer *claimer, LaneCursor *lane, int64 position);

extern void claim_index_begin(Claimer *claimer);
extern bool claim_index_lanes(Claimer *claimer);
extern void claim_index_restart(Claimer *claimer);
extern void claim_index_look_up(Claimer *claimer);
extern void claim_index_head(const Claimer *claimer, int64 bucket, int64 position);
extern void claim_index_full(const Claimer *claimer, int32 function_id);

#endif
