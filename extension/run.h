/*
 * run.h
 *	  Running batches of SQL tasks.
 */
#ifndef STENT_RUN_H
#define STENT_RUN_H

extern int run_batch(int max_tasks, char **queues, int n_queues);
extern void run_init(void);

#endif
