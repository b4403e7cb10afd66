/*
 * json.c
 *	  JSON as the server sends it and as jansson keeps it.
 *
 * A reader of our own, for two reasons. jsonb has numbers of any size, and jansson's
 * reader refuses a document with an integer beyond 64 bits; here such an integer becomes
 * a double, as in most languages. And where jansson's reader (2.14) finds no memory for a
 * longer token it goes on with a part of it: a task would get other arguments than it
 * was sent.
 *
 * The text is a jsonb of the server: its syntax and its UTF-8 are known to be right, and
 * looked at only so far that nothing is read beyond its end.
 */
#include "json.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"

/* jansson's own limit; what frees a value calls itself as often as it is deep. */
#define DEEPEST 2048

typedef struct Reader
{
	const char *at;
	const char *end; /* there is a NUL */
	int depth;
	char *scratch; /* for strings with escapes; as long as the text */
	size_t size;
	JsonOutcome outcome;
	const char *problem;
} Reader;

static json_t *read_value(Reader *reader);

/* Gives up, for the first reason there is. */
static json_t *
give_up(Reader *reader, JsonOutcome outcome, const char *problem)
{
	if (reader->outcome == JSON_READ)
	{
		reader->outcome = outcome;
		reader->problem = problem;
	}
	return NULL;
}

static json_t *
not_json(Reader *reader)
{
	return give_up(reader, JSON_UNREADABLE, "it is not JSON");
}

/* The value, or the want of memory that made it NULL. */
static json_t *
made(Reader *reader, json_t *value)
{
	return value != NULL ? value : give_up(reader, JSON_NO_MEMORY, NULL);
}

/* Skips blanks, and the character if it is this one; whether it was. */
static bool
skip(Reader *reader, char c)
{
	while (*reader->at == ' ' || (*reader->at >= '\t' && *reader->at <= '\r'))
		reader->at++;
	if (reader->at >= reader->end || *reader->at != c)
		return false;
	reader->at++;
	return true;
}

/* Reads a word such as true. */
static json_t *
read_word(Reader *reader, const char *word, json_t *value)
{
	size_t length = strlen(word);

	if ((size_t) (reader->end - reader->at) < length || memcmp(reader->at, word, length) != 0)
		return not_json(reader);
	reader->at += length;
	return value;
}

static pthread_once_t c_locale_once = PTHREAD_ONCE_INIT;
static locale_t c_locale;

static void
make_c_locale(void)
{
	c_locale = newlocale(LC_ALL_MASK, "C", (locale_t) 0);
}

/* Reads a number: an integer if it is one and fits. */
static json_t *
read_number(Reader *reader)
{
	size_t length = strspn(reader->at, "+-0123456789.eE");
	bool integer = strcspn(reader->at, ".eE") >= length;
	const char *start = reader->at;
	char *end;
	double real;

	if (length == 0)
		return not_json(reader);
	reader->at += length;
	if (integer)
	{
		long long number;

		errno = 0;
		number = strtoll(start, &end, 10);
		if (end != reader->at)
			return not_json(reader);
		if (errno == 0)
			return made(reader, json_integer(number));
	}
	/* The program's locale may have a comma for the point. */
	pthread_once(&c_locale_once, make_c_locale);
	if (c_locale == (locale_t) 0)
		return give_up(reader, JSON_NO_MEMORY, NULL);
	real = strtod_l(start, &end, c_locale);
	if (end != reader->at)
		return not_json(reader);
	if (isinf(real))
		return give_up(reader, JSON_UNREADABLE, "a number is too large");
	return made(reader, json_real(real));
}

/*
 * Reads a string behind its first quote; NULL if that cannot be. It is part of the text,
 * or in scratch if it has escapes.
 */
