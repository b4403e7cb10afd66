/*
 * daemon.c
 *	  The worker as a process: starting, ready, draining, stopped.
 *
 * Two connections: *work* claims, stores output and tells ends; *keeping* makes the worker
 * known and renews leases, and so is never behind a slow statement. The worker claims
 * while both are open and the server knows it. What it holds is the pool's.
 */
#include "daemon.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "handler.h"
#include "link.h"
#include "log.h"
#include "loop.h"
#include "pool.h"
#include "presence.h"

/* The connection of leases is taken for dead after this time without an answer. */
#define KEEPING_PATIENCE_S 15.0

/* How long what is left to tell may take, once all runs are over and the drain is too. */
#define LEAVE_S 10.0

/* How long the server may take to hear that we stop. */
#define FAREWELL_S 2.0

const char *const daemon_state_names[] = {"starting", "ready", "draining", "stopped"};

/* Which state may follow which: a row is from, a column is to. */
static const bool daemon_moves[4][4] = {
	/*                    STARTING READY DRAINING STOPPED */
	[DAEMON_STARTING] = {false, true, true, true},
	[DAEMON_READY] = {false, false, true, true},
	[DAEMON_DRAINING] = {false, false, false, true},
	[DAEMON_STOPPED] = {false, false, false, false},
};

/* The one place that changes the state. */
static void
daemon_move(Daemon *daemon, DaemonState state)
{
	assert(daemon_moves[daemon->state][state]);
	log_info(daemon_state_names[state], LOG_STR("worker", daemon->config->name),
			 LOG_STR("from", daemon_state_names[daemon->state]));
	daemon->state = state;
	event_del(daemon->deadline);
	if (state == DAEMON_STOPPED)
		event_base_loopbreak(daemon->base);
}

void
daemon_stop(Daemon *daemon, ExitCode exit_code)
{
	if (daemon->state == DAEMON_STOPPED)
		return;
	daemon->exit_code = exit_code;
	daemon_move(daemon, DAEMON_STOPPED);
}

/* Claims, if everything is there for it. */
void
daemon_look_ready(Daemon *daemon)
{
	bool able = daemon->accepted && daemon->listening;

	if (able && daemon->state == DAEMON_STARTING)
	{
		daemon_move(daemon, DAEMON_READY);
		loop_timer(daemon->alive, 0);
	}
	claims_allow(daemon->pool->claims, able && daemon->state == DAEMON_READY);
}

/* ------------------------------------------------------------------ connections */

static void
work_opened(Link *link, void *arg)
{
	Daemon *daemon = arg;

	(void) link;
	presence_listen(daemon);
	outputs_resume(daemon->pool->outputs);
	ends_resume(daemon->pool->ends);
}

static void
work_lost(Link *link, const StentError *error, void *arg)
{
	Daemon *daemon = arg;

	(void) link;
	(void) error;
	daemon->listening = false;
	daemon_look_ready(daemon);
	loop_soon(daemon->look);
}

/* A notification: '!' asks for the state of what we hold, anything else names a queue. */
static void
work_notified(Link *link, const char *payload, void *arg)
{
	Daemon *daemon = arg;
	const NameList *queues = &daemon->config->queues;
	bool ours = *payload == '\0' || queues->names == NULL;

	(void) link;
	if (strcmp(payload, "!") == 0)
	{
		leases_renew_all(daemon->pool->leases);
		return;
	}
	for (size_t i = 0; i < queues->n && !ours; i++)
		ours = strcmp(payload, queues->names[i]) == 0;
	if (ours)
		claims_wake(daemon->pool->claims);
}

static void
keeping_opened(Link *link, void *arg)
{
	(void) link;
	presence_start(arg);
}

static void
keeping_lost(Link *link, const StentError *error, void *arg)
{
	Daemon *daemon = arg;

	(void) link;
	(void) error;
	daemon->accepted = false;
	event_del(daemon->alive);
	daemon_look_ready(daemon);
	loop_soon(daemon->look);
	/* a slow statement is waited for; not so a server that is not there */
	if (link_silence(daemon->work) > KEEPING_PATIENCE_S)
		link_drop(daemon->work, "the server does not answer");
}

static const LinkEvents work_events = {work_opened, work_lost, work_notified};
static const LinkEvents keeping_events = {keeping_opened, keeping_lost, NULL};

/* ------------------------------------------------------------------ the end */

