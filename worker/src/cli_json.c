/*
 * cli_json.c
 *	  JSON as people type it and as commands print it.
 */
#include "cli_json.h"

#include "stent.h"

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

static int
write_part(const char *text, size_t size, void *arg)
{
	return fwrite(text, 1, size, arg) == size ? 0 : -1;
}

void
cli_json_print(FILE *out, const json_t *value, bool indented)
{
	/* what it could not write the stream remembers, and cli_leave() tells */
	bool written = stent_json_write(value, indented ? STENT_JSON_INDENTED : STENT_JSON_SPACED,
									write_part, out);

	(void) written;
}

const char *
cli_json_text(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}
