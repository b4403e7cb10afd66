/*
 * json_keys.c
 *	  The keys of a JSON object by their types, with errors that name them.
 *
 * What a value means for who reads it (how long a name may be, which numbers fit) is left
 * to the reader, where it is more than a range.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "json.h"
#include "json_keys.h"

/* Begin to read an object. */
void
json_keys_begin(JsonKeys *keys, Jsonb *object, const char *where)
{
	if (!JB_ROOT_IS_OBJECT(object))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s must be an object, not %s", where, json_text(object)),
						errhint("Its keys are described in docs/protocol.md.")));
	keys->object = object;
	keys->where = where;
}

/* Refuse keys that are none of the known ones; the list ends with NULL. */
void
json_keys_known(const JsonKeys *keys, const char *const *known)
{
	JsonbIterator *it = JsonbIteratorInit(&keys->object->root);
	JsonbIteratorToken token;
	JsonbValue value;

	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		StringInfoData list;
		char *key;
		int i = 0;

		if (token != WJB_KEY)
			continue;
		key = pnstrdup(value.val.string.val, value.val.string.len);
		while (known[i] != NULL && strcmp(known[i], key) != 0)
			i++;
		if (known[i] != NULL)
			continue;
		initStringInfo(&list);
		for (i = 0; known[i] != NULL; i++)
			appendStringInfo(&list, "%s%s", i > 0 ? ", " : "", known[i]);
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s has an unknown key: \"%s\"", keys->where, key),
						errhint("Its keys are %s.", list.data)));
	}
}

/* The value of a key is not what it has to be. */
void
json_keys_refuse(const JsonKeys *keys, const char *key, const char *wanted)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("\"%s\" of %s must be %s, not %s", key, keys->where, wanted,
						   json_value_text(json_keys_find(keys, key))),
					errhint("A key that is left out, or null, is not given.")));
}

void
json_keys_missing(const JsonKeys *keys, const char *key)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s has no \"%s\"", keys->where, key),
			 errhint("It needs one: %s.", json_text(keys->object))));
}

JsonbValue *
json_keys_find(const JsonKeys *keys, const char *key)
{
	JsonbValue *value = getKeyJsonValueFromContainer(&keys->object->root, key, strlen(key), NULL);

	return value == NULL || value->type == jbvNull ? NULL : value;
}

char *
json_keys_string(const JsonKeys *keys, const char *key)
{
	JsonbValue *value = json_keys_find(keys, key);

	if (value == NULL)
		return NULL;
	if (value->type != jbvString)
		json_keys_refuse(keys, key, "a string");
	return pnstrdup(value->val.string.val, value->val.string.len);
}

/* Whether the value is a whole number that fits. */
bool
json_keys_value_integer(const JsonbValue *value, int64 *integer)
{
	char *digits;
	char *end;

	if (value->type != jbvNumeric)
		return false;
	digits = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
	errno = 0;
	*integer = strtoi64(digits, &end, 10);
	return errno == 0 && *end == '\0';
}

bool
json_keys_integer(const JsonKeys *keys, const char *key, int64 least, int64 most, int64 *integer)
{
	JsonbValue *value = json_keys_find(keys, key);

	if (value == NULL)
		return false;
	if (!json_keys_value_integer(value, integer) || *integer < least || *integer > most)
		json_keys_refuse(
			keys, key,
			psprintf("a whole number from " INT64_FORMAT " to " INT64_FORMAT, least, most));
	return true;
}

/* Have the server read a text; false: it refuses it, and so does who asked. */
static bool
server_reads(PGFunction input, char *text, Datum *value)
{
	MemoryContext cxt = CurrentMemoryContext;
	volatile bool good = false;

	PG_TRY();
	{
		*value = DirectFunctionCall3(input, CStringGetDatum(text), ObjectIdGetDatum(InvalidOid),
									 Int32GetDatum(-1));
		good = true;
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(cxt);
		if (ERRCODE_TO_CATEGORY(geterrcode()) != ERRCODE_DATA_EXCEPTION)
			PG_RE_THROW();
		/* nothing to undo: these functions hold nothing, and an error follows */
		FlushErrorState();
	}
	PG_END_TRY();
	return good;
}

/* A duration as stent.duration() reads it, or an interval. */
Interval *
json_keys_interval(const JsonKeys *keys, const char *key)
{
	char *text = json_keys_string(keys, key);
	Interval *interval = palloc_object(Interval);
	Datum value;

	if (text == NULL)
		return NULL;
	if (duration_parse(text, interval))
		return interval;
	/* a bare number has no unit */
	if (text[strspn(text, "0123456789.+- ")] == '\0' || !server_reads(interval_in, text, &value))
		json_keys_refuse(keys, key, "a duration such as \"5m\" or \"1 day\"");
	return DatumGetIntervalP(value);
}

/* A time of the calendar, in UTC. */
bool
json_keys_time(const JsonKeys *keys, const char *key, Timestamp *time)
{
	char *text = json_keys_string(keys, key);
	Datum value;
	size_t date;
	size_t end;

	if (text == NULL)
		return false;
	/* the server would pass over a time zone without a word */
	date = strspn(text, "0123456789-");
	end = date + strspn(text + date, "T 0123456789:.");
	if (text[end] == 'Z')
		end++;
	if (date == 0 || text[end] != '\0' || !server_reads(timestamp_in, text, &value))
		json_keys_refuse(keys, key, "a UTC time such as \"2030-01-31T12:00:00\"");
	*time = DatumGetTimestamp(value);
	return true;
}

/* An array of strings, as text[]. */
ArrayType *
json_keys_strings(const JsonKeys *keys, const char *key)
{
	Jsonb *array = json_keys_array(keys, key);
	Datum *elements;
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue value;
	int n = 0;

	if (array == NULL)
		return NULL;
	elements = palloc_array(Datum, Max(JB_ROOT_COUNT(array), 1));
	it = JsonbIteratorInit(&array->root);
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		if (token != WJB_ELEM)
			continue;
		if (value.type != jbvString)
			json_keys_refuse(keys, key, "an array of strings");
		elements[n++] =
			PointerGetDatum(cstring_to_text_with_len(value.val.string.val, value.val.string.len));
	}
	return construct_array(elements, n, TEXTOID, -1, false, TYPALIGN_INT);
}

/* Any value but null. */
Jsonb *
json_keys_json(const JsonKeys *keys, const char *key)
{
	JsonbValue *value = json_keys_find(keys, key);

	return value == NULL ? NULL : JsonbValueToJsonb(value);
}

Jsonb *
json_keys_object(const JsonKeys *keys, const char *key)
{
	Jsonb *json = json_keys_json(keys, key);

	if (json != NULL && !JB_ROOT_IS_OBJECT(json))
		json_keys_refuse(keys, key, "an object");
	return json;
}

Jsonb *
json_keys_array(const JsonKeys *keys, const char *key)
{
	Jsonb *json = json_keys_json(keys, key);

	if (json != NULL && (!JB_ROOT_IS_ARRAY(json) || JB_ROOT_IS_SCALAR(json)))
		json_keys_refuse(keys, key, "an array");
	return json;
}
