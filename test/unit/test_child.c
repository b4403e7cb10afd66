/*
 * test_child.c
 *	  Tests of running commands: their processes, descriptors, output, and how they are stopped.
 *
 * The program is its own helper: "test_child worker" serves until it is killed,
 * "test_child short" finds that no process can be had.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "runs.h"

/* More than a pipe holds, many times. */
#define HUGE (8 * 1024 * 1024)

static bool
has_two_lines(void *arg)
{
	TestRun *run = arg;
	const char *first = run->out.data ? strchr(run->out.data, '\n') : NULL;

	return first && strchr(first + 1, '\n');
}

static bool
has_output(void *arg)
{
	return ((TestRun *) arg)->out.size > 0;
}

/* Runs something from its beginning to its end, in the loop that others are in. */
static void
run_another(const char *config)
{
	TestRun another = {0};

	runs_do(&another, config, "{}");
	assert_true(another.end.succeeded);
	runs_free(&another);
}

#define SEQUENCE "{`command`: [`seq`, `20000`], `result`: `none`}"

static void
a_thousand_runs_leave_nothing(void **state)
{
	(void) state;
	for (int i = 0; i < 20; i++)
	{
		TestRun runs[50] = {0};

		for (int j = 0; j < 50; j++)
			runs_start(&runs[j],
					   j % 2 ? "{`command`: [`cat`]}"
							 : "{`command`: [`sh`, `-c`, `echo x; echo y >&2; exit 1`], "
							   "`result`: {`fd`: 3}}",
					   "{`a`: 1}", 100, 100);
		for (int j = 0; j < 50; j++)
		{
			runs_wait(&runs[j]);
			assert_int_equal(runs[j].end.succeeded, j % 2);
			runs_free(&runs[j]);
		}
	}
}

static void
twenty_thousand_lines_stay_in_order(void **state)
{
	TestRun run = {0};
	char *at;

	(void) state;
	runs_do(&run, SEQUENCE, "{}");
	runs_assert_value(&run, "null");
	at = run.out.data;
	for (long i = 1; i <= 20000; i++)
	{
		assert_int_equal(strtol(at, &at, 10), i);
		assert_int_equal(*at++, '\n');
	}
	assert_int_equal(*at, '\0');
	runs_free(&run);
}

static void
rows_hold_whole_characters(void **state)
{
	TestRun run = {0};

	(void) state;
	runs_do(&run,
			"{`command`: [`sh`, `-c`, `printf x; yes \xE2\x82\xAC | tr -d '\\\\n' | head -c "
			"600000`], `result`: `none`}",
			"{}");
	assert_int_equal(run.out.size, 600001);
	assert_in_range(run.out.rows, 3, 600000);
	assert_int_equal(run.rows_not_text, 0);
	runs_free(&run);
	/* unless there are none, and then nothing is lost */
	runs_do(&run,
			"{`command`: [`sh`, `-c`, `head -c 200000 /dev/zero | tr '\\\\000' '\\\\303'`], "
			"`result`: `none`}",
			"{}");
	assert_int_equal(run.out.size, 200000);
	for (size_t i = 0; i < run.out.size; i++)
		assert_int_equal(run.out.data[i], '\303');
	runs_free(&run);
	runs_do(&run, "{`command`: [`printf`, `\\\\000\\\\377x\\\\342\\\\202`], `result`: `none`}",
			"{}");
	assert_int_equal(run.out.size, 5);
	assert_memory_equal(run.out.data, "\0\377x\342\202", 5);
	runs_free(&run);
}

static void
huge_input_and_output_do_not_block_each_other(void **state)
{
	TestRun run = {0};
	char *args = malloc(HUGE);
	json_t *value;

	(void) state;
	memset(args, 'x', HUGE);
	memcpy(args, "[`", 2);
	memcpy(args + HUGE - 3, "`]", 3);
	runs_do(&run, "{`command`: [`cat`]}", args);
	assert_true(run.end.succeeded);
	value = json_array_get(run.end.value, 0);
	assert_int_equal(json_string_length(value), HUGE - 5);
	assert_memory_equal(json_string_value(value), args + 2, HUGE - 5);
	runs_free(&run);
	/* who does not read it, or only its beginning, is free to do so */
	runs_do(&run, "{`command`: [`head`, `-c`, `1`], `result`: `none`}", args);
	runs_assert_value(&run, "null");
	assert_string_equal(run.out.data, "[");
	runs_free(&run);
	runs_do(&run, "{`command`: [`true`], `result`: `none`}", args);
	runs_assert_value(&run, "null");
	runs_free(&run);
	free(args);
}

