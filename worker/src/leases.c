/*
 * leases.c
 *	  Keeps the leases of held tasks, and sees when one is not ours any more.
 *
 * Leases are renewed on a connection of their own, at a third of their length, so that a
 * slow statement of the other connection delays no renewal. Whether a lease holds is
 * decided by the server. What is reckoned here is only until when it surely does: a lease
 * counts from when the request that gave it was sent. Behind that moment somebody else may
 * have the task, and its run is stopped.
 */
#include "pool.h"

#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "loop.h"

/* A lease is renewed when this part of it is over. */
#define RENEW_AT (1.0 / 3)

/* No renewal is asked for again sooner than this, whatever the answer was. */
#define SOONEST_S 0.05
#define BUSY_S 1.0

struct Leases
{
	Pool *pool;
	struct event *timer;
	double timer_at;
	int sent;   /* requests on their way */
	bool again; /* once more when they are answered */
	double not_before;
};

typedef struct Renewal
{
	Leases *leases;
	double sent_at;
	double lease;
	size_t n;
	Held *held[];
} Renewal;

static void leases_check(Leases *leases);

static void
timer_at(Leases *leases, double when)
{
	if (event_pending(leases->timer, EV_TIMEOUT, NULL) && leases->timer_at <= when)
		return;
	leases->timer_at = when;
	loop_timer(leases->timer, when - loop_now());
}

/*
 * Does its run hang? It should have been over long ago, because its time is over or
 * because we told it to stop. Somebody else may then have the task.
 */
static bool
is_hung(Held *held, double now)
{
	if (held->unkept || held->state != HELD_RUNNING || held->over_at == 0 ||
		now < held->over_at + held->pool->config->hung_after)
		return held->unkept;
	log_error("run hangs: its lease is not renewed any more", LOG_INT("task", held->id),
			  LOG_STR("function", held->function->name), LOG_INT("attempt", held->attempt));
	held->unkept = true;
	claims_rest(held->pool->claims, held->function, held->valid_until);
	return true;
}

static void
task_answered(Leases *leases, Held *held, const Renewal *renewal, const char *outcome)
{
	if (strcmp(outcome, "held") == 0)
	{
		held->renewed_at = renewal->sent_at;
		held->valid_until = renewal->sent_at + renewal->lease;
		held->lease = renewal->lease;
	}
	else if (strcmp(outcome, "busy") == 0)
	{
		double soon = held->lease / 10 < BUSY_S ? held->lease / 10 : BUSY_S;

		leases->again = true;
		if (leases->not_before < loop_now() + soon)
			leases->not_before = loop_now() + soon;
	}
	else if (held->state == HELD_RUNNING)
		/* an end on its way has an answer of its own */
		held_disown(held,
					strcmp(outcome, "ended") == 0 ? "it was ended by others" : "its lease is lost");
}

static void
renewal_answered(StentConn *conn, const StentReply *reply, void *arg)
{
	Renewal *renewal = arg;
	Leases *leases = renewal->leases;
	bool good = reply->status == STENT_OK && reply->n_outcomes == renewal->n;

	(void) conn;
	leases->sent--;
	if (!good && reply->status != STENT_LOST)
	{
		log_error("leases not renewed", LOG_INT("tasks", (int64_t) renewal->n),
				  LOG_STR("error", reply->error != NULL ? reply->error->message : NULL));
		leases->again = true;
		leases->not_before = loop_now() + BUSY_S;
	}
	for (size_t i = 0; i < renewal->n; i++)
	{
		if (good)
			task_answered(leases, renewal->held[i], renewal, reply->outcomes[i]);
		held_unref(renewal->held[i]);
	}
	free(renewal);
	if (leases->sent == 0)
		leases_check(leases);
}

/* Is it one whose lease is to be kept? One that was just claimed or renewed need not be. */
static bool
is_kept(Held *held, double now, bool all)
{
	if (held->state == HELD_GONE || held->disowned || is_hung(held, now))
		return false;
	return all || now >= held->renewed_at + held->lease * RENEW_AT / 2;
}

