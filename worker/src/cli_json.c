/*
 * cli_json.c
 *	  JSON as people type it and as commands print it.
 *
 * jansson's own writer gives reals 17 digits, so 0.1 would come out as 0.10000000000000001.
 */
#include "cli_json.h"

#include <stdlib.h>
#include <string.h>

json_t *
cli_json_read(const char *text, size_t length, char *problem, size_t size)
{
	json_error_t error;
	json_t *value = json_loadb(text, length, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &error);

	if (!value)
		snprintf(problem, size, "no JSON: line %d, column %d: %s", error.line, error.column,
				 error.text);
	return value;
}

static void
print_real(FILE *out, double number)
{
	char digits[40];

	for (int precision = 15; precision <= 17; precision++)
	{
		snprintf(digits, sizeof(digits), "%.*g", precision, number);
		if (strtod(digits, NULL) == number)
			break;
	}
	fputs(digits, out);
	if (!strpbrk(digits, ".e"))
		fputs(".0", out);
}

/* A line end and blanks, or nothing if all is to be on one line. */
static void
print_break(FILE *out, int indent)
{
	if (indent >= 0)
		fprintf(out, "\n%*s", indent, "");
}

static void
print_string(FILE *out, const char *text)
{
	json_t *string = json_string(text);

	json_dumpf(string, out, JSON_ENCODE_ANY);
	json_decref(string);
}

/* indent < 0: on one line */
static void
print_value(FILE *out, const json_t *value, int indent)
{
	int inner = indent < 0 ? indent : indent + 2;
	const char *between = "";
	const char *key;
	json_t *element;
	size_t i;

	if (json_is_real(value))
		print_real(out, json_real_value(value));
	else if (json_is_array(value) && json_array_size(value) > 0)
	{
		putc('[', out);
		json_array_foreach(value, i, element)
		{
			fputs(between, out);
			print_break(out, inner);
			print_value(out, element, inner);
			between = indent < 0 ? ", " : ",";
		}
		print_break(out, indent);
		putc(']', out);
	}
	else if (json_is_object(value) && json_object_size(value) > 0)
	{
		putc('{', out);
		json_object_foreach((json_t *) value, key, element)
		{
			fputs(between, out);
			print_break(out, inner);
			print_string(out, key);
			fputs(": ", out);
			print_value(out, element, inner);
			between = indent < 0 ? ", " : ",";
		}
		print_break(out, indent);
		putc('}', out);
	}
	else
		json_dumpf(value, out, JSON_ENCODE_ANY);
}

void
cli_json_print(FILE *out, const json_t *value)
{
	print_value(out, value, -1);
}

void
cli_json_print_indented(FILE *out, const json_t *value, int indent)
{
	print_value(out, value, indent);
}

const char *
cli_json_text(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}
