/*
 * dispatch.c
 *	  dispatch() and dispatch_many(): new executions in the caller's transaction.
 *
 * Everything is checked before anything is written. A task that is ready at once
 * takes three writes: its row, its ready entry, and a number of the sequence that
 * serves as id and as position.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "archive.h"
#include "clock.h"
#include "compat.h"
#include "context.h"
#include "counter.h"
#include "dispatch.h"
#include "due.h"
#include "errors.h"
#include "fault.h"
#include "intern.h"
#include "json.h"
#include "line.h"
#include "memo.h"
#include "notes.h"
#include "ready.h"
#include "registry.h"
#include "retry.h"
#include "task.h"

#define MAX_KEY_LENGTH 1000

/* Rows of dispatch_many that are written together. */
#define BULK_ROWS 500

typedef enum OnDuplicate
{
	DUPLICATE_JOINS,
	DUPLICATE_REPLACES,
	DUPLICATE_FAILS
} OnDuplicate;

static bool
given(FunctionCallInfo fcinfo, int arg)
{
	return arg >= 0 && !PG_ARGISNULL(arg);
}

static Timestamp
add_interval(Timestamp moment, Interval *interval)
{
	return DatumGetTimestamp(DirectFunctionCall2(timestamp_pl_interval, TimestampGetDatum(moment),
												 IntervalPGetDatum(interval)));
}

/* A positive interval option; zero is the same as none. */
static Interval *
duration_option(Interval *interval, const char *what)
{
	if (interval == NULL)
		return NULL;
	interval_check(interval, what);
	return interval_us(interval) == 0 ? NULL : interval;
}

/* Refuse what no executor could ever run, rather than keep it for ever. */
static void
check_role(const Function *function)
{
	HeapTuple tuple;
	bool can_login;

	if (!ROLE_MUST_LOG_IN || function->handler_name == NULL)
		return;
	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(GetUserId()));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for role %u", GetUserId());
	can_login = ((Form_pg_authid) GETSTRUCT(tuple))->rolcanlogin;
	ReleaseSysCache(tuple);
	if (!can_login)
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("role \"%s\" cannot log in, so its tasks could not run",
							   GetUserNameFromId(GetUserId(), false)),
						errdetail("A task runs in a session of the role that dispatched it."),
						errhint("ALTER ROLE %s LOGIN, or dispatch as a role that can log in.",
								quote_identifier(GetUserNameFromId(GetUserId(), false)))));
}

/*
 * Refuse what no worker can be given: it gets UTF-8. Every database can give that but one
 * of encoding SQL_ASCII, whose bytes are what they are: a task with others would fail each
 * claim that takes it.
 */
static void
check_utf8(const char *text, const char *what)
{
	if (GetDatabaseEncoding() != PG_SQL_ASCII || pg_verify_mbstr(PG_UTF8, text, strlen(text), true))
		return;
	ereport(
		ERROR,
		(errcode(ERRCODE_CHARACTER_NOT_IN_REPERTOIRE), errmsg("%s must be UTF-8", what),
		 errhint("The function is run by workers, and the encoding of this database, SQL_ASCII, "
				 "does not say what other bytes mean.")));
}

/* The same for all texts in it. */
void
dispatch_check_utf8(Jsonb *json, const char *what)
{
	if (GetDatabaseEncoding() == PG_SQL_ASCII)
		check_utf8(JsonbToCString(NULL, &json->root, VARSIZE(json)), what);
}

