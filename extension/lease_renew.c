/*
 * lease_renew.c
 *	  heartbeat(): a worker keeps what it leases; and what becomes of it if it does not.
 *
 * A heartbeat renews exactly the tasks it names: if others of the same row are not named
 * and not over, the row is split, and they expire at their old time. It never shortens a
 * lease.
 *
 * Expiry is decided by whoever acts on the due entry of the token. It locks a row without
 * waiting, reads the time in it, and, if that is over, gives each member back that is
 * still there: by writing the task's row, which is what the fence looks at. A member
 * that another transaction is at stays in the row for the next time. An expired lease
 * that nobody has looked at still holds.
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "announce.h"
#include "clock.h"
#include "complete.h"
#include "due.h"
#include "fault.h"
#include "intern.h"
#include "lease.h"
#include "lease_call.h"
#include "ready.h"

/* when a row that somebody was at is looked at again */
#define LOOK_AGAIN_US 100000

/* Renew some members of a row, those that are named; false if somebody is at the row. */
static bool
renew_row(LeaseCall *call, Lease *lease, const bool *named, Timestamp expires_at)
{
	Lease rest = *lease;
	int n = 0;
	int n_rest = 0;
	int dead = 0;

	rest.task_ids = palloc_array(int64, lease->n);
	rest.marks = palloc_array(int32, lease->n);
	for (int i = 0; i < lease->n; i++)
	{
		if (!named[i])
		{
			if (!lease_member_lives(call->store, lease, i))
			{
				dead++;
				continue;
			}
			rest.task_ids[n_rest] = lease->task_ids[i];
			rest.marks[n_rest++] = lease->marks[i];
			continue;
		}
		n++;
	}
	if (!lease_lock(call->store, lease, call->wait))
		return false;
	STENT_FAULT("heartbeat_after_lock");
	if (n_rest > 0 || dead > n)
	{
		n = 0;
		for (int i = 0; i < lease->n; i++)
			if (named[i])
			{
				lease->task_ids[n] = lease->task_ids[i];
				lease->marks[n++] = lease->marks[i];
			}
		lease->n = n;
	}
	lease->expires_at = Max(lease->expires_at, expires_at);
	if (n_rest > 0)
	{
		/* those that are not named keep the row, and their time */
		Lease renewed = *lease;

		rest.n = n_rest;
		rest.tid = lease->tid;
		if (!lease_update(call->store, &rest, true))
			elog(ERROR, "a lease changed under its owner");
		renewed.part = store_next_id();
		lease_insert(call->store, &renewed);
	}
	else if (!lease_update(call->store, lease, true))
		elog(ERROR, "a lease changed under its owner");
	return true;
}

/* Renew what is named of one token, from item first on; the others of it are answered, too. */
static void
renew_token(LeaseCall *call, int n, const int64 *task_ids, const int64 *tokens,
			LeaseOutcome *outcomes, bool *answered, int first, Timestamp expires_at)
{
	int64 token = tokens[first];
	int from;
	int to;
	bool **named;
	Lease **owners = palloc0_array(Lease *, n);

	lease_book_parts(&call->book, token, &from, &to);
	named = palloc0_array(bool *, Max(to - from, 1));
	for (int i = first; i < n; i++)
	{
		int member;

		if (answered[i] || tokens[i] != token)
			continue;
		answered[i] = true;
		if (lease_find_task(&call->book, token, task_ids[i], &owners[i], &member, &outcomes[i]) ==
			NULL)
		{
			owners[i] = NULL;
			continue;
		}
		for (int part = from; part < to; part++)
			if (call->book.leases[part] == owners[i])
			{
				if (named[part - from] == NULL)
					named[part - from] = palloc0_array(bool, owners[i]->n);
				named[part - from][member] = true;
			}
	}
	for (int part = from; part < to; part++)
	{
		Lease *lease = call->book.leases[part];

		if (named[part - from] == NULL || renew_row(call, lease, named[part - from], expires_at))
			continue;
		for (int i = first; i < n; i++)
			if (owners[i] == lease)
				outcomes[i] = LEASE_BUSY;
	}
}

static void
renew(LeaseCall *call, int n, const int64 *task_ids, const int64 *tokens, LeaseOutcome *outcomes,
	  int64 us)
{
	bool *answered = palloc0_array(bool, n);
	Timestamp expires_at = clock_now() + us;

	for (int i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!answered[i])
			renew_token(call, n, task_ids, tokens, outcomes, answered, i, expires_at);
	}
}

