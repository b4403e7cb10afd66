/*
 * wait.c
 *	  wait_for() and wait_until_done(): sleeping until a task has finished.
 *
 * await() outside of a handler is wait_for(). Waiting for many tasks is in await_all.c,
 * which shares with this what wait.h names.
 *
 * Who waits publishes the id in shared memory first and looks afterwards; who
 * finishes a task makes its rows visible first and reads the published ids
 * afterwards (announce.c). So either the look shows the end, or the latch is set;
 * there is no moment in between. Each look uses a snapshot of its own. A look
 * every five minutes covers what no commit callback tells, such as COMMIT PREPARED.
 * Without preload, and on a standby, nobody sets the latch: a look every second.
 *
 * How a task ended, and how that is told, is in outcome.c.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "portability/instr_time.h"
#include "storage/latch.h"
#include "utils/fmgroids.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "attempt.h"
#include "clock.h"
#include "compat.h"
#include "errors.h"
#include "intern.h"
#include "outcome.h"
#include "ready.h"
#include "shmem.h"
#include "step_calls.h"
#include "store.h"
#include "task.h"
#include "wait.h"

#define BACKSTOP_MS (5 * 60 * 1000)

/* how often to look where nobody tells */
#define POLL_MS 1000

typedef struct Wait
{
	int64 id;
	int64 limit_us; /* 0: none */
	instr_time begun;
	MemoryContext looks; /* reset before each look */
} Wait;

/* The arguments both forms begin with. */
static void
read_args(FunctionCallInfo fcinfo, Wait *wait)
{
	wait->id = outcome_require_id(fcinfo);
	wait->limit_us = 0;
	if (!PG_ARGISNULL(1))
	{
		interval_check(PG_GETARG_INTERVAL_P(1), "timeout");
		wait->limit_us = interval_us(PG_GETARG_INTERVAL_P(1));
	}
	wait->looks = AllocSetContextCreate(CurrentMemoryContext, "stent wait", ALLOCSET_SMALL_SIZES);
	INSTR_TIME_SET_CURRENT(wait->begun);
}

/* A handler that waits would keep its executor from the task it waits for. */
void
wait_refuse_in_handler(const char *function, const char *instead)
{
	if (attempt_task() != NULL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("%s cannot be called by a handler", function),
						errhint("It would keep its executor from the task: use %s, for which the "
								"handler is suspended.",
								instead)));
}

/*
 * Have the session woken when the task finishes; who waits for many, also when one of
 * those from..to fails. Publishing anew replaces what was published.
 */
void
wait_publish(int64 id, int64 from, int64 to)
{
	StentProc *proc = shmem_my_proc();

	if (proc == NULL)
		return;
	pg_atomic_write_u64(&proc->waits_from, (uint64) from);
	pg_atomic_write_u64(&proc->waits_to, (uint64) to);
	if (pg_atomic_exchange_u64(&proc->waits_for, (uint64) id) == NO_ID)
		pg_atomic_fetch_add_u32(&stent_shared->waiting, 1);
	/* between publishing and looking */
	pg_memory_barrier();
}

void
wait_withdraw(void)
{
	StentProc *proc = shmem_my_proc();

	if (proc != NULL && pg_atomic_exchange_u64(&proc->waits_for, NO_ID) != NO_ID)
		pg_atomic_fetch_sub_u32(&stent_shared->waiting, 1);
}

static void
ran_out(const Outcome *outcome, int64 limit_us)
{
	/* running is not written; it is known where the library is preloaded */
	bool running = shmem_running(MyDatabaseId, outcome->id, NULL);

	ereport(ERROR, (errcode(STENT_ERR_WAIT_RAN_OUT),
					errmsg("task " INT64_FORMAT " is still %s after a wait of %s", outcome->id,
						   running ? "running" : outcome->state, duration_text(limit_us)),
					errhint("The wait is over, the task goes on: wait again, ask "
							"stent.state_of(), or stent.cancel() it.")));
}

/* Sleep until it is time for another look; false once the wait has run out. */
bool
wait_sleep(instr_time begun, int64 limit_us)
{
	static uint32 event = 0;
	long ms = stent_shared == NULL || RecoveryInProgress() ? POLL_MS : BACKSTOP_MS;

	if (event == 0)
		event = compat_wait_event("StentWaitFor");
	if (limit_us > 0)
	{
		instr_time now;
		int64 left;

		INSTR_TIME_SET_CURRENT(now);
		INSTR_TIME_SUBTRACT(now, begun);
		left = limit_us - (int64) INSTR_TIME_GET_MICROSEC(now);
		if (left <= 0)
			return false;
		ms = Min(ms, (left + 999) / 1000);
	}
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, ms, event);
	return true;
}

static void
sleep_on(const Wait *wait, const Outcome *outcome)
{
	if (!wait_sleep(wait->begun, wait->limit_us))
		ran_out(outcome, wait->limit_us);
}

/*
 * Look how far the task is, with the latch reset before, so that what happens after
 * the look ends the next sleep. True if it has finished.
 */
static bool
look(const Wait *wait, Outcome *outcome)
{
	MemoryContext old;
	bool finished;

	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	MemoryContextReset(wait->looks);
	old = MemoryContextSwitchTo(wait->looks);
	finished = outcome_read(wait->id, outcome);
	MemoryContextSwitchTo(old);
	return finished;
}

static bool
is_ours(TupleTableSlot *row)
{
	bool isnull;

	return TransactionIdIsCurrentTransactionId(
		DatumGetTransactionId(slot_getsysattr(row, MinTransactionIdAttributeNumber, &isnull)));
}

/*
 * Whether this very transaction dispatched the task, replayed it or gave it back: then
 * nobody can run it before the transaction ends. By the active snapshot.
 */
