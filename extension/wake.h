/*
 * wake.h
 *	  Waking workers that wait for work, by NOTIFY.
 */
#ifndef STENT_WAKE_H
#define STENT_WAKE_H

#include "postgres.h"

#include "datatype/timestamp.h"

#include "shmem.h"

#define WAKE_CHANNEL "stent_work"

/* under the lock, held by the caller; true: the scheduler has something to tell */
extern bool wake_queue(DatabaseSlot *database, const char *queue);
extern bool wake_everybody(DatabaseSlot *database);
extern void wake_forget(Oid database);

/* of the scheduler */
extern void wake_tell(TimestampTz *again);
extern void wake_again(void);
extern void wake_before_leaving(void);

#endif