static void
farewell_answered(StentConn *conn, const StentReply *reply, void *arg)
{
	Daemon *daemon = arg;

	(void) conn;
	if (reply->status != STENT_OK)
		log_warn("the server was not told that this worker stops", LOG_PROBLEM(reply->error));
	daemon_stop(daemon, EXIT_DONE);
}

/* Nothing is left to do: tells the server, and stops. */
static void
daemon_leave(Daemon *daemon)
{
	StentConn *conn = link_conn(daemon->keeping);
	StentError error = {0};

	if (daemon->leaving)
		return;
	daemon->leaving = true;
	if (conn == NULL || !daemon->accepted ||
		stent_send_worker_stop(conn, daemon->config->name, farewell_answered, daemon, &error) !=
			STENT_OK)
	{
		daemon_stop(daemon, EXIT_DONE);
		return;
	}
	link_kick(daemon->keeping);
	loop_timer(daemon->deadline, FAREWELL_S);
}

/* There is less to do than before; once the drain is over, what is left has a limit. */
static void
look_due(evutil_socket_t fd, short what, void *arg)
{
	Daemon *daemon = arg;

	(void) fd;
	(void) what;
	if (daemon->state == DAEMON_DRAINING && pool_idle(daemon->pool))
		daemon_leave(daemon);
}

static void
pool_changed(void *arg)
{
	Daemon *daemon = arg;

	if (daemon->state == DAEMON_DRAINING)
		loop_soon(daemon->look);
}

static void
daemon_drain(Daemon *daemon)
{
	daemon_move(daemon, DAEMON_DRAINING);
	pool_close(daemon->pool);
	presence_tell(daemon);
	loop_timer(daemon->deadline, daemon->config->drain_timeout);
	loop_soon(daemon->look);
}

/* The time of the state is over. */
static void
deadline_due(evutil_socket_t fd, short what, void *arg)
{
	Daemon *daemon = arg;

	(void) fd;
	(void) what;
	if (daemon->state == DAEMON_STARTING)
	{
		log_error("no connection in time", LOG_NUM("seconds", daemon->options->connect_timeout));
		daemon_stop(daemon, EXIT_NO_CONNECTION);
	}
	else if (daemon->leaving)
		daemon_stop(daemon, EXIT_DONE);
	else if (!daemon->gave_back)
	{
		log_warn("drain takes too long: runs are stopped and their tasks released",
				 LOG_INT("running", daemon->pool->running));
		daemon->gave_back = true;
		pool_give_back(daemon->pool);
		loop_timer(daemon->deadline, daemon->config->hung_after + LEAVE_S);
	}
	else
	{
		log_error("left with tasks whose end was not told: they are left to their leases",
				  LOG_INT("running", daemon->pool->running), LOG_INT("tasks", daemon->pool->n_all));
		pool_kill(daemon->pool);
		daemon_stop(daemon, EXIT_LEFT_AT_ONCE);
	}
}

/* ------------------------------------------------------------------ signals */

static void
daemon_reload(Daemon *daemon)
{
	char problem[CONFIG_PROBLEM_LENGTH];
	Config *old = daemon->config;
	Config *new = config_load(&daemon->options->override, problem, sizeof(problem));
	const char *restart;

	if (new == NULL)
	{
		log_error("configuration refused, the old one stays", LOG_STR("error", problem));
		return;
	}
	restart = config_needs_restart(old, new);
	if (restart != NULL)
		log_warn("a setting changes with the next restart only", LOG_STR("setting", restart));
	/* the server knows us by the old name, until then */
	if (!config_keep_fixed(new, old) || !pool_configure(daemon->pool, new))
	{
		log_error("out of memory: the old configuration stays", LOG_NOTHING);
		config_free(new);
		return;
	}
	daemon->config = new;
	config_free(old);
	log_set_level(new->log_level);
	log_info("configuration reloaded", LOG_STR("file", daemon->options->override.file),
			 LOG_INT("slots", new->slots), LOG_INT("functions", (int64_t) new->n_functions));
	if (daemon->accepted)
		presence_start(daemon);
}

