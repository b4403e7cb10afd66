/*
 * task.c
 *	  A task between its row and memory.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "task.h"

static Timestamp
get_time(TupleTableSlot *slot, int column)
{
	bool isnull;
	Datum value = slot_getattr(slot, column, &isnull);

	return isnull ? NO_TIME : DatumGetTimestamp(value);
}

static int64
get_id(TupleTableSlot *slot, int column)
{
	bool isnull;
	Datum value = slot_getattr(slot, column, &isnull);

	return isnull ? NO_ID : DatumGetInt64(value);
}

static int
get_small(TupleTableSlot *slot, int column)
{
	bool isnull;

	return DatumGetInt16(slot_getattr(slot, column, &isnull));
}

static Jsonb *
get_json(TupleTableSlot *slot, int column)
{
	bool isnull;
	Datum value = slot_getattr(slot, column, &isnull);

	return isnull ? NULL : DatumGetJsonbPCopy(value);
}

static Interval *
get_interval(TupleTableSlot *slot, int column)
{
	bool isnull;
	Datum value = slot_getattr(slot, column, &isnull);
	Interval *copy;

	if (isnull)
		return NULL;
	copy = palloc_object(Interval);
	*copy = *DatumGetIntervalP(value);
	return copy;
}

static int
get_chunk(TupleTableSlot *slot, int column)
{
	bool isnull;
	Datum value = store_column(slot, column, &isnull);

	return isnull ? NO_CHUNK : DatumGetInt32(value);
}

static char *
get_text(TupleTableSlot *slot, int column)
{
	bool isnull;
	Datum value = store_column(slot, column, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

/* A live row. The slot is still needed for its pin only; all values are copies. */
Task *
task_from_slot(TupleTableSlot *slot)
{
	Task *task = palloc0_object(Task);
	bool isnull;

	slot_getallattrs(slot);
	task->id = get_id(slot, TASK_ID);
	task->execution_id = get_id(slot, TASK_EXECUTION_ID);
	task->created_at = get_time(slot, TASK_CREATED_AT);
	task->function_id = DatumGetInt32(slot_getattr(slot, TASK_FUNCTION_ID, &isnull));
	task->lane_id = DatumGetInt32(slot_getattr(slot, TASK_LANE_ID, &isnull));
	task->policy_id = DatumGetInt32(slot_getattr(slot, TASK_POLICY_ID, &isnull));
	task->attempt = get_small(slot, TASK_ATTEMPT);
	task->replays = get_small(slot, TASK_REPLAYS);
	task->lost = get_small(slot, TASK_LOST);
	task->crashed = get_small(slot, TASK_CRASHED);
	task->priority = get_small(slot, TASK_PRIORITY);
	task->state = (TaskState) DatumGetChar(slot_getattr(slot, TASK_STATE, &isnull));
	task->parent_id = get_id(slot, TASK_PARENT_ID);
	task->due_at = get_time(slot, TASK_DUE_AT);
	task->deadline = get_time(slot, TASK_DEADLINE);
	task->position = get_id(slot, TASK_POSITION);
	task->timeout = get_interval(slot, TASK_TIMEOUT);
	task->args = get_json(slot, TASK_ARGS);
	task->args_ref = get_id(slot, TASK_ARGS_REF);
	task->headers = get_json(slot, TASK_HEADERS);
	task->dedup_key = get_text(slot, TASK_DEDUP_KEY);
	task->concurrency_key = get_text(slot, TASK_CONCURRENCY_KEY);
	task->chunk = get_chunk(slot, TASK_CHUNK);
	task->started_at = task->finished_at = NO_TIME;
	task->tid = slot->tts_tid;
	return task;
}

