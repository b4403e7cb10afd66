/*
 * registry.c
 *	  Registered functions: the cache of them, register() and unregister().
 *
 * Sessions remember functions and resolved handlers until the registry table or
 * any function, schema or role of the database changes. What a task was
 * dispatched with is stored with the task; only the handler is looked up here
 * when it runs, by its stored name.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/relation.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/regproc.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "announce.h"
#include "clock.h"
#include "compat.h"
#include "errors.h"
#include "intern.h"
#include "json.h"
#include "line.h"
#include "rate.h"
#include "registry.h"

enum
{
	FUNCTION_ID = 1,
	FUNCTION_NAME,
	FUNCTION_HANDLER,
	FUNCTION_QUEUE,
	FUNCTION_PRIORITY,
	FUNCTION_TAGS,
	FUNCTION_POLICY_ID,
	FUNCTION_TIMEOUT,
	FUNCTION_MAX_DURATION,
	FUNCTION_VERSION,
	FUNCTION_REGISTERED,
	FUNCTION_REGISTERED_AT,
	FUNCTION_MAX_CONCURRENT,
	FUNCTION_MAX_PER_KEY,
	FUNCTION_RATE_LIMIT,
	FUNCTION_RATE_INTERVAL,
	FUNCTION_RATE_BURST,
	FUNCTION_CACHED,
	FUNCTION_CACHE_TTL,
	FUNCTION_IDEMPOTENT
};

static MemoryContext registry_cxt; /* holds the present generation */
static MemoryContext retired_cxt;  /* generations that this transaction may still use */
static HTAB *functions;            /* id -> Function */
static Function *last;             /* of these, the one that was asked for last */
static uint64 generation;
static bool handlers_stale;
static bool unsure; /* holds rows that the running transaction may have written */

static void
catalog_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	handlers_stale = true;
}

/* What was read in a transaction that is undone may never have been. */
static void
forget_unsure(void)
{
	if (unsure)
		handlers_stale = true;
	unsure = false;
}

static void
xact_ended(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		forget_unsure();
	else if (event == XACT_EVENT_COMMIT)
		unsure = false;
	else
		return;
	if (retired_cxt != NULL)
		MemoryContextDeleteChildren(retired_cxt);
}

static void
subxact_ended(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		forget_unsure();
}

