/*
 * stent.h
 *	  Client library of stent: dispatch tasks, wait for them, serve them.
 *
 * One StentConn is one connection to one database; it may be used by one thread at a
 * time. Every request has a blocking form and a non-blocking one:
 *
 *	- blocking, stent_claim(): sends the request, waits for its answer, returns it;
 *	- non-blocking, stent_send_claim(): queues the request and returns; the answer is
 *	  given to a callback, from within stent_process(). Requests are pipelined: any
 *	  number may be on their way, and each is a transaction of its own.
 *
 * A program with a loop of its own waits for stent_socket() to become readable, and
 * writable while stent_wants_write() says so, and then calls stent_process().
 *
 * Ownership is in the names: what a function called ..._new or a blocking request
 * gives out is the caller's, who frees it with the matching ..._free (json_t:
 * json_decref). Arguments are borrowed for the call: requests copy what they need.
 * What a callback is given is the library's again when the callback returns; json_t
 * may be kept with json_incref.
 *
 * Functions that can fail return a StentStatus and fill the caller's StentError, which
 * may be NULL. Branch on the status or on StentError.code; the texts are for people.
 */
#ifndef STENT_H
#define STENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#ifdef __cplusplus
extern "C"
{
#endif

#define STENT_API __attribute__((visibility("default")))
#define STENT_MUST_CHECK __attribute__((warn_unused_result))

/* What this library speaks with the extension; the extension refuses what it does not. */
#define STENT_PROTOCOL 1

/* Most tasks a claim, a completion, ... may have. */
#define STENT_MAX_BATCH 1000

	typedef enum StentStatus
	{
		STENT_OK,
		STENT_EMPTY,     /* there is no such thing now: no notification, no result yet */
		STENT_INVALID,   /* an argument cannot be right; nothing was sent */
		STENT_NO_MEMORY, /* nothing was sent, or the answer was dropped */
		STENT_NOT_OPEN,  /* the connection is not open (any more); nothing was sent */
		STENT_LOST, /* the connection was lost before the answer: nobody knows whether it was done */
		STENT_REFUSED,   /* the server's answer is an error; StentError.code has its SQLSTATE */
		STENT_MISMATCH,  /* the server's extension does not speak our protocol, or is missing */
		STENT_BAD_ANSWER /* the server answered what this library does not understand */
	} StentStatus;

#define STENT_CODE_LENGTH 8
#define STENT_MESSAGE_LENGTH 1024

	typedef struct StentError
	{
		StentStatus status;
		char code[STENT_CODE_LENGTH];       /* SQLSTATE, or "" */
		char message[STENT_MESSAGE_LENGTH]; /* one line, cut if too long */
		char detail[STENT_MESSAGE_LENGTH];
		char hint[STENT_MESSAGE_LENGTH];
	} StentError;

	STENT_API const char *stent_status_name(StentStatus status);
	STENT_API const char *stent_version(void);

	/* ------------------------------------------------------------------ connection */

	typedef struct StentConn StentConn;

	/* How often and how long to try. Delays as in the extension's retry policies. */
	typedef struct StentRetry
	{
		int max_attempts;     /* 0: without end */
		double initial_delay; /* seconds, before the second attempt */
		double backoff_factor;
		double max_delay; /* seconds */
		double jitter;    /* 0..1 of the delay, either way */
	} StentRetry;

	/* for ever: 0.1 s, doubling, up to 10 s, jitter 0.2 */
	STENT_API extern const StentRetry stent_retry_default;

	/* The delay before attempt n + 1, after n have failed; < 0: no more attempts. */
	STENT_API double stent_retry_delay(const StentRetry *retry, int n);

	typedef enum StentConnState
	{
		STENT_CONN_CLOSED, /* not begun, or lost; StentConn keeps its parameters */
		STENT_CONN_CONNECTING,
		STENT_CONN_OPEN
	} StentConnState;

	/*
 * conninfo is libpq's: "host=... dbname=...", an URI, or "" for the environment (PGHOST,
 * PGDATABASE, a service file, ...). NULL for want of memory.
 */
	STENT_API StentConn *stent_conn_new(const char *conninfo);
	/* Of NULL: nothing. Pending requests end with STENT_LOST. Not from within a callback. */
	STENT_API void stent_conn_free(StentConn *conn);

	/*
 * Connects, blocking, with retries; retry NULL: one attempt. An attempt takes up to
 * connect_timeout (of conninfo or PGCONNECT_TIMEOUT; else 30 s) for each host.
 */
	STENT_API StentStatus stent_connect(StentConn *conn, const StentRetry *retry,
										StentError *error) STENT_MUST_CHECK;

	/*
 * Begins one attempt to connect; stent_process() carries it on. How long that may take is
 * the caller's to decide, who ends it with stent_disconnect().
 */
	STENT_API StentStatus stent_connect_start(StentConn *conn, StentError *error) STENT_MUST_CHECK;

	/* Closes the connection; pending requests are called back with STENT_LOST. It can be connected again. */
	STENT_API void stent_disconnect(StentConn *conn);

	STENT_API StentConnState stent_conn_state(const StentConn *conn);
	STENT_API int stent_socket(const StentConn *conn); /* -1: none; may change while connecting */
	STENT_API bool stent_wants_write(const StentConn *conn);
	STENT_API int stent_pending(const StentConn *conn);        /* requests without answer */
	STENT_API int stent_server_version(const StentConn *conn); /* 150012, ... */

	/*
 * Does what can be done without waiting: goes on connecting, sends, receives, calls
 * back. STENT_OK: the connection is as it was, or better. Else it is closed, all
 * pending requests were called back with STENT_LOST, and error tells why.
 */
	STENT_API StentStatus stent_process(StentConn *conn, StentError *error) STENT_MUST_CHECK;

	/* Waits until no request is pending, or the time is over (seconds, < 0: no limit: STENT_EMPTY). */
	STENT_API StentStatus stent_drain(StentConn *conn, double seconds,
									  StentError *error) STENT_MUST_CHECK;

	/*
 * Asks the server to cancel what it does for this connection; blocking, shortly. The only
 * function that another thread may call, to end a blocking request of this one (which is
 * then STENT_REFUSED with code 57014); not from a signal handler.
 */
	STENT_API StentStatus stent_cancel_request(StentConn *conn, StentError *error) STENT_MUST_CHECK;

	/* Called from stent_process() for each notification; payload may be "". */
	typedef void (*StentNotify)(StentConn *conn, const char *channel, const char *payload,
								void *arg);
	STENT_API void stent_on_notify(StentConn *conn, StentNotify notify, void *arg);

	/* ------------------------------------------------------------------ answers */

	/* A task this worker has leased. */
	typedef struct StentTask
	{
		int64_t id;
		int64_t token;
		int64_t execution_id;
		const char *function;
		const char *queue;
		const char *version; /* NULL: none */
		const char *role;    /* who dispatched it */
		int priority;
		int attempt; /* from 1 */
		/*
		 * Integers beyond 64 bits are reals here. NULL: args or headers are more than jansson
		 * has room for (a number beyond a double, nesting beyond 2048), and problem says what:
		 * such a task can only be failed.
		 */
		json_t *args;
		json_t *headers;     /* NULL also: none */
		const char *problem; /* NULL: none */
		double timeout;      /* seconds this attempt may take; < 0: any time */
		double time_left;    /* seconds until the execution's max_duration is over; < 0: none */
		double lease;        /* seconds the lease holds from the claim */
		/*
		 * > 0: it is a chunk of a map, args is an array of so many items to run. Complete it
		 * with an array of as many outcomes, {"result": any} or {"error": object}, in order.
		 */
		int items;
	} StentTask;

	/* The answer of any request; which fields mean something depends on the request. */
	typedef struct StentReply
	{
		StentStatus status;
		const StentError *error; /* NULL if status is STENT_OK */
		StentTask *tasks;        /* claim */
		size_t n_tasks;
		const char *const
			*outcomes; /* complete, fail, release, heartbeat: one for each item; suspend: one */
		size_t n_outcomes;
		json_t *
			json; /* result, worker_start, lease_steps; NULL: SQL's NULL (JSON's null is a value) */
		int64_t number;         /* ids; 1 or 0 for true or false */
		const int64_t *numbers; /* dispatch_many */
		size_t n_numbers;
		double seconds; /* worker_wait */
	} StentReply;

	typedef void (*StentDone)(StentConn *conn, const StentReply *reply, void *arg);

	/* ------------------------------------------------------------------ for workers */

	typedef struct StentNames
	{
		const char *const *names; /* NULL: all */
		size_t n;
	} StentNames;

	typedef struct StentClaim
	{
		const char *worker;
		int max; /* 1..STENT_MAX_BATCH */
		StentNames functions;
		StentNames queues;
		StentNames tags;
		double lease; /* seconds; <= 0: the server's stent.lease_duration */
		bool
			chunks; /* take chunks of maps, too: only if the answer of worker_start has "chunks": true */
	} StentClaim;

	STENT_API StentStatus stent_send_claim(StentConn *conn, const StentClaim *claim, StentDone done,
										   void *arg, StentError *error) STENT_MUST_CHECK;
	/* *tasks is the caller's: stent_tasks_free. */
	STENT_API StentStatus stent_claim(StentConn *conn, const StentClaim *claim, StentTask **tasks,
									  size_t *n, StentError *error) STENT_MUST_CHECK;
	STENT_API void stent_tasks_free(StentTask *tasks, size_t n);
	/* A copy to keep of a task a callback was given (it shares the json_t); NULL: no memory. */
	STENT_API StentTask *stent_task_copy(const StentTask *task); /* stent_tasks_free(copy, 1) */

	/* One task's end. Only what the request names is looked at. */
	typedef struct StentItem
	{
		int64_t task_id;
		int64_t token;
		json_t *value;   /* complete: the result; fail: the error object; NULL: null */
		json_t *effects; /* complete: {"counters":, "context":, "shared":, "progress":} or NULL */
	} StentItem;

	STENT_API StentStatus stent_send_complete(StentConn *conn, const StentItem *items, size_t n,
											  StentDone done, void *arg,
											  StentError *error) STENT_MUST_CHECK;
	STENT_API StentStatus stent_send_fail(StentConn *conn, const StentItem *items, size_t n,
										  StentDone done, void *arg,
										  StentError *error) STENT_MUST_CHECK;
	STENT_API StentStatus stent_send_release(StentConn *conn, const StentItem *items, size_t n,
											 StentDone done, void *arg,
											 StentError *error) STENT_MUST_CHECK;
	/* lease in seconds; <= 0: the server's */
	STENT_API StentStatus stent_send_heartbeat(StentConn *conn, const StentItem *items, size_t n,
											   double lease, StentDone done, void *arg,
											   StentError *error) STENT_MUST_CHECK;

	/* Blocking: outcomes[i], one of the words of docs/protocol.md, is a string of static storage. */
	STENT_API StentStatus stent_complete(StentConn *conn, const StentItem *items, size_t n,
										 const char **outcomes, StentError *error) STENT_MUST_CHECK;
	STENT_API StentStatus stent_fail(StentConn *conn, const StentItem *items, size_t n,
									 const char **outcomes, StentError *error) STENT_MUST_CHECK;
	STENT_API StentStatus stent_release(StentConn *conn, const StentItem *items, size_t n,
										const char **outcomes, StentError *error) STENT_MUST_CHECK;
	STENT_API StentStatus stent_heartbeat(StentConn *conn, const StentItem *items, size_t n,
										  double lease, const char **outcomes,
										  StentError *error) STENT_MUST_CHECK;

	/*
 * The steps that a leased task has made, an array of {"position", "number", "name", "kind",
 * "function", "state", "task_id", "result", "error", "created_at", "finished_at"} in their
 * order: docs/protocol.md. Only where the extension is 0.5 or newer (else STENT_REFUSED, 42883).
 */
	STENT_API StentStatus stent_send_lease_steps(StentConn *conn, int64_t task_id, int64_t token,
												 StentDone done, void *arg,
												 StentError *error) STENT_MUST_CHECK;
	/* *steps is the caller's. */
	STENT_API StentStatus stent_lease_steps(StentConn *conn, int64_t task_id, int64_t token,
											json_t **steps, StentError *error) STENT_MUST_CHECK;
	/*
 * Adds steps (an array, as the protocol has them), ends the lease, and lets the task wait for the
 * last: outcome "waiting", or "ready" to be claimed again at once, or how it has ended. A lost
 * lease is STENT_REFUSED, ST012. effects as with stent_complete(), or NULL.
 */
	STENT_API StentStatus stent_send_suspend(StentConn *conn, int64_t task_id, int64_t token,
											 json_t *steps, json_t *effects, StentDone done,
											 void *arg, StentError *error) STENT_MUST_CHECK;
	/* *outcome is a string of static storage. */
	STENT_API StentStatus stent_suspend(StentConn *conn, int64_t task_id, int64_t token,
										json_t *steps, json_t *effects, const char **outcome,
										StentError *error) STENT_MUST_CHECK;

	typedef struct StentChunk
	{
		const char *stream; /* "stdout", "stderr", ... */
		const void *data;
		size_t size;
	} StentChunk;

	/* first_number: of the first chunk, from 1 within the attempt; 0: behind what is there. */
	STENT_API StentStatus stent_send_output(StentConn *conn, int64_t task_id, int64_t token,
											int64_t first_number, const StentChunk *chunks,
											size_t n, StentDone done, void *arg,
											StentError *error) STENT_MUST_CHECK;
	STENT_API StentStatus stent_output(StentConn *conn, int64_t task_id, int64_t token,
									   int64_t first_number, const StentChunk *chunks, size_t n,
									   StentError *error) STENT_MUST_CHECK;

	typedef struct StentWorker
	{
		const char *name;
		StentNames functions;
		StentNames queues;
		StentNames tags;
		int slots;
		json_t *info;     /* object for the view, or NULL */
		double alive_for; /* seconds a sign of life counts; <= 0: a minute */
	} StentWorker;

	/* STENT_MISMATCH, with a hint, if the extension does not speak STENT_PROTOCOL. json: its answer. */
	STENT_API StentStatus stent_send_worker_start(StentConn *conn, const StentWorker *worker,
												  StentDone done, void *arg,
												  StentError *error) STENT_MUST_CHECK;
	STENT_API StentStatus stent_worker_start(StentConn *conn, const StentWorker *worker,
											 json_t **answer, StentError *error) STENT_MUST_CHECK;
	/* state: "starting", "ready", "draining"; number 0: the server does not know it, start again */
	STENT_API StentStatus stent_send_worker_heartbeat(StentConn *conn, const char *worker,
													  const char *state, int busy, StentDone done,
													  void *arg,
													  StentError *error) STENT_MUST_CHECK;
	STENT_API StentStatus stent_send_worker_stop(StentConn *conn, const char *worker,
												 StentDone done, void *arg,
												 StentError *error) STENT_MUST_CHECK;
	STENT_API StentStatus stent_worker_stop(StentConn *conn, const char *worker,
											StentError *error) STENT_MUST_CHECK;
	/* Listen for work (once a connection), and ask to be woken (each time): reply->seconds. */
	STENT_API StentStatus stent_send_listen(StentConn *conn, StentDone done, void *arg,
											StentError *error) STENT_MUST_CHECK;
	STENT_API StentStatus stent_send_worker_wait(StentConn *conn, StentNames queues, StentDone done,
												 void *arg, StentError *error) STENT_MUST_CHECK;

	/* ------------------------------------------------------------------ for applications */

	typedef struct StentDispatch
	{
		const char *function;
		json_t *args;      /* an object; NULL: {} */
		const char *queue; /* NULL, here and below: the function's, or none */
		const int *priority;
		StentNames tags;
		const char *delay;  /* a duration, "5m" */
		const char *run_at; /* a moment in UTC, "2026-01-31 12:00" */
		const char *max_duration;
		const char *timeout;
		json_t *retry;
		const char *dedup_key;
		const char *on_duplicate;
		const char *idempotency_key;
		const char *concurrency_key;
		json_t *headers;
	} StentDispatch;

	STENT_API StentStatus stent_send_dispatch(StentConn *conn, const StentDispatch *dispatch,
											  StentDone done, void *arg,
											  StentError *error) STENT_MUST_CHECK;
	STENT_API StentStatus stent_dispatch(StentConn *conn, const StentDispatch *dispatch,
										 int64_t *id, StentError *error) STENT_MUST_CHECK;
	/* args: an array of objects. reply->numbers */
	STENT_API StentStatus stent_send_dispatch_many(StentConn *conn, const StentDispatch *dispatch,
												   json_t *args, StentDone done, void *arg,
												   StentError *error) STENT_MUST_CHECK;

	/*
 * The result of a task, waiting up to seconds for it (<= 0: without limit). A failed task
 * is STENT_REFUSED with the task's own SQLSTATE; a wait that ran out has code ST010.
 */
	STENT_API StentStatus stent_send_wait(StentConn *conn, int64_t id, double seconds,
										  StentDone done, void *arg,
										  StentError *error) STENT_MUST_CHECK;
	STENT_API StentStatus stent_wait(StentConn *conn, int64_t id, double seconds, json_t **result,
									 StentError *error) STENT_MUST_CHECK;
	STENT_API StentStatus stent_state(StentConn *conn, int64_t id, json_t **state,
									  StentError *error) STENT_MUST_CHECK;
	STENT_API StentStatus stent_signal(StentConn *conn, int64_t execution_id, const char *name,
									   json_t *payload, StentError *error) STENT_MUST_CHECK;
	STENT_API StentStatus stent_cancel(StentConn *conn, int64_t id, bool *any,
									   StentError *error) STENT_MUST_CHECK;

	/*
 * What the commands show; each an array of objects. NULL or 0: no filter. stent_list gives
 * rows of the view stent.executions, the newest first; stent_output_of rows with attempt,
 * number, stream, written_at, text (null if it is not UTF-8) and hex (where text is null).
 */
	STENT_API StentStatus stent_list(StentConn *conn, const char *state, const char *function,
									 const char *queue, int limit, json_t **rows,
									 StentError *error) STENT_MUST_CHECK;
	/* What happened in an execution, in order: rows of the view stent.progress. */
	STENT_API StentStatus stent_progress_of(StentConn *conn, int64_t execution_id, json_t **rows,
											StentError *error) STENT_MUST_CHECK;
	STENT_API StentStatus stent_output_of(StentConn *conn, int64_t id, int attempt, json_t **rows,
										  StentError *error) STENT_MUST_CHECK;
	STENT_API StentStatus stent_why(StentConn *conn, int64_t id, char **text,
									StentError *error) STENT_MUST_CHECK; /* free() it */
	/*
 * An execution, or what is below a task, as a tree: an array of texts, one a line. A server
 * of before 0.5 has none: code 42883.
 */
	STENT_API StentStatus stent_explain(StentConn *conn, int64_t id, json_t **lines,
										StentError *error) STENT_MUST_CHECK;

	/* ------------------------------------------------------------------ JSON */

	typedef enum StentJsonStyle
	{
		STENT_JSON_COMPACT,
		STENT_JSON_SPACED,  /* on one line, as jsonb is shown */
		STENT_JSON_INDENTED /* on many */
	} StentJsonStyle;

	/*
 * Gives the text of a value to write, in parts. Numbers are as short as they mean the same,
 * where jansson writes 0.1 with 17 digits. False: write did not return 0, or the value is
 * nested more than 2048 deep.
 */
	STENT_API bool stent_json_write(const json_t *value, StentJsonStyle style,
									json_dump_callback_t write, void *arg) STENT_MUST_CHECK;
	/* The same as a string; free() it. NULL: no memory, or nested too deep. */
	STENT_API char *stent_json_text(const json_t *value, StentJsonStyle style);

	/* ------------------------------------------------------------------ durations */

	/* "30s", "1h30m", "1.5h" as the extension reads them; false: not a duration. */
	STENT_API bool stent_duration_parse(const char *text, double *seconds) STENT_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif
