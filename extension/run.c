/*
 * run.c
 *	  stent.run(): a batch of SQL tasks in the caller's transaction.
 *
 * Tasks are taken one at a time. For each: take its ready entry, read its row,
 * run the handler in a subtransaction (attempt.c), write its end (complete.c).
 * All of that commits with the caller's transaction or not at all.
 *
 * The batch ends early, so that the caller commits, where going on could harm
 * somebody: see batch_must_end. docs/how-a-task-runs.md lists each lock and what
 * each crash point leaves behind.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "archive.h"
#include "attempt.h"
#include "careful.h"
#include "claim.h"
#include "clock.h"
#include "commit_guard.h"
#include "compat.h"
#include "complete.h"
#include "due.h"
#include "fault.h"
#include "guc.h"
#include "intern.h"
#include "json.h"
#include "limit.h"
#include "line.h"
#include "place.h"
#include "ready.h"
#include "registry.h"
#include "run.h"
#include "run_batch.h"
#include "settle.h"
#include "shmem.h"
#include "slots.h"
#include "state_file.h"
#include "waiting.h"
#include "step.h"

/* so long may be spent on what is due and makes nobody ready */
#define PROMOTE_MOST_US 100000.0

volatile bool run_saw_more;

static bool running;

void
run_init(void)
{
	attempt_init();
}

/* Whether what was done so far must be committed before anything else starts. */
static bool
batch_must_end(Batch *batch)
{
	if (batch->must_end)
		return true;
	if (batch->done == 0)
		return false;
	return batch_elapsed_us(batch) >= stent_batch_time * 1000.0 ||
		   batch_subxids() + Max(batch->most_subxids, 1) > PGPROC_MAX_CACHED_SUBXIDS ||
		   place_count() >= PLACES_MANY || batch_somebody_waits();
}

/* Whether a task of the bucket's function may start now; if not, all of them are passed over. */
static bool
may_start(Batch *batch, int64 bucket)
{
	int32 id = lane_get(batch->store, ready_bucket_lane(bucket))->function_id;

	if (limit_enter(&batch->hold, batch->store, function_by_id(batch->store, id),
					batch->claimer.role_oid))
		return true;
	claim_pass_over_function(&batch->claimer, id);
	return false;
}

/* Look at the next entry whose task may start now. */
static bool
peek(Batch *batch, Candidate *candidate)
{
	while (claim_peek(&batch->claimer, candidate))
		if (may_start(batch, candidate->bucket))
			return true;
	return false;
}

/*
 * Whether the entry brings a task that may be run in this batch. Of a nudge, too, the
 * bucket tells which; but if that takes long, and others of its key could run beside
 * it, they would wait for this commit: that is for the scheduler, where there is one.
 */
static bool
may_promote(Batch *batch, const DueEntry *entry)
{
	const Lane *lane;

	if (entry->kind != DUE_NUDGE)
		return entry->kind == DUE_READY || entry->kind == DUE_WAIT || due_is_nudge(entry->kind);
	if (!batch->claimer.board)
		return true;
	lane = lane_get(batch->store, ready_bucket_lane(entry->bucket));
	return function_by_id(batch->store, lane->function_id)->max_per_key == 1 ||
		   batch_may_share(batch, lane->function_id);
}

/* The entry of the highest priority that may be served and was not tried, or NULL. */
static DueEntry *
best_due(Batch *batch, DueEntry *entries, int n)
{
	DueEntry *best;

	do
	{
		best = NULL;
		for (int i = 0; i < n; i++)
		{
			DueEntry *entry = &entries[i];

			if (may_promote(batch, entry) && claim_may_serve(&batch->claimer, entry->bucket) &&
				(best == NULL ||
				 ready_bucket_priority(entry->bucket) > ready_bucket_priority(best->bucket)))
				best = entry;
		}
	} while (best != NULL && !due_is_nudge(best->kind) && !may_start(batch, best->bucket));
	return best;
}

/*
 * Promote one task of ours that nobody holds, of at least this priority. What is due
 * and makes nobody ready (a nudge about an empty line, a task that has to wait for its
 * turn) must not keep us from what is behind it.
 */
