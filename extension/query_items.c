/*
 * query_items.c
 *	  The rows of a query as the items of a map, some at a time.
 *
 * The query runs through a cursor, with the rights and the settings of the caller and in
 * the caller's transaction, so it sees what the caller would see; no more of it is in
 * memory than a few rows. A row of one column is that value, of several an object of them.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "tcop/utility.h"
#include "utils/fmgroids.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "utils/portal.h"

#include "json.h"
#include "map.h"
#include "query_items.h"

/* Rows that are fetched together. */
#define FETCH_ROWS 100

struct QueryItems
{
	Portal portal;
	TupleDesc desc;    /* of the rows, as a type that to_jsonb can look up */
	bool plain;        /* the only column is jsonb */
	FmgrInfo to_json;  /* for what is not */
	MemoryContext cxt; /* of a few rows */
	int64 number;      /* of the next row, from 0 */
};

/* Refuse what gives no rows, and what is no query at all. */
static void
check_plan(SPIPlanPtr plan)
{
	List *sources = SPI_plan_get_plan_sources(plan);
	CommandTag tag = CMDTAG_UNKNOWN;

	if (list_length(sources) == 1)
		tag = ((CachedPlanSource *) linitial(sources))->commandTag;
	else
		ereport(ERROR, (errcode(ERRCODE_INVALID_CURSOR_DEFINITION),
						errmsg("query must be one statement, not %d", list_length(sources)),
						errhint("Give a SELECT, or VALUES, or a statement with RETURNING.")));
	/* what only shows or calls something is utility: its rows are no data of anybody's */
	if (!SPI_is_cursor_plan(plan) ||
		(tag != CMDTAG_SELECT && tag != CMDTAG_INSERT && tag != CMDTAG_UPDATE &&
		 tag != CMDTAG_DELETE && tag != CMDTAG_MERGE))
		ereport(ERROR, (errcode(ERRCODE_INVALID_CURSOR_DEFINITION),
						errmsg("query gives no rows to map: it is %s", GetCommandTagName(tag)),
						errhint("Give a SELECT, or VALUES, or a statement with RETURNING.")));
}

/* Refuse columns of which an object would keep but one, or none. */
static void
check_columns(TupleDesc desc)
{
	if (desc->natts == 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_CURSOR_DEFINITION),
						errmsg("query gives rows without columns"),
						errhint("Each row is an item: select what the function needs.")));
	for (int i = 0; i < desc->natts; i++)
		for (int j = 0; j < i; j++)
			if (strcmp(NameStr(TupleDescAttr(desc, i)->attname),
					   NameStr(TupleDescAttr(desc, j)->attname)) == 0)
				ereport(ERROR, (errcode(ERRCODE_DUPLICATE_COLUMN),
								errmsg("two columns of query are called \"%s\"",
									   NameStr(TupleDescAttr(desc, i)->attname)),
								errhint("A row of several columns becomes an object: name them "
										"differently with AS.")));
}

/* Begin to run the query. Connects to SPI until query_items_close. */
QueryItems *
query_items_open(const char *query)
{
	MemoryContext old = CurrentMemoryContext;
	QueryItems *items = palloc0_object(QueryItems);
	SPIPlanPtr plan;
	Oid type;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	plan = SPI_prepare_cursor(query, 0, NULL, CURSOR_OPT_NO_SCROLL);
	if (plan == NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_CURSOR_DEFINITION),
						errmsg("query cannot be run here: %s", SPI_result_code_string(SPI_result)),
						errhint("Give a SELECT, or VALUES, or a statement with RETURNING.")));
	check_plan(plan);
	items->portal = SPI_cursor_open(NULL, plan, NULL, NULL, false);
	MemoryContextSwitchTo(old);
	check_columns(items->portal->tupDesc);
	items->desc = BlessTupleDesc(CreateTupleDescCopy(items->portal->tupDesc));
	type = items->desc->natts == 1 ? TupleDescAttr(items->desc, 0)->atttypid : RECORDOID;
	items->plain = type == JSONBOID;
	fmgr_info(F_TO_JSONB, &items->to_json);
	fmgr_info_set_expr((Node *) makeFuncExpr(F_TO_JSONB, JSONBOID,
											 list_make1(makeNullConst(type, -1, InvalidOid)),
											 InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL),
					   &items->to_json);
	items->cxt =
		AllocSetContextCreate(CurrentMemoryContext, "stent query rows", ALLOCSET_DEFAULT_SIZES);
	return items;
}

/* The item that a row is. */
static Jsonb *
item_of(QueryItems *items, HeapTuple tuple)
{
	LOCAL_FCINFO(convert, 1);
	Datum value;
	bool isnull = false;

	if (items->desc->natts > 1)
		value = heap_copy_tuple_as_datum(tuple, items->desc);
	else
		value = heap_getattr(tuple, 1, items->desc, &isnull);
	if (isnull)
		return json_null();
	if (items->plain)
		return DatumGetJsonbP(value);
	InitFunctionCallInfoData(*convert, &items->to_json, 1, InvalidOid, NULL, NULL);
	convert->args[0].value = value;
	convert->args[0].isnull = false;
	return DatumGetJsonbP(FunctionCallInvoke(convert));
}

/* Add up to max items to the array, which has room for them; false: there are no more. */
bool
query_items_read(QueryItems *items, JsonArray *array, int max)
{
	while (array->n < max)
	{
		MemoryContext old = CurrentMemoryContext;
		uint64 n;

		CHECK_FOR_INTERRUPTS();
		SPI_cursor_fetch(items->portal, true, Min(max - array->n, FETCH_ROWS));
		n = SPI_processed;
		for (uint64 i = 0; i < n; i++)
		{
			JsonElement element;

			MemoryContextSwitchTo(items->cxt);
			json_element_of(item_of(items, SPI_tuptable->vals[i]), &element);
			map_check_item(&element, items->number++);
			MemoryContextSwitchTo(old);
			json_array_add(array, &element);
		}
		MemoryContextReset(items->cxt);
		SPI_freetuptable(SPI_tuptable);
		if (n == 0)
			return false;
	}
	return true;
}

/* The query is over, whether its rows have all been read or not. */
void
query_items_close(QueryItems *items)
{
	MemoryContext old = CurrentMemoryContext;

	SPI_cursor_close(items->portal);
	if (SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "SPI_finish failed");
	MemoryContextSwitchTo(old);
	MemoryContextDelete(items->cxt);
}
