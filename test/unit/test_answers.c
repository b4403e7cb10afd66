/*
 * test_answers.c
 *	  Servers that do not answer as they should: without the extension, with another
 *	  version of it, with functions that answer something else.
 *
 * Such a server is a database with functions of the same names, which do as told.
 */
#include <stdlib.h>
#include <string.h>

#include "support.h"

static StentItem items[2] = {{.task_id = 1, .token = 1}, {.task_id = 2, .token = 1}};

static int
set_up(void **state)
{
	(void) state;
	server_open("stent_unit_answers");
	return 0;
}

static int
tear_down(void **state)
{
	(void) state;
	server_close();
	return 0;
}

/* Each test begins with an empty database and a connection that has prepared nothing. */
static int
open_conn(void **state)
{
	server_run("DROP SCHEMA IF EXISTS stent CASCADE");
	*state = client_open();
	return 0;
}

static int
free_conn(void **state)
{
	stent_conn_free(*state);
	return 0;
}

/* No extension, then one that is too old, then one that is too new. */
static void
mismatch(void **state)
{
	StentConn *conn = *state;
	StentWorker worker = {.name = "unit"};
	StentDispatch dispatch = {.function = "unit"};
	StentError error;
	json_t *value;
	int64_t id;

	assert_status(STENT_MISMATCH, stent_worker_start(conn, &worker, &value, &error), &error);
	assert_string_equal("3F000", error.code);
	assert_non_null(strstr(error.hint, "CREATE EXTENSION stent"));
	assert_null(value);
	assert_status(STENT_MISMATCH, stent_dispatch(conn, &dispatch, &id, &error), &error);
	assert_status(STENT_MISMATCH, stent_list(conn, NULL, NULL, NULL, 0, &value, &error), &error);
	assert_string_equal("42P01", error.code);

	server_run("CREATE SCHEMA stent");
	assert_status(STENT_MISMATCH, stent_worker_start(conn, &worker, &value, &error), &error);
	assert_string_equal("42883", error.code);
	assert_non_null(strstr(error.hint, "ALTER EXTENSION stent UPDATE"));
	assert_non_null(strstr(error.hint, stent_version()));

	server_run(
		"CREATE FUNCTION stent.worker_start(worker text, protocol integer, functions text[], "
		"queues text[], tags text[], slots integer, info jsonb, alive_for interval) RETURNS "
		"jsonb LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'protocol %% is not spoken here', "
		"protocol USING ERRCODE = 'ST013', HINT = 'Speak 7 to 9.'; END$$");
	assert_status(STENT_MISMATCH, stent_worker_start(conn, &worker, &value, &error), &error);
	assert_string_equal("ST013", error.code);
	assert_string_equal("protocol 1 is not spoken here", error.message);
	assert_string_equal("Speak 7 to 9.", error.hint);

	/* a database where it is refused for another reason is no mismatch */
	server_run("CREATE OR REPLACE FUNCTION stent.worker_start(worker text, protocol integer, "
			   "functions text[], queues text[], tags text[], slots integer, info jsonb, alive_for "
			   "interval) RETURNS jsonb LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'no' USING "
			   "ERRCODE = '42501'; END$$");
	assert_status(STENT_REFUSED, stent_worker_start(conn, &worker, &value, &error), &error);
	assert_string_equal("42501", error.code);
}

/* A missing function that a worker's function misses is not a matter of versions. */
static void
no_mismatch(void **state)
{
	StentConn *conn = *state;
	StentError error;
	const char *outcomes[2];

	server_run("CREATE SCHEMA stent");
	server_run("CREATE FUNCTION stent.release_many(bigint[], bigint[]) RETURNS text[] LANGUAGE "
			   "plpgsql AS $$BEGIN PERFORM stent.no_such_function(); END$$");
	assert_status(STENT_REFUSED, stent_release(conn, items, 2, outcomes, &error), &error);
	assert_string_equal("42883", error.code);
}

