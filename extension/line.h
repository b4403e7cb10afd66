/*
 * line.h
 *	  Lines: the tasks of one concurrency key, in the order of their age.
 */
#ifndef STENT_LINE_H
#define STENT_LINE_H

#include "postgres.h"

#include "due.h"
#include "store.h"
#include "task.h"

/* no line; no hash is this */
#define NO_LINE INT64CONST(0)

#define MAX_CONCURRENCY_KEY_LENGTH 1000

extern int64 line_of_task(const Task *task);
extern TaskState line_destination(Store *store, Task *task, TaskState to);
extern void line_leave(Store *store, const Task *task, TaskState from);
extern TM_Result line_try_take(Store *store, const Task *task, TransactionId *holder);
extern bool line_take(Store *store, const Task *task);
extern bool line_place(Store *store, int64 line, int64 bucket, bool *fresh);
extern int line_claim(Store *store, int64 line, int64 bucket);
extern void line_unclaim(Store *store, int64 line, int number);
extern bool line_allows(Store *store, int64 line, int64 bucket, int64 position);
extern void line_demote(Store *store, Task *task);
extern bool line_nudged(Store *store, const DueEntry *nudge);
extern void line_more_may_run(Store *store, int32 function_id);
extern void line_init(void);

#endif
