/*
 * json.c
 *	  Small helpers for jsonb.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "guc.h"
#include "json.h"

#define MESSAGE_VALUE_LENGTH 200

/* an error is a row of the archive: a megabyte of context helps nobody */
#define ERROR_FIELD_LENGTH 8000

/* A value as text, cut where a message would become unreadable. */
static char *
cut(char *text)
{
	int len = strlen(text);

	if (len <= MESSAGE_VALUE_LENGTH)
		return text;
	return psprintf("%.*s...", pg_mbcliplen(text, len, MESSAGE_VALUE_LENGTH), text);
}

char *
json_text(Jsonb *json)
{
	return cut(JsonbToCString(NULL, &json->root, VARSIZE(json)));
}

char *
json_value_text(const JsonbValue *value)
{
	JsonbValue copy = *value;

	return json_text(JsonbValueToJsonb(&copy));
}

Jsonb *
json_empty_object(void)
{
	JsonbParseState *state = NULL;

	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/* JSON null, where SQL null was given. */
Jsonb *
json_null(void)
{
	JsonbValue value = {.type = jbvNull};

	return JsonbValueToJsonb(&value);
}

/* An array of these values; NULL is JSON null. */
Jsonb *
json_array(Jsonb **elements, int n)
{
	JsonbParseState *state = NULL;

	(void) pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < n; i++)
	{
		JsonbValue value = {.type = jbvNull};

		if (elements[i] != NULL && JB_ROOT_IS_SCALAR(elements[i]))
			(void) JsonbExtractScalar(&elements[i]->root, &value);
		else if (elements[i] != NULL)
		{
			value.type = jbvBinary;
			value.val.binary.data = &elements[i]->root;
			value.val.binary.len = VARSIZE(elements[i]) - VARHDRSZ;
		}
		(void) pushJsonbValue(&state, WJB_ELEM, &value);
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_ARRAY, NULL));
}

static void
push_field(JsonbParseState **state, const char *key, const char *text)
{
	JsonbValue value;

	if (text == NULL)
		return;
	value.type = jbvString;
	value.val.string.val = unconstify(char *, key);
	value.val.string.len = strlen(key);
	(void) pushJsonbValue(state, WJB_KEY, &value);
	value.val.string.val = unconstify(char *, text);
	value.val.string.len = pg_mbcliplen(text, strlen(text), ERROR_FIELD_LENGTH);
	(void) pushJsonbValue(state, WJB_VALUE, &value);
}

static void
push_bool(JsonbParseState **state, const char *key, bool yes)
{
	JsonbValue value;

	value.type = jbvString;
	value.val.string.val = unconstify(char *, key);
	value.val.string.len = strlen(key);
	(void) pushJsonbValue(state, WJB_KEY, &value);
	value.type = jbvBool;
	value.val.boolean = yes;
	(void) pushJsonbValue(state, WJB_VALUE, &value);
}

/* The form every error of a task has: code, message and what else is known. */
Jsonb *
json_error_parts(const char *code, const char *message, const char *detail, const char *hint,
				 const char *context, bool retryable)
{
	JsonbParseState *state = NULL;

	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_field(&state, "code", code);
	push_field(&state, "message", message ? message : "");
	push_field(&state, "detail", detail);
	push_field(&state, "hint", hint);
	push_field(&state, "context", context);
	push_bool(&state, "retryable", retryable);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/* An error object that a worker has given, with the code and retryable it means; texts are cut. */
Jsonb *
json_error_given(Jsonb *given, const char *code, bool retryable)
{
	JsonbParseState *state = NULL;
	JsonbIterator *it = JsonbIteratorInit(&given->root);
	JsonbIteratorToken token;
	JsonbValue key;
	JsonbValue value;

	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_field(&state, "code", code);
	while ((token = JsonbIteratorNext(&it, &key, true)) != WJB_DONE)
	{
		char *name;

		if (token != WJB_KEY)
			continue;
		(void) JsonbIteratorNext(&it, &value, true);
		name = pnstrdup(key.val.string.val, key.val.string.len);
		if (strcmp(name, "code") == 0 || strcmp(name, "retryable") == 0)
			continue;
		if (value.type == jbvString)
			value.val.string.len =
				pg_mbcliplen(value.val.string.val, value.val.string.len, ERROR_FIELD_LENGTH);
		(void) pushJsonbValue(&state, WJB_KEY, &key);
		(void) pushJsonbValue(&state, WJB_VALUE, &value);
	}
	push_bool(&state, "retryable", retryable);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

Jsonb *
json_error(ErrorData *error, bool retryable)
{
	return json_error_parts(unpack_sql_state(error->sqlerrcode), error->message, error->detail,
							error->hint, error->context, retryable);
}

/* A text field of an object, or NULL. */
char *
json_string_field(Jsonb *json, const char *key)
{
	JsonbValue buf;
	JsonbValue *value;

	if (!JB_ROOT_IS_OBJECT(json))
		return NULL;
	value = getKeyJsonValueFromContainer(&json->root, key, strlen(key), &buf);
	if (value == NULL || value->type != jbvString)
		return NULL;
	return pnstrdup(value->val.string.val, value->val.string.len);
}

void
json_check_size(Jsonb *json, const char *what)
{
	if (VARSIZE(json) > (Size) stent_max_payload_size * 1024)
		ereport(
			ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("%s of %zu bytes exceeds the limit of %zu", what, (Size) VARSIZE(json),
					(Size) stent_max_payload_size * 1024),
			 errhint(
				 "Store large values in a table and pass their key, or raise stent.max_payload_size.")));
}
