/*
 * step_look.h
 *	  Whether what a step waits for has happened, asked from outside of a handler.
 */
#ifndef STENT_STEP_LOOK_H
#define STENT_STEP_LOOK_H

#include "postgres.h"

#include "step.h"

extern bool step_look(Store *store, Step *step);
extern void steps_look(Store *store, Steps *steps);

#endif
