/*
 * show.h
 *	  Parts of what "stent show" prints of a task.
 */
#ifndef STENT_WORKER_SHOW_H
#define STENT_WORKER_SHOW_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

/* The page: task as state_of() has it, progress (or NULL) as the view has it, why or NULL. */
extern void show_page(FILE *out, const json_t *task, const json_t *progress, const char *why);

/* Lines of explain(), or NULL; a task alone is no tree. */
extern void show_tree(FILE *out, const json_t *lines);

/* Rows of output_of(), for people: what a handler wrote, under a line for each stream. */
extern void show_output(FILE *out, const json_t *rows);

/* The bytes alone. */
extern void show_raw_output(FILE *out, const json_t *rows);

#endif
