/*
 * handler.c
 *	  Finds the kind of handler a function's configuration asks for, and passes calls on to it.
 *
 * The kinds are in files of their own, and know neither each other nor this.
 */
#include <stdio.h>
#include <string.h>

#include "child.h"
#include "handler_kind.h"

static const HandlerKind *const kinds[] = {&command_kind, &noop_kind};

#define N_KINDS (sizeof(kinds) / sizeof(kinds[0]))

HandlerSpec *
handler_spec_new(const char *function, json_t *json, char *problem, size_t size)
{
	const HandlerKind *kind = NULL;

	for (size_t i = 0; i < N_KINDS; i++)
	{
		if (!json_object_get(json, kinds[i]->name))
			continue;
		if (kind)
		{
			snprintf(problem, size, "\"%s\" and \"%s\" exclude each other", kind->name,
					 kinds[i]->name);
			return NULL;
		}
		kind = kinds[i];
	}
	if (!kind)
	{
		snprintf(problem, size, "\"command\" is missing: nothing says how to run it");
		return NULL;
	}
	return kind->spec_new(function, json, problem, size);
}

void
handler_spec_free(HandlerSpec *spec)
{
	if (spec)
		spec->kind->spec_free(spec);
}

Run *
run_start(struct event_base *base, const HandlerSpec *spec, const StentTask *task,
		  const RunEvents *events, void *arg, char *problem, size_t size)
{
	return spec->kind->start(base, spec, task, events, arg, problem, size);
}

void
run_stop(Run *run, RunStop why)
{
	run->kind->stop(run, why);
}

void
run_kill(Run *run)
{
	run->kind->kill(run);
}

void
run_resume_output(Run *run)
{
	run->kind->resume_output(run);
}

bool
handlers_begin(struct event_base *base, char *problem, size_t size)
{
	int error;

	if (children_begin(base, &error))
		return true;
	snprintf(problem, size, "cannot watch commands: %s", strerror(error));
	return false;
}

void
handlers_end(void)
{
	children_end();
}
