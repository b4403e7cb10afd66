/*
 * runs.h
 *	  For tests of handlers: starts runs in a loop and keeps all they say.
 */
#ifndef STENT_TEST_RUNS_H
#define STENT_TEST_RUNS_H

#include <event2/event.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "handler.h"

/* One stream's output, one behind the other. */
typedef struct Written
{
	char *data;
	size_t size;
	int rows;
} Written;

typedef struct TestRun
{
	HandlerSpec *spec;
	Run *run; /* NULL: ended, or not started */
	bool ended;
	RunEnd end;
	Written out;
	Written err;
	int rows_not_text;
	size_t refuse_after; /* from so many bytes of output on it says it is too much; 0: never */
	bool refused;
	int outputs_while_refused;
	void (*on_output)(struct TestRun *run); /* NULL: nothing more is done */
	void (*on_ended)(struct TestRun *run);
	char problem[512];
} TestRun;

extern struct event_base *runs_base;

/* cmocka's group setup and teardown: a loop with handlers. */
extern int runs_begin(void **state);
extern int runs_end(void **state);
/* For each test: nothing of a run is left, neither process nor descriptor. */
extern int runs_check_before(void **state);
extern int runs_check_after(void **state);

/* Starts a task with a configuration and args (both JSON, ` for "); times < 0: none. */
extern void runs_start(TestRun *run, const char *config, const char *args, double timeout,
					   double time_left);
/* The loop goes round until the run has ended. */
extern void runs_wait(TestRun *run);
/* The loop goes round until the condition holds; fails the test after half a minute. */
extern void runs_wait_for(bool (*condition)(void *arg), void *arg);
/* Starts it and waits for its end. */
extern void runs_do(TestRun *run, const char *config, const char *args);
extern void runs_free(TestRun *run);

/* The end is a success with this value (JSON, ` for "). */
extern void runs_assert_value(const TestRun *run, const char *json);
/* The end is a failure with this code, and this within its message. */
extern void runs_assert_error(const TestRun *run, const char *code, const char *message);
/* What an error has under a key; NULL: nothing. */
extern const char *runs_error_text(const TestRun *run, const char *key);
/* Reaps a process that has ended or is about to, -1: any; false: it goes on, or there is none (errno ECHILD). */
extern bool runs_reap(pid_t pid, int *status);
/* Descriptors this process has open. */
extern int runs_descriptors(void);

#define WITH_RUNS(test) cmocka_unit_test_setup_teardown(test, runs_check_before, runs_check_after)

#endif
