/*
 * log.c
 *	  Writes the worker's log to standard error, one write() a line.
 *
 * A line is built in a buffer of fixed size and cut if it does not fit: logging needs no
 * memory, so it also works when there is none. Rotating and keeping logs is left to who
 * reads standard error.
 */
#include "log.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_LENGTH 8192

typedef struct Line
{
	char data[LINE_LENGTH];
	size_t used;
} Line;

static const char *const level_names[] = {"debug", "info", "warn", "error", "info"};
static LogLevel wanted_level = LOG_INFO;
static LogFormat wanted_format = LOG_TEXT;

void
log_set_level(LogLevel level)
{
	wanted_level = level;
}

void
log_set_format(LogFormat format)
{
	wanted_format = format;
}

bool
log_level_parse(const char *name, LogLevel *level)
{
	for (int i = LOG_DEBUG; i <= LOG_ERROR; i++)
	{
		if (strcmp(name, level_names[i]) == 0)
		{
			*level = (LogLevel) i;
			return true;
		}
	}
	return false;
}

const char *
log_level_name(LogLevel level)
{
	return level_names[level];
}

bool
log_wants(LogLevel level)
{
	return level >= wanted_level;
}

/* Adds bytes; what does not fit is dropped, with room left for the line's end. */
static void
line_add(Line *line, const char *text, size_t length)
{
	size_t room = sizeof(line->data) - 8 - line->used;

	if (length > room)
		length = room;
	memcpy(line->data + line->used, text, length);
	line->used += length;
}

static void
line_text(Line *line, const char *text)
{
	line_add(line, text, strlen(text));
}

/* A text in quotes, escaped as JSON asks; the text format uses the same. */
static void
line_quoted(Line *line, const char *text)
{
	line_text(line, "\"");
	for (const unsigned char *p = (const unsigned char *) text; *p != '\0'; p++)
	{
		char escape[8];

		if (line->used > sizeof(line->data) - 24)
			break;
		if (*p == '"' || *p == '\\')
			snprintf(escape, sizeof(escape), "\\%c", *p);
		else if (*p == '\n')
			snprintf(escape, sizeof(escape), "\\n");
		else if (*p == '\t')
			snprintf(escape, sizeof(escape), "\\t");
		else if (*p < 0x20 || *p == 0x7f)
			snprintf(escape, sizeof(escape), "\\u%04x", *p);
		else
			snprintf(escape, sizeof(escape), "%c", *p);
		line_text(line, escape);
	}
	line_text(line, "\"");
}

/* Does a value need no quotes in key=value? */
static bool
is_bare(const char *text)
{
	if (text[0] == '\0')
		return false;
	for (const char *p = text; *p != '\0'; p++)
	{
		if ((unsigned char) *p <= ' ' || *p == '"' || *p == '=' || *p == '\\' || *p == 0x7f)
			return false;
	}
	return true;
}

static void
line_field(Line *line, const LogField *field)
{
	bool json = wanted_format == LOG_JSON;
	char number[40];

	if (field->key == NULL || (field->kind == LOG_FIELD_TEXT && field->text == NULL))
		return;
	/* a field that is begun must fit as far as its value is a value */
	if (line->used > sizeof(line->data) - 256)
		return;
	line_text(line, json ? ", " : " ");
	if (json)
		line_quoted(line, field->key);
	else
		line_text(line, field->key);
	line_text(line, json ? ": " : "=");
	switch (field->kind)
	{
		case LOG_FIELD_TEXT:
			if (!json && is_bare(field->text))
				line_text(line, field->text);
			else
				line_quoted(line, field->text);
			break;
		case LOG_FIELD_INTEGER:
			snprintf(number, sizeof(number), "%lld", (long long) field->integer);
			line_text(line, number);
			break;
		case LOG_FIELD_NUMBER:
			snprintf(number, sizeof(number), "%.3f", field->number);
			line_text(line, number);
			break;
	}
}

void
log_event(LogLevel level, const char *message, const LogField *fields, int n)
{
	Line line = {.used = 0};
	struct timespec now;
	struct tm utc;
	char moment[96];

	if (level < wanted_level)
		return;
	/* for people only: nothing compares with it */
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	snprintf(moment, sizeof(moment), "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ", utc.tm_year + 1900,
			 utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec,
			 now.tv_nsec / 1000000);
	if (wanted_format == LOG_JSON)
	{
		line_text(&line, "{\"time\": ");
		line_quoted(&line, moment);
		line_text(&line, ", \"level\": ");
		line_quoted(&line, level_names[level]);
		line_text(&line, ", \"msg\": ");
	}
	else
	{
		line_text(&line, "time=");
		line_text(&line, moment);
		line_text(&line, " level=");
		line_text(&line, level_names[level]);
		line_text(&line, " msg=");
	}
	line_quoted(&line, message);
	for (int i = 0; i < n; i++)
		line_field(&line, &fields[i]);
	if (wanted_format == LOG_JSON)
		line.data[line.used++] = '}';
	line.data[line.used++] = '\n';
	if (write(STDERR_FILENO, line.data, line.used) < 0)
	{
		/* nobody is left to be told */
	}
}
