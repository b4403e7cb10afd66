/*
 * run.h
 *	  Running batches of SQL tasks.
 */
#ifndef STENT_RUN_H
#define STENT_RUN_H

#include "postgres.h"

typedef struct RunReport
{
	int done;       /* tasks that ended */
	int given_back; /* tasks that will run again, uncharged */
	bool more;      /* it ended though there was more to claim */
	bool more_due;  /* what has come due was more than is promoted at a time */
	bool drained;   /* it ended because nothing more was claimable */
} RunReport;

/* whether this session saw more that is claimable when it took its task */
extern volatile bool run_saw_more;

extern void run_batch(int max_tasks, char **queues, int n_queues, RunReport *report);
extern void run_init(void);

#endif
