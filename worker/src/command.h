/*
 * command.h
 *	  What the files of the command handler share: the configuration of a command.
 */
#ifndef STENT_WORKER_COMMAND_H
#define STENT_WORKER_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

#include "handler_kind.h"
#include "template.h"

/* How much of stderr goes into an error object. */
#define COMMAND_STDERR_KEPT 2048

/* What the command reads on its stdin. */
typedef enum CommandInput
{
	COMMAND_INPUT_ARGS,
	COMMAND_INPUT_TASK,
	COMMAND_INPUT_NONE
} CommandInput;

/* Where the result comes from. */
typedef enum CommandResult
{
	COMMAND_RESULT_STDOUT,
	COMMAND_RESULT_TEXT,
	COMMAND_RESULT_NONE,
	COMMAND_RESULT_FD
} CommandResult;

typedef struct CommandVariable
{
	char *name; /* with a "=" behind it */
	Template *value;
} CommandVariable;

/* A function's configuration, checked, with defaults filled in. */
typedef struct CommandSpec
{
	HandlerSpec base;
	Template **args; /* the program first, which is plain */
	size_t n_args;
	CommandInput input;
	CommandResult result;
	int result_fd; /* < 0: none */
	bool envelope;
	bool output;
	double timeout; /* seconds; < 0: none */
	double grace;
	CommandVariable *variables;
	size_t n_variables;
	char **inherited; /* "NAME=value" of the worker's environment, those the command gets */
	size_t n_inherited;
	char *cwd; /* NULL: the worker's */
	int umask; /* < 0: the worker's */
	size_t result_limit;
} CommandSpec;

extern HandlerSpec *command_spec_new(const char *function, json_t *json, char *problem,
									 size_t size);
extern void command_spec_free(HandlerSpec *handler_spec);

/* What one task's command is started with. */
typedef struct CommandLine
{
	char **argv;
	char **envp;
	size_t n_own; /* the first entries of envp, which are freed with it */
	char *input;  /* NULL: nothing */
	size_t input_size;
} CommandLine;

/*
 * Fills in a task. TEMPLATE_MISSING, TEMPLATE_NUL: the reason is in problem. Whatever it
 * returns, command_line_free() follows.
 */
extern TemplateStatus command_line_make(CommandLine *line, const CommandSpec *spec,
										const StentTask *task, char *problem, size_t size);
extern void command_line_free(CommandLine *line);

/* command_env.c: reads "env"; keeps what is inherited of the worker's, false for want of memory; */
extern bool command_env_read(CommandSpec *spec, const json_t *json, char *problem, size_t size);
extern bool command_env_inherit(CommandSpec *spec);
/* and makes a task's envp. */
extern TemplateStatus command_env_make(CommandLine *line, const CommandSpec *spec,
									   const StentTask *task, char *problem, size_t size);

/* What is known of a command that has ended by itself, or was stopped. */
typedef struct CommandEnd
{
	int status;         /* waitpid()'s */
	const char *result; /* what it wrote where the result is expected */
	size_t result_size;
	const char *messages; /* the end of its stderr, at most COMMAND_STDERR_KEPT bytes */
	size_t messages_size;
} CommandEnd;

/*
 * Makes the end of a run by what its command did; returns whether result was of use, as
 * the result or as the error.
 */
extern bool command_end(const CommandSpec *spec, const CommandEnd *from, RunEnd *end);
/* The same for a command that was stopped: a failure with this code and message, final: never to be retried. */
extern void command_end_stopped(const CommandEnd *from, const char *code, const char *message,
								bool final, RunEnd *end);
/* A failure before there was a command. */
extern json_t *command_error(const char *code, const char *message, bool final);

#endif
