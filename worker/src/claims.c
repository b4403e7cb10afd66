/*
 * claims.c
 *	  How many tasks of which functions to claim, and when.
 *
 * Functions that have a limit of their own in this worker are claimed by themselves, all
 * others together: each such *group* claims only what it has slots for. A group goes on
 * claiming as long as its claims come back full, and keeps two of them on their way, so
 * that the server need not wait for us. When one does not, the worker asks to be woken
 * (worker_wait) and claims on behind that, in the same pipeline, until a claim comes back
 * empty: what was committed in between is found by a claim, what is committed later wakes
 * us.
 *
 * A function one of whose runs hangs *rests*: nothing of it is claimed until others have had
 * time to take the task that is lost then, or it would come back here, and hang again,
 * until it has lost too many workers.
 */
#include "pool.h"

#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "loop.h"

/* Ends that are not answered and yet do not keep us from claiming, besides a batch. */
#define MAX_UNANSWERED 2000

/* Where the server did not say how long to sleep. */
#define SLEEP_S 1.0

/* So long others may have the tasks of a function that hung here. */
#define REST_S 30.0

typedef struct Group
{
	const char **names;  /* the functions'; those that rest come last */
	double *rests_until; /* of each function */
	size_t n;
	size_t awake;
	int limit;
	int running;
	int reserved; /* for claims on their way */
	int sent;     /* claims on their way */
	bool hungry;  /* there may be work for it */
	bool dry;     /* its last claim did not come back full */
} Group;

struct Claims
{
	Pool *pool;
	Group *groups;
	size_t n_groups;
	size_t turn;    /* the group that is asked first next time */
	int generation; /* of groups */
	int reserved;
	int sent;
	int stale;   /* claims on their way for groups of before */
	int wakes;   /* how often we were told of work */
	bool chunks; /* the server gives chunks of maps to who asks for them */
	bool allowed;
	bool armed; /* worker_wait was sent, and nothing woke us since */
	bool paused;
	int most; /* where not all slots can be used: as many as can; 0: all */
	int failures;
	struct event *soon;
	struct event *wake; /* slept long enough */
	struct event *resume;
	struct event *rested;
};

/* A claim on its way. */
typedef struct Claim
{
	Claims *claims;
	size_t group;
	int generation;
	int max;
	bool armed;
	int wakes;
	double sent_at;
} Claim;

static void
groups_free(Group *groups, size_t n)
{
	for (size_t i = 0; groups != NULL && i < n; i++)
	{
		free(groups[i].names);
		free(groups[i].rests_until);
	}
	free(groups);
}

static bool
group_begin(Group *group, int limit, size_t n)
{
	group->limit = limit;
	group->names = calloc(n, sizeof(char *));
	group->rests_until = calloc(n, sizeof(double));
	return group->names != NULL && group->rests_until != NULL;
}

/* Does the function share the worker's slots with all others? */
static bool
is_common(const Config *config, const Function *function)
{
	return function->slots == 0 || function->slots >= config->slots;
}

static Group *
group_of(Claims *claims, const Function *function)
{
	for (size_t i = 1; i < claims->n_groups; i++)
	{
		if (strcmp(claims->groups[i].names[0], function->name) == 0)
			return &claims->groups[i];
	}
	return &claims->groups[0];
}

bool
claims_configure(Claims *claims)
{
	const Config *config = claims->pool->config;
	Group *groups = calloc(config->n_functions + 1, sizeof(Group));
	size_t n = 1;
	Held *held;

	/* the first group has the common functions, and may have none */
	if (groups == NULL || !group_begin(&groups[0], config->slots, config->n_functions))
	{
		groups_free(groups, n);
		return false;
	}
	for (size_t i = 0; i < config->n_functions; i++)
	{
		Function *function = config->functions[i];
		Group *group = &groups[0];

		if (!is_common(config, function))
		{
			group = &groups[n++];
			if (!group_begin(group, function->slots, 1))
			{
				groups_free(groups, n);
				return false;
			}
		}
		group->names[group->n++] = function->name;
		group->awake = group->n;
	}
	groups_free(claims->groups, claims->n_groups);
	claims->groups = groups;
	claims->n_groups = n;
	claims->turn = 0;
	claims->generation++;
	claims->stale = claims->sent;
	TAILQ_FOREACH(held, &claims->pool->all, all)
	{
		if (held->run != NULL)
			group_of(claims, held->function)->running++;
	}
	claims_wake(claims);
	return true;
}

void
claims_count(Claims *claims, const Function *function, int change)
{
	group_of(claims, function)->running += change;
	if (change < 0)
		claims_look(claims);
}

int
claims_on_their_way(const Claims *claims)
{
	return claims->sent;
}

void
claims_look(Claims *claims)
{
	if (claims->allowed && !claims->paused)
		loop_soon(claims->soon);
}

