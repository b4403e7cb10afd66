/*
 * command_end.c
 *	  What the end of a command means: a result, or an error.
 *
 * Exit status 0 with a result that can be read is a success, everything else a failure.
 * Whether a failure is tried again is the policy's decision, stored with the task; an
 * error says "retryable": false only where the same task cannot but fail again.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "command.h"
#include "text.h"

#define CODE_HANDLER_FAILED "ST014"
#define CODE_INVALID_JSON "22P02"
#define CODE_NOT_TEXT "22021"
#define CODE_WRONG_SHAPE "22023"

static const char *const signal_names[] = {
	[SIGHUP] = "HUP",   [SIGINT] = "INT",   [SIGQUIT] = "QUIT", [SIGILL] = "ILL",
	[SIGTRAP] = "TRAP", [SIGABRT] = "ABRT", [SIGBUS] = "BUS",   [SIGFPE] = "FPE",
	[SIGKILL] = "KILL", [SIGUSR1] = "USR1", [SIGSEGV] = "SEGV", [SIGUSR2] = "USR2",
	[SIGPIPE] = "PIPE", [SIGALRM] = "ALRM", [SIGTERM] = "TERM", [SIGXCPU] = "XCPU",
	[SIGXFSZ] = "XFSZ", [SIGSYS] = "SYS",
};

/* The name of a signal, or its number in room. */
static const char *
signal_name(int number, char room[16])
{
	size_t i = (size_t) number;

	if (i < sizeof(signal_names) / sizeof(signal_names[0]) && signal_names[i])
		return signal_names[i];
	snprintf(room, 16, "%d", number);
	return room;
}

json_t *
command_error(const char *code, const char *message, bool final)
{
	json_t *error = json_object();

	json_object_set_new(error, "code", json_string(code));
	json_object_set_new(error, "message", text_json(message, strlen(message)));
	if (final)
		json_object_set_new(error, "retryable", json_false());
	return error;
}

/* Adds what the command did to an error, but for what the command has said itself. */
static void
add_facts(json_t *error, const CommandEnd *from)
{
	json_t *facts = json_object();

	if (WIFSIGNALED(from->status))
	{
		char room[16];
		char name[24];

		snprintf(name, sizeof(name), "SIG%s", signal_name(WTERMSIG(from->status), room));
		json_object_set_new(facts, "signal", json_string(name));
	}
	else
		json_object_set_new(facts, "exit_code", json_integer(WEXITSTATUS(from->status)));
	if (from->messages_size > 0)
		json_object_set_new(
			facts, "stderr",
			text_json_end(from->messages, from->messages_size, COMMAND_STDERR_KEPT));
	json_object_update_missing(error, facts);
	json_decref(facts);
}

/* Makes the end a failure. */
static void
fail(const CommandEnd *from, const char *code, const char *message, const char *hint, RunEnd *end)
{
	*end = (RunEnd){.value = command_error(code, message, false)};
	if (hint)
		json_object_set_new(end->value, "hint", json_string(hint));
	add_facts(end->value, from);
}

void
command_end_stopped(const CommandEnd *from, const char *code, const char *message, bool final,
					RunEnd *end)
{
	*end = (RunEnd){.value = command_error(code, message, final)};
	add_facts(end->value, from);
}

/* The error a failed command names: {"error": {"message": ...}}; NULL: it names none. */
static json_t *
named_error(const CommandEnd *from)
{
	json_t *all = json_loadb(from->result, from->result_size, 0, NULL);
	json_t *error = json_incref(json_object_get(all, "error"));
	json_t *code = json_object_get(error, "code");
	json_t *retryable = json_object_get(error, "retryable");

	json_decref(all);
	if (json_is_string(json_object_get(error, "message")) && (!code || json_is_string(code)) &&
		(!retryable || json_is_boolean(retryable)))
	{
		if (!code)
			json_object_set_new(error, "code", json_string(CODE_HANDLER_FAILED));
		return error;
	}
	json_decref(error);
	return NULL;
}

/* The end of a command with another exit status than 0, or none; whether it named its error. */
static bool
end_failed(const CommandEnd *from, RunEnd *end)
{
	json_t *error = WIFEXITED(from->status) && from->result_size > 0 ? named_error(from) : NULL;
	char message[64];
	char room[16];

	if (error)
	{
		*end = (RunEnd){.value = error};
		add_facts(error, from);
		return true;
	}
	if (WIFSIGNALED(from->status))
		snprintf(message, sizeof(message), "command was killed by signal %d (%s)",
				 WTERMSIG(from->status), signal_name(WTERMSIG(from->status), room));
	else
		snprintf(message, sizeof(message), "command exited with status %d",
				 WEXITSTATUS(from->status));
	fail(from, CODE_HANDLER_FAILED, message, NULL, end);
	return false;
}

