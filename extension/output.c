/*
 * output.c
 *	  What the programs that run external tasks have written: append_output(), output_of().
 *
 * Rows are written under the fence of the task's lease, whose row is locked against whoever
 * would end that hold: so output of an attempt that was taken over comes before the
 * takeover, or not at all. They go with the task's failed attempts when it is removed.
 *
 * A worker numbers rows from 1 with each claim, which may be one of several of the same
 * attempt: a release or a lost lease spends none. So rows are kept by claim, and
 * output_of() numbers those of an attempt through.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/int.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "compat.h"
#include "lease.h"
#include "lease_call.h"
#include "observe.h"
#include "outcome.h"
#include "store.h"
#include "task.h"

#define MAX_STREAM_LENGTH 63
#define MAX_DATA (1024 * 1024)
#define MAX_ROWS 1000

/*
 * Find the task as the call's snapshot shows it, held by the token, and keep it so until
 * this transaction ends. ST012 if it is not.
 */
static Task *
hold_task(LeaseCall *call, int64 task_id, int64 token)
{
	for (;;)
	{
		LeaseOutcome outcome;
		Lease *lease;
		int member;
		Task *task = lease_find_task(&call->book, token, task_id, &lease, &member, &outcome);

		CHECK_FOR_INTERRUPTS();
		if (task == NULL)
			lease_refuse(task_id, token, outcome);
		if (lease_lock_task(call->store, task, LockTupleShare, true) == LEASE_HELD)
			return task;
		/* who was at it has committed: see what that made of it */
		lease_call_look_again(call);
	}
}

static void
attempt_keys(ScanKeyData *keys, int64 task_id, int replay, int attempt)
{
	ScanKeyInit(&keys[0], OUTPUT_TASK_ID, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(task_id));
	ScanKeyInit(&keys[1], OUTPUT_REPLAY, BTEqualStrategyNumber, F_INT2EQ, Int16GetDatum(replay));
	ScanKeyInit(&keys[2], OUTPUT_ATTEMPT, BTEqualStrategyNumber, F_INT2EQ, Int16GetDatum(attempt));
}

/* The number after the last one of the claim that is visible now. */
static int64
next_number(Store *store, const Task *task)
{
	StoreRel *table = store_table(store, STORE_OUTPUT);
	IndexScanDesc scan;
	ScanKeyData keys[4];
	int64 last = 0;
	bool isnull;

	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	scan = compat_index_beginscan(table->rel, table->pkey, GetActiveSnapshot(), 4);
	attempt_keys(keys, task->id, task->replays, task->attempt + 1);
	ScanKeyInit(&keys[3], OUTPUT_CLAIMED_AT, BTEqualStrategyNumber, F_TIMESTAMP_EQ,
				TimestampGetDatum(task->started_at));
	index_rescan(scan, keys, 4, NULL, 0);
	if (index_getnext_slot(scan, BackwardScanDirection, table->out))
		last = DatumGetInt64(slot_getattr(table->out, OUTPUT_NUMBER, &isnull));
	ExecClearTuple(table->out);
	index_endscan(scan);
	PopActiveSnapshot();
	if (last == PG_INT64_MAX)
		ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
						errmsg("output of task " INT64_FORMAT " has no number left", task->id),
						errhint("Number rows from 1.")));
	return last + 1;
}

typedef struct Row
{
	Datum stream;
	Datum data;
} Row;

/*
 * Write rows under the token's hold. With first 0 they are numbered on; others' rows may
 * come between them. Else from first on, and those that are there already are left.
 */
static void
append(const char *command, int64 task_id, int64 token, const Row *rows, int n, int64 first)
{
	int64 number = first;
	Datum values[OUTPUT_COLUMNS];
	bool nulls[OUTPUT_COLUMNS] = {0};
	LeaseCall call;
	Store *store;
	StoreRel *table;
	Task *task;

	lease_call_begin(&call, command, true);
	store = call.store;
	table = store_table(store, STORE_OUTPUT);
	task = hold_task(&call, task_id, token);
	if (first == 0)
		number = next_number(store, task);
	values[OUTPUT_TASK_ID - 1] = Int64GetDatum(task_id);
	values[OUTPUT_REPLAY - 1] = Int16GetDatum((int16) task->replays);
	values[OUTPUT_ATTEMPT - 1] = Int16GetDatum((int16) (task->attempt + 1));
	values[OUTPUT_CLAIMED_AT - 1] = TimestampGetDatum(task->started_at);
	values[OUTPUT_WRITTEN_AT - 1] = TimestampGetDatum(clock_now());
	for (int i = 0; i < n; i++, number++)
	{
		ItemPointerData tid;

		values[OUTPUT_NUMBER - 1] = Int64GetDatum(number);
		values[OUTPUT_STREAM - 1] = rows[i].stream;
		values[OUTPUT_DATA - 1] = rows[i].data;
		/* somebody else who holds the token may take the same numbers */
		while (!store_insert_new(store, table, values, nulls, &tid) && first == 0)
			values[OUTPUT_NUMBER - 1] = Int64GetDatum(number = next_number(store, task));
	}
	lease_call_end(&call);
}

