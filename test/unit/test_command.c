/*
 * test_command.c
 *	  Tests of the command handler: what a command is given, and what its end means.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "runs.h"

/* Runs a shell script, which is no template, with more configuration behind it. */
static void
run_script(TestRun *run, const char *more, const char *script)
{
	char config[4096];
	size_t n = (size_t) sprintf(config, "{`command`: [`sh`, `-c`, `");

	for (; *script; script++)
	{
		if (*script == '{')
			config[n++] = '{';
		config[n++] = *script;
	}
	snprintf(config + n, sizeof(config) - n, "`]%s%s}", *more ? ", " : "", more);
	runs_do(run, config, "{}");
}

static void
stdout_is_the_result(void **state)
{
	TestRun run = {0};

	(void) state;
	runs_do(&run, "{`command`: [`cat`]}", "{`a`: [1, `x`]}");
	runs_assert_value(&run, "{`a`: [1, `x`]}");
	assert_null(run.end.effects);
	assert_int_equal(run.out.rows, 0); /* a result is no output */
	runs_free(&run);
	run_script(&run, "", "echo; echo ' 12 '; echo message >&2");
	runs_assert_value(&run, "12");
	assert_string_equal(run.err.data, "message\n");
	runs_free(&run);
}

static void
stdout_that_is_no_json_is_a_failure_and_output(void **state)
{
	TestRun run = {0};

	(void) state;
	run_script(&run, "", "echo '[1, oops]'; echo hint >&2");
	runs_assert_error(&run, "22P02", "stdout is not valid JSON at byte ");
	assert_non_null(strstr(runs_error_text(&run, "message"), "line 1"));
	assert_non_null(runs_error_text(&run, "detail"));
	assert_string_equal(runs_error_text(&run, "stderr"), "hint\n");
	assert_null(json_object_get(run.end.value, "retryable"));
	assert_string_equal(run.out.data, "[1, oops]\n");
	runs_free(&run);
	run_script(&run, "", "echo 1 2");
	runs_assert_error(&run, "22P02", "stdout is not valid JSON");
	runs_free(&run);
	run_script(&run, "", "printf '\\\\377\\\\000'");
	runs_assert_error(&run, "22P02", "stdout is not valid JSON");
	assert_memory_equal(run.out.data, "\377\0", 2);
	runs_free(&run);
	run_script(&run, "", "echo ' '");
	runs_assert_error(&run, "22P02", "command wrote no result to stdout");
	assert_non_null(strstr(runs_error_text(&run, "hint"), "\"none\""));
	runs_free(&run);
}

static void
text_is_taken_as_it_is(void **state)
{
	TestRun run = {0};

	(void) state;
	run_script(&run, "`result`: `text`", "echo 'a '; echo; echo");
	runs_assert_value(&run, "`a \\n\\n`");
	runs_free(&run);
	runs_do(&run, "{`command`: [`true`], `result`: `text`}", "{}");
	runs_assert_value(&run, "``");
	runs_free(&run);
	run_script(&run, "`result`: `text`", "printf 'ab\\\\303'");
	runs_assert_error(&run, "22021", "stdout is not text at byte 3");
	assert_string_equal(run.out.data, "ab\303");
	runs_free(&run);
	run_script(&run, "`result`: `text`", "printf 'ab\\\\000'");
	runs_assert_error(&run, "22021", "stdout is not text at byte 3");
	runs_free(&run);
}

static void
no_result_makes_stdout_output(void **state)
{
	TestRun run = {0};

	(void) state;
	run_script(&run, "`result`: `none`", "echo out; echo err >&2");
	runs_assert_value(&run, "null");
	assert_string_equal(run.out.data, "out\n");
	assert_string_equal(run.err.data, "err\n");
	runs_free(&run);
	run_script(&run, "`result`: `none`, `output`: false", "echo out; echo err >&2; exit 1");
	runs_assert_error(&run, "ST014", "command exited with status 1");
	assert_string_equal(runs_error_text(&run, "stderr"), "err\n");
	assert_int_equal(run.out.rows + run.err.rows, 0);
	runs_free(&run);
	run_script(&run, "`output`: false", "echo no json");
	runs_assert_error(&run, "22P02", "");
	assert_int_equal(run.out.rows, 0);
	runs_free(&run);
}

