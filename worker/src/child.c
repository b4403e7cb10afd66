/*
 * child.c
 *	  One running program: its process group, its pipes, its end.
 *
 * A child is over when it was reaped and its pipes were read to their end. Its group
 * is killed before it is reaped, while its number cannot yet be anybody else's; so
 * nothing it left behind keeps a pipe open, unless it went to a session of its own, and
 * then the pipes are read for READ_LIMIT_SECONDS more, and no longer. What a child is for,
 * and what its output means, is the business of others.
 *
 * Children are reaped one by one, by their numbers: other code of this process may have
 * children too. The handlers here run in the loop, never in a signal's handler.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "loop.h"

/* How long after the end of a child somebody else may keep its pipes open. */
#define READ_LIMIT_SECONDS 1

typedef struct Pipe
{
	Child *child;
	ChildStream stream;
	int fd; /* -1: none, or read to its end */
	struct event *event;
	size_t left; /* once the child is cut: what is still to be read */
} Pipe;

struct Child
{
	Child *next;
	Child **link; /* what points to this one */
	struct event_base *base;
	ChildEvents events;
	void *arg;
	pid_t pid; /* and the group's number */
	bool stopping;
	bool reaped;
	bool cut; /* no more is read than the pipes had in them when READ_LIMIT_SECONDS were over */
	int status;
	char *input;
	size_t input_size;
	size_t input_at;
	int input_fd; /* -1: all was written, or nobody reads it */
	struct event *input_event;
	struct event *timer; /* until KILL; once it is reaped, until the pipes are cut */
	Pipe pipes[CHILD_STREAMS];
};

static Child *children;
static struct event *sigchld;
static struct sigaction sigpipe_before;
static int null_fd = -1;
static char read_buffer[CHILD_READ_SIZE];

/* Closes a descriptor there may be. */
static void
close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* Frees an event there may be. */
static void
free_event(struct event **event)
{
	if (*event)
		event_free(*event);
	*event = NULL;
}

/* Sends a signal to all of a child's group. */
static void
child_signal(const Child *child, int number)
{
	if (child->reaped)
		return;
	/* a child may go to another group, but it does not get away */
	if (getpgid(child->pid) != child->pid)
		kill(child->pid, number);
	kill(-child->pid, number);
}

/* Lets go of all a child has but its process. */
static void
child_free(Child *child)
{
	for (int i = 0; i < CHILD_STREAMS; i++)
	{
		free_event(&child->pipes[i].event);
		close_fd(&child->pipes[i].fd);
	}
	free_event(&child->input_event);
	close_fd(&child->input_fd);
	free_event(&child->timer);
	free(child->input);
	if (child->link)
	{
		*child->link = child->next;
		if (child->next)
			child->next->link = child->link;
	}
	free(child);
}

/* Ends a child of which nothing is left to wait for. */
static void
child_check_end(Child *child)
{
	ChildEvents events = child->events;
	void *arg = child->arg;
	int status = child->status;

	if (!child->reaped)
		return;
	for (int i = 0; i < CHILD_STREAMS; i++)
	{
		if (child->pipes[i].fd >= 0)
			return;
	}
	child_free(child);
	events.exited(status, arg);
}

/* Forgets a pipe. */
static void
pipe_close(Pipe *end)
{
	free_event(&end->event);
	close_fd(&end->fd);
}

/* Reads once from a pipe. */
static void
pipe_readable(evutil_socket_t fd, short what, void *arg)
{
	Pipe *end = arg;
	Child *child = end->child;
	size_t most = child->cut && end->left < CHILD_READ_SIZE ? end->left : CHILD_READ_SIZE;
	ssize_t got = read(fd, read_buffer, most);

	(void) what;
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got > 0)
	{
		end->left -= child->cut ? (size_t) got : 0;
		child->events.data(end->stream, read_buffer, (size_t) got, child->arg);
	}
	if (got <= 0 || (child->cut && end->left == 0))
	{
		pipe_close(end);
		child_check_end(child);
	}
}

