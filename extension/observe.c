/*
 * observe.c
 *	  What shared memory tells: running tasks, executors, waiting roles, health.
 *
 * Views and SQL functions (sql/parts/77_operation_views.sql, 82_health.sql) make
 * of it what people read. Those that every app role may call, because its views
 * do, show it its own tasks only; the others are called by the owner's functions.
 * Nothing here writes, and all of it works on a standby and without preload.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "executor/spi.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "access.h"
#include "board.h"
#include "compat.h"
#include "guc.h"
#include "observe.h"
#include "outcome.h"
#include "shmem.h"
#include "slots.h"
#include "store.h"

void
viewer_init(Viewer *viewer)
{
	viewer->admin = caller_is_admin();
	viewer->role = GetUserId();
	strlcpy(viewer->name, GetUserNameFromId(GetUserId(), false), NAMEDATALEN);
}

bool
viewer_may_see(const Viewer *viewer, const Lane *lane)
{
	return viewer->admin || strcmp(lane->role, viewer->name) == 0;
}

ReturnSetInfo *
observe_begin_set(FunctionCallInfo fcinfo)
{
	InitMaterializedSRF(fcinfo, 0);
	return (ReturnSetInfo *) fcinfo->resultinfo;
}

/* A consistent copy of what a backend runs in this database; false if nothing. */
static bool
copy_running(int n, StentProc *copy)
{
	StentProc *proc = shmem_proc(n);
	uint64 task_id;

	for (;;)
	{
		task_id = pg_atomic_read_u64(&proc->task_id);
		if (task_id == NO_ID || proc->database != MyDatabaseId)
			return false;
		pg_read_barrier();
		copy->pid = proc->pid;
		copy->executor = proc->executor;
		copy->execution_id = proc->execution_id;
		copy->function_id = proc->function_id;
		copy->lane_id = proc->lane_id;
		copy->attempt = proc->attempt;
		copy->started_at = proc->started_at;
		shmem_get_step(proc, copy->step);
		pg_read_barrier();
		if (pg_atomic_read_u64(&proc->task_id) == task_id)
			break;
	}
	pg_atomic_init_u64(&copy->task_id, task_id);
	return true;
}

PG_FUNCTION_INFO_V1(stent_running);
Datum
stent_running(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *set = observe_begin_set(fcinfo);
	Viewer viewer;
	Store *store;

	if (stent_shared == NULL || pg_atomic_read_u32(&stent_shared->running) == 0)
		return (Datum) 0;
	viewer_init(&viewer);
	store = store_open_to_read();
	for (int i = 0; i < stent_shared->n_procs; i++)
	{
		StentProc copy;
		const Lane *lane;
		Datum values[9];
		bool nulls[9] = {0};

		if (!copy_running(i, &copy))
			continue;
		/* a session may run what it has not committed yet */
		lane = lane_find(store, copy.lane_id);
		if (lane == NULL || !viewer_may_see(&viewer, lane))
			continue;
		values[0] = Int64GetDatum((int64) pg_atomic_read_u64(&copy.task_id));
		values[1] = Int64GetDatum(copy.execution_id);
		values[2] = Int32GetDatum(copy.pid);
		values[3] = TimestampGetDatum(copy.started_at);
		values[4] = Int32GetDatum(copy.attempt);
		values[5] = BoolGetDatum(copy.executor);
		values[6] = Int32GetDatum(copy.lane_id);
		values[7] = Int32GetDatum(copy.function_id);
		nulls[8] = copy.step[0] == '\0';
		values[8] = nulls[8] ? (Datum) 0 : CStringGetTextDatum(copy.step);
		tuplestore_putvalues(set->setResult, set->setDesc, values, nulls);
	}
	store_close(store);
	return (Datum) 0;
}

