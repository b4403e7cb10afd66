/*
 * test_client.c
 *	  Requests against a server: order, independence, waiting, cancelling, reconnecting.
 */
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "conn.h"
#include "support.h"

#define MANY 200

/* What callbacks saw, in their order. */
typedef struct Seen
{
	int n;
	StentStatus status[MANY];
	int64_t number[MANY];
	char code[MANY][STENT_CODE_LENGTH];
} Seen;

static void
see(StentConn *conn, const StentReply *reply, void *arg)
{
	Seen *seen = arg;

	(void) conn;
	assert_in_range(seen->n, 0, MANY - 1);
	assert_int_equal(reply->status == STENT_OK, reply->error == NULL);
	seen->status[seen->n] = reply->status;
	seen->number[seen->n] = reply->number;
	strcpy(seen->code[seen->n], reply->error != NULL ? reply->error->code : "");
	seen->n++;
}

static int
set_up(void **state)
{
	(void) state;
	server_open("stent_unit_client");
	server_run("CREATE EXTENSION stent");
	server_run("SELECT stent.register('unit', queue => 'unit')");
	return 0;
}

static int
tear_down(void **state)
{
	(void) state;
	server_close();
	return 0;
}

static int
open_conn(void **state)
{
	*state = client_open();
	return 0;
}

static int
free_conn(void **state)
{
	stent_conn_free(*state);
	return 0;
}

/* Many on their way at once are answered in order; errors are those of one request. */
static void
in_order(void **state)
{
	StentConn *conn = *state;
	StentDispatch good = {.function = "unit"};
	StentDispatch bad = {.function = "unit", .delay = "soon"};
	StentError error;
	Seen seen = {0};
	int64_t tasks = server_number("SELECT count(*) FROM stent.tasks");

	for (int i = 0; i < MANY; i++)
		assert_status(STENT_OK,
					  stent_send_dispatch(conn, i % 3 == 1 ? &bad : &good, see, &seen, &error),
					  &error);
	assert_int_equal(0, seen.n);
	assert_int_equal(MANY, stent_pending(conn));
	assert_status(STENT_OK, stent_drain(conn, PATIENCE, &error), &error);
	assert_int_equal(MANY, seen.n);
	assert_int_equal(0, stent_pending(conn));
	for (int i = 0; i < MANY; i++)
		if (i % 3 == 1)
		{
			assert_int_equal(STENT_REFUSED, seen.status[i]);
			assert_string_equal("22007", seen.code[i]);
		}
		else
		{
			assert_int_equal(STENT_OK, seen.status[i]);
			assert_true(i < 3 || seen.number[i] > seen.number[i - 3]);
		}
	assert_int_equal(tasks + MANY - MANY / 3 - (MANY % 3 > 1),
					 server_number("SELECT count(*) FROM stent.tasks"));
}

/* All options arrive as what they are. */
static void
options(void **state)
{
	static const char *const tags[] = {"a", "b"};
	StentConn *conn = *state;
	int priority = 7;
	json_t *args = json_pack("{s:s}", "text", "\xe2\x82\xac \" \\ \n");
	json_t *retry = json_pack("{s:i}", "max_attempts", 9);
	json_t *headers = json_pack("{s:b}", "h", 1);
	StentDispatch dispatch = {
		.function = "unit",
		.args = args,
		.queue = "other",
		.priority = &priority,
		.tags = {tags, 2},
		.run_at = "2100-01-31 12:00",
		.max_duration = "60000d",
		.timeout = "1.5h",
		.retry = retry,
		.dedup_key = "unit key",
		.on_duplicate = "error",
		.concurrency_key = "c",
		.headers = headers,
	};
	StentError error;
	int64_t id;

	assert_status(STENT_REFUSED, stent_dispatch(conn, &dispatch, &id, &error), &error);
	assert_string_equal("22023", error.code);
	dispatch.max_duration = "36500d";
	assert_status(STENT_OK, stent_dispatch(conn, &dispatch, &id, &error), &error);
	assert_int_equal(
		1, server_number("SELECT count(*) FROM stent.tasks WHERE id = %lld AND queue = 'other' AND "
						 "priority = 7 AND tags = '{a,b}' AND due_at = '2100-01-31 12:00' AND "
						 "timeout = '01:30:00' AND max_attempts = 9 AND headers = '{\"h\": true}' "
						 "AND args = jsonb_build_object('text', U&'\\20AC \" \\\\ \\000A')",
						 (long long) id));
	assert_status(STENT_REFUSED, stent_dispatch(conn, &dispatch, &id, &error), &error);
	assert_string_equal("23505", error.code);
	json_decref(args);
	json_decref(retry);
	json_decref(headers);
}