void
registry_init(void)
{
	RegisterXactCallback(xact_ended, NULL);
	RegisterSubXactCallback(subxact_ended, NULL);
	CacheRegisterSyscacheCallback(PROCOID, catalog_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, catalog_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHOID, catalog_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, catalog_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(TYPEOID, catalog_changed, (Datum) 0);
}

static void
prepare_cache(void)
{
	HASHCTL ctl = {.keysize = sizeof(int32), .entrysize = sizeof(Function)};

	if (functions != NULL && generation == store_generation() && !handlers_stale)
		return;
	if (retired_cxt == NULL)
		retired_cxt = AllocSetContextCreate(CacheMemoryContext, "stent retired functions",
											ALLOCSET_SMALL_SIZES);
	/*
	 * Somebody up the stack may hold a function: a task that runs, a claim, a map that is
	 * being made while its query calls us. Another session's DDL brings us here at any lock.
	 */
	if (registry_cxt != NULL)
		MemoryContextSetParent(registry_cxt, retired_cxt);
	functions = NULL;
	last = NULL;
	registry_cxt =
		AllocSetContextCreate(CacheMemoryContext, "stent functions", ALLOCSET_DEFAULT_SIZES);
	ctl.hcxt = registry_cxt;
	functions = hash_create("stent functions", 64, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	generation = store_generation();
	handlers_stale = false;
}

/* What is remembered is older than what is registered; callbacks may call this. */
void
function_caches_stale(void)
{
	handlers_stale = true;
}

/* Called while no task runs: no handler is being called. */
void
function_caches_quiet(void)
{
	HASH_SEQ_STATUS status;
	Function *function;

	if (functions == NULL)
		return;
	hash_seq_init(&status, functions);
	while ((function = hash_seq_search(&status)) != NULL)
		if (function->handler != NULL)
			handler_forget_calls(function->handler);
}

static char *
column_text(TupleTableSlot *slot, int column)
{
	bool isnull;
	Datum value = store_column(slot, column, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

static Interval *
column_interval(TupleTableSlot *slot, int column)
{
	bool isnull;
	Datum value = store_column(slot, column, &isnull);
	Interval *copy;

	if (isnull)
		return NULL;
	copy = palloc_object(Interval);
	*copy = *DatumGetIntervalP(value);
	return copy;
}

/* 0 for NULL. */
static int
column_int(TupleTableSlot *slot, int column)
{
	bool isnull;
	Datum value = store_column(slot, column, &isnull);

	return isnull ? 0 : DatumGetInt32(value);
}

static bool
column_bool(TupleTableSlot *slot, int column)
{
	bool isnull;
	Datum value = store_column(slot, column, &isnull);

	return !isnull && DatumGetBool(value);
}

static Function *
remember(TupleTableSlot *slot)
{
	MemoryContext old;
	Function function = {0};
	Function *entry;
	Interval *rate_interval;
	bool found;
	bool isnull;

	old = MemoryContextSwitchTo(registry_cxt);
	function.id = DatumGetInt32(slot_getattr(slot, FUNCTION_ID, &isnull));
	function.name = column_text(slot, FUNCTION_NAME);
	function.handler_name = column_text(slot, FUNCTION_HANDLER);
	function.queue = column_text(slot, FUNCTION_QUEUE);
	function.priority = DatumGetInt16(slot_getattr(slot, FUNCTION_PRIORITY, &isnull));
	function.tags = DatumGetArrayTypePCopy(slot_getattr(slot, FUNCTION_TAGS, &isnull));
	function.policy_id = DatumGetInt32(slot_getattr(slot, FUNCTION_POLICY_ID, &isnull));
	function.timeout = column_interval(slot, FUNCTION_TIMEOUT);
	function.max_duration = column_interval(slot, FUNCTION_MAX_DURATION);
	function.registered = DatumGetBool(slot_getattr(slot, FUNCTION_REGISTERED, &isnull));
	function.version = column_text(slot, FUNCTION_VERSION);
	function.max_concurrent = column_int(slot, FUNCTION_MAX_CONCURRENT);
	function.max_per_key = Max(column_int(slot, FUNCTION_MAX_PER_KEY), 1);
	function.rate_limit = column_int(slot, FUNCTION_RATE_LIMIT);
	rate_interval = column_interval(slot, FUNCTION_RATE_INTERVAL);
	function.rate_us = rate_interval == NULL ? 0 : interval_us(rate_interval);
	function.rate_burst = column_int(slot, FUNCTION_RATE_BURST);
	function.cached = column_bool(slot, FUNCTION_CACHED);
	function.cache_ttl = column_interval(slot, FUNCTION_CACHE_TTL);
	function.idempotent = column_bool(slot, FUNCTION_IDEMPOTENT);
	MemoryContextSwitchTo(old);

	entry = hash_search(functions, &function.id, HASH_ENTER, &found);
	if (!found)
		*entry = function;
	return entry;
}

static Function *
load(Store *store, Oid index_oid, ScanKey key)
{
	StoreRel *table = store_table(store, STORE_FUNCTION);
	uint32 as_of = announce_registrations();
	Relation index = index_open(index_oid, AccessShareLock);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	IndexScanDesc scan = compat_index_beginscan(table->rel, index, snapshot, 1);
	Function *function = NULL;

	index_rescan(scan, key, 1, NULL, 0);
	if (index_getnext_slot(scan, ForwardScanDirection, table->out))
	{
		function = remember(table->out);
		function->as_of = as_of;
		if (TransactionIdIsValid(GetTopTransactionIdIfAny()))
			unsure = true;
	}
	index_endscan(scan);
	UnregisterSnapshot(snapshot);
	index_close(index, AccessShareLock);
	ExecClearTuple(table->out);
	return function;
}

/* The function with this id, which rows refer to. */
Function *
function_by_id(Store *store, int32 id)
{
	Function *function;
	ScanKeyData key;

	prepare_cache();
	if (last != NULL && last->id == id)
		return last;
	function = hash_search(functions, &id, HASH_FIND, NULL);
	if (function == NULL)
	{
		ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(id));
		function = load(store, store_index_oid("function_pkey"), &key);
	}
	if (function == NULL)
		elog(ERROR, "function %d does not exist", id);
	last = function;
	return function;
}

/* What is remembered of it may be older than the active snapshot; this is not. */
int
function_max_per_key(Store *store, int32 id)
{
	StoreRel *table = store_table(store, STORE_FUNCTION);
	int max_per_key = 1;
	ScanKeyData key;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(id));
	if (store_find(table, GetActiveSnapshot(), &key, 1))
		max_per_key = Max(column_int(table->out, FUNCTION_MAX_PER_KEY), 1);
	ExecClearTuple(table->out);
	return max_per_key;
}

static char *
known_names(void)
{
	ColdSql cold;
	char *names = NULL;
	MemoryContext cxt = CurrentMemoryContext;

	cold_begin(&cold);
	if (SPI_execute(
			"SELECT string_agg(quote_ident(name), ', ') || CASE WHEN max(total) > 20 THEN ', ...' ELSE '' END "
			"FROM (SELECT name, count(*) OVER () AS total FROM stent.function WHERE registered ORDER BY name LIMIT 20) f",
			true, 1) == SPI_OK_SELECT &&
		SPI_processed == 1)
	{
		char *text = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);

		if (text != NULL)
			names = MemoryContextStrdup(cxt, text);
	}
	cold_end(&cold);
	return names;
}

static void
unknown_function(const char *name)
{
	char *names = known_names();

	if (names == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("function \"%s\" is not registered", name),
						errhint("No function is registered yet; see stent.register().")));
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("function \"%s\" is not registered", name),
			 errhint("Registered functions: %s.", names)));
}

