/*
 * outcome.h
 *	  What other files say about unknown tasks.
 */
#ifndef STENT_OUTCOME_H
#define STENT_OUTCOME_H

#include "postgres.h"

extern void unknown_task(int64 id) pg_attribute_noreturn();

#endif