static void
numbers(StentConn *conn, const StentReply *reply, void *arg)
{
	int64_t *ids = arg;

	(void) conn;
	assert_status(STENT_OK, reply->status, reply->error);
	assert_int_equal(3, reply->n_numbers);
	memcpy(ids, reply->numbers, 3 * sizeof(int64_t));
}

static void
many_at_once(void **state)
{
	StentConn *conn = *state;
	StentDispatch dispatch = {.function = "unit"};
	StentDispatch keyed = {.function = "unit", .dedup_key = "k"};
	json_t *args = json_pack("[{s:i},{s:i},{s:i}]", "n", 0, "n", 1, "n", 2);
	StentError error;
	int64_t ids[3];

	assert_status(STENT_OK, stent_send_dispatch_many(conn, &dispatch, args, numbers, ids, &error),
				  &error);
	assert_status(STENT_OK, stent_drain(conn, PATIENCE, &error), &error);
	for (int i = 0; i < 3; i++)
		assert_int_equal(i, server_number("SELECT args -> 'n' FROM stent.tasks WHERE id = %lld",
										  (long long) ids[i]));
	assert_int_equal(STENT_INVALID,
					 stent_send_dispatch_many(conn, &keyed, args, numbers, ids, &error));
	assert_int_equal(STENT_INVALID,
					 stent_send_dispatch_many(conn, &dispatch, NULL, numbers, ids, &error));
	assert_int_equal(0, stent_pending(conn));
	json_decref(args);
}

/* A result that is JSON's null, an error of the task's own. */
static void
outcomes(void **state)
{
	StentConn *conn = *state;
	StentError error;
	json_t *value;
	int64_t id;
	bool any;

	server_run("CREATE FUNCTION public.unit_void() RETURNS void LANGUAGE sql AS ''");
	server_run("CREATE FUNCTION public.unit_bad() RETURNS void LANGUAGE plpgsql AS "
			   "'BEGIN PERFORM public.unit_missing(); END'");
	server_run("SELECT stent.register('unit_void', 'public.unit_void()'), "
			   "stent.register('unit_bad', 'public.unit_bad()', retry => '{\"max_attempts\": 1}')");
	id = server_number("SELECT stent.dispatch('unit_void')");
	while (server_number("SELECT stent.run()") > 0)
		;
	assert_status(STENT_OK, stent_wait(conn, id, PATIENCE, &value, &error), &error);
	assert_true(value != NULL && json_is_null(value));
	json_decref(value);
	assert_status(STENT_OK, stent_state(conn, id, &value, &error), &error);
	assert_string_equal("completed", json_string_value(json_object_get(value, "state")));
	json_decref(value);
	assert_status(STENT_OK, stent_cancel(conn, id, &any, &error), &error);
	assert_false(any);

	/* The code says that a function is missing, and means one of the task. */
	id = server_number("SELECT stent.dispatch('unit_bad')");
	while (server_number("SELECT stent.run()") > 0)
		;
	assert_status(STENT_REFUSED, stent_wait(conn, id, PATIENCE, &value, &error), &error);
	assert_string_equal("42883", error.code);
	assert_null(value);

	assert_status(STENT_REFUSED, stent_wait(conn, 1000000000, 1, &value, &error), &error);
	assert_string_equal("P0002", error.code);
}

