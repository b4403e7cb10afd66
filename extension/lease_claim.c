/*
 * lease_claim.c
 *	  claim(): a worker takes ready external tasks, of all roles.
 *
 * Each role's tasks are claimed as an executor would (claim.c), one at a time, by
 * deleting their ready entries; among the roles the highest priority goes first, and
 * equals take turns. What was taken gets one row of stent.lease (lease.c) and one due
 * entry for its expiry. A task that has lost a worker before gets a lease of its own: what
 * takes its worker with it must not be charged to its neighbours again and again.
 *
 * Chunks of maps stand in lanes of their own, which only those claim from who ask for them.
 *
 * Limits hold as they do for executors, but outlive the transaction: see place.c.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "access/xact.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "announce.h"
#include "archive.h"
#include "attempt.h"
#include "board.h"
#include "claim.h"
#include "clock.h"
#include "complete.h"
#include "due.h"
#include "fault.h"
#include "intern.h"
#include "json.h"
#include "lease.h"
#include "lease_call.h"
#include "line.h"
#include "map.h"
#include "observe.h"
#include "place.h"
#include "rate.h"
#include "ready.h"
#include "registry.h"
#include "shmem.h"

/* One range of the ready table that is claimed from: a role, mostly. */
typedef struct Source
{
	Claimer claimer;
	bool looked; /* at its next entry: */
	bool has;
	Candidate next;
} Source;

/* What was taken for the next task of a limited function. */
typedef struct Hold
{
	int32 function_id;
	PlaceSearch search;
	int number; /* of a place; -1: none is needed */
	bool token;
	RateTime taken; /* the token */
	bool ready;     /* the next one may start */
} Hold;

/* A task that was taken. */
typedef struct Taken
{
	Task *task;
	Jsonb *items; /* of a chunk; NULL: it is none */
	int n_items;
	bool places;
	bool alone;
} Taken;

typedef struct Claim
{
	Store *store;
	const char *worker;
	char **queues; /* NULL: all */
	int n_queues;
	ClaimFilter filter;
	int max;
	int64 lease_us;
	Source *sources;
	int n_sources;
	int max_sources;
	Hold *holds;
	int n_holds;
	int max_holds;
	Taken *taken;
	int n_taken;
} Claim;

/* whose turn it was last, among equals */
static int64 last_source = -1;

static void
add_source(Claim *claim, const char *role, int64 first_bucket)
{
	Source *source;

	if (claim->n_sources == claim->max_sources)
	{
		claim->max_sources = Max(2 * claim->max_sources, 8);
		claim->sources = claim->sources == NULL
							 ? palloc_array(Source, claim->max_sources)
							 : repalloc_array(claim->sources, Source, claim->max_sources);
	}
	source = &claim->sources[claim->n_sources++];
	source->looked = false;
	claim_begin_for_worker(&source->claimer, claim->store, role, first_bucket, claim->queues,
						   claim->n_queues, &claim->filter, claim->max);
}

/*
 * Where there is work: the board knows the roles, if it knows all; false if not. What this
 * transaction has made ready itself is not there yet.
 */
static bool
find_sources_by_board(Claim *claim)
{
	Oid *roles;
	int n = stent_shared == NULL ? -1 : board_roles(&roles);

	if (n < 0)
		return false;
	n = announce_own_roles(&roles, n);
	for (int i = 0; i < n; i++)
	{
		char *role = GetUserNameFromId(roles[i], true);

		if (role != NULL)
			add_source(claim, role, ready_first_bucket(role));
	}
	return true;
}

/* The same by the index: each hash of roles that has an entry. Needs a snapshot. */
static void
find_sources_by_index(Claim *claim)
{
	int64 from = 0;

	while (ready_seek(claim->store, from, PG_INT64_MAX))
	{
		int64 position;
		int64 bucket = ready_found(claim->store, &position);

		CHECK_FOR_INTERRUPTS();
		add_source(claim, NULL, ready_role_start(bucket));
		from = ready_role_end(bucket);
	}
}

/*
 * Promote a bounded number of what has come due, of each role. Nothing is read of what is
 * due later: those are mostly leases that have ended, which a held snapshot keeps.
 */
