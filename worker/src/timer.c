/*
 * timer.c
 *	  Sets a timer of the loop in seconds.
 *
 * The loop reads the clock once a round. Who starts many processes in a round would give
 * the last of them too little time, so the clock is read again here.
 */
#include "timer.h"

void
timer_set(struct event *timer, double seconds)
{
	struct timeval time = {(time_t) seconds,
						   (suseconds_t) ((seconds - (double) (time_t) seconds) * 1e6)};

	event_base_update_cache_time(event_get_base(timer));
	evtimer_add(timer, &time);
}
