/*
 * dead_letter.h
 *	  Taking tasks that failed for good out of the dead letters.
 */
#ifndef STENT_DEAD_LETTER_H
#define STENT_DEAD_LETTER_H

#include "postgres.h"

#include "compat.h"
#include "store.h"
#include "task.h"

extern Task *dead_letter_find(Store *store, int64 id, bool admin);
extern bool dead_letter_take(Store *store, Task *task);
extern bool dead_letter_own_dedup_key(Store *store, const Task *task);
pg_noreturn extern void dead_letter_refuse_dedup_key(const Task *task);
extern void dead_letter_begin_anew(Task *task, bool reset_retries);

#endif
