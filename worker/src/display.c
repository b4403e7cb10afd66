/*
 * display.c
 *	  Text for people: what a terminal may be shown, how wide it is, times and durations.
 *
 * Names, errors and output come from whoever dispatched or ran a task; none of it may
 * move the cursor of the operator who looks at it.
 */
#include "display.h"

#include <locale.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <wchar.h>

#include "options.h"

void
display_begin(void)
{
	/* the server's texts are UTF-8 whatever the terminal's locale says */
	if (!setlocale(LC_CTYPE, "C.UTF-8"))
		setlocale(LC_CTYPE, "");
}

/* Reads one character; its length in bytes, or 0 for what is not UTF-8. */
static size_t
next_character(const unsigned char *text, size_t size, uint32_t *character)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t length = 1;

	if (text[0] < 0x80)
	{
		*character = text[0];
		return 1;
	}
	if ((text[0] & 0xE0) == 0xC0)
		length = 2;
	else if ((text[0] & 0xF0) == 0xE0)
		length = 3;
	else if ((text[0] & 0xF8) == 0xF0)
		length = 4;
	if (length == 1 || length > size)
		return 0;
	*character = text[0] & (0x7Fu >> length);
	for (size_t i = 1; i < length; i++)
	{
		if ((text[i] & 0xC0) != 0x80)
			return 0;
		*character = *character << 6 | (text[i] & 0x3Fu);
	}
	if (*character < least[length] || *character > 0x10FFFF ||
		(*character >= 0xD800 && *character <= 0xDFFF))
		return 0;
	return length;
}

/* Control characters, and those that turn the direction of what follows. */
static bool
is_harmful(uint32_t character)
{
	return character < 0x20 || (character >= 0x7F && character < 0xA0) ||
		   (character >= 0x202A && character <= 0x202E) ||
		   (character >= 0x2066 && character <= 0x2069);
}

char *
display_clean(const char *text, size_t size, bool keep_lines)
{
	char *clean = options_allocate(size * 4 + 1);
	char *end = clean;

	while (size > 0)
	{
		uint32_t character;
		size_t length = next_character((const unsigned char *) text, size, &character);

		if (length > 0 &&
			(!is_harmful(character) || (keep_lines && (character == '\n' || character == '\t'))))
		{
			memcpy(end, text, length);
			end += length;
		}
		else if (length == 1 && strchr("\n\t\r", (int) character) && character)
			end += sprintf(end, "\\%c", character == '\n' ? 'n' : (character == '\t' ? 't' : 'r'));
		else
		{
			length = length ? length : 1;
			for (size_t i = 0; i < length; i++)
				end += sprintf(end, "\\x%02x", (unsigned char) text[i]);
		}
		text += length;
		size -= length;
	}
	return clean;
}

int
display_width(const char *text)
{
	size_t size = strlen(text);
	int width = 0;

	while (size > 0)
	{
		uint32_t character;
		size_t length = next_character((const unsigned char *) text, size, &character);
		int columns = length ? wcwidth((wchar_t) character) : 1;

		width += columns < 0 ? 1 : columns;
		length = length ? length : 1;
		text += length;
		size -= length;
	}
	return width;
}

const char *
display_moment(const char *moment, char *buffer)
{
	size_t length;

	buffer[0] = '\0';
	if (!moment)
		return buffer;
	length = strcspn(moment, ".");
	if (length >= DISPLAY_TIME_SIZE)
		length = DISPLAY_TIME_SIZE - 1;
	memcpy(buffer, moment, length);
	buffer[length] = '\0';
	if (length > 10 && buffer[10] == 'T')
		buffer[10] = ' ';
	return buffer;
}

/* Seconds of a moment of the server, since an epoch that is the same for all. */
static bool
seconds_of(const char *moment, double *seconds)
{
	struct tm tm = {0};
	double second;

	if (!moment || sscanf(moment, "%d-%d-%dT%d:%d:%lf", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
						  &tm.tm_hour, &tm.tm_min, &second) != 6)
		return false;
	tm.tm_year -= 1900;
	tm.tm_mon--;
	*seconds = (double) timegm(&tm) + second;
	return true;
}

const char *
display_between(const char *from, const char *to, char *buffer)
{
	double begin;
	double end;

	buffer[0] = '\0';
	if (seconds_of(from, &begin) && seconds_of(to, &end))
		display_duration(end - begin, buffer);
	return buffer;
}

const char *
display_duration(double seconds, char *buffer)
{
	long whole = (long) seconds;

	if (seconds < 0)
		seconds = 0; /* the server's clock was set back in between */
	if (seconds < 10)
		snprintf(buffer, DISPLAY_TIME_SIZE, "%.3fs", seconds);
	else if (seconds < 60)
		snprintf(buffer, DISPLAY_TIME_SIZE, "%.1fs", seconds);
	else if (whole < 3600)
		snprintf(buffer, DISPLAY_TIME_SIZE, "%ldm%lds", whole / 60, whole % 60);
	else if (whole < 86400)
		snprintf(buffer, DISPLAY_TIME_SIZE, "%ldh%ldm", whole / 3600, whole / 60 % 60);
	else
		snprintf(buffer, DISPLAY_TIME_SIZE, "%ldd%ldh", whole / 86400, whole / 3600 % 24);
	return buffer;
}
