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
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/snapmgr.h"

#include "access.h"
#include "child.h"
#include "compat.h"
#include "errors.h"
#include "fault.h"
#include "intern.h"
#include "json.h"
#include "outcome.h"
#include "registry.h"
#include "signals.h"
#include "task.h"
#include "waiting.h"

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

/* Have those who wait for signals of the execution look. */
static void
tell_waiting(int64 execution_id)
{
	Store *store = store_open("stent.signal()");

	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	waiting_tell_signal(store, execution_id);
	PopActiveSnapshot();
	store_close(store);
}

enum
{
	SIGNAL_EXECUTION_ID = 1,
	SIGNAL_NAME,
	SIGNAL_NUMBER,
	SIGNAL_PAYLOAD
};

static bool
find_signal(StoreRel *table, Snapshot snapshot, int64 execution_id, const char *name)
{
	ScanKeyData keys[2];

	ScanKeyInit(&keys[0], SIGNAL_EXECUTION_ID, BTEqualStrategyNumber, F_INT8EQ,
				Int64GetDatum(execution_id));
	ScanKeyInit(&keys[1], SIGNAL_NAME, BTEqualStrategyNumber, F_TEXTEQ, CStringGetTextDatum(name));
	keys[1].sk_collation = DEFAULT_COLLATION_OID;
	return store_find(table, snapshot, keys, 2);
}

/* The latest value of a signal, by the active snapshot, if its number is above one. */
bool
signal_read(Store *store, int64 execution_id, const char *name, int64 after, Signal *signal)
{
	StoreRel *table = store_table(store, STORE_SIGNAL);
	bool found = find_signal(table, GetActiveSnapshot(), execution_id, name);
	bool isnull;

	if (found)
	{
		signal->number = DatumGetInt64(slot_getattr(table->out, SIGNAL_NUMBER, &isnull));
		signal->payload = DatumGetJsonbPCopy(slot_getattr(table->out, SIGNAL_PAYLOAD, &isnull));
		signal->changed_at = store_command_of(table->out);
	}
	ExecClearTuple(table->out);
	return found && signal->number > after;
}

/* What a step that waits for a signal says of it: its name, and the number it has had. */
static char *
awaited(const Jsonb *detail, int64 *after)
{
	JsonbValue buf;
	JsonbValue *number = getKeyJsonValueFromContainer(unconstify(JsonbContainer *, &detail->root),
													  "after", strlen("after"), &buf);

	*after =
		number != NULL && number->type == jbvNumeric
			? DatumGetInt64(DirectFunctionCall1(numeric_int8, NumericGetDatum(number->val.numeric)))
			: 0;
	return json_string_field(unconstify(Jsonb *, detail), "name");
}

/* Whether there is, by the active snapshot, the signal that such a step waits for. */
bool
signal_is_newer(Store *store, int64 execution_id, const Jsonb *detail)
{
	Signal signal;
	int64 after;
	char *name = awaited(detail, &after);

	return signal_read(store, execution_id, name, after, &signal);
}

/* Whether there may be: it is, or may soon be, committed. */
bool
signal_may_be_newer(Store *store, int64 execution_id, const Jsonb *detail)
{
	StoreRel *table = store_table(store, STORE_SIGNAL);
	SnapshotData dirty;
	int64 after;
	char *name = awaited(detail, &after);
	bool newer = false;
	bool isnull;

	InitDirtySnapshot(dirty);
	if (find_signal(table, &dirty, execution_id, name))
		newer = TransactionIdIsValid(dirty.xmin) || TransactionIdIsValid(dirty.xmax) ||
				DatumGetInt64(slot_getattr(table->out, SIGNAL_NUMBER, &isnull)) > after;
	ExecClearTuple(table->out);
	return newer;
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
	STENT_FAULT("signal_written");
	tell_waiting(PG_GETARG_INT64(0));
	PG_RETURN_VOID();
}