/* Check what was given for a new task; what was not comes from the registration. */
void
dispatch_check_options(Store *store, const GivenOptions *given, Options *options)
{
	Function *function;
	Interval *delay;
	Interval *max_duration;

	memset(options, 0, sizeof(*options));
	if (given->function == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("function must not be null"),
				 errhint("Give the name of a registered function; see the view stent.functions.")));
	function = options->function = function_by_name(store, text_to_cstring(given->function));
	check_role(function);
	options->now = clock_now();

	options->queue = given->queue != NULL ? check_name(given->queue, "queue") : function->queue;
	options->priority =
		given->priority != NULL ? check_priority(*given->priority) : function->priority;
	options->tags = given->tags != NULL ? check_tags(given->tags) : function->tags;

	options->due_at = NO_TIME;
	delay = duration_option(given->delay, "delay");
	if (given->delay != NULL && given->run_at != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("delay and run_at exclude each other"), errhint("Give one of them.")));
	if (delay != NULL)
		options->due_at = add_interval(options->now, delay);
	else if (given->run_at != NULL)
	{
		options->due_at = *given->run_at;
		if (TIMESTAMP_NOT_FINITE(options->due_at))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("run_at must be finite"),
					 errhint("Give a UTC time, such as stent.now() + interval '1 day'.")));
		if (options->due_at <= options->now)
			options->due_at = NO_TIME;
	}

	options->deadline = NO_TIME;
	max_duration = given->max_duration != NULL
					   ? duration_option(given->max_duration, "max_duration")
					   : function->max_duration;
	if (max_duration != NULL)
		options->deadline =
			add_interval(options->due_at != NO_TIME ? options->due_at : options->now, max_duration);
	options->timeout =
		given->timeout != NULL ? duration_option(given->timeout, "timeout") : function->timeout;
	options->policy_id = function->policy_id;
	if (given->retry != NULL)
		options->policy_id = policy_intern(
			store,
			retry_to_jsonb(retry_parse(given->retry, policy_get(store, function->policy_id))));
	if (given->headers != NULL)
	{
		options->headers = given->headers;
		if (!JB_ROOT_IS_OBJECT(options->headers))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("headers must be an object, not %s", json_text(options->headers)),
					 errhint("Give an object such as {\"trace\": \"abc\"}.")));
		json_check_size(options->headers, "headers");
	}

	strlcpy(options->role, GetUserNameFromId(GetUserId(), false), NAMEDATALEN);
	options->lane_id =
		lane_intern(store, options->role, function->id, options->queue, options->tags);
	options->bucket = ready_bucket(options->role, options->priority, options->lane_id);
	if (options->function->handler_name == NULL)
	{
		check_utf8(options->queue, "queue");
		if (options->headers != NULL)
			dispatch_check_utf8(options->headers, "headers");
	}
}

/* Read and check the options of a new task of a function, the first argument. */
void
dispatch_read_options(FunctionCallInfo fcinfo, Store *store, const OptionArgs *at, Options *options)
{
	GivenOptions options_given = {0};
	int32 priority;
	Timestamp run_at;

	if (given(fcinfo, 0))
		options_given.function = PG_GETARG_TEXT_PP(0);
	if (given(fcinfo, at->queue))
		options_given.queue = PG_GETARG_TEXT_PP(at->queue);
	if (given(fcinfo, at->priority))
	{
		priority = PG_GETARG_INT32(at->priority);
		options_given.priority = &priority;
	}
	if (given(fcinfo, at->tags))
		options_given.tags = PG_GETARG_ARRAYTYPE_P(at->tags);
	if (given(fcinfo, at->delay))
		options_given.delay = PG_GETARG_INTERVAL_P(at->delay);
	if (given(fcinfo, at->run_at))
	{
		run_at = PG_GETARG_TIMESTAMP(at->run_at);
		options_given.run_at = &run_at;
	}
	if (given(fcinfo, at->max_duration))
		options_given.max_duration = PG_GETARG_INTERVAL_P(at->max_duration);
	if (given(fcinfo, at->timeout))
		options_given.timeout = PG_GETARG_INTERVAL_P(at->timeout);
	if (given(fcinfo, at->retry))
		options_given.retry = PG_GETARG_JSONB_P(at->retry);
	if (given(fcinfo, at->headers))
		options_given.headers = PG_GETARG_JSONB_P_COPY(at->headers);
	dispatch_check_options(store, &options_given, options);
}