PG_FUNCTION_INFO_V1(stent_heartbeat);
Datum
stent_heartbeat(PG_FUNCTION_ARGS)
{
	int64 task_id = lease_call_id(fcinfo, 0, "task_id");
	int64 token = lease_call_id(fcinfo, 1, "token");
	int64 us = lease_call_duration(fcinfo, 2);
	LeaseOutcome outcome;
	LeaseCall call;

	lease_call_begin(&call, "stent.heartbeat()", true);
	renew(&call, 1, &task_id, &token, &outcome, us);
	while (outcome == LEASE_BUSY)
	{
		/* somebody was at the row, and has committed: see what has become of it */
		lease_call_look_again(&call);
		renew(&call, 1, &task_id, &token, &outcome, us);
	}
	if (outcome == LEASE_HELD)
	{
		int member;

		/* a longer one was not shortened */
		us = lease_book_find(&call.book, token, task_id, &member)->expires_at - clock_now();
	}
	lease_call_end(&call);
	if (outcome != LEASE_HELD)
		lease_refuse(task_id, token, outcome);
	PG_RETURN_INTERVAL_P(interval_from_us(us));
}

PG_FUNCTION_INFO_V1(stent_heartbeat_many);
Datum
stent_heartbeat_many(PG_FUNCTION_ARGS)
{
	int64 *task_ids;
	int64 *tokens;
	int n = lease_call_ids(fcinfo, &task_ids, &tokens);
	int64 us = lease_call_duration(fcinfo, 2);
	LeaseOutcome *outcomes = palloc_array(LeaseOutcome, n);
	const char **words = palloc_array(const char *, n);
	LeaseCall call;

	lease_call_begin(&call, "stent.heartbeat_many()", false);
	renew(&call, n, task_ids, tokens, outcomes, us);
	lease_call_end(&call);
	for (int i = 0; i < n; i++)
		words[i] = lease_call_word(outcomes[i]);
	PG_RETURN_DATUM(lease_call_words(words, n));
}

/* Give a member back whose lease is over; false if another transaction is at it. */
static bool
lose_member(LeaseBook *book, Lease *lease, int i)
{
	Store *store = book->store;
	LeaseOutcome outcome;
	Lease *found;
	int member;
	Task *task = lease_find_task(book, lease->token, lease->task_ids[i], &found, &member, &outcome);

	if (task == NULL || found != lease)
		return true;
	outcome = lease_lock_task(store, task, LockTupleExclusive, false);
	if (outcome != LEASE_HELD)
		return outcome == LEASE_LOST;
	STENT_FAULT("expire_after_lock");
	task->holds_no_places = !lease->places;
	task_move(store, task, TASK_RUNNING);
	if (task->deadline != NO_TIME && clock_now() >= task->deadline)
		complete_past_deadline(store, task);
	else
		complete_lost(store, task);
	return true;
}

/* A row whose time is over: true if it is gone, with all its members. */
static bool
expire_row(LeaseBook *book, Lease *lease)
{
	Store *store = book->store;
	int left = 0;

	if (!lease_lock(store, lease, false))
		return false;
	STENT_FAULT("expire_after_lease");
	for (int i = 0; i < lease->n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (lose_member(book, lease, i))
			continue;
		lease->task_ids[left] = lease->task_ids[i];
		lease->marks[left++] = lease->marks[i];
	}
	if (left == 0)
	{
		if (!lease_delete(store, lease))
			elog(ERROR, "a lease changed under its owner");
		return true;
	}
	lease->n = left;
	if (!lease_update(store, lease, true))
		elog(ERROR, "a lease changed under its owner");
	return false;
}

/*
 * Act on the due entry of a token; false if somebody else does. Rows that were renewed, or
 * that others are at, get another entry. A row that goes on need not know of it: then the
 * entry outlives the row, and goes when its time comes.
 */
bool
lease_due(Store *store, const DueEntry *entry)
{
	ItemPointerData tid = entry->tid;
	Timestamp now = clock_now();
	Timestamp next = DT_NOEND;
	LeaseBook book;
	int from;
	int to;

	if (store_delete(store_table(store, STORE_DUE), &tid, false) != TM_Ok)
		return false;
	announce_due_taken(lane_role(lane_get(store, ready_bucket_lane(entry->bucket))), entry->bucket,
					   entry->due_at, entry->kind);
	STENT_FAULT("expire_after_due");
	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	lease_book_begin(&book, store);
	lease_book_parts(&book, entry->task_id, &from, &to);
	for (int i = from; i < to; i++)
	{
		Lease *lease = book.leases[i];

		if (lease->expires_at > now)
			next = Min(next, lease->expires_at);
		else if (!expire_row(&book, lease))
			next = Min(next, now + LOOK_AGAIN_US);
	}
	for (int i = from; i < to && next != DT_NOEND; i++)
	{
		Lease *lease = book.leases[i];

		if (lease->expires_at <= now)
			continue;
		lease->due_at = next;
		(void) lease_update(store, lease, false);
	}
	PopActiveSnapshot();
	if (next != DT_NOEND)
		due_insert(store, next, entry->task_id, DUE_LEASE, entry->bucket);
	return true;
}
