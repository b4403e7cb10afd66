/*
 * child.c
 *	  Which live tasks have a parent: the table stent.child.
 *
 * A row lives as long as its task, and is written and deleted with it (task_state.c).
 * Its key begins with the execution, so that all live tasks of a tree are found
 * together, also those whose parents have finished and are found nowhere else. What
 * lies below one task of the tree is decided by parent, not by task: a hundred
 * thousand siblings cost one look upwards.
 */
#include "postgres.h"

#include "access/genam.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "child.h"
#include "compat.h"
#include "fault.h"
#include "intern.h"
#include "ready.h"

enum
{
	CHILD_EXECUTION_ID = 1,
	CHILD_PARENT_ID,
	CHILD_TASK_ID,
	CHILD_BUCKET,
	CHILD_COLUMNS = CHILD_BUCKET
};

/* Parents whose place is remembered, before that begins anew. */
#define SUBTREE_KNOWN 50000

typedef struct KnownTask
{
	int64 id; /* hash key */
	bool below;
} KnownTask;

/* Where whoever serves the parent of a live task looks for nudges; 0: it has finished. */
static int64
find_parent_bucket(Store *store, const Task *task)
{
	Task *parent = task_find_live(store, task->parent_id);
	int64 bucket = 0;

	if (parent != NULL)
	{
		bucket =
			ready_bucket(lane_get(store, parent->lane_id)->role, parent->priority, parent->lane_id);
		pfree(parent);
	}
	return bucket;
}

void
child_insert(Store *store, Task *task)
{
	Datum values[CHILD_COLUMNS];
	bool nulls[CHILD_COLUMNS] = {0};

	if (task->parent_bucket == 0)
		task->parent_bucket = find_parent_bucket(store, task);
	values[CHILD_BUCKET - 1] = Int64GetDatum(task->parent_bucket);
	nulls[CHILD_BUCKET - 1] = task->parent_bucket == 0;
	values[CHILD_EXECUTION_ID - 1] = Int64GetDatum(task->execution_id);
	values[CHILD_PARENT_ID - 1] = Int64GetDatum(task->parent_id);
	values[CHILD_TASK_ID - 1] = Int64GetDatum(task->id);
	store_insert(store, store_table(store, STORE_CHILD), values, nulls);
	STENT_FAULT("child_after_insert");
}

static bool
find_child(StoreRel *table, int64 execution_id, int64 parent_id, int64 id)
{
	ScanKeyData keys[3];

	ScanKeyInit(&keys[0], CHILD_EXECUTION_ID, BTEqualStrategyNumber, F_INT8EQ,
				Int64GetDatum(execution_id));
	ScanKeyInit(&keys[1], CHILD_PARENT_ID, BTEqualStrategyNumber, F_INT8EQ,
				Int64GetDatum(parent_id));
	ScanKeyInit(&keys[2], CHILD_TASK_ID, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(id));
	return store_find(table, GetActiveSnapshot(), keys, 3);
}

/* Whether the task is a live child of that one. */
bool
child_lives(Store *store, int64 execution_id, int64 parent_id, int64 id)
{
	StoreRel *table = store_table(store, STORE_CHILD);
	bool found = find_child(table, execution_id, parent_id, id);

	ExecClearTuple(table->out);
	return found;
}

/* The task has ended; what its row tells of the parent is kept in the task. */
void
child_delete(Store *store, Task *task)
{
	StoreRel *table = store_table(store, STORE_CHILD);
	Datum bucket;
	bool isnull;

	if (!find_child(table, task->execution_id, task->parent_id, task->id))
		elog(ERROR, "task " INT64_FORMAT " is not known as a child", task->id);
	bucket = store_column(table->out, CHILD_BUCKET, &isnull);
	task->parent_bucket = isnull ? 0 : DatumGetInt64(bucket);
	store_delete_found(table);
	ExecClearTuple(table->out);
	if (task->parent_bucket == 0)
		task->parent_bucket = find_parent_bucket(store, task);
	/* not seen, but it may be replayed at this moment: whoever serves this task finds it */
	if (task->parent_bucket == 0)
		task->parent_bucket =
			ready_bucket(lane_get(store, task->lane_id)->role, task->priority, task->lane_id);
	STENT_FAULT("child_after_delete");
}

