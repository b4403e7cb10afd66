/*
 * evict.c
 *	  Emptying a database for a command that needs it empty.
 *
 * DROP DATABASE, ALTER DATABASE ... RENAME or SET TABLESPACE, and CREATE
 * DATABASE with it as template wait five seconds for other sessions and then
 * fail. Our processes would be such sessions, so before the command they are
 * asked to go, and after a moment made to; an interrupted task is run again
 * uncharged. After the command they come back, if the database is still there.
 *
 * DROP EXTENSION and ALTER EXTENSION need the tables, which executors in the middle of a
 * batch would make a deadlock of; so they are sent away for these too.
 *
 * The same hook sees COMMIT PREPARED and ROLLBACK PREPARED, after which the
 * scheduler has to read what no callback could tell it.
 */
#include "postgres.h"

#include <signal.h>

#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "announce.h"
#include "compat.h"
#include "evict.h"
#include "shmem.h"
#include "slots.h"

/* how long running batches may go on, and how long to wait in all */
#define GRACE_MS 1000
#define PATIENCE_MS 4000

static ProcessUtility_hook_type previous_hook;
static Oid evicted_until_end; /* by the running transaction */

/* An option of a statement by its name, or NULL. */
static DefElem *
find_option(List *options, const char *name)
{
	ListCell *cell;

	foreach (cell, options)
		if (strcmp(lfirst_node(DefElem, cell)->defname, name) == 0)
			return lfirst_node(DefElem, cell);
	return NULL;
}

/* Which existing database a command needs empty; NULL: none. */
static const char *
needs_empty(Node *statement)
{
	DefElem *option;

	switch (nodeTag(statement))
	{
		case T_DropdbStmt:
			return castNode(DropdbStmt, statement)->dbname;
		case T_RenameStmt:
			if (castNode(RenameStmt, statement)->renameType == OBJECT_DATABASE)
				return castNode(RenameStmt, statement)->subname;
			return NULL;
		case T_AlterDatabaseStmt:
			if (find_option(castNode(AlterDatabaseStmt, statement)->options, "tablespace") == NULL)
				return NULL;
			return castNode(AlterDatabaseStmt, statement)->dbname;
		case T_CreatedbStmt:
			option = find_option(castNode(CreatedbStmt, statement)->options, "template");
			return option != NULL && option->arg != NULL ? defGetString(option) : "template1";
		default:
			return NULL;
	}
}

/* Whether a command drops or changes our extension, and so locks all its tables. */
static bool
changes_extension(Node *statement)
{
	ListCell *cell;

	if (IsA(statement, AlterExtensionStmt))
		return strcmp(castNode(AlterExtensionStmt, statement)->extname, "stent") == 0;
	if (!IsA(statement, DropStmt) || castNode(DropStmt, statement)->removeType != OBJECT_EXTENSION)
		return false;
	foreach (cell, castNode(DropStmt, statement)->objects)
		if (strcmp(strVal(lfirst(cell)), "stent") == 0)
			return true;
	return false;
}

static bool
may_create_databases(void)
{
	HeapTuple tuple;
	bool may;

	if (superuser())
		return true;
	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(GetUserId()));
	if (!HeapTupleIsValid(tuple))
		return false;
	may = ((Form_pg_authid) GETSTRUCT(tuple))->rolcreatedb;
	ReleaseSysCache(tuple);
	return may;
}

static bool
is_template(Oid database)
{
	HeapTuple tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(database));
	bool is;

	if (!HeapTupleIsValid(tuple))
		return false;
	is = ((Form_pg_database) GETSTRUCT(tuple))->datistemplate;
	ReleaseSysCache(tuple);
	return is;
}

/* Whether the user may carry the command out; else nobody is disturbed for it. */
static bool
may_evict(Oid database, Node *statement)
{
	bool owner = object_ownercheck(DatabaseRelationId, database, GetUserId());

	if (IsA(statement, CreatedbStmt))
		return may_create_databases() && (owner || is_template(database));
	return owner && (!IsA(statement, RenameStmt) || may_create_databases());
}

/* The processes of ours that are connected to the database. */
static int
pids_in(Oid database, int *pids)
{
	DatabaseSlot *slot;
	int n = 0;

	LWLockAcquire(stent_shared->lock, LW_SHARED);
	slot = shmem_database(database, false);
	if (slot != NULL && slot->scheduler >= 0)
		pids[n++] = slot->scheduler_pid;
	for (int i = 0; i < MAX_EXECUTORS; i++)
	{
		ExecutorSlot *executor = &stent_shared->executors[i];

		if (executor->state != EXECUTOR_FREE && executor->database == database)
			pids[n++] = executor->pid; /* 0 while it starts */
	}
	LWLockRelease(stent_shared->lock);
	return n;
}