static void
require(FunctionCallInfo fcinfo, int arg, const char *what)
{
	if (PG_ARGISNULL(arg))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("%s must not be null", what),
				 errhint("See the comment of the function, \\df+ stent.* in psql.")));
}

static Row
checked_row(Datum stream, Datum data)
{
	text *name = DatumGetTextPP(stream);
	bytea *bytes = DatumGetByteaPP(data);
	int len = VARSIZE_ANY_EXHDR(name);

	if (len == 0 || len > MAX_STREAM_LENGTH)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("stream must have 1 to %d bytes, not %d", MAX_STREAM_LENGTH, len),
						errhint("Give stdout, stderr, or a short name of your own.")));
	if (VARSIZE_ANY_EXHDR(bytes) > MAX_DATA)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("data of %zu bytes exceeds the limit of %d",
							   (Size) VARSIZE_ANY_EXHDR(bytes), MAX_DATA),
						errhint("Split it into several rows of output.")));
	return (Row){PointerGetDatum(name), PointerGetDatum(bytes)};
}

/* The number of the first of n rows; 0: the next one. */
static int64
number_argument(FunctionCallInfo fcinfo, int arg, const char *what, int n)
{
	int64 number;
	int64 end;

	if (PG_ARGISNULL(arg))
		return 0;
	number = PG_GETARG_INT64(arg);
	if (number < 1 || pg_add_s64_overflow(number, n, &end))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s is out of range: " INT64_FORMAT, what, number),
						errhint("Number rows from 1; NULL takes the next one.")));
	return number;
}

PG_FUNCTION_INFO_V1(stent_append_output);
Datum
stent_append_output(PG_FUNCTION_ARGS)
{
	Row row;

	require(fcinfo, 0, "task_id");
	require(fcinfo, 1, "token");
	require(fcinfo, 2, "stream");
	require(fcinfo, 3, "data");
	row = checked_row(PG_GETARG_DATUM(2), PG_GETARG_DATUM(3));
	append("stent.append_output()", PG_GETARG_INT64(0), PG_GETARG_INT64(1), &row, 1,
		   number_argument(fcinfo, 4, "number", 1));
	PG_RETURN_VOID();
}

/* The elements of an array argument, none of them null. */
static Datum *
elements_argument(FunctionCallInfo fcinfo, int arg, const char *what, int *n)
{
	ArrayType *array = PG_GETARG_ARRAYTYPE_P(arg);
	Datum *elements;
	bool *nulls;

	if (ARR_NDIM(array) > 1)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s must be a one-dimensional array", what),
						errhint("Give as many streams as data.")));
	deconstruct_array(array, ARR_ELEMTYPE(array), -1, false, TYPALIGN_INT, &elements, &nulls, n);
	for (int i = 0; i < *n; i++)
		if (nulls[i])
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("element %d of %s must not be null", i, what),
							errhint("A row of output has a stream and data.")));
	return elements;
}

PG_FUNCTION_INFO_V1(stent_append_output_many);
Datum
stent_append_output_many(PG_FUNCTION_ARGS)
{
	Datum *streams;
	Datum *data;
	Row *rows;
	int n;
	int n_data;

	require(fcinfo, 0, "task_id");
	require(fcinfo, 1, "token");
	require(fcinfo, 2, "streams");
	require(fcinfo, 3, "data");
	streams = elements_argument(fcinfo, 2, "streams", &n);
	data = elements_argument(fcinfo, 3, "data", &n_data);
	if (n != n_data)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%d streams do not go with %d data", n, n_data),
						errhint("Give as many streams as data.")));
	if (n < 1 || n > MAX_ROWS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%d rows are out of range", n),
				 errhint("Give 1 to %d rows in a call.", MAX_ROWS)));
	rows = palloc_array(Row, n);
	for (int i = 0; i < n; i++)
		rows[i] = checked_row(streams[i], data[i]);
	append("stent.append_output_many()", PG_GETARG_INT64(0), PG_GETARG_INT64(1), rows, n,
		   number_argument(fcinfo, 4, "first_number", n));
	PG_RETURN_VOID();
}

/* The bytes as a text of this database's encoding; NULL if they are no UTF-8, or have a NUL. */
static text *
as_text(bytea *bytes)
{
	const char *data = VARDATA_ANY(bytes);
	int len = VARSIZE_ANY_EXHDR(bytes);
	int encoding = GetDatabaseEncoding();
	Oid conversion;
	char *converted;

	if (!pg_verify_mbstr(PG_UTF8, data, len, true))
		return NULL;
	if (encoding == PG_UTF8 || encoding == PG_SQL_ASCII)
		return cstring_to_text_with_len(data, len);
	conversion = FindDefaultConversionProc(PG_UTF8, encoding);
	converted = palloc((Size) len * MAX_CONVERSION_GROWTH + 1);
	if (!OidIsValid(conversion) ||
		pg_do_encoding_conversion_buf(
			conversion, PG_UTF8, encoding, (unsigned char *) unconstify(char *, data), len,
			(unsigned char *) converted, len * MAX_CONVERSION_GROWTH + 1, true) < len)
		return NULL;
	return cstring_to_text(converted);
}

