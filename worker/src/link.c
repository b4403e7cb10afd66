/*
 * link.c
 *	  Glue of one StentConn to libevent: readiness, reconnecting, a watch over silence.
 *
 * What is sent, and what an answer means, is left to others; so is what was pending when
 * the connection was lost: its requests are called back with STENT_LOST.
 */
#include "link.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "log.h"
#include "loop.h"

/* An attempt to connect may try several hosts. */
#define CONNECT_PATIENCE_S 60.0

/* A connection that lasted this long is a good one: the next attempts begin anew. */
#define GOOD_AFTER_S 5.0

struct Link
{
	struct event_base *base;
	const char *name;
	char *conninfo;
	double patience;
	LinkEvents events;
	void *arg;
	StentConn *conn;
	struct event *io;    /* readiness of the socket */
	struct event *soon;  /* something was queued */
	struct event *again; /* connect again; while connecting: that took too long */
	struct event *watch; /* over silence */
	int socket;          /* what io waits for, -1: nothing */
	short mask;
	bool open;
	int failures; /* in a row */
	int pending;  /* requests, when last looked at */
	double opened_at;
	double heard_at; /* last answer, or when pending became more than none */
};

static void link_attempt(Link *link);

StentConn *
link_conn(Link *link)
{
	/* while its requests are called back, it may be closed already */
	return link->open && stent_conn_state(link->conn) == STENT_CONN_OPEN ? link->conn : NULL;
}

double
link_silence(const Link *link)
{
	return link->open && link->pending > 0 ? loop_now() - link->heard_at : 0;
}

void
link_kick(Link *link)
{
	if (link->open)
		loop_soon(link->soon);
}

/* Dead peers are found by the kernel, where the conninfo does not say how. */
static void
link_keepalive(const Link *link)
{
	static const struct
	{
		int level, option, value;
	} options[] = {{SOL_SOCKET, SO_KEEPALIVE, 1},
				   {IPPROTO_TCP, TCP_KEEPIDLE, 10},
				   {IPPROTO_TCP, TCP_KEEPINTVL, 5},
				   {IPPROTO_TCP, TCP_KEEPCNT, 3},
				   {IPPROTO_TCP, TCP_USER_TIMEOUT, 30000}};
	struct sockaddr_storage address;
	socklen_t length = sizeof(address);
	int fd = stent_socket(link->conn);

	if (strstr(link->conninfo, "keepalives") != NULL ||
		strstr(link->conninfo, "tcp_user_timeout") != NULL ||
		getsockname(fd, (struct sockaddr *) &address, &length) != 0 ||
		(address.ss_family != AF_INET && address.ss_family != AF_INET6))
		return;
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
	{
		/* without it the kernel's own limits hold */
		(void) setsockopt(fd, options[i].level, options[i].option, &options[i].value, sizeof(int));
	}
}

/* Waits for what the connection waits for. */
static void
link_wait(Link *link)
{
	int fd = stent_socket(link->conn);
	short mask = EV_READ;

	if (stent_conn_state(link->conn) == STENT_CONN_CONNECTING)
		mask = stent_wants_write(link->conn) ? EV_WRITE : EV_READ;
	else if (stent_wants_write(link->conn))
		mask |= EV_WRITE;
	/* while connecting, a socket may be another one with the same number */
	if (link->open && fd == link->socket && mask == link->mask)
		return;
	event_del(link->io);
	link->socket = fd;
	link->mask = mask;
	if (fd < 0)
		return;
	event_assign(link->io, link->base, fd, mask | EV_PERSIST, event_get_callback(link->io), link);
	event_add(link->io, NULL);
}

/* Notes whether anything was answered, and watches while something is not. */
static void
link_listen(Link *link)
{
	int pending = stent_pending(link->conn);

	if (pending < link->pending || (pending > 0 && link->pending == 0))
		link->heard_at = loop_now();
	link->pending = pending;
	if (link->patience <= 0)
		return;
	if (pending == 0)
		event_del(link->watch);
	else if (!event_pending(link->watch, EV_TIMEOUT, NULL))
		loop_timer(link->watch, link->patience);
}