/* A row of the dead letters (or the archive, which has the same shape). */
Task *
task_from_dead_letter(TupleTableSlot *slot)
{
	Task *task = palloc0_object(Task);
	bool isnull;

	slot_getallattrs(slot);
	task->id = get_id(slot, ARCHIVE_ID);
	task->execution_id = get_id(slot, ARCHIVE_EXECUTION_ID);
	task->created_at = get_time(slot, ARCHIVE_CREATED_AT);
	task->finished_at = get_time(slot, ARCHIVE_FINISHED_AT);
	task->function_id = DatumGetInt32(slot_getattr(slot, ARCHIVE_FUNCTION_ID, &isnull));
	task->lane_id = DatumGetInt32(slot_getattr(slot, ARCHIVE_LANE_ID, &isnull));
	task->policy_id = DatumGetInt32(slot_getattr(slot, ARCHIVE_POLICY_ID, &isnull));
	task->attempt = get_small(slot, ARCHIVE_ATTEMPT);
	task->replays = get_small(slot, ARCHIVE_REPLAYS);
	task->lost = get_small(slot, ARCHIVE_LOST);
	task->crashed = get_small(slot, ARCHIVE_CRASHED);
	task->priority = get_small(slot, ARCHIVE_PRIORITY);
	task->state = (TaskState) DatumGetChar(slot_getattr(slot, ARCHIVE_STATE, &isnull));
	task->parent_id = get_id(slot, ARCHIVE_PARENT_ID);
	task->due_at = get_time(slot, ARCHIVE_DUE_AT);
	task->started_at = get_time(slot, ARCHIVE_STARTED_AT);
	task->deadline = get_time(slot, ARCHIVE_DEADLINE);
	task->timeout = get_interval(slot, ARCHIVE_TIMEOUT);
	task->args = get_json(slot, ARCHIVE_ARGS);
	task->args_ref = get_id(slot, ARCHIVE_ARGS_REF);
	task->headers = get_json(slot, ARCHIVE_HEADERS);
	task->dedup_key = get_text(slot, ARCHIVE_DEDUP_KEY);
	task->result = get_json(slot, ARCHIVE_RESULT);
	task->result_ref = get_id(slot, ARCHIVE_RESULT_REF);
	task->error = get_json(slot, ARCHIVE_ERROR);
	task->concurrency_key = get_text(slot, ARCHIVE_CONCURRENCY_KEY);
	task->chunk = get_chunk(slot, ARCHIVE_CHUNK);
	task->tid = slot->tts_tid;
	return task;
}

static void
put(Datum *values, bool *nulls, int column, Datum value, bool isnull)
{
	values[column - 1] = value;
	nulls[column - 1] = isnull;
}

void
task_live_values(const Task *task, Datum *values, bool *nulls)
{
	put(values, nulls, TASK_ID, Int64GetDatum(task->id), false);
	put(values, nulls, TASK_EXECUTION_ID, Int64GetDatum(task->execution_id), false);
	put(values, nulls, TASK_CREATED_AT, TimestampGetDatum(task->created_at), false);
	put(values, nulls, TASK_FUNCTION_ID, Int32GetDatum(task->function_id), false);
	put(values, nulls, TASK_LANE_ID, Int32GetDatum(task->lane_id), false);
	put(values, nulls, TASK_POLICY_ID, Int32GetDatum(task->policy_id), false);
	put(values, nulls, TASK_ATTEMPT, Int16GetDatum(task->attempt), false);
	put(values, nulls, TASK_REPLAYS, Int16GetDatum(task->replays), false);
	put(values, nulls, TASK_LOST, Int16GetDatum(task->lost), false);
	put(values, nulls, TASK_CRASHED, Int16GetDatum(task->crashed), false);
	put(values, nulls, TASK_PRIORITY, Int16GetDatum(task->priority), false);
	put(values, nulls, TASK_STATE, CharGetDatum((char) task->state), false);
	put(values, nulls, TASK_PARENT_ID, Int64GetDatum(task->parent_id), task->parent_id == NO_ID);
	put(values, nulls, TASK_DUE_AT, TimestampGetDatum(task->due_at), task->due_at == NO_TIME);
	put(values, nulls, TASK_DEADLINE, TimestampGetDatum(task->deadline), task->deadline == NO_TIME);
	put(values, nulls, TASK_POSITION, Int64GetDatum(task->position), task->position == NO_ID);
	put(values, nulls, TASK_TIMEOUT, IntervalPGetDatum(task->timeout), task->timeout == NULL);
	put(values, nulls, TASK_ARGS, JsonbPGetDatum(task->args), task->args == NULL);
	put(values, nulls, TASK_ARGS_REF, Int64GetDatum(task->args_ref), task->args_ref == NO_ID);
	put(values, nulls, TASK_HEADERS, JsonbPGetDatum(task->headers), task->headers == NULL);
	put(values, nulls, TASK_DEDUP_KEY,
		task->dedup_key ? CStringGetTextDatum(task->dedup_key) : (Datum) 0,
		task->dedup_key == NULL);
	put(values, nulls, TASK_CONCURRENCY_KEY,
		task->concurrency_key ? CStringGetTextDatum(task->concurrency_key) : (Datum) 0,
		task->concurrency_key == NULL);
	put(values, nulls, TASK_CHUNK, Int32GetDatum(task->chunk), task->chunk == NO_CHUNK);
}

