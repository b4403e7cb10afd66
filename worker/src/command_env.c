/*
 * command_env.c
 *	  The environment of commands: the worker's, the configured variables, and what tells of the task.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"

/* What a command learns of its task; the configuration cannot set them. */
static const char *const own_variables[] = {"STENT_TASK_ID", "STENT_EXECUTION_ID", "STENT_ATTEMPT",
											"STENT_FUNCTION", "STENT_RESULT_FD"};
#define N_OWN_VARIABLES (sizeof(own_variables) / sizeof(own_variables[0]))

/* Whether a name is one of those. */
static bool
is_own(const char *name, size_t length)
{
	for (size_t i = 0; i < N_OWN_VARIABLES; i++)
	{
		if (strlen(own_variables[i]) == length && memcmp(name, own_variables[i], length) == 0)
			return true;
	}
	return false;
}

bool
command_env_read(CommandSpec *spec, const json_t *json, char *problem, size_t size)
{
	const char *name;
	json_t *value;

	if (!json_is_object(json))
	{
		snprintf(problem, size, "\"env\" must be an object of texts");
		return false;
	}
	spec->variables = calloc(json_object_size(json) + 1, sizeof(CommandVariable));
	if (!spec->variables)
	{
		snprintf(problem, size, "out of memory");
		return false;
	}
	json_object_foreach((json_t *) json, name, value)
	{
		CommandVariable *variable = &spec->variables[spec->n_variables];
		char reason[256];

		if (!*name || strchr(name, '=') || !json_is_string(value))
		{
			snprintf(problem, size, "\"env\": \"%s\" must be a name with a text", name);
			return false;
		}
		if (is_own(name, strlen(name)))
		{
			snprintf(problem, size, "\"env\": %s is set by the worker", name);
			return false;
		}
		spec->n_variables++;
		if (asprintf(&variable->name, "%s=", name) < 0)
		{
			variable->name = NULL;
			snprintf(problem, size, "out of memory");
			return false;
		}
		variable->value = template_new(json_string_value(value), reason, sizeof(reason));
		if (!variable->value)
		{
			snprintf(problem, size, "\"env\": %s: %s", name, reason);
			return false;
		}
	}
	return true;
}

/* Whether a command gets a variable of the worker's environment. */
static bool
is_inherited(const CommandSpec *spec, const char *entry)
{
	for (size_t i = 0; i < spec->n_variables; i++)
	{
		if (strncmp(entry, spec->variables[i].name, strlen(spec->variables[i].name)) == 0)
			return false;
	}
	return !is_own(entry, strcspn(entry, "="));
}

bool
command_env_inherit(CommandSpec *spec)
{
	size_t n = 0;

	while (environ && environ[n])
		n++;
	spec->inherited = calloc(n + 1, sizeof(char *));
	if (!spec->inherited)
		return false;
	for (size_t i = 0; i < n; i++)
	{
		if (!is_inherited(spec, environ[i]))
			continue;
		spec->inherited[spec->n_inherited] = strdup(environ[i]);
		if (!spec->inherited[spec->n_inherited])
			return false;
		spec->n_inherited++;
	}
	return true;
}

/* "NAME=number"; NULL for want of memory. */
static char *
number_variable(const char *name, int64_t number)
{
	char *text;

	return asprintf(&text, "%s=%" PRId64, name, number) < 0 ? NULL : text;
}

/* Fills in the environment: the configured part, then ours. */
static TemplateStatus
make_variables(char **envp, const CommandSpec *spec, const StentTask *task, char *problem,
			   size_t size)
{
	for (size_t i = 0; i < spec->n_variables; i++)
	{
		TemplateStatus status = template_expand(spec->variables[i].value, spec->variables[i].name,
												task, envp++, problem, size);

		if (status != TEMPLATE_OK)
			return status;
	}
	envp[0] = number_variable("STENT_TASK_ID", task->id);
	envp[1] = number_variable("STENT_EXECUTION_ID", task->execution_id);
	envp[2] = number_variable("STENT_ATTEMPT", task->attempt);
	if (asprintf(&envp[3], "STENT_FUNCTION=%s", task->function) < 0)
		envp[3] = NULL;
	if (!envp[0] || !envp[1] || !envp[2] || !envp[3])
		return TEMPLATE_NO_MEMORY;
	if (spec->result_fd >= 0)
	{
		envp[4] = number_variable("STENT_RESULT_FD", spec->result_fd);
		if (!envp[4])
			return TEMPLATE_NO_MEMORY;
	}
	return TEMPLATE_OK;
}

TemplateStatus
command_env_make(CommandLine *line, const CommandSpec *spec, const StentTask *task, char *problem,
				 size_t size)
{
	size_t n = spec->n_variables + N_OWN_VARIABLES - (spec->result_fd < 0);
	TemplateStatus status;

	line->n_own = n; /* what is inherited comes behind them, and is not freed */
	line->envp = calloc(n + spec->n_inherited + 1, sizeof(char *));
	if (!line->envp)
		return TEMPLATE_NO_MEMORY;
	status = make_variables(line->envp, spec, task, problem, size);
	if (status != TEMPLATE_OK)
		return status;
	for (size_t i = 0; i < spec->n_inherited; i++)
		line->envp[n + i] = spec->inherited[i];
	return TEMPLATE_OK;
}
