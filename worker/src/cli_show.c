/*
 * cli_show.c
 *	  stent show: all that is known of one task.
 */
#include "cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli_json.h"
#include "show.h"

enum
{
	KEY_ATTEMPT = OPTION_LONG_ONLY,
	KEY_STREAM
};

static const Option show_options[] = {
	{'o', "output", "[FORM]",
	 "What its handler wrote as well; --output=raw: nothing but the bytes of it", "no output"},
	{KEY_ATTEMPT, "attempt", "NUMBER", "Of the output, this attempt",
	 "all; with --output=raw the last one that wrote"},
	{KEY_STREAM, "stream", "NAME", "Of the output, this stream: stdout, stderr, ...",
	 "all, in their order"},
	{'j', "json", NULL, "One JSON object, with nothing cut", NULL},
	{0, NULL, NULL, NULL, NULL}};

static const CommandPage page = {
	.name = "show",
	.usage = "ID [OPTION]...",
	.about =
		"Shows a task: what it is, when it ran, its failed attempts, the progress, counters, context\n"
		"and signals of its execution, its result or error; while it lives, why it is not running;\n"
		"and its steps and the tasks below it. Empty sections are left out, long values cut. Times are UTC.",
	.options = show_options,
	.more = "Examples:\n"
			"  stent show 42\n"
			"  stent show 42 --output=raw --stream=stdout > out.bin\n"
			"  stent show 42 --json | jq .attempts"};

/* What the command line asks for. */
typedef struct Request
{
	int64_t id;
	bool output;
	bool raw;
	int attempt; /* 0: see --attempt */
	const char *stream;
	bool as_json;
} Request;

/* What the server told. */
typedef struct Found
{
	json_t *task;
	json_t *progress;
	char *why;
	json_t *output;
	json_t *tree; /* NULL: the server knows none */
} Found;

static bool
take_option(const Options *options, Request *request, int key, const char *argument)
{
	switch (key)
	{
		case 'o':
			request->output = true;
			request->raw = argument && strcmp(argument, "raw") == 0;
			if (!argument || request->raw || strcmp(argument, "text") == 0)
				return true;
			options_problem(options, "--output: \"%s\" is none of text, raw", argument);
			return false;
		case KEY_ATTEMPT:
			return options_integer(options, "--attempt", argument, 1, 1000000, &request->attempt);
		case KEY_STREAM:
			request->stream = argument;
			return true;
		default:
			request->as_json = true;
			return true;
	}
}

static bool
take_operands(const Options *options, Request *request)
{
	if (options->n_operands == 0)
		options_problem(options, "which task? Its id is missing");
	else if (options->n_operands > 1)
		options_problem(options, "\"%s\" is too much: one task a page", options->operands[1]);
	else if (!request->output && (request->attempt || request->stream))
		options_problem(options, "--attempt and --stream are of --output");
	else if (request->raw && request->as_json)
		options_problem(options, "--output=raw and --json exclude each other");
	else
		return cli_id(options, options->operands[0], &request->id);
	return false;
}

/* Leaves of the output what is asked for. */
static void
choose_output(const Request *request, json_t *rows)
{
	json_int_t attempt = request->attempt;

	if (attempt == 0 && request->raw && json_array_size(rows) > 0)
		attempt = json_integer_value(
			json_object_get(json_array_get(rows, json_array_size(rows) - 1), "attempt"));
	for (size_t i = json_array_size(rows); i-- > 0;)
	{
		const json_t *row = json_array_get(rows, i);
		const char *stream = cli_json_text(row, "stream");

		if ((attempt && json_integer_value(json_object_get(row, "attempt")) != attempt) ||
			(request->stream && !(stream && strcmp(stream, request->stream) == 0)))
			json_array_remove(rows, i);
	}
}

/* A server of an older version has no trees: then there is none. */
static StentStatus
look_at_tree(StentConn *conn, const Request *request, Found *found, StentError *error)
{
	StentStatus status = stent_explain(conn, request->id, &found->tree, error);

	return strcmp(error->code, "42883") == 0 ? STENT_OK : status;
}

/* Asks for all that is wanted. */
static StentStatus
look(StentConn *conn, const Request *request, Found *found, StentError *error)
{
	StentStatus status = STENT_OK;
	int64_t execution;

	if (request->output)
		status = stent_output_of(conn, request->id, request->attempt, &found->output, error);
	if (status == STENT_OK && request->output)
		choose_output(request, found->output);
	if (status != STENT_OK || request->raw)
		return status;
	status = stent_state(conn, request->id, &found->task, error);
	if (status != STENT_OK)
		return status;
	execution = json_integer_value(json_object_get(found->task, "execution_id"));
	status = stent_progress_of(conn, execution, &found->progress, error);
	if (status == STENT_OK && !cli_json_text(found->task, "finished_at"))
		status = stent_why(conn, request->id, &found->why, error);
	return status == STENT_OK ? look_at_tree(conn, request, found, error) : status;
}

static void
print_json(const Found *found)
{
	json_t *object = json_copy(found->task);

	json_object_set(object, "progress", found->progress);
	json_object_set_new(object, "why", found->why ? json_string(found->why) : json_null());
	json_object_set(object, "explain", found->tree ? found->tree : json_null());
	if (found->output)
		json_object_set(object, "output", found->output);
	cli_json_print(stdout, object, true);
	putchar('\n');
	json_decref(object);
}

static void
print_found(const Request *request, const Found *found)
{
	if (request->raw)
		show_raw_output(stdout, found->output);
	else if (request->as_json)
		print_json(found);
	else
	{
		show_page(stdout, found->task, found->progress, found->why);
		show_tree(stdout, found->tree);
		if (found->output)
		{
			fputs("output\n", stdout);
			show_output(stdout, found->output);
		}
	}
}

int
show_main(int argc, char **argv)
{
	Options options;
	Request request = {.id = 0};
	Found found = {.task = NULL};
	const char *argument;
	StentConn *conn = NULL;
	StentError error;
	ExitCode exit_code = EXIT_USAGE;
	bool ok = true;
	int key = OPTIONS_END;

	options_begin(&options, &page, argc, argv);
	while (ok && (key = options_next(&options, &argument)) > 0)
		ok = take_option(&options, &request, key, argument);
	if (key == OPTIONS_STOP)
		exit_code = options.exit_code;
	else if (ok && take_operands(&options, &request) && (conn = cli_connect(&options, &exit_code)))
	{
		if (look(conn, &request, &found, &error) == STENT_OK)
		{
			print_found(&request, &found);
			exit_code = EXIT_DONE;
		}
		else
			exit_code = cli_failure(&options, NULL, &error);
	}
	json_decref(found.task);
	json_decref(found.progress);
	json_decref(found.output);
	json_decref(found.tree);
	free(found.why);
	exit_code = cli_leave(&options, conn, exit_code);
	options_end(&options);
	return exit_code;
}