/* Asked for each row of the views, so the answer no has to be quick. */
PG_FUNCTION_INFO_V1(stent_is_running);
Datum
stent_is_running(PG_FUNCTION_ARGS)
{
	StentProc copy;
	Viewer viewer;
	Store *store;
	const Lane *lane;
	bool visible;
	int proc;

	if (PG_ARGISNULL(0) || !shmem_running(MyDatabaseId, PG_GETARG_INT64(0), &proc) ||
		!copy_running(proc, &copy))
		PG_RETURN_BOOL(false);
	viewer_init(&viewer);
	store = store_open_to_read();
	lane = lane_find(store, copy.lane_id);
	visible = lane != NULL && viewer_may_see(&viewer, lane);
	store_close(store);
	PG_RETURN_BOOL(visible);
}

static Datum
text_datum(const char *text)
{
	return CStringGetTextDatum(text);
}

/* A moment of the server's clock as the stored ones are: UTC. */
static Datum
moment_datum(TimestampTz moment)
{
	return TimestampGetDatum((Timestamp) moment);
}

static const char *
database_state(const DatabaseSlot *slot)
{
	if (slot == NULL || (!slot->listed && !slot->started && !slot->stopped))
		return "not listed";
	if (slot->stopped)
		return "stopped";
	switch (slot->state)
	{
		case DATABASE_WANTED:
			return "wanted";
		case DATABASE_STARTING:
			return "starting";
		case DATABASE_SERVED:
			return "served";
		case DATABASE_NO_EXTENSION:
			return "no extension";
		case DATABASE_OTHER_VERSION:
			return "other version";
		case DATABASE_NOT_ADOPTED:
			return "not adopted";
		case DATABASE_FAILED:
			return "failed";
	}
	return "unknown";
}

enum ServerColumn
{
	SERVER_LIBRARY_VERSION,
	SERVER_PRELOADED,
	SERVER_IN_RECOVERY,
	SERVER_ROLE_MUST_LOG_IN,
	SERVER_MAX_EXECUTORS,
	SERVER_STATE,
	SERVER_PROBLEM,
	SERVER_LAUNCHER_PID,
	SERVER_SCHEDULER_PID,
	SERVER_USED,
	SERVER_EXHAUSTED_SINCE,
	SERVER_COUNTED,
	SERVER_DEAD_ENTRIES,
	SERVER_TALLIES,
	SERVER_CAREFUL_PID,
	SERVER_CAREFUL_WANTED,
	SERVER_WAKEUPS,
	SERVER_COLD_STARTS,
	SERVER_COLUMNS
};

/* What there is only with preload; under the lock. */
static void
fill_shared(Datum *values, bool *nulls, char *problem)
{
	DatabaseSlot *slot = shmem_database(MyDatabaseId, false);

	values[SERVER_STATE] = PointerGetDatum(database_state(slot)); /* made a text later */
	nulls[SERVER_STATE] = false;
	if (slot != NULL)
	{
		strlcpy(problem, slot->problem, PROBLEM_LENGTH);
		values[SERVER_COUNTED] =
			BoolGetDatum(slot->counted && !slot->recount && !slot->prepared && !slot->reload);
		values[SERVER_DEAD_ENTRIES] = Int64GetDatum((int64) slot->dead_entries);
		values[SERVER_TALLIES] = Int64GetDatum((int64) slot->tallies);
		values[SERVER_SCHEDULER_PID] = Int32GetDatum(slot->scheduler_pid);
		nulls[SERVER_COUNTED] = nulls[SERVER_DEAD_ENTRIES] = nulls[SERVER_TALLIES] = false;
		nulls[SERVER_SCHEDULER_PID] = slot->scheduler < 0;
	}
	values[SERVER_LAUNCHER_PID] = Int32GetDatum(stent_shared->launcher_pid);
	nulls[SERVER_LAUNCHER_PID] = stent_shared->launcher < 0;
	values[SERVER_USED] = Int32GetDatum(slots_used());
	values[SERVER_EXHAUSTED_SINCE] = moment_datum(stent_shared->exhausted_at);
	nulls[SERVER_EXHAUSTED_SINCE] = stent_shared->exhausted_at == 0;
	if (stent_shared->careful >= 0)
	{
		values[SERVER_CAREFUL_PID] = Int32GetDatum(shmem_proc(stent_shared->careful)->pid);
		nulls[SERVER_CAREFUL_PID] = false;
	}
	values[SERVER_CAREFUL_WANTED] = BoolGetDatum(stent_shared->careful_wanted);
	values[SERVER_WAKEUPS] = Int64GetDatum((int64) stent_shared->wakeups);
	values[SERVER_COLD_STARTS] = Int64GetDatum((int64) stent_shared->cold_starts);
	nulls[SERVER_USED] = nulls[SERVER_CAREFUL_WANTED] = nulls[SERVER_WAKEUPS] =
		nulls[SERVER_COLD_STARTS] = false;
}

