/*
 * ends.c
 *	  Tells the server how tasks ended, in batches that grow with the load.
 *
 * A single end goes at once. What ends while a batch is on its way waits for its answer
 * and then goes together, so that batches are as large as the server is busy. An end that
 * was on its way when the connection was lost is told again: the server takes it once.
 */
#include "pool.h"

#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "loop.h"

/* A batch that is this large need not wait for the one before. */
#define LARGE_BATCH 100
#define MAX_ON_THEIR_WAY 4

/* About how many bytes of values a batch may have. */
#define BATCH_BYTES ((size_t) 8 * 1024 * 1024)

/* Longest code of an error, in bytes. */
#define MAX_CODE 200

/* How often an end is told that the server refuses for reasons that are not the task's. */
#define MAX_TRIES 5

/* SQLSTATE classes of errors that pass: of connections, resources, standbys, conflicts. */
static const char *const passing_classes[] = {"08", "25", "40", "53", "55", "57", "58"};

/* Delays of ends that are told again. */
static const StentRetry again_retry = {
	.max_attempts = 0, .initial_delay = 0.02, .backoff_factor = 2, .max_delay = 2, .jitter = 0.2};

struct Ends
{
	Pool *pool;
	HeldList queues[N_END_KINDS];
	int n_queued[N_END_KINDS];
	int n_sent[N_END_KINDS]; /* batches on their way */
	HeldList later;          /* to be told again, after a while */
	struct event *soon;
	struct event *again;
};

typedef struct Batch
{
	Ends *ends;
	EndKind kind;
	size_t n;
	Held *held[];
} Batch;

int
ends_on_their_way(const Ends *ends)
{
	return ends->n_sent[END_COMPLETE] + ends->n_sent[END_FAIL] + ends->n_sent[END_RELEASE];
}

static void
queue_put(Ends *ends, Held *held, bool first)
{
	if (first)
		TAILQ_INSERT_HEAD(&ends->queues[held->end], held, queue);
	else
		TAILQ_INSERT_TAIL(&ends->queues[held->end], held, queue);
	ends->n_queued[held->end]++;
}

void
ends_add(Held *held)
{
	queue_put(held->pool->ends, held, false);
	loop_soon(held->pool->ends->soon);
}

/* Tells it again after a while. */
static void
end_later(Ends *ends, Held *held)
{
	held_move(held, HELD_ENDED);
	held->tries++;
	TAILQ_INSERT_TAIL(&ends->later, held, queue);
	if (!event_pending(ends->again, EV_TIMEOUT, NULL))
		loop_timer(ends->again, stent_retry_delay(&again_retry, held->tries));
}

/* Tells it again as soon as it can be told. */
static void
end_again(Ends *ends, Held *held)
{
	held_move(held, HELD_ENDED);
	queue_put(ends, held, true);
	loop_soon(ends->soon);
}

static bool
is_class(const StentError *error, const char *class)
{
	return strncmp(error->code, class, 2) == 0;
}

static bool
is_passing(StentStatus status, const StentError *error)
{
	if (status == STENT_INVALID)
		return false;
	if (status != STENT_REFUSED)
		return true;
	for (size_t i = 0; i < sizeof(passing_classes) / sizeof(passing_classes[0]); i++)
	{
		if (is_class(error, passing_classes[i]))
			return true;
	}
	return false;
}

/* What an error object of ours may be short of, if the server refuses it: all but what decides on a retry. */
static void
keep_decision(json_t *object, const json_t *refused)
{
	static const char *const numbers[] = {"exit_code", "signal"};
	const char *code = json_string_value(json_object_get(refused, "code"));
	size_t length = code != NULL ? strlen(code) : 0;
	size_t plain = 0;

	while (plain < length && code[plain] >= ' ' && code[plain] <= '~')
		plain++;
	if (length > 0 && length <= MAX_CODE && plain == length)
		json_object_set_new(object, "code", json_string(code));
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
	{
		json_t *number = json_object_get(refused, numbers[i]);

		if (json_is_integer(number))
			json_object_set(object, numbers[i], number);
	}
	if (json_is_false(json_object_get(refused, "retryable")))
		json_object_set_new(object, "retryable", json_false());
}

/* The error object of a task whose end the server refused. */
static json_t *
refusal_as_error(const StentError *error, const Held *held)
{
	json_t *object = json_pack("{s:s}", "message", error->message);

	if (object == NULL)
		return NULL;
	if (error->code[0] != '\0')
		json_object_set_new(object, "code", json_string(error->code));
	if (error->detail[0] != '\0')
		json_object_set_new(object, "detail", json_string(error->detail));
	if (error->hint[0] != '\0')
		json_object_set_new(object, "hint", json_string(error->hint));
	/* a failure is what it was; the same result will not become better */
	if (held->end == END_FAIL)
		keep_decision(object, held->value);
	else if (error->status == STENT_INVALID || is_class(error, "22") || is_class(error, "42"))
		json_object_set_new(object, "retryable", json_false());
	return object;
}

