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

/* A sign of life counts this long in the view of workers; one is given at a third of it. */
#define ALIVE_FOR_S 60.0

/* The connection of leases is taken for dead after this time without an answer. */
#define KEEPING_PATIENCE_S 15.0

/* How long what is left to tell may take, once all runs are over and the drain is too. */
#define LEAVE_S 10.0

/* How long the server may take to hear that we stop. */
#define FAREWELL_S 2.0

/* Another try to be accepted by the server, which does not speak our protocol at present. */
#define ACCEPT_AGAIN_S 10.0

typedef enum DaemonState
{
	DAEMON_STARTING, /* not accepted by the server so far */
	DAEMON_READY,
	DAEMON_DRAINING, /* finishes what runs, claims nothing */
	DAEMON_STOPPED
} DaemonState;

static const char *const state_names[] = {"starting", "ready", "draining", "stopped"};

/* Which state may follow which: a row is from, a column is to. */
static const bool daemon_moves[4][4] = {
	/*                    STARTING READY DRAINING STOPPED */
	[DAEMON_STARTING] = {false, true, true, true},
	[DAEMON_READY] = {false, false, true, true},
	[DAEMON_DRAINING] = {false, false, false, true},
	[DAEMON_STOPPED] = {false, false, false, false},
};

typedef struct Daemon
{
	const DaemonOptions *options;
	struct event_base *base;
	Config *config;
	Pool *pool;
	Link *work;
	Link *keeping;
	LoopSignals *signals;
	DaemonState state;
	ExitCode exit_code;
	bool accepted;          /* the server knows us, on this connection */
	bool listening;         /* notifications reach us, on this connection */
	bool leaving;           /* the server is being told that we stop */
	struct event *alive;    /* the next sign of life, or try to be accepted */
	struct event *deadline; /* of the state */
	struct event *look;     /* is there nothing left to do? */
	bool gave_back;
} Daemon;

static void daemon_accept(Daemon *daemon);

/* The one place that changes the state. */
static void
daemon_move(Daemon *daemon, DaemonState state)
{
	assert(daemon_moves[daemon->state][state]);
	log_info(state_names[state], LOG_STR("worker", daemon->config->name),
			 LOG_STR("from", state_names[daemon->state]));
	daemon->state = state;
	event_del(daemon->deadline);
	if (state == DAEMON_STOPPED)
		event_base_loopbreak(daemon->base);
}

static void
daemon_stop(Daemon *daemon, ExitCode exit_code)
{
	if (daemon->state == DAEMON_STOPPED)
		return;
	daemon->exit_code = exit_code;
	daemon_move(daemon, DAEMON_STOPPED);
}

/* Claims, if everything is there for it. */
static void
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

/* ------------------------------------------------------------------ known to the server */

static void
alive_answered(StentConn *conn, const StentReply *reply, void *arg)
{
	Daemon *daemon = arg;

	(void) conn;
	if (reply->status == STENT_OK && reply->number == 0)
	{
		log_warn("the server does not know this worker: it starts again", LOG_NOTHING);
		daemon_accept(daemon);
	}
	else if (reply->status != STENT_OK && reply->status != STENT_LOST)
		log_error("sign of life refused", LOG_PROBLEM(reply->error));
}

static void
daemon_alive(Daemon *daemon)
{
	StentConn *conn = link_conn(daemon->keeping);
	StentError error = {0};

	if (conn == NULL || !daemon->accepted || daemon->leaving)
		return;
	if (stent_send_worker_heartbeat(conn, daemon->config->name, state_names[daemon->state],
									daemon->pool->running, alive_answered, daemon,
									&error) != STENT_OK)
		log_error("no sign of life sent", LOG_PROBLEM(&error));
	link_kick(daemon->keeping);
	loop_timer(daemon->alive, ALIVE_FOR_S / 3);
}

static void
alive_due(evutil_socket_t fd, short what, void *arg)
{
	Daemon *daemon = arg;

	(void) fd;
	(void) what;
	if (daemon->accepted)
		daemon_alive(daemon);
	else
		daemon_accept(daemon);
}

