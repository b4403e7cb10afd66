/*
 * test_cli.c
 *	  What the commands are made of and needs no server: texts, tables, options, conninfo,
 *	  JSON that is read and printed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <libpq-fe.h>

#include "cli_input.h"
#include "cli_json.h"
#include "help.h"
#include "options.h"
#include "show.h"
#include "table.h"
#include "display.h"

static const Option no_options[] = {{0, NULL, NULL, NULL, NULL}};
static const Option some_options[] = {{'n', "limit", "COUNT", "How many", "20"},
									  {OPTION_LONG_ONLY, "wait", "[DURATION]", "How long", NULL},
									  {'j', "json", NULL, "JSON", NULL},
									  {0, NULL, NULL, NULL, NULL}};
static const CommandPage page = {
	.name = "test", .usage = "", .about = "", .options = no_options, .more = NULL};
static const CommandPage other_page = {
	.name = "test", .usage = "", .about = "", .options = some_options, .more = NULL};

static void
clean_is(const char *text, size_t size, bool keep_lines, const char *expected)
{
	char *clean = display_clean(text, size, keep_lines);

	assert_string_equal(clean, expected);
	free(clean);
}

static void
test_clean(void **state)
{
	(void) state;
	clean_is("plain", 5, false, "plain");
	clean_is("a\nb\tc\r", 6, false, "a\\nb\\tc\\r");
	clean_is("a\nb\tc\r", 6, true, "a\nb\tc\\r");
	clean_is("\033[31m", 5, true, "\\x1b[31m");
	clean_is("a\0b", 3, false, "a\\x00b");
	clean_is("gr\xc3\xbc\xc3\x9f", 6, false, "gr\xc3\xbc\xc3\x9f");
	clean_is("\xff\xc3", 2, false, "\\xff\\xc3");          /* no UTF-8, and a cut one */
	clean_is("\xc0\xaf", 2, false, "\\xc0\\xaf");          /* longer than it need be */
	clean_is("\xed\xa0\x80", 3, false, "\\xed\\xa0\\x80"); /* a surrogate */
	clean_is("\xc2\x9b", 2, false, "\\xc2\\x9b");          /* CSI in one character */
	clean_is("\xe2\x80\xae", 3, false, "\\xe2\\x80\\xae"); /* right to left from here on */
}

static void
test_width(void **state)
{
	(void) state;
	assert_int_equal(display_width("abc"), 3);
	assert_int_equal(display_width("gr\xc3\xbc\xc3\x9f"), 4);
	assert_int_equal(display_width("\xe6\x9d\xb1\xe4\xba\xac"), 4); /* two wide ones */
	assert_int_equal(display_width("e\xcc\x81"), 1);                /* an accent of its own */
}

static void
test_times(void **state)
{
	char buffer[DISPLAY_TIME_SIZE];

	(void) state;
	assert_string_equal(display_moment("2026-01-31T12:00:05.123456", buffer),
						"2026-01-31 12:00:05");
	assert_string_equal(display_moment(NULL, buffer), "");
	assert_string_equal(display_moment("a text that is far longer than any moment can be", buffer),
						"a text that is far longer than any mome");
	assert_string_equal(display_between("2026-02-28T23:59:59.5", "2026-03-01T00:00:00.75", buffer),
						"1.250s");
	assert_string_equal(display_between("2026-02-28T23:59:59", NULL, buffer), "");
	assert_string_equal(display_between("2026-02-28T23:59:59", "2026-02-28T23:00:00", buffer),
						"0.000s");
	assert_string_equal(display_duration(12.34, buffer), "12.3s");
	assert_string_equal(display_duration(125, buffer), "2m5s");
	assert_string_equal(display_duration(5400, buffer), "1h30m");
	assert_string_equal(display_duration(100 * 3600.0, buffer), "4d4h");
}

static const char *
red(const char *cell)
{
	return strcmp(cell, "bad") == 0 ? "31" : NULL;
}

static void
table_is(bool colours, const char *expected)
{
	static const TableColumn columns[] = {
		{"id", true, NULL}, {"state", false, red}, {"name", false, NULL}};
	const char *first[] = {"7", "bad", "gr\xc3\xbc\xc3\x9f\n"};
	const char *second[] = {"1234", "fine", NULL};
	Table *table = table_new(columns, 3);
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	table_add(table, first);
	table_add(table, second);
	for (int i = 0; i < 100; i++)
		table_add(table, second);
	table_print(table, out, colours);
	table_free(table);
	fclose(out);
	/* the rest is the last line again and again */
	assert_int_equal(strncmp(text, expected, strlen(expected)), 0);
	free(text);
}

static void
test_table(void **state)
{
	(void) state;
	table_is(false, "  id  state  name\n"
					"   7  bad    gr\xc3\xbc\xc3\x9f\\n\n"
					"1234  fine\n"
					"1234  fine\n");
	table_is(true, "  \033[1mid\033[0m  \033[1mstate\033[0m  \033[1mname\033[0m\n"
				   "   7  \033[31mbad\033[0m    gr\xc3\xbc\xc3\x9f\\n\n"
				   "1234  fine\n");
}

