/*
 * cli_wait.c
 *	  stent wait: the results of tasks.
 *
 * The server waits for us, in one request a task; we never look at a task again and again.
 */
#include "cli.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli_json.h"

/* What the server answered to a wait. */
typedef struct Answer
{
	StentStatus status;
	StentError error;
	json_t *result;
} Answer;

static const Option wait_options[] = {
	{'t', "timeout", "DURATION",
	 "Wait no longer than this, for all of them together: 30s, 5m, 1h30m. The tasks go on",
	 "no limit"},
	{'j', "json", NULL, "One JSON object a line for each task, also for those that failed", NULL},
	{0, NULL, NULL, NULL, NULL}};

static const CommandPage wait_page = {
	.name = "wait",
	.usage = "ID... [OPTION]...",
	.about =
		"Waits until tasks have finished and prints their results, in the order of the ids: one line\n"
		"of JSON each. The error of a task that did not complete goes to standard error. Ctrl-C ends\n"
		"the wait, never the tasks.",
	.options = wait_options,
	.more = "Exit code, of the first in the order of the ids that did not complete:\n"
			"  0  all completed            1  failed, timed out, cancelled\n"
			"  6  the wait ran out         7  unknown id, or another role's task\n"
			"130  interrupted              (the others: stent --help)\n"
			"\n"
			"Examples:\n"
			"  stent wait 42\n"
			"  stent wait 42 43 44 --timeout=10m --json\n"
			"  stent wait 42 | jq .total"};

static void
keep_answer(StentConn *conn, const StentReply *reply, void *arg)
{
	Answer *answer = arg;

	(void) conn;
	answer->status = reply->status;
	if (reply->error)
		answer->error = *reply->error;
	answer->result = json_incref(reply->json);
}

/* The error of a task as fail() took it or the server caught it, to stderr. */
static void
tell_task_error(const Options *options, int64_t id, const char *state, const json_t *error)
{
	const char *code = cli_json_text(error, "code");
	const char *message = cli_json_text(error, "message");
	const char *detail = cli_json_text(error, "detail");
	const char *hint = cli_json_text(error, "hint");

	cli_tell(options, "task %" PRId64 " %s: %s%s%s%s", id, state, message ? message : "no message",
			 code ? " (" : "", code ? code : "", code ? ")" : "");
	if (detail)
		cli_tell(options, "detail: %s", detail);
	if (hint)
		cli_tell(options, "hint: %s", hint);
}

/* One object on one line; result and error: NULL, or borrowed. */
static void
print_object(int64_t id, const char *state, json_t *result, json_t *error)
{
	json_t *object = json_object();

	json_object_set_new(object, "id", json_integer(id));
	json_object_set_new(object, "state", state ? json_string(state) : json_null());
	if (result)
		json_object_set(object, "result", result);
	if (error)
		json_object_set(object, "error", error);
	cli_json_print(stdout, object, false);
	putchar('\n');
	json_decref(object);
}

/*
 * The server said no. That is the task's own error if the task has ended, and then its
 * whole error is in its state; else something went wrong with the wait.
 */
static ExitCode
tell_refusal(const Options *options, StentConn *conn, int64_t id, const StentError *refusal,
			 bool as_json)
{
	json_t *task = NULL;
	const char *state;
	bool ended;
	ExitCode exit_code;

	if (refusal->status != STENT_REFUSED || stent_state(conn, id, &task, NULL) != STENT_OK)
		task = NULL;
	state = cli_json_text(task, "state");
	ended = state && (strcmp(state, "failed") == 0 || strcmp(state, "timed_out") == 0 ||
					  strcmp(state, "cancelled") == 0);
	if (ended && strcmp(refusal->code, "ST010") != 0)
	{
		json_t *error = json_object_get(task, "error");

		if (json_is_object(error))
			tell_task_error(options, id, state, error);
		else
			cli_failure(options, NULL, refusal);
		exit_code = EXIT_ERROR;
		if (as_json)
			print_object(id, state, NULL, error);
	}
	else
	{
		exit_code = cli_failure(options, NULL, refusal);
		if (as_json && (exit_code == EXIT_WAIT_RAN_OUT || exit_code == EXIT_UNKNOWN_ID))
			print_object(id, state, NULL, NULL);
	}
	json_decref(task);
	return exit_code;
}