static void
result_from_a_descriptor(void **state)
{
	TestRun run = {0};

	(void) state;
	run_script(&run, "`result`: {`fd`: 3}", "echo out; echo '{\\\"a\\\": 1}' >&3");
	runs_assert_value(&run, "{`a`: 1}");
	assert_string_equal(run.out.data, "out\n");
	runs_free(&run);
	run_script(&run, "`result`: {`fd`: 9}", "echo $STENT_RESULT_FD >&9");
	runs_assert_value(&run, "9");
	runs_free(&run);
	run_script(&run, "`result`: {`fd`: 3}", "true");
	runs_assert_error(&run, "22P02", "command wrote no result to the result descriptor");
	runs_free(&run);
	/* closed early: the child goes on, and counts */
	run_script(&run, "`result`: {`fd`: 3}", "echo 1 >&3; exec 3>&-; echo late");
	runs_assert_value(&run, "1");
	assert_string_equal(run.out.data, "late\n");
	runs_free(&run);
}

/* Writes an envelope on descriptor 3. */
static void
run_envelope(TestRun *run, const char *envelope)
{
	char script[1024];

	snprintf(script, sizeof(script), "echo '%s' >&3", envelope);
	run_script(run, "`result`: {`fd`: 3, `envelope`: true}", script);
}

static void
envelope_carries_effects(void **state)
{
	TestRun run = {0};
	char *effects;

	(void) state;
	run_envelope(&run, "{\\\"result\\\": [1], \\\"counters\\\": {\\\"n\\\": 1.5}, "
					   "\\\"context\\\": {\\\"k\\\": []}, \\\"shared\\\": {\\\"s\\\": -2}, "
					   "\\\"progress\\\": [{\\\"step\\\": \\\"a\\\", \\\"detail\\\": 1}]}");
	runs_assert_value(&run, "[1]");
	effects = json_dumps(run.end.effects, JSON_COMPACT | JSON_SORT_KEYS);
	assert_string_equal(effects, "{\"context\":{\"k\":[]},\"counters\":{\"n\":1.5},"
								 "\"progress\":[{\"detail\":1,\"step\":\"a\"}],\"shared\":{\"s\":"
								 "-2}}");
	free(effects);
	runs_free(&run);
	run_envelope(&run, "{}");
	runs_assert_value(&run, "null");
	assert_null(run.end.effects);
	runs_free(&run);
}

