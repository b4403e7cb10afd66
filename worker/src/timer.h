/*
 * timer.h
 *	  Sets a timer of the loop in seconds.
 */
#ifndef STENT_WORKER_TIMER_H
#define STENT_WORKER_TIMER_H

#include <event2/event.h>

/* Has a timer go off so many seconds from now, and not from when it was set before. */
extern void timer_set(struct event *timer, double seconds);

#endif
