/*
 * lease_end.c
 *	  complete(), fail() and release(): a worker ends what it leases.
 *
 * The single forms wait for another transaction that is at the same task and raise ST012
 * if the token does not hold it. The batch forms wait for nobody, for one task that
 * somebody is at must not keep the others; they answer with a word for each. Both change
 * nothing for a task that the token does not hold (lease.c).
 *
 * The result of a chunk of a map says what became of each of its items; what follows for
 * the chunk is map.h's. It may be retried, or, where some items were not run, go back.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "clock.h"
#include "complete.h"
#include "due.h"
#include "effects.h"
#include "errors.h"
#include "fault.h"
#include "json.h"
#include "lease.h"
#include "lease_call.h"
#include "map.h"
#include "notes.h"
#include "registry.h"

/* One request of a worker. */
typedef struct EndCall
{
	LeaseCall call;
	SharedDeltas deltas;
} EndCall;

/* Of each item by its number: the result, the error object. */
typedef struct Items
{
	int n;
	int64 *task_ids;
	int64 *tokens;
	Jsonb **values;   /* NULL: none are given */
	Effects *effects; /* the same */
	const char **outcomes;
} Items;

/* What became of a task that may be tried again. */
static const char *
end_word(const Task *task)
{
	if (task->state == TASK_SCHEDULED)
		return "retry";
	return task->state == TASK_READY ? "released" : task_state_name(task->state);
}

static bool
is_past_deadline(const Task *task)
{
	return task->deadline != NO_TIME && clock_now() >= task->deadline;
}

/* Whether a result may be that of a chunk of which some items were not run. */
static bool
has_unrun(Jsonb *result)
{
	JsonElements walk;
	JsonElement element;

	if (result == NULL || !JB_ROOT_IS_ARRAY(result) || JB_ROOT_IS_SCALAR(result))
		return false;
	json_elements_begin(&walk, result);
	while (json_elements_next(&walk, &element))
		if (element.type == JENTRY_ISNULL)
			return true;
	return false;
}

/*
 * Take a chunk by locking its row. It may be that nothing of it changes but its state, if
 * it goes back: then its lease must not have it any more, and is locked first.
 */
static LeaseOutcome
take_chunk(LeaseCall *call, Task *task, Lease *lease, int member, bool may_go_back)
{
	LeaseOutcome outcome = may_go_back ? lease_call_lock(call, lease) : LEASE_HELD;

	if (outcome == LEASE_HELD)
		outcome = lease_lock_task(call->store, task, LockTupleExclusive, call->wait);
	if (outcome != LEASE_HELD)
		return outcome;
	STENT_FAULT("end_chunk_after_take");
	task->holds_no_places = !lease->places;
	lease->gone[member] = true;
	task->started_at = lease->claimed_at;
	task->changed = true;
	task_move(call->store, task, TASK_RUNNING);
	return LEASE_HELD;
}

/* A chunk of a map was run: note what became of its items. */
static LeaseOutcome
complete_chunk(EndCall *ending, Items *items, int i, Task *task, Lease *lease, int member)
{
	LeaseCall *call = &ending->call;
	Jsonb *result =
		items->values == NULL || items->values[i] == NULL ? json_null() : items->values[i];
	LeaseOutcome outcome = take_chunk(call, task, lease, member, has_unrun(result));
	Attempt attempt = {0};

	if (outcome != LEASE_HELD)
		return outcome;
	if (is_past_deadline(task))
		complete_past_deadline(call->store, task);
	else
	{
		chunk_given(call->store, task, result, &attempt);
		if (items->effects != NULL)
			effects_apply(&items->effects[i], task, &ending->deltas);
		chunk_settle(call->store, task, &attempt);
	}
	items->outcomes[i] = end_word(task);
	return LEASE_HELD;
}

/* Take the task by deleting its row, and archive it with its result. */
static LeaseOutcome
complete_one(EndCall *ending, Items *items, int i)
{
	LeaseCall *call = &ending->call;
	LeaseOutcome outcome;
	Lease *lease;
	int member;
	Task *task = lease_find_task(&call->book, items->tokens[i], items->task_ids[i], &lease, &member,
								 &outcome);

	if (task == NULL)
		return outcome;
	if (task->chunk >= 0)
		return complete_chunk(ending, items, i, task, lease, member);
	if (items->values != NULL && items->values[i] != NULL)
		json_check_size(items->values[i], "result");
	outcome = lease_delete_task(call->store, task, call->wait);
	if (outcome != LEASE_HELD)
		return outcome;
	STENT_FAULT("complete_lease_after_take");
	task->holds_no_places = !lease->places;
	lease->gone[member] = true;
	task_move(call->store, task, TASK_RUNNING);
	if (is_past_deadline(task))
		complete_past_deadline(call->store, task);
	else
	{
		if (items->effects != NULL)
			effects_apply(&items->effects[i], task, &ending->deltas);
		complete_success(call->store, task, items->values == NULL ? NULL : items->values[i]);
	}
	items->outcomes[i] = task_state_name(task->state);
	return LEASE_HELD;
}