PG_FUNCTION_INFO_V1(stent_server);
Datum
stent_server(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *set = observe_begin_set(fcinfo);
	Datum values[SERVER_COLUMNS] = {0};
	bool nulls[SERVER_COLUMNS];
	char problem[PROBLEM_LENGTH] = "";

	memset(nulls, true, sizeof(nulls));
	values[SERVER_LIBRARY_VERSION] = text_datum(STENT_VERSION);
	values[SERVER_PRELOADED] = BoolGetDatum(stent_shared != NULL);
	values[SERVER_IN_RECOVERY] = BoolGetDatum(RecoveryInProgress());
	values[SERVER_ROLE_MUST_LOG_IN] = BoolGetDatum(ROLE_MUST_LOG_IN);
	values[SERVER_MAX_EXECUTORS] = Int32GetDatum(stent_max_executors);
	nulls[SERVER_LIBRARY_VERSION] = nulls[SERVER_PRELOADED] = nulls[SERVER_IN_RECOVERY] =
		nulls[SERVER_ROLE_MUST_LOG_IN] = nulls[SERVER_MAX_EXECUTORS] = false;
	if (stent_shared != NULL)
	{
		LWLockAcquire(stent_shared->lock, LW_SHARED);
		fill_shared(values, nulls, problem);
		LWLockRelease(stent_shared->lock);
		values[SERVER_STATE] = text_datum(DatumGetCString(values[SERVER_STATE]));
		if (problem[0] != '\0')
		{
			values[SERVER_PROBLEM] = text_datum(problem);
			nulls[SERVER_PROBLEM] = false;
		}
	}
	tuplestore_putvalues(set->setResult, set->setDesc, values, nulls);
	return (Datum) 0;
}

static const char *
executor_state(const ExecutorSlot *slot)
{
	switch (slot->state)
	{
		case EXECUTOR_FREE:
			return "free";
		case EXECUTOR_STARTING:
			return "starting";
		case EXECUTOR_BUSY:
			return "busy";
		case EXECUTOR_IDLE:
			return "idle";
	}
	return "unknown";
}

