/*
 * command_output.c
 *	  What a command writes: its result is kept, its output passed on as its receiver takes it.
 *
 * A receiver that has enough is not read for any more, and then the command has to wait;
 * but a result is always read, up to its limit.
 */
#include <stdlib.h>
#include <string.h>

#include "command_run.h"
#include "text.h"

/* Most of a result that is passed on at once when it turns out to be output. */
#define SPILL_SIZE 65536

static const char *const stream_names[] = {"stdout", "stderr"};

bool
command_run_is_result(const CommandRun *run, ChildStream stream)
{
	if (stream == CHILD_STDOUT)
		return run->spec->result == COMMAND_RESULT_STDOUT ||
			   run->spec->result == COMMAND_RESULT_TEXT;
	return stream == CHILD_RESULT;
}

void
command_run_read(CommandRun *run, bool wanted)
{
	run->paused = !wanted;
	for (int i = CHILD_STDOUT; i <= CHILD_STDERR && run->child; i++)
	{
		if (!command_run_is_result(run, (ChildStream) i))
			child_read(run->child, (ChildStream) i, wanted);
	}
}

/* Passes output on; what nobody will ever take is dropped. */
static void
run_pass(CommandRun *run, ChildStream stream, const char *data, size_t size)
{
	if (size == 0 || run->dropping ||
		run->events.output(&run->base, stream_names[stream], data, size, run->arg))
		return;
	if (run->unwanted)
		run->dropping = true;
	else
		command_run_read(run, false);
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

void
command_run_flush(CommandRun *run)
{
	for (int i = CHILD_STDOUT; i <= CHILD_STDERR; i++)
		run_pass(run, (ChildStream) i, run->carry[i].bytes, run->carry[i].n);
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
		command_run_stop(run, STOPPED_TOO_LARGE);
		size = limit - run->result_size;
		need = limit;
	}
	if (need > run->result_room)
	{
		size_t room = need * 2 < limit ? need * 2 : limit;
		char *grown = realloc(run->result, room);

		if (!grown)
		{
			command_run_stop(run, STOPPED_NO_MEMORY);
			return;
		}
		run->result = grown;
		run->result_room = room;
	}
	memcpy(run->result + run->result_size, data, size);
	run->result_size = need;
}

void
command_run_data(ChildStream stream, const char *data, size_t size, void *arg)
{
	CommandRun *run = arg;

	if (stream == CHILD_STDERR)
		run_keep_messages(run, data, size);
	if (command_run_is_result(run, stream))
		run_keep_result(run, data, size);
	else
		run_output(run, stream, data, size);
}

void
command_run_spill(CommandRun *run)
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
	command_run_over(run);
}
