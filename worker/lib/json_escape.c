/*
 * json_escape.c
 *	  Escapes in JSON strings.
 */
#include <stdlib.h>
#include <string.h>

#include "json.h"

/* The four digits of an escape; -1: they are none. */
static long
hex4(const char *digits, const char *end)
{
	char text[5];

	if (end - digits < 4)
		return -1;
	memcpy(text, digits, 4);
	text[4] = '\0';
	return strspn(text, "0123456789abcdefABCDEF") == 4 ? strtol(text, NULL, 16) : -1;
}

/* Writes a character in UTF-8; how many bytes. */
static size_t
put_utf8(char *to, long c)
{
	if (c < 0x80)
	{
		to[0] = (char) c;
		return 1;
	}
	if (c < 0x800)
	{
		to[0] = (char) (0xC0 | c >> 6);
		to[1] = (char) (0x80 | (c & 0x3F));
		return 2;
	}
	if (c < 0x10000)
	{
		to[0] = (char) (0xE0 | c >> 12);
		to[1] = (char) (0x80 | (c >> 6 & 0x3F));
		to[2] = (char) (0x80 | (c & 0x3F));
		return 3;
	}
	to[0] = (char) (0xF0 | c >> 18);
	to[1] = (char) (0x80 | (c >> 12 & 0x3F));
	to[2] = (char) (0x80 | (c >> 6 & 0x3F));
	to[3] = (char) (0x80 | (c & 0x3F));
	return 4;
}

/* Reads what follows a backslash; how many bytes it is, 0 if it is nothing. */
size_t
json_escape_read(const char **at, const char *end, char *to)
{
	static const char names[] = "\"\\/bfnrt";
	static const char means[] = "\"\\/\b\f\n\r\t";
	const char *name;
	long c;
	long low;

	if (*at >= end)
		return 0;
	if (**at != 'u')
	{
		name = strchr(names, *(*at)++);
		if (name == NULL || *name == '\0')
			return 0;
		*to = means[name - names];
		return 1;
	}
	c = hex4(++*at, end);
	/* jsonb has no NUL, and surrogates in pairs only */
	if (c <= 0)
		return 0;
	*at += 4;
	if (c >= 0xD800 && c < 0xDC00 && end - *at >= 6 && (*at)[0] == '\\' && (*at)[1] == 'u')
	{
		low = hex4(*at + 2, end);
		if (low < 0xDC00 || low > 0xDFFF)
			return 0;
		*at += 6;
		c = 0x10000 + (c - 0xD800) * 0x400 + (low - 0xDC00);
	}
	else if (c >= 0xD800 && c < 0xE000)
		return 0;
	return put_utf8(to, c);
}
