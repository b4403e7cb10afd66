/*
 * line.c
 *	  Lines: the tasks of one concurrency key, in the order of their age.
 *
 * A line is a hash of function and key. A task with a key joins its line when it
 * could first run and stays there, at the position it was given, until it ends; a
 * retry keeps it. A task may run if fewer than n older ones are in its line, n being
 * the function's max_per_key. Those that may, the first n, are ready (or wait for
 * their retry); the others are blocked: they have no ready entry, and the row here
 * is their lock.
 *
 * That no more than n run never rests on this table: who takes a ready entry of a
 * line has one of its n places (place.c) to the end of its transaction, and looks
 * afterwards, with a snapshot taken since, whether the task is still among the
 * first n. If not, for an older one was committed late, the task is blocked again.
 *
 * That none is forgotten: to decide who is next takes the line's lock (PLACE_DECISION,
 * never waited for), held to the commit, and a snapshot taken since. Whoever makes a
 * line shorter, or adds a blocked task, either decides or leaves a nudge: a due
 * entry, by which whoever claims next decides, under the lock. Take the last of
 * these to commit. If it has decided, what its snapshot did not show was committed
 * while it held the lock, so by somebody who left a nudge, and that could not be acted
 * on before the lock was free; else it left one itself. So after the last change there
 * is always a decision that sees all of it. This goes for one who sees nobody
 * blocked, too: a task that is dispatched behind its own, and the nudge about it, may
 * come and go before it commits.
 *
 * One case needs no nudge: a dispatcher whose transaction has written the n rows
 * before the new one. None of them can be ended by another before it commits, and who
 * ends one later sees all.
 *
 * Rows of tasks that have gone stand in front until they are vacuumed. Where walking
 * past them takes long, a session remembers for a while where the first visible row
 * was. What is committed late below that is missed meanwhile, so a younger one may be
 * ready, too, but none is forgotten: it has its own nudge, or waits for one older still,
 * and who ends that one forgets the head. docs/limits-and-keys.md has the cases one by
 * one; test/model/line.pml checks them.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "portability/instr_time.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

#include "announce.h"
#include "compat.h"
#include "fault.h"
#include "intern.h"
#include "line.h"
#include "place.h"
#include "ready.h"
#include "registry.h"

/* a walk past dead rows is remembered if it took so long, and for that many times longer */
#define LONG_WALK_US 50
#define HEAD_WALKS 50
#define HEAD_LEAST_US 20000
#define HEAD_MOST_US 1000000

/* lines whose heads a session remembers at a time */
#define HEADS 64

/* No row of the line below the position was visible. */
typedef struct Head
{
	int64 line;
	int64 position;
	instr_time seen;
	double lasts_us;
} Head;

typedef struct LineRow
{
	int64 position;
	int64 task_id;
	int64 bucket;
	bool blocked;
	bool own; /* written by this transaction */
	ItemPointerData tid;
} LineRow;

static Head heads[HEADS];

/* lines this transaction has nudged; more than these it may nudge again */
#define NUDGED 256

typedef struct Nudged
{
	int64 line; /* NO_LINE: none */
	int64 bucket;
} Nudged;

static Nudged nudged[NUDGED];
static bool any_nudged;

static double
us_since(instr_time then)
{
	instr_time now;

	INSTR_TIME_SET_CURRENT(now);
	INSTR_TIME_SUBTRACT(now, then);
	return INSTR_TIME_GET_DOUBLE(now) * 1000000.0;
}

static Head *
head_slot(int64 line)
{
	return &heads[(uint64) line % HEADS];
}

/* Where to begin to read the line. */
static int64
head_of(int64 line)
{
	Head *head = head_slot(line);

	if (head->line != line)
		return POSITION_MIN;
	if (us_since(head->seen) < head->lasts_us)
		return head->position;
	head->line = NO_LINE;
	return POSITION_MIN;
}

