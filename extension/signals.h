/*
 * signals.h
 *	  Signals as those see them who wait for one.
 */
#ifndef STENT_SIGNALS_H
#define STENT_SIGNALS_H

#include "postgres.h"

#include "utils/jsonb.h"

#include "store.h"

/* A signal; the row may be replaced by a newer one at any time. */
typedef struct Signal
{
	int64 number;
	Jsonb *payload;
	CommandId changed_at; /* if by this transaction; else InvalidCommandId */
} Signal;

extern bool signal_read(Store *store, int64 execution_id, const char *name, int64 after,
						Signal *signal);
extern bool signal_is_newer(Store *store, int64 execution_id, const Jsonb *detail);
extern bool signal_may_be_newer(Store *store, int64 execution_id, const Jsonb *detail);

#endif