void
claims_wake(Claims *claims)
{
	claims->wakes++;
	claims->armed = false;
	for (size_t i = 0; i < claims->n_groups; i++)
	{
		claims->groups[i].hungry = true;
		claims->groups[i].dry = false;
	}
	claims_look(claims);
}

void
claims_take_chunks(Claims *claims, bool chunks)
{
	claims->chunks = chunks;
}

void
claims_allow(Claims *claims, bool allowed)
{
	claims->allowed = allowed;
	claims->armed = false;
	if (allowed)
		claims_wake(claims);
	else
		event_del(claims->wake);
}

/* Claims nothing for a while, longer each time it happens again. */
static void
claims_back_off(Claims *claims)
{
	claims->paused = true;
	loop_timer(claims->resume, stent_retry_delay(&stent_retry_default, ++claims->failures));
}

void
claims_pause(Claims *claims)
{
	int others = claims->pool->running - 1;

	if (claims->paused)
		return;
	if (others <= 0)
		claims_back_off(claims);
	else if (claims->most == 0 || others < claims->most)
	{
		/* as many as run can run: the end of one makes room for the next, but for no more */
		if (claims->most == 0)
			loop_timer(claims->resume, stent_retry_delay(&stent_retry_default, ++claims->failures));
		claims->most = others;
	}
}

/* Parts those that rest from the others, and sets the timer. */
static void
groups_part(Claims *claims)
{
	double now = loop_now();
	double next = 0;

	for (size_t i = 0; i < claims->n_groups; i++)
	{
		Group *group = &claims->groups[i];

		group->awake = 0;
		for (size_t j = 0; j < group->n; j++)
		{
			const char *name = group->names[j];
			double until = group->rests_until[j];

			if (until > now)
			{
				next = next == 0 || until < next ? until : next;
				continue;
			}
			group->names[j] = group->names[group->awake];
			group->rests_until[j] = group->rests_until[group->awake];
			group->names[group->awake] = name;
			group->rests_until[group->awake++] = 0;
		}
	}
	if (next > 0)
		loop_timer(claims->rested, next - now);
}

void
claims_rest(Claims *claims, const Function *function, double from)
{
	Group *group = group_of(claims, function);

	for (size_t i = 0; i < group->n; i++)
	{
		if (strcmp(group->names[i], function->name) == 0)
			group->rests_until[i] = from + REST_S;
	}
	groups_part(claims);
}

/* The answer of worker_wait: how long to sleep at most. */
static void
wait_answered(StentConn *conn, const StentReply *reply, void *arg)
{
	Claims *claims = arg;

	(void) conn;
	if (reply->status == STENT_LOST)
		return;
	if (reply->status != STENT_OK)
		log_error("cannot ask to be woken", LOG_PROBLEM(reply->error));
	if (claims->allowed)
		loop_timer(claims->wake, reply->status == STENT_OK ? reply->seconds : SLEEP_S);
}

/* What a group learns from a claim's answer. */
static void
group_answered(Claims *claims, const Claim *claim, size_t n)
{
	Group *group;

	claims->sent--;
	claims->reserved -= claim->max;
	if (claim->generation != claims->generation)
	{
		claims->stale--;
		return;
	}
	group = &claims->groups[claim->group];
	group->sent--;
	group->reserved -= claim->max;
	if (claim->wakes != claims->wakes)
		return;
	if ((int) n < claim->max)
	{
		group->dry = true;
		/* only none at all says that none is left: of tasks with limits a claim takes but some */
		if (claim->armed && n == 0)
			group->hungry = false;
	}
	else
		group->dry = false;
}

static void
claim_answered(StentConn *conn, const StentReply *reply, void *arg)
{
	Claim *claim = arg;
	Claims *claims = claim->claims;
	Pool *pool = claims->pool;

	(void) conn;
	/* what was not answered says nothing about what there is */
	group_answered(claims, claim, reply->status == STENT_OK ? reply->n_tasks : (size_t) claim->max);
	if (reply->status == STENT_OK)
	{
		for (size_t i = 0; i < reply->n_tasks; i++)
			held_begin(pool, &reply->tasks[i], claim->sent_at);
		/* not if one of them could not be started */
		if (!claims->paused && claims->most == 0)
			claims->failures = 0;
		claims_look(claims);
	}
	else if (reply->status != STENT_LOST)
	{
		log_error("claim failed", LOG_PROBLEM(reply->error));
		claims_back_off(claims);
	}
	free(claim);
	if (pool->closed)
		pool->changed(pool->arg);
}

/* Asks to be woken, ahead of the next claim. */
static void
send_wait(Claims *claims, StentConn *conn)
{
	StentError error = {0};

	if (stent_send_worker_wait(conn, names_of(&claims->pool->config->queues), wait_answered, claims,
							   &error) != STENT_OK)
		log_error("cannot ask to be woken", LOG_PROBLEM(&error));
	else
		claims->armed = true;
}

