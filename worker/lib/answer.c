/*
 * answer.c
 *	  What the server answered, as the program gets it.
 *
 * All results are in the binary format. An answer that is not as the statement promises
 * is STENT_BAD_ANSWER, never read on a guess.
 */
#include "answer.h"

#include <string.h>

#include "error.h"
#include "json.h"
#include "memory.h"
#include "task.h"
#include "types.h"

/* Words of the protocol. */
static const char *const words[] = {"completed", "held",      "released", "lost",
									"ended",     "retry",     "failed",   "busy",
									"timed_out", "cancelled", "waiting",  "ready"};

/* A bigint. */
int64_t
field_int8(const char *value)
{
	return (int64_t) ((uint64_t) (uint32_t) field_int4(value) << 32 |
					  (uint32_t) field_int4(value + 4));
}

/* An integer. */
int32_t
field_int4(const char *value)
{
	const unsigned char *byte = (const unsigned char *) value;

	return (int32_t) ((uint32_t) byte[0] << 24 | (uint32_t) byte[1] << 16 |
					  (uint32_t) byte[2] << 8 | (uint32_t) byte[3]);
}

/* A double precision. */
double
field_float8(const char *value)
{
	int64_t bits = field_int8(value);
	double number;

	memcpy(&number, &bits, sizeof(number));
	return number;
}

/* The error of an answer that makes no sense. */
StentStatus
answer_bad(StentError *error, const char *what)
{
	error_set(error, STENT_BAD_ANSWER, "the server's answer is not understood: %s", what);
	error_hint(error, "Use the extension and this library of the same version.");
	return STENT_BAD_ANSWER;
}

/* Reads the elements of a text[] of n words. */
static StentStatus
read_outcomes(Answer *answer, size_t n, const char *value, size_t size)
{
	const char *end = value + size;

	/* dimensions, flags, type, elements, lower bound */
	if (size < 20 || field_int4(value) != 1 || field_int4(value + 8) != TYPE_TEXT ||
		field_int4(value + 12) != (int32_t) n)
		return answer_bad(&answer->error, "as many outcomes as items are due");
	answer->outcomes = memory_new(n * sizeof(char *));
	if (answer->outcomes == NULL)
		return error_no_memory(&answer->error);
	value += 20;
	for (size_t i = 0; i < n; i++)
	{
		int32_t length = end - value >= 4 ? field_int4(value) : -1;

		value += 4;
		if (length < 0 || length > end - value)
			return answer_bad(&answer->error, "an outcome is missing");
		for (size_t w = 0; w < sizeof(words) / sizeof(words[0]); w++)
			if (strlen(words[w]) == (size_t) length &&
				memcmp(words[w], value, (size_t) length) == 0)
				answer->outcomes[i] = words[w];
		if (answer->outcomes[i] == NULL)
			return answer_bad(&answer->error, "an outcome is unknown");
		value += length;
	}
	answer->reply.outcomes = answer->outcomes;
	answer->reply.n_outcomes = n;
	return STENT_OK;
}

/* Reads the ids, one a row. */
static StentStatus
read_numbers(Answer *answer, size_t n, const PGresult *result)
{
	if ((size_t) PQntuples(result) != n)
		return answer_bad(&answer->error, "as many ids as items are due");
	answer->numbers = memory_new(n * sizeof(int64_t));
	if (answer->numbers == NULL)
		return error_no_memory(&answer->error);
	for (size_t i = 0; i < n; i++)
	{
		if (PQgetisnull(result, (int) i, 0))
			return answer_bad(&answer->error, "an id is NULL");
		answer->numbers[i] = field_int8(PQgetvalue(result, (int) i, 0));
	}
	answer->reply.numbers = answer->numbers;
	answer->reply.n_numbers = n;
	return STENT_OK;
}

/* Reads a jsonb; SQL's NULL is NULL. */
static StentStatus
read_json(Answer *answer, const PGresult *result, int row, json_t **value)
{
	const char *problem;
	int length = PQgetlength(result, row, 0);

	*value = NULL;
	if (PQgetisnull(result, row, 0))
		return STENT_OK;
	if (length < 1)
		return answer_bad(&answer->error, "a jsonb is empty");
	switch (json_read(PQgetvalue(result, row, 0) + 1, (size_t) length - 1, value, &problem))
	{
		case JSON_READ:
			return STENT_OK;
		case JSON_NO_MEMORY:
			return error_no_memory(&answer->error);
		case JSON_UNREADABLE:
			break;
	}
	return error_set(&answer->error, STENT_BAD_ANSWER,
					 "the server's answer cannot be kept as JSON: %s", problem);
}

