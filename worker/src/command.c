/*
 * command.c
 *	  Runs a task by a command: what it is given, how long it may take, what becomes of its output.
 *
 * A run is in one of three phases: its child is running; its child is over, but output
 * is still to be passed on; it is over, and only the call that says so is left. The child
 * itself is in child.c, what it writes is in command_output.c; what its end means is decided in
 * command_end.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command_run.h"
#include "loop.h"

/* Lets go of a run without a word. */
static void
run_free(CommandRun *run)
{
	if (run->timer)
		event_free(run->timer);
	free(run->result);
	free(run);
}

void
command_run_over(CommandRun *run)
{
	run->events.ended(&run->base, &run->end, run->arg);
	run_free(run);
}

void
command_run_stop(CommandRun *run, Stopped why)
{
	if (run->stopped == NOT_STOPPED)
		run->stopped = why;
	child_stop(run->child, run->spec->grace);
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
	command_run_flush(run);
	if (run->stopped == NOT_STOPPED)
		used = command_end(run->spec, &from, &run->end);
	else
		run_end_stopped(run, &from);
	if (used || !run->spec->output || !command_run_is_result(run, CHILD_STDOUT) ||
		run->stopped == STOPPED_CANCELLED)
		run->spilled = run->result_size;
	command_run_spill(run);
}

/* The attempt's time is over; or, without child, the loop has come back to a run. */
static void
run_timer(evutil_socket_t fd, short what, void *arg)
{
	CommandRun *run = arg;

	(void) fd;
	(void) what;
	if (!run->child)
		command_run_spill(run);
	else if (!child_is_over(run->child))
		command_run_stop(run, run->timeout_is_execution ? STOPPED_TIME_LEFT : STOPPED_TIMEOUT);
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
	static const ChildEvents events = {command_run_data, run_exited};
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
						  .drop_stdout = !spec->output && !command_run_is_result(run, CHILD_STDOUT),
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

	if (why == RUN_STOP_CANCELLED)
	{
		run->unwanted = true;
		if (run->paused)
		{
			run->dropping = true;
			command_run_read(run, true);
		}
	}
	if (!run->child)
	{
		/* its end is made; but nobody needs the output that is left */
		run->spilled = run->result_size;
		event_active(run->timer, EV_TIMEOUT, 0);
	}
	else if (why == RUN_STOP_CANCELLED)
		command_run_stop(run, STOPPED_CANCELLED);
	else if (!child_is_over(run->child))
		command_run_stop(run, STOPPED_TIMEOUT);
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
	command_run_read(run, true);
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
