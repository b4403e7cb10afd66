/*
 * dead_letter.c
 *	  Replaying, discarding and purging tasks that failed for good.
 *
 * A task is in exactly one place: live, archive or dead letters. Replay moves it
 * back to the live table under its own id, with its history of attempts kept;
 * discard moves it to the archive, where retention finds it. What becomes of its parents is
 * in revive.c.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "access.h"
#include "archive.h"
#include "clock.h"
#include "compat.h"
#include "dead_letter.h"
#include "errors.h"
#include "fault.h"
#include "handler.h"
#include "intern.h"
#include "map.h"
#include "outcome.h"
#include "registry.h"
#include "revive.h"
#include "tally.h"
#include "task.h"

/* A dead letter the caller may act on, or NULL. */
Task *
dead_letter_find(Store *store, int64 id, bool admin)
{
	StoreRel *table = store_table(store, STORE_DEAD_LETTER);
	Task *task;

	if (!store_find_id(table, GetActiveSnapshot(), id))
		return NULL;
	task = task_from_dead_letter(table->out);
	ExecClearTuple(table->out);
	if (!admin &&
		strcmp(lane_get(store, task->lane_id)->role, GetUserNameFromId(GetUserId(), false)) != 0)
		return NULL;
	return task;
}

/*
 * Take a dead letter out of its table; false if another transaction did. Waits for
 * one that is doing so.
 */
bool
dead_letter_take(Store *store, Task *task)
{
	if (store_delete(store_table(store, STORE_DEAD_LETTER), &task->tid, true) != TM_Ok)
		return false;
	tally_dead_letter(task->lane_id, -1);
	STENT_FAULT("dead_letter_after_take");
	return true;
}

/* A live task must own its dedup key again; false if another live task has it. */
bool
dead_letter_own_dedup_key(Store *store, const Task *task)
{
	Oid types[4] = {TEXTOID, INT4OID, TEXTOID, INT8OID};
	Datum values[4];
	ColdSql cold;
	bool inserted;

	if (task->dedup_key == NULL)
		return true;
	values[0] = CStringGetTextDatum(lane_get(store, task->lane_id)->role);
	values[1] = Int32GetDatum(task->function_id);
	values[2] = CStringGetTextDatum(task->dedup_key);
	values[3] = Int64GetDatum(task->id);
	cold_begin(&cold);
	if (SPI_execute_with_args("INSERT INTO stent.dedup (role, function_id, key, task_id) "
							  "VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
							  4, types, values, NULL, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "inserting a dedup key failed");
	inserted = SPI_processed == 1;
	cold_end(&cold);
	return inserted;
}

void
dead_letter_refuse_dedup_key(const Task *task)
{
	ereport(ERROR, (errcode(ERRCODE_UNIQUE_VIOLATION),
					errmsg("task " INT64_FORMAT
						   " cannot be replayed: another live task has dedup key \"%s\"",
						   task->id, task->dedup_key),
					errhint("Wait until that task has finished, or discard this dead letter.")));
}

/* What a task that is brought back has lost, and what it has got. */
void
dead_letter_begin_anew(Task *task, bool reset_retries)
{
	Timestamp now = clock_now();

	if (task->deadline != NO_TIME)
		task->deadline += now - task->finished_at; /* being dead takes no time */
	task->due_at = now;                            /* since then it is ready again */
	task->replays++;
	if (reset_retries)
		task->attempt = task->lost = task->crashed = 0;
	task->result = NULL;
	task->error = NULL;
}

static void replay_of_map(Store *store, int64 map_id, const char *queue, bool reset_retries);

/* Bring a task that was taken back to life. */
static void
replay(Store *store, Task *task, const char *queue, bool reset_retries)
{
	if (queue != NULL)
	{
		Lane lane = *lane_get(store, task->lane_id);

		lane.queue = unconstify(char *, queue);
		task->lane_id = lane_intern_like(store, &lane);
	}
	dead_letter_begin_anew(task, reset_retries);
	if (task->chunk == A_MAP)
	{
		map_revive(store, task);
		replay_of_map(store, task->id, queue, reset_retries);
	}
	else
		task_move(store, task, TASK_READY);
}

/* The same for one that may be a dead letter. */
static void
replay_if_dead(Store *store, int64 id, const char *queue, bool reset_retries)
{
	Task *task = dead_letter_find(store, id, true);

	if (task != NULL && dead_letter_take(store, task))
		replay(store, task, queue, reset_retries);
}

/* A map is replayed: so is all of it that failed. */
static void
replay_of_map(Store *store, int64 map_id, const char *queue, bool reset_retries)
{
	ItemRow *rows = palloc_array(ItemRow, MAP_PAGE);
	MapRow map;
	ChunkRow chunk;
	int64 from = 0;
	int n;

	while ((n = item_row_page(store, map_id, from, rows, MAP_PAGE)) > 0)
	{
		for (int i = 0; i < n; i++)
		{
			CHECK_FOR_INTERRUPTS();
			replay_if_dead(store, rows[i].task_id, queue, reset_retries);
		}
		from = rows[n - 1].number + 1;
	}
	/* chunks that failed as a whole, because they crashed or lost their workers */
	if (!map_row_find(store, map_id, &map))
		return;
	for (int number = 0; number < map.started; number++)
		if (chunk_row_find_brief(store, map_id, number, &chunk) && chunk.finished_at == NO_TIME)
			replay_if_dead(store, chunk.task_id, queue, reset_retries);
}

static void
forget(int64 id, int64 ref)
{
	Oid types[2] = {INT8OID, INT8OID};
	Datum values[2];
	ColdSql cold;

	values[0] = Int64GetDatum(id);
	values[1] = Int64GetDatum(ref);
	cold_begin(&cold);
	if (SPI_execute_with_args("SELECT stent._forget(ARRAY[$1], ARRAY[$2])", 2, types, values, NULL,
							  false, 0) < 0)
		elog(ERROR, "forgetting a task failed");
	cold_end(&cold);
}

static char *
optional_text(FunctionCallInfo fcinfo, int arg)
{
	return PG_ARGISNULL(arg) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(arg));
}

