/*
 * chunk.h
 *	  How the items of a chunk ended, between its attempt and its settling.
 */
#ifndef STENT_CHUNK_H
#define STENT_CHUNK_H

#include "postgres.h"

#include "json_array.h"
#include "map_row.h"
#include "registry.h"
#include "store.h"
#include "task.h"

typedef enum ItemEnd
{
	ITEM_OPEN, /* has not ended in this attempt, or was not run in it */
	ITEM_DONE,
	ITEM_HIT,  /* was done before */
	ITEM_SAME, /* is the same call as an earlier one of the chunk: it ends as that does */
	ITEM_FAILED
} ItemEnd;

typedef struct ItemRun
{
	int place; /* in the chunk */
	ItemEnd end;
	bool final;          /* of a failure: not to be retried, whatever the policy says */
	bool retryable;      /* of a failure: the policy would retry it */
	bool again;          /* and it will be */
	const char *code;    /* of a failure */
	Jsonb *error;        /* of a failure */
	JsonElement element; /* the item */
	int result;          /* where in ChunkRun.results */
	Jsonb *args;         /* of a failure: what a task of its own is to be called with; NULL: it */
	int same_as;
} ItemRun;

/* An attempt at a chunk: the items it is about, in order, and their results. */
typedef struct ChunkRun
{
	MemoryContext cxt;
	MapRow map;
	ChunkRow row;
	Jsonb *args;
	Jsonb *before; /* results of earlier attempts; NULL: none */
	int n;
	ItemRun *items;
	JsonArray results; /* in the order in which items ended */
} ChunkRun;

extern ChunkRun *chunk_open(Store *store, const Task *task);
extern void chunk_fail_item(ItemRun *item, const char *code, Jsonb *error, bool final);
extern void chunk_keep_progress(Store *store, ChunkRun *run);
extern Jsonb *chunk_error_of_item(Jsonb *error, int64 number);
extern void chunk_fail_rest(ChunkRun *run, const char *code, Jsonb *error, bool final);

#endif
