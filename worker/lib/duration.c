/*
 * duration.c
 *	  Durations as people write them: 30s, 1h30m, 1.5h.
 *
 * The same language as stent.duration(text) of the extension, which a unit test
 * compares with it.
 */
#include <math.h>
#include <stdint.h>

#include "stent.h"

#define SECOND INT64_C(1000000)
/* What the extension can keep, in microseconds. */
#define LONGEST (INT64_MAX / 4)

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Blanks as in the C locale, whatever the program's. */
static bool
is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Microseconds of a unit; 0: it is none. */
static int64_t
unit_us(char unit)
{
	switch (unit)
	{
		case 's':
			return SECOND;
		case 'm':
			return 60 * SECOND;
		case 'h':
			return 3600 * SECOND;
		case 'd':
			return 86400 * SECOND;
		case 'w':
			return 7 * 86400 * SECOND;
		default:
			return 0;
	}
}

/* Reads one number and its unit, and adds it up; where it ends, or NULL. */
static const char *
parse_part(const char *text, int64_t *us)
{
	int64_t whole = 0;
	int64_t unit;
	double fraction = 0;
	double scale = 0.1;

	if (!is_digit(*text))
		return NULL;
	for (; is_digit(*text); text++)
		if (__builtin_mul_overflow(whole, 10, &whole) ||
			__builtin_add_overflow(whole, *text - '0', &whole))
			return NULL;
	if (*text == '.')
	{
		text++;
		if (!is_digit(*text))
			return NULL;
		for (; is_digit(*text); text++, scale /= 10)
			fraction += (*text - '0') * scale;
	}
	unit = unit_us(*text);
	if (unit == 0 || __builtin_mul_overflow(whole, unit, &whole) ||
		__builtin_add_overflow(whole, (int64_t) rint(fraction * (double) unit), &whole) ||
		__builtin_add_overflow(*us, whole, us))
		return NULL;
	return text + 1;
}

/* Reads a duration; false, and seconds untouched, if it is none. */
bool
stent_duration_parse(const char *text, double *seconds)
{
	int64_t us = 0;

	if (text == NULL)
		return false;
	while (is_blank(*text))
		text++;
	do
		text = parse_part(text, &us);
	while (text != NULL && *text != '\0' && !is_blank(*text));
	if (text == NULL || us > LONGEST)
		return false;
	while (is_blank(*text))
		text++;
	if (*text != '\0')
		return false;
	*seconds = (double) us / (double) SECOND;
	return true;
}