/* Answers of release_many that are not one known word for each item. */
static void
bad_outcomes(void **state)
{
	static const char *const bad[] = {
		"NULL::text[]",
		"'{}'::text[]",
		"'{released}'::text[]",
		"'{released,released,lost}'::text[]",
		"'{released,NULL}'::text[]",
		"'{released,gone}'::text[]",
		"'{{released,released}}'::text[]",
		"'{released,releasedx}'::text[]",
	};
	StentConn *conn = *state;
	StentError error;
	const char *outcomes[2] = {NULL, NULL};

	server_run("CREATE SCHEMA stent");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		server_run("CREATE OR REPLACE FUNCTION stent.release_many(bigint[], bigint[]) RETURNS "
				   "text[] LANGUAGE sql AS $$SELECT %s$$",
				   bad[i]);
		if (stent_release(conn, items, 2, outcomes, &error) != STENT_BAD_ANSWER)
			fail_msg("%s is taken for an answer", bad[i]);
		assert_null(outcomes[0]);
	}
	server_run("CREATE OR REPLACE FUNCTION stent.release_many(bigint[], bigint[]) RETURNS text[] "
			   "LANGUAGE sql AS $$SELECT '{busy,lost}'::text[]$$");
	assert_status(STENT_OK, stent_release(conn, items, 2, outcomes, &error), &error);
	assert_string_equal("busy", outcomes[0]);
	assert_string_equal("lost", outcomes[1]);

	/* another type, which the prepared statement does not expect either */
	server_run("DROP FUNCTION stent.release_many(bigint[], bigint[])");
	server_run("CREATE FUNCTION stent.release_many(bigint[], bigint[]) RETURNS jsonb LANGUAGE sql "
			   "AS $$SELECT '[]'::jsonb$$");
	assert_status(STENT_REFUSED, stent_release(conn, items, 2, outcomes, &error), &error);
	assert_string_equal("0A000", error.code);
	assert_status(STENT_BAD_ANSWER, stent_release(conn, items, 2, outcomes, &error), &error);
	server_run("DROP FUNCTION stent.release_many(bigint[], bigint[])");
	server_run("CREATE FUNCTION stent.release_many(bigint[], bigint[]) RETURNS SETOF text[] "
			   "LANGUAGE sql AS $$SELECT '{busy,lost}'::text[] FROM generate_series(1, 2)$$");
	assert_status(STENT_REFUSED, stent_release(conn, items, 2, outcomes, &error), &error);
	assert_status(STENT_BAD_ANSWER, stent_release(conn, items, 2, outcomes, &error), &error);
}

/* Tasks without what every task has. */
static void
bad_tasks(void **state)
{
	static const char *const bad[] = {
		"NULL, 1, 1, 'f', 'q', 0, 1, '{}', NULL, NULL, NULL, NULL, NULL, '1 s'",
		"1, NULL, 1, 'f', 'q', 0, 1, '{}', NULL, NULL, NULL, NULL, NULL, '1 s'",
		"1, 1, 1, NULL, 'q', 0, 1, '{}', NULL, NULL, NULL, NULL, NULL, '1 s'",
		"1, 1, 1, 'f', 'q', 0, 1, '{}', NULL, NULL, NULL, NULL, NULL, NULL",
	};
	StentConn *conn = *state;
	StentClaim claim = {.worker = "unit", .max = 1};
	StentTask *tasks;
	StentError error;
	size_t n;

	server_run("CREATE SCHEMA stent");
	for (size_t i = 0; i <= sizeof(bad) / sizeof(bad[0]); i++)
	{
		bool good = i == sizeof(bad) / sizeof(bad[0]);

		server_run("CREATE OR REPLACE FUNCTION stent.claim(worker text, max integer, functions "
				   "text[], queues text[], tags text[], lease interval, OUT task_id bigint, OUT "
				   "token bigint, OUT execution_id bigint, OUT function text, OUT queue text, OUT "
				   "priority integer, OUT attempt integer, OUT args jsonb, OUT headers jsonb, OUT "
				   "version text, OUT role text, OUT timeout interval, OUT time_left interval, OUT "
				   "lease_for interval) RETURNS SETOF record LANGUAGE sql AS $$VALUES (1::bigint, "
				   "1::bigint, 1::bigint, 'g', 'q', 0, 1, '{}'::jsonb, NULL::jsonb, NULL, NULL, "
				   "NULL::interval, NULL::interval, '1 s'::interval), (%s)$$",
				   good ? "1, 1, 1, 'f', 'q', 0, 1, NULL, NULL, NULL, NULL, NULL, NULL, '1 s'"
						: bad[i]);
		assert_status(good ? STENT_OK : STENT_BAD_ANSWER,
					  stent_claim(conn, &claim, &tasks, &n, &error), &error);
		assert_int_equal(good ? 2 : 0, n);
		assert_int_equal(good, tasks != NULL);
		stent_tasks_free(tasks, n);
	}
}

