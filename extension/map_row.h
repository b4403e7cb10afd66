/*
 * map_row.h
 *	  Rows of maps, their chunks, and their failed items.
 *
 * The column numbers follow sql/parts/21_map_tables.sql.
 */
#ifndef STENT_MAP_ROW_H
#define STENT_MAP_ROW_H

#include "postgres.h"

#include "storage/itemptr.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "store.h"

/* So many rows of items are read at a time. */
#define MAP_PAGE 256

typedef struct MapRow
{
	int64 id; /* of its task */
	int64 execution_id;
	int64 items;
	int chunks;
	int started; /* chunks that were made tasks so far: the first ones */
	int chunk_size;
	int limit;    /* items in flight at once */
	bool collect; /* failed items do not fail it */
	bool star;    /* an item is a list of arguments */
	bool at_once; /* a chunk has all its items in flight, else one after the other */
	int peak;
	int32 lane_id; /* of its task */
	ItemPointerData tid;
} MapRow;

typedef struct ChunkRow
{
	int64 map_id;
	int number;
	int64 first_item;
	int items;
	int64 task_id; /* drawn with the row; made when number < MapRow.started */
	int attempt;   /* ended so far */
	int completed; /* without hits */
	int failed;
	int hits;
	Timestamp started_at; /* of the latest attempt */
	Timestamp finished_at;
	int n_open; /* places to be run again; -1: all, before the first attempt */
	int32 *open;
	Jsonb *args; /* NULL where args_ref has them */
	int64 args_ref;
	Jsonb *results; /* NULL where results_ref has them, or there are none yet */
	int64 results_ref;
	ItemPointerData tid;
} ChunkRow;

typedef struct ItemRow
{
	int64 map_id;
	int64 number; /* from 0, through all chunks */
	int attempt;
	int64 task_id; /* its dead letter, or its chunk's task, which came to no good end */
	Jsonb *error;
	bool replaced; /* by the result of that, before the map ended */
	ItemPointerData tid;
} ItemRow;

extern bool map_row_find(Store *store, int64 id, MapRow *row);
extern void map_row_insert(Store *store, MapRow *row);
extern void map_row_update(Store *store, MapRow *row);

extern bool chunk_row_find(Store *store, int64 map_id, int number, ChunkRow *row);
extern bool chunk_row_find_brief(Store *store, int64 map_id, int number, ChunkRow *row);
extern void chunk_row_insert(Store *store, ChunkRow *row);
extern void chunk_row_update(Store *store, ChunkRow *row);
extern Jsonb *chunk_row_args(Store *store, const ChunkRow *row);
extern Jsonb *chunk_row_results(Store *store, const ChunkRow *row);

extern void item_row_insert(Store *store, const ItemRow *row);
extern void item_row_update(Store *store, ItemRow *row, bool replaced);
extern int item_row_page(Store *store, int64 map_id, int64 from, ItemRow *rows, int max);

#endif