static Function *
find_by_name(Store *store, const char *name)
{
	HASH_SEQ_STATUS status;
	Function *function;
	ScanKeyData key;

	prepare_cache();
	hash_seq_init(&status, functions);
	while ((function = hash_seq_search(&status)) != NULL)
	{
		if (strcmp(function->name, name) == 0)
		{
			hash_seq_term(&status);
			break;
		}
	}
	if (function == NULL)
	{
		ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_TEXTEQ, CStringGetTextDatum(name));
		key.sk_collation = DEFAULT_COLLATION_OID;
		function = load(store, store_index_oid("function_name_key"), &key);
	}
	return function;
}

/* The registered function of this name; an error that names the known ones if there is none. */
Function *
function_by_name(Store *store, const char *name)
{
	Function *function = find_by_name(store, name);

	if (function == NULL || !function->registered)
		unknown_function(name);
	return function;
}

/* The same for questions about the past: it may be unregistered. */
Function *
function_ever_registered(Store *store, const char *name)
{
	Function *function = find_by_name(store, name);

	if (function == NULL)
		unknown_function(name);
	return function;
}

/*
 * The handler of a function, resolved by its stored name, with the privilege of
 * the current user checked. An external function has none (NULL).
 */
Handler *
function_handler(Function *function)
{
	if (function->handler_name == NULL)
		return NULL;
	if (function->handler == NULL)
	{
		Oid oid = handler_lookup(function->handler_name);
		MemoryContext old;

		if (!OidIsValid(oid))
			ereport(
				ERROR,
				(errcode(STENT_ERR_HANDLER_UNUSABLE),
				 errmsg("handler %s of \"%s\" does not exist", function->handler_name,
						function->name),
				 errhint(
					 "It was dropped, renamed or moved; create it again or register \"%s\" with another handler.",
					 function->name)));
		old = MemoryContextSwitchTo(registry_cxt);
		function->handler = handler_describe(oid, STENT_ERR_HANDLER_UNUSABLE);
		MemoryContextSwitchTo(old);
	}
	handler_check_privilege(function->handler, function->name, GetUserId());
	return function->handler;
}

