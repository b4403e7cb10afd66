/*
 * slots.c
 *	  Executor slots: who gets one, who waits, who leaves.
 *
 * The handshake that loses no wake-up (test/model/wakeup.pml): an executor reads
 * the role's changes, then takes its snapshot and works; finding nothing it goes idle only if
 * changes is still the same. Whoever commits raises changes, when its rows are visible, and
 * wakes an idle executor, or, if there is none, leaves the demand to the scheduler.
 *
 * Fairness: roles without any executor come first, the longest waiting of them
 * before all. When all slots are in use, the executor that has been idle
 * longest is asked to go, or one that has had its turn.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/timestamp.h"

#include "board.h"
#include "compat.h"
#include "guc.h"
#include "shmem.h"
#include "slots.h"
#include "wake.h"

#define FAILURES_MAX_DELAY_S 60

static void
set_state(ExecutorSlot *slot, ExecutorState state)
{
	slot->state = state;
	slot->since = GetCurrentTimestamp();
}

/*
 * Something of the role became claimable: an idle executor takes notice, or the
 * scheduler is asked for one. Returns whose latch to set, or -1.
 */
int
slots_notice(DatabaseSlot *database, BoardRole *role)
{
	if (role->idle > 0)
	{
		for (int i = 0; i < MAX_EXECUTORS; i++)
		{
			ExecutorSlot *slot = &stent_shared->executors[i];

			if (slot->state == EXECUTOR_IDLE && slot->database == role->key.database &&
				slot->role == role->key.role && !slot->leave)
			{
				slot->state = EXECUTOR_BUSY;
				role->idle--;
				return slot->proc;
			}
		}
	}
	if (role->demand)
		return -1;
	role->demand = true;
	role->demand_since = GetCurrentTimestamp();
	return database->scheduler;
}

/* Whether the role waits for its first executor. */
static bool
is_waiting(const BoardRole *role, TimestampTz now)
{
	DatabaseSlot *database;

	if (role->executors > 0 || !(role->demand || role->help) || role->retry_at > now)
		return false;
	database = shmem_database(role->key.database, false);
	return database != NULL && database->state == DATABASE_SERVED && database->evicting == 0 &&
		   !database->stopped;
}

/*
 * Whether another executor should be started for the role. Where the answer
 * depends on time, again is lowered to when to ask again.
 */
bool
slots_wants_executor(const BoardRole *role, TimestampTz now, TimestampTz *again)
{
	TimestampTz from = 0;

	if (!role->demand && !role->help)
		return false;
	if (!role->help && role->executors > 0)
		from = role->demand_since + DEMAND_PATIENCE_MS * INT64CONST(1000);
	from = Max(from, role->retry_at);
	if (from <= now)
		return true;
	*again = Min(*again, from);
	return false;
}

int
slots_used(void)
{
	int used = 0;

	for (int i = 0; i < MAX_EXECUTORS; i++)
		used += stent_shared->executors[i].state != EXECUTOR_FREE;
	return used;
}

/* How many executors there may be; fewer than the setting while no more can be had. */
static int
max_executors(TimestampTz now)
{
	if (stent_shared->exhausted_at != 0 && stent_shared->capacity_until > now)
		return Min(stent_max_executors, stent_shared->capacity);
	return stent_max_executors;
}

/* The waiting role that has waited longest, or NULL. */
static BoardRole *
longest_waiting(TimestampTz now, int *n_waiting)
{
	HASH_SEQ_STATUS status;
	BoardRole *role;
	BoardRole *longest = NULL;

	*n_waiting = 0;
	board_scan_begin(&status);
	while ((role = hash_seq_search(&status)) != NULL)
	{
		if (!is_waiting(role, now))
			continue;
		(*n_waiting)++;
		if (longest == NULL || role->demand_since < longest->demand_since)
			longest = role;
	}
	return longest;
}

/* The executor that has been idle longest, and since before; NULL: none. */
static ExecutorSlot *
longest_idle(Oid database, Oid role, TimestampTz before)
{
	ExecutorSlot *idlest = NULL;

	for (int i = 0; i < MAX_EXECUTORS; i++)
	{
		ExecutorSlot *slot = &stent_shared->executors[i];

		if (slot->state == EXECUTOR_IDLE && !slot->leave && slot->since <= before &&
			!(slot->database == database && slot->role == role) &&
			(idlest == NULL || slot->since < idlest->since))
			idlest = slot;
	}
	return idlest;
}

