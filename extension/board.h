/*
 * board.h
 *	  The board: where the ready tasks of each role are, in shared memory.
 *
 * For each bucket (role, priority, lane) it remembers the head, below which
 * nothing is claimable, so that a claim does not walk over the dead entries of
 * finished tasks, and how many tasks are there. docs/executors.md has the
 * argument why heads lose nothing; test/model checks it.
 *
 * Functions named board_* take the lock themselves unless they say otherwise.
 */
#ifndef STENT_BOARD_H
#define STENT_BOARD_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "utils/hsearch.h"

/* Looks at a bucket whose late commits are told apart. */
#define BOARD_EPOCHS 16

/* head of a bucket in which nothing is claimable */
#define HEAD_END PG_INT64_MAX

typedef struct BoardBucketKey
{
	Oid database;
	Oid role;
	int64 bucket;
} BoardBucketKey;

typedef struct BoardBucket
{
	BoardBucketKey key;
	struct BoardBucket *next; /* of the same role */
	int64 head;               /* no claimable entry lies below */
	uint64 epoch;             /* rises with every look */
	int64 low[BOARD_EPOCHS];  /* lowest position that became claimable in the epoch */
	int64 ready;              /* tasks; exact where the database is counted */
	int64 scheduled;
	int64 blocked;
	int64 waiting;
} BoardBucket;

typedef struct BoardRoleKey
{
	Oid database;
	Oid role;
} BoardRoleKey;

typedef struct BoardRole
{
	BoardRoleKey key;
	BoardBucket *first; /* chain of its buckets */
	int n_buckets;
	bool incomplete;    /* a bucket found no room: the board cannot be used */
	uint64 changes;     /* rises when anything becomes claimable */
	Timestamp next_due; /* nothing of it comes due earlier, but what is held */
	Timestamp due_low;  /* lowest due time announced since the scheduler looked */
	bool demand;        /* work came and no executor has taken notice */
	TimestampTz demand_since;
	bool help;             /* more work than its executors can do at once */
	int executors;         /* slots in use */
	int idle;              /* of them, waiting for their latch */
	TimestampTz due_again; /* what is due and others hold is tried again then; 0: nothing */
	int due_misses;        /* so often in vain, in a row */
	bool due_failed;       /* promoting failed: nothing is tried before due_again */
	bool held_back;        /* tasks were passed over for want of a place (place.c) */
	Timestamp token_at;    /* or until a rate limit lets one start then; DT_NOEND: none */
	int failures;          /* starts that failed in a row */
	TimestampTz retry_at;
	char problem[256]; /* why the last start failed */
} BoardRole;

/* A copy of a bucket taken by a look. */
typedef struct BoardLook
{
	int64 bucket;
	int64 head;
	uint64 epoch;
} BoardLook;

extern Size board_size(void);
extern void board_startup(void);
extern int board_look(Oid role, BoardLook **looks, uint64 *changes);
extern int board_roles(Oid **roles);
extern void board_sort(BoardLook *looks, int n);
extern uint64 board_changes(Oid role);
extern int board_above(Oid role, int64 end_bucket, int64 *above, int max);
extern void board_raise(Oid role, int64 bucket, uint64 epoch, int64 position);

/* the rest under the lock, held by the caller */
extern BoardRole *board_role(Oid database, Oid role, bool make);
extern BoardBucket *board_bucket(BoardRole *role, int64 bucket, bool make);
extern void board_lower(BoardRole *role, int64 bucket, int64 position);
extern void board_forget(Oid database);
extern void board_scan_begin(HASH_SEQ_STATUS *status);

#endif