/* Refuse args that no attempt could take; the handler must be callable now. */
void
dispatch_check_args(Function *function, Handler *handler, Jsonb *args)
{
	json_check_size(args, "args");
	if (handler != NULL)
		handler_check_args(handler, function->name, args);
	else
		dispatch_check_utf8(args, "args");
}

/* A task with these options, not stored yet, the root of a new execution. */
void
dispatch_new_task(const Options *options, Task *task)
{
	memset(task, 0, sizeof(*task));
	task->id = task->execution_id = store_next_id();
	task->created_at = options->now;
	task->due_at = options->due_at;
	task->deadline = options->deadline;
	task->timeout = options->timeout;
	task->function_id = options->function->id;
	task->lane_id = options->lane_id;
	task->policy_id = options->policy_id;
	task->priority = options->priority;
	task->headers = options->headers;
	task->started_at = task->finished_at = NO_TIME;
	task->state = TASK_NEW;
	task->chunk = NO_CHUNK;
}

/*
 * A new task begins to exist: at its time, at once, or as completed, where an item of a
 * map has done what it is for. memo: what was claimed for it, or NULL.
 */
void
dispatch_task(Store *store, Task *task, const Memo *memo)
{
	if (memo != NULL && memo->done != NULL)
	{
		task->finished_at = clock_now();
		task->result = memo->done;
		task_move(store, task, TASK_COMPLETED);
		return;
	}
	task_move(store, task, task->due_at != NO_TIME ? TASK_SCHEDULED : TASK_READY);
}

static OnDuplicate
on_duplicate_option(FunctionCallInfo fcinfo, int arg)
{
	char *given_text;

	if (PG_ARGISNULL(arg))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("on_duplicate must not be null"),
				 errhint("Use join, replace or error.")));
	given_text = text_to_cstring(PG_GETARG_TEXT_PP(arg));
	if (strcmp(given_text, "join") == 0)
		return DUPLICATE_JOINS;
	if (strcmp(given_text, "replace") == 0)
		return DUPLICATE_REPLACES;
	if (strcmp(given_text, "error") == 0)
		return DUPLICATE_FAILS;
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("invalid on_duplicate: \"%s\"", given_text),
					errhint("Use join, replace or error.")));
}

/* One of the caller's own keys. */
char *
dispatch_check_key(char *key, const char *what)
{
	if (*key == '\0' || strlen(key) > MAX_KEY_LENGTH)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must have 1 to %d bytes, not %zu", what, MAX_KEY_LENGTH, strlen(key)),
				 errhint("Hash a long key, for example with sha256().")));
	return key;
}

/* The same as an argument, or NULL. */
char *
dispatch_key_option(FunctionCallInfo fcinfo, int arg, const char *what)
{
	if (PG_ARGISNULL(arg))
		return NULL;
	return dispatch_check_key(text_to_cstring(PG_GETARG_TEXT_PP(arg)), what);
}

/* Try to own a dedup key; waits for a transaction that is adding or freeing it. */
static bool
dedup_insert(const Options *options, const char *key, int64 task_id)
{
	Oid types[4] = {TEXTOID, INT4OID, TEXTOID, INT8OID};
	Datum values[4];
	ColdSql cold;
	bool inserted;

	values[0] = CStringGetTextDatum(options->role);
	values[1] = Int32GetDatum(options->function->id);
	values[2] = CStringGetTextDatum(key);
	values[3] = Int64GetDatum(task_id);
	cold_begin(&cold);
	if (SPI_execute_with_args("INSERT INTO stent.dedup (role, function_id, key, task_id) "
							  "VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
							  4, types, values, NULL, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "inserting a dedup key failed");
	inserted = SPI_processed == 1;
	cold_end(&cold);
	return inserted;
}

/* The live task that owns a dedup key, or NO_ID. */
static int64
dedup_owner(Store *store, const Options *options, const char *key)
{
	StoreRel *table = store_table(store, STORE_DEDUP);
	ScanKeyData keys[3];
	int64 owner = NO_ID;
	bool isnull;

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(options->function->id));
	ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_TEXTEQ, CStringGetTextDatum(key));
	ScanKeyInit(&keys[2], 3, BTEqualStrategyNumber, F_TEXTEQ, CStringGetTextDatum(options->role));
	keys[1].sk_collation = keys[2].sk_collation = DEFAULT_COLLATION_OID;
	if (store_find(table, GetActiveSnapshot(), keys, 3))
		owner = DatumGetInt64(slot_getattr(table->out, 4, &isnull));
	ExecClearTuple(table->out);
	return owner;
}

