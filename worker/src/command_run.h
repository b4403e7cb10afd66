/*
 * command_run.h
 *	  One run of a command, as command.c and command_output.c share it.
 */
#ifndef STENT_WORKER_COMMAND_RUN_H
#define STENT_WORKER_COMMAND_RUN_H

#include "child.h"
#include "command.h"

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
	Child *child;        /* NULL: it is over, or never was */
	struct event *timer; /* until its time is over; without child, to come back from the loop */
	double timeout;      /* seconds; < 0: none */
	bool timeout_is_execution; /* it is the rest of the execution's time */
	Stopped stopped;
	bool paused;    /* the receiver wants no output now */
	bool unwanted;  /* nobody waits for its end, so it does not wait for its receiver */
	bool dropping;  /* the receiver had enough then */
	Carry carry[2]; /* of stdout and stderr */
	char *result;
	size_t result_size;
	size_t result_room;
	size_t spilled; /* how much of the result was passed on as output; all: nothing is to be */
	char messages[COMMAND_STDERR_KEPT];
	size_t messages_size;
	RunEnd end;
} CommandRun;

/* command.c: stops the command, unless it has ended or is being stopped already; */
extern void command_run_stop(CommandRun *run, Stopped why);
/* says that the run is over, once; it is gone then. */
extern void command_run_over(CommandRun *run);

/* command_output.c: whether a stream holds the result; */
extern bool command_run_is_result(const CommandRun *run, ChildStream stream);
/* the child wrote something; arg is the run; */
extern void command_run_data(ChildStream stream, const char *data, size_t size, void *arg);
/* the child is over: passes on what is left of its output; */
extern void command_run_flush(CommandRun *run);
/* passes on as output what was no result, as far as the receiver wants it; then the run is over; */
extern void command_run_spill(CommandRun *run);
/* goes on, or does not, with the streams that are output. */
extern void command_run_read(CommandRun *run, bool wanted);

#endif
