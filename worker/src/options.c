/*
 * options.c
 *	  Command lines, parsed from the table that help.c explains.
 *
 * What options mean is the commands' own business, but for those of the connection, which
 * are the same everywhere and end up in a conninfo (conninfo.c).
 */
#include "options.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "help.h"
#include "stent.h"
#include "display.h"

#define HELP_WIDTH 90
#define HELP_TEXT_AT 32

static int
option_count(const Option *table)
{
	int n = 0;

	while (table[n].name)
		n++;
	return n;
}

/* Memory that a command cannot do without. */
void *
options_allocate(size_t size)
{
	void *memory = calloc(1, size);

	if (!memory)
	{
		fputs("stent: out of memory\n", stderr);
		exit(EXIT_ERROR);
	}
	return memory;
}

/* Appends a table in the two forms of getopt_long(). */
static void
add_forms(Options *options, const Option *table, int *n)
{
	size_t end = strlen(options->short_forms);

	for (; table->name; table++)
	{
		bool optional = table->argument && table->argument[0] == '[';

		options->long_forms[(*n)++] = (struct option){
			.name = table->name,
			.has_arg =
				!table->argument ? no_argument : (optional ? optional_argument : required_argument),
			.val = table->key};
		if (table->key >= OPTION_LONG_ONLY || table->key == OPTION_HELP)
			continue;
		options->short_forms[end++] = (char) table->key;
		if (table->argument)
			options->short_forms[end++] = ':';
		if (optional)
			options->short_forms[end++] = ':';
	}
}

void
options_begin(Options *options, const CommandPage *page, int argc, char **argv)
{
	int n = option_count(page->options) + option_count(options_of_all);
	int filled = 0;

	*options = (Options){.page = page, .argc = argc, .argv = argv};
	options->long_forms = options_allocate((size_t) (n + 1) * sizeof(struct option));
	options->short_forms = options_allocate((size_t) n * 3 + 2);
	options->short_forms[0] = ':'; /* a missing argument is told from an unknown option */
	add_forms(options, page->options, &filled);
	add_forms(options, options_of_all, &filled);
	opterr = 0;
	optind = 0; /* begin anew, also when a command line was parsed before */
}

void
options_end(Options *options)
{
	free(options->long_forms);
	free(options->short_forms);
	options->long_forms = NULL;
	options->short_forms = NULL;
}

ExitCode
options_problem(const Options *options, const char *format, ...)
{
	char text[4096];
	char *clean;
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	clean = display_clean(text, strlen(text), true);
	fprintf(stderr, "stent %s: %s\nTry \"stent %s --help\".\n", options->page->name, clean,
			options->page->name);
	free(clean);
	return EXIT_USAGE;
}

/* Tells of an option nobody knows, with the one that may be meant. */
static void
unknown_option(const Options *options, const char *text)
{
	const char *names[64];
	const char *nearest;
	char word[64];
	int n = 0;

	for (const struct option *form = options->long_forms; form->name && n < 64; form++)
		names[n++] = form->name;
	snprintf(word, sizeof(word), "%.*s", (int) strcspn(text + 2, "="), text + 2);
	nearest = help_nearest(word, names, n);
	if (nearest)
		options_problem(options, "unknown option \"%s\"; is --%s meant?", text, nearest);
	else
		options_problem(options, "unknown option \"%s\"", text);
}

/* Tells what getopt_long() did not like at the place it just passed. */
static void
bad_option(const Options *options, int key)
{
	const char *text = options->argv[optind - 1];

	if (key == ':' && strncmp(text, "--", 2) == 0)
		options_problem(options, "option \"%s\" needs an argument", text);
	else if (key == ':')
		options_problem(options, "option \"-%c\" needs an argument", optopt);
	else if (optopt == 0)
		unknown_option(options, text);
	else if (strncmp(text, "--", 2) == 0)
		options_problem(options, "option \"%.*s\" takes no argument", (int) strcspn(text, "="),
						text);
	else
		options_problem(options, "unknown option \"-%c\"", optopt);
}

/* Sets the exit code to leave with; returns OPTIONS_STOP. */
static int
stop(Options *options, ExitCode exit_code)
{
	options->exit_code = exit_code;
	return OPTIONS_STOP;
}

int
options_next(Options *options, const char **argument)
{
	for (;;)
	{
		int key = getopt_long(options->argc, options->argv, options->short_forms,
							  options->long_forms, NULL);

		*argument = optarg;
		switch (key)
		{
			case -1:
				options->operands = options->argv + optind;
				options->n_operands = options->argc - optind;
				return OPTIONS_END;
			case '?':
			case ':':
				if (key == '?' && optopt == '?' && strcmp(options->argv[optind - 1], "-?") == 0)
				{
					help_print(options->page);
					return stop(options, EXIT_DONE);
				}
				bad_option(options, key);
				return stop(options, EXIT_USAGE);
			case OPTION_HELP:
				help_print(options->page);
				return stop(options, EXIT_DONE);
			case 'h':
				options->host = optarg;
				break;
			case 'p':
				options->port = optarg;
				break;
			case 'U':
				options->user = optarg;
				break;
			case 'd':
				options->dbname = optarg;
				break;
			case 'w':
				break;
			default:
				return key;
		}
	}
}

bool
options_integer(const Options *options, const char *name, const char *text, long min, long max,
				int *value)
{
	char *end;
	long number;

	errno = 0;
	number = strtol(text, &end, 10);
	if (end == text || *end || errno || number < min || number > max)
	{
		options_problem(options, "%s: \"%s\" is not an integer from %ld to %ld", name, text, min,
						max);
		return false;
	}
	*value = (int) number;
	return true;
}

bool
options_duration(const Options *options, const char *name, const char *text, double *seconds)
{
	if (stent_duration_parse(text, seconds))
		return true;
	options_problem(options, "%s: \"%s\" is not a duration, as 30s, 5m, 1h30m, 2d8h, 1.5h are",
					name, text);
	return false;
}
