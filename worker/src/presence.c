/*
 * presence.c
 *	  Makes the worker known to the server: its start, its signs of life, what it listens to.
 *
 * What follows from an answer for the worker's state is daemon.c's.
 */
#include "presence.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"

/* A sign of life counts this long in the view of workers; one is given at a third of it. */
#define ALIVE_FOR_S 60.0

/* Another try to be accepted by the server, which does not speak our protocol at present. */
#define ACCEPT_AGAIN_S 10.0

static void
alive_answered(StentConn *conn, const StentReply *reply, void *arg)
{
	Daemon *daemon = arg;

	(void) conn;
	if (reply->status == STENT_OK && reply->number == 0)
	{
		log_warn("the server does not know this worker: it starts again", LOG_NOTHING);
		presence_start(daemon);
	}
	else if (reply->status != STENT_OK && reply->status != STENT_LOST)
		log_error("sign of life refused", LOG_PROBLEM(reply->error));
}

/* Gives a sign of life. */
void
presence_tell(Daemon *daemon)
{
	StentConn *conn = link_conn(daemon->keeping);
	StentError error = {0};

	if (conn == NULL || !daemon->accepted || daemon->leaving)
		return;
	if (stent_send_worker_heartbeat(conn, daemon->config->name, daemon_state_names[daemon->state],
									daemon->pool->running, alive_answered, daemon,
									&error) != STENT_OK)
		log_error("no sign of life sent", LOG_PROBLEM(&error));
	link_kick(daemon->keeping);
	loop_timer(daemon->alive, ALIVE_FOR_S / 3);
}

/* The next sign of life is due, or another try to be accepted. */
void
presence_due(evutil_socket_t fd, short what, void *arg)
{
	Daemon *daemon = arg;

	(void) fd;
	(void) what;
	if (daemon->accepted)
		presence_tell(daemon);
	else
		presence_start(daemon);
}

/* The server does not take us. Before we were ready, that ends us; later it may pass. */
static void
presence_refused(Daemon *daemon, const StentReply *reply, const char *what)
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
		presence_refused(daemon, reply, "cannot listen for work");
	daemon_look_ready(daemon);
}

/* Asks for notifications on the connection for claims. */
void
presence_listen(Daemon *daemon)
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
		presence_refused(daemon, reply, "the server does not accept this worker");
		daemon_look_ready(daemon);
		return;
	}
	/* one before 0.5 says nothing of them, and its claim() does not know the word */
	claims_take_chunks(daemon->pool->claims, json_is_true(json_object_get(reply->json, "chunks")));
	/* a standby that was promoted meanwhile refused it */
	if (!daemon->listening)
		presence_listen(daemon);
	daemon_look_ready(daemon);
	presence_tell(daemon);
	leases_renew_all(daemon->pool->leases);
}

/* Makes the worker, as it is configured, known to the server. */
void
presence_start(Daemon *daemon)
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
	worker.info = json_pack("{s:s, s:i, s:s}", "host", host, "pid", (int) getpid(), "version",
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
