/*
 * suspend_read.c
 *	  The steps that a worker gives to suspend(), read from their JSON.
 *
 * Everything that can be said of a step by itself is checked here, before anything is
 * looked at or written: its kind, its keys, their types and ranges. What needs the database
 * (which functions there are, what the task remembers) is left to suspend.c.
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "clock.h"
#include "guc.h"
#include "json.h"
#include "lease_call.h"
#include "suspend_read.h"

typedef struct KindSpec
{
	const char *word;
	StepKind kind;
	bool blocks;
	const char *name_key; /* of the step's own name */
	void (*read)(const JsonKeys *keys, StepOrder *order);
	const char *const *keys;
} KindSpec;

static void
read_child(const JsonKeys *keys, StepOrder *order)
{
	options_json_read(keys, &order->options);
	order->args = json_keys_json(keys, "args");
	if (order->args == NULL)
		order->args = json_empty_object();
	order->idempotency_key = options_json_key(keys, "idempotency_key");
	order->concurrency_key = options_json_key(keys, "concurrency_key");
}

static void
read_map(const JsonKeys *keys, StepOrder *order)
{
	MapOptions *map = &order->map;
	char *on_error = json_keys_string(keys, "on_error");
	int64 number;

	options_json_read(keys, &order->options);
	order->items = json_keys_array(keys, "items");
	if (order->items == NULL)
		json_keys_missing(keys, "items");
	map->chunk_size = MAP_CHUNK_SIZE;
	map->limit = stent_task_pool_size;
	if (json_keys_integer(keys, "chunk_size", 1, MAP_CHUNK_SIZE_MAX, &number))
		map->chunk_size = (int) number;
	if (json_keys_integer(keys, "concurrency_limit", 1, PG_INT32_MAX, &number))
		map->limit = (int) number;
	map->collect = on_error != NULL && strcmp(on_error, "collect") == 0;
	if (on_error != NULL && !map->collect && strcmp(on_error, "fail") != 0)
		json_keys_refuse(keys, "on_error", "fail or collect");
}

static void
read_starmap(const JsonKeys *keys, StepOrder *order)
{
	read_map(keys, order);
	order->map.star = true;
}

/* What the worker has done itself, or the error it met. */
static void
read_local(const JsonKeys *keys, StepOrder *order)
{
	order->result = json_keys_json(keys, "result");
	order->error = json_keys_object(keys, "error");
	if (order->result != NULL && order->error != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s has both \"result\" and \"error\"", order->where),
						errhint("A step has one of them.")));
	if (order->error != NULL)
		lease_call_check_error(order->error);
	else if (order->result == NULL)
		order->result = json_null();
	if (order->result != NULL)
		json_check_size(order->result, "result");
}

static void
read_record(const JsonKeys *keys, StepOrder *order)
{
	order->result = json_keys_json(keys, "value");
	if (order->result == NULL)
		order->result = json_null();
	json_check_size(order->result, "value");
}

static void
read_sleep(const JsonKeys *keys, StepOrder *order)
{
	order->duration = json_keys_interval(keys, "duration");
	if (order->duration == NULL)
		json_keys_missing(keys, "duration");
	interval_check(order->duration, "duration");
}

/* How long to wait at most; none and zero: any time. */
static void
read_timeout(const JsonKeys *keys, StepOrder *order)
{
	order->timeout = json_keys_interval(keys, "timeout");
	if (order->timeout == NULL)
		return;
	interval_check(order->timeout, "timeout");
	if (interval_us(order->timeout) == 0)
		order->timeout = NULL;
}

/* An id, or {"step": 0}: the child that that step makes. */
static bool
read_target(const StepOrder *order, JsonbValue *value, StepTarget *target)
{
	JsonbValue *step = NULL;
	int64 number;

	*target = (StepTarget){.id = NO_ID, .step = -1};
	if (json_keys_value_integer(value, &target->id))
		return target->id > NO_ID;
	if (value->type == jbvBinary && JsonContainerIsObject(value->val.binary.data) &&
		JsonContainerSize(value->val.binary.data) == 1)
		step = getKeyJsonValueFromContainer(value->val.binary.data, "step", strlen("step"), NULL);
	if (step == NULL || !json_keys_value_integer(step, &number) || number < 0 ||
		number >= order->index)
		return false;
	target->step = (int) number;
	return true;
}

#define TARGET_WANTED "the id of a task, or {\"step\": n} of an earlier spawn of this call"

static void
read_await(const JsonKeys *keys, StepOrder *order)
{
	JsonbValue *id = json_keys_find(keys, "id");

	if (id == NULL)
		json_keys_missing(keys, "id");
	order->n_targets = 1;
	order->targets = palloc_object(StepTarget);
	if (!read_target(order, id, &order->targets[0]))
		json_keys_refuse(keys, "id", TARGET_WANTED);
	read_timeout(keys, order);
}

static void
read_await_all(const JsonKeys *keys, StepOrder *order)
{
	Jsonb *ids = json_keys_array(keys, "ids");
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue value;

	if (ids == NULL)
		json_keys_missing(keys, "ids");
	order->targets = palloc_array(StepTarget, Max(JB_ROOT_COUNT(ids), 1));
	it = JsonbIteratorInit(&ids->root);
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		if (token != WJB_ELEM)
			continue;
		if (!read_target(order, &value, &order->targets[order->n_targets++]))
			json_keys_refuse(keys, "ids", "an array, each element " TARGET_WANTED);
	}
	read_timeout(keys, order);
}

