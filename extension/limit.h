/*
 * limit.h
 *	  Limits of functions: whether one more of its tasks may start.
 */
#ifndef STENT_LIMIT_H
#define STENT_LIMIT_H

#include "postgres.h"

#include "rate.h"
#include "registry.h"
#include "store.h"

/* What was taken for a task that has not started yet. */
typedef struct LimitHold
{
	int32 function_id; /* 0: nothing */
	bool place;        /* this transaction had none before */
	bool token;
	RateTime taken; /* the token */
} LimitHold;

extern bool limit_enter(LimitHold *hold, Store *store, const Function *function, Oid role);
extern void limit_leave(LimitHold *hold, Store *store);

/* Its task starts: what was taken is used. */
static inline void
limit_use(LimitHold *hold)
{
	hold->function_id = 0;
}

#endif
