/*
 * json.h
 *	  Small helpers for jsonb: texts for messages, error objects, bounds.
 */
#ifndef STENT_JSON_H
#define STENT_JSON_H

#include "postgres.h"

#include "utils/jsonb.h"

extern char *json_text(Jsonb *json);
extern char *json_value_text(const JsonbValue *value);
extern Jsonb *json_error(ErrorData *error, bool retryable);
extern Jsonb *json_error_parts(const char *code, const char *message, const char *detail,
							   const char *hint, const char *context, bool retryable);
extern Jsonb *json_error_given(Jsonb *given, const char *code, bool retryable);
extern char *json_string_field(Jsonb *json, const char *key);
extern Jsonb *json_empty_object(void);
extern Jsonb *json_null(void);
extern Jsonb *json_array(Jsonb **elements, int n);
extern void json_check_size(Jsonb *json, const char *what);

#endif
