/*
 * map_gather.c
 *	  All results of a map as one array, in the order of the items.
 *
 * They are read from the chunks, and what was replayed since from its task. Nothing is
 * stored a second time.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "chunk.h"
#include "ending.h"
#include "errors.h"
#include "json.h"
#include "json_array.h"
#include "map.h"

typedef struct MapGather
{
	Store *store;
	MapRow map;
	JsonArray results;
	/* failed items, a page of them */
	MemoryContext page_cxt;
	ItemRow rows[MAP_PAGE];
	int n_rows;
	int next_row;
	bool no_more;
} MapGather;

/* The failed item with this number, if it is one. Numbers come in order. */
static const ItemRow *
failed_item(MapGather *gather, int64 number)
{
	while (!gather->no_more)
	{
		if (gather->next_row == gather->n_rows)
		{
			MemoryContext old;

			MemoryContextReset(gather->page_cxt);
			old = MemoryContextSwitchTo(gather->page_cxt);
			gather->n_rows =
				item_row_page(gather->store, gather->map.id, number, gather->rows, MAP_PAGE);
			MemoryContextSwitchTo(old);
			gather->next_row = 0;
			gather->no_more = gather->n_rows == 0;
			continue;
		}
		if (gather->rows[gather->next_row].number > number)
			return NULL;
		if (gather->rows[gather->next_row++].number == number)
			return &gather->rows[gather->next_row - 1];
	}
	return NULL;
}

/* With collect: an object that says what the element is. */
static void
add_as(MapGather *gather, const char *key, Jsonb *value)
{
	JsonbParseState *state = NULL;
	JsonbValue name;
	JsonbValue element;

	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	name.type = jbvString;
	name.val.string.val = unconstify(char *, key);
	name.val.string.len = strlen(key);
	(void) pushJsonbValue(&state, WJB_KEY, &name);
	if (JB_ROOT_IS_SCALAR(value))
		element = *getIthJsonbValueFromContainer(&value->root, 0);
	else
	{
		element.type = jbvBinary;
		element.val.binary.data = &value->root;
		element.val.binary.len = VARSIZE(value) - VARHDRSZ;
	}
	(void) pushJsonbValue(&state, WJB_VALUE, &element);
	json_array_add_value(&gather->results,
						 JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}

static void
add_result(MapGather *gather, const JsonElement *element)
{
	if (gather->map.collect)
		add_as(gather, "result", json_element_value(element));
	else
		json_array_add(&gather->results, element);
}

/*
 * An item that failed, at first. What was replayed after the map had ended changes nothing: a
 * step returns the same each time.
 */
static void
add_failed(MapGather *gather, const ItemRow *row)
{
	JsonElement element;
	Ending ending;

	if (!row->replaced)
	{
		add_as(gather, "error", row->error);
		return;
	}
	ending_read(gather->store, row->task_id, &ending);
	if (ending.state != TASK_COMPLETED)
		elog(ERROR, "task " INT64_FORMAT " has no result any more", row->task_id);
	json_element_of(ending_result(gather->store, &ending), &element);
	add_result(gather, &element);
}

/* The items of a chunk. */
static void
add_chunk(MapGather *gather, const ChunkRow *row)
{
	static const JsonElement null = {JENTRY_ISNULL, NULL, 0};
	Jsonb *results = chunk_row_results(gather->store, row);
	JsonElements walk;

	if (results != NULL)
		json_elements_begin(&walk, results);
	for (int place = 0; place < row->items; place++)
	{
		const ItemRow *failed = failed_item(gather, row->first_item + place);
		JsonElement element = null;

		if (results != NULL)
			(void) json_elements_next(&walk, &element);
		if (failed != NULL)
			add_failed(gather, failed);
		else
			add_result(gather, &element);
	}
}

Jsonb *
map_gather(Store *store, int64 map_id)
{
	MemoryContext outer = CurrentMemoryContext;
	MemoryContext cxt = AllocSetContextCreate(outer, "stent map results", ALLOCSET_DEFAULT_SIZES);
	MapGather *gather = palloc0_object(MapGather);
	Jsonb *all;

	gather->store = store;
	gather->page_cxt = AllocSetContextCreate(outer, "stent failed items", ALLOCSET_DEFAULT_SIZES);
	json_array_begin(&gather->results);
	if (!map_row_find(store, map_id, &gather->map))
		ereport(ERROR, (errcode(ERRCODE_NO_DATA_FOUND),
						errmsg("the results of map " INT64_FORMAT " are gone", map_id),
						errhint("Retention has removed them.")));
	for (int number = 0; number < gather->map.chunks; number++)
	{
		ChunkRow row;

		CHECK_FOR_INTERRUPTS();
		MemoryContextSwitchTo(cxt);
		if (!chunk_row_find(store, map_id, number, &row))
			elog(ERROR, "chunk %d of map " INT64_FORMAT " is missing", number, map_id);
		add_chunk(gather, &row);
		MemoryContextSwitchTo(outer);
		MemoryContextReset(cxt);
	}
	MemoryContextDelete(cxt);
	MemoryContextDelete(gather->page_cxt);
	all = json_array_finish(&gather->results);
	pfree(gather->results.entries);
	pfree(gather->results.data.data);
	pfree(gather);
	return all;
}
