/*
 * test_values.c
 *	  What the library makes of values without a server: durations, delays, errors, JSON.
 */
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "json.h"
#include "params.h"
#include "support.h"
#include "types.h"

static void
durations(void **state)
{
	static const struct
	{
		const char *text;
		double seconds;
	} good[] = {{"30s", 30},
				{"5m", 300},
				{"1h30m", 5400},
				{"1.5h", 5400},
				{"2d8h", 201600},
				{"1w", 604800},
				{"0s", 0},
				{"0.000001s", 0.000001},
				{" 1s\t", 1},
				{"1s1s", 2},
				{"1m1.25s", 61.25},
				{"0.0000004s", 0},
				{"3000000w", 1814400000000.0}};
	static const char *const bad[] = {"",
									  " ",
									  "5",
									  "s",
									  "5 m",
									  "1h 30m",
									  "-1s",
									  "+1s",
									  "1.s",
									  ".5s",
									  "1e3s",
									  "5M",
									  "5ms",
									  "1,5h",
									  "1s,",
									  "0x10s",
									  "99999999999999999999s",
									  "1s x",
									  "9000000000000000000s",
									  "4000000w"};
	double seconds = -1;

	(void) state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
	{
		if (!stent_duration_parse(good[i].text, &seconds))
			fail_msg("\"%s\" is not read", good[i].text);
		if (fabs(seconds - good[i].seconds) > 1e-9)
			fail_msg("\"%s\" is read as %f", good[i].text, seconds);
	}
	seconds = -1;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (stent_duration_parse(bad[i], &seconds) || seconds != -1)
			fail_msg("\"%s\" is read as %f", bad[i], seconds);
	assert_false(stent_duration_parse(NULL, &seconds));
}

static void
delays(void **state)
{
	StentRetry retry = {.max_attempts = 4, .initial_delay = 1, .backoff_factor = 3, .max_delay = 5};
	double sum = 0;
	double least = 100;
	double most = 0;

	(void) state;
	assert_true(stent_retry_delay(NULL, 1) < 0);
	assert_true(stent_retry_delay(&retry, 1) == 1);
	assert_true(stent_retry_delay(&retry, 2) == 3);
	assert_true(stent_retry_delay(&retry, 3) == 5);
	assert_true(stent_retry_delay(&retry, 4) < 0);
	retry.max_attempts = 0;
	assert_true(stent_retry_delay(&retry, 1000000) == 5);
	retry.jitter = 0.5;
	for (int i = 0; i < 1000; i++)
	{
		double delay = stent_retry_delay(&retry, 9);

		sum += delay;
		least = fmin(least, delay);
		most = fmax(most, delay);
	}
	assert_true(least >= 2.5 && least < 3 && most <= 7.5 && most > 7);
	assert_true(sum > 4500 && sum < 5500);
	assert_true(stent_retry_delay(&stent_retry_default, 1) < 0.13);
	assert_true(stent_retry_delay(&stent_retry_default, 1000) > 7.9);
}

static void
errors(void **state)
{
	StentError error;
	char text[2 * STENT_MESSAGE_LENGTH];

	(void) state;
	assert_int_equal(STENT_LOST, error_set(&error, STENT_LOST, "a\nb\r\nc %d\n", 7));
	assert_string_equal("a b  c 7", error.message);
	assert_string_equal("", error.code);
	assert_string_equal("", error.hint);
	/* cut, but not within a character */
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	memcpy(text + STENT_MESSAGE_LENGTH - 3, "\xe2\x82\xac", 3);
	error_hint(&error, "%s", text);
	assert_int_equal(STENT_MESSAGE_LENGTH - 3, strlen(error.hint));
	/* nobody wants to know */
	assert_int_equal(STENT_INVALID, error_set(NULL, STENT_INVALID, "no"));
	error_hint(NULL, "no");
	for (int status = STENT_OK; status <= STENT_BAD_ANSWER; status++)
		assert_string_not_equal("unknown status", stent_status_name((StentStatus) status));
	assert_string_equal(STENT_VERSION, stent_version());
}

/* Reads JSON and writes it again. */
static void
assert_json(const char *text, const char *expected)
{
	const char *problem = NULL;
	json_t *value;
	char *written;

	if (expected == NULL)
	{
		assert_int_equal(JSON_UNREADABLE, json_read(text, strlen(text), &value, &problem));
		assert_non_null(problem);
		assert_null(value);
		return;
	}
	assert_int_equal(JSON_READ, json_read(text, strlen(text), &value, &problem));
	written = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
	assert_string_equal(expected, written);
	free(written);
	json_decref(value);
}

