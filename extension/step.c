/*
 * step.c
 *	  Steps: the remembered points of an orchestrator, as its handler meets them.
 *
 * When a handler runs again, its steps are met again in the same order and return what
 * they returned before. A step is found by its name and which use of the name this is, or,
 * without a name, by its number among those without one; what it was about, the kind, the
 * function and a digest of the arguments, has to be the same, else the code has changed,
 * or is not deterministic: an error that names both.
 *
 * At a step that is not done the handler is left: an error that says query_canceled,
 * since exception blocks of PL/pgSQL do not catch that, but recognized by a flag
 * of this session and the place it comes from, so that a real cancellation keeps its
 * meaning. A handler that catches it all the same has failed.
 *
 * A new attempt keeps the steps that have succeeded. Failed ones are forgotten, and since
 * what came after such a step came of its failure, from there on a remembered step that
 * does not fit is forgotten, too, instead of being an error.
 *
 * Here is only what is in memory. step_row.c has the rows, settle.c what happens when
 * the handler is over.
 */
#include "postgres.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "archive.h"
#include "attempt.h"
#include "await_all.h"
#include "clock.h"
#include "errors.h"
#include "fault.h"
#include "intern.h"
#include "json.h"
#include "lease.h"
#include "outcome.h"
#include "registry.h"
#include "step.h"
#include "step_row.h"

#define MAX_STEP_NAME_LENGTH 200

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
	current = steps;
}

