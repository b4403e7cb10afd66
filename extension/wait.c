/*
 * wait.c
 *	  wait_for() and wait_until_done(): sleeping until a task has finished.
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
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "portability/instr_time.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "attempt.h"
#include "clock.h"
#include "compat.h"
#include "errors.h"
#include "outcome.h"
#include "ready.h"
#include "shmem.h"
#include "store.h"

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
static void
refuse_in_handler(const char *function)
{
	if (attempt_task() != NULL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("%s cannot be called by a handler", function),
						errhint("Dispatch the task and finish; it runs after this one commits.")));
}

/* Have the session woken when the task finishes. */
static void
publish(int64 id)
{
	StentProc *proc = shmem_my_proc();

	if (proc == NULL)
		return;
	pg_atomic_write_u64(&proc->waits_for, (uint64) id);
	/* also the barrier between publishing and looking */
	pg_atomic_fetch_add_u32(&stent_shared->waiting, 1);
}

static void
withdraw(void)
{
	StentProc *proc = shmem_my_proc();

	if (proc == NULL)
		return;
	pg_atomic_write_u64(&proc->waits_for, NO_ID);
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

/* Sleep until it is time for another look; an error once the wait has run out. */
static void
sleep_on(const Wait *wait, const Outcome *outcome)
{
	static uint32 event = 0;
	long ms = stent_shared == NULL || RecoveryInProgress() ? POLL_MS : BACKSTOP_MS;

	if (event == 0)
		event = compat_wait_event("StentWaitFor");
	if (wait->limit_us > 0)
	{
		instr_time now;
		int64 left;

		INSTR_TIME_SET_CURRENT(now);
		INSTR_TIME_SUBTRACT(now, wait->begun);
		left = wait->limit_us - (int64) INSTR_TIME_GET_MICROSEC(now);
		if (left <= 0)
			ran_out(outcome, wait->limit_us);
		ms = Min(ms, (left + 999) / 1000);
	}
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, ms, event);
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

/*
 * Whether this very transaction dispatched the task, replayed it or gave it back:
 * then nobody can run it before the transaction ends.
 */
static bool
is_own(int64 id)
{
	Oid types[2] = {INT8OID, INT8OID};
	Datum values[2];
	ColdSql cold;
	bool own = false;

	if (!TransactionIdIsValid(GetTopTransactionIdIfAny()))
		return false;
	values[0] = Int64GetDatum(id);
	cold_begin(&cold);
	if (SPI_execute_with_args("SELECT t.xmin, l.role, t.priority::integer, t.lane_id, "
							  "COALESCE(t.position, t.id) FROM stent.task t "
							  "JOIN stent.lane l ON l.id = t.lane_id WHERE t.id = $1",
							  1, types, values, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "looking for the task failed");
	if (SPI_processed == 1)
	{
		HeapTuple row = SPI_tuptable->vals[0];
		TupleDesc desc = SPI_tuptable->tupdesc;
		bool isnull;

		own = TransactionIdIsCurrentTransactionId(
			DatumGetTransactionId(SPI_getbinval(row, desc, 1, &isnull)));
		values[0] = Int64GetDatum(ready_bucket(
			SPI_getvalue(row, desc, 2), DatumGetInt32(SPI_getbinval(row, desc, 3, &isnull)),
			DatumGetInt32(SPI_getbinval(row, desc, 4, &isnull))));
		values[1] = SPI_getbinval(row, desc, 5, &isnull);
		if (SPI_execute_with_args(
				"SELECT r.xmin FROM stent.ready r WHERE r.bucket = $1 AND r.position = $2", 2,
				types, values, NULL, false, 1) != SPI_OK_SELECT)
			elog(ERROR, "looking for the task's entry failed");
		if (SPI_processed == 1)
			own |= TransactionIdIsCurrentTransactionId(DatumGetTransactionId(
				SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull)));
	}
	cold_end(&cold);
	return own;
}

/* Look and sleep until the task has finished. */
static void
wait_in_transaction(const Wait *wait, Outcome *outcome)
{
	if (look(wait, outcome))
		return;
	if (is_own(wait->id))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("task " INT64_FORMAT
							   " waits for this transaction and cannot be waited for in it",
							   wait->id),
						errhint("COMMIT first: the task starts when it is committed.")));
	do
	{
		sleep_on(wait, outcome);
	} while (!look(wait, outcome));
}

PG_FUNCTION_INFO_V1(stent_wait_for);
Datum
stent_wait_for(PG_FUNCTION_ARGS)
{
	Wait wait;
	Outcome outcome;

	read_args(fcinfo, &wait);
	refuse_in_handler("stent.wait_for()");
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("stent.wait_for() needs isolation level READ COMMITTED"),
				 errdetail("This transaction would never see the task finish."),
				 errhint("Wait in a READ COMMITTED transaction, or CALL stent.wait_until_done() "
						 "outside of a transaction block.")));
	publish(wait.id);
	PG_TRY();
	{
		wait_in_transaction(&wait, &outcome);
	}
	PG_FINALLY();
	{
		withdraw();
	}
	PG_END_TRY();
	PG_RETURN_JSONB_P(outcome_result(&outcome));
}

/* The caller must be able to commit, or the wait would hold its snapshot. */
static void
require_nonatomic(FunctionCallInfo fcinfo)
{
	CallContext *context = (CallContext *) fcinfo->context;

	if (context == NULL || !IsA(context, CallContext) || context->atomic || IsSubTransaction())
		ereport(ERROR, (errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION),
						errmsg("stent.wait_until_done() cannot be called in a transaction block, a "
							   "function or an exception block"),
						errdetail("It commits, so as to hold no snapshot while it waits."),
						errhint("CALL it by itself, or use stent.wait_for().")));
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
	refuse_in_handler("stent.wait_until_done()");
	require_nonatomic(fcinfo);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "the procedure is not declared as expected");
	desc = BlessTupleDesc(desc);

	if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	publish(wait.id);
	PG_TRY();
	{
		/* what the caller did is committed, and no snapshot is older than the publishing */
		SPI_commit();
		while ((result = look_and_commit(&wait, &outcome, cxt)) == NULL)
			sleep_on(&wait, &outcome);
	}
	PG_FINALLY();
	{
		withdraw();
	}
	PG_END_TRY();
	if (SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "SPI_finish failed");
	values[0] = JsonbPGetDatum(result);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}
