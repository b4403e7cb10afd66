/*
 * cli_json.h
 *	  JSON as people type it and as commands print it.
 */
#ifndef STENT_WORKER_CLI_JSON_H
#define STENT_WORKER_CLI_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

/*
 * Any JSON value; a key given twice is refused. NULL with the reason, which has line and
 * column, in problem.
 */
extern json_t *cli_json_read(const char *text, size_t length, char *problem, size_t size);

/* On one line, or indented over several; without a line end. */
extern void cli_json_print(FILE *out, const json_t *value, bool indented);

/* A field of an object as text: NULL if it is missing, null or no string. */
extern const char *cli_json_text(const json_t *object, const char *key);

#endif