static void
promote(Claim *claim)
{
	Timestamp now = clock_now();
	int64 bucket = 0;

	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	while (due_next_role(claim->store, ready_role_key(bucket), &bucket))
	{
		CHECK_FOR_INTERRUPTS();
		(void) due_promote(claim->store, bucket, now, DUE_BATCH);
		bucket = ready_role_end(bucket);
	}
	PopActiveSnapshot();
}

static Hold *
hold_of(Claim *claim, const Function *function)
{
	Hold *hold;

	for (int i = 0; i < claim->n_holds; i++)
		if (claim->holds[i].function_id == function->id)
			return &claim->holds[i];
	if (claim->n_holds == claim->max_holds)
	{
		claim->max_holds = Max(2 * claim->max_holds, 4);
		claim->holds = claim->holds == NULL ? palloc_array(Hold, claim->max_holds)
											: repalloc_array(claim->holds, Hold, claim->max_holds);
	}
	hold = &claim->holds[claim->n_holds++];
	*hold = (Hold){
		.function_id = function->id,
		.number = -1,
		.search = {.kind = PLACE_FUNCTION, .what = function->id, .n = function->max_concurrent}};
	return hold;
}

/* Have what one more task of a limited function needs; false if it may not start now. */
static bool
enter(Claim *claim, const Function *function)
{
	Hold *hold = hold_of(claim, function);
	Timestamp next;

	if (hold->ready)
		return true;
	if (function->max_concurrent > 0)
	{
		hold->number = place_claim(claim->store, &hold->search);
		if (hold->number < 0)
			return false;
	}
	if (function->rate_limit > 0)
	{
		hold->token = rate_take(claim->store, function, &hold->taken, &next);
		if (!hold->token)
		{
			if (hold->number >= 0)
				place_unclaim(&hold->search, hold->number);
			hold->number = -1;
			if (stent_shared != NULL && next != DT_NOEND)
				announce_token_at(InvalidOid, next);
			return false;
		}
	}
	hold->ready = true;
	return true;
}

/* A task of the function starts; whether it holds a place. */
static bool
use(Claim *claim, const Function *function, int64 task_id)
{
	Hold *hold;
	int number;

	if (function->max_concurrent == 0 && function->rate_limit == 0)
		return false;
	hold = hold_of(claim, function);
	number = hold->number;
	if (number >= 0)
		place_keep(claim->store, PLACE_FUNCTION, function->id, number, task_id);
	hold->number = -1;
	hold->token = hold->ready = false;
	return number >= 0;
}

/* Give back what no task was found for. */
static void
leave(Claim *claim)
{
	for (int i = 0; i < claim->n_holds; i++)
	{
		Hold *hold = &claim->holds[i];

		if (hold->token)
			rate_give_back(claim->store, function_by_id(claim->store, hold->function_id),
						   &hold->taken);
		if (hold->number >= 0)
			place_unclaim(&hold->search, hold->number);
	}
}

static int32
function_of(const Claim *claim, int64 bucket)
{
	return lane_get(claim->store, ready_bucket_lane(bucket))->function_id;
}

/* The source whose turn it is, with its next entry at hand; NULL if nothing is left. */
static Source *
choose(Claim *claim)
{
	Source *best = NULL;

	for (int i = 0; i < claim->n_sources; i++)
	{
		Source *source = &claim->sources[i];
		int order;

		if (!source->looked)
			source->has = claim_peek(&source->claimer, &source->next);
		source->looked = true;
		if (!source->has)
			continue;
		order = best == NULL ? 1
							 : ready_bucket_priority(source->next.bucket) -
								   ready_bucket_priority(best->next.bucket);
		/* of equals the first one after the last served, or the first at all */
		if (order > 0 || (order == 0 && source->claimer.first > last_source &&
						  best->claimer.first <= last_source))
			best = source;
	}
	return best;
}

static void
pass_over_function(Claim *claim, int32 function_id)
{
	for (int i = 0; i < claim->n_sources; i++)
	{
		claim_pass_over_function(&claim->sources[i].claimer, function_id);
		claim->sources[i].looked = false;
	}
}