static void
need(FunctionCallInfo fcinfo, int arg, const char *what)
{
	if (PG_ARGISNULL(arg))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("%s must not be null", what),
				 errhint("See the comment of the function, \\df+ stent.* in psql.")));
}

static char *
queue_option(FunctionCallInfo fcinfo, int arg)
{
	return PG_ARGISNULL(arg) ? NULL : check_name(PG_GETARG_TEXT_PP(arg), "queue");
}

/* Whether parents are to be brought back. */
static bool
revive_option(FunctionCallInfo fcinfo, int arg)
{
	if (PG_NARGS() <= arg) /* before 0.5 */
		return false;
	need(fcinfo, arg, "revive_parent");
	return PG_GETARG_BOOL(arg);
}

PG_FUNCTION_INFO_V1(stent_replay);
Datum
stent_replay(PG_FUNCTION_ARGS)
{
	Store *store;
	Task *task;
	int64 id;
	char *queue;
	bool revive;

	need(fcinfo, 0, "id");
	need(fcinfo, 2, "reset_retries");
	revive = revive_option(fcinfo, 3);
	id = PG_GETARG_INT64(0);
	queue = queue_option(fcinfo, 1);
	store = store_open("stent.replay()");
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	task = dead_letter_find(store, id, caller_is_admin());
	if (task == NULL || !dead_letter_take(store, task))
		ereport(ERROR, (errcode(ERRCODE_NO_DATA_FOUND),
						errmsg("task " INT64_FORMAT " is not a dead letter", id),
						errhint("See the view stent.dead_letters.")));
	if (!dead_letter_own_dedup_key(store, task))
		dead_letter_refuse_dedup_key(task);
	if (revive)
		revive_parents(store, task, PG_GETARG_BOOL(2));
	replay(store, task, queue, PG_GETARG_BOOL(2));
	PopActiveSnapshot();
	store_close(store);
	PG_RETURN_INT64(id);
}

