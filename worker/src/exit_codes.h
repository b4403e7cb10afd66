/*
 * exit_codes.h
 *	  What the exit status of every command of stent means; docs/cli.md lists them.
 *
 * Scripts and service managers branch on them: a number, once given, keeps its meaning.
 */
#ifndef STENT_WORKER_EXIT_CODES_H
#define STENT_WORKER_EXIT_CODES_H

typedef enum ExitCode
{
	EXIT_DONE = 0,          /* done; the worker: drained and stopped */
	EXIT_ERROR = 1,         /* the task did not complete, the server refused, anything else */
	EXIT_USAGE = 2,         /* the command line or an input cannot be right; nothing was sent */
	EXIT_NO_CONNECTION = 3, /* no connection, or it was lost before the answer */
	EXIT_PROTOCOL = 4,      /* the extension is missing, or does not speak our protocol */
	EXIT_LEFT_AT_ONCE = 5,  /* the worker: told twice to stop, or its drain took too long */
	EXIT_WAIT_RAN_OUT = 6,  /* the wait is over, the task goes on */
	EXIT_UNKNOWN_ID = 7,    /* no such task, or another role's */
	EXIT_CONFIGURATION = 8, /* the worker: its configuration cannot be used */
	EXIT_INTERRUPTED = 130  /* SIGINT, SIGTERM or SIGHUP while a command waited */
} ExitCode;

#endif