static void
envelope_of_another_shape_is_a_failure(void **state)
{
	static const char *const wrong[][2] = {
		{"[]", "the envelope is no object"},
		{"{\\\"results\\\": 1}", "\"results\""},
		{"{\\\"result\\\": [1], \\\"counters\\\": {\\\"n\\\": \\\"1\\\"}}", "\"counters\""},
		{"{\\\"counters\\\": []}", "\"counters\""},
		{"{\\\"context\\\": 1}", "\"context\""},
		{"{\\\"shared\\\": {\\\"s\\\": 1.5}}", "\"shared\""},
		{"{\\\"progress\\\": {}}", "\"progress\""},
		{"{\\\"progress\\\": [{\\\"detail\\\": 1}]}", "\"progress\""},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
	{
		TestRun run = {0};

		run_envelope(&run, wrong[i][0]);
		runs_assert_error(&run, "22023", wrong[i][1]);
		runs_free(&run);
	}
}

static void
exit_status_and_signal_are_in_the_error(void **state)
{
	TestRun run = {0};

	(void) state;
	run_script(&run, "", "echo half a result; echo why >&2; exit 3");
	runs_assert_error(&run, "ST014", "command exited with status 3");
	assert_int_equal(json_integer_value(json_object_get(run.end.value, "exit_code")), 3);
	assert_string_equal(runs_error_text(&run, "stderr"), "why\n");
	assert_null(json_object_get(run.end.value, "signal"));
	assert_null(json_object_get(run.end.value, "retryable"));
	assert_string_equal(run.out.data, "half a result\n");
	runs_free(&run);
	run_script(&run, "", "kill -9 $$");
	runs_assert_error(&run, "ST014", "command was killed by signal 9 (KILL)");
	assert_string_equal(runs_error_text(&run, "signal"), "SIGKILL");
	assert_null(json_object_get(run.end.value, "exit_code"));
	assert_null(json_object_get(run.end.value, "stderr"));
	runs_free(&run);
}

static void
command_names_its_own_error(void **state)
{
	TestRun run = {0};

	(void) state;
	run_script(&run, "",
			   "echo '{\\\"error\\\": {\\\"code\\\": \\\"ValueError\\\", \\\"message\\\": "
			   "\\\"no size\\\", \\\"retryable\\\": false, \\\"size\\\": 0}}'; exit 3");
	runs_assert_error(&run, "ValueError", "no size");
	assert_true(json_is_false(json_object_get(run.end.value, "retryable")));
	assert_int_equal(json_integer_value(json_object_get(run.end.value, "exit_code")), 3);
	assert_true(json_is_integer(json_object_get(run.end.value, "size")));
	assert_int_equal(run.out.rows, 0);
	runs_free(&run);
	run_script(&run, "`result`: {`fd`: 4}",
			   "echo '{\\\"error\\\": {\\\"message\\\": \\\"no size\\\"}}' >&4; exit 1");
	runs_assert_error(&run, "ST014", "no size");
	runs_free(&run);
	/* no message, wrong types: it is not what was agreed on */
	run_script(&run, "", "echo '{\\\"error\\\": {\\\"code\\\": \\\"X\\\"}}'; exit 1");
	runs_assert_error(&run, "ST014", "command exited with status 1");
	assert_int_equal(run.out.rows, 1);
	runs_free(&run);
	run_script(&run, "",
			   "echo '{\\\"error\\\": {\\\"code\\\": 5, \\\"message\\\": \\\"m\\\"}}'; exit 1");
	runs_assert_error(&run, "ST014", "command exited with status 1");
	runs_free(&run);
	/* status 0 is a success, whatever the result is called */
	run_script(&run, "", "echo '{\\\"error\\\": {\\\"message\\\": \\\"m\\\"}}'");
	runs_assert_value(&run, "{`error`: {`message`: `m`}}");
	runs_free(&run);
}

static void
end_of_stderr_is_kept_as_text(void **state)
{
	TestRun run = {0};
	const char *text;

	(void) state;
	run_script(&run, "`result`: `none`",
			   "yes \xC3\xA4 | head -n 5000 >&2; printf '\\\\377\\\\000end' >&2; exit 1");
	runs_assert_error(&run, "ST014", "status 1");
	text = runs_error_text(&run, "stderr");
	assert_in_range(strlen(text), 2040, 2048);
	assert_string_equal(text + strlen(text) - 9, "\xEF\xBF\xBD\xEF\xBF\xBD"
												 "end");
	assert_int_equal(run.err.size, 5000 * 3 + 5);
	runs_free(&run);
	/* what is replaced grows, but not over the limit */
	run_script(&run, "", "head -c 100000 /dev/zero >&2; exit 1");
	text = runs_error_text(&run, "stderr");
	assert_in_range(strlen(text), 2040, 2048);
	runs_free(&run);
}

static void
too_large_a_result_is_final(void **state)
{
	TestRun run = {0};

	(void) state;
	/* yes has no end of its own */
	runs_do(&run, "{`command`: [`yes`], `result_limit`: `100 kB`}", "{}");
	runs_assert_error(&run, "54000", "the result is larger than 102400 bytes");
	assert_true(json_is_false(json_object_get(run.end.value, "retryable")));
	assert_int_equal(run.out.size, 102400);
	runs_free(&run);
	run_script(&run, "`result_limit`: 4", "printf 1234");
	runs_assert_value(&run, "1234");
	runs_free(&run);
}

static void
stdin_is_as_configured(void **state)
{
	TestRun run = {0};

	(void) state;
	runs_do(&run, "{`command`: [`cat`], `stdin`: `task`}", "{`a`: 1}");
	runs_assert_value(&run, "{`id`: 42, `execution_id`: 41, `function`: `thumbnail`, `attempt`: 2, "
							"`args`: {`a`: 1}, `headers`: {`trace`: `abc`}}");
	runs_free(&run);
	runs_do(&run, "{`command`: [`cat`], `stdin`: `none`, `result`: `text`}", "{`a`: 1}");
	runs_assert_value(&run, "``");
	runs_free(&run);
	runs_do(&run, "{`command`: [`cat`], `result`: `text`}", "{`a`: [0.1, null]}");
	runs_assert_value(&run, "`{\\`a\\`:[0.1,null]}`");
	runs_free(&run);
	runs_do(&run, "{`command`: [`wc`, `-l`], `stdin`: `args`}", "{`a`: 1}");
	runs_assert_value(&run, "1");
	runs_free(&run);
}

static void
task_fills_in_arguments(void **state)
{
	TestRun run = {0};

	(void) state;
	runs_do(&run,
			"{`command`: [`printf`, `%s|`, `{args.s}`, `-{args.n}{args.o.k}-`, `{args.o}`, "
			"`{task.id} {task.attempt} {task.execution_id} {task.function}`, `{headers.trace}`, "
			"`{{args.s}`, `{args.l.1}`], `result`: `text`}",
			"{`s`: `$(id) ; \\\\n * 'x'`, `n`: 1.5, `o`: {`k`: true}, `l`: [1, `two`]}");
	runs_assert_value(&run, "`$(id) ; \\\\n * 'x'|-1.5true-|{\\`k\\`:true}|42 2 41 "
							"thumbnail|abc|{args.s}|two|`");
	runs_free(&run);
}

static void
what_a_task_lacks_is_named(void **state)
{
	TestRun run = {0};

	(void) state;
	runs_do(&run, "{`command`: [`echo`, `{args.a.b}`]}", "{`a`: {`c`: 1}}");
	runs_assert_error(&run, "22023", "the task has no args.a.b");
	assert_true(json_is_false(json_object_get(run.end.value, "retryable")));
	runs_free(&run);
	runs_do(&run, "{`command`: [`echo`], `env`: {`A`: `{headers.b}`}}", "{}");
	runs_assert_error(&run, "22023", "the task has no headers.b");
	runs_free(&run);
}

static void
environment_is_as_configured(void **state)
{
	TestRun run = {0};

	(void) state;
	runs_do(&run,
			"{`command`: [`env`], `clear_env`: true, `result`: `text`, "
			"`env`: {`A`: `x {args.a}`}}",
			"{`a`: `= y`}");
	runs_assert_value(&run, "`A=x = y\\nSTENT_TASK_ID=42\\nSTENT_EXECUTION_ID=41\\nSTENT_ATTEMPT="
							"2\\nSTENT_FUNCTION=thumbnail`");
	runs_free(&run);
	setenv("TEST_INHERITED", "1", 1);
	setenv("TEST_REPLACED", "1", 1);
	setenv("STENT_TASK_ID", "1", 1);
	runs_do(&run,
			"{`command`: [`sh`, `-c`, `env | grep -E '^(TEST_|STENT_TASK)' | sort`], "
			"`env`: {`TEST_REPLACED`: `2`}, `result`: `text`}",
			"{}");
	runs_assert_value(&run, "`STENT_TASK_ID=42\\nTEST_INHERITED=1\\nTEST_REPLACED=2`");
	runs_free(&run);
	unsetenv("STENT_TASK_ID");
	runs_do(&run, "{`command`: [`cat`], `env`: {`PATH`: `/etc:/nowhere:`}}", "{}");
	runs_assert_error(&run, "ST014", "cannot execute \"cat\": No such file or directory");
	runs_free(&run);
	run_script(&run, "`cwd`: `/usr/bin`, `umask`: `0137`, `result`: `text`", "pwd; umask");
	runs_assert_value(&run, "`/usr/bin\\n0137`");
	runs_free(&run);
}

static void
what_cannot_be_executed_is_a_failure(void **state)
{
	TestRun run = {0};
	char path[] = "/tmp/stent-test-XXXXXX";
	char config[256];
	char *huge = malloc(300000);
	int fd = mkstemp(path);

	(void) state;
	runs_do(&run, "{`command`: [`no-such-program`]}", "{}");
	runs_assert_error(&run, "ST014",
					  "cannot execute \"no-such-program\": No such file or directory");
	assert_null(json_object_get(run.end.value, "retryable"));
	runs_free(&run);
	runs_do(&run, "{`command`: [`/etc/passwd`]}", "{}");
	runs_assert_error(&run, "ST014", "cannot execute \"/etc/passwd\": Permission denied");
	runs_free(&run);
	runs_do(&run, "{`command`: [`cat`], `cwd`: `/no/where`}", "{}");
	runs_assert_error(&run, "ST014", "cannot enter directory \"/no/where\": No such file");
	runs_free(&run);
	/* a script without interpreter is not given to a shell */
	assert_int_equal(write(fd, "echo 1\n", 7), 7);
	fchmod(fd, 0755);
	close(fd);
	snprintf(config, sizeof(config), "{`command`: [`%s`]}", path);
	runs_do(&run, config, "{}");
	runs_assert_error(&run, "ST014", "Exec format error");
	runs_free(&run);
	unlink(path);
	memset(huge, 'x', 300000);
	memcpy(huge, "{`a`: `", 7);
	memcpy(huge + 300000 - 3, "`}", 3);
	runs_do(&run, "{`command`: [`echo`, `{args.a}`]}", huge);
	runs_assert_error(&run, "ST014", "Argument list too long");
	assert_true(json_is_false(json_object_get(run.end.value, "retryable")));
	runs_free(&run);
	free(huge);
}

/* Writes a file in a directory. */
static void
put_file(int directory, const char *name, const char *text)
{
	int fd = openat(directory, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t) strlen(text));
	close(fd);
}