static bool
send_claim(Claims *claims, StentConn *conn, size_t i, int max)
{
	const Config *config = claims->pool->config;
	Group *group = &claims->groups[i];
	Claim *claim = calloc(1, sizeof(Claim));
	StentError error = {.message = "out of memory"};
	StentClaim request = {.worker = config->name,
						  .max = max,
						  .functions = {group->names, group->awake},
						  .queues = names_of(&config->queues),
						  .tags = names_of(&config->tags),
						  .lease = config->lease,
						  .chunks = claims->chunks};

	if (claim != NULL)
		*claim = (Claim){.claims = claims,
						 .group = i,
						 .generation = claims->generation,
						 .max = max,
						 .armed = claims->armed,
						 .wakes = claims->wakes,
						 .sent_at = loop_now()};
	if (claim == NULL ||
		stent_send_claim(conn, &request, claim_answered, claim, &error) != STENT_OK)
	{
		log_error("cannot claim", LOG_PROBLEM(&error));
		free(claim);
		claims_back_off(claims);
		return false;
	}
	group->sent++;
	group->reserved += max;
	claims->sent++;
	claims->reserved += max;
	return true;
}

/* How many tasks the group may claim now. */
static int
group_room(const Claims *claims, const Group *group)
{
	const Pool *pool = claims->pool;
	int slots =
		claims->most > 0 && claims->most < pool->config->slots ? claims->most : pool->config->slots;
	int room = slots - pool->running - claims->reserved;
	int own = group->limit - group->running - group->reserved;

	if (own < room)
		room = own;
	if (room > pool->config->claim_batch)
		room = pool->config->claim_batch;
	if (pool->unanswered + claims->reserved + room > MAX_UNANSWERED + STENT_MAX_BATCH)
		room = 0;
	return room;
}

/*
 * May the group send one more claim? A second one only while claims come back full, and
 * not for the odd slot: a batch costs about as much as a single task.
 */
static bool
group_may_claim(const Claims *claims, const Group *group, int room)
{
	if (group->awake == 0 || !group->hungry || room <= 0)
		return false;
	if (group->sent == 0)
		return true;
	return group->sent == 1 && !group->dry && room >= claims->pool->config->claim_batch;
}

/* Sends all claims that can be sent now. */
static void
claims_send(evutil_socket_t fd, short what, void *arg)
{
	Claims *claims = arg;
	StentConn *conn = link_conn(claims->pool->work);
	bool any = true;

	(void) fd;
	(void) what;
	/* whoever waits for a result comes before who waits for a start */
	ends_send(claims->pool->ends);
	/* new groups do not know what claims of the old ones will bring */
	if (claims->stale > 0)
		return;
	while (any && claims->allowed && !claims->paused && conn != NULL)
	{
		any = false;
		for (size_t i = 0; i < claims->n_groups && !claims->paused; i++)
		{
			size_t at = (claims->turn + i) % claims->n_groups;
			Group *group = &claims->groups[at];
			int room = group_room(claims, group);

			if (!group_may_claim(claims, group, room))
				continue;
			if (group->dry && !claims->armed)
				send_wait(claims, conn);
			any |= send_claim(claims, conn, at, room);
		}
		claims->turn = (claims->turn + 1) % claims->n_groups;
	}
	link_kick(claims->pool->work);
}

static void
wake_due(evutil_socket_t fd, short what, void *arg)
{
	(void) fd;
	(void) what;
	claims_wake(arg);
}

static void
rested_due(evutil_socket_t fd, short what, void *arg)
{
	(void) fd;
	(void) what;
	groups_part(arg);
	claims_wake(arg);
}

static void
resume_due(evutil_socket_t fd, short what, void *arg)
{
	Claims *claims = arg;

	(void) fd;
	(void) what;
	claims->paused = false;
	claims->most = 0;
	claims_wake(claims);
}

Claims *
claims_new(Pool *pool)
{
	Claims *claims = calloc(1, sizeof(Claims));

	if (claims == NULL)
		return NULL;
	claims->pool = pool;
	claims->soon = evtimer_new(pool->base, claims_send, claims);
	claims->wake = evtimer_new(pool->base, wake_due, claims);
	claims->resume = evtimer_new(pool->base, resume_due, claims);
	claims->rested = evtimer_new(pool->base, rested_due, claims);
	if (claims->soon == NULL || claims->wake == NULL || claims->resume == NULL ||
		claims->rested == NULL || !claims_configure(claims))
	{
		claims_free(claims);
		return NULL;
	}
	return claims;
}

void
claims_free(Claims *claims)
{
	if (claims == NULL)
		return;
	if (claims->soon != NULL)
		event_free(claims->soon);
	if (claims->wake != NULL)
		event_free(claims->wake);
	if (claims->resume != NULL)
		event_free(claims->resume);
	if (claims->rested != NULL)
		event_free(claims->rested);
	groups_free(claims->groups, claims->n_groups);
	free(claims);
}
