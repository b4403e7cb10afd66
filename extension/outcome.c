/*
 * outcome.c
 *	  state_of() and result_of().
 *
 * Both read the view stent.tasks as the caller, so that it decides what the
 * caller may see.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"

#include "errors.h"
#include "json.h"
#include "outcome.h"
#include "store.h"

static int64
require_id(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("id must not be null"),
						errhint("Give the id that stent.dispatch() returned.")));
	return PG_GETARG_INT64(0);
}

void
unknown_task(int64 id)
{
	ereport(
		ERROR,
		(errcode(ERRCODE_NO_DATA_FOUND), errmsg("task " INT64_FORMAT " does not exist", id),
		 errdetail(
			 "It never existed, was dispatched by another role, or retention has removed it.")));
}

static Jsonb *
column_json(int column, MemoryContext cxt)
{
	bool isnull;
	Datum value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column, &isnull);
	MemoryContext old;
	Jsonb *copy;

	if (isnull)
		return NULL;
	old = MemoryContextSwitchTo(cxt);
	copy = DatumGetJsonbPCopy(value);
	MemoryContextSwitchTo(old);
	return copy;
}

static void
select_one(const char *sql, int64 id)
{
	Oid types[1] = {INT8OID};
	Datum values[1];

	values[0] = Int64GetDatum(id);
	if (SPI_execute_with_args(sql, 1, types, values, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "SPI failed: %s", sql);
	if (SPI_processed != 1)
		unknown_task(id);
}

PG_FUNCTION_INFO_V1(stent_state_of);
Datum
stent_state_of(PG_FUNCTION_ARGS)
{
	int64 id = require_id(fcinfo);
	MemoryContext cxt = CurrentMemoryContext;
	Oid types[3] = {JSONBOID, INT8OID, INT8OID};
	Datum values[3];
	bool isnull;
	ColdSql cold;
	Jsonb *state;

	cold_begin_as_caller(&cold);
	select_one("SELECT to_jsonb(t) - 'external', t.execution_id FROM stent.tasks t WHERE t.id = $1",
			   id);
	values[0] = JsonbPGetDatum(column_json(1, cxt));
	values[1] = Int64GetDatum(id);
	values[2] = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull);
	cold_end(&cold);

	cold_begin(&cold);
	if (SPI_execute_with_args("SELECT $1 || stent._state_of($2, $3)", 3, types, values, NULL, false,
							  1) != SPI_OK_SELECT)
		elog(ERROR, "reading the state failed");
	state = column_json(1, cxt);
	cold_end(&cold);
	PG_RETURN_JSONB_P(state);
}

/* Raise a finished task's own error in the caller. */
static void
raise_error(int64 id, Jsonb *error, int code)
{
	char *text = json_string_field(error, "code");
	char *detail = json_string_field(error, "detail");
	char *hint = json_string_field(error, "hint");

	if (code == 0 && text != NULL && strlen(text) == 5 &&
		strspn(text, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 5)
	{
		code = MAKE_SQLSTATE(text[0], text[1], text[2], text[3], text[4]);
		/* the caller must not take a task's error for its own, or for our answer */
		if (code == ERRCODE_QUERY_CANCELED || code == ERRCODE_ASSERT_FAILURE ||
			code == ERRCODE_NO_DATA_FOUND || code == STENT_ERR_NOT_FINISHED ||
			code == STENT_ERR_TIMED_OUT || code == STENT_ERR_CANCELLED)
			code = STENT_ERR_TASK_INTERRUPTED;
	}
	if (code == 0)
		code = ERRCODE_RAISE_EXCEPTION; /* an external handler's error name */
	ereport(ERROR, (errcode(code), errmsg("%s", json_string_field(error, "message")),
					detail && code != STENT_ERR_TASK_INTERRUPTED
						? errdetail("%s", detail)
						: errdetail("Task " INT64_FORMAT " failed with SQLSTATE %s.", id,
									text ? text : "unknown"),
					hint ? errhint("%s", hint) : 0));
}

PG_FUNCTION_INFO_V1(stent_result_of);
Datum
stent_result_of(PG_FUNCTION_ARGS)
{
	int64 id = require_id(fcinfo);
	MemoryContext cxt = CurrentMemoryContext;
	ColdSql cold;
	char *state;
	Jsonb *result;
	Jsonb *error;

	cold_begin_as_caller(&cold);
	select_one("SELECT t.state, t.result, t.error FROM stent.tasks t WHERE t.id = $1", id);
	state = MemoryContextStrdup(cxt, SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1));
	result = column_json(2, cxt);
	error = column_json(3, cxt);
	cold_end(&cold);

	if (strcmp(state, "completed") == 0)
	{
		if (result == NULL)
			result = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum("null")));
		PG_RETURN_JSONB_P(result);
	}
	if (strcmp(state, "failed") == 0)
		raise_error(id, error, 0);
	if (strcmp(state, "timed_out") == 0)
		raise_error(id, error, STENT_ERR_TIMED_OUT);
	if (strcmp(state, "cancelled") == 0)
		raise_error(id, error, STENT_ERR_CANCELLED);
	ereport(ERROR, (errcode(STENT_ERR_NOT_FINISHED),
					errmsg("task " INT64_FORMAT " has not finished: it is %s", id, state),
					errhint("stent.state_of() tells how far it is.")));
}
