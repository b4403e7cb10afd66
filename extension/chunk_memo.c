/*
 * chunk_memo.c
 *	  Items of a chunk that need not be run, because the same call was made before.
 *
 * An item is remembered as the place in its chunk: a memo that names a task and an item
 * (memo.c). What another transaction is about to do is not waited for: such an item is
 * run here as well. Equal items of one chunk run once.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "chunk.h"
#include "chunk_memo.h"
#include "ending.h"
#include "json.h"
#include "memo.h"

#define KEY_LENGTH 32 /* of a SHA-256 */

typedef struct KnownCall
{
	char key[KEY_LENGTH]; /* hash key */
	int item;
} KnownCall;

/* The results of the chunk that was looked into last: a chunk often hits one chunk. */
typedef struct ChunkResults
{
	int64 task_id;
	int n;
	JsonElement *elements;
} ChunkResults;

/* Take over the result of a call that was made before. */
static void
take_over(Store *store, ChunkRun *run, ItemRun *item, const MemoHit *hit, ChunkResults *last)
{
	item->end = ITEM_HIT;
	item->result = run->results.n;
	if (hit->item < 0)
	{
		Jsonb *result = ending_result(store, &hit->ending);

		json_array_add_value(&run->results, result == NULL ? json_null() : result);
		return;
	}
	if (last->task_id != hit->task_id)
	{
		JsonElements walk;

		json_elements_begin(&walk, ending_result(store, &hit->ending));
		last->task_id = hit->task_id;
		last->n = walk.n;
		last->elements = palloc_array(JsonElement, Max(walk.n, 1));
		for (int i = 0; i < walk.n; i++)
			(void) json_elements_next(&walk, &last->elements[i]);
	}
	if (hit->item >= last->n)
		elog(ERROR, "task " INT64_FORMAT " has no result %d", hit->task_id, hit->item);
	json_array_add(&run->results, &last->elements[hit->item]);
}

/* Find the items that were done before, and those that are the same call. */
void
chunk_memo_prepare(Store *store, ChunkRun *run, const Function *function, const char *role)
{
	HASHCTL ctl = {
		.keysize = KEY_LENGTH, .entrysize = sizeof(KnownCall), .hcxt = CurrentMemoryContext};
	ChunkResults last = {NO_ID};
	HTAB *calls;

	if (!function->idempotent && !function->cached)
		return;
	calls = hash_create("stent calls", run->n, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	for (int i = 0; i < run->n; i++)
	{
		ItemRun *item = &run->items[i];
		KnownCall *call;
		bool found;
		MemoHit hit;
		Memo memo;

		(void) memo_prepare(&memo, function, role, NULL, json_element_value(&item->element));
		call = hash_search(calls, VARDATA_ANY(memo.key), HASH_ENTER, &found);
		if (found)
		{
			item->end = ITEM_SAME;
			item->same_as = call->item;
			continue;
		}
		call->item = i;
		if (memo_look(store, &memo, &hit))
			take_over(store, run, item, &hit, &last);
	}
	hash_destroy(calls);
}

/* Items that are the same call as an earlier one end as that has. */
void
chunk_memo_share(ChunkRun *run)
{
	for (int i = 0; i < run->n; i++)
	{
		ItemRun *item = &run->items[i];
		const ItemRun *first;

		if (item->end != ITEM_SAME)
			continue;
		first = &run->items[item->same_as];
		if (first->end == ITEM_FAILED)
		{
			chunk_fail_item(item, first->code, first->error, first->final);
			item->args = first->args;
		}
		else if (first->end == ITEM_OPEN)
			item->end = ITEM_OPEN;
		else
		{
			item->end = ITEM_HIT;
			item->result = first->result;
		}
	}
}

/* Whether an item failed for good in an earlier attempt; numbers come in order. */
static bool
failed_before(Store *store, const ChunkRun *run, int place, ItemRow *failed, int *n)
{
	int64 number = run->row.first_item + place;

	/* the one that comes next, as long as there is one */
	while (*n > 0 && failed->number < number)
		*n = item_row_page(store, run->row.map_id, number, failed, 1);
	return *n > 0 && failed->number == number;
}

/*
 * Remember what this chunk's task has done, in all its attempts: it is about to complete, and
 * what does not complete is never served.
 */
void
chunk_memo_remember(Store *store, const ChunkRun *run, const Function *function, const char *role,
					int64 task_id)
{
	JsonElements walk;
	JsonElement element;
	ItemRow failed;
	int next = 0;
	int n;

	if (!function->idempotent && !function->cached)
		return;
	n = item_row_page(store, run->row.map_id, run->row.first_item, &failed, 1);
	json_elements_begin(&walk, run->args);
	for (int place = 0; json_elements_next(&walk, &element); place++)
	{
		const ItemRun *item =
			next < run->n && run->items[next].place == place ? &run->items[next++] : NULL;
		Memo memo;

		if (item != NULL ? item->end != ITEM_DONE : failed_before(store, run, place, &failed, &n))
			continue;
		(void) memo_prepare(&memo, function, role, NULL, json_element_value(&element));
		memo_remember(store, &memo, task_id, place);
	}
}
