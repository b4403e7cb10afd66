/*
 * step.h
 *	  Steps: the remembered points of an orchestrator, as its handler meets them.
 *
 * A function that is a step begins with step_next. If the step is new, it says how it is
 * to be made, and then has it done at once (step_done), leaves it to be made when the
 * handler is over (make), or suspends the handler (step_wait, step_act):
 *
 *	  step = step_next(STEP_CALL, name, function_id, digest, what);
 *	  if (step->fresh)
 *	  {
 *		  step->make = make_child;
 *		  step->arg = ...;             in step_context()
 *	  }
 *	  step_child(step, &ending);       suspends unless the child has finished
 *
 * Nothing is written while the handler runs: its subtransaction may yet be undone.
 * settle.c writes what is dirty when it is over.
 */
#ifndef STENT_STEP_H
#define STENT_STEP_H

#include "postgres.h"

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

#define STEP_WAITING 'w'
#define STEP_COMPLETED 'c'
#define STEP_FAILED 'f'

typedef struct Step Step;

/*
 * Make the child that a step stands for, outside of the handler's subtransaction, in the
 * transaction that ends this run of the handler. Returns its id. Must not fail by what the
 * user gave: that was checked when the step was met.
 */
typedef int64 (*StepMake)(Store *store, const Task *parent, void *arg);

/*
 * Do a local step: in a subtransaction of its own, as a handler runs; what it returns is
 * remembered, an error is the step's.
 */
typedef Jsonb *(*StepAct)(Store *store, Task *parent, void *arg);

struct Step
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
	Jsonb *detail;

	bool met;      /* in this run of the handler */
	bool fresh;    /* met for the first time: step_next has just made it */
	bool stored;   /* has a row */
	bool dirty;    /* the row is not what this says */
	bool undone;   /* the block that made it was rolled back: its child is not to be made */
	bool blocking; /* what the handler was suspended for */
	SubTransactionId subid;
	StepMake make;
	StepAct act;
	void *arg;
	ItemPointerData tid;
};

/* The steps of the attempt that runs in this session, or of one that a worker suspends. */
typedef struct Steps
{
	MemoryContext cxt;
	Task *task;
	bool loaded;
	int n;
	int max;
	Step **steps; /* by position */
	int unnamed;  /* met so far without a name, in this run */
	int next_position;
	bool
		branched; /* a failed step of an earlier attempt was forgotten: what came after may differ */
	bool suspended;      /* the handler is being left */
	bool continued;      /* continue_as_new was called */
	bool acting;         /* a local step runs */
	bool ever_suspended; /* this task, in this or an earlier transaction */
	Jsonb *new_args;     /* of continue_as_new */
	Step *blocking;
} Steps;

/* --- in the handler --- */

extern Task *step_task(const char *function);
extern MemoryContext step_context(void);
extern Step *step_next(StepKind kind, char *name, int32 function_id, uint64 digest,
					   const char *what);
extern Steps *steps_current(void);
extern void step_done(Step *step, Jsonb *result);
extern void step_failed(Step *step, Jsonb *error);
extern Jsonb *step_result(Step *step);
extern void step_child(Step *step, Ending *ending);
extern Jsonb *step_child_result(Step *step);
pg_noreturn extern void step_wait(Step *step);
pg_noreturn extern void step_raise(const Jsonb *error, const char *prefix);
extern uint64 step_digest(Jsonb *args);
extern char *step_name_argument(FunctionCallInfo fcinfo, int arg);
extern const char *step_kind_name(StepKind kind);

#endif
