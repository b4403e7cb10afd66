/*
 * claim_board.c
 *	  Finding the lanes that have work on the board.
 *
 * The board is looked at before the snapshot is taken with which the entries are
 * read; so what it does not show was committed later, and is announced. What a
 * batch has passed raises the heads: taken entries, its own as well, for if this
 * transaction aborts it lowers them again (announce.c).
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/snapmgr.h"

#include "announce.h"
#include "board.h"
#include "claim.h"
#include "intern.h"
#include "ready.h"
#include "shmem.h"

/* Look at the board; false if it does not know all. No snapshot is used yet. */
bool
claim_board_begin(Claimer *claimer)
{
	if (stent_shared == NULL || !OidIsValid(claimer->role_oid))
		return false;
	claimer->n_looks = board_look(claimer->role_oid, &claimer->looks, &claimer->changes);
	if (claimer->n_looks < 0)
		return false;
	claimer->n_looks = announce_own(claimer->role_oid, &claimer->looks, claimer->n_looks);
	claimer->rank_to = claimer->looks_left = 0;
	return true;
}

/* Begin the highest priority that is left; false if none is. */
static bool
start_rank(Claimer *claimer)
{
	int from = claimer->rank_to;
	int to;

	if (from >= claimer->n_looks)
		return false;
	claimer->rank_start = ready_rank_start(claimer->looks[from].bucket);
	claimer->rank_end = ready_rank_end(claimer->looks[from].bucket);
	for (to = from; to < claimer->n_looks && claimer->looks[to].bucket < claimer->rank_end; to++)
		;
	claimer->rank_from = claimer->look_at = from;
	claimer->rank_to = to;
	claimer->looks_left = to - from;
	/* the turn is with the lanes after the one served last */
	for (int i = from; i < to; i++)
		if (claimer->looks[i].bucket > claim_last_bucket)
		{
			claimer->look_at = i;
			break;
		}
	return true;
}

/*
 * A lane that does not exist has no entries: who made it has told the board that he took
 * some, and is undone, or has not committed yet; then he will tell it again.
 */
static void
forget_unknown(Claimer *claimer, const BoardLook *look)
{
	if (look->epoch != 0 && !IsolationUsesXactSnapshot() &&
		lane_find(claimer->store, ready_bucket_lane(look->bucket)) == NULL)
		board_raise(claimer->role_oid, look->bucket, look->epoch, HEAD_END);
}

/* Have some lanes to serve; false if there is nothing more. */
bool
claim_board_lanes(Claimer *claimer)
{
	claimer->n_lanes = claimer->next_lane = 0;
	for (;;)
	{
		while (claimer->looks_left > 0 && claimer->n_lanes < CLAIM_LANES)
		{
			BoardLook *look = &claimer->looks[claimer->look_at];

			claimer->look_at++;
			if (claimer->look_at == claimer->rank_to)
				claimer->look_at = claimer->rank_from;
			claimer->looks_left--;
			if (claim_may_serve(claimer, look->bucket))
				claim_add_lane(claimer, look->bucket, look->head, look->epoch);
			else
				forget_unknown(claimer, look);
		}
		if (claimer->n_lanes > 0)
			return true;
		if (!start_rank(claimer))
			return false;
	}
}

/* Whether there are lanes whose turn has not come, in this rank or a lower one. */
bool
claim_board_has_more(Claimer *claimer)
{
	int at = claimer->look_at;

	for (int left = claimer->looks_left; left > 0; left--)
	{
		if (claim_may_serve(claimer, claimer->looks[at].bucket))
			return true;
		if (++at == claimer->rank_to)
			at = claimer->rank_from;
	}
	for (at = claimer->rank_to; at < claimer->n_looks; at++)
		if (claim_may_serve(claimer, claimer->looks[at].bucket))
			return true;
	return false;
}

/* Look again, and read with a newer snapshot in place of the caller's. */
static void
look_again(Claimer *claimer)
{
	claim_raise_heads(claimer);
	claimer->n_lanes = 0;
	claimer->board = claim_board_begin(claimer);
	if (!claimer->board)
		claim_index_begin(claimer);
	PopActiveSnapshot();
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
}

/* This transaction wrote entries: begin again from the first rank. */
void
claim_board_restart(Claimer *claimer)
{
	look_again(claimer);
}

/* Whether something of higher priority has come that may be served. */
static bool
has_above(Claimer *claimer)
{
	int64 above[CLAIM_LANES];
	int n = board_above(claimer->role_oid, claimer->rank_start, above, CLAIM_LANES);

	if (n > CLAIM_LANES)
		return true;
	for (int i = 0; i < n; i++)
		if (claim_may_serve(claimer, above[i]))
			return true;
	return false;
}

/* Begin again if it has. */
void
claim_board_look_up(Claimer *claimer)
{
	uint64 changes = board_changes(claimer->role_oid);

	if (changes == claimer->changes)
		return;
	claimer->changes = changes;
	if (has_above(claimer))
		look_again(claimer);
}

/* Everything of the lane below position was taken, by us or by others. */
void
claim_board_raise(Claimer *claimer, LaneCursor *lane, int64 position)
{
	position = Min(position, lane->floor);
	if (!claimer->board || lane->epoch == 0 || position <= lane->raised ||
		IsolationUsesXactSnapshot())
		return;
	lane->raised = position;
	board_raise(claimer->role_oid, lane->bucket, lane->epoch, position);
}
