/*
 * await_args.c
 *	  The arguments of await_all(), checked alike in a handler and elsewhere.
 *
 * The order of the checks is part of the contract: the array, the limit, only then the
 * empty array, the elements by index, the timeout; whether the tasks exist comes last,
 * for it alone looks at tables. Indexes begin with 0. No text names the function, which
 * has two names.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "access.h"
#include "await_all.h"
#include "clock.h"
#include "guc.h"
#include "intern.h"
#include "outcome.h"
#include "step_calls.h"

static ArrayType *
array_argument(FunctionCallInfo fcinfo)
{
	ArrayType *array;

	if (PG_ARGISNULL(AWAIT_ALL_IDS))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("ids must not be null"),
						errhint("Give an array of ids that stent.dispatch() returned.")));
	array = PG_GETARG_ARRAYTYPE_P(AWAIT_ALL_IDS);
	if (ARR_NDIM(array) > 1)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("ids must have one dimension, not %d", ARR_NDIM(array)),
						errhint("The results come as an array of one dimension, in the same "
								"order.")));
	return array;
}

static int
limit_argument(FunctionCallInfo fcinfo)
{
	int limit;

	if (PG_ARGISNULL(AWAIT_ALL_LIMIT))
		return stent_task_pool_size;
	limit = PG_GETARG_INT32(AWAIT_ALL_LIMIT);
	if (limit <= 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("concurrency_limit must be positive, not %d", limit),
						errhint("Leave it out for stent.task_pool_size, which is %d.",
								stent_task_pool_size)));
	return limit;
}

/*
 * Read and check all arguments but for whether the tasks exist. Returns how many ids there
 * are; *timeout_us is 0 where there is no limit of time.
 */
int
await_all_arguments(FunctionCallInfo fcinfo, int64 **ids, int *limit, int64 *timeout_us)
{
	ArrayType *array = array_argument(fcinfo);
	Datum *values;
	bool *nulls;
	int n;

	*ids = NULL;
	*timeout_us = 0;
	*limit = limit_argument(fcinfo);
	deconstruct_array(array, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &values,
					  &nulls, &n);
	if (n == 0)
		return 0;
	*ids = palloc_array(int64, n);
	for (int i = 0; i < n; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("the id at index %d must not be null", i),
					 errhint("Indexes begin with 0; remove it, for example with array_remove().")));
		(*ids)[i] = DatumGetInt64(values[i]);
	}
	if (!PG_ARGISNULL(AWAIT_ALL_TIMEOUT))
	{
		interval_check(PG_GETARG_INTERVAL_P(AWAIT_ALL_TIMEOUT), "timeout");
		*timeout_us = interval_us(PG_GETARG_INTERVAL_P(AWAIT_ALL_TIMEOUT));
	}
	return n;
}

/* Whether a task has not ended that the caller may see, by the active snapshot. */
bool
await_all_lives(Store *store, int64 id)
{
	StoreRel *table = store_table(store, STORE_TASK);
	bool lives = store_find_id(table, GetActiveSnapshot(), id);

	if (lives)
	{
		bool isnull;
		int32 lane = DatumGetInt32(slot_getattr(table->out, TASK_LANE_ID, &isnull));

		lives = caller_may_act_for(lane_get(store, lane)->role);
	}
	ExecClearTuple(table->out);
	return lives;
}

pg_noreturn void
await_all_unknown(int index, int64 id)
{
	ereport(ERROR, (errcode(ERRCODE_NO_DATA_FOUND),
					errmsg("task " INT64_FORMAT " at index %d does not exist", id, index),
					errdetail("It never existed, was dispatched by another role, or retention has "
							  "removed it.")));
}

/*
 * Refuse ids of tasks the caller does not know, the lowest index first. is_made tells of
 * ids whose tasks are still to be written; NULL: of none.
 */
void
await_all_require(Store *store, const int64 *ids, int n, bool (*is_made)(int64 id))
{
	Outcome *ended = palloc0_array(Outcome, n);
	Outcome **asked = palloc_array(Outcome *, n);
	int n_asked = 0;

	for (int i = 0; i < n; i++)
	{
		ended[i].id = ids[i];
		ended[i].found = (is_made != NULL && is_made(ids[i])) || await_all_lives(store, ids[i]);
		if (!ended[i].found)
			asked[n_asked++] = &ended[i];
	}
	outcome_read_many(asked, n_asked);
	for (int i = 0; i < n; i++)
		if (!ended[i].found)
			await_all_unknown(i, ids[i]);
	pfree(asked);
	pfree(ended);
}

/* The detail of the error that ends such a wait: which task, and its own error. */
char *
await_all_detail(int index, int64 id, Jsonb *error)
{
	return psprintf("{\"index\": %d, \"task_id\": " INT64_FORMAT ", \"error\": %s}", index, id,
					error == NULL ? "null" : JsonbToCString(NULL, &error->root, VARSIZE(error)));
}
