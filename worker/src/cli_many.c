/*
 * cli_many.c
 *	  stent dispatch --many: a task of each line of a file, in batches.
 *
 * A batch is one transaction. What was printed is there, whatever happens to the rest, and
 * an error tells from which line on nothing was made.
 */
#include "cli.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli_json.h"

/* A batch ends after so many bytes of text, however few lines they are. */
#define BATCH_BYTES (4 * 1024 * 1024)

/* Lines of a file, and where in it we are. */
typedef struct Lines
{
	FILE *in;
	const char *name;
	char *line;
	size_t size;
	long number; /* of the line read last */
	long first;  /* of the batch */
} Lines;

/* The answer to a batch. */
typedef struct Answer
{
	StentStatus status;
	StentError error;
	bool as_json;
} Answer;

static bool
lines_begin(const Options *options, Lines *lines, const char *path)
{
	bool from_stdin = strcmp(path, "-") == 0;

	*lines = (Lines){.name = from_stdin ? "standard input" : path};
	lines->in = from_stdin ? stdin : fopen(path, "re");
	if (!lines->in)
		options_problem(options, "--many: cannot read \"%s\": %s", path, strerror(errno));
	return lines->in != NULL;
}

static void
lines_end(Lines *lines)
{
	if (lines->in != stdin)
		fclose(lines->in);
	free(lines->line);
}

/* Appends the args of one line to a batch; false: they are wrong, and it was told. */
static bool
add_line(const Options *options, const Lines *lines, size_t length, json_t *batch)
{
	char problem[512];
	json_t *args = cli_json_read(lines->line, length, problem, sizeof(problem));
	bool ok = json_is_object(args);

	if (ok)
		json_array_append(batch, args);
	else if (args)
		cli_tell(options, "%s, line %ld: not a JSON object", lines->name, lines->number);
	else
	{
		/* the reader knows of one line only */
		const char *column = strstr(problem, "column");

		cli_tell(options, "%s, line %ld, %s", lines->name, lines->number,
				 column ? column : problem);
	}
	json_decref(args);
	return ok;
}

/* Reads up to a batch; an empty one is the end. NULL: a line is wrong, and it was told. */
static json_t *
next_batch(const Options *options, Lines *lines)
{
	json_t *batch = json_array();
	size_t bytes = 0;
	ssize_t length;

	lines->first = lines->number + 1;
	while (batch && json_array_size(batch) < STENT_MAX_BATCH && bytes < BATCH_BYTES &&
		   (length = getline(&lines->line, &lines->size, lines->in)) >= 0)
	{
		lines->number++;
		while (length > 0 && isspace((unsigned char) lines->line[length - 1]))
			length--; /* a line end would be told as another line */
		if (length == 0)
			continue;
		bytes += (size_t) length;
		if (!add_line(options, lines, (size_t) length, batch))
		{
			json_decref(batch);
			return NULL;
		}
	}
	if (ferror(lines->in))
	{
		cli_tell(options, "cannot read %s: %s", lines->name, strerror(errno));
		json_decref(batch);
		return NULL;
	}
	return batch;
}

bool
cli_many_check(const Options *options, const char *path)
{
	struct stat stat_buffer;
	Lines lines;
	bool ok = true;
	bool over = false;

	if (!lines_begin(options, &lines, path))
		return false;
	/* what cannot be read twice is checked as it comes */
	if (fstat(fileno(lines.in), &stat_buffer) == 0 && S_ISREG(stat_buffer.st_mode))
	{
		off_t begin = ftello(lines.in);

		while (ok && !over)
		{
			json_t *batch = next_batch(options, &lines);

			ok = batch != NULL;
			over = ok && json_array_size(batch) == 0;
			json_decref(batch);
		}
		if (ok && fseeko(lines.in, begin, SEEK_SET) != 0)
			ok = false;
		clearerr(lines.in);
	}
	lines_end(&lines);
	return ok;
}

/* Prints the ids as soon as they are acknowledged. */
static void
print_ids(StentConn *conn, const StentReply *reply, void *arg)
{
	Answer *answer = arg;

	(void) conn;
	answer->status = reply->status;
	if (reply->error)
		answer->error = *reply->error;
	for (size_t i = 0; i < reply->n_numbers; i++)
		printf(answer->as_json ? "{\"id\": %" PRId64 "}\n" : "%" PRId64 "\n", reply->numbers[i]);
	fflush(stdout);
}

static ExitCode
send_batch(const Options *options, StentConn *conn, const StentDispatch *dispatch, json_t *batch,
		   const Lines *lines, bool as_json)
{
	Answer answer = {.status = STENT_LOST, .as_json = as_json};
	StentError error = {.status = STENT_LOST};
	char what[100];
	bool interrupted = false;
	StentStatus status;

	cli_hold_signals();
	status = stent_send_dispatch_many(conn, dispatch, batch, print_ids, &answer, &error);
	if (status == STENT_OK)
		status = cli_answers(conn, &interrupted, &error);
	cli_let_signals();
	if (answer.status == STENT_OK && !interrupted)
		return EXIT_DONE;
	if (interrupted)
	{
		cli_tell(options, "interrupted; nothing was made from line %ld on",
				 answer.status == STENT_OK ? lines->number + 1 : lines->first);
		return EXIT_INTERRUPTED;
	}
	if (status == STENT_OK)
		error = answer.error;
	if (error.status == STENT_LOST)
		snprintf(what, sizeof(what),
				 "nobody knows whether lines %ld to %ld were made, nothing was behind",
				 lines->first, lines->number);
	else
		snprintf(what, sizeof(what),
				 "lines %ld to %ld were refused, nothing was made from line %ld on", lines->first,
				 lines->number, lines->first);
	return cli_failure(options, what, &error);
}

ExitCode
cli_many(const Options *options, StentConn *conn, const StentDispatch *dispatch, const char *path,
		 bool as_json)
{
	Lines lines;
	ExitCode exit_code = EXIT_DONE;
	bool over = false;

	if (!lines_begin(options, &lines, path))
		return EXIT_USAGE;
	while (exit_code == EXIT_DONE && !over)
	{
		json_t *batch = next_batch(options, &lines);

		over = batch && json_array_size(batch) == 0;
		if (!batch)
		{
			cli_tell(options, "nothing was made from line %ld on", lines.first);
			exit_code = EXIT_USAGE;
		}
		else if (!over)
			exit_code = send_batch(options, conn, dispatch, batch, &lines, as_json);
		json_decref(batch);
	}
	lines_end(&lines);
	return exit_code;
}