static void
steering(void **state)
{
	StentConn *conn = *state;
	StentDispatch dispatch = {.function = "unit", .delay = "1h", .queue = "steering"};
	StentError error;
	json_t *rows;
	json_t *payload = json_integer(5);
	char *why;
	int64_t id;
	bool any;

	assert_status(STENT_OK, stent_dispatch(conn, &dispatch, &id, &error), &error);
	assert_status(STENT_REFUSED, stent_wait(conn, id, 0.01, &rows, &error), &error);
	assert_string_equal("ST010", error.code);
	assert_status(STENT_OK, stent_why(conn, id, &why, &error), &error);
	assert_non_null(strstr(why, "due"));
	free(why);
	assert_status(STENT_OK, stent_signal(conn, id, "go", payload, &error), &error);
	assert_status(STENT_OK, stent_signal(conn, id, "nothing", NULL, &error), &error);
	assert_status(STENT_OK, stent_state(conn, id, &rows, &error), &error);
	assert_int_equal(
		1, server_number("SELECT count(*) FROM stent.state_of(%lld) s WHERE s::text LIKE '%%go%%'",
						 (long long) id));
	json_decref(rows);
	assert_status(STENT_OK, stent_list(conn, "scheduled", "unit", "steering", 1, &rows, &error),
				  &error);
	assert_int_equal(1, json_array_size(rows));
	assert_int_equal(id, json_integer_value(json_object_get(json_array_get(rows, 0), "id")));
	json_decref(rows);
	assert_status(STENT_OK, stent_list(conn, "running", NULL, "steering", 0, &rows, &error),
				  &error);
	assert_int_equal(0, json_array_size(rows));
	json_decref(rows);
	assert_status(STENT_OK, stent_cancel(conn, id, &any, &error), &error);
	assert_true(any);
	assert_status(STENT_REFUSED, stent_wait(conn, id, 1, &rows, &error), &error);
	assert_string_equal("ST004", error.code);
	json_decref(payload);
}

/* ------------------------------------------------------------------ interrupting */

static void *
cancel_soon(void *arg)
{
	StentConn *conn = arg;
	StentError error;

	/* until the wait is there to be cancelled */
	while (server_number("SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query "
						 "LIKE '%%wait_for%%' AND pid <> pg_backend_pid()") == 0)
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	assert_status(STENT_OK, stent_cancel_request(conn, &error), &error);
	return NULL;
}

/* Another thread ends a wait without limit; the connection is as good as before. */
static void
cancelled_wait(void **state)
{
	StentConn *conn = *state;
	StentDispatch dispatch = {.function = "unit", .delay = "1h"};
	StentError error;
	pthread_t thread;
	json_t *value;
	int64_t id;

	assert_status(STENT_OK, stent_dispatch(conn, &dispatch, &id, &error), &error);
	assert_int_equal(0, pthread_create(&thread, NULL, cancel_soon, conn));
	assert_status(STENT_REFUSED, stent_wait(conn, id, 0, &value, &error), &error);
	assert_int_equal(0, pthread_join(thread, NULL));
	assert_string_equal("57014", error.code);
	assert_status(STENT_OK, stent_dispatch(conn, &dispatch, &id, &error), &error);
	stent_disconnect(conn);
	assert_int_equal(STENT_NOT_OPEN, stent_cancel_request(conn, &error));
}

static void
drain_in_time(void **state)
{
	StentConn *conn = *state;
	StentDispatch dispatch = {.function = "unit", .delay = "1h"};
	StentError error;
	Seen seen = {0};
	int64_t id;

	assert_status(STENT_OK, stent_dispatch(conn, &dispatch, &id, &error), &error);
	assert_status(STENT_OK, stent_send_wait(conn, id, 0, see, &seen, &error), &error);
	assert_status(STENT_EMPTY, stent_drain(conn, 0.02, &error), &error);
	assert_in_range(stent_pending(conn), 1, 2);
	stent_disconnect(conn);
	assert_int_equal(1, seen.n);
	assert_int_equal(STENT_LOST, seen.status[0]);
	assert_int_equal(STENT_CONN_CLOSED, stent_conn_state(conn));
	assert_int_equal(-1, stent_socket(conn));
	/* and the server does not wait for nobody */
	until_true("SELECT count(*) = 0 FROM pg_stat_activity WHERE state = 'active' AND query LIKE "
			   "'%%wait_for%%' AND pid <> pg_backend_pid()");
}

