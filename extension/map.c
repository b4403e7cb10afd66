/*
 * map.c
 *	  Maps that wait: starting their chunks, ending them, bringing them back.
 *
 * A map is a task that waits for its chunks. Only as many of them are tasks at a time as
 * may be in flight; whoever handles the nudge of one that has ended (waiting.c) starts the
 * next. When none lives the map ends, by what its chunks' rows say.
 *
 * Making maps is left to map_make.c, running chunks to chunk.c and chunk_settle.c, all
 * results to map_gather.c.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/fmgrprotos.h"

#include "child.h"
#include "chunk.h"
#include "clock.h"
#include "compat.h"
#include "complete.h"
#include "ending.h"
#include "errors.h"
#include "fault.h"
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
	MemoryContext cxt;
} MapTally;

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
		map_start_chunk(store, task, &row, store_next_id());
		MemoryContextReset(cxt);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
	map_row_update(store, map);
}

static void
note_failed(MapTally *tally, int64 number, Jsonb *error)
{
	MemoryContext old;

	if (tally->lowest >= 0 && tally->lowest <= number)
		return;
	tally->lowest = number;
	old = MemoryContextSwitchTo(tally->cxt);
	tally->error = DatumGetJsonbPCopy(JsonbPGetDatum(error));
	MemoryContextSwitchTo(old);
}

/* The items of a chunk that have not ended. */
static int
n_open(const ChunkRow *row)
{
	return row->n_open < 0 ? row->items : row->n_open;
}

static int64
open_item(const ChunkRow *row, int i)
{
	return row->first_item + (row->n_open < 0 ? i : row->open[i]);
}

/*
 * A map completes without some items of a chunk: they have failed with its task. That is
 * written down, so that it is told ever after, also if the task is replayed.
 */
static void
fail_open_items(Store *store, const ChunkRow *row, Jsonb *error)
{
	for (int i = 0; i < n_open(row); i++)
	{
		CHECK_FOR_INTERRUPTS();
		item_row_insert(store, &(ItemRow){.map_id = row->map_id,
										  .number = open_item(row, i),
										  .attempt = row->attempt,
										  .task_id = row->task_id,
										  .error = error});
	}
}

/* A chunk whose task came to no good end itself: it crashed, lost its workers, was cancelled. */
static void
count_lost_chunk(Store *store, const MapRow *map, const ChunkRow *row, MapTally *tally)
{
	Ending ending;

	ending_read(store, row->task_id, &ending);
	if (ending.error == NULL)
		ending.error = json_error_parts(unpack_sql_state(STENT_ERR_CANCELLED), "the chunk is gone",
										NULL, NULL, NULL, false);
	tally->failed += n_open(row);
	note_failed(tally, open_item(row, 0), ending.error);
	if (map->collect)
		fail_open_items(store, row, ending.error);
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
			count_lost_chunk(store, map, &row, tally);
		if (row.started_at != NO_TIME && row.finished_at != NO_TIME)
			map_peak_add(&peak, row.started_at, row.finished_at, map->at_once ? row.items : 1);
	}
	map->peak = map_peak_end(&peak);
}

/* The error of a dead letter that was found, which may have died again; it stays dead. */
static Jsonb *
error_of(StoreRel *dead)
{
	bool isnull;
	Datum error = slot_getattr(dead->out, ARCHIVE_ERROR, &isnull);

	return isnull ? NULL : DatumGetJsonbPCopy(error);
}

/* What has become of an item that failed at first: it may have been replayed meanwhile. */
static void
count_item(Store *store, ItemRow *item, MapTally *tally)
{
	StoreRel *dead = store_table(store, STORE_DEAD_LETTER);
	bool is_dead = store_find_id(dead, GetActiveSnapshot(), item->task_id);
	Jsonb *error = is_dead ? error_of(dead) : NULL;
	Ending ending = {.state = TASK_FAILED};

	ExecClearTuple(dead->out);
	if (!is_dead)
		ending_read(store, item->task_id, &ending);
	if (ending.state == TASK_COMPLETED)
	{
		tally->failed--;
		tally->completed++;
		if (!item->replaced)
			item_row_update(store, item, true);
		return;
	}
	if (error != NULL &&
		(VARSIZE(error) != VARSIZE(item->error) || memcmp(error, item->error, VARSIZE(error)) != 0))
	{
		item->error = error;
		item_row_update(store, item, false);
	}
	note_failed(tally, item->number, item->error);
}

static void
count_items(Store *store, const MapRow *map, MapTally *tally)
{
	MemoryContext cxt;
	MemoryContext old;
	ItemRow *rows = palloc_array(ItemRow, MAP_PAGE);
	int64 from = 0;
	int n;

	if (tally->failed == 0)
		return;
	cxt = AllocSetContextCreate(CurrentMemoryContext, "stent map items", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(cxt);
	while ((n = item_row_page(store, map->id, from, rows, MAP_PAGE)) > 0)
	{
		for (int i = 0; i < n; i++)
		{
			CHECK_FOR_INTERRUPTS();
			count_item(store, &rows[i], tally);
		}
		from = rows[n - 1].number + 1;
		MemoryContextReset(cxt);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
}

static Jsonb *
summary(const MapRow *map, const MapTally *tally)
{
	return DatumGetJsonbP(DirectFunctionCall1(
		jsonb_in,
		CStringGetDatum(psprintf("{\"items\": " INT64_FORMAT ", \"completed\": " INT64_FORMAT
								 ", \"failed\": " INT64_FORMAT ", \"hits\": " INT64_FORMAT
								 ", \"chunks\": %d, \"peak\": %d}",
								 map->items, tally->completed, tally->failed, tally->hits,
								 map->chunks, map->peak))));
}

/* All chunks have ended. */
static void
end_map(Store *store, Task *task, MapRow *map)
{
	MapTally tally = {.lowest = -1, .cxt = CurrentMemoryContext};

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
	most = map.started < map.chunks ? map_most_chunks(&map) : 1;
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
