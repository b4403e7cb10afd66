/*
 * config.c
 *	  Reads worker.json: one table of settings, and the functions.
 *
 * What a handler's part of a function's configuration means is left to the handler
 * (handler_spec_new). Everything is checked before anything is used, and what is not
 * known is refused: a misspelt key must not be a silent default.
 */
#include "config.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef enum SettingType
{
	SETTING_TEXT,
	SETTING_INTEGER,
	SETTING_DURATION, /* "30s"; min and max in seconds */
	SETTING_SIZE,     /* "1MB" or a number of bytes */
	SETTING_NAMES,    /* null, or an array of 1..100 names */
	SETTING_LEVEL
} SettingType;

typedef struct Setting
{
	const char *name;
	SettingType type;
	size_t offset;
	double min;
	double max;
	bool nullable;
	bool reloadable;
	const char *preset; /* JSON, read as if it were in the file */
} Setting;

/* clang-format off */
#define AT(member) offsetof(Config, member)
static const Setting settings[] = {
	/* name           type              where             min   max      null   reload default */
	{"name",          SETTING_TEXT,     AT(name),          1,   200,     true,  false, "null"},
	{"connection",    SETTING_TEXT,     AT(connection),    0,   10000,   false, false, "\"\""},
	{"slots",         SETTING_INTEGER,  AT(slots),         1,   1000,    false, true,  "10"},
	{"claim_batch",   SETTING_INTEGER,  AT(claim_batch),   1,   STENT_MAX_BATCH, false, true, "100"},
	{"queues",        SETTING_NAMES,    AT(queues),        0,   0,       true,  true,  "null"},
	{"tags",          SETTING_NAMES,    AT(tags),          0,   0,       true,  true,  "null"},
	{"lease",         SETTING_DURATION, AT(lease),         0.1, 604800,  true,  true,  "null"},
	{"drain_timeout", SETTING_DURATION, AT(drain_timeout), 0,   604800,  false, true,  "\"30s\""},
	{"hung_after",    SETTING_DURATION, AT(hung_after),    0,   604800,  false, true,  "\"1m\""},
	{"output_limit",  SETTING_SIZE,     AT(output_limit),  0,   1e12,    false, true,  "\"1MB\""},
	{"log_level",     SETTING_LEVEL,    AT(log_level),     0,   0,       false, true,  "\"info\""},
};
/* clang-format on */
#define N_SETTINGS (sizeof(settings) / sizeof(settings[0]))

#define MAX_FUNCTIONS 1000
#define MAX_NAMES 100

/* Notes the reason; returns false, for return statements. */
static bool __attribute__((format(printf, 3, 4)))
refuse(char *problem, size_t size, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(problem, size, format, args);
	va_end(args);
	return false;
}

StentNames
names_of(const NameList *list)
{
	return (StentNames){(const char *const *) list->names, list->n};
}

static void
names_free(NameList *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->names[i]);
	free(list->names);
	list->names = NULL;
	list->n = 0;
}

Function *
function_ref(Function *function)
{
	function->references++;
	return function;
}

void
function_unref(Function *function)
{
	if (--function->references > 0)
		return;
	handler_spec_free(function->handler);
	free(function->name);
	free(function);
}

void
config_free(Config *config)
{
	if (config == NULL)
		return;
	for (size_t i = 0; i < config->n_functions; i++)
		function_unref(config->functions[i]);
	free(config->functions);
	names_free(&config->queues);
	names_free(&config->tags);
	free(config->name);
	free(config->connection);
	free(config);
}

/* Reads "1MB", "64 kB", "1000B" or a number of bytes. */
static bool
size_parse(const json_t *json, double *bytes)
{
	static const struct
	{
		const char *unit;
		double factor;
	} units[] = {{"B", 1}, {"kB", 1024}, {"MB", 1048576}, {"GB", 1073741824.0}};
	const char *text = json_string_value(json);
	char *end;

	if (json_is_integer(json))
	{
		*bytes = (double) json_integer_value(json);
		return true;
	}
	if (text == NULL || *text < '0' || *text > '9')
		return false;
	*bytes = strtod(text, &end);
	while (*end == ' ')
		end++;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
	{
		if (strcmp(end, units[i].unit) == 0)
		{
			*bytes *= units[i].factor;
			return true;
		}
	}
	return false;
}

