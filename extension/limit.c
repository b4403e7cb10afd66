/*
 * limit.c
 *	  Limits of functions: whether one more of its tasks may start.
 *
 * max_concurrent is a place (place.c), held to the end of the transaction; rate_limit
 * is a token (rate.c), spent when the handler starts and not given back by a rollback.
 * Both are taken before the task is: so a lane without them is skipped by its function
 * alone. If somebody else is first at the task, they serve for the next one of the
 * function; and are given back before anything else may take long.
 */
#include "postgres.h"

#include "access/twophase.h"
#include "miscadmin.h"

#include "announce.h"
#include "limit.h"
#include "place.h"
#include "shmem.h"

/* So many places are as good as no limit: each needs a session or a prepared transaction. */
static int
places(const Function *function)
{
	return function->max_concurrent < MaxBackends + max_prepared_xacts ? function->max_concurrent
																	   : 0;
}

/*
 * Have what one more task of the function needs; false if it may not start now, and
 * then the role will be woken when that changes.
 */
bool
limit_enter(LimitHold *hold, Store *store, const Function *function, Oid role)
{
	LimitHold new = {.function_id = function->id};
	int n = places(function);

	if (hold->function_id == function->id)
		return true;
	if (hold->function_id != 0)
		limit_leave(hold, store);
	if (n == 0 && function->rate_limit == 0)
		return true;
	if (n > 0 && !place_take(store, PLACE_FUNCTION, function->id, n, role, &new.place))
		return false;
	if (function->rate_limit > 0)
	{
		Timestamp next;

		new.token = rate_take(store, function, &new.taken, &next);
		if (!new.token)
		{
			if (new.place)
				place_give_back(PLACE_FUNCTION, function->id);
			if (stent_shared != NULL && next != DT_NOEND)
				announce_token_at(role, next);
			return false;
		}
	}
	*hold = new;
	return true;
}

/* Nothing starts under what was taken: give it back at once. */
void
limit_leave(LimitHold *hold, Store *store)
{
	if (hold->function_id == 0)
		return;
	if (hold->token)
		rate_give_back(store, function_by_id(store, hold->function_id), &hold->taken);
	if (hold->place)
		place_give_back(PLACE_FUNCTION, hold->function_id);
	hold->function_id = 0;
}
