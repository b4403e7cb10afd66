/*
 * map_inline.c
 *	  map() outside of a handler: the items one after the other, without a task.
 *
 * As with a single call (inline.c) the function runs in the caller's transaction, so there
 * is nothing to retry and nothing to limit: an error is the caller's, with the item that it
 * is of. Where errors are collected each item has a subtransaction.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "inline.h"
#include "json.h"
#include "json_array.h"
#include "map.h"
#include "store.h"

/* {key: value} */
static Jsonb *
outcome(const char *key, Jsonb *value)
{
	JsonbParseState *state = NULL;
	JsonbValue name = {.type = jbvString};
	JsonbValue content;

	name.val.string.val = unconstify(char *, key);
	name.val.string.len = (int) strlen(key);
	JsonbToJsonbValue(value, &content);
	if (JB_ROOT_IS_SCALAR(value))
		(void) JsonbExtractScalar(&value->root, &content);
	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	(void) pushJsonbValue(&state, WJB_KEY, &name);
	(void) pushJsonbValue(&state, WJB_VALUE, &content);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/* The result of an item; an error says which one it is. */
static Jsonb *
run_item(InlineFunction *function, Jsonb *item, bool star, int64 number)
{
	MemoryContext cxt = CurrentMemoryContext;
	Jsonb *volatile result = NULL;

	PG_TRY();
	{
		result = inline_run_item(function, item, star);
	}
	PG_CATCH();
	{
		ErrorData *error;

		if (geterrcode() == ERRCODE_QUERY_CANCELED)
			PG_RE_THROW();
		MemoryContextSwitchTo(cxt);
		error = CopyErrorData();
		FlushErrorState();
		error->message = psprintf("item " INT64_FORMAT ": %s", number, error->message);
		ReThrowError(error);
	}
	PG_END_TRY();
	return result;
}

/* What became of an item, in a subtransaction of its own. */
static Jsonb *
try_item(InlineFunction *function, Jsonb *item, bool star)
{
	MemoryContext cxt = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	Jsonb *volatile made = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(cxt);
	PG_TRY();
	{
		made = outcome("result", inline_run_item(function, item, star));
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(cxt);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(cxt);
		CurrentResourceOwner = owner;
		if (error->sqlerrcode == ERRCODE_QUERY_CANCELED)
			ReThrowError(error);
		made = outcome("error", json_error(error, false));
	}
	PG_END_TRY();
	MemoryContextSwitchTo(cxt);
	CurrentResourceOwner = owner;
	return made;
}

/* The results of all items; see map.h. */
Jsonb *
map_inline(const char *function, Jsonb *items, bool star, bool collect)
{
	Store *store = store_open_to_read();
	InlineFunction *call = inline_begin(store, function);
	MemoryContext cxt =
		AllocSetContextCreate(CurrentMemoryContext, "stent inline item", ALLOCSET_DEFAULT_SIZES);
	JsonArray results;
	JsonElements walk;
	JsonElement element;

	store_close(store);
	json_array_begin(&results);
	json_elements_begin(&walk, items);
	for (int64 number = 0; json_elements_next(&walk, &element); number++)
	{
		MemoryContext old = MemoryContextSwitchTo(cxt);
		Jsonb *item;
		Jsonb *result;

		CHECK_FOR_INTERRUPTS();
		map_check_item(&element, number);
		item = json_element_value(&element);
		result = collect ? try_item(call, item, star) : run_item(call, item, star, number);
		MemoryContextSwitchTo(old);
		json_array_add_value(&results, result);
		MemoryContextReset(cxt);
	}
	MemoryContextDelete(cxt);
	return json_array_finish(&results);
}
