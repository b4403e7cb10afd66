/*
 * shared.c
 *	  Values shared by all sessions and tasks of the database: shared_*().
 *
 * A change locks the row when it is called, waits for whoever changed it before,
 * and works on what that one left behind: so adds are exact, and done in the order
 * of the calls. The lock lasts until the caller's transaction ends. Under REPEATABLE
 * READ and above a value that changed since the snapshot is 40001.
 */
#include "postgres.h"

#include <errno.h>

#include "access/xact.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "common/int.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/numeric.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "json.h"
#include "shared.h"
#include "store.h"

#define MAX_KEY_LENGTH 1000

enum SharedColumn
{
	SHARED_KEY = 1,
	SHARED_VALUE,
	SHARED_COLUMNS = SHARED_VALUE
};

static Datum
key_argument(FunctionCallInfo fcinfo)
{
	text *key;

	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("key must not be null"),
						errhint("Give the name of the shared value.")));
	key = PG_GETARG_TEXT_PP(0);
	if (VARSIZE_ANY_EXHDR(key) == 0 || VARSIZE_ANY_EXHDR(key) > MAX_KEY_LENGTH)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("key must have 1 to %d bytes, not %d", MAX_KEY_LENGTH,
							   (int) VARSIZE_ANY_EXHDR(key)),
						errhint("Use short, stable names; a hash can stand for a long one.")));
	return PointerGetDatum(key);
}

pg_noreturn static void
unknown_key(Datum key)
{
	ereport(ERROR, (errcode(ERRCODE_NO_DATA_FOUND),
					errmsg("shared value \"%s\" does not exist", TextDatumGetCString(key)),
					errhint("Set it first, with stent.shared_set().")));
}

/* See what this transaction has done so far, and what others have committed. */
static void
begin_looking(void)
{
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
}

static StoreRel *
find(Store *store, Datum key)
{
	StoreRel *table = store_table(store, STORE_SHARED);
	ScanKeyData scan_key;

	ScanKeyInit(&scan_key, SHARED_KEY, BTEqualStrategyNumber, F_TEXTEQ, key);
	scan_key.sk_collation = DEFAULT_COLLATION_OID;
	return store_find(table, GetActiveSnapshot(), &scan_key, 1) ? table : NULL;
}

/* Lock the newest version of the row, left in the table's slot; NULL if there is none. */
static StoreRel *
lock_newest(Store *store, Datum key, LockTupleMode mode)
{
	/* that of a fixed snapshot is the newest one, or there is a conflict */
	uint8 flags = IsolationUsesXactSnapshot() ? 0 : TUPLE_LOCK_FLAG_FIND_LAST_VERSION;
	StoreRel *table;

	while ((table = find(store, key)) != NULL)
	{
		ItemPointerData tid = table->out->tts_tid;
		TM_FailureData tmfd;
		TM_Result result;

		ExecClearTuple(table->out);
		result = table_tuple_lock(table->rel, &tid, GetActiveSnapshot(), table->out,
								  GetCurrentCommandId(false), mode, LockWaitBlock, flags, &tmfd);
		if (result == TM_Ok)
			return table;
		if (IsolationUsesXactSnapshot() && (result == TM_Updated || result == TM_Deleted))
			ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
							errmsg("could not serialize access to shared value \"%s\"",
								   TextDatumGetCString(key)),
							errhint("Another transaction changed it; try again.")));
		if (result != TM_Deleted)
			elog(ERROR, "unexpected result %d of locking a shared value", (int) result);
		/* whoever deleted it may have set it again */
		CHECK_FOR_INTERRUPTS();
		PopActiveSnapshot();
		begin_looking();
	}
	return NULL;
}

static Jsonb *
found_value(StoreRel *table)
{
	bool isnull;

	return DatumGetJsonbPCopy(slot_getattr(table->out, SHARED_VALUE, &isnull));
}

static void
replace_value(Store *store, StoreRel *table, Datum key, Jsonb *value)
{
	Datum values[SHARED_COLUMNS];
	bool nulls[SHARED_COLUMNS] = {0};

	values[SHARED_KEY - 1] = key;
	values[SHARED_VALUE - 1] = JsonbPGetDatum(value);
	(void) store_update(store, table, &table->out->tts_tid, values, nulls);
}

