/*
 * suspend.c
 *	  lease_steps() and suspend(): steps for handlers that workers run.
 *
 * A worker's handler is an orchestrator as SQL handlers are: it reads which steps its task
 * has, replays up to the first that is new, and suspends with that one. What it
 * did itself in between (steps, records, spawned children) goes along. Everything is
 * written in one transaction and only if the token holds the task; then the lease is over,
 * and no attempt is spent. The task waits as any other does (waiting.c).
 *
 * suspend() writes the task's row before it looks at what is waited for. Who handles a
 * nudge for the task sees by that row that it is being changed, and leaves the nudge; what
 * was committed before is seen by the snapshot that is taken behind it.
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "archive.h"
#include "clock.h"
#include "complete.h"
#include "effects.h"
#include "fault.h"
#include "json.h"
#include "lease.h"
#include "lease_call.h"
#include "map.h"
#include "registry.h"
#include "settle.h"
#include "step_decide.h"
#include "step_row.h"
#include "suspend_order.h"
#include "suspend_read.h"

/* One request of a worker. */
typedef struct Suspension
{
	LeaseCall call;
	int64 task_id;
	int64 token;
	bool asks; /* which steps there are, and no more */
	StepOrder *orders;
	int n_orders;
	Effects effects;
	SharedDeltas deltas;
	Steps steps;
	const char *outcome;
} Suspension;

/*
 * What the task has to wait for: its last step, if that is not done; NULL: nothing. One that
 * was woken without need waits for the same again.
 */
static Step *
blocking_step(Store *store, const Steps *steps)
{
	Step *last = NULL;

	for (int i = 0; i < steps->n; i++)
		if (step_is_remembered(steps, steps->steps[i]) &&
			(last == NULL || steps->steps[i]->position > last->position))
			last = steps->steps[i];
	if (last == NULL || last->kind == STEP_SPAWN || step_decide(store, last))
		return NULL;
	return last;
}

/* Write the steps, and let the task wait, or be ready again at once. */
static void
settle(Suspension *suspension, Task *task)
{
	Store *store = suspension->call.store;
	Steps *steps = &suspension->steps;

	steps_decide(store, steps);
	suspend_order(store, steps, suspension->orders, suspension->n_orders);
	steps->blocking = blocking_step(store, steps);
	if (steps->blocking != NULL)
	{
		if (settle_suspended(store, steps) == SETTLE_WAITS)
		{
			suspension->outcome = "waiting";
			return;
		}
		(void) step_decide(store, steps->blocking);
	}
	settle_go_on(store, steps);
	task->changed = true;
	complete_give_back(store, task);
	suspension->outcome = "ready";
}

/* See all that is committed, and what this transaction has done. */
static void
look(void)
{
	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
}

/* The task is ours: end its lease, and suspend it. */
static void
suspend_task(Suspension *suspension, Task *task, Lease *lease)
{
	Store *store = suspension->call.store;

	STENT_FAULT("suspend_after_take");
	task->holds_no_places = !lease->places;
	lease_touch_task(store, task);
	look();
	STENT_FAULT("suspend_looked");
	task_move(store, task, TASK_RUNNING);
	if (task->deadline != NO_TIME && clock_now() >= task->deadline)
	{
		complete_past_deadline(store, task);
		suspension->outcome = task_state_name(task->state);
	}
	else
	{
		effects_apply(&suspension->effects, task, &suspension->deltas);
		steps_load(&suspension->steps, store);
		settle(suspension, task);
	}
	PopActiveSnapshot();
}

/* Decide what can be decided of the steps that the task has, and remember that. */
static void
read_steps(Suspension *suspension, Task *task)
{
	Store *store = suspension->call.store;
	Steps *steps = &suspension->steps;

	look();
	steps_load(steps, store);
	steps_decide(store, steps);
	for (int i = 0; i < steps->n; i++)
		if (steps->steps[i]->dirty)
			step_row_write(store, steps, steps->steps[i]);
	PopActiveSnapshot();
}

/* Do what is asked for if the token holds the task. */
static LeaseOutcome
try_once(Suspension *suspension)
{
	LeaseCall *call = &suspension->call;
	LeaseOutcome outcome;
	Lease *lease;
	int member;
	Task *task = lease_find_task(&call->book, suspension->token, suspension->task_id, &lease,
								 &member, &outcome);

	if (task == NULL)
		return outcome;
	if (task->chunk != NO_CHUNK)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("task " INT64_FORMAT " is a part of a map and has no steps", task->id),
				 errhint("Spawn a task for each item that needs steps of its own.")));
	if (!suspension->asks)
		outcome = lease_call_lock(call, lease);
	if (outcome == LEASE_HELD)
		outcome = lease_lock_task(call->store, task, LockTupleExclusive, call->wait);
	if (outcome != LEASE_HELD)
		return outcome;
	steps_begin(&suspension->steps, call->store, task);
	PG_TRY();
	{
		if (suspension->asks)
			read_steps(suspension, task);
		else
		{
			lease->gone[member] = true;
			suspend_task(suspension, task, lease);
		}
	}
	PG_FINALLY();
	{
		steps_end();
	}
	PG_END_TRY();
	return LEASE_HELD;
}

