/*
 * command.c
 *	  Runs a task by a command: what it is given, how long it may take, what becomes of its output.
 *
 * A run is in one of three phases: its child is running; its child is over, but output
 * is still to be passed on; it is over, and only the call that says so is left. The child
 * itself is in child.c; what its end means is decided in command_end.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "child.h"
#include "command.h"
#include "loop.h"
#include "text.h"

/* Most of a result that is passed on at once when it turns out to be output. */
#define SPILL_SIZE 65536

/* Why a command does not end by itself. */
typedef enum Stopped
{
	NOT_STOPPED,
	STOPPED_TIMEOUT,
	STOPPED_TIME_LEFT,
	STOPPED_CANCELLED,
	STOPPED_TOO_LARGE,
	STOPPED_NO_MEMORY
} Stopped;

/* The beginning of a character, kept until its other bytes are there. */
typedef struct Carry
{
	char bytes[3];
	size_t n;
} Carry;

typedef struct CommandRun
{
	Run base;
	const CommandSpec *spec;
	RunEvents events;
	void *arg;
	Child *child; /* NULL: it is over, or never was */
	struct event
		*timer; /* until the attempt's time is over; without child, to come back from the loop */
	double timeout;            /* seconds; < 0: none */
	bool timeout_is_execution; /* it is the rest of the execution's time */
	Stopped stopped;
	bool paused;    /* the receiver wants no output now */
	Carry carry[2]; /* of stdout and stderr */
	char *result;
	size_t result_size;
	size_t result_room;
	size_t spilled; /* how much of the result was passed on as output; all: nothing is to be */
	char messages[COMMAND_STDERR_KEPT];
	size_t messages_size;
	RunEnd end;
} CommandRun;

static const char *const stream_names[] = {"stdout", "stderr"};

/* Whether a stream holds the result. */
static bool
is_result(const CommandRun *run, ChildStream stream)
{
	if (stream == CHILD_STDOUT)
		return run->spec->result == COMMAND_RESULT_STDOUT ||
			   run->spec->result == COMMAND_RESULT_TEXT;
	return stream == CHILD_RESULT;
}

/* Lets go of a run without a word. */
static void
run_free(CommandRun *run)
{
	if (run->timer)
		event_free(run->timer);
	free(run->result);
	free(run);
}

/* Says that it is over, once. */
static void
run_over(CommandRun *run)
{
	run->events.ended(&run->base, &run->end, run->arg);
	run_free(run);
}

/* Goes on, or does not, with the streams that are output. */
static void
run_read_output(CommandRun *run, bool wanted)
{
	run->paused = !wanted;
	for (int i = CHILD_STDOUT; i <= CHILD_STDERR && run->child; i++)
	{
		if (!is_result(run, (ChildStream) i))
			child_read(run->child, (ChildStream) i, wanted);
	}
}

/* Passes output on. */
static void
run_pass(CommandRun *run, ChildStream stream, const char *data, size_t size)
{
	if (size > 0 && !run->events.output(&run->base, stream_names[stream], data, size, run->arg))
		run_read_output(run, false);
}

/* Passes on what was read, but no half character: rows of text are to be text, each for itself. */
static void
run_output(CommandRun *run, ChildStream stream, const char *data, size_t size)
{
	static char joined[sizeof(run->carry[0].bytes) + CHILD_READ_SIZE];
	Carry *carry = &run->carry[stream];
	size_t whole;

	if (!run->spec->output)
		return;
	if (carry->n > 0)
	{
		memcpy(joined, carry->bytes, carry->n);
		memcpy(joined + carry->n, data, size);
		data = joined;
		size += carry->n;
	}
	whole = text_whole(data, size);
	carry->n = size - whole;
	memcpy(carry->bytes, data + whole, carry->n);
	run_pass(run, stream, data, whole);
}

/* Keeps the end of stderr for an error. */
static void
run_keep_messages(CommandRun *run, const char *data, size_t size)
{
	size_t old = run->messages_size;

	if (size > COMMAND_STDERR_KEPT)
	{
		data += size - COMMAND_STDERR_KEPT;
		size = COMMAND_STDERR_KEPT;
	}
	if (old + size > COMMAND_STDERR_KEPT)
	{
		size_t drop = old + size - COMMAND_STDERR_KEPT;

		memmove(run->messages, run->messages + drop, old - drop);
		old -= drop;
	}
	memcpy(run->messages + old, data, size);
	run->messages_size = old + size;
}

/* Stops the command, unless it has ended or is being stopped already. */
static void
run_stop_child(CommandRun *run, Stopped why)
{
	if (run->stopped == NOT_STOPPED)
		run->stopped = why;
	child_stop(run->child, run->spec->grace);
}

