/*
 * lease_call.c
 *	  One call of a worker about tasks it leases: arguments, snapshot, tidying up.
 *
 * A call looks with one snapshot that shows all that is committed, whatever the isolation
 * of the transaction: the fence compares what is, not what was when somebody began.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "attempt.h"
#include "clock.h"
#include "due.h"
#include "errors.h"
#include "guc.h"
#include "intern.h"
#include "json.h"
#include "lease.h"
#include "lease_call.h"
#include "ready.h"
#include "registry.h"
#include "shmem.h"

static void
push_snapshot(void)
{
	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
}

void
lease_call_begin(LeaseCall *call, const char *command, bool wait)
{
	if (attempt_task() != NULL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("%s cannot be called by a handler", command),
						errhint("A worker calls it, in a transaction of its own.")));
	(void) shmem_my_proc();
	function_caches_quiet();
	call->store = store_open(command);
	call->wait = wait;
	lease_book_begin(&call->book, call->store);
	push_snapshot();
}

/* Forget what was read, and look with a newer snapshot. */
void
lease_call_look_again(LeaseCall *call)
{
	PopActiveSnapshot();
	push_snapshot();
	lease_book_begin(&call->book, call->store);
}

/* Lock the row, so that its members can be taken out of it; once a call. */
LeaseOutcome
lease_call_lock(LeaseCall *call, Lease *lease)
{
	return lease->locked || lease_lock(call->store, lease, call->wait) ? LEASE_HELD : LEASE_BUSY;
}

/* Whether any other member is left, as far as the snapshot shows: looked for from both ends. */
static bool
has_members(LeaseCall *call, const Lease *lease)
{
	for (int low = 0, high = lease->n - 1; low <= high; low++, high--)
		if ((!lease->gone[low] && lease_member_lives(call->store, lease, low)) ||
			(high > low && !lease->gone[high] && lease_member_lives(call->store, lease, high)))
			return true;
	return false;
}

/* Take those that are gone out of the row. */
static void
rewrite_row(LeaseCall *call, Lease *lease)
{
	int n = 0;

	for (int i = 0; i < lease->n; i++)
		if (!lease->gone[i])
		{
			lease->task_ids[n] = lease->task_ids[i];
			lease->marks[n] = lease->marks[i];
			lease->gone[n] = false;
			n++;
		}
	lease->n = n;
	if (!lease_update(call->store, lease, true))
		elog(ERROR, "a lease changed under its owner");
}

/*
 * Remove the rows that have no members any more, and the due entry with the last row of
 * a token; rewrite: others must not have those that this call ended.
 */
void
lease_call_settle(LeaseCall *call, bool rewrite)
{
	LeaseBook *book = &call->book;

	for (int i = 0; i < book->n;)
	{
		Lease *first = book->leases[i];
		int left = 0;

		for (; i < book->n && book->leases[i]->token == first->token; i++)
		{
			Lease *lease = book->leases[i];

			if (!has_members(call, lease) && lease_delete(call->store, lease))
				continue;
			left++;
			if (rewrite && lease->locked)
				rewrite_row(call, lease);
		}
		if (left == 0)
			(void) due_take(call->store, first->bucket, first->due_at, first->token, DUE_LEASE);
	}
}

void
lease_call_end(LeaseCall *call)
{
	PopActiveSnapshot();
	store_close(call->store);
}

const char *
lease_call_word(LeaseOutcome outcome)
{
	switch (outcome)
	{
		case LEASE_HELD:
			return "held";
		case LEASE_LOST:
			return "lost";
		case LEASE_ENDED:
			return "ended";
		case LEASE_BUSY:
			return "busy";
	}
	return "lost";
}

/* An id that must be there. */
int64
lease_call_id(FunctionCallInfo fcinfo, int arg, const char *what)
{
	if (PG_ARGISNULL(arg))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("%s must not be null", what),
				 errhint("Give the task_id and the token that stent.claim() returned.")));
	return PG_GETARG_INT64(arg);
}

