/*
 * log.h
 *	  The worker's log: one line an event, to standard error, for people or for machines.
 *
 * A line is a message and fields: the message never varies, what varies is in fields, so
 * that lines can be counted by their message and selected by a field.
 */
#ifndef STENT_WORKER_LOG_H
#define STENT_WORKER_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "stent.h"

typedef enum LogLevel
{
	LOG_DEBUG,
	LOG_INFO,
	LOG_WARN,
	LOG_ERROR,
	LOG_ASKED /* somebody asked for it: always written, as info */
} LogLevel;

typedef enum LogFormat
{
	LOG_TEXT, /* time=... level=info msg="..." key=value */
	LOG_JSON  /* an object a line */
} LogFormat;

typedef struct LogField
{
	const char *key; /* NULL: nothing */
	enum
	{
		LOG_FIELD_TEXT,
		LOG_FIELD_INTEGER,
		LOG_FIELD_NUMBER
	} kind;
	const char *text; /* NULL: the field is left out */
	int64_t integer;
	double number;
} LogField;

/* clang-format off */
#define LOG_STR(name, value) {.key = (name), .kind = LOG_FIELD_TEXT, .text = (value)}
#define LOG_INT(name, value) {.key = (name), .kind = LOG_FIELD_INTEGER, .integer = (value)}
#define LOG_NUM(name, value) {.key = (name), .kind = LOG_FIELD_NUMBER, .number = (value)}
#define LOG_NOTHING {.key = NULL}
/* what a StentError says; it must not be NULL */
#define LOG_PROBLEM(error) LOG_STR("error", (error)->message), \
		LOG_STR("code", (error)->code[0] ? (error)->code : NULL), \
		LOG_STR("detail", (error)->detail[0] ? (error)->detail : NULL), \
		LOG_STR("hint", (error)->hint[0] ? (error)->hint : NULL)
/* clang-format on */

#define LOG_FIELDS(...)              \
	(const LogField[]){__VA_ARGS__}, \
		(int) (sizeof((const LogField[]){__VA_ARGS__}) / sizeof(LogField))
#define log_debug(message, ...) log_event(LOG_DEBUG, message, LOG_FIELDS(__VA_ARGS__))
#define log_info(message, ...) log_event(LOG_INFO, message, LOG_FIELDS(__VA_ARGS__))
#define log_warn(message, ...) log_event(LOG_WARN, message, LOG_FIELDS(__VA_ARGS__))
#define log_error(message, ...) log_event(LOG_ERROR, message, LOG_FIELDS(__VA_ARGS__))

extern void log_set_level(LogLevel level);
extern void log_set_format(LogFormat format);
extern bool log_level_parse(const char *name, LogLevel *level);
extern const char *log_level_name(LogLevel level);
extern bool log_wants(LogLevel level);

/* Writes one line, if the level is wanted. A line that cannot be written is dropped. */
extern void log_event(LogLevel level, const char *message, const LogField *fields, int n);

#endif
