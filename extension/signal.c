/*
 * signal.c
 *	  signal(): a named value for an execution, from outside.
 *
 * One row for each (execution, name); the latest value wins. Who sends later waits
 * for who sends at the same time, and its number is the higher one, whatever order
 * the two began in: so a wait can tell a newer signal from the one it had.
 *
 * A send does not lock the execution. What is committed while the execution ends is
 * kept with its history and read by nobody.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "access.h"
#include "child.h"
#include "compat.h"
#include "errors.h"
#include "intern.h"
#include "json.h"
#include "outcome.h"
#include "registry.h"
#include "task.h"

static Datum
name_argument(FunctionCallInfo fcinfo)
{
	text *name;

	if (PG_ARGISNULL(1))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("name must not be null"),
						errhint("Give the name that the execution waits for.")));
	name = PG_GETARG_TEXT_PP(1);
	if (VARSIZE_ANY_EXHDR(name) == 0 || VARSIZE_ANY_EXHDR(name) > MAX_NAME_LENGTH)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("name of a signal must have 1 to %d bytes, not %d", MAX_NAME_LENGTH,
							   (int) VARSIZE_ANY_EXHDR(name)),
						errhint("Use short, stable names.")));
	return PointerGetDatum(name);
}

pg_noreturn static void
not_an_execution(int64 id, int64 execution_id)
{
	ereport(ERROR, (errcode(ERRCODE_NO_DATA_FOUND),
					errmsg("execution " INT64_FORMAT " does not exist", id),
					errdetail("It is a task of execution " INT64_FORMAT ".", execution_id),
					errhint("Send the signal to execution " INT64_FORMAT ".", execution_id)));
}

/* Whether any task below the root lives. */
static bool
has_live_children(Store *store, int64 execution_id)
{
	int64 parent_id = NO_ID;

	return child_next_parent(store, execution_id, &parent_id);
}

/* Refuse an execution that is not live, by what the caller may see; its root is not. */
static void
check_in_views(Store *store, int64 id)
{
	Oid types[1] = {INT8OID};
	Datum values[1];
	ColdSql cold;
	bool isnull;
	int64 execution_id;
	HeapTuple row;
	TupleDesc desc;

	values[0] = Int64GetDatum(id);
	cold_begin_as_caller(&cold);
	if (SPI_execute_with_args("SELECT t.execution_id, t.finished_at, t.state FROM stent.tasks t "
							  "WHERE t.id = $1",
							  1, types, values, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "looking for the execution failed");
	if (SPI_processed != 1)
		unknown_task(id);
	row = SPI_tuptable->vals[0];
	desc = SPI_tuptable->tupdesc;
	execution_id = DatumGetInt64(SPI_getbinval(row, desc, 1, &isnull));
	if (execution_id != id)
		not_an_execution(id, execution_id);
	(void) SPI_getbinval(row, desc, 2, &isnull);
	if (!isnull && !has_live_children(store, id))
		ereport(
			ERROR,
			(errcode(STENT_ERR_FINISHED),
			 errmsg("execution " INT64_FORMAT " has finished (%s)", id, SPI_getvalue(row, desc, 3)),
			 errhint("Nobody would see the signal; stent.state_of() tells how it ended.")));
	cold_end(&cold);
}

/* The execution must be live, and the caller's to steer. */
static void
check_execution(int64 id)
{
	Store *store = store_open("stent.signal()");
	const Task *task;

	CommandCounterIncrement();
	/* also where the transaction's own snapshot is old */
	PushActiveSnapshot(GetLatestSnapshot());
	task = task_find_live(store, id);
	if (task == NULL || task->execution_id != id ||
		!caller_may_act_for(lane_get(store, task->lane_id)->role))
		check_in_views(store, id);
	PopActiveSnapshot();
	store_close(store);
}

/* Write the signal in place of an older one of its name. */
static void
put(int64 execution_id, Datum name, Jsonb *payload)
{
	/* numbers are drawn where the row is locked, so that they rise in the order of the values */
	const char *sql =
		"INSERT INTO stent.signal AS s (execution_id, name, number, payload, sent_at, sent_by) "
		"VALUES ($1, $2, nextval('stent.id_seq'), $3, stent.now(), $4) "
		"ON CONFLICT (execution_id, name) DO UPDATE SET number = nextval('stent.id_seq'), "
		"payload = excluded.payload, sent_at = stent.now(), sent_by = excluded.sent_by "
		"RETURNING s.xmax <> 0";
	static SPIPlanPtr plan = NULL;
	Oid types[4] = {INT8OID, TEXTOID, JSONBOID, TEXTOID};
	Datum values[4];
	ColdSql cold;
	bool isnull;

	values[0] = Int64GetDatum(execution_id);
	values[1] = name;
	values[2] = JsonbPGetDatum(payload);
	values[3] = CStringGetTextDatum(GetUserNameFromId(GetUserId(), false));
	cold_begin(&cold);
	if (plan == NULL)
	{
		plan = SPI_prepare(sql, 4, types);
		if (plan == NULL || SPI_keepplan(plan) != 0)
			elog(ERROR, "preparing to store a signal failed");
	}
	if (SPI_execute_plan(plan, values, NULL, false, 0) != SPI_OK_INSERT_RETURNING)
		elog(ERROR, "storing a signal failed");
	/* a row that was locked before it was updated carries the mark of that */
	if (DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull)))
		ereport(DEBUG1, (errmsg_internal("signal \"%s\" of execution " INT64_FORMAT " overwritten",
										 TextDatumGetCString(name), execution_id)));
	cold_end(&cold);
}

PG_FUNCTION_INFO_V1(stent_signal);
Datum
stent_signal(PG_FUNCTION_ARGS)
{
	Datum name;
	Jsonb *payload;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("execution must not be null"),
				 errhint("Give the id that stent.dispatch() returned.")));
	name = name_argument(fcinfo);
	payload = PG_ARGISNULL(2) ? json_null() : PG_GETARG_JSONB_P(2);
	json_check_size(payload, "payload");
	check_execution(PG_GETARG_INT64(0));
	put(PG_GETARG_INT64(0), name, payload);
	PG_RETURN_VOID();
}
