/*
 * workers.c
 *	  Workers that tell of themselves: worker_start(), worker_heartbeat(), worker_stop().
 *
 * What they tell is for people: the view stent.workers, why(), health(). Claims neither need
 * nor read it, and a worker that is taken for dead loses no lease by that (extension/lease.c).
 * The calls are rare, so they are SQL.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "errors.h"
#include "guc.h"
#include "identity.h"
#include "json.h"
#include "protocol.h"
#include "registry.h"
#include "store.h"

#define MAX_SLOTS 100000
#define MAX_NAMES 1000
#define MAX_INFO 8000
#define ALIVE_FOR_MIN USECS_PER_SEC
#define ALIVE_FOR_MAX USECS_PER_DAY

static void
require(FunctionCallInfo fcinfo, int arg, const char *what, const char *hint)
{
	if (PG_ARGISNULL(arg))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("%s must not be null", what), errhint("%s", hint)));
}

/* The name of the worker, which is the first argument of all of them. */
static Datum
worker_argument(FunctionCallInfo fcinfo)
{
	require(fcinfo, 0, "worker",
			"Give a name that no other worker has, such as that of the host and a number.");
	return CStringGetTextDatum(check_name(PG_GETARG_TEXT_PP(0), "worker"));
}

/* How long the worker counts as alive without telling again. */
static Datum
alive_for_argument(FunctionCallInfo fcinfo, int arg)
{
	Interval *alive_for = PG_GETARG_INTERVAL_P(arg);

	interval_check(alive_for, "alive_for");
	if (interval_us(alive_for) < ALIVE_FOR_MIN || interval_us(alive_for) > ALIVE_FOR_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("alive_for is out of range: %s", duration_text(interval_us(alive_for))),
				 errhint("Give 1 second to 1 day, and let the worker tell three times as often.")));
	return IntervalPGetDatum(alive_for);
}

/* Names of functions, queues or tags, checked. */
static Datum
names_argument(FunctionCallInfo fcinfo, int arg, const char *what, const char *one)
{
	ArrayType *names = PG_GETARG_ARRAYTYPE_P(arg);
	Datum *elements;
	bool *nulls;
	int n;

	if (ARR_NDIM(names) > 1)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s must be a one-dimensional array", what),
						errhint("Give %s as ARRAY['a', 'b'].", what)));
	deconstruct_array(names, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &n);
	if (n > MAX_NAMES)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("%d %s are too many", n, what),
				 errhint("A worker may name up to %d; NULL stands for all.", MAX_NAMES)));
	for (int i = 0; i < n; i++)
	{
		if (nulls[i])
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("element %d of %s must not be null", i, what),
							errhint("NULL in place of the array stands for all.")));
		(void) check_name(DatumGetTextPP(elements[i]), one);
	}
	return PointerGetDatum(names);
}

/* Workers run nothing of a copy, as executors do not. */
static void
check_identity(void)
{
	char why[256];

	if (identity_is_foreign(why, sizeof(why)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the tasks of this database are run elsewhere"), errdetail("%s", why),
				 errhint("It is a copy, or was restored. Make sure that the original does not run "
						 "them any more, and call stent.adopt().")));
}

static void
check_protocol(int protocol)
{
	if (protocol < PROTOCOL_MIN)
		ereport(ERROR, (errcode(STENT_ERR_PROTOCOL),
						errmsg("worker protocol %d is not supported", protocol),
						errhint("stent %s speaks protocols %d to %d: upgrade the worker.",
								STENT_VERSION, PROTOCOL_MIN, PROTOCOL_MAX)));
	if (protocol > PROTOCOL_MAX)
		ereport(
			ERROR,
			(errcode(STENT_ERR_PROTOCOL), errmsg("worker protocol %d is not supported", protocol),
			 errhint("stent %s speaks protocols %d to %d: upgrade the extension in the database, "
					 "or run an older worker.",
					 STENT_VERSION, PROTOCOL_MIN, PROTOCOL_MAX)));
}

static void
check_number(int number, int min, const char *what)
{
	if (number < min || number > MAX_SLOTS)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s is out of range: %d", what, number),
						errhint("Give %d to %d.", min, MAX_SLOTS)));
}

