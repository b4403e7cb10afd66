/*
 * json_keys.h
 *	  The keys of a JSON object by their types, with errors that name them.
 */
#ifndef STENT_JSON_KEYS_H
#define STENT_JSON_KEYS_H

#include "postgres.h"

#include "compat.h"
#include "utils/array.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

/* An object that was given. */
typedef struct JsonKeys
{
	Jsonb *object;
	const char *where; /* for messages: "step 2" */
} JsonKeys;

extern void json_keys_begin(JsonKeys *keys, Jsonb *object, const char *where);
extern void json_keys_known(const JsonKeys *keys, const char *const *known);
pg_noreturn extern void json_keys_refuse(const JsonKeys *keys, const char *key, const char *wanted);
pg_noreturn extern void json_keys_missing(const JsonKeys *keys, const char *key);

/* NULL, or false: the key is not there, or null. */
extern JsonbValue *json_keys_find(const JsonKeys *keys, const char *key);
extern char *json_keys_string(const JsonKeys *keys, const char *key);
extern bool json_keys_integer(const JsonKeys *keys, const char *key, int64 least, int64 most,
							  int64 *value);
extern bool json_keys_value_integer(const JsonbValue *value, int64 *integer);
extern Interval *json_keys_interval(const JsonKeys *keys, const char *key);
extern bool json_keys_time(const JsonKeys *keys, const char *key, Timestamp *time);
extern ArrayType *json_keys_strings(const JsonKeys *keys, const char *key);
extern Jsonb *json_keys_json(const JsonKeys *keys, const char *key);
extern Jsonb *json_keys_object(const JsonKeys *keys, const char *key);
extern Jsonb *json_keys_array(const JsonKeys *keys, const char *key);

#endif
