/*
 * whereabouts.h
 *	  Where a task is, by its id alone.
 */
#ifndef STENT_WHEREABOUTS_H
#define STENT_WHEREABOUTS_H

#include "postgres.h"

#include "task.h"

extern TaskState whereabouts(int64 id, Timestamp *finished_at);

#endif
