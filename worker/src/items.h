/*
 * items.h
 *	  The items of a chunk: each as a task of its own, and what became of them.
 */
#ifndef STENT_WORKER_ITEMS_H
#define STENT_WORKER_ITEMS_H

#include <stdbool.h>

#include "handler.h"
#include "stent.h"

typedef struct Items Items;

/* Of a chunk whose claim was sent at claimed_at; NULL for want of memory. */
extern Items *items_new(const StentTask *chunk, double claimed_at);
extern void items_free(Items *items); /* of NULL: nothing */

/*
 * The next item as a task, with what is left of the chunk's times at now; NULL: none is
 * left, or there is no time for one. It is the one that items_take() is about, and valid
 * until the next call.
 */
extern const StentTask *items_next(Items *items, double now);
/* What became of it; takes the end's value and effects. */
extern void items_take(Items *items, RunEnd *end);

/* Has any item come to its end? */
extern bool items_any(const Items *items);
/*
 * Gives out what stent.complete() takes of the chunk: an outcome for each item, null for
 * those that were not run, and their effects together (NULL: none). False: out of memory.
 */
extern bool items_outcomes(Items *items, json_t **outcomes, json_t **effects);

#endif