static void
output_waits_for_who_takes_it(void **state)
{
	TestRun run = {.refuse_after = 1};

	(void) state;
	runs_start(&run,
			   "{`command`: [`sh`, `-c`, `head -c 500000 /dev/zero & head -c 500000 /dev/zero "
			   ">&2; wait`], `result`: `none`}",
			   "{}", -1, -1);
	for (int i = 0; i < 3; i++)
	{
		size_t before;

		while (!run.refused)
			event_base_loop(runs_base, EVLOOP_ONCE);
		before = run.out.size + run.err.size;
		run_another(SEQUENCE);
		assert_false(run.ended);
		assert_int_equal(run.out.size + run.err.size, before);
		run.refused = false;
		run.refuse_after = before + 1;
		run_resume_output(run.run);
	}
	run.refuse_after = 0;
	if (run.refused)
	{
		run.refused = false;
		run_resume_output(run.run);
	}
	runs_wait(&run);
	runs_assert_value(&run, "null");
	assert_int_equal(run.outputs_while_refused, 0);
	assert_int_equal(run.out.size, 500000);
	assert_int_equal(run.err.size, 500000);
	runs_free(&run);
}

static void
refused_result_waits_for_who_takes_it(void **state)
{
	TestRun run = {.refuse_after = 1};

	(void) state;
	runs_start(&run, "{`command`: [`sh`, `-c`, `head -c 300000 /dev/zero`]}", "{}", -1, -1);
	runs_wait_for(has_output, &run);
	assert_true(run.out.size < 300000);
	run_another(SEQUENCE);
	assert_false(run.ended);
	assert_int_equal(run.out.rows, 1);
	run.refused = false;
	run.refuse_after = 0;
	run_resume_output(run.run);
	runs_wait(&run);
	runs_assert_error(&run, "22P02", "");
	assert_int_equal(run.out.size, 300000);
	runs_free(&run);
	/* nobody needs it any more */
	run.refuse_after = 1;
	runs_start(&run, "{`command`: [`sh`, `-c`, `head -c 300000 /dev/zero`]}", "{}", -1, -1);
	runs_wait_for(has_output, &run);
	run_stop(run.run, RUN_STOP_CANCELLED);
	run_kill(run.run);
	runs_wait(&run);
	assert_int_equal(run.out.rows, 1);
	runs_free(&run);
}

static void
killed_run_does_not_wait_for_who_takes_its_output(void **state)
{
	TestRun run = {.refuse_after = 1};

	(void) state;
	/* before it is killed, and only then */
	for (int i = 0; i < 2; i++)
	{
		run.refuse_after = i == 0 ? 1 : SIZE_MAX;
		runs_start(&run, "{`command`: [`yes`], `result`: `none`}", "{}", -1, -1);
		runs_wait_for(has_output, &run);
		run_another(SEQUENCE); /* meanwhile the pipe fills */
		run.refuse_after = 1;
		run_kill(run.run);
		runs_wait(&run);
		assert_int_equal(run.outputs_while_refused, 0);
		runs_free(&run);
	}
}

/* A program in a session of its own, which the group's end does not reach, tells its number and keeps stderr open. */
#define ESCAPE "setsid sh -c 'sleep 1000 >/dev/null & echo $!'"

/* Ends the escaped one. */
static void
catch_escaped(const char *number)
{
	pid_t pid = (pid_t) strtol(number, NULL, 10);
	int status;

	assert_true(pid > 1);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WTERMSIG(status), SIGKILL);
}

static void
pipe_kept_open_by_another_is_not_waited_for(void **state)
{
	TestRun run = {0};
	TestRun paused = {.refuse_after = 1};

	(void) state;
	/* this one is over, with something still to be read, before its output is taken again */
	runs_start(&paused, "{`command`: [`sh`, `-c`, `echo a; sleep 0.1; echo b`], `result`: `none`}",
			   "{}", -1, -1);
	runs_wait_for(has_output, &paused);
	runs_do(&run, "{`command`: [`sh`, `-c`, `" ESCAPE "; exit 0`], `result`: `text`}", "{}");
	assert_true(run.end.succeeded);
	catch_escaped(json_string_value(run.end.value));
	runs_free(&run);
	assert_false(paused.ended);
	paused.refused = false;
	run_resume_output(paused.run);
	while (!paused.refused && !paused.ended)
		event_base_loop(runs_base, EVLOOP_ONCE);
	if (!paused.ended)
		run_resume_output(paused.run);
	runs_wait(&paused);
	assert_string_equal(paused.out.data, "a\nb\n");
	runs_free(&paused);
}