static void
change_evicting(Oid database, int by)
{
	DatabaseSlot *slot;
	int scheduler = -1;

	LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
	slot = shmem_database(database, false);
	if (slot != NULL)
	{
		slot->evicting += by;
		scheduler = slot->scheduler;
	}
	LWLockRelease(stent_shared->lock);
	shmem_set_latch(scheduler);
	shmem_set_latch(stent_shared->launcher);
}

static void
evict(Oid database)
{
	int pids[MAX_EXECUTORS + 1];
	TimestampTz begin = GetCurrentTimestamp();
	int n;

	slots_ask_to_leave(database, true);
	while ((n = pids_in(database, pids)) > 0)
	{
		TimestampTz now = GetCurrentTimestamp();

		CHECK_FOR_INTERRUPTS();
		if (TimestampDifferenceExceeds(begin, now, PATIENCE_MS))
			return; /* the command itself will say who is still there */
		if (TimestampDifferenceExceeds(begin, now, GRACE_MS))
			for (int i = 0; i < n; i++)
				if (pids[i] > 0)
					(void) kill(pids[i], SIGTERM);
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 10,
						 compat_wait_event("StentEvict"));
		ResetLatch(MyLatch);
	}
}

/*
 * Keep this database without our processes until the transaction ends: those in
 * the middle of a batch hold locks on some tables and want others.
 */
static void
evict_until_end(void)
{
	if (!OidIsValid(evicted_until_end))
	{
		change_evicting(MyDatabaseId, +1);
		evicted_until_end = MyDatabaseId;
	}
	evict(MyDatabaseId);
}

static void
xact_ended(XactEvent event, void *arg)
{
	if (!OidIsValid(evicted_until_end) ||
		(event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE))
		return;
	change_evicting(evicted_until_end, -1);
	evicted_until_end = InvalidOid;
}

static void
end_evicting(int code, Datum database)
{
	change_evicting(DatumGetObjectId(database), -1);
}

static bool
is_end_of_prepared(Node *statement)
{
	TransactionStmtKind kind;

	if (!IsA(statement, TransactionStmt))
		return false;
	kind = castNode(TransactionStmt, statement)->kind;
	return kind == TRANS_STMT_COMMIT_PREPARED || kind == TRANS_STMT_ROLLBACK_PREPARED;
}

/* A prepared transaction with tasks may have ended: have the tables read again. */
static void
prepared_ended(void)
{
	DatabaseSlot *slot;
	int scheduler = -1;

	LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
	slot = shmem_database(MyDatabaseId, false);
	if (slot != NULL && slot->prepared)
	{
		slot->reload = true;
		scheduler = slot->scheduler;
	}
	LWLockRelease(stent_shared->lock);
	shmem_set_latch(scheduler);
	/* it may have ended tasks, which ones nobody knows any more */
	announce_to_waiters();
}

static void
call_next(PlannedStmt *pstmt, const char *query, bool read_only_tree, ProcessUtilityContext context,
		  ParamListInfo params, QueryEnvironment *environment, DestReceiver *dest,
		  QueryCompletion *completion)
{
	if (previous_hook)
		previous_hook(pstmt, query, read_only_tree, context, params, environment, dest, completion);
	else
		standard_ProcessUtility(pstmt, query, read_only_tree, context, params, environment, dest,
								completion);
}

static void
process_utility(PlannedStmt *pstmt, const char *query, bool read_only_tree,
				ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *environment,
				DestReceiver *dest, QueryCompletion *completion)
{
	Node *statement = pstmt->utilityStmt;
	const char *name = needs_empty(statement);
	Oid database = name == NULL ? InvalidOid : get_database_oid(name, true);
	/* after it the tree may be gone, and the transaction may be another */
	bool new_database = IsA(statement, CreatedbStmt) || IsA(statement, RenameStmt) ||
						IsA(statement, DropdbStmt) || IsA(statement, AlterDatabaseStmt);
	bool end_of_prepared = is_end_of_prepared(statement);

	if (OidIsValid(database) && context == PROCESS_UTILITY_TOPLEVEL && !IsTransactionBlock() &&
		may_evict(database, statement))
	{
		change_evicting(database, +1);
		PG_ENSURE_ERROR_CLEANUP(end_evicting, ObjectIdGetDatum(database));
		{
			evict(database);
			call_next(pstmt, query, read_only_tree, context, params, environment, dest, completion);
		}
		PG_END_ENSURE_ERROR_CLEANUP(end_evicting, ObjectIdGetDatum(database));
		end_evicting(0, ObjectIdGetDatum(database));
	}
	else
	{
		if (changes_extension(statement) && superuser())
			evict_until_end();
		call_next(pstmt, query, read_only_tree, context, params, environment, dest, completion);
	}
	/* at the end of this transaction what it did is visible; the launcher looks then */
	if (new_database)
		announce_databases();
	if (end_of_prepared)
		prepared_ended();
}

/* Only where there is shared memory. */
void
evict_init(void)
{
	previous_hook = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
	RegisterXactCallback(xact_ended, NULL);
}
