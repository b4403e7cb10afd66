/*
 * claim.c
 *	  Choosing and taking the next ready task of a role.
 *
 * Order: the highest priority first; lanes of one priority take turns; within a
 * lane the oldest. A lane that may not be served (external, another queue) is
 * stepped over whole, by one index descent.
 *
 * A claimer lives for one batch. It remembers how far it has read in each lane,
 * so that its own deleted entries are not walked again, and reads a few entries
 * ahead. Reading ahead takes nothing: an entry is taken one at a time, by
 * deleting it, and one that somebody else took is passed over. The batch's outer
 * snapshot keeps the tuples' addresses from being reused meanwhile.
 *
 * Between batches the session remembers the lanes of the rank it served and each
 * one's head, the first entry that was visible, because the index entries of
 * finished tasks stay in front until vacuum. Heads only speed things up: a batch
 * starts from them for a while (HEADS_LAST_*), as long as this session has inserted nothing
 * and every lane of the rank is known; then, and whenever they lead to nothing,
 * the walk starts from the beginning, so that an entry that was committed late,
 * below a head, waits no longer than that.
 */
#include "postgres.h"

#include "access/genam.h"
#include "utils/fmgroids.h"
#include "portability/instr_time.h"
#include "utils/snapmgr.h"

#include "claim.h"
#include "compat.h"
#include "fault.h"
#include "intern.h"
#include "ready.h"
#include "registry.h"

/* How many claims may pass before a higher priority is noticed. */
#define CLAIMS_PER_LOOK_UP 8

/* How long heads are trusted: so long that walking costs no more than 1/50. */
#define HEADS_LAST_MS 20
#define HEADS_LAST_WALKS 50

/* Lanes worth discovering even for a small batch. */
#define CLAIM_LANES_MIN 8

typedef struct Head
{
	int64 bucket;
	int64 position;
} Head;

/* The lane served last, so that lanes take turns across batches too. */
static int64 last_bucket = -1;

/* All lanes of one rank, if heads_valid. */
static Head heads[CLAIM_LANES];
static int n_heads;
static bool heads_valid;
static int64 heads_first; /* first bucket of the role they belong to */
static uint64 heads_inserts;
static uint64 heads_generation;
static instr_time heads_since;
static double walk_ms; /* what the last walk from the beginning took */

static bool
heads_usable(const Claimer *claimer)
{
	instr_time age;

	if (!heads_valid || n_heads == 0 || heads_first != claimer->first ||
		heads_inserts != ready_inserts || heads_generation != store_generation())
		return false;
	INSTR_TIME_SET_CURRENT(age);
	INSTR_TIME_SUBTRACT(age, heads_since);
	return INSTR_TIME_GET_MILLISEC(age) < Max(HEADS_LAST_MS, HEADS_LAST_WALKS * walk_ms);
}

static void
forget_heads(Claimer *claimer)
{
	n_heads = 0;
	heads_valid = false;
	heads_first = claimer->first;
	heads_inserts = ready_inserts;
	heads_generation = store_generation();
	INSTR_TIME_SET_CURRENT(heads_since);
}

static void
remember_head(int64 bucket, int64 position)
{
	for (int i = 0; i < n_heads; i++)
	{
		if (heads[i].bucket == bucket)
		{
			heads[i].position = position;
			return;
		}
	}
	if (n_heads < CLAIM_LANES)
		heads[n_heads++] = (Head){bucket, position};
}

void
claim_begin(Claimer *claimer, Store *store, const char *role, char **queues, int n_queues, int max)
{
	memset(claimer, 0, sizeof(*claimer));
	claimer->store = store;
	claimer->role = role;
	claimer->queues = queues;
	claimer->n_queues = n_queues;
	claimer->first = ready_first_bucket(role);
	claimer->end = ready_end_bucket(role);
	claimer->rank_end = claimer->first;
	claimer->want = Max(Min(max, CLAIM_LANES), CLAIM_LANES_MIN);
	claimer->ahead = Min(max, CLAIM_AHEAD);
	claimer->lanes = palloc_array(LaneCursor, CLAIM_LANES);
	claimer->inserts = ready_inserts;
	claimer->takes = ready_takes;
	claimer->found_bucket = -1;
	claimer->from_memory = queues == NULL && heads_usable(claimer);
	if (!claimer->from_memory)
		forget_heads(claimer);
}

