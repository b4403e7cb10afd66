/*
 * attempt.c
 *	  One attempt at a task: its handler in a subtransaction.
 *
 * Many tasks share a commit, so whatever a handler could leave behind for the
 * next one is undone here: settings and role (a GUC nest level around the
 * subtransaction), cursors, temporary objects (dropped by their pg_depend rows), pending
 * deferred constraints (checked inside the subtransaction, so that a violation is
 * this task's error and not the commit's).
 *
 * A timeout cannot be swallowed: the timer raises query_canceled, and should an
 * exception block catch that, the end of the block's subtransaction raises it
 * again. A handler that returns all the same has failed.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_namespace.h"
#include "commands/prepare.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/parsenodes.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timeout.h"

#include "archive.h"
#include "attempt.h"
#include "careful.h"
#include "clock.h"
#include "compat.h"
#include "errors.h"
#include "fault.h"
#include "json.h"
#include "map_row.h"
#include "shmem.h"
#include "state_file.h"
#include "step.h"

/* The task whose handler runs in this session now. */
static Task *current_task;

static TimeoutId timer;
static bool timer_registered;
static volatile sig_atomic_t timer_fired;
static bool timer_armed; /* from arming until the handler's end is known */

/* Somebody who cancels the task wants its handler interrupted. */
static volatile sig_atomic_t interrupt_wanted;
static bool interruptible; /* from the handler's begin until its end is known */

/* This session runs nothing but tasks, so what they leave in it can be cleared. */
static bool own_session;

/* What deferrable constraints this database has. */
static bool constraints_known;
static bool has_initially_deferred;
static bool has_initially_immediate;
static List *initially_deferred; /* RangeVars, where the database has both kinds */
static MemoryContext constraints_cxt;

static void
constraints_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	constraints_known = false;
}

/*
 * Somebody interrupts a task. What was meant for one that has ended is ignored.
 * A signal of its own, for SIGINT is the session's user's.
 */
static void
interrupt_handler(SIGNAL_ARGS)
{
	int save_errno = errno;
	StentProc *proc;
	uint64 running;

	/* at its very end the entry may be another session's */
	if (proc_exit_inprogress || MyProc == NULL)
		return;
	proc = shmem_proc(MyProcIndex);
	running = pg_atomic_read_u64(&proc->task_id);
	if (running != NO_ID && pg_atomic_read_u64(&proc->interrupt_task) == running)
	{
		interrupt_wanted = true;
		InterruptPending = true;
		QueryCancelPending = true;
		SetLatch(MyLatch);
	}
	errno = save_errno;
}

/* Let others see which task runs here; from now on they may interrupt it. */
static void
begin_task(const Task *run)
{
	const Task *task = run->on_behalf != NULL ? run->on_behalf : run;
	static bool handler_installed = false;
	StentProc *proc = shmem_my_proc();

	interrupt_wanted = false;
	if (proc == NULL)
		return;
	if (!handler_installed)
	{
		pqsignal(SIGUSR2, interrupt_handler);
		handler_installed = true;
	}
	proc->executor = own_session;
	proc->execution_id = task->execution_id;
	proc->function_id = task->function_id;
	proc->lane_id = task->lane_id;
	proc->attempt = task->attempt + 1;
	proc->started_at = task->started_at;
	if (proc->step[0] != '\0')
		shmem_set_step(proc, "", 0);
	pg_write_barrier();
	interruptible = true;
	pg_atomic_write_u64(&proc->task_id, (uint64) task->id);
	pg_atomic_fetch_add_u32(&stent_shared->running, 1);
}

/* After this nobody interrupts the task, and no cancellation meant for it is pending. */
static void
end_task(void)
{
	if (!interruptible)
		return;
	/* a session that is terminated has told it already, before its abort */
	if (pg_atomic_exchange_u64(&shmem_proc(MyProcIndex)->task_id, NO_ID) != NO_ID)
		pg_atomic_fetch_sub_u32(&stent_shared->running, 1);
	interruptible = false;
	if (interrupt_wanted)
		QueryCancelPending = false;
}

/* A crash from now on is not the task's. */
static void
forget_task(void)
{
	if (stent_shared == NULL)
		return;
	state_file_forget(MyProcIndex);
	careful_leave();
}

/* Tell that this session is an executor's. */
void
attempt_own_session(void)
{
	own_session = true;
}