/* What docs/worker.md begins with. */
static void
files_are_worked_on(void **state)
{
	TestRun run = {0};
	char path[] = "/tmp/stent-test-XXXXXX";
	char config[512];
	char args[256];
	int directory;

	(void) state;
	assert_non_null(mkdtemp(path));
	directory = open(path, O_DIRECTORY | O_CLOEXEC);
	put_file(directory, "a b.csv", "test");
	put_file(directory, "c.csv", "1\n2\n");
	put_file(
		directory, "summary",
		"#!/bin/sh\nset -eu\necho \"reading $1\" >&2\nlines=$(wc -l <\"$1\")\n"
		"if [ \"$lines\" -eq 0 ]; then\n"
		"    echo '{\"error\": {\"code\": \"EmptyFile\", \"message\": \"there is nothing in "
		"it\", \"retryable\": false}}' >&3\n    exit 1\nfi\n"
		"echo \"{\\\"result\\\": {\\\"lines\\\": $lines}, \\\"counters\\\": {\\\"files\\\": 1, "
		"\\\"lines\\\": $lines}}\" >&3\n");

	snprintf(config, sizeof(config),
			 "{`command`: [`sha256sum`, `--`, `{args.file}`], `cwd`: `%s`, `stdin`: `none`, "
			 "`result`: `text`, `timeout`: `10m`}",
			 path);
	runs_do(&run, config, "{`file`: `a b.csv`}");
	runs_assert_value(
		&run, "`9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08  a b.csv`");
	runs_free(&run);

	snprintf(config, sizeof(config),
			 "{`command`: [`%s/summary`, `{args.file}`], `result`: {`fd`: 3, `envelope`: true}}",
			 path);
	snprintf(args, sizeof(args), "{`file`: `%s/c.csv`}", path);
	runs_do(&run, config, args);
	runs_assert_value(&run, "{`lines`: 2}");
	assert_int_equal(
		json_integer_value(json_object_get(json_object_get(run.end.effects, "counters"), "lines")),
		2);
	assert_int_equal(strncmp(run.err.data, "reading /tmp", 12), 0);
	runs_free(&run);
	snprintf(args, sizeof(args), "{`file`: `%s/a b.csv`}", path);
	runs_do(&run, config, args);
	runs_assert_error(&run, "EmptyFile", "there is nothing in it");
	runs_free(&run);

	unlinkat(directory, "a b.csv", 0);
	unlinkat(directory, "c.csv", 0);
	unlinkat(directory, "summary", 0);
	close(directory);
	rmdir(path);
}