static bool
is_final(Jsonb *error)
{
	JsonbValue buffer;
	JsonbValue *value =
		getKeyJsonValueFromContainer(&error->root, "retryable", strlen("retryable"), &buffer);

	return value != NULL && value->type == jbvBool && !value->val.boolean;
}

/* All items of a chunk that were to be run have failed with the same error. */
static LeaseOutcome
fail_chunk(EndCall *ending, Items *items, int i, Task *task, Lease *lease, int member)
{
	LeaseCall *call = &ending->call;
	LeaseOutcome outcome = take_chunk(call, task, lease, member, false);
	Jsonb *error = items->values[i];
	Attempt attempt = {0};

	if (outcome != LEASE_HELD)
		return outcome;
	if (is_past_deadline(task))
		complete_past_deadline(call->store, task);
	else
	{
		chunk_given_error(call->store, task, lease_call_error_code(error), error, is_final(error),
						  &attempt);
		chunk_settle(call->store, task, &attempt);
	}
	items->outcomes[i] = end_word(task);
	return LEASE_HELD;
}

/* Lock the task's row, and retry or bury it. */
static LeaseOutcome
fail_one(EndCall *ending, Items *items, int i)
{
	LeaseCall *call = &ending->call;
	LeaseOutcome outcome;
	Lease *lease;
	int member;
	Task *task = lease_find_task(&call->book, items->tokens[i], items->task_ids[i], &lease, &member,
								 &outcome);

	if (task == NULL)
		return outcome;
	if (task->chunk >= 0)
		return fail_chunk(ending, items, i, task, lease, member);
	outcome = lease_lock_task(call->store, task, LockTupleExclusive, call->wait);
	if (outcome != LEASE_HELD)
		return outcome;
	STENT_FAULT("fail_lease_after_take");
	task->holds_no_places = !lease->places;
	lease->gone[member] = true;
	task_move(call->store, task, TASK_RUNNING);
	if (is_past_deadline(task))
		complete_past_deadline(call->store, task);
	else
		complete_failure_given(call->store, task, lease_call_error_code(items->values[i]),
							   items->values[i], is_final(items->values[i]));
	items->outcomes[i] = end_word(task);
	return LEASE_HELD;
}

/* Lock the lease and the task's row, and make the task ready again, at its old age. */
static LeaseOutcome
release_one(EndCall *ending, Items *items, int i)
{
	LeaseCall *call = &ending->call;
	LeaseOutcome outcome;
	Lease *lease;
	int member;
	Task *task = lease_find_task(&call->book, items->tokens[i], items->task_ids[i], &lease, &member,
								 &outcome);

	if (task == NULL)
		return outcome;
	outcome = lease_call_lock(call, lease);
	if (outcome == LEASE_HELD)
		outcome = lease_lock_task(call->store, task, LockTupleExclusive, call->wait);
	if (outcome != LEASE_HELD)
		return outcome;
	STENT_FAULT("release_lease_after_take");
	task->holds_no_places = !lease->places;
	lease->gone[member] = true;
	task->changed = true;
	task_move(call->store, task, TASK_RUNNING);
	complete_give_back(call->store, task);
	items->outcomes[i] = "released";
	return LEASE_HELD;
}

typedef LeaseOutcome (*EndOne)(EndCall *ending, Items *items, int i);

/*
 * End all items; one by itself, as single form, until it is decided. rewrite: members leave
 * that look as before, so the rows of their leases must not have them.
 */
static void
end_items(const char *command, Items *items, EndOne one, bool single, bool rewrite)
{
	EndCall ending = {0};
	LeaseOutcome outcome = LEASE_HELD;

	lease_call_begin(&ending.call, command, single);
	for (int i = 0; i < items->n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		outcome = one(&ending, items, i);
		/* who was at it has committed: see what that made of it */
		while (outcome == LEASE_BUSY && single)
		{
			lease_call_look_again(&ending.call);
			outcome = one(&ending, items, i);
		}
		if (outcome != LEASE_HELD)
			items->outcomes[i] = lease_call_word(outcome);
		if (outcome != LEASE_HELD && single)
			break;
	}
	if (outcome == LEASE_HELD || !single)
	{
		lease_call_settle(&ending.call, rewrite);
		effects_apply_shared(ending.call.store, &ending.deltas);
	}
	lease_call_end(&ending.call);
	if (outcome != LEASE_HELD && single)
		lease_refuse(items->task_ids[0], items->tokens[0], outcome);
}

