/*
 * child_make.h
 *	  New children of an orchestrator, between the step that wants them and the end of
 *	  its handler.
 */
#ifndef STENT_CHILD_MAKE_H
#define STENT_CHILD_MAKE_H

#include "postgres.h"

#include "dispatch.h"
#include "memo.h"
#include "step.h"

typedef struct NewChild
{
	Task task;
	char role[NAMEDATALEN];
	char *queue;
	ArrayType *tags;
	Jsonb *policy; /* NULL: its function's */
	Memo memo;
	bool remember; /* by that */
} NewChild;

extern NewChild *child_prepare(Store *store, const Options *options, const Task *parent,
							   Jsonb *args, const char *concurrency_key,
							   const char *idempotency_key, bool awaited);
extern int64 child_make(Store *store, const Task *parent, void *arg);

#endif