/* Keeps a part of the result. */
static void
run_keep_result(CommandRun *run, const char *data, size_t size)
{
	size_t limit = run->spec->result_limit;
	size_t need = run->result_size + size;

	if (run->stopped == STOPPED_TOO_LARGE || run->stopped == STOPPED_NO_MEMORY)
		return;
	if (need > limit)
	{
		run_stop_child(run, STOPPED_TOO_LARGE);
		size = limit - run->result_size;
		need = limit;
	}
	if (need > run->result_room)
	{
		size_t room = need * 2 < limit ? need * 2 : limit;
		char *grown = realloc(run->result, room);

		if (!grown)
		{
			run_stop_child(run, STOPPED_NO_MEMORY);
			return;
		}
		run->result = grown;
		run->result_room = room;
	}
	memcpy(run->result + run->result_size, data, size);
	run->result_size = need;
}

/* The child wrote something. */
static void
run_data(ChildStream stream, const char *data, size_t size, void *arg)
{
	CommandRun *run = arg;

	if (stream == CHILD_STDERR)
		run_keep_messages(run, data, size);
	if (is_result(run, stream))
		run_keep_result(run, data, size);
	else
		run_output(run, stream, data, size);
}

/* Passes on as output what was no result, as far as the receiver wants it; then it is over. */
static void
run_spill(CommandRun *run)
{
	while (run->spilled < run->result_size)
	{
		const char *data = run->result + run->spilled;
		size_t size = run->result_size - run->spilled;

		if (run->paused)
			return;
		if (size > SPILL_SIZE)
			size = text_whole(data, SPILL_SIZE);
		run->spilled += size;
		run_pass(run, CHILD_STDOUT, data, size);
	}
	run_over(run);
}

/* Makes the end of a run that was stopped. */
static void
run_end_stopped(CommandRun *run, const CommandEnd *from)
{
	char message[128];

	switch (run->stopped)
	{
		case NOT_STOPPED:
			break;
		case STOPPED_TIMEOUT:
			snprintf(message, sizeof(message), "attempt exceeded its timeout of %.10g s",
					 run->timeout);
			command_end_stopped(from, "ST003", run->timeout < 0 ? "attempt was stopped" : message,
								false, &run->end);
			break;
		case STOPPED_TIME_LEFT:
			command_end_stopped(from, "ST002", "execution exceeded its max_duration", true,
								&run->end);
			break;
		case STOPPED_CANCELLED:
			command_end_stopped(from, "ST004", "the command was stopped", true, &run->end);
			break;
		case STOPPED_TOO_LARGE:
			snprintf(message, sizeof(message), "the result is larger than %zu bytes",
					 run->spec->result_limit);
			command_end_stopped(from, "54000", message, true, &run->end);
			break;
		case STOPPED_NO_MEMORY:
			command_end_stopped(from, "53200", "the worker has no memory for the result", false,
								&run->end);
			break;
	}
}

/* The child is over. */
static void
run_exited(int status, void *arg)
{
	CommandRun *run = arg;
	CommandEnd from = {.status = status,
					   .result = run->result ? run->result : "",
					   .result_size = run->result_size,
					   .messages = run->messages,
					   .messages_size = run->messages_size};
	bool used = false;

	run->child = NULL;
	if (run->timer)
		event_del(run->timer);
	for (int i = CHILD_STDOUT; i <= CHILD_STDERR; i++)
		run_pass(run, (ChildStream) i, run->carry[i].bytes, run->carry[i].n);
	if (run->stopped == NOT_STOPPED)
		used = command_end(run->spec, &from, &run->end);
	else
		run_end_stopped(run, &from);
	if (used || !run->spec->output || !is_result(run, CHILD_STDOUT) ||
		run->stopped == STOPPED_CANCELLED)
		run->spilled = run->result_size;
	run_spill(run);
}

/* The attempt's time is over; or, without child, the loop has come back to a run. */
static void
run_timer(evutil_socket_t fd, short what, void *arg)
{
	CommandRun *run = arg;

	(void) fd;
	(void) what;
	if (!run->child)
		run_spill(run);
	else if (!child_is_over(run->child))
		run_stop_child(run, run->timeout_is_execution ? STOPPED_TIME_LEFT : STOPPED_TIMEOUT);
}

/* Notes the shortest of the times a task may take. */
static void
run_find_timeout(CommandRun *run, const StentTask *task)
{
	run->timeout = run->spec->timeout;
	if (task->timeout >= 0 && (run->timeout < 0 || task->timeout < run->timeout))
		run->timeout = task->timeout;
	if (task->time_left >= 0 && (run->timeout < 0 || task->time_left < run->timeout))
	{
		run->timeout = task->time_left;
		run->timeout_is_execution = true;
	}
}