/* The handler runs again from its top. */
void
steps_rerun(Steps *steps)
{
	for (int i = 0; i < steps->n; i++)
		steps->steps[i]->met = steps->steps[i]->fresh = false;
	steps->next = steps->unnamed = 0;
	steps->unmet = steps->n;
	steps->run++;
	steps->suspended = steps->continued = steps->renewed = false;
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

/* The id of a function by its name, which need not be registered any more. */
int32
step_function(const char *name)
{
	Steps *steps = current;
	Store *store;
	int32 id;

	/* most likely it is that of the step that is remembered here */
	if (steps->loaded && steps->next < steps->n && steps->steps[steps->next]->function_id != 0)
	{
		ResourceOwner owner = CurrentResourceOwner;
		bool same;

		/* the session may not know it yet, and reads it from a table that stays open */
		CurrentResourceOwner = steps->owner;
		id = steps->steps[steps->next]->function_id;
		same = strcmp(function_by_id(steps->store, id)->name, name) == 0;
		CurrentResourceOwner = owner;
		if (same)
			return id;
	}
	store = store_open_to_read();
	id = function_ever_registered(store, name)->id;
	store_close(store);
	return id;
}

/* What a step is, for messages. */
static char *
describe(StepKind kind, const char *name, int number, const char *what)
{
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfo(&text, "%s", step_kind_name(kind));
	if (what != NULL && what[0] != '\0')
		appendStringInfo(&text, " of \"%s\"", what);
	if (name != NULL && number > 1)
		appendStringInfo(&text, " (step \"%s\", use %d)", name, number);
	else if (name != NULL)
		appendStringInfo(&text, " (step \"%s\")", name);
	return text.data;
}

/* The same of one that is remembered. */
static char *
describe_known(const Step *step)
{
	const char *what = NULL;

	if (step->function_id != 0)
	{
		ResourceOwner owner;
		Store *store = step_look(&owner);

		what = pstrdup(function_by_id(store, step->function_id)->name);
		step_look_over(owner);
	}
	else if (step->kind == STEP_SIGNAL && step->detail != NULL)
		what = json_string_field(step->detail, "name");
	return describe(step->kind, step->name, step->number, what);
}

pg_noreturn static void
mismatch(const Step *known, const char *now)
{
	char *then = describe_known(known);
	bool same = strcmp(then, now) == 0;

	ereport(
		ERROR,
		(errcode(STENT_ERR_STEP_MISMATCH),
		 errmsg("step %d of the handler is now %s%s, but was %s%s when it was made", known->number,
				now, same ? " with other arguments" : "", then, same ? " with others" : ""),
		 errhint("The code was changed while the execution is under way, or depends on what "
				 "changes between runs: pass that through stent.record() or stent.step(), "
				 "and give steps names so that others can be added or left out.")));
}

/* How often a name was met. */
typedef struct NameUse
{
	char name[MAX_STEP_NAME_LENGTH + 1]; /* hash key */
	int run;                             /* of the handler, which it is about */
	int uses;
} NameUse;

/* Which use of the name in this run this is. */
static int
use_of(Steps *steps, const char *name)
{
	NameUse *use;
	bool found;

	if (steps->names == NULL)
	{
		HASHCTL ctl = {.keysize = MAX_STEP_NAME_LENGTH + 1,
					   .entrysize = sizeof(NameUse),
					   .hcxt = step_context()};

		steps->names =
			hash_create("stent step names", 64, &ctl, HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	}
	use = hash_search(steps->names, name, HASH_ENTER, &found);
	if (!found || use->run != steps->run)
		use->uses = 0;
	use->run = steps->run;
	return ++use->uses;
}

static bool
is_this(const Step *step, const char *name, int number)
{
	return step->number == number && (name == NULL) == (step->name == NULL) &&
		   (name == NULL || strcmp(step->name, name) == 0);
}

static Step *
find(Steps *steps, const char *name, int number)
{
	for (int i = 0; i < steps->n; i++)
	{
		/* most likely they are met in the order they came */
		int at = (steps->next + i) % steps->n;

		if (is_this(steps->steps[at], name, number))
		{
			steps->next = at + 1;
			return steps->steps[at];
		}
	}
	return NULL;
}

/* A step of this attempt that nothing is remembered of. */
static void
renew(Steps *steps, Step *step, StepKind kind)
{
	step->kind = kind;
	step->position = steps->next_position++;
	step->mark = lease_mark(steps->task);
	step->state = STEP_WAITING;
	step->child_id = NO_ID;
	step->created_at = clock_now();
	step->finished_at = step->wake_at = NO_TIME;
	step->result = step->error = step->detail = NULL;
	step->result_ref = NO_ID;
	step->function_id = 0;
	step->digest = 0;
	step->fresh = step->dirty = true;
	steps->all_made = false;
	step->subid = GetCurrentSubTransactionId();
}

/* Add a step at the end. */
Step *
steps_add(Steps *steps, StepKind kind, const char *name, int number)
{
	MemoryContext old = MemoryContextSwitchTo(steps->cxt);
	Step *step = palloc0_object(Step);

	if (steps->n == steps->max)
	{
		steps->max = Max(16, 2 * steps->max);
		steps->steps = steps->steps == NULL ? palloc_array(Step *, steps->max)
											: repalloc_array(steps->steps, Step *, steps->max);
	}
	steps->steps[steps->n++] = step;
	steps->next = steps->n;
	step->name = name == NULL ? NULL : pstrdup(name);
	step->number = number;
	renew(steps, step, kind);
	MemoryContextSwitchTo(old);
	return step;
}

/* Whether a step of an earlier attempt has failed, or its child has meanwhile. */
static bool
has_failed(const Step *step)
{
	Ending ending;
	ResourceOwner owner;
	Store *store;

	if (step->state == STEP_FAILED)
		return true;
	if (step->state != STEP_WAITING || step->child_id == NO_ID)
		return false;
	store = step_look(&owner);
	ending_read(store, step->child_id, &ending);
	step_look_over(owner);
	return ending.state == TASK_NEW ||
		   (task_is_terminal(ending.state) && ending.state != TASK_COMPLETED);
}

/* Whether nothing came of a step: what the handler asked for was refused. */
bool
step_is_hollow(const Step *step)
{
	return step->state == STEP_WAITING && step->make == NULL && step->act == NULL &&
		   step->child_id == NO_ID && step->wake_at == NO_TIME && step->detail == NULL;
}

/*
 * The step that the handler has come to. what names it in messages. It must be made
 * anew if it is fresh.
 */
Step *
step_next(StepKind kind, const char *name, int32 function_id, uint64 digest, const char *what)
{
	Steps *steps = current;
	Step *step;
	bool known;
	int number;

	if (!steps->loaded)
	{
		ResourceOwner owner;
		Store *store = step_look(&owner);

		steps_load(steps, store);
		step_look_over(owner);
	}
	number = name == NULL ? ++steps->unnamed : use_of(steps, name);
	/* where all that is remembered was met, this is a new one: no need to look through all */
	step = steps->unmet == 0 ? NULL : find(steps, name, number);
	known = step != NULL;
	if (step == NULL)
	{
		step = steps_add(steps, kind, name, number);
		steps->renewed = true;
	}
	else
	{
		bool older = step->mark != lease_mark(steps->task);

		steps->renewed |= !older;
		steps->branched |= older && steps->renewed;
		if (step_is_hollow(step))
			renew(steps, step, kind);
		else if (older && has_failed(step))
		{
			steps->branched = steps->renewed = true;
			renew(steps, step, kind);
		}
		else if (step->kind != kind || step->function_id != function_id ||
				 (step->digest != digest && step->digest != 0))
		{
			if (!older || !steps->branched)
				mismatch(step, describe(kind, name, number, what));
			renew(steps, step, kind);
		}
	}
	if (step->fresh)
	{
		step->function_id = function_id;
		step->digest = digest;
	}
	if (!step->met && known)
		steps->unmet--;
	step->met = true;
	return step;
}

/* Whether this attempt may have taken another way before it came to an older step. */
static bool
may_differ(const Steps *steps, const Step *step)
{
	for (int i = 0; i < steps->n; i++)
	{
		const Step *other = steps->steps[i];
		bool before = other->name != NULL || step->name != NULL || other->number < step->number;

		if (other != step && before &&
			(other->mark == lease_mark(steps->task) || has_failed(other)))
			return true;
	}
	return false;
}

/* Whether it is of an earlier attempt and nothing is remembered of it. */
static bool
is_forgotten(const Steps *steps, const Step *step)
{
	return step->mark != lease_mark(steps->task) && has_failed(step);
}

/*
 * A step that a worker has come to and that is not remembered; number: which one it says
 * that is, or -1 for the next. The steps were loaded; no handler runs here.
 */
Step *
step_place(StepKind kind, const char *name, int number, int32 function_id, uint64 digest)
{
	Steps *steps = current;
	Step *step = NULL;
	int next = 1;

	while (steps->n > 0 && (step = find(steps, name, next)) != NULL && next != number &&
		   !is_forgotten(steps, step))
		next++;
	if (number > next)
		ereport(ERROR,
				(errcode(STENT_ERR_STEP_MISMATCH),
				 errmsg("number %d of the step leaves out number %d", number, next),
				 errhint("Read what is remembered with stent.lease_steps(), or leave the number "
						 "out.")));
	if (step == NULL)
		step = steps_add(steps, kind, name, next);
	else
	{
		if (!is_forgotten(steps, step) &&
			(step->mark == lease_mark(steps->task) || !may_differ(steps, step)))
			ereport(ERROR, (errcode(STENT_ERR_STEP_MISMATCH),
							errmsg("number %d of the step is remembered already, as %s", number,
								   describe_known(step)),
							errhint("Read what is remembered with stent.lease_steps().")));
		renew(steps, step, kind);
	}
	step->function_id = function_id;
	step->digest = digest;
	return step;
}

/* Whether a worker is to be told of a step. */
bool
step_is_remembered(const Steps *steps, const Step *step)
{
	return step->number > 0 && !is_forgotten(steps, step);
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

/* Leave the handler until the step is done. */
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

/* Whether an error is that one, also where a language has made it its own. */
bool
step_is_suspension(const ErrorData *error, const Task *task)
{
	return error->message != NULL &&
		   strstr(error->message, psprintf("stent suspends task " INT64_FORMAT, task->id)) != NULL;
}

/* The handler of a suspended task returned, or raised something else. */
ErrorData *
step_swallowed(const Task *task, const ErrorData *error)
{
	ErrorData *swallowed = palloc0_object(ErrorData);

	swallowed->elevel = ERROR;
	swallowed->sqlerrcode = STENT_ERR_SUSPENSION_SWALLOWED;
	swallowed->message = psprintf(
		"task " INT64_FORMAT " was suspended, and its handler did not let that pass", task->id);
	if (error != NULL)
		swallowed->detail = psprintf("It raised \"%s\" (%s) instead.", error->message,
									 unpack_sql_state(error->sqlerrcode));
	swallowed->hint = "Do not catch query_canceled, and raise again what PL/Python, PL/Perl or "
					  "PL/Tcl catch.";
	return swallowed;
}

/* What a child's SQLSTATE is raised as. A parent that catches all catches it. */
static int
code_of(const char *code)
{
	int state;

	if (code == NULL || strlen(code) != 5 ||
		strspn(code, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") != 5)
		return ERRCODE_RAISE_EXCEPTION;
	state = MAKE_SQLSTATE(code[0], code[1], code[2], code[3], code[4]);
	if (state == ERRCODE_QUERY_CANCELED || state == ERRCODE_ASSERT_FAILURE)
		return STENT_ERR_CHILD_INTERRUPTED;
	return state;
}

/* Whether an error of a task is what an error of its child is raised as in it. */
bool
step_is_raised_as(Jsonb *child_error, Jsonb *error)
{
	char *child_code = json_string_field(child_error, "code");
	char *child_message = json_string_field(child_error, "message");
	char *code = json_string_field(error, "code");
	char *message = json_string_field(error, "message");

	/* a worker may pass on what is no SQLSTATE */
	return code != NULL && message != NULL && child_message != NULL &&
		   strcmp(message, child_message) == 0 &&
		   (strcmp(code, unpack_sql_state(code_of(child_code))) == 0 ||
			(child_code != NULL && strcmp(code, child_code) == 0));
}

/* Raise an error that is remembered as that of a child, which has had its retries. */
pg_noreturn static void
raise_child_error(Jsonb *error)
{
	char *code = json_string_field(error, "code");
	char *message = json_string_field(error, "message");
	char *detail = json_string_field(error, "detail");
	char *hint = json_string_field(error, "hint");

	if (code_of(code) == STENT_ERR_CHILD_INTERRUPTED && detail == NULL)
		detail = psprintf("Its SQLSTATE was %s, which no exception block catches.", code);
	ereport(ERROR,
			(errcode(code_of(code)), errmsg("%s", message != NULL ? message : ""),
			 detail != NULL ? errdetail("%s", detail) : 0, hint != NULL ? errhint("%s", hint) : 0));
}

/* The same of one of the handler's own. */
pg_noreturn static void
raise_own_error(Jsonb *error)
{
	char *code = json_string_field(error, "code");
	char *message = json_string_field(error, "message");
	char *detail = json_string_field(error, "detail");
	char *hint = json_string_field(error, "hint");

	ereport(ERROR,
			(errcode(code_of(code)), errmsg("%s", message != NULL ? message : ""),
			 detail != NULL ? errdetail("%s", detail) : 0, hint != NULL ? errhint("%s", hint) : 0));
}

/* Whether an error that no block of the handler has caught is a child's. */
bool
step_is_child_error(const ErrorData *error)
{
	return error->funcname != NULL && strcmp(error->funcname, "raise_child_error") == 0;
}

/* Raise the error of a failed step. */
void
step_raise_again(Step *step)
{
	if (step->kind == STEP_LOCAL || step->kind == STEP_SIGNAL || step->kind == STEP_MAP_QUERY ||
		strcmp(unpack_sql_state(STENT_ERR_WAIT_RAN_OUT), json_string_field(step->error, "code")) ==
			0)
		raise_own_error(step->error);
	raise_child_error(step->error);
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

/* The same, and that is raised. */
void
step_fail(Step *step, Jsonb *error)
{
	step_failed(step, error);
	step_raise_again(step);
}

/* The error of a step whose wait has run out. */
Jsonb *
step_error_ran_out(const Step *step)
{
	return json_error_parts(
		unpack_sql_state(STENT_ERR_WAIT_RAN_OUT),
		psprintf("%s ran out of time", step_kind_name(step->kind)), NULL,
		"Only the wait is over: what it was for may happen yet, and be waited for again.", NULL,
		false);
}

/* The wait of a step has run out. */
void
step_ran_out(Step *step)
{
	step_fail(step, step_error_ran_out(step));
}

/* The error of one of many tasks: which one is told in the detail. */
static Jsonb *
with_origin(Jsonb *error, int64 child_id, int index)
{
	if (index < 0)
		return error;
	return json_error_parts(json_string_field(error, "code"), json_string_field(error, "message"),
							await_all_detail(index, child_id, error),
							json_string_field(error, "hint"), NULL, false);
}

/*
 * The error of a step if what it waits for has ended, but not well; index: which of those it
 * waits for, or -1.
 */
Jsonb *
step_error_child(int64 child_id, const Ending *ending, int index)
{
	Jsonb *error = ending->error;

	if (ending->state == TASK_TIMED_OUT || ending->state == TASK_CANCELLED || error == NULL)
		error = json_error_parts(
			unpack_sql_state(ending->state == TASK_TIMED_OUT ? STENT_ERR_TIMED_OUT
															 : STENT_ERR_CANCELLED),
			error == NULL ? task_state_name(ending->state) : json_string_field(error, "message"),
			psprintf("Task " INT64_FORMAT " will not run any more.", child_id), NULL, NULL, false);
	return with_origin(error, child_id, index);
}

/* The step has failed with that. */
void
step_fail_child(Step *step, int64 child_id, const Ending *ending, int index)
{
	step_fail(step, step_error_child(child_id, ending, index));
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

/* The handler has returned: it must have met all its steps, but for those with names. */
void
steps_check_end(Steps *steps)
{
	if (steps->suspended)
		ThrowErrorData(step_swallowed(steps->task, NULL));
	if (!steps->loaded || steps->continued)
		return;
	for (int i = 0; i < steps->n; i++)
	{
		const Step *step = steps->steps[i];

		if (step->met || step->name != NULL || step->number <= 0 || step_is_hollow(step) ||
			(steps->renewed && step->mark != lease_mark(steps->task)))
			continue;
		if (step->mark != lease_mark(steps->task) && has_failed(step))
			continue;
		ereport(ERROR,
				(errcode(STENT_ERR_STEP_MISMATCH),
				 errmsg("the handler has ended without step %d, %s, which it had before",
						step->number, describe_known(step)),
				 errhint("The code was changed while the execution is under way, or depends on "
						 "what changes between runs: pass that through stent.record() or "
						 "stent.step(), and give steps names so that others can be left out.")));
	}
}
