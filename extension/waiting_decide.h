/*
 * waiting_decide.h
 *	  Whether a waiting task may go on: what has become of what it waits for.
 */
#ifndef STENT_WAITING_DECIDE_H
#define STENT_WAITING_DECIDE_H

#include "postgres.h"

#include "step.h"
#include "store.h"
#include "task.h"

/* How a dirty look at a live task ends. */
typedef enum Look
{
	LOOK_SETTLED, /* it is as the snapshot shows it */
	LOOK_GONE,    /* it has ended, by a transaction that has committed */
	LOOK_IN_HANDS /* a transaction in progress changes it */
} Look;

typedef enum Verdict
{
	GO_ON,
	WAIT_ON,
	UNSETTLED /* what it waits for is in the hands of a transaction in progress */
} Verdict;

extern Look waiting_look(Store *store, int64 id, ItemPointer version);
extern int waiting_ids(const Jsonb *detail, const char *key, int64 **ids);
extern Verdict waiting_decide(Store *store, const Task *task, const Step *step, bool failed);
extern void waiting_decide_forget(void);

#endif