bool
wait_is_own(Store *store, int64 id)
{
	StoreRel *tasks = store_table(store, STORE_TASK);
	StoreRel *ready = store_table(store, STORE_READY);
	ScanKeyData keys[2];
	Task *task;
	bool own;

	if (!TransactionIdIsValid(GetTopTransactionIdIfAny()) ||
		!store_find_id(tasks, GetActiveSnapshot(), id))
		return false;
	own = is_ours(tasks->out);
	task = task_from_slot(tasks->out);
	ExecClearTuple(tasks->out);
	if (own)
		return true;
	ScanKeyInit(&keys[0], READY_BUCKET, BTEqualStrategyNumber, F_INT8EQ,
				Int64GetDatum(ready_bucket(lane_get(store, task->lane_id)->role, task->priority,
										   task->lane_id)));
	ScanKeyInit(&keys[1], READY_POSITION, BTEqualStrategyNumber, F_INT8EQ,
				Int64GetDatum(task_position(task)));
	own = store_find(ready, GetActiveSnapshot(), keys, 2) && is_ours(ready->out);
	ExecClearTuple(ready->out);
	return own;
}

static void
refuse_own(int64 id)
{
	Store *store;
	bool own;

	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	store = store_open_to_read();
	own = wait_is_own(store, id);
	store_close(store);
	PopActiveSnapshot();
	if (own)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("task " INT64_FORMAT
							   " waits for this transaction and cannot be waited for in it",
							   id),
						errhint("COMMIT first: the task starts when it is committed.")));
}

/* Look and sleep until the task has finished. */
static void
wait_in_transaction(const Wait *wait, Outcome *outcome)
{
	if (look(wait, outcome))
		return;
	refuse_own(wait->id);
	do
	{
		sleep_on(wait, outcome);
	} while (!look(wait, outcome));
}

void
wait_require_read_committed(const char *what, const char *procedure)
{
	if (IsolationUsesXactSnapshot())
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("%s needs isolation level READ COMMITTED", what),
						errdetail("This transaction would never see the task finish."),
						errhint("Wait in a READ COMMITTED transaction, or CALL %s outside of a "
								"transaction block.",
								procedure)));
}

static Jsonb *
wait_for(FunctionCallInfo fcinfo, const char *function)
{
	Wait wait;
	Outcome outcome;

	read_args(fcinfo, &wait);
	wait_refuse_in_handler(function, "stent.await()");
	wait_require_read_committed(function, "stent.wait_until_done()");
	wait_publish(wait.id, 1, 0);
	PG_TRY();
	{
		wait_in_transaction(&wait, &outcome);
	}
	PG_FINALLY();
	{
		wait_withdraw();
	}
	PG_END_TRY();
	return outcome_result(&outcome);
}

PG_FUNCTION_INFO_V1(stent_wait_for);
Datum
stent_wait_for(PG_FUNCTION_ARGS)
{
	PG_RETURN_JSONB_P(wait_for(fcinfo, "stent.wait_for()"));
}

PG_FUNCTION_INFO_V1(stent_await);
Datum
stent_await(PG_FUNCTION_ARGS)
{
	if (attempt_task() != NULL)
		return step_await(fcinfo);
	PG_RETURN_JSONB_P(wait_for(fcinfo, "stent.await()"));
}

/* The caller must be able to commit, or the wait would hold its snapshot. */
void
wait_require_nonatomic(FunctionCallInfo fcinfo, const char *procedure, const char *function)
{
	CallContext *context = (CallContext *) fcinfo->context;

	if (context == NULL || !IsA(context, CallContext) || context->atomic || IsSubTransaction())
		ereport(ERROR, (errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION),
						errmsg("%s cannot be called in a transaction block, a function or an "
							   "exception block",
							   procedure),
						errdetail("It commits, so as to hold no snapshot while it waits."),
						errhint("CALL it by itself, or use %s.", function)));
}

/* Look and commit; the result, copied to cxt, or NULL if the task has not finished. */
static Jsonb *
look_and_commit(const Wait *wait, Outcome *outcome, MemoryContext cxt)
{
	Jsonb *result = NULL;

	/* for values stored out of line */
	PushActiveSnapshot(GetTransactionSnapshot());
	if (look(wait, outcome))
	{
		MemoryContext old = MemoryContextSwitchTo(cxt);

		result = (Jsonb *) PG_DETOAST_DATUM_COPY(JsonbPGetDatum(outcome_result(outcome)));
		MemoryContextSwitchTo(old);
	}
	PopActiveSnapshot();
	SPI_commit();
	return result;
}

PG_FUNCTION_INFO_V1(stent_wait_until_done);
Datum
stent_wait_until_done(PG_FUNCTION_ARGS)
{
	MemoryContext cxt = CurrentMemoryContext;
	Wait wait;
	Outcome outcome;
	TupleDesc desc;
	Jsonb *volatile result = NULL;
	Datum values[1];
	bool nulls[1] = {false};

	read_args(fcinfo, &wait);
	wait_refuse_in_handler("stent.wait_until_done()", "stent.await()");
	wait_require_nonatomic(fcinfo, "stent.wait_until_done()", "stent.wait_for()");
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "the procedure is not declared as expected");
	desc = BlessTupleDesc(desc);

	if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	wait_publish(wait.id, 1, 0);
	PG_TRY();
	{
		/* what the caller did is committed, and no snapshot is older than the publishing */
		SPI_commit();
		while ((result = look_and_commit(&wait, &outcome, cxt)) == NULL)
			sleep_on(&wait, &outcome);
	}
	PG_FINALLY();
	{
		wait_withdraw();
	}
	PG_END_TRY();
	if (SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "SPI_finish failed");
	values[0] = JsonbPGetDatum(result);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}
