/*
 * map.c
 *	  Maps: making one, starting its chunks, and ending it.
 *
 * A map is a task that waits for its chunks. Only as many chunks are tasks at a time as
 * may be in flight; whoever handles the nudge of one that has ended (waiting.c) starts the
 * next. Items are written once, a payload a chunk, and never copied; so making a
 * map of many items takes as much memory as one chunk.
 *
 * Running chunks is left to chunk.c and chunk_settle.c, all results to map_gather.c.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

#include "archive.h"
#include "child.h"
#include "chunk.h"
#include "clock.h"
#include "compat.h"
#include "complete.h"
#include "ending.h"
#include "errors.h"
#include "fault.h"
#include "guc.h"
#include "intern.h"
#include "json.h"
#include "map.h"
#include "map_peak.h"
#include "ready.h"
#include "waiting.h"

/* What has become of a map's items. */
typedef struct MapTally
{
	int64 completed;
	int64 failed;
	int64 hits;
	int64 lowest; /* the first that failed; -1: none */
	Jsonb *error; /* its */
} MapTally;

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
static int
most_chunks(const MapRow *row)
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
static void
start_chunk(Store *store, const Task *map, const ChunkRow *row, int64 position)
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
	if (map->started < most_chunks(map))
	{
		start_chunk(builder->store, builder->task, &row, NO_ID);
		map->started++;
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(builder->cxt);
}

static void
push_number(JsonbParseState **state, const char *key, int64 number)
{
	JsonbValue value;

	value.type = jbvString;
	value.val.string.val = unconstify(char *, key);
	value.val.string.len = strlen(key);
	(void) pushJsonbValue(state, WJB_KEY, &value);
	value.type = jbvNumeric;
	value.val.numeric = int64_to_numeric(number);
	(void) pushJsonbValue(state, WJB_VALUE, &value);
}

