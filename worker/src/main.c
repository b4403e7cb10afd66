/*
 * main.c
 *	  The program stent: a table of commands.
 *
 * Commands parse their own options and return the code to leave with.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "help.h"
#include "display.h"

typedef struct Command
{
	const char *name;
	const char *summary;
	int (*run)(int argc, char **argv);
} Command;

static const Command commands[] = {
	{"worker", "serve tasks: claim them, run their commands, report", worker_main},
	{"dispatch", "make a task, or one of each line of a file", dispatch_main},
	{"wait", "wait for tasks and print their results", wait_main},
	{"list", "list what was dispatched, the newest first", list_main},
	{"show", "show all that is known of one task", show_main}};

#define N_COMMANDS ((int) (sizeof(commands) / sizeof(commands[0])))

static void
print_overview(FILE *out)
{
	fputs("stent: durable tasks in PostgreSQL\n"
		  "\n"
		  "Usage: stent COMMAND [OPTION]...\n"
		  "       stent help COMMAND\n"
		  "       stent --version\n"
		  "\n"
		  "Commands:\n",
		  out);
	for (int i = 0; i < N_COMMANDS; i++)
		fprintf(out, "  %-10s%s\n", commands[i].name, commands[i].summary);
	fputs(
		"\n"
		"Connections are libpq's: PGHOST, PGPORT, PGUSER, PGDATABASE, PGSERVICE and the like are\n"
		"used, and -h, -p, -U, -d of every command go before them.\n"
		"\n"
		"A first task, of a function that does nothing but exist:\n"
		"  psql -c \"SELECT stent.register('greet')\"\n"
		"  stent dispatch greet --arg name=Ada     its id, say 1\n"
		"  stent show 1                            why it does not run yet\n"
		"  stent help worker                       how to serve it\n"
		"  stent wait 1\n"
		"\n"
		"Exit codes:\n"
		"    0  done\n"
		"    1  the task did not complete, the server refused, or another error\n"
		"    2  the command line or an input is wrong; nothing was sent\n"
		"    3  no connection, or it was lost\n"
		"    4  the extension stent is missing, or does not speak the program's protocol\n"
		"    5  worker: left at once, without the end of its drain\n"
		"    6  the wait ran out; the task goes on\n"
		"    7  unknown id, or another role's task\n"
		"    8  worker: its configuration cannot be used\n"
		"  130  interrupted while waiting\n",
		out);
}

static const Command *
find_command(const char *name)
{
	for (int i = 0; i < N_COMMANDS; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

/* Tells of a command nobody knows; returns EXIT_USAGE. */
static int
unknown_command(const char *name)
{
	const char *names[N_COMMANDS];
	const char *nearest;
	char *clean = display_clean(name, strlen(name), false);

	for (int i = 0; i < N_COMMANDS; i++)
		names[i] = commands[i].name;
	nearest = help_nearest(name, names, N_COMMANDS);
	if (name[0] == '-')
		fprintf(stderr, "stent: unknown option \"%s\"; options of a command follow it", clean);
	else
		fprintf(stderr, "stent: unknown command \"%s\"", clean);
	if (nearest)
		fprintf(stderr, "; is %s meant?", nearest);
	fputs("\nTry \"stent --help\".\n", stderr);
	free(clean);
	return EXIT_USAGE;
}

/* Runs "stent help [COMMAND]". */
static int
help(int argc, char **argv)
{
	const Command *command;
	char option[] = "--help";
	char *line[] = {NULL, option, NULL};

	if (argc < 2)
	{
		print_overview(stdout);
		if (fflush(stdout) == 0)
			return EXIT_DONE;
		perror("stent: cannot write to standard output");
		return EXIT_ERROR;
	}
	command = find_command(argv[1]);
	if (!command)
		return unknown_command(argv[1]);
	line[0] = argv[1];
	return command->run(2, line);
}

int
main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : NULL;
	const Command *command;

	display_begin();
	if (!name)
	{
		print_overview(stderr);
		return EXIT_USAGE;
	}
	if (strcmp(name, "--help") == 0 || strcmp(name, "-?") == 0)
		name = "help";
	if (strcmp(name, "help") == 0)
		return help(argc - 1, argv + 1);
	if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0)
	{
		printf("stent %s\n", stent_version());
		return EXIT_DONE;
	}
	command = find_command(name);
	if (!command)
		return unknown_command(name);
	return command->run(argc - 1, argv + 1);
}
