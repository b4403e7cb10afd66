/*
 * step.c
 *	  Steps: the remembered points of an orchestrator, as its handler meets them.
 *
 * When a handler runs again, its steps are met again in the same order and return what
 * they returned before (step_find.c). At a step that is not done the handler is left: an
 * error that says query_canceled, since exception blocks of PL/pgSQL do not catch that, but
 * recognized by a flag of this session and its text, so that a real cancellation keeps its
 * meaning. A handler that catches it all the same has failed.
 *
 * Here is only what is in memory. step_row.c has the rows, settle.c what happens when
 * the handler is over, step_error.c the errors.
 */
#include "postgres.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "archive.h"
#include "attempt.h"
#include "clock.h"
#include "errors.h"
#include "json.h"
#include "outcome.h"
#include "step.h"
#include "step_row.h"

/* Of the task whose handler runs in this session; NULL: none. */
static Steps *current;

/* A handler begins; the store, the current context and owner outlive its subtransaction. */
void
steps_begin(Steps *steps, Store *store, Task *task)
{
	memset(steps, 0, sizeof(*steps));
	steps->task = task;
	steps->store = store;
	steps->parent_cxt = CurrentMemoryContext;
	steps->owner = CurrentResourceOwner;
	steps->next_position = 1;
	steps->all_made = true;
	steps->begun_at = GetCurrentCommandId(false);
	current = steps;
}

/* The handler runs again from its top; what was written before is of an earlier command. */
void
steps_rerun(Steps *steps)
{
	for (int i = 0; i < steps->n; i++)
		steps->steps[i]->met = steps->steps[i]->fresh = false;
	steps->next = steps->unnamed = 0;
	steps->unmet = steps->n;
	steps->run++;
	steps->begun_at = GetCurrentCommandId(false);
	steps->suspended = steps->continued = steps->renewed = steps->branched = false;
	steps->new_args = NULL;
	steps->blocking = NULL;
}

/* After another task's: it is about this one's again. */
void
steps_resume(Steps *steps)
{
	current = steps;
}

/* No handler runs any more. */
void
steps_end(void)
{
	current = NULL;
}

Steps *
steps_current(void)
{
	return current;
}

static void
xact_ended(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE)
		current = NULL;
}

/* A child that a block has made is not to be made if the block is rolled back. */
static void
subxact_ended(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	if (current == NULL || (event != SUBXACT_EVENT_ABORT_SUB && event != SUBXACT_EVENT_COMMIT_SUB))
		return;
	if (current->continued && current->continued_subid == mine)
	{
		current->continued_subid = parent;
		current->continued = event == SUBXACT_EVENT_COMMIT_SUB;
	}
	if (current->all_made)
		return;
	for (int i = 0; i < current->n; i++)
	{
		Step *step = current->steps[i];

		if (step->make == NULL || step->subid != mine)
			continue;
		if (event == SUBXACT_EVENT_COMMIT_SUB)
			step->subid = parent;
		else if (!current->suspended)
			step->undone = true;
	}
}

void
step_init(void)
{
	RegisterXactCallback(xact_ended, NULL);
	RegisterSubXactCallback(subxact_ended, NULL);
}

/* Where what a step needs until its handler is over is allocated. */
MemoryContext
step_context(void)
{
	if (current->cxt == NULL)
		current->cxt =
			AllocSetContextCreate(current->parent_cxt, "stent steps", ALLOCSET_DEFAULT_SIZES);
	return current->cxt;
}

/* The steps of the handler that calls a function which is a step. */
Steps *
steps_require(const char *function, const char *hint)
{
	const Task *task = attempt_task();

	if (task != NULL && task->chunk != NO_CHUNK)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("%s cannot be called for an item of a map", function),
						errhint("Spawn a task for each item that needs steps of its own.")));
	if (task == NULL || current == NULL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("%s belongs in a handler", function), errhint("%s", hint)));
	if (current->acting)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("%s cannot be called in a local step", function),
						errhint("A step is one unit: call other functions from the handler.")));
	if (current->suspended)
		ereport(ERROR,
				(errcode(STENT_ERR_SUSPENSION_SWALLOWED),
				 errmsg("task " INT64_FORMAT " was suspended, and its handler went on", task->id),
				 errhint("Do not catch query_canceled, and raise again what PL/Python, "
						 "PL/Perl or PL/Tcl catch.")));
	if (current->continued)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("%s cannot be called after stent.continue_as_new()", function),
						errhint("Return: the task begins anew.")));
	return current;
}