/* Whether all values of an object are numbers, integers only if so asked. */
static bool
are_numbers(const json_t *object, bool integers)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *) object, key, value)
	{
		if (!(integers ? json_is_integer(value) : json_is_number(value)))
			return false;
	}
	return json_is_object(object);
}

/* Whether a part of an envelope has the shape stent.complete() wants; it checks the rest. */
static bool
is_effect(const char *key, const json_t *value)
{
	size_t i;
	json_t *step;

	if (strcmp(key, "counters") == 0)
		return are_numbers(value, false);
	if (strcmp(key, "shared") == 0)
		return are_numbers(value, true);
	if (strcmp(key, "context") == 0)
		return json_is_object(value);
	if (strcmp(key, "progress") != 0 || !json_is_array(value))
		return false;
	json_array_foreach(value, i, step)
	{
		if (!json_is_string(json_object_get(step, "step")))
			return false;
	}
	return true;
}

/* Takes an envelope apart into result and effects; false: it is none. Either way it is the caller's no more. */
static bool
open_envelope(json_t *envelope, const CommandEnd *from, RunEnd *end)
{
	json_t *effects = json_object();
	const char *key;
	json_t *value;

	*end = (RunEnd){.succeeded = true, .value = json_null()};
	if (!json_is_object(envelope))
		fail(from, CODE_WRONG_SHAPE, "the envelope is no object", NULL, end);
	json_object_foreach(envelope, key, value)
	{
		if (strcmp(key, "result") == 0)
			end->value = json_incref(value);
		else if (is_effect(key, value))
			json_object_set(effects, key, value);
		else
		{
			char message[128];

			snprintf(message, sizeof(message), "the envelope's \"%.80s\" is not as it must be",
					 key);
			json_decref(end->value);
			fail(from, CODE_WRONG_SHAPE, message,
				 "An envelope has \"result\", \"counters\" (numbers), \"context\" (an object), "
				 "\"shared\" (integers) and \"progress\" (a list of objects with \"step\").",
				 end);
			break;
		}
	}
	json_decref(envelope);
	if (end->succeeded && json_object_size(effects) > 0)
		end->effects = json_incref(effects);
	json_decref(effects);
	return end->succeeded;
}

/* The end of a command whose result is to be JSON. */
static bool
end_json(const CommandSpec *spec, const CommandEnd *from, RunEnd *end)
{
	const char *place = spec->result == COMMAND_RESULT_FD ? "the result descriptor" : "stdout";
	json_error_t error = {0};
	json_t *json = json_loadb(from->result, from->result_size, JSON_DECODE_ANY, &error);
	char message[128];
	size_t blank = 0;

	if (json && spec->envelope)
		return open_envelope(json, from, end);
	if (json)
	{
		*end = (RunEnd){.succeeded = true, .value = json};
		return true;
	}
	while (blank < from->result_size && strchr(" \t\r\n", from->result[blank]) &&
		   from->result[blank])
		blank++;
	if (blank == from->result_size)
	{
		snprintf(message, sizeof(message), "command wrote no result to %s", place);
		fail(from, CODE_INVALID_JSON, message,
			 "It must write one JSON value; for a command without result configure \"result\": "
			 "\"none\".",
			 end);
		return false;
	}
	snprintf(message, sizeof(message), "%s is not valid JSON at byte %d (line %d, column %d)",
			 place, error.position, error.line, error.column);
	fail(from, CODE_INVALID_JSON, message,
		 "It must be one JSON value; \"result\": \"text\" takes stdout as it is.", end);
	json_object_set_new(end->value, "detail", text_json(error.text, strlen(error.text)));
	return false;
}

/* The end of a command whose stdout is a text. */
static bool
end_text(const CommandEnd *from, RunEnd *end)
{
	size_t size = from->result_size;
	size_t invalid = text_invalid_at(from->result, size);
	char message[64];

	if (invalid < size)
	{
		snprintf(message, sizeof(message), "stdout is not text at byte %zu", invalid + 1);
		fail(from, CODE_NOT_TEXT, message, "Text is UTF-8 without NUL.", end);
		return false;
	}
	if (size > 0 && from->result[size - 1] == '\n')
		size--;
	*end = (RunEnd){.succeeded = true, .value = json_stringn(from->result, size)};
	return true;
}

bool
command_end(const CommandSpec *spec, const CommandEnd *from, RunEnd *end)
{
	if (!WIFEXITED(from->status) || WEXITSTATUS(from->status) != 0)
		return end_failed(from, end);
	switch (spec->result)
	{
		case COMMAND_RESULT_NONE:
			*end = (RunEnd){.succeeded = true, .value = json_null()};
			return true;
		case COMMAND_RESULT_TEXT:
			return end_text(from, end);
		case COMMAND_RESULT_STDOUT:
		case COMMAND_RESULT_FD:
			return end_json(spec, from, end);
	}
	return false;
}