static bool
names_parse(const json_t *json, NameList *list)
{
	size_t n = json_array_size(json);

	if (!json_is_array(json) || n < 1 || n > MAX_NAMES)
		return false;
	list->names = calloc(n, sizeof(char *));
	for (; list->names != NULL && list->n < n; list->n++)
	{
		const char *name = json_string_value(json_array_get(json, list->n));

		if (name == NULL || *name == '\0' || (list->names[list->n] = strdup(name)) == NULL)
			return false;
	}
	return list->names != NULL;
}

/* Reads one setting's value into the configuration. */
static bool
setting_read(const Setting *setting, const json_t *json, Config *config, char *problem, size_t size)
{
	void *place = (char *) config + setting->offset;
	const char *text = json_string_value(json);
	double number = 0;

	if (json_is_null(json) && setting->nullable)
		return true;
	switch (setting->type)
	{
		case SETTING_TEXT:
			if (text == NULL || strlen(text) < setting->min || strlen(text) > setting->max)
				return refuse(problem, size, "%s must be a string of %g to %g bytes", setting->name,
							  setting->min, setting->max);
			if ((*(char **) place = strdup(text)) == NULL)
				return refuse(problem, size, "out of memory");
			return true;
		case SETTING_INTEGER:
			number = (double) json_integer_value(json);
			if (!json_is_integer(json) || number < setting->min || number > setting->max)
				return refuse(problem, size, "%s must be an integer from %g to %g", setting->name,
							  setting->min, setting->max);
			*(int *) place = (int) number;
			return true;
		case SETTING_DURATION:
			if (text == NULL || !stent_duration_parse(text, &number))
				return refuse(problem, size, "%s must be a duration such as \"30s\" or \"1h30m\"",
							  setting->name);
			if (number < setting->min || number > setting->max)
				return refuse(problem, size, "%s must be from %g to %g seconds", setting->name,
							  setting->min, setting->max);
			*(double *) place = number;
			return true;
		case SETTING_SIZE:
			if (!size_parse(json, &number) || number < setting->min || number > setting->max)
				return refuse(problem, size,
							  "%s must be a size such as \"64kB\" or \"1MB\", up to 1 TB",
							  setting->name);
			*(int64_t *) place = (int64_t) number;
			return true;
		case SETTING_NAMES:
			if (!names_parse(json, place))
				return refuse(problem, size, "%s must be null or an array of 1 to %d names",
							  setting->name, MAX_NAMES);
			return true;
		case SETTING_LEVEL:
			if (text == NULL || !log_level_parse(text, place))
				return refuse(problem, size,
							  "%s must be \"debug\", \"info\", \"warn\" or \"error\"",
							  setting->name);
			return true;
	}
	return false;
}

/* A function's own settings are taken out; the rest is its handler's. */
static Function *
function_read(const char *name, json_t *json, char *problem, size_t size)
{
	Function *function = calloc(1, sizeof(Function));
	json_t *rest = json_copy(json);
	json_t *slots = json_object_get(json, "slots");
	char reason[CONFIG_PROBLEM_LENGTH] = "";

	if (function == NULL || (function->name = strdup(name)) == NULL)
		refuse(problem, size, "out of memory");
	else if (!json_is_object(json))
		refuse(problem, size, "functions.%s must be an object", name);
	else if (*name == '\0')
		refuse(problem, size, "functions has a function without a name");
	else if (slots != NULL && (!json_is_integer(slots) || json_integer_value(slots) < 1 ||
							   json_integer_value(slots) > 1000))
		refuse(problem, size, "functions.%s.slots must be an integer from 1 to 1000", name);
	else
	{
		function->references = 1;
		function->slots = (int) json_integer_value(slots);
		json_object_del(rest, "slots");
		/* whether it is one, and what it means, is the handler's to say */
		if (json_string_value(json_object_get(rest, "timeout")) == NULL ||
			!stent_duration_parse(json_string_value(json_object_get(rest, "timeout")),
								  &function->timeout))
			function->timeout = 0;
		function->handler = handler_spec_new(name, rest, reason, sizeof(reason));
		if (function->handler != NULL)
		{
			json_decref(rest);
			return function;
		}
		refuse(problem, size, "functions.%s: %s", name, reason);
	}
	json_decref(rest);
	if (function != NULL)
		free(function->name);
	free(function);
	return NULL;
}

static int
function_order(const void *a, const void *b)
{
	return strcmp((*(Function *const *) a)->name, (*(Function *const *) b)->name);
}

