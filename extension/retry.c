/*
 * retry.c
 *	  Retry policies.
 *
 * A policy is stored whole, as canonical jsonb with every field, when a task is
 * dispatched; afterwards only that text decides. Fields, units and defaults are
 * those of docs/retries.md.
 */
#include "postgres.h"

#include <math.h>

#include "common/pg_prng.h"
#include "utils/builtins.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "compat.h"
#include "json.h"
#include "retry.h"

#define MAX_ATTEMPTS 10000
#define MAX_ENTRY_LENGTH 200
#define MAX_ENTRIES 100

const RetryPolicy retry_defaults = {
	.max_attempts = 3,
	.initial_delay_us = 1 * USECS_PER_SEC,
	.max_delay_us = 60 * USECS_PER_SEC,
	.backoff_factor = 2.0,
	.jitter = 0.1,
	.n_retry_for = -1,
};

/* Names of the server's conditions; a code that ends in 000 names its class. */
static const struct
{
	const char *code;
	const char *name;
} conditions[] = {
#include "errcodes_table.h"
};

static void
bad_field(const char *field, const JsonbValue *value, const char *hint)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("invalid retry policy: \"%s\" is %s", field, json_value_text(value)),
					errhint("%s", hint)));
}

static double
number_field(const char *field, const JsonbValue *value, double min, double max, const char *hint)
{
	double number;

	if (value->type != jbvNumeric)
		bad_field(field, value, hint);
	number = DatumGetFloat8(
		DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(value->val.numeric)));
	if (!(number >= min && number <= max))
		bad_field(field, value, hint);
	return number;
}

static int64
duration_field(const char *field, const JsonbValue *value)
{
	const char *hint = "Write durations as text with a unit, such as \"1s\", \"5m\" or \"1.5h\".";
	Interval interval;

	if (value->type != jbvString ||
		!duration_parse(pnstrdup(value->val.string.val, value->val.string.len), &interval))
		bad_field(field, value, hint);
	if (interval_us(&interval) > MAX_DURATION_DAYS * USECS_PER_DAY)
		bad_field(field, value, "Give at most 36500 days.");
	return interval_us(&interval);
}

static char **
names_field(const char *field, JsonbValue *value, int *n)
{
	const char *hint =
		"Give an array of SQLSTATEs, two-character classes, condition names or error names, or null for everything.";
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue element;
	char **names = palloc0_array(char *, MAX_ENTRIES);

	*n = 0;
	if (value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data) ||
		JsonContainerIsScalar(value->val.binary.data))
		bad_field(field, value, hint);
	it = JsonbIteratorInit(value->val.binary.data);
	while ((token = JsonbIteratorNext(&it, &element, true)) != WJB_DONE)
	{
		if (token != WJB_ELEM)
			continue;
		if (element.type != jbvString || element.val.string.len == 0 ||
			element.val.string.len > MAX_ENTRY_LENGTH || *n >= MAX_ENTRIES)
			bad_field(field, &element, hint);
		names[(*n)++] = pnstrdup(element.val.string.val, element.val.string.len);
	}
	return names;
}

/*
 * Read a policy; fields that are absent come from base. Unknown fields are
 * errors, since a misspelt one would silently do nothing.
 */
RetryPolicy *
retry_parse(Jsonb *given, const RetryPolicy *base)
{
	RetryPolicy *policy = palloc_object(RetryPolicy);
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue key;
	JsonbValue value;

	*policy = *base;
	if (!JB_ROOT_IS_OBJECT(given))
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid retry policy: %s", json_text(given)),
			 errhint("Give an object such as {\"max_attempts\": 5, \"initial_delay\": \"2s\"}.")));

	it = JsonbIteratorInit(&given->root);
	while ((token = JsonbIteratorNext(&it, &key, true)) != WJB_DONE)
	{
		char *field;

		if (token != WJB_KEY)
			continue;
		field = pnstrdup(key.val.string.val, key.val.string.len);
		(void) JsonbIteratorNext(&it, &value, true);
		if (strcmp(field, "max_attempts") == 0)
		{
			const char *hint = "Give a whole number from 1 (no retry) to 10000.";
			double n = number_field(field, &value, 1, MAX_ATTEMPTS, hint);

			if (n != rint(n))
				bad_field(field, &value, hint);
			policy->max_attempts = (int) n;
		}
		else if (strcmp(field, "initial_delay") == 0)
			policy->initial_delay_us = duration_field(field, &value);
		else if (strcmp(field, "max_delay") == 0)
			policy->max_delay_us = duration_field(field, &value);
		else if (strcmp(field, "backoff_factor") == 0)
			policy->backoff_factor =
				number_field(field, &value, 1, 1000, "Give a number from 1 to 1000.");
		else if (strcmp(field, "jitter") == 0)
			policy->jitter = number_field(field, &value, 0, 1, "Give a number from 0 to 1.");
		else if (strcmp(field, "retry_for") == 0)
		{
			policy->n_retry_for = -1;
			policy->retry_for = NULL;
			if (value.type != jbvNull)
				policy->retry_for = names_field(field, &value, &policy->n_retry_for);
		}
		else if (strcmp(field, "no_retry_for") == 0)
		{
			policy->n_no_retry_for = 0;
			policy->no_retry_for = NULL;
			if (value.type != jbvNull)
				policy->no_retry_for = names_field(field, &value, &policy->n_no_retry_for);
		}
		else
			ereport(
				ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid retry policy: unknown field \"%s\"", field),
				 errhint(
					 "Known fields are max_attempts, initial_delay, backoff_factor, max_delay, jitter, retry_for and no_retry_for.")));
	}
	return policy;
}

