/*
 * ending.c
 *	  Where a task is, by its id alone, and how it has ended.
 *
 * A task is live, a dead letter, kept apart, or in the partition of the day it
 * finished, which nobody knows; most likely it is today's. Found is found; but "it is
 * gone" is only true if no partition was missed, so partitions are locked before the
 * snapshot is taken: one that retention dropped before is then seen as dropped, with
 * what it kept, and no other can go meanwhile.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_inherits.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

#include "archive.h"
#include "clock.h"
#include "compat.h"
#include "ending.h"
#include "json.h"

static int64
get_id(TupleTableSlot *slot, int column)
{
	bool isnull;
	Datum value = store_column(slot, column, &isnull);

	return isnull ? NO_ID : DatumGetInt64(value);
}

static Jsonb *
get_json(TupleTableSlot *slot, int column)
{
	bool isnull;
	Datum value = store_column(slot, column, &isnull);

	return isnull ? NULL : DatumGetJsonbPCopy(value);
}

static int
get_chunk(TupleTableSlot *slot, int column)
{
	bool isnull;
	Datum value = store_column(slot, column, &isnull);

	return isnull ? NO_CHUNK : DatumGetInt32(value);
}

/* Read what a row of the live tasks says. */
static void
from_live(TupleTableSlot *slot, Ending *ending)
{
	bool isnull;

	memset(ending, 0, sizeof(*ending));
	ending->state = (TaskState) DatumGetChar(slot_getattr(slot, TASK_STATE, &isnull));
	ending->execution_id = get_id(slot, TASK_EXECUTION_ID);
	ending->parent_id = get_id(slot, TASK_PARENT_ID);
	ending->function_id = DatumGetInt32(slot_getattr(slot, TASK_FUNCTION_ID, &isnull));
	ending->lane_id = DatumGetInt32(slot_getattr(slot, TASK_LANE_ID, &isnull));
	ending->chunk = get_chunk(slot, TASK_CHUNK);
	ending->changed_at = store_command_of(slot);
	ending->finished_at = NO_TIME;
}

/* The same of a row of those that have ended. */
static void
from_archive(TupleTableSlot *slot, Ending *ending)
{
	bool isnull;

	memset(ending, 0, sizeof(*ending));
	ending->state = (TaskState) DatumGetChar(slot_getattr(slot, ARCHIVE_STATE, &isnull));
	ending->execution_id = get_id(slot, ARCHIVE_EXECUTION_ID);
	ending->parent_id = get_id(slot, ARCHIVE_PARENT_ID);
	ending->function_id = DatumGetInt32(slot_getattr(slot, ARCHIVE_FUNCTION_ID, &isnull));
	ending->lane_id = DatumGetInt32(slot_getattr(slot, ARCHIVE_LANE_ID, &isnull));
	ending->chunk = get_chunk(slot, ARCHIVE_CHUNK);
	ending->changed_at = InvalidCommandId;
	ending->finished_at = DatumGetTimestamp(slot_getattr(slot, ARCHIVE_FINISHED_AT, &isnull));
	ending->result = get_json(slot, ARCHIVE_RESULT);
	ending->result_ref = get_id(slot, ARCHIVE_RESULT_REF);
	ending->error = get_json(slot, ARCHIVE_ERROR);
}

/* Look into one table of tasks by the active snapshot. */
static bool
find_in(Oid oid, bool live, int64 id, Ending *ending)
{
	Relation rel = table_open(oid, AccessShareLock);
	Oid pkey_oid = compat_primary_key_index(rel);
	Relation pkey;
	TupleTableSlot *slot;
	IndexScanDesc scan;
	ScanKeyData key;
	bool found;

	if (!OidIsValid(pkey_oid))
		elog(ERROR, "relation \"%s\" has no primary key", RelationGetRelationName(rel));
	pkey = index_open(pkey_oid, AccessShareLock);
	slot = table_slot_create(rel, NULL);
	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(id));
	scan = compat_index_beginscan(rel, pkey, GetActiveSnapshot(), 1);
	index_rescan(scan, &key, 1, NULL, 0);
	found = index_getnext_slot(scan, ForwardScanDirection, slot);
	if (found && live)
		from_live(slot, ending);
	else if (found)
		from_archive(slot, ending);
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	index_close(pkey, NoLock);
	table_close(rel, NoLock);
	return found;
}

/* Look by one snapshot into all places, with the partitions given. */
static bool
find(int64 id, List *leaves, Ending *ending)
{
	bool found;
	ListCell *cell;

	PushActiveSnapshot(GetLatestSnapshot());
	found = find_in(store_oid(STORE_TASK), true, id, ending) ||
			find_in(store_oid(STORE_DEAD_LETTER), false, id, ending) ||
			find_in(store_oid(STORE_ARCHIVE_KEPT), false, id, ending);
	foreach (cell, leaves)
	{
		if (found)
			break;
		found = find_in(lfirst_oid(cell), false, id, ending);
	}
	PopActiveSnapshot();
	return found;
}

/* Look everywhere, by the newest committed facts, whatever the isolation level. */
static void
find_anywhere(int64 id, Ending *ending)
{
	List *known = NIL;

	CommandCounterIncrement();
	while (!find(id, known, ending))
	{
		List *leaves = find_inheritance_children(store_relation_oid("archive"), AccessShareLock);

		CHECK_FOR_INTERRUPTS();
		/* it cannot have moved into a partition made since the last look */
		if (list_difference_oid(leaves, known) == NIL)
		{
			memset(ending, 0, sizeof(*ending));
			ending->state = TASK_NEW;
			ending->finished_at = NO_TIME;
			return;
		}
		known = leaves;
	}
}

/*
 * The state of a task by the newest committed facts; TASK_NEW if there is no such task
 * (any more). May wait for a transaction that is dropping a partition.
 */
TaskState
whereabouts(int64 id, Timestamp *finished_at)
{
	Ending ending;

	find_anywhere(id, &ending);
	*finished_at = ending.finished_at;
	return ending.state;
}

/*
 * The same with all that is to be known of its end, in the current memory context; by the
 * active snapshot if that shows it.
 */
void
ending_read(Store *store, int64 id, Ending *ending)
{
	StoreRel *live = store_table(store, STORE_TASK);
	StoreRel *leaf;

	if (store_find_id(live, GetActiveSnapshot(), id))
	{
		from_live(live->out, ending);
		ExecClearTuple(live->out);
		return;
	}
	leaf = archive_leaf(store, clock_now());
	if (leaf != NULL && store_find_id(leaf, GetActiveSnapshot(), id))
	{
		from_archive(leaf->out, ending);
		ExecClearTuple(leaf->out);
		return;
	}
	find_anywhere(id, ending);
}

/* The result of a task that has completed. */
Jsonb *
ending_result(Store *store, const Ending *ending)
{
	if (ending->result != NULL)
		return ending->result;
	if (ending->result_ref != NO_ID)
		return payload_get(store, ending->result_ref);
	return json_null();
}
