/*
 * context.h
 *	  The key-value context of an execution.
 */
#ifndef STENT_CONTEXT_H
#define STENT_CONTEXT_H

#include "postgres.h"

#include "utils/jsonb.h"

#include "notes.h"
#include "store.h"

extern void context_insert(Store *store, int64 execution_id, const char *key, Jsonb *value);
extern void context_write(Store *store, const Note *notes, int n);

#endif
