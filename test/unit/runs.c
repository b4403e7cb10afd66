/*
 * runs.c
 *	  For tests of handlers: starts runs in a loop and keeps all they say.
 */
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

#include "runs.h"
#include "text.h"

/* A slow machine under a sanitizer needs some; a hang needs all of it. */
#define PATIENCE_SECONDS 30

struct event_base *runs_base;

static int descriptors_before;

int
runs_begin(void **state)
{
	char problem[256];

	(void) state;
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	runs_base = event_base_new();
	assert_non_null(runs_base);
	if (!handlers_begin(runs_base, problem, sizeof(problem)))
		fail_msg("%s", problem);
	return 0;
}

int
runs_end(void **state)
{
	(void) state;
	handlers_end();
	event_base_free(runs_base);
	libevent_global_shutdown();
	return 0;
}

int
runs_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

bool
runs_reap(pid_t pid, int *status)
{
	time_t begin = time(NULL);
	pid_t reaped;

	while ((reaped = waitpid(pid, status, WNOHANG)) == 0 && time(NULL) - begin < PATIENCE_SECONDS)
		nanosleep(&(struct timespec){0, 1000000}, NULL);
	errno = reaped == 0 ? EAGAIN : errno;
	return reaped > 0;
}

int
runs_check_before(void **state)
{
	(void) state;
	descriptors_before = runs_descriptors();
	return 0;
}

int
runs_check_after(void **state)
{
	int status;

	(void) state;
	/* what the runs' children left behind is ours to reap, if it was killed */
	while (runs_reap(-1, &status))
		;
	assert_int_equal(errno, ECHILD);
	assert_int_equal(runs_descriptors(), descriptors_before);
	return 0;
}

/* JSON from a text with ` for ". */
static json_t *
parse(const char *text)
{
	char *copy = strdup(text);
	json_error_t error;
	json_t *json;

	assert_non_null(copy);
	for (char *at = copy; *at; at++)
		*at = *at == '`' ? '"' : *at;
	json = json_loads(copy, JSON_DECODE_ANY, &error);
	if (!json)
		fail_msg("%s in %s", error.text, copy);
	free(copy);
	return json;
}

static bool
on_output(Run *run, const char *stream, const void *data, size_t size, void *arg)
{
	TestRun *test = arg;
	Written *written = strcmp(stream, "stdout") == 0 ? &test->out : &test->err;

	assert_ptr_equal(run, test->run);
	assert_false(test->ended);
	assert_true(size > 0);
	written->data = realloc(written->data, written->size + size + 1);
	memcpy(written->data + written->size, data, size);
	written->size += size;
	written->data[written->size] = '\0';
	written->rows++;
	if (text_invalid_at(data, size) < size)
		test->rows_not_text++;
	if (test->refused)
		test->outputs_while_refused++;
	if (test->on_output)
		test->on_output(test);
	if (test->refuse_after > 0 && test->out.size + test->err.size >= test->refuse_after)
		test->refused = true;
	return !test->refused;
}

static void
on_ended(Run *run, RunEnd *end, void *arg)
{
	TestRun *test = arg;

	assert_ptr_equal(run, test->run); /* never from within run_start() */
	assert_false(test->ended);
	test->ended = true;
	test->end = *end;
	test->run = NULL;
	if (test->on_ended)
		test->on_ended(test);
}

void
runs_start(TestRun *test, const char *config, const char *args, double timeout, double time_left)
{
	static const RunEvents events = {on_output, on_ended};
	json_t *json = parse(config);
	StentTask task = {.id = 42,
					  .token = 7,
					  .execution_id = 41,
					  .function = "thumbnail",
					  .queue = "default",
					  .role = "app",
					  .attempt = 2,
					  .args = parse(args),
					  .headers = parse("{`trace`: `abc`}"),
					  .timeout = timeout,
					  .time_left = time_left,
					  .lease = 300};

	test->spec = handler_spec_new("thumbnail", json, test->problem, sizeof(test->problem));
	json_decref(json);
	if (!test->spec)
		fail_msg("%s", test->problem);
	test->run = run_start(runs_base, test->spec, &task, &events, test, test->problem,
						  sizeof(test->problem));
	json_decref(task.args);
	json_decref(task.headers);
}

static void
out_of_patience(evutil_socket_t fd, short what, void *arg)
{
	(void) fd;
	(void) what;
	*(bool *) arg = true;
}

void
runs_wait_for(bool (*condition)(void *arg), void *arg)
{
	bool late = false;
	struct timeval patience = {PATIENCE_SECONDS, 0};
	struct event *timer = evtimer_new(runs_base, out_of_patience, &late);

	evtimer_add(timer, &patience);
	while (!condition(arg) && !late)
	{
		if (event_base_loop(runs_base, EVLOOP_ONCE) < 0)
			fail_msg("the loop is broken");
	}
	event_free(timer);
	if (late)
		fail_msg("it does not come to pass");
}

static bool
has_ended(void *arg)
{
	return ((TestRun *) arg)->ended;
}

void
runs_wait(TestRun *test)
{
	if (!test->run && !test->ended)
		fail_msg("%s", test->problem);
	runs_wait_for(has_ended, test);
}

void
runs_do(TestRun *test, const char *config, const char *args)
{
	runs_start(test, config, args, -1, -1);
	runs_wait(test);
}

void
runs_free(TestRun *test)
{
	assert_null(test->run);
	handler_spec_free(test->spec);
	json_decref(test->end.value);
	json_decref(test->end.effects);
	free(test->out.data);
	free(test->err.data);
	*test = (TestRun){0};
}

void
runs_assert_value(const TestRun *test, const char *text)
{
	json_t *json = parse(text);
	char *is = json_dumps(test->end.value, JSON_ENCODE_ANY | JSON_COMPACT);

	if (!test->end.succeeded || !json_equal(test->end.value, json))
		fail_msg("%s: %s, not %s", test->end.succeeded ? "value" : "error", is, text);
	free(is);
	json_decref(json);
}

const char *
runs_error_text(const TestRun *test, const char *key)
{
	return json_string_value(json_object_get(test->end.value, key));
}

void
runs_assert_error(const TestRun *test, const char *code, const char *message)
{
	char *is = json_dumps(test->end.value, JSON_ENCODE_ANY | JSON_COMPACT);

	if (test->end.succeeded || test->end.effects || !runs_error_text(test, "code") ||
		strcmp(runs_error_text(test, "code"), code) != 0 || !runs_error_text(test, "message") ||
		!strstr(runs_error_text(test, "message"), message))
		fail_msg("%s: %s, not %s \"%s\"", test->end.succeeded ? "value" : "error", is, code,
				 message);
	free(is);
}