static void
json(void **state)
{
	static const char *const broken[] = {
		"",
		" ",
		"[1,",
		"[1 2]",
		"[1,]",
		"{\"a\"}",
		"{\"a\":}",
		"{\"a\":1",
		"{a:1}",
		"\"",
		"\"\\",
		"\"\\u12",
		"\"\\u12\"",
		"\"\\q\"",
		"tru",
		"nulls",
		"-",
		"1-",
		"1.5.5",
		"1 1",
		"]",
		"[1]]",
		"e5",
		"{\"a\":1,}",
		"\"\\ud800\"",
		"\"\\ud800\\u0041\"",
		"\"\\u0000\"",
	};
	char deep[5001];

	(void) state;
	assert_json("null", "null");
	assert_json("\"a\\\"b 12345678901234567890\"", "\"a\\\"b 12345678901234567890\"");
	assert_json("9223372036854775807", "9223372036854775807");
	assert_json("[-9223372036854775808,1.5]", "[-9223372036854775808,1.5]");
	/* an integer that does not fit is a real, the others stay what they are */
	assert_json("[1,9223372036854775808,-9223372036854775809,\"9223372036854775808\\\\\"]",
				"[1,9.2233720368547758e18,-9.2233720368547758e18,\"9223372036854775808\\\\\"]");
	assert_json("12345678901234567890", "1.2345678901234567e19");
	assert_json("{\"a\":12345678901234567890123,\"b\":1.0e2}",
				"{\"a\":1.2345678901234568e22,\"b\":100.0}");
	memset(deep, '9', 400);
	deep[400] = '\0';
	assert_json(deep, NULL);
	memset(deep, '[', 2500);
	memset(deep + 2500, ']', 2500);
	deep[5000] = '\0';
	assert_json(deep, NULL);
	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++)
		assert_json(broken[i], NULL);
	assert_json(" {\"\\u20ac\\ud83d\\ude00\\n\" : [ ] , \"\":{}} ",
				"{\"\xe2\x82\xac\xf0\x9f\x98\x80\\n\":[],\"\":{}}");
	assert_json("[true, false, null, \"\\\"\\\\\\/\\b\\f\\r\\t\\u00e9\"]",
				"[true,false,null,\"\\\"\\\\/\\b\\f\\r\\t\xc3\xa9\"]");
	assert_json("[0, -1, 0.5, -1.5e-3, 1E2]", "[0,-1,0.5,-0.0015,100.0]");
	/* a comma for a point in the program's locale changes nothing */
	if (setlocale(LC_NUMERIC, "de_DE.UTF-8") != NULL)
		assert_json("1.5", "1.5");
	setlocale(LC_NUMERIC, "C");
}

/* What is written, in a buffer that takes so much. */
typedef struct Written
{
	char text[200];
	size_t size;
	size_t room;
} Written;

static int
write_part(const char *text, size_t size, void *arg)
{
	Written *written = arg;

	if (written->room == 0)
		return 0; /* takes anything */
	if (size > written->room - written->size)
		return -1;
	memcpy(written->text + written->size, text, size);
	written->size += size;
	return 0;
}

static void
assert_written(const char *text, StentJsonStyle style, const char *expected)
{
	json_t *value = json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	Written written = {.room = strlen(expected)};
	char *copy;

	assert_non_null(value);
	assert_true(stent_json_write(value, style, write_part, &written));
	assert_string_equal(expected, written.text);
	copy = stent_json_text(value, style);
	assert_string_equal(expected, copy);
	free(copy);
	/* one byte less is told */
	written = (Written){.room = strlen(expected) - 1};
	assert_false(stent_json_write(value, style, write_part, &written));
	json_decref(value);
}