/* Reads from now on only what the pipes have in them. */
static void
child_cut(Child *child)
{
	child->cut = true;
	for (int i = 0; i < CHILD_STREAMS; i++)
	{
		Pipe *end = &child->pipes[i];
		int left = 0;

		if (end->fd < 0)
			continue;
		if (ioctl(end->fd, FIONREAD, &left) == 0 && left > 0)
			end->left = (size_t) left;
		else
			pipe_close(end);
	}
	child_check_end(child);
}

/* The time until KILL, or until the pipes are cut, is over. */
static void
child_timer(evutil_socket_t fd, short what, void *arg)
{
	Child *child = arg;

	(void) fd;
	(void) what;
	if (child->reaped)
		child_cut(child);
	else
		child_signal(child, SIGKILL);
}

/* Writes to the child's stdin what it takes now, and closes it behind the last byte. */
static void
child_feed(Child *child)
{
	while (child->input_at < child->input_size)
	{
		ssize_t put = write(child->input_fd, child->input + child->input_at,
							child->input_size - child->input_at);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0 && errno == EAGAIN)
			return;
		if (put < 0) /* EPIPE: it does not want the rest, which is its right */
			break;
		child->input_at += (size_t) put;
	}
	free_event(&child->input_event);
	close_fd(&child->input_fd);
	free(child->input);
	child->input = NULL;
}

/* The child's stdin takes more. */
static void
child_writable(evutil_socket_t fd, short what, void *arg)
{
	(void) fd;
	(void) what;
	child_feed(arg);
}

