/*
 * store.c
 *	  Direct heap and index access to the engine's tables.
 *
 * The hot paths (dispatch, claim, run, complete, fail) come here instead of
 * SQL, so that no statistics can change how they reach a row: always by primary
 * key, always in index order. What the rows mean is left to the callers.
 *
 * Relation oids are looked up by name once per session and forgotten when any
 * of our relations, or the schema, changes.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "commands/sequence.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "storage/procarray.h"
#include "tcop/utility.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "compat.h"
#include "store.h"

static const char *const table_names[STORE_TABLES] = {
	"task",         "ready", "due",         "payload", "function", "lane",         "retry_policy",
	"attempt",      "dedup", "dead_letter", "counter", "context",  "archive_kept", "tally",
	"line",         "rate",  "pause",       "child",   "memo",     "signal",       "progress_entry",
	"shared_value", "lease", "place",       "worker",  "output",   "step",         "waiter",
	"map",          "chunk", "item",        NULL};

static Oid table_oids[STORE_TABLES];
static Oid schema_oid;
static Oid sequence_oid;
static Oid small_sequence_oid;
static Oid archive_oid;
static Oid owner_oid;
static uint64 generation = 1;

static void
forget_oids(void)
{
	memset(table_oids, 0, sizeof(table_oids));
	schema_oid = sequence_oid = small_sequence_oid = InvalidOid;
	archive_oid = owner_oid = InvalidOid;
	generation++;
}

static void
relation_changed(Datum arg, Oid relid)
{
	if (!OidIsValid(relid) || store_is_ours(relid))
		forget_oids();
}

static void
catalog_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	forget_oids();
}

void
store_init(void)
{
	CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, catalog_changed, (Datum) 0);
}

/* Whether relid is one of the relations whose oids are remembered. */
bool
store_is_ours(Oid relid)
{
	if (relid == archive_oid || relid == sequence_oid || relid == small_sequence_oid)
		return OidIsValid(relid);
	for (int i = 0; i < STORE_TABLES; i++)
		if (table_oids[i] == relid)
			return OidIsValid(relid);
	return false;
}

/* Rises whenever something that was remembered about our relations may be stale. */
uint64
store_generation(void)
{
	return generation;
}

Oid
store_relation_oid(const char *name)
{
	if (!OidIsValid(schema_oid))
		schema_oid = get_namespace_oid("stent", false);
	return get_relname_relid(name, schema_oid);
}

/* Whether there is such a relation; the extension need not be installed. */
bool
store_has_relation(const char *name)
{
	return OidIsValid(get_namespace_oid("stent", true)) && OidIsValid(store_relation_oid(name));
}

static Oid
require_relation(const char *name)
{
	Oid oid = store_relation_oid(name);

	if (!OidIsValid(oid))
		ereport(
			ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("relation \"stent.%s\" does not exist", name),
			 errhint(
				 "The extension is not installed in this database as this library expects; see CREATE EXTENSION stent and ALTER EXTENSION stent UPDATE.")));
	return oid;
}

Oid
store_oid(StoreTable which)
{
	if (!OidIsValid(table_oids[which]))
		table_oids[which] = require_relation(table_names[which]);
	return table_oids[which];
}

Oid
store_index_oid(const char *name)
{
	return require_relation(name);
}

/* The role that owns the engine's tables. */
Oid
store_owner(void)
{
	HeapTuple tuple;

	if (OidIsValid(owner_oid))
		return owner_oid;
	archive_oid = require_relation("archive");
	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(archive_oid));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", archive_oid);
	owner_oid = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner_oid;
}

/* The command of this transaction that wrote a row; InvalidCommandId: another transaction did. */
CommandId
store_command_of(TupleTableSlot *slot)
{
	bool isnull;
	Datum xmin = slot_getsysattr(slot, MinTransactionIdAttributeNumber, &isnull);

	if (!TransactionIdIsCurrentTransactionId(DatumGetTransactionId(xmin)))
		return InvalidCommandId;
	return DatumGetCommandId(slot_getsysattr(slot, MinCommandIdAttributeNumber, &isnull));
}

int64
store_next_id(void)
{
	if (!OidIsValid(sequence_oid))
		sequence_oid = require_relation("id_seq");
	return nextval_internal(sequence_oid, false);
}

