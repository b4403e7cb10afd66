/*
 * compat.h
 *	  Every difference between the supported server versions, as wrappers with
 *	  the newest signature.
 */
#ifndef STENT_COMPAT_H
#define STENT_COMPAT_H

#include "postgres.h"

#include "access/genam.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_database.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "executor/executor.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/proc.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/relcache.h"
#include "utils/snapmgr.h"

#if PG_VERSION_NUM < 150000
#error "stent needs PostgreSQL 15 or newer"
#endif

/* 18 made noreturn a prefix. */
#if PG_VERSION_NUM < 180000
#define pg_noreturn pg_attribute_noreturn()
#endif

/* 16 folded pg_xxx_aclcheck into object_aclcheck. */
#if PG_VERSION_NUM < 160000
static inline AclResult
object_aclcheck(Oid classid, Oid objectid, Oid roleid, AclMode mode)
{
	if (classid == ProcedureRelationId)
		return pg_proc_aclcheck(objectid, roleid, mode);
	return pg_namespace_aclcheck(objectid, roleid, mode);
}

static inline bool
object_ownercheck(Oid classid, Oid objectid, Oid roleid)
{
	Assert(classid == DatabaseRelationId);
	return pg_database_ownercheck(objectid, roleid);
}
#endif

/* 18 counts index searches per scan. */
static inline IndexScanDesc
compat_index_beginscan(Relation heap, Relation index, Snapshot snapshot, int nkeys)
{
#if PG_VERSION_NUM >= 180000
	return index_beginscan(heap, index, snapshot, NULL, nkeys, 0);
#else
	return index_beginscan(heap, index, snapshot, nkeys, 0);
#endif
}

/* 18 asks whether a deferrable key will do. */
static inline Oid
compat_primary_key_index(Relation rel)
{
#if PG_VERSION_NUM >= 180000
	return RelationGetPrimaryKeyIndex(rel, false);
#else
	return RelationGetPrimaryKeyIndex(rel);
#endif
}

/* 16 added onlySummarizing. */
static inline void
compat_insert_index_tuples(ResultRelInfo *rri, TupleTableSlot *slot, EState *estate)
{
#if PG_VERSION_NUM >= 160000
	ExecInsertIndexTuples(rri, slot, estate, false, false, NULL, NIL, false);
#else
	ExecInsertIndexTuples(rri, slot, estate, false, false, NULL, NIL);
#endif
}

/* The same for a speculative insertion; conflict: there is one with the key. */
static inline void
compat_insert_index_tuples_if_new(ResultRelInfo *rri, TupleTableSlot *slot, EState *estate,
								  bool *conflict)
{
#if PG_VERSION_NUM >= 160000
	ExecInsertIndexTuples(rri, slot, estate, false, true, conflict, NIL, false);
#else
	ExecInsertIndexTuples(rri, slot, estate, false, true, conflict, NIL);
#endif
}

/* 18 asks which row is not to be taken for a conflict. */
static inline bool
compat_check_index_constraints(ResultRelInfo *rri, TupleTableSlot *slot, EState *estate)
{
	ItemPointerData conflict;
#if PG_VERSION_NUM >= 180000
	ItemPointerData none;

	ItemPointerSetInvalid(&none);
	return ExecCheckIndexConstraints(rri, slot, estate, &conflict, &none, NIL);
#else
	return ExecCheckIndexConstraints(rri, slot, estate, &conflict, NIL);
#endif
}

/* 16 tells which indexes need entries, not only whether any does. */
static inline TM_Result
compat_tuple_update(Relation rel, ItemPointer tid, TupleTableSlot *slot, bool *keys_changed)
{
	TM_FailureData tmfd;
	LockTupleMode mode;
	TM_Result result;
#if PG_VERSION_NUM >= 160000
	TU_UpdateIndexes indexes = TU_None;
#else
	bool indexes = false;
#endif

	result = table_tuple_update(rel, tid, slot, GetCurrentCommandId(true), GetActiveSnapshot(),
								InvalidSnapshot, true, &tmfd, &mode, &indexes);
	*keys_changed = indexes != 0;
	return result;
}

/* 17 moved the numbers of subtransaction ids and of the local transaction. */
#if PG_VERSION_NUM >= 170000
#define MyLocalTransactionId MyProc->vxid.lxid
#else
#define MyLocalTransactionId MyProc->lxid
#endif

/* 17 took a process's number out of its entry. Those of backends are below MaxBackends. */
static inline int
compat_proc_number(const PGPROC *proc)
{
#if PG_VERSION_NUM >= 170000
	return GetNumberFromPGProc(proc);
#else
	return proc->pgprocno;
#endif
}

#define MyProcIndex compat_proc_number(MyProc)

/* Since 16 what a check hook leaves in extra is of a memory context, before it was malloc's. */
static inline void *
compat_guc_malloc(size_t size)
{
#if PG_VERSION_NUM >= 160000
	return guc_malloc(LOG, size);
#else
	return malloc(size);
#endif
}

static inline void
compat_guc_free(void *extra)
{
#if PG_VERSION_NUM >= 160000
	guc_free(extra);
#else
	free(extra);
#endif
}

/* 17 lets a background worker connect as a role without LOGIN. */
#if PG_VERSION_NUM >= 170000
#define EXECUTOR_CONNECTION_FLAGS (BGWORKER_BYPASS_ROLELOGINCHECK)
#define ROLE_MUST_LOG_IN false
#else
#define EXECUTOR_CONNECTION_FLAGS 0
#define ROLE_MUST_LOG_IN true
#endif

/* 17 named the wait events of extensions; before, all are "Extension". */
static inline uint32
compat_wait_event(const char *name)
{
#if PG_VERSION_NUM >= 170000
	return WaitEventExtensionNew(name);
#else
	return PG_WAIT_EXTENSION;
#endif
}

#endif