/* End a chunk of which all items were done before. */
static void
end_chunk(Claim *claim, Task *task, Jsonb *no_items)
{
	Attempt attempt = {0};

	/* what was noted of the items is read again */
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	task->started_at = clock_now();
	chunk_given(claim->store, task, no_items, &attempt);
	(void) chunk_settle(claim->store, task, &attempt);
	PopActiveSnapshot();
}

/* A task that was taken: it may be over already, else it is the worker's. */
static void
keep(Claim *claim, const Candidate *candidate, const Function *function, int line_number)
{
	ItemPointerData hint = candidate->task_tid;
	Task *task = task_find_live_at(claim->store, candidate->task_id, &hint);
	Jsonb *items = NULL;
	int n_items = 0;
	Taken *taken;

	if (task == NULL || task->state != TASK_READY)
		elog(ERROR, "ready entry of task " INT64_FORMAT " has no ready task", candidate->task_id);
	task_move(claim->store, task, TASK_RUNNING);
	if (task->deadline != NO_TIME && clock_now() >= task->deadline)
	{
		if (line_number >= 0)
			line_unclaim(claim->store, candidate->line, line_number);
		complete_past_deadline(claim->store, task);
		return;
	}
	if (task->chunk >= 0)
		items = chunk_open_items(claim->store, task, &n_items);
	if (items != NULL && n_items == 0)
	{
		end_chunk(claim, task, items);
		return;
	}
	taken = &claim->taken[claim->n_taken++];
	taken->task = task;
	taken->items = items;
	taken->n_items = n_items;
	taken->alone = task->lost > 0;
	taken->places = use(claim, function, task->id);
	if (line_number >= 0)
	{
		place_keep(claim->store, PLACE_LINE, candidate->line, line_number, task->id);
		taken->places = true;
	}
	STENT_FAULT("claim_lease_after_take");
}

/* A task of a line was taken that has to wait for older ones. */
static void
demote(Claim *claim, const Candidate *candidate, int line_number)
{
	ItemPointerData hint = candidate->task_tid;
	Task *task = task_find_live_at(claim->store, candidate->task_id, &hint);

	if (task == NULL || task->state != TASK_READY)
		elog(ERROR, "ready entry of task " INT64_FORMAT " has no ready task", candidate->task_id);
	line_demote(claim->store, task);
	line_unclaim(claim->store, candidate->line, line_number);
}

/* Take one task, or pass over one; false if nothing is left. */
static bool
take_next(Claim *claim)
{
	Source *source = choose(claim);
	Candidate candidate;
	const Function *function;
	int line_number = -1;

	if (source == NULL)
		return false;
	candidate = source->next;
	function = function_by_id(claim->store, function_of(claim, candidate.bucket));
	/* each place is a lock until the commit */
	if ((candidate.line != NO_LINE || function->max_concurrent > 0) &&
		place_count() + 2 > PLACES_MANY)
		return false;
	if ((function->max_concurrent > 0 || function->rate_limit > 0) && !enter(claim, function))
	{
		pass_over_function(claim, function->id);
		return true;
	}
	source->looked = false;
	if (candidate.line != NO_LINE)
	{
		line_number = line_claim(claim->store, candidate.line, candidate.bucket);
		if (line_number < 0)
		{
			claim_pass_over(&source->claimer);
			return true;
		}
	}
	if (!claim_take(&source->claimer, &candidate))
	{
		if (line_number >= 0)
			line_unclaim(claim->store, candidate.line, line_number);
		return true;
	}
	last_source = source->claimer.first;
	if (line_number >= 0 &&
		!line_allows(claim->store, candidate.line, candidate.bucket, candidate.position))
		demote(claim, &candidate, line_number);
	else
		keep(claim, &candidate, function, line_number);
	return true;
}

static int64
bucket_of(Store *store, const Task *task)
{
	return ready_bucket(lane_get(store, task->lane_id)->role, task->priority, task->lane_id);
}

