/*
 * json_write.c
 *	  JSON as text, with numbers as short as they mean the same.
 *
 * jansson's own writer gives reals 17 digits: 0.1 would be stored as 0.10000000000000001,
 * which jsonb, whose numbers are decimal, keeps as another number.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "stent.h"

/* As deep as jansson reads; also what ends a value that contains itself. */
#define MAX_DEPTH 2048

typedef struct Writer
{
	json_dump_callback_t write;
	void *arg;
	StentJsonStyle style;
	bool failed;
} Writer;

static void
put(Writer *writer, const char *text, size_t size)
{
	if (!writer->failed && size > 0 && writer->write(text, size, writer->arg) != 0)
		writer->failed = true;
}

static void
put_text(Writer *writer, const char *text)
{
	put(writer, text, strlen(text));
}

/* A string with its quotes; what needs none of it is written in runs. */
static void
put_string(Writer *writer, const char *text, size_t size)
{
	size_t begin = 0;

	put(writer, "\"", 1);
	for (size_t i = 0; i < size; i++)
	{
		unsigned char c = (unsigned char) text[i];
		char escape[8];

		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		put(writer, text + begin, i - begin);
		begin = i + 1;
		if (c == '"' || c == '\\')
			snprintf(escape, sizeof(escape), "\\%c", c);
		else if (c == '\n' || c == '\t' || c == '\r')
			snprintf(escape, sizeof(escape), "\\%c", c == '\n' ? 'n' : (c == '\t' ? 't' : 'r'));
		else
			snprintf(escape, sizeof(escape), "\\u%04x", c);
		put_text(writer, escape);
	}
	put(writer, text + begin, size - begin);
	put(writer, "\"", 1);
}

static void
put_real(Writer *writer, double number)
{
	char digits[40];
	char *comma;

	for (int precision = 15; precision <= 17; precision++)
	{
		snprintf(digits, sizeof(digits), "%.*g", precision, number);
		if (strtod(digits, NULL) == number)
			break;
	}
	/* the program's locale may write 0,1 */
	comma = digits + strcspn(digits, "0123456789+-.einfa");
	if (*comma == ',')
		*comma = '.';
	put_text(writer, digits);
	if (!strpbrk(digits, ".e"))
		put_text(writer, ".0");
}

/* A new line for an element or a closing bracket, where there are many lines. */
static void
put_break(Writer *writer, int depth)
{
	if (writer->style != STENT_JSON_INDENTED)
		return;
	put(writer, "\n", 1);
	for (int i = 0; i < depth; i++)
		put(writer, "  ", 2);
}

/* What stands before the nth element of an array or object. */
static void
put_before(Writer *writer, size_t n, int depth)
{
	if (n > 0)
		put_text(writer, writer->style == STENT_JSON_SPACED ? ", " : ",");
	put_break(writer, depth);
}

static void put_value(Writer *writer, const json_t *value, int depth);

static void
put_array(Writer *writer, const json_t *array, int depth)
{
	put(writer, "[", 1);
	for (size_t i = 0; i < json_array_size(array); i++)
	{
		put_before(writer, i, depth + 1);
		put_value(writer, json_array_get(array, i), depth + 1);
	}
	if (json_array_size(array) > 0)
		put_break(writer, depth);
	put(writer, "]", 1);
}

static void
put_object(Writer *writer, json_t *object, int depth)
{
	size_t n = 0;
	void *at;

	put(writer, "{", 1);
	for (at = json_object_iter(object); at; at = json_object_iter_next(object, at))
	{
		put_before(writer, n++, depth + 1);
		put_string(writer, json_object_iter_key(at), strlen(json_object_iter_key(at)));
		put_text(writer, writer->style == STENT_JSON_COMPACT ? ":" : ": ");
		put_value(writer, json_object_iter_value(at), depth + 1);
	}
	if (n > 0)
		put_break(writer, depth);
	put(writer, "}", 1);
}

static void
put_value(Writer *writer, const json_t *value, int depth)
{
	char digits[24];

	if (value == NULL || depth > MAX_DEPTH || writer->failed)
	{
		writer->failed = true;
		return;
	}
	switch (json_typeof(value))
	{
		case JSON_OBJECT:
			put_object(writer, (json_t *) value, depth);
			break;
		case JSON_ARRAY:
			put_array(writer, value, depth);
			break;
		case JSON_STRING:
			put_string(writer, json_string_value(value), json_string_length(value));
			break;
		case JSON_INTEGER:
			snprintf(digits, sizeof(digits), "%" JSON_INTEGER_FORMAT, json_integer_value(value));
			put_text(writer, digits);
			break;
		case JSON_REAL:
			put_real(writer, json_real_value(value));
			break;
		case JSON_TRUE:
			put_text(writer, "true");
			break;
		case JSON_FALSE:
			put_text(writer, "false");
			break;
		case JSON_NULL:
			put_text(writer, "null");
			break;
	}
}

/* Gives the text of a value to write, in parts; false: write said so, or it has no text. */
bool
stent_json_write(const json_t *value, StentJsonStyle style, json_dump_callback_t write, void *arg)
{
	Writer writer = {write, arg, style, false};

	put_value(&writer, value, 0);
	return !writer.failed;
}

typedef struct Text
{
	char *data;
	size_t size;
	size_t room;
} Text;

/* Takes a part, and leaves room for the NUL. */
static int
text_add(const char *part, size_t size, void *arg)
{
	Text *text = arg;
	size_t room = text->room > 0 ? text->room : 64;

	while (room < text->size + size + 1)
		room *= 2;
	if (room > text->room)
	{
		char *data = memory_resize(text->data, room);

		if (data == NULL)
			return -1;
		text->data = data;
		text->room = room;
	}
	memcpy(text->data + text->size, part, size);
	text->size += size;
	return 0;
}

/* The text of a value, which is the caller's to free(). */
char *
stent_json_text(const json_t *value, StentJsonStyle style)
{
	Text text = {NULL, 0, 0};

	if (!stent_json_write(value, style, text_add, &text))
	{
		memory_free(text.data);
		return NULL;
	}
	text.data[text.size] = '\0';
	return text.data;
}