ExitCode
cli_wait(const Options *options, StentConn *conn, int64_t id, double seconds, bool as_json)
{
	Answer answer = {.status = STENT_LOST};
	StentError error = {.status = STENT_LOST};
	bool interrupted = false;
	ExitCode exit_code = EXIT_DONE;
	StentStatus status;

	cli_hold_signals();
	status = stent_send_wait(conn, id, seconds, keep_answer, &answer, &error);
	if (status == STENT_OK)
		status = cli_answers(conn, &interrupted, &error);
	cli_let_signals();
	if (interrupted)
	{
		cli_tell(options, "interrupted: task %" PRId64 " goes on", id);
		exit_code = EXIT_INTERRUPTED;
	}
	else if (status != STENT_OK)
		exit_code = cli_failure(options, NULL, &error);
	else if (answer.status != STENT_OK)
		exit_code = tell_refusal(options, conn, id, &answer.error, as_json);
	else
	{
		json_t *result = answer.result ? answer.result : json_null();

		if (as_json)
			print_object(id, "completed", result, NULL);
		else
		{
			cli_json_print(stdout, result, false);
			putchar('\n');
		}
		fflush(stdout); /* the next one may take its time */
	}
	json_decref(answer.result);
	return exit_code;
}

/* Seconds on a clock that nobody sets: how much of the wait is left is our own business. */
static double
now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double) time.tv_sec + (double) time.tv_nsec / 1e9;
}

/* Waits for one after another; the others get what is left of the time. */
static ExitCode
wait_for_all(const Options *options, StentConn *conn, const int64_t *ids, int n, double seconds,
			 bool as_json)
{
	double end = now() + seconds;
	ExitCode first = EXIT_DONE;

	for (int i = 0; i < n; i++)
	{
		double left = seconds > 0 ? end - now() : 0;
		ExitCode exit_code;

		if (seconds > 0 && left < 0.001)
			left = 0.001; /* a look: 0 would be no limit */
		exit_code = cli_wait(options, conn, ids[i], left, as_json);
		if (first == EXIT_DONE)
			first = exit_code;
		if (exit_code == EXIT_INTERRUPTED)
			return exit_code;
		if (stent_conn_state(conn) != STENT_CONN_OPEN)
			break;
	}
	return first;
}

/* The ids of the command line, malloc'ed; NULL: they are wrong, and it was told. */
static int64_t *
read_ids(const Options *options)
{
	int64_t *ids;

	if (options->n_operands == 0)
	{
		options_problem(options, "which task? An id is missing");
		return NULL;
	}
	ids = options_allocate((size_t) options->n_operands * sizeof(*ids));
	for (int i = 0; i < options->n_operands; i++)
	{
		if (cli_id(options, options->operands[i], &ids[i]))
			continue;
		free(ids);
		return NULL;
	}
	return ids;
}

int
wait_main(int argc, char **argv)
{
	Options options;
	const char *argument;
	double seconds = 0;
	bool as_json = false;
	int64_t *ids = NULL;
	StentConn *conn = NULL;
	ExitCode exit_code = EXIT_USAGE;
	int key;

	options_begin(&options, &wait_page, argc, argv);
	while ((key = options_next(&options, &argument)) > 0)
	{
		if (key == 'j')
			as_json = true;
		else if (!options_duration(&options, "--timeout", argument, &seconds))
			goto leave;
	}
	if (key == OPTIONS_STOP)
		exit_code = options.exit_code;
	else if ((ids = read_ids(&options)) && (conn = cli_connect(&options, &exit_code)))
		exit_code = wait_for_all(&options, conn, ids, options.n_operands, seconds, as_json);
leave:
	free(ids);
	exit_code = cli_leave(&options, conn, exit_code);
	options_end(&options);
	return exit_code;
}
