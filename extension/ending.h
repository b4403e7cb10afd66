/*
 * ending.h
 *	  How a task has ended, read straight from where it is now.
 */
#ifndef STENT_ENDING_H
#define STENT_ENDING_H

#include "postgres.h"

#include "utils/jsonb.h"

#include "store.h"
#include "task.h"

typedef struct Ending
{
	TaskState state; /* TASK_NEW: there is no such task (any more); a live one has a live state */
	int64 parent_id;
	int32 lane_id;
	int32 function_id;
	int chunk;
	Timestamp finished_at;
	Jsonb *result; /* NULL: none, or result_ref has it */
	int64 result_ref;
	Jsonb *error;
} Ending;

extern void ending_read(Store *store, int64 id, Ending *ending);
extern Jsonb *ending_result(Store *store, const Ending *ending);

#endif