/* Has a run that has no child end from the loop, as a failure. */
static void
run_fail_later(CommandRun *run, json_t *error)
{
	run->end = (RunEnd){.value = error};
	event_active(run->timer, EV_TIMEOUT, 0);
}

/* Has a run fail whose command could not be executed. */
static void
run_fail_to_execute(CommandRun *run, const char *program, SpawnStatus status, int error)
{
	char message[1024];

	if (status == SPAWN_NO_DIRECTORY)
		snprintf(message, sizeof(message), "cannot enter directory \"%s\": %s", run->spec->cwd,
				 strerror(error));
	else
		snprintf(message, sizeof(message), "cannot execute \"%s\": %s", program, strerror(error));
	/* an operator may mend it, or another worker have it; but arguments never become shorter */
	run_fail_later(run, command_error("ST014", message, error == E2BIG));
}

/* Starts the child; false: it is not to be had now, with the reason in problem. */
static bool
run_start_child(CommandRun *run, struct event_base *base, const StentTask *task, char *problem,
				size_t size)
{
	static const ChildEvents events = {run_data, run_exited};
	const CommandSpec *spec = run->spec;
	CommandLine line;
	char reason[256];
	TemplateStatus made = command_line_make(&line, spec, task, reason, sizeof(reason));
	SpawnStatus status = SPAWN_NO_PROCESS;
	int error = ENOMEM;

	if (made == TEMPLATE_MISSING || made == TEMPLATE_NUL)
		run_fail_later(run, command_error(made == TEMPLATE_NUL ? "22021" : "22023", reason, true));
	else if (made == TEMPLATE_OK)
	{
		ChildPlan plan = {.argv = line.argv,
						  .envp = line.envp,
						  .cwd = spec->cwd,
						  .umask = spec->umask,
						  .input = line.input,
						  .input_size = line.input_size,
						  .drop_stdout = !spec->output && !is_result(run, CHILD_STDOUT),
						  .result_as = spec->result_fd};

		run->child = child_start(base, &plan, &events, run, &status, &error);
		if (run->child)
			line.input = NULL;
		else if (status != SPAWN_NO_PROCESS)
			run_fail_to_execute(run, line.argv[0], status, error);
	}
	command_line_free(&line);
	if (run->child || run->end.value)
		return true;
	snprintf(problem, size, "cannot start a command: %s", strerror(error));
	return false;
}

/* Starts a task's command; see run_start(). */
static Run *
command_start(struct event_base *base, const HandlerSpec *spec, const StentTask *task,
			  const RunEvents *events, void *arg, char *problem, size_t size)
{
	CommandRun *run = calloc(1, sizeof(CommandRun));

	snprintf(problem, size, "out of memory");
	if (!run)
		return NULL;
	run->base.kind = &command_kind;
	run->spec = (const CommandSpec *) spec;
	run->events = *events;
	run->arg = arg;
	run->timer = evtimer_new(base, run_timer, run);
	run_find_timeout(run, task);
	if (!run->timer || !run_start_child(run, base, task, problem, size))
	{
		run_free(run);
		return NULL;
	}
	if (run->child && run->timeout >= 0)
		loop_timer(run->timer, run->timeout);
	return &run->base;
}

/* Ends a run before its time; see run_stop(). */
static void
command_stop(Run *base, RunStop why)
{
	CommandRun *run = (CommandRun *) base;

	if (!run->child)
	{
		/* its end is made; but nobody needs the output that is left */
		run->spilled = run->result_size;
		event_active(run->timer, EV_TIMEOUT, 0);
	}
	else if (why == RUN_STOP_CANCELLED)
		run_stop_child(run, STOPPED_CANCELLED);
	else if (!child_is_over(run->child))
		run_stop_child(run, STOPPED_TIMEOUT);
}

/* Ends a run at once; see run_kill(). */
static void
command_kill(Run *base)
{
	CommandRun *run = (CommandRun *) base;

	command_stop(base, RUN_STOP_CANCELLED);
	if (run->child)
		child_kill(run->child);
}

/* The receiver takes output again; see run_resume_output(). */
static void
command_resume_output(Run *base)
{
	CommandRun *run = (CommandRun *) base;

	if (!run->paused)
		return;
	run_read_output(run, true);
	if (!run->child)
		event_active(run->timer, EV_TIMEOUT, 0);
}

const HandlerKind command_kind = {
	.name = "command",
	.spec_new = command_spec_new,
	.spec_free = command_spec_free,
	.start = command_start,
	.stop = command_stop,
	.kill = command_kill,
	.resume_output = command_resume_output,
};
