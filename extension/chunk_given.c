/*
 * chunk_given.c
 *	  A chunk as a worker has it: the items it is given, and the outcomes it gives back.
 *
 * Outcomes are told by their order: that of the items which the chunk's row says are to
 * be run. The row does not change while a worker has the chunk.
 */
#include "postgres.h"

#include "archive.h"
#include "attempt.h"
#include "chunk.h"
#include "chunk_memo.h"
#include "compat.h"
#include "errors.h"
#include "guc.h"
#include "intern.h"
#include "json.h"
#include "map.h"
#include "registry.h"

static const char *const outcome_hint =
	"Give an array with {\"result\": any}, {\"error\": {\"message\": text, ...}} or null (not run) "
	"for each item, in their order.";

/* Leave out what was done before, and note that in the row; false: nothing was. */
static bool
leave_out_hits(Store *store, const Task *task, ChunkRun *run)
{
	int hits = 0;

	chunk_memo_prepare(store, run, function_by_id(store, task->function_id),
					   lane_get(store, task->lane_id)->role);
	for (int i = 0; i < run->n; i++)
		hits += run->items[i].end == ITEM_HIT;
	if (hits == 0)
		return false;
	/* what is the same call as another item is given as well: all outcomes come from the worker */
	for (int i = 0; i < run->n; i++)
		if (run->items[i].end == ITEM_SAME && run->items[run->items[i].same_as].end == ITEM_HIT)
		{
			run->items[i].end = ITEM_HIT;
			run->items[i].result = run->items[run->items[i].same_as].result;
		}
	chunk_keep_progress(store, run);
	return true;
}

/*
 * The items that are to be run, an array of n. Zero: all were done before, and the caller,
 * who has taken the task, settles it with no outcomes.
 */
Jsonb *
chunk_open_items(Store *store, const Task *task, int *n)
{
	ChunkRun *run = chunk_open(store, task);
	JsonArray open;

	if (!leave_out_hits(store, task, run) && run->n == run->row.items)
	{
		*n = run->n;
		return run->args;
	}
	json_array_begin(&open);
	for (int i = 0; i < run->n; i++)
		if (run->items[i].end != ITEM_HIT)
			json_array_add(&open, &run->items[i].element);
	*n = open.n;
	return json_array_finish(&open);
}

static void
bad_outcome(int number, const JsonElement *element)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("outcome %d is not one of an item: %s", number,
						   json_text(json_element_value(element))),
					errhint("%s", outcome_hint)));
}

static bool
says_not_retryable(Jsonb *error)
{
	JsonbValue buffer;
	JsonbValue *value =
		getKeyJsonValueFromContainer(&error->root, "retryable", strlen("retryable"), &buffer);

	return value != NULL && value->type == jbvBool && !value->val.boolean;
}

/* The item failed, as the worker says. */
static bool
read_error(ItemRun *item, Jsonb *error)
{
	char *code = json_string_field(error, "code");

	if (json_string_field(error, "message") == NULL ||
		(code != NULL && (code[0] == '\0' || strlen(code) > MAX_NAME_LENGTH)))
		return false;
	json_check_size(error, "error");
	if (code == NULL)
		code = pstrdup(unpack_sql_state(STENT_ERR_HANDLER_FAILED));
	chunk_fail_item(item, code, error, says_not_retryable(error));
	return true;
}

/* The result is more than may be kept: that is this item's failure, which no retry would mend. */
static void
fail_too_large(ItemRun *item, Size size)
{
	char *code = pstrdup(unpack_sql_state(ERRCODE_PROGRAM_LIMIT_EXCEEDED));

	chunk_fail_item(
		item, code,
		json_error_parts(
			code,
			psprintf("result of %zu bytes exceeds the limit of %zu", size,
					 (Size) stent_max_payload_size * 1024),
			NULL,
			"Store large values in a table and pass their key, or raise stent.max_payload_size.",
			NULL, false),
		true);
}

/* One outcome; false if it is none. */
static bool
read_outcome(ChunkRun *run, ItemRun *item, const JsonElement *element)
{
	Jsonb *outcome;
	JsonbValue buffer;
	JsonbValue *value;

	if (element->type == JENTRY_ISNULL)
		return true;
	if (element->type != JENTRY_ISCONTAINER)
		return false;
	outcome = json_element_value(element);
	if (!JB_ROOT_IS_OBJECT(outcome) || JB_ROOT_COUNT(outcome) != 1)
		return false;
	value = getKeyJsonValueFromContainer(&outcome->root, "error", strlen("error"), &buffer);
	if (value != NULL)
		return read_error(item, JsonbValueToJsonb(value));
	value = getKeyJsonValueFromContainer(&outcome->root, "result", strlen("result"), &buffer);
	if (value == NULL)
		return false;
	outcome = JsonbValueToJsonb(value);
	if (VARSIZE(outcome) > (Size) stent_max_payload_size * 1024)
	{
		fail_too_large(item, VARSIZE(outcome));
		return true;
	}
	item->end = ITEM_DONE;
	item->result = run->results.n;
	json_array_add_value(&run->results, outcome);
	return true;
}

/* A worker tells how the items have ended that it was given. */
void
chunk_given(Store *store, Task *task, Jsonb *outcomes, Attempt *attempt)
{
	ChunkRun *run = chunk_open(store, task);
	JsonElements walk;
	JsonElement element;

	if (!JB_ROOT_IS_ARRAY(outcomes) || JB_ROOT_IS_SCALAR(outcomes) ||
		JB_ROOT_COUNT(outcomes) != run->n)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("task " INT64_FORMAT " is a chunk of %d items, and its result is %s",
							   task->id, run->n,
							   JB_ROOT_IS_ARRAY(outcomes) && !JB_ROOT_IS_SCALAR(outcomes)
								   ? psprintf("an array of %u", JB_ROOT_COUNT(outcomes))
								   : json_text(outcomes)),
						errhint("%s", outcome_hint)));
	json_elements_begin(&walk, outcomes);
	while (json_elements_next(&walk, &element))
		if (!read_outcome(run, &run->items[walk.next - 1], &element))
			bad_outcome(walk.next - 1, &element);
	memset(attempt, 0, sizeof(*attempt));
	attempt->end = ATTEMPT_SUCCEEDED;
	attempt->chunk = run;
}

/* A worker tells that all of them have failed in the same way. */
void
chunk_given_error(Store *store, Task *task, const char *code, Jsonb *error, bool final,
				  Attempt *attempt)
{
	ChunkRun *run = chunk_open(store, task);

	chunk_fail_rest(run, code, error, final);
	memset(attempt, 0, sizeof(*attempt));
	attempt->end = ATTEMPT_SUCCEEDED;
	attempt->chunk = run;
}
