/*
 * ending.h
 *	  Where a task is, by its id alone, and how it has ended.
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
	int64 execution_id;
	int64 parent_id;
	int32 function_id;
	int32 lane_id;
	int chunk;
	CommandId changed_at;  /* of a live one, if by this transaction; else InvalidCommandId */
	Timestamp finished_at; /* NO_TIME: it lives */
	Jsonb *result;         /* NULL: none, or result_ref has it */
	int64 result_ref;
	Jsonb *error;
} Ending;

extern TaskState whereabouts(int64 id, Timestamp *finished_at);
extern void ending_read(Store *store, int64 id, Ending *ending);
extern Jsonb *ending_result(Store *store, const Ending *ending);

#endif
