/*
 * test_lost.c
 *	  The connection fails at each message of a scenario, before it and in its midst.
 *
 * Whenever that is, each request is called back once, what was answered stands, what was
 * not is lost, and the connection can be opened again.
 */
#include <poll.h>
#include <string.h>

#include "proxy.h"
#include "support.h"

#define REQUESTS 6

typedef struct Seen
{
	int calls;
	int answered;
	int lost;
} Seen;

static Proxy *proxy;

static int
set_up(void **state)
{
	(void) state;
	server_open("stent_unit_lost");
	server_run("CREATE EXTENSION stent");
	server_run("SELECT stent.register('unit')");
	proxy = proxy_new();
	return 0;
}

static int
tear_down(void **state)
{
	(void) state;
	proxy_free(proxy);
	server_close();
	return 0;
}

static void
see(StentConn *conn, const StentReply *reply, void *arg)
{
	Seen *seen = arg;

	(void) conn;
	seen->calls++;
	if (reply->status == STENT_OK)
	{
		/* answers come in order: none behind a lost one */
		assert_int_equal(0, seen->lost);
		assert_true(reply->number > 0);
		seen->answered++;
	}
	else
	{
		assert_int_equal(STENT_LOST, reply->status);
		assert_int_equal(STENT_LOST, reply->error->status);
		assert_true(reply->error->message[0] != '\0');
		seen->lost++;
	}
}

/* Connects step by step, as a program with a loop of its own does. */
static StentStatus
connect_by_steps(StentConn *conn, StentError *error)
{
	StentStatus status = stent_connect_start(conn, error);

	while (status == STENT_OK && stent_conn_state(conn) == STENT_CONN_CONNECTING)
	{
		struct pollfd ready = {.fd = stent_socket(conn),
							   .events = stent_wants_write(conn) ? POLLOUT : POLLIN};

		assert_int_equal(1, poll(&ready, 1, (int) PATIENCE * 1000));
		status = stent_process(conn, error);
	}
	return status;
}

/* One run; false if the connection was not cut. */
static bool
scenario(StentConn *conn, bool by_steps)
{
	StentDispatch dispatch = {.function = "unit", .queue = "lost"};
	int64_t before = server_number("SELECT count(*) FROM stent.tasks");
	int64_t after;
	StentStatus status;
	StentError error;
	Seen seen = {0};
	int sent = 0;

	status = by_steps ? connect_by_steps(conn, &error) : stent_connect(conn, NULL, &error);
	if (status == STENT_OK)
	{
		/* the first alone, and then many: both ways to have a statement parsed */
		while (sent < REQUESTS && status == STENT_OK)
		{
			status = stent_send_dispatch(conn, &dispatch, see, &seen, &error);
			if (status == STENT_OK && ++sent == 1)
				status = stent_drain(conn, PATIENCE, &error);
		}
		/* that there is no way to send is seen before the connection is closed */
		if (status == STENT_NOT_OPEN && stent_conn_state(conn) == STENT_CONN_OPEN)
		{
			assert_true(stent_wants_write(conn));
			status = stent_process(conn, &error);
			assert_int_equal(STENT_LOST, status);
		}
		if (status == STENT_OK)
			status = stent_drain(conn, PATIENCE, &error);
		assert_int_equal(sent, seen.calls);
		assert_int_equal(sent, seen.answered + seen.lost);
		assert_true(status != STENT_OK || seen.lost == 0);
	}
	else
		assert_int_equal(STENT_NOT_OPEN, status);
	if (status == STENT_OK)
	{
		assert_int_equal(REQUESTS, seen.answered);
		assert_int_equal(STENT_CONN_OPEN, stent_conn_state(conn));
	}
	else
	{
		assert_true(error.message[0] != '\0');
		assert_int_equal(STENT_CONN_CLOSED, stent_conn_state(conn));
		assert_int_equal(0, stent_pending(conn));
		assert_int_equal(-1, stent_socket(conn));
		assert_false(stent_wants_write(conn));
		assert_int_equal(STENT_NOT_OPEN, stent_send_dispatch(conn, &dispatch, see, &seen, &error));
	}

	/* What was answered is there; of what was lost nobody knew. */
	if (status != STENT_OK)
		until_true("SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'stent' AND "
				   "datname = current_database()");
	after = server_number("SELECT count(*) FROM stent.tasks");
	assert_in_range(after - before, seen.answered, seen.answered + seen.lost);
	return proxy_has_cut(proxy);
}

/* Cuts at the first message, the second, ... until the scenario is through. */
static void
cut_everywhere(bool midst, bool by_steps)
{
	StentDispatch dispatch = {.function = "unit", .queue = "lost"};
	StentConn *conn = stent_conn_new(proxy_conninfo(proxy));
	StentError error;
	bool cut = true;
	int64_t id;
	int n = 0;

	while (cut)
	{
		proxy_cut(proxy, ++n, midst);
		cut = scenario(conn, by_steps);
		stent_disconnect(conn);
		/* opened again, it is as good as new */
		proxy_cut(proxy, 0, midst);
		assert_status(STENT_OK, stent_connect(conn, NULL, &error), &error);
		assert_status(STENT_OK, stent_dispatch(conn, &dispatch, &id, &error), &error);
		stent_disconnect(conn);
	}
	/* a startup, its answers, six requests and theirs */
	assert_true(n > 50);
	stent_conn_free(conn);
}

static void
cut_before(void **state)
{
	(void) state;
	cut_everywhere(false, false);
}

static void
cut_midst(void **state)
{
	(void) state;
	cut_everywhere(true, false);
}

static void
cut_before_by_steps(void **state)
{
	(void) state;
	cut_everywhere(false, true);
}

static void
cut_midst_by_steps(void **state)
{
	(void) state;
	cut_everywhere(true, true);
}

/* Attempts go on as the policy says, and not where they cannot help. */
static void
retries(void **state)
{
	StentRetry retry = {
		.max_attempts = 3, .initial_delay = 0.01, .backoff_factor = 2, .max_delay = 1};
	StentConn *conn = stent_conn_new(proxy_conninfo(proxy));
	StentError error;

	(void) state;
	proxy_cut(proxy, 0, false);
	proxy_refuse(proxy, 2);
	assert_status(STENT_OK, stent_connect(conn, &retry, &error), &error);
	stent_disconnect(conn);
	/* the fourth would have worked */
	proxy_refuse(proxy, 3);
	assert_status(STENT_NOT_OPEN, stent_connect(conn, &retry, &error), &error);
	assert_int_equal(STENT_CONN_CLOSED, stent_conn_state(conn));
	assert_status(STENT_OK, stent_connect(conn, NULL, &error), &error);
	stent_conn_free(conn);

	conn = stent_conn_new("no_such_option=1");
	assert_status(STENT_INVALID, stent_connect(conn, &stent_retry_default, &error), &error);
	assert_non_null(strstr(error.message, "no_such_option"));
	assert_status(STENT_INVALID, stent_connect_start(conn, &error), &error);
	stent_conn_free(conn);
	conn = stent_conn_new("stent_unit_no_such_database");
	assert_status(STENT_NOT_OPEN, stent_connect(conn, NULL, &error), &error);
	assert_non_null(strstr(error.message, "stent_unit_no_such_database"));
	stent_conn_free(conn);
	stent_conn_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cut_before),
		cmocka_unit_test(cut_midst),
		cmocka_unit_test(cut_before_by_steps),
		cmocka_unit_test(cut_midst_by_steps),
		cmocka_unit_test(retries),
	};

	return cmocka_run_group_tests_name("lost", tests, set_up, tear_down);
}
