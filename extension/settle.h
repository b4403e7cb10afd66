/*
 * settle.h
 *	  What the steps of a handler leave behind when it is over.
 */
#ifndef STENT_SETTLE_H
#define STENT_SETTLE_H

#include "postgres.h"

#include "step.h"

/* How a suspended task goes on. */
typedef enum SettleEnd
{
	SETTLE_WAITS, /* it was written, and waits */
	SETTLE_GO_ON  /* nothing was to be waited for: its handler may run again at once */
} SettleEnd;

extern void settle_children(Store *store, Steps *steps);
extern SettleEnd settle_suspended(Store *store, Steps *steps);
extern void settle_go_on(Store *store, Steps *steps);
extern void settle_given_back(Store *store, Steps *steps);
extern void settle_success(Store *store, Steps *steps);
extern void settle_failure(Store *store, Steps *steps);
extern bool settle_continued(Store *store, Steps *steps);

#endif
