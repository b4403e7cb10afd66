/*
 * announce.c
 *	  What a transaction does to the board, told to others when it ends.
 *
 * Notes are kept by (bucket, subtransaction), so that what a subtransaction
 * undoes is not told; its takes are told at once, for its entries are claimable
 * again. The callbacks of commit and abort run when the rows already are (or are
 * no longer) visible to others, and cannot fail: they allocate nothing. Workers outside
 * of the server are told as well, by way of wake.c.
 *
 * A prepared transaction ends where no callback knows its notes: the scheduler
 * then reads the tables again (evict.c sees the command; the backstop covers
 * the rest).
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

#include "announce.h"
#include "compat.h"
#include "due.h"
#include "registry.h"
#include "shmem.h"
#include "slots.h"
#include "store.h"
#include "wake.h"

typedef struct NoteKey
{
	int64 bucket;
	Oid role;
	SubTransactionId subid;
} NoteKey;

typedef struct Note
{
	NoteKey key;
	int64 inserted; /* lowest position; HEAD_END: none */
	int64 taken;    /* lowest position; HEAD_END: none */
	Timestamp due;  /* earliest inserted; DT_NOEND: none */
	Timestamp due_taken;
	int32 ready; /* change of the count */
	int32 scheduled;
	int32 blocked;
	int32 waiting;
	int32 n_taken;
	const char *queue; /* of those that workers run; NULL: executors do, or there are none */
	bool runs_here;
	bool nudge;     /* was left: to be told at the commit */
	bool unblocked; /* somebody was: to be told at an abort */
} Note;

typedef struct Finished
{
	int64 task_id;
	SubTransactionId subid;
	bool failed; /* or was cancelled, or timed out */
} Finished;

/* beyond this many the table of notes is made anew, to free its memory */
#define MANY_NOTES 1024

static HTAB *table;
static Note **notes; /* all of the table, in the order they were made */
static int n_notes;
static int max_notes;
static Note *last_note;
static HTAB *queues;                  /* the names notes point to */
static SubTransactionId newest_subid; /* of any note or finished task */
static Finished *finished;
static int n_finished;
static int max_finished;
static SubTransactionId database_subid; /* announce_database was called in it */
static SubTransactionId pauses_subid;   /* announce_pauses was called in it first */
static SubTransactionId leases_subid;   /* announce_lease_cancelled was called in it first */
static bool databases_changed;
static bool limits_changed;
static uint32 as_of; /* see announce_as_of */
static bool as_of_known;
static int n_tallies;
static int n_counters;
static uint32 count_epoch; /* when the commit began */

/* latches to be set when the lock is released */
static int latches[MAX_EXECUTORS + 8];
static int n_latches;

