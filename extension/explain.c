/*
 * explain.c
 *	  explain() and explain_rows(): an execution as a tree.
 *
 * The caller's view decides whether it may ask at all; the owner's functions
 * (sql/parts/84_explain.sql) read what no view shows, and leave out what belongs to other
 * roles than the one they are told of.
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

/* Put the rows that the owner's function returns into the answer. */
static Datum
answer(FunctionCallInfo fcinfo, const char *sql)
{
	int64 id = outcome_require_id(fcinfo);
	ReturnSetInfo *set;
	Oid types[3] = {INT8OID, TEXTOID, BOOLOID};
	Datum values[3];
	Viewer viewer;
	ColdSql cold;

	require_visible(id);
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	set = (ReturnSetInfo *) fcinfo->resultinfo;
	viewer_init(&viewer);
	values[0] = Int64GetDatum(id);
	values[1] = CStringGetTextDatum(viewer.name);
	values[2] = BoolGetDatum(viewer.admin);
	cold_begin(&cold);
	if (SPI_execute_with_args(sql, 3, types, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "explaining a task failed");
	for (uint64 i = 0; i < SPI_processed; i++)
		tuplestore_puttuple(set->setResult, SPI_tuptable->vals[i]);
	cold_end(&cold);
	return (Datum) 0;
}

PG_FUNCTION_INFO_V1(stent_explain);
Datum
stent_explain(PG_FUNCTION_ARGS)
{
	return answer(fcinfo, "SELECT * FROM stent._explain_text($1, $2, $3)");
}

PG_FUNCTION_INFO_V1(stent_explain_rows);
Datum
stent_explain_rows(PG_FUNCTION_ARGS)
{
	return answer(fcinfo, "SELECT * FROM stent._explain($1, $2, $3) e ORDER BY e.ordinal");
}
