/*
 * show_output.c
 *	  What a task's handler wrote, as "stent show" prints it.
 *
 * A row of output ends anywhere, in the middle of a character too, so rows of a stream are
 * put together before they are looked at.
 */
#include "show.h"

#include <stdlib.h>
#include <string.h>

#include "cli_json.h"
#include "display.h"

static int
digit_value(char digit)
{
	return digit <= '9' ? digit - '0' : digit - 'a' + 10;
}

/* Writes the bytes of one row. */
static void
write_row(FILE *out, const json_t *row)
{
	const json_t *text = json_object_get(row, "text");
	const char *hex = cli_json_text(row, "hex");

	if (json_is_string(text))
		fwrite(json_string_value(text), 1, json_string_length(text), out);
	for (; hex && hex[0] && hex[1]; hex += 2)
		putc(digit_value(hex[0]) << 4 | digit_value(hex[1]), out);
}

void
show_raw_output(FILE *out, const json_t *rows)
{
	const json_t *row;
	size_t i;

	json_array_foreach((json_t *) rows, i, row) write_row(out, row);
}

static bool
same_stream(const json_t *a, const json_t *b)
{
	return json_equal(json_object_get(a, "attempt"), json_object_get(b, "attempt")) &&
		   json_equal(json_object_get(a, "stream"), json_object_get(b, "stream"));
}

/* Prints rows of one stream, from first to before end. */
static void
print_stream(FILE *out, const json_t *rows, size_t first, size_t end)
{
	const json_t *row = json_array_get(rows, first);
	const char *stream = cli_json_text(row, "stream");
	char *clean = display_clean(stream ? stream : "", stream ? strlen(stream) : 0, false);
	char *text = NULL;
	size_t size = 0;
	FILE *memory = open_memstream(&text, &size);

	fprintf(out, "--- attempt %" JSON_INTEGER_FORMAT ", %s ---\n",
			json_integer_value(json_object_get(row, "attempt")), clean);
	free(clean);
	if (!memory)
		return;
	for (size_t i = first; i < end; i++)
		write_row(memory, json_array_get(rows, i));
	fclose(memory);
	clean = display_clean(text, size, true);
	fputs(clean, out);
	if (size > 0 && text[size - 1] != '\n')
		putc('\n', out);
	free(clean);
	free(text);
}

void
show_output(FILE *out, const json_t *rows)
{
	size_t n = json_array_size(rows);
	size_t first = 0;

	if (n == 0)
		fputs("  none\n", out);
	for (size_t i = 1; i <= n; i++)
	{
		if (i < n && same_stream(json_array_get(rows, first), json_array_get(rows, i)))
			continue;
		print_stream(out, rows, first, i);
		first = i;
	}
}
