/*
 * store.h
 *	  Direct access to the tables of the engine.
 *
 * The column numbers follow sql/parts/20_tables.sql. A Store lives no longer
 * than the statement that opened it; relation locks stay until commit, as with
 * any SQL statement.
 */
#ifndef STENT_STORE_H
#define STENT_STORE_H

#include "postgres.h"

#include "access/genam.h"
#include "access/relscan.h"
#include "access/skey.h"
#include "access/tableam.h"
#include "datatype/timestamp.h"
#include "executor/tuptable.h"
#include "nodes/execnodes.h"
#include "utils/jsonb.h"
#include "utils/rel.h"

/* ids start at 1, and no task lived before the calendar */
#define NO_ID ((int64) 0)
#define NO_TIME ((Timestamp) DT_NOBEGIN)

typedef enum StoreTable
{
	STORE_TASK,
	STORE_READY,
	STORE_DUE,
	STORE_PAYLOAD,
	STORE_FUNCTION,
	STORE_LANE,
	STORE_POLICY,
	STORE_ATTEMPT,
	STORE_DEDUP,
	STORE_DEAD_LETTER,
	STORE_COUNTER,
	STORE_CONTEXT,
	STORE_ARCHIVE_KEPT,
	STORE_TALLY,
	STORE_LINE,
	STORE_RATE,
	STORE_PAUSE,
	STORE_CHILD,
	STORE_MEMO,
	STORE_SIGNAL,
	STORE_PROGRESS,
	STORE_SHARED,
	STORE_LEASE,
	STORE_PLACE,
	STORE_WORKER,
	STORE_OUTPUT,
	STORE_STEP,
	STORE_WAITER,
	STORE_MAP,
	STORE_CHUNK,
	STORE_ITEM,
	STORE_ARCHIVE_LEAF, /* the partition that takes what finishes now */
	STORE_TABLES
} StoreTable;

enum TaskColumn
{
	TASK_ID = 1,
	TASK_EXECUTION_ID,
	TASK_CREATED_AT,
	TASK_FUNCTION_ID,
	TASK_LANE_ID,
	TASK_POLICY_ID,
	TASK_ATTEMPT,
	TASK_REPLAYS,
	TASK_LOST,
	TASK_CRASHED,
	TASK_PRIORITY,
	TASK_STATE,
	TASK_PARENT_ID,
	TASK_DUE_AT,
	TASK_DEADLINE,
	TASK_POSITION,
	TASK_TIMEOUT,
	TASK_ARGS,
	TASK_ARGS_REF,
	TASK_HEADERS,
	TASK_DEDUP_KEY,
	TASK_CONCURRENCY_KEY,
	TASK_CHUNK,
	TASK_COLUMNS = TASK_CHUNK
};

enum ArchiveColumn
{
	ARCHIVE_ID = 1,
	ARCHIVE_EXECUTION_ID,
	ARCHIVE_CREATED_AT,
	ARCHIVE_FINISHED_AT,
	ARCHIVE_FUNCTION_ID,
	ARCHIVE_LANE_ID,
	ARCHIVE_POLICY_ID,
	ARCHIVE_ATTEMPT,
	ARCHIVE_REPLAYS,
	ARCHIVE_LOST,
	ARCHIVE_CRASHED,
	ARCHIVE_PRIORITY,
	ARCHIVE_STATE,
	ARCHIVE_PARENT_ID,
	ARCHIVE_DUE_AT,
	ARCHIVE_STARTED_AT,
	ARCHIVE_DEADLINE,
	ARCHIVE_TIMEOUT,
	ARCHIVE_ARGS,
	ARCHIVE_ARGS_REF,
	ARCHIVE_HEADERS,
	ARCHIVE_DEDUP_KEY,
	ARCHIVE_RESULT,
	ARCHIVE_RESULT_REF,
	ARCHIVE_ERROR,
	ARCHIVE_CONCURRENCY_KEY,
	ARCHIVE_CHUNK,
	ARCHIVE_COLUMNS = ARCHIVE_CHUNK
};

enum ReadyColumn
{
	READY_BUCKET = 1,
	READY_POSITION,
	READY_TASK_ID,
	READY_TASK_TID,
	READY_LINE,
	READY_COLUMNS = READY_LINE
};

enum LineColumn
{
	LINE_LINE = 1,
	LINE_POSITION,
	LINE_TASK_ID,
	LINE_BLOCKED,
	LINE_BUCKET,
	LINE_COLUMNS = LINE_BUCKET
};

enum DueColumn
{
	DUE_ROLE_KEY = 1,
	DUE_AT,
	DUE_TASK_ID,
	DUE_KIND,
	DUE_BUCKET,
	DUE_LINE,
	DUE_COLUMNS = DUE_LINE
};

enum LeaseColumn
{
	LEASE_TOKEN = 1,
	LEASE_PART,
	LEASE_WORKER,
	LEASE_CLAIMED_AT,
	LEASE_EXPIRES_AT,
	LEASE_DUE_AT,
	LEASE_BUCKET,
	LEASE_PLACES,
	LEASE_TASK_IDS,
	LEASE_MARKS,
	LEASE_COLUMNS = LEASE_MARKS
};

