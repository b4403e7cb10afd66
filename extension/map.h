/*
 * map.h
 *	  Maps: one function called for many items, in chunks.
 *
 * A map is a task that waits (TASK_WAITING, chunk = A_MAP) and never runs a handler; its
 * children are its chunks (chunk = 0, 1, ...), tasks of the mapped function whose args are
 * an array of items. Making one:
 *
 *	  map_begin(&builder, store, &options, &map_options, parent);
 *	  map_add_chunk(&builder, array, n);     n <= builder.row.chunk_size; all but the last: equal
 *	  id = map_finish(&builder);
 */
#ifndef STENT_MAP_H
#define STENT_MAP_H

#include "postgres.h"

#include "attempt.h"
#include "dispatch.h"
#include "json_array.h"
#include "map_row.h"
#include "step.h"
#include "store.h"
#include "task.h"

#define MAP_CHUNK_SIZE 1000 /* by default */
#define MAP_CHUNK_SIZE_MAX 100000

/* What a map has beside the options of its tasks. */
typedef struct MapOptions
{
	int chunk_size;
	int limit; /* items in flight at once */
	bool collect;
	bool star;
} MapOptions;

typedef struct MapBuilder
{
	Store *store;
	const Options *options;
	MapRow row;        /* row.chunk_size may be less than was asked for */
	Task *task;        /* the map's; not stored before map_finish */
	MemoryContext cxt; /* of one chunk */
} MapBuilder;

/*
 * Read chunk_size, concurrency_limit and on_error: the numbers of their arguments, -1 where the
 * function has none. star is left to the caller.
 */
extern void map_read_options(FunctionCallInfo fcinfo, int chunk_size, int limit, int on_error,
							 MapOptions *options);

/* --- making one --- */

/*
 * parent NULL: a root. Nothing fails afterwards by what
 * the user gave; the size of an item is checked by whoever takes it in (map_check_item).
 */
extern void map_begin(MapBuilder *builder, Store *store, const Options *options,
					  const MapOptions *map, const Task *parent);
extern void map_add_chunk(MapBuilder *builder, Jsonb *items, int n);
extern int64 map_finish(MapBuilder *builder);

/* How many chunks may be tasks at a time; make one the task whose id its row has. */
extern int map_most_chunks(const MapRow *row);
extern void map_start_chunk(Store *store, const Task *map, const ChunkRow *row, int64 position);

/* Refuse an item no attempt could take. */
extern void map_check_item(const JsonElement *item, int64 number);

/* In a handler, or for a worker's: when it is over. */
extern void map_step_make(Store *store, Step *step, const Options *options, const MapOptions *map,
						  Jsonb *items);
extern int map_failed_index(const Ending *ending);

/* --- running one --- */

/*
 * Run the items of a chunk that was taken, as attempt_run runs a handler, and leave in
 * attempt what chunk_settle needs.
 */
extern void chunk_run(Store *store, Task *task, Attempt *attempt);

/*
 * A chunk's attempt is over (run here, or by a worker): write its progress, and end the
 * task, have it retried, or, where items are left that were not run, give it back. For ends SUCCEEDED, FAILED and TIMED_OUT; the others are the
 * whole task's (complete_give_back, complete_past_deadline), as with tasks that are no chunk.
 * False if some item failed.
 */
extern bool chunk_settle(Store *store, Task *task, Attempt *attempt);

/*
 * For a worker that claims a chunk: the items that are to be run, an array of n. Those done
 * before (idempotent, cached) are noted and left out; if none is left, n is 0, and the caller
 * ends the task: chunk_given of an empty array, chunk_settle.
 */
extern Jsonb *chunk_open_items(Store *store, const Task *task, int *n);

/*
 * A worker tells how they ended: an array of {"result": any}, {"error": {code, message,
 * retryable ...}} or null (not run: it stays open, and costs no attempt) in their order. Raises 22023 where it is not that, before anything is
 * written. Then chunk_settle.
 */
extern void chunk_given(Store *store, Task *task, Jsonb *outcomes, Attempt *attempt);

/* All of them failed with the same error, which has a message, as fail() gives it. Then chunk_settle. */
extern void chunk_given_error(Store *store, Task *task, const char *code, Jsonb *error, bool final,
							  Attempt *attempt);

/*
 * Somebody has taken the entry of a map that was nudged, with a snapshot taken since:
 * start chunks, or end the map. True if the map has ended; else the caller puts its
 * entry back.
 */
extern bool map_decide(Store *store, Task *task);

extern void map_revive(Store *store, Task *task);

/*
 * All results of a map that has ended, in the order of the items. With collect an element is
 * {"result": any} or {"error": {...}}, else the result itself.
 */
extern Jsonb *map_gather(Store *store, int64 map_id);

/* --- as SQL calls it --- */

/* Arguments of map(). */
enum
{
	MAP_ARG_FUNCTION,
	MAP_ARG_ITEMS,
	MAP_ARG_CHUNK_SIZE,
	MAP_ARG_LIMIT,
	MAP_ARG_ON_ERROR,
	MAP_ARG_QUEUE,
	MAP_ARG_PRIORITY,
	MAP_ARG_TAGS,
	MAP_ARG_TIMEOUT,
	MAP_ARG_RETRY,
	MAP_ARG_HEADERS,
	MAP_ARG_STEP_NAME,
	MAP_ARGUMENTS
};

/* map() and its other faces; gather: else the results are not wanted. what: for messages. */
extern Jsonb *map_call(FunctionCallInfo fcinfo, bool star, bool gather, const char *what);

/* --- outside of a handler --- */

/*
 * Call the function for an array of items in the caller's transaction, without a task; the
 * results as map_gather gives them (map_inline.c).
 */
extern Jsonb *map_inline(const char *function, Jsonb *items, bool star, bool collect);

/* What belongs to a map or chunk alone when its history goes is SQL: stent._forget. */

#endif
