/*
 * memo.c
 *	  Calls that need not be made again: idempotency keys and cached results.
 *
 * A row of stent.memo says which task makes, or made, the call with a key. It is
 * written with that task's dispatch and never at its end: whether it still serves is
 * decided by what has become of the task. So an end of whatever kind costs nothing,
 * and a failure cannot be remembered by mistake.
 *
 * The unique key settles who makes a call: of two transactions that add it, or that
 * replace a row which no longer serves, the second waits for the first.
 */
#include "postgres.h"

#include "access/xact.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/snapmgr.h"

#include "canonical.h"
#include "clock.h"
#include "compat.h"
#include "fault.h"
#include "json_array.h"
#include "memo.h"
#include "task.h"
#include "ending.h"

enum MemoColumn
{
	MEMO_KEY = 1,
	MEMO_TASK_ID,
	MEMO_TTL,
	MEMO_ITEM,
	MEMO_COLUMNS = MEMO_ITEM
};

/*
 * Hash what makes two calls the same; the caller's own key has three parts, else there are
 * four, and five where args are a list of arguments.
 */
static bytea *
make_key(const Function *function, const char *role, const char *own_key, Jsonb *args, bool list)
{
	StringInfoData text;
	char *utf8;
	bytea *bytes;
	bytea *key;

	initStringInfo(&text);
	appendStringInfoChar(&text, '[');
	canonical_string(&text, role, strlen(role));
	appendStringInfoChar(&text, ',');
	canonical_string(&text, function->name, strlen(function->name));
	appendStringInfoChar(&text, ',');
	if (own_key != NULL)
		canonical_string(&text, own_key, strlen(own_key));
	else
	{
		if (function->version != NULL)
			canonical_string(&text, function->version, strlen(function->version));
		else
			appendStringInfoString(&text, "null");
		appendStringInfoChar(&text, ',');
		canonical_json(&text, args);
		if (list)
			appendStringInfoString(&text, ",\"*\"");
	}
	appendStringInfoChar(&text, ']');
	utf8 = canonical_utf8(text.data, text.len);
	bytes = (bytea *) cstring_to_text(utf8);
	key = DatumGetByteaPP(DirectFunctionCall1(sha256_bytea, PointerGetDatum(bytes)));
	pfree(bytes);
	if (utf8 != text.data)
		pfree(utf8);
	pfree(text.data);
	return key;
}

static void
begin(Memo *memo, const Function *function, bytea *key)
{
	*memo = (Memo){.key = key,
				   .ttl = function->cached && !function->idempotent ? function->cache_ttl : NULL};
	ItemPointerSetInvalid(&memo->tid);
}

/*
 * Whether a call may be served by an earlier one: its function says so, or the caller
 * gave a key. An idempotent call is remembered as long as its task, cached or not.
 */
bool
memo_prepare(Memo *memo, const Function *function, const char *role, const char *own_key,
			 Jsonb *args)
{
	if (own_key == NULL && !function->idempotent && !function->cached)
		return false;
	begin(memo, function, make_key(function, role, own_key, args, false));
	return true;
}

/* The same for an item of a map. What is a list of arguments is another call than the array. */
void
memo_prepare_item(Memo *memo, const Function *function, const char *role, Jsonb *item, bool star)
{
	bool list = star && JB_ROOT_IS_ARRAY(item) && !JB_ROOT_IS_SCALAR(item);

	begin(memo, function, make_key(function, role, NULL, item, list));
}

static void
row_values(const Memo *memo, int64 task_id, Datum *values, bool *nulls)
{
	values[MEMO_KEY - 1] = PointerGetDatum(memo->key);
	values[MEMO_TASK_ID - 1] = Int64GetDatum(task_id);
	values[MEMO_TTL - 1] = IntervalPGetDatum(memo->ttl);
	nulls[MEMO_KEY - 1] = nulls[MEMO_TASK_ID - 1] = false;
	nulls[MEMO_TTL - 1] = memo->ttl == NULL;
	values[MEMO_ITEM - 1] = (Datum) 0;
	nulls[MEMO_ITEM - 1] = true;
}

