/*
 * template.c
 *	  Text with places a task fills in.
 *
 * A template is read once, with the configuration, and kept as a list of parts; so what
 * is wrong with it is said before any task comes. It fills in values and does no more:
 * what a text is used for, and that it never meets a shell, is the caller's concern.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "template.h"

/* What the first name of a place refers to; PART_PLAIN is a part without a place. */
typedef enum PartKind
{
	PART_PLAIN,
	PART_ARGS,
	PART_HEADERS,
	PART_TASK
} PartKind;

typedef enum TaskField
{
	TASK_ID,
	TASK_EXECUTION_ID,
	TASK_ATTEMPT,
	TASK_PRIORITY,
	TASK_FUNCTION,
	TASK_QUEUE
} TaskField;

static const char *const task_fields[] = {
	[TASK_ID] = "id",
	[TASK_EXECUTION_ID] = "execution_id",
	[TASK_ATTEMPT] = "attempt",
	[TASK_PRIORITY] = "priority",
	[TASK_FUNCTION] = "function",
	[TASK_QUEUE] = "queue",
};

typedef struct Part
{
	PartKind kind;
	TaskField field; /* PART_TASK */
	char *text;      /* PART_PLAIN: the text; else the names as they were written, "args.a.b" */
	char *names;     /* the same with a NUL for each dot */
	size_t n_names;
} Part;

struct Template
{
	size_t n;
	Part *parts;
};

/* A text that grows; failed: there was no memory once, and what is in it is not all. */
typedef struct Text
{
	char *data;
	size_t size;
	size_t room;
	bool failed;
} Text;

/* Appends bytes, keeping a NUL behind them. */
static void
text_add(Text *text, const char *data, size_t size)
{
	if (text->failed)
		return;
	if (text->size + size + 1 > text->room)
	{
		size_t room = (text->size + size + 1) * 2;
		char *grown = realloc(text->data, room);

		if (!grown)
		{
			text->failed = true;
			return;
		}
		text->data = grown;
		text->room = room;
	}
	memcpy(text->data + text->size, data, size);
	text->size += size;
	text->data[text->size] = '\0';
}

/* Takes text of length bytes as one more part; NULL for want of memory. */
static Part *
template_add(Template *tpl, PartKind kind, const char *text, size_t length)
{
	Part *grown = realloc(tpl->parts, (tpl->n + 1) * sizeof(Part));
	Part *part;

	if (!grown)
		return NULL;
	tpl->parts = grown;
	part = &grown[tpl->n];
	*part = (Part){.kind = kind, .text = strndup(text, length), .names = strndup(text, length)};
	tpl->n++; /* from here on template_free() sees to it */
	return part->text && part->names ? part : NULL;
}

/* Reads what is between the braces of a place; false with the reason in problem. */
static bool
template_place(Template *tpl, const char *name, size_t length, char *problem, size_t size)
{
	size_t first = 0;
	PartKind kind;
	Part *part;

	while (first < length && name[first] != '.')
		first++;
	if (first == 4 && memcmp(name, "args", 4) == 0)
		kind = PART_ARGS;
	else if (first == 7 && memcmp(name, "headers", 7) == 0)
		kind = PART_HEADERS;
	else if (first == 4 && memcmp(name, "task", 4) == 0 && length > 5)
		kind = PART_TASK;
	else
	{
		snprintf(problem, size,
				 "\"{%.*s}\" is none of {args.key}, {headers.key}, {task.field}; write {{ for {",
				 (int) length, name);
		return false;
	}
	if (name[length - 1] == '.' || memmem(name, length, "..", 2))
	{
		snprintf(problem, size, "\"{%.*s}\" has an empty name", (int) length, name);
		return false;
	}
	part = template_add(tpl, kind, name, length);
	if (!part)
	{
		snprintf(problem, size, "out of memory");
		return false;
	}
	if (kind == PART_TASK)
	{
		size_t i = 0;

		while (i < sizeof(task_fields) / sizeof(task_fields[0]) &&
			   strcmp(part->text + 5, task_fields[i]) != 0)
			i++;
		if (i == sizeof(task_fields) / sizeof(task_fields[0]))
		{
			snprintf(problem, size,
					 "\"{%s}\": a task has id, execution_id, attempt, priority, function, queue",
					 part->text);
			return false;
		}
		part->field = (TaskField) i;
	}
	part->n_names = 1;
	for (char *dot = part->names; (dot = strchr(dot, '.')) != NULL; dot++)
	{
		*dot = '\0';
		part->n_names++;
	}
	return true;
}

/* Reads all parts of a text; false with the reason in problem. */
static bool
template_read(Template *tpl, const char *text, char *problem, size_t size)
{
	const char *plain = text;
	const char *at = text;

	while (*at)
	{
		const char *close;

		if (*at != '{')
		{
			at++;
			continue;
		}
		if (at[1] == '{') /* the first brace of the two stays */
		{
			if (!template_add(tpl, PART_PLAIN, plain, (size_t) (at + 1 - plain)))
				goto no_memory;
			at += 2;
			plain = at;
			continue;
		}
		close = strchr(at, '}');
		if (!close)
		{
			snprintf(problem, size, "\"%s\" has no } to its {; write {{ for {", text);
			return false;
		}
		if (at > plain && !template_add(tpl, PART_PLAIN, plain, (size_t) (at - plain)))
			goto no_memory;
		if (!template_place(tpl, at + 1, (size_t) (close - at - 1), problem, size))
			return false;
		at = close + 1;
		plain = at;
	}
	if (at > plain && !template_add(tpl, PART_PLAIN, plain, (size_t) (at - plain)))
		goto no_memory;
	return true;

no_memory:
	snprintf(problem, size, "out of memory");
	return false;
}

