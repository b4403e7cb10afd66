/*
 * handler.h
 *	  What runs a task: the contract between the daemon's pool and its handlers.
 *
 * A handler kind is started for a task and calls back once when it is over, from the
 * loop. Nothing of it is left then: no process, no descriptor, no timer. The pool owns
 * leases and answers to the server; a handler never talks to the server.
 */
#ifndef STENT_WORKER_HANDLER_H
#define STENT_WORKER_HANDLER_H

#include <event2/event.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "stent.h"

typedef struct Run Run;

/* How a run ended. */
typedef struct RunEnd
{
	bool succeeded;
	json_t *value;   /* the result, or the error object as stent.fail takes it; the receiver's */
	json_t *effects; /* counters, context, ... of a success; NULL: none; the receiver's */
} RunEnd;

typedef struct RunEvents
{
	/*
	 * Output that is to be stored, in the order it was read; data is the handler's again on
	 * return. False: it is too much now; the handler stops reading until run_resume_output().
	 */
	bool (*output)(Run *run, const char *stream, const void *data, size_t size, void *arg);
	/* It is over and run is gone when this returns. Never called from within run_start(). */
	void (*ended)(Run *run, RunEnd *end, void *arg);
} RunEvents;

/* What the configuration says of one function; owned by the configuration. */
typedef struct HandlerSpec HandlerSpec;

/* Reads "command": {...} (or "noop": {}) of a function's configuration; NULL with the reason in problem. */
extern HandlerSpec *handler_spec_new(const char *function, json_t *json, char *problem,
									 size_t size);
extern void handler_spec_free(HandlerSpec *spec);

/* Why a run is to end before it does by itself. */
typedef enum RunStop
{
	RUN_STOP_TIMEOUT, /* the attempt's time is over: ends as a failure ST003 */
	RUN_STOP_CANCELLED /* nobody wants its end any more: ended() comes with succeeded false and a value nobody reads */
} RunStop;

/*
 * Starts a task. The handler enforces task->timeout and time_left by itself. NULL for want of memory or
 * descriptors, with the reason in problem: the task is then released.
 */
extern Run *run_start(struct event_base *base, const HandlerSpec *spec, const StentTask *task,
					  const RunEvents *events, void *arg, char *problem, size_t size);
/* TERM to its process group, KILL after the grace period; ended() follows when it is reaped. */
extern void run_stop(Run *run, RunStop why);
/* KILL at once; ended() follows. */
extern void run_kill(Run *run);
extern void run_resume_output(Run *run);

/* Once a process, before and after everything: SIGCHLD through the loop, /dev/null, ... */
extern bool handlers_begin(struct event_base *base, char *problem, size_t size);
extern void handlers_end(void);

#endif