static bool
has_run_out(const Interval *ttl, Timestamp finished_at)
{
	return ttl != NULL && DatumGetTimestamp(DirectFunctionCall2(
							  timestamp_pl_interval, TimestampGetDatum(finished_at),
							  IntervalPGetDatum(ttl))) <= clock_now();
}

/*
 * Whether the task of a row serves: it is going to end, or it completed and the row's
 * time has not run out. A failure, a cancellation and a timeout never do.
 */
static bool
serves(int64 task_id, const Interval *ttl)
{
	Timestamp finished_at;
	TaskState state = whereabouts(task_id, &finished_at);

	if (state == TASK_NEW)
		return false;
	if (!task_is_terminal(state))
		return true;
	if (state != TASK_COMPLETED)
		return false;
	return !has_run_out(ttl, finished_at);
}

/* The result of an item of a chunk that made the call, or NULL if that does not serve. */
static Jsonb *
result_of_item(Store *store, int64 task_id, int item, const Interval *ttl)
{
	JsonElements walk;
	JsonElement element = {0};
	Ending ending;

	PushActiveSnapshot(GetLatestSnapshot());
	ending_read(store, task_id, &ending);
	if (ending.state != TASK_COMPLETED || has_run_out(ttl, ending.finished_at))
	{
		PopActiveSnapshot();
		return NULL;
	}
	json_elements_begin(&walk, ending_result(store, &ending));
	PopActiveSnapshot();
	for (int i = 0; i <= item; i++)
		if (!json_elements_next(&walk, &element))
			elog(ERROR, "task " INT64_FORMAT " has no result %d", task_id, item);
	return json_element_value(&element);
}

/* Another transaction was first: look again, unless the snapshot cannot show what it did. */
static void
look_again(void)
{
	if (IsolationUsesXactSnapshot())
		ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
						errmsg("could not serialize access due to concurrent dispatch"),
						errhint("Retry the transaction.")));
}

/*
 * The task that makes the call: an earlier one that serves, or new_id, which the caller
 * then has to make. Waits for transactions that decide the same.
 */
int64
memo_claim(Store *store, Memo *memo, int64 new_id)
{
	StoreRel *table = store_table(store, STORE_MEMO);
	Datum values[MEMO_COLUMNS];
	bool nulls[MEMO_COLUMNS];

	row_values(memo, new_id, values, nulls);
	for (;;)
	{
		ScanKeyData key;
		bool found;

		CHECK_FOR_INTERRUPTS();
		CommandCounterIncrement();
		PushActiveSnapshot(GetTransactionSnapshot());
		ScanKeyInit(&key, MEMO_KEY, BTEqualStrategyNumber, F_BYTEAEQ, PointerGetDatum(memo->key));
		found = store_find(table, GetActiveSnapshot(), &key, 1);
		PopActiveSnapshot();
		if (!found)
		{
			if (store_insert_new(store, table, values, nulls, &memo->tid))
			{
				STENT_FAULT("memo_claimed");
				return new_id;
			}
		}
		else
		{
			bool isnull;
			int64 task_id = DatumGetInt64(slot_getattr(table->out, MEMO_TASK_ID, &isnull));
			Datum ttl = slot_getattr(table->out, MEMO_TTL, &isnull);
			Interval limit;
			bool limited = !isnull;
			TM_Result result;
			Datum item;

			if (limited)
				limit = *DatumGetIntervalP(ttl);
			item = store_column(table->out, MEMO_ITEM, &isnull);
			memo->tid = table->out->tts_tid;
			ExecClearTuple(table->out);
			if (!isnull)
				memo->done = result_of_item(store, task_id, (int) DatumGetInt64(item),
											limited ? &limit : NULL);
			else if (serves(task_id, limited ? &limit : NULL))
				return task_id;
			PushActiveSnapshot(GetTransactionSnapshot());
			result = store_try_update(store, table, &memo->tid, values, nulls);
			PopActiveSnapshot();
			if (result == TM_Ok)
			{
				STENT_FAULT("memo_taken_over");
				return new_id;
			}
			if (result != TM_Updated && result != TM_Deleted)
				elog(ERROR, "memo of task " INT64_FORMAT " cannot be taken over (%d)", task_id,
					 (int) result);
		}
		look_again();
	}
}