/* The line is to be read from its beginning again. */
static void
forget_head(int64 line)
{
	if (head_slot(line)->line == line)
		head_slot(line)->line = NO_LINE;
}

/* The same if it has rows of the position. */
static void
forget_head_above(int64 line, int64 position)
{
	if (head_slot(line)->line == line && head_slot(line)->position > position)
		forget_head(line);
}

/* A walk that began at a time has found nothing visible below the position. */
static void
remember_head(int64 line, int64 position, instr_time begun)
{
	Head *head = head_slot(line);
	double us = us_since(begun);

	if (us < LONG_WALK_US || IsolationUsesXactSnapshot())
		return;
	head->line = line;
	head->position = position;
	head->lasts_us = Min(Max(HEAD_LEAST_US, us * HEAD_WALKS), HEAD_MOST_US);
	INSTR_TIME_SET_CURRENT(head->seen);
}

/* What this transaction had taken out is there again, or may be. */
static void
forget_heads(void)
{
	memset(heads, 0, sizeof(heads));
}

static void
forget_nudged(void)
{
	if (any_nudged)
		memset(nudged, 0, sizeof(nudged));
	any_nudged = false;
}

static void
xact_ended(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		forget_heads();
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE || event == XACT_EVENT_COMMIT)
		forget_nudged();
}

static void
subxact_ended(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	if (event != SUBXACT_EVENT_ABORT_SUB)
		return;
	forget_heads();
	forget_nudged();
}

void
line_init(void)
{
	RegisterXactCallback(xact_ended, NULL);
	RegisterSubXactCallback(subxact_ended, NULL);
}

static int64
line_of(int32 function_id, const char *key)
{
	uint64 hash =
		hash_bytes_extended((const unsigned char *) key, strlen(key), (uint64) function_id);

	return hash == 0 ? 1 : (int64) hash;
}

int64
line_of_task(const Task *task)
{
	return task->concurrency_key == NULL ? NO_LINE
										 : line_of(task->function_id, task->concurrency_key);
}

PG_FUNCTION_INFO_V1(stent_line);
Datum
stent_line(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(line_of(PG_GETARG_INT32(0), text_to_cstring(PG_GETARG_TEXT_PP(1))));
}

static int
max_per_key(Store *store, int64 bucket)
{
	const Lane *lane = lane_get(store, ready_bucket_lane(bucket));

	return function_by_id(store, lane->function_id)->max_per_key;
}

/*
 * The same by the active snapshot. Who decides sees all that others have committed, so
 * also how many they let run, though it may not have been told yet.
 */
static int
max_per_key_now(Store *store, int64 bucket)
{
	return function_max_per_key(store, lane_get(store, ready_bucket_lane(bucket))->function_id);
}

static int64
bucket_of(Store *store, const Task *task)
{
	return ready_bucket(lane_get(store, task->lane_id)->role, task->priority, task->lane_id);
}

/* See what this transaction has done, and all that is committed, whatever its isolation. */
static void
push_fresh_snapshot(void)
{
	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
}

static IndexScanDesc
begin_scan(StoreRel *table, int64 line)
{
	IndexScanDesc scan = compat_index_beginscan(table->rel, table->pkey, GetActiveSnapshot(), 2);
	ScanKeyData keys[2];

	ScanKeyInit(&keys[0], LINE_LINE, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(line));
	ScanKeyInit(&keys[1], LINE_POSITION, BTGreaterEqualStrategyNumber, F_INT8GE,
				Int64GetDatum(head_of(line)));
	index_rescan(scan, keys, 2, NULL, 0);
	return scan;
}

