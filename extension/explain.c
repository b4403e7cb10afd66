/*
 * explain.c
 *	  explain() and explain_rows(): an execution as a tree; newest(): a list of them.
 *
 * The owner's functions (sql/parts/84_explain.sql, 86_newest.sql) read what no view shows,
 * or read it faster than one, and leave out what belongs to other roles than the one they
 * are told of here. Whether a task may be asked for is the caller's view's to say.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "observe.h"
#include "outcome.h"
#include "store.h"

/* An unknown id is an error, also where the caller may not see that task. */
static void
require_visible(int64 id)
{
	Oid types[1] = {INT8OID};
	Datum values[1];
	ColdSql cold;
	bool found;

	values[0] = Int64GetDatum(id);
	cold_begin_as_caller(&cold);
	if (SPI_execute_with_args("SELECT FROM stent.tasks WHERE id OPERATOR(pg_catalog.=) $1", 1,
							  types, values, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "looking for a task failed");
	found = SPI_processed == 1;
	cold_end(&cold);
	if (!found)
		unknown_task(id);
}

/* Put the rows that the owner's function returns for this caller into the answer. */
static Datum
answer(FunctionCallInfo fcinfo, const char *sql, int nargs, Oid *types, Datum *values, char *nulls)
{
	ReturnSetInfo *set;
	Viewer viewer;
	ColdSql cold;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	set = (ReturnSetInfo *) fcinfo->resultinfo;
	viewer_init(&viewer);
	types[nargs] = TEXTOID;
	values[nargs++] = CStringGetTextDatum(viewer.name);
	types[nargs] = BOOLOID;
	values[nargs++] = BoolGetDatum(viewer.admin);
	cold_begin(&cold);
	if (SPI_execute_with_args(sql, nargs, types, values, nulls, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "SPI failed: %s", sql);
	for (uint64 i = 0; i < SPI_processed; i++)
		tuplestore_puttuple(set->setResult, SPI_tuptable->vals[i]);
	cold_end(&cold);
	return (Datum) 0;
}

static Datum
explain(FunctionCallInfo fcinfo, const char *sql)
{
	Oid types[3] = {INT8OID};
	Datum values[3];
	int64 id = outcome_require_id(fcinfo);

	require_visible(id);
	values[0] = Int64GetDatum(id);
	return answer(fcinfo, sql, 1, types, values, NULL);
}

PG_FUNCTION_INFO_V1(stent_explain);
Datum
stent_explain(PG_FUNCTION_ARGS)
{
	return explain(fcinfo, "SELECT * FROM stent._explain_text($1, $2, $3)");
}

PG_FUNCTION_INFO_V1(stent_explain_rows);
Datum
stent_explain_rows(PG_FUNCTION_ARGS)
{
	return explain(fcinfo, "SELECT * FROM stent._explain($1, $2, $3) e ORDER BY e.ordinal");
}

PG_FUNCTION_INFO_V1(stent_newest);
Datum
stent_newest(PG_FUNCTION_ARGS)
{
	Oid types[6] = {TEXTOID, TEXTOID, TEXTOID, INT4OID};
	Datum values[6];
	char nulls[6];

	if (PG_ARGISNULL(3))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("max_rows must not be null"),
				 errhint("Give the largest number of rows to be returned.")));
	if (PG_GETARG_INT32(3) < 1)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("max_rows must be at least 1: %d", PG_GETARG_INT32(3)),
						errhint("Give the largest number of rows to be returned.")));
	for (int i = 0; i < (int) lengthof(nulls); i++)
	{
		nulls[i] = i < 4 && PG_ARGISNULL(i) ? 'n' : ' ';
		values[i] = i < 4 ? PG_GETARG_DATUM(i) : (Datum) 0;
	}
	return answer(fcinfo, "SELECT stent._newest($1, $2, $3, $4, $5, $6)", 4, types, values, nulls);
}
