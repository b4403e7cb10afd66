/*
 * context.c
 *	  The key-value context of an execution: context_set() and context_get().
 *
 * What a change means is decided when it is written, at the commit, against the
 * value the row has then: two tasks that preserve the same new key keep the one that
 * committed first.
 *
 * Strategy smart is one of the other two, known at the call: an empty value never
 * displaces another, so it is preserve; any other value does, so it is overwrite.
 * That an equal value is no change holds for every strategy.
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

#include "context.h"
#include "fault.h"
#include "json.h"

static SPIPlanPtr insert_plan;
static SPIPlanPtr upsert_plan;

void
context_insert(Store *store, int64 execution_id, const char *key, Jsonb *value)
{
	Datum values[3];
	bool nulls[3] = {0};

	values[0] = Int64GetDatum(execution_id);
	values[1] = CStringGetTextDatum(key);
	values[2] = JsonbPGetDatum(value);
	store_insert(store, store_table(store, STORE_CONTEXT), values, nulls);
}

/* The value the snapshot sees, or NULL; it is valid until the slot is cleared. */
static Jsonb *
find_value(StoreRel *table, Snapshot snapshot, int64 execution_id, const char *key)
{
	ScanKeyData keys[2];
	bool isnull;

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(execution_id));
	ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_TEXTEQ, CStringGetTextDatum(key));
	keys[1].sk_collation = DEFAULT_COLLATION_OID;
	if (!store_find(table, snapshot, keys, 2))
		return NULL;
	return DatumGetJsonbP(slot_getattr(table->out, 3, &isnull));
}

/* Prepared once a session; how they find a row is no matter of statistics. */
static void
prepare_plans(void)
{
	Oid types[3] = {INT8OID, TEXTOID, JSONBOID};

	if (insert_plan == NULL)
	{
		insert_plan = SPI_prepare("INSERT INTO stent.context (execution_id, key, value) "
								  "VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
								  3, types);
		if (insert_plan == NULL || SPI_keepplan(insert_plan) != 0)
			elog(ERROR, "preparing to write the context failed");
	}
	if (upsert_plan == NULL)
	{
		upsert_plan =
			SPI_prepare("INSERT INTO stent.context AS c (execution_id, key, value) "
						"VALUES ($1, $2, $3) ON CONFLICT ON CONSTRAINT context_pkey "
						"DO UPDATE SET value = excluded.value WHERE c.value <> excluded.value",
						3, types);
		if (upsert_plan == NULL || SPI_keepplan(upsert_plan) != 0)
			elog(ERROR, "preparing to write the context failed");
	}
}

/* Whether the note changes what is committed by now. */
static bool
changes(StoreRel *table, const Note *note)
{
	Jsonb *value;
	bool answer;

	PushActiveSnapshot(GetTransactionSnapshot());
	value = find_value(table, GetActiveSnapshot(), note->execution_id, note->name);
	answer = value == NULL ||
			 (note->kind == NOTE_OVERWRITE &&
			  compareJsonbContainers(&value->root, &((Jsonb *) note->value)->root) != 0);
	ExecClearTuple(table->out);
	PopActiveSnapshot();
	return answer;
}

/*
 * Write notes, which are sorted. Waits for a commit that writes one of the same keys;
 * all write in this order, so never for each other.
 */
void
context_write(Store *store, const Note *notes, int n)
{
	StoreRel *table = store_table(store, STORE_CONTEXT);
	ColdSql cold;

	cold_begin(&cold);
	prepare_plans();
	for (int i = 0; i < n; i++)
	{
		bool overwrite = notes[i].kind == NOTE_OVERWRITE;
		Datum values[3];

		CHECK_FOR_INTERRUPTS();
		if (!changes(table, &notes[i]))
			continue;
		values[0] = Int64GetDatum(notes[i].execution_id);
		values[1] = CStringGetTextDatum(notes[i].name);
		values[2] = PointerGetDatum(notes[i].value);
		if (SPI_execute_plan(overwrite ? upsert_plan : insert_plan, values, NULL, false, 0) !=
			SPI_OK_INSERT)
			elog(ERROR, "writing the context failed");
		STENT_FAULT("context_after_write");
	}
	cold_end(&cold);
}

/* null, "", [] and {} */
static bool
is_empty(Jsonb *value)
{
	JsonbValue scalar;

	if (!JB_ROOT_IS_SCALAR(value))
		return JB_ROOT_COUNT(value) == 0;
	(void) JsonbExtractScalar(&value->root, &scalar);
	return scalar.type == jbvNull || (scalar.type == jbvString && scalar.val.string.len == 0);
}

static NoteKind
strategy_option(FunctionCallInfo fcinfo, int arg, Jsonb *value)
{
	char *strategy;

	if (PG_ARGISNULL(arg))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("strategy must not be null"),
				 errhint("Use overwrite, preserve or smart.")));
	strategy = text_to_cstring(PG_GETARG_TEXT_PP(arg));
	if (strcmp(strategy, "overwrite") == 0)
		return NOTE_OVERWRITE;
	if (strcmp(strategy, "preserve") == 0)
		return NOTE_PRESERVE;
	if (strcmp(strategy, "smart") == 0)
		return is_empty(value) ? NOTE_PRESERVE : NOTE_OVERWRITE;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid strategy: \"%s\"", strategy),
			 errhint("Use overwrite, preserve or smart.")));
}

PG_FUNCTION_INFO_V1(stent_context_set);
Datum
stent_context_set(PG_FUNCTION_ARGS)
{
	const Task *task =
		notes_task("stent.context_set()", "stent.dispatch() takes a context for a new execution.");
	char *key = notes_check_name(fcinfo, 0, "a key of the context");
	Jsonb *value;

	if (PG_ARGISNULL(1))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("the value of context key \"%s\" must not be null", key),
						errhint("Give 'null'::jsonb to set a JSON null.")));
	value = PG_GETARG_JSONB_P(1);
	json_check_size(value, "context value");
	notes_add(strategy_option(fcinfo, 2, value), task->execution_id, key, JsonbPGetDatum(value));
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(stent_context_get);
Datum
stent_context_get(PG_FUNCTION_ARGS)
{
	const Task *task =
		notes_task("stent.context_get()", "stent.state_of() shows the context of an execution.");
	char *key = notes_check_name(fcinfo, 0, "a key of the context");
	const Note *pending = NULL;
	const Note *note = NULL;
	Jsonb *value = NULL;

	while ((note = notes_next(note, false, task->execution_id, key)) != NULL)
		if (pending == NULL || note->kind == NOTE_OVERWRITE)
			pending = note;
	if (pending == NULL || pending->kind == NOTE_PRESERVE)
	{
		Store *store = store_open_to_read();
		StoreRel *table = store_table(store, STORE_CONTEXT);

		value = find_value(table, GetActiveSnapshot(), task->execution_id, key);
		if (value != NULL)
			value = DatumGetJsonbPCopy(JsonbPGetDatum(value));
		store_close(store);
	}
	if (value == NULL && pending != NULL)
		value = DatumGetJsonbPCopy(PointerGetDatum(pending->value));
	if (value == NULL)
		PG_RETURN_NULL();
	PG_RETURN_JSONB_P(value);
}
