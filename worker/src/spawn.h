/*
 * spawn.h
 *	  Starts a program in a process group of its own.
 */
#ifndef STENT_WORKER_SPAWN_H
#define STENT_WORKER_SPAWN_H

#include <stdbool.h>
#include <sys/types.h>

typedef struct SpawnPlan
{
	char *const *argv; /* a name without slash is looked up in the PATH of envp */
	char *const *envp;
	const char *cwd; /* NULL: the worker's */
	int umask;       /* < 0: the worker's */
	int fds[4];      /* what is to be its stdin, stdout, stderr, and result_as; [3] may be -1 */
	int result_as;   /* the number of fds[3] in the child, 3 or more */
} SpawnPlan;

typedef enum SpawnStatus
{
	SPAWN_OK,
	SPAWN_NO_PROCESS,   /* the system is short of something now; error is its errno */
	SPAWN_NO_DIRECTORY, /* cwd cannot be entered */
	SPAWN_NO_PROGRAM    /* the program cannot be executed */
} SpawnStatus;

/* Starts it: *pid is running the program when this returns SPAWN_OK; else nothing is left and *error tells why. */
extern SpawnStatus spawn_program(const SpawnPlan *plan, pid_t *pid, int *error);

#endif
