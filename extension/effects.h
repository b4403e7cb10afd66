/*
 * effects.h
 *	  What a worker's completion brings along beside the result.
 */
#ifndef STENT_EFFECTS_H
#define STENT_EFFECTS_H

#include "postgres.h"

#include "utils/jsonb.h"

#include "store.h"
#include "task.h"

/* Each NULL: none. */
typedef struct Effects
{
	Jsonb *counters; /* {"name": number}, added */
	Jsonb *context;  /* {"key": value}, set */
	Jsonb *shared;   /* {"key": whole number}, added to shared values */
	Jsonb *progress; /* [{"step": text, "detail": any}] */
} Effects;

/* Changes of shared values, until all completions of a call are in. */
typedef struct SharedDelta
{
	char *key;
	int64 delta;
} SharedDelta;

typedef struct SharedDeltas
{
	int n;
	int max;
	SharedDelta *deltas;
} SharedDeltas;

extern void effects_read(Effects *effects, Jsonb *json);
extern void effects_check(const Effects *effects);
extern void effects_apply(const Effects *effects, const Task *task, SharedDeltas *deltas);
extern void effects_apply_shared(Store *store, SharedDeltas *deltas);

#endif