/* Write a lease for some of what was taken; returns its token. */
static int64
write_lease(Claim *claim, Taken **members, int n, Timestamp now)
{
	Lease lease = {.token = lease_new_token(),
				   .worker = claim->worker,
				   .claimed_at = now,
				   .expires_at = now + claim->lease_us,
				   .due_at = now + claim->lease_us,
				   .n = n,
				   .task_ids = palloc_array(int64, n),
				   .marks = palloc_array(int32, n)};

	lease.bucket = bucket_of(claim->store, members[0]->task);
	for (int i = 0; i < n; i++)
	{
		lease.task_ids[i] = members[i]->task->id;
		lease.marks[i] = lease_mark(members[i]->task);
		lease.places |= members[i]->places;
	}
	lease_insert(claim->store, &lease);
	STENT_FAULT("claim_after_lease");
	due_insert(claim->store, lease.due_at, lease.token, DUE_LEASE, lease.bucket);
	return lease.token;
}

enum
{
	COLUMN_TASK_ID,
	COLUMN_TOKEN,
	COLUMN_EXECUTION_ID,
	COLUMN_FUNCTION,
	COLUMN_QUEUE,
	COLUMN_PRIORITY,
	COLUMN_ATTEMPT,
	COLUMN_ARGS,
	COLUMN_HEADERS,
	COLUMN_VERSION,
	COLUMN_ROLE,
	COLUMN_TIMEOUT,
	COLUMN_TIME_LEFT,
	COLUMN_LEASE,
	COLUMN_ITEMS, /* 0.4 has none; nor has it chunks */
	COLUMNS
};

static void
put_row(Claim *claim, ReturnSetInfo *set, const Taken *taken, int64 token, Timestamp now)
{
	const Task *task = taken->task;
	Store *store = claim->store;
	const Lane *lane = lane_get(store, task->lane_id);
	const Function *function = function_by_id(store, task->function_id);
	Jsonb *args = taken->items;
	Datum values[COLUMNS];
	bool nulls[COLUMNS] = {0};

	if (args == NULL)
		args = task->args_ref != NO_ID ? payload_get(store, task->args_ref) : task->args;

	values[COLUMN_TASK_ID] = Int64GetDatum(task->id);
	values[COLUMN_TOKEN] = Int64GetDatum(token);
	values[COLUMN_EXECUTION_ID] = Int64GetDatum(task->execution_id);
	values[COLUMN_FUNCTION] = CStringGetTextDatum(function->name);
	values[COLUMN_QUEUE] = CStringGetTextDatum(lane->queue);
	values[COLUMN_PRIORITY] = Int32GetDatum(task->priority);
	values[COLUMN_ATTEMPT] = Int32GetDatum(task->attempt + 1);
	values[COLUMN_ARGS] = JsonbPGetDatum(args);
	values[COLUMN_HEADERS] =
		JsonbPGetDatum(task->headers != NULL ? task->headers : json_empty_object());
	nulls[COLUMN_VERSION] = function->version == NULL;
	if (function->version != NULL)
		values[COLUMN_VERSION] = CStringGetTextDatum(function->version);
	values[COLUMN_ROLE] = CStringGetTextDatum(lane->role);
	values[COLUMN_TIMEOUT] = IntervalPGetDatum(task->timeout);
	nulls[COLUMN_TIMEOUT] = task->timeout == NULL;
	nulls[COLUMN_TIME_LEFT] = task->deadline == NO_TIME;
	if (task->deadline != NO_TIME)
		values[COLUMN_TIME_LEFT] =
			IntervalPGetDatum(interval_from_us(Max(task->deadline - now, 0)));
	values[COLUMN_LEASE] = IntervalPGetDatum(interval_from_us(claim->lease_us));
	values[COLUMN_ITEMS] = Int32GetDatum(taken->n_items);
	nulls[COLUMN_ITEMS] = taken->items == NULL;
	tuplestore_putvalues(set->setResult, set->setDesc, values, nulls);
}

