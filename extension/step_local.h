/*
 * step_local.h
 *	  What steps that are about no other task share with those a worker suspends.
 */
#ifndef STENT_STEP_LOCAL_H
#define STENT_STEP_LOCAL_H

#include "postgres.h"

#include "step.h"

extern Timestamp step_moment_after(const Interval *interval, const char *what);
extern int64 step_signal_number(const Step *step);
extern int64 step_last_signal(const Steps *steps, const char *name);
extern Jsonb *step_signal_detail(const char *name, const char *what, int64 number, int64 stranger);
extern bool step_take_signal(Step *step, const Task *task, const char *name, int64 after_number);

#endif
