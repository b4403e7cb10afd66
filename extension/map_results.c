/*
 * map_results.c
 *	  map_results(): what became of the items of a map, also while it runs.
 *
 * The rows come in the order of the items, a chunk at a time, and only of items that have
 * ended; the tuplestore takes what exceeds work_mem to disk.
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "archive.h"
#include "ending.h"
#include "intern.h"
#include "json.h"
#include "json_array.h"
#include "map_row.h"
#include "observe.h"
#include "outcome.h"

/* Failed items read together. */
#define PAGE_ITEMS 100

/* The failed items of a map, in order. */
typedef struct Failures
{
	MemoryContext cxt; /* of a page */
	ItemRow rows[PAGE_ITEMS];
	int n;
	int next;
	bool last; /* the page is */
} Failures;

/* The failure of an item, if it has one; they are asked for in order. */
static const ItemRow *
failure_of(Store *store, Failures *failures, int64 map_id, int64 number)
{
	while (failures->next < failures->n && failures->rows[failures->next].number < number)
		failures->next++;
	if (failures->next == failures->n && !failures->last)
	{
		MemoryContext old;

		MemoryContextReset(failures->cxt);
		old = MemoryContextSwitchTo(failures->cxt);
		failures->n = item_row_page(store, map_id, number, failures->rows, PAGE_ITEMS);
		failures->last = failures->n < PAGE_ITEMS;
		failures->next = 0;
		MemoryContextSwitchTo(old);
	}
	if (failures->next < failures->n && failures->rows[failures->next].number == number)
		return &failures->rows[failures->next];
	return NULL;
}

static void
put_row(ReturnSetInfo *set, int64 number, Jsonb *result, Jsonb *error)
{
	Datum values[3];
	bool nulls[3] = {0};

	values[0] = Int64GetDatum(number);
	values[1] = JsonbPGetDatum(result);
	nulls[1] = result == NULL;
	values[2] = JsonbPGetDatum(error);
	nulls[2] = error == NULL;
	tuplestore_putvalues(set->setResult, set->setDesc, values, nulls);
}

/* An item that failed for good; its dead letter may have been replayed since. */
static void
put_failure(Store *store, ReturnSetInfo *set, const ItemRow *item)
{
	Ending ending;

	ending_read(store, item->task_id, &ending);
	if (ending.state == TASK_COMPLETED && ending.chunk == NO_CHUNK)
	{
		Jsonb *result = ending_result(store, &ending);

		put_row(set, item->number, result != NULL ? result : json_null(), NULL);
	}
	else if (ending.state == TASK_NEW)
		put_row(set, item->number, NULL, item->error);
	else if (task_is_terminal(ending.state))
		put_row(set, item->number, NULL, ending.error != NULL ? ending.error : item->error);
}

/* The items of a chunk that have ended. */
static void
put_chunk(Store *store, ReturnSetInfo *set, const ChunkRow *chunk, Failures *failures)
{
	Jsonb *results = chunk_row_results(store, chunk);
	JsonElements walk;
	int open = 0;

	if (results != NULL)
		json_elements_begin(&walk, results);
	for (int i = 0; i < chunk->items; i++)
	{
		int64 number = chunk->first_item + i;
		JsonElement element;
		bool has_element = results != NULL && json_elements_next(&walk, &element);
		const ItemRow *failure = failure_of(store, failures, chunk->map_id, number);
		bool is_open = open < chunk->n_open && chunk->open[open] == i;

		open += is_open;
		/* what failed with the chunk's task has a result if that was replayed */
		if (failure != NULL &&
			(failure->task_id != chunk->task_id || chunk->finished_at == NO_TIME))
			put_failure(store, set, failure);
		else if (has_element && !is_open)
			put_row(set, number, json_element_value(&element), NULL);
	}
}

/* Refuse what is no map, or not for the caller to see. */
static void
check_map(Store *store, int64 id)
{
	Ending ending;
	Viewer viewer;

	ending_read(store, id, &ending);
	viewer_init(&viewer);
	if (ending.state == TASK_NEW || !viewer_may_see(&viewer, lane_get(store, ending.lane_id)))
		unknown_task(id);
	if (ending.chunk != A_MAP)
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
						errmsg("task " INT64_FORMAT " is not a map", id),
						errhint("Give the id that stent.map_query() returned, or of a task that "
								"stent.explain() shows as a map; the results of other tasks are "
								"those of stent.result_of().")));
}

PG_FUNCTION_INFO_V1(stent_map_results);
Datum
stent_map_results(PG_FUNCTION_ARGS)
{
	int64 id = outcome_require_id(fcinfo);
	ReturnSetInfo *set = observe_begin_set(fcinfo);
	Store *store = store_open_to_read();
	Failures failures = {.cxt = AllocSetContextCreate(CurrentMemoryContext, "stent failed items",
													  ALLOCSET_DEFAULT_SIZES)};
	MemoryContext cxt =
		AllocSetContextCreate(CurrentMemoryContext, "stent chunk", ALLOCSET_DEFAULT_SIZES);
	MapRow map;

	check_map(store, id);
	if (!map_row_find(store, id, &map))
		map.started = 0;
	for (int number = 0; number < map.started; number++)
	{
		MemoryContext old = MemoryContextSwitchTo(cxt);
		ChunkRow chunk;

		CHECK_FOR_INTERRUPTS();
		if (chunk_row_find(store, id, number, &chunk))
			put_chunk(store, set, &chunk, &failures);
		MemoryContextSwitchTo(old);
		MemoryContextReset(cxt);
	}
	store_close(store);
	MemoryContextDelete(cxt);
	MemoryContextDelete(failures.cxt);
	return (Datum) 0;
}
