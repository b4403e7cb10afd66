/*
 * map_call.c
 *	  map() and starmap(): one function called for all items of an array.
 *
 * In a handler that is a step, whose child is the map. It is made when the handler is
 * left, and its results are gathered when the handler comes here again; they are not kept
 * a second time with the step. Elsewhere the items are run at once (map_inline.c).
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "clock.h"
#include "compat.h"
#include "intern.h"
#include "json.h"
#include "json_array.h"
#include "map.h"
#include "ready.h"
#include "registry.h"
#include "step.h"

/* A map between its step and the end of the handler; all in the steps' context. */
typedef struct NewMap
{
	Options options;
	int32 function_id;
	Jsonb *policy; /* NULL: the function's */
	MapOptions map;
	Jsonb *items;
} NewMap;

static Jsonb *
copy_json(Jsonb *json)
{
	return json == NULL ? NULL
						: (Jsonb *) DatumGetPointer(
							  PointerGetDatum(PG_DETOAST_DATUM_COPY(JsonbPGetDatum(json))));
}

/* Keep what making the map needs when the handler is over. */
static NewMap *
prepare(Store *store, const Options *options, const MapOptions *map, Jsonb *items)
{
	MemoryContext old = MemoryContextSwitchTo(step_context());
	NewMap *new = palloc0_object(NewMap);

	new->options = *options;
	new->function_id = options->function->id;
	new->options.queue = pstrdup(options->queue);
	new->options.tags = DatumGetArrayTypePCopy(PointerGetDatum(options->tags));
	new->options.headers = copy_json(options->headers);
	if (options->timeout != NULL)
	{
		new->options.timeout = palloc_object(Interval);
		*new->options.timeout = *options->timeout;
	}
	if (options->policy_id != options->function->policy_id)
		new->policy = copy_json(policy_jsonb(store, options->policy_id));
	new->map = *map;
	new->items = copy_json(items);
	MemoryContextSwitchTo(old);
	return new;
}

/* Write the map. What the handler has interned may be undone: that is looked up again. */
static int64
make(Store *store, const Task *parent, void *arg)
{
	NewMap *new = arg;
	Options *options = &new->options;
	MapBuilder builder;
	JsonElements walk;
	JsonElement element;
	JsonArray chunk;
	JsonArrayMark empty;
	int64 id;

	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	options->now = clock_now();
	options->lane_id =
		lane_intern(store, options->role, new->function_id, options->queue, options->tags);
	options->function = function_by_id(store, new->function_id);
	if (new->policy != NULL)
		options->policy_id = policy_intern(store, new->policy);
	map_begin(&builder, store, options, &new->map, parent);
	json_array_begin(&chunk);
	empty = json_array_mark(&chunk);
	json_elements_begin(&walk, new->items);
	while (json_elements_next(&walk, &element))
	{
		json_array_add(&chunk, &element);
		if (chunk.n == builder.row.chunk_size || walk.next == walk.n)
		{
			Jsonb *items = json_array_finish(&chunk);

			CHECK_FOR_INTERRUPTS();
			map_add_chunk(&builder, items, chunk.n);
			pfree(items);
			json_array_cut(&chunk, empty);
		}
	}
	id = map_finish(&builder);
	PopActiveSnapshot();
	return id;
}

static void
check_items(Jsonb *items)
{
	JsonElements walk;
	JsonElement element;

	json_elements_begin(&walk, items);
	while (json_elements_next(&walk, &element))
		map_check_item(&element, walk.next - 1);
}

/* Have a step make a map, when its handler is over. */
void
map_step_make(Store *store, Step *step, const Options *options, const MapOptions *map, Jsonb *items)
{
	(void) function_handler(options->function);
	check_items(items);
	if (options->function->handler_name == NULL)
		dispatch_check_utf8(items, "items");
	step_to_make(step, make, prepare(store, options, map, items));
}

