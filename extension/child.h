/*
 * child.h
 *	  Which live tasks have a parent.
 */
#ifndef STENT_CHILD_H
#define STENT_CHILD_H

#include "postgres.h"

#include "store.h"
#include "task.h"

/* Which tasks of an execution lie below one of them, as far as that was asked for. */
typedef struct Subtree
{
	int64 execution_id;
	int64 top;
	struct HTAB *known;
	MemoryContext cxt; /* holds known */
} Subtree;

extern void child_insert(Store *store, Task *task);
extern void child_delete(Store *store, Task *task);
extern bool child_lives(Store *store, int64 execution_id, int64 parent_id, int64 id);
extern bool child_next_parent(Store *store, int64 execution_id, int64 *parent_id);
extern int child_page(Store *store, int64 execution_id, int64 parent_id, int64 after, int64 *ids,
					  int max);
extern void subtree_begin(Subtree *subtree, int64 execution_id, int64 top);
extern bool subtree_has(Subtree *subtree, Store *store, int64 id);
extern void subtree_end(Subtree *subtree);

#endif