/* Names, queues and tags: 1 to 200 bytes. */
char *
check_name(text *value, const char *what)
{
	char *name = text_to_cstring(value);
	int len = strlen(name);

	if (len == 0 || len > MAX_NAME_LENGTH)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s must have 1 to %d bytes, not %d: \"%s\"", what, MAX_NAME_LENGTH,
							   len, pnstrdup(name, pg_mbcliplen(name, len, 80))),
						errhint("Use a short, stable name.")));
	return name;
}

int
check_priority(int priority)
{
	if (priority < PRIORITY_MIN || priority > PRIORITY_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("priority %d is out of range", priority),
				 errhint("Priorities are %d (last) to %d (first).", PRIORITY_MIN, PRIORITY_MAX)));
	return priority;
}

static int
compare_texts(const void *a, const void *b)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

/* Tags as a sorted set. */
ArrayType *
check_tags(ArrayType *tags)
{
	Datum *elements;
	bool *nulls;
	int n;
	char **names;
	int unique = 0;

	if (ARR_NDIM(tags) > 1)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("tags must be a one-dimensional array"),
						errhint("Give tags as ARRAY['a', 'b'].")));
	deconstruct_array(tags, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &n);
	if (n > MAX_TAGS)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("%d tags are too many", n),
						errhint("A task may carry up to %d tags.", MAX_TAGS)));
	names = palloc_array(char *, Max(n, 1));
	for (int i = 0; i < n; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("tag %d must not be null", i),
					 errhint("Give tags as ARRAY['a', 'b'].")));
		names[i] = check_name(DatumGetTextPP(elements[i]), "a tag");
	}
	qsort(names, n, sizeof(char *), compare_texts);
	for (int i = 0; i < n; i++)
		if (i == 0 || strcmp(names[i], names[i - 1]) != 0)
			elements[unique++] = CStringGetTextDatum(names[i]);
	if (unique == 0)
		return construct_empty_array(TEXTOID);
	return construct_array(elements, unique, TEXTOID, -1, false, TYPALIGN_INT);
}

static void
not_null(FunctionCallInfo fcinfo, int arg, const char *what)
{
	if (PG_ARGISNULL(arg))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("%s must not be null", what),
				 errhint("Leave it out for its default, or give a value.")));
}

static void
positive_limit(FunctionCallInfo fcinfo, int arg, const char *what)
{
	if (!PG_ARGISNULL(arg) && PG_GETARG_INT32(arg) <= 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s must be positive, not %d", what, PG_GETARG_INT32(arg)),
						errhint("Leave it NULL for no limit.")));
}

/* Tell every session, this one included, that the registry changed. */
static void
registry_changed(void)
{
	CacheInvalidateRelcacheByRelid(store_oid(STORE_FUNCTION));
	CommandCounterIncrement();
}

enum
{
	REGISTER_NAME,
	REGISTER_HANDLER,
	REGISTER_QUEUE,
	REGISTER_PRIORITY,
	REGISTER_TAGS,
	REGISTER_MAX_CONCURRENT,
	REGISTER_RATE_LIMIT,
	REGISTER_RATE_INTERVAL,
	REGISTER_RETRY,
	REGISTER_TIMEOUT,
	REGISTER_MAX_DURATION,
	REGISTER_CACHED,
	REGISTER_CACHE_TTL,
	REGISTER_IDEMPOTENT,
	REGISTER_VERSION,
	REGISTER_RATE_BURST,
	REGISTER_MAX_PER_KEY
};

static Datum
optional_duration(FunctionCallInfo fcinfo, int arg, const char *what, char *null_flag)
{
	Interval *interval;

	*null_flag = 'n';
	if (PG_ARGISNULL(arg))
		return (Datum) 0;
	interval = PG_GETARG_INTERVAL_P(arg);
	interval_check(interval, what);
	if (interval_us(interval) > 0)
		*null_flag = ' ';
	return IntervalPGetDatum(interval);
}

