/*
 * test_memory.c
 *	  Each request of memory fails, one at a time, until a scenario is through.
 *
 * Whichever fails: the step it belongs to says STENT_NO_MEMORY, nothing is kept, and the
 * connection goes on.
 */
#include <stdio.h>

#include "memory.h"
#include "support.h"

static StentConn *conn;
static json_t *args;
static json_t *results;
static char queue[32];
static int rounds;

static int
set_up(void **state)
{
	(void) state;
	memory_watch();
	server_open("stent_unit_memory");
	server_run("CREATE EXTENSION stent");
	server_run("SELECT stent.register('unit', version => 'v1')");
	args = json_pack("{s:[i,i,i],s:s}", "numbers", 1, 2, 3, "text", "a text that is not short");
	results = json_pack("[{s:i},{s:s}]", "a", 1, "b", "c");
	conn = client_open();
	return 0;
}

static int
tear_down(void **state)
{
	(void) state;
	stent_conn_free(conn);
	json_decref(args);
	json_decref(results);
	server_close();
	/* with all of it given back, nothing is left */
	return memory_in_use() == 0 ? 0 : -1;
}

/* What a callback keeps. */
typedef struct Kept
{
	int calls;
	StentStatus status;
	StentTask *copies[2];
	size_t n;
} Kept;

static void
keep(StentConn *connection, const StentReply *reply, void *arg)
{
	Kept *kept = arg;

	(void) connection;
	kept->calls++;
	kept->status = reply->status;
	for (size_t i = 0; i < reply->n_tasks && kept->status == STENT_OK; i++)
	{
		kept->copies[i] = stent_task_copy(&reply->tasks[i]);
		if (kept->copies[i] == NULL)
			kept->status = STENT_NO_MEMORY;
		else
			kept->n = i + 1;
	}
}

/* Dispatches, claims, renews and completes two tasks without blocking. */
static StentStatus
serve(void)
{
	const char *const queues[] = {queue};
	StentDispatch dispatch = {.function = "unit", .args = args, .queue = queue};
	StentClaim claim = {.worker = "w", .max = 2, .queues = {queues, 1}};
	StentItem items[2] = {0};
	StentError error;
	StentStatus status = STENT_OK;
	Kept sent = {0};
	Kept kept = {0};

	for (int i = 0; i < 2 && status == STENT_OK; i++)
	{
		status = stent_send_dispatch(conn, &dispatch, keep, &sent, &error);
		if (status == STENT_OK)
			status = stent_drain(conn, PATIENCE, &error);
		if (status == STENT_OK)
			status = sent.status;
	}
	if (status == STENT_OK)
		status = stent_send_claim(conn, &claim, keep, &kept, &error);
	if (status == STENT_OK)
		status = stent_drain(conn, PATIENCE, &error);
	if (status == STENT_OK)
		status = kept.status;
	for (size_t i = 0; i < kept.n; i++)
		items[i] = (StentItem){.task_id = kept.copies[i]->id,
							   .token = kept.copies[i]->token,
							   .value = json_array_get(results, i)};
	if (status == STENT_OK)
		status = stent_send_heartbeat(conn, items, 2, 0, keep, &sent, &error);
	if (status == STENT_OK)
		status = stent_drain(conn, PATIENCE, &error);
	if (status == STENT_OK)
		status = sent.status;
	if (status == STENT_OK)
		status = stent_send_complete(conn, items, 2, keep, &sent, &error);
	if (status == STENT_OK)
		status = stent_drain(conn, PATIENCE, &error);
	if (status == STENT_OK)
		status = sent.status;
	for (size_t i = 0; i < kept.n; i++)
		stent_tasks_free(kept.copies[i], 1);
	return status;
}