static void
test_nearest(void **state)
{
	static const char *const names[] = {"worker", "dispatch", "wait", "list", "show"};

	(void) state;
	assert_string_equal(help_nearest("wiat", names, 5), "wait");
	assert_string_equal(help_nearest("dispach", names, 5), "dispatch");
	assert_string_equal(help_nearest("ls", names, 5) ? "some" : "none", "none");
	assert_null(help_nearest("frobnicate", names, 5));
	assert_null(help_nearest("", names, 5));
	assert_null(
		help_nearest("a word that is much longer than any name can be, far too long", names, 5));
}

static void
test_options(void **state)
{
	char *line[] = {"test",      "7", "-n5", "--wait", "-h", "there",
					"--wait=5m", "x", "-j",  "--",     "-n", NULL};
	Options options;
	const char *argument;

	(void) state;
	options_begin(&options, &other_page, 11, line);
	assert_int_equal(options_next(&options, &argument), 'n');
	assert_string_equal(argument, "5");
	assert_int_equal(options_next(&options, &argument), OPTION_LONG_ONLY);
	assert_null(argument);
	assert_int_equal(options_next(&options, &argument), OPTION_LONG_ONLY);
	assert_string_equal(argument, "5m");
	assert_string_equal(options.host, "there");
	assert_int_equal(options_next(&options, &argument), 'j');
	assert_int_equal(options_next(&options, &argument), OPTIONS_END);
	assert_int_equal(options.n_operands, 3);
	assert_string_equal(options.operands[0], "7");
	assert_string_equal(options.operands[1], "x");
	assert_string_equal(options.operands[2], "-n");
	options_end(&options);
}

static void
test_wrong_options(void **state)
{
	char *lines[][3] = {{"test", "--limt=3", NULL},
						{"test", "-n", NULL},
						{"test", "--limit", NULL},
						{"test", "--json=3", NULL},
						{"test", "-X", NULL}};

	(void) state;
	for (int i = 0; i < 5; i++)
	{
		Options options;
		const char *argument;

		options_begin(&options, &other_page, 2, lines[i]);
		assert_int_equal(options_next(&options, &argument), OPTIONS_STOP);
		assert_int_equal(options.exit_code, EXIT_USAGE);
		options_end(&options);
	}
}

/* What libpq understands of the conninfo made of connection options. */
static void
conninfo_is(const char *host, const char *user, const char *dbname, const char *expected_host,
			const char *expected_user, const char *expected_dbname)
{
	Options options = {.page = &page, .host = host, .user = user, .dbname = dbname};
	char *conninfo = options_conninfo(&options);
	char *problem = NULL;
	PQconninfoOption *parts = PQconninfoParse(conninfo, &problem);
	int seen = 0;

	assert_string_equal(problem ? problem : "", "");
	for (PQconninfoOption *part = parts; part->keyword; part++)
	{
		const char *expected = strcmp(part->keyword, "host") == 0     ? expected_host
							   : strcmp(part->keyword, "user") == 0   ? expected_user
							   : strcmp(part->keyword, "dbname") == 0 ? expected_dbname
							   : strcmp(part->keyword, "fallback_application_name") == 0
								   ? "stent test"
								   : NULL;

		assert_string_equal(part->val ? part->val : "none", expected ? expected : "none");
		seen += part->val != NULL;
	}
	assert_true(seen > 0);
	PQconninfoFree(parts);
	free(conninfo);
}

static void
test_conninfo(void **state)
{
	(void) state;
	conninfo_is(NULL, NULL, NULL, NULL, NULL, NULL);
	conninfo_is("/tmp/a b", "o'neil\\", "an app", "/tmp/a b", "o'neil\\", "an app");
	conninfo_is(NULL, NULL, "host=a dbname='x y'", "a", NULL, "x y");
	conninfo_is("b", NULL, "host=a user=c dbname=x", "b", "c", "x");
	conninfo_is(NULL, NULL, "postgresql://c@a/x", "a", "c", "x");
	conninfo_is("/tmp/a b&?", "o'neil", "postgres://c@a/x?host=d", "/tmp/a b&?", "o'neil", "x");
}

static void
json_is(const char *text, const char *expected)
{
	char problem[200];
	json_t *value = cli_json_read(text, strlen(text), problem, sizeof(problem));
	char *printed = NULL;
	size_t size;
	FILE *out = open_memstream(&printed, &size);

	assert_non_null(value);
	cli_json_print(out, value, false);
	fclose(out);
	assert_string_equal(printed, expected);
	free(printed);
	json_decref(value);
}

