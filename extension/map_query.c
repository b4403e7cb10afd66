/*
 * map_query.c
 *	  map_query(): a map over the rows of a query.
 *
 * The rows become chunks as they are read (query_items.c), so however many there are, one
 * chunk of them is in memory. In a plain session the map is an execution of its own, written by
 * the dispatching transaction like any other. In a handler it is a local step: the query
 * runs when the handler was left, and what the step returns, and the handler gets, is the
 * id of the map, to be awaited or not.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "attempt.h"
#include "clock.h"
#include "dispatch.h"
#include "fault.h"
#include "intern.h"
#include "json.h"
#include "map.h"
#include "query_items.h"
#include "ready.h"
#include "registry.h"
#include "step.h"

enum
{
	MAP_QUERY_FUNCTION,
	MAP_QUERY_QUERY,
	MAP_QUERY_CHUNK_SIZE,
	MAP_QUERY_LIMIT,
	MAP_QUERY_ON_ERROR,
	MAP_QUERY_QUEUE,
	MAP_QUERY_PRIORITY,
	MAP_QUERY_TAGS,
	MAP_QUERY_MAX_DURATION,
	MAP_QUERY_TIMEOUT,
	MAP_QUERY_RETRY,
	MAP_QUERY_HEADERS,
	MAP_QUERY_STEP_NAME
};

/* What the step of a handler needs when the handler was left. */
typedef struct MapQuery
{
	char *query;
	Oid user; /* who asked for it: a handler may be SECURITY DEFINER, */
	int sec_context;
	char *search_path; /* and have a path of its own */
	MapOptions map;
	int32 function_id;
	char role[NAMEDATALEN];
	char *queue;
	ArrayType *tags;
	int priority;
	Interval *timeout;
	Jsonb *policy; /* NULL: the function's */
	Jsonb *headers;
} MapQuery;

/* Run the query and make a map of its rows. */
static int64
make_map(Store *store, const Options *options, const MapOptions *map, const Task *parent,
		 const char *query)
{
	MemoryContext cxt =
		AllocSetContextCreate(CurrentMemoryContext, "stent map_query", ALLOCSET_DEFAULT_SIZES);
	QueryItems *rows = query_items_open(query);
	MapBuilder builder;
	bool more = true;

	map_begin(&builder, store, options, map, parent);
	while (more)
	{
		MemoryContext old = MemoryContextSwitchTo(cxt);
		JsonArray items;

		json_array_begin(&items);
		more = query_items_read(rows, &items, builder.row.chunk_size);
		if (items.n > 0)
		{
			Jsonb *array = json_array_finish(&items);

			if (options->function->handler_name == NULL)
				dispatch_check_utf8(array, "items");
			map_add_chunk(&builder, array, items.n);
		}
		MemoryContextSwitchTo(old);
		MemoryContextReset(cxt);
		STENT_FAULT("map_query_chunk");
	}
	query_items_close(rows);
	MemoryContextDelete(cxt);
	return map_finish(&builder);
}

static Jsonb *
copy_json(Jsonb *json)
{
	return json == NULL ? NULL
						: (Jsonb *) DatumGetPointer(
							  PointerGetDatum(PG_DETOAST_DATUM_COPY(JsonbPGetDatum(json))));
}

/* Keep what the handler asked for until it was left; in the current context. */
static MapQuery *
keep(Store *store, const Options *options, const MapOptions *map, const char *query)
{
	MapQuery *kept = palloc0_object(MapQuery);

	kept->query = pstrdup(query);
	GetUserIdAndSecContext(&kept->user, &kept->sec_context);
	kept->search_path = pstrdup(GetConfigOption("search_path", false, false));
	kept->map = *map;
	kept->function_id = options->function->id;
	strlcpy(kept->role, options->role, NAMEDATALEN);
	kept->queue = pstrdup(options->queue);
	kept->tags = DatumGetArrayTypePCopy(PointerGetDatum(options->tags));
	kept->priority = options->priority;
	if (options->timeout != NULL)
	{
		kept->timeout = palloc_object(Interval);
		*kept->timeout = *options->timeout;
	}
	/* the row of one that was just added goes with the handler's subtransaction */
	if (options->policy_id != options->function->policy_id)
		kept->policy = copy_json(policy_jsonb(store, options->policy_id));
	kept->headers = copy_json(options->headers);
	return kept;
}

