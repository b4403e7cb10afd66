/*
 * step_calls.h
 *	  The steps that wait for other tasks, as a handler calls them.
 *
 * The SQL functions call(), await() and await_all() begin in inline.c, wait.c and
 * await_all.c, for they work outside of a handler as well; in one they go on here.
 */
#ifndef STENT_STEP_CALLS_H
#define STENT_STEP_CALLS_H

#include "postgres.h"

#include "fmgr.h"

#include "step.h"

/* arguments of call() */
enum
{
	CALL_FUNCTION,
	CALL_ARGS,
	CALL_QUEUE,
	CALL_PRIORITY,
	CALL_TAGS,
	CALL_DELAY,
	CALL_RUN_AT,
	CALL_TIMEOUT,
	CALL_RETRY,
	CALL_IDEMPOTENCY_KEY,
	CALL_CONCURRENCY_KEY,
	CALL_HEADERS,
	CALL_STEP_NAME
};

/* of await() */
enum
{
	AWAIT_ID,
	AWAIT_TIMEOUT,
	AWAIT_STEP_NAME
};

/* of await_all() and promise_all() */
enum
{
	AWAIT_ALL_IDS,
	AWAIT_ALL_LIMIT,
	AWAIT_ALL_TIMEOUT,
	AWAIT_ALL_STEP_NAME
};

extern Datum step_call(FunctionCallInfo fcinfo);
extern Datum step_await(FunctionCallInfo fcinfo);
extern Datum step_await_all(FunctionCallInfo fcinfo);

/* also for what a worker suspends */
extern void step_require_tasks(const int64 *ids, int n);
extern void step_require_task(int64 id);
extern void step_note_tasks(Step *step, const Steps *steps, const int64 *ids, int n,
							int64 timeout_us);
extern bool step_is_above(Store *store, const Task *task, int64 id, const Ending *ending);
extern Jsonb *step_error_above(const Task *task, int64 id);
extern Jsonb *step_gather(const int64 *ids, int n, int *failed, Ending *failure, bool *waits);

#endif