/* The server refused the end of this one task. */
static void
end_refused(Ends *ends, Held *held, const StentError *error)
{
	json_t *object = NULL;

	log_error("end of a task refused", LOG_INT("task", held->id), LOG_PROBLEM(error));
	/* an error object that is refused is replaced as well, once */
	if (held->end == END_COMPLETE || (held->end == END_FAIL && !held->replaced))
		object = refusal_as_error(error, held);
	if (object != NULL)
	{
		json_decref(held->value);
		json_decref(held->effects);
		held->value = object;
		held->effects = NULL;
		held->replaced = held->end == END_FAIL;
		held->end = END_FAIL;
		end_again(ends, held);
	}
	else if (held->tries < MAX_TRIES)
		end_later(ends, held);
	else
	{
		log_error("end of a task given up: it is left to its lease", LOG_INT("task", held->id));
		held_forget(held);
	}
}

/* What the server made of one end. */
static void
end_answered(Ends *ends, Held *held, const char *outcome)
{
	if (strcmp(outcome, "busy") == 0)
	{
		end_later(ends, held);
		return;
	}
	if (strcmp(outcome, "lost") == 0 || strcmp(outcome, "ended") == 0)
		log_event(held->resent ? LOG_INFO : LOG_WARN,
				  held->resent ? "task was ended already" : "task was not ours any more at its end",
				  LOG_FIELDS(LOG_INT("task", held->id), LOG_INT("attempt", held->attempt),
							 LOG_STR("outcome", outcome)));
	else if (log_wants(LOG_DEBUG))
		log_debug("task ended", LOG_INT("task", held->id), LOG_INT("attempt", held->attempt),
				  LOG_STR("outcome", outcome));
	held_forget(held);
}

/* A whole batch was refused: of one, it is about that task; else each goes by itself. */
static void
batch_refused(Ends *ends, Batch *batch, StentStatus status, const StentError *error)
{
	bool passing = is_passing(status, error);

	if (passing || batch->n > 1)
		log_warn(passing ? "ends not taken: they are told again"
						 : "ends refused: each is told by itself",
				 LOG_INT("tasks", (int64_t) batch->n), LOG_PROBLEM(error));
	for (size_t i = batch->n; i-- > 0;)
	{
		Held *held = batch->held[i];

		if (passing)
			end_later(ends, held);
		else if (batch->n == 1)
			end_refused(ends, held, error);
		else
		{
			held->alone = true;
			end_again(ends, held);
		}
	}
}

static void
batch_answered(StentConn *conn, const StentReply *reply, void *arg)
{
	Batch *batch = arg;
	Ends *ends = batch->ends;

	(void) conn;
	ends->n_sent[batch->kind]--;
	if (reply->status == STENT_OK && reply->n_outcomes == batch->n)
	{
		for (size_t i = 0; i < batch->n; i++)
			end_answered(ends, batch->held[i], reply->outcomes[i]);
	}
	else if (reply->status == STENT_LOST)
	{
		for (size_t i = batch->n; i-- > 0;)
		{
			batch->held[i]->resent = true;
			end_again(ends, batch->held[i]);
		}
	}
	else
	{
		StentError unclear = {.message = "the answer is not about what was sent"};

		/* what was answered in another way may have been done */
		for (size_t i = 0; i < batch->n && reply->status != STENT_REFUSED; i++)
			batch->held[i]->resent = true;
		batch_refused(ends, batch, reply->status, reply->error != NULL ? reply->error : &unclear);
	}
	free(batch);
	loop_soon(ends->soon);
	/* too many ends without answer may have kept us from claiming */
	claims_look(ends->pool->claims);
}

/* About how many bytes a value has as text; stops counting where it is a lot. */
static size_t
value_bytes(const json_t *value, size_t limit)
{
	size_t bytes = json_is_string(value) ? json_string_length(value) : 8;
	const char *key;
	json_t *member;
	size_t i;

	json_array_foreach(value, i, member)
	{
		if (bytes >= limit)
			break;
		bytes += value_bytes(member, limit - bytes);
	}
	json_object_foreach((json_t *) value, key, member)
	{
		if (bytes >= limit)
			break;
		bytes += strlen(key) + value_bytes(member, limit - bytes);
	}
	return bytes;
}