bool
attempt_session_is_own(void)
{
	return own_session;
}

/* What a task left in the session outside of transactions. */
static void
clear_session(void)
{
	LockReleaseSession(USER_LOCKMETHOD);
	DropAllPreparedStatements();
}

static void
subxact_ended(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	/* somebody caught the cancellation of an attempt that must end: cancel again */
	if (event == SUBXACT_EVENT_ABORT_SUB &&
		((timer_armed && timer_fired) || (interruptible && interrupt_wanted)))
	{
		QueryCancelPending = true;
		InterruptPending = true;
	}
}

static void
xact_ended(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT)
	{
		current_task = NULL;
		timer_armed = false;
		end_task();
	}
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE)
		forget_task();
}

void
attempt_init(void)
{
	CacheRegisterSyscacheCallback(CONSTROID, constraints_changed, (Datum) 0);
	RegisterXactCallback(xact_ended, NULL);
	RegisterSubXactCallback(subxact_ended, NULL);
}

const Task *
attempt_task(void)
{
	return current_task;
}

/* Runs in a signal handler. */
static void
timer_expired(void)
{
	timer_fired = true;
	QueryCancelPending = true;
	InterruptPending = true;
	SetLatch(MyLatch);
}

static void
timer_start(int64 us)
{
	if (!timer_registered)
	{
		timer = RegisterTimeout(USER_TIMEOUT, timer_expired);
		timer_registered = true;
	}
	timer_fired = false;
	timer_armed = true;
	enable_timeout_after(timer, (int) Min(Max((us + 999) / 1000, 1), INT_MAX));
}

/* After this no cancellation of ours is pending. */
static void
timer_stop(void)
{
	if (!timer_armed)
		return;
	disable_timeout(timer, false);
	timer_armed = false;
	if (timer_fired)
		QueryCancelPending = false;
}

/*
 * The initially deferred constraints by name. A name that a constraint of another
 * mode of its schema shares cannot be set and is left out: such a constraint is
 * immediate while tasks run.
 */
static void
list_initially_deferred(Relation rel)
{
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	HeapTuple tuple;
	MemoryContext old;

	if (constraints_cxt == NULL)
		constraints_cxt =
			AllocSetContextCreate(CacheMemoryContext, "stent constraints", ALLOCSET_SMALL_SIZES);
	MemoryContextReset(constraints_cxt);
	old = MemoryContextSwitchTo(constraints_cxt);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_constraint constraint = (Form_pg_constraint) GETSTRUCT(tuple);
		char *schema;
		ScanKeyData keys[2];
		SysScanDesc twins;
		HeapTuple twin;
		bool usable = true;

		if (!constraint->condeferrable || !constraint->condeferred)
			continue;
		schema = get_namespace_name(constraint->connamespace);
		ScanKeyInit(&keys[0], Anum_pg_constraint_conname, BTEqualStrategyNumber, F_NAMEEQ,
					NameGetDatum(&constraint->conname));
		ScanKeyInit(&keys[1], Anum_pg_constraint_connamespace, BTEqualStrategyNumber, F_OIDEQ,
					ObjectIdGetDatum(constraint->connamespace));
		twins = systable_beginscan(rel, ConstraintNameNspIndexId, true, NULL, 2, keys);
		while (HeapTupleIsValid(twin = systable_getnext(twins)))
		{
			Form_pg_constraint other = (Form_pg_constraint) GETSTRUCT(twin);

			/* of twins, such as those of a partition tree, the first stands for all */
			if (!other->condeferrable || !other->condeferred || other->oid < constraint->oid)
				usable = false;
		}
		systable_endscan(twins);
		if (usable && schema != NULL)
			initially_deferred =
				lappend(initially_deferred,
						makeRangeVar(schema, pstrdup(NameStr(constraint->conname)), -1));
	}
	MemoryContextSwitchTo(old);
	systable_endscan(scan);
}

static void
learn_constraints(void)
{
	Relation rel;
	SysScanDesc scan;
	HeapTuple tuple;

	if (constraints_known)
		return;
	has_initially_deferred = has_initially_immediate = false;
	initially_deferred = NIL;
	constraints_known = true;
	rel = table_open(ConstraintRelationId, AccessShareLock);
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_constraint constraint = (Form_pg_constraint) GETSTRUCT(tuple);

		if (constraint->condeferrable && constraint->condeferred)
			has_initially_deferred = true;
		else if (constraint->condeferrable)
			has_initially_immediate = true;
	}
	systable_endscan(scan);
	if (has_initially_deferred && has_initially_immediate)
		list_initially_deferred(rel);
	table_close(rel, AccessShareLock);
}

