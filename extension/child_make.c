/*
 * child_make.c
 *	  New children of an orchestrator, between the step that wants them and the end of
 *	  its handler.
 *
 * A child is a task like others, of the same execution; what it inherits is the
 * execution's deadline. It is checked, and has its id, when its handler wants it, and
 * is written when the handler is over: what the handler does in its subtransaction may be
 * undone, also the lane or the retry policy that was just added for it, so those are looked
 * up again.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "archive.h"
#include "child_make.h"
#include "fault.h"
#include "intern.h"
#include "ready.h"
#include "registry.h"

static Jsonb *
copy_json(Jsonb *json)
{
	return json == NULL ? NULL
						: (Jsonb *) DatumGetPointer(
							  PointerGetDatum(PG_DETOAST_DATUM_COPY(JsonbPGetDatum(json))));
}

/* Refuse a call that would have its turn when the task which waits for it has ended. */
static void
check_turn(const Task *task, const Function *function, const char *concurrency_key)
{
	if (concurrency_key == NULL || task->concurrency_key == NULL || function->max_per_key > 1 ||
		function->id != task->function_id || strcmp(concurrency_key, task->concurrency_key) != 0)
		return;
	ereport(
		ERROR,
		(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		 errmsg("task " INT64_FORMAT " cannot wait for a call with its own concurrency_key, \"%s\"",
				task->id, concurrency_key),
		 errdetail("It keeps its turn while it waits; each would wait for the other for ever."),
		 errhint("Call with another key, or without one, or register the function with "
				 "max_per_key above 1.")));
}

/*
 * A child with these options; the result and all it needs are in the current context.
 * awaited: the parent waits for it at once, or for a task that makes the same call.
 */
NewChild *
child_prepare(Store *store, const Options *options, const Task *parent, Jsonb *args,
			  const char *concurrency_key, const char *idempotency_key, bool awaited)
{
	NewChild *child = palloc0_object(NewChild);
	Task *task = &child->task;

	if (awaited)
		check_turn(parent, options->function, concurrency_key);
	dispatch_new_task(options, task);
	task->execution_id = parent->execution_id;
	task->parent_id = parent->id;
	task->deadline = parent->deadline;
	task->concurrency_key = concurrency_key == NULL ? NULL : pstrdup(concurrency_key);
	task->args = copy_json(args);
	task->headers = copy_json(options->headers);
	if (options->timeout != NULL)
	{
		task->timeout = palloc_object(Interval);
		*task->timeout = *options->timeout;
	}
	strlcpy(child->role, options->role, NAMEDATALEN);
	child->queue = pstrdup(options->queue);
	child->tags = DatumGetArrayTypePCopy(PointerGetDatum(options->tags));
	if (options->policy_id != options->function->policy_id)
		child->policy = copy_json(policy_jsonb(store, options->policy_id));
	child->remember = awaited && memo_prepare(&child->memo, options->function, options->role,
											  idempotency_key, task->args);
	return child;
}

/* Write the child; the id is another task's if that makes, or has made, the same call. */
int64
child_make(Store *store, const Task *parent, void *arg)
{
	NewChild *child = arg;
	Task *task = &child->task;
	int64 id = task->id;

	STENT_FAULT("child_make_begin");
	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	if (child->remember)
		id = memo_claim(store, &child->memo, task->id);
	if (id == task->id)
	{
		task->lane_id =
			lane_intern(store, child->role, task->function_id, child->queue, child->tags);
		if (child->policy != NULL)
			task->policy_id = policy_intern(store, child->policy);
		task->parent_bucket =
			ready_bucket(lane_get(store, parent->lane_id)->role, parent->priority, parent->lane_id);
		payload_place(store, &task->args, &task->args_ref);
		dispatch_task(store, task, child->remember ? &child->memo : NULL);
	}
	PopActiveSnapshot();
	STENT_FAULT("child_make_end");
	return id;
}
