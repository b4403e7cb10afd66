/*
 * tally.h
 *	  Durable totals: how many tasks of a lane ended, and how.
 */
#ifndef STENT_TALLY_H
#define STENT_TALLY_H

#include "postgres.h"

typedef enum TallyKind
{
	TALLY_COMPLETED,
	TALLY_FAILED, /* it is a dead letter now */
	TALLY_TIMED_OUT,
	TALLY_CANCELLED,
	TALLY_RETRIED, /* an attempt failed and another one follows */
	TALLY_DEAD,    /* change of the number of dead letters */
	TALLY_KINDS
} TallyKind;

extern void tally_note(int32 lane_id, TallyKind kind, int64 run_us);
extern void tally_dead_letter(int32 lane_id, int change);
extern void tally_init(void);

#endif