static bool
promote_one(Batch *batch, Timestamp now, int min_priority)
{
	DueEntry *entries = palloc_array(DueEntry, DUE_BATCH);
	DueScan scan;
	bool done = false;
	int n;

	due_scan_begin(&scan, batch->store, batch->claimer.first, now);
	while (!done && (n = due_scan_page(&scan, entries, DUE_BATCH)) > 0)
	{
		DueEntry *best;

		while (!done && (best = best_due(batch, entries, n)) != NULL &&
			   ready_bucket_priority(best->bucket) >= min_priority)
		{
			uint64 inserts = ready_inserts;

			done = due_promote_one(batch->store, best) && ready_inserts != inserts;
			best->kind = '\0'; /* if not done, somebody holds it */
		}
		if (!done && batch_elapsed_us(batch) >= PROMOTE_MOST_US)
		{
			batch->more_due = true;
			break;
		}
	}
	due_scan_end(&scan);
	return done;
}

/* Promote a bounded number of what has come due of the role, whoever may serve it. */
static void
promote_some(Batch *batch, Timestamp now)
{
	if (due_promote(batch->store, batch->claimer.first, now, DUE_BATCH) == DUE_BATCH)
		batch->more_due = true;
}

/*
 * Before a batch: promote what has come due. Promoted tasks are invisible to
 * others until this transaction commits, so if the task that will run first may
 * take long, only that one is promoted and the rest is left to whoever comes.
 */
static void
promote_before(Batch *batch)
{
	Store *store = batch->store;
	Timestamp now = clock_now();
	DueEntry *entries = palloc_array(DueEntry, DUE_BATCH);
	DueScan scan;
	int n;
	Candidate ready;
	bool have_ready;
	DueEntry *best;
	int64 first;

	due_scan_begin(&scan, store, batch->claimer.first, now);
	n = due_scan_page(&scan, entries, DUE_BATCH);
	due_scan_end(&scan);
	if (n == 0)
		return;
	have_ready = peek(batch, &ready);
	best = best_due(batch, entries, n);
	if (best != NULL && have_ready &&
		ready_bucket_priority(ready.bucket) >= ready_bucket_priority(best->bucket))
		best = NULL;
	first = best != NULL ? best->bucket : have_ready ? ready.bucket : -1;
	if (first < 0)
	{
		/* what this call may serve can stand behind what it may not */
		if (!promote_one(batch, now, PRIORITY_MIN))
			promote_some(batch, now);
	}
	else if (batch_may_share(batch, lane_get(store, ready_bucket_lane(first))->function_id))
	{
		uint64 inserts = ready_inserts;
		bool sure = have_ready || !due_is_nudge(best->kind);

		promote_some(batch, now);
		if (!sure || (!have_ready && ready_inserts == inserts))
			(void) promote_one(batch, now, PRIORITY_MIN);
	}
	else if (best != NULL)
		(void) promote_one(batch, now,
						   have_ready ? ready_bucket_priority(ready.bucket) + 1 : PRIORITY_MIN);
}

/* Whether the task has crashed a server; such an entry says so by having no hint. */
static bool
has_crashed(Batch *batch, const Candidate *candidate)
{
	Task *task;

	if (ItemPointerIsValid(&candidate->task_tid))
		return false;
	task = task_find_live(batch->store, candidate->task_id);
	return task != NULL && task->crashed > 0;
}

/* Whether somebody cancels all of the task's execution: others need not begin it. */
static bool
is_doomed(Batch *batch, const Candidate *candidate)
{
	ItemPointerData hint = candidate->task_tid;

	return stent_shared != NULL && pg_atomic_read_u32(&stent_shared->cancelling_trees) > 0 &&
		   shmem_tree_cancelled(task_execution_at(batch->store, candidate->task_id, &hint));
}

/* Whether this one, and deciding who is next, would take more locks than one transaction should. */
static bool
has_many_places(const Candidate *candidate)
{
	return place_count() + 2 > PLACES_MANY && !place_is_held(PLACE_LINE, candidate->line);
}

/* Whether a task of a line that was taken may run; else it is blocked again. */
static bool
may_run_in_line(Batch *batch, Candidate *candidate, bool fresh_place)
{
	Task *task;

	if (line_allows(batch->store, candidate->line, candidate->bucket, candidate->position))
		return true;
	task = task_find_live_at(batch->store, candidate->task_id, &candidate->task_tid);
	if (task == NULL || task->state != TASK_READY)
		elog(ERROR, "ready entry of task " INT64_FORMAT " has no ready task", candidate->task_id);
	line_demote(batch->store, task);
	if (fresh_place)
		place_give_back(PLACE_LINE, candidate->line);
	return false;
}

