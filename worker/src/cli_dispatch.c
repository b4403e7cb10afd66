/*
 * cli_dispatch.c
 *	  stent dispatch: makes a task, or one of each line of a file (cli_many.c).
 *
 * What can be seen to be wrong without the server is refused before anything is sent.
 */
#include "cli.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli_input.h"

/* As many as the server takes, and one for it to refuse. */
#define MAX_TAGS 17

enum
{
	KEY_PRIORITY = OPTION_LONG_ONLY,
	KEY_DELAY,
	KEY_RUN_AT,
	KEY_MAX_DURATION,
	KEY_TIMEOUT,
	KEY_RETRY,
	KEY_DEDUP_KEY,
	KEY_ON_DUPLICATE,
	KEY_IDEMPOTENCY_KEY,
	KEY_CONCURRENCY_KEY,
	KEY_HEADER,
	KEY_WAIT,
	KEY_MANY
};

#define REGISTERED "as registered"

static const Option dispatch_options[] = {
	{'a', "arg", "KEY=VALUE",
	 "One argument, a text; KEY:=JSON gives any other value. May be repeated; adds to ARGS", NULL},
	{'q', "queue", "NAME", "The queue it waits in", REGISTERED},
	{KEY_PRIORITY, "priority", "NUMBER", "-100 to 100, high first", REGISTERED},
	{'t', "tag", "TAG", "A tag; may be repeated, and replaces the registered ones", REGISTERED},
	{KEY_DELAY, "delay", "DURATION", "Not to be started before so long: 30s, 5m, 1h30m", "none"},
	{KEY_RUN_AT, "run-at", "TIME",
	 "Not to be started before this moment, in UTC: \"2026-01-31 12:00\"; not with --delay",
	 "at once"},
	{KEY_MAX_DURATION, "max-duration", "DURATION",
	 "The execution is to end within this, the time in the queue included", REGISTERED},
	{KEY_TIMEOUT, "timeout", "DURATION", "One attempt is to end within this", REGISTERED},
	{KEY_RETRY, "retry", "JSON",
	 "Fields of the retry policy that are to differ: '{\"max_attempts\": 5, \"initial_delay\": \"10s\"}'",
	 REGISTERED},
	{KEY_DEDUP_KEY, "dedup-key", "KEY",
	 "While a task of the function with this key lives, no second one is made", "none"},
	{KEY_ON_DUPLICATE, "on-duplicate", "WHAT",
	 "Where there is one: join (its id is printed), replace (its args and times), error", "join"},
	{KEY_IDEMPOTENCY_KEY, "idempotency-key", "KEY", "The same key is done once", "none"},
	{KEY_CONCURRENCY_KEY, "concurrency-key", "KEY",
	 "Tasks of the function with this key run one after the other", "none"},
	{KEY_HEADER, "header", "KEY=VALUE",
	 "For handlers and people; KEY:=JSON as with --arg. May be repeated", "none"},
	{KEY_WAIT, "wait", "[DURATION]",
	 "Wait for the task, at most so long, and print its result in place of its id, as \"stent wait\" does",
	 "do not wait; --wait alone: no limit"},
	{KEY_MANY, "many", "FILE",
	 "A task of each line of a file (\"-\": standard input), which is the JSON object of its args; "
	 "not with ARGS, --arg, --wait and keys",
	 "one task"},
	{'j', "json", NULL,
	 "Print {\"id\": 42}, a line for each task; with --wait what \"stent wait --json\" prints",
	 NULL},
	{0, NULL, NULL, NULL, NULL}};

