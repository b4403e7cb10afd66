/*
 * claim_index.c
 *	  Finding the lanes that have work by walking the index.
 *
 * Used where the board does not know them (no preload, a database that is not
 * served). Between batches the session remembers the lanes of the rank it served and each
 * one's head, the first entry that was visible, because the index entries of
 * finished tasks stay in front until vacuum. Heads only speed things up: a batch
 * starts from them for a while (HEADS_LAST_*), as long as this session has inserted nothing
 * and every lane of the rank is known; then, and whenever they lead to nothing,
 * the walk starts from the beginning, so that an entry that was committed late,
 * below a head, waits no longer than that. So do functions whose limit was reached:
 * for that long they are passed over unasked, lest a full lane of high priority
 * makes each batch begin with a walk. Workers, who serve many roles, remember nothing.
 */
#include "postgres.h"

#include "portability/instr_time.h"

#include "claim.h"
#include "ready.h"

/* How long heads are trusted: so long that walking costs no more than 1/50. */
#define HEADS_LAST_MS 20
#define HEADS_LAST_WALKS 50

typedef struct Head
{
	int64 bucket;
	int64 position;
} Head;

/* All lanes of one rank, if heads_valid. */
static Head heads[CLAIM_LANES];
static int n_heads;
static bool heads_valid;
static int64 heads_first; /* first bucket of the role they belong to */
static uint64 heads_inserts;
static uint64 heads_generation;
static instr_time heads_since;
static double walk_ms; /* what the last walk from the beginning took */

/* Functions whose limit was reached since full_since. */
static int32 full[CLAIM_LANES];
static int n_full;
static instr_time full_since;

static bool
is_recent(instr_time since)
{
	instr_time age;

	INSTR_TIME_SET_CURRENT(age);
	INSTR_TIME_SUBTRACT(age, since);
	return INSTR_TIME_GET_MILLISEC(age) < Max(HEADS_LAST_MS, HEADS_LAST_WALKS * walk_ms);
}

static bool
heads_usable(const Claimer *claimer)
{
	if (claimer->filter != NULL || !heads_valid || n_heads == 0 || heads_first != claimer->first ||
		heads_inserts != ready_inserts || heads_generation != store_generation())
		return false;
	return is_recent(heads_since);
}

static void
forget_heads(Claimer *claimer)
{
	if (claimer->filter != NULL)
		return;
	n_heads = 0;
	heads_valid = false;
	heads_first = claimer->first;
	heads_inserts = ready_inserts;
	heads_generation = store_generation();
	INSTR_TIME_SET_CURRENT(heads_since);
}

/* Where a lane begins, as far as this session has seen. */
void
claim_index_head(const Claimer *claimer, int64 bucket, int64 position)
{
	if (claimer->filter != NULL)
		return;
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
claim_index_begin(Claimer *claimer)
{
	claimer->rank_end = claimer->first;
	claimer->found_bucket = -1;
	if (claimer->filter != NULL)
		return;
	claimer->from_memory = claimer->queues == NULL && heads_usable(claimer);
	if (!claimer->from_memory)
		forget_heads(claimer);
	if (!claimer->from_memory || !is_recent(full_since))
		n_full = 0;
	for (int i = n_full - 1; i >= 0; i--)
		claim_pass_over_function(claimer, full[i]);
}

/* A function's limit is reached. */
void
claim_index_full(const Claimer *claimer, int32 function_id)
{
	if (claimer->filter != NULL)
		return;
	for (int i = 0; i < n_full; i++)
		if (full[i] == function_id)
			return;
	if (n_full == 0)
		INSTR_TIME_SET_CURRENT(full_since);
	if (n_full < CLAIM_LANES)
		full[n_full++] = function_id;
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
	if (claimer->filter == NULL)
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
	if (claim_last_bucket >= bucket && claim_last_bucket < claimer->rank_end - 1)
	{
		/* the turn is with the lanes after the one served last */
		claimer->discover_from = claim_last_bucket + 1;
		claimer->wrap_end = claim_last_bucket + 1;
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
			claim_add_lane(claimer, bucket, position, 0);
			claim_index_head(claimer, bucket, position);
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
	if (claimer->filter == NULL)
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
		if (heads[i].bucket == claim_last_bucket)
			start = i + 1;
	for (int i = 0; i < n_heads; i++)
	{
		Head *head = &heads[(start + i) % n_heads];

		if (claim_may_serve(claimer, head->bucket))
			claim_add_lane(claimer, head->bucket, head->position, 0);
	}
	return claimer->n_lanes > 0;
}

/* Nothing is left of what is remembered: also those that were full are asked again. */
static void
forget_full(Claimer *claimer)
{
	claimer->n_full = 0;
	if (claimer->filter == NULL)
		n_full = 0;
}

/* Have some lanes to serve; false if there is nothing more. */
bool
claim_index_lanes(Claimer *claimer)
{
	for (;;)
	{
		if ((claimer->from_memory && recall_lanes(claimer)) || discover_lanes(claimer))
			return true;
		if (claimer->rank_end == claimer->first)
			forget_full(claimer);
		if (!start_rank(claimer, claimer->rank_end))
			return false;
	}
}

/* This transaction wrote entries: begin again from the first rank. */
void
claim_index_restart(Claimer *claimer)
{
	claimer->from_memory = false;
	(void) start_rank(claimer, claimer->first);
}

/* Begin again if something of higher priority has come. */
void
claim_index_look_up(Claimer *claimer)
{
	int64 position;

	if (next_served(claimer, claimer->first, claimer->rank_start, &position) >= 0)
		(void) start_rank(claimer, claimer->first);
}
