/*
 * counter.c
 *	  Counters of an execution: counter_add() and counter().
 *
 * A counter is the sum of its rows. Each commit appends one row for each counter its
 * tasks raised, so nobody waits for anybody; stent._fold_counters() makes one row of
 * many, now and then.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "catalog/pg_collation.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "counter.h"
#include "notes.h"

/* Sums of such changes stay far from what numeric can hold. */
#define MAX_DIGITS 1000

/* Refuse a change that would make the counter useless. */
void
counter_check(const char *name, Numeric delta)
{
	char *text;

	if (numeric_is_nan(delta) || numeric_is_inf(delta))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("counter \"%s\" must change by a finite number, not %s", name,
							   numeric_is_nan(delta) ? "NaN" : "infinity"),
						errhint("What is added once can only be taken away by its negative.")));
	text = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(delta)));
	if (strlen(text) > MAX_DIGITS)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("counter \"%s\" must change by a number of at most %d digits, not %zu",
						name, MAX_DIGITS, strlen(text)),
				 errhint("Round it.")));
	pfree(text);
}

void
counter_insert(Store *store, int64 execution_id, const char *name, Numeric delta)
{
	Datum values[4];
	bool nulls[4] = {0};

	values[0] = Int64GetDatum(store_next_id());
	values[1] = Int64GetDatum(execution_id);
	values[2] = CStringGetTextDatum(name);
	values[3] = NumericGetDatum(delta);
	store_insert(store, store_table(store, STORE_COUNTER), values, nulls);
}

static Datum
plus(Datum a, Datum b)
{
	return DirectFunctionCall2(numeric_add, a, b);
}

/* The sum of the rows that the active snapshot sees. */
static Datum
stored_sum(int64 execution_id, const char *name)
{
	Relation rel = table_open(store_oid(STORE_COUNTER), AccessShareLock);
	Relation index = index_open(store_index_oid("counter_execution_idx"), AccessShareLock);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	IndexScanDesc scan = compat_index_beginscan(rel, index, GetActiveSnapshot(), 2);
	ScanKeyData keys[2];
	Datum sum = NumericGetDatum(int64_to_numeric(0));
	bool isnull;

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(execution_id));
	ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_TEXTEQ, CStringGetTextDatum(name));
	keys[1].sk_collation = DEFAULT_COLLATION_OID;
	index_rescan(scan, keys, 2, NULL, 0);
	while (index_getnext_slot(scan, ForwardScanDirection, slot))
		sum = plus(sum, slot_getattr(slot, 4, &isnull));
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	index_close(index, NoLock);
	table_close(rel, NoLock);
	return sum;
}

PG_FUNCTION_INFO_V1(stent_counter_add);
Datum
stent_counter_add(PG_FUNCTION_ARGS)
{
	const Task *task =
		notes_task("stent.counter_add()", "stent.dispatch() takes counters for a new execution.");
	char *name = notes_check_name(fcinfo, 0, "the name of a counter");

	if (PG_ARGISNULL(1))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("the change of counter \"%s\" must not be null", name),
						errhint("Use coalesce() if there may be nothing to add.")));
	counter_check(name, PG_GETARG_NUMERIC(1));
	notes_add(NOTE_COUNTER, task->execution_id, name, NumericGetDatum(PG_GETARG_NUMERIC(1)));
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(stent_counter);
Datum
stent_counter(PG_FUNCTION_ARGS)
{
	const Task *task =
		notes_task("stent.counter()", "stent.state_of() shows the counters of an execution.");
	char *name = notes_check_name(fcinfo, 0, "the name of a counter");
	Datum sum = stored_sum(task->execution_id, name);
	const Note *note = NULL;

	while ((note = notes_next(note, true, task->execution_id, name)) != NULL)
		sum = plus(sum, PointerGetDatum(note->value));
	PG_RETURN_DATUM(sum);
}
