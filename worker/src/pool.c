/*
 * pool.c
 *	  Held tasks: their states, their runs, and what runs tell.
 *
 * What is told to the server, and when, is left to claims.c, output.c, ends.c and
 * leases.c; how a task runs, to its handler.
 */
#include "pool.h"

#include <assert.h>
#include <stdlib.h>

#include "log.h"
#include "loop.h"

/* Which state may follow which: a row is from, a column is to. */
static const bool held_moves[4][4] = {
	/*                 RUNNING ENDED  SENT   GONE */
	[HELD_RUNNING] = {false, true, false, true},
	[HELD_ENDED] = {false, false, true, true},
	[HELD_SENT] = {false, true, false, true},
	[HELD_GONE] = {false, false, false, false},
};

static bool run_output(Run *run, const char *stream, const void *data, size_t size, void *arg);
static void run_ended(Run *run, RunEnd *end, void *arg);
static const RunEvents run_events = {.output = run_output, .ended = run_ended};

Pool *
pool_new(struct event_base *base, Config *config, Link *work, Link *keeping,
		 void (*changed)(void *arg), void *arg)
{
	Pool *pool = calloc(1, sizeof(Pool));

	if (pool == NULL)
		return NULL;
	pool->base = base;
	pool->config = config;
	pool->work = work;
	pool->keeping = keeping;
	pool->changed = changed;
	pool->arg = arg;
	TAILQ_INIT(&pool->all);
	pool->claims = claims_new(pool);
	pool->outputs = outputs_new(pool);
	pool->ends = ends_new(pool);
	pool->leases = leases_new(pool);
	if (pool->claims == NULL || pool->outputs == NULL || pool->ends == NULL || pool->leases == NULL)
	{
		pool_free(pool);
		return NULL;
	}
	return pool;
}

void
pool_free(Pool *pool)
{
	Held *held;

	if (pool == NULL)
		return;
	while ((held = TAILQ_FIRST(&pool->all)) != NULL)
		held_forget(held);
	claims_free(pool->claims);
	outputs_free(pool->outputs);
	ends_free(pool->ends);
	leases_free(pool->leases);
	free(pool);
}

bool
pool_configure(Pool *pool, Config *config)
{
	Config *before = pool->config;

	pool->config = config;
	if (claims_configure(pool->claims))
		return true;
	pool->config = before;
	return false;
}

void
pool_close(Pool *pool)
{
	pool->closed = true;
	claims_allow(pool->claims, false);
}

/* Its run should be over in so many seconds; < 0: any time. */
static void
held_over_in(Held *held, double seconds)
{
	double at = loop_now() + seconds;

	if (seconds >= 0 && (held->over_at == 0 || at < held->over_at))
		held->over_at = at;
}

void
pool_give_back(Pool *pool)
{
	Held *held, *next;

	for (held = TAILQ_FIRST(&pool->all); held != NULL; held = next)
	{
		next = TAILQ_NEXT(held, all);
		if (held->state != HELD_RUNNING || held->disowned)
			continue;
		held->give_back = true;
		held_over_in(held, 0);
		run_stop(held->run, RUN_STOP_CANCELLED);
	}
}

void
pool_kill(Pool *pool)
{
	Held *held;

	TAILQ_FOREACH(held, &pool->all, all)
	{
		if (held->state == HELD_RUNNING)
			run_kill(held->run);
	}
}

bool
pool_idle(const Pool *pool)
{
	return pool->n_all == 0 && claims_on_their_way(pool->claims) == 0;
}

Held *
held_ref(Held *held)
{
	held->references++;
	return held;
}

void
held_unref(Held *held)
{
	if (--held->references > 0)
		return;
	if (held->function != NULL)
		function_unref(held->function);
	items_free(held->items);
	free(held);
}

void
held_move(Held *held, HeldState state)
{
	assert(held_moves[held->state][state]);
	if (held->state == HELD_RUNNING)
	{
		held->pool->running--;
		held->pool->unanswered++;
	}
	if (state == HELD_GONE)
		held->pool->unanswered--;
	held->state = state;
}

/* Starts the task, or the next item of a chunk; false: it cannot be started now. */
static bool
held_start(Held *held, const StentTask *task)
{
	char problem[CONFIG_PROBLEM_LENGTH] = "";

	held->over_at = 0;
	held_over_in(held, task->timeout);
	held_over_in(held, task->time_left);
	held_over_in(held, held->function->timeout > 0 ? held->function->timeout : -1);
	held->run = run_start(held->pool->base, held->function->handler, task, &run_events, held,
						  problem, sizeof(problem));
	if (held->run != NULL)
		return true;
	log_error("task cannot be started", LOG_INT("task", held->id),
			  LOG_STR("function", held->function->name), LOG_STR("error", problem));
	claims_pause(held->pool->claims);
	return false;
}

