/*
 * state_file.c
 *	  What must outlive the server: the data directory's mark, and which task each
 *	  process was running when it died.
 *
 * The file stent.state lies in the data directory. The postmaster maps it and its
 * children inherit the mapping, so a note costs a few stores and no system call,
 * and it is still there when nobody is left to write anything. There is a file
 * only where the library is preloaded; elsewhere, and where the file cannot be
 * used, the functions do nothing and the mark is not known. Whatever happens
 * here, the server starts.
 *
 * Each start, also the one after a crash, replaces the file by a new one: what
 * was noted becomes pending and the notes are empty again, in one rename.
 *
 * The header carries the file's own inode number and time of birth. A copy of a
 * data directory (cp, tar, pg_basebackup, pg_rewind, a restored backup) cannot
 * keep them: the copy gets another mark and none of the notes.
 *
 * What a pending note means for its task is careful.c; what the mark is good for
 * is identity.c.
 */
#include "postgres.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/parallel.h"
#include "access/xlog.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "port/pg_crc32c.h"
#include "postmaster/postmaster.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "storage/proc.h"

#include "compat.h"
#include "state_file.h"
#include "store.h"

#define STATE_FILE "stent.state"
#define STATE_FILE_TMP "stent.state.tmp"

#define MAGIC "stent.1"
#define LAYOUT 1 /* of what follows the header */
#define MARK_BYTES 16

#define FLAG_STANDBY 0x1 /* this data directory has been a standby */

/* Written with the file, never changed in it. Its fields stay where they are in any layout. */
typedef struct StateHeader
{
	char magic[8];
	uint8 mark[MARK_BYTES];
	uint64 inode;
	int64 birth_sec; /* 0: the file system does not tell */
	int64 birth_nsec;
	uint32 flags;
	uint32 layout;
	uint32 n_procs;
	pg_crc32c crc; /* of all before it */
} StateHeader;

/* A note. It lies within one sector, and its task_id is written last and erased first. */
typedef struct StoredNote
{
	volatile int64 task_id; /* NO_ID: none */
	Oid database;
	int32 replays;
	int32 attempt;
	char unused[12];
} StoredNote;

StaticAssertDecl(sizeof(StoredNote) == 32, "notes must not cross sectors");

/*
 * The file. Of the notes, each process writes its own and nobody reads them before
 * the next start. Of the pending ones, the oldest come first; each is erased
 * by the one scheduler of its database and by nobody else, so there is no lock.
 */
typedef struct StateFile
{
	union
	{
		StateHeader header;
		char block[4096];
	};
	StoredNote pending[STATE_FILE_MAX_PENDING];
	StoredNote notes[FLEXIBLE_ARRAY_MEMBER];
} StateFile;

typedef enum OldFile
{
	OLD_NONE,
	OLD_VALID,
	OLD_COPIED,
	OLD_DAMAGED,
	OLD_UNREADABLE
} OldFile;

/* Set in the postmaster, inherited by its children. */
static StateFile *state;
static Size state_size;
static int n_notes;
static bool mark_known;
static uint8 mark[MARK_BYTES];
static bool was_standby;

/* Of this process, for its SIGQUIT. */
static StoredNote *volatile my_note;
static struct sigaction server_quit;
static bool quit_handler_installed;

static ExecutorStart_hook_type next_executor_start;

static Size
file_size(int n_procs)
{
	return offsetof(StateFile, notes) + (Size) n_procs * sizeof(StoredNote);
}

/* Called with errno set; the server goes on. */
static void
complain(const char *what, const char *path)
{
	ereport(WARNING, (errcode_for_file_access(), errmsg("could not %s file \"%s\": %m", what, path),
					  errdetail("Until the next start stent does not notice tasks that crash the "
								"server, and may not know its data directory."),
					  errhint("Mend the cause and restart the server.")));
}

/* What a copy of the file would not have. */
static bool
learn_birth(int fd, StateHeader *header)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return false;
	header->inode = st.st_ino;
	header->birth_sec = header->birth_nsec = 0;
#ifdef STATX_BTIME
	{
		struct statx stx;

		if (statx(fd, "", AT_EMPTY_PATH, STATX_BTIME, &stx) == 0 &&
			(stx.stx_mask & STATX_BTIME) != 0)
		{
			header->birth_sec = stx.stx_btime.tv_sec;
			header->birth_nsec = stx.stx_btime.tv_nsec;
		}
	}
#endif
	return true;
}

