/*
 * effects.c
 *	  What a worker's completion brings along beside the result: counters, context,
 *	  shared values and progress.
 *
 * They are checked before anything is written, and applied only for a task that the
 * token holds: so a worker that is told its lease is lost has changed nothing. Counters,
 * context and progress go the way of those of SQL handlers, written with the commit.
 * Shared values are changed last and in the order of their keys, those of all tasks of
 * a call together: so two calls never wait for each other in a circle.
 */
#include "postgres.h"

#include "common/int.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

#include "compat.h"
#include "counter.h"
#include "effects.h"
#include "json.h"
#include "notes.h"
#include "progress.h"
#include "shared.h"

pg_noreturn static void
bad_effects(const char *problem, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s", problem), errhint("%s", hint)));
}

/* Read the object that the batch form takes for each task. */
void
effects_read(Effects *effects, Jsonb *json)
{
	static const char *hint =
		"Give an object with keys counters, context, shared and progress, each optional.";
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue value;

	memset(effects, 0, sizeof(*effects));
	if (json == NULL)
		return;
	if (!JB_ROOT_IS_OBJECT(json))
		bad_effects(psprintf("effects must be an object, not %s", json_text(json)), hint);
	it = JsonbIteratorInit(&json->root);
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		char *key;
		Jsonb **field;

		if (token != WJB_KEY)
			continue;
		key = pnstrdup(value.val.string.val, value.val.string.len);
		(void) JsonbIteratorNext(&it, &value, true);
		field = strcmp(key, "counters") == 0   ? &effects->counters
				: strcmp(key, "context") == 0  ? &effects->context
				: strcmp(key, "shared") == 0   ? &effects->shared
				: strcmp(key, "progress") == 0 ? &effects->progress
											   : NULL;
		if (field == NULL)
			bad_effects(psprintf("unknown key of effects: \"%s\"", key), hint);
		if (value.type != jbvNull)
			*field = JsonbValueToJsonb(&value);
	}
}

typedef void (*ForPair)(const char *key, JsonbValue *value, void *arg);

/* Call back for each key of an object. */
static void
each_pair(Jsonb *json, const char *what, ForPair pair, void *arg)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue value;

	if (json == NULL)
		return;
	if (!JB_ROOT_IS_OBJECT(json))
		bad_effects(psprintf("%s must be an object, not %s", what, json_text(json)),
					"Its keys are the names.");
	it = JsonbIteratorInit(&json->root);
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		char *key;

		if (token != WJB_KEY)
			continue;
		key = pnstrdup(value.val.string.val, value.val.string.len);
		notes_check_length("a key of an effect", value.val.string.len);
		(void) JsonbIteratorNext(&it, &value, true);
		pair(key, &value, arg);
	}
}

static void
check_counter(const char *name, JsonbValue *value, void *arg)
{
	if (value->type != jbvNumeric)
		bad_effects(psprintf("counter \"%s\" must change by a number, not %s", name,
							 json_value_text(value)),
					"Give a number; a negative one subtracts.");
	counter_check(name, value->val.numeric);
}

static void
check_context(const char *key, JsonbValue *value, void *arg)
{
	json_check_size(JsonbValueToJsonb(value), "context value");
}

/* A whole number that fits, or an error. */
static int64
whole_number(const char *key, JsonbValue *value)
{
	Datum text;
	char *digits;

	if (value->type != jbvNumeric)
		bad_effects(psprintf("shared value \"%s\" must change by a whole number, not %s", key,
							 json_value_text(value)),
					"Give a whole number; a negative one subtracts.");
	text = DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric));
	digits = DatumGetCString(text);
	if (strchr(digits, '.') != NULL)
		bad_effects(
			psprintf("shared value \"%s\" must change by a whole number, not %s", key, digits),
			"Whole numbers are written without a point.");
	return DatumGetInt64(DirectFunctionCall1(int8in, CStringGetDatum(digits)));
}

static void
check_shared(const char *key, JsonbValue *value, void *arg)
{
	(void) whole_number(key, value);
}

