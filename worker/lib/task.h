/*
 * task.h
 *	  Leased tasks out of the answer to a claim.
 */
#ifndef STENT_TASK_H
#define STENT_TASK_H

#include <libpq-fe.h>

#include "stent.h"

extern StentStatus tasks_read(const PGresult *result, StentTask **tasks, size_t *n,
							  StentError *error);

#endif
