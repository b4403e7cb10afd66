/*
 * suspend_order.c
 *	  The steps that a worker gives to suspend(), made those of its task.
 *
 * What is wrong with one is found here, before anything is written: what functions there
 * are and take, which tasks exist, what the task remembers. Children and rows are written by
 * settle.c.
 *
 * Children belong to the role that dispatched the task, as those of a SQL handler do, so all
 * is looked up as that role. A SQL function runs with that role's rights, so only a worker
 * that has them may call one.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"

#include "access.h"
#include "child_make.h"
#include "clock.h"
#include "intern.h"
#include "json.h"
#include "lease_call.h"
#include "map.h"
#include "registry.h"
#include "step_calls.h"
#include "step_local.h"
#include "suspend_order.h"

typedef struct Ordering
{
	Store *store;
	Steps *steps;
	const char *worker; /* its role */
	bool trusted;       /* which may act for the task's */
} Ordering;

static int64
timeout_us(const Interval *timeout)
{
	return timeout == NULL ? 0 : interval_us(timeout);
}

/* Refuse what would give the worker rights that it does not have. */
static void
check_rights(const Ordering *ordering, const Options *options)
{
	if (ordering->trusted || options->function->handler_name == NULL)
		return;
	ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					errmsg("role \"%s\" may not have function \"%s\" run as \"%s\"",
						   ordering->worker, options->function->name, options->role),
					errdetail("A SQL function runs with the rights of the role that dispatched "
							  "the task."),
					errhint("GRANT %s TO %s, or have a worker run the function.",
							quote_identifier(options->role), quote_identifier(ordering->worker))));
}

/* Note the child that a step is to make. */
static Step *
order_child(const Ordering *ordering, const StepOrder *order)
{
	Store *store = ordering->store;
	Options options;
	NewChild *child;
	Step *step;

	dispatch_check_options(store, &order->options.given, &options);
	check_rights(ordering, &options);
	dispatch_check_args(options.function, function_handler(options.function), order->args);
	child = child_prepare(store, &options, ordering->steps->task, order->args,
						  order->concurrency_key, order->idempotency_key, order->kind == STEP_CALL);
	step = step_place(order->kind, order->name, order->number, options.function->id,
					  step_digest_json(order->args));
	step_to_make(step, child_make, child);
	if (order->kind == STEP_SPAWN)
		step->child_id = child->task.id;
	return step;
}

/* Note the map that a step is to make. */
static Step *
order_map(const Ordering *ordering, const StepOrder *order)
{
	Store *store = ordering->store;
	Options options;
	Step *step;

	dispatch_check_options(store, &order->options.given, &options);
	check_rights(ordering, &options);
	step = step_place(order->kind, order->name, order->number, options.function->id,
					  step_digest_json(order->items));
	map_step_make(store, step, &options, &order->map, order->items);
	return step;
}

/* Refuse tasks whose results are not for the worker. */
static void
check_targets(const Ordering *ordering, const int64 *ids, int n)
{
	const Task *task = ordering->steps->task;

	for (int i = 0; i < n && !ordering->trusted; i++)
	{
		Ending ending;

		ending_read(ordering->store, ids[i], &ending);
		if (ending.state != TASK_NEW && ending.execution_id != task->execution_id)
			ereport(
				ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("role \"%s\" may not wait for task " INT64_FORMAT, ordering->worker,
						ids[i]),
				 errdetail("It belongs to another execution."),
				 errhint("A worker that is a member of the role that dispatched task " INT64_FORMAT
						 " may.",
						 task->id)));
	}
}

/* Note which tasks a step waits for. */
static Step *
order_wait(const Ordering *ordering, const StepOrder *order, Step *const *made)
{
	int64 *ids = palloc_array(int64, Max(order->n_targets, 1));
	bool one = order->kind == STEP_AWAIT;
	Step *step;

	for (int i = 0; i < order->n_targets; i++)
		ids[i] = order->targets[i].id != NO_ID ? order->targets[i].id
											   : made[order->targets[i].step]->child_id;
	if (one)
		step_require_task(ids[0]);
	else
		step_require_tasks(ids, order->n_targets);
	check_targets(ordering, ids, order->n_targets);
	step = step_place(order->kind, order->name, order->number, 0,
					  step_digest(order->n_targets == 0 ? (const void *) "" : ids,
								  order->n_targets * sizeof(int64)));
	step_note_tasks(step, ordering->steps, ids, order->n_targets, timeout_us(order->timeout));
	if (one)
		step->child_id = ids[0];
	return step;
}

/* Note the signal that a step waits for. */
static Step *
order_signal(const Ordering *ordering, const StepOrder *order)
{
	const Steps *steps = ordering->steps;
	Step *step = step_place(order->kind, order->name, order->number, 0,
							step_digest(order->signal, strlen(order->signal)));

	if (order->timeout != NULL)
		step->wake_at = step_moment_after(order->timeout, "timeout");
	step->detail = step_signal_detail(
		order->signal, "after", step_last_signal(steps, order->signal), steps->task->execution_id);
	return step;
}

/* Add a step to those of the task. */
static Step *
order_step(const Ordering *ordering, const StepOrder *order, Step *const *made)
{
	Step *step;

	switch (order->kind)
	{
		case STEP_CALL:
		case STEP_SPAWN:
			return order_child(ordering, order);
		case STEP_MAP:
			return order_map(ordering, order);
		case STEP_AWAIT:
		case STEP_AWAIT_ALL:
			return order_wait(ordering, order, made);
		case STEP_SIGNAL:
			return order_signal(ordering, order);
		default:
			step = step_place(order->kind, order->name, order->number, 0, 0);
	}
	if (order->kind == STEP_SLEEP)
		step->wake_at = step_moment_after(order->duration, "duration");
	else if (order->error != NULL)
		step_failed(step,
					json_error_given(order->error, lease_call_error_code(order->error), false));
	else
		step_done(step, order->result);
	return step;
}

/* Add all of them, as the role that dispatched the task. */
void
suspend_order(Store *store, Steps *steps, StepOrder *orders, int n)
{
	const char *role = lane_get(store, steps->task->lane_id)->role;
	Oid role_id = get_role_oid(role, true);
	Ordering ordering = {
		.store = store, .steps = steps, .worker = GetUserNameFromId(GetUserId(), false)};
	Step **made = palloc_array(Step *, Max(n, 1));
	ErrorContextCallback callback = {.callback = suspend_read_context,
									 .previous = error_context_stack};
	Oid user;
	int sec_context;

	if (!OidIsValid(role_id))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("role \"%s\" does not exist any more", role),
						errhint("It dispatched task " INT64_FORMAT ", which makes steps as that "
								"role. Cancel it.",
								steps->task->id)));
	ordering.trusted = caller_may_act_for(role) || has_privs_of_role(GetUserId(), role_id);
	GetUserIdAndSecContext(&user, &sec_context);
	SetUserIdAndSecContext(role_id, sec_context | SECURITY_LOCAL_USERID_CHANGE);
	error_context_stack = &callback;
	for (int i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		callback.arg = &orders[i];
		made[i] = order_step(&ordering, &orders[i], made);
	}
	error_context_stack = callback.previous;
	SetUserIdAndSecContext(user, sec_context);
}