static void
check_info(Jsonb *info)
{
	if (!JB_ROOT_IS_OBJECT(info))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("info must be a JSON object, not %s", json_text(info)),
						errhint("Give it as {\"host\": ..., \"version\": ...}.")));
	if (VARSIZE(info) > MAX_INFO)
		ereport(
			ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("info of %zu bytes exceeds the limit of %d", (Size) VARSIZE(info), MAX_INFO),
			 errhint("It is for people who look for a worker: host, version and the like.")));
}

/* Whether claim() knows chunks: the library may be newer than the functions. Within SPI. */
static bool
gives_chunks(void)
{
	return SPI_execute(
			   "SELECT WHERE pg_catalog.to_regprocedure('stent.claim(text, integer, text[], "
			   "text[], text[], interval, boolean)') IS NOT NULL",
			   true, 1) == SPI_OK_SELECT &&
		   SPI_processed == 1;
}

/* What a worker has to know of this database before it claims. */
static Jsonb *
answer(int protocol, bool chunks)
{
	char *text =
		psprintf("{\"protocol\": %d, \"version\": \"%s\", \"lease_seconds\": %.1f, \"chunks\": %s}",
				 protocol, STENT_VERSION, stent_lease_duration / 1000.0, chunks ? "true" : "false");

	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
}

enum StartArgument
{
	START_WORKER,
	START_PROTOCOL,
	START_FUNCTIONS,
	START_QUEUES,
	START_TAGS,
	START_SLOTS,
	START_INFO,
	START_ALIVE_FOR,
	START_ARGUMENTS
};

PG_FUNCTION_INFO_V1(stent_worker_start);
Datum
stent_worker_start(PG_FUNCTION_ARGS)
{
	static const char *const whats[] = {
		[START_FUNCTIONS] = "functions", [START_QUEUES] = "queues", [START_TAGS] = "tags"};
	static const char *const ones[] = {
		[START_FUNCTIONS] = "a function", [START_QUEUES] = "a queue", [START_TAGS] = "a tag"};
	Oid types[START_ARGUMENTS + 2] = {TEXTOID, INT4OID,  TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
									  INT4OID, JSONBOID, INTERVALOID,  TEXTOID,      TIMESTAMPOID};
	Datum values[START_ARGUMENTS + 2] = {0};
	char nulls[START_ARGUMENTS + 3] = "          ";
	ColdSql cold;
	bool chunks;

	values[START_WORKER] = worker_argument(fcinfo);
	require(fcinfo, START_PROTOCOL, "protocol",
			"Give the protocol that the worker is written for.");
	check_protocol(PG_GETARG_INT32(START_PROTOCOL));
	check_identity();
	values[START_PROTOCOL] = PG_GETARG_DATUM(START_PROTOCOL);
	for (int i = START_FUNCTIONS; i <= START_TAGS; i++)
	{
		nulls[i] = PG_ARGISNULL(i) ? 'n' : ' ';
		if (!PG_ARGISNULL(i))
			values[i] = names_argument(fcinfo, i, whats[i], ones[i]);
	}
	nulls[START_SLOTS] = PG_ARGISNULL(START_SLOTS) ? 'n' : ' ';
	if (!PG_ARGISNULL(START_SLOTS))
	{
		check_number(PG_GETARG_INT32(START_SLOTS), 1, "slots");
		values[START_SLOTS] = PG_GETARG_DATUM(START_SLOTS);
	}
	if (PG_ARGISNULL(START_INFO))
		values[START_INFO] = JsonbPGetDatum(json_empty_object());
	else
	{
		check_info(PG_GETARG_JSONB_P(START_INFO));
		values[START_INFO] = PG_GETARG_DATUM(START_INFO);
	}
	require(fcinfo, START_ALIVE_FOR, "alive_for",
			"Give how long the worker may be silent before it is taken for dead.");
	values[START_ALIVE_FOR] = alive_for_argument(fcinfo, START_ALIVE_FOR);
	values[START_ARGUMENTS] = CStringGetTextDatum(GetUserNameFromId(GetUserId(), false));
	values[START_ARGUMENTS + 1] = TimestampGetDatum(clock_now());

	cold_begin(&cold);
	if (SPI_execute_with_args(
			"INSERT INTO stent.worker (name, state, protocol, functions, queues, tags, slots, busy, info, role, "
			"started_at, seen_at, alive_for, alive_until) "
			"VALUES ($1, 'starting', $2, $3, $4, $5, $6, NULL, $7, $9, $10, $10, $8, $10 + $8) "
			"ON CONFLICT (name) DO UPDATE SET state = excluded.state, protocol = excluded.protocol, "
			"functions = excluded.functions, queues = excluded.queues, tags = excluded.tags, slots = excluded.slots, "
			"busy = NULL, info = excluded.info, role = excluded.role, started_at = excluded.started_at, "
			"seen_at = excluded.seen_at, alive_for = excluded.alive_for, alive_until = excluded.alive_until, "
			"stopped_at = NULL",
			START_ARGUMENTS + 2, types, values, nulls, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "storing a worker failed");
	/* names that do not come back would heap up: who comes clears away who left long ago */
	if (SPI_execute("SELECT stent._forget_workers()", false, 0) != SPI_OK_SELECT)
		elog(ERROR, "removing workers failed");
	chunks = gives_chunks();
	cold_end(&cold);
	PG_RETURN_JSONB_P(answer(PG_GETARG_INT32(START_PROTOCOL), chunks));
}

/* The state that a worker may be in while it is alive. */
static Datum
state_argument(FunctionCallInfo fcinfo, int arg)
{
	static const char *const states[] = {"starting", "ready", "draining"};
	char *state;

	require(fcinfo, arg, "state", "A worker is starting, ready or draining.");
	state = text_to_cstring(PG_GETARG_TEXT_PP(arg));
	for (int i = 0; i < (int) lengthof(states); i++)
		if (strcmp(state, states[i]) == 0)
			return PG_GETARG_DATUM(arg);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown state of a worker: \"%s\"", state),
			 errhint("A worker is starting, ready or draining; stent.worker_stop() ends it.")));
}

