/*
 * child.h
 *	  One running program: its process group, its pipes, its end.
 */
#ifndef STENT_WORKER_CHILD_H
#define STENT_WORKER_CHILD_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "spawn.h"

/* Most that is read at once, which is also what a pipe holds. */
#define CHILD_READ_SIZE 65536

typedef struct Child Child;

/* What a child writes to. */
typedef enum ChildStream
{
	CHILD_STDOUT,
	CHILD_STDERR,
	CHILD_RESULT, /* a descriptor agreed on */
	CHILD_STREAMS
} ChildStream;

typedef struct ChildEvents
{
	/* What one read gave, at most CHILD_READ_SIZE bytes; called from the loop. */
	void (*data)(ChildStream stream, const char *data, size_t size, void *arg);
	/* It was reaped, its pipes are read, and it is gone; status is waitpid()'s. The last call. */
	void (*exited)(int status, void *arg);
} ChildEvents;

typedef struct ChildPlan
{
	char *const *argv;
	char *const *envp;
	const char *cwd; /* NULL: the worker's */
	int umask;       /* < 0: the worker's */
	char *input;     /* malloc'ed, for its stdin; taken over if the child starts. NULL: /dev/null */
	size_t input_size;
	bool drop_stdout; /* it goes to /dev/null */
	int result_as;    /* < 0: no descriptor for the result */
} ChildPlan;

/*
 * Starts a child; NULL with status and errno why, and nothing is left of it. Its events come
 * from the loop, never from here.
 */
extern Child *child_start(struct event_base *base, const ChildPlan *plan, const ChildEvents *events,
						  void *arg, SpawnStatus *status, int *error);

/* TERM to its group now, KILL after so many seconds. A second call changes nothing. */
extern void child_stop(Child *child, double grace);
/* KILL to its group now. */
extern void child_kill(Child *child);
/* Whether it has ended by itself, though exited() may not have been called yet. */
extern bool child_is_over(const Child *child);
/* Stops reading from a stream, or goes on with it. */
extern void child_read(Child *child, ChildStream stream, bool wanted);

/* Once a process: SIGCHLD through the loop, SIGPIPE ignored, /dev/null. */
extern bool children_begin(struct event_base *base, int *error);
/* Kills and reaps what still runs; no event is called any more. */
extern void children_end(void);

#endif
