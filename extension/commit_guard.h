/*
 * commit_guard.h
 *	  Which task made a commit fail.
 */
#ifndef STENT_COMMIT_GUARD_H
#define STENT_COMMIT_GUARD_H

#include "postgres.h"

extern void commit_guard_add(int64 task_id, int replays, int attempt);
extern bool commit_guard_conflict(int64 task_id, int replays, int attempt);
extern bool commit_guard_is_suspect(int64 task_id);
extern ErrorData *commit_guard_charge(int64 task_id, int replays, int attempt);
extern void commit_guard_init(void);

#endif
