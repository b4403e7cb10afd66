/*
 * whereabouts.c
 *	  Where a task is, by its id alone.
 *
 * A task is live, a dead letter, kept apart, or in the partition of the day it
 * finished, which nobody knows. Found is found; but "it is gone" is only true if no
 * partition was missed, so partitions are locked before the snapshot is taken: one
 * that retention dropped before is then seen as dropped, with what it kept, and no
 * other can go meanwhile.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_inherits.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "whereabouts.h"

/* Look into one table of tasks by the active snapshot. */
static bool
find_in(Oid oid, bool live, int64 id, TaskState *state, Timestamp *finished_at)
{
	Relation rel = table_open(oid, AccessShareLock);
	Oid pkey_oid = compat_primary_key_index(rel);
	Relation pkey;
	TupleTableSlot *slot;
	IndexScanDesc scan;
	ScanKeyData key;
	bool found;
	bool isnull;

	if (!OidIsValid(pkey_oid))
		elog(ERROR, "relation \"%s\" has no primary key", RelationGetRelationName(rel));
	pkey = index_open(pkey_oid, AccessShareLock);
	slot = table_slot_create(rel, NULL);
	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(id));
	scan = compat_index_beginscan(rel, pkey, GetActiveSnapshot(), 1);
	index_rescan(scan, &key, 1, NULL, 0);
	found = index_getnext_slot(scan, ForwardScanDirection, slot);
	if (found)
	{
		*state = (TaskState) DatumGetChar(
			slot_getattr(slot, live ? (int) TASK_STATE : (int) ARCHIVE_STATE, &isnull));
		*finished_at =
			live ? NO_TIME : DatumGetTimestamp(slot_getattr(slot, ARCHIVE_FINISHED_AT, &isnull));
	}
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	index_close(pkey, NoLock);
	table_close(rel, NoLock);
	return found;
}

/* Look by one snapshot into all places, with the partitions given. */
static bool
find(int64 id, List *leaves, TaskState *state, Timestamp *finished_at)
{
	bool found;
	ListCell *cell;

	PushActiveSnapshot(GetLatestSnapshot());
	found = find_in(store_oid(STORE_TASK), true, id, state, finished_at) ||
			find_in(store_oid(STORE_DEAD_LETTER), false, id, state, finished_at) ||
			find_in(store_oid(STORE_ARCHIVE_KEPT), false, id, state, finished_at);
	foreach (cell, leaves)
	{
		if (found)
			break;
		found = find_in(lfirst_oid(cell), false, id, state, finished_at);
	}
	PopActiveSnapshot();
	return found;
}

/*
 * The state of a task by the newest committed facts, whatever the isolation level;
 * TASK_NEW if there is no such task (any more). May wait for a transaction that is
 * dropping a partition.
 */
TaskState
whereabouts(int64 id, Timestamp *finished_at)
{
	List *known = NIL;
	TaskState state;

	CommandCounterIncrement();
	while (!find(id, known, &state, finished_at))
	{
		List *leaves = find_inheritance_children(store_relation_oid("archive"), AccessShareLock);

		CHECK_FOR_INTERRUPTS();
		/* it cannot have moved into a partition made since the last look */
		if (list_difference_oid(leaves, known) == NIL)
			return TASK_NEW;
		known = leaves;
	}
	return state;
}
