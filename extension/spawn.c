/*
 * spawn.c
 *	  spawn(): a child of the task whose handler calls it.
 *
 * A child is a task like others, of the same execution. It is written inside the
 * handler's subtransaction, so it begins to exist when the attempt that made it has
 * succeeded and is committed, and a failed attempt leaves none. It does not hold up its
 * parent, and lives on when the parent has finished; what it inherits is the
 * execution's deadline.
 */
#include "postgres.h"

#include "fmgr.h"

#include "archive.h"
#include "attempt.h"
#include "dispatch.h"
#include "fault.h"

enum
{
	SPAWN_FUNCTION,
	SPAWN_ARGS,
	SPAWN_QUEUE,
	SPAWN_PRIORITY,
	SPAWN_TAGS,
	SPAWN_DELAY,
	SPAWN_RUN_AT,
	SPAWN_TIMEOUT,
	SPAWN_RETRY,
	SPAWN_CONCURRENCY_KEY,
	SPAWN_HEADERS
};

PG_FUNCTION_INFO_V1(stent_spawn);
Datum
stent_spawn(PG_FUNCTION_ARGS)
{
	static const OptionArgs at = {.queue = SPAWN_QUEUE,
								  .priority = SPAWN_PRIORITY,
								  .tags = SPAWN_TAGS,
								  .delay = SPAWN_DELAY,
								  .run_at = SPAWN_RUN_AT,
								  .max_duration = -1,
								  .timeout = SPAWN_TIMEOUT,
								  .retry = SPAWN_RETRY,
								  .headers = SPAWN_HEADERS};
	const Task *parent = attempt_task();
	Store *store;
	Options options;
	char *concurrency_key;
	Jsonb *args;
	Task task;

	if (parent == NULL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("stent.spawn() belongs in a handler"),
						errhint("It makes a child of the task that stent runs in this session. "
								"Elsewhere use stent.dispatch().")));
	if (PG_ARGISNULL(SPAWN_ARGS))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("args must not be null"),
						errhint("Leave args out, or give '{}'.")));
	concurrency_key = dispatch_key_option(fcinfo, SPAWN_CONCURRENCY_KEY, "concurrency_key");
	store = store_open("stent.spawn()");
	dispatch_read_options(fcinfo, store, &at, &options);
	args = PG_GETARG_JSONB_P(SPAWN_ARGS);
	dispatch_check_args(options.function, function_handler(options.function), args);

	STENT_FAULT("spawn_begin");
	dispatch_new_task(&options, &task);
	task.execution_id = parent->execution_id;
	task.parent_id = parent->id;
	task.deadline = parent->deadline;
	task.concurrency_key = concurrency_key;
	task.args = args;
	payload_place(store, &task.args, &task.args_ref);
	task_move(store, &task, options.due_at != NO_TIME ? TASK_SCHEDULED : TASK_READY);
	store_close(store);
	STENT_FAULT("spawn_end");
	PG_RETURN_INT64(task.id);
}