/* Run the query as who asked for it: with the rights and the path that it was written for. */
static int64
make_map_as_asked(Store *store, const Options *options, const MapQuery *kept, const Task *parent)
{
	int guc_level = NewGUCNestLevel();
	Oid user;
	int sec_context;
	int64 id;

	GetUserIdAndSecContext(&user, &sec_context);
	SetUserIdAndSecContext(kept->user, kept->sec_context);
	(void) set_config_option("search_path", kept->search_path, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	id = make_map(store, options, &kept->map, parent, kept->query);
	AtEOXact_GUC(true, guc_level);
	SetUserIdAndSecContext(user, sec_context);
	return id;
}

/* The local step: the handler was left, its transaction goes on. Returns the id of the map. */
static Jsonb *
act(const Task *parent, void *arg)
{
	const MapQuery *kept = arg;
	Store *store = store_open("stent.map_query()");
	Options options = {.function = function_by_id(store, kept->function_id),
					   .queue = kept->queue,
					   .priority = kept->priority,
					   .tags = kept->tags,
					   .now = clock_now(),
					   .due_at = NO_TIME,
					   .deadline = parent->deadline,
					   .timeout = kept->timeout,
					   .headers = kept->headers};
	int64 id;

	options.policy_id =
		kept->policy == NULL ? options.function->policy_id : policy_intern(store, kept->policy);
	strlcpy(options.role, kept->role, NAMEDATALEN);
	options.lane_id =
		lane_intern(store, options.role, kept->function_id, options.queue, options.tags);
	options.bucket = ready_bucket(options.role, options.priority, options.lane_id);
	id = make_map_as_asked(store, &options, kept, parent);
	store_close(store);
	return DatumGetJsonbP(
		DirectFunctionCall1(jsonb_in, CStringGetDatum(psprintf(INT64_FORMAT, id))));
}

/* In a handler: the id of the map, once the step that makes it is done. Closes the store. */
static int64
map_query_step(FunctionCallInfo fcinfo, Store *store, const Options *options, const MapOptions *map,
			   const char *query)
{
	char *name = step_name_argument(fcinfo, MAP_QUERY_STEP_NAME, "step_name");
	Step *step = step_next(STEP_MAP_QUERY, name, options->function->id,
						   step_digest(query, strlen(query)), options->function->name);
	JsonbValue *number;

	if (step->state == STEP_WAITING)
	{
		MemoryContext old = MemoryContextSwitchTo(step_context());

		step->act = act;
		step->arg = keep(store, options, map, query);
		MemoryContextSwitchTo(old);
	}
	store_close(store);
	if (step->state == STEP_FAILED)
		step_raise_again(step);
	if (step->state == STEP_WAITING)
		step_wait(step);
	number = getIthJsonbValueFromContainer(&step_result(step)->root, 0);
	return DatumGetInt64(DirectFunctionCall1(numeric_int8, NumericGetDatum(number->val.numeric)));
}

PG_FUNCTION_INFO_V1(stent_map_query);
Datum
stent_map_query(PG_FUNCTION_ARGS)
{
	static const OptionArgs at = {.queue = MAP_QUERY_QUEUE,
								  .priority = MAP_QUERY_PRIORITY,
								  .tags = MAP_QUERY_TAGS,
								  .delay = -1,
								  .run_at = -1,
								  .max_duration = MAP_QUERY_MAX_DURATION,
								  .timeout = MAP_QUERY_TIMEOUT,
								  .retry = MAP_QUERY_RETRY,
								  .headers = MAP_QUERY_HEADERS};
	bool in_handler = attempt_task() != NULL;
	MapOptions map;
	Options options;
	Store *store;
	char *query;
	int64 id;

	if (PG_ARGISNULL(MAP_QUERY_QUERY))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("query must not be null"),
						errhint("Give a SELECT: each row is an item.")));
	query = text_to_cstring(PG_GETARG_TEXT_PP(MAP_QUERY_QUERY));
	map_read_options(fcinfo, MAP_QUERY_CHUNK_SIZE, MAP_QUERY_LIMIT, MAP_QUERY_ON_ERROR, &map);
	map.star = false;
	if (in_handler)
	{
		(void) steps_require("stent.map_query()", "");
		if (!PG_ARGISNULL(MAP_QUERY_MAX_DURATION))
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("max_duration is of an execution, and the map is of this one"),
							errhint("Bound each attempt at a chunk with timeout, or the whole "
									"execution when it is dispatched.")));
	}
	else if (!PG_ARGISNULL(MAP_QUERY_STEP_NAME))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("step_name belongs in a handler"),
				 errhint("Elsewhere a map is an execution of its own.")));
	store = store_open("stent.map_query()");
	dispatch_read_options(fcinfo, store, &at, &options);
	if (in_handler)
		PG_RETURN_INT64(map_query_step(fcinfo, store, &options, &map, query));
	id = make_map(store, &options, &map, NULL, query);
	store_close(store);
	PG_RETURN_INT64(id);
}
