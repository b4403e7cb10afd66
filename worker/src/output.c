/*
 * output.c
 *	  Stores what runs write, in order, before the end of their attempt is told.
 *
 * Rows are numbered here, so that a row that is sent again after a lost connection is the
 * same row. What is read and not yet stored is bounded for each run and for all together:
 * a handler that is told so stops reading, and its child waits.
 */
#include "pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "loop.h"
#include "text.h"

/* Bytes in memory above which a handler stops reading; it goes on at half of it. */
#define RUN_BYTES ((size_t) 256 * 1024)
#define ALL_BYTES ((size_t) 8 * 1024 * 1024)

/* What is written in smaller pieces shares rows of about this size. */
#define ROW_BYTES ((size_t) 8 * 1024)

/* Most rows a request. */
#define MAX_ROWS 256

struct Outputs
{
	Pool *pool;
	HeldList queue; /* with rows to send, and none on their way */
	size_t bytes;
	int paused;
	struct event *soon;
};

/* Rows on their way; they are kept until they are answered. */
typedef struct OutputRequest
{
	Outputs *outputs;
	Held *held;
	ChunkList chunks;
} OutputRequest;

static void
chunk_free(Outputs *outputs, Held *held, Chunk *chunk)
{
	held->output_bytes -= chunk->capacity;
	outputs->bytes -= chunk->capacity;
	free(chunk);
}

static void
chunks_free(Outputs *outputs, Held *held, ChunkList *chunks)
{
	Chunk *chunk;

	while ((chunk = TAILQ_FIRST(chunks)) != NULL)
	{
		TAILQ_REMOVE(chunks, chunk, next);
		chunk_free(outputs, held, chunk);
	}
}

static void
queue_put(Held *held)
{
	Outputs *outputs = held->pool->outputs;

	if (held->output_queued || TAILQ_EMPTY(&held->unsent))
		return;
	held->output_queued = true;
	TAILQ_INSERT_TAIL(&outputs->queue, held, output_queue);
	loop_soon(outputs->soon);
}

static void
queue_take(Held *held)
{
	if (!held->output_queued)
		return;
	held->output_queued = false;
	TAILQ_REMOVE(&held->pool->outputs->queue, held, output_queue);
}

/* Appends to the last row, where it is not on its way yet and has room. */
static bool
chunk_append(Held *held, const char *stream, const void *data, size_t size)
{
	Chunk *last = TAILQ_LAST(&held->unsent, ChunkList);

	if (last == NULL || last->capacity - last->size < size || strcmp(last->stream, stream) != 0)
		return false;
	memcpy(last->data + last->size, data, size);
	last->size += size;
	return true;
}

/* Adds what was written, in a row of its own or in the last one; false: out of memory. */
static bool
chunk_add(Held *held, const char *stream, const void *data, size_t size)
{
	Outputs *outputs = held->pool->outputs;
	size_t capacity = size < ROW_BYTES ? ROW_BYTES : size;
	Chunk *chunk;

	if (chunk_append(held, stream, data, size))
		return true;
	chunk = malloc(sizeof(Chunk) + capacity + strlen(stream) + 1);
	if (chunk == NULL)
		return false;
	chunk->number = held->next_number++;
	chunk->size = size;
	chunk->capacity = capacity;
	memcpy(chunk->data, data, size);
	chunk->stream = chunk->data + capacity;
	strcpy(chunk->stream, stream);
	TAILQ_INSERT_TAIL(&held->unsent, chunk, next);
	held->output_bytes += capacity;
	outputs->bytes += capacity;
	queue_put(held);
	return true;
}

bool
output_add(Held *held, const char *stream, const void *data, size_t size)
{
	int64_t room = held->pool->config->output_limit - held->output_total;
	size_t keep = room <= 0 ? 0 : (int64_t) size > room ? (size_t) room : size;

	if (held->output_dropped > 0)
		keep = 0;
	/* a row that is cut stays text, if it was */
	if (keep < size)
		keep = text_whole(data, keep);
	if (keep > 0 && !chunk_add(held, stream, data, keep))
		keep = 0;
	held->output_total += (int64_t) keep;
	held->output_dropped += (int64_t) (size - keep);
	if (held->output_bytes < RUN_BYTES && held->pool->outputs->bytes < ALL_BYTES)
		return true;
	if (!held->paused)
	{
		held->paused = true;
		held->pool->outputs->paused++;
	}
	return false;
}

static void
unpause(Held *held)
{
	if (!held->paused)
		return;
	held->paused = false;
	held->pool->outputs->paused--;
}

void
output_close(Held *held)
{
	char text[160];

	unpause(held);
	if (held->output_dropped == 0 || held->disowned)
		return;
	snprintf(text, sizeof(text),
			 "%lld bytes of output dropped: the limit is %lld bytes an attempt\n",
			 (long long) held->output_dropped, (long long) held->pool->config->output_limit);
	(void) chunk_add(held, "stent", text, strlen(text));
}

void
output_drop(Held *held)
{
	unpause(held);
	queue_take(held);
	chunks_free(held->pool->outputs, held, &held->unsent);
}