/* Whether this claimer may take tasks from the bucket's lane. */
bool
claim_may_serve(Claimer *claimer, int64 bucket)
{
	const Lane *lane;

	if (bucket < claimer->first || bucket >= claimer->end)
		return false;
	lane = lane_get(claimer->store, ready_bucket_lane(bucket));
	if (strcmp(lane->role, claimer->role) != 0)
		return false;
	if (claimer->queues != NULL)
	{
		int i;

		for (i = 0; i < claimer->n_queues; i++)
			if (strcmp(claimer->queues[i], lane->queue) == 0)
				break;
		if (i == claimer->n_queues)
			return false;
	}
	return function_by_id(claimer->store, lane->function_id)->handler_name != NULL;
}

/* The first bucket in [from, end) with entries we may take, or -1. */
static int64
next_served(Claimer *claimer, int64 from, int64 end, int64 *position)
{
	/* below the rank's first bucket there is nothing, so no need to look */
	if (from <= claimer->found_bucket && claimer->found_bucket < end)
	{
		*position = claimer->found_position;
		return claimer->found_bucket;
	}
	while (ready_seek(claimer->store, from, end))
	{
		int64 bucket = ready_found(claimer->store, position);

		if (claim_may_serve(claimer, bucket))
			return bucket;
		from = bucket + 1;
	}
	return -1;
}

/* Begin the highest priority in [from, end of role); false if there is none. */
static bool
start_rank(Claimer *claimer, int64 from)
{
	int64 position;
	int64 bucket;
	instr_time begin;
	instr_time end;

	claimer->found_bucket = -1;
	INSTR_TIME_SET_CURRENT(begin);
	bucket = next_served(claimer, from, claimer->end, &position);
	INSTR_TIME_SET_CURRENT(end);
	INSTR_TIME_SUBTRACT(end, begin);
	walk_ms = INSTR_TIME_GET_MILLISEC(end);
	claimer->n_lanes = claimer->next_lane = 0;
	forget_heads(claimer);
	if (bucket < 0)
		return false;
	claimer->found_bucket = bucket;
	claimer->found_position = position;
	claimer->rank_end = ready_rank_end(bucket);
	claimer->rank_start = ready_rank_start(bucket);
	claimer->discover_end = claimer->rank_end;
	if (last_bucket >= bucket && last_bucket < claimer->rank_end - 1)
	{
		/* the turn is with the lanes after the one served last */
		claimer->discover_from = last_bucket + 1;
		claimer->wrap_end = last_bucket + 1;
	}
	else
	{
		claimer->discover_from = bucket;
		claimer->wrap_end = claimer->rank_start;
	}
	return true;
}

static void
add_lane(Claimer *claimer, int64 bucket, int64 first_position)
{
	LaneCursor *lane = &claimer->lanes[claimer->n_lanes++];

	lane->bucket = bucket;
	lane->position = first_position - 1;
	lane->fresh = true;
	lane->n = lane->next = 0;
}

/* Learn more lanes of the rank; false if there are no more. */
static bool
discover_lanes(Claimer *claimer)
{
	bool first_time = n_heads == 0;
	bool complete = false;

	claimer->n_lanes = claimer->next_lane = 0;
	while (claimer->n_lanes < claimer->want && !complete)
	{
		int64 position;
		int64 bucket =
			next_served(claimer, claimer->discover_from, claimer->discover_end, &position);

		if (bucket >= 0)
		{
			add_lane(claimer, bucket, position);
			remember_head(bucket, position);
			claimer->discover_from = bucket + 1;
		}
		else if (claimer->wrap_end > claimer->rank_start)
		{
			claimer->discover_from = claimer->rank_start;
			claimer->discover_end = claimer->wrap_end;
			claimer->wrap_end = claimer->rank_start;
		}
		else
		{
			claimer->discover_from = claimer->discover_end;
			complete = true;
		}
	}
	heads_valid = first_time && complete;
	return claimer->n_lanes > 0;
}

/*
 * Serve the lanes remembered from the last batch; false if something of higher
 * priority has come, or they are gone.
 */
static bool
recall_lanes(Claimer *claimer)
{
	int start = 0;
	int64 position;

	claimer->from_memory = false;
	claimer->rank_start = ready_rank_start(heads[0].bucket);
	/* when these are used up, begin from the beginning */
	claimer->rank_end = claimer->first;
	claimer->discover_from = claimer->discover_end = claimer->wrap_end = claimer->rank_start;
	if (next_served(claimer, claimer->first, claimer->rank_start, &position) >= 0)
		return false;
	for (int i = 0; i < n_heads; i++)
		if (heads[i].bucket == last_bucket)
			start = i + 1;
	for (int i = 0; i < n_heads; i++)
	{
		Head *head = &heads[(start + i) % n_heads];

		if (claim_may_serve(claimer, head->bucket))
			add_lane(claimer, head->bucket, head->position);
	}
	return claimer->n_lanes > 0;
}