static void
make_table(void)
{
	HASHCTL ctl = {.keysize = sizeof(NoteKey), .entrysize = sizeof(Note), .hcxt = TopMemoryContext};

	table = hash_create("stent announcements", 64, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

static Note *
note_for(Oid role, int64 bucket, SubTransactionId subid)
{
	NoteKey key = {bucket, role, subid};
	Note *note;
	bool found;

	if (last_note != NULL && last_note->key.bucket == bucket && last_note->key.subid == subid &&
		last_note->key.role == role)
		return last_note;
	if (table == NULL)
		make_table();
	if (n_notes == max_notes)
	{
		int max = Max(2 * max_notes, 64);

		if (notes == NULL)
			notes = MemoryContextAlloc(TopMemoryContext, max * sizeof(Note *));
		else
			notes = repalloc_huge(notes, max * sizeof(Note *));
		max_notes = max;
	}
	note = hash_search(table, &key, HASH_ENTER, &found);
	if (!found)
	{
		note->inserted = note->taken = HEAD_END;
		note->due = note->due_taken = DT_NOEND;
		note->ready = note->scheduled = note->blocked = note->waiting = note->n_taken = 0;
		note->queue = NULL;
		note->runs_here = note->nudge = note->unblocked = false;
		notes[n_notes++] = note;
		newest_subid = Max(newest_subid, subid);
	}
	return last_note = note;
}

static Note *
my_note(Oid role, int64 bucket)
{
	return note_for(role, bucket, GetCurrentSubTransactionId());
}

/* The name of a queue where it stays for as long as notes are kept. */
static const char *
remembered(const char *queue)
{
	HASHCTL ctl = {.keysize = QUEUE_LENGTH, .entrysize = QUEUE_LENGTH, .hcxt = TopMemoryContext};

	if (queues == NULL)
		queues = hash_create("stent queues", 16, &ctl, HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	return hash_search(queues, queue, HASH_ENTER, NULL);
}

/* Who runs it: executors, or workers if a queue is given. */
static void
note_runner(Note *note, const char *queue)
{
	if (queue == NULL)
		note->runs_here = true;
	else if (note->queue == NULL)
		note->queue = remembered(queue);
}

/* How often something was registered. */
uint32
announce_registrations(void)
{
	return stent_shared == NULL ? 0 : pg_atomic_read_u32(&stent_shared->registrations);
}

/* What is announced next says who runs it; should that change before we commit, all look. */
void
announce_as_of(uint32 registrations)
{
	/* the oldest is kept */
	if (!as_of_known || as_of == announce_registrations())
		as_of = registrations;
	as_of_known = true;
}

void
announce_ready(Oid role, int64 bucket, int64 position, int n, const char *queue)
{
	Note *note;

	if (stent_shared == NULL)
		return;
	note = my_note(role, bucket);
	note->inserted = Min(note->inserted, position);
	note->ready += n;
	note_runner(note, queue);
}

void
announce_taken(Oid role, int64 bucket, int64 position, const char *queue)
{
	Note *note;

	if (stent_shared == NULL)
		return;
	note = my_note(role, bucket);
	note->taken = Min(note->taken, position);
	note->ready--;
	note->n_taken++;
	note_runner(note, queue);
}

void
announce_due(Oid role, int64 bucket, Timestamp due_at, char kind)
{
	Note *note;

	if (stent_shared == NULL)
		return;
	note = my_note(role, bucket);
	note->due = Min(note->due, due_at);
	note->scheduled += kind == DUE_READY;
	note->waiting += kind == DUE_WAIT;
}

void
announce_due_taken(Oid role, int64 bucket, Timestamp due_at, char kind)
{
	Note *note;

	if (stent_shared == NULL)
		return;
	note = my_note(role, bucket);
	note->due_taken = Min(note->due_taken, due_at);
	note->scheduled -= kind == DUE_READY;
	note->waiting -= kind == DUE_WAIT;
}

void
announce_blocked(Oid role, int64 bucket)
{
	if (stent_shared != NULL)
		my_note(role, bucket)->blocked++;
}

/* Should this be undone, others may have passed over it: they look again. */
void
announce_unblocked(Oid role, int64 bucket, int64 position)
{
	Note *note;

	if (stent_shared == NULL)
		return;
	note = my_note(role, bucket);
	note->taken = Min(note->taken, position);
	note->blocked--;
	note->runs_here = note->unblocked = true;
}

void
announce_nudge(Oid role, int64 bucket)
{
	if (stent_shared != NULL)
		my_note(role, bucket)->nudge = true;
}

void
announce_finished(int64 task_id, bool failed)
{
	if (stent_shared == NULL)
		return;
	if (n_finished == max_finished)
	{
		int max = Max(2 * max_finished, 128);

		if (finished == NULL)
			finished = MemoryContextAlloc(TopMemoryContext, max * sizeof(Finished));
		else
			finished = repalloc_huge(finished, max * sizeof(Finished));
		max_finished = max;
	}
	finished[n_finished++] = (Finished){task_id, GetCurrentSubTransactionId(), failed};
	newest_subid = Max(newest_subid, GetCurrentSubTransactionId());
}

void
announce_database(void)
{
	if (stent_shared == NULL)
		return;
	/* of the outermost subtransaction that asked: one inside it may be undone alone */
	if (database_subid != InvalidSubTransactionId)
		return;
	database_subid = GetCurrentSubTransactionId();
	newest_subid = Max(newest_subid, database_subid);
}

void
announce_pauses(void)
{
	if (stent_shared == NULL || pauses_subid != InvalidSubTransactionId)
		return;
	pauses_subid = GetCurrentSubTransactionId();
	newest_subid = Max(newest_subid, pauses_subid);
}

void
announce_lease_cancelled(void)
{
	if (stent_shared == NULL || leases_subid != InvalidSubTransactionId)
		return;
	leases_subid = GetCurrentSubTransactionId();
	newest_subid = Max(newest_subid, leases_subid);
}

void
announce_databases(void)
{
	if (stent_shared == NULL || !IsTransactionState())
		return;
	databases_changed = true;
}

void
announce_tallies(int n)
{
	n_tallies += n;
}

void
announce_counters(int n)
{
	n_counters += n;
}

/* Entries this transaction inserted are visible to it, but on no board yet. */
int
announce_own(Oid role, BoardLook **looks, int n)
{
	int known = n;

	for (int i = 0; i < n_notes; i++)
	{
		Note *note = notes[i];
		int at;

		if (note->inserted == HEAD_END || note->key.role != role)
			continue;
		for (at = 0; at < n; at++)
			if ((*looks)[at].bucket == note->key.bucket)
				break;
		if (at == n)
		{
			*looks = repalloc_array(*looks, BoardLook, n + 1);
			(*looks)[n++] = (BoardLook){note->key.bucket, HEAD_END, 0};
		}
		(*looks)[at].head = Min((*looks)[at].head, note->inserted);
	}
	if (n > known)
		board_sort(*looks, n);
	return n;
}

/* The same for the roles of these entries. */
int
announce_own_roles(Oid **roles, int n)
{
	for (int i = 0; i < n_notes; i++)
	{
		Note *note = notes[i];
		int at = 0;

		if (note->inserted == HEAD_END)
			continue;
		while (at < n && (*roles)[at] != note->key.role)
			at++;
		if (at < n)
			continue;
		*roles = repalloc_array(*roles, Oid, n + 1);
		(*roles)[n++] = note->key.role;
	}
	return n;
}

/* Each latch once: an executor that was made busy must not be left without its own. */
static void
wake(int proc)
{
	/* each executor once, as it is idle no more, and a few others */
	for (int i = 0; i < n_latches; i++)
		if (latches[i] == proc)
			return;
	if (proc >= 0 && n_latches < (int) lengthof(latches))
		latches[n_latches++] = proc;
}

static void
set_latches(void)
{
	for (int i = 0; i < n_latches; i++)
		shmem_set_latch(latches[i]);
	n_latches = 0;
}

static void
something_claimable(DatabaseSlot *database, BoardRole *role, bool runs_here)
{
	role->changes++;
	if (runs_here)
		wake(slots_notice(database, role));
}

static void
something_due(DatabaseSlot *database, BoardRole *role, Timestamp due_at)
{
	if (due_at == DT_NOEND)
		return;
	role->due_low = Min(role->due_low, due_at);
	if (due_at < role->next_due)
	{
		role->next_due = due_at;
		wake(database->scheduler);
	}
}

/* Change the counts, or, while they are being made anew, tell who makes them. */
static void
count(DatabaseSlot *database, BoardRole *role, const Note *note)
{
	BoardBucket *bucket;

	if (note->ready == 0 && note->scheduled == 0 && note->blocked == 0 && note->waiting == 0)
		return;
	if (database->count_epoch % 2 == 1)
	{
		if (stent_shared->n_count_log >= 0 && stent_shared->n_count_log < COUNT_LOG)
			stent_shared->count_log[stent_shared->n_count_log++] =
				(CountLog){GetTopTransactionIdIfAny(),
						   note->key.role,
						   note->key.bucket,
						   note->ready,
						   note->scheduled,
						   note->blocked,
						   note->waiting};
		else
			stent_shared->n_count_log = -1;
		return;
	}
	if (database->count_epoch != count_epoch)
	{
		/* counted while we committed: nobody can tell whether with us or without */
		database->recount = true;
		wake(database->scheduler);
		return;
	}
	bucket = board_bucket(role, note->key.bucket, true);
	if (bucket == NULL)
		return;
	bucket->ready += note->ready;
	bucket->scheduled += note->scheduled;
	bucket->blocked += note->blocked;
	bucket->waiting += note->waiting;
}

/* The scheduler tries at once what it could not promote before. */
static void
something_to_decide(DatabaseSlot *database, BoardRole *role)
{
	role->due_misses = 0;
	/* the scheduler itself knows what it has tried */
	if (role->due_again != 0 && database->scheduler != MyProcIndex)
	{
		role->due_again = 0;
		role->due_low = role->next_due = DUE_NUDGE_AT;
	}
	wake(database->scheduler);
}

/* Workers that wait for work of the queue have something to look for. */
static void
workers_look(DatabaseSlot *database, const char *queue)
{
	if (queue != NULL && wake_queue(database, queue))
		wake(database->scheduler);
}

/* All that wait have. */
static void
all_workers_look(DatabaseSlot *database)
{
	if (wake_everybody(database))
		wake(database->scheduler);
}

/* What claimers stepped over may be claimable now: all roles that have work look. */
static void
look_again(DatabaseSlot *database)
{
	HASH_SEQ_STATUS status;
	BoardRole *role;

	all_workers_look(database);

	board_scan_begin(&status);
	while ((role = hash_seq_search(&status)) != NULL)
	{
		bool has_work = !database->loaded || role->incomplete;

		if (role->key.database != MyDatabaseId)
			continue;
		for (BoardBucket *bucket = role->first; bucket != NULL && !has_work; bucket = bucket->next)
			has_work = bucket->head != HEAD_END;
		if (has_work)
			something_claimable(database, role, true);
	}
}

static void
tell_board(bool committed)
{
	DatabaseSlot *database;
	uint64 dead = 0;

	LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
	database = shmem_database(MyDatabaseId, false);
	for (int i = 0; i < n_notes && database != NULL; i++)
	{
		const Note *note = notes[i];
		BoardRole *role = board_role(MyDatabaseId, note->key.role, true);

		if ((committed ? note->inserted : note->taken) != HEAD_END)
			workers_look(database, note->queue);
		if (role == NULL)
		{
			/* no room for another role: heads no longer know everything */
			database->loaded = false;
			continue;
		}
		if (committed)
		{
			count(database, role, note);
			dead += note->n_taken;
			something_due(database, role, note->due);
		}
		else
			something_due(database, role, note->due_taken);
		if (committed ? note->nudge : note->unblocked)
			something_to_decide(database, role);
		if ((committed ? note->inserted : note->taken) != HEAD_END)
		{
			board_lower(role, note->key.bucket, committed ? note->inserted : note->taken);
			something_claimable(database, role, note->runs_here && note->queue == NULL);
		}
	}
	if (as_of_known && database != NULL && as_of != announce_registrations())
	{
		function_caches_stale();
		look_again(database);
	}
	if (committed && database != NULL)
	{
		/* the scheduler is told when there is enough to clear away */
		if (database->dead_entries < DEAD_ENTRIES_VACUUM &&
			database->dead_entries + dead >= DEAD_ENTRIES_VACUUM)
			wake(database->scheduler);
		if (database->tallies < TALLIES_FOLD && database->tallies + n_tallies >= TALLIES_FOLD)
			wake(database->scheduler);
		if (database->counters < COUNTERS_FOLD && database->counters + n_counters >= COUNTERS_FOLD)
			wake(database->scheduler);
		database->dead_entries += dead;
		database->tallies += n_tallies;
		database->counters += n_counters;
	}
	if (committed && database_subid != InvalidSubTransactionId)
	{
		database = shmem_database(MyDatabaseId, true);
		if (database != NULL)
		{
			database->nudged = true;
			wake(database->scheduler);
		}
		wake(stent_shared->launcher);
	}
	if (committed && pauses_subid != InvalidSubTransactionId)
	{
		/* first, so that who is woken reads the new pauses */
		pg_atomic_fetch_add_u32(&stent_shared->pauses, 1);
		if (database != NULL)
			look_again(database);
	}
	if (committed && leases_subid != InvalidSubTransactionId && database != NULL)
	{
		database->tells_cancelled = true;
		wake(database->scheduler);
	}
	if (databases_changed)
		wake(stent_shared->launcher);
	stent_shared->wakeups += n_latches;
	LWLockRelease(stent_shared->lock);
	set_latches();
}

void
announce_look_again(void)
{
	DatabaseSlot *database;

	LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
	database = shmem_database(MyDatabaseId, false);
	if (database != NULL)
		look_again(database);
	stent_shared->wakeups += n_latches;
	LWLockRelease(stent_shared->lock);
	set_latches();
}

/* From now on the role is told of places that become free, or workers are: no role. */
void
announce_held_back(Oid role)
{
	DatabaseSlot *database;
	BoardRole *entry;

	LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
	database = shmem_database(MyDatabaseId, false);
	if (!OidIsValid(role) && database != NULL)
		database->workers_held_back = true;
	entry = OidIsValid(role) ? board_role(MyDatabaseId, role, true) : NULL;
	if (entry != NULL)
		entry->held_back = true;
	LWLockRelease(stent_shared->lock);
}

/*
 * Places are free: roles that were held back look again. One of them may be left out;
 * true if that one was held back, and still is.
 */
bool
announce_places_free(Oid but)
{
	HASH_SEQ_STATUS status;
	DatabaseSlot *database;
	BoardRole *role;
	bool left_out = false;

	LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
	database = shmem_database(MyDatabaseId, false);
	if (database != NULL && database->workers_held_back)
	{
		database->workers_held_back = false;
		all_workers_look(database);
	}
	if (database != NULL)
		board_scan_begin(&status);
	while (database != NULL && (role = hash_seq_search(&status)) != NULL)
	{
		if (!role->held_back || role->key.database != MyDatabaseId)
			continue;
		if (role->key.role == but)
		{
			left_out = true;
			continue;
		}
		role->held_back = false;
		/* perhaps it was the scheduler that was held back */
		if (role->due_again != 0)
			something_to_decide(database, role);
		something_claimable(database, role, true);
	}
	stent_shared->wakeups += n_latches;
	LWLockRelease(stent_shared->lock);
	set_latches();
	return left_out;
}

/* The scheduler shall see to it that the role, or workers without one, look at that time. */
void
announce_token_at(Oid role, Timestamp at)
{
	DatabaseSlot *database;
	BoardRole *entry;

	LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
	database = shmem_database(MyDatabaseId, false);
	entry = database != NULL && OidIsValid(role) ? board_role(MyDatabaseId, role, true) : NULL;
	if (database != NULL && (entry != NULL || !OidIsValid(role)))
	{
		Timestamp *token_at = entry != NULL ? &entry->token_at : &database->workers_token_at;

		*token_at = Min(*token_at, at);
		if (at < database->token_at)
		{
			database->token_at = at;
			wake(database->scheduler);
		}
	}
	LWLockRelease(stent_shared->lock);
	set_latches();
}

/* Roles and workers that waited for a token up to now look again, as when work comes. */
Timestamp
announce_tokens(Timestamp now)
{
	Timestamp next = DT_NOEND;
	HASH_SEQ_STATUS status;
	DatabaseSlot *database;
	BoardRole *role;

	LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
	database = shmem_database(MyDatabaseId, false);
	if (database != NULL && database->token_at <= now)
	{
		if (database->workers_token_at <= now)
		{
			database->workers_token_at = DT_NOEND;
			all_workers_look(database);
		}
		next = database->workers_token_at;
		board_scan_begin(&status);
		while ((role = hash_seq_search(&status)) != NULL)
		{
			if (role->key.database != MyDatabaseId || role->token_at == DT_NOEND)
				continue;
			if (role->token_at <= now)
			{
				role->token_at = DT_NOEND;
				something_claimable(database, role, true);
			}
			else
				next = Min(next, role->token_at);
		}
		database->token_at = next;
		stent_shared->wakeups += n_latches;
	}
	else if (database != NULL)
		next = database->token_at;
	LWLockRelease(stent_shared->lock);
	set_latches();
	return next;
}

/*
 * Every session has been told of our limits, or will be before its next look: only now,
 * for who were woken by the commit itself might still look with the old ones.
 */
static void
resources_released(ResourceReleasePhase phase, bool is_commit, bool is_top, void *arg)
{
	HASH_SEQ_STATUS status;
	DatabaseSlot *database;
	BoardRole *role;

	if (!limits_changed || !is_top || phase != RESOURCE_RELEASE_AFTER_LOCKS)
		return;
	limits_changed = false;
	if (!is_commit)
		return;
	LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
	database = shmem_database(MyDatabaseId, false);
	pg_atomic_fetch_add_u32(&stent_shared->registrations, 1);
	if (database != NULL)
	{
		/* what workers ran may now be for executors, or the other way round */
		database->workers_held_back = false;
		database->workers_token_at = DT_NOEND;
		look_again(database);
	}
	if (database != NULL)
		board_scan_begin(&status);
	while (database != NULL && (role = hash_seq_search(&status)) != NULL)
	{
		if (role->key.database != MyDatabaseId || !(role->held_back || role->token_at != DT_NOEND))
			continue;
		role->held_back = false;
		role->token_at = DT_NOEND;
		something_claimable(database, role, true);
	}
	stent_shared->wakeups += n_latches;
	LWLockRelease(stent_shared->lock);
	set_latches();
}

void
announce_limits(void)
{
	static bool registered = false;

	if (stent_shared == NULL)
		return;
	if (!registered)
		RegisterResourceReleaseCallback(resources_released, NULL);
	registered = true;
	limits_changed = true;
}

static int
compare_finished(const void *a, const void *b)
{
	int64 x = ((const Finished *) a)->task_id;
	int64 y = ((const Finished *) b)->task_id;

	return x < y ? -1 : x > y ? 1 : 0;
}

/* Whether one that failed is among those from..to that somebody waits for. */
static bool
failed_between(int64 from, int64 to)
{
	for (int i = 0; i < n_finished; i++)
		if (finished[i].failed && finished[i].task_id >= from && finished[i].task_id <= to)
			return true;
	return false;
}

static void
wake_waiters(void)
{
	bool any_failed = false;

	/* who publishes what it waits for looks afterwards; our rows are visible now */
	pg_memory_barrier();
	if (pg_atomic_read_u32(&stent_shared->waiting) == 0)
		return;
	qsort(finished, n_finished, sizeof(Finished), compare_finished);
	for (int i = 0; i < n_finished && !any_failed; i++)
		any_failed = finished[i].failed;
	for (int i = 0; i < stent_shared->n_procs; i++)
	{
		StentProc *proc = &stent_shared->procs[i];
		Finished wanted = {.task_id = (int64) pg_atomic_read_u64(&proc->waits_for)};

		if (wanted.task_id == NO_ID || proc->database != MyDatabaseId)
			continue;
		if (bsearch(&wanted, finished, n_finished, sizeof(Finished), compare_finished) != NULL ||
			(any_failed && failed_between((int64) pg_atomic_read_u64(&proc->waits_from),
										  (int64) pg_atomic_read_u64(&proc->waits_to))))
			shmem_set_latch(i);
	}
}

/* Have every session that waits in this database look, at once. */
void
announce_to_waiters(void)
{
	pg_memory_barrier();
	if (pg_atomic_read_u32(&stent_shared->waiting) == 0)
		return;
	for (int i = 0; i < stent_shared->n_procs; i++)
	{
		StentProc *proc = &stent_shared->procs[i];

		if (pg_atomic_read_u64(&proc->waits_for) != NO_ID && proc->database == MyDatabaseId)
			shmem_set_latch(i);
	}
}

static void
forget_notes(void)
{
	if (table != NULL && n_notes > MANY_NOTES)
	{
		hash_destroy(table);
		table = NULL;
	}
	else
		for (int i = 0; i < n_notes; i++)
			(void) hash_search(table, &notes[i]->key, HASH_REMOVE, NULL);
	if (queues != NULL && hash_get_num_entries(queues) > MANY_NOTES)
	{
		hash_destroy(queues);
		queues = NULL;
	}
	n_notes = n_finished = n_tallies = n_counters = 0;
	last_note = NULL;
	newest_subid = database_subid = pauses_subid = leases_subid = InvalidSubTransactionId;
	databases_changed = as_of_known = false;
}

static void
xact_ended(XactEvent event, void *arg)
{
	DatabaseSlot *database;

	if (n_notes == 0 && n_finished == 0 && n_tallies == 0 && n_counters == 0 &&
		!databases_changed && database_subid == InvalidSubTransactionId &&
		pauses_subid == InvalidSubTransactionId && leases_subid == InvalidSubTransactionId)
		return;
	if (stent_shared == NULL)
	{
		forget_notes();
		return;
	}
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			LWLockAcquire(stent_shared->lock, LW_SHARED);
			database = shmem_database(MyDatabaseId, false);
			count_epoch = database == NULL ? 0 : database->count_epoch;
			LWLockRelease(stent_shared->lock);
			break;
		case XACT_EVENT_COMMIT:
			tell_board(true);
			if (n_finished > 0)
				wake_waiters();
			forget_notes();
			break;
		case XACT_EVENT_ABORT:
			tell_board(false);
			forget_notes();
			break;
		case XACT_EVENT_PREPARE:
			LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
			database = shmem_database(MyDatabaseId, false);
			if (database != NULL)
				database->prepared = true;
			LWLockRelease(stent_shared->lock);
			forget_notes();
			break;
		default:
			break;
	}
}

static void
drop_note(int i)
{
	(void) hash_search(table, &notes[i]->key, HASH_REMOVE, NULL);
	notes[i] = notes[--n_notes];
	last_note = NULL;
}

/* What it did is undone: what it took is claimable again, at once. */
static void
subxact_aborted(SubTransactionId mine)
{
	bool told = false;

	while (n_finished > 0 && finished[n_finished - 1].subid >= mine)
		n_finished--;
	if (database_subid >= mine)
		database_subid = InvalidSubTransactionId;
	if (pauses_subid >= mine)
		pauses_subid = InvalidSubTransactionId;
	if (leases_subid >= mine)
		leases_subid = InvalidSubTransactionId;
	LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
	for (int i = n_notes - 1; i >= 0; i--)
	{
		Note *note = notes[i];
		DatabaseSlot *database;
		BoardRole *role;

		if (note->key.subid < mine)
			continue;
		database = shmem_database(MyDatabaseId, false);
		role = database == NULL ? NULL : board_role(MyDatabaseId, note->key.role, true);
		if (database != NULL && note->taken != HEAD_END)
		{
			workers_look(database, note->queue);
			told = true;
		}
		if (role != NULL)
		{
			something_due(database, role, note->due_taken);
			if (note->unblocked)
				something_to_decide(database, role);
			if (note->taken != HEAD_END)
			{
				board_lower(role, note->key.bucket, note->taken);
				something_claimable(database, role, note->runs_here && note->queue == NULL);
			}
			told = true;
		}
		else if (database != NULL)
			database->loaded = false;
		drop_note(i);
	}
	LWLockRelease(stent_shared->lock);
	if (told)
		set_latches();
}

/* What it did is now the parent's. */
static void
subxact_committed(SubTransactionId mine, SubTransactionId parent)
{
	for (int i = n_finished - 1; i >= 0 && finished[i].subid >= mine; i--)
		finished[i].subid = parent;
	if (database_subid >= mine)
		database_subid = parent;
	if (pauses_subid >= mine)
		pauses_subid = parent;
	if (leases_subid >= mine)
		leases_subid = parent;
	for (int i = n_notes - 1; i >= 0; i--)
	{
		Note *note = notes[i];
		Note *into;

		if (note->key.subid != mine)
			continue;
		into = note_for(note->key.role, note->key.bucket, parent);
		into->inserted = Min(into->inserted, note->inserted);
		into->taken = Min(into->taken, note->taken);
		into->due = Min(into->due, note->due);
		into->due_taken = Min(into->due_taken, note->due_taken);
		into->ready += note->ready;
		into->scheduled += note->scheduled;
		into->blocked += note->blocked;
		into->waiting += note->waiting;
		into->nudge |= note->nudge;
		into->unblocked |= note->unblocked;
		into->n_taken += note->n_taken;
		into->runs_here |= note->runs_here;
		if (note->queue != NULL)
			into->queue = note->queue;
		drop_note(i);
	}
	newest_subid = parent;
}

static void
subxact_ended(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	if (newest_subid < mine || stent_shared == NULL)
		return;
	if (event == SUBXACT_EVENT_ABORT_SUB)
		subxact_aborted(mine);
	else if (event == SUBXACT_EVENT_COMMIT_SUB)
		subxact_committed(mine, parent);
}

void
announce_init(void)
{
	RegisterXactCallback(xact_ended, NULL);
	RegisterSubXactCallback(subxact_ended, NULL);
}
