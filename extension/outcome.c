/*
 * outcome.c
 *	  state_of() and result_of(), and what wait.c shares with them.
 *
 * All of them read the view stent.tasks as the caller, so that it decides what
 * the caller may see.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "errors.h"
#include "json.h"
#include "outcome.h"
#include "step.h"
#include "store.h"

/* tasks that one query reads */
#define READ_AT_ONCE 256

/* The first argument, which every function about one task begins with. */
int64
outcome_require_id(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("id must not be null"),
						errhint("Give the id that stent.dispatch() returned.")));
	return PG_GETARG_INT64(0);
}

void
unknown_task(int64 id)
{
	step_not_found(id);
	ereport(
		ERROR,
		(errcode(ERRCODE_NO_DATA_FOUND), errmsg("task " INT64_FORMAT " does not exist", id),
		 errdetail(
			 "It never existed, was dispatched by another role, or retention has removed it.")));
}

static Jsonb *
column_json(uint64 row, int column, MemoryContext cxt)
{
	bool isnull;
	Datum value = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &isnull);
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
	/* a partition attached since the first look was planned is seen by the second */
	for (int looks = 0; looks == 0 || (looks == 1 && SPI_processed != 1); looks++)
		if (SPI_execute_with_args(sql, 1, types, values, NULL, false, 1) != SPI_OK_SELECT)
			elog(ERROR, "SPI failed: %s", sql);
	if (SPI_processed != 1)
		unknown_task(id);
}

PG_FUNCTION_INFO_V1(stent_state_of);
Datum
stent_state_of(PG_FUNCTION_ARGS)
{
	int64 id = outcome_require_id(fcinfo);
	MemoryContext cxt = CurrentMemoryContext;
	Oid types[3] = {JSONBOID, INT8OID, INT8OID};
	Datum values[3];
	bool isnull;
	ColdSql cold;
	Jsonb *state;

	cold_begin_as_caller(&cold);
	select_one("SELECT to_jsonb(t) - 'external', t.execution_id FROM stent.tasks t WHERE t.id = $1",
			   id);
	values[0] = JsonbPGetDatum(column_json(0, 1, cxt));
	values[1] = Int64GetDatum(id);
	values[2] = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull);
	cold_end(&cold);

	cold_begin(&cold);
	if (SPI_execute_with_args("SELECT $1 || stent._state_of($2, $3)", 3, types, values, NULL, false,
							  1) != SPI_OK_SELECT)
		elog(ERROR, "reading the state failed");
	state = column_json(0, 1, cxt);
	cold_end(&cold);
	PG_RETURN_JSONB_P(state);
}

/* What a row says of state, result, error and end, in columns 1 to 4; copied to cxt. */
static void
take_row(uint64 row, Outcome *outcome, MemoryContext cxt)
{
	HeapTuple tuple = SPI_tuptable->vals[row];
	bool isnull;

	outcome->state = MemoryContextStrdup(cxt, SPI_getvalue(tuple, SPI_tuptable->tupdesc, 1));
	outcome->result = column_json(row, 2, cxt);
	outcome->error = column_json(row, 3, cxt);
	outcome->finished = DatumGetBool(SPI_getbinval(tuple, SPI_tuptable->tupdesc, 4, &isnull));
	outcome->found = true;
}

/* Read how far a task is, as the caller; true if it has finished. */
bool
outcome_read(int64 id, Outcome *outcome)
{
	MemoryContext cxt = CurrentMemoryContext;
	ColdSql cold;

	cold_begin_as_caller(&cold);
	select_one("SELECT t.state, t.result, t.error, t.finished_at IS NOT NULL "
			   "FROM stent.tasks t WHERE t.id = $1",
			   id);
	outcome->id = id;
	take_row(0, outcome, cxt);
	cold_end(&cold);
	return outcome->finished;
}

static int
compare_outcomes(const void *a, const void *b)
{
	int64 x = (*(Outcome *const *) a)->id;
	int64 y = (*(Outcome *const *) b)->id;

	return x < y ? -1 : x > y ? 1 : 0;
}

/* Read some of them: they are in the order of their ids. */
static void
read_some(Outcome **outcomes, int n, MemoryContext cxt)
{
	Oid types[1] = {INT8ARRAYOID};
	Datum *ids = palloc_array(Datum, n);
	Datum values[1];
	ColdSql cold;

	for (int i = 0; i < n; i++)
		ids[i] = Int64GetDatum(outcomes[i]->id);
	values[0] = PointerGetDatum(
		construct_array(ids, n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	cold_begin_as_caller(&cold);
	if (SPI_execute_with_args("SELECT t.state, t.result, t.error, t.finished_at IS NOT NULL, t.id "
							  "FROM stent.tasks t WHERE t.id = ANY ($1)",
							  1, types, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "reading the tasks failed");
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		bool isnull;
		Outcome key = {.id = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[row],
														 SPI_tuptable->tupdesc, 5, &isnull))};
		Outcome *wanted = &key;
		Outcome **found = bsearch(&wanted, outcomes, n, sizeof(Outcome *), compare_outcomes);

		while (found != NULL && found > outcomes && found[-1]->id == key.id)
			found--;
		for (; found != NULL && found < outcomes + n && (*found)->id == key.id; found++)
			take_row(row, *found, cxt);
	}
	cold_end(&cold);
	pfree(ids);
	pfree(DatumGetPointer(values[0]));
}