/* Chunks whose number of items is not that of their args. */
static void
bad_chunks(void **state)
{
	static const char *const bad[] = {"'[1, 2]', 3", "'[]', 0", "'{\"a\": 1}', 1", "'[1]', -1",
									  "'7', 1"};
	StentConn *conn = *state;
	StentClaim claim = {.worker = "unit", .max = 1, .chunks = true};
	StentTask *tasks;
	StentError error;
	size_t n;

	server_run("CREATE SCHEMA stent");
	for (size_t i = 0; i <= sizeof(bad) / sizeof(bad[0]); i++)
	{
		bool good = i == sizeof(bad) / sizeof(bad[0]);

		server_run("CREATE OR REPLACE FUNCTION stent.claim(worker text, max integer, functions "
				   "text[], queues text[], tags text[], lease interval, chunks boolean, OUT "
				   "task_id bigint, OUT token bigint, OUT execution_id bigint, OUT function text, "
				   "OUT queue text, OUT priority integer, OUT attempt integer, OUT args jsonb, OUT "
				   "headers jsonb, OUT version text, OUT role text, OUT timeout interval, OUT "
				   "time_left interval, OUT lease_for interval, OUT items integer) RETURNS SETOF "
				   "record LANGUAGE sql AS $$SELECT 1::bigint, 1::bigint, 1::bigint, 'f', 'q', 0, "
				   "1, v.args::jsonb, NULL::jsonb, NULL, NULL, NULL::interval, NULL::interval, '1 "
				   "s'::interval, v.items FROM (VALUES (%s), ('{}', NULL)) v(args, items) WHERE "
				   "chunks$$",
				   good ? "'[1, {\"b\": 2}]', 2" : bad[i]);
		assert_status(good ? STENT_OK : STENT_BAD_ANSWER,
					  stent_claim(conn, &claim, &tasks, &n, &error), &error);
		assert_int_equal(good ? 2 : 0, n);
		if (good)
		{
			assert_int_equal(2, tasks[0].items);
			assert_int_equal(0, tasks[1].items);
		}
		stent_tasks_free(tasks, n);
	}
}

/* Other answers: of another type, none, or none that JSON of jansson can be. */
static void
bad_values(void **state)
{
	StentConn *conn = *state;
	StentError error;
	json_t *value;
	char *why;
	bool any;

	server_run("CREATE SCHEMA stent");
	server_run("CREATE FUNCTION stent.cancel(bigint) RETURNS boolean LANGUAGE sql AS 'SELECT "
			   "NULL::boolean'");
	assert_status(STENT_BAD_ANSWER, stent_cancel(conn, 1, &any, &error), &error);
	server_run(
		"CREATE FUNCTION stent.state_of(bigint) RETURNS jsonb LANGUAGE sql AS 'SELECT CASE $1 "
		"WHEN 1 THEN ''1e400''::jsonb WHEN 2 THEN ''7'' END'");
	assert_status(STENT_BAD_ANSWER, stent_state(conn, 1, &value, &error), &error);
	assert_null(value);
	assert_non_null(strstr(error.message, "too large"));
	assert_status(STENT_OK, stent_state(conn, 2, &value, &error), &error);
	assert_int_equal(7, json_integer_value(value));
	json_decref(value);
	/* NULL is no JSON at all */
	assert_status(STENT_OK, stent_state(conn, 3, &value, &error), &error);
	assert_null(value);
	server_run(
		"CREATE FUNCTION stent.why(bigint) RETURNS text LANGUAGE sql AS 'SELECT NULL::text'");
	assert_status(STENT_OK, stent_why(conn, 1, &why, &error), &error);
	assert_string_equal("", why);
	free(why);
}

/* An integer is no boolean. */
static void
bad_type(void **state)
{
	StentConn *conn = *state;
	StentError error;

	server_run("CREATE SCHEMA stent");
	server_run(
		"CREATE FUNCTION stent.worker_stop(text) RETURNS integer LANGUAGE sql AS 'SELECT 1'");
	assert_status(STENT_BAD_ANSWER, stent_worker_stop(conn, "unit", &error), &error);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(mismatch, open_conn, free_conn),
		cmocka_unit_test_setup_teardown(no_mismatch, open_conn, free_conn),
		cmocka_unit_test_setup_teardown(bad_outcomes, open_conn, free_conn),
		cmocka_unit_test_setup_teardown(bad_tasks, open_conn, free_conn),
		cmocka_unit_test_setup_teardown(bad_chunks, open_conn, free_conn),
		cmocka_unit_test_setup_teardown(bad_values, open_conn, free_conn),
		cmocka_unit_test_setup_teardown(bad_type, open_conn, free_conn),
	};

	return cmocka_run_group_tests_name("answers", tests, set_up, tear_down);
}