/* All that this prints is out before it can be stopped. */
#define STUBBORN                                                                 \
	"trap '' TERM; sh -c 'echo $$; while :; do sleep 1000; done' & echo ready; " \
	"while :; do sleep 1000; done"

static void
who_ignores_term_is_killed_with_his_children(void **state)
{
	TestRun run = {0};

	(void) state;
	runs_start(&run, "{`command`: [`sh`, `-c`, `" STUBBORN "`], `result`: `none`, `grace`: `0.1s`}",
			   "{}", -1, -1);
	runs_wait_for(has_two_lines, &run);
	run_stop(run.run, RUN_STOP_TIMEOUT);
	run_stop(run.run, RUN_STOP_TIMEOUT);
	run_stop(run.run, RUN_STOP_CANCELLED); /* the first word counts */
	assert_false(run.ended);
	runs_wait(&run);
	runs_assert_error(&run, "ST003", "");
	assert_string_equal(runs_error_text(&run, "signal"), "SIGKILL");
	runs_free(&run); /* that no process is left is seen by runs_check_after() */
}

static void
kill_does_not_wait_for_the_grace_period(void **state)
{
	TestRun run = {0};

	(void) state;
	runs_start(&run, "{`command`: [`sh`, `-c`, `" STUBBORN "`], `result`: `none`, `grace`: `1h`}",
			   "{}", -1, -1);
	runs_wait_for(has_two_lines, &run);
	run_stop(run.run, RUN_STOP_CANCELLED);
	run_kill(run.run);
	runs_wait(&run);
	runs_assert_error(&run, "ST004", "");
	runs_free(&run);
}

static void
who_obeys_term_is_not_killed(void **state)
{
	TestRun run = {0};

	(void) state;
	runs_start(&run,
			   "{`command`: [`sh`, `-c`, `trap 'echo bye; exit 0' TERM; echo ready; echo; while "
			   ":; do sleep 0.1; done`], `result`: `none`, `grace`: `1h`}",
			   "{}", -1, -1);
	runs_wait_for(has_two_lines, &run);
	run_stop(run.run, RUN_STOP_TIMEOUT);
	runs_wait(&run);
	runs_assert_error(&run, "ST003", "");
	assert_int_equal(json_integer_value(json_object_get(run.end.value, "exit_code")), 0);
	assert_non_null(strstr(run.out.data, "bye\n"));
	runs_free(&run);
}

/* Whether the run's child, whose number is its output, is stopped. */
static bool
is_stopped(void *arg)
{
	TestRun *run = arg;
	char path[64];
	char line[256] = "";
	FILE *file;

	event_base_loop(runs_base, EVLOOP_NONBLOCK);
	snprintf(path, sizeof(path), "/proc/%ld/stat", strtol(run->out.data, NULL, 10));
	file = fopen(path, "re");
	assert_non_null(file);
	assert_non_null(fgets(line, sizeof(line), file));
	fclose(file);
	return strstr(line, ") T ") != NULL;
}

static void
who_is_stopped_obeys_term(void **state)
{
	TestRun run = {0};

	(void) state;
	runs_start(&run,
			   "{`command`: [`sh`, `-c`, `echo $$; kill -STOP $$; sleep 1000`], `result`: `none`, "
			   "`grace`: `1h`}",
			   "{}", -1, -1);
	runs_wait_for(has_output, &run);
	while (!is_stopped(&run))
		;
	run_stop(run.run, RUN_STOP_CANCELLED);
	runs_wait(&run);
	assert_string_equal(runs_error_text(&run, "signal"), "SIGTERM");
	runs_free(&run);
}

static void
shortest_time_ends_an_attempt(void **state)
{
	TestRun run = {0};

	(void) state;
	runs_start(&run, "{`command`: [`sleep`, `1000`], `timeout`: `1h`}", "{}", 0.05, 5000);
	runs_wait(&run);
	runs_assert_error(&run, "ST003", "attempt exceeded its timeout of 0.05 s");
	assert_string_equal(runs_error_text(&run, "signal"), "SIGTERM");
	assert_null(json_object_get(run.end.value, "retryable"));
	runs_free(&run);
	runs_start(&run, "{`command`: [`sleep`, `1000`], `timeout`: `0.05s`}", "{}", 5000, -1);
	runs_wait(&run);
	runs_assert_error(&run, "ST003", "attempt exceeded its timeout of 0.05 s");
	runs_free(&run);
	runs_start(&run, "{`command`: [`sleep`, `1000`]}", "{}", -1, 0);
	runs_wait(&run);
	runs_assert_error(&run, "ST002", "execution exceeded its max_duration");
	runs_free(&run);
}

