/*
 * await_all.c
 *	  await_all() outside of a handler: sleeping until many tasks have finished.
 *
 * Each task is looked at until it has finished, the first look sees all of them, later
 * ones as many unfinished ones as concurrency_limit says, in the order they were given.
 * The look at one that has not finished is a probe of its row by key; what has ended is
 * read together, as the caller.
 *
 * Nobody is told of every end: one unfinished task is published as wait_for() does it
 * (wait.c), and the range of all that are watched, of which any that fails wakes as well.
 * When the published one ends, all are looked at and another is published, one in the
 * middle of what is left: in whatever order they end, about half of what was left has
 * ended by then, so a thousand take ten looks. What is published is looked at afterwards, so
 * no end is missed, and a failure or the last end is never late.
 *
 * In a handler the same functions are a step (step_calls.h).
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "attempt.h"
#include "await_all.h"
#include "clock.h"
#include "compat.h"
#include "errors.h"
#include "json.h"
#include "outcome.h"
#include "step_calls.h"
#include "store.h"
#include "wait.h"

/* A task that is waited for, once however often its id was given. */
typedef struct Awaited
{
	Outcome outcome; /* with its results, once it has finished */
	int index;       /* the first it was given at */
} Awaited;

typedef struct AwaitAll
{
	int n;
	Awaited **at;      /* by index of the ids */
	Awaited **waiting; /* not finished yet, by index */
	int n_waiting;
	int n_tasks;
	int limit; /* of those that are watched */
	bool looked;
	int64 limit_us; /* 0: none */
	instr_time begun;
	MemoryContext cxt;   /* of the call */
	MemoryContext looks; /* reset before each look */
} AwaitAll;

typedef struct Given
{
	int64 id;
	int index;
} Given;

static int
compare_given(const void *a, const void *b)
{
	const Given *x = a;
	const Given *y = b;

	if (x->id != y->id)
		return x->id < y->id ? -1 : 1;
	return x->index < y->index ? -1 : 1;
}

static void
await_begin(AwaitAll *wait, FunctionCallInfo fcinfo)
{
	int64 *ids;
	Given *given;
	Awaited *tasks;

	memset(wait, 0, sizeof(*wait));
	INSTR_TIME_SET_CURRENT(wait->begun);
	wait->cxt = CurrentMemoryContext;
	wait->n = await_all_arguments(fcinfo, &ids, &wait->limit, &wait->limit_us);
	wait->looks = AllocSetContextCreate(wait->cxt, "stent wait", ALLOCSET_DEFAULT_SIZES);
	given = palloc_array(Given, Max(wait->n, 1));
	tasks = palloc0_array(Awaited, Max(wait->n, 1));
	wait->at = palloc_array(Awaited *, Max(wait->n, 1));
	wait->waiting = palloc_array(Awaited *, Max(wait->n, 1));
	for (int i = 0; i < wait->n; i++)
		given[i] = (Given){ids[i], i};
	qsort(given, wait->n, sizeof(Given), compare_given);
	for (int i = 0; i < wait->n; i++)
	{
		if (i == 0 || given[i].id != given[i - 1].id)
		{
			tasks[wait->n_tasks].outcome.id = given[i].id;
			tasks[wait->n_tasks++].index = given[i].index;
		}
		wait->at[given[i].index] = &tasks[wait->n_tasks - 1];
	}
	for (int i = 0; i < wait->n; i++)
		if (wait->at[i]->index == i)
			wait->waiting[wait->n_waiting++] = wait->at[i];
	pfree(given);
}

/* How many of those that wait are watched. */
static int
watched(const AwaitAll *wait)
{
	return wait->looked ? Min(wait->limit, wait->n_waiting) : wait->n_waiting;
}

/* Have the session woken by one of those that are watched, and by each that fails. */
static void
publish(const AwaitAll *wait)
{
	int n = Min(wait->limit, wait->n_waiting);
	int64 from = wait->waiting[0]->outcome.id;
	int64 to = from;

	for (int i = 1; i < n; i++)
	{
		from = Min(from, wait->waiting[i]->outcome.id);
		to = Max(to, wait->waiting[i]->outcome.id);
	}
	wait_publish(wait->waiting[n / 2]->outcome.id, from, to);
}

/* Read those of the watched that do not live any more. */
static void
read_ended(AwaitAll *wait)
{
	int n = watched(wait);
	Outcome **ended = palloc_array(Outcome *, n);
	int n_ended = 0;
	Store *store = store_open_to_read();
	MemoryContext old;

	for (int i = 0; i < n; i++)
	{
		Outcome *outcome = &wait->waiting[i]->outcome;

		outcome->found = await_all_lives(store, outcome->id);
		if (!outcome->found)
			ended[n_ended++] = outcome;
		CHECK_FOR_INTERRUPTS();
	}
	store_close(store);
	old = MemoryContextSwitchTo(wait->cxt);
	outcome_read_many(ended, n_ended);
	MemoryContextSwitchTo(old);
}

/*
 * Look how far the tasks are, with the latch reset before, so that what happens after the
 * look ends the next sleep. An error if one does not exist, or has failed. True if all
 * have finished.
 */
