/*
 * task.c
 *	  Leased tasks out of the answer to a claim.
 *
 * An array of tasks and all their strings are one block of memory, so a claim of a
 * thousand takes one allocation of ours; their JSON is jansson's.
 */
#include "task.h"

#include <string.h>

#include "answer.h"
#include "error.h"
#include "json.h"
#include "memory.h"
#include "types.h"

/* Columns of the statement. */
enum
{
	COLUMN_ID,
	COLUMN_TOKEN,
	COLUMN_EXECUTION_ID,
	COLUMN_FUNCTION,
	COLUMN_QUEUE,
	COLUMN_PRIORITY,
	COLUMN_ATTEMPT,
	COLUMN_ARGS,
	COLUMN_HEADERS,
	COLUMN_VERSION,
	COLUMN_ROLE,
	COLUMN_TIMEOUT,
	COLUMN_TIME_LEFT,
	COLUMN_LEASE,
	COLUMN_ITEMS, /* only of a claim that takes chunks */
	N_COLUMNS
};

static const struct
{
	Oid type;
	bool needed;
} columns[N_COLUMNS] = {
	[COLUMN_ID] = {TYPE_INT8, true},           [COLUMN_TOKEN] = {TYPE_INT8, true},
	[COLUMN_EXECUTION_ID] = {TYPE_INT8, true}, [COLUMN_FUNCTION] = {TYPE_TEXT, true},
	[COLUMN_QUEUE] = {TYPE_TEXT, true},        [COLUMN_PRIORITY] = {TYPE_INT4, true},
	[COLUMN_ATTEMPT] = {TYPE_INT4, true},      [COLUMN_ARGS] = {TYPE_JSONB, false},
	[COLUMN_HEADERS] = {TYPE_JSONB, false},    [COLUMN_VERSION] = {TYPE_TEXT, false},
	[COLUMN_ROLE] = {TYPE_TEXT, false},        [COLUMN_TIMEOUT] = {TYPE_FLOAT8, false},
	[COLUMN_TIME_LEFT] = {TYPE_FLOAT8, false}, [COLUMN_LEASE] = {TYPE_FLOAT8, true},
	[COLUMN_ITEMS] = {TYPE_INT4, false},
};

/* Whether the answer has our columns, and values where we need them. */
static bool
is_expected(const PGresult *result)
{
	if (PQnfields(result) != N_COLUMNS && PQnfields(result) != COLUMN_ITEMS)
		return false;
	for (int column = 0; column < PQnfields(result); column++)
	{
		if (PQftype(result, column) != columns[column].type)
			return false;
		for (int row = 0; columns[column].needed && row < PQntuples(result); row++)
			if (PQgetisnull(result, row, column))
				return false;
	}
	return true;
}

/* Copies a string to *room, and moves *room behind it; NULL stays NULL. */
static const char *
keep(char **room, const char *text, size_t length)
{
	char *copy = *room;

	if (text == NULL)
		return NULL;
	memcpy(copy, text, length);
	copy[length] = '\0';
	*room += length + 1;
	return copy;
}

static const char *
keep_field(char **room, const PGresult *result, int row, int column)
{
	if (PQgetisnull(result, row, column))
		return NULL;
	return keep(room, PQgetvalue(result, row, column), (size_t) PQgetlength(result, row, column));
}

static double
seconds_field(const PGresult *result, int row, int column)
{
	return PQgetisnull(result, row, column) ? -1 : field_float8(PQgetvalue(result, row, column));
}

/* Reads args or headers; one that jansson cannot keep is the task's problem. */
static StentStatus
read_json(const PGresult *result, int row, int column, json_t **value, const char **problem)
{
	int length = PQgetlength(result, row, column);

	if (PQgetisnull(result, row, column))
		return STENT_OK;
	if (length < 1)
		return STENT_BAD_ANSWER;
	switch (json_read(PQgetvalue(result, row, column) + 1, (size_t) length - 1, value, problem))
	{
		case JSON_READ:
		case JSON_UNREADABLE:
			return STENT_OK;
		case JSON_NO_MEMORY:
			return STENT_NO_MEMORY;
	}
	return STENT_BAD_ANSWER;
}

/* How many items a chunk has, which is as many as its args; 0: it is no chunk; -1: that makes no sense. */
static int
read_items(const PGresult *result, int row, const StentTask *task)
{
	int items;

	if (PQnfields(result) <= COLUMN_ITEMS || PQgetisnull(result, row, COLUMN_ITEMS))
		return 0;
	items = field_int4(PQgetvalue(result, row, COLUMN_ITEMS));
	/* what jansson cannot keep can only be failed as a whole */
	if (items < 1 || (task->args != NULL && (!json_is_array(task->args) ||
											 json_array_size(task->args) != (size_t) items)))
		return -1;
	return items;
}