void
held_begin(Pool *pool, const StentTask *task, double claimed_at)
{
	Held *held = calloc(1, sizeof(Held));
	Function *function = config_function(pool->config, task->function);

	if (held == NULL)
	{
		log_error("out of memory: a task is left to its lease", LOG_INT("task", task->id));
		return;
	}
	held->pool = pool;
	held->references = 1;
	held->id = task->id;
	held->token = task->token;
	held->attempt = task->attempt;
	held->lease = task->lease;
	held->renewed_at = claimed_at;
	held->valid_until = claimed_at + task->lease;
	held->next_number = 1;
	TAILQ_INIT(&held->unsent);
	TAILQ_INSERT_TAIL(&pool->all, held, all);
	pool->n_all++;
	pool->running++;
	held->state = HELD_RUNNING;
	if (function == NULL || pool->closed)
	{
		held_end(held, END_RELEASE, NULL, NULL);
		return;
	}
	if (task->problem != NULL)
	{
		held_end(
			held, END_FAIL,
			json_pack("{s:s, s:s, s:b}", "message", task->problem, "code", "22000", "retryable", 0),
			NULL);
		return;
	}
	held->function = function_ref(function);
	claims_count(pool->claims, function, 1);
	if (task->items > 0)
		held->items = items_new(task, claimed_at);
	if (task->items > 0 && held->items == NULL)
		log_error("out of memory: a chunk is given back", LOG_INT("task", held->id));
	if ((task->items > 0 && held->items == NULL) ||
		!held_start(held, held->items != NULL ? items_next(held->items, loop_now()) : task))
	{
		claims_count(pool->claims, function, -1);
		held_end(held, END_RELEASE, NULL, NULL);
		return;
	}
	if (log_wants(LOG_DEBUG))
		log_debug("task started", LOG_INT("task", held->id), LOG_STR("function", function->name),
				  LOG_INT("attempt", held->attempt), LOG_INT("items", task->items));
	leases_add(held);
}

void
held_end(Held *held, EndKind end, json_t *value, json_t *effects)
{
	held_move(held, HELD_ENDED);
	held->end = end;
	held->value = value;
	held->effects = effects;
	ends_add(held);
}

void
held_disown(Held *held, const char *reason)
{
	if (held->state != HELD_RUNNING || held->disowned)
		return;
	log_warn("task is not ours any more: its run is stopped", LOG_INT("task", held->id),
			 LOG_STR("function", held->function->name), LOG_INT("attempt", held->attempt),
			 LOG_STR("reason", reason));
	held->disowned = true;
	output_drop(held);
	/* one that hangs was told to stop before */
	if (held->unkept)
		run_kill(held->run);
	else
		run_stop(held->run, RUN_STOP_CANCELLED);
}

void
held_forget(Held *held)
{
	Pool *pool = held->pool;

	held_move(held, HELD_GONE);
	output_drop(held);
	json_decref(held->value);
	json_decref(held->effects);
	held->value = NULL;
	held->effects = NULL;
	TAILQ_REMOVE(&pool->all, held, all);
	pool->n_all--;
	held_unref(held);
	pool->changed(pool->arg);
}

/* From the handler: something to be stored. */
static bool
run_output(Run *run, const char *stream, const void *data, size_t size, void *arg)
{
	Held *held = arg;

	(void) run;
	if (held->disowned)
		return true;
	return output_add(held, stream, data, size);
}

/*
 * An item of a chunk has come to its end: the next one follows in its slot, if there is
 * one and we are not to leave.
 */
static bool
run_next_item(Held *held)
{
	const StentTask *item;

	if (held->disowned || held->give_back || held->pool->closed)
		return false;
	item = items_next(held->items, loop_now());
	return item != NULL && held_start(held, item);
}

/* The chunk goes no further here: what was done is told, and what was not run goes back. */
static void
chunk_end(Held *held)
{
	json_t *outcomes;
	json_t *effects;

	if (items_any(held->items) && items_outcomes(held->items, &outcomes, &effects))
		held_end(held, END_COMPLETE, outcomes, effects);
	else
		held_end(held, END_RELEASE, NULL, NULL);
}

/* From the handler: the run is over; its slot is free, unless another item follows. */
static void
run_ended(Run *run, RunEnd *end, void *arg)
{
	Held *held = held_ref(arg);

	(void) run;
	held->run = NULL;
	if (held->disowned || held->give_back)
	{
		json_decref(end->value);
		json_decref(end->effects);
	}
	else if (held->items != NULL)
		items_take(held->items, end);
	if (held->items != NULL && run_next_item(held))
	{
		held_unref(held);
		return;
	}
	output_close(held);
	if (held->disowned)
		held_forget(held);
	else if (held->items != NULL)
		chunk_end(held);
	else if (held->give_back)
		held_end(held, END_RELEASE, NULL, NULL);
	else
		held_end(held, end->succeeded ? END_COMPLETE : END_FAIL, end->value, end->effects);
	claims_count(held->pool->claims, held->function, -1);
	held_unref(held);
}
