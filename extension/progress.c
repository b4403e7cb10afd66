/*
 * progress.c
 *	  What handlers tell of their progress: progress().
 *
 * Entries are collected in memory, dropped with what undoes them (a failed attempt
 * leaves its error, not its entries), and written when the transaction is about to
 * commit. Both are bounded: of an attempt the first and the latest entries stay, of
 * an execution the latest. Deleting the oldest waits for nobody, so while several
 * transactions write at once there may be somewhat more.
 *
 * Where the library is preloaded, the latest step is visible at once in shared memory.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/xact.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "clock.h"
#include "compat.h"
#include "fault.h"
#include "json.h"
#include "notes.h"
#include "progress.h"
#include "shmem.h"
#include "store.h"

#define MAX_OF_ATTEMPT 100
#define FIRST_OF_ATTEMPT 50 /* that stay */
#define MAX_OF_EXECUTION 1000
#define MAX_DETAIL 10000

enum
{
	ENTRY_EXECUTION_ID = 1,
	ENTRY_ID,
	ENTRY_TASK_ID,
	ENTRY_LANE_ID,
	ENTRY_ATTEMPT,
	ENTRY_STEP,
	ENTRY_DETAIL,
	ENTRY_AT,
	ENTRY_COLUMNS = ENTRY_AT
};

typedef struct Entry
{
	int64 execution_id;
	int64 task_id;
	int32 lane_id;
	int attempt;
	SubTransactionId subid;
	uint64 number;  /* in the order of the calls */
	int64 left_out; /* it stands for so many others */
	char *step;     /* NULL then */
	Jsonb *detail;  /* or NULL */
	Timestamp at;
} Entry;

/* Those of a task are together; those of an inner subtransaction are last. */
static Entry *entries;
static int n_entries;
static int max_entries;
static uint64 next_number;
static MemoryContext entries_cxt; /* of all of it */

static void
forget_entries(void)
{
	n_entries = max_entries = 0;
	entries = NULL;
	MemoryContextReset(entries_cxt);
}

static void
free_entry(Entry *entry)
{
	if (entry->step != NULL)
		pfree(entry->step);
	if (entry->detail != NULL)
		pfree(entry->detail);
	entry->step = NULL;
	entry->detail = NULL;
}

static void
make_room(void)
{
	if (entries_cxt == NULL)
		entries_cxt =
			AllocSetContextCreate(TopMemoryContext, "stent progress", ALLOCSET_DEFAULT_SIZES);
	if (entries == NULL)
	{
		entries = MemoryContextAlloc(entries_cxt, 16 * sizeof(Entry));
		max_entries = 16;
	}
	else if (n_entries == max_entries)
	{
		entries = repalloc_huge(entries, 2 * max_entries * sizeof(Entry));
		max_entries *= 2;
	}
}

/* Where the attempt has as many entries as it may, let one more take their place. */
static void
leave_one_out(int64 task_id)
{
	int n = 0;
	Entry *middle;

	while (n < n_entries && entries[n_entries - 1 - n].task_id == task_id)
		n++;
	if (n < MAX_OF_ATTEMPT)
		return;
	middle = &entries[n_entries - n + FIRST_OF_ATTEMPT];
	if (middle->left_out == 0)
	{
		free_entry(middle);
		middle->left_out = 1;
	}
	free_entry(middle + 1);
	memmove(middle + 1, middle + 2, (entries + n_entries - (middle + 2)) * sizeof(Entry));
	middle->left_out++;
	n_entries--;
}

/* An attempt at the task tells of this, with the commit. */
void
progress_add(const Task *task, const char *step, Jsonb *detail)
{
	MemoryContext old;
	Entry entry;

	leave_one_out(task->id);
	make_room();
	old = MemoryContextSwitchTo(entries_cxt);
	entry = (Entry){.execution_id = task->execution_id,
					.task_id = task->id,
					.lane_id = task->lane_id,
					.attempt = task->attempt + 1,
					.subid = GetCurrentSubTransactionId(),
					.number = next_number++,
					.step = pstrdup(step),
					.detail = detail == NULL ? NULL : DatumGetJsonbPCopy(JsonbPGetDatum(detail)),
					.at = clock_now()};
	MemoryContextSwitchTo(old);
	entries[n_entries++] = entry;
}

static int
compare_entries(const void *a, const void *b)
{
	const Entry *x = a;
	const Entry *y = b;

	if (x->execution_id != y->execution_id)
		return x->execution_id < y->execution_id ? -1 : 1;
	return x->number < y->number ? -1 : 1;
}

static Jsonb *
left_out_detail(int64 left_out)
{
	char *text = psprintf("{\"left_out\": " INT64_FORMAT "}", left_out);

	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
}