static void
test_json(void **state)
{
	(void) state;
	json_is("{\"a\":[1,2.50,0.1,1e300,-0.0],\"b\":{},\"c\":[]}",
			"{\"a\": [1, 2.5, 0.1, 1e+300, -0.0], \"b\": {}, \"c\": []}");
	json_is("\"\\u001b\\n\\u00fc\"", "\"\\u001b\\n\xc3\xbc\"");
	json_is(" null ", "null");
	json_is("0.30000000000000004", "0.30000000000000004");
}

static void
test_json_problems(void **state)
{
	char problem[200];

	(void) state;
	assert_null(cli_json_read("{\"a\":\n  x}", 10, problem, sizeof(problem)));
	assert_non_null(strstr(problem, "line 2, column 3"));
	assert_null(cli_json_read("{\"a\": 1, \"a\": 2}", 16, problem, sizeof(problem)));
	assert_non_null(strstr(problem, "duplicate"));
	assert_null(cli_json_read("{} {}", 5, problem, sizeof(problem)));
	assert_null(cli_json_read("", 0, problem, sizeof(problem)));
}

static void
test_pairs(void **state)
{
	Options options = {.page = &page};
	json_t *object = NULL;
	json_t *expected =
		json_pack("{s:s, s:{s:[i]}, s:s, s:s}", "a", "1", "b", "c", 2, "d", "x:=y", "e", "");

	(void) state;
	assert_true(input_pair(&options, "--arg", "a=1", &object));
	assert_true(input_pair(&options, "--arg", "b:={\"c\": [2]}", &object));
	assert_true(input_pair(&options, "--arg", "d=x:=y", &object));
	assert_true(input_pair(&options, "--arg", "e=", &object));
	assert_false(input_pair(&options, "--arg", "a=2", &object));
	assert_false(input_pair(&options, "--arg", "f:=", &object));
	assert_false(input_pair(&options, "--arg", "=1", &object));
	assert_false(input_pair(&options, "--arg", ":=1", &object));
	assert_false(input_pair(&options, "--arg", "g", &object));
	assert_false(input_pair(&options, "--arg", "h=\xff", &object));
	assert_true(json_equal(object, expected));
	assert_true(input_args(&options, "{\"i\": 1}", &object));
	assert_int_equal(json_object_size(object), 5);
	assert_false(input_args(&options, "{\"i\": 2}", &object));
	assert_false(input_args(&options, "5m", &object));
	json_decref(object);
	json_decref(expected);
}

static void
test_moments(void **state)
{
	static const char *const good[] = {"2026-01-31", "2026-01-31 12:00", "2026-01-31T12:00:05.5Z"};
	static const char *const bad[] = {"tomorrow", "2026-01-31 12:00+02", "2026-01-31Z", "12:00",
									  ""};
	Options options = {.page = &page};

	(void) state;
	for (int i = 0; i < 3; i++)
		assert_true(input_moment(&options, good[i]));
	for (int i = 0; i < 5; i++)
		assert_false(input_moment(&options, bad[i]));
}

static void
output_is(void (*show)(FILE *, const json_t *), const char *rows, const char *expected,
		  size_t length)
{
	json_t *value = json_loads(rows, JSON_ALLOW_NUL, NULL);
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(value);
	show(out, value);
	fclose(out);
	assert_int_equal(size, length);
	assert_memory_equal(text, expected, length);
	free(text);
	json_decref(value);
}

static void
test_output(void **state)
{
	/* a character in two rows, another stream, a byte that is none, a NUL */
	static const char rows[] =
		"[{\"attempt\":1,\"stream\":\"stdout\",\"text\":null,\"hex\":\"61c3\"},"
		"{\"attempt\":1,\"stream\":\"stdout\",\"text\":null,\"hex\":\"bc0a\"},"
		"{\"attempt\":1,\"stream\":\"stderr\",\"text\":\"no\",\"hex\":null},"
		"{\"attempt\":2,\"stream\":\"stderr\",\"text\":null,\"hex\":\"ff00\"}]";
	static const char page_text[] = "--- attempt 1, stdout ---\na\xc3\xbc\n"
									"--- attempt 1, stderr ---\nno\n"
									"--- attempt 2, stderr ---\n\\xff\\x00\n";
	static const char raw[] = "a\xc3\xbc\nno\xff";

	(void) state;
	output_is(show_output, rows, page_text, sizeof(page_text) - 1);
	output_is(show_raw_output, rows, raw, sizeof(raw)); /* the NUL of raw is part of it */
	output_is(show_output, "[]", "  none\n", 7);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clean),         cmocka_unit_test(test_width),
		cmocka_unit_test(test_times),         cmocka_unit_test(test_table),
		cmocka_unit_test(test_nearest),       cmocka_unit_test(test_options),
		cmocka_unit_test(test_wrong_options), cmocka_unit_test(test_conninfo),
		cmocka_unit_test(test_json),          cmocka_unit_test(test_json_problems),
		cmocka_unit_test(test_pairs),         cmocka_unit_test(test_moments),
		cmocka_unit_test(test_output)};

	display_begin();
	return cmocka_run_group_tests_name("cli", tests, NULL, NULL);
}
