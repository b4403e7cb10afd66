/*
 * map_row.c
 *	  Rows of maps, their chunks, and their failed items.
 *
 * A map's row belongs to whoever has taken the entry of its task, a chunk's to whoever
 * has taken that of the chunk's task; before there is one, to the map's. So none is
 * ever waited for. Values found here are copies.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

#include "archive.h"
#include "compat.h"
#include "map_row.h"

enum MapColumn
{
	MAP_ID = 1,
	MAP_EXECUTION_ID,
	MAP_ITEMS,
	MAP_CHUNKS,
	MAP_STARTED,
	MAP_CHUNK_SIZE,
	MAP_LIMIT,
	MAP_COLLECT,
	MAP_STAR,
	MAP_AT_ONCE,
	MAP_PEAK,
	MAP_LANE_ID,
	MAP_COLUMNS = MAP_LANE_ID
};

enum ChunkColumn
{
	CHUNK_MAP_ID = 1,
	CHUNK_NUMBER,
	CHUNK_FIRST_ITEM,
	CHUNK_ITEMS,
	CHUNK_TASK_ID,
	CHUNK_ATTEMPT,
	CHUNK_COMPLETED,
	CHUNK_FAILED,
	CHUNK_HITS,
	CHUNK_STARTED_AT,
	CHUNK_FINISHED_AT,
	CHUNK_OPEN,
	CHUNK_ARGS,
	CHUNK_ARGS_REF,
	CHUNK_RESULTS,
	CHUNK_RESULTS_REF,
	CHUNK_COLUMNS = CHUNK_RESULTS_REF
};

enum ItemColumn
{
	ITEM_MAP_ID = 1,
	ITEM_NUMBER,
	ITEM_ATTEMPT,
	ITEM_TASK_ID,
	ITEM_ERROR,
	ITEM_REPLACED,
	ITEM_COLUMNS = ITEM_REPLACED
};

static int64
get_long(TupleTableSlot *slot, int column)
{
	bool isnull;
	Datum value = slot_getattr(slot, column, &isnull);

	return isnull ? 0 : DatumGetInt64(value);
}

static int
get_int(TupleTableSlot *slot, int column)
{
	bool isnull;

	return DatumGetInt32(slot_getattr(slot, column, &isnull));
}

static bool
get_bool(TupleTableSlot *slot, int column)
{
	bool isnull;

	return DatumGetBool(slot_getattr(slot, column, &isnull));
}

static Timestamp
get_time(TupleTableSlot *slot, int column)
{
	bool isnull;
	Datum value = slot_getattr(slot, column, &isnull);

	return isnull ? NO_TIME : DatumGetTimestamp(value);
}

static Jsonb *
get_json(TupleTableSlot *slot, int column)
{
	bool isnull;
	Datum value = slot_getattr(slot, column, &isnull);

	return isnull ? NULL : DatumGetJsonbPCopy(value);
}

bool
map_row_find(Store *store, int64 id, MapRow *row)
{
	StoreRel *table = store_table(store, STORE_MAP);
	TupleTableSlot *slot = table->out;

	if (!store_find_id(table, GetActiveSnapshot(), id))
		return false;
	row->id = id;
	row->execution_id = get_long(slot, MAP_EXECUTION_ID);
	row->items = get_long(slot, MAP_ITEMS);
	row->chunks = get_int(slot, MAP_CHUNKS);
	row->started = get_int(slot, MAP_STARTED);
	row->chunk_size = get_int(slot, MAP_CHUNK_SIZE);
	row->limit = get_int(slot, MAP_LIMIT);
	row->collect = get_bool(slot, MAP_COLLECT);
	row->star = get_bool(slot, MAP_STAR);
	row->at_once = get_bool(slot, MAP_AT_ONCE);
	row->peak = get_int(slot, MAP_PEAK);
	row->lane_id = get_int(slot, MAP_LANE_ID);
	row->tid = slot->tts_tid;
	ExecClearTuple(slot);
	return true;
}

static void
map_row_values(const MapRow *row, Datum *values)
{
	values[MAP_ID - 1] = Int64GetDatum(row->id);
	values[MAP_EXECUTION_ID - 1] = Int64GetDatum(row->execution_id);
	values[MAP_ITEMS - 1] = Int64GetDatum(row->items);
	values[MAP_CHUNKS - 1] = Int32GetDatum(row->chunks);
	values[MAP_STARTED - 1] = Int32GetDatum(row->started);
	values[MAP_CHUNK_SIZE - 1] = Int32GetDatum(row->chunk_size);
	values[MAP_LIMIT - 1] = Int32GetDatum(row->limit);
	values[MAP_COLLECT - 1] = BoolGetDatum(row->collect);
	values[MAP_STAR - 1] = BoolGetDatum(row->star);
	values[MAP_AT_ONCE - 1] = BoolGetDatum(row->at_once);
	values[MAP_PEAK - 1] = Int32GetDatum(row->peak);
	values[MAP_LANE_ID - 1] = Int32GetDatum(row->lane_id);
}

void
map_row_insert(Store *store, MapRow *row)
{
	Datum values[MAP_COLUMNS];
	bool nulls[MAP_COLUMNS] = {0};

	map_row_values(row, values);
	row->tid = store_insert(store, store_table(store, STORE_MAP), values, nulls);
}

void
map_row_update(Store *store, MapRow *row)
{
	Datum values[MAP_COLUMNS];
	bool nulls[MAP_COLUMNS] = {0};

	map_row_values(row, values);
	row->tid = store_update(store, store_table(store, STORE_MAP), &row->tid, values, nulls);
}

static void
get_open(TupleTableSlot *slot, ChunkRow *row)
{
	bool isnull;
	Datum value = slot_getattr(slot, CHUNK_OPEN, &isnull);
	ArrayType *array;

	row->n_open = -1;
	row->open = NULL;
	if (isnull)
		return;
	array = DatumGetArrayTypePCopy(value);
	row->n_open = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	row->open = (int32 *) ARR_DATA_PTR(array);
}

static bool
find_chunk(StoreRel *table, int64 map_id, int number, ChunkRow *row, bool whole)
{
	TupleTableSlot *slot = table->out;
	ScanKeyData keys[2];

	ScanKeyInit(&keys[0], CHUNK_MAP_ID, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(map_id));
	ScanKeyInit(&keys[1], CHUNK_NUMBER, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(number));
	if (!store_find(table, GetActiveSnapshot(), keys, 2))
		return false;
	row->map_id = map_id;
	row->number = number;
	row->first_item = get_long(slot, CHUNK_FIRST_ITEM);
	row->items = get_int(slot, CHUNK_ITEMS);
	row->task_id = get_long(slot, CHUNK_TASK_ID);
	row->attempt = (int16) get_int(slot, CHUNK_ATTEMPT);
	row->completed = get_int(slot, CHUNK_COMPLETED);
	row->failed = get_int(slot, CHUNK_FAILED);
	row->hits = get_int(slot, CHUNK_HITS);
	row->started_at = get_time(slot, CHUNK_STARTED_AT);
	row->finished_at = get_time(slot, CHUNK_FINISHED_AT);
	get_open(slot, row);
	row->args = whole ? get_json(slot, CHUNK_ARGS) : NULL;
	row->args_ref = get_long(slot, CHUNK_ARGS_REF);
	row->results = whole ? get_json(slot, CHUNK_RESULTS) : NULL;
	row->results_ref = get_long(slot, CHUNK_RESULTS_REF);
	row->tid = slot->tts_tid;
	ExecClearTuple(slot);
	return true;
}

/* The row without what is long: items and results. */
bool
chunk_row_find_brief(Store *store, int64 map_id, int number, ChunkRow *row)
{
	return find_chunk(store_table(store, STORE_CHUNK), map_id, number, row, false);
}

