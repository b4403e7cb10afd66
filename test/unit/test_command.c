/*
 * test_command.c
 *	  Tests of the command handler: results, errors, templates, environment.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runs.h"

static void
result_is_what_stdout_says(void **state)
{
	TestRun run = {0};

	(void) state;
	runs_do(&run, "{'command': ['cat']}", "{'a': [1, 'x']}");
	runs_assert_value(&run, "{'a': [1, 'x']}");
	assert_null(run.end.effects);
	assert_int_equal(run.out.rows, 0); /* a result is no output */
	runs_free(&run);
}

#define WITH_RUNS(test) cmocka_unit_test_setup_teardown(test, runs_check_before, runs_check_after)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_RUNS(result_is_what_stdout_says),
	};

	return cmocka_run_group_tests(tests, runs_begin, runs_end);
}