PG_FUNCTION_INFO_V1(stent_discard);
Datum
stent_discard(PG_FUNCTION_ARGS)
{
	Store *store;
	Task *task;
	int64 id;

	need(fcinfo, 0, "id");
	id = PG_GETARG_INT64(0);
	store = store_open("stent.discard()");
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	task = dead_letter_find(store, id, caller_is_admin());
	if (task != NULL && !dead_letter_take(store, task))
		task = NULL;
	if (task != NULL)
		archive_insert(store, task);
	PopActiveSnapshot();
	store_close(store);
	if (task == NULL)
	{
		Oid types[1] = {INT8OID};
		Datum values[1] = {Int64GetDatum(id)};
		ColdSql cold;

		cold_begin_as_caller(&cold);
		if (SPI_execute_with_args("SELECT FROM stent.tasks WHERE id = $1", 1, types, values, NULL,
								  true, 1) != SPI_OK_SELECT)
			elog(ERROR, "looking for a task failed");
		if (SPI_processed == 0)
			unknown_task(id);
		cold_end(&cold);
	}
	PG_RETURN_BOOL(task != NULL);
}

/* The filters of the bulk forms. */
typedef struct Filter
{
	FunctionCallInfo fcinfo;
	int function;
	int code;
	int older_than;
	int max;     /* -1: all */
	bool revive; /* children come before their parents */
} Filter;

/*
 * The ids that a bulk form is about, oldest first, locked; those locked by others
 * are passed over.
 */
static int64 *
matching_ids(const Filter *filter, Store *store, uint64 *n)
{
	FunctionCallInfo fcinfo = filter->fcinfo;
	Oid types[6] = {TEXTOID, TEXTOID, TIMESTAMPOID, TEXTOID, INT8OID, BOOLOID};
	Datum values[6] = {0};
	char nulls[7] = "nnnnn ";
	MemoryContext cxt = CurrentMemoryContext;
	ColdSql cold;
	int64 *ids;

	if (!PG_ARGISNULL(filter->function))
	{
		values[0] = CStringGetTextDatum(
			function_ever_registered(store, optional_text(fcinfo, filter->function))->name);
		nulls[0] = ' ';
	}
	if (!PG_ARGISNULL(filter->code))
	{
		values[1] = PG_GETARG_DATUM(filter->code);
		nulls[1] = ' ';
	}
	if (!PG_ARGISNULL(filter->older_than))
	{
		Interval *age = PG_GETARG_INTERVAL_P(filter->older_than);

		interval_check(age, "older_than");
		values[2] = DirectFunctionCall2(timestamp_mi_interval, TimestampGetDatum(clock_now()),
										IntervalPGetDatum(age));
		nulls[2] = ' ';
	}
	if (!caller_is_admin())
	{
		values[3] = CStringGetTextDatum(GetUserNameFromId(GetUserId(), false));
		nulls[3] = ' ';
	}
	if (filter->max >= 0)
	{
		need(fcinfo, filter->max, "max_tasks");
		if (PG_GETARG_INT32(filter->max) <= 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("max_tasks must be positive, not %d", PG_GETARG_INT32(filter->max)),
					 errhint("1000 is the default.")));
		values[4] = Int64GetDatum(PG_GETARG_INT32(filter->max));
		nulls[4] = ' ';
	}

	values[5] = BoolGetDatum(filter->revive);

	cold_begin(&cold);
	if (SPI_execute_with_args(
			"SELECT d.id FROM stent.dead_letter d JOIN stent.function f ON f.id = d.function_id "
			"JOIN stent.lane l ON l.id = d.lane_id "
			"WHERE ($1 IS NULL OR f.name = $1) "
			"AND ($2 IS NULL OR d.error ->> 'code' = $2 OR (length($2) = 2 AND left(d.error ->> 'code', 2) = $2)) "
			"AND ($3 IS NULL OR d.finished_at < $3) "
			"AND ($4 IS NULL OR l.role = $4) "
			"ORDER BY d.finished_at, CASE WHEN $6 THEN - d.id ELSE d.id END "
			"LIMIT $5 FOR UPDATE OF d SKIP LOCKED",
			6, types, values, nulls, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "looking for dead letters failed");
	*n = SPI_processed;
	ids = MemoryContextAlloc(cxt, Max(*n, 1) * sizeof(int64));
	for (uint64 i = 0; i < *n; i++)
	{
		bool isnull;

		ids[i] =
			DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull));
	}
	cold_end(&cold);
	return ids;
}