static const char *
read_string(Reader *reader, size_t *length)
{
	const char *start = reader->at;
	bool good = true;
	char *to;

	while (reader->at < reader->end && *reader->at != '"' && *reader->at != '\\')
		reader->at++;
	if (reader->at < reader->end && *reader->at == '"')
	{
		*length = (size_t) (reader->at++ - start);
		return start;
	}
	if (reader->scratch == NULL)
		reader->scratch = memory_resize(NULL, reader->size);
	if (reader->scratch == NULL)
	{
		(void) give_up(reader, JSON_NO_MEMORY, NULL);
		return NULL;
	}
	/* Every escape is longer than what it stands for. */
	to = reader->scratch;
	reader->at = start;
	while (good && reader->at < reader->end && *reader->at != '"')
	{
		if (*reader->at == '\\')
		{
			size_t n;

			reader->at++;
			n = json_escape_read(&reader->at, reader->end, to);
			good = n > 0;
			to += n;
		}
		else
			*to++ = *reader->at++;
	}
	if (!good || reader->at >= reader->end)
	{
		(void) not_json(reader);
		return NULL;
	}
	reader->at++;
	*length = (size_t) (to - reader->scratch);
	return reader->scratch;
}

/* Reads an array behind its bracket. */
static json_t *
read_array(Reader *reader)
{
	json_t *array = made(reader, json_array());
	json_t *value;

	if (array == NULL || skip(reader, ']'))
		return array;
	do
	{
		value = read_value(reader);
		/* which takes the value in any case */
		if (value == NULL || json_array_append_new(array, value) != 0)
		{
			json_decref(array);
			return give_up(reader, JSON_NO_MEMORY, NULL);
		}
	} while (skip(reader, ','));
	if (skip(reader, ']'))
		return array;
	json_decref(array);
	return not_json(reader);
}

/* Reads an object behind its brace. */
static json_t *
read_object(Reader *reader)
{
	json_t *object = made(reader, json_object());
	bool good;

	if (object == NULL || skip(reader, '}'))
		return object;
	do
	{
		json_t *value = NULL;
		const char *name;
		char *key = NULL;
		size_t length = 0;

		good = skip(reader, '"');
		name = good ? read_string(reader, &length) : NULL;
		if (name != NULL)
		{
			/* The value may need scratch, too. */
			key = memory_resize(NULL, length + 1);
			if (key == NULL)
				(void) give_up(reader, JSON_NO_MEMORY, NULL);
			else
			{
				memcpy(key, name, length);
				key[length] = '\0';
				value = skip(reader, ':') ? read_value(reader) : not_json(reader);
			}
		}
		good = value != NULL;
		if (good && json_object_set_new_nocheck(object, key, value) != 0)
		{
			(void) give_up(reader, JSON_NO_MEMORY, NULL);
			good = false;
		}
		memory_free(key);
	} while (good && skip(reader, ','));
	if (good && skip(reader, '}'))
		return object;
	json_decref(object);
	return not_json(reader);
}

/* Reads any value. */
static json_t *
read_value(Reader *reader)
{
	json_t *value;
	const char *text;
	size_t length;

	if (skip(reader, '"'))
	{
		text = read_string(reader, &length);
		return text != NULL ? made(reader, json_stringn_nocheck(text, length)) : NULL;
	}
	if (reader->depth == DEEPEST)
		return give_up(reader, JSON_UNREADABLE, "it is nested too deep");
	reader->depth++;
	if (skip(reader, '{'))
		value = read_object(reader);
	else if (skip(reader, '['))
		value = read_array(reader);
	else if (*reader->at == 't')
		value = read_word(reader, "true", json_true());
	else if (*reader->at == 'f')
		value = read_word(reader, "false", json_false());
	else if (*reader->at == 'n')
		value = read_word(reader, "null", json_null());
	else
		value = read_number(reader);
	reader->depth--;
	return value;
}

/*
 * Reads one JSON value; text[size] must be a NUL (not part of it). problem is set for an
 * unreadable one, and of static storage.
 */
JsonOutcome
json_read(const char *text, size_t size, json_t **value, const char **problem)
{
	Reader reader = {.at = text, .end = text + size, .size = size, .outcome = JSON_READ};

	*value = read_value(&reader);
	memory_free(reader.scratch);
	/* blanks may follow, and nothing else */
	(void) skip(&reader, '\0');
	if (*value != NULL && reader.at != reader.end)
	{
		json_decref(*value);
		*value = not_json(&reader);
	}
	if (reader.outcome == JSON_UNREADABLE)
		*problem = reader.problem;
	return reader.outcome;
}