static bool
next_row(StoreRel *table, IndexScanDesc scan, ScanDirection direction, LineRow *row)
{
	TupleTableSlot *slot = table->out;
	bool isnull;

	if (!index_getnext_slot(scan, direction, slot))
		return false;
	row->position = DatumGetInt64(slot_getattr(slot, LINE_POSITION, &isnull));
	row->task_id = DatumGetInt64(slot_getattr(slot, LINE_TASK_ID, &isnull));
	row->blocked = DatumGetBool(slot_getattr(slot, LINE_BLOCKED, &isnull));
	row->bucket = DatumGetInt64(slot_getattr(slot, LINE_BUCKET, &isnull));
	row->own = TransactionIdIsCurrentTransactionId(
		DatumGetTransactionId(slot_getsysattr(slot, MinTransactionIdAttributeNumber, &isnull)));
	row->tid = slot->tts_tid;
	return true;
}

static void
end_scan(StoreRel *table, IndexScanDesc scan)
{
	index_endscan(scan);
	ExecClearTuple(table->out);
}

/* The row of a task. */
static bool
find_row(Store *store, const Task *task, LineRow *row)
{
	StoreRel *table = store_table(store, STORE_LINE);
	IndexScanDesc scan = compat_index_beginscan(table->rel, table->pkey, GetActiveSnapshot(), 2);
	ScanKeyData keys[2];
	bool found;

	ScanKeyInit(&keys[0], LINE_LINE, BTEqualStrategyNumber, F_INT8EQ,
				Int64GetDatum(line_of_task(task)));
	ScanKeyInit(&keys[1], LINE_POSITION, BTEqualStrategyNumber, F_INT8EQ,
				Int64GetDatum(task_position(task)));
	index_rescan(scan, keys, 2, NULL, 0);
	found = next_row(table, scan, ForwardScanDirection, row) && row->task_id == task->id;
	end_scan(table, scan);
	return found;
}

static void
fill_row(Datum *values, int64 line, int64 position, int64 task_id, bool blocked, int64 bucket)
{
	values[LINE_LINE - 1] = Int64GetDatum(line);
	values[LINE_POSITION - 1] = Int64GetDatum(position);
	values[LINE_TASK_ID - 1] = Int64GetDatum(task_id);
	values[LINE_BLOCKED - 1] = BoolGetDatum(blocked);
	values[LINE_BUCKET - 1] = Int64GetDatum(bucket);
}

/*
 * How many rows stand before the position, but no more than n are counted: from the
 * youngest on, for in front there are those that have gone. *own: this transaction
 * has written all that were counted.
 */
static int
count_older(Store *store, int64 line, int64 position, int n, bool *own)
{
	StoreRel *table = store_table(store, STORE_LINE);
	IndexScanDesc scan = compat_index_beginscan(table->rel, table->pkey, GetActiveSnapshot(), 3);
	ScanKeyData keys[3];
	instr_time begun;
	int64 lowest = position;
	LineRow row;
	int older = 0;

	INSTR_TIME_SET_CURRENT(begun);
	forget_head_above(line, position);
	ScanKeyInit(&keys[0], LINE_LINE, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(line));
	ScanKeyInit(&keys[1], LINE_POSITION, BTGreaterEqualStrategyNumber, F_INT8GE,
				Int64GetDatum(head_of(line)));
	ScanKeyInit(&keys[2], LINE_POSITION, BTLessStrategyNumber, F_INT8LT, Int64GetDatum(position));
	index_rescan(scan, keys, 3, NULL, 0);
	*own = true;
	while (older < n && next_row(table, scan, BackwardScanDirection, &row))
	{
		older++;
		lowest = row.position;
		*own &= row.own;
	}
	end_scan(table, scan);
	if (older < n)
		remember_head(line, lowest, begun);
	return older;
}

/* Have somebody decide, once this is committed. The bucket is that of a task that waits. */
static void
nudge(Store *store, int64 line, int64 bucket)
{
	Nudged *slot = &nudged[(uint64) line % NUDGED];

	/* one does for all this transaction changes: it is seen with its commit */
	if (slot->line == line && slot->bucket == bucket)
		return;
	STENT_FAULT("line_before_nudge");
	due_nudge(store, line, bucket);
	*slot = (Nudged){line, bucket};
	any_nudged = true;
}