Template *
template_new(const char *text, char *problem, size_t size)
{
	Template *tpl = calloc(1, sizeof(Template));

	if (!tpl)
	{
		snprintf(problem, size, "out of memory");
		return NULL;
	}
	if (!template_read(tpl, text, problem, size))
	{
		template_free(tpl);
		return NULL;
	}
	return tpl;
}

void
template_free(Template *tpl)
{
	if (!tpl)
		return;
	for (size_t i = 0; i < tpl->n; i++)
	{
		free(tpl->parts[i].text);
		free(tpl->parts[i].names);
	}
	free(tpl->parts);
	free(tpl);
}

bool
template_is_plain(const Template *tpl)
{
	for (size_t i = 0; i < tpl->n; i++)
	{
		if (tpl->parts[i].kind != PART_PLAIN)
			return false;
	}
	return true;
}

/* The value that the names of a part lead to from args or headers; NULL: there is none. */
static const json_t *
template_find(const json_t *value, const Part *part)
{
	const char *name = part->names;

	for (size_t i = 1; i < part->n_names && value; i++)
	{
		name += strlen(name) + 1;
		if (json_is_array(value))
			value = strspn(name, "0123456789") == strlen(name)
						? json_array_get(value, strtoul(name, NULL, 10))
						: NULL;
		else
			value = json_object_get(value, name);
	}
	return value;
}

/* Appends a value: a string as it is, anything else as compact JSON. */
static TemplateStatus
template_add_value(Text *text, const json_t *value)
{
	char *json;

	if (json_is_string(value))
	{
		const char *string = json_string_value(value);
		size_t length = json_string_length(value);

		if (memchr(string, '\0', length))
			return TEMPLATE_NUL;
		text_add(text, string, length);
		return TEMPLATE_OK;
	}
	json = stent_json_text(value, STENT_JSON_COMPACT);
	if (!json)
		return TEMPLATE_NO_MEMORY;
	text_add(text, json, strlen(json));
	free(json);
	return TEMPLATE_OK;
}

/* Appends a field of the task itself; false: it has none. */
static bool
template_add_field(Text *text, TaskField field, const StentTask *task)
{
	char number[32] = "";
	const char *value = number;

	switch (field)
	{
		case TASK_ID:
			snprintf(number, sizeof(number), "%" PRId64, task->id);
			break;
		case TASK_EXECUTION_ID:
			snprintf(number, sizeof(number), "%" PRId64, task->execution_id);
			break;
		case TASK_ATTEMPT:
			snprintf(number, sizeof(number), "%d", task->attempt);
			break;
		case TASK_PRIORITY:
			snprintf(number, sizeof(number), "%d", task->priority);
			break;
		case TASK_FUNCTION:
			value = task->function;
			break;
		case TASK_QUEUE:
			value = task->queue;
			break;
	}
	if (!value)
		return false;
	text_add(text, value, strlen(value));
	return true;
}

/* Appends what one part gives for a task. */
static TemplateStatus
template_add_part(Text *text, const Part *part, const StentTask *task)
{
	const json_t *value;

	switch (part->kind)
	{
		case PART_PLAIN:
			text_add(text, part->text, strlen(part->text));
			return TEMPLATE_OK;
		case PART_TASK:
			return template_add_field(text, part->field, task) ? TEMPLATE_OK : TEMPLATE_MISSING;
		case PART_ARGS:
		case PART_HEADERS:
			value = template_find(part->kind == PART_ARGS ? task->args : task->headers, part);
			return value ? template_add_value(text, value) : TEMPLATE_MISSING;
	}
	return TEMPLATE_MISSING;
}

TemplateStatus
template_expand(const Template *tpl, const char *prefix, const StentTask *task, char **text,
				char *problem, size_t size)
{
	Text all = {0};
	TemplateStatus status = TEMPLATE_OK;

	text_add(&all, prefix, strlen(prefix));
	for (size_t i = 0; i < tpl->n && status == TEMPLATE_OK; i++)
	{
		status = template_add_part(&all, &tpl->parts[i], task);
		if (status == TEMPLATE_MISSING)
			snprintf(problem, size, "the task has no %s", tpl->parts[i].text);
		else if (status == TEMPLATE_NUL)
			snprintf(problem, size, "%s has a NUL character", tpl->parts[i].text);
	}
	if (status == TEMPLATE_OK && all.failed)
		status = TEMPLATE_NO_MEMORY;
	if (status != TEMPLATE_OK)
	{
		free(all.data);
		return status;
	}
	*text = all.data;
	return TEMPLATE_OK;
}
