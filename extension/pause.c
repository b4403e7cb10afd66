/*
 * pause.c
 *	  pause() and resume(): queues and functions whose tasks nobody may claim.
 *
 * Claimers step over a paused lane whole, as over one they do not serve, so it costs
 * the others nothing. Each session remembers what is paused until somebody changes it:
 * that invalidates the table in every session when it commits, as a change of the
 * registry does, and raises a number in shared memory, for invalidations are sent only
 * after the commit has woken those who wait for work. So no claim reads the table, and
 * none that begins after the commit misses it. Running tasks end by themselves.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "announce.h"
#include "clock.h"
#include "compat.h"
#include "pause.h"
#include "registry.h"
#include "shmem.h"

/* Stored for all queues, for all functions. */
#define ANY_QUEUE ""
#define ANY_FUNCTION 0

enum
{
	PAUSE_QUEUE = 1,
	PAUSE_FUNCTION_ID
};

typedef struct Pause
{
	char *queue;
	int32 function_id;
} Pause;

struct PauseList
{
	int n;
	int max;
	Pause *pauses;
};

static MemoryContext list_cxt;
static PauseList *list;   /* NULL: nothing is paused */
static uint64 generation; /* of the store when the list was read; 0: read it */
static uint32 changes;    /* and of the pauses, in shared memory */

static void
add(TupleTableSlot *slot)
{
	MemoryContext old = MemoryContextSwitchTo(list_cxt);
	Pause *pause;
	bool isnull;

	if (list == NULL)
	{
		list = palloc0_object(PauseList);
		list->max = 8;
		list->pauses = palloc_array(Pause, list->max);
	}
	if (list->n == list->max)
	{
		list->max *= 2;
		list->pauses = repalloc_array(list->pauses, Pause, list->max);
	}
	pause = &list->pauses[list->n++];
	pause->queue = TextDatumGetCString(slot_getattr(slot, PAUSE_QUEUE, &isnull));
	pause->function_id = DatumGetInt32(slot_getattr(slot, PAUSE_FUNCTION_ID, &isnull));
	MemoryContextSwitchTo(old);
}

static uint32
shared_changes(void)
{
	return stent_shared == NULL ? 0 : pg_atomic_read_u32(&stent_shared->pauses);
}

/* Whether the list that this session knows is the present one. */
bool
pause_is_current(void)
{
	return generation == store_generation() && changes == shared_changes();
}

static void
read_list(Store *store)
{
	StoreRel *table = store_table(store, STORE_PAUSE);
	uint64 now = store_generation();
	uint32 now_changes = shared_changes();
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	IndexScanDesc scan = compat_index_beginscan(table->rel, table->pkey, snapshot, 0);

	generation = 0;
	list = NULL;
	if (list_cxt == NULL)
		list_cxt = AllocSetContextCreate(CacheMemoryContext, "stent pauses", ALLOCSET_SMALL_SIZES);
	MemoryContextReset(list_cxt);
	index_rescan(scan, NULL, 0, NULL, 0);
	while (index_getnext_slot(scan, ForwardScanDirection, table->out))
		add(table->out);
	index_endscan(scan);
	UnregisterSnapshot(snapshot);
	ExecClearTuple(table->out);
	generation = now;
	changes = now_changes;
}

/* What is paused; NULL: nothing. */
const PauseList *
pause_list(Store *store)
{
	if (pause_is_current())
		return list;
	/* a database that was not updated has no such table */
	if (store_has_relation("pause"))
		read_list(store);
	else
	{
		list = NULL;
		generation = store_generation();
		changes = shared_changes();
	}
	return list;
}

bool
pause_holds(const PauseList *paused, const Lane *lane)
{
	for (int i = 0; i < paused->n; i++)
	{
		const Pause *pause = &paused->pauses[i];

		if ((pause->function_id == ANY_FUNCTION || pause->function_id == lane->function_id) &&
			(pause->queue[0] == '\0' || strcmp(pause->queue, lane->queue) == 0))
			return true;
	}
	return false;
}

/* What a prepared transaction paused is not ours to see any more. */
static void
xact_ended(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_PREPARE)
		generation = 0;
}

void
pause_init(void)
{
	RegisterXactCallback(xact_ended, NULL);
}

/*
 * Run a statement about the pause that the arguments name, with the first n of its
 * columns as parameters; true if it changed a row.
 */
static bool
change(FunctionCallInfo fcinfo, const char *command, const char *sql, int n)
{
	Oid types[4] = {TEXTOID, INT4OID, TIMESTAMPOID, TEXTOID};
	Datum values[4];
	ColdSql cold;
	bool changed;

	values[0] = CStringGetTextDatum(PG_ARGISNULL(0) ? ANY_QUEUE
													: check_name(PG_GETARG_TEXT_PP(0), "queue"));
	values[1] = Int32GetDatum(ANY_FUNCTION);
	if (!PG_ARGISNULL(1))
	{
		Store *store = store_open(command);

		values[1] = Int32GetDatum(
			function_ever_registered(store, text_to_cstring(PG_GETARG_TEXT_PP(1)))->id);
		store_close(store);
	}
	values[2] = TimestampGetDatum(clock_now());
	values[3] = CStringGetTextDatum(GetUserNameFromId(GetUserId(), false));
	cold_begin(&cold);
	if (SPI_execute_with_args(sql, n, types, values, NULL, false, 0) < 0)
		elog(ERROR, "%s failed", command);
	changed = SPI_processed > 0;
	cold_end(&cold);
	if (changed)
	{
		CacheInvalidateRelcacheByRelid(store_oid(STORE_PAUSE));
		announce_pauses();
		CommandCounterIncrement();
	}
	return changed;
}

PG_FUNCTION_INFO_V1(stent_pause);
Datum
stent_pause(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(change(fcinfo, "stent.pause()",
						  "INSERT INTO stent.pause (queue, function_id, paused_at, paused_by) "
						  "VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
						  4));
}

PG_FUNCTION_INFO_V1(stent_resume);
Datum
stent_resume(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(change(fcinfo, "stent.resume()",
						  "DELETE FROM stent.pause WHERE queue = $1 AND function_id = $2", 2));
}
