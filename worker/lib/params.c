/*
 * params.c
 *	  Parameters of a statement, in the server's binary format.
 *
 * All are written one behind the other into one buffer that a connection keeps, so a
 * completion of a thousand tasks costs no allocation of ours. A failure is remembered and
 * looked at once, when the request is sent.
 */
#include "params.h"

#include <string.h>

#include "memory.h"
#include "types.h"

/* A buffer larger than this is given back after use. */
#define KEEP (1024 * 1024)
/* A message of the protocol cannot be larger. */
#define LARGEST (1024 * 1024 * 1024 - 64 * 1024)

/* Forgets what was there. */
void
params_begin(Params *params)
{
	params->size = 0;
	params->n = 0;
	params->status = STENT_OK;
}

/* What was written has been sent. */
void
params_end(Params *params)
{
	if (params->room > KEEP)
		params_free(params);
}

/* Gives the buffer back. */
void
params_free(Params *params)
{
	memory_free(params->data);
	params->data = NULL;
	params->room = 0;
}

/* Appends bytes; false if they did not fit. */
static bool
put(Params *params, const void *bytes, size_t size)
{
	size_t room = params->room > 0 ? params->room : 1024;
	char *data;

	if (params->status != STENT_OK)
		return false;
	if (size > LARGEST - params->size)
	{
		params->status = STENT_INVALID;
		params->problem = "the request is larger than 1 GB";
		return false;
	}
	while (room < params->size + size)
		room *= 2;
	if (room > params->room)
	{
		data = memory_resize(params->data, room);
		if (data == NULL)
		{
			params->status = STENT_NO_MEMORY;
			return false;
		}
		params->data = data;
		params->room = room;
	}
	if (size > 0)
		memcpy(params->data + params->size, bytes, size);
	params->size += size;
	return true;
}

static void
write_uint32(char *to, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		to[i] = (char) (value >> (24 - 8 * i));
}

static void
put_uint32(Params *params, uint32_t value)
{
	char bytes[4];

	write_uint32(bytes, value);
	put(params, bytes, sizeof(bytes));
}

static void
put_uint64(Params *params, uint64_t value)
{
	put_uint32(params, (uint32_t) (value >> 32));
	put_uint32(params, (uint32_t) value);
}

static int
dump(const char *bytes, size_t size, void *arg)
{
	return put(arg, bytes, size) ? 0 : -1;
}

/* jsonb: a version, and the text. */
static void
put_json(Params *params, json_t *value)
{
	put(params, "\1", 1);
	/* Without a failure of ours it is a value nested too deep, or one that contains itself. */
	if (params->status == STENT_OK && !stent_json_write(value, STENT_JSON_COMPACT, dump, params) &&
		params->status == STENT_OK)
	{
		params->status = STENT_INVALID;
		params->problem = "a value is nested too deep, or contains itself";
	}
}

/* Begins the next parameter. */
static void
begin(Params *params, int format)
{
	params->start[params->n] = params->size;
	params->format[params->n] = format;
}

/* Ends the parameter begun last. */
static void
end(Params *params)
{
	params->length[params->n] = (int) (params->size - params->start[params->n]);
	params->n++;
}

/* NULL of any type. */
void
params_null(Params *params)
{
	begin(params, 1);
	params->length[params->n++] = -1;
}

/* A bigint. */
void
params_int8(Params *params, int64_t value)
{
	begin(params, 1);
	put_uint64(params, (uint64_t) value);
	end(params);
}

/* An integer. */
void
params_int4(Params *params, int32_t value)
{
	begin(params, 1);
	put_uint32(params, (uint32_t) value);
	end(params);
}

/* A double precision. */
void
params_float8(Params *params, double value)
{
	uint64_t bits;

	memcpy(&bits, &value, sizeof(bits));
	begin(params, 1);
	put_uint64(params, bits);
	end(params);
}

/* A double precision of seconds; NULL for none (0 or less). */
void
params_seconds(Params *params, double seconds)
{
	if (seconds > 0)
		params_float8(params, seconds);
	else
		params_null(params);
}

/* A text; NULL is NULL. */
void
params_text(Params *params, const char *text)
{
	if (text == NULL)
	{
		params_null(params);
		return;
	}
	begin(params, 1);
	put(params, text, strlen(text));
	end(params);
}

/* A timestamp, which the server shall read; NULL is NULL. */
void
params_timestamp(Params *params, const char *text)
{
	if (text == NULL)
	{
		params_null(params);
		return;
	}
	begin(params, 0);
	put(params, text, strlen(text) + 1);
	end(params);
}

/* A jsonb; NULL is NULL. */
void
params_json(Params *params, json_t *value)
{
	if (value == NULL)
	{
		params_null(params);
		return;
	}
	begin(params, 1);
	put_json(params, value);
	end(params);
}

/* A text[]; no names are NULL, which means all. */
void
params_names(Params *params, StentNames names)
{
	if (names.names == NULL)
	{
		params_null(params);
		return;
	}
	params_array(params, TYPE_TEXT, names.n);
	for (size_t i = 0; i < names.n; i++)
		params_element_bytes(params, names.names[i], strlen(names.names[i]));
	params_array_end(params);
}

/* Begins an array of n elements. */
void
params_array(Params *params, uint32_t type, size_t n)
{
	begin(params, 1);
	put_uint32(params, n > 0 ? 1 : 0); /* dimensions */
	put_uint32(params, 0);             /* the server looks for NULLs itself */
	put_uint32(params, type);
	if (n > 0)
	{
		put_uint32(params, (uint32_t) n);
		put_uint32(params, 1); /* lower bound */
	}
}

/* An element of a bigint[]. */
void
params_element_int8(Params *params, int64_t value)
{
	put_uint32(params, 8);
	put_uint64(params, (uint64_t) value);
}

/* An element of a text[] or bytea[]. */
void
params_element_bytes(Params *params, const void *data, size_t size)
{
	put_uint32(params, (uint32_t) size);
	put(params, data, size);
}

/* An element of a jsonb[]; NULL is NULL. */
void
params_element_json(Params *params, json_t *value)
{
	size_t start = params->size;

	put_uint32(params, UINT32_MAX);
	if (value == NULL)
		return;
	put_json(params, value);
	if (params->status == STENT_OK)
		write_uint32(params->data + start, (uint32_t) (params->size - start - 4));
}

/* Ends an array. */
void
params_array_end(Params *params)
{
	end(params);
}
