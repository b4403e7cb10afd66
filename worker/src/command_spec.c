/*
 * command_spec.c
 *	  Reads what the configuration says of a function served by a command.
 *
 * All that can be wrong is told here, before any task comes, with the name of the key.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"

#define RESULT_FD_MIN 3
#define RESULT_FD_MAX 255
#define DEFAULT_GRACE 5.0
#define DEFAULT_RESULT_LIMIT (16 * 1024 * 1024)
#define MAX_RESULT_LIMIT (1024 * 1024 * 1024)
#define MAX_SECONDS (10.0 * 365 * 86400)

/* The index of a word in a list of n, or -1. */
static int
find_word(const char *word, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n && word; i++)
	{
		if (strcmp(word, words[i]) == 0)
			return (int) i;
	}
	return -1;
}

static bool
read_command(CommandSpec *spec, const json_t *json, char *problem, size_t size)
{
	size_t n = json_array_size(json);

	if (n == 0)
	{
		snprintf(problem, size, "\"command\" must be a list of texts, the program first");
		return false;
	}
	spec->args = calloc(n, sizeof(Template *));
	if (!spec->args)
	{
		snprintf(problem, size, "out of memory");
		return false;
	}
	for (size_t i = 0; i < n; i++)
	{
		const char *text = json_string_value(json_array_get(json, i));
		char reason[256];

		if (!text || (i == 0 && !*text))
		{
			snprintf(problem, size, "\"command\": element %zu must be a text%s", i + 1,
					 i == 0 ? ", the program" : "");
			return false;
		}
		spec->args[i] = template_new(text, reason, sizeof(reason));
		if (!spec->args[i])
		{
			snprintf(problem, size, "\"command\": %s", reason);
			return false;
		}
		spec->n_args++;
	}
	/* a task is data: it does not choose what is run */
	if (!template_is_plain(spec->args[0]))
	{
		snprintf(problem, size, "\"command\": the program cannot come from the task");
		return false;
	}
	return true;
}

static bool
read_stdin(CommandSpec *spec, const json_t *json, char *problem, size_t size)
{
	static const char *const words[] = {"args", "task", "none"};
	int found = find_word(json_string_value(json), words, 3);

	if (found >= 0)
		spec->input = (CommandInput) found;
	else
		snprintf(problem, size, "\"stdin\" must be \"args\", \"task\" or \"none\"");
	return found >= 0;
}

/* Reads {"fd": 3, "envelope": true}. */
static bool
read_result_fd(CommandSpec *spec, const json_t *json, char *problem, size_t size)
{
	json_t *fd = json_object_get(json, "fd");
	json_t *envelope = json_object_get(json, "envelope");
	size_t known = (fd != NULL) + (size_t) (envelope != NULL);

	if (!json_is_integer(fd) || json_integer_value(fd) < RESULT_FD_MIN ||
		json_integer_value(fd) > RESULT_FD_MAX)
	{
		snprintf(problem, size, "\"result\": \"fd\" must be a number from %d to %d", RESULT_FD_MIN,
				 RESULT_FD_MAX);
		return false;
	}
	if ((envelope && !json_is_boolean(envelope)) || json_object_size(json) != known)
	{
		snprintf(problem, size,
				 "\"result\" may have \"fd\" and \"envelope\" (true or false), nothing else");
		return false;
	}
	spec->result = COMMAND_RESULT_FD;
	spec->result_fd = (int) json_integer_value(fd);
	spec->envelope = json_is_true(envelope);
	return true;
}

static bool
read_result(CommandSpec *spec, const json_t *json, char *problem, size_t size)
{
	static const char *const words[] = {"stdout", "text", "none"};
	int found = find_word(json_string_value(json), words, 3);

	if (json_is_object(json))
		return read_result_fd(spec, json, problem, size);
	if (found >= 0)
		spec->result = (CommandResult) found;
	else
		snprintf(problem, size,
				 "\"result\" must be \"stdout\", \"text\", \"none\" or {\"fd\": number}");
	return found >= 0;
}

/* Reads a duration, longer than nothing unless zero is allowed. */
static bool
read_duration(double *seconds, const json_t *json, const char *key, bool zero, char *problem,
			  size_t size)
{
	const char *text = json_string_value(json);

	if (text && stent_duration_parse(text, seconds) && *seconds >= 0 && (zero || *seconds > 0) &&
		*seconds <= MAX_SECONDS)
		return true;
	snprintf(problem, size, "\"%s\" must be a duration%s, such as \"30s\"", key,
			 zero ? "" : " longer than none");
	return false;
}

static bool
read_timeout(CommandSpec *spec, const json_t *json, char *problem, size_t size)
{
	return read_duration(&spec->timeout, json, "timeout", false, problem, size);
}

static bool
read_grace(CommandSpec *spec, const json_t *json, char *problem, size_t size)
{
	return read_duration(&spec->grace, json, "grace", true, problem, size);
}

