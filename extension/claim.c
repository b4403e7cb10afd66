/*
 * claim.c
 *	  Choosing and taking the next ready task of a role.
 *
 * Order: the highest priority first; lanes of one priority take turns; within a
 * lane the oldest. Which lanes have work is known from the board (claim_board.c) or
 * found by walking the index (claim_index.c). A lane that may not be served
 * (external, another queue) is stepped over whole.
 *
 * A claimer lives for one batch. It remembers how far it has read in each lane,
 * so that its own deleted entries are not walked again, and reads a few entries
 * ahead. Reading ahead takes nothing: an entry is taken one at a time, by
 * deleting it, and one that somebody else took is passed over. The batch's outer
 * snapshot keeps the tuples' addresses from being reused meanwhile.
 */
#include "postgres.h"

#include "access/genam.h"
#include "catalog/pg_type.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

#include "claim.h"
#include "compat.h"
#include "fault.h"
#include "intern.h"
#include "line.h"
#include "ready.h"
#include "registry.h"

/* How many claims may pass before a higher priority is noticed. */
#define CLAIMS_PER_LOOK_UP 8

/* Lanes worth discovering even for a small batch. */
#define CLAIM_LANES_MIN 8

/* The lane served last, so that lanes take turns across batches too. */
int64 claim_last_bucket = -1;

static void
begin(Claimer *claimer, Store *store, const char *role, char **queues, int n_queues, int max)
{
	claimer->store = store;
	claimer->role = role;
	claimer->role_oid = role == NULL ? InvalidOid : get_role_oid(role, true);
	claimer->queues = queues;
	claimer->n_queues = n_queues;
	claimer->want = Max(Min(max, CLAIM_LANES), CLAIM_LANES_MIN);
	claimer->ahead = Min(max, CLAIM_AHEAD);
	claimer->cxt = CurrentMemoryContext;
	claimer->inserts = ready_inserts;
	claimer->takes = ready_takes;
	claimer->paused = pause_list(store);
	claimer->board = claim_board_begin(claimer);
	if (!claimer->board)
		claim_index_begin(claimer);
}

/* For SQL tasks of a role. Before the snapshot is taken with which the batch begins. */
void
claim_begin(Claimer *claimer, Store *store, const char *role, char **queues, int n_queues, int max)
{
	memset(claimer, 0, sizeof(*claimer));
	claimer->first = ready_first_bucket(role);
	claimer->end = ready_end_bucket(role);
	begin(claimer, store, role, queues, n_queues, max);
}

/*
 * For a worker: external tasks of a role, or, role NULL, of all roles whose buckets are
 * where the first one is.
 */
void
claim_begin_for_worker(Claimer *claimer, Store *store, const char *role, int64 first_bucket,
					   char **queues, int n_queues, const ClaimFilter *filter, int max)
{
	memset(claimer, 0, sizeof(*claimer));
	claimer->filter = filter;
	claimer->first = first_bucket;
	claimer->end = ready_role_end(first_bucket);
	begin(claimer, store, role, queues, n_queues, max);
}