int32
store_next_small_id(void)
{
	if (!OidIsValid(small_sequence_oid))
		small_sequence_oid = require_relation("small_id_seq");
	return (int32) nextval_internal(small_sequence_oid, false);
}

static Store *
make_store(void)
{
	MemoryContext cxt =
		AllocSetContextCreate(CurrentMemoryContext, "stent store", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	Store *store = palloc0_object(Store);

	store->cxt = cxt;
	store->estate = CreateExecutorState();
	MemoryContextSwitchTo(old);
	return store;
}

/* Open the store for a command that writes. */
Store *
store_open(const char *command)
{
	/* direct access bypasses the executor's own checks */
	PreventCommandIfReadOnly(command);
	PreventCommandDuringRecovery(command);
	return make_store();
}

/* Open the store for one that only reads, on a standby as well. */
Store *
store_open_to_read(void)
{
	Store *store = make_store();

	store->read_only = true;
	return store;
}

/* What reading needs: the table and its primary key. */
static void
table_open_to_read(StoreRel *table, Oid oid)
{
	Oid pkey;

	table->rel = table_open(oid, AccessShareLock);
	pkey = compat_primary_key_index(table->rel);
	if (!OidIsValid(pkey))
		elog(ERROR, "relation \"%s\" has no primary key", RelationGetRelationName(table->rel));
	table->pkey = index_open(pkey, AccessShareLock);
	table->out = table_slot_create(table->rel, NULL);
}

/* The column that must not be null for a row to be in a partial index; 0: its condition is another. */
static int
index_condition(const IndexInfo *index)
{
	const NullTest *test = (const NullTest *) linitial(index->ii_Predicate);

	if (list_length(index->ii_Predicate) != 1 || !IsA(test, NullTest) ||
		test->nulltesttype != IS_NOT_NULL || !IsA(test->arg, Var))
		return 0;
	return ((const Var *) test->arg)->varattno;
}

/* See which rows are in none of the partial indexes. */
static void
note_conditions(StoreRel *table)
{
	IndexInfo **indexes = table->rri->ri_IndexRelationInfo;

	table->condition = 0;
	table->n_plain = table->n_indexes = table->rri->ri_NumIndices;
	while (table->n_plain > 0 && indexes[table->n_plain - 1]->ii_Predicate != NIL)
	{
		int column = index_condition(indexes[table->n_plain - 1]);

		if (column <= 0 || (table->condition != 0 && table->condition != column))
			break;
		table->condition = column;
		table->n_plain--;
	}
}

/* Whether a row is in no partial index. Asked before it is stored, while that costs nothing. */
static bool
is_plain(const StoreRel *table, const bool *nulls)
{
	return table->condition != 0 && nulls[table->condition - 1];
}

/* Most rows are plain; to have the executor find that out costs more than an index. */
static void
insert_index_tuples(Store *store, StoreRel *table, TupleTableSlot *slot, bool plain)
{
	/* set each time: an error may have left the other number */
	table->rri->ri_NumIndices = plain ? table->n_plain : table->n_indexes;
	compat_insert_index_tuples(table->rri, slot, store->estate);
	table->rri->ri_NumIndices = table->n_indexes;
}

static void
table_open_parts(Store *store, StoreRel *table, Oid oid)
{
	MemoryContext old = MemoryContextSwitchTo(store->cxt);

	table->cxt = store->cxt;
	if (store->read_only)
	{
		table_open_to_read(table, oid);
		MemoryContextSwitchTo(old);
		return;
	}
	table->rel = table_open(oid, RowExclusiveLock);
	table->rri = makeNode(ResultRelInfo);
	InitResultRelInfo(table->rri, table->rel, 0, NULL, 0);
	ExecOpenIndices(table->rri, false);
	note_conditions(table);
	for (int i = 0; i < table->rri->ri_NumIndices; i++)
		if (table->rri->ri_IndexRelationDescs[i]->rd_index->indisprimary)
			table->pkey = table->rri->ri_IndexRelationDescs[i];
	if (table->pkey == NULL)
		elog(ERROR, "relation \"%s\" has no primary key", RelationGetRelationName(table->rel));
	table->in = table_slot_create(table->rel, NULL);
	table->out = table_slot_create(table->rel, NULL);
	MemoryContextSwitchTo(old);
}

static void
table_close_parts(StoreRel *table)
{
	if (table->rel == NULL)
		return;
	if (table->scan != NULL)
		index_endscan(table->scan);
	ExecDropSingleTupleTableSlot(table->out);
	if (table->rri == NULL)
		index_close(table->pkey, NoLock);
	else
	{
		ExecDropSingleTupleTableSlot(table->in);
		ExecCloseIndices(table->rri);
	}
	table_close(table->rel, NoLock);
	memset(table, 0, sizeof(*table));
}

StoreRel *
store_table(Store *store, StoreTable which)
{
	StoreRel *table = &store->table[which];

	if (table->rel == NULL)
		table_open_parts(store, table, store_oid(which));
	return table;
}

/* The open archive partition, changed when the day changes. */
StoreRel *
store_leaf(Store *store, Oid leaf)
{
	StoreRel *table = &store->table[STORE_ARCHIVE_LEAF];

	if (store->leaf != leaf)
	{
		table_close_parts(table);
		table_open_parts(store, table, leaf);
		store->leaf = leaf;
	}
	return table;
}

void
store_close(Store *store)
{
	for (int i = 0; i < STORE_TABLES; i++)
		table_close_parts(&store->table[i]);
	FreeExecutorState(store->estate);
	MemoryContextDelete(store->cxt);
}

static void
fill_slot(TupleTableSlot *slot, Datum *values, bool *nulls)
{
	int n = slot->tts_tupleDescriptor->natts;

	ExecClearTuple(slot);
	memcpy(slot->tts_values, values, n * sizeof(Datum));
	memcpy(slot->tts_isnull, nulls, n * sizeof(bool));
	ExecStoreVirtualTuple(slot);
}

/* Insert one row and its index entries; returns where it is. */
ItemPointerData
store_insert(Store *store, StoreRel *table, Datum *values, bool *nulls)
{
	ItemPointerData tid;

	fill_slot(table->in, values, nulls);
	table_tuple_insert(table->rel, table->in, GetCurrentCommandId(true), 0, NULL);
	insert_index_tuples(store, table, table->in, is_plain(table, nulls));
	ResetPerTupleExprContext(store->estate);
	tid = table->in->tts_tid;
	ExecClearTuple(table->in);
	return tid;
}

/* Have the indexes ready to be asked for conflicts. */
static void
prepare_conflicts(Store *store, StoreRel *table)
{
	MemoryContext old = MemoryContextSwitchTo(store->cxt);

	for (int i = 0; i < table->rri->ri_NumIndices; i++)
	{
		IndexInfo *info = table->rri->ri_IndexRelationInfo[i];

		if (info->ii_Unique && info->ii_UniqueOps == NULL)
			BuildSpeculativeIndexInfo(table->rri->ri_IndexRelationDescs[i], info);
	}
	MemoryContextSwitchTo(old);
}

/* Insert what is in table->in, unless its key is taken, or is being taken or given up. */
static bool
insert_speculatively(Store *store, StoreRel *table, ItemPointer tid)
{
	uint32 token = SpeculativeInsertionLockAcquire(GetCurrentTransactionId());
	bool conflict = false;

	table_tuple_insert_speculative(table->rel, table->in, GetCurrentCommandId(true), 0, NULL,
								   token);
	compat_insert_index_tuples_if_new(table->rri, table->in, store->estate, &conflict);
	table_tuple_complete_speculative(table->rel, table->in, token, !conflict);
	SpeculativeInsertionLockRelease(GetCurrentTransactionId());
	*tid = table->in->tts_tid;
	return !conflict;
}

/*
 * Insert a row unless one with its key is there, as ON CONFLICT DO NOTHING does; waits
 * for a transaction that is adding or removing one. tid: where it is, if inserted.
 */
bool
store_insert_new(Store *store, StoreRel *table, Datum *values, bool *nulls, ItemPointer tid)
{
	prepare_conflicts(store, table);
	for (;;)
	{
		bool free;
		bool conflict = false;

		CHECK_FOR_INTERRUPTS();
		fill_slot(table->in, values, nulls);
		free = compat_check_index_constraints(table->rri, table->in, store->estate);
		if (free)
			conflict = !insert_speculatively(store, table, tid);
		ResetPerTupleExprContext(store->estate);
		ExecClearTuple(table->in);
		if (!conflict)
			return free;
		/* somebody inserted the key at the same moment */
	}
}

/* The same without waiting: false also where a transaction is adding or removing one. */
bool
store_insert_if_free(Store *store, StoreRel *table, Datum *values, bool *nulls, ItemPointer tid)
{
	bool inserted;

	prepare_conflicts(store, table);
	fill_slot(table->in, values, nulls);
	inserted = insert_speculatively(store, table, tid);
	ResetPerTupleExprContext(store->estate);
	ExecClearTuple(table->in);
	return inserted;
}

/* Insert rows already placed in slots, as COPY does. */
void
store_insert_many(Store *store, StoreRel *table, TupleTableSlot **slots, int n)
{
	bool *plain = palloc_array(bool, n);

	for (int i = 0; i < n; i++)
		plain[i] = is_plain(table, slots[i]->tts_isnull);
	table_multi_insert(table->rel, slots, n, GetCurrentCommandId(true), 0, NULL);
	for (int i = 0; i < n; i++)
	{
		insert_index_tuples(store, table, slots[i], plain[i]);
		ResetPerTupleExprContext(store->estate);
	}
	pfree(plain);
}

/*
 * Find one row by a prefix of the primary key. It is left in table->out, whose
 * pin the caller gives up by clearing or reusing the slot.
 */
bool
store_find(StoreRel *table, Snapshot snapshot, ScanKey keys, int nkeys)
{
	MemoryContext old = MemoryContextSwitchTo(table->cxt);
	bool found;

	if (table->scan != NULL && table->scan_keys != nkeys)
	{
		index_endscan(table->scan);
		table->scan = NULL;
	}
	if (table->scan == NULL)
	{
		table->scan = compat_index_beginscan(table->rel, table->pkey, snapshot, nkeys);
		table->scan_keys = nkeys;
	}
	/* the descriptor is kept, nothing else: no pin, no position, no snapshot */
	table->scan->xs_snapshot = snapshot;
	index_rescan(table->scan, keys, nkeys, NULL, 0);
	found = index_getnext_slot(table->scan, ForwardScanDirection, table->out);
	table_index_fetch_reset(table->scan->xs_heapfetch);
	if (!IsMVCCSnapshot(snapshot))
		index_rescan(table->scan, keys, nkeys, NULL, 0); /* else the leaf stays pinned */
	table->scan->xs_snapshot = InvalidSnapshot;
	MemoryContextSwitchTo(old);
	return found;
}

/* Whether the table is long enough for tid. */
bool
store_has_block(StoreRel *table, ItemPointer tid)
{
	BlockNumber block = ItemPointerGetBlockNumberNoCheck(tid);

	if (block >= table->blocks)
		table->blocks = RelationGetNumberOfBlocks(table->rel);
	return block < table->blocks;
}

bool
store_find_id(StoreRel *table, Snapshot snapshot, int64 id)
{
	ScanKeyData key;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(id));
	return store_find(table, snapshot, &key, 1);
}

