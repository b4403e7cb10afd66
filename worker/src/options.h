/*
 * options.h
 *	  The options of a command: one table is what is parsed and what --help shows.
 *
 * Options every command has (connection, --help) are handled in here; a command gets
 * its own from options_next(), which complains by itself about what it cannot parse.
 */
#ifndef STENT_WORKER_OPTIONS_H
#define STENT_WORKER_OPTIONS_H

#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>

#include "exit_codes.h"

typedef struct Option
{
	int key;              /* the letter of its short form, or a number from OPTION_LONG_ONLY on */
	const char *name;     /* of its long form; NULL ends a table */
	const char *argument; /* NULL: takes none; "[X]": may be left out, else --name=X */
	const char *text;     /* one sentence or two, without full stop at the end */
	const char *usual;    /* what holds without it, or NULL */
} Option;

#define OPTION_LONG_ONLY 256
#define OPTION_HELP 1 /* key of --help, of every command */

/* The options every command has. */
extern const Option options_of_all[];

/* What --help shows of a command. Texts are printed as they are, but options aligned. */
typedef struct CommandPage
{
	const char *name;
	const char *usage; /* what follows the name, one line for each form */
	const char *about;
	const Option *options;
	const char *more; /* examples, exit codes that need a word; or NULL */
} CommandPage;

/* A command line as far as it is parsed; all strings are argv's. */
typedef struct Options
{
	const CommandPage *page;
	int argc;
	char **argv;
	char **operands; /* what is no option, once options_next() said OPTIONS_END */
	int n_operands;
	ExitCode exit_code; /* what to leave with, once it said OPTIONS_STOP */
	const char *host;
	const char *port;
	const char *user;
	const char *dbname;
	struct option *long_forms; /* ours, as getopt_long() wants them */
	char *short_forms;
} Options;

enum
{
	OPTIONS_END = 0,  /* no more options */
	OPTIONS_STOP = -1 /* help was shown, or the command line is wrong and it was told */
};

/* argv[0] is the command's name. Ends the program for want of memory. */
extern void options_begin(Options *options, const CommandPage *page, int argc, char **argv);
extern void options_end(Options *options);

/* The next option's key, and its argument (NULL: none given), or one of the above. */
extern int options_next(Options *options, const char **argument);

/* Tells what is wrong with the command line, and where to read; returns EXIT_USAGE. */
extern ExitCode options_problem(const Options *options, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Reads an option's argument; false: it was told what is wrong with it. name: "--limit". */
extern bool options_integer(const Options *options, const char *name, const char *text, long min,
							long max, int *value);
extern bool options_duration(const Options *options, const char *name, const char *text,
							 double *seconds);

/*
 * The connection options as one conninfo, malloc'ed, for stent_conn_new(); what they leave
 * open is the environment's.
 */
extern char *options_conninfo(const Options *options);

/* Memory, zeroed, that a command cannot do without: ends the program if there is none. */
extern void *options_allocate(size_t size);

#endif
