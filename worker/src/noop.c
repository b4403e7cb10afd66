/*
 * noop.c
 *	  A handler that does nothing and succeeds at once: what a worker costs without any work.
 *
 * For measuring, and for trying out a configuration. It still ends from the loop, as
 * every handler does.
 */
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>

#include "handler_kind.h"

typedef struct NoopRun
{
	Run base;
	RunEvents events;
	void *arg;
	struct event *event;
} NoopRun;

static HandlerSpec *
noop_spec_new(const char *function, json_t *json, char *problem, size_t size)
{
	HandlerSpec *spec;

	(void) function;
	if (json_object_size(json) != 1 || json_object_size(json_object_get(json, "noop")) != 0)
	{
		snprintf(problem, size, "\"noop\" must be {}, and has no other keys beside it");
		return NULL;
	}
	spec = malloc(sizeof(HandlerSpec));
	if (spec)
		spec->kind = &noop_kind;
	else
		snprintf(problem, size, "out of memory");
	return spec;
}

static void
noop_spec_free(HandlerSpec *spec)
{
	free(spec);
}

/* The loop has come round to a run: it is over. */
static void
noop_over(evutil_socket_t fd, short what, void *arg)
{
	NoopRun *run = arg;
	RunEnd end = {.succeeded = true, .value = json_null()};

	(void) fd;
	(void) what;
	run->events.ended(&run->base, &end, run->arg);
	event_free(run->event);
	free(run);
}

static Run *
noop_start(struct event_base *base, const HandlerSpec *spec, const StentTask *task,
		   const RunEvents *events, void *arg, char *problem, size_t size)
{
	NoopRun *run = malloc(sizeof(NoopRun));

	(void) spec;
	(void) task;
	if (run)
	{
		*run = (NoopRun){{&noop_kind}, *events, arg, NULL};
		run->event = event_new(base, -1, 0, noop_over, run);
	}
	if (!run || !run->event)
	{
		snprintf(problem, size, "out of memory");
		free(run);
		return NULL;
	}
	event_active(run->event, EV_TIMEOUT, 0);
	return &run->base;
}

/* It is about to end anyway. */
static void
noop_stop(Run *run, RunStop why)
{
	(void) run;
	(void) why;
}

static void
noop_ignore(Run *run)
{
	(void) run;
}

const HandlerKind noop_kind = {
	.name = "noop",
	.spec_new = noop_spec_new,
	.spec_free = noop_spec_free,
	.start = noop_start,
	.stop = noop_stop,
	.kill = noop_ignore,
	.resume_output = noop_ignore,
};