/*
 * Replace the row at tid, which is then where it is now. Waits for a transaction that
 * has changed it: TM_Updated or TM_Deleted tell that it committed.
 */
TM_Result
store_try_update(Store *store, StoreRel *table, ItemPointer tid, Datum *values, bool *nulls)
{
	bool keys_changed;
	TM_Result result;

	fill_slot(table->in, values, nulls);
	result = compat_tuple_update(table->rel, tid, table->in, &keys_changed);
	if (result == TM_Ok)
	{
		if (keys_changed)
			insert_index_tuples(store, table, table->in, is_plain(table, nulls));
		ResetPerTupleExprContext(store->estate);
		*tid = table->in->tts_tid;
	}
	ExecClearTuple(table->in);
	return result;
}

/*
 * Replace the row at tid; returns where it is now. The caller owns it, so anything
 * but success is a broken invariant.
 */
ItemPointerData
store_update(Store *store, StoreRel *table, ItemPointer tid, Datum *values, bool *nulls)
{
	ItemPointerData at = *tid;
	TM_Result result = store_try_update(store, table, &at, values, nulls);

	if (result != TM_Ok)
		elog(ERROR, "row of \"%s\" changed under its owner (%d)",
			 RelationGetRelationName(table->rel), (int) result);
	return at;
}

