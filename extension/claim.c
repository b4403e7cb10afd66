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
 */
#include "postgres.h"

#include "access/genam.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

#include "claim.h"
#include "compat.h"
#include "fault.h"
#include "intern.h"
#include "ready.h"
#include "registry.h"

/* How many claims may pass before a higher priority is noticed. */
#define CLAIMS_PER_LOOK_UP 8

/* The lane served last, so that lanes take turns across batches too. */
static int64 last_bucket = -1;

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
	claimer->want = Min(max, CLAIM_LANES);
	claimer->lanes = palloc_array(LaneCursor, CLAIM_LANES);
	claimer->inserts = ready_inserts;
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
next_served(Claimer *claimer, int64 from, int64 end)
{
	while (ready_seek(claimer->store, from, end))
	{
		int64 bucket = ready_found_bucket(claimer->store);

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
	int64 bucket = next_served(claimer, from, claimer->end);

	claimer->n_lanes = claimer->next_lane = 0;
	if (bucket < 0)
		return false;
	claimer->rank_end = ready_rank_end(bucket);
	claimer->rank_start = claimer->rank_end - ((int64) 1 << 32);
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

/* Learn more lanes of the rank; false if there are no more. */
static bool
discover_lanes(Claimer *claimer)
{
	int added = 0;

	claimer->n_lanes = claimer->next_lane = 0;
	while (added < claimer->want)
	{
		int64 bucket = next_served(claimer, claimer->discover_from, claimer->discover_end);

		if (bucket >= 0)
		{
			LaneCursor *lane = &claimer->lanes[added++];

			lane->bucket = bucket;
			lane->position = POSITION_MIN;
			lane->n = lane->next = 0;
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
			break;
		}
	}
	claimer->n_lanes = added;
	return added > 0;
}

/* Read a few entries ahead in a lane; false if it has no more. */
static bool
read_ahead(Claimer *claimer, LaneCursor *lane)
{
	StoreRel *table = store_table(claimer->store, STORE_READY);
	IndexScanDesc scan =
		compat_index_beginscan(table->rel, table->pkey, GetActiveSnapshot(), 2);
	int ahead = Min(claimer->want, CLAIM_AHEAD);
	ScanKeyData keys[2];

	ScanKeyInit(&keys[0], READY_BUCKET, BTEqualStrategyNumber, F_INT8EQ,
				Int64GetDatum(lane->bucket));
	ScanKeyInit(&keys[1], READY_POSITION, BTGreaterStrategyNumber, F_INT8GT,
				Int64GetDatum(lane->position));
	index_rescan(scan, keys, 2, NULL, 0);
	lane->n = lane->next = 0;
	while (lane->n < ahead && index_getnext_slot(scan, ForwardScanDirection, table->out))
	{
		Candidate *candidate = &lane->candidates[lane->n++];
		bool isnull;

		candidate->bucket = lane->bucket;
		candidate->position = DatumGetInt64(slot_getattr(table->out, READY_POSITION, &isnull));
		candidate->task_id = DatumGetInt64(slot_getattr(table->out, READY_TASK_ID, &isnull));
		candidate->tid = table->out->tts_tid;
		lane->position = candidate->position;
	}
	index_endscan(scan);
	ExecClearTuple(table->out);
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
	if (claimer->inserts != ready_inserts)
	{
		claimer->inserts = ready_inserts;
		claimer->rank_end = claimer->first;
		claimer->discover_from = claimer->discover_end = claimer->wrap_end = claimer->rank_start =
			claimer->first;
		claimer->n_lanes = 0;
		claimer->claims = 0;
	}
	else if (++claimer->claims >= CLAIMS_PER_LOOK_UP)
	{
		claimer->claims = 0;
		if (next_served(claimer, claimer->first, claimer->rank_start) >= 0)
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

		if (claimer->n_lanes == 0 && !discover_lanes(claimer))
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
	if (store_delete(table, &tid, false) != TM_Ok)
		return false;
	last_bucket = candidate->bucket;
	claimer->next_lane = (claimer->next_lane + 1) % claimer->n_lanes;
	STENT_FAULT("claim_after_take");
	return true;
}