typedef enum BulkAction
{
	BULK_REPLAY,
	BULK_DISCARD,
	BULK_PURGE
} BulkAction;

/* What a bulk form does with one dead letter. */
typedef struct Bulk
{
	Store *store;
	BulkAction action;
	const char *queue;
	bool reset_retries;
	bool revive;
} Bulk;

typedef enum BulkEnd
{
	BULK_DONE,
	BULK_PASSED_OVER,
	BULK_REFUSED /* its parent cannot be brought back */
} BulkEnd;

/* Act on one of the dead letters that were locked. */
static BulkEnd
bulk_one(const Bulk *bulk, int64 id)
{
	Store *store = bulk->store;
	Task *task = dead_letter_find(store, id, true);

	if (task == NULL)
		return BULK_PASSED_OVER;
	if (bulk->revive && !revive_is_possible(store, task))
		return BULK_REFUSED;
	/* one whose dedup key is in use stays dead */
	if ((bulk->action == BULK_REPLAY && !dead_letter_own_dedup_key(store, task)) ||
		!dead_letter_take(store, task))
		return BULK_PASSED_OVER;
	if (bulk->revive)
		revive_parents(store, task, bulk->reset_retries);
	if (bulk->action == BULK_REPLAY)
		replay(store, task, bulk->queue, bulk->reset_retries);
	else if (bulk->action == BULK_DISCARD)
		archive_insert(store, task);
	else
		forget(task->id, task->args_ref);
	return BULK_DONE;
}

static int64
bulk_all(const char *command, const Filter *filter, Bulk *bulk)
{
	Store *store = store_open(command);
	MemoryContext cxt =
		AllocSetContextCreate(CurrentMemoryContext, "stent bulk", ALLOCSET_DEFAULT_SIZES);
	uint64 n;
	int64 *ids = matching_ids(filter, store, &n);
	int64 done = 0;
	uint64 left;

	bulk->store = store;
	bulk->revive = filter->revive;
	/* a second time those whose parents live now because of others */
	for (int pass = 0; pass < 2 && n > 0; pass++, n = left)
	{
		left = 0;
		for (uint64 i = 0; i < n; i++)
		{
			MemoryContext old = MemoryContextSwitchTo(cxt);
			BulkEnd end;

			CHECK_FOR_INTERRUPTS();
			CommandCounterIncrement();
			PushActiveSnapshot(GetTransactionSnapshot());
			end = bulk_one(bulk, ids[i]);
			done += end == BULK_DONE;
			if (end == BULK_REFUSED)
				ids[left++] = ids[i];
			PopActiveSnapshot();
			MemoryContextSwitchTo(old);
			MemoryContextReset(cxt);
		}
	}
	store_close(store);
	return done;
}

PG_FUNCTION_INFO_V1(stent_replay_many);
Datum
stent_replay_many(PG_FUNCTION_ARGS)
{
	Filter filter = {fcinfo, 0, 1, 2, 5, revive_option(fcinfo, 6)};
	Bulk bulk = {.action = BULK_REPLAY};

	need(fcinfo, 4, "reset_retries");
	bulk.queue = queue_option(fcinfo, 3);
	bulk.reset_retries = PG_GETARG_BOOL(4);
	PG_RETURN_INT64(bulk_all("stent.replay_many()", &filter, &bulk));
}

PG_FUNCTION_INFO_V1(stent_discard_many);
Datum
stent_discard_many(PG_FUNCTION_ARGS)
{
	Filter filter = {fcinfo, 0, 1, 2, 3, false};
	Bulk bulk = {.action = BULK_DISCARD};

	PG_RETURN_INT64(bulk_all("stent.discard_many()", &filter, &bulk));
}

PG_FUNCTION_INFO_V1(stent_purge_dead_letters);
Datum
stent_purge_dead_letters(PG_FUNCTION_ARGS)
{
	Filter filter = {fcinfo, 1, 2, 0, -1, false};
	Bulk bulk = {.action = BULK_PURGE};

	need(fcinfo, 0, "older_than");
	PG_RETURN_INT64(bulk_all("stent.purge_dead_letters()", &filter, &bulk));
}