bool
chunk_row_find(Store *store, int64 map_id, int number, ChunkRow *row)
{
	return find_chunk(store_table(store, STORE_CHUNK), map_id, number, row, true);
}

static void
chunk_row_values(const ChunkRow *row, Datum *values, bool *nulls)
{
	memset(nulls, 0, CHUNK_COLUMNS * sizeof(bool));
	values[CHUNK_MAP_ID - 1] = Int64GetDatum(row->map_id);
	values[CHUNK_NUMBER - 1] = Int32GetDatum(row->number);
	values[CHUNK_FIRST_ITEM - 1] = Int64GetDatum(row->first_item);
	values[CHUNK_ITEMS - 1] = Int32GetDatum(row->items);
	values[CHUNK_TASK_ID - 1] = Int64GetDatum(row->task_id);
	values[CHUNK_ATTEMPT - 1] = Int16GetDatum(row->attempt);
	values[CHUNK_COMPLETED - 1] = Int32GetDatum(row->completed);
	values[CHUNK_FAILED - 1] = Int32GetDatum(row->failed);
	values[CHUNK_HITS - 1] = Int32GetDatum(row->hits);
	values[CHUNK_STARTED_AT - 1] = TimestampGetDatum(row->started_at);
	nulls[CHUNK_STARTED_AT - 1] = row->started_at == NO_TIME;
	values[CHUNK_FINISHED_AT - 1] = TimestampGetDatum(row->finished_at);
	nulls[CHUNK_FINISHED_AT - 1] = row->finished_at == NO_TIME;
	values[CHUNK_OPEN - 1] = (Datum) 0;
	nulls[CHUNK_OPEN - 1] = row->n_open < 0 || row->finished_at != NO_TIME;
	if (!nulls[CHUNK_OPEN - 1])
	{
		Datum *places = palloc_array(Datum, Max(row->n_open, 1));

		for (int i = 0; i < row->n_open; i++)
			places[i] = Int32GetDatum(row->open[i]);
		values[CHUNK_OPEN - 1] = PointerGetDatum(
			construct_array(places, row->n_open, INT4OID, sizeof(int32), true, TYPALIGN_INT));
	}
	values[CHUNK_ARGS - 1] = JsonbPGetDatum(row->args);
	nulls[CHUNK_ARGS - 1] = row->args == NULL;
	values[CHUNK_ARGS_REF - 1] = Int64GetDatum(row->args_ref);
	nulls[CHUNK_ARGS_REF - 1] = row->args_ref == NO_ID;
	values[CHUNK_RESULTS - 1] = JsonbPGetDatum(row->results);
	nulls[CHUNK_RESULTS - 1] = row->results == NULL;
	values[CHUNK_RESULTS_REF - 1] = Int64GetDatum(row->results_ref);
	nulls[CHUNK_RESULTS_REF - 1] = row->results_ref == NO_ID;
}

