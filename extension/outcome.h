/*
 * outcome.h
 *	  What other files say about unknown tasks.
 */
#ifndef STENT_OUTCOME_H
#define STENT_OUTCOME_H

#include "postgres.h"

#include "compat.h"

pg_noreturn extern void unknown_task(int64 id);

#endif