/* Take and run one task; false when nothing (more) may be taken in this batch. */
static bool
run_next(Batch *batch)
{
	Candidate candidate;
	Task *task;
	int attempt;

	/* the limits first: what may not start must not end the batch */
	while (peek(batch, &candidate))
	{
		int32 function_id =
			lane_get(batch->store, ready_bucket_lane(candidate.bucket))->function_id;
		bool crashed = has_crashed(batch, &candidate);
		bool alone = crashed || commit_guard_is_suspect(candidate.task_id) ||
					 !batch_may_share(batch, function_id);
		bool fresh_place = false;

		if (is_doomed(batch, &candidate))
		{
			CHECK_FOR_INTERRUPTS();
			claim_pass_over(&batch->claimer);
			continue;
		}
		if ((alone || (candidate.line != NO_LINE && has_many_places(&candidate))) &&
			batch->done > 0)
		{
			batch->more = true;
			return false;
		}
		if (!shmem_claim(candidate.task_id) || (crashed && !careful_enter()))
		{
			claim_pass_over(&batch->claimer);
			continue;
		}
		if (candidate.line != NO_LINE &&
			!line_place(batch->store, candidate.line, candidate.bucket, &fresh_place))
		{
			careful_leave();
			claim_pass_over(&batch->claimer);
			continue;
		}
		if (!claim_take(&batch->claimer, &candidate))
		{
			careful_leave();
			if (fresh_place)
				place_give_back(PLACE_LINE, candidate.line);
			continue;
		}
		if (candidate.line != NO_LINE && !may_run_in_line(batch, &candidate, fresh_place))
		{
			careful_leave();
			continue;
		}
		run_saw_more = claim_has_more(&batch->claimer);
		if (alone)
		{
			batch->must_end = true;
			/* it may take long: what else is there is for another executor */
			if (attempt_session_is_own() && stent_shared != NULL && run_saw_more)
				slots_want_help(batch->claimer.role_oid);
		}
		task = task_find_live_at(batch->store, candidate.task_id, &candidate.task_tid);
		if (task == NULL || task->state != TASK_READY)
			elog(ERROR, "ready entry of task " INT64_FORMAT " has no ready task",
				 candidate.task_id);
		attempt = task->attempt;
		if (batch_run_task(batch, task))
		{
			commit_guard_add(task->id, task->replays, attempt);
			batch->done++;
		}
		shmem_claim_over();
		return true;
	}
	return false;
}

/* See what this transaction has done so far, and what others have committed. */
static void
next_snapshot(void)
{
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
}

static void
run_tasks(int max_tasks, char **queues, int n_queues, RunReport *report)
{
	Batch batch = {0};
	MemoryContext outer = CurrentMemoryContext;
	uint64 nudges = waiting_nudges;
	bool drained = false;

	(void) shmem_my_proc();
	function_caches_quiet();
	INSTR_TIME_SET_CURRENT(batch.started);

	/* what the caller deferred is the caller's error, not a task's */
	attempt_settle_constraints();

	batch.store = store_open("stent.run()");
	batch.task_cxt = AllocSetContextCreate(outer, "stent task", ALLOCSET_DEFAULT_SIZES);
	claim_begin(&batch.claimer, batch.store, GetUserNameFromId(GetUserId(), false), queues,
				n_queues, max_tasks);

	/* what was read ahead stays where it is: no page of it is pruned meanwhile */
	PushActiveSnapshot(GetTransactionSnapshot());
	next_snapshot();
	promote_before(&batch);
	PopActiveSnapshot();

	waiting_tell_later();
	for (;;)
	{
		bool ran;

		if (batch.done >= max_tasks || batch_must_end(&batch))
		{
			batch.more |= claim_has_more(&batch.claimer);
			break;
		}
		CHECK_FOR_INTERRUPTS();
		next_snapshot();
		MemoryContextSwitchTo(batch.task_cxt);
		ran = run_next(&batch);
		MemoryContextSwitchTo(outer);
		MemoryContextReset(batch.task_cxt);
		PopActiveSnapshot();
		if (!ran)
		{
			drained = !batch.more && !batch.more_due;
			break;
		}
	}

	waiting_tell_now(batch.store);
	/* what was promoted ended a map: its parent is next, after the commit */
	if (batch.done == 0 && waiting_nudges != nudges)
	{
		batch.more_due = true;
		drained = false;
	}
	limit_leave(&batch.hold, batch.store);
	claim_raise_heads(&batch.claimer);
	next_snapshot();
	/* the commit follows: what is promoted now is everybody's at once */
	if (batch.done > 0)
		(void) due_promote(batch.store, batch.claimer.first, clock_now(), DUE_BATCH);
	/* dropping may take long: not with finished tasks waiting for the commit */
	archive_housekeeping(clock_now(), batch.done == 0 && !IsTransactionBlock());
	PopActiveSnapshot();
	PopActiveSnapshot();
	store_close(batch.store);
	MemoryContextDelete(batch.task_cxt);
	report->done = batch.done;
	report->given_back = batch.given_back;
	report->more = batch.more;
	report->more_due = batch.more_due;
	report->drained = drained;
}

