/*
 * test_text.c
 *	  Tests of text: where UTF-8 ends, and what becomes of bytes that are none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "text.h"

#define MENDED "\xEF\xBF\xBD"

/* Bytes, how many, how many of them are text, and how many are whole. */
static const struct
{
	const char *bytes;
	size_t size;
	size_t text;
	size_t whole;
	const char *mended;
} cases[] = {
	{"", 0, 0, 0, ""},
	{"abc", 3, 3, 3, "abc"},
	{"a\0b", 3, 1, 3, "a" MENDED "b"},
	{"\xC3\xA4", 2, 2, 2, "\xC3\xA4"},
	{"a\xC3", 2, 1, 1, "a" MENDED},
	{"\xE2\x82\xAC", 3, 3, 3, "\xE2\x82\xAC"},
	{"\xE2\x82", 2, 0, 0, MENDED MENDED},
	{"\xF0\x9F\x98\x80", 4, 4, 4, "\xF0\x9F\x98\x80"},
	{"x\xF0\x9F\x98", 4, 1, 1, "x" MENDED MENDED MENDED},
	{"\xC3\xC3", 2, 0, 1, MENDED MENDED},
	{"\x80\xBF", 2, 0, 2, MENDED MENDED},
	{"\xC0\x80", 2, 0, 2, MENDED MENDED},                       /* too long a form */
	{"\xE0\x9F\xBF", 3, 0, 3, MENDED MENDED MENDED},            /* the same */
	{"\xF0\x8F\xBF\xBF", 4, 0, 4, MENDED MENDED MENDED MENDED}, /* the same */
	{"\xED\xA0\x80", 3, 0, 3, MENDED MENDED MENDED},            /* a surrogate */
	{"\xED\x9F\xBF", 3, 3, 3, "\xED\x9F\xBF"},
	{"\xF4\x8F\xBF\xBF", 4, 4, 4, "\xF4\x8F\xBF\xBF"},
	{"\xF4\x90\x80\x80", 4, 0, 4, MENDED MENDED MENDED MENDED}, /* beyond U+10FFFF */
	{"\xF5", 1, 0, 1, MENDED},
	{"\xED\xA0", 2, 0, 2, MENDED MENDED}, /* cannot become a character any more */
};

static void
bytes_are_seen_for_what_they_are(void **state)
{
	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		/* of just the right size, for the sanitizer to see what is read */
		char *bytes = malloc(cases[i].size + 1);
		json_t *json;

		memcpy(bytes + 1, cases[i].bytes, cases[i].size);
		assert_int_equal(text_invalid_at(bytes + 1, cases[i].size), cases[i].text);
		assert_int_equal(text_whole(bytes + 1, cases[i].size), cases[i].whole);
		json = text_json(bytes + 1, cases[i].size);
		assert_string_equal(json_string_value(json), cases[i].mended);
		json_decref(json);
		free(bytes);
	}
}

static void
end_begins_with_a_character(void **state)
{
	static const char *const ends[] = {"",
									   "b",
									   "b",
									   "b",
									   "\xE2\x82\xAC"
									   "b",
									   "\xE2\x82\xAC"
									   "b",
									   "\xC3\xA4\xE2\x82\xAC"
									   "b",
									   "a\xC3\xA4\xE2\x82\xAC"
									   "b"};
	json_t *json;

	(void) state;
	for (size_t limit = 0; limit < sizeof(ends) / sizeof(ends[0]); limit++)
	{
		json = text_json_end("a\xC3\xA4\xE2\x82\xAC"
							 "b",
							 7, limit);
		assert_string_equal(json_string_value(json), ends[limit]);
		json_decref(json);
	}
	json = text_json_end("a\xC3\xA4", 3, 3);
	assert_string_equal(json_string_value(json), "a\xC3\xA4");
	json_decref(json);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_are_seen_for_what_they_are),
		cmocka_unit_test(end_begins_with_a_character),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
