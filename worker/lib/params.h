/*
 * params.h
 *	  Parameters of a statement, in the server's binary format.
 */
#ifndef STENT_PARAMS_H
#define STENT_PARAMS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stent.h"

#define PARAMS_MAX 16

typedef struct Params
{
	char *data;
	size_t size;
	size_t room;
	int n;
	size_t start[PARAMS_MAX]; /* of each in data; data may move until all are there */
	int length[PARAMS_MAX];   /* < 0: NULL */
	int format[PARAMS_MAX];
	StentStatus status;  /* the first failure; nothing more is written then */
	const char *problem; /* of STENT_INVALID */
} Params;

extern void params_begin(Params *params);
extern void params_end(Params *params);
extern void params_free(Params *params);
extern void params_null(Params *params);
extern void params_int8(Params *params, int64_t value);
extern void params_int4(Params *params, int32_t value);
extern void params_float8(Params *params, double value);
extern void params_seconds(Params *params, double seconds);
extern void params_text(Params *params, const char *text);
extern void params_timestamp(Params *params, const char *text);
extern void params_json(Params *params, json_t *value);
extern void params_names(Params *params, StentNames names);

/* An array: begin, n elements, end. */
extern void params_array(Params *params, uint32_t type, size_t n);
extern void params_element_int8(Params *params, int64_t value);
extern void params_element_bytes(Params *params, const void *data, size_t size);
extern void params_element_json(Params *params, json_t *value);
extern void params_array_end(Params *params);

#endif