static int64 *
id_array(FunctionCallInfo fcinfo, int arg, const char *what, int *n)
{
	Datum *elements;
	bool *nulls;
	int64 *ids;

	if (PG_ARGISNULL(arg))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("%s must not be null", what),
				 errhint("Give what stent.claim() returned.")));
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(arg), INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE,
					  &elements, &nulls, n);
	ids = palloc_array(int64, Max(*n, 1));
	for (int i = 0; i < *n; i++)
	{
		if (nulls[i])
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("element %d of %s must not be null", i + 1, what),
							errhint("Give what stent.claim() returned.")));
		ids[i] = DatumGetInt64(elements[i]);
	}
	return ids;
}

/* The first two arguments of a batch form; returns how many items it has. */
int
lease_call_ids(FunctionCallInfo fcinfo, int64 **task_ids, int64 **tokens)
{
	int n;
	int n_tokens;

	*task_ids = id_array(fcinfo, 0, "task_ids", &n);
	*tokens = id_array(fcinfo, 1, "tokens", &n_tokens);
	if (n != n_tokens)
		ereport(ERROR, (errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
						errmsg("there are %d task_ids and %d tokens", n, n_tokens),
						errhint("Give a token for each task.")));
	if (n < 1 || n > LEASE_MAX_BATCH)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("a call must name 1 to %d tasks, not %d", LEASE_MAX_BATCH, n),
						errhint("Make several calls.")));
	return n;
}

/* An array of values, one for each item; NULL: none is given. */
Jsonb **
lease_call_json(FunctionCallInfo fcinfo, int arg, const char *what, int n)
{
	Datum *elements;
	bool *nulls;
	Jsonb **values;
	int found;

	if (PG_ARGISNULL(arg))
		return NULL;
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(arg), JSONBOID, -1, false, TYPALIGN_INT, &elements,
					  &nulls, &found);
	if (found != n)
		ereport(ERROR, (errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
						errmsg("there are %d task_ids and %d %s", n, found, what),
						errhint("Give one for each task, NULL where there is none.")));
	values = palloc_array(Jsonb *, n);
	for (int i = 0; i < n; i++)
		values[i] = nulls[i] ? NULL : DatumGetJsonbP(elements[i]);
	return values;
}

/* Refuse what is no error that a worker's handler may have met. */
void
lease_call_check_error(Jsonb *error)
{
	char *message = json_string_field(error, "message");
	char *code = json_string_field(error, "code");

	if (!JB_ROOT_IS_OBJECT(error) || message == NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("error has no message: %s", json_text(error)),
						errhint("%s", LEASE_CALL_ERROR_HINT)));
	if (code != NULL && (code[0] == '\0' || strlen(code) > MAX_NAME_LENGTH))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("the code of an error must have 1 to %d bytes, not %zu",
							   MAX_NAME_LENGTH, strlen(code)),
						errhint("Give a SQLSTATE or the name of the error.")));
	json_check_size(error, "error");
}

/* What such an error says of itself. */
char *
lease_call_error_code(Jsonb *error)
{
	char *code = json_string_field(error, "code");

	return code != NULL ? code : pstrdup(unpack_sql_state(STENT_ERR_HANDLER_FAILED));
}

Datum
lease_call_words(const char **words, int n)
{
	Datum *elements = palloc_array(Datum, n);

	for (int i = 0; i < n; i++)
		elements[i] = CStringGetTextDatum(words[i]);
	return PointerGetDatum(construct_array(elements, n, TEXTOID, -1, false, TYPALIGN_INT));
}

/* How long a lease shall hold. */
int64
lease_call_duration(FunctionCallInfo fcinfo, int arg)
{
	int64 us;

	if (PG_ARGISNULL(arg))
		return (int64) stent_lease_duration * 1000;
	us = interval_us(PG_GETARG_INTERVAL_P(arg));
	if (us < LEASE_LEAST_US || us > LEASE_MOST_US)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a lease must last from 100 ms to 7 days, not %s", duration_text(us)),
				 errhint("Leave it NULL for stent.lease_duration, and heartbeat while you work.")));
	return us;
}
