/*
 * outcome.h
 *	  How a task ended, as its caller is told.
 */
#ifndef STENT_OUTCOME_H
#define STENT_OUTCOME_H

#include "postgres.h"

#include "fmgr.h"
#include "utils/jsonb.h"

#include "compat.h"

typedef struct Outcome
{
	int64 id;
	bool found; /* of outcome_read_many: there is such a task */
	bool finished;
	char *state;
	Jsonb *result;
	Jsonb *error;
} Outcome;

extern int64 outcome_require_id(FunctionCallInfo fcinfo);
extern bool outcome_read(int64 id, Outcome *outcome);
extern void outcome_read_many(Outcome **outcomes, int n);
extern int64 outcome_execution(int64 id);
extern Jsonb *outcome_result(const Outcome *outcome);
pg_noreturn extern void outcome_raise(const Outcome *outcome, const char *detail);
pg_noreturn extern void unknown_task(int64 id);

#endif
