/*
 * map.h
 *	  Maps: one function called for many items, in chunks.
 *
 * A map is a task that waits (TASK_WAITING, chunk = A_MAP) and never runs a handler; its
 * children are its chunks (chunk = 0, 1, ...), tasks of the mapped function whose args are
 * an array of items.
 */
#ifndef STENT_MAP_H
#define STENT_MAP_H

#include "postgres.h"

#include "attempt.h"
#include "store.h"
#include "task.h"

/* Run the items of a chunk that was taken, as attempt_run runs a handler. */
extern void chunk_run(Store *store, Task *task, Attempt *attempt);

/*
 * A chunk's attempt is over (run here, or by a worker): write its progress, and end the
 * task or have it retried. outcomes: as chunk_run leaves them, or a worker gives them.
 */
extern void chunk_settle(Store *store, Task *task, Attempt *attempt);

/*
 * Somebody has taken the entry of a map that was nudged, with a snapshot taken since:
 * start chunks, or end the map. True if the map has ended; else the caller puts its
 * entry back.
 */
extern bool map_decide(Store *store, Task *task);

/* What belongs to a map or chunk alone when its history goes is SQL: stent._forget. */

#endif
