/*
 * run_batch.h
 *	  A batch of run(): what choosing the next task (run.c) and running it (run_task.c)
 *	  share.
 */
#ifndef STENT_RUN_BATCH_H
#define STENT_RUN_BATCH_H

#include "postgres.h"

#include "portability/instr_time.h"

#include "claim.h"
#include "limit.h"
#include "store.h"
#include "task.h"

typedef struct Batch
{
	Store *store;
	Claimer claimer;
	LimitHold hold; /* taken for the task that is next */
	MemoryContext task_cxt;
	instr_time started;
	int done;
	int given_back;
	int most_subxids; /* used by one task so far */
	bool must_end;
	bool more;     /* something claimable was left for another commit */
	bool more_due; /* what has come due was more than is promoted at a time */
} Batch;

extern double batch_elapsed_us(const Batch *batch);
extern bool batch_may_share(const Batch *batch, int32 function_id);
extern int batch_subxids(void);
extern bool batch_somebody_waits(void);
extern bool batch_run_task(Batch *batch, Task *task);

#endif
