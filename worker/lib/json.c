/*
 * json.c
 *	  JSON as the server sends it and as jansson keeps it.
 *
 * jsonb numbers have any size; jansson has integers of 64 bits and doubles, and reads
 * no document with an integer that does not fit. Such an integer becomes a double, as
 * in most languages; what is beyond a double, or nested deeper than 2048, cannot be
 * read, and the caller is told so.
 */
#include "json.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"

/* Digits an integer has at least that may not fit into 64 bits. */
#define LONG_INTEGER 19

/* Where the JSON string ends whose first quote is at text. */
static size_t
string_end(const char *text, size_t size, size_t at)
{
	for (at++; at < size && text[at] != '"'; at++)
		if (text[at] == '\\')
			at++;
	return at + 1;
}

/* Whether these digits, with a sign or not, overflow 64 bits. */
static bool
overflows(const char *digits, size_t length)
{
	char number[LONG_INTEGER + 3];

	if (length < LONG_INTEGER)
		return false;
	if (length >= sizeof(number))
		return true;
	memcpy(number, digits, length);
	number[length] = '\0';
	errno = 0;
	(void) strtoll(number, NULL, 10);
	return errno == ERANGE;
}

/*
 * A copy of a document in which integers that do not fit are written as reals. Each
 * needs two more bytes and has LONG_INTEGER digits at least.
 */
static char *
with_reals(const char *text, size_t size, size_t *new_size)
{
	char *copy = memory_resize(NULL, size + 2 * (size / LONG_INTEGER + 1));
	size_t to = 0;
	size_t at = 0;

	if (copy == NULL)
		return NULL;
	while (at < size)
	{
		size_t end = at + 1;
		bool integer = text[at] == '-' || (text[at] >= '0' && text[at] <= '9');

		if (text[at] == '"')
			end = string_end(text, size, at);
		else if (integer)
		{
			end = at + strspn(text + at, "-+0123456789.eE");
			integer = strcspn(text + at, ".eE") >= end - at;
		}
		if (end > size)
			end = size;
		memcpy(copy + to, text + at, end - at);
		to += end - at;
		if (integer && overflows(text + at, end - at))
		{
			copy[to++] = '.';
			copy[to++] = '0';
		}
		at = end;
	}
	*new_size = to;
	return copy;
}

/*
 * Reads one JSON value; text[size] must be a NUL (not part of it). problem is set for an
 * unreadable one, and of static storage.
 */
JsonOutcome
json_read(const char *text, size_t size, json_t **value, const char **problem)
{
	json_error_t error;
	char *copy;
	size_t copy_size;

	*value = json_loadb(text, size, JSON_DECODE_ANY, &error);
	if (*value == NULL && json_error_code(&error) == json_error_numeric_overflow)
	{
		copy = with_reals(text, size, &copy_size);
		if (copy == NULL)
			return JSON_NO_MEMORY;
		*value = json_loadb(copy, copy_size, JSON_DECODE_ANY, &error);
		memory_free(copy);
	}
	if (*value != NULL)
		return JSON_READ;
	switch (json_error_code(&error))
	{
		case json_error_numeric_overflow:
			*problem = "a number is too large";
			return JSON_UNREADABLE;
		case json_error_stack_overflow:
			*problem = "it is nested too deep";
			return JSON_UNREADABLE;
		case json_error_null_character:
		case json_error_null_byte_in_key:
		case json_error_invalid_syntax:
		case json_error_invalid_utf8:
		case json_error_premature_end_of_input:
		case json_error_end_of_input_expected:
			*problem = "it is not JSON in UTF-8";
			return JSON_UNREADABLE;
		default:
			/* jansson does not always say that it had no memory */
			return JSON_NO_MEMORY;
	}
}