static void
daemon_tell_state(Daemon *daemon)
{
	const Pool *pool = daemon->pool;
	const Held *held;

	log_event(
		LOG_ASKED, "state",
		LOG_FIELDS(LOG_STR("worker", daemon->config->name),
				   LOG_STR("state", daemon_state_names[daemon->state]),
				   LOG_INT("slots", daemon->config->slots), LOG_INT("running", pool->running),
				   LOG_INT("held", pool->n_all),
				   LOG_INT("claims_sent", claims_on_their_way(pool->claims)),
				   LOG_INT("ends_sent", ends_on_their_way(pool->ends)),
				   LOG_STR("work", link_conn(daemon->work) != NULL ? "open" : "closed"),
				   LOG_STR("keeping", link_conn(daemon->keeping) != NULL ? "open" : "closed")));
	TAILQ_FOREACH(held, &pool->all, all)
	log_event(LOG_ASKED, "held",
			  LOG_FIELDS(LOG_INT("task", held->id), LOG_INT("attempt", held->attempt),
						 LOG_STR("function", held->function != NULL ? held->function->name : NULL),
						 LOG_STR("run", held->run == NULL ? "over"
										: held->disowned  ? "stopped"
										: held->give_back ? "given back"
														  : "running"),
						 LOG_NUM("lease_left", held->valid_until - loop_now())));
}

static void
signal_told(int number, void *arg)
{
	Daemon *daemon = arg;

	if (number == SIGUSR1)
		daemon_tell_state(daemon);
	else if (number == SIGHUP)
		daemon_reload(daemon);
	else if (daemon->state == DAEMON_DRAINING)
	{
		log_warn("told again to stop: leaving at once", LOG_INT("running", daemon->pool->running),
				 LOG_INT("tasks", daemon->pool->n_all));
		pool_kill(daemon->pool);
		daemon_stop(daemon, EXIT_LEFT_AT_ONCE);
	}
	else if (daemon->state != DAEMON_STOPPED)
		daemon_drain(daemon);
}

/* ------------------------------------------------------------------ begin and end */

static bool
daemon_begin(Daemon *daemon, char *problem, size_t size)
{
	Config *config = daemon->config;

	snprintf(problem, size, "out of memory");
	daemon->base = event_base_new();
	if (daemon->base == NULL || !handlers_begin(daemon->base, problem, size))
		return false;
	daemon->signals = loop_signals_begin(daemon->base, signal_told, daemon);
	daemon->alive = evtimer_new(daemon->base, presence_due, daemon);
	daemon->deadline = evtimer_new(daemon->base, deadline_due, daemon);
	daemon->look = evtimer_new(daemon->base, look_due, daemon);
	daemon->work =
		link_new(daemon->base, "work", daemon->options->conninfo, 0, &work_events, daemon);
	daemon->keeping = link_new(daemon->base, "keeping", daemon->options->conninfo,
							   KEEPING_PATIENCE_S, &keeping_events, daemon);
	if (daemon->signals == NULL || daemon->alive == NULL || daemon->deadline == NULL ||
		daemon->look == NULL || daemon->work == NULL || daemon->keeping == NULL)
		return false;
	daemon->pool =
		pool_new(daemon->base, config, daemon->work, daemon->keeping, pool_changed, daemon);
	return daemon->pool != NULL;
}

static void
daemon_end(Daemon *daemon)
{
	struct event *events[] = {daemon->alive, daemon->deadline, daemon->look};

	link_free(daemon->work);
	link_free(daemon->keeping);
	pool_free(daemon->pool);
	loop_signals_end(daemon->signals);
	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
	{
		if (events[i] != NULL)
			event_free(events[i]);
	}
	if (daemon->base != NULL)
	{
		handlers_end();
		event_base_free(daemon->base);
	}
	config_free(daemon->config);
}

ExitCode
daemon_run(const DaemonOptions *options, Config *config)
{
	Daemon daemon = {.options = options, .config = config, .exit_code = EXIT_ERROR};
	char problem[CONFIG_PROBLEM_LENGTH];

	log_set_level(config->log_level);
	if (!daemon_begin(&daemon, problem, sizeof(problem)))
		log_error("cannot start", LOG_STR("error", problem));
	else
	{
		log_info("starting", LOG_STR("worker", config->name), LOG_INT("slots", config->slots),
				 LOG_INT("functions", (int64_t) config->n_functions),
				 LOG_STR("version", stent_version()));
		if (options->connect_timeout > 0)
			loop_timer(daemon.deadline, options->connect_timeout);
		link_begin(daemon.work);
		link_begin(daemon.keeping);
		event_base_dispatch(daemon.base);
	}
	/* runs are still there: the kernel puts away what they use */
	if (daemon.exit_code == EXIT_LEFT_AT_ONCE)
		_exit(EXIT_LEFT_AT_ONCE);
	daemon_end(&daemon);
	return daemon.exit_code;
}
