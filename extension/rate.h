/*
 * rate.h
 *	  Rate limits: how many tasks of a function may start in a time.
 */
#ifndef STENT_RATE_H
#define STENT_RATE_H

#include "postgres.h"

#include "registry.h"
#include "store.h"

/* A moment, or a length of time, to 1 / rate_limit of a microsecond. */
typedef struct RateTime
{
	int64 us;
	int64 part; /* so many rate_limits of a microsecond, from 0 */
} RateTime;

extern bool rate_fits(int limit, int64 interval_us, int burst);
extern bool rate_take(Store *store, const Function *function, RateTime *taken, Timestamp *next);
extern void rate_give_back(Store *store, const Function *function, const RateTime *taken);

#endif