static void
push_key(JsonbParseState **state, const char *key)
{
	JsonbValue value;

	value.type = jbvString;
	value.val.string.val = unconstify(char *, key);
	value.val.string.len = strlen(key);
	(void) pushJsonbValue(state, WJB_KEY, &value);
}

static void
push_text(JsonbParseState **state, JsonbIteratorToken token, char *text)
{
	JsonbValue value;

	value.type = jbvString;
	value.val.string.val = text;
	value.val.string.len = strlen(text);
	(void) pushJsonbValue(state, token, &value);
}

static void
push_number(JsonbParseState **state, const char *key, double number)
{
	JsonbValue value;

	push_key(state, key);
	value.type = jbvNumeric;
	value.val.numeric =
		DatumGetNumeric(DirectFunctionCall1(float8_numeric, Float8GetDatum(number)));
	(void) pushJsonbValue(state, WJB_VALUE, &value);
}

static void
push_duration(JsonbParseState **state, const char *key, int64 us)
{
	push_key(state, key);
	push_text(state, WJB_VALUE, duration_text(us));
}

static void
push_names(JsonbParseState **state, const char *key, int n, char **names)
{
	push_key(state, key);
	if (n < 0)
	{
		JsonbValue value;

		value.type = jbvNull;
		(void) pushJsonbValue(state, WJB_VALUE, &value);
		return;
	}
	(void) pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < n; i++)
		push_text(state, WJB_ELEM, names[i]);
	(void) pushJsonbValue(state, WJB_END_ARRAY, NULL);
}

/* The stored form, with every field. */
Jsonb *
retry_to_jsonb(const RetryPolicy *policy)
{
	JsonbParseState *state = NULL;

	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_number(&state, "max_attempts", policy->max_attempts);
	push_duration(&state, "initial_delay", policy->initial_delay_us);
	push_number(&state, "backoff_factor", policy->backoff_factor);
	push_duration(&state, "max_delay", policy->max_delay_us);
	push_number(&state, "jitter", policy->jitter);
	push_names(&state, "retry_for", policy->n_retry_for, policy->retry_for);
	push_names(&state, "no_retry_for", policy->n_no_retry_for, policy->no_retry_for);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/*
 * Whether an entry of retry_for names the raised code: the SQLSTATE itself, its
 * class, a condition name of either, or an external handler's error name.
 */
bool
retry_code_matches(const char *entry, const char *code)
{
	if (strcmp(entry, code) == 0)
		return true;
	if (strlen(entry) == 2 && strlen(code) == 5)
		return strncmp(entry, code, 2) == 0;
	for (int i = 0; i < (int) lengthof(conditions); i++)
	{
		if (strcmp(conditions[i].name, entry) != 0)
			continue;
		if (strcmp(conditions[i].code, code) == 0)
			return true;
		if (strcmp(conditions[i].code + 2, "000") == 0 && strncmp(conditions[i].code, code, 2) == 0)
			return true;
	}
	return false;
}

static bool
any_matches(int n, char **entries, const char *code)
{
	for (int i = 0; i < n; i++)
		if (retry_code_matches(entries[i], code))
			return true;
	return false;
}

/* Whether the policy retries an error with this code, attempts permitting. */
bool
retry_allowed(const RetryPolicy *policy, const char *code)
{
	if (policy->n_retry_for >= 0 && !any_matches(policy->n_retry_for, policy->retry_for, code))
		return false;
	return !any_matches(policy->n_no_retry_for, policy->no_retry_for, code);
}

/* How long to wait after the attempt-th attempt: capped, then jittered, never negative. */
int64
retry_delay_us(const RetryPolicy *policy, int attempt)
{
	double delay = policy->initial_delay_us * pow(policy->backoff_factor, attempt - 1);

	if (!(delay < policy->max_delay_us))
		delay = policy->max_delay_us;
	if (policy->jitter > 0)
		delay += delay * policy->jitter * (2 * pg_prng_double(&pg_global_prng_state) - 1);
	return delay > 0 ? (int64) rint(delay) : 0;
}