static void
what_a_child_left_running_ends_with_it(void **state)
{
	TestRun run = {0};

	(void) state;
	runs_do(&run, "{`command`: [`sh`, `-c`, `sleep 1000 & echo 1`]}", "{}");
	runs_assert_value(&run, "1");
	runs_free(&run);
}

static void
child_has_nothing_of_the_worker(void **state)
{
	TestRun run = {0};
	int left_open = fcntl(0, F_DUPFD, 77);
	sigset_t blocked;

	(void) state;
	assert_true(left_open >= 77);
	runs_do(&run, "{`command`: [`ls`, `/proc/self/fd`], `result`: `text`}", "{}");
	runs_assert_value(&run, "`0\\n1\\n2\\n3`"); /* 3 is the directory */
	runs_free(&run);
	/* ls takes 3 for the directory, so the result's number is beyond it */
	runs_do(&run, "{`command`: [`sh`, `-c`, `ls /proc/self/fd; echo 1 >&7`], `result`: {`fd`: 7}}",
			"{}");
	assert_string_equal(run.out.data, "0\n1\n2\n3\n7\n");
	runs_assert_value(&run, "1");
	runs_free(&run);
	close(left_open);

	sigemptyset(&blocked);
	sigaddset(&blocked, SIGUSR1);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	signal(SIGUSR2, SIG_IGN);
	/* signals 32 and 33 are the C library's own, which nobody can restore */
	runs_do(
		&run,
		"{`command`: [`sed`, `-nE`, `s/^(Sig(Blk|Ign):\\\\t0000000)[01][08](0000000)$/\\\\1X\\\\3/p`, "
		"`/proc/self/status`], `result`: `text`}",
		"{}");
	runs_assert_value(&run, "`SigBlk:\\t0000000X0000000\\nSigIgn:\\t0000000X0000000`");
	runs_free(&run);
	sigprocmask(SIG_UNBLOCK, &blocked, NULL);
	signal(SIGUSR2, SIG_DFL);

	/* a group of its own, in the worker's session */
	runs_do(&run,
			"{`command`: [`sh`, `-c`, `cut -d ' ' -f 5 /proc/self/stat; echo $$; :`], `result`: "
			"`none`}",
			"{}");
	assert_int_equal(strtol(run.out.data, NULL, 10), strtol(strchr(run.out.data, '\n'), NULL, 10));
	assert_int_not_equal(strtol(run.out.data, NULL, 10), getpgrp());
	runs_free(&run);
}

static void
low_descriptors_may_be_closed(void **state)
{
	TestRun run = {0};
	int saved[3];

	(void) state;
	for (int i = 0; i < 3; i++)
	{
		saved[i] = fcntl(i, F_DUPFD_CLOEXEC, 10);
		close(i);
	}
	runs_start(&run,
			   "{`command`: [`sh`, `-c`, `cat >&2; echo out; echo 1 >&3`], `result`: {`fd`: 3}}",
			   "{}", -1, -1);
	runs_wait_for(has_output, &run);
	while (!run.ended)
		event_base_loop(runs_base, EVLOOP_ONCE);
	for (int i = 0; i < 3; i++)
	{
		dup2(saved[i], i);
		close(saved[i]);
	}
	runs_assert_value(&run, "1");
	assert_string_equal(run.out.data, "out\n");
	assert_string_equal(run.err.data, "{}\n");
	runs_free(&run);
}