/* All items are there: the map begins to exist. Its id. */
int64
map_finish(MapBuilder *builder)
{
	Store *store = builder->store;
	Task *task = builder->task;
	JsonbParseState *state = NULL;

	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_number(&state, "items", builder->row.items);
	push_number(&state, "chunk_size", builder->row.chunk_size);
	task->args = JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
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

/* How many children of the map live, counted no further than most. */
static int
count_live(Store *store, const Task *task, int most)
{
	int64 ids[MAP_PAGE];
	int64 after = NO_ID;
	int live = 0;
	int n;

	do
	{
		n = child_page(store, task->execution_id, task->id, after, ids, Min(MAP_PAGE, most - live));
		live += n;
		if (n > 0)
			after = ids[n - 1];
	} while (n == MAP_PAGE && live < most);
	return live;
}

/* Make tasks of the next chunks, up to so many. */
static void
start_more(Store *store, const Task *task, MapRow *map, int n)
{
	MemoryContext cxt =
		AllocSetContextCreate(CurrentMemoryContext, "stent map chunk", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);

	for (; n > 0 && map->started < map->chunks; n--, map->started++)
	{
		ChunkRow row;

		if (!chunk_row_find(store, map->id, map->started, &row))
			elog(ERROR, "chunk %d of map " INT64_FORMAT " is missing", map->started, map->id);
		/* as old as it is ready */
		start_chunk(store, task, &row, store_next_id());
		MemoryContextReset(cxt);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
	map_row_update(store, map);
}

static void
note_failed(MapTally *tally, int64 number, Jsonb *error)
{
	if (tally->lowest >= 0 && tally->lowest <= number)
		return;
	tally->lowest = number;
	tally->error = error;
}

/* A chunk whose task came to no good end itself: it crashed, lost its workers, was cancelled. */
static void
count_lost_chunk(Store *store, const ChunkRow *row, MapTally *tally)
{
	Ending ending;

	ending_read(store, row->task_id, &ending);
	tally->failed += row->n_open < 0 ? row->items : row->n_open;
	note_failed(tally, row->first_item + (row->n_open > 0 ? row->open[0] : 0),
				ending.error != NULL
					? ending.error
					: json_error_parts(unpack_sql_state(STENT_ERR_CANCELLED), "the chunk is gone",
									   NULL, NULL, NULL, false));
}

/* Sum up the chunks, all of which have ended; the peak goes into the map's row. */
static void
count_chunks(Store *store, MapRow *map, MapTally *tally)
{
	MapPeak peak;
	ChunkRow row;

	map_peak_begin(&peak, map->chunks);
	for (int number = 0; number < map->chunks; number++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!chunk_row_find_brief(store, map->id, number, &row))
			elog(ERROR, "chunk %d of map " INT64_FORMAT " is missing", number, map->id);
		tally->completed += row.completed;
		tally->failed += row.failed;
		tally->hits += row.hits;
		if (row.finished_at == NO_TIME)
			count_lost_chunk(store, &row, tally);
		if (row.started_at != NO_TIME && row.finished_at != NO_TIME)
			map_peak_add(&peak, row.started_at, row.finished_at, map->at_once ? row.items : 1);
	}
	map->peak = map_peak_end(&peak);
}

/* Items that failed at first may have been replayed meanwhile. */
static void
count_items(Store *store, const MapRow *map, MapTally *tally)
{
	StoreRel *dead = store_table(store, STORE_DEAD_LETTER);
	ItemRow *rows = palloc_array(ItemRow, MAP_PAGE);
	int64 from = 0;
	int n;

	if (tally->failed == 0)
		return;
	while ((n = item_row_page(store, map->id, from, rows, MAP_PAGE)) > 0)
	{
		for (int i = 0; i < n; i++)
		{
			bool is_dead = store_find_id(dead, GetActiveSnapshot(), rows[i].task_id);
			Ending ending;

			CHECK_FOR_INTERRUPTS();
			ExecClearTuple(dead->out);
			if (!is_dead)
			{
				ending_read(store, rows[i].task_id, &ending);
				if (ending.state == TASK_COMPLETED)
				{
					tally->failed--;
					tally->completed++;
					if (!rows[i].replaced)
						item_row_replaced(store, &rows[i]);
					continue;
				}
			}
			note_failed(tally, rows[i].number, rows[i].error);
		}
		from = rows[n - 1].number + 1;
	}
}

static Jsonb *
summary(const MapRow *map, const MapTally *tally)
{
	JsonbParseState *state = NULL;

	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_number(&state, "items", map->items);
	push_number(&state, "completed", tally->completed);
	push_number(&state, "failed", tally->failed);
	push_number(&state, "hits", tally->hits);
	push_number(&state, "chunks", map->chunks);
	push_number(&state, "peak", map->peak);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/* All chunks have ended. */
static void
end_map(Store *store, Task *task, MapRow *map)
{
	MapTally tally = {.lowest = -1};

	/* its chunks ended by that, and one of them may be seen first */
	if (task->deadline != NO_TIME && clock_now() >= task->deadline)
	{
		complete_past_deadline(store, task);
		return;
	}
	count_chunks(store, map, &tally);
	count_items(store, map, &tally);
	map_row_update(store, map);
	STENT_FAULT("map_ending");
	if (tally.failed == 0 || map->collect)
		complete_success(store, task, summary(map, &tally));
	else
		complete_failure_given(store, task, json_string_field(tally.error, "code"),
							   chunk_error_of_item(tally.error, tally.lowest), true);
}

/*
 * A map was taken out of the dead letters: it waits again, and is decided when somebody
 * handles its nudge. Whoever wants its items run replays them in the same transaction.
 */
void
map_revive(Store *store, Task *task)
{
	task->due_at = DT_NOEND;
	task_move(store, task, TASK_WAITING);
	waiting_nudge(store, task->id,
				  ready_bucket(lane_get(store, task->lane_id)->role, task->priority, task->lane_id),
				  true);
}

bool
map_decide(Store *store, Task *task)
{
	MapRow map;
	int most;
	int live;

	if (!map_row_find(store, task->id, &map))
		elog(ERROR, "map " INT64_FORMAT " is missing", task->id);
	most = map.started < map.chunks ? most_chunks(&map) : 1;
	live = count_live(store, task, most);
	if (map.started < map.chunks)
	{
		if (live < most)
			start_more(store, task, &map, most - live);
		return false;
	}
	if (live > 0)
		return false;
	end_map(store, task, &map);
	return true;
}