/* Give a task that has not started other args and another due time. */
static void
replace_task(Store *store, const Options *options, int64 id, const char *key, Jsonb *args)
{
	Task *task = task_find_live(store, id);
	bool taken = false;

	if (task != NULL && task->attempt == 0)
	{
		if (task->state == TASK_READY)
			taken = ready_take(store, ready_bucket(options->role, task->priority, task->lane_id),
							   task_position(task));
		else if (task->state == TASK_SCHEDULED)
			taken = due_take(store, ready_bucket(options->role, task->priority, task->lane_id),
							 task->due_at, task->id, DUE_READY);
		else if (task->state == TASK_BLOCKED)
			taken = line_take(store, task);
	}
	if (!taken)
		ereport(ERROR,
				(errcode(STENT_ERR_ALREADY_STARTED),
				 errmsg("task " INT64_FORMAT " of dedup key \"%s\" has already started", id, key),
				 errhint("Dispatch again when it has finished, or use on_duplicate => 'join'.")));
	if (task->deadline != NO_TIME)
		(void) due_take(store, options->bucket, task->deadline, task->id, DUE_DEADLINE);
	if (task->args_ref != NO_ID)
	{
		StoreRel *payload = store_table(store, STORE_PAYLOAD);

		if (store_find_id(payload, GetActiveSnapshot(), task->args_ref))
			store_delete_found(payload);
		ExecClearTuple(payload->out);
	}
	memo_forget(store, id);
	task->args = args;
	payload_place(store, &task->args, &task->args_ref);
	task->due_at = options->due_at;
	task->deadline = options->deadline;
	task_move(store, task, options->due_at != NO_TIME ? TASK_SCHEDULED : TASK_READY);
	if (task->deadline != NO_TIME)
		due_insert(store, task->deadline, task->id, DUE_DEADLINE, options->bucket);
}

/*
 * Decide by dedup key: true with the id of the task that serves, or false when
 * the new task shall be written.
 */
static bool
deduplicate(Store *store, const Options *options, OnDuplicate on_duplicate, const char *key,
			Jsonb *args, int64 new_id, int64 *id)
{
	for (;;)
	{
		int64 owner;

		CHECK_FOR_INTERRUPTS();
		if (dedup_insert(options, key, new_id))
			return false;
		CommandCounterIncrement();
		PushActiveSnapshot(GetTransactionSnapshot());
		owner = dedup_owner(store, options, key);
		if (owner != NO_ID)
		{
			if (on_duplicate == DUPLICATE_FAILS)
				ereport(ERROR,
						(errcode(ERRCODE_UNIQUE_VIOLATION),
						 errmsg("live task " INT64_FORMAT " of \"%s\" already has dedup key \"%s\"",
								owner, options->function->name, key),
						 errhint("Wait until it has finished, or use on_duplicate => 'join'.")));
			if (on_duplicate == DUPLICATE_REPLACES)
				replace_task(store, options, owner, key, args);
		}
		PopActiveSnapshot();
		if (owner != NO_ID)
		{
			*id = owner;
			return true;
		}
		/* it finished in between: the key is free again */
	}
}