/* The argument that names a step; NULL: not given. */
char *
step_name_argument(FunctionCallInfo fcinfo, int arg, const char *what)
{
	text *name;
	int len;

	if (PG_ARGISNULL(arg))
		return NULL;
	name = PG_GETARG_TEXT_PP(arg);
	len = (int) VARSIZE_ANY_EXHDR(name);
	if (len == 0 || len > MAX_STEP_NAME_LENGTH)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must have 1 to %d bytes, not %d", what, MAX_STEP_NAME_LENGTH, len),
				 errhint("Use short, stable names.")));
	return text_to_cstring(name);
}

uint64
step_digest(const void *data, size_t size)
{
	uint64 digest = hash_bytes_extended(data, (int) size, 0);

	return digest == 0 ? 1 : digest;
}

/* The same code makes the same bytes of the same arguments. */
uint64
step_digest_json(Jsonb *args)
{
	return step_digest(VARDATA(args), VARSIZE(args) - VARHDRSZ);
}

/* Read the steps that the task has already. The snapshot is younger than the lock on the task. */
void
steps_load(Steps *steps, Store *store)
{
	if (steps->cxt == NULL)
		steps->cxt =
			AllocSetContextCreate(steps->parent_cxt, "stent steps", ALLOCSET_DEFAULT_SIZES);
	step_rows_load(store, steps);
	steps->loaded = true;
	steps->unmet = steps->n;
	steps->waited = steps->n > 0;
}

/*
 * See what this transaction has done and all that is committed. Nothing the user could
 * have caused may be raised before the look is over: the tables stay open beyond the
 * handler's subtransaction.
 */
Store *
step_look(ResourceOwner *owner)
{
	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	*owner = CurrentResourceOwner;
	CurrentResourceOwner = current->owner;
	return current->store;
}

void
step_look_over(ResourceOwner owner)
{
	CurrentResourceOwner = owner;
	PopActiveSnapshot();
}

/* The step is done, with this result. */
void
step_done(Step *step, Jsonb *result)
{
	MemoryContext old = MemoryContextSwitchTo(current->cxt);

	step->state = STEP_COMPLETED;
	step->finished_at = clock_now();
	step->result = result == NULL ? NULL
								  : (Jsonb *) DatumGetPointer(PointerGetDatum(
										PG_DETOAST_DATUM_COPY(JsonbPGetDatum(result))));
	step->dirty = true;
	MemoryContextSwitchTo(old);
}

/* What a step that is done has returned; NULL is JSON null. */
Jsonb *
step_result(Step *step)
{
	if (step->result == NULL && step->result_ref != NO_ID)
	{
		ResourceOwner owner;
		Store *store = step_look(&owner);
		MemoryContext old;
		Jsonb *result = payload_get(store, step->result_ref);

		step_look_over(owner);
		old = MemoryContextSwitchTo(current->cxt);
		step->result = (Jsonb *) DatumGetPointer(
			PointerGetDatum(PG_DETOAST_DATUM_COPY(JsonbPGetDatum(result))));
		MemoryContextSwitchTo(old);
	}
	return step->result != NULL ? step->result : json_null();
}

/* Leave the handler until the step is done; NULL: until it runs again. */
void
step_wait(Step *step)
{
	Steps *steps = current;

	steps->blocking = step;
	steps->suspended = true;
	/* telling where in the handler that was would cost more than all the rest */
	error_context_stack = NULL;
	ereport(ERROR, (errcode(ERRCODE_QUERY_CANCELED),
					errmsg_internal("stent suspends task " INT64_FORMAT, steps->task->id)));
}

