/*
 * cli_input.c
 *	  What people give a dispatch: args, pairs, moments.
 *
 * All of it is checked here as far as it can be without the server.
 */
#include "cli_input.h"

#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli_json.h"
#include "stent.h"

bool
input_object(const Options *options, const char *what, const char *text, size_t length,
			 json_t **object)
{
	char problem[512];

	*object = cli_json_read(text, length, problem, sizeof(problem));
	if (json_is_object(*object))
		return true;
	if (*object)
		options_problem(options, "%s: not a JSON object", what);
	else
		options_problem(options, "%s: %s", what, problem);
	json_decref(*object);
	*object = NULL;
	return false;
}

/* Sets KEY=VALUE, or KEY:=JSON, in an object, which is made at need. */
bool
input_pair(const Options *options, const char *what, const char *pair, json_t **object)
{
	const char *equals = strchr(pair, '=');
	bool is_json = equals && equals > pair && equals[-1] == ':';
	size_t length = equals ? (size_t) (equals - pair) - is_json : 0;
	char problem[512];
	char *key;
	json_t *value;
	bool ok = false;

	if (length == 0)
	{
		options_problem(options, "%s: \"%s\" is not KEY=VALUE", what, pair);
		return false;
	}
	key = options_allocate(length + 1);
	memcpy(key, pair, length);
	if (!*object)
		*object = json_object();
	value = is_json ? cli_json_read(equals + 1, strlen(equals + 1), problem, sizeof(problem))
					: json_string(equals + 1);
	if (!value && is_json)
		options_problem(options, "%s %s: %s", what, key, problem);
	else if (json_object_get(*object, key))
		options_problem(options, "%s: \"%s\" is given twice", what, key);
	else if (!value || json_object_set(*object, key, value) != 0)
		options_problem(options, "%s: \"%s\" is not UTF-8", what, pair);
	else
		ok = true;
	json_decref(value);
	free(key);
	return ok;
}

/* A stream up to its end, malloc'ed; NULL: it cannot be read. */
static char *
read_all(FILE *in, size_t *length)
{
	char *text = NULL;
	size_t size = 0;
	FILE *memory = open_memstream(&text, &size);
	char part[8192];
	size_t n;

	if (!memory)
		return NULL;
	while ((n = fread(part, 1, sizeof(part), in)) > 0)
		fwrite(part, 1, n, memory);
	if (fclose(memory) != 0 || ferror(in))
	{
		free(text);
		return NULL;
	}
	*length = size;
	return text;
}

/* ARGS, or - for standard input, to which --arg was added before: they are merged. */
bool
input_args(const Options *options, const char *text, json_t **args)
{
	bool from_stdin = strcmp(text, "-") == 0;
	size_t length = strlen(text);
	char *input = from_stdin ? read_all(stdin, &length) : NULL;
	json_t *object = NULL;
	json_t *value;
	const char *key;
	double seconds;
	bool ok = false;

	if (from_stdin && !input)
		options_problem(options, "cannot read standard input");
	else if (!from_stdin && stent_duration_parse(text, &seconds))
		options_problem(options, "ARGS: \"%s\" is no JSON object; a time to wait is --wait=%s",
						text, text);
	else if (input_object(options, "ARGS", input ? input : text, length, &object))
		ok = true;
	free(input);
	json_object_foreach(*args, key, value)
	{
		if (ok && json_object_get(object, key))
		{
			options_problem(options, "\"%s\" is in ARGS and in --arg", key);
			ok = false;
		}
		if (ok)
			json_object_set(object, key, value);
	}
	if (ok)
	{
		json_decref(*args);
		*args = json_incref(object);
	}
	json_decref(object);
	return ok;
}

/* A time of day with another zone's offset would be taken for UTC. */
bool
input_moment(const Options *options, const char *text)
{
	regex_t form;
	bool ok;

	if (regcomp(
			&form,
			"^[0-9]{4}-[0-9]{2}-[0-9]{2}([ T][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?Z?)?$",
			REG_EXTENDED | REG_NOSUB) != 0)
		return true;
	ok = regexec(&form, text, 0, NULL, 0) == 0;
	regfree(&form);
	if (!ok)
		options_problem(options,
						"--run-at: \"%s\" is not a time in UTC, as \"2026-01-31 12:00\" is", text);
	return ok;
}
