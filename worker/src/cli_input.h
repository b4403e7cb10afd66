/*
 * cli_input.h
 *	  What people give a dispatch: args, pairs, moments.
 *
 * False: it is wrong, and it was told.
 */
#ifndef STENT_WORKER_CLI_INPUT_H
#define STENT_WORKER_CLI_INPUT_H

#include <jansson.h>
#include <stdbool.h>

#include "options.h"

/* A JSON object; what: the option it is of. NULL if it is wrong. */
extern bool input_object(const Options *options, const char *what, const char *text, size_t length,
						 json_t **object);

/* Sets KEY=VALUE, or KEY:=JSON, in an object, which is made at need. */
extern bool input_pair(const Options *options, const char *what, const char *pair, json_t **object);

/* Adds ARGS, "-" for standard input, to what --arg gave, or NULL. */
extern bool input_args(const Options *options, const char *text, json_t **args);

/* Whether it is a moment in UTC: one with another zone's offset would be taken for UTC. */
extern bool input_moment(const Options *options, const char *text);

#endif
