/*
 * archive.h
 *	  Finished tasks and dead letters.
 */
#ifndef STENT_ARCHIVE_H
#define STENT_ARCHIVE_H

#include "store.h"
#include "task.h"

extern void archive_insert(Store *store, const Task *task);
extern void dead_letter_insert(Store *store, const Task *task);
extern void archive_housekeeping(Timestamp moment, bool may_drop);
extern StoreRel *archive_leaf(Store *store, Timestamp moment);
extern int64 payload_insert(Store *store, Jsonb *value);
extern Jsonb *payload_get(Store *store, int64 ref);
extern void payload_delete(Store *store, int64 ref);
extern void payload_place(Store *store, Jsonb **value, int64 *ref);
extern void archive_init(void);

#endif