void
task_archive_values(const Task *task, Datum *values, bool *nulls)
{
	put(values, nulls, ARCHIVE_ID, Int64GetDatum(task->id), false);
	put(values, nulls, ARCHIVE_EXECUTION_ID, Int64GetDatum(task->execution_id), false);
	put(values, nulls, ARCHIVE_CREATED_AT, TimestampGetDatum(task->created_at), false);
	put(values, nulls, ARCHIVE_FINISHED_AT, TimestampGetDatum(task->finished_at), false);
	put(values, nulls, ARCHIVE_FUNCTION_ID, Int32GetDatum(task->function_id), false);
	put(values, nulls, ARCHIVE_LANE_ID, Int32GetDatum(task->lane_id), false);
	put(values, nulls, ARCHIVE_POLICY_ID, Int32GetDatum(task->policy_id), false);
	put(values, nulls, ARCHIVE_ATTEMPT, Int16GetDatum(task->attempt), false);
	put(values, nulls, ARCHIVE_REPLAYS, Int16GetDatum(task->replays), false);
	put(values, nulls, ARCHIVE_LOST, Int16GetDatum(task->lost), false);
	put(values, nulls, ARCHIVE_CRASHED, Int16GetDatum(task->crashed), false);
	put(values, nulls, ARCHIVE_PRIORITY, Int16GetDatum(task->priority), false);
	put(values, nulls, ARCHIVE_STATE, CharGetDatum((char) task->state), false);
	put(values, nulls, ARCHIVE_PARENT_ID, Int64GetDatum(task->parent_id), task->parent_id == NO_ID);
	put(values, nulls, ARCHIVE_DUE_AT, TimestampGetDatum(task->due_at), task->due_at == NO_TIME);
	put(values, nulls, ARCHIVE_STARTED_AT, TimestampGetDatum(task->started_at),
		task->started_at == NO_TIME);
	put(values, nulls, ARCHIVE_DEADLINE, TimestampGetDatum(task->deadline),
		task->deadline == NO_TIME);
	put(values, nulls, ARCHIVE_TIMEOUT, IntervalPGetDatum(task->timeout), task->timeout == NULL);
	put(values, nulls, ARCHIVE_ARGS, JsonbPGetDatum(task->args), task->args == NULL);
	put(values, nulls, ARCHIVE_ARGS_REF, Int64GetDatum(task->args_ref), task->args_ref == NO_ID);
	put(values, nulls, ARCHIVE_HEADERS, JsonbPGetDatum(task->headers), task->headers == NULL);
	put(values, nulls, ARCHIVE_DEDUP_KEY,
		task->dedup_key ? CStringGetTextDatum(task->dedup_key) : (Datum) 0,
		task->dedup_key == NULL);
	put(values, nulls, ARCHIVE_CONCURRENCY_KEY,
		task->concurrency_key ? CStringGetTextDatum(task->concurrency_key) : (Datum) 0,
		task->concurrency_key == NULL);
	put(values, nulls, ARCHIVE_CHUNK, Int32GetDatum(task->chunk), task->chunk == NO_CHUNK);
	put(values, nulls, ARCHIVE_RESULT, JsonbPGetDatum(task->result), task->result == NULL);
	put(values, nulls, ARCHIVE_RESULT_REF, Int64GetDatum(task->result_ref),
		task->result_ref == NO_ID);
	put(values, nulls, ARCHIVE_ERROR, JsonbPGetDatum(task->error), task->error == NULL);
}

/*
 * The live row of a task whose entry the caller has taken. Nobody else may
 * change such a row, so the newest committed version is the one to read.
 */
Task *
task_find_live(Store *store, int64 id)
{
	StoreRel *table = store_table(store, STORE_TASK);
	Task *task;

	if (!store_find_id(table, GetActiveSnapshot(), id))
		return NULL;
	task = task_from_slot(table->out);
	ExecClearTuple(table->out);
	return task;
}

static bool
find_at(StoreRel *table, int64 id, ItemPointer hint)
{
	if (ItemPointerIsValid(hint) && store_has_block(table, hint) &&
		table_tuple_fetch_row_version(table->rel, hint, GetActiveSnapshot(), table->out) &&
		get_id(table->out, TASK_ID) == id)
		return true;
	ExecClearTuple(table->out);
	return store_find_id(table, GetActiveSnapshot(), id);
}

/* The same where the row probably is at hint, which a restore may have made wrong. */
Task *
task_find_live_at(Store *store, int64 id, ItemPointer hint)
{
	StoreRel *table = store_table(store, STORE_TASK);
	Task *task;

	if (!find_at(table, id, hint))
		return NULL;
	task = task_from_slot(table->out);
	ExecClearTuple(table->out);
	return task;
}

/* The execution of a live task; NO_ID: there is no such task. */
int64
task_execution_at(Store *store, int64 id, ItemPointer hint)
{
	StoreRel *table = store_table(store, STORE_TASK);
	int64 execution_id = NO_ID;

	if (find_at(table, id, hint))
		execution_id = get_id(table->out, TASK_EXECUTION_ID);
	ExecClearTuple(table->out);
	return execution_id;
}

int64
task_position(const Task *task)
{
	return task->position != NO_ID ? task->position : task->id;
}