/* Refuse an error that says too little of itself; NULL: none was given. */
static void
check_error(Jsonb *error, int64 task_id)
{
	if (error == NULL)
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("the error of task " INT64_FORMAT " must not be null", task_id),
						errhint("%s", LEASE_CALL_ERROR_HINT)));
	lease_call_check_error(error);
}

static void
check_errors(Items *items)
{
	for (int i = 0; i < items->n; i++)
		check_error(items->values == NULL ? NULL : items->values[i], items->task_ids[i]);
}

static void
check_effects(Items *items)
{
	for (int i = 0; items->effects != NULL && i < items->n; i++)
		effects_check(&items->effects[i]);
}

/* Whether a chunk may go back with one of the results. */
static bool
may_go_back(const Items *items)
{
	for (int i = 0; items->values != NULL && i < items->n; i++)
		if (has_unrun(items->values[i]))
			return true;
	return false;
}

/* The one item of a single form. */
static void
read_single(FunctionCallInfo fcinfo, Items *items)
{
	items->n = 1;
	items->task_ids = palloc_array(int64, 1);
	items->tokens = palloc_array(int64, 1);
	items->outcomes = palloc0_array(const char *, 1);
	items->task_ids[0] = lease_call_id(fcinfo, 0, "task_id");
	items->tokens[0] = lease_call_id(fcinfo, 1, "token");
	items->values = palloc0_array(Jsonb *, 1);
}

static void
read_many(FunctionCallInfo fcinfo, Items *items)
{
	items->n = lease_call_ids(fcinfo, &items->task_ids, &items->tokens);
	items->outcomes = palloc0_array(const char *, items->n);
}

PG_FUNCTION_INFO_V1(stent_complete);
Datum
stent_complete(PG_FUNCTION_ARGS)
{
	Items items;
	Effects effects = {0};

	read_single(fcinfo, &items);
	items.effects = &effects;
	if (!PG_ARGISNULL(2))
		items.values[0] = PG_GETARG_JSONB_P(2);
	if (!PG_ARGISNULL(3))
		effects.counters = PG_GETARG_JSONB_P(3);
	if (!PG_ARGISNULL(4))
		effects.context = PG_GETARG_JSONB_P(4);
	if (!PG_ARGISNULL(5))
		effects.shared = PG_GETARG_JSONB_P(5);
	if (!PG_ARGISNULL(6))
		effects.progress = PG_GETARG_JSONB_P(6);
	check_effects(&items);
	end_items("stent.complete()", &items, complete_one, true, may_go_back(&items));
	PG_RETURN_TEXT_P(cstring_to_text(items.outcomes[0]));
}

PG_FUNCTION_INFO_V1(stent_complete_many);
Datum
stent_complete_many(PG_FUNCTION_ARGS)
{
	Items items;
	Jsonb **effects;

	read_many(fcinfo, &items);
	items.values = lease_call_json(fcinfo, 2, "results", items.n);
	effects = lease_call_json(fcinfo, 3, "effects", items.n);
	items.effects = effects == NULL ? NULL : palloc_array(Effects, items.n);
	for (int i = 0; effects != NULL && i < items.n; i++)
		effects_read(&items.effects[i], effects[i]);
	check_effects(&items);
	end_items("stent.complete_many()", &items, complete_one, false, may_go_back(&items));
	PG_RETURN_DATUM(lease_call_words(items.outcomes, items.n));
}

PG_FUNCTION_INFO_V1(stent_fail);
Datum
stent_fail(PG_FUNCTION_ARGS)
{
	Items items;

	read_single(fcinfo, &items);
	if (!PG_ARGISNULL(2))
		items.values[0] = PG_GETARG_JSONB_P(2);
	check_errors(&items);
	end_items("stent.fail()", &items, fail_one, true, false);
	PG_RETURN_TEXT_P(cstring_to_text(items.outcomes[0]));
}

PG_FUNCTION_INFO_V1(stent_fail_many);
Datum
stent_fail_many(PG_FUNCTION_ARGS)
{
	Items items;

	read_many(fcinfo, &items);
	items.values = lease_call_json(fcinfo, 2, "errors", items.n);
	items.effects = NULL;
	check_errors(&items);
	end_items("stent.fail_many()", &items, fail_one, false, false);
	PG_RETURN_DATUM(lease_call_words(items.outcomes, items.n));
}

PG_FUNCTION_INFO_V1(stent_release);
Datum
stent_release(PG_FUNCTION_ARGS)
{
	Items items;

	read_single(fcinfo, &items);
	end_items("stent.release()", &items, release_one, true, true);
	PG_RETURN_TEXT_P(cstring_to_text(items.outcomes[0]));
}

PG_FUNCTION_INFO_V1(stent_release_many);
Datum
stent_release_many(PG_FUNCTION_ARGS)
{
	Items items;

	read_many(fcinfo, &items);
	end_items("stent.release_many()", &items, release_one, false, true);
	PG_RETURN_DATUM(lease_call_words(items.outcomes, items.n));
}