/*
 * Put another row of the same key in the place of the one at tid, unless a transaction
 * holds that; then TM_BeingModified. By deleting it, for an update must wait.
 */
TM_Result
store_replace_nowait(Store *store, StoreRel *table, ItemPointer tid, Datum *values, bool *nulls)
{
	TM_Result result = store_delete(table, tid, false);

	if (result == TM_Ok)
		(void) store_insert(store, table, values, nulls);
	return result;
}

static TM_Result
delete_row(StoreRel *table, ItemPointer tid, bool wait, TM_FailureData *tmfd)
{
	return table_tuple_delete(table->rel, tid, GetCurrentCommandId(true), GetActiveSnapshot(),
							  InvalidSnapshot, wait, tmfd, false);
}

/*
 * Delete without waiting. A lock of our own looks like anybody's then, and a row that was
 * locked and updated by this transaction has one, also beside a delete that was undone
 * with its savepoint. Who gets the lock again need not wait to delete.
 */
static TM_Result
delete_nowait(StoreRel *table, ItemPointer tid, TM_FailureData *tmfd)
{
	ItemPointerData here = *tid; /* may be that of the slot */
	TM_Result result = delete_row(table, &here, false, tmfd);
	TM_FailureData ignored;

	if (result != TM_BeingModified ||
		(!TransactionIdIsCurrentTransactionId(tmfd->xmax) && TransactionIdIsInProgress(tmfd->xmax)))
		return result;
	if (table_tuple_lock(table->rel, &here, GetActiveSnapshot(), table->out,
						 GetCurrentCommandId(true), LockTupleExclusive, LockWaitSkip, 0,
						 &ignored) == TM_Ok)
		result = delete_row(table, &here, true, tmfd);
	ExecClearTuple(table->out);
	return result;
}