/* Read a few entries ahead in a lane; false if it has no more. */
static bool
read_ahead(Claimer *claimer, LaneCursor *lane)
{
	StoreRel *table = store_table(claimer->store, STORE_READY);
	IndexScanDesc scan = compat_index_beginscan(table->rel, table->pkey, GetActiveSnapshot(), 2);
	ScanKeyData keys[2];

	ScanKeyInit(&keys[0], READY_BUCKET, BTEqualStrategyNumber, F_INT8EQ,
				Int64GetDatum(lane->bucket));
	ScanKeyInit(&keys[1], READY_POSITION, BTGreaterStrategyNumber, F_INT8GT,
				Int64GetDatum(lane->position));
	index_rescan(scan, keys, 2, NULL, 0);
	lane->n = lane->next = 0;
	while (lane->n < claimer->ahead && index_getnext_slot(scan, ForwardScanDirection, table->out))
	{
		Candidate *candidate = &lane->candidates[lane->n++];
		bool isnull;

		candidate->bucket = lane->bucket;
		candidate->position = DatumGetInt64(slot_getattr(table->out, READY_POSITION, &isnull));
		candidate->task_id = DatumGetInt64(slot_getattr(table->out, READY_TASK_ID, &isnull));
		candidate->task_tid =
			*(ItemPointer) DatumGetPointer(slot_getattr(table->out, READY_TASK_TID, &isnull));
		candidate->tid = table->out->tts_tid;
		lane->position = candidate->position;
	}
	index_endscan(scan);
	ExecClearTuple(table->out);
	if (lane->fresh && lane->n > 0)
		remember_head(lane->bucket, lane->candidates[0].position);
	lane->fresh = false;
	return lane->n > 0;
}

static void
drop_lane(Claimer *claimer, int i)
{
	claimer->n_lanes--;
	memmove(&claimer->lanes[i], &claimer->lanes[i + 1],
			(claimer->n_lanes - i) * sizeof(LaneCursor));
	if (claimer->next_lane >= claimer->n_lanes)
		claimer->next_lane = 0;
}

/*
 * Entries may have come above the rank being served, or, written by this very
 * transaction, anywhere.
 */
static void
notice_arrivals(Claimer *claimer)
{
	int64 position;

	if (claimer->inserts != ready_inserts)
	{
		claimer->inserts = ready_inserts;
		claimer->from_memory = false;
		(void) start_rank(claimer, claimer->first);
		claimer->claims = 0;
	}
	else if (++claimer->claims >= CLAIMS_PER_LOOK_UP)
	{
		claimer->claims = 0;
		if (next_served(claimer, claimer->first, claimer->rank_start, &position) >= 0)
			(void) start_rank(claimer, claimer->first);
	}
}

/* Look at the entry whose turn it is; nothing is taken. */
bool
claim_peek(Claimer *claimer, Candidate *candidate)
{
	notice_arrivals(claimer);
	for (;;)
	{
		LaneCursor *lane;

		if (claimer->n_lanes == 0 && !(claimer->from_memory && recall_lanes(claimer)) &&
			!discover_lanes(claimer))
		{
			if (!start_rank(claimer, claimer->rank_end))
				return false;
			continue;
		}
		lane = &claimer->lanes[claimer->next_lane];
		if (lane->next < lane->n || read_ahead(claimer, lane))
		{
			*candidate = lane->candidates[lane->next];
			return true;
		}
		drop_lane(claimer, claimer->next_lane);
	}
}

/* Pass over the entry just looked at: somebody else has it. */
void
claim_skip(Claimer *claimer)
{
	claimer->lanes[claimer->next_lane].next++;
}

/* Take the entry just looked at; false if somebody else was first. */
bool
claim_take(Claimer *claimer, const Candidate *candidate)
{
	StoreRel *table = store_table(claimer->store, STORE_READY);
	ItemPointerData tid = candidate->tid;

	claim_skip(claimer);
	if (claimer->takes != ready_takes)
	{
		/* this very transaction may have taken it since it was read ahead */
		if (!table_tuple_fetch_row_version(table->rel, &tid, GetActiveSnapshot(), table->out))
			return false;
		ExecClearTuple(table->out);
	}
	if (store_delete(table, &tid, false) != TM_Ok)
		return false;
	last_bucket = candidate->bucket;
	claimer->next_lane = (claimer->next_lane + 1) % claimer->n_lanes;
	STENT_FAULT("claim_after_take");
	return true;
}