static void
want_of_descriptors_starts_nothing(void **state)
{
	struct rlimit before;
	struct rlimit limit;
	int refused = 0;
	bool started = false;

	(void) state;
	getrlimit(RLIMIT_NOFILE, &before);
	for (int room = 0; room < 20 && !started; room++)
	{
		TestRun run = {0};
		int descriptors;

		limit = before;
		limit.rlim_cur = 100;
		/* what is open is all below, so this is what may still be opened */
		for (int fd = 0, free_ones = 0; fd < 100 && free_ones <= room; fd++)
		{
			limit.rlim_cur = (rlim_t) fd;
			free_ones += fcntl(fd, F_GETFD) < 0;
		}
		descriptors = runs_descriptors();
		setrlimit(RLIMIT_NOFILE, &limit);
		runs_start(&run, "{`command`: [`cat`], `result`: {`fd`: 3}}", "{}", -1, -1);
		setrlimit(RLIMIT_NOFILE, &before);
		if (!run.run)
		{
			refused++;
			assert_non_null(strstr(run.problem, "Too many open files"));
			assert_int_equal(runs_descriptors(), descriptors);
		}
		else
		{
			started = true;
			runs_wait(&run);
		}
		runs_free(&run);
	}
	assert_true(started);
	assert_in_range(refused, 8, 19);
}

static void
want_of_processes_starts_nothing(void **state)
{
	TestRun run = {0};

	(void) state;
	runs_do(&run, "{`command`: [`/proc/self/exe`, `short`], `result`: `text`}", "{}");
	runs_assert_value(&run, "`cannot start a command: Resource temporarily unavailable`");
	runs_free(&run);
}

static void
killed_worker_takes_its_children_along(void **state)
{
	TestRun run = {0};
	pid_t worker;
	pid_t child;
	int status;

	(void) state;
	runs_start(&run, "{`command`: [`/proc/self/exe`, `worker`], `result`: `none`}", "{}", -1, -1);
	runs_wait_for(has_two_lines, &run);
	worker = (pid_t) strtol(run.out.data, NULL, 10);
	child = (pid_t) strtol(strchr(run.out.data, '\n'), NULL, 10);
	assert_int_not_equal(getpgid(child), getpgid(worker));
	kill(worker, SIGKILL);
	runs_wait(&run);
	runs_assert_error(&run, "ST014", "command was killed by signal 9 (KILL)");
	runs_free(&run);
	/* it is ours now, since nobody else is left above it */
	assert_true(runs_reap(child, &status));
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* Serves one command for ever; tells both numbers. */
static int
be_worker(void)
{
	TestRun run = {0};

	runs_begin(NULL);
	runs_start(&run, "{`command`: [`sh`, `-c`, `echo $$; exec sleep 1000`], `result`: `none`}",
			   "{}", -1, -1);
	runs_wait_for(has_output, &run);
	printf("%d\n%s", (int) getpid(), run.out.data);
	fflush(stdout);
	event_base_dispatch(runs_base);
	return 1;
}

/* Starts a command where no more processes are allowed; tells why it cannot. */
static int
be_short(void)
{
	struct rlimit none = {0, 0};
	TestRun run = {0};

	/* root may have as many as it likes */
	if (geteuid() == 0 && setuid(65534) != 0)
		return 1;
	runs_begin(NULL);
	setrlimit(RLIMIT_NPROC, &none);
	runs_start(&run, "{`command`: [`cat`]}", "{}", -1, -1);
	printf("%s", run.problem);
	fflush(stdout);
	_exit(run.run != NULL);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		WITH_RUNS(a_thousand_runs_leave_nothing),
		WITH_RUNS(twenty_thousand_lines_stay_in_order),
		WITH_RUNS(rows_hold_whole_characters),
		WITH_RUNS(huge_input_and_output_do_not_block_each_other),
		WITH_RUNS(output_waits_for_who_takes_it),
		WITH_RUNS(refused_result_waits_for_who_takes_it),
		WITH_RUNS(killed_run_does_not_wait_for_who_takes_its_output),
		WITH_RUNS(pipe_kept_open_by_another_is_not_waited_for),
		WITH_RUNS(who_ignores_term_is_killed_with_his_children),
		WITH_RUNS(kill_does_not_wait_for_the_grace_period),
		WITH_RUNS(who_obeys_term_is_not_killed),
		WITH_RUNS(who_is_stopped_obeys_term),
		WITH_RUNS(shortest_time_ends_an_attempt),
		WITH_RUNS(what_a_child_left_running_ends_with_it),
		WITH_RUNS(child_has_nothing_of_the_worker),
		WITH_RUNS(low_descriptors_may_be_closed),
		WITH_RUNS(want_of_descriptors_starts_nothing),
		WITH_RUNS(want_of_processes_starts_nothing),
		WITH_RUNS(killed_worker_takes_its_children_along),
	};

	if (argc > 1 && strcmp(argv[1], "worker") == 0)
		return be_worker();
	if (argc > 1 && strcmp(argv[1], "short") == 0)
		return be_short();
	return cmocka_run_group_tests(tests, runs_begin, runs_end);
}
