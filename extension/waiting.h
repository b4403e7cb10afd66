/*
 * waiting.h
 *	  Waiting tasks: who wakes them, and when.
 */
#ifndef STENT_WAITING_H
#define STENT_WAITING_H

#include "postgres.h"

#include "due.h"
#include "step.h"
#include "store.h"
#include "task.h"

/* The task was just moved to TASK_WAITING for this step. */
extern void waiting_begin(Store *store, Task *task, Step *step);

/* It waits no more. */
extern void waiting_over(Store *store, const Task *task, const struct Step *step);

/* How many nudges this session has left. */
extern uint64 waiting_nudges;

/* Something happened: have somebody look whether the waiting task may go on. */
extern void waiting_nudge(Store *store, int64 task_id, int64 bucket, bool failed);

/* A task has ended, its row is deleted: tell its parent, and others who wait for it. */
extern void waiting_tell(Store *store, const Task *task, int64 parent_bucket);

/*
 * While a batch of tasks is run, others than parents are told at its end: before the commit is
 * early enough.
 */
extern void waiting_tell_later(void);
extern void waiting_tell_now(Store *store);

/* A signal was sent to an execution, its row is written. */
extern void waiting_tell_signal(Store *store, int64 execution_id);

/* Act on due entries: a nudge, and the end of a wait. */
extern bool waiting_nudged(Store *store, const DueEntry *entry);
extern bool waiting_ran_out(Store *store, const DueEntry *entry);

extern void waiting_init(void);

#endif