static void
wrong_configurations_are_refused(void **state)
{
	static const char *const wrong[][2] = {
		{"{}", "\"command\" is missing"},
		{"{\"command\": \"ls\"}", "\"command\" must be a list of texts"},
		{"{\"command\": []}", "\"command\" must be a list of texts"},
		{"{\"command\": [\"\"]}", "element 1 must be a text, the program"},
		{"{\"command\": [\"ls\", 1]}", "element 2 must be a text"},
		{"{\"command\": [\"{args.x}\"]}", "the program cannot come from the task"},
		{"{\"command\": [\"ls\", \"{arg.x}\"]}", "\"{arg.x}\""},
		{"{\"command\": [\"ls\"], \"noop\": {}}", "exclude each other"},
		{"{\"command\": [\"ls\"], \"stdinn\": \"args\"}", "unknown key \"stdinn\""},
		{"{\"command\": [\"ls\"], \"stdin\": \"all\"}", "\"stdin\" must be"},
		{"{\"command\": [\"ls\"], \"result\": 1}", "\"result\" must be"},
		{"{\"command\": [\"ls\"], \"result\": {\"fd\": 2}}", "\"fd\" must be a number from 3"},
		{"{\"command\": [\"ls\"], \"result\": {\"fd\": 3, \"x\": 1}}", "nothing else"},
		{"{\"command\": [\"ls\"], \"result\": {\"fd\": 3, \"envelope\": 1}}", "\"envelope\""},
		{"{\"command\": [\"ls\"], \"timeout\": \"soon\"}", "\"timeout\" must be a duration"},
		{"{\"command\": [\"ls\"], \"timeout\": \"0s\"}", "\"timeout\" must be a duration longer"},
		{"{\"command\": [\"ls\"], \"grace\": 5}", "\"grace\" must be a duration"},
		{"{\"command\": [\"ls\"], \"env\": []}", "\"env\" must be an object"},
		{"{\"command\": [\"ls\"], \"env\": {\"A\": 1}}", "\"A\" must be a name with a text"},
		{"{\"command\": [\"ls\"], \"env\": {\"A=\": \"\"}}", "\"A=\" must be a name"},
		{"{\"command\": [\"ls\"], \"env\": {\"STENT_TASK_ID\": \"\"}}", "is set by the worker"},
		{"{\"command\": [\"ls\"], \"env\": {\"A\": \"{x\"}}", "\"env\": A: "},
		{"{\"command\": [\"ls\"], \"clear_env\": 0}", "\"clear_env\" must be"},
		{"{\"command\": [\"ls\"], \"cwd\": \"tmp\"}", "\"cwd\" must be an absolute path"},
		{"{\"command\": [\"ls\"], \"umask\": \"1777\"}", "\"umask\" must be"},
		{"{\"command\": [\"ls\"], \"umask\": 18}", "\"umask\" must be"},
		{"{\"command\": [\"ls\"], \"output\": \"yes\"}", "\"output\" must be"},
		{"{\"command\": [\"ls\"], \"result_limit\": \"1TB\"}", "\"result_limit\" must be"},
		{"{\"command\": [\"ls\"], \"result_limit\": \"2GB\"}", "\"result_limit\" must be"},
		{"{\"command\": [\"ls\"], \"result_limit\": 0}", "\"result_limit\" must be"},
	};
	char problem[256];

	(void) state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
	{
		json_t *json = json_loads(wrong[i][0], 0, NULL);

		assert_non_null(json);
		assert_null(handler_spec_new("f", json, problem, sizeof(problem)));
		if (!strstr(problem, wrong[i][1]))
			fail_msg("%s: %s", wrong[i][0], problem);
		json_decref(json);
	}
}