static bool
same_birth(const StateHeader *a, const StateHeader *b)
{
	if (a->inode != b->inode)
		return false;
	return a->birth_sec == 0 || b->birth_sec == 0 ||
		   (a->birth_sec == b->birth_sec && a->birth_nsec == b->birth_nsec);
}

static pg_crc32c
header_crc(const StateHeader *header)
{
	pg_crc32c crc;

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, header, offsetof(StateHeader, crc));
	FIN_CRC32C(crc);
	return crc;
}

static void *
alloc(Size size)
{
	return palloc_extended(size, MCXT_ALLOC_NO_OOM | MCXT_ALLOC_ZERO);
}

/* Read what an earlier life left; *file is NULL or palloc'd, and as long as *size. */
static OldFile
read_old(StateFile **file, Size *size)
{
	int fd = BasicOpenFile(STATE_FILE, O_RDONLY | PG_BINARY);
	struct stat st;
	StateHeader now;
	Size done = 0;

	*file = NULL;
	*size = 0;
	if (fd < 0)
	{
		if (errno == ENOENT)
			return OLD_NONE;
		complain("open", STATE_FILE);
		return OLD_UNREADABLE;
	}
	if (fstat(fd, &st) != 0 || !learn_birth(fd, &now))
	{
		complain("examine", STATE_FILE);
		close(fd);
		return OLD_UNREADABLE;
	}
	if (!S_ISREG(st.st_mode))
	{
		errno = EISDIR;
		complain("read", STATE_FILE);
		close(fd);
		return OLD_UNREADABLE;
	}
	if (st.st_size < (off_t) offsetof(StateFile, pending) ||
		st.st_size > (off_t) file_size(MAX_BACKENDS))
	{
		close(fd);
		return OLD_DAMAGED;
	}
	*file = alloc(st.st_size);
	errno = ENOMEM;
	while (*file != NULL && done < st.st_size)
	{
		ssize_t n = read(fd, (char *) *file + done, st.st_size - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
		{
			if (n == 0)
				errno = EIO;
			break;
		}
		done += n;
	}
	if (*file == NULL || done < st.st_size)
	{
		complain("read", STATE_FILE);
		close(fd);
		return OLD_UNREADABLE;
	}
	close(fd);
	*size = done;
	if (strncmp((*file)->header.magic, MAGIC, sizeof((*file)->header.magic)) != 0 ||
		!EQ_CRC32C((*file)->header.crc, header_crc(&(*file)->header)))
		return OLD_DAMAGED;
	return same_birth(&(*file)->header, &now) ? OLD_VALID : OLD_COPIED;
}

static void
add_pending(StateFile *file, int64 *n, const StoredNote *note)
{
	if (note->task_id == NO_ID)
		return;
	file->pending[*n % STATE_FILE_MAX_PENDING] = *note;
	(*n)++;
}

/* Carry over what the old file knows: first what was pending, then what was running. */
static void
inherit_notes(StateFile *file, const StateFile *old, Size old_size)
{
	StoredNote *ring = file->pending;
	StoredNote *sorted;
	int64 n = 0;

	if (old->header.layout != LAYOUT || old->header.n_procs > MAX_BACKENDS ||
		old_size < file_size(old->header.n_procs))
	{
		ereport(LOG,
				(errmsg("file \"%s\" has another layout; its notes are not used", STATE_FILE)));
		return;
	}
	for (int i = 0; i < STATE_FILE_MAX_PENDING; i++)
		add_pending(file, &n, &old->pending[i]);
	for (uint32 i = 0; i < old->header.n_procs; i++)
		add_pending(file, &n, &old->notes[i]);
	if (n <= STATE_FILE_MAX_PENDING)
		return;
	ereport(LOG,
			(errmsg("more tasks crashed the server than \"%s\" holds; the oldest are forgotten",
					STATE_FILE),
			 errdetail("%d are kept, " INT64_FORMAT " are not.", STATE_FILE_MAX_PENDING,
					   n - STATE_FILE_MAX_PENDING)));
	sorted = alloc(sizeof(file->pending));
	if (sorted == NULL)
		return; /* in another order, but all there */
	for (int i = 0; i < STATE_FILE_MAX_PENDING; i++)
		sorted[i] = ring[(n + i) % STATE_FILE_MAX_PENDING];
	memcpy(ring, sorted, sizeof(file->pending));
	pfree(sorted);
}

static bool
write_all(int fd, const char *data, Size size)
{
	while (size > 0)
	{
		ssize_t n;

		errno = 0;
		n = write(fd, data, size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
		{
			if (errno == 0)
				errno = ENOSPC;
			return false;
		}
		data += n;
		size -= n;
	}
	return true;
}

/*
 * Make this the file, durably, and map it. Every block is written here, so that no
 * store into the mapping meets a full disk. False if the old file still stands.
 */
static bool
replace_file(StateFile *file, Size size)
{
	const char *failed = NULL;
	void *mapped = MAP_FAILED;
	int fd;

	(void) unlink(STATE_FILE_TMP);
	fd = BasicOpenFile(STATE_FILE_TMP, O_RDWR | O_CREAT | O_EXCL | PG_BINARY);
	if (fd < 0)
	{
		complain("create", STATE_FILE_TMP);
		return false;
	}
	if (!learn_birth(fd, &file->header))
		failed = "examine";
	else
	{
		file->header.crc = header_crc(&file->header);
		if (!write_all(fd, (char *) file, size))
			failed = "write";
		else if (pg_fsync(fd) != 0)
			failed = "fsync";
	}
	if (failed == NULL)
	{
		mapped = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (mapped == MAP_FAILED)
			complain("map", STATE_FILE_TMP);
	}
	else
		complain(failed, STATE_FILE_TMP);
	close(fd);
	if (failed != NULL || durable_rename(STATE_FILE_TMP, STATE_FILE, WARNING) != 0)
	{
		if (mapped != MAP_FAILED)
			(void) munmap(mapped, size);
		(void) unlink(STATE_FILE_TMP);
		return false;
	}
	if (mapped != MAP_FAILED)
	{
		state = mapped;
		state_size = size;
	}
	return true;
}

/* Forget an earlier life; its processes are gone. */
static void
unmap(void)
{
	if (state != NULL)
		(void) munmap(state, state_size);
	state = NULL;
	n_notes = 0;
	mark_known = was_standby = false;
}

/*
 * Called in the postmaster, before it has children, at every start and every
 * restart after a crash. n_procs is how many processes may note something.
 */
void
state_file_startup(int n_procs)
{
	StateFile *old;
	StateFile *file;
	Size old_size;
	Size size = file_size(n_procs);
	OldFile found;

	if (!IsPostmasterEnvironment || IsUnderPostmaster)
		return;
	unmap();
	found = read_old(&old, &old_size);
	if (found == OLD_UNREADABLE)
		return;
	if (found == OLD_COPIED)
		ereport(LOG, (errmsg("this data directory is a copy; stent gives it a mark of its own"),
					  errdetail("The file \"%s\" was made in another place.", STATE_FILE),
					  errhint("Its tasks do not run here until stent.adopt() is called in their "
							  "database, or, if it is a standby, until it is promoted.")));
	else if (found == OLD_DAMAGED)
		ereport(WARNING, (errcode(ERRCODE_DATA_CORRUPTED),
						  errmsg("file \"%s\" is damaged; it is made anew", STATE_FILE),
						  errhint("Call stent.adopt() in the databases whose tasks shall run.")));

	file = alloc(size);
	if (file == NULL)
	{
		errno = ENOMEM;
		complain("allocate", STATE_FILE);
		return;
	}
	if (found == OLD_VALID)
	{
		memcpy(mark, old->header.mark, MARK_BYTES);
		was_standby = (old->header.flags & FLAG_STANDBY) != 0;
		mark_known = true;
		inherit_notes(file, old, old_size);
	}
	else if (!pg_strong_random(mark, MARK_BYTES))
	{
		ereport(WARNING, (errcode(ERRCODE_INTERNAL_ERROR),
						  errmsg("could not draw a random mark for the data directory"),
						  errhint("Restart the server.")));
		return;
	}
	if (access(STANDBY_SIGNAL_FILE, F_OK) == 0)
		was_standby = true;

	strlcpy(file->header.magic, MAGIC, sizeof(file->header.magic));
	memcpy(file->header.mark, mark, MARK_BYTES);
	file->header.flags = was_standby ? FLAG_STANDBY : 0;
	file->header.layout = LAYOUT;
	file->header.n_procs = n_procs;
	/* a new mark that is not on disk must not adopt anything */
	if (replace_file(file, size))
		mark_known = true;
	n_notes = state != NULL ? n_procs : 0;
	pfree(file);
	if (old != NULL)
		pfree(old);
}

/* The data directory's mark, as text; false if it is not known. */
bool
state_file_mark(char out[STATE_FILE_MARK_LENGTH])
{
	if (!mark_known)
		return false;
	for (int i = 0; i < MARK_BYTES; i++)
		snprintf(out + 2 * i, 3, "%02x", mark[i]);
	return true;
}

/* Whether this data directory, not one it was copied from, has been a standby. */
bool
state_file_was_standby(void)
{
	return was_standby;
}

static StoredNote *
note_of(int proc)
{
	return proc >= 0 && proc < n_notes ? &state->notes[proc] : NULL;
}

/* Note the task that this process runs now, in place of the one before. */
void
state_file_note(int proc, Oid database, int64 task_id, int replays, int attempt)
{
	StoredNote *note = note_of(proc);

	if (note == NULL)
		return;
	note->task_id = NO_ID;
	pg_write_barrier();
	note->database = database;
	note->replays = replays;
	note->attempt = attempt;
	pg_write_barrier();
	note->task_id = task_id;
}

/* This process runs no task any more. Safe in a signal handler. */
void
state_file_forget(int proc)
{
	StoredNote *note = note_of(proc);

	if (note != NULL)
		note->task_id = NO_ID;
}

/*
 * The server tells everybody to quit: another process crashed, or it shuts down at
 * once. That is not the fault of the task that runs here.
 */
static void
quit(int signo)
{
	StoredNote *note = my_note;

	if (note != NULL)
		note->task_id = NO_ID;
	server_quit.sa_handler(signo);
}

static void
forget_at_exit(int code, Datum arg)
{
	if (my_note != NULL)
		my_note->task_id = NO_ID;
	my_note = NULL;
}

/*
 * From now on a SIGQUIT of this process erases its note before it does what it
 * always does: quickdie() in a backend, SignalHandlerForCrashExit() in a worker.
 */
void
state_file_quit_handler_install(void)
{
	struct sigaction ours;

	if (quit_handler_installed || state == NULL || MyProc == NULL)
		return;
	if (sigaction(SIGQUIT, NULL, &server_quit) != 0 || (server_quit.sa_flags & SA_SIGINFO) != 0 ||
		server_quit.sa_handler == SIG_DFL || server_quit.sa_handler == SIG_IGN)
		return; /* not a process of the server as we know them */
	quit_handler_installed = true;
	on_shmem_exit(forget_at_exit, (Datum) 0);
	my_note = note_of(MyProcIndex);
	/* by sigaction: the server's own way may wrap handlers, and this is one already */
	ours = server_quit;
	ours.sa_handler = quit;
	(void) sigaction(SIGQUIT, &ours, NULL);
}

/*
 * What earlier lives left about a database, oldest first; at most max. To be called
 * by the one process that settles this database's notes, see StateFile.
 */
int
state_file_pending(Oid database, StateNote *out, int max)
{
	int n = 0;

	if (state == NULL)
		return 0;
	for (int i = 0; i < STATE_FILE_MAX_PENDING && n < max; i++)
	{
		const StoredNote *note = &state->pending[i];

		if (note->task_id != NO_ID && note->database == database)
			out[n++] = (StateNote){.task_id = note->task_id,
								   .database = database,
								   .replays = note->replays,
								   .attempt = note->attempt,
								   .entry = i};
	}
	return n;
}

/* Remove a pending note, durably. */
void
state_file_settle(const StateNote *note)
{
	StoredNote *stored;
	long page = sysconf(_SC_PAGESIZE);
	char *start;

	if (state == NULL || note->entry < 0 || note->entry >= STATE_FILE_MAX_PENDING)
		return;
	stored = &state->pending[note->entry];
	if (stored->task_id != note->task_id || stored->database != note->database)
		return;
	stored->task_id = NO_ID;
	start = (char *) TYPEALIGN_DOWN(page, stored);
	if (enableFsync && msync(start, (char *) (stored + 1) - start, MS_SYNC) != 0)
		complain("sync", STATE_FILE);
}

/*
 * A parallel worker may die of its leader's task while the leader only hears of
 * it: it notes the task as its own.
 */
static void
note_task_of_leader(void)
{
	const PGPROC *leader = MyProc->lockGroupLeader;
	const StoredNote *note;

	if (state == NULL || leader == NULL || quit_handler_installed)
		return;
	note = note_of(compat_proc_number(leader));
	if (note == NULL || note->task_id == NO_ID)
		return;
	state_file_quit_handler_install();
	state_file_note(MyProcIndex, note->database, note->task_id, note->replays, note->attempt);
}

static void
executor_start(QueryDesc *query, int flags)
{
	if (IsParallelWorker())
		note_task_of_leader();
	if (next_executor_start != NULL)
		next_executor_start(query, flags);
	else
		standard_ExecutorStart(query, flags);
}

/* To be called while the library is preloaded. */
void
state_file_init(void)
{
	next_executor_start = ExecutorStart_hook;
	ExecutorStart_hook = executor_start;
}
