/*
 * config.h
 *	  The worker's configuration: what worker.json says, checked, with defaults filled in.
 *
 * A configuration never changes; a reload makes a new one, and functions of the old one
 * live as long as tasks that run by them.
 */
#ifndef STENT_WORKER_CONFIG_H
#define STENT_WORKER_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "handler.h"
#include "log.h"
#include "stent.h"

/* What of the command line goes before the file, at start and at each reload. */
typedef struct ConfigOverride
{
	const char *file;
	const char *name; /* NULL or 0, here and below: as in the file */
	int slots;
} ConfigOverride;

/* A list of names as the library takes them; names NULL: all. */
typedef struct NameList
{
	char **names;
	size_t n;
} NameList;

/* A function this worker serves; counted references, the last one frees it. */
typedef struct Function
{
	int references;
	char *name;
	int slots;      /* most tasks of it at a time in this worker; 0: as many as the worker has */
	double timeout; /* of an attempt, which its handler keeps; 0: none */
	HandlerSpec *handler;
} Function;

typedef struct Config
{
	char *name;
	char *connection;
	int slots;
	int claim_batch;
	NameList queues;
	NameList tags;
	double lease; /* seconds; 0: the server's */
	double drain_timeout;
	double hung_after;
	int64_t output_limit;
	LogLevel log_level;
	Function **functions; /* by name */
	size_t n_functions;
} Config;

#define CONFIG_PROBLEM_LENGTH 512

/* Reads and checks; NULL with the reason, and where, in problem. */
extern Config *config_load(const ConfigOverride *override, char *problem, size_t size);
extern void config_free(Config *config); /* of NULL: nothing */

/* The name of a setting that differs and can only be changed by a restart; NULL: none. */
extern const char *config_needs_restart(const Config *old, const Config *new);

/* Takes such settings over from the old configuration; false: out of memory. */
extern bool config_keep_fixed(Config *new, const Config *old);

extern Function *config_function(const Config *config, const char *name);
extern Function *function_ref(Function *function);
extern void function_unref(Function *function);

extern StentNames names_of(const NameList *list);

#endif
