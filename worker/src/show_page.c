/*
 * show_page.c
 *	  A task on a page: what "stent show" prints for people.
 *
 * Sections with nothing in them are left out. Long values are cut; --json has them whole.
 */
#include "show.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "cli_json.h"
#include "options.h"
#include "table.h"
#include "display.h"

/* What a value may take of a line, in bytes. */
#define MOST_OF_VALUE 300

/* A value on one line, clean and cut, malloc'ed. Texts as they are, if plain. */
static char *
value_text(const json_t *value, bool plain)
{
	char *text = NULL;
	size_t size = 0;
	char *clean;
	FILE *memory;

	if (plain && json_is_string(value))
		return display_clean(json_string_value(value), json_string_length(value), false);
	memory = open_memstream(&text, &size);
	if (!memory)
		return options_allocate(1);
	cli_json_print(memory, value, false);
	fclose(memory);
	if (size > MOST_OF_VALUE)
	{
		static const char more[] = " ... (--json has all)";

		size = MOST_OF_VALUE;
		while (size > 0 && (text[size] & 0xC0) == 0x80)
			size--; /* not in the middle of a character */
		text = realloc(text, size + sizeof(more));
		if (!text)
			return options_allocate(1);
		memcpy(text + size, more, sizeof(more));
		size += sizeof(more) - 1;
	}
	clean = display_clean(text, size, false);
	free(text);
	return clean;
}

static void
print_field(FILE *out, const char *name, const char *text)
{
	fprintf(out, "  %-17s%s\n", name, text);
}

/* A field of an object on a line of its own, unless it is missing, null or empty. */
static void
print_value(FILE *out, const json_t *object, const char *key, const char *name)
{
	const json_t *value = json_object_get(object, key);
	char *text;

	if (!value || json_is_null(value) || (json_is_object(value) && json_object_size(value) == 0) ||
		(json_is_array(value) && json_array_size(value) == 0))
		return;
	text = value_text(value, true);
	print_field(out, name, text);
	free(text);
}

static void
print_moment(FILE *out, const json_t *task, const char *key, const char *name)
{
	char moment[DISPLAY_TIME_SIZE];

	if (display_moment(cli_json_text(task, key), moment)[0])
		print_field(out, name, moment);
}

static json_int_t
integer_of(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static void
print_head(FILE *out, const json_t *task)
{
	char *function = value_text(json_object_get(task, "function"), true);
	json_int_t id = integer_of(task, "id");
	const char *state = cli_json_text(task, "state");

	fprintf(out, "task %" JSON_INTEGER_FORMAT ": %s, %s\n", id, function, state ? state : "");
	free(function);
	if (integer_of(task, "execution_id") != id)
	{
		print_value(out, task, "execution_id", "execution");
		print_value(out, task, "parent_id", "parent");
	}
	print_value(out, task, "queue", "queue");
	print_value(out, task, "priority", "priority");
	print_value(out, task, "tags", "tags");
	print_value(out, task, "role", "role");
	print_value(out, task, "args", "args");
	print_value(out, task, "headers", "headers");
	print_value(out, task, "dedup_key", "dedup key");
	print_value(out, task, "idempotency_key", "idempotency key");
	print_value(out, task, "concurrency_key", "concurrency key");
	if (integer_of(task, "live_children") > 0)
		print_value(out, task, "live_children", "live children");
	if (integer_of(task, "live_tasks") > 1)
		print_value(out, task, "live_tasks", "live in execution");
}

static void
print_times(FILE *out, const json_t *task)
{
	char ran[DISPLAY_TIME_SIZE];

	fputs("times (UTC)\n", out);
	print_moment(out, task, "created_at", "created");
	print_moment(out, task, "due_at", "due");
	print_moment(out, task, "started_at", "started");
	print_moment(out, task, "finished_at", "finished");
	if (display_between(cli_json_text(task, "started_at"), cli_json_text(task, "finished_at"),
						ran)[0])
		print_field(out, "ran for", ran);
	print_moment(out, task, "deadline", "to end before");
	print_value(out, task, "timeout", "attempt timeout");
}

/* "P0001: message" of an error object, clean, malloc'ed. */
static char *
error_text(const json_t *error)
{
	const char *code = cli_json_text(error, "code");
	const char *message = cli_json_text(error, "message");
	size_t size = (code ? strlen(code) : 0) + (message ? strlen(message) : 0) + 16;
	char *text = options_allocate(size);
	char *clean;

	snprintf(text, size, "%s%s%s", code ? code : "", code ? ": " : "",
			 message ? message : "no message");
	clean = display_clean(text, strlen(text), false);
	free(text);
	return clean;
}

static void
print_attempts(FILE *out, const json_t *task)
{
	static const TableColumn columns[] = {{"  attempt", true, NULL},
										  {"started", false, NULL},
										  {"ran for", true, NULL},
										  {"error", false, NULL}};
	const json_t *attempts = json_object_get(task, "attempts");
	json_int_t replays = integer_of(task, "replays");
	const json_t *attempt;
	Table *table;
	size_t i;

	fprintf(out, "attempts: %" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT,
			integer_of(task, "attempt"), integer_of(task, "max_attempts"));
	if (replays > 0)
		fprintf(out, ", replayed %" JSON_INTEGER_FORMAT " times", replays);
	putc('\n', out);
	if (json_array_size(attempts) == 0)
		return;
	table = table_new(columns, 4);
	json_array_foreach((json_t *) attempts, i, attempt)
	{
		char number[48];
		char started[DISPLAY_TIME_SIZE];
		char ran[DISPLAY_TIME_SIZE];
		char *error = error_text(json_object_get(attempt, "error"));
		const char *begin = cli_json_text(attempt, "started_at");
		const char *cells[] = {number, display_moment(begin, started),
							   display_between(begin, cli_json_text(attempt, "finished_at"), ran),
							   error};

		snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, integer_of(attempt, "attempt"));
		table_add(table, cells);
		free(error);
	}
	table_print(table, out, false);
	table_free(table);
}