/* Whether a child has ended; it stays to be reaped. */
static bool
child_has_ended(const Child *child)
{
	siginfo_t info = {0};

	return waitid(P_PID, (id_t) child->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
		   info.si_pid == child->pid;
}

/* Reaps a child that has ended, with its group. */
static void
child_reap(Child *child)
{
	child_signal(child, SIGKILL);
	while (waitpid(child->pid, &child->status, 0) < 0 && errno == EINTR)
		;
	child->reaped = true;
	child->input_at = child->input_size;
	if (child->input_fd >= 0)
		child_feed(child); /* closes it */
	loop_timer(child->timer, READ_LIMIT_SECONDS);
	child_check_end(child);
}

/* Some children have ended. */
static void
children_check(evutil_socket_t fd, short what, void *arg)
{
	Child *next;

	(void) fd;
	(void) what;
	(void) arg;
	/* the end of one may start others, which come first in the list, but ends no other */
	for (Child *child = children; child; child = next)
	{
		next = child->next;
		if (!child->reaped && child_has_ended(child))
			child_reap(child);
	}
}

/* A pipe of which this process has the end given, and does not wait at it; false with errno. */
static bool
make_pipe(int fds[2], int ours)
{
	if (pipe2(fds, O_CLOEXEC) != 0)
		return false;
	if (fcntl(fds[ours], F_SETFL, O_NONBLOCK) == 0)
		return true;
	close_fd(&fds[0]);
	close_fd(&fds[1]);
	return false;
}

/* Makes the pipes of a child; theirs: the ends it is to get. False with errno. */
static bool
child_make_pipes(Child *child, const ChildPlan *plan, int theirs[4])
{
	int fds[2];

	if (plan->input)
	{
		if (!make_pipe(fds, 1))
			return false;
		theirs[0] = fds[0];
		child->input_fd = fds[1];
	}
	for (int i = 0; i < CHILD_STREAMS; i++)
	{
		if ((i == CHILD_STDOUT && plan->drop_stdout) || (i == CHILD_RESULT && plan->result_as < 0))
			continue;
		if (!make_pipe(fds, 0))
			return false;
		child->pipes[i].fd = fds[0];
		theirs[i + 1] = fds[1];
	}
	return true;
}

/* Makes the events of a child; false for want of memory. */
static bool
child_make_events(Child *child)
{
	child->timer = evtimer_new(child->base, child_timer, child);
	if (!child->timer)
		return false;
	if (child->input_fd >= 0)
	{
		child->input_event =
			event_new(child->base, child->input_fd, EV_WRITE | EV_PERSIST, child_writable, child);
		if (!child->input_event)
			return false;
	}
	for (int i = 0; i < CHILD_STREAMS; i++)
	{
		Pipe *end = &child->pipes[i];

		if (end->fd < 0)
			continue;
		end->event = event_new(child->base, end->fd, EV_READ | EV_PERSIST, pipe_readable, end);
		if (!end->event || event_add(end->event, NULL) != 0)
			return false;
	}
	return true;
}

/* A child without pipes and process; NULL for want of memory. */
static Child *
child_new(struct event_base *base, const ChildEvents *events, void *arg)
{
	Child *child = calloc(1, sizeof(Child));

	if (!child)
		return NULL;
	child->base = base;
	child->events = *events;
	child->arg = arg;
	child->input_fd = -1;
	for (int i = 0; i < CHILD_STREAMS; i++)
		child->pipes[i] = (Pipe){.child = child, .stream = (ChildStream) i, .fd = -1};
	return child;
}

Child *
child_start(struct event_base *base, const ChildPlan *plan, const ChildEvents *events, void *arg,
			SpawnStatus *status, int *error)
{
	int theirs[4] = {-1, -1, -1, -1};
	Child *child = child_new(base, events, arg);

	*status = SPAWN_NO_PROCESS;
	errno = ENOMEM;
	if (child && child_make_pipes(child, plan, theirs) && child_make_events(child))
	{
		SpawnPlan spawn = {.argv = plan->argv,
						   .envp = plan->envp,
						   .cwd = plan->cwd,
						   .umask = plan->umask,
						   .fds = {theirs[0] < 0 ? null_fd : theirs[0],
								   theirs[1] < 0 ? null_fd : theirs[1], theirs[2], theirs[3]},
						   .result_as = plan->result_as};

		*status = spawn_program(&spawn, &child->pid, error);
	}
	else
		*error = errno;
	for (int i = 0; i < 4; i++)
		close_fd(&theirs[i]);
	if (*status != SPAWN_OK)
	{
		if (child)
			child_free(child);
		return NULL;
	}
	child->next = children;
	child->link = &children;
	if (children)
		children->link = &child->next;
	children = child;
	if (plan->input)
	{
		child->input = plan->input;
		child->input_size = plan->input_size;
		child_feed(child);
		if (child->input_event)
			event_add(child->input_event, NULL);
	}
	return child;
}

void
child_stop(Child *child, double grace)
{
	if (child->stopping || child->reaped)
		return;
	child->stopping = true;
	child_signal(child, SIGTERM);
	child_signal(child, SIGCONT); /* a stopped one could not obey */
	loop_timer(child->timer, grace);
}

void
child_kill(Child *child)
{
	child->stopping = true;
	child_signal(child, SIGKILL);
}

bool
child_is_over(const Child *child)
{
	return child->reaped || child_has_ended(child);
}

void
child_read(Child *child, ChildStream stream, bool wanted)
{
	Pipe *end = &child->pipes[stream];

	if (!end->event)
		return;
	if (wanted)
		event_add(end->event, NULL);
	else
		event_del(end->event);
}

bool
children_begin(struct event_base *base, int *error)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN};

	null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	*error = errno;
	if (null_fd < 0)
		return false;
	/* a child that does not read its stdin is an error of write() */
	sigaction(SIGPIPE, &ignore, &sigpipe_before);
	sigchld = evsignal_new(base, SIGCHLD, children_check, NULL);
	if (sigchld && evsignal_add(sigchld, NULL) == 0)
		return true;
	*error = ENOMEM;
	children_end();
	return false;
}

void
children_end(void)
{
	while (children)
	{
		Child *child = children;

		child_signal(child, SIGKILL);
		while (!child->reaped && waitpid(child->pid, &child->status, 0) < 0 && errno == EINTR)
			;
		child_free(child);
	}
	free_event(&sigchld);
	if (null_fd >= 0)
		sigaction(SIGPIPE, &sigpipe_before, NULL);
	close_fd(&null_fd);
}
