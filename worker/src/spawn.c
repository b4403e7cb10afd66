/*
 * spawn.c
 *	  Starts a program in a process group of its own, with nothing of the worker's.
 *
 * vfork(), because its price does not grow with the worker: on a small machine fork()
 * managed 800 programs a second from a process of 5 MB and 160 from one of 100 MB,
 * vfork() 1,100 from either, and posix_spawn(), which cannot do all that is done here,
 * no more. The worker stands still until the program runs or could not be run, and the
 * child shares its memory until then: so a failure is simply left in a variable, no
 * pipe is needed to tell it, and the group exists before the worker goes on. All the
 * child does before the program runs are system calls, with all signals blocked until
 * every handler is gone.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "spawn.h"

/* Where programs are looked for if the child has no PATH. */
#define DEFAULT_PATH "/usr/local/bin:/usr/bin:/bin"

/* What the child is given, and what it leaves in the memory it shares with the worker. */
typedef struct Attempt
{
	const SpawnPlan *plan;
	char **names; /* of the program, each to be tried; ends with NULL */
	pid_t worker;
	volatile SpawnStatus status;
	volatile int error;
} Attempt;

/* The value of PATH in an environment. */
static const char *
find_path(char *const *envp)
{
	for (; *envp; envp++)
	{
		if (strncmp(*envp, "PATH=", 5) == 0)
			return *envp + 5;
	}
	return DEFAULT_PATH;
}

/* The file names a program may have, in one allocation; NULL for want of memory. */
static char **
program_names(const char *program, const char *path)
{
	size_t n = 1;
	size_t length = strlen(program);
	char **names;
	char *text;

	if (strchr(program, '/'))
		path = NULL;
	for (const char *at = path; at && *at; at++)
		n += *at == ':';
	/* each directory of the path, a slash, the program and a NUL */
	names = malloc((n + 1) * sizeof(char *) + (path ? strlen(path) : 0) + n * (length + 2));
	if (!names)
		return NULL;
	text = (char *) (names + n + 1);
	for (size_t i = 0; i < n; i++)
	{
		size_t directory = path ? strcspn(path, ":") : 0;

		names[i] = text;
		if (directory > 0)
		{
			memcpy(text, path, directory);
			text += directory;
			*text++ = '/';
		}
		memcpy(text, program, length + 1);
		text += length + 1;
		if (path)
			path += directory + 1;
	}
	names[n] = NULL;
	return names;
}

/* Gives up in the child. */
static _Noreturn void
child_fails(Attempt *attempt, SpawnStatus status)
{
	attempt->error = errno;
	attempt->status = status;
	_exit(127);
}

/* Puts the child's descriptors in their places, and closes all others; false with errno. */
static bool
child_descriptors(const SpawnPlan *plan)
{
	int result_as = plan->fds[3] < 0 ? 2 : plan->result_as;
	int fds[4];

	/* out of each other's way first: one may have the number another is to get */
	for (int i = 0; i < 4; i++)
	{
		fds[i] = plan->fds[i];
		if (fds[i] >= 0 && fds[i] <= result_as)
			fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, result_as + 1);
		if (fds[i] < 0 && plan->fds[i] >= 0)
			return false;
	}
	for (int i = 0; i < 4; i++)
	{
		if (fds[i] >= 0 && dup2(fds[i], i < 3 ? i : result_as) < 0)
			return false;
	}
	/*
	 * The worker's own descriptors close by themselves, but not what whoever started the worker
	 * left open. Before Linux 5.9 those stay.
	 */
#ifdef SYS_close_range
	if (result_as > 3)
		(void) syscall(SYS_close_range, 3U, (unsigned) result_as - 1, 0U);
	(void) syscall(SYS_close_range, (unsigned) result_as + 1, ~0U, 0U);
#endif
	return true;
}

/* What the child does until it is the program; only system calls. */
static _Noreturn void
child_main(Attempt *attempt)
{
	const SpawnPlan *plan = attempt->plan;
	struct sigaction action = {.sa_handler = SIG_DFL};
	sigset_t none;
	int error = ENOENT;

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != attempt->worker) /* it died before it could be watched */
		_exit(127);
	for (int i = 1; i < NSIG; i++)
		sigaction(i, &action, NULL);
	if (!child_descriptors(plan))
		child_fails(attempt, SPAWN_NO_PROCESS);
	if (plan->umask >= 0)
		umask((mode_t) plan->umask);
	if (plan->cwd && chdir(plan->cwd) != 0)
		child_fails(attempt, SPAWN_NO_DIRECTORY);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (char **name = attempt->names; *name; name++)
	{
		execve(*name, plan->argv, plan->envp);
		/* look on, but do not forget a program that may not be run; a directory that may not be seen is none */
		if (errno == EACCES)
		{
			if (!attempt->names[1] || access(*name, F_OK) == 0)
				error = EACCES;
		}
		else if (errno != ENOENT && errno != ENOTDIR)
		{
			error = errno;
			break;
		}
	}
	errno = error;
	child_fails(attempt, SPAWN_NO_PROGRAM);
}

/* Makes the child; a function of its own, since the child writes in the frame that calls vfork(). */
static __attribute__((noinline)) pid_t
make_child(Attempt *attempt)
{
	pid_t pid = vfork();

	if (pid == 0)
		child_main(attempt);
	return pid;
}

/* Whether an error of execve() says that the system is short of something, not that the program is wrong. */
static bool
is_shortage(int error)
{
	return error == ENOMEM || error == EAGAIN || error == EMFILE || error == ENFILE;
}

SpawnStatus
spawn_program(const SpawnPlan *plan, pid_t *pid, int *error)
{
	Attempt attempt = {.plan = plan, .worker = getpid(), .status = SPAWN_OK};
	sigset_t all;
	sigset_t before;
	int status;

	attempt.names = program_names(plan->argv[0], find_path(plan->envp));
	if (!attempt.names)
	{
		*error = ENOMEM;
		return SPAWN_NO_PROCESS;
	}
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	*pid = make_child(&attempt);
	*error = errno;
	sigprocmask(SIG_SETMASK, &before, NULL);
	free(attempt.names);
	if (*pid < 0)
		return SPAWN_NO_PROCESS;
	if (attempt.status == SPAWN_OK)
		return SPAWN_OK;
	while (waitpid(*pid, &status, 0) < 0 && errno == EINTR)
		;
	*pid = -1;
	*error = attempt.error;
	if (attempt.status == SPAWN_NO_PROGRAM && is_shortage(*error))
		return SPAWN_NO_PROCESS;
	return attempt.status;
}
