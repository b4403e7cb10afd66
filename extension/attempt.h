/*
 * attempt.h
 *	  One attempt at a task: its handler in a subtransaction.
 */
#ifndef STENT_ATTEMPT_H
#define STENT_ATTEMPT_H

#include "postgres.h"

#include "registry.h"
#include "store.h"
#include "task.h"

typedef enum AttemptEnd
{
	ATTEMPT_SUCCEEDED,
	ATTEMPT_FAILED,
	ATTEMPT_TIMED_OUT,        /* its own timeout: a failure like others */
	ATTEMPT_PAST_DEADLINE,    /* the execution's max_duration */
	ATTEMPT_RESULT_TOO_LARGE, /* a failure no retry would mend */
	ATTEMPT_INTERRUPTED       /* for somebody who cancels the task: not charged */
} AttemptEnd;

typedef struct Attempt
{
	AttemptEnd end;
	Jsonb *result;        /* of a success; NULL = JSON null */
	ErrorData *error;     /* of anything else */
	bool used_temp;       /* touched the temporary schema */
	int64 limit_us;       /* how long it may last; -1 = any time */
	AttemptEnd limit_end; /* what it means to last longer */
} Attempt;

extern void attempt_run(Store *store, Task *task, Attempt *attempt);
extern void attempt_settle_constraints(void);
extern const Task *attempt_task(void);
extern void attempt_own_session(void);
extern bool attempt_session_is_own(void);
extern void attempt_init(void);

#endif
