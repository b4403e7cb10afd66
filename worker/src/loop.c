/*
 * loop.c
 *	  What the worker adds to libevent: a clock, timers in seconds, signals.
 *
 * libevent's own signal handlers only write to a pipe; what a signal means is decided by
 * who is told, in the loop.
 */
#include "loop.h"

#include <signal.h>
#include <stdlib.h>
#include <time.h>

static const int told_signals[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};
#define N_SIGNALS ((int) (sizeof(told_signals) / sizeof(told_signals[0])))

struct LoopSignals
{
	struct event *events[N_SIGNALS];
	LoopSignal tell;
	void *arg;
};

double
loop_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}

void
loop_timer(struct event *timer, double seconds)
{
	struct timeval delay;

	if (!(seconds > 0))
		seconds = 0;
	delay.tv_sec = (time_t) seconds;
	delay.tv_usec = (suseconds_t) ((seconds - (double) delay.tv_sec) * 1e6);
	/* the loop reads its clock once a turn, and starting many commands makes a turn long */
	event_base_update_cache_time(event_get_base(timer));
	event_add(timer, &delay);
}

void
loop_soon(struct event *timer)
{
	event_active(timer, EV_TIMEOUT, 1);
}

static void
signal_came(evutil_socket_t number, short what, void *arg)
{
	LoopSignals *signals = arg;

	(void) what;
	signals->tell((int) number, signals->arg);
}

LoopSignals *
loop_signals_begin(struct event_base *base, LoopSignal tell, void *arg)
{
	LoopSignals *signals = calloc(1, sizeof(LoopSignals));
	struct sigaction ignore = {.sa_handler = SIG_IGN};

	if (signals == NULL)
		return NULL;
	signals->tell = tell;
	signals->arg = arg;
	sigaction(SIGPIPE, &ignore, NULL);
	for (int i = 0; i < N_SIGNALS; i++)
	{
		signals->events[i] = evsignal_new(base, told_signals[i], signal_came, signals);
		if (signals->events[i] == NULL || event_add(signals->events[i], NULL) != 0)
		{
			loop_signals_end(signals);
			return NULL;
		}
	}
	return signals;
}

void
loop_signals_end(LoopSignals *signals)
{
	if (signals == NULL)
		return;
	for (int i = 0; i < N_SIGNALS; i++)
	{
		if (signals->events[i] != NULL)
			event_free(signals->events[i]);
	}
	free(signals);
}
