/*
 * await_all.h
 *	  What waiting for many tasks has in common, in a handler and elsewhere.
 */
#ifndef STENT_AWAIT_ALL_H
#define STENT_AWAIT_ALL_H

#include "postgres.h"

#include "fmgr.h"
#include "utils/jsonb.h"

#include "compat.h"
#include "store.h"

extern int await_all_arguments(FunctionCallInfo fcinfo, int64 **ids, int *limit, int64 *timeout_us);
extern void await_all_require(Store *store, const int64 *ids, int n, bool (*is_made)(int64 id));
extern bool await_all_lives(Store *store, int64 id);
pg_noreturn extern void await_all_unknown(int index, int64 id);
extern char *await_all_detail(int index, int64 id, Jsonb *error);

#endif