static bool
functions_read(json_t *json, Config *config, char *problem, size_t size)
{
	const char *name;
	json_t *value;

	if (!json_is_object(json) || json_object_size(json) == 0 ||
		json_object_size(json) > MAX_FUNCTIONS)
		return refuse(problem, size, "functions must be an object of 1 to %d functions to serve",
					  MAX_FUNCTIONS);
	config->functions = calloc(json_object_size(json), sizeof(Function *));
	if (config->functions == NULL)
		return refuse(problem, size, "out of memory");
	json_object_foreach(json, name, value)
	{
		Function *function = function_read(name, value, problem, size);

		if (function == NULL)
			return false;
		config->functions[config->n_functions++] = function;
	}
	qsort(config->functions, config->n_functions, sizeof(Function *), function_order);
	return true;
}

Function *
config_function(const Config *config, const char *name)
{
	Function key = {.name = (char *) name};
	Function *pointer = &key;
	Function **found = bsearch(&pointer, config->functions, config->n_functions, sizeof(Function *),
							   function_order);

	return found != NULL ? *found : NULL;
}

static bool
keys_known(json_t *json, char *problem, size_t size)
{
	const char *key;
	json_t *value;

	json_object_foreach(json, key, value)
	{
		bool known = strcmp(key, "functions") == 0;

		for (size_t i = 0; i < N_SETTINGS && !known; i++)
			known = strcmp(key, settings[i].name) == 0;
		if (!known)
			return refuse(problem, size, "unknown setting \"%s\"", key);
	}
	return true;
}

/* Fills in the settings, each from the file or from its default. */
static bool
config_read(json_t *json, Config *config, char *problem, size_t size)
{
	if (!json_is_object(json))
		return refuse(problem, size, "the configuration must be a JSON object");
	if (!keys_known(json, problem, size))
		return false;
	for (size_t i = 0; i < N_SETTINGS; i++)
	{
		json_t *given = json_object_get(json, settings[i].name);
		json_t *value = given != NULL ? json_incref(given)
									  : json_loads(settings[i].preset, JSON_DECODE_ANY, NULL);
		bool good = value == NULL ? refuse(problem, size, "out of memory")
								  : setting_read(&settings[i], value, config, problem, size);

		json_decref(value);
		if (!good)
			return false;
	}
	return functions_read(json_object_get(json, "functions"), config, problem, size);
}

/* "<host>-<pid>": unique as long as the worker lives, and tells where it is. */
static char *
name_default(void)
{
	char host[HOST_NAME_MAX + 1] = "";
	char name[HOST_NAME_MAX + 32];

	if (gethostname(host, sizeof(host) - 1) != 0 || host[0] == '\0')
		strcpy(host, "worker");
	snprintf(name, sizeof(name), "%s-%d", host, (int) getpid());
	return strdup(name);
}

/* The command line goes before the file. */
static bool
config_override(const ConfigOverride *override, Config *config)
{
	if (override->slots > 0)
		config->slots = override->slots;
	if (override->name != NULL)
	{
		free(config->name);
		config->name = strdup(override->name);
	}
	else if (config->name == NULL)
		config->name = name_default();
	return config->name != NULL;
}

Config *
config_load(const ConfigOverride *override, char *problem, size_t size)
{
	char reason[CONFIG_PROBLEM_LENGTH] = "out of memory";
	json_error_t error;
	json_t *json = json_load_file(override->file, JSON_REJECT_DUPLICATES, &error);
	Config *config = calloc(1, sizeof(Config));
	bool good = false;

	if (json == NULL && error.line < 0)
		snprintf(reason, sizeof(reason), "%s", error.text);
	else if (json == NULL)
		snprintf(reason, sizeof(reason), "line %d, column %d: %s", error.line, error.column,
				 error.text);
	else if (config != NULL)
		good =
			config_read(json, config, reason, sizeof(reason)) && config_override(override, config);
	json_decref(json);
	if (good)
		return config;
	snprintf(problem, size, "%s: %s", override->file, reason);
	config_free(config);
	return NULL;
}

const char *
config_needs_restart(const Config *old, const Config *new)
{
	for (size_t i = 0; i < N_SETTINGS; i++)
	{
		const char *a, *b;

		if (settings[i].reloadable || settings[i].type != SETTING_TEXT)
			continue;
		a = *(char *const *) ((const char *) old + settings[i].offset);
		b = *(char *const *) ((const char *) new + settings[i].offset);
		if (strcmp(a, b) != 0)
			return settings[i].name;
	}
	return NULL;
}

bool
config_keep_fixed(Config *new, const Config *old)
{
	char *name = strdup(old->name);
	char *connection = strdup(old->connection);

	if (name == NULL || connection == NULL)
	{
		free(name);
		free(connection);
		return false;
	}
	free(new->name);
	free(new->connection);
	new->name = name;
	new->connection = connection;
	return true;
}
