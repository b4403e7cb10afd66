/*
 * proxy.c
 *	  Between client and server: passes messages on until the one it is told to cut at.
 *
 * One connection at a time, in a thread of its own. It knows of the protocol only where
 * a message ends.
 */
#include "proxy.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "support.h"

#define LARGEST (1024 * 1024)

/* One direction. */
typedef struct Flow
{
	int from;
	int to;
	bool typed; /* messages begin with a type; not so the client's first */
	size_t size;
	unsigned char data[LARGEST];
} Flow;

struct Proxy
{
	char directory[32];
	char conninfo[64];
	int listener;
	int wake[2]; /* closed to end the thread */
	pthread_t thread;
	atomic_int cut_at;
	atomic_int refuse;
	atomic_bool midst;
	atomic_bool has_cut;
	Flow up;
	Flow down;
};

static int
unix_socket(const char *directory, const char *port, struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	snprintf(address->sun_path, sizeof(address->sun_path), "%s/.s.PGSQL.%s", directory, port);
	if (fd < 0)
		abort();
	return fd;
}

static const char *
variable(const char *name, const char *otherwise)
{
	const char *value = getenv(name);

	return value != NULL ? value : otherwise;
}

static bool
write_all(int fd, const unsigned char *data, size_t size)
{
	while (size > 0)
	{
		ssize_t n = send(fd, data, size, MSG_NOSIGNAL);

		if (n <= 0)
			return false;
		data += n;
		size -= (size_t) n;
	}
	return true;
}

/* The length of the first whole message; 0: it is not whole yet. */
static size_t
message_size(const Flow *flow)
{
	const unsigned char *length = flow->data + (flow->typed ? 1 : 0);
	size_t size;

	if (flow->size < (size_t) (length - flow->data) + 4)
		return 0;
	size = ((size_t) length[0] << 24 | (size_t) length[1] << 16 | (size_t) length[2] << 8 |
			(size_t) length[3]) +
		   (flow->typed ? 1 : 0);
	if (size > LARGEST)
		abort();
	return flow->size >= size ? size : 0;
}

/* Passes on what is whole; false: this is where the connection ends. */
static bool
pass(Proxy *proxy, Flow *flow, int *messages)
{
	ssize_t n = read(flow->from, flow->data + flow->size, LARGEST - flow->size);
	size_t size;

	if (n <= 0)
		return false;
	flow->size += (size_t) n;
	while ((size = message_size(flow)) > 0)
	{
		if (++*messages == proxy->cut_at)
		{
			proxy->has_cut = true;
			if (proxy->midst)
				(void) write_all(flow->to, flow->data, size / 2);
			return false;
		}
		if (!write_all(flow->to, flow->data, size))
			return false;
		flow->size -= size;
		memmove(flow->data, flow->data + size, flow->size);
		flow->typed = true;
	}
	return true;
}

/* Serves one client until either side, or the proxy, ends it. */
static void
serve(Proxy *proxy, int client)
{
	struct sockaddr_un address;
	int server = unix_socket(variable("PGHOST", "/var/run/postgresql"), variable("PGPORT", "5432"),
							 &address);
	struct pollfd fds[] = {{client, POLLIN, 0}, {server, POLLIN, 0}, {proxy->wake[0], POLLIN, 0}};
	int messages = 0;
	bool going = connect(server, (struct sockaddr *) &address, sizeof(address)) == 0;

	proxy->up.from = proxy->down.to = client;
	proxy->up.to = proxy->down.from = server;
	proxy->up.size = proxy->down.size = 0;
	proxy->up.typed = false;
	proxy->down.typed = true;
	while (going && poll(fds, 3, -1) > 0 && fds[2].revents == 0)
	{
		if (fds[0].revents != 0)
			going = pass(proxy, &proxy->up, &messages);
		if (going && fds[1].revents != 0)
			going = pass(proxy, &proxy->down, &messages);
	}
	close(server);
}

static void *
run(void *arg)
{
	Proxy *proxy = arg;
	struct pollfd fds[] = {{proxy->listener, POLLIN, 0}, {proxy->wake[0], POLLIN, 0}};

	while (poll(fds, 2, -1) > 0 && fds[1].revents == 0)
	{
		int client = accept4(proxy->listener, NULL, NULL, SOCK_CLOEXEC);

		if (client < 0)
			continue;
		if (proxy->refuse > 0)
			proxy->refuse--;
		else
			serve(proxy, client);
		close(client);
	}
	return NULL;
}

Proxy *
proxy_new(void)
{
	Proxy *proxy = calloc(1, sizeof(Proxy));
	struct sockaddr_un address;

	assert_non_null(proxy);
	strcpy(proxy->directory, "/tmp/stent-unit.XXXXXX");
	assert_non_null(mkdtemp(proxy->directory));
	proxy->listener = unix_socket(proxy->directory, "5432", &address);
	assert_int_equal(0, bind(proxy->listener, (struct sockaddr *) &address, sizeof(address)));
	assert_int_equal(0, listen(proxy->listener, 8));
	assert_int_equal(0, pipe2(proxy->wake, O_CLOEXEC));
	snprintf(proxy->conninfo, sizeof(proxy->conninfo), "host=%s port=5432", proxy->directory);
	assert_int_equal(0, pthread_create(&proxy->thread, NULL, run, proxy));
	return proxy;
}

void
proxy_free(Proxy *proxy)
{
	char path[64];

	close(proxy->wake[1]);
	assert_int_equal(0, pthread_join(proxy->thread, NULL));
	close(proxy->wake[0]);
	close(proxy->listener);
	snprintf(path, sizeof(path), "%s/.s.PGSQL.5432", proxy->directory);
	unlink(path);
	rmdir(proxy->directory);
	free(proxy);
}

const char *
proxy_conninfo(const Proxy *proxy)
{
	return proxy->conninfo;
}

void
proxy_cut(Proxy *proxy, int n, bool midst)
{
	proxy->cut_at = n;
	proxy->midst = midst;
	proxy->has_cut = false;
}

bool
proxy_has_cut(const Proxy *proxy)
{
	return proxy->has_cut;
}

void
proxy_refuse(Proxy *proxy, int n)
{
	proxy->refuse = n;
}