PG_FUNCTION_INFO_V1(stent_worker_heartbeat);
Datum
stent_worker_heartbeat(PG_FUNCTION_ARGS)
{
	Oid types[5] = {TEXTOID, TEXTOID, INT4OID, INTERVALOID, TIMESTAMPOID};
	Datum values[5] = {0};
	char nulls[6] = "     ";
	ColdSql cold;
	bool known;

	values[0] = worker_argument(fcinfo);
	values[1] = state_argument(fcinfo, 1);
	nulls[2] = PG_ARGISNULL(2) ? 'n' : ' ';
	if (!PG_ARGISNULL(2))
	{
		check_number(PG_GETARG_INT32(2), 0, "busy");
		values[2] = PG_GETARG_DATUM(2);
	}
	nulls[3] = PG_ARGISNULL(3) ? 'n' : ' ';
	if (!PG_ARGISNULL(3))
		values[3] = alive_for_argument(fcinfo, 3);
	values[4] = TimestampGetDatum(clock_now());
	cold_begin(&cold);
	if (SPI_execute_with_args(
			"UPDATE stent.worker SET state = $2, busy = COALESCE($3, busy), seen_at = $5, "
			"alive_for = COALESCE($4, alive_for), alive_until = $5 + COALESCE($4, alive_for) "
			"WHERE name = $1 AND stopped_at IS NULL",
			5, types, values, nulls, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "renewing a worker failed");
	known = SPI_processed == 1;
	cold_end(&cold);
	PG_RETURN_BOOL(known);
}

PG_FUNCTION_INFO_V1(stent_worker_stop);
Datum
stent_worker_stop(PG_FUNCTION_ARGS)
{
	Oid types[2] = {TEXTOID, TIMESTAMPOID};
	Datum values[2];
	ColdSql cold;
	bool known;

	values[0] = worker_argument(fcinfo);
	values[1] = TimestampGetDatum(clock_now());
	cold_begin(&cold);
	if (SPI_execute_with_args(
			"UPDATE stent.worker SET state = 'stopped', busy = NULL, seen_at = $2, "
			"stopped_at = $2 WHERE name = $1 AND stopped_at IS NULL",
			2, types, values, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "stopping a worker failed");
	known = SPI_processed == 1;
	cold_end(&cold);
	PG_RETURN_BOOL(known);
}
