/*
 * step_row.c
 *	  The rows of stent.step: all of a task, the last one, writing one.
 *
 * Only the owner of a task writes its steps, so there is one writer. The key is (task,
 * position): a walk over it meets the steps in the order they came, and the last one of a
 * waiting task is what it waits for.
 */
#include "postgres.h"

#include "access/genam.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

#include "archive.h"
#include "compat.h"
#include "ending.h"
#include "fault.h"
#include "step_row.h"

enum StepColumn
{
	STEP_TASK_ID = 1,
	STEP_POSITION,
	STEP_NAME,
	STEP_KIND,
	STEP_FUNCTION_ID,
	STEP_ARGS_DIGEST,
	STEP_STATE,
	STEP_CHILD_ID,
	STEP_CREATED_AT,
	STEP_FINISHED_AT,
	STEP_RESULT,
	STEP_RESULT_REF,
	STEP_ERROR,
	STEP_NUMBER,
	STEP_MARK,
	STEP_WAKE_AT,
	STEP_DETAIL,
	STEP_COLUMNS = STEP_DETAIL
};

static const char *const kind_names[STEP_KINDS] = {
	[STEP_CALL] = "call",          [STEP_SPAWN] = "spawn",         [STEP_LOCAL] = "step",
	[STEP_AWAIT] = "await",        [STEP_AWAIT_ALL] = "await_all", [STEP_SLEEP] = "sleep",
	[STEP_SIGNAL] = "signal",      [STEP_RECORD] = "record",       [STEP_MAP] = "map",
	[STEP_MAP_QUERY] = "map_query"};

const char *
step_kind_name(StepKind kind)
{
	return kind_names[kind];
}

static StepKind
kind_of(TupleTableSlot *slot)
{
	bool isnull;
	text *name = DatumGetTextPP(slot_getattr(slot, STEP_KIND, &isnull));
	int len = (int) VARSIZE_ANY_EXHDR(name);

	for (int i = 0; i < STEP_KINDS; i++)
		if ((int) strlen(kind_names[i]) == len &&
			memcmp(kind_names[i], VARDATA_ANY(name), len) == 0)
			return (StepKind) i;
	elog(ERROR, "unknown kind of step \"%s\"", text_to_cstring(name));
}

static int64
get_int8(TupleTableSlot *slot, int column, int64 otherwise)
{
	bool isnull;
	Datum value = store_column(slot, column, &isnull);

	return isnull ? otherwise : DatumGetInt64(value);
}

static int32
get_int4(TupleTableSlot *slot, int column, int32 otherwise)
{
	bool isnull;
	Datum value = store_column(slot, column, &isnull);

	return isnull ? otherwise : DatumGetInt32(value);
}

static Jsonb *
get_json(TupleTableSlot *slot, int column)
{
	bool isnull;
	Datum value = store_column(slot, column, &isnull);

	return isnull ? NULL : DatumGetJsonbPCopy(value);
}

static uint64
get_digest(TupleTableSlot *slot)
{
	bool isnull;
	Datum value = slot_getattr(slot, STEP_ARGS_DIGEST, &isnull);
	uint64 digest = 0;
	bytea *bytes;

	if (isnull)
		return 0;
	bytes = DatumGetByteaPP(value);
	/* one of another length says nothing */
	if (VARSIZE_ANY_EXHDR(bytes) == sizeof(digest))
		memcpy(&digest, VARDATA_ANY(bytes), sizeof(digest));
	return digest;
}

static Step *
from_slot(TupleTableSlot *slot)
{
	Step *step = palloc0_object(Step);
	bool isnull;
	Datum name;

	slot_getallattrs(slot);
	step->position = DatumGetInt32(slot_getattr(slot, STEP_POSITION, &isnull));
	name = slot_getattr(slot, STEP_NAME, &isnull);
	step->name = isnull ? NULL : TextDatumGetCString(name);
	/* a row of before 0.5 is found by its position */
	step->number = get_int4(slot, STEP_NUMBER, step->name == NULL ? step->position : 1);
	step->kind = kind_of(slot);
	step->function_id = get_int4(slot, STEP_FUNCTION_ID, 0);
	step->digest = get_digest(slot);
	step->mark = get_int4(slot, STEP_MARK, 0);
	step->state = DatumGetChar(slot_getattr(slot, STEP_STATE, &isnull));
	step->child_id = get_int8(slot, STEP_CHILD_ID, NO_ID);
	step->created_at = DatumGetTimestamp(slot_getattr(slot, STEP_CREATED_AT, &isnull));
	step->finished_at = get_int8(slot, STEP_FINISHED_AT, NO_TIME);
	step->wake_at = get_int8(slot, STEP_WAKE_AT, NO_TIME);
	step->result = get_json(slot, STEP_RESULT);
	step->result_ref = get_int8(slot, STEP_RESULT_REF, NO_ID);
	step->error = get_json(slot, STEP_ERROR);
	step->detail = get_json(slot, STEP_DETAIL);
	step->stored = true;
	step->tid = slot->tts_tid;
	return step;
}

static IndexScanDesc
begin_scan(StoreRel *table, int64 task_id)
{
	IndexScanDesc scan = compat_index_beginscan(table->rel, table->pkey, GetActiveSnapshot(), 1);
	ScanKeyData key;

	ScanKeyInit(&key, STEP_TASK_ID, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(task_id));
	index_rescan(scan, &key, 1, NULL, 0);
	return scan;
}