/* The next task of an execution, by id, that has live children; false: no more. */
bool
child_next_parent(Store *store, int64 execution_id, int64 *parent_id)
{
	StoreRel *table = store_table(store, STORE_CHILD);
	ScanKeyData keys[2];
	bool found;
	bool isnull;

	ScanKeyInit(&keys[0], CHILD_EXECUTION_ID, BTEqualStrategyNumber, F_INT8EQ,
				Int64GetDatum(execution_id));
	ScanKeyInit(&keys[1], CHILD_PARENT_ID, BTGreaterStrategyNumber, F_INT8GT,
				Int64GetDatum(*parent_id));
	found = store_find(table, GetActiveSnapshot(), keys, 2);
	if (found)
		*parent_id = DatumGetInt64(slot_getattr(table->out, CHILD_PARENT_ID, &isnull));
	ExecClearTuple(table->out);
	return found;
}

/* Up to max live children of a task, by id, after one of them. */
int
child_page(Store *store, int64 execution_id, int64 parent_id, int64 after, int64 *ids, int max)
{
	StoreRel *table = store_table(store, STORE_CHILD);
	IndexScanDesc scan = compat_index_beginscan(table->rel, table->pkey, GetActiveSnapshot(), 3);
	ScanKeyData keys[3];
	int n = 0;
	bool isnull;

	ScanKeyInit(&keys[0], CHILD_EXECUTION_ID, BTEqualStrategyNumber, F_INT8EQ,
				Int64GetDatum(execution_id));
	ScanKeyInit(&keys[1], CHILD_PARENT_ID, BTEqualStrategyNumber, F_INT8EQ,
				Int64GetDatum(parent_id));
	ScanKeyInit(&keys[2], CHILD_TASK_ID, BTGreaterStrategyNumber, F_INT8GT, Int64GetDatum(after));
	index_rescan(scan, keys, 3, NULL, 0);
	while (n < max && index_getnext_slot(scan, ForwardScanDirection, table->out))
		ids[n++] = DatumGetInt64(slot_getattr(table->out, CHILD_TASK_ID, &isnull));
	index_endscan(scan);
	ExecClearTuple(table->out);
	return n;
}

/* The parent of a task, wherever the task is now; NO_ID: it has none, or is not known. */
static int64
parent_of(Store *store, int64 id)
{
	Oid types[1] = {INT8OID};
	Datum values[1];
	Task *task = task_find_live(store, id);
	ColdSql cold;
	int64 parent_id = NO_ID;

	if (task != NULL)
		return task->parent_id;
	values[0] = Int64GetDatum(id);
	cold_begin(&cold);
	/* read-only: with the active snapshot */
	if (SPI_execute_with_args("SELECT parent_id FROM stent.archive WHERE id = $1 UNION ALL "
							  "SELECT parent_id FROM stent.archive_kept WHERE id = $1 UNION ALL "
							  "SELECT parent_id FROM stent.dead_letter WHERE id = $1",
							  1, types, values, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "looking for the parent of a task failed");
	if (SPI_processed == 1)
	{
		bool isnull;
		Datum value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);

		if (!isnull)
			parent_id = DatumGetInt64(value);
	}
	cold_end(&cold);
	return parent_id;
}

static void
forget_known(Subtree *subtree)
{
	HASHCTL ctl = {.keysize = sizeof(int64), .entrysize = sizeof(KnownTask), .hcxt = subtree->cxt};

	if (subtree->known != NULL)
		hash_destroy(subtree->known);
	subtree->known = hash_create("stent subtree", 64, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

void
subtree_begin(Subtree *subtree, int64 execution_id, int64 top)
{
	*subtree = (Subtree){execution_id, top, NULL, CurrentMemoryContext};
	forget_known(subtree);
}

/* Whether the task is the top or below it. */
bool
subtree_has(Subtree *subtree, Store *store, int64 id)
{
	MemoryContext cxt;
	MemoryContext old;
	int64 at = id;
	bool below;

	if (subtree->top == subtree->execution_id)
		return true;
	cxt = AllocSetContextCreate(CurrentMemoryContext, "stent parents", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(cxt);
	if (hash_get_num_entries(subtree->known) > SUBTREE_KNOWN)
		forget_known(subtree);
	for (;;)
	{
		KnownTask *known = hash_search(subtree->known, &at, HASH_FIND, NULL);

		CHECK_FOR_INTERRUPTS();
		if (known != NULL || at == subtree->top || at == subtree->execution_id || at == NO_ID)
		{
			below = known != NULL ? known->below : at == subtree->top;
			break;
		}
		at = parent_of(store, at);
		MemoryContextReset(cxt);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
	((KnownTask *) hash_search(subtree->known, &id, HASH_ENTER, NULL))->below = below;
	return below;
}

void
subtree_end(Subtree *subtree)
{
	hash_destroy(subtree->known);
}
