/*
 * handler_kind.h
 *	  What a kind of handler offers to the dispatcher in handler.c.
 *
 * A kind's own spec and run begin with these, so that they can be passed as such.
 */
#ifndef STENT_WORKER_HANDLER_KIND_H
#define STENT_WORKER_HANDLER_KIND_H

#include "handler.h"

typedef struct HandlerKind
{
	const char *name; /* the key of a function's configuration that asks for it */
	HandlerSpec *(*spec_new)(const char *function, json_t *json, char *problem, size_t size);
	void (*spec_free)(HandlerSpec *spec);
	Run *(*start)(struct event_base *base, const HandlerSpec *spec, const StentTask *task,
				  const RunEvents *events, void *arg, char *problem, size_t size);
	void (*stop)(Run *run, RunStop why);
	void (*kill)(Run *run);
	void (*resume_output)(Run *run);
} HandlerKind;

struct HandlerSpec
{
	const HandlerKind *kind;
};

struct Run
{
	const HandlerKind *kind;
};

extern const HandlerKind command_kind;
extern const HandlerKind noop_kind;

#endif
