/*
 * guc.h
 *	  Settings, and what their texts mean.
 */
#ifndef STENT_GUC_H
#define STENT_GUC_H

#include "postgres.h"

extern int stent_batch_time;       /* ms */
extern int stent_max_payload_size; /* kB */
extern char *stent_databases;
extern int stent_max_executors;
extern int stent_idle_timeout; /* ms */
extern int stent_max_lanes;
extern int stent_max_crashes;
extern int stent_task_pool_size;
extern int stent_steps_warning;
extern int stent_lease_duration; /* ms */
extern int stent_max_lost;
extern int64 guc_retention_us(void); /* -1 = off */

extern void guc_init(void);

#endif
