/*
 * options_json.c
 *	  The options of a new task, given as keys of a JSON object.
 *
 * Only their types are looked at here: dispatch.c checks them as it checks those of
 * dispatch() and spawn().
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "options_json.h"

static text *
read_text(const JsonKeys *keys, const char *key)
{
	char *string = json_keys_string(keys, key);

	return string == NULL ? NULL : cstring_to_text(string);
}

/* Read the options of a child; what it is called with is left to the reader. */
void
options_json_read(const JsonKeys *keys, JsonOptions *options)
{
	GivenOptions *given = &options->given;
	int64 priority;

	memset(options, 0, sizeof(*options));
	given->function = read_text(keys, "function");
	if (given->function == NULL)
		json_keys_missing(keys, "function");
	given->queue = read_text(keys, "queue");
	if (json_keys_integer(keys, "priority", PRIORITY_MIN, PRIORITY_MAX, &priority))
	{
		options->priority = (int32) priority;
		given->priority = &options->priority;
	}
	given->tags = json_keys_strings(keys, "tags");
	given->delay = json_keys_interval(keys, "delay");
	if (json_keys_time(keys, "run_at", &options->run_at))
		given->run_at = &options->run_at;
	given->timeout = json_keys_interval(keys, "timeout");
	given->retry = json_keys_object(keys, "retry");
	given->headers = json_keys_object(keys, "headers");
}

/* One of the caller's own keys, or NULL. */
char *
options_json_key(const JsonKeys *keys, const char *key)
{
	char *value = json_keys_string(keys, key);

	return value == NULL ? NULL : dispatch_check_key(value, key);
}