/* A number that must be positive where it is given; 'n' where it is not. */
static Datum
optional_limit(FunctionCallInfo fcinfo, int arg, const char *what, char *null_flag)
{
	*null_flag = 'n';
	if (PG_ARGISNULL(arg))
		return (Datum) 0;
	positive_limit(fcinfo, arg, what);
	*null_flag = ' ';
	return Int32GetDatum(PG_GETARG_INT32(arg));
}

/* What belongs to a rate without one is a mistake. */
static void
check_rate(FunctionCallInfo fcinfo)
{
	int limit;
	int64 us = USECS_PER_SEC;

	if (PG_ARGISNULL(REGISTER_RATE_LIMIT))
	{
		if (!PG_ARGISNULL(REGISTER_RATE_INTERVAL) || !PG_ARGISNULL(REGISTER_RATE_BURST))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("%s without rate_limit",
							PG_ARGISNULL(REGISTER_RATE_INTERVAL) ? "rate_burst" : "rate_interval"),
					 errhint("rate_limit says how many may start in rate_interval.")));
		return;
	}
	if (!PG_ARGISNULL(REGISTER_RATE_INTERVAL))
	{
		Interval *interval = PG_GETARG_INTERVAL_P(REGISTER_RATE_INTERVAL);

		interval_check(interval, "rate_interval");
		us = interval_us(interval);
		if (us < 1000 || us > 366 * USECS_PER_DAY)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("rate_interval must be 1 millisecond to 366 days, not \"%s\"",
							duration_text(us)),
					 errhint("rate_limit 100 and rate_interval '1 minute' allow 100 a minute.")));
	}
	limit = PG_GETARG_INT32(REGISTER_RATE_LIMIT);
	if (!PG_ARGISNULL(REGISTER_RATE_BURST) &&
		!rate_fits(limit, us, PG_GETARG_INT32(REGISTER_RATE_BURST)))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("rate_burst %d takes more than a century to come together",
							   PG_GETARG_INT32(REGISTER_RATE_BURST)),
						errhint("rate_burst is how many may start at once after a pause.")));
}

/* A time to live without a cache is a mistake. */
static void
check_cache(FunctionCallInfo fcinfo)
{
	if (!PG_ARGISNULL(REGISTER_CACHE_TTL) && !PG_GETARG_BOOL(REGISTER_CACHED))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("cache_ttl without cached"),
				 errhint("Give cached => true as well, or leave cache_ttl out.")));
}

/* The function that is about to be registered again, locked; false if it is a new one. */
static bool
lock_registered(const char *name, int32 *id, int *max_per_key)
{
	Oid types[1] = {TEXTOID};
	Datum values[1] = {CStringGetTextDatum(name)};
	bool isnull;
	Datum value;

	if (SPI_execute_with_args(
			"SELECT id, max_per_key FROM stent.function WHERE name = $1 FOR UPDATE", 1, types,
			values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "registration failed");
	if (SPI_processed == 0)
		return false;
	*id = DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull);
	*max_per_key = isnull ? 1 : DatumGetInt32(value);
	return true;
}