/*
 * Read how far many tasks are, as the caller; those that do not exist are not found.
 * Changes the order of the pointers.
 */
void
outcome_read_many(Outcome **outcomes, int n)
{
	qsort(outcomes, n, sizeof(Outcome *), compare_outcomes);
	for (int i = 0; i < n; i += READ_AT_ONCE)
		read_some(outcomes + i, Min(n - i, READ_AT_ONCE), CurrentMemoryContext);
}

/* The execution of a task the caller may see, by the active snapshot; else NO_ID. */
int64
outcome_execution(int64 id)
{
	Oid types[1] = {INT8OID};
	Datum values[1];
	ColdSql cold;
	int64 execution_id = NO_ID;
	bool isnull;

	values[0] = Int64GetDatum(id);
	cold_begin_as_caller(&cold);
	if (SPI_execute_with_args("SELECT t.execution_id FROM stent.tasks t WHERE t.id = $1", 1, types,
							  values, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "looking for the task failed");
	if (SPI_processed == 1)
		execution_id =
			DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	cold_end(&cold);
	return execution_id;
}

/* Whether the caller must not take an error with this code for its own, or for our answer. */
static bool
is_misleading(int code)
{
	static const int codes[] = {ERRCODE_QUERY_CANCELED, ERRCODE_ASSERT_FAILURE,
								ERRCODE_NO_DATA_FOUND,  STENT_ERR_NOT_FINISHED,
								STENT_ERR_TIMED_OUT,    STENT_ERR_CANCELLED,
								STENT_ERR_WAIT_RAN_OUT};

	for (int i = 0; i < (int) lengthof(codes); i++)
		if (code == codes[i])
			return true;
	return false;
}

/* Raise a finished task's own error in the caller; detail NULL: as the error says. */
pg_noreturn void
outcome_raise(const Outcome *outcome, const char *detail)
{
	char *text = json_string_field(outcome->error, "code");
	char *hint = json_string_field(outcome->error, "hint");
	int code = strcmp(outcome->state, "timed_out") == 0   ? STENT_ERR_TIMED_OUT
			   : strcmp(outcome->state, "cancelled") == 0 ? STENT_ERR_CANCELLED
														  : 0;

	if (code == 0 && text != NULL && strlen(text) == 5 &&
		strspn(text, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 5)
	{
		code = MAKE_SQLSTATE(text[0], text[1], text[2], text[3], text[4]);
		if (is_misleading(code))
			code = STENT_ERR_TASK_INTERRUPTED;
	}
	if (code == 0)
		code = ERRCODE_RAISE_EXCEPTION; /* an external handler's error name */
	if (detail == NULL && code != STENT_ERR_TASK_INTERRUPTED)
		detail = json_string_field(outcome->error, "detail");
	if (detail == NULL)
		detail = code == STENT_ERR_CANCELLED
					 ? psprintf("Task " INT64_FORMAT " will not run any more.", outcome->id)
					 : psprintf("Task " INT64_FORMAT " failed with SQLSTATE %s.", outcome->id,
								text ? text : "unknown");
	ereport(ERROR, (errcode(code), errmsg("%s", json_string_field(outcome->error, "message")),
					errdetail("%s", detail), hint ? errhint("%s", hint) : 0));
}

/* The result of a finished task; if it did not complete, its error is raised. */
Jsonb *
outcome_result(const Outcome *outcome)
{
	if (strcmp(outcome->state, "completed") != 0)
		outcome_raise(outcome, NULL);
	if (outcome->result == NULL)
		return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum("null")));
	return outcome->result;
}

PG_FUNCTION_INFO_V1(stent_result_of);
Datum
stent_result_of(PG_FUNCTION_ARGS)
{
	int64 id = outcome_require_id(fcinfo);
	Outcome outcome;

	if (!outcome_read(id, &outcome))
		ereport(ERROR,
				(errcode(STENT_ERR_NOT_FINISHED),
				 errmsg("task " INT64_FORMAT " has not finished: it is %s", id, outcome.state),
				 errhint("stent.state_of() tells how far it is.")));
	PG_RETURN_JSONB_P(outcome_result(&outcome));
}