/* Ask executors to make room for roles that wait; returns whose latch to set. */
static int
make_room(Oid database, Oid role, int n_waiting)
{
	ExecutorSlot *idlest;
	int leaving = 0;

	for (int i = 0; i < MAX_EXECUTORS; i++)
		leaving +=
			stent_shared->executors[i].state != EXECUTOR_FREE && stent_shared->executors[i].leave;
	if (leaving >= n_waiting)
		return -1;
	idlest = longest_idle(database, role, DT_NOEND);
	if (idlest != NULL)
	{
		idlest->leave = true;
		return idlest->proc;
	}
	stent_shared->yield_wanted = n_waiting - leaving;
	return -1;
}

/*
 * Take a slot for an executor of the role; -1 if it is not its turn. The caller
 * starts the process, which takes the slot over by slots_begin.
 */
int
slots_take(Oid database, Oid role, uint32 *generation)
{
	TimestampTz now = GetCurrentTimestamp();
	BoardRole *entry;
	BoardRole *first;
	int taken = -1;
	int wake = -1;
	int leaver = -1;
	int n_waiting;

	LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
	entry = board_role(database, role, true);
	first = longest_waiting(now, &n_waiting);
	if (entry == NULL)
		taken = -1;
	else if (first != NULL && first != entry)
	{
		DatabaseSlot *other = shmem_database(first->key.database, false);

		/* it is another's turn; if that is in another database, its scheduler must know */
		if (first->key.database != database && other != NULL)
			wake = other->scheduler;
		if (slots_used() >= max_executors(now))
			leaver = make_room(first->key.database, first->key.role, n_waiting);
	}
	else if (slots_used() < max_executors(now))
	{
		for (int i = 0; i < MAX_EXECUTORS && taken < 0; i++)
			if (stent_shared->executors[i].state == EXECUTOR_FREE)
				taken = i;
	}
	else if (first == entry)
		leaver = make_room(database, role, n_waiting);
	else
	{
		/* nobody waits, but who has too much to do may have the slot of one who does nothing */
		ExecutorSlot *idle = longest_idle(database, role, now - SLOT_KEEP_MS * INT64CONST(1000));

		if (idle != NULL)
		{
			idle->leave = true;
			leaver = idle->proc;
		}
	}
	if (taken >= 0)
	{
		ExecutorSlot *slot = &stent_shared->executors[taken];

		slot->generation++;
		slot->database = database;
		slot->role = role;
		slot->proc = -1;
		slot->pid = 0;
		slot->leave = slot->overdue = false;
		slot->begun = now;
		slot->seen = entry->changes;
		set_state(slot, EXECUTOR_STARTING);
		*generation = slot->generation;
		entry->executors++;
		entry->demand = entry->help = false;
		if (entry->executors == 1)
			stent_shared->yield_wanted = Max(0, stent_shared->yield_wanted - 1);
	}
	LWLockRelease(stent_shared->lock);
	shmem_set_latch(wake);
	shmem_set_latch(leaver);
	return taken;
}

/* A slot is free: wake all who may want it. */
static void
wake_those_in_want(void)
{
	HASH_SEQ_STATUS status;
	BoardRole *role;
	Oid last = InvalidOid;

	board_scan_begin(&status);
	while ((role = hash_seq_search(&status)) != NULL)
	{
		DatabaseSlot *database;

		if (!(role->demand || role->help) || role->key.database == last)
			continue;
		last = role->key.database;
		database = shmem_database(last, false);
		if (database != NULL)
			shmem_set_latch(database->scheduler);
	}
}

/*
 * Give a slot back; under the lock. Work that is left, or came since the executor
 * last looked, is noticed by another one of the role, or by the scheduler.
 */
static void
release(ExecutorSlot *slot, SlotEnd end, bool work_left, const char *problem)
{
	TimestampTz now = GetCurrentTimestamp();
	BoardRole *role = board_role(slot->database, slot->role, false);
	DatabaseSlot *database = shmem_database(slot->database, false);
	uint64 seen = slot->seen;

	if (role != NULL)
	{
		role->executors--;
		role->idle -= slot->state == EXECUTOR_IDLE;
		/* a task that ends its session does not make us start one after the other */
		if (end == SLOT_KILLED && now - slot->begun < USECS_PER_SEC)
			role->retry_at = Max(role->retry_at, now + USECS_PER_SEC);
		if (end == SLOT_FAILED)
		{
			int delay = 1 << Min(role->failures, 6);

			role->failures++;
			role->retry_at = now + Min(delay, FAILURES_MAX_DELAY_S) * USECS_PER_SEC;
			if (problem != NULL)
				strlcpy(role->problem, problem, sizeof(role->problem));
		}
	}
	slot->proc = -1;
	slot->pid = 0;
	slot->leave = false;
	set_state(slot, EXECUTOR_FREE);
	if (role != NULL && database != NULL && (work_left || role->changes != seen))
		shmem_set_latch(slots_notice(database, role));
	/* its own may have something else to do, such as to go */
	if (database != NULL)
		shmem_set_latch(database->scheduler);
	wake_those_in_want();
}