static void
serve(Suspension *suspension, const char *command)
{
	LeaseOutcome outcome;

	lease_call_begin(&suspension->call, command, true);
	/* who is at it commits first: see what that made of it */
	while ((outcome = try_once(suspension)) == LEASE_BUSY)
		lease_call_look_again(&suspension->call);
	if (outcome == LEASE_HELD && !suspension->asks)
	{
		lease_call_settle(&suspension->call, true);
		effects_apply_shared(suspension->call.store, &suspension->deltas);
	}
	lease_call_end(&suspension->call);
	if (outcome != LEASE_HELD)
		lease_refuse(suspension->task_id, suspension->token, outcome);
}

PG_FUNCTION_INFO_V1(stent_suspend);
Datum
stent_suspend(PG_FUNCTION_ARGS)
{
	Suspension suspension = {.task_id = lease_call_id(fcinfo, 0, "task_id"),
							 .token = lease_call_id(fcinfo, 1, "token")};
	Jsonb **effects[] = {&suspension.effects.counters, &suspension.effects.context,
						 &suspension.effects.shared, &suspension.effects.progress};

	if (PG_ARGISNULL(2))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("steps must not be null"),
						errhint("Give an array of steps.")));
	for (int i = 0; i < lengthof(effects); i++)
		if (!PG_ARGISNULL(3 + i))
			*effects[i] = PG_GETARG_JSONB_P(3 + i);
	effects_check(&suspension.effects);
	suspension.orders = suspend_read(PG_GETARG_JSONB_P(2), &suspension.n_orders);
	serve(&suspension, "stent.suspend()");
	PG_RETURN_TEXT_P(cstring_to_text(suspension.outcome));
}

static const char *
state_word(char state)
{
	return state == STEP_COMPLETED ? "completed" : state == STEP_FAILED ? "failed" : "waiting";
}

enum
{
	OUT_POSITION,
	OUT_NUMBER,
	OUT_NAME,
	OUT_KIND,
	OUT_FUNCTION,
	OUT_STATE,
	OUT_TASK_ID,
	OUT_RESULT,
	OUT_ERROR,
	OUT_CREATED_AT,
	OUT_FINISHED_AT,
	OUT_COLUMNS
};

static void
put_step(ReturnSetInfo *rsinfo, Store *store, const Step *step)
{
	Datum values[OUT_COLUMNS];
	bool nulls[OUT_COLUMNS] = {0};
	Jsonb *result = step->result_ref != NO_ID && step->result == NULL
						? payload_get(store, step->result_ref)
						: step->result;

	if (step->kind == STEP_MAP && step->state == STEP_COMPLETED)
		result = map_gather(store, step->child_id);
	if (result == NULL && step->state == STEP_COMPLETED)
		result = json_null();
	values[OUT_POSITION] = Int32GetDatum(step->position);
	values[OUT_NUMBER] = Int32GetDatum(step->number);
	if (!(nulls[OUT_NAME] = step->name == NULL))
		values[OUT_NAME] = CStringGetTextDatum(step->name);
	values[OUT_KIND] = CStringGetTextDatum(step_kind_name(step->kind));
	if (!(nulls[OUT_FUNCTION] = step->function_id == 0))
		values[OUT_FUNCTION] = CStringGetTextDatum(function_by_id(store, step->function_id)->name);
	values[OUT_STATE] = CStringGetTextDatum(state_word(step->state));
	values[OUT_TASK_ID] = Int64GetDatum(step->child_id);
	nulls[OUT_TASK_ID] = step->child_id == NO_ID;
	values[OUT_RESULT] = JsonbPGetDatum(result);
	nulls[OUT_RESULT] = result == NULL;
	values[OUT_ERROR] = JsonbPGetDatum(step->error);
	nulls[OUT_ERROR] = step->error == NULL;
	values[OUT_CREATED_AT] = TimestampGetDatum(step->created_at);
	values[OUT_FINISHED_AT] = TimestampGetDatum(step->finished_at);
	nulls[OUT_FINISHED_AT] = step->finished_at == NO_TIME;
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

PG_FUNCTION_INFO_V1(stent_lease_steps);
Datum
stent_lease_steps(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Suspension suspension = {.task_id = lease_call_id(fcinfo, 0, "task_id"),
							 .token = lease_call_id(fcinfo, 1, "token"),
							 .asks = true};
	const Steps *steps = &suspension.steps;
	Store *store;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	serve(&suspension, "stent.lease_steps()");
	store = store_open_to_read();
	look();
	for (int i = 0; i < steps->n; i++)
		if (step_is_remembered(steps, steps->steps[i]))
			put_step(rsinfo, store, steps->steps[i]);
	PopActiveSnapshot();
	store_close(store);
	return (Datum) 0;
}
