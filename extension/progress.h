/*
 * progress.h
 *	  What handlers tell of their progress.
 */
#ifndef STENT_PROGRESS_H
#define STENT_PROGRESS_H

#include "postgres.h"

#include "utils/jsonb.h"

#include "task.h"

extern void progress_check_detail(Jsonb *detail);
extern void progress_add(const Task *task, const char *step, Jsonb *detail);
extern void progress_init(void);

#endif
