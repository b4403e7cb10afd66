/*
 * loop.h
 *	  The worker's one event loop: its clock, its timers, its signals.
 */
#ifndef STENT_WORKER_LOOP_H
#define STENT_WORKER_LOOP_H

#include <event2/event.h>
#include <stdbool.h>

/*
 * Seconds of a clock that only goes forward, also while the machine is suspended: what a
 * lease is reckoned by between two answers of the server.
 */
extern double loop_now(void);

/* (Re)arms a timer; a time in the past means at once. */
extern void loop_timer(struct event *timer, double seconds);

/* Runs a timer's callback at the end of this turn of the loop, once, however often asked. */
extern void loop_soon(struct event *timer);

typedef struct LoopSignals LoopSignals;
typedef void (*LoopSignal)(int signal, void *arg);

/*
 * From now on SIGTERM, SIGINT, SIGHUP and SIGUSR1 are told from the loop, and SIGPIPE is
 * ignored. NULL for want of memory.
 */
extern LoopSignals *loop_signals_begin(struct event_base *base, LoopSignal tell, void *arg);
extern void loop_signals_end(LoopSignals *signals); /* of NULL: nothing */

#endif