static bool
is_among(const char *name, char **names, int n)
{
	for (int i = 0; i < n; i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

/* Whether a worker serves the lane of an external function. */
static bool
filter_passes(const ClaimFilter *filter, const Function *function, const Lane *lane)
{
	Datum *tags;
	int n;

	if (lane->chunks && !filter->chunks)
		return false;
	if (filter->functions != NULL &&
		!is_among(function->name, filter->functions, filter->n_functions))
		return false;
	if (filter->tags == NULL || ArrayGetNItems(ARR_NDIM(lane->tags), ARR_DIMS(lane->tags)) == 0)
		return true;
	deconstruct_array(lane->tags, TEXTOID, -1, false, TYPALIGN_INT, &tags, NULL, &n);
	for (int i = 0; i < n; i++)
		if (is_among(TextDatumGetCString(tags[i]), filter->tags, filter->n_tags))
			return true;
	return false;
}

/* Whether this claimer may take tasks from the bucket's lane. */
bool
claim_may_serve(Claimer *claimer, int64 bucket)
{
	const Function *function;
	const Lane *lane;

	if (bucket < claimer->first || bucket >= claimer->end)
		return false;
	/* that of a bucket on the board may be undone, or not committed */
	lane = lane_find(claimer->store, ready_bucket_lane(bucket));
	if (lane == NULL)
		return false;
	if (claimer->role != NULL ? strcmp(lane->role, claimer->role) != 0
							  : !OidIsValid(lane_role(lane)))
		return false;
	for (int i = 0; i < claimer->n_full; i++)
		if (claimer->full[i] == lane->function_id)
			return false;
	if (claimer->queues != NULL && !is_among(lane->queue, claimer->queues, claimer->n_queues))
		return false;
	if (claimer->paused != NULL && pause_holds(claimer->paused, lane))
		return false;
	function = function_by_id(claimer->store, lane->function_id);
	if (claimer->filter == NULL)
		return function->handler_name != NULL;
	return function->handler_name == NULL && filter_passes(claimer->filter, function, lane);
}

void
claim_add_lane(Claimer *claimer, int64 bucket, int64 first_position, uint64 epoch)
{
	LaneCursor *lane;

	/* large, and of many roles most have no work */
	if (claimer->lanes == NULL)
		claimer->lanes = MemoryContextAlloc(claimer->cxt, CLAIM_LANES * sizeof(LaneCursor));
	lane = &claimer->lanes[claimer->n_lanes++];

	lane->bucket = bucket;
	lane->position = first_position - 1;
	lane->fresh = true;
	lane->n = lane->next = 0;
	lane->epoch = epoch;
	lane->raised = first_position;
	lane->floor = HEAD_END;
}

static bool
is_limited(Claimer *claimer, int64 bucket)
{
	int32 id = lane_get(claimer->store, ready_bucket_lane(bucket))->function_id;
	const Function *function = function_by_id(claimer->store, id);

	return function->max_concurrent > 0 || function->rate_limit > 0;
}

/* Read a few entries ahead in a lane; false if it has no more. */
static bool
read_ahead(Claimer *claimer, LaneCursor *lane)
{
	StoreRel *table = store_table(claimer->store, STORE_READY);
	IndexScanDesc scan = compat_index_beginscan(table->rel, table->pkey, GetActiveSnapshot(), 2);
	ScanKeyData keys[2];
	int ahead = claimer->ahead;

	/* that of a limited function may have to be passed over at once */
	if (lane->fresh && is_limited(claimer, lane->bucket))
		ahead = 1;
	ScanKeyInit(&keys[0], READY_BUCKET, BTEqualStrategyNumber, F_INT8EQ,
				Int64GetDatum(lane->bucket));
	ScanKeyInit(&keys[1], READY_POSITION, BTGreaterStrategyNumber, F_INT8GT,
				Int64GetDatum(lane->position));
	index_rescan(scan, keys, 2, NULL, 0);
	/* what was read before has all been passed */
	if (!lane->fresh)
		claim_board_raise(claimer, lane, lane->position + 1);
	lane->n = lane->next = 0;
	while (lane->n < ahead && index_getnext_slot(scan, ForwardScanDirection, table->out))
	{
		Candidate *candidate = &lane->candidates[lane->n++];
		bool isnull;

		candidate->bucket = lane->bucket;
		candidate->position = DatumGetInt64(slot_getattr(table->out, READY_POSITION, &isnull));
		candidate->task_id = DatumGetInt64(slot_getattr(table->out, READY_TASK_ID, &isnull));
		candidate->task_tid =
			*(ItemPointer) DatumGetPointer(slot_getattr(table->out, READY_TASK_TID, &isnull));
		candidate->tid = table->out->tts_tid;
		candidate->line = DatumGetInt64(store_column(table->out, READY_LINE, &isnull));
		if (isnull)
			candidate->line = NO_LINE;
		lane->position = candidate->position;
	}
	index_endscan(scan);
	ExecClearTuple(table->out);
	if (lane->fresh && lane->n > 0 && !claimer->board)
		claim_index_head(claimer, lane->bucket, lane->candidates[0].position);
	if (lane->n == 0)
		claim_board_raise(claimer, lane, HEAD_END);
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

static void
raise_head(Claimer *claimer, LaneCursor *lane)
{
	if (lane->next < lane->n)
		claim_board_raise(claimer, lane, lane->candidates[lane->next].position);
	else if (!lane->fresh)
		claim_board_raise(claimer, lane, lane->position + 1);
}

/* Tell the board how far this batch has come. */
void
claim_raise_heads(Claimer *claimer)
{
	for (int i = 0; i < claimer->n_lanes; i++)
		raise_head(claimer, &claimer->lanes[i]);
}

/* Read again what is paused, if that has changed; whether it made a difference. */
static bool
notice_pauses(Claimer *claimer)
{
	bool some = claimer->paused != NULL;

	if (pause_is_current())
		return false;
	claimer->paused = pause_list(claimer->store);
	return some || claimer->paused != NULL;
}

/*
 * Whether all that was inserted is one entry, which a lane being served will come to:
 * the next of a concurrency key, mostly.
 */
static bool
comes_to_it(const Claimer *claimer)
{
	if (ready_inserts != claimer->inserts + 1)
		return false;
	for (int i = 0; i < claimer->n_lanes; i++)
		if (claimer->lanes[i].bucket == ready_inserted_bucket)
			return claimer->lanes[i].position < ready_inserted_position;
	return false;
}

/*
 * Entries may have come above the rank being served, or, written by this very
 * transaction, anywhere, and lanes may have been paused.
 */
static void
notice_arrivals(Claimer *claimer)
{
	MemoryContext old = MemoryContextSwitchTo(claimer->cxt);

	if (notice_pauses(claimer) || (claimer->inserts != ready_inserts && !comes_to_it(claimer)))
	{
		claimer->claims = 0;
		if (claimer->board)
			claim_board_restart(claimer);
		else
			claim_index_restart(claimer);
	}
	else if (claimer->claims >= CLAIMS_PER_LOOK_UP)
	{
		claimer->claims = 0;
		if (claimer->board)
			claim_board_look_up(claimer);
		else
			claim_index_look_up(claimer);
	}
	claimer->inserts = ready_inserts;
	MemoryContextSwitchTo(old);
}

/* Look at the entry whose turn it is; nothing is taken. */
bool
claim_peek(Claimer *claimer, Candidate *candidate)
{
	notice_arrivals(claimer);
	for (;;)
	{
		LaneCursor *lane;

		if (claimer->n_lanes == 0 &&
			!(claimer->board ? claim_board_lanes(claimer) : claim_index_lanes(claimer)))
			return false;
		lane = &claimer->lanes[claimer->next_lane];
		if (lane->next < lane->n || read_ahead(claimer, lane))
		{
			*candidate = lane->candidates[lane->next];
			return true;
		}
		drop_lane(claimer, claimer->next_lane);
	}
}

/*
 * Whether there may be more than the entry just taken, for another executor to take.
 * Without the board nobody knows what other priorities have.
 */
bool
claim_has_more(Claimer *claimer)
{
	for (int i = 0; i < claimer->n_lanes; i++)
		if (claimer->lanes[i].fresh || claimer->lanes[i].next < claimer->lanes[i].n)
			return true;
	return !claimer->board || claim_board_has_more(claimer);
}

/* Pass over the entry just looked at, which nobody has taken. */
void
claim_pass_over(Claimer *claimer)
{
	LaneCursor *lane = &claimer->lanes[claimer->next_lane];

	lane->floor = Min(lane->floor, lane->candidates[lane->next].position);
	lane->next++;
}

/* None of a function's tasks may start now: pass over all of its lanes, in this batch. */
void
claim_pass_over_function(Claimer *claimer, int32 function_id)
{
	if (claimer->n_full == claimer->max_full)
	{
		MemoryContext old = MemoryContextSwitchTo(claimer->cxt);

		claimer->max_full = Max(2 * claimer->max_full, 16);
		claimer->full = claimer->full == NULL
							? palloc_array(int32, claimer->max_full)
							: repalloc_array(claimer->full, int32, claimer->max_full);
		MemoryContextSwitchTo(old);
	}
	claimer->full[claimer->n_full++] = function_id;
	for (int i = claimer->n_lanes - 1; i >= 0; i--)
	{
		LaneCursor *lane = &claimer->lanes[i];

		if (lane_get(claimer->store, ready_bucket_lane(lane->bucket))->function_id != function_id)
			continue;
		raise_head(claimer, lane);
		/* the turn stays with the lane that has it, or goes to the next one */
		if (i < claimer->next_lane)
			claimer->next_lane--;
		drop_lane(claimer, i);
	}
	if (!claimer->board)
		claim_index_full(claimer, function_id);
}

/* Take the entry just looked at; false if somebody else was first. */
bool
claim_take(Claimer *claimer, const Candidate *candidate)
{
	StoreRel *table = store_table(claimer->store, STORE_READY);
	ItemPointerData tid = candidate->tid;

	claimer->lanes[claimer->next_lane].next++;
	if (claimer->takes != ready_takes)
	{
		/* this very transaction may have taken it since it was read ahead */
		if (!table_tuple_fetch_row_version(table->rel, &tid, GetActiveSnapshot(), table->out))
			return false;
		ExecClearTuple(table->out);
	}
	if (store_delete(table, &tid, false) != TM_Ok)
		return false;
	ready_announce_taken(claimer->store, candidate->bucket, candidate->position);
	claim_last_bucket = candidate->bucket;
	/* only these: who begins again after entries that others hold comes to no end */
	claimer->claims++;
	claimer->next_lane = (claimer->next_lane + 1) % claimer->n_lanes;
	STENT_FAULT("claim_after_take");
	return true;
}
