/*
 * json_array.h
 *	  Long arrays of jsonb, built and read element by element.
 */
#ifndef STENT_JSON_ARRAY_H
#define STENT_JSON_ARRAY_H

#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/jsonb.h"

/* An element as it is stored: of a container its bytes, of a scalar its value's. */
typedef struct JsonElement
{
	uint32 type; /* JENTRY_ISSTRING ... */
	const char *data;
	uint32 len;
} JsonElement;

/* An array that grows. It can be cut back to what it was. */
typedef struct JsonArray
{
	int n;
	int max;
	JEntry *entries; /* type and length, padding included */
	StringInfoData data;
} JsonArray;

typedef struct JsonArrayMark
{
	int n;
	int len;
} JsonArrayMark;

/* A walk over the elements of an array, which must stay where it is. */
typedef struct JsonElements
{
	JsonbContainer *array;
	int n;
	int next;
	uint32 offset;
} JsonElements;

extern void json_array_begin(JsonArray *array);
extern bool json_array_fits(const JsonArray *array, uint32 len);
extern void json_array_add(JsonArray *array, const JsonElement *element);
extern void json_array_add_value(JsonArray *array, Jsonb *value);
extern JsonArrayMark json_array_mark(const JsonArray *array);
extern void json_array_cut(JsonArray *array, JsonArrayMark mark);
extern Jsonb *json_array_finish(const JsonArray *array);

extern void json_elements_begin(JsonElements *walk, Jsonb *array);
extern bool json_elements_next(JsonElements *walk, JsonElement *element);
extern void json_element_of(Jsonb *value, JsonElement *element);
extern Jsonb *json_element_value(const JsonElement *element);

#endif
