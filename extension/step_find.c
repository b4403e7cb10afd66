/*
 * step_find.c
 *	  Which of the remembered steps a handler has come to.
 *
 * A step is found by its name and which use of the name this is, or, without a name, by
 * its number among those without one; what it was about, the kind, the function and a
 * digest of the arguments, has to be the same, else the code has changed, or is not
 * deterministic: an error that names both.
 *
 * A new attempt keeps the steps that have succeeded. Failed ones are forgotten, and since
 * what came after such a step came of its failure, from there on a remembered step that
 * does not fit is forgotten, too, instead of being an error.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "clock.h"
#include "ending.h"
#include "errors.h"
#include "json.h"
#include "lease.h"
#include "registry.h"
#include "step.h"

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

/* The id of a function by its name, which need not be registered any more. */
int32
step_function(const char *name)
{
	Steps *steps = steps_current();
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

/* Read what is remembered, in the middle of the handler. */
static void
load(Steps *steps)
{
	ResourceOwner owner;
	Store *store = step_look(&owner);

	steps_load(steps, store);
	step_look_over(owner);
}

/*
 * The step that the handler has come to. what names it in messages. It must be made
 * anew if it is fresh.
 */
Step *
step_next(StepKind kind, const char *name, int32 function_id, uint64 digest, const char *what)
{
	Steps *steps = steps_current();
	Step *step;
	bool known;
	int number;

	if (!steps->loaded)
		load(steps);
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
			bool may_be_another = older && steps->branched;

			/* how long a sleep is to last may depend on when that was asked */
			if (!may_be_another && (kind != STEP_SLEEP || step->kind != kind))
				mismatch(step, describe(kind, name, number, what));
			if (may_be_another)
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
	Steps *steps = steps_current();
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

/* Whether a task may have steps of earlier runs: it has waited, or it is not its first attempt. */
static bool
may_have_any(const Task *task)
{
	return task->due_at != NO_TIME || task->attempt > 0 || task->replays > 0;
}

/* The handler has returned: it must have met all its steps, but for those with names. */
void
steps_check_end(Steps *steps)
{
	if (steps->suspended)
		ThrowErrorData(step_swallowed(steps->task, NULL));
	if (!steps->loaded && may_have_any(steps->task))
		load(steps);
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
