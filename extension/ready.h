/*
 * ready.h
 *	  The ready table: keys and entries.
 */
#ifndef STENT_READY_H
#define STENT_READY_H

#include "postgres.h"

#include "intern.h"
#include "store.h"
#include "task.h"

/* position below which no entry lies */
#define POSITION_MIN PG_INT64_MIN

/* rises with every entry this session inserts */
extern uint64 ready_inserts;

/* the last of them */
extern int64 ready_inserted_bucket;
extern int64 ready_inserted_position;

/* rises with every entry taken by its key, outside the order of a claimer */
extern uint64 ready_takes;

extern int64 ready_bucket(const char *role, int priority, int32 lane_id);
extern int64 ready_first_bucket(const char *role);
extern int64 ready_end_bucket(const char *role);
extern int64 ready_role_start(int64 bucket);
extern int64 ready_role_end(int64 bucket);
extern int64 ready_rank_start(int64 bucket);
extern int64 ready_rank_end(int64 bucket);
extern int32 ready_role_key(int64 bucket);
extern int64 ready_role_bucket(int32 role_key);
extern int32 ready_bucket_lane(int64 bucket);
extern int ready_bucket_priority(int64 bucket);

extern void ready_insert(Store *store, int64 bucket, int64 position, int64 task_id,
						 ItemPointer task_tid, int64 line);
extern void ready_announce(Store *store, int64 bucket, int64 position, int n);
extern void ready_announce_taken(Store *store, int64 bucket, int64 position);
extern bool ready_take(Store *store, int64 bucket, int64 position);
extern TM_Result ready_try_take(Store *store, int64 bucket, int64 position, TransactionId *holder);
extern bool ready_seek(Store *store, int64 from_bucket, int64 end_bucket);
extern int64 ready_found(Store *store, int64 *position);

#endif