/* The server ends the session: the reason is told, and the connection can be opened again. */
static void
terminated(void **state)
{
	StentConn *conn = *state;
	StentDispatch dispatch = {.function = "unit", .delay = "1h"};
	StentError error;
	Seen seen = {0};
	StentStatus status = STENT_OK;
	int64_t id;

	assert_status(STENT_OK, stent_dispatch(conn, &dispatch, &id, &error), &error);
	for (int waiting = 1; waiting >= 0; waiting--)
	{
		if (waiting)
			assert_status(STENT_OK, stent_send_wait(conn, id, 0, see, &seen, &error), &error);
		while (waiting && server_number("SELECT count(*) FROM pg_stat_activity WHERE pid = %d AND "
										"state = 'active'",
										PQbackendPID(conn->pg)) == 0)
			assert_status(STENT_OK, stent_process(conn, &error), &error);
		server_run("SELECT pg_terminate_backend(%d)", PQbackendPID(conn->pg));
		while ((status = stent_process(conn, &error)) == STENT_OK)
		{
			struct pollfd ready = {.fd = stent_socket(conn), .events = POLLIN};

			assert_int_not_equal(0, poll(&ready, 1, (int) PATIENCE * 1000));
		}
		assert_int_equal(STENT_LOST, status);
		assert_string_equal("57P01", error.code);
		assert_int_equal(STENT_NOT_OPEN, stent_process(conn, &error));
		assert_status(STENT_NOT_OPEN, stent_dispatch(conn, &dispatch, &id, &error), &error);
		assert_status(STENT_OK, stent_connect(conn, NULL, &error), &error);
		assert_status(STENT_OK, stent_dispatch(conn, &dispatch, &id, &error), &error);
	}
	assert_int_equal(1, seen.n);
	assert_int_equal(STENT_LOST, seen.status[0]);
	assert_string_equal("57P01", seen.code[0]);
}

/* ------------------------------------------------------------------ callbacks */

static void
meddle(StentConn *conn, const StentReply *reply, void *arg)
{
	StentDispatch dispatch = {.function = "unit"};
	StentError error;
	int64_t id;

	assert_int_equal(STENT_OK, reply->status);
	assert_int_equal(STENT_INVALID, stent_process(conn, &error));
	assert_int_equal(STENT_INVALID, stent_drain(conn, 1, &error));
	assert_int_equal(STENT_INVALID, stent_dispatch(conn, &dispatch, &id, &error));
	assert_int_equal(STENT_OK, stent_send_dispatch(conn, &dispatch, see, arg, &error));
}

static void
leave(StentConn *conn, const StentReply *reply, void *arg)
{
	StentError error;

	assert_int_equal(STENT_OK, reply->status);
	stent_disconnect(conn);
	/* what was behind this request is lost by now */
	assert_int_equal(2, ((Seen *) arg)->n);
	assert_int_equal(STENT_OK, stent_connect_start(conn, &error));
}

/* A callback sends, but does not wait; it may close the connection and open it again. */
static void
callbacks(void **state)
{
	StentConn *conn = *state;
	StentDispatch dispatch = {.function = "unit"};
	StentError error;
	Seen seen = {0};

	assert_int_equal(STENT_OK, stent_send_dispatch(conn, &dispatch, meddle, &seen, &error));
	assert_status(STENT_OK, stent_drain(conn, PATIENCE, &error), &error);
	assert_int_equal(1, seen.n);
	assert_int_equal(STENT_OK, seen.status[0]);

	memset(&seen, 0, sizeof(seen));
	assert_int_equal(STENT_OK, stent_send_dispatch(conn, &dispatch, leave, &seen, &error));
	assert_int_equal(STENT_OK, stent_send_dispatch(conn, &dispatch, see, &seen, &error));
	assert_int_equal(STENT_OK, stent_send_dispatch(conn, &dispatch, see, &seen, &error));
	assert_int_equal(STENT_OK, stent_send_dispatch(conn, &dispatch, NULL, NULL, &error));
	assert_status(STENT_NOT_OPEN, stent_drain(conn, PATIENCE, &error), &error);
	assert_int_equal(2, seen.n);
	assert_int_equal(STENT_LOST, seen.status[0]);
	assert_int_equal(STENT_LOST, seen.status[1]);
	assert_int_equal(STENT_CONN_CONNECTING, stent_conn_state(conn));
	while (stent_conn_state(conn) == STENT_CONN_CONNECTING)
	{
		struct pollfd ready = {.fd = stent_socket(conn),
							   .events = stent_wants_write(conn) ? POLLOUT : POLLIN};

		assert_int_equal(1, poll(&ready, 1, (int) PATIENCE * 1000));
		assert_status(STENT_OK, stent_process(conn, &error), &error);
	}
	assert_int_equal(STENT_CONN_OPEN, stent_conn_state(conn));
	assert_in_range(stent_server_version(conn), 150000, 1000000);
	assert_int_equal(STENT_OK, stent_send_dispatch(conn, &dispatch, see, &seen, &error));
	assert_status(STENT_OK, stent_drain(conn, PATIENCE, &error), &error);
	assert_int_equal(STENT_OK, seen.status[2]);
}