/* The pairs of an object option such as counters. */
static void
each_pair(Jsonb *object, const char *what, void (*visit)(Store *, int64, char *, JsonbValue *),
		  Store *store, int64 execution_id)
{
	JsonbIterator *it = JsonbIteratorInit(&object->root);
	JsonbIteratorToken token;
	JsonbValue key;
	JsonbValue value;

	while ((token = JsonbIteratorNext(&it, &key, true)) != WJB_DONE)
	{
		char *name;

		if (token != WJB_KEY)
			continue;
		name = pnstrdup(key.val.string.val, key.val.string.len);
		notes_check_length(psprintf("a key of %s", what), key.val.string.len);
		(void) JsonbIteratorNext(&it, &value, true);
		visit(store, execution_id, name, &value);
	}
}

static void
add_counter(Store *store, int64 execution_id, char *name, JsonbValue *value)
{
	if (value->type != jbvNumeric)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("counter \"%s\" must be a number, not %s", name, json_value_text(value)),
				 errhint("Give counters as {\"name\": number}.")));
	counter_check(name, value->val.numeric);
	if (store != NULL)
		counter_insert(store, execution_id, name, value->val.numeric);
}

static void
add_context(Store *store, int64 execution_id, char *key, JsonbValue *value)
{
	if (store != NULL)
		context_insert(store, execution_id, key, JsonbValueToJsonb(value));
}

static Jsonb *
object_option(FunctionCallInfo fcinfo, int arg, const char *what)
{
	Jsonb *object;

	if (PG_ARGISNULL(arg))
		return NULL;
	object = PG_GETARG_JSONB_P_COPY(arg);
	if (!JB_ROOT_IS_OBJECT(object))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s must be an object, not %s", what, json_text(object)),
						errhint("Give an object such as {\"name\": 0}.")));
	json_check_size(object, what);
	return object;
}

enum
{
	DISPATCH_FUNCTION,
	DISPATCH_ARGS,
	DISPATCH_QUEUE,
	DISPATCH_PRIORITY,
	DISPATCH_TAGS,
	DISPATCH_DELAY,
	DISPATCH_RUN_AT,
	DISPATCH_MAX_DURATION,
	DISPATCH_TIMEOUT,
	DISPATCH_RETRY,
	DISPATCH_DEDUP_KEY,
	DISPATCH_ON_DUPLICATE,
	DISPATCH_IDEMPOTENCY_KEY,
	DISPATCH_CONCURRENCY_KEY,
	DISPATCH_HEADERS,
	DISPATCH_COUNTERS,
	DISPATCH_CONTEXT
};

