/*
 * suspend_read.h
 *	  The steps that a worker gives to suspend(), read from their JSON.
 */
#ifndef STENT_SUSPEND_READ_H
#define STENT_SUSPEND_READ_H

#include "postgres.h"

#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "map.h"
#include "options_json.h"
#include "step.h"

/* A task that is waited for: its id, or that of the child that an earlier step here makes. */
typedef struct StepTarget
{
	int64 id; /* NO_ID: of a step */
	int step;
} StepTarget;

/* A step as it was given. NULL, or -1: nothing. */
typedef struct StepOrder
{
	StepKind kind;
	bool blocks; /* until something happens */
	int index;
	const char *where; /* for messages: "step 2" */
	char *name;
	int number;

	/* call, spawn, map */
	JsonOptions options;
	Jsonb *args;
	char *idempotency_key;
	char *concurrency_key;
	Jsonb *items;
	MapOptions map;

	Jsonb *result; /* of a step, the value of a record */
	Jsonb *error;
	Interval *duration; /* of a sleep */
	Interval *timeout;  /* of a wait */
	int n_targets;
	StepTarget *targets;
	char *signal;
} StepOrder;

extern StepOrder *suspend_read(Jsonb *steps, int *n);
extern void suspend_read_context(void *order);

#endif