/* Returns its id. */
static int64
write_entry(Store *store, const Entry *entry)
{
	Datum values[ENTRY_COLUMNS];
	bool nulls[ENTRY_COLUMNS] = {0};
	int64 id = store_next_id();
	Jsonb *detail = entry->left_out > 0 ? left_out_detail(entry->left_out) : entry->detail;

	values[ENTRY_EXECUTION_ID - 1] = Int64GetDatum(entry->execution_id);
	values[ENTRY_ID - 1] = Int64GetDatum(id);
	values[ENTRY_TASK_ID - 1] = Int64GetDatum(entry->task_id);
	values[ENTRY_LANE_ID - 1] = Int32GetDatum(entry->lane_id);
	values[ENTRY_ATTEMPT - 1] = Int16GetDatum((int16) entry->attempt);
	values[ENTRY_STEP - 1] = CStringGetTextDatum(entry->left_out > 0 ? "..." : entry->step);
	values[ENTRY_DETAIL - 1] = JsonbPGetDatum(detail);
	nulls[ENTRY_DETAIL - 1] = detail == NULL;
	values[ENTRY_AT - 1] = TimestampGetDatum(entry->at);
	store_insert(store, store_table(store, STORE_PROGRESS), values, nulls);
	return id;
}

/*
 * Delete the oldest entries of an execution that has too many. Whoever wrote so many
 * deletes no more, else each would read past the dead rows of all before, until they
 * are vacuumed; only now and then all that are too many.
 */
static void
delete_oldest(Store *store, int64 execution_id, int most)
{
	StoreRel *table = store_table(store, STORE_PROGRESS);
	IndexScanDesc scan;
	ScanKeyData key;
	int n = 0;

	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	scan = compat_index_beginscan(table->rel, table->pkey, GetActiveSnapshot(), 1);
	ScanKeyInit(&key, ENTRY_EXECUTION_ID, BTEqualStrategyNumber, F_INT8EQ,
				Int64GetDatum(execution_id));
	index_rescan(scan, &key, 1, NULL, 0);
	while (n < MAX_OF_EXECUTION + most &&
		   index_getnext_slot(scan, BackwardScanDirection, table->out))
		if (++n > MAX_OF_EXECUTION)
			(void) store_delete(table, &table->out->tts_tid, false);
	ExecClearTuple(table->out);
	index_endscan(scan);
	PopActiveSnapshot();
}

static void
write_entries(void)
{
	Store *store;
	int end;

	/* an extension that was dropped meanwhile */
	if (!store_has_relation("progress_entry"))
	{
		forget_entries();
		return;
	}
	qsort(entries, n_entries, sizeof(Entry), compare_entries);
	PushActiveSnapshot(GetTransactionSnapshot());
	store = store_open("stent's progress");
	for (int begin = 0; begin < n_entries; begin = end)
	{
		int64 execution_id = entries[begin].execution_id;
		int64 id = NO_ID;

		for (end = begin; end < n_entries && entries[end].execution_id == execution_id;)
			end++;
		begin = Max(begin, end - MAX_OF_EXECUTION);
		for (int i = begin; i < end; i++)
			id = write_entry(store, &entries[i]);
		STENT_FAULT("progress_after_insert");
		delete_oldest(store, execution_id, id % 8 == 0 ? INT_MAX - MAX_OF_EXECUTION : end - begin);
	}
	store_close(store);
	PopActiveSnapshot();
	forget_entries();
}

static void
xact_ended(XactEvent event, void *arg)
{
	if (n_entries == 0)
		return;
	if (event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE)
		write_entries();
	else if (event == XACT_EVENT_ABORT)
		forget_entries();
}

static void
subxact_ended(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
	{
		for (; n_entries > 0 && entries[n_entries - 1].subid >= mine; n_entries--)
			free_entry(&entries[n_entries - 1]);
	}
	else if (event == SUBXACT_EVENT_COMMIT_SUB)
	{
		for (int i = n_entries - 1; i >= 0 && entries[i].subid >= mine; i--)
			entries[i].subid = parent;
	}
}

void
progress_init(void)
{
	RegisterXactCallback(xact_ended, NULL);
	RegisterSubXactCallback(subxact_ended, NULL);
}

void
progress_check_detail(Jsonb *detail)
{
	if (detail != NULL && VARSIZE(detail) > MAX_DETAIL)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("detail of %zu bytes exceeds the limit of %d", (Size) VARSIZE(detail),
						MAX_DETAIL),
				 errhint("Progress is for people; keep data in a table or in the context.")));
}

PG_FUNCTION_INFO_V1(stent_progress);
Datum
stent_progress(PG_FUNCTION_ARGS)
{
	const Task *task =
		notes_task("stent.progress()", "The view stent.progress shows what handlers have told.");
	char *step = notes_check_name(fcinfo, 0, "step");
	Jsonb *detail = PG_ARGISNULL(1) ? NULL : PG_GETARG_JSONB_P(1);
	StentProc *proc = shmem_my_proc();

	progress_check_detail(detail);
	progress_add(task, step, detail);
	if (proc != NULL)
		shmem_set_step(proc, step, pg_mbcliplen(step, strlen(step), STEP_LENGTH - 1));
	PG_RETURN_VOID();
}