PG_FUNCTION_INFO_V1(stent_dispatch);
Datum
stent_dispatch(PG_FUNCTION_ARGS)
{
	static const OptionArgs at = {DISPATCH_QUEUE,   DISPATCH_PRIORITY, DISPATCH_TAGS,
								  DISPATCH_DELAY,   DISPATCH_RUN_AT,   DISPATCH_MAX_DURATION,
								  DISPATCH_TIMEOUT, DISPATCH_RETRY,    DISPATCH_HEADERS};
	Store *store;
	Options options;
	OnDuplicate on_duplicate;
	char *dedup_key;
	char *concurrency_key;
	char *idempotency_key;
	Memo memo;
	bool remember;
	Jsonb *args;
	Jsonb *counters;
	Jsonb *context;
	Task task;
	int64 id;

	if (PG_ARGISNULL(DISPATCH_ARGS))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("args must not be null"),
						errhint("Leave args out, or give '{}'.")));
	args = PG_GETARG_JSONB_P(DISPATCH_ARGS);
	on_duplicate = on_duplicate_option(fcinfo, DISPATCH_ON_DUPLICATE);
	counters = object_option(fcinfo, DISPATCH_COUNTERS, "counters");
	context = object_option(fcinfo, DISPATCH_CONTEXT, "context");
	if (counters != NULL)
		each_pair(counters, "counters", add_counter, NULL, NO_ID);
	if (context != NULL)
		each_pair(context, "context", add_context, NULL, NO_ID);
	dedup_key = dispatch_key_option(fcinfo, DISPATCH_DEDUP_KEY, "dedup_key");
	idempotency_key = dispatch_key_option(fcinfo, DISPATCH_IDEMPOTENCY_KEY, "idempotency_key");
	concurrency_key = dispatch_key_option(fcinfo, DISPATCH_CONCURRENCY_KEY, "concurrency_key");

	store = store_open("stent.dispatch()");
	dispatch_read_options(fcinfo, store, &at, &options);
	dispatch_check_args(options.function, function_handler(options.function), args);

	STENT_FAULT("dispatch_begin");
	dispatch_new_task(&options, &task);
	task.dedup_key = dedup_key;
	task.concurrency_key = concurrency_key;
	id = task.id;
	remember = memo_prepare(&memo, options.function, options.role, idempotency_key, args);
	if (remember)
		id = memo_claim(store, &memo, task.id);
	if (id != task.id)
	{
		/* an earlier one serves */
	}
	else if (dedup_key != NULL &&
			 deduplicate(store, &options, on_duplicate, dedup_key, args, task.id, &id))
	{
		if (remember)
			memo_move(store, &memo, id);
	}
	else
	{
		task.args = args;
		payload_place(store, &task.args, &task.args_ref);
		dispatch_task(store, &task, remember ? &memo : NULL);
		if (counters != NULL)
			each_pair(counters, "counters", add_counter, store, task.execution_id);
		if (context != NULL)
			each_pair(context, "context", add_context, store, task.execution_id);
	}
	store_close(store);
	STENT_FAULT("dispatch_end");
	PG_RETURN_INT64(id);
}

/* Slots that are filled and written BULK_ROWS at a time. */
typedef struct BulkSlots
{
	TupleTableSlot *live[BULK_ROWS];
	TupleTableSlot *ready[BULK_ROWS];
	int n; /* made so far */
} BulkSlots;

/* Write the rows of many ready tasks, heap pages at a time. */
static void
insert_many(Store *store, const Options *options, BulkSlots *slots, Task *tasks, int n)
{
	StoreRel *live = store_table(store, STORE_TASK);
	StoreRel *ready = store_table(store, STORE_READY);
	int natts = live->in->tts_tupleDescriptor->natts;
	Datum values[TASK_COLUMNS];
	bool nulls[TASK_COLUMNS];

	for (; slots->n < n; slots->n++)
	{
		slots->live[slots->n] = table_slot_create(live->rel, NULL);
		slots->ready[slots->n] = table_slot_create(ready->rel, NULL);
	}
	for (int i = 0; i < n; i++)
	{
		Task *task = &tasks[i];
		TupleTableSlot *entry = slots->ready[i];

		task->state = TASK_READY;
		ExecClearTuple(slots->live[i]);
		task_live_values(task, values, nulls);
		/* the tables of an older database have fewer columns */
		memcpy(slots->live[i]->tts_values, values, natts * sizeof(Datum));
		memcpy(slots->live[i]->tts_isnull, nulls, natts * sizeof(bool));
		ExecStoreVirtualTuple(slots->live[i]);
		ExecClearTuple(entry);
		memset(entry->tts_isnull, false, READY_COLUMNS * sizeof(bool));
		entry->tts_isnull[READY_LINE - 1] = true;
		entry->tts_values[READY_BUCKET - 1] = Int64GetDatum(options->bucket);
		entry->tts_values[READY_POSITION - 1] = Int64GetDatum(task_position(task));
		entry->tts_values[READY_TASK_ID - 1] = Int64GetDatum(task->id);
	}
	store_insert_many(store, live, slots->live, n);
	for (int i = 0; i < n; i++)
	{
		slots->ready[i]->tts_values[READY_TASK_TID - 1] = PointerGetDatum(&slots->live[i]->tts_tid);
		ExecStoreVirtualTuple(slots->ready[i]);
	}
	STENT_FAULT("ready_between");
	store_insert_many(store, ready, slots->ready, n);
	ready_inserts++;
	ready_inserted_position = POSITION_MIN; /* many: no claimer comes to them all by itself */
	ready_announce(store, options->bucket, task_position(&tasks[0]), n);
}

