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

/* The call was made as an item of another chunk. */
typedef struct ChunkHit
{
	int64 task_id;
	int place; /* there */
	int item;  /* here */
} ChunkHit;

static int
compare_hits(const void *a, const void *b)
{
	const ChunkHit *x = a;
	const ChunkHit *y = b;

	if (x->task_id != y->task_id)
		return x->task_id < y->task_id ? -1 : 1;
	return (x->place > y->place) - (x->place < y->place);
}

/* Take over a result, unless the chunk would have more of them than it may: then the item runs. */
static void
take_over(ChunkRun *run, int i, const JsonElement *element)
{
	ItemRun *item = &run->items[i];

	if (!json_array_fits(&run->results, element->len))
		return;
	item->end = ITEM_HIT;
	item->result = run->results.n;
	json_array_add(&run->results, element);
}

/* Take over what was done in one other chunk; its results are read once, and not kept. */
static void
take_over_from_chunk(Store *store, ChunkRun *run, const ChunkHit *hits, int n)
{
	JsonElements walk;
	JsonElement element;
	Ending ending;
	int next = 0;

	ending_read(store, hits->task_id, &ending);
	if (ending.state != TASK_COMPLETED)
		return;
	json_elements_begin(&walk, ending_result(store, &ending));
	while (next < n && json_elements_next(&walk, &element))
		for (; next < n && hits[next].place == walk.next - 1; next++)
			take_over(run, hits[next].item, &element);
	if (next < n)
		elog(ERROR, "task " INT64_FORMAT " has no result %d", hits->task_id, hits[next].place);
}

/* Find the items that were done before, and those that are the same call. */
void
chunk_memo_prepare(Store *store, ChunkRun *run, const Function *function, const char *role)
{
	HASHCTL ctl = {
		.keysize = KEY_LENGTH, .entrysize = sizeof(KnownCall), .hcxt = CurrentMemoryContext};
	ChunkHit *hits;
	MemoryContext cxt;
	MemoryContext old;
	HTAB *calls;
	int n = 0;

	if (!function->idempotent && !function->cached)
		return;
	calls = hash_create("stent calls", run->n, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	hits = palloc_array(ChunkHit, Max(run->n, 1));
	cxt = AllocSetContextCreate(CurrentMemoryContext, "stent hits", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(cxt);
	for (int i = 0; i < run->n; i++)
	{
		ItemRun *item = &run->items[i];
		KnownCall *call;
		bool found;
		MemoHit hit;
		Memo memo;

		MemoryContextReset(cxt);
		memo_prepare_item(&memo, function, role, json_element_value(&item->element), run->map.star);
		call = hash_search(calls, VARDATA_ANY(memo.key), HASH_ENTER, &found);
		if (found)
		{
			item->end = ITEM_SAME;
			item->same_as = call->item;
			continue;
		}
		call->item = i;
		if (!memo_look(store, &memo, &hit))
			continue;
		if (hit.item >= 0)
			hits[n++] = (ChunkHit){hit.task_id, hit.item, i};
		else
		{
			JsonElement element;

			json_element_of(ending_result(store, &hit.ending), &element);
			take_over(run, i, &element);
		}
	}
	qsort(hits, n, sizeof(ChunkHit), compare_hits);
	for (int from = 0, to; from < n; from = to)
	{
		MemoryContextReset(cxt);
		for (to = from + 1; to < n && hits[to].task_id == hits[from].task_id; to++)
			;
		take_over_from_chunk(store, run, &hits[from], to - from);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
	hash_destroy(calls);
	pfree(hits);
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
		memo_prepare_item(&memo, function, role, json_element_value(&element), run->map.star);
		memo_remember(store, &memo, task_id, place);
	}
}
