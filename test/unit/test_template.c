/*
 * test_template.c
 *	  Tests of templates: what is read, what is refused, what a task fills in.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "template.h"

static StentTask task;

static int
make_task(void **state)
{
	(void) state;
	task = (StentTask){
		.id = 9007199254740991, .execution_id = 41, .function = "f", .priority = -5, .attempt = 3};
	task.args = json_pack("{s:s, s:n, s:f, s:b, s:{s:{s:i}}, s:[i, {s:s}], s:s, s:s}", "s", "a b",
						  "null", "real", 0.1, "flag", 0, "o", "o", "i", -7, "list", 1, "k", "deep",
						  "dotted.key", "no", "", "empty");
	task.headers = json_pack("{s:s}", "h", "\xC3\xA4");
	json_object_set_new(task.args, "nul", json_stringn("a\0b", 3));
	assert_non_null(task.args);
	return 0;
}

static int
free_task(void **state)
{
	(void) state;
	json_decref(task.args);
	json_decref(task.headers);
	return 0;
}

static void
places_are_filled_in(void **state)
{
	static const char *const cases[][2] = {
		{"", ""},
		{"plain } text }}", "plain } text }}"},
		{"{args.s}", "a b"},
		{"<{args.s}{args.s}>", "<a ba b>"},
		{"{{args.s}", "{args.s}"},
		{"{{{{{args.s}{{", "{{a b{"},
		{"{args.null} {args.real} {args.flag}", "null 0.1 false"},
		{"{args.o.o.i}", "-7"},
		{"{args.o}", "{\"o\":{\"i\":-7}}"},
		{"{args.list.0} {args.list.1.k}", "1 deep"},
		{"{headers.h}|{headers}", "\xC3\xA4|{\"h\":\"\xC3\xA4\"}"},
		{"{task.id} {task.execution_id} {task.attempt} {task.priority} {task.function}",
		 "9007199254740991 41 3 -5 f"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char problem[256];
		Template *tpl = template_new(cases[i][0], problem, sizeof(problem));
		char *text;

		if (!tpl)
			fail_msg("%s: %s", cases[i][0], problem);
		assert_int_equal(template_expand(tpl, "N=", &task, &text, problem, sizeof(problem)),
						 TEMPLATE_OK);
		assert_memory_equal(text, "N=", 2);
		assert_string_equal(text + 2, cases[i][1]);
		assert_int_equal(template_is_plain(tpl), i < 2 || i == 4);
		free(text);
		template_free(tpl);
	}
}

static void
what_is_no_template_is_refused(void **state)
{
	static const char *const cases[][2] = {
		{"{", "has no }"},
		{"a {args.b", "has no }"},
		{"{}", "\"{}\" is none of"},
		{"{arg.x}", "\"{arg.x}\" is none of"},
		{"{argsx}", "is none of"},
		{"{ args.x}", "is none of"},
		{"{task}", "is none of"},
		{"{task.}", "is none of"},
		{"{args.}", "empty name"},
		{"{args..x}", "empty name"},
		{"{task.token}", "a task has id"},
		{"{task.id.x}", "a task has id"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char problem[256];

		assert_null(template_new(cases[i][0], problem, sizeof(problem)));
		if (!strstr(problem, cases[i][1]))
			fail_msg("%s: %s", cases[i][0], problem);
	}
}

static void
what_a_task_lacks_is_told(void **state)
{
	static const struct
	{
		const char *text;
		TemplateStatus status;
		const char *problem;
	} cases[] = {
		{"x {args.a}", TEMPLATE_MISSING, "the task has no args.a"},
		{"{args.s.a}", TEMPLATE_MISSING, "the task has no args.s.a"},
		{"{args.list.2}", TEMPLATE_MISSING, "the task has no args.list.2"},
		{"{args.list.-1}", TEMPLATE_MISSING, "the task has no args.list.-1"},
		{"{args.list.0x0}", TEMPLATE_MISSING, "the task has no args.list.0x0"},
		{"{args.dotted.key}", TEMPLATE_MISSING, "the task has no args.dotted.key"},
		{"{headers.s}", TEMPLATE_MISSING, "the task has no headers.s"},
		{"{task.queue}", TEMPLATE_MISSING, "the task has no task.queue"},
		{"{args.nul}", TEMPLATE_NUL, "args.nul has a NUL character"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char problem[256] = "";
		Template *tpl = template_new(cases[i].text, problem, sizeof(problem));
		char *text;

		assert_non_null(tpl);
		assert_int_equal(template_expand(tpl, "", &task, &text, problem, sizeof(problem)),
						 cases[i].status);
		assert_string_equal(problem, cases[i].problem);
		template_free(tpl);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(places_are_filled_in),
		cmocka_unit_test(what_is_no_template_is_refused),
		cmocka_unit_test(what_a_task_lacks_is_told),
	};

	return cmocka_run_group_tests(tests, make_task, free_task);
}