static void
on_notify(StentConn *conn, const char *channel, const char *payload, void *arg)
{
	(void) conn;
	assert_string_equal("stent_work", channel);
	strcpy(arg, payload);
}

static void
notifications(void **state)
{
	StentConn *conn = *state;
	char payload[16] = "none";
	StentError error;
	Seen seen = {0};

	stent_on_notify(conn, on_notify, payload);
	assert_int_equal(STENT_OK, stent_send_listen(conn, see, &seen, &error));
	assert_status(STENT_OK, stent_drain(conn, PATIENCE, &error), &error);
	assert_int_equal(STENT_OK, seen.status[0]);
	server_run("NOTIFY stent_work, 'unit'");
	while (strcmp(payload, "unit") != 0)
	{
		struct pollfd ready = {.fd = stent_socket(conn), .events = POLLIN};

		assert_int_equal(1, poll(&ready, 1, (int) PATIENCE * 1000));
		assert_status(STENT_OK, stent_process(conn, &error), &error);
	}
}

/* A session that lost its prepared statements costs one request of each kind, not all. */
static void
unprepared(void **state)
{
	StentConn *conn = *state;
	StentDispatch dispatch = {.function = "unit"};
	StentError error;
	int64_t id;

	for (int round = 0; round < 3; round++)
	{
		for (int i = 0; i < 2; i++)
			assert_status(STENT_OK, stent_dispatch(conn, &dispatch, &id, &error), &error);
		assert_int_equal(1, PQexitPipelineMode(conn->pg));
		PQclear(PQexec(conn->pg, "DISCARD ALL"));
		assert_int_equal(1, PQenterPipelineMode(conn->pg));
		assert_status(STENT_REFUSED, stent_dispatch(conn, &dispatch, &id, &error), &error);
		assert_string_equal("26000", error.code);
	}
	assert_status(STENT_OK, stent_dispatch(conn, &dispatch, &id, &error), &error);
}

/* More than a socket holds, both ways at once. */
static void
bulk(void **state)
{
	StentConn *conn = *state;
	size_t size = 300000;
	char *text = malloc(size + 1);
	StentDispatch dispatch = {.function = "unit", .queue = "bulk"};
	StentError error;
	Seen seen = {0};
	json_t *rows;

	memset(text, 'x', size);
	text[size] = '\0';
	dispatch.args = json_pack("{s:s}", "text", text);
	for (int i = 0; i < 40; i++)
		assert_status(STENT_OK, stent_send_dispatch(conn, &dispatch, see, &seen, &error), &error);
	assert_true(stent_wants_write(conn));
	assert_status(STENT_OK, stent_drain(conn, PATIENCE, &error), &error);
	assert_int_equal(40, seen.n);
	assert_false(stent_wants_write(conn));
	assert_status(STENT_OK, stent_list(conn, NULL, NULL, "bulk", 0, &rows, &error), &error);
	assert_int_equal(40, json_array_size(rows));
	assert_int_equal(size, json_string_length(json_object_get(
							   json_object_get(json_array_get(rows, 39), "args"), "text")));
	json_decref(rows);
	json_decref(dispatch.args);
	free(text);
}