typedef void (*ForEntry)(const char *step, Jsonb *detail, void *arg);

static void
each_entry(Jsonb *json, ForEntry entry, void *arg)
{
	static const char *hint = "Give an array of {\"step\": text, \"detail\": anything}.";
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue value;

	if (json == NULL)
		return;
	if (!JB_ROOT_IS_ARRAY(json) || JB_ROOT_IS_SCALAR(json))
		bad_effects(psprintf("progress must be an array, not %s", json_text(json)), hint);
	it = JsonbIteratorInit(&json->root);
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		Jsonb *element;
		JsonbValue *detail;
		char *step;

		if (token != WJB_ELEM)
			continue;
		element = JsonbValueToJsonb(&value);
		step = json_string_field(element, "step");
		if (step == NULL)
			bad_effects(psprintf("an entry of progress has no step: %s", json_text(element)), hint);
		notes_check_length("step", strlen(step));
		detail = getKeyJsonValueFromContainer(&element->root, "detail", strlen("detail"), NULL);
		entry(step, detail == NULL ? NULL : JsonbValueToJsonb(detail), arg);
	}
}

static void
check_entry(const char *step, Jsonb *detail, void *arg)
{
	progress_check_detail(detail);
}

/* Refuse what could not be applied. */
void
effects_check(const Effects *effects)
{
	each_pair(effects->counters, "counters", check_counter, NULL);
	each_pair(effects->context, "context", check_context, NULL);
	each_pair(effects->shared, "shared", check_shared, NULL);
	each_entry(effects->progress, check_entry, NULL);
}

static void
add_counter(const char *name, JsonbValue *value, void *arg)
{
	const Task *task = arg;

	notes_add(NOTE_COUNTER, task->execution_id, name, NumericGetDatum(value->val.numeric));
}

static void
set_context(const char *key, JsonbValue *value, void *arg)
{
	const Task *task = arg;

	notes_add(NOTE_OVERWRITE, task->execution_id, key, JsonbPGetDatum(JsonbValueToJsonb(value)));
}

static void
collect_shared(const char *key, JsonbValue *value, void *arg)
{
	SharedDeltas *deltas = arg;

	if (deltas->n == deltas->max)
	{
		deltas->max = Max(2 * deltas->max, 16);
		deltas->deltas = deltas->deltas == NULL
							 ? palloc_array(SharedDelta, deltas->max)
							 : repalloc_array(deltas->deltas, SharedDelta, deltas->max);
	}
	deltas->deltas[deltas->n++] = (SharedDelta){pstrdup(key), whole_number(key, value)};
}

static void
add_entry(const char *step, Jsonb *detail, void *arg)
{
	progress_add(arg, step, detail);
}

/* Apply what was checked for a task that is being completed; shared values later. */
void
effects_apply(const Effects *effects, const Task *task, SharedDeltas *deltas)
{
	each_pair(effects->counters, "counters", add_counter, unconstify(Task *, task));
	each_pair(effects->context, "context", set_context, unconstify(Task *, task));
	each_pair(effects->shared, "shared", collect_shared, deltas);
	each_entry(effects->progress, add_entry, unconstify(Task *, task));
}

static int
compare_keys(const void *a, const void *b)
{
	return strcmp(((const SharedDelta *) a)->key, ((const SharedDelta *) b)->key);
}

/* Change the shared values, each once, in the order of their keys. */
void
effects_apply_shared(Store *store, SharedDeltas *deltas)
{
	qsort(deltas->deltas, deltas->n, sizeof(SharedDelta), compare_keys);
	for (int i = 0; i < deltas->n;)
	{
		SharedDelta *first = &deltas->deltas[i];

		for (i++; i < deltas->n && strcmp(deltas->deltas[i].key, first->key) == 0; i++)
			if (pg_add_s64_overflow(first->delta, deltas->deltas[i].delta, &first->delta))
				ereport(ERROR,
						(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
						 errmsg("changes of shared value \"%s\" are out of range", first->key),
						 errhint("Complete the tasks one by one.")));
		(void) shared_add(store, first->key, first->delta);
	}
}
