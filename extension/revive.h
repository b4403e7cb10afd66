/*
 * revive.h
 *	  Bringing back the parents that failed because of a child that is replayed.
 */
#ifndef STENT_REVIVE_H
#define STENT_REVIVE_H

#include "postgres.h"

#include "store.h"
#include "task.h"

extern bool revive_is_possible(Store *store, const Task *child);
extern void revive_parents(Store *store, Task *child, bool reset_retries);

#endif