static const CommandPage dispatch_page = {
	.name = "dispatch",
	.usage = "FUNCTION [ARGS] [OPTION]...\nFUNCTION --many=FILE [OPTION]...",
	.about =
		"Makes a task of a registered function and prints its id. ARGS is a JSON object, or - to read\n"
		"it from standard input; without it there are no arguments but those of --arg.",
	.options = dispatch_options,
	.more =
		"With --many tasks are made in batches of up to 1,000, each batch whole or not at all; ids are\n"
		"printed in the order of the lines once their batch is there. A file is checked before the\n"
		"first batch, standard input as it comes. Empty lines are passed over.\n"
		"\n"
		"Examples:\n"
		"  stent dispatch resize '{\"path\": \"/srv/a.jpg\", \"width\": 800}'\n"
		"  stent dispatch resize --arg path=/srv/a.jpg --arg width:=800 --wait=5m\n"
		"  stent dispatch report --run-at='2026-01-31 06:00' --dedup-key=january\n"
		"  jq -c '.[]' orders.json | stent dispatch bill --many=-"};

/* What the command line asks for. */
typedef struct Request
{
	StentDispatch dispatch;
	int priority;
	const char *tags[MAX_TAGS];
	json_t *args;
	json_t *retry;
	json_t *headers;
	const char *many;
	bool waits;
	double wait_seconds;
	bool as_json;
} Request;

/* The answer to a dispatch. */
typedef struct Answer
{
	StentStatus status;
	StentError error;
	int64_t id;
} Answer;

/* The server reads the text; here only that it is one. */
static bool
check_duration(const Options *options, const char *name, const char *text, const char **field)
{
	double seconds;

	*field = text;
	return options_duration(options, name, text, &seconds);
}

static bool
check_word(const Options *options, const char *text)
{
	if (strcmp(text, "join") == 0 || strcmp(text, "replace") == 0 || strcmp(text, "error") == 0)
		return true;
	options_problem(options, "--on-duplicate: \"%s\" is none of join, replace, error", text);
	return false;
}

static bool
add_tag(const Options *options, Request *request, const char *tag)
{
	StentNames *tags = &request->dispatch.tags;

	if (tags->n == MAX_TAGS)
	{
		options_problem(options, "--tag: so many tags are refused");
		return false;
	}
	request->tags[tags->n++] = tag;
	tags->names = request->tags;
	return true;
}

/* Takes one option; false: it is wrong, and it was told. */
static bool
take_option(const Options *options, Request *request, int key, const char *argument)
{
	StentDispatch *dispatch = &request->dispatch;

	switch (key)
	{
		case 'a':
			return input_pair(options, "--arg", argument, &request->args);
		case 'q':
			dispatch->queue = argument;
			return true;
		case 't':
			return add_tag(options, request, argument);
		case 'j':
			request->as_json = true;
			return true;
		case KEY_PRIORITY:
			dispatch->priority = &request->priority;
			return options_integer(options, "--priority", argument, -100, 100, &request->priority);
		case KEY_DELAY:
			return check_duration(options, "--delay", argument, &dispatch->delay);
		case KEY_RUN_AT:
			dispatch->run_at = argument;
			return input_moment(options, argument);
		case KEY_MAX_DURATION:
			return check_duration(options, "--max-duration", argument, &dispatch->max_duration);
		case KEY_TIMEOUT:
			return check_duration(options, "--timeout", argument, &dispatch->timeout);
		case KEY_RETRY:
			json_decref(request->retry);
			return input_object(options, "--retry", argument, strlen(argument), &request->retry);
		case KEY_DEDUP_KEY:
			dispatch->dedup_key = argument;
			return true;
		case KEY_ON_DUPLICATE:
			dispatch->on_duplicate = argument;
			return check_word(options, argument);
		case KEY_IDEMPOTENCY_KEY:
			dispatch->idempotency_key = argument;
			return true;
		case KEY_CONCURRENCY_KEY:
			dispatch->concurrency_key = argument;
			return true;
		case KEY_HEADER:
			return input_pair(options, "--header", argument, &request->headers);
		case KEY_WAIT:
			request->waits = true;
			return !argument ||
				   options_duration(options, "--wait", argument, &request->wait_seconds);
		case KEY_MANY:
			request->many = argument;
			return true;
		default:
			return false;
	}
}

