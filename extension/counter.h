/*
 * counter.h
 *	  Counters of an execution.
 */
#ifndef STENT_COUNTER_H
#define STENT_COUNTER_H

#include "postgres.h"

#include "utils/numeric.h"

#include "store.h"

extern void counter_check(const char *name, Numeric delta);
extern void counter_insert(Store *store, int64 execution_id, const char *name, Numeric delta);

#endif