/* Run up to max_tasks tasks of the current user. */
void
run_batch(int max_tasks, char **queues, int n_queues, RunReport *report)
{
	if (running)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("stent.run() cannot be called by a handler"),
						errhint("Dispatch a task instead; it runs after this one commits.")));
	running = true;
	PG_TRY();
	{
		run_tasks(max_tasks, queues, n_queues, report);
	}
	PG_FINALLY();
	{
		running = false;
		steps_end(); /* of an error, which the caller may catch */
		shmem_claim_over();
	}
	PG_END_TRY();
}

static char **
queue_names(ArrayType *array, int *n)
{
	Datum *elements;
	bool *nulls;
	char **names;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, n);
	if (*n == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("queues must not be empty"),
				 errhint("Leave queues NULL to serve all.")));
	names = palloc_array(char *, *n);
	for (int i = 0; i < *n; i++)
	{
		if (nulls[i])
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("queue %d must not be null", i),
							errhint("Leave queues NULL to serve all.")));
		names[i] = TextDatumGetCString(elements[i]);
	}
	return names;
}

PG_FUNCTION_INFO_V1(stent_run);
Datum
stent_run(PG_FUNCTION_ARGS)
{
	char **queues = NULL;
	int n_queues = 0;
	int max_tasks;
	RunReport report = {0};

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("max_tasks must not be null"),
				 errhint("100 is a good size of a batch.")));
	max_tasks = PG_GETARG_INT32(0);
	if (max_tasks <= 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("max_tasks must be positive, not %d", max_tasks),
						errhint("100 is a good size of a batch.")));
	if (GetUserId() != GetSessionUserId())
		ereport(
			ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("stent.run() must be called by the session user"),
			 errdetail("current_user is \"%s\", session_user is \"%s\".",
					   GetUserNameFromId(GetUserId(), false),
					   GetUserNameFromId(GetSessionUserId(), false)),
			 errhint(
				 "A task runs in a session of the role that dispatched it: connect as that role.")));
	if (!PG_ARGISNULL(1))
		queues = queue_names(PG_GETARG_ARRAYTYPE_P(1), &n_queues);
	run_batch(max_tasks, queues, n_queues, &report);
	/* 0 would say that nothing is claimable */
	if (report.done == 0)
		report.done = Max(report.given_back, report.more_due ? 1 : 0);
	PG_RETURN_INT32(report.done);
}

static const Task *
require_task(const char *function)
{
	const Task *task = attempt_task();

	if (task == NULL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("%s belongs in a handler", function),
						errhint("It has a meaning only while stent runs a task in this session.")));
	return task;
}

PG_FUNCTION_INFO_V1(stent_execution_id);
Datum
stent_execution_id(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(require_task("stent.execution_id()")->execution_id);
}

PG_FUNCTION_INFO_V1(stent_task_id);
Datum
stent_task_id(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(require_task("stent.task_id()")->id);
}

PG_FUNCTION_INFO_V1(stent_attempt);
Datum
stent_attempt(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(require_task("stent.attempt()")->attempt + 1);
}

PG_FUNCTION_INFO_V1(stent_headers);
Datum
stent_headers(PG_FUNCTION_ARGS)
{
	const Task *task = require_task("stent.headers()");

	if (task->headers == NULL)
		PG_RETURN_JSONB_P(json_empty_object());
	PG_RETURN_JSONB_P(task->headers);
}
