/*
 * command_line.c
 *	  What one task's command is started with: its arguments, its stdin.
 *
 * The values of a task are put into arguments and variables as they are; nothing ever
 * reads them as a shell would.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"

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
		status = command_env_make(line, spec, task, problem, size);
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
