/*
 * command_line.c
 *	  What one task's command is started with: its arguments, its environment, its stdin.
 *
 * The values of a task are put into arguments and variables as they are; nothing ever
 * reads them as a shell would.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"

/* The variables that tell a command of its task. */
#define OWN_VARIABLES 5

/* Fills in the arguments. */
static TemplateStatus
make_argv(CommandLine *line, const CommandSpec *spec, const StentTask *task, char *problem,
		  size_t size)
{
	line->argv = calloc(spec->n_args + 1, sizeof(char *));
	if (!line->argv)
		return TEMPLATE_NO_MEMORY;
	for (size_t i = 0; i < spec->n_args; i++)
	{
		TemplateStatus status =
			template_expand(spec->args[i], "", task, &line->argv[i], problem, size);

		if (status != TEMPLATE_OK)
			return status;
	}
	return TEMPLATE_OK;
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
make_own_variables(char **envp, const CommandSpec *spec, const StentTask *task, char *problem,
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

/* Makes the environment; what the worker's gives is behind the rest, as it is not to be freed. */
static TemplateStatus
make_envp(CommandLine *line, const CommandSpec *spec, const StentTask *task, char *problem,
		  size_t size)
{
	size_t n = spec->n_variables + OWN_VARIABLES - (spec->result_fd < 0);
	TemplateStatus status;

	line->n_own = n;
	line->envp = calloc(n + spec->n_inherited + 1, sizeof(char *));
	if (!line->envp)
		return TEMPLATE_NO_MEMORY;
	status = make_own_variables(line->envp, spec, task, problem, size);
	if (status != TEMPLATE_OK)
		return status;
	for (size_t i = 0; i < spec->n_inherited; i++)
		line->envp[n + i] = spec->inherited[i];
	return TEMPLATE_OK;
}

/* Makes the stdin: one line of JSON. */
static TemplateStatus
make_input(CommandLine *line, const CommandSpec *spec, const StentTask *task)
{
	json_t *json;
	size_t size;

	if (spec->input == COMMAND_INPUT_NONE)
		return TEMPLATE_OK;
	if (spec->input == COMMAND_INPUT_ARGS)
		json = task->args ? json_incref(task->args) : json_null();
	else
		json = json_pack("{sI sI ss si sO? sO?}", "id", (json_int_t) task->id, "execution_id",
						 (json_int_t) task->execution_id, "function", task->function, "attempt",
						 task->attempt, "args", task->args, "headers", task->headers);
	line->input = json ? stent_json_text(json, STENT_JSON_COMPACT) : NULL;
	json_decref(json);
	if (!line->input)
		return TEMPLATE_NO_MEMORY;
	/* a newline in place of the NUL: who reads lines gets a whole one */
	size = strlen(line->input);
	line->input[size] = '\n';
	line->input_size = size + 1;
	return TEMPLATE_OK;
}

TemplateStatus
command_line_make(CommandLine *line, const CommandSpec *spec, const StentTask *task, char *problem,
				  size_t size)
{
	TemplateStatus status;

	*line = (CommandLine){0};
	status = make_argv(line, spec, task, problem, size);
	if (status == TEMPLATE_OK)
		status = make_envp(line, spec, task, problem, size);
	if (status == TEMPLATE_OK)
		status = make_input(line, spec, task);
	return status;
}

void
command_line_free(CommandLine *line)
{
	for (char **arg = line->argv; arg && *arg; arg++)
		free(*arg);
	free(line->argv);
	for (size_t i = 0; line->envp && i < line->n_own; i++)
		free(line->envp[i]);
	free(line->envp);
	free(line->input);
	*line = (CommandLine){0};
}