/* The process of a slot never came to life. */
void
slots_start_failed(int slot, uint32 generation, const char *problem)
{
	ExecutorSlot *entry = &stent_shared->executors[slot];

	LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
	if (entry->generation == generation && entry->state == EXECUTOR_STARTING)
		release(entry, SLOT_FAILED, true, problem);
	LWLockRelease(stent_shared->lock);
}

/*
 * No background worker could be had for a slot. That is no failure of the role, which
 * keeps its place in the queue: those there are have to do, by turns.
 */
void
slots_no_worker(int slot, uint32 generation)
{
	ExecutorSlot *entry = &stent_shared->executors[slot];
	TimestampTz now = GetCurrentTimestamp();
	BoardRole *role;

	LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
	if (entry->generation == generation && entry->state == EXECUTOR_STARTING)
	{
		role = board_role(entry->database, entry->role, false);
		if (role != NULL)
			role->demand = true;
		release(entry, SLOT_GIVEN_BACK, true, NULL);
	}
	if (stent_shared->exhausted_at == 0)
		stent_shared->exhausted_at = now;
	stent_shared->capacity = slots_used();
	stent_shared->capacity_until = TimestampTzPlusMilliseconds(now, (int64) CAPACITY_LASTS_MS);
	LWLockRelease(stent_shared->lock);
}

/* A background worker has ended: there may be room for another one. */
void
slots_worker_ended(void)
{
	LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
	stent_shared->capacity_until = 0;
	LWLockRelease(stent_shared->lock);
}

/* The executor's process takes its slot over; false if it came too late. */
bool
slots_begin(int slot, uint32 generation)
{
	ExecutorSlot *entry = &stent_shared->executors[slot];
	bool mine;

	LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
	mine = entry->generation == generation && entry->state == EXECUTOR_STARTING;
	if (mine)
	{
		entry->proc = MyProcIndex;
		entry->pid = MyProcPid;
		stent_shared->cold_starts++;
		set_state(entry, EXECUTOR_BUSY);
	}
	LWLockRelease(stent_shared->lock);
	return mine;
}

/* The executor goes. */
void
slots_end(int slot, SlotEnd end, bool work_left)
{
	LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
	release(&stent_shared->executors[slot], end, work_left,
			"the executor ended before it was ready; see the server log");
	LWLockRelease(stent_shared->lock);
}

/* The executor is about to look for work: what was demanded so far is its. */
uint64
slots_loop(int slot)
{
	ExecutorSlot *entry = &stent_shared->executors[slot];
	BoardRole *role;
	uint64 changes = 0;

	LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
	role = board_role(entry->database, entry->role, true);
	if (role != NULL)
	{
		changes = role->changes;
		role->demand = false;
	}
	entry->seen = changes;
	LWLockRelease(stent_shared->lock);
	return changes;
}

/* There was nothing: idle, unless something came since slots_loop. */
bool
slots_go_idle(int slot, uint64 seen)
{
	ExecutorSlot *entry = &stent_shared->executors[slot];
	BoardRole *role;
	bool idle;

	LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
	role = board_role(entry->database, entry->role, true);
	idle = role == NULL || role->changes == seen;
	if (idle)
	{
		set_state(entry, EXECUTOR_IDLE);
		if (role != NULL)
		{
			role->idle++;
			role->help = false;
		}
	}
	LWLockRelease(stent_shared->lock);
	return idle;
}

/*
 * The latch was set, or the time is up. True if somebody made this executor busy;
 * else it is still idle, or, after its time, no longer counted as such.
 */
bool
slots_woken(int slot, bool timed_out)
{
	ExecutorSlot *entry = &stent_shared->executors[slot];
	bool busy;

	LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
	busy = entry->state == EXECUTOR_BUSY;
	if (!busy && timed_out)
	{
		BoardRole *role = board_role(entry->database, entry->role, false);

		if (role != NULL)
			role->idle--;
		set_state(entry, EXECUTOR_BUSY);
	}
	LWLockRelease(stent_shared->lock);
	return busy;
}

