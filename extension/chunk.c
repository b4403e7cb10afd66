/*
 * chunk.c
 *	  Running the items of a chunk, one after the other.
 *
 * A subtransaction for each item would cost more than most items do, and a transaction
 * must not have many of them. So items run in groups: one subtransaction a group. An
 * item that fails rolls its group back; those before it, whose effects were undone,
 * are run again as a group of their own, it itself is not, and what follows goes on in
 * smaller groups, that grow again. So an item may run several times, but what it does in
 * the database is done once.
 *
 * All groups are inside the attempt's own subtransaction: a cancellation undoes the
 * attempt, only its timeout keeps what was done. What the ends of the items mean is
 * left to chunk_settle.c.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

#include "archive.h"
#include "attempt.h"
#include "chunk.h"
#include "chunk_memo.h"
#include "commit_guard.h"
#include "compat.h"
#include "errors.h"
#include "fault.h"
#include "intern.h"
#include "json.h"
#include "map.h"

/* So many subtransactions a chunk has if nothing fails. */
#define GROUPS 30

/* What the handler is called with, for all items. */
typedef struct ChunkBody
{
	ChunkRun *run;
	Attempt *attempt;
	const Task *task;
	Function *function;
	Handler *handler;
	MemoryContext group_cxt;
	int at;           /* the item that runs now; -1: the group is being settled */
	bool too_large;   /* what fails is the result */
	ErrorData *error; /* of the last group */
} ChunkBody;

typedef enum GroupEnd
{
	GROUP_DONE,
	GROUP_ITEM_FAILED,
	GROUP_NOT_SETTLED, /* a deferred constraint: one of its items */
	GROUP_TIMED_OUT
} GroupEnd;

/* What an attempt at a chunk is about: the rows, and the items that have not ended. */
ChunkRun *
chunk_open(Store *store, const Task *task)
{
	ChunkRun *run = palloc0_object(ChunkRun);
	JsonElements walk;
	JsonElement element;
	int open = 0;

	run->cxt = CurrentMemoryContext;
	if (!map_row_find(store, task->parent_id, &run->map) ||
		!chunk_row_find(store, task->parent_id, task->chunk, &run->row))
		elog(ERROR, "chunk %d of map " INT64_FORMAT " is missing", task->chunk, task->parent_id);
	run->args = chunk_row_args(store, &run->row);
	run->before = chunk_row_results(store, &run->row);
	run->items = palloc0_array(ItemRun, Max(run->row.items, 1));
	json_array_begin(&run->results);
	json_elements_begin(&walk, run->args);
	for (int place = 0; json_elements_next(&walk, &element); place++)
	{
		if (run->row.n_open >= 0 && (open == run->row.n_open || run->row.open[open] != place))
			continue;
		open++;
		run->items[run->n].place = place;
		run->items[run->n].element = element;
		run->items[run->n].result = -1;
		run->n++;
	}
	return run;
}

/* The item failed in this attempt. */
void
chunk_fail_item(ItemRun *item, const char *code, Jsonb *error, bool final)
{
	item->end = ITEM_FAILED;
	item->code = code;
	item->error = error;
	item->final = final;
}

/* All items that have not ended failed in the same way. */
void
chunk_fail_rest(ChunkRun *run, const char *code, Jsonb *error, bool final)
{
	for (int i = 0; i < run->n; i++)
		if (run->items[i].end == ITEM_OPEN)
			chunk_fail_item(&run->items[i], code, error, final);
}

/* Refuse a result that the chunk has no room for, beside those of this attempt and before. */
static void
check_room(const ChunkRun *run, Size size)
{
	if (!json_array_fits(&run->results, size + (run->before == NULL ? 0 : VARSIZE(run->before))))
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("the results of a chunk exceed %d bytes", JENTRY_OFFLENMASK),
				 errhint("Give a smaller chunk_size, or store large values in a table and return "
						 "their key.")));
}

/* Call the handler for one item, and leave nothing of it but its effects and its result. */
static void
run_item(ChunkBody *body, ItemRun *item)
{
	static const JsonElement null = {JENTRY_ISNULL, NULL, 0};
	ChunkRun *run = body->run;
	MemoryContext newest_portal = attempt_newest_portal();
	int guc_level = NewGUCNestLevel();
	Jsonb *result;

	result = handler_call_item(body->handler, body->function->name,
							   json_element_value(&item->element), run->map.star);
	AtEOXact_GUC(false, guc_level);
	attempt_tidy(newest_portal);
	item->result = run->results.n;
	if (result == NULL)
		json_array_add(&run->results, &null);
	else
	{
		body->too_large = true;
		json_check_size(result, "result");
		check_room(run, VARSIZE(result));
		json_array_add_value(&run->results, result);
		body->too_large = false;
	}
}

/*
 * Run the items from one up to another that have not ended in a subtransaction. Unless
 * all is well nothing of them is left, and body tells at which item and why.
 */