/* The blocking forms, and all that is looked at. */
static StentStatus
look(void)
{
	static const char *const tags[] = {"t"};
	const char *const queues[] = {queue};
	StentDispatch dispatch = {.function = "unit", .args = args, .queue = queue, .tags = {tags, 1}};
	StentClaim claim = {.worker = "w", .max = 1, .queues = {queues, 1}, .tags = {tags, 1}};
	StentTask *tasks = NULL;
	const char *outcome;
	StentError error;
	StentStatus status;
	json_t *json = NULL;
	char *why = NULL;
	size_t n = 0;
	int64_t id = 0;

	status = stent_dispatch(conn, &dispatch, &id, &error);
	if (status == STENT_OK)
		status = stent_signal(conn, id, "s", args, &error);
	if (status == STENT_OK)
		status = stent_why(conn, id, &why, &error);
	memory_free(why); /* which is free(), but for the count */
	if (status == STENT_OK)
		status = stent_claim(conn, &claim, &tasks, &n, &error);
	if (status == STENT_OK)
	{
		StentItem item = {.task_id = id, .token = tasks->token, .value = args};

		assert_int_equal(1, n);
		status = stent_complete(conn, &item, 1, &outcome, &error);
	}
	stent_tasks_free(tasks, n);
	if (status == STENT_OK)
		status = stent_wait(conn, id, PATIENCE, &json, &error);
	json_decref(json);
	json = NULL;
	if (status == STENT_OK)
		status = stent_state(conn, id, &json, &error);
	json_decref(json);
	if (status == STENT_OK)
		status = stent_cancel(conn, id, NULL, &error);
	return status;
}

static void
many_done(StentConn *connection, const StentReply *reply, void *arg)
{
	(void) connection;
	*(StentStatus *) arg = reply->status;
}

static StentStatus
dispatch_many(void)
{
	StentDispatch dispatch = {.function = "unit", .queue = "many"};
	StentStatus answered = STENT_OK;
	StentError error;
	StentStatus status =
		stent_send_dispatch_many(conn, &dispatch, results, many_done, &answered, &error);

	if (status == STENT_OK)
		status = stent_drain(conn, PATIENCE, &error);
	return status == STENT_OK ? answered : status;
}

/* A connection made and opened anew, so that all statements are prepared again. */
static StentStatus
open_anew(void)
{
	StentConn *other = stent_conn_new("application_name=other");
	StentError error;
	StentStatus status;
	json_t *json = NULL;

	if (other == NULL)
		return STENT_NO_MEMORY;
	status = stent_connect(other, NULL, &error);
	if (status == STENT_OK)
		status = stent_list(other, NULL, NULL, NULL, 1, &json, &error);
	json_decref(json);
	stent_conn_free(other);
	return status;
}

/* An integer that does not fit takes another way through json.c. */
static StentStatus
large_numbers(void)
{
	StentError error;
	json_t *json = NULL;
	StentStatus status = stent_list(conn, NULL, NULL, "numbers", 0, &json, &error);

	json_decref(json);
	return status;
}

/* Lets one request of memory after the other fail; at least as many as there have to be. */
static void
fail_each(StentStatus (*scenario)(void), long least)
{
	long n = 0;
	bool failed = true;
	int64_t known = server_number("SELECT stent.dispatch('unit')");

	while (failed)
	{
		long before;
		StentStatus status;
		StentError error;
		json_t *json;

		/* what a step before left behind is not for this one */
		snprintf(queue, sizeof(queue), "unit %d", ++rounds);
		before = memory_in_use();
		memory_fail(++n);
		status = scenario();
		failed = memory_failed();
		memory_fail(0);
		if (status != (failed ? STENT_NO_MEMORY : STENT_OK))
			fail_msg("with request %ld of memory %s the status is \"%s\"", n,
					 failed ? "refused" : "granted", stent_status_name(status));
		/* what was sent beside the step that failed */
		assert_status(STENT_OK, stent_drain(conn, PATIENCE, &error), &error);
		/* the buffer of parameters is the connection's */
		if (memory_in_use() > before + 1)
			fail_msg("with request %ld of memory refused, %ld blocks are left", n,
					 memory_in_use() - before);
		assert_status(STENT_OK, stent_state(conn, known, &json, &error), &error);
		json_decref(json);
	}
	if (n <= least)
		fail_msg("only %ld requests of memory were refused", n);
}

static void
serving(void **state)
{
	(void) state;
	fail_each(serve, 30);
}

static void
looking(void **state)
{
	(void) state;
	fail_each(look, 50);
}

static void
many(void **state)
{
	(void) state;
	fail_each(dispatch_many, 2);
}

static void
opening(void **state)
{
	(void) state;
	fail_each(open_anew, 5);
}

static void
numbers(void **state)
{
	(void) state;
	server_run(
		"SELECT stent.dispatch('unit', '{\"n\": 12345678901234567890}', queue => 'numbers')");
	fail_each(large_numbers, 5);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(serving), cmocka_unit_test(looking), cmocka_unit_test(many),
		cmocka_unit_test(opening), cmocka_unit_test(numbers),
	};

	return cmocka_run_group_tests_name("memory", tests, set_up, tear_down);
}