/*
 * Make those ready who may be: under the line's lock, with a snapshot taken since.
 * False if somebody holds one of them, who may yet leave it where it is.
 */
static bool
decide(Store *store, int64 line, int n)
{
	StoreRel *table = store_table(store, STORE_LINE);
	IndexScanDesc scan = begin_scan(table, line);
	int max = Min(n, 16);
	LineRow *rows = palloc_array(LineRow, max);
	LineRow row;
	instr_time begun;
	int n_rows = 0;
	bool all = true;

	INSTR_TIME_SET_CURRENT(begun);
	for (int i = 0; i < n && next_row(table, scan, ForwardScanDirection, &row); i++)
	{
		if (i == 0)
			remember_head(line, row.position, begun);
		if (!row.blocked)
			continue;
		if (n_rows == max)
			rows = repalloc_array(rows, LineRow, max *= 2);
		rows[n_rows++] = row;
	}
	end_scan(table, scan);
	for (int i = 0; i < n_rows; i++)
	{
		Datum values[LINE_COLUMNS];
		bool nulls[LINE_COLUMNS] = {0};
		Task *task;

		fill_row(values, line, rows[i].position, rows[i].task_id, false, rows[i].bucket);
		if (store_replace_nowait(store, table, &rows[i].tid, values, nulls) != TM_Ok)
		{
			all = false;
			continue;
		}
		STENT_FAULT("line_decided");
		task = task_find_live(store, rows[i].task_id);
		if (task == NULL || task->state != TASK_BLOCKED)
			elog(ERROR, "blocked row of task " INT64_FORMAT " has no blocked task",
				 rows[i].task_id);
		announce_unblocked(lane_role(lane_get(store, task->lane_id)), rows[i].bucket,
						   rows[i].position);
		task_move(store, task, TASK_READY);
	}
	pfree(rows);
	return all;
}

/* Have the lock under which a line is decided; n locks are enough for a transaction. */
static bool
take_decision(Store *store, int64 line, int64 bucket, bool *fresh)
{
	*fresh = false;
	if (place_is_held(PLACE_DECISION, line))
		return true;
	return place_count() < PLACES_MANY &&
		   place_take(store, PLACE_DECISION, line, 1,
					  lane_role(lane_get(store, ready_bucket_lane(bucket))), fresh);
}

/* The first blocked one of the line. */
static bool
find_blocked(Store *store, int64 line, LineRow *row)
{
	StoreRel *table = store_table(store, STORE_LINE);
	IndexScanDesc scan = begin_scan(table, line);
	instr_time begun;
	bool found = false;

	INSTR_TIME_SET_CURRENT(begun);
	for (int i = 0; !found && next_row(table, scan, ForwardScanDirection, row); i++)
	{
		if (i == 0)
			remember_head(line, row->position, begun);
		found = row->blocked;
	}
	end_scan(table, scan);
	return found;
}

/*
 * The line has become shorter: see to it that those who may now run do, or are looked
 * for; the bucket is that of the task that has left. A user who cancels may stay open
 * for long: the lock is not for that.
 */
static void
hand_over(Store *store, int64 line, int64 bucket, bool may_lock)
{
	bool fresh;
	bool mine = may_lock && take_decision(store, line, bucket, &fresh);

	push_fresh_snapshot();
	if (!mine || !decide(store, line, max_per_key_now(store, bucket)))
	{
		LineRow blocked;

		nudge(store, line, find_blocked(store, line, &blocked) ? blocked.bucket : bucket);
	}
	PopActiveSnapshot();
}

/*
 * Take a task out of its line, if it is there: it has ended, or is to wait for a time
 * that its user has set. Its owner calls this. A blocked one was taken out when it was
 * taken.
 */
