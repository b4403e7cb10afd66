/*
 * cli.c
 *	  What the commands of an application share: connecting, waiting for answers, telling
 *	  of failures with the right exit code.
 *
 * Signals are taken only while a command waits for an answer; else they end the program as
 * they always do, and nothing is in doubt then.
 */
#include "cli.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "display.h"

/* How long a cancelled request may take to say how it ended. */
#define CANCEL_PATIENCE_S 5.0

static volatile sig_atomic_t interrupted_by;

/* What interrupts a command that waits for an answer. */
static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
#define N_SIGNALS (sizeof(signals) / sizeof(signals[0]))

static bool holding; /* they are blocked; before, the mask was: */
static sigset_t mask_before;

static void
note_signal(int number)
{
	interrupted_by = number;
}

void
cli_tell(const Options *options, const char *format, ...)
{
	char text[3 * STENT_MESSAGE_LENGTH];
	char *clean;
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	clean = display_clean(text, strlen(text), true);
	fflush(stdout);
	fprintf(stderr, "stent %s: %s\n", options->page->name, clean);
	free(clean);
}

static bool
in_class(const StentError *error, const char *class)
{
	return strncmp(error->code, class, strlen(class)) == 0;
}

/* The server does not know the functions we call: there is no extension, or an old one. */
static bool
is_extension_missing(const StentError *error)
{
	return error->status == STENT_REFUSED &&
		   (in_class(error, "3F000") || in_class(error, "42883") || in_class(error, "42P01"));
}

static ExitCode
exit_code_of(const StentError *error)
{
	switch (error->status)
	{
		case STENT_NOT_OPEN:
		case STENT_LOST:
			return EXIT_NO_CONNECTION;
		case STENT_MISMATCH:
			return EXIT_PROTOCOL;
		case STENT_INVALID:
			return EXIT_USAGE;
		case STENT_REFUSED:
			if (is_extension_missing(error) || in_class(error, "ST013"))
				return EXIT_PROTOCOL;
			if (in_class(error, "ST010"))
				return EXIT_WAIT_RAN_OUT;
			if (in_class(error, "P0002"))
				return EXIT_UNKNOWN_ID;
			/* the server ends, or our session: 57P01 to 57P05, class 08 */
			if (in_class(error, "57P") || in_class(error, "08"))
				return EXIT_NO_CONNECTION;
			return EXIT_ERROR;
		default:
			return EXIT_ERROR;
	}
}

ExitCode
cli_failure(const Options *options, const char *what, const StentError *error)
{
	const char *between = what ? ": " : "";
	const char *hint = error->hint;

	what = what ? what : "";
	if (error->code[0])
		cli_tell(options, "%s%s%s (%s)", what, between, error->message, error->code);
	else
		cli_tell(options, "%s%s%s", what, between, error->message);
	if (error->detail[0])
		cli_tell(options, "detail: %s", error->detail);
	if (is_extension_missing(error))
		hint = "This database has no extension stent (CREATE EXTENSION stent), or one that is "
			   "too old (ALTER EXTENSION stent UPDATE); --dbname names another database.";
	if (hint[0])
		cli_tell(options, "hint: %s", hint);
	return exit_code_of(error);
}

StentConn *
cli_connect(const Options *options, ExitCode *exit_code)
{
	char *conninfo = options_conninfo(options);
	StentConn *conn = stent_conn_new(conninfo);
	StentError error;

	free(conninfo);
	if (!conn)
	{
		cli_tell(options, "out of memory");
		*exit_code = EXIT_ERROR;
		return NULL;
	}
	if (stent_connect(conn, NULL, &error) == STENT_OK)
		return conn;
	*exit_code = cli_failure(options, "cannot connect", &error);
	if (error.status != STENT_MISMATCH && error.status != STENT_NO_MEMORY)
		*exit_code =
			EXIT_NO_CONNECTION; /* also where the server refused us: no such database, ... */
	stent_conn_free(conn);
	return NULL;
}

/* Carries the connection on until nothing is pending, or a signal has come (STENT_EMPTY). */
static StentStatus
process(StentConn *conn, const sigset_t *while_waiting, StentError *error)
{
	while (stent_pending(conn) > 0)
	{
		StentStatus status = stent_process(conn, error);
		struct pollfd fd = {.fd = stent_socket(conn), .events = POLLIN};

		if (status != STENT_OK)
			return status;
		if (stent_pending(conn) == 0)
			break;
		if (interrupted_by)
			return STENT_EMPTY;
		if (stent_wants_write(conn))
			fd.events |= POLLOUT;
		/* EINTR is a signal: seen above */
		if (ppoll(&fd, 1, NULL, while_waiting) < 0 && errno != EINTR)
		{
			*error = (StentError){.status = STENT_LOST};
			snprintf(error->message, sizeof(error->message), "poll: %s", strerror(errno));
			return STENT_LOST;
		}
	}
	return STENT_OK;
}

/* From now on signals that interrupt wait for cli_answers(): none comes before it is ready. */
void
cli_hold_signals(void)
{
	sigset_t held;

	if (holding)
		return;
	sigemptyset(&held);
	for (size_t i = 0; i < N_SIGNALS; i++)
		sigaddset(&held, signals[i]);
	sigprocmask(SIG_BLOCK, &held, &mask_before);
	holding = true;
}

void
cli_let_signals(void)
{
	if (holding)
		sigprocmask(SIG_SETMASK, &mask_before, NULL);
	holding = false;
}

StentStatus
cli_answers(StentConn *conn, bool *interrupted, StentError *error)
{
	/* a second one ends the program at once */
	struct sigaction action = {.sa_handler = note_signal, .sa_flags = (int) SA_RESETHAND};
	struct sigaction before[N_SIGNALS];
	StentStatus status;

	*interrupted = false;
	interrupted_by = 0;
	sigemptyset(&action.sa_mask);
	/* they arrive within ppoll() only: none can come between the look and the sleep */
	cli_hold_signals();
	for (size_t i = 0; i < N_SIGNALS; i++)
	{
		sigaction(signals[i], NULL, &before[i]);
		if (before[i].sa_handler != SIG_IGN) /* nohup's choice stays */
			sigaction(signals[i], &action, NULL);
	}
	status = process(conn, &mask_before, error);
	if (status == STENT_EMPTY)
	{
		*interrupted = true;
		cli_let_signals();
		status = stent_cancel_request(conn, error);
		if (status == STENT_OK)
			status = stent_drain(conn, CANCEL_PATIENCE_S, error);
	}
	for (size_t i = 0; i < N_SIGNALS; i++)
		sigaction(signals[i], &before[i], NULL);
	cli_let_signals();
	return status;
}

bool
cli_id(const Options *options, const char *text, int64_t *id)
{
	char *end;
	intmax_t number;

	errno = 0;
	number = strtoimax(text, &end, 10);
	if (end != text && !*end && !errno && number > 0 && number <= INT64_MAX && text[0] >= '0' &&
		text[0] <= '9')
	{
		*id = (int64_t) number;
		return true;
	}
	options_problem(options, "\"%s\" is not the id of a task, which is a positive integer", text);
	return false;
}

ExitCode
cli_leave(const Options *options, StentConn *conn, ExitCode exit_code)
{
	stent_conn_free(conn);
	if (fflush(stdout) == 0 && !ferror(stdout))
		return exit_code;
	cli_tell(options, "cannot write to standard output: %s", strerror(errno));
	return exit_code ? exit_code : EXIT_ERROR;
}