/* Lease what was taken, and answer. */
static void
hand_out(Claim *claim, ReturnSetInfo *set)
{
	Timestamp now = clock_now();
	Taken **together = palloc_array(Taken *, Max(claim->n_taken, 1));
	int n = 0;
	int64 token = 0;

	for (int i = 0; i < claim->n_taken; i++)
		if (!claim->taken[i].alone)
			together[n++] = &claim->taken[i];
	if (n > 0)
		token = write_lease(claim, together, n, now);
	for (int i = 0; i < claim->n_taken; i++)
	{
		Taken *one = &claim->taken[i];

		put_row(claim, set, one, one->alone ? write_lease(claim, &one, 1, now) : token, now);
	}
}

static void
do_claim(Claim *claim, ReturnSetInfo *set)
{
	bool by_board;

	(void) shmem_my_proc();
	function_caches_quiet();
	claim->store = store_open("stent.claim()");
	claim->taken = palloc_array(Taken, claim->max);
	/* what is read ahead stays where it is: no page of it is pruned meanwhile */
	PushActiveSnapshot(GetTransactionSnapshot());
	promote(claim);
	CommandCounterIncrement();
	/* the board is looked at before the snapshot is taken with which entries are read */
	by_board = find_sources_by_board(claim);
	PushActiveSnapshot(GetTransactionSnapshot());
	if (!by_board)
		find_sources_by_index(claim);
	while (claim->n_taken < claim->max && take_next(claim))
		CHECK_FOR_INTERRUPTS();
	leave(claim);
	for (int i = 0; i < claim->n_sources; i++)
		claim_raise_heads(&claim->sources[i].claimer);
	hand_out(claim, set);
	PopActiveSnapshot();
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	archive_housekeeping(clock_now(), claim->n_taken == 0 && !IsTransactionBlock());
	PopActiveSnapshot();
	PopActiveSnapshot();
	store_close(claim->store);
}

/* An array of names; NULL: all of them. */
static char **
names_argument(FunctionCallInfo fcinfo, int arg, const char *what, int *n)
{
	Datum *elements;
	bool *nulls;
	char **names;

	*n = 0;
	if (PG_ARGISNULL(arg))
		return NULL;
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(arg), TEXTOID, -1, false, TYPALIGN_INT, &elements,
					  &nulls, n);
	if (*n == 0 && strcmp(what, "tags") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s must not be empty", what),
				 errhint("Leave %s NULL to serve all.", what)));
	names = palloc_array(char *, Max(*n, 1));
	for (int i = 0; i < *n; i++)
	{
		if (nulls[i])
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("%s must not have a null, as element %d has", what, i + 1),
							errhint("Leave %s NULL to serve all.", what)));
		names[i] = TextDatumGetCString(elements[i]);
	}
	return *n == 0 ? NULL : names;
}

PG_FUNCTION_INFO_V1(stent_claim);
Datum
stent_claim(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *set = observe_begin_set(fcinfo);
	Claim claim = {0};

	if (attempt_task() != NULL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("stent.claim() cannot be called by a handler"),
						errhint("A worker calls it, in a transaction of its own.")));
	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("worker must not be null"),
						errhint("Give the worker a name; the views show it.")));
	if (PG_ARGISNULL(1))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("max must not be null"),
						errhint("Give the number of tasks the worker can begin now.")));
	claim.worker = check_name(PG_GETARG_TEXT_PP(0), "the name of a worker");
	claim.max = PG_GETARG_INT32(1);
	if (claim.max < 1 || claim.max > LEASE_MAX_BATCH)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("max must be from 1 to %d, not %d", LEASE_MAX_BATCH, claim.max),
						errhint("Give the number of tasks the worker can begin now.")));
	claim.filter.functions = names_argument(fcinfo, 2, "functions", &claim.filter.n_functions);
	claim.queues = names_argument(fcinfo, 3, "queues", &claim.n_queues);
	claim.filter.tags = names_argument(fcinfo, 4, "tags", &claim.filter.n_tags);
	claim.lease_us = lease_call_duration(fcinfo, 5);
	/* 0.4 does not ask */
	if (PG_NARGS() > 6)
	{
		if (PG_ARGISNULL(6))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("chunks must not be null"),
					 errhint("Give true if the worker can run chunks of maps, else false.")));
		claim.filter.chunks = PG_GETARG_BOOL(6);
	}
	do_claim(&claim, set);
	return (Datum) 0;
}