static bool
look(AwaitAll *wait)
{
	MemoryContext old;
	int n = watched(wait);
	int left = 0;

	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	MemoryContextReset(wait->looks);
	old = MemoryContextSwitchTo(wait->looks);
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	read_ended(wait);
	PopActiveSnapshot();
	MemoryContextSwitchTo(old);

	for (int i = 0; i < n; i++)
		if (!wait->waiting[i]->outcome.found)
			await_all_unknown(wait->waiting[i]->index, wait->waiting[i]->outcome.id);
	for (int i = 0; i < n; i++)
	{
		const Outcome *outcome = &wait->waiting[i]->outcome;

		if (outcome->finished && strcmp(outcome->state, "completed") != 0)
			outcome_raise(outcome,
						  await_all_detail(wait->waiting[i]->index, outcome->id, outcome->error));
	}
	for (int i = 0; i < wait->n_waiting; i++)
		if (!wait->waiting[i]->outcome.finished)
			wait->waiting[left++] = wait->waiting[i];
	wait->n_waiting = left;
	wait->looked = true;
	return left == 0;
}

/* Sleep until it is time for another look; an error once the wait has run out. */
static void
sleep_on(const AwaitAll *wait)
{
	const Awaited *first = wait->waiting[0];

	if (!wait_sleep(wait->begun, wait->limit_us))
		ereport(ERROR,
				(errcode(STENT_ERR_WAIT_RAN_OUT),
				 errmsg("%d of %d tasks have not finished after a wait of %s", wait->n_waiting,
						wait->n_tasks, duration_text(wait->limit_us)),
				 errdetail("The first of them is task " INT64_FORMAT " at index %d.",
						   first->outcome.id, first->index),
				 errhint("The wait is over, the tasks go on: wait again, ask stent.state_of(), or "
						 "stent.cancel() them.")));
}

/* A task this transaction has dispatched, replayed or given back would never begin. */
static void
refuse_own(const AwaitAll *wait)
{
	Store *store;

	PushActiveSnapshot(GetTransactionSnapshot());
	store = store_open_to_read();
	for (int i = 0; i < wait->n_waiting; i++)
		if (wait_is_own(store, wait->waiting[i]->outcome.id))
			ereport(
				ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("task " INT64_FORMAT
						" at index %d waits for this transaction and cannot be waited for in it",
						wait->waiting[i]->outcome.id, wait->waiting[i]->index),
				 errhint("COMMIT first: the task starts when it is committed.")));
	store_close(store);
	PopActiveSnapshot();
}

static Jsonb *
results(const AwaitAll *wait)
{
	Jsonb **elements = palloc_array(Jsonb *, Max(wait->n, 1));

	for (int i = 0; i < wait->n; i++)
		elements[i] = wait->at[i]->outcome.result;
	return json_array(elements, wait->n);
}

/* Look, and commit where the caller may. */
static bool
look_and_commit(AwaitAll *wait, bool commits)
{
	bool over = look(wait);

	if (commits)
		SPI_commit();
	return over;
}

/* Look and sleep until all have finished. */
static void
sleep_until_over(AwaitAll *wait, bool commits)
{
	bool over = look_and_commit(wait, commits);

	if (!over && !commits)
		refuse_own(wait);
	while (!over)
	{
		int before = wait->n_waiting;

		publish(wait);
		over = look_and_commit(wait, commits);
		/* what was published may be among those that have just ended */
		if (wait->n_waiting == before)
			sleep_on(wait);
	}
}

static void
wait_for_all(AwaitAll *wait, bool commits)
{
	PG_TRY();
	{
		sleep_until_over(wait, commits);
	}
	PG_CATCH();
	{
		wait_withdraw();
		PG_RE_THROW();
	}
	PG_END_TRY();
	wait_withdraw();
}

PG_FUNCTION_INFO_V1(stent_await_all);
Datum
stent_await_all(PG_FUNCTION_ARGS)
{
	AwaitAll wait;

	if (attempt_task() != NULL)
		return step_await_all(fcinfo);
	await_begin(&wait, fcinfo);
	if (wait.n > 0)
	{
		wait_require_read_committed("waiting for tasks", "stent.await_all_until_done()");
		wait_for_all(&wait, false);
	}
	PG_RETURN_JSONB_P(results(&wait));
}

PG_FUNCTION_INFO_V1(stent_await_all_until_done);
Datum
stent_await_all_until_done(PG_FUNCTION_ARGS)
{
	static const char *const name = "stent.await_all_until_done()";
	AwaitAll wait;
	TupleDesc desc;
	Datum values[1];
	bool nulls[1] = {false};

	await_begin(&wait, fcinfo);
	wait_refuse_in_handler(name, "stent.await_all()");
	wait_require_nonatomic(fcinfo, name, "stent.await_all()");
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "the procedure is not declared as expected");
	desc = BlessTupleDesc(desc);

	if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	/* what the caller did is committed: its tasks can begin */
	SPI_commit();
	wait_for_all(&wait, true);
	if (SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "SPI_finish failed");
	values[0] = JsonbPGetDatum(results(&wait));
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}
