/*
 * cli_list.c
 *	  stent list: what was dispatched, the newest first.
 */
#include "cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli_json.h"
#include "help.h"
#include "table.h"
#include "display.h"

#define USUAL_LIMIT 20

static const char *const states[] = {"scheduled", "blocked", "ready",     "running",  "waiting",
									 "completed", "failed",  "timed_out", "cancelled"};

#define N_STATES ((int) (sizeof(states) / sizeof(states[0])))

static const Option list_options[] = {
	{'s', "state", "STATE",
	 "Only tasks in this state: scheduled, blocked, ready, running, waiting, completed, failed, "
	 "timed_out, cancelled",
	 "all"},
	{'f', "function", "NAME", "Only tasks of this function", "all"},
	{'q', "queue", "NAME", "Only tasks of this queue", "all"},
	{'n', "limit", "COUNT", "At most so many, the newest; 0: all of them", "20"},
	{'j', "json", NULL, "One JSON array of objects, with all that is known of each", NULL},
	{0, NULL, NULL, NULL, NULL}};

static const CommandPage list_page = {
	.name = "list",
	.usage = "[OPTION]...",
	.about =
		"Lists what was dispatched, the newest first: your own, or with the admin grant everybody's.\n"
		"Tasks that tasks started are not in it. Times are UTC; the duration is that of the last\n"
		"attempt, and empty while the task has not finished.",
	.options = list_options,
	.more = "Examples:\n"
			"  stent list\n"
			"  stent list --state=failed --function=resize -n 100\n"
			"  stent list --json | jq '.[] | select(.attempt > 1) | .id'"};

static const char *
state_colour(const char *state)
{
	if (strcmp(state, "completed") == 0)
		return "32";
	if (strcmp(state, "failed") == 0 || strcmp(state, "timed_out") == 0)
		return "31";
	if (strcmp(state, "running") == 0)
		return "36";
	if (strcmp(state, "cancelled") == 0)
		return "33";
	return NULL;
}

static const TableColumn columns[] = {{"id", true, NULL},        {"state", false, state_colour},
									  {"function", false, NULL}, {"queue", false, NULL},
									  {"attempt", true, NULL},   {"created", false, NULL},
									  {"duration", true, NULL}};

#define N_COLUMNS ((int) (sizeof(columns) / sizeof(columns[0])))

static void
print_table(const json_t *rows)
{
	Table *table = table_new(columns, N_COLUMNS);
	const json_t *row;
	size_t i;

	json_array_foreach((json_t *) rows, i, row)
	{
		char id[24];
		char attempt[24];
		char created[DISPLAY_TIME_SIZE];
		char duration[DISPLAY_TIME_SIZE];
		const char *cells[N_COLUMNS] = {id,
										cli_json_text(row, "state"),
										cli_json_text(row, "function"),
										cli_json_text(row, "queue"),
										attempt,
										display_moment(cli_json_text(row, "created_at"), created),
										display_between(cli_json_text(row, "started_at"),
														cli_json_text(row, "finished_at"),
														duration)};

		snprintf(id, sizeof(id), "%" JSON_INTEGER_FORMAT,
				 json_integer_value(json_object_get(row, "id")));
		snprintf(attempt, sizeof(attempt), "%" JSON_INTEGER_FORMAT,
				 json_integer_value(json_object_get(row, "attempt")));
		table_add(table, cells);
	}
	table_print(table, stdout, table_colours(stdout));
	table_free(table);
}

static void
print_json(const json_t *rows)
{
	cli_json_print(stdout, rows, false);
	putchar('\n');
}

/* A state that does not exist would silently match nothing. */
static bool
is_state(const Options *options, const char *state)
{
	const char *nearest;

	for (int i = 0; i < N_STATES; i++)
		if (strcmp(state, states[i]) == 0)
			return true;
	nearest = help_nearest(state, states, N_STATES);
	if (nearest)
		options_problem(options, "--state: unknown state \"%s\"; is %s meant?", state, nearest);
	else
		options_problem(options, "--state: unknown state \"%s\"", state);
	return false;
}

int
list_main(int argc, char **argv)
{
	Options options;
	const char *argument;
	const char *state = NULL;
	const char *function = NULL;
	const char *queue = NULL;
	int limit = USUAL_LIMIT;
	bool as_json = false;
	bool ok = true;
	StentConn *conn = NULL;
	StentError error;
	json_t *rows = NULL;
	ExitCode exit_code = EXIT_USAGE;
	int key = OPTIONS_END;

	options_begin(&options, &list_page, argc, argv);
	while (ok && (key = options_next(&options, &argument)) > 0)
	{
		if (key == 's')
			ok = is_state(&options, state = argument);
		else if (key == 'f')
			function = argument;
		else if (key == 'q')
			queue = argument;
		else if (key == 'n')
			ok = options_integer(&options, "--limit", argument, 0, 1000000, &limit);
		else
			as_json = true;
	}
	if (key == OPTIONS_STOP)
		exit_code = options.exit_code;
	else if (ok && options.n_operands > 0)
		options_problem(&options, "\"%s\" is too much: tasks are chosen by options",
						options.operands[0]);
	else if (ok && (conn = cli_connect(&options, &exit_code)))
	{
		if (stent_list(conn, state, function, queue, limit, &rows, &error) != STENT_OK)
			exit_code = cli_failure(&options, NULL, &error);
		else
		{
			(as_json ? print_json : print_table)(rows);
			exit_code = EXIT_DONE;
		}
	}
	json_decref(rows);
	exit_code = cli_leave(&options, conn, exit_code);
	options_end(&options);
	return exit_code;
}
