/*
 * json.h
 *	  JSON as the server sends it and as jansson keeps it.
 */
#ifndef STENT_JSON_H
#define STENT_JSON_H

#include <jansson.h>
#include <stddef.h>

typedef enum JsonOutcome
{
	JSON_READ,
	JSON_NO_MEMORY,
	JSON_UNREADABLE /* valid for the server, but jansson has no room for it */
} JsonOutcome;

extern JsonOutcome json_read(const char *text, size_t size, json_t **value, const char **problem);

/* Of json_escape.c, for json.c. */
extern size_t json_escape_read(const char **at, const char *end, char *to);

#endif
