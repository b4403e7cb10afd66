/*
 * test_items.c
 *	  The items of a chunk as a worker runs them: tasks one by one, outcomes, effects, times.
 */
#include <math.h>
#include <stdlib.h>

#include "items.h"
#include "support.h"

/* A chunk with these args, claimed at 100 s, that may take 10 s of the 30 s left. */
static Items *
items_of(const char *args, double timeout, double time_left)
{
	StentTask chunk = {.id = 7,
					   .token = 8,
					   .execution_id = 5,
					   .function = "f",
					   .queue = "q",
					   .priority = 3,
					   .attempt = 2,
					   .timeout = timeout,
					   .time_left = time_left,
					   .lease = 30};
	Items *items;

	chunk.args = json_loads(args, 0, NULL);
	assert_non_null(chunk.args);
	chunk.items = (int) json_array_size(chunk.args);
	items = items_new(&chunk, 100);
	assert_non_null(items);
	json_decref(chunk.args); /* the chunk is not needed any more */
	return items;
}

static void
take(Items *items, bool succeeded, const char *value, const char *effects)
{
	RunEnd end = {.succeeded = succeeded, .value = json_loads(value, JSON_DECODE_ANY, NULL)};

	assert_non_null(end.value);
	if (effects != NULL)
		assert_non_null(end.effects = json_loads(effects, 0, NULL));
	items_take(items, &end);
}

static void
assert_json(const char *expected, const json_t *got)
{
	json_t *value = expected == NULL ? NULL : json_loads(expected, JSON_DECODE_ANY, NULL);
	char *text = json_dumps(got, JSON_ENCODE_ANY | JSON_SORT_KEYS);

	if (expected == NULL)
		assert_null(got);
	else if (!json_equal(value, got))
		fail_msg("%s is not %s", text, expected);
	free(text);
	json_decref(value);
}

static void
assert_end(Items *items, const char *outcomes, const char *effects)
{
	json_t *is = NULL;
	json_t *brings = NULL;

	assert_true(items_outcomes(items, &is, &brings));
	assert_json(outcomes, is);
	assert_json(effects, brings);
	json_decref(is);
	json_decref(brings);
}

/* Each item is a task like the chunk, but for its args; failures keep their place. */
static void
one_by_one(void **state)
{
	Items *items = items_of("[{\"n\": 1}, null, [3]]", -1, -1);
	const StentTask *task = items_next(items, 100);

	(void) state;
	assert_json("{\"n\": 1}", task->args);
	assert_int_equal(7, task->id);
	assert_int_equal(2, task->attempt);
	assert_int_equal(0, task->items);
	assert_string_equal("f", task->function);
	assert_true(task->timeout < 0 && task->time_left < 0);
	assert_false(items_any(items));
	take(items, true, "\"one\"", NULL);
	assert_true(items_any(items));
	assert_json("null", items_next(items, 100)->args);
	take(items, false, "{\"code\": \"Bad\", \"message\": \"no\"}", NULL);
	assert_json("[3]", items_next(items, 100)->args);
	take(items, true, "null", NULL);
	assert_null(items_next(items, 100));
	assert_end(items,
			   "[{\"result\": \"one\"}, {\"error\": {\"code\": \"Bad\", \"message\": \"no\"}},"
			   " {\"result\": null}]",
			   NULL);
	items_free(items);
}

/* What was not run is null, and so can go back. */
static void
given_back(void **state)
{
	Items *items = items_of("[1, 2, 3]", -1, -1);

	(void) state;
	assert_non_null(items_next(items, 100));
	take(items, true, "1", NULL);
	/* begun, but stopped */
	assert_non_null(items_next(items, 100));
	assert_end(items, "[{\"result\": 1}, null, null]", NULL);
	items_free(items);
}

/* Effects come together once; those of a failure are dropped. */
static void
effects(void **state)
{
	Items *items = items_of("[1, 2, 3, 4]", -1, -1);

	(void) state;
	(void) items_next(items, 100);
	take(items, true, "1",
		 "{\"counters\": {\"a\": 1, \"b\": 0.5, \"c\": 9223372036854775807},"
		 " \"context\": {\"k\": 1, \"l\": 1}, \"progress\": [{\"step\": \"x\"}]}");
	(void) items_next(items, 100);
	take(items, true, "2",
		 "{\"counters\": {\"a\": 2, \"b\": 1, \"c\": 1, \"d\": 4}, \"shared\": {\"s\": -1},"
		 " \"context\": {\"k\": 2}, \"progress\": [{\"step\": \"y\"}]}");
	(void) items_next(items, 100);
	take(items, false, "{\"message\": \"no\"}", "{\"counters\": {\"a\": 100}}");
	(void) items_next(items, 100);
	take(items, true, "4", "{\"shared\": {\"s\": 3}}");
	assert_end(items,
			   "[{\"result\": 1}, {\"result\": 2}, {\"error\": {\"message\": \"no\"}},"
			   " {\"result\": 4}]",
			   "{\"counters\": {\"a\": 3, \"b\": 1.5, \"c\": 9223372036854775808.0, \"d\": 4},"
			   " \"context\": {\"k\": 2, \"l\": 1}, \"shared\": {\"s\": 2},"
			   " \"progress\": [{\"step\": \"x\"}, {\"step\": \"y\"}]}");
	items_free(items);
}

/* The times are the chunk's: each item has what is left, and what has none fails. */
static void
times(void **state)
{
	Items *items = items_of("[1, 2, 3, 4]", 10, 30);
	const StentTask *task = items_next(items, 104);

	(void) state;
	assert_true(fabs(task->timeout - 6) < 1e-6);
	assert_true(fabs(task->time_left - 26) < 1e-6);
	take(items, true, "1", NULL);
	task = items_next(items, 109);
	assert_true(fabs(task->timeout - 1) < 1e-6);
	take(items, false, "{\"code\": \"ST003\", \"message\": \"it took too long\"}", NULL);
	assert_null(items_next(items, 110));
	assert_end(items,
			   "[{\"result\": 1}, {\"error\": {\"code\": \"ST003\", \"message\": \"it took too "
			   "long\"}},"
			   " {\"error\": {\"code\": \"ST003\", \"message\":"
			   " \"the timeout of the chunk was over before the item began\"}},"
			   " {\"error\": {\"code\": \"ST003\", \"message\":"
			   " \"the timeout of the chunk was over before the item began\"}}]",
			   NULL);
	items_free(items);

	/* the first one is begun in any case, and its handler says that there was no time */
	items = items_of("[1, 2]", 10, -1);
	assert_true(items_next(items, 200)->timeout == 0);
	items_free(items);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_by_one),
		cmocka_unit_test(given_back),
		cmocka_unit_test(effects),
		cmocka_unit_test(times),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