/*
 * Delete the row at tid. Without wait this is SKIP LOCKED: TM_BeingModified or
 * TM_Deleted tell that somebody else was first.
 */
TM_Result
store_delete(StoreRel *table, ItemPointer tid, bool wait)
{
	TM_FailureData tmfd;

	return wait ? delete_row(table, tid, true, &tmfd) : delete_nowait(table, tid, &tmfd);
}

/*
 * Delete the row at tid without waiting. If a transaction that has not ended did so
 * before, holder is that one; else it is invalid.
 */
TM_Result
store_try_delete(StoreRel *table, ItemPointer tid, TransactionId *holder)
{
	TM_FailureData tmfd;
	TM_Result result = delete_nowait(table, tid, &tmfd);

	*holder = result == TM_BeingModified ? tmfd.xmax : InvalidTransactionId;
	return result;
}

/* Delete the row just found, which the caller owns. */
void
store_delete_found(StoreRel *table)
{
	TM_Result result = store_delete(table, &table->out->tts_tid, true);

	if (result != TM_Ok)
		elog(ERROR, "row of \"%s\" changed under its owner (%d)",
			 RelationGetRelationName(table->rel), (int) result);
}

/*
 * Become the extension's owner for SQL on private tables, with nothing of the
 * caller's search_path; connects to SPI.
 */
void
cold_begin(ColdSql *cold)
{
	cold_begin_as_caller(cold);
	SetUserIdAndSecContext(store_owner(), cold->sec_context | SECURITY_LOCAL_USERID_CHANGE);
}

/* The same with the caller's own rights. */
void
cold_begin_as_caller(ColdSql *cold)
{
	GetUserIdAndSecContext(&cold->user, &cold->sec_context);
	cold->guc_level = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	/* what is shown as jsonb must not depend on the reader */
	(void) set_config_option("intervalstyle", "postgres", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
}

void
cold_end(ColdSql *cold)
{
	if (SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "SPI_finish failed");
	AtEOXact_GUC(false, cold->guc_level);
	SetUserIdAndSecContext(cold->user, cold->sec_context);
}