/*
 * The task is not found. A call that is run on the spot is not written yet: if it asks for
 * itself, it is left, and runs again as any other task does.
 */
void
step_not_found(int64 id)
{
	const Task *task = attempt_task();

	if (task != NULL && task->on_behalf != NULL && task->id == id && current != NULL &&
		!current->suspended)
		step_wait(NULL);
}

/* The step has failed, with this error. */
void
step_failed(Step *step, Jsonb *error)
{
	MemoryContext old = MemoryContextSwitchTo(current->cxt);

	step->state = STEP_FAILED;
	step->finished_at = clock_now();
	step->error =
		(Jsonb *) DatumGetPointer(PointerGetDatum(PG_DETOAST_DATUM_COPY(JsonbPGetDatum(error))));
	step->dirty = true;
	MemoryContextSwitchTo(old);
}

/* The step stands for a child, which is made when the handler is over. */
void
step_to_make(Step *step, StepMake make, void *arg)
{
	step->make = make;
	step->arg = arg;
	current->all_made = false;
}

/* Whether the id is that of a child which is made when the handler is over. */
bool
step_is_made(int64 id)
{
	if (current->all_made)
		return false;
	for (int i = 0; i < current->n; i++)
		if (current->steps[i]->child_id == id && current->steps[i]->make != NULL &&
			!current->steps[i]->undone)
			return true;
	return false;
}

/* Whether a row is as it is only by what the running handler has written: leaving it undoes that. */
bool
step_would_undo(CommandId changed_at)
{
	return attempt_task() != NULL && changed_at != InvalidCommandId &&
		   changed_at >= current->begun_at;
}

/*
 * Refuse to wait for a task that lives only by what the handler itself has written: leaving
 * it undoes that, and there is nothing to wait for.
 */
void
step_require_kept(int64 id, const Ending *ending)
{
	if (!step_would_undo(ending->changed_at))
		return;
	ereport(
		ERROR,
		(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		 errmsg("task " INT64_FORMAT " was made or changed by the handler that waits for it", id),
		 errdetail("Waiting leaves the handler, and undoes what it has written."),
		 errhint("Make tasks to wait for with stent.spawn(), and change them in a stent.step().")));
}

/* See to it that the child of a step has finished; else the handler is left. */
void
step_child(Step *step, Ending *ending)
{
	ResourceOwner owner;
	Store *store;
	MemoryContext old;

	if (step->child_id == NO_ID || step_is_made(step->child_id))
		step_wait(step);
	store = step_look(&owner);
	old = MemoryContextSwitchTo(current->cxt);
	ending_read(store, step->child_id, ending);
	MemoryContextSwitchTo(old);
	step_look_over(owner);
	if (ending->state == TASK_NEW)
		unknown_task(step->child_id);
	if (task_is_terminal(ending->state))
		return;
	step_require_kept(step->child_id, ending);
	if (step->wake_at != NO_TIME && clock_now() >= step->wake_at)
		step_ran_out(step);
	step_wait(step);
}

/*
 * What a step waits for has completed. A child's history is kept as long as the task may want
 * the result again; what a task of others has returned may be gone by then, and is copied.
 */
void
step_take_result(Step *step, const Ending *ending)
{
	step->state = STEP_COMPLETED;
	step->finished_at = ending->finished_at;
	step->result = ending->result;
	step->result_ref = ending->result_ref;
	step->dirty = true;
	if (step->result_ref != NO_ID && ending->parent_id != current->task->id)
	{
		(void) step_result(step);
		step->result_ref = NO_ID;
	}
}

/* The result of the child of a step: as remembered, or else when it has finished. */
Jsonb *
step_child_result(Step *step)
{
	Ending ending;

	if (step->state == STEP_FAILED)
		step_raise_again(step);
	if (step->state == STEP_WAITING)
	{
		step_child(step, &ending);
		if (ending.state != TASK_COMPLETED)
			step_fail_child(step, step->child_id, &ending, -1);
		step_take_result(step, &ending);
	}
	return step_result(step);
}