enum PlaceColumn
{
	PLACE_KIND = 1,
	PLACE_WHAT,
	PLACE_NUMBER,
	PLACE_TASK_ID,
	PLACE_COLUMNS = PLACE_TASK_ID
};

enum OutputColumn
{
	OUTPUT_TASK_ID = 1,
	OUTPUT_REPLAY,
	OUTPUT_ATTEMPT,
	OUTPUT_CLAIMED_AT,
	OUTPUT_NUMBER,
	OUTPUT_STREAM,
	OUTPUT_WRITTEN_AT,
	OUTPUT_DATA,
	OUTPUT_COLUMNS = OUTPUT_DATA
};

enum TallyColumn
{
	TALLY_COLUMN_ID = 1,
	TALLY_COLUMN_LANE_ID,
	TALLY_COLUMN_COMPLETED, /* from here on in the order of TallyKind */
	TALLY_COLUMN_FAILED,
	TALLY_COLUMN_TIMED_OUT,
	TALLY_COLUMN_CANCELLED,
	TALLY_COLUMN_RETRIED,
	TALLY_COLUMN_DEAD,
	TALLY_COLUMN_RUN_US,
	TALLY_COLUMN_LAST_AT,
	TALLY_COLUMNS = TALLY_COLUMN_LAST_AT
};

/* One open table with what inserting into it and searching its key need. */
typedef struct StoreRel
{
	Relation rel;
	Relation pkey;
	ResultRelInfo *rri;
	int n_indexes;
	int n_plain;         /* those before the ones with a condition, */
	int condition;       /* which all are that this column is not null; 0: not so */
	TupleTableSlot *in;  /* for inserts */
	TupleTableSlot *out; /* for scans */
	IndexScanDesc scan;  /* of the primary key, kept between store_finds */
	int scan_keys;
	BlockNumber blocks; /* known to exist; our lock keeps VACUUM from truncating */
	MemoryContext cxt;  /* of the store */
} StoreRel;

typedef struct Store
{
	MemoryContext cxt;
	EState *estate;
	StoreRel table[STORE_TABLES];
	Oid leaf;       /* relation open as STORE_ARCHIVE_LEAF */
	bool read_only; /* nothing is to be written, perhaps nothing can be */
} Store;

extern Store *store_open(const char *command);
extern Store *store_open_to_read(void);
extern void store_close(Store *store);
extern StoreRel *store_table(Store *store, StoreTable which);
extern StoreRel *store_leaf(Store *store, Oid leaf);
extern ItemPointerData store_insert(Store *store, StoreRel *table, Datum *values, bool *nulls);
extern bool store_insert_new(Store *store, StoreRel *table, Datum *values, bool *nulls,
							 ItemPointer tid);
extern bool store_insert_if_free(Store *store, StoreRel *table, Datum *values, bool *nulls,
								 ItemPointer tid);
extern void store_insert_many(Store *store, StoreRel *table, TupleTableSlot **slots, int n);
extern bool store_find(StoreRel *table, Snapshot snapshot, ScanKey keys, int nkeys);
extern bool store_has_block(StoreRel *table, ItemPointer tid);
extern bool store_find_id(StoreRel *table, Snapshot snapshot, int64 id);
extern ItemPointerData store_update(Store *store, StoreRel *table, ItemPointer tid, Datum *values,
									bool *nulls);
extern TM_Result store_try_update(Store *store, StoreRel *table, ItemPointer tid, Datum *values,
								  bool *nulls);
extern TM_Result store_replace_nowait(Store *store, StoreRel *table, ItemPointer tid, Datum *values,
									  bool *nulls);
extern TM_Result store_delete(StoreRel *table, ItemPointer tid, bool wait);
extern TM_Result store_try_delete(StoreRel *table, ItemPointer tid, TransactionId *holder);
extern void store_delete_found(StoreRel *table);

/* A column of a stored row; NULL where the database's tables do not have it yet. */
static inline Datum
store_column(TupleTableSlot *slot, int column, bool *isnull)
{
	if (column > slot->tts_tupleDescriptor->natts)
	{
		*isnull = true;
		return (Datum) 0;
	}
	return slot_getattr(slot, column, isnull);
}

extern Oid store_oid(StoreTable which);
extern Oid store_index_oid(const char *name);
extern Oid store_relation_oid(const char *name);
extern bool store_has_relation(const char *name);
extern Oid store_owner(void);
extern bool store_is_ours(Oid relid);
extern CommandId store_command_of(TupleTableSlot *slot);
extern int64 store_next_id(void);
extern int32 store_next_small_id(void);
extern uint64 store_generation(void);
extern void store_init(void);

/* Cold paths: SQL as the extension's owner, with a fixed search_path. */
typedef struct ColdSql
{
	Oid user;
	int sec_context;
	int guc_level;
} ColdSql;

extern void cold_begin(ColdSql *cold);
extern void cold_begin_as_caller(ColdSql *cold);
extern void cold_end(ColdSql *cold);

#endif
