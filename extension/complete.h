/*
 * complete.h
 *	  The ends of an attempt.
 */
#ifndef STENT_COMPLETE_H
#define STENT_COMPLETE_H

#include "store.h"
#include "task.h"

extern void complete_success(Store *store, Task *task, Jsonb *result);
extern void complete_failure(Store *store, Task *task, ErrorData *error, bool final);
extern void complete_failure_given(Store *store, Task *task, const char *code, Jsonb *error,
								   bool final);
extern void complete_lost(Store *store, Task *task);
extern void complete_past_deadline(Store *store, Task *task);
extern void complete_cancelled(Store *store, Task *task, const char *message);
extern void complete_continued(Store *store, Task *task, Jsonb *args);
extern void complete_give_back(Store *store, Task *task);
extern bool complete_crash(Store *store, Task *task);

#endif