/* Reads one row; what it has taken when it fails is freed with the task. */
static StentStatus
read_task(const PGresult *result, int row, StentTask *task, char **room)
{
	StentStatus status;

	task->id = field_int8(PQgetvalue(result, row, COLUMN_ID));
	task->token = field_int8(PQgetvalue(result, row, COLUMN_TOKEN));
	task->execution_id = field_int8(PQgetvalue(result, row, COLUMN_EXECUTION_ID));
	task->function = keep_field(room, result, row, COLUMN_FUNCTION);
	task->queue = keep_field(room, result, row, COLUMN_QUEUE);
	task->version = keep_field(room, result, row, COLUMN_VERSION);
	task->role = keep_field(room, result, row, COLUMN_ROLE);
	task->priority = field_int4(PQgetvalue(result, row, COLUMN_PRIORITY));
	task->attempt = field_int4(PQgetvalue(result, row, COLUMN_ATTEMPT));
	task->timeout = seconds_field(result, row, COLUMN_TIMEOUT);
	task->time_left = seconds_field(result, row, COLUMN_TIME_LEFT);
	task->lease = seconds_field(result, row, COLUMN_LEASE);
	status = read_json(result, row, COLUMN_ARGS, &task->args, &task->problem);
	if (status == STENT_OK)
		status = read_json(result, row, COLUMN_HEADERS, &task->headers, &task->problem);
	if (status != STENT_OK)
		return status;
	task->items = read_items(result, row, task);
	return task->items < 0 ? STENT_BAD_ANSWER : STENT_OK;
}

/* Reads the answer to a claim; *tasks is NULL if there are none. */
StentStatus
tasks_read(const PGresult *result, StentTask **tasks, size_t *n, StentError *error)
{
	size_t count = (size_t) PQntuples(result);
	size_t size = count * sizeof(StentTask);
	StentTask *block;
	char *room;

	*tasks = NULL;
	*n = 0;
	if (!is_expected(result))
		return answer_bad(error, "the claimed tasks");
	if (count == 0)
		return STENT_OK;
	for (int row = 0; row < (int) count; row++)
		size += (size_t) PQgetlength(result, row, COLUMN_FUNCTION) +
				(size_t) PQgetlength(result, row, COLUMN_QUEUE) +
				(size_t) PQgetlength(result, row, COLUMN_VERSION) +
				(size_t) PQgetlength(result, row, COLUMN_ROLE) + 4;
	block = memory_new(size);
	if (block == NULL)
		return error_no_memory(error);
	room = (char *) (block + count);
	for (size_t i = 0; i < count; i++)
	{
		StentStatus status = read_task(result, (int) i, &block[i], &room);

		if (status != STENT_OK)
		{
			stent_tasks_free(block, i + 1);
			return status == STENT_NO_MEMORY ? error_no_memory(error)
											 : answer_bad(error, "the claimed tasks");
		}
	}
	*tasks = block;
	*n = count;
	return STENT_OK;
}

static size_t
text_size(const char *text)
{
	return text != NULL ? strlen(text) + 1 : 0;
}

static const char *
keep_text(char **room, const char *text)
{
	return keep(room, text, text != NULL ? strlen(text) : 0);
}

/* A copy of one task, in a block of its own; NULL for want of memory. */
StentTask *
stent_task_copy(const StentTask *task)
{
	StentTask *copy =
		memory_new(sizeof(StentTask) + text_size(task->function) + text_size(task->queue) +
				   text_size(task->version) + text_size(task->role));
	char *room;

	if (copy == NULL)
		return NULL;
	*copy = *task;
	room = (char *) (copy + 1);
	copy->function = keep_text(&room, task->function);
	copy->queue = keep_text(&room, task->queue);
	copy->version = keep_text(&room, task->version);
	copy->role = keep_text(&room, task->role);
	json_incref(copy->args);
	json_incref(copy->headers);
	return copy;
}

/* Frees an array of tasks with all in it. */
void
stent_tasks_free(StentTask *tasks, size_t n)
{
	for (size_t i = 0; i < n; i++)
	{
		json_decref(tasks[i].args);
		json_decref(tasks[i].headers);
	}
	memory_free(tasks);
}