/* Takes the next batch of a kind from its queue into items. */
static Batch *
batch_new(Ends *ends, EndKind kind, StentItem *items)
{
	size_t most =
		ends->n_queued[kind] < STENT_MAX_BATCH ? (size_t) ends->n_queued[kind] : STENT_MAX_BATCH;
	Batch *batch = malloc(sizeof(Batch) + most * sizeof(Held *));
	size_t bytes = 0;

	if (batch == NULL)
		return NULL;
	batch->ends = ends;
	batch->kind = kind;
	batch->n = 0;
	while (batch->n < most && bytes < BATCH_BYTES)
	{
		Held *held = TAILQ_FIRST(&ends->queues[kind]);

		if (held->alone && batch->n > 0)
			break;
		TAILQ_REMOVE(&ends->queues[kind], held, queue);
		ends->n_queued[kind]--;
		held_move(held, HELD_SENT);
		items[batch->n] = (StentItem){held->id, held->token, held->value, held->effects};
		batch->held[batch->n++] = held;
		if (held->value != NULL)
			bytes += value_bytes(held->value, BATCH_BYTES);
		if (held->effects != NULL)
			bytes += value_bytes(held->effects, BATCH_BYTES);
		if (held->alone)
			break;
	}
	return batch;
}

/* Sends a batch, and ahead of it what output is left; false: it cannot be sent now. */
static bool
batch_send(Ends *ends, EndKind kind, StentConn *conn)
{
	StentItem items[STENT_MAX_BATCH];
	StentError error = {.message = "out of memory"};
	StentStatus status = STENT_NO_MEMORY;
	Batch *batch = batch_new(ends, kind, items);

	if (batch != NULL)
	{
		for (size_t i = 0; i < batch->n; i++)
			output_send(batch->held[i]);
		if (kind == END_COMPLETE)
			status = stent_send_complete(conn, items, batch->n, batch_answered, batch, &error);
		else if (kind == END_FAIL)
			status = stent_send_fail(conn, items, batch->n, batch_answered, batch, &error);
		else
			status = stent_send_release(conn, items, batch->n, batch_answered, batch, &error);
	}
	if (status == STENT_OK)
	{
		ends->n_sent[kind]++;
		return true;
	}
	if (batch != NULL)
		batch_refused(ends, batch, status, &error);
	else
		log_error("ends cannot be sent", LOG_PROBLEM(&error));
	free(batch);
	return false;
}

/* Need what is queued not wait for the batch before? */
static bool
is_large(const Ends *ends, EndKind kind)
{
	return ends->n_queued[kind] >= LARGE_BATCH || TAILQ_FIRST(&ends->queues[kind])->alone;
}

void
ends_send(Ends *ends)
{
	StentConn *conn = link_conn(ends->pool->work);

	for (int kind = 0; kind < N_END_KINDS; kind++)
	{
		while (conn != NULL && ends->n_queued[kind] > 0 &&
			   (ends->n_sent[kind] == 0 ||
				(ends->n_sent[kind] < MAX_ON_THEIR_WAY && is_large(ends, (EndKind) kind))))
		{
			if (!batch_send(ends, (EndKind) kind, conn))
				break;
		}
	}
	link_kick(ends->pool->work);
}

static void
soon_due(evutil_socket_t fd, short what, void *arg)
{
	(void) fd;
	(void) what;
	ends_send(arg);
}

static void
again_due(evutil_socket_t fd, short what, void *arg)
{
	Ends *ends = arg;
	Held *held;

	(void) fd;
	(void) what;
	while ((held = TAILQ_FIRST(&ends->later)) != NULL)
	{
		TAILQ_REMOVE(&ends->later, held, queue);
		queue_put(ends, held, false);
	}
	ends_send(ends);
}

void
ends_resume(Ends *ends)
{
	loop_soon(ends->soon);
}

Ends *
ends_new(Pool *pool)
{
	Ends *ends = calloc(1, sizeof(Ends));

	if (ends == NULL)
		return NULL;
	ends->pool = pool;
	for (int kind = 0; kind < N_END_KINDS; kind++)
		TAILQ_INIT(&ends->queues[kind]);
	TAILQ_INIT(&ends->later);
	ends->soon = evtimer_new(pool->base, soon_due, ends);
	ends->again = evtimer_new(pool->base, again_due, ends);
	if (ends->soon == NULL || ends->again == NULL)
	{
		ends_free(ends);
		return NULL;
	}
	return ends;
}

void
ends_free(Ends *ends)
{
	if (ends == NULL)
		return;
	if (ends->soon != NULL)
		event_free(ends->soon);
	if (ends->again != NULL)
		event_free(ends->again);
	free(ends);
}