/* What cannot be right is not sent. */
static void
refused_here(void **state)
{
	static const char *const holes[] = {"a", NULL};
	StentConn *conn = *state;
	StentDispatch dispatch = {.function = NULL};
	StentClaim claim = {.worker = "w", .max = 0};
	StentItem item = {.task_id = 1, .token = 1};
	StentChunk chunk = {.stream = "", .data = "x", .size = 1};
	StentWorker worker = {.name = ""};
	json_t *deep = json_null();
	StentError error;
	Seen seen = {0};

	assert_int_equal(STENT_INVALID, stent_send_dispatch(conn, &dispatch, see, &seen, &error));
	dispatch.function = "unit";
	dispatch.tags = (StentNames){holes, 2};
	assert_int_equal(STENT_INVALID, stent_send_dispatch(conn, &dispatch, see, &seen, &error));
	assert_int_equal(STENT_INVALID, stent_send_claim(conn, &claim, see, &seen, &error));
	claim.max = STENT_MAX_BATCH + 1;
	assert_int_equal(STENT_INVALID, stent_send_claim(conn, &claim, see, &seen, &error));
	claim.max = 1;
	claim.queues = (StentNames){holes, 2};
	assert_int_equal(STENT_INVALID, stent_send_claim(conn, &claim, see, &seen, &error));
	assert_int_equal(STENT_INVALID, stent_send_complete(conn, &item, 0, see, &seen, &error));
	assert_int_equal(STENT_INVALID,
					 stent_send_release(conn, &item, STENT_MAX_BATCH + 1, see, &seen, &error));
	assert_int_equal(STENT_INVALID, stent_send_fail(conn, &item, 1, see, &seen, &error));
	assert_int_equal(STENT_INVALID,
					 stent_send_output(conn, 1, 1, 0, &chunk, 1, see, &seen, &error));
	chunk.stream = "stdout";
	assert_int_equal(STENT_INVALID,
					 stent_send_output(conn, 1, 1, 0, &chunk, 0, see, &seen, &error));
	assert_int_equal(STENT_INVALID,
					 stent_send_output(conn, 1, 1, -1, &chunk, 1, see, &seen, &error));
	assert_int_equal(STENT_INVALID, stent_send_worker_start(conn, &worker, see, &seen, &error));
	/* no JSON is that deep */
	dispatch.tags = (StentNames){NULL, 0};
	for (int depth = 0; depth < 3000; depth++)
		deep = json_pack("[o]", deep);
	dispatch.args = deep;
	assert_int_equal(STENT_INVALID, stent_send_dispatch(conn, &dispatch, see, &seen, &error));
	assert_non_null(strstr(error.message, "nested"));
	json_decref(deep);
	assert_int_equal(STENT_INVALID, stent_connect(conn, NULL, &error));
	assert_int_equal(STENT_INVALID, stent_connect_start(conn, NULL));
	assert_int_equal(0, stent_pending(conn));
	assert_int_equal(0, seen.n);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(in_order, open_conn, free_conn),
		cmocka_unit_test_setup_teardown(options, open_conn, free_conn),
		cmocka_unit_test_setup_teardown(many_at_once, open_conn, free_conn),
		cmocka_unit_test_setup_teardown(outcomes, open_conn, free_conn),
		cmocka_unit_test_setup_teardown(steering, open_conn, free_conn),
		cmocka_unit_test_setup_teardown(cancelled_wait, open_conn, free_conn),
		cmocka_unit_test_setup_teardown(drain_in_time, open_conn, free_conn),
		cmocka_unit_test_setup_teardown(terminated, open_conn, free_conn),
		cmocka_unit_test_setup_teardown(callbacks, open_conn, free_conn),
		cmocka_unit_test_setup_teardown(notifications, open_conn, free_conn),
		cmocka_unit_test_setup_teardown(unprepared, open_conn, free_conn),
		cmocka_unit_test_setup_teardown(bulk, open_conn, free_conn),
		cmocka_unit_test_setup_teardown(refused_here, open_conn, free_conn),
	};

	return cmocka_run_group_tests_name("client", tests, set_up, tear_down);
}