/* The connection is closed: tells, and connects again after a while. */
static void
link_closed(Link *link, const StentError *error)
{
	double delay;

	event_del(link->io);
	event_del(link->soon);
	event_del(link->watch);
	link->socket = -1;
	if (link->open && loop_now() - link->opened_at >= GOOD_AFTER_S)
		link->failures = 0;
	link->open = false;
	link->pending = 0;
	delay = stent_retry_delay(&stent_retry_default, ++link->failures);
	log_warn("no connection", LOG_STR("link", link->name), LOG_PROBLEM(error),
			 LOG_NUM("again_in", delay));
	loop_timer(link->again, delay);
	link->events.lost(link, error, link->arg);
}

/* Carries the connection on, and tells what came of it. */
static void
link_process(Link *link)
{
	StentError error = {0};

	if (stent_conn_state(link->conn) == STENT_CONN_CLOSED)
		return;
	if (stent_process(link->conn, &error) != STENT_OK)
	{
		link_closed(link, &error);
		return;
	}
	if (!link->open && stent_conn_state(link->conn) == STENT_CONN_OPEN)
	{
		event_del(link->again);
		link->open = true;
		link->opened_at = loop_now();
		link->socket = -1;
		link->pending = 0;
		link_keepalive(link);
		log_info("connected", LOG_STR("link", link->name));
		link->events.opened(link, link->arg);
	}
	link_wait(link);
	if (link->open)
		link_listen(link);
}

static void
io_ready(evutil_socket_t fd, short what, void *arg)
{
	(void) fd;
	(void) what;
	link_process(arg);
}

static void
again_due(evutil_socket_t fd, short what, void *arg)
{
	Link *link = arg;

	(void) fd;
	(void) what;
	if (stent_conn_state(link->conn) == STENT_CONN_CONNECTING)
		link_drop(link, "connecting took too long");
	else
		link_attempt(link);
}

static void
watch_due(evutil_socket_t fd, short what, void *arg)
{
	Link *link = arg;
	double silence = link_silence(link);

	(void) fd;
	(void) what;
	if (link->pending == 0)
		return;
	if (silence >= link->patience)
		link_drop(link, "the server does not answer");
	else
		loop_timer(link->watch, link->patience - silence);
}

static void
conn_notified(StentConn *conn, const char *channel, const char *payload, void *arg)
{
	Link *link = arg;

	(void) conn;
	(void) channel;
	if (link->events.notified != NULL)
		link->events.notified(link, payload, link->arg);
}

/* One attempt to connect; what comes of it is told by events. */
static void
link_attempt(Link *link)
{
	StentError error = {0};

	if (stent_connect_start(link->conn, &error) != STENT_OK)
	{
		link_closed(link, &error);
		return;
	}
	loop_timer(link->again, CONNECT_PATIENCE_S);
	link_wait(link);
}

void
link_begin(Link *link)
{
	link_attempt(link);
}

void
link_drop(Link *link, const char *reason)
{
	StentError error = {.status = STENT_LOST};
	bool was_open = link->open;

	snprintf(error.message, sizeof(error.message), "%s", reason);
	event_del(link->io);
	/* nothing is sent from within what is called back */
	link->open = false;
	stent_disconnect(link->conn);
	link->open = was_open;
	link_closed(link, &error);
}

Link *
link_new(struct event_base *base, const char *name, const char *conninfo, double patience,
		 const LinkEvents *events, void *arg)
{
	Link *link = calloc(1, sizeof(Link));

	if (link == NULL)
		return NULL;
	link->base = base;
	link->name = name;
	link->patience = patience;
	link->events = *events;
	link->arg = arg;
	link->socket = -1;
	link->conninfo = strdup(conninfo);
	link->conn = stent_conn_new(conninfo);
	link->io = event_new(base, -1, EV_PERSIST, io_ready, link);
	link->soon = evtimer_new(base, io_ready, link);
	link->again = evtimer_new(base, again_due, link);
	link->watch = evtimer_new(base, watch_due, link);
	if (link->conninfo == NULL || link->conn == NULL || link->io == NULL || link->soon == NULL ||
		link->again == NULL || link->watch == NULL)
	{
		link_free(link);
		return NULL;
	}
	stent_on_notify(link->conn, conn_notified, link);
	return link;
}

void
link_free(Link *link)
{
	struct event *events[4];

	if (link == NULL)
		return;
	link->open = false;
	memcpy(events, (struct event *[4]){link->io, link->soon, link->again, link->watch},
		   sizeof(events));
	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
	{
		if (events[i] != NULL)
			event_free(events[i]);
	}
	stent_conn_free(link->conn);
	free(link->conninfo);
	free(link);
}
