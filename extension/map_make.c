/*
 * map_make.c
 *	  Making maps: options, the map's task, its chunks.
 *
 * Items are written once, a payload a chunk, and never copied; so making a map of many
 * items takes as much memory as one chunk. The first chunks, as many as may be in flight,
 * become tasks at once; map.c starts the others.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"

#include "archive.h"
#include "clock.h"
#include "compat.h"
#include "fault.h"
#include "guc.h"
#include "intern.h"
#include "map.h"
#include "ready.h"
#include "waiting.h"

static int
positive_argument(FunctionCallInfo fcinfo, int arg, const char *what, int most)
{
	int value = PG_GETARG_INT32(arg);

	if (value < 1 || value > most)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s must be from 1 to %d, not %d", what, most, value),
						errhint("See the comment of the function, \\df+ stent.map* in psql.")));
	return value;
}

void
map_read_options(FunctionCallInfo fcinfo, int chunk_size, int limit, int on_error,
				 MapOptions *options)
{
	options->chunk_size = MAP_CHUNK_SIZE;
	options->limit = stent_task_pool_size;
	options->collect = options->star = false;
	if (chunk_size >= 0)
	{
		if (PG_ARGISNULL(chunk_size))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("chunk_size must not be null"),
					 errhint("Leave chunk_size out for chunks of %d items.", MAP_CHUNK_SIZE)));
		options->chunk_size =
			positive_argument(fcinfo, chunk_size, "chunk_size", MAP_CHUNK_SIZE_MAX);
	}
	if (limit >= 0 && !PG_ARGISNULL(limit))
		options->limit = positive_argument(fcinfo, limit, "concurrency_limit", PG_INT32_MAX);
	if (on_error >= 0)
	{
		const char *given =
			PG_ARGISNULL(on_error) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(on_error));

		if (given == NULL)
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("on_error must not be null"), errhint("Use fail or collect.")));
		options->collect = strcmp(given, "collect") == 0;
		if (!options->collect && strcmp(given, "fail") != 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("invalid on_error: \"%s\"", given), errhint("Use fail or collect.")));
	}
}

/* Refuse an item that no attempt could take. */
void
map_check_item(const JsonElement *item, int64 number)
{
	if (item->len > (Size) stent_max_payload_size * 1024)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("item " INT64_FORMAT " of %u bytes exceeds the limit of %zu", number,
							   item->len, (Size) stent_max_payload_size * 1024),
						errhint("Store large values in a table and pass their key, or raise "
								"stent.max_payload_size.")));
}

/* Items of a chunk are called one after the other, by SQL, or all at once, by a worker. */
static int
chunk_size_of(const Function *function, const MapOptions *map)
{
	/* a task takes one place, and one token, whatever it does */
	if (function->rate_limit > 0 ||
		(function->handler_name == NULL && function->max_concurrent > 0))
		return 1;
	return function->handler_name == NULL ? Min(map->chunk_size, map->limit) : map->chunk_size;
}

/* How many chunks may be tasks at a time. */
int
map_most_chunks(const MapRow *row)
{
	return row->at_once ? Max(row->limit / row->chunk_size, 1) : row->limit;
}

void
map_begin(MapBuilder *builder, Store *store, const Options *options, const MapOptions *map,
		  const Task *parent)
{
	Task *task = palloc_object(Task);

	dispatch_new_task(options, task);
	if (parent != NULL)
	{
		task->execution_id = parent->execution_id;
		task->parent_id = parent->id;
		task->deadline = parent->deadline;
		task->parent_bucket =
			ready_bucket(lane_get(store, parent->lane_id)->role, parent->priority, parent->lane_id);
	}
	task->chunk = A_MAP;
	task->due_at = DT_NOEND;
	*builder = (MapBuilder){.store = store,
							.task = task,
							.row = {.id = task->id,
									.execution_id = task->execution_id,
									.lane_id = task->lane_id,
									.chunk_size = chunk_size_of(options->function, map),
									.limit = map->limit,
									.collect = map->collect,
									.star = map->star,
									.at_once = options->function->handler_name == NULL},
							.cxt = AllocSetContextCreate(CurrentMemoryContext, "stent map chunk",
														 ALLOCSET_DEFAULT_SIZES)};
}

/* Make a chunk the task whose id its row has; position: NO_ID if the id was drawn just now. */
void
map_start_chunk(Store *store, const Task *map, const ChunkRow *row, int64 position)
{
	Task task = {0};

	task.id = row->task_id;
	task.execution_id = map->execution_id;
	task.parent_id = map->id;
	task.parent_bucket =
		ready_bucket(lane_get(store, map->lane_id)->role, map->priority, map->lane_id);
	task.created_at = clock_now();
	task.due_at = task.started_at = task.finished_at = NO_TIME;
	task.deadline = map->deadline;
	task.position = position;
	task.timeout = map->timeout;
	task.function_id = map->function_id;
	/* not all workers take chunks */
	task.lane_id = lane_for_chunks(store, map->lane_id);
	task.policy_id = map->policy_id;
	task.priority = map->priority;
	task.headers = map->headers;
	task.chunk = row->number;
	task.args = row->args;
	task.args_ref = row->args_ref;
	task.state = TASK_NEW;
	task_move(store, &task, TASK_READY);
	STENT_FAULT("map_chunk_started");
}

/* Add the next items, an array. */
void
map_add_chunk(MapBuilder *builder, Jsonb *items, int n)
{
	MemoryContext old = MemoryContextSwitchTo(builder->cxt);
	MapRow *map = &builder->row;
	ChunkRow row = {.map_id = map->id,
					.number = map->chunks,
					.first_item = map->items,
					.items = n,
					.task_id = store_next_id(),
					.started_at = NO_TIME,
					.finished_at = NO_TIME,
					.n_open = -1,
					.args = items};

	Assert(n > 0 && n <= map->chunk_size && map->items == (int64) map->chunks * map->chunk_size);
	payload_place(builder->store, &row.args, &row.args_ref);
	chunk_row_insert(builder->store, &row);
	STENT_FAULT("map_chunk_added");
	map->chunks++;
	map->items += n;
	if (map->started < map_most_chunks(map))
	{
		map_start_chunk(builder->store, builder->task, &row, NO_ID);
		map->started++;
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(builder->cxt);
}

/* All items are there: the map begins to exist. Its id. */
int64
map_finish(MapBuilder *builder)
{
	Store *store = builder->store;
	Task *task = builder->task;

	task->args = DatumGetJsonbP(DirectFunctionCall1(
		jsonb_in, CStringGetDatum(psprintf("{\"items\": " INT64_FORMAT ", \"chunk_size\": %d}",
										   builder->row.items, builder->row.chunk_size))));
	map_row_insert(store, &builder->row);
	task_move(store, task, TASK_WAITING);
	/* nobody would come to end a map of nothing */
	if (builder->row.chunks == 0)
		waiting_nudge(
			store, task->id,
			ready_bucket(lane_get(store, task->lane_id)->role, task->priority, task->lane_id),
			false);
	MemoryContextDelete(builder->cxt);
	STENT_FAULT("map_made");
	return task->id;
}
