/*
 * worker.c
 *	  The command `stent worker`: its options, and the configuration they point to.
 *
 * All that happens then is the daemon's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "config.h"
#include "daemon.h"
#include "log.h"
#include "options.h"

enum
{
	OPTION_CHECK = OPTION_LONG_ONLY,
	OPTION_CONNECT_TIMEOUT,
	OPTION_LOG_FORMAT
};

static const Option worker_options[] = {
	{'c', "config", "FILE", "The configuration, a JSON file", "/etc/stent/worker.json"},
	{'n', "name", "NAME", "The worker's name", "as in the file, or HOST-PID"},
	{'s', "slots", "NUMBER", "Most tasks at a time, 1 to 1000", "as in the file, or 10"},
	{OPTION_CONNECT_TIMEOUT, "connect-timeout", "DURATION",
	 "How long to try to connect at the start; 0s: without end", "30s"},
	{OPTION_LOG_FORMAT, "log-format", "FORMAT", "Text or json, a line each on stderr", "text"},
	{OPTION_CHECK, "check", NULL, "Only read and check the configuration", NULL},
	{0, NULL, NULL, NULL, NULL}};

static const CommandPage worker_page = {
	.name = "worker",
	.usage = "[OPTION]...",
	.about =
		"Serves tasks: claims those of the functions in its configuration, runs a command for\n"
		"each, stores what it writes, and reports how it ended.",
	.options = worker_options,
	.more = "Signals:\n"
			"  SIGTERM, SIGINT  drain: finish what runs, up to drain_timeout, and leave\n"
			"  a second one     leave at once: what runs is killed\n"
			"  SIGHUP           read the configuration again\n"
			"  SIGUSR1          log what the worker does\n"
			"\n"
			"A configuration that serves one function, by a command that reads the task's args on\n"
			"stdin and writes its result to stdout:\n"
			"  {\"functions\": {\"resize\": {\"command\": [\"/usr/local/bin/resize\"]}}}\n"
			"\n"
			"Exit codes:\n"
			"  0 drained; 1 error; 2 usage; 3 no connection in time; 4 the extension is missing\n"
			"  or does not speak our protocol; 5 left at once, or the drain took too long;\n"
			"  8 the configuration cannot be used"};

/* Reads the options; false: leave with *exit_code. */
static bool
read_options(Options *options, DaemonOptions *daemon, bool *check, ExitCode *exit_code)
{
	const char *argument;
	int key;

	while ((key = options_next(options, &argument)) >= 0 && key != OPTIONS_END)
	{
		bool good = true;

		*exit_code = EXIT_USAGE;
		switch (key)
		{
			case 'c':
				daemon->override.file = argument;
				break;
			case 'n':
				daemon->override.name = argument;
				break;
			case 's':
				good =
					options_integer(options, "--slots", argument, 1, 1000, &daemon->override.slots);
				break;
			case OPTION_CHECK:
				*check = true;
				break;
			case OPTION_CONNECT_TIMEOUT:
				good = options_duration(options, "--connect-timeout", argument,
										&daemon->connect_timeout);
				break;
			case OPTION_LOG_FORMAT:
				good = strcmp(argument, "text") == 0 || strcmp(argument, "json") == 0;
				if (good)
					log_set_format(*argument == 'j' ? LOG_JSON : LOG_TEXT);
				else
					options_problem(options, "--log-format must be text or json, not \"%s\"",
									argument);
				break;
		}
		if (!good)
			return false;
	}
	*exit_code = options->exit_code;
	if (key == OPTIONS_STOP)
		return false;
	if (options->n_operands > 0)
	{
		*exit_code = options_problem(options, "unexpected argument \"%s\"", options->operands[0]);
		return false;
	}
	return true;
}

int
worker_main(int argc, char **argv)
{
	DaemonOptions daemon = {.override.file = "/etc/stent/worker.json", .connect_timeout = 30};
	Options options;
	ExitCode exit_code = EXIT_ERROR;
	char problem[CONFIG_PROBLEM_LENGTH];
	Config *config;
	char *conninfo;
	bool check = false;

	options_begin(&options, &worker_page, argc, argv);
	if (!read_options(&options, &daemon, &check, &exit_code))
	{
		options_end(&options);
		return exit_code;
	}
	config = config_load(&daemon.override, problem, sizeof(problem));
	if (config == NULL)
	{
		log_error("configuration refused", LOG_STR("error", problem));
		options_end(&options);
		return EXIT_CONFIGURATION;
	}
	/* options replace parts of what the file says */
	if (options.dbname == NULL && config->connection[0] != '\0')
		options.dbname = config->connection;
	daemon.conninfo = conninfo = options_conninfo(&options);
	if (conninfo != NULL && !check)
		exit_code = daemon_run(&daemon, config);
	else
	{
		exit_code = conninfo != NULL ? EXIT_DONE : EXIT_USAGE;
		if (conninfo != NULL)
			printf("%s: good, functions: %zu\n", daemon.override.file, config->n_functions);
		config_free(config);
	}
	free(conninfo);
	options_end(&options);
	return exit_code;
}