/* Another task does the work of the one that the memo was claimed for. */
void
memo_move(Store *store, Memo *memo, int64 task_id)
{
	Datum values[MEMO_COLUMNS];
	bool nulls[MEMO_COLUMNS];

	row_values(memo, task_id, values, nulls);
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	memo->tid = store_update(store, store_table(store, STORE_MEMO), &memo->tid, values, nulls);
	PopActiveSnapshot();
	STENT_FAULT("memo_moved");
}

/* The row with the key, as of the active snapshot; false: there is none. */
static bool
find_row(Store *store, const Memo *memo, ItemPointer tid, MemoHit *hit, Interval *ttl,
		 bool *limited)
{
	StoreRel *table = store_table(store, STORE_MEMO);
	ScanKeyData key;
	bool isnull;
	Datum value;

	ScanKeyInit(&key, MEMO_KEY, BTEqualStrategyNumber, F_BYTEAEQ, PointerGetDatum(memo->key));
	if (!store_find(table, GetActiveSnapshot(), &key, 1))
		return false;
	*tid = table->out->tts_tid;
	hit->task_id = DatumGetInt64(slot_getattr(table->out, MEMO_TASK_ID, &isnull));
	value = store_column(table->out, MEMO_ITEM, &isnull);
	hit->item = isnull ? -1 : (int) DatumGetInt64(value);
	value = slot_getattr(table->out, MEMO_TTL, &isnull);
	*limited = !isnull;
	if (*limited)
		*ttl = *DatumGetIntervalP(value);
	ExecClearTuple(table->out);
	return true;
}

/* Whether the call was made, and ended well, by what the active snapshot shows. */
bool
memo_look(Store *store, const Memo *memo, MemoHit *hit)
{
	ItemPointerData tid;
	Interval ttl;
	bool limited;

	if (!find_row(store, memo, &tid, hit, &ttl, &limited))
		return false;
	ending_read(store, hit->task_id, &hit->ending);
	return hit->ending.state == TASK_COMPLETED &&
		   !has_run_out(limited ? &ttl : NULL, hit->ending.finished_at);
}

/*
 * An item of a chunk's task made the call. Waits for nobody: where somebody else makes it,
 * or has made it, that stays.
 */
void
memo_remember(Store *store, Memo *memo, int64 task_id, int item)
{
	StoreRel *table = store_table(store, STORE_MEMO);
	Datum values[MEMO_COLUMNS];
	bool nulls[MEMO_COLUMNS];
	MemoHit before;
	Interval ttl;
	bool limited;

	row_values(memo, task_id, values, nulls);
	values[MEMO_ITEM - 1] = Int64GetDatum(item);
	nulls[MEMO_ITEM - 1] = false;
	if (find_row(store, memo, &memo->tid, &before, &ttl, &limited) &&
		(serves(before.task_id, limited ? &ttl : NULL) ||
		 store_delete(table, &memo->tid, false) != TM_Ok))
		return;
	(void) store_insert_if_free(store, table, values, nulls, &memo->tid);
	STENT_FAULT("memo_remembered");
}

/* The live task will not make the calls it was dispatched for. */
void
memo_forget(Store *store, int64 task_id)
{
	StoreRel *table = store_table(store, STORE_MEMO);
	Relation index = index_open(store_index_oid("memo_task_id_idx"), AccessShareLock);
	IndexScanDesc scan;
	ScanKeyData key;

	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(task_id));
	scan = compat_index_beginscan(table->rel, index, GetActiveSnapshot(), 1);
	index_rescan(scan, &key, 1, NULL, 0);
	while (index_getnext_slot(scan, ForwardScanDirection, table->out))
	{
		TM_Result result = store_delete(table, &table->out->tts_tid, true);

		/* or somebody took it over while the task was a dead letter */
		if (result != TM_Ok && result != TM_Updated && result != TM_Deleted)
			elog(ERROR, "memo of task " INT64_FORMAT " cannot be forgotten (%d)", task_id,
				 (int) result);
	}
	index_endscan(scan);
	ExecClearTuple(table->out);
	PopActiveSnapshot();
	index_close(index, NoLock);
}