/* SET CONSTRAINTS; NIL = ALL. Naming them needs no privilege of the task's role. */
static void
set_constraints(List *names, bool deferred)
{
	ConstraintsSetStmt *stmt = makeNode(ConstraintsSetStmt);
	Oid user;
	int sec_context;

	stmt->constraints = names;
	stmt->deferred = deferred;
	GetUserIdAndSecContext(&user, &sec_context);
	if (names != NIL)
		SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID, sec_context | SECURITY_LOCAL_USERID_CHANGE);
	AfterTriggerSetState(stmt);
	SetUserIdAndSecContext(user, sec_context);
}

/*
 * Check what is deferred now, then put the modes back to what a transaction
 * begins with.
 */
void
attempt_settle_constraints(void)
{
	learn_constraints();
	if (!has_initially_deferred && !has_initially_immediate)
		return;
	set_constraints(NIL, false);
	if (has_initially_deferred && !has_initially_immediate)
		set_constraints(NIL, true);
	else if (initially_deferred != NIL)
		set_constraints(initially_deferred, true);
}

/*
 * Drop the temporary objects that this subtransaction made: the dependencies of
 * the temporary schema that carry its transaction ids. Those the session had
 * before stay.
 */
static void
drop_temporary_objects(void)
{
	TransactionId mine = GetCurrentTransactionIdIfAny();
	Oid schema = LookupNamespaceNoError("pg_temp");
	ObjectAddresses *made;
	Relation rel;
	SysScanDesc scan;
	ScanKeyData keys[2];
	HeapTuple tuple;

	if (!OidIsValid(schema) || !TransactionIdIsValid(mine))
		return;
	CommandCounterIncrement();
	made = new_object_addresses();
	rel = table_open(DependRelationId, AccessShareLock);
	ScanKeyInit(&keys[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(NamespaceRelationId));
	ScanKeyInit(&keys[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(schema));
	scan = systable_beginscan(rel, DependReferenceIndexId, true, NULL, 2, keys);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend depend = (Form_pg_depend) GETSTRUCT(tuple);
		TransactionId xmin = HeapTupleHeaderGetXmin(tuple->t_data);
		ObjectAddress object;

		if (!TransactionIdIsCurrentTransactionId(xmin) || TransactionIdPrecedes(xmin, mine))
			continue;
		ObjectAddressSubSet(object, depend->classid, depend->objid, depend->objsubid);
		add_exact_object_address(&object, made);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	performMultipleDeletions(made, DROP_CASCADE,
							 PERFORM_DELETION_INTERNAL | PERFORM_DELETION_QUIETLY);
	free_object_addresses(made);
}

/* The context that holds one child per open portal, the newest first. */
static MemoryContext
portals_context(void)
{
	static MemoryContext portals = NULL;

	for (MemoryContext cxt = TopMemoryContext->firstchild; portals == NULL && cxt != NULL;
		 cxt = cxt->nextchild)
		if (strcmp(cxt->name, "TopPortalContext") == 0)
			portals = cxt;
	if (portals == NULL)
		elog(ERROR, "the context of portals was not found");
	return portals;
}

/*
 * Close the cursors opened since newest was the newest portal, else the next task
 * could not open one of the same name.
 */
static void
close_cursors(MemoryContext newest)
{
	MemoryContext cxt = portals_context()->firstchild;

	while (cxt != NULL && cxt != newest)
	{
		Portal portal = NULL;

		/* what a portal holds has a context of its own, without identifier */
		if (strcmp(cxt->name, "PortalContext") == 0)
			portal = GetPortalByName(cxt->ident);
		if (PortalIsValid(portal) && portal->status != PORTAL_ACTIVE)
		{
			PortalDrop(portal, false);
			cxt = portals_context()->firstchild;
		}
		else
			cxt = cxt->nextchild;
	}
}

MemoryContext
attempt_newest_portal(void)
{
	return portals_context()->firstchild;
}

/* One of many parts of an attempt is over: leave none of its cursors and temporary objects. */
void
attempt_tidy(MemoryContext newest_portal)
{
	if (portals_context()->firstchild != newest_portal)
		close_cursors(newest_portal);
	if ((MyXactFlags & XACT_FLAGS_ACCESSEDTEMPNAMESPACE) != 0)
	{
		attempt_settle_constraints(); /* what has events pending cannot be dropped */
		drop_temporary_objects();
	}
}

/* Whether the attempt is to go no further: its time is up, or somebody cancels the task. */
bool
attempt_must_end(void)
{
	return (timer_armed && timer_fired) || (interruptible && interrupt_wanted);
}

/*
 * A part of an attempt was undone. True if that was because the attempt's own timeout is
 * over: then the parts done before stay, and the attempt ends as if all were done.
 */
bool
attempt_keep_what_was_done(const Attempt *attempt)
{
	if (interrupt_wanted || !timer_armed || !timer_fired || attempt->limit_end != ATTEMPT_TIMED_OUT)
		return false;
	timer_stop();
	timer_fired = false;
	return true;
}

/* Whether an error is the session's own cancellation, not one a handler raised. */
bool
attempt_is_cancel(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_QUERY_CANCELED && error->funcname != NULL &&
		   strcmp(error->funcname, "ProcessInterrupts") == 0;
}

ErrorData *
attempt_timeout_error(const Task *task)
{
	ErrorData *error = palloc0_object(ErrorData);

	error->elevel = ERROR;
	error->sqlerrcode = STENT_ERR_ATTEMPT_TIMEOUT;
	error->message =
		psprintf("attempt exceeded its timeout of %s", duration_text(interval_us(task->timeout)));
	return error;
}

/* Learn how long the attempt may last, and what ends it. */
static void
set_time_limit(const Task *task, Attempt *attempt)
{
	attempt->limit_us = -1;
	if (task->timeout != NULL)
	{
		attempt->limit_us = interval_us(task->timeout);
		attempt->limit_end = ATTEMPT_TIMED_OUT;
	}
	if (task->deadline != NO_TIME)
	{
		int64 left = Max(task->deadline - clock_now(), 0);

		if (attempt->limit_us < 0 || left < attempt->limit_us)
		{
			attempt->limit_us = left;
			attempt->limit_end = ATTEMPT_PAST_DEADLINE;
		}
	}
}

typedef struct HandlerCall
{
	Function *function;
	Jsonb *args;
	bool star; /* args that are an array are a list of arguments */
} HandlerCall;

static Jsonb *
call_handler(const Task *task, void *arg)
{
	HandlerCall *call = arg;
	Handler *handler = function_handler(call->function);

	if (handler == NULL)
		ereport(ERROR, (errcode(STENT_ERR_HANDLER_UNUSABLE),
						errmsg("function \"%s\" has no handler any more", call->function->name),
						errhint("It was registered again for external workers.")));
	/* an item of a map, which failed without its handler: what it means shows only now */
	if (!JB_ROOT_IS_OBJECT(call->args) && task->parent_id != NO_ID)
	{
		Jsonb *args = handler_args_of_item(handler, call->args, call->star);

		call->args = args != NULL ? args : call->args;
	}
	handler_check_args(handler, call->function->name, call->args);
	return handler_call(handler, call->args);
}

/* The part that may fail. Everything it leaves behind is the subtransaction's. */
static void
do_body(const Task *task, Attempt *attempt, AttemptBody body, void *arg, MemoryContext outer)
{
	MemoryContext newest_portal = portals_context()->firstchild;
	Jsonb *result = body(task, arg);
	MemoryContext old;

	if (portals_context()->firstchild != newest_portal)
		close_cursors(newest_portal);
	attempt_settle_constraints();
	/* also those in constraint triggers were met by now */
	if (steps_current() != NULL && !steps_current()->acting)
		steps_check_end(steps_current());
	if ((MyXactFlags & XACT_FLAGS_ACCESSEDTEMPNAMESPACE) != 0)
		drop_temporary_objects();
	if (result != NULL)
	{
		attempt->end = ATTEMPT_RESULT_TOO_LARGE;
		json_check_size(result, "result");
		attempt->end = ATTEMPT_FAILED;
		old = MemoryContextSwitchTo(outer);
		result = (Jsonb *) DatumGetPointer(
			PointerGetDatum(PG_DETOAST_DATUM_COPY(JsonbPGetDatum(result))));
		MemoryContextSwitchTo(old);
	}
	attempt->result = result;
}

/* How an attempt ended that raised an error. */
static void
judge_error(Task *task, Attempt *attempt)
{
	const Steps *steps = steps_current();

	if (interrupt_wanted)
		attempt->end = ATTEMPT_INTERRUPTED;
	else if (attempt->limit_us >= 0 && timer_fired)
	{
		attempt->end = attempt->limit_end;
		if (attempt->limit_end == ATTEMPT_TIMED_OUT)
			attempt->error = attempt_timeout_error(task);
	}
	else if (attempt_is_cancel(attempt->error))
		ReThrowError(attempt->error);
	else if (steps != NULL && steps->suspended && step_is_suspension(attempt->error, task))
		attempt->end = ATTEMPT_SUSPENDED;
	else if (steps != NULL && steps->suspended &&
			 attempt->error->sqlerrcode != STENT_ERR_SUSPENSION_SWALLOWED)
		attempt->error = step_swallowed(task, attempt->error);
	else if (step_is_child_error(attempt->error))
		attempt->final = true;
}

/* Run the task's handler, as attempt_do. */
void
attempt_run(Store *store, Task *task, Attempt *attempt)
{
	/* read before the subtransaction, which must not own what the store opens */
	HandlerCall call = {.function = function_by_id(store, task->function_id)};

	call.args = task->args_ref != NO_ID ? payload_get(store, task->args_ref) : task->args;
	if (JB_ROOT_IS_ARRAY(call.args) && !JB_ROOT_IS_SCALAR(call.args) && task->parent_id != NO_ID &&
		store_has_relation("map")) /* 0.4 has none */
	{
		MapRow map;

		call.star = map_row_find(store, task->parent_id, &map) && map.star;
	}
	attempt_do(store, task, attempt, call_handler, &call);
}

/*
 * Do something for a task as its attempt. On return the subtransaction is over, nothing
 * of it is left in the session, and attempt says how it ended. A cancellation of the
 * session itself goes through to the caller.
 */
void
attempt_do(Store *store, Task *task, Attempt *attempt, AttemptBody body, void *arg)
{
	MemoryContext outer = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorContextCallback *callers = error_context_stack;
	const Function *function = function_by_id(store, task->function_id);
	int guc_level;
	Oid user;
	int sec_context;

	memset(attempt, 0, sizeof(*attempt));
	attempt->end = ATTEMPT_FAILED;
	set_time_limit(task, attempt);
	guc_level = NewGUCNestLevel();
	GetUserIdAndSecContext(&user, &sec_context);
	current_task = task;
	interrupt_wanted = false;
	if (own_session)
		pgstat_report_activity(STATE_RUNNING,
							   psprintf("%s (task " INT64_FORMAT ", attempt %d)", function->name,
										task->id, task->attempt + 1));

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(outer);
	PG_TRY();
	{
		/*
		 * Under SET SESSION AUTHORIZATION a handler could RESET it and become the
		 * user who logged in; then it may change neither role nor session user.
		 */
		if (GetAuthenticatedUserId() != GetSessionUserId())
			SetUserIdAndSecContext(user, sec_context | SECURITY_LOCAL_USERID_CHANGE);
		/* where run() was called from is no part of the task's errors */
		error_context_stack = NULL;
		if (attempt->limit_us >= 0)
			timer_start(attempt->limit_us);
		begin_task(task);
		do_body(task, attempt, body, arg, outer);
		timer_stop();
		end_task();
		if (interrupt_wanted || (timer_fired && attempt->limit_us >= 0))
			ereport(ERROR, (errcode(ERRCODE_QUERY_CANCELED), errmsg("attempt took too long")));
		SetUserIdAndSecContext(user, sec_context);
		STENT_FAULT("run_before_release");
		ReleaseCurrentSubTransaction();
		error_context_stack = callers;
		attempt->end = ATTEMPT_SUCCEEDED;
	}
	PG_CATCH();
	{
		timer_stop();
		end_task();
		MemoryContextSwitchTo(outer);
		attempt->error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(outer);
	CurrentResourceOwner = owner;
	current_task = NULL;
	AtEOXact_GUC(false, guc_level);
	if (own_session)
		clear_session();

	attempt->used_temp = (MyXactFlags & XACT_FLAGS_ACCESSEDTEMPNAMESPACE) != 0;
	if (attempt->error != NULL)
		judge_error(task, attempt);
}