static GroupEnd
run_group(ChunkBody *body, int from, int to)
{
	ChunkRun *run = body->run;
	ResourceOwner owner = CurrentResourceOwner;
	JsonArrayMark mark = json_array_mark(&run->results);
	volatile GroupEnd end = GROUP_DONE;

	body->too_large = false;
	BeginInternalSubTransaction(NULL);
	PG_TRY();
	{
		/* see what the groups before have done */
		CommandCounterIncrement();
		PushActiveSnapshot(GetTransactionSnapshot());
		MemoryContextSwitchTo(body->group_cxt);
		for (body->at = from; body->at < to; body->at++)
		{
			CHECK_FOR_INTERRUPTS();
			if (run->items[body->at].end == ITEM_OPEN)
				run_item(body, &run->items[body->at]);
		}
		body->at = -1;
		attempt_settle_constraints();
		if (attempt_must_end())
			ereport(ERROR, (errcode(ERRCODE_QUERY_CANCELED), errmsg("attempt took too long")));
		PopActiveSnapshot();
		ReleaseCurrentSubTransaction();
		for (int i = from; i < to; i++)
			if (run->items[i].end == ITEM_OPEN)
				run->items[i].end = ITEM_DONE;
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(run->cxt);
		body->error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		end = body->at < 0 ? GROUP_NOT_SETTLED : GROUP_ITEM_FAILED;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(run->cxt);
	MemoryContextReset(body->group_cxt);
	CurrentResourceOwner = owner;
	if (end == GROUP_DONE)
		return end;
	json_array_cut(&run->results, mark);
	if (attempt_keep_what_was_done(body->attempt))
		return GROUP_TIMED_OUT;
	if (attempt_must_end() || attempt_is_cancel(body->error))
		ReThrowError(body->error);
	return end;
}

/* The item that an error is about has failed, unless it was a conflict, which is nobody's fault. */
static void
note_failure(ChunkBody *body, int at)
{
	const Task *task = body->task;
	ItemRun *item = &body->run->items[at];
	ErrorData *error = body->error;

	if ((error->sqlerrcode == ERRCODE_T_R_DEADLOCK_DETECTED ||
		 error->sqlerrcode == ERRCODE_T_R_SERIALIZATION_FAILURE) &&
		commit_guard_conflict(task->id, task->replays, task->attempt))
	{
		body->attempt->end = ATTEMPT_CONFLICT;
		ReThrowError(error);
	}
	chunk_fail_item(item, pstrdup(unpack_sql_state(error->sqlerrcode)), json_error(error, false),
					body->too_large);
	item->args =
		handler_item_args(body->handler, json_element_value(&item->element), body->run->map.star);
	FreeErrorData(error);
}

/* The attempt's time is over: what has not ended failed by that. */
static void
time_out(ChunkBody *body)
{
	ErrorData *error = attempt_timeout_error(body->task);

	for (int i = 0; i < body->run->n; i++)
	{
		ItemRun *item = &body->run->items[i];

		if (item->end == ITEM_OPEN)
			item->args = handler_item_args(body->handler, json_element_value(&item->element),
										   body->run->map.star);
	}
	chunk_fail_rest(body->run, pstrdup(unpack_sql_state(error->sqlerrcode)),
					json_error(error, false), false);
}

/* All items, in groups. */
static void
run_items(ChunkBody *body)
{
	ChunkRun *run = body->run;
	int most = Max((run->n + GROUPS - 1) / GROUPS, 1);
	int size = most;
	int again = 0;       /* the next so many were undone by the one that failed behind them */
	int alone_until = 0; /* a constraint failed: up to here each by itself */

	for (int at = 0; at < run->n;)
	{
		int to = Min(at + (at < alone_until ? 1 : again > 0 ? again : size), run->n);

		if (run->items[at].end != ITEM_OPEN)
		{
			at++;
			again = Max(again - 1, 0);
			continue;
		}
		switch (run_group(body, at, to))
		{
			case GROUP_DONE:
				if (again == 0 && at >= alone_until)
					size = Min(2 * size, most);
				again = 0;
				at = to;
				break;
			case GROUP_ITEM_FAILED:
				note_failure(body, body->at);
				size = Max(size / 2, 1);
				again = body->at - at;
				break;
			case GROUP_NOT_SETTLED:
				if (to - at == 1)
					note_failure(body, at);
				else
					alone_until = to;
				again = 0;
				break;
			case GROUP_TIMED_OUT:
				time_out(body);
				return;
		}
	}
}

/* The part of the attempt that may fail as a whole. */
static Jsonb *
run_body(const Task *task, void *arg)
{
	ChunkBody *body = arg;

	body->handler = function_handler(body->function);
	if (body->handler == NULL)
		ereport(ERROR, (errcode(STENT_ERR_HANDLER_UNUSABLE),
						errmsg("function \"%s\" has no handler any more", body->function->name),
						errhint("It was registered again for external workers.")));
	body->group_cxt = AllocSetContextCreate(body->run->cxt, "stent items", ALLOCSET_DEFAULT_SIZES);
	run_items(body);
	MemoryContextDelete(body->group_cxt);
	return NULL;
}

/* Run the items of a chunk that have not ended. */
void
chunk_run(Store *store, Task *task, Attempt *attempt)
{
	ChunkBody body = {.run = chunk_open(store, task),
					  .attempt = attempt,
					  .task = task,
					  .function = function_by_id(store, task->function_id)};

	chunk_memo_prepare(store, body.run, body.function, lane_get(store, task->lane_id)->role);
	STENT_FAULT("chunk_begin");
	attempt_do(store, task, attempt, run_body, &body);
	STENT_FAULT("chunk_end");
	attempt->chunk = body.run;
}