/* All steps of the task, by position, in the memory of steps. */
void
step_rows_load(Store *store, Steps *steps)
{
	StoreRel *table = store_table(store, STORE_STEP);
	IndexScanDesc scan = begin_scan(table, steps->task->id);
	MemoryContext old = MemoryContextSwitchTo(steps->cxt);

	while (index_getnext_slot(scan, ForwardScanDirection, table->out))
	{
		if (steps->n == steps->max)
		{
			steps->max = Max(16, 2 * steps->max);
			steps->steps = steps->steps == NULL ? palloc_array(Step *, steps->max)
												: repalloc_array(steps->steps, Step *, steps->max);
		}
		steps->steps[steps->n++] = from_slot(table->out);
	}
	MemoryContextSwitchTo(old);
	index_endscan(scan);
	ExecClearTuple(table->out);
	if (steps->n > 0)
		steps->next_position = Max(steps->steps[steps->n - 1]->position, 0) + 1;
}

/* The last step of a task, or NULL. */
Step *
step_row_last(Store *store, int64 task_id)
{
	StoreRel *table = store_table(store, STORE_STEP);
	IndexScanDesc scan = begin_scan(table, task_id);
	Step *step = NULL;

	if (index_getnext_slot(scan, BackwardScanDirection, table->out))
		step = from_slot(table->out);
	index_endscan(scan);
	ExecClearTuple(table->out);
	return step;
}

static bytea *
digest_bytes(uint64 digest)
{
	bytea *bytes = palloc(VARHDRSZ + sizeof(digest));

	SET_VARSIZE(bytes, VARHDRSZ + sizeof(digest));
	memcpy(VARDATA(bytes), &digest, sizeof(digest));
	return bytes;
}

/* Write a step as it is in memory; a large result is stored once and referenced. */
void
step_row_write(Store *store, Steps *steps, Step *step)
{
	StoreRel *table = store_table(store, STORE_STEP);
	Datum values[STEP_COLUMNS];
	bool nulls[STEP_COLUMNS];
	Jsonb *inline_result = step->result;

	if (step->result_ref != NO_ID)
		inline_result = NULL;
	else
		payload_place(store, &inline_result, &step->result_ref);
	memset(nulls, true, sizeof(nulls));
#define PUT(column, value, isnull) (values[(column) -1] = (value), nulls[(column) -1] = (isnull))
	PUT(STEP_TASK_ID, Int64GetDatum(steps->task->id), false);
	PUT(STEP_POSITION, Int32GetDatum(step->position), false);
	PUT(STEP_NAME, step->name ? CStringGetTextDatum(step->name) : (Datum) 0, step->name == NULL);
	PUT(STEP_KIND, CStringGetTextDatum(kind_names[step->kind]), false);
	PUT(STEP_FUNCTION_ID, Int32GetDatum(step->function_id), step->function_id == 0);
	PUT(STEP_ARGS_DIGEST, PointerGetDatum(digest_bytes(step->digest)), step->digest == 0);
	PUT(STEP_STATE, CharGetDatum(step->state), false);
	PUT(STEP_CHILD_ID, Int64GetDatum(step->child_id), step->child_id == NO_ID);
	PUT(STEP_CREATED_AT, TimestampGetDatum(step->created_at), false);
	PUT(STEP_FINISHED_AT, TimestampGetDatum(step->finished_at), step->finished_at == NO_TIME);
	PUT(STEP_RESULT, JsonbPGetDatum(inline_result), inline_result == NULL);
	PUT(STEP_RESULT_REF, Int64GetDatum(step->result_ref), step->result_ref == NO_ID);
	PUT(STEP_ERROR, JsonbPGetDatum(step->error), step->error == NULL);
	PUT(STEP_NUMBER, Int32GetDatum(step->number), false);
	PUT(STEP_MARK, Int32GetDatum(step->mark), false);
	PUT(STEP_WAKE_AT, TimestampGetDatum(step->wake_at), step->wake_at == NO_TIME);
	PUT(STEP_DETAIL, JsonbPGetDatum(step->detail), step->detail == NULL);
#undef PUT
	if (step->stored)
		step->tid = store_update(store, table, &step->tid, values, nulls);
	else
		step->tid = store_insert(store, table, values, nulls);
	step->stored = true;
	step->dirty = false;
	STENT_FAULT("step_written");
}

/* Whether the value that a step refers to is no child's. */
static bool
owns_result(Store *store, int64 child_id, int64 ref)
{
	Ending ending;

	if (ref == NO_ID || child_id == NO_ID)
		return ref != NO_ID;
	ending_read(store, child_id, &ending);
	return ending.result_ref != ref;
}

/* The task begins anew, with other steps. */
void
step_rows_delete(Store *store, int64 task_id)
{
	StoreRel *table = store_table(store, STORE_STEP);
	IndexScanDesc scan = begin_scan(table, task_id);

	while (index_getnext_slot(scan, ForwardScanDirection, table->out))
	{
		int64 ref = get_int8(table->out, STEP_RESULT_REF, NO_ID);
		int64 child_id = get_int8(table->out, STEP_CHILD_ID, NO_ID);

		store_delete_found(table);
		if (owns_result(store, child_id, ref))
			payload_delete(store, ref);
	}
	index_endscan(scan);
	ExecClearTuple(table->out);
}