/* Reads a jsonb a row into one array. */
static StentStatus
read_rows(Answer *answer, const PGresult *result)
{
	StentStatus status = STENT_OK;
	json_t *row;

	answer->reply.json = json_array();
	if (answer->reply.json == NULL)
		return error_no_memory(&answer->error);
	for (int i = 0; i < PQntuples(result) && status == STENT_OK; i++)
	{
		status = read_json(answer, result, i, &row);
		if (status == STENT_OK &&
			json_array_append_new(answer->reply.json, row != NULL ? row : json_null()) != 0)
			status = error_no_memory(&answer->error);
	}
	return status;
}

/* The type an answer has; 0: any. */
static Oid
type_of(AnswerKind kind)
{
	switch (kind)
	{
		case ANSWER_OUTCOMES:
			return TYPE_TEXT_ARRAY;
		case ANSWER_JSON:
		case ANSWER_ROWS:
			return TYPE_JSONB;
		case ANSWER_NUMBER:
		case ANSWER_NUMBERS:
			return TYPE_INT8;
		case ANSWER_TRUTH:
			return TYPE_BOOL;
		case ANSWER_SECONDS:
			return TYPE_FLOAT8;
		case ANSWER_NOTHING:
		case ANSWER_TASKS:
			break;
	}
	return 0;
}

/* Reads rows of the kind; the status, with the error in the answer. */
static StentStatus
read_result(Answer *answer, AnswerKind kind, size_t n_items, const PGresult *result)
{
	StentReply *reply = &answer->reply;
	bool one = kind != ANSWER_ROWS && kind != ANSWER_NUMBERS;
	const char *value;

	if (kind == ANSWER_NOTHING)
		return STENT_OK;
	if (kind == ANSWER_TASKS)
		return tasks_read(result, &reply->tasks, &reply->n_tasks, &answer->error);
	if (PQnfields(result) != 1 || PQftype(result, 0) != type_of(kind) ||
		(one && PQntuples(result) != 1))
		return answer_bad(&answer->error, "its columns are not those due");
	if (kind == ANSWER_ROWS)
		return read_rows(answer, result);
	if (kind == ANSWER_NUMBERS)
		return read_numbers(answer, n_items, result);
	if (kind == ANSWER_JSON)
		return read_json(answer, result, 0, &reply->json);
	if (PQgetisnull(result, 0, 0))
		return answer_bad(&answer->error, "it is NULL");
	value = PQgetvalue(result, 0, 0);
	if (kind == ANSWER_OUTCOMES)
		return read_outcomes(answer, n_items, value, (size_t) PQgetlength(result, 0, 0));
	if (kind == ANSWER_NUMBER)
		reply->number = field_int8(value);
	else if (kind == ANSWER_TRUTH)
		reply->number = value[0] != 0;
	else
		reply->seconds = field_float8(value);
	return STENT_OK;
}

/* Makes an answer of rows; answer_free() it whatever came of it. */
void
answer_read(Answer *answer, AnswerKind kind, size_t n_items, const PGresult *result)
{
	StentError problem;

	memset(answer, 0, sizeof(*answer));
	if (read_result(answer, kind, n_items, result) == STENT_OK)
		return;
	/* Nothing is given out of an answer that is only understood in part. */
	problem = answer->error;
	answer_free(answer);
	answer_fail(answer, &problem);
}

/* Makes an answer of an error. */
void
answer_fail(Answer *answer, const StentError *error)
{
	memset(answer, 0, sizeof(*answer));
	answer->error = *error;
	answer->reply.status = error->status;
	answer->reply.error = &answer->error;
}

/* Frees what is left in an answer. */
void
answer_free(Answer *answer)
{
	stent_tasks_free(answer->reply.tasks, answer->reply.n_tasks);
	json_decref(answer->reply.json);
	memory_free(answer->outcomes);
	memory_free(answer->numbers);
}