/* The executor works: forget earlier failures of its role. */
void
slots_healthy(int slot)
{
	ExecutorSlot *entry = &stent_shared->executors[slot];
	BoardRole *role;

	LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
	role = board_role(entry->database, entry->role, false);
	if (role != NULL)
	{
		role->failures = 0;
		role->retry_at = 0;
		role->problem[0] = '\0';
	}
	LWLockRelease(stent_shared->lock);
}

/* There is more work than this executor can do at once: wake or ask for another. */
void
slots_want_help(Oid role)
{
	DatabaseSlot *database;
	BoardRole *entry;
	int wake = -1;

	LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
	database = shmem_database(MyDatabaseId, false);
	entry = database == NULL ? NULL : board_role(MyDatabaseId, role, false);
	if (entry != NULL && entry->idle > 0)
		wake = slots_notice(database, entry);
	else if (entry != NULL && !entry->help)
	{
		entry->help = true;
		if (!entry->demand)
			entry->demand_since = GetCurrentTimestamp();
		wake = database->scheduler;
	}
	LWLockRelease(stent_shared->lock);
	shmem_set_latch(wake);
}

/* Executors that are held up have seen more to do: wake others, or ask for one. */
void
slots_answer_overdue(Oid database)
{
	DatabaseSlot *slot;

	LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
	slot = shmem_database(database, false);
	for (int i = 0; i < MAX_EXECUTORS && slot != NULL; i++)
	{
		ExecutorSlot *executor = &stent_shared->executors[i];
		BoardRole *role;

		if (!executor->overdue || executor->database != database)
			continue;
		executor->overdue = false;
		role = board_role(database, executor->role, false);
		if (role == NULL || executor->state != EXECUTOR_BUSY)
			continue;
		if (role->idle > 0)
			shmem_set_latch(slots_notice(slot, role));
		else
			role->help = true;
	}
	LWLockRelease(stent_shared->lock);
}

/* What claimers of the role, or workers, passed over may be taken after all. */
void
slots_look_again(Oid role)
{
	DatabaseSlot *database;
	BoardRole *entry;
	int wake = -1;
	int scheduler = -1;

	LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
	database = shmem_database(MyDatabaseId, false);
	entry = database == NULL ? NULL : board_role(MyDatabaseId, role, false);
	if (entry != NULL)
	{
		entry->changes++;
		wake = slots_notice(database, entry);
	}
	if (database != NULL && wake_everybody(database))
		scheduler = database->scheduler;
	LWLockRelease(stent_shared->lock);
	shmem_set_latch(wake);
	shmem_set_latch(scheduler);
}

/* Between batches, or idle: whether somebody else needs the slot more. */
bool
slots_should_leave(int slot)
{
	ExecutorSlot *entry = &stent_shared->executors[slot];
	DatabaseSlot *database;
	BoardRole *role;
	bool leave;

	LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
	database = shmem_database(entry->database, false);
	role = board_role(entry->database, entry->role, false);
	leave = entry->leave || database == NULL || database->evicting > 0 || database->stopped ||
			slots_used() > stent_max_executors;
	if (!leave && stent_shared->yield_wanted > 0 && role != NULL &&
		(role->executors > 1 || entry->state == EXECUTOR_IDLE ||
		 TimestampDifferenceExceeds(entry->begun, GetCurrentTimestamp(), SLOT_TURN_MS)))
	{
		stent_shared->yield_wanted--;
		leave = true;
	}
	if (leave)
		entry->leave = true;
	LWLockRelease(stent_shared->lock);
	return leave;
}

/* Ask the executors of a database to go, the idle ones at once. */
void
slots_ask_to_leave(Oid database, bool all_states)
{
	int procs[MAX_EXECUTORS];
	int n = 0;

	LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < MAX_EXECUTORS; i++)
	{
		ExecutorSlot *slot = &stent_shared->executors[i];

		if (slot->state == EXECUTOR_FREE || slot->database != database ||
			!(all_states || slot->state == EXECUTOR_IDLE))
			continue;
		slot->leave = true;
		if (slot->proc >= 0)
			procs[n++] = slot->proc;
	}
	LWLockRelease(stent_shared->lock);
	for (int i = 0; i < n; i++)
		shmem_set_latch(procs[i]);
}