void
line_leave(Store *store, const Task *task, TaskState from)
{
	StoreRel *table = store_table(store, STORE_LINE);
	int64 line = line_of_task(task);
	LineRow row;
	bool found;

	forget_head_above(line, task_position(task));
	push_fresh_snapshot();
	found = find_row(store, task, &row);
	if (found && store_delete(table, &row.tid, true) != TM_Ok)
		elog(ERROR, "row in line of task " INT64_FORMAT " changed under its owner", task->id);
	PopActiveSnapshot();
	STENT_FAULT("line_after_leave");
	if (found || from == TASK_BLOCKED)
		hand_over(store, line, bucket_of(store, task),
				  from == TASK_RUNNING || task->state == TASK_TIMED_OUT);
}

/*
 * Put a task into its line, behind those who are there, and find out whether it may
 * run. Takes no lock, waits for nobody.
 */
static bool
enter(Store *store, Task *task)
{
	StoreRel *table = store_table(store, STORE_LINE);
	int64 line = line_of_task(task);
	int64 bucket = bucket_of(store, task);
	int n = max_per_key(store, bucket);
	Datum values[LINE_COLUMNS];
	bool nulls[LINE_COLUMNS] = {0};
	bool own;
	bool blocked;

	push_fresh_snapshot();
	blocked = count_older(store, line, task_position(task), n, &own) == n;
	fill_row(values, line, task_position(task), task->id, blocked, bucket);
	store_insert(store, table, values, nulls);
	STENT_FAULT("line_after_enter");
	PopActiveSnapshot();
	if (blocked && !own)
		nudge(store, line, bucket);
	return !blocked;
}

static bool
is_in_line(Store *store, const Task *task)
{
	LineRow row;
	bool found;

	push_fresh_snapshot();
	found = find_row(store, task, &row);
	PopActiveSnapshot();
	return found;
}

/*
 * Where a task with a key goes that is to be moved: one that would be ready may be
 * blocked. It joins its line, keeps its place in it, or leaves it.
 */
TaskState
line_destination(Store *store, Task *task, TaskState to)
{
	TaskState from = task->state;

	if (to == TASK_SCHEDULED && (from == TASK_READY || from == TASK_BLOCKED))
		line_leave(store, task, from);
	if (to != TASK_READY || from == TASK_RUNNING)
		return to;
	if (from != TASK_NEW && from != TASK_FAILED && is_in_line(store, task))
		return to;
	/* a blocked one that was taken has its age already */
	if (from == TASK_SCHEDULED || from == TASK_FAILED)
		task->position = store_next_id();
	return enter(store, task) ? TASK_READY : TASK_BLOCKED;
}

/* Take a blocked task, by deleting its row, without waiting; as ready_try_take. */
TM_Result
line_try_take(Store *store, const Task *task, TransactionId *holder)
{
	TM_Result result;
	LineRow row;

	*holder = InvalidTransactionId;
	if (!find_row(store, task, &row) || !row.blocked)
		return TM_Invisible;
	result = store_try_delete(store_table(store, STORE_LINE), &row.tid, holder);
	if (result == TM_Ok)
		announce_unblocked(lane_role(lane_get(store, task->lane_id)), row.bucket, row.position);
	return result;
}

bool
line_take(Store *store, const Task *task)
{
	TransactionId holder;

	return line_try_take(store, task, &holder) == TM_Ok;
}

/*
 * Have the right to run a task of the line. What is read afterwards is read with a
 * snapshot taken since, which replaces the caller's. *fresh: it may be given back.
 */
bool
line_place(Store *store, int64 line, int64 bucket, bool *fresh)
{
	Oid role = lane_role(lane_get(store, ready_bucket_lane(bucket)));

	if (!place_take(store, PLACE_LINE, line, max_per_key(store, bucket), role, fresh))
		return false;
	if (*fresh || IsolationUsesXactSnapshot())
	{
		PopActiveSnapshot();
		push_fresh_snapshot();
	}
	return true;
}

/*
 * The same for one task that is to be leased, whose place outlives the transaction: the
 * number of the place, or -1.
 */
