/*
 * suspend_order.h
 *	  The steps that a worker gives to suspend(), made those of its task.
 */
#ifndef STENT_SUSPEND_ORDER_H
#define STENT_SUSPEND_ORDER_H

#include "postgres.h"

#include "step.h"
#include "suspend_read.h"

extern void suspend_order(Store *store, Steps *steps, StepOrder *orders, int n);

#endif
