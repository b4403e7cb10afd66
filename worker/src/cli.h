/*
 * cli.h
 *	  What the commands of an application share: connecting, waiting for answers, telling
 *	  of failures with the right exit code.
 */
#ifndef STENT_WORKER_CLI_H
#define STENT_WORKER_CLI_H

#include <stdbool.h>
#include <stdint.h>

#include "options.h"
#include "stent.h"

/* The commands; worker.c has worker_main(). argv[0] is the command's name. */
extern int worker_main(int argc, char **argv);
extern int dispatch_main(int argc, char **argv);
extern int wait_main(int argc, char **argv);
extern int list_main(int argc, char **argv);
extern int show_main(int argc, char **argv);

/* One attempt. NULL: it was told why not, and exit_code says with what to leave. */
extern StentConn *cli_connect(const Options *options, ExitCode *exit_code);

/* Before a request is sent whose answer cli_answers() waits for; it lets them again. */
extern void cli_hold_signals(void);
/* Where it is not called after all. */
extern void cli_let_signals(void);

/*
 * Waits until nothing is pending. SIGINT, SIGTERM and SIGHUP cancel what the server does for
 * us; the answers, if they come soon, are given to the callbacks all the same, and
 * *interrupted is set.
 */
extern StentStatus cli_answers(StentConn *conn, bool *interrupted,
							   StentError *error) STENT_MUST_CHECK;

/* Tells of a failure; what: what it is about, or NULL. Returns the code to leave with. */
extern ExitCode cli_failure(const Options *options, const char *what, const StentError *error);

/* The same words for anything else: lines of stderr that begin with the command. */
extern void cli_tell(const Options *options, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Reads a task's id; false: it was told that it is none. */
extern bool cli_id(const Options *options, const char *text, int64_t *id);

/* All output has reached stdout, or exit_code becomes EXIT_ERROR and it was told. */
extern ExitCode cli_leave(const Options *options, StentConn *conn, ExitCode exit_code);

/*
 * Waits for a task and prints its result, or its error to stderr; seconds <= 0: without
 * limit. as_json: one object on stdout in any case.
 */
extern ExitCode cli_wait(const Options *options, StentConn *conn, int64_t id, double seconds,
						 bool as_json);

/* dispatch --many: a task of each line of a file ("-": stdin). Only what dispatch_many takes is looked at. */
extern bool cli_many_check(const Options *options, const char *path);
extern ExitCode cli_many(const Options *options, StentConn *conn, const StentDispatch *dispatch,
						 const char *path, bool as_json);

#endif