int
line_claim(Store *store, int64 line, int64 bucket)
{
	PlaceSearch search = {.kind = PLACE_LINE, .what = line, .n = max_per_key(store, bucket)};
	int number = place_claim(store, &search);

	if (number >= 0)
	{
		PopActiveSnapshot();
		push_fresh_snapshot();
	}
	return number;
}

/* It is not used after all. */
void
line_unclaim(Store *store, int64 line, int number)
{
	PlaceSearch search = {.kind = PLACE_LINE, .what = line};

	place_unclaim(&search, number);
}

/* Whether a task that was taken is among those of its line who may run. */
bool
line_allows(Store *store, int64 line, int64 bucket, int64 position)
{
	int n = max_per_key(store, bucket);
	bool own;

	return count_older(store, line, position, n, &own) < n;
}

/* A ready task was taken that may not run yet, for there are older ones. */
void
line_demote(Store *store, Task *task)
{
	Datum values[LINE_COLUMNS];
	bool nulls[LINE_COLUMNS] = {0};
	int64 line = line_of_task(task);
	int64 bucket = bucket_of(store, task);
	LineRow row;

	if (!find_row(store, task, &row))
		elog(ERROR, "task " INT64_FORMAT " is not in its line", task->id);
	fill_row(values, line, row.position, task->id, true, bucket);
	(void) store_update(store, store_table(store, STORE_LINE), &row.tid, values, nulls);
	task_move(store, task, TASK_BLOCKED);
	nudge(store, line, bucket);
}

/* Act on a nudge; false if it is not for us, or not yet. */
bool
line_nudged(Store *store, const DueEntry *entry)
{
	ItemPointerData tid = entry->tid;
	bool done;
	bool fresh;

	if (!take_decision(store, entry->line, entry->bucket, &fresh))
		return false;
	/* it may be about one committed late */
	forget_head(entry->line);
	/* it may be our own */
	forget_nudged();
	push_fresh_snapshot();
	done = decide(store, entry->line, max_per_key_now(store, entry->bucket)) &&
		   store_delete(store_table(store, STORE_DUE), &tid, false) == TM_Ok;
	PopActiveSnapshot();
	if (done)
		announce_due_taken(lane_role(lane_get(store, ready_bucket_lane(entry->bucket))),
						   entry->bucket, entry->due_at, entry->kind);
	return done;
}

/* More tasks of each key of a function may run than before: have its lines decided. */
void
line_more_may_run(Store *store, int32 function_id)
{
	MemoryContext cxt = CurrentMemoryContext;
	Oid types[1] = {INT4OID};
	Datum values[1] = {Int32GetDatum(function_id)};
	int64 *lines;
	int64 *buckets;
	ColdSql cold;
	bool isnull;
	uint64 n;

	cold_begin(&cold);
	if (SPI_execute_with_args("SELECT DISTINCT ON (n.line) n.line, n.bucket FROM stent.line n "
							  "JOIN stent.lane l ON l.id = n.bucket & 4294967295 "
							  "WHERE n.blocked AND l.function_id = $1 ORDER BY n.line, n.position",
							  1, types, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "reading the lines of function %d failed", function_id);
	n = SPI_processed;
	lines = MemoryContextAllocHuge(cxt, Max(n, 1) * sizeof(int64));
	buckets = MemoryContextAllocHuge(cxt, Max(n, 1) * sizeof(int64));
	for (uint64 i = 0; i < n; i++)
	{
		HeapTuple row = SPI_tuptable->vals[i];

		lines[i] = DatumGetInt64(SPI_getbinval(row, SPI_tuptable->tupdesc, 1, &isnull));
		buckets[i] = DatumGetInt64(SPI_getbinval(row, SPI_tuptable->tupdesc, 2, &isnull));
	}
	cold_end(&cold);
	for (uint64 i = 0; i < n; i++)
		nudge(store, lines[i], buckets[i]);
	pfree(lines);
	pfree(buckets);
}
