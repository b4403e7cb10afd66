/*
 * text.c
 *	  Bytes of commands as text: UTF-8 found, cut and mended.
 *
 * A command writes what it likes, but what goes into JSON must be UTF-8 without NUL, or
 * the server refuses it. Nothing in here knows what the text is for.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

#define REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */

/*
 * The length of the character that data begins with; 0: it is none (NUL counts as none),
 * -1: it may become one with more bytes. The table of well-formed sequences is Unicode's.
 */
static int
character_length(const unsigned char *data, size_t size)
{
	unsigned char lowest = 0x80; /* of the second byte */
	unsigned char highest = 0xBF;
	int length;

	if (data[0] >= 0x01 && data[0] <= 0x7F)
		return 1;
	else if (data[0] >= 0xC2 && data[0] <= 0xDF)
		length = 2;
	else if (data[0] >= 0xE0 && data[0] <= 0xEF)
		length = 3;
	else if (data[0] >= 0xF0 && data[0] <= 0xF4)
		length = 4;
	else
		return 0;
	if (data[0] == 0xE0)
		lowest = 0xA0;
	else if (data[0] == 0xED) /* surrogates */
		highest = 0x9F;
	else if (data[0] == 0xF0)
		lowest = 0x90;
	else if (data[0] == 0xF4)
		highest = 0x8F;
	for (int i = 1; i < length; i++)
	{
		if ((size_t) i == size)
			return -1;
		if (data[i] < lowest || data[i] > highest)
			return 0;
		lowest = 0x80;
		highest = 0xBF;
	}
	return length;
}

size_t
text_invalid_at(const char *data, size_t size)
{
	size_t at = 0;

	while (at < size)
	{
		int length = character_length((const unsigned char *) data + at, size - at);

		if (length <= 0)
			break;
		at += (size_t) length;
	}
	return at;
}

size_t
text_whole(const char *data, size_t size)
{
	for (size_t back = 1; back <= 3 && back <= size; back++)
	{
		if (character_length((const unsigned char *) data + size - back, back) < 0)
			return size - back;
	}
	return size;
}

/* Mends bytes into room for three times as many; the size of what they became. */
static size_t
mend(const char *data, size_t size, char *text)
{
	size_t written = 0;
	size_t at = 0;

	while (at < size)
	{
		int length = character_length((const unsigned char *) data + at, size - at);

		if (length > 0)
			memcpy(text + written, data + at, (size_t) length);
		else
			memcpy(text + written, REPLACEMENT, 3);
		written += length > 0 ? (size_t) length : 3;
		at += length > 0 ? (size_t) length : 1;
	}
	return written;
}

json_t *
text_json_end(const char *data, size_t size, size_t limit)
{
	char *text = malloc(size * 3 + 1);
	size_t length;
	size_t from = 0;
	json_t *json;

	if (!text)
		return NULL;
	length = mend(data, size, text);
	if (length > limit)
		from = length - limit;
	while (from < length && ((unsigned char) text[from] & 0xC0) == 0x80)
		from++;
	json = json_stringn_nocheck(text + from, length - from);
	free(text);
	return json;
}

json_t *
text_json(const char *data, size_t size)
{
	return text_json_end(data, size, SIZE_MAX);
}
