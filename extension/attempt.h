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
	ATTEMPT_INTERRUPTED,      /* for somebody who cancels the task: not charged */
	ATTEMPT_SUSPENDED,        /* the handler was left at a step that is not done */
	ATTEMPT_CONFLICT          /* of a chunk, with another transaction: not charged */
} AttemptEnd;

struct ChunkRun;

typedef struct Attempt
{
	AttemptEnd end;
	Jsonb *result;          /* of a success; NULL = JSON null */
	ErrorData *error;       /* of anything else */
	bool final;             /* of a failure: not to be retried, whatever the policy says */
	bool used_temp;         /* touched the temporary schema */
	int64 limit_us;         /* how long it may last; -1 = any time */
	AttemptEnd limit_end;   /* what it means to last longer */
	struct ChunkRun *chunk; /* of a chunk: how its items ended */
} Attempt;

/* What is to be done in an attempt's subtransaction; the result in any context. */
typedef Jsonb *(*AttemptBody)(const Task *task, void *arg);

extern void attempt_run(Store *store, Task *task, Attempt *attempt);
extern void attempt_do(Store *store, Task *task, Attempt *attempt, AttemptBody body, void *arg);
extern void attempt_settle_constraints(void);
extern MemoryContext attempt_newest_portal(void);
extern void attempt_tidy(MemoryContext newest_portal);
extern bool attempt_must_end(void);
extern bool attempt_keep_what_was_done(const Attempt *attempt);
extern bool attempt_is_cancel(const ErrorData *error);
extern ErrorData *attempt_timeout_error(const Task *task);
extern const Task *attempt_task(void);
extern void attempt_own_session(void);
extern bool attempt_session_is_own(void);
extern void attempt_init(void);

#endif
