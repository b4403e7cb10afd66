/*
 * upkeep.c
 *	  What the scheduler clears away: dead rows of the hot tables, old tallies and counters.
 *
 * A vacuum pays when enough entries are dead and those who could still see them
 * have gone: the horizon has passed the moment when they were enough. Until then it
 * would read the tables for nothing. Autovacuum remains behind it.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "commands/vacuum.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "parser/parse_node.h"
#include "pgstat.h"
#include "storage/procarray.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "fault.h"
#include "shmem.h"
#include "store.h"
#include "upkeep.h"

#define VACUUM_COMMAND                                                                          \
	"VACUUM (SKIP_LOCKED, INDEX_CLEANUP ON, TRUNCATE OFF) stent.ready, stent.task, stent.due, " \
	"stent.line"

/* how often to ask whether the horizon has passed */
#define FIRST_DELAY_S 1
#define MAX_DELAY_S 300

static TransactionId dead_since = InvalidTransactionId; /* enough were dead at this id */
static TimestampTz ask_again;
static int delay_s;

static void
read_slot(uint64 *dead, uint64 *tallies, uint64 *counters)
{
	DatabaseSlot *slot;

	LWLockAcquire(stent_shared->lock, LW_SHARED);
	slot = shmem_database(MyDatabaseId, false);
	*dead = slot == NULL ? 0 : slot->dead_entries;
	*tallies = slot == NULL ? 0 : slot->tallies;
	*counters = slot == NULL ? 0 : slot->counters;
	LWLockRelease(stent_shared->lock);
}

static void
clear_slot(uint64 dead, uint64 tallies, uint64 counters)
{
	DatabaseSlot *slot;

	LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
	slot = shmem_database(MyDatabaseId, false);
	if (slot != NULL)
	{
		slot->dead_entries -= Min(dead, slot->dead_entries);
		slot->tallies -= Min(tallies, slot->tallies);
		slot->counters -= Min(counters, slot->counters);
	}
	LWLockRelease(stent_shared->lock);
}

/* Whether nobody can see any more what was dead at dead_since. */
static bool
horizon_passed(void)
{
	TransactionId horizon;
	Relation rel;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	rel = table_open(store_oid(STORE_READY), AccessShareLock);
	horizon = GetOldestNonRemovableTransactionId(rel);
	table_close(rel, NoLock);
	CommitTransactionCommand();
	return TransactionIdFollowsOrEquals(horizon, dead_since);
}

static void
vacuum_hot_tables(void)
{
	MemoryContext cxt = CurrentMemoryContext;
	MemoryContext portal = PortalContext;
	List *parsed = pg_parse_query(VACUUM_COMMAND);
	VacuumStmt *statement = castNode(VacuumStmt, linitial_node(RawStmt, parsed)->stmt);

	pgstat_report_activity(STATE_RUNNING, VACUUM_COMMAND);
	/* the caller's context outlives the transactions that VACUUM ends and begins */
	PortalContext = cxt;
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	ExecVacuum(make_parsestate(NULL), statement, true);
	CommitTransactionCommand();
	PortalContext = portal;
	MemoryContextSwitchTo(cxt);
}

static void
vacuum_if_it_pays(uint64 dead, TimestampTz *again)
{
	TimestampTz now = GetCurrentTimestamp();

	if (dead < DEAD_ENTRIES_VACUUM)
	{
		dead_since = InvalidTransactionId;
		return;
	}
	if (!TransactionIdIsValid(dead_since))
	{
		dead_since = XidFromFullTransactionId(ReadNextFullTransactionId());
		delay_s = FIRST_DELAY_S;
		ask_again = now;
	}
	if (ask_again <= now)
	{
		if (horizon_passed())
		{
			vacuum_hot_tables();
			clear_slot(dead, 0, 0);
			dead_since = InvalidTransactionId;
			return;
		}
		ask_again = now + delay_s * USECS_PER_SEC;
		delay_s = Min(2 * delay_s, MAX_DELAY_S);
	}
	*again = Min(*again, ask_again);
}

static void
fold(const char *sql, uint64 tallies, uint64 counters)
{
	ColdSql cold;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	cold_begin(&cold);
	if (SPI_execute(sql, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "SPI failed: %s", sql);
	cold_end(&cold);
	PopActiveSnapshot();
	STENT_FAULT("upkeep_before_commit");
	CommitTransactionCommand();
	clear_slot(0, tallies, counters);
}

/* One round; again is lowered to when the next one is needed. */
void
upkeep(TimestampTz *again)
{
	uint64 dead;
	uint64 tallies;
	uint64 counters;

	read_slot(&dead, &tallies, &counters);
	if (tallies >= TALLIES_FOLD)
		fold("SELECT stent._fold_tallies()", tallies, 0);
	if (counters >= COUNTERS_FOLD)
		fold("SELECT stent._fold_counters()", 0, counters);
	vacuum_if_it_pays(dead, again);
}