static void
print_progress(FILE *out, const json_t *progress)
{
	const json_t *entry;
	size_t i;

	if (json_array_size(progress) == 0)
		return;
	fputs("progress of the execution\n", out);
	json_array_foreach((json_t *) progress, i, entry)
	{
		const json_t *detail = json_object_get(entry, "detail");
		const char *status = cli_json_text(entry, "status");
		char at[DISPLAY_TIME_SIZE];
		char *step = value_text(json_object_get(entry, "step"), true);
		char *text = detail && !json_is_null(detail) ? value_text(detail, false) : NULL;
		bool told = status && strcmp(status, "progress") == 0;

		fprintf(out, "  %s  %s%s%s%s%s\n", display_moment(cli_json_text(entry, "at"), at), step,
				told || !status ? "" : ": ", told || !status ? "" : status, text ? "  " : "",
				text ? text : "");
		free(step);
		free(text);
	}
}

/* An object's fields, as the server orders them. */
static void
print_object(FILE *out, const char *title, const json_t *object)
{
	const char *key;
	json_t *value;

	if (json_object_size(object) == 0)
		return;
	fprintf(out, "%s\n", title);
	json_object_foreach((json_t *) object, key, value)
	{
		char *name = display_clean(key, strlen(key), false);
		char *text = value_text(value, false);

		fprintf(out, "  %-17s%s%s\n", name, strlen(name) >= 17 ? " " : "", text);
		free(name);
		free(text);
	}
}

static void
print_signals(FILE *out, const json_t *signals)
{
	const char *key;
	json_t *signal;

	if (json_object_size(signals) == 0)
		return;
	fputs("signals of the execution\n", out);
	json_object_foreach((json_t *) signals, key, signal)
	{
		char at[DISPLAY_TIME_SIZE];
		char *name = display_clean(key, strlen(key), false);
		char *text = value_text(json_object_get(signal, "payload"), false);

		fprintf(out, "  %s  %s  %s\n", display_moment(cli_json_text(signal, "sent_at"), at), name,
				text);
		free(name);
		free(text);
	}
}

/* How it ended, or its latest error. */
static void
print_end(FILE *out, const json_t *task)
{
	const json_t *error = json_object_get(task, "error");
	const char *state = cli_json_text(task, "state");

	if (json_is_object(error))
	{
		char *text = error_text(error);

		fprintf(out, "error\n  %s\n", text);
		free(text);
		print_value(out, error, "detail", "detail");
		print_value(out, error, "hint", "hint");
	}
	else if (state && strcmp(state, "completed") == 0)
	{
		char *text = value_text(json_object_get(task, "result"), false);

		fprintf(out, "result\n  %s\n", text);
		free(text);
	}
}

void
show_page(FILE *out, const json_t *task, const json_t *progress, const char *why)
{
	print_head(out, task);
	if (why)
	{
		char *text = display_clean(why, strlen(why), false);

		fprintf(out, "why it is where it is\n  %s\n", text);
		free(text);
	}
	print_times(out, task);
	print_attempts(out, task);
	print_progress(out, progress);
	print_object(out, "counters of the execution", json_object_get(task, "counters"));
	print_object(out, "context of the execution", json_object_get(task, "context"));
	print_signals(out, json_object_get(task, "signals"));
	print_end(out, task);
}

void
show_tree(FILE *out, const json_t *lines)
{
	const json_t *line;
	size_t i;

	if (json_array_size(lines) < 2)
		return;
	fputs("steps and tasks below it\n", out);
	json_array_foreach((json_t *) lines, i, line)
	{
		char *text = value_text(line, true);

		fprintf(out, "  %s\n", text);
		free(text);
	}
}
