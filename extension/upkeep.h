/*
 * upkeep.h
 *	  What the scheduler clears away.
 */
#ifndef STENT_UPKEEP_H
#define STENT_UPKEEP_H

#include "postgres.h"

#include "datatype/timestamp.h"

extern void upkeep(TimestampTz *again);

#endif
