/*
 * step_decide.h
 *	  Whether what a step waits for has happened, asked from outside of a handler.
 */
#ifndef STENT_STEP_DECIDE_H
#define STENT_STEP_DECIDE_H

#include "postgres.h"

#include "step.h"

extern int step_ids(const Step *step, int64 **ids);
extern bool step_decide(Store *store, Step *step);
extern void steps_decide(Store *store, Steps *steps);

#endif
