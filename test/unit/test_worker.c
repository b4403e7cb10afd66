/*
 * test_worker.c
 *	  What a worker does, by the library: claim, renew, end, write output, wait for work.
 */
#include <math.h>
#include <poll.h>
#include <string.h>

#include "conn.h"
#include "support.h"

static int
set_up(void **state)
{
	(void) state;
	server_open("stent_unit_worker");
	server_run("CREATE EXTENSION stent");
	server_run("SELECT stent.register('unit', queue => 'unit', version => 'v7', timeout => '90 s', "
			   "retry => '{\"initial_delay\": \"0s\"}')");
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

/* Claims as many tasks of a queue as there have to be, as soon as they are due. */
static StentTask *
claim(StentConn *conn, const char *queue, int max, size_t due)
{
	StentClaim what = {.worker = "unit", .max = max, .queues = {&queue, 1}, .lease = 100};
	double deadline = monotonic_seconds() + PATIENCE;
	StentTask *tasks;
	StentError error;
	size_t n;

	do
		assert_status(STENT_OK, stent_claim(conn, &what, &tasks, &n, &error), &error);
	while (n == 0 && due > 0 && monotonic_seconds() < deadline);
	assert_int_equal(due, n);
	return tasks;
}

static StentItem
item_of(const StentTask *task)
{
	return (StentItem){.task_id = task->id, .token = task->token};
}

static int64_t
count(int64_t id, const char *condition)
{
	return server_number("SELECT count(*) FROM stent.executions WHERE id = %lld AND %s",
						 (long long) id, condition);
}

/* All that a task has arrives. */
static void
tasks_whole(void **state)
{
	StentConn *conn = *state;
	StentTask *tasks;
	StentTask *copy;
	int64_t first = server_number(
		"SELECT stent.dispatch('unit', '{\"a\": [1, null, \"\\u20ac\"]}', queue => 'whole', priority "
		"=> 4, max_duration => '1 hour', headers => '{\"h\": 2}')");
	int64_t second = server_number("SELECT stent.dispatch('unit', queue => 'whole')");

	tasks = claim(conn, "whole", 3, 2);
	assert_int_equal(first, tasks[0].id);
	assert_int_equal(second, tasks[1].id);
	assert_true(tasks[0].token > 0);
	assert_int_equal(first, tasks[0].execution_id);
	assert_string_equal("unit", tasks[0].function);
	assert_string_equal("whole", tasks[0].queue);
	assert_string_equal("v7", tasks[0].version);
	assert_string_equal("postgres", tasks[0].role);
	assert_int_equal(4, tasks[0].priority);
	assert_int_equal(1, tasks[0].attempt);
	assert_string_equal("\xe2\x82\xac",
						json_string_value(json_array_get(json_object_get(tasks[0].args, "a"), 2)));
	assert_int_equal(2, json_integer_value(json_object_get(tasks[0].headers, "h")));
	assert_null(tasks[0].problem);
	assert_true(tasks[0].timeout == 90);
	assert_true(tasks[0].time_left > 3500 && tasks[0].time_left <= 3600);
	assert_true(fabs(tasks[0].lease - 100) < 1);
	assert_true(tasks[1].time_left < 0);
	assert_true(json_is_object(tasks[1].args));

	/* a copy lives longer */
	copy = stent_task_copy(&tasks[0]);
	stent_tasks_free(tasks, 2);
	assert_non_null(copy);
	assert_int_equal(first, copy->id);
	assert_string_equal("unit", copy->function);
	assert_string_equal("whole", copy->queue);
	assert_string_equal("v7", copy->version);
	assert_string_equal("postgres", copy->role);
	assert_true(json_is_array(json_object_get(copy->args, "a")));
	assert_true(copy->timeout == 90);
	stent_tasks_free(copy, 1);
	stent_tasks_free(claim(conn, "whole", 1, 0), 0);
}

/* What jansson cannot keep does not spoil the tasks beside it. */
static void
unreadable(void **state)
{
	StentConn *conn = *state;
	StentTask *tasks;

	server_run("SELECT stent.dispatch('unit', '{\"a\": 1e400}', queue => 'odd')");
	server_run("SELECT stent.dispatch('unit', '{\"a\": 12345678901234567890, \"b\": 5}', queue => "
			   "'odd')");
	tasks = claim(conn, "odd", 5, 2);
	assert_null(tasks[0].args);
	assert_non_null(tasks[0].problem);
	assert_null(tasks[1].problem);
	assert_true(json_real_value(json_object_get(tasks[1].args, "a")) == 12345678901234567890.0);
	assert_int_equal(5, json_integer_value(json_object_get(tasks[1].args, "b")));
	stent_tasks_free(tasks, 2);
}

/* Each way a task can end, and one that is not ours. */
static void
ends(void **state)
{
	StentConn *conn = *state;
	StentTask *tasks;
	StentItem items[4];
	const char *outcomes[4];
	StentError error;

	server_run("SELECT stent.dispatch('unit', queue => 'ends') FROM generate_series(1, 4)");
	tasks = claim(conn, "ends", 4, 4);
	for (int i = 0; i < 4; i++)
		items[i] = item_of(&tasks[i]);

	items[3].token++;
	assert_status(STENT_OK, stent_heartbeat(conn, items, 4, 1000, outcomes, &error), &error);
	assert_string_equal("held", outcomes[0]);
	assert_string_equal("held", outcomes[2]);
	assert_string_equal("lost", outcomes[3]);
	items[3].token--;
	assert_status(STENT_OK, stent_heartbeat(conn, &items[3], 1, 0, outcomes, &error), &error);
	assert_string_equal("held", outcomes[0]);

	items[0].value = json_pack("{s:s}", "r", "\xe2\x82\xac");
	items[0].effects = json_pack("{s:{s:i}}", "counters", "files", 3);
	assert_status(STENT_OK, stent_complete(conn, items, 2, outcomes, &error), &error);
	assert_string_equal("completed", outcomes[0]);
	assert_string_equal("completed", outcomes[1]);
	assert_int_equal(1, server_number("SELECT count(*) FROM stent.state_of(%lld) s WHERE s -> "
									  "'result' ->> 'r' = U&'\\20AC' AND s -> 'counters' ->> "
									  "'files' = '3'",
									  (long long) tasks[0].id));
	assert_int_equal(1, count(tasks[1].id, "state = 'completed'"));
	/* a second time it is not ours any more */
	assert_status(STENT_OK, stent_complete(conn, items, 1, outcomes, &error), &error);
	assert_true(strcmp(outcomes[0], "lost") == 0 || strcmp(outcomes[0], "ended") == 0);
	json_decref(items[0].value);
	json_decref(items[0].effects);

	items[2].value =
		json_pack("{s:s,s:s,s:b}", "message", "no such file", "code", "IoError", "retryable", 0);
	items[3].value = json_pack("{s:s}", "message", "come again");
	assert_status(STENT_OK, stent_fail(conn, &items[2], 2, outcomes, &error), &error);
	assert_string_equal("failed", outcomes[0]);
	assert_string_equal("retry", outcomes[1]);
	json_decref(items[2].value);
	json_decref(items[3].value);
	assert_int_equal(1, count(tasks[2].id, "state = 'failed'"));
	stent_tasks_free(tasks, 4);

	tasks = claim(conn, "ends", 4, 1);
	assert_int_equal(2, tasks[0].attempt);
	items[0] = item_of(&tasks[0]);
	assert_status(STENT_OK, stent_release(conn, items, 1, outcomes, &error), &error);
	assert_string_equal("released", outcomes[0]);
	stent_tasks_free(tasks, 1);
	tasks = claim(conn, "ends", 4, 1);
	assert_int_equal(2, tasks[0].attempt);
	stent_tasks_free(tasks, 1);
}

/* The answer of a request that was sent. */
static void
keep_outcome(StentConn *conn, const StentReply *reply, void *arg)
{
	const char **outcome = arg;

	(void) conn;
	*outcome = reply->status != STENT_OK ? reply->error->code
			   : reply->n_outcomes == 1  ? reply->outcomes[0]
										 : "steps";
	if (reply->status == STENT_OK && reply->n_outcomes == 0)
		assert_int_equal(4, json_array_size(reply->json));
}

/* A handler of ours waits, and finds what it did and what came of it. */
static void
steps(void **state)
{
	StentConn *conn = *state;
	json_t *given = json_pack("[{s:s,s:s,s:{s:s}}, {s:s,s:s,s:s}, {s:s,s:s}]", "kind", "step",
							  "name", "own", "result", "r", "\xe2\x82\xac", "kind", "spawn",
							  "function", "unit", "queue", "aside", "kind", "signal", "name", "go");
	json_t *again = json_pack("[{s:s,s:s}]", "kind", "sleep", "duration", "0s");
	json_t *bad = json_pack("[{s:s}]", "kind", "sleep");
	json_t *effects = json_pack("{s:{s:i}, s:n}", "counters", "files", 2, "context");
	json_t *known;
	StentTask *tasks;
	const char *outcome;
	StentError error;

	server_run("SELECT stent.dispatch('unit', queue => 'steps')");
	tasks = claim(conn, "steps", 1, 1);
	assert_status(STENT_OK, stent_lease_steps(conn, tasks[0].id, tasks[0].token, &known, &error),
				  &error);
	assert_int_equal(0, json_array_size(known));
	json_decref(known);
	assert_status(STENT_REFUSED,
				  stent_suspend(conn, tasks[0].id, tasks[0].token, bad, NULL, &outcome, &error),
				  &error);
	assert_string_equal("22023", error.code);
	assert_status(STENT_INVALID,
				  stent_suspend(conn, tasks[0].id, tasks[0].token, effects, NULL, &outcome, &error),
				  &error);
	assert_status(STENT_INVALID,
				  stent_suspend(conn, tasks[0].id, tasks[0].token, given, bad, &outcome, &error),
				  &error);
	assert_status(
		STENT_OK,
		stent_suspend(conn, tasks[0].id, tasks[0].token, given, effects, &outcome, &error), &error);
	assert_string_equal("waiting", outcome);
	assert_int_equal(1, server_number("SELECT count(*) FROM stent.state_of(%lld) s WHERE s -> "
									  "'counters' ->> 'files' = '2'",
									  (long long) tasks[0].id));
	/* the lease is over */
	assert_status(STENT_REFUSED,
				  stent_lease_steps(conn, tasks[0].id, tasks[0].token, &known, &error), &error);
	assert_string_equal("ST012", error.code);
	assert_null(known);
	server_run("SELECT stent.signal(%lld, 'go', '7')", (long long) tasks[0].id);
	stent_tasks_free(tasks, 1);

	tasks = claim(conn, "steps", 1, 1);
	assert_int_equal(1, tasks[0].attempt);
	assert_status(STENT_OK, stent_lease_steps(conn, tasks[0].id, tasks[0].token, &known, &error),
				  &error);
	assert_int_equal(3, json_array_size(known));
	assert_string_equal("\xe2\x82\xac",
						json_string_value(json_object_get(
							json_object_get(json_array_get(known, 0), "result"), "r")));
	assert_true(json_integer_value(json_object_get(json_array_get(known, 1), "task_id")) >
				tasks[0].id);
	assert_string_equal("completed",
						json_string_value(json_object_get(json_array_get(known, 2), "state")));
	assert_int_equal(7, json_integer_value(json_object_get(json_array_get(known, 2), "result")));
	json_decref(known);
	assert_status(STENT_OK,
				  stent_suspend(conn, tasks[0].id, tasks[0].token, again, NULL, &outcome, &error),
				  &error);
	assert_string_equal("ready", outcome);
	stent_tasks_free(tasks, 1);

	/* the same without waiting for the answers */
	tasks = claim(conn, "steps", 1, 1);
	assert_status(
		STENT_OK,
		stent_send_lease_steps(conn, tasks[0].id, tasks[0].token, keep_outcome, &outcome, &error),
		&error);
	assert_status(STENT_OK, stent_drain(conn, PATIENCE, &error), &error);
	assert_string_equal("steps", outcome);
	assert_status(STENT_OK,
				  stent_send_suspend(conn, tasks[0].id, tasks[0].token, again, NULL, keep_outcome,
									 &outcome, &error),
				  &error);
	assert_status(STENT_OK, stent_drain(conn, PATIENCE, &error), &error);
	assert_string_equal("ready", outcome);
	stent_tasks_free(tasks, 1);
	json_decref(given);
	json_decref(again);
	json_decref(bad);
	json_decref(effects);
}

/* A bad item fails the call, which changes nothing. */
static void
bad_effects(void **state)
{
	StentConn *conn = *state;
	StentTask *tasks;
	StentItem items[2];
	const char *outcomes[2];
	StentError error;

	server_run("SELECT stent.dispatch('unit', queue => 'bad') FROM generate_series(1, 2)");
	tasks = claim(conn, "bad", 2, 2);
	items[0] = item_of(&tasks[0]);
	items[1] = item_of(&tasks[1]);
	items[1].effects = json_pack("{s:s}", "counters", "many");
	assert_status(STENT_REFUSED, stent_complete(conn, items, 2, outcomes, &error), &error);
	assert_string_equal("22023", error.code);
	assert_int_equal(0, count(tasks[0].id, "state = 'completed'"));
	assert_status(STENT_OK, stent_complete(conn, items, 1, outcomes, &error), &error);
	assert_string_equal("completed", outcomes[0]);
	json_decref(items[1].effects);
	stent_tasks_free(tasks, 2);
}

typedef struct Batch
{
	int calls;
	size_t claimed;
	size_t completed;
} Batch;

static void
count_completed(StentConn *conn, const StentReply *reply, void *arg)
{
	Batch *batch = arg;

	(void) conn;
	assert_status(STENT_OK, reply->status, reply->error);
	for (size_t i = 0; i < reply->n_outcomes; i++)
		batch->completed += strcmp(reply->outcomes[i], "completed") == 0;
}

static void
complete_claimed(StentConn *conn, const StentReply *reply, void *arg)
{
	static StentItem items[STENT_MAX_BATCH];
	Batch *batch = arg;
	StentError error;
	json_t *value = json_string("done");

	assert_status(STENT_OK, reply->status, reply->error);
	batch->calls++;
	batch->claimed += reply->n_tasks;
	for (size_t i = 0; i < reply->n_tasks; i++)
	{
		items[i] = item_of(&reply->tasks[i]);
		items[i].value = value;
	}
	if (reply->n_tasks > 0)
		assert_status(
			STENT_OK,
			stent_send_complete(conn, items, reply->n_tasks, count_completed, batch, &error),
			&error);
	json_decref(value);
}

/* Full batches, in a pipeline, completed from the callbacks of their claims. */
static void
batches(void **state)
{
	static const char *const queues[] = {"batches"};
	static const char *const functions[] = {"unit", "none"};
	StentConn *conn = *state;
	StentClaim what = {.worker = "unit",
					   .max = STENT_MAX_BATCH,
					   .functions = {functions, 2},
					   .queues = {queues, 1}};
	StentError error;
	Batch batch = {0};

	server_run(
		"SELECT count(*) FROM stent.dispatch_many('unit', (SELECT array_agg('{}'::jsonb) FROM "
		"generate_series(1, 2500)), queue => 'batches')");
	for (int i = 0; i < 4; i++)
		assert_status(STENT_OK, stent_send_claim(conn, &what, complete_claimed, &batch, &error),
					  &error);
	assert_status(STENT_OK, stent_drain(conn, PATIENCE, &error), &error);
	assert_int_equal(4, batch.calls);
	assert_int_equal(2500, batch.claimed);
	assert_int_equal(2500, batch.completed);
}

/* Bytes are kept as they are, in their order, and once. */
static void
output(void **state)
{
	static const char binary[] = {'a', '\0', '\xff', '\n'};
	StentChunk chunks[] = {{"stdout", "one\n", 4}, {"stderr", binary, 4}, {"stdout", "", 0}};
	StentConn *conn = *state;
	StentTask *tasks;
	StentError error;
	json_t *rows;
	json_t *row;

	server_run("SELECT stent.dispatch('unit', queue => 'output')");
	tasks = claim(conn, "output", 1, 1);
	assert_status(STENT_OK, stent_output(conn, tasks->id, tasks->token, 1, chunks, 2, &error),
				  &error);
	/* repeated, as after a lost connection; and behind what is there */
	assert_status(STENT_OK, stent_output(conn, tasks->id, tasks->token, 1, chunks, 2, &error),
				  &error);
	assert_status(STENT_OK, stent_output(conn, tasks->id, tasks->token, 0, &chunks[2], 1, &error),
				  &error);
	assert_status(STENT_REFUSED,
				  stent_output(conn, tasks->id, tasks->token + 1, 0, chunks, 1, &error), &error);
	assert_string_equal("ST012", error.code);
	assert_status(STENT_OK, stent_output_of(conn, tasks->id, 0, &rows, &error), &error);
	assert_int_equal(3, json_array_size(rows));
	row = json_array_get(rows, 0);
	assert_int_equal(1, json_integer_value(json_object_get(row, "number")));
	assert_string_equal("one\n", json_string_value(json_object_get(row, "text")));
	assert_true(json_is_null(json_object_get(row, "hex")));
	row = json_array_get(rows, 1);
	assert_string_equal("stderr", json_string_value(json_object_get(row, "stream")));
	assert_true(json_is_null(json_object_get(row, "text")));
	assert_string_equal("6100ff0a", json_string_value(json_object_get(row, "hex")));
	json_decref(rows);
	assert_status(STENT_OK, stent_output_of(conn, tasks->id, 7, &rows, &error), &error);
	assert_int_equal(0, json_array_size(rows));
	json_decref(rows);
	stent_tasks_free(tasks, 1);
}

/* ------------------------------------------------------------------ presence */

static void
keep_number(StentConn *conn, const StentReply *reply, void *arg)
{
	(void) conn;
	assert_status(STENT_OK, reply->status, reply->error);
	*(int64_t *) arg = reply->number;
}

static void
keep_seconds(StentConn *conn, const StentReply *reply, void *arg)
{
	(void) conn;
	assert_status(STENT_OK, reply->status, reply->error);
	*(double *) arg = reply->seconds;
}

static void
hear(StentConn *conn, const char *channel, const char *payload, void *arg)
{
	(void) conn;
	(void) payload;
	assert_string_equal("stent_work", channel);
	++*(int *) arg;
}

static void
presence(void **state)
{
	static const char *const tags[] = {"gpu"};
	StentConn *conn = *state;
	StentWorker worker = {
		.name = "unit 1", .tags = {tags, 1}, .slots = 3, .info = json_pack("{s:i}", "pid", 1)};
	StentError error;
	json_t *answer;
	int64_t known = -1;

	assert_status(
		STENT_OK,
		stent_send_worker_heartbeat(conn, "unit 1", "ready", 0, keep_number, &known, &error),
		&error);
	assert_status(STENT_OK, stent_drain(conn, PATIENCE, &error), &error);
	assert_int_equal(0, known);
	assert_status(STENT_OK, stent_worker_start(conn, &worker, &answer, &error), &error);
	assert_int_equal(STENT_PROTOCOL, json_integer_value(json_object_get(answer, "protocol")));
	json_decref(answer);
	assert_status(STENT_OK, stent_worker_start(conn, &worker, NULL, &error), &error);
	assert_status(
		STENT_OK,
		stent_send_worker_heartbeat(conn, "unit 1", "ready", 2, keep_number, &known, &error),
		&error);
	assert_status(STENT_OK, stent_drain(conn, PATIENCE, &error), &error);
	assert_int_equal(1, known);
	assert_int_equal(1,
					 server_number("SELECT count(*) FROM stent.workers WHERE name = 'unit 1' AND "
								   "live AND state = 'ready' AND slots = 3 AND busy = 2 AND "
								   "tags = '{gpu}' AND functions IS NULL AND info = '{\"pid\": "
								   "1}'"));
	assert_status(STENT_OK, stent_worker_stop(conn, "unit 1", &error), &error);
	assert_int_equal(0,
					 server_number("SELECT count(*) FROM stent.workers WHERE name = 'unit 1' AND "
								   "live"));
	json_decref(worker.info);
}

/*
 * Asked to be woken, a worker is. Where nobody can do that, because nobody serves the
 * database, it is told to look again soon.
 */
static void
wake_up(void **state)
{
	static const char *const queues[] = {"wake"};
	StentConn *conn = *state;
	bool served =
		server_number("SELECT count(*) FROM string_to_table(current_setting("
					  "'stent.databases', true), ',') d WHERE trim(d) = "
					  "current_database() AND current_setting('shared_preload_libraries') "
					  "LIKE '%%stent%%'") > 0;
	double deadline = monotonic_seconds() + PATIENCE;
	StentError error;
	double seconds = -1;
	int heard = 0;

	stent_on_notify(conn, hear, &heard);
	assert_status(STENT_OK, stent_send_listen(conn, NULL, NULL, &error), &error);
	/* the launcher may not have found the database yet */
	do
	{
		assert_status(
			STENT_OK,
			stent_send_worker_wait(conn, (StentNames){queues, 1}, keep_seconds, &seconds, &error),
			&error);
		assert_status(STENT_OK, stent_drain(conn, PATIENCE, &error), &error);
	} while (served && seconds <= 1 && monotonic_seconds() < deadline);
	assert_true(served ? seconds > 1 && seconds <= 300 : seconds == 1);
	if (!served)
		return;
	server_run("SELECT stent.dispatch('unit', queue => 'wake')");
	while (heard == 0)
	{
		struct pollfd ready = {.fd = stent_socket(conn), .events = POLLIN};

		assert_int_equal(1, poll(&ready, 1, (int) PATIENCE * 1000));
		assert_status(STENT_OK, stent_process(conn, &error), &error);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(tasks_whole, open_conn, free_conn),
		cmocka_unit_test_setup_teardown(unreadable, open_conn, free_conn),
		cmocka_unit_test_setup_teardown(ends, open_conn, free_conn),
		cmocka_unit_test_setup_teardown(steps, open_conn, free_conn),
		cmocka_unit_test_setup_teardown(bad_effects, open_conn, free_conn),
		cmocka_unit_test_setup_teardown(batches, open_conn, free_conn),
		cmocka_unit_test_setup_teardown(output, open_conn, free_conn),
		cmocka_unit_test_setup_teardown(presence, open_conn, free_conn),
		cmocka_unit_test_setup_teardown(wake_up, open_conn, free_conn),
	};

	return cmocka_run_group_tests_name("worker", tests, set_up, tear_down);
}