/* Takes what is no option, and sees that everything fits together. */
static bool
take_operands(const Options *options, Request *request)
{
	StentDispatch *dispatch = &request->dispatch;
	bool has_key = dispatch->dedup_key || dispatch->on_duplicate || dispatch->idempotency_key ||
				   dispatch->concurrency_key;

	if (options->n_operands == 0)
		options_problem(options, "which function? Its name is missing");
	else if (options->n_operands > 2)
		options_problem(options, "\"%s\" is too much: there are FUNCTION and ARGS only",
						options->operands[2]);
	else if (dispatch->delay && dispatch->run_at)
		options_problem(options, "--delay and --run-at exclude each other");
	else if (request->many && (options->n_operands > 1 || request->args))
		options_problem(options, "with --many the lines of the file are the args");
	else if (request->many && (request->waits || has_key))
		options_problem(options, "--many excludes --wait, --dedup-key, --on-duplicate, "
								 "--idempotency-key and --concurrency-key");
	else
	{
		dispatch->function = options->operands[0];
		if (options->n_operands > 1 && !input_args(options, options->operands[1], &request->args))
			return false;
		dispatch->args = request->args;
		dispatch->retry = request->retry;
		dispatch->headers = request->headers;
		return !request->many || cli_many_check(options, request->many);
	}
	return false;
}

static void
keep_answer(StentConn *conn, const StentReply *reply, void *arg)
{
	Answer *answer = arg;

	(void) conn;
	answer->status = reply->status;
	if (reply->error)
		answer->error = *reply->error;
	answer->id = reply->number;
}

/* Makes the task, and waits for it if that is wanted. */
static ExitCode
dispatch_one(const Options *options, StentConn *conn, const Request *request)
{
	Answer answer = {.status = STENT_LOST};
	StentError error = {.status = STENT_LOST};
	bool interrupted = false;
	StentStatus status;

	cli_hold_signals();
	status = stent_send_dispatch(conn, &request->dispatch, keep_answer, &answer, &error);
	if (status == STENT_OK)
		status = cli_answers(conn, &interrupted, &error);
	cli_let_signals();
	if (interrupted && answer.status != STENT_OK)
	{
		cli_tell(options, answer.status == STENT_REFUSED
							  ? "interrupted: no task was made"
							  : "interrupted: nobody knows whether the task was made");
		return EXIT_INTERRUPTED;
	}
	if (status != STENT_OK && answer.status != STENT_OK)
		return cli_failure(options, NULL, &error);
	if (answer.status != STENT_OK)
		return cli_failure(options, NULL, &answer.error);
	if (request->waits && !interrupted)
		return cli_wait(options, conn, answer.id, request->wait_seconds, request->as_json);
	printf(request->as_json ? "{\"id\": %" PRId64 "}\n" : "%" PRId64 "\n", answer.id);
	return interrupted ? EXIT_INTERRUPTED : EXIT_DONE;
}

int
dispatch_main(int argc, char **argv)
{
	Options options;
	Request request = {.many = NULL};
	const char *argument;
	StentConn *conn = NULL;
	ExitCode exit_code = EXIT_USAGE;
	bool ok = true;
	int key = OPTIONS_END;

	options_begin(&options, &dispatch_page, argc, argv);
	while (ok && (key = options_next(&options, &argument)) > 0)
		ok = take_option(&options, &request, key, argument);
	if (key == OPTIONS_STOP)
		exit_code = options.exit_code;
	else if (ok && take_operands(&options, &request) && (conn = cli_connect(&options, &exit_code)))
		exit_code = request.many
						? cli_many(&options, conn, &request.dispatch, request.many, request.as_json)
						: dispatch_one(&options, conn, &request);
	json_decref(request.args);
	json_decref(request.retry);
	json_decref(request.headers);
	exit_code = cli_leave(&options, conn, exit_code);
	options_end(&options);
	return exit_code;
}