/* How often the task was replayed, if the caller may see it. */
static int
replays_of(int64 id)
{
	Oid types[1] = {INT8OID};
	Datum values[1] = {Int64GetDatum(id)};
	ColdSql cold;
	bool isnull;
	int replays;

	cold_begin_as_caller(&cold);
	if (SPI_execute_with_args("SELECT t.replays FROM stent.tasks t WHERE t.id = $1", 1, types,
							  values, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "looking for a task failed");
	if (SPI_processed == 0)
		unknown_task(id);
	replays =
		DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	cold_end(&cold);
	return replays;
}

/* The claim whose rows are being shown. */
typedef struct Shown
{
	int replay;
	int attempt;
	Timestamp claimed_at;
	int64 last; /* number shown of the attempt */
	int64 base; /* the same where the claim began */
} Shown;

/* The number of the row in its attempt, if rows come in order. */
static int64
number_through(Shown *shown, TupleTableSlot *slot)
{
	bool isnull;
	int replay = DatumGetInt16(slot_getattr(slot, OUTPUT_REPLAY, &isnull));
	int attempt = DatumGetInt16(slot_getattr(slot, OUTPUT_ATTEMPT, &isnull));
	Timestamp claimed_at = DatumGetTimestamp(slot_getattr(slot, OUTPUT_CLAIMED_AT, &isnull));
	int64 number = DatumGetInt64(slot_getattr(slot, OUTPUT_NUMBER, &isnull));

	if (replay != shown->replay || attempt != shown->attempt)
		*shown = (Shown){replay, attempt, claimed_at, 0, 0};
	else if (claimed_at != shown->claimed_at)
	{
		shown->claimed_at = claimed_at;
		shown->base = shown->last;
	}
	/* a number near the limit was chosen by the worker */
	if (pg_add_s64_overflow(shown->base, number, &shown->last))
		shown->last = PG_INT64_MAX;
	return shown->last;
}

static void
put_row(ReturnSetInfo *set, TupleTableSlot *slot, int64 number)
{
	Datum values[6];
	bool nulls[6] = {0};
	bytea *bytes;
	text *shown;

	values[0] = Int32GetDatum(DatumGetInt16(slot_getattr(slot, OUTPUT_ATTEMPT, &nulls[0])));
	values[1] = Int64GetDatum(number);
	values[2] = slot_getattr(slot, OUTPUT_STREAM, &nulls[2]);
	values[3] = slot_getattr(slot, OUTPUT_WRITTEN_AT, &nulls[3]);
	bytes = DatumGetByteaPP(slot_getattr(slot, OUTPUT_DATA, &nulls[4]));
	values[4] = PointerGetDatum(bytes);
	shown = as_text(bytes);
	values[5] = PointerGetDatum(shown);
	nulls[5] = shown == NULL;
	tuplestore_putvalues(set->setResult, set->setDesc, values, nulls);
}

PG_FUNCTION_INFO_V1(stent_output_of);
Datum
stent_output_of(PG_FUNCTION_ARGS)
{
	int64 id = outcome_require_id(fcinfo);
	ReturnSetInfo *set = observe_begin_set(fcinfo);
	int replays = replays_of(id);
	int nkeys = PG_ARGISNULL(1) ? 1 : 3;
	Store *store = store_open_to_read();
	StoreRel *table = store_table(store, STORE_OUTPUT);
	IndexScanDesc scan =
		compat_index_beginscan(table->rel, table->pkey, GetActiveSnapshot(), nkeys);
	MemoryContext row_cxt =
		AllocSetContextCreate(CurrentMemoryContext, "stent output", ALLOCSET_DEFAULT_SIZES);
	ScanKeyData keys[3];
	Shown shown = {-1};
	int attempt = PG_ARGISNULL(1) ? 0 : PG_GETARG_INT32(1);

	/* no attempt has a number beyond */
	attempt_keys(keys, id, replays, Max(Min(attempt, PG_INT16_MAX), 0));
	index_rescan(scan, keys, nkeys, NULL, 0);
	while (index_getnext_slot(scan, ForwardScanDirection, table->out))
	{
		MemoryContext old = MemoryContextSwitchTo(row_cxt);

		CHECK_FOR_INTERRUPTS();
		put_row(set, table->out, number_through(&shown, table->out));
		MemoryContextSwitchTo(old);
		MemoryContextReset(row_cxt);
	}
	ExecClearTuple(table->out);
	index_endscan(scan);
	store_close(store);
	return (Datum) 0;
}