PG_FUNCTION_INFO_V1(stent_register);
Datum
stent_register(PG_FUNCTION_ARGS)
{
	enum
	{
		NAME,
		HANDLER,
		QUEUE,
		PRIORITY,
		TAGS,
		POLICY,
		TIMEOUT,
		MAX_DURATION,
		VERSION,
		NOW,
		ID,
		MAX_CONCURRENT,
		MAX_PER_KEY,
		RATE_LIMIT,
		RATE_INTERVAL,
		RATE_BURST,
		CACHED,
		CACHE_TTL,
		IDEMPOTENT,
		N
	};
	Oid types[N] = {TEXTOID, TEXTOID,     TEXTOID,     INT2OID, TEXTARRAYOID,
					INT4OID, INTERVALOID, INTERVALOID, TEXTOID, TIMESTAMPOID,
					INT4OID, INT4OID,     INT4OID,     INT4OID, INTERVALOID,
					INT4OID, BOOLOID,     INTERVALOID, BOOLOID};
	Datum values[N];
	char nulls[N + 1];
	Store *store;
	ColdSql cold;
	RetryPolicy *policy;
	int32 known_id;
	int known_max_per_key;
	bool more_per_key;

	/* a database that was not updated calls this with fewer arguments */
	(void) store_oid(STORE_LINE);
	memset(nulls, ' ', N);
	not_null(fcinfo, REGISTER_NAME, "name");
	not_null(fcinfo, REGISTER_QUEUE, "queue");
	not_null(fcinfo, REGISTER_PRIORITY, "priority");
	not_null(fcinfo, REGISTER_TAGS, "tags");
	not_null(fcinfo, REGISTER_CACHED, "cached");
	not_null(fcinfo, REGISTER_IDEMPOTENT, "idempotent");
	not_null(fcinfo, REGISTER_MAX_PER_KEY, "max_per_key");
	values[MAX_CONCURRENT] =
		optional_limit(fcinfo, REGISTER_MAX_CONCURRENT, "max_concurrent", &nulls[MAX_CONCURRENT]);
	values[MAX_PER_KEY] =
		optional_limit(fcinfo, REGISTER_MAX_PER_KEY, "max_per_key", &nulls[MAX_PER_KEY]);
	values[RATE_LIMIT] =
		optional_limit(fcinfo, REGISTER_RATE_LIMIT, "rate_limit", &nulls[RATE_LIMIT]);
	values[RATE_BURST] =
		optional_limit(fcinfo, REGISTER_RATE_BURST, "rate_burst", &nulls[RATE_BURST]);
	check_rate(fcinfo);
	values[RATE_INTERVAL] =
		optional_duration(fcinfo, REGISTER_RATE_INTERVAL, "rate_interval", &nulls[RATE_INTERVAL]);
	if (nulls[RATE_LIMIT] == ' ')
	{
		/* the defaults are those of the day of registration */
		if (nulls[RATE_INTERVAL] == 'n')
			values[RATE_INTERVAL] = IntervalPGetDatum(interval_from_us(USECS_PER_SEC));
		if (nulls[RATE_BURST] == 'n')
			values[RATE_BURST] = values[RATE_LIMIT];
		nulls[RATE_INTERVAL] = nulls[RATE_BURST] = ' ';
	}
	check_cache(fcinfo);
	values[CACHED] = BoolGetDatum(PG_GETARG_BOOL(REGISTER_CACHED));
	values[IDEMPOTENT] = BoolGetDatum(PG_GETARG_BOOL(REGISTER_IDEMPOTENT));
	values[CACHE_TTL] =
		optional_duration(fcinfo, REGISTER_CACHE_TTL, "cache_ttl", &nulls[CACHE_TTL]);

	values[NAME] = CStringGetTextDatum(check_name(PG_GETARG_TEXT_PP(REGISTER_NAME), "name"));
	values[QUEUE] = CStringGetTextDatum(check_name(PG_GETARG_TEXT_PP(REGISTER_QUEUE), "queue"));
	values[PRIORITY] = Int16GetDatum(check_priority(PG_GETARG_INT32(REGISTER_PRIORITY)));
	values[TAGS] = PointerGetDatum(check_tags(PG_GETARG_ARRAYTYPE_P(REGISTER_TAGS)));
	values[HANDLER] = (Datum) 0;
	nulls[HANDLER] = 'n';
	if (!PG_ARGISNULL(REGISTER_HANDLER))
	{
		Oid handler = PG_GETARG_OID(REGISTER_HANDLER);

		(void) handler_describe(handler, ERRCODE_INVALID_FUNCTION_DEFINITION);
		values[HANDLER] = CStringGetTextDatum(format_procedure_qualified(handler));
		nulls[HANDLER] = ' ';
	}
	values[TIMEOUT] = optional_duration(fcinfo, REGISTER_TIMEOUT, "timeout", &nulls[TIMEOUT]);
	values[MAX_DURATION] =
		optional_duration(fcinfo, REGISTER_MAX_DURATION, "max_duration", &nulls[MAX_DURATION]);
	values[VERSION] = (Datum) 0;
	nulls[VERSION] = 'n';
	if (!PG_ARGISNULL(REGISTER_VERSION))
	{
		values[VERSION] =
			CStringGetTextDatum(check_name(PG_GETARG_TEXT_PP(REGISTER_VERSION), "version"));
		nulls[VERSION] = ' ';
	}
	policy = PG_ARGISNULL(REGISTER_RETRY)
				 ? unconstify(RetryPolicy *, &retry_defaults)
				 : retry_parse(PG_GETARG_JSONB_P(REGISTER_RETRY), &retry_defaults);

	store = store_open("stent.register()");
	values[POLICY] = Int32GetDatum(policy_intern(store, retry_to_jsonb(policy)));
	values[ID] = Int32GetDatum(store_next_small_id());
	store_close(store);
	CommandCounterIncrement();
	values[NOW] = TimestampGetDatum(clock_now());

	cold_begin(&cold);
	more_per_key =
		lock_registered(TextDatumGetCString(values[NAME]), &known_id, &known_max_per_key) &&
		PG_GETARG_INT32(REGISTER_MAX_PER_KEY) > known_max_per_key;
	if (SPI_execute_with_args(
			"INSERT INTO stent.function AS f (id, name, handler, queue, priority, tags, policy_id, timeout, "
			"max_duration, version, registered, registered_at, max_concurrent, max_per_key, rate_limit, "
			"rate_interval, rate_burst, cached, cache_ttl, idempotent) "
			"VALUES ($11, $1, $2, $3, $4, $5, $6, $7, $8, $9, true, $10, $12, $13, $14, $15, $16, $17, $18, $19) "
			"ON CONFLICT ON CONSTRAINT function_name_key DO UPDATE SET handler = excluded.handler, "
			"queue = excluded.queue, priority = excluded.priority, tags = excluded.tags, "
			"policy_id = excluded.policy_id, timeout = excluded.timeout, "
			"max_duration = excluded.max_duration, version = excluded.version, registered = true, "
			"registered_at = excluded.registered_at, max_concurrent = excluded.max_concurrent, "
			"max_per_key = excluded.max_per_key, rate_limit = excluded.rate_limit, "
			"rate_interval = excluded.rate_interval, rate_burst = excluded.rate_burst, "
			"cached = excluded.cached, cache_ttl = excluded.cache_ttl, idempotent = excluded.idempotent",
			N, types, values, nulls, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "registration failed");
	/* a bucket that is there already stays as it is: registering again gives no tokens */
	if (nulls[RATE_LIMIT] == ' ' &&
		SPI_execute_with_args("INSERT INTO stent.rate (function_id, part, full_at) "
							  "SELECT f.id, 0, $10 FROM stent.function f WHERE f.name = $1 "
							  "ON CONFLICT ON CONSTRAINT rate_pkey DO NOTHING",
							  N, types, values, nulls, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "registration failed");
	cold_end(&cold);
	registry_changed();
	announce_limits();
	if (more_per_key)
	{
		store = store_open("stent.register()");
		line_more_may_run(store, known_id);
		store_close(store);
	}
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(stent_unregister);
Datum
stent_unregister(PG_FUNCTION_ARGS)
{
	Oid types[1] = {TEXTOID};
	Datum values[1];
	char *name;
	ColdSql cold;
	uint64 n;

	not_null(fcinfo, 0, "name");
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	values[0] = CStringGetTextDatum(name);
	cold_begin(&cold);
	if (SPI_execute_with_args(
			"UPDATE stent.function SET registered = false WHERE name = $1 AND registered", 1, types,
			values, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "unregistration failed");
	n = SPI_processed;
	cold_end(&cold);
	if (n == 0)
		unknown_function(name);
	registry_changed();
	PG_RETURN_VOID();
}