static void
noop_succeeds_from_the_loop(void **state)
{
	TestRun run = {0};

	(void) state;
	runs_do(&run, "{`noop`: {}}", "{}");
	runs_assert_value(&run, "null");
	runs_free(&run);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_RUNS(stdout_is_the_result),
		WITH_RUNS(stdout_that_is_no_json_is_a_failure_and_output),
		WITH_RUNS(text_is_taken_as_it_is),
		WITH_RUNS(no_result_makes_stdout_output),
		WITH_RUNS(result_from_a_descriptor),
		WITH_RUNS(envelope_carries_effects),
		WITH_RUNS(envelope_of_another_shape_is_a_failure),
		WITH_RUNS(exit_status_and_signal_are_in_the_error),
		WITH_RUNS(command_names_its_own_error),
		WITH_RUNS(end_of_stderr_is_kept_as_text),
		WITH_RUNS(too_large_a_result_is_final),
		WITH_RUNS(stdin_is_as_configured),
		WITH_RUNS(task_fills_in_arguments),
		WITH_RUNS(what_a_task_lacks_is_named),
		WITH_RUNS(environment_is_as_configured),
		WITH_RUNS(what_cannot_be_executed_is_a_failure),
		WITH_RUNS(files_are_worked_on),
		WITH_RUNS(wrong_configurations_are_refused),
		WITH_RUNS(noop_succeeds_from_the_loop),
	};

	return cmocka_run_group_tests(tests, runs_begin, runs_end);
}