/* There was no such key a moment ago, but somebody else may be setting it, too. */
static void
insert_value(Datum key, Jsonb *value)
{
	Oid types[SHARED_COLUMNS] = {TEXTOID, JSONBOID};
	Datum values[SHARED_COLUMNS];
	ColdSql cold;

	values[SHARED_KEY - 1] = key;
	values[SHARED_VALUE - 1] = JsonbPGetDatum(value);
	cold_begin(&cold);
	if (SPI_execute_with_args("INSERT INTO stent.shared_value (key, value) VALUES ($1, $2) "
							  "ON CONFLICT (key) DO UPDATE SET value = excluded.value",
							  SHARED_COLUMNS, types, values, NULL, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "inserting a shared value failed");
	cold_end(&cold);
}

PG_FUNCTION_INFO_V1(stent_shared_set);
Datum
stent_shared_set(PG_FUNCTION_ARGS)
{
	Datum key = key_argument(fcinfo);
	Jsonb *value = PG_ARGISNULL(1) ? json_null() : PG_GETARG_JSONB_P(1);
	Store *store;
	StoreRel *table;

	json_check_size(value, "shared value");
	store = store_open("stent.shared_set()");
	begin_looking();
	table = lock_newest(store, key, LockTupleNoKeyExclusive);
	if (table != NULL)
		replace_value(store, table, key, value);
	else
		insert_value(key, value);
	PopActiveSnapshot();
	store_close(store);
	PG_RETURN_BOOL(true);
}

PG_FUNCTION_INFO_V1(stent_shared_get);
Datum
stent_shared_get(PG_FUNCTION_ARGS)
{
	Datum key = key_argument(fcinfo);
	Store *store = store_open_to_read();
	StoreRel *table;
	Jsonb *value;

	begin_looking();
	table = find(store, key);
	if (table == NULL)
		unknown_key(key);
	value = found_value(table);
	PopActiveSnapshot();
	store_close(store);
	PG_RETURN_JSONB_P(value);
}

PG_FUNCTION_INFO_V1(stent_shared_has);
Datum
stent_shared_has(PG_FUNCTION_ARGS)
{
	Datum key = key_argument(fcinfo);
	Store *store = store_open_to_read();
	bool found;

	begin_looking();
	found = find(store, key) != NULL;
	PopActiveSnapshot();
	store_close(store);
	PG_RETURN_BOOL(found);
}

PG_FUNCTION_INFO_V1(stent_shared_delete);
Datum
stent_shared_delete(PG_FUNCTION_ARGS)
{
	Datum key = key_argument(fcinfo);
	Store *store = store_open("stent.shared_delete()");
	StoreRel *table;

	begin_looking();
	table = lock_newest(store, key, LockTupleExclusive);
	if (table != NULL)
		store_delete_found(table);
	PopActiveSnapshot();
	store_close(store);
	PG_RETURN_BOOL(table != NULL);
}

pg_noreturn static void
out_of_range(Datum key, Jsonb *value, int64 delta)
{
	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("shared value \"%s\" is out of range: %s plus " INT64_FORMAT,
					TextDatumGetCString(key), json_text(value), delta),
			 errhint("Totals of shared_add_int are of type bigint; the value is unchanged.")));
}

/* The value as an integer plus delta: a JSON number that is written with a point is none. */
static int64
add(Datum key, Jsonb *value, int64 delta)
{
	JsonbValue scalar;
	char *digits = NULL;
	int64 total;

	if (JsonbExtractScalar(&value->root, &scalar) && scalar.type == jbvNumeric)
		digits =
			DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(scalar.val.numeric)));
	if (digits == NULL || strchr(digits, '.') != NULL)
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
						errmsg("shared value \"%s\" is not an integer: %s",
							   TextDatumGetCString(key), json_text(value)),
						errhint("shared_add_int adds to whole numbers, written without a point.")));
	errno = 0;
	total = strtoi64(digits, NULL, 10);
	if (errno != 0 || pg_add_s64_overflow(total, delta, &total))
		out_of_range(key, value, delta);
	return total;
}

/* Add to an integer, which must be there; returns the new total. */
static int64
add_int(Store *store, Datum key, int64 delta)
{
	JsonbValue number = {.type = jbvNumeric};
	StoreRel *table;
	int64 total;

	begin_looking();
	table = lock_newest(store, key, LockTupleNoKeyExclusive);
	if (table == NULL)
		unknown_key(key);
	total = add(key, found_value(table), delta);
	number.val.numeric = int64_to_numeric(total);
	replace_value(store, table, key, JsonbValueToJsonb(&number));
	PopActiveSnapshot();
	return total;
}

/* As stent.shared_add_int(). */
int64
shared_add(Store *store, const char *key, int64 delta)
{
	return add_int(store, CStringGetTextDatum(key), delta);
}

PG_FUNCTION_INFO_V1(stent_shared_add_int);
Datum
stent_shared_add_int(PG_FUNCTION_ARGS)
{
	Datum key = key_argument(fcinfo);
	Store *store;
	int64 total;

	if (PG_ARGISNULL(1))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("delta must not be null"),
						errhint("Give a whole number; a negative one subtracts.")));
	store = store_open("stent.shared_add_int()");
	total = add_int(store, key, PG_GETARG_INT64(1));
	store_close(store);
	PG_RETURN_INT64(total);
}
