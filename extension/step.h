/*
 * step.h
 *	  Steps: the remembered points of an orchestrator, as its handler meets them.
 *
 * A function that is a step begins with step_next. If the step is new, it says how it is
 * to be made, and then has it done at once (step_done), leaves it to be made when the
 * handler is over (make), or suspends the handler (step_child, step_wait):
 *
 *	  steps_require("stent.call()", hint);
 *	  step = step_next(STEP_CALL, name, function_id, digest, what);
 *	  if (step->fresh)
 *	  {
 *		  step->make = make_child;
 *		  step->arg = ...;                  in step_context()
 *	  }
 *	  return step_child_result(step);       suspends unless the child has finished
 *
 * Nothing is written while the handler runs: its subtransaction may yet be undone.
 * settle.c writes what is dirty when it is over.
 */
#ifndef STENT_STEP_H
#define STENT_STEP_H

#include "postgres.h"

#include "fmgr.h"

#include "utils/resowner.h"

#include "compat.h"
#include "ending.h"
#include "store.h"
#include "task.h"

typedef enum StepKind
{
	STEP_CALL,
	STEP_SPAWN,
	STEP_LOCAL, /* step() */
	STEP_AWAIT,
	STEP_AWAIT_ALL,
	STEP_SLEEP,
	STEP_SIGNAL,
	STEP_RECORD,
	STEP_MAP,
	STEP_MAP_QUERY,
	STEP_KINDS
} StepKind;

#define MAX_STEP_NAME_LENGTH 200

#define STEP_WAITING 'w'
#define STEP_COMPLETED 'c'
#define STEP_FAILED 'f'

/*
 * Make the child that a step stands for, outside of the handler's subtransaction, in the
 * transaction that ends this run of the handler. Returns its id, or that of another task
 * which does the same. Must not fail by what the user gave: that was checked when the
 * step was met.
 */
typedef int64 (*StepMake)(Store *store, const Task *parent, void *arg);

/*
 * Do a local step: in a subtransaction of its own, as a handler runs; what it returns is
 * remembered, an error is the step's.
 */
typedef Jsonb *(*StepAct)(const Task *parent, void *arg);

typedef struct Step
{
	/* what it is found by */
	char *name; /* NULL: by its number among those without */
	int number;
	/* what has to be the same when it is met again */
	StepKind kind;
	int32 function_id; /* 0: none */
	uint64 digest;     /* of its arguments; 0: none, or not known */

	int position;
	int32 mark;
	char state;
	int64 child_id;
	Timestamp created_at;
	Timestamp finished_at;
	Timestamp wake_at; /* NO_TIME: no limit */
	Jsonb *result;     /* NULL where result_ref has it */
	int64 result_ref;
	Jsonb *error;
	Jsonb *detail; /* of a wait: "strangers" are ids of those who must be made to tell */

	bool met;    /* in this run of the handler */
	bool fresh;  /* new to this attempt: step_next has just made it */
	bool stored; /* has a row */
	bool dirty;  /* the row, if any, is not what this says */
	bool undone; /* the block that made it was rolled back: its child is not to be made */
	SubTransactionId subid;
	StepMake make; /* until that is done */
	StepAct act;   /* the same */
	void *arg;
	ItemPointerData tid;
} Step;

/* The steps of a task whose handler runs, or that a worker suspends. */
typedef struct Steps
{
	MemoryContext cxt; /* holds all of them; a child of parent_cxt, made when needed */
	MemoryContext parent_cxt;
	Store *store;        /* to look into while the handler runs, */
	ResourceOwner owner; /* for which what it opens is opened */
	Task *task;
	bool loaded;
	int n;
	int max;
	Step **steps;       /* by position, as far as they had one when loaded */
	int next;           /* the one that is probably met next */
	int run;            /* of the handler, in this transaction, */
	CommandId begun_at; /* which began with this command */
	struct HTAB *names; /* how often each was met in it */
	int unmet;          /* of those there were when it began */
	bool all_made;      /* none has a child that is still to be made, but for those undone */
	int unnamed;        /* met so far without a name */
	int next_position;
	bool renewed;   /* one was met in this run that no earlier attempt had, or not so */
	bool branched;  /* a failed step was forgotten: what came after it may differ */
	bool suspended; /* the handler is being left */
	bool continued; /* continue_as_new was called, */
	SubTransactionId continued_subid; /* in this block */
	bool acting;                      /* a local step runs */
	bool waited;                      /* has been suspended, in this transaction or before */
	Jsonb *new_args;                  /* of continue_as_new */
	Step *blocking;                   /* what it was suspended for */
} Steps;

/* in the handler */
extern Steps *steps_require(const char *function, const char *hint);
extern MemoryContext step_context(void);
extern Store *step_look(ResourceOwner *owner);
extern void step_look_over(ResourceOwner owner);
extern int32 step_function(const char *name);
extern Step *step_next(StepKind kind, const char *name, int32 function_id, uint64 digest,
					   const char *what);
extern bool step_is_hollow(const Step *step);
extern Step *step_place(StepKind kind, const char *name, int number, int32 function_id,
						uint64 digest);
extern bool step_is_remembered(const Steps *steps, const Step *step);
extern void step_done(Step *step, Jsonb *result);
extern void step_failed(Step *step, Jsonb *error);
extern Jsonb *step_result(Step *step);
extern void step_child(Step *step, Ending *ending);
extern Jsonb *step_child_result(Step *step);
extern void step_take_result(Step *step, const Ending *ending);
extern void step_to_make(Step *step, StepMake make, void *arg);
extern bool step_is_made(int64 id);
extern bool step_would_undo(CommandId changed_at);
extern void step_require_kept(int64 id, const Ending *ending);
extern Jsonb *step_error_ran_out(const Step *step);
extern Jsonb *step_error_child(int64 child_id, const Ending *ending, int index);
pg_noreturn extern void step_fail_child(Step *step, int64 child_id, const Ending *ending,
										int index);
pg_noreturn extern void step_fail(Step *step, Jsonb *error);
pg_noreturn extern void step_ran_out(Step *step);
pg_noreturn extern void step_raise_again(Step *step);
pg_noreturn extern void step_wait(Step *step);
extern void step_not_found(int64 id);
extern uint64 step_digest(const void *data, size_t size);
extern uint64 step_digest_json(Jsonb *args);
extern char *step_name_argument(FunctionCallInfo fcinfo, int arg, const char *what);
extern const char *step_kind_name(StepKind kind);

/* around it */
extern void steps_begin(Steps *steps, Store *store, Task *task);
extern void steps_load(Steps *steps, Store *store);
extern Step *steps_add(Steps *steps, StepKind kind, const char *name, int number);
extern void steps_rerun(Steps *steps);
extern void steps_resume(Steps *steps);
extern void steps_end(void);
extern Steps *steps_current(void);
extern void steps_check_end(Steps *steps);
extern bool step_is_suspension(const ErrorData *error, const Task *task);
extern bool step_is_raised_as(Jsonb *child_error, Jsonb *error);
extern bool step_is_child_error(const ErrorData *error);
extern ErrorData *step_swallowed(const Task *task, const ErrorData *error);
extern void step_init(void);

#endif
