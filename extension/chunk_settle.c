/*
 * chunk_settle.c
 *	  What becomes of a chunk after an attempt.
 *
 * Items that failed and may be retried are run again with the chunk's next attempt; the
 * others have failed for good, and each of them becomes a dead letter of its own, which
 * can be replayed like any. The chunk's task itself completes when none is left to run:
 * that items failed is the map's business (map.c). Results are kept with the chunk.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/numeric.h"
#include "utils/snapmgr.h"

#include "archive.h"
#include "attempt.h"
#include "chunk.h"
#include "chunk_memo.h"
#include "clock.h"
#include "compat.h"
#include "complete.h"
#include "errors.h"
#include "fault.h"
#include "intern.h"
#include "json.h"
#include "map.h"
#include "retry.h"

/* Nothing of the attempt is left but its error, which is that of all its items. */
static void
fail_whole(ChunkRun *run, const Attempt *attempt)
{
	for (int i = 0; i < run->n; i++)
		if (run->items[i].end == ITEM_DONE || run->items[i].end == ITEM_FAILED)
			run->items[i].end = ITEM_OPEN;
	chunk_fail_rest(run, pstrdup(unpack_sql_state(attempt->error->sqlerrcode)),
					json_error(attempt->error, false), false);
}

/* The error of an item, as it is told of the whole: it names the item. */
Jsonb *
chunk_error_of_item(Jsonb *error, int64 number)
{
	char *message = json_string_field(error, "message");
	JsonbParseState *state = NULL;
	JsonbIterator *it = JsonbIteratorInit(&error->root);
	JsonbIteratorToken token;
	JsonbValue key;
	JsonbValue value;

	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	while ((token = JsonbIteratorNext(&it, &key, true)) != WJB_DONE)
	{
		if (token != WJB_KEY)
			continue;
		(void) JsonbIteratorNext(&it, &value, true);
		if (key.val.string.len == 7 && memcmp(key.val.string.val, "message", 7) == 0)
		{
			value.type = jbvString;
			value.val.string.val =
				psprintf("item " INT64_FORMAT ": %s", number, message == NULL ? "" : message);
			value.val.string.len = strlen(value.val.string.val);
		}
		(void) pushJsonbValue(&state, WJB_KEY, &key);
		(void) pushJsonbValue(&state, WJB_VALUE, &value);
	}
	key.type = jbvString;
	key.val.string.val = "index";
	key.val.string.len = 5;
	(void) pushJsonbValue(&state, WJB_KEY, &key);
	value.type = jbvNumeric;
	value.val.numeric = int64_to_numeric(number);
	(void) pushJsonbValue(&state, WJB_VALUE, &value);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/* An item has failed for good: a dead letter stands for it from now on. */
static void
bury(Store *store, const Task *task, const ChunkRun *run, const ItemRun *item, Jsonb *error)
{
	Task dead = {0};
	ItemRow row;

	dead.id = store_next_id();
	dead.execution_id = task->execution_id;
	dead.parent_id = task->parent_id;
	dead.created_at = task->created_at;
	dead.due_at = dead.started_at = NO_TIME; /* it had no time of its own */
	dead.deadline = task->deadline;
	dead.timeout = task->timeout;
	dead.function_id = task->function_id;
	dead.lane_id = lane_for_tasks(store, task->lane_id);
	dead.policy_id = task->policy_id;
	dead.priority = task->priority;
	dead.headers = task->headers;
	dead.attempt = task->attempt + 1;
	dead.chunk = NO_CHUNK;
	dead.state = TASK_NEW;
	dead.args = item->args != NULL ? item->args : json_element_value(&item->element);
	payload_place(store, &dead.args, &dead.args_ref);
	dead.error = error;
	dead.finished_at = clock_now();
	task_move(store, &dead, TASK_FAILED);

	/* a chunk that was replayed: it may have failed with it, as which the map knows it */
	if (task->replays > 0 &&
		item_row_page(store, task->parent_id, run->row.first_item + item->place, &row, 1) > 0 &&
		row.number == run->row.first_item + item->place)
	{
		row.task_id = dead.id;
		item_row_update(store, &row, row.replaced);
	}
	else
		item_row_insert(store, &(ItemRow){.map_id = task->parent_id,
										  .number = run->row.first_item + item->place,
										  .attempt = dead.attempt,
										  .task_id = dead.id,
										  .error = error});
	STENT_FAULT("chunk_item_buried");
}

/*
 * Leave out results that the chunk has no room for: those of items that are the same call
 * count again, and what workers tell was not looked at before.
 */
static void
fit_results(ChunkRun *run, bool fail)
{
	char *code = pstrdup(unpack_sql_state(ERRCODE_PROGRAM_LIMIT_EXCEEDED));
	Size total = run->before == NULL ? 0 : VARSIZE(run->before);

	for (int i = 0; i < run->n; i++)
	{
		ItemRun *item = &run->items[i];

		if (item->end != ITEM_DONE && item->end != ITEM_HIT)
			continue;
		total += JBE_OFFLENFLD(run->results.entries[item->result]) + sizeof(uint32);
		if (total <= JENTRY_OFFLENMASK)
			continue;
		total -= JBE_OFFLENFLD(run->results.entries[item->result]) + sizeof(uint32);
		if (!fail)
			item->end = ITEM_OPEN;
		else
			chunk_fail_item(
				item, code,
				json_error_parts(
					code, psprintf("the results of a chunk exceed %d bytes", JENTRY_OFFLENMASK),
					NULL,
					"Give a smaller chunk_size, or store large values in a table and return their "
					"key.",
					NULL, false),
				true);
	}
}

/* All results known now, in the order of the items; null where there is none. */
static Jsonb *
merge_results(const ChunkRun *run)
{
	static const JsonElement null = {JENTRY_ISNULL, NULL, 0};
	Jsonb *before = run->before;
	Jsonb *fresh = json_array_finish(&run->results);
	JsonElement *elements;
	JsonElements old;
	JsonElements walk;
	JsonArray merged;
	bool in_order = before == NULL && run->n == run->row.items;
	int next = 0;

	for (int i = 0; i < run->n && in_order; i++)
		in_order = (run->items[i].end == ITEM_DONE || run->items[i].end == ITEM_HIT) &&
				   run->items[i].result == i;
	if (in_order)
		return fresh;
	elements = palloc_array(JsonElement, Max(run->results.n, 1));
	json_elements_begin(&walk, fresh);
	for (int i = 0; i < walk.n; i++)
		(void) json_elements_next(&walk, &elements[i]);
	if (before != NULL)
		json_elements_begin(&old, before);
	json_array_begin(&merged);
	for (int place = 0; place < run->row.items; place++)
	{
		const ItemRun *item = next < run->n ? &run->items[next] : NULL;
		JsonElement element = null;

		if (before != NULL)
			(void) json_elements_next(&old, &element);
		if (item != NULL && item->place == place)
		{
			next++;
			element =
				item->end == ITEM_DONE || item->end == ITEM_HIT ? elements[item->result] : null;
		}
		json_array_add(&merged, &element);
	}
	return json_array_finish(&merged);
}

static void
forget_payload(Store *store, int64 ref)
{
	StoreRel *table = store_table(store, STORE_PAYLOAD);

	if (ref == NO_ID)
		return;
	if (store_find_id(table, GetActiveSnapshot(), ref))
		store_delete_found(table);
	ExecClearTuple(table->out);
}

/* Tell of each failed item whether it may be retried; returns the first one that may. */
static const ItemRun *
judge(ChunkRun *run, const RetryPolicy *policy, int attempt)
{
	const ItemRun *first = NULL;

	run->row.n_open = 0;
	run->row.open = palloc_array(int32, Max(run->n, 1));
	for (int i = 0; i < run->n; i++)
	{
		ItemRun *item = &run->items[i];

		if (item->end == ITEM_DONE)
			run->row.completed++;
		else if (item->end == ITEM_HIT)
			run->row.hits++;
		else if (item->end != ITEM_FAILED)
			run->row.open[run->row.n_open++] = item->place;
		if (item->end != ITEM_FAILED)
			continue;
		item->retryable = !item->final && retry_allowed(policy, item->code);
		item->again = item->retryable && attempt < policy->max_attempts;
		if (!item->again)
		{
			run->row.failed++;
			continue;
		}
		run->row.open[run->row.n_open++] = item->place;
		if (first == NULL)
			first = item;
	}
	return first;
}

/* Results of a chunk that goes on. */
static void
keep_results(Store *store, ChunkRow *row, Jsonb *results)
{
	row->results = results;
	payload_place(store, &row->results, &row->results_ref);
}

/* Note what is known before the attempt of a worker: the hits; all else is open. */
void
chunk_keep_progress(Store *store, ChunkRun *run)
{
	ChunkRow *row = &run->row;
	int64 results_before = row->results_ref;
	Jsonb *results;

	fit_results(run, false);
	results = merge_results(run);
	(void) judge(run, NULL, 0);
	keep_results(store, row, results);
	forget_payload(store, results_before);
	chunk_row_update(store, row);
}

bool
chunk_settle(Store *store, Task *task, Attempt *attempt)
{
	ChunkRun *run = attempt->chunk != NULL ? attempt->chunk : chunk_open(store, task);
	ChunkRow *row = &run->row;
	int64 results_before = row->results_ref;
	const ItemRun *again;
	Jsonb *results;
	bool well = true;

	if (attempt->end != ATTEMPT_SUCCEEDED)
		fail_whole(run, attempt);
	chunk_memo_share(run);
	fit_results(run, true);
	again = judge(run, policy_get(store, task->policy_id), task->attempt + 1);
	results = merge_results(run);
	for (int i = 0; i < run->n; i++)
	{
		ItemRun *item = &run->items[i];

		well &= item->end != ITEM_FAILED;
		if (item->end == ITEM_FAILED && !item->again)
			bury(store, task, run, item,
				 json_error_given(item->error, item->code, item->retryable));
	}
	STENT_FAULT("chunk_before_end");
	if (again != NULL)
	{
		complete_failure_given(store, task, again->code,
							   chunk_error_of_item(again->error, row->first_item + again->place),
							   false);
		keep_results(store, row, results);
	}
	else if (row->n_open > 0)
	{
		keep_results(store, row, results);
		complete_give_back(store, task);
	}
	else
	{
		chunk_memo_remember(store, run, function_by_id(store, task->function_id),
							lane_get(store, task->lane_id)->role, task->id);
		complete_success(store, task, results);
		row->results = task->result;
		row->results_ref = task->result_ref;
		row->finished_at = task->finished_at;
	}
	forget_payload(store, results_before);
	row->attempt = task->attempt; /* one that was given back has not ended */
	row->started_at = task->started_at;
	chunk_row_update(store, row);
	STENT_FAULT("chunk_settled");
	return well;
}