static void
drop_slots(BulkSlots *slots)
{
	for (int i = 0; i < slots->n; i++)
	{
		ExecDropSingleTupleTableSlot(slots->live[i]);
		ExecDropSingleTupleTableSlot(slots->ready[i]);
	}
}

/* Tells which element of dispatch_many an error is about. */
static void
element_context(void *arg)
{
	errcontext("element " INT64_FORMAT " of args", *(int64 *) arg);
}

/* The task that serves an element of dispatch_many: an earlier one or its own. */
static int64
remembered(Store *store, const Options *options, const Task *task, Memo *memo)
{
	int64 id;

	(void) memo_prepare(memo, options->function, options->role, NULL, task->args);
	id = memo_claim(store, memo, task->id);
	pfree(memo->key);
	return id;
}

PG_FUNCTION_INFO_V1(stent_dispatch_many);
Datum
stent_dispatch_many(PG_FUNCTION_ARGS)
{
	static const OptionArgs at = {2, 3, 4, 5, 6, 7, 8, 9, 10};
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Store *store;
	Options options;
	Handler *handler;
	ArrayType *array;
	ArrayIterator iterator;
	Datum value;
	bool isnull;
	Task *tasks;
	BulkSlots *slots;
	MemoryContext cxt;
	MemoryContext old;
	int n = 0;
	int64 index = 0;
	ErrorContextCallback callback;
	bool remember;
	Memo memo;
	bool bulk;

	if (PG_ARGISNULL(1))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("args must not be null"),
						errhint("Give an array of jsonb, one element for each execution.")));
	array = PG_GETARG_ARRAYTYPE_P(1);
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	store = store_open("stent.dispatch_many()");
	dispatch_read_options(fcinfo, store, &at, &options);
	handler = function_handler(options.function);
	remember = options.function->idempotent || options.function->cached;
	bulk = options.due_at == NO_TIME && options.deadline == NO_TIME && !remember;

	STENT_FAULT("dispatch_begin");
	tasks = palloc_array(Task, BULK_ROWS);
	slots = palloc0_object(BulkSlots);
	cxt =
		AllocSetContextCreate(CurrentMemoryContext, "stent dispatch_many", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(cxt);
	callback.callback = element_context;
	callback.arg = &index;
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	iterator = array_create_iterator(array, 0, NULL);
	for (;;)
	{
		bool more = array_iterate(iterator, &value, &isnull);
		Task *task = &tasks[n];
		Datum row[1];
		bool row_null[1] = {false};
		int64 id;

		if (more)
		{
			if (isnull)
				ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
								errmsg("args of element " INT64_FORMAT " must not be null", index),
								errhint("Use '{}' for a call without arguments.")));
			dispatch_new_task(&options, task);
			task->args = DatumGetJsonbP(value);
			dispatch_check_args(options.function, handler, task->args);
			id = task->id;
			if (remember)
				id = remembered(store, &options, task, &memo);
			row[0] = Int64GetDatum(id);
			tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, row, row_null);
			if (id == task->id)
				payload_place(store, &task->args, &task->args_ref);
			if (bulk)
				n++;
			else if (id == task->id)
				dispatch_task(store, task, remember ? &memo : NULL);
			index++;
		}
		if (n > 0 && (n == BULK_ROWS || !more))
		{
			insert_many(store, &options, slots, tasks, n);
			n = 0;
		}
		if (!more)
			break;
		CHECK_FOR_INTERRUPTS();
	}
	error_context_stack = callback.previous;
	drop_slots(slots);
	array_free_iterator(iterator);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
	store_close(store);
	STENT_FAULT("dispatch_end");
	return (Datum) 0;
}