static void
read_signal(const JsonKeys *keys, StepOrder *order)
{
	order->signal = json_keys_string(keys, "name");
	if (order->signal == NULL)
		json_keys_missing(keys, "name");
	(void) check_name(cstring_to_text(order->signal), "name");
	read_timeout(keys, order);
}

static const char *const call_keys[] = {
	"kind", "name", "number", "args", "idempotency_key", "concurrency_key", OPTIONS_JSON_KEYS,
	NULL};
static const char *const spawn_keys[] = {
	"kind", "name", "number", "args", "concurrency_key", OPTIONS_JSON_KEYS, NULL};
static const char *const map_keys[] = {
	"kind",     "name",  "number",   "function", "items",   "chunk_size", "concurrency_limit",
	"on_error", "queue", "priority", "tags",     "timeout", "retry",      "headers",
	NULL};
static const char *const local_keys[] = {"kind", "name", "number", "result", "error", NULL};
static const char *const record_keys[] = {"kind", "name", "number", "value", NULL};
static const char *const sleep_keys[] = {"kind", "name", "number", "duration", NULL};
static const char *const await_keys[] = {"kind", "name", "number", "id", "timeout", NULL};
static const char *const await_all_keys[] = {"kind", "name", "number", "ids", "timeout", NULL};
static const char *const signal_keys[] = {"kind", "name", "step_name", "number", "timeout", NULL};

static const KindSpec kinds[] = {
	{"call", STEP_CALL, true, "name", read_child, call_keys},
	{"spawn", STEP_SPAWN, false, "name", read_child, spawn_keys},
	{"map", STEP_MAP, true, "name", read_map, map_keys},
	{"starmap", STEP_MAP, true, "name", read_starmap, map_keys},
	{"step", STEP_LOCAL, false, "name", read_local, local_keys},
	{"record", STEP_RECORD, false, "name", read_record, record_keys},
	{"sleep", STEP_SLEEP, true, "name", read_sleep, sleep_keys},
	{"await", STEP_AWAIT, true, "name", read_await, await_keys},
	{"await_all", STEP_AWAIT_ALL, true, "name", read_await_all, await_all_keys},
	{"signal", STEP_SIGNAL, true, "step_name", read_signal, signal_keys},
};

static const KindSpec *
kind_of(const JsonKeys *keys)
{
	char *word = json_keys_string(keys, "kind");

	if (word == NULL)
		json_keys_missing(keys, "kind");
	for (int i = 0; i < lengthof(kinds); i++)
		if (strcmp(kinds[i].word, word) == 0)
			return &kinds[i];
	json_keys_refuse(
		keys, "kind",
		"one of call, spawn, map, starmap, step, record, sleep, await, await_all, signal");
}

static void
read_order(Jsonb *json, StepOrder *order)
{
	JsonKeys keys;
	const KindSpec *spec;
	int64 number;

	json_keys_begin(&keys, json, order->where);
	spec = kind_of(&keys);
	json_keys_known(&keys, spec->keys);
	order->kind = spec->kind;
	order->blocks = spec->blocks;
	order->number = -1;
	order->name = json_keys_string(&keys, spec->name_key);
	if (order->name != NULL)
		(void) check_name(cstring_to_text(order->name), spec->name_key);
	else if (spec->kind == STEP_LOCAL || spec->kind == STEP_RECORD)
		json_keys_missing(&keys, spec->name_key);
	if (json_keys_integer(&keys, "number", 1, PG_INT32_MAX, &number))
		order->number = (int) number;
	spec->read(&keys, order);
}

/* Tells which step an error is about. */
void
suspend_read_context(void *order)
{
	errcontext("step %d of steps", ((StepOrder *) order)->index);
}

/* Only what an earlier spawn makes can be waited for here. */
static void
check_targets(const StepOrder *orders, const StepOrder *order)
{
	for (int i = 0; i < order->n_targets; i++)
		if (order->targets[i].id == NO_ID && orders[order->targets[i].step].kind != STEP_SPAWN)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("%s waits for step %d, which is no spawn", order->where,
								   order->targets[i].step),
							errhint("Steps are counted from 0 in the array.")));
}

/* Read them all; at most the last may be one that blocks. */
StepOrder *
suspend_read(Jsonb *steps, int *n)
{
	StepOrder *orders;
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue value;
	ErrorContextCallback callback = {.callback = suspend_read_context,
									 .previous = error_context_stack};

	if (!JB_ROOT_IS_ARRAY(steps) || JB_ROOT_IS_SCALAR(steps))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("steps must be an array of objects, not %s", json_text(steps)),
				 errhint("Give objects such as {\"kind\": \"sleep\", \"duration\": \"5m\"}.")));
	orders = palloc0_array(StepOrder, Max(JB_ROOT_COUNT(steps), 1));
	*n = 0;
	it = JsonbIteratorInit(&steps->root);
	error_context_stack = &callback;
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		StepOrder *order = &orders[*n];

		if (token != WJB_ELEM)
			continue;
		CHECK_FOR_INTERRUPTS();
		callback.arg = order;
		order->index = *n;
		order->where = psprintf("step %d", *n);
		read_order(JsonbValueToJsonb(&value), order);
		check_targets(orders, order);
		if (order->blocks && *n + 1 < JB_ROOT_COUNT(steps))
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("%s blocks, but is not the last", order->where),
							errhint("What comes behind it is known when it is done: suspend with "
									"it, and go on when the task is claimed again.")));
		(*n)++;
	}
	error_context_stack = callback.previous;
	return orders;
}