static bool
read_cwd(CommandSpec *spec, const json_t *json, char *problem, size_t size)
{
	const char *text = json_string_value(json);

	if (!text || *text != '/')
	{
		snprintf(problem, size, "\"cwd\" must be an absolute path");
		return false;
	}
	spec->cwd = strdup(text);
	if (!spec->cwd)
		snprintf(problem, size, "out of memory");
	return spec->cwd != NULL;
}

static bool
read_umask(CommandSpec *spec, const json_t *json, char *problem, size_t size)
{
	const char *text = json_string_value(json);

	if (!text || !*text || strlen(text) > 4 || strspn(text, "01234567") != strlen(text) ||
		strtol(text, NULL, 8) > 0777)
	{
		snprintf(problem, size, "\"umask\" must be a text of octal digits, such as \"027\"");
		return false;
	}
	spec->umask = (int) strtol(text, NULL, 8);
	return true;
}

static bool
read_output(CommandSpec *spec, const json_t *json, char *problem, size_t size)
{
	spec->output = json_is_true(json);
	if (!json_is_boolean(json))
		snprintf(problem, size, "\"output\" must be true or false");
	return json_is_boolean(json);
}

/* Checked only; the environment is taken over at the end of all, when "env" is known. */
static bool
read_clear_env(CommandSpec *spec, const json_t *json, char *problem, size_t size)
{
	(void) spec;
	if (!json_is_boolean(json))
		snprintf(problem, size, "\"clear_env\" must be true or false");
	return json_is_boolean(json);
}

static bool
read_result_limit(CommandSpec *spec, const json_t *json, char *problem, size_t size)
{
	static const char *const units[] = {"B", "kB", "MB", "GB"};
	const char *text = json_string_value(json);
	double bytes = (double) json_integer_value(json);

	if (text && *text >= '0' && *text <= '9')
	{
		char *end;
		int unit;

		bytes = strtod(text, &end);
		unit = find_word(end + strspn(end, " "), units, 4);
		for (int i = 0; i < unit; i++)
			bytes *= 1024;
		if (unit < 0)
			bytes = 0;
	}
	if (!(bytes >= 1 && bytes <= MAX_RESULT_LIMIT))
	{
		snprintf(problem, size, "\"result_limit\" must be a size from 1B to 1GB, such as \"16MB\"");
		return false;
	}
	spec->result_limit = (size_t) bytes;
	return true;
}

/* The pool's, which has read it. */
static bool
read_slots(CommandSpec *spec, const json_t *json, char *problem, size_t size)
{
	(void) spec;
	(void) json;
	(void) problem;
	(void) size;
	return true;
}

static const struct
{
	const char *key;
	bool (*read)(CommandSpec *spec, const json_t *json, char *problem, size_t size);
} settings[] = {
	{"command", read_command},
	{"stdin", read_stdin},
	{"result", read_result},
	{"timeout", read_timeout},
	{"grace", read_grace},
	{"env", command_env_read},
	{"clear_env", read_clear_env},
	{"cwd", read_cwd},
	{"umask", read_umask},
	{"output", read_output},
	{"result_limit", read_result_limit},
	{"slots", read_slots},
};

/* Reads one key with its value. */
static bool
read_setting(CommandSpec *spec, const char *key, const json_t *value, char *problem, size_t size)
{
	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
	{
		if (strcmp(key, settings[i].key) == 0)
			return settings[i].read(spec, value, problem, size);
	}
	snprintf(problem, size, "unknown key \"%s\"", key);
	return false;
}

HandlerSpec *
command_spec_new(const char *function, json_t *json, char *problem, size_t size)
{
	CommandSpec *spec = calloc(1, sizeof(CommandSpec));
	const char *key;
	json_t *value;
	bool good = spec != NULL;

	(void) function;
	snprintf(problem, size, "out of memory");
	if (!spec)
		return NULL;
	*spec = (CommandSpec){.base = {&command_kind},
						  .result_fd = -1,
						  .output = true,
						  .timeout = -1,
						  .grace = DEFAULT_GRACE,
						  .umask = -1,
						  .result_limit = DEFAULT_RESULT_LIMIT};
	json_object_foreach(json, key, value)
	{
		good = good && read_setting(spec, key, value, problem, size);
	}
	if (good && !json_is_true(json_object_get(json, "clear_env")))
		good = command_env_inherit(spec);
	if (good)
		return &spec->base;
	command_spec_free(&spec->base);
	return NULL;
}

void
command_spec_free(HandlerSpec *handler_spec)
{
	CommandSpec *spec = (CommandSpec *) handler_spec;

	for (size_t i = 0; i < spec->n_args; i++)
		template_free(spec->args[i]);
	free(spec->args);
	for (size_t i = 0; i < spec->n_variables; i++)
	{
		free(spec->variables[i].name);
		template_free(spec->variables[i].value);
	}
	free(spec->variables);
	for (size_t i = 0; i < spec->n_inherited; i++)
		free(spec->inherited[i]);
	free(spec->inherited);
	free(spec->cwd);
	free(spec);
}
