/*
 * inline.h
 *	  Calling a registered SQL function in the caller's transaction, without a task.
 */
#ifndef STENT_INLINE_H
#define STENT_INLINE_H

#include "postgres.h"

#include "utils/jsonb.h"

#include "store.h"

typedef struct InlineFunction InlineFunction;

extern InlineFunction *inline_begin(Store *store, const char *name);
extern Jsonb *inline_run(InlineFunction *function, Jsonb *args);
extern Jsonb *inline_run_item(InlineFunction *function, Jsonb *item, bool star);
extern Jsonb *inline_call(Store *store, const char *function, Jsonb *args);

#endif
