/*
 * pool.h
 *	  The tasks this worker holds: claimed, run, told to the server, forgotten.
 *
 * A *held* task is one whose lease is ours, from the answer of its claim until its end
 * has been answered (or it is known that somebody else owns it). Each file around the
 * pool does one thing with held tasks and owns its part of the structures:
 *
 *	claims.c	how many of which functions to claim, and when
 *	pool.c		runs them, and what a run tells
 *	output.c	stores what they write
 *	ends.c		tells their ends
 *	leases.c	keeps their leases
 *	items.c		the items of one that is a chunk
 */
#ifndef STENT_WORKER_POOL_H
#define STENT_WORKER_POOL_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "config.h"
#include "handler.h"
#include "items.h"
#include "link.h"
#include "stent.h"

typedef struct Pool Pool;
typedef struct Held Held;
typedef struct Claims Claims;
typedef struct Outputs Outputs;
typedef struct Ends Ends;
typedef struct Leases Leases;

typedef enum HeldState
{
	HELD_RUNNING, /* a run is there */
	HELD_ENDED,   /* its end waits to be sent */
	HELD_SENT,    /* its end is on its way */
	HELD_GONE     /* nothing to do any more; somebody's answer still refers to it */
} HeldState;

typedef enum EndKind
{
	END_COMPLETE,
	END_FAIL,
	END_RELEASE
} EndKind;
#define N_END_KINDS 3

/* A row of output on its way. */
typedef struct Chunk
{
	TAILQ_ENTRY(Chunk) next;
	int64_t number;
	size_t size;
	size_t capacity;
	char *stream; /* behind data, in the same allocation */
	char data[];
} Chunk;

typedef TAILQ_HEAD(ChunkList, Chunk) ChunkList;

struct Held
{
	TAILQ_ENTRY(Held) all;
	TAILQ_ENTRY(Held) queue; /* pool.c's, by state: ends to send, ends for later */
	Pool *pool;
	int references; /* the pool's and those of requests on their way */
	int64_t id;
	int64_t token;
	int attempt;
	Function *function; /* NULL: not served any more */
	HeldState state;
	Run *run;
	Items *items; /* of a chunk: run is that of one of them; NULL: it is none */

	bool give_back; /* release it when its run is over */
	bool disowned;  /* the lease is not ours any more: say nothing */
	bool unkept;    /* hangs: its lease is not renewed any more */

	double lease;      /* seconds a renewal gives */
	double renewed_at; /* when the last request was sent that renewed it */
	double valid_until;
	double over_at; /* when its run should be over; 0: any time */

	EndKind end;
	json_t *value;
	json_t *effects;
	bool alone;    /* in a batch of its own: a batch with it was refused */
	bool replaced; /* its error object was refused, and made anew */
	bool resent;   /* its end may have been done already */
	int tries;

	ChunkList unsent;
	int64_t next_number;
	size_t output_bytes;  /* in memory */
	int64_t output_total; /* kept, for the limit */
	int64_t output_dropped;
	int output_requests;
	bool output_queued; /* in the list of those to send */
	bool paused;
	TAILQ_ENTRY(Held) output_queue;
};

typedef TAILQ_HEAD(HeldList, Held) HeldList;

struct Pool
{
	struct event_base *base;
	Config *config;
	Link *work;    /* claims, output, ends */
	Link *keeping; /* leases */
	HeldList all;
	int n_all;
	int running;
	int unanswered; /* held without run */
	bool closed;    /* nothing is started any more */
	Claims *claims;
	Outputs *outputs;
	Ends *ends;
	Leases *leases;
	void (*changed)(void *arg); /* there is less to do than before */
	void *arg;
};

/* NULL for want of memory. The configuration and links are borrowed. */
extern Pool *pool_new(struct event_base *base, Config *config, Link *work, Link *keeping,
					  void (*changed)(void *arg), void *arg);
extern void pool_free(Pool *pool); /* of NULL: nothing. Links must be free before. */

/* New claims go by this configuration; what runs goes on as it began. False: out of memory, and as before. */
extern bool pool_configure(Pool *pool, Config *config);

/* Starts nothing any more; what is claimed from now on is released. */
extern void pool_close(Pool *pool);
/* Stops all runs; their tasks are released. */
extern void pool_give_back(Pool *pool);
/* Kills all runs; nothing is told. */
extern void pool_kill(Pool *pool);
/* Is there nothing to do or to tell any more? */
extern bool pool_idle(const Pool *pool);

/* A claim's answer: runs the task, or releases it. claimed_at: when the claim was sent. */
extern void held_begin(Pool *pool, const StentTask *task, double claimed_at);
/* The task has come to its end, which is to be told; takes value and effects. */
extern void held_end(Held *held, EndKind end, json_t *value, json_t *effects);
/* Its lease is not ours any more: stops its run, and nothing is told of it. */
extern void held_disown(Held *held, const char *reason);
/* Nothing is left to do with it. */
extern void held_forget(Held *held);
extern Held *held_ref(Held *held);
extern void held_unref(Held *held);
/* The one place that changes its state. */
extern void held_move(Held *held, HeldState state);

/* ------------------------------------------------------------------ claims.c */

extern Claims *claims_new(Pool *pool);
extern void claims_free(Claims *claims);
extern bool claims_configure(Claims *claims); /* false: out of memory; as before */
/* Does the server give chunks to who asks for them? */
extern void claims_take_chunks(Claims *claims, bool chunks);
/* May claim from now on (the worker is known to the server, and listens), or may not. */
extern void claims_allow(Claims *claims, bool allowed);
/* There may be work: a notification, or the connection is new. */
extern void claims_wake(Claims *claims);
/* Slots may have become free. */
extern void claims_look(Claims *claims);
/* A task could not be started, for reasons that are ours. */
extern void claims_pause(Claims *claims);
/* A run of the function hangs, and its lease is over at the latest from then on. */
extern void claims_rest(Claims *claims, const Function *function, double from);
/* A run of the function began (+1) or is over (-1). */
extern void claims_count(Claims *claims, const Function *function, int change);
extern int claims_on_their_way(const Claims *claims);

/* ------------------------------------------------------------------ output.c */

extern Outputs *outputs_new(Pool *pool);
extern void outputs_free(Outputs *outputs);
/* False: it is too much now. */
extern bool output_add(Held *held, const char *stream, const void *data, size_t size);
/* Nothing more comes. */
extern void output_close(Held *held);
/* Sends what is left, so that it goes before what is sent next on this connection. */
extern void output_send(Held *held);
extern void output_drop(Held *held);
extern void outputs_resume(Outputs *outputs); /* the connection is new */

/* ------------------------------------------------------------------ ends.c */

extern Ends *ends_new(Pool *pool);
extern void ends_free(Ends *ends);
extern void ends_add(Held *held);
/* Sends what can be sent now, so that it goes before what is sent next. */
extern void ends_send(Ends *ends);
extern void ends_resume(Ends *ends); /* the connection is new */
extern int ends_on_their_way(const Ends *ends);

/* ------------------------------------------------------------------ leases.c */

extern Leases *leases_new(Pool *pool);
extern void leases_free(Leases *leases);
extern void leases_add(Held *held);
/* Renews all now: the connection is new, or somebody's task may have been cancelled. */
extern void leases_renew_all(Leases *leases);

#endif