static void
json_written(void **state)
{
	static const char text[] = "{\"a\": [1, 0.1, []], \"\\\"\": {}}";
	json_t *inner = json_array();
	json_t *outer = json_incref(inner);
	Written written = {.room = sizeof(written.text)};

	(void) state;
	assert_written(text, STENT_JSON_COMPACT, "{\"a\":[1,0.1,[]],\"\\\"\":{}}");
	assert_written(text, STENT_JSON_SPACED, "{\"a\": [1, 0.1, []], \"\\\"\": {}}");
	assert_written(text, STENT_JSON_INDENTED,
				   "{\n  \"a\": [\n    1,\n    0.1,\n    []\n  ],\n  \"\\\"\": {}\n}");
	assert_written("[0.30000000000000004, 1e300, 1.0, -0.0, 5e-324]", STENT_JSON_COMPACT,
				   "[0.30000000000000004,1e+300,1.0,-0.0,4.94065645841247e-324]");
	assert_written("[true, false, null, -9223372036854775808]", STENT_JSON_COMPACT,
				   "[true,false,null,-9223372036854775808]");
	assert_written("\"\\u0000\\u001f\\n\\\\\xc3\xa9\"", STENT_JSON_COMPACT,
				   "\"\\u0000\\u001f\\n\\\\\xc3\xa9\"");
	/* deeper than anybody reads */
	for (int i = 0; i < 2100; i++)
	{
		json_t *next = json_array();

		json_array_append_new(next, outer);
		outer = next;
	}
	written.room = 0;
	assert_false(stent_json_write(outer, STENT_JSON_COMPACT, write_part, &written));
	assert_false(stent_json_write(NULL, STENT_JSON_COMPACT, write_part, &written));
	assert_null(stent_json_text(outer, STENT_JSON_COMPACT));
	json_decref(outer);
	json_decref(inner);
}

static void
parameters(void **state)
{
	static const char *const names[] = {"a", ""};
	static const char expected[] = "\0\0\0\1\0\0\0\0\0\0\0\x19\0\0\0\2\0\0\0\1\0\0\0\1a\0\0\0\0";
	Params params = {0};
	json_t *value = json_pack("[i,n,s]", 1, "\xc3\xa9");

	(void) state;
	params_begin(&params);
	params_int8(&params, INT64_MIN + 1);
	params_seconds(&params, 0);
	params_seconds(&params, 0.5);
	params_json(&params, value);
	params_names(&params, (StentNames){names, 2});
	params_names(&params, (StentNames){NULL, 2});
	params_names(&params, (StentNames){names, 0});
	assert_int_equal(7, params.n);
	assert_int_equal(STENT_OK, params.status);
	assert_memory_equal("\x80\0\0\0\0\0\0\1", params.data + params.start[0], 8);
	assert_int_equal(-1, params.length[1]);
	assert_memory_equal("\x3f\xe0\0\0\0\0\0\0", params.data + params.start[2], 8);
	assert_int_equal(14, params.length[3]);
	assert_memory_equal("\1[1,null,\"\xc3\xa9\"]", params.data + params.start[3], 14);
	assert_int_equal(sizeof(expected) - 1, params.length[4]);
	assert_memory_equal(expected, params.data + params.start[4], sizeof(expected) - 1);
	assert_int_equal(-1, params.length[5]);
	assert_int_equal(12, params.length[6]);
	/* the buffer of a small request is kept, one of a large one is not */
	params_end(&params);
	assert_non_null(params.data);
	params_begin(&params);
	params_array(&params, TYPE_BYTEA, 3);
	for (int i = 0; i < 3; i++)
	{
		static char data[400000];

		params_element_bytes(&params, data, sizeof(data));
	}
	params_array_end(&params);
	assert_int_equal(20 + 3 * 400004, params.length[0]);
	params_end(&params);
	assert_null(params.data);
	params_free(&params);
	json_decref(value);
}

/* A request over what the protocol can carry is refused, not sent with a wrong length. */
static void
too_large(void **state)
{
	Params params = {0};

	(void) state;
	params_begin(&params);
	params_array(&params, TYPE_BYTEA, 1);
	/* which it sees before it looks at the data */
	params_element_bytes(&params, "", (size_t) 1 << 30);
	params_element_bytes(&params, "abc", 3);
	params_array_end(&params);
	assert_int_equal(STENT_INVALID, params.status);
	params_free(&params);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(durations), cmocka_unit_test(delays),       cmocka_unit_test(errors),
		cmocka_unit_test(json),      cmocka_unit_test(json_written), cmocka_unit_test(parameters),
		cmocka_unit_test(too_large),
	};

	return cmocka_run_group_tests_name("values", tests, NULL, NULL);
}