/* The item that a map failed with, or -1: it was cancelled, or timed out. */
int
map_failed_index(const Ending *ending)
{
	JsonbValue buffer;
	JsonbValue *index =
		ending->error == NULL
			? NULL
			: getKeyJsonValueFromContainer(&ending->error->root, "index", strlen("index"), &buffer);

	return index == NULL || index->type != jbvNumeric
			   ? -1
			   : DatumGetInt32(
					 DirectFunctionCall1(numeric_int4, NumericGetDatum(index->val.numeric)));
}

/* The results of a map in a handler, or the handler is left until there are some. */
static Jsonb *
map_step(FunctionCallInfo fcinfo, Jsonb *items, const MapOptions *map, bool gather,
		 const char *what)
{
	static const OptionArgs at = {.queue = MAP_ARG_QUEUE,
								  .priority = MAP_ARG_PRIORITY,
								  .tags = MAP_ARG_TAGS,
								  .delay = -1,
								  .run_at = -1,
								  .max_duration = -1,
								  .timeout = MAP_ARG_TIMEOUT,
								  .retry = MAP_ARG_RETRY,
								  .headers = MAP_ARG_HEADERS};
	Store *store;
	Function *function;
	Step *step;
	Jsonb *results = NULL;

	(void) steps_require(what, "It is a step of the task that stent runs in this session.");
	store = store_open(what);
	function =
		function_ever_registered(store, text_to_cstring(PG_GETARG_TEXT_PP(MAP_ARG_FUNCTION)));
	step = step_next(STEP_MAP, step_name_argument(fcinfo, MAP_ARG_STEP_NAME, "step_name"),
					 function->id, step_digest_json(items), function->name);
	if (step->fresh)
	{
		Options options;

		dispatch_read_options(fcinfo, store, &at, &options);
		map_step_make(store, step, &options, map, items);
	}
	if (step->state == STEP_FAILED)
		step_raise_again(step);
	if (step->state == STEP_WAITING)
	{
		Ending ending;

		step_child(step, &ending);
		if (ending.state != TASK_COMPLETED)
			step_fail_child(step, step->child_id, &ending, map_failed_index(&ending));
		step_done(step, NULL);
	}
	if (gather)
	{
		CommandCounterIncrement();
		PushActiveSnapshot(GetLatestSnapshot());
		results = map_gather(store, step->child_id);
		PopActiveSnapshot();
	}
	store_close(store);
	return results;
}

Jsonb *
map_call(FunctionCallInfo fcinfo, bool star, bool gather, const char *what)
{
	MapOptions options;
	Jsonb *items;

	if (PG_ARGISNULL(MAP_ARG_FUNCTION))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("function must not be null"),
				 errhint("Give the name of a registered function; see the view stent.functions.")));
	if (PG_ARGISNULL(MAP_ARG_ITEMS))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("items must not be null"),
						errhint("Give an array; '[]' is one without items.")));
	items = PG_GETARG_JSONB_P(MAP_ARG_ITEMS);
	if (!JB_ROOT_IS_ARRAY(items) || JB_ROOT_IS_SCALAR(items))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("items must be an array, not %s", json_text(items)),
						errhint("jsonb_agg makes an array of a query's rows.")));
	map_read_options(fcinfo, MAP_ARG_CHUNK_SIZE, MAP_ARG_LIMIT, MAP_ARG_ON_ERROR, &options);
	options.star = star;
	if (attempt_task() == NULL)
		return map_inline(text_to_cstring(PG_GETARG_TEXT_PP(MAP_ARG_FUNCTION)), items, star,
						  options.collect);
	return map_step(fcinfo, items, &options, gather, what);
}

PG_FUNCTION_INFO_V1(stent_map);
Datum
stent_map(PG_FUNCTION_ARGS)
{
	PG_RETURN_JSONB_P(map_call(fcinfo, false, true, "stent.map()"));
}

PG_FUNCTION_INFO_V1(stent_starmap);
Datum
stent_starmap(PG_FUNCTION_ARGS)
{
	PG_RETURN_JSONB_P(map_call(fcinfo, true, true, "stent.starmap()"));
}