/* Renews a batch of tasks with the same length of lease, from *next on. */
static bool
renewal_send(Leases *leases, StentConn *conn, Held **next, bool all)
{
	Renewal *renewal = malloc(sizeof(Renewal) + STENT_MAX_BATCH * sizeof(Held *));
	StentItem items[STENT_MAX_BATCH];
	StentError error = {.message = "out of memory"};
	double now = loop_now();

	if (renewal == NULL)
		return false;
	*renewal = (Renewal){.leases = leases, .sent_at = now};
	for (; *next != NULL && renewal->n < STENT_MAX_BATCH; *next = TAILQ_NEXT(*next, all))
	{
		Held *held = *next;

		if (!is_kept(held, now, all))
			continue;
		if (renewal->n > 0 && held->lease != renewal->lease)
			break;
		renewal->lease = held->lease;
		items[renewal->n] = (StentItem){.task_id = held->id, .token = held->token};
		renewal->held[renewal->n++] = held_ref(held);
	}
	if (renewal->n > 0 && stent_send_heartbeat(conn, items, renewal->n, renewal->lease,
											   renewal_answered, renewal, &error) == STENT_OK)
	{
		leases->sent++;
		return true;
	}
	if (renewal->n > 0)
		log_error("leases cannot be renewed", LOG_PROBLEM(&error));
	for (size_t i = 0; i < renewal->n; i++)
		held_unref(renewal->held[i]);
	free(renewal);
	return false;
}

static void
leases_send(Leases *leases, bool all)
{
	StentConn *conn = link_conn(leases->pool->keeping);
	Held *next = TAILQ_FIRST(&leases->pool->all);

	leases->again = false;
	leases->not_before = loop_now() + SOONEST_S;
	while (conn != NULL && next != NULL)
	{
		if (!renewal_send(leases, conn, &next, all))
			break;
	}
	link_kick(leases->pool->keeping);
}

/* Stops what is not surely ours any more; returns when to look again. */
static double
leases_expire(Leases *leases, double now, bool *due)
{
	double next = 0;
	Held *held, *following;

	for (held = TAILQ_FIRST(&leases->pool->all); held != NULL; held = following)
	{
		double at;

		following = TAILQ_NEXT(held, all);
		/* an end is told in any case: the server may still take it */
		if (held->state == HELD_RUNNING && now >= held->valid_until)
		{
			held_disown(held, "its lease is over");
			continue;
		}
		at = held->valid_until > now ? held->valid_until : now + BUSY_S;
		if (!is_hung(held, now) && !held->disowned && leases->sent == 0 &&
			link_conn(leases->pool->keeping) != NULL)
		{
			double renew_at = held->renewed_at + held->lease * RENEW_AT;

			if (now >= renew_at)
				*due = true;
			else if (renew_at < at)
				at = renew_at;
		}
		if (next == 0 || at < next)
			next = at;
	}
	return next;
}

/* Renews what is due, stops what is over, and sets the timer. */
static void
leases_check(Leases *leases)
{
	double now = loop_now();
	bool due = false;
	double next = leases_expire(leases, now, &due);

	if (leases->sent == 0 && (due || leases->again))
	{
		if (now < leases->not_before)
			next = leases->not_before;
		else
		{
			leases_send(leases, leases->again);
			if (leases->sent == 0 && link_conn(leases->pool->keeping) != NULL)
				next = now + BUSY_S;
		}
	}
	if (next > 0)
		timer_at(leases, next);
}

static void
timer_due(evutil_socket_t fd, short what, void *arg)
{
	(void) fd;
	(void) what;
	leases_check(arg);
}

void
leases_add(Held *held)
{
	timer_at(held->pool->leases, held->renewed_at + held->lease * RENEW_AT);
}

void
leases_renew_all(Leases *leases)
{
	leases->again = true;
	if (leases->sent == 0)
		leases_check(leases);
}

Leases *
leases_new(Pool *pool)
{
	Leases *leases = calloc(1, sizeof(Leases));

	if (leases == NULL)
		return NULL;
	leases->pool = pool;
	leases->timer = evtimer_new(pool->base, timer_due, leases);
	if (leases->timer == NULL)
	{
		free(leases);
		return NULL;
	}
	return leases;
}

void
leases_free(Leases *leases)
{
	if (leases == NULL)
		return;
	event_free(leases->timer);
	free(leases);
}