void
chunk_row_insert(Store *store, ChunkRow *row)
{
	Datum values[CHUNK_COLUMNS];
	bool nulls[CHUNK_COLUMNS];

	chunk_row_values(row, values, nulls);
	row->tid = store_insert(store, store_table(store, STORE_CHUNK), values, nulls);
}

void
chunk_row_update(Store *store, ChunkRow *row)
{
	Datum values[CHUNK_COLUMNS];
	bool nulls[CHUNK_COLUMNS];

	chunk_row_values(row, values, nulls);
	row->tid = store_update(store, store_table(store, STORE_CHUNK), &row->tid, values, nulls);
}

/* The items, wherever they are kept. */
Jsonb *
chunk_row_args(Store *store, const ChunkRow *row)
{
	return row->args_ref != NO_ID ? payload_get(store, row->args_ref) : row->args;
}

/* The results so far; NULL: none yet. */
Jsonb *
chunk_row_results(Store *store, const ChunkRow *row)
{
	return row->results_ref != NO_ID ? payload_get(store, row->results_ref) : row->results;
}

static void
item_row_values(const ItemRow *row, Datum *values)
{
	values[ITEM_MAP_ID - 1] = Int64GetDatum(row->map_id);
	values[ITEM_NUMBER - 1] = Int64GetDatum(row->number);
	values[ITEM_ATTEMPT - 1] = Int16GetDatum(row->attempt);
	values[ITEM_TASK_ID - 1] = Int64GetDatum(row->task_id);
	values[ITEM_ERROR - 1] = JsonbPGetDatum(row->error);
	values[ITEM_REPLACED - 1] = BoolGetDatum(row->replaced);
}

void
item_row_insert(Store *store, const ItemRow *row)
{
	Datum values[ITEM_COLUMNS];
	bool nulls[ITEM_COLUMNS] = {0};

	item_row_values(row, values);
	(void) store_insert(store, store_table(store, STORE_ITEM), values, nulls);
}

/* The map ends with another result, or another error, in the place of what failed. */
void
item_row_update(Store *store, ItemRow *row, bool replaced)
{
	Datum values[ITEM_COLUMNS];
	bool nulls[ITEM_COLUMNS] = {0};

	row->replaced = replaced;
	item_row_values(row, values);
	row->tid = store_update(store, store_table(store, STORE_ITEM), &row->tid, values, nulls);
}

/* Up to max items of a map that failed for good, in order, from a number on. */
int
item_row_page(Store *store, int64 map_id, int64 from, ItemRow *rows, int max)
{
	StoreRel *table = store_table(store, STORE_ITEM);
	IndexScanDesc scan = compat_index_beginscan(table->rel, table->pkey, GetActiveSnapshot(), 2);
	ScanKeyData keys[2];
	int n = 0;

	ScanKeyInit(&keys[0], ITEM_MAP_ID, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(map_id));
	ScanKeyInit(&keys[1], ITEM_NUMBER, BTGreaterEqualStrategyNumber, F_INT8GE, Int64GetDatum(from));
	index_rescan(scan, keys, 2, NULL, 0);
	while (n < max && index_getnext_slot(scan, ForwardScanDirection, table->out))
	{
		ItemRow *row = &rows[n++];

		row->map_id = map_id;
		row->number = get_long(table->out, ITEM_NUMBER);
		row->attempt = (int16) get_int(table->out, ITEM_ATTEMPT);
		row->task_id = get_long(table->out, ITEM_TASK_ID);
		row->error = get_json(table->out, ITEM_ERROR);
		row->replaced = get_bool(table->out, ITEM_REPLACED);
		row->tid = table->out->tts_tid;
	}
	index_endscan(scan);
	ExecClearTuple(table->out);
	return n;
}
