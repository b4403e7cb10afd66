/*
 * options_json.h
 *	  The options of a new task, given as keys of a JSON object.
 */
#ifndef STENT_OPTIONS_JSON_H
#define STENT_OPTIONS_JSON_H

#include "postgres.h"

#include "dispatch.h"
#include "json_keys.h"

/* What options_json_read looks for, for lists of known keys. */
#define OPTIONS_JSON_KEYS \
	"function", "queue", "priority", "tags", "delay", "run_at", "timeout", "retry", "headers"

/* What was given, and what it points to. */
typedef struct JsonOptions
{
	GivenOptions given;
	int32 priority;
	Timestamp run_at;
} JsonOptions;

extern void options_json_read(const JsonKeys *keys, JsonOptions *options);
extern char *options_json_key(const JsonKeys *keys, const char *key);

#endif