/* The server does not take us. Before we were ready, that ends us; later it may pass. */
static void
daemon_refused(Daemon *daemon, const StentReply *reply, const char *what)
{
	bool passing = reply->status == STENT_NO_MEMORY;

	log_error(what, LOG_PROBLEM(reply->error));
	/* a standby, or a server that is short of something */
	if (reply->status == STENT_REFUSED)
		passing = strncmp(reply->error->code, "25", 2) == 0 ||
				  strncmp(reply->error->code, "53", 2) == 0 ||
				  strncmp(reply->error->code, "57", 2) == 0;
	if (daemon->state == DAEMON_STARTING && !passing)
		daemon_stop(daemon, reply->status == STENT_MISMATCH ? EXIT_PROTOCOL : EXIT_ERROR);
	else
		loop_timer(daemon->alive, daemon->state == DAEMON_STARTING ? 1 : ACCEPT_AGAIN_S);
}

static void
listen_answered(StentConn *conn, const StentReply *reply, void *arg)
{
	Daemon *daemon = arg;

	(void) conn;
	if (reply->status == STENT_LOST)
		return;
	daemon->listening = reply->status == STENT_OK;
	if (!daemon->listening)
		daemon_refused(daemon, reply, "cannot listen for work");
	daemon_look_ready(daemon);
}

/* Asks for notifications on the connection for claims. */
static void
daemon_listen(Daemon *daemon)
{
	StentConn *conn = link_conn(daemon->work);
	StentError error = {0};

	if (conn == NULL)
		return;
	if (stent_send_listen(conn, listen_answered, daemon, &error) != STENT_OK)
		log_error("cannot listen for work", LOG_PROBLEM(&error));
	link_kick(daemon->work);
}

static void
start_answered(StentConn *conn, const StentReply *reply, void *arg)
{
	Daemon *daemon = arg;

	(void) conn;
	if (reply->status == STENT_LOST)
		return;
	daemon->accepted = reply->status == STENT_OK;
	if (!daemon->accepted)
	{
		daemon_refused(daemon, reply, "the server does not accept this worker");
		daemon_look_ready(daemon);
		return;
	}
	/* a standby that was promoted meanwhile refused it */
	if (!daemon->listening)
		daemon_listen(daemon);
	daemon_look_ready(daemon);
	daemon_alive(daemon);
	leases_renew_all(daemon->pool->leases);
}

/* Makes the worker, as it is configured, known to the server. */
static void
daemon_accept(Daemon *daemon)
{
	StentConn *conn = link_conn(daemon->keeping);
	const Config *config = daemon->config;
	const char **functions = calloc(config->n_functions, sizeof(char *));
	char host[256] = "";
	StentError error = {.message = "out of memory"};
	StentWorker worker = {.name = config->name,
						  .functions = {functions, config->n_functions},
						  .queues = names_of(&config->queues),
						  .tags = names_of(&config->tags),
						  .slots = config->slots,
						  .alive_for = ALIVE_FOR_S};

	if (conn == NULL || daemon->leaving)
	{
		free(functions);
		return;
	}
	gethostname(host, sizeof(host) - 1);
	worker.info = json_pack("{s:s, s:i, s:s}", "host", host, "pid", (int) getpid(), "program",
							stent_version());
	for (size_t i = 0; functions != NULL && i < config->n_functions; i++)
		functions[i] = config->functions[i]->name;
	if (functions == NULL ||
		stent_send_worker_start(conn, &worker, start_answered, daemon, &error) != STENT_OK)
	{
		log_error("cannot start at the server", LOG_PROBLEM(&error));
		loop_timer(daemon->alive, ACCEPT_AGAIN_S);
	}
	json_decref(worker.info);
	free(functions);
	link_kick(daemon->keeping);
}

/* ------------------------------------------------------------------ connections */

static void
work_opened(Link *link, void *arg)
{
	Daemon *daemon = arg;

	(void) link;
	daemon_listen(daemon);
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
	daemon_accept(arg);
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
	daemon_alive(daemon);
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
		daemon_accept(daemon);
}

static void
daemon_tell_state(Daemon *daemon)
{
	const Pool *pool = daemon->pool;
	const Held *held;

	log_event(
		LOG_ASKED, "state",
		LOG_FIELDS(
			LOG_STR("worker", daemon->config->name), LOG_STR("state", state_names[daemon->state]),
			LOG_INT("slots", daemon->config->slots), LOG_INT("running", pool->running),
			LOG_INT("held", pool->n_all), LOG_INT("claims_sent", claims_on_their_way(pool->claims)),
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
	daemon->alive = evtimer_new(daemon->base, alive_due, daemon);
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