/* Rows that were not stored come back to where they were: the list is in order. */
static void
chunks_return(OutputRequest *request)
{
	ChunkList behind = TAILQ_HEAD_INITIALIZER(behind);
	Held *held = request->held;
	Chunk *chunk;

	TAILQ_CONCAT(&behind, &held->unsent, next);
	while (!TAILQ_EMPTY(&request->chunks) || !TAILQ_EMPTY(&behind))
	{
		ChunkList *from = &request->chunks;

		if (TAILQ_EMPTY(from) ||
			(!TAILQ_EMPTY(&behind) && TAILQ_FIRST(&behind)->number < TAILQ_FIRST(from)->number))
			from = &behind;
		chunk = TAILQ_FIRST(from);
		TAILQ_REMOVE(from, chunk, next);
		TAILQ_INSERT_TAIL(&held->unsent, chunk, next);
	}
}

/* Goes on with handlers that had to stop reading. */
static void
outputs_unpause(Outputs *outputs)
{
	Held *held;

	if (outputs->paused == 0 || outputs->bytes > ALL_BYTES / 2)
		return;
	TAILQ_FOREACH(held, &outputs->pool->all, all)
	{
		if (!held->paused || held->output_bytes > RUN_BYTES / 2)
			continue;
		unpause(held);
		if (held->run != NULL)
			run_resume_output(held->run);
	}
}

static void
output_answered(StentConn *conn, const StentReply *reply, void *arg)
{
	OutputRequest *request = arg;
	Outputs *outputs = request->outputs;
	Held *held = request->held;

	(void) conn;
	held->output_requests--;
	if (reply->status == STENT_LOST && held->state != HELD_GONE && !held->disowned)
		chunks_return(request);
	else
		chunks_free(outputs, held, &request->chunks);
	if (reply->status == STENT_REFUSED && strcmp(reply->error->code, "ST012") == 0)
		held_disown(held, "its lease is lost");
	else if (reply->status != STENT_OK && reply->status != STENT_LOST)
		log_error("output not stored", LOG_INT("task", held->id), LOG_PROBLEM(reply->error));
	if (held->state != HELD_GONE && held->output_requests == 0)
		queue_put(held);
	held_unref(held);
	free(request);
	outputs_unpause(outputs);
}

/* Sends one request of rows; false: it cannot be sent now. */
static bool
output_request(Held *held, StentConn *conn)
{
	OutputRequest *request = calloc(1, sizeof(OutputRequest));
	StentChunk rows[MAX_ROWS];
	StentError error = {.message = "out of memory"};
	StentStatus status = STENT_NO_MEMORY;
	int64_t first = TAILQ_FIRST(&held->unsent)->number;
	size_t n = 0;

	if (request != NULL)
	{
		request->outputs = held->pool->outputs;
		request->held = held;
		TAILQ_INIT(&request->chunks);
		while (n < MAX_ROWS && !TAILQ_EMPTY(&held->unsent) &&
			   TAILQ_FIRST(&held->unsent)->number == first + (int64_t) n)
		{
			Chunk *chunk = TAILQ_FIRST(&held->unsent);

			TAILQ_REMOVE(&held->unsent, chunk, next);
			TAILQ_INSERT_TAIL(&request->chunks, chunk, next);
			rows[n++] = (StentChunk){chunk->stream, chunk->data, chunk->size};
		}
		status = stent_send_output(conn, held->id, held->token, first, rows, n, output_answered,
								   request, &error);
	}
	if (status == STENT_OK)
	{
		held_ref(held);
		held->output_requests++;
		link_kick(held->pool->work);
		return true;
	}
	log_error("output cannot be sent", LOG_INT("task", held->id), LOG_PROBLEM(&error));
	if (request != NULL)
		chunks_return(request);
	free(request);
	return false;
}

void
output_send(Held *held)
{
	StentConn *conn = link_conn(held->pool->work);

	queue_take(held);
	while (conn != NULL && !TAILQ_EMPTY(&held->unsent))
	{
		if (!output_request(held, conn))
			break;
	}
}

/* Sends for all that have nothing on its way; what comes meanwhile goes together. */
static void
outputs_send(evutil_socket_t fd, short what, void *arg)
{
	Outputs *outputs = arg;
	Held *held, *next;

	(void) fd;
	(void) what;
	for (held = TAILQ_FIRST(&outputs->queue); held != NULL; held = next)
	{
		next = TAILQ_NEXT(held, output_queue);
		if (held->output_requests > 0)
			queue_take(held);
		else if (link_conn(outputs->pool->work) != NULL)
			output_send(held);
	}
}

void
outputs_resume(Outputs *outputs)
{
	Held *held;

	TAILQ_FOREACH(held, &outputs->pool->all, all)
	queue_put(held);
	loop_soon(outputs->soon);
}

Outputs *
outputs_new(Pool *pool)
{
	Outputs *outputs = calloc(1, sizeof(Outputs));

	if (outputs == NULL)
		return NULL;
	outputs->pool = pool;
	TAILQ_INIT(&outputs->queue);
	outputs->soon = evtimer_new(pool->base, outputs_send, outputs);
	if (outputs->soon == NULL)
	{
		free(outputs);
		return NULL;
	}
	return outputs;
}

void
outputs_free(Outputs *outputs)
{
	if (outputs == NULL)
		return;
	event_free(outputs->soon);
	free(outputs);
}