PG_FUNCTION_INFO_V1(stent_executors);
Datum
stent_executors(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *set = observe_begin_set(fcinfo);
	ExecutorSlot *slots;

	if (stent_shared == NULL)
		return (Datum) 0;
	slots = palloc_array(ExecutorSlot, MAX_EXECUTORS);
	LWLockAcquire(stent_shared->lock, LW_SHARED);
	memcpy(slots, stent_shared->executors, MAX_EXECUTORS * sizeof(ExecutorSlot));
	LWLockRelease(stent_shared->lock);
	for (int i = 0; i < MAX_EXECUTORS; i++)
	{
		const ExecutorSlot *slot = &slots[i];
		Datum values[6];
		bool nulls[6] = {0};
		int64 task_id = NO_ID;

		if (slot->state == EXECUTOR_FREE)
			continue;
		if (slot->proc >= 0 && slot->database == MyDatabaseId)
			task_id = (int64) pg_atomic_read_u64(&shmem_proc(slot->proc)->task_id);
		values[0] = ObjectIdGetDatum(slot->database);
		values[1] = ObjectIdGetDatum(slot->role);
		values[2] = Int32GetDatum(slot->pid);
		nulls[2] = slot->pid == 0;
		values[3] = text_datum(executor_state(slot));
		values[4] = moment_datum(slot->since);
		values[5] = Int64GetDatum(task_id);
		nulls[5] = task_id == NO_ID;
		tuplestore_putvalues(set->setResult, set->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* Roles of this database with work and without an executor. */
PG_FUNCTION_INFO_V1(stent_waiting_roles);
Datum
stent_waiting_roles(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *set = observe_begin_set(fcinfo);
	HASH_SEQ_STATUS status;
	BoardRole *role;
	BoardRole *waiting;
	int max = 64;
	int n = 0;

	if (stent_shared == NULL)
		return (Datum) 0;
	waiting = palloc_array(BoardRole, max);
	LWLockAcquire(stent_shared->lock, LW_SHARED);
	board_scan_begin(&status);
	while ((role = hash_seq_search(&status)) != NULL)
		if (role->key.database == MyDatabaseId && role->executors == 0 &&
			(role->demand || role->help) && n < max)
			waiting[n++] = *role;
	LWLockRelease(stent_shared->lock);
	for (int i = 0; i < n; i++)
	{
		Datum values[4];
		bool nulls[4] = {0};

		values[0] = ObjectIdGetDatum(waiting[i].key.role);
		values[1] = moment_datum(waiting[i].demand_since);
		values[2] = moment_datum(waiting[i].retry_at);
		nulls[2] = waiting[i].retry_at == 0;
		values[3] = text_datum(waiting[i].problem);
		nulls[3] = waiting[i].problem[0] == '\0';
		tuplestore_putvalues(set->setResult, set->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* The session that is about to cancel the task, or NULL. */
PG_FUNCTION_INFO_V1(stent_canceller);
Datum
stent_canceller(PG_FUNCTION_ARGS)
{
	uint64 task_id = (uint64) PG_GETARG_INT64(0);

	if (stent_shared == NULL || pg_atomic_read_u32(&stent_shared->cancelling) == 0)
		PG_RETURN_NULL();
	for (int i = 0; i < stent_shared->n_procs; i++)
	{
		StentProc *proc = shmem_proc(i);

		if (pg_atomic_read_u64(&proc->cancels) == task_id && proc->database == MyDatabaseId)
			PG_RETURN_INT32(proc->pid);
	}
	PG_RETURN_NULL();
}

/* why(): the caller's view decides whether it may ask, the owner's function answers. */
PG_FUNCTION_INFO_V1(stent_why);
Datum
stent_why(PG_FUNCTION_ARGS)
{
	Oid types[1] = {INT8OID};
	Datum values[1];
	MemoryContext cxt = CurrentMemoryContext;
	ColdSql cold;
	char *answer;

	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("id must not be null"),
						errhint("Give the id that stent.dispatch() returned.")));
	values[0] = PG_GETARG_DATUM(0);
	cold_begin_as_caller(&cold);
	if (SPI_execute_with_args("SELECT FROM stent.tasks WHERE id = $1", 1, types, values, NULL,
							  false, 1) != SPI_OK_SELECT)
		elog(ERROR, "looking for a task failed");
	if (SPI_processed == 0)
		unknown_task(PG_GETARG_INT64(0));
	cold_end(&cold);

	cold_begin(&cold);
	if (SPI_execute_with_args("SELECT stent._why($1)", 1, types, values, NULL, false, 1) !=
			SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "explaining a task failed");
	answer = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	answer = answer == NULL ? NULL : MemoryContextStrdup(cxt, answer);
	cold_end(&cold);
	if (answer == NULL) /* it was removed in between */
		unknown_task(PG_GETARG_INT64(0));
	PG_RETURN_TEXT_P(cstring_to_text(answer));
}
